/*
 * http.c
 *	  POST requests on one libcurl multi handle, with evidence of what left.
 *
 * libcurl tells us its sockets and its next deadline by callbacks; the sockets
 * go into one epoll descriptor for the owner to wait on.  A transfer is an
 * easy handle of a target with every option of that target already set; it is
 * taken from the target's free list, serves one exchange and goes back.
 *
 * This file has the multi handle; the life of an exchange is in
 * http_exchange.c, what libcurl calls in http_callbacks.c, its sockets in
 * http_watch.c, easy handles in http_transfer.c, the thread in http_thread.c.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/http/http.c
 */
#include "core/http/http_private.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

/* What was needed at the same time counts for as long, and up to twice that */
#define PEAK_SPAN (INT64_C(60) * 1000000000)

/* Sockets are watched for so long after the last request, in nanoseconds. */
#define LINGER (INT64_C(50) * 1000000)

/*
 * Options of libcurl 8.20 and later, by number, for that library may be exchanged
 * for a later one: do not wait for stuck look-ups of names, and have so many of
 * them that a stuck host does not starve others.
 */
#define MULTI_QUICK_EXIT ((CURLMoption) (CURLOPTTYPE_LONG + 21))
#define MULTI_RESOLVE_THREADS_MAX ((CURLMoption) (CURLOPTTYPE_LONG + 20))
#define MAX_LOOKUPS 1000L

/* Goes to "failed" with the name of the option if libcurl refuses it. */
#define SETMOPT(multi, option, value) \
	do { \
		CURLMcode	setopt_code_ = curl_multi_setopt((multi), (option), (value)); \
		if (setopt_code_ != CURLM_OK) \
		{ \
			mf_http_error(error, error_size, "libcurl refused %s: %s", #option, \
					  curl_multi_strerror(setopt_code_)); \
			goto failed; \
		} \
	} while (0)

static bool init_libcurl(char *error, size_t error_size);
static void set_kept(MfHttp *http, size_t kept);
static int64_t linger(const MfHttp *http);
static int64_t shrink_time(const MfHttp *http);
static void shrink(MfHttp *http);
static void collect(MfHttp *http);
static void fail_all(MfHttp *http, const char *why);
static void act(MfHttp *http, curl_socket_t fd, int events);

void
mf_http_error(char *error, size_t error_size, const char *format,...)
{
	va_list		args;

	if (error_size == 0)
		return;
	va_start(args, format);
	vsnprintf(error, error_size, format, args);
	va_end(args);
}

/* ----------
 * Signals
 * ----------
 */

/*
 * A thread inherits the mask of the one that starts it; handlers of the owner
 * must never run on any other.
 */
void
mf_http_block_signals(sigset_t *saved)
{
	sigset_t	all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, saved);
}

/*
 * libcurl looks up names in threads: signals are blocked from now on until it
 * returns to mf_http_perform().  In the transport's own thread they always are.
 */
int
mf_http_lookup_starts(void *resolver, void *reserved, void *arg)
{
	MfHttpTransfer *transfer = arg;
	MfHttp	   *http = transfer->target->http;

	(void) resolver;
	(void) reserved;
	transfer->begun = true;
	if (http->wake_fd < 0 && !http->signals_blocked)
	{
		mf_http_block_signals(&http->signals);
		http->signals_blocked = true;
	}
	return 0;
}

int64_t
mf_http_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (int64_t) now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ----------
 * The multi handle
 * ----------
 */

/*
 * Initializes libcurl, once per process and as late as possible: it may start
 * threads, which do not survive a fork.
 */
static bool
init_libcurl(char *error, size_t error_size)
{
	static bool initialized = false;
	const curl_version_info_data *version;
	CURLcode	code;

	if (initialized)
		return true;
	code = curl_global_init(CURL_GLOBAL_DEFAULT);
	if (code != CURLE_OK)
	{
		mf_http_error(error, error_size, "could not initialize libcurl: %s", curl_easy_strerror(code));
		return false;
	}
	version = curl_version_info(CURLVERSION_NOW);
	if (version->version_num < MIN_LIBCURL)
		mf_http_error(error, error_size, "libcurl %s is too old, 7.87.0 or newer is needed",
				  version->version);
	else if ((version->features & CURL_VERSION_SSL) == 0)
		mf_http_error(error, error_size, "libcurl was built without TLS");
	else if ((version->features & CURL_VERSION_ASYNCHDNS) == 0)
		mf_http_error(error, error_size, "libcurl was built without asynchronous name lookups");
	else
	{
		initialized = true;
		return true;
	}
	curl_global_cleanup();
	return false;
}

/* NULL with an error message if that fails. */
CURLM *
mf_http_make_multi(MfHttp *http, char *error, size_t error_size)
{
	sigset_t	saved;
	CURLM	   *multi;

	/* some day it may start its threads here */
	mf_http_block_signals(&saved);
	multi = curl_multi_init();
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
	if (multi == NULL)
	{
		mf_http_error(error, error_size, "out of memory");
		return NULL;
	}
	SETMOPT(multi, CURLMOPT_SOCKETFUNCTION, mf_http_watch_socket);
	SETMOPT(multi, CURLMOPT_SOCKETDATA, http);
	SETMOPT(multi, CURLMOPT_TIMERFUNCTION, mf_http_set_timer);
	SETMOPT(multi, CURLMOPT_TIMERDATA, http);
	SETMOPT(multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
	SETMOPT(multi, CURLMOPT_MAXCONNECTS, (long) http->kept);
	SETMOPT(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long) http->limit);
	/* versions before 8.20 do so by themselves, and refuse to be told */
	(void) curl_multi_setopt(multi, MULTI_QUICK_EXIT, 1L);
	(void) curl_multi_setopt(multi, MULTI_RESOLVE_THREADS_MAX, MAX_LOOKUPS);
	return multi;

failed:
	curl_multi_cleanup(multi);
	return NULL;
}

MfHttp *
mf_http_create(char *error, size_t error_size)
{
	MfHttp	   *http;
	sigset_t	saved;
	bool		initialized;

	http = calloc(1, sizeof(MfHttp));
	if (http == NULL)
	{
		mf_http_error(error, error_size, "out of memory");
		return NULL;
	}
	http->deadline = -1;
	http->first_resting = -1;
	http->kept = MIN_KEPT;
	http->wake_fd = http->done_fd = -1;
	http->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (http->epoll < 0)
	{
		mf_http_error(error, error_size, "could not create an epoll descriptor: %s", strerror(errno));
		free(http);
		return NULL;
	}

	mf_http_block_signals(&saved);
	initialized = init_libcurl(error, error_size);
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
	if (initialized)
		http->multi = mf_http_make_multi(http, error, error_size);
	if (http->multi == NULL)
	{
		close(http->epoll);
		free(http);
		return NULL;
	}
	return http;
}

void
mf_http_destroy(MfHttp *http)
{
	if (http == NULL)
		return;
	mf_http_stop_thread(http);
	while (http->running != NULL)
	{
		MfHttpRecord *record = http->running->record;

		mf_http_transfer_end(http->running, false);
		mf_http_exchange_free(&record->exchange);
	}
	mf_http_list_free(&http->submitted);
	mf_http_list_free(&http->ended);
	mf_http_list_free(&http->done);
	while (http->targets != NULL)
	{
		MfHttpTarget *target = http->targets;

		http->targets = target->next;
		mf_http_target_free(target);
	}
	if (http->multi != NULL)
		curl_multi_cleanup(http->multi);
	close(http->epoll);
	free(http->sockets);
	free(http);
}

int
mf_http_fd(const MfHttp *http)
{
	return http->threaded ? http->done_fd : http->epoll;
}

long
mf_http_timeout(MfHttp *http)
{
	if (http->submitted.first != NULL || http->done.first != NULL)
		return 0;
	return http->threaded ? -1 : mf_http_step_timeout(http);
}

long
mf_http_step_timeout(MfHttp *http)
{
	int64_t		deadline = http->deadline;
	int64_t		left;

	if (http->ended.first != NULL || http->watch_failed)
		return 0;
	if (http->busy == 0)
	{
		int64_t		linger_until = linger(http);
		int64_t		shrink_at = shrink_time(http);

		if (linger_until < 0)
			mf_http_unwatch_resting(http);
		else if (deadline < 0 || linger_until < deadline)
			deadline = linger_until;
		if (shrink_at >= 0 && (deadline < 0 || shrink_at < deadline))
			deadline = shrink_at;
	}
	if (deadline < 0)
		return -1;
	left = deadline - mf_http_clock();
	if (left <= 0)
		return 0;
	/* rounded up, lest the owner spin through the last millisecond */
	return (long) ((left + 999999) / 1000000);
}

void
mf_http_close_gate(MfHttp *http, bool closed)
{
	__atomic_store_n(&http->gate_closed, closed, __ATOMIC_SEQ_CST);
}

size_t
mf_http_in_flight(const MfHttp *http)
{
	return http->in_flight;
}

/* ----------
 * How much is kept
 *
 * Opening a connection costs more than everything else about a request, so as
 * many are kept as are needed at the same time, and as many easy handles.
 * When less is needed, libcurl closes what has been idle for too long with the
 * next request.  When nothing is needed any more, we let go by ourselves.
 * ----------
 */

static void
set_kept(MfHttp *http, size_t kept)
{
	http->kept = kept;
	if (http->multi != NULL)
		(void) curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, (long) kept);
}

/* Another transfer runs: grows at once, shrinks after a span that needed less. */
void
mf_http_resize_pool(MfHttp *http, int64_t now)
{
	http->idle_since = 0;
	if (http->busy > http->peak)
		http->peak = http->busy;
	if (http->peak > http->kept)
		set_kept(http, http->peak);
	if (now - http->peak_since < PEAK_SPAN)
		return;
	if (http->peak < http->kept && http->kept > MIN_KEPT)
	{
		set_kept(http, http->peak > MIN_KEPT ? http->peak : MIN_KEPT);
		mf_http_transfer_trim(http);
	}
	http->peak = http->busy;
	http->peak_since = now;
}

void
mf_http_limit_connections(MfHttp *http, int limit)
{
	__atomic_store_n(&http->wanted_limit, limit, __ATOMIC_SEQ_CST);
}

/* Another transfer begins: a changed limit of connections counts for it. */
void
mf_http_set_limit(MfHttp *http)
{
	int			limit = __atomic_load_n(&http->wanted_limit, __ATOMIC_SEQ_CST);

	if (limit == http->limit)
		return;
	http->limit = limit;
	if (http->multi != NULL)
		(void) curl_multi_setopt(http->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long) limit);
}

/*
 * Until when resting sockets stay under watch though nothing runs, -1 = no longer.
 * A thread that is faster than its owner has nothing to do again and again.
 */
static int64_t
linger(const MfHttp *http)
{
	int64_t		until = http->idle_since + LINGER;

	return http->wake_fd >= 0 && http->first_resting >= 0 && mf_http_clock() < until ? until : -1;
}

/* No connection is used again after that, and more is kept than the least; -1 = no such time. */
static int64_t
shrink_time(const MfHttp *http)
{
	if (http->idle_since == 0 || http->kept <= MIN_KEPT)
		return -1;
	return http->idle_since + (MAX_IDLE_SECONDS + 1) * INT64_C(1000000000);
}

/*
 * Nothing has run for so long that no connection would be used again.  There
 * is no way to make libcurl close them but this one; the next request makes a
 * new multi handle.
 */
static void
shrink(MfHttp *http)
{
	http->peak = 0;
	set_kept(http, MIN_KEPT);
	mf_http_transfer_trim(http);
	curl_multi_cleanup(http->multi);
	http->multi = NULL;
	http->deadline = -1;
}

/* Tells libcurl of an event or, with CURL_SOCKET_TIMEOUT, of the time. */
static void
act(MfHttp *http, curl_socket_t fd, int events)
{
	CURLMcode	code;
	int			running;
	char		error[64];

	if (http->multi == NULL)
		return;
	code = curl_multi_socket_action(http->multi, fd, events, &running);
	if (code == CURLM_OK || code == CURLM_BAD_SOCKET)
		return;
	collect(http);
	fail_all(http, curl_multi_strerror(code));
	curl_multi_cleanup(http->multi);
	http->deadline = -1;
	http->multi = mf_http_make_multi(http, error, sizeof(error));
}

void
mf_http_perform(MfHttp *http)
{
	bool		news;

	if (http->threaded)
	{
		mf_http_thread_exchange(http);
		return;
	}
	/* none of what begins only now */
	news = (http->busy > 0 || http->submitted.first == NULL);
	mf_http_begin(http, &http->submitted);
	if (news)
		mf_http_wait(http, 0);
	mf_http_step(http);
	mf_http_list_move(&http->done, &http->ended);
	if (http->signals_blocked)
	{
		pthread_sigmask(SIG_SETMASK, &http->signals, NULL);
		http->signals_blocked = false;
	}
}

void
mf_http_wait(MfHttp *http, long timeout_ms)
{
	struct epoll_event events[AT_ONCE];
	int			n;
	int			i;

	if (timeout_ms < 0 || timeout_ms > MF_WAIT_MAX_MS)
		timeout_ms = MF_WAIT_MAX_MS;
	n = epoll_wait(http->epoll, events, AT_ONCE, (int) timeout_ms);
	mf_http_look(http, mf_http_clock());
	for (i = 0; i < n; i++)
	{
		int			what = 0;

		if (events[i].data.fd == http->wake_fd)
		{
			mf_http_clear_event(http->wake_fd);
			continue;
		}

		/* the remote has closed it; libcurl looks before it uses it again */
		if (mf_http_socket_is_resting(http, events[i].data.fd))
		{
			mf_http_unwatch(http, events[i].data.fd);
			continue;
		}

		/*
		 * Errors and hang-ups are shown by reading or writing, in better words
		 * than "select/poll returned error".
		 */
		if (events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP))
			what |= CURL_CSELECT_IN;
		if (events[i].events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
			what |= CURL_CSELECT_OUT;
		act(http, events[i].data.fd, what);
	}
}

void
mf_http_step(MfHttp *http)
{
	if (http->deadline >= 0 && mf_http_clock() >= http->deadline)
	{
		http->deadline = -1;
		act(http, CURL_SOCKET_TIMEOUT, 0);
	}
	collect(http);
	if (shrink_time(http) >= 0 && mf_http_clock() >= shrink_time(http))
		shrink(http);
}

/* Takes finished transfers from libcurl. */
static void
collect(MfHttp *http)
{
	CURLMsg    *message;
	int			left;

	while (http->multi != NULL && (message = curl_multi_info_read(http->multi, &left)) != NULL)
	{
		MfHttpTransfer *transfer = NULL;
		CURLcode	code = message->data.result;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **) &transfer);
		if (transfer != NULL && transfer->record != NULL)
			mf_http_transfer_finish(transfer, code);
	}
	if (http->watch_failed)
	{
		http->watch_failed = false;
		fail_all(http, "could not watch a socket");
	}
}

/* The multi handle is in trouble: every running transfer ends with that. */
static void
fail_all(MfHttp *http, const char *why)
{
	while (http->running != NULL)
	{
		MfHttpTransfer *transfer = http->running;

		mf_http_error(transfer->error, sizeof(transfer->error), "%s", why);
		mf_http_transfer_finish(transfer, CURLE_FAILED_INIT);
	}
}
