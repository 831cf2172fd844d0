#!/usr/bin/env bash
# make ha: three nodes under Patroni on this machine, with sessions that insert all the time, while nodes are switched, killed,
# frozen, cut off from etcd and rebuilt, in random order, in synchronous and asynchronous mode. Prints a table: rows lost
# and doubled, seconds without sending. Ends with one line "N passed, N failed". Takes a quarter of an hour.
#
# Needs Debian's packages patroni, etcd-server and python3-etcd, which it installs like all others that are missing.
# MF_HA_ROUNDS=n      how often each event happens: 1
# MF_HA_MODES=...     "synchronous asynchronous"
# MF_HA_EVENTS=...    some of the events only: switchover drained killed server frozen lag manager beside etcd failsafe rebuilt
# MF_HA_SEED=n        the same order again
# KEEP, PG_CONFIG, CC, OPTFLAGS, NOINSTALL as for make check
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/server.sh

if [ "${1-}" != --inner ]
then
	export MF_HA_ROUNDS=${MF_HA_ROUNDS:-1} MF_SUITE_TIME=${MF_SUITE_TIME:-7200}
	export EXTRA="patroni etcd-server python3-etcd"
	mf_outer test/ha/run.sh
	exit
fi

. scripts/suites.sh
trap mf_cleanup EXIT
trap 'exit 129' HUP INT TERM

SUITES=tap
TESTS=t/106_patroni.pl
JOBS=1
mf_make_variables
mf_run_suites tap
sed -n -E 's/^# ha: /   /p' "$MF_SCRATCH/log/tap.log"
mf_summary
