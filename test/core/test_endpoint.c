/*
 * test_endpoint.c
 *	  The table of endpoints: paths, the shapes of answers, and what answers prove.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/core/test_endpoint.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "support.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/api/outcome.h"
#include "core/text/json.h"

/* Each entry is whole, and no two are the same. */
static void
test_table(void **state)
{
	int			i;
	int			j;

	(void) state;
	for (i = 0; i < MF_ENDPOINT_COUNT; i++)
	{
		const MfEndpoint *endpoint = &mf_endpoints[i];
		bool		traced = false;

		assert_non_null(endpoint->name);
		assert_true(strncmp(endpoint->path, "/v2/", 4) == 0 || strncmp(endpoint->path, "/v3/", 4) == 0);
		assert_true(endpoint->effect == MF_EFFECT_NONE || endpoint->verb != MF_HTTP_GET);
		assert_true(!endpoint->idempotency_key || endpoint->effect != MF_EFFECT_NONE);
		for (j = 0; j < MF_ENDPOINT_TRACES && endpoint->traces[j] != NULL; j++)
			traced = traced || (endpoint->effect == MF_EFFECT_CREATES && strcmp(endpoint->traces[j], endpoint->id) == 0);
		assert_int_equal(endpoint->effect == MF_EFFECT_CREATES, traced);
		assert_true(endpoint->effect != MF_EFFECT_CREATES || endpoint->id != NULL);
		assert_true(endpoint->effect != MF_EFFECT_NONE || endpoint->id == NULL);
		assert_true(endpoint->effect == MF_EFFECT_CREATES || (endpoint->url == NULL && endpoint->echo == NULL));
		for (j = 0; j < i; j++)
			assert_false(strcmp(endpoint->path, mf_endpoints[j].path) == 0 && endpoint->verb == mf_endpoints[j].verb);
	}
}

/* A value cannot leave its place in the path, whatever it contains. */
static void
test_paths(void **state)
{
	static const struct
	{
		MfEndpointNumber endpoint;
		const char *value;
		const char *path;
	}			cases[] = {
		{MF_SEND_PAYMENT, NULL, "/v2/SendPayment"},
		{MF_CANCEL_RECURRING_PAYMENT, "RECUR_1-a", "/v2/CancelRecurringPayment?recurringId=RECUR_1-a"},
		{MF_CANCEL_RECURRING_PAYMENT, "..", "/v2/CancelRecurringPayment?recurringId=.."},
		{MF_CANCEL_RECURRING_PAYMENT, "a/b?c#d%e f", "/v2/CancelRecurringPayment?recurringId=a%2Fb%3Fc%23d%25e%20f"},
		{MF_CANCEL_RECURRING_PAYMENT, "RECUR1&x=\r\n", "/v2/CancelRecurringPayment?recurringId=RECUR1%26x%3D%0D%0A"},
		{MF_RESUME_RECURRING_PAYMENT, "\xD8\xB1", "/v2/ResumeRecurringPayment?recurringId=%D8%B1"},
	};
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(cases); i++)
	{
		char	   *path = mf_endpoint_path(&mf_endpoints[cases[i].endpoint], cases[i].value);

		assert_string_equal(path, cases[i].path);
		free(path);
	}
}

static void
check_shape(const char *name, MfEndpointNumber number, const char *body, int is_success, int kind)
{
	MfEnvelope	envelope;

	assert_true(mf_envelope_read(&mf_endpoints[number], body, strlen(body), NULL, &envelope));
	if (envelope.is_success != is_success)
		fail_msg("%s: success is %d: %s", name, envelope.is_success, body);
	if (kind != 0 && (envelope.data == NULL || (envelope.data->type & 0xFF) != kind))
		fail_msg("%s: data is of another kind: %s", name, body);
	assert_int_equal(envelope.error != NULL, is_success != 1);
	mf_envelope_free(&envelope);
}

/* Success in each shape, as MyFatoorah's documentation shows it */
static void
test_shape_samples(void **state)
{
	static const struct
	{
		const char *fixture;
		MfEndpointNumber endpoint;
		int			kind;
	}			cases[] = {
		{"cancel-recurring-payment.response.json", MF_CANCEL_RECURRING_PAYMENT, cJSON_True},
		{"get-currencies-exchange-list.response.json", MF_GET_EXCHANGE_RATES, cJSON_Array},
		{"get-deposited-invoices.response.vendor.json", MF_GET_DEPOSITED_INVOICES, cJSON_Array},
		{"get-deposited-invoices.response.supplier.json", MF_GET_DEPOSITED_INVOICES, cJSON_Array},
		{"initiate-payment.response.json", MF_INITIATE_PAYMENT, cJSON_Object},
		{"get-recurring-payment.response.json", MF_GET_RECURRING_PAYMENT, cJSON_Object},
		{"execute-payment.response.json", MF_EXECUTE_PAYMENT, cJSON_Object},
		{"get-suppliers.response.json", MF_GET_SUPPLIERS, cJSON_Array},
		{"make-refund.response.json", MF_MAKE_REFUND, cJSON_Object},
		{"make-supplier-refund.response.json", MF_MAKE_SUPPLIER_REFUND, cJSON_Object},
		/* FieldsErrors in place of ValidationErrors, and no data at all */
		{"transfer-balance.response.json", MF_SEND_PAYMENT, cJSON_Object},
		{"register-apple-pay-domain.response.json", MF_SEND_PAYMENT, cJSON_NULL},
		{"v3-create-payment.response.link.json", MF_V3_CREATE_PAYMENT, cJSON_Object},
		{"cancel-token.response.json", MF_RESUME_RECURRING_PAYMENT, cJSON_True},
		{"get-supplier-documents.response.json", MF_GET_SUPPLIERS, cJSON_Array},
		{"get-refund-status.response.amount-differs.json", MF_GET_REFUND_STATUS, cJSON_Object},
		{"get-webhooks.response.json", MF_GET_WEBHOOKS, cJSON_Object},
		{"get-payment-status.response.paid-single.json", MF_GET_PAYMENT_STATUS, cJSON_Object},
		{"update-payment-status.response.captured.json", MF_UPDATE_PAYMENT_STATUS, cJSON_Object},
		{"update-payment-status.response.captured-reference-page.json", MF_UPDATE_PAYMENT_STATUS, cJSON_Object},
	};
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(cases); i++)
	{
		char	   *sample = fixture(cases[i].fixture);

		check_shape(cases[i].fixture, cases[i].endpoint, sample, 1, cases[i].kind);
		free(sample);
	}
}

/* Neither Message nor the name of the list of errors decides anything, at any endpoint. */
static void
test_envelopes(void **state)
{
	static const char *const messages[] = {"null", "\"\"", "\"OK\"", "\"Invoice Created Successfully!\"", "\"No data match the provided values\""};
	static const char *const lists[] = {"ValidationErrors", "FieldsErrors"};
	static const struct
	{
		const char *before;		/* the message */
		const char *after;
	}			success[] = {
		[MF_SHAPE_BARE_ARRAY] = {"[{\"Message\":", "}]"},
		[MF_SHAPE_BOOLEAN] = {"{\"IsSuccess\":true,\"Message\":", ",\"Data\":true}"},
		[MF_SHAPE_DATA] = {"{\"IsSuccess\":true,\"Message\":", ",\"Data\":{\"a\":1}}"},
	};
	int			i;
	size_t		k;
	size_t		l;

	(void) state;
	for (i = 0; i < MF_ENDPOINT_COUNT; i++)
	{
		for (k = 0; k < LENGTH(messages); k++)
		{
			MfShape		shape = mf_endpoints[i].shape;
			char	   *body = text("%s%s%s", success[shape].before, messages[k], success[shape].after);

			check_shape(mf_endpoints[i].name, (MfEndpointNumber) i, body, 1, 0);
			free(body);
			for (l = 0; l < LENGTH(lists); l++)
			{
				MfEnvelope	envelope;

				body = text("{\"IsSuccess\":false,\"Message\":%s,\"%s\":[{\"Name\":\"a\",\"Error\":\"b\"}],\"Data\":%s}", messages[k], lists[l],
							shape == MF_SHAPE_BOOLEAN ? "false" : "null");
				assert_true(mf_envelope_read(&mf_endpoints[i], body, strlen(body), NULL, &envelope));
				assert_int_equal(envelope.is_success, 0);
				assert_true(envelope.names_errors);
				assert_false(envelope.names_made);
				assert_string_equal(envelope.error, "a: b");
				mf_envelope_free(&envelope);
				free(body);
			}
		}
	}
}

/* What is no success in a shape, whatever it would be in another */
static void
test_shapes(void **state)
{
	static const struct
	{
		MfEndpointNumber endpoint;
		const char *body;
		int			is_success;
	}			cases[] = {
		/* a boolean decides with IsSuccess */
		{MF_CANCEL_RECURRING_PAYMENT, "{\"IsSuccess\":true,\"Data\":false}", 0},
		{MF_CANCEL_RECURRING_PAYMENT, "{\"IsSuccess\":true,\"Data\":null}", -1},
		{MF_CANCEL_RECURRING_PAYMENT, "{\"IsSuccess\":true}", -1},
		{MF_CANCEL_RECURRING_PAYMENT, "{\"IsSuccess\":true,\"Data\":\"true\"}", -1},
		{MF_RESUME_RECURRING_PAYMENT, "{\"IsSuccess\":false,\"ValidationErrors\":[{\"Name\":\"a\",\"Error\":\"b\"}],\"Data\":false}", 0},
		{MF_RESUME_RECURRING_PAYMENT, "true", -1},

		/* bare arrays, and errors in their place */
		{MF_GET_EXCHANGE_RATES, "[]", 1},
		{MF_GET_EXCHANGE_RATES, "{}", -1},
		{MF_GET_EXCHANGE_RATES, "null", -1},
		{MF_GET_EXCHANGE_RATES, "{\"IsSuccess\":false,\"Message\":\"no\"}", 0},
		{MF_GET_EXCHANGE_RATES, "{\"IsSuccess\":true,\"Data\":[]}", 1},
		{MF_GET_PAYMENT_STATUS, "[]", -1},
		{MF_GET_PAYMENT_STATUS, "{\"SupplierCode\":1}", -1},
	};
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(cases); i++)
		check_shape(mf_endpoints[cases[i].endpoint].name, cases[i].endpoint, cases[i].body, cases[i].is_success, 0);
}

/* A bare body proves nothing with a status that reports an error. */
static void
test_bare_errors(void **state)
{
	static const long statuses[] = {400, 404, 500, 301};
	static const char *const bodies[] = {"[]", "[{\"Value\":\"1.0\",\"Text\":\"KWD\"}]"};
	size_t		i;
	size_t		k;

	(void) state;
	for (i = 0; i < 4; i++)
	{
		for (k = 0; k < 2; k++)
		{
			MfHttpExchange exchange = answered(statuses[i], bodies[k]);
			MfEnvelope	envelope;
			MfLookupResult result;

			assert_false(mf_lookup_read(&mf_endpoints[MF_GET_EXCHANGE_RATES], &exchange, &envelope, &result));
			assert_int_not_equal(result.lookup, MF_LOOKUP_FOUND);
			assert_non_null(result.error);
			mf_envelope_free(&envelope);
			mf_lookup_free(&result);
			free(exchange.response);
		}
	}
}

/* The plan that an answer of ExecutePayment begins, and whether its URL is a page */
static void
test_execute_answers(void **state)
{
	static const struct
	{
		const char *fixture;	/* NULL: */
		const char *body;
		const char *reference;
		const char *id;
		const char *recurring_id;
		bool		page;
	}			cases[] = {
		{"execute-payment.response.json", NULL, "noshipping-nosupplier", "6424703", NULL, true},
		{"execute-payment.response.recurring.json", NULL, NULL, "4283360", "RECUR121809320", true},
		{NULL, "{\"IsSuccess\":true,\"Data\":{\"InvoiceId\":7,\"IsDirectPayment\":true,\"PaymentURL\":\"https://x/v2/DirectPayment/1/2\",\"CustomerReference\":\"mf-1\",\"RecurringId\":null}}",
		"mf-1", "7", NULL, false},
	};
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(cases); i++)
	{
		char	   *body = cases[i].fixture != NULL ? fixture(cases[i].fixture) : strdup(cases[i].body);
		MfHttpExchange exchange = answered(200, body);
		MfSendResult result;

		free(body);
		mf_send_result_read(&mf_endpoints[MF_EXECUTE_PAYMENT], &exchange, cases[i].reference, &result);
		assert_int_equal(result.outcome, MF_OUTCOME_ACCEPTED);
		assert_string_equal(result.invoice_id, cases[i].id);
		assert_int_equal(result.invoice_url != NULL && strstr(result.invoice_url, "/PayInvoice/Checkout?") != NULL, cases[i].page);
		if (cases[i].recurring_id == NULL)
			assert_null(result.recurring_id);
		else
			assert_string_equal(result.recurring_id, cases[i].recurring_id);
		mf_send_result_free(&result);
		free(exchange.response);
	}
}

/* What the answer of an endpoint that makes something proves */
static void
test_create_results(void **state)
{
	static const struct
	{
		MfEndpointNumber endpoint;
		long		status;
		const char *body;
		MfOutcome	outcome;
		const char *id;
	}			cases[] = {
		{MF_EXECUTE_PAYMENT, 200, "{\"IsSuccess\":true,\"Data\":{\"InvoiceId\":7,\"PaymentURL\":\"https://x/7\",\"CustomerReference\":\"mf-1\"}}",
		MF_OUTCOME_ACCEPTED, "7"},
		{MF_EXECUTE_PAYMENT, 200, "{\"IsSuccess\":true,\"Data\":{\"InvoiceId\":7,\"CustomerReference\":\"mf-2\"}}", MF_OUTCOME_UNKNOWN, "7"},
		{MF_EXECUTE_PAYMENT, 400, "{\"IsSuccess\":false,\"ValidationErrors\":[{\"Name\":\"a\",\"Error\":\"b\"}],\"Data\":{\"RecurringId\":\"RECUR1\"}}",
		MF_OUTCOME_UNKNOWN, NULL},
		{MF_EXECUTE_PAYMENT, 400, "{\"IsSuccess\":false,\"ValidationErrors\":[{\"Name\":\"a\",\"Error\":\"b\"}],\"Data\":{\"RecurringId\":\"\"}}",
		MF_OUTCOME_REJECTED, NULL},

		/* a refund's error may name the invoice that it is of, which proves nothing */
		{MF_MAKE_REFUND, 200, "{\"IsSuccess\":true,\"Data\":{\"RefundId\":5,\"ExternalIdentifier\":\"mf-1\"}}", MF_OUTCOME_ACCEPTED, "5"},
		{MF_MAKE_REFUND, 200, "{\"IsSuccess\":true,\"Data\":{\"RefundId\":5}}", MF_OUTCOME_UNKNOWN, "5"},
		{MF_MAKE_REFUND, 400, "{\"IsSuccess\":false,\"ValidationErrors\":[{\"Name\":\"Key\",\"Error\":\"The transaction is already under processing!\"}],\"Data\":{\"InvoiceId\":9}}",
		MF_OUTCOME_REJECTED, NULL},
		{MF_MAKE_REFUND, 400, "{\"IsSuccess\":false,\"ValidationErrors\":[{\"Name\":\"a\",\"Error\":\"b\"}],\"Data\":{\"RefundReference\":\"2023000001\"}}",
		MF_OUTCOME_UNKNOWN, NULL},
		{MF_MAKE_REFUND, 500, "{\"IsSuccess\":false,\"ValidationErrors\":[{\"Name\":\"a\",\"Error\":\"b\"}]}", MF_OUTCOME_UNKNOWN, NULL},

		/* ids of V3 are texts, and nothing is echoed: all of the answer has to be there (test_create_payment) */
		{MF_V3_CREATE_PAYMENT, 201, "{\"IsSuccess\":true,\"Data\":{\"InvoiceId\":\"8\",\"PaymentURL\":\"https://x/8\",\"PaymentCompleted\":false}}",
		MF_OUTCOME_ACCEPTED, "8"},
		{MF_V3_CREATE_PAYMENT, 201, "{\"IsSuccess\":true,\"Data\":{\"InvoiceId\":\"8\",\"PaymentURL\":\"https://x/8\"}}", MF_OUTCOME_UNKNOWN, "8"},
		{MF_V3_CREATE_PAYMENT, 201, "{\"IsSuccess\":true,\"PaymentURL\":\"https://x/8\",\"Data\":{\"InvoiceId\":\"8\",\"PaymentCompleted\":false}}", MF_OUTCOME_UNKNOWN, "8"},
		{MF_SEND_PAYMENT, 200, "{\"IsSuccess\":true,\"Data\":{\"InvoiceId\":\"8\",\"CustomerReference\":\"mf-1\"}}", MF_OUTCOME_UNKNOWN, "8"},
	};
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(cases); i++)
	{
		MfHttpExchange exchange = answered(cases[i].status, cases[i].body);
		MfSendResult result;

		mf_send_result_read(&mf_endpoints[cases[i].endpoint], &exchange, "mf-1", &result);
		if (result.outcome != cases[i].outcome)
			fail_msg("%s: %s", cases[i].body, mf_outcome_name(result.outcome));
		if (cases[i].id == NULL)
			assert_null(result.invoice_id);
		else
			assert_string_equal(result.invoice_id, cases[i].id);
		mf_send_result_free(&result);
		free(exchange.response);
	}
}

/* A request that changes an invoice is proved by the answer about that invoice, in either published form. */
static void
test_change_results(void **state)
{
	static const char *const fixtures[] = {"update-payment-status.response.captured.json",
	"update-payment-status.response.captured-reference-page.json"};
	static const struct
	{
		const char *subject;
		long		status;
		size_t		body_sent;
		MfOutcome	outcome;
	}			cases[] = {
		{"5822983", 200, 100, MF_OUTCOME_ACCEPTED},
		{"5822984", 200, 100, MF_OUTCOME_UNKNOWN},
		{"5822983", 200, 99, MF_OUTCOME_UNKNOWN},
		{"5822983", 400, 100, MF_OUTCOME_UNKNOWN},
		{"5822983", 429, 100, MF_OUTCOME_UNKNOWN},
		{"5822983", 500, 100, MF_OUTCOME_UNKNOWN},
	};
	size_t		i;
	size_t		k;

	(void) state;
	for (k = 0; k < LENGTH(fixtures); k++)
	{
		for (i = 0; i < LENGTH(cases); i++)
		{
			char	   *body = fixture(fixtures[k]);
			MfHttpExchange exchange = answered(cases[i].status, body);
			MfSendResult result;

			free(body);
			exchange.body_sent = cases[i].body_sent;
			mf_send_result_read(&mf_endpoints[MF_UPDATE_PAYMENT_STATUS], &exchange, cases[i].subject, &result);
			if (result.outcome != cases[i].outcome)
				fail_msg("%s, case %zu: %s", fixtures[k], i, mf_outcome_name(result.outcome));
			assert_int_equal(result.error == NULL, result.outcome == MF_OUTCOME_ACCEPTED);
			/* it has made nothing that could be looked up by it */
			assert_null(result.invoice_id);
			mf_send_result_free(&result);
			free(exchange.response);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_shape_samples),
		cmocka_unit_test(test_envelopes),
		cmocka_unit_test(test_shapes),
		cmocka_unit_test(test_bare_errors),
		cmocka_unit_test(test_create_results),
		cmocka_unit_test(test_execute_answers),
		cmocka_unit_test(test_change_results),
	};

	return cmocka_run_group_tests_name("endpoint", tests, NULL, NULL);
}
