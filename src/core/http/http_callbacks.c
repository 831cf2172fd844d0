/*
 * http_callbacks.c
 *	  What libcurl calls in the course of a transfer.
 *
 * These callbacks write into the exchange and nowhere else.  They never call the
 * owner and never leave by longjmp().  Those for sockets are in http_watch.c,
 * those of the multi handle in http_multi.c.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/http/http_callbacks.c
 */
#include "core/http/http_private.h"

#include <stdlib.h>
#include <string.h>

#include "core/text/ascii.h"

/*
 * libcurl looks up names in threads of its own, which inherit the signal mask.
 * Without a thread of ours, the owner blocks its signals from here until
 * mf_http_perform() returns, so that its handlers run on no other thread.
 */
int
mf_http_on_lookup(void *resolver, void *reserved, void *arg)
{
	MfHttpTransfer *transfer = arg;
	MfHttp	   *http = transfer->record->target->http;

	(void) resolver;
	(void) reserved;
	transfer->begun = true;
	if (http->wake_fd < 0 && !http->signals_blocked)
	{
		mf_http_block_signals(&http->signals);
		http->signals_blocked = true;
	}
	return 0;
}

/*
 * The TCP connection stands and TLS begins.  libcurl reports that time only once
 * the handshake has succeeded.
 */
CURLcode
mf_http_on_tls(CURL *easy, void *context, void *arg)
{
	MfHttpTransfer *transfer = arg;

	(void) easy;
	(void) context;
	transfer->tls_begun = mf_http_clock();
	return CURLE_OK;
}

/* Whether a kept connection has ended.  libcurl checks too, but since 8.19 only once a second. */
static bool
connection_is_closed(const MfHttpTransfer *transfer)
{
	curl_socket_t fd;

	return curl_easy_getinfo(transfer->easy, CURLINFO_ACTIVESOCKET, &fd) == CURLE_OK && mf_http_socket_is_closed(fd);
}

/*
 * The gate: the last point at which it is certain that nothing was sent.  libcurl
 * calls this each time before it writes the request, also when it wants to repeat
 * it on another connection, which it may not.
 */
int
mf_http_pass_gate(void *arg, char *remote_ip, char *local_ip, int remote_port, int local_port)
{
	MfHttpTransfer *transfer = arg;
	MfHttpExchange *exchange = &transfer->record->exchange;
	MfHttp	   *http = transfer->record->target->http;
	int64_t		now = mf_http_clock();
	const char *refusal = NULL;
	long		new_connections;

	(void) local_ip;
	(void) remote_port;
	(void) local_port;

	/* the process may have stood still since the wait ended */
	mf_http_check_clock(http, now);
	transfer->begun = true;
	exchange->gate_reached = true;
	if (exchange->gate_passed)
	{
		/* it was a kept one: that makes this outcome unknown, and that of no other shall be */
		http->closes_until[transfer->record->target->host_slot] = now + CLOSING_REMEMBERED;
		refusal = "the server closed it, and the request was not repeated";
	}
	else if (__atomic_load_n(&http->gate_closed, __ATOMIC_SEQ_CST))
		refusal = "sending was stopped";
	else if (transfer->record->target->remote_only && mf_http_ip_is_local(remote_ip))
		/* over a connection that another target has opened */
		refusal = MF_HTTP_OWN_MACHINE;
	else if (mf_http_is_held(transfer->record, now))
		refusal = "the process stood still before it could be sent; it is held back for a while";
	else if (transfer->record->send_by != 0 && now > transfer->record->send_by)
		refusal = "the time allowed for sending was over";
	else
	{
		if (curl_easy_getinfo(transfer->easy, CURLINFO_NUM_CONNECTS, &new_connections) == CURLE_OK)
			exchange->connection_reused = (new_connections == 0);
		transfer->connection_closed = exchange->connection_reused && connection_is_closed(transfer);
		if (transfer->connection_closed)
			refusal = "the server had closed the connection";
	}
	if (refusal != NULL)
	{
		snprintf(exchange->curl_error, sizeof(exchange->curl_error), "%s", refusal);
		return CURL_PREREQFUNC_ABORT;
	}
	exchange->gate_passed = true;
	return CURL_PREREQFUNC_OK;
}

/*
 * If this line is the header "name" (with its colon), copies its value to "out",
 * cut to fit, with "?" for all that is not printable ASCII.
 */
static void
read_header(const char *line, size_t len, const char *name, char *out, size_t out_size)
{
	size_t		name_len = strlen(name);
	size_t		i;

	/* the first letter decides for most headers */
	if (len < name_len || (line[0] | 0x20) != (name[0] | 0x20) || !curl_strnequal(line, name, name_len))
		return;
	line += name_len;
	len -= name_len;
	while (len > 0 && mf_is_space(*line))
	{
		line++;
		len--;
	}
	while (len > 0 && mf_is_space(line[len - 1]))
		len--;
	for (i = 0; i < len && i < out_size - 1; i++)
		out[i] = (line[i] >= 0x20 && line[i] < 0x7F) ? line[i] : '?';
	out[i] = '\0';
}

size_t
mf_http_on_header(char *line, size_t size, size_t count, void *arg)
{
	MfHttpTransfer *transfer = arg;
	MfHttpExchange *exchange = &transfer->record->exchange;
	size_t		len = size * count;

	if (len >= 5 && memcmp(line, "HTTP/", 5) == 0)
	{
		/* a new answer begins, perhaps after an interim one */
		exchange->location[0] = exchange->date[0] = '\0';
		transfer->headers_ended = false;
	}
	else if (transfer->headers_ended)
		;						/* a trailer behind a chunked body */
	else if (len <= 2 && line[len - 1] == '\n' && (len == 1 || line[0] == '\r'))
		transfer->headers_ended = true;	/* since 8.18 libcurl also ends them at a lone CR that nothing follows */
	else
	{
		char		connection[16] = "";

		read_header(line, len, "Location:", exchange->location, sizeof(exchange->location));
		read_header(line, len, "Date:", exchange->date, sizeof(exchange->date));
		read_header(line, len, "Connection:", connection, sizeof(connection));
		if (curl_strequal(connection, "close"))
			transfer->closing_announced = true;
	}
	return len;
}

size_t
mf_http_on_response(char *data, size_t size, size_t count, void *arg)
{
	MfHttpTransfer *transfer = arg;
	MfHttpExchange *exchange = &transfer->record->exchange;
	size_t		max_len = exchange->max_response;
	size_t		len = size * count;

	if (len > max_len - exchange->response_len)
	{
		exchange->truncated = true;
		return 0;
	}
	if (exchange->response_len + len + 1 > transfer->response_size)
	{
		size_t		new_size = transfer->response_size;
		char	   *grown;

		while (exchange->response_len + len + 1 > new_size)
			new_size *= 2;
		if (new_size > max_len + 1)
			new_size = max_len + 1;
		grown = realloc(exchange->response, new_size);
		if (grown == NULL)
			return 0;
		exchange->response = grown;
		transfer->response_size = new_size;
	}
	memcpy(exchange->response + exchange->response_len, data, len);
	exchange->response_len += len;
	return len;
}
