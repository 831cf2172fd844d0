# shellcheck shell=bash
# Over TLS 1.3, as to the real API: beside the bare client over TLS, and what a connection takes of the worker's memory.

# bench_authority: a throw-away authority and a certificate of it for this host
bench_authority()
{
	(
		cd "$BENCH_OUT"
		openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -keyout ca.key -out ca.pem \
			-subj '/CN=benchmark authority'
		openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout tls.key -out tls.csr -subj '/CN=127.0.0.1'
		openssl x509 -req -in tls.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out tls.pem \
			-extfile <(printf 'subjectAltName = IP:127.0.0.1\n')
	) >"$MF_SCRATCH/log/authority.log" 2>&1 || mf_die "openssl makes no certificate"
}

part_tls()
{
	local BENCH_STATS=$BENCH_OUT/tls.stats BENCH_URL run in_flight pid

	bench_authority
	rm -f "$BENCH_OUT/tls.port"
	"$BENCH_BIN/server" --stats "$BENCH_STATS" --port-file "$BENCH_OUT/tls.port" --certificate "$BENCH_OUT/tls.pem" \
		--key "$BENCH_OUT/tls.key" >"$MF_SCRATCH/log/tls.log" 2>&1 </dev/null &
	pid=$!
	echo "$pid" >"$BENCH_OUT/tls.pid"
	mf_poll 10 test -s "$BENCH_OUT/tls.port" || mf_die "the server of the benchmark does not start over TLS"
	BENCH_URL=https://127.0.0.1:$(<"$BENCH_OUT/tls.port")

	bench_database "ca_file '$BENCH_OUT/ca.pem'"
	bench_delay 0
	bench_in_flight 50
	bench_queue 1000
	"$BENCH_BIN/drain" --stats "$BENCH_STATS" --count 1000 >/dev/null
	for run in $(seq "$BENCH_RUNS")
	do
		bench_bare "bare, 50" "$run" "$BENCH_ROWS" 50 --ca "$BENCH_OUT/ca.pem"
		bench_drain "extension, 50" "$run" "$BENCH_ROWS"
		bench_bare "bare again, 50" "$run" "$BENCH_ROWS" 50 --ca "$BENCH_OUT/ca.pem"
	done

	# with answers that take their time all connections are open
	bench_delay 50
	for in_flight in 50 1000
	do
		bench_in_flight "$in_flight"
		bench_drain "extension, $in_flight, 50 ms" 1 "$((10 * in_flight))"
	done
	bench_record "a connection" 1 connection_kb "$(awk -F '\t' '$1 == "tls" && $4 == "peak_mb" {mb[$2] = $5}
		END {print (mb["extension, 1000, 50 ms"] - mb["extension, 50, 50 ms"]) * 1024 / 950}' "$BENCH_RESULTS")"
	mf_end "$BENCH_OUT/tls.pid"
}
