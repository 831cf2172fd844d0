/*
 * test_http_faults.c
 *	  What the network can do to an exchange, and what may be concluded from
 *	  it.
 *
 * Whatever happens, a body reaches the server at most once per exchange.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/core/test_http_faults.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "client.h"

#include "core/http/http_private.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* What the server does with a request */
typedef struct Fault
{
	const char *answer;
	size_t		answer_len;		/* bytes of it to send */
	size_t		request_len;	/* bytes to read, 0 = the whole request */
	bool		reset;			/* close by reset */
} Fault;

static void
serve_fault(Connection *connection)
{
	const Fault *fault = connection->server->arg;

	if (fault->reset)
		connection_reset(connection);
	if (fault->request_len > 0)
	{
		while (connection->ahead_len < fault->request_len && connection_read_some(connection))
			;
	}
	else if (!connection_read_request(connection))
		return;
	connection_send(connection, fault->answer, fault->answer_len);
}

/* ----------
 * Byte by byte
 * ----------
 */

/*
 * Cuts an answer after every byte, by a close and by a reset.  The last
 * "spare" bytes mean nothing: without them the answer may count as complete.
 */
static void
cut_everywhere(const char *answer, size_t spare, MfOutcome whole)
{
	size_t		len = strlen(answer);
	int			reset;

	for (reset = 0; reset < 2; reset++)
	{
		Fault		fault = {answer, 0, 0, reset != 0};
		Server	   *server = server_start(serve_fault, &fault);
		MfHttp	   *http = http_create();
		MfHttpTarget *target = target_create(http, server_url(server), 0, 0);
		int			count = 0;

		for (fault.answer_len = 0; fault.answer_len <= len; fault.answer_len++)
		{
			MfHttpExchange *exchange = exchange_one(http, target, BODY);
			MfOutcome	outcome = outcome_of(exchange);

			count++;
			assert_true(exchange->gate_passed);
			if (fault.answer_len < len && outcome != MF_OUTCOME_UNKNOWN &&
				(fault.answer_len < len - spare || outcome != whole))
				fail_msg("cut at %zu of %zu: %s (curl %d, status %ld)", fault.answer_len, len,
						 mf_outcome_name(outcome), exchange->curl_code, exchange->http_status);
			if (fault.answer_len == len && !reset && outcome != whole)
				fail_msg("whole answer: %s (curl %d)", mf_outcome_name(outcome), exchange->curl_code);
			/* a reset may overtake the last bytes of a whole answer */
			if (fault.answer_len == len && reset && outcome != whole && outcome != MF_OUTCOME_UNKNOWN)
				fail_msg("whole answer, reset: %s", mf_outcome_name(outcome));
			assert_int_equal(server_requests(server), count);
			mf_http_exchange_free(exchange);
		}
		mf_http_destroy(http);
		server_stop(server);
	}
}

static void
test_cut_answer(void **state)
{
	char	   *answer = text("HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n"
							  "Server: test\r\nContent-Length: %zu\r\n\r\n%s", strlen(ACCEPTED), ACCEPTED);

	(void) state;
	cut_everywhere(answer, 0, MF_OUTCOME_ACCEPTED);
	free(answer);
}

static void
test_cut_chunked_answer(void **state)
{
	char	   *answer = text("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
							  "10\r\n%.16s\r\n%zx\r\n%s\r\n0\r\n\r\n",
							  ACCEPTED, strlen(ACCEPTED) - 16, &ACCEPTED[16]);

	(void) state;
	/* libcurl does not wait for the very last line feed */
	cut_everywhere(answer, 1, MF_OUTCOME_ACCEPTED);
	free(answer);
}

/* An answer that ends with the connection is complete only if its JSON is. */
static void
test_cut_unmeasured_answer(void **state)
{
	char	   *answer = text("HTTP/1.1 200 OK\r\n\r\n%s", ACCEPTED);

	(void) state;
	cut_everywhere(answer, 0, MF_OUTCOME_ACCEPTED);
	free(answer);
}

static void
test_cut_refusals(void **state)
{
	char	   *refusal = fixture("send-payment.response.validation-error.json");
	char	   *html = fixture("error.http-403.html");
	char	   *answer;

	(void) state;
	answer = text("HTTP/1.1 400 Bad Request\r\nContent-Length: %zu\r\n\r\n%s", strlen(refusal), refusal);
	cut_everywhere(answer, 0, MF_OUTCOME_REJECTED);
	free(answer);

	answer = text("HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nContent-Length: %zu\r\n\r\n%s",
				  strlen(html), html);
	cut_everywhere(answer, 0, MF_OUTCOME_ACCOUNT_PROBLEM);
	free(answer);

	answer = text("HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n");
	cut_everywhere(answer, 0, MF_OUTCOME_THROTTLED);
	free(answer);

	answer = text("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n");
	cut_everywhere(answer, 0, MF_OUTCOME_ACCOUNT_PROBLEM);
	free(answer);
	free(refusal);
	free(html);
}

/* The server reads part of the request and closes. */
static void
test_cut_request(void **state)
{
	int			reset;
	size_t		body_len;

	(void) state;
	/* one body that is sent with the headers, and one that is not */
	for (body_len = 100; body_len <= 1000000; body_len = body_len * 10000)
	{
		char	   *body = malloc(body_len + 1);

		memset(body, 'x', body_len);
		body[body_len] = '\0';
		for (reset = 0; reset < 2; reset++)
		{
			Fault		fault = {"", 0, 1, reset != 0};
			Server	   *server = server_start(serve_fault, &fault);
			MfHttp	   *http = http_create();
			MfHttpTarget *target = target_create(http, server_url(server), 0, 0);

			for (fault.request_len = 1; fault.request_len < 300; fault.request_len += 7)
			{
				MfHttpExchange *exchange = exchange_one(http, target, body);
				MfOutcome	outcome = outcome_of(exchange);

				if (outcome != (exchange->gate_passed ? MF_OUTCOME_UNKNOWN : MF_OUTCOME_NOT_SENT))
					fail_msg("request cut at %zu: %s, curl %d", fault.request_len,
							 mf_outcome_name(outcome), exchange->curl_code);
				assert_int_equal(server_requests(server), 0);
				mf_http_exchange_free(exchange);
			}
			mf_http_destroy(http);
			server_stop(server);
		}
		free(body);
	}
}

static void
test_not_http(void **state)
{
	static const char *const answers[] = {
		"SSH-2.0-OpenSSH_9.2\r\n", "220 mail ready\r\n", "\x15\x03\x01\x00\x02\x02\x46", "{\"IsSuccess\":true}", "HTTP/0.9 huh\r\n\r\n",
		"HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1\r\n\r\n", "HTTP/3.7 200 OK\r\n\r\n", "\r\n\r\n", ACCEPTED, "HTTP/1.1 abc OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
	};
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(answers); i++)
	{
		Fault		fault = {answers[i], strlen(answers[i]), 0, false};
		Server	   *server = server_start(serve_fault, &fault);
		MfHttp	   *http = http_create();
		MfHttpTarget *target = target_create(http, server_url(server), 0, 0);
		MfHttpExchange *exchange = exchange_one(http, target, BODY);

		assert_int_equal(outcome_of(exchange), MF_OUTCOME_UNKNOWN);
		/* nothing is taken for a body that has no headers */
		if (strncmp(answers[i], "HTTP/", 5) != 0)
			assert_int_equal(exchange->response_len, 0);
		mf_http_exchange_free(exchange);
		assert_int_equal(server_requests(server), 1);
		mf_http_destroy(http);
		server_stop(server);
	}
}

/* ----------
 * Once only
 * ----------
 */

/* The first request of a connection is answered; the second one is read and dropped. */
static void
serve_once_then_drop(Connection *connection)
{
	if (!connection_read_request(connection))
		return;
	connection_reply(connection, "200 OK", ACCEPTED);
	if (connection->server->arg != NULL)
		connection_reset(connection);
	connection_read_request(connection);
}

static void
test_no_second_post(void **state)
{
	int			reset;

	(void) state;
	for (reset = 0; reset < 2; reset++)
	{
		Server	   *server = server_start(serve_once_then_drop, reset ? &reset : NULL);
		MfHttp	   *http = http_create();
		MfHttpTarget *target = target_create(http, server_url(server), 0, 0);
		MfHttpExchange *exchange;
		char		described[512];

		assert_int_equal(outcome_one(http, target, BODY), MF_OUTCOME_ACCEPTED);
		exchange = exchange_one(http, target, BODY);
		assert_int_equal(outcome_of(exchange), MF_OUTCOME_UNKNOWN);
		assert_true(exchange->gate_passed);
		/* 42 where libcurl wanted to repeat the request, 56 where a reset said more */
		assert_true(exchange->curl_code == CURLE_ABORTED_BY_CALLBACK || exchange->curl_code == CURLE_RECV_ERROR);
		mf_http_describe(exchange, described, sizeof(described));
		assert_non_null(strstr(described, "lost after the request was sent, without an answer"));
		assert_true(exchange->connection_reused);
		mf_http_exchange_free(exchange);
		assert_int_equal(server_requests(server), 2);

		/* and the next one is served in full */
		assert_int_equal(outcome_one(http, target, BODY), MF_OUTCOME_ACCEPTED);
		mf_http_destroy(http);

		/* libcurl opens a connection to repeat the request, but sends nothing on it */
		assert_true(server_wait_closed(server, server_connections(server)));
		assert_int_equal(server_requests(server), 3);
		server_stop(server);
	}
}

static size_t
swallow(char *data, size_t size, size_t count, void *arg)
{
	(void) data;
	(void) arg;
	return size * count;
}

/*
 * The same without a gate: the body is sent twice, which
 * test_no_second_post() prevents.  Seen with 7.88. Reports if a later libcurl
 * does not do so any more.
 */
static void
test_control_second_post(void **state)
{
	Server	   *server = server_start(serve_once_then_drop, NULL);
	CURL	   *easy = curl_easy_init();
	CURLcode	code;
	int			requests;

	(void) state;
	curl_easy_setopt(easy, CURLOPT_URL, server_url(server));
	curl_easy_setopt(easy, CURLOPT_POSTFIELDS, BODY);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, swallow);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	assert_int_equal(curl_easy_perform(easy), CURLE_OK);
	code = curl_easy_perform(easy);
	requests = server_requests(server);
	curl_easy_cleanup(easy);
	server_stop(server);
	if (requests == 2)
	{
		print_message("libcurl %s does not repeat a POST by itself\n", curl_version_info(CURLVERSION_NOW)->version);
		skip();
	}
	assert_int_equal(code, CURLE_OK);
	assert_int_equal(requests, 3);
}

/* Answers and closes: the client notices before its next request. */
static void
serve_one_and_close(Connection *connection)
{
	if (connection_read_request(connection))
		connection_reply(connection, "200 OK", ACCEPTED);
}

static void
test_idle_closed(void **state)
{
	Server	   *server = server_start(serve_one_and_close, NULL);
	MfHttp	   *http = http_create();
	MfHttpTarget *target = target_create(http, server_url(server), 0, 0);
	int			i;

	(void) state;
	for (i = 1; i <= 20; i++)
	{
		MfHttpExchange *exchange = exchange_one(http, target, BODY);

		assert_int_equal(outcome_of(exchange), MF_OUTCOME_ACCEPTED);
		assert_false(exchange->connection_reused);
		mf_http_exchange_free(exchange);
		assert_int_equal(server_requests(server), i);
		assert_int_equal(server_connections(server), i);
		assert_true(server_wait_closed(server, i));
	}
	mf_http_destroy(http);
	server_stop(server);
}

/* ----------
 * Answers that come before the request has ended
 * ----------
 */

static void
serve_early(Connection *connection)
{
	const Fault *fault = connection->server->arg;

	while (connection->ahead_len < 1000 && connection_read_some(connection))
		;
	connection_send(connection, fault->answer, fault->answer_len);
	connection_drain(connection);
}

static void
test_early_answer(void **state)
{
	static const struct
	{
		const char *answer;
		MfOutcome	outcome;
	}			cases[] = {
		{"HTTP/1.1 413 Too large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", MF_OUTCOME_UNKNOWN},
		{"HTTP/1.1 401 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", MF_OUTCOME_ACCOUNT_PROBLEM},
		{"HTTP/1.1 429 Slow\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", MF_OUTCOME_THROTTLED},
		{"HTTP/1.1 400 Bad\r\nContent-Length: 19\r\nConnection: close\r\n\r\n{\"IsSuccess\":false}", MF_OUTCOME_UNKNOWN},
		{"HTTP/1.1 400 Bad\r\nContent-Length: 64\r\nConnection: close\r\n\r\n{\"IsSuccess\":false,\"ValidationErrors\":[{\"Name\":\"a\",\"Error\":\"\"}]}", MF_OUTCOME_REJECTED},
		{"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", MF_OUTCOME_UNKNOWN},
	};
	size_t		body_len = 8 * 1024 * 1024;
	char	   *body = malloc(body_len + 1);
	size_t		i;

	(void) state;
	memset(body, 'x', body_len);
	body[body_len] = '\0';
	for (i = 0; i < LENGTH(cases); i++)
	{
		Fault		fault = {cases[i].answer, strlen(cases[i].answer), 0, false};
		Server	   *server = server_start(serve_early, &fault);
		MfHttp	   *http = http_create();
		MfHttpTarget *target = target_create(http, server_url(server), 0, 0);
		MfHttpExchange *exchange = exchange_one(http, target, body);

		assert_int_equal(exchange->curl_code, CURLE_OK);
		assert_int_equal(outcome_of(exchange), cases[i].outcome);
		mf_http_exchange_free(exchange);
		mf_http_destroy(http);
		server_stop(server);
	}
	free(body);
}

/* ----------
 * No connection
 * ----------
 */

static int
bound_port(bool listening, int *fd)
{
	struct sockaddr_in address = {0};
	socklen_t	len = sizeof(address);

	*fd = socket(AF_INET, SOCK_STREAM, 0);
	address.sin_family = AF_INET;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(*fd, (struct sockaddr *) &address, sizeof(address)), 0);
	if (listening)
		assert_int_equal(listen(*fd, 0), 0);
	assert_int_equal(getsockname(*fd, (struct sockaddr *) &address, &len), 0);
	return ntohs(address.sin_port);
}

static void
test_refused(void **state)
{
	int			fd;
	int			port = bound_port(false, &fd);
	char	   *url = text("http://127.0.0.1:%d", port);
	MfHttp	   *http = http_create();
	MfHttpTarget *target = target_create(http, url, 0, 0);
	MfHttpExchange *exchange = exchange_one(http, target, BODY);
	char		described[512];

	(void) state;
	assert_int_equal(exchange->curl_code, CURLE_COULDNT_CONNECT);
	assert_false(exchange->gate_reached);
	assert_int_equal(exchange->http_status, 0);
	assert_string_equal(exchange->response, "");
	mf_http_describe(exchange, described, sizeof(described));
	assert_non_null(strstr(described, "could not connect to 127.0.0.1"));
	assert_int_equal(outcome_of(exchange), MF_OUTCOME_NOT_SENT);
	mf_http_exchange_free(exchange);
	mf_http_destroy(http);
	close(fd);
	free(url);
}

static void
serve_throttled(Connection *connection)
{
	static const char answer[] = "HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n";

	if (connection_read_request(connection))
		connection_send(connection, answer, sizeof(answer) - 1);
}

/*
 * A handle that fails before it connects has no status, though libcurl may report
 * that of the exchange before.
 */
static void
test_status_of_before(void **state)
{
	MfHttpRequest request = {.verb = MF_HTTP_POST, .path = PATH, .body = strdup(BODY), .body_len = strlen(BODY)};
	Server	   *server = server_start(serve_throttled, NULL);
	MfHttp	   *http = http_create();
	MfHttpTarget *target = target_create(http, server_url(server), 0, 0);
	MfHttpExchange *exchange = exchange_one(http, target, BODY);
	MfHttpTransfer *transfer;
	MfHttpRecord *record;
	long		status;

	(void) state;
	assert_int_equal(exchange->http_status, 429);
	assert_int_equal(exchange->retry_after, 7);
	mf_http_exchange_free(exchange);
	mf_http_stop_thread(http);

	/* the handle as that exchange has left it, and one that ends before it has begun */
	transfer = LIST_FIRST(&http->idle);
	assert_int_equal(curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status), CURLE_OK);
	assert_int_equal(status, 429);
	record = mf_http_record_create(target, &request);
	transfer->record = record;
	transfer->begun = transfer->headers_ended = false;
	mf_http_exchange_complete(transfer, CURLE_OPERATION_TIMEDOUT);
	transfer->record = NULL;
	assert_false(record->exchange.gate_reached);
	assert_int_equal(record->exchange.http_status, 0);
	assert_int_equal(record->exchange.retry_after, 0);
	assert_int_equal(record->exchange.connect_us, 0);
	assert_int_equal(outcome_of(&record->exchange), MF_OUTCOME_NOT_SENT);
	mf_http_exchange_free(&record->exchange);
	mf_http_destroy(http);
	server_stop(server);
}

/* A full accept queue: TCP's handshake gets no answer. */
static void
test_connect_stall(void **state)
{
	struct sockaddr_in address = {0};
	int			fd;
	int			fillers[2];
	int			port = bound_port(true, &fd);
	char	   *url = text("http://127.0.0.1:%d", port);
	MfHttp	   *http = http_create();
	MfHttpTarget *target = target_create(http, url, 20000, 300);
	MfHttpExchange *exchange;
	double		start;
	char		described[512];
	int			i;

	(void) state;
	address.sin_family = AF_INET;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	address.sin_port = htons((uint16_t) port);
	for (i = 0; i < 2; i++)
	{
		fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void) connect(fillers[i], (struct sockaddr *) &address, sizeof(address));
	}
	start = seconds_now();
	exchange = exchange_one(http, target, BODY);
	assert_true(seconds_now() - start < SOON);
	assert_int_equal(exchange->curl_code, CURLE_OPERATION_TIMEDOUT);
	assert_false(exchange->gate_reached);
	mf_http_describe(exchange, described, sizeof(described));
	assert_non_null(strstr(described, "no connection to 127.0.0.1"));
	assert_int_equal(outcome_of(exchange), MF_OUTCOME_NOT_SENT);
	mf_http_exchange_free(exchange);
	mf_http_destroy(http);
	for (i = 0; i < 2; i++)
		close(fillers[i]);
	close(fd);
	free(url);
}

/* ----------
 * Stalls
 * ----------
 */

static void
serve_stall(Connection *connection)
{
	const Fault *fault = connection->server->arg;

	if (connection_read_request(connection))
	{
		connection_send(connection, fault->answer, fault->answer_len);
		connection_drain(connection);
	}
}

static void
test_stall(void **state)
{
	char	   *answer = text("HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(ACCEPTED), ACCEPTED);
	size_t		cuts[] = {0, 5, 17, 30, 0};
	size_t		i;

	(void) state;
	cuts[4] = strlen(answer) - 1;
	for (i = 0; i < LENGTH(cuts); i++)
	{
		Fault		fault = {answer, cuts[i], 0, false};
		Server	   *server = server_start(serve_stall, &fault);
		MfHttp	   *http = http_create();
		/* the connect time-out is over long before, and must not matter */
		MfHttpTarget *target = target_create(http, server_url(server), 400, 200);
		double		start = seconds_now();
		MfHttpExchange *exchange = exchange_one(http, target, BODY);
		double		took = seconds_now() - start;
		char		described[512];

		assert_true(took > 0.35 && took < SOON);
		assert_int_equal(exchange->curl_code, CURLE_OPERATION_TIMEDOUT);
		assert_int_equal(outcome_of(exchange), MF_OUTCOME_UNKNOWN);
		mf_http_describe(exchange, described, sizeof(described));
		assert_non_null(strstr(described, i < 2 ? "no answer from 127.0.0.1" : "did not end within"));
		assert_non_null(strstr(described, "request and answer "));
		mf_http_exchange_free(exchange);
		assert_int_equal(server_requests(server), 1);
		mf_http_destroy(http);
		server_stop(server);
	}
	free(answer);
}

/* A server that does not read: sending the request stalls. */
static void
serve_without_reading(Connection *connection)
{
	server_event(connection->server);
	server_wait_events(connection->server, 2);
}

static void
test_request_stall(void **state)
{
	Server	   *server = server_start(serve_without_reading, NULL);
	MfHttp	   *http = http_create();
	MfHttpTarget *target = target_create(http, server_url(server), 400, 200);
	size_t		body_len = 32 * 1024 * 1024;
	char	   *body = malloc(body_len);
	char		error[256];
	MfHttpExchange *exchange;

	(void) state;
	memset(body, 'x', body_len);
	assert_non_null(http_post(http, target, PATH, body, body_len, 0, NULL, error, sizeof(error)));
	exchange = finish_one(http);
	assert_int_equal(exchange->curl_code, CURLE_OPERATION_TIMEDOUT);
	assert_true(exchange->gate_passed);
	assert_true(exchange->body_sent < body_len);
	assert_int_equal(outcome_of(exchange), MF_OUTCOME_UNKNOWN);
	mf_http_exchange_free(exchange);
	server_event(server);
	mf_http_destroy(http);
	server_stop(server);
}

/* Descriptions of made-up evidence */
static void
test_describe(void **state)
{
	MfHttpExchange exchange = {0};
	char		described[512];
	char		small[20];

	(void) state;
	strcpy(exchange.host, "api.myfatoorah.com");
	exchange.curl_code = CURLE_OPERATION_TIMEDOUT;
	strcpy(exchange.curl_error, "Operation timed out\nafter 30000 milliseconds");
	exchange.name_lookup_us = 20000;
	exchange.connect_us = 120000;
	exchange.tls_us = 310000;
	exchange.total_us = 30000000;
	exchange.gate_reached = exchange.gate_passed = true;
	mf_http_describe(&exchange, described, sizeof(described));
	assert_string_equal(described, "no answer from api.myfatoorah.com within 30.0 s "
						"(name lookup 0.0 s, connection 0.1 s, TLS 0.2 s, request and answer 29.7 s)");
	mf_http_describe(&exchange, small, sizeof(small));
	assert_string_equal(small, "no answer from a...");
	mf_http_describe(&exchange, small, 1);
	assert_string_equal(small, "");
	mf_http_describe(&exchange, NULL, 0);

	exchange.curl_code = CURLE_GOT_NOTHING;
	exchange.connection_reused = true;
	strcpy(exchange.curl_error, "Empty reply\nfrom server");
	mf_http_describe(&exchange, described, sizeof(described));
	assert_null(strchr(described, '\n'));
	assert_non_null(strstr(described, "lost after the request was sent"));
	assert_non_null(strstr(described, "connection reused"));

	memset(&exchange, 0, sizeof(exchange));
	strcpy(exchange.host, "h");
	exchange.curl_code = CURLE_OPERATION_TIMEDOUT;
	exchange.total_us = 5000000;
	mf_http_describe(&exchange, described, sizeof(described));
	assert_string_equal(described, "the name lookup of h did not end within 5.0 s (name lookup, not finished, 5.0 s)");
	exchange.name_lookup_us = 1000000;
	exchange.connect_us = 2000000;
	mf_http_describe(&exchange, described, sizeof(described));
	assert_string_equal(described, "the TLS handshake with h did not end within 5.0 s "
						"(name lookup 1.0 s, connection 1.0 s, TLS, not finished, 3.0 s)");
	/* an unknown code and no words */
	exchange.curl_code = 9999;
	mf_http_describe(&exchange, described, sizeof(described));
	assert_true(strlen(described) > 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cut_answer),
		cmocka_unit_test(test_cut_chunked_answer),
		cmocka_unit_test(test_cut_unmeasured_answer),
		cmocka_unit_test(test_cut_refusals),
		cmocka_unit_test(test_cut_request),
		cmocka_unit_test(test_not_http),
		cmocka_unit_test(test_no_second_post),
		cmocka_unit_test(test_control_second_post),
		cmocka_unit_test(test_idle_closed),
		cmocka_unit_test(test_early_answer),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_status_of_before),
		cmocka_unit_test(test_connect_stall),
		cmocka_unit_test(test_stall),
		cmocka_unit_test(test_request_stall),
		cmocka_unit_test(test_describe),
	};

	return cmocka_run_group_tests_name("http faults", tests, NULL, NULL);
}
