/*
 * table_rows.c
 *	  Reads and writes rows of our own tables without SQL.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/table_rows.c
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_class.h"
#include "commands/trigger.h"
#include "storage/bufmgr.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "database/sql.h"
#include "store/invoice.h"
#include "store/table_rows.h"

static bool has_types(TupleDesc desc, const Oid *types, int count);
static EState *make_state(Relation relation, const AttrNumber *updated);

bool
mf_table_has_pages(Oid schema, const char *name)
{
	Oid			relid = get_relname_relid(name, schema);
	Relation	relation;
	bool		has_pages;

	if (!OidIsValid(relid))
		return false;
	relation = table_open(relid, AccessShareLock);
	has_pages = RelationGetNumberOfBlocks(relation) > 0;
	table_close(relation, AccessShareLock);
	return has_pages;
}

/*
 * Whether the table has that many columns, and nothing that only SQL can do.  Rights
 * and policies do not matter, as for our statements.
 */
static bool
is_plain(Relation relation, int columns)
{
	TupleDesc	desc = RelationGetDescr(relation);

	return relation->rd_rel->relkind == RELKIND_RELATION && desc->natts == columns &&
		relation->trigdesc == NULL && relation->rd_rules == NULL &&
		(desc->constr == NULL || !desc->constr->has_generated_stored);
}

MfTable *
mf_table_open(Oid schema, const char *name, const AttrNumber *updated, const Oid *types, int columns, bool plain)
{
	Relation	relation = table_open(get_relname_relid(name, schema), RowExclusiveLock);
	MfTable    *table;

	if (!has_types(RelationGetDescr(relation), types, columns) ||
		(plain && !is_plain(relation, columns)) || relation->rd_rules != NULL ||
		(relation->trigdesc != NULL &&
		 (relation->trigdesc->trig_update_before_statement || relation->trigdesc->trig_update_after_statement)))
	{
		table_close(relation, NoLock);
		return NULL;
	}

	table = (MfTable *) palloc0(sizeof(MfTable));
	table->relation = relation;
	table->estate = make_state(relation, updated);
	table->result = makeNode(ResultRelInfo);
	InitResultRelInfo(table->result, relation, 1, NULL, 0);
	ExecOpenIndices(table->result, false);

	/* AFTER triggers look for it there */
	table->estate->es_opened_result_relations = lappend(NIL, table->result);
	mf_eval_plan_qual_init(&table->epq, table->estate);
	table->found = table_slot_create(relation, &table->estate->es_tupleTable);
	table->written = mf_alloc_table_slot(&table->estate->es_tupleTable, RelationGetDescr(relation), &TTSOpsHeapTuple);
	return table;
}

/* Whether the first columns have these types; element 0 is not used. */
static bool
has_types(TupleDesc desc, const Oid *types, int count)
{
	AttrNumber	column;

	if (desc->natts < count)
		return false;
	for (column = 1; column <= count; column++)
	{
		if (!mf_column_is(desc, column, types[column]))
			return false;
	}
	return true;
}

/* The state of a statement that sets these columns of the table, as the functions of the executor need it. */
static EState *
make_state(Relation relation, const AttrNumber *updated)
{
	EState	   *estate = CreateExecutorState();
	RangeTblEntry *entry = makeNode(RangeTblEntry);
	Bitmapset  *columns = NULL;

	for (; updated != NULL && *updated != 0; updated++)
		columns = bms_add_member(columns, *updated - FirstLowInvalidHeapAttributeNumber);
	entry->rtekind = RTE_RELATION;
	entry->relid = RelationGetRelid(relation);
	entry->relkind = relation->rd_rel->relkind;
	entry->rellockmode = RowExclusiveLock;
	mf_init_range_table(estate, entry, columns);
	return estate;
}

/* The executor reads a copy of the triggers, which belongs to this MfTable. */
void
mf_table_without_trigger(MfTable *table, const char *name)
{
	TriggerDesc *triggers = table->result->ri_TrigDesc;
	int			i;

	for (i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		if (strcmp(triggers->triggers[i].tgname, name) == 0)
			triggers->triggers[i].tgenabled = TRIGGER_DISABLED;
	}
}

void
mf_table_begin(MfTable *table)
{
	table->estate->es_snapshot = ActiveSnapshotSet() ? GetActiveSnapshot() : InvalidSnapshot;
	table->estate->es_output_cid = GetCurrentCommandId(true);
	table->blocks = RelationGetNumberOfBlocks(table->relation);
}

void
mf_table_close(MfTable *table)
{
	EvalPlanQualEnd(&table->epq);
	ExecResetTupleTable(table->estate->es_tupleTable, false);
	ExecCloseIndices(table->result);
	FreeExecutorState(table->estate);
	table_close(table->relation, NoLock);
	pfree(table);
}

bool
mf_table_find(MfTable *table, ItemPointer tid)
{
	/* the table may have been rewritten since the TID was read */
	if (!ItemPointerIsValid(tid) || ItemPointerGetBlockNumber(tid) >= table->blocks)
		return false;
	return table_tuple_fetch_row_version(table->relation, tid, table->estate->es_snapshot, table->found);
}

bool
mf_table_lock(MfTable *table, ItemPointer tid)
{
	TM_FailureData failure;

	/* a row that our snapshot sees cannot be pruned meanwhile */
	if (!mf_table_find(table, tid))
		return false;
	return table_tuple_lock(table->relation, tid, table->estate->es_snapshot, table->found,
							table->estate->es_output_cid, LockTupleNoKeyExclusive, LockWaitSkip, 0,
							&failure) == TM_Ok;
}

void
mf_table_make_room(MfTable *table, ItemPointer tid)
{
	Buffer		buffer;

	if (!ItemPointerIsValid(tid) || ItemPointerGetBlockNumber(tid) >= table->blocks ||
		table->relation->rd_tableam != GetHeapamTableAmRoutine())
		return;
	/* our own pins would keep the page from being pruned */
	ExecClearTuple(table->found);
	if (table->result->ri_TrigOldSlot != NULL)
		ExecClearTuple(table->result->ri_TrigOldSlot);
	buffer = ReadBuffer(table->relation, ItemPointerGetBlockNumber(tid));
	mf_prune_page(table->relation, buffer);
	ReleaseBuffer(buffer);
}

Datum
mf_table_value(MfTable *table, AttrNumber column, bool *isnull)
{
	return slot_getattr(table->found, column, isnull);
}

bool
mf_table_update(MfTable *table, const MfColumn *columns, int count, ItemPointer tid)
{
	TupleDesc	desc = RelationGetDescr(table->relation);
	MemoryContext old = MemoryContextSwitchTo(GetPerTupleMemoryContext(table->estate));
	bool		changed;
	bool		was_firing;
	Datum	   *values = (Datum *) palloc(desc->natts * sizeof(Datum));
	bool	   *isnull = (bool *) palloc(desc->natts * sizeof(bool));
	int			guc_level;
	int			i;

	slot_getallattrs(table->found);
	memcpy(values, table->found->tts_values, desc->natts * sizeof(Datum));
	memcpy(isnull, table->found->tts_isnull, desc->natts * sizeof(bool));
	for (i = 0; i < count; i++)
	{
		values[columns[i].column - 1] = columns[i].value;
		isnull[columns[i].column - 1] = columns[i].isnull;
	}
	ExecStoreHeapTuple(heap_form_tuple(desc, values, isnull), table->written, false);

	/* as in a statement, where trigger functions may keep what they allocate until the next row */
	MemoryContextSwitchTo(table->estate->es_query_cxt);
	guc_level = NewGUCNestLevel();
	was_firing = mf_sql_set_fires_triggers(true);
	PG_TRY();
	{
		ExecSimpleRelationUpdate(table->result, table->estate, &table->epq, table->found, table->written);
	}
	PG_FINALLY();
	{
		(void) mf_sql_set_fires_triggers(was_firing);
	}
	PG_END_TRY();
	AtEOXact_GUC(false, guc_level);

	/* a tuple that was not written has no TID, or that of the tuple it was made from */
	changed = ItemPointerIsValid(&table->written->tts_tid) &&
		!ItemPointerEquals(&table->written->tts_tid, &table->found->tts_tid);
	*tid = table->written->tts_tid;
	MemoryContextSwitchTo(old);
	ExecClearTuple(table->written);
	ResetPerTupleExprContext(table->estate);
	return changed;
}

void
mf_table_delete(MfTable *table)
{
	ExecSimpleRelationDelete(table->result, table->estate, &table->epq, table->found);
	ResetPerTupleExprContext(table->estate);
}

void
mf_table_add(MfTable *table, const Datum *values, const bool *isnull, ItemPointer tid)
{
	TupleTableSlot **row = &table->rows[table->waiting];
	int			columns = RelationGetDescr(table->relation)->natts;

	Assert(table->waiting < MF_TABLE_BATCH);
	if (*row == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(table->estate->es_query_cxt);

		*row = table_slot_create(table->relation, &table->estate->es_tupleTable);
		MemoryContextSwitchTo(old);
	}
	memcpy((*row)->tts_values, values, columns * sizeof(Datum));
	memcpy((*row)->tts_isnull, isnull, columns * sizeof(bool));
	ExecStoreVirtualTuple(*row);
	table->tids[table->waiting++] = tid;
}

int
mf_table_insert(MfTable *table, bool new_only)
{
	MemoryContext old = MemoryContextSwitchTo(GetPerTupleMemoryContext(table->estate));
	int			count = table->waiting;
	bool		conflict = false;
	int			written;
	int			i;

	if (RelationGetDescr(table->relation)->constr != NULL)
	{
		for (i = 0; i < count; i++)
			ExecConstraints(table->result, table->rows[i], table->estate);
	}
	if (count > 0)
		table_multi_insert(table->relation, table->rows, count, table->estate->es_output_cid, 0, NULL);
	MemoryContextSwitchTo(old);

	for (written = 0; written < count; written++)
	{
		if (new_only)
			(void) mf_insert_new_index_tuples(table->result, table->rows[written], table->estate, &conflict);
		else
			(void) mf_insert_index_tuples(table->result, table->rows[written], table->estate);
		if (conflict)
			break;
		if (table->tids[written] != NULL)
			*table->tids[written] = table->rows[written]->tts_tid;
	}

	/*
	 * The other rows are in the table without all index entries, and are deleted
	 * like any row.  A transaction that inserts the same key may wait for us
	 * already, as it does for a row that stays.
	 */
	if (written < count)
		CommandCounterIncrement();
	for (i = written; i < count; i++)
		simple_table_tuple_delete(table->relation, &table->rows[i]->tts_tid, table->estate->es_snapshot);
	for (i = 0; i < count; i++)
		ExecClearTuple(table->rows[i]);
	ResetPerTupleExprContext(table->estate);
	table->waiting = 0;
	return written;
}
