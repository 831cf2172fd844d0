/*
 * inquiry.h
 *	  The one reader of payments: asks MyFatoorah, and applies what it says.
 *
 * Webhooks, callbacks, people and the poller only put inquiries on the agenda
 * (mf_inquiry).  Part of the worker's rounds.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inquiry/inquiry.h
 */
#ifndef MF_INQUIRY_H
#define MF_INQUIRY_H

#include "flight/claim_account.h"

/* At a worker's start: look at everything, and read what webhooks were missed. */
extern void mf_inquiry_start(void);

/* Whether a round would find inquiries to make. */
extern bool mf_inquiry_has_work(void);

/* When one would, without any news; 0 = never. */
extern TimestampTz mf_inquiry_alarm(void);

/* Whether inquiries wait for a free slot, or would take one in the next round. */
extern bool mf_inquiry_pending(void);

/*
 * Claims what is due, in the caller's transaction, and moves *again forward to
 * when it must be called again without being woken.
 */
extern void mf_inquiry_claim(const MfSqlScope *scope, const MfClaim *claim, TimestampTz now, TimestampTz *again);

/*
 * Records the answers of landed flights, as many as the round may take, in the
 * caller's transaction; moves them from "landed" to "recorded".  Those whose
 * invoice somebody has locked stay.
 */
extern void mf_inquiry_record(const MfSqlScope *scope, dlist_head *landed, dlist_head *recorded,
							  TimestampTz now, TimestampTz *again);

/*
 * The number of a paid invoice has just been confirmed as that of the row: its
 * refunds, which are answered by number alone, may be asked for next.
 */
extern void mf_inquiry_confirm(int64 invoice);
extern bool mf_inquiry_is_confirmed(int64 invoice);

/*
 * How long after an answer the next question comes, for an invoice that has
 * had "step" answers since its payment status is what it is.  False if nothing
 * can change any more.  "expires_at" 0 = unknown.
 */
extern bool mf_inquiry_schedule(MfPaymentStatus status, int step, TimestampTz expires_at, TimestampTz now,
								TimestampTz *due);

#endif							/* MF_INQUIRY_H */
