#!/usr/bin/env bash
# make check: all tests on a machine that may have nothing installed, as root or not. Ends with one line
# "N passed, N failed".
#
# SUITES="core fuzz sandbox regress isolation tap crash"   run only these
# REGRESS="name ..."  ISOLATION="name ..."      run only these pg_regress tests or isolation specs
# TESTS="t/001_commit_to_request.pl ..."        run only these TAP tests
# JOBS=3              TAP tests at a time, and beside them two of the crash suite, or as many as JOBS says
# NOW="2028-02-28 23:00"   the time, in UTC, at which the suites begin after the build: all that they start has this clock
# ZONE=Asia/Kuwait    the time zone of the machine, default UTC
# KEEP=1              leave the scratch directory, with logs and results, even if all went well
# PG_CONFIG=...       another PostgreSQL: /usr/lib/postgresql/17/bin/pg_config
# CC, OPTFLAGS, WERROR   see the Makefile
# OPTIONAL=           packages to install if that is possible, default "chromium chromium-driver zbar-tools"; set it empty to do without
# NOINSTALL=1         install nothing and use no network: what needs a missing package is skipped
# ALLOW_EMPTY=0       a suite without any test is a failure
# TMPDIR              where the scratch directory is made, default /tmp
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/server.sh

if [ "${1-}" != --inner ]
then
	# for one test, which is skipped without
	if [[ " ${SUITES:-tap} " == *" tap "* && ${TESTS:-browser} == *browser* ]]
	then
		export OPTIONAL="${OPTIONAL-chromium chromium-driver zbar-tools}"
	fi
	mf_outer scripts/check.sh
	exit
fi

. scripts/suites.sh
trap mf_cleanup EXIT
trap 'exit 129' HUP INT TERM

mf_make_variables
# Tests with failpoints wait most of the time.
MF_BESIDE=crash
mf_run_suites core fuzz sandbox crash regress isolation tap
mf_summary
