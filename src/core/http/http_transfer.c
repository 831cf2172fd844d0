/*
 * http_transfer.c
 *	  Easy handles with every option of a target set.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/http/http_transfer.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE				/* asprintf() */
#endif
#include "core/http/http_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Trust stores read from disk again after this many seconds */
#define CA_CACHE_SECONDS 600L

/* A busy connection is replaced after this many seconds, so that DNS counts */
#define MAX_CONNECTION_SECONDS 3600L

/* Goes to "failed" with the name of the option if libcurl refuses it. */
#define SETOPT(easy, option, value) \
	do { \
		CURLcode	setopt_code_ = curl_easy_setopt((easy), (option), (value)); \
		if (setopt_code_ != CURLE_OK) \
		{ \
			mf_http_error(error, error_size, "libcurl refused %s: %s", #option, \
					  curl_easy_strerror(setopt_code_)); \
			goto failed; \
		} \
	} while (0)

static void unlink_idle(MfHttpTransfer *transfer);

/* A new easy handle with everything set that is the same for each request */
MfHttpTransfer *
mf_http_transfer_create(MfHttpTarget *target, char *error, size_t error_size)
{
	MfHttpTransfer *transfer = calloc(1, sizeof(MfHttpTransfer));
	CURL	   *easy;

	if (transfer == NULL)
	{
		mf_http_error(error, error_size, "out of memory");
		return NULL;
	}
	transfer->target = target;
	easy = transfer->easy = curl_easy_init();
	if (easy == NULL)
	{
		mf_http_error(error, error_size, "out of memory");
		goto failed;
	}
	SETOPT(easy, CURLOPT_PRIVATE, transfer);
	SETOPT(easy, CURLOPT_ERRORBUFFER, transfer->error);
	SETOPT(easy, CURLOPT_NOSIGNAL, 1L);
	SETOPT(easy, CURLOPT_QUICK_EXIT, 1L);

	/* where to: nothing but this host, by nothing but this protocol */
	SETOPT(easy, CURLOPT_PROTOCOLS_STR, target->plain ? "http" : "https");
	SETOPT(easy, CURLOPT_FOLLOWLOCATION, 0L);
	SETOPT(easy, CURLOPT_PROXY, "");
	SETOPT(easy, CURLOPT_NOPROXY, "*");
	SETOPT(easy, CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	SETOPT(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
	SETOPT(easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	SETOPT(easy, CURLOPT_HTTP09_ALLOWED, 0L);
	SETOPT(easy, CURLOPT_TCP_NODELAY, 1L);
	SETOPT(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	SETOPT(easy, CURLOPT_MAXLIFETIME_CONN, MAX_CONNECTION_SECONDS);
	SETOPT(easy, CURLOPT_MAXAGE_CONN, MAX_IDLE_SECONDS);
	SETOPT(easy, CURLOPT_RESOLVER_START_FUNCTION, mf_http_lookup_starts);
	SETOPT(easy, CURLOPT_RESOLVER_START_DATA, transfer);
	SETOPT(easy, CURLOPT_OPENSOCKETFUNCTION, mf_http_socket_open);
	SETOPT(easy, CURLOPT_OPENSOCKETDATA, transfer);
	SETOPT(easy, CURLOPT_SOCKOPTFUNCTION, mf_http_socket_made);
	SETOPT(easy, CURLOPT_SOCKOPTDATA, target->http);
	SETOPT(easy, CURLOPT_CLOSESOCKETFUNCTION, mf_http_socket_close);
	SETOPT(easy, CURLOPT_CLOSESOCKETDATA, target->http);
	SETOPT(easy, CURLOPT_BUFFERSIZE, RECEIVE_BUFFER_SIZE);
	SETOPT(easy, CURLOPT_UPLOAD_BUFFERSIZE, UPLOAD_BUFFER_SIZE);
	SETOPT(easy, CURLOPT_TIMEOUT_MS, target->timeout_ms);
	SETOPT(easy, CURLOPT_CONNECTTIMEOUT_MS, target->connect_timeout_ms);

	SETOPT(easy, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	SETOPT(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	SETOPT(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	SETOPT(easy, CURLOPT_CA_CACHE_TIMEOUT, CA_CACHE_SECONDS);
	if (target->ca_file != NULL)
		SETOPT(easy, CURLOPT_CAINFO, target->ca_file);

	/*
	 * No directory beside a file: a file of ours stands instead of the
	 * system's authorities, and only files are cached, so that not every new
	 * connection reads them all.
	 */
	if (target->ca_file != NULL || curl_version_info(CURLVERSION_NOW)->cainfo != NULL)
		SETOPT(easy, CURLOPT_CAPATH, NULL);

	/*
	 * Not checked, for not every TLS library has it: without it a handshake
	 * that fails is described as a connection that fails.
	 */
	(void) curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, mf_http_note_tls);
	(void) curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, transfer);

	/* what: a POST, of which the gate lets one leave */
	SETOPT(easy, CURLOPT_POST, 1L);
	SETOPT(easy, CURLOPT_HTTPHEADER, target->headers);
	SETOPT(easy, CURLOPT_PREREQFUNCTION, mf_http_pass_gate);
	SETOPT(easy, CURLOPT_PREREQDATA, transfer);

	SETOPT(easy, CURLOPT_HEADERFUNCTION, mf_http_keep_header);
	SETOPT(easy, CURLOPT_HEADERDATA, transfer);
	SETOPT(easy, CURLOPT_WRITEFUNCTION, mf_http_keep_response);
	SETOPT(easy, CURLOPT_WRITEDATA, transfer);
	return transfer;

failed:
	mf_http_transfer_free(transfer);
	return NULL;
}

void
mf_http_transfer_free(MfHttpTransfer *transfer)
{
	if (transfer->easy != NULL)
		curl_easy_cleanup(transfer->easy);
	curl_url_cleanup(transfer->parts);
	free(transfer->url);
	free(transfer);
}

/*
 * A handle of this target to serve one exchange: the one used last, or a new
 * one, for which another target's may have to go.
 */
MfHttpTransfer *
mf_http_transfer_take(MfHttpTarget *target, char *error, size_t error_size)
{
	MfHttp	   *http = target->http;
	MfHttpTransfer *transfer = target->idle;

	if (transfer != NULL)
	{
		unlink_idle(transfer);
		return transfer;
	}
	if (http->oldest_idle != NULL && http->busy + http->idle_count >= http->kept)
		mf_http_transfer_drop_idle(http->oldest_idle);
	return mf_http_transfer_create(target, error, error_size);
}

/* Puts a handle that is no longer busy by for the target's next request. */
void
mf_http_transfer_keep(MfHttpTransfer *transfer)
{
	MfHttpTarget *target = transfer->target;
	MfHttp	   *http = target->http;

	transfer->prev = NULL;
	transfer->next = target->idle;
	if (transfer->next != NULL)
		transfer->next->prev = transfer;
	target->idle = transfer;

	transfer->newer = NULL;
	transfer->older = http->newest_idle;
	if (transfer->older != NULL)
		transfer->older->newer = transfer;
	else
		http->oldest_idle = transfer;
	http->newest_idle = transfer;
	http->idle_count++;
	mf_http_transfer_trim(http);
}

/* Takes a handle from both lists of idle ones. */
static void
unlink_idle(MfHttpTransfer *transfer)
{
	MfHttpTarget *target = transfer->target;
	MfHttp	   *http = target->http;

	if (transfer->prev != NULL)
		transfer->prev->next = transfer->next;
	else
		target->idle = transfer->next;
	if (transfer->next != NULL)
		transfer->next->prev = transfer->prev;
	if (transfer->newer != NULL)
		transfer->newer->older = transfer->older;
	else
		http->newest_idle = transfer->older;
	if (transfer->older != NULL)
		transfer->older->newer = transfer->newer;
	else
		http->oldest_idle = transfer->newer;
	transfer->next = transfer->prev = transfer->newer = transfer->older = NULL;
	http->idle_count--;
}

void
mf_http_transfer_drop_idle(MfHttpTransfer *transfer)
{
	unlink_idle(transfer);
	mf_http_transfer_free(transfer);
}

/*
 * Of all targets' handles together, busy or idle, no more than are kept stay;
 * those that were used longest ago go first.
 */
void
mf_http_transfer_trim(MfHttp *http)
{
	while (http->oldest_idle != NULL && http->busy + http->idle_count > http->kept)
		mf_http_transfer_drop_idle(http->oldest_idle);
}

/*
 * Sets what differs from request to request.  libcurl reads the body where it
 * is, and writes the head and a small body at once, as one packet and one
 * record of TLS.  It would take the same URL to pieces each time; with
 * CURLOPT_CURLU it has them.
 */
bool
mf_http_transfer_set_request(MfHttpTransfer *transfer, const MfHttpRecord *record, char *error, size_t error_size)
{
	const char *path = record->path;
	const char *base = transfer->target->base_url;
	size_t		base_len = strlen(base);

	SETOPT(transfer->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) record->exchange.body_len);
	SETOPT(transfer->easy, CURLOPT_POSTFIELDS, record->body);
	SETOPT(transfer->easy, CURLOPT_FRESH_CONNECT, record->fresh ? 1L : 0L);
	if (transfer->url != NULL && strcmp(transfer->url + base_len, path) == 0)
		return true;
	free(transfer->url);
	if (asprintf(&transfer->url, "%s%s", base, path) < 0)
	{
		transfer->url = NULL;
		mf_http_error(error, error_size, "out of memory");
		return false;
	}
	if (transfer->parts == NULL)
		transfer->parts = curl_url();
	if (transfer->parts == NULL ||
		curl_url_set(transfer->parts, CURLUPART_URL, transfer->url, 0) != CURLUE_OK)
	{
		mf_http_error(error, error_size, "the URL is not valid");
		goto failed;
	}
	SETOPT(transfer->easy, CURLOPT_URL, transfer->url);
	SETOPT(transfer->easy, CURLOPT_CURLU, transfer->parts);
	return true;

failed:
	free(transfer->url);
	transfer->url = NULL;
	return false;
}
