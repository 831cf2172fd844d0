# shellcheck shell=bash
# The test suites and the counting, for the inner halves of check, valgrind and sanitize. To be sourced after
# server.sh.
#
# Each suite is a function: it runs, and reports with mf_count. mf_summary prints a line for each suite and the
# closing line, and fails if anything failed.

MF_PASSED=0
MF_FAILED=0
MF_SUMMARY=()
MF_NOT_OK=()

# Longest time for one suite, in seconds
MF_SUITE_TIME=${MF_SUITE_TIME:-4200}

# mf_count NAME PASSED FAILED [SKIPPED [NOTE]]
mf_count()
{
	local line

	MF_PASSED=$((MF_PASSED + $2))
	MF_FAILED=$((MF_FAILED + $3))
	line=$(printf '   %-10s %4d ok %4d not ok' "$1" "$2" "$3")
	[ "${4:-0}" -eq 0 ] || line+=$(printf ' %4d skipped' "$4")
	MF_SUMMARY+=("$line${5:+   ($5)}")
}

# mf_not_ok NAME LOG: keeps the names of failed tests for the summary, which is all that some readers get to see
mf_not_ok()
{
	local line

	while read -r line
	do
		MF_NOT_OK+=("   $1: $line")
	done < <(perl -ne 'print "$1\n" if /^\s*not ok\b(?!.*#\s*(?:TODO|SKIP))[\s\d:-]*(.*)/i' "$2")
}

# mf_no_tests NAME WHAT: the suite has no tests in the tree
mf_no_tests()
{
	if [ "${ALLOW_EMPTY:-1}" = 1 ]
	then
		mf_say "WARNING: $1: there is no $2"
		mf_count "$1" 0 0 0 "no tests"
	else
		mf_say "FAILED: $1: there is no $2"
		mf_count "$1" 0 1 0 "no tests"
	fi
}

# mf_skip NAME WHY: the suite cannot run here
mf_skip()
{
	mf_say "$1: skipped: $2"
	mf_count "$1" 0 0 1 "$2"
}

# mf_failed NAME LOG LINE: the suite could not run
mf_failed()
{
	mf_say "FAILED: $1: $3"
	[ -z "$2" ] || mf_show "$2" 40
	mf_count "$1" 0 1 0 "$3"
}

# mf_build_or_fail NAME DIR [VARIABLE=VALUE...]: builds, and counts a failure
mf_build_or_fail()
{
	local name=$1 dir=$2 log=$MF_SCRATCH/log/build-$1.log
	shift 2
	mf_say "building $name"
	mf_build "$dir" "$log" "${MF_MAKE[@]}" "$@" && return
	mf_failed build "$log" "$name does not build"
	return 1
}

# mf_show LOG LINES: the end of a log, if there is one, indented so that it is not mistaken for our own words
mf_show()
{
	[ -e "$1" ] || return 0
	echo "   --- end of $1"
	tail -n "$2" "$1" | sed 's/^/   | /'
}

# mf_run LOG COMMAND...: with a time limit, in the background so that a signal to us is not kept waiting
mf_run()
{
	local log=$1
	shift
	timeout -k 10 "$MF_SUITE_TIME" "$@" >"$log" 2>&1 </dev/null &
	MF_RUNNING=$!
	local status=0
	wait "$MF_RUNNING" || status=$?
	MF_RUNNING=
	[ $status -ne 124 ] || echo "ended after $MF_SUITE_TIME seconds" >>"$log"
	return $status
}

# mf_read_counts LOG STATUS: sets passed, failed and skipped of the caller from what a runner printed: TAP (cmocka
# prints it with CMOCKA_MESSAGE_OUTPUT=TAP), cmocka's own words, or a closing line. A failure that no test shows
# (a crash, say) counts as one.
mf_read_counts()
{
	read -r passed failed skipped < <(perl -ne '
		if (/^\s*not ok\b(?!.*#\s*(?:TODO|SKIP))/i) { $tap++; $not++ }
		elsif (/^\s*(?:not )?ok\b.*#\s*SKIP/i) { $tap++; $skip++ }
		elsif (/^\s*ok\b/) { $tap++; $ok++ }
		elsif (/^\[\s+PASSED\s+\]\s+(\d+) test/) { $cm_ok += $1 }
		elsif (/^\[\s+FAILED\s+\]\s+(\d+) test/) { $cm_not += $1 }
		elsif (/^(\d+) passed, (\d+) failed/) { $own_ok += $1; $own_not += $2 }
		END {
			($ok, $not) = ($cm_ok, $cm_not) if !$tap && defined $cm_ok || !$tap && defined $cm_not;
			($ok, $not) = ($own_ok, $own_not) if !$tap && !defined $cm_ok && !defined $cm_not;
			printf "%d %d %d\n", $ok // 0, $not // 0, $skip // 0;
		}' "$1")
	[ "$2" -eq 0 ] || [ "$failed" -gt 0 ] || failed=1
}

# mf_report NAME LOG STATUS: counts what a suite printed, and shows it if something failed
mf_report()
{
	local passed failed skipped

	mf_read_counts "$2" "$3"
	if [ $((passed + failed)) -eq 0 ]
	then
		mf_failed "$1" "$2" "ran no test"
		return
	fi
	if [ "$failed" -gt 0 ]
	then
		mf_show "$2" 60
		mf_not_ok "$1" "$2"
	fi
	mf_count "$1" "$passed" "$failed" "$skipped"
}

# mf_make_suite NAME DIR: the tests that a directory's own makefile runs
mf_make_suite()
{
	local name=$1 dir=$2 log=$MF_SCRATCH/log/$1.log status=0

	if ! [ -e "$dir/Makefile" ]
	then
		mf_no_tests "$name" "$dir/Makefile"
		return
	fi
	mf_say "$name: make -C $dir check"
	CMOCKA_MESSAGE_OUTPUT=TAP mf_run "$log" make -C "$dir" check "${MF_MAKE[@]}" || status=$?
	mf_report "$name" "$log" "$status"
}

# mf_server_up DIR and mf_server_down: sandbox and cluster for a suite
mf_server_up()
{
	MF_UP=$1
	{ ! [ -e sandbox/mf-sandbox ] || mf_sandbox_start "$MF_UP/sandbox"; } &&
		mf_cluster_init "$MF_UP" && mf_cluster_start "$MF_UP"
}

mf_server_down()
{
	[ -n "${MF_UP-}" ] || return 0
	mf_cluster_stop "$MF_UP"
	mf_sandbox_stop "$MF_UP/sandbox"
	MF_UP=
}

# mf_make_variable NAME: the value that the Makefile gives it
mf_make_variable()
{
	make --no-print-directory -s "print-$1"
}

# mf_regress_suite NAME PROGRAM DATABASE DIR TEST...: pg_regress or pg_isolation_regress on a cluster of its own, with
# the tests of that directory
mf_regress_suite()
{
	local name=$1 program=$2 database=$3 dir=$4 log=$MF_SCRATCH/log/$1.log out=$MF_SCRATCH/$1 status=0
	local passed failed skipped test expected=()
	shift 4
	# from 16 on a file of that name in expected/ would be taken first
	[[ $("$program" --help) != *--expecteddir* ]] || expected=(--expecteddir="$dir")
	mf_say "$name: $*"
	mkdir -p "$out/out"
	# Without the file the runner would stop there; with an empty one the test fails and leaves its output.
	for test in "$@"
	do
		[ -e "$dir/expected/$test.out" ] || { mkdir -p "$dir/expected" && : >"$dir/expected/$test.out"; }
	done
	if mf_server_up "$out"
	then
		mf_run "$log" "$program" --inputdir="$dir" "${expected[@]}" --outputdir="$out/out" --bindir="$MF_BIN" --dbname="$database" \
			--host="$PGHOST" --port="$PGPORT" --user=postgres "$@" || status=$?
		mf_server_down
	else
		mf_server_down
		mf_failed "$name" '' "no server"
		return
	fi
	# Up to version 15 lines are "test name ... ok 12 ms"; from 16 on it is TAP.
	sed -i -E -e 's/^(test )?\s*(\S+)\s+\.\.\. ok\b/ok - \2/' -e 's/^(test )?\s*(\S+)\s+\.\.\. FAILED\b/not ok - \2/' "$log"
	sed -n -E 's/^((not )?ok\b.*)/   \1/p' "$log"
	mf_read_counts "$log" "$status"
	if [ "$failed" -gt 0 ]
	then
		mf_not_ok "$name" "$log"
		grep -E -A 1 'terminated by signal|PANIC|TRAP:' "$out/server.log" | sed 's/^/   ! /' || true
		if [ -s "$out/out/regression.diffs" ]
		then
			echo "   --- $out/out/regression.diffs"
			head -n 150 "$out/out/regression.diffs" | sed 's/^/   | /'
		else
			mf_show "$log" 40
			mf_show "$out/server.log" 20
		fi
	fi
	if [ $((passed + failed)) -eq 0 ]
	then
		mf_failed "$name" "$log" "ran no test"
	else
		mf_count "$name" "$passed" "$failed" "$skipped"
	fi
}

mf_suite_core()
{
	if ! pkg-config --exists cmocka
	then
		mf_skip core "there is no cmocka (Debian package libcmocka-dev)"
		return
	fi
	mf_make_suite core test/core
}

# A short run, the same each time: kept inputs, new ones from a fixed seed, failing allocations; make fuzz takes its time
mf_suite_fuzz()
{
	mf_make_suite fuzz test/fuzz
}

mf_suite_sandbox()
{
	mf_make_suite sandbox sandbox
}

# mf_billing_tests "NAME ..." and mf_core_tests "NAME ...": those of a list that begin with "billing/", without that; the
# others
mf_billing_tests()
{
	tr -s ' ' '\n' <<<"$1" | sed -n 's,^billing/,,p' | xargs
}

mf_core_tests()
{
	tr -s ' ' '\n' <<<"$1" | sed '/^billing\//d' | xargs
}

# mf_after NAME "NAME ...": those of a list, after the one that they build on; nothing if there are none
mf_after()
{
	[ -z "$2" ] || echo "$1 $(xargs -n 1 <<<"$2" | sed "/^$1\$/d" | xargs)"
}

mf_suite_regress()
{
	local tests billing program=$MF_PGXS_SRC/test/regress/pg_regress

	tests=${REGRESS:-$(mf_make_variable REGRESS) $(mf_make_variable BILLING_REGRESS)}
	billing=$(mf_after setup "$(mf_billing_tests "$tests")")
	tests=$(mf_after setup "$(mf_core_tests "$tests")")
	if [ -z "$tests$billing" ]
	then
		mf_no_tests regress "sql/*.sql but the install script"
	fi
	# shellcheck disable=SC2086
	[ -z "$tests" ] || mf_regress_suite regress "$program" contrib_regression . $tests
	# shellcheck disable=SC2086
	[ -z "$billing" ] || mf_regress_suite regress-billing "$program" contrib_regression billing $billing
}

mf_suite_isolation()
{
	local tests billing program=$MF_PGXS_SRC/test/isolation/pg_isolation_regress

	if ! [ -x "$program" ]
	then
		mf_skip isolation "this PostgreSQL was installed without pg_isolation_regress"
		return
	fi
	tests=${ISOLATION:-$(mf_make_variable ISOLATION) $(mf_make_variable BILLING_ISOLATION)}
	billing=$(mf_billing_tests "$tests")
	tests=$(mf_after set_up "$(mf_core_tests "$tests")")
	if [ -z "$tests$billing" ]
	then
		mf_no_tests isolation "specs/*.spec"
	fi
	# shellcheck disable=SC2086
	[ -z "$tests" ] || mf_regress_suite isolation "$program" isolation_regression . $tests
	# shellcheck disable=SC2086
	[ -z "$billing" ] || mf_regress_suite isolation-billing "$program" isolation_regression billing $billing
}

mf_suite_tap()
{
	local tests

	tests=$(mf_tap_tests | grep -v "$MF_CRASH_TESTS" || true)
	if [ -z "$tests" ]
	then
		[ -n "${TESTS-}" ] || mf_no_tests tap "t/*.pl"
		return
	fi
	mf_tap_suite tap "$tests"
}

# The TAP tests that need failpoints, against a build of their own
MF_CRASH_TESTS='\(032_crash_matrix\|033_crash_in_payment\|034_crash_in_worker_start\|035_reload_in_worker_start\|036_slow_commit\|037_fault_in_each_statement\|038_full_notify_queue\|148_bills_killed\|167_repeated_requests_killed\)\.pl$'

mf_suite_crash()
{
	local tests log=$MF_SCRATCH/log/build-crash.log tree=$MF_SCRATCH/crash bin=$MF_BIN path=$PATH

	tests=$(mf_tap_tests | grep "$MF_CRASH_TESTS" || true)
	if [ -z "$tests" ]
	then
		[ -n "${TESTS-}" ] || mf_no_tests crash "TAP test of failpoints"
		return
	fi
	mf_say "building extension with failpoints"
	mkdir -p "$tree/src"
	tar --exclude='*.[od]' --exclude='*.so' -cf - Makefile ./*.control src sql billing monitoring | tar -C "$tree/src" -xf -
	if ! mf_build "$tree/src" "$log" "${MF_MAKE[@]}" FAILPOINTS=1
	then
		mf_failed crash "$log" "extension with failpoints does not build"
		return
	fi
	mf_private_install "$tree/src" "$tree/pg"
	mf_tap_suite crash "$tests"
	sed -n '/^# crash matrix/,/^# .* cells/s/^# /   /p' "$MF_SCRATCH/log/crash.log"
	MF_BIN=$bin PATH=$path
}

# The TAP tests asked for, one per line
mf_tap_tests()
{
	if [ -n "${TESTS-}" ]
	then
		# shellcheck disable=SC2086
		printf '%s\n' $TESTS
	else
		find t -maxdepth 1 -name '*.pl' | sort
	fi
}

# TAP tests start servers by pg_ctl: where words to run them under are given, the program becomes a script with them.
mf_wrap_postgres()
{
	if [ -n "${MF_POSTGRES_WRAPPER-}" ] && ! [ -e "$MF_BIN/postgres.bin" ]
	then
		mv "$MF_BIN/postgres" "$MF_BIN/postgres.bin"
		printf '#!/bin/sh\nexec %s "%s" "$@"\n' "$MF_POSTGRES_WRAPPER" "$MF_BIN/postgres.bin" >"$MF_BIN/postgres"
		chmod +x "$MF_BIN/postgres"
	fi
}

# mf_tap_suite NAME TESTS: TAP tests start their own servers and sandboxes, through test/perl/MyFatoorah.
mf_tap_suite()
{
	local name=$1 tests=$2 log=$MF_SCRATCH/log/$1.log out=$MF_SCRATCH/$1 status=0
	local test passed failed skipped

	if ! [ -e "$MF_PGXS_SRC/test/perl/PostgreSQL/Test/Cluster.pm" ]
	then
		mf_skip "$name" "this PostgreSQL has no PostgreSQL::Test::Cluster; it takes --enable-tap-tests, and 14.3 or later"
		return
	fi
	mf_say "$name: ${tests//$'\n'/ }"
	mkdir -p "$out/tmp_check/log"
	mf_wrap_postgres
	# shellcheck disable=SC2086
	TESTDIR=$out TESTDATADIR=$out/tmp_check TESTLOGDIR=$out/tmp_check/log \
		PG_REGRESS=$MF_PGXS_SRC/test/regress/pg_regress PGPORT=65432 \
		PG_TEST_TIMEOUT_DEFAULT="${PG_TEST_TIMEOUT_DEFAULT:-180}" \
		PERL5LIB=$PWD/test/perl:$MF_PGXS_SRC/test/perl MF_SANDBOX=$PWD/sandbox/mf-sandbox \
		mf_run "$log" perl scripts/tap.pl "${JOBS:-3}" $tests || status=$?
	mf_end_left_behind "$out"
	grep -E '^   ' "$log" || true
	read -r passed failed skipped < <(sed -n 's/^counts: //p' "$log") || true
	if [ -z "${passed-}" ]
	then
		mf_failed "$name" "$log" "the runner did not end"
		return
	fi
	[ "$status" -eq 0 ] || [ "$failed" -gt 0 ] || failed=1
	if [ $((passed + failed)) -eq 0 ]
	then
		mf_failed "$name" "$log" "ran no test"
		return
	fi
	if [ "$failed" -gt 0 ]
	then
		mf_not_ok "$name" "$log"
		mf_show "$log" 100
		sed -n -E 's,^   (t/)?(\S+)\.pl +[0-9]+ not ok\b.*$,\2,p' "$log" | while read -r test
		do
			mf_show "$out/tmp_check/log/regress_log_$test" 25
		done
	fi
	mf_count "$name" "$passed" "$failed" "$skipped"
}

# mf_run_suites SUITE...: builds what is needed and runs these suites, or those of them that SUITES names. The suite that
# MF_BESIDE names runs beside those after it.
mf_run_suites()
{
	local suite suites=${SUITES:-$*}

	for suite in $suites
	do
		if [[ " $* " != *" $suite "* ]]
		then
			mf_failed "$suite" '' "no such suite; there are: $*"
			mf_leave_out "$suite"
		fi
	done
	mf_build_suites
	[ -z "${NOW-}" ] || mf_move_clock || return
	for suite in $suites
	do
		if [ "$suite" = "${MF_BESIDE-}" ] && [[ $suites =~ $suite\ +[a-z] ]]
		then
			mf_start_beside "$suite"
		else
			"mf_suite_$suite"
		fi
	done
	mf_wait_beside
}

# mf_start_beside SUITE: starts it in the background, two tests at a time; mf_wait_beside waits for it, shows what it said and
# counts what it counted.
mf_start_beside()
{
	mf_say "$1: beside the others"
	mf_beside "$1" >"$MF_SCRATCH/log/beside.log" 2>&1 &
	MF_STARTED_BESIDE=$!
}

mf_beside()
{
	MF_PASSED=0 MF_FAILED=0 MF_SUMMARY=() MF_NOT_OK=() JOBS=${JOBS:-2}
	# shellcheck disable=SC2064
	trap "mf_cleanup '$MF_SCRATCH/$1'" EXIT
	trap 'exit 129' HUP INT TERM
	"mf_suite_$1"
	printf '%s\n' "$MF_PASSED $MF_FAILED ${#MF_SUMMARY[@]}" "${MF_SUMMARY[@]}" ${MF_NOT_OK[@]+"${MF_NOT_OK[@]}"} >"$MF_SCRATCH/log/beside"
}

mf_wait_beside()
{
	local passed failed lines line

	[ -n "${MF_STARTED_BESIDE-}" ] || return 0
	wait "$MF_STARTED_BESIDE" || true
	MF_STARTED_BESIDE=
	cat "$MF_SCRATCH/log/beside.log"
	if ! [ -e "$MF_SCRATCH/log/beside" ]
	then
		mf_failed "$MF_BESIDE" '' "it did not end"
		return
	fi
	{
		read -r passed failed lines
		while IFS= read -r line
		do
			if [ $((lines--)) -gt 0 ]
			then
				MF_SUMMARY+=("$line")
			else
				MF_NOT_OK+=("$line")
			fi
		done
	} <"$MF_SCRATCH/log/beside"
	MF_PASSED=$((MF_PASSED + passed))
	MF_FAILED=$((MF_FAILED + failed))
}

# mf_build_suites: builds what the caller's suites need. Where a part does not build, that is the failure, and what needs
# it is left out.
mf_build_suites()
{
	if mf_wanted regress isolation tap crash
	then
		if mf_build_or_fail extension .
		then
			mf_private_install
		else
			mf_leave_out regress isolation tap crash
		fi
	fi
	if mf_wanted sandbox regress isolation tap crash && [ -e sandbox/Makefile ]
	then
		mf_build_or_fail sandbox sandbox || mf_leave_out sandbox regress isolation tap crash
		# a build with sanitizers stays apart from the program that the other suites talk to
		[ -e sandbox/mf-sandbox ] || make -s -C sandbox >> "$MF_SCRATCH/log/build-sandbox.log" 2>&1 ||
			mf_leave_out regress isolation tap crash
	fi
}

# mf_move_clock: from here on it is NOW for all that is started
mf_move_clock()
{
	local base=$MF_SCRATCH/moved_clock

	perl -e 'print pack "q", 1000000 * ($ARGV[0] - time)' "$(date -u -d "$NOW" +%s)" >"$base" &&
		"${CC:-cc}" -O1 -shared -fPIC -o "$base.so" test/chaos/moved_clock.c -ldl || return
	export MF_MOVED_CLOCK=$base LD_PRELOAD=$base.so
	mf_say "it is $(date)"
}

# mf_wanted SUITE...: whether one of them is among the caller's suites
mf_wanted()
{
	local suite

	for suite in "$@"
	do
		[[ " $suites " != *" $suite "* ]] || return 0
	done
	return 1
}

# mf_leave_out SUITE...: takes them from the caller's suites
mf_leave_out()
{
	local suite

	for suite in "$@"
	do
		! mf_wanted "$suite" || mf_say "left out: $suite"
		suites=" $suites "
		suites=${suites// $suite / }
	done
}

# mf_cleanup [DIR]: ends what runs; for the EXIT trap
mf_cleanup()
{
	local pid

	for pid in ${MF_RUNNING-} ${MF_STARTED_BESIDE-}
	do
		kill -TERM "$pid" 2>/dev/null || true
		mf_poll 20 mf_is_gone "$pid" || kill -KILL "$pid" 2>/dev/null || true
	done
	mf_end_left_behind "$@"
	mf_server_down
}

# mf_end_left_behind [DIR]: a TAP test that was killed leaves its servers, in that directory of a suite or in any. Each is
# known by the file with its id in its data directory.
mf_end_left_behind()
{
	local file pid

	while IFS= read -r file
	do
		read -r pid <"$file" || continue
		# Not somebody else's who has got the number since
		if tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF "$(dirname "$file")"
		then
			kill -QUIT "$pid" && mf_poll 10 mf_is_gone "$pid" || kill -KILL "$pid" || true
		fi 2>/dev/null
	done < <(find "${1:-$MF_SCRATCH}" -maxdepth 5 -path '*/tmp_check/*/pgdata/postmaster.pid')
}

# mf_summary: the end of a run
mf_summary()
{
	mf_say "summary after $SECONDS seconds"
	printf '%s\n' "${MF_SUMMARY[@]}"
	if [ "$MF_FAILED" -gt 0 ]
	then
		[ ${#MF_NOT_OK[@]} -eq 0 ] || printf '%s\n' "${MF_NOT_OK[@]:0:40}"
		echo "   logs and results are in $MF_SCRATCH"
	fi
	echo "$MF_PASSED passed, $MF_FAILED failed"
	[ "$MF_FAILED" -eq 0 ] && [ "$MF_PASSED" -gt 0 ]
}
