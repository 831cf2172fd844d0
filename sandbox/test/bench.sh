#!/bin/sh
# Requests per second of the sandbox, by threads and connections.
# Usage: bench.sh SANDBOX LOAD

set -eu
sandbox=$1
load=$2
seconds=${SECONDS_EACH:-3}
dir=$(mktemp -d)
pid=
trap 'test -z "$pid" || kill "$pid" 2>/dev/null; rm -rf "$dir"' EXIT

for threads in 1 2
do
	for ledger in 100000 0
	do
		rm -f "$dir/port"
		"$sandbox" --quiet --threads "$threads" --ledger-limit "$ledger" --port-file "$dir/port" &
		pid=$!
		while ! test -s "$dir/port"
		do
			sleep 0.05
		done
		port=$(cat "$dir/port")
		echo "threads $threads, ledger of $ledger:"
		for connections in 1 16 64
		do
			"$load" "$port" "$connections" "$seconds"
		done
		"$load" "$port" 64 "$seconds" status
		echo "resident: $(awk '/VmRSS/ { print $2, $3 }' "/proc/$pid/status")"
		kill "$pid"
		wait "$pid"
		pid=
	done
done
