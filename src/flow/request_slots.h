/*
 * request_slots.h
 *	  How many requests may be in flight, all accounts of a worker together.
 *
 * The limit is myfatoorah.max_in_flight, or less if the process lacks file
 * descriptors or memory.  Each throttle also has the limit of its account.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/flow/request_slots.h
 */
#ifndef MF_REQUEST_SLOTS_H
#define MF_REQUEST_SLOTS_H

#include "flow/throttle.h"

/*
 * Flights claimed ahead of the slots that become free, all accounts together.  To
 * measure what that earns, build with OPTFLAGS=-DMF_AHEAD_MAX=0.
 */
#ifndef MF_AHEAD_MAX
#define MF_AHEAD_MAX 250
#endif

/*
 * Applies the settings, at the worker's start and when they may have changed.
 * Returns the number of slots if it is less than the setting, for want of file
 * descriptors, else 0.
 */
extern int	mf_slots_configure(MfHttp *http);

/* Takes a slot for a request that starts, and frees it.  The throttle learns of the start. */
extern void mf_slots_start(MfThrottle *throttle, MfInFlight *request, bool is_inquiry, TimestampTz now);
extern void mf_slots_end(MfThrottle *throttle, MfInFlight *request);

/* Counts inquiries that are claimed and not posted yet; "change" is added. */
extern void mf_slots_count_inquiries(MfThrottle *throttle, int change);

/* Counts flights that are claimed ahead and not posted yet; "change" is added. */
extern void mf_slots_count_ready(MfThrottle *throttle, int change);

/* Flights claimed ahead, all accounts together */
extern int	mf_slots_ready_count(void);

/* Notes the owner of an account.  Has no effect while the account waits for its turn. */
extern void mf_slots_set_owner(MfThrottle *throttle, Oid role);

/* Requests that may be posted now */
extern int	mf_slots_free(TimestampTz now);

/* Whether a ready flight of the account may be posted now. */
extern bool mf_slots_can_post(const MfThrottle *throttle, TimestampTz now);

/*
 * How many of "wanted" requests may be claimed: for the free slots, and for those
 * that answers will free within "horizon_us".
 */
extern int	mf_slots_claimable(int wanted, int64 horizon_us, TimestampTz now);

/* When time alone makes more of them claimable; 0 = only an answer does */
extern TimestampTz mf_slots_claimable_at(int64 horizon_us, TimestampTz now);

/*
 * When the first slot of an account for which no flight is ready is likely to be
 * free: DT_NOBEGIN = now, 0 = not known.
 */
extern TimestampTz mf_slots_next_free(const MfThrottle *throttle, TimestampTz now);

/* Whether the accounts of this database have several owners, so that none may take all slots. */
extern void mf_slots_set_several_owners(bool several);

/* How many more slots an owner may have now, beside what its accounts use and are planned to claim */
extern int	mf_slots_owner_room(const MfOwner *owner, TimestampTz now);

/* How many inquiries may be made now: half of the slots are left to sending */
extern int	mf_slots_inquiry_room(TimestampTz now);

/* Whether an account uses more than its part of the slots in use. */
extern bool mf_slots_over_share(const MfThrottle *throttle);

/*
 * Notes that a request could not be made for want of descriptors or memory.  None is
 * made for a moment, and afterwards no more than are in flight now, the limit
 * growing by one with each request that ends.
 */
extern void mf_slots_starved(const char *error, TimestampTz now);

/* Until when no request is made therefore; 0 or past = it is not so */
extern TimestampTz mf_slots_starved_until(void);

#endif							/* MF_REQUEST_SLOTS_H */
