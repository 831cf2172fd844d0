/*
 * ledger.h
 *	  The ledger: money that came and went, and disputes.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/ledger.h
 */
#ifndef MF_LEDGER_H
#define MF_LEDGER_H

#include "database/sql.h"

/* Kinds of lines of the books, as in mf_money */
typedef enum MfMoneyKind
{
	MF_MONEY_PAYMENT,
	MF_MONEY_REFUND,
	MF_MONEY_CHARGEBACK,
	MF_MONEY_FEE
} MfMoneyKind;

/* What an answer tells of money: how much came or went under one number */
typedef struct MfMoney
{
	int64		invoice;
	MfMoneyKind kind;
	const char *source;			/* PaymentId, RefundId, DisputeTransactionId */
	const char *amount;			/* all of it; negative if it went */
	const char *currency;
	const char *payment_id;		/* NULL = not told */

	const char *news;			/* out: the line that was booked; NULL = it was
								 * known */
} MfMoney;

/* Books what is new of it.  The rows of the invoices are locked. */
extern void mf_payment_book(const MfSqlScope *scope, MfMoney *const *told, int count);

/* A dispute that is new, or has another state */
typedef struct MfDispute
{
	int64		invoice;
	const char *dispute_id;
	const char *payment_id;		/* NULL = not told */
	const char *type;			/* likewise */
	const char *status;
	const char *lost;			/* what went by it, negative; NULL = nothing */
	const char *currency;		/* of the payment; NULL = it is not booked */
	TimestampTz disputed_at;	/* of the invoice; 0 = no dispute is open or lost */
} MfDispute;

/* Takes what events have told of disputes of these invoices, which are locked.  List of MfDispute. */
extern List *mf_payment_disputes(const MfSqlScope *scope, const int64 *invoices, int count);

/* A person ends the doubt about a payment, with a line in the history; false if there is none. */
extern bool mf_payment_dismiss_doubt(Oid schema, int64 invoice, const char *actor, const char *reason);

#endif							/* MF_LEDGER_H */
