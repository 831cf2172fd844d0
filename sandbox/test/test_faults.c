/*
 * test_faults.c
 *	  Rules: how they match, and the faults that keep to HTTP.
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
static Reply
send_reference(const char *reference)
{
	char body[256];

	snprintf(body, sizeof(body),
			 "{\"CustomerName\":\"A\",\"InvoiceValue\":1,\"NotificationOption\":\"LNK\","
			 "\"CustomerReference\":\"%s\"}",
			 reference);
	return api("SendPayment", body);
}

/*
 * invoices_of
 *		How many invoices the oracle holds under a reference.
 */
static int64_t
invoices_of(const char *reference)
{
	char path[256];
	Reply r;
	int64_t n;

	snprintf(path, sizeof(path), "invoices?reference=%s", reference);
	r = control("GET", path, "");
	n = cJSON_GetArraySize(at(r.json, "invoices"));
	free_reply(&r);
	return n;
}

/*
 * test_matching
 *		Path, reference, prefix, method, content, skip, times, order.
 */
static void
test_matching(void)
{
	static const struct
	{
		const char *rules;
		const char *references[5];
		int expected[5];
	} cases[] = {
		{"{\"status\":503}", {"a", "b"}, {503, 200}},
		{"{\"status\":503,\"times\":2}", {"a", "b", "c"}, {503, 503, 200}},
		{"{\"status\":503,\"times\":-1}", {"a", "b", "c"}, {503, 503, 503}},
		{"{\"status\":503,\"skip\":1}", {"a", "b", "c"}, {200, 503, 200}},
		{"{\"status\":503,\"reference\":\"b\"}", {"a", "b", "b"}, {200, 503, 200}},
		{"{\"status\":503,\"reference_prefix\":\"or\",\"times\":-1}",
		 {"order", "xor", "or"},
		 {503, 200, 503}},
		{"{\"status\":503,\"path\":\"GetPaymentStatus\"}", {"a"}, {200}},
		{"{\"status\":503,\"path\":\"/V2/SendPayment\"}", {"a"}, {503}},
		{"{\"status\":503,\"method\":\"get\"}", {"a"}, {200}},
		{"{\"status\":503,\"contains\":\"\\\"c2\\\"\"}", {"c1", "c2"}, {200, 503}},
		{"[{\"status\":503},{\"status\":502},{\"status\":429,\"reference\":\"d\"}]",
		 {"d", "d", "d", "d"},
		 {503, 502, 429, 200}},
		{"{\"rules\":[{\"status\":500}]}", {"a", "a"}, {500, 200}},
	};
	Reply r;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		arm(cases[i].rules);
		for (int j = 0; j < 5 && cases[i].references[j] != NULL; j++)
		{
			r = send_reference(cases[i].references[j]);
			CHECK(r.status == cases[i].expected[j], "%s, request %d: %d", cases[i].rules, j, r.status);
			free_reply(&r);
		}
		disarm();
	}
	arm("{\"status\":503,\"times\":-1}");
	r = control("GET", "health", "");
	CHECK(r.status == 200, "the control path has no faults");
	free_reply(&r);
	r = call("GET", "/", "", "");
	CHECK(r.status == 200, "nor have pages, unless named");
	free_reply(&r);
	r = send_reference("h");
	free_reply(&r);
	r = control("GET", "faults", "");
	CHECK(number_at(r.json, "rules.0.hits") == 1, "hits are counted");
	free_reply(&r);
	disarm();
}

/*
 * test_shapes
 *		The ready-made failures.
 */
static void
test_shapes(void)
{
	static const int statuses[] = {400, 400, 400, 400, 404, 403, 401, 401, 400, 400, 429, 400};
	char rule[64];
	Reply r;

	for (int i = 1; i <= 12; i++)
	{
		snprintf(rule, sizeof(rule), "{\"shape\":%d}", i);
		arm(rule);
		r = send_reference("shape");
		CHECK(r.status == statuses[i - 1], "shape %d: %d", i, r.status);
		if (i == 2)
			CHECK(at(r.json, "FieldsErrors.0.Error") != NULL, "FieldsErrors: %s", r.body);
		else if (i == 3)
			CHECK(text_at(r.json, "Data.ErrorMessage")[0] != '\0', "ErrorMessage: %s", r.body);
		else if (i == 5)
			CHECK(r.json != NULL && at(r.json, "IsSuccess") == NULL, "no IsSuccess: %s", r.body);
		else if (i == 6)
			CHECK(strstr(r.raw, "text/html") != NULL && strstr(r.body, "Azure") != NULL,
				  "the gateway's page");
		else if (i == 7)
			CHECK(r.body_len == 0, "an empty body");
		else if (i == 9)
			CHECK(cJSON_IsString(r.json), "a bare string: %s", r.body);
		else if (i == 10)
			CHECK(cJSON_IsFalse(at(r.json, "Data")), "Data is false");
		free_reply(&r);
	}
	arm("{\"shape\":9,\"status\":500}");
	r = send_reference("shape");
	CHECK(r.status == 500 && cJSON_IsString(r.json), "a shape with another status");
	free_reply(&r);
	CHECK(invoices_of("shape") == 0, "none of these made an invoice");
}

/*
 * test_bodies
 *		Answers of any kind: types, headers, odd bytes, no HTTP at all.
 */
static void
test_bodies(void)
{
	Reply r;
	int fd;
	size_t len;
	char *text;

	arm("[{\"status\":429,\"headers\":{\"Retry-After\":\"7\",\"X-Test\":\"y\"},\"body\":{\"a\":[1,2]}},"
		"{\"status\":503,\"content_type\":\"text/html\",\"body\":\"<h1>no</h1>\"},"
		"{\"status\":200,\"body\":\"\"},"
		"{\"body\":\"{\\\"IsSuccess\\\":true,\\\"Data\\\":{\\\"InvoiceId\\\":1,\\\"CustomerReference\\\":\\\"else\\\"}}\"},"
		"{\"status\":200,\"body\":\"{\\\"a\\\":\\\"\\\\u0000\\\"}\"},"
		"{\"status\":200,\"body_base64\":\"/wAB\"},"
		"{\"raw\":\"SSH-2.0-OpenSSH_9.2\\r\\n\"},"
		"{\"status\":302,\"headers\":{\"Location\":\"https://elsewhere.example.com/\"}},"
		"{\"status\":200,\"close\":true}]");
	r = send_reference("body");
	CHECK(r.status == 429 && strstr(r.raw, "\r\nRetry-After: 7\r\n") != NULL &&
			  strstr(r.raw, "\r\nX-Test: y\r\n") != NULL && strcmp(r.body, "{\"a\":[1,2]}") == 0,
		  "429: %s", r.raw);
	free_reply(&r);
	r = send_reference("body");
	CHECK(r.status == 503 && strstr(r.raw, "Content-Type: text/html\r\n") != NULL &&
			  strcmp(r.body, "<h1>no</h1>") == 0,
		  "503: %s", r.raw);
	free_reply(&r);
	r = send_reference("body");
	CHECK(r.status == 200 && r.body_len == 0, "an empty 200");
	free_reply(&r);
	r = send_reference("body");
	CHECK(r.status == 200 && strcmp(text_at(r.json, "Data.CustomerReference"), "else") == 0, "a lie");
	free_reply(&r);
	r = send_reference("body");
	CHECK(strcmp(r.body, "{\"a\":\"\\u0000\"}") == 0, "an escaped NUL");
	free_reply(&r);
	r = send_reference("body");
	CHECK(r.body_len == 3 && memcmp(r.body, "\xFF\x00\x01", 3) == 0, "bytes");
	free_reply(&r);
	text = compose("POST", "/v2/SendPayment", "", "{}", 2, &len);
	fd = dial();
	send_all(fd, text, len);
	r = read_to_end(fd, 5000);
	CHECK(strcmp(r.raw, "SSH-2.0-OpenSSH_9.2\r\n") == 0 && r.ending == CLOSED, "not HTTP: %s", r.raw);
	free_reply(&r);
	close(fd);
	r = send_reference("body");
	CHECK(r.status == 302 && strstr(r.raw, "Location: https://elsewhere.example.com/") != NULL, "a redirect");
	free_reply(&r);
	fd = dial();
	send_all(fd, text, len);
	r = read_to_end(fd, 5000);
	CHECK(strstr(r.raw, "Connection: close") != NULL && r.ending == CLOSED, "closed after the answer");
	free_reply(&r);
	close(fd);
	free(text);
	CHECK(invoices_of("body") == 0, "no invoice");
}

/*
 * test_create
 *		Create, then fail; or answer yes and keep nothing.
 */
static void
test_create(void)
{
	Reply r;

	arm("[{\"status\":500,\"create\":true},{\"create\":false},{\"status\":500,\"create\":true}]");
	r = send_reference("made");
	CHECK(r.status == 500 && invoices_of("made") == 1, "made, then failed");
	free_reply(&r);
	r = send_reference("unmade");
	CHECK(r.status == 200 && number_at(r.json, "Data.InvoiceId") > 0 && invoices_of("unmade") == 0,
		  "a success that is none");
	free_reply(&r);
	r = api(
		"SendPayment",
		"{\"CustomerName\":\"A\",\"InvoiceValue\":0,\"NotificationOption\":\"LNK\",\"CustomerReference\":\"bad\"}");
	CHECK(r.status == 500 && invoices_of("bad") == 0, "a bad request makes none even so");
	free_reply(&r);
	r = control("GET", "ledger?reference=made", "");
	CHECK(number_at(r.json, "entries.0.invoice_id") > 0 && number_at(r.json, "entries.0.status") == 500 &&
			  text_at(r.json, "entries.0.fault")[0] == '#',
		  "the ledger tells: %s", r.body);
	free_reply(&r);
}

/*
 * test_fill
 *		Any status with the number of the invoice that was made, or of none.
 */
static void
test_fill(void)
{
	const char *body = "{\"CustomerName\":\"A\",\"InvoiceValue\":1,\"NotificationOption\":\"LNK\","
					   "\"CustomerReference\":\"filled-102\"}";
	size_t len;
	char *text;
	int fd;
	Reply r;
	Reply all;

	arm("[{\"status\":409,\"create\":true,\"fill\":true,\"body\":\"{\\\"N\\\":{{InvoiceId}},\\\"U\\\":{{InvoiceURL}},"
		"\\\"R\\\":{{CustomerReference}},\\\"X\\\":\\\"{{Other}}\\\"}\"},"
		"{\"status\":302,\"create\":false,\"fill\":true,\"body\":\"[{{InvoiceId}}]\"},"
		"{\"status\":102,\"create\":true,\"fill\":true,\"body\":\"[{{InvoiceId}}]\"}]");
	r = send_reference("filled");
	all = control("GET", "invoices?reference=filled", "");
	CHECK(r.status == 409 && number_at(r.json, "N") > 0 &&
			  number_at(r.json, "N") == number_at(all.json, "invoices.0.id"),
		  "the number of the invoice made: %s", r.body);
	CHECK(strcmp(text_at(r.json, "U"), text_at(all.json, "invoices.0.url")) == 0, "its address: %s", r.body);
	CHECK(strcmp(text_at(r.json, "R"), "filled") == 0 && strcmp(text_at(r.json, "X"), "{{Other}}") == 0,
		  "the reference, and nothing else is filled in: %s", r.body);
	free_reply(&r);
	free_reply(&all);
	r = send_reference("not-filled");
	CHECK(r.status == 302 && number_at(r.json, "0") > 0 && invoices_of("not-filled") == 0,
		  "a number that nobody has: %s", r.body);
	free_reply(&r);
	text = compose("POST", "/v2/SendPayment", "", body, strlen(body), &len);
	fd = dial();
	send_all(fd, text, len);
	r = read_to_end(fd, 5000);
	CHECK(strncmp(r.raw, "HTTP/1.1 102 ", 13) == 0 && r.ending == CLOSED && invoices_of("filled-102") == 1,
		  "a status below 200: %s", r.raw);
	free_reply(&r);
	close(fd);
	free(text);
}

/*
 * test_delays
 *		Before creating, before answering; nobody else is held up.
 */
static void
test_delays(void)
{
	const char *body =
		"{\"CustomerName\":\"A\",\"InvoiceValue\":1,\"NotificationOption\":\"LNK\",\"CustomerReference\":\"slow\"}";
	size_t len;
	char *text = compose("POST", "/v2/SendPayment", "", body, strlen(body), &len);
	int fds[40];
	double start;
	Reply r;

	arm("{\"delay_ms\":300,\"reference\":\"slow\"}");
	start = seconds_now();
	r = send_reference("slow");
	CHECK(r.status == 200 && seconds_now() - start >= 0.299, "a delayed answer");
	free_reply(&r);

	arm("{\"delay_ms\":-1,\"times\":-1,\"reference\":\"slow\"}");
	for (int i = 0; i < 40; i++)
	{
		fds[i] = dial();
		send_all(fds[i], text, len);
	}
	r = send_reference("quick");
	CHECK(r.status == 200, "another is answered meanwhile");
	free_reply(&r);
	r = control("GET", "wait?reference=slow&count=41", "");
	free_reply(&r);
	start = seconds_now();
	while (invoices_of("slow") < 41 && seconds_now() - start < 60)
		usleep(5000);
	r = control("GET", "ledger/count?reference=slow", "");
	CHECK(number_at(r.json, "answered") == 1, "created before the delay, which has no end: %s", r.body);
	free_reply(&r);
	disarm();
	for (int i = 0; i < 40; i++)
	{
		r = read_reply(fds[i], 5000);
		if (r.status != 200)
			CHECK(false, "answer %d, once the rules are deleted", i);
		free_reply(&r);
		close(fds[i]);
	}

	arm("{\"delay_before_ms\":-1,\"reference\":\"slow\"}");
	fds[0] = dial();
	send_all(fds[0], text, len);
	r = control("GET", "wait?reference=slow&count=42", "");
	free_reply(&r);
	CHECK(invoices_of("slow") == 41, "not yet created");
	close(fds[0]);
	disarm();
	start = seconds_now();
	while (invoices_of("slow") < 42 && seconds_now() - start < 60)
		usleep(5000);
	CHECK(invoices_of("slow") == 42, "created late, though the client is gone");
	free(text);
}

/*
 * test_never
 *		Accepted and never answered.
 */
static void
test_never(void)
{
	const char *body =
		"{\"CustomerName\":\"A\",\"InvoiceValue\":1,\"NotificationOption\":\"LNK\",\"CustomerReference\":\"never\"}";
	size_t len;
	char *text = compose("POST", "/v2/SendPayment", "", body, strlen(body), &len);
	int fd;
	Reply r;

	arm("[{\"never\":true},{\"never\":true,\"create\":true}]");
	for (int i = 0; i < 2; i++)
	{
		fd = dial();
		send_all(fd, text, len);
		r = read_to_end(fd, 150);
		CHECK(r.len == 0 && r.ending == STILL_OPEN, "silence");
		free_reply(&r);
		close(fd);
		CHECK(invoices_of("never") == i, "%d invoices", i);
	}
	CHECK(count_of("reference=never") == 2, "but received");
	r = control("GET", "ledger/count?reference=never", "");
	CHECK(number_at(r.json, "answered") == 0, "and not answered");
	free_reply(&r);
	usleep(20000);
	r = control("GET", "ledger?reference=never", "");
	CHECK(strcmp(text_at(r.json, "entries.0.end"), "client left") == 0 &&
			  number_at(r.json, "entries.0.answer_sent_bytes") == 0,
		  "how it ended: %s", r.body);
	CHECK(number_at(r.json, "entries.1.invoice_id") > 0, "what it made");
	free_reply(&r);
	free(text);
}

/*
 * test_throttle
 *		So many a second, then 429.
 */
static void
test_throttle(void)
{
	int ok = 0;
	int limited = 0;
	Reply r;

	arm("{\"throttle\":5}");
	for (int i = 0; i < 15; i++)
	{
		r = send_reference("throttle");
		ok += r.status == 200;
		limited += r.status == 429 && strstr(r.raw, "Retry-After: 1\r\n") != NULL;
		free_reply(&r);
	}
	CHECK(ok >= 5 && ok <= 7 && ok + limited == 15, "%d answered, %d refused", ok, limited);
	CHECK(invoices_of("throttle") == ok, "refused ones make nothing");
	disarm();
}

/*
 * test_names
 *		A request picks its fault by name.
 */
static void
test_names(void)
{
	Reply r;

	arm("[{\"name\":\"boom\",\"status\":500},{\"name\":\"made\",\"status\":502,\"create\":true}]");
	r = send_reference("plain");
	CHECK(r.status == 200, "nobody else");
	free_reply(&r);
	for (int i = 0; i < 3; i++)
	{
		r = send_reference("o-1 [fault:boom] x");
		CHECK(r.status == 500, "by reference, for ever");
		free_reply(&r);
	}
	r = send_reference("[fault:made]");
	CHECK(r.status == 502, "another name");
	free_reply(&r);
	r = send_reference("[fault:unknown]");
	CHECK(r.status == 200, "an unknown name is no fault");
	free_reply(&r);
	r = api("SendPayment",
			"{\"CustomerName\":\"Ali [fault:boom]\",\"InvoiceValue\":1,\"NotificationOption\":\"LNK\"}");
	CHECK(r.status == 500, "by the customer's name");
	free_reply(&r);
	r = api("GetPaymentStatus", "{\"Key\":\"[fault:made]\",\"KeyType\":\"CustomerReference\"}");
	CHECK(r.status == 200, "the look-up is unharmed: %s", r.body);
	free_reply(&r);
	r = control("GET", "ledger?reference=o-1%20%5Bfault:boom%5D+x&limit=1", "");
	CHECK(strcmp(text_at(r.json, "entries.0.fault"), "boom") == 0, "the ledger names it: %s", r.body);
	free_reply(&r);
	disarm();
}

/*
 * test_idle_close
 *		A kept-alive connection that the server closes later.
 */
static void
test_idle_close(void)
{
	const char *body = "{\"CustomerName\":\"A\",\"InvoiceValue\":1,\"NotificationOption\":\"LNK\"}";
	size_t len;
	char *text = compose("POST", "/v2/SendPayment", "", body, strlen(body), &len);
	int fd = dial();
	double start = seconds_now();
	Reply r;

	arm("{\"close_after_ms\":150}");
	send_all(fd, text, len);
	r = read_reply(fd, 5000);
	CHECK(r.status == 200 && r.ending == STILL_OPEN && strstr(r.raw, "Connection: close") == NULL &&
			  seconds_now() - start < 0.12,
		  "answered as usual");
	free_reply(&r);
	r = read_to_end(fd, 5000);
	CHECK(r.ending == CLOSED && seconds_now() - start >= 0.149, "then closed");
	free_reply(&r);
	close(fd);
	free(text);
}

/*
 * test_faults
 *		All of it.
 */
void
test_faults(void)
{
	reset_server();
	test_matching();
	reset_server();
	test_shapes();
	test_bodies();
	test_create();
	test_fill();
	test_delays();
	test_never();
	test_throttle();
	test_names();
	test_idle_close();
	reset_server();
}
