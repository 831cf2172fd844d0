/*
 * test_create_payment.c
 *	  POST /v3/payments: requests compared byte by byte, what it cannot carry, and what
 *	  answers prove: every status with every kind of body.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/core/test_create_payment.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "support.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/api/create_payment.h"
#include "core/api/outcome.h"
#include "core/text/json.h"

#define OURS "rent-17.0123456789abcdefghij"
#define OTHERS "rent-17.zzzzzzzzzzzzzzzzzzzz"
#define NUMBER "6323179"
#define LINK "https://demo.MyFatoorah.com/KWT/ie/01072632317941-057d0668"

/* ----------
 * Requests
 * ----------
 */

static char *
body_of(const char *const values[MF_SP_COUNT], const char *expiry)
{
	MfCreatePayment payment = {values, "KWD", "965", expiry};
	size_t		len = 0;
	char	   *body;

	assert_int_equal(mf_create_payment_obstacle(&payment), MF_SP_COUNT);
	body = mf_create_payment_body(&payment, &len);
	assert_non_null(body);
	assert_int_equal(len, strlen(body));
	return body;
}

/* Like the sample, but for its white space */
static void
check_sample(const char *const values[MF_SP_COUNT], const char *name, const char *without)
{
	char	   *sample = fixture(name);
	cJSON	   *root = mf_json_parse(sample, strlen(sample), NULL, NULL);
	char	   *body = body_of(values, NULL);
	char	   *expected;

	assert_non_null(root);
	if (without != NULL)
		cJSON_DeleteItemFromObjectCaseSensitive(root, without);
	expected = mf_json_print(root);
	assert_string_equal(body, expected);
	free(expected);
	free(body);
	cJSON_Delete(root);
	free(sample);
}

static void
test_samples(void **state)
{
	const char *values[MF_SP_COUNT] = {NULL};

	(void) state;
	values[MF_SP_INVOICE_VALUE] = "20";
	values[MF_SP_MOBILE_COUNTRY_CODE] = "+20";
	values[MF_SP_CUSTOMER_MOBILE] = "1020304050";
	values[MF_SP_CUSTOMER_EMAIL] = "example@gmail.com";
	values[MF_SP_CALL_BACK_URL] = values[MF_SP_ERROR_URL] = "https://your-website.com/payment-callback";
	values[MF_SP_NOTIFICATION_OPTION] = "ALL";
	check_sample(values, "v3-create-payment.request.invoice-all.json", NULL);

	/* which method is paid with is left to the customer */
	memset(values, 0, sizeof(values));
	values[MF_SP_INVOICE_VALUE] = "20";
	values[MF_SP_SUPPLIERS] = "[{\"SupplierCode\":1,\"InvoiceShare\":20,\"ProposedShare\":10}]";
	check_sample(values, "v3-create-payment.request.suppliers.json", "PaymentMethod");
}

static void
test_all_fields(void **state)
{
	const char *values[MF_SP_COUNT] = {NULL};
	char	   *body;

	(void) state;
	values[MF_SP_CUSTOMER_NAME] = "\xd8\xa3\xd8\xad\xd9\x85\xd8\xaf";
	values[MF_SP_INVOICE_VALUE] = "12.500";
	values[MF_SP_NOTIFICATION_OPTION] = "LNK";
	values[MF_SP_CUSTOMER_EMAIL] = "a@example.com";
	values[MF_SP_CUSTOMER_MOBILE] = "99999999";
	values[MF_SP_MOBILE_COUNTRY_CODE] = "00965";
	values[MF_SP_DISPLAY_CURRENCY_ISO] = "KWD";
	values[MF_SP_LANGUAGE] = "AR";
	values[MF_SP_CUSTOMER_REFERENCE] = OURS;
	values[MF_SP_CUSTOMER_CIVIL_ID] = "281010100000";
	values[MF_SP_CALL_BACK_URL] = values[MF_SP_ERROR_URL] = "https://pay.example.com/callback/1";
	values[MF_SP_WEBHOOK_URL] = "https://pay.example.com/webhook/a";
	body = body_of(values, "2026-12-31 20:59:59.5Z");
	assert_string_equal(body,
						"{\"Order\":{\"Amount\":12.500,\"Currency\":\"KWD\",\"ExternalIdentifier\":\"" OURS "\"},"
						"\"Customer\":{\"Name\":\"\xd8\xa3\xd8\xad\xd9\x85\xd8\xaf\","
						"\"Mobile\":{\"CountryCode\":\"965\",\"Number\":\"99999999\"},\"Email\":\"a@example.com\","
						"\"CivilId\":\"281010100000\"},"
						"\"IntegrationUrls\":{\"Redirection\":\"https://pay.example.com/callback/1\","
						"\"Webhook\":\"https://pay.example.com/webhook/a\"},"
						"\"NotificationOption\":\"LINK\",\"PaymentExpiry\":\"2026-12-31T20:59:59Z\",\"Language\":\"AR\"}");
	free(body);
}

/* A mobile without a code gets that of the account's country, as V3 wants both. */
static void
test_mobile(void **state)
{
	static const struct
	{
		const char *code;
		const char *sent;
	}			cases[] = {{NULL, "965"}, {"+965", "+965"}, {"965", "965"}, {"+1246", "1246"}, {"00965", "965"}};
	const char *values[MF_SP_COUNT] = {NULL};
	size_t		i;

	(void) state;
	values[MF_SP_INVOICE_VALUE] = "1";
	values[MF_SP_CUSTOMER_MOBILE] = "12345678";
	for (i = 0; i < LENGTH(cases); i++)
	{
		char	   *expected;
		char	   *body;

		values[MF_SP_MOBILE_COUNTRY_CODE] = cases[i].code;
		body = body_of(values, NULL);
		expected = text("{\"Order\":{\"Amount\":1},\"Customer\":{\"Mobile\":{\"CountryCode\":\"%s\",\"Number\":\"12345678\"}}}",
						cases[i].sent);
		assert_string_equal(body, expected);
		free(expected);
		free(body);
	}
}

static void
test_options(void **state)
{
	static const char *const options[][2] = {{"LNK", "LINK"}, {"EML", "EMAIL"}, {"SMS", "SMS"}, {"ALL", "ALL"}};
	const char *values[MF_SP_COUNT] = {NULL};
	size_t		i;

	(void) state;
	values[MF_SP_INVOICE_VALUE] = "1";
	for (i = 0; i < LENGTH(options); i++)
	{
		char	   *expected = text("{\"Order\":{\"Amount\":1},\"NotificationOption\":\"%s\"}", options[i][1]);
		char	   *body;

		values[MF_SP_NOTIFICATION_OPTION] = options[i][0];
		body = body_of(values, NULL);
		assert_string_equal(body, expected);
		free(body);
		free(expected);
	}
}

static void
test_obstacles(void **state)
{
	static const struct
	{
		MfSendPaymentField field;
		const char *value;
		bool		carried;
	}			cases[] = {
		{MF_SP_USER_DEFINED_FIELD, "u", false},
		{MF_SP_CUSTOMER_ADDRESS, "{}", false},
		{MF_SP_INVOICE_ITEMS, "[]", false},
		{MF_SP_SHIPPING_METHOD, "1", false},
		{MF_SP_SHIPPING_CONSIGNEE, "{}", false},
		{MF_SP_PROCESSING_DETAILS, "{\"AutoCapture\":false}", false},
		{MF_SP_INVOICE_PAYMENT_METHODS, "[1]", false},
		{MF_SP_SOURCE_INFO, "x", false},
		{MF_SP_PAYMENT_METHOD_ID, "1", false},
		{MF_SP_DISPLAY_CURRENCY_ISO, "SAR", false},
		{MF_SP_DISPLAY_CURRENCY_ISO, "KWD", true},
		{MF_SP_CUSTOMER_MOBILE, "12345", false},
		{MF_SP_CUSTOMER_MOBILE, "+12345", false},
		{MF_SP_CUSTOMER_MOBILE, "12345#", false},
		{MF_SP_CUSTOMER_MOBILE, "123456#", true},
		{MF_SP_CALL_BACK_URL, "https://a.example", false},
		{MF_SP_ERROR_URL, "https://a.example", false},
		{MF_SP_SUPPLIERS, "[{\"SupplierCode\":1,\"InvoiceShare\":2,\"Other\":3}]", false},
		{MF_SP_SUPPLIERS, "{}", false},
		{MF_SP_NOTIFICATION_OPTION, "FAX", false},
	};
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(cases); i++)
	{
		const char *values[MF_SP_COUNT] = {NULL};
		MfCreatePayment payment = {values, "KWD", "965", NULL};

		values[MF_SP_INVOICE_VALUE] = "1";
		values[cases[i].field] = cases[i].value;
		assert_int_equal(mf_create_payment_obstacle(&payment), cases[i].carried ? MF_SP_COUNT : cases[i].field);
	}
}

static void
test_bad_values(void **state)
{
	const char *values[MF_SP_COUNT] = {NULL};
	MfCreatePayment payment = {values, "KWD", "965", NULL};
	size_t		len;

	(void) state;
	assert_null(mf_create_payment_body(&payment, &len));
	values[MF_SP_INVOICE_VALUE] = "1}";
	assert_null(mf_create_payment_body(&payment, &len));
	values[MF_SP_INVOICE_VALUE] = "1";
	values[MF_SP_CUSTOMER_NAME] = "\xff";
	assert_null(mf_create_payment_body(&payment, &len));
	values[MF_SP_CUSTOMER_NAME] = NULL;
	payment.expiry = "tomorrow";
	assert_null(mf_create_payment_body(&payment, &len));
	assert_int_equal(len, 0);
}

/* ----------
 * Answers
 * ----------
 */

static void
read_answer(long status, const char *body, MfSendResult *result)
{
	MfHttpExchange exchange = answered(status, body);

	mf_send_result_read(&mf_endpoints[MF_V3_CREATE_PAYMENT], &exchange, OURS, result);
	free(exchange.response);
}

static void
test_sample_answers(void **state)
{
	static const struct
	{
		const char *name;
		long		status;
		MfOutcome	outcome;
		const char *invoice_id;
	}			cases[] = {
		{"v3-create-payment.response.link.json", 201, MF_OUTCOME_ACCEPTED, "6323179"},
		{"v3-create-payment.response.link.json", 200, MF_OUTCOME_ACCEPTED, "6323179"},
		{"v3-create-payment.response.link.json", 500, MF_OUTCOME_UNKNOWN, "6323179"},
		{"v3-create-payment.response.suppliers.json", 201, MF_OUTCOME_ACCEPTED, "6389754"},
		/* paid by a stored card, and so not what was asked for */
		{"v3-create-payment.response.completed.json", 201, MF_OUTCOME_UNKNOWN, "6389662"},
	};
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(cases); i++)
	{
		char	   *sample = fixture(cases[i].name);
		MfSendResult result;

		read_answer(cases[i].status, sample, &result);
		if (result.outcome != cases[i].outcome)
			fail_msg("%s, HTTP %ld: %s", cases[i].name, cases[i].status, mf_outcome_name(result.outcome));
		assert_string_equal(result.invoice_id, cases[i].invoice_id);
		assert_non_null(strstr(result.invoice_url, "https://demo.MyFatoorah.com/"));
		mf_send_result_free(&result);
		free(sample);
	}
}

/* What an answer has; every combination is tried at every status. */
typedef struct Answer
{
	int			success;		/* true, false, absent */
	int			invoice;		/* absent, a string, a number, 0, text */
	int			url;			/* absent, empty, a link */
	int			completed;		/* false, true, absent */
	int			echo;			/* absent, ours, other, null */
	int			errors;			/* none, a list */
} Answer;

static const char *const success_texts[] = {"\"IsSuccess\":true,", "\"IsSuccess\":false,", ""};
static const char *const invoice_texts[] = {"", (",\"InvoiceId\":\"" NUMBER "\""), (",\"InvoiceId\":" NUMBER),
	",\"InvoiceId\":0", ",\"InvoiceId\":\"x\""};
static const char *const url_texts[] = {"", ",\"PaymentURL\":\"\"", ",\"PaymentURL\":\"" LINK "\"",
	",\"PaymentURL\":\"javascript:alert(1)\""};
static const char *const completed_texts[] = {",\"PaymentCompleted\":false", ",\"PaymentCompleted\":true", ""};
static const char *const echo_texts[] = {"", ",\"TransactionDetails\":{\"Invoice\":{\"ExternalIdentifier\":\"" OURS "\"}}",
	",\"TransactionDetails\":{\"Invoice\":{\"ExternalIdentifier\":\"" OTHERS "\"}}",
	",\"TransactionDetails\":null"};
static const char *const error_texts[] = {"\"ValidationErrors\":null",
	"\"ValidationErrors\":[{\"Name\":\"Order.Amount\",\"Error\":\"must be more than 0\"}]"};

static MfOutcome
expected_outcome(const Answer *answer, int status)
{
	bool		proved = answer->success == 0 && (answer->invoice == 1 || answer->invoice == 2) && answer->url == 2 &&
		answer->completed == 0 && answer->echo != 2;
	bool		trace = answer->success == 0 || answer->invoice == 1 || answer->invoice == 2 || answer->invoice == 4 ||
		answer->url >= 2 || answer->echo == 1 || answer->echo == 2;

	if (status < 200)
		return MF_OUTCOME_UNKNOWN;
	if (proved && status < 300)
		return MF_OUTCOME_ACCEPTED;
	if (trace)
		return MF_OUTCOME_UNKNOWN;
	if (status == 429)
		return MF_OUTCOME_THROTTLED;
	if (status == 401 || status == 403 || status == 404 || (status >= 300 && status <= 399))
		return MF_OUTCOME_ACCOUNT_PROBLEM;
	if (status >= 400 && status <= 499 && status != 408 && answer->success == 1 && answer->errors == 1)
		return MF_OUTCOME_REJECTED;
	return MF_OUTCOME_UNKNOWN;
}

static void
check_answer(const Answer *answer)
{
	static const int statuses[] = {100, 199, 200, 201, 202, 299, 301, 399, 400, 401, 403, 404, 408, 409, 422, 429, 499, 500, 503, 599};
	char	   *body = text("{%s\"Message\":\"m\",%s,\"Data\":{\"x\":1%s%s%s%s}}", success_texts[answer->success],
							error_texts[answer->errors], invoice_texts[answer->invoice], url_texts[answer->url],
							completed_texts[answer->completed], echo_texts[answer->echo]);
	size_t		i;

	for (i = 0; i < LENGTH(statuses); i++)
	{
		MfSendResult result;

		read_answer(statuses[i], body, &result);
		if (result.outcome != expected_outcome(answer, statuses[i]))
			fail_msg("HTTP %d %s: %s instead of %s", statuses[i], body, mf_outcome_name(result.outcome),
					 mf_outcome_name(expected_outcome(answer, statuses[i])));
		assert_int_equal(result.error == NULL, result.outcome == MF_OUTCOME_ACCEPTED);
		/* whatever it proves, what it held is kept */
		assert_int_equal(result.invoice_id != NULL, answer->invoice == 1 || answer->invoice == 2);
		assert_int_equal(result.invoice_url != NULL, answer->url == 2);
		mf_send_result_free(&result);
	}
	free(body);
}

static void
test_every_answer(void **state)
{
	Answer		answer;

	(void) state;
	for (answer.success = 0; answer.success < 3; answer.success++)
		for (answer.invoice = 0; answer.invoice < 5; answer.invoice++)
			for (answer.url = 0; answer.url < 4; answer.url++)
				for (answer.completed = 0; answer.completed < 3; answer.completed++)
					for (answer.echo = 0; answer.echo < 4; answer.echo++)
						for (answer.errors = 0; answer.errors < 2; answer.errors++)
							check_answer(&answer);
}

/* An answer that came before the whole request was out belongs to no request that was made. */
static void
test_early_answer(void **state)
{
	char	   *sample = fixture("v3-create-payment.response.link.json");
	MfHttpExchange exchange = answered(201, sample);
	MfSendResult result;

	(void) state;
	exchange.body_sent = 99;
	mf_send_result_read(&mf_endpoints[MF_V3_CREATE_PAYMENT], &exchange, OURS, &result);
	assert_int_equal(result.outcome, MF_OUTCOME_UNKNOWN);
	mf_send_result_free(&result);
	free(exchange.response);
	free(sample);
}

/* The vendor's own example of a replay: both answers are equal, though the amounts are not. */
static void
test_replay_sample(void **state)
{
	char	   *sample = fixture("v3-create-payment.idempotency-replay.json");
	cJSON	   *root = mf_json_parse(sample, strlen(sample), NULL, NULL);
	char	   *answer = mf_json_print(mf_json_get(root, "response_to_both"));
	MfSendResult result;

	(void) state;
	read_answer(201, answer, &result);
	assert_string_equal(result.invoice_id, "6548530");
	mf_send_result_free(&result);
	free(answer);
	cJSON_Delete(root);
	free(sample);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_samples),
		cmocka_unit_test(test_all_fields),
		cmocka_unit_test(test_mobile),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_obstacles),
		cmocka_unit_test(test_bad_values),
		cmocka_unit_test(test_sample_answers),
		cmocka_unit_test(test_every_answer),
		cmocka_unit_test(test_early_answer),
		cmocka_unit_test(test_replay_sample),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
