/*
 * deleted_invoices.h
 *	  Deletes what belongs to deleted invoices.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/deleted_invoices.h
 */
#ifndef MF_DELETED_INVOICES_H
#define MF_DELETED_INVOICES_H

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

#endif							/* MF_DELETED_INVOICES_H */
