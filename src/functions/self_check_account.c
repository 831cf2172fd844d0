/*
 * self_check_account.c
 *	  mf_check() of an account: its options and key, its invoices, and what MyFatoorah answers.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/self_check_account.c
 */
#include "postgres.h"

#include "access/subtrans.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "account/account_option.h"
#include "base/settings.h"
#include "core/text/text.h"
#include "database/sql_array.h"
#include "flight/flight.h"
#include "functions/backend_call.h"
#include "functions/direct_status.h"
#include "functions/self_check.h"
#include "process/database_hold.h"
#include "process/wait.h"
#include "process/waiting_accounts.h"
#include "process/worker_slots.h"
#include "sending/copy_guard.h"
#include "store/api_proof.h"
#include "store/inquiries.h"
#include "store/queue_origin.h"
#include "store/queue_pause.h"
#include "store/row_rights.h"

/* A key that no invoice has: the inquiry tests the account and changes nothing. */
#define NO_SUCH_INVOICE "0"

/* At most so many different errors are reported. */
#define MAX_PUT_OFF_ERRORS 5

/* How long a bank keeps an authorized payment is not documented; some days later it may give it back. */
#define OLD_HOLD_DAYS 5

/* An inquiry that tests an account, and its result */
typedef struct TestInquiry
{
	const MfAccount *account;
	const MfStatusResult *answer;
	const char *error;			/* as of mf_ask_payment_status() */
	const char *shown;			/* likewise */
} TestInquiry;

static MfStatement any_due_statement = {
	"SELECT FROM @mf_queue WHERE account = $1 AND rank <= now() + interval '" CppAsString2(MF_BACKOFF_CAP_MS) " ms' "
	"  LIMIT 1",
	1, {TEXTOID}, NULL
};

/*
 * Transactions that have locked or changed invoices with due entries, among the
 * first of both agendas.  Entries of locked invoices are put off for a moment again
 * and again, hence the 10 s.  A row that is less than a minute old is probably just
 * being inserted or changed.
 */
static MfStatement lockers_statement = {
	"SELECT i.xmax, count(*)::int8, min(i.id)::int8 FROM ("
	"  (SELECT q.invoice FROM @mf_queue q WHERE q.account = $1 AND q.rank <= now() + interval '10 s' "
	"    ORDER BY q.rank LIMIT 1000) "
	"  UNION (SELECT q.invoice FROM @mf_inquiry q WHERE q.account = $1 AND q.urgent "
	"    AND q.due <= now() + interval '10 s' "
	"    ORDER BY q.due LIMIT 1000)) d JOIN @mf_invoice i ON i.id = d.invoice "
	"WHERE i.xmax <> '0'::xid AND greatest(i.send_at, i.created_at) < now() - interval '1 min' GROUP BY i.xmax "
	"  ORDER BY 2 DESC",
	1, {TEXTOID}, NULL
};

static MfStatement put_off_errors_statement = {
	"SELECT count(*)::int8, min(p.invoice)::int8, p.error::text FROM ("
	"  SELECT q.invoice, coalesce(q.error, i.last_error, '') AS error FROM @mf_queue q "
	"    JOIN @mf_invoice i ON i.id = q.invoice "
	"  WHERE q.account = $1 AND (q.error IS NOT NULL OR (q.kind = 'send' AND q.lookups > 0)) "
	"  UNION ALL SELECT q.invoice, q.error FROM @mf_inquiry q WHERE q.account = $1 AND q.error IS NOT NULL) p "
	"GROUP BY p.error ORDER BY 2 LIMIT " CppAsString2(MAX_PUT_OFF_ERRORS),
	1, {TEXTOID}, NULL
};

/* entries for a person have an infinite due time */
static MfStatement reviews_statement = {
	"SELECT (SELECT count(*) FROM @mf_queue WHERE account = $1 AND rank = 'infinity' AND kind = 'review') "
	"  + (SELECT count(*) FROM @mf_invoice WHERE account = $1 AND payment_doubt IS NOT NULL) "
	"  + (SELECT count(*) FROM @mf_operation WHERE account = $1 AND status = 'review')",
	1, {TEXTOID}, NULL
};

static MfStatement unanswered_statement = {
	"SELECT count(*) OVER ()::int8, u.example, u.error::text FROM ("
	"  SELECT format('invoice %s', q.invoice) AS example, i.payment_error AS error, q.invoice AS number "
	"  FROM @mf_inquiry q JOIN @mf_invoice i ON i.id = q.invoice "
	"  WHERE q.account = $1 AND q.failures >= " CppAsString2(MF_ITEM_FAILURES) " "
	"  UNION ALL SELECT format('event %s', e.id), NULL, e.id FROM @mf_event e "
	"  WHERE e.account = $1 AND e.due IS NOT NULL AND e.failures >= " CppAsString2(MF_ITEM_FAILURES) " "
	"    AND e.event_code IS DISTINCT FROM 5) u "
	"ORDER BY u.error IS NULL, u.number LIMIT 1",
	1, {TEXTOID}, NULL
};

static MfStatement timed_statement = {
	"SELECT count(*)::int8, min(due)::timestamptz FROM @mf_queue "
	"WHERE account = $1 AND kind = 'send' AND lookups = " CppAsString2(MF_LOOKUPS_TIMED),
	1, {TEXTOID}, NULL
};

static MfStatement unread_deposits_statement = {
	"SELECT count(*) OVER ()::int8, d.deposit_reference::text, d.supplier_code::int8, d.error::text FROM @mf_deposit_state d "
	"WHERE d.account = $1 AND (d.status = 'failed' OR d.error IS NOT NULL) ORDER BY d.id LIMIT 1",
	1, {TEXTOID}, NULL
};

static MfStatement unread_plans_statement = {
	"SELECT FROM @mf_event e WHERE e.account = $1 AND e.event_code = 5 AND e.due IS NOT NULL "
	"  AND (e.failures >= " CppAsString2(MF_ITEM_FAILURES) " OR e.lookups >= " CppAsString2(MF_QUICK_TRIES) ") LIMIT 1",
	1, {TEXTOID}, NULL
};

static MfStatement old_holds_statement = {
	"SELECT count(*)::int8, min(h.authorized_at)::timestamptz FROM (SELECT (SELECT min(coalesce(t.transaction_date, t.first_seen_at)) "
	"    FROM @mf_transaction t WHERE t.invoice = i.id AND lower(t.transaction_status) = 'authorize') AS authorized_at "
	"  FROM @mf_invoice i WHERE i.account = $1 AND i.payment_status = 'authorized') h "
	"WHERE h.authorized_at < now() - interval '" CppAsString2(OLD_HOLD_DAYS) " days'",
	1, {TEXTOID}, NULL
};

static char *timeout_hint(const MfAccount *account);
static bool check_copy(const MfCheck *check);
static MfWaiting check_sending(const MfCheck *check, bool copy);
static void check_invoices(const MfCheck *check);
static void report_locker(const MfCheck *check, uint64 row);
static bool is_worker(int pid);
static void check_times(const MfCheck *check);
static void check_questions(const MfCheck *check, MfWaiting waits);
static void check_deposits(const MfCheck *check);
static void check_recurring(const MfCheck *check);
static void check_holds(const MfCheck *check);
static void check_webhooks(const MfCheck *check, const MfAccount *account);
static void check_api(const MfCheck *check, const MfAccount *account);
static void test_account(void *argument);
static void check_remote(const MfCheck *check, const TestInquiry *inquiry);

void
mf_check_account(const MfCheck *check)
{
	const MfAccount *account = mf_account_get(check->account);
	TestInquiry inquiry = {account, NULL, NULL, NULL};
	ErrorData  *error;
	bool		copy;
	MfWaiting	waits;

	if (!mf_has_role(MF_READ_ROLE))
		mf_account_check_usage(account, GetUserId());
	copy = check_copy(check);
	error = mf_sql_try(test_account, &inquiry);
	if (error == NULL)
		mf_check_report(check, "account", true,
						psprintf("\"%s\" sends to %s in %s, time zone %s.", account->name, account->base_url,
								 account->currency, account->time_zone), timeout_hint(account));
	else
		mf_check_report(check, "account", false,
						psprintf("\"%s\" is for %s in %s, time zone %s, but nothing can be sent with the key of role \"%s\": %s",
								 account->name, account->base_url, account->currency, account->time_zone,
								 GetUserNameFromId(GetUserId(), false), mf_error_text(error)), error->hint);
	waits = check_sending(check, copy);
	check_invoices(check);
	check_times(check);
	check_questions(check, waits);
	check_deposits(check);
	check_recurring(check);
	check_holds(check);
	check_webhooks(check, account);
	if (error == NULL)
	{
		check_api(check, account);
		check_remote(check, &inquiry);
	}
}

/*
 * What to do about time-outs that are too long for a failover: the latest request of an
 * old primary could arrive after the new one has looked for its invoice.  NULL if they
 * are not.
 */
static char *
timeout_hint(const MfAccount *account)
{
	int			longest = account->connect_timeout_ms + MF_SEND_MARGIN_MS + account->timeout_ms;
	int			missing = longest - mf_verify_wait();

	if (missing <= 0)
		return NULL;
	return psprintf("Where a standby may be promoted, raise myfatoorah.lookup_delay to %d s or more: it is added to the time after which a new primary looks for what the old one has sent, and the options connect_timeout and timeout of this server let that take up to %d s.",
					(mf_lookup_delay + missing + 999) / 1000, (longest + 999) / 1000);
}

/*
 * Reports entries of the agenda that another database has made.  Returns true if nothing is sent because of that.
 * Those of a standby are its primary's, and become its own when it is promoted.
 */
static bool
check_copy(const MfCheck *check)
{
	char	   *subscription = mf_copy_guard_subscription(check->schema);
	int64		foreign = RecoveryInProgress() ? 0 : mf_queue_count_foreign(check->schema);

	if (subscription != NULL)
		mf_check_report(check, "copy", false,
						psprintf("Subscription \"%s\" fills the tables of myfatoorah; the publishing database sends these invoices, and this one sends nothing.",
								 subscription),
						"After the switch-over, once the other database is stopped for good, drop the subscription, then: SELECT mf_resume('*')");
	else if (foreign > 0)
		mf_check_report(check, "copy", false,
						psprintf(ngettext(INT64_FORMAT " invoice was put on the agenda by another database, which may send it; this one does not.",
										  INT64_FORMAT " invoices were put on the agenda by another database, which may send them; this one does not.",
										  (unsigned long) foreign), foreign),
						"If the other database is stopped for good: SELECT mf_resume('*')");
	return subscription != NULL;
}

/* Runs a query about the account, in a scope that the caller ends; returns the number of rows. */
static uint64
begin_query(const MfCheck *check, MfSqlScope *scope, MfStatement *statement)
{
	Datum		value = CStringGetTextDatum(check->account);

	mf_sql_begin(scope, check->schema);
	return mf_sql_execute(scope, statement, &value, NULL);
}

/* Whether the account has an entry that is due now or within the longest back-off. */
static bool
any_due(const MfCheck *check)
{
	MfSqlScope	scope;
	bool		any = begin_query(check, &scope, &any_due_statement) > 0;

	mf_sql_end(&scope);
	return any;
}

/* Reports whether the worker may send for the account now.  Returns whether the account waits after failures. */
static MfWaiting
check_sending(const MfCheck *check, bool copy)
{
	bool		all_accounts = false;
	char	   *paused = mf_queue_pause_reason(check->schema, check->account, &all_accounts);
	TimestampTz until = 0;
	TimestampTz frozen_until = mf_frozen_until(MyDatabaseId);
	MfWaiting	waits = mf_waiting_account_find(MyDatabaseId, check->account, &until);

	/* this does not matter to an account that has nothing to send */
	if (waits == MF_WAITING_UNKNOWN && !any_due(check))
		waits = MF_NOT_WAITING;

	if (copy)
		mf_check_report(check, "sending", false, "This database sends nothing, because another fills its tables.", "See the item copy.");
	else if (paused != NULL)
		mf_check_report(check, "sending", false, psprintf("Paused %s.", paused),
						psprintf("Once the cause is removed: SELECT mf_resume(%s)",
								 quote_literal_cstr(all_accounts ? MF_ALL_ACCOUNTS : check->account)));
	else if (!mf_roles_are_known(check->schema))
		mf_check_report(check, "sending", false, "These may be the rows of another database, which may send and bill the same.",
						"If the other database is stopped for good: SELECT mf_resume('*')");
	else if (mf_drained_until(MyDatabaseId) != 0)
		mf_check_report(check, "sending", false, psprintf("Held by mf_drain() until %s.", timestamptz_to_str(mf_drained_until(MyDatabaseId))),
						psprintf("If this server is to continue sending: SELECT mf_resume(%s)", quote_literal_cstr(check->account)));
	else if (frozen_until != 0)
		mf_check_report(check, "sending", false,
						psprintf("Held until %s, because the server stood still.", timestamptz_to_str(frozen_until)),
						"It continues automatically. Make sure that no other server has taken its place meanwhile.");
	else if (RecoveryInProgress())
		mf_check_report(check, "sending", true, "Not from here: this server is a standby.", NULL);
	else if (waits == MF_NOT_WAITING)
		mf_check_report(check, "sending", true, "Not paused.", NULL);
	else
		mf_check_report(check, "sending", false,
						waits == MF_WAITING_UNKNOWN ?
						"More accounts wait after failures than can be listed; this may be one of them." :
						until <= GetCurrentTimestamp() ? "After failures, one request at a time is tried." :
						psprintf("Waits until %s after failures; then one request is tried.", timestamptz_to_str(until)),
						psprintf("The column last_error of mf_invoice and the server log say why. It continues automatically; to try at once: SELECT mf_resume(%s)",
								 quote_literal_cstr(check->account)));
	return waits;
}

/* Reports invoices of the account that cannot be processed, with one row for each error. */
static void
check_invoices(const MfCheck *check)
{
	MfSqlScope	scope;
	int64		count;
	uint64		rows;
	uint64		i;

	(void) begin_query(check, &scope, &reviews_statement);
	count = mf_result_int8(0, 1);
	if (count > 0)
		mf_check_report(check, "invoices", false, psprintf(ngettext(INT64_FORMAT " needs the decision of a person.", INT64_FORMAT " need the decision of a person.",
																	(unsigned long) count), count),
						"SELECT * FROM mf_review");
	mf_sql_end(&scope);

	rows = begin_query(check, &scope, &lockers_statement);
	for (i = 0; i < rows; i++)
		report_locker(check, i);
	mf_sql_end(&scope);

	rows = begin_query(check, &scope, &put_off_errors_statement);
	for (i = 0; i < rows; i++)
	{
		count = mf_result_int8(i, 1);
		mf_check_report(check, "invoices", false,
						psprintf(ngettext(INT64_FORMAT " is put off, such as invoice " INT64_FORMAT ": %s",
										  INT64_FORMAT " are put off, such as invoice " INT64_FORMAT ": %s", (unsigned long) count),
								 count, mf_result_int8(i, 2), mf_result_text(i, 3)),
						psprintf("mf_review shows those that cannot be written, the column last_error of mf_invoice the others. Remove the cause, then: SELECT mf_resume(%s)",
								 quote_literal_cstr(check->account)));
	}
	mf_sql_end(&scope);
}

/* A session that has locked due invoices.  A lock that several transactions share has the number of a multixact, and is not reported. */
static void
report_locker(const MfCheck *check, uint64 row)
{
	TransactionId xid = DatumGetTransactionId(mf_result(row, 1, NULL));
	int			pid = TransactionIdIsInProgress(xid) ? BackendXidGetPid(SubTransGetTopmostTransaction(xid)) : 0;
	PGPROC	   *process = pid == 0 ? NULL : BackendPidGetProc(pid);
	char	   *role = process == NULL ? NULL : GetUserNameFromId(process->roleId, true);
	int64		count = mf_result_int8(row, 2);

	/* the worker locks what it processes */
	if (role == NULL || is_worker(pid))
		return;
	mf_check_report(check, "invoices", false,
					psprintf(ngettext(INT64_FORMAT " is due and locked by process %d of role \"%s\": invoice " INT64_FORMAT ".",
									  INT64_FORMAT " are due and locked by process %d of role \"%s\", such as invoice " INT64_FORMAT ".",
									  (unsigned long) count), count, pid, role, mf_result_int8(row, 3)),
					psprintf("They are processed when its transaction ends. To end it: SELECT pg_terminate_backend(%d)", pid));
}

/* Whether a process is the worker of this database. */
static bool
is_worker(int pid)
{
	MfSlot	   *slot = mf_lock_slot(MyDatabaseId, LW_SHARED);
	bool		is_it;

	if (slot == NULL)
		return false;
	is_it = slot->pid == pid;
	LWLockRelease(mf_shared->lock);
	return is_it;
}

/* Reports invoices that wait for a time of the day; that is as intended. */
static void
check_times(const MfCheck *check)
{
	MfSqlScope	scope;
	int64		count;

	(void) begin_query(check, &scope, &timed_statement);
	count = mf_result_int8(0, 1);
	if (count > 0)
		mf_check_report(check, "times", true,
						psprintf(ngettext(INT64_FORMAT " invoice waits for the send_time or the end of the quiet_hours of the account, until %s.",
										  INT64_FORMAT " invoices wait for the send_time or the end of the quiet_hours of the account, the first until %s.",
										  (unsigned long) count), count, timestamptz_to_str(mf_result_timestamp(0, 2))), NULL);
	mf_sql_end(&scope);
}

/* Reports inquiries that get no usable answer while others do. */
static void
check_questions(const MfCheck *check, MfWaiting waits)
{
	MfSqlScope	scope;

	if (begin_query(check, &scope, &unanswered_statement) > 0)
	{
		int64		count = mf_result_int8(0, 1);
		char	   *error = mf_result_text(0, 3);

		mf_check_report(check, "questions", false,
						psprintf(ngettext(INT64_FORMAT " inquiry about a payment gets no usable answer and is repeated after growing delays, the one about %s%s%s",
										  INT64_FORMAT " inquiries about payments get no usable answer and are repeated after growing delays, such as the one about %s%s%s",
										  (unsigned long) count),
								 count, mf_result_text(0, 2), error ? ": " : ".", error ? error : ""),
						psprintf("%sIf this persists, ask MyFatoorah. To repeat all of them at once: SELECT mf_resume(%s)",
								 waits == MF_NOT_WAITING ? "The other invoices go on. " :
								 waits == MF_WAITING ? "The other invoices wait, too. " : "",
								 quote_literal_cstr(check->account)));
	}
	mf_sql_end(&scope);
}

/* Reports deposits that MyFatoorah was asked for in vain. */
static void
check_deposits(const MfCheck *check)
{
	MfSqlScope	scope;

	if (begin_query(check, &scope, &unread_deposits_statement) > 0)
	{
		int64		count = mf_result_int8(0, 1);
		char	   *reference = mf_result_text(0, 2);
		int64		supplier_code = mf_result_int8(0, 3);
		char	   *error = mf_result_text(0, 4);

		mf_check_report(check, "deposits", false,
						psprintf(ngettext(INT64_FORMAT " deposit cannot be read, \"%s\"%s%s",
										  INT64_FORMAT " deposits cannot be read, such as \"%s\"%s%s", (unsigned long) count),
								 count, reference, error ? ": " : ".", error ? error : ""),
						psprintf("The key must be allowed to call GetDepositedInvoices (portal: Integration Settings, API Key). Then: SELECT mf_read_deposit(%s, %s%s)",
								 quote_literal_cstr(reference), quote_literal_cstr(check->account),
								 supplier_code != 0 ? psprintf(", " INT64_FORMAT, supplier_code) : ""));
	}
	mf_sql_end(&scope);
}

/* Reports that the recurring payments of the account were asked for in vain. */
static void
check_recurring(const MfCheck *check)
{
	MfSqlScope	scope;

	if (begin_query(check, &scope, &unread_plans_statement) > 0)
		mf_check_report(check, "recurring", false,
						"The recurring payments cannot be read: their repetitions get no rows, and are in no book.",
						psprintf("The key must be allowed to call GetRecurringPayment (portal: Integration Settings, API Key). SELECT * FROM mf_recurring(%s) shows what MyFatoorah answers. Then: SELECT mf_resume(%s)",
								 quote_literal_cstr(check->account), quote_literal_cstr(check->account)));
	mf_sql_end(&scope);
}

/* Reports authorized payments that nobody has captured or released for long. */
static void
check_holds(const MfCheck *check)
{
	MfSqlScope	scope;
	int64		count;

	(void) begin_query(check, &scope, &old_holds_statement);
	count = mf_result_int8(0, 1);
	if (count > 0)
		mf_check_report(check, "holds", false,
						psprintf("Payments that have been authorized for more than %d days, and are neither captured nor released: " INT64_FORMAT ", the oldest since %s.",
								 OLD_HOLD_DAYS, count, timestamptz_to_str(mf_result_timestamp(0, 2))),
						"The bank may give them back by itself. SELECT * FROM mf_hold ORDER BY authorized_at shows them; mf_capture() takes one, mf_release() gives it back.");
	mf_sql_end(&scope);
}

/* How the account gets to know of payments. */
static void
check_webhooks(const MfCheck *check, const MfAccount *account)
{
	bool		secret = mf_account_has_webhook_secret(account);
	bool		public_url = mf_public_url != NULL && mf_public_url[0] != '\0';

	if (public_url && mf_url_check(mf_public_url) != MF_URL_GOOD)
		mf_check_report(check, "webhooks", false,
						psprintf("myfatoorah.public_url, %s, points to localhost: invoices that are to name it are rejected.",
								 mf_public_url),
						"Set it to the address under which customers and MyFatoorah reach the listener, such as 'https://pay.example.com'.");

	/* the stand-in API, which has an http URL, posts to http too */
	else if (public_url && pg_strncasecmp(mf_public_url, "https://", strlen("https://")) != 0 &&
		pg_strncasecmp(account->base_url, "https://", strlen("https://")) == 0)
		mf_check_report(check, "webhooks", false, "myfatoorah.public_url is not an https URL; MyFatoorah posts webhooks to https only.",
						"Put a proxy with a certificate in front of the listener, or set myfatoorah.ssl_cert_file and ssl_key_file.");
	else if (secret)
		mf_check_report(check, "webhooks", true, public_url ?
						psprintf("Accepted with the account's secret; invoices name %s.", mf_public_url) :
						"Accepted with the account's secret.", NULL);
	else if (public_url || mf_listen_port != 0)
		mf_check_report(check, "webhooks", false, "The account has no webhook secret, so all webhooks are refused.",
						psprintf("ALTER USER MAPPING FOR PUBLIC SERVER %s OPTIONS (ADD webhook_secret_file 'webhook.secret'), with the secret that the portal shows.",
								 quote_identifier(account->name)));
	else
		mf_check_report(check, "webhooks", true, mf_poll_rate_limit > 0 ?
						"Not used; payments are found by polling." :
						"Not used, and polling is off: payments are found by mf_callback() and mf_refresh() only.", NULL);
}

/*
 * Which endpoint makes the invoices of rows, and what is known of POST /v3/payments with
 * the key of the current role.  Nothing as long as nobody has asked for anything but
 * SendPayment.
 */
static void
check_api(const MfCheck *check, const MfAccount *account)
{
	char	   *call = psprintf("SELECT * FROM mf_probe_idempotency(%s, 0.1)", quote_literal_cstr(account->name));
	MfSqlScope	scope;
	MfProof		proof;
	TimestampTz at;
	char	   *detail;

	if (account->api == MF_API_V2)
		return;
	if (!account->country->idempotency_key)
	{
		if (account->api == MF_API_V3)
			mf_check_report(check, "api", false,
							psprintf("The option api is v3, but MyFatoorah keeps no Idempotency-Key in country %s: invoices go by SendPayment.",
									 account->country->iso), "Drop the option api of the server.");
		return;
	}
	mf_sql_begin(&scope, check->schema);
	proof = mf_api_proof_details(&scope, account, mf_backend_target_checksum(account), &at, &detail);
	mf_sql_end(&scope);

	if (proof == MF_PROOF_REFUTED)
		mf_check_report(check, "api", account->api != MF_API_V3,
						psprintf("Invoices go by SendPayment; POST /v3/payments was refuted at %s, %s.", timestamptz_to_str(at), detail),
						psprintf("Ask MyFatoorah. Then try it again: %s", call));
	else if (proof == MF_PROOF_GIVEN)
		mf_check_report(check, "api", true,
						psprintf("Invoices go by POST /v3/payments where it can carry them, so that a lost link can be asked for again; proved at %s, %s.",
								 timestamptz_to_str(at), detail), NULL);
	else if (account->api == MF_API_V3)
		mf_check_report(check, "api", false,
						"Invoices go by POST /v3/payments where it can carry them, but it is not proved that it can be repeated, nor that look-ups find what it makes: an invoice that is not found needs a person.",
						psprintf("Try it, which leaves an invoice of that value in the portal: %s", call));
}

/* Makes the inquiry; raises an error if no request can be made. */
static void
test_account(void *argument)
{
	TestInquiry *inquiry = (TestInquiry *) argument;

	mf_account_check_usage(inquiry->account, GetUserId());
	mf_account_check_mapping(inquiry->account, GetUserId());
	inquiry->answer = mf_ask_payment_status(inquiry->account, NO_SUCH_INVOICE, "InvoiceId", &inquiry->error, &inquiry->shown);
}

/* Reports from the answer whether network, TLS and key are right. */
static void
check_remote(const MfCheck *check, const TestInquiry *inquiry)
{
	const MfStatusResult *result = inquiry->answer;
	const char *error = inquiry->error;

	if (error != inquiry->shown)
	{
		mf_check_report(check, "network", false, inquiry->shown,
						psprintf("Role \"%s\", which owns the server of the account, and members of \"%s\" see the details: SELECT * FROM mf_check(%s)",
								 GetUserNameFromId(inquiry->account->owner, false), MF_READ_ROLE,
								 quote_literal_cstr(inquiry->account->name)));
		return;
	}
	if (result->base.lookup == MF_LOOKUP_FAILED || result->base.lookup == MF_LOOKUP_INCONCLUSIVE)
	{
		mf_check_report(check, "network", false, error,
						result->base.not_sent ?
						"Check the name service, firewall and certificates between this server and the host; for a private certificate authority set the option ca_file." :
						result->base.lookup == MF_LOOKUP_INCONCLUSIVE ?
						"The host answers, but not as MyFatoorah does. Check the options base_url and environment; if this persists, ask MyFatoorah." :
						"The host was reached but gave no usable answer. Try again; if this persists, ask MyFatoorah.");
		return;
	}

	mf_check_report(check, "network", true, psprintf("%s answers.", inquiry->account->base_url), NULL);
	switch (result->base.lookup)
	{
		case MF_LOOKUP_FOUND:
		case MF_LOOKUP_NOT_FOUND:
		case MF_LOOKUP_REFUSED:
			mf_check_report(check, "key", true, "MyFatoorah accepts the API key.", NULL);
			break;
		case MF_LOOKUP_THROTTLED:
			mf_check_report(check, "key", true, "MyFatoorah is receiving too many requests at the moment.",
							"Set the option rate_limit of the server, or ask MyFatoorah for a higher limit.");
			break;
		default:
			mf_check_report(check, "key", false, error,
							"Check that the key belongs to this country and environment, is active, and may call SendPayment and GetPaymentStatus (portal: Integration Settings, API Key).");
			break;
	}
}
