#!/usr/bin/env bash
# make attack: what has been tried against the extension by people who mean it no good, class by class, by the tests of
# make check (scripts/attacks.list). Ends with a table and one line "N passed, N failed".
#
# ATTACKS="class ..."   run only these
# JOBS, KEEP, PG_CONFIG and others as for make check
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/server.sh

if [ "${1-}" != --inner ]
then
	mf_outer scripts/attack.sh
	exit
fi

. scripts/suites.sh
trap mf_cleanup EXIT
trap 'exit 129' HUP INT TERM

# attack CLASS TEST...: counts the checks of these tests; one of pg_regress is one check
attack()
{
	local class=$1 passed=$MF_PASSED failed=$MF_FAILED tap=() crash=() sql=() test
	shift
	for test in "$@"
	do
		if [[ $test != t/* ]]
		then
			sql+=("$test")
		elif grep -q "$MF_CRASH_TESTS" <<<"$test"
		then
			crash+=("$test")
		else
			tap+=("$test")
		fi
	done
	if [ ${#sql[@]} -gt 0 ]
	then
		mf_regress_suite "$class-sql" "$MF_PGXS_SRC/test/regress/pg_regress" contrib_regression . setup "${sql[@]}"
		# the set-up tries nothing
		[ "$MF_PASSED" -eq "$passed" ] || MF_PASSED=$((MF_PASSED - 1))
	fi
	[ ${#tap[@]} -eq 0 ] || mf_tap_suite "$class" "$(printf '%s\n' "${tap[@]}")"
	[ ${#crash[@]} -eq 0 ] || TESTS="${crash[*]}" mf_suite_crash
	passed=$((MF_PASSED - passed))
	failed=$((MF_FAILED - failed))
	table+=("$(printf '   %-10s %5d %5d' "$class" $((passed + failed)) "$passed")")
}

mf_make_variables
suites="regress tap"
mf_build_suites
table=("$(printf '   %-10s %5s %5s' class tried held)")
mapfile -t classes < <(grep '^[a-z]' scripts/attacks.list)
for line in "${classes[@]}"
do
	read -ra words <<<"$line"
	if mf_wanted tap && [[ -z ${ATTACKS-} || " $ATTACKS " == *" ${words[0]} "* ]]
	then
		attack "${words[@]}"
	fi
done
MF_SUMMARY=("${table[@]}")
mf_summary
