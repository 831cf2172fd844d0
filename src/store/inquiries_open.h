/*
 * inquiries_open.h
 *	  New inquiries: about invoices that were sent, restored or ordered.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/inquiries_open.h
 */
#ifndef MF_INQUIRIES_OPEN_H
#define MF_INQUIRIES_OPEN_H

#include "database/sql.h"

/* An invoice that was just sent */
typedef struct MfSentInvoice
{
	int64		invoice;
	const char *account;		/* NULL if the caller does not have it at hand */
	int64		invoice_id;		/* InvoiceId; only with an account */
} MfSentInvoice;

/*
 * Invoices that were just sent, sorted here: when their payment is asked for
 * first.  True if for one of them somebody wants to know at once.
 */
extern bool mf_inquiries_open(const MfSqlScope *scope, MfSentInvoice *sent, int count, TimestampTz due);

/* The same when polling begins, in the worker or a session; the worker has it on its agenda. */
extern void mf_inquiries_open_sent(const MfSqlScope *scope, MfSentInvoice *sent, int count);

/* Rows of a dump whose payment was awaited; "new_rows" is registered. */
extern void mf_inquiries_open_restored(const MfSqlScope *scope, TimestampTz due);

/* So old may be what is asked about once more where a copy takes over */
#define MF_ASK_AGAIN_DAYS 30

/*
 * This was a copy, and goes on in its original's place: what came in between is
 * not known, so settled invoices of the last time are asked about once more.
 */
extern void mf_inquiries_open_settled(const MfSqlScope *scope);

/* Where a walk along the open invoices has come to */
typedef struct MfOpenPosition
{
	NameData	account;
	TimestampTz sent_at;
} MfOpenPosition;

/* Plans questions about a batch of open invoices that have none, and moves the place forward; how many. */
extern uint64 mf_inquiries_open_batch(const MfSqlScope *scope, MfOpenPosition *place);

/*
 * A role wants to know about invoices, within its budget or, of those that were
 * asked about too often, within that of all roles.  They come in the order of
 * their ids, each once.  Of those that were never sent nothing is asked.
 */
extern void mf_inquiries_order(Oid schema, Oid role, const int64 *invoices, const bool *too_often, int count);

#endif							/* MF_INQUIRIES_OPEN_H */
