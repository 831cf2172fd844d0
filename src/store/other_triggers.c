/*
 * other_triggers.c
 *	  Triggers of users on mf_invoice.
 *
 * The right to create a trigger does not include the right to change the states of
 * invoices.  A BEFORE trigger may change the row, so ours run before and after those
 * of users.  What these make of a user's change is checked like that change itself.
 * What they make of a change of ours must leave our columns as they are.
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
#include "base/settings.h"
#include "store/invoice.h"
#include "store/other_triggers.h"

/* Triggers run in the order of their names. */
#define FIRST_TRIGGER "00_mf_invoice_proposed"
#define LAST_TRIGGER "zz_mf_invoice_guard"

/* A row that a statement of ours proposes, while triggers of users run */
typedef struct Proposal
{
	TupleTableSlot *slot;		/* of the statement; identifies the row */
	HeapTuple	row;
	struct Proposal *next;
} Proposal;

/* the latest first; what an error leaves behind is freed with the transaction */
static Proposal *proposals = NULL;

static void raise_wrong_order(const Trigger *trigger, bool is_last);
static HeapTuple remove_proposal(TupleTableSlot *slot);
static void reset_proposals(void *argument);

static bool
is_before_row(const Trigger *trigger, int16 event)
{
	return TRIGGER_FOR_ROW(trigger->tgtype) && TRIGGER_FOR_BEFORE(trigger->tgtype) && (trigger->tgtype & event) != 0;
}

bool
mf_has_other_triggers(Relation invoice, int16 event)
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
			raise_wrong_order(trigger, true);
		if (is_before_row(trigger, TRIGGER_TYPE_UPDATE) && strcmp(trigger->tgname, FIRST_TRIGGER) < 0)
			raise_wrong_order(trigger, false);
		last_seen = strcmp(trigger->tgname, LAST_TRIGGER) == 0;
	}
}

static void
raise_wrong_order(const Trigger *trigger, bool is_last)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 is_last ?
			 errmsg("trigger \"%s\" of table mf_invoice runs after \"%s\"", trigger->tgname, LAST_TRIGGER) :
			 errmsg("trigger \"%s\" of table mf_invoice runs before \"%s\"", trigger->tgname, FIRST_TRIGGER),
			 errdetail("Its changes of a row would not be checked. Triggers run in the order of their names."),
			 errhint("Give it a name between those of the two triggers of myfatoorah: "
					 "ALTER TRIGGER %s ON mf_invoice RENAME TO ...",
					 quote_identifier(trigger->tgname))));
}

void
mf_note_proposed_row(TriggerData *trigger)
{
	MemoryContext context;
	Proposal   *proposal;

	/* left behind if a trigger has suppressed the earlier update */
	HeapTuple	suppressed = remove_proposal(trigger->tg_newslot);

	if (suppressed != NULL)
		heap_freetuple(suppressed);
	if (!mf_has_other_triggers(trigger->tg_relation, TRIGGER_TYPE_UPDATE))
		return;
	context = MemoryContextSwitchTo(TopTransactionContext);
	if (proposals == NULL)
	{
		MemoryContextCallback *callback = (MemoryContextCallback *) palloc0(sizeof(MemoryContextCallback));

		callback->func = reset_proposals;
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
	HeapTuple	proposed = remove_proposal(trigger->tg_newslot);
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
					 errdetail("Triggers must not change what myfatoorah writes into its columns."),
					 errhint("Let the trigger change your own columns only, or return NEW as it is "
							 "if CURRENT_USER is %s.",
							 MF_WORKER_ROLE)));
	}
	heap_freetuple(proposed);
}

/* Removes the proposal of a slot and returns its row; NULL if there is none. */
static HeapTuple
remove_proposal(TupleTableSlot *slot)
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
reset_proposals(void *argument)
{
	proposals = NULL;
}
