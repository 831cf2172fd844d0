#!/usr/bin/env bash
# make deb: builds the Debian packages of what is committed in a new chroot, and tries them in another new one: installed
# by apt, tested by debian/tests, removed and purged, after which nothing of them is left. Needs root and Debian's
# archive. The packages are left in the directory deb/.
#
# SUITE=trixie   the release of Debian (the one of this machine)
# MIRROR=URL     the archive (the one of this machine)
# TRY="invoice installcheck"   the tests of debian/tests that are run
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/server.sh

[ "$(id -u)" -eq 0 ] || mf_die "make deb makes chroots, so it needs root"
suite=${SUITE:-$(. /etc/os-release && echo "${VERSION_CODENAME-}")}
mirror=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Component: main' 'Origin: Debian' |
	grep -v security | head -n 1)}
[ -n "$suite" ] && [ -n "$mirror" ] || mf_die "set SUITE and MIRROR: this system does not tell a release and an archive of Debian"
command -v mmdebstrap >/dev/null || EXTRA=mmdebstrap scripts/install-deps.sh

work=$(mktemp -d "${TMPDIR:-/tmp}/deb.XXXXXX")
log=$work/log

cleanup()
{
	local status=$?
	for mount in proc dev
	do
		for root in "$work"/build "$work"/try
		do
			! mountpoint -q "$root/$mount" || umount -l "$root/$mount"
		done
	done
	if [ "$status" -eq 0 ]
	then
		rm -rf --one-file-system "$work"
	else
		tail -n 40 "$log"
		mf_say "make deb failed; its chroots and log are in $work"
	fi
}
trap cleanup EXIT
trap 'exit 129' HUP INT TERM

# new_root NAME PACKAGES: a minimal system of the suite
new_root()
{
	mf_say "making a chroot of $suite"
	mmdebstrap --quiet --mode=root --variant=minbase --include="$2" \
		--setup-hook='mkdir -p "$1/etc/postgresql-common/createcluster.d"' \
		--setup-hook='echo "create_main_cluster = false" >"$1/etc/postgresql-common/createcluster.d/no-main.conf"' \
		"$suite" "$work/$1" "$mirror" >>"$log" 2>&1
	mount --bind /dev "$work/$1/dev"
	mount -t proc proc "$work/$1/proc"
}

# inside NAME COMMAND
inside()
{
	chroot "$work/$1" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
		bash -euc "$2" >>"$log" 2>&1
}

# state NAME FILE: the packages and files of a chroot, but for those that change by themselves
state()
{
	(
		cd "$work/$1"
		chroot . dpkg-query -W -f '${Package}\n' | sort
		find . -xdev \( -path ./proc -o -path ./dev -o -path ./tmp -o -path ./var/cache -o -path ./var/lib/apt -o -path ./var/log \
			-o -path ./var/lib/dpkg -o -path ./root -o -path ./etc/ld.so.cache \) -prune -o -print | sort
		cut -d: -f1 etc/passwd etc/group
	) >"$work/$2"
}

new_root build build-essential,devscripts,lintian,debhelper,libipc-run-perl
git archive --prefix=root/src/ HEAD | tar -C "$work/build" -xf -
mf_say "building the packages"
inside build 'cd /root/src; apt-get -q update; apt-get -q -y build-dep ./; dpkg-buildpackage -us -uc'
mf_say "lintian"
inside build 'chmod -R a+rX /root; cd /root; setpriv --reuid=nobody --regid=nogroup --clear-groups env HOME=/tmp \
	lintian --info --fail-on error,warning,info --tag-display-limit 0 ./*.changes'
mkdir -p deb
cp "$work"/build/root/*.deb deb/

new_root try ca-certificates
mkdir "$work/try/root/debs"
cp "$work"/build/root/*_*.deb "$work/try/root/debs/"
rm -f "$work"/try/root/debs/*dbgsym*
git archive --prefix=root/src/ HEAD | tar -C "$work/try" -xf -
# what the packages depend on comes first, so that what is left is theirs
server=$(cd "$work/try/root/debs" && echo postgresql-*-myfatoorah_*.deb | sed 's/-myfatoorah.*//')
inside try "apt-get -q update; apt-get -q -y install --no-install-recommends $server libcurl4 libcjson1 curl make gcc postgresql-common procps"
inside try 'cd /root/src; apt-get -q -y build-dep ./'
state try before
mf_say "installing the packages for $server"
inside try 'apt-get -q -y install --no-install-recommends /root/debs/*.deb'
for test in ${TRY-invoice installcheck}
do
	mf_say "test: $test"
	inside try "cd /root/src; debian/tests/$test"
	sed -n '/^not ok/p; /is sent and paid/p; /tests passed/p; /^== skipped/p' "$log" | tail -n 5
done
mf_say "installing them again, removing and purging them"
inside try 'apt-get -q -y reinstall /root/debs/*.deb; cd /root/debs
	names=$(printf "%s\n" *.deb | sed "s/_.*//"); dpkg -r $names; dpkg -P $names'
state try after
diff "$work/before" "$work/after" >>"$log" || mf_die "something is left of the packages: $(diff "$work/before" "$work/after" | head -n 5)"
mf_say "the packages are in deb/"
ls -l deb
