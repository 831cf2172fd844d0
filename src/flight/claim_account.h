/*
 * claim_account.h
 *	  The accounts and keys under which claimed rows go out, and questions are asked.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/flight/claim_account.h
 */
#ifndef MF_CLAIM_ACCOUNT_H
#define MF_CLAIM_ACCOUNT_H

#include "account/account_key.h"
#include "flight/flight.h"

struct MfAttemptRows;

/* What a claim needs from the sender */
typedef struct MfClaim
{
	MfHttp	   *http;
	MemoryContext memory;		/* of the flights */
	dlist_head *claimed;		/* where new flights go */
	struct MfAttemptRows *recorder; 	/* NULL if only SQL will do */
	int64		horizon_us;		/* slots that become free within it may be claimed for */
	bool		held;			/* as if all accounts were paused */
} MfClaim;

/*
 * The account of a throttle; NULL if it is paused, backs off, or cannot be used:
 * then its throttle backs off and the log says why, once.
 */
extern const MfAccount *mf_claim_account(MfThrottle *throttle, bool paused, TimestampTz now);

/* The key of one role for one account, read once per round */
typedef struct MfClaimTarget
{
	const char *account;
	MfKeyOwner	owner;
	MfHttpTarget *target;		/* NULL: see error */
	const char *error;
	TimestampTz until;			/* it cannot be used before; 0 = that is not known */
} MfClaimTarget;

/*
 * The key of a row's own role, looked up once per round, account and role, kept
 * in *targets.  What can be wrong with it (a missing mapping, an unreadable
 * file, that it is throttled) concerns these rows only, so no error escapes.
 * "question": it is about payments, as all of the same list are.
 */
extern const MfClaimTarget *mf_claim_target(MfHttp *http, const char *account, MfKeyOwner owner, bool question,
											List **targets);

/* A person says so: keys that were refused are tried, and those that cannot be used told of once more. */
extern void mf_claim_try_keys(void);

/* The account, or NULL with the reason. */
extern const MfAccount *mf_account_or_null(const char *name, const char **reason);

/* Why a row may not be sent any more in the name of its role, NULL if it may; the account must be usable. */
extern const char *mf_claim_refusal(const MfSqlScope *scope, const MfJob *job);

#endif							/* MF_CLAIM_ACCOUNT_H */
