/*
 * queue.c
 *	  All SQL of sending: the agenda, the attempts, the transitions.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/queue.c
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "queue.h"

static const char *const job_names[] = {"send", "sending", "reconcile", "verify", "watch"};

/* The order of due entries: ten minutes earlier per step of priority */
#define RANK(due, priority) due " - " priority " * interval '10 min'"

static MfStatement insert_statement = {
	"INSERT INTO @mf_queue (invoice, account, kind, due, rank, priority) "
	"SELECT n.id, n.account, "
	"  CASE n.status WHEN 'queued' THEN 'send' WHEN 'sending' THEN 'sending' ELSE 'reconcile' END, "
	"  n.send_at, " RANK("n.send_at", "n.priority") ", n.priority "
	"FROM new_rows n WHERE n.status IN ('queued', 'sending', 'unknown')",
	0, {0}, NULL, InvalidOid
};

static MfStatement reschedule_statement = {
	"UPDATE @mf_queue SET account = $2, due = $3, rank = " RANK("$3", "$4") ", priority = $4 "
	"WHERE invoice = $1 AND kind IN ('send', 'verify')",
	4, {INT8OID, TEXTOID, TIMESTAMPTZOID, INT2OID}, NULL, InvalidOid
};

static MfStatement size_statement = {
	"SELECT count(*) FROM @mf_queue", 0, {0}, NULL, InvalidOid
};

/* a row lock on the entry first, as the worker does */
static MfStatement lock_entry_statement = {
	"SELECT kind FROM @mf_queue WHERE invoice = $1 FOR UPDATE", 1, {INT8OID}, NULL, InvalidOid
};

/* in the order of MfJob and mf_send_payment_fields[] */
#define INVOICE_COLUMNS \
	"id, status, attempts, account, created_by, reference, send_at, cancel_requested, " \
	"customer_name, invoice_value, notification_option, customer_email, customer_mobile, " \
	"mobile_country_code, display_currency_iso, language, customer_reference, customer_civil_id, " \
	"user_defined_field, call_back_url, error_url, webhook_url, expiry_date, customer_address, " \
	"invoice_items, shipping_method, shipping_consignee, suppliers, processing_details, " \
	"invoice_payment_methods, source_info"
#define FIRST_FIELD 9			/* attribute number of customer_name there */

static MfStatement lock_invoice_statement = {
	"SELECT " INVOICE_COLUMNS " FROM @mf_invoice WHERE id = $1 FOR NO KEY UPDATE",
	1, {INT8OID}, NULL, InvalidOid
};

static MfStatement put_back_statement = {
	"INSERT INTO @mf_queue (invoice, account, kind, due, rank, priority) "
	"SELECT id, account, 'send', $2, " RANK("$2", "priority") ", priority FROM @mf_invoice WHERE id = $1 "
	"ON CONFLICT (invoice) DO NOTHING",
	2, {INT8OID, TIMESTAMPTZOID}, NULL, InvalidOid
};

static MfStatement pause_statement = {
	"INSERT INTO @mf_account AS a (account, paused_at, paused_by, reason) VALUES ($1, clock_timestamp(), $2, $3) "
	"ON CONFLICT (account) DO UPDATE SET paused_at = EXCLUDED.paused_at, paused_by = EXCLUDED.paused_by, "
	"  reason = EXCLUDED.reason WHERE a.paused_at IS NULL",
	3, {TEXTOID, TEXTOID, TEXTOID}, NULL, InvalidOid
};

static MfStatement resume_statement = {
	"UPDATE @mf_account SET paused_at = NULL, paused_by = NULL, reason = NULL "
	"WHERE account = $1 AND paused_at IS NOT NULL",
	1, {TEXTOID}, NULL, InvalidOid
};

static MfStatement expire_leases_statement = {
	"UPDATE @mf_queue SET due = clock_timestamp(), rank = clock_timestamp() WHERE kind = 'sending'",
	0, {0}, NULL, InvalidOid
};

/* a loose index scan: as many steps as there are accounts */
static MfStatement accounts_statement = {
	"WITH RECURSIVE found AS ("
	"  (SELECT q.account FROM @mf_queue q ORDER BY q.account LIMIT 1) "
	"  UNION ALL "
	"  SELECT (SELECT q.account FROM @mf_queue q WHERE q.account > f.account ORDER BY q.account LIMIT 1) "
	"  FROM found f WHERE f.account IS NOT NULL) "
	"SELECT f.account, EXISTS (SELECT FROM @mf_account a "
	"  WHERE a.account IN (f.account, '*') AND a.paused_at IS NOT NULL) "
	"FROM found f WHERE f.account IS NOT NULL",
	0, {0}, NULL, InvalidOid
};

static MfStatement claim_entries_statement = {
	"SELECT e.invoice, e.kind, e.rank, e.step FROM unnest($1, $2, $3) AS l(account, slots, mark) CROSS JOIN LATERAL ("
	"  SELECT q.invoice, q.kind, q.rank, q.step FROM @mf_queue q "
	"  WHERE q.account = l.account AND q.rank >= l.mark AND q.rank <= $4 AND q.due <= $4 "
	"  ORDER BY q.rank, q.invoice LIMIT l.slots FOR UPDATE SKIP LOCKED) e",
	4, {TEXTARRAYOID, INT4ARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZOID}, NULL, InvalidOid
};

static MfStatement claim_invoices_statement = {
	"SELECT " INVOICE_COLUMNS " FROM @mf_invoice WHERE id = ANY ($1) FOR NO KEY UPDATE SKIP LOCKED",
	1, {INT8ARRAYOID}, NULL, InvalidOid
};

/* entries that are due but locked are looked at again in a second */
static MfStatement next_due_statement = {
	"SELECT least("
	"  (SELECT min(greatest(q.due, $2 + interval '1 s')) FROM @mf_queue q WHERE q.account = $1 AND q.rank <= $2), "
	"  (SELECT q.rank FROM @mf_queue q WHERE q.account = $1 AND q.rank > $2 ORDER BY q.rank LIMIT 1))",
	2, {TEXTOID, TIMESTAMPTZOID}, NULL, InvalidOid
};

static MfStatement begin_attempts_statement = {
	"INSERT INTO @mf_attempt (invoice, attempt, reference, body_sha256, started_at, send_by) "
	"SELECT a.invoice, a.attempt, a.reference, a.body_sha256, clock_timestamp(), a.send_by "
	"FROM unnest($1, $2, $3, $4, $5) AS a(invoice, attempt, reference, body_sha256, send_by)",
	5, {INT8ARRAYOID, INT4ARRAYOID, TEXTARRAYOID, BYTEAARRAYOID, TIMESTAMPTZARRAYOID}, NULL, InvalidOid
};

static MfStatement end_attempts_statement = {
	"UPDATE @mf_attempt t SET finished_at = clock_timestamp(), outcome = e.outcome, "
	"  http_status = nullif(e.http_status, 0), invoice_id = e.invoice_id::int8, "
	"  invoice_url = e.invoice_url, error = e.error "
	"FROM unnest($1, $2, $3, $4, $5, $6, $7) "
	"  AS e(invoice, attempt, outcome, http_status, invoice_id, invoice_url, error) "
	"WHERE t.invoice = e.invoice AND t.attempt = e.attempt",
	7, {INT8ARRAYOID, INT4ARRAYOID, TEXTARRAYOID, INT4ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID},
	NULL, InvalidOid
};

static MfStatement lock_invoices_statement = {
	"SELECT id, status, attempts FROM @mf_invoice WHERE id = ANY ($1) FOR NO KEY UPDATE SKIP LOCKED",
	1, {INT8ARRAYOID}, NULL, InvalidOid
};

static MfStatement apply_statement = {
	"WITH t AS MATERIALIZED ("
	"  SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) "
	"  AS t(invoice, from_status, to_status, attempt, next, due, reference, invoice_id, invoice_url, "
	"       error, actor, reason, duplicate)), "
	"kept AS (UPDATE @mf_queue q SET kind = t.next, step = 0, due = t.due, rank = " RANK("t.due", "q.priority") " "
	"  FROM t WHERE q.invoice = t.invoice AND t.next IS NOT NULL), "
	"done AS (DELETE FROM @mf_queue q USING t WHERE q.invoice = t.invoice AND t.next IS NULL), "
	"told AS (INSERT INTO @mf_transition (invoice, at, actor, from_status, to_status, attempt, reason) "
	"  SELECT t.invoice, clock_timestamp(), t.actor, t.from_status, t.to_status, t.attempt, "
	"    coalesce(t.reason, t.error) FROM t) "
	"UPDATE @mf_invoice i SET status = t.to_status, attempts = t.attempt, "
	"  reference = coalesce(t.reference, i.reference), "
	"  invoice_id = coalesce(t.invoice_id::int8, i.invoice_id), "
	"  invoice_url = coalesce(t.invoice_url, i.invoice_url), last_error = t.error, "
	"  duplicate_suspected = i.duplicate_suspected OR t.duplicate, "
	"  sent_at = CASE t.to_status WHEN 'sent' THEN clock_timestamp() ELSE i.sent_at END "
	"FROM t WHERE i.id = t.invoice",
	13, {INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, INT4ARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID,
		TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, BOOLARRAYOID},
	NULL, InvalidOid
};

static MfStatement follow_up_statement = {
	"WITH f AS MATERIALIZED ("
	"  SELECT * FROM unnest($1, $2, $3, $4, $5, $6) AS f(invoice, next, due, step, error, duplicate)), "
	"later AS (UPDATE @mf_queue q SET kind = f.next, due = f.due, rank = " RANK("f.due", "q.priority") ", "
	"  step = f.step FROM f WHERE q.invoice = f.invoice AND f.next IS NOT NULL), "
	"done AS (DELETE FROM @mf_queue q USING f WHERE q.invoice = f.invoice AND f.next IS NULL) "
	"UPDATE @mf_invoice i SET last_error = coalesce(f.error, i.last_error), "
	"  duplicate_suspected = i.duplicate_suspected OR f.duplicate "
	"FROM f WHERE i.id = f.invoice AND (f.error IS NOT NULL OR f.duplicate)",
	6, {INT8ARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID, INT4ARRAYOID, TEXTARRAYOID, BOOLARRAYOID},
	NULL, InvalidOid
};

static MfStatement old_references_statement = {
	"SELECT DISTINCT a.reference FROM @mf_attempt a JOIN @mf_invoice i ON i.id = a.invoice "
	"WHERE a.invoice = $1 AND a.outcome = 'unknown' AND a.reference <> i.reference ORDER BY 1",
	1, {INT8OID}, NULL, InvalidOid
};

static MfStatement request_cancel_statement = {
	"UPDATE @mf_invoice SET cancel_requested = true WHERE id = $1", 1, {INT8OID}, NULL, InvalidOid
};

static MfStatement identity_statement = {
	"SELECT system_identifier, database, data_directory, timeline FROM @mf_identity FOR UPDATE",
	0, {0}, NULL, InvalidOid
};

static MfStatement set_identity_statement = {
	"INSERT INTO @mf_identity AS i (system_identifier, database, data_directory, timeline, since) "
	"VALUES ($1, $2, $3, $4, clock_timestamp()) "
	"ON CONFLICT (only_row) DO UPDATE SET system_identifier = EXCLUDED.system_identifier, "
	"  database = EXCLUDED.database, data_directory = EXCLUDED.data_directory, timeline = EXCLUDED.timeline, "
	"  since = EXCLUDED.since",
	4, {TEXTOID, OIDOID, TEXTOID, INT4OID}, NULL, InvalidOid
};

static MfStatement verify_all_statement = {
	"UPDATE @mf_queue SET kind = 'verify', due = greatest(due, $1), "
	"  rank = " RANK("greatest(due, $1)", "priority") " WHERE kind = 'send'",
	1, {TIMESTAMPTZOID}, NULL, InvalidOid
};

/* bounded, because it runs between two rounds of sending */
static MfStatement purge_statement = {
	"WITH old AS (SELECT t.ctid, t.invoice FROM @mf_transition t WHERE t.at < $1 "
	"  AND NOT EXISTS (SELECT FROM @mf_queue q WHERE q.invoice = t.invoice) "
	"  AND NOT EXISTS (SELECT FROM @mf_invoice i WHERE i.id = t.invoice AND i.status = 'review') LIMIT 1000), "
	"attempts AS (DELETE FROM @mf_attempt a USING old WHERE a.invoice = old.invoice AND a.started_at < $1) "
	"DELETE FROM @mf_transition t USING old WHERE t.ctid = old.ctid",
	1, {TIMESTAMPTZOID}, NULL, InvalidOid
};

/* An array parameter in the making */
typedef struct ArrayBuilder
{
	Datum	   *values;
	bool	   *nulls;
	int			count;
} ArrayBuilder;

static void builder_init(ArrayBuilder *builder, int capacity);
static void add_datum(ArrayBuilder *builder, Datum value);
static void add_text(ArrayBuilder *builder, const char *text);
static Datum finish_array(ArrayBuilder *builder, Oid element);
static Datum int8_array(const int64 *values, int count);
static MfJob *read_invoice(HeapTuple tuple, TupleDesc desc);
static Datum column(HeapTuple tuple, TupleDesc desc, int number, bool *isnull);
static MfJobKind job_kind(const char *name);

/* --- array parameters --- */

static void
builder_init(ArrayBuilder *builder, int capacity)
{
	builder->values = (Datum *) palloc(Max(capacity, 1) * sizeof(Datum));
	builder->nulls = (bool *) palloc(Max(capacity, 1) * sizeof(bool));
	builder->count = 0;
}

static void
add_datum(ArrayBuilder *builder, Datum value)
{
	builder->nulls[builder->count] = false;
	builder->values[builder->count++] = value;
}

/* NULL becomes null. */
static void
add_text(ArrayBuilder *builder, const char *text)
{
	builder->nulls[builder->count] = text == NULL;
	builder->values[builder->count++] = text ? CStringGetTextDatum(text) : (Datum) 0;
}

static Datum
finish_array(ArrayBuilder *builder, Oid element)
{
	int			lower_bound = 1;
	int16		length;
	bool		by_value;
	char		align;

	get_typlenbyvalalign(element, &length, &by_value, &align);
	return PointerGetDatum(construct_md_array(builder->values, builder->nulls, 1, &builder->count, &lower_bound,
											  element, length, by_value, align));
}

static Datum
int8_array(const int64 *values, int count)
{
	ArrayBuilder builder;
	int			i;

	builder_init(&builder, count);
	for (i = 0; i < count; i++)
		add_datum(&builder, Int64GetDatum(values[i]));
	return finish_array(&builder, INT8OID);
}

/* --- reading results --- */

static Datum
column(HeapTuple tuple, TupleDesc desc, int number, bool *isnull)
{
	bool		dummy;

	return heap_getattr(tuple, number, desc, isnull ? isnull : &dummy);
}

static MfJobKind
job_kind(const char *name)
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

/*
 * A row of INVOICE_COLUMNS as a job, in the current context.  Values of the
 * request point into the tuple, which SPI_finish() frees.
 */
static MfJob *
read_invoice(HeapTuple tuple, TupleDesc desc)
{
	MfJob	   *job = (MfJob *) palloc0(sizeof(MfJob));
	int			status;
	int			i;

	job->invoice = DatumGetInt64(column(tuple, desc, 1, NULL));
	status = mf_status_from_name(TextDatumGetCString(column(tuple, desc, 2, NULL)));
	if (status < 0)
		elog(ERROR, "unknown status of invoice " INT64_FORMAT, job->invoice);
	job->status = (MfStatus) status;
	job->attempts = DatumGetInt32(column(tuple, desc, 3, NULL));
	job->account = TextDatumGetCString(column(tuple, desc, 4, NULL));
	job->created_by = pstrdup(NameStr(*DatumGetName(column(tuple, desc, 5, NULL))));
	job->reference = TextDatumGetCString(column(tuple, desc, 6, NULL));
	job->rank = DatumGetTimestampTz(column(tuple, desc, 7, NULL));
	job->cancel_requested = DatumGetBool(column(tuple, desc, 8, NULL));
	for (i = 0; i < MF_SP_COUNT; i++)
		job->request.values[i] = column(tuple, desc, FIRST_FIELD + i, &job->request.isnull[i]);
	return job;
}

/* --- for the triggers and the functions of people --- */

/* See queue.h. */
uint64
mf_queue_insert(Oid schema, TriggerData *trigger)
{
	MfSqlScope	scope;
	uint64		rows;

	mf_sql_begin(&scope, schema);
	if (SPI_register_trigger_data(trigger) != SPI_OK_TD_REGISTER)
		elog(ERROR, "could not register the new rows");
	rows = mf_sql_execute(&scope, &insert_statement, NULL, NULL);
	mf_sql_end(&scope);
	return rows;
}

/* See queue.h. */
void
mf_queue_reschedule(Oid schema, int64 invoice, const char *account, TimestampTz send_at, int priority)
{
	MfSqlScope	scope;
	Datum		values[4];

	values[0] = Int64GetDatum(invoice);
	values[1] = CStringGetTextDatum(account);
	values[2] = TimestampTzGetDatum(send_at);
	values[3] = Int16GetDatum((int16) priority);

	mf_sql_begin(&scope, schema);
	(void) mf_sql_execute(&scope, &reschedule_statement, values, NULL);
	mf_sql_end(&scope);
}

/* See queue.h. */
int64
mf_queue_size(Oid schema)
{
	MfSqlScope	scope;
	int64		size;

	mf_sql_begin(&scope, schema);
	(void) mf_sql_execute(&scope, &size_statement, NULL, NULL);
	size = DatumGetInt64(column(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, NULL));
	mf_sql_end(&scope);
	return size;
}

/* See queue.h. */
MfJob *
mf_queue_lock(Oid schema, int64 invoice)
{
	MfSqlScope	scope;
	MemoryContext context = CurrentMemoryContext;
	Datum		value = Int64GetDatum(invoice);
	MfJobKind	kind = MF_JOB_NONE;
	MfJob	   *job = NULL;

	mf_sql_begin(&scope, schema);
	if (mf_sql_execute(&scope, &lock_entry_statement, &value, NULL) > 0)
		kind = job_kind(TextDatumGetCString(column(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, NULL)));
	if (mf_sql_execute(&scope, &lock_invoice_statement, &value, NULL) > 0)
	{
		MemoryContext spi_context = MemoryContextSwitchTo(context);

		job = read_invoice(SPI_tuptable->vals[0], SPI_tuptable->tupdesc);
		job->kind = kind;
		memset(&job->request, 0, sizeof(job->request));
		MemoryContextSwitchTo(spi_context);
	}
	mf_sql_end(&scope);
	return job;
}

/* See queue.h. */
void
mf_queue_transition(Oid schema, const MfTransition *transition, TimestampTz send_at)
{
	MfSqlScope	scope;

	mf_sql_begin(&scope, schema);
	mf_queue_apply(&scope, transition, 1);
	if (transition->next != MF_JOB_NONE)
	{
		Datum		values[2];

		values[0] = Int64GetDatum(transition->invoice);
		values[1] = TimestampTzGetDatum(send_at);
		(void) mf_sql_execute(&scope, &put_back_statement, values, NULL);
	}
	mf_sql_end(&scope);
}

/* See queue.h. */
void
mf_queue_request_cancel(Oid schema, int64 invoice)
{
	MfSqlScope	scope;
	Datum		value = Int64GetDatum(invoice);

	mf_sql_begin(&scope, schema);
	(void) mf_sql_execute(&scope, &request_cancel_statement, &value, NULL);
	mf_sql_end(&scope);
}

/* See queue.h. */
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
	(void) mf_sql_execute(&scope, &pause_statement, values, nulls);
	mf_sql_end(&scope);
}

/* See queue.h. */
bool
mf_queue_resume(Oid schema, const char *account)
{
	MfSqlScope	scope;
	Datum		value = CStringGetTextDatum(account);
	bool		resumed;

	mf_sql_begin(&scope, schema);
	resumed = mf_sql_execute(&scope, &resume_statement, &value, NULL) > 0;
	mf_sql_end(&scope);
	return resumed;
}

/* --- for the worker --- */

/* See queue.h. */
MfIdentity
mf_queue_check_identity(Oid schema, const char *system_identifier, const char *data_directory, int timeline)
{
	MfIdentity	identity = MF_IDENTITY_FIRST;
	MfSqlScope	scope;
	Datum		values[4];

	mf_sql_begin(&scope, schema);
	if (mf_sql_execute(&scope, &identity_statement, NULL, NULL) > 0)
	{
		HeapTuple	row = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		int			last_timeline = DatumGetInt32(column(row, desc, 4, NULL));

		if (strcmp(TextDatumGetCString(column(row, desc, 1, NULL)), system_identifier) != 0 ||
			DatumGetObjectId(column(row, desc, 2, NULL)) != MyDatabaseId ||
			timeline < last_timeline)
			identity = MF_IDENTITY_OTHER;
		else if (timeline > last_timeline)
			identity = MF_IDENTITY_PROMOTED;
		else if (strcmp(TextDatumGetCString(column(row, desc, 3, NULL)), data_directory) != 0)
			identity = MF_IDENTITY_OTHER;
		else
			identity = MF_IDENTITY_SAME;
	}
	if (identity != MF_IDENTITY_SAME)
	{
		values[0] = CStringGetTextDatum(system_identifier);
		values[1] = ObjectIdGetDatum(MyDatabaseId);
		values[2] = CStringGetTextDatum(data_directory);
		values[3] = Int32GetDatum(timeline);
		(void) mf_sql_execute(&scope, &set_identity_statement, values, NULL);
	}
	mf_sql_end(&scope);
	return identity;
}

/* See queue.h. */
void
mf_queue_verify_all(Oid schema, TimestampTz due)
{
	MfSqlScope	scope;
	Datum		value = TimestampTzGetDatum(due);

	mf_sql_begin(&scope, schema);
	(void) mf_sql_execute(&scope, &verify_all_statement, &value, NULL);
	mf_sql_end(&scope);
}

/* See queue.h. */
void
mf_queue_expire_leases(Oid schema)
{
	MfSqlScope	scope;

	mf_sql_begin(&scope, schema);
	(void) mf_sql_execute(&scope, &expire_leases_statement, NULL, NULL);
	mf_sql_end(&scope);
}

/* See queue.h. */
List *
mf_queue_accounts(const MfSqlScope *scope)
{
	List	   *accounts = NIL;
	uint64		rows = mf_sql_execute(scope, &accounts_statement, NULL, NULL);
	uint64		i;

	for (i = 0; i < rows; i++)
	{
		MfAgendaAccount *account = (MfAgendaAccount *) palloc(sizeof(MfAgendaAccount));

		account->name = TextDatumGetCString(column(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, NULL));
		account->paused = DatumGetBool(column(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2, NULL));
		accounts = lappend(accounts, account);
	}
	return accounts;
}

/* See queue.h. */
List *
mf_queue_claim(const MfSqlScope *scope, const MfClaimLimit *limits, int count, TimestampTz now)
{
	ArrayBuilder accounts;
	ArrayBuilder slots;
	ArrayBuilder marks;
	Datum		values[4];
	int64	   *invoices;
	MfJobKind  *kinds;
	TimestampTz *ranks;
	int		   *steps;
	MfFollowUp *later;
	int			claimed;
	int			busy = 0;
	int			i;
	uint64		rows;
	uint64		j;
	List	   *jobs = NIL;

	builder_init(&accounts, count);
	builder_init(&slots, count);
	builder_init(&marks, count);
	for (i = 0; i < count; i++)
	{
		add_text(&accounts, limits[i].account);
		add_datum(&slots, Int32GetDatum(limits[i].slots));
		add_datum(&marks, TimestampTzGetDatum(limits[i].mark));
	}
	values[0] = finish_array(&accounts, TEXTOID);
	values[1] = finish_array(&slots, INT4OID);
	values[2] = finish_array(&marks, TIMESTAMPTZOID);
	values[3] = TimestampTzGetDatum(now);

	claimed = (int) mf_sql_execute(scope, &claim_entries_statement, values, NULL);
	if (claimed == 0)
		return NIL;

	invoices = (int64 *) palloc(claimed * sizeof(int64));
	kinds = (MfJobKind *) palloc(claimed * sizeof(MfJobKind));
	ranks = (TimestampTz *) palloc(claimed * sizeof(TimestampTz));
	steps = (int *) palloc(claimed * sizeof(int));
	for (i = 0; i < claimed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];

		invoices[i] = DatumGetInt64(column(tuple, SPI_tuptable->tupdesc, 1, NULL));
		kinds[i] = job_kind(TextDatumGetCString(column(tuple, SPI_tuptable->tupdesc, 2, NULL)));
		ranks[i] = DatumGetTimestampTz(column(tuple, SPI_tuptable->tupdesc, 3, NULL));
		steps[i] = DatumGetInt16(column(tuple, SPI_tuptable->tupdesc, 4, NULL));
	}

	values[0] = int8_array(invoices, claimed);
	rows = mf_sql_execute(scope, &claim_invoices_statement, values, NULL);
	for (j = 0; j < rows; j++)
	{
		MfJob	   *job = read_invoice(SPI_tuptable->vals[j], SPI_tuptable->tupdesc);

		for (i = 0; invoices[i] != job->invoice; i++)
			;
		job->kind = kinds[i];
		job->rank = ranks[i];
		job->step = steps[i];
		kinds[i] = MF_JOB_NONE;
		jobs = lappend(jobs, job);
	}

	/* what is left over is locked by somebody who changes it right now, or gone */
	later = (MfFollowUp *) palloc0(claimed * sizeof(MfFollowUp));
	for (i = 0; i < claimed; i++)
	{
		if (kinds[i] != MF_JOB_NONE)
		{
			later[busy].invoice = invoices[i];
			later[busy].next = kinds[i];
			later[busy].due = TimestampTzPlusMilliseconds(now, MF_BUSY_DELAY_MS);
			later[busy++].step = steps[i];
		}
	}
	if (busy > 0)
		mf_queue_follow_up(scope, later, busy);
	return jobs;
}

/* See queue.h. */
TimestampTz
mf_queue_next_due(const MfSqlScope *scope, const char *account, TimestampTz now)
{
	Datum		values[2];
	Datum		result;
	bool		isnull;

	values[0] = CStringGetTextDatum(account);
	values[1] = TimestampTzGetDatum(now);
	(void) mf_sql_execute(scope, &next_due_statement, values, NULL);
	result = column(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	return isnull ? 0 : DatumGetTimestampTz(result);
}

/* See queue.h. */
void
mf_queue_begin_attempts(const MfSqlScope *scope, const MfAttempt *attempts, int count)
{
	ArrayBuilder columns[5];
	Datum		values[5];
	int			i;

	for (i = 0; i < 5; i++)
		builder_init(&columns[i], count);
	for (i = 0; i < count; i++)
	{
		bytea	   *digest = (bytea *) palloc(VARHDRSZ + sizeof(attempts[i].body_sha256));

		SET_VARSIZE(digest, VARHDRSZ + sizeof(attempts[i].body_sha256));
		memcpy(VARDATA(digest), attempts[i].body_sha256, sizeof(attempts[i].body_sha256));
		add_datum(&columns[0], Int64GetDatum(attempts[i].invoice));
		add_datum(&columns[1], Int32GetDatum(attempts[i].attempt));
		add_text(&columns[2], attempts[i].reference);
		add_datum(&columns[3], PointerGetDatum(digest));
		add_datum(&columns[4], TimestampTzGetDatum(attempts[i].send_by));
	}
	for (i = 0; i < 5; i++)
	{
		static const Oid elements[] = {INT8OID, INT4OID, TEXTOID, BYTEAOID, TIMESTAMPTZOID};

		values[i] = finish_array(&columns[i], elements[i]);
	}
	(void) mf_sql_execute(scope, &begin_attempts_statement, values, NULL);
}

/* See queue.h. */
void
mf_queue_end_attempts(const MfSqlScope *scope, const MfAttemptEnd *ends, int count)
{
	ArrayBuilder columns[7];
	Datum		values[7];
	int			i;

	for (i = 0; i < 7; i++)
		builder_init(&columns[i], count);
	for (i = 0; i < count; i++)
	{
		add_datum(&columns[0], Int64GetDatum(ends[i].invoice));
		add_datum(&columns[1], Int32GetDatum(ends[i].attempt));
		add_text(&columns[2], mf_outcome_name(ends[i].outcome));
		add_datum(&columns[3], Int32GetDatum(ends[i].http_status));
		add_text(&columns[4], ends[i].invoice_id);
		add_text(&columns[5], ends[i].invoice_url);
		add_text(&columns[6], ends[i].error);
	}
	for (i = 0; i < 7; i++)
	{
		static const Oid elements[] = {INT8OID, INT4OID, TEXTOID, INT4OID, TEXTOID, TEXTOID, TEXTOID};

		values[i] = finish_array(&columns[i], elements[i]);
	}
	(void) mf_sql_execute(scope, &end_attempts_statement, values, NULL);
}

/* See queue.h. */
List *
mf_queue_lock_invoices(const MfSqlScope *scope, const int64 *invoices, int count)
{
	Datum		value = int8_array(invoices, count);
	uint64		rows = mf_sql_execute(scope, &lock_invoices_statement, &value, NULL);
	uint64		i;
	List	   *locked = NIL;

	for (i = 0; i < rows; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		MfLockedInvoice *invoice = (MfLockedInvoice *) palloc(sizeof(MfLockedInvoice));

		invoice->invoice = DatumGetInt64(column(tuple, SPI_tuptable->tupdesc, 1, NULL));
		invoice->status = (MfStatus) mf_status_from_name(
														 TextDatumGetCString(column(tuple, SPI_tuptable->tupdesc, 2, NULL)));
		invoice->attempts = DatumGetInt32(column(tuple, SPI_tuptable->tupdesc, 3, NULL));
		locked = lappend(locked, invoice);
	}
	return locked;
}

/* See queue.h. */
void
mf_queue_apply(const MfSqlScope *scope, const MfTransition *transitions, int count)
{
	ArrayBuilder columns[13];
	Datum		values[13];
	int			i;

	for (i = 0; i < 13; i++)
		builder_init(&columns[i], count);
	for (i = 0; i < count; i++)
	{
		const MfTransition *t = &transitions[i];

		add_datum(&columns[0], Int64GetDatum(t->invoice));
		add_text(&columns[1], mf_status_name(t->from));
		add_text(&columns[2], mf_status_name(t->to));
		add_datum(&columns[3], Int32GetDatum(t->attempt));
		add_text(&columns[4], t->next == MF_JOB_NONE ? NULL : job_names[t->next]);
		add_datum(&columns[5], TimestampTzGetDatum(t->due));
		add_text(&columns[6], t->reference);
		add_text(&columns[7], t->invoice_id);
		add_text(&columns[8], t->invoice_url);
		add_text(&columns[9], t->error);
		add_text(&columns[10], t->actor);
		add_text(&columns[11], t->reason);
		add_datum(&columns[12], BoolGetDatum(t->duplicate));
	}
	for (i = 0; i < 13; i++)
	{
		static const Oid elements[] = {INT8OID, TEXTOID, TEXTOID, INT4OID, TEXTOID, TIMESTAMPTZOID, TEXTOID,
		TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, BOOLOID};

		values[i] = finish_array(&columns[i], elements[i]);
	}
	(void) mf_sql_execute(scope, &apply_statement, values, NULL);
}

/* See queue.h. */
void
mf_queue_follow_up(const MfSqlScope *scope, const MfFollowUp *follow_ups, int count)
{
	ArrayBuilder columns[6];
	Datum		values[6];
	int			i;

	for (i = 0; i < 6; i++)
		builder_init(&columns[i], count);
	for (i = 0; i < count; i++)
	{
		const MfFollowUp *f = &follow_ups[i];

		add_datum(&columns[0], Int64GetDatum(f->invoice));
		add_text(&columns[1], f->next == MF_JOB_NONE ? NULL : job_names[f->next]);
		add_datum(&columns[2], TimestampTzGetDatum(f->due));
		add_datum(&columns[3], Int32GetDatum(f->step));
		add_text(&columns[4], f->error);
		add_datum(&columns[5], BoolGetDatum(f->duplicate));
	}
	for (i = 0; i < 6; i++)
	{
		static const Oid elements[] = {INT8OID, TEXTOID, TIMESTAMPTZOID, INT4OID, TEXTOID, BOOLOID};

		values[i] = finish_array(&columns[i], elements[i]);
	}
	(void) mf_sql_execute(scope, &follow_up_statement, values, NULL);
}

/* See queue.h. */
List *
mf_queue_old_references(const MfSqlScope *scope, int64 invoice)
{
	Datum		value = Int64GetDatum(invoice);
	uint64		rows = mf_sql_execute(scope, &old_references_statement, &value, NULL);
	List	   *references = NIL;
	uint64		i;

	for (i = 0; i < rows; i++)
		references = lappend(references,
							 TextDatumGetCString(column(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, NULL)));
	return references;
}

/* See queue.h. */
uint64
mf_queue_purge(const MfSqlScope *scope, TimestampTz before)
{
	Datum		value = TimestampTzGetDatum(before);

	return mf_sql_execute(scope, &purge_statement, &value, NULL);
}
