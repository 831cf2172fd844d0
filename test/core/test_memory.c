/*
 * test_memory.c
 *	  Every allocation fails once: no crash, no leak, and no wrong verdict.
 *
 * This program has a malloc() of its own, also for all libraries, which fails
 * on demand on the thread that asks for it.  Sanitizers and valgrind have
 * theirs: with them every task runs once, and nothing fails.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/core/test_memory.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "client.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text/json.h"
#include "core/api/refund.h"
#include "core/api/webhook.h"
#include "core/api/webhook_log.h"

#ifndef __has_feature
#define __has_feature(x) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer) || \
	defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer) || !defined(__GLIBC__)
static __thread volatile long countdown;
static __thread volatile long live;
#else
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void __libc_free(void *block);

/* volatile, because compilers assume that malloc() has no side effects */
static __thread volatile long countdown;	/* the n-th allocation from here fails; 0 = none */
static __thread volatile long live; /* blocks allocated less blocks freed, in this thread */

static bool
must_fail(void)
{
	if (countdown == 0 || --countdown > 0)
		return false;
	errno = ENOMEM;
	return true;
}

void *
malloc(size_t size)
{
	void	   *block = must_fail() ? NULL : __libc_malloc(size);

	live += (block != NULL);
	return block;
}

void *
calloc(size_t count, size_t size)
{
	void	   *block = must_fail() ? NULL : __libc_calloc(count, size);

	live += (block != NULL);
	return block;
}

void *
realloc(void *old, size_t size)
{
	void	   *block = must_fail() ? NULL : __libc_realloc(old, size);

	live += (block != NULL && old == NULL);
	return block;
}

void
free(void *block)
{
	live -= (block != NULL);
	__libc_free(block);
}
#endif

/* Whether this file's malloc() is the one in use */
static bool
can_fail(void)
{
	void	   *(*volatile allocate) (size_t) = malloc;
	void	   *block;

	countdown = 1;
	block = allocate(1);
	countdown = 0;
	free(block);
	return block == NULL;
}

/*
 * A task that allocates; returns whether it succeeded, and frees all that it
 * allocated.
 */
typedef bool (*Action) (void *arg);

/*
 * Runs a task with its first, second, ... allocation failing until it meets
 * no failure.  Each time at most "leak" blocks may be lost.
 */
static void
fail_each(Action action, void *arg, long leak)
{
	long		n;
	bool		failed_once = false;

	/* allocations that happen once per process do not count */
	assert_true(action(arg));
	if (!can_fail())
		return;
	for (n = 1; n < 100000; n++)
	{
		long		before = live;
		bool		done;
		long		left;

		countdown = n;
		done = action(arg);
		left = countdown;
		countdown = 0;
		if (live - before > leak)
			fail_msg("allocation %ld: %ld blocks left", n, live - before);
		failed_once |= !done;
		if (left > 0)
		{
			assert_true(done);
			break;
		}
	}
	assert_true(failed_once);
	assert_true(n < 100000);
}

static bool
parse_and_print(void *arg)
{
	const char *error;
	cJSON	   *root = mf_json_parse(arg, strlen(arg), &error, NULL);
	char	   *printed;

	if (root == NULL)
	{
		assert_string_equal(error, MF_JSON_OUT_OF_MEMORY);
		return false;
	}
	printed = mf_json_print(root);
	cJSON_Delete(root);
	if (printed == NULL)
		return false;
	free(printed);
	return true;
}

static void
test_json(void **state)
{
	char	   *sample = fixture("get-payment-status.response.paid-single.json");

	(void) state;
	fail_each(parse_and_print, sample, 0);
	free(sample);
}

static bool
build_body(void *arg)
{
	const char *values[MF_SP_COUNT] = {NULL};
	size_t		len;
	char	   *body;

	(void) arg;
	values[MF_SP_CUSTOMER_NAME] = "Ahmad";
	values[MF_SP_INVOICE_VALUE] = "1.000";
	values[MF_SP_EXPIRY_DATE] = "2027-11-22T10:00:00";
	values[MF_SP_INVOICE_ITEMS] = "[{\"ItemName\":\"x\",\"Quantity\":1,\"UnitPrice\":1.000}]";
	values[MF_SP_SHIPPING_METHOD] = "1";
	body = mf_fields_body(mf_send_payment_fields, MF_SP_COUNT, values, &len);
	if (body == NULL)
		return false;
	free(body);
	body = mf_key_body("1", "InvoiceId", &len);
	if (body == NULL)
		return false;
	free(body);
	return true;
}

static void
test_bodies(void **state)
{
	(void) state;
	fail_each(build_body, NULL, 0);
}

static bool
read_answers(void *arg)
{
	MfEnvelope	envelope;
	char	   *values[MF_PS_COUNT];
	char	   *transaction[MF_TX_COUNT];
	const char *bad = "untouched";
	bool		done;

	if (!mf_envelope_read(&mf_endpoints[MF_SEND_PAYMENT], arg, strlen(arg), NULL, &envelope))
	{
		assert_null(envelope.root);
		return false;
	}
	done = mf_payment_status_read(envelope.data, values, &bad);
	if (done)
	{
		mf_values_free(values, MF_PS_COUNT);
		done = mf_transaction_read(mf_json_get(envelope.data, "InvoiceTransactions")->child, transaction, &bad);
		if (done)
			mf_values_free(transaction, MF_TX_COUNT);
	}
	if (!done)
		assert_null(bad);
	mf_envelope_free(&envelope);
	return done;
}

static void
test_answers(void **state)
{
	char	   *sample = fixture("get-payment-status.response.paid-single.json");

	(void) state;
	fail_each(read_answers, sample, 0);
	free(sample);
}

typedef struct Verdict
{
	MfHttpExchange exchange;
	MfOutcome	outcome;
	MfLookup	lookup;
} Verdict;

static bool
read_send(void *arg)
{
	Verdict    *verdict = arg;
	MfSendResult result;
	bool		complete;

	mf_send_result_read(&mf_endpoints[MF_SEND_PAYMENT], &verdict->exchange, REFERENCE, &result);
	/* never another definite outcome than the right one */
	assert_true(result.outcome == verdict->outcome || result.outcome == MF_OUTCOME_UNKNOWN);
	assert_true(result.outcome != MF_OUTCOME_ACCEPTED || result.invoice_id != NULL);
	/* what does not depend on the body does not depend on memory either */
	if (verdict->outcome == MF_OUTCOME_NOT_SENT)
		assert_int_equal(result.outcome, verdict->outcome);
	complete = (result.outcome == verdict->outcome &&
				(result.outcome == MF_OUTCOME_ACCEPTED ? result.invoice_url != NULL && result.customer_reference != NULL :
				 result.error != NULL));
	mf_send_result_free(&result);
	return complete;
}

static bool
read_status(void *arg)
{
	Verdict    *verdict = arg;
	MfStatusResult result;
	bool		complete;

	mf_status_result_read(&verdict->exchange, &result);
	assert_true(result.base.lookup == verdict->lookup || result.base.lookup == MF_LOOKUP_FAILED);
	complete = (result.base.lookup == verdict->lookup && (result.base.lookup == MF_LOOKUP_FOUND || result.base.error != NULL));
	mf_status_result_free(&result);
	return complete;
}

static void
test_verdicts(void **state)
{
	char	   *paid = fixture("get-payment-status.response.paid-single.json");
	char	   *refusal = fixture("send-payment.response.validation-error.json");
	Verdict		cases[] = {
		{.outcome = MF_OUTCOME_ACCEPTED,.lookup = MF_LOOKUP_INCONCLUSIVE},
		{.outcome = MF_OUTCOME_REJECTED,.lookup = MF_LOOKUP_REFUSED},
		{.outcome = MF_OUTCOME_THROTTLED,.lookup = MF_LOOKUP_THROTTLED},
		{.outcome = MF_OUTCOME_ACCOUNT_PROBLEM,.lookup = MF_LOOKUP_ACCOUNT_PROBLEM},
		{.outcome = MF_OUTCOME_UNKNOWN,.lookup = MF_LOOKUP_FAILED},
		{.outcome = MF_OUTCOME_NOT_SENT,.lookup = MF_LOOKUP_FAILED},
		{.outcome = MF_OUTCOME_UNKNOWN,.lookup = MF_LOOKUP_FOUND},
	};
	const long	statuses[] = {200, 400, 429, 401, 503, 0, 200};
	char	   *bodies[] = {strdup(ACCEPTED), refusal, strdup(""), strdup("<html>no"), strdup("busy"), strdup(""), paid};
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(cases); i++)
	{
		MfHttpExchange *exchange = &cases[i].exchange;

		exchange->http_status = statuses[i];
		exchange->curl_code = statuses[i] == 0 ? CURLE_COULDNT_CONNECT : CURLE_OK;
		exchange->gate_passed = exchange->gate_reached = (statuses[i] != 0);
		exchange->response = bodies[i];
		exchange->response_len = strlen(bodies[i]);
		strcpy(exchange->host, "h");
		fail_each(read_send, &cases[i], 0);
		fail_each(read_status, &cases[i], 0);
		free(bodies[i]);
	}
}

/* Out of memory is reported as such: the message is neither valid nor forged. */
static bool
read_webhook(void *arg)
{
	static const char *const secrets[] = {"another-secret", "example-webhook-secret-1"};
	char	   *const *fixtures = arg;
	MfWebhook	webhook;
	MfWebhookVerdict verdict = mf_webhook_read(fixtures[0], strlen(fixtures[0]), fixtures[1], NULL, secrets, 2, &webhook);

	if (verdict == MF_WEBHOOK_VALID)
		assert_true(webhook.data != NULL && webhook.signed_text != NULL && webhook.invoice_id != NULL &&
					webhook.payment_id != NULL && webhook.customer_reference != NULL && webhook.event_status != NULL);
	else
	{
		assert_int_equal(verdict, MF_WEBHOOK_OUT_OF_MEMORY);
		assert_true(webhook.data == NULL && webhook.signed_text == NULL && webhook.invoice_id == NULL);
	}
	mf_webhook_free(&webhook);
	return verdict == MF_WEBHOOK_VALID;
}

static void
test_webhooks(void **state)
{
	char	   *v1[] = {fixture("webhook-v1.transaction.success.body.json"), strdup("WEVv6xfyLw17LSmULz6L+OHSV7u0rD/We3gmolKYT28=")};
	char	   *v2[] = {fixture("webhook-v2.payment-status.paid.body.json"), strdup("Mv+XhecqPNmeorhyAKcumHFTo50Tgm+kfpfJV/Ezsl4=")};
	int			i;

	(void) state;
	fail_each(read_webhook, v1, 0);
	fail_each(read_webhook, v2, 0);
	for (i = 0; i < 2; i++)
	{
		free(v1[i]);
		free(v2[i]);
	}
}

static bool
read_log(void *arg)
{
	MfListResult result;
	bool		found;
	size_t		len;
	char	   *body;

	mf_list_result_read(&mf_webhook_log, arg, &result);
	found = (result.base.lookup == MF_LOOKUP_FOUND);
	if (!found)
		assert_int_equal(result.base.lookup, MF_LOOKUP_FAILED);
	assert_int_equal(result.row_count, found ? 2 : 0);
	assert_true(!found || mf_list_row(&result, 1)[MF_WL_DATA] != NULL);
	mf_list_result_free(&result);
	body = mf_webhook_log_body("2024-02-12T00:16:29Z", "2025-02-12T20:43:43Z", "Failed", 1, &len);
	found &= (body != NULL);
	free(body);
	return found;
}

static bool
read_refunds(void *arg)
{
	MfListResult result;
	bool		found;
	size_t		len;
	char	   *body;

	mf_list_result_read(&mf_refund_list, arg, &result);
	found = (result.base.lookup == MF_LOOKUP_FOUND);
	if (!found)
		assert_int_equal(result.base.lookup, MF_LOOKUP_FAILED);
	assert_int_equal(result.row_count, found ? 2 : 0);
	assert_true(!found || (mf_list_row(&result, 1)[MF_RF_AMOUNT] != NULL && mf_list_row(&result, 1)[MF_RF_INVOICE_ID] != NULL));
	mf_list_result_free(&result);
	body = mf_key_body("1", "InvoiceId", &len);
	found &= (body != NULL);
	free(body);
	return found;
}

static void
test_logs(void **state)
{
	static const char *const fixtures[] = {"get-webhooks.response.json", "get-refund-status.response.json"};
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(fixtures); i++)
	{
		MfHttpExchange exchange = {0};

		exchange.http_status = 200;
		exchange.gate_passed = exchange.gate_reached = true;
		exchange.response = fixture(fixtures[i]);
		exchange.response_len = strlen(exchange.response);
		fail_each(i == 0 ? read_log : read_refunds, &exchange, 0);
		free(exchange.response);
	}
}

static void
serve_accepted(Connection *connection)
{
	while (connection_read_request(connection))
		connection_reply(connection, "200 OK", ACCEPTED);
}

/*
 * Requests that the server received before this call.  It may still have to
 * accept a connection whose request was sent, but it accepts in order.
 */
static int
requests_so_far(Server *server)
{
	MfHttp	   *http = http_create();

	assert_int_equal(outcome_one(http, target_create(http, server_url(server), 0, 0), BODY), MF_OUTCOME_ACCEPTED);
	mf_http_destroy(http);
	assert_true(server_wait_closed(server, server_connections(server)));
	return server_requests(server) - 1;
}

/* Nothing is sent without the evidence showing it. */
static bool
exchange_everything(void *arg)
{
	Server	   *server = arg;
	MfHttpTargetOptions options = {0};
	char		error[256] = "";
	MfHttp	   *http;
	MfHttpTarget *target;
	MfHttpExchange *exchange = NULL;
	bool		done = false;
	int			before = server_requests(server);
	int			requests;
	long		armed;
	char	   *body;

	http = mf_http_create(error, sizeof(error));
	if (http == NULL)
	{
		assert_string_not_equal(error, "");
		return false;
	}
	options.base_url = server_url(server);
	options.api_key = KEY;
	options.timeout_ms = options.connect_timeout_ms = 10000;
	target = mf_http_target_create(http, &options, error, sizeof(error));
	if (target != NULL)
	{
		/* the test's own allocation must not fail */
		armed = countdown;
		countdown = 0;
		body = strdup(BODY);
		countdown = armed;
		exchange = http_post(http, target, PATH, body, strlen(BODY), 0, NULL, error, sizeof(error));
	}
	if (exchange == NULL)
		assert_string_not_equal(error, "");
	else
	{
		bool		passed;
		bool		accepted;

		exchange = finish_one(http);
		armed = countdown;
		countdown = 0;
		passed = exchange->gate_passed;
		accepted = (outcome_of(exchange) == MF_OUTCOME_ACCEPTED);
		if (!accepted)
			assert_int_equal(outcome_of(exchange), passed ? MF_OUTCOME_UNKNOWN : MF_OUTCOME_NOT_SENT);
		countdown = armed;
		mf_http_exchange_free(exchange);
		done = accepted;
	}
	mf_http_destroy(http);
	armed = countdown;
	countdown = 0;
	requests = requests_so_far(server);
	countdown = armed;
	if (!done && exchange == NULL)
		assert_int_equal(requests, before);
	assert_true(requests <= before + 1);
	return done;
}

static void
test_http(void **state)
{
	Server	   *server = server_start(serve_accepted, NULL);

	(void) state;
	/* libcurl 7.88 itself leaks a block or two in a few places */
	fail_each(exchange_everything, server, 3);
	server_stop(server);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_webhooks),
		cmocka_unit_test(test_logs),
		cmocka_unit_test(test_http),
	};

	(void) live;
	return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
