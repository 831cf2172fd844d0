/*
 * test_control.c
 *	  Ledger, counts, waits, clock and the invoices as the oracle holds them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

/*
 * send_reference
 *		One small invoice with that reference.
 */
static void
send_reference(const char *reference)
{
	char body[256];
	Reply r;

	snprintf(body, sizeof(body),
			 "{\"CustomerName\":\"A\",\"InvoiceValue\":1.250,\"NotificationOption\":\"LNK\","
			 "\"CustomerReference\":\"%s\"}",
			 reference);
	r = api("SendPayment", body);
	CHECK(r.status == 200, "%s", r.body);
	free_reply(&r);
}

/*
 * test_ledger
 *		Bytes, times, filters, paging, counts.
 */
static void
test_ledger(void)
{
	const char *odd = "{\"CustomerName\":\"\xC3\x28\",\"InvoiceValue\":1,\"NotificationOption\":\"LNK\"}";
	Reply r;
	const cJSON *e;

	send_reference("a");
	send_reference("b");
	send_reference("a");
	r = api("GetPaymentStatus", "{\"Key\":\"a\",\"KeyType\":\"CustomerReference\"}");
	free_reply(&r);
	r = api("SendPayment", odd);
	free_reply(&r);
	CHECK(count_of("") == 5, "five requests");
	CHECK(count_of("path=SendPayment") == 4 && count_of("path=/V2/sendpayment") == 4, "by path");
	CHECK(count_of("reference=a") == 3 && count_of("reference=a&path=SendPayment") == 2, "by reference");
	CHECK(count_of("reference=a&path=GetPaymentStatus") == 1, "by both");
	CHECK(count_of("reference=c") == 0, "none");
	r = control("GET", "ledger", "");
	CHECK(cJSON_GetArraySize(at(r.json, "entries")) == 5 && number_at(r.json, "next") == 5, "five entries");
	e = at(r.json, "entries.0");
	CHECK(strcmp(text_at(e, "body"),
				 "{\"CustomerName\":\"A\",\"InvoiceValue\":1.250,\"NotificationOption\":\"LNK\","
				 "\"CustomerReference\":\"a\"}") == 0,
		  "the body byte for byte");
	CHECK(number_at(e, "accepted_us") > 0 && number_at(e, "first_us") >= number_at(e, "accepted_us") &&
			  number_at(e, "complete_us") >= number_at(e, "first_us") &&
			  number_at(e, "answered_us") >= number_at(e, "complete_us"),
		  "times in order");
	CHECK(number_at(e, "status") == 200 && number_at(e, "invoice_id") > 0, "what came of it");
	CHECK(cJSON_IsTrue(at(e, "complete")) && cJSON_IsNull(at(e, "fault")), "a whole request without fault");
	CHECK(strcmp(text_at(e, "method"), "POST") == 0 && strcmp(text_at(e, "target"), "/v2/SendPayment") == 0,
		  "its line");
	e = at(r.json, "entries.4");
	CHECK(at(e, "body") == NULL && text_at(e, "body_base64")[0] != '\0', "bytes that are no text");
	free_reply(&r);
	r = control("GET", "ledger?since=1&limit=2", "");
	CHECK(number_at(r.json, "entries.0.seq") == 2 && number_at(r.json, "next") == 3, "a page");
	free_reply(&r);
	r = control("GET", "ledger?reference=b", "");
	CHECK(cJSON_GetArraySize(at(r.json, "entries")) == 1 && number_at(r.json, "next") == 5, "one reference");
	free_reply(&r);
}

/*
 * test_redaction
 *		The key is never shown, and is missed nowhere else.
 */
static void
test_redaction(void)
{
	Reply r;

	reset_server();
	send_reference("a");
	r = call("POST", "/v2/SendPayment", "Authorization: Bearer not-a-key-of-ours\r\n", "{}");
	free_reply(&r);
	r = control("GET", "ledger", "");
	CHECK(strstr(r.body, KEY) == NULL && strstr(r.body, "not-a-key") == NULL, "no key in the ledger");
	CHECK(strcmp(text_at(r.json, "entries.0.authorization"), "accepted") == 0 &&
			  number_at(r.json, "entries.0.key_index") == 0 &&
			  strcmp(text_at(r.json, "entries.1.authorization"), "unknown key") == 0,
		  "but how it was");
	CHECK(cJSON_IsFalse(at(r.json, "entries.0.key_elsewhere")), "nowhere else");
	free_reply(&r);
	r = call("POST", "/v2/SendPayment?key=" KEY, "", "{}");
	free_reply(&r);
	r = control("GET", "ledger?since=2", "");
	CHECK(cJSON_IsTrue(at(r.json, "entries.0.key_elsewhere")), "a leaked key is noticed");
	free_reply(&r);
}

/*
 * test_broken_off
 *		Requests that end too early are entered as such.
 */
static void
test_broken_off(void)
{
	const char *body = "{\"CustomerName\":\"A\",\"InvoiceValue\":1,\"NotificationOption\":\"LNK\"}";
	size_t len;
	char *text = compose("POST", "/v2/SendPayment", "", body, strlen(body), &len);
	Reply r;
	int fd;

	reset_server();
	fd = dial();
	send_all(fd, text, len - 10);
	usleep(50000);
	close(fd);
	fd = dial();
	send_all(fd, text, 40);
	close(fd);
	fd = dial();
	close(fd);
	for (int i = 0; i < 200; i++)
	{
		r = control("GET", "health", "");
		if (number_at(r.json, "requests.incomplete") >= 1)
			break;
		free_reply(&r);
		usleep(10000);
	}
	CHECK(number_at(r.json, "requests.incomplete") >= 1 && number_at(r.json, "requests.received") == 0,
		  "broken off: %s", r.body);
	CHECK(number_at(r.json, "invoices") == 0, "no invoice");
	free_reply(&r);
	r = control("GET", "ledger", "");
	CHECK(cJSON_IsFalse(at(r.json, "entries.0.complete")), "an entry");
	free_reply(&r);
	free(text);
}

/*
 * test_wait
 *		A long poll answers at the right time and stops nobody else.
 */
static void
test_wait(void)
{
	size_t len;
	char *text;
	int fd;
	double start = seconds_now();
	Reply r;

	reset_server();
	text = compose("GET", "/_sandbox/wait?path=SendPayment&reference=w&count=2&timeout_ms=10000", "", "", 0,
				   &len);
	fd = dial();
	send_all(fd, text, len);
	send_reference("w");
	send_reference("other");
	r = read_reply(fd, 100);
	CHECK(r.len == 0, "one is not enough: %s", r.raw);
	free_reply(&r);
	send_reference("w");
	r = read_reply(fd, 5000);
	CHECK(cJSON_IsTrue(at(r.json, "reached")) && number_at(r.json, "count") == 2, "reached: %s", r.raw);
	CHECK(seconds_now() - start < 3, "at once");
	free_reply(&r);
	close(fd);
	free(text);
	start = seconds_now();
	r = control("GET", "wait?path=SendPayment&count=99&timeout_ms=200", "");
	CHECK(cJSON_IsFalse(at(r.json, "reached")) && seconds_now() - start >= 0.199, "given up in time: %s",
		  r.body);
	free_reply(&r);
	r = control("GET", "wait?count=3&phase=answered", "");
	CHECK(cJSON_IsTrue(at(r.json, "reached")), "already there: %s", r.body);
	free_reply(&r);
	/* A waiter that leaves, then one that stays. */
	text = compose("GET", "/_sandbox/wait?count=99&timeout_ms=300", "", "", 0, &len);
	fd = dial();
	send_all(fd, text, len);
	close(fd);
	free(text);
	r = control("GET", "wait?count=99&timeout_ms=400", "");
	CHECK(r.status == 200, "the other was answered");
	free_reply(&r);
}

/*
 * test_invoices
 *		The oracle's view, and what can be done to an invoice.
 */
static void
test_invoices(void)
{
	Reply r;
	char path[128];
	double id;

	reset_server();
	send_reference("x");
	send_reference("x");
	send_reference("y");
	r = control("GET", "invoices", "");
	CHECK(cJSON_GetArraySize(at(r.json, "invoices")) == 3, "all");
	CHECK(strcmp(text_at(r.json, "invoices.0.value"), "1.250") == 0, "the exact value as text");
	CHECK(strcmp(text_at(r.json, "invoices.0.currency"), "KWD") == 0, "ISO currency");
	CHECK(number_at(r.json, "invoices.2.ledger_seq") == 3, "which request made it");
	id = number_at(r.json, "invoices.1.id");
	free_reply(&r);
	snprintf(path, sizeof(path), "invoices?limit=1&after=%.0f", id);
	r = control("GET", path, "");
	CHECK(cJSON_GetArraySize(at(r.json, "invoices")) == 1 &&
			  strcmp(text_at(r.json, "invoices.0.reference"), "y") == 0,
		  "a page");
	free_reply(&r);
	r = control("GET", "invoices?reference=x", "");
	CHECK(cJSON_GetArraySize(at(r.json, "invoices")) == 2 && number_at(r.json, "invoices.1.id") == id,
		  "one reference, oldest first");
	free_reply(&r);
	snprintf(path, sizeof(path), "invoices/%.0f/expire", id);
	r = control("POST", path, "");
	CHECK(cJSON_IsTrue(at(r.json, "expired")), "expired");
	free_reply(&r);
	snprintf(path, sizeof(path), "invoices/%.0f/pay", id);
	r = control("POST", path, "");
	CHECK(r.status == 409, "an expired one is not paid");
	free_reply(&r);
	r = control("POST", path, "{\"force\":true}");
	CHECK(r.status == 200 && strcmp(text_at(r.json, "status"), "Paid") == 0, "unless forced");
	free_reply(&r);
	r = control("POST", path, "{\"force\":true,\"invoice_status\":\"DuplicatePayment\"}");
	CHECK(strcmp(text_at(r.json, "status"), "DuplicatePayment") == 0, "the library's word on request");
	free_reply(&r);
	r = control("GET", "invoices?reference=y", "");
	snprintf(path, sizeof(path), "invoices/%.0f/cancel", number_at(r.json, "invoices.0.id"));
	free_reply(&r);
	r = control("POST", path, "");
	free_reply(&r);
	r = api("GetPaymentStatus", "{\"Key\":\"y\",\"KeyType\":\"CustomerReference\"}");
	CHECK(strcmp(text_at(r.json, "Data.InvoiceStatus"), "Canceled") == 0, "Canceled");
	free_reply(&r);
}

/*
 * test_clock
 *		MyFatoorah's clock moves on its own.
 */
static void
test_clock(void)
{
	Reply r;
	char year[8];

	reset_server();
	send_reference("now");
	r = control("POST", "clock", "{\"offset_seconds\":864000000}");
	CHECK(r.status == 200, "shifted");
	free_reply(&r);
	send_reference("later");
	r = api("GetPaymentStatus", "{\"Key\":\"later\",\"KeyType\":\"CustomerReference\"}");
	snprintf(year, sizeof(year), "%.4s", text_at(r.json, "Data.CreatedDate"));
	CHECK(atoi(year) >= 2050, "in the future: %s", year);
	free_reply(&r);
	r = control("GET", "invoices?reference=now", "");
	CHECK(cJSON_IsTrue(at(r.json, "invoices.0.expired")), "and the old one expired");
	free_reply(&r);
	reset_server();
	r = control("GET", "health", "");
	CHECK(number_at(r.json, "clock_offset_seconds") == 0, "a reset brings it back");
	free_reply(&r);
}

/*
 * test_refusals
 *		Mistakes in the control path are told, not swallowed.
 */
static void
test_refusals(void)
{
	static const char *const bad_rules[] = {"{\"statsu\":500}",
											"{\"status\":99}",
											"{\"status\":\"500\"}",
											"[{\"status\":500},{\"x\":1}]",
											"17",
											"[1]",
											"{\"body_base64\":\"***\"}",
											"{\"create\":1}",
											"{\"cut_answer_at\":-1}",
											"{\"shape\":13}",
											"not json",
											"{\"headers\":{\"A\":1}}",
											"{\"delay_ms\":1.5}"};
	Reply r;

	for (size_t i = 0; i < sizeof(bad_rules) / sizeof(bad_rules[0]); i++)
	{
		r = control("POST", "faults", bad_rules[i]);
		CHECK(r.status == 400 && text_at(r.json, "error")[0] != '\0', "%s: %s", bad_rules[i], r.body);
		free_reply(&r);
	}
	r = control("GET", "faults", "");
	CHECK(cJSON_GetArraySize(at(r.json, "rules")) == 0, "none was armed");
	free_reply(&r);
	r = control("GET", "nonsense", "");
	CHECK(r.status == 404, "no such control");
	free_reply(&r);
	r = control("GET", "reset", "");
	CHECK(r.status == 405, "a GET resets nothing");
	free_reply(&r);
	r = control("POST", "clock", "{}");
	CHECK(r.status == 400, "no offset");
	free_reply(&r);
	r = control("POST", "invoices/1/pay", "");
	CHECK(r.status == 404, "no such invoice");
	free_reply(&r);
}

/*
 * test_control
 *		All of it.
 */
void
test_control(void)
{
	reset_server();
	test_ledger();
	test_redaction();
	test_broken_off();
	test_wait();
	test_invoices();
	test_clock();
	test_refusals();
}
