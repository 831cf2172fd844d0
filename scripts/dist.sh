#!/usr/bin/env bash
# make dist: myfatoorah-VERSION.tar.gz of the commit at hand, the same bytes each time it is made of it, wherever and by
# whomever. Warnings are no errors in it: a compiler that is younger than a release may know others.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/server.sh
# what the caller's environment says about archives is not ours
unset TAR_OPTIONS GZIP GIT_DIR GIT_WORK_TREE
export LC_ALL=C

wrong=$(scripts/version_check.pl) || mf_die "the version is not the same everywhere: $wrong"
version=$(sed -n "s/^default_version = '\(.*\)'/\1/p" myfatoorah.control)
name=myfatoorah-$version

git rev-parse -q --verify HEAD >/dev/null || mf_die "make dist works in a clone of the repository"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git -c core.autocrlf=false -c core.attributesFile=/dev/null archive --format=tar --prefix="$name/" HEAD | tar -C "$work" -xf -
for part in . test/core test/fuzz sandbox
do
	sed -i 's/^WERROR ?= -Werror$/WERROR ?=/' "$work/$name/$part/Makefile"
	grep -q '^WERROR ?=$' "$work/$name/$part/Makefile" || mf_die "$part/Makefile does not say WERROR ?= -Werror"
done
tar --sort=name --format=gnu --owner=0 --group=0 --numeric-owner --mode=u+rw,go-w,a+rX --mtime="@$(git log -1 --format=%ct)" \
	-C "$work" -cf - "$name" | gzip -9n >"$name.tar.gz"
sha256sum "$name.tar.gz"
