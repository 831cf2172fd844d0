/*
 * url.c
 *	  Validates URLs that users and MyFatoorah give for others to open: customers'
 *	  browsers, MyFatoorah.
 *
 * libcurl parses them, because it knows all ways to write an address.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/text/url.c
 */
#include "core/text/text.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "core/text/unicode.h"

/*
 * Whether a host, as libcurl returns it, leads to the machine of whoever opens
 * it.  IPv4 addresses 127.x.x.x pass, because people try things out with a shop
 * there.  Changes "host".
 */
static bool
is_local(char *host)
{
	size_t		length = strlen(host);
	struct in_addr four;
	struct in6_addr six;

	if (host[0] == '[')
	{
		host[strcspn(host, "]%")] = '\0';
		if (inet_pton(AF_INET6, host + 1, &six) != 1)
			return false;
		if (IN6_IS_ADDR_LOOPBACK(&six) || IN6_IS_ADDR_UNSPECIFIED(&six))
			return true;
		return IN6_IS_ADDR_V4MAPPED(&six) && (six.s6_addr[12] == 127 || six.s6_addr[12] == 0);
	}

	/* a name may end with the dot of the root */
	while (length > 0 && host[length - 1] == '.')
		host[--length] = '\0';
	if (inet_pton(AF_INET, host, &four) == 1)
		return (ntohl(four.s_addr) >> 24) == 0;
	if (length >= 9 && curl_strequal(host + length - 9, "localhost"))
		return length == 9 || host[length - 10] == '.';
	return false;
}

MfUrlVerdict
mf_url_check(const char *url)
{
	const char *authority;
	size_t		length;
	CURLU	   *parts;
	char	   *host = NULL;
	MfUrlVerdict verdict = MF_URL_NO_WEB;

	if (curl_strnequal(url, "https://", 8))
		authority = url + 8;
	else if (curl_strnequal(url, "http://", 7))
		authority = url + 7;
	else
		return MF_URL_NO_WEB;

	/* browsers take a backslash for a slash, and a user name can look like the host */
	length = strcspn(authority, "/?#");
	if (strchr(url, '\\') != NULL || memchr(authority, '@', length) != NULL)
		return MF_URL_AMBIGUOUS;
	if (length == 0)
		return MF_URL_NO_WEB;

	parts = curl_url();
	if (parts != NULL && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
		curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK && host[0] != '\0')
		verdict = is_local(host) ? MF_URL_LOCAL : MF_URL_GOOD;
	curl_free(host);
	curl_url_cleanup(parts);
	return verdict;
}

bool
mf_link_valid(const char *link)
{
	size_t		length = strnlen(link, MF_LINK_SIZE);
	uint32_t	unseen;
	MfUrlVerdict verdict;

	if (length == MF_LINK_SIZE || mf_text_find_unseen(link, length, &unseen))
		return false;
	verdict = mf_url_check(link);
	return verdict == MF_URL_GOOD || verdict == MF_URL_LOCAL;
}

char *
mf_url_encode(const char *text)
{
	char	   *encoded = curl_easy_escape(NULL, text, (int) strlen(text));
	char	   *copy = encoded != NULL ? strdup(encoded) : NULL;

	curl_free(encoded);
	return copy;
}
