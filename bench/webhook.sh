#!/usr/bin/env bash
# How soon a payment is in its row after MyFatoorah's webhook, and what a flood of webhooks does: bench/webhook.sh. Works
# on a throw-away server, as make check does, and prints a table.
#
# BENCH_QUICK=1       few payments: shows that it works, not how fast it is
# BENCH_RATE=1000     webhooks per second of the flood, for BENCH_SECONDS=60 (5 if quick)
# BENCH_JUNK=2000     unsigned posts per second beside it, and BENCH_CUSTOMERS=500 per second who come back to one invoice
# BENCH_SCRATCH=DIR   where the scratch directory is made: the database should lie on a real disk (TMPDIR, else /tmp)
# KEEP, PG_CONFIG, CC, OPTFLAGS as for make check
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/server.sh

if [ "${1-}" != --inner ]
then
	export MF_BENCH_QUICK=${BENCH_QUICK:-0} MF_BENCH_RATE=${BENCH_RATE-} MF_BENCH_SECONDS=${BENCH_SECONDS-}
	export MF_BENCH_JUNK=${BENCH_JUNK-2000} MF_BENCH_CUSTOMERS=${BENCH_CUSTOMERS-500}
	[ -z "${BENCH_SCRATCH-}" ] || export TMPDIR=$BENCH_SCRATCH
	mf_outer bench/webhook.sh
	exit
fi

webhook_cleanup()
{
	mf_cluster_stop "$MF_SCRATCH/cluster"
	mf_sandbox_stop "$MF_SCRATCH/sandbox"
}

webhook_listens()
{
	[ "$(psql -XqAt -c 'SELECT count(*) FROM mf_listener_status WHERE port IS NOT NULL')" = 1 ]
}

webhook_works()
{
	[ "$(psql -XqAt -c 'SELECT count(*) FROM mf_worker_status WHERE transactions > 0')" = 1 ]
}

trap webhook_cleanup EXIT
trap 'exit 129' HUP INT TERM
mf_make_variables
mf_say "building"
mf_build . "$MF_SCRATCH/log/build-extension.log" "${MF_MAKE[@]}" || mf_die "the extension does not build"
# shellcheck disable=SC2119
mf_private_install
mf_build bench "$MF_SCRATCH/log/build-bench.log" "${MF_MAKE[@]}" || mf_die "the client does not build"
mf_build sandbox "$MF_SCRATCH/log/build-sandbox.log" "${MF_MAKE[@]}" || mf_die "the stand-in API does not build"

port=$(perl -MIO::Socket::INET -e \
	'print IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => 0, Listen => 1)->sockport')
secret=$(od -An -N 24 -t x1 /dev/urandom | tr -d ' \n')
mf_sandbox_start "$MF_SCRATCH/sandbox" --quiet --ledger-limit 0 --webhook-secret "$secret" \
	--webhook-url "http://127.0.0.1:$port/webhook/myfatoorah" || exit
mf_cluster_init "$MF_SCRATCH/cluster" "fsync = on" "log_min_messages = warning" "shared_buffers = 256MB" \
	"max_wal_size = 4GB" || exit
(umask 077 && echo "$secret" >"$MF_SCRATCH/cluster/data/myfatoorah.webhook")
mf_cluster_start "$MF_SCRATCH/cluster" || exit
psql -Xq -v ON_ERROR_STOP=1 <<SQL
CREATE EXTENSION myfatoorah;
CREATE SERVER myfatoorah FOREIGN DATA WRAPPER myfatoorah
	OPTIONS (country 'KWT', environment 'test', base_url '$MF_SANDBOX_URL');
CREATE USER MAPPING FOR PUBLIC SERVER myfatoorah
	OPTIONS (api_key_file 'myfatoorah.key', webhook_secret_file 'myfatoorah.webhook');
ALTER DATABASE postgres SET myfatoorah.public_url = 'http://127.0.0.1:$port';
ALTER DATABASE postgres SET myfatoorah.listen_port = $port;
SQL
mf_poll 30 webhook_listens || mf_die "no listener"
mf_poll 30 webhook_works || mf_die "no worker"
MF_BENCH_PORT=$port MF_SANDBOX_PID=$(<"$MF_SCRATCH/sandbox/pid") perl bench/webhook.pl
