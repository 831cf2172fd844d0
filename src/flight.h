/*
 * flight.h
 *	  One request of the worker, from its claim to its recorded outcome.
 *
 * A flight either sends an invoice or looks up one whose outcome is unknown.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/flight.h
 */
#ifndef MF_FLIGHT_H
#define MF_FLIGHT_H

#include "lib/ilist.h"

#include "circuit.h"
#include "core/outcome.h"
#include "queue.h"

/* A request leaves within the connect time-out and this, or not at all. */
#define MF_SEND_MARGIN_MS 5000

/* A lease outlives the latest possible answer by this. */
#define MF_LEASE_MARGIN_MS 10000

/* Look-ups that must find nothing before an invoice counts as not created */
#define MF_LOOKUP_STEPS 5

typedef struct MfFlight
{
	dlist_node	node;			/* of one of the sender's lists */
	bool		is_lookup;
	int64		invoice;
	int			attempt;
	char	   *reference;
	MfCircuit  *circuit;
	TimestampTz send_by;
	TimestampTz answer_by;		/* no answer can come later */
	int64		send_by_clock;	/* send_by on the clock of the gate */
	MfHttpTarget *target;		/* valid until the next round */
	char	   *body;			/* malloc'd, NULL once posted */
	size_t		body_len;
	MfHttpExchange *exchange;	/* while in the air */

	/* what a look-up must find, and what to do if it does not */
	char	   *invoice_value;
	char	   *currency;
	char	   *notification_option;
	int			step;			/* look-ups that found nothing so far */

	/* once landed */
	MfSendResult sent;
	MfStatusResult found;
	int			http_status;
	bool		attempt_recorded;
	TimestampTz retry_at;		/* not recorded before */
} MfFlight;

/*
 * A flight for a job, allocated in "context" with its request built.  Raises
 * errors for what cannot be built.  Freed by mf_flight_free().
 */
extern MfFlight *mf_flight_create(MemoryContext context, const MfJob *job, const MfAccount *account,
								  MfHttpTarget *target, TimestampTz now);
extern void mf_flight_free(MfFlight *flight);

extern const char *mf_flight_path(const MfFlight *flight);

/* Reads the end of its exchange. */
extern void mf_flight_read(MfFlight *flight, const MfHttpExchange *exchange);

/* Ends it without an answer; "started": a byte of the body may have left. */
extern void mf_flight_fail(MfFlight *flight, bool started, const char *error);

/* What the circuit of the account learns from it. */
extern MfOutcome mf_flight_outcome(const MfFlight *flight);
extern int	mf_flight_retry_after(const MfFlight *flight);

/* Its error in the server encoding, palloc'd; NULL if there is none. */
extern char *mf_flight_error(const MfFlight *flight);

/*
 * What a landed flight means for its invoice, which is locked and in the state
 * that the flight left it in: a transition (true), or only a delay (false).
 */
extern bool mf_flight_verdict(const MfFlight *flight, TimestampTz now, MfTransition *transition, MfDelay *delay);

#endif							/* MF_FLIGHT_H */
