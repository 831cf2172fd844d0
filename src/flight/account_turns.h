/*
 * account_turns.h
 *	  Which accounts have something due, and whose turn it is.
 *
 * The worker's picture of mf_queue by accounts.  Those that may have something
 * due stand in a line and take turns, the others have an alarm or nothing.  An
 * account with nothing due costs nothing, however many there are.  Owners of
 * accounts take turns first, so that nobody waits behind all that another one has.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/flight/account_turns.h
 */
#ifndef MF_ACCOUNT_TURNS_H
#define MF_ACCOUNT_TURNS_H

#include "database/sql.h"
#include "flow/throttle.h"

/* A commit has changed the agenda: for those accounts, or for any. */
extern void mf_turns_changed(const char *account);
extern void mf_turns_all_changed(void);

/* An account may have something due: it stands in line. */
extern void mf_turns_due(MfThrottle *throttle);

/* It may have something due from then on; 0 = never. */
extern void mf_turns_due_at(MfThrottle *throttle, TimestampTz at);

/* It has more to do than free slots; see mf_turns_wait_for_slots(). */
extern void mf_turns_full(MfThrottle *throttle);

/*
 * Gives those that are full an alarm for when a slot is likely to become free,
 * earlier by "lead_us".  To be called when the round's requests have left.
 */
extern void mf_turns_wait_for_slots(int64 lead_us, TimestampTz now);

/* Looks for accounts that are new on the agenda, where that is due. */
extern void mf_turns_refresh(const MfSqlScope *scope, TimestampTz now);

/* How many stand in line; the next one takes its turn, NULL = there is none whose owner may have slots. */
extern int	mf_turns_length(void);
extern MfThrottle *mf_turns_next(TimestampTz now);

/* It was not reached after all: it stands first in line. */
extern void mf_turns_put_back(MfThrottle *throttle);

/* The round's commit: all turns count.  Or its failure: they are taken again. */
extern void mf_turns_round_done(void);
extern void mf_turns_round_failed(void);

/* Whether somebody stands in line who may have slots; when somebody will, 0 = never. */
extern bool mf_turns_has_work(TimestampTz now);
extern TimestampTz mf_turns_alarm(void);

#endif							/* MF_ACCOUNT_TURNS_H */
