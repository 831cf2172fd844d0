/*
 * exchange.c
 *	  An exchange made of the input: evidence, status, answer.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/fuzz/exchange.c
 */
#include "exchange.h"

#include <curl/curl.h>

static const int statuses[] = {
	200, 0, 100, 199, 201, 204, 299, 300, 302, 399, 400, 401, 403, 404, 405, 408, 409, 413, 422, 429, 499, 500, 503, 599,
	600, 999,
};

/* More than the ends that libcurl has: any number may come. */
static const int ends[] = {
	CURLE_OK, CURLE_UNSUPPORTED_PROTOCOL, CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_CONNECT, CURLE_PARTIAL_FILE,
	CURLE_WRITE_ERROR, CURLE_OPERATION_TIMEDOUT, CURLE_SSL_CONNECT_ERROR, CURLE_ABORTED_BY_CALLBACK, CURLE_GOT_NOTHING,
	CURLE_SEND_ERROR, CURLE_RECV_ERROR, CURLE_PEER_FAILED_VERIFICATION, CURLE_SEND_FAIL_REWIND,
	CURLE_SSL_CACERT_BADFILE, CURLE_OUT_OF_MEMORY, 4711,
};

void
take_exchange(Input *input, MfHttpExchange *exchange)
{
	uint8_t		flags = take_byte(input);
	char	   *text;
	size_t		len;

	memset(exchange, 0, sizeof(*exchange));
	exchange->http_status = statuses[take_below(input, sizeof(statuses) / sizeof(statuses[0]))];
	exchange->curl_code = ends[take_below(input, sizeof(ends) / sizeof(ends[0]))];
	exchange->truncated = (flags & 1) != 0;
	exchange->body_len = 100;
	exchange->gate_passed = (flags & 2) == 0;
	exchange->body_sent = !exchange->gate_passed ? 0 : (flags & 4) ? 99 : (flags & 8) ? 0 : 100;
	exchange->gate_reached = exchange->gate_passed || (flags & 16) != 0;
	exchange->connection_reused = (flags & 32) != 0;
	exchange->total_us = 30000000;
	if (flags & 64)
		exchange->connect_us = 1000;
	strcpy(exchange->host, "127.0.0.1:80");

	text = take_string(input);
	exchange->retry_after = text[0] == '\0' ? 0 : (uint8_t) text[0] * 16 % (MF_RETRY_AFTER_CAP + 1);
	if (flags & 128)
		snprintf(exchange->curl_error, sizeof(exchange->curl_error), "%s", text);
	free(text);

	/* the transport puts a NUL behind it */
	text = take_rest(input, &len);
	exchange->response = malloc(len + 1);
	CHECK(exchange->response != NULL);
	memcpy(exchange->response, text, len);
	exchange->response[len] = '\0';
	exchange->response_len = len;
	free(text);
}

bool
came_whole(const MfHttpExchange *exchange)
{
	return exchange->curl_code == 0 && !exchange->truncated && exchange->http_status >= 200;
}
