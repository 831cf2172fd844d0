/*
 * direct_row.h
 *	  Rows of mf_invoice for invoices that the caller's own session has made or found.
 *
 * A row is inserted with the rights of the current role, checked like any other,
 * before anything else happens: what is wrong with it is known before a request
 * leaves.  All of it is part of the caller's transaction.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/direct_row.h
 */
#ifndef MF_DIRECT_ROW_H
#define MF_DIRECT_ROW_H

#include "account/account.h"
#include "core/api/outcome.h"
#include "request/request.h"

/* A row that was just inserted */
typedef struct MfDirectRow
{
	Oid			schema;
	int64		invoice;
	char	   *reference;
	MfRequest	request;		/* as triggers have left it */
} MfDirectRow;

extern MfDirectRow *mf_direct_insert(Oid schema, const MfRequest *request, const char *account);

/* Its first attempt starts, with that request. */
extern void mf_direct_start(const MfDirectRow *row, const MfAccount *account, const void *body, size_t body_len);

/* That was accepted: the row is "sent", and its payment is awaited. */
extern void mf_direct_accepted(const MfDirectRow *row, int http_status, const MfSendResult *result);

/* MyFatoorah has it already, and under this number: likewise, without an attempt. */
extern void mf_direct_found(const MfDirectRow *row, const char *invoice_id);

/*
 * The id of the row that has this invoice of MyFatoorah, archived perhaps, or of
 * another account, by its number or its reference; 0 if none has.  Waits for whoever is about to have
 * made one, and from here on to the end of the transaction nobody else is told 0.
 */
extern int64 mf_direct_known(Oid schema, const MfAccount *account, const char *invoice_id, const char *reference);

/*
 * What comes in about that invoice before the commit is matched with its row then.
 * A rollback of the current transaction from here on leaves an invoice at
 * MyFatoorah without a row, and a warning tells so.
 */
extern void mf_direct_made(const MfDirectRow *row, const char *account, const char *invoice_id);

#endif							/* MF_DIRECT_ROW_H */
