#!/usr/bin/env bash
# make check: all tests on a machine that may have nothing installed, as root or not. Ends with one line
# "N passed, N failed".
#
# SUITES="core sandbox regress isolation tap"   run only these
# REGRESS="name ..."  ISOLATION="name ..."      run only these pg_regress tests or isolation specs
# TESTS="t/001_x.pl ..."                        run only these TAP tests
# JOBS=2              TAP tests at a time
# KEEP=1              leave the scratch directory, with logs and results, even if all went well
# PG_CONFIG=...       another PostgreSQL: /usr/lib/postgresql/17/bin/pg_config
# CC, OPTFLAGS, WERROR   see the Makefile
# ALLOW_EMPTY=0       a suite without any test is a failure
# TMPDIR              where the scratch directory is made, default /tmp
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/server.sh

if [ "${1-}" != --inner ]
then
	unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES
	mf_outer scripts/check.sh
	exit
fi

. scripts/suites.sh
trap mf_cleanup EXIT
trap 'exit 129' HUP INT TERM

suites=${SUITES:-core sandbox regress isolation tap}
make_variables=()
for name in CC OPTFLAGS WERROR
do
	[ -z "${!name+set}" ] || make_variables+=("$name=${!name}")
done

# build NAME DIR: builds, and counts a failure
build()
{
	local log=$MF_SCRATCH/log/build-$1.log

	mf_say "building $1"
	mf_build "$2" "$log" "${make_variables[@]}" && return
	mf_failed "build" "$log" "$1 does not build"
	return 1
}

# wanted SUITE...: whether one of them is to run
wanted()
{
	local suite

	for suite in "$@"
	do
		[[ " $suites " != *" $suite "* ]] || return 0
	done
	return 1
}

# Where a part does not build, that is the failure, and what needs it is left out.
leave_out()
{
	local suite

	for suite in "$@"
	do
		! wanted "$suite" || mf_say "left out: $suite"
		suites=" $suites "
		suites=${suites/ $suite / }
	done
}

if wanted regress isolation tap
then
	if build extension .
	then
		mf_private_install
	else
		leave_out regress isolation tap
	fi
fi
if wanted sandbox regress isolation tap && [ -e sandbox/Makefile ]
then
	build sandbox sandbox || leave_out sandbox regress isolation tap
fi

for suite in $suites
do
	case $suite in
		core) mf_suite_core "${make_variables[@]}" ;;
		sandbox) mf_suite_sandbox "${make_variables[@]}" ;;
		regress|isolation|tap) "mf_suite_$suite" ;;
		*) mf_failed "$suite" '' "no such suite: core sandbox regress isolation tap" ;;
	esac
done
mf_summary
