/*
 * outcome.c
 *	  What an exchange proves: evidence + answer -> a verdict.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/outcome.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE				/* asprintf() */
#endif
#include "outcome.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "text.h"

/* How the vendor says that it knows no such invoice */
#define NO_DATA "No data match the provided values"

/* What the HTTP status alone says, given a complete answer */
typedef enum StatusClass
{
	STATUS_SUCCESS,				/* 2xx: read on */
	STATUS_REFUSAL,				/* 4xx: read on */
	STATUS_THROTTLED,
	STATUS_ACCOUNT_PROBLEM,
	STATUS_OTHER				/* proves nothing */
} StatusClass;

static bool proves_nothing_left(const MfHttpExchange *exchange);
static bool is_complete(const MfHttpExchange *exchange);
static StatusClass classify_status(long status);
static bool contains(const char *text, const char *phrase);
static char *copy(const char *text);
static char *describe(const MfHttpExchange *exchange);
static const char *doubt(const MfEnvelope *envelope, const char *reference);
static void read_success(const MfHttpExchange *exchange, const MfEnvelope *envelope,
						 const char *reference, MfSendResult *result);

const char *
mf_outcome_name(MfOutcome outcome)
{
	switch (outcome)
	{
		case MF_ACCEPTED:
			return "accepted";
		case MF_REJECTED:
			return "rejected";
		case MF_NOT_SENT:
			return "not_sent";
		case MF_THROTTLED:
			return "throttled";
		case MF_ACCOUNT_PROBLEM:
			return "account_problem";
		case MF_UNKNOWN:
			break;
	}
	return "unknown";
}

/*
 * libcurl never asked for the body, so none of it can have left.  If an answer
 * came all the same, it is read as one.
 */
static bool
proves_nothing_left(const MfHttpExchange *exchange)
{
	return !exchange->body_started && exchange->http_status == 0;
}

static bool
is_complete(const MfHttpExchange *exchange)
{
	return exchange->curl_code == CURLE_OK && !exchange->truncated && exchange->http_status >= 200;
}

static StatusClass
classify_status(long status)
{
	if (status >= 200 && status <= 299)
		return STATUS_SUCCESS;
	if (status >= 300 && status <= 399)
		return STATUS_ACCOUNT_PROBLEM;
	switch (status)
	{
		case 401:
		case 403:
		case 404:
			return STATUS_ACCOUNT_PROBLEM;
		case 429:
			return STATUS_THROTTLED;
		case 408:
			return STATUS_OTHER;
		default:
			return (status >= 400 && status <= 499) ? STATUS_REFUSAL : STATUS_OTHER;
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

char *
mf_answer_error(const MfHttpExchange *exchange, const char *text)
{
	char	   *error = NULL;

	if (asprintf(&error, "HTTP %ld: %s", exchange->http_status, text) < 0)
		return NULL;
	return error;
}

/* ----------
 * SendPayment
 * ----------
 */

/* What keeps a 2xx answer from proving that our invoice exists; NULL if nothing. */
static const char *
doubt(const MfEnvelope *envelope, const char *reference)
{
	const char *echo;

	if (envelope->root == NULL)
		return "the answer is not valid JSON";
	if (envelope->is_success != 1)
		return "the answer does not confirm success";
	if (!mf_invoice_id_valid(mf_json_number(envelope->data, "InvoiceId")))
		return "the answer holds no invoice number";
	if (reference == NULL)
		return NULL;
	echo = mf_json_string(envelope->data, "CustomerReference");
	if (echo == NULL || strcmp(echo, reference) != 0)
		return "the answer is about another customer reference";
	return NULL;
}

static void
read_success(const MfHttpExchange *exchange, const MfEnvelope *envelope,
			 const char *reference, MfSendResult *result)
{
	const char *problem = doubt(envelope, reference);
	char		text[1100];

	if (problem == NULL && exchange->body_served < exchange->body_len)
		problem = "the answer came before the whole request was sent";
	if (problem != NULL)
	{
		snprintf(text, sizeof(text), "%s%s%s", problem,
				 envelope->error != NULL ? ": " : "",
				 envelope->error != NULL ? envelope->error : "");
		result->error = mf_answer_error(exchange, text);
		return;
	}
	result->invoice_id = copy(mf_json_number(envelope->data, "InvoiceId"));
	if (result->invoice_id == NULL)
		return;
	result->invoice_url = copy(mf_json_string(envelope->data, "InvoiceURL"));
	if (result->invoice_url == NULL && mf_json_string(envelope->data, "InvoiceURL") != NULL)
	{
		/* without its link it would be worth less than a look-up that says so */
		free(result->invoice_id);
		result->invoice_id = NULL;
		return;
	}
	result->customer_reference = copy(mf_json_string(envelope->data, "CustomerReference"));
	result->user_defined_field = copy(mf_json_string(envelope->data, "UserDefinedField"));
	result->outcome = MF_ACCEPTED;
}

void
mf_send_result_read(const MfHttpExchange *exchange, const char *reference,
					int64_t now, MfSendResult *result)
{
	MfEnvelope	envelope;
	StatusClass class;

	memset(result, 0, sizeof(*result));
	result->outcome = MF_UNKNOWN;
	result->retry_after = -1;

	if (proves_nothing_left(exchange))
	{
		result->outcome = MF_NOT_SENT;
		result->error = describe(exchange);
		return;
	}
	if (!is_complete(exchange))
	{
		result->error = describe(exchange);
		return;
	}
	result->retry_after = mf_retry_after(exchange->retry_after, now, MF_RETRY_AFTER_CAP);
	class = classify_status(exchange->http_status);
	if (class == STATUS_THROTTLED)
		result->outcome = MF_THROTTLED;
	else if (class == STATUS_ACCOUNT_PROBLEM)
		result->outcome = MF_ACCOUNT_PROBLEM;

	if (!mf_envelope_read(exchange->response, exchange->response_len, &envelope))
		return;
	if (class == STATUS_SUCCESS)
		read_success(exchange, &envelope, reference, result);
	else if (class == STATUS_REFUSAL && envelope.is_success == 0)
	{
		result->outcome = MF_REJECTED;
		result->error = copy(envelope.error);
	}
	else
		result->error = mf_answer_error(exchange, envelope.error != NULL ? envelope.error :
									 "the answer contradicts its status");
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
	result->outcome = MF_UNKNOWN;
	result->retry_after = -1;
}

/* ----------
 * Look-ups
 * ----------
 */

MfLookup
mf_lookup_read(const MfHttpExchange *exchange, int64_t now, MfEnvelope *envelope,
			   bool *not_sent, char **error, int *retry_after)
{
	MfLookup	lookup = MF_LOOKUP_FAILED;
	const char *problem = NULL;
	char		text[1100];
	bool		read;

	memset(envelope, 0, sizeof(*envelope));
	envelope->is_success = -1;
	*not_sent = false;
	*error = NULL;
	*retry_after = -1;

	if (!is_complete(exchange))
	{
		*not_sent = proves_nothing_left(exchange);
		*error = describe(exchange);
		return MF_LOOKUP_FAILED;
	}
	*retry_after = mf_retry_after(exchange->retry_after, now, MF_RETRY_AFTER_CAP);
	read = mf_envelope_read(exchange->response, exchange->response_len, envelope);

	switch (classify_status(exchange->http_status))
	{
		case STATUS_SUCCESS:
			if (!read)
				break;
			if (envelope->root == NULL)
				problem = "the answer is not valid JSON";
			else if (envelope->is_success != 1)
				problem = "the answer does not confirm success";
			else
				return MF_FOUND;
			break;
		case STATUS_REFUSAL:
			if (envelope->is_success == 0)
			{
				*error = copy(envelope->error);
				return (exchange->http_status == 400 && contains(envelope->error, NO_DATA)) ?
					MF_NOT_FOUND : MF_LOOKUP_REFUSED;
			}
			break;
		case STATUS_THROTTLED:
			lookup = MF_LOOKUP_THROTTLED;
			break;
		case STATUS_ACCOUNT_PROBLEM:
			lookup = MF_LOOKUP_ACCOUNT_PROBLEM;
			break;
		case STATUS_OTHER:
			break;
	}
	if (!read)
		return lookup;
	if (problem == NULL)
		problem = (envelope->error != NULL) ? envelope->error : "the answer contradicts its status";
	else if (envelope->error != NULL)
	{
		snprintf(text, sizeof(text), "%s: %s", problem, envelope->error);
		problem = text;
	}
	*error = mf_answer_error(exchange, problem);
	return lookup;
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
mf_status_result_read(const MfHttpExchange *exchange, int64_t now, MfStatusResult *result)
{
	const char *problem = NULL;
	const char *bad;

	memset(result, 0, sizeof(*result));
	result->lookup = mf_lookup_read(exchange, now, &result->envelope,
									&result->not_sent, &result->error, &result->retry_after);
	if (result->lookup != MF_FOUND)
		return;
	if (!mf_payment_status_read(result->envelope.data, result->values, &bad))
	{
		result->lookup = MF_LOOKUP_FAILED;
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
		result->lookup = MF_LOOKUP_FAILED;
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
	result->retry_after = -1;
}
