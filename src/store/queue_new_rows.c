/*
 * queue_new_rows.c
 *	  New invoices are put on the agenda, without SQL.
 *
 * It does what insert_statement of queue_admin.c does, with which it is to be
 * kept in step, but reads the new rows once, computes nothing twice, and
 * writes many entries at a time.  Each INSERT into mf_invoice waits for it.
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

#include "account/send_time.h"
#include "base/compat.h"
#include "database/sql_array.h"
#include "process/database_identity.h"
#include "process/worker_slots.h"
#include "store/column_types.h"
#include "store/inquiries_open.h"
#include "store/invoice.h"
#include "store/queue_internal.h"
#include "store/queue_new_rows.h"
#include "store/table_rows.h"

/* the same as insert_rows() */
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

/* mf_queue, open for writing, and the entries that wait to be written */
typedef struct Agenda
{
	MfTable    *table;
	MemoryContext context;		/* of what the waiting entries refer to */
	Datum		kinds[MF_JOB_NONE];
	TimestampTz now;			/* of the transaction */
	int64		here;
	NameData	changed;		/* the account whose change was noted last */
	const MfAccount *account;	/* whose times were asked for last */
} Agenda;

static bool insert_rows(Oid schema, Relation invoices, Tuplestorestate *new_rows, uint64 *entries);
static bool add_entry(Agenda *agenda, TupleTableSlot *row);
static const MfAccount *account_of(Agenda *agenda, Datum account);
static void note_change(Agenda *agenda, Datum account);
static void write_waiting(Agenda *agenda);
static TimestampTz promoted(TimestampTz due, int priority);

uint64
mf_queue_insert(Oid schema, TriggerData *trigger, bool *in_use)
{
	MfSqlScope	scope;
	uint64		rows;
	bool		plain;

	mf_sql_begin(&scope, schema);
	plain = insert_rows(schema, trigger->tg_relation, trigger->tg_newtable, &rows);
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

/*
 * Puts new rows of mf_invoice on the agenda, as the current role, and counts
 * the entries.  False if mf_queue is not as we have made it (somebody has given
 * it a trigger, say), so that SQL has to do it.
 */
static bool
insert_rows(Oid schema, Relation invoices, Tuplestorestate *new_rows, uint64 *entries)
{
	Agenda		agenda;
	TupleTableSlot *row;
	int			kind;
	int			pointer;

	agenda.table = mf_table_open(schema, "mf_queue", NULL, mf_queue_types, MF_QC_END - 1, true);
	if (agenda.table == NULL)
		return false;
	mf_table_begin(agenda.table);
	agenda.context = AllocSetContextCreate(CurrentMemoryContext, "myfatoorah agenda", ALLOCSET_DEFAULT_SIZES);
	for (kind = 0; kind < MF_JOB_NONE; kind++)
		agenda.kinds[kind] = CStringGetTextDatum(mf_job_name((MfJobKind) kind));
	agenda.now = GetCurrentTransactionStartTimestamp();
	agenda.here = mf_database_origin();
	memset(&agenda.changed, 0, sizeof(agenda.changed));
	agenda.account = NULL;
	row = MakeSingleTupleTableSlot(RelationGetDescr(invoices), &TTSOpsMinimalTuple);

	/* others read them too, each from a place of its own */
	pointer = tuplestore_alloc_read_pointer(new_rows, EXEC_FLAG_REWIND);
	tuplestore_select_read_pointer(new_rows, pointer);
	tuplestore_rescan(new_rows);
	*entries = 0;
	while (tuplestore_gettupleslot(new_rows, true, false, row))
	{
		CHECK_FOR_INTERRUPTS();
		if (add_entry(&agenda, row))
			(*entries)++;
	}
	write_waiting(&agenda);

	ExecDropSingleTupleTableSlot(row);
	MemoryContextDelete(agenda.context);
	mf_table_close(agenda.table);
	CommandCounterIncrement();
	return true;
}

/* The entry of a new row, if there is anything to do for it. */
static bool
add_entry(Agenda *agenda, TupleTableSlot *row)
{
	Datum		values[MF_QC_END - 1];
	bool		isnull[MF_QC_END - 1] = {false};
	MfJobKind	kind;
	TimestampTz due;
	TimestampTz rank;
	int			priority;
	int			status;
	const MfAccount *account;
	bool		timed = false;
	bool		later;

	slot_getsomeattrs(row, MF_IC_CREATED_AT);
	status = mf_status_from_datum(row->tts_values[MF_IC_STATUS - 1]);
	switch (status)
	{
		case MF_STATUS_QUEUED:
			/* of a restored row another server may have sent the first request */
			kind = DatumGetTimestampTz(row->tts_values[MF_IC_CREATED_AT - 1]) == agenda->now ?
				MF_JOB_SEND : MF_JOB_VERIFY;
			break;
		case MF_STATUS_SENDING:
			kind = MF_JOB_SENDING;
			break;
		case MF_STATUS_UNKNOWN:
			kind = MF_JOB_RECONCILE;
			break;
		default:
			if (status != MF_STATUS_REVIEW && !DatumGetBool(row->tts_values[MF_IC_DUPLICATE_SUSPECTED - 1]))
				return false;
			kind = MF_JOB_REVIEW;
	}
	if (kind == MF_JOB_REVIEW)
		TIMESTAMP_NOEND(due);
	else
		due = DatumGetTimestampTz(row->tts_values[MF_IC_SEND_AT - 1]);
	if (kind == MF_JOB_SEND && (account = account_of(agenda, row->tts_values[MF_IC_ACCOUNT - 1])) != NULL)
	{
		due = mf_send_due(account, due,
						  !mf_text_is(row->tts_values[MF_IC_CUSTOMER_NAME + MF_SP_NOTIFICATION_OPTION - 1], "LNK"), agenda->now);
		timed = due > agenda->now && due != DatumGetTimestampTz(row->tts_values[MF_IC_SEND_AT - 1]);
	}
	if (kind == MF_JOB_VERIFY && due < MF_TIME_END)
		due = TimestampTzPlusMilliseconds(Max(due, GetCurrentTimestamp()), mf_verify_wait());
	priority = DatumGetInt16(row->tts_values[MF_IC_PRIORITY - 1]);

	values[MF_QC_INVOICE - 1] = row->tts_values[MF_IC_ID - 1];
	{
		/* its account goes with the row */
		MemoryContext old = MemoryContextSwitchTo(agenda->context);

		values[MF_QC_ACCOUNT - 1] = PointerGetDatum(PG_DETOAST_DATUM_COPY(row->tts_values[MF_IC_ACCOUNT - 1]));
		MemoryContextSwitchTo(old);
	}
	note_change(agenda, values[MF_QC_ACCOUNT - 1]);
	values[MF_QC_KIND - 1] = agenda->kinds[kind];
	values[MF_QC_DUE - 1] = TimestampTzGetDatum(due);
	rank = Max(due, Min(DatumGetTimestampTz(row->tts_values[MF_IC_CREATED_AT - 1]), agenda->now));
	later = rank > agenda->now;
	values[MF_QC_RANK - 1] = TimestampTzGetDatum(later ? rank : promoted(rank, priority));
	values[MF_QC_PROMOTE - 1] = BoolGetDatum(later && priority > 0);
	values[MF_QC_PRIORITY - 1] = Int16GetDatum((int16) priority);
	values[MF_QC_STEP - 1] = Int16GetDatum(timed ? MF_TIMED_STEP : 0);
	values[MF_QC_ORIGIN - 1] = Int64GetDatum(agenda->here);
	isnull[MF_QC_ERROR - 1] = true;
	mf_table_add(agenda->table, values, isnull, NULL);
	if (agenda->table->waiting == MF_TABLE_BATCH)
		write_waiting(agenda);
	return true;
}

/* The account of a row, mostly that of the row before; NULL if a dump brings the row back before it. */
static const MfAccount *
account_of(Agenda *agenda, Datum account)
{
	if (agenda->account == NULL || !mf_text_is(account, agenda->account->name))
	{
		char	   *name = TextDatumGetCString(account);

		agenda->account = mf_account_exists(name) ? mf_account_get(name) : NULL;
	}
	return agenda->account;
}

/* The worker is told which accounts have something new. */
static void
note_change(Agenda *agenda, Datum account)
{
	text	   *name = DatumGetTextPP(account);
	int			len = VARSIZE_ANY_EXHDR(name);
	char	   *last = NameStr(agenda->changed);

	if (len < NAMEDATALEN && memcmp(last, VARDATA_ANY(name), len) == 0 && last[len] == '\0')
		return;
	memset(last, 0, NAMEDATALEN);
	memcpy(last, VARDATA_ANY(name), Min(len, NAMEDATALEN - 1));
	mf_wake_account_at_commit(len < NAMEDATALEN ? last : NULL);
}

/* Writes the entries that wait. */
static void
write_waiting(Agenda *agenda)
{
	mf_table_insert(agenda->table);
	MemoryContextReset(agenda->context);
}

/* MF_PROMOTED() in C: ten minutes earlier than "due" per step of priority. */
static TimestampTz
promoted(TimestampTz due, int priority)
{
	return Max(due, MF_TIME_MIN) - (TimestampTz) priority * 10 * USECS_PER_MINUTE;
}
