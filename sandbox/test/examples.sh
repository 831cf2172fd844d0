#!/bin/sh
# examples.sh BINARY README: runs the README's examples for other languages, each against a server of its own. Each must
# print "Paid".
set -eu
binary=$1
readme=$2
dir=$(mktemp -d)
server=
trap 'if [ -n "$server" ]; then kill "$server"; fi; rm -rf "$dir"' EXIT
failed=0

# example BLOCK PROGRAM...: BLOCK is the language of the code block
example()
{
	block=$1
	shift
	if ! command -v "$1" >/dev/null
	then
		echo "$block: skipped, no $1"
		return
	fi
	rm -f "$dir/port"
	"$binary" --quiet --port 0 --port-file "$dir/port" &
	server=$!
	until [ -s "$dir/port" ]
	do
		kill -0 "$server"
		sleep 0.05
	done
	sed -n '/^## Use it from any language/,/^## The API/p' "$readme" | sed -n "/^\`\`\`$block\$/,/^\`\`\`\$/p" |
		sed '1d;$d' | sed "s/127\\.0\\.0\\.1:8099/127.0.0.1:$(cat "$dir/port")/" >"$dir/example"
	if out=$("$@" "$dir/example") && [ "$out" = Paid ]
	then
		echo "$block: ok"
	else
		echo "$block: FAILED: $out"
		failed=1
	fi
	kill "$server"
	wait "$server" || true
	server=
}

example sh sh
example python python3
example javascript node
example php php
exit $failed
