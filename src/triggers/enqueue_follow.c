/*
 * enqueue_follow.c
 *	  Queued invoices follow the rows of users' tables that they were made of.
 *
 * A row that moves to another partition is deleted in the one and inserted into
 * the other.  So what has been deleted is only noted, and cancelled at the end
 * of the statement: by then it is known what has come again, and many rows cost
 * as little as one call of mf_cancel() for all.
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

#include "base/compat.h"
#include "database/sql_array.h"
#include "functions/invoice_actions.h"
#include "store/invoice_lookup.h"
#include "store/row_rights.h"
#include "triggers/enqueue.h"
#include "triggers/enqueue_internal.h"

/* Values of a row that feed fields, in the order of the sources */
typedef struct Feed
{
	const MfMapping *mapping;
	Oid			types[MF_MAX_SOURCES];
	Datum		values[MF_MAX_SOURCES];
	bool		isnull[MF_MAX_SOURCES];
} Feed;

/* A row that was deleted, by its invoice */
typedef struct Deletion
{
	int64		invoice;
	Oid			schema;			/* of mf_invoice */
	Oid			relation;		/* that had the row */
	bool		cancel;			/* false: it is only noted in case it moves */
	Feed	   *feed;			/* NULL unless it may move and is to be followed */
} Deletion;

/* A statement at whose end triggers fire; the innermost one first */
typedef struct Statement
{
	MemoryContext context;		/* NULL until a row is deleted */
	HTAB	   *deletions;
	struct Statement *outer;
} Statement;

static Statement *current = NULL;
static ExecutorFinish_hook_type previous_finish_hook = NULL;

static void finish_hook(QueryDesc *query);
static void leave_statement(void);
static void cancel_deleted(void);
static int	compare_deletions(const void *a, const void *b);
static void read_feed(const MfMapping *mapping, HeapTuple row, TupleDesc desc, Feed *feed);
static Feed *copy_feed(const Feed *feed);
static void follow(MfMapping *mapping, const TriggerData *trigger, int64 invoice, const Feed *before, const Feed *after);
static bool same_value(const Feed *before, const Feed *after, int i);
static void report_missing(Oid schema, int64 invoice);

void
mf_follow_init(void)
{
	previous_finish_hook = ExecutorFinish_hook;
	ExecutorFinish_hook = finish_hook;
}

/* Row triggers of a statement fire at its end; what they have noted is done then. */
static void
finish_hook(QueryDesc *query)
{
	ExecutorFinish_hook_type next = previous_finish_hook ? previous_finish_hook : standard_ExecutorFinish;
	Statement	statement = {NULL, NULL, current};

	/* a query that changes nothing has no such triggers, nor one whose triggers fire with an outer one */
	if ((query->operation == CMD_SELECT && !query->plannedstmt->hasModifyingCTE) ||
		(query->estate->es_top_eflags & EXEC_FLAG_SKIP_TRIGGERS) != 0)
	{
		next(query);
		return;
	}
	current = &statement;
	PG_TRY();
	{
		next(query);
		cancel_deleted();
	}
	PG_FINALLY();
	{
		leave_statement();
	}
	PG_END_TRY();
}

/* Forgets what the innermost statement has noted. */
static void
leave_statement(void)
{
	MemoryContext context = current->context;

	current = current->outer;
	if (context != NULL)
		MemoryContextDelete(context);
}

/* Cancels what the innermost statement has deleted, and what has not come again. */
static void
cancel_deleted(void)
{
	HTAB	   *deletions = current->deletions;
	HASH_SEQ_STATUS status;
	Deletion  **sorted;
	Deletion   *deletion;
	MfNamed    *named;
	int			total = 0;
	int			first;
	int			i;

	if (deletions == NULL)
		return;
	sorted = (Deletion **) palloc(hash_get_num_entries(deletions) * sizeof(Deletion *));
	named = (MfNamed *) palloc0(hash_get_num_entries(deletions) * sizeof(MfNamed));
	hash_seq_init(&status, deletions);
	while ((deletion = (Deletion *) hash_seq_search(&status)) != NULL)
	{
		if (deletion->cancel)
			sorted[total++] = deletion;
	}

	/* of each table by themselves: the history tells which it was */
	qsort(sorted, total, sizeof(Deletion *), compare_deletions);
	for (first = 0; first < total; first = i)
	{
		Oid			relation = sorted[first]->relation;

		for (i = first; i < total && sorted[i]->relation == relation; i++)
			named[i].invoice = sorted[i]->invoice;
		mf_cancel_deleted(sorted[first]->schema, &named[first], i - first,
						  psprintf("its row of table %s was deleted",
								   quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)),
															  get_rel_name(relation))));
	}
	pfree(named);
	pfree(sorted);
}

/* By table and invoice. */
static int
compare_deletions(const void *a, const void *b)
{
	const Deletion *left = *(Deletion *const *) a;
	const Deletion *right = *(Deletion *const *) b;

	if (left->relation != right->relation)
		return left->relation < right->relation ? -1 : 1;
	return left->invoice < right->invoice ? -1 : left->invoice > right->invoice;
}

void
mf_follow_delete(MfMapping *mapping, TriggerData *trigger)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	bool		may_move = trigger->tg_relation->rd_rel->relispartition;
	MemoryContext old;
	Deletion   *deletion;
	int64		invoice;

	if (!mf_mapping_invoice(mapping, trigger->tg_trigtuple, desc, &invoice))
		return;
	mf_enqueue_refuse_replica(trigger);
	if (current == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("trigger \"%s\" cannot see whether a row is deleted or moved", trigger->tg_trigger->tgname),
				 errdetail("The statement was begun before the library myfatoorah was loaded."),
				 errhint("Put myfatoorah into shared_preload_libraries, or run the statement again.")));

	if (current->context == NULL)
	{
		HASHCTL		control;

		memset(&control, 0, sizeof(control));
		control.keysize = sizeof(int64);
		control.entrysize = sizeof(Deletion);
		current->context = AllocSetContextCreate(TopTransactionContext, "myfatoorah deleted rows", ALLOCSET_DEFAULT_SIZES);
		control.hcxt = current->context;
		current->deletions = hash_create("myfatoorah deleted rows", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	deletion = (Deletion *) hash_search(current->deletions, &invoice, HASH_ENTER, NULL);
	deletion->schema = mapping->schema;
	deletion->relation = mapping->relation;
	deletion->cancel = mapping->cancel;
	deletion->feed = NULL;
	if (may_move && mapping->sync)
	{
		Feed		feed;

		read_feed(mapping, trigger->tg_trigtuple, desc, &feed);
		old = MemoryContextSwitchTo(current->context);
		deletion->feed = copy_feed(&feed);
		MemoryContextSwitchTo(old);
	}
}

void
mf_follow_move(MfMapping *mapping, TriggerData *trigger, int64 invoice)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	Deletion   *deletion = current == NULL || current->deletions == NULL ? NULL :
		(Deletion *) hash_search(current->deletions, &invoice, HASH_FIND, NULL);

	if (deletion == NULL)
		return;
	deletion->cancel = false;
	if (deletion->feed != NULL && mapping->sync)
	{
		Feed		feed;

		read_feed(mapping, trigger->tg_trigtuple, desc, &feed);
		follow(mapping, trigger, invoice, deletion->feed, &feed);
	}
}

void
mf_follow_update(MfMapping *mapping, TriggerData *trigger)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	Feed		before;
	Feed		after;
	int64		invoice;

	if (!mf_mapping_invoice(mapping, trigger->tg_newtuple, desc, &invoice))
		return;
	read_feed(mapping, trigger->tg_trigtuple, desc, &before);
	read_feed(mapping, trigger->tg_newtuple, desc, &after);
	follow(mapping, trigger, invoice, &before, &after);
}

/* What a row feeds; constants are null. */
static void
read_feed(const MfMapping *mapping, HeapTuple row, TupleDesc desc, Feed *feed)
{
	int			i;

	feed->mapping = mapping;
	for (i = 0; i < mapping->source_count; i++)
	{
		int			column = mapping->sources[i].column;

		feed->isnull[i] = true;
		if (mapping->sources[i].constant != NULL)
			continue;
		feed->types[i] = TupleDescAttr(desc, column - 1)->atttypid;
		feed->values[i] = heap_getattr(row, column, desc, &feed->isnull[i]);
	}
}

/* With its values, in the current context. */
static Feed *
copy_feed(const Feed *feed)
{
	Feed	   *copy = (Feed *) palloc(sizeof(Feed));
	int			i;

	*copy = *feed;
	for (i = 0; i < feed->mapping->source_count; i++)
	{
		int16		length;
		bool		by_value;

		if (feed->isnull[i])
			continue;
		get_typlenbyval(feed->types[i], &length, &by_value);
		copy->values[i] = datumCopy(feed->values[i], by_value, length);
	}
	return copy;
}

/* Changes the fields of the invoice whose columns have changed, as the same UPDATE of mf_invoice would. */
static void
follow(MfMapping *mapping, const TriggerData *trigger, int64 invoice, const Feed *before, const Feed *after)
{
	Datum		values[MF_MAX_SOURCES + 1];
	char		nulls[MF_MAX_SOURCES + 1];
	uint32		changed = 0;
	int			parameters = 1;
	int			i;

	values[0] = Int64GetDatum(invoice);
	nulls[0] = ' ';
	for (i = 0; i < mapping->source_count; i++)
	{
		if (mapping->sources[i].constant != NULL || same_value(before, after, i))
			continue;
		changed |= (uint32) 1 << i;
		values[parameters] = after->values[i];
		nulls[parameters++] = after->isnull[i] ? 'n' : ' ';
	}
	if (changed == 0)
		return;
	mf_enqueue_refuse_replica(trigger);
	if (mf_sql_run(mf_mapping_update(mapping, RelationGetDescr(trigger->tg_relation), changed), values, nulls, InvalidSnapshot, false) != SPI_OK_UPDATE || SPI_processed != 1)
		report_missing(mapping->schema, invoice);
}

/* Whether a source fed the same before; the mappings of two partitions may differ. */
static bool
same_value(const Feed *before, const Feed *after, int i)
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

/* An invoice that was deleted needs not follow; one that is hidden, or kept from it, is not left behind unseen. */
static void
report_missing(Oid schema, int64 invoice)
{
	MfNamed		named = {invoice, true, NULL, false};
	MfExistence existence = mf_queue_existence(schema, invoice);

	if (existence == MF_ROW_GONE)
		return;
	if (existence == MF_ROW_ARCHIVED)
		mf_refuse_archived(invoice);
	if (mf_is_under_policies(schema))
		mf_check_named(&named, true);
	mf_change_suppressed();
}
