/*
 * claim_internal.h
 *	  What the claim_*.c files share.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/sending/claim_internal.h
 */
#ifndef MF_CLAIM_INTERNAL_H
#define MF_CLAIM_INTERNAL_H

#include "flight/replay.h"
#include "sending/claim.h"
#include "store/api_proof.h"

/* Records attempts and builds requests for claimed jobs, a List of MfJob, or puts them off. */
extern void mf_claim_jobs(const MfSqlScope *scope, const MfClaim *claim, List *jobs, TimestampTz now);

/*
 * Sets the follow-up of an entry that does not fit its invoice's status, by that
 * status.  A queued invoice is looked up, because it may have been sent; later if another
 * server may just be sending it.
 */
extern void mf_claim_fit_entry(const MfJob *job, TimestampTz now, MfFollowUp *follow_up);

/*
 * Creates the flight of a job and appends it to those claimed.  "references" is a List
 * of MfReference.  Returns NULL if there is no reference to look up.
 */
extern MfFlight *mf_claim_create_flight(const MfClaim *claim, const MfJob *job, const List *references,
										MfHttpTarget *target, MfProof proof);

/* Whether another server may have sent that row too. */
extern bool mf_claim_has_twin(const MfJob *job);

/*
 * Whether the request of an unknown outcome may be repeated once the invoice is found, and
 * until when.
 */
extern bool mf_claim_may_replay(const MfSqlScope *scope, const MfJob *job, const List *references,
								MfHttpTarget *target, MfProof proof, MfReplayWindow *window);

/*
 * Creates the flight that repeats the request, like mf_claim_create_flight().  Returns
 * NULL if that may not be, or not any more.
 */
extern MfFlight *mf_claim_create_replay(const MfSqlScope *scope, const MfClaim *claim, const MfJob *job,
										const List *references, MfHttpTarget *target, MfProof proof);

/* Has a row looked up before it is sent; later if another server may just be sending it. */
extern void mf_claim_verify(const MfJob *job, TimestampTz now, MfTransition *transition);

/* Settles invoices that are "sending" without a request under way, a List of MfJob. */
extern void mf_claim_settle_leases(const MfSqlScope *scope, List *jobs, TimestampTz now);

#endif							/* MF_CLAIM_INTERNAL_H */
