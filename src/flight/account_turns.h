/*
 * account_turns.h
 *	  Which accounts may have something due to be sent, and whose turn it is.
 *
 * The worker does not scan mf_queue by account.  Accounts that may have an entry due
 * stand in a line and take turns.  Others have an alarm for when they may, or nothing:
 * those cost nothing.  Owners of accounts take turns first, so that none waits behind
 * all accounts of another one.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/flight/account_turns.h
 */
#ifndef MF_ACCOUNT_TURNS_H
#define MF_ACCOUNT_TURNS_H

#include "database/sql.h"
#include "flow/throttle.h"

/* A commit has changed the agenda: of one account, or perhaps of many. */
extern void mf_turns_changed(const char *account);
extern void mf_turns_all_changed(void);

/* Puts an account into the line unless it stands there, now, or at a time (0 = never). */
extern void mf_turns_due(MfThrottle *throttle);
extern void mf_turns_due_at(MfThrottle *throttle, TimestampTz at);

/* Notes that an account has more due than it has slots. */
extern void mf_turns_full(MfThrottle *throttle);

/*
 * Sets alarms for accounts with more due than slots, "lead_us" before a slot is likely to be free.  To be
 * called when the requests of the round have left.
 */
extern void mf_turns_wait_for_slots(int64 lead_us, TimestampTz now);

/* Puts accounts into the line whose alarm is over, or whose agenda has changed. */
extern void mf_turns_refresh(const MfSqlScope *scope, TimestampTz now);

/* The number of accounts in the line */
extern int	mf_turns_length(void);

/* Takes the next account from the line.  NULL = there is none whose owner may have slots. */
extern MfThrottle *mf_turns_next(TimestampTz now);

/* Puts an account whose turn was not used at the head of the line, unless it has joined again meanwhile. */
extern void mf_turns_put_back(MfThrottle *throttle);

/* Ends a round that has committed, or one that has failed, whose turns are put back. */
extern void mf_turns_round_done(void);
extern void mf_turns_round_failed(void);

/* Whether mf_turns_refresh() and mf_turns_next() would find an account; when they will, 0 = never */
extern bool mf_turns_has_work(TimestampTz now);
extern TimestampTz mf_turns_alarm(void);

#endif							/* MF_ACCOUNT_TURNS_H */
