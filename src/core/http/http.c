/*
 * http.c
 *	  POST requests through libcurl, with evidence of what left: what the owner
 *	  calls.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/http/http.c
 */
#include "core/http/http_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

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
		snprintf(error, error_size, "could not initialize libcurl: %s", curl_easy_strerror(code));
		return false;
	}
	version = curl_version_info(CURLVERSION_NOW);
	if (version->version_num < MIN_LIBCURL)
		snprintf(error, error_size, "libcurl %s is too old, 7.87.0 or newer is needed", version->version);
	else if ((version->features & CURL_VERSION_SSL) == 0)
		snprintf(error, error_size, "libcurl was built without TLS");
	else if ((version->features & CURL_VERSION_ASYNCHDNS) == 0)
		snprintf(error, error_size, "libcurl was built without asynchronous name lookups");
	else
	{
		initialized = true;
		return true;
	}
	curl_global_cleanup();
	return false;
}

MfHttp *
mf_http_create(char *error, size_t error_size)
{
	MfHttp	   *http;
	sigset_t	saved;
	bool		initialized;

	mf_http_block_signals(&saved);
	initialized = init_libcurl(error, error_size);
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
	if (!initialized)
		return NULL;

	http = calloc(1, sizeof(MfHttp));
	if (http == NULL)
	{
		snprintf(error, error_size, "out of memory");
		return NULL;
	}
	STAILQ_INIT(&http->submitted);
	STAILQ_INIT(&http->done);
	STAILQ_INIT(&http->to_start);
	STAILQ_INIT(&http->to_hand_out);
	STAILQ_INIT(&http->ended);
	http->deadline = -1;
	http->first_resting = -1;
	http->wake_fd = http->done_fd = -1;
	http->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (http->epoll < 0)
	{
		snprintf(error, error_size, "could not create an epoll descriptor: %s", strerror(errno));
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
	while (!LIST_EMPTY(&http->running))
	{
		MfHttpTransfer *transfer = LIST_FIRST(&http->running);
		MfHttpRecord *record = transfer->record;

		mf_http_multi_remove(http, transfer, false);
		mf_http_exchange_free(&record->exchange);
	}
	mf_http_list_free(&http->submitted);
	mf_http_list_free(&http->ended);
	mf_http_list_free(&http->done);
	while (!LIST_EMPTY(&http->targets))
	{
		MfHttpTarget *target = LIST_FIRST(&http->targets);

		LIST_REMOVE(target, link);
		mf_http_target_free(target);
	}
	mf_http_multi_close(http);
	close(http->epoll);
	free(http->sockets);
	free(http);
}

/* ----------
 * Targets
 * ----------
 */

MfHttpTarget *
mf_http_target_create(MfHttp *http, const MfHttpTargetOptions *options,
					  char *error, size_t error_size)
{
	MfHttpTarget *target = mf_http_target_make(http, options, error, error_size);

	if (target == NULL)
		return NULL;
	target->number = ++http->last_target_number;
	LIST_INSERT_HEAD(&http->targets, target, link);
	return target;
}

void
mf_http_target_release(MfHttpTarget *target)
{
	if (target == NULL)
		return;
	target->released = true;
	target->users++;
	mf_http_target_let_go(target);
}

void
mf_http_target_hold(MfHttpTarget *target)
{
	target->users++;
}

/*
 * The last one to let go frees a released target.  No easy handle uses it any more: a
 * transfer ends before its exchange is handed out.
 */
void
mf_http_target_let_go(MfHttpTarget *target)
{
	target->users--;
	if (!target->released || target->users > 0)
		return;
	LIST_REMOVE(target, link);
	mf_http_target_free(target);
}

/* ----------
 * Exchanges
 * ----------
 */

/* Text that is one header's value as it stands: no line ends within it, and libcurl strips nothing from it. */
static bool
idempotency_key_valid(const char *key)
{
	size_t		len = strlen(key);
	size_t		i;

	for (i = 0; i < len; i++)
	{
		if (key[i] <= 0x20 || key[i] >= 0x7F)
			return false;
	}
	return len > 0 && len <= MF_IDEMPOTENCY_KEY_MAX;
}

MfHttpExchange *
mf_http_send(MfHttp *http, MfHttpTarget *target, const MfHttpRequest *request, char *error, size_t error_size)
{
	MfHttpRecord *record;

	if (request->idempotency_key != NULL && !idempotency_key_valid(request->idempotency_key))
	{
		snprintf(error, error_size, "the Idempotency-Key cannot be part of a header");
		free(request->body);
		return NULL;
	}
	record = mf_http_record_create(target, request);
	if (record == NULL)
	{
		snprintf(error, error_size, "out of memory");
		return NULL;
	}
	target->users++;
	http->in_flight++;
	STAILQ_INSERT_TAIL(&http->submitted, record, link);
	return &record->exchange;
}

void
mf_http_perform(MfHttp *http)
{
	bool		had_work;

	if (http->threaded)
	{
		mf_http_thread_exchange(http);
		return;
	}
	/* what starts only now has no events yet */
	had_work = (http->busy > 0 || STAILQ_EMPTY(&http->submitted));
	mf_http_multi_start(http, &http->submitted);
	if (had_work)
		mf_http_multi_wait(http, 0);
	mf_http_multi_step(http);
	STAILQ_CONCAT(&http->done, &http->ended);
	if (http->signals_blocked)
	{
		pthread_sigmask(SIG_SETMASK, &http->signals, NULL);
		http->signals_blocked = false;
	}
}

MfHttpExchange *
mf_http_next_done(MfHttp *http)
{
	MfHttpRecord *record = mf_http_list_remove_first(&http->done);

	if (record == NULL)
		return NULL;
	http->in_flight--;
	mf_http_target_let_go(record->target);
	return &record->exchange;
}

/* The record need not be in the list. */
static void
remove_record(MfHttpList *list, MfHttpRecord *record)
{
	MfHttpRecord *entry;

	STAILQ_FOREACH(entry, list, link)
	{
		if (entry == record)
		{
			STAILQ_REMOVE(list, record, MfHttpRecord, link);
			return;
		}
	}
}

void
mf_http_abort(MfHttp *http, MfHttpExchange *exchange)
{
	MfHttpRecord *record = (MfHttpRecord *) exchange;

	if (exchange->transfer != NULL)
		mf_http_multi_remove(http, exchange->transfer, false);
	else
	{
		/* not started, or not handed out yet */
		remove_record(&http->submitted, record);
		remove_record(&http->done, record);
	}
	http->in_flight--;
	mf_http_target_let_go(record->target);
	mf_http_exchange_free(exchange);
}

size_t
mf_http_in_flight(const MfHttp *http)
{
	return http->in_flight;
}

/* ----------
 * Waiting
 * ----------
 */

int
mf_http_fd(const MfHttp *http)
{
	return http->threaded ? http->done_fd : http->epoll;
}

long
mf_http_timeout(MfHttp *http)
{
	if (!STAILQ_EMPTY(&http->submitted) || !STAILQ_EMPTY(&http->done))
		return 0;
	return http->threaded ? -1 : mf_http_multi_timeout(http);
}

/* ----------
 * Limits
 * ----------
 */

void
mf_http_close_gate(MfHttp *http, bool closed)
{
	__atomic_store_n(&http->gate_closed, closed, __ATOMIC_SEQ_CST);
}

void
mf_http_limit_connections(MfHttp *http, int limit)
{
	__atomic_store_n(&http->wanted_limit, limit, __ATOMIC_SEQ_CST);
}
