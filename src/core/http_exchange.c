/*
 * http_exchange.c
 *	  The life of an exchange.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/http_exchange.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE				/* memmem() */
#endif
#include "http_private.h"

#include <stdlib.h>
#include <string.h>

/* Grows if an answer needs more; until it comes, this is held for nothing. */
#define FIRST_RESPONSE_SIZE 1024

static void hide_key(const MfHttpTarget *target, char *text, size_t len);

/* ----------
 * Start
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
	{
		mf_http_block_signals(&saved);
		http->multi = mf_http_make_multi(http, error, error_size);
		mf_http_restore_signals(&saved);
		if (http->multi == NULL)
			goto failed;
	}

	/* neither starts a thread nor writes: signals need not be blocked */
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
	http->busy++;
	target->busy++;
	http->in_flight++;
	mf_http_follow_need(http, transfer->submitted);

	/* mf_http_perform() starts it, and all others posted before it is called */
	http->deadline = 0;
	return exchange;

failed:
	if (transfer != NULL)
	{
		mf_http_block_signals(&saved);
		mf_http_transfer_free(transfer);
		mf_http_restore_signals(&saved);
	}
	mf_http_exchange_free(exchange);
	return NULL;
}

/* ----------
 * End
 * ----------
 */

/*
 * Takes a transfer from libcurl and parts it from its exchange.  It is kept
 * for the next request or freed, and with it a target that waited for that.
 */
void
mf_http_transfer_end(MfHttpTransfer *transfer, bool keep)
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

	http->busy--;
	target->busy--;
	if (http->busy == 0 && http->kept > MIN_KEPT)
		http->quiet_since = mf_http_clock();
	if (keep && !target->released)
		mf_http_transfer_keep(transfer);
	else
		mf_http_transfer_free(transfer);
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
void
mf_http_transfer_finish(MfHttpTransfer *transfer, CURLcode code)
{
	MfHttp	   *http = transfer->target->http;
	MfHttpExchange *exchange = transfer->exchange;
	DoneExchange *record = (DoneExchange *) exchange;
	CURL	   *easy = transfer->easy;
	curl_off_t	time;
	long		number;

	exchange->curl_code = (int) code;
	if (exchange->curl_error[0] == '\0' && transfer->error[0] != '\0')
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

	mf_http_transfer_end(transfer, code == CURLE_OK);
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
		mf_http_transfer_end(exchange->transfer, false);
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
