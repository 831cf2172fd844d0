/*
 * fuzz_url.c
 *	  Base URLs: an accepted one leads to that host and no other, in plain
 *	  text only to this machine.  URLs for others: never to their own machine.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/fuzz/fuzz_url.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "fuzz.h"

#include <curl/curl.h>
#include <strings.h>

#include "core/http/http.h"
#include "core/text/text.h"

#define PATH "/v2/SendPayment"

static char *
part(CURLU *url, CURLUPart what)
{
	char	   *value = NULL;

	return curl_url_get(url, what, &value, 0) == CURLUE_OK ? value : NULL;
}

/* "127." and three more numbers of up to three digits, ::1, localhost */
static bool
is_here(const char *host)
{
	int			parts[4];
	int			used = 0;

	if (strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0)
		return true;
	return strspn(host, "0123456789.") == strlen(host) &&
		sscanf(host, "%3d.%3d.%3d.%3d%n", &parts[0], &parts[1], &parts[2], &parts[3], &used) == 4 &&
		(size_t) used == strlen(host) && parts[0] == 127;
}

/*
 * A URL for customers: an accepted one has one host, and not the customer's
 * own machine, but for 127.0.0.1 and the like.
 */
static void
check_for_others(const char *text)
{
	CURLU	   *url;
	char	   *host;

	if (mf_url_check(text) != MF_URL_GOOD)
		return;
	CHECK(strncasecmp(text, "https://", 8) == 0 || strncasecmp(text, "http://", 7) == 0);
	CHECK(strchr(text, '\\') == NULL);
	url = curl_url();
	CHECK(url != NULL && curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK);
	CHECK(part(url, CURLUPART_USER) == NULL && part(url, CURLUPART_PASSWORD) == NULL);
	host = part(url, CURLUPART_HOST);
	CHECK(host != NULL && host[0] != '\0');
	CHECK(strcasecmp(host, "localhost") != 0 && strcmp(host, "[::1]") != 0);
	curl_free(host);
	curl_url_cleanup(url);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Input		input = {data, size};
	char	   *text = take_string(&input);
	size_t		len = strlen(text);
	char		error[MF_HTTP_ERROR_SIZE] = "";
	bool		valid = mf_http_base_url_valid(text, error, sizeof(error));

	check_for_others(text);
	CHECK(valid == (error[0] == '\0'));
	CHECK(judge_utf8(error, strlen(error)));
	if (valid)
	{
		CURLU	   *base = curl_url();
		CURLU	   *full = curl_url();
		char	   *joined = malloc(len + sizeof(PATH));
		char	   *scheme;
		char	   *host;
		char	   *other;
		char	   *port[2];
		const char *p;

		CHECK(base != NULL && full != NULL && joined != NULL);
		CHECK(strncasecmp(text, "https://", 8) == 0 || strncasecmp(text, "http://", 7) == 0);
		CHECK(strpbrk(text, "?#@\\") == NULL);
		for (p = text; *p != '\0'; p++)
			CHECK(*p > 0x20 && *p < 0x7F);

		/* nothing after host and port but a slash */
		p = strstr(text, "://") + 3;
		CHECK(*p != '/');
		CHECK(strchr(p, '/') == NULL || strchr(p, '/') == text + len - 1);

		/* as a request is made of it */
		memcpy(joined, text, len + 1);
		if (joined[len - 1] == '/')
			joined[len - 1] = '\0';
		strcat(joined, PATH);
		CHECK(curl_url_set(base, CURLUPART_URL, text, 0) == CURLUE_OK);
		CHECK(curl_url_set(full, CURLUPART_URL, joined, 0) == CURLUE_OK);

		scheme = part(full, CURLUPART_SCHEME);
		host = part(base, CURLUPART_HOST);
		other = part(full, CURLUPART_HOST);
		CHECK(scheme != NULL && host != NULL && other != NULL && strcmp(host, other) == 0 && host[0] != '\0');
		CHECK(strcmp(scheme, "https") == 0 || (strcmp(scheme, "http") == 0 && is_here(host)));
		curl_free(scheme);
		curl_free(host);
		curl_free(other);

		port[0] = part(base, CURLUPART_PORT);
		port[1] = part(full, CURLUPART_PORT);
		CHECK((port[0] == NULL) == (port[1] == NULL) && (port[0] == NULL || strcmp(port[0], port[1]) == 0));
		curl_free(port[0]);
		curl_free(port[1]);

		other = part(full, CURLUPART_PATH);
		CHECK(other != NULL && strcmp(other, PATH) == 0);
		curl_free(other);
		CHECK(part(full, CURLUPART_QUERY) == NULL && part(full, CURLUPART_FRAGMENT) == NULL);
		CHECK(part(full, CURLUPART_USER) == NULL && part(full, CURLUPART_PASSWORD) == NULL);

		free(joined);
		curl_url_cleanup(full);
		curl_url_cleanup(base);
	}
	free(text);
	return 0;
}
