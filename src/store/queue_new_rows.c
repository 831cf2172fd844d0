/*
 * queue_new_rows.c
 *	  The agenda follows mf_invoice: new invoices, changes of queued ones, deletions.
 *
 * Each INSERT into mf_invoice waits for what is done here.  So the new rows are
 * read once, nothing is computed twice, and many entries are written at a time,
 * without SQL where mf_queue is as the install script made it.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/queue_new_rows.c
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "account/account_option.h"
#include "base/compat.h"
#include "database/sql.h"
#include "database/sql_array.h"
#include "process/database_identity.h"
#include "process/wakeup.h"
#include "store/inquiries_open.h"
#include "store/invoice.h"
#include "store/personal_data.h"
#include "store/queue.h"
#include "store/queue_internal.h"
#include "store/table_rows.h"

/* columns that new entries have, in the order of insert_statement; the error is null */
static const AttrNumber entry_columns[] = {
	MF_QC_INVOICE, MF_QC_ACCOUNT, MF_QC_KIND, MF_QC_DUE, MF_QC_RANK, MF_QC_PRIORITY, MF_QC_LOOKUPS, MF_QC_ORIGIN,
	MF_QC_PROMOTE
};

static MfStatement insert_statement = {
	"WITH q AS (INSERT INTO @mf_queue (invoice, account, kind, due, rank, priority, lookups, origin, promote) "
	"  SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING 1) "
	"SELECT cardinality($1) - (SELECT count(*) FROM q)",
	9, {INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, INT2ARRAYOID, INT2ARRAYOID,
		INT8ARRAYOID, BOOLARRAYOID}, NULL
};

/* restored rows that the server they come from may send, or ask about */
static MfStatement in_use_statement = {
	"SELECT FROM new_rows n WHERE n.status IN ('queued', 'sending', 'unknown') OR n.invoice_id IS NOT NULL LIMIT 1",
	0, {0}, NULL
};

static MfStatement reschedule_statement = {
	"UPDATE @mf_queue q SET account = $2, due = d.due, "
	"  " MF_SET_RANK(MF_NOT_BEFORE("d.due", "$6"), "$4") ", priority = $4, "
	/* an entry that waits after failures goes on waiting; one that waited for a time of the day may not have to */
	"  lookups = CASE WHEN q.kind = 'verify' THEN 0 WHEN d.due <> $3 THEN " CppAsString2(MF_LOOKUPS_TIMED) " "
	"    ELSE greatest(q.lookups, 0) END, error = CASE q.kind WHEN 'send' THEN q.error END "
	"FROM (VALUES ('send', $7), ('verify', " MF_VERIFY_DUE("$3", "$5") ")) d(kind, due) "
	"WHERE q.invoice = $1 AND q.kind = d.kind",
	7, {INT8OID, TEXTOID, TIMESTAMPTZOID, INT2OID, INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID}, NULL
};

/* Entries in the making */
typedef struct NewEntries
{
	const MfSqlScope *scope;
	MfTable    *table;			/* mf_queue; NULL = to be written by SQL */
	MfArray    *columns;		/* of insert_statement, for entries that wait to be written so */
	int			waiting;
	uint64		count;			/* of all */
	MemoryContext context;		/* what the waiting entries refer to */
	Datum		kinds[MF_JOB_NONE];
	TimestampTz now;			/* start of the transaction */
	int64		origin;
	NameData	woken_account;	/* the latest one whose worker was told */
	const MfAccount *account;	/* the latest one whose options were read */
} NewEntries;

static MfStatement forget_statement = {
	"WITH q AS (DELETE FROM @mf_queue WHERE invoice = $1), "
	"k AS (DELETE FROM @mf_invoice_number WHERE invoice_id = $2 AND invoice = $1), "
	"r AS (DELETE FROM @mf_reaction_queue WHERE invoice = $1) "
	"DELETE FROM @mf_inquiry WHERE invoice = $1",
	2, {INT8OID, INT8OID}, NULL
};

static MfStatement forget_all_statement = {
	"WITH a AS (DELETE FROM @mf_attempt), t AS (DELETE FROM @mf_transition), p AS (DELETE FROM @mf_transaction), "
	"q AS (DELETE FROM @mf_inquiry), r AS (DELETE FROM @mf_reaction_queue WHERE invoice IS NOT NULL), m AS (DELETE FROM @mf_money), "
	"d AS (DELETE FROM @mf_dispute_state), k AS (DELETE FROM @mf_invoice_number), o AS (DELETE FROM @mf_operation), "
	"b AS (DELETE FROM @mf_operation_attempt) "
	"UPDATE @mf_event e SET invoice = NULL, due = NULL, data = " MF_EVENT_KEPT("e.data", "e.event_code") " WHERE invoice IS NOT NULL",
	0, {0}, NULL
};

/*
 * What stayed would become the history of another invoice with the same id.  Rows
 * are not counted before, because the process that calls functions of mf_on_change()
 * may delete some at the same time.
 */
static MfStatement kept_statement = {
	"SELECT FROM (VALUES (1)) v WHERE EXISTS (SELECT FROM @mf_attempt) OR EXISTS (SELECT FROM @mf_transition) "
	"  OR EXISTS (SELECT FROM @mf_transaction) OR EXISTS (SELECT FROM @mf_inquiry) OR EXISTS (SELECT "
	"    FROM @mf_reaction_queue WHERE invoice IS NOT NULL) "
	"  OR EXISTS (SELECT FROM @mf_money) OR EXISTS (SELECT FROM @mf_dispute_state) OR EXISTS (SELECT "
	"    FROM @mf_invoice_number) "
	"  OR EXISTS (SELECT FROM @mf_event WHERE invoice IS NOT NULL) OR EXISTS (SELECT FROM @mf_operation) "
	"  OR EXISTS (SELECT FROM @mf_operation_attempt)",
	0, {0}, NULL
};

static void start_entries(NewEntries *entries, const MfSqlScope *scope);
static void end_entries(NewEntries *entries);
static void add_entries(NewEntries *entries, Relation invoices, Tuplestorestate *new_rows);
static MfJobKind entry_kind(const NewEntries *entries, TupleTableSlot *row);
static void add_entry(NewEntries *entries, TupleTableSlot *row, MfJobKind kind);
static const MfAccount *get_account(NewEntries *entries, Datum account);
static void wake_account(NewEntries *entries, Datum account);
static void write_entries(NewEntries *entries);
static TimestampTz promoted_rank(TimestampTz due, int priority);

uint64
mf_queue_insert(Oid schema, TriggerData *trigger, bool *in_use)
{
	MfSqlScope	scope;
	NewEntries	entries;

	mf_sql_begin(&scope, schema);
	start_entries(&entries, &scope);
	add_entries(&entries, trigger->tg_relation, trigger->tg_newtable);
	end_entries(&entries);
	if (in_use != NULL)
	{
		if (SPI_register_trigger_data(trigger) != SPI_OK_TD_REGISTER)
			elog(ERROR, "could not register the new rows");
		*in_use = mf_sql_execute(&scope, &in_use_statement, NULL, NULL) > 0;
		mf_inquiries_open_restored(&scope, GetCurrentTimestamp());
	}
	mf_sql_end(&scope);
	return entries.count;
}

void
mf_queue_reschedule(Oid schema, int64 invoice, const char *account, TimestampTz send_at, TimestampTz due, int priority,
					TimestampTz created_at)
{
	Datum		values[] = {
		Int64GetDatum(invoice), CStringGetTextDatum(account), TimestampTzGetDatum(send_at),
		Int16GetDatum((int16) priority), Int32GetDatum(mf_verify_wait()), TimestampTzGetDatum(created_at),
		TimestampTzGetDatum(due)
	};

	(void) mf_execute_alone(schema, &reschedule_statement, values, NULL);
}

/* Opens mf_queue, unless somebody has given it a trigger, say: then SQL writes. */
static void
start_entries(NewEntries *entries, const MfSqlScope *scope)
{
	int			kind;

	memset(entries, 0, sizeof(NewEntries));
	entries->scope = scope;
	entries->table = mf_table_open(scope->schema, "mf_queue", NULL, mf_queue_types, MF_QC_END - 1, true);
	if (entries->table != NULL)
		mf_table_begin(entries->table);
	else
		entries->columns = mf_columns_start(&insert_statement, MF_TABLE_BATCH);
	entries->context = AllocSetContextCreate(CurrentMemoryContext, "myfatoorah agenda", ALLOCSET_DEFAULT_SIZES);
	for (kind = 0; kind < MF_JOB_NONE; kind++)
		entries->kinds[kind] = CStringGetTextDatum(mf_job_name((MfJobKind) kind));
	entries->now = GetCurrentTransactionStartTimestamp();
	entries->origin = mf_database_origin(scope->schema);
}

static void
end_entries(NewEntries *entries)
{
	write_entries(entries);
	MemoryContextDelete(entries->context);
	if (entries->table == NULL)
		return;
	mf_table_close(entries->table);
	CommandCounterIncrement();
}

static void
add_entries(NewEntries *entries, Relation invoices, Tuplestorestate *new_rows)
{
	TupleTableSlot *row = MakeSingleTupleTableSlot(RelationGetDescr(invoices), &TTSOpsMinimalTuple);

	/* others read the rows too, each by a pointer of its own */
	int			pointer = tuplestore_alloc_read_pointer(new_rows, EXEC_FLAG_REWIND);

	tuplestore_select_read_pointer(new_rows, pointer);
	tuplestore_rescan(new_rows);
	while (tuplestore_gettupleslot(new_rows, true, false, row))
	{
		MfJobKind	kind;

		CHECK_FOR_INTERRUPTS();
		slot_getsomeattrs(row, MF_IC_CREATED_AT);
		kind = entry_kind(entries, row);
		if (kind != MF_JOB_NONE)
			add_entry(entries, row, kind);
		/* triggers of users, which writing may have fired, read by theirs */
		tuplestore_select_read_pointer(new_rows, pointer);
	}
	ExecDropSingleTupleTableSlot(row);
}

/* What is to be done for a new row. */
static MfJobKind
entry_kind(const NewEntries *entries, TupleTableSlot *row)
{
	switch (mf_status_from_datum(row->tts_values[MF_IC_STATUS - 1]))
	{
		case MF_STATUS_QUEUED:
			/* another server may have sent a restored row */
			return DatumGetTimestampTz(row->tts_values[MF_IC_CREATED_AT - 1]) == entries->now ?
				MF_JOB_SEND : MF_JOB_VERIFY;
		case MF_STATUS_SENDING:
			return MF_JOB_SENDING;
		case MF_STATUS_UNKNOWN:
			return MF_JOB_RECONCILE;
		case MF_STATUS_REVIEW:
			return MF_JOB_REVIEW;
		default:
			return DatumGetBool(row->tts_values[MF_IC_DUPLICATE_SUSPECTED - 1]) ? MF_JOB_REVIEW : MF_JOB_NONE;
	}
}

/* When it is to be done; *timed becomes true if it waits for a time of the day at which its account sends. */
static TimestampTz
entry_due(NewEntries *entries, TupleTableSlot *row, MfJobKind kind, bool *timed)
{
	TimestampTz send_at = DatumGetTimestampTz(row->tts_values[MF_IC_SEND_AT - 1]);
	TimestampTz due;
	const MfAccount *account;
	bool		notifies;

	*timed = false;
	switch (kind)
	{
		case MF_JOB_REVIEW:
			TIMESTAMP_NOEND(due);
			return due;
		case MF_JOB_SEND:
			account = get_account(entries, row->tts_values[MF_IC_ACCOUNT - 1]);
			if (account == NULL)
				return send_at;
			notifies = !mf_text_is(row->tts_values[MF_IC_CUSTOMER_NAME + MF_SP_NOTIFICATION_OPTION - 1], "LNK");
			due = mf_send_due(account, send_at, notifies, entries->now);
			*timed = due > entries->now && due != send_at;
			return due;
		case MF_JOB_VERIFY:
			return mf_verify_due(send_at, GetCurrentTimestamp());
		default:
			return send_at;
	}
}

static void
add_entry(NewEntries *entries, TupleTableSlot *row, MfJobKind kind)
{
	Datum		values[MF_QC_END - 1];
	bool		isnull[MF_QC_END - 1] = {false};
	TimestampTz created_at = DatumGetTimestampTz(row->tts_values[MF_IC_CREATED_AT - 1]);
	int			priority = DatumGetInt16(row->tts_values[MF_IC_PRIORITY - 1]);
	bool		timed;
	TimestampTz due = entry_due(entries, row, kind, &timed);
	TimestampTz rank = Max(due, Min(created_at, entries->now)); /* as MF_NOT_BEFORE() */
	bool		later = rank > entries->now;
	MemoryContext old;
	size_t		i;

	/* the slot is emptied before the entry is written */
	old = MemoryContextSwitchTo(entries->context);
	values[MF_QC_ACCOUNT - 1] = PointerGetDatum(PG_DETOAST_DATUM_COPY(row->tts_values[MF_IC_ACCOUNT - 1]));
	MemoryContextSwitchTo(old);
	wake_account(entries, values[MF_QC_ACCOUNT - 1]);

	values[MF_QC_INVOICE - 1] = row->tts_values[MF_IC_ID - 1];
	values[MF_QC_KIND - 1] = entries->kinds[kind];
	values[MF_QC_DUE - 1] = TimestampTzGetDatum(due);
	values[MF_QC_RANK - 1] = TimestampTzGetDatum(later ? rank : promoted_rank(rank, priority));
	values[MF_QC_PROMOTE - 1] = BoolGetDatum(later && priority > 0);
	values[MF_QC_PRIORITY - 1] = Int16GetDatum((int16) priority);
	values[MF_QC_LOOKUPS - 1] = Int16GetDatum(timed ? MF_LOOKUPS_TIMED : 0);
	values[MF_QC_ORIGIN - 1] = Int64GetDatum(entries->origin);
	isnull[MF_QC_ERROR - 1] = true;

	if (entries->table != NULL)
		mf_table_add(entries->table, values, isnull, NULL);
	else
		for (i = 0; i < lengthof(entry_columns); i++)
			mf_array_add(&entries->columns[i], values[entry_columns[i] - 1]);
	entries->count++;
	if (++entries->waiting == MF_TABLE_BATCH)
		write_entries(entries);
}

/* The account of a row, mostly that of the row before; NULL if a dump restores the row before its server. */
static const MfAccount *
get_account(NewEntries *entries, Datum account)
{
	if (entries->account == NULL || !mf_text_is(account, entries->account->name))
	{
		char	   *name = TextDatumGetCString(account);

		entries->account = mf_account_exists(name) ? mf_account_get(name) : NULL;
	}
	return entries->account;
}

/* Has the worker look at an account after the commit; each account once in a row. */
static void
wake_account(NewEntries *entries, Datum account)
{
	text	   *name = DatumGetTextPP(account);
	int			len = VARSIZE_ANY_EXHDR(name);
	char	   *last = NameStr(entries->woken_account);

	if (len < NAMEDATALEN && memcmp(last, VARDATA_ANY(name), len) == 0 && last[len] == '\0')
		return;
	memset(last, 0, NAMEDATALEN);
	memcpy(last, VARDATA_ANY(name), Min(len, NAMEDATALEN - 1));
	mf_wake_account_at_commit(len < NAMEDATALEN ? last : NULL);
}

/* Writes the entries that wait; raises an error if a trigger of a user keeps one from being written. */
static void
write_entries(NewEntries *entries)
{
	if (entries->waiting == 0)
		return;
	if (entries->table != NULL)
		(void) mf_table_insert(entries->table, false);
	else
	{
		size_t		i;

		mf_columns_change(entries->scope, &insert_statement, entries->columns);
		for (i = 0; i < lengthof(entry_columns); i++)
			entries->columns[i].count = 0;
	}
	entries->waiting = 0;
	MemoryContextReset(entries->context);
}

/* MF_PROMOTED() in C: ten minutes earlier than "due" per step of priority. */
static TimestampTz
promoted_rank(TimestampTz due, int priority)
{
	return Max(due, MF_TIME_MIN) - (TimestampTz) priority * 10 * USECS_PER_MINUTE;
}

void
mf_invoice_deleted(Oid schema, int64 invoice, int64 invoice_id)
{
	Datum		values[2] = {Int64GetDatum(invoice), Int64GetDatum(invoice_id)};
	MfSqlScope	scope;

	mf_sql_begin(&scope, schema);
	(void) mf_sql_execute(&scope, &forget_statement, values, NULL);
	mf_personal_data_erase_lines(&scope, invoice);
	mf_sql_end(&scope);
}

void
mf_invoices_truncated(Oid schema)
{
	MfSqlScope	scope;

	mf_sql_begin(&scope, schema);
	(void) mf_sql_execute(&scope, &forget_all_statement, NULL, NULL);
	if (mf_sql_execute(&scope, &kept_statement, NULL, NULL) > 0)
		mf_change_suppressed();
	mf_sql_end(&scope);
}
