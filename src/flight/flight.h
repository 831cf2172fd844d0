/*
 * flight.h
 *	  One request of the worker, from its claim to its recorded outcome.
 *
 * A flight sends an invoice, looks one up by a reference, or inquires about
 * payments.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/flight/flight.h
 */
#ifndef MF_FLIGHT_H
#define MF_FLIGHT_H

#include "lib/ilist.h"
#include "storage/itemptr.h"

#include "core/api/outcome.h"
#include "core/api/payment_status.h"
#include "core/api/refund.h"
#include "core/api/webhook_log.h"
#include "flow/throttle.h"
#include "store/attempts.h"
#include "store/inquiries.h"
#include "store/queue.h"

/* A request leaves within the connect time-out and this, or not at all. */
#define MF_SEND_MARGIN_MS 5000

/* A lease outlives the latest possible answer by this. */
#define MF_LEASE_MARGIN_MS 10000

/*
 * Rounds of look-ups of a reference that was given up; more while it can be paid.
 * One is enough for the row's own, where a twin is thinkable.
 */
#define MF_WATCH_ROUNDS 4
#define MF_TWIN_ROUNDS 1

/* Look-ups that must find nothing before an invoice counts as not created */
#define MF_LOOKUP_STEPS 5

/*
 * Look-ups whose answer made no sense are counted apart, in the same column; so
 * many of them, and a person is asked.
 */
#define MF_SENSELESS_STEP 100

/* Several references are looked up in turn; so many can be counted, and with more a person is asked. */
#define MF_LOOKUP_REFERENCES (MF_SENSELESS_STEP / MF_LOOKUP_STEPS)

typedef struct MfFlight
{
	dlist_node	node;			/* of one of the sender's lists */
	MfJobKind	kind;			/* MF_JOB_SEND or a look-up */
	int64		invoice;
	int			attempt;
	char	   *reference;
	char	   *sent_reference; /* the same in UTF-8, as it went out */
	MfThrottle *throttle;
	TimestampTz send_by;
	TimestampTz ready_until;	/* claimed ahead: not kept waiting for longer */
	TimestampTz answer_by;		/* no answer can come later */
	MfInFlight	in_flight;		/* while in the air */
	int64		send_by_clock;	/* send_by on the clock of the gate */
	MfHttpTarget *target;		/* held */
	char	   *body;			/* malloc'd, NULL once posted */
	size_t		body_len;
	size_t		held_bytes;		/* counted by mf_flight_room() */
	MfHttpExchange *exchange;	/* while in the air */

	/* where mf_attempt_rows_start() has left the rows; they may have moved since */
	ItemPointerData queue_tid;
	ItemPointerData attempt_place;
	ItemPointerData invoice_tid;

	/* what a look-up must find, and what to do if it does not */
	char	   *invoice_value;
	char	   *currency;
	char	   *notification_option;
	int			step;			/* as in mf_queue */
	char	   *answered_id;	/* InvoiceId of an answer that proved nothing;
								 * to an attempt under this reference, */
	char	   *answered_other; /* or under another that is looked up */
	bool		tried;			/* an attempt was made under that reference */
	bool		elsewhere;		/* it went to another address, or with another
								 * key, than those that are asked */
	int			asked;			/* references that are looked up in turn */
	int			turn;			/* which of them this is, from 0 */
	char	   *asked_names;	/* all of them, for messages */
	char	   *next_reference; /* for sending it again */
	int			resends;		/* references given up so far */
	int			given_up;		/* other references that may turn up yet */
	bool		twin;			/* another server may have sent the row, too */
	char	   *invoice_id;		/* of the row, NULL = none yet; look-ups only */
	bool		own_reference;	/* "reference" is the row's current one */
	TimestampTz expires_at;		/* until when they can be paid; 0 = by the
								 * portal's default */

	/* of an inquiry: what is asked and why; NULL for the log of deliveries */
	MfInquiryJob *inquiry;

	/* once landed */
	MfSendResult sent;
	MfStatusResult found;
	MfPayment	payment;		/* read from "found" */
	MfRefundResult refunds;
	MfWebhookLogResult log;
	int			http_status;
	bool		starved;		/* it could not leave for want of descriptors or memory in this process */
	bool		unanswered;		/* the network failed, which "error" describes */
	bool		item_at_fault;	/* a question without a usable answer, and that says nothing of the account */
	bool		under_way;		/* counted by mf_flight_under_way() */
	bool		attempt_recorded;	/* with mf_attempt; by a round that has
									 * not committed yet */
	bool		attempt_in_round;
	TimestampTz retry_at;		/* not recorded before */
} MfFlight;

/*
 * A flight for a job, allocated in "context" with its request built.  A look-up
 * is of one reference: the row's, or one under which it was sent.  Raises errors
 * for what cannot be built.  Freed by mf_flight_free().
 */
extern MfFlight *mf_flight_create(MemoryContext context, const MfJob *job, const MfAccount *account,
								  MfHttpTarget *target, const char *reference);

/*
 * Requests that have no answer yet take memory.  While those of all accounts take as
 * much as they may, so many invoices may be claimed for one of them at a time, at
 * most "limit": none, unless its own take little.
 */
#define MF_HELD_BYTES_MAX (16 * 1024 * 1024)
#define MF_HELD_BYTES_OWN (1024 * 1024)
extern int	mf_flight_room(const MfThrottle *throttle, int limit);

/* How many references are watched after the row was sent. */
extern int	mf_flight_watched(const MfFlight *flight);

/*
 * A flight for an inquiry, "job" copied; takes over "body", which is malloc'd.
 */
extern MfFlight *mf_flight_create_inquiry(MemoryContext context, MfJobKind kind, const MfInquiryJob *job,
										  const MfAccount *account, MfHttpTarget *target, char *body, size_t body_len);

/* Whether it only asks. */
extern bool mf_flight_is_lookup(const MfFlight *flight);

/* Whether it asks about payments. */
extern bool mf_flight_is_inquiry(const MfFlight *flight);

/*
 * A flight is under way from its claim's commit until its outcome is recorded;
 * whether one of that invoice, of that kind, is.
 */
extern void mf_flight_set_under_way(MfFlight *flight, bool under_way);
extern bool mf_flight_under_way(int64 invoice, bool inquiry);

/* Its answer is in hand of the round; see mf_items_add_answer(). */
extern void mf_flight_add_item(MfFlight *flight);

/* The status that its invoice has unless somebody else was faster. */
extern MfStatus mf_flight_expected_status(const MfFlight *flight);
extern void mf_flight_free(MfFlight *flight);

extern const char *mf_flight_path(const MfFlight *flight);

/* Reads the end of its exchange. */
extern void mf_flight_read(MfFlight *flight, const MfHttpExchange *exchange);

/* Ends it without an answer; "started": a byte of the body may have left. */
extern void mf_flight_fail(MfFlight *flight, bool started, const char *error);

/* What a look-up has come to. */
extern MfLookup mf_flight_lookup(const MfFlight *flight);

/* What the throttle of the account learns from it. */
extern MfOutcome mf_flight_outcome(const MfFlight *flight);
extern int	mf_flight_retry_after(const MfFlight *flight);

/* When a question that was not answered may be asked again: after our own delay, or later if the remote says so. */
extern TimestampTz mf_flight_retry_time(const MfFlight *flight, TimestampTz now, int64 delay_ms);

/*
 * Its error in the server encoding, palloc'd; NULL if there is none.  For rows that
 * anybody may read: of the network it tells no more than mf_network_error().
 */
extern char *mf_flight_error(const MfFlight *flight);

/* The same with what the network is like, for the log and for mf_attempt. */
extern char *mf_flight_details(const MfFlight *flight);

/* The same as it came, of the flight; may be called where there is no transaction. */
extern const char *mf_flight_error_utf8(const MfFlight *flight);

/*
 * What a landed flight means for its invoice, which is locked and in the state
 * that the flight expects: a transition (true), or only what comes next (false).
 */
extern bool mf_flight_verdict(const MfFlight *flight, TimestampTz now, MfTransition *transition,
							  MfFollowUp *follow_up);

/* The end of the attempt of a flight that sends, palloc'd text. */
extern void mf_flight_end(const MfFlight *flight, MfAttemptEnd *end);

/*
 * What is said of a row of which MyFatoorah has another invoice, under a reference
 * of the row; "status" is its InvoiceStatus or NULL.
 */
extern char *mf_twin_error(const char *other, const char *status, const char *own);

/* Logs that an invoice may exist twice. */
extern void mf_report_twin(int64 invoice, const char *error);

/*
 * What the end of an attempt means for its invoice.  "answer_by" is when the
 * remote can no longer be working on it.
 */
extern void mf_attempt_transition(const MfAttemptEnd *end, TimestampTz now, TimestampTz answer_by,
								  MfTransition *transition);

/*
 * What an answer means that came when the invoice had moved on: something to
 * tell (true) or nothing.
 */
extern bool mf_flight_late_verdict(const MfFlight *flight, const MfLockedInvoice *invoice, TimestampTz now,
								   MfTransition *transition, bool *is_transition, MfFollowUp *follow_up);

#endif							/* MF_FLIGHT_H */
