/*
 * claim_internal.h
 *	  What the claim_*.c files share.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/sending/claim_internal.h
 */
#ifndef MF_CLAIM_INTERNAL_H
#define MF_CLAIM_INTERNAL_H

#include "sending/claim.h"

/* Turns claimed jobs, a List of MfJob, into recorded attempts, look-ups, or what else is due for them. */
extern void mf_claim_take(const MfSqlScope *scope, const MfClaim *claim, List *jobs, TimestampTz now);

/*
 * What the agenda must say by the status, whoever has changed one of them.  An
 * invoice that is not finished never leaves it; what is queued may have been sent.
 */
extern void mf_claim_fit_entry(const MfJob *job, TimestampTz now, MfFollowUp *later);

/* Has a transition look a row up before it is sent, late enough where another server may have sent it. */
extern void mf_claim_verify(const MfJob *job, TimestampTz now, MfTransition *transition);

/* Settles invoices that are "sending" without a request under way. List of MfJob. */
extern void mf_claim_settle_leases(const MfSqlScope *scope, List *jobs, TimestampTz now);

#endif							/* MF_CLAIM_INTERNAL_H */
