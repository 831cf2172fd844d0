/*
 * payment_status.h
 *	  What GetPaymentStatus reports about a payment, and the states of a
 *	  payment.
 *
 * Pure functions.  A word that MyFatoorah's documentation does not have
 * changes no state.  The state follows from InvoiceStatus only; the
 * transactions show how it was paid.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/api/payment_status.h
 */
#ifndef MF_PAYMENT_STATUS_H
#define MF_PAYMENT_STATUS_H

#include "core/api/outcome.h"

/* mf_invoice.payment_status */
typedef enum MfPaymentStatus
{
	MF_UNPAID,
	MF_AUTHORIZED,
	MF_PAID,
	MF_EXPIRED,
	MF_REMOTE_CANCELLED,
	MF_PARTLY_REFUNDED,
	MF_REFUNDED,
	MF_DISPUTED,
	MF_PAYMENT_STATUS_COUNT
} MfPaymentStatus;

typedef enum MfTryStatus
{
	MF_TRY_UNKNOWN,				/* a word that is not documented */
	MF_TRY_IN_PROGRESS,
	MF_TRY_SUCCESS,				/* "Succss", "Success" */
	MF_TRY_FAILED,
	MF_TRY_CANCELED,
	MF_TRY_AUTHORIZED
} MfTryStatus;

/* One transaction: a customer's try to pay */
typedef struct MfTry
{
	MfTryStatus status;
	char	   *values[MF_TX_COUNT];	/* as mf_transaction_read() returns
										 * them; Card without what may not be
										 * kept */
} MfTry;

/* What one answer reports */
typedef struct MfPayment
{
	MfPaymentStatus status;		/* unpaid, authorized, paid or remote_cancelled */
	bool		known;			/* false: InvoiceStatus is not a documented
								 * word, and "status" means nothing */
	bool		unsettled;		/* InvoiceStatus and the transactions
								 * disagree, as they do for some seconds after
								 * a payment */
	int			successes;		/* transactions that brought money */
	bool		released;		/* what was authorized was given back; it may be authorized again since */
	int			paid_by;		/* index of the earliest success; -1 = none is
								 * listed */
	int			try_count;
	MfTry	   *tries;			/* malloc'd */
} MfPayment;

/* "unpaid", "authorized", ...; and back, -1 for any other word. */
extern const char *mf_payment_status_name(MfPaymentStatus status);
extern int	mf_payment_status_from_name(const char *name);

/* The status of a transaction, in any case and documented spelling. */
extern MfTryStatus mf_try_status(const char *word);

/*
 * Evaluates an answer of MF_LOOKUP_FOUND. A transaction that cannot be read
 * is left out and makes the answer "unsettled". Returns false only when out
 * of memory.  Free with mf_payment_free().
 */
extern bool mf_payment_read(const MfStatusResult *answer, MfPayment *payment);
extern void mf_payment_free(MfPayment *payment);

/* Whether money has come in, even if it was refunded since. */
static inline bool
mf_payment_was_paid(MfPaymentStatus status)
{
	return status == MF_PAID || status == MF_PARTLY_REFUNDED || status == MF_REFUNDED || status == MF_DISPUTED;
}

/*
 * The state that follows "current" when MyFatoorah reports "read" (or
 * MF_EXPIRED, if its time is over). A payment is never undone by a report:
 * the refunded sums of the row show how much of it is kept.
 */
extern MfPaymentStatus mf_payment_next(MfPaymentStatus current, MfPaymentStatus read);

/* Whether this transition is allowed. */
extern bool mf_payment_allowed(MfPaymentStatus from, MfPaymentStatus to);

#endif							/* MF_PAYMENT_STATUS_H */
