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

/* Kinds of entries of the ledger, as in mf_money */
typedef enum MfMoneyKind
{
	MF_MONEY_PAYMENT,
	MF_MONEY_REFUND,
	MF_MONEY_CHARGEBACK,
	MF_MONEY_FEE
} MfMoneyKind;

/* How much came or went under one number in total, as an answer reports it */
typedef struct MfMoney
{
	int64		invoice;
	MfMoneyKind kind;
	const char *source;			/* PaymentId, RefundId, DisputeTransactionId */
	const char *amount;			/* decimal text; negative if it went */
	const char *currency;
	const char *payment_id;		/* NULL = not known */

	/* out */
	const char *booked;			/* amount of the new entry; NULL = none, because nothing has changed */
	int64		holder;			/* another invoice that has the number in the books; 0 = none */
} MfMoney;

/*
 * Books the differences to what was booked before, and sets "booked" and "holder".  The caller has
 * locked the invoices.
 */
extern void mf_ledger_book(const MfSqlScope *scope, MfMoney *const *money, int count);

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
	bool		again;			/* reported as LOST and as RESOLVED, and which is the last is not sure */
} MfDispute;

/*
 * Stores what events report about disputes of these invoices, which the caller has
 * locked.  Returns a List of MfDispute, in the current context.
 */
extern List *mf_ledger_store_disputes(const MfSqlScope *scope, const int64 *invoices, int count);

/*
 * Stores how a person has decided a dispute, "RESOLVED" or "LOST", as an event that is read once
 * MyFatoorah was asked about the invoice, which the caller has locked, with a line in the history.  Does
 * nothing if that is known.  False if the invoice has no such dispute. Own scope.
 */
extern bool mf_ledger_decide_dispute(Oid schema, int64 invoice, const char *dispute_id, const char *status,
									 const char *actor, const char *reason);

/* Clears payment_doubt, with a line in the history; false if there is no doubt. Own scope. */
extern bool mf_ledger_dismiss_doubt(Oid schema, int64 invoice, const char *actor, const char *reason);

/* Amounts as decimal text: how two compare, their sum and difference, palloc'd. */
extern int	mf_amount_compare(const char *a, const char *b);
extern char *mf_amount_add(const char *a, const char *b);
extern char *mf_amount_subtract(const char *a, const char *b);

#endif							/* MF_LEDGER_H */
