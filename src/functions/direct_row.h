/*
 * direct_row.h
 *	  Rows of mf_invoice for invoices that the current session has made or found.
 *
 * A row is inserted with the rights of the current role, and checked like any other, before
 * a request leaves.  Everything is part of the caller's transaction.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/direct_row.h
 */
#ifndef MF_DIRECT_ROW_H
#define MF_DIRECT_ROW_H

#include "core/api/outcome.h"
#include "request/request.h"

/* A row that was just inserted, palloc'd */
typedef struct MfDirectRow
{
	Oid			schema;
	int64		invoice;
	char	   *reference;
	MfRequest	request;		/* as triggers have left it */
} MfDirectRow;

/*
 * Inserts a queued row; triggers validate it.  Raises an error if a trigger has
 * suppressed that.
 */
extern MfDirectRow *mf_direct_insert(Oid schema, const MfRequest *request, const char *account);

/*
 * Records that the first attempt starts, with that body, and makes the row "sending".
 * The worker does not see that before the commit.
 */
extern void mf_direct_start(const MfDirectRow *row, const MfAccount *account, const void *body, size_t body_len);

/* Records that the attempt by that function was accepted, and makes the row "sent", with inquiries about its payment. */
extern void mf_direct_accepted(const MfDirectRow *row, int http_status, const MfSendResult *result,
							   const char *function);

/*
 * Raises an error if a row other than the one that takes it has this InvoiceId or this
 * CustomerReference, which may be NULL; an archived row, too.  What is committed counts,
 * whatever the snapshot.  Until the end of the transaction nobody else takes that number.
 */
extern void mf_check_number_free(Oid schema, const char *account, const char *invoice_id, const char *reference,
								 int64 taker);

#endif							/* MF_DIRECT_ROW_H */
