/*
 * http_multi.c
 *	  Runs requests on the curl multi handle: starts them, waits for their
 *	  sockets and timers, and collects those that have ended.
 *
 * libcurl reports its sockets and its next timer by callbacks.  The sockets are
 * put into one epoll descriptor (http_watch.c).  A transfer is an easy handle.  It
 * runs an exchange and is kept for the next one, of whatever target.  Connections
 * and idle transfers stay until nothing has run for a while.
 *
 * All of it runs on the thread, or on the owner while there is no thread.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/http/http_multi.c
 */
#include "core/http/http_private.h"

#include <string.h>
#include <sys/epoll.h>

/*
 * Idle connections kept where the owner has set no limit of connections.  Far
 * above what anybody needs: age closes them, not their number.
 */
#define MAX_KEPT_CONNECTIONS 10000L

/*
 * A socket at rest stays under watch for so long after the last request, in
 * nanoseconds.
 */
#define LINGER (INT64_C(50) * 1000000)

/*
 * Options of libcurl 8.20 and later, by number, because the library may be newer
 * than the headers: do not wait for name lookups that hang, and allow so many at
 * a time that a host whose lookup hangs does not delay others.
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
			snprintf(error, error_size, "libcurl refused %s: %s", #option, \
					 curl_multi_strerror(setopt_code_)); \
			goto failed; \
		} \
	} while (0)

static int	set_timer(CURLM *multi, long timeout_ms, void *arg);
static bool start_transfer(MfHttp *http, MfHttpRecord *record, char *error, size_t error_size);
static int64_t close_idle_at(const MfHttp *http);

/* ----------
 * The multi handle
 * ----------
 */

static bool
open_multi(MfHttp *http, char *error, size_t error_size)
{
	sigset_t	saved;
	CURLM	   *multi;

	/* a future libcurl may start its threads here */
	mf_http_block_signals(&saved);
	multi = curl_multi_init();
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
	if (multi == NULL)
	{
		snprintf(error, error_size, "out of memory");
		return false;
	}
	SETMOPT(multi, CURLMOPT_SOCKETFUNCTION, mf_http_watch_socket);
	SETMOPT(multi, CURLMOPT_SOCKETDATA, http);
	SETMOPT(multi, CURLMOPT_TIMERFUNCTION, set_timer);
	SETMOPT(multi, CURLMOPT_TIMERDATA, http);
	SETMOPT(multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
	SETMOPT(multi, CURLMOPT_MAXCONNECTS, MAX_KEPT_CONNECTIONS);
	/* versions before 8.20 do so anyway, and reject the options */
	(void) curl_multi_setopt(multi, MULTI_QUICK_EXIT, 1L);
	(void) curl_multi_setopt(multi, MULTI_RESOLVE_THREADS_MAX, MAX_LOOKUPS);
	http->multi = multi;
	http->limit = 0;
	return true;

failed:
	curl_multi_cleanup(multi);
	return false;
}

void
mf_http_multi_close(MfHttp *http)
{
	if (http->multi != NULL)
		curl_multi_cleanup(http->multi);
	http->multi = NULL;
	http->deadline = -1;
	while (!LIST_EMPTY(&http->idle))
	{
		MfHttpTransfer *transfer = LIST_FIRST(&http->idle);

		LIST_REMOVE(transfer, link);
		mf_http_transfer_free(transfer);
	}
}

/* Callback of the multi handle: its next timer, -1 = none. */
static int
set_timer(CURLM *multi, long timeout_ms, void *arg)
{
	MfHttp	   *http = arg;

	(void) multi;
	http->deadline = timeout_ms < 0 ? -1 : mf_http_clock() + (int64_t) timeout_ms * 1000000;
	return 0;
}

/* Makes the owner's limit of connections count for what starts from now on. */
static void
apply_limit(MfHttp *http)
{
	int			limit = __atomic_load_n(&http->wanted_limit, __ATOMIC_SEQ_CST);

	if (limit == http->limit)
		return;
	http->limit = limit;
	(void) curl_multi_setopt(http->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long) limit);
	(void) curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, limit > 0 ? (long) limit : MAX_KEPT_CONNECTIONS);
}

/* ----------
 * Requests
 * ----------
 */

void
mf_http_multi_start(MfHttp *http, MfHttpList *records)
{
	MfHttpRecord *record;
	int			count = 0;

	while (count++ < AT_ONCE && (record = mf_http_list_remove_first(records)) != NULL)
	{
		char		error[MF_HTTP_ERROR_SIZE] = "";

		if (start_transfer(http, record, error, sizeof(error)))
			continue;
		record->exchange.curl_code = CURLE_FAILED_INIT;
		record->exchange.starved = true;
		snprintf(record->exchange.curl_error, sizeof(record->exchange.curl_error), "%s", error);
		STAILQ_INSERT_TAIL(&http->ended, record, link);
	}
}

/* The idle transfer used last, or a new one. */
static MfHttpTransfer *
take_idle(MfHttp *http, char *error, size_t error_size)
{
	MfHttpTransfer *transfer = LIST_FIRST(&http->idle);

	if (transfer == NULL)
		return mf_http_transfer_create(http, error, error_size);
	LIST_REMOVE(transfer, link);
	return transfer;
}

static bool
start_transfer(MfHttp *http, MfHttpRecord *record, char *error, size_t error_size)
{
	MfHttpTransfer *transfer;
	CURLMcode	code;

	if (http->multi == NULL && !open_multi(http, error, error_size))
		return false;
	transfer = take_idle(http, error, error_size);
	if (transfer == NULL)
		return false;
	if (!mf_http_transfer_set_target(transfer, record->target, error, error_size) ||
		!mf_http_transfer_set_request(transfer, record, error, error_size))
	{
		mf_http_transfer_free(transfer);
		return false;
	}
	apply_limit(http);
	transfer->added = mf_http_clock();
	code = curl_multi_add_handle(http->multi, transfer->easy);
	if (code != CURLM_OK)
	{
		snprintf(error, error_size, "could not start the request: %s", curl_multi_strerror(code));
		mf_http_transfer_free(transfer);
		return false;
	}
	record->exchange.transfer = transfer;
	LIST_INSERT_HEAD(&http->running, transfer, link);
	http->busy++;
	return true;
}

void
mf_http_multi_remove(MfHttp *http, MfHttpTransfer *transfer, bool keep)
{
	curl_multi_remove_handle(http->multi, transfer->easy);
	LIST_REMOVE(transfer, link);
	transfer->record->exchange.transfer = NULL;
	transfer->record = NULL;
	if (keep)
		LIST_INSERT_HEAD(&http->idle, transfer, link);
	else
		mf_http_transfer_free(transfer);

	http->busy--;
	if (http->busy == 0)
		http->idle_since = mf_http_clock();
}

/*
 * The kept connection had been closed by the server, and nothing was sent on
 * it.  That is the usual end of a connection and no failure.
 */
static void
retry_on_new_connection(MfHttpTransfer *transfer)
{
	MfHttpRecord *record = transfer->record;
	MfHttp	   *http = record->target->http;
	MfHttpList	again = STAILQ_HEAD_INITIALIZER(again);

	mf_http_multi_remove(http, transfer, false);
	record->fresh = true;
	record->exchange.gate_reached = record->exchange.connection_reused = false;
	record->exchange.curl_error[0] = '\0';
	STAILQ_INSERT_TAIL(&again, record, link);
	mf_http_multi_start(http, &again);
}

static void
finish_transfer(MfHttpTransfer *transfer, CURLcode code)
{
	MfHttpRecord *record = transfer->record;
	MfHttp	   *http = record->target->http;

	if (transfer->connection_closed && !record->fresh)
	{
		retry_on_new_connection(transfer);
		return;
	}
	mf_http_exchange_complete(transfer, code);
	mf_http_multi_remove(http, transfer, code == CURLE_OK);
	STAILQ_INSERT_TAIL(&http->ended, record, link);
}

/* Ends every running transfer, because the multi handle cannot go on. */
static void
fail_all(MfHttp *http, const char *why)
{
	while (!LIST_EMPTY(&http->running))
	{
		MfHttpTransfer *transfer = LIST_FIRST(&http->running);

		snprintf(transfer->error, sizeof(transfer->error), "%s", why);
		finish_transfer(transfer, CURLE_FAILED_INIT);
	}
}

static void
collect_finished(MfHttp *http)
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
		if (transfer != NULL)
			finish_transfer(transfer, code);
	}
	if (http->watch_failed)
	{
		http->watch_failed = false;
		fail_all(http, "could not watch a socket");
	}
}

/* ----------
 * Sockets and timers
 * ----------
 */

/* Reports an event or, with CURL_SOCKET_TIMEOUT, a timer that has expired. */
static void
notify_libcurl(MfHttp *http, curl_socket_t fd, int events)
{
	CURLMcode	code;
	int			running;

	if (http->multi == NULL)
		return;
	code = curl_multi_socket_action(http->multi, fd, events, &running);
	if (code == CURLM_OK || code == CURLM_BAD_SOCKET)
		return;
	collect_finished(http);
	fail_all(http, curl_multi_strerror(code));
	mf_http_multi_close(http);
}

void
mf_http_multi_wait(MfHttp *http, long timeout_ms)
{
	struct epoll_event events[AT_ONCE];
	int			n;
	int			i;

	if (timeout_ms < 0 || timeout_ms > MF_WAIT_MAX_MS)
		timeout_ms = MF_WAIT_MAX_MS;
	n = epoll_wait(http->epoll, events, AT_ONCE, (int) timeout_ms);
	mf_http_check_clock(http, mf_http_clock());
	for (i = 0; i < n; i++)
	{
		int			what = 0;

		if (events[i].data.fd == http->wake_fd)
		{
			mf_http_event_clear(http->wake_fd);
			continue;
		}

		/* the server has closed it; libcurl looks before it uses it again */
		if (mf_http_socket_is_resting(http, events[i].data.fd))
		{
			mf_http_unwatch_socket(http, events[i].data.fd);
			continue;
		}

		/*
		 * Reading or writing reports errors and hang-ups in better words than
		 * "select/poll returned error".
		 */
		if (events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP))
			what |= CURL_CSELECT_IN;
		if (events[i].events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
			what |= CURL_CSELECT_OUT;
		notify_libcurl(http, events[i].data.fd, what);
	}
}

void
mf_http_multi_step(MfHttp *http)
{
	int64_t		close_at;

	if (http->deadline >= 0 && mf_http_clock() >= http->deadline)
	{
		http->deadline = -1;
		notify_libcurl(http, CURL_SOCKET_TIMEOUT, 0);
	}
	collect_finished(http);

	/* closing the multi handle is the only way to have idle connections closed */
	close_at = close_idle_at(http);
	if (close_at >= 0 && mf_http_clock() >= close_at)
		mf_http_multi_close(http);
}

/*
 * Until when sockets at rest stay under watch though nothing runs; -1 = no
 * longer.  A thread that is faster than its owner has nothing to do again and
 * again, for a moment each time.
 */
static int64_t
linger_until(const MfHttp *http)
{
	int64_t		until = http->idle_since + LINGER;

	return http->wake_fd >= 0 && http->first_resting >= 0 && mf_http_clock() < until ? until : -1;
}

/*
 * When nothing has run for so long that no connection would be used again; -1 =
 * something runs, or nothing is open.
 */
static int64_t
close_idle_at(const MfHttp *http)
{
	if (http->busy > 0 || http->multi == NULL)
		return -1;
	return http->idle_since + (MAX_IDLE_SECONDS + 1) * INT64_C(1000000000);
}

long
mf_http_multi_timeout(MfHttp *http)
{
	int64_t		deadline = http->deadline;
	int64_t		left;

	if (!STAILQ_EMPTY(&http->ended) || http->watch_failed)
		return 0;
	if (http->busy == 0)
	{
		int64_t		linger = linger_until(http);
		int64_t		close_at = close_idle_at(http);

		if (linger < 0)
			mf_http_unwatch_resting(http);
		else if (deadline < 0 || linger < deadline)
			deadline = linger;
		if (close_at >= 0 && (deadline < 0 || close_at < deadline))
			deadline = close_at;
	}
	if (deadline < 0)
		return -1;
	left = deadline - mf_http_clock();
	if (left <= 0)
		return 0;
	/* rounded up, lest the caller spin through the last millisecond */
	return (long) ((left + 999999) / 1000000);
}
