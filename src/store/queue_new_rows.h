/*
 * queue_new_rows.h
 *	  The agenda follows mf_invoice: new invoices, and changes of queued ones.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/queue_new_rows.h
 */
#ifndef MF_QUEUE_NEW_ROWS_H
#define MF_QUEUE_NEW_ROWS_H

#include "commands/trigger.h"

/*
 * Puts the trigger's new rows on the agenda; how many.  If "in_use" is not
 * NULL it tells whether another server may send any of them, or ask about it.
 */
extern uint64 mf_queue_insert(Oid schema, TriggerData *trigger, bool *in_use);

/* Follows a change of a queued invoice's own columns; due is by mf_send_due(), created_at is for its rank. */
extern void mf_queue_reschedule(Oid schema, int64 invoice, const char *account, TimestampTz send_at, TimestampTz due,
								int priority, TimestampTz created_at);

#endif							/* MF_QUEUE_NEW_ROWS_H */
