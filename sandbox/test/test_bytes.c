/*
 * test_bytes.c
 *	  Cuts, resets and stalls at every single byte of request and answer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

#define BODY \
	"{\"CustomerName\":\"A\",\"InvoiceValue\":1,\"NotificationOption\":\"LNK\",\"CustomerReference\":\"byte\"}"

static char *text; /* one request */
static size_t text_len;
static size_t head_len;

/*
 * dial_used
 *		A connection, on request one that has had an answer already.
 */
static int
dial_used(bool used)
{
	int fd = dial();

	if (used)
	{
		const char *get = "GET /_sandbox/ledger/count HTTP/1.1\r\nHost: x\r\n\r\n";
		Reply r;

		send_all(fd, get, strlen(get));
		r = read_reply(fd, 5000);
		free_reply(&r);
	}
	return fd;
}

/*
 * last_entry
 *		The newest entry of the ledger, once it tells how its request ended.
 */
static void
last_entry(Reply *r)
{
	double last;
	char path[64];

	*r = control("GET", "health", "");
	last = number_at(r->json, "ledger.last");
	free_reply(r);
	snprintf(path, sizeof(path), "ledger?since=%.0f", last - 1);
	for (int i = 0; i < 500; i++)
	{
		*r = control("GET", path, "");
		if (text_at(r->json, "entries.0.end")[0] != '\0')
			return;
		free_reply(r);
		usleep(1000);
	}
	*r = control("GET", path, "");
}

/*
 * request_at
 *		Break one request off after k bytes and look at both sides.
 */
static void
request_at(const char *fault, size_t k, bool total, bool used, bool by_reference)
{
	char rule[160];
	bool reset = fault[0] == 'r';
	size_t seen = total ? k : head_len + k;
	bool whole = seen >= text_len;
	int fd;
	Reply r;

	if (seen > text_len)
		seen = text_len;
	snprintf(rule, sizeof(rule), "{\"%s_request_at%s\":%zu%s}", fault, total ? "_total" : "", k,
			 by_reference ? ",\"reference\":\"byte\"" : "");
	fd = dial_used(used);
	arm(rule);
	send_all(fd, text, text_len);
	r = read_to_end(fd, 5000);
	CHECK(r.len == 0 && r.ending == (reset ? RESET : CLOSED), "%s: %zu bytes, ending %d", rule, r.len,
		  (int) r.ending);
	free_reply(&r);
	close(fd);
	last_entry(&r);
	CHECK(number_at(r.json, "entries.0.header_bytes") + number_at(r.json, "entries.0.body_bytes") ==
			  (double) seen,
		  "%s: the ledger has %.0f + %.0f", rule, number_at(r.json, "entries.0.header_bytes"),
		  number_at(r.json, "entries.0.body_bytes"));
	CHECK(cJSON_IsTrue(at(r.json, "entries.0.complete")) == whole, "%s: complete", rule);
	if (seen > head_len)
		CHECK(memcmp(text_at(r.json, "entries.0.body"), text + head_len, seen - head_len) == 0,
			  "%s: the body so far", rule);
	CHECK(strcmp(text_at(r.json, "entries.0.end"), reset ? "reset" : "cut") == 0, "%s: %s", rule,
		  text_at(r.json, "entries.0.end"));
	CHECK(number_at(r.json, "entries.0.status") == 0, "%s: no answer", rule);
	free_reply(&r);
}

/*
 * test_requests
 *		Every byte of the request, from either end of the scale.
 */
static void
test_requests(void)
{
	Reply r;

	for (size_t k = 0; k <= text_len + 1; k++)
	{
		request_at("cut", k, true, k % 2 == 0, false);
		request_at("reset", k, true, k % 2 == 1, k % 3 == 0);
	}
	for (size_t k = 0; k <= text_len - head_len; k++)
	{
		request_at("cut", k, false, k % 2 == 1, k % 3 == 0);
		request_at("reset", k, false, k % 2 == 0, false);
	}
	r = control("GET", "health", "");
	CHECK(number_at(r.json, "invoices") == 0, "no request that was broken off made an invoice");
	free_reply(&r);
}

/*
 * answer_at
 *		Break one answer off after k of its bytes and look at both sides.
 */
static void
answer_at(const char *fault, size_t k, size_t full, bool used)
{
	char rule[160];
	bool stall = fault[0] == 's';
	int fd;
	Reply r;

	snprintf(rule, sizeof(rule), stall ? "{\"%s_at\":%zu,\"stall_ms\":%d}" : "{\"%s_answer_at\":%zu}", fault,
			 k, k % 7 == 0 ? 20 : 0);
	fd = dial_used(used);
	arm(rule);
	send_all(fd, text, text_len);
	r = read_to_end(fd, 5000);
	CHECK(r.len == (k < full ? k : full), "%s: %zu bytes", rule, r.len);
	CHECK(r.ending == (fault[0] == 'r' ? RESET : CLOSED), "%s: ending %d", rule, (int) r.ending);
	CHECK(strncmp(r.raw, "HTTP/1.1 200 OK\r\nDate: ", r.len < 23 ? r.len : 23) == 0, "%s: %s", rule, r.raw);
	free_reply(&r);
	close(fd);
	last_entry(&r);
	CHECK(number_at(r.json, "entries.0.answer_sent_bytes") == (double) (k < full ? k : full), "%s: sent %.0f",
		  rule, number_at(r.json, "entries.0.answer_sent_bytes"));
	CHECK(number_at(r.json, "entries.0.invoice_id") > 0 && cJSON_IsTrue(at(r.json, "entries.0.complete")),
		  "%s: created", rule);
	free_reply(&r);
}

/*
 * test_answers
 *		Every byte of the answer.
 */
static void
test_answers(void)
{
	size_t full;
	int fd = dial();
	Reply r;
	int64_t made;

	send_all(fd, text, text_len);
	r = read_reply(fd, 5000);
	full = r.len;
	CHECK(r.status == 200, "the whole answer: %s", r.raw);
	free_reply(&r);
	close(fd);
	reset_server();
	for (size_t k = 0; k <= full + 1; k++)
	{
		answer_at("cut", k, full, k % 2 == 0);
		answer_at("reset", k, full, k % 2 == 1);
		answer_at("stall", k, full, k % 2 == 0);
	}
	r = control("GET", "health", "");
	made = (int64_t) number_at(r.json, "invoices");
	CHECK(made == 3 * (int64_t) (full + 2), "each made exactly one invoice: %lld", (long long) made);
	free_reply(&r);
}

/*
 * test_slow_client
 *		A client that sends byte by byte is cut off before it has sent all.
 */
static void
test_slow_client(void)
{
	int fd = dial();
	Reply r;
	size_t sent = 0;

	arm("{\"cut_request_at\":20}");
	for (; sent < text_len; sent++)
	{
		send_all(fd, text + sent, 1);
		if (sent >= head_len)
		{
			/* that it ends is waited for; that it does not yet, shortly */
			r = read_to_end(fd, sent == head_len + 19 ? 5000 : 20);
			if (r.ending != STILL_OPEN)
			{
				free_reply(&r);
				break;
			}
			free_reply(&r);
		}
	}
	CHECK(sent == head_len + 19, "cut after the 20th byte of the body, not %zu", sent - head_len + 1);
	close(fd);
	disarm();
}

/*
 * test_silent_repeat
 *		A server that reads a whole request on a kept-alive connection and
 *		closes without a word: the case in which some clients send it again.
 */
static void
test_silent_repeat(void)
{
	int fd = dial_used(true);
	Reply r;

	reset_server();
	arm("{\"cut_answer_at\":0}");
	send_all(fd, text, text_len);
	r = read_to_end(fd, 5000);
	CHECK(r.len == 0 && r.ending == CLOSED, "closed without a word");
	free_reply(&r);
	close(fd);
	CHECK(count_of("path=SendPayment") == 1, "one request");
	r = control("GET", "invoices?reference=byte", "");
	CHECK(cJSON_GetArraySize(at(r.json, "invoices")) == 1, "and one invoice");
	free_reply(&r);
}

/*
 * test_bytes
 *		All of it.
 */
void
test_bytes(void)
{
	reset_server();
	text = compose("POST", "/v2/SendPayment", "", BODY, strlen(BODY), &text_len);
	head_len = text_len - strlen(BODY);
	test_requests();
	test_answers();
	test_slow_client();
	test_silent_repeat();
	free(text);
}
