/*
 * throttle.h
 *	  How fast one account may be sent to: window, rate and back-off.
 *
 * There is one throttle for each account, in the worker's memory only.  After a
 * failure the account is left alone for a growing time, and then tried with one
 * request.  Each success doubles the window, the number of requests allowed in
 * flight, up to the account's limit, so that no burst follows an outage.
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
#include "flow/answer_times.h"

/* Unknown outcomes in a row after which the account backs off; fewer may be chance. */
#define MF_UNKNOWN_LIMIT 3

/* An inquiry that failed this often in a row is at fault itself, and mf_review shows it. */
#define MF_ITEM_FAILURES 2

/* A rate limit: tokens come at a constant rate, and each request takes one.  All zero: filled to its capacity at first use. */
typedef struct MfTokenBucket
{
	double		tokens;			/* negative: a debt */
	TimestampTz filled_at;		/* 0 = fill it */
} MfTokenBucket;

/*
 * The owner of accounts: the role that owns their foreign servers.  Owners share turns and
 * slots first, and then each owner's accounts, so that nobody gains by having many
 * accounts.  Each group of members is written only by the file that is named.
 */
typedef struct MfOwner
{
	Oid			role;			/* hash key; InvalidOid: owner not known yet, or server dropped */

	/* account_turns.c */
	dlist_node	turn_node;		/* in the line of owners */
	dlist_head	line;			/* of throttles that wait for their turn */
	int			line_length;

	/* request_slots.c */
	int			slots;			/* in use, or claimed for, by its accounts */

	/* claim.c */
	int			planned;		/* rows that the claim under way may take for its accounts */

	/* inquiry.c */
	NameData	next_account;	/* the next scan begins with this one */
} MfOwner;

/* Limits on inquiries of an account, each with a bucket that holds ten seconds' worth */
typedef enum MfBudget
{
	MF_BUDGET_POLLS,			/* planned inquiries: myfatoorah.poll_rate_limit */
	MF_BUDGET_CALLBACKS,		/* caused by callbacks only: myfatoorah.callback_rate_limit */
	MF_BUDGET_ORDERS			/* ordered by roles beyond their quotas: the same limit */
} MfBudget;

#define MF_BUDGET_COUNT (MF_BUDGET_ORDERS + 1)

/* Why an account sends nothing */
typedef enum MfOutage
{
	MF_OUTAGE_WAITING,			/* a request has failed */
	MF_OUTAGE_UNUSABLE,			/* no account or key */
	MF_OUTAGE_PAUSED			/* the key is refused */
} MfOutage;

/* The account's place in the line for turns; written by account_turns.c only. */
typedef struct MfTurn
{
	dlist_node	node;			/* in the line of its owner, or among the turns taken */
	dlist_node	full_node;		/* among those that wait for a slot */
	pairingheap_node alarm_node;
	TimestampTz alarm;			/* when it joins the line; 0 = none */
	bool		in_line;
	bool		taken;			/* had its turn in this round */
	bool		full;			/* waits for a slot */
} MfTurn;

/* The slots that the account uses; written by request_slots.c only. */
typedef struct MfSlotUse
{
	dlist_node	busy_node;		/* among those with requests in flight */
	int			in_flight;
	int			inquiries;		/* claimed, and not posted yet */
	int			ready;			/* flights claimed ahead of the slots that become free */
} MfSlotUse;

/* How far claims of invoices have come on the agenda; written by claim.c, the position also reset by others. */
typedef struct MfClaimProgress
{
	TimestampTz position_rank;	/* claims begin at this rank, DT_NOBEGIN = at the first entry, */
	int64		position_invoice;	/* and of this rank, at this invoice */
	TimestampTz position_until; /* when the position is reset */
	int			claimed;		/* by the claim under way */
	bool		has_more;		/* the latest claim took all it could, so there may be more */
	bool		has_sends;		/* the latest claim found some */
} MfClaimProgress;

/* How inquiries share the account's slots; written by inquiry.c only. */
typedef struct MfInquiryTurn
{
	Oid			ordered_by;		/* the role whose order was the latest */
	bool		polled_last;	/* a single slot went to the poller, and not to an order */
	bool		asked_last;		/* a slot went to an inquiry since the latest send */
} MfInquiryTurn;

/* Flights claimed ahead; written by sender_ready.c only. */
typedef struct MfReadyFlights
{
	dlist_node	node;			/* among the throttles that have some */
	dlist_head	flights;		/* of MfFlight, to be posted in this order */
} MfReadyFlights;

typedef struct MfThrottle
{
	/* throttle.c */
	char		account[NAMEDATALEN];	/* hash key */
	dlist_node	node;			/* in mf_throttles */
	int			metrics;		/* its element of MfMetrics.accounts */
	TimestampTz used_at;		/* when it was last asked for */

	/* throttle.c: limits and back-off */
	int			window;			/* requests allowed in flight; 0 = not set yet */
	int			limit;			/* the account's max_in_flight */
	MfTokenBucket rate;			/* of requests */
	MfTokenBucket budgets[MF_BUDGET_COUNT];
	int			failures;		/* in a row */
	int64		failed_item;	/* the item of the first failure since the latest success, 0 = none */
	bool		reported;		/* the outage has its log line */
	TimestampTz reported_at;	/* when the latest one was logged; 0 = never, or before a person has resumed */
	bool		lacking;		/* backs off for want of an account or a key: no request has failed */
	bool		shown;			/* mf_check() shows that it waits */
	TimestampTz retry_at;		/* nothing is sent before; 0 = no back-off */
	TimestampTz retry_after;	/* from the header Retry-After: no success makes it earlier */
	TimestampTz inquire_at;		/* no inquiry is made before; 0 = no back-off */
	int			inquiries_throttled;	/* in a row */
	TimestampTz deposits_at;	/* no deposit is asked about before; 0 = any time; written by deposit_reading.c */
	TimestampTz plans_at;		/* the list of plans is not read before; written by inquiry_record.c */
	int			plan_lists;		/* of plans, being read; counted by flight.c */
	TimestampTz inquiries_reported_at;	/* in the log; 0 = never */
	MfAnswerTimes answers;

	/* claim_account.c */
	bool		paused;			/* in mf_account, as last read, or about to be */
	const char *pause_by;		/* the actor of a pause that is not written yet; NULL = none */
	char	   *pause_reason;

	/* request_slots.c */
	MfOwner    *owner;			/* the one of role InvalidOid until it is known */
	MfSlotUse	slots;

	/* operation_claim.c */
	bool		operated_last;	/* a refund or capture has had the latest single slot */

	MfTurn		turn;
	MfClaimProgress claim;
	MfInquiryTurn inquiry;
	MfReadyFlights ready;

	/* flight.c */
	int			flights;		/* that refer to it */
	size_t		held_bytes;		/* in bodies of requests without an answer */
} MfThrottle;

/*
 * Returns the throttle of an account, created on first use.  It is not freed while
 * flights refer to it, while it waits for a turn, or while it backs off.
 */
extern MfThrottle *mf_throttle_get(const char *account);

/* Frees throttles that have not been used for a while.  Does nothing if called again soon. */
extern void mf_throttle_forget_unused(TimestampTz now);

/* All of them, by "node" */
extern dlist_head mf_throttles;

/*
 * How many requests may start now, beside those in flight.  If time alone changes
 * that, sets *retry_at to when, else to 0.
 */
extern int	mf_throttle_available(MfThrottle *throttle, int max_in_flight, double rate_limit,
								  TimestampTz now, TimestampTz *retry_at);

/*
 * How many invoices may be claimed: for the free slots, and up to "ahead" more for
 * slots that answers will free within "horizon_us".  *retry_at as above.
 */
extern int	mf_throttle_claimable(MfThrottle *throttle, int max_in_flight, double rate_limit, int ahead,
								  int64 horizon_us, TimestampTz now, TimestampTz *retry_at);

/*
 * How many inquiries a budget allows now, up to "limit".  Sets *retry_at to when it
 * allows one more, or to 0.
 */
extern int	mf_throttle_budget(MfThrottle *throttle, MfBudget budget, int limit, TimestampTz now,
							   TimestampTz *retry_at);
extern void mf_throttle_spend(MfThrottle *throttle, MfBudget budget, int count);

/* Slots without a request or a claim; negative if claims are ahead */
extern int	mf_throttle_unclaimed(const MfThrottle *throttle);

/* How many answers are likely within "horizon_us", up to "limit" */
extern int	mf_throttle_expected_answers(const MfThrottle *throttle, int limit, int64 horizon_us, TimestampTz now);

/* When answer number "n" is likely, from 0 on; 0 = not known */
extern TimestampTz mf_throttle_expected_answer(const MfThrottle *throttle, int n, TimestampTz now);

/* Whether the account's own limits allow that a ready flight leaves. */
extern bool mf_throttle_is_open(const MfThrottle *throttle, TimestampTz now);

/* Takes a token for a request that starts. */
extern void mf_throttle_start(MfThrottle *throttle, MfInFlight *request, bool is_inquiry, TimestampTz now);

/*
 * Learns from the outcome of a request that has ended; "retry_after" in seconds.
 * "item_at_fault": an unknown outcome does not count against the account.  If an inquiry
 * is throttled, inquiries back off, and sending goes on.
 */
extern void mf_throttle_learn(MfThrottle *throttle, const MfInFlight *request, MfOutcome outcome, int retry_after,
							  bool item_at_fault, TimestampTz now);

/*
 * Notes that a request about an item had no usable answer, after "failures" of that
 * item in a row.  Returns true if only the item may be at fault: no other item has
 * failed since the account's latest success, or this one has failed too often.
 */
extern bool mf_throttle_item_failed(MfThrottle *throttle, int64 item, int failures);

/* Backs off because the account cannot be used, such as for want of a key. */
extern void mf_throttle_account_unusable(MfThrottle *throttle, TimestampTz now);

/* The account may be usable now: ends the back-off, unless requests have failed. */
extern void mf_throttle_account_changed(MfThrottle *throttle);

/* Logs an outage with its error, which may be NULL: once per outage, and that an account waits once a minute at most. */
extern void mf_throttle_report(MfThrottle *throttle, MfOutage outage, const char *error);

/* Ends all back-offs, on request of a person. */
extern void mf_throttle_reset(MfThrottle *throttle);

/* Returns the owner with this role, created on first use.  Owners are few and never freed. */
extern MfOwner *mf_owner_get(Oid role);

#endif							/* MF_THROTTLE_H */
