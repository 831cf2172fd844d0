#!/usr/bin/env bash
# make demo: from a fresh clone to a paid invoice, on a machine that may have nothing installed, as root or not.
# Builds the extension and the stand-in API, starts a private server with both, and walks a rent roll through them.
# Every step is checked: the exit status is 0 only if all of it was seen to happen.
#
#   demo.sh start    (make demo)        run the demonstration; the server is left running to play with
#   demo.sh shell    (make demo-shell)  psql in the demonstration's database
#   demo.sh stop     (make demo-stop)   end it and remove all that it made; packages that were installed stay
#
# DEMO_PORT=9965      port of the stand-in API on 127.0.0.1; a free one is used if it is taken
# DEMO_LISTENER_PORT=9966   likewise of the listener, where the stand-in's webhooks and your browser come back
# PG_CONFIG=...       another PostgreSQL: /usr/lib/postgresql/17/bin/pg_config
# CC, OPTFLAGS, WERROR   see the Makefile; WERROR is empty here
# TMPDIR              where the directory myfatoorah-demo-UID is made, default /tmp
#
# The directory belongs to the caller, and nobody else can write it or put another one in its place; in it, run/
# belongs to the user that runs the servers. Nothing in run/ is executed or believed by root: process ids are compared
# with what the process runs.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/server.sh

DEMO_ROLE=landlord
DEMO_DATABASE=rent

# demo_find_directory: sets DEMO, and MF_SCRATCH to its run/
demo_find_directory()
{
	local parent=${TMPDIR:-/tmp}

	# Sockets lie below it, and a socket's path has a hundred characters or so.
	[ ${#parent} -le 55 ] || parent=/tmp
	DEMO=$parent/myfatoorah-demo-$(id -u)
	MF_SCRATCH=$DEMO/run
}

# demo_is_safe: whether the working directory is what stands at $DEMO, and nobody but the caller can write it, or put
# another one there. Of a link, stat sees the link.
demo_is_safe()
{
	local here there up mode

	here=$(stat -c '%d:%i:%u' .) && there=$(stat -c '%d:%i:%u' -- "$DEMO") && up=$(stat -c '%u %a' ..) || return
	[ "$here" = "$there" ] && [ "${here##*:}" = "$(id -u)" ] && (((8#$(stat -c %a .) & 8#22) == 0)) || return
	mode=8#${up#* }
	case ${up% *} in
		0|"$(id -u)") (((mode & 8#22) == 0 || (mode & 8#1000) != 0)) ;;
		*) return 1 ;;
	esac
}

# demo_lock: one of start and stop at a time, and only in a directory that nobody else has made. Descriptor 9 is this
# directory from then on, whatever its name leads to.
demo_lock()
{
	local project=$PWD

	if ! cd -P -- "$DEMO" 2>/dev/null || ! demo_is_safe
	then
		mf_die "$DEMO is not a directory that only you can write; remove it, or set TMPDIR to another directory"
	fi
	exec 9<.
	cd -- "$project"
	flock -n 9 || mf_die "another make demo or make demo-stop of yours is at work in $DEMO"
}

# demo_pid FILE: the process id in it, if that process still runs a program of the demo; else nothing
demo_pid()
{
	local pid=

	[ ! -f "$1" ] || read -r pid <"$1" || true
	[[ $pid =~ ^[1-9][0-9]*$ ]] || return 0
	case $(readlink "/proc/$pid/exe" 2>/dev/null) in
		"$DEMO"/run/*) echo "$pid" ;;
	esac
}

# demo_end PIDFILE SIGNAL: ends that process, and waits for its end
demo_end()
{
	local pid

	pid=$(demo_pid "$1")
	[ -n "$pid" ] || return 0
	kill -s "$2" "$pid" 2>/dev/null || return 0
	mf_poll 20 mf_is_gone "$pid" || kill -KILL "$pid" 2>/dev/null || true
}

demo_end_servers()
{
	demo_end "$DEMO/run/pid" INT
	demo_end "$DEMO/run/sandbox/pid" TERM
}

# demo_remove: everything but the directory itself, which demo_lock has opened
demo_remove()
{
	local user=

	demo_end_servers
	(cd -P /proc/self/fd/9 && rm -rf run)
	[ ! -f /proc/self/fd/9/user ] || read -r user </proc/self/fd/9/user || true
	if [ -n "$user" ]
	then
		userdel "$user" || true
	fi
	rm -f /proc/self/fd/9/user
}

demo_is_running()
{
	[ -n "$(demo_pid "$DEMO/run/pid")" ] && [ -n "$(demo_pid "$DEMO/run/sandbox/pid")" ]
}

# Where the stand-in API listens
demo_url()
{
	local port=

	read -r port <"$DEMO/run/sandbox/port" || true
	echo "http://127.0.0.1:${port//[!0-9]/}"
}

demo_start()
{
	local pid status=0

	scripts/install-deps.sh || exit
	mf_find_postgres
	demo_find_directory
	mkdir -m 711 "$DEMO" 2>/dev/null || true
	demo_lock
	if demo_is_running
	then
		mf_say "ending the demo that is still running"
	fi
	demo_remove
	mf_pick_user
	echo "$MF_USER_MADE" >"$DEMO/user"
	mf_stage "$DEMO/run"
	mf_say "building and running as $MF_USER in $DEMO"

	export WERROR=${WERROR-}
	MF_DEMO_PORT=${DEMO_PORT:-9965}
	MF_DEMO_LISTENER_PORT=${DEMO_LISTENER_PORT:-9966}
	MF_DEMO_COLOR=
	[ ! -t 1 ] || [ "${TERM:-dumb}" = dumb ] || [ -n "${NO_COLOR-}" ] || MF_DEMO_COLOR=1
	mf_drop scripts/demo.sh --inner </dev/null 9<&- &
	pid=$!
	trap 'kill -TERM $pid 2>/dev/null; wait $pid || true; demo_end_servers; exit 129' HUP INT TERM
	wait "$pid" || status=$?
	trap - HUP INT TERM
	if [ "$status" -ne 0 ]
	then
		demo_end_servers
		mf_die "the demo failed; logs are in $DEMO/run (make demo-stop removes them)"
	fi
}

demo_shell()
{
	demo_find_directory
	if ! demo_is_running
	then
		if [ "$(id -u)" -ne 0 ] && [ -d "$(dirname "$DEMO")/myfatoorah-demo-0" ]
		then
			mf_die "no demo of yours is running; for the one that root started: sudo make demo-shell"
		fi
		mf_die "no demo is running; start one with: make demo"
	fi
	mf_find_postgres
	[ ! -t 0 ] || cat <<-TXT
		This is psql, as the role "$DEMO_ROLE". Things to try:
		  SELECT * FROM rent_roll;
		  SELECT * FROM mf_wait((SELECT id FROM rent_roll WHERE unit = 'A-104'), '10 min', payment_status => 'paid');
		                      and meanwhile pay it: SELECT invoice_url FROM rent_roll WHERE unit = 'A-104';
		  SELECT * FROM mf_history WHERE invoice = 1 ORDER BY changed_at;
		  SELECT * FROM mf_send_payment(customer_name => 'Walk-in', invoice_value => 12.5);
		  SELECT mf_pause();   SELECT * FROM mf_backlog;   SELECT mf_resume();
		  \c - postgres        to be the superuser
		All invoices, each with its page to pay: $(demo_url)/
	TXT
	PGHOST=$DEMO/run PGPORT=5432 PGUSER=$DEMO_ROLE PGDATABASE=$DEMO_DATABASE PGCLIENTENCODING=UTF8 \
		exec "$(dirname "$PG_CONFIG")/psql"
}

demo_stop()
{
	demo_find_directory
	if ! [ -d "$DEMO" ]
	then
		mf_say "no demo of yours is there; nothing to stop"
		return
	fi
	demo_lock
	demo_remove
	rmdir "$DEMO"
	mf_say "the demo is stopped and $DEMO removed"
}

case ${1-} in
	start|shell|stop)
		unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES
		"demo_$1"
		exit
		;;
	--inner)
		;;
	*)
		mf_die "usage: scripts/demo.sh start|shell|stop"
		;;
esac

# From here on: the inner half.

if [ -n "${MF_DEMO_COLOR-}" ]
then
	bold=$'\e[1m' blue=$'\e[36m' plain=$'\e[0m'
else
	bold='' blue='' plain=''
fi
step=0

# step WORDS: announces a step
step()
{
	step=$((step + 1))
	printf '\n%s%2d. %s%s\n' "$bold" "$step" "$*" "$plain"
}

# note WORDS: a remark
note()
{
	printf '    %s\n' "$*"
}

# fail WORDS: what was not seen
fail()
{
	mf_say "FAILED: $*"
	exit 1
}

# sql ROLE: shows the statements of the standard input, runs them as that role, and shows what comes back
sql()
{
	local text output status=0

	text=$(cat)
	printf '\n%s%s%s\n' "$blue" "$(indented <<<"$text")" "$plain"
	output=$(psql -X -q -v ON_ERROR_STOP=1 -P pager=off -P format=wrapped -P columns=96 -P null=- -P footer=off \
		-U "$1" -d "$DEMO_DATABASE" <<<"$text" 2>&1) || status=$?
	[ -z "$output" ] || printf '\n%s\n' "$(indented <<<"$output")"
	[ $status -eq 0 ] || fail "the statements above"
}

indented()
{
	sed 's/^\(.\)/    \1/'
}

# value SQL: what it returns
value()
{
	psql -X -q -A -t -v ON_ERROR_STOP=1 -U postgres -d "$DEMO_DATABASE" -c "$1"
}

# expect WHAT VALUE SQL: the statement must return that
expect()
{
	local seen

	seen=$(value "$3") || fail "$1"
	[ "$seen" = "$2" ] || fail "$1: expected \"$2\", saw \"$seen\""
}

holds()
{
	[ "$(value "SELECT $1")" = t ]
}

# await WHAT CONDITION: until it holds, at most half a minute
await()
{
	mf_poll 30 holds "$2" || fail "$1 was not seen within 30 seconds"
}

# fetch ARGUMENT...: as a browser would
fetch()
{
	curl -sS --max-time 20 --noproxy '*' -A 'Mozilla/5.0 (demo)' "$@"
}

# pay UNIT: as the tenant does with a browser: fetch the page, post its form with KNET. Sets "back", the address that the
# answer leads to; does not go there.
pay()
{
	pay_at "$(value "SELECT invoice_url FROM rent_roll WHERE unit = '$1'")" "$(value "SELECT tenant FROM rent_roll WHERE unit = '$1'")"
}

# pay_at URL TENANT: the same of any invoice
pay_at()
{
	local url=$1 page action code

	page=$(fetch "$url") || fail "the page of the invoice"
	action=$(sed -n 's/.*<form [^>]*method="post" action="\([^"]*\)".*/\1/p' <<<"$page" | head -n 1)
	[[ -n $action && $page == *"$2"* ]] || fail "the tenant's name and a form on $url"
	note "GET  $url"
	note "POST ${url%/*}/$action    gateway=KNET"
	read -r code back < <(fetch -o /dev/null -d gateway=KNET -w '%{http_code} %{redirect_url}\n' "${url%/*}/$action")
	if [ "$code" != 302 ] || [[ $back != *[?\&]paymentId=* ]]
	then
		fail "the redirect after the payment ($code $back)"
	fi
}

# watch UNIT: begins to wait for the payment of a unit in a session of its own. watched: it has seen it.
watch()
{
	sql "$DEMO_ROLE" <<<"SELECT unit, payment_status FROM rent_roll WHERE unit = '$1';"
	expect "$1 not paid yet" unpaid "SELECT payment_status FROM rent_roll WHERE unit = '$1'"
	printf '\n%s%s%s\n' "$blue" "    SELECT * FROM mf_wait(invoice, '30 s', payment_status => 'paid') FROM rent WHERE unit = '$1';  -- waits" "$plain"
	psql -X -q -P footer=off -v ON_ERROR_STOP=1 -U "$DEMO_ROLE" -d "$DEMO_DATABASE" -v unit="$1" \
		>"$MF_SCRATCH/watched" 2>&1 <<-'SQL' &
		SELECT w.* FROM rent, mf_wait(invoice, '30 s', payment_status => 'paid') AS w WHERE unit = :'unit';
		SQL
	watching=$!
	echo
}

watched()
{
	wait "$watching" || fail "the session that waited: $(<"$MF_SCRATCH/watched")"
	printf '\n%s\n' "$(indented <"$MF_SCRATCH/watched")"
	expect "$1 paid" paid "SELECT payment_status FROM rent_roll WHERE unit = '$1'"
}

# expect_sources UNIT SOURCES: where the events about it came from
expect_sources()
{
	expect "how the payment of $1 became known" "$2" \
		"SELECT coalesce(string_agg(DISTINCT source, ' '), 'none') FROM mf_event WHERE invoice = (SELECT invoice FROM rent WHERE unit = '$1')"
}

show_roll()
{
	sql "$DEMO_ROLE" <<-'SQL'
		SELECT unit, tenant, amount, currency AS cur, status, payment_status, invoice_id
		FROM rent_roll;
	SQL
}

# free_port WANTED: that port of the loopback interface, or another one that is free
free_port()
{
	perl -MIO::Socket::INET -e 'for my $port ($ARGV[0], 0) {
		my $socket = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => $port, Listen => 1, ReuseAddr => 1) or next;
		print $socket->sockport; exit 0 } exit 1' "$1"
}

# demo_listens: whether the listener has got its port, which another demo may have found free at the same moment
demo_listens()
{
	await "the listener" "EXISTS (SELECT FROM mf_listener_status WHERE port = $listener_port OR last_error LIKE '%port $listener_port: %')"
	holds "EXISTS (SELECT FROM mf_listener_status WHERE port = $listener_port)"
}

demo_build()
{
	mf_make_variables
	mf_say "building the extension"
	mf_build . "$MF_SCRATCH/log/build-extension.log" "${MF_MAKE[@]}" || {
		tail -n 20 "$MF_SCRATCH/log/build-extension.log"
		fail "the extension does not build"
	}
	mf_private_install
	mf_say "building the stand-in API"
	mf_build sandbox "$MF_SCRATCH/log/build-sandbox.log" "${MF_MAKE[@]}" || {
		tail -n 20 "$MF_SCRATCH/log/build-sandbox.log"
		fail "the stand-in API does not build"
	}
}

# The servers live on after this script, in sessions of their own so that no terminal's signals reach them.
demo_start_servers()
{
	mf_say "starting the stand-in API and a private server"
	MF_SANDBOX_WRAPPER=setsid
	webhook_secret=$(od -An -N 24 -t x1 /dev/urandom | tr -d ' \n')
	mf_sandbox_start "$MF_SCRATCH/sandbox" --port "$MF_DEMO_PORT" >/dev/null ||
		mf_sandbox_start "$MF_SCRATCH/sandbox" || exit
	# shellcheck disable=SC2034
	MF_POSTGRES_WRAPPER=setsid
	mf_cluster_init "$MF_SCRATCH" "fsync = on" "log_min_messages = warning" "timezone = 'Asia/Kuwait'" || exit
	(umask 077 && echo "$webhook_secret" >"$MF_SCRATCH/data/myfatoorah.webhook")
	mf_cluster_start "$MF_SCRATCH" || exit
	export PGCLIENTENCODING=UTF8
	createdb -U postgres "$DEMO_DATABASE"
}

demo_build
demo_start_servers

step "The extension, and one account: a server whose user mapping names the file with the key"
sql postgres <<SQL
CREATE EXTENSION myfatoorah;
CREATE SERVER myfatoorah FOREIGN DATA WRAPPER myfatoorah
       OPTIONS (country 'KWT', environment 'test', base_url '$MF_SANDBOX_URL');
CREATE USER MAPPING FOR PUBLIC SERVER myfatoorah OPTIONS (api_key_file 'myfatoorah.key');
SQL
echo
note "base_url points to the stand-in API on this machine; without it, to MyFatoorah's test host."
await "the worker" "EXISTS (SELECT FROM mf_worker_status)"

step "Payments come back through a listener of the database, with the secret of its webhooks"
sql postgres <<SQL
ALTER USER MAPPING FOR PUBLIC SERVER myfatoorah OPTIONS (ADD webhook_secret_file 'myfatoorah.webhook');
ALTER DATABASE $DEMO_DATABASE SET myfatoorah.route_callbacks = on;
SQL
until
	listener_port=$(free_port "$MF_DEMO_LISTENER_PORT") || fail "a free port for the listener"
	listener_url=http://127.0.0.1:$listener_port
	sql postgres <<SQL
ALTER DATABASE $DEMO_DATABASE SET myfatoorah.public_url = '$listener_url';
ALTER DATABASE $DEMO_DATABASE SET myfatoorah.listen_port = $listener_port;
SQL
	demo_listens
do
	note "Port $listener_port was taken meanwhile. Another one:"
done
# as in MyFatoorah's portal, Webhook Settings
fetch -f -o /dev/null "$MF_CONTROL_URL/webhooks" -d "{\"url\":\"$listener_url/webhook/myfatoorah\",\"secret\":\"$webhook_secret\"}" || fail "the address for webhooks"
echo
note "The secret is in a file, as the key is. Invoices carry the listener's address from now on."
await "the worker with these settings" "EXISTS (SELECT FROM mf_worker_status WHERE transactions > 0)"

step "Is all well? mf_check() asks before you do"
sql postgres <<<"SELECT * FROM mf_check();"
expect "every item of mf_check() ok" t "SELECT bool_and(ok) AND count(*) >= 6 FROM mf_check()"

step "An ordinary role does the rest: it may submit and operate, and use this account"
sql postgres <<SQL
CREATE ROLE $DEMO_ROLE LOGIN;
GRANT myfatoorah_submit, myfatoorah_operate TO $DEMO_ROLE;
GRANT USAGE ON FOREIGN SERVER myfatoorah TO $DEMO_ROLE;
ALTER DATABASE $DEMO_DATABASE OWNER TO $DEMO_ROLE;
SQL

step "A table of your own. A trigger makes an invoice of each row and writes its number back"
sql "$DEMO_ROLE" <<SQL
CREATE TABLE rent (unit text PRIMARY KEY, tenant text, email text, language text,
                   amount numeric, currency text, due timestamptz, invoice bigint);

CREATE TRIGGER rent_invoice AFTER INSERT ON rent FOR EACH ROW EXECUTE FUNCTION mf_enqueue(
    'id=invoice', 'customer_name=tenant', 'customer_email=email', 'language=language',
    'invoice_value=amount', 'display_currency_iso=currency', 'customer_reference=unit',
    'send_at=due', 'notification_option=''EML''', 'call_back_url=''$MF_SANDBOX_URL/''');

CREATE VIEW rent_roll AS
    SELECT unit, tenant, amount, r.currency, i.id, status, payment_status, invoice_id, invoice_url
    FROM rent r JOIN mf_invoice i ON i.id = r.invoice ORDER BY unit;
SQL

step "The rent roll. A-201 has a bad e-mail address; A-204 is due in ten seconds"
sql "$DEMO_ROLE" <<'SQL'
INSERT INTO rent (unit, tenant, email, language, amount, currency, due) VALUES
  ('A-101', 'Ahmad Salem',       'ahmad@example.com',   'EN',   250.000, 'KWD', now()),
  ('A-102', 'فاطمة العلي',       'fatima@example.com',  'AR',   275.500, 'KWD', now()),
  ('A-103', 'Maria Santos',      'maria@example.com',   'EN',   180.000, 'KWD', now()),
  ('A-104', 'خالد المطيري',      'khaled@example.com',  'AR',   320.250, 'KWD', now()),
  ('A-201', 'Noura Hassan',      'noura@example',       'EN',   265.000, 'KWD', now()),
  ('A-202', 'يوسف إبراهيم',      'yousef@example.com',  'AR',   240.750, 'KWD', now()),
  ('A-203', 'John Mathew',       'john@example.com',    'EN',   195.500, 'KWD', now()),
  ('A-204', 'Layla Rashid',      'layla@example.com',   'EN',   410.000, 'KWD', now() + '10 s'),
  ('R-301', 'عبدالله القحطاني',  'abdullah@example.com', 'AR', 4500.00,  'SAR', now()),
  ('R-302', 'Sara Omar',         'sara@example.com',    'EN',  3950.50,  'SAR', now()),
  ('R-303', 'Green Valley Co.',  'office@example.com',  'EN', 12500.00,  'SAR', now()),
  ('R-304', 'منى الحربي',        'mona@example.com',    'AR',  5200.00,  'SAR', now());
SQL
expect "A-204 still queued" queued "SELECT status FROM rent_roll WHERE unit = 'A-204'"
await "the sending of ten invoices" "(SELECT count(*) = 10 FROM rent_roll WHERE status = 'sent')"
await "the refusal of A-201" "(SELECT status = 'rejected' FROM rent_roll WHERE unit = 'A-201')"
show_roll
expect "ten invoices sent, one rejected, one queued" "queued 1, rejected 1, sent 10" \
	"SELECT string_agg(status || ' ' || n, ', ' ORDER BY status)
	 FROM (SELECT status, count(*) AS n FROM rent_roll GROUP BY status) AS s"

step "The links, as your tenants have them by e-mail"
sql "$DEMO_ROLE" <<<"SELECT unit, invoice_id, invoice_url FROM rent_roll WHERE status = 'sent';"
expect "ten links" 10 "SELECT count(DISTINCT invoice_url) FROM rent_roll WHERE status = 'sent'"

step "A-201 was refused. The reason is in the row; correct it and try again"
sql "$DEMO_ROLE" <<'SQL'
SELECT status, last_error FROM mf_invoice WHERE customer_email = 'noura@example';
SQL
expect "the reason of the refusal" t \
	"SELECT last_error LIKE '%CustomerEmail%' FROM mf_invoice WHERE customer_email = 'noura@example'"
sql "$DEMO_ROLE" <<'SQL'
UPDATE mf_invoice SET customer_email = 'noura@example.com'
WHERE id = (SELECT invoice FROM rent WHERE unit = 'A-201');

SELECT mf_retry(invoice, 'e-mail corrected') FROM rent WHERE unit = 'A-201';
SQL
await "the second sending of A-201" "(SELECT status = 'sent' FROM rent_roll WHERE unit = 'A-201')"
sql "$DEMO_ROLE" <<'SQL'
SELECT actor, from_status, to_status, attempt, reason FROM mf_history
WHERE invoice = (SELECT invoice FROM rent WHERE unit = 'A-201') ORDER BY changed_at;
SQL

step "A-204 was due ten seconds after its insertion, and is sent then"
await "the sending of A-204" "(SELECT status = 'sent' FROM rent_roll WHERE unit = 'A-204')"
sql "$DEMO_ROLE" <<'SQL'
SELECT unit, status, send_at::time(3), sent_at::time(3), sent_at - send_at AS late
FROM rent JOIN mf_invoice i ON i.id = invoice WHERE unit = 'A-204';
SQL
expect "A-204 not before its time" t \
	"SELECT sent_at >= send_at FROM rent JOIN mf_invoice i ON i.id = invoice WHERE unit = 'A-204'"

step "A-101 pays. MyFatoorah sends a webhook, and whoever waits for the row is told"
watch A-101
pay A-101
webhook_sent=$(fetch "$MF_CONTROL_URL/webhooks/wait?invoice=$(value "SELECT invoice_id FROM rent_roll WHERE unit = 'A-101'")&timeout_ms=10000")
[[ $webhook_sent == *'"reached":true'* ]] || fail "the webhook"
watched A-101
expect_sources A-101 webhook
sql "$DEMO_ROLE" <<'SQL'
SELECT actor, from_status, to_status, reason FROM mf_history
WHERE invoice = (SELECT invoice FROM rent WHERE unit = 'A-101') ORDER BY changed_at DESC LIMIT 1;
SQL
echo
note "The webhook itself was not believed: it made the worker ask MyFatoorah, and the answer counts."
payment_id=$(sed -n 's/.*[?&]paymentId=\([0-9]*\).*/\1/p' <<<"$back")

step "A-102 pays, and the webhook gets lost. The browser comes back, by way of the listener"
fetch -o /dev/null "$MF_CONTROL_URL/webhooks/mischief" -d '{"drop":"silent","times":-1}' || fail "losing webhooks"
watch A-102
pay A-102
note "GET  ${back%%\?*}"
note "     ?${back#*\?}"
[[ $back == "$listener_url/callback/"* ]] || fail "a way back by the listener"
read -r code landed < <(fetch -o /dev/null -w '%{http_code} %{redirect_url}\n' "$back")
note "     $code, on to $landed"
[[ $code == 303 && $landed == "$MF_SANDBOX_URL/?paymentId="* ]] || fail "the way to the page of success"
watched A-102
expect_sources A-102 callback

step "A-105 moves in and pays, the webhook gets lost, the browser is closed. The worker asks by itself"
sql postgres <<SQL
ALTER SYSTEM SET myfatoorah.poll_delay = '2s';     -- 5 minutes, if nobody says otherwise
SELECT pg_reload_conf();
SQL
sql "$DEMO_ROLE" <<'SQL'
INSERT INTO rent (unit, tenant, email, language, amount, currency, due) VALUES
  ('A-105', 'Dana Ibrahim',      'dana@example.com',    'EN',   215.000, 'KWD', now());
SQL
await "the sending of A-105" "(SELECT status = 'sent' FROM rent_roll WHERE unit = 'A-105')"
watch A-105
pay A-105
watched A-105
expect_sources A-105 none
fetch -o /dev/null -X DELETE "$MF_CONTROL_URL/webhooks/mischief" || fail "webhooks that arrive again"
sql postgres <<'SQL'
ALTER SYSTEM RESET myfatoorah.poll_delay;
SELECT pg_reload_conf();
SQL

step "What does MyFatoorah say of A-101? Anybody may ask by the paymentId of the redirect"
sql "$DEMO_ROLE" <<SQL
SELECT invoice_id, invoice_status, invoice_value, display_currency, customer_name
FROM mf_payment_status('$payment_id');

SELECT payment_gateway, transaction_status, transaction_value, paid_currency,
       transaction_date::timestamptz(0)
FROM mf_payment_transactions('$payment_id');
SQL
expect "invoice A-101 paid" "Paid $(value "SELECT invoice_id FROM rent_roll WHERE unit = 'A-101'")" \
	"SELECT invoice_status || ' ' || invoice_id FROM mf_payment_status('$payment_id')"
expect "one successful transaction of 250.000" "Succss 250.000" \
	"SELECT transaction_status || ' ' || transaction_value FROM mf_payment_transactions('$payment_id')"
echo
note "\"Succss\" is how MyFatoorah spells it."

step "The rent roll now"
show_roll
expect "thirteen invoices sent" 13 "SELECT count(*) FROM rent_roll WHERE status = 'sent'"
expect "three of them paid, and the right ones" "A-101 A-102 A-105" \
	"SELECT string_agg(unit, ' ' ORDER BY unit) FROM rent_roll WHERE payment_status = 'paid'"

step "Thirteen rows here; how many invoices there? The stand-in API keeps its own books"
there=$(fetch "$MF_CONTROL_URL/health" | sed -n 's/.*"invoices":\([0-9]*\).*/\1/p')
posts=$(fetch "$MF_CONTROL_URL/ledger/count?path=SendPayment" | sed -n 's/.*"count":\([0-9]*\).*/\1/p')
echo
note "SendPayment requests it has seen: $posts (one for each row, and the second one of A-201)"
note "invoices it has made:             $there"
[ "$there" = 13 ] || fail "thirteen invoices at the stand-in API; it has $there"
[ "$posts" = 14 ] || fail "fourteen requests at the stand-in API; it has seen $posts"
expect "fourteen attempts recorded" 14 "SELECT count(*) FROM mf_attempt"

step "B-101 moved in yesterday. A plan bills each month once, and every bill is a debt that outlives its links"
sql postgres <<'SQL'
CREATE EXTENSION myfatoorah_billing;
INSERT INTO mf_billing_policy (account, merchant_name, weekend) VALUES ('myfatoorah', 'Al Noor Residences', '{}');
SQL
sql "$DEMO_ROLE" <<'SQL'
INSERT INTO mf_plan (plan_key, template, starts_on, every, due_days) VALUES ('B-101',
  '{"customer_name": "Omar Khalid", "customer_email": "omar@example.com", "customer_reference": "B-101", "total": 300, "memo": "Rent from {from} to {to}"}',
  current_date - 1, '1 month', 7);

SELECT v.* FROM mf_plan p, mf_plan_preview(p.id, 3) v;
SQL
await "the first bill of the plan" "EXISTS (SELECT FROM mf_bill)"

step "It has an address of its own, for paper as well"
sql "$DEMO_ROLE" <<'SQL'
SELECT bill_key, total, due_date, memo FROM mf_bill;

SELECT mf_pay_url(id) FROM mf_bill;
SQL
bill=$(value "SELECT mf_pay_url(id) FROM mf_bill")
await "the sending of the bill's link" "(SELECT i.status = 'sent' FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice)"
printf '\n%s%s%s\n\n' "$blue" "    SELECT mf_qr(mf_pay_url(id)) FROM mf_bill;" "$plain"
value "SELECT mf_qr(mf_pay_url(id)) FROM mf_bill" | indented

# visit: goes to the bill's address; sets "landed", where it leads, or nothing
visit()
{
	landed=$(fetch -o /dev/null -w '%{redirect_url}' "$bill") || fail "the bill's address"
}

# led_on WHAT FORMER: until the bill's address leads to another link than that
led_on()
{
	mf_poll 30 led_elsewhere "$2" || fail "$1 was not seen within 30 seconds"
	note "GET  $bill"
	note "     on to $landed"
}

led_elsewhere()
{
	visit
	[ -n "$landed" ] && [ "$landed" != "$1" ]
}

step "Its link expires, and the same address leads to a new one"
echo
led_on "the bill's link" ''
first=$landed
fetch -o /dev/null -X POST "$MF_CONTROL_URL/invoices/$(value "SELECT invoice_id FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice")/expire" || fail "the expiry"
sql "$DEMO_ROLE" <<<"SELECT mf_refresh(invoice) FROM mf_bill;"
echo
led_on "the renewal" "$first"

step "Nobody has paid. A rule reminds by e-mail, in three seconds, once MyFatoorah has said that nothing came in"
second=$landed
asked=$(fetch "$MF_CONTROL_URL/ledger/count?path=GetPaymentStatus" | sed -n 's/.*"count":\([0-9]*\).*/\1/p')
sql "$DEMO_ROLE" <<'SQL'
INSERT INTO mf_reminder_rule (name, days_from_due, at_time, via, notification_option)
SELECT 'a gentle one', at::date - due_date, at::time, 'link', 'EML' FROM mf_bill, (SELECT now() + '3 s' AS at) AS soon;
SQL
await "the reminder" "EXISTS (SELECT FROM mf_reminder)"
echo
led_on "the link of the reminder" "$second"
sql "$DEMO_ROLE" <<'SQL'
SELECT r.name, m.via, i.notification_option AS by, i.customer_email, m.balance, m.due_at::time(0), m.fired_at - m.due_at AS late
FROM mf_reminder m JOIN mf_reminder_rule r ON r.id = m.rule JOIN mf_invoice i ON i.id = m.invoice;
SQL
expect "one reminder, not before its time" "1 t" "SELECT count(*) || ' ' || bool_and(fired_at >= due_at)::text::char FROM mf_reminder"
[ "$(fetch "$MF_CONTROL_URL/ledger/count?path=GetPaymentStatus" | sed -n 's/.*"count":\([0-9]*\).*/\1/p')" -gt "$asked" ] || fail "a question before the reminder"
mailed=$(fetch "$MF_CONTROL_URL/invoices/$(value "SELECT invoice_id FROM mf_reminder m JOIN mf_invoice i ON i.id = m.invoice")" | sed -n 's/.*"notification":"\([A-Z]*\)".*/\1/p')
[ "$mailed" = EML ] || fail "an e-mail for the stand-in API to send"

step "Half is paid in cash; the link is replaced by one over the rest, which is paid online"
third=$landed
sql "$DEMO_ROLE" <<'SQL'
INSERT INTO mf_receipt (bill, method, value, note) SELECT id, 'cash', 150.000, 'at the office' FROM mf_bill;

SELECT customer, currency, bills, not_due, days_1_30, total FROM mf_aging;
SQL
echo
led_on "the link over the rest" "$third"
pay_at "$landed" 'Omar Khalid'
await "the payment of the bill" "(SELECT status = 'paid' FROM mf_bill)"
sql "$DEMO_ROLE" <<'SQL'
SELECT bill_key, total, received, balance, status, paid_on FROM mf_bill;

SELECT day, kind, document, debit, credit, balance FROM mf_statement('B-101', current_date - 7, current_date);

SELECT invoice, live, value, retired_why FROM mf_link ORDER BY invoice;
SQL
expect "the receipts of the bill" "cash 150.000, online 150.000" "SELECT string_agg(method || ' ' || value, ', ' ORDER BY id) FROM mf_receipt"
expect "four links, of which none is live" "4 0" "SELECT count(*) || ' ' || count(*) FILTER (WHERE live) FROM mf_link"
page=$(fetch "$bill")
[[ $page == *'<h1>Paid</h1>'*'300.000 KWD'* ]] || fail "the page of the paid bill"
echo
note "GET  $bill"
note "     $(sed -n 's/<[^>]*>/ /g; s/  */ /g; /Paid on/p' <<<"$page")"

open=$(value "SELECT invoice_url FROM rent_roll WHERE unit = 'A-104'")
cat <<TXT

${bold}All steps were seen, after $SECONDS seconds. The server goes on running. Now you:${plain}

    make demo-shell    psql in this database: insert rows, look around
    make demo-stop     end it and remove everything

  Pay an invoice in a browser on this machine, this one in Arabic:
    $open
  and see its row become paid, in make demo-shell:
    SELECT unit, payment_status, paid_at FROM rent JOIN mf_invoice i ON i.id = invoice WHERE unit = 'A-104' \\watch 1
  All invoices:
    $MF_SANDBOX_URL/
TXT
