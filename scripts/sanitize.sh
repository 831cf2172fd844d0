#!/usr/bin/env bash
# make sanitize: the core's tests, the stand-in's tests, the pg_regress tests and the TAP tests of the listener with
# everything of ours built with AddressSanitizer and UndefinedBehaviorSanitizer, in a scratch directory as make check has it. Whatever a sanitizer
# reports is a failure. Ends with one line "N passed, N failed".
#
# SUITES="core sandbox regress tap", REGRESS, TESTS, KEEP, PG_CONFIG as for make check.
# SANITIZERS=address,undefined    which sanitizers
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/server.sh

if [ "${1-}" != --inner ]
then
	mf_outer scripts/sanitize.sh
	exit
fi

. scripts/suites.sh
trap mf_cleanup EXIT
trap 'exit 129' HUP INT TERM

sanitizers=${SANITIZERS:-address,undefined}
reports=$MF_SCRATCH/sanitize
mkdir "$reports"
# Reports go to files, one per process, so that no test can swallow them.
export ASAN_OPTIONS="log_path=$reports/report:detect_leaks=1:abort_on_error=0:disable_coredump=1"
export UBSAN_OPTIONS="log_path=$reports/report:print_stacktrace=1"
export LSAN_OPTIONS="print_suppressions=0"

mf_make_variables
MF_MAKE+=("SANITIZE=$sanitizers" "WERROR=${WERROR-}")

# The server itself is not built with sanitizers: their runtime must be there before our library is. A backend frees
# nothing at its end; looking for leaks there is valgrind's task (make valgrind).
gcc -O1 -fno-builtin -shared -fPIC -o "$MF_SCRATCH/sanitize_preload.so" scripts/sanitize_preload.c
# What a test preloads, such as a clock that it moves, comes after them.
preload=$(gcc -print-file-name=libasan.so):$(gcc -print-file-name=libubsan.so):$MF_SCRATCH/sanitize_preload.so
MF_POSTGRES_WRAPPER="sh $MF_SCRATCH/sanitized"
cat >"$MF_SCRATCH/sanitized" <<EOF
export ASAN_OPTIONS=${ASAN_OPTIONS/detect_leaks=1/detect_leaks=0} LD_PRELOAD=$preload\${LD_PRELOAD:+:\$LD_PRELOAD}
exec "\$@"
EOF

TESTS=${TESTS:-t/050_listener.pl t/051_listener_abuse.pl}
mf_run_suites core sandbox regress tap

found=$(find "$reports" -type f | wc -l)
for report in "$reports"/*
do
	[ ! -f "$report" ] || mf_show "$report" 60
done
if [ "$found" -gt 0 ]
then
	mf_count sanitizers 0 "$found" 0 "processes with reports"
else
	mf_count sanitizers 1 0 0 "no report"
fi
mf_summary
