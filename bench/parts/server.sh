# shellcheck shell=bash
# The yardstick itself: the bare client against the benchmark's server and against the stand-in API. Neither may be
# what limits the client: how busy the server was is part of the result.

# bench_process_cpu PID: nanoseconds of all its threads
bench_process_cpu()
{
	cat /proc/"$1"/task/*/schedstat | awk '{n += $1} END {printf "%.0f\n", n}'
}

# bench_bare_busy SERIES RUN PID URL REQUESTS CONNECTIONS: the bare client, and how busy the server is meanwhile
bench_bare_busy()
{
	local cpu

	cpu=$(bench_process_cpu "$3")
	BENCH_URL=$4 bench_bare "$1" "$2" "$5" "$6"
	cpu=$(($(bench_process_cpu "$3") - cpu))
	bench_record "$1" "$2" server_cpu_us "$(awk -v c=$cpu -v n="$5" 'BEGIN {print c / 1000 / n}')"
}

part_server()
{
	local run connections

	bench_delay 0
	for run in $(seq "$BENCH_RUNS")
	do
		for connections in 50 1000
		do
			bench_bare_busy "minimal server, $connections" "$run" "$(<"$BENCH_OUT/server.pid")" "$BENCH_URL" \
				"$BENCH_ROWS" $connections
			bench_bare_busy "stand-in API, $connections" "$run" "$(<"$BENCH_OUT/sandbox/pid")" "$MF_SANDBOX_URL" \
				"$BENCH_ROWS" $connections
		done
	done
	curl -sf -X POST "$MF_CONTROL_URL/reset" >/dev/null
}
