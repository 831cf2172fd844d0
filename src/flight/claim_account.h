/*
 * claim_account.h
 *	  The accounts and keys for claimed invoices and inquiries; pauses of accounts whose
 *	  key MyFatoorah refuses.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/flight/claim_account.h
 */
#ifndef MF_CLAIM_ACCOUNT_H
#define MF_CLAIM_ACCOUNT_H

#include "account/account_key.h"
#include "database/sql.h"
#include "flight/flight.h"
#include "flow/throttle.h"
#include "store/api_proof.h"

struct MfAttemptRows;

/* What the claims of a round have in common */
typedef struct MfClaim
{
	MfHttp	   *http;
	MemoryContext memory;		/* for the flights */
	dlist_head *claimed;		/* new flights are appended here */
	struct MfAttemptRows *recorder; /* NULL: attempts are recorded by SQL */
	int64		horizon_us;		/* slots that become free within this may be claimed for */
	bool		held;			/* nothing may leave: claims are made as if all accounts were paused */
} MfClaim;

/*
 * Returns the account of a throttle; NULL if it is paused, backs off, or cannot be
 * used.  One that cannot be used backs off from now on, and is logged once, unless
 * nothing on the agenda names it any more.  "paused" is what the tables say; the
 * throttle also knows pauses that are not written yet.
 */
extern const MfAccount *mf_claim_account(const MfSqlScope *scope, MfThrottle *throttle, bool paused, TimestampTz now);

/* A key for an account: that of one role's user mapping, or PUBLIC's */
typedef struct MfClaimTarget
{
	const char *account;
	MfKeyOwner	owner;
	MfHttpTarget *target;		/* NULL = the key cannot be used */
	const char *error;			/* then the reason */
	TimestampTz until;			/* then the time from which on it can be used; 0 = not known */
	bool		proof_known;
	MfProof		proof;			/* of mf_claim_proof() */
} MfClaimTarget;

/*
 * Returns the key for an account, kept in *targets, so that each is looked up once as
 * long as the calls for an account follow each other.  Raises no error if it cannot be
 * used, such as for a missing mapping or a file that cannot be read: this concerns the
 * rows of one role only.  "inquiry" must be the same for all entries of a list.
 */
extern const MfClaimTarget *mf_claim_target(MfHttp *http, const char *account, MfKeyOwner key_owner, bool inquiry,
											List **targets);

/* What is known of POST /v3/payments with a key that can be used; read once for each list of targets. */
extern MfProof mf_claim_proof(const MfSqlScope *scope, const MfClaimTarget *target);

/* Tries keys again that were refused, and logs once more those that cannot be used. */
extern void mf_claim_retry_keys(void);

/* Why the role of a row may not send it any more; NULL if it may.  The account must be usable. */
extern const char *mf_claim_refusal(const MfSqlScope *scope, const MfJob *job);

/*
 * Pauses an account in this worker at once, and in mf_account by the next
 * mf_pause_attend().  "by" is a constant; "reason" is copied and may be NULL.
 */
extern void mf_pause_account(MfThrottle *throttle, const char *by, const char *reason);

/*
 * Writes pauses to mf_account, each in a transaction of its own by "run_apart", so that
 * one that fails or meets a lock leaves the others alone.
 */
extern void mf_pause_attend(MfRunTransaction run_apart);

/*
 * When a pause that could not be written is tried again; 0 = there is none.  A new one needs
 * no alarm: the round that records the answer writes it.
 */
extern TimestampTz mf_pause_alarm(void);

#endif							/* MF_CLAIM_ACCOUNT_H */
