# shellcheck shell=bash
# What a worker costs that has nothing to do.

# wakeups, transactions, context switches, nanoseconds of CPU
bench_idle_reading()
{
	bench_sql -F ' ' -c 'SELECT wakeups, transactions FROM mf_worker_status'
	cat /proc/"$1"/task/*/status | awk '/^(non)?voluntary_ctxt_switches/ {n += $2} END {print n}'
	cat /proc/"$1"/task/*/schedstat | awk '{n += $1} END {printf "%.0f\n", n}'
}

part_idle()
{
	local pid before after

	bench_database
	bench_delay 0
	bench_queue 100
	"$BENCH_BIN/drain" --stats "$BENCH_STATS" --count 100 >/dev/null
	pid=$(bench_sql -c 'SELECT pid FROM mf_worker_status')
	# the look for rows that committed late has passed, and what it leads to
	sleep 2
	read -r -d '' -a before < <(bench_idle_reading "$pid") || true
	sleep "$BENCH_IDLE"
	read -r -d '' -a after < <(bench_idle_reading "$pid") || true
	bench_record idle 1 wakeups $((after[0] - before[0]))
	bench_record idle 1 transactions $((after[1] - before[1]))
	bench_record idle 1 switches $((after[2] - before[2]))
	bench_record idle 1 cpu_ms "$(((after[3] - before[3]) / 1000))e-3"
	bench_note "Watched for $BENCH_IDLE s."
}
