/*
 * http_exchange.c
 *	  The life of an exchange.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/http/http_exchange.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE				/* memmem() */
#endif
#include "core/http/http_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Grows if an answer needs more; until it comes, this is held for nothing. */
#define FIRST_RESPONSE_SIZE 1024

static MfHttpRecord *take_first(MfHttpList *list);
static void take_out(MfHttpList *list, const MfHttpRecord *record);
static void wipe(char *api_key);
static bool begin(MfHttp *http, MfHttpRecord *record, char *error, size_t error_size);
static bool is_starved(const MfHttpTransfer *transfer, CURLcode code);
static void begin_again(MfHttpTransfer *transfer);
static void take_figures(MfHttpExchange *exchange, const MfHttpTransfer *transfer);

/* ----------
 * Lists
 * ----------
 */

void
mf_http_list_append(MfHttpList *list, MfHttpRecord *record)
{
	record->next = NULL;
	if (list->last != NULL)
		list->last->next = record;
	else
		list->first = record;
	list->last = record;
}

/* All of one go to the end of the other. */
void
mf_http_list_move(MfHttpList *to, MfHttpList *from)
{
	if (from->first == NULL)
		return;
	if (to->last != NULL)
		to->last->next = from->first;
	else
		to->first = from->first;
	to->last = from->last;
	from->first = from->last = NULL;
}

static MfHttpRecord *
take_first(MfHttpList *list)
{
	MfHttpRecord *record = list->first;

	if (record == NULL)
		return NULL;
	list->first = record->next;
	if (list->first == NULL)
		list->last = NULL;
	record->next = NULL;
	return record;
}

static void
take_out(MfHttpList *list, const MfHttpRecord *record)
{
	MfHttpRecord *before = NULL;
	MfHttpRecord **link;

	for (link = &list->first; *link != NULL; link = &(*link)->next)
	{
		if (*link == record)
		{
			*link = record->next;
			if (list->last == record)
				list->last = before;
			return;
		}
		before = *link;
	}
}

void
mf_http_list_free(MfHttpList *list)
{
	MfHttpRecord *record;

	while ((record = take_first(list)) != NULL)
		mf_http_exchange_free(&record->exchange);
}

/* ----------
 * Start
 * ----------
 */

MfHttpExchange *
mf_http_post(MfHttp *http, MfHttpTarget *target, const char *path,
			 char *body, size_t body_len, int64_t send_by, void *tag,
			 char *error, size_t error_size)
{
	MfHttpRecord *record = calloc(1, sizeof(MfHttpRecord));
	char	   *response = malloc(FIRST_RESPONSE_SIZE);
	char	   *api_key = strdup(target->headers->data + strlen(AUTHORIZATION));
	MfHttpExchange *exchange;

	if (record == NULL || response == NULL || body == NULL || api_key == NULL)
	{
		mf_http_error(error, error_size, "out of memory");
		wipe(api_key);
		free(record);
		free(response);
		free(body);
		return NULL;
	}
	record->target = target;
	record->path = path;
	record->body = body;
	record->send_by = send_by;
	record->submitted = mf_http_clock();

	exchange = &record->exchange;
	exchange->tag = tag;
	exchange->body_len = body_len;
	exchange->response = response;
	exchange->api_key = api_key;
	response[0] = '\0';
	memcpy(exchange->host, target->host, strnlen(target->host, sizeof(exchange->host) - 1));

	mf_http_target_use(target);
	http->in_flight++;
	mf_http_list_append(&http->submitted, record);
	return exchange;
}

/* Gives the first of them to libcurl; those that it refuses have ended. */
void
mf_http_begin(MfHttp *http, MfHttpList *records)
{
	MfHttpRecord *record;
	int			count = 0;

	while (count++ < AT_ONCE && (record = take_first(records)) != NULL)
	{
		char		error[MF_HTTP_ERROR_SIZE] = "";

		if (begin(http, record, error, sizeof(error)))
			continue;
		record->exchange.curl_code = CURLE_FAILED_INIT;
		record->exchange.starved = true;
		mf_http_error(record->exchange.curl_error, sizeof(record->exchange.curl_error), "%s", error);
		mf_http_list_append(&http->ended, record);
	}
}

static bool
begin(MfHttp *http, MfHttpRecord *record, char *error, size_t error_size)
{
	MfHttpTransfer *transfer = mf_http_transfer_take(record->target, error, error_size);
	CURLMcode	code;

	if (transfer == NULL)
		return false;
	if (!mf_http_transfer_set_request(transfer, record, error, error_size))
		goto failed;
	transfer->record = record;
	transfer->response_size = FIRST_RESPONSE_SIZE;
	transfer->tls_begun = 0;
	transfer->begun = transfer->headers_ended = transfer->starved = transfer->closed = false;
	transfer->error[0] = '\0';

	mf_http_set_limit(http);
	if (http->multi == NULL)
	{
		http->multi = mf_http_make_multi(http, error, error_size);
		if (http->multi == NULL)
			goto failed;
	}
	code = curl_multi_add_handle(http->multi, transfer->easy);
	if (code != CURLM_OK)
	{
		mf_http_error(error, error_size, "could not start the request: %s", curl_multi_strerror(code));
		goto failed;
	}
	record->exchange.transfer = transfer;
	transfer->prev = NULL;
	transfer->next = http->running;
	if (transfer->next != NULL)
		transfer->next->prev = transfer;
	http->running = transfer;
	http->busy++;
	mf_http_resize_pool(http, record->submitted);
	return true;

failed:
	mf_http_transfer_free(transfer);
	return false;
}

/* ----------
 * End
 * ----------
 */

/*
 * Takes a transfer from libcurl and parts it from its exchange.  It is kept
 * for the next request or freed.
 */
void
mf_http_transfer_end(MfHttpTransfer *transfer, bool keep)
{
	MfHttp	   *http = transfer->target->http;

	curl_multi_remove_handle(http->multi, transfer->easy);
	if (transfer->prev != NULL)
		transfer->prev->next = transfer->next;
	else
		http->running = transfer->next;
	if (transfer->next != NULL)
		transfer->next->prev = transfer->prev;
	transfer->next = transfer->prev = NULL;

	transfer->record->exchange.transfer = NULL;
	transfer->record = NULL;

	http->busy--;
	if (http->busy == 0)
		http->idle_since = mf_http_clock();
	if (keep)
		mf_http_transfer_keep(transfer);
	else
		mf_http_transfer_free(transfer);
}

void
mf_http_hide_key(const char *api_key, char *text, size_t len)
{
	size_t		key_len = (api_key != NULL) ? strlen(api_key) : 0;
	char	   *end = text + len;
	char	   *found;

	if (key_len == 0)
		return;
	while ((found = memmem(text, (size_t) (end - text), api_key, key_len)) != NULL)
	{
		memset(found, '*', key_len);
		text = found + key_len;
	}
}

/* Whether that is an error for want of descriptors or memory. */
bool
mf_http_is_shortage(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

/*
 * Whether a transfer failed because this process lacks something, and not
 * because of the remote.  Name look-ups and files of certificates do not tell
 * why they failed, so another descriptor is tried.
 */
static bool
is_starved(const MfHttpTransfer *transfer, CURLcode code)
{
	int			fd;

	if (transfer->starved || code == CURLE_OUT_OF_MEMORY)
		return true;
	if (code != CURLE_COULDNT_RESOLVE_HOST && code != CURLE_COULDNT_CONNECT &&
		code != CURLE_SSL_CACERT_BADFILE && code != CURLE_FAILED_INIT)
		return false;
	fd = dup(transfer->target->http->epoll);
	if (fd < 0)
		return mf_http_is_shortage(errno);
	close(fd);
	return false;
}

/*
 * What libcurl tells of a transfer.  Until it has looked for a connection, and
 * again until it has sent something, a handle that was used before may tell of the
 * exchange before.
 */
static void
take_figures(MfHttpExchange *exchange, const MfHttpTransfer *transfer)
{
	CURL	   *easy = transfer->easy;
	curl_off_t	value;
	long		number;

	if (transfer->begun)
	{
		if (curl_easy_getinfo(easy, CURLINFO_NAMELOOKUP_TIME_T, &value) == CURLE_OK)
			exchange->name_lookup_us = value;
		if (curl_easy_getinfo(easy, CURLINFO_CONNECT_TIME_T, &value) == CURLE_OK)
			exchange->connect_us = value;
		if (curl_easy_getinfo(easy, CURLINFO_APPCONNECT_TIME_T, &value) == CURLE_OK)
			exchange->tls_us = value;
	}
	if (exchange->gate_passed)
	{
		if (curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &number) == CURLE_OK)
			exchange->http_status = number;
		if (curl_easy_getinfo(easy, CURLINFO_SIZE_UPLOAD_T, &value) == CURLE_OK && value > 0)
			exchange->body_sent = (size_t) value;
		if (curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &value) == CURLE_OK && value > 0)
			exchange->retry_after = value > MF_RETRY_AFTER_CAP ? MF_RETRY_AFTER_CAP : (int) value;
	}
}

/*
 * Nothing has left, because the connection that was kept had been closed.  That is
 * no failure but the usual end of such a connection: a new one is made.
 */
static void
begin_again(MfHttpTransfer *transfer)
{
	MfHttp	   *http = transfer->target->http;
	MfHttpRecord *record = transfer->record;
	MfHttpList	again = {NULL, NULL};

	mf_http_transfer_end(transfer, false);
	record->fresh = true;
	record->exchange.gate_reached = record->exchange.connection_reused = false;
	record->exchange.curl_error[0] = '\0';
	mf_http_list_append(&again, record);
	mf_http_begin(http, &again);
}

/* Writes the end of a transfer into its exchange. */
void
mf_http_transfer_finish(MfHttpTransfer *transfer, CURLcode code)
{
	MfHttp	   *http = transfer->target->http;
	MfHttpRecord *record = transfer->record;
	MfHttpExchange *exchange = &record->exchange;

	if (transfer->closed && !record->fresh)
	{
		begin_again(transfer);
		return;
	}
	exchange->curl_code = (int) code;
	exchange->starved = !exchange->gate_passed && is_starved(transfer, code);
	if (exchange->curl_error[0] == '\0' && transfer->error[0] != '\0')
		mf_http_error(exchange->curl_error, sizeof(exchange->curl_error), "%s", transfer->error);
	take_figures(exchange, transfer);
	if (transfer->tls_begun != 0)
		exchange->connect_us = (transfer->tls_begun - record->submitted) / 1000;
	exchange->total_us = (mf_http_clock() - record->submitted) / 1000;
	exchange->response[exchange->response_len] = '\0';

	/* libcurl takes a connection closed amid the headers for a whole answer */
	if (code == CURLE_OK && (!transfer->headers_ended || exchange->http_status < 200))
	{
		exchange->curl_code = CURLE_PARTIAL_FILE;
		mf_http_error(exchange->curl_error, sizeof(exchange->curl_error),
				  "the headers of the answer were cut off");
	}

	mf_http_hide_key(exchange->api_key, exchange->curl_error, strlen(exchange->curl_error));

	mf_http_transfer_end(transfer, code == CURLE_OK);
	mf_http_list_append(&http->ended, record);
}

void
mf_http_abort(MfHttp *http, MfHttpExchange *exchange)
{
	MfHttpRecord *record = (MfHttpRecord *) exchange;

	if (exchange->transfer != NULL)
		mf_http_transfer_end(exchange->transfer, false);
	else
	{
		/* not begun, or not handed out yet */
		take_out(&http->submitted, record);
		take_out(&http->done, record);
	}
	http->in_flight--;
	mf_http_target_unuse(record->target);
	mf_http_exchange_free(exchange);
}

MfHttpExchange *
mf_http_next_done(MfHttp *http)
{
	MfHttpRecord *record = take_first(&http->done);

	if (record == NULL)
		return NULL;
	http->in_flight--;
	mf_http_target_unuse(record->target);
	return &record->exchange;
}

void
mf_http_exchange_free(MfHttpExchange *exchange)
{
	if (exchange == NULL)
		return;
	free(((MfHttpRecord *) exchange)->body);
	free(exchange->response);
	wipe(exchange->api_key);
	free(exchange);
}

/* Frees a copy of the key; NULL is fine. */
static void
wipe(char *api_key)
{
	if (api_key != NULL)
		explicit_bzero(api_key, strlen(api_key));
	free(api_key);
}
