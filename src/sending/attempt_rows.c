/*
 * attempt_rows.c
 *	  Records the start of an attempt and its acceptance without SQL.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/sending/attempt_rows.c
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/trigger.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/encoding.h"
#include "base/failpoint.h"
#include "database/sql_array.h"
#include "on_change/on_change_registry.h"
#include "sending/claim.h"
#include "store/invoice.h"
#include "store/other_triggers.h"
#include "store/queue_internal.h"
#include "store/table_rows.h"

/* Attribute numbers of mf_attempt, as in the install script */
#define ATTEMPT_INVOICE 1
#define ATTEMPT_ATTEMPT 2
#define ATTEMPT_REFERENCE 3
#define ATTEMPT_BODY_SHA256 4
#define ATTEMPT_STARTED_AT 5
#define ATTEMPT_SEND_BY 6
#define ATTEMPT_FINISHED_AT 7
#define ATTEMPT_OUTCOME 8
#define ATTEMPT_HTTP_STATUS 9
#define ATTEMPT_INVOICE_ID 10
#define ATTEMPT_INVOICE_URL 11
#define ATTEMPT_MADE_SENT 13
#define ATTEMPT_SENT_TO 15
#define ATTEMPT_API 16
#define ATTEMPT_BOOT 17
#define ATTEMPT_BOOT_CLOCK 18
#define ATTEMPT_REPEATS 19
#define ATTEMPT_COLUMNS 21

/* invoice .. send_by, finished_at .. outcome, http_status .. error, changed_to_sent .. sent_to, api .. recurring_id */
static const Oid attempt_types[] = {
	InvalidOid, INT8OID, INT4OID, TEXTOID, BYTEAOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID,
	INT4OID, INT8OID, TEXTOID, TEXTOID, BOOLOID, TEXTOID, INT4OID,
	TEXTOID, INT8OID, INT8OID, INT4OID, TIMESTAMPTZOID, TEXTOID
};

static const AttrNumber queue_updated[] = {MF_QC_KIND, MF_QC_DUE, MF_QC_LOOKUPS, MF_QC_ERROR, 0};
static const AttrNumber attempt_updated[] = {ATTEMPT_FINISHED_AT, ATTEMPT_OUTCOME, ATTEMPT_HTTP_STATUS,
	ATTEMPT_INVOICE_ID, ATTEMPT_INVOICE_URL, ATTEMPT_MADE_SENT, 0};
static const AttrNumber invoice_updated[] = {MF_IC_STATUS, MF_IC_INVOICE_ID, MF_IC_INVOICE_URL, MF_IC_SENT_AT,
	MF_IC_LAST_ERROR, MF_IC_ATTEMPTS, 0};

struct MfAttemptRows
{
	MfTable    *queue;
	MfTable    *attempt;
	MfTable    *invoice;
	bool		insert_at_once; /* a trigger of a user may read the attempt before the batch ends */
	Datum		sending;		/* words, of type text */
	Datum		sent;
	Datum		accepted;
	Datum		v3;
};

static void add_attempt(MfAttemptRows *recorder, const MfAttempt *attempt, ItemPointerData *tid);
static bool find_started(MfAttemptRows *recorder, const MfFlight *flight, ItemPointerData *invoice_tid,
						 ItemPointerData *attempt_tid);
static bool is_number(MfTable *table, AttrNumber column, int64 number);
static bool is_null(MfTable *table, AttrNumber column);
static bool is_word(MfTable *table, AttrNumber column, const char *word);

MfAttemptRows *
mf_attempt_rows_open(const MfSqlScope *scope)
{
	MfAttemptRows *recorder = (MfAttemptRows *) palloc0(sizeof(MfAttemptRows));

	recorder->invoice = mf_table_open(scope->schema, "mf_invoice", invoice_updated, mf_invoice_types, MF_IC_END - 1,
									  false);
	recorder->queue = mf_table_open(scope->schema, "mf_queue", queue_updated, mf_queue_types, MF_QC_END - 1, true);
	recorder->attempt = mf_table_open(scope->schema, "mf_attempt", attempt_updated, attempt_types, ATTEMPT_COLUMNS,
									  true);
	if (recorder->invoice == NULL || recorder->queue == NULL || recorder->attempt == NULL)
	{
		mf_attempt_rows_close(recorder);
		return NULL;
	}
	if (!mf_reactions_any(scope->schema, MF_REACTIONS_OF_SENDING))
		mf_table_without_trigger(recorder->invoice, MF_ON_CHANGE_TRIGGER);
	recorder->insert_at_once = mf_has_other_triggers(recorder->invoice->relation, TRIGGER_TYPE_UPDATE);
	recorder->sending = CStringGetTextDatum(mf_status_name(MF_STATUS_SENDING));
	recorder->sent = CStringGetTextDatum(mf_status_name(MF_STATUS_SENT));
	recorder->accepted = CStringGetTextDatum(mf_outcome_name(MF_OUTCOME_ACCEPTED));
	recorder->v3 = CStringGetTextDatum(MF_API_V3_NAME);
	return recorder;
}

void
mf_attempt_rows_close(MfAttemptRows *recorder)
{
	if (recorder->attempt != NULL)
		mf_table_close(recorder->attempt);
	if (recorder->queue != NULL)
		mf_table_close(recorder->queue);
	if (recorder->invoice != NULL)
		mf_table_close(recorder->invoice);
	pfree(recorder);
}

void
mf_attempt_rows_begin(MfAttemptRows *recorder)
{
	/* sees what statements of this transaction have locked and written */
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	mf_table_begin(recorder->invoice);
	mf_table_begin(recorder->queue);
	mf_table_begin(recorder->attempt);
	AfterTriggerBeginQuery();
}

void
mf_attempt_rows_end(MfAttemptRows *recorder)
{
	int			guc_level;

	(void) mf_table_insert(recorder->attempt, false);
	guc_level = NewGUCNestLevel();
	AfterTriggerEndQuery(recorder->invoice->estate);
	AtEOXact_GUC(false, guc_level);
	PopActiveSnapshot();
	CommandCounterIncrement();
}

bool
mf_attempt_rows_start(MfAttemptRows *recorder, const MfJob *job, const MfAttempt *attempt, TimestampTz due,
					  MfFlight *flight)
{
	MfColumn	entry[] = {
		{MF_QC_KIND, recorder->sending, false},
		{MF_QC_DUE, TimestampTzGetDatum(due), false},
		{MF_QC_LOOKUPS, Int16GetDatum(0), false},
		{MF_QC_ERROR, (Datum) 0, true}
	};
	MfColumn	invoice[] = {
		{MF_IC_STATUS, recorder->sending, false},
		{MF_IC_ATTEMPTS, Int32GetDatum(attempt->attempt), false},
		{MF_IC_LAST_ERROR, (Datum) 0, true}
	};
	ItemPointerData queue_tid = job->queue_tid;

	if (!mf_table_find(recorder->queue, &queue_tid) || !is_number(recorder->queue, MF_QC_INVOICE, job->invoice))
		return false;
	flight->invoice_tid = job->invoice_tid;
	if (!mf_table_find(recorder->invoice, &flight->invoice_tid) ||
		!is_number(recorder->invoice, MF_IC_ID, job->invoice))
		return false;

	MF_FAILPOINT_ROW("row of mf_attempt, to start", job->invoice);
	add_attempt(recorder, attempt, &flight->attempt_tid);

	/* the entry keeps its rank, which has no meaning while it is "sending": so the update is HOT */
	MF_FAILPOINT_ROW("rows of mf_queue and mf_invoice, to start", job->invoice);
	if (!mf_table_update(recorder->queue, entry, lengthof(entry), &flight->queue_tid) ||
		!mf_table_update(recorder->invoice, invoice, lengthof(invoice), &flight->invoice_tid))
		mf_change_suppressed();
	return true;
}

/* Adds a row of mf_attempt, to be inserted with others.  *tid is set when it is. */
static void
add_attempt(MfAttemptRows *recorder, const MfAttempt *attempt, ItemPointerData *tid)
{
	Datum		values[ATTEMPT_COLUMNS];
	bool		isnull[ATTEMPT_COLUMNS];
	bytea	   *digest = (bytea *) palloc(VARHDRSZ + sizeof(attempt->body_sha256));

	SET_VARSIZE(digest, VARHDRSZ + sizeof(attempt->body_sha256));
	memcpy(VARDATA(digest), attempt->body_sha256, sizeof(attempt->body_sha256));
	values[ATTEMPT_INVOICE - 1] = Int64GetDatum(attempt->invoice);
	values[ATTEMPT_ATTEMPT - 1] = Int32GetDatum(attempt->attempt);
	values[ATTEMPT_REFERENCE - 1] = CStringGetTextDatum(attempt->reference);
	values[ATTEMPT_BODY_SHA256 - 1] = PointerGetDatum(digest);
	values[ATTEMPT_STARTED_AT - 1] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[ATTEMPT_SEND_BY - 1] = TimestampTzGetDatum(attempt->send_by);
	values[ATTEMPT_MADE_SENT - 1] = BoolGetDatum(false);
	values[ATTEMPT_SENT_TO - 1] = Int32GetDatum(attempt->sent_to);
	memset(isnull, true, sizeof(isnull));
	memset(isnull, false, ATTEMPT_SEND_BY * sizeof(bool));
	isnull[ATTEMPT_MADE_SENT - 1] = isnull[ATTEMPT_SENT_TO - 1] = false;
	if (attempt->v3)
	{
		values[ATTEMPT_API - 1] = recorder->v3;
		values[ATTEMPT_BOOT - 1] = Int64GetDatum(attempt->boot);
		values[ATTEMPT_BOOT_CLOCK - 1] = Int64GetDatum(attempt->boot_clock);
		values[ATTEMPT_REPEATS - 1] = Int32GetDatum(attempt->repeats);
		isnull[ATTEMPT_API - 1] = false;
		isnull[ATTEMPT_BOOT - 1] = isnull[ATTEMPT_BOOT_CLOCK - 1] = attempt->boot == 0;
		isnull[ATTEMPT_REPEATS - 1] = attempt->repeats == 0;
	}
	mf_table_add(recorder->attempt, values, isnull, tid);
	if (recorder->insert_at_once || recorder->attempt->waiting == MF_TABLE_BATCH)
		(void) mf_table_insert(recorder->attempt, false);
}

bool
mf_attempt_rows_accept(MfAttemptRows *recorder, const MfFlight *flight, MfSentInvoice *sent_invoice)
{
	const MfSendResult *sent = &flight->sent;
	ItemPointerData invoice_tid = flight->invoice_tid;
	ItemPointerData attempt_tid = flight->attempt_tid;
	Datum		now;
	Datum		invoice_id;
	Datum		url;

	if (flight->kind != MF_JOB_SEND || sent->outcome != MF_OUTCOME_ACCEPTED || sent->error != NULL ||
		sent->invoice_url == NULL || flight->recurring || mf_flight_watched(flight) > 0 || flight->attempt_recorded || flight->repeats > 0)
		return false;
	if (!find_started(recorder, flight, &invoice_tid, &attempt_tid))
		return false;

	now = TimestampTzGetDatum(GetCurrentTimestamp());
	invoice_id = DirectFunctionCall1(int8in, CStringGetDatum(sent->invoice_id));
	url = CStringGetTextDatum(mf_from_utf8_lossy(sent->invoice_url));
	{
		MfColumn	attempt[] = {
			{ATTEMPT_FINISHED_AT, now, false},
			{ATTEMPT_OUTCOME, recorder->accepted, false},
			{ATTEMPT_HTTP_STATUS, Int32GetDatum(flight->http_status), flight->http_status == 0},
			{ATTEMPT_INVOICE_ID, invoice_id, false},
			{ATTEMPT_INVOICE_URL, url, false},
			{ATTEMPT_MADE_SENT, BoolGetDatum(true), false}
		};
		MfColumn	invoice[] = {
			{MF_IC_STATUS, recorder->sent, false},
			{MF_IC_INVOICE_ID, invoice_id, false},
			{MF_IC_INVOICE_URL, url, false},
			{MF_IC_SENT_AT, now, false},
			{MF_IC_LAST_ERROR, (Datum) 0, true}
		};

		MF_FAILPOINT_ROW("rows of mf_attempt and mf_invoice, accepted", flight->invoice);
		if (!mf_table_update(recorder->attempt, attempt, lengthof(attempt), &attempt_tid) ||
			!mf_table_update(recorder->invoice, invoice, lengthof(invoice), &invoice_tid))
			mf_change_suppressed();
		MF_FAILPOINT_ROW("row of mf_queue, accepted", flight->invoice);
		mf_table_delete(recorder->queue);
	}
	sent_invoice->invoice = flight->invoice;
	sent_invoice->account = flight->throttle->account;
	sent_invoice->invoice_id = DatumGetInt64(invoice_id);
	return true;
}

/*
 * Locks the invoice of a flight, and finds its attempt and agenda entry.  Returns false if
 * one of them is not as mf_attempt_rows_start() has left it.
 */
static bool
find_started(MfAttemptRows *recorder, const MfFlight *flight, ItemPointerData *invoice_tid,
			 ItemPointerData *attempt_tid)
{
	ItemPointerData queue_tid = flight->queue_tid;
	bool		isnull;

	/* the invoice is locked first, as everywhere */
	mf_table_make_room(recorder->invoice, invoice_tid);
	if (!mf_table_lock(recorder->invoice, invoice_tid) ||
		!is_number(recorder->invoice, MF_IC_ID, flight->invoice) ||
		!is_word(recorder->invoice, MF_IC_STATUS, mf_status_name(MF_STATUS_SENDING)) ||
		!is_word(recorder->invoice, MF_IC_REFERENCE, flight->reference) ||
		DatumGetInt32(mf_table_value(recorder->invoice, MF_IC_ATTEMPTS, &isnull)) != flight->attempt ||
		DatumGetBool(mf_table_value(recorder->invoice, MF_IC_DUPLICATE_SUSPECTED, &isnull)))
		return false;
	if (!mf_table_find(recorder->attempt, attempt_tid) ||
		!is_number(recorder->attempt, ATTEMPT_INVOICE, flight->invoice) ||
		DatumGetInt32(mf_table_value(recorder->attempt, ATTEMPT_ATTEMPT, &isnull)) != flight->attempt ||
		!is_null(recorder->attempt, ATTEMPT_OUTCOME))
		return false;
	return mf_table_find(recorder->queue, &queue_tid) &&
		is_number(recorder->queue, MF_QC_INVOICE, flight->invoice) &&
		is_word(recorder->queue, MF_QC_KIND, mf_job_name(MF_JOB_SENDING));
}

static bool
is_number(MfTable *table, AttrNumber column, int64 number)
{
	bool		isnull;
	Datum		value = mf_table_value(table, column, &isnull);

	return !isnull && DatumGetInt64(value) == number;
}

static bool
is_null(MfTable *table, AttrNumber column)
{
	bool		isnull;

	(void) mf_table_value(table, column, &isnull);
	return isnull;
}

static bool
is_word(MfTable *table, AttrNumber column, const char *word)
{
	bool		isnull;
	Datum		value = mf_table_value(table, column, &isnull);

	return !isnull && mf_text_is(value, word);
}
