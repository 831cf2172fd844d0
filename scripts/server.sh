# shellcheck shell=bash
# What check, demo, bench, valgrind and sanitize share: a private PostgreSQL with the extension in it, throw-away
# clusters, and the stand-in API. To be sourced, from the top of the repository. Everything happens in one scratch
# directory; nothing is installed into the system's PostgreSQL, no other cluster is touched, and only processes
# that were started here are ended, by their id.
#
# A script that uses it has two halves. The outer half may be root: it installs missing packages, makes the scratch
# directory and hands over (mf_outer, or mf_stage and mf_drop). The inner half runs as an ordinary user in the copy
# of the tree that the scratch directory holds, with a clean environment. There, these are set:
#
#   MF_SCRATCH      the scratch directory:
#     src/            copy of the tree: the current directory
#     pg/             the private PostgreSQL (mf_private_install)
#     log/            all logs;   tmp/  TMPDIR;   home/  HOME
#   PG_CONFIG       pg_config of the PostgreSQL to build for
# and after mf_private_install
#   MF_BIN          directory of the private PostgreSQL's programs
#   MF_PGXS_SRC     where PGXS keeps pg_regress and PostgreSQL::Test
#   MF_PG_MAJOR     major version

# Variables of the caller that reach the inner half
MF_PASS="NOW SUITES KEEP TESTS REGRESS ISOLATION JOBS CC OPTFLAGS WERROR SANITIZERS ALLOW_EMPTY PG_TEST_TIMEOUT_DEFAULT ATTACKS TERM"

mf_say()
{
	echo "== $*"
}

# One clear line, and the end.
mf_die()
{
	echo "myfatoorah: $*" >&2
	exit 1
}

# The major version that PG_CONFIG names, by asking it or by its path
mf_wanted_version()
{
	local version

	if version=$("$PG_CONFIG" --version 2>/dev/null)
	then
		version=${version#PostgreSQL }
		echo "${version%%[!0-9]*}"
	elif [[ $PG_CONFIG =~ /postgresql/([0-9]+)/ ]]
	then
		echo "${BASH_REMATCH[1]}"
	else
		mf_die "PG_CONFIG names no program and no known version: $PG_CONFIG"
	fi
}

# Whether this pg_config belongs to an installation with server, headers and PGXS.
mf_is_complete()
{
	local bindir includedir pgxs

	bindir=$("$1" --bindir 2>/dev/null) &&
		includedir=$("$1" --includedir-server 2>/dev/null) &&
		pgxs=$("$1" --pgxs 2>/dev/null) &&
		[ -x "$bindir/postgres" ] && [ -x "$bindir/pg_config" ] &&
		[ -e "$includedir/postgres.h" ] &&
		[ -x "$(dirname "$pgxs")/../test/regress/pg_regress" ]
}

# Sets PG_CONFIG: the one given, else the one in PATH, else the newest of Debian's.
mf_find_postgres()
{
	local candidate candidates=()

	if [ -n "${PG_CONFIG-}" ]
	then
		candidates=("$PG_CONFIG")
	else
		mapfile -t candidates < <(
			echo pg_config
			printf '%s\n' /usr/lib/postgresql/*/bin/pg_config | sort -Vr
		)
	fi
	for candidate in "${candidates[@]}"
	do
		if mf_is_complete "$candidate"
		then
			# Debian's /usr/bin/pg_config is a wrapper; the real one lies with the programs.
			PG_CONFIG=$("$candidate" --bindir)/pg_config
			export PG_CONFIG
			return
		fi
	done
	mf_die "no PostgreSQL with server, headers and PGXS at ${candidates[*]} (set PG_CONFIG to another pg_config)"
}

# mf_pick_user: sets MF_USER to who shall run the servers: ourselves unless we are root, whom initdb refuses. "nobody"
# comes before "postgres", who could reach the clusters of this machine. Only where neither can be used is a system
# user made; mf_forget_user removes it again.
mf_pick_user()
{
	local user

	MF_USER_MADE=
	if [ "$(id -u)" -ne 0 ]
	then
		MF_USER=$(id -un)
		return
	fi
	for user in nobody postgres
	do
		if [ "$(id -u "$user" 2>/dev/null || echo 0)" -ne 0 ] && mf_as "$user" true 2>/dev/null
		then
			MF_USER=$user
			return
		fi
	done
	MF_USER=mf-check-$$
	mf_say "adding the system user $MF_USER for the time of this run"
	useradd --system --no-create-home --shell /usr/sbin/nologin "$MF_USER" ||
		mf_die "could not add a user to run the servers as"
	MF_USER_MADE=$MF_USER
}

mf_forget_user()
{
	[ -z "${MF_USER_MADE-}" ] || userdel "$MF_USER_MADE" || true
	MF_USER_MADE=
}

# mf_as USER COMMAND...: as that user, told to end when we end
mf_as()
{
	mf_set_as "$1"
	shift
	"${MF_AS[@]}" "$@"
}

# Sets MF_AS to the words that make a command run as that user.
mf_set_as()
{
	MF_AS=(setpriv --pdeathsig=TERM)
	[ "$(id -u)" -ne 0 ] || MF_AS+=(--reuid="$1" --regid="$(id -g "$1")" --clear-groups)
}

# mf_stage [DIR]: makes the scratch directory (DIR, or a new one under TMPDIR) with a copy of the tree in it, all
# owned by MF_USER. Sets MF_SCRATCH.
# shellcheck disable=SC2120
mf_stage()
{
	local parent=${TMPDIR:-/tmp} status=0

	# Sockets lie below it, and a socket's path has a hundred characters or so. make knows no path with a blank.
	if [ ${#parent} -gt 55 ] || [[ $parent =~ [[:space:]] ]]
	then
		mf_say "TMPDIR is too long for the paths of sockets, or has a blank; using /tmp"
		parent=/tmp
	fi
	if [ $# -gt 0 ]
	then
		MF_SCRATCH=$1
		mkdir -m 700 "$MF_SCRATCH" || mf_die "cannot make $MF_SCRATCH"
	else
		MF_SCRATCH=$(mktemp -d "$parent/mf.XXXXXX") || mf_die "cannot make a scratch directory in $parent"
	fi
	MF_SCRATCH=$(cd "$MF_SCRATCH" && pwd -P)
	mkdir "$MF_SCRATCH"/{src,log,tmp,home}
	# 1: a file changed while it was read; somebody is working in the tree
	tar --exclude=./.git --exclude='*.o' --exclude='*.so' --exclude='*.d' --warning=no-file-changed -cf - . |
		tar -C "$MF_SCRATCH/src" --no-same-owner -xf - || status=$?
	[ $status -le 1 ] || mf_die "could not copy the tree to $MF_SCRATCH/src"
	[ "$(id -u)" -ne 0 ] || chown -R "$MF_USER:$(id -g "$MF_USER")" "$MF_SCRATCH"
	mf_as "$MF_USER" touch "$MF_SCRATCH/src" ||
		mf_die "$MF_USER cannot work in $MF_SCRATCH; set TMPDIR to a directory that everybody can enter"
}

# mf_drop SCRIPT ARG...: becomes the inner half of SCRIPT (a path in the tree), as MF_USER in the scratch directory.
# Does not return: call it in a subshell.
mf_drop()
{
	local name environment=()

	for name in $MF_PASS ${!MF_@}
	do
		[ "${name}" = MF_AS ] || [ -z "${!name+set}" ] || environment+=("$name=${!name}")
	done
	mf_set_as "$MF_USER"
	cd "$MF_SCRATCH/src" || exit
	exec "${MF_AS[@]}" env -i --default-signal=INT,QUIT,PIPE \
		PATH="$(dirname "$PG_CONFIG"):/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin" LC_ALL=C.UTF-8 TZ="${ZONE:-UTC}" \
		HOME="$MF_SCRATCH/home" TMPDIR="$MF_SCRATCH/tmp" PG_CONFIG="$PG_CONFIG" "${environment[@]}" \
		bash "$@"
}

# mf_outer SCRIPT: the outer half of a test run. Removes the scratch directory unless the run failed or KEEP is set.
mf_outer()
{
	local pid status=0

	unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES
	scripts/install-deps.sh || exit
	mf_find_postgres
	trap mf_forget_user EXIT
	mf_pick_user
	# shellcheck disable=SC2119
	mf_stage
	mf_as "$MF_USER" test -x "$PG_CONFIG" ||
		mf_die "$MF_USER, who runs the servers, cannot reach $PG_CONFIG"
	mf_say "running as $MF_USER in $MF_SCRATCH with $("$PG_CONFIG" --version)"

	mf_drop "$1" --inner </dev/null &
	pid=$!
	trap 'kill -TERM $pid' HUP INT TERM
	while kill -0 "$pid" 2>/dev/null
	do
		status=0
		wait "$pid" || status=$?
	done
	trap - HUP INT TERM

	if [ "$status" -eq 0 ] && [ "${KEEP:-0}" = 0 ]
	then
		rm -rf "$MF_SCRATCH"
	fi
	return "$status"
}

# From here on: the inner half.

# Sets MF_MAKE to the make variables that the caller of the outer half gave.
mf_make_variables()
{
	local name

	MF_MAKE=()
	for name in CC OPTFLAGS WERROR
	do
		[ -z "${!name+set}" ] || MF_MAKE+=("$name=${!name}")
	done
}

# mf_build DIR LOG [VARIABLE=VALUE...]: make in a directory of the tree, from scratch
mf_build()
{
	local dir=$1 log=$2
	shift 2
	make -s -C "$dir" clean "$@" >"$log" 2>&1 && make -s -C "$dir" -j "$(nproc)" all "$@" >>"$log" 2>&1
}

# mf_private_install [DIR ROOT]: a PostgreSQL of our own in ROOT (pg/), with the extension built in DIR (the current
# directory) installed into it.
#
# A server finds its libraries and scripts relative to its own program file, if that lies as it did at build time.
# So the programs are copied, to the same place relative to the rest, and everything else is linked to.
mf_private_install()
{
	local bindir libdir sharedir prefix dir=${1:-.} root=${2:-$MF_SCRATCH/pg}

	bindir=$("$PG_CONFIG" --bindir)
	libdir=$("$PG_CONFIG" --pkglibdir)
	sharedir=$("$PG_CONFIG" --sharedir)
	prefix=$bindir
	while [[ $libdir/ != "$prefix"/* || $sharedir/ != "$prefix"/* ]]
	do
		prefix=$(dirname "$prefix")
	done
	prefix=${prefix%/}

	MF_BIN=$root${bindir#"$prefix"}
	mkdir -p "$MF_BIN" && cp -p "$bindir"/* "$MF_BIN/"
	mf_link_into "$libdir" "$root${libdir#"$prefix"}"
	mf_link_into "$sharedir" "$root${sharedir#"$prefix"}"
	rm "$root${sharedir#"$prefix"}/extension"
	mf_link_into "$sharedir/extension" "$root${sharedir#"$prefix"}/extension"

	if [ "$("$MF_BIN/pg_config" --sharedir)" != "$root${sharedir#"$prefix"}" ] ||
		[ "$("$MF_BIN/pg_config" --pkglibdir)" != "$root${libdir#"$prefix"}" ]
	then
		mf_die "the copy of PostgreSQL in $root does not find its own files (is $root on a file system with noexec?)"
	fi
	make -C "$dir" install PG_CONFIG="$MF_BIN/pg_config" >"$MF_SCRATCH/log/install.log" 2>&1 || {
		tail -n 20 "$MF_SCRATCH/log/install.log"
		mf_die "could not install the extension into $root"
	}
	MF_PGXS_SRC=$(cd "$(dirname "$("$PG_CONFIG" --pgxs)")/.." && pwd)
	MF_PG_MAJOR=$(mf_wanted_version)
	PATH=$MF_BIN:$PATH
	export MF_BIN MF_PGXS_SRC MF_PG_MAJOR PATH
}

# Links to all that a directory holds, but for an older installation of ours.
mf_link_into()
{
	local entry

	mkdir -p "$2"
	for entry in "$1"/*
	do
		case $(basename "$entry") in
			myfatoorah*) ;;
			*) ln -s "$entry" "$2/" ;;
		esac
	done
}

# mf_poll SECONDS COMMAND...: waits until the command succeeds
mf_poll()
{
	local deadline=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1
	do
		[ $SECONDS -lt $deadline ] || return 1
		sleep 0.05
	done
}

# mf_sandbox_start DIR [ARGUMENT...]: starts the stand-in API on a free port of the loopback interface, its files in
# DIR: pid, port, sandbox.log and the API key in myfatoorah.key. Sets and exports MF_SANDBOX_URL, MF_CONTROL_URL,
# MF_API_KEY, MF_KEY_FILE. MF_SANDBOX_WRAPPER may name words to run it under.
mf_sandbox_start()
{
	local dir=$1
	shift
	mkdir -p "$dir"
	rm -f "$dir/port"
	MF_API_KEY=${MF_API_KEY:-SK_KWT_sandbox}
	(umask 077 && echo "$MF_API_KEY" >"$dir/myfatoorah.key")
	# shellcheck disable=SC2086
	${MF_SANDBOX_WRAPPER-} sandbox/mf-sandbox --port 0 --port-file "$dir/port" --key "$MF_API_KEY=KWT" "$@" \
		>"$dir/sandbox.log" 2>&1 </dev/null &
	echo $! >"$dir/pid"
	if ! mf_poll 20 mf_sandbox_is_up_or_gone "$dir" || ! [ -s "$dir/port" ]
	then
		tail -n 20 "$dir/sandbox.log"
		mf_sandbox_stop "$dir"
		mf_say "the stand-in API does not start (see $dir/sandbox.log)"
		return 1
	fi
	MF_KEY_FILE=$dir/myfatoorah.key
	MF_SANDBOX_URL=http://127.0.0.1:$(<"$dir/port")
	MF_CONTROL_URL=$MF_SANDBOX_URL/_sandbox
	export MF_API_KEY MF_KEY_FILE MF_SANDBOX_URL MF_CONTROL_URL
}

mf_sandbox_is_up_or_gone()
{
	[ -s "$1/port" ] || ! kill -0 "$(<"$1/pid")"
}

# mf_sandbox_stop DIR: ends it and waits for its end
mf_sandbox_stop()
{
	mf_end "$1/pid"
}

# mf_end PIDFILE: ends the process that the file names, kindly, then not; removes the file
mf_end()
{
	local pid

	[ -e "$1" ] || return 0
	pid=$(<"$1")
	rm -f "$1"
	kill -TERM "$pid" 2>/dev/null || return 0
	mf_poll 10 mf_is_gone "$pid" || kill -KILL "$pid" 2>/dev/null || true
}

# A child of ours that has ended stays listed until somebody asks for its status.
mf_is_gone()
{
	case $(ps -o stat= -p "$1") in
		''|Z*) return 0 ;;
		*) return 1 ;;
	esac
}

# mf_cluster_init DIR [LINE...]: makes a cluster in DIR/data: reachable only through a Unix socket in DIR, superuser
# "postgres", the extension preloaded; after mf_sandbox_start it also has the key file and the setting
# mf_test.sandbox_url. The LINEs are added to postgresql.conf.
mf_cluster_init()
{
	local dir=$1
	shift
	mkdir -p "$dir"
	"$MF_BIN/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --no-locale --no-sync >"$dir/initdb.log" 2>&1 || {
		tail -n 20 "$dir/initdb.log"
		mf_say "initdb failed (see $dir/initdb.log)"
		return 1
	}
	{
		cat <<-TXT
			listen_addresses = ''
			unix_socket_directories = '$dir'
			port = 5432
			shared_preload_libraries = 'myfatoorah'
			max_worker_processes = 32
			max_connections = 60
			max_prepared_transactions = 10
			fsync = off
			log_min_messages = debug1
			log_line_prefix = '%m [%p] %b %q%a %d '
			log_timezone = 'UTC'
			timezone = '$TZ'
			# the default is for a machine that is not busy
			myfatoorah.on_change_timeout = '30s'
			mf_test.sandbox_url = '${MF_SANDBOX_URL-}'
		TXT
		[ $# -eq 0 ] || printf '%s\n' "$@"
	} >>"$dir/data/postgresql.conf"
	[ -z "${MF_KEY_FILE-}" ] || install -m 600 "$MF_KEY_FILE" "$dir/data/myfatoorah.key"
}

# mf_cluster_start DIR: starts it and waits until it accepts connections; sets PGHOST, PGPORT, PGUSER and
# PGDATABASE for psql. Log: DIR/server.log. MF_POSTGRES_WRAPPER may name words to run the server under, MF_START_TIME
# the seconds it may take.
mf_cluster_start()
{
	local dir=$1

	export PGHOST=$dir PGPORT=5432 PGUSER=postgres PGDATABASE=postgres
	# shellcheck disable=SC2086
	${MF_POSTGRES_WRAPPER-} "$MF_BIN/postgres" -D "$dir/data" >>"$dir/server.log" 2>&1 </dev/null &
	echo $! >"$dir/pid"
	if ! mf_poll "${MF_START_TIME:-30}" mf_cluster_is_up_or_gone "$dir" || mf_is_gone "$(<"$dir/pid")"
	then
		tail -n 20 "$dir/server.log"
		mf_cluster_stop "$dir"
		mf_say "the server does not start (see $dir/server.log)"
		return 1
	fi
}

mf_cluster_is_up_or_gone()
{
	"$MF_BIN/pg_isready" -q -t "${MF_START_TIME:-30}" || mf_is_gone "$(<"$1/pid")"
}

# mf_cluster_stop DIR: stops it, fast, and waits; at once if it does not end in MF_STOP_TIME seconds
mf_cluster_stop()
{
	local pid

	[ -e "$1/pid" ] || return 0
	pid=$(<"$1/pid")
	rm -f "$1/pid"
	kill -INT "$pid" 2>/dev/null || return 0
	mf_poll "${MF_STOP_TIME:-30}" mf_is_gone "$pid" && return 0
	mf_say "the server in $1 did not stop in time; ending it at once"
	kill -QUIT "$pid" 2>/dev/null || true
	mf_poll 10 mf_is_gone "$pid" || kill -KILL "$pid" 2>/dev/null || true
}
