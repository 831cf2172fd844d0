/*
 * claim.h
 *	  What is due becomes recorded attempts and flights ready to be posted.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/sending/claim.h
 */
#ifndef MF_CLAIM_H
#define MF_CLAIM_H

#include "flight/flight.h"
#include "sending/attempt_rows.h"

/* What a claim needs from the sender */
typedef struct MfClaim
{
	MfHttp	   *http;
	MemoryContext memory;		/* of the flights */
	dlist_head *claimed;		/* where new flights go */
	MfRecorder *recorder;		/* NULL if only SQL will do */
	int64		horizon_us;		/* slots that become free within it may be claimed for */
	bool		held;			/* as if all accounts were paused */
} MfClaim;

/*
 * Claims what is due within the limits of each account and records the
 * attempts, all in the caller's transaction.  The agenda knows when it must be
 * called again.
 */
extern void mf_claim_due(const MfSqlScope *scope, const MfClaim *claim, TimestampTz now);

/*
 * Rows made before that time may have a twin: another server has them too, and
 * may have sent them.
 */
extern void mf_claim_twins_before(TimestampTz since);

/*
 * Turns "sending" entries without a request under way into unknown outcomes, as
 * many as the round may take, of invoices behind "after".  Returns the last
 * invoice looked at, or "after" if there is no more.
 */
extern int64 mf_claim_sweep(const MfSqlScope *scope, int64 after, TimestampTz now);

/*
 * The account of a circuit; NULL if it is paused, backs off, or cannot be used:
 * then its circuit backs off and the log says why, once.
 */
extern const MfAccount *mf_claim_account(MfCircuit *circuit, bool paused, TimestampTz now);

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

/* Moves an alarm forward; 0 means not set, on either side. */
static inline void
mf_come_back(TimestampTz *again, TimestampTz at)
{
	if (at != 0 && (*again == 0 || at < *again))
		*again = at;
}

#endif							/* MF_CLAIM_H */
