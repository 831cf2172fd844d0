/*
 * self_check.c
 *	  mf_check(): reports what is wrong with the configuration, and what to do; its
 *	  checks of the server: library, worker, listener, durability, notifications.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/self_check.c
 */
#include "postgres.h"

#include <curl/curl.h>

#include "access/xlog.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "base/settings.h"
#include "database/function_args.h"
#include "database/sql_version.h"
#include "functions/self_check.h"
#include "process/file_descriptors.h"
#include "process/notify.h"
#include "process/worker_slots.h"
#include "store/row_rights.h"

/* How long notifications that were left out are reported */
#define LEFT_OUT_MS 60000

#define STANDBY_HINT "Bring back a standby that synchronous_standby_names names, or change that setting."

static void check_part(const MfCheck *check, const char *item, void (*part) (void *argument));
static void check_database_and_account(void *argument);
static void check_extensions(void *argument);
static bool check_server(const MfCheck *check);
static bool check_library(const MfCheck *check);
static void require_version(void *argument);
static void check_processes(const MfCheck *check);
static void check_notifications(const MfCheck *check);
static void check_worker(const MfCheck *check, const MfSlot *slot);
static void check_listener(const MfCheck *check, const MfSlot *slot);
static char *port_hint(int port);

#define PORT_RANGE_FILE "/proc/sys/net/ipv4/ip_local_port_range"
#define RESERVED_PORTS_FILE "/proc/sys/net/ipv4/ip_local_reserved_ports"

/* The list of reserved ports may have any length; what is longer is read in part. */
#define FILE_MAX 4096

static bool is_ephemeral(int port, int *first, int *last);
static bool read_file(const char *path, char *text, size_t size);
static bool is_reserved(int port);

PG_FUNCTION_INFO_V1(mf_check);

/* An error of a check becomes a row as well. */
Datum
mf_check(PG_FUNCTION_ARGS)
{
	MfCheck		check = {(ReturnSetInfo *) fcinfo->resultinfo, mf_required_text(fcinfo, 0, "account"),
	get_func_namespace(fcinfo->flinfo->fn_oid)};

	mf_start_rows(fcinfo);
	if (!check_server(&check))
		return (Datum) 0;

	check_part(&check, "account", check_database_and_account);
	check_part(&check, "extension", check_extensions);
	return (Datum) 0;
}

/* A part that fails becomes a row of that item, and does not keep the next one from its checks. */
static void
check_part(const MfCheck *check, const char *item, void (*part) (void *argument))
{
	ErrorData  *error = mf_sql_try(part, unconstify(MfCheck *, check));

	if (error != NULL)
		mf_check_report(check, item, false, mf_error_text(error),
						error->hint ? error->hint : "Further checks were skipped. Remove the cause, then call mf_check() again.");
}

static void
check_database_and_account(void *argument)
{
	const MfCheck *check = (const MfCheck *) argument;

	mf_check_database(check);
	mf_check_account(check);
}

static void
check_extensions(void *argument)
{
	mf_check_extensions((const MfCheck *) argument);
}

/* Whether a hint names a statement that changes the database */
static bool
names_change(const char *hint)
{
	static const char *const words[] = {
		"SELECT mf_", "mf_repair(", "mf_resume(", "mf_probe_idempotency(", "Correct the ", "ALTER ", "CREATE ", "UPDATE ", "INSERT "
	};
	int			i;

	for (i = 0; i < (int) lengthof(words); i++)
	{
		if (strstr(hint, words[i]) != NULL)
			return true;
	}
	return false;
}

void
mf_check_report(const MfCheck *check, const char *item, bool ok, const char *detail, const char *hint)
{
	Datum		values[4];
	bool		nulls[4] = {false, false, false, false};

	/* nothing can be changed here */
	if (hint != NULL && RecoveryInProgress() && names_change(hint))
		hint = psprintf("On the primary, because this server is a standby: %s", hint);
	values[0] = CStringGetTextDatum(item);
	values[1] = BoolGetDatum(ok);
	values[2] = CStringGetTextDatum(detail);
	values[3] = hint ? CStringGetTextDatum(hint) : (Datum) 0;
	nulls[3] = hint == NULL;
	tuplestore_putvalues(check->rsinfo->setResult, check->rsinfo->setDesc, values, nulls);
}

const char *
mf_check_error(const MfCheck *check, const char *error)
{
	return mf_may_see_errors(check->schema) ? error :
		psprintf("shown to members of \"%s\" whom no policy hides invoices from", MF_READ_ROLE);
}

/*
 * Checks what does not depend on this database's tables; raises no error.  False if
 * the library does not work with these tables.
 */
static bool
check_server(const MfCheck *check)
{
	bool		fits = check_library(check);

	if (mf_shared != NULL)
		check_processes(check);

	if (strcmp(GetConfigOption("fsync", false, false), "on") != 0)
		mf_check_report(check, "durability", false, "fsync is off: after a power failure invoices could be lost or sent twice.",
						"Set fsync = on.");
	else
		mf_check_report(check, "durability", true, "fsync is on.", NULL);
	if (!RecoveryInProgress())
		check_notifications(check);
	return fits;
}

/* Returns whether the library works with the SQL objects of this database. */
static bool
check_library(const MfCheck *check)
{
	const char *libraries = GetConfigOption("shared_preload_libraries", true, false);
	ErrorData  *error = mf_sql_try(require_version, NULL);

	if (error != NULL)
		mf_check_report(check, "library", false, mf_error_text(error), error->hint);

	if (mf_shared == NULL)
		mf_check_report(check, "library", false, "myfatoorah is not in shared_preload_libraries; invoices are stored but not sent.",
						psprintf("Add this line to postgresql.conf and restart the server: shared_preload_libraries = '%s%s%s'",
								 libraries ? libraries : "", libraries && libraries[0] ? "," : "", MF_EXTENSION));
	else if (error == NULL)
		mf_check_report(check, "library", true, psprintf("Loaded at server start, with %s.", curl_version()), NULL);
	return error == NULL;
}

static void
require_version(void *argument)
{
	mf_sql_require_version();
}

/* The worker and the listener of this database. */
static void
check_processes(const MfCheck *check)
{
	MfSlot		copy;
	MfSlot	   *slot;
	bool		worker_waits = false;
	bool		listener_waits = false;

	memset(&copy, 0, sizeof(copy));
	slot = mf_lock_slot(MyDatabaseId, LW_SHARED);
	if (slot != NULL)
	{
		copy = *slot;
		worker_waits = mf_waits_for_standby(slot->proc_number);
		listener_waits = mf_waits_for_standby(slot->listener.proc_number);
		LWLockRelease(mf_shared->lock);
	}

	if (worker_waits)
		mf_check_report(check, "worker", false, "Waits for a synchronous standby to confirm its latest commit; nothing is sent meanwhile.",
						STANDBY_HINT);
	else if (copy.pid != 0)
		check_worker(check, &copy);
	else if (RecoveryInProgress())
		mf_check_report(check, "worker", true, "Waiting: this server is a standby.", NULL);
	else if (copy.end == MF_END_CRASH && copy.last_error_at != 0)
		mf_check_report(check, "worker", false, psprintf("No worker is running for this database. The latest error was: %s", mf_check_error(check, copy.last_error)),
						"Remove the cause. Another worker is started within a minute.");
	else
		mf_check_report(check, "worker", false, "No worker is running for this database.",
						mf_worker_enabled ?
						"The server log says why; max_worker_processes or myfatoorah.max_databases may be too small." :
						"Enable it with ALTER DATABASE ... SET myfatoorah.worker_enabled = on.");
	if (listener_waits)
		mf_check_report(check, "listener", false, "Waits for a synchronous standby to confirm what came in; if none does in time, MyFatoorah is asked to send it again.",
						STANDBY_HINT);
	else
		check_listener(check, &copy);
}

/* Reports if NOTIFY does not work. */
static void
check_notifications(const MfCheck *check)
{
	TimestampTz left_out_at = mf_notify_left_out_at();
	double		usage = mf_notify_usage();

	if (mf_notify_is_full(usage) ||
		(left_out_at != 0 && !TimestampDifferenceExceeds(left_out_at, GetCurrentTimestamp(), LEFT_OUT_MS)))
		mf_check_report(check, "notifications", false,
						psprintf("The NOTIFY queue of the server is %.0f %% full; %s.", usage * 100,
								 mf_notify_is_full(usage) ?
								 psprintf("changes are written without notifying the channel \"%s\"", MF_CHANNEL) :
								 psprintf("until %s changes were written without notifying the channel \"%s\"",
										  timestamptz_to_str(left_out_at), MF_CHANNEL)),
						"Programs that listen should read mf_invoice. A session that listens and stays in a transaction keeps the queue full: pg_stat_activity shows the oldest transactions; pg_terminate_backend() ends one.");
}

/* A worker that is running, and what fails in it. */
static void
check_worker(const MfCheck *check, const MfSlot *slot)
{
	if (slot->outdated)
		mf_check_report(check, "worker", false,
						psprintf("Running as process %d; it sends nothing, because %s.", (int) slot->pid, slot->last_error),
						"See the item library. It goes on by itself.");
	else if (slot->failing)
		mf_check_report(check, "worker", false,
						psprintf("Running as process %d, but its latest transaction failed: %s", (int) slot->pid, mf_check_error(check, slot->last_error)),
						"The server log has the context. The transaction is repeated automatically, and at once after mf_resume().");
	else if (slot->unrecorded > 0)
		mf_check_report(check, "worker", false,
						psprintf("Running as process %d. Put off, and not shown by mf_review because they are not invoices or cannot even be put off: %d; one of the errors: %s",
								 (int) slot->pid, slot->unrecorded, mf_check_error(check, slot->last_error)),
						"The server log names them. Remove the cause, such as a trigger on one of these tables.");
	else if (slot->in_flight_limit > 0)
		mf_check_report(check, "worker", false,
						psprintf("Running as process %d, with no more than %d requests under way at the same time, for want of file descriptors.",
								 (int) slot->pid, slot->in_flight_limit),
						MF_DESCRIPTORS_HINT);
	else
		mf_check_report(check, "worker", true, psprintf("Running as process %d.", (int) slot->pid), NULL);
	if (slot->history_error[0] != '\0')
		mf_check_report(check, "history", false,
						psprintf("Rows past their retention time cannot be deleted or emptied: %s", mf_check_error(check, slot->history_error)),
						"Remove the cause. This is repeated every minute, and does not delay sending.");
}

/* Whether the port is open.  Whether MyFatoorah can reach it cannot be found out here. */
static void
check_listener(const MfCheck *check, const MfSlot *slot)
{
	const MfListenerState *listener = &slot->listener;

	if (listener->pid != 0 && listener->listening && listener->failing != 0)
		mf_check_report(check, "listener", false,
						psprintf("The latest request could not be stored: %s", mf_check_error(check, listener->last_error)),
						"Whoever sent it is told to try again. Remove the cause, such as a rule or trigger on mf_event; the server log has the context.");
	else if (listener->pid != 0 && listener->listening)
		mf_check_report(check, "listener", true,
						psprintf("Accepts %s at %s, port %d. Whether MyFatoorah and customers can reach it cannot be seen from here.",
								 listener->tls ? "HTTPS" : "HTTP", listener->addresses, listener->port),
						port_hint(listener->port));
	else if (mf_listen_port == 0 && listener->pid == 0)
		mf_check_report(check, "listener", true, "Off: webhooks and callbacks come in by SQL functions, or not at all.", NULL);
	else if (RecoveryInProgress())
		mf_check_report(check, "listener", true, "Waiting: this server is a standby.", NULL);
	else
		mf_check_report(check, "listener", false,
						listener->pid == 0 ? "No listener is running for this database." :
						listener->last_error_at != 0 && mf_may_see_errors(check->schema) ? listener->last_error : "The listener does not accept connections yet.",
						listener->pid == 0 ?
						"It needs a worker, and max_worker_processes must leave room for it; a worker sees settings of a session or role only if they are those of the database or the server." :
						"Correct the settings myfatoorah.listen_addresses, listen_port, ssl_cert_file and ssl_key_file, or what they name.");
}

/* What to do about a port that may be taken by an outgoing connection when the listener starts next; NULL if it cannot be */
static char *
port_hint(int port)
{
	int			first;
	int			last;

	if (!is_ephemeral(port, &first, &last))
		return NULL;
	return psprintf("An outgoing connection of this machine may take this port while no listener has it, as after a promotion. Choose one outside of %d to %d, or add it to net.ipv4.ip_local_reserved_ports.",
					first, last);
}

/*
 * Whether an outgoing connection of any process of this machine may be given the port,
 * so that nobody can listen there as long as it lasts.  Sets *first and *last to the
 * range of such ports.  False also where the system does not tell.
 */
static bool
is_ephemeral(int port, int *first, int *last)
{
	char		text[FILE_MAX];

	if (!read_file(PORT_RANGE_FILE, text, sizeof(text)) || sscanf(text, "%d %d", first, last) != 2)
		return false;
	return port >= *first && port <= *last && !is_reserved(port);
}

/* Whether the administrator has taken the port out of the range: "8088,9000-9010" */
static bool
is_reserved(int port)
{
	char		text[FILE_MAX];
	char	   *item;
	char	   *rest;

	if (!read_file(RESERVED_PORTS_FILE, text, sizeof(text)))
		return false;
	for (item = strtok_r(text, ",\n", &rest); item != NULL; item = strtok_r(NULL, ",\n", &rest))
	{
		int			from;
		int			to;
		int			count = sscanf(item, "%d-%d", &from, &to);

		if (count >= 1 && port >= from && port <= (count == 2 ? to : from))
			return true;
	}
	return false;
}

/* The beginning of a file as a string; false if it cannot be read */
static bool
read_file(const char *path, char *text, size_t size)
{
	FILE	   *file = AllocateFile(path, "r");
	size_t		length;

	if (file == NULL)
		return false;
	length = fread(text, 1, size - 1, file);
	text[length] = '\0';
	FreeFile(file);
	return length > 0;
}
