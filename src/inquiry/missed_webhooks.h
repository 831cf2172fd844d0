/*
 * missed_webhooks.h
 *	  Reads the webhooks that MyFatoorah could not deliver while no worker ran.
 *
 * At its start, the worker reads MyFatoorah's log of failed deliveries (GetWebhooks)
 * once for each account that has a webhook secret and open payments, from the last
 * webhook that was received on, and stores them as events.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inquiry/missed_webhooks.h
 */
#ifndef MF_MISSED_WEBHOOKS_H
#define MF_MISSED_WEBHOOKS_H

#include "flight/claim_account.h"

/* Has each account's log read once. */
extern void mf_missed_webhooks_start(void);

/* Whether a page of the account's log is to be asked for now; if later, moves *due forward. */
extern bool mf_missed_webhooks_wanted(const MfInquiryAccount *entry, TimestampTz now, TimestampTz *due);

/* Builds the request for the next page.  Returns 1, or 0 if there is nothing to ask. */
extern int	mf_missed_webhooks_ask(const MfSqlScope *scope, const MfClaim *claim, const MfAccount *account);

/* Stores the webhooks of a page as events. */
extern void mf_missed_webhooks_record(const MfSqlScope *scope, const MfFlight *flight);

/* Once that has committed: goes on to the next page, or plans the next try. */
extern void mf_missed_webhooks_recorded(const MfFlight *flight, TimestampTz now);

/* A page was not asked for after all, or cannot be stored: asks for it again from that time on. */
extern void mf_missed_webhooks_put_off(const MfFlight *flight, TimestampTz until);

#endif							/* MF_MISSED_WEBHOOKS_H */
