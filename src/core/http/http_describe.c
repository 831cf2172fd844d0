/*
 * http_describe.c
 *	  How an exchange failed, in words for people.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/http/http_describe.c
 */
#include "core/http/http_private.h"

#include <stdio.h>
#include <string.h>

#include "core/text/text.h"

static int	add_phase(char *buffer, size_t size, int used, const char *name, int64_t us);
static void add_phases(const MfHttpExchange *exchange, char *buffer, size_t size);

/* Appends one "name 0.0 s"; returns how much of the buffer is used. */
static int
add_phase(char *buffer, size_t size, int used, const char *name, int64_t us)
{
	if (us < 0)
		us = 0;
	if (used < 0 || (size_t) used >= size)
		return used;
	return used + snprintf(buffer + used, size - (size_t) used, "%s%s %.1f s",
						   used > 0 ? ", " : "", name, (double) us / 1000000);
}

/* "name lookup 0.0 s, connection 0.1 s, ...", the phase not ended last */
static void
add_phases(const MfHttpExchange *exchange, char *buffer, size_t size)
{
	int64_t		last = 0;
	int			used = 0;

	buffer[0] = '\0';
	if (exchange->connection_reused)
		used = snprintf(buffer, size, "connection reused");
	else
	{
		if (exchange->name_lookup_us > 0)
		{
			used = add_phase(buffer, size, used, "name lookup", exchange->name_lookup_us);
			last = exchange->name_lookup_us;
		}
		if (exchange->connect_us > 0)
		{
			used = add_phase(buffer, size, used, "connection", exchange->connect_us - last);
			last = exchange->connect_us;
		}
		if (exchange->tls_us > 0)
		{
			used = add_phase(buffer, size, used, "TLS", exchange->tls_us - last);
			last = exchange->tls_us;
		}
	}
	add_phase(buffer, size, used,
			  exchange->gate_passed ? "request and answer" :
			  exchange->connect_us > 0 ? "TLS, not finished," :
			  exchange->name_lookup_us > 0 ? "connection, not finished," :
			  "name lookup, not finished,",
			  exchange->total_us - last);
}

void
mf_http_describe(const MfHttpExchange *exchange, char *buffer, size_t size)
{
	char		words[MF_HTTP_ERROR_SIZE + 3];
	char		phases[160];
	char		text[1024];
	const char *host = exchange->host;
	CURLcode	code = (CURLcode) exchange->curl_code;
	double		seconds = (double) exchange->total_us / 1000000;
	int			len;

	if (exchange->curl_error[0] != '\0')
		mf_text_excerpt(exchange->curl_error, strlen(exchange->curl_error), words, sizeof(words));
	else
		mf_http_error(words, sizeof(words), "%s", curl_easy_strerror(code));

	if (code == CURLE_OK)
		len = snprintf(text, sizeof(text), "%s answered with HTTP status %ld",
					   host, exchange->http_status);
	else if (exchange->gate_reached && !exchange->gate_passed)
		len = snprintf(text, sizeof(text), "nothing was sent to %s: %s", host, words);
	else if (exchange->truncated)
		len = snprintf(text, sizeof(text), "the answer of %s exceeds %d bytes",
					   host, MF_HTTP_MAX_RESPONSE);
	else if (code == CURLE_OPERATION_TIMEDOUT)
	{
		if (exchange->gate_passed && exchange->http_status != 0)
			len = snprintf(text, sizeof(text), "the answer of %s did not end within %.1f s", host, seconds);
		else if (exchange->gate_passed)
			len = snprintf(text, sizeof(text), "no answer from %s within %.1f s", host, seconds);
		else if (exchange->connect_us > 0)
			len = snprintf(text, sizeof(text), "the TLS handshake with %s did not end within %.1f s", host, seconds);
		else if (exchange->name_lookup_us > 0)
			len = snprintf(text, sizeof(text), "no connection to %s within %.1f s", host, seconds);
		else
			len = snprintf(text, sizeof(text), "the name lookup of %s did not end within %.1f s", host, seconds);
	}
	else if (exchange->gate_passed)
	{
		if (exchange->http_status != 0)
			len = snprintf(text, sizeof(text), "the answer of %s (HTTP status %ld) broke off: %s",
						   host, exchange->http_status, words);
		else if (code == CURLE_UNSUPPORTED_PROTOCOL)
			len = snprintf(text, sizeof(text), "%s answered in something that is not HTTP: %s", host, words);
		else
			len = snprintf(text, sizeof(text),
						   "the connection to %s was lost after the request was sent, without an answer: %s",
						   host, words);
	}
	else if (code == CURLE_COULDNT_RESOLVE_HOST)
		len = snprintf(text, sizeof(text), "could not look up %s: %s", host, words);
	else if (code == CURLE_COULDNT_CONNECT)
		len = snprintf(text, sizeof(text), "could not connect to %s: %s", host, words);
	else if (code == CURLE_PEER_FAILED_VERIFICATION)
		len = snprintf(text, sizeof(text), "the certificate of %s is not accepted: %s", host, words);
	else if (code == CURLE_SSL_CACERT_BADFILE)
		len = snprintf(text, sizeof(text), "the file of trusted certificates cannot be used: %s", words);
	else if (exchange->connect_us > 0 && !exchange->gate_reached)
		len = snprintf(text, sizeof(text), "the TLS handshake with %s failed: %s", host, words);
	else
		len = snprintf(text, sizeof(text), "the request to %s failed: %s", host, words);

	if (code != CURLE_OK && (!exchange->gate_reached || exchange->gate_passed) &&
		len > 0 && (size_t) len < sizeof(text))
	{
		add_phases(exchange, phases, sizeof(phases));
		snprintf(text + len, sizeof(text) - (size_t) len, " (%s)", phases);
	}
	mf_text_excerpt(text, strlen(text), buffer, size);
}
