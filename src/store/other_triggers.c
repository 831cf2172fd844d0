/*
 * other_triggers.c
 *	  Triggers that users have put on mf_invoice, beside ours.
 *
 * The right to create a trigger is no right to write the states of invoices.
 * Triggers before a change may alter the row, so ours stand around them: what
 * they make of the change of a user is checked like that change itself, and what
 * they make of a change of ours must leave our columns as we want them.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/other_triggers.c
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_trigger.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "store/invoice.h"
#include "store/other_triggers.h"

/* Triggers run in the order of their names. */
#define FIRST_TRIGGER "00_mf_invoice_proposed"
#define LAST_TRIGGER "zz_mf_invoice_guard"

/* A row as a statement of ours wants it, while triggers of others see it */
typedef struct Proposal
{
	TupleTableSlot *slot;		/* of the statement, for the row */
	HeapTuple	row;
	struct Proposal *next;
} Proposal;

/* The latest first; all that an error has left there ends with the transaction. */
static Proposal *proposals = NULL;

static bool is_before_row(const Trigger *trigger, int16 event);
static bool has_others(Relation invoice, int16 event);
static void refuse_order(const Trigger *trigger, const char *ours, const char *where);
static HeapTuple take_proposed(TupleTableSlot *slot);
static void forget_proposals(void *argument);

static bool
is_before_row(const Trigger *trigger, int16 event)
{
	return TRIGGER_FOR_ROW(trigger->tgtype) && TRIGGER_FOR_BEFORE(trigger->tgtype) && (trigger->tgtype & event) != 0;
}

bool
mf_has_other_update_triggers(Relation invoice)
{
	return has_others(invoice, TRIGGER_TYPE_UPDATE);
}

bool
mf_has_other_insert_triggers(Relation invoice)
{
	return has_others(invoice, TRIGGER_TYPE_INSERT);
}

static bool
has_others(Relation invoice, int16 event)
{
	const TriggerDesc *triggers = invoice->trigdesc;
	int			i;

	for (i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		const Trigger *trigger = &triggers->triggers[i];

		if (is_before_row(trigger, event) &&
			strcmp(trigger->tgname, FIRST_TRIGGER) != 0 && strcmp(trigger->tgname, LAST_TRIGGER) != 0)
			return true;
	}
	return false;
}

void
mf_check_trigger_order(Relation invoice)
{
	const TriggerDesc *triggers = invoice->trigdesc;
	bool		last_seen = false;
	int			i;

	for (i = 0; i < triggers->numtriggers; i++)
	{
		const Trigger *trigger = &triggers->triggers[i];

		if (!is_before_row(trigger, TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE))
			continue;
		if (last_seen)
			refuse_order(trigger, LAST_TRIGGER, "after");
		if (is_before_row(trigger, TRIGGER_TYPE_UPDATE) && strcmp(trigger->tgname, FIRST_TRIGGER) < 0)
			refuse_order(trigger, FIRST_TRIGGER, "before");
		last_seen = strcmp(trigger->tgname, LAST_TRIGGER) == 0;
	}
}

static void
refuse_order(const Trigger *trigger, const char *ours, const char *where)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("trigger \"%s\" of table mf_invoice runs %s \"%s\"", trigger->tgname, where, ours),
			 errdetail("What it makes of a row would not be checked. Triggers run in the order of their names."),
			 errhint("Give it a name between those of the two triggers of myfatoorah: ALTER TRIGGER %s ON mf_invoice RENAME TO ...",
					 quote_identifier(trigger->tgname))));
}

void
mf_note_proposed_row(TriggerData *trigger)
{
	MemoryContext context;
	Proposal   *proposal;

	HeapTuple	suppressed = take_proposed(trigger->tg_newslot);

	if (suppressed != NULL)
		heap_freetuple(suppressed);
	if (!mf_has_other_update_triggers(trigger->tg_relation))
		return;
	context = MemoryContextSwitchTo(TopTransactionContext);
	if (proposals == NULL)
	{
		MemoryContextCallback *callback = (MemoryContextCallback *) palloc0(sizeof(MemoryContextCallback));

		callback->func = forget_proposals;
		MemoryContextRegisterResetCallback(TopTransactionContext, callback);
	}
	proposal = (Proposal *) palloc(sizeof(Proposal));
	proposal->slot = trigger->tg_newslot;
	proposal->row = heap_copytuple(trigger->tg_newtuple);
	proposal->next = proposals;
	proposals = proposal;
	MemoryContextSwitchTo(context);
}

void
mf_check_proposed_row(TriggerData *trigger)
{
	HeapTuple	proposed = take_proposed(trigger->tg_newslot);
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	int			column;

	if (proposed == NULL)
		return;
	for (column = 1; column < MF_IC_METADATA; column++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, column - 1);
		bool		was_null;
		bool		is_null;
		Datum		was = heap_getattr(proposed, column, desc, &was_null);
		Datum		is = heap_getattr(trigger->tg_newtuple, column, desc, &is_null);

		if (was_null != is_null || (!was_null && !datum_image_eq(was, is, attribute->attbyval, attribute->attlen)))
			ereport(ERROR,
					(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
					 errmsg("a trigger has changed column \"%s\" of invoice %lld", NameStr(attribute->attname),
							(long long) DatumGetInt64(heap_getattr(proposed, MF_IC_ID, desc, &was_null))),
					 errdetail("What myfatoorah writes into its columns is not for triggers to change."),
					 errhint("Let the trigger change columns of your own only, or return NEW as it is where CURRENT_USER is %s.",
							 "myfatoorah_worker")));
	}
	heap_freetuple(proposed);
}

/* The row that was noted for a slot, no longer noted; NULL if there is none. */
static HeapTuple
take_proposed(TupleTableSlot *slot)
{
	Proposal  **link;

	for (link = &proposals; *link != NULL; link = &(*link)->next)
	{
		Proposal   *proposal = *link;

		if (proposal->slot == slot)
		{
			HeapTuple	row = proposal->row;

			*link = proposal->next;
			pfree(proposal);
			return row;
		}
	}
	return NULL;
}

static void
forget_proposals(void *argument)
{
	proposals = NULL;
}
