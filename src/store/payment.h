/*
 * payment.h
 *	  SQL of payment status: what answers make of invoices.
 *
 * Every function runs inside the caller's transaction; none commits.
 *
 * Rows are locked in one order, so that nobody waits in a circle: mf_invoice,
 * mf_event, mf_inquiry, and within a table by key.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/payment.h
 */
#ifndef MF_PAYMENT_H
#define MF_PAYMENT_H

#include "core/api/payment_status.h"
#include "database/sql.h"
#include "store/invoice.h"

/* A locked row of a sent invoice, with what an answer is compared with */
typedef struct MfPaymentRow
{
	int64		invoice;
	char	   *invoice_id;
	char	   *reference;		/* the latest one; those that resends have replaced have lower numbers */
	char	   *customer_reference; /* NULL = none */
	MfPaymentStatus status;
	int			attempts;
	char	   *base_value;		/* of the latest answer; NULL = there was none */
	char	   *base_currency;	/* likewise */
	char	   *invoice_value;
	char	   *currency;		/* of invoice_value; NULL = not known */
	char	   *received_value;
	char	   *refunded_value;
	char	   *payment_error;	/* NULL = none */
	int64		replaced_by;	/* 0 = no other invoice is to be paid in its place */
	char	   *taken_over_from;	/* address at which an invoice that the row has not made was found; NULL = it has made it */
} MfPaymentRow;

/*
 * Locks sent invoices, and the events about them that wait for an answer, except
 * those of which others have locked either. List of MfPaymentRow.
 */
extern List *mf_payment_lock(const MfSqlScope *scope, const int64 *invoices, int count);

/* What an answer changes in a row; NULL and 0 leave a column as it is */
typedef struct MfPaymentChange
{
	int64		invoice;
	MfPaymentStatus from;
	MfPaymentStatus to;
	int			attempt;
	const char *invoice_status;
	const char *payment_id;
	const char *base_currency;
	const char *base_value;
	const char *display_currency;
	const char *display_value;
	const char *pay_currency;
	const char *pay_value;
	TimestampTz paid_at;
	TimestampTz expires_at;
	bool		overpaid;
	bool		paid_late;
	const char *error;			/* for payment_error; NULL clears it */
	const char *reason;			/* for the history, if the state changes */

	/* sums of the ledger; those of the row if nothing was booked */
	const char *received_value;
	const char *refunded_value;
	const char *base_value_before;
	bool		has_dispute;	/* disputed_at is to be set; */
	TimestampTz disputed_at;	/* 0 = no dispute is open or lost */
	bool		read;			/* the answer is about this invoice */
	const char *contradiction;	/* how the invoice that was paid differs from the row; NULL = it does not */
	const char *doubt;			/* for payment_doubt */
	bool		step;			/* goes into the history even if payment_status stays */
	bool		money;			/* was booked, so the row must change */

	int64		replaced_by;	/* of the row; 0 = none */
	bool		changed;		/* out: the row was changed */
} MfPaymentChange;

/*
 * Applies changes to locked rows and the history; each invoice once.  Of an invoice that was paid although
 * another replaces it, that other one is cancelled if it was not sent, else the row gets a payment_doubt.
 */
extern void mf_payment_apply(const MfSqlScope *scope, MfPaymentChange *changes, int count);

#define MF_HELD_AGAIN \
	"a payment is held again, and MyFatoorah allows one capture or release of an invoice: " \
	"capture it or give it back in the portal"

/* Adds to the payment_doubt of a locked row; if "held", only if a payment of it was captured or released before. */
extern void mf_payment_doubt(const MfSqlScope *scope, int64 invoice, const char *doubt, bool held);

/* Takes what begins so out of the payment_doubt of a locked row; other doubts stay. */
extern void mf_payment_end_doubt(const MfSqlScope *scope, int64 invoice, const char *beginning);

/* A transaction (try to pay) of an invoice; texts are in the server encoding */
typedef struct MfTryRow
{
	int64		invoice;
	const char *values[MF_TX_COUNT];
	TimestampTz transaction_date;	/* 0 = none */
} MfTryRow;

/*
 * Stores tries that are new or have changed.  Puts the ids of their invoices into
 * "changed", which has room for all; returns their number.
 */
extern int	mf_payment_store_tries(const MfSqlScope *scope, const MfTryRow *tries, int count, int64 *changed);

/* What the page for a customer needs of a row */
typedef struct MfCallbackRow
{
	int64		invoice;
	char	   *account;
	char	   *token;			/* the random end of its reference */
	char	   *payment_status;
	bool		settled;		/* no inquiry is under way that the customer would wait for */
	bool		arabic;
	char	   *call_back_url;	/* of the row; NULL = none */
	char	   *error_url;
	bool		archived;
} MfCallbackRow;

/* List of MfCallbackRow. */
extern List *mf_payment_callback_rows(const MfSqlScope *scope, const int64 *invoices, int count);

/* What mf_wait() sees of an invoice, as the current role */
typedef struct MfWaitedInvoice
{
	char		status[32];
	char		payment_status[32];
	TransactionId xmin;
} MfWaitedInvoice;

/* False if there is no such invoice that the role may see. Own scope. */
extern bool mf_payment_read_waited(Oid schema, int64 invoice, MfWaitedInvoice *row);

/*
 * Whether an answer is about a row that the current role does not see, by its
 * InvoiceId and CustomerReference, which may be NULL. Own scope.
 */
extern bool mf_payment_answer_is_hidden(Oid schema, const char *account, const char *invoice_id, const char *reference);

#endif							/* MF_PAYMENT_H */
