/*
 * http_thread.c
 *	  A thread runs the requests while the owner does other things.
 *
 * Requests go to the thread and finished exchanges come back in lists, under one
 * lock, which is held only while lists are moved.  Each side waits on descriptors
 * and is woken by an eventfd.  The owner's is set once until the owner has fetched
 * the list; the thread's is set only while the thread waits.
 *
 * The thread runs only the code of src/core/http and libcurl, with all signals
 * blocked.  It never calls the owner, whose memory contexts, errors and signal
 * handlers are made for one thread.
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

/* While requests may leave, the thread checks the clock so often. */
#define CLOCK_CHECK_MS 1000

/* shown by ps and top; at most 15 characters */
#define THREAD_NAME "myfatoorah http"

static void *run_thread(void *arg);
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
		snprintf(error, error_size, "could not create event descriptors");
		close_events(http);
		return false;
	}
	pthread_mutex_init(&http->lock, NULL);
	http->stop = http->thread_waits = http->done_signalled = false;

	/* the thread inherits the mask */
	mf_http_block_signals(&saved);
	failure = pthread_create(&http->thread, NULL, run_thread, http);
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
	if (failure != 0)
	{
		snprintf(error, error_size, "could not create a thread: %s", strerror(failure));
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
	if (!http->threaded)
		return;
	pthread_mutex_lock(&http->lock);
	http->stop = true;
	mf_http_event_set(http->wake_fd);
	pthread_mutex_unlock(&http->lock);
	pthread_join(http->thread, NULL);
	pthread_mutex_destroy(&http->lock);
	http->threaded = false;
	http->clock_due = 0;

	/* the owner takes back what the thread has not started, in the same order */
	STAILQ_CONCAT(&http->done, &http->to_hand_out);
	STAILQ_CONCAT(&http->to_start, &http->submitted);
	STAILQ_CONCAT(&http->submitted, &http->to_start);
	close_events(http);
}

static void *
run_thread(void *arg)
{
	MfHttp	   *http = arg;
	MfHttpList	to_start = STAILQ_HEAD_INITIALIZER(to_start);

	for (;;)
	{
		MfHttpList	ended = STAILQ_HEAD_INITIALIZER(ended);
		long		timeout_ms;
		int64_t		now;

		STAILQ_CONCAT(&ended, &http->ended);
		timeout_ms = mf_http_multi_timeout(http);
		if (timeout_ms < 0 || timeout_ms > MF_WAIT_MAX_MS)
			timeout_ms = MF_WAIT_MAX_MS;

		pthread_mutex_lock(&http->lock);
		if (!STAILQ_EMPTY(&ended) && !http->done_signalled)
		{
			mf_http_event_set(http->done_fd);
			http->done_signalled = true;
		}
		STAILQ_CONCAT(&http->to_hand_out, &ended);
		STAILQ_CONCAT(&to_start, &http->to_start);
		if (http->stop)
			break;				/* with the lock */
		if (!STAILQ_EMPTY(&to_start))
			timeout_ms = 0;
		else if ((http->busy > 0 || http->watch_clock) && timeout_ms > CLOCK_CHECK_MS)
			timeout_ms = CLOCK_CHECK_MS;
		http->thread_waits = (timeout_ms != 0);
		http->waits_long = (timeout_ms > CLOCK_CHECK_MS);
		pthread_mutex_unlock(&http->lock);
		now = mf_http_clock();
		mf_http_check_clock(http, now);
		http->clock_due = now + timeout_ms * INT64_C(1000000);

		mf_http_multi_start(http, &to_start);
		mf_http_multi_wait(http, timeout_ms);
		mf_http_multi_step(http);
	}
	/* mf_http_stop_thread() gives these back to the owner */
	STAILQ_CONCAT(&http->to_start, &to_start);
	pthread_mutex_unlock(&http->lock);
	return NULL;
}

void
mf_http_thread_exchange(MfHttp *http)
{
	bool		wake;

	pthread_mutex_lock(&http->lock);
	wake = http->thread_waits && !STAILQ_EMPTY(&http->submitted);
	STAILQ_CONCAT(&http->to_start, &http->submitted);
	STAILQ_CONCAT(&http->done, &http->to_hand_out);
	if (http->done_signalled)
		mf_http_event_clear(http->done_fd);
	http->done_signalled = false;
	if (wake)
		http->thread_waits = false;
	pthread_mutex_unlock(&http->lock);

	/* if the thread has woken meanwhile, it wakes once more for nothing */
	if (wake)
		mf_http_event_set(http->wake_fd);
}

void
mf_http_watch_clock(MfHttp *http, bool watch)
{
	bool		wake;

	/* read without the lock: only the owner writes it */
	if (!http->threaded || http->watch_clock == watch)
		return;
	pthread_mutex_lock(&http->lock);
	http->watch_clock = watch;
	/* a thread that waits longer or shorter than it should now is to choose again */
	wake = http->thread_waits && http->waits_long == watch;
	if (wake)
		http->thread_waits = false;
	pthread_mutex_unlock(&http->lock);
	if (wake)
		mf_http_event_set(http->wake_fd);
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
