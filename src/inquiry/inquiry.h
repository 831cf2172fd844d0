/*
 * inquiry.h
 *	  Inquiries: asks MyFatoorah about payments, and records its answers.
 *
 * Webhooks, callbacks, people and the poller put entries on the agenda of
 * inquiries, mf_inquiry.  Only an answer to an inquiry changes a payment.  All of
 * this is part of the worker's rounds, and runs in their transactions.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inquiry/inquiry.h
 */
#ifndef MF_INQUIRY_H
#define MF_INQUIRY_H

#include "flight/claim_account.h"

/* Whether a round would scan the agenda. */
extern bool mf_inquiry_has_work(void);

/* When a round would scan the agenda by itself; 0 = never */
extern TimestampTz mf_inquiry_alarm(void);

/*
 * Claims due inquiries and builds their requests.  Makes *next_round earlier if
 * the next one is due before.
 */
extern void mf_inquiry_claim(const MfSqlScope *scope, const MfClaim *claim, TimestampTz now, TimestampTz *next_round);

/*
 * Records the answers of flights in "landed", as many as the round may take, and
 * moves these flights to "recorded".  A flight whose invoice is locked stays, and
 * *next_round becomes earlier if it is tried again before.
 */
extern void mf_inquiry_record(const MfSqlScope *scope, dlist_head *landed, dlist_head *recorded,
							  TimestampTz now, TimestampTz *next_round);

/* To be called when the settings were read: notes whether polling was switched on. */
extern void mf_inquiry_catch_up_settings(void);

/*
 * Plans a batch of inquiries if polling was switched on, in a transaction of its own.
 * Makes *next_round earlier while there may be more.  An error is logged.
 */
extern void mf_inquiry_catch_up_attend(MfRunTransaction run_apart, TimestampTz *next_round);

/* Whether a page of the account's log is to be asked for now; if later, makes *due earlier. */
extern bool mf_missed_webhooks_wanted(const MfInquiryAccount *entry, TimestampTz now, TimestampTz *due);

/* Logs that lacked a key, or a secret of webhooks, are asked for at once. */
extern void mf_missed_webhooks_try_now(void);

/* Builds the request for the next page.  Returns 1, or 0 if there is nothing to ask. */
extern int	mf_missed_webhooks_ask(const MfSqlScope *scope, const MfClaim *claim, const MfAccount *account);

/* Stores the webhooks of a page as events. */
extern void mf_missed_webhooks_record(const MfSqlScope *scope, const MfFlight *flight);

/* Once that has committed: goes on to the next page, or plans the next try. */
extern void mf_missed_webhooks_recorded(const MfFlight *flight, TimestampTz now);

/* A page was not asked for after all, or cannot be stored: it is asked for again, once its item is no longer put off. */
extern void mf_missed_webhooks_dropped(const MfFlight *flight);

#endif							/* MF_INQUIRY_H */
