/*
 * inquiries_open.h
 *	  SQL of new inquiries: about invoices that were sent, restored or ordered.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/inquiries_open.h
 */
#ifndef MF_INQUIRIES_OPEN_H
#define MF_INQUIRIES_OPEN_H

#include "database/sql.h"
#include "store/inquiries.h"
#include "store/invoice_number.h"

/*
 * Adds invoices that were just sent to mf_invoice_number, and opens inquiries about
 * them, due at "due"; sorts "sent".  DT_NOEND opens only inquiries that an event has
 * asked for already.  True if one of them is urgent.
 */
extern bool mf_inquiries_open(const MfSqlScope *scope, MfSentInvoice *sent, int count, TimestampTz due);

/* The same with the time at which polling begins; tells the worker, whose process may be this one. */
extern void mf_inquiries_open_sent(const MfSqlScope *scope, MfSentInvoice *sent, int count);

/* Opens inquiries about restored rows that can still be paid; the transition table "new_rows" is registered. */
extern void mf_inquiries_open_restored(const MfSqlScope *scope, TimestampTz due);

/* Age in days up to which mf_inquiries_open_settled() asks about invoices */
#define MF_ASK_AGAIN_DAYS 30

/*
 * Opens inquiries about invoices that were paid or have expired lately: this
 * database takes over from the one it was copied from, and does not know what
 * became of them since.
 */
extern void mf_inquiries_open_settled(const MfSqlScope *scope);

/* Opens inquiries about a batch of open invoices without one, and advances the position; returns their number. */
extern uint64 mf_inquiries_open_batch(const MfSqlScope *scope, MfUnpaidPosition *position);

/*
 * Opens inquiries that a role has ordered, about those invoices that are sent.
 * "too_often" marks those beyond the role's budget.  The invoices are in the order
 * of ids, each once. Own scope.
 */
extern void mf_inquiries_order(Oid schema, Oid role, const int64 *invoices, const bool *too_often, int count);

/*
 * Has MyFatoorah asked about what an invoice replaces and can still be paid; "asked": it
 * was.  Returns false once there is nothing to wait for: MyFatoorah has answered, or
 * cannot answer.
 */
extern bool mf_inquiries_ask_replaced(const MfSqlScope *scope, int64 invoice, bool asked);

/*
 * Opens an inquiry about a sent invoice for a role when this transaction commits;
 * "too_often" as for mf_inquiries_order().  It is written right before the commit: a
 * transaction that stays open must not keep the row locked, which webhooks and
 * answers need.
 */
extern void mf_refresh_at_commit(Oid schema, Oid role, int64 invoice, bool too_often);

#endif							/* MF_INQUIRIES_OPEN_H */
