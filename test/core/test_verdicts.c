/*
 * test_verdicts.c
 *	  What answers prove: every status with every kind of body.
 *
 * The oracle follows the sentences of docs/reliability.md, "What counts as
 * proof", in their order, and not the tables of src/core/api/outcome.c.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/core/test_verdicts.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "support.h"

#include <curl/curl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/api/outcome.h"

#define OURS "rent-17.0123456789abcdefghij"
#define OTHERS "rent-17.zzzzzzzzzzzzzzzzzzzz"
#define NUMBER "6893854"
#define LINK "https://x/pay"
#define NO_DATA "No data match the provided values"

typedef enum Body
{
	BODY_NONE,
	BODY_HTML,
	BODY_JSON
} Body;

typedef enum Success
{
	SUCCESS_TRUE,
	SUCCESS_FALSE,
	SUCCESS_ABSENT,
	SUCCESS_COUNT
} Success;

typedef enum Echo
{
	ECHO_OURS,
	ECHO_OTHERS,
	ECHO_NULL,
	ECHO_COUNT
} Echo;

typedef enum Errors
{
	ERRORS_NONE,
	ERRORS_EMPTY,
	ERRORS_VALIDATION,
	ERRORS_FIELDS,
	ERRORS_DATA,
	ERRORS_COUNT
} Errors;

typedef struct Answer
{
	int			status;
	Body		body;
	Success		success;
	bool		invoice;
	Echo		echo;
	Errors		errors;
} Answer;

static char *
text_of(const Answer *answer)
{
	static const char *const success[] = {"\"IsSuccess\":true,", "\"IsSuccess\":false,", ""};
	static const char *const echo[] = {"\"" OURS "\"", "\"" OTHERS "\"", "null"};
	static const char *const errors[] = {
		"\"ValidationErrors\":null", "\"ValidationErrors\":[]",
		"\"ValidationErrors\":[{\"Name\":\"InvoiceValue\",\"Error\":\"too small\"}]",
		"\"FieldsErrors\":[{\"Name\":\"InvoiceValue\",\"Error\":\"\"}]",
		"\"ValidationErrors\":null"
	};

	if (answer->body == BODY_NONE)
		return strdup("");
	if (answer->body == BODY_HTML)
		return strdup("<html><body>Object moved</body></html>");
	return text("{%s\"Message\":\"words\",%s,\"Data\":{%s\"CustomerReference\":%s%s}}", success[answer->success],
				errors[answer->errors],
				answer->invoice ? "\"InvoiceId\":" NUMBER ",\"InvoiceURL\":\"" LINK "\"," : "",
				echo[answer->echo],
				answer->errors == ERRORS_DATA ? ",\"ErrorMessage\":\"not made\"" : "");
}

static MfOutcome
expected_outcome(const Answer *answer)
{
	int			status = answer->status;
	bool		json = answer->body == BODY_JSON;

	/* a status below 200 ends nothing */
	if (status < 200)
		return MF_OUTCOME_UNKNOWN;

	/* an answer that names an invoice proves nothing unless all of it agrees */
	if (json && (answer->success == SUCCESS_TRUE || answer->invoice))
	{
		if (status < 300 && answer->success == SUCCESS_TRUE && answer->invoice && answer->echo == ECHO_OURS)
			return MF_OUTCOME_ACCEPTED;
		return MF_OUTCOME_UNKNOWN;
	}

	/* not applied, as far as can be seen */
	if (status == 429)
		return MF_OUTCOME_THROTTLED;
	if (status == 401 || status == 403 || status == 404 || (status >= 300 && status <= 399))
		return MF_OUTCOME_ACCOUNT_PROBLEM;

	/* a no with its reasons */
	if (status >= 400 && status <= 499 && status != 408 && json && answer->success == SUCCESS_FALSE &&
		answer->errors >= ERRORS_VALIDATION)
		return MF_OUTCOME_REJECTED;
	return MF_OUTCOME_UNKNOWN;
}

static void
check_answer(const Answer *answer)
{
	char	   *body = text_of(answer);
	MfHttpExchange exchange = answered(answer->status, body);
	MfSendResult result;

	free(body);
	mf_send_result_read(&mf_endpoints[MF_SEND_PAYMENT], &exchange, OURS, &result);
	if (result.outcome != expected_outcome(answer))
		fail_msg("HTTP %d %s: %s instead of %s", answer->status, exchange.response,
				 mf_outcome_name(result.outcome), mf_outcome_name(expected_outcome(answer)));

	/* whatever the answer proves, its members are stored */
	if (answer->body == BODY_JSON && answer->invoice)
	{
		assert_string_equal(result.invoice_id, NUMBER);
		assert_string_equal(result.invoice_url, LINK);
	}
	else
		assert_true(result.invoice_id == NULL && result.invoice_url == NULL);
	if (answer->body == BODY_JSON && answer->echo != ECHO_NULL)
		assert_string_equal(result.customer_reference, answer->echo == ECHO_OURS ? OURS : OTHERS);
	assert_int_equal(result.error == NULL, result.outcome == MF_OUTCOME_ACCEPTED);
	mf_send_result_free(&result);
	free(exchange.response);
}

static void
test_every_answer(void **state)
{
	Answer		answer;

	(void) state;
	for (answer.status = 100; answer.status < 1000; answer.status++)
	{
		memset(&answer.body, 0, sizeof(answer) - offsetof(Answer, body));
		for (answer.body = BODY_NONE; answer.body < BODY_JSON; answer.body++)
			check_answer(&answer);
		for (answer.success = 0; answer.success < SUCCESS_COUNT; answer.success++)
			for (answer.invoice = 0;; answer.invoice = true)
			{
				for (answer.echo = 0; answer.echo < ECHO_COUNT; answer.echo++)
					for (answer.errors = 0; answer.errors < ERRORS_COUNT; answer.errors++)
						check_answer(&answer);
				if (answer.invoice)
					break;
			}
	}
}

/* What MyFatoorah says to a key of another country: a no of the account at any 4xx that means nothing else */
static void
test_another_country(void **state)
{
	int			status;

	(void) state;
	for (status = 100; status < 1000; status++)
	{
		MfHttpExchange exchange = answered(status, "\"Exception: You are not Authorized to use API.\"");
		bool		refused = status >= 400 && status <= 499 && status != 404 && status != 408 && status != 429;
		MfSendResult sent;
		MfStatusResult asked;

		mf_send_result_read(&mf_endpoints[MF_SEND_PAYMENT], &exchange, OURS, &sent);
		mf_status_result_read(&exchange, &asked);
		if (refused)
		{
			assert_int_equal(sent.outcome, MF_OUTCOME_ACCOUNT_PROBLEM);
			assert_int_equal(asked.base.lookup, MF_LOOKUP_ACCOUNT_PROBLEM);
			assert_non_null(strstr(asked.base.error, "not Authorized"));
		}
		else
			assert_int_not_equal(asked.base.lookup, MF_LOOKUP_ACCOUNT_PROBLEM);
		if (status < 300 || status > 499 || status == 408)
			assert_int_equal(sent.outcome, MF_OUTCOME_UNKNOWN);
		mf_send_result_free(&sent);
		mf_status_result_free(&asked);
		free(exchange.response);
	}

	/* not if it stands in an envelope, where it may be somebody's name */
	{
		MfHttpExchange exchange = answered(400, "{\"IsSuccess\":false,\"Message\":\"You are not Authorized to use API\"}");
		MfSendResult sent;

		mf_send_result_read(&mf_endpoints[MF_SEND_PAYMENT], &exchange, OURS, &sent);
		assert_int_equal(sent.outcome, MF_OUTCOME_UNKNOWN);
		mf_send_result_free(&sent);
		free(exchange.response);
	}
}

/* A status answer, or the absence of one, at every status */
static MfLookup
expected_lookup(int status, const char *kind)
{
	if (status < 200 || status >= 500)
		return MF_LOOKUP_FAILED;
	if (status == 429)
		return MF_LOOKUP_THROTTLED;
	if (status >= 400 && strcmp(kind, "no data") == 0)
		return MF_LOOKUP_NOT_FOUND;
	if (status == 408)
		return MF_LOOKUP_FAILED;
	if (status < 300 && strcmp(kind, "found") == 0)
		return MF_LOOKUP_FOUND;
	if (status == 401 && strcmp(kind, "found") != 0)
		return MF_LOOKUP_ACCOUNT_PROBLEM;
	if (status == 403 && (strcmp(kind, "none") == 0 || strcmp(kind, "html") == 0 || strcmp(kind, "string") == 0))
		return MF_LOOKUP_ACCOUNT_PROBLEM;
	if (status >= 400 && strcmp(kind, "refused") == 0)
		return MF_LOOKUP_REFUSED;
	return MF_LOOKUP_INCONCLUSIVE;
}

static void
test_every_lookup(void **state)
{
	static const struct
	{
		const char *kind;
		const char *body;
	}			bodies[] = {
		{"none", ""},
		{"html", "<html>" NO_DATA},
		{"string", "\"" NO_DATA "\""},
		{"no data", "{\"IsSuccess\":false,\"Message\":\"" NO_DATA "\",\"ValidationErrors\":null,\"Data\":null}"},
		{"refused", "{\"IsSuccess\":false,\"Message\":\"no\",\"Data\":null}"},
		{"found", "{\"IsSuccess\":true,\"Data\":{\"InvoiceId\":" NUMBER ",\"InvoiceStatus\":\"Paid\",\"CustomerReference\":\"" OURS "\"}}"},
		{"no object", "{\"IsSuccess\":true,\"Data\":null}"},
		{"a list", "{\"IsSuccess\":true,\"Data\":[{\"InvoiceId\":" NUMBER "}]}"},
		{"no number", "{\"IsSuccess\":true,\"Data\":{\"InvoiceId\":0,\"InvoiceStatus\":\"Paid\"}}"},
	};
	size_t		i;
	int			status;

	(void) state;
	for (status = 100; status < 1000; status++)
	{
		for (i = 0; i < LENGTH(bodies); i++)
		{
			MfHttpExchange exchange = answered(status, bodies[i].body);
			MfStatusResult result;
			MfLookup	expected;
			bool		says_yes = i >= 5;

			expected = expected_lookup(status, says_yes ? "found" : bodies[i].kind);
			/* found, but nothing that could be read */
			if (expected == MF_LOOKUP_FOUND && i > 5)
				expected = MF_LOOKUP_INCONCLUSIVE;
			mf_status_result_read(&exchange, &result);
			if (result.base.lookup != expected)
				fail_msg("HTTP %d, %s: %d instead of %d", status, bodies[i].kind, result.base.lookup, expected);
			assert_false(result.base.not_sent);
			assert_int_equal(result.base.error == NULL, expected == MF_LOOKUP_FOUND);
			mf_status_result_free(&result);
			free(exchange.response);
		}
	}
}

/* Which invoice is stored if an answer names several, or one in an odd way */
static void
test_kept(void **state)
{
	static const struct
	{
		const char *body;
		const char *number;
		const char *link;
	}			cases[] = {
		{"{\"Data\":{\"Old\":{\"InvoiceId\":5,\"InvoiceURL\":\"https://x/old\"},\"InvoiceId\":7,\"InvoiceURL\":\"https://x/new\"}}", "7", "https://x/new"},
		{"{\"Data\":[{\"invoiceID\":\"12\"}]}", "12", NULL},
		{"{\"InvoiceId\":9,\"Data\":{\"InvoiceId\":0,\"InvoiceURL\":5}}", "9", NULL},
		{"{\"Data\":{\"InvoiceId\":\"A1\",\"InvoiceURL\":\"\"}}", NULL, NULL},
		{"{\"Data\":{\"InvoiceId\":-3}}", NULL, NULL},
	};
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(cases); i++)
	{
		MfHttpExchange exchange = answered(400, cases[i].body);
		MfSendResult result;

		mf_send_result_read(&mf_endpoints[MF_SEND_PAYMENT], &exchange, OURS, &result);
		assert_int_equal(result.outcome, MF_OUTCOME_UNKNOWN);
		assert_true((result.invoice_id == NULL) == (cases[i].number == NULL));
		if (cases[i].number != NULL)
			assert_string_equal(result.invoice_id, cases[i].number);
		assert_true((result.invoice_url == NULL) == (cases[i].link == NULL));
		if (cases[i].link != NULL)
			assert_string_equal(result.invoice_url, cases[i].link);
		mf_send_result_free(&result);
		free(exchange.response);
	}
}

/* Error messages for answers that prove nothing */
static void
test_words(void **state)
{
	static const struct
	{
		long		status;
		const char *body;
		const char *error;
	}			cases[] = {
		{200, "{\"IsSuccess\":true,\"Data\":{\"InvoiceId\":7,\"CustomerReference\":null}}",
		"HTTP 200: the answer contains no CustomerReference, InvoiceId 7"},
		{200, "{\"IsSuccess\":true,\"Data\":{\"InvoiceId\":7,\"CustomerReference\":\"" OTHERS "\"}}",
		"HTTP 200: the answer is about another CustomerReference, InvoiceId 7, CustomerReference \"" OTHERS "\""},
		{500, "{\"IsSuccess\":true,\"Data\":{\"InvoiceId\":7,\"CustomerReference\":\"" OURS "\"}}",
		"HTTP 500: the answer contradicts its status, InvoiceId 7"},
		{409, "{\"IsSuccess\":false}", "HTTP 409: the answer refuses without a list of errors: the answer gives no reason"},
		{400, "{\"IsSuccess\":false,\"Message\":\"no\"}", "HTTP 400: the answer refuses without a list of errors: no"},
		{302, "<b>moved</b>", "HTTP 302: moved"},
		{200, "{\"IsSuccess\":true,\"Data\":{\"CustomerReference\":\"" OURS "\"}}",
		"HTTP 200: the answer contains no valid InvoiceId"},
	};
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(cases); i++)
	{
		MfHttpExchange exchange = answered(cases[i].status, cases[i].body);
		MfSendResult result;

		mf_send_result_read(&mf_endpoints[MF_SEND_PAYMENT], &exchange, OURS, &result);
		assert_string_equal(result.error, cases[i].error);
		mf_send_result_free(&result);
		free(exchange.response);
	}
}

/* The target of a redirect is reported without the rest of its address. */
static void
test_redirects(void **state)
{
	static const struct
	{
		long		status;
		const char *body;
		const char *error;
		const char *location;
	}			cases[] = {
		{302, "", "HTTP 302: the answer is empty", ""},
		{302, "", "HTTP 302, a redirect to https://login.example.com:8443", "https://login.example.com:8443/a/secret?of=it#all"},
		{301, " \r\n", "HTTP 301, a redirect to http://example.com", "http://user:secret@example.com"},
		{308, "<b>moved</b>", "HTTP 308, a redirect to https://example.com: moved", "https://example.com?key=secret"},
		{307, "", "HTTP 307, a redirect to another path of the same host", "/secret/https://example.com"},
		{303, "", "HTTP 303, a redirect to another host", "//example.com/secret"},
		{302, "", "HTTP 302, a redirect to https://********.example.com", "https://key-of-u.example.com/"},
		{500, "", "HTTP 500: the answer is empty", "https://example.com/"},
	};
	size_t		i;

	(void) state;
	for (i = 0; i <= LENGTH(cases); i++)
	{
		MfHttpExchange exchange = answered(i < LENGTH(cases) ? cases[i].status : 302, i < LENGTH(cases) ? cases[i].body : "");
		MfSendResult result;
		const char *error = i < LENGTH(cases) ? cases[i].error : "HTTP 302, a redirect to another host";

		exchange.api_key = strdup("key-of-u");
		/* cut off in the name of the host, which may say anything back */
		if (i == LENGTH(cases))
			memset(strcpy(exchange.location, "https://") + 8, 'k', sizeof(exchange.location) - 9);
		else
			snprintf(exchange.location, sizeof(exchange.location), "%s", cases[i].location);
		mf_send_result_read(&mf_endpoints[MF_SEND_PAYMENT], &exchange, OURS, &result);
		assert_string_equal(result.error, error);
		assert_int_equal(result.outcome, exchange.http_status == 500 ? MF_OUTCOME_UNKNOWN : MF_OUTCOME_ACCOUNT_PROBLEM);
		mf_send_result_free(&result);
		free(exchange.response);
		free(exchange.api_key);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_answer),
		cmocka_unit_test(test_another_country),
		cmocka_unit_test(test_every_lookup),
		cmocka_unit_test(test_kept),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_redirects),
	};

	return cmocka_run_group_tests_name("verdicts", tests, NULL, NULL);
}
