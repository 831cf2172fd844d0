/*
 * invoice.h
 *	  The table mf_invoice: its columns, its tuples, and allowed changes of states.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/invoice.h
 */
#ifndef MF_INVOICE_H
#define MF_INVOICE_H

#include "access/htup_details.h"

#include "core/api/invoice_status.h"

/* Attribute numbers of mf_invoice, as in the install script */
typedef enum MfInvoiceColumn
{
	MF_IC_ID = 1,
	MF_IC_ACCOUNT,
	MF_IC_CUSTOMER_NAME,		/* first field of the request, in the order of
								 * mf_send_payment_fields[] */
	MF_IC_RETRY_COUNT = MF_IC_CUSTOMER_NAME + 27,	/* the last one */
	MF_IC_SEND_AT,
	MF_IC_PRIORITY,
	MF_IC_IDEMPOTENCY_KEY,
	MF_IC_CALLBACKS,
	MF_IC_REFERENCE,			/* from here to MF_IC_TAKEN_OVER_FROM written by us only */
	MF_IC_STATUS,
	MF_IC_PAYMENT_STATUS,
	MF_IC_INVOICE_ID,
	MF_IC_INVOICE_URL,
	MF_IC_SENT_AT,
	MF_IC_PAID_AT,
	MF_IC_LAST_ERROR,
	MF_IC_ATTEMPTS,
	MF_IC_CANCEL_REQUESTED,
	MF_IC_DUPLICATE_SUSPECTED,
	MF_IC_CREATED_AT,
	MF_IC_CREATED_BY,
	MF_IC_INVOICE_STATUS,
	MF_IC_PAYMENT_ERROR,
	MF_IC_DUPLICATE_ERROR,
	MF_IC_PAYMENT_ID,
	MF_IC_BASE_CURRENCY,
	MF_IC_BASE_VALUE,
	MF_IC_DISPLAY_CURRENCY,
	MF_IC_DISPLAY_VALUE,
	MF_IC_PAY_CURRENCY,
	MF_IC_PAY_VALUE,
	MF_IC_REFUNDED_VALUE,
	MF_IC_OVERPAID,
	MF_IC_PAID_LATE,
	MF_IC_CREATED_BY_ID,
	MF_IC_OWN_KEY,
	MF_IC_COULD_LOGIN,
	MF_IC_COULD_INSERT,
	MF_IC_CURRENCY,
	MF_IC_RECEIVED_VALUE,
	MF_IC_NET_VALUE,
	MF_IC_DISPUTED_AT,
	MF_IC_EXPIRES_AT,
	MF_IC_PAYMENT_DOUBT,
	MF_IC_ERASED_AT,
	MF_IC_REPLACED_BY,
	MF_IC_RECURRING_ID,
	MF_IC_TAKEN_OVER_FROM,
	MF_IC_METADATA,				/* users may change it at any time */
	MF_IC_END					/* one more than the last */
} MfInvoiceColumn;

/* The values of one row of any table, by attribute number; element 0 is not used */
typedef struct MfRow
{
	Datum	   *values;
	bool	   *isnull;
} MfRow;

static inline void
mf_row_set(MfRow *row, int column, Datum value)
{
	row->values[column] = value;
	row->isnull[column] = false;
}

/* The types of its columns, by attribute number; element 0 is not used. */
extern const Oid mf_invoice_types[MF_IC_END];

/* Whether a column of a table has exactly that type, without a type modifier, and is not dropped. */
extern bool mf_column_is(TupleDesc desc, AttrNumber column, Oid type);

/*
 * Raises 42804 unless the triggers can read and write all columns of mf_invoice that they
 * use: the owner of the table can change the type of a column.
 */
extern void mf_invoice_check_columns(TupleDesc desc);

/*
 * Reads a tuple into palloc'd arrays; the values point into it.  The other function returns a
 * palloc'd copy of the tuple with the values of the row.
 */
extern void mf_row_read(HeapTuple tuple, TupleDesc desc, MfRow *row);
extern HeapTuple mf_row_tuple(HeapTuple tuple, TupleDesc desc, MfRow *row);

/*
 * The status that the value of the column, a text, names.  For another word the
 * first one returns -1, the second one raises an error.
 */
extern int	mf_status_from_datum(Datum value);
extern MfStatus mf_status_of(Datum value);

/* Whether a text Datum is that word. */
extern bool mf_text_is(Datum value, const char *word);

/*
 * Checks an update by a statement of ours, in a BEFORE trigger: raises 55000 unless
 * the changes of status and payment_status are allowed by their state machines.
 * Notifies listeners at commit if either changes.
 */
struct TupleTableSlot;
extern void mf_check_transition(struct TupleTableSlot *before, struct TupleTableSlot *after);

#endif							/* MF_INVOICE_H */
