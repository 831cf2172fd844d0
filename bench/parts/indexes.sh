# shellcheck shell=bash
# What the indexes that reports need cost sending: with them and without them, in turns, in the same database.

BENCH_REPORT_INDEXES="'mf_invoice_created_at_idx', 'mf_invoice_paid_at_idx', 'mf_invoice_personal_idx', 'mf_invoice_customer_reference_idx'"

part_indexes()
{
	local run definitions

	bench_delay 0
	bench_database
	bench_in_flight 50
	definitions=$(bench_sql -c "SELECT indexdef || ';' FROM pg_indexes WHERE indexname IN ($BENCH_REPORT_INDEXES)")
	[ "$(wc -l <<<"$definitions")" = 4 ] || mf_die "the indexes of reports are not those that they were"
	bench_queue 1000
	"$BENCH_BIN/drain" --stats "$BENCH_STATS" --count 1000 >/dev/null
	for run in $(seq "$BENCH_RUNS")
	do
		bench_drain "with the indexes of reports" "$run" "$BENCH_ROWS"
		bench_sql -c "DROP INDEX ${BENCH_REPORT_INDEXES//\'/}"
		bench_drain "without them" "$run" "$BENCH_ROWS"
		bench_sql -c "$definitions"
	done
}
