#!/usr/bin/env bash
# make matrix: what is committed, on each system of the matrix: built by each compiler, the walk of make demo, and the
# suites of make check. Prints one table, and writes it to a file. Needs root, mmdebstrap and Debian's archive.
#
# A system is a chroot of a release of Debian with nothing but git and make in it. It is made once and kept; a row works
# in a copy, which is removed, and leaves its logs. Nothing is installed into the system that this runs on.
#
# MATRIX="trixie forky"   rows: releases of Debian, "experimental" for sid with the newest PostgreSQL of experimental; one
#                         with "+sanitize" is make sanitize there. Default:
#                         "bookworm trixie forky experimental trixie+sanitize"
# PG_CONFIGS="/opt/pgsql/bin/pg_config ..."   further rows: PostgreSQLs of this system, with what else is installed here
# SUITES="core regress"   these suites; SUITES= for none
# COMPILERS="gcc clang"   which build it
# DEMO=0                  without make demo
# SENDS=100000            requests to a server that closes after each answer, 0 for none
# CACHE=/var/cache/myfatoorah-matrix   where chroots, downloaded packages and logs are kept
# FRESH=1                 make the chroots anew
# MIRROR=URL              the archive (the one of this system)
# JOBS, TESTS, REGRESS, ISOLATION, MF_SUITE_TIME, PG_TEST_TIMEOUT_DEFAULT   as for make check
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/server.sh
. scripts/chroot.sh

ALL_SUITES="core fuzz sandbox regress isolation tap crash"
CELLS="row system postgresql libcurl libmicrohttpd warnings demo $ALL_SUITES unknown left seconds note"
export SUITES=${SUITES-$ALL_SUITES} COMPILERS=${COMPILERS-gcc clang} DEMO=${DEMO-1} SENDS=${SENDS-100000}

# ----------
# In the system of a row
# ----------

# cell NAME VALUE: of the row's line
cell()
{
	printf '%s\n' "$2" >"$MF_LOG/cell.$1"
}

# wrong WHAT LOG
wrong()
{
	echo "$1: $2" >>"$MF_LOG/cell.note"
	touch "$MF_LOG/wrong"
}

# The newest PostgreSQL that the archive has, while the others are those of the release
add_experimental()
{
	local mirror newest

	apt-get -q update
	mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | head -n 1)
	echo "deb $mirror experimental main" >/etc/apt/sources.list.d/experimental.list
	apt-get -q update
	newest=$(apt-cache pkgnames postgresql- | sed -n 's/^postgresql-\([0-9]*\)$/\1/p' | sort -n | tail -n 1)
	mkdir -p /etc/postgresql-common/createcluster.d
	echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.d/no-main.conf
	apt-get -q -y -t experimental install --no-install-recommends "postgresql-$newest" "postgresql-server-dev-$newest"
	export PG_CONFIG=/usr/lib/postgresql/$newest/bin/pg_config
}

try_demo()
{
	if make demo >"$MF_LOG/demo.log" 2>&1
	then
		cell demo ok
	else
		cell demo failed
		wrong "make demo" demo.log
	fi
	make demo-stop >>"$MF_LOG/demo.log" 2>&1 || wrong "make demo-stop" demo.log
}

# try_build COMPILER: all that is compiled, and the number of its warnings
try_build()
{
	local log=$MF_LOG/build-$1.log status=0 warnings

	command -v "$1" >/dev/null || { echo "$1: none" >>"$MF_LOG/warnings"; return 0; }
	for what in ". all" ". all FAILPOINTS=1" "sandbox all" "test/core all"
	do
		# shellcheck disable=SC2086
		set -- "$1" $what
		make -s -C "$2" clean CC="$1" >>"$log" 2>&1 || true
		make -s -C "$2" -j "$(nproc)" "${@:3}" CC="$1" WERROR= >>"$log" 2>&1 || status=1
		make -s -C "$2" clean CC="$1" >>"$log" 2>&1 || true
	done
	warnings=$(grep -cE 'warning: .*\[-W' "$log" || true)
	[ "$status" -eq 0 ] || warnings=fails
	echo "$1 $("$1" -dumpversion): $warnings" >>"$MF_LOG/warnings"
	[ "$warnings" = 0 ] || wrong build "build-$1.log"
}

try_closing()
{
	local unknown

	unknown=$(make -s -C test/core closing SENDS="$SENDS" WERROR= 2>&1 | tee "$MF_LOG/closing.log" |
		sed -n 's/^.* sent, \([0-9]*\) unknown$/\1/p' | paste -sd /) || true
	cell unknown "${unknown:-?}"
	[[ $unknown =~ ^0(/0)*$ ]] || wrong "unknown outcomes" closing.log
}

# try_suites TARGET: make check or make sanitize
try_suites()
{
	local suite counts suites=

	# make sanitize has not all of them
	for suite in $SUITES
	do
		[ "$1" = check ] || [[ " core sandbox regress tap " == *" $suite "* ]] || continue
		suites+=" $suite"
	done
	SUITES=${suites# } make "$1" >"$MF_LOG/$1.log" 2>&1 || wrong "make $1" "$1.log"
	for suite in $suites
	do
		# those of billing are counted apart, and shown together
		counts=$(awk -v suite="$suite" '$1 == suite || $1 == (suite "-billing") {
			ok += $2; not += $4; skipped += $8 == "skipped" ? $7 : 0; found = 1 }
			END { if (found) print ok "/" not "/" skipped }' < <(sed -n '/^== summary/,$p' "$MF_LOG/$1.log"))
		cell "$suite" "${counts:--}"
	done
	sed -n -E 's, +sanitizers .*\((.*)\)$,\1,p' "$MF_LOG/$1.log" >>"$MF_LOG/cell.note"
}

# What runs here beside this script and what holds the namespaces of a chroot
processes_left()
{
	local dir args

	for dir in /proc/[0-9]*
	do
		args=$({ tr '\0' ' ' <"$dir/cmdline"; } 2>/dev/null) || continue
		[[ -z $args || $dir = /proc/1 || $args == *"matrix.sh --steps"* || $args == "sleep infinity "* || $args == "tr "* ]] || echo "${dir#/proc/} $args"
	done
}

no_process_left()
{
	[ -z "$(processes_left)" ]
}

# The steps of a row, in its system
run_steps()
{
	local left

	try_all
	mf_poll 5 no_process_left || true
	left=$(processes_left)
	echo "$left" >"$MF_LOG/left.log"
	cell left "$(grep -c . "$MF_LOG/left.log" || true)"
	[ -z "$left" ] || wrong "processes left" left.log
}

try_all()
{
	local compiler

	cell system "$(. /etc/os-release && echo "$PRETTY_NAME" | tr -d '|')"
	[ "$MF_ROW" != experimental ] || add_experimental
	[[ $MF_ROW == *+sanitize ]] || [ "$DEMO" = 0 ] || try_demo
	if [ "${NOINSTALL:-0}" = 0 ]
	then
		EXTRA=$COMPILERS scripts/install-deps.sh
	fi
	mf_find_postgres
	cell postgresql "$("$PG_CONFIG" --version | sed 's/^PostgreSQL //; s/ .*//')"
	cell libcurl "$(pkg-config --modversion libcurl)"
	cell libmicrohttpd "$(pkg-config --modversion libmicrohttpd)"
	if [[ $MF_ROW == *+sanitize ]]
	then
		try_suites sanitize
		return
	fi
	for compiler in $COMPILERS
	do
		try_build "$compiler"
	done
	[ -z "$COMPILERS" ] || cell warnings "$(paste -sd ',' "$MF_LOG/warnings" | sed 's/,/, /g')"
	[ "$SENDS" = 0 ] || try_closing
	[ -z "$SUITES" ] || try_suites check
}

# ----------
# All rows
# ----------

cleanup()
{
	# their namespaces, with all that runs there, end with them
	[ -z "${running-}" ] || { kill -KILL "$running" && wait "$running" || true; } 2>/dev/null
	mf_root_stop
	rm -rf --one-file-system "$MF_TREE" "${MF_ROOTS:?}/$work" "$MF_ROOTS/$work.up"
}

# make_base RELEASE: its chroot
make_base()
{
	if [ -n "${FRESH-}" ] && [[ " $made " != *" $1 "* ]]
	then
		rm -rf --one-file-system "${MF_ROOTS:?}/$1"
	fi
	made+=" $1"
	[ ! -e "$MF_ROOTS/$1/.complete" ] || return 0
	rm -rf --one-file-system "${MF_ROOTS:?}/$1"
	mf_root_make "$1" "$1" ca-certificates,git,make || return
	touch "$MF_ROOTS/$1/.complete"
}

# in_chroot RELEASE VARIABLE=VALUE...: the steps, in a copy of its chroot, which is removed
in_chroot()
{
	local status=0 root=$MF_ROOTS/$work

	mf_root_copy "$1" "$work"
	mkdir -p "$root/root/log" "$root/root/p"
	tar -C "$root/root/p" --no-same-owner -xf "$MF_TREE"
	mf_root_enter "$work" -- env MF_LOG=/root/log "${@:2}" bash /root/p/scripts/matrix.sh --steps >"$MF_LOG/row.log" 2>&1 &
	running=$!
	wait "$running" || status=$?
	running=
	cp -a "$root/root/log/." "$MF_LOG"
	# what the suites have left of a failure
	find "$root/tmp" -maxdepth 1 -name 'mf.*' -exec cp -a -t "$MF_LOG" {} + || true
	mf_root_remove "$work"
	return "$status"
}

# here VARIABLE=VALUE...: likewise with a PostgreSQL of this system
here()
{
	local status=0

	mkdir "$MF_LOG/p"
	tar -C "$MF_LOG/p" --no-same-owner -xf "$MF_TREE"
	unshare --mount --propagation private --mount-proc --pid --fork --kill-child \
		env NOINSTALL=1 PG_CONFIG="$MF_ROW" "$@" bash "$MF_LOG/p/scripts/matrix.sh" --steps >"$MF_LOG/row.log" 2>&1 </dev/null &
	running=$!
	wait "$running" || status=$?
	running=
	rm -rf "$MF_LOG/p"
	return "$status"
}

# run_row NAME: its logs and the cells of its line end up in a directory of the results
run_row()
{
	local release=${1%+sanitize} status=0 start=$SECONDS name variables=("MF_ROW=$1" TERM=dumb)
	export MF_ROW=$1 MF_LOG=$results/$1

	for name in SUITES COMPILERS DEMO SENDS JOBS TESTS REGRESS ISOLATION MF_SUITE_TIME PG_TEST_TIMEOUT_DEFAULT
	do
		[ -z "${!name+set}" ] || variables+=("$name=${!name}")
	done
	[[ $1 != */* ]] || MF_LOG=$results/$(tr / _ <<<"${1#/}")
	mkdir "$MF_LOG"
	cell row "$1"
	if [[ $1 == */* ]]
	then
		mf_say "$1: logs in $MF_LOG"
		here "${variables[@]}" || status=$?
	else
		release=${release/#experimental/sid}
		make_base "$release" || { wrong "no chroot" "../../log"; return 1; }
		mf_say "$1: logs in $MF_LOG, while it runs in $MF_ROOTS/$work/root/log"
		in_chroot "$release" "${variables[@]}" || status=$?
	fi
	[ "$status" -eq 0 ] || wrong "ended with status $status" row.log
	cell seconds $((SECONDS - start))
	[ ! -e "$MF_LOG/wrong" ]
}

# The cells of all rows, in columns; those that nobody has are left out
print_table()
{
	perl -e '
		my ($results, $columns, @rows) = @ARGV;
		my @columns = split / /, $columns;
		my @table;
		for my $row (@rows)
		{
			my %cell;
			for my $column (@columns)
			{
				open my $file, "<", "$results/$row/cell.$column" or next;
				chomp(my @lines = <$file>);
				$cell{$column} = join "; ", grep { length } @lines;
			}
			push @table, \%cell;
		}
		@columns = grep { my $column = $_; grep { length($_->{$column} // "") } @table } @columns;
		my %width = map { my $column = $_; my ($w) = sort { $b <=> $a } map { length($_ // "") } $column, map { $_->{$column} } @table; $column => $w } @columns;
		my $print = sub { print "| ", join(" | ", map { sprintf "%-*s", $width{$_}, $_[0]{$_} // "-" } @columns), " |\n" };
		$print->({ map { $_ => $_ } @columns });
		$print->({ map { $_ => "-" x $width{$_} } @columns });
		$print->($_) for @table;
	' "$results" "$CELLS" "$@"
	echo
	echo "Suites: passed/failed/skipped. Unknown: outcomes of $SENDS requests each, to servers that close after their answer."
}

case ${1-} in
	--steps) run_steps; exit ;;
esac

[ "$(id -u)" -eq 0 ] || mf_die "make matrix makes chroots, so it needs root"
rows=${MATRIX-bookworm trixie forky experimental trixie+sanitize}
[ -z "${rows// /}" ] || mf_roots_need matrix
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES
CACHE=${CACHE:-/var/cache/myfatoorah-matrix}
mkdir -p "$CACHE/results" "$CACHE/archives/partial"
MF_ROOTS=$(cd "$CACHE" && pwd -P)
work=work.$$
results=$(mktemp -d "$MF_ROOTS/results/$(date -u +%Y-%m-%d).XXXX")
chmod 755 "$results"
export MF_TREE=$results/tree.tar
git archive -o "$MF_TREE" HEAD
trap cleanup EXIT
trap 'exit 129' HUP INT TERM

made=
running=
failed=0
logs=()
for name in $rows ${PG_CONFIGS-}
do
	run_row "$name" || failed=$((failed + 1))
	logs+=("$(basename "$MF_LOG")")
	print_table "${logs[@]}" >"$results/table.txt"
done
cat "$results/table.txt"
mf_say "$failed rows are not as they should be; the table is $results/table.txt, and the logs of each row lie beside it"
[ "$failed" -eq 0 ]
