# shellcheck shell=bash
# What the parts of the benchmark share. To be sourced after scripts/server.sh, in the inner half of bench/run.sh.
#
# A part is a file in bench/parts with one function, part_NAME. It leaves measured values with bench_record; what
# they mean, and which are compared, is said in bench/report.pl.

BENCH_BIN=$PWD/bench/build
BENCH_OUT=$MF_SCRATCH/bench
BENCH_RESULTS=$BENCH_OUT/results.tsv
BENCH_STATS=$BENCH_OUT/server.stats
BENCH_PART=
BENCH_CHILD=

bench_sql()
{
	psql -XqAt -v ON_ERROR_STOP=1 "$@"
}

# bench_record SERIES RUN METRIC VALUE
bench_record()
{
	printf '%s\t%s\t%s\t%s\t%s\n' "$BENCH_PART" "$1" "$2" "$3" "$4" >>"$BENCH_RESULTS"
}

# bench_measure SERIES RUN COMMAND...: runs it, and records the lines "metric value" that it prints
bench_measure()
{
	local series=$1 run=$2 metric value
	shift 2
	# in the background, so that a signal to us is not kept waiting
	"$@" >"$BENCH_OUT/measured" &
	BENCH_CHILD=$!
	wait "$BENCH_CHILD" || mf_die "benchmark part $BENCH_PART: failed: $*"
	BENCH_CHILD=
	while read -r metric value
	do
		bench_record "$series" "$run" "$metric" "$value"
		[ "$metric" != rate ] || printf '   %-34s run %s  %10.0f/s\n' "$series" "$run" "$value"
	done <"$BENCH_OUT/measured"
}

# bench_note TEXT: a line below the part's table
bench_note()
{
	printf '%s\t%s\n' "$BENCH_PART" "$*" >>"$BENCH_OUT/notes.tsv"
	mf_say "$BENCH_PART: $*"
}

bench_server_start()
{
	rm -f "$BENCH_OUT/server.port"
	"$BENCH_BIN/server" --stats "$BENCH_STATS" --port-file "$BENCH_OUT/server.port" \
		>"$MF_SCRATCH/log/server.log" 2>&1 </dev/null &
	echo $! >"$BENCH_OUT/server.pid"
	mf_poll 10 test -s "$BENCH_OUT/server.port" || mf_die "the server of the benchmark does not start"
	BENCH_URL=http://127.0.0.1:$(<"$BENCH_OUT/server.port")
}

# bench_delay MS: how long its answers take from now on
bench_delay()
{
	"$BENCH_BIN/server" --stats "$BENCH_STATS" --delay "$1"
}

# bench_worker_cpu: nanoseconds of CPU that the worker has used so far
bench_worker_cpu()
{
	cat /proc/"$(bench_sql -c 'SELECT pid FROM mf_worker_status')"/task/*/schedstat | awk '{n += $1} END {printf "%.0f\n", n}'
}

# bench_bare SERIES RUN REQUESTS CONNECTIONS [ARGUMENT...]
bench_bare()
{
	local series=$1 run=$2 requests=$3 connections=$4
	shift 4
	bench_measure "$series" "$run" "$BENCH_BIN/bare" --url "$BENCH_URL" --requests "$requests" \
		--connections "$connections" --key "$MF_API_KEY" "$@"
}

# bench_wal_files: a server that has run for a while writes into WAL files that exist. The first ones of a new cluster are
# made and filled with zeroes by whoever needs them, in the middle of a run.
bench_wal_files()
{
	local i
	for ((i = 0; i < 64; i++)); do echo "SELECT pg_logical_emit_message(false, '', ''); SELECT pg_switch_wal();"; done |
		bench_sql -d postgres -c CHECKPOINT -f - -c CHECKPOINT >/dev/null
}

# bench_database [OPTIONS]: a new database "bench" with the extension and its worker, and one account that talks to the
# benchmark's server, paused. The one before is dropped, so that every part finds the same.
bench_database()
{
	export PGDATABASE=bench
	bench_sql -d postgres -c 'DROP DATABASE IF EXISTS bench' -c 'CREATE DATABASE bench'
	bench_sql -c 'CREATE EXTENSION myfatoorah'
	bench_account myfatoorah "$BENCH_URL" "${1-}"
	mf_poll 30 bench_has_worker || mf_die "no worker serves the database of the benchmark"
	bench_sql -c 'CHECKPOINT'
}

# bench_account NAME URL [OPTIONS]
bench_account()
{
	bench_sql <<-SQL
		CREATE SERVER $1 FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT', environment 'test', base_url '$2'${3:+, $3});
		CREATE USER MAPPING FOR PUBLIC SERVER $1 OPTIONS (api_key_file 'myfatoorah.key');
		SELECT mf_pause('$1', 'benchmark');
	SQL
}

bench_has_worker()
{
	[ "$(bench_sql -c 'SELECT count(*) FROM mf_worker_status')" = 1 ]
}

# bench_in_flight N [ACCOUNT]
bench_in_flight()
{
	bench_sql -c "ALTER SERVER ${2:-myfatoorah} OPTIONS (DROP max_in_flight)" 2>/dev/null || true
	bench_sql -c "ALTER SERVER ${2:-myfatoorah} OPTIONS (ADD max_in_flight '$1')"
}

# The columns and values of a row, with an id "n"; their request is that of make_body() in bench/common.c.
BENCH_COLUMNS="customer_name, invoice_value, notification_option, customer_email, display_currency_iso, language,
	customer_reference, user_defined_field, call_back_url, error_url"
BENCH_VALUES="'Ahmad Al-Sabah', 250.000, 'EML', 'ahmad@example.com', 'KWD', 'EN',
	'rent-' || lpad(n::text, 8, '0'), 'tenant 17', 'https://shop.example.com/ok', 'https://shop.example.com/no'"

# bench_queue N [ACCOUNT]: as many rows, in transactions of 100,000; the account is paused. The checkpoint comes before,
# as the rows of a day come after the last one: pages written since are not written whole again.
bench_queue()
{
	local first=1 last account=${2:-myfatoorah}

	bench_sql -c "SELECT mf_pause('$account', 'benchmark')" -c CHECKPOINT
	while [ "$first" -le "$1" ]
	do
		last=$((first + 99999 < $1 ? first + 99999 : $1))
		bench_sql -c "INSERT INTO mf_invoice (account, $BENCH_COLUMNS)
			SELECT '$account', $BENCH_VALUES FROM generate_series($first, $last) n"
		first=$((last + 1))
	done
}

# bench_drain SERIES RUN N [ARGUMENT...]: queues N rows, then measures how they are sent
bench_drain()
{
	local series=$1 run=$2 count=$3
	shift 3
	bench_queue "$count"
	bench_measure "$series" "$run" "$BENCH_BIN/drain" --stats "$BENCH_STATS" --count "$count" "$@"
}

# Processor time of the server so far, all its processes and those that have ended, in microseconds
bench_postgres_cpu()
{
	perl -e '
		my ($master) = @ARGV;
		my $ticks = 0;
		for my $file (glob "/proc/[0-9]*/stat")
		{
			open(my $in, "<", $file) or next;
			my ($pid, $rest) = (<$in> // "") =~ /^(\d+) \(.*\) (.*)/ or next;
			my @field = split / /, $rest;
			$ticks += $field[11] + $field[12] if $pid == $master || $field[1] == $master;
			$ticks += $field[13] + $field[14] if $pid == $master;
		}
		printf "%d\n", $ticks * 1e6 / `getconf CLK_TCK`;' "$(<"$BENCH_OUT/cluster/pid")"
}

# bench_wal SERIES FROM TO: where the WAL between two positions went, by type of record
bench_wal()
{
	pg_waldump --stats=record -p "$BENCH_OUT/cluster/data/pg_wal" --start "$2" --end "$3" \
		>"$BENCH_OUT/wal-$1.txt" 2>>"$MF_SCRATCH/log/waldump.log" || bench_note "pg_waldump did not read the WAL"
}

# bench_check_bodies: the yardstick sends what the extension sends
bench_check_bodies()
{
	local before after extension

	before=$("$BENCH_BIN/server" --stats "$BENCH_STATS" --show | sed -n 's/^body_bytes //p')
	"$BENCH_BIN/bare" --url "$BENCH_URL" --requests 1000 --key "$MF_API_KEY" >/dev/null
	after=$("$BENCH_BIN/server" --stats "$BENCH_STATS" --show | sed -n 's/^body_bytes //p')
	bench_queue 1000
	extension=$("$BENCH_BIN/drain" --stats "$BENCH_STATS" --count 1000 | sed -n 's/^body_bytes //p')
	[ $(((after - before) / 1000)) = "${extension%%.*}" ] ||
		mf_die "the bare client's bodies have $(((after - before) / 1000)) bytes, the extension's $extension"
}
