/*
 * test_http_keep.c
 *	  How long connections and handles are kept, and what idle ones do.
 *
 * This program has a clock_gettime() of its own, which can be set forward.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/core/test_http_keep.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "client.h"

#include "core/http/http_private.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MANY 200

static int	ahead;				/* seconds */

int
clock_gettime(clockid_t clock, struct timespec *now)
{
	int			result = (int) syscall(SYS_clock_gettime, clock, now);

	now->tv_sec += ahead;
	return result;
}

/* Answers only when as many requests have come as are sent together. */
static int	together;

static void
serve_together(Connection *connection)
{
	Server	   *server = connection->server;

	while (connection_read_request(connection))
	{
		int			number = server_requests(server);

		if (!server_wait_requests(server, (number + together - 1) / together * together))
			return;
		connection_reply(connection, "200 OK", ACCEPTED);
	}
}

/*
 * Posts so many at once and expects them to be accepted.  Returns how many
 * used an existing connection.
 */
static int
exchange_many(MfHttp *http, MfHttpTarget *target, int count)
{
	int			reused = 0;
	int			i;

	together = count;
	for (i = 0; i < count; i++)
		post(http, target, BODY, NULL);
	for (i = 0; i < count; i++)
	{
		MfHttpExchange *exchange = finish_one(http);

		assert_int_equal(outcome_of(exchange), MF_OUTCOME_ACCEPTED);
		reused += exchange->connection_reused;
		mf_http_exchange_free(exchange);
	}
	return reused;
}

/*
 * As many connections stay as were needed, and all are closed when nothing
 * ran for long.
 */
static void
test_follows_need(void **state)
{
	Server	   *server = server_start(serve_together, NULL);
	MfHttp	   *http = http_create();
	MfHttpTarget *target = target_create(http, server_url(server), 0, 0);

	(void) state;
	assert_int_equal(exchange_many(http, target, MANY), 0);
	assert_int_equal(exchange_many(http, target, MANY), MANY);
	assert_int_equal(exchange_many(http, target, MANY / 2), MANY / 2);
	assert_int_equal(server_connections(server), MANY);
	assert_between(mf_http_timeout(http), 40000, 60000);

	ahead += MAX_IDLE_SECONDS + 2;
	assert_int_equal(mf_http_timeout(http), 0);
	mf_http_perform(http);
	assert_int_equal(mf_http_timeout(http), -1);
	assert_true(server_wait_closed(server, MANY));
	assert_null(http->multi);

	/* and on */
	assert_int_equal(exchange_many(http, target, 1), 0);
	assert_int_equal(exchange_many(http, target, 1), 1);
	mf_http_destroy(http);
	server_stop(server);
}

/* When fewer are needed, the others are closed by their age. */
static void
test_shrinks(void **state)
{
	Server	   *server = server_start(serve_together, NULL);
	MfHttp	   *http = http_create();
	MfHttpTarget *target = target_create(http, server_url(server), 0, 0);
	int			i;

	(void) state;
	exchange_many(http, target, MANY);
	for (i = 0; i < 2; i++)
	{
		ahead += 30;
		exchange_many(http, target, 1);
	}
	assert_true(server_wait_closed(server, MANY - 1));
	mf_http_destroy(http);
	server_stop(server);
}

/* Targets of the same host share connections, also when one of them is released. */
static void
test_targets_share(void **state)
{
	Server	   *server = server_start(serve_together, NULL);
	MfHttp	   *http = http_create();
	MfHttpTarget *targets[3];
	int			i;

	(void) state;
	for (i = 0; i < 3; i++)
		targets[i] = target_create(http, server_url(server), 0, 0);
	for (i = 0; i < 6; i++)
		assert_int_equal(exchange_many(http, targets[i % 3], MANY / 2), i > 0 ? MANY / 2 : 0);
	mf_http_target_release(targets[2]);
	assert_int_equal(exchange_many(http, targets[0], MANY / 2), MANY / 2);
	assert_int_equal(server_connections(server), MANY / 2);
	mf_http_destroy(http);
	server_stop(server);
}

/* A connection that the server may be about to close is not used. */
static void
test_too_old(void **state)
{
	Server	   *server = server_start(serve_together, NULL);
	MfHttp	   *http = http_create();
	MfHttpTarget *target = target_create(http, server_url(server), 0, 0);

	(void) state;
	assert_int_equal(exchange_many(http, target, 1), 0);
	ahead += MAX_IDLE_SECONDS - 10;
	assert_int_equal(exchange_many(http, target, 1), 1);
	ahead += MAX_IDLE_SECONDS + 2;
	assert_int_equal(exchange_many(http, target, 1), 0);
	mf_http_destroy(http);
	server_stop(server);
}

/* Closes idle connections once told to. */
static void
serve_until_told(Connection *connection)
{
	if (connection_read_request(connection))
		connection_reply(connection, "200 OK", ACCEPTED);
	while (!__atomic_load_n((bool *) connection->server->arg, __ATOMIC_SEQ_CST))
		usleep(1000);
}

static bool
readable(MfHttp *http, int timeout_ms)
{
	struct pollfd poll_fd = {0};

	poll_fd.fd = mf_http_fd(http);
	poll_fd.events = POLLIN;
	return poll(&poll_fd, 1, timeout_ms) > 0;
}

/*
 * The server's closing of idle connections wakes no owner that has nothing in
 * flight, and none twice.
 */
static void
test_closed_while_idle(void **state)
{
	int			round;

	(void) state;
	for (round = 0; round < 2; round++)
	{
		bool		told = false;
		Server	   *server = server_start(serve_until_told, &told);
		MfHttp	   *http = http_create();
		MfHttpTarget *target = target_create(http, server_url(server), 0, 0);

		exchange_many(http, target, 10);
		if (round == 0)
			assert_between(mf_http_timeout(http), 40000, 60000);
		__atomic_store_n(&told, true, __ATOMIC_SEQ_CST);
		assert_true(server_wait_closed(server, 10));
		if (round == 1)
		{
			assert_true(readable(http, 10000));
			mf_http_perform(http);
		}
		assert_false(readable(http, 100));

		/* nor is a request lost to one of them */
		assert_int_equal(exchange_many(http, target, 10), 0);
		mf_http_destroy(http);
		server_stop(server);
	}
}

/* Closes each connection after its first answer, announced or not, or keeps it. */
typedef enum Closing
{
	KEEPS,
	CLOSES,
	ANNOUNCES
} Closing;

static void
serve_closing(Connection *connection)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: ";
	char	   *announced = text("%s%zu\r\n\r\n%s", head, strlen(ACCEPTED), ACCEPTED);
	const Closing *closing = connection->server->arg;
	Closing		now = KEEPS;

	while (now == KEEPS && connection_read_request(connection))
	{
		now = __atomic_load_n(closing, __ATOMIC_SEQ_CST);
		if (now == ANNOUNCES)
			connection_send(connection, announced, strlen(announced));
		else
			connection_reply(connection, "200 OK", ACCEPTED);
	}
	free(announced);
}

/*
 * A host that closes connections soon after its answers gets a new one for each
 * request for a while.  One that announces it, or does it later, is none of these.
 */
static void
test_closing_remembered(void **state)
{
	Closing		closing = ANNOUNCES;
	Server	   *server = server_start(serve_closing, &closing);
	Server	   *other = server_start(serve_together, NULL);
	MfHttp	   *http = http_create();
	MfHttpTarget *target = target_create(http, server_url(server), 0, 0);
	MfHttpTarget *beside;
	int			i;

	(void) state;
	exchange_many(http, target, 1);
	assert_true(server_wait_closed(server, 1));
	__atomic_store_n(&closing, KEEPS, __ATOMIC_SEQ_CST);
	assert_int_equal(exchange_many(http, target, 1), 0);
	assert_int_equal(exchange_many(http, target, 1), 1);

	__atomic_store_n(&closing, CLOSES, __ATOMIC_SEQ_CST);
	assert_int_equal(exchange_many(http, target, 1), 1);
	assert_true(server_wait_closed(server, 2));
	ahead += 2;
	__atomic_store_n(&closing, KEEPS, __ATOMIC_SEQ_CST);
	assert_int_equal(exchange_many(http, target, 1), 0);
	assert_int_equal(exchange_many(http, target, 1), 1);

	__atomic_store_n(&closing, CLOSES, __ATOMIC_SEQ_CST);
	assert_int_equal(exchange_many(http, target, 1), 1);
	assert_true(server_wait_closed(server, 3));
	__atomic_store_n(&closing, KEEPS, __ATOMIC_SEQ_CST);
	assert_int_equal(exchange_many(http, target, 1), 0);

	/* now it is known; the one that was begun before may still be used once */
	for (i = 0; i < 5; i++)
		assert_int_equal(exchange_many(http, target, 1), 0);

	/* no other host is concerned */
	beside = target_create(http, server_url(other), 0, 0);
	if (beside->host_slot != target->host_slot)
	{
		assert_int_equal(exchange_many(http, beside, 1), 0);
		assert_int_equal(exchange_many(http, beside, 1), 1);
	}

	ahead += (int) (CLOSING_REMEMBERED / 1000000000) + 1;
	exchange_many(http, target, 1);
	assert_int_equal(exchange_many(http, target, 1), 1);
	mf_http_destroy(http);
	server_stop(server);
	server_stop(other);
}

/* Packets with data that the server has received */
static unsigned int packets;

static void
serve_and_count_packets(Connection *connection)
{
	struct tcp_info info = {0};
	socklen_t	size = sizeof(info);

	while (connection_read_request(connection))
	{
		if (getsockopt(connection->fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0)
			packets = info.tcpi_data_segs_in;
		connection_reply(connection, "200 OK", ACCEPTED);
	}
}

/* Each request is one packet, but for the first on a new connection. */
static void
one_packet_each(MfHttp *http, MfHttpTarget *target, Server *server)
{
	unsigned int before;
	int			i;

	exchange_many(http, target, 1);
	before = packets;
	for (i = 1; i <= 20; i++)
	{
		/* with and without an end of the watch in between */
		if (i % 10 == 0)
			usleep(100000);
		assert_int_equal(exchange_many(http, target, 1), 1);
		assert_int_equal(packets, before + (unsigned int) i);
	}
	assert_int_equal(server_connections(server), 1);
	mf_http_destroy(http);
	server_stop(server);
}

static void
test_one_packet(void **state)
{
	int			threaded;

	(void) state;
	for (threaded = 0; threaded < 2; threaded++)
	{
		Server	   *server = server_start(serve_and_count_packets, NULL);
		MfHttp	   *http = http_create();
		char		error[256] = "";

		if (threaded)
			assert_true(mf_http_start_thread(http, error, sizeof(error)));
		one_packet_each(http, target_create(http, server_url(server), 0, 0), server);

		server = server_start_tls(serve_and_count_packets, NULL, 0);
		http = http_create();
		if (threaded)
			assert_true(mf_http_start_thread(http, error, sizeof(error)));
		one_packet_each(http, target_with_ca(http, server_url(server), MF_BUILD "/tls/ca.pem"), server);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_follows_need),
		cmocka_unit_test(test_shrinks),
		cmocka_unit_test(test_targets_share),
		cmocka_unit_test(test_too_old),
		cmocka_unit_test(test_closed_while_idle),
		cmocka_unit_test(test_closing_remembered),
		cmocka_unit_test(test_one_packet),
	};

	return cmocka_run_group_tests_name("http keep", tests, NULL, NULL);
}
