/*
 * queue_insert.c
 *	  New invoices are put on the agenda, without SQL.
 *
 * It does what insert_statement of queue_admin.c does, with which it is to be
 * kept in step, but reads the new rows once, computes nothing twice, and
 * writes many entries at a time.  Each INSERT into mf_invoice waits for it.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/queue_insert.c
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_class.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "invoice.h"
#include "queue_internal.h"

/* Entries that are written together */
#define BATCH 200

/* mf_queue, open for writing, and the entries that wait to be written */
typedef struct Agenda
{
	Relation	relation;
	EState	   *estate;
	ResultRelInfo *result;
	MemoryContext context;		/* of what the waiting entries refer to */
	CommandId	cid;
	int			waiting;
	TupleTableSlot *slots[BATCH];
	Datum		kinds[MF_JOB_NONE];
	TimestampTz now;			/* of the transaction */
} Agenda;

static bool is_plain(Relation relation);
static void open_agenda(Agenda *agenda, Relation relation);
static void close_agenda(Agenda *agenda);
static bool add_entry(Agenda *agenda, TupleTableSlot *row);
static void write_waiting(Agenda *agenda);
static TimestampTz rank_of(TimestampTz due, int priority);

/* See queue_internal.h. */
bool
mf_queue_insert_plain(Oid schema, Relation invoices, Tuplestorestate *new_rows, uint64 *entries)
{
	char	   *name = get_namespace_name(schema);
	Agenda	   *agenda;
	Relation	relation;
	TupleTableSlot *row;
	int			pointer;

	if (name == NULL)
		elog(ERROR, "cache lookup failed for schema %u", schema);
	relation = table_openrv(makeRangeVar(name, pstrdup("mf_queue"), -1), RowExclusiveLock);
	if (!is_plain(relation))
	{
		table_close(relation, NoLock);
		return false;
	}

	agenda = (Agenda *) palloc0(sizeof(Agenda));
	open_agenda(agenda, relation);
	row = MakeSingleTupleTableSlot(RelationGetDescr(invoices), &TTSOpsMinimalTuple);

	/* others read them too, each from a place of its own */
	pointer = tuplestore_alloc_read_pointer(new_rows, EXEC_FLAG_REWIND);
	tuplestore_select_read_pointer(new_rows, pointer);
	tuplestore_rescan(new_rows);
	*entries = 0;
	while (tuplestore_gettupleslot(new_rows, true, false, row))
	{
		CHECK_FOR_INTERRUPTS();
		if (add_entry(agenda, row))
			(*entries)++;
	}
	write_waiting(agenda);

	ExecDropSingleTupleTableSlot(row);
	close_agenda(agenda);
	table_close(relation, NoLock);
	CommandCounterIncrement();
	return true;
}

/* Whether nothing of the table needs the executor, and it has the columns that we know. */
static bool
is_plain(Relation relation)
{
	TupleDesc	desc = RelationGetDescr(relation);

	return relation->rd_rel->relkind == RELKIND_RELATION && desc->natts == MF_QC_END - 1 &&
		relation->trigdesc == NULL && relation->rd_rules == NULL && !relation->rd_rel->relrowsecurity &&
		(desc->constr == NULL || !desc->constr->has_generated_stored) &&
		pg_class_aclcheck(RelationGetRelid(relation), GetUserId(), ACL_INSERT) == ACLCHECK_OK;
}

/* Makes ready what writing needs. */
static void
open_agenda(Agenda *agenda, Relation relation)
{
	int			kind;

	agenda->relation = relation;
	agenda->estate = CreateExecutorState();
	agenda->result = makeNode(ResultRelInfo);
	InitResultRelInfo(agenda->result, relation, 0, NULL, 0);
	ExecOpenIndices(agenda->result, false);
	agenda->context = AllocSetContextCreate(CurrentMemoryContext, "myfatoorah agenda", ALLOCSET_DEFAULT_SIZES);
	agenda->cid = GetCurrentCommandId(true);
	for (kind = 0; kind < MF_JOB_NONE; kind++)
		agenda->kinds[kind] = CStringGetTextDatum(mf_job_name((MfJobKind) kind));
	agenda->now = GetCurrentTransactionStartTimestamp();
}

/* Gives it all back. */
static void
close_agenda(Agenda *agenda)
{
	int			i;

	for (i = 0; i < BATCH && agenda->slots[i] != NULL; i++)
		ExecDropSingleTupleTableSlot(agenda->slots[i]);
	ExecCloseIndices(agenda->result);
	FreeExecutorState(agenda->estate);
	MemoryContextDelete(agenda->context);
}

/* The entry of a new row, if there is anything to do for it. */
static bool
add_entry(Agenda *agenda, TupleTableSlot *row)
{
	TupleTableSlot *entry;
	MfJobKind	kind;
	TimestampTz due;
	int			priority;
	int			status;

	slot_getsomeattrs(row, MF_IC_CREATED_AT);
	status = mf_status_from_datum(row->tts_values[MF_IC_STATUS - 1]);
	switch (status)
	{
		case MF_QUEUED:
			/* of a restored row another server may have sent the first request */
			kind = DatumGetTimestampTz(row->tts_values[MF_IC_CREATED_AT - 1]) == agenda->now ?
				MF_JOB_SEND : MF_JOB_VERIFY;
			break;
		case MF_SENDING:
			kind = MF_JOB_SENDING;
			break;
		case MF_STATUS_UNKNOWN:
			kind = MF_JOB_RECONCILE;
			break;
		default:
			if (status != MF_REVIEW && !DatumGetBool(row->tts_values[MF_IC_DUPLICATE_SUSPECTED - 1]))
				return false;
			kind = MF_JOB_REVIEW;
	}
	if (kind == MF_JOB_REVIEW)
		TIMESTAMP_NOEND(due);
	else
		due = DatumGetTimestampTz(row->tts_values[MF_IC_SEND_AT - 1]);
	priority = DatumGetInt16(row->tts_values[MF_IC_PRIORITY - 1]);

	if (agenda->waiting == BATCH)
		write_waiting(agenda);
	if (agenda->slots[agenda->waiting] == NULL)
		agenda->slots[agenda->waiting] = table_slot_create(agenda->relation, NULL);
	entry = agenda->slots[agenda->waiting];
	ExecClearTuple(entry);
	memset(entry->tts_isnull, false, (MF_QC_END - 1) * sizeof(bool));
	entry->tts_values[MF_QC_INVOICE - 1] = row->tts_values[MF_IC_ID - 1];
	{
		/* its account goes with the row */
		MemoryContext old = MemoryContextSwitchTo(agenda->context);

		entry->tts_values[MF_QC_ACCOUNT - 1] =
			PointerGetDatum(PG_DETOAST_DATUM_COPY(row->tts_values[MF_IC_ACCOUNT - 1]));
		MemoryContextSwitchTo(old);
	}
	entry->tts_values[MF_QC_KIND - 1] = agenda->kinds[kind];
	entry->tts_values[MF_QC_DUE - 1] = TimestampTzGetDatum(due);
	entry->tts_values[MF_QC_RANK - 1] = TimestampTzGetDatum(rank_of(due, priority));
	entry->tts_values[MF_QC_PRIORITY - 1] = Int16GetDatum((int16) priority);
	entry->tts_values[MF_QC_STEP - 1] = Int16GetDatum(0);
	ExecStoreVirtualTuple(entry);
	agenda->waiting++;
	return true;
}

/* Writes the entries that wait, with all checks of the table and into all its indexes. */
static void
write_waiting(Agenda *agenda)
{
	MemoryContext old;
	int			i;

	if (agenda->waiting == 0)
		return;

	old = MemoryContextSwitchTo(agenda->context);
	if (RelationGetDescr(agenda->relation)->constr != NULL)
	{
		for (i = 0; i < agenda->waiting; i++)
			ExecConstraints(agenda->result, agenda->slots[i], agenda->estate);
	}
	table_multi_insert(agenda->relation, agenda->slots, agenda->waiting, agenda->cid, 0, NULL);
	MemoryContextSwitchTo(old);

	for (i = 0; i < agenda->waiting; i++)
	{
		(void) mf_insert_index_tuples(agenda->result, agenda->slots[i], agenda->estate);
		ResetPerTupleExprContext(agenda->estate);
		ExecClearTuple(agenda->slots[i]);
	}
	agenda->waiting = 0;
	MemoryContextReset(agenda->context);
}

/* MF_RANK() in C: ten minutes earlier per step of priority. */
static TimestampTz
rank_of(TimestampTz due, int priority)
{
	Interval	ahead = {0};

	if (priority == 0)
		return due;
	ahead.time = (TimeOffset) priority * 10 * USECS_PER_MINUTE;
	return DatumGetTimestampTz(DirectFunctionCall2(timestamptz_mi_interval, TimestampTzGetDatum(due),
												   IntervalPGetDatum(&ahead)));
}
