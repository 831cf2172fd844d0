/*
 * other_triggers.h
 *	  Triggers of users on mf_invoice.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/other_triggers.h
 */
#ifndef MF_OTHER_TRIGGERS_H
#define MF_OTHER_TRIGGERS_H

#include "catalog/pg_trigger.h"
#include "commands/trigger.h"

/* Whether there are BEFORE ROW triggers of users for that event, such as TRIGGER_TYPE_INSERT. */
extern bool mf_has_other_triggers(Relation invoice, int16 event);

/* Raises 55000 if one of them would run before our first trigger or after our last one. */
extern void mf_check_trigger_order(Relation invoice);

/*
 * In BEFORE triggers of an update by a statement of ours: the first trigger notes
 * the row that the statement proposes.  The last one raises 27000 if a trigger
 * between them has changed one of our columns.
 */
extern void mf_note_proposed_row(TriggerData *trigger);
extern void mf_check_proposed_row(TriggerData *trigger);

#endif							/* MF_OTHER_TRIGGERS_H */
