/*
 * attempts.c
 *	  SQL of attempts to send invoices: their starts, ends and references.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/attempts.c
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "base/compat.h"
#include "database/sql_array.h"
#include "request/request.h"
#include "store/attempts.h"
#include "store/queue_internal.h"

static MfStatement begin_attempts_statement = {
	"INSERT INTO @mf_attempt (invoice, attempt, reference, body_sha256, started_at, send_by, sent_to, "
	"  api, boot, boot_clock, repeats) "
	"SELECT a.invoice, a.attempt, a.reference, a.body_sha256, clock_timestamp(), a.send_by, a.sent_to, "
	"  a.api, nullif(a.boot, 0), nullif(a.boot_clock, 0), nullif(a.repeats, 0) "
	"FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) AS a(invoice, attempt, reference, body_sha256, send_by, "
	"  sent_to, api, boot, boot_clock, repeats)",
	10, {INT8ARRAYOID, INT4ARRAYOID, TEXTARRAYOID, BYTEAARRAYOID, TIMESTAMPTZARRAYOID, INT4ARRAYOID, TEXTARRAYOID,
	INT8ARRAYOID, INT8ARRAYOID, INT4ARRAYOID}, NULL
};

/*
 * Only an unknown outcome is overwritten, by an answer that comes after all.  What
 * an answer contained is kept.
 */
#define ENDS "(t.outcome IS NULL OR (t.outcome = 'unknown' AND (e.http_status > 0 OR e.made IS NOT NULL)))"
#define END_ATTEMPTS(table, row, made, kept) \
	"WITH e AS MATERIALIZED (SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9) " \
	"  AS e(id, attempt, outcome, http_status, made, invoice_url, error, answered_reference, recurring_id)), " \
	"ended AS (UPDATE " table " t SET finished_at = clock_timestamp(), outcome = e.outcome, " \
	"    http_status = nullif(e.http_status, 0), " made " = coalesce(e.made::int8, t." made "), " kept " error = e.error " \
	"  FROM e WHERE t." row " = ANY ($1) AND t." row " = e.id AND t.attempt = e.attempt AND " ENDS " RETURNING 1) " \
	"SELECT (SELECT count(*) FROM " table " t WHERE t." row " = ANY ($1) AND EXISTS (SELECT FROM e " \
	"    WHERE e.id = t." row " AND e.attempt = t.attempt AND " ENDS ")) - (SELECT count(*) FROM ended)", \
	9, {INT8ARRAYOID, INT4ARRAYOID, TEXTARRAYOID, INT4ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, \
	TEXTARRAYOID}, NULL

static MfStatement end_attempts_statement = {
	END_ATTEMPTS("@mf_attempt", "invoice", "invoice_id", "invoice_url = coalesce(e.invoice_url, t.invoice_url), "
				 "answered_reference = coalesce(e.answered_reference, t.answered_reference), "
				 "recurring_id = coalesce(e.recurring_id, t.recurring_id), ")
};

static MfStatement end_operations_statement = {
	END_ATTEMPTS("@mf_operation_attempt", "operation", "refund_id", "")
};

static MfStatement recorded_ends_statement = {
	"SELECT a.invoice::int8, a.attempt::int4, a.outcome::text, coalesce(a.http_status::int4, 0), a.invoice_id::text, "
	"  a.invoice_url::text, a.error::text, a.reference::text, coalesce(a.repeats::int4, 0), "
	"  (SELECT f.invoice_id::text FROM @mf_attempt f WHERE a.repeats IS NOT NULL AND f.invoice = a.invoice "
	"    AND f.attempt = a.repeats) "
	"FROM @mf_invoice i JOIN @mf_attempt a ON a.invoice = i.id AND a.attempt = i.attempts "
	"WHERE i.id = ANY ($1) AND a.outcome IS NOT NULL",
	1, {INT8ARRAYOID}, NULL
};

/*
 * A reference that a resend has replaced is not looked up again before the row is
 * sent: a person or all look-ups have decided that MyFatoorah has no invoice under
 * it.  The resend is compared by number and by time, since numbers may be used
 * again.  An attempt from before the row was created belongs to a deleted row of the
 * same id: its invoice is not this row's, but its reference is taken.  A row may have
 * been created by a clock that was ahead, so one under a reference that resends have
 * made of another counts whenever it was.
 */
#define STEM(reference) "regexp_replace(" reference ", '~[0-9]+$', '')"
#define OF_THIS_ROW "(" STEM("a.reference") " = " STEM("i.reference") " OR a.started_at >= i.created_at)"

/* MyFatoorah may have seen the Idempotency-Key of this attempt. */
#define BY_V3 "(a.api = '" MF_API_V3_NAME "' AND a.outcome IS DISTINCT FROM 'not_sent')"

/*
 * This attempt was answered, and there is no other answer to get.  A repeated request may
 * also have been put off or refused, which is no answer to the one that it repeats.
 */
#define ANSWERED "(a.http_status IS NOT NULL AND (a.repeats IS NULL OR a.outcome = 'unknown'))"

static MfStatement references_statement = {
	"SELECT a.reference::text, "
	"  bool_or(" MF_MAY_HAVE_MADE("a") " AND " OF_THIS_ROW " AND NOT EXISTS (SELECT FROM @mf_transition t "
	"    WHERE t.invoice = $1 AND t.to_status = 'queued' AND t.from_status IN ('unknown', 'review', 'rejected') "
	"      AND t.attempt >= a.attempt AND t.changed_at >= a.started_at)), "
	"  bool_or((a.outcome IS NULL OR a.outcome = 'unknown') AND " OF_THIS_ROW "), "
	"  (array_agg(a.invoice_id::text ORDER BY a.attempt DESC) "
	"    FILTER (WHERE a.invoice_id IS NOT NULL AND a.answered_reference IS NULL))[1], "
	"  (array_agg(a.sent_to::int4 ORDER BY a.attempt DESC) FILTER (WHERE " MF_MAY_HAVE_MADE("a") "))[1], "
	"  max(a.attempt)::int4, "
	"  coalesce(bool_or(" BY_V3 " AND " MF_MAY_HAVE_MADE("a") "), false), "
	"  coalesce(bool_or(a.api IS NULL AND " MF_MAY_HAVE_MADE("a") "), false), "
	"  bool_or(a.invoice_url IS NOT NULL), "
	"  min(a.started_at::timestamptz) FILTER (WHERE " BY_V3 "), "
	"  coalesce((array_agg(a.boot::int8 ORDER BY a.attempt) FILTER (WHERE " BY_V3 "))[1], 0), "
	"  coalesce((array_agg(a.boot_clock::int8 ORDER BY a.attempt) FILTER (WHERE " BY_V3 "))[1], 0), "
	"  CASE WHEN count(DISTINCT a.body_sha256) FILTER (WHERE " BY_V3 ") = 1 "
	"    THEN min(encode(a.body_sha256, 'hex')) FILTER (WHERE " BY_V3 ") END, "
	"  coalesce(max(a.found_at::timestamptz), '-infinity'), "
	"  (count(*) FILTER (WHERE a.repeats IS NOT NULL AND a.outcome IS DISTINCT FROM 'not_sent'))::int4, "
	"  bool_or(" ANSWERED ") "
	"FROM @mf_attempt a JOIN @mf_invoice i ON i.id = a.invoice WHERE a.invoice = $1 "
	"GROUP BY a.reference ORDER BY max(a.attempt) DESC",
	1, {INT8OID}, NULL
};

/* The latest attempt under the reference of the row: what is repeated is its request. */
#define LATEST_OF_REFERENCE \
	"(SELECT max(l.attempt) FROM @mf_attempt l JOIN @mf_invoice i ON i.id = l.invoice AND i.reference = l.reference " \
	"  WHERE l.invoice = f.invoice)"

static MfStatement keep_found_statement = {
	"WITH f AS MATERIALIZED (SELECT f.invoice, f.invoice_id::int8, " LATEST_OF_REFERENCE " AS attempt "
	"  FROM unnest($1, $2) AS f(invoice, invoice_id)), "
	"kept AS (UPDATE @mf_attempt a SET invoice_id = coalesce(a.invoice_id, f.invoice_id), found_at = clock_timestamp() "
	"  FROM f WHERE a.invoice = ANY ($1) AND a.invoice = f.invoice AND a.attempt = f.attempt RETURNING 1) "
	"SELECT (SELECT count(*) FROM f) - (SELECT count(*) FROM kept)",
	2, {INT8ARRAYOID, TEXTARRAYOID}, NULL
};

static MfStatement catch_up_statement = {
	"UPDATE @mf_invoice SET attempts = $2 WHERE id = $1", 2, {INT8OID, INT4OID}, NULL
};

static MfStatement was_tried_statement = {
	"SELECT FROM @mf_attempt a WHERE a.invoice = $1 AND a.reference = $2 LIMIT 1", 2, {INT8OID, TEXTOID}, NULL
};

/* a repetition of a recurring payment has the reference of the invoice that has begun it, which may be archived */
static MfStatement is_repetition_statement = {
	"SELECT FROM @mf_invoice i WHERE i.id = $1 AND i.recurring_id IS NOT NULL AND i.recurring_type IS NULL AND ($2 = '' "
	"  OR EXISTS (SELECT FROM @mf_invoice f WHERE f.reference IS NOT NULL AND f.reference = $2 AND f.recurring_id = i.recurring_id) "
	"  OR EXISTS (SELECT FROM @mf_archive_key k JOIN @mf_invoice_archive a ON a.id = k.id AND a.created_at = k.created_at "
	"    WHERE k.reference = $2 AND a.recurring_id = i.recurring_id))",
	2, {INT8OID, TEXTOID}, NULL
};

/* Whether an invoice is finished.  Deletions are in batches, because they run between rounds of sending. */
#define FINISHED(row) \
	"NOT EXISTS (SELECT FROM @mf_queue q WHERE q.invoice = " row ".invoice) " \
	"  AND NOT EXISTS (SELECT FROM @mf_invoice i WHERE i.id = " row ".invoice AND i.status = 'review')"

static MfStatement purge_attempts_statement = {
	MF_BY_AGE "DELETE FROM @mf_attempt a WHERE a.ctid = ANY (ARRAY(SELECT o.ctid FROM @mf_attempt o WHERE o.started_at < $1 "
	"  AND " FINISHED("o") " LIMIT 1000))",
	1, {TIMESTAMPTZOID}, NULL
};

static MfStatement purge_transitions_statement = {
	MF_BY_AGE "DELETE FROM @mf_transition t WHERE t.ctid = ANY (ARRAY(SELECT o.ctid FROM @mf_transition o "
	"  WHERE o.changed_at < $1 "
	"  AND " FINISHED("o") " LIMIT 1000))",
	1, {TIMESTAMPTZOID}, NULL
};

void
mf_queue_begin_attempts(const MfSqlScope *scope, const MfAttempt *attempts, int count)
{
	MfArray    *columns = mf_columns_start(&begin_attempts_statement, count);
	int			i;

	for (i = 0; i < count; i++)
	{
		mf_array_add(&columns[0], Int64GetDatum(attempts[i].invoice));
		mf_array_add(&columns[1], Int32GetDatum(attempts[i].attempt));
		mf_array_add_text(&columns[2], attempts[i].reference);
		mf_array_add_bytes(&columns[3], attempts[i].body_sha256, sizeof(attempts[i].body_sha256));
		mf_array_add(&columns[4], TimestampTzGetDatum(attempts[i].send_by));
		mf_array_add(&columns[5], Int32GetDatum(attempts[i].sent_to));
		mf_array_add_text(&columns[6], attempts[i].v3 ? MF_API_V3_NAME : NULL);
		mf_array_add(&columns[7], Int64GetDatum(attempts[i].boot));
		mf_array_add(&columns[8], Int64GetDatum(attempts[i].boot_clock));
		mf_array_add(&columns[9], Int32GetDatum(attempts[i].repeats));
	}
	if (mf_columns_execute(scope, &begin_attempts_statement, columns) != (uint64) count)
		mf_change_suppressed();
}

void
mf_queue_end_attempts(const MfSqlScope *scope, const MfAttemptEnd *ends, int count, bool of_operations)
{
	MfStatement *statement = of_operations ? &end_operations_statement : &end_attempts_statement;
	MfArray    *columns = mf_columns_start(statement, count);
	int			i;

	for (i = 0; i < count; i++)
	{
		mf_array_add(&columns[0], Int64GetDatum(ends[i].invoice));
		mf_array_add(&columns[1], Int32GetDatum(ends[i].attempt));
		mf_array_add_text(&columns[2], mf_outcome_name(ends[i].outcome));
		mf_array_add(&columns[3], Int32GetDatum(ends[i].http_status));
		mf_array_add_text(&columns[4], ends[i].invoice_id);
		mf_array_add_text(&columns[5], ends[i].invoice_url);
		mf_array_add_text(&columns[6], ends[i].error);
		mf_array_add_text(&columns[7], ends[i].answered_reference);
		mf_array_add_text(&columns[8], ends[i].recurring_id);
	}
	mf_columns_change(scope, statement, columns);
}

List *
mf_queue_recorded_ends(const MfSqlScope *scope, const int64 *invoices, int count)
{
	Datum		value = mf_int8_array(invoices, count);
	uint64		rows = mf_sql_execute(scope, &recorded_ends_statement, &value, NULL);
	List	   *ends = NIL;
	uint64		i;

	for (i = 0; i < rows; i++)
	{
		MfAttemptEnd *end = (MfAttemptEnd *) palloc0(sizeof(MfAttemptEnd));
		const char *outcome = mf_result_text(i, 3);

		end->invoice = mf_result_int8(i, 1);
		end->attempt = mf_result_int4(i, 2);
		while (strcmp(mf_outcome_name(end->outcome), outcome) != 0)
			end->outcome++;
		end->http_status = mf_result_int4(i, 4);
		end->invoice_id = mf_result_text(i, 5);
		end->invoice_url = mf_result_text(i, 6);
		end->error = mf_result_text(i, 7);
		end->reference = mf_result_text(i, 8);
		end->repeats = mf_result_int4(i, 9);
		end->found_id = mf_result_text(i, 10);
		ends = lappend(ends, end);
	}
	return ends;
}

List *
mf_queue_references(const MfSqlScope *scope, int64 invoice)
{
	Datum		value = Int64GetDatum(invoice);
	uint64		rows = mf_sql_execute(scope, &references_statement, &value, NULL);
	List	   *references = NIL;
	uint64		i;

	for (i = 0; i < rows; i++)
	{
		MfReference *entry = (MfReference *) palloc(sizeof(MfReference));
		bool		none;

		entry->reference = mf_result_text(i, 1);
		entry->open = mf_result_bool(i, 2);
		entry->unknown = mf_result_bool(i, 3);
		entry->answered_id = mf_result_text(i, 4);
		entry->sent_to = DatumGetInt32(mf_result(i, 5, &none));
		entry->sent = !none;
		entry->latest = mf_result_int4(i, 6);
		entry->v3 = mf_result_bool(i, 7);
		entry->v2 = mf_result_bool(i, 8);
		entry->has_url = mf_result_bool(i, 9);
		entry->first_at = mf_result_timestamp(i, 10);
		entry->first_boot = mf_result_int8(i, 11);
		entry->first_boot_clock = mf_result_int8(i, 12);
		entry->digest = mf_result_text(i, 13);
		entry->found_at = mf_result_timestamp(i, 14);
		entry->repeated = mf_result_int4(i, 15);
		entry->answered = mf_result_bool(i, 16);
		references = lappend(references, entry);
	}
	return references;
}

void
mf_queue_keep_found(const MfSqlScope *scope, const MfFound *found, int count)
{
	MfArray    *columns = mf_columns_start(&keep_found_statement, count);
	int			i;

	for (i = 0; i < count; i++)
	{
		mf_array_add(&columns[0], Int64GetDatum(found[i].invoice));
		mf_array_add_text(&columns[1], found[i].invoice_id);
	}
	mf_columns_change(scope, &keep_found_statement, columns);
}

void
mf_queue_set_attempts(const MfSqlScope *scope, int64 invoice, int attempts)
{
	Datum		values[] = {Int64GetDatum(invoice), Int32GetDatum(attempts)};

	if (mf_sql_execute(scope, &catch_up_statement, values, NULL) == 0)
		mf_change_suppressed();
}

char *
mf_queue_fresh_reference(const List *references, const char *own)
{
	const char *latest = references == NIL ? own : ((MfReference *) linitial(references))->reference;
	char	   *fresh = mf_next_reference(mf_is_resend_of(own, latest) ? own : latest);
	int			i = 0;

	while (i < list_length(references))
	{
		if (strcmp(((MfReference *) list_nth(references, i++))->reference, fresh) == 0)
		{
			fresh = mf_next_reference(fresh);
			i = 0;
		}
	}
	return fresh;
}

bool
mf_queue_has_attempt(const MfSqlScope *scope, int64 invoice, const char *reference)
{
	Datum		values[] = {Int64GetDatum(invoice), CStringGetTextDatum(reference)};

	return mf_sql_execute(scope, &was_tried_statement, values, NULL) > 0;
}

bool
mf_queue_is_repetition_of(const MfSqlScope *scope, int64 invoice, const char *reference)
{
	Datum		values[] = {Int64GetDatum(invoice), CStringGetTextDatum(reference)};

	return mf_sql_execute(scope, &is_repetition_statement, values, NULL) > 0;
}

uint64
mf_queue_purge_attempts(const MfSqlScope *scope, TimestampTz before)
{
	Datum		value = TimestampTzGetDatum(before);

	return mf_sql_execute(scope, &purge_attempts_statement, &value, NULL);
}

uint64
mf_queue_purge_transitions(const MfSqlScope *scope, TimestampTz before)
{
	Datum		value = TimestampTzGetDatum(before);

	return mf_sql_execute(scope, &purge_transitions_statement, &value, NULL);
}
