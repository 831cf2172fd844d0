/*
 * claim.h
 *	  What is due becomes recorded attempts and flights ready to be posted.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/sending/claim.h
 */
#ifndef MF_CLAIM_H
#define MF_CLAIM_H

#include "flight/claim_account.h"
#include "sending/attempt_rows.h"

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

#endif							/* MF_CLAIM_H */
