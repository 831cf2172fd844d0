/*
 * enqueue_follow.c
 *	  Queued invoices follow the rows of users' tables that they were made of.
 *
 * A row that moves to another partition is deleted from one and inserted into the
 * other.  So deletions are only noted, and the invoices are cancelled at the end of
 * the statement: then it is known which rows were inserted again, and many
 * invoices are cancelled by few statements.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/triggers/enqueue_follow.c
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "database/sql_array.h"
#include "functions/invoice_actions.h"
#include "store/row_rights.h"
#include "triggers/enqueue.h"
#include "triggers/enqueue_private.h"

/* Values of the source columns of a row, in the order of the sources */
typedef struct SourceValues
{
	const MfMapping *mapping;
	Oid			types[MF_MAX_SOURCES];
	Datum		values[MF_MAX_SOURCES];
	bool		isnull[MF_MAX_SOURCES];
} SourceValues;

/* A row of a target; without padding, because it is hashed */
typedef struct TargetRow
{
	int64		id;
	int64		target;			/* OID of mf_invoice, or another table */
} TargetRow;

/* A row that was deleted, by its invoice */
typedef struct Deletion
{
	TargetRow	row;
	Oid			schema;			/* of the target */
	MfPlan	   *undo;			/* NULL of mf_invoice; lives until the end of the transaction */
	Oid			relation;		/* from which it was deleted */
	bool		cancel;			/* false: only noted in case the row moves */
	SourceValues *values;		/* NULL unless the row may be inserted again
								 * and the invoice follows it */
} Deletion;

/* A statement at the end of which row triggers fire */
typedef struct Statement
{
	MemoryContext context;		/* NULL until a row is deleted */
	HTAB	   *deletions;
	bool		may_insert;		/* a row that it deletes */
	struct Statement *outer;	/* NULL = none */
} Statement;

static Statement *current_statement = NULL;
static ExecutorFinish_hook_type previous_finish_hook = NULL;

static void finish_hook(QueryDesc *query);
static void forget_statement(void);
static void cancel_deleted(void);
static int	compare_deletions(const void *a, const void *b);
static void cancel_rows(Deletion **deletions, int count);
static void undo_rows(Deletion **deletions, int count, const char *reason);
static void read_values(const MfMapping *mapping, HeapTuple row, TupleDesc desc, SourceValues *row_values);
static SourceValues *copy_values(const SourceValues *row_values);
static void update_invoice(MfMapping *mapping, const TriggerData *trigger, int64 invoice, const SourceValues *before,
						   const SourceValues *after);
static bool has_same_value(const SourceValues *before, const SourceValues *after, int i);
static void report_not_updated(const MfMapping *mapping, int64 invoice);
static void report_missing(const TargetRow *row);

void
mf_follow_init(void)
{
	previous_finish_hook = ExecutorFinish_hook;
	ExecutorFinish_hook = finish_hook;
}

/* ExecutorFinish hook: row triggers fire in it; then the deletions that they have noted are processed. */
static void
finish_hook(QueryDesc *query)
{
	ExecutorFinish_hook_type next = previous_finish_hook ? previous_finish_hook : standard_ExecutorFinish;
	Statement	statement = {NULL, NULL, false, current_statement};

	/* no triggers fire here if the query changes nothing, or if they fire with those of an outer query */
	if ((query->operation == CMD_SELECT && !query->plannedstmt->hasModifyingCTE) ||
		(query->estate->es_top_eflags & EXEC_FLAG_SKIP_TRIGGERS) != 0)
	{
		next(query);
		return;
	}

	/* a plain DELETE inserts nothing, and may delete so many rows that their values take much memory */
	statement.may_insert = query->operation != CMD_DELETE || query->plannedstmt->hasModifyingCTE;
	current_statement = &statement;
	PG_TRY();
	{
		next(query);
		cancel_deleted();
	}
	PG_FINALLY();
	{
		forget_statement();
	}
	PG_END_TRY();
}

/* Frees what the innermost statement has noted. */
static void
forget_statement(void)
{
	MemoryContext context = current_statement->context;

	current_statement = current_statement->outer;
	if (context != NULL)
		MemoryContextDelete(context);
}

/* Cancels the invoices of rows that the innermost statement has deleted and not inserted again. */
static void
cancel_deleted(void)
{
	HTAB	   *deletions = current_statement->deletions;
	HASH_SEQ_STATUS status;
	Deletion  **sorted;
	Deletion   *deletion;
	int			total = 0;
	int			first;
	int			i;

	if (deletions == NULL)
		return;
	sorted = (Deletion **) palloc(hash_get_num_entries(deletions) * sizeof(Deletion *));
	hash_seq_init(&status, deletions);
	while ((deletion = (Deletion *) hash_seq_search(&status)) != NULL)
	{
		if (deletion->cancel)
			sorted[total++] = deletion;
	}

	/* table by table, because the history names the table */
	qsort(sorted, total, sizeof(Deletion *), compare_deletions);
	for (first = 0; first < total; first = i)
	{
		for (i = first; i < total && sorted[i]->relation == sorted[first]->relation &&
			 sorted[i]->row.target == sorted[first]->row.target; i++)
			;
		cancel_rows(&sorted[first], i - first);
	}
	pfree(sorted);
}

/* Cancels, or undoes, what was made of the deleted rows of one table in one target. */
static void
cancel_rows(Deletion **deletions, int count)
{
	Oid			relation = deletions[0]->relation;
	char	   *reason = psprintf("its row of table %s was deleted",
								  quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)),
															 get_rel_name(relation)));
	MfNamed    *named;
	int			i;

	if (deletions[0]->undo != NULL)
	{
		undo_rows(deletions, count, reason);
		return;
	}
	named = (MfNamed *) palloc0(count * sizeof(MfNamed));
	for (i = 0; i < count; i++)
		named[i].invoice = deletions[i]->row.id;
	mf_cancel_deleted(deletions[0]->schema, named, count, reason);
	pfree(named);
}

static void
undo_rows(Deletion **deletions, int count, const char *reason)
{
	int			i;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	for (i = 0; i < count; i++)
	{
		Datum		values[2] = {Int64GetDatum(deletions[i]->row.id), CStringGetTextDatum(reason)};

		if (mf_sql_run(deletions[i]->undo, values, NULL, InvalidSnapshot, false) != SPI_OK_SELECT || SPI_processed != 1)
			report_missing(&deletions[i]->row);
	}
	SPI_finish();
}

/* A row of another target than mf_invoice that does not exist, or that policies hide.  Raises an error. */
static void
report_missing(const TargetRow *row)
{
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("row %lld of table \"%s\" does not exist, or is hidden", (long long) row->id,
					get_rel_name((Oid) row->target)),
			 errhint("Correct the id in the row that was changed or deleted, or the policies of that table.")));
}

/* By table, target and row of that. */
static int
compare_deletions(const void *a, const void *b)
{
	const Deletion *left = *(Deletion *const *) a;
	const Deletion *right = *(Deletion *const *) b;

	if (left->relation != right->relation)
		return left->relation < right->relation ? -1 : 1;
	if (left->row.target != right->row.target)
		return left->row.target < right->row.target ? -1 : 1;
	return left->row.id < right->row.id ? -1 : left->row.id > right->row.id;
}

void
mf_follow_delete(MfMapping *mapping, TriggerData *trigger)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	MemoryContext old;
	Deletion   *deletion;
	TargetRow	row = {0, mapping->target.relation};

	if (!mf_mapping_invoice(mapping, trigger->tg_trigtuple, desc, &row.id))
		return;
	mf_enqueue_refuse_replica(trigger);
	if (current_statement == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("trigger \"%s\" cannot distinguish whether a row is deleted or moved", trigger->tg_trigger->tgname),
				 errdetail("The statement started before the library myfatoorah was loaded."),
				 errhint("Put myfatoorah into shared_preload_libraries, or run the statement again.")));

	if (current_statement->context == NULL)
	{
		HASHCTL		control;

		memset(&control, 0, sizeof(control));
		control.keysize = sizeof(TargetRow);
		control.entrysize = sizeof(Deletion);
		current_statement->context = AllocSetContextCreate(TopTransactionContext, "myfatoorah deleted rows", ALLOCSET_DEFAULT_SIZES);
		control.hcxt = current_statement->context;
		current_statement->deletions = hash_create("myfatoorah deleted rows", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	deletion = (Deletion *) hash_search(current_statement->deletions, &row, HASH_ENTER, NULL);
	deletion->schema = mapping->schema;
	deletion->undo = mapping->target.undo_plan;
	deletion->relation = mapping->relation;
	deletion->cancel = mapping->cancel;
	deletion->values = NULL;
	if (current_statement->may_insert && mapping->sync)
	{
		SourceValues row_values;

		read_values(mapping, trigger->tg_trigtuple, desc, &row_values);
		old = MemoryContextSwitchTo(current_statement->context);
		deletion->values = copy_values(&row_values);
		MemoryContextSwitchTo(old);
	}
}

void
mf_follow_move(MfMapping *mapping, TriggerData *trigger, int64 invoice)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	TargetRow	row = {invoice, mapping->target.relation};
	Deletion   *deletion = current_statement == NULL || current_statement->deletions == NULL ? NULL :
		(Deletion *) hash_search(current_statement->deletions, &row, HASH_FIND, NULL);

	if (deletion == NULL)
		return;
	deletion->cancel = false;
	if (deletion->values != NULL && mapping->sync)
	{
		SourceValues row_values;

		read_values(mapping, trigger->tg_trigtuple, desc, &row_values);
		update_invoice(mapping, trigger, invoice, deletion->values, &row_values);
	}
}

void
mf_follow_update(MfMapping *mapping, TriggerData *trigger)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	SourceValues before;
	SourceValues after;
	int64		invoice;

	if (!mf_mapping_invoice(mapping, trigger->tg_newtuple, desc, &invoice))
		return;
	read_values(mapping, trigger->tg_trigtuple, desc, &before);
	read_values(mapping, trigger->tg_newtuple, desc, &after);
	update_invoice(mapping, trigger, invoice, &before, &after);
}

/* Reads the source columns of a row; for constants the value is null. */
static void
read_values(const MfMapping *mapping, HeapTuple row, TupleDesc desc, SourceValues *row_values)
{
	int			i;

	row_values->mapping = mapping;
	for (i = 0; i < mapping->source_count; i++)
	{
		int			column = mapping->sources[i].column;

		row_values->isnull[i] = true;
		if (mapping->sources[i].constant != NULL)
			continue;
		row_values->types[i] = TupleDescAttr(desc, column - 1)->atttypid;
		row_values->values[i] = heap_getattr(row, column, desc, &row_values->isnull[i]);
	}
}

/* A copy in the current context. */
static SourceValues *
copy_values(const SourceValues *row_values)
{
	SourceValues *copy = (SourceValues *) palloc(sizeof(SourceValues));
	int			i;

	*copy = *row_values;
	for (i = 0; i < row_values->mapping->source_count; i++)
	{
		int16		length;
		bool		by_value;

		if (row_values->isnull[i])
			continue;
		get_typlenbyval(row_values->types[i], &length, &by_value);
		copy->values[i] = datumCopy(row_values->values[i], by_value, length);
	}
	return copy;
}

/* Updates those fields of the invoice whose source columns have changed. */
static void
update_invoice(MfMapping *mapping, const TriggerData *trigger, int64 invoice, const SourceValues *before,
			   const SourceValues *after)
{
	Datum		values[MF_MAX_SOURCES + 1];
	char		nulls[MF_MAX_SOURCES + 1];
	const MfPlan *plan;
	uint32		changed = 0;
	int			parameters = 1;
	int			i;

	nulls[0] = ' ';
	for (i = 0; i < mapping->source_count; i++)
	{
		if (mapping->sources[i].constant != NULL || has_same_value(before, after, i))
			continue;
		changed |= (uint32) 1 << i;
		values[parameters] = after->values[i];
		nulls[parameters++] = after->isnull[i] ? 'n' : ' ';
	}
	if (changed == 0)
		return;
	mf_enqueue_refuse_replica(trigger);
	if (mapping->target.is_invoice)
		invoice = mf_queue_lock_to_pay(mapping->schema, invoice);
	values[0] = Int64GetDatum(invoice);
	plan = mf_mapping_update(mapping, RelationGetDescr(trigger->tg_relation), changed);
	if (mf_sql_run(plan, values, nulls, InvalidSnapshot, false) != SPI_OK_UPDATE || SPI_processed != 1)
		report_not_updated(mapping, invoice);
}

/* Whether source "i" had the same value before.  The mappings of two partitions may differ. */
static bool
has_same_value(const SourceValues *before, const SourceValues *after, int i)
{
	const MfMapping *old = before->mapping;
	int16		length;
	bool		by_value;
	int			j = 0;

	while (j < old->source_count && strcmp(old->sources[j].field, after->mapping->sources[i].field) != 0)
		j++;
	if (j == old->source_count || old->sources[j].constant != NULL || before->types[j] != after->types[i])
		return false;
	if (before->isnull[j] || after->isnull[i])
		return before->isnull[j] && after->isnull[i];
	get_typlenbyval(after->types[i], &length, &by_value);
	return datum_image_eq(before->values[j], after->values[i], by_value, length);
}

/* An invoice was not updated.  Raises an error, unless it was deleted. */
static void
report_not_updated(const MfMapping *mapping, int64 invoice)
{
	Oid			schema = mapping->schema;
	MfNamed		named = {.invoice = invoice, .seen = true};
	TargetRow	row = {invoice, mapping->target.relation};
	MfExistence existence;

	if (!mapping->target.is_invoice)
		report_missing(&row);
	existence = mf_queue_existence(schema, invoice);
	if (existence == MF_ROW_GONE)
		return;
	if (existence == MF_ROW_ARCHIVED)
		mf_refuse_archived(invoice);
	if (mf_is_under_policies(schema))
		mf_check_named(&named, get_relname_relid("mf_invoice", schema));
	mf_change_suppressed();
}
