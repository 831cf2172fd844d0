/*
 * request_slots.h
 *	  How many requests may be under way, all accounts of a worker together.
 *
 * myfatoorah.max_in_flight says so, or the descriptors that the process may
 * have.  A throttle has the limit of its account; both count.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/flow/request_slots.h
 */
#ifndef MF_REQUEST_SLOTS_H
#define MF_REQUEST_SLOTS_H

#include "core/http/http.h"
#include "flow/throttle.h"

/* Requests claimed ahead of the slots that become free, all accounts together */
#define MF_AHEAD_MAX 250

/*
 * At the worker's start, and when the settings may have changed.  Returns how many
 * may be under way if these are fewer than the setting allows, for want of
 * descriptors; else 0.
 */
extern int	mf_slots_configure(MfHttp *http);

/* A request starts and ends; "question": it asks about payments. */
extern void mf_slots_started(MfThrottle *throttle, bool question);
extern void mf_slots_ended(MfThrottle *throttle, bool question);

/* So many more are claimed: questions, which are posted next; others, as slots become free. */
extern void mf_slots_asked(MfThrottle *throttle, int count);
extern void mf_slots_ready(MfThrottle *throttle, int count);

/* Those of all accounts that are ready */
extern int	mf_slots_ready_count(void);

/* Requests that may be posted now */
extern int	mf_slots_free(TimestampTz now);

/*
 * How many of "wanted" requests may be claimed: for the free slots, and for those
 * that answers will free within "horizon_us".  mf_slots_room_at() is when that may
 * change by itself, 0 = an answer changes it.
 */
extern int	mf_slots_room(int wanted, int64 horizon_us, TimestampTz now);
extern TimestampTz mf_slots_room_at(int64 horizon_us, TimestampTz now);

/*
 * Whether accounts of this database have several owners.  Then none of these can take
 * all slots, so that there are always some for another one, whatever answers take.
 */
extern void mf_slots_set_owners(bool several);

/* How many more of the slots the accounts of an owner may have now, what is planned taken off */
extern int	mf_slots_owner_room(const MfOwner *owner, TimestampTz now);

/* How many questions may be asked now: half of the slots are left to what is sent. */
extern int	mf_slots_questions(TimestampTz now);

/* Whether an account has more than its part of the slots that are in use. */
extern bool mf_slots_over_share(const MfThrottle *throttle);

/*
 * A request could not be made for want of descriptors or memory: for a moment none
 * is, and from then on no more than there were.
 */
extern void mf_slots_starved(const char *error, TimestampTz now);

/* Until when none is made therefore; 0 or past = it is not so. */
extern TimestampTz mf_slots_starved_until(void);

#endif							/* MF_REQUEST_SLOTS_H */
