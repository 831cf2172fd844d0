#!/usr/bin/env bash
# make deb: builds the Debian packages of what is committed, and tries them, each step in a new chroot. Needs root and Debian's
# archive. The packages are left in the directory deb/SUITE.
#
#   build     dpkg-buildpackage, lintian
#   again     builds them once more, elsewhere and by other habits: the same bytes
#   readme    on a system with nothing else: README.md, from git clone to a paid invoice, by its words
#   try       on a system with nothing else: apt, the first five minutes of README.Debian, the upgrade to a next version
#             with invoices under way, removal and purge as README.Debian has them, after which nothing of them is left
#   test      autopkgtest: debian/tests
#   piuparts  installs, removes and purges them
#
# SUITE="bookworm trixie testing"   the releases of Debian (the one of this machine)
# STEPS="again readme try test piuparts"   what is done after the build
# MIRROR=URL                        the archive (the one of this machine)
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/server.sh
. scripts/chroot.sh

suites=${SUITE:-$(. /etc/os-release && echo "${VERSION_CODENAME-}")}
[ -n "$suites" ] || mf_die "set SUITE: this system does not tell a release of Debian"
steps=${STEPS-again readme try test piuparts}
version=$(sed -n "s/^default_version = '\(.*\)'/\1/p" myfatoorah.control)

# The next version, to upgrade to: the last number is one more.
next=${version%.*}.$((${version##*.} + 1))

# What lintian of later releases advises, and tools of Debian 12 do not know. Lintian refuses the names of tags that it does not know.
newer='package-uses-old-debhelper-compat-version
redundant-priority-optional-field
redundant-rules-requires-root-no-field'

# named DIRECTORY VERSION DISTRIBUTION: gives the sources there that version, with the name of the release in it, so
# that the package of a later release of Debian is a newer one. Run in the chroot.
named='
named()
{
	local suffix=$(. /etc/os-release; echo "${VERSION_ID:+~deb$VERSION_ID}")

	cd "$1"
	[ -z "$suffix" ] && [ "$2" = "$(dpkg-parsechangelog -S Version)" ] || {
		printf "myfatoorah (%s) %s; urgency=medium\n\n  * Built for %s.\n\n -- %s  %s\n\n" "$2$suffix" unstable "$3" \
			"$(dpkg-parsechangelog -S Maintainer)" "$(date -uR -d "$(dpkg-parsechangelog -S Date) 1 second")"
		cat debian/changelog
	} >debian/changelog.new
	[ ! -s debian/changelog.new ] || mv debian/changelog.new debian/changelog
	rm -f debian/changelog.new
	pg_buildext updatecontrol
}
'

# new_root NAME [PACKAGES]: a copy of the minimal system of this release, with these packages, started
new_root()
{
	mf_root_copy base "$1"
	[ -z "${2-}" ] || mf_root_run "$1" "apt-get -q -y install --no-install-recommends $2"
}

# debs NAME: the packages in root/debs of it
debs()
{
	mkdir "$MF_ROOTS/$1/root/debs"
	cp "deb/$suite"/*_*.deb "$MF_ROOTS/$1/root/debs/"
	rm -f "$MF_ROOTS/$1"/root/debs/*dbgsym*
}

# The next version: one function more, and a library of that version.
make_next()
{
	local sources=$MF_ROOTS/build/root/next/src

	mf_root_sources build root/next/src
	sed -i "s/^default_version = .*/default_version = '$next'/" "$sources/myfatoorah.control"
	echo "CREATE FUNCTION mf_next() RETURNS text LANGUAGE sql AS \$\$SELECT '$next'\$\$;" \
		>"$sources/sql/myfatoorah--$version--$next.sql"
}

build()
{
	new_root build "build-essential debhelper lintian"
	mf_root_sources build root/this/src
	mf_root_run build 'cd /root/this/src; apt-get -q -y build-dep ./'
	mf_say "building the packages of $version"
	mf_root_alone build "$named named /root/this/src $version $suite; dpkg-buildpackage -j$(nproc) -us -uc"
	mf_say "lintian"
	mf_root_alone build "chmod -R a+rX /root; cd /root/this; setpriv --reuid=nobody --regid=nogroup --clear-groups env HOME=/tmp \
		lintian --info --pedantic --fail-on error,warning,info,pedantic --tag-display-limit 0 --suppress-tags \
		\"\$(lintian-explain-tags --list-tags | grep -Fx '$newer' | paste -sd ,)\" ./*.changes"
	rm -rf "deb/$suite"
	mkdir -p "deb/$suite"
	cp "$MF_ROOTS"/build/root/this/*.deb "deb/$suite/"
	major=$(cd "deb/$suite" && echo postgresql-*-myfatoorah_*.deb | sed 's/^postgresql-\([0-9]*\)-.*/\1/')
}

again()
{
	mf_say "building them again, elsewhere"
	mf_root_sources build root/again/src
	mf_root_alone build "umask 027; export TZ=Asia/Kuwait; $named named /root/again/src $version $suite
		DEB_BUILD_OPTIONS=nocheck dpkg-buildpackage -j$(nproc) -us -uc -b
		cd ..; for deb in *.deb; do cmp \$deb ../this/\$deb; done"
	mf_say "  the same bytes"
}

# commands TITLE: what that section of README.Debian, as it is installed, tells to do
commands()
{
	zcat -f "$MF_ROOTS/try/usr/share/doc/postgresql-$major-myfatoorah"/README.Debian* | awk -v title="$1" '{ line[NR] = $0 } END { for (i = 1; i <= NR; i++) {
			if (line[i + 1] ~ /^---/) found = line[i] == title
			if (found && line[i] ~ /^    /) print substr(line[i], 5) } }'
}

# ask SQL: a value from the database "shop" in the chroot
ask()
{
	mf_root_enter try --net -- runuser -u postgres -- psql -XqAt -d shop -c "$1"
}

# asked WANTED SQL, and its name: the value is that one
asked()
{
	local is

	is=$(ask "$2")
	[ "$is" = "$1" ] || mf_die "$3: $is, not $1"
	mf_say "  $3: $is"
}

# readme_block LANGUAGE TEXT: the blocks of README.md that have the text in them
readme_block()
{
	perl -0777 -ne 'BEGIN { ($language, $text) = splice @ARGV, 0, 2 } print grep { index($_, $text) >= 0 } /^```$language\n(.*?)^```/gms' \
		"$@" README.md
}

# The first minutes of README.md as a person has them who types what stands there, with the stand-in of the demo
readme()
{
	local typed="psql -v ON_ERROR_STOP=1 shop <<'end'" at="'test', base_url 'http://127.0.0.1:9965'" url

	new_root try
	git clone -q --bare . "$MF_ROOTS/try/root/p.git"
	mf_say "README.md on a system with nothing else: git clone, make demo"
	mf_root_run try "cd
$(readme_block sh 'git clone' | sed 's,ADDRESS,/root/p.git,; /^make check/d')
make demo-stop"
	mf_say "its installation from source"
	mf_root_run try "cd ~/myfatoorah
$(readme_block sh 'make install')
service postgresql stop"
	mf_say "its first invoice"
	# with a network of its own, so that the ports are those of README.md
	mf_root_alone try "cd ~/myfatoorah
make demo
service postgresql start
$(readme_block sh myfatoorah.key | sed "s/^install/echo SK_KWT_sandbox | &/; s/psql shop$/$typed/")
$(readme_block sql 'CREATE EXTENSION' | sed "s|'test'|$at|")
$(readme_block sql ahmad@)
end"
	url=$(ask "SELECT invoice_url FROM mf_invoice")
	mf_root_alone try "$(sed -n "s|.*\`\(curl .*\)INVOICE_URL\([^\`]*\)\`.*|\1$url\2|p" README.md)
runuser -u postgres -- $typed
$(readme_block sql mf_refresh)
end"
	asked "sent paid" "SELECT status || ' ' || payment_status FROM mf_invoice" "the invoice is"
	mf_root_alone try 'make -C ~/myfatoorah demo-stop'
	mf_root_remove try
}

# sandbox: the stand-in, once more; its numbers are others than those of its first life
sandbox()
{
	mf_root_alone try 'setsid mf-sandbox --quiet --port 8099 --seed 2 >/dev/null 2>&1 & until echo 2>/dev/null >/dev/tcp/127.0.0.1/8099; do sleep 0.1; done'
}

# An upgrade with invoices in every state that is unfinished
upgrade()
{
	local before

	mf_say "building the packages of $next, to upgrade to"
	make_next
	mf_root_alone build "$named named /root/next/src $next $suite; DEB_BUILD_OPTIONS=nocheck dpkg-buildpackage -j$(nproc) -us -uc -b"
	mkdir "$MF_ROOTS/try/root/next"
	cp "$MF_ROOTS"/build/root/next/*_*.deb "$MF_ROOTS/try/root/next/"
	rm -f "$MF_ROOTS"/try/root/next/*dbgsym*

	mf_say "the upgrade to $next, with invoices under way"
	sandbox
	ask "INSERT INTO mf_invoice (customer_name, invoice_value, send_at) SELECT 'later', n, now() + '1 day' FROM generate_series(1, 20) n;
		INSERT INTO mf_invoice (customer_name, invoice_value) SELECT 'unpaid', n FROM generate_series(1, 20) n" >/dev/null
	ask "SELECT mf_wait(max(id), '60 s', 'sent') FROM mf_invoice WHERE customer_name = 'unpaid'" >/dev/null
	# those are queued at the upgrade; what is under way has lost its answer
	ask "SELECT mf_pause('*', 'upgrade')" >/dev/null
	ask "INSERT INTO mf_invoice (customer_name, invoice_value) SELECT 'queued', n FROM generate_series(1, 20) n" >/dev/null
	before="$(ask 'SELECT pg_postmaster_start_time()') $(ask 'SELECT pid FROM mf_worker_status')"
	mf_root_run try 'apt-get -q -y install --no-install-recommends /root/next/*.deb'
	asked "$before" "SELECT pg_postmaster_start_time() || ' ' || (SELECT pid FROM mf_worker_status)" "server and worker since"
	asked "$version" "SELECT extversion FROM pg_extension WHERE extname = 'myfatoorah'" "objects of"
	ask "SELECT mf_resume('*')" >/dev/null
	ask "SELECT count(mf_wait(id, '60 s', 'sent')) FROM mf_invoice WHERE customer_name = 'queued'" >/dev/null
	asked 20 "SELECT count(*) FROM mf_invoice WHERE customer_name = 'queued' AND status = 'sent'" "sent with the library of before"
	ask "INSERT INTO mf_invoice (customer_name, invoice_value) SELECT 'running', n FROM generate_series(1, 200) n" >/dev/null
	mf_root_alone try "$(commands Upgrading)"
	ask "UPDATE mf_invoice SET send_at = now() WHERE customer_name = 'later'" >/dev/null
	ask "SELECT count(mf_wait(id, '200 s', 'sent')) FROM mf_invoice" >/dev/null
	asked "$next" "SELECT extversion FROM pg_extension WHERE extname = 'myfatoorah'" "objects of"
	asked "$next" "SELECT mf_next()" "a function of the new version says"
	asked 261 "SELECT count(*) FROM mf_invoice WHERE status = 'sent'" "sent"
	asked 261 "SELECT count(DISTINCT invoice_id) FROM mf_invoice" "each with a number of its own"
	made=$(mf_root_enter try --net -- curl -s http://127.0.0.1:8099/_sandbox/health | sed 's/.*"invoices":\([0-9]*\).*/\1/')
	[ "$made" = 260 ] || mf_die "the stand-in has made $made invoices, not 260"
	mf_say "  invoices that the stand-in has made since it was started for the upgrade: $made"
}

# A system with nothing else, as README.Debian has it
try()
{
	local left

	new_root try
	debs try
	mf_say "apt install, on a system with nothing else"
	# curl pays, as a browser does
	mf_root_run try 'apt-get -q -y install --no-install-recommends curl; apt-get -q -y install /root/debs/*.deb'
	# whatever the installation has started uses the network of this machine
	mf_root_run try "pg_ctlcluster $major main stop || true"
	mf_say "the first five minutes of README.Debian"
	mf_root_alone try "pg_ctlcluster $major main start
		$(commands 'The first five minutes')
		kill %1; wait"
	asked "sent paid" "SELECT status || ' ' || payment_status FROM mf_invoice" "the invoice is"
	upgrade
	mf_say "removing and purging them"
	mf_root_alone try "$(commands Removing)"
	asked 0 "SELECT count(*) FROM pg_roles WHERE rolname ~ '^myfatoorah'" "roles that are left"
	mf_root_alone try "runuser -u postgres -- dropdb shop
		apt-get -q -y purge myfatoorah-sandbox"
	left=$(cd "$MF_ROOTS/try" && find . -xdev -path ./root -prune -o \( -name '*myfatoorah*' -o -name '*mf-sandbox*' \) -print)
	[ -z "$left" ] || mf_die "left behind: $left"
	mf_root_alone try "pg_ctlcluster $major main stop"
	# the same system, with what they have brought along, but never with them
	new_root before "$(chroot "$MF_ROOTS/try" dpkg-query -W -f '${Package} ')"
	mf_root_run before "pg_ctlcluster $major main stop || true"
	mf_root_files before >"$MF_ROOTS/files-before"
	mf_root_files try >"$MF_ROOTS/files-after"
	diff "$MF_ROOTS/files-before" "$MF_ROOTS/files-after" >>"$MF_ROOTS/log" ||
		mf_die "something is left of the packages: $(diff "$MF_ROOTS/files-before" "$MF_ROOTS/files-after" | head -n 5)"
	mf_say "  nothing is left of them ($(wc -l <"$MF_ROOTS/files-after") files, packages and users compared)"
	mf_root_remove before
	mf_root_remove try
}

tests()
{
	new_root test autopkgtest
	debs test
	mf_root_sources test root/src
	# it names the packages of this release
	cp "$MF_ROOTS/build/root/this/src/debian/control" "$MF_ROOTS/test/root/src/debian/"
	mf_say "autopkgtest"
	mf_root_run test 'cd /root; autopkgtest --no-built-binaries --summary-file=summary ./debs/*.deb ./src/ -- null'
	sed 's/^/   /' "$MF_ROOTS/test/root/summary"
	mf_root_remove test
}

run_piuparts()
{
	new_root piuparts "piuparts debootstrap"
	cp -a "$MF_ROOTS/base" "$MF_ROOTS/piuparts/root/plain"
	debs piuparts
	mf_say "piuparts"
	# what stands in its own sources.list: piuparts may still take the last testing for this one
	mf_root_run piuparts "cd /root; piuparts --existing-chroot=/root/plain --distribution=$suite --keep-sources-list --no-eatmydata \
		--scriptsdir=/etc/piuparts/scripts --warn-on-leftovers-after-purge --log-level=info debs/*.deb"
	grep -E 'PASS:|FAIL:' "$MF_ROOTS/log" | sed 's/^[0-9hms. ]*/   /' | tail -n 4
	mf_root_remove piuparts
}

mf_roots_begin deb
for suite in $suites
do
	mf_root_new base "$suite" ""
	mf_root_stop base
	build
	for step in $steps
	do
		case $step in
			again) again ;;
			readme) readme ;;
			try) try ;;
			test) tests ;;
			piuparts) run_piuparts ;;
			*) mf_die "there is no step $step" ;;
		esac
	done
	mf_root_remove build
	mf_root_remove base
	mf_say "the packages for $suite are in deb/$suite"
	ls -l "deb/$suite"
done
