# shellcheck shell=bash
# What inserting costs: into mf_invoice, with its checks, its reference and the agenda, and into an equal table without.

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
	local run file=$BENCH_OUT/rows.copy table

	bench_database
	bench_sql -c "CREATE TABLE plain_invoice (LIKE mf_invoice INCLUDING ALL)"
	bench_sql -c "COPY (SELECT $BENCH_VALUES FROM generate_series(1, $BENCH_INSERT) n) TO STDOUT" >"$file"
	bench_sql -c "COPY (SELECT $BENCH_PLAIN_VALUES FROM generate_series(1, $BENCH_INSERT) n) TO STDOUT" >"$file.plain"
	for run in $(seq "$BENCH_RUNS")
	do
		# each run finds both tables empty
		for table in plain_invoice mf_queue
		do
			bench_sql -c "TRUNCATE $table"
		done
		bench_sql -c "SET session_replication_role = replica" -c "TRUNCATE mf_invoice" -c CHECKPOINT
		bench_measure "plain table, INSERT" "$run" bench_timed "INSERT INTO plain_invoice ($BENCH_PLAIN_COLUMNS)
			SELECT $BENCH_PLAIN_VALUES FROM generate_series(1, $BENCH_INSERT) n"
		bench_measure "mf_invoice, INSERT" "$run" bench_timed "INSERT INTO mf_invoice ($BENCH_COLUMNS)
			SELECT $BENCH_VALUES FROM generate_series(1, $BENCH_INSERT) n"
		bench_sql -c "TRUNCATE plain_invoice" -c "TRUNCATE mf_queue"
		bench_sql -c "SET session_replication_role = replica" -c "TRUNCATE mf_invoice" -c CHECKPOINT
		bench_measure "plain table, COPY" "$run" bench_timed "\\copy plain_invoice (${BENCH_PLAIN_COLUMNS//$'\n'/}) from '$file.plain'"
		bench_measure "mf_invoice, COPY" "$run" bench_timed "\\copy mf_invoice (${BENCH_COLUMNS//$'\n'/}) from '$file'"
	done
}
