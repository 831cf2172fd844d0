/*
 * ledger.h
 *	  SQL of the ledger: money that came and went, and disputes.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/ledger.h
 */
#ifndef MF_LEDGER_H
#define MF_LEDGER_H

#include "database/sql.h"

/* Kinds of lines of the ledger, as in mf_money */
typedef enum MfMoneyKind
{
	MF_MONEY_PAYMENT,
	MF_MONEY_REFUND,
	MF_MONEY_CHARGEBACK,
	MF_MONEY_FEE
} MfMoneyKind;

/* What an answer says of money: how much came or went under one number */
typedef struct MfMoney
{
	int64		invoice;
	MfMoneyKind kind;
	const char *source;			/* PaymentId, RefundId, DisputeTransactionId */
	const char *amount;			/* in total, decimal text; negative if it went */
	const char *currency;
	const char *payment_id;		/* NULL = not known */

	const char *news;			/* out: amount of the line that was booked; NULL = none, it was booked before */
} MfMoney;

/* Books the difference to what was booked before.  The caller has locked the invoices. */
extern void mf_payment_book(const MfSqlScope *scope, MfMoney *const *money, int count);

/* A dispute that is new or has changed */
typedef struct MfDispute
{
	int64		invoice;
	const char *dispute_id;
	const char *payment_id;		/* NULL = not known */
	const char *type;			/* likewise */
	const char *status;
	const char *lost;			/* amount that was lost, negative; NULL = none */
	const char *currency;		/* of the payment; NULL = the payment is not booked */
	TimestampTz disputed_at;	/* of the invoice; 0 = no dispute is open or lost */
} MfDispute;

/* Stores what events say of disputes of these invoices, which the caller has locked.  List of MfDispute. */
extern List *mf_payment_disputes(const MfSqlScope *scope, const int64 *invoices, int count);

/* Clears payment_doubt, with a line in the history; false if there is no doubt. Own scope. */
extern bool mf_payment_dismiss_doubt(Oid schema, int64 invoice, const char *actor, const char *reason);

#endif							/* MF_LEDGER_H */
