#!/usr/bin/env bash
# make rpm: builds the packages of myfatoorah.spec from the tarball of make dist by rpmbuild, checks them with rpmlint, and compares
# the files in them with what `make install` installs. In a new chroot of Debian, whose packages rpm does not know: so what
# the spec requires to build is installed by apt, and rpmbuild is told not to look (--nodeps). Needs root and Debian's archive.
# The packages are left in the directory rpm, to look at. They are for no system: a Fedora would build its own.
#
# SUITE=trixie   the release of Debian (the one of this machine)
# MIRROR=URL     the archive (the one of this machine)
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/server.sh
. scripts/chroot.sh

suite=${SUITE:-$(. /etc/os-release && echo "${VERSION_CODENAME-}")}
[ -n "$suite" ] || mf_die "set SUITE: this system does not tell a release of Debian"
version=$(sed -n "s/^default_version = '\(.*\)'/\1/p" myfatoorah.control)

mf_roots_begin rpm
scripts/dist.sh >/dev/null
mf_root_new build "$suite" build-essential,gettext,libcjson-dev,libcmocka-dev,libcurl4-openssl-dev,libicu-dev,libmicrohttpd-dev,libqrencode-dev,libssl-dev,openssl,pkgconf,postgresql-server-dev-all,rpm,rpmlint
mkdir -p "$MF_ROOTS"/build/root/rpmbuild/{SOURCES,SPECS}
mv "myfatoorah-$version.tar.gz" "$MF_ROOTS/build/root/rpmbuild/SOURCES/"
cp myfatoorah.spec myfatoorah.rpmlintrc "$MF_ROOTS/build/root/rpmbuild/SPECS/"

mf_say "rpmbuild"
# the real pg_config, not Debian's wrapper; Debian's rpm does not split off what is for debuggers
mf_root_alone build "cd /root/rpmbuild; pg_config=\$(echo /usr/lib/postgresql/*/bin/pg_config)
	rpmbuild --nodeps --define \"pg_config \$pg_config\" --define 'debug_package %{nil}' -ba SPECS/myfatoorah.spec"
mf_say "rpmlint of spec and packages"
mf_root_alone build 'cd /root/rpmbuild; rpmlint --rpmlintrc SPECS/myfatoorah.rpmlintrc SPECS/*.spec SRPMS/*.rpm RPMS/*/*.rpm'

mf_say "the files in them, and those of make install"
mf_root_alone build "cd /root/rpmbuild; pg_config=\$(echo /usr/lib/postgresql/*/bin/pg_config)
	rpm -qp --qf '[%{FILEMODES:perms} %{FILENAMES}\\n]' RPMS/*/myfatoorah-$version-*.rpm | sed -n 's/^-[^ ]* //p' | grep -v '^/usr/share/\(doc\|licenses\)/\|/\.build-id' | sort >packed
	tar -xzf SOURCES/myfatoorah-$version.tar.gz; cd myfatoorah-$version
	make install DESTDIR=/root/installed PG_CONFIG=\$pg_config
	cd /root/installed; find . -type f -printf '/%P\n' | sort >/root/rpmbuild/installed
	cmp /root/rpmbuild/packed /root/rpmbuild/installed"
sed 's/^/   /' "$MF_ROOTS/build/root/rpmbuild/packed"
mf_root_alone build "cd /root/rpmbuild; rpm -qlp RPMS/*/myfatoorah-sandbox-$version-*.rpm | grep -v '^/usr/share/\(doc\|licenses\)\|/\.build-id'"
rm -rf rpm
mkdir rpm
cp "$MF_ROOTS"/build/root/rpmbuild/{SRPMS,RPMS/*}/*.rpm rpm/
mf_say "the packages are in rpm/"
ls -l rpm
