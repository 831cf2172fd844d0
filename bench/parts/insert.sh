# shellcheck shell=bash
# What inserting costs: into mf_invoice, with its checks, its reference and the agenda, and into an equal table without.
# Equal are columns, constraints, indexes, and how far pages are filled; beside it, for comparison only, one whose pages
# are filled to the end. Then bills, each of which makes an invoice.

# Runs the statement and prints its milliseconds.
bench_timed()
{
	local begin end

	begin=$(date +%s%N)
	bench_sql -c "$1" >/dev/null
	end=$(date +%s%N)
	echo "ms $(((end - begin) / 10000))e-2"
}

# A column that the trigger fills must be given here
BENCH_PLAIN_COLUMNS="$BENCH_COLUMNS, reference"
BENCH_PLAIN_VALUES="$BENCH_VALUES, 'rent-' || lpad(n::text, 8, '0') || '.0123456789ABCDEFGHJK'"

part_insert()
{
	local run file=$BENCH_OUT/rows.copy options

	bench_database
	bench_sql -c "CREATE EXTENSION myfatoorah_billing"
	# LIKE does not copy them
	options=$(bench_sql -c "SELECT array_to_string(reloptions, ', ') FROM pg_class WHERE oid = 'mf_invoice'::regclass")
	bench_sql -c "CREATE TABLE plain_invoice (LIKE mf_invoice INCLUDING ALL) WITH ($options)" \
		-c "CREATE TABLE full_invoice (LIKE mf_invoice INCLUDING ALL)"
	bench_sql -c "COPY (SELECT $BENCH_VALUES FROM generate_series(1, $BENCH_INSERT) n) TO STDOUT" >"$file"
	bench_sql -c "COPY (SELECT $BENCH_PLAIN_VALUES FROM generate_series(1, $BENCH_INSERT) n) TO STDOUT" >"$file.plain"
	for run in $(seq "$BENCH_RUNS")
	do
		bench_empty
		bench_measure "plain table, INSERT" "$run" bench_insert_plain plain_invoice
		bench_measure "mf_invoice, INSERT" "$run" bench_timed "INSERT INTO mf_invoice ($BENCH_COLUMNS)
			SELECT $BENCH_VALUES FROM generate_series(1, $BENCH_INSERT) n"
		bench_measure "mf_bill, INSERT" "$run" bench_timed "INSERT INTO mf_bill (customer_name, total, notification_option, customer_email,
				language, customer_reference, bill_key, due_date)
			SELECT 'Ahmad Al-Sabah', 250.000, 'EML', 'ahmad@example.com', 'EN', 'rent-' || lpad(n::text, 8, '0'), 'month-' || n, '2031-01-01'
			FROM generate_series(1, $BENCH_INSERT) n"
		bench_measure "plain table, full pages, INSERT" "$run" bench_insert_plain full_invoice
		bench_empty
		bench_measure "plain table, COPY" "$run" bench_timed "\\copy plain_invoice (${BENCH_PLAIN_COLUMNS//$'\n'/}) from '$file.plain'"
		bench_measure "mf_invoice, COPY" "$run" bench_timed "\\copy mf_invoice (${BENCH_COLUMNS//$'\n'/}) from '$file'"
		bench_measure "plain table, full pages, COPY" "$run" bench_timed "\\copy full_invoice (${BENCH_PLAIN_COLUMNS//$'\n'/}) from '$file.plain'"
	done
}

# So that each measurement finds its table empty
bench_empty()
{
	bench_sql -c "TRUNCATE plain_invoice, full_invoice, mf_queue"
	bench_sql -c "SET session_replication_role = replica; SET client_min_messages = warning" -c "TRUNCATE mf_bill CASCADE" -c "TRUNCATE mf_link, mf_invoice" -c CHECKPOINT
}

# bench_insert_plain TABLE
bench_insert_plain()
{
	bench_timed "INSERT INTO $1 ($BENCH_PLAIN_COLUMNS)
		SELECT $BENCH_PLAIN_VALUES FROM generate_series(1, $BENCH_INSERT) n"
}
