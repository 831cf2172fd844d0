# shellcheck shell=bash
# Whether it stays as fast: with a large table of finished invoices, with a snapshot held by somebody, with a large
# backlog; and whether the worker grows. Each beside the same number of rows in an empty database.

# Finished invoices, as they look when all has been done for them, with their attempts. Their pages are filled as two
# updates would have left them, not as insertion leaves them.
bench_finished()
{
	bench_sql -c "SELECT mf_pause('myfatoorah', 'benchmark')"
	bench_sql <<-SQL
		SET session_replication_role = replica;
		SET synchronous_commit = off;
		ALTER TABLE mf_invoice SET (fillfactor = 68);
		ALTER TABLE mf_attempt SET (fillfactor = 68);
		INSERT INTO mf_invoice ($BENCH_COLUMNS, reference, status, invoice_id, invoice_url, sent_at, attempts)
			SELECT $BENCH_VALUES, 'old-' || n, 'sent', 1000000 + n,
				'https://demo.MyFatoorah.com/KWT/ie/01071000000-' || n, now(), 1
			FROM generate_series(1, $1) n;
		INSERT INTO mf_attempt (invoice, attempt, reference, body_sha256, started_at, send_by, finished_at, outcome,
				http_status, invoice_id, invoice_url, changed_to_sent)
			SELECT id, 1, reference, sha256(reference::bytea), now(), now(), now(), 'accepted', 200, invoice_id, invoice_url, true
			FROM mf_invoice WHERE status = 'sent' AND reference LIKE 'old-%';
		INSERT INTO mf_invoice_number SELECT invoice_id, id FROM mf_invoice WHERE invoice_id IS NOT NULL;
		ALTER TABLE mf_invoice SET (fillfactor = 50);
		ALTER TABLE mf_attempt SET (fillfactor = 45);
		ANALYZE mf_invoice, mf_attempt, mf_invoice_number;
	SQL
	bench_sql -c "VACUUM mf_invoice, mf_attempt" -c CHECKPOINT
}

bench_new_worker()
{
	local pid

	pid=$(bench_sql -c 'SELECT pg_terminate_backend(pid, 10000), pid FROM mf_worker_status')
	mf_poll 30 bench_is_new_worker "${pid#*|}" || mf_die "no new worker has started"
}

bench_is_new_worker()
{
	[ "$(bench_sql -c "SELECT count(*) FROM mf_worker_status WHERE pid <> $1")" = 1 ]
}

bench_warm()
{
	bench_in_flight 50
	bench_queue 1000
	"$BENCH_BIN/drain" --stats "$BENCH_STATS" --count 1000 >/dev/null
}

part_flat()
{
	local run pid

	bench_delay 0
	# two databases side by side, so that one run follows the other
	bench_database
	bench_finished "$BENCH_FINISHED"
	bench_warm
	bench_sql -d postgres -c 'DROP DATABASE IF EXISTS bench_full' -c 'ALTER DATABASE bench RENAME TO bench_full'
	bench_database
	bench_warm
	for run in $(seq "$BENCH_RUNS")
	do
		bench_drain "empty table" "$run" "$BENCH_ROWS"
		export PGDATABASE=bench_full
		bench_drain "finished invoices" "$run" "$BENCH_ROWS"
		export PGDATABASE=bench
		bench_drain "empty table, again" "$run" "$BENCH_ROWS"
		bench_drain "snapshot held" "$run" "$BENCH_ROWS" --held
	done
	bench_sql -d postgres -c 'DROP DATABASE bench_full'

	# a new worker, a small run, then the backlog
	bench_database
	bench_warm
	bench_drain "small backlog" 1 "$((BENCH_ROWS < 10000 ? BENCH_ROWS : 10000))"
	bench_drain "small backlog" 2 "$BENCH_ROWS"
	bench_drain "large backlog" 1 "$BENCH_BACKLOG"
	bench_drain "after the large backlog" 1 "$BENCH_ROWS"

	# a worker that finds the backlog when it starts makes its plans then
	bench_queue "$BENCH_BACKLOG"
	bench_new_worker
	bench_measure "large backlog, new worker" 1 "$BENCH_BIN/drain" --stats "$BENCH_STATS" --count "$BENCH_BACKLOG"
	bench_note "Finished invoices: $BENCH_FINISHED; large backlog: $BENCH_BACKLOG; other runs: $BENCH_ROWS."
}
