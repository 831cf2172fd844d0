/*
 * queue_admin.c
 *	  SQL of the triggers, of people, and of a worker's start.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/queue_admin.c
 */
#include "postgres.h"

#include "access/subtrans.h"
#include "access/transam.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "account/account.h"
#include "account/send_time.h"
#include "base/compat.h"
#include "base/settings.h"
#include "database/sql_array.h"
#include "flow/throttle.h"
#include "process/wait.h"
#include "process/worker_slots.h"
#include "store/payment.h"
#include "store/queue_internal.h"

/* the same as mf_queue_insert_rows() */
static MfStatement insert_statement = {
	"WITH n AS MATERIALIZED (SELECT n.id, n.account, "
	"  CASE n.status WHEN 'queued' THEN CASE WHEN n.created_at = transaction_timestamp() THEN 'send' ELSE 'verify' END WHEN 'sending' THEN 'sending' "
	"  WHEN 'unknown' THEN 'reconcile' ELSE 'review' END, "
	"  d.due, " MF_RANK(MF_NOT_BEFORE("d.due", "n.created_at"), "n.priority") ", "
	"  " MF_PROMOTE(MF_NOT_BEFORE("d.due", "n.created_at"), "n.priority") ", n.priority "
	"FROM new_rows n, LATERAL (SELECT CASE WHEN n.status = 'queued' AND n.created_at <> transaction_timestamp() "
	"    THEN " MF_VERIFY_DUE("n.send_at", "$1") " WHEN n.status IN ('queued', 'sending', 'unknown') "
	"    THEN n.send_at ELSE 'infinity' END AS due) d "
	"WHERE n.status IN ('queued', 'sending', 'unknown', 'review') OR n.duplicate_suspected), "
	"q AS (INSERT INTO @mf_queue (invoice, account, kind, due, rank, promote, priority) SELECT * FROM n RETURNING 1) "
	"SELECT (SELECT count(*) FROM n) - (SELECT count(*) FROM q), (SELECT count(*) FROM n)",
	1, {INT4OID}, NULL
};

/* what the server that they come from may send, or ask about */
static MfStatement in_use_statement = {
	"SELECT FROM new_rows n WHERE n.status IN ('queued', 'sending', 'unknown') OR n.invoice_id IS NOT NULL LIMIT 1",
	0, {0}, NULL
};

static MfStatement reschedule_statement = {
	"UPDATE @mf_queue q SET account = $2, due = d.due, " MF_SET_RANK(MF_NOT_BEFORE("d.due", "$6"), "$4") ", priority = $4, "
	/* what waits after failures does so still; what waits for a time of the day may not any more */
	"  step = CASE WHEN q.kind = 'send' AND d.due <> $3 THEN " CppAsString2(MF_TIMED_STEP) " ELSE greatest(q.step, 0) END "
	"FROM (VALUES ('send', $7), ('verify', " MF_VERIFY_DUE("$3", "$5") ")) d(kind, due) "
	"WHERE q.invoice = $1 AND q.kind = d.kind",
	7, {INT8OID, TEXTOID, TIMESTAMPTZOID, INT2OID, INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID}, NULL
};

static MfStatement may_have_made_statement = {
	"SELECT FROM @mf_attempt a WHERE a.invoice = $1 AND " MF_MAY_HAVE_MADE("a") " LIMIT 1", 1, {INT8OID}, NULL
};

static MfStatement size_statement = {
	"SELECT count(*) FROM @mf_queue", 0, {0}, NULL
};

/* of an entry that another database has made, what is to be sent may have been sent there */
static MfStatement lock_entries_statement = {
	"SELECT invoice::int8, CASE WHEN kind = 'send' AND origin <> @mf_origin() THEN 'verify' ELSE kind END::text "
	"FROM @mf_queue WHERE invoice = ANY ($1) ORDER BY invoice FOR UPDATE", 1, {INT8ARRAYOID}, NULL
};

static MfStatement lock_invoices_statement = {
	"SELECT " MF_INVOICE_COLUMNS " FROM @mf_invoice WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE",
	1, {INT8ARRAYOID}, NULL
};

static MfStatement sees_statement = {
	"SELECT FROM @mf_invoice WHERE id = $1", 1, {INT8OID}, NULL
};

static MfStatement visible_statement = {
	"SELECT id::int8, status = 'sent' FROM @mf_invoice WHERE id = ANY ($1)", 1, {INT8ARRAYOID}, NULL
};

/* asks for the right to update, and for the policies of updates, too */
static MfStatement lock_as_caller_statement = {
	"SELECT id::int8 FROM @mf_invoice WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE", 1, {INT8ARRAYOID}, NULL
};

static MfStatement note_edit_statement = {
	"INSERT INTO @mf_transition (invoice, at, actor, from_status, to_status, attempt, reason, changes) "
	"VALUES ($1, clock_timestamp(), $2, $3, $3, $4, 'edited', $5::jsonb)",
	5, {INT8OID, TEXTOID, TEXTOID, INT4OID, TEXTOID}, NULL
};

static MfStatement put_back_statement = {
	"WITH n AS MATERIALIZED (SELECT i.id, i.account, i.created_at, i.priority, p.due, p.kind "
	"  FROM unnest($1, $2, $3) AS p(invoice, due, kind) JOIN @mf_invoice i ON i.id = p.invoice AND i.id = ANY ($1) "
	"  WHERE NOT EXISTS (SELECT FROM @mf_queue q WHERE q.invoice = i.id)), "
	"put AS (INSERT INTO @mf_queue (invoice, account, kind, due, rank, promote, priority) "
	"SELECT n.id, n.account, n.kind, n.due, " MF_RANK(MF_NOT_BEFORE("n.due", "n.created_at"), "n.priority") ", "
	"  " MF_PROMOTE(MF_NOT_BEFORE("n.due", "n.created_at"), "n.priority") ", n.priority FROM n ORDER BY n.id "
	"ON CONFLICT (invoice) DO NOTHING RETURNING 1) "
	"SELECT (SELECT count(*) FROM n) - (SELECT count(*) FROM put)",
	3, {INT8ARRAYOID, TIMESTAMPTZARRAYOID, TEXTARRAYOID}, NULL
};

/* what mf_queue_references() tells of one row, as far as names go */
static MfStatement names_statement = {
	"SELECT a.invoice::int8, a.reference::text FROM @mf_attempt a WHERE a.invoice = ANY ($1) "
	"GROUP BY a.invoice, a.reference ORDER BY a.invoice, max(a.attempt) DESC",
	1, {INT8ARRAYOID}, NULL
};

/* rows made before it another server may have sent, too; as mf_claim_twins_before() */
static MfStatement twins_before_statement = {
	"SELECT coalesce(max(since), '-infinity')::timestamptz FROM @mf_identity", 0, {0}, NULL
};

static MfStatement pause_statement = {
	"INSERT INTO @mf_account AS a (account, paused_at, paused_by, reason) VALUES ($1, clock_timestamp(), $2, $3) "
	"ON CONFLICT (account) DO UPDATE SET paused_at = EXCLUDED.paused_at, paused_by = EXCLUDED.paused_by, "
	"  reason = EXCLUDED.reason WHERE a.paused_at IS NULL",
	3, {TEXTOID, TEXTOID, TEXTOID}, NULL
};

static MfStatement is_paused_statement = {
	"SELECT FROM @mf_account WHERE account = $1 AND paused_at IS NOT NULL", 1, {TEXTOID}, NULL
};

static MfStatement pause_reason_statement = {
	"SELECT account = '*', format('by %s since %s: %s', paused_by, date_trunc('second', paused_at), "
	"  coalesce(reason, 'no reason given')) "
	"FROM @mf_account WHERE account IN ($1, '*') AND paused_at IS NOT NULL ORDER BY account LIMIT 1",
	1, {TEXTOID}, NULL
};

static MfStatement any_due_statement = {
	"SELECT FROM @mf_queue WHERE account = $1 AND rank <= now() + interval '" CppAsString2(MF_BACKOFF_CAP_MS) " ms' LIMIT 1",
	1, {TEXTOID}, NULL
};

/*
 * Who has locked or changed rows that are due, by the transaction; some of each
 * agenda will do.  An entry whose invoice is locked is put off for a moment again
 * and again, and a young row is commonly just being inserted or changed.
 */
static MfStatement lockers_statement = {
	"SELECT i.xmax, count(*)::int8, min(i.id)::int8 FROM ("
	"  (SELECT q.invoice FROM @mf_queue q WHERE q.account = $1 AND q.rank <= now() + interval '10 s' ORDER BY q.rank LIMIT 1000) "
	"  UNION (SELECT q.invoice FROM @mf_inquiry q WHERE q.account = $1 AND q.urgent AND q.due <= now() + interval '10 s' "
	"    ORDER BY q.due LIMIT 1000)) d JOIN @mf_invoice i ON i.id = d.invoice "
	"WHERE i.xmax <> '0'::xid AND greatest(i.send_at, i.created_at) < now() - interval '1 min' GROUP BY i.xmax ORDER BY 2 DESC",
	1, {TEXTOID}, NULL
};

static MfStatement put_off_errors_statement = {
	"SELECT count(*)::int8, min(p.invoice)::int8, p.error::text FROM ("
	"  SELECT q.invoice, coalesce(q.error, i.last_error, '') AS error FROM @mf_queue q JOIN @mf_invoice i ON i.id = q.invoice "
	"  WHERE q.account = $1 AND (q.error IS NOT NULL OR (q.kind = 'send' AND q.step > 0)) "
	"  UNION ALL SELECT q.invoice, q.error FROM @mf_inquiry q WHERE q.account = $1 AND q.error IS NOT NULL) p "
	"GROUP BY p.error ORDER BY 2 LIMIT $2",
	2, {TEXTOID, INT4OID}, NULL
};

/* whose key or address MyFatoorah has turned down; what a person has paused is not news */
static MfStatement refused_accounts_statement = {
	"SELECT count(*)::int8, min(account)::text FROM @mf_account "
	"WHERE paused_at IS NOT NULL AND paused_by IN ('sender', 'status reader') AND account <> $1",
	1, {TEXTOID}, NULL
};

/* for a person, they are never due */
static MfStatement reviews_statement = {
	"SELECT (SELECT count(*) FROM @mf_queue WHERE account = $1 AND rank = 'infinity' AND kind = 'review') "
	"  + (SELECT count(*) FROM @mf_invoice WHERE account = $1 AND payment_doubt IS NOT NULL)",
	1, {TEXTOID}, NULL
};

static MfStatement resume_statement = {
	"WITH p AS MATERIALIZED (SELECT account, paused_by FROM @mf_account WHERE account = $1 AND paused_at IS NOT NULL FOR UPDATE), "
	"u AS (UPDATE @mf_account a SET paused_at = NULL, paused_by = NULL, reason = NULL FROM p WHERE a.account = p.account RETURNING 1) "
	"SELECT p.account = '*' AND p.paused_by IN ('" MF_PAUSED_BY_GUARD "', '" MF_PAUSED_BY_RESTORE "') FROM p, u",
	1, {TEXTOID}, NULL
};

/* requests that the original sent just before it was stopped may still be under way */
static MfStatement resume_verify_statement = {
	"UPDATE @mf_queue q SET due = d.due, " MF_SET_RANK("d.due", "q.priority") " "
	"FROM (SELECT " MF_VERIFY_DUE("'-infinity'::timestamptz", "$1") " AS due) d WHERE q.kind = 'verify' AND q.due < d.due",
	1, {INT4OID}, NULL
};

/* what is locked is being looked at anyway */
#define TRY_NOW(account) \
	"UPDATE @mf_queue q SET due = now(), " MF_SET_RANK("now()", "q.priority") ", " \
	"  step = CASE WHEN q.kind = 'send' OR (q.kind = 'verify' AND $1 IS NULL) THEN 0 ELSE q.step END " \
	"FROM (SELECT o.invoice FROM @mf_queue o WHERE (((o.kind = 'send' OR ($1 IS NULL AND o.kind = 'verify')) AND o.step <> 0) " \
	"    OR (o.kind IN ('reconcile', 'watch', 'verify') AND o.error IS NOT NULL)) AND " account \
	"  AND ($1 IS NULL OR EXISTS (SELECT FROM @mf_invoice i WHERE i.id = o.invoice AND i.created_by_id = $1)) " \
	"  FOR UPDATE SKIP LOCKED) l WHERE q.invoice = l.invoice"

static MfStatement try_now_statement = {TRY_NOW("o.account = $2"), 2, {OIDOID, TEXTOID}, NULL};
static MfStatement try_all_now_statement = {TRY_NOW("true"), 1, {OIDOID}, NULL};

/* questions that wait for a key, or could not be written */
#define ASK_NOW(account) \
	"UPDATE @mf_inquiry q SET due = now() FROM (SELECT o.invoice FROM @mf_inquiry o WHERE o.error IS NOT NULL " \
	"  AND " account \
	"  AND ($1 IS NULL OR EXISTS (SELECT FROM @mf_invoice i WHERE i.id = o.invoice AND i.created_by_id = $1)) " \
	"  FOR UPDATE SKIP LOCKED) l WHERE q.invoice = l.invoice"

static MfStatement ask_now_statement = {ASK_NOW("o.account = $2"), 2, {OIDOID, TEXTOID}, NULL};
static MfStatement ask_all_now_statement = {ASK_NOW("true"), 1, {OIDOID}, NULL};

static MfStatement dismiss_statement = {
	"WITH done AS (DELETE FROM @mf_queue WHERE invoice = $1 RETURNING 1), "
	"told AS (INSERT INTO @mf_transition (invoice, at, actor, from_status, to_status, attempt, reason) "
	"  SELECT i.id, clock_timestamp(), $2, i.status, i.status, i.attempts, $3 FROM @mf_invoice i WHERE i.id = $1 RETURNING 1), "
	"changed AS (UPDATE @mf_invoice SET duplicate_suspected = false, duplicate_error = NULL WHERE id = $1 RETURNING 1) "
	"SELECT (SELECT count(*) FROM @mf_queue WHERE invoice = $1) - (SELECT count(*) FROM done) "
	"  + 2 * (SELECT count(*) FROM @mf_invoice WHERE id = $1) - (SELECT count(*) FROM told) - (SELECT count(*) FROM changed)",
	3, {INT8OID, TEXTOID, TEXTOID}, NULL
};

#define MAY_ADOPT "id = $1 AND payment_status IN ('unpaid', 'expired', 'remote_cancelled')"

/* what is known of the payment is of the other invoice; money that came in is not forgotten */
static MfStatement adopt_twin_statement = {
	"WITH k AS (SELECT coalesce($5, (SELECT a.invoice_url FROM @mf_attempt a WHERE a.invoice = $1 AND a.invoice_id = $4::int8 "
	"    AND a.invoice_url IS NOT NULL ORDER BY a.attempt DESC LIMIT 1)) AS url), "
	"i AS (UPDATE @mf_invoice SET duplicate_suspected = false, duplicate_error = NULL, payment_error = NULL, "
	"      invoice_id = $4::int8, invoice_url = k.url, "
	"      last_error = CASE WHEN notification_option = 'LNK' AND k.url IS NULL THEN $6 END FROM k "
	"    WHERE " MAY_ADOPT " RETURNING id, status, attempts), "
	"done AS (DELETE FROM @mf_queue q USING i WHERE q.invoice = i.id RETURNING 1), "
	"told AS (INSERT INTO @mf_transition (invoice, at, actor, from_status, to_status, attempt, reason) "
	"  SELECT i.id, clock_timestamp(), $2, i.status, i.status, i.attempts, $3 FROM i RETURNING 1) "
	"SELECT (SELECT count(*) FROM @mf_invoice WHERE " MAY_ADOPT ") - (SELECT count(*) FROM told) "
	"  + (SELECT count(*) FROM @mf_queue q JOIN i ON i.id = q.invoice) - (SELECT count(*) FROM done), (SELECT count(*) FROM i)",
	6, {INT8OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID}, NULL
};

/*
 * Whether a queued one exists is of interest now, and not when it was to be sent;
 * another server may be sending it right now.
 */
static MfStatement request_cancel_statement = {
	"WITH n AS MATERIALIZED (SELECT i.id, i.account, i.status, i.attempts, i.priority, "
	"    clock_timestamp() + $4 * interval '1 ms' AS due FROM @mf_invoice i WHERE i.id = ANY ($1)), "
	"changed AS (UPDATE @mf_invoice i SET cancel_requested = true WHERE i.id = ANY ($1) RETURNING 1), "
	"told AS (INSERT INTO @mf_transition (invoice, at, actor, from_status, to_status, attempt, reason) "
	"  SELECT n.id, clock_timestamp(), $2, n.status, n.status, n.attempts, $3 FROM n ORDER BY n.id RETURNING 1), "
	"soon AS (INSERT INTO @mf_queue AS q (invoice, account, kind, due, rank, priority) "
	"  SELECT n.id, n.account, 'verify', n.due, n.due, n.priority FROM n WHERE n.status = 'queued' ORDER BY n.id "
	"  ON CONFLICT (invoice) DO UPDATE SET kind = 'verify', step = CASE q.kind WHEN 'verify' THEN q.step ELSE 0 END, "
	"    due = least(q.due, EXCLUDED.due), rank = least(q.rank, EXCLUDED.rank) RETURNING 1) "
	"SELECT (SELECT count(*) FROM n) * 2 + (SELECT count(*) FROM n WHERE n.status = 'queued') "
	"  - (SELECT count(*) FROM changed) - (SELECT count(*) FROM told) - (SELECT count(*) FROM soon)",
	4, {INT8ARRAYOID, TEXTOID, TEXTOID, INT4OID}, NULL
};

static MfStatement identity_statement = {
	"SELECT system_identifier = $1 AND database = $2, data_directory::text, timeline::int4, since::timestamptz, marker::text, backup_label::text, origin::int8 FROM @mf_identity ORDER BY 1 DESC LIMIT 1",
	2, {TEXTOID, OIDOID}, NULL
};

static MfStatement set_identity_statement = {
	"INSERT INTO @mf_identity AS i (system_identifier, database, data_directory, timeline, since, marker, backup_label) "
	"VALUES ($1, $2, $3, $4, $5, $6, $7) "
	"ON CONFLICT (system_identifier, database) DO UPDATE SET data_directory = EXCLUDED.data_directory, "
	"  timeline = EXCLUDED.timeline, since = EXCLUDED.since, marker = EXCLUDED.marker, "
	"  backup_label = EXCLUDED.backup_label, origin = EXCLUDED.origin",
	7, {TEXTOID, OIDOID, TEXTOID, INT4OID, TIMESTAMPTZOID, TEXTOID, TEXTOID}, NULL
};

static MfStatement foreign_statement = {
	"SELECT count(*) FROM @mf_queue WHERE origin <> @mf_origin()", 0, {0}, NULL
};

static MfStatement adopt_statement = {
	"UPDATE @mf_queue q SET origin = @mf_origin(), kind = n.kind, due = n.due, " MF_SET_RANK("n.due", "q.priority")
	" FROM (SELECT o.invoice, CASE o.kind WHEN 'send' THEN 'verify' ELSE o.kind END AS kind, "
	"    CASE WHEN o.kind IN ('send', 'verify') THEN " MF_VERIFY_DUE("o.due", "$1") " ELSE o.due END AS due "
	"  FROM @mf_queue o WHERE o.origin <> @mf_origin()) n WHERE n.invoice = q.invoice",
	1, {INT4OID}, NULL
};

static MfStatement inherit_statement = {
	"UPDATE @mf_queue SET origin = @mf_origin() WHERE origin = $1",
	1, {INT8OID}, NULL
};

static MfStatement verify_all_statement = {
	"UPDATE @mf_queue SET kind = 'verify', due = " MF_VERIFY_DUE("due", "$1") ", "
	"  " MF_SET_RANK(MF_VERIFY_DUE("due", "$1"), "priority") " WHERE kind = 'send'",
	1, {INT4OID}, NULL
};

static Datum named_array(const MfNamed *named, int count, bool seen_only);
static MfNamed *find_named(MfNamed *named, int count, int64 invoice);
static int	look_as_caller(Oid schema, MfStatement *statement, MfNamed *named, int count);

int
mf_verify_wait(void)
{
	return MF_TIMEOUT_DEFAULT + mf_reconcile_delay;
}

uint64
mf_queue_insert(Oid schema, TriggerData *trigger, bool *in_use)
{
	MfSqlScope	scope;
	uint64		rows;
	bool		plain;

	mf_sql_begin(&scope, schema);
	plain = mf_queue_insert_rows(schema, trigger->tg_relation, trigger->tg_newtable, &rows);
	if ((!plain || in_use != NULL) && SPI_register_trigger_data(trigger) != SPI_OK_TD_REGISTER)
		elog(ERROR, "could not register the new rows");
	if (!plain)
	{
		Datum		wait = Int32GetDatum(mf_verify_wait());

		rows = (uint64) mf_change(&scope, &insert_statement, &wait, NULL);
		mf_wake_worker_at_commit();
	}
	if (in_use != NULL)
	{
		*in_use = mf_sql_execute(&scope, &in_use_statement, NULL, NULL) > 0;
		mf_inquiries_open_restored(&scope, GetCurrentTimestamp());
	}
	mf_sql_end(&scope);
	return rows;
}

void
mf_queue_reschedule(Oid schema, int64 invoice, const char *account, TimestampTz send_at, TimestampTz due, int priority,
					TimestampTz created_at)
{
	MfSqlScope	scope;
	Datum		values[7];

	values[0] = Int64GetDatum(invoice);
	values[1] = CStringGetTextDatum(account);
	values[2] = TimestampTzGetDatum(send_at);
	values[3] = Int16GetDatum((int16) priority);
	values[4] = Int32GetDatum(mf_verify_wait());
	values[5] = TimestampTzGetDatum(created_at);
	values[6] = TimestampTzGetDatum(due);

	mf_sql_begin(&scope, schema);
	(void) mf_sql_execute(&scope, &reschedule_statement, values, NULL);
	mf_sql_end(&scope);
}

int64
mf_queue_count_timed(Oid schema, const char *account, TimestampTz *first)
{
	static MfStatement statement = {
		"SELECT count(*)::int8, min(due)::timestamptz FROM @mf_queue "
		"WHERE account = $1 AND kind = 'send' AND step = " CppAsString2(MF_TIMED_STEP),
		1, {TEXTOID}, NULL
	};
	MfSqlScope	scope;
	Datum		value = CStringGetTextDatum(account);
	int64		count;

	mf_sql_begin(&scope, schema);
	(void) mf_sql_execute(&scope, &statement, &value, NULL);
	count = DatumGetInt64(mf_result(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, NULL));
	if (count > 0)
		*first = DatumGetTimestampTz(mf_result(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, NULL));
	mf_sql_end(&scope);
	return count;
}

int64
mf_queue_size(Oid schema)
{
	MfSqlScope	scope;
	int64		size;

	mf_sql_begin(&scope, schema);
	(void) mf_sql_execute(&scope, &size_statement, NULL, NULL);
	size = DatumGetInt64(mf_result(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, NULL));
	mf_sql_end(&scope);
	return size;
}

int64
mf_queue_find_by_reference(Oid schema, const char *reference, Oid *creator)
{
	static MfStatement statement = {
		"SELECT id::int8, created_by_id::oid FROM @mf_invoice WHERE reference = $1", 1, {TEXTOID}, NULL
	};
	MfSqlScope	scope;
	Datum		value;
	int64		invoice = 0;
	bool		isnull;
	int			stem;

	(void) mf_reference_number(reference, &stem);
	value = PointerGetDatum(cstring_to_text_with_len(reference, stem));
	mf_sql_begin(&scope, schema);
	scope.latest = true;
	if (mf_sql_execute(&scope, &statement, &value, NULL) > 0)
	{
		invoice = DatumGetInt64(mf_result(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, NULL));
		*creator = DatumGetObjectId(mf_result(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));
		if (isnull)
			*creator = InvalidOid;
	}
	mf_sql_end(&scope);
	return invoice;
}

MfExistence
mf_queue_existence(Oid schema, int64 invoice)
{
#define DEAD "i.status = 'sent' AND i.payment_status IN ('expired', 'remote_cancelled')"
	static MfStatement statement = {
		"SELECT false, " DEAD " FROM @mf_invoice i WHERE i.id = $1 "
		"UNION ALL SELECT true, false FROM @mf_invoice_archive i WHERE i.id = $1 AND i.status = 'sent' AND NOT (" DEAD ")",
		1, {INT8OID}, NULL
	};
	MfSqlScope	scope;
	Datum		value = Int64GetDatum(invoice);
	MfExistence existence = MF_ROW_GONE;

	mf_sql_begin(&scope, schema);
	scope.latest = true;
	if (mf_sql_execute(&scope, &statement, &value, NULL) > 0)
		existence = DatumGetBool(mf_result(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, NULL)) ? MF_ROW_ARCHIVED :
			DatumGetBool(mf_result(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, NULL)) ? MF_LINK_DEAD : MF_ROW_THERE;
	mf_sql_end(&scope);
	return existence;
}

bool
mf_queue_is_visible(Oid schema, int64 invoice)
{
	MfSqlScope	scope;
	Datum		value = Int64GetDatum(invoice);
	bool		found;

	mf_sql_begin_as_caller(&scope, schema);
	scope.in_query = true;
	found = mf_sql_execute(&scope, &sees_statement, &value, NULL) > 0;
	mf_sql_end(&scope);
	return found;
}

void
mf_queue_find_named(Oid schema, MfNamed *named, int count)
{
	(void) look_as_caller(schema, &visible_statement, named, count);
}

/* Notes as seen what a statement finds with the rights of the current role; how many these are. */
static int
look_as_caller(Oid schema, MfStatement *statement, MfNamed *named, int count)
{
	MfSqlScope	scope;
	Datum		value = named_array(named, count, false);
	uint64		rows;
	uint64		i;

	mf_sql_begin_as_caller(&scope, schema);
	rows = mf_sql_execute(&scope, statement, &value, NULL);
	for (i = 0; i < rows; i++)
	{
		HeapTuple	row = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		MfNamed    *found = find_named(named, count, DatumGetInt64(mf_result(row, desc, 1, NULL)));

		found->seen = true;
		found->sent = desc->natts > 1 && DatumGetBool(mf_result(row, desc, 2, NULL));
	}
	mf_sql_end(&scope);
	return (int) rows;
}

static Datum
named_array(const MfNamed *named, int count, bool seen_only)
{
	MfArray		invoices;
	int			i;

	mf_array_init(&invoices, count);
	for (i = 0; i < count; i++)
	{
		if (named[i].seen || !seen_only)
			mf_array_add(&invoices, Int64GetDatum(named[i].invoice));
	}
	return mf_array_datum(&invoices, INT8OID);
}

int
mf_compare_named(const void *a, const void *b)
{
	int64		left = ((const MfNamed *) a)->invoice;
	int64		right = ((const MfNamed *) b)->invoice;

	return left < right ? -1 : left > right;
}

/* The one that has this number, which is among them. */
static MfNamed *
find_named(MfNamed *named, int count, int64 invoice)
{
	MfNamed		key = {invoice, false, NULL, false};
	MfNamed    *found = (MfNamed *) bsearch(&key, named, count, sizeof(MfNamed), mf_compare_named);

	if (found == NULL)
		elog(ERROR, "found invoice " INT64_FORMAT ", which was not asked for", invoice);
	return found;
}

void
mf_queue_note_edit(Oid schema, int64 invoice, const char *status, int attempt, const char *changes)
{
	MfSqlScope	scope;
	Datum		values[5];

	values[0] = Int64GetDatum(invoice);
	values[1] = CStringGetTextDatum(GetUserNameFromId(GetUserId(), false));
	values[2] = CStringGetTextDatum(status);
	values[3] = Int32GetDatum(attempt);
	values[4] = CStringGetTextDatum(changes);
	mf_sql_begin(&scope, schema);
	if (mf_sql_execute(&scope, &note_edit_statement, values, NULL) == 0)
		mf_change_suppressed();
	mf_sql_end(&scope);
}

bool
mf_queue_may_exist(Oid schema, int64 invoice)
{
	MfSqlScope	scope;
	Datum		value = Int64GetDatum(invoice);
	Datum		array = mf_int8_array(&invoice, 1);
	bool		may_exist = false;

	mf_sql_begin(&scope, schema);
	if (mf_sql_execute(&scope, &lock_entries_statement, &array, NULL) > 0)
	{
		Datum		kind = mf_result(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, NULL);

		may_exist = mf_job_kind(TextDatumGetCString(kind)) == MF_JOB_VERIFY;
	}
	if (!may_exist)
		may_exist = mf_sql_execute(&scope, &may_have_made_statement, &value, NULL) > 0;
	mf_sql_end(&scope);
	return may_exist;
}

void
mf_queue_lock_named(Oid schema, MfNamed *named, int count)
{
	MemoryContext context = CurrentMemoryContext;
	int			locked = look_as_caller(schema, &lock_as_caller_statement, named, count);
	MfSqlScope	scope;
	Datum		value;
	uint64		rows;
	uint64		i;

	/* in the order of an UPDATE and its trigger, so that nobody waits in a circle */
	if (locked > 0)
	{
		value = named_array(named, count, true);
		mf_sql_begin(&scope, schema);
		rows = mf_sql_execute(&scope, &lock_invoices_statement, &value, NULL);
		for (i = 0; i < rows; i++)
		{
			MemoryContext spi_context = MemoryContextSwitchTo(context);
			MfJob	   *job = mf_queue_read_invoice(SPI_tuptable->vals[i], SPI_tuptable->tupdesc);

			job->kind = MF_JOB_NONE;
			memset(&job->request, 0, sizeof(job->request));
			MemoryContextSwitchTo(spi_context);
			find_named(named, count, job->invoice)->job = job;
		}
		rows = mf_sql_execute(&scope, &lock_entries_statement, &value, NULL);
		for (i = 0; i < rows; i++)
		{
			HeapTuple	row = SPI_tuptable->vals[i];
			TupleDesc	desc = SPI_tuptable->tupdesc;
			MfNamed    *entry = find_named(named, count, DatumGetInt64(mf_result(row, desc, 1, NULL)));

			if (entry->job != NULL)
				entry->job->kind = mf_job_kind(TextDatumGetCString(mf_result(row, desc, 2, NULL)));
		}
		mf_sql_end(&scope);
	}
	if (locked < count)
		mf_queue_find_named(schema, named, count);
}

void
mf_queue_resend(Oid schema, MfJob *const *jobs, MfTransition *transitions, int count)
{
	MfSqlScope	scope;
	MemoryContext context = CurrentMemoryContext;
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz later = TimestampTzPlusMilliseconds(now, mf_verify_wait());
	TimestampTz twins_before;
	MfArray		invoices;
	Datum		value;
	uint64		rows;
	uint64		row = 0;
	int			i;

	mf_array_init(&invoices, count);
	for (i = 0; i < count; i++)
		mf_array_add(&invoices, Int64GetDatum(jobs[i]->invoice));
	value = mf_array_datum(&invoices, INT8OID);
	mf_sql_begin(&scope, schema);
	(void) mf_sql_execute(&scope, &twins_before_statement, NULL, NULL);
	twins_before = DatumGetTimestampTz(mf_result(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, NULL));
	rows = mf_sql_execute(&scope, &names_statement, &value, NULL);
	for (i = 0; i < count; i++)
	{
		const MfJob *job = jobs[i];
		List	   *references = NIL;

		for (; row < rows && DatumGetInt64(mf_result(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 1, NULL)) == job->invoice; row++)
		{
			MfReference *entry = (MfReference *) palloc0(sizeof(MfReference));

			entry->reference = TextDatumGetCString(mf_result(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 2, NULL));
			references = lappend(references, entry);
		}
		transitions[i].reference = MemoryContextStrdup(context, mf_queue_fresh_reference(references, job->reference));
		transitions[i].to = MF_STATUS_QUEUED;
		transitions[i].next = MF_JOB_VERIFY;
		transitions[i].due = job->created_at < twins_before ? later : now;
	}
	mf_sql_end(&scope);
}

void
mf_queue_apply_by_person(Oid schema, const MfTransition *transitions, int count)
{
	MfSqlScope	scope;
	MfArray    *columns = mf_columns_start(&put_back_statement, count);
	int			i;

	mf_sql_begin(&scope, schema);
	mf_queue_apply(&scope, transitions, count);
	for (i = 0; i < count; i++)
	{
		if (transitions[i].next == MF_JOB_NONE)
			continue;
		mf_array_add(&columns[0], Int64GetDatum(transitions[i].invoice));
		mf_array_add(&columns[1], TimestampTzGetDatum(transitions[i].due));
		mf_array_add_text(&columns[2], mf_job_name(transitions[i].next));
	}
	if (columns[0].count > 0)
		mf_columns_change(&scope, &put_back_statement, columns);
	mf_sql_end(&scope);
}

void
mf_queue_dismiss_duplicate(Oid schema, const MfJob *job, const char *actor, const char *reason)
{
	MfSqlScope	scope;
	Datum		values[3];

	values[0] = Int64GetDatum(job->invoice);
	values[1] = CStringGetTextDatum(actor);
	values[2] = CStringGetTextDatum(reason);
	mf_sql_begin(&scope, schema);
	(void) mf_change(&scope, &dismiss_statement, values, NULL);
	mf_sql_end(&scope);
}

bool
mf_queue_adopt_twin(Oid schema, const MfTransition *adoption)
{
	MfSqlScope	scope;
	Datum		values[6];
	char		nulls[6] = {' ', ' ', ' ', ' ', ' ', ' '};
	bool		adopted;

	values[0] = Int64GetDatum(adoption->invoice);
	values[1] = CStringGetTextDatum(adoption->actor);
	values[2] = CStringGetTextDatum(adoption->reason);
	values[3] = CStringGetTextDatum(adoption->invoice_id);
	values[4] = adoption->invoice_url ? CStringGetTextDatum(adoption->invoice_url) : (Datum) 0;
	nulls[4] = adoption->invoice_url ? ' ' : 'n';
	values[5] = CStringGetTextDatum(adoption->linkless);
	mf_sql_begin(&scope, schema);
	adopted = mf_change(&scope, &adopt_twin_statement, values, nulls) > 0;
	mf_sql_end(&scope);
	return adopted;
}

void
mf_queue_request_cancel(Oid schema, MfJob *const *jobs, int count, const char *actor, const char *reason)
{
	MfSqlScope	scope;
	MfArray		invoices;
	Datum		values[4];
	int			i;

	mf_array_init(&invoices, count);
	for (i = 0; i < count; i++)
	{
		mf_array_add(&invoices, Int64GetDatum(jobs[i]->invoice));
		mf_wake_account_at_commit(jobs[i]->account);
	}
	values[0] = mf_array_datum(&invoices, INT8OID);
	values[1] = CStringGetTextDatum(actor);
	values[2] = CStringGetTextDatum(reason);
	values[3] = Int32GetDatum(mf_verify_wait());
	mf_sql_begin(&scope, schema);
	(void) mf_change(&scope, &request_cancel_statement, values, NULL);
	mf_sql_end(&scope);
}

void
mf_queue_pause(Oid schema, const char *account, const char *by, const char *reason)
{
	MfSqlScope	scope;
	Datum		values[3];
	char		nulls[3] = {' ', ' ', ' '};

	values[0] = CStringGetTextDatum(account);
	values[1] = CStringGetTextDatum(by);
	values[2] = reason ? CStringGetTextDatum(reason) : (Datum) 0;
	nulls[2] = reason ? ' ' : 'n';

	mf_sql_begin(&scope, schema);
	if (mf_sql_execute(&scope, &pause_statement, values, nulls) == 0 &&
		mf_sql_execute(&scope, &is_paused_statement, values, NULL) == 0)
		mf_change_suppressed();
	mf_sql_end(&scope);
	mf_pause_at_commit();
}

char *
mf_queue_pause_reason(Oid schema, const char *account, bool *all_accounts)
{
	MfSqlScope	scope;
	Datum		value = CStringGetTextDatum(account);
	MemoryContext context = CurrentMemoryContext;
	char	   *reason = NULL;

	mf_sql_begin(&scope, schema);
	if (mf_sql_execute(&scope, &pause_reason_statement, &value, NULL) > 0)
	{
		HeapTuple	row = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;

		*all_accounts = DatumGetBool(mf_result(row, desc, 1, NULL));
		reason = MemoryContextStrdup(context, TextDatumGetCString(mf_result(row, desc, 2, NULL)));
	}
	mf_sql_end(&scope);
	return reason;
}

bool
mf_queue_any_due(Oid schema, const char *account)
{
	MfSqlScope	scope;
	Datum		value = CStringGetTextDatum(account);
	bool		any;

	mf_sql_begin(&scope, schema);
	any = mf_sql_execute(&scope, &any_due_statement, &value, NULL) > 0;
	mf_sql_end(&scope);
	return any;
}

List *
mf_queue_lockers(Oid schema, const char *account)
{
	MfSqlScope	scope;
	MemoryContext context = CurrentMemoryContext;
	Datum		value = CStringGetTextDatum(account);
	List	   *lockers = NIL;
	uint64		rows;
	uint64		i;

	mf_sql_begin(&scope, schema);
	rows = mf_sql_execute(&scope, &lockers_statement, &value, NULL);
	for (i = 0; i < rows; i++)
	{
		HeapTuple	row = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		TransactionId xid = DatumGetTransactionId(mf_result(row, desc, 1, NULL));
		int			pid = TransactionIdIsInProgress(xid) ? BackendXidGetPid(SubTransGetTopmostTransaction(xid)) : 0;
		PGPROC	   *process = pid == 0 ? NULL : BackendPidGetProc(pid);
		MemoryContext old;
		MfLocker   *locker;

		/* what several hold together has another number */
		if (process == NULL)
			continue;
		old = MemoryContextSwitchTo(context);
		locker = (MfLocker *) palloc(sizeof(MfLocker));
		locker->pid = pid;
		locker->role = process->roleId;
		locker->count = DatumGetInt64(mf_result(row, desc, 2, NULL));
		locker->invoice = DatumGetInt64(mf_result(row, desc, 3, NULL));
		lockers = lappend(lockers, locker);
		MemoryContextSwitchTo(old);
	}
	mf_sql_end(&scope);
	return lockers;
}

int64
mf_queue_count_refused_accounts(Oid schema, const char *but, char **example)
{
	MfSqlScope	scope;
	Datum		value = CStringGetTextDatum(but);
	MemoryContext context = CurrentMemoryContext;
	int64		count;

	mf_sql_begin(&scope, schema);
	(void) mf_sql_execute(&scope, &refused_accounts_statement, &value, NULL);
	count = DatumGetInt64(mf_result(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, NULL));
	if (count > 0)
		*example = MemoryContextStrdup(context, TextDatumGetCString(mf_result(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, NULL)));
	mf_sql_end(&scope);
	return count;
}

int64
mf_queue_count_reviews(Oid schema, const char *account)
{
	MfSqlScope	scope;
	Datum		value = CStringGetTextDatum(account);
	int64		count;

	mf_sql_begin(&scope, schema);
	(void) mf_sql_execute(&scope, &reviews_statement, &value, NULL);
	count = DatumGetInt64(mf_result(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, NULL));
	mf_sql_end(&scope);
	return count;
}

List *
mf_queue_put_off_errors(Oid schema, const char *account, int limit)
{
	MfSqlScope	scope;
	Datum		values[2];
	MemoryContext context = CurrentMemoryContext;
	List	   *errors = NIL;
	uint64		rows;
	uint64		i;

	values[0] = CStringGetTextDatum(account);
	values[1] = Int32GetDatum(limit);
	mf_sql_begin(&scope, schema);
	rows = mf_sql_execute(&scope, &put_off_errors_statement, values, NULL);
	for (i = 0; i < rows; i++)
	{
		HeapTuple	row = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		MemoryContext old = MemoryContextSwitchTo(context);
		MfPutOffError *entry = (MfPutOffError *) palloc(sizeof(MfPutOffError));

		entry->count = DatumGetInt64(mf_result(row, desc, 1, NULL));
		entry->invoice = DatumGetInt64(mf_result(row, desc, 2, NULL));
		entry->error = TextDatumGetCString(mf_result(row, desc, 3, NULL));
		errors = lappend(errors, entry);
		MemoryContextSwitchTo(old);
	}
	mf_sql_end(&scope);
	return errors;
}

bool
mf_queue_resume(Oid schema, const char *account)
{
	MfSqlScope	scope;
	Datum		value = CStringGetTextDatum(account);
	bool		resumed;
	bool		was_copy;

	mf_sql_begin(&scope, schema);
	resumed = mf_sql_execute(&scope, &resume_statement, &value, NULL) > 0;
	if (resumed && strcmp(account, MF_ALL_ACCOUNTS) == 0)
	{
		Datum		wait = Int32GetDatum(mf_verify_wait());

		was_copy = DatumGetBool(mf_result(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, NULL));
		(void) mf_sql_execute(&scope, &resume_verify_statement, &wait, NULL);
		if (was_copy)
			mf_inquiries_open_settled(&scope);
	}
	mf_sql_end(&scope);
	return resumed;
}

void
mf_queue_retry_account(Oid schema, const char *account, Oid created_by)
{
	MfSqlScope	scope;
	Datum		values[2] = {ObjectIdGetDatum(created_by), (Datum) 0};
	char		nulls[2] = {OidIsValid(created_by) ? ' ' : 'n', ' '};

	if (account != NULL)
		values[1] = CStringGetTextDatum(account);
	mf_sql_begin(&scope, schema);
	(void) mf_sql_execute(&scope, account != NULL ? &try_now_statement : &try_all_now_statement, values, nulls);
	(void) mf_sql_execute(&scope, account != NULL ? &ask_now_statement : &ask_all_now_statement, values, nulls);
	mf_sql_end(&scope);
}

MfIdentityKnown
mf_queue_identity(Oid schema, const char *system_identifier, MfIdentity *identity)
{
	MfIdentityKnown known = MF_IDENTITY_NONE;
	MemoryContext context = CurrentMemoryContext;
	MfSqlScope	scope;
	Datum		values[2];

	values[0] = CStringGetTextDatum(system_identifier);
	values[1] = ObjectIdGetDatum(MyDatabaseId);
	mf_sql_begin(&scope, schema);
	if (mf_sql_execute(&scope, &identity_statement, values, NULL) > 0)
	{
		HeapTuple	row = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;

		known = DatumGetBool(mf_result(row, desc, 1, NULL)) ? MF_IDENTITY_OURS : MF_IDENTITY_OTHERS;
		identity->system_identifier = system_identifier;
		identity->data_directory = MemoryContextStrdup(context, TextDatumGetCString(mf_result(row, desc, 2, NULL)));
		identity->timeline = DatumGetInt32(mf_result(row, desc, 3, NULL));
		identity->since = DatumGetTimestampTz(mf_result(row, desc, 4, NULL));
		identity->marker = MemoryContextStrdup(context, TextDatumGetCString(mf_result(row, desc, 5, NULL)));
		identity->backup_label = MemoryContextStrdup(context, TextDatumGetCString(mf_result(row, desc, 6, NULL)));
		identity->origin = DatumGetInt64(mf_result(row, desc, 7, NULL));
	}
	mf_sql_end(&scope);
	return known;
}

void
mf_queue_set_identity(Oid schema, const MfIdentity *identity)
{
	MfSqlScope	scope;
	Datum		values[7];

	values[0] = CStringGetTextDatum(identity->system_identifier);
	values[1] = ObjectIdGetDatum(MyDatabaseId);
	values[2] = CStringGetTextDatum(identity->data_directory);
	values[3] = Int32GetDatum(identity->timeline);
	values[4] = TimestampTzGetDatum(identity->since);
	values[5] = CStringGetTextDatum(identity->marker);
	values[6] = CStringGetTextDatum(identity->backup_label);
	mf_sql_begin(&scope, schema);
	if (mf_sql_execute(&scope, &set_identity_statement, values, NULL) == 0)
		mf_change_suppressed();
	mf_sql_end(&scope);
}

void
mf_queue_replace_origin(Oid schema, int64 origin)
{
	MfSqlScope	scope;
	Datum		value = Int64GetDatum(origin);

	mf_sql_begin(&scope, schema);
	(void) mf_sql_execute(&scope, &inherit_statement, &value, NULL);
	mf_sql_end(&scope);
}

int64
mf_queue_count_foreign(Oid schema)
{
	MfSqlScope	scope;
	int64		count;

	mf_sql_begin(&scope, schema);
	(void) mf_sql_execute(&scope, &foreign_statement, NULL, NULL);
	count = DatumGetInt64(mf_result(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, NULL));
	mf_sql_end(&scope);
	return count;
}

void
mf_queue_take_over_entries(Oid schema)
{
	MfSqlScope	scope;
	Datum		value = Int32GetDatum(mf_verify_wait());

	mf_sql_begin(&scope, schema);
	(void) mf_sql_execute(&scope, &adopt_statement, &value, NULL);
	mf_sql_end(&scope);
}

void
mf_queue_verify_all(Oid schema)
{
	MfSqlScope	scope;
	Datum		value = Int32GetDatum(mf_verify_wait());

	mf_sql_begin(&scope, schema);
	(void) mf_sql_execute(&scope, &verify_all_statement, &value, NULL);
	mf_sql_end(&scope);
}
