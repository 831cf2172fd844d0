/*
 * http_transfer.c
 *	  Easy handles and all their options.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/http/http_transfer.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE				/* asprintf() */
#endif
#include "core/http/http_private.h"

#include <stdlib.h>
#include <string.h>

/* libcurl reads the file of trusted certificates again after so many seconds. */
#define CA_CACHE_SECONDS 600L

/* A busy connection is replaced after so many seconds, so that changed addresses in DNS count. */
#define MAX_CONNECTION_SECONDS 3600L

/* Goes to "failed" with the name of the option if libcurl refuses it. */
#define SETOPT(easy, option, value) \
	do { \
		CURLcode	setopt_code_ = curl_easy_setopt((easy), (option), (value)); \
		if (setopt_code_ != CURLE_OK) \
		{ \
			snprintf(error, error_size, "libcurl refused %s: %s", #option, \
					 curl_easy_strerror(setopt_code_)); \
			goto failed; \
		} \
	} while (0)

MfHttpTransfer *
mf_http_transfer_create(MfHttp *http, char *error, size_t error_size)
{
	MfHttpTransfer *transfer = calloc(1, sizeof(MfHttpTransfer));
	CURL	   *easy;

	if (transfer == NULL)
	{
		snprintf(error, error_size, "out of memory");
		return NULL;
	}
	easy = transfer->easy = curl_easy_init();
	if (easy == NULL)
	{
		snprintf(error, error_size, "out of memory");
		goto failed;
	}
	SETOPT(easy, CURLOPT_PRIVATE, transfer);
	SETOPT(easy, CURLOPT_ERRORBUFFER, transfer->error);
	SETOPT(easy, CURLOPT_NOSIGNAL, 1L);
	SETOPT(easy, CURLOPT_QUICK_EXIT, 1L);

	/* only to the target's host */
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
	SETOPT(easy, CURLOPT_RESOLVER_START_FUNCTION, mf_http_on_lookup);
	SETOPT(easy, CURLOPT_RESOLVER_START_DATA, transfer);
	SETOPT(easy, CURLOPT_OPENSOCKETFUNCTION, mf_http_open_socket);
	SETOPT(easy, CURLOPT_OPENSOCKETDATA, transfer);
	SETOPT(easy, CURLOPT_SOCKOPTFUNCTION, mf_http_on_socket);
	SETOPT(easy, CURLOPT_SOCKOPTDATA, http);
	SETOPT(easy, CURLOPT_CLOSESOCKETFUNCTION, mf_http_close_socket);
	SETOPT(easy, CURLOPT_CLOSESOCKETDATA, http);
	SETOPT(easy, CURLOPT_BUFFERSIZE, RECEIVE_BUFFER_SIZE);
	SETOPT(easy, CURLOPT_UPLOAD_BUFFERSIZE, UPLOAD_BUFFER_SIZE);

	SETOPT(easy, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	SETOPT(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	SETOPT(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	SETOPT(easy, CURLOPT_CA_CACHE_TIMEOUT, CA_CACHE_SECONDS);

	/*
	 * Not checked, because not every TLS library has it.  Without it a failed
	 * handshake is reported as a failed connection.
	 */
	(void) curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, mf_http_on_tls);
	(void) curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, transfer);

	/* a request, which passes the gate once at most */
	SETOPT(easy, CURLOPT_PREREQFUNCTION, mf_http_pass_gate);
	SETOPT(easy, CURLOPT_PREREQDATA, transfer);

	SETOPT(easy, CURLOPT_HEADERFUNCTION, mf_http_on_header);
	SETOPT(easy, CURLOPT_HEADERDATA, transfer);
	SETOPT(easy, CURLOPT_WRITEFUNCTION, mf_http_on_response);
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
	free(transfer);
}

/*
 * The file or the directory of the system's authorities.  Of two, the file is
 * used alone.
 */
static const char *
default_ca(bool file)
{
	const curl_version_info_data *version = curl_version_info(CURLVERSION_NOW);

	if (file)
		return version->cainfo;
	return version->cainfo != NULL ? NULL : version->capath;
}

bool
mf_http_transfer_set_target(MfHttpTransfer *transfer, const MfHttpTarget *target, char *error, size_t error_size)
{
	CURL	   *easy = transfer->easy;

	if (transfer->target_number == target->number && target->number != 0)
		return true;
	transfer->target_number = target->number;
	SETOPT(easy, CURLOPT_PROTOCOLS_STR, target->plain ? "http" : "https");
	SETOPT(easy, CURLOPT_TIMEOUT_MS, target->timeout_ms);
	SETOPT(easy, CURLOPT_CONNECTTIMEOUT_MS, target->connect_timeout_ms);

	/*
	 * No directory beside a file.  The account's file replaces the system's
	 * authorities.  And libcurl caches files only: it would read a directory
	 * for each new connection.
	 */
	SETOPT(easy, CURLOPT_CAINFO, target->ca_file != NULL ? target->ca_file : default_ca(true));
	SETOPT(easy, CURLOPT_CAPATH, target->ca_file != NULL ? NULL : default_ca(false));
	return true;

failed:
	return false;
}

/*
 * Verb, body and headers, whatever the handle's request before was.  libcurl reads the
 * body where it is, and writes the head and a small body at once, as one packet and one
 * record of TLS.
 */
static bool
set_message(CURL *easy, MfHttpRecord *record, char *error, size_t error_size)
{
	bool		has_body = (record->verb != MF_HTTP_GET);

	SETOPT(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) record->exchange.body_len);
	SETOPT(easy, CURLOPT_POSTFIELDS, record->body);
	if (has_body)
		SETOPT(easy, CURLOPT_POST, 1L);
	else
		SETOPT(easy, CURLOPT_HTTPGET, 1L);
	SETOPT(easy, CURLOPT_CUSTOMREQUEST, record->verb == MF_HTTP_PUT ? mf_http_verb_name(record->verb) : NULL);
	SETOPT(easy, CURLOPT_HTTPHEADER, record->key_header.data != NULL ? &record->key_header : record->target->headers);
	return true;

failed:
	return false;
}

bool
mf_http_transfer_set_request(MfHttpTransfer *transfer, MfHttpRecord *record, char *error, size_t error_size)
{
	const MfHttpTarget *target = record->target;
	bool		closes = mf_http_clock() < target->http->closes_until[target->host_slot];
	char	   *url = NULL;

	transfer->record = record;
	transfer->response_size = FIRST_RESPONSE_SIZE;
	transfer->tls_begun = 0;
	transfer->begun = transfer->headers_ended = transfer->starved = false;
	transfer->connection_closed = transfer->closing_announced = false;
	transfer->error[0] = '\0';
	if (asprintf(&url, "%s%s", target->base_url, record->path) < 0)
	{
		snprintf(error, error_size, "out of memory");
		return false;
	}
	SETOPT(transfer->easy, CURLOPT_URL, url);
	if (!set_message(transfer->easy, record, error, error_size))
		goto failed;
	SETOPT(transfer->easy, CURLOPT_FRESH_CONNECT, record->fresh || closes ? 1L : 0L);
	SETOPT(transfer->easy, CURLOPT_FORBID_REUSE, closes ? 1L : 0L);
	free(url);
	return true;

failed:
	free(url);
	return false;
}
