#!/usr/bin/env bash
# make docker-check: does in chroots what docker/Dockerfile and docker/compose.yaml say, without a container engine: each stage
# is a minimal Debian in which its RUN and COPY are done, each service its ENTRYPOINT and CMD, in one network of their own.
# Then an invoice goes out, is paid on the page behind nginx, and the customer comes back by way of the listener. Needs root and Debian's archive.
# What it cannot see is what an engine adds: layers, capabilities, published ports.
#
# MIRROR=URL   the archive (the one of this machine)
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/server.sh
. scripts/chroot.sh

stage=
declare -A workdir env user entrypoint cmd healthcheck stopsignal exposed
declare -A target environment_of volumes_of ports_of command_of network
declare -A pid

quoted()
{
	[ $# -eq 0 ] || printf '%q ' "$@"
}

# instruction WORD ARGUMENT...: one of the Dockerfile
instruction()
{
	local word=$1

	shift
	case $word in
		FROM)
			[ "$1 ${2-}" = "debian:13-slim AS" ] || mf_die "only FROM debian:13-slim AS NAME is known, not $*"
			stage=$3
			mf_say "stage $stage"
			mf_root_copy base "$stage"
			workdir[$stage]=/ env[$stage]='' user[$stage]=root entrypoint[$stage]='' cmd[$stage]='' healthcheck[$stage]=''
			stopsignal[$stage]=SIGTERM exposed[$stage]=''
			;;
		RUN) mf_root_run "$stage" "$(in_stage "$stage") /bin/sh -c $(quoted "$1")" ;;
		COPY) copy "$@" ;;
		WORKDIR) workdir[$stage]=$1; mkdir -p "$MF_ROOTS/$stage/$1" ;;
		ENV) env[$stage]+=$(quoted "$@") ;;
		USER) user[$stage]=$1 ;;
		EXPOSE) exposed[$stage]=$* ;;
		VOLUME) shift; mkdir -p "$MF_ROOTS/$stage/$1" ;;
		STOPSIGNAL) stopsignal[$stage]=$1 ;;
		HEALTHCHECK) [ "$1" = exec ]; shift; healthcheck[$stage]=$(quoted "$@") ;;
		ENTRYPOINT) [ "$1" = exec ]; shift; entrypoint[$stage]=$(quoted "$@") ;;
		CMD) [ "$1" = exec ]; shift; cmd[$stage]=$(quoted "$@") ;;
		*) mf_die "this script does not know the instruction $word" ;;
	esac
}

# in_stage STAGE [ENVIRONMENT]: the words that run a command as the stage says
in_stage()
{
	local as=${user[$1]}

	printf 'cd %q && exec env %s' "${workdir[$1]}" "${env[$1]}${2-}"
	[ "$as" = root ] || printf 'setpriv --reuid=%q --regid=%q --clear-groups ' "$as" "$(chroot "$MF_ROOTS/$1" id -g "$as")"
}

# copy [--from=STAGE] FROM TO
copy()
{
	local from=$1 to

	if [[ $1 == --from=* ]]
	then
		cp -a "$MF_ROOTS/${1#--from=}$2/." "$MF_ROOTS/$stage/$3"
		return
	fi
	to=$2
	[[ $to == /* ]] || to=${workdir[$stage]}/$to
	[ "$from" = . ] || mf_die "only the whole context is copied, not $from"
	# the context: what is committed is what .dockerignore leaves
	git archive HEAD | tar -C "$MF_ROOTS/$stage/$to" -xf -
}

# Of the compose file
service()
{
	name=$1
	[ "$2/$3" = "../docker/Dockerfile" ] || mf_die "$name: an unknown context $2 or Dockerfile $3"
	[[ -z $5 || $5 == service:* ]] || mf_die "$name: an unknown network $5"
	[ -n "${env[$4]+set}" ] || mf_die "$name: the Dockerfile has no stage $4"
	services+=("$name")
	target[$name]=$4
	network[$name]=${5#service:}
}
environment() { environment_of[$name]=$(quoted "$@"); }
volumes() { volumes_of[$name]=$*; }
ports() { ports_of[$name]=$*; }
command_is() { command_of[$name]=$(quoted "$@"); }

# net NAME: the network of a service, as an argument of nsenter
net()
{
	local of=${network[$1]:-$1}

	echo "--net=/proc/$(<"$MF_ROOTS/${target[$of]}.pid")/ns/net"
}

# start NAME
start()
{
	local in=${target[$1]} volume from to holder

	for volume in ${volumes_of[$1]}
	do
		IFS=: read -r from to _ <<<"$volume"
		# a named volume is the directory of the stage, which is only one
		[[ $from != ./* ]] || install -D -m 644 "docker/$from" "$MF_ROOTS/$in/$to"
	done
	mf_root_enter "$in" "$(net "$1")" -- bash -c "$(in_stage "$in" "${environment_of[$1]}") \
		${entrypoint[$in]} ${command_of[$1]:-${cmd[$in]}}" >>"$MF_ROOTS/$1.log" 2>&1 &
	holder=$!
	mf_poll 20 service_pid "$holder" || mf_die "$1 does not start: $(tail -n 3 "$MF_ROOTS/$1.log")"
	pid[$1]=$(service_pid "$holder")
}

# service_pid PID: the process that nsenter, a child of that one, has made: the service itself
service_pid()
{
	local entered

	entered=$(pgrep -P "$1" -x nsenter) && pgrep -P "$entered"
}

healthy()
{
	mf_root_enter "${target[$1]}" "$(net "$1")" -- bash -c "$(in_stage "${target[$1]}") ${healthcheck[${target[$1]}]}"
}

# stop NAME: with the signal that an engine would send
stop()
{
	kill -s "${stopsignal[${target[$1]}]#SIG}" "${pid[$1]}"
	mf_poll 60 mf_is_gone "${pid[$1]}" || mf_die "$1 does not stop"
}

# curl as on the machine that has published the ports
browser()
{
	nsenter "$(net postgres)" curl -sS -k --noproxy '*' --max-time 30 --connect-to 127.0.0.1:8443:127.0.0.1:443 "$@"
}

sql()
{
	mf_root_enter postgres "$(net postgres)" -- env PGPASSWORD=secret psql -XqAt -v ON_ERROR_STOP=1 -h 127.0.0.1 -U postgres -d shop -c "$1"
}

# expect WHAT WANTED IS
expect()
{
	[ "$2" = "$3" ] || mf_die "$1: \"$3\", not \"$2\""
	mf_say "  $1: $3"
}

# postgres up: as depends_on has it
up()
{
	start postgres
	mf_poll 60 healthy postgres || mf_die "postgres is not healthy: $(tail -n 5 "$MF_ROOTS/postgres.log")"
}

mf_roots_begin docker
mf_root_new base trixie ""
mf_root_stop base
instructions=$(scripts/docker.pl docker/Dockerfile)
eval "$instructions"

services=()
calls=$(POSTGRES_PASSWORD=secret MYFATOORAH_KEY=SK_KWT_sandbox MYFATOORAH_WEBHOOK_SECRET=another scripts/docker.pl docker/compose.yaml | sed "s/^'command'/'command_is'/")
eval "$calls"

mf_say "services: ${services[*]}"
up
start sandbox
start nginx
mf_poll 20 browser -f -o /dev/null https://127.0.0.1:8444/ || mf_die "nginx does not answer: $(tail -n 3 "$MF_ROOTS/nginx.log")"
for port in ${ports_of[postgres]}
do
	mf_poll 20 nsenter "$(net postgres)" bash -c "echo >/dev/tcp/127.0.0.1/${port##*:}" || mf_die "nobody listens at the published port ${port##*:}"
done
expect "junk, as the listener answers it" 400 "$(browser -o /dev/null -w '%{http_code}' -d junk https://127.0.0.1:8443/webhook)"
mf_poll 20 test "$(sql "SELECT count(*) FROM mf_worker_status")" = 1
expect "mf_check()" "" "$(sql "SELECT string_agg(item || ': ' || detail, '; ') FROM mf_check() WHERE NOT ok")"
id=$(sql "INSERT INTO mf_invoice (customer_name, invoice_value) VALUES ('Ahmad', 250) RETURNING id")
expect "the invoice is" sent "$(sql "SELECT status_now FROM mf_wait($id, '30 s', 'sent')")"
url=$(sql "SELECT invoice_url FROM mf_invoice WHERE id = $id")
[[ $url == https://127.0.0.1:8444/* ]] || mf_die "its page is at $url"
browser -f -o /dev/null "$url"
back=$(browser -o /dev/null -d gateway=KNET -w '%{redirect_url}' "$url/pay")
[[ $back == https://127.0.0.1:8443/callback/* ]] || mf_die "the customer is sent to $back"
browser -o /dev/null "$back"
expect "and then" paid "$(sql "SELECT payment_status_now FROM mf_wait($id, '60 s', payment_status => 'paid')")"
expect "known by" callback "$(sql "SELECT string_agg(DISTINCT source, ' ') FROM mf_event WHERE invoice = $id")"
expect "what makes the stand-in misbehave is not for the public" 404 "$(browser -o /dev/null -w '%{http_code}' https://127.0.0.1:8444/_sandbox/health)"

mf_say "stopped and started again, on the same volume"
shutdowns=$(grep -c 'database system is shut down' "$MF_ROOTS/postgres.log")
stop postgres
expect "orderly shutdowns" $((shutdowns + 1)) "$(grep -c 'database system is shut down' "$MF_ROOTS/postgres.log")"
clusters=$(grep -c 'The files belonging to this database system' "$MF_ROOTS/postgres.log")
up
expect "clusters made" "$clusters" "$(grep -c 'The files belonging to this database system' "$MF_ROOTS/postgres.log")"
id=$(sql "INSERT INTO mf_invoice (customer_name, invoice_value) VALUES ('Noura', 300) RETURNING id")
expect "the next invoice is" sent "$(sql "SELECT status_now FROM mf_wait($id, '30 s', 'sent')")"
browser -f -o /dev/null https://127.0.0.1:8444/ || mf_die "nginx does not answer any more: $(tail -n 3 "$MF_ROOTS/nginx.log")"
stop postgres
mf_say "done; no container engine was used"
