/*
 * http_target.c
 *	  Targets: the base URL, API key and limits of an account, checked.
 *
 * Our copies of a key are wiped before they are freed.  libcurl's copy, in the
 * request that it builds, is not.
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
#include <stdlib.h>
#include <string.h>

#define USER_AGENT "myfatoorah/" MF_VERSION

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

/*
 * Why a valid URL is not the only text for its address, or NULL.  Accounts of one address
 * are known by it.
 */
static const char *
spelling_problem(CURLU *url, const char *base_url, const char *host)
{
	size_t		len = strlen(base_url);
	char	   *normal = NULL;
	bool		equal;
	const char *letter;

	if (curl_url_get(url, CURLUPART_URL, &normal, CURLU_NO_DEFAULT_PORT) != CURLUE_OK)
		return "the URL is not valid";
	if (base_url[len - 1] == '/')
		len--;
	equal = strncmp(base_url, normal, len) == 0 && strcmp(normal + len, "/") == 0 && host[strlen(host) - 1] != '.';
	curl_free(normal);
	for (letter = base_url; *letter != '\0'; letter++)
		equal = equal && !(*letter >= 'A' && *letter <= 'Z');
	return equal ? NULL :
		"the URL must be in lower case, without a default port, zeros before a number or a dot after the host";
}

/*
 * Parses a base URL into "url"; returns why it cannot be one, or NULL.  Nothing follows
 * its host and port but one slash, not even "/..", which libcurl would resolve.
 */
static const char *
base_url_problem(CURLU *url, const char *base_url)
{
	bool		plain = curl_strnequal(base_url, "http://", 7);
	const char *authority;
	const char *problem = NULL;
	char	   *host = NULL;
	size_t		length;

	if (!is_printable_ascii(base_url))
		return "the URL contains a blank or a character that is not ASCII";
	if (!plain && !curl_strnequal(base_url, "https://", 8))
		return "the URL must begin with https://";
	authority = base_url + (plain ? strlen("http://") : strlen("https://"));
	length = strcspn(authority, "/?#");
	if (memchr(authority, '@', length) != NULL)
		return "the URL must not contain a user name or password";
	if (authority[length] != '\0' && strcmp(authority + length, "/") != 0)
		return "the URL must end after the host and port";
	if (length == 0 || strchr(authority, '\\') != NULL ||
		curl_url_set(url, CURLUPART_URL, base_url, 0) != CURLUE_OK ||
		curl_url_get(url, CURLUPART_HOST, &host, 0) != CURLUE_OK)
		return "the URL is not valid";
	if (plain && !is_loopback(host))
		problem = "plain http is only allowed to the local host";
	else
		problem = spelling_problem(url, base_url, host);
	curl_free(host);
	return problem;
}

/* Stores a valid URL, without a closing slash, and its host; false without memory. */
static bool
keep_base_url(MfHttpTarget *target, CURLU *url, const char *base_url)
{
	size_t		len = strlen(base_url);
	char	   *host = NULL;
	char	   *port = NULL;
	const char *letter;
	unsigned int hash = 0;

	if (curl_url_get(url, CURLUPART_HOST, &host, 0) != CURLUE_OK)
		return false;
	if (curl_url_get(url, CURLUPART_PORT, &port, 0) != CURLUE_OK)
		target->host = strdup(host);
	else if (asprintf(&target->host, "%s:%s", host, port) < 0)
		target->host = NULL;
	curl_free(host);
	curl_free(port);

	target->plain = curl_strnequal(base_url, "http:", 5);
	if (base_url[len - 1] == '/')
		len--;
	target->base_url = strndup(base_url, len);
	for (letter = target->host; letter != NULL && *letter != '\0'; letter++)
		hash = hash * 31 + (unsigned char) *letter;
	target->host_slot = (int) (hash % HOST_SLOTS);
	return target->base_url != NULL && target->host != NULL;
}

static bool
read_base_url(MfHttpTarget *target, const char *base_url, char *error, size_t error_size)
{
	CURLU	   *url = curl_url();
	const char *problem = (url != NULL) ? base_url_problem(url, base_url) : "out of memory";

	if (problem == NULL && !keep_base_url(target, url, base_url))
		problem = "out of memory";
	if (problem != NULL)
		snprintf(error, error_size, "%s", problem);
	curl_url_cleanup(url);
	return problem == NULL;
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

/*
 * The header has a space before the key, and no URL has one, so the border between
 * the two cannot be shifted.
 */
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

bool
mf_http_target_matches(const MfHttpTarget *target, const MfHttpTargetOptions *options)
{
	size_t		len = strlen(target->base_url);
	bool		same_ca = target->ca_file == NULL || options->ca_file == NULL ?
		target->ca_file == options->ca_file : strcmp(target->ca_file, options->ca_file) == 0;

	return same_ca && target->timeout_ms == options->timeout_ms &&
		target->connect_timeout_ms == options->connect_timeout_ms && target->remote_only == options->remote_only &&
		strncmp(options->base_url, target->base_url, len) == 0 &&
		(options->base_url[len] == '\0' || strcmp(options->base_url + len, "/") == 0) &&
		(options->api_key == NULL ||
		 (target->tag == options->tag && strcmp(target->headers->data + strlen(AUTHORIZATION), options->api_key) == 0));
}

int32_t
mf_http_target_checksum(const MfHttpTarget *target)
{
	return target->checksum;
}

const char *
mf_http_target_base_url(const MfHttpTarget *target)
{
	return target->base_url;
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

/* Wipes them, because one of them holds the key. */
static void
free_headers(struct curl_slist *headers)
{
	struct curl_slist *item;

	for (item = headers; item != NULL; item = item->next)
		explicit_bzero(item->data, strlen(item->data));
	curl_slist_free_all(headers);
}

/*
 * The error messages of options that cannot be used.  read_base_url() checks the
 * URL.
 */
static bool
options_valid(const MfHttpTargetOptions *options, char *error, size_t error_size)
{
	if (options->base_url == NULL || options->api_key == NULL)
		snprintf(error, error_size, "URL and API key are needed");
	else if (options->api_key[0] == '\0' || !is_printable_ascii(options->api_key))
		snprintf(error, error_size,
					  "the API key is empty or contains spaces, line ends or other characters that no key has");
	else if (options->timeout_ms <= 0 || options->connect_timeout_ms <= 0)
		snprintf(error, error_size, "time-outs must be greater than zero");
	else
		return true;
	return false;
}

/* Builds the headers, and the checksum; false without memory. */
static bool
set_headers(MfHttpTarget *target, const char *api_key)
{
	char	   *authorization = NULL;
	int			len = asprintf(&authorization, AUTHORIZATION "%s", api_key);
	bool		done;

	if (len < 0)
		return false;
	done = set_checksum(target, authorization) &&
		add_header(&target->headers, authorization) &&
		add_header(&target->headers, "Content-Type: application/json") &&
		add_header(&target->headers, "Accept: application/json") &&
		add_header(&target->headers, "User-Agent: " USER_AGENT) &&
		add_header(&target->headers, "Expect:");
	explicit_bzero(authorization, (size_t) len);
	free(authorization);
	return done;
}

/* Creates an easy handle and frees it: whether libcurl takes every option. */
static bool
libcurl_takes_options(MfHttpTarget *target, char *error, size_t error_size)
{
	MfHttpTransfer *transfer = mf_http_transfer_create(target->http, error, error_size);
	bool		takes = (transfer != NULL && mf_http_transfer_set_target(transfer, target, error, error_size));

	if (transfer != NULL)
		mf_http_transfer_free(transfer);
	return takes;
}

MfHttpTarget *
mf_http_target_make(MfHttp *http, const MfHttpTargetOptions *options,
					char *error, size_t error_size)
{
	MfHttpTarget *target;

	if (!options_valid(options, error, error_size))
		return NULL;
	target = calloc(1, sizeof(MfHttpTarget));
	if (target == NULL)
	{
		snprintf(error, error_size, "out of memory");
		return NULL;
	}
	target->http = http;
	target->timeout_ms = options->timeout_ms;
	target->connect_timeout_ms = options->connect_timeout_ms;
	target->tag = options->tag;
	target->remote_only = options->remote_only;

	if (!read_base_url(target, options->base_url, error, error_size))
		goto failed;
	if ((options->ca_file != NULL && (target->ca_file = strdup(options->ca_file)) == NULL) ||
		!set_headers(target, options->api_key))
	{
		snprintf(error, error_size, "out of memory");
		goto failed;
	}
	if (!libcurl_takes_options(target, error, error_size))
		goto failed;
	return target;

failed:
	mf_http_target_free(target);
	return NULL;
}

void
mf_http_target_free(MfHttpTarget *target)
{
	free_headers(target->headers);
	free(target->base_url);
	free(target->host);
	free(target->ca_file);
	free(target);
}
