/*
 * queue.c
 *	  The agenda of sending: transitions, and what comes next.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/queue.c
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "account/account_option.h"
#include "base/compat.h"
#include "base/settings.h"
#include "database/sql_array.h"
#include "store/attempts.h"
#include "store/inquiries_open.h"
#include "store/queue_internal.h"
#include "store/queue_pause.h"

/* invoice, account, kind, due, rank, priority, lookups, origin, error, promote */
const Oid	mf_queue_types[] = {
	InvalidOid, INT8OID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT2OID, INT2OID,
	INT8OID, TEXTOID, BOOLOID
};

static const char *const job_names[] = {"send", "sending", "reconcile", "verify", "watch", "replay", "review"};

static MfStatement lock_invoices_statement = {
	"SELECT id::int8, status::text, attempts::int4, duplicate_suspected::bool FROM @mf_invoice "
	"  WHERE id = ANY ($1) FOR NO KEY UPDATE SKIP LOCKED",
	1, {INT8ARRAYOID}, NULL
};

static MfStatement lost_invoices_statement = {
	"SELECT u.invoice::int8 FROM unnest($1) AS u(invoice) WHERE NOT EXISTS (SELECT FROM @mf_invoice i "
	"  WHERE i.id = ANY ($1) AND i.id = u.invoice)",
	1, {INT8ARRAYOID}, NULL
};

/* last_error of an invoice that was sent although it was to be cancelled */
#define TOO_LATE " came too late: the invoice exists, and is cancelled in the MyFatoorah portal only"

/* What is refused and was replaced meanwhile is final: nobody can have it sent again. */
#define NEW_STATUS(replaced_by) \
	"CASE WHEN t.to_status = 'rejected' AND " replaced_by " IS NOT NULL THEN 'cancelled' ELSE t.to_status END"

static MfStatement apply_statement = {
	"WITH t AS MATERIALIZED ("
	"  SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) "
	"  AS t(invoice, from_status, to_status, attempt, next, due, reference, invoice_id, invoice_url, "
	"       error, actor, reason, duplicate, linkless)), "
	/* while it is being sent its rank does not matter, and leaving that as it is saves two index entries */
	"kept AS (UPDATE @mf_queue q SET kind = t.next, lookups = 0, error = NULL, due = t.due, "
	"  rank = CASE t.next WHEN 'sending' THEN q.rank ELSE " MF_RANK("t.due", "q.priority") " END, "
	"  promote = CASE t.next WHEN 'sending' THEN q.promote ELSE " MF_PROMOTE("t.due", "q.priority") " END "
	"  FROM t WHERE q.invoice = ANY ($1) AND q.invoice = t.invoice AND t.next IS NOT NULL RETURNING 1), "
	"done AS (DELETE FROM @mf_queue q USING t WHERE q.invoice = ANY ($1) AND q.invoice = t.invoice "
	"  AND t.next IS NULL RETURNING 1), "
	"history AS (INSERT INTO @mf_transition (invoice, changed_at, actor, from_status, to_status, attempt, reason) "
	"  SELECT t.invoice, clock_timestamp(), t.actor, t.from_status, "
	"    " NEW_STATUS("(SELECT i.replaced_by FROM @mf_invoice i WHERE i.id = t.invoice)") ", t.attempt, "
	"    coalesce(t.reason, t.error) FROM t WHERE t.to_status <> 'sending' RETURNING 1), "
	"changed AS (UPDATE @mf_invoice i SET status = " NEW_STATUS("i.replaced_by") ", attempts = t.attempt, "
	"  reference = coalesce(t.reference, i.reference), "
	"  invoice_id = coalesce(t.invoice_id::int8, i.invoice_id), "
	"  invoice_url = coalesce(t.invoice_url, k.invoice_url, i.invoice_url), "
	"  last_error = coalesce(t.error, nullif(concat_ws('; ', "
	"    CASE WHEN t.to_status = 'sent' AND i.cancel_requested THEN "
	"      CASE WHEN i.replaced_by IS NULL THEN 'mf_cancel()' ELSE 'its replacement by invoice ' || i.replaced_by END || '" TOO_LATE "' END, "
	"    CASE WHEN i.notification_option = 'LNK' AND coalesce(t.invoice_url, k.invoice_url, i.invoice_url) IS NULL "
	"      THEN t.linkless END), '')), "
	"  duplicate_suspected = (i.duplicate_suspected OR t.duplicate > 0) AND t.duplicate >= 0, "
	"  duplicate_error = CASE t.duplicate WHEN 1 THEN t.error WHEN 0 THEN i.duplicate_error END, "
	/* only people make these transitions, and their latest decision counts */
	"  cancel_requested = i.cancel_requested AND NOT (t.from_status IN ('rejected', 'review') "
	"    AND t.to_status = 'queued'), "
	"  sent_at = CASE t.to_status WHEN 'sent' THEN clock_timestamp() ELSE i.sent_at END, "
	"  recurring_id = CASE WHEN t.to_status = 'sent' AND i.recurring_type IS NOT NULL THEN coalesce(i.recurring_id, "
	"    (SELECT a.recurring_id FROM @mf_attempt a WHERE a.invoice = i.id AND a.invoice_id = t.invoice_id::int8 "
	"      AND a.recurring_id IS NOT NULL ORDER BY a.attempt DESC LIMIT 1)) ELSE i.recurring_id END "
	/* the link of an invoice that a look-up has found may be in an answer that was not conclusive */
	"  FROM t LEFT JOIN LATERAL (SELECT a.invoice_url FROM @mf_attempt a "
	"    WHERE t.to_status = 'sent' AND t.invoice_url IS NULL AND a.invoice = t.invoice "
	"      AND a.invoice_id = t.invoice_id::int8 AND a.invoice_url IS NOT NULL "
	"        ORDER BY a.attempt DESC LIMIT 1) k ON true "
	"  WHERE i.id = ANY ($1) AND i.id = t.invoice RETURNING i.id, i.account, i.status, i.recurring_type), "
	/* asks for what becomes of a recurring payment, in case no webhook tells; see recurring.c */
	"plan AS (INSERT INTO @mf_event (account, source, event_code, invoice, digest, answered_at, due) "
	"  SELECT c.account, 'plan', 5, c.id, sha256(convert_to('plan,' || c.id, 'UTF8')), clock_timestamp(), "
	"    clock_timestamp() + interval '1 day' FROM changed c WHERE c.status = 'sent' AND c.recurring_type IS NOT NULL "
	"  ON CONFLICT (account, digest) DO NOTHING) "
	"SELECT (SELECT count(DISTINCT t.invoice) FROM t) - (SELECT count(*) FROM changed) "
	"  + (SELECT count(*) FROM @mf_queue q WHERE q.invoice = ANY ($1)) "
	"  - (SELECT count(*) FROM kept) - (SELECT count(*) FROM done) "
	"  + (SELECT count(*) FROM t WHERE t.to_status <> 'sending') - (SELECT count(*) FROM history)",
	14, {INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, INT4ARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID,
		TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, INT4ARRAYOID,
		TEXTARRAYOID},
	NULL
};

/*
 * Whether the error of a follow-up goes into the invoice.  Why the references of a
 * sent row cannot be looked up concerns the entry only.
 */
#define CHANGES_INVOICE "(f.duplicate OR (f.error IS NOT NULL AND i.status <> 'sent'))"

static MfStatement follow_up_statement = {
	"WITH f AS MATERIALIZED ("
	"  SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8) AS f(invoice, next, due, lookups, error, duplicate, wait, "
	"    put_off)), "
	"later AS (UPDATE @mf_queue q SET kind = f.next, due = f.due, " MF_SET_RANK("f.due", "q.priority") ", "
	"  lookups = f.lookups, error = CASE WHEN f.wait THEN q.error WHEN f.put_off THEN f.error END "
	"  FROM f WHERE q.invoice = ANY ($1) AND q.invoice = f.invoice AND f.next IS NOT NULL RETURNING 1), "
	"done AS (DELETE FROM @mf_queue q USING f WHERE q.invoice = ANY ($1) AND q.invoice = f.invoice "
	"  AND f.next IS NULL RETURNING 1), "
	"found AS (INSERT INTO @mf_queue (invoice, account, kind, due, rank, priority) "
	"  SELECT i.id, i.account, f.next, f.due, f.due, i.priority FROM f JOIN @mf_invoice i ON i.id = f.invoice "
	"    AND i.id = ANY ($1) "
	"  WHERE f.duplicate AND f.next IS NOT NULL ON CONFLICT (invoice) DO NOTHING RETURNING 1), "
	"changed AS (UPDATE @mf_invoice i SET last_error = CASE WHEN f.duplicate THEN i.last_error ELSE f.error END, "
	"    duplicate_error = CASE WHEN f.duplicate THEN f.error ELSE i.duplicate_error END, "
	"    duplicate_suspected = i.duplicate_suspected OR f.duplicate "
	"  FROM f WHERE i.id = ANY ($1) AND i.id = f.invoice AND " CHANGES_INVOICE " RETURNING 1) "
	"SELECT (SELECT count(*) FROM @mf_invoice i WHERE i.id = ANY ($1) AND EXISTS (SELECT FROM f "
	"  WHERE f.invoice = i.id AND " CHANGES_INVOICE ")) "
	"  - (SELECT count(*) FROM changed) "
	"  + (SELECT count(*) FROM @mf_queue q WHERE q.invoice = ANY ($1)) "
	"  - (SELECT count(*) FROM later) - (SELECT count(*) FROM done) "
	"  + (SELECT count(*) FROM @mf_invoice i WHERE i.id = ANY ($1) "
	"    AND EXISTS (SELECT FROM f WHERE f.invoice = i.id AND f.duplicate AND f.next IS NOT NULL) "
	"    AND NOT EXISTS (SELECT FROM @mf_queue q WHERE q.invoice = ANY ($1) "
	"      AND q.invoice = i.id)) - (SELECT count(*) FROM found)",
	8, {INT8ARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID, INT4ARRAYOID, TEXTARRAYOID, BOOLARRAYOID, BOOLARRAYOID,
	BOOLARRAYOID}, NULL
};

const char *
mf_acting_role(void)
{
	static const char *const ours[] = {MF_PAUSED_BY_GUARD, MF_PAUSED_BY_RESTORE, "sender", "reconciler", "status reader"};
	const char *role = GetUserNameFromId(GetUserId(), false);
	int			i;

	for (i = 0; i < (int) lengthof(ours); i++)
	{
		if (strcmp(role, ours[i]) == 0)
			return psprintf("role \"%s\"", role);
	}
	return role;
}

void
mf_transition_begin(MfTransition *transition, int64 invoice, MfStatus from, int attempt, TimestampTz now,
					const char *actor)
{
	memset(transition, 0, sizeof(*transition));
	transition->invoice = invoice;
	transition->from = from;
	transition->attempt = attempt;
	transition->next = MF_JOB_NONE;
	transition->due = now;
	transition->actor = actor;
}

int
mf_verify_wait(void)
{
	return MF_TIMEOUT_DEFAULT + mf_lookup_delay;
}

TimestampTz
mf_verify_due(TimestampTz due, TimestampTz now)
{
	return due >= MF_TIME_END ? due : TimestampTzPlusMilliseconds(Max(due, now), mf_verify_wait());
}

const char *
mf_job_name(MfJobKind kind)
{
	return kind == MF_JOB_NONE ? NULL : job_names[kind];
}

MfJobKind
mf_job_kind(const char *name)
{
	int			i;

	for (i = 0; i < MF_JOB_NONE; i++)
	{
		if (strcmp(job_names[i], name) == 0)
			return (MfJobKind) i;
	}
	elog(ERROR, "unknown kind of agenda entry: \"%s\"", name);
	return MF_JOB_NONE;
}

MfJob *
mf_queue_read_invoice(HeapTuple tuple, TupleDesc desc)
{
	MfJob	   *job = (MfJob *) palloc0(sizeof(MfJob));
	Datum	   *values = (Datum *) palloc(desc->natts * sizeof(Datum));
	bool	   *isnull = (bool *) palloc(desc->natts * sizeof(bool));
	int			status;

	heap_deform_tuple(tuple, desc, values, isnull);
	job->invoice = DatumGetInt64(values[0]);
	status = mf_status_from_name(TextDatumGetCString(values[1]));
	if (status < 0)
		elog(ERROR, "unknown status of invoice " INT64_FORMAT, job->invoice);
	job->status = (MfStatus) status;
	job->attempts = DatumGetInt32(values[2]);
	job->account = TextDatumGetCString(values[3]);
	job->owner.role = DatumGetObjectId(values[4]);
	job->owner.own = DatumGetBool(values[5]);
	job->sender.role = job->owner.role;
	job->sender.could_login = DatumGetBool(values[6]);
	job->sender.could_insert = DatumGetBool(values[7]);
	job->reference = TextDatumGetCString(values[8]);
	job->replaced_by = isnull[15] ? 0 : DatumGetInt64(values[15]);
	job->cancel_requested = DatumGetBool(values[10]) || job->replaced_by != 0;
	job->duplicate_suspected = DatumGetBool(values[11]);
	job->created_at = DatumGetTimestampTz(values[12]);

	/* What was to be sent at once is not early because the clock was set back since; a time that a user gave holds. */
	job->send_at = DatumGetTimestampTz(values[9]);
	if (job->send_at == job->created_at)
		job->send_at = Min(job->send_at, GetCurrentTransactionStartTimestamp());
	job->rank = job->send_at;
	job->invoice_id = isnull[13] ? NULL : psprintf(INT64_FORMAT, DatumGetInt64(values[13]));
	job->callbacks = isnull[14] ? MF_CALLBACKS_BY_ACCOUNT :
		DatumGetBool(values[14]) ? MF_CALLBACKS_ON : MF_CALLBACKS_OFF;
	job->currency = isnull[16] ? (Datum) 0 : values[16];
	memcpy(job->request.values, &values[MF_FIRST_FIELD - 1], sizeof(job->request.values));
	memcpy(job->request.isnull, &isnull[MF_FIRST_FIELD - 1], sizeof(job->request.isnull));
	if (desc->natts >= MF_FIRST_FIELD + MF_SP_COUNT)
		job->invoice_tid = *(ItemPointer) DatumGetPointer(values[MF_FIRST_FIELD + MF_SP_COUNT - 1]);
	pfree(values);
	pfree(isnull);
	return job;
}

List *
mf_queue_lock_invoices(const MfSqlScope *scope, const int64 *invoices, int count)
{
	Datum		value = mf_int8_array(invoices, count);
	uint64		rows = mf_sql_execute(scope, &lock_invoices_statement, &value, NULL);
	uint64		i;
	List	   *locked = NIL;

	for (i = 0; i < rows; i++)
	{
		MfLockedInvoice *invoice = (MfLockedInvoice *) palloc(sizeof(MfLockedInvoice));

		invoice->invoice = mf_result_int8(i, 1);
		invoice->status = (MfStatus) mf_status_from_name(mf_result_text(i, 2));
		invoice->attempts = mf_result_int4(i, 3);
		invoice->duplicate_suspected = mf_result_bool(i, 4);
		locked = lappend(locked, invoice);
	}
	return locked;
}

uint64
mf_queue_lost_invoices(const MfSqlScope *scope, const int64 *invoices, int count, int64 *lost)
{
	Datum		value = mf_int8_array(invoices, count);

	(void) mf_sql_execute(scope, &lost_invoices_statement, &value, NULL);
	return mf_result_ids(lost);
}

void
mf_queue_apply(const MfSqlScope *scope, const MfTransition *transitions, int count)
{
	MfArray    *columns = mf_columns_start(&apply_statement, count);
	MfSentInvoice *sent = (MfSentInvoice *) palloc0(count * sizeof(MfSentInvoice));
	int			sent_count = 0;
	int			i;

	for (i = 0; i < count; i++)
	{
		const MfTransition *t = &transitions[i];

		mf_array_add(&columns[0], Int64GetDatum(t->invoice));
		mf_array_add_text(&columns[1], mf_status_name(t->from));
		mf_array_add_text(&columns[2], mf_status_name(t->to));
		mf_array_add(&columns[3], Int32GetDatum(t->attempt));
		mf_array_add_text(&columns[4], mf_job_name(t->next));
		mf_array_add(&columns[5], TimestampTzGetDatum(t->due));
		mf_array_add_text(&columns[6], t->reference);
		mf_array_add_text(&columns[7], t->invoice_id);
		mf_array_add_text(&columns[8], t->invoice_url);
		mf_array_add_text(&columns[9], t->error);
		mf_array_add_text(&columns[10], t->actor);
		mf_array_add_text(&columns[11], t->reason);
		mf_array_add(&columns[12], Int32GetDatum(t->duplicate));
		mf_array_add_text(&columns[13], t->linkless);
	}
	mf_columns_change(scope, &apply_statement, columns);

	/* payments of those that were sent are awaited from now on */
	for (i = 0; i < count; i++)
	{
		const char *invoice_id = transitions[i].invoice_id;

		if (transitions[i].to != MF_STATUS_SENT)
			continue;
		sent[sent_count].invoice = transitions[i].invoice;
		if (invoice_id != NULL)
			sent[sent_count].invoice_id = DatumGetInt64(DirectFunctionCall1(int8in, CStringGetDatum(invoice_id)));
		sent_count++;
	}
	if (sent_count > 0)
		mf_inquiries_open_sent(scope, sent, sent_count);
}

void
mf_queue_follow_up(const MfSqlScope *scope, const MfFollowUp *follow_ups, int count)
{
	MfArray    *columns = mf_columns_start(&follow_up_statement, count);
	MfFound    *found = (MfFound *) palloc(count * sizeof(MfFound));
	int			found_count = 0;
	int			i;

	for (i = 0; i < count; i++)
	{
		const MfFollowUp *f = &follow_ups[i];

		mf_array_add(&columns[0], Int64GetDatum(f->invoice));
		mf_array_add_text(&columns[1], mf_job_name(f->next));
		mf_array_add(&columns[2], TimestampTzGetDatum(f->due));
		mf_array_add(&columns[3], Int32GetDatum(Min(f->lookups, PG_INT16_MAX)));
		mf_array_add_text(&columns[4], f->error);
		mf_array_add(&columns[5], BoolGetDatum(f->duplicate));
		mf_array_add(&columns[6], BoolGetDatum(f->wait));
		mf_array_add(&columns[7], BoolGetDatum(f->put_off));
		if (f->found_id != NULL)
			found[found_count++] = (MfFound) {f->invoice, f->found_id};
	}
	mf_columns_change(scope, &follow_up_statement, columns);
	if (found_count > 0)
		mf_queue_keep_found(scope, found, found_count);
}

int64
mf_queue_size(Oid schema)
{
	static MfStatement statement = {
		"SELECT count(*) FROM @mf_queue", 0, {0}, NULL
	};

	return mf_count_alone(schema, &statement, NULL);
}
