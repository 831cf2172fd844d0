/*
 * outcome.c
 *	  What an exchange proves: evidence and answer become an outcome.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/api/outcome.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE				/* asprintf() */
#endif
#include "core/api/outcome.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text/ascii.h"
#include "core/text/json.h"
#include "core/text/text.h"

/* MyFatoorah's message for an invoice that does not exist */
#define NO_DATA "No data match the provided values"

/* All that it says to a key of another country or environment, as a JSON string without an envelope */
#define NOT_AUTHORIZED "You are not Authorized to use API"

/* What the HTTP status of a complete answer means by itself */
typedef enum StatusClass
{
	STATUS_SUCCESS,				/* 2xx */
	STATUS_REFUSAL,				/* 4xx without those below */
	STATUS_401,
	STATUS_403,
	STATUS_404,
	STATUS_3XX,
	STATUS_THROTTLED,			/* 429 */
	STATUS_TIMEOUT,				/* 408 */
	STATUS_OTHER,				/* 5xx and anything else */
	STATUS_COUNT
} StatusClass;

/* What the body of an answer shows about what its request should have made: an invoice, a refund */
typedef enum BodyEvidence
{
	BODY_UNCLEAR,				/* no envelope, or neither success nor failure
								 * with errors */
	BODY_REFUSED,				/* IsSuccess false, and a list of errors */
	BODY_DOUBTFUL,				/* IsSuccess true or a trace of it anywhere,
								 * but not all of BODY_ACCEPTED */
	BODY_ACCEPTED,				/* IsSuccess true, its number, our reference */
	BODY_COUNT
} BodyEvidence;

/* What the body of an answer to a look-up shows */
typedef enum LookupEvidence
{
	LOOKUP_UNCLEAR,				/* no envelope */
	LOOKUP_NO,					/* IsSuccess false */
	LOOKUP_NO_DATA,				/* IsSuccess false, with NO_DATA */
	LOOKUP_YES,					/* IsSuccess true */
	LOOKUP_COUNT
} LookupEvidence;

/*
 * The outcome of a complete answer to SendPayment (docs/reliability.md, "What
 * counts as proof").
 */
static const MfOutcome send_verdicts[STATUS_COUNT][BODY_COUNT] = {
	/* BODY_UNCLEAR, BODY_REFUSED, BODY_DOUBTFUL, BODY_ACCEPTED */
	[STATUS_SUCCESS] = {MF_OUTCOME_UNKNOWN, MF_OUTCOME_UNKNOWN, MF_OUTCOME_UNKNOWN, MF_OUTCOME_ACCEPTED},
	[STATUS_REFUSAL] = {MF_OUTCOME_UNKNOWN, MF_OUTCOME_REJECTED, MF_OUTCOME_UNKNOWN, MF_OUTCOME_UNKNOWN},
	[STATUS_401] = {MF_OUTCOME_ACCOUNT_PROBLEM, MF_OUTCOME_ACCOUNT_PROBLEM, MF_OUTCOME_UNKNOWN, MF_OUTCOME_UNKNOWN},
	[STATUS_403] = {MF_OUTCOME_ACCOUNT_PROBLEM, MF_OUTCOME_ACCOUNT_PROBLEM, MF_OUTCOME_UNKNOWN, MF_OUTCOME_UNKNOWN},
	[STATUS_404] = {MF_OUTCOME_ACCOUNT_PROBLEM, MF_OUTCOME_ACCOUNT_PROBLEM, MF_OUTCOME_UNKNOWN, MF_OUTCOME_UNKNOWN},
	[STATUS_3XX] = {MF_OUTCOME_ACCOUNT_PROBLEM, MF_OUTCOME_ACCOUNT_PROBLEM, MF_OUTCOME_UNKNOWN, MF_OUTCOME_UNKNOWN},
	[STATUS_THROTTLED] = {MF_OUTCOME_THROTTLED, MF_OUTCOME_THROTTLED, MF_OUTCOME_UNKNOWN, MF_OUTCOME_UNKNOWN},
	[STATUS_TIMEOUT] = {MF_OUTCOME_UNKNOWN, MF_OUTCOME_UNKNOWN, MF_OUTCOME_UNKNOWN, MF_OUTCOME_UNKNOWN},
	[STATUS_OTHER] = {MF_OUTCOME_UNKNOWN, MF_OUTCOME_UNKNOWN, MF_OUTCOME_UNKNOWN, MF_OUTCOME_UNKNOWN},
};

/*
 * The same for a look-up.  A crash page or a refusal concerns one request
 * only and means nothing for the account.
 */
static const MfLookup lookup_verdicts[STATUS_COUNT][LOOKUP_COUNT] = {
	/* LOOKUP_UNCLEAR, LOOKUP_NO, LOOKUP_NO_DATA, LOOKUP_YES */
	[STATUS_SUCCESS] = {MF_LOOKUP_INCONCLUSIVE, MF_LOOKUP_INCONCLUSIVE, MF_LOOKUP_INCONCLUSIVE, MF_LOOKUP_FOUND},
	[STATUS_REFUSAL] = {MF_LOOKUP_INCONCLUSIVE, MF_LOOKUP_REFUSED, MF_LOOKUP_NOT_FOUND, MF_LOOKUP_INCONCLUSIVE},
	[STATUS_401] = {MF_LOOKUP_ACCOUNT_PROBLEM, MF_LOOKUP_ACCOUNT_PROBLEM, MF_LOOKUP_NOT_FOUND, MF_LOOKUP_INCONCLUSIVE},
	[STATUS_403] = {MF_LOOKUP_ACCOUNT_PROBLEM, MF_LOOKUP_REFUSED, MF_LOOKUP_NOT_FOUND, MF_LOOKUP_INCONCLUSIVE},
	[STATUS_404] = {MF_LOOKUP_INCONCLUSIVE, MF_LOOKUP_REFUSED, MF_LOOKUP_NOT_FOUND, MF_LOOKUP_INCONCLUSIVE},
	[STATUS_3XX] = {MF_LOOKUP_INCONCLUSIVE, MF_LOOKUP_INCONCLUSIVE, MF_LOOKUP_INCONCLUSIVE, MF_LOOKUP_INCONCLUSIVE},
	[STATUS_THROTTLED] = {MF_LOOKUP_THROTTLED, MF_LOOKUP_THROTTLED, MF_LOOKUP_THROTTLED, MF_LOOKUP_THROTTLED},
	[STATUS_TIMEOUT] = {MF_LOOKUP_FAILED, MF_LOOKUP_FAILED, MF_LOOKUP_NOT_FOUND, MF_LOOKUP_FAILED},
	[STATUS_OTHER] = {MF_LOOKUP_FAILED, MF_LOOKUP_FAILED, MF_LOOKUP_FAILED, MF_LOOKUP_FAILED},
};

const char *
mf_outcome_name(MfOutcome outcome)
{
	static const char *const names[] = {
		[MF_OUTCOME_ACCEPTED] = "accepted",
		[MF_OUTCOME_REJECTED] = "rejected",
		[MF_OUTCOME_NOT_SENT] = "not_sent",
		[MF_OUTCOME_THROTTLED] = "throttled",
		[MF_OUTCOME_ACCOUNT_PROBLEM] = "account_problem",
		[MF_OUTCOME_UNKNOWN] = "unknown"
	};

	return (size_t) outcome < sizeof(names) / sizeof(names[0]) ? names[outcome] : names[MF_OUTCOME_UNKNOWN];
}

/*
 * The request did not pass the gate, so nothing of it can have left.  An
 * answer that came all the same is evaluated as one.
 */
static bool
proves_nothing_left(const MfHttpExchange *exchange)
{
	return !exchange->gate_passed && exchange->http_status == 0;
}

bool
mf_is_answered(const MfHttpExchange *exchange)
{
	return exchange->curl_code == CURLE_OK && !exchange->truncated && exchange->http_status >= 200;
}

static StatusClass
classify_status(long status)
{
	switch (status)
	{
		case 401:
			return STATUS_401;
		case 403:
			return STATUS_403;
		case 404:
			return STATUS_404;
		case 408:
			return STATUS_TIMEOUT;
		case 429:
			return STATUS_THROTTLED;
		default:
			break;
	}
	switch (status / 100)
	{
		case 2:
			return STATUS_SUCCESS;
		case 3:
			return STATUS_3XX;
		case 4:
			return STATUS_REFUSAL;
		default:
			return STATUS_OTHER;
	}
}

/*
 * What is said about the key counts as 401, whatever the 4xx, which no source names.  Nothing else is in
 * such an answer, so that no text of a customer is taken for it.
 */
static StatusClass
classify_answer(const MfHttpExchange *exchange, const MfEnvelope *envelope)
{
	StatusClass class = classify_status(exchange->http_status);

	return class == STATUS_REFUSAL && cJSON_IsString(envelope->root) && mf_has_phrase(envelope->error, NOT_AUTHORIZED) ?
		STATUS_401 : class;
}

static char *
copy_text(const char *text)
{
	return text != NULL ? strdup(text) : NULL;
}

/* For an exchange without a complete answer */
static char *
describe_exchange(const MfHttpExchange *exchange)
{
	char		text[1001];

	mf_http_describe(exchange, text, sizeof(text));
	return strdup(text);
}

/*
 * The target of a redirect, without parts that may be secret: user, path and
 * query.  NULL if the answer is no redirect or names no target.
 */
static char *
redirect_target(const MfHttpExchange *exchange)
{
	const char *location = exchange->location;
	const char *host = strstr(location, "://");
	const char *user;
	size_t		length;
	char	   *where = NULL;

	if (exchange->http_status < 300 || exchange->http_status > 399 || location[0] == '\0')
		return NULL;
	if (host == NULL || strcspn(location, "/?#") < (size_t) (host - location))
		return strdup(strncmp(location, "//", 2) == 0 ? "another host" : "another path of the same host");
	host += 3;
	length = strcspn(host, "/?#");
	user = memrchr(host, '@', length);
	if (user != NULL)
	{
		length -= (size_t) (user + 1 - host);
		host = user + 1;
	}
	/* if it was cut off, it may end within a part to be hidden */
	if (strlen(location) == sizeof(exchange->location) - 1 && host[length] == '\0')
		return strdup("another host");
	if (asprintf(&where, "%.*s%.*s", (int) (strstr(location, "://") + 3 - location), location, (int) length, host) < 0)
		return NULL;
	return where;
}

/* "HTTP 503: text", malloc'd; NULL when out of memory */
static char *
answer_error(const MfHttpExchange *exchange, const char *text)
{
	char	   *where = redirect_target(exchange);
	char	   *error = NULL;
	bool		empty = exchange->response == NULL ||
		exchange->response[strspn(exchange->response, " \t\r\n")] == '\0';
	int			length;

	if (where == NULL)
		length = asprintf(&error, "HTTP %ld: %s", exchange->http_status, text);
	else
		length = asprintf(&error, "HTTP %ld, a redirect to %s%s%s", exchange->http_status, where,
						  empty ? "" : ": ", empty ? "" : text);
	free(where);
	if (length < 0)
		return NULL;
	mf_http_hide_key(exchange->api_key, error, strlen(error));
	return error;
}

/* ----------
 * Requests that make or change something: invoices, refunds
 * ----------
 */

/* The number of what was made or changed, as the endpoint writes it; NULL = none */
static const char *
made_number(const MfEndpoint *endpoint, const MfEnvelope *envelope)
{
	if (endpoint->id == NULL)
		return NULL;
	return endpoint->id_is_text ? mf_json_text(envelope->data, endpoint->id) :
		mf_json_number(envelope->data, endpoint->id);
}

/* The link to what was made, wherever the answer has it; NULL = none that a customer can follow */
static const char *
made_link(const MfEndpoint *endpoint, const MfEnvelope *envelope, bool *is_bad)
{
	const cJSON *link = endpoint->url != NULL ? mf_envelope_find(envelope, endpoint->url) : NULL;

	/* the URL is no page then: it takes card numbers */
	if (cJSON_IsTrue(mf_json_get(envelope->data, "IsDirectPayment")))
		link = NULL;
	*is_bad = link != NULL && !(cJSON_IsString(link) && mf_link_valid(link->valuestring));
	return link != NULL && !*is_bad ? link->valuestring : NULL;
}

/* Whether an answer is about our reference; if it is not, "text" becomes the reason. */
static bool
is_echoed(const MfEndpoint *endpoint, const MfEnvelope *envelope, const char *reference, char *text, size_t text_size)
{
	const cJSON *echo = endpoint->echo_is_loose ? mf_envelope_find(envelope, endpoint->echo) :
		mf_json_get(envelope->data, endpoint->echo);

	if (reference != NULL && cJSON_IsString(echo) && strcmp(echo->valuestring, reference) == 0)
		return true;
	if (endpoint->echo_is_loose ? echo == NULL : reference == NULL)
		return true;
	snprintf(text, text_size, !endpoint->echo_is_loose && (!cJSON_IsString(echo) || echo->valuestring[0] == '\0') ?
			 "the answer contains no %s" : "the answer is about another %s", endpoint->echo);
	return false;
}

/*
 * Why an answer does not prove that what we asked for was done; NULL if it does.
 * "subject" as for mf_send_result_read().  "text" is room for the reason.
 */
static const char *
answer_problem(const MfEndpoint *endpoint, const MfHttpExchange *exchange, const MfEnvelope *envelope,
			   const char *subject, char *text, size_t text_size)
{
	const char *number = made_number(endpoint, envelope);
	bool		bad_link;
	const char *link = made_link(endpoint, envelope, &bad_link);

	if (envelope->root == NULL)
		return "the answer is not valid JSON";
	if (envelope->is_success != 1)
		return "the answer does not confirm success";
	if (bad_link ||
		(endpoint->url_is_needed && (link == NULL || link != mf_json_string(envelope->data, endpoint->url))))
	{
		snprintf(text, text_size, bad_link ? "the %s of the answer is not the URL of a web page" :
				 "the answer contains no %s", endpoint->url);
		return text;
	}
	if (endpoint->completed != NULL && !cJSON_IsFalse(mf_json_get(envelope->data, endpoint->completed)))
		return "the answer does not say that the payment is still to be made";
	if (endpoint->id != NULL && !mf_invoice_id_valid(number))
	{
		snprintf(text, text_size, "the answer contains no valid %s", endpoint->id);
		return text;
	}
	if (endpoint->effect == MF_EFFECT_CHANGES && endpoint->id != NULL && strcmp(number, subject) != 0)
		return "the answer is about another invoice";
	if (endpoint->echo != NULL && !is_echoed(endpoint, envelope, subject, text, text_size))
		return text;
	return exchange->body_sent < exchange->body_len ? "the answer came before the whole request was sent" : NULL;
}

/* "problem" is what answer_problem() returned. */
static BodyEvidence
body_evidence(const MfEnvelope *envelope, const char *problem)
{
	if (problem == NULL)
		return BODY_ACCEPTED;
	if (envelope->is_success == 1 || envelope->names_made)
		return BODY_DOUBTFUL;
	return (envelope->is_success == 0 && envelope->names_errors) ? BODY_REFUSED : BODY_UNCLEAR;
}

/*
 * Stores the members of what an answer says was made, whatever the outcome: an invoice
 * may be looked up by them later.  False when out of memory.
 */
static bool
copy_made_members(const MfEndpoint *endpoint, const MfEnvelope *envelope, MfSendResult *result)
{
	const cJSON *number = endpoint->id != NULL ? mf_envelope_find(envelope, endpoint->id) : NULL;
	const char *recurring = mf_json_string(envelope->data, "RecurringId");
	bool		bad_link;
	const char *link = made_link(endpoint, envelope, &bad_link);

	if ((mf_json_is_number(number) || cJSON_IsString(number)) && mf_invoice_id_valid(number->valuestring))
		result->invoice_id = strdup(number->valuestring);
	result->invoice_url = copy_text(link);
	if (endpoint->echo != NULL)
		result->customer_reference = copy_text(mf_json_string(envelope->data, endpoint->echo));
	result->user_defined_field = copy_text(mf_json_string(envelope->data, "UserDefinedField"));
	if (recurring != NULL && *recurring != '\0')
		result->recurring_id = strdup(recurring);
	return (number == NULL || result->invoice_id != NULL) && (link == NULL || result->invoice_url != NULL) &&
		(recurring == NULL || *recurring == '\0' || result->recurring_id != NULL);
}

/*
 * The error of a result: why the answer proves no more, the invoice that it
 * names, and its own message
 */
static char *
send_error(const MfEndpoint *endpoint, const MfHttpExchange *exchange, const MfEnvelope *envelope,
		   BodyEvidence evidence, const char *problem, const char *reference, const MfSendResult *result)
{
	StatusClass class = classify_status(exchange->http_status);
	const char *echo = result->customer_reference;
	char		invoice[40] = "";
	char		other[100] = "";
	char		text[1300];

	if (evidence >= BODY_DOUBTFUL)
	{
		if (class != STATUS_SUCCESS)
			problem = "the answer contradicts its status";
		if (result->invoice_id != NULL)
			snprintf(invoice, sizeof(invoice), ", %s %s", endpoint->id, result->invoice_id);
		if (echo != NULL && *echo != '\0' && (reference == NULL || strcmp(echo, reference) != 0))
		{
			char		excerpt[61];

			mf_text_excerpt(echo, strlen(echo), excerpt, sizeof(excerpt));
			snprintf(other, sizeof(other), ", %s \"%s\"", endpoint->echo, excerpt);
		}
	}
	else if (class == STATUS_REFUSAL && envelope->is_success == 0)
		problem = "the answer refuses without a list of errors";
	else if (class != STATUS_SUCCESS)
		return answer_error(exchange, envelope->error);

	snprintf(text, sizeof(text), "%s%s%s%s%s", problem, invoice, other,
			 envelope->error != NULL ? ": " : "", envelope->error != NULL ? envelope->error : "");
	return answer_error(exchange, text);
}

void
mf_send_result_read(const MfEndpoint *endpoint, const MfHttpExchange *exchange, const char *subject,
					MfSendResult *result)
{
	MfEnvelope	envelope;
	char		text[100];
	const char *problem;
	BodyEvidence evidence;
	bool		kept;

	memset(result, 0, sizeof(*result));
	result->outcome = MF_OUTCOME_UNKNOWN;

	if (proves_nothing_left(exchange))
	{
		result->outcome = MF_OUTCOME_NOT_SENT;
		result->error = describe_exchange(exchange);
		return;
	}
	if (mf_is_answered(exchange))
		result->retry_after = exchange->retry_after;
	if (!mf_envelope_read(endpoint, exchange->response, exchange->response_len, exchange->api_key, &envelope))
		return;
	kept = endpoint->effect != MF_EFFECT_CREATES || copy_made_members(endpoint, &envelope, result);
	if (!mf_is_answered(exchange))
	{
		result->error = describe_exchange(exchange);
		mf_envelope_free(&envelope);
		return;
	}

	problem = answer_problem(endpoint, exchange, &envelope, subject, text, sizeof(text));
	evidence = body_evidence(&envelope, problem);
	result->outcome = send_verdicts[classify_answer(exchange, &envelope)][evidence];
	if (result->outcome == MF_OUTCOME_ACCEPTED && !kept)
		result->outcome = MF_OUTCOME_UNKNOWN;	/* a look-up is better than
												 * half an invoice */
	else if (result->outcome == MF_OUTCOME_REJECTED)
		result->error = copy_text(envelope.error);
	else if (result->outcome != MF_OUTCOME_ACCEPTED)
		result->error = send_error(endpoint, exchange, &envelope, evidence, problem, subject, result);
	mf_envelope_free(&envelope);
}

void
mf_send_result_free(MfSendResult *result)
{
	free(result->invoice_id);
	free(result->invoice_url);
	free(result->customer_reference);
	free(result->user_defined_field);
	free(result->recurring_id);
	free(result->error);
	memset(result, 0, sizeof(*result));
	result->outcome = MF_OUTCOME_UNKNOWN;
}

/* ----------
 * Look-ups
 * ----------
 */

/* What an answer to a look-up shows */
static LookupEvidence
lookup_evidence(const MfEnvelope *envelope)
{
	if (envelope->is_success == 1)
		return LOOKUP_YES;
	if (envelope->is_success != 0)
		return LOOKUP_UNCLEAR;
	return mf_has_phrase(envelope->error, NO_DATA) ? LOOKUP_NO_DATA : LOOKUP_NO;
}

bool
mf_lookup_read(const MfEndpoint *endpoint, const MfHttpExchange *exchange, MfEnvelope *envelope,
			   MfLookupResult *result)
{
	const char *problem = NULL;
	char		text[1100];
	StatusClass class;

	memset(envelope, 0, sizeof(*envelope));
	envelope->is_success = -1;
	memset(result, 0, sizeof(*result));
	result->lookup = MF_LOOKUP_FAILED;

	if (!mf_is_answered(exchange))
	{
		result->not_sent = proves_nothing_left(exchange);
		result->error = describe_exchange(exchange);
		return false;
	}
	result->retry_after = exchange->retry_after;
	class = classify_status(exchange->http_status);
	if (!mf_envelope_read(endpoint, exchange->response, exchange->response_len, exchange->api_key, envelope))
	{
		if (class == STATUS_THROTTLED)
			result->lookup = MF_LOOKUP_THROTTLED;
		return false;
	}

	class = classify_answer(exchange, envelope);
	result->lookup = lookup_verdicts[class][lookup_evidence(envelope)];
	if (result->lookup == MF_LOOKUP_FOUND)
		return true;
	if (result->lookup == MF_LOOKUP_NOT_FOUND || result->lookup == MF_LOOKUP_REFUSED)
	{
		result->error = copy_text(envelope->error);
		return false;
	}
	if (class == STATUS_SUCCESS)
		problem = envelope->root == NULL ? "the answer is not valid JSON" : "the answer does not confirm success";
	if (problem != NULL && envelope->error != NULL)
	{
		snprintf(text, sizeof(text), "%s: %s", problem, envelope->error);
		problem = text;
	}
	else if (problem == NULL)
		problem = envelope->error != NULL ? envelope->error : "the answer contradicts its status";
	result->error = answer_error(exchange, problem);
	return false;
}

void
mf_lookup_unreadable(const MfHttpExchange *exchange, const char *bad, MfLookupResult *result)
{
	char		text[100];

	result->lookup = bad == NULL ? MF_LOOKUP_FAILED : MF_LOOKUP_INCONCLUSIVE;
	if (bad == NULL)
		return;
	snprintf(text, sizeof(text), "the answer's %s cannot be read", bad);
	result->error = answer_error(exchange, text);
}

void
mf_lookup_free(MfLookupResult *result)
{
	free(result->error);
	memset(result, 0, sizeof(*result));
	result->lookup = MF_LOOKUP_FAILED;
}

void
mf_status_result_read(const MfHttpExchange *exchange, MfStatusResult *result)
{
	const char *problem = NULL;
	const char *bad;

	memset(result, 0, sizeof(*result));
	if (!mf_lookup_read(&mf_endpoints[MF_GET_PAYMENT_STATUS], exchange, &result->envelope, &result->base))
		return;
	if (!mf_payment_status_read(result->envelope.data, result->values, &bad))
	{
		mf_lookup_unreadable(exchange, bad, &result->base);
		return;
	}
	if (!mf_invoice_id_valid(result->values[MF_PS_INVOICE_ID]))
		problem = "the answer contains no valid InvoiceId";
	else if (result->values[MF_PS_INVOICE_STATUS] == NULL ||
			 result->values[MF_PS_INVOICE_STATUS][0] == '\0')
		problem = "the answer contains no InvoiceStatus";
	if (problem != NULL)
	{
		mf_values_free(result->values, MF_PS_COUNT);
		result->base.lookup = MF_LOOKUP_INCONCLUSIVE;
		result->base.error = answer_error(exchange, problem);
	}
}

void
mf_status_result_free(MfStatusResult *result)
{
	mf_values_free(result->values, MF_PS_COUNT);
	mf_envelope_free(&result->envelope);
	mf_lookup_free(&result->base);
}
