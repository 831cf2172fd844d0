#!/usr/bin/env bash
# make valgrind: the pg_regress tests with the server under valgrind's memcheck, in a scratch directory as make check
# has it. Errors and leaks count only if a function of ours is in the stack: PostgreSQL as packaged knows nothing of
# valgrind. Ends with one line "N passed, N failed", in which every process of the server is a test too.
#
# REGRESS, KEEP, PG_CONFIG, MF_SUITE_TIME as for make check. The tests take some ten times as long.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/server.sh

if [ "${1-}" != --inner ]
then
	EXTRA=valgrind mf_outer scripts/valgrind.sh
	exit
fi

MF_SUITE_TIME=${MF_SUITE_TIME:-7200}
. scripts/suites.sh
trap mf_cleanup EXIT
trap 'exit 129' HUP INT TERM

OPTFLAGS=${OPTFLAGS--O1}
mf_make_variables
reports=$MF_SCRATCH/valgrind
mkdir "$reports"
MF_POSTGRES_WRAPPER="valgrind --quiet --tool=memcheck --num-callers=30 --track-origins=yes --leak-check=full
	--show-leak-kinds=definite --errors-for-leak-kinds=definite --trace-children=no --child-silent-after-fork=no
	--suppressions=$PWD/scripts/valgrind.supp --xml=yes --xml-file=$reports/%p.xml"
MF_START_TIME=180
MF_STOP_TIME=180
SUITES=regress
mf_run_suites regress

[ "$MF_FAILED" -eq 0 ] || [ -n "$(ls -A "$reports")" ] || { mf_summary; exit; }
processes=$(find "$reports" -name '*.xml' | wc -l)
bad=$(perl scripts/valgrind.pl 'myfatoorah(_billing)?\.so' "$reports"/*.xml | tee "$MF_SCRATCH/log/valgrind.log" | sed -n 's/^bad processes: //p')
grep -v '^bad processes: ' "$MF_SCRATCH/log/valgrind.log" | sed 's/^/   | /' || true
mf_count memcheck $((processes - bad)) "$bad" 0 "processes"
mf_summary
