#!/usr/bin/env bash
# make billing-year: two years of bills for 500 tenants in eight countries, in a scratch directory as make check has it, with a
# clock that is moved; t/147_billing_year.pl tells what happens and what is checked. Ends with one line "N passed, N failed".
#
# MF_YEAR_TENANTS=n   500
# MF_YEAR_DAYS=n      730, from MF_YEAR_START (next year's 1 January) on
# MF_YEAR_KILLS=n     60
# MF_YEAR_SEED=n      makes the choices of a run again, whose seed it has printed
# KEEP, PG_CONFIG, CC, OPTFLAGS as for make check
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/server.sh

if [ "${1-}" != --inner ]
then
	export MF_YEAR_TENANTS=${MF_YEAR_TENANTS:-500} MF_YEAR_DAYS=${MF_YEAR_DAYS:-730} MF_YEAR_KILLS=${MF_YEAR_KILLS:-60}
	export MF_YEAR_START=${MF_YEAR_START:-$(($(date +%Y) + 1))-01-01} MF_SUITE_TIME=${MF_SUITE_TIME:-14400}
	mf_outer test/chaos/billing_year.sh
	exit
fi

. scripts/suites.sh
trap mf_cleanup EXIT
trap 'exit 129' HUP INT TERM

TESTS=t/147_billing_year.pl
JOBS=1
mf_make_variables
mf_run_suites tap
[ ! -e "$MF_SCRATCH/log/tap.log" ] || sed -n -E 's/^# (year:.*)/   \1/p' "$MF_SCRATCH/log/tap.log"
mf_summary
