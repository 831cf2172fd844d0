/*
 * claim.h
 *	  Claims due entries of the agenda, records attempts, and builds their requests.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/sending/claim.h
 */
#ifndef MF_CLAIM_H
#define MF_CLAIM_H

#include "flight/claim_account.h"
#include "sending/attempt_rows.h"

/*
 * Claims due entries within the limits of each account, in the caller's transaction.
 * The new flights are to be posted once it has committed.  mf_turns_alarm() is when
 * to call it again.
 */
extern void mf_claim_due(const MfSqlScope *scope, const MfClaim *claim, TimestampTz now);

/*
 * Notes that rows created before that time may have a twin: another server has them
 * too, and may have sent them.
 */
extern void mf_claim_twins_before(TimestampTz since);

/*
 * Settles invoices after "after", by id, that are "sending" without a request under
 * way, as many as the round may take: their outcome is unknown.  Returns the last
 * invoice that was read, or "after" if there is none.
 */
extern int64 mf_claim_sweep(const MfSqlScope *scope, int64 after, TimestampTz now);

#endif							/* MF_CLAIM_H */
