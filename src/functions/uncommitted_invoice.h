/*
 * uncommitted_invoice.h
 *	  Invoices at MyFatoorah whose rows are not committed yet.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/uncommitted_invoice.h
 */
#ifndef MF_UNCOMMITTED_INVOICE_H
#define MF_UNCOMMITTED_INVOICE_H

/*
 * Notes that MyFatoorah has made an invoice for a row of the current transaction.  At
 * its commit, events of the invoice that came in earlier are matched with the row.  If the
 * row is rolled back, a warning says that MyFatoorah has an invoice without a row.
 */
extern void mf_note_uncommitted(Oid schema, int64 invoice, const char *account, const char *invoice_id);

#endif							/* MF_UNCOMMITTED_INVOICE_H */
