/*
 * deposits.h
 *	  SQL of deposits: asked for, claimed, read.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/deposits.h
 */
#ifndef MF_DEPOSITS_H
#define MF_DEPOSITS_H

#include "account/account.h"
#include "account/account_key.h"
#include "core/api/deposit.h"
#include "database/sql.h"

/* Definite answers in a row by which a deposit could not be read until it is failed */
#define MF_DEPOSIT_TRIES 5

struct MfEvent;

/* Stores the deposits that events announce, those that are news, and asks for them. */
extern void mf_deposits_announce(const MfSqlScope *scope, const struct MfEvent *events, int count);

/* A claimed deposit */
typedef struct MfDepositJob
{
	int64		id;
	char	   *reference;
	char	   *supplier_code;	/* digits; NULL = the account's own */
	MfKeyOwner	owner;			/* with whose key */
	int			times_requested;
	int			lookups;
	int			failures;
} MfDepositJob;

/*
 * Claims the deposit of an account that is due first, until its lease ends; NULL if there is none.
 * Palloc'd.
 */
extern MfDepositJob *mf_deposits_claim(const MfSqlScope *scope, const char *account, TimestampTz now,
									   TimestampTz lease);

/* What comes next for a deposit */
typedef struct MfDepositNext
{
	int64		id;
	int			times_requested;	/* as claimed: if the row has more, it is asked for again */
	bool		failed;
	bool		elsewhere;		/* under another account of the merchant, if there is one */
	TimestampTz due;			/* 0 = never */
	int			lookups;
	int			failures;
	const char *error;			/* NULL = none */
} MfDepositNext;

/*
 * Locks a deposit, without waiting.  False if somebody else has locked it, or it is gone.
 * *expected is how many payments were announced, or read last: with any, a list of none
 * cannot be true.
 */
extern bool mf_deposits_lock(const MfSqlScope *scope, int64 id, int *expected);

/* Stores the items of an answer, in place of earlier ones, and that the locked deposit is read. */
extern void mf_deposits_store(const MfSqlScope *scope, const MfDepositJob *job, const MfAccount *account,
							  const MfListResult *result);

/* Records what comes next for a locked deposit that could not be read. */
extern void mf_deposits_set_next(const MfSqlScope *scope, const MfDepositNext *next);

#endif							/* MF_DEPOSITS_H */
