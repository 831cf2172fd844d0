/*
 * outcome.h
 *	  What an exchange proves: evidence + answer -> a verdict.
 *
 * Pure functions of the exchange.  The rule that everything rests on: when a
 * byte of the body may have left, only a complete answer that says no, names
 * errors and speaks of no invoice proves that none was made; one that speaks of
 * an invoice never does.  All else is MF_OUTCOME_UNKNOWN, or to be looked up before the
 * request is repeated.  An answer counts as complete only if libcurl returned
 * CURLE_OK and it was not truncated.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/api/outcome.h
 */
#ifndef MF_OUTCOME_H
#define MF_OUTCOME_H

#include <stdbool.h>
#include <stdint.h>

#include "core/api/api.h"
#include "core/http/http.h"


typedef enum MfOutcome
{
	MF_OUTCOME_ACCEPTED,		/* the invoice exists, here is its id */
	MF_OUTCOME_REJECTED,		/* definitely refused, no invoice exists */
	MF_OUTCOME_NOT_SENT,		/* proof that no byte of the body left */
	MF_OUTCOME_THROTTLED,		/* 429: not applied as far as can be seen,
								 * come back later, look it up first */
	MF_OUTCOME_ACCOUNT_PROBLEM, /* 401, 403, 404, 3xx: likewise, no use
								 * trying others either */
	MF_OUTCOME_UNKNOWN					/* only the remote knows */
} MfOutcome;

typedef struct MfSendResult
{
	MfOutcome	outcome;

	/* what the answer held, whatever the outcome; may be NULL */
	char	   *invoice_id;		/* decimal digits; never NULL if accepted */
	char	   *invoice_url;
	char	   *customer_reference; /* echo */
	char	   *user_defined_field; /* echo */

	char	   *error;			/* one line, NULL only if accepted */
	int			retry_after;	/* seconds, 0 if the remote named none */
} MfSendResult;

typedef enum MfLookup
{
	MF_LOOKUP_FOUND,			/* what was asked for: values[], items, ... */
	MF_LOOKUP_NOT_FOUND,		/* 4xx "No data match the provided values" */
	MF_LOOKUP_REFUSED,			/* any other definite refusal of the question */
	MF_LOOKUP_SENSELESS,		/* a whole answer from which nothing follows:
								 * asking again may not help */
	MF_LOOKUP_THROTTLED,
	MF_LOOKUP_ACCOUNT_PROBLEM,	/* 401, 403 by a gateway */
	MF_LOOKUP_FAILED			/* network, 5xx: no answer, ask again */
} MfLookup;

typedef struct MfStatusResult
{
	MfLookup	lookup;
	bool		not_sent;		/* with MF_LOOKUP_FAILED: the question never
								 * left */
	MfEnvelope	envelope;		/* owns what values[] came from */
	char	   *values[MF_PS_COUNT];	/* MF_LOOKUP_FOUND only */
	char	   *error;			/* one line, NULL only if found */
	int			retry_after;
} MfStatusResult;

/* "accepted", "rejected", "not_sent", ...: the words stored in mf_attempt.outcome */
extern const char *mf_outcome_name(MfOutcome outcome);

/*
 * Reads the end of a SendPayment exchange.  "reference" is the
 * CustomerReference that was sent: an answer that echoes another one proves
 * nothing.   All strings of the
 * result are malloc'd; free with mf_send_result_free().  When out of memory
 * strings may be NULL, and the outcome is right or MF_OUTCOME_UNKNOWN.
 */
extern void mf_send_result_read(const MfHttpExchange *exchange, const char *reference, MfSendResult *result);
extern void mf_send_result_free(MfSendResult *result);

/* Whether it brought a whole answer; why not is told by describing the network. */
extern bool mf_is_answered(const MfHttpExchange *exchange);

/*
 * How any look-up ended, as far as its envelope tells: with MF_LOOKUP_FOUND the
 * answer confirms success, and whether its Data can be read is for the caller
 * to see.  Sets everything it is given; *error (malloc'd) stays NULL with
 * MF_LOOKUP_FOUND, and when out of memory.  The envelope is the caller's to free,
 * whatever the verdict.
 */
extern MfLookup mf_lookup_read(const MfHttpExchange *exchange, MfEnvelope *envelope, bool *not_sent, char **error,
							   int *retry_after);

/* What a look-up has come to when a reader of api.h says *bad: MF_LOOKUP_FAILED if that is NULL, for want of memory. */
extern MfLookup mf_unreadable_lookup(const char *bad);

/* "HTTP 503: text", malloc'd */
extern char *mf_answer_error(const MfHttpExchange *exchange, const char *text);

/* Likewise for what a reader of api.h says in *bad; NULL if that is NULL. */
extern char *mf_unreadable_error(const MfHttpExchange *exchange, const char *bad);

/* Reads the end of a GetPaymentStatus exchange, as mf_send_result_read() does. */
extern void mf_status_result_read(const MfHttpExchange *exchange, MfStatusResult *result);
extern void mf_status_result_free(MfStatusResult *result);

#endif							/* MF_OUTCOME_H */
