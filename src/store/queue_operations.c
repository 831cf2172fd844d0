/*
 * queue_operations.c
 *	  SQL of what people do with invoices: cancel, retry, resolve, edit.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/queue_operations.c
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "database/sql_array.h"
#include "process/wakeup.h"
#include "store/attempts.h"
#include "store/inquiries.h"
#include "store/invoice.h"
#include "store/queue_internal.h"
#include "store/queue_operations.h"
#include "store/queue_origin.h"

static void refuse_replaced(const MfJob *job);

/* A value of a row as JSON; a URL is without its query, which may be secret, while the history may outlive the row. */
#define SHOWN(row) \
	"CASE WHEN a.attname IN ('call_back_url', 'error_url', 'webhook_url') " \
	"  THEN to_jsonb(regexp_replace(" row "->>a.attname::text, '\\?.*', '?')) " \
	"  ELSE " row "->a.attname::text END"

/* each column that has changed, up to those that follow from others, or are the user's own */
static MfStatement note_edit_statement = {
	"WITH r AS MATERIALIZED (SELECT $2::jsonb AS old, $3::jsonb AS new), "
	"c AS MATERIALIZED (SELECT jsonb_object_agg(a.attname::text, jsonb_build_object('old', " SHOWN("r.old") ", 'new', "
	"    " SHOWN("r.new") ")) AS changes FROM r, pg_attribute a "
	"  WHERE a.attrelid = $4 AND a.attnum > 0 AND a.attnum < $5 AND (r.old->a.attname::text)::text <> (r.new->a.attname::text)::text "
	"  HAVING count(*) > 0), "
	"h AS (INSERT INTO @mf_transition (invoice, changed_at, actor, from_status, to_status, attempt, reason, changes) "
	"  SELECT (r.new->>'id')::int8, clock_timestamp(), $1, r.new->>'status', r.new->>'status', (r.new->>'attempts')::int4, 'edited', "
	"    c.changes FROM r, c RETURNING 1) "
	"SELECT (SELECT count(*) FROM c) - (SELECT count(*) FROM h)",
	5, {TEXTOID, TEXTOID, TEXTOID, OIDOID, INT4OID}, NULL
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

/* the references that mf_queue_references() returns, for several invoices */
static MfStatement names_statement = {
	"SELECT a.invoice::int8, a.reference::text FROM @mf_attempt a WHERE a.invoice = ANY ($1) "
	"GROUP BY a.invoice, a.reference ORDER BY a.invoice, max(a.attempt) DESC",
	1, {INT8ARRAYOID}, NULL
};

static MfStatement dismiss_statement = {
	"WITH done AS (DELETE FROM @mf_queue WHERE invoice = $1 RETURNING 1), "
	"history AS (INSERT INTO @mf_transition (invoice, changed_at, actor, from_status, to_status, attempt, reason) "
	"  SELECT i.id, clock_timestamp(), $2, i.status, i.status, i.attempts, $3 FROM @mf_invoice i WHERE i.id = $1 "
	"    RETURNING 1), "
	"changed AS (UPDATE @mf_invoice SET duplicate_suspected = false, duplicate_error = NULL WHERE id = $1 RETURNING 1) "
	"SELECT (SELECT count(*) FROM @mf_queue WHERE invoice = $1) - (SELECT count(*) FROM done) "
	"  + 2 * (SELECT count(*) FROM @mf_invoice WHERE id = $1) - (SELECT count(*) FROM history) - (SELECT count(*) "
	"    FROM changed)",
	3, {INT8OID, TEXTOID, TEXTOID}, NULL
};

#define MAY_ADOPT "id = $1 AND payment_status IN ('unpaid', 'expired', 'remote_cancelled')"

/* what is known of a payment belongs to the former invoice, so a row that was paid is not changed */
static MfStatement adopt_twin_statement = {
	"WITH k AS (SELECT coalesce($5, (SELECT a.invoice_url FROM @mf_attempt a WHERE a.invoice = $1 "
	"  AND a.invoice_id = $4::int8 AND a.invoice_url IS NOT NULL ORDER BY a.attempt DESC LIMIT 1)) AS url), "
	"i AS (UPDATE @mf_invoice SET duplicate_suspected = false, duplicate_error = NULL, payment_error = NULL, "
	"      invoice_status = NULL, base_currency = NULL, base_value = NULL, display_currency = NULL, display_value = NULL, "
	"      invoice_id = $4::int8, invoice_url = k.url, "
	"      last_error = CASE WHEN notification_option = 'LNK' AND k.url IS NULL THEN $6 END FROM k "
	"    WHERE " MAY_ADOPT " RETURNING id, status, attempts), "
	"n AS (INSERT INTO @mf_invoice_number (invoice_id, invoice) SELECT $4::int8, i.id FROM i ON CONFLICT DO NOTHING), "
	"done AS (DELETE FROM @mf_queue q USING i WHERE q.invoice = i.id RETURNING 1), "
	"history AS (INSERT INTO @mf_transition (invoice, changed_at, actor, from_status, to_status, attempt, reason) "
	"  SELECT i.id, clock_timestamp(), $2, i.status, i.status, i.attempts, $3 FROM i RETURNING 1) "
	"SELECT (SELECT count(*) FROM @mf_invoice WHERE " MAY_ADOPT ") - (SELECT count(*) FROM history) "
	"  + (SELECT count(*) FROM @mf_queue q JOIN i ON i.id = q.invoice) - (SELECT count(*) FROM done), "
	"    (SELECT count(*) FROM i)",
	6, {INT8OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID}, NULL
};

/*
 * No answer about the row has named the number, neither to an attempt nor to an inquiry, and it was
 * not taken over; or the answer to an attempt named one that another row has, so a person has to say whose it is.
 */
#define IS_UNCONFIRMED \
	"i.id = $1 AND i.status = 'sent' AND i.payment_status IN ('unpaid', 'expired', 'remote_cancelled') " \
	"AND i.base_value IS NULL AND (NOT EXISTS (SELECT FROM @mf_attempt a WHERE a.invoice = i.id AND a.invoice_id = i.invoice_id) " \
	"  OR EXISTS (SELECT FROM @mf_invoice_number k JOIN @mf_invoice o ON o.id = k.invoice AND o.invoice_id = k.invoice_id " \
	"    WHERE k.invoice_id = i.invoice_id AND o.id <> i.id)) " \
	"AND i.taken_over_from IS NULL"

/* what has come in about the number is matched anew, once it was asked whose it is */
static MfStatement take_number_back_statement = {
	"WITH o AS MATERIALIZED (SELECT i.id, i.account, i.priority, i.invoice_id FROM @mf_invoice i WHERE " IS_UNCONFIRMED "), "
	"i AS (UPDATE @mf_invoice i SET status = 'review', invoice_id = NULL, invoice_url = NULL, sent_at = NULL, "
	"    duplicate_suspected = false, duplicate_error = NULL, payment_error = NULL, last_error = 'invoice ' || o.invoice_id || ' is not that of this row' "
	"  FROM o WHERE i.id = o.id RETURNING i.id, i.attempts), "
	"n AS (DELETE FROM @mf_invoice_number k USING o WHERE k.invoice_id = o.invoice_id AND k.invoice = o.id), "
	"q AS (DELETE FROM @mf_inquiry q USING o WHERE q.invoice = o.id RETURNING 1), "
	"e AS (UPDATE @mf_event e SET invoice = NULL, answered_at = NULL, due = clock_timestamp(), "
	"    lookups = " CppAsString2(MF_QUICK_TRIES) " FROM o WHERE e.invoice = o.id AND e.invoice_id = o.invoice_id), "
	"put AS (INSERT INTO @mf_queue (invoice, account, kind, due, rank, priority) "
	"  SELECT o.id, o.account, 'review', 'infinity', 'infinity', o.priority FROM o "
	"  ON CONFLICT (invoice) DO UPDATE SET kind = 'review', due = 'infinity', rank = 'infinity', lookups = 0, error = NULL "
	"  RETURNING 1), "
	"history AS (INSERT INTO @mf_transition (invoice, changed_at, actor, from_status, to_status, attempt, reason) "
	"  SELECT i.id, clock_timestamp(), $2, 'sent', 'review', i.attempts, $3 FROM i RETURNING 1) "
	"SELECT 3 * (SELECT count(*) FROM o) - (SELECT count(*) FROM i) - (SELECT count(*) FROM put) "
	"  - (SELECT count(*) FROM history) + (SELECT count(*) FROM @mf_inquiry q JOIN o ON o.id = q.invoice) "
	"  - (SELECT count(*) FROM q), (SELECT count(*) FROM o)",
	3, {INT8OID, TEXTOID, TEXTOID}, NULL
};

/*
 * A queued invoice is looked up soon, not when it was to be sent; after
 * mf_verify_wait(), since another server may be sending it at this moment.
 */
static MfStatement request_cancel_statement = {
	"WITH n AS MATERIALIZED (SELECT i.id, i.account, i.status, i.attempts, i.priority, "
	"    clock_timestamp() + $4 * interval '1 ms' AS due FROM @mf_invoice i WHERE i.id = ANY ($1)), "
	"changed AS (UPDATE @mf_invoice i SET cancel_requested = true WHERE i.id = ANY ($1) RETURNING 1), "
	"history AS (INSERT INTO @mf_transition (invoice, changed_at, actor, from_status, to_status, attempt, reason) "
	"  SELECT n.id, clock_timestamp(), $2, n.status, n.status, n.attempts, $3 FROM n ORDER BY n.id RETURNING 1), "
	"soon AS (INSERT INTO @mf_queue AS q (invoice, account, kind, due, rank, priority) "
	"  SELECT n.id, n.account, 'verify', n.due, n.due, n.priority FROM n WHERE n.status = 'queued' ORDER BY n.id "
	"  ON CONFLICT (invoice) DO UPDATE SET kind = 'verify', lookups = CASE q.kind WHEN 'verify' THEN q.lookups "
	"    ELSE 0 END, error = CASE q.kind WHEN 'verify' THEN q.error END, "
	"    due = least(q.due, EXCLUDED.due), rank = least(q.rank, EXCLUDED.rank) RETURNING 1) "
	"SELECT (SELECT count(*) FROM n) * 2 + (SELECT count(*) FROM n WHERE n.status = 'queued') "
	"  - (SELECT count(*) FROM changed) - (SELECT count(*) FROM history) - (SELECT count(*) FROM soon)",
	4, {INT8ARRAYOID, TEXTOID, TEXTOID, INT4OID}, NULL
};

void
mf_queue_note_edit(Oid schema, Oid table, Datum before, Datum after)
{
	Datum		values[] = {
		CStringGetTextDatum(mf_acting_role()), DirectFunctionCall1(row_to_json, before),
		DirectFunctionCall1(row_to_json, after), ObjectIdGetDatum(table), Int32GetDatum(MF_IC_CREATED_BY_ID)
	};

	(void) mf_change_alone(schema, &note_edit_statement, values, NULL);
}

void
mf_queue_resend(Oid schema, MfJob *const *jobs, MfTransition *transitions, int count)
{
	MfSqlScope	scope;
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz later = TimestampTzPlusMilliseconds(now, mf_verify_wait());
	TimestampTz twins_before = mf_queue_since(schema);
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
	rows = mf_sql_execute(&scope, &names_statement, &value, NULL);
	for (i = 0; i < count; i++)
	{
		const MfJob *job = jobs[i];
		List	   *references = NIL;

		refuse_replaced(job);
		for (; row < rows; row++)
		{
			MfReference *entry;

			if (mf_result_int8(row, 1) != job->invoice)
				break;
			entry = (MfReference *) palloc0(sizeof(MfReference));
			entry->reference = mf_result_text(row, 2);
			references = lappend(references, entry);
		}
		transitions[i].reference = mf_queue_fresh_reference(references, job->reference);
		transitions[i].to = MF_STATUS_QUEUED;
		transitions[i].next = MF_JOB_VERIFY;
		transitions[i].due = job->created_at <= twins_before ? later : now;
	}
	mf_sql_end(&scope);
}

/* Raises an error if another invoice is to be paid in place of this one. */
static void
refuse_replaced(const MfJob *job)
{
	if (job->replaced_by != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("invoice %lld was replaced by invoice %lld", (long long) job->invoice, (long long) job->replaced_by),
				 errdetail("If it were sent, the customer could pay both."),
				 job->status == MF_STATUS_REVIEW ?
				 errhint("Abandon it, or adopt the invoice that the MyFatoorah portal shows.") :
				 errhint("To have another one sent, call mf_replace().")));
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
	Datum		values[] = {Int64GetDatum(job->invoice), CStringGetTextDatum(actor), CStringGetTextDatum(reason)};

	(void) mf_change_alone(schema, &dismiss_statement, values, NULL);
}

bool
mf_queue_adopt_twin(Oid schema, const MfTransition *adoption)
{
	Datum		values[6];
	char		nulls[6] = {' ', ' ', ' ', ' ', ' ', ' '};

	values[0] = Int64GetDatum(adoption->invoice);
	values[1] = CStringGetTextDatum(adoption->actor);
	values[2] = CStringGetTextDatum(adoption->reason);
	values[3] = CStringGetTextDatum(adoption->invoice_id);
	values[4] = adoption->invoice_url ? CStringGetTextDatum(adoption->invoice_url) : (Datum) 0;
	nulls[4] = adoption->invoice_url ? ' ' : 'n';
	values[5] = CStringGetTextDatum(adoption->linkless);
	return mf_change_alone(schema, &adopt_twin_statement, values, nulls) > 0;
}

bool
mf_queue_take_number_back(Oid schema, int64 invoice, const char *actor, const char *reason)
{
	Datum		values[] = {Int64GetDatum(invoice), CStringGetTextDatum(actor), CStringGetTextDatum(reason)};

	return mf_change_alone(schema, &take_number_back_statement, values, NULL) > 0;
}

void
mf_queue_request_cancel(Oid schema, MfJob *const *jobs, int count, const char *actor, const char *reason)
{
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
	(void) mf_change_alone(schema, &request_cancel_statement, values, NULL);
}
