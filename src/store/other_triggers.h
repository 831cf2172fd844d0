/*
 * other_triggers.h
 *	  Triggers that users have put on mf_invoice, beside ours.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/other_triggers.h
 */
#ifndef MF_OTHER_TRIGGERS_H
#define MF_OTHER_TRIGGERS_H

#include "commands/trigger.h"

/* Whether there are any that run for each row before an update, or an insertion. */
extern bool mf_has_other_update_triggers(Relation invoice);
extern bool mf_has_other_insert_triggers(Relation invoice);

/* Raises 55000 if one of them may change a row before our first trigger, or after our last. */
extern void mf_check_trigger_order(Relation invoice);

/*
 * Before an update by a statement of ours: the first trigger notes the row as it
 * is to become.  The last one raises 27000 if one between them has changed a
 * column of ours.
 */
extern void mf_note_proposed_row(TriggerData *trigger);
extern void mf_check_proposed_row(TriggerData *trigger);

#endif							/* MF_OTHER_TRIGGERS_H */
