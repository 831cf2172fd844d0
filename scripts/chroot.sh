# shellcheck shell=bash
# What deb, rpm, docker and matrix share: throw-away systems of Debian, each a directory that is entered by chroot, with processes,
# mounts and a network of its own. To be sourced after server.sh. Needs root, and Debian's archive.
#
#   MIRROR=URL     the archive (the one of this machine)
#   MF_ROOTS       the directory that holds them, and the log of all that is done in them (mf_roots_begin)

# mf_roots_need NAME: what it takes to make them; sets MIRROR
mf_roots_need()
{
	[ "$(id -u)" -eq 0 ] || mf_die "make $1 makes chroots, so it needs root"
	command -v mmdebstrap >/dev/null && command -v ip >/dev/null || EXTRA="mmdebstrap iproute2" scripts/install-deps.sh
	MIRROR=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Component: main' 'Origin: Debian' |
		grep -v security | head -n 1)}
	[ -n "$MIRROR" ] || mf_die "set MIRROR: this system does not tell an archive of Debian"
	MF_HOLDERS=()
}

# mf_roots_begin NAME: makes MF_ROOTS, which is removed at the end of the script unless that fails.
mf_roots_begin()
{
	mf_roots_need "$1"
	MF_ROOTS=$(mktemp -d "${TMPDIR:-/tmp}/$1.XXXXXX")
	mkdir "$MF_ROOTS/archives"
	MF_ROOTS_NAME=$1
	trap mf_roots_end EXIT
	trap 'exit 129' HUP INT TERM
}

mf_roots_end()
{
	local status=$?

	mf_root_stop
	if [ "$status" -eq 0 ]
	then
		rm -rf --one-file-system "$MF_ROOTS"
	else
		tail -n 40 "$MF_ROOTS/log" 2>/dev/null || true
		mf_say "make $MF_ROOTS_NAME failed; its chroots and log are in $MF_ROOTS"
	fi
}

# mf_root_make NAME SUITE PACKAGES: a minimal system with these packages and the lists of what there is
mf_root_make()
{
	local option options=(--dpkgopt=force-unsafe-io)

	mf_say "making a chroot of $2: $1"
	# the archive is reached as this machine reaches it
	while read -r option
	do
		options+=("--aptopt=$option")
	done < <(apt-config dump --no-empty | grep -E '^Acquire::(http|https|Check-)')
	mmdebstrap --quiet --mode=root --variant=minbase --skip=cleanup/apt/lists ${3:+--include="$3"} "${options[@]}" \
		"$2" "$MF_ROOTS/$1" "$MIRROR" >>"$MF_ROOTS/log" 2>&1
}

# mf_root_new NAME SUITE PACKAGES: likewise, started
mf_root_new()
{
	mf_root_make "$@"
	mf_root_start "$1"
}

# mf_root_copy FROM NAME: another system with the files of one that has no process, started
mf_root_copy()
{
	cp -a --one-file-system "$MF_ROOTS/$1" "$MF_ROOTS/$2"
	mf_root_start "$2"
}

# mf_root_start NAME: its namespaces live as long as the process that is remembered here. Packages are fetched once for all.
mf_root_start()
{
	local root=$MF_ROOTS/$1 holder child

	rm -f "$root.up"
	mkdir -p "$root/var/cache/apt/archives"
	unshare --mount --pid --ipc --net --fork --kill-child=KILL bash -euc '
		ip link set lo up
		mount --rbind /dev "$1/dev"
		mount -t proc proc "$1/proc"
		mount --bind "$2" "$1/var/cache/apt/archives"
		: >"$1.up"
		sleep infinity & wait' bash "$root" "$MF_ROOTS/archives" </dev/null >>"$MF_ROOTS/log" 2>&1 &
	holder=$!
	mf_poll 20 test -e "$root.up" || mf_die "cannot make namespaces for a chroot here: $(tail -n 1 "$MF_ROOTS/log")"
	child=$(<"/proc/$holder/task/$holder/children")
	echo "${child%% *}" >"$root.pid"
	MF_HOLDERS+=("$holder")
	cp -L /etc/resolv.conf "$root/etc/resolv.conf"
}

# mf_root_stop [NAME]: ends all that runs in it, or in all of them
mf_root_stop()
{
	local holder pid

	if [ $# -gt 0 ]
	then
		pid=$(<"$MF_ROOTS/$1.pid")
		kill -KILL "$pid"
		mf_poll 60 mf_is_gone "$pid" || mf_die "$1 does not end"
		rm "$MF_ROOTS/$1.pid"
		return
	fi
	for holder in ${MF_HOLDERS[@]+"${MF_HOLDERS[@]}"}
	do
		kill -KILL "$holder" 2>/dev/null || continue
		wait "$holder" 2>/dev/null || true
	done
}

# mf_root_remove NAME: ends all that runs in it, if it was started and not stopped, and removes it
mf_root_remove()
{
	[ ! -e "$MF_ROOTS/$1.pid" ] || mf_root_stop "$1"
	rm -rf --one-file-system "${MF_ROOTS:?}/$1"
}

# mf_root_enter NAME NAMESPACE... -- COMMAND...: in its chroot, with a clean environment
mf_root_enter()
{
	local root=$MF_ROOTS/$1 namespaces=(--mount --pid --ipc)

	shift
	while [ "$1" != -- ]
	do
		namespaces+=("$1")
		shift
	done
	shift
	nsenter --target "$(<"$root.pid")" "${namespaces[@]}" chroot "$root" env -i HOME=/root LC_ALL=C.UTF-8 \
		DEBIAN_FRONTEND=noninteractive PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@" </dev/null
}

# mf_root_run NAME COMMAND: a script of bash, which reaches the network of this machine. Its output goes to the log.
mf_root_run()
{
	echo "== $1: $2" >>"$MF_ROOTS/log"
	mf_root_enter "$1" -- bash -euc "$2" >>"$MF_ROOTS/log" 2>&1
}

# mf_root_alone NAME COMMAND: likewise, with a loopback interface of its own and nothing else
mf_root_alone()
{
	echo "== $1, alone: $2" >>"$MF_ROOTS/log"
	mf_root_enter "$1" --net -- bash -euc "$2" >>"$MF_ROOTS/log" 2>&1
}

# mf_root_sources NAME DIRECTORY: what is committed
mf_root_sources()
{
	mkdir -p "$MF_ROOTS/$1/$2"
	git archive HEAD | tar -C "$MF_ROOTS/$1/$2" -xf -
}

# mf_root_files NAME: its packages, users and files, but for those that change by themselves
mf_root_files()
{
	(
		cd "$MF_ROOTS/$1"
		chroot . dpkg-query -W -f '${Package}\n' | sort
		cut -d: -f1 etc/passwd etc/group
		find . -xdev \( -path ./proc -o -path ./dev -o -path ./tmp -o -path ./var/cache -o -path ./var/lib/apt -o -path ./var/log \
			-o -path ./var/lib/dpkg -o -path ./root -o -path ./etc/ld.so.cache -o -path './var/lib/postgresql/*/main/*' \
			-o -path './run/*' \) -prune -o -print | sort
	)
}
