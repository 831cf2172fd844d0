#!/usr/bin/env bash
# make installcheck: the tests of pg_regress against a server that is running and has the extension installed, as
# PGHOST, PGPORT and PGUSER name it. Builds and starts the stand-in API itself, and ends it. Makes the database
# contrib_regression there anew, and roles. Where the server cannot run them it says why and skips them: not a failure.
# `make check` runs these and all other tests, on a server of its own.
#
# REGRESS="name ..."   run only these
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/server.sh

sandbox=
dir=

skip()
{
	mf_say "skipped: $*"
	exit 0
}

cleanup()
{
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
[ "$(ask "SELECT count(*) FROM pg_available_extension_versions WHERE name = 'myfatoorah' AND version = '$version'")" = 1 ] ||
	skip "version $version of the extension is not installed there"
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

make --no-print-directory MF_INSTALLCHECK=1 installcheck ISOLATION= ${REGRESS+"REGRESS=$REGRESS"}
