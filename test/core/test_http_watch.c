/*
 * test_http_watch.c
 *	  The kernel refuses to watch a socket.
 *
 * This program has an epoll_ctl() of its own, which fails on demand.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/core/test_http_watch.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "client.h"

#include <curl/curl.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

static int	allowed = -1;		/* calls that still succeed; -1 = all */

int
epoll_ctl(int epoll, int what, int fd, struct epoll_event *event)
{
	if (what != EPOLL_CTL_DEL && allowed >= 0 && allowed-- == 0)
	{
		allowed = 0;
		errno = ENOSPC;
		return -1;
	}
	return (int) syscall(SYS_epoll_ctl, epoll, what, fd, event);
}

static void
serve_accepted(Connection *connection)
{
	while (connection_read_request(connection))
		connection_reply(connection, "200 OK", ACCEPTED);
}

/* Whichever call fails first, exchanges end at once and with the right outcome. */
static void
test_watch_fails(void **state)
{
	int			n;

	(void) state;
	for (n = 0; n < 6; n++)
	{
		Server	   *server = server_start(serve_accepted, NULL);
		MfHttp	   *http = http_create();
		MfHttpTarget *target = target_create(http, server_url(server), 0, 0);
		double		start = seconds_now();
		int			ended;

		allowed = n;
		post(http, target, BODY, NULL);
		post(http, target, BODY, NULL);
		for (ended = 0; ended < 2; ended++)
		{
			MfHttpExchange *exchange = finish_one(http);
			MfOutcome	outcome = outcome_of(exchange);

			if (exchange->curl_code == CURLE_OK)
				assert_int_equal(outcome, MF_OUTCOME_ACCEPTED);
			else
				assert_int_equal(outcome, exchange->gate_passed ? MF_OUTCOME_UNKNOWN : MF_OUTCOME_NOT_SENT);
			if (n == 0)
			{
				assert_int_equal(exchange->curl_code, CURLE_FAILED_INIT);
				assert_non_null(strstr(exchange->curl_error, "could not watch a socket"));
			}
			mf_http_exchange_free(exchange);
		}
		assert_true(seconds_now() - start < SOON);
		assert_int_equal(mf_http_in_flight(http), 0);

		/* and the client recovers */
		allowed = -1;
		assert_int_equal(outcome_one(http, target, BODY), MF_OUTCOME_ACCEPTED);
		mf_http_destroy(http);
		server_stop(server);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_watch_fails),
	};

	return cmocka_run_group_tests_name("http watch", tests, NULL, NULL);
}
