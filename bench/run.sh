#!/usr/bin/env bash
# make bench: how fast the extension is, as ratios to other things run in the same minute on the same machine. Works on
# a throw-away server, as make check does; writes docs/benchmark.md and docs/benchmark.svg. See bench/README.md.
#
# BENCH="throughput latency ..."   only these parts; the report then has only them
# BENCH_QUICK=1       few rows and runs: shows that it works, not how fast it is. Writes no report unless BENCH_OUTPUT
#                     says where
# BENCH_RUNS=n        runs of each measurement (5; 2 if quick)
# BENCH_ROWS=n        invoices of a run (50000; 4000 if quick)
# BENCH_ACCOUNTS=n    accounts of the part "accounts" (10000; 1000 if quick)
# BENCH_IDLE=n        seconds that the idle worker is watched (600; 10 if quick)
# BENCH_OUTPUT=DIR    where the report is written instead of docs/
# BENCH_SCRATCH=DIR   where the scratch directory is made: the database should lie on a real disk (TMPDIR, else /tmp)
# BENCH_CONF="a = b; ..."          further settings of the server, to try things; the report names them
# KEEP, PG_CONFIG, CC, OPTFLAGS as for make check
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/server.sh

BENCH_PARTS="server throughput competitors latency direct insert flat tenants accounts tls indexes idle"

# With a script of its own
BENCH_OWN_PARTS="webhook"

# Only if asked for
BENCH_EXTRA_PARTS="profile archive"

# bench_outer: what needs the caller's rights and network; the rest is the inner half
bench_outer()
{
	local keep=${KEEP:-0} status=0 output=${BENCH_OUTPUT-} part

	for part in ${BENCH-}
	do
		[[ " $BENCH_PARTS $BENCH_OWN_PARTS $BENCH_EXTRA_PARTS " == *" $part "* ]] ||
			mf_die "no such part of the benchmark: $part; there are: $BENCH_PARTS $BENCH_OWN_PARTS $BENCH_EXTRA_PARTS"
	done
	# payments coming in are measured by a program of their own, which prints a table
	if [[ " ${BENCH:-$BENCH_PARTS $BENCH_OWN_PARTS} " == *" webhook "* ]]
	then
		bench/webhook.sh
	fi
	BENCH=${BENCH:-$BENCH_PARTS}
	BENCH=" $BENCH "
	BENCH=${BENCH/ webhook / }
	[ -n "${BENCH// /}" ] || return 0
	export MF_BENCH_PARTS=$BENCH MF_BENCH_QUICK=${BENCH_QUICK:-0}
	export MF_BENCH_CONF=${BENCH_CONF-}
	export MF_BENCH_RUNS=${BENCH_RUNS-} MF_BENCH_ROWS=${BENCH_ROWS-} MF_BENCH_IDLE=${BENCH_IDLE-}
	export MF_BENCH_ACCOUNTS=${BENCH_ACCOUNTS-}
	MF_BENCH_COMMIT=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
	git diff --quiet HEAD 2>/dev/null || MF_BENCH_COMMIT="$MF_BENCH_COMMIT, changed"
	export MF_BENCH_COMMIT MF_BENCH_NODE='' MF_BENCH_NO_NODE=''
	[ -z "${BENCH_SCRATCH-}" ] || export TMPDIR=$BENCH_SCRATCH
	[ -n "$output" ] || [ "$MF_BENCH_QUICK" != 0 ] || output=docs

	[[ " $MF_BENCH_PARTS " != *" competitors "* ]] || bench_install_node
	KEEP=1 mf_outer bench/run.sh || status=$?
	[ -z "$MF_BENCH_NODE" ] || rm -rf "$MF_BENCH_NODE"
	if [ "$status" -eq 0 ] && [ -n "$output" ]
	then
		mkdir -p "$output"
		cp "$MF_SCRATCH/bench/benchmark.md" "$MF_SCRATCH/bench/benchmark.svg" "$output/"
		mf_say "written: $output/benchmark.md and $output/benchmark.svg"
	fi
	if [ "$status" -eq 0 ] && [ "$keep" = 0 ]
	then
		rm -rf "$MF_SCRATCH"
	else
		mf_say "logs and results are in $MF_SCRATCH"
	fi
	return "$status"
}

# The competitors' packages, by the caller's npm, in a directory of their own. Without them that part is left out.
bench_install_node()
{
	local log

	if ! command -v node >/dev/null || ! command -v npm >/dev/null
	then
		EXTRA="nodejs npm" scripts/install-deps.sh || true
	fi
	if ! command -v node >/dev/null || ! command -v npm >/dev/null
	then
		MF_BENCH_NO_NODE="Node.js is not here and could not be installed"
		return
	fi
	MF_BENCH_NODE=$(mktemp -d "${TMPDIR:-/tmp}/mf-node.XXXXXX")
	log=$MF_BENCH_NODE/npm.log
	cp bench/node/*.mjs bench/node/package.json "$MF_BENCH_NODE/"
	# undici 7 needs Node.js 20; Debian 12 has 18
	if [ "$(node -p 'process.versions.node.split(".")[0]')" -lt 20 ]
	then
		sed -i -E 's/("undici": *")[^"]*/\1^6.21.0/' "$MF_BENCH_NODE/package.json"
	fi
	mf_say "installing the competitors' npm packages"
	if ! (cd "$MF_BENCH_NODE" && npm install --ignore-scripts --no-audit --no-fund) >"$log" 2>&1
	then
		tail -n 5 "$log"
		rm -rf "$MF_BENCH_NODE"
		MF_BENCH_NODE=
		MF_BENCH_NO_NODE="npm could not install the packages"
		return
	fi
	chmod -R a+rX "$MF_BENCH_NODE"
}

if [ "${1-}" != --inner ]
then
	bench_outer
	exit
fi

. bench/lib.sh

# Settings of the server: all that makes commits durable is on, as it is by default.
BENCH_SETTINGS=("fsync = on" "synchronous_commit = on" "full_page_writes = on" "log_min_messages = warning"
	"shared_buffers = 512MB" "max_wal_size = 16GB" "min_wal_size = 1GB" "checkpoint_timeout = 30min"
	"wal_keep_size = 0" "max_connections = 150" "myfatoorah.poll_delay = '1d'")

bench_cleanup()
{
	# one that fails must not keep the others
	set +e
	[ -z "$BENCH_CHILD" ] || kill -TERM "$BENCH_CHILD" 2>/dev/null
	mf_cluster_stop "$BENCH_OUT/cluster"
	mf_sandbox_stop "$BENCH_OUT/sandbox"
	mf_end "$BENCH_OUT/server.pid"
	mf_end "$BENCH_OUT/tls.pid"
}
trap bench_cleanup EXIT
trap 'exit 129' HUP INT TERM

if [ "$MF_BENCH_QUICK" != 0 ]
then
	BENCH_RUNS=2 BENCH_ROWS=4000 BENCH_IDLE=10 BENCH_SECONDS=2 BENCH_FINISHED=100000 BENCH_BACKLOG=100000
	BENCH_LATENCY=60 BENCH_INSERT=20000 BENCH_ARCHIVE=20000 BENCH_DIRECT=1000 BENCH_ACCOUNTS=1000 BENCH_ACCOUNT_ROWS=10000
else
	BENCH_RUNS=5 BENCH_ROWS=50000 BENCH_IDLE=600 BENCH_SECONDS=10 BENCH_FINISHED=10000000 BENCH_BACKLOG=1000000
	BENCH_LATENCY=300 BENCH_INSERT=100000 BENCH_ARCHIVE=1000000 BENCH_DIRECT=10000 BENCH_ACCOUNTS=10000 BENCH_ACCOUNT_ROWS=100000
fi
BENCH_RUNS=${MF_BENCH_RUNS:-$BENCH_RUNS}
BENCH_ROWS=${MF_BENCH_ROWS:-$BENCH_ROWS}
BENCH_IDLE=${MF_BENCH_IDLE:-$BENCH_IDLE}
BENCH_ACCOUNTS=${MF_BENCH_ACCOUNTS:-$BENCH_ACCOUNTS}
export BENCH_RUNS BENCH_ROWS BENCH_IDLE BENCH_SECONDS BENCH_FINISHED BENCH_BACKLOG BENCH_LATENCY BENCH_INSERT BENCH_ARCHIVE BENCH_DIRECT
export BENCH_ACCOUNTS BENCH_ACCOUNT_ROWS

mkdir -p "$BENCH_OUT"
: >"$BENCH_RESULTS"
: >"$BENCH_OUT/notes.tsv"
mf_make_variables
mf_say "building"
for dir in . sandbox bench
do
	mf_build $dir "$MF_SCRATCH/log/build.log" "${MF_MAKE[@]}" ||
		{ tail -n 20 "$MF_SCRATCH/log/build.log"; mf_die "it does not build"; }
done
# shellcheck disable=SC2119
mf_private_install
mf_sandbox_start "$BENCH_OUT/sandbox" --quiet --ledger-limit 20000
bench_server_start
mf_cluster_init "$BENCH_OUT/cluster" "${BENCH_SETTINGS[@]}" "${MF_BENCH_CONF//;/$'\n'}"
mf_cluster_start "$BENCH_OUT/cluster"
bench_wal_files

{
	printf 'date\t%s\n' "$(date -u '+%Y-%m-%d %H:%M') UTC"
	printf 'commit\t%s\n' "$MF_BENCH_COMMIT"
	printf 'processor\t%s\n' "$(nproc) x $(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -n 1)"
	printf 'memory\t%s\n' "$(sed -n -E 's/^MemTotal: *([0-9]+) kB/\1/p' /proc/meminfo | awk '{printf "%.0f GB", $1 / 1048576}')"
	printf 'disk\t%s\n' "$(df --output=fstype,source "$BENCH_OUT" | tail -n 1 | tr -s ' ')"
	printf 'kernel\t%s\n' "$(uname -sr)"
	printf 'PostgreSQL\t%s\n' "$("$MF_BIN/postgres" --version | sed 's/^postgres (PostgreSQL) //')"
	printf 'libcurl\t%s\n' "$(pkg-config --modversion libcurl)"
	printf 'settings\t%s\n' "$(bench_sql -d postgres -c "SELECT string_agg(name || ' = ' || current_setting(name), ', ' ORDER BY name)
		FROM pg_settings WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes', 'data_checksums', 'wal_level',
		'shared_buffers', 'max_wal_size', 'checkpoint_timeout', 'wal_sync_method')")"
	[ -z "$MF_BENCH_CONF" ] || printf 'also set\t%s\n' "$MF_BENCH_CONF"
	printf 'runs\t%s\n' "$BENCH_RUNS of each measurement, $BENCH_ROWS invoices in a run$([ "$MF_BENCH_QUICK" = 0 ] || echo '; a quick run, whose numbers mean little')"
} >"$BENCH_OUT/facts.tsv"

for BENCH_PART in $MF_BENCH_PARTS
do
	mf_say "$BENCH_PART"
	# shellcheck source=/dev/null
	. "bench/parts/$BENCH_PART.sh"
	"part_$BENCH_PART"
	# the report of what there is, should a later part fail
	perl bench/report.pl "$BENCH_OUT"
done
cat "$BENCH_OUT/benchmark.md"
