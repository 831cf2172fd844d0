/*
 * outcome.c
 *	  What an exchange proves: evidence + answer -> a verdict.
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

#include "core/text/json.h"
#include "core/text/text.h"

/* How the vendor says that it knows no such invoice */
#define NO_DATA "No data match the provided values"

/* What the HTTP status of a complete answer says by itself */
typedef enum StatusClass
{
	STATUS_SUCCESS,				/* 2xx */
	STATUS_REFUSAL,				/* 4xx without those below */
	STATUS_KEY,					/* 401 */
	STATUS_DOOR,				/* 403 */
	STATUS_ROUTE,				/* 404 */
	STATUS_REDIRECT,			/* 3xx */
	STATUS_THROTTLED,			/* 429 */
	STATUS_TIMEOUT,				/* 408 */
	STATUS_OTHER,				/* 5xx and what is no status */
	STATUS_COUNT
} StatusClass;

/* What the body of an answer to SendPayment tells of an invoice */
typedef enum Told
{
	TOLD_NOTHING,				/* no envelope, or one without a yes or a
								 * reasoned no */
	TOLD_NO,					/* IsSuccess false and a list of errors */
	TOLD_PERHAPS,				/* IsSuccess true or an invoice anywhere, but
								 * not all of TOLD_YES */
	TOLD_YES,					/* IsSuccess true, InvoiceId, our reference */
	TOLD_COUNT
} Told;

/* What the body of an answer to a look-up tells */
typedef enum Found
{
	FOUND_NOTHING,				/* no envelope */
	FOUND_NO,					/* IsSuccess false */
	FOUND_NO_DATA,				/* the same with the words of NO_DATA */
	FOUND_YES,					/* IsSuccess true */
	FOUND_COUNT
} Found;

/*
 * The whole rule of what a complete answer to SendPayment proves
 * (docs/reliability.md, "What counts as proof").
 */
static const MfOutcome send_verdicts[STATUS_COUNT][TOLD_COUNT] = {
	/* TOLD_NOTHING, TOLD_NO, TOLD_PERHAPS, TOLD_YES */
	[STATUS_SUCCESS] = {MF_OUTCOME_UNKNOWN, MF_OUTCOME_UNKNOWN, MF_OUTCOME_UNKNOWN, MF_OUTCOME_ACCEPTED},
	[STATUS_REFUSAL] = {MF_OUTCOME_UNKNOWN, MF_OUTCOME_REJECTED, MF_OUTCOME_UNKNOWN, MF_OUTCOME_UNKNOWN},
	[STATUS_KEY] = {MF_OUTCOME_ACCOUNT_PROBLEM, MF_OUTCOME_ACCOUNT_PROBLEM, MF_OUTCOME_UNKNOWN, MF_OUTCOME_UNKNOWN},
	[STATUS_DOOR] = {MF_OUTCOME_ACCOUNT_PROBLEM, MF_OUTCOME_ACCOUNT_PROBLEM, MF_OUTCOME_UNKNOWN, MF_OUTCOME_UNKNOWN},
	[STATUS_ROUTE] = {MF_OUTCOME_ACCOUNT_PROBLEM, MF_OUTCOME_ACCOUNT_PROBLEM, MF_OUTCOME_UNKNOWN, MF_OUTCOME_UNKNOWN},
	[STATUS_REDIRECT] = {MF_OUTCOME_ACCOUNT_PROBLEM, MF_OUTCOME_ACCOUNT_PROBLEM, MF_OUTCOME_UNKNOWN, MF_OUTCOME_UNKNOWN},
	[STATUS_THROTTLED] = {MF_OUTCOME_THROTTLED, MF_OUTCOME_THROTTLED, MF_OUTCOME_UNKNOWN, MF_OUTCOME_UNKNOWN},
	[STATUS_TIMEOUT] = {MF_OUTCOME_UNKNOWN, MF_OUTCOME_UNKNOWN, MF_OUTCOME_UNKNOWN, MF_OUTCOME_UNKNOWN},
	[STATUS_OTHER] = {MF_OUTCOME_UNKNOWN, MF_OUTCOME_UNKNOWN, MF_OUTCOME_UNKNOWN, MF_OUTCOME_UNKNOWN},
};

/*
 * The same of a look-up.  What is odd about the question alone, such as a crash
 * page or a refusal, says nothing of the account.
 */
static const MfLookup lookup_verdicts[STATUS_COUNT][FOUND_COUNT] = {
	/* FOUND_NOTHING, FOUND_NO, FOUND_NO_DATA, FOUND_YES */
	[STATUS_SUCCESS] = {MF_LOOKUP_SENSELESS, MF_LOOKUP_SENSELESS, MF_LOOKUP_SENSELESS, MF_LOOKUP_FOUND},
	[STATUS_REFUSAL] = {MF_LOOKUP_SENSELESS, MF_LOOKUP_REFUSED, MF_LOOKUP_NOT_FOUND, MF_LOOKUP_SENSELESS},
	[STATUS_KEY] = {MF_LOOKUP_ACCOUNT_PROBLEM, MF_LOOKUP_ACCOUNT_PROBLEM, MF_LOOKUP_NOT_FOUND, MF_LOOKUP_SENSELESS},
	[STATUS_DOOR] = {MF_LOOKUP_ACCOUNT_PROBLEM, MF_LOOKUP_REFUSED, MF_LOOKUP_NOT_FOUND, MF_LOOKUP_SENSELESS},
	[STATUS_ROUTE] = {MF_LOOKUP_SENSELESS, MF_LOOKUP_REFUSED, MF_LOOKUP_NOT_FOUND, MF_LOOKUP_SENSELESS},
	[STATUS_REDIRECT] = {MF_LOOKUP_SENSELESS, MF_LOOKUP_SENSELESS, MF_LOOKUP_SENSELESS, MF_LOOKUP_SENSELESS},
	[STATUS_THROTTLED] = {MF_LOOKUP_THROTTLED, MF_LOOKUP_THROTTLED, MF_LOOKUP_THROTTLED, MF_LOOKUP_THROTTLED},
	[STATUS_TIMEOUT] = {MF_LOOKUP_FAILED, MF_LOOKUP_FAILED, MF_LOOKUP_NOT_FOUND, MF_LOOKUP_FAILED},
	[STATUS_OTHER] = {MF_LOOKUP_FAILED, MF_LOOKUP_FAILED, MF_LOOKUP_FAILED, MF_LOOKUP_FAILED},
};

static bool proves_nothing_left(const MfHttpExchange *exchange);
static StatusClass classify_status(long status);
static bool contains(const char *text, const char *phrase);
static char *copy(const char *text);
static char *describe(const MfHttpExchange *exchange);
static const char *doubt(const MfHttpExchange *exchange, const MfEnvelope *envelope, const char *reference);
static Told told(const MfEnvelope *envelope, const char *problem);
static bool keep_invoice(const MfEnvelope *envelope, MfSendResult *result);
static char *send_error(const MfHttpExchange *exchange, const MfEnvelope *envelope, Told what,
						const char *problem, const char *reference, const MfSendResult *result);
static Found found(const MfEnvelope *envelope);

const char *
mf_outcome_name(MfOutcome outcome)
{
	switch (outcome)
	{
		case MF_OUTCOME_ACCEPTED:
			return "accepted";
		case MF_OUTCOME_REJECTED:
			return "rejected";
		case MF_OUTCOME_NOT_SENT:
			return "not_sent";
		case MF_OUTCOME_THROTTLED:
			return "throttled";
		case MF_OUTCOME_ACCOUNT_PROBLEM:
			return "account_problem";
		case MF_OUTCOME_UNKNOWN:
			break;
	}
	return "unknown";
}

/*
 * The request did not pass the gate, so nothing of it can have left.  If an
 * answer came all the same, it is read as one.
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
			return STATUS_KEY;
		case 403:
			return STATUS_DOOR;
		case 404:
			return STATUS_ROUTE;
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
			return STATUS_REDIRECT;
		case 4:
			return STATUS_REFUSAL;
		default:
			return STATUS_OTHER;
	}
}

/* Without regard to the case of ASCII letters */
static bool
contains(const char *text, const char *phrase)
{
	size_t		len = strlen(phrase);

	if (text == NULL)
		return false;
	for (; *text != '\0'; text++)
	{
		if (curl_strnequal(text, phrase, len))
			return true;
	}
	return false;
}

static char *
copy(const char *text)
{
	return text != NULL ? strdup(text) : NULL;
}

/* For an exchange that brought no whole answer */
static char *
describe(const MfHttpExchange *exchange)
{
	char		text[1001];

	mf_http_describe(exchange, text, sizeof(text));
	return strdup(text);
}

/*
 * Where a redirect leads, without what may be secret: its path and query, a user.
 * NULL if the answer is none, or does not say.
 */
static char *
redirect(const MfHttpExchange *exchange)
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
	/* cut off, it may end in the middle of what has to be hidden */
	if (strlen(location) == sizeof(exchange->location) - 1 && host[length] == '\0')
		return strdup("another host");
	if (asprintf(&where, "%.*s%.*s", (int) (strstr(location, "://") + 3 - location), location, (int) length, host) < 0)
		return NULL;
	return where;
}

char *
mf_answer_error(const MfHttpExchange *exchange, const char *text)
{
	char	   *where = redirect(exchange);
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
 * SendPayment
 * ----------
 */

/* What keeps an answer from saying that our invoice exists; NULL if nothing. */
static const char *
doubt(const MfHttpExchange *exchange, const MfEnvelope *envelope, const char *reference)
{
	const char *echo;

	if (envelope->root == NULL)
		return "the answer is not valid JSON";
	if (envelope->is_success != 1)
		return "the answer does not confirm success";
	if (!mf_invoice_id_valid(mf_json_number(envelope->data, "InvoiceId")))
		return "the answer holds no invoice number";
	echo = mf_json_string(envelope->data, "CustomerReference");
	if (reference != NULL && (echo == NULL || *echo == '\0'))
		return "the answer holds no customer reference";
	if (reference != NULL && strcmp(echo, reference) != 0)
		return "the answer is about another customer reference";
	if (exchange->body_sent < exchange->body_len)
		return "the answer came before the whole request was sent";
	return NULL;
}

/* What an answer tells of an invoice, given the doubt about it */
static Told
told(const MfEnvelope *envelope, const char *problem)
{
	if (problem == NULL)
		return TOLD_YES;
	if (envelope->is_success == 1 || envelope->speaks_of_invoice)
		return TOLD_PERHAPS;
	return (envelope->is_success == 0 && envelope->names_errors) ? TOLD_NO : TOLD_NOTHING;
}

/*
 * Whatever an answer comes to, the invoice it speaks of may be found later.
 * False if there is no memory to keep it.
 */
static bool
keep_invoice(const MfEnvelope *envelope, MfSendResult *result)
{
	const cJSON *number = mf_envelope_find(envelope, "InvoiceId");
	const cJSON *url = mf_envelope_find(envelope, "InvoiceURL");

	if ((mf_json_is_number(number) || cJSON_IsString(number)) && mf_invoice_id_valid(number->valuestring))
		result->invoice_id = strdup(number->valuestring);
	if (cJSON_IsString(url))
		result->invoice_url = strdup(url->valuestring);
	result->customer_reference = copy(mf_json_string(envelope->data, "CustomerReference"));
	result->user_defined_field = copy(mf_json_string(envelope->data, "UserDefinedField"));
	return (number == NULL || result->invoice_id != NULL) && (!cJSON_IsString(url) || result->invoice_url != NULL);
}

/* Why an answer proves no more than it does: what it holds of an invoice, and its words */
static char *
send_error(const MfHttpExchange *exchange, const MfEnvelope *envelope, Told what,
		   const char *problem, const char *reference, const MfSendResult *result)
{
	StatusClass class = classify_status(exchange->http_status);
	const char *echo = result->customer_reference;
	char		invoice[40] = "";
	char		other[100] = "";
	char		text[1300];

	if (what >= TOLD_PERHAPS)
	{
		if (class != STATUS_SUCCESS)
			problem = "the answer speaks of an invoice, which its status denies";
		if (result->invoice_id != NULL)
			snprintf(invoice, sizeof(invoice), ", InvoiceId %s", result->invoice_id);
		if (echo != NULL && *echo != '\0' && (reference == NULL || strcmp(echo, reference) != 0))
		{
			char		excerpt[61];

			mf_text_excerpt(echo, strlen(echo), excerpt, sizeof(excerpt));
			snprintf(other, sizeof(other), ", CustomerReference \"%s\"", excerpt);
		}
	}
	else if (class == STATUS_REFUSAL && envelope->is_success == 0)
		problem = "the answer refuses without a list of errors";
	else if (class != STATUS_SUCCESS)
		return mf_answer_error(exchange, envelope->error);

	snprintf(text, sizeof(text), "%s%s%s%s%s", problem, invoice, other,
			 envelope->error != NULL ? ": " : "", envelope->error != NULL ? envelope->error : "");
	return mf_answer_error(exchange, text);
}

void
mf_send_result_read(const MfHttpExchange *exchange, const char *reference, MfSendResult *result)
{
	MfEnvelope	envelope;
	const char *problem;
	Told		what;
	bool		kept;

	memset(result, 0, sizeof(*result));
	result->outcome = MF_OUTCOME_UNKNOWN;

	if (proves_nothing_left(exchange))
	{
		result->outcome = MF_OUTCOME_NOT_SENT;
		result->error = describe(exchange);
		return;
	}
	if (mf_is_answered(exchange))
		result->retry_after = exchange->retry_after;
	if (!mf_envelope_read(exchange->response, exchange->response_len, exchange->api_key, &envelope))
		return;
	kept = keep_invoice(&envelope, result);
	if (!mf_is_answered(exchange))
	{
		result->error = describe(exchange);
		mf_envelope_free(&envelope);
		return;
	}

	problem = doubt(exchange, &envelope, reference);
	what = told(&envelope, problem);
	result->outcome = send_verdicts[classify_status(exchange->http_status)][what];
	if (result->outcome == MF_OUTCOME_ACCEPTED && !kept)
		result->outcome = MF_OUTCOME_UNKNOWN;	/* a look-up is better than half an invoice */
	else if (result->outcome == MF_OUTCOME_REJECTED)
		result->error = copy(envelope.error);
	else if (result->outcome != MF_OUTCOME_ACCEPTED)
		result->error = send_error(exchange, &envelope, what, problem, reference, result);
	mf_envelope_free(&envelope);
}

void
mf_send_result_free(MfSendResult *result)
{
	free(result->invoice_id);
	free(result->invoice_url);
	free(result->customer_reference);
	free(result->user_defined_field);
	free(result->error);
	memset(result, 0, sizeof(*result));
	result->outcome = MF_OUTCOME_UNKNOWN;
}

/* ----------
 * Look-ups
 * ----------
 */

/* What an answer tells of the thing looked up */
static Found
found(const MfEnvelope *envelope)
{
	if (envelope->is_success == 1)
		return FOUND_YES;
	if (envelope->is_success != 0)
		return FOUND_NOTHING;
	return contains(envelope->error, NO_DATA) ? FOUND_NO_DATA : FOUND_NO;
}

MfLookup
mf_lookup_read(const MfHttpExchange *exchange, MfEnvelope *envelope,
			   bool *not_sent, char **error, int *retry_after)
{
	const char *problem = NULL;
	char		text[1100];
	StatusClass class;
	MfLookup	lookup;

	memset(envelope, 0, sizeof(*envelope));
	envelope->is_success = -1;
	*not_sent = false;
	*error = NULL;
	*retry_after = 0;

	if (!mf_is_answered(exchange))
	{
		*not_sent = proves_nothing_left(exchange);
		*error = describe(exchange);
		return MF_LOOKUP_FAILED;
	}
	*retry_after = exchange->retry_after;
	class = classify_status(exchange->http_status);
	if (!mf_envelope_read(exchange->response, exchange->response_len, exchange->api_key, envelope))
		return class == STATUS_THROTTLED ? MF_LOOKUP_THROTTLED : MF_LOOKUP_FAILED;

	lookup = lookup_verdicts[class][found(envelope)];
	if (lookup == MF_LOOKUP_FOUND)
		return MF_LOOKUP_FOUND;
	if (lookup == MF_LOOKUP_NOT_FOUND || lookup == MF_LOOKUP_REFUSED)
	{
		*error = copy(envelope->error);
		return lookup;
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
	*error = mf_answer_error(exchange, problem);
	return lookup;
}

MfLookup
mf_unreadable_lookup(const char *bad)
{
	return bad != NULL ? MF_LOOKUP_SENSELESS : MF_LOOKUP_FAILED;
}

char *
mf_unreadable_error(const MfHttpExchange *exchange, const char *bad)
{
	char		text[100];

	if (bad == NULL)
		return NULL;
	snprintf(text, sizeof(text), "the answer's %s cannot be read", bad);
	return mf_answer_error(exchange, text);
}

void
mf_status_result_read(const MfHttpExchange *exchange, MfStatusResult *result)
{
	const char *problem = NULL;
	const char *bad;

	memset(result, 0, sizeof(*result));
	result->lookup = mf_lookup_read(exchange, &result->envelope,
									&result->not_sent, &result->error, &result->retry_after);
	if (result->lookup != MF_LOOKUP_FOUND)
		return;
	if (!mf_payment_status_read(result->envelope.data, result->values, &bad))
	{
		result->lookup = mf_unreadable_lookup(bad);
		result->error = mf_unreadable_error(exchange, bad);
		return;
	}
	if (!mf_invoice_id_valid(result->values[MF_PS_INVOICE_ID]))
		problem = "the answer holds no invoice number";
	else if (result->values[MF_PS_INVOICE_STATUS] == NULL ||
			 result->values[MF_PS_INVOICE_STATUS][0] == '\0')
		problem = "the answer holds no invoice status";
	if (problem != NULL)
	{
		mf_values_free(result->values, MF_PS_COUNT);
		result->lookup = MF_LOOKUP_SENSELESS;
		result->error = mf_answer_error(exchange, problem);
	}
}

void
mf_status_result_free(MfStatusResult *result)
{
	mf_values_free(result->values, MF_PS_COUNT);
	mf_envelope_free(&result->envelope);
	free(result->error);
	memset(result, 0, sizeof(*result));
	result->lookup = MF_LOOKUP_FAILED;
	result->envelope.is_success = -1;
}
