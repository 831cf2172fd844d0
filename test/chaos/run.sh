#!/usr/bin/env bash
# make chaos: the long runs of the crash and chaos tests, in a scratch directory as make check has it: the crash matrix,
# 10,000 invoices under random misfortunes, a hundred kill -9 of the worker, copies and promotions, a full disk and no
# memory, the world's moves in 200 databases. Ends with one line "N passed, N failed". Takes a quarter of an hour or so.
#
# MF_CHAOS_SEED=n        replays the choices of a run, whose seed it has printed
# MF_CHAOS_INVOICES=n    10000
# MF_CHAOS_STEPS=n       misfortunes at least: 150
# MF_CHAOS_KILLS=n       kill -9 of the worker in a row: 100
# MF_WORLD_SEEDS=n       databases that live through the world's moves: 200; MF_WORLD_SEED the first of them: 1
# MF_WORLD_JOBS=n        servers at a time, of 8 databases each: 2; more of these variables in t/042_world.pl
# SUITES="crash tap", TESTS, KEEP, PG_CONFIG, CC, OPTFLAGS as for make check
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/server.sh

if [ "${1-}" != --inner ]
then
	export MF_CHAOS_INVOICES=${MF_CHAOS_INVOICES:-10000} MF_CHAOS_STEPS=${MF_CHAOS_STEPS:-150}
	export MF_WORLD_SEEDS=${MF_WORLD_SEEDS:-200}
	export MF_CHAOS_KILLS=${MF_CHAOS_KILLS:-100} MF_SUITE_TIME=${MF_SUITE_TIME:-3600}
	mf_outer test/chaos/run.sh
	exit
fi

. scripts/suites.sh
trap mf_cleanup EXIT
trap 'exit 129' HUP INT TERM

TESTS=${TESTS:-$(echo t/013_late_answers.pl t/03[1-79]_*.pl t/04[0-2]_*.pl t/090_database_copies.pl t/099_restore_in_place.pl)}
JOBS=1
mf_make_variables
mf_run_suites crash tap
[ ! -e "$MF_SCRATCH/log/tap.log" ] || sed -n -E 's/^# ((chaos|kill -9|no memory|world):.*)/   \1/p' "$MF_SCRATCH/log/tap.log"
mf_summary
