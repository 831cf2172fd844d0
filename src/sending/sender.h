/*
 * sender.h
 *	  The rounds of the worker: record outcomes, claim what is due, post it.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/sending/sender.h
 */
#ifndef MF_SENDER_H
#define MF_SENDER_H

#include "core/http/http.h"
#include "database/sql.h"
#include "flow/round_items.h"

/* Creates the transport and its thread.  Raises an error if that is not possible. */
extern void mf_sender_start(void);

/* Ends the thread.  To be called before the process exits. */
extern void mf_sender_stop(void);

extern MfHttp *mf_sender_http(void);

/*
 * Runs one round in the caller's transaction, which must commit before
 * mf_sender_post(): records outcomes, claims what is due, records the attempts.  The
 * first rounds after a start do nothing but sweep: they settle what the previous worker
 * has left "sending", in paused accounts too.  Sets *next_round to when the next round
 * is due without any news, 0 = never.
 */
extern void mf_sender_round(Oid schema, TimestampTz *next_round);

/*
 * To be called after the commit of a round: frees the flights that it recorded and posts
 * those that it claimed.  Posts nothing if the commit is not "confirmed", because the
 * wait for a standby was cancelled: if that standby was promoted, it would not know of
 * the attempts.  Returns true if the round had an item.
 */
extern bool mf_sender_post(bool confirmed);

/*
 * To be called after an error in a round: forgets what it claimed.  Returns the item to
 * blame if it is known; if not, *smaller is true if the next round takes fewer items.
 */
extern const MfItem *mf_sender_round_failed(bool *smaller);

/* Puts off that item; its answer is kept if it is one to an attempt. */
extern void mf_sender_put_off(const MfItem *item, TimestampTz until);

/* Reads answers and posts ready flights.  Returns true if outcomes wait to be recorded. */
extern bool mf_sender_run(void);

/* Whether a round would find something to do. */
extern bool mf_sender_has_work(void);

/*
 * When the next round is to begin, so that it records several answers at once; 0 = now.
 * Right after a round, while most requests are in flight, that is in a moment.
 */
extern TimestampTz mf_sender_gather_until(void);

/* When a round is due without any news; 0 = never */
extern TimestampTz mf_sender_alarm(void);

/* Ends back-offs because a person has changed something; "what" (bits of MfTryNow) says which. */
extern void mf_sender_try_now(uint32 what);

/* Makes all items due that were put off, in memory and, in the caller's transaction, in the tables. */
extern void mf_sender_try_put_off(const MfSqlScope *scope);

/* Has nothing leave before the next round, because an account was paused. */
extern void mf_sender_wait_for_round(void);

/*
 * Has nothing new leave until "drain_until", nor for a while after the process stood
 * still.  Sets *end to the end of that, 0 = no hold.  Returns true if a hold has just
 * ended.
 */
extern bool mf_sender_attend_holds(TimestampTz drain_until, TimestampTz *end);

/* Until when nothing leaves because the process stood still, as of that call; 0 = it did not */
extern TimestampTz mf_sender_frozen_until(void);

/* Whether a round has claimed nothing because of a hold, and mf_sender_attend_holds() has not seen its end. */
extern bool mf_sender_claims_skipped(void);

/* Flights without a recorded outcome, and 1 more during the sweep */
extern int	mf_sender_unsettled(void);

/* Requests in flight */
extern int	mf_sender_in_flight(void);

/* Requests posted since the start */
extern uint64 mf_sender_requests(void);

/* Has no request leave any more.  Those that have may still be answered. */
extern void mf_sender_close_gate(void);

/* Ends all requests.  An outcome that cannot be recorded by the next round is lost from then on. */
extern void mf_sender_abort(void);

/* Records the outcome of an attempt with the attempt only. */
extern void mf_sender_keep_answer(const MfSqlScope *scope, const struct MfFlight *flight);

/* Whether there are outcomes that can be recorded now. */
extern bool mf_sender_has_outcomes(void);

/* Logs the references of what is in flight or not recorded, because the extension was dropped. */
extern void mf_sender_abandon(void);

#endif							/* MF_SENDER_H */
