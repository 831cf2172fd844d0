/*
 * invoice_edits.h
 *	  What somebody has changed of a row of mf_invoice, for the history.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/triggers/invoice_edits.h
 */
#ifndef MF_INVOICE_EDITS_H
#define MF_INVOICE_EDITS_H

#include "access/tupdesc.h"

#include "store/invoice.h"

/* Whether a column is the same in both rows. */
extern bool mf_same_column(TupleDesc desc, const MfInvoiceRow *a, const MfInvoiceRow *b, int column);

/*
 * A JSON object that has old and new value of each column that a user has
 * changed, palloc'd; NULL if none differs.  Addresses are without what may be
 * secret in them.
 */
extern char *mf_edit_text(TupleDesc desc, const MfInvoiceRow *before, const MfInvoiceRow *after);

#endif							/* MF_INVOICE_EDITS_H */
