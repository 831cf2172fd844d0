/*
 * test_outcome.c
 *	  Evidence and answer give an outcome, row by row.
 *
 * The exchanges are made up here; test_http_faults.c shows that real ones look
 * the same.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/core/test_outcome.c
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
#include "core/text/text.h"

#define REFERENCE "mf-1"

#define ACCEPTED "{\"IsSuccess\":true,\"Data\":{\"InvoiceId\":6345386,\"InvoiceURL\":\"https://x/1\",\"CustomerReference\":\"mf-1\",\"UserDefinedField\":\"u\"}}"
#define REFUSED "{\"IsSuccess\":false,\"Message\":\"Invalid data\",\"ValidationErrors\":[{\"Name\":\"InvoiceValue\",\"Error\":\"must be more than 0\"}],\"Data\":null}"
#define HTML "<html><head><title>403 Forbidden</title></head></html>"
#define FOUND "{\"IsSuccess\":true,\"Data\":{\"InvoiceId\":6424733,\"InvoiceStatus\":\"Paid\",\"InvoiceValue\":1,\"CustomerReference\":\"mf-1\"}}"
#define NO_DATA "{\"IsSuccess\":false,\"Message\":\"No data match the provided values\",\"ValidationErrors\":null,\"Data\":null}"

/* How far the request got */
typedef enum Stage
{
	UNCONNECTED,				/* the gate was not reached */
	STOPPED,					/* the gate refused */
	PASSED,						/* libcurl has written nothing of the body */
	CUT,						/* a part of it */
	WHOLE						/* all of it */
} Stage;

static void
make_exchange(MfHttpExchange *exchange, Stage stage, int code, long status, const char *body)
{
	*exchange = answered(status, body);
	exchange->gate_reached = (stage >= STOPPED);
	exchange->gate_passed = (stage >= PASSED);
	exchange->body_sent = stage == WHOLE ? 100 : stage == CUT ? 50 : 0;
	exchange->curl_code = code;
}

static void
check_send(int line, const MfHttpExchange *exchange, const char *reference, MfOutcome expected)
{
	MfSendResult result;

	mf_send_result_read(&mf_endpoints[MF_SEND_PAYMENT], exchange, reference, &result);
	if (result.outcome != expected)
		fail_msg("line %d: %s instead of %s (%s)", line, mf_outcome_name(result.outcome),
				 mf_outcome_name(expected), result.error ? result.error : "no error");
	assert_int_equal(result.error == NULL, expected == MF_OUTCOME_ACCEPTED);
	if (expected == MF_OUTCOME_ACCEPTED)
		assert_non_null(result.invoice_id);
	else
		assert_null(strchr(result.error, '\n'));
	mf_send_result_free(&result);
	assert_null(result.error);
}

static void
check_status(int line, const MfHttpExchange *exchange, MfLookup expected, bool not_sent)
{
	MfStatusResult result;

	mf_status_result_read(exchange, &result);
	if (result.base.lookup != expected || result.base.not_sent != not_sent)
		fail_msg("line %d: lookup %d instead of %d (%s)", line, result.base.lookup, expected,
				 result.base.error ? result.base.error : "no error");
	assert_int_equal(result.base.error == NULL, expected == MF_LOOKUP_FOUND);
	assert_int_equal(result.values[MF_PS_INVOICE_ID] != NULL, expected == MF_LOOKUP_FOUND);
	mf_status_result_free(&result);
	mf_status_result_free(&result);
}

/* ----------
 * Section 3: the evidence, no whole answer
 * ----------
 */

static void
test_evidence(void **state)
{
	static const struct
	{
		int			line;
		Stage		stage;
		int			code;
		long		status;
		const char *body;
		bool		truncated;
		MfOutcome	outcome;
	}			cases[] = {
		/* nothing left */
		{__LINE__, UNCONNECTED, CURLE_COULDNT_RESOLVE_HOST, 0, "", false, MF_OUTCOME_NOT_SENT},
		{__LINE__, UNCONNECTED, CURLE_COULDNT_CONNECT, 0, "", false, MF_OUTCOME_NOT_SENT},
		{__LINE__, UNCONNECTED, CURLE_PEER_FAILED_VERIFICATION, 0, "", false, MF_OUTCOME_NOT_SENT},
		{__LINE__, UNCONNECTED, CURLE_SSL_CONNECT_ERROR, 0, "", false, MF_OUTCOME_NOT_SENT},
		{__LINE__, UNCONNECTED, CURLE_OPERATION_TIMEDOUT, 0, "", false, MF_OUTCOME_NOT_SENT},
		{__LINE__, UNCONNECTED, CURLE_URL_MALFORMAT, 0, "", false, MF_OUTCOME_NOT_SENT},
		{__LINE__, UNCONNECTED, CURLE_OUT_OF_MEMORY, 0, "", false, MF_OUTCOME_NOT_SENT},
		{__LINE__, STOPPED, CURLE_ABORTED_BY_CALLBACK, 0, "", false, MF_OUTCOME_NOT_SENT},
		/* behind the gate, whatever libcurl says it has written */
		{__LINE__, PASSED, CURLE_SEND_ERROR, 0, "", false, MF_OUTCOME_UNKNOWN},
		{__LINE__, PASSED, CURLE_OPERATION_TIMEDOUT, 0, "", false, MF_OUTCOME_UNKNOWN},
		{__LINE__, PASSED, CURLE_GOT_NOTHING, 0, "", false, MF_OUTCOME_UNKNOWN},
		{__LINE__, CUT, CURLE_COULDNT_RESOLVE_HOST, 0, "", false, MF_OUTCOME_UNKNOWN},
		{__LINE__, CUT, CURLE_COULDNT_CONNECT, 0, "", false, MF_OUTCOME_UNKNOWN},
		{__LINE__, CUT, CURLE_SSL_CONNECT_ERROR, 0, "", false, MF_OUTCOME_UNKNOWN},
		{__LINE__, CUT, CURLE_ABORTED_BY_CALLBACK, 0, "", false, MF_OUTCOME_UNKNOWN},
		{__LINE__, CUT, CURLE_SEND_ERROR, 0, "", false, MF_OUTCOME_UNKNOWN},
		{__LINE__, CUT, CURLE_OPERATION_TIMEDOUT, 0, "", false, MF_OUTCOME_UNKNOWN},
		{__LINE__, WHOLE, CURLE_OPERATION_TIMEDOUT, 0, "", false, MF_OUTCOME_UNKNOWN},
		{__LINE__, WHOLE, CURLE_GOT_NOTHING, 0, "", false, MF_OUTCOME_UNKNOWN},
		{__LINE__, WHOLE, CURLE_RECV_ERROR, 0, "", false, MF_OUTCOME_UNKNOWN},
		{__LINE__, WHOLE, CURLE_UNSUPPORTED_PROTOCOL, 0, "", false, MF_OUTCOME_UNKNOWN},
		{__LINE__, WHOLE, CURLE_SEND_FAIL_REWIND, 0, "", false, MF_OUTCOME_UNKNOWN},
		{__LINE__, WHOLE, CURLE_FAILED_INIT, 0, "", false, MF_OUTCOME_UNKNOWN},
		{__LINE__, WHOLE, CURLE_OK, 0, "", false, MF_OUTCOME_UNKNOWN},
		/* headers cut off: status 200, no body */
		{__LINE__, WHOLE, CURLE_OK, 200, "", false, MF_OUTCOME_UNKNOWN},
		{__LINE__, WHOLE, CURLE_PARTIAL_FILE, 200, "", false, MF_OUTCOME_UNKNOWN},
		/* an answer that did not end, however it looks */
		{__LINE__, WHOLE, CURLE_PARTIAL_FILE, 200, ACCEPTED, false, MF_OUTCOME_UNKNOWN},
		{__LINE__, WHOLE, CURLE_OPERATION_TIMEDOUT, 200, ACCEPTED, false, MF_OUTCOME_UNKNOWN},
		{__LINE__, WHOLE, CURLE_RECV_ERROR, 400, REFUSED, false, MF_OUTCOME_UNKNOWN},
		{__LINE__, WHOLE, CURLE_PARTIAL_FILE, 401, "", false, MF_OUTCOME_UNKNOWN},
		{__LINE__, WHOLE, CURLE_PARTIAL_FILE, 429, "", false, MF_OUTCOME_UNKNOWN},
		{__LINE__, WHOLE, CURLE_WRITE_ERROR, 200, ACCEPTED, true, MF_OUTCOME_UNKNOWN},
		{__LINE__, WHOLE, CURLE_OK, 200, ACCEPTED, true, MF_OUTCOME_UNKNOWN},
		{__LINE__, WHOLE, CURLE_OK, 401, "", true, MF_OUTCOME_UNKNOWN},
		{__LINE__, WHOLE, CURLE_OK, 100, "", false, MF_OUTCOME_UNKNOWN},
	};
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(cases); i++)
	{
		MfHttpExchange exchange;

		make_exchange(&exchange, cases[i].stage, cases[i].code, cases[i].status, cases[i].body);
		exchange.truncated = cases[i].truncated;
		check_send(cases[i].line, &exchange, REFERENCE, cases[i].outcome);
		check_status(cases[i].line, &exchange,
					 cases[i].code == CURLE_OK && cases[i].status == 200 && !cases[i].truncated ? MF_LOOKUP_INCONCLUSIVE :
					 MF_LOOKUP_FAILED, cases[i].outcome == MF_OUTCOME_NOT_SENT);
		free(exchange.response);
	}
}

/* Every code of libcurl at every stage: only the stage counts. */
static void
test_every_code(void **state)
{
	int			code;
	int			stage;

	(void) state;
	for (code = 1; code < CURL_LAST; code++)
	{
		for (stage = UNCONNECTED; stage <= WHOLE; stage++)
		{
			MfHttpExchange exchange;

			make_exchange(&exchange, (Stage) stage, code, 0, "");
			check_send(code, &exchange, REFERENCE, stage < PASSED ? MF_OUTCOME_NOT_SENT : MF_OUTCOME_UNKNOWN);
			free(exchange.response);
			make_exchange(&exchange, (Stage) stage, code, 200, ACCEPTED);
			check_send(code, &exchange, REFERENCE, MF_OUTCOME_UNKNOWN);
			free(exchange.response);
		}
	}
}

/* ----------
 * Section 4: whole answers
 * ----------
 */

static void
test_answers(void **state)
{
	static const struct
	{
		int			line;
		long		status;
		const char *body;
		MfOutcome	outcome;
	}			cases[] = {
		/* 2xx that proves the invoice */
		{__LINE__, 200, ACCEPTED, MF_OUTCOME_ACCEPTED},
		{__LINE__, 201, ACCEPTED, MF_OUTCOME_ACCEPTED},
		{__LINE__, 200, "{\"IsSuccess\":true,\"Data\":{\"InvoiceId\":1,\"CustomerReference\":\"mf-1\"}}", MF_OUTCOME_ACCEPTED},
		{__LINE__, 200, "{\"IsSuccess\":true,\"Data\":{\"InvoiceId\":123456789012345678,\"CustomerReference\":\"mf-1\"}}", MF_OUTCOME_ACCEPTED},
		/* 2xx but not that */
		{__LINE__, 200, "", MF_OUTCOME_UNKNOWN},
		{__LINE__, 204, "", MF_OUTCOME_UNKNOWN},
		{__LINE__, 200, HTML, MF_OUTCOME_UNKNOWN},
		{__LINE__, 200, REFUSED, MF_OUTCOME_UNKNOWN},
		{__LINE__, 200, ACCEPTED "x", MF_OUTCOME_UNKNOWN},
		{__LINE__, 200, "{\"IsSuccess\":true}", MF_OUTCOME_UNKNOWN},
		{__LINE__, 200, "{\"IsSuccess\":true,\"Data\":null}", MF_OUTCOME_UNKNOWN},
		{__LINE__, 200, "{\"IsSuccess\":true,\"Data\":[{\"InvoiceId\":1,\"CustomerReference\":\"mf-1\"}]}", MF_OUTCOME_UNKNOWN},
		{__LINE__, 200, "{\"IsSuccess\":\"true\",\"Data\":{\"InvoiceId\":1,\"CustomerReference\":\"mf-1\"}}", MF_OUTCOME_UNKNOWN},
		{__LINE__, 200, "{\"Data\":{\"InvoiceId\":1,\"CustomerReference\":\"mf-1\"}}", MF_OUTCOME_UNKNOWN},
		{__LINE__, 200, "{\"IsSuccess\":true,\"Data\":{\"CustomerReference\":\"mf-1\"}}", MF_OUTCOME_UNKNOWN},
		{__LINE__, 200, "{\"IsSuccess\":true,\"Data\":{\"InvoiceId\":null,\"CustomerReference\":\"mf-1\"}}", MF_OUTCOME_UNKNOWN},
		{__LINE__, 200, "{\"IsSuccess\":true,\"Data\":{\"InvoiceId\":0,\"CustomerReference\":\"mf-1\"}}", MF_OUTCOME_UNKNOWN},
		{__LINE__, 200, "{\"IsSuccess\":true,\"Data\":{\"InvoiceId\":-5,\"CustomerReference\":\"mf-1\"}}", MF_OUTCOME_UNKNOWN},
		{__LINE__, 200, "{\"IsSuccess\":true,\"Data\":{\"InvoiceId\":1.0,\"CustomerReference\":\"mf-1\"}}", MF_OUTCOME_UNKNOWN},
		{__LINE__, 200, "{\"IsSuccess\":true,\"Data\":{\"InvoiceId\":1e3,\"CustomerReference\":\"mf-1\"}}", MF_OUTCOME_UNKNOWN},
		{__LINE__, 200, "{\"IsSuccess\":true,\"Data\":{\"InvoiceId\":\"12\",\"CustomerReference\":\"mf-1\"}}", MF_OUTCOME_UNKNOWN},
		{__LINE__, 200, "{\"IsSuccess\":true,\"Data\":{\"InvoiceId\":1234567890123456789,\"CustomerReference\":\"mf-1\"}}", MF_OUTCOME_UNKNOWN},
		{__LINE__, 200, "{\"IsSuccess\":true,\"Data\":{\"InvoiceId\":1,\"CustomerReference\":null}}", MF_OUTCOME_UNKNOWN},
		{__LINE__, 200, "{\"IsSuccess\":true,\"Data\":{\"InvoiceId\":1}}", MF_OUTCOME_UNKNOWN},
		{__LINE__, 200, "{\"IsSuccess\":true,\"Data\":{\"InvoiceId\":1,\"CustomerReference\":\"mf-2\"}}", MF_OUTCOME_UNKNOWN},
		{__LINE__, 200, "{\"IsSuccess\":true,\"Data\":{\"InvoiceId\":1,\"CustomerReference\":\"MF-1\"}}", MF_OUTCOME_UNKNOWN},
		{__LINE__, 200, "{\"IsSuccess\":true,\"Data\":{\"InvoiceId\":1,\"CustomerReference\":\"mf-1~2\"}}", MF_OUTCOME_UNKNOWN},
		{__LINE__, 200, "{\"IsSuccess\":true,\"Data\":{\"InvoiceId\":1,\"InvoiceId\":2,\"CustomerReference\":\"mf-1\"}}", MF_OUTCOME_UNKNOWN},
		/* definite refusals */
		{__LINE__, 400, REFUSED, MF_OUTCOME_REJECTED},
		{__LINE__, 402, REFUSED, MF_OUTCOME_REJECTED},
		{__LINE__, 405, REFUSED, MF_OUTCOME_REJECTED},
		{__LINE__, 409, REFUSED, MF_OUTCOME_REJECTED},
		{__LINE__, 413, REFUSED, MF_OUTCOME_REJECTED},
		{__LINE__, 422, REFUSED, MF_OUTCOME_REJECTED},
		{__LINE__, 499, REFUSED, MF_OUTCOME_REJECTED},
		{__LINE__, 400, "{\"IsSuccess\":false,\"FieldsErrors\":[{\"Name\":\"Key\",\"Error\":\"\"}]}", MF_OUTCOME_REJECTED},
		{__LINE__, 400, "{\"IsSuccess\":false,\"Data\":{\"ErrorMessage\":\"not made\",\"InvoiceId\":0,\"InvoiceURL\":null}}", MF_OUTCOME_REJECTED},
		{__LINE__, 400, "{\"IsSuccess\":false,\"Data\":false,\"ValidationErrors\":[{\"Name\":\"InvoiceId\",\"Error\":\"InvoiceId?\"}]}", MF_OUTCOME_REJECTED},
		/* 4xx without MyFatoorah's word for it */
		{__LINE__, 400, "{\"IsSuccess\":false}", MF_OUTCOME_UNKNOWN},
		{__LINE__, 400, "{\"IsSuccess\":false,\"Message\":\"Invalid data\",\"ValidationErrors\":[]}", MF_OUTCOME_UNKNOWN},
		{__LINE__, 400, "{\"IsSuccess\":false,\"Message\":\"Invalid data\",\"ValidationErrors\":[{}],\"Data\":{\"ErrorMessage\":\"\"}}", MF_OUTCOME_UNKNOWN},
		{__LINE__, 400, "{\"IsSuccess\":false,\"ValidationErrors\":\"bad\"}", MF_OUTCOME_UNKNOWN},
		{__LINE__, 400, "{\"ValidationErrors\":[{\"Name\":\"a\",\"Error\":\"b\"}]}", MF_OUTCOME_UNKNOWN},
		/* a refusal that names an invoice anywhere */
		{__LINE__, 400, "{\"IsSuccess\":false,\"ValidationErrors\":[{\"Name\":\"a\",\"Error\":\"b\"}],\"Data\":{\"InvoiceId\":7}}", MF_OUTCOME_UNKNOWN},
		{__LINE__, 400, "{\"IsSuccess\":false,\"ValidationErrors\":[{\"Name\":\"a\",\"Error\":\"b\",\"Context\":{\"invoiceurl\":\"x\"}}]}", MF_OUTCOME_UNKNOWN},
		{__LINE__, 401, "{\"invoiceReference\":\"2026000012\"}", MF_OUTCOME_UNKNOWN},
		{__LINE__, 404, "<pre>{\"InvoiceId\":12", MF_OUTCOME_UNKNOWN},
		{__LINE__, 302, "{\"IsSuccess\":true}", MF_OUTCOME_UNKNOWN},
		{__LINE__, 403, ACCEPTED, MF_OUTCOME_UNKNOWN},
		{__LINE__, 429, ACCEPTED, MF_OUTCOME_UNKNOWN},
		{__LINE__, 400, "", MF_OUTCOME_UNKNOWN},
		{__LINE__, 400, HTML, MF_OUTCOME_UNKNOWN},
		{__LINE__, 400, "{\"Message\":\"bad\"}", MF_OUTCOME_UNKNOWN},
		{__LINE__, 400, "{\"IsSuccess\":\"false\"}", MF_OUTCOME_UNKNOWN},
		{__LINE__, 400, "\"bad\"", MF_OUTCOME_UNKNOWN},
		{__LINE__, 400, ACCEPTED, MF_OUTCOME_UNKNOWN},
		{__LINE__, 413, "", MF_OUTCOME_UNKNOWN},
		/* the account's problem, by the status alone */
		{__LINE__, 401, REFUSED, MF_OUTCOME_ACCOUNT_PROBLEM},
		{__LINE__, 401, "", MF_OUTCOME_ACCOUNT_PROBLEM},
		{__LINE__, 401, HTML, MF_OUTCOME_ACCOUNT_PROBLEM},
		{__LINE__, 403, REFUSED, MF_OUTCOME_ACCOUNT_PROBLEM},
		{__LINE__, 403, HTML, MF_OUTCOME_ACCOUNT_PROBLEM},
		{__LINE__, 403, "", MF_OUTCOME_ACCOUNT_PROBLEM},
		{__LINE__, 404, "{\"Message\":\"No HTTP resource was found\"}", MF_OUTCOME_ACCOUNT_PROBLEM},
		{__LINE__, 404, "", MF_OUTCOME_ACCOUNT_PROBLEM},
		{__LINE__, 300, "", MF_OUTCOME_ACCOUNT_PROBLEM},
		{__LINE__, 301, "", MF_OUTCOME_ACCOUNT_PROBLEM},
		{__LINE__, 302, HTML, MF_OUTCOME_ACCOUNT_PROBLEM},
		{__LINE__, 304, "", MF_OUTCOME_ACCOUNT_PROBLEM},
		{__LINE__, 307, ACCEPTED, MF_OUTCOME_UNKNOWN},
		{__LINE__, 308, "", MF_OUTCOME_ACCOUNT_PROBLEM},
		/* throttled */
		{__LINE__, 429, "", MF_OUTCOME_THROTTLED},
		{__LINE__, 429, HTML, MF_OUTCOME_THROTTLED},
		{__LINE__, 429, REFUSED, MF_OUTCOME_THROTTLED},
		/* 408, every 5xx, anything else */
		{__LINE__, 408, "", MF_OUTCOME_UNKNOWN},
		{__LINE__, 408, REFUSED, MF_OUTCOME_UNKNOWN},
		{__LINE__, 500, "", MF_OUTCOME_UNKNOWN},
		{__LINE__, 500, REFUSED, MF_OUTCOME_UNKNOWN},
		{__LINE__, 500, ACCEPTED, MF_OUTCOME_UNKNOWN},
		{__LINE__, 501, "", MF_OUTCOME_UNKNOWN},
		{__LINE__, 502, HTML, MF_OUTCOME_UNKNOWN},
		{__LINE__, 503, "", MF_OUTCOME_UNKNOWN},
		{__LINE__, 504, HTML, MF_OUTCOME_UNKNOWN},
		{__LINE__, 599, "", MF_OUTCOME_UNKNOWN},
		{__LINE__, 600, ACCEPTED, MF_OUTCOME_UNKNOWN},
		{__LINE__, 999, REFUSED, MF_OUTCOME_UNKNOWN},
	};
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(cases); i++)
	{
		MfHttpExchange exchange;

		make_exchange(&exchange, WHOLE, CURLE_OK, cases[i].status, cases[i].body);
		check_send(cases[i].line, &exchange, REFERENCE, cases[i].outcome);
		free(exchange.response);

		/*
		 * An answer before the whole request was read counts too, but success
		 * is not believed then.
		 */
		make_exchange(&exchange, CUT, CURLE_OK, cases[i].status, cases[i].body);
		check_send(cases[i].line, &exchange, REFERENCE,
				   cases[i].outcome == MF_OUTCOME_ACCEPTED ? MF_OUTCOME_UNKNOWN : cases[i].outcome);
		free(exchange.response);
		make_exchange(&exchange, PASSED, CURLE_OK, cases[i].status, cases[i].body);
		check_send(cases[i].line, &exchange, REFERENCE,
				   cases[i].outcome == MF_OUTCOME_ACCEPTED ? MF_OUTCOME_UNKNOWN : cases[i].outcome);
		free(exchange.response);
	}
}

static void
test_reference(void **state)
{
	static const char *const echoes[] = {"null", "\"mf-1\"", "\"other\"", "5"};
	size_t		i;

	(void) state;
	/* none was sent: any echo is fine */
	for (i = 0; i < LENGTH(echoes); i++)
	{
		char	   *body = text("{\"IsSuccess\":true,\"Data\":{\"InvoiceId\":7,\"CustomerReference\":%s}}", echoes[i]);
		MfHttpExchange exchange;

		make_exchange(&exchange, WHOLE, CURLE_OK, 200, body);
		check_send(__LINE__, &exchange, NULL, MF_OUTCOME_ACCEPTED);
		check_send(__LINE__, &exchange, "mf-1", i == 1 ? MF_OUTCOME_ACCEPTED : MF_OUTCOME_UNKNOWN);
		free(exchange.response);
		free(body);
	}
}

/* Checks the answer of an endpoint that gives a link, as it is in JSON; its number is kept, and a bad link is not. */
static void
check_link(MfEndpointNumber number, const char *link, bool is_good)
{
	const MfEndpoint *endpoint = &mf_endpoints[number];
	char	   *body = text("{\"IsSuccess\":true,\"Data\":{\"InvoiceId\":%s,\"%s\":%s,\"PaymentCompleted\":false,\"CustomerReference\":\"mf-1\"}}",
							endpoint->id_is_text ? "\"7\"" : "7", endpoint->url, link);
	MfHttpExchange exchange;
	MfSendResult result;

	make_exchange(&exchange, WHOLE, CURLE_OK, 200, body);
	mf_send_result_read(endpoint, &exchange, REFERENCE, &result);
	if (result.outcome != (is_good ? MF_OUTCOME_ACCEPTED : MF_OUTCOME_UNKNOWN))
		fail_msg("%s, %s: %s", endpoint->name, link, mf_outcome_name(result.outcome));
	assert_string_equal(result.invoice_id, "7");
	assert_int_equal(result.invoice_url != NULL, is_good);
	assert_int_equal(result.error != NULL && strstr(result.error, "is not the URL of a web page, InvoiceId 7") != NULL,
					 !is_good);
	mf_send_result_free(&result);
	free(exchange.response);
	free(body);
}

/* A link is handed to customers: what leads elsewhere than to a web page is none, and the invoice is looked up. */
static void
test_links(void **state)
{
	static const char *const good[] = {"https://demo.MyFatoorah.com/KWT/ie/01072634538642-1732339e", "HTTPS://x/1",
	"http://127.0.0.1:9965/KWT/ie/1", "http://localhost/1", "https://x:8443/?a=b&c=%20#d", "https://[::1]/1",
	"https://\\u0645\\u062b\\u0627\\u0644.example/1"};
	static const char *const bad[] = {"\"javascript:alert(1)\"", "\"JavaScript://x/%0Aalert(1)\"", "\"data:text/html,x\"",
		"\"file:///etc/passwd\"", "\"ftp://x/1\"", "\"//x/1\"", "\"/KWT/ie/1\"", "\"https:/x\"", "\"https://\"", "\"https:///1\"",
		"\" https://x/1\"", "\"https://x/1 \"", "\"https://x/a b\"", "\"https://x/1\\r\\nSet-Cookie: a=b\"", "\"https://x/\\u0001\"",
		"\"https://x/\\u007f\"", "\"https://x/\\u0085\"", "\"https://x/\\u202e1\"",
		"\"https://myfatoorah.com@x/1\"", "\"https://a:b@x/1\"", "\"https://x\\\\@y/1\"", "\"http\"", "[\"https://x/1\"]", "{\"a\":1}", "7", "true"};
	static const MfEndpointNumber endpoints[] = {MF_SEND_PAYMENT, MF_EXECUTE_PAYMENT, MF_V3_CREATE_PAYMENT};
	char		path[MF_LINK_SIZE];
	size_t		i;
	size_t		j;

	(void) state;
	memset(path, 'x', sizeof(path));
	for (i = 0; i < LENGTH(endpoints); i++)
	{
		for (j = 0; j < LENGTH(good) + LENGTH(bad) + 2; j++)
		{
			bool		is_good = j < LENGTH(good) || j == LENGTH(good) + LENGTH(bad);
			int			length = MF_LINK_SIZE - (is_good ? 1 : 0) - (int) strlen("https://x/");
			char	   *link = j < LENGTH(good) ? text("\"%s\"", good[j]) :
				j < LENGTH(good) + LENGTH(bad) ? strdup(bad[j - LENGTH(good)]) : text("\"https://x/%.*s\"", length, path);

			check_link(endpoints[i], link, is_good);
			free(link);
		}
	}
}

static void
test_send_texts(void **state)
{
	char	   *sample = fixture("send-payment.response.lnk.json");
	MfHttpExchange exchange;
	MfSendResult result;

	(void) state;
	make_exchange(&exchange, WHOLE, CURLE_OK, 200, sample);
	mf_send_result_read(&mf_endpoints[MF_SEND_PAYMENT], &exchange, NULL, &result);
	assert_int_equal(result.outcome, MF_OUTCOME_ACCEPTED);
	assert_string_equal(result.invoice_id, "6345386");
	assert_string_equal(result.invoice_url, "https://demo.MyFatoorah.com/KWT/ie/01072634538642-1732339e");
	assert_null(result.customer_reference);
	assert_null(result.user_defined_field);
	assert_null(result.error);
	assert_int_equal(result.retry_after, 0);
	mf_send_result_free(&result);
	free(exchange.response);
	free(sample);

	make_exchange(&exchange, WHOLE, CURLE_OK, 200, ACCEPTED);
	mf_send_result_read(&mf_endpoints[MF_SEND_PAYMENT], &exchange, REFERENCE, &result);
	assert_string_equal(result.customer_reference, "mf-1");
	assert_string_equal(result.user_defined_field, "u");
	mf_send_result_free(&result);
	mf_send_result_free(&result);
	free(exchange.response);

	sample = fixture("send-payment.response.validation-error.json");
	make_exchange(&exchange, WHOLE, CURLE_OK, 400, sample);
	mf_send_result_read(&mf_endpoints[MF_SEND_PAYMENT], &exchange, REFERENCE, &result);
	assert_int_equal(result.outcome, MF_OUTCOME_REJECTED);
	assert_string_equal(result.error, "InvoiceValue: Invoice value must be more than 0");
	mf_send_result_free(&result);
	free(exchange.response);
	free(sample);

	make_exchange(&exchange, WHOLE, CURLE_OK, 503, "busy");
	exchange.retry_after = 30;
	mf_send_result_read(&mf_endpoints[MF_SEND_PAYMENT], &exchange, REFERENCE, &result);
	assert_string_equal(result.error, "HTTP 503: busy");
	assert_int_equal(result.retry_after, 30);
	mf_send_result_free(&result);
	free(exchange.response);

	make_exchange(&exchange, WHOLE, CURLE_OK, 200, "{\"IsSuccess\":true,\"Data\":{\"InvoiceId\":1,\"CustomerReference\":\"x\"}}");
	mf_send_result_read(&mf_endpoints[MF_SEND_PAYMENT], &exchange, REFERENCE, &result);
	assert_string_equal(result.error, "HTTP 200: the answer is about another CustomerReference, InvoiceId 1, CustomerReference \"x\"");
	mf_send_result_free(&result);
	free(exchange.response);

	make_exchange(&exchange, WHOLE, CURLE_OK, 200, HTML);
	mf_send_result_read(&mf_endpoints[MF_SEND_PAYMENT], &exchange, REFERENCE, &result);
	assert_string_equal(result.error, "HTTP 200: the answer is not valid JSON: 403 Forbidden");
	mf_send_result_free(&result);
	free(exchange.response);
}

static void
test_retry_after(void **state)
{
	MfHttpExchange exchange;
	MfSendResult result;
	MfStatusResult status;

	(void) state;
	make_exchange(&exchange, WHOLE, CURLE_OK, 429, "");
	exchange.retry_after = 17;
	mf_send_result_read(&mf_endpoints[MF_SEND_PAYMENT], &exchange, REFERENCE, &result);
	assert_int_equal(result.outcome, MF_OUTCOME_THROTTLED);
	assert_int_equal(result.retry_after, 17);
	mf_send_result_free(&result);
	assert_int_equal(result.retry_after, 0);
	mf_status_result_read(&exchange, &status);
	assert_int_equal(status.base.lookup, MF_LOOKUP_THROTTLED);
	assert_int_equal(status.base.retry_after, 17);
	mf_status_result_free(&status);
	assert_int_equal(status.base.retry_after, 0);
	free(exchange.response);
}

/* ----------
 * GetPaymentStatus
 * ----------
 */

static void
test_lookups(void **state)
{
	static const struct
	{
		int			line;
		long		status;
		const char *body;
		MfLookup	lookup;
	}			cases[] = {
		{__LINE__, 200, FOUND, MF_LOOKUP_FOUND},
		{__LINE__, 200, "{\"IsSuccess\":true,\"Data\":{\"InvoiceId\":\"12\",\"InvoiceStatus\":\"Paid\"}}", MF_LOOKUP_FOUND},
		/* a date in a new spelling does not hide a payment */
		{__LINE__, 200, "{\"IsSuccess\":true,\"Data\":{\"InvoiceId\":12,\"InvoiceStatus\":\"Paid\",\"InvoiceValue\":\"1.000\",\"ExpiryDate\":77,\"InvoiceDisplayValue\":\"KD 1\",\"CreatedDate\":\"now\"}}", MF_LOOKUP_FOUND},
		{__LINE__, 200, "{\"IsSuccess\":true,\"Data\":{\"InvoiceId\":12,\"InvoiceStatus\":\"Paid\",\"InvoiceValue\":{}}}", MF_LOOKUP_INCONCLUSIVE},
		{__LINE__, 200, "{\"IsSuccess\":true,\"Data\":{\"InvoiceStatus\":\"Paid\"}}", MF_LOOKUP_INCONCLUSIVE},
		{__LINE__, 200, "{\"IsSuccess\":true,\"Data\":{\"InvoiceId\":12}}", MF_LOOKUP_INCONCLUSIVE},
		{__LINE__, 200, "{\"IsSuccess\":true,\"Data\":{\"InvoiceId\":12,\"InvoiceStatus\":\"\"}}", MF_LOOKUP_INCONCLUSIVE},
		{__LINE__, 200, "{\"IsSuccess\":true,\"Data\":{\"InvoiceId\":0,\"InvoiceStatus\":\"Paid\"}}", MF_LOOKUP_INCONCLUSIVE},
		{__LINE__, 200, "{\"IsSuccess\":true,\"Data\":{\"InvoiceId\":-1,\"InvoiceStatus\":\"Paid\"}}", MF_LOOKUP_INCONCLUSIVE},
		{__LINE__, 200, "{\"IsSuccess\":true,\"Data\":null}", MF_LOOKUP_INCONCLUSIVE},
		{__LINE__, 200, "{\"IsSuccess\":true}", MF_LOOKUP_INCONCLUSIVE},
		{__LINE__, 200, NO_DATA, MF_LOOKUP_INCONCLUSIVE},
		{__LINE__, 200, HTML, MF_LOOKUP_INCONCLUSIVE},
		{__LINE__, 200, "", MF_LOOKUP_INCONCLUSIVE},
		{__LINE__, 400, NO_DATA, MF_LOOKUP_NOT_FOUND},
		{__LINE__, 400, "{\"IsSuccess\":false,\"Message\":\"Invalid data\",\"ValidationErrors\":[{\"Name\":\"Key\",\"Error\":\"no data match the provided values.\"}]}", MF_LOOKUP_NOT_FOUND},
		{__LINE__, 400, REFUSED, MF_LOOKUP_REFUSED},
		{__LINE__, 422, NO_DATA, MF_LOOKUP_NOT_FOUND},
		{__LINE__, 401, NO_DATA, MF_LOOKUP_NOT_FOUND},
		{__LINE__, 403, NO_DATA, MF_LOOKUP_NOT_FOUND},
		{__LINE__, 422, REFUSED, MF_LOOKUP_REFUSED},
		{__LINE__, 404, REFUSED, MF_LOOKUP_REFUSED},
		{__LINE__, 403, REFUSED, MF_LOOKUP_REFUSED},
		{__LINE__, 401, REFUSED, MF_LOOKUP_ACCOUNT_PROBLEM},
		{__LINE__, 422, "\"No data match the provided values\"", MF_LOOKUP_INCONCLUSIVE},
		{__LINE__, 200, "{\"IsSuccess\":true,\"Data\":[]}", MF_LOOKUP_INCONCLUSIVE},
		{__LINE__, 404, "{\"Message\":\"No HTTP resource was found\"}", MF_LOOKUP_INCONCLUSIVE},
		{__LINE__, 404, FOUND, MF_LOOKUP_INCONCLUSIVE},
		/* the words alone prove nothing */
		{__LINE__, 400, "No data match the provided values", MF_LOOKUP_INCONCLUSIVE},
		{__LINE__, 400, "{\"Message\":\"No data match the provided values\"}", MF_LOOKUP_INCONCLUSIVE},
		{__LINE__, 400, "", MF_LOOKUP_INCONCLUSIVE},
		{__LINE__, 400, FOUND, MF_LOOKUP_INCONCLUSIVE},
		{__LINE__, 404, NO_DATA, MF_LOOKUP_NOT_FOUND},
		{__LINE__, 401, "", MF_LOOKUP_ACCOUNT_PROBLEM},
		{__LINE__, 403, HTML, MF_LOOKUP_ACCOUNT_PROBLEM},
		{__LINE__, 302, "", MF_LOOKUP_INCONCLUSIVE},
		{__LINE__, 429, NO_DATA, MF_LOOKUP_THROTTLED},
		{__LINE__, 408, NO_DATA, MF_LOOKUP_NOT_FOUND},
		{__LINE__, 408, "", MF_LOOKUP_FAILED},
		{__LINE__, 500, NO_DATA, MF_LOOKUP_FAILED},
		{__LINE__, 503, FOUND, MF_LOOKUP_FAILED},
	};
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(cases); i++)
	{
		MfHttpExchange exchange;

		make_exchange(&exchange, WHOLE, CURLE_OK, cases[i].status, cases[i].body);
		check_status(cases[i].line, &exchange, cases[i].lookup, false);
		free(exchange.response);
		/* cut off it is nothing at all */
		make_exchange(&exchange, WHOLE, CURLE_PARTIAL_FILE, cases[i].status, cases[i].body);
		check_status(cases[i].line, &exchange, MF_LOOKUP_FAILED, false);
		free(exchange.response);
	}
}

static void
test_lookup_values(void **state)
{
	char	   *sample = fixture("get-payment-status.response.paid-single.json");
	MfHttpExchange exchange;
	MfStatusResult result;

	(void) state;
	make_exchange(&exchange, WHOLE, CURLE_OK, 200, sample);
	mf_status_result_read(&exchange, &result);
	assert_int_equal(result.base.lookup, MF_LOOKUP_FOUND);
	assert_string_equal(result.values[MF_PS_INVOICE_ID], "6424733");
	assert_string_equal(result.values[MF_PS_INVOICE_STATUS], "Paid");
	assert_non_null(result.envelope.data);
	assert_null(result.base.error);
	mf_status_result_free(&result);
	free(exchange.response);
	free(sample);

	make_exchange(&exchange, WHOLE, CURLE_OK, 400, NO_DATA);
	mf_status_result_read(&exchange, &result);
	assert_string_equal(result.base.error, "No data match the provided values");
	mf_status_result_free(&result);
	free(exchange.response);

	make_exchange(&exchange, WHOLE, CURLE_OK, 200, "{\"IsSuccess\":true,\"Data\":{\"InvoiceId\":true}}");
	mf_status_result_read(&exchange, &result);
	assert_string_equal(result.base.error, "HTTP 200: the answer's InvoiceId cannot be read");
	mf_status_result_free(&result);
	free(exchange.response);
}

static void
test_names(void **state)
{
	(void) state;
	assert_string_equal(mf_outcome_name(MF_OUTCOME_ACCEPTED), "accepted");
	assert_string_equal(mf_outcome_name(MF_OUTCOME_REJECTED), "rejected");
	assert_string_equal(mf_outcome_name(MF_OUTCOME_NOT_SENT), "not_sent");
	assert_string_equal(mf_outcome_name(MF_OUTCOME_THROTTLED), "throttled");
	assert_string_equal(mf_outcome_name(MF_OUTCOME_ACCOUNT_PROBLEM), "account_problem");
	assert_string_equal(mf_outcome_name(MF_OUTCOME_UNKNOWN), "unknown");
	assert_string_equal(mf_outcome_name((MfOutcome) 99), "unknown");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_evidence),
		cmocka_unit_test(test_every_code),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_reference),
		cmocka_unit_test(test_links),
		cmocka_unit_test(test_send_texts),
		cmocka_unit_test(test_retry_after),
		cmocka_unit_test(test_lookups),
		cmocka_unit_test(test_lookup_values),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests_name("outcome", tests, NULL, NULL);
}
