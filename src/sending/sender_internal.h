/*
 * sender_internal.h
 *	  What the sender_*.c files share.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/sending/sender_internal.h
 */
#ifndef MF_SENDER_INTERNAL_H
#define MF_SENDER_INTERNAL_H

#include "flight/flight.h"
#include "sending/sender.h"

/* The worker's flights by state.  Each is in one of the lists, or in that of its throttle (sender_ready.c). */
typedef struct MfSenderState
{
	MfHttp	   *http;
	MemoryContext memory;		/* of the flights */
	dlist_head	claimed;		/* by the present round, to be posted after its commit */
	dlist_head	in_flight;
	dlist_head	landed;			/* attempts and look-ups with an outcome to be recorded */
	dlist_head	answered;		/* the same for inquiries */
	dlist_head	operated;		/* the same for refunds, captures and releases */
	dlist_head	recorded;		/* by the present round, to be freed after its commit */
	int			in_flight_count;
	int			landed_count;	/* outcomes since the latest round */
	uint64		request_count;	/* posted since the start */
	bool		waits_for_round;	/* nothing leaves before the next one: an account was paused */
} MfSenderState;

extern MfSenderState mf_sender_state;

struct MfAttemptRows;

/* The list in which the outcome of a flight waits to be recorded */
static inline dlist_head *
mf_sender_outcomes(const MfFlight *flight)
{
	if (flight->kind == MF_JOB_OPERATION)
		return &mf_sender_state.operated;
	return mf_flight_is_inquiry(flight) ? &mf_sender_state.answered : &mf_sender_state.landed;
}

/*
 * sender_requests.c: requests in flight
 */

/* Posts a flight, which is in no list.  One that cannot be posted lands at once. */
extern void mf_sender_post_flight(MfFlight *flight);

/*
 * Reads the next answer that has come: the flight, which has landed, and its throttle
 * has learned from it.  NULL = there is none.
 */
extern MfFlight *mf_sender_next_answer(void);

/* Lands a flight that was not posted. */
extern void mf_sender_fail_unsent(MfFlight *flight, const char *error);

/* Lands all flights that are in flight: their outcomes are unknown if they may have left. */
extern void mf_sender_fail_in_flight(const char *error);

/*
 * sender_ready.c: flights claimed ahead of the slots that become free
 */

/* Takes a flight whose claim has committed, and which is in no list; holds its target until it leaves or is returned. */
extern void mf_sender_add_ready(MfFlight *flight);

/* Posts the first ready flight of an account, if it may be posted; true if so. */
extern bool mf_sender_post_ready(MfThrottle *throttle);

/* Posts ready flights while there are slots, one of each account in turn; true if any was. */
extern bool mf_sender_post_ready_in_turns(void);

/* Lands ready flights that cannot be posted soon, as not sent; and all of them, with one error. */
extern void mf_sender_return_ready(TimestampTz now);
extern void mf_sender_fail_ready(const char *error);

/* Whether ready flights are to be returned before their time, because of a hold, a pause or a back-off. */
extern bool mf_sender_must_return_ready(TimestampTz now);

/* When the first ready flight is to be returned; 0 = there is none */
extern TimestampTz mf_sender_ready_alarm(void);

/*
 * sender_outcomes.c
 */

/*
 * Records the outcomes of flights in "landed", as many as the round may take, in the
 * caller's transaction, and moves these flights to "recorded".  If an invoice is
 * locked, its outcome is recorded with the attempt only, the flight stays, and
 * *next_round becomes earlier if it is tried again before.
 */
extern void mf_sender_save_outcomes(const MfSqlScope *scope, struct MfAttemptRows *recorder, dlist_head *landed,
									dlist_head *recorded, TimestampTz now, TimestampTz *next_round);

/*
 * sender_holds.c: reasons for which nothing leaves
 */

/* Why nothing may leave, as the error of what is returned; NULL = no hold */
extern const char *mf_sender_hold_reason(void);

/* Whether new requests may leave, and whether a round may claim. */
extern bool mf_sender_may_post(void);
extern bool mf_sender_may_claim(void);

/* The same; if not, because of a hold, mf_sender_claims_skipped() is true from now on. */
extern bool mf_sender_round_may_claim(void);

#endif							/* MF_SENDER_INTERNAL_H */
