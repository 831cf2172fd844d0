/*
 * throttle.h
 *	  How fast one account may be sent to: window, rate, back-off.
 *
 * Lives in the worker's memory only.  After failures an account is left alone
 * for a while, then tried with one request; success doubles the number of
 * requests in flight up to the account's limit, so that nothing is fired at
 * once after an outage.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/flow/throttle.h
 */
#ifndef MF_THROTTLE_H
#define MF_THROTTLE_H

#include "datatype/timestamp.h"
#include "lib/ilist.h"
#include "lib/pairingheap.h"

#include "core/api/outcome.h"

/* Unknown outcomes in a row that open the throttle; a single one may be chance. */
#define MF_UNKNOWN_LIMIT 3

/* A question that failed so often in a row is taken for the trouble of its item, and people are told. */
#define MF_ITEM_FAILURES 2

/* A request in the air, as its throttle sees it */
typedef struct MfAirborne
{
	dlist_node	node;
	TimestampTz since;
	bool		question;		/* about payments */
} MfAirborne;

/* Whoever owns accounts: turns and slots are shared by owners first, whatever the number of their accounts. */
typedef struct MfOwner
{
	Oid			role;			/* InvalidOid = not known yet, or the server is gone */

	/* account_turns.c's */
	dlist_node	turn_node;
	dlist_head	line;			/* of throttles, by turn_node */
	int			line_length;

	/* request_slots.c's */
	int			slots;			/* that requests of its accounts have, or are claimed for */
	int			planned;		/* that the claim under way may take */

	NameData	look_from;		/* inquiry.c's: the account that the next look begins with */
} MfOwner;

typedef struct MfThrottle
{
	struct MfThrottle *next;
	struct MfThrottle *previous;
	char	   *account;
	MfOwner    *owner;
	int			flights;		/* that refer to it */
	TimestampTz used_at;		/* last asked for */

	/* account_turns.c's */
	dlist_node	turn_node;
	dlist_node	full_node;
	pairingheap_node alarm_node;
	TimestampTz alarm;			/* 0 = none */
	bool		in_line;
	bool		turn_taken;
	bool		full;

	/* request_slots.c's */
	dlist_node	busy_node;

	size_t		held_bytes;		/* in requests that have no answer yet */
	int			in_flight;
	int			window;			/* requests in flight allowed; 0 = not set yet */
	int			limit;			/* the account's max_in_flight */
	int			failures;		/* in a row */
	int64		failed_item;	/* whose request had no answer since the latest success, 0 = none had */
	bool		reported;		/* the outage has had its log line */
	bool		lacking;		/* it backs off for want of an account or a key: no request has failed */
	bool		paused;			/* by mf_account, as the last claim saw it, or soon */
	const char *pause_by;		/* whoever wants mf_account to say so; NULL = nobody */
	char	   *pause_reason;
	bool		shown;			/* sessions are told that it waits */
	TimestampTz retry_at;		/* nothing is sent before; 0 = open */
	TimestampTz told_until;		/* by Retry-After: no earlier than that, whatever else happens */
	double		tokens;			/* requests that the rate limit allows now */
	TimestampTz tokens_at;
	double		poll_tokens;	/* look-ups that polling may make now */
	TimestampTz poll_tokens_at;
	double		call_tokens;	/* and those that callbacks may cause */
	TimestampTz call_tokens_at;
	double		order_tokens;	/* and those that roles may order beyond their budgets */
	TimestampTz order_tokens_at;
	Oid			ordered_by;		/* whose order was the latest to be asked */
	bool		polled_last;	/* a slot that both wanted was the poller's, and no order's */
	TimestampTz ask_at;			/* nothing is asked about payments before; 0 = open */
	int			ask_throttled;	/* questions that were one too many, in a row */
	TimestampTz ask_told_at;	/* that was last told of */
	TimestampTz mark;			/* claims need not look at earlier ranks, */
	int64		mark_invoice;	/* nor at earlier invoices of that rank, */
	TimestampTz mark_until;		/* for so long */
	int			got;			/* by the claim under way */
	bool		more;			/* the latest claim took all it could */
	bool		has_sends;		/* the latest claim found some */
	bool		asked_last;		/* a slot was an inquiry's since the latest send */
	int			asked;			/* inquiries claimed, but not posted yet */
	dlist_node	ready_node;		/* in a list of those with flights that are ready */
	dlist_head	ready;			/* flights claimed ahead, to be posted as others land */
	int			ready_count;
	dlist_head	air;			/* MfAirborne in the order in which they started */
	double		answer_us;		/* how long answers take, and how much that varies; */
	double		answer_spread_us;	/* smoothed; 0 = none came yet */
} MfThrottle;

/*
 * The throttle of an account, made if need be.  It lives on while flights refer
 * to it, it stands on the agenda, or backs off.
 */
extern MfThrottle *mf_throttle_get(const char *account);

/* Those of one role, made if need be; they are few and stay. */
extern MfOwner *mf_owner_get(Oid role);

/* Who owns its server, as was just read; of one that stands in line the next turn tells. */
extern void mf_throttle_set_owner(MfThrottle *throttle, Oid role);

/* A flight refers to it, and no longer. */
extern void mf_throttle_hold(MfThrottle *throttle);
extern void mf_throttle_let_go(MfThrottle *throttle);

/* Frees those that nobody has asked for in a while; returns soon if that was done lately. */
extern void mf_throttle_forget_unused(TimestampTz now);

/* All throttles, by "next". */
extern MfThrottle *mf_throttle_first(void);

/*
 * How many requests may start now, beside those in flight.  If none because of
 * time, *again is when to ask again, else 0.
 */
extern int	mf_throttle_slots(MfThrottle *throttle, int max_in_flight, double rate_limit,
							  TimestampTz now, TimestampTz *again);

/*
 * How many look-ups the poller may make now, at most "limit"; if none, *again
 * is when to ask again.  mf_throttle_polled() takes them from its budget.
 */
extern int	mf_throttle_polls(MfThrottle *throttle, int limit, TimestampTz now, TimestampTz *again);
extern void mf_throttle_polled(MfThrottle *throttle, int count);

/* Likewise the look-ups that only callbacks ask for */
extern int	mf_throttle_callbacks(MfThrottle *throttle, int limit, TimestampTz now, TimestampTz *again);
extern void mf_throttle_called_back(MfThrottle *throttle, int count);

/* Likewise those that roles have ordered beyond their budgets */
extern int	mf_throttle_orders(MfThrottle *throttle, int limit, TimestampTz now, TimestampTz *again);
extern void mf_throttle_ordered(MfThrottle *throttle, int count);

/*
 * How many invoices may be claimed: for the free slots, and ahead, "ahead" at most,
 * for those that answers will free within "horizon_us", while the claim is committed.
 */
extern int	mf_throttle_claims(MfThrottle *throttle, int max_in_flight, double rate_limit, int ahead, int64 horizon_us,
							   TimestampTz now, TimestampTz *again);

/* Slots that are neither taken nor claimed for; negative if claims went ahead. */
extern int	mf_throttle_unclaimed(const MfThrottle *throttle);

/*
 * How many answers are likely to come within "horizon_us", "most" at most; when the
 * first one is, 0 = that cannot be told.
 */
extern int	mf_throttle_ending(const MfThrottle *throttle, int most, int64 horizon_us, TimestampTz now);
extern TimestampTz mf_throttle_first_end(const MfThrottle *throttle, TimestampTz now);

/*
 * When the first slot for which nothing is ready is likely to become free,
 * judged by how long answers took lately; 0 = that cannot be told, DT_NOBEGIN =
 * there is a free one.
 */
extern TimestampTz mf_throttle_next_slot(const MfThrottle *throttle, TimestampTz now);

/* Whether a flight that is ready may be posted. */
extern bool mf_throttle_open(const MfThrottle *throttle, TimestampTz now);

/*
 * A request starts; is given up, with nothing to learn from; ends.  "own_trouble":
 * that there was no answer says nothing of the account.
 */
extern void mf_throttle_started(MfThrottle *throttle, MfAirborne *airborne, bool question, TimestampTz now);
extern void mf_throttle_dropped(MfThrottle *throttle, MfAirborne *airborne);
extern void mf_throttle_ended(MfThrottle *throttle, MfAirborne *airborne, MfOutcome outcome, int retry_after,
							  bool own_trouble, TimestampTz now);

/*
 * A question about payments ends: being one too many it holds up questions, and
 * not what is sent.
 */
extern void mf_throttle_question_ended(MfThrottle *throttle, MfAirborne *airborne, MfOutcome outcome, int retry_after,
									   bool own_trouble, TimestampTz now);

/*
 * A request about an item had no usable answer, after so many failures of that
 * item in a row.  Whether this may be the trouble of the item alone: no other one
 * has failed since the account's latest success, or it fails whatever others do.
 */
extern bool mf_throttle_item_failed(MfThrottle *throttle, int64 item, int failures);

/* Sending failed before any request was made, such as for a missing key. */
extern void mf_throttle_failed(MfThrottle *throttle, TimestampTz now);

/* One log line per outage, not one per row; "what" such as "is waiting". */
extern void mf_throttle_report(MfThrottle *throttle, const char *what, const char *error);

/* A person says so: try at once. */
extern void mf_throttle_reset(MfThrottle *throttle);

/* What was lacking may be there now: try at once, unless requests have failed. */
extern void mf_throttle_mended(MfThrottle *throttle);

#endif							/* MF_THROTTLE_H */
