/*
 * invoice_number.h
 *	  SQL of mf_invoice_number: which row has which InvoiceId.
 *
 * mf_invoice has no index on invoice_id.  Each invoice gets its number when it is
 * sent, and an update of an indexed column makes new entries in all indexes of the
 * table.  A row of mf_invoice_number makes one.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/invoice_number.h
 */
#ifndef MF_INVOICE_NUMBER_H
#define MF_INVOICE_NUMBER_H

#include "database/sql.h"

/* An invoice that was accepted by MyFatoorah a moment ago */
typedef struct MfSentInvoice
{
	int64		invoice;
	int64		invoice_id;		/* InvoiceId; 0 = the row did not get it just now */
	const char *account;		/* NULL = the caller does not know it; not set without an invoice_id */
} MfSentInvoice;

/*
 * Follows FROM: the rows of mf_invoice, as "i", that have this InvoiceId; further
 * conditions may follow.  It is not a join, because a plan of one that was made
 * while the tables were small might begin with mf_invoice.
 */
#define MF_HAVING_NUMBER(number) \
	"@mf_invoice i WHERE i.id = ANY (ARRAY(SELECT k.invoice FROM @mf_invoice_number k " \
	"  WHERE k.invoice_id = " number ")) " \
	"  AND i.invoice_id = " number

/*
 * Until the end of the transaction nobody else makes a row for that invoice of MyFatoorah,
 * which was made elsewhere; false if somebody is doing so, and "wait" is false.
 */
extern bool mf_number_lock(Oid schema, const char *invoice_id, bool wait);

/* Whether a row is in mf_invoice_number with its InvoiceId; OFFSET 0 keeps the planner from reading all numbers */
#define MF_IS_NUMBERED(row) \
	"EXISTS (SELECT FROM @mf_invoice_number k WHERE k.invoice_id = " row ".invoice_id AND k.invoice = " row ".id OFFSET 0)"

/* Adds locked invoices that have just been given an InvoiceId; skips those with invoice_id 0. */
extern void mf_number_add(const MfSqlScope *scope, const MfSentInvoice *sent, int count);

/*
 * Marks those whose InvoiceId another row has, which may be of another account of the same
 * address: a person has to say whose it is.  They are locked.
 */
extern void mf_number_flag_shared(const MfSqlScope *scope, const MfSentInvoice *sent, int count);

/* Adds restored rows; the transition table "new_rows" is registered. */
extern void mf_number_restore(const MfSqlScope *scope);

/*
 * CTE that sets the roles of rows of "r" (invoice) by their names, as for restored rows: the OIDs may be those of another
 * server.
 */
#define MF_ROLES_BY_NAME \
	"k AS (UPDATE @mf_invoice i SET created_by_id = coalesce(a.oid, 0) " \
	"  FROM r JOIN @mf_invoice o ON o.id = r.invoice LEFT JOIN pg_roles a ON a.rolname = o.created_by " \
	"  WHERE i.id = r.invoice AND i.created_by_id <> coalesce(a.oid, 0)) "

/*
 * Adds rows that are missing, of invoices that were loaded without triggers.  If there were any, the result of the
 * statement is one row ('number', how many).
 */
extern uint64 mf_number_repair(const MfSqlScope *scope);

#endif							/* MF_INVOICE_NUMBER_H */
