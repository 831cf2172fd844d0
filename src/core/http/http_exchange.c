/*
 * http_exchange.c
 *	  The evidence of an exchange: what its transfer knows is written into it.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/http/http_exchange.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE				/* memmem(), asprintf() */
#endif
#include "core/http/http_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void wipe_and_free(char *api_key);

/* False without memory. */
static bool
copy_request(MfHttpRecord *record, const MfHttpRequest *request)
{
	record->verb = request->verb;
	record->body = request->body;
	record->send_by = request->send_by;
	record->exchange.max_response = request->large_response ? MF_HTTP_LARGE_RESPONSE : MF_HTTP_MAX_RESPONSE;
	record->exchange.tag = request->tag;
	record->exchange.body_len = request->body != NULL ? request->body_len : 0;
	record->path = strdup(request->path);
	if (request->idempotency_key != NULL &&
		asprintf(&record->key_header.data, "Idempotency-Key: %s", request->idempotency_key) < 0)
	{
		record->key_header.data = NULL;
		return false;
	}
	return record->path != NULL && (request->body != NULL || request->verb == MF_HTTP_GET);
}

MfHttpRecord *
mf_http_record_create(MfHttpTarget *target, const MfHttpRequest *request)
{
	MfHttpRecord *record = calloc(1, sizeof(MfHttpRecord));
	MfHttpExchange *exchange;

	if (record == NULL)
	{
		free(request->body);
		return NULL;
	}
	record->target = target;
	record->submitted = mf_http_clock();
	record->key_header.next = target->headers;

	exchange = &record->exchange;
	exchange->response = malloc(FIRST_RESPONSE_SIZE);
	exchange->api_key = strdup(target->headers->data + strlen(AUTHORIZATION));
	if (!copy_request(record, request) || exchange->response == NULL || exchange->api_key == NULL)
	{
		mf_http_exchange_free(exchange);
		return NULL;
	}
	exchange->response[0] = '\0';
	memcpy(exchange->host, target->host, strnlen(target->host, sizeof(exchange->host) - 1));
	return record;
}

void
mf_http_exchange_free(MfHttpExchange *exchange)
{
	MfHttpRecord *record = (MfHttpRecord *) exchange;

	if (exchange == NULL)
		return;
	free(record->path);
	free(record->body);
	free(record->key_header.data);
	free(exchange->response);
	wipe_and_free(exchange->api_key);
	free(exchange);
}

/* NULL is allowed. */
static void
wipe_and_free(char *api_key)
{
	if (api_key != NULL)
		explicit_bzero(api_key, strlen(api_key));
	free(api_key);
}

void
mf_http_list_free(MfHttpList *list)
{
	MfHttpRecord *record;

	while ((record = mf_http_list_remove_first(list)) != NULL)
		mf_http_exchange_free(&record->exchange);
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

int64_t
mf_http_date(const MfHttpExchange *exchange)
{
	time_t		date = exchange->date[0] != '\0' ? curl_getdate(exchange->date, NULL) : 0;

	return date > 0 ? (int64_t) date : 0;
}

/*
 * Whether a transfer failed because this process lacks descriptors or memory,
 * and not because of the server.  libcurl does not say why a name lookup or the
 * reading of a certificate file failed, so this tries to open a descriptor.
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
	fd = dup(transfer->record->target->http->epoll);
	if (fd < 0)
		return mf_http_is_shortage(errno);
	close(fd);
	return false;
}

/*
 * Copies what libcurl has measured.  Until a handle has looked for a connection, and
 * again until it has sent something, it may report figures of the exchange before.
 */
static void
read_figures(MfHttpExchange *exchange, const MfHttpTransfer *transfer)
{
	CURL	   *easy = transfer->easy;
	curl_off_t	value;
	long		number;

	if (transfer->begun)
	{
		/* libcurl counts from when it was given the request, we from when the thread was */
		int64_t		waited = (transfer->added - transfer->record->submitted) / 1000;

		if (curl_easy_getinfo(easy, CURLINFO_NAMELOOKUP_TIME_T, &value) == CURLE_OK && value > 0)
			exchange->name_lookup_us = waited + value;
		if (curl_easy_getinfo(easy, CURLINFO_CONNECT_TIME_T, &value) == CURLE_OK && value > 0)
			exchange->connect_us = waited + value;
		if (curl_easy_getinfo(easy, CURLINFO_APPCONNECT_TIME_T, &value) == CURLE_OK && value > 0)
			exchange->tls_us = waited + value;
	}
	if (!exchange->gate_passed)
		return;
	if (curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &number) == CURLE_OK)
		exchange->http_status = number;
	if (curl_easy_getinfo(easy, CURLINFO_SIZE_UPLOAD_T, &value) == CURLE_OK && value > 0)
		exchange->body_sent = (size_t) value;
	if (curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &value) == CURLE_OK && value > 0)
		exchange->retry_after = value > MF_RETRY_AFTER_CAP ? MF_RETRY_AFTER_CAP : (int) value;
}

void
mf_http_exchange_complete(const MfHttpTransfer *transfer, CURLcode code)
{
	MfHttpRecord *record = transfer->record;
	MfHttpExchange *exchange = &record->exchange;

	exchange->curl_code = (int) code;
	exchange->starved = !exchange->gate_passed && is_starved(transfer, code);
	if (exchange->curl_error[0] == '\0' && transfer->error[0] != '\0')
		snprintf(exchange->curl_error, sizeof(exchange->curl_error), "%s", transfer->error);
	read_figures(exchange, transfer);
	if (transfer->tls_begun != 0)
		exchange->connect_us = (transfer->tls_begun - record->submitted) / 1000;
	exchange->total_us = (mf_http_clock() - record->submitted) / 1000;
	exchange->response[exchange->response_len] = '\0';

	/* libcurl takes a connection closed amid the headers for a whole answer */
	if (code == CURLE_OK && (!transfer->headers_ended || exchange->http_status < 200))
	{
		exchange->curl_code = CURLE_PARTIAL_FILE;
		snprintf(exchange->curl_error, sizeof(exchange->curl_error), "the headers of the answer were cut off");
	}
	mf_http_hide_key(exchange->api_key, exchange->curl_error, strlen(exchange->curl_error));
}
