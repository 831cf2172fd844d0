#!/usr/bin/env bash
# Installs the Debian packages that building and testing need and that are missing. Touches nothing if none is.
#
# Root or sudo is needed only if something is missing. No PostgreSQL cluster is created or started.
# PG_CONFIG   the PostgreSQL to build for: its packages are asked for instead of those of the system's own version
# EXTRA       further packages to have: EXTRA="valgrind"
# OPTIONAL    packages to have if they can be had: without them something is left out
# NOINSTALL=1 install nothing and use no network: say what is missing, and fail only if it is needed to build
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/server.sh

missing=()

# What only tests need, which are skipped without
TEST_ONLY=" nginx-light haproxy pgbouncer gettext libcmocka-dev "

# need PACKAGE COMMAND...: the package is missing unless the command succeeds
need()
{
	local package=$1
	shift
	"$@" >/dev/null 2>&1 || missing+=("$package")
}

# A library's headers may come from another package or none at all, so pkg-config is asked before dpkg.
library()
{
	pkg-config --exists "$1" || installed "$2"
}

installed()
{
	[ "$(dpkg-query -W -f='${db:Status-Status}' "$1")" = installed ]
}

need gcc command -v gcc
need libc6-dev test -e /usr/include/stdio.h
need make command -v make
need pkg-config command -v pkg-config
need perl perl -MTAP::Harness -MHTTP::Tiny -MJSON::PP -e 1
need libipc-run-perl perl -MIPC::Run -e 1
need curl command -v curl
need nginx-light test -x /usr/sbin/nginx
need haproxy test -x /usr/sbin/haproxy
need pgbouncer test -x /usr/sbin/pgbouncer
need gettext command -v msgfmt
need openssl command -v openssl
need procps command -v ps
need util-linux command -v setpriv
need ca-certificates test -s /etc/ssl/certs/ca-certificates.crt
need libcurl4-openssl-dev library libcurl libcurl4-openssl-dev
need libicu-dev library icu-i18n libicu-dev
need libcjson-dev library libcjson libcjson-dev
need libmicrohttpd-dev library libmicrohttpd libmicrohttpd-dev
need libqrencode-dev library libqrencode libqrencode-dev
need libcmocka-dev library cmocka libcmocka-dev
need libssl-dev library libcrypto libssl-dev

if ! (mf_find_postgres) >/dev/null 2>&1
then
	# a PostgreSQL that was built from source cannot be completed by packages
	[ ! -x "${PG_CONFIG-}" ] || [[ $("$PG_CONFIG" --bindir) == /usr/lib/postgresql/* ]] || mf_find_postgres
	# without PG_CONFIG these are the system's own, whose version is known once apt has its lists
	version=
	[ -z "${PG_CONFIG-}" ] || version=-$(mf_wanted_version)
	need "postgresql$version" false
	need "postgresql-server-dev${version:--all}" false
fi
for package in ${EXTRA-}
do
	need "$package" installed "$package"
done

optional=()
for package in ${OPTIONAL-}
do
	installed "$package" >/dev/null 2>&1 || optional+=("$package")
done

[ $((${#missing[@]} + ${#optional[@]})) -gt 0 ] || exit 0

if [ "${NOINSTALL:-0}" != 0 ]
then
	for package in "${missing[@]}" "${optional[@]}"
	do
		mf_say "not installed: $package"
	done
	for package in "${missing[@]}"
	do
		[[ $TEST_ONLY == *" $package "* ]] || mf_die "$package is needed (a Debian package), and NOINSTALL is set"
	done
	exit 0
fi

# cannot WHY HOW: ends with that, unless nothing is missing but what is optional
cannot()
{
	[ ${#missing[@]} -eq 0 ] || mf_die "$1: ${missing[*]}$2"
	mf_say "going on without ${optional[*]}$2"
	exit 0
}

command -v apt-get >/dev/null ||
	cannot "missing" " (names of Debian packages; those of other systems are in docs/platforms.md); only on Debian can this script install them"

as_root=()
if [ "$(id -u)" -ne 0 ]
then
	# a person is asked for his password, but not for what is optional
	if ! command -v sudo >/dev/null ||
		! { sudo -n true 2>/dev/null || { [ -t 0 ] && [ ${#missing[@]} -gt 0 ] && sudo -v; }; }
	then
		cannot "missing packages" "; run this again as root or with sudo to install them"
	fi
	as_root=(sudo -n)
fi

[ ${#missing[@]} -eq 0 ] || mf_say "installing Debian packages: ${missing[*]}"

# Debian's server packages create and start a cluster "main" unless this file says otherwise, and other packages
# start their service (nginx, haproxy, pgbouncer, etcd) unless a policy forbids it. Both files are there only while we install, so
# that what is installed later by somebody else behaves as it always did.
drop_in=
drop_in_dirs=()
policy=

undo_drop_in()
{
	local dir

	[ -z "$drop_in" ] || "${as_root[@]}" rm -f "$drop_in"
	[ -z "$policy" ] || "${as_root[@]}" rm -f "$policy"
	for dir in "${drop_in_dirs[@]}"
	do
		"${as_root[@]}" rmdir "$dir" 2>/dev/null || true
	done
}
trap undo_drop_in EXIT
trap 'exit 129' HUP INT TERM

case " ${missing[*]} " in
	*" postgresql"*)
		for dir in /etc/postgresql-common/createcluster.d /etc/postgresql-common
		do
			[ -d "$dir" ] || drop_in_dirs+=("$dir")
		done
		"${as_root[@]}" mkdir -p /etc/postgresql-common/createcluster.d
		drop_in=/etc/postgresql-common/createcluster.d/zz-no-main-cluster.conf
		echo 'create_main_cluster = false' | "${as_root[@]}" tee "$drop_in" >/dev/null
		;;
esac

if ! [ -e /usr/sbin/policy-rc.d ]
then
	policy=/usr/sbin/policy-rc.d
	printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
	"${as_root[@]}" chmod 755 "$policy"
fi

apt()
{
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
		apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold -o Dpkg::Use-Pty=0 "$@"
}

# Of "postgresql" and "postgresql-server-dev-all", the packages of the one version that they stand for
name_version()
{
	local version i

	version=$(apt-cache depends --important postgresql | sed -n 's/.*Depends: postgresql-\([0-9]*\)$/\1/p' | head -n 1)
	[ -n "$version" ] || return 0
	for i in "${!missing[@]}"
	do
		case ${missing[i]} in
			postgresql) missing[i]=postgresql-$version ;;
			postgresql-server-dev-all) missing[i]=postgresql-server-dev-$version ;;
		esac
	done
}

log=$(mktemp)
if ! { apt update && name_version &&
	{ [ ${#missing[@]} -eq 0 ] || apt install --no-install-recommends "${missing[@]}"; }; } \
	>"$log" 2>&1 </dev/null && [ ${#missing[@]} -gt 0 ]
then
	tail -n 20 "$log" >&2
	mf_die "could not install ${missing[*]}; the whole output is in $log"
fi
if [ ${#optional[@]} -gt 0 ]
then
	mf_say "installing Debian packages: ${optional[*]} (large; without them a test is skipped)"
	apt install --no-install-recommends "${optional[@]}" >>"$log" 2>&1 </dev/null ||
		mf_say "going on without ${optional[*]}: $(tail -n 1 "$log")"
fi
rm -f "$log"

(mf_find_postgres)
mf_say "installed"
