/*
 * outcome.h
 *	  What an exchange proves: evidence and answer become an outcome.
 *
 * Pure functions of the exchange.  The rule: once a byte of the body may have
 * left, only one thing proves that no invoice was created: a complete answer
 * that reports failure, lists errors and names no invoice.  Everything else is
 * MF_OUTCOME_UNKNOWN, or an outcome after which the invoice is looked up
 * before the request is repeated.  An answer is complete only if libcurl
 * returned CURLE_OK and it was not truncated.
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
	MF_OUTCOME_ACCEPTED,		/* the invoice exists, and its id is known */
	MF_OUTCOME_REJECTED,		/* refused: no invoice exists */
	MF_OUTCOME_NOT_SENT,		/* no byte of the body has left */
	MF_OUTCOME_THROTTLED,		/* 429: most likely not processed; look it up,
								 * then try again later */
	MF_OUTCOME_ACCOUNT_PROBLEM, /* 401, 403, 404, 3xx: likewise; other
								 * requests of the account would fail too */
	MF_OUTCOME_UNKNOWN					/* may or may not have created an
										 * invoice */
} MfOutcome;

typedef struct MfSendResult
{
	MfOutcome	outcome;

	/* members of the answer about what was made, whatever the outcome; may be NULL */
	char	   *invoice_id;		/* the endpoint's "id", of a refund its RefundId:
								 * decimal digits; never NULL if accepted */
	char	   *invoice_url;	/* its "url", if mf_link_valid() */
	char	   *customer_reference; /* its "echo" */
	char	   *user_defined_field; /* echoed */
	char	   *recurring_id;	/* RecurringId of ExecutePayment; NULL if it begins no plan */

	char	   *error;			/* one line, NULL only if accepted */
	int			retry_after;	/* seconds, 0 if the answer names none */
} MfSendResult;

typedef enum MfLookup
{
	MF_LOOKUP_FOUND,			/* found: values[], items, ... */
	MF_LOOKUP_NOT_FOUND,		/* 4xx "No data match the provided values" */
	MF_LOOKUP_REFUSED,			/* any other definite refusal */
	MF_LOOKUP_INCONCLUSIVE, 	/* a complete answer that proves nothing:
								 * asking again may not help */
	MF_LOOKUP_THROTTLED,
	MF_LOOKUP_ACCOUNT_PROBLEM,	/* 401, 403 by a gateway */
	MF_LOOKUP_FAILED			/* network, 5xx: no answer, ask again */
} MfLookup;

/* What the results of all look-ups have */
typedef struct MfLookupResult
{
	MfLookup	lookup;
	bool		not_sent;		/* with MF_LOOKUP_FAILED: the request never
								 * left */
	char	   *error;			/* one line, NULL only if found */
	int			retry_after;	/* seconds, 0 if the answer names none */
} MfLookupResult;

typedef struct MfStatusResult
{
	MfLookupResult base;
	MfEnvelope	envelope;		/* owns the memory that values[] came from */
	char	   *values[MF_PS_COUNT];	/* MF_LOOKUP_FOUND only */
} MfStatusResult;

/* "accepted", "rejected", "not_sent", ...: values of mf_attempt.outcome */
extern const char *mf_outcome_name(MfOutcome outcome);

/*
 * Determines the outcome of an exchange with an endpoint that makes or changes something.
 * "subject" is the reference that was sent, or NULL; of MF_EFFECT_CHANGES the InvoiceId:
 * an answer about another one proves nothing.  All strings of the result are malloc'd; free
 * it with mf_send_result_free().  When out of memory strings may be NULL, and the outcome is
 * right or MF_OUTCOME_UNKNOWN.
 */
extern void mf_send_result_read(const MfEndpoint *endpoint, const MfHttpExchange *exchange, const char *subject,
								MfSendResult *result);
extern void mf_send_result_free(MfSendResult *result);

/* Whether the exchange brought a complete answer. If not, mf_http_describe() says why. */
extern bool mf_is_answered(const MfHttpExchange *exchange);

/*
 * The result of any look-up, a question to that endpoint, as far as its envelope shows.  With
 * MF_LOOKUP_FOUND, which it returns as true, the answer reports success; the caller checks
 * whether its Data can be read.  The error is malloc'd; it stays NULL with MF_LOOKUP_FOUND,
 * and when out of memory.  The caller frees the envelope, whatever the result.
 */
extern bool mf_lookup_read(const MfEndpoint *endpoint, const MfHttpExchange *exchange, MfEnvelope *envelope,
						   MfLookupResult *result);

/*
 * Changes the result of a look-up whose Data a reader of api.h has rejected, with its *bad:
 * to MF_LOOKUP_FAILED if that is NULL, which means out of memory.
 */
extern void mf_lookup_unreadable(const MfHttpExchange *exchange, const char *bad, MfLookupResult *result);

/* Frees the error; the result is MF_LOOKUP_FAILED then. */
extern void mf_lookup_free(MfLookupResult *result);

/* Determines the result of a GetPaymentStatus exchange, as mf_send_result_read() does. */
extern void mf_status_result_read(const MfHttpExchange *exchange, MfStatusResult *result);
extern void mf_status_result_free(MfStatusResult *result);

#endif							/* MF_OUTCOME_H */
