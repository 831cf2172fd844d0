/*
 * test_http.c
 *	  Successful exchanges, targets, connections, the gate, and early ends.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/core/test_http.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "client.h"

#include <curl/curl.h>
#include <dirent.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ----------
 * Handlers
 * ----------
 */

/* Accepts every request, keeps the connection. */
static void
serve_accepted(Connection *connection)
{
	while (connection_read_request(connection))
		connection_reply(connection, "200 OK", ACCEPTED);
}

static void
serve_raw(Connection *connection)
{
	const char *answer = connection->server->arg;

	if (connection_read_request(connection))
		connection_send(connection, answer, strlen(answer));
}

/* As serve_raw, but leaves it to the client to close. */
static void
serve_raw_and_keep(Connection *connection)
{
	const char *answer = connection->server->arg;

	while (connection_read_request(connection))
		connection_send(connection, answer, strlen(answer));
}

/* As serve_raw, and what comes next is accepted */
static void
serve_raw_then_accepted(Connection *connection)
{
	const char *answer = connection->server->arg;

	if (connection_read_request(connection))
		connection_send(connection, answer, strlen(answer));
	serve_accepted(connection);
}

static void
serve_nothing(Connection *connection)
{
	while (connection_read_request(connection))
		;
	server_event(connection->server);
}

/* ----------
 * Going well
 * ----------
 */

static char *seen_request;

static void
serve_and_keep_request(Connection *connection)
{
	if (!connection_read_request(connection))
		return;
	seen_request = strdup(connection->request);
	connection_reply(connection, "200 OK", ACCEPTED);
	connection_drain(connection);
}

static void
test_exchange(void **state)
{
	Server	   *server = server_start(serve_and_keep_request, NULL);
	MfHttp	   *http = http_create();
	MfHttpTarget *target = target_create(http, server_url(server), 0, 0);
	int			tag;
	MfHttpExchange *exchange;
	char	   *expected;

	(void) state;
	assert_int_equal(mf_http_timeout(http), -1);
	assert_null(mf_http_next_done(http));
	post(http, target, BODY, &tag);
	assert_int_equal(mf_http_in_flight(http), 1);
	exchange = finish_one(http);
	assert_int_equal(mf_http_in_flight(http), 0);

	assert_ptr_equal(exchange->tag, &tag);
	assert_true(exchange->gate_reached);
	assert_true(exchange->gate_passed);
	assert_int_equal(exchange->body_sent, strlen(BODY));
	assert_int_equal(exchange->body_len, strlen(BODY));
	assert_int_equal(exchange->curl_code, CURLE_OK);
	assert_string_equal(exchange->curl_error, "");
	assert_int_equal(exchange->http_status, 200);
	assert_false(exchange->truncated);
	assert_string_equal(exchange->response, ACCEPTED);
	assert_int_equal(exchange->response_len, strlen(ACCEPTED));
	assert_int_equal(exchange->retry_after, 0);
	assert_true(exchange->connect_us > 0);
	assert_true(exchange->total_us >= exchange->connect_us);
	assert_int_equal(exchange->tls_us, 0);
	assert_false(exchange->connection_reused);
	expected = text("127.0.0.1:%d", server->port);
	assert_string_equal(exchange->host, expected);
	free(expected);
	assert_int_equal(outcome_of(exchange), MF_OUTCOME_ACCEPTED);
	mf_http_exchange_free(exchange);
	mf_http_destroy(http);

	/* all bytes are known: nothing else is sent */
	expected = text("POST %s HTTP/1.1\r\n"
					"Host: 127.0.0.1:%d\r\n"
					"Authorization: Bearer %s\r\n"
					"Content-Type: application/json\r\n"
					"Accept: application/json\r\n"
					"User-Agent: myfatoorah/" MF_VERSION "\r\n"
					"Content-Length: %zu\r\n"
					"\r\n%s", PATH, server->port, KEY, strlen(BODY), BODY);
	server_stop(server);
	assert_string_equal(seen_request, expected);
	free(seen_request);
	free(expected);
}

static void
test_reuse(void **state)
{
	Server	   *server = server_start(serve_accepted, NULL);
	MfHttp	   *http = http_create();
	MfHttpTarget *target = target_create(http, server_url(server), 0, 0);
	int			i;

	(void) state;
	for (i = 0; i < 10; i++)
	{
		MfHttpExchange *exchange = exchange_one(http, target, BODY);

		assert_int_equal(exchange->connection_reused, i > 0);
		assert_int_equal(outcome_of(exchange), MF_OUTCOME_ACCEPTED);
		mf_http_exchange_free(exchange);
	}
	assert_int_equal(server_connections(server), 1);
	assert_int_equal(server_requests(server), 10);
	mf_http_destroy(http);
	server_stop(server);
}

/* Answers with the line of the request. */
static void
serve_path_of_request(Connection *connection)
{
	while (connection_read_request(connection))
	{
		char	   *line = strndup(connection->request, strcspn(connection->request, "\r"));

		connection_reply(connection, "200 OK", line);
		free(line);
	}
}

/*
 * Each request goes to its own path, although all use one handle and one
 * connection in turn.
 */
static void
test_paths(void **state)
{
	static const char *const paths[] = {"/v2/SendPayment", "/v2/GetPaymentStatus", "/v2/GetPaymentStatus",
	"/v2/SendPayment", "/v2/GetPaymentStatus"};
	Server	   *server = server_start(serve_path_of_request, NULL);
	MfHttp	   *http = http_create();
	MfHttpTarget *target = target_create(http, server_url(server), 0, 0);
	size_t		i;

	(void) state;
	for (i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
	{
		char		error[256] = "";
		char	   *expected = text("POST %s HTTP/1.1", paths[i]);
		MfHttpExchange *exchange;

		assert_non_null(http_post(http, target, paths[i], strdup(BODY), strlen(BODY), 0, NULL, error, sizeof(error)));
		exchange = finish_one(http);
		assert_string_equal(exchange->response, expected);
		assert_int_equal(exchange->connection_reused, i > 0);
		mf_http_exchange_free(exchange);
		free(expected);
	}
	mf_http_destroy(http);
	server_stop(server);
}

/* Two accounts on one host share a connection, and their keys are not mixed up. */
static void
serve_key_of_request(Connection *connection)
{
	while (connection_read_request(connection))
	{
		char	   *key = connection_header(connection, "Authorization");

		connection_reply(connection, "200 OK", key);
		free(key);
	}
}

/* Equal in every process, and different for another address or key */
static void
test_checksum(void **state)
{
	static const struct
	{
		const char *base_url;
		const char *key;
	}			places[] = {
		{"https://apitest.myfatoorah.com", "first"},
		{"https://apitest.myfatoorah.com/", "first"},
		{"https://apitest.myfatoorah.com", "second"},
		{"https://api.myfatoorah.com", "first"},
	};
	MfHttp	   *http = http_create();
	int32_t		checksums[4];
	int			i;

	(void) state;
	for (i = 0; i < 4; i++)
	{
		MfHttpTargetOptions options = {0};
		char		error[256];
		MfHttpTarget *target;

		options.base_url = places[i].base_url;
		options.api_key = places[i].key;
		options.timeout_ms = options.connect_timeout_ms = 10000;
		target = mf_http_target_create(http, &options, error, sizeof(error));
		assert_non_null(target);
		checksums[i] = mf_http_target_checksum(target);
	}
	assert_int_equal(checksums[0], 218517889);
	assert_int_equal(checksums[1], checksums[0]);
	assert_int_not_equal(checksums[2], checksums[0]);
	assert_int_not_equal(checksums[3], checksums[0]);
	assert_int_not_equal(checksums[3], checksums[2]);
	mf_http_destroy(http);
}

static MfHttpExchange *
post_remote_only(MfHttp *http, const char *url)
{
	MfHttpTargetOptions options = {0};
	char		error[256] = "";
	MfHttpTarget *target;

	options.base_url = url;
	options.api_key = "key";
	options.timeout_ms = options.connect_timeout_ms = 10000;
	options.remote_only = true;
	target = mf_http_target_create(http, &options, error, sizeof(error));
	assert_non_null(target);
	return exchange_one(http, target, BODY);
}

/*
 * Connecting to this machine fails the same way whether a port is open or
 * closed, even if another target has a connection there.
 */
static void
test_remote_only(void **state)
{
	Server	   *server = server_start(serve_and_keep_request, NULL);
	MfHttp	   *http = http_create();
	const char *const places[] = {server_url(server), "http://127.0.0.1:1", "http://[::1]:1", "https://localhost:1"};
	MfHttpExchange *exchange;
	int			i;

	(void) state;
	for (i = 0; i < 4; i++)
	{
		exchange = post_remote_only(http, places[i]);
		assert_false(exchange->gate_reached);
		assert_int_equal(exchange->connect_us, 0);
		assert_non_null(strstr(exchange->curl_error, "it is on the machine of the database"));
		mf_http_exchange_free(exchange);
	}
	assert_int_equal(server_connections(server), 0);

	mf_http_exchange_free(exchange_one(http, target_create(http, server_url(server), 0, 0), BODY));
	exchange = post_remote_only(http, server_url(server));
	assert_false(exchange->gate_passed);
	assert_int_equal(exchange->body_sent, 0);
	assert_non_null(strstr(exchange->curl_error, "it is on the machine of the database"));
	mf_http_exchange_free(exchange);
	assert_int_equal(server_requests(server), 1);

	mf_http_destroy(http);
	server_stop(server);
	free(seen_request);
	seen_request = NULL;
}

static void
test_two_keys(void **state)
{
	Server	   *server = server_start(serve_key_of_request, NULL);
	MfHttp	   *http = http_create();
	MfHttpTarget *targets[2];
	int			i;

	(void) state;
	for (i = 0; i < 2; i++)
	{
		MfHttpTargetOptions options = {0};
		char		error[256];

		options.base_url = server_url(server);
		options.api_key = i == 0 ? "first" : "second";
		options.timeout_ms = options.connect_timeout_ms = 10000;
		targets[i] = mf_http_target_create(http, &options, error, sizeof(error));
		assert_non_null(targets[i]);
	}
	for (i = 0; i < 6; i++)
	{
		MfHttpExchange *exchange = exchange_one(http, targets[i % 2], BODY);

		MfSendResult result;

		/* echoed by the server: parsed as it came, shown without the key */
		assert_string_equal(exchange->response, i % 2 == 0 ? "Bearer first" : "Bearer second");
		mf_send_result_read(&mf_endpoints[MF_SEND_PAYMENT], exchange, REFERENCE, &result);
		assert_non_null(strstr(result.error, i % 2 == 0 ? ": Bearer *****" : ": Bearer ******"));
		assert_null(strstr(result.error, i % 2 == 0 ? "first" : "second"));
		mf_send_result_free(&result);
		mf_http_exchange_free(exchange);
	}
	mf_http_destroy(http);
	server_stop(server);
}

/* A key that occurs in answers by chance changes nothing of what is parsed. */
static void
test_short_key(void **state)
{
	static const char *const keys[] = {"m", "e", "I", "6", ":", "\"", "true", "InvoiceId", REFERENCE};
	Server	   *server = server_start(serve_accepted, NULL);
	MfHttp	   *http = http_create();
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(keys); i++)
	{
		MfHttpTargetOptions options = {0};
		MfHttpTarget *target;
		MfHttpExchange *exchange;
		char		error[256];

		options.base_url = server_url(server);
		options.api_key = keys[i];
		options.timeout_ms = options.connect_timeout_ms = 10000;
		target = mf_http_target_create(http, &options, error, sizeof(error));
		assert_non_null(target);
		exchange = exchange_one(http, target, BODY);
		assert_string_equal(exchange->response, ACCEPTED);
		{
			MfSendResult result;

			mf_send_result_read(&mf_endpoints[MF_SEND_PAYMENT], exchange, REFERENCE, &result);
			assert_int_equal(result.outcome, MF_OUTCOME_ACCEPTED);
			assert_string_equal(result.customer_reference, REFERENCE);
			mf_send_result_free(&result);
		}
		mf_http_exchange_free(exchange);
		mf_http_target_release(target);
	}
	mf_http_destroy(http);
	server_stop(server);
}

static void
test_chunked(void **state)
{
	char	   *answer = text("HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n"
							  "Transfer-Encoding: chunked\r\n\r\n"
							  "5\r\n%.5s\r\n1\r\n%.1s\r\n%zx\r\n%s\r\n0\r\nRetry-After: 7\r\n\r\n",
							  ACCEPTED, &ACCEPTED[5], strlen(ACCEPTED) - 6, &ACCEPTED[6]);
	Server	   *server = server_start(serve_raw_and_keep, answer);
	MfHttp	   *http = http_create();
	MfHttpTarget *target = target_create(http, server_url(server), 0, 0);
	int			i;

	(void) state;
	for (i = 0; i < 2; i++)
	{
		MfHttpExchange *exchange = exchange_one(http, target, BODY);

		assert_string_equal(exchange->response, ACCEPTED);
		/* a trailer is no header */
		assert_int_equal(exchange->retry_after, 0);
		assert_int_equal(outcome_of(exchange), MF_OUTCOME_ACCEPTED);
		mf_http_exchange_free(exchange);
	}
	assert_int_equal(server_connections(server), 1);
	mf_http_destroy(http);
	server_stop(server);
	free(answer);
}

/*
 * Both forms of Retry-After.  An answer without one has none, whatever came
 * before on the connection.
 */
static void
test_retry_after(void **state)
{
	static const struct
	{
		const char *header;		/* %s stands for a date */
		int			ahead;		/* of that date, in seconds */
		int			least;
		int			most;
	}			cases[] = {
		{"Retry-After: 17\r\n", 0, 17, 17}, {"", 0, 0, 0}, {"Retry-After: 0\r\n", 0, 0, 0},
		{"Retry-After: %s\r\n", 100, 90, 100}, {"Retry-After: %s\r\n", -100, 0, 0}, {"Retry-After: -5\r\n", 0, 0, 0},
		{"Retry-After: 999999\r\n", 0, MF_RETRY_AFTER_CAP, MF_RETRY_AFTER_CAP},
		{"Retry-After: 99999999999999999999999\r\n", 0, 0, MF_RETRY_AFTER_CAP},
		{"Retry-After: Fri, 31 Dec 9999 23:59:59 GMT\r\n", 0, MF_RETRY_AFTER_CAP, MF_RETRY_AFTER_CAP},
		{"Retry-After: Thu, 01 Jan 1970 00:00:00 GMT\r\n", 0, 0, 0}, {"Retry-After: later\r\n", 0, 0, 0},
		{"Retry-After:\r\n", 0, 0, 0},
	};
	size_t		i;

	(void) state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		time_t		then = time(NULL) + cases[i].ahead;
		char		date[64];
		char	   *header = malloc(strlen(cases[i].header) + sizeof(date));
		const char *hole = strstr(cases[i].header, "%s");
		char	   *answer;
		Server	   *server;
		MfHttp	   *http;
		MfHttpTarget *target;
		MfHttpExchange *exchange;
		struct tm	tm;

		strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&then, &tm));
		strcpy(header, cases[i].header);
		if (hole != NULL)
			sprintf(header + (hole - cases[i].header), "%s%s", date, hole + 2);
		answer = text("HTTP/1.1 429 Slow down\r\n%sContent-Length: 0\r\n\r\n", header);
		server = server_start(serve_raw_then_accepted, answer);
		http = http_create();
		target = target_create(http, server_url(server), 0, 0);
		exchange = exchange_one(http, target, BODY);
		if (exchange->retry_after < cases[i].least || exchange->retry_after > cases[i].most)
			fail_msg("\"%s\" gave %d", header, exchange->retry_after);
		mf_http_exchange_free(exchange);
		exchange = exchange_one(http, target, BODY);
		assert_int_equal(exchange->http_status, 200);
		assert_int_equal(exchange->retry_after, 0);
		mf_http_exchange_free(exchange);
		assert_int_equal(server_connections(server), 1);
		mf_http_destroy(http);
		server_stop(server);
		free(answer);
		free(header);
	}
}

static void
test_interim_answer(void **state)
{
	char	   *answer = text("HTTP/1.1 100 Continue\r\nRetry-After: 5\r\nLocation: /wrong\r\n\r\n"
							  "HTTP/1.1 429 Slow down\r\nretry-after:   17  \r\nContent-Length: 0\r\n\r\n");
	Server	   *server = server_start(serve_raw_and_keep, answer);
	MfHttp	   *http = http_create();
	MfHttpTarget *target = target_create(http, server_url(server), 0, 0);
	MfHttpExchange *exchange = exchange_one(http, target, BODY);

	(void) state;
	assert_int_equal(exchange->http_status, 429);
	assert_int_equal(exchange->retry_after, 17);
	assert_string_equal(exchange->location, "");
	assert_int_equal(outcome_of(exchange), MF_OUTCOME_THROTTLED);
	mf_http_exchange_free(exchange);
	mf_http_destroy(http);
	server_stop(server);
	free(answer);

	/* only an interim one, then the end */
	answer = text("HTTP/1.1 100 Continue\r\n\r\n");
	server = server_start(serve_raw, answer);
	http = http_create();
	target = target_create(http, server_url(server), 0, 0);
	exchange = exchange_one(http, target, BODY);
	assert_int_not_equal(exchange->curl_code, CURLE_OK);
	assert_int_equal(outcome_of(exchange), MF_OUTCOME_UNKNOWN);
	mf_http_exchange_free(exchange);
	mf_http_destroy(http);
	server_stop(server);
	free(answer);
}

/*
 * Answers with a digest of the body, its length and the sum of its bytes;
 * answers "Expect: 100-continue".
 */
static void
serve_sum(Connection *connection)
{
	while (connection_read_request(connection))
	{
		unsigned long sum = 0;
		size_t		i;
		char	   *expect = connection_header(connection, "Expect");
		char	   *answer;

		for (i = 0; i < connection->body_len; i++)
			sum = sum * 31 + (unsigned char) connection->body[i];
		answer = text("%zu %lu%s", connection->body_len, sum, expect != NULL ? " Expect" : "");
		connection_reply(connection, "200 OK", answer);
		free(answer);
		free(expect);
	}
}

static void
test_large_bodies(void **state)
{
	static const size_t sizes[] = {0, 1, 16383, 16384, 16385, 65535, 65536, 65537, 200000, 1048576, 3000001};
	Server	   *server = server_start(serve_sum, NULL);
	MfHttp	   *http = http_create();
	MfHttpTarget *target = target_create(http, server_url(server), 0, 0);
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(sizes); i++)
	{
		char	   *body = malloc(sizes[i] + 1);
		char		error[256];
		char	   *expected;
		unsigned long sum = 0;
		size_t		k;
		MfHttpExchange *exchange;

		for (k = 0; k < sizes[i]; k++)
		{
			body[k] = (char) (k * 7 + k / 251);
			sum = sum * 31 + (unsigned char) body[k];
		}
		expected = text("%zu %lu", sizes[i], sum);
		assert_non_null(http_post(http, target, PATH, body, sizes[i], 0, NULL, error, sizeof(error)));
		exchange = finish_one(http);
		assert_int_equal(exchange->curl_code, CURLE_OK);
		assert_int_equal(exchange->body_sent, sizes[i]);
		assert_string_equal(exchange->response, expected);
		mf_http_exchange_free(exchange);
		free(expected);
	}
	assert_int_equal(server_connections(server), 1);
	mf_http_destroy(http);
	server_stop(server);
}

/* ----------
 * Answers that are too large or lead away
 * ----------
 */

static void
serve_megabytes(Connection *connection)
{
	static char block[65536];
	int			total = *(int *) connection->server->arg;
	char	   *head = text("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", total);

	memset(block, ' ', sizeof(block));
	if (connection_read_request(connection))
	{
		connection_send(connection, head, strlen(head));
		for (; total > 0; total -= (int) sizeof(block))
		{
			if (!connection_send(connection, block, total < (int) sizeof(block) ? (size_t) total : sizeof(block)))
				break;
		}
		connection_drain(connection);
	}
	free(head);
}

static void
test_oversized_answer(void **state)
{
	int			sizes[3] = {MF_HTTP_MAX_RESPONSE, MF_HTTP_MAX_RESPONSE + 1, 4 * MF_HTTP_MAX_RESPONSE};
	int			i;

	(void) state;
	for (i = 0; i < 3; i++)
	{
		Server	   *server = server_start(serve_megabytes, &sizes[i]);
		MfHttp	   *http = http_create();
		MfHttpTarget *target = target_create(http, server_url(server), 0, 0);
		MfHttpExchange *exchange = exchange_one(http, target, BODY);

		assert_int_equal(exchange->truncated, i > 0);
		assert_int_equal(exchange->curl_code, i > 0 ? CURLE_WRITE_ERROR : CURLE_OK);
		assert_true(exchange->response_len <= MF_HTTP_MAX_RESPONSE);
		assert_int_equal(outcome_of(exchange), MF_OUTCOME_UNKNOWN);
		mf_http_exchange_free(exchange);
		mf_http_destroy(http);
		server_stop(server);
	}
}

static void
test_redirect(void **state)
{
	static const char *const codes[] = {"301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"};
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(codes); i++)
	{
		Server	   *other = server_start(serve_accepted, NULL);
		char	   *answer = text("HTTP/1.1 %s\r\nLocation: %s/elsewhere\r\nContent-Length: 0\r\n\r\n",
								  codes[i], server_url(other));
		Server	   *server = server_start(serve_raw_and_keep, answer);
		MfHttp	   *http = http_create();
		MfHttpTarget *target = target_create(http, server_url(server), 0, 0);
		MfHttpExchange *exchange = exchange_one(http, target, BODY);

		assert_int_equal(exchange->http_status / 100, 3);
		assert_int_equal(outcome_of(exchange), MF_OUTCOME_ACCOUNT_PROBLEM);
		assert_int_equal(server_requests(server), 1);
		assert_int_equal(server_connections(other), 0);
		mf_http_exchange_free(exchange);
		mf_http_destroy(http);
		server_stop(server);
		server_stop(other);
		free(answer);
	}
}

static void
test_environment(void **state)
{
	static const char *const names[] = {"http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"};
	Server	   *proxy = server_start(serve_accepted, NULL);
	Server	   *server = server_start(serve_accepted, NULL);
	MfHttp	   *http;
	MfHttpTarget *target;
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(names); i++)
		setenv(names[i], server_url(proxy), 1);
	http = http_create();
	target = target_create(http, server_url(server), 0, 0);
	assert_int_equal(outcome_one(http, target, BODY), MF_OUTCOME_ACCEPTED);
	assert_int_equal(server_connections(proxy), 0);
	assert_int_equal(server_requests(server), 1);
	for (i = 0; i < LENGTH(names); i++)
		unsetenv(names[i]);
	mf_http_destroy(http);
	server_stop(server);
	server_stop(proxy);
}

/* ----------
 * The gate
 * ----------
 */

static void
test_gate(void **state)
{
	Server	   *server = server_start(serve_accepted, NULL);
	MfHttp	   *http = http_create();
	MfHttpTarget *target = target_create(http, server_url(server), 0, 0);
	MfHttpExchange *exchange;
	char		error[256];
	char		described[512];
	int			round;

	(void) state;
	/* in the second round on a kept connection */
	for (round = 0; round < 2; round++)
	{
		mf_http_close_gate(http, true);
		exchange = exchange_one(http, target, BODY);
		assert_true(exchange->gate_reached);
		assert_false(exchange->gate_passed);
		assert_int_equal(exchange->body_sent, 0);
		assert_int_equal(exchange->curl_code, CURLE_ABORTED_BY_CALLBACK);
		mf_http_describe(exchange, described, sizeof(described));
		assert_non_null(strstr(described, "sending was stopped"));
		assert_int_equal(outcome_of(exchange), MF_OUTCOME_NOT_SENT);
		mf_http_exchange_free(exchange);
		mf_http_close_gate(http, false);

		assert_non_null(http_post(http, target, PATH, strdup(BODY), strlen(BODY), mf_http_clock() - 1,
									 NULL, error, sizeof(error)));
		exchange = finish_one(http);
		assert_true(exchange->gate_reached);
		assert_false(exchange->gate_passed);
		mf_http_describe(exchange, described, sizeof(described));
		assert_non_null(strstr(described, "time allowed for sending"));
		assert_int_equal(outcome_of(exchange), MF_OUTCOME_NOT_SENT);
		mf_http_exchange_free(exchange);

		assert_int_equal(server_requests(server), round);
		assert_non_null(http_post(http, target, PATH, strdup(BODY), strlen(BODY),
									 mf_http_clock() + INT64_C(60000000000), NULL, error, sizeof(error)));
		exchange = finish_one(http);
		assert_int_equal(outcome_of(exchange), MF_OUTCOME_ACCEPTED);
		mf_http_exchange_free(exchange);
		assert_int_equal(server_requests(server), round + 1);
	}
	mf_http_destroy(http);
	server_stop(server);
}

/* ----------
 * Targets
 * ----------
 */

static void
test_targets(void **state)
{
	static const char *const good[] = {
		"https://api.myfatoorah.com", "https://api.myfatoorah.com/", "https://api.myfatoorah.com:8443",
		"https://[2001:db8::1]:8443", "http://127.0.0.1", "http://127.0.0.1:443",
		"http://127.1.2.3:8080", "http://localhost:1234", "http://localhost", "http://[::1]:81",
	};
	static const char *const bad[] = {
		"", "api.myfatoorah.com", "//api.myfatoorah.com", "ftp://api.myfatoorah.com", "file:///etc/passwd",
		"http://api.myfatoorah.com", "http://128.0.0.1", "http://127.0.0.1.example.com", "http://localhost.example.com",
		"http://[::2]", "http://0.0.0.0", "http://10.0.0.1", "http://[::ffff:10.0.0.1]",
		"https://user@api.myfatoorah.com", "https://user:pw@api.myfatoorah.com", "https://:pw@api.myfatoorah.com",
		"https://@api.myfatoorah.com",
		"https://api.myfatoorah.com?x=1", "https://api.myfatoorah.com/?", "https://api.myfatoorah.com#x",
		"https://api.myfatoorah.com/#", "https://api.myfatoorah.com/v2", "https://api.myfatoorah.com//",
		"https://api.myfatoorah.com:0x50", "https://api.myfatoorah.com:99999", "https://",
		"https:/api.myfatoorah.com", "https:///api.myfatoorah.com", "https:api.myfatoorah.com", "http:///127.0.0.1",
		"HTTPS://api.myfatoorah.com", "https://API.myfatoorah.com", "https://api.myfatoorah.com:443", "https://api.myfatoorah.com.",
		"https://api.myfatoorah.com:08443", "http://127.0.0.1:80", "http://LOCALHOST", "https://[2001:DB8::1]",
		"https://api.myfatoorah.com\r\nX: y", "https://api .myfatoorah.com", "https://api.myfatoorah.com\\@evil.example",
	};
	static const char *const bad_keys[] = {"", " ", "a b", "a\n", "a\r\nX: y", "\ttab", "a\x7F", "caf\xC3\xA9", "\x01"};
	MfHttp	   *http = http_create();
	MfHttpTargetOptions options = {0};
	char		error[256];
	size_t		i;

	(void) state;
	options.api_key = KEY;
	options.timeout_ms = options.connect_timeout_ms = 1000;
	for (i = 0; i < LENGTH(good); i++)
	{
		MfHttpTarget *target;

		options.base_url = good[i];
		target = mf_http_target_create(http, &options, error, sizeof(error));
		if (target == NULL)
			fail_msg("%s: %s", good[i], error);
		mf_http_target_release(target);
	}
	for (i = 0; i < LENGTH(bad); i++)
	{
		options.base_url = bad[i];
		error[0] = '\0';
		if (mf_http_target_create(http, &options, error, sizeof(error)) != NULL)
			fail_msg("%s was taken", bad[i]);
		assert_string_not_equal(error, "");
	}
	options.base_url = "https://api.myfatoorah.com";
	for (i = 0; i < LENGTH(bad_keys); i++)
	{
		options.api_key = bad_keys[i];
		assert_null(mf_http_target_create(http, &options, error, sizeof(error)));
		assert_non_null(strstr(error, "API key"));
	}
	options.api_key = "topsecret\n";
	assert_null(mf_http_target_create(http, &options, error, sizeof(error)));
	assert_null(strstr(error, "topsecret"));
	options.api_key = KEY;
	options.timeout_ms = 0;
	assert_null(mf_http_target_create(http, &options, error, sizeof(error)));
	options.timeout_ms = 1000;
	options.connect_timeout_ms = -1;
	assert_null(mf_http_target_create(http, &options, error, sizeof(error)));
	assert_null(mf_http_target_create(http, &options, NULL, 0));
	mf_http_destroy(http);
	mf_http_destroy(NULL);
	mf_http_target_release(NULL);
}

/* A released target lives until its exchanges have ended. */
static void
test_release_while_busy(void **state)
{
	Server	   *server = server_start(serve_accepted, NULL);
	MfHttp	   *http = http_create();
	MfHttpTarget *target = target_create(http, server_url(server), 0, 0);
	MfHttpExchange *exchange;
	int			i;

	(void) state;
	for (i = 0; i < 3; i++)
		post(http, target, BODY, NULL);
	mf_http_target_release(target);
	for (i = 0; i < 3; i++)
	{
		exchange = finish_one(http);
		assert_int_equal(outcome_of(exchange), MF_OUTCOME_ACCEPTED);
		mf_http_exchange_free(exchange);
	}
	mf_http_destroy(http);
	server_stop(server);
}

/* libcurl refuses the path: the exchange fails, and nothing was sent. */
static void
test_bad_path(void **state)
{
	Server	   *server = server_start(serve_accepted, NULL);
	MfHttp	   *http = http_create();
	MfHttpTarget *target = target_create(http, server_url(server), 0, 0);
	MfHttpExchange *exchange;
	char		error[256] = "";

	(void) state;
	assert_non_null(http_post(http, target, "/v2/Send\r\nX: y", strdup(BODY), strlen(BODY), 0, NULL, error, sizeof(error)));
	exchange = finish_one(http);
	assert_int_equal(exchange->curl_code, CURLE_URL_MALFORMAT);
	assert_int_equal(outcome_of(exchange), MF_OUTCOME_NOT_SENT);
	mf_http_exchange_free(exchange);
	assert_int_equal(outcome_one(http, target, BODY), MF_OUTCOME_ACCEPTED);
	assert_int_equal(server_requests(server), 1);
	mf_http_destroy(http);
	server_stop(server);
}

/* ----------
 * Ending early
 * ----------
 */

static bool
request_arrived(void *arg)
{
	return server_requests(arg) > 0;
}

static void
test_abort(void **state)
{
	Server	   *server = server_start(serve_nothing, NULL);
	MfHttp	   *http = http_create();
	MfHttpTarget *target = target_create(http, server_url(server), 0, 0);
	MfHttpExchange *exchange = post(http, target, BODY, NULL);
	double		start;

	(void) state;
	run_until(http, request_arrived, server);
	start = seconds_now();
	mf_http_stop_thread(http);
	assert_true(exchange->gate_passed);
	mf_http_abort(http, exchange);
	assert_true(seconds_now() - start < SOON);
	assert_int_equal(mf_http_in_flight(http), 0);
	/* the connection is closed, because nothing else can be done with it */
	assert_true(server_wait_events(server, 1));

	/* ended, but not handed out */
	mf_http_close_gate(http, true);
	exchange = post(http, target, BODY, NULL);
	post(http, target, BODY, NULL);
	do
		mf_http_perform(http);
	while (exchange->transfer != NULL);
	mf_http_abort(http, exchange);
	assert_int_equal(mf_http_in_flight(http), 1);
	exchange = finish_one(http);
	assert_int_equal(outcome_of(exchange), MF_OUTCOME_NOT_SENT);
	mf_http_exchange_free(exchange);
	assert_null(mf_http_next_done(http));
	assert_int_equal(mf_http_in_flight(http), 0);
	mf_http_destroy(http);
	server_stop(server);
}

static void
test_destroy_in_flight(void **state)
{
	Server	   *server = server_start(serve_nothing, NULL);
	MfHttp	   *http = http_create();
	MfHttpTarget *target = target_create(http, server_url(server), 0, 0);
	MfHttpTarget *released = target_create(http, server_url(server), 0, 0);
	int			i;

	(void) state;
	for (i = 0; i < 5; i++)
	{
		post(http, target, BODY, NULL);
		post(http, released, BODY, NULL);
	}
	mf_http_target_release(released);
	run_until(http, request_arrived, server);
	/* one that waits to be handed out */
	mf_http_close_gate(http, true);
	post(http, target, BODY, NULL);
	assert_int_equal(mf_http_in_flight(http), 11);
	mf_http_destroy(http);
	assert_true(server_wait_closed(server, server_connections(server)));
	server_stop(server);
}

/* ----------
 * Many
 * ----------
 */

static void
test_thousands(void **state)
{
	Server	   *server = server_start(serve_accepted, NULL);
	MfHttp	   *http = http_create();
	MfHttpTarget *target = target_create(http, server_url(server), 0, 0);
	const int	total = 4000;
	const int	at_once = 8;
	int			submitted = 0;
	int			ended = 0;
	size_t		memory = 0;

	(void) state;
	while (ended < total)
	{
		MfHttpExchange *exchange;

		while (submitted < total && submitted - ended < at_once)
		{
			post(http, target, BODY, NULL);
			submitted++;
		}
		exchange = finish_one(http);
		assert_int_equal(outcome_of(exchange), MF_OUTCOME_ACCEPTED);
		mf_http_exchange_free(exchange);
		ended++;
		if (ended == total / 4)
			memory = mallinfo2().uordblks;
	}
	assert_int_equal(server_requests(server), total);
	assert_true(server_connections(server) <= at_once);
	/*
	 * after three quarters of the requests nothing grows (the number of
	 * answers in flight varies)
	 */
	assert_true(mallinfo2().uordblks <= memory + 65536);
	mf_http_destroy(http);
	server_stop(server);
}

static int
count_descriptors(void)
{
	DIR		   *dir = opendir("/proc/self/fd");
	int			count = 0;

	assert_non_null(dir);
	while (readdir(dir) != NULL)
		count++;
	closedir(dir);
	return count;
}

/* Descriptors are closed, whatever was done with them. */
static void
test_descriptors(void **state)
{
	Server	   *server = server_start(serve_accepted, NULL);
	int			before = count_descriptors();
	int			i;

	(void) state;
	for (i = 0; i < 5; i++)
	{
		MfHttp	   *http = http_create();
		MfHttpTarget *target = target_create(http, server_url(server), 0, 0);

		outcome_one(http, target, BODY);
		post(http, target, BODY, NULL);
		mf_http_destroy(http);
		assert_true(server_wait_closed(server, i + 1));
	}
	assert_int_equal(count_descriptors(), before);
	server_stop(server);
}

/* ----------
 * Signals
 * ----------
 */

static void
check_mask(const sigset_t *expected)
{
	sigset_t	mask;
	int			i;

	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	for (i = 1; i < NSIG; i++)
		assert_int_equal(sigismember(&mask, i), sigismember(expected, i));
}

static void
test_signal_mask(void **state)
{
	Server	   *server = server_start(serve_accepted, NULL);
	MfHttp	   *http;
	MfHttpTarget *target;
	MfHttpExchange *exchange;
	MfHttpTargetOptions options = {0};
	char		error[256];
	sigset_t	ours;
	sigset_t	saved;

	(void) state;
	sigemptyset(&ours);
	sigaddset(&ours, SIGUSR1);
	sigaddset(&ours, SIGALRM);
	pthread_sigmask(SIG_SETMASK, &ours, &saved);
	http = http_create();
	check_mask(&ours);
	target = target_create(http, server_url(server), 0, 0);
	check_mask(&ours);
	assert_null(mf_http_target_create(http, &options, error, sizeof(error)));
	options.base_url = "ftp://x";
	options.api_key = KEY;
	options.timeout_ms = options.connect_timeout_ms = 1000;
	assert_null(mf_http_target_create(http, &options, error, sizeof(error)));
	check_mask(&ours);
	exchange = post(http, target, BODY, NULL);
	check_mask(&ours);
	mf_http_perform(http);
	check_mask(&ours);
	exchange = finish_one(http);
	check_mask(&ours);
	mf_http_exchange_free(exchange);
	exchange = post(http, target, BODY, NULL);
	mf_http_stop_thread(http);
	mf_http_abort(http, exchange);
	check_mask(&ours);
	mf_http_target_release(target);
	check_mask(&ours);
	mf_http_destroy(http);
	check_mask(&ours);
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
	server_stop(server);
}

/* The first requests of a burst are sent while the last have no connection yet. */
static void
test_burst(void **state)
{
	Server	   *server = server_start(serve_accepted, NULL);
	MfHttp	   *http = http_create();
	MfHttpTarget *target = target_create(http, server_url(server), 0, 0);
	const int	burst = 200;
	int			before;
	int			i;

	(void) state;
	mf_http_stop_thread(http);
	before = count_descriptors();
	for (i = 0; i < burst; i++)
		post(http, target, BODY, NULL);
	mf_http_perform(http);
	/* the server runs in this process and has its own ends of them */
	assert_between(count_descriptors() - before, 1, burst / 2);
	assert_int_equal(mf_http_timeout(http), 0);
	for (i = 0; i < burst; i++)
	{
		MfHttpExchange *exchange = finish_one(http);

		assert_int_equal(outcome_of(exchange), MF_OUTCOME_ACCEPTED);
		mf_http_exchange_free(exchange);
	}
	assert_int_equal(server_requests(server), burst);
	assert_int_equal(mf_http_in_flight(http), 0);
	mf_http_destroy(http);
	server_stop(server);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exchange),
		cmocka_unit_test(test_reuse),
		cmocka_unit_test(test_checksum),
		cmocka_unit_test(test_remote_only),
		cmocka_unit_test(test_two_keys),
		cmocka_unit_test(test_short_key),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_chunked),
		cmocka_unit_test(test_retry_after),
		cmocka_unit_test(test_interim_answer),
		cmocka_unit_test(test_large_bodies),
		cmocka_unit_test(test_oversized_answer),
		cmocka_unit_test(test_redirect),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_gate),
		cmocka_unit_test(test_targets),
		cmocka_unit_test(test_release_while_busy),
		cmocka_unit_test(test_bad_path),
		cmocka_unit_test(test_abort),
		cmocka_unit_test(test_destroy_in_flight),
		cmocka_unit_test(test_thousands),
		cmocka_unit_test(test_burst),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_signal_mask),
	};

	return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
