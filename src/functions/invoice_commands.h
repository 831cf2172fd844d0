/*
 * invoice_commands.h
 *	  What people do to invoices that they name: cancel, retry, refresh.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/invoice_commands.h
 */
#ifndef MF_INVOICE_COMMANDS_H
#define MF_INVOICE_COMMANDS_H

#include "fmgr.h"

#include "store/invoice_lookup.h"

/*
 * Raises an error unless there is such an invoice, and the current role sees it,
 * and, if it was to be locked, may update it.
 */
extern void mf_check_named(const MfNamed *named, bool locked);

/*
 * Cancels the invoices of rows of users that were deleted, in the order of their
 * ids, as the current role may; raises an error if one of them may be paid yet.
 */
extern void mf_cancel_deleted(Oid schema, MfNamed *named, int count, const char *reason);

/* Refuses what is done to a row whose invoice was paid, and is archived. */
pg_noreturn extern void mf_refuse_archived(int64 invoice);

/* A text argument that a person gives for the record, palloc'd; NULL if nothing can be seen of it. */
extern char *mf_reason_argument(FunctionCallInfo fcinfo, int number);

#endif							/* MF_INVOICE_COMMANDS_H */
