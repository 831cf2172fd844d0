/*
 * http_target.c
 *	  Where requests go and as whom.
 *
 * Our copies of a key are wiped; libcurl frees the request it makes of it
 * without wiping.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/http/http_target.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE				/* asprintf() */
#endif
#include "core/http/http_private.h"
#include "core/text/digest.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define USER_AGENT "myfatoorah/" MF_VERSION

static bool part_is_absent(CURLU *url, CURLUPart part);
static bool is_loopback(const char *host);
static bool read_base_url(MfHttpTarget *target, const char *base_url, char *error, size_t error_size);
static bool set_checksum(MfHttpTarget *target, const char *authorization);
static bool add_header(struct curl_slist **headers, const char *line);
static void free_headers(struct curl_slist *headers);

static bool
part_is_absent(CURLU *url, CURLUPart part)
{
	char	   *value = NULL;
	bool		absent = (curl_url_get(url, part, &value, 0) != CURLUE_OK);

	curl_free(value);
	return absent;
}

static bool
is_loopback(const char *host)
{
	struct in_addr v4;

	if (curl_strequal(host, "localhost") || strcmp(host, "[::1]") == 0)
		return true;
	return inet_pton(AF_INET, host, &v4) == 1 && (ntohl(v4.s_addr) >> 24) == 127;
}

/* Messages quote the host, so it must be text; international names are written xn--... */
static bool
is_printable_ascii(const char *text)
{
	for (; *text != '\0'; text++)
	{
		if (*text <= 0x20 || *text >= 0x7F)
			return false;
	}
	return true;
}

/* libcurl resolves "/.." before it tells the path. */
static bool
ends_after_host(const char *base_url)
{
	const char *slash = strchr(strstr(base_url, "://") + 3, '/');

	return slash == NULL || slash[1] == '\0';
}

/* Checks the URL and keeps it, without a closing slash, and its host. */
static bool
read_base_url(MfHttpTarget *target, const char *base_url, char *error, size_t error_size)
{
	CURLU	   *url = curl_url();
	char	   *scheme = NULL;
	char	   *host = NULL;
	char	   *port = NULL;
	char	   *path = NULL;
	size_t		len;
	bool		done = false;

	if (url == NULL)
	{
		mf_http_error(error, error_size, "out of memory");
		return false;
	}
	if (!is_printable_ascii(base_url))
		mf_http_error(error, error_size, "the URL contains a blank or a character that is not ASCII");
	else if (curl_url_set(url, CURLUPART_URL, base_url, 0) != CURLUE_OK ||
			 curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
			 curl_url_get(url, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
			 curl_url_get(url, CURLUPART_PATH, &path, 0) != CURLUE_OK)
		mf_http_error(error, error_size, "the URL is not valid");
	else if (!(curl_strnequal(base_url, "https://", 8) && base_url[8] != '/') &&
			 !(curl_strnequal(base_url, "http://", 7) && base_url[7] != '/'))
		mf_http_error(error, error_size, "the URL must begin with https://");
	else if (!part_is_absent(url, CURLUPART_USER) || !part_is_absent(url, CURLUPART_PASSWORD) ||
			 !part_is_absent(url, CURLUPART_OPTIONS))
		mf_http_error(error, error_size, "the URL must not contain a user name or password");
	else if (strcmp(path, "/") != 0 || strpbrk(base_url, "?#") != NULL || !ends_after_host(base_url) ||
			 !part_is_absent(url, CURLUPART_QUERY) || !part_is_absent(url, CURLUPART_FRAGMENT))
		mf_http_error(error, error_size, "the URL must end after the host and port");
	else if (curl_strequal(scheme, "http") && !is_loopback(host))
		mf_http_error(error, error_size, "plain http is only allowed to the local host");
	else
	{
		target->plain = curl_strequal(scheme, "http");
		len = strlen(base_url);
		if (base_url[len - 1] == '/')
			len--;
		target->base_url = strndup(base_url, len);
		if (curl_url_get(url, CURLUPART_PORT, &port, 0) == CURLUE_OK)
		{
			if (asprintf(&target->host, "%s:%s", host, port) < 0)
				target->host = NULL;
		}
		else
			target->host = strdup(host);
		done = (target->base_url != NULL && target->host != NULL);
		if (!done)
			mf_http_error(error, error_size, "out of memory");
	}
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	curl_free(path);
	curl_url_cleanup(url);
	return done;
}

bool
mf_http_base_url_valid(const char *base_url, char *error, size_t error_size)
{
	MfHttpTarget probe;
	bool		valid;

	memset(&probe, 0, sizeof(probe));
	valid = read_base_url(&probe, base_url, error, error_size);
	free(probe.base_url);
	free(probe.host);
	return valid;
}

/* No URL has the space that the header has before the key, so the two cannot be shifted. */
static bool
set_checksum(MfHttpTarget *target, const char *authorization)
{
	uint8_t		digest[MF_SHA256_SIZE];

	if (!mf_sha256_of_two(target->base_url, authorization, digest))
		return false;
	target->checksum = (int32_t) ((uint32_t) digest[0] << 24 | (uint32_t) digest[1] << 16 |
								  (uint32_t) digest[2] << 8 | digest[3]);
	return true;
}

int32_t
mf_http_target_checksum(const MfHttpTarget *target)
{
	return target->checksum;
}

int
mf_http_target_tag(const MfHttpTarget *target)
{
	return target->tag;
}

static bool
add_header(struct curl_slist **headers, const char *line)
{
	struct curl_slist *longer = curl_slist_append(*headers, line);

	if (longer == NULL)
		return false;
	*headers = longer;
	return true;
}

/* Wipes before freeing: one of them holds the key. */
static void
free_headers(struct curl_slist *headers)
{
	struct curl_slist *item;

	for (item = headers; item != NULL; item = item->next)
		explicit_bzero(item->data, strlen(item->data));
	curl_slist_free_all(headers);
}

MfHttpTarget *
mf_http_target_create(MfHttp *http, const MfHttpTargetOptions *options,
					  char *error, size_t error_size)
{
	MfHttpTarget *target;
	MfHttpTransfer *transfer;
	char	   *authorization = NULL;
	int			len;
	bool		done;

	if (options->base_url == NULL || options->api_key == NULL)
	{
		mf_http_error(error, error_size, "URL and API key are needed");
		return NULL;
	}
	if (options->api_key[0] == '\0' || !is_printable_ascii(options->api_key))
	{
		mf_http_error(error, error_size,
				  "the API key is empty or contains spaces, line ends or other characters that no key has");
		return NULL;
	}
	if (options->timeout_ms <= 0 || options->connect_timeout_ms <= 0)
	{
		mf_http_error(error, error_size, "time-outs must be greater than zero");
		return NULL;
	}
	target = calloc(1, sizeof(MfHttpTarget));
	if (target == NULL)
	{
		mf_http_error(error, error_size, "out of memory");
		return NULL;
	}
	target->http = http;
	target->timeout_ms = options->timeout_ms;
	target->connect_timeout_ms = options->connect_timeout_ms;
	target->tag = options->tag;
	target->remote_only = options->remote_only;

	done = read_base_url(target, options->base_url, error, error_size);
	if (done && options->ca_file != NULL)
	{
		target->ca_file = strdup(options->ca_file);
		done = (target->ca_file != NULL);
	}
	if (done)
	{
		len = asprintf(&authorization, AUTHORIZATION "%s", options->api_key);
		if (len < 0)
			authorization = NULL;
		done = (authorization != NULL &&
				set_checksum(target, authorization) &&
				add_header(&target->headers, authorization) &&
				add_header(&target->headers, "Content-Type: application/json") &&
				add_header(&target->headers, "Accept: application/json") &&
				add_header(&target->headers, "User-Agent: " USER_AGENT) &&
				add_header(&target->headers, "Expect:"));
		if (authorization != NULL)
			explicit_bzero(authorization, (size_t) len);
		free(authorization);
		if (!done)
			mf_http_error(error, error_size, "out of memory");
	}
	else if (target->base_url != NULL)
		mf_http_error(error, error_size, "out of memory");

	/* shows whether libcurl takes every option */
	if (done)
	{
		transfer = mf_http_transfer_create(target, error, error_size);
		if (transfer != NULL)
			mf_http_transfer_free(transfer);
		else
			done = false;
	}
	if (!done)
	{
		mf_http_target_free(target);
		target = NULL;
	}
	if (target == NULL)
		return NULL;
	target->next = http->targets;
	if (target->next != NULL)
		target->next->prev = target;
	http->targets = target;
	return target;
}

void
mf_http_target_release(MfHttpTarget *target)
{
	if (target == NULL)
		return;
	target->released = true;
	mf_http_target_use(target);
	mf_http_target_unuse(target);
}

void
mf_http_target_hold(MfHttpTarget *target)
{
	mf_http_target_use(target);
}

void
mf_http_target_let_go(MfHttpTarget *target)
{
	mf_http_target_unuse(target);
}

void
mf_http_target_use(MfHttpTarget *target)
{
	target->users++;
}

/* The last one frees what is released. */
void
mf_http_target_unuse(MfHttpTarget *target)
{
	MfHttp	   *http = target->http;

	target->users--;
	if (!target->released || target->users > 0)
		return;
	if (target->prev != NULL)
		target->prev->next = target->next;
	else
		http->targets = target->next;
	if (target->next != NULL)
		target->next->prev = target->prev;
	if (http->threaded)
	{
		mf_http_thread_free_target(http, target);
		return;
	}
	mf_http_target_free(target);
}

/* Nothing of it may be running, and it must not be listed any more. */
void
mf_http_target_free(MfHttpTarget *target)
{
	while (target->idle != NULL)
		mf_http_transfer_drop_idle(target->idle);
	free_headers(target->headers);
	free(target->base_url);
	free(target->host);
	free(target->ca_file);
	free(target);
}
