/*
 * missed_webhooks.h
 *	  GetWebhooks after downtime: what MyFatoorah could not deliver.
 *
 * A worker that starts may have missed webhooks.  For each account that has a
 * webhook secret and open payments it reads the log of failed deliveries once,
 * from the last webhook that came in, and stores what it finds as events.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inquiry/missed_webhooks.h
 */
#ifndef MF_MISSED_WEBHOOKS_H
#define MF_MISSED_WEBHOOKS_H

#include "flight/claim_account.h"

/* From now on each account's log is to be read once. */
extern void mf_missed_webhooks_start(void);

/* Whether a page of the account's log is to be asked for now; if only later, moves *again forward to then. */
extern bool mf_missed_webhooks_wanted(const MfInquiryAccount *entry, TimestampTz now, TimestampTz *again);

/* Claims a flight for the next page; how many (0 or 1). */
extern int	mf_missed_webhooks_ask(const MfSqlScope *scope, const MfClaim *claim, const MfAccount *account,
								   TimestampTz now);

/* Stores what a page says. */
extern void mf_missed_webhooks_record(const MfSqlScope *scope, const MfFlight *flight);

/*
 * That has committed: what comes next.  The question was not asked, or what its
 * answer says cannot be stored: asked (again) from that time on.
 */
extern void mf_missed_webhooks_recorded(const MfFlight *flight, TimestampTz now);
extern void mf_missed_webhooks_put_off(const MfFlight *flight, TimestampTz until);

#endif							/* MF_MISSED_WEBHOOKS_H */
