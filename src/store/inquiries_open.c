/*
 * inquiries_open.c
 *	  SQL of new inquiries: about invoices that were sent, restored or ordered.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/inquiries_open.c
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "account/account.h"
#include "base/compat.h"
#include "base/failpoint.h"
#include "base/settings.h"
#include "base/text_domain.h"
#include "database/sql_array.h"
#include "process/process.h"
#include "process/wait.h"
#include "process/wakeup.h"
#include "store/events.h"
#include "store/inquiries.h"
#include "store/inquiries_open.h"
#include "store/invoice_number.h"
#include "store/table_rows.h"

/* an event may have come before the answer to the send; who has asked before that gets an answer now */
static MfStatement open_statement = {
	"WITH i AS MATERIALIZED (SELECT i.id, i.account, i.invoice_id, i.taken_over_from FROM @mf_invoice i "
	"  WHERE i.id = ANY ($1) AND i.status = 'sent'), "
	"e AS (UPDATE @mf_event e SET invoice = i.id FROM i "
	"  WHERE e.invoice IS NULL AND e.invoice_id = i.invoice_id AND " MF_EVENT_OF_ACCOUNT("e.account") " RETURNING i.id, "
	"    e.event_code), "
	"m AS MATERIALIZED (SELECT i.id, i.account, CASE WHEN i.known THEN clock_timestamp() ELSE $2 END, i.known, "
	"  i.refunds "
	"FROM (SELECT i.id, i.account, EXISTS (SELECT FROM e WHERE e.id = i.id) AS known, "
	"    EXISTS (SELECT FROM e WHERE e.id = i.id AND e.event_code = 2) AS refunds FROM i) i "
	"WHERE i.known OR $2 < 'infinity' OR EXISTS (SELECT FROM @mf_inquiry o WHERE o.invoice = i.id)), "
	"o AS (INSERT INTO @mf_inquiry AS q (invoice, account, due, urgent, refunds) SELECT * FROM m ORDER BY m.id "
	"ON CONFLICT (invoice) DO UPDATE SET due = clock_timestamp(), urgent = true, refunds = q.refunds "
	"  OR EXCLUDED.refunds, "
	"  times_requested = q.times_requested + 1, unchanged_answers = 0, "
	"  by_callback = q.by_callback AND q.urgent AND NOT EXCLUDED.urgent, "
	"  ordered_by = CASE WHEN EXCLUDED.urgent THEN 0 ELSE q.ordered_by END "
	"WHERE q.urgent OR EXCLUDED.urgent RETURNING q.urgent) "
	"SELECT EXISTS (SELECT FROM o WHERE o.urgent), ARRAY(SELECT m.id::int8 FROM m)",
	2, {INT8ARRAYOID, TIMESTAMPTZOID}, NULL
};

/* whether an event came before the answer to the send, or another row has the number; mostly not, and insert_inquiries() suffices */
static MfStatement unusual_statement = {
	"SELECT FROM @mf_event e WHERE e.invoice IS NULL AND e.invoice_id = ANY ($1) "
	"UNION ALL (SELECT FROM @mf_invoice_number k WHERE k.invoice_id = ANY ($1) GROUP BY k.invoice_id HAVING count(*) > 1) LIMIT 1",
	1, {INT8ARRAYOID}, NULL
};

static MfStatement unopened_statement = {
	"SELECT FROM unnest($1) AS m(invoice) WHERE NOT EXISTS (SELECT FROM @mf_inquiry q "
	"  WHERE q.invoice = ANY ($1) AND q.invoice = m.invoice) LIMIT 1",
	1, {INT8ARRAYOID}, NULL
};

/* by the index of unpaid invoices; each batch begins behind the last row of the one before */
static MfStatement open_batch_statement = {
	MF_IN_ORDER "WITH n AS MATERIALIZED (SELECT i.id, i.account FROM @mf_invoice i "
	"  WHERE " MF_UNASKED("i") " AND (" MF_UNPAID_KEY("i") ") > ($1, $2) ORDER BY " MF_UNPAID_KEY("i") " LIMIT 500), "
	"r AS (INSERT INTO @mf_inquiry (invoice, account, due) SELECT n.id, n.account, clock_timestamp() FROM n "
	"  ORDER BY n.id "
	"  ON CONFLICT (invoice) DO NOTHING RETURNING 1) "
	"SELECT n.account::text, n.id::int8, (SELECT count(*) FROM r) FROM n ORDER BY n.account COLLATE \"C\" DESC, "
	"  n.id DESC LIMIT 1",
	2, {TEXTOID, INT8OID}, NULL
};

#define AWAITED "n.status = 'sent' AND n.payment_status IN ('unpaid', 'authorized')"

static MfStatement restore_statement = {
	"INSERT INTO @mf_inquiry (invoice, account, due) SELECT n.id, n.account, $1 FROM new_rows n "
	"WHERE " AWAITED " ORDER BY n.id ON CONFLICT (invoice) DO NOTHING",
	1, {TIMESTAMPTZOID}, NULL
};

/*
 * One inquiry each, an hour later or so, as after a payment.  The youngest come
 * first, those of one day spread over 2.4 hours, so that open invoices get their turn.
 */
#define SETTLED_AGE "interval '" CppAsString2(MF_ASK_AGAIN_DAYS) " days'"
static MfStatement open_settled_statement = {
	"INSERT INTO @mf_inquiry (invoice, account, due) "
	"SELECT i.id, i.account, clock_timestamp() + $1 * interval '12 ms' + (clock_timestamp() - l.settled_at) / 10 "
	"FROM @mf_invoice i, LATERAL (SELECT least(clock_timestamp(), greatest(i.sent_at, i.paid_at, "
	"  i.expires_at)) AS settled_at) l "
	"WHERE i.status = 'sent' AND i.invoice_id IS NOT NULL AND i.payment_status IN ('paid', 'expired', "
	"  'remote_cancelled') "
	"  AND l.settled_at > clock_timestamp() - " SETTLED_AGE " ORDER BY i.id ON CONFLICT (invoice) DO NOTHING",
	1, {INT4OID}, NULL
};

static MfStatement not_restored_statement = {
	"SELECT FROM new_rows n WHERE " AWAITED " AND NOT EXISTS (SELECT FROM @mf_inquiry q "
	"  WHERE q.invoice = n.id) LIMIT 1",
	0, {0}, NULL
};

/*
 * An inquiry that an event asks for, too, keeps the rights of that; one that came while the row was not there is its own now.
 * Of a row that has begun a recurring payment, the list of these is read, too.
 */
static MfStatement order_statement = {
	"WITH m AS MATERIALIZED (SELECT i.id, i.account, clock_timestamp(), true, true, 1, $3, a.too_often, $4 "
	"  FROM unnest($1, $2) AS a(invoice, too_often) JOIN @mf_invoice i ON i.id = a.invoice AND i.id = ANY ($1) "
	"  WHERE i.status = 'sent'), "
	"e AS (UPDATE @mf_event e SET invoice = i.id FROM @mf_invoice i WHERE i.id = ANY ($1) AND i.status = 'sent' "
	"  AND e.invoice IS NULL AND e.invoice_id = i.invoice_id AND " MF_EVENT_OF_ACCOUNT("e.account") "), "
	"p AS MATERIALIZED (SELECT e.id FROM unnest($1, $2) AS a(invoice, too_often) JOIN @mf_event e ON e.invoice = a.invoice "
	"  AND e.invoice = ANY ($1) AND e.source = 'plan' AND e.due IS NOT NULL WHERE NOT a.too_often FOR NO KEY UPDATE OF e SKIP LOCKED), "
	"plan AS (UPDATE @mf_event e SET due = clock_timestamp() FROM p WHERE e.id = p.id), "
	"o AS (INSERT INTO @mf_inquiry AS q (invoice, account, due, urgent, refunds, times_requested, "
	"  unchanged_answers, by_callback, "
	"  ordered_by) "
	"SELECT * FROM m ORDER BY m.id ON CONFLICT (invoice) DO UPDATE SET urgent = true, "
	"  due = CASE WHEN q.urgent AND EXCLUDED.by_callback THEN least(q.due, EXCLUDED.due) ELSE EXCLUDED.due END, "
	"  by_callback = EXCLUDED.by_callback AND (q.by_callback OR NOT q.urgent), "
	"  ordered_by = CASE WHEN q.urgent AND (q.ordered_by = 0 OR NOT q.by_callback) THEN q.ordered_by "
	"    ELSE EXCLUDED.ordered_by END, "
	"  refunds = q.refunds OR EXCLUDED.refunds, times_requested = q.times_requested + 1, "
	"  unchanged_answers = CASE WHEN q.urgent THEN q.unchanged_answers ELSE EXCLUDED.unchanged_answers END "
	"    RETURNING 1) "
	"SELECT (SELECT count(*) FROM m) - (SELECT count(*) FROM o)",
	4, {INT8ARRAYOID, BOOLARRAYOID, INT4OID, OIDOID}, NULL
};

/* of those that have no inquiry yet, which a server that is renamed would find */
static MfStatement accounts_statement = {
	"SELECT DISTINCT i.account::text FROM @mf_invoice i WHERE i.id = ANY ($1) "
	"  AND NOT EXISTS (SELECT FROM @mf_inquiry q WHERE q.invoice = ANY ($1) AND q.invoice = i.id)",
	1, {INT8ARRAYOID}, NULL
};

/* $2: asked about already; what is authorized is waited for */
static MfStatement replaced_statement = {
	MF_IN_ORDER "SELECT i.id::int8 FROM @mf_invoice i LEFT JOIN @mf_inquiry q ON q.invoice = i.id "
	"WHERE i.replaced_by = $1 AND " MF_OPEN("i") " AND i.payment_error IS NULL AND q.error IS NULL "
	"  AND (NOT $2 OR q.urgent OR i.payment_status = 'authorized') ORDER BY i.id",
	2, {INT8OID, BOOLOID}, NULL
};

/* Attribute numbers of mf_inquiry, as in the install script */
typedef enum InquiryColumn
{
	INQUIRY_INVOICE = 1,
	INQUIRY_ACCOUNT,
	INQUIRY_DUE,
	INQUIRY_URGENT,
	INQUIRY_REFUNDS,
	INQUIRY_REQUESTS,
	INQUIRY_TRIES,
	INQUIRY_STEP,
	INQUIRY_FAILURES,
	INQUIRY_ERROR,
	INQUIRY_BY_CALLBACK,
	INQUIRY_ORDERED_BY,
	INQUIRY_END					/* one more than the last */
} InquiryColumn;

#define BATCH_SIZE 500			/* ordered inquiries that one statement writes */

typedef struct Refresh
{
	Oid			schema;
	Oid			role;
	int64		invoice;
	bool		too_often;
} Refresh;

static List *pending = NIL;		/* in TopTransactionContext */

/* invoice, account, due, urgent, refunds, times_requested, unchanged_answers, answers, failures .. ordered_by */
static const Oid inquiry_types[] = {
	InvalidOid, INT8OID, TEXTOID, TIMESTAMPTZOID, BOOLOID, BOOLOID, INT4OID, INT2OID, INT2OID, INT2OID,
	TEXTOID, BOOLOID, OIDOID
};

static bool is_unusual(const MfSqlScope *scope, const MfSentInvoice *sent, int count);
static int	insert_inquiries(const MfSqlScope *scope, const MfSentInvoice *sent, int count, TimestampTz due);
static void order(const MfSqlScope *scope, Oid role, const int64 *invoices, const bool *too_often, int count);
static void at_transaction_end(XactEvent event, void *arg);
static void write_pending(void);
static void hold_accounts(Oid schema, const int64 *invoices, int count);

bool
mf_inquiries_open(const MfSqlScope *scope, MfSentInvoice *sent, int count, TimestampTz due)
{
	Datum		values[2];
	Datum		opened;
	bool		urgent;
	int			i = 0;

	/* in the same order everywhere, so that two sessions do not deadlock */
	qsort(sent, count, sizeof(MfSentInvoice), mf_compare_ids);
	mf_number_add(scope, sent, count);
	if (!TIMESTAMP_NOT_FINITE(due) && !is_unusual(scope, sent, count))
		i = insert_inquiries(scope, sent, count, due);
	if (i == count)
		return false;

	mf_number_flag_shared(scope, sent, count);
	values[0] = mf_ids_of(&sent[i], sizeof(MfSentInvoice), count - i);
	values[1] = TimestampTzGetDatum(due);
	(void) mf_sql_execute(scope, &open_statement, values, NULL);
	urgent = mf_result_bool(0, 1);
	opened = mf_result(0, 2, NULL);
	if (mf_sql_execute(scope, &unopened_statement, &opened, NULL) > 0)
		mf_change_suppressed();
	return urgent;
}

/*
 * Does without SQL what open_statement does, up to the first invoice that has an
 * inquiry already, or for which another session is opening one; mostly there is
 * none.  Returns how many were done.
 */
static int
insert_inquiries(const MfSqlScope *scope, const MfSentInvoice *sent, int count, TimestampTz due)
{
	MfTable    *table = mf_table_open(scope->schema, "mf_inquiry", NULL, inquiry_types, INQUIRY_END - 1, true);
	Datum		values[INQUIRY_END - 1];
	bool		isnull[INQUIRY_END - 1] = {false};
	int			done = 0;
	int			i;

	if (table == NULL)
		return 0;
	values[INQUIRY_DUE - 1] = TimestampTzGetDatum(due);
	values[INQUIRY_URGENT - 1] = values[INQUIRY_REFUNDS - 1] = values[INQUIRY_BY_CALLBACK - 1] = BoolGetDatum(false);
	values[INQUIRY_REQUESTS - 1] = Int32GetDatum(0);
	values[INQUIRY_TRIES - 1] = values[INQUIRY_STEP - 1] = values[INQUIRY_FAILURES - 1] = Int16GetDatum(0);
	values[INQUIRY_ORDERED_BY - 1] = ObjectIdGetDatum(InvalidOid);
	isnull[INQUIRY_ERROR - 1] = true;
	mf_table_begin(table);
	for (i = 0; i < count; i++)
	{
		MF_FAILPOINT_ROW("row of mf_inquiry, to open", sent[i].invoice);
		values[INQUIRY_INVOICE - 1] = Int64GetDatum(sent[i].invoice);
		values[INQUIRY_ACCOUNT - 1] = CStringGetTextDatum(sent[i].account);
		mf_table_add(table, values, isnull, NULL);
		if (table->waiting < MF_TABLE_BATCH && i < count - 1)
			continue;
		done += mf_table_insert(table, true);
		if (done <= i)
			break;
	}
	mf_table_close(table);
	CommandCounterIncrement();
	return done;
}

/* Whether an event about one of them may have come in without being matched yet, or another row have its InvoiceId. */
static bool
is_unusual(const MfSqlScope *scope, const MfSentInvoice *sent, int count)
{
	MfArray		numbers;
	Datum		value;
	int			i;

	mf_array_init(&numbers, count);
	for (i = 0; i < count; i++)
	{
		if (sent[i].account == NULL)
			return true;
		mf_array_add(&numbers, Int64GetDatum(sent[i].invoice_id));
	}
	value = mf_array_datum(&numbers, INT8OID);
	return mf_sql_execute(scope, &unusual_statement, &value, NULL) > 0;
}

void
mf_inquiries_open_restored(const MfSqlScope *scope, TimestampTz due)
{
	Datum		value = TimestampTzGetDatum(due);

	mf_number_restore(scope);
	(void) mf_sql_execute(scope, &restore_statement, &value, NULL);
	if (mf_sql_execute(scope, &not_restored_statement, NULL, NULL) > 0)
		mf_change_suppressed();
	mf_news_at_commit(MF_NEWS_INQUIRIES);
}

void
mf_inquiries_open_settled(const MfSqlScope *scope)
{
	Datum		value = Int32GetDatum(mf_poll_delay);

	/* what was replicated without its numbers */
	(void) mf_number_repair(scope);
	if (mf_poll_rate_limit == 0)
		return;
	(void) mf_sql_execute(scope, &open_settled_statement, &value, NULL);
	mf_news_at_commit(MF_NEWS_INQUIRIES);
}

void
mf_inquiries_order(Oid schema, Oid role, const int64 *invoices, const bool *too_often, int count)
{
	MfSqlScope	scope;

	mf_sql_begin(&scope, schema);
	order(&scope, role, invoices, too_often, count);
	mf_sql_end(&scope);
}

/* too_often NULL = none is. */
static void
order(const MfSqlScope *scope, Oid role, const int64 *invoices, const bool *too_often, int count)
{
	MfArray		beyond_budget;
	Datum		values[4];
	int			i;

	mf_array_init(&beyond_budget, count);
	for (i = 0; i < count; i++)
		mf_array_add(&beyond_budget, BoolGetDatum(too_often != NULL && too_often[i]));
	/* a person gets one answer, not several until something has changed */
	values[0] = mf_int8_array(invoices, count);
	values[1] = mf_array_datum(&beyond_budget, BOOLOID);
	values[2] = Int32GetDatum(MF_QUICK_TRIES);
	values[3] = ObjectIdGetDatum(role);
	(void) mf_change(scope, &order_statement, values, NULL);
}

bool
mf_inquiries_ask_replaced(const MfSqlScope *scope, int64 invoice, bool asked)
{
	Datum		values[] = {Int64GetDatum(invoice), BoolGetDatum(asked)};
	int			count = (int) mf_sql_execute(scope, &replaced_statement, values, NULL);
	int64	   *ids;

	if (count == 0 || asked)
		return count > 0;
	ids = (int64 *) palloc(count * sizeof(int64));
	(void) mf_result_ids(ids);
	order(scope, InvalidOid, ids, NULL, count);
	mf_inquiry_wake();
	return true;
}

uint64
mf_inquiries_open_batch(const MfSqlScope *scope, MfUnpaidPosition *position)
{
	Datum		values[] = {CStringGetTextDatum(NameStr(position->account)), Int64GetDatum(position->invoice)};

	if (mf_sql_execute(scope, &open_batch_statement, values, NULL) == 0)
		return 0;
	namestrcpy(&position->account, mf_result_text(0, 1));
	position->invoice = mf_result_int8(0, 2);
	return mf_result_int8(0, 3);
}

void
mf_inquiries_open_sent(const MfSqlScope *scope, MfSentInvoice *sent, int count)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz due = DT_NOEND;

	if (mf_poll_rate_limit > 0)
	{
		due = TimestampTzPlusMilliseconds(now, mf_poll_delay);
		mf_inquiries.due = mf_earlier(mf_inquiries.due, due);
	}
	if (mf_inquiries_open(scope, sent, count, due))
		mf_inquiry_wake();
	if (!mf_process_is_ours)
		mf_news_at_commit(MF_NEWS_INQUIRIES);
}

void
mf_refresh_at_commit(Oid schema, Oid role, int64 invoice, bool too_often)
{
	static bool registered = false;
	MemoryContext old;
	Refresh    *refresh;

	if (!registered)
		RegisterXactCallback(at_transaction_end, NULL);
	registered = true;

	old = MemoryContextSwitchTo(TopTransactionContext);
	refresh = (Refresh *) palloc(sizeof(Refresh));
	refresh->schema = schema;
	refresh->role = role;
	refresh->invoice = invoice;
	refresh->too_often = too_often;
	pending = lappend(pending, refresh);
	MemoryContextSwitchTo(old);
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	if (pending == NIL)
		return;
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			write_pending();
			break;
		case XACT_EVENT_PRE_PREPARE:
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot PREPARE a transaction that has called mf_refresh()")));
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
			pending = NIL;
			break;
		default:
			break;
	}
}

/*
 * By ids, so that two sessions do not deadlock.  Those of a subtransaction that was
 * rolled back are written, too, and do no harm.
 */
static int
compare_invoices(const ListCell *a, const ListCell *b)
{
	int64		left = ((const Refresh *) lfirst(a))->invoice;
	int64		right = ((const Refresh *) lfirst(b))->invoice;

	return left < right ? -1 : left > right;
}

static void
write_pending(void)
{
	int64		invoices[BATCH_SIZE];
	bool		too_often[BATCH_SIZE];
	int			count = 0;
	Oid			schema = InvalidOid;
	Oid			role = InvalidOid;
	ListCell   *lc;

	list_sort(pending, compare_invoices);
	PushActiveSnapshot(GetTransactionSnapshot());
	foreach(lc, pending)
	{
		const Refresh *refresh = (const Refresh *) lfirst(lc);

		/* of two roles in one transaction, either may be the one that has ordered it */
		if (count > 0 && refresh->invoice == invoices[count - 1])
		{
			too_often[count - 1] &= refresh->too_often;
			continue;
		}
		if (count == BATCH_SIZE || (count > 0 && (refresh->schema != schema || refresh->role != role)))
		{
			hold_accounts(schema, invoices, count);
			mf_inquiries_order(schema, role, invoices, too_often, count);
			count = 0;
		}
		schema = refresh->schema;
		role = refresh->role;
		invoices[count] = refresh->invoice;
		too_often[count++] = refresh->too_often;
	}
	hold_accounts(schema, invoices, count);
	mf_inquiries_order(schema, role, invoices, too_often, count);
	/* deferred triggers of users on what was written here */
	AfterTriggerFireDeferred();
	PopActiveSnapshot();
}

/* Waits for who is renaming an account of the invoices; from then on it keeps its name until the commit. */
static void
hold_accounts(Oid schema, const int64 *invoices, int count)
{
	MfSqlScope	scope;
	Datum		value = mf_int8_array(invoices, count);
	uint64		rows;
	uint64		row;

	mf_sql_begin(&scope, schema);
	rows = mf_sql_execute(&scope, &accounts_statement, &value, NULL);
	for (row = 0; row < rows; row++)
		(void) mf_account_hold_name(mf_result_text(row, 1));
	mf_sql_end(&scope);
}
