/*
 * http_thread.c
 *	  The thread that talks to libcurl while the owner does other things.
 *
 * It takes requests, and gives their ends back, under one lock that nobody holds
 * for longer than it takes to move a list.  Either side waits on descriptors and
 * is told by an eventfd, once, and the thread only while it sleeps.
 *
 * The thread runs nothing but the code of this transport, with all signals
 * blocked: it never calls the owner, whose memory, errors and handlers are not
 * made for more than one thread.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/http/http_thread.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE				/* pthread_setname_np() */
#endif
#include "core/http/http_private.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Looks at the clock are no further apart. */
#define LOOK_MS 1000

/* As it is shown beside the process, at most 15 characters */
#define THREAD_NAME "myfatoorah http"

static void *run(void *arg);
static void set_event(int fd);
static void free_targets(MfHttpTarget *targets);
static void close_events(MfHttp *http);

bool
mf_http_start_thread(MfHttp *http, char *error, size_t error_size)
{
	struct epoll_event event = {0};
	sigset_t	saved;
	int			failure;

	http->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	http->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	event.events = EPOLLIN;
	event.data.fd = http->wake_fd;
	if (http->wake_fd < 0 || http->done_fd < 0 ||
		epoll_ctl(http->epoll, EPOLL_CTL_ADD, http->wake_fd, &event) != 0)
	{
		mf_http_error(error, error_size, "could not create event descriptors");
		close_events(http);
		return false;
	}
	pthread_mutex_init(&http->lock, NULL);
	http->stop = http->asleep = http->told = false;

	/* it inherits the mask */
	mf_http_block_signals(&saved);
	failure = pthread_create(&http->thread, NULL, run, http);
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
	if (failure != 0)
	{
		mf_http_error(error, error_size, "could not create a thread: %s", strerror(failure));
		pthread_mutex_destroy(&http->lock);
		close_events(http);
		return false;
	}
	(void) pthread_setname_np(http->thread, THREAD_NAME);
	http->threaded = true;
	return true;
}

void
mf_http_stop_thread(MfHttp *http)
{
	MfHttpList	waiting;

	if (!http->threaded)
		return;
	pthread_mutex_lock(&http->lock);
	http->stop = true;
	set_event(http->wake_fd);
	pthread_mutex_unlock(&http->lock);
	pthread_join(http->thread, NULL);
	pthread_mutex_destroy(&http->lock);
	http->threaded = false;
	http->look_by = 0;

	/* all that was handed over is the owner's again, in the same order */
	mf_http_list_move(&http->done, &http->to_hand_out);
	waiting = http->to_begin;
	mf_http_list_move(&waiting, &http->submitted);
	http->submitted = waiting;
	http->to_begin.first = http->to_begin.last = NULL;
	free_targets(http->to_free);
	http->to_free = NULL;
	close_events(http);
}

/* What the thread does. */
static void *
run(void *arg)
{
	MfHttp	   *http = arg;
	MfHttpList	to_begin = {NULL, NULL};

	for (;;)
	{
		MfHttpList	ended = {NULL, NULL};
		MfHttpTarget *to_free;
		long		timeout_ms;
		int64_t		now;

		mf_http_list_move(&ended, &http->ended);
		timeout_ms = mf_http_step_timeout(http);
		if (timeout_ms < 0 || timeout_ms > MF_WAIT_MAX_MS)
			timeout_ms = MF_WAIT_MAX_MS;

		pthread_mutex_lock(&http->lock);
		if (ended.first != NULL && !http->told)
		{
			set_event(http->done_fd);
			http->told = true;
		}
		mf_http_list_move(&http->to_hand_out, &ended);
		mf_http_list_move(&to_begin, &http->to_begin);
		if (http->stop)
			break;
		to_free = http->to_free;
		http->to_free = NULL;
		if (to_begin.first != NULL)
			timeout_ms = 0;
		else if ((http->busy > 0 || http->watch_clock) && timeout_ms > LOOK_MS)
			timeout_ms = LOOK_MS;
		http->asleep = (timeout_ms != 0);
		http->sleeps_long = (timeout_ms > LOOK_MS);
		pthread_mutex_unlock(&http->lock);
		now = mf_http_clock();
		mf_http_look(http, now);
		http->look_by = now + timeout_ms * INT64_C(1000000);

		free_targets(to_free);
		mf_http_begin(http, &to_begin);
		mf_http_wait(http, timeout_ms);
		mf_http_step(http);
	}
	/* what has not begun is the owner's again */
	http->to_begin = to_begin;
	pthread_mutex_unlock(&http->lock);
	return NULL;
}

/* The owner's side of the exchange: submits what was posted, fetches what has ended. */
void
mf_http_thread_exchange(MfHttp *http)
{
	bool		wake;

	pthread_mutex_lock(&http->lock);
	wake = http->asleep && http->submitted.first != NULL;
	mf_http_list_move(&http->to_begin, &http->submitted);
	mf_http_list_move(&http->done, &http->to_hand_out);
	if (http->told)
		mf_http_clear_event(http->done_fd);
	http->told = false;
	if (wake)
		http->asleep = false;
	pthread_mutex_unlock(&http->lock);

	/* if it has woken meanwhile, it wakes once too often */
	if (wake)
		set_event(http->wake_fd);
}

void
mf_http_watch_clock(MfHttp *http, bool watch)
{
	bool		wake;

	/* only the owner changes it */
	if (!http->threaded || http->watch_clock == watch)
		return;
	pthread_mutex_lock(&http->lock);
	http->watch_clock = watch;
	wake = http->asleep && http->sleeps_long == watch;
	if (wake)
		http->asleep = false;
	pthread_mutex_unlock(&http->lock);
	if (wake)
		set_event(http->wake_fd);
}

/* The target's handles are the thread's: it frees them, now. */
void
mf_http_thread_free_target(MfHttp *http, MfHttpTarget *target)
{
	pthread_mutex_lock(&http->lock);
	target->next = http->to_free;
	http->to_free = target;
	http->asleep = false;
	pthread_mutex_unlock(&http->lock);
	set_event(http->wake_fd);
}

static void
free_targets(MfHttpTarget *targets)
{
	while (targets != NULL)
	{
		MfHttpTarget *target = targets;

		targets = target->next;
		mf_http_target_free(target);
	}
}

/* Makes an eventfd readable. */
static void
set_event(int fd)
{
	uint64_t	one = 1;
	ssize_t		written = write(fd, &one, sizeof(one));

	(void) written;				/* it can only fail if it is readable already */
}

/* And no longer readable */
void
mf_http_clear_event(int fd)
{
	uint64_t	count;
	ssize_t		got = read(fd, &count, sizeof(count));

	(void) got;					/* it can only fail if it is not readable */
}

static void
close_events(MfHttp *http)
{
	if (http->wake_fd >= 0)
		close(http->wake_fd);
	if (http->done_fd >= 0)
		close(http->done_fd);
	http->wake_fd = http->done_fd = -1;
}
