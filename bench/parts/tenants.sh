# shellcheck shell=bash
# Two accounts of one database: one is throttled by its API, the other must not notice.

part_tenants()
{
	local run

	bench_database
	bench_delay 0
	bench_in_flight 50
	bench_account throttled "$MF_SANDBOX_URL"
	curl -sf -X POST "$MF_CONTROL_URL/reset" >/dev/null
	curl -sf "$MF_CONTROL_URL/faults" -d '{"path":"SendPayment","throttle":20}' >/dev/null
	bench_queue 1000
	"$BENCH_BIN/drain" --stats "$BENCH_STATS" --count 1000 >/dev/null
	bench_queue "$BENCH_ROWS" throttled
	for run in $(seq "$BENCH_RUNS")
	do
		bench_sql -c "SELECT mf_pause('throttled', 'benchmark')"
		bench_drain "alone" "$run" "$BENCH_ROWS"
		bench_sql -c "SELECT mf_resume('throttled')"
		bench_drain "beside a throttled account" "$run" "$BENCH_ROWS"
	done
	run=$(bench_sql -c "SELECT count(*) FROM mf_attempt WHERE outcome = 'throttled'")
	[ "$run" -gt 0 ] || mf_die "the other account was not throttled"
	bench_note "The other account was refused with 429 $run times and had a backlog of $BENCH_ROWS."
	curl -sf -X DELETE "$MF_CONTROL_URL/faults" >/dev/null
}
