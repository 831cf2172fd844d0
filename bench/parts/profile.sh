# shellcheck shell=bash
# Where the worker's processor time goes: perf on it while it sends a backlog. Not part of a usual run: BENCH=profile.
# Needs perf (Debian: linux-perf), and either root's rights or kernel.perf_event_paranoid at 1 or less for what the
# kernel does. KEEP=1 keeps perf.data. MF_BENCH_DRAIN=--held measures with a snapshot held, MF_BENCH_IN_FLIGHT=n with
# so many requests in flight.

part_profile()
{
	local pid perf

	command -v perf >/dev/null || { bench_note "There is no perf here."; return; }
	bench_database
	bench_delay 0
	bench_in_flight "${MF_BENCH_IN_FLIGHT:-50}"
	bench_queue 1000
	"$BENCH_BIN/drain" --stats "$BENCH_STATS" --count 1000 >/dev/null
	bench_queue "$BENCH_ROWS"
	pid=$(bench_sql -c 'SELECT pid FROM mf_worker_status')
	perf record -q -F 999 -e cpu-clock --call-graph dwarf,16384 -p "$pid" -o "$BENCH_OUT/perf.data" 2>"$MF_SCRATCH/log/perf.log" &
	perf=$!
	sleep 0.5
	# shellcheck disable=SC2086
	bench_measure "extension, under perf" 1 "$BENCH_BIN/drain" --stats "$BENCH_STATS" --count "$BENCH_ROWS" ${MF_BENCH_DRAIN-}
	kill -INT "$perf"
	wait "$perf" || true
	perf report -i "$BENCH_OUT/perf.data" --no-children -g none --sort dso --stdio 2>/dev/null | grep -v '^#' | grep . \
		>"$BENCH_OUT/perf-objects.txt" || true
	perf report -i "$BENCH_OUT/perf.data" --no-children -g none --sort dso,symbol --percent-limit 0.3 --stdio 2>/dev/null |
		grep -v '^#' | grep . >"$BENCH_OUT/perf-symbols.txt" || true
	perf report -i "$BENCH_OUT/perf.data" --children -g none --sort symbol --percent-limit 0.7 --stdio 2>/dev/null |
		grep -v '^#' | grep . >"$BENCH_OUT/perf-inclusive.txt" || true
	cat "$BENCH_OUT/perf-objects.txt"
	bench_note "perf's reports are in $BENCH_OUT: perf-objects.txt, perf-symbols.txt, perf-inclusive.txt."
}
