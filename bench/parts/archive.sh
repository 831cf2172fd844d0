# shellcheck shell=bash
# mf_archive() over a table of finished invoices of two years, each with its attempt, transition, try to pay, event and line of the ledger:
# how many move in a second, whether the last calls are as fast as the first, and how long one invoice takes to be found
# afterwards. Not part of a usual run: BENCH=archive. There are a million, or 20,000 with
# BENCH_QUICK=1.

part_archive()
{
	local rows=$BENCH_ARCHIVE call=0 calls

	bench_database
	bench_sql -c "SELECT mf_pause('*', 'benchmark')"
	bench_sql <<-SQL
		SET session_replication_role = replica;
		SET synchronous_commit = off;
		INSERT INTO mf_invoice ($BENCH_COLUMNS, reference, status, payment_status, invoice_id, sent_at, paid_at, created_at, attempts)
			SELECT $BENCH_VALUES, 'old-' || n, 'sent', 'paid', 1000000 + n, at, at, at, 1
			FROM generate_series(1, $rows) n, LATERAL (SELECT now() - interval '3 years' + n * (interval '2 years' / $rows) AS at) t;
		INSERT INTO mf_attempt (invoice, attempt, reference, body_sha256, started_at, send_by, finished_at, outcome, http_status, changed_to_sent)
			SELECT id, 1, reference, sha256(reference::bytea), now(), now(), now(), 'accepted', 200, true FROM mf_invoice;
		INSERT INTO mf_transition (invoice, actor, from_status, to_status, attempt) SELECT id, 'status reader', 'unpaid', 'paid', 1 FROM mf_invoice;
		INSERT INTO mf_transaction (invoice, payment_id, transaction_status, transaction_value) SELECT id, id, 'Succss', 250 FROM mf_invoice;
		INSERT INTO mf_money (invoice, account, kind, source, amount, currency) SELECT id, account, 'payment', id, 250, 'KWD' FROM mf_invoice;
		INSERT INTO mf_event (account, source, event_code, invoice_id, invoice, digest, answered_at)
			SELECT account, 'webhook', 1, invoice_id, id, sha256(reference::bytea), now() FROM mf_invoice;
	SQL
	bench_sql -c 'VACUUM ANALYZE' -c CHECKPOINT

	calls=$((rows / 10000))
	: >"$BENCH_OUT/archive.calls"
	while [ $call -lt $calls ]
	do
		call=$((call + 1))
		case $call in
		1 | $((calls / 2)) | "$calls") bench_measure "mf_archive(), call $call of $calls" 1 bench_archive_timed ;;
		*) bench_archive_timed >>"$BENCH_OUT/archive.calls" ;;
		esac
	done
	sort -n -k 2 "$BENCH_OUT/archive.calls" | awk '{ v[NR] = $2 } END { if (NR) print "   the calls between: " v[1] " to " v[NR] " invoices/s, median " v[int((NR + 1) / 2)] }'
	[ "$(bench_sql -c "SELECT mf_archive(current_date)")" = 0 ] || mf_die "there is still something to archive"
	[ "$(bench_sql -c "SELECT count(*) FROM mf_invoice_archive")" = "$rows" ] || mf_die "not all are archived"
	bench_sql -c 'VACUUM ANALYZE mf_invoice_archive'
	bench_sql -c "EXPLAIN (ANALYZE, COSTS off, TIMING off) SELECT detail FROM mf_invoice_all WHERE id = $((rows / 2))" | grep 'Execution Time'
}

# Moves ten thousand, and prints how many that is in a second.
bench_archive_timed()
{
	local begin end

	begin=$(date +%s%N)
	[ "$(bench_sql -c "SELECT mf_archive(current_date)")" = 10000 ] || mf_die "mf_archive() has moved another number"
	end=$(date +%s%N)
	echo "rate $((10000 * 1000000000 / (end - begin)))"
}
