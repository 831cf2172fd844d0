/*
 * http_transfer.c
 *	  Easy handles and all their options.
 *
 * The callbacks that libcurl calls in the course of a transfer write into the exchange and
 * nowhere else.  They never call the owner and never leave by longjmp().  Those for sockets
 * are in http_watch.c, those of the multi handle in http_multi.c.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/http/http_transfer.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE				/* asprintf() */
#endif

#include <stdlib.h>
#include <string.h>

#include "core/http/http_private.h"
#include "core/text/ascii.h"

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

static int	on_lookup(void *resolver, void *reserved, void *arg);
static CURLcode on_tls(CURL *easy, void *context, void *arg);
static int	pass_gate(void *arg, char *remote_ip, char *local_ip, int remote_port, int local_port);
static size_t on_header(char *line, size_t size, size_t count, void *arg);
static size_t on_response(char *data, size_t size, size_t count, void *arg);

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
	SETOPT(easy, CURLOPT_RESOLVER_START_FUNCTION, on_lookup);
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
	(void) curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_tls);
	(void) curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, transfer);

	/* a request, which passes the gate once at most */
	SETOPT(easy, CURLOPT_PREREQFUNCTION, pass_gate);
	SETOPT(easy, CURLOPT_PREREQDATA, transfer);

	SETOPT(easy, CURLOPT_HEADERFUNCTION, on_header);
	SETOPT(easy, CURLOPT_HEADERDATA, transfer);
	SETOPT(easy, CURLOPT_WRITEFUNCTION, on_response);
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
	SETOPT(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) record->exchange.body_len);
	SETOPT(easy, CURLOPT_POSTFIELDS, record->body);
	if (record->verb == MF_HTTP_POST)
		SETOPT(easy, CURLOPT_POST, 1L);
	else
		SETOPT(easy, CURLOPT_HTTPGET, 1L);
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

/*
 * libcurl looks up names in threads of its own, which inherit the signal mask.
 * Without a thread of ours, the owner blocks its signals from here until
 * mf_http_perform() returns, so that its handlers run on no other thread.
 */
static int
on_lookup(void *resolver, void *reserved, void *arg)
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
static CURLcode
on_tls(CURL *easy, void *context, void *arg)
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
static int
pass_gate(void *arg, char *remote_ip, char *local_ip, int remote_port, int local_port)
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

static size_t
on_header(char *line, size_t size, size_t count, void *arg)
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

static size_t
on_response(char *data, size_t size, size_t count, void *arg)
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
