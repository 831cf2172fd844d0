#!/usr/bin/env bash
# run.sh check|fuzz|merge PROGRAM...: what the Makefile here does with the built programs. A program of a fuzz target
# is called as the directory of its kept inputs, corpus/NAME; what make fuzz finds is kept in build/found/NAME, and an
# input that breaks something in build/broken/. HAVE_FUZZER=yes says that the programs have libFuzzer in them.
set -euo pipefail
cd "$(dirname "$0")"

mode=$1
shift
# Half an input of a hundred thousand bytes is not of interest; depth and number are limited by src/core.
options=(-max_len=6000 -timeout=20 -rss_limit_mb=1500 -print_final_stats=1 -artifact_prefix=build/broken/)
export ASAN_OPTIONS=${ASAN_OPTIONS-detect_leaks=1:allocator_may_return_null=1}
mkdir -p build/broken

# Addresses that are the same each time make the choice of inputs repeatable. Not every container allows it.
fixed_addresses=()
! setarch -R true 2>/dev/null || fixed_addresses=(setarch -R)

# run_target PROGRAM OPTION...: fuzzes as libFuzzer's options say; what it printed goes to build/NAME.log
run_target()
{
	local program=$1 name

	shift
	name=$(basename "$program")
	mkdir -p "build/found/$name"
	"${fixed_addresses[@]}" "$program" "${options[@]}" "$@" -dict="$(dictionary "$name")" "build/found/$name" "corpus/$name" >"build/$name.log" 2>&1
}

# Words of MyFatoorah and of JSON for all that reads answers, spellings of times and amounts for the rest
dictionary()
{
	case $1 in
		json|envelope|send_result|status_result|body|webhook|webhook_log) echo json.dict ;;
		*) echo text.dict ;;
	esac
}

# figures NAME: "123456 runs, coverage 789"
figures()
{
	local runs coverage

	runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "build/$1.log")
	coverage=$(sed -n -E 's/.* cov: ([0-9]+) .*/\1/p' "build/$1.log" | tail -n 1)
	echo "${runs:-0} runs, coverage ${coverage:-0}"
}

check()
{
	local number=0 failed=0 program name

	echo "1..$#"
	for program in "$@"
	do
		number=$((number + 1))
		name=$(basename "$program")
		if [ "$name" = alloc ]
		then
			if "$program" >build/alloc.log 2>&1
			then
				echo "ok $number - alloc: $(tail -n 1 build/alloc.log)"
				continue
			fi
		elif [ "${HAVE_FUZZER-}" != yes ]
		then
			if "$program" "corpus/$name" >"build/$name.log" 2>&1
			then
				echo "ok $number - $name: $(tail -n 1 "build/$name.log") # SKIP no fuzzing without clang and its libFuzzer (Debian: clang and libclang-rt-*-dev), only kept inputs were run"
				continue
			fi
		# The same inputs each time, so that a failure of make check can be repeated; new ones are make fuzz's to find
		elif run_target "$program" -seed=1 -runs=30000 -entropic=0 -use_cmp=0
		then
			echo "ok $number - $name: $(figures "$name")"
			continue
		fi
		echo "not ok $number - $name"
		tail -n 60 "build/$name.log" | sed 's/^/# /'
		failed=1
	done
	return $failed
}

fuzz()
{
	local program name

	need_fuzzer
	for program in "$@"
	do
		name=$(basename "$program")
		if ! run_target "$program" -max_total_time="$FUZZ_SECONDS"
		then
			tail -n 100 "build/$name.log"
			echo "$name: FAILED; the input is in test/fuzz/build/broken/"
			return 1
		fi
		echo "$name: $(figures "$name"), $FUZZ_SECONDS seconds"
	done
}

merge()
{
	local program name

	need_fuzzer
	for program in "$@"
	do
		name=$(basename "$program")
		rm -rf "build/merged/$name"
		mkdir -p "build/merged/$name"
		"$program" -merge=1 "${options[@]}" "build/merged/$name" "corpus/$name" >"build/$name.log" 2>&1
		rm -rf "corpus/$name"
		cp -r "build/merged/$name" "corpus/$name"
		echo "$name: $(find "corpus/$name" -type f | wc -l) inputs"
	done
}

need_fuzzer()
{
	[ "${HAVE_FUZZER-}" = yes ] ||
		{ echo "fuzzing needs clang and its libFuzzer (Debian: clang and libclang-rt-*-dev)" >&2; exit 1; }
}

"$mode" "$@"
