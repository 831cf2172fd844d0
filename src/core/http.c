/*
 * http.c
 *	  POST requests on one libcurl multi handle, with evidence of what left.
 *
 * libcurl tells us its sockets and its next deadline by callbacks; the sockets
 * go into one epoll descriptor for the owner to wait on.  A transfer is an
 * easy handle of a target with every option of that target already set; it is
 * taken from the target's free list, serves one exchange and goes back.
 *
 * This file has the multi handle and the life of an exchange; what libcurl
 * calls is in http_callbacks.c, easy handles are in http_transfer.c.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/http.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE				/* memmem() */
#endif
#include "http_private.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

/* Idle connections kept, and idle easy handles kept per target */
#define MAX_CONNECTIONS 64
#define MAX_IDLE_TRANSFERS 64

/* Room for a usual answer without growing */
#define FIRST_RESPONSE_SIZE 4096

#define EVENTS_AT_ONCE 64

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
static void end_transfer(MfHttpTransfer *transfer, bool keep);
static void hide_key(const MfHttpTarget *target, char *text, size_t len);
static void finish(MfHttpTransfer *transfer, CURLcode code);
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
 * Threads that libcurl starts inherit the mask; handlers of the owner must
 * never run on them.
 */
void
mf_http_block_signals(sigset_t *saved)
{
	sigset_t	all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, saved);
}

/*
 * With CURLOPT_NOSIGNAL libcurl leaves SIGPIPE to us: one that a write to a
 * closed connection left pending is taken away here.
 */
void
mf_http_restore_signals(const sigset_t *saved)
{
	sigset_t	pending;

	if (sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 1)
	{
		const struct timespec no_time = {0, 0};
		sigset_t	broken_pipe;

		sigemptyset(&broken_pipe);
		sigaddset(&broken_pipe, SIGPIPE);
		while (sigtimedwait(&broken_pipe, NULL, &no_time) < 0 && errno == EINTR)
			;
	}
	pthread_sigmask(SIG_SETMASK, saved, NULL);
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

static CURLM *
make_multi(MfHttp *http, char *error, size_t error_size)
{
	CURLM	   *multi = curl_multi_init();

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
	SETMOPT(multi, CURLMOPT_MAXCONNECTS, (long) MAX_CONNECTIONS);
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

	http = calloc(1, sizeof(MfHttp));
	if (http == NULL)
	{
		mf_http_error(error, error_size, "out of memory");
		return NULL;
	}
	http->deadline = -1;
	http->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (http->epoll < 0)
	{
		mf_http_error(error, error_size, "could not create an epoll descriptor: %s", strerror(errno));
		free(http);
		return NULL;
	}

	mf_http_block_signals(&saved);
	if (!init_libcurl(error, error_size))
		goto failed;
	http->multi = make_multi(http, error, error_size);
	if (http->multi == NULL)
		goto failed;
	mf_http_restore_signals(&saved);
	return http;

failed:
	mf_http_restore_signals(&saved);
	close(http->epoll);
	free(http);
	return NULL;
}

void
mf_http_destroy(MfHttp *http)
{
	MfHttpExchange *exchange;
	sigset_t	saved;

	if (http == NULL)
		return;
	mf_http_block_signals(&saved);
	while (http->running != NULL)
	{
		exchange = http->running->exchange;
		end_transfer(http->running, false);
		mf_http_exchange_free(exchange);
	}
	while ((exchange = mf_http_next_done(http)) != NULL)
		mf_http_exchange_free(exchange);
	while (http->targets != NULL)
		mf_http_target_free(http->targets);
	if (http->multi != NULL)
		curl_multi_cleanup(http->multi);
	mf_http_restore_signals(&saved);
	close(http->epoll);
	free(http);
}

int
mf_http_fd(const MfHttp *http)
{
	return http->epoll;
}

long
mf_http_timeout(const MfHttp *http)
{
	int64_t		left;

	if (http->done != NULL || http->watch_failed)
		return 0;
	if (http->deadline < 0)
		return -1;
	left = http->deadline - mf_http_clock();
	if (left <= 0)
		return 0;
	/* rounded up, lest the owner spin through the last millisecond */
	return (long) ((left + 999999) / 1000000);
}

void
mf_http_close_gate(MfHttp *http, bool closed)
{
	http->gate_closed = closed;
}

size_t
mf_http_in_flight(const MfHttp *http)
{
	return http->in_flight;
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
	http->multi = make_multi(http, error, sizeof(error));
}

void
mf_http_perform(MfHttp *http)
{
	struct epoll_event events[EVENTS_AT_ONCE];
	sigset_t	saved;
	int			n;
	int			i;

	mf_http_block_signals(&saved);
	n = epoll_wait(http->epoll, events, EVENTS_AT_ONCE, 0);
	for (i = 0; i < n; i++)
	{
		int			what = 0;

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
	if (http->deadline >= 0 && mf_http_clock() >= http->deadline)
	{
		http->deadline = -1;
		act(http, CURL_SOCKET_TIMEOUT, 0);
	}
	collect(http);
	mf_http_restore_signals(&saved);
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
		if (transfer != NULL && transfer->exchange != NULL)
			finish(transfer, code);
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
		finish(transfer, CURLE_FAILED_INIT);
	}
}

MfHttpExchange *
mf_http_next_done(MfHttp *http)
{
	DoneExchange *done = http->done;

	if (done == NULL)
		return NULL;
	http->done = done->next;
	if (http->done == NULL)
		http->done_last = NULL;
	done->next = NULL;
	http->in_flight--;
	return &done->exchange;
}

void
mf_http_exchange_free(MfHttpExchange *exchange)
{
	if (exchange == NULL)
		return;
	free(exchange->response);
	free(exchange);
}

/* ----------
 * Exchanges
 * ----------
 */

MfHttpExchange *
mf_http_post(MfHttp *http, MfHttpTarget *target, const char *path,
			 char *body, size_t body_len, int64_t send_by, void *tag,
			 char *error, size_t error_size)
{
	MfHttpTransfer *transfer = NULL;
	MfHttpExchange *exchange = NULL;
	DoneExchange *record;
	CURLMcode	code;
	sigset_t	saved;

	mf_http_block_signals(&saved);
	record = calloc(1, sizeof(DoneExchange));
	if (record != NULL)
	{
		exchange = &record->exchange;
		exchange->response = malloc(FIRST_RESPONSE_SIZE);
	}
	if (exchange == NULL || exchange->response == NULL || body == NULL)
	{
		mf_http_error(error, error_size, "out of memory");
		free(body);
		goto failed;
	}
	transfer = mf_http_transfer_take(target, error, error_size);
	if (transfer == NULL)
	{
		free(body);
		goto failed;
	}
	transfer->body = body;
	transfer->body_len = body_len;
	if (!mf_http_transfer_set_request(transfer, path, error, error_size))
		goto failed;

	exchange->tag = tag;
	exchange->body_len = body_len;
	exchange->transfer = transfer;
	mf_http_error(exchange->host, sizeof(exchange->host), "%s", target->host);
	exchange->response[0] = '\0';
	transfer->exchange = exchange;
	transfer->response_size = FIRST_RESPONSE_SIZE;
	transfer->send_by = send_by;
	transfer->submitted = mf_http_clock();
	transfer->tls_begun = 0;
	transfer->headers_ended = false;
	transfer->error[0] = '\0';

	if (http->multi == NULL)
		http->multi = make_multi(http, error, error_size);
	if (http->multi == NULL)
		goto failed;
	code = curl_multi_add_handle(http->multi, transfer->easy);
	if (code != CURLM_OK)
	{
		mf_http_error(error, error_size, "could not start the request: %s", curl_multi_strerror(code));
		goto failed;
	}
	transfer->prev = NULL;
	transfer->next = http->running;
	if (transfer->next != NULL)
		transfer->next->prev = transfer;
	http->running = transfer;
	target->busy++;
	http->in_flight++;

	/* start now; it may even be over at once */
	act(http, CURL_SOCKET_TIMEOUT, 0);
	collect(http);
	mf_http_restore_signals(&saved);
	return exchange;

failed:
	if (transfer != NULL)
		mf_http_transfer_free(transfer);
	mf_http_exchange_free(exchange);
	mf_http_restore_signals(&saved);
	return NULL;
}

/*
 * Takes a transfer from libcurl and parts it from its exchange.  It is kept
 * for the next request or freed, and with it a target that waited for that.
 */
static void
end_transfer(MfHttpTransfer *transfer, bool keep)
{
	MfHttpTarget *target = transfer->target;
	MfHttp	   *http = target->http;

	curl_multi_remove_handle(http->multi, transfer->easy);
	if (transfer->prev != NULL)
		transfer->prev->next = transfer->next;
	else
		http->running = transfer->next;
	if (transfer->next != NULL)
		transfer->next->prev = transfer->prev;
	transfer->next = transfer->prev = NULL;

	transfer->exchange->transfer = NULL;
	transfer->exchange = NULL;
	free(transfer->body);
	transfer->body = NULL;

	if (keep && !target->released && target->idle_count < MAX_IDLE_TRANSFERS)
	{
		transfer->next = target->idle;
		target->idle = transfer;
		target->idle_count++;
	}
	else
		mf_http_transfer_free(transfer);
	target->busy--;
	if (target->released && target->busy == 0)
		mf_http_target_free(target);
}

/*
 * Gateways and debugging pages say request headers back; what we hand out goes
 * into tables, logs and dumps.
 */
static void
hide_key(const MfHttpTarget *target, char *text, size_t len)
{
	const char *key = target->headers->data + strlen(AUTHORIZATION);
	size_t		key_len = strlen(key);
	char	   *end = text + len;
	char	   *found;

	while ((found = memmem(text, (size_t) (end - text), key, key_len)) != NULL)
	{
		memset(found, '*', key_len);
		text = found + key_len;
	}
}

/* Writes the end of a transfer into its exchange and queues that for the owner. */
static void
finish(MfHttpTransfer *transfer, CURLcode code)
{
	MfHttp	   *http = transfer->target->http;
	MfHttpExchange *exchange = transfer->exchange;
	DoneExchange *record = (DoneExchange *) exchange;
	CURL	   *easy = transfer->easy;
	curl_off_t	time;
	long		number;

	exchange->curl_code = (int) code;
	if (exchange->curl_error[0] == '\0')
		mf_http_error(exchange->curl_error, sizeof(exchange->curl_error), "%s", transfer->error);
	if (curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &number) == CURLE_OK)
		exchange->http_status = number;
	if (curl_easy_getinfo(easy, CURLINFO_NAMELOOKUP_TIME_T, &time) == CURLE_OK)
		exchange->name_lookup_us = time;
	if (curl_easy_getinfo(easy, CURLINFO_CONNECT_TIME_T, &time) == CURLE_OK)
		exchange->connect_us = time;
	if (curl_easy_getinfo(easy, CURLINFO_APPCONNECT_TIME_T, &time) == CURLE_OK)
		exchange->tls_us = time;
	if (transfer->tls_begun != 0)
		exchange->connect_us = (transfer->tls_begun - transfer->submitted) / 1000;
	exchange->total_us = (mf_http_clock() - transfer->submitted) / 1000;
	exchange->response[exchange->response_len] = '\0';

	/* libcurl takes a connection closed amid the headers for a whole answer */
	if (code == CURLE_OK && (!transfer->headers_ended || exchange->http_status < 200))
	{
		exchange->curl_code = CURLE_PARTIAL_FILE;
		mf_http_error(exchange->curl_error, sizeof(exchange->curl_error),
				  "the headers of the answer were cut off");
	}

	hide_key(transfer->target, exchange->response, exchange->response_len);
	hide_key(transfer->target, exchange->curl_error, strlen(exchange->curl_error));
	hide_key(transfer->target, exchange->retry_after, strlen(exchange->retry_after));
	hide_key(transfer->target, exchange->content_type, strlen(exchange->content_type));

	end_transfer(transfer, code == CURLE_OK);
	if (http->done_last != NULL)
		http->done_last->next = record;
	else
		http->done = record;
	http->done_last = record;
}

void
mf_http_abort(MfHttp *http, MfHttpExchange *exchange)
{
	DoneExchange **link;
	DoneExchange *before = NULL;
	sigset_t	saved;

	if (exchange->transfer != NULL)
	{
		mf_http_block_signals(&saved);
		end_transfer(exchange->transfer, false);
		mf_http_restore_signals(&saved);
		http->in_flight--;
	}
	else
	{
		/* finished, but not handed out yet */
		for (link = &http->done; *link != NULL; link = &(*link)->next)
		{
			if (&(*link)->exchange == exchange)
			{
				*link = (*link)->next;
				if (*link == NULL)
					http->done_last = before;
				http->in_flight--;
				break;
			}
			before = *link;
		}
	}
	mf_http_exchange_free(exchange);
}
