/*
 * test_http_tls.c
 *	  TLS: whom the client talks to, and what a failed handshake proves.
 *
 * The Makefile makes the certificates: server.pem is for localhost and
 * 127.0.0.1, signed by ca.pem.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/core/test_http_tls.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "client.h"

#include <curl/curl.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CA_FILE MF_BUILD "/tls/ca.pem"

static void
serve_accepted(Connection *connection)
{
	while (connection_read_request(connection))
		connection_reply(connection, "200 OK", ACCEPTED);
}

static void
serve_drain(Connection *connection)
{
	connection_drain(connection);
}

/* A server of plain text, to which TLS is garbage */
static void
serve_plain_text(Connection *connection)
{
	if (connection_read_some(connection))
		connection_send(connection, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", 47);
	connection_drain(connection);
}

/* Expects that the exchange fails before anything of the request is sent. */
static void
check_not_sent(const char *url, const char *ca_file, int code1, int code2, const char *words)
{
	MfHttp	   *http = http_create();
	MfHttpTarget *target = target_with_ca(http, url, ca_file);
	MfHttpExchange *exchange = exchange_one(http, target, BODY);
	char		described[512];

	if (exchange->curl_code != code1 && exchange->curl_code != code2)
		fail_msg("curl code %d: %s", exchange->curl_code, exchange->curl_error);
	assert_false(exchange->gate_reached);
	assert_false(exchange->gate_passed);
	assert_int_equal(exchange->http_status, 0);
	mf_http_describe(exchange, described, sizeof(described));
	if (strstr(described, words) == NULL)
		fail_msg("%s", described);
	assert_int_equal(outcome_of(exchange), MF_OUTCOME_NOT_SENT);
	mf_http_exchange_free(exchange);
	mf_http_destroy(http);
}

static void
test_trusted(void **state)
{
	Server	   *server = server_start_tls(serve_accepted, NULL, 0);
	char	   *by_name = text("https://localhost:%d", server->port);
	MfHttp	   *http = http_create();
	MfHttpTarget *targets[2];
	MfHttpExchange *exchange;
	int			i;

	(void) state;
	targets[0] = target_with_ca(http, server_url(server), CA_FILE);
	targets[1] = target_with_ca(http, by_name, CA_FILE);
	for (i = 0; i < 6; i++)
	{
		exchange = exchange_one(http, targets[i % 2], BODY);
		assert_int_equal(outcome_of(exchange), MF_OUTCOME_ACCEPTED);
		assert_int_equal(exchange->connection_reused, i > 1);
		if (i < 2)
			assert_true(exchange->tls_us > exchange->connect_us);
		mf_http_exchange_free(exchange);
	}
	assert_int_equal(server_requests(server), 6);
	assert_int_equal(server_connections(server), 2);
	mf_http_destroy(http);
	server_stop(server);
	free(by_name);
}

static void
test_untrusted(void **state)
{
	Server	   *server = server_start_tls(serve_accepted, NULL, 0);

	(void) state;
	/* by the system's authorities */
	check_not_sent(server_url(server), NULL, CURLE_PEER_FAILED_VERIFICATION, 0,
				   "the certificate of 127.0.0.1");
	/* by a file of other authorities */
	check_not_sent(server_url(server), MF_BUILD "/tls/other.pem", CURLE_PEER_FAILED_VERIFICATION, 0,
				   "the certificate of 127.0.0.1");
	/* by a file that is none */
	check_not_sent(server_url(server), MF_BUILD "/tls/missing.pem", CURLE_SSL_CACERT_BADFILE, 0,
				   "the file of trusted certificates");
	check_not_sent(server_url(server), MF_BUILD "/tls/server.key", CURLE_SSL_CACERT_BADFILE, CURLE_PEER_FAILED_VERIFICATION,
				   "certificate");
	assert_int_equal(server_requests(server), 0);
	server_stop(server);
}

/* The right authority, another name: libcurl resolves all of .localhost to this host. */
static void
test_wrong_name(void **state)
{
	Server	   *server = server_start_tls(serve_accepted, NULL, 0);
	char	   *url = text("https://other.localhost:%d", server->port);

	(void) state;
	check_not_sent(url, CA_FILE, CURLE_PEER_FAILED_VERIFICATION, CURLE_PEER_FAILED_VERIFICATION,
				   "the certificate of other.localhost");
	assert_int_equal(server_requests(server), 0);
	server_stop(server);
	free(url);
}

static void
test_old_version(void **state)
{
	Server	   *server = server_start_tls(serve_accepted, NULL, TLS1_1_VERSION);
	MfHttp	   *http;
	MfHttpTarget *target;

	(void) state;
	check_not_sent(server_url(server), CA_FILE, CURLE_SSL_CONNECT_ERROR, CURLE_SSL_CONNECT_ERROR, "TLS handshake");
	server_stop(server);

	server = server_start_tls(serve_accepted, NULL, TLS1_2_VERSION);
	http = http_create();
	target = target_with_ca(http, server_url(server), CA_FILE);
	assert_int_equal(outcome_one(http, target, BODY), MF_OUTCOME_ACCEPTED);
	mf_http_destroy(http);
	server_stop(server);
}

static void
test_plain_port(void **state)
{
	Server	   *server = server_start(serve_plain_text, NULL);
	char	   *url = text("https://127.0.0.1:%d", server->port);

	(void) state;
	check_not_sent(url, CA_FILE, CURLE_SSL_CONNECT_ERROR, CURLE_SSL_CONNECT_ERROR, "TLS handshake");
	server_stop(server);
	free(url);
}

static void
serve_close(Connection *connection)
{
	connection_read_some(connection);
}

static void
serve_reset(Connection *connection)
{
	connection_reset(connection);
	connection_read_some(connection);
}

static void
test_closed_in_handshake(void **state)
{
	Handler		handlers[2] = {serve_close, serve_reset};
	int			i;

	(void) state;
	for (i = 0; i < 2; i++)
	{
		Server	   *server = server_start(handlers[i], NULL);
		char	   *url = text("https://127.0.0.1:%d", server->port);

		check_not_sent(url, CA_FILE, CURLE_SSL_CONNECT_ERROR, CURLE_RECV_ERROR, "TLS handshake");
		server_stop(server);
		free(url);
	}
}

/* A handshake that hangs is ended by the connect time-out. */
static void
test_stall(void **state)
{
	Server	   *server = server_start(serve_drain, NULL);
	char	   *url = text("https://127.0.0.1:%d", server->port);
	MfHttp	   *http = http_create();
	MfHttpTarget *target = target_create(http, url, 20000, 300);
	double		start = seconds_now();
	MfHttpExchange *exchange = exchange_one(http, target, BODY);
	double		took = seconds_now() - start;
	char		described[512];

	(void) state;
	assert_true(took > 0.25 && took < SOON);
	assert_int_equal(exchange->curl_code, CURLE_OPERATION_TIMEDOUT);
	assert_false(exchange->gate_reached);
	assert_true(exchange->connect_us > 0);
	assert_int_equal(exchange->tls_us, 0);
	mf_http_describe(exchange, described, sizeof(described));
	assert_non_null(strstr(described, "the TLS handshake with 127.0.0.1"));
	assert_int_equal(outcome_of(exchange), MF_OUTCOME_NOT_SENT);
	mf_http_exchange_free(exchange);
	mf_http_destroy(http);
	server_stop(server);
	free(url);
}

static bool
is_connected(void *arg)
{
	return server_connections(arg) > 0;
}

static void
test_abort_in_handshake(void **state)
{
	Server	   *server = server_start(serve_drain, NULL);
	char	   *url = text("https://127.0.0.1:%d", server->port);
	MfHttp	   *http = http_create();
	MfHttpTarget *target = target_create(http, url, 0, 0);
	MfHttpExchange *exchange = post(http, target, BODY, NULL);
	double		start;

	(void) state;
	run_until(http, is_connected, server);
	start = seconds_now();
	mf_http_stop_thread(http);
	mf_http_abort(http, exchange);
	assert_true(seconds_now() - start < SOON);
	assert_true(server_wait_closed(server, 1));
	mf_http_destroy(http);
	server_stop(server);
	free(url);
}

static void
serve_once_then_drop(Connection *connection)
{
	if (!connection_read_request(connection))
		return;
	connection_reply(connection, "200 OK", ACCEPTED);
	connection_read_request(connection);
}

static void
test_no_second_post(void **state)
{
	Server	   *server = server_start_tls(serve_once_then_drop, NULL, 0);
	MfHttp	   *http = http_create();
	MfHttpTarget *target = target_with_ca(http, server_url(server), CA_FILE);

	(void) state;
	assert_int_equal(outcome_one(http, target, BODY), MF_OUTCOME_ACCEPTED);
	assert_int_equal(outcome_one(http, target, BODY), MF_OUTCOME_UNKNOWN);
	mf_http_destroy(http);
	assert_true(server_wait_closed(server, server_connections(server)));
	assert_int_equal(server_requests(server), 2);
	server_stop(server);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_trusted),
		cmocka_unit_test(test_untrusted),
		cmocka_unit_test(test_wrong_name),
		cmocka_unit_test(test_old_version),
		cmocka_unit_test(test_plain_port),
		cmocka_unit_test(test_closed_in_handshake),
		cmocka_unit_test(test_stall),
		cmocka_unit_test(test_abort_in_handshake),
		cmocka_unit_test(test_no_second_post),
	};

	return cmocka_run_group_tests_name("http tls", tests, NULL, NULL);
}
