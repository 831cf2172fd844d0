/*
 * client.c
 *	  What a test needs of the owner of an MfHttp.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/core/client.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "client.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE 60.0

double
seconds_now(void)
{
	return (double) mf_http_clock() / 1e9;
}

MfHttp *
http_create(void)
{
	char		error[256] = "";
	MfHttp	   *http = mf_http_create(error, sizeof(error));

	if (http == NULL)
		fail_msg("%s", error);
	if (getenv("MF_HTTP_THREAD") != NULL && !mf_http_start_thread(http, error, sizeof(error)))
		fail_msg("%s", error);
	return http;
}

static MfHttpTarget *
make_target(MfHttp *http, const char *url, const char *ca_file, long timeout_ms, long connect_timeout_ms)
{
	MfHttpTargetOptions options = {0};
	char		error[256] = "";
	MfHttpTarget *target;

	options.base_url = url;
	options.api_key = KEY;
	options.ca_file = ca_file;
	options.timeout_ms = timeout_ms > 0 ? timeout_ms : 20000;
	options.connect_timeout_ms = connect_timeout_ms > 0 ? connect_timeout_ms : 10000;
	target = mf_http_target_create(http, &options, error, sizeof(error));
	if (target == NULL)
		fail_msg("%s: %s", url, error);
	return target;
}

MfHttpTarget *
target_create(MfHttp *http, const char *url, long timeout_ms, long connect_timeout_ms)
{
	return make_target(http, url, NULL, timeout_ms, connect_timeout_ms);
}

MfHttpTarget *
target_with_ca(MfHttp *http, const char *url, const char *ca_file)
{
	return make_target(http, url, ca_file, 0, 0);
}

MfHttpExchange *
http_post(MfHttp *http, MfHttpTarget *target, const char *path, char *body, size_t body_len, int64_t send_by, void *tag,
		  char *error, size_t error_size)
{
	MfHttpRequest request = {.verb = MF_HTTP_POST, .path = path, .body = body, .body_len = body_len,
	.send_by = send_by, .tag = tag};

	return mf_http_send(http, target, &request, error, error_size);
}

MfHttpExchange *
post(MfHttp *http, MfHttpTarget *target, const char *body, void *tag)
{
	char		error[256] = "";
	MfHttpExchange *exchange;

	exchange = http_post(http, target, PATH, strdup(body), strlen(body), 0, tag, error, sizeof(error));
	if (exchange == NULL)
		fail_msg("%s", error);
	return exchange;
}

static void
wait_step(MfHttp *http, double until)
{
	struct pollfd poll_fd = {0};
	long		timeout = mf_http_timeout(http);

	if (seconds_now() > until)
		fail_msg("nothing happened for %g seconds", PATIENCE);
	if (timeout < 0 || timeout > 1000)
		timeout = 1000;
	poll_fd.fd = mf_http_fd(http);
	poll_fd.events = POLLIN;
	poll(&poll_fd, 1, (int) timeout);
	mf_http_perform(http);
}

MfHttpExchange *
finish_one(MfHttp *http)
{
	double		until = seconds_now() + PATIENCE;
	MfHttpExchange *exchange;

	while ((exchange = mf_http_next_done(http)) == NULL)
		wait_step(http, until);
	return exchange;
}

void
run_until(MfHttp *http, bool (*condition) (void *), void *arg)
{
	double		until = seconds_now() + PATIENCE;
	struct pollfd poll_fd = {0};

	poll_fd.fd = mf_http_fd(http);
	poll_fd.events = POLLIN;
	while (!condition(arg))
	{
		if (seconds_now() > until)
			fail_msg("nothing happened for %g seconds", PATIENCE);
		/* no event announces this condition */
		poll(&poll_fd, 1, 2);
		mf_http_perform(http);
	}
}

MfHttpExchange *
exchange_one(MfHttp *http, MfHttpTarget *target, const char *body)
{
	MfHttpExchange *submitted = post(http, target, body, NULL);
	MfHttpExchange *exchange = finish_one(http);

	assert_ptr_equal(submitted, exchange);
	assert_null(exchange->transfer);
	assert_non_null(exchange->response);
	assert_int_equal(exchange->response[exchange->response_len], '\0');
	assert_int_equal(exchange->body_len, strlen(body));
	assert_true(exchange->body_sent <= exchange->body_len);
	assert_true(exchange->gate_reached || !exchange->gate_passed);
	assert_true(exchange->gate_passed || exchange->body_sent == 0);
	return exchange;
}

void
check_no_key(const MfHttpExchange *exchange)
{
	char		described[512];

	mf_http_describe(exchange, described, sizeof(described));
	assert_null(strstr(described, "topsecret"));
	assert_null(strstr(exchange->curl_error, "topsecret"));
	assert_null(strstr(exchange->response, "topsecret"));
	assert_null(strstr(exchange->host, "topsecret"));
}

MfOutcome
outcome_of(const MfHttpExchange *exchange)
{
	MfSendResult result;
	MfOutcome	outcome;

	check_no_key(exchange);
	mf_send_result_read(&mf_endpoints[MF_SEND_PAYMENT], exchange, REFERENCE, &result);
	outcome = result.outcome;
	if (outcome == MF_OUTCOME_ACCEPTED)
	{
		assert_string_equal(result.invoice_id, "6345386");
		assert_string_equal(result.customer_reference, REFERENCE);
		assert_null(result.error);
	}
	else
	{
		assert_non_null(result.error);
		assert_null(strstr(result.error, "topsecret"));
		assert_null(strchr(result.error, '\n'));
		if (getenv("SHOW") != NULL)
			fprintf(stderr, "%s: %s\n", mf_outcome_name(outcome), result.error);
	}
	mf_send_result_free(&result);
	return outcome;
}

MfOutcome
outcome_one(MfHttp *http, MfHttpTarget *target, const char *body)
{
	MfHttpExchange *exchange = exchange_one(http, target, body);
	MfOutcome	outcome = outcome_of(exchange);

	mf_http_exchange_free(exchange);
	return outcome;
}
