/*
 * inquiries.c
 *	  SQL of the agenda of inquiries: claims, and what comes next.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/inquiries.c
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "base/compat.h"
#include "base/settings.h"
#include "database/sql_array.h"
#include "flow/round_items.h"
#include "store/inquiries.h"

/*
 * Finds each due time at the beginning of an index.  Only of events from MyFatoorah itself,
 * which have three sources and are few, all that have a due time are read.
 */
static MfStatement accounts_statement = {
	MF_IN_ORDER "SELECT s.srvname::text, EXISTS (SELECT FROM @mf_account a "
	"    WHERE a.account IN (s.srvname::text, '*') AND a.paused_at IS NOT NULL), "
	"  (SELECT q.due::timestamptz FROM @mf_inquiry q WHERE q.account = s.srvname::text AND q.urgent "
	"    AND q.ordered_by = 0 AND NOT q.by_callback ORDER BY q.due LIMIT 1), "
	"  (SELECT q.due::timestamptz FROM @mf_inquiry q WHERE q.account = s.srvname::text AND NOT q.urgent "
	"    ORDER BY q.due LIMIT 1), "
	"  (SELECT min(e.due)::timestamptz FROM @mf_event e WHERE e.account = s.srvname::text AND e.due IS NOT NULL "
	"    AND e.source IN ('webhook', 'log', 'plan')), "
	"  least((SELECT q.due::timestamptz FROM @mf_inquiry q WHERE q.account = s.srvname::text AND q.urgent "
	"    AND q.ordered_by = 0 AND q.by_callback ORDER BY q.due LIMIT 1), "
	"    (SELECT e.due::timestamptz FROM @mf_event e WHERE e.account = s.srvname::text AND e.due IS NOT NULL "
	"      AND e.source = 'callback' ORDER BY e.due LIMIT 1)), "
	"  (SELECT q.due::timestamptz FROM @mf_inquiry q WHERE q.account = s.srvname::text AND q.urgent "
	"    AND q.ordered_by <> 0 ORDER BY q.due LIMIT 1), s.srvowner, "
	"  (SELECT d.due::timestamptz FROM @mf_deposit_state d WHERE d.account = s.srvname::text AND d.due IS NOT NULL "
	"    ORDER BY d.due LIMIT 1) "
	"FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw "
	"WHERE w.fdwname = 'myfatoorah' AND left(s.srvname::text, 1) <> '" MF_ALL_ACCOUNTS "' "
	"ORDER BY s.srvowner, s.srvname",
	0, {0}, NULL
};

/* Columns as read_jobs() reads them, which CLAIM_EVENTS() has, too */
#define CLAIM_OF(entries) \
	"SELECT c.invoice::int8, 0::int8, c.account::text, coalesce(i.created_by_id::oid, 0), " \
	"  coalesce(i.own_key::bool, false), " \
	"  CASE WHEN i.status = 'sent' THEN i.invoice_id::text END, " \
	"  i.id IS NULL OR i.status IN ('rejected', 'cancelled'), c.urgent::bool, c.refunds::bool, " \
	"    c.times_requested::int4, " \
	"  c.unchanged_answers::int4, c.answers::int4, coalesce(i.expires_at, i.expiry_date)::timestamptz, " \
	"  coalesce(i.payment_status IN ('paid', 'partly_refunded', 'refunded', 'disputed'), false), false, " \
	"    c.failures::int4, c.by_callback::bool, " \
	"  c.ordered_by::oid, c.due::timestamptz, false " \
	"FROM (SELECT q.* FROM @mf_inquiry q WHERE " entries " FOR UPDATE SKIP LOCKED) c LEFT " \
	"  JOIN @mf_invoice i ON i.id = c.invoice"

#define CLAIM(condition) \
	CLAIM_OF("q.account = $1 AND " condition " AND q.due <= $3 AND q.invoice <> ALL ($4) ORDER BY q.due LIMIT $2")

static MfStatement claim_urgent_statement = {
	MF_IN_ORDER CLAIM("q.urgent AND q.ordered_by = 0 AND NOT q.by_callback"),
	4, {TEXTOID, INT4OID, TIMESTAMPTZOID, INT8ARRAYOID}, NULL
};

static MfStatement claim_callbacks_statement = {
	MF_IN_ORDER CLAIM("q.urgent AND q.ordered_by = 0 AND q.by_callback"),
	4, {TEXTOID, INT4OID, TIMESTAMPTZOID, INT8ARRAYOID}, NULL
};

static MfStatement claim_polls_statement = {
	MF_IN_ORDER CLAIM("NOT q.urgent"), 4, {TEXTOID, INT4OID, TIMESTAMPTZOID, INT8ARRAYOID}, NULL
};

#define ORDERED "q.account = $1 AND q.urgent AND q.ordered_by <> 0 AND q.by_callback = $5"

/* finds the roles one after the other by the index, then what is due of each */
static MfStatement claim_orders_statement = {
	MF_IN_ORDER "WITH RECURSIVE r(role) AS ("
	"  (SELECT q.ordered_by FROM @mf_inquiry q WHERE " ORDERED " ORDER BY q.ordered_by LIMIT 1) "
	"  UNION ALL SELECT (SELECT q.ordered_by FROM @mf_inquiry q WHERE " ORDERED " AND q.ordered_by > r.role "
	"    ORDER BY q.ordered_by LIMIT 1) FROM r WHERE r.role IS NOT NULL), "
	"n AS MATERIALIZED (SELECT o.invoice FROM r CROSS JOIN LATERAL ("
	"    SELECT d.invoice, row_number() OVER (ORDER BY d.due) AS turn FROM (SELECT q.invoice, q.due FROM @mf_inquiry q "
	"      WHERE " ORDERED " AND q.ordered_by = r.role AND q.due <= $3 AND q.invoice <> ALL ($4) "
	"      ORDER BY q.due LIMIT $2) d) o ORDER BY o.turn, r.role <= $6, r.role LIMIT $2) "
	CLAIM_OF("q.invoice = ANY (ARRAY(SELECT n.invoice FROM n)) AND " ORDERED " AND q.due <= $3"),
	6, {TEXTOID, INT4OID, TIMESTAMPTZOID, INT8ARRAYOID, BOOLOID, OIDOID}, NULL
};

/*
 * With the key of the role that inserted the row, or else of an open invoice of
 * the account.
 */
#define CLAIM_EVENTS(condition) \
	"SELECT 0::int8, e.id::int8, e.account::text, coalesce(m.created_by_id::oid, k.created_by_id::oid, 0), " \
	"  coalesce(m.own_key::bool, k.own_key::bool, false), " \
	"  coalesce(e.invoice_id::text, e.payment_id::text, ''), false, true, false, 0, e.lookups::int4, 0::int4, " \
	"  NULL::timestamptz, false, e.invoice_id IS NOT NULL, e.failures::int4, e.source = 'callback', " \
	"  '0'::oid, e.due::timestamptz, coalesce(e.event_code = 5, false) " \
	"FROM @mf_event e LEFT JOIN @mf_invoice m ON m.id = e.invoice LEFT JOIN LATERAL ( " \
	MF_OPEN_OF_ACCOUNT("e.account") ") k ON m.id IS NULL " \
	"WHERE e.account = $1 AND " condition " AND e.due <= $3 AND e.id <> ALL ($4) " \
	"ORDER BY e.due LIMIT $2 FOR UPDATE OF e SKIP LOCKED"

static MfStatement claim_events_statement = {
	MF_IN_ORDER CLAIM_EVENTS("e.source IN ('webhook', 'log', 'plan')"),
	4, {TEXTOID, INT4OID, TIMESTAMPTZOID, INT8ARRAYOID}, NULL
};

static MfStatement claim_callback_events_statement = {
	MF_IN_ORDER CLAIM_EVENTS("e.source = 'callback'"), 4, {TEXTOID, INT4OID, TIMESTAMPTZOID, INT8ARRAYOID}, NULL
};

/*
 * An inquiry that was asked for again since it was claimed is repeated: at once,
 * or, if only callbacks have asked then and now, at its next due time or after
 * MF_CALLBACK_FLOOR_S, whichever is earlier.
 *
 * A row that a session has locked is skipped.  The session asks again; if it is
 * rolled back, the inquiry is repeated when its lease is over.  So the worker waits
 * for no session, and cannot deadlock with one that asks about many invoices.
 */
static MfStatement reschedule_statement = {
	"WITH n AS MATERIALIZED (SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) "
	"  AS n(invoice, times_requested, done, due, urgent, refunds, unchanged_answers, answers, error, wait, "
	"    failures, by_callback)), "
	"l AS MATERIALIZED (SELECT q.invoice, q.times_requested FROM @mf_inquiry q WHERE q.invoice = ANY ($1) "
	"  FOR UPDATE SKIP LOCKED), "
	"gone AS (DELETE FROM @mf_inquiry q USING n, l WHERE q.invoice = ANY ($1) "
	"  AND q.invoice = n.invoice AND l.invoice = n.invoice AND n.done "
	"    AND l.times_requested = n.times_requested RETURNING 1), "
	"kept AS (UPDATE @mf_inquiry q SET due = CASE WHEN l.times_requested = n.times_requested THEN n.due "
	"    WHEN NOT (q.by_callback AND n.by_callback) THEN clock_timestamp() "
	"    ELSE least(CASE WHEN n.urgent THEN n.due END, "
	"      clock_timestamp() + interval '" CppAsString2(MF_CALLBACK_FLOOR_S) " s') END, "
	"  urgent = n.urgent OR l.times_requested <> n.times_requested, "
	"  by_callback = CASE WHEN l.times_requested = n.times_requested THEN n.by_callback AND n.urgent "
	"    ELSE q.by_callback AND (n.by_callback OR NOT n.urgent) END, "
	"  ordered_by = CASE WHEN n.urgent OR l.times_requested <> n.times_requested THEN q.ordered_by ELSE 0 END, "
	"  refunds = n.refunds OR (q.refunds AND l.times_requested <> n.times_requested), "
	"  unchanged_answers = CASE WHEN l.times_requested = n.times_requested OR (q.by_callback AND n.urgent) "
	"    THEN n.unchanged_answers ELSE q.unchanged_answers END, answers = n.answers, failures = n.failures, "
	"  error = CASE WHEN n.wait THEN q.error ELSE n.error END "
	"FROM n, l WHERE q.invoice = ANY ($1) AND q.invoice = n.invoice AND l.invoice = n.invoice "
	"  AND NOT (n.done AND l.times_requested = n.times_requested) RETURNING 1) "
	"SELECT (SELECT count(*) FROM l) - (SELECT count(*) FROM gone) - (SELECT count(*) FROM kept)",
	12, {INT8ARRAYOID, INT4ARRAYOID, BOOLARRAYOID, TIMESTAMPTZARRAYOID, BOOLARRAYOID, BOOLARRAYOID, INT4ARRAYOID,
		INT4ARRAYOID, TEXTARRAYOID, BOOLARRAYOID, INT4ARRAYOID, BOOLARRAYOID}, NULL
};

MfInquiryAlarm mf_inquiries;

static List *run_claim(const MfSqlScope *scope, MfStatement *statement, MfItemKind kind, const char *account, int limit,
				   TimestampTz now);
static List *read_jobs(uint64 rows);

void
mf_inquiry_wake(void)
{
	mf_inquiries.pending = true;
	mf_inquiries.waiting = false;
}

List *
mf_inquiries_accounts(const MfSqlScope *scope)
{
	uint64		rows = mf_sql_execute(scope, &accounts_statement, NULL, NULL);
	List	   *accounts = NIL;
	uint64		i;

	for (i = 0; i < rows; i++)
	{
		MfInquiryAccount *account = (MfInquiryAccount *) palloc(sizeof(MfInquiryAccount));

		account->name = mf_result_text(i, 1);
		account->paused = mf_result_bool(i, 2);
		account->urgent_due = mf_result_timestamp(i, 3);
		account->poll_due = mf_result_timestamp(i, 4);
		account->event_due = mf_result_timestamp(i, 5);
		account->callback_due = mf_result_timestamp(i, 6);
		account->order_due = mf_result_timestamp(i, 7);
		account->owner = mf_result_oid(i, 8);
		account->deposit_due = mf_result_timestamp(i, 9);
		accounts = lappend(accounts, account);
	}
	return accounts;
}

List *
mf_inquiries_claim(const MfSqlScope *scope, const char *account, MfAsker asker, int limit, TimestampTz now)
{
	MfStatement *statement = asker == MF_ASKED_BY_PROOF ? &claim_urgent_statement :
		asker == MF_ASKED_BY_CALLBACK ? &claim_callbacks_statement : &claim_polls_statement;

	return run_claim(scope, statement, MF_ITEM_INQUIRY, account, limit, now);
}

List *
mf_inquiries_claim_events(const MfSqlScope *scope, const char *account, MfAsker asker, int limit, TimestampTz now)
{
	return run_claim(scope, asker == MF_ASKED_BY_CALLBACK ? &claim_callback_events_statement : &claim_events_statement,
				 MF_ITEM_EVENT, account, limit, now);
}

/* Runs a claim of CLAIM() or CLAIM_EVENTS(), without what was put off in memory. */
static List *
run_claim(const MfSqlScope *scope, MfStatement *statement, MfItemKind kind, const char *account, int limit,
		  TimestampTz now)
{
	TimestampTz retry_at = 0;
	Datum		values[] = {
		CStringGetTextDatum(account), Int32GetDatum(limit), TimestampTzGetDatum(now),
		mf_items_left_out(kind, now, &retry_at)
	};

	return read_jobs(mf_sql_execute(scope, statement, values, NULL));
}

List *
mf_inquiries_claim_orders(const MfSqlScope *scope, const char *account, bool too_often, Oid last, int limit,
						  TimestampTz now)
{
	TimestampTz retry_at = 0;
	Datum		values[] = {
		CStringGetTextDatum(account), Int32GetDatum(limit), TimestampTzGetDatum(now),
		mf_items_left_out(MF_ITEM_INQUIRY, now, &retry_at), BoolGetDatum(too_often), ObjectIdGetDatum(last)
	};

	return read_jobs(mf_sql_execute(scope, &claim_orders_statement, values, NULL));
}

/* Reads the rows of a claim, and adds them to the items of the round. */
static List *
read_jobs(uint64 rows)
{
	List	   *jobs = NIL;
	uint64		i;

	for (i = 0; i < rows; i++)
	{
		MfInquiryJob *job = (MfInquiryJob *) palloc0(sizeof(MfInquiryJob));

		job->invoice = mf_result_int8(i, 1);
		job->event = mf_result_int8(i, 2);
		mf_items_add(job->event != 0 ? MF_ITEM_EVENT : MF_ITEM_INQUIRY, job->event != 0 ? job->event : job->invoice);
		job->account = mf_result_text(i, 3);
		job->owner.role = mf_result_oid(i, 4);
		job->owner.own = mf_result_bool(i, 5);
		job->key = mf_result_text(i, 6);
		job->gone = mf_result_bool(i, 7);
		job->urgent = mf_result_bool(i, 8);
		job->refunds = mf_result_bool(i, 9);
		job->times_requested = mf_result_int4(i, 10);
		job->unchanged_answers = mf_result_int4(i, 11);
		job->answers = mf_result_int4(i, 12);
		job->expires_at = mf_result_timestamp(i, 13);
		job->paid = mf_result_bool(i, 14);
		job->by_invoice = mf_result_bool(i, 15);
		job->failures = mf_result_int4(i, 16);
		job->by_callback = mf_result_bool(i, 17);
		job->ordered_by = mf_result_oid(i, 18);
		job->due = mf_result_timestamp(i, 19);
		job->recurring = mf_result_bool(i, 20);
		jobs = lappend(jobs, job);
	}
	return jobs;
}

void
mf_inquiries_reschedule(const MfSqlScope *scope, const MfInquiryNext *next, int count)
{
	MfArray    *columns = mf_columns_start(&reschedule_statement, count);
	int			i;

	for (i = 0; i < count; i++)
	{
		mf_array_add(&columns[0], Int64GetDatum(next[i].invoice));
		mf_array_add(&columns[1], Int32GetDatum(next[i].times_requested));
		mf_array_add(&columns[2], BoolGetDatum(next[i].done));
		mf_array_add(&columns[3], TimestampTzGetDatum(next[i].due));
		mf_array_add(&columns[4], BoolGetDatum(next[i].urgent));
		mf_array_add(&columns[5], BoolGetDatum(next[i].refunds));
		mf_array_add(&columns[6], Int32GetDatum(Min(next[i].unchanged_answers, PG_INT16_MAX)));
		mf_array_add(&columns[7], Int32GetDatum(Min(next[i].answers, PG_INT16_MAX)));
		mf_array_add_text(&columns[8], next[i].error);
		mf_array_add(&columns[9], BoolGetDatum(next[i].wait));
		mf_array_add(&columns[10], Int32GetDatum(Min(next[i].failures, PG_INT16_MAX)));
		mf_array_add(&columns[11], BoolGetDatum(next[i].by_callback));
	}
	mf_columns_change(scope, &reschedule_statement, columns);
}
