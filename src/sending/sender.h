/*
 * sender.h
 *	  Sending: claim, record the attempt, post, record the outcome.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/sending/sender.h
 */
#ifndef MF_SENDER_H
#define MF_SENDER_H

#include "core/http/http.h"
#include "database/sql.h"
#include "flow/round_items.h"

/* Creates the transport and its thread; raises an error if that cannot be. */
extern void mf_sender_start(void);

/* Ends that thread; before the process exits this must be. */
extern void mf_sender_stop(void);

extern MfHttp *mf_sender_http(void);

/*
 * One round inside the caller's transaction, which must commit before
 * mf_sender_post(): records outcomes, claims what is due, records the new
 * attempts.  The first ones after a start do nothing but sweep: what a worker
 * that is gone has left "sending" becomes unknown, paused or not.  *again is
 * when to come back without being woken, 0 = never.
 */
extern void mf_sender_round(Oid schema, TimestampTz *again);

/*
 * After the commit of a round: posts what it claimed, forgets what it recorded.
 * What is not confirmed, because the wait for a standby was cancelled, is not
 * posted: were that standby promoted, nobody would know of it.  True if the
 * round had anything in hand.
 */
extern bool mf_sender_post(bool confirmed);

/*
 * After an error in a round: nothing that it claimed is posted.  Returns the
 * item to blame, if it is certain which one that is.  If not, *smaller tells
 * whether the next round takes fewer.
 */
extern const MfItem *mf_sender_round_failed(bool *smaller);

/* That item comes again at that time; its answer is kept, if it is one to an attempt. */
extern void mf_sender_put_off(const MfItem *item, TimestampTz until);

/* Runs the transport; true if outcomes wait to be recorded. */
extern bool mf_sender_run(void);

/* Whether a round is worth while: outcomes wait, or slots are free and rows due. */
extern bool mf_sender_has_work(void);

/*
 * Right after a round, while most requests are still in the air, the next one is
 * put off until this time: answers that come meanwhile are recorded together.
 * 0 = now.
 */
extern TimestampTz mf_sender_gather_until(void);

/* When a round is needed to give back what was claimed ahead; 0 = nothing was. */
extern TimestampTz mf_sender_alarm(void);

/* Somebody has mended something; bits of MfTryNow tell which back-offs do not count any more. */
extern void mf_sender_try_now(uint32 what);

/*
 * A person has mended something: what was put off because it could not be
 * written is tried at once, in memory and, in the caller's transaction, in the
 * tables.
 */
extern void mf_sender_try_put_off(const MfSqlScope *scope);

/* An account was paused: nothing more leaves before the next round has seen which. */
extern void mf_sender_wait_for_round(void);

/*
 * Nothing new leaves until "drain_until", nor for a while after the process stood
 * still.  *end is when that ends, 0 = it is not so; true if it has just ended.
 */
extern bool mf_sender_attend_holds(TimestampTz drain_until, TimestampTz *end);

/* Until when nothing leaves because the process stood still, as last looked at; 0 = it is not so. */
extern TimestampTz mf_sender_frozen_until(void);

/* Whether a round has claimed nothing because of a hold whose end was not attended to yet. */
extern bool mf_sender_claims_skipped(void);

/* Requests without a recorded outcome, not posted yet or answered. */
extern int	mf_sender_unsettled(void);

/* Requests posted and without an outcome yet. */
extern int	mf_sender_in_flight(void);

/* Requests posted since the start. */
extern uint64 mf_sender_requests(void);

/* Lets nothing more out; what is connected already may still be answered. */
extern void mf_sender_close_gate(void);

/*
 * Ends every request now.  Their outcomes and the answers that have come then
 * wait to be recorded; one that cannot be is not tried again.
 */
extern void mf_sender_abort(void);

/* Outcomes and answers that can be recorded now. */
extern bool mf_sender_has_outcomes(void);

/* The extension is gone: writes to the log what is in flight, by reference. */
extern void mf_sender_abandon(void);

#endif							/* MF_SENDER_H */
