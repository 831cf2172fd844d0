/*
 * flight.h
 *	  Flights: requests of the worker, each from its claim to its recorded outcome.
 *
 * A flight sends an invoice, looks one up by its reference, is an inquiry about
 * payments, or asks for a refund, a capture or a release.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/flight/flight.h
 */
#ifndef MF_FLIGHT_H
#define MF_FLIGHT_H

#include "lib/ilist.h"
#include "storage/itemptr.h"

#include "core/api/lists.h"
#include "core/api/outcome.h"
#include "core/api/payment_status.h"
#include "core/api/refund.h"
#include "core/api/webhook_log.h"
#include "flight/replay.h"
#include "flow/throttle.h"
#include "process/metrics.h"
#include "store/attempts.h"
#include "store/deposits.h"
#include "store/inquiries.h"
#include "store/operations.h"
#include "store/queue.h"

/* A request leaves within the connect time-out plus this, or not at all. */
#define MF_SEND_MARGIN_MS 5000

/* A lease outlives the latest possible answer by this. */
#define MF_LEASE_MARGIN_MS 10000

/*
 * Look-ups of each reference that a sent row might have a second invoice under: of
 * given-up references, and of the row's own if another server may have sent it too.
 * The former go on while that invoice could be paid.
 */
#define MF_WATCH_ROUNDS 4
#define MF_TWIN_ROUNDS 1

/* Look-ups that must find nothing before an invoice counts as not created */
#define MF_LOOKUP_STEPS 5

/*
 * mf_queue.lookups counts look-ups: those that found nothing in units of 1, those with
 * an invalid answer in units of this.
 */
#define MF_SENSELESS_LOOKUP 100

/* References that can be looked up in turn, so that the former count stays below the unit of the latter */
#define MF_LOOKUP_REFERENCES (MF_SENSELESS_LOOKUP / MF_LOOKUP_STEPS)

typedef struct MfFlight
{
	dlist_node	node;			/* in the list of its state, see sender_internal.h */
	MemoryContext memory;		/* of the flight and of what it refers to */
	MfJobKind	kind;			/* never MF_JOB_SENDING, _REVIEW or _NONE */
	int64		invoice;		/* 0 = none */
	int			attempt;		/* the number of the attempt, or of the latest one */
	char	   *reference;		/* NULL for an inquiry */
	char	   *sent_reference; /* in UTF-8, as in the request */
	MfThrottle *throttle;		/* of its account, held */

	/* the request */
	MfHttpTarget *target;		/* held */
	char	   *body;			/* malloc'd; NULL once posted */
	size_t		body_len;
	char	   *idempotency_key;	/* in "memory"; NULL = none */
	size_t		held_bytes;		/* counted by mf_flight_room() */
	TimestampTz send_by;		/* it leaves until then, or not at all */
	int64		send_by_clock;	/* the same by mf_http_clock() */
	TimestampTz answer_by;		/* no answer can come later */
	TimestampTz ready_until;	/* claimed ahead, and not kept for longer */
	MfHttpExchange *exchange;	/* while in flight */
	MfInFlight	in_flight;		/* likewise */
	bool		under_way;		/* counted by mf_flight_under_way() */

	/* of an attempt: where mf_attempt_rows_start() has left the rows; they may have moved since */
	ItemPointerData queue_tid;
	ItemPointerData attempt_tid;
	ItemPointerData invoice_tid;

	/* of an attempt */
	bool		v3;				/* by POST /v3/payments */
	bool		executes;		/* by ExecutePayment; neither: by SendPayment */
	bool		recurring;		/* a payment of the row begins a recurring one; of a look-up, too */
	int			repeats;		/* the attempt whose request this repeats; 0 = none */

	/* of a look-up: the row, and its references */
	char	   *invoice_value;
	char	   *currency;
	char	   *notification_option;
	char	   *invoice_id;		/* NULL = none yet */
	int			lookups;		/* as in mf_queue */
	TimestampTz expires_at;		/* when it can no longer be paid; 0 = by the portal's default */
	bool		own_reference;	/* "reference" is the row's current one */
	bool		tried;			/* an attempt was made under "reference" */
	bool		sent_elsewhere; /* that attempt went to another address, or with another key, than the look-up */
	bool		unproved;		/* that one was by POST /v3/payments, and look-ups may not find what it makes */
	bool		may_replay;		/* if it is found, the request may be repeated for its link */
	MfReplayWindow replay;		/* then until when */
	char	   *answered_id;	/* InvoiceId of an answer to it that proved nothing; NULL = none */
	char	   *answered_id_other;	/* the same for another reference that is looked up */
	char	   *told_id;		/* InvoiceId that a webhook about the row has; set when nothing was found; NULL = none */
	int			reference_count;	/* references that are looked up in turn */
	int			reference_number;	/* which of them this is, from 0 on */
	char	   *reference_names;	/* all of them, for messages */
	char	   *next_reference; /* for a resend */
	int			resends;		/* so far */
	int			given_up;		/* other references under which an invoice may turn up */
	bool		twin;			/* another server may have sent the row too */
	TimestampTz send_due;		/* of a look-up before sending: when the row is sent by its times of the day; 0 = at once */

	/* of an inquiry; NULL for the log of webhooks, and for a deposit */
	MfInquiryJob *inquiry;
	MfDepositJob *deposit;		/* NULL = it is about something else */
	TimestampTz claimed_at;

	/* of a refund, capture or release */
	int64		operation;		/* its row */
	MfOperationKind operation_kind;
	bool		with_suppliers;

	int			locked_retries; /* times that its row was locked when its answer came */

	/* the outcome, by kind */
	MfSendResult sent;
	MfStatusResult found;
	MfPayment	payment;		/* read from "found" */
	MfListResult list;			/* refunds of an invoice, items of a deposit, webhooks, or plans */
	int			http_status;
	int64		answer_date;	/* of a look-up: MyFatoorah's own time, in seconds since 1970; 0 = not known */
	bool		starved;		/* did not leave for want of descriptors or memory in this process */
	bool		unanswered;		/* the network failed */
	bool		item_at_fault;	/* without a usable answer, which says nothing about the account */

	/* recording the outcome */
	bool		attempt_recorded;	/* mf_attempt has it; the invoice was locked */
	bool		attempt_in_round;	/* the same, but the round has not committed yet */
	TimestampTz retry_at;		/* it is not recorded before; 0 = at once, DT_NOEND = never */
} MfFlight;

/*
 * Creates a flight for a job, in "context", with its request.  A look-up is by
 * "reference", the row's own or that of an earlier attempt.  With "v3" an invoice is sent
 * by POST /v3/payments, if that can carry it.  Raises an error if the request cannot be
 * built.  To be freed by mf_flight_free().
 */
extern MfFlight *mf_flight_create(MemoryContext context, const MfJob *job, const MfAccount *account,
								  MfHttpTarget *target, const char *reference, bool v3);

/* The body with which that would send by POST /v3/payments, malloc'd; NULL if that cannot carry the row. */
extern char *mf_flight_v3_body(const MfJob *job, const MfAccount *account, size_t *len);

/* Creates an inquiry, copying "job", which may be NULL.  Takes over "body", malloc'd; NULL raises an error. */
extern MfFlight *mf_flight_create_inquiry(MemoryContext context, MfJobKind kind, const MfInquiryJob *job,
										  const MfAccount *account, MfHttpTarget *target, char *body, size_t body_len);

/* The same for a deposit, copying "job". */
extern MfFlight *mf_flight_create_deposit(MemoryContext context, const MfDepositJob *job, const MfAccount *account,
										  MfHttpTarget *target);

/* Creates the request of a refund, capture or release.  Takes over "body" likewise. */
extern MfFlight *mf_flight_create_operation(MemoryContext context, const MfOperation *operation,
											const MfAccount *account, MfHttpTarget *target, char *body,
											size_t body_len);

extern void mf_flight_free(MfFlight *flight);

/* The number of flights that read deposits, whose answers may take much memory */
extern int	mf_flight_deposits(void);

/*
 * How many invoices may be claimed for an account, up to "limit".  Once the bodies of
 * requests without an answer, of all accounts, take MF_HELD_BYTES_MAX, an account gets
 * more only while its own take less than MF_HELD_BYTES_OWN.
 */
#define MF_HELD_BYTES_MAX (16 * 1024 * 1024)
#define MF_HELD_BYTES_OWN (1024 * 1024)
extern int	mf_flight_room(const MfThrottle *throttle, int limit);

/* Whether it makes or changes something: it is recorded as an attempt, and never repeated without need. */
extern bool mf_flight_sends(const MfFlight *flight);

/* Whether it is a look-up or an inquiry, and does not send. */
extern bool mf_flight_is_lookup(const MfFlight *flight);

/* Whether it is an inquiry about payments. */
extern bool mf_flight_is_inquiry(const MfFlight *flight);

/*
 * Whether it reads by an endpoint that nothing else needs, and that has a permission of its
 * own: what fails there says nothing about the account, unless nothing has left at all.
 */
extern bool mf_flight_stands_alone(const MfFlight *flight);

/* Inquiries about the same before it, in a row, without a usable answer */
extern int	mf_flight_failures(const MfFlight *flight);

/* What it is counted as */
extern MfRequestKind mf_flight_request_kind(const MfFlight *flight);

extern const MfEndpoint *mf_flight_endpoint(const MfFlight *flight);

/*
 * A flight is under way from the commit of its claim until its outcome is recorded.
 * The second function finds one of an invoice: an inquiry, or one that sends it or looks it up.
 */
extern void mf_flight_set_under_way(MfFlight *flight, bool under_way);
extern bool mf_flight_under_way(int64 invoice, bool inquiry);

/* The same for a refund, capture or release of an invoice */
extern bool mf_flight_operation_under_way(int64 invoice);

/*
 * Collects flights whose outcomes can be recorded now into flights[limit], and adds their
 * answers to the items of the round.  *next_round becomes the time of the next others, if
 * that is earlier.  Returns their number.
 */
extern int	mf_flight_collect(dlist_head *landed, MfFlight **flights, int limit, TimestampTz now,
							  TimestampTz *next_round);

/* Adds its answer to the items of the round. */
extern void mf_flight_add_item(MfFlight *flight);

/* Reads the answer of a finished exchange. */
extern void mf_flight_read(MfFlight *flight, const MfHttpExchange *exchange);

/* Ends it without an answer; "started": a byte of the body may have left. */
extern void mf_flight_fail(MfFlight *flight, bool started, const char *error);

/* The result of a look-up or inquiry */
extern MfLookup mf_flight_lookup(const MfFlight *flight);

/* Its outcome; of a look-up or inquiry, what its result would be as one */
extern MfOutcome mf_flight_outcome(const MfFlight *flight);

/* From the header Retry-After, in seconds; 0 = none */
extern int	mf_flight_retry_after(const MfFlight *flight);

/* When to repeat it: after "delay_ms", or later if MyFatoorah has asked for that */
extern TimestampTz mf_flight_retry_time(const MfFlight *flight, TimestampTz now, int64 delay_ms);

/*
 * Its error, palloc'd in the server encoding; NULL = none.  The first is for rows that
 * many may read, and says no more about the network than mf_network_error(); the second
 * is for the log and mf_attempt.
 */
extern char *mf_flight_error(const MfFlight *flight);
extern char *mf_flight_details(const MfFlight *flight);

/* The latter as it came, not copied.  May be called outside of a transaction. */
extern const char *mf_flight_error_utf8(const MfFlight *flight);

/* The status that its invoice has unless somebody has changed it meanwhile */
extern MfStatus mf_flight_expected_status(const MfFlight *flight);

/* When a look-up is made after so many that found nothing */
extern TimestampTz mf_lookup_time(int lookups, TimestampTz now);

/* How many references are looked up once the row is sent */
extern int	mf_flight_watched(const MfFlight *flight);

/*
 * Decides what an outcome means for its invoice, which is locked and has the expected
 * status.  Returns true if it changes the status, by *transition, else false, and
 * *follow_up says what comes next.
 */
extern bool mf_flight_verdict(const MfFlight *flight, TimestampTz now, MfTransition *transition,
							  MfFollowUp *follow_up);

/*
 * The same for an invoice that has another status meanwhile.  Returns false if nothing
 * is to be done; else *is_transition says which of the two it is.
 */
extern bool mf_flight_late_verdict(const MfFlight *flight, const MfLockedInvoice *invoice, TimestampTz now,
								   MfTransition *transition, bool *is_transition, MfFollowUp *follow_up);

/* Whether a repeated request has made another invoice than the one that was found. */
extern bool mf_flight_made_second(const MfFlight *flight);

/* Describes the end of an attempt for mf_attempt; texts are palloc'd or the flight's. */
extern void mf_flight_end(const MfFlight *flight, MfAttemptEnd *end);

/*
 * Decides what the end of an attempt means for its invoice.  From "answer_by" on,
 * MyFatoorah cannot be processing the request any more.
 */
extern void mf_attempt_transition(const MfAttemptEnd *end, TimestampTz now, TimestampTz answer_by,
								  MfTransition *transition);

/*
 * The error of a row if MyFatoorah has another invoice with its reference; "status" is
 * that one's InvoiceStatus or NULL, "own" the row's InvoiceId.
 */
extern char *mf_twin_error(const char *other, const char *status, const char *own);

/* Logs that an invoice may exist twice. */
extern void mf_report_twin(int64 invoice, const char *error);

#endif							/* MF_FLIGHT_H */
