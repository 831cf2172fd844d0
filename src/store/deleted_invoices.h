/*
 * deleted_invoices.h
 *	  What goes with deleted invoices.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/deleted_invoices.h
 */
#ifndef MF_DELETED_INVOICES_H
#define MF_DELETED_INVOICES_H

/* One was deleted: nothing is to be done for it any more, nor is it found by its InvoiceId (0 = none).  What was done stays. */
extern void mf_invoice_deleted(Oid schema, int64 invoice, int64 invoice_id);

/*
 * All are truncated, and their ids may begin anew: their history goes too.  Events
 * stay, since they came from outside, but are of no invoice any more.
 */
extern void mf_invoices_truncated(Oid schema);

#endif							/* MF_DELETED_INVOICES_H */
