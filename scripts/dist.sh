#!/usr/bin/env bash
# make dist: myfatoorah-VERSION.tar.gz of the commit at hand, the same bytes each time it is made of it. Warnings are no
# errors in it: a compiler that is younger than a release may know others.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/server.sh

version=$(sed -n "s/^default_version = '\(.*\)'/\1/p" myfatoorah.control)
name=myfatoorah-$version

# same PLACE VERSION: the places that cannot read the control file say the same
same()
{
	[ "$2" = "$version" ] || mf_die "version of $1 is \"$2\", of myfatoorah.control \"$version\""
}
same META.json "$(perl -MJSON::PP -0ne 'print decode_json($_)->{version}' META.json)"
same "META.json's extension" "$(perl -MJSON::PP -0ne 'print decode_json($_)->{provides}{myfatoorah}{version}' META.json)"
same debian/changelog "$(sed -n '1s/^myfatoorah (\([^-)]*\).*/\1/p' debian/changelog)"
same myfatoorah.spec "$(sed -n 's/^Version: *//p' myfatoorah.spec)"
[ -e "sql/myfatoorah--$version.sql" ] || mf_die "there is no sql/myfatoorah--$version.sql"

git rev-parse -q --verify HEAD >/dev/null || mf_die "make dist works in a clone of the repository"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git archive --prefix="$name/" HEAD | tar -C "$work" -xf -
for part in . test/core test/fuzz sandbox
do
	sed -i 's/^WERROR ?= -Werror$/WERROR ?=/' "$work/$name/$part/Makefile"
	grep -q '^WERROR ?=$' "$work/$name/$part/Makefile" || mf_die "$part/Makefile does not say WERROR ?= -Werror"
done
tar --sort=name --format=gnu --owner=0 --group=0 --numeric-owner --mode=go-w,a+rX --mtime="@$(git log -1 --format=%ct)" \
	-C "$work" -cf - "$name" | gzip -9n >"$name.tar.gz"
sha256sum "$name.tar.gz"
