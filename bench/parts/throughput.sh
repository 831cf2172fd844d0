# shellcheck shell=bash
# The backlog: rows queued while the account is paused, then sent. At no latency beside the bare client; with latency
# against what so many requests in flight can do at all.

part_throughput()
{
	local run in_flight latency rows from to

	bench_database
	bench_delay 0
	bench_in_flight 50
	# the worker's first rounds read its tables' catalogs, make plans and open connections
	bench_check_bodies
	for run in $(seq "$BENCH_RUNS")
	do
		for in_flight in 50 200 1000
		do
			bench_in_flight $in_flight
			bench_bare "bare, $in_flight, 0 ms" "$run" "$BENCH_ROWS" $in_flight
			bench_drain "extension, $in_flight, 0 ms" "$run" "$BENCH_ROWS"
			bench_bare "bare again, $in_flight, 0 ms" "$run" "$BENCH_ROWS" $in_flight
		done
	done

	# where the WAL goes: of one run, from its first claim on
	bench_in_flight 50
	bench_queue "$BENCH_ROWS"
	from=$(bench_sql -c 'SELECT pg_current_wal_insert_lsn()')
	bench_measure "extension, 50, WAL" 1 "$BENCH_BIN/drain" --stats "$BENCH_STATS" --count "$BENCH_ROWS"
	to=$(bench_sql -c 'SELECT pg_current_wal_flush_lsn()')
	bench_wal throughput "$from" "$to"

	for latency in 50 200
	do
		bench_delay $latency
		for run in $(seq $((BENCH_RUNS < 3 ? BENCH_RUNS : 3)))
		do
			for in_flight in 50 200 1000
			do
				# whole rounds, for so many seconds, but no more than a processor can do
				rows=$((BENCH_SECONDS * 1000 / latency * in_flight))
				rows=$((rows < 2 * BENCH_ROWS ? rows : 2 * BENCH_ROWS / in_flight * in_flight))
				bench_in_flight $in_flight
				bench_record "limit, $in_flight, $latency ms" "$run" rate $((in_flight * 1000 / latency))
				bench_bare "bare, $in_flight, $latency ms" "$run" "$rows" $in_flight
				bench_drain "extension, $in_flight, $latency ms" "$run" "$rows"
			done
		done
	done
	bench_delay 0
}
