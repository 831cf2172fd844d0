/*
 * payment_status.h
 *	  What GetPaymentStatus says about a payment, and the states it moves through.
 *
 * Pure functions.  Nothing is guessed: a word that the vendor's documentation
 * does not know changes no state.  A state follows only from the invoice's own
 * word; the tries tell how it was paid.
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
	MF_TRY_UNKNOWN,				/* a word that we do not know */
	MF_TRY_IN_PROGRESS,
	MF_TRY_SUCCESS,				/* "Succss", "Success" */
	MF_TRY_FAILED,
	MF_TRY_CANCELED,
	MF_TRY_AUTHORIZED
} MfTryStatus;

/* One try to pay, a member of InvoiceTransactions */
typedef struct MfTry
{
	MfTryStatus status;
	char	   *values[MF_TX_COUNT];	/* as mf_transaction_read() leaves them; of
										 * the card only what may be kept */
} MfTry;

/* What one answer says */
typedef struct MfPayment
{
	MfPaymentStatus status;		/* unpaid, authorized, paid or remote_cancelled */
	bool		known;			/* false: InvoiceStatus is a word that we do
								 * not know, so "status" says nothing */
	bool		unsettled;		/* the invoice's word and its tries disagree, as
								 * for some seconds after a payment */
	int			successes;		/* tries that brought money */
	int			paid_by;		/* the earliest of them; -1 = none is listed */
	int			try_count;
	MfTry	   *tries;			/* malloc'd */
} MfPayment;

/* "unpaid", "authorized", ...; and back, -1 for another word. */
extern const char *mf_payment_status_name(MfPaymentStatus status);
extern int	mf_payment_status_from_name(const char *name);

/* The vendor's word for a try, in any case and spelling known. */
extern MfTryStatus mf_try_status(const char *word);

/*
 * Reads an answer of MF_LOOKUP_FOUND.  A try that cannot be read is left out and
 * makes the answer "unsettled".  False only when out of memory; free with
 * mf_payment_free().
 */
extern bool mf_payment_read(const MfStatusResult *answer, MfPayment *payment);
extern void mf_payment_free(MfPayment *payment);

/* Whether money has come in, whatever became of it since. */
static inline bool
mf_payment_was_paid(MfPaymentStatus status)
{
	return status == MF_PAID || status == MF_PARTLY_REFUNDED || status == MF_REFUNDED || status == MF_DISPUTED;
}

/*
 * The state that a row comes to when MyFatoorah says "read" (which may be
 * MF_EXPIRED, if its time is over).  Money that came in never goes by a read:
 * how much of it is kept is told by the sums of the row.
 */
extern MfPaymentStatus mf_payment_next(MfPaymentStatus current, MfPaymentStatus read);

/* Whether the state machine has that transition. */
extern bool mf_payment_allowed(MfPaymentStatus from, MfPaymentStatus to);

#endif							/* MF_PAYMENT_STATUS_H */
