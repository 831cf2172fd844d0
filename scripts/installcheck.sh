#!/usr/bin/env bash
# make installcheck: the tests of pg_regress, the core's and those of bills, against a server that is running and has both
# extensions installed, as PGHOST, PGPORT and PGUSER name it. Builds and starts the stand-in API itself, and ends it. The
# database, roles and settings that they make there are gone afterwards. Where the server cannot run them it says why and skips
# them: not a failure. `make check` runs these and all other tests, on a server of its own.
#
# REGRESS="name billing/name ..."   run only these
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/server.sh
. scripts/suites.sh

sandbox=
dir=
database=contrib_regression

skip()
{
	mf_say "skipped: $*"
	exit 0
}

roles()
{
	ask 'SELECT rolname FROM pg_roles ORDER BY rolname COLLATE "C"'
}

# What the tests have made goes, and settings are as they were.
restore()
{
	local role

	ask "DROP DATABASE IF EXISTS $database" >/dev/null
	roles | comm -13 "$dir/roles" - | while IFS= read -r role
	do
		"$bin/psql" -Xq -d postgres -v role="$role" <<<'DROP ROLE :"role"'
	done
	cat "$dir/settings" >"$data/postgresql.auto.conf"
	ask 'SELECT pg_reload_conf()' >/dev/null
}

cleanup()
{
	[ ! -e "$dir/roles" ] || restore || mf_say "the server could not be put back"
	[ -z "$sandbox" ] || mf_sandbox_stop "$sandbox"
	[ -z "$dir" ] || rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 129' HUP INT TERM

# ask SQL: one value from the server
ask()
{
	"$bin/psql" -XqAt -d postgres -c "$1"
}

bin=$("${PG_CONFIG:-pg_config}" --bindir 2>/dev/null) || skip "there is no pg_config; set PG_CONFIG"
ask "SELECT 1" >/dev/null 2>&1 || skip "no server answers at ${PGHOST:-the default socket}, port ${PGPORT:-5432}, or it refuses ${PGUSER:-$(id -un)}"
[ "$(ask "SELECT current_setting('is_superuser')")" = on ] || skip "the tests need a superuser, and $(ask 'SELECT current_user') is none"
version=$(sed -n "s/^default_version = '\(.*\)'/\1/p" myfatoorah.control)
[ "$(ask "SELECT count(*) FROM pg_available_extension_versions WHERE name IN ('myfatoorah', 'myfatoorah_billing') AND version = '$version'")" = 2 ] ||
	skip "version $version of the extensions is not installed there"
regress=$(dirname "$("${PG_CONFIG:-pg_config}" --pgxs)")/../test/regress/pg_regress
[ -x "$regress" ] || skip "there is no pg_regress"
[ "$(ask "SELECT count(*) FROM pg_database WHERE datname = '$database'")" = 0 ] || skip "there is a database $database already, which would be lost; drop it first"
case ",$(ask "SHOW shared_preload_libraries" | tr -d ' "')," in
	*,myfatoorah,*) ;;
	*) skip "shared_preload_libraries of the server lacks myfatoorah" ;;
esac

# the server reads the key file and runs curl: so it must be on this machine, and the file be its own
dir=$(mktemp -d)
sandbox=$dir/sandbox
[ -x sandbox/mf-sandbox ] || make -s -C sandbox >"$dir/sandbox.log" 2>&1 || { tail -n 20 "$dir/sandbox.log" >&2; skip "the stand-in API does not build"; }
mf_sandbox_start "$sandbox" || skip "the stand-in API does not start"
pid=$(ask "SELECT pg_read_file('postmaster.pid')" | head -n 1)
[ -d "/proc/$pid" ] && grep -q postgres "/proc/$pid/comm" || skip "the server is on another machine"
owner=$(stat -c %u "/proc/$pid")
chmod 755 "$dir" "$sandbox"
if [ "$(id -u)" -eq 0 ]
then
	chown "$owner" "$MF_KEY_FILE"
elif [ "$(id -u)" -ne "$owner" ]
then
	skip "the server runs as another user, who cannot read a key file of ours; run this as root or as that user"
fi

# The default time limit of a function is for a quiet machine.
data=$(ask 'SHOW data_directory')
cp "$data/postgresql.auto.conf" "$dir/settings"
roles >"$dir/roles"
ask "ALTER SYSTEM SET myfatoorah.on_change_timeout = '30s'" >/dev/null
ask 'SELECT pg_reload_conf()' >/dev/null

# run DIR TEST...: those of that directory, in a new database
run()
{
	local tests=$1 expected=()
	shift

	[ $# -gt 0 ] || return 0
	[[ $("$regress" --help) != *--expecteddir* ]] || expected=(--expecteddir="$tests")
	mkdir "$dir/out"
	if ! "$regress" --inputdir="$tests" "${expected[@]}" --outputdir="$dir/out" --bindir="$bin" --dbname="$database" "$@"
	then
		cp "$dir/out/regression.diffs" .
		mf_die "see regression.diffs"
	fi
	rm -r "$dir/out"
}

wanted=${REGRESS:-$(mf_make_variable REGRESS) $(mf_make_variable BILLING_REGRESS)}
# shellcheck disable=SC2046
run . $(mf_after setup "$(mf_core_tests "$wanted")")
# shellcheck disable=SC2046
run billing $(mf_after setup "$(mf_billing_tests "$wanted")")
