/*
 * test_http_thread.c
 *	  The client with a thread: no request and no end is lost, nobody sleeps
 *	  who should not, and the owner's signals stay its own.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/core/test_http_thread.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "client.h"

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

/* To check what the interface does not show */
#include "core/http/http_private.h"

#define PATIENCE_MS 20000

static volatile sig_atomic_t elsewhere = 0;
static volatile sig_atomic_t alarms = 0;
static pid_t main_thread;

static void
serve_accepted(Connection *connection)
{
	while (connection_read_request(connection))
		connection_reply(connection, "200 OK", ACCEPTED);
}

static void
serve_nothing(Connection *connection)
{
	while (connection_read_request(connection))
		;
}

static MfHttp *
threaded(void)
{
	char		error[256] = "";
	MfHttp	   *http = mf_http_create(error, sizeof(error));

	if (http == NULL || !mf_http_start_thread(http, error, sizeof(error)))
		fail_msg("%s", error);
	return http;
}

/* Waits as an owner does: for the descriptor only. */
static MfHttpExchange *
await_one(MfHttp *http)
{
	MfHttpExchange *exchange;

	while ((exchange = mf_http_next_done(http)) == NULL)
	{
		struct pollfd poll_fd = {0};
		long		timeout = mf_http_timeout(http);

		poll_fd.fd = mf_http_fd(http);
		poll_fd.events = POLLIN;
		if (timeout < 0 && poll(&poll_fd, 1, PATIENCE_MS) <= 0)
			fail_msg("nobody has told that a request has ended");
		mf_http_perform(http);
	}
	return exchange;
}

/* Many requests of several targets: each ends once, with its own answer. */
static void
test_each_once(void **state)
{
	enum
	{
		COUNT = 4000, WINDOW = 40
	};
	Server	   *server = server_start(serve_accepted, NULL);
	MfHttp	   *http = threaded();
	MfHttpTarget *targets[3];
	static int	ended[COUNT];
	int			posted = 0;
	int			done = 0;
	int			i;

	(void) state;
	memset(ended, 0, sizeof(ended));
	for (i = 0; i < 3; i++)
		targets[i] = target_create(http, server_url(server), 0, 0);
	while (done < COUNT)
	{
		MfHttpExchange *exchange;

		while (posted < COUNT && mf_http_in_flight(http) < WINDOW)
		{
			post(http, targets[posted % 3], BODY, &ended[posted]);
			posted++;
		}
		exchange = await_one(http);
		assert_int_equal(outcome_of(exchange), MF_OUTCOME_ACCEPTED);
		(*(int *) exchange->tag)++;
		done++;
		mf_http_exchange_free(exchange);
	}
	for (i = 0; i < COUNT; i++)
		assert_int_equal(ended[i], 1);
	assert_int_equal(server_requests(server), COUNT);
	assert_int_equal(mf_http_in_flight(http), 0);
	assert_true(server_connections(server) <= WINDOW);
	mf_http_destroy(http);
	server_stop(server);
}

/* One after the other, both sides waiting in between: a lost wake-up would hang. */
static void
test_both_are_told(void **state)
{
	Server	   *server = server_start(serve_accepted, NULL);
	MfHttp	   *http = threaded();
	MfHttpTarget *target = target_create(http, server_url(server), 0, 0);
	int			i;

	(void) state;
	for (i = 0; i < 1000; i++)
	{
		MfHttpExchange *exchange;

		post(http, target, BODY, NULL);
		exchange = await_one(http);
		assert_int_equal(exchange->curl_code, CURLE_OK);
		mf_http_exchange_free(exchange);
	}
	assert_int_equal(server_connections(server), 1);
	mf_http_destroy(http);
	server_stop(server);
}

/* The owner is busy meanwhile. */
static void
test_goes_on_alone(void **state)
{
	Server	   *server = server_start(serve_accepted, NULL);
	MfHttp	   *http = threaded();
	MfHttpTarget *target = target_create(http, server_url(server), 0, 0);
	struct pollfd poll_fd = {0};
	int			i;

	(void) state;
	for (i = 0; i < 30; i++)
		post(http, target, BODY, NULL);
	mf_http_perform(http);
	assert_true(server_wait_requests(server, 30));
	poll_fd.fd = mf_http_fd(http);
	poll_fd.events = POLLIN;
	assert_int_equal(poll(&poll_fd, 1, PATIENCE_MS), 1);
	for (i = 0; i < 30; i++)
	{
		MfHttpExchange *exchange = await_one(http);

		assert_int_equal(outcome_of(exchange), MF_OUTCOME_ACCEPTED);
		mf_http_exchange_free(exchange);
	}
	/* it tells once, not for ever */
	assert_int_equal(mf_http_timeout(http), -1);
	assert_int_equal(poll(&poll_fd, 1, 0), 0);
	mf_http_destroy(http);
	server_stop(server);
}

static bool
seen(void *arg)
{
	return server_requests(arg) >= 3;
}

/*
 * The thread can be stopped at any point: everything goes on without it, and
 * nothing is done twice.
 */
static void
test_stop(void **state)
{
	Server	   *silent = server_start(serve_nothing, NULL);
	Server	   *server = server_start(serve_accepted, NULL);
	MfHttp	   *http = threaded();
	MfHttpTarget *waiting = target_create(http, server_url(silent), 0, 0);
	MfHttpTarget *target = target_create(http, server_url(server), 0, 0);
	MfHttpExchange *in_the_air[3];
	int			i;

	(void) state;
	for (i = 0; i < 3; i++)
		in_the_air[i] = post(http, waiting, BODY, NULL);
	run_until(http, seen, silent);
	for (i = 0; i < 5; i++)
		post(http, target, BODY, NULL);
	mf_http_perform(http);
	assert_true(server_wait_requests(server, 5));
	/* the thread has started some of these, and not seen others */
	for (i = 0; i < 300; i++)
		post(http, target, BODY, NULL);
	mf_http_perform(http);
	for (i = 0; i < 5; i++)
		post(http, target, BODY, NULL);
	mf_http_stop_thread(http);
	mf_http_stop_thread(http);

	assert_int_equal(mf_http_in_flight(http), 313);
	for (i = 0; i < 310; i++)
	{
		MfHttpExchange *exchange = finish_one(http);

		assert_int_equal(outcome_of(exchange), MF_OUTCOME_ACCEPTED);
		mf_http_exchange_free(exchange);
	}
	assert_int_equal(server_requests(server), 310);
	for (i = 0; i < 3; i++)
	{
		assert_true(in_the_air[i]->gate_passed);
		mf_http_abort(http, in_the_air[i]);
	}
	assert_int_equal(mf_http_in_flight(http), 0);
	assert_int_equal(server_requests(silent), 3);

	/* and with one again */
	{
		char		error[256] = "";
		MfHttpExchange *exchange;

		assert_true(mf_http_start_thread(http, error, sizeof(error)));
		post(http, target, BODY, NULL);
		exchange = await_one(http);
		assert_int_equal(outcome_of(exchange), MF_OUTCOME_ACCEPTED);
		mf_http_exchange_free(exchange);
	}
	mf_http_destroy(http);
	server_stop(server);
	server_stop(silent);
}

/* With requests in every state and released targets: nothing leaks. */
static void
test_destroy(void **state)
{
	Server	   *silent = server_start(serve_nothing, NULL);
	MfHttp	   *http = threaded();
	MfHttpTarget *target = target_create(http, server_url(silent), 0, 0);
	double		start;
	int			i;

	(void) state;
	mf_http_target_release(target_create(http, server_url(silent), 0, 0));
	for (i = 0; i < 3; i++)
		post(http, target, BODY, NULL);
	run_until(http, seen, silent);
	mf_http_target_release(target);
	target = target_create(http, server_url(silent), 0, 0);
	post(http, target, BODY, NULL);
	start = seconds_now();
	mf_http_destroy(http);
	assert_true(seconds_now() - start < SOON);
	server_stop(silent);
}

/* A released target is freed, and its key wiped, once its last exchange was handed out. */
static void
test_release(void **state)
{
	Server	   *server = server_start(serve_accepted, NULL);
	MfHttp	   *http = threaded();
	MfHttpTarget *target = target_create(http, server_url(server), 0, 0);
	MfHttpExchange *exchange;

	(void) state;
	post(http, target, BODY, NULL);
	mf_http_target_hold(target);
	mf_http_target_release(target);
	exchange = await_one(http);
	assert_int_equal(outcome_of(exchange), MF_OUTCOME_ACCEPTED);
	mf_http_exchange_free(exchange);
	assert_ptr_equal(LIST_FIRST(&http->targets), target);
	post(http, target, BODY, NULL);
	mf_http_target_let_go(target);
	exchange = await_one(http);
	assert_int_equal(outcome_of(exchange), MF_OUTCOME_ACCEPTED);
	mf_http_exchange_free(exchange);
	assert_true(LIST_EMPTY(&http->targets));
	mf_http_destroy(http);
	server_stop(server);
}

static void
on_alarm(int signal_number)
{
	(void) signal_number;
	if ((pid_t) syscall(SYS_gettid) != main_thread)
		elsewhere = 1;
	alarms++;
}

/*
 * Handlers run on the owner's thread only, although it has its signals
 * blocked most of the time.
 */
static void
test_signals(void **state)
{
	Server	   *server;
	MfHttp	   *http;
	MfHttpTarget *target;
	struct sigaction action = {0};
	struct itimerval often = {{0, 500}, {0, 500}};
	struct itimerval never = {{0, 0}, {0, 0}};
	sigset_t	alarm_only;
	sigset_t	saved;
	int			i;

	(void) state;
	main_thread = (pid_t) syscall(SYS_gettid);
	sigemptyset(&alarm_only);
	sigaddset(&alarm_only, SIGALRM);

	/* the threads of the test's server do not count */
	pthread_sigmask(SIG_BLOCK, &alarm_only, &saved);
	server = server_start(serve_accepted, NULL);
	pthread_sigmask(SIG_SETMASK, &saved, NULL);

	http = threaded();
	target = target_create(http, server_url(server), 0, 0);
	action.sa_handler = on_alarm;
	action.sa_flags = SA_RESTART;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	for (i = 0; i < 500 || alarms < 20; i++)
	{
		MfHttpExchange *exchange;

		pthread_sigmask(SIG_BLOCK, &alarm_only, NULL);
		post(http, target, BODY, NULL);
		mf_http_perform(http);
		assert_true(server_wait_requests(server, i + 1));
		pthread_sigmask(SIG_UNBLOCK, &alarm_only, NULL);
		while ((exchange = mf_http_next_done(http)) == NULL)
			mf_http_perform(http);
		mf_http_exchange_free(exchange);
	}
	setitimer(ITIMER_REAL, &never, NULL);
	assert_false(elsewhere);
	mf_http_destroy(http);
	server_stop(server);
}

/* How often the thread has begun to wait */
static long
sleeps(void)
{
	DIR		   *tasks = opendir("/proc/self/task");
	struct dirent *task;
	long		found = -1;

	assert_non_null(tasks);
	while ((task = readdir(tasks)) != NULL)
	{
		char		path[300];
		char		line[128];
		FILE	   *status;
		bool		ours = false;

		snprintf(path, sizeof(path), "/proc/self/task/%s/status", task->d_name);
		status = fopen(path, "r");
		while (status != NULL && fgets(line, sizeof(line), status) != NULL)
		{
			if (strcmp(line, "Name:\tmyfatoorah http\n") == 0)
				ours = true;
			if (ours)
				(void) sscanf(line, "voluntary_ctxt_switches: %ld", &found);
		}
		if (status != NULL)
			fclose(status);
	}
	closedir(tasks);
	return found;
}

/* The same, once it waits for nothing but work */
static long
sleeps_at_rest(void)
{
	long		before = sleeps();
	int			i;

	for (i = 0; i < 100; i++)
	{
		long		now;

		usleep(200000);
		now = sleeps();
		if (now == before)
			return now;
		before = now;
	}
	fail_msg("the thread does not come to rest");
	return -1;
}

/* Answers one request, and closes when told to. */
static void
serve_one(Connection *connection)
{
	if (connection_read_request(connection))
		connection_reply(connection, "200 OK", ACCEPTED);
	server_wait_events(connection->server, 1);
}

/* Without work the thread waits, even when the server closes idle connections. */
static void
test_idle(void **state)
{
	Server	   *server = server_start(serve_one, NULL);
	MfHttp	   *http = threaded();
	MfHttpTarget *target = target_create(http, server_url(server), 0, 0);
	MfHttpExchange *exchange;
	long		before;

	(void) state;
	post(http, target, BODY, NULL);
	exchange = await_one(http);
	assert_int_equal(outcome_of(exchange), MF_OUTCOME_ACCEPTED);
	mf_http_exchange_free(exchange);

	before = sleeps_at_rest();
	assert_between(before, 1, 1000);
	assert_int_equal(server_connections(server), 1);
	server_event(server);
	assert_true(server_wait_closed(server, 1));
	usleep(100000);
	assert_int_equal(sleeps(), before);
	assert_int_equal(mf_http_timeout(http), -1);
	mf_http_destroy(http);
	server_stop(server);
}

/* A fake clock: what counts as too late, and for how long */
static void
test_late_look(void **state)
{
	MfHttp	   *http = threaded();
	int64_t		now = mf_http_clock();
	int64_t		limit = MF_FREEZE_MS * INT64_C(1000000);

	(void) state;
	mf_http_stop_thread(http);
	/* without a thread nobody looks in time */
	mf_http_check_clock(http, now + 10 * limit);
	assert_int_equal(mf_http_hold_left(http), 0);

	http->clock_due = now;
	mf_http_check_clock(http, now + limit);
	assert_int_equal(mf_http_hold_left(http), 0);
	mf_http_check_clock(http, now + limit + 1);
	assert_int_equal(http->held_since, now + limit + 1);
	assert_int_equal(http->held_until - http->held_since, MF_FREEZE_HOLD_MS * INT64_C(1000000));
	assert_true(mf_http_hold_left(http) > MF_FREEZE_HOLD_MS * INT64_C(1000000));

	/* once for each freeze */
	mf_http_check_clock(http, now + limit + 2);
	assert_int_equal(http->held_since, now + limit + 1);
	http->held_since = http->held_until = 0;
	mf_http_report_late_wakeup(http, limit);
	assert_int_equal(mf_http_hold_left(http), 0);
	mf_http_report_late_wakeup(http, limit + 1);
	assert_between(mf_http_hold_left(http), 1, MF_FREEZE_HOLD_MS * INT64_C(1000000));
	mf_http_destroy(http);
}

static void
end_unsent(MfHttp *http)
{
	MfHttpExchange *exchange = await_one(http);
	char		described[512];

	assert_true(exchange->gate_reached);
	assert_false(exchange->gate_passed);
	assert_int_equal(exchange->body_sent, 0);
	mf_http_describe(exchange, described, sizeof(described));
	assert_non_null(strstr(described, "nothing was sent to"));
	assert_non_null(strstr(described, "the process stood still"));
	assert_int_equal(outcome_of(exchange), MF_OUTCOME_NOT_SENT);
	mf_http_exchange_free(exchange);
}

/* During a hold nothing is sent, and what was posted before it never is. */
static void
test_held(void **state)
{
	Server	   *server = server_start(serve_accepted, NULL);
	MfHttp	   *http = threaded();
	MfHttpTarget *target = target_create(http, server_url(server), 0, 0);
	MfHttpExchange *exchange;
	int			round;

	(void) state;
	/* in the second round on a kept connection */
	for (round = 0; round < 2; round++)
	{
		post(http, target, BODY, NULL);
		mf_http_report_late_wakeup(http, (MF_FREEZE_MS + 1) * INT64_C(1000000));
		mf_http_perform(http);
		end_unsent(http);
		post(http, target, BODY, NULL);
		mf_http_perform(http);
		end_unsent(http);

		post(http, target, BODY, NULL);
		mf_http_report_late_wakeup(http, (MF_FREEZE_MS + 1) * INT64_C(1000000));
		__atomic_store_n(&http->held_until, 0, __ATOMIC_SEQ_CST);
		mf_http_perform(http);
		end_unsent(http);
		assert_int_equal(server_requests(server), round);

		post(http, target, BODY, NULL);
		mf_http_perform(http);
		exchange = await_one(http);
		assert_int_equal(outcome_of(exchange), MF_OUTCOME_ACCEPTED);
		mf_http_exchange_free(exchange);
	}
	mf_http_destroy(http);
	server_stop(server);
}

/* The thread checks the clock as long as the owner may post, and not otherwise. */
static void
test_watches_clock(void **state)
{
	MfHttp	   *http = threaded();
	long		before;
	double		start;

	(void) state;
	sleeps_at_rest();
	mf_http_watch_clock(http, true);
	usleep(100000);
	before = sleeps();
	start = seconds_now();
	usleep(2300000);
	assert_between(sleeps() - before, 1, (long) (seconds_now() - start) + 1);
	mf_http_watch_clock(http, false);
	before = sleeps_at_rest();
	usleep(1300000);
	assert_int_equal(sleeps(), before);
	assert_int_equal(mf_http_hold_left(http), 0);
	mf_http_destroy(http);
}

/* Without descriptors there is no thread, and none is needed. */
static void
test_cannot_start(void **state)
{
	Server	   *server;
	char		error[256] = "";
	MfHttp	   *http = mf_http_create(error, sizeof(error));
	MfHttpTarget *target;
	struct rlimit limit;
	struct rlimit none;

	(void) state;
	assert_non_null(http);
	getrlimit(RLIMIT_NOFILE, &limit);
	none = limit;
	none.rlim_cur = 0;
	setrlimit(RLIMIT_NOFILE, &none);
	assert_false(mf_http_start_thread(http, error, sizeof(error)));
	setrlimit(RLIMIT_NOFILE, &limit);
	assert_string_equal(error, "could not create event descriptors");

	/* not before: accept() would fail as well */
	server = server_start(serve_accepted, NULL);
	target = target_create(http, server_url(server), 0, 0);
	assert_int_equal(outcome_one(http, target, BODY), MF_OUTCOME_ACCEPTED);
	mf_http_destroy(http);
	server_stop(server);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_once),
		cmocka_unit_test(test_both_are_told),
		cmocka_unit_test(test_goes_on_alone),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_destroy),
		cmocka_unit_test(test_release),
		cmocka_unit_test(test_signals),
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_late_look),
		cmocka_unit_test(test_held),
		cmocka_unit_test(test_watches_clock),
		cmocka_unit_test(test_cannot_start),
	};

	return cmocka_run_group_tests_name("http in a thread", tests, NULL, NULL);
}
