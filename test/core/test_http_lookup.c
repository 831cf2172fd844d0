/*
 * test_http_lookup.c
 *	  Name lookups that fail or hang.
 *
 * This program has a getaddrinfo() of its own, which libcurl's resolver
 * threads call: for "stuck.example" it does not return until told to, and the
 * address of "lively.example" is 127.0.0.1.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/core/test_http_lookup.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "client.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Far more than the 20 threads that libcurl has for lookups unless it is told
 * otherwise, and as many as hang for sure before the others begin
 */
#define MANY_STUCK 100
#define AT_LEAST_STUCK 20

typedef int (*Lookup) (const char *, const char *, const struct addrinfo *, struct addrinfo **);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int	stuck;				/* lookups that wait */
static int	entered;			/* lookups that began to wait, ever */
static bool freed;				/* let them go */
static bool signal_open;		/* this thread could be interrupted by a signal */

int
getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **result)
{
	static Lookup real;
	sigset_t	mask;
	int			i;

	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	pthread_mutex_lock(&lock);
	for (i = 1; i < NSIG; i++)
	{
		/* two belong to the C library, and two cannot be blocked */
		if (i != SIGKILL && i != SIGSTOP && i != 32 && i != 33 && sigismember(&mask, i) == 0)
			signal_open = true;
	}
	if (real == NULL)
		*(void **) &real = dlsym(RTLD_NEXT, "getaddrinfo");
	if (node != NULL && strcmp(node, "stuck.example") == 0)
	{
		stuck++;
		entered++;
		pthread_cond_broadcast(&changed);
		while (!freed)
			pthread_cond_wait(&changed, &lock);
		stuck--;
		pthread_cond_broadcast(&changed);
		pthread_mutex_unlock(&lock);
		return EAI_AGAIN;
	}
	pthread_mutex_unlock(&lock);
	if (node != NULL && strcmp(node, "lively.example") == 0)
		node = "127.0.0.1";
	return real(node, service, hints, result);
}

static void
wait_entered(int count)
{
	pthread_mutex_lock(&lock);
	while (entered < count)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
}

static int
setup(void **state)
{
	(void) state;
	freed = false;
	entered = 0;
	signal_open = false;
	return 0;
}

static int
teardown(void **state)
{
	(void) state;
	pthread_mutex_lock(&lock);
	freed = true;
	pthread_cond_broadcast(&changed);
	while (stuck > 0)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
	return 0;
}

/* So many hang, and none could be interrupted by a signal. */
static void
check_lookups(int count)
{
	int			seen;
	bool		open;

	/* a failure leaves by a jump */
	pthread_mutex_lock(&lock);
	seen = entered;
	open = signal_open;
	pthread_mutex_unlock(&lock);
	/* since 8.20 libcurl looks up both kinds of addresses separately */
	assert_true(seen == count || seen == 2 * count);
	assert_false(open);
}

static void
test_no_such_name(void **state)
{
	MfHttp	   *http = http_create();
	MfHttpTarget *target = target_create(http, "https://no-such-name.invalid", 10000, 5000);
	double		start = seconds_now();
	MfHttpExchange *exchange = exchange_one(http, target, BODY);
	char		described[512];

	(void) state;
	assert_true(seconds_now() - start < 15);
	/* a machine without a network may take its time to find out */
	assert_true(exchange->curl_code == CURLE_COULDNT_RESOLVE_HOST ||
				exchange->curl_code == CURLE_OPERATION_TIMEDOUT);
	assert_false(exchange->gate_reached);
	mf_http_describe(exchange, described, sizeof(described));
	assert_non_null(strstr(described, "no-such-name.invalid"));
	assert_int_equal(outcome_of(exchange), MF_OUTCOME_NOT_SENT);
	mf_http_exchange_free(exchange);
	mf_http_destroy(http);
	check_lookups(0);
}

static void
test_stuck_timeout(void **state)
{
	MfHttp	   *http = http_create();
	MfHttpTarget *target = target_create(http, "https://stuck.example", 20000, 400);
	double		start = seconds_now();
	MfHttpExchange *exchange = exchange_one(http, target, BODY);
	double		took = seconds_now() - start;
	char		described[512];

	(void) state;
	assert_true(took > 0.35 && took < SOON);
	assert_int_equal(exchange->curl_code, CURLE_OPERATION_TIMEDOUT);
	assert_false(exchange->gate_reached);
	assert_int_equal(exchange->name_lookup_us, 0);
	mf_http_describe(exchange, described, sizeof(described));
	assert_non_null(strstr(described, "the name lookup of stuck.example did not end"));
	assert_int_equal(outcome_of(exchange), MF_OUTCOME_NOT_SENT);
	mf_http_exchange_free(exchange);

	/* the total time-out alone does it too */
	target = target_create(http, "https://stuck.example", 400, 20000);
	start = seconds_now();
	assert_int_equal(outcome_one(http, target, BODY), MF_OUTCOME_NOT_SENT);
	assert_true(seconds_now() - start < SOON);
	start = seconds_now();
	mf_http_destroy(http);
	assert_true(seconds_now() - start < SOON);
	check_lookups(2);
}

static void
test_stuck_abort(void **state)
{
	MfHttp	   *http = http_create();
	MfHttpTarget *target = target_create(http, "https://stuck.example", 20000, 10000);
	MfHttpExchange *exchange = post(http, target, BODY, NULL);
	double		start;

	(void) state;
	mf_http_perform(http);
	wait_entered(1);
	start = seconds_now();
	mf_http_stop_thread(http);
	mf_http_abort(http, exchange);
	assert_true(seconds_now() - start < SOON);
	assert_int_equal(mf_http_in_flight(http), 0);
	mf_http_destroy(http);
	assert_true(seconds_now() - start < SOON);
}

static void
test_stuck_destroy(void **state)
{
	MfHttp	   *http = http_create();
	MfHttpTarget *target = target_create(http, "https://stuck.example", 20000, 10000);
	double		start;

	(void) state;
	post(http, target, BODY, NULL);
	post(http, target, BODY, NULL);
	mf_http_perform(http);
	wait_entered(2);
	start = seconds_now();
	mf_http_destroy(http);
	assert_true(seconds_now() - start < SOON);
}

/* Others go on while one is stuck. */
static void
serve_accepted(Connection *connection)
{
	while (connection_read_request(connection))
		connection_reply(connection, "200 OK", ACCEPTED);
}

static void
test_stuck_beside_others(void **state)
{
	Server	   *server = server_start(serve_accepted, NULL);
	MfHttp	   *http = http_create();
	MfHttpTarget *slow = target_create(http, "https://stuck.example", 20000, 15000);
	MfHttpTarget *target = target_create(http, server_url(server), 0, 0);
	MfHttpExchange *waiting = post(http, slow, BODY, NULL);
	double		start = seconds_now();
	int			i;

	(void) state;
	mf_http_perform(http);
	wait_entered(1);
	for (i = 0; i < 10; i++)
		assert_int_equal(outcome_one(http, target, BODY), MF_OUTCOME_ACCEPTED);
	assert_true(seconds_now() - start < SOON);
	mf_http_stop_thread(http);
	assert_non_null(waiting->transfer);
	mf_http_abort(http, waiting);
	mf_http_destroy(http);
	server_stop(server);
}

/*
 * More lookups hang than libcurl 8.20 and later have threads for by default, and
 * the name of another host is found.  Its certificate, which is that of another
 * name, shows that it was.
 */
static void
test_many_stuck_beside_others(void **state)
{
	Server	   *server = server_start_tls(serve_accepted, NULL, 0);
	MfHttp	   *http = http_create();
	MfHttpTarget *slow = target_create(http, "https://stuck.example", 20000, 15000);
	MfHttpExchange *waiting[MANY_STUCK];
	char	   *url = text("https://lively.example:%d", server->port);
	MfHttpTarget *target = target_with_ca(http, url, MF_BUILD "/tls/ca.pem");
	double		start;
	int			i;

	(void) state;
	for (i = 0; i < MANY_STUCK; i++)
		waiting[i] = post(http, slow, BODY, NULL);
	mf_http_perform(http);
	wait_entered(AT_LEAST_STUCK);
	start = seconds_now();
	for (i = 0; i < 10; i++)
	{
		MfHttpExchange *exchange = exchange_one(http, target, BODY);

		assert_int_equal(exchange->curl_code, CURLE_PEER_FAILED_VERIFICATION);
		assert_int_equal(outcome_of(exchange), MF_OUTCOME_NOT_SENT);
		mf_http_exchange_free(exchange);
	}
	assert_true(seconds_now() - start < SOON);
	mf_http_stop_thread(http);
	for (i = 0; i < MANY_STUCK; i++)
	{
		assert_non_null(waiting[i]->transfer);
		mf_http_abort(http, waiting[i]);
	}
	start = seconds_now();
	mf_http_destroy(http);
	assert_true(seconds_now() - start < SOON);
	server_stop(server);
	free(url);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_no_such_name, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stuck_timeout, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stuck_abort, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stuck_destroy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stuck_beside_others, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_stuck_beside_others, setup, teardown),
	};

	return cmocka_run_group_tests_name("http lookup", tests, NULL, NULL);
}
