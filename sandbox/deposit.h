/*
 * deposit.h
 *	  Deposits: what MyFatoorah pays out to the vendor and to suppliers.
 *
 * All functions want the store's lock held.
 */
#ifndef SANDBOX_DEPOSIT_H
#define SANDBOX_DEPOSIT_H

#include "store.h"

typedef struct Deposit
{
	struct Deposit *next; /* in order of creation */
	const Account *account;
	int64_t number; /* digits of DepositReference after the year */
	int64_t supplier; /* its code; 0: the vendor's */
	Ticks at;
	Decimal itemised; /* sum of the invoices' DueDeposit */
	Decimal refunds; /* taken off */
	Decimal fees; /* taken off */
	Decimal announced; /* what is left */
	int count;
	Invoice **invoices;
} Deposit;

/* What a deposit is to hold. */
typedef struct DepositOrder
{
	const Account *account;
	int64_t supplier;
	Decimal fees;
	bool refunds; /* take those off that no deposit has taken off yet */
} DepositOrder;

extern void deposit_reset(void);
extern void deposit_start_ids(uint64_t seed);
extern bool deposit_is_due(const Invoice *inv, const DepositOrder *order);
extern Deposit *deposit_make(const DepositOrder *order, Invoice **invoices, int count);
extern Decimal deposit_share(const Invoice *inv, int64_t supplier);
extern Deposit *deposit_first(void);
extern Deposit *deposit_by_reference(Str reference);
extern void buf_put_deposit_reference(Buf *b, const Deposit *deposit);

#endif
