/*
 * test_http_closing.c
 *	  A server that closes each connection after its answer, without having said
 *	  so, makes no outcome unknown.
 *
 * MF_CLOSING_SENDS is how many requests each test sends; "make closing" sends
 * 100,000 and prints how many outcomes were unknown.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/core/test_http_closing.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "client.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define USUAL_SENDS 2000
#define IN_FLIGHT 8

/* One thread that serves one connection after the other, as many as come */
typedef struct ClosingServer
{
	int			listen_fd;
	int			requests;		/* whole ones, answered */
	bool		at_once;		/* the close leaves in the packet of the answer */
	pthread_t	thread;
	char		url[64];
} ClosingServer;

static bool
read_whole_request(int fd)
{
	char		buffer[4096];
	size_t		len = 0;
	size_t		body_len = strlen(BODY);

	while (len < sizeof(buffer) - 1)
	{
		ssize_t		n = recv(fd, buffer + len, sizeof(buffer) - 1 - len, 0);
		const char *end;

		if (n <= 0)
			return false;
		len += (size_t) n;
		buffer[len] = '\0';
		end = strstr(buffer, "\r\n\r\n");
		if (end != NULL && len >= (size_t) (end - buffer) + 4 + body_len)
			return true;
	}
	return false;
}

static void *
serve_and_close(void *arg)
{
	ClosingServer *server = arg;
	char	   *answer = text("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
							  strlen(ACCEPTED), ACCEPTED);
	int			fd;

	while ((fd = accept(server->listen_fd, NULL, NULL)) >= 0)
	{
		if (read_whole_request(fd))
		{
			__atomic_add_fetch(&server->requests, 1, __ATOMIC_SEQ_CST);
			send(fd, answer, strlen(answer), MSG_NOSIGNAL | (server->at_once ? MSG_MORE : 0));
		}
		close(fd);
	}
	free(answer);
	return NULL;
}

static void
closing_server_start(ClosingServer *server, bool at_once)
{
	struct sockaddr_in address = {0};
	socklen_t	len = sizeof(address);

	memset(server, 0, sizeof(*server));
	server->at_once = at_once;
	server->listen_fd = socket(AF_INET, SOCK_STREAM, 0);
	address.sin_family = AF_INET;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(server->listen_fd, (struct sockaddr *) &address, sizeof(address)), 0);
	assert_int_equal(listen(server->listen_fd, 128), 0);
	assert_int_equal(getsockname(server->listen_fd, (struct sockaddr *) &address, &len), 0);
	snprintf(server->url, sizeof(server->url), "http://127.0.0.1:%d", ntohs(address.sin_port));
	assert_int_equal(pthread_create(&server->thread, NULL, serve_and_close, server), 0);
}

static void
closing_server_stop(ClosingServer *server)
{
	shutdown(server->listen_fd, SHUT_RDWR);
	pthread_join(server->thread, NULL);
	close(server->listen_fd);
}

static int
wanted_sends(void)
{
	const char *value = getenv("MF_CLOSING_SENDS");

	return value != NULL ? atoi(value) : USUAL_SENDS;
}

/*
 * Sends so many requests, each as soon as one has ended.  Returns how many
 * outcomes were unknown; every other one must be accepted.
 */
static int
count_unknown(bool threaded, bool at_once)
{
	int			sends = wanted_sends();
	int			posted = 0;
	int			ended = 0;
	int			unknown = 0;
	ClosingServer server;
	MfHttp	   *http = http_create();
	MfHttpTarget *target;
	char		error[256] = "";

	if (threaded && getenv("MF_HTTP_THREAD") == NULL)
		assert_true(mf_http_start_thread(http, error, sizeof(error)));
	closing_server_start(&server, at_once);
	target = target_create(http, server.url, 0, 0);
	while (ended < sends)
	{
		MfHttpExchange *exchange;
		MfOutcome	outcome;

		while (posted < sends && posted - ended < IN_FLIGHT)
		{
			post(http, target, BODY, NULL);
			posted++;
		}
		exchange = finish_one(http);
		outcome = outcome_of(exchange);
		if (outcome == MF_OUTCOME_UNKNOWN)
			unknown++;
		else
			assert_int_equal(outcome, MF_OUTCOME_ACCEPTED);
		mf_http_exchange_free(exchange);
		ended++;
	}
	mf_http_destroy(http);
	closing_server_stop(&server);
	print_message("libcurl %s, %s, closing %s: %d sent, %d unknown\n", curl_version_info(CURLVERSION_NOW)->version,
				  threaded ? "in a thread" : "without a thread",
				  at_once ? "with the answer" : "after the answer", sends, unknown);
	/* what was accepted was sent once */
	assert_true(server.requests >= sends - unknown && server.requests <= sends);
	return unknown;
}

static void
test_closing(void **state)
{
	(void) state;
	assert_int_equal(count_unknown(false, true), 0);
	assert_int_equal(count_unknown(true, true), 0);
}

/*
 * The close may come while the next request leaves, until it is known that the
 * server does that.
 */
static void
test_closing_apart(void **state)
{
	(void) state;
	assert_true(count_unknown(false, false) <= IN_FLIGHT);
	assert_true(count_unknown(true, false) <= IN_FLIGHT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_closing),
		cmocka_unit_test(test_closing_apart),
	};

	return cmocka_run_group_tests_name("http closing", tests, NULL, NULL);
}
