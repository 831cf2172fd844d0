/*
 * invoice_number.h
 *	  Which row has which InvoiceId.
 *
 * mf_invoice has no index on invoice_id: a column of an index that changes has
 * the new version of its row entered into every index of the table, and each
 * invoice gets its number when it is sent.  A row of mf_invoice_number costs
 * one entry.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/invoice_number.h
 */
#ifndef MF_INVOICE_NUMBER_H
#define MF_INVOICE_NUMBER_H

#include "database/sql.h"
#include "store/inquiries_open.h"

/*
 * The rows of mf_invoice, as "i", that have an InvoiceId: what follows FROM.
 * Conditions may follow.  No join, of which a plan that was made while the tables
 * were small might begin with mf_invoice.
 */
#define MF_HAVING_NUMBER(number) \
	"@mf_invoice i WHERE i.id = ANY (ARRAY(SELECT k.invoice FROM @mf_invoice_number k " \
	"  WHERE k.invoice_id = " number ")) " \
	"  AND i.invoice_id = " number

/* Whether a row is found by its InvoiceId */
#define MF_IS_NUMBERED(row) \
	"EXISTS (SELECT FROM @mf_invoice_number k WHERE k.invoice_id = " row ".invoice_id AND k.invoice = " row ".id)"

/* Invoices that were just given their InvoiceId, and are locked, are found by it from now on.  Those whose invoice_id is 0 are passed over. */
extern void mf_number_add(const MfSqlScope *scope, const MfSentInvoice *sent, int count);

/* The same for restored rows, as the transition table "new_rows" */
extern void mf_number_restore(const MfSqlScope *scope);

/* All rows that are not found by their InvoiceId are from now on; a row ('number', how many) in SPI's result if there are any. */
extern uint64 mf_number_repair(const MfSqlScope *scope);

#endif							/* MF_INVOICE_NUMBER_H */
