/*
 * test_http_verbs.c
 *	  Requests of all verbs, with and without body and Idempotency-Key.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/core/test_http_verbs.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE				/* asprintf() */
#endif
#include "client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IDEMPOTENCY_KEY "mf-0123456789-1"

/* Answers with what came: the request's line, two headers and the body. */
static void
serve_request(Connection *connection)
{
	while (connection_read_request(connection))
	{
		char	   *length = connection_header(connection, "Content-Length");
		char	   *key = connection_header(connection, "Idempotency-Key");
		char	   *authorization = connection_header(connection, "Authorization");
		char	   *text = NULL;

		if (asprintf(&text, "%.*s|%s|%s|%s|%.*s", (int) strcspn(connection->request, "\r"), connection->request,
					 length ? length : "-", key ? key : "-", authorization ? "auth" : "-",
					 (int) connection->body_len, connection->body) > 0)
			connection_reply(connection, "200 OK", text);
		free(text);
		free(length);
		free(key);
		free(authorization);
	}
}

static MfHttpExchange *
exchange_request(MfHttp *http, MfHttpTarget *target, MfHttpVerb verb, const char *path, const char *body, const char *key)
{
	MfHttpRequest request = {.verb = verb, .path = path, .idempotency_key = key};
	char		error[256] = "";
	char		path_copy[100];
	char		key_copy[100];

	if (body != NULL)
	{
		request.body = strdup(body);
		request.body_len = strlen(body);
	}
	/* what the caller has given may be gone before the request leaves */
	snprintf(path_copy, sizeof(path_copy), "%s", path);
	request.path = path_copy;
	if (key != NULL)
	{
		snprintf(key_copy, sizeof(key_copy), "%s", key);
		request.idempotency_key = key_copy;
	}
	if (mf_http_send(http, target, &request, error, sizeof(error)) == NULL)
		fail_msg("%s", error);
	memset(path_copy, 'x', sizeof(path_copy));
	memset(key_copy, 'x', sizeof(key_copy));
	return finish_one(http);
}

/* One handle and one connection in turn: nothing of a request stays for the next. */
static void
test_verbs(void **state)
{
	static const struct
	{
		MfHttpVerb	verb;
		const char *path;
		const char *body;
		const char *key;
		const char *seen;
	}			cases[] = {
		{MF_HTTP_POST, "/v3/payments", "{\"a\":1}", IDEMPOTENCY_KEY, "POST /v3/payments HTTP/1.1|7|" IDEMPOTENCY_KEY "|auth|{\"a\":1}"},
		{MF_HTTP_POST, "/v2/SendPayment", "{}", NULL, "POST /v2/SendPayment HTTP/1.1|2|-|auth|{}"},
		{MF_HTTP_GET, "/v2/GetSuppliers", NULL, NULL, "GET /v2/GetSuppliers HTTP/1.1|-|-|auth|"},
		{MF_HTTP_GET, "/v3/payments/1?x=%20", NULL, NULL, "GET /v3/payments/1?x=%20 HTTP/1.1|-|-|auth|"},
		{MF_HTTP_POST, "/v2/CancelRecurringPayment?recurringId=R", "", NULL,
		"POST /v2/CancelRecurringPayment?recurringId=R HTTP/1.1|0|-|auth|"},
		{MF_HTTP_POST, "/v2/SendPayment", "{}", NULL, "POST /v2/SendPayment HTTP/1.1|2|-|auth|{}"},
	};
	Server	   *server = server_start(serve_request, NULL);
	MfHttp	   *http = http_create();
	MfHttpTarget *target = target_create(http, server_url(server), 0, 0);
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(cases); i++)
	{
		MfHttpExchange *exchange = exchange_request(http, target, cases[i].verb, cases[i].path, cases[i].body, cases[i].key);

		assert_string_equal(exchange->response, cases[i].seen);
		assert_int_equal(exchange->connection_reused, i > 0);
		assert_true(exchange->gate_passed);
		assert_int_equal(exchange->body_len, cases[i].body ? strlen(cases[i].body) : 0);
		assert_int_equal(exchange->body_sent, exchange->body_len);
		mf_http_exchange_free(exchange);
	}
	mf_http_destroy(http);
	server_stop(server);
}

/* A key with a line end would be two headers. */
static void
test_bad_keys(void **state)
{
	static const char *const keys[] = {"", "a b", "a\r\nX-Evil: 1", "a\n", "\xD8\xB1", "\t", "a\x7F"};
	Server	   *server = server_start(serve_request, NULL);
	MfHttp	   *http = http_create();
	MfHttpTarget *target = target_create(http, server_url(server), 0, 0);
	char		longest[MF_IDEMPOTENCY_KEY_MAX + 2];
	MfHttpExchange *exchange;
	size_t		i;

	(void) state;
	memset(longest, 'k', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	for (i = 0; i <= LENGTH(keys); i++)
	{
		MfHttpRequest request = {.verb = MF_HTTP_POST, .path = PATH, .body = strdup(BODY), .body_len = strlen(BODY)};
		char		error[256] = "";

		request.idempotency_key = i < LENGTH(keys) ? keys[i] : longest;
		assert_null(mf_http_send(http, target, &request, error, sizeof(error)));
		assert_string_equal(error, "the Idempotency-Key cannot be part of a header");
	}
	assert_int_equal(mf_http_in_flight(http), 0);

	/* the error is the request's alone */
	exchange = exchange_request(http, target, MF_HTTP_POST, PATH, BODY, "k");
	assert_int_equal(exchange->http_status, 200);
	mf_http_exchange_free(exchange);
	assert_int_equal(server_requests(server), 1);
	mf_http_destroy(http);
	server_stop(server);
}

/* Answers the first request of a connection, and closes after having read the second. */
static void
serve_once(Connection *connection)
{
	if (connection_read_request(connection))
		connection_reply(connection, "200 OK", "{}");
	connection_read_request(connection);
}

/* libcurl would repeat a GET over another connection by itself; the gate does not let it. */
static void
test_sent_once(void **state)
{
	static const MfHttpVerb verbs[] = {MF_HTTP_GET, MF_HTTP_POST};
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(verbs); i++)
	{
		Server	   *server = server_start(serve_once, NULL);
		MfHttp	   *http = http_create();
		MfHttpTarget *target = target_create(http, server_url(server), 0, 0);
		const char *body = verbs[i] == MF_HTTP_GET ? NULL : BODY;
		MfHttpExchange *exchange = exchange_request(http, target, verbs[i], PATH, body, NULL);

		assert_int_equal(exchange->http_status, 200);
		mf_http_exchange_free(exchange);
		exchange = exchange_request(http, target, verbs[i], PATH, body, NULL);
		assert_true(exchange->gate_passed);
		assert_int_equal(exchange->http_status, 0);
		assert_int_not_equal(exchange->curl_code, 0);
		mf_http_exchange_free(exchange);
		assert_int_equal(server_requests(server), 2);
		mf_http_destroy(http);
		server_stop(server);
	}
}

/* An answer of five megabytes is whole only for a request that expects a long one. */
static void
serve_five_megabytes(Connection *connection)
{
	size_t		size = 5 * 1024 * 1024;
	char	   *body = malloc(size + 1);

	memset(body, ' ', size);
	body[size] = '\0';
	if (connection_read_request(connection))
		connection_reply(connection, "200 OK", body);
	free(body);
	connection_drain(connection);
}

static void
test_large_answer(void **state)
{
	int			large;

	(void) state;
	for (large = 0; large <= 1; large++)
	{
		Server	   *server = server_start(serve_five_megabytes, NULL);
		MfHttp	   *http = http_create();
		MfHttpTarget *target = target_create(http, server_url(server), 0, 0);
		MfHttpRequest request = {.verb = MF_HTTP_GET, .path = PATH, .large_response = large};
		char		error[256] = "";
		MfHttpExchange *exchange;

		assert_non_null(mf_http_send(http, target, &request, error, sizeof(error)));
		exchange = finish_one(http);
		assert_int_equal(exchange->truncated, !large);
		assert_int_equal(exchange->curl_code == 0, large);
		if (large)
			assert_int_equal(exchange->response_len, 5 * 1024 * 1024);
		else
		{
			char		text[1001];

			mf_http_describe(exchange, text, sizeof(text));
			assert_non_null(strstr(text, "exceeds 4194304 bytes"));
		}
		mf_http_exchange_free(exchange);
		mf_http_destroy(http);
		server_stop(server);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verbs),
		cmocka_unit_test(test_bad_keys),
		cmocka_unit_test(test_sent_once),
		cmocka_unit_test(test_large_answer),
	};

	return cmocka_run_group_tests_name("http verbs", tests, NULL, NULL);
}
