/*
 * queue_new_rows.h
 *	  The agenda follows mf_invoice: new invoices, changes of queued ones, deletions.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/queue_new_rows.h
 */
#ifndef MF_QUEUE_NEW_ROWS_H
#define MF_QUEUE_NEW_ROWS_H

#include "commands/trigger.h"

/*
 * Makes agenda entries of new rows of mf_invoice, in its AFTER trigger; returns
 * their number.  For restored rows "in_use" is not NULL: it is set to whether
 * another server may send any of them or inquire about its payment, and inquiries
 * are opened for those whose payment is awaited.
 */
extern uint64 mf_queue_insert(Oid schema, TriggerData *trigger, bool *in_use);

/* Changes the entry of a queued invoice after its columns were changed; "due" is by mf_send_due(). */
extern void mf_queue_reschedule(Oid schema, int64 invoice, const char *account, TimestampTz send_at, TimestampTz due,
								int priority, TimestampTz created_at);

/*
 * Deletes the agenda entries of an invoice that was deleted, and its InvoiceId
 * (0 = none) from mf_invoice_number.  Its history stays.
 */
extern void mf_invoice_deleted(Oid schema, int64 invoice, int64 invoice_id);

/*
 * Deletes everything about invoices after TRUNCATE, also their history, since their
 * ids may be used again.  Events stay, but belong to no invoice from then on.
 */
extern void mf_invoices_truncated(Oid schema);

#endif							/* MF_QUEUE_NEW_ROWS_H */
