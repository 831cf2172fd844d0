/*
 * invoice_edits.h
 *	  Changes that users make to rows of mf_invoice, as text for the history.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/triggers/invoice_edits.h
 */
#ifndef MF_INVOICE_EDITS_H
#define MF_INVOICE_EDITS_H

#include "access/tupdesc.h"

#include "store/invoice.h"

/* Whether a column has the same value, byte for byte, in both rows. */
extern bool mf_same_column(TupleDesc desc, const MfInvoiceRow *a, const MfInvoiceRow *b, int column);

/*
 * Returns a JSON object with the old and the new value of each changed column, palloc'd;
 * NULL if there is none.  The columns from created_by_id on do not count, among them
 * metadata.  URLs are without the parts that may be secret.
 */
extern char *mf_edit_text(TupleDesc desc, const MfInvoiceRow *before, const MfInvoiceRow *after);

#endif							/* MF_INVOICE_EDITS_H */
