# shellcheck shell=bash
# Many accounts: how fast a backlog of all of them is sent beside one of a single account, and what accounts cost that
# have nothing due: in time, and in the worker's memory.

# bench_accounts N: accounts a1 to aN like the first one
bench_accounts()
{
	bench_sql <<-SQL
		DO \$\$
		BEGIN
			FOR n IN 1..$1 LOOP
				EXECUTE format('CREATE SERVER a%s FOREIGN DATA WRAPPER myfatoorah OPTIONS
					(country %L, environment %L, base_url %L)', n, 'KWT', 'test', '$BENCH_URL');
				EXECUTE format('CREATE USER MAPPING FOR PUBLIC SERVER a%s OPTIONS (api_key_file %L)', n, 'myfatoorah.key');
			END LOOP;
		END \$\$;
	SQL
}

# bench_accounts_drain SERIES RUN ACCOUNTS
bench_accounts_drain()
{
	bench_sql -c "SELECT mf_pause('*', 'benchmark')" -c "INSERT INTO mf_invoice (account, $BENCH_COLUMNS)
		SELECT 'a' || (1 + n % $3), $BENCH_VALUES FROM generate_series(1, $BENCH_ACCOUNT_ROWS) n" -c CHECKPOINT
	bench_measure "$1" "$2" "$BENCH_BIN/drain" --stats "$BENCH_STATS" --count "$BENCH_ACCOUNT_ROWS" --account '*'
}

# bench_trickle SERIES RUN: one invoice after the other, each in a transaction of its own; the worker's CPU for each. What a
# backlog has left in the indexes of the agenda is cleaned up before, as autovacuum would within a minute.
bench_trickle()
{
	local cpu n=200 i

	bench_sql -c 'VACUUM mf_queue, mf_inquiry'
	cpu=$(bench_worker_cpu)
	for ((i = 1; i <= n; i++))
	do
		echo "INSERT INTO mf_invoice (account, $BENCH_COLUMNS) SELECT 'a1', $BENCH_VALUES FROM generate_series($i, $i) n;"
		echo "SELECT pg_sleep(0.01);"
	done | bench_sql -f - >/dev/null
	mf_poll 30 bench_nothing_due || mf_die "not all is sent"
	bench_record "$1" "$2" alone_us "$((($(bench_worker_cpu) - cpu) / n))e-3"
}

bench_nothing_due()
{
	[ "$(bench_sql -c "SELECT count(*) FROM mf_queue WHERE due < 'tomorrow'")" = 0 ]
}

# The worker's own memory, in kilobytes
bench_worker_memory()
{
	awk '/^Rss(Anon|File):/ {n += $2} END {print n}' /proc/"$(bench_sql -c 'SELECT pid FROM mf_worker_status')"/status
}

part_accounts()
{
	local run before

	bench_database
	bench_delay 0
	bench_accounts "$BENCH_ACCOUNTS"
	bench_sql -c "SELECT mf_resume('*')"
	bench_accounts_drain "warming up" 1 1
	bench_accounts_drain "warming up" 2 100
	before=$(bench_worker_memory)
	bench_accounts_drain "warming up" 3 "$BENCH_ACCOUNTS"
	bench_record "many accounts" 1 account_kb "$(awk "BEGIN {print ($(bench_worker_memory) - $before) / ($BENCH_ACCOUNTS - 100)}")"
	for run in $(seq "$BENCH_RUNS")
	do
		bench_accounts_drain "one account" "$run" 1
		bench_accounts_drain "100 accounts" "$run" 100
		bench_accounts_drain "many accounts" "$run" "$BENCH_ACCOUNTS"
		bench_trickle "one account" "$run"
	done

	# all have something to do, next year
	bench_sql -c "INSERT INTO mf_invoice (account, send_at, $BENCH_COLUMNS)
		SELECT 'a' || n, now() + interval '1 year', $BENCH_VALUES FROM generate_series(1, $BENCH_ACCOUNTS) n"
	for run in $(seq "$BENCH_RUNS")
	do
		bench_accounts_drain "one account, many with nothing due" "$run" 1
		bench_trickle "one account, many with nothing due" "$run"
	done
	bench_note "Many accounts: $BENCH_ACCOUNTS, with $BENCH_ACCOUNT_ROWS invoices in all."
}
