/*
 * http_describe.c
 *	  Error messages of exchanges.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/http/http_describe.c
 */
#include "core/http/http_private.h"

#include <string.h>

#include "core/text/text.h"

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

/* A time-out: what had not ended by then. */
static int
describe_timeout(const MfHttpExchange *exchange, char *text, size_t size)
{
	const char *host = exchange->host;
	double		seconds = (double) exchange->total_us / 1000000;

	if (exchange->gate_passed && exchange->http_status != 0)
		return snprintf(text, size, "the answer of %s did not end within %.1f s", host, seconds);
	if (exchange->gate_passed)
		return snprintf(text, size, "no answer from %s within %.1f s", host, seconds);
	if (exchange->connect_us > 0)
		return snprintf(text, size, "the TLS handshake with %s did not end within %.1f s", host, seconds);
	if (exchange->name_lookup_us > 0)
		return snprintf(text, size, "no connection to %s within %.1f s", host, seconds);
	return snprintf(text, size, "the name lookup of %s did not end within %.1f s", host, seconds);
}

/* Any other end after the request may have left */
static int
describe_lost_answer(const MfHttpExchange *exchange, const char *words, char *text, size_t size)
{
	const char *host = exchange->host;

	if (exchange->http_status != 0)
		return snprintf(text, size, "the answer of %s (HTTP status %ld) broke off: %s",
						host, exchange->http_status, words);
	if (exchange->curl_code == CURLE_UNSUPPORTED_PROTOCOL)
		return snprintf(text, size, "%s answered in something that is not HTTP: %s", host, words);
	return snprintf(text, size,
					"the connection to %s was lost after the request was sent, without an answer: %s",
					host, words);
}

/* Any other end before the gate */
static int
describe_unsent(const MfHttpExchange *exchange, const char *words, char *text, size_t size)
{
	const char *host = exchange->host;

	switch (exchange->curl_code)
	{
		case CURLE_COULDNT_RESOLVE_HOST:
			return snprintf(text, size, "could not look up %s: %s", host, words);
		case CURLE_COULDNT_CONNECT:
			return snprintf(text, size, "could not connect to %s: %s", host, words);
		case CURLE_PEER_FAILED_VERIFICATION:
			return snprintf(text, size, "the certificate of %s is not accepted: %s", host, words);
		case CURLE_SSL_CACERT_BADFILE:
			return snprintf(text, size, "the file of trusted certificates cannot be used: %s", words);
		default:
			break;
	}
	if (exchange->connect_us > 0 && !exchange->gate_reached)
		return snprintf(text, size, "the TLS handshake with %s failed: %s", host, words);
	return snprintf(text, size, "the request to %s failed: %s", host, words);
}

void
mf_http_describe(const MfHttpExchange *exchange, char *buffer, size_t size)
{
	char		words[MF_HTTP_ERROR_SIZE + 3];
	char		phases[160];
	char		text[1024];
	const char *host = exchange->host;
	CURLcode	code = (CURLcode) exchange->curl_code;
	int			len;

	if (exchange->curl_error[0] != '\0')
		mf_text_excerpt(exchange->curl_error, strlen(exchange->curl_error), words, sizeof(words));
	else
		snprintf(words, sizeof(words), "%s", curl_easy_strerror(code));

	if (code == CURLE_OK)
		len = snprintf(text, sizeof(text), "%s answered with HTTP status %ld",
					   host, exchange->http_status);
	else if (exchange->gate_reached && !exchange->gate_passed)
		len = snprintf(text, sizeof(text), "nothing was sent to %s: %s", host, words);
	else if (exchange->truncated)
		len = snprintf(text, sizeof(text), "the answer of %s exceeds %zu bytes",
					   host, exchange->max_response);
	else if (code == CURLE_OPERATION_TIMEDOUT)
		len = describe_timeout(exchange, text, sizeof(text));
	else if (exchange->gate_passed)
		len = describe_lost_answer(exchange, words, text, sizeof(text));
	else
		len = describe_unsent(exchange, words, text, sizeof(text));

	if (code != CURLE_OK && (!exchange->gate_reached || exchange->gate_passed) &&
		len > 0 && (size_t) len < sizeof(text))
	{
		add_phases(exchange, phases, sizeof(phases));
		snprintf(text + len, sizeof(text) - (size_t) len, " (%s)", phases);
	}
	mf_text_excerpt(text, strlen(text), buffer, size);
}
