/*
 * self_check.c
 *	  mf_check(): what is wrong with the set-up, and how to mend it.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/self_check.c
 */
#include "postgres.h"

#include <curl/curl.h>

#include "access/htup_details.h"
#include "access/xlog.h"
#include "catalog/pg_class.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "account/webhook_secret.h"
#include "base/compat.h"
#include "base/settings.h"
#include "database/function_args.h"
#include "database/sql.h"
#include "functions/direct_calls.h"
#include "on_change/on_change_call.h"
#include "on_change/on_change_queue.h"
#include "process/file_descriptors.h"
#include "process/notify.h"
#include "process/worker_slots.h"
#include "sending/copy_guard.h"
#include "store/queue_origin.h"
#include "store/queue_pause.h"
#include "store/queue_report.h"
#include "store/repair.h"
#include "store/row_rights.h"

/* A key that no invoice has: the question tests the account and changes nothing. */
#define NO_SUCH_INVOICE "0"

/* Notifications that were left out are told of for so long. */
#define LEFT_OUT_MS 60000

/* What a function is still to be told after so long is worth a word. */
#define REACTION_WAIT_MS 60000

/* So many different errors are told. */
#define PUT_OFF_ERRORS 5

/* So many things that no dump carries are named. */
#define ADDITIONS 50

#define STANDBY_HINT "Bring back a standby that synchronous_standby_names names, or change that setting."

/* One question to an account that changes nothing */
typedef struct Question
{
	const MfAccount *account;
	const MfStatusResult *answer;
	const char *error;			/* as in mf_ask_payment_status() */
	const char *shown;
} Question;

/* What is checked */
typedef struct Checked
{
	ReturnSetInfo *rsinfo;
	char	   *account;
	Oid			schema;
} Checked;

static void check_database(void *argument);
static void add_row(ReturnSetInfo *rsinfo, const char *item, bool ok, const char *detail, const char *hint);
static void check_server(ReturnSetInfo *rsinfo);
static void check_notifications(ReturnSetInfo *rsinfo);
static void check_worker(ReturnSetInfo *rsinfo, const MfSlot *slot);
static bool is_worker(int pid);
static void check_invoices(ReturnSetInfo *rsinfo, const char *account, Oid schema);
static void check_times(ReturnSetInfo *rsinfo, const char *account, Oid schema);
static void check_questions(ReturnSetInfo *rsinfo, const char *account, Oid schema, MfShown waits);
static MfShown check_sending(ReturnSetInfo *rsinfo, const char *account, Oid schema, bool copy);
static void check_listener(ReturnSetInfo *rsinfo, const MfSlot *slot);
static bool check_copy(ReturnSetInfo *rsinfo, Oid schema);
static void check_account(ReturnSetInfo *rsinfo, const char *name, Oid schema);
static void check_webhooks(ReturnSetInfo *rsinfo, const MfAccount *account);
static void check_agenda(ReturnSetInfo *rsinfo, Oid schema);
static void check_others(ReturnSetInfo *rsinfo, const char *name, Oid schema);
static void check_policies(ReturnSetInfo *rsinfo, Oid schema);
static void check_additions(ReturnSetInfo *rsinfo, Oid schema);
static void check_reactions(ReturnSetInfo *rsinfo, Oid schema);
static bool has_row_security(const char *table, Oid schema);
static void ask(void *question);
static void check_remote(ReturnSetInfo *rsinfo, const Question *question);

PG_FUNCTION_INFO_V1(mf_check);

/* One row per thing checked; never an error for what it is there to find. */
Datum
mf_check(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Checked		checked = {rsinfo, mf_required_text(fcinfo, 0, "account"), get_func_namespace(fcinfo->flinfo->fn_oid)};
	ErrorData  *error;

	mf_start_rows(fcinfo);
	check_server(rsinfo);

	error = mf_sql_try(check_database, &checked);
	if (error != NULL)
		add_row(rsinfo, "account", false, mf_error_text(error),
				error->hint ? error->hint : "What comes after this is not checked. Mend the cause and call mf_check() again.");
	return (Datum) 0;
}

/* What an error can end. */
static void
check_database(void *argument)
{
	const Checked *checked = (const Checked *) argument;

	check_agenda(checked->rsinfo, checked->schema);
	check_others(checked->rsinfo, checked->account, checked->schema);
	check_policies(checked->rsinfo, checked->schema);
	check_additions(checked->rsinfo, checked->schema);
	check_reactions(checked->rsinfo, checked->schema);
	check_account(checked->rsinfo, checked->account, checked->schema);
}

static void
add_row(ReturnSetInfo *rsinfo, const char *item, bool ok, const char *detail, const char *hint)
{
	Datum		values[4];
	bool		nulls[4] = {false, false, false, false};

	values[0] = CStringGetTextDatum(item);
	values[1] = BoolGetDatum(ok);
	values[2] = CStringGetTextDatum(detail);
	values[3] = hint ? CStringGetTextDatum(hint) : (Datum) 0;
	nulls[3] = hint == NULL;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* The library, the worker, and what sending rests on. */
static void
check_server(ReturnSetInfo *rsinfo)
{
	const char *libraries = GetConfigOption("shared_preload_libraries", true, false);
	const char *fsync_setting = GetConfigOption("fsync", false, false);
	MfSlot		copy;
	MfSlot	   *slot;
	bool		worker_waits = false;
	bool		listener_waits = false;
	pid_t		pid = 0;

	if (mf_shared == NULL)
		add_row(rsinfo, "library", false, "myfatoorah is not in shared_preload_libraries; invoices are stored but not sent.",
				psprintf("Add this line to postgresql.conf and restart the server: shared_preload_libraries = '%s%s%s'",
						 libraries ? libraries : "", libraries && libraries[0] ? "," : "", MF_EXTENSION));
	else
	{
		add_row(rsinfo, "library", true, psprintf("Loaded at server start, with %s.", curl_version()), NULL);

		LWLockAcquire(mf_shared->lock, LW_SHARED);
		memset(&copy, 0, sizeof(copy));
		slot = mf_find_slot(MyDatabaseId, false);
		if (slot != NULL)
		{
			copy = *slot;
			worker_waits = mf_waits_for_standby(slot->proc_number);
			listener_waits = mf_waits_for_standby(slot->listener.proc_number);
		}
		LWLockRelease(mf_shared->lock);
		pid = copy.pid;

		if (worker_waits)
			add_row(rsinfo, "worker", false, "Waits for a synchronous standby to confirm its latest commit; nothing is sent meanwhile.",
					STANDBY_HINT);
		else if (pid != 0)
			check_worker(rsinfo, &copy);
		else if (RecoveryInProgress())
			add_row(rsinfo, "worker", true, "Waiting: this server is a standby.", NULL);
		else
			add_row(rsinfo, "worker", false, "No worker is running for this database.",
					mf_worker_enabled ?
					"Look into the server log; max_worker_processes or myfatoorah.max_databases may be too small." :
					"Switch it on with ALTER DATABASE ... SET myfatoorah.worker_enabled = on.");
		if (listener_waits)
			add_row(rsinfo, "listener", false, "Waits for a synchronous standby to confirm what came in; if none does in time, MyFatoorah is asked to send it again.",
					STANDBY_HINT);
		else
			check_listener(rsinfo, &copy);
	}

	if (strcmp(fsync_setting, "on") != 0)
		add_row(rsinfo, "durability", false, "fsync is off: after a power failure invoices could be lost or sent twice.",
				"Set fsync = on.");
	else
		add_row(rsinfo, "durability", true, "fsync is on.", NULL);
	if (!RecoveryInProgress())
		check_notifications(rsinfo);
}

/* Whether listeners are told of changes, a row only if not. */
static void
check_notifications(ReturnSetInfo *rsinfo)
{
	TimestampTz left_out_at = mf_notify_left_out_at();
	double		usage = mf_notify_usage();

	if (mf_notify_is_full(usage) ||
		(left_out_at != 0 && !TimestampDifferenceExceeds(left_out_at, GetCurrentTimestamp(), LEFT_OUT_MS)))
		add_row(rsinfo, "notifications", false,
				psprintf("The NOTIFY queue of the server is %.0f %% full; %s.", usage * 100,
						 mf_notify_is_full(usage) ?
						 psprintf("changes are written without notifying the channel \"%s\"", MF_CHANNEL) :
						 psprintf("until %s changes were written without notifying the channel \"%s\"",
								  timestamptz_to_str(left_out_at), MF_CHANNEL)),
				"Whoever listens should read mf_invoice. A session that listens and stays in a transaction keeps the queue full: pg_stat_activity shows the oldest transactions; pg_terminate_backend() ends one.");
}

/* A worker that runs, and whether what it does succeeds. */
static void
check_worker(ReturnSetInfo *rsinfo, const MfSlot *slot)
{
	if (slot->failing)
		add_row(rsinfo, "worker", false,
				psprintf("Running as process %d, but its latest transaction failed: %s", (int) slot->pid, slot->last_error),
				"The server log tells where. It tries again by itself, and at once after mf_resume().");
	else if (slot->unnoted > 0)
		add_row(rsinfo, "worker", false,
				psprintf("Running as process %d. Put off, and not shown by mf_review because they are no invoices or cannot even be put off: %d; one of the errors: %s",
						 (int) slot->pid, slot->unnoted, slot->last_error),
				"The server log names them. Mend the cause, such as a trigger on one of these tables.");
	else if (slot->few_slots > 0)
		add_row(rsinfo, "worker", false,
				psprintf("Running as process %d, with no more than %d requests under way at the same time, for want of file descriptors.",
						 (int) slot->pid, slot->few_slots),
				MF_DESCRIPTORS_HINT);
	else
		add_row(rsinfo, "worker", true, psprintf("Running as process %d.", (int) slot->pid), NULL);
	if (slot->history_error[0] != '\0')
		add_row(rsinfo, "history", false,
				psprintf("Rows past their retention time cannot be deleted or emptied: %s", slot->history_error),
				"Mend the cause; it is tried again every minute. Sending goes on without it.");
}

/* Whether a process is the worker of this database. */
static bool
is_worker(int pid)
{
	MfSlot	   *slot;
	bool		is_it;

	if (mf_shared == NULL)
		return false;
	LWLockAcquire(mf_shared->lock, LW_SHARED);
	slot = mf_find_slot(MyDatabaseId, false);
	is_it = slot != NULL && slot->pid == pid;
	LWLockRelease(mf_shared->lock);
	return is_it;
}

/* Whether what is to be done for invoices of the account can be done and written, with each role's key: a row for each error. */
static void
check_invoices(ReturnSetInfo *rsinfo, const char *account, Oid schema)
{
	int64		reviews = mf_queue_count_reviews(schema, account);
	ListCell   *lc;

	if (reviews > 0)
		add_row(rsinfo, "invoices", false, psprintf(ngettext(INT64_FORMAT " needs the decision of a person.", INT64_FORMAT " need the decision of a person.",
								   (unsigned long) reviews), reviews),
				"SELECT * FROM mf_review");
	foreach(lc, mf_queue_lockers(schema, account))
	{
		const MfLocker *locker = (const MfLocker *) lfirst(lc);
		char	   *role = GetUserNameFromId(locker->role, true);

		/* a worker that writes them is no trouble, and has the role of a superuser */
		if (role == NULL || is_worker(locker->pid))
			continue;
		add_row(rsinfo, "invoices", false,
				psprintf(ngettext(INT64_FORMAT " is due and locked by process %d of role \"%s\": invoice " INT64_FORMAT ".",
								  INT64_FORMAT " are due and locked by process %d of role \"%s\", such as invoice " INT64_FORMAT ".",
								  (unsigned long) locker->count), locker->count, locker->pid, role, locker->invoice),
				psprintf("They go on when its transaction ends. To end it: SELECT pg_terminate_backend(%d)", locker->pid));
	}
	foreach(lc, mf_queue_put_off_errors(schema, account, PUT_OFF_ERRORS))
	{
		const MfPutOffError *entry = (const MfPutOffError *) lfirst(lc);

		add_row(rsinfo, "invoices", false,
				psprintf(ngettext(INT64_FORMAT " is put off, such as invoice " INT64_FORMAT ": %s",
								  INT64_FORMAT " are put off, such as invoice " INT64_FORMAT ": %s", (unsigned long) entry->count),
						 entry->count, entry->invoice, entry->error),
				psprintf("mf_review shows those that cannot be written, the column last_error of mf_invoice the others. Mend the cause, then: SELECT mf_resume(%s)",
						 quote_literal_cstr(account)));
	}
}

/* Which invoices wait for a time of the day, which is no trouble. */
static void
check_times(ReturnSetInfo *rsinfo, const char *account, Oid schema)
{
	TimestampTz first;
	int64		count = mf_queue_count_timed(schema, account, &first);

	if (count > 0)
		add_row(rsinfo, "times", true,
				psprintf(ngettext(INT64_FORMAT " invoice waits for the send_time or the end of the quiet_hours of the account, until %s.",
								  INT64_FORMAT " invoices wait for the send_time or the end of the quiet_hours of the account, the first until %s.",
								  (unsigned long) count), count, timestamptz_to_str(first)), NULL);
}

/* Whether there are questions about payments that get no answer while others do. */
static void
check_questions(ReturnSetInfo *rsinfo, const char *account, Oid schema, MfShown waits)
{
	char	   *example;
	char	   *error = NULL;
	int64		count = mf_inquiries_unanswered(schema, account, &example, &error);

	if (count > 0)
		add_row(rsinfo, "questions", false,
				psprintf(ngettext(INT64_FORMAT " about payments gets no usable answer and is asked again later and later, the one about %s%s%s",
								  INT64_FORMAT " about payments get no usable answer and are asked again later and later, such as the one about %s%s%s",
								  (unsigned long) count),
						 count, example, error ? ": " : ".", error ? error : ""),
				psprintf("%sAsk MyFatoorah if it stays so; to ask all of them at once: SELECT mf_resume(%s)",
						 waits == MF_SHOWN_NOT_WAITING ? "The other invoices go on. " :
						 waits == MF_SHOWN_WAITING ? "The other invoices wait, too. " : "",
						 quote_literal_cstr(account)));
}

/* Whether the port is open.  From here nobody can tell whether MyFatoorah reaches it. */
static void
check_listener(ReturnSetInfo *rsinfo, const MfSlot *slot)
{
	const MfListenerState *listener = &slot->listener;

	if (listener->pid != 0 && listener->listening)
		add_row(rsinfo, "listener", true,
				psprintf("Accepts %s at %s, port %d. Whether MyFatoorah and customers can reach it cannot be seen from here.",
						 listener->tls ? "HTTPS" : "HTTP", listener->addresses, listener->port), NULL);
	else if (mf_listen_port == 0 && listener->pid == 0)
		add_row(rsinfo, "listener", true, "Off: webhooks and callbacks come in by SQL functions, or not at all.", NULL);
	else if (RecoveryInProgress())
		add_row(rsinfo, "listener", true, "Waiting: this server is a standby.", NULL);
	else
		add_row(rsinfo, "listener", false,
				listener->pid == 0 ? "No listener is running for this database." :
				listener->last_error_at != 0 ? listener->last_error : "The listener does not accept connections yet.",
				listener->pid == 0 ?
				"It needs a worker, and max_worker_processes must leave room for it; a worker sees settings of a session or role only if they are those of the database or the server." :
				"Correct the settings myfatoorah.listen_addresses, port, ssl_cert_file and ssl_key_file, or what they name.");
}

/* Whether all that is unfinished has its work, and all work an account. */
static void
check_agenda(ReturnSetInfo *rsinfo, Oid schema)
{
	char	   *lost = mf_repair_lost_accounts(schema);
	MfDamage	damage = mf_repair_find_damage(schema);

	if (damage.unfinished > 0 || damage.unasked > 0 || damage.gone > 0 || damage.astray > 0)
		add_row(rsinfo, "agenda", false,
				psprintf("Unfinished invoices that are not on it: " INT64_FORMAT "; sent ones that are not asked about: " INT64_FORMAT
						 "; entries without an invoice: " INT64_FORMAT "; entries under another account, of another kind or for a later time than their invoice's: " INT64_FORMAT
						 ". Rows were loaded, changed or lost without the triggers of mf_invoice, or sent while myfatoorah.poll_rate_limit was 0.",
						 damage.unfinished, damage.unasked, damage.gone, damage.astray),
				"SELECT * FROM mf_repair() mends that; each invoice is looked up before it is sent.");
	else
		add_row(rsinfo, "agenda", true, "All unfinished invoices are on it.", NULL);
	if (damage.unlogged != NULL)
		add_row(rsinfo, "durability", false, psprintf("A crash empties unlogged tables: %s.", damage.unlogged),
				"ALTER TABLE ... SET LOGGED");
	if (lost != NULL)
		add_row(rsinfo, "accounts", false, psprintf("There are unfinished invoices of accounts that do not exist: %s.", lost),
				"If the server was renamed: SELECT mf_move_account('old name', 'new name'). If it was dropped, create it again.");
	else
		add_row(rsinfo, "accounts", true, "All unfinished invoices are of accounts that exist.", NULL);
}

/* Accounts that nobody has asked about, a row only if MyFatoorah refuses some, or some wait. */
static void
check_others(ReturnSetInfo *rsinfo, const char *name, Oid schema)
{
	char	   *example;
	NameData	waits;
	int			waiting = mf_has_role(MF_READ_ROLE) ? mf_count_waiting(MyDatabaseId, name, &waits) : 0;
	int64		count = mf_has_role(MF_READ_ROLE) ? mf_queue_count_refused_accounts(schema, name, &example) : 0;

	if (waiting > 0)
		add_row(rsinfo, "accounts", false,
				psprintf(ngettext("%d other account waits after failures, \"%s\".",
								  "%d other accounts wait after failures, such as \"%s\".", waiting), waiting, NameStr(waits)),
				psprintf("They go on by themselves; the server log tells why they wait, and SELECT * FROM mf_check(%s) more.",
						 quote_literal_cstr(NameStr(waits))));
	if (count > 0)
		add_row(rsinfo, "accounts", false,
				psprintf(ngettext("MyFatoorah refuses " INT64_FORMAT " other account, \"%s\"; it is paused.",
								  "MyFatoorah refuses " INT64_FORMAT " other accounts, such as \"%s\"; they are paused.",
								  (unsigned long) count), count, example),
				psprintf("SELECT * FROM mf_account shows them and why; SELECT * FROM mf_check(%s) tells more.",
						 quote_literal_cstr(example)));
}

/* Whether policies of mf_invoice can be got round, a row only if so: by tables that tell of its rows and have none. */
static void
check_policies(ReturnSetInfo *rsinfo, Oid schema)
{
	static const char *const tables[] = {"mf_attempt", "mf_event", "mf_inquiry", "mf_queue", "mf_transaction"};
	StringInfoData open;
	int			i;

	if (!has_row_security("mf_invoice", schema))
		return;
	initStringInfo(&open);
	for (i = 0; i < (int) lengthof(tables); i++)
	{
		if (!has_row_security(tables[i], schema))
			appendStringInfo(&open, "%s%s", open.len > 0 ? ", " : "", tables[i]);
	}
	if (open.len > 0)
		add_row(rsinfo, "policies", false,
				psprintf("mf_invoice has row-level security, and whoever may read these tables sees there what is known of all invoices: %s.",
						 open.data),
				"For each: ALTER TABLE ... ENABLE ROW LEVEL SECURITY, and CREATE POLICY visible ON ... USING (mf_invoice_visible(invoice)); or take SELECT on it away from the roles that policies are for.");
}

/*
 * What users have added to our tables, a row for each: no dump carries it.  A column of a table whose rows are dumped is
 * worse, because these rows then fit no table.
 */
static void
check_additions(ReturnSetInfo *rsinfo, Oid schema)
{
	ListCell   *lc;

	foreach(lc, mf_repair_additions(schema, ADDITIONS))
	{
		const MfAddition *addition = (const MfAddition *) lfirst(lc);
		const char *what = psprintf("%s \"%s\" of %s", addition->kind, addition->name, addition->relation);

		if (strcmp(addition->kind, "column") == 0)
			add_row(rsinfo, "dump", false, psprintf("A dump cannot be restored as it is: it has the values of %s, and not the column.", what),
					"Move what is in it to the column metadata, or to a table of your own, and drop it; or add it where the dump is restored, before the data: SELECT definition FROM mf_addition");
		else
			add_row(rsinfo, "dump", true, psprintf("No dump has %s.", what),
					"Keep its definition in a script, and run that where a dump was restored: SELECT definition FROM mf_addition");
	}
}

/* Functions of users that cannot be called or have failed, a row for each; to readers, and to those whose function it is. */
static void
check_reactions(ReturnSetInfo *rsinfo, Oid schema)
{
	ListCell   *lc;

	foreach(lc, mf_reaction_states(schema))
	{
		const MfReactionState *state = (const MfReactionState *) lfirst(lc);
		Oid			role = get_role_oid(state->owner, true);
		char	   *refusal = mf_reaction_refusal(schema, state->function, state->owner, &role);
		const char *waiting = psprintf("Changes that wait for it: " INT64_FORMAT ".", state->waiting);

		if (!mf_has_role(MF_READ_ROLE) && !(OidIsValid(role) && has_privs_of_role(GetUserId(), role)))
			continue;
		if (refusal != NULL)
			add_row(rsinfo, "reactions", false,
					psprintf("Function %s cannot be called after changes: %s. %s", state->function, refusal, waiting),
					psprintf("Mend that, and have its owner register it again: SELECT mf_on_change(%s). If it is not wanted any more: SELECT mf_off_change(%s)",
							 quote_literal_cstr(psprintf("%s(mf_invoice,mf_invoice)", state->function)),
							 quote_literal_cstr(state->function)));
		else if (state->error != NULL)
			add_row(rsinfo, "reactions", false,
					psprintf("Function %s has failed about invoice " INT64_FORMAT ": %s. %s",
							 state->function, state->invoice, state->error, waiting),
					"The payments stand; mf_reaction_backlog shows what waits. Mend the function; it is called again by itself later and later, and at once after mf_resume().");
		else if (state->waiting > 0 && TimestampDifferenceExceeds(state->since, GetCurrentTimestamp(), REACTION_WAIT_MS))
			add_row(rsinfo, "reactions", false,
					psprintf("Function %s was not told of changes since %s. %s",
							 state->function, timestamptz_to_str(state->since), waiting),
					"The worker does that, unless all accounts are paused; see the items worker and sending.");
	}
}

static bool
has_row_security(const char *table, Oid schema)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(get_relname_relid(table, schema)));
	bool		enabled;

	if (!HeapTupleIsValid(tuple))
		return false;
	enabled = ((Form_pg_class) GETSTRUCT(tuple))->relrowsecurity;
	ReleaseSysCache(tuple);
	return enabled;
}

/* Whether what is on the agenda was put there by this database, a row only if not; true if that keeps all from being sent. */
static bool
check_copy(ReturnSetInfo *rsinfo, Oid schema)
{
	char	   *subscription = mf_copy_guard_subscription(schema);
	int64		foreign = mf_queue_count_foreign(schema);

	if (subscription != NULL)
		add_row(rsinfo, "copy", false,
				psprintf("Subscription \"%s\" fills the tables of myfatoorah; the database it comes from sends these invoices, this one nothing.",
						 subscription),
				"After the switch-over, once the other database is stopped for good, drop the subscription, then: SELECT mf_resume('*')");
	else if (foreign > 0)
		add_row(rsinfo, "copy", false,
				psprintf(ngettext(INT64_FORMAT " invoice was put on the agenda by another database, which may send it; this one does not.",
								  INT64_FORMAT " invoices were put on the agenda by another database, which may send them; this one does not.",
								  (unsigned long) foreign), foreign),
				"If the other database is stopped for good: SELECT mf_resume('*')");
	return subscription != NULL;
}

/* Options and rights; errors are the caller's to report. */
static void
check_account(ReturnSetInfo *rsinfo, const char *name, Oid schema)
{
	const MfAccount *account = mf_account_get(name);
	Question	question = {account, NULL, NULL, NULL};
	ErrorData  *error;
	bool		copy;
	MfShown		waits;

	if (!mf_has_role(MF_READ_ROLE))
		mf_account_check_usage(account, GetUserId());
	copy = check_copy(rsinfo, schema);
	error = mf_sql_try(ask, &question);
	if (error == NULL)
		add_row(rsinfo, "account", true,
				psprintf("\"%s\" sends to %s in %s, time zone %s.", account->name, account->base_url,
						 account->currency, account->time_zone), NULL);
	else
		add_row(rsinfo, "account", false,
				psprintf("\"%s\" is for %s in %s, time zone %s, but nothing can be sent with the key of role \"%s\": %s",
						 account->name, account->base_url, account->currency, account->time_zone,
						 GetUserNameFromId(GetUserId(), false), mf_error_text(error)), error->hint);
	waits = check_sending(rsinfo, name, schema, copy);
	check_invoices(rsinfo, name, schema);
	check_times(rsinfo, name, schema);
	check_questions(rsinfo, name, schema, waits);
	check_webhooks(rsinfo, account);
	if (error == NULL)
		check_remote(rsinfo, &question);
}

/* Whether anything keeps the worker from sending for the account; whether it waits after failures. */
static MfShown
check_sending(ReturnSetInfo *rsinfo, const char *name, Oid schema, bool copy)
{
	bool		all_accounts = false;
	char	   *paused = mf_queue_pause_reason(schema, name, &all_accounts);
	TimestampTz until = 0;
	TimestampTz frozen_until = mf_frozen_until(MyDatabaseId);
	MfShown		waits = mf_shown_waiting(MyDatabaseId, name, &until);

	/* of one that has nothing to send it does not matter */
	if (waits == MF_SHOWN_UNCERTAIN && !mf_queue_any_due(schema, name))
		waits = MF_SHOWN_NOT_WAITING;

	if (copy)
		add_row(rsinfo, "sending", false, "This database sends nothing, because another fills its tables.", "See the item copy.");
	else if (paused != NULL)
		add_row(rsinfo, "sending", false, psprintf("Paused %s.", paused),
				psprintf("When the cause is gone: SELECT mf_resume(%s)",
						 quote_literal_cstr(all_accounts ? MF_ALL_ACCOUNTS : name)));
	else if (mf_drained_until(MyDatabaseId) != 0)
		add_row(rsinfo, "sending", false, psprintf("Held by mf_drain() until %s.", timestamptz_to_str(mf_drained_until(MyDatabaseId))),
				psprintf("If this server goes on sending: SELECT mf_resume(%s)", quote_literal_cstr(name)));
	else if (frozen_until != 0)
		add_row(rsinfo, "sending", false,
				psprintf("Held until %s, because the server stood still.", timestamptz_to_str(frozen_until)),
				"It goes on by itself. Make sure that no other server has taken its place meanwhile.");
	else if (RecoveryInProgress())
		add_row(rsinfo, "sending", true, "Not from here: this server is a standby.", NULL);
	else if (waits == MF_SHOWN_NOT_WAITING)
		add_row(rsinfo, "sending", true, "Not paused.", NULL);
	else
		add_row(rsinfo, "sending", false,
				waits == MF_SHOWN_UNCERTAIN ?
				"More accounts wait after failures than can be told of here; this may be one of them." :
				until <= GetCurrentTimestamp() ? "After failures, one request at a time is tried." :
				psprintf("Waits until %s after failures; then one request is tried.", timestamptz_to_str(until)),
				psprintf("The column last_error of mf_invoice and the server log tell why. It goes on by itself; to try at once: SELECT mf_resume(%s)",
						 quote_literal_cstr(name)));
	return waits;
}

/* How the account learns of payments. */
static void
check_webhooks(ReturnSetInfo *rsinfo, const MfAccount *account)
{
	bool		secret = mf_account_has_webhook_secret(account);
	bool		public_url = mf_public_url != NULL && mf_public_url[0] != '\0';

	/* the stand-in API, which is reached by http, takes http too */
	if (public_url && pg_strncasecmp(mf_public_url, "https://", strlen("https://")) != 0 &&
		pg_strncasecmp(account->base_url, "https://", strlen("https://")) == 0)
		add_row(rsinfo, "webhooks", false, "myfatoorah.public_url is no https address; MyFatoorah posts webhooks to https only.",
				"Put a proxy with a certificate in front of the listener, or set myfatoorah.ssl_cert_file and ssl_key_file.");
	else if (secret)
		add_row(rsinfo, "webhooks", true, public_url ?
				psprintf("Accepted with the account's secret; invoices name %s.", mf_public_url) :
				"Accepted with the account's secret.", NULL);
	else if (public_url || mf_listen_port != 0)
		add_row(rsinfo, "webhooks", false, "The account has no webhook secret, so all webhooks are refused.",
				psprintf("ALTER USER MAPPING FOR PUBLIC SERVER %s OPTIONS (ADD webhook_secret_file 'webhook.secret'), with the secret that the portal shows.",
						 quote_identifier(account->name)));
	else
		add_row(rsinfo, "webhooks", true, mf_poll_rate_limit > 0 ?
				"Not used; payments are found by polling." :
				"Not used, and polling is off: payments are found by mf_callback() and mf_refresh() only.", NULL);
}

/* Asks, if a request can be made at all. */
static void
ask(void *question)
{
	Question   *asked = (Question *) question;

	mf_account_check_usage(asked->account, GetUserId());
	mf_account_check_mapping(asked->account, GetUserId());
	asked->answer = mf_ask_payment_status(asked->account, GetUserId(), NO_SUCH_INVOICE, "InvoiceId", &asked->error, &asked->shown);
}

/* Name, network, TLS and key, by the answer. */
static void
check_remote(ReturnSetInfo *rsinfo, const Question *question)
{
	const MfStatusResult *result = question->answer;
	const char *error = question->error;

	if (error != question->shown)
	{
		add_row(rsinfo, "network", false, question->shown,
				psprintf("Role \"%s\", which owns the server of the account, and members of \"%s\" see more: SELECT * FROM mf_check(%s)",
						 GetUserNameFromId(question->account->owner, false), MF_READ_ROLE,
						 quote_literal_cstr(question->account->name)));
		return;
	}
	if (result->lookup == MF_LOOKUP_FAILED || result->lookup == MF_LOOKUP_SENSELESS)
	{
		add_row(rsinfo, "network", false, error,
				result->not_sent ?
				"Check the name service, firewall and certificates between this server and the host; for a private certificate authority set the option ca_file." :
				result->lookup == MF_LOOKUP_SENSELESS ?
				"The host answers, but not as MyFatoorah does; check the options base_url and environment, and ask MyFatoorah if it stays so." :
				"The host was reached but gave no usable answer; try again, and ask MyFatoorah if it stays so.");
		return;
	}

	add_row(rsinfo, "network", true, psprintf("%s answers.", question->account->base_url), NULL);
	switch (result->lookup)
	{
		case MF_LOOKUP_FOUND:
		case MF_LOOKUP_NOT_FOUND:
		case MF_LOOKUP_REFUSED:
			add_row(rsinfo, "key", true, "MyFatoorah accepts the API key.", NULL);
			break;
		case MF_LOOKUP_THROTTLED:
			add_row(rsinfo, "key", true, "MyFatoorah is receiving too many requests just now.",
					"Set the option rate_limit of the server, or ask MyFatoorah for a higher limit.");
			break;
		default:
			add_row(rsinfo, "key", false, error,
					"Check that the key belongs to this country and environment, is active, and may call SendPayment and GetPaymentStatus (portal: Integration Settings, API Key).");
			break;
	}
}
