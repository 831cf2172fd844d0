/*
 * test_idempotency.c
 *	  Idempotency-Key: the second call with a key gets the first one's answer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hooks.h"

#define KEYED "Idempotency-Key: "

/*
 * test_replay
 *		The second call with a key gets the first one's answer, word for word,
 *		whatever it says; in two countries.
 */
static void
test_replay(void)
{
	const char *one = "{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\",\"Amount\":1}";
	const char *two = "{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\",\"Amount\":2}";
	double id;
	char *first;
	Reply r;

	reset_server();
	id = paid_invoice("replay", "");
	r = ask("MakeRefund", KEYED "a\r\n", one, id);
	CHECK(r.status == 200, "%s", r.body);
	first = strdup(r.body);
	free_reply(&r);
	r = ask("MakeRefund", "idempotency-key: a\r\n", two, id);
	CHECK(r.status == 200 && strcmp(first, r.body) == 0, "another amount, the same answer: %s", r.body);
	free_reply(&r);
	r = ask("MakeRefund", KEYED "A\r\n", two, id);
	CHECK(r.status == 200 && strcmp(first, r.body) != 0, "another key: %s", r.body);
	free_reply(&r);
	CHECK(counted("reference=replay", "refunds_pending") == 2, "two refunds");
	CHECK(count_of("path=MakeRefund") == 3, "three requests");
	r = control("GET", "idempotency", "");
	CHECK(cJSON_GetArraySize(at(r.json, "keys")) == 2 && number_at(r.json, "keys.0.replays") == 1, "%s",
		  r.body);
	free_reply(&r);
	account("{\"idempotency\":false}");
	r = ask("MakeRefund", KEYED "a\r\n", one, id);
	CHECK(r.status == 200 && strcmp(first, r.body) != 0, "switched off: %s", r.body);
	free_reply(&r);
	free(first);
	r = ask("UpdatePaymentStatus", KEYED "b\r\n",
			"{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\",\"Operation\":\"x\"}", id);
	free_reply(&r);
	r = control("GET", "idempotency", "");
	CHECK(strstr(r.body, "\"b\"") == NULL, "not for other calls: %s", r.body);
	free_reply(&r);
}

/*
 * test_key_window
 *		250 minutes of MyFatoorah's clock, from the answer.
 */
static void
test_key_window(void)
{
	const char *one = "{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\",\"Amount\":1}";
	double id;
	Reply r;

	reset_server();
	id = paid_invoice("window", "");
	r = ask("MakeRefund", KEYED "w\r\n", one, id);
	free_reply(&r);
	r = control("POST", "clock", "{\"offset_seconds\":14998}");
	free_reply(&r);
	r = ask("MakeRefund", KEYED "w\r\n", one, id);
	free_reply(&r);
	CHECK(counted("reference=window", "refunds_pending") == 1, "within");
	r = control("POST", "clock", "{\"offset_seconds\":15000}");
	free_reply(&r);
	r = ask("MakeRefund", KEYED "w\r\n", one, id);
	free_reply(&r);
	CHECK(counted("reference=window", "refunds_pending") == 2, "past");
}

/*
 * test_failed_first_call
 *		What becomes of a key whose first call failed, each way it may be.
 */
static void
test_failed_first_call(void)
{
	const struct
	{
		const char *settings;
		bool made; /* the call did something, and then failed */
		int second; /* status of the second call */
		int refunds;
	} cases[] = {
		{"{\"idempotency_failed\":\"forget\"}", false, 200, 1},
		{"{\"idempotency_failed\":\"keep\"}", false, 500, 0},
		{"{\"idempotency_failed\":\"lose\"}", false, 200, 1},
		{"{\"idempotency_failed\":\"forget\"}", true, 200, 1},
		{"{\"idempotency_failed\":\"keep\"}", true, 200, 1},
		{"{\"idempotency_failed\":\"lose\"}", true, 200, 2},
	};
	const char *one = "{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\",\"Amount\":1}";
	const char *none = "{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\",\"Amount\":0}";
	double id;
	Reply r;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		reset_server();
		id = paid_invoice("failed", "");
		account(cases[i].settings);
		arm(cases[i].made ? "{\"path\":\"MakeRefund\",\"status\":500,\"create\":true}"
						  : "{\"path\":\"MakeRefund\",\"status\":500}");
		r = ask("MakeRefund", KEYED "f\r\n", one, id);
		CHECK(r.status == 500, "failed: %d", r.status);
		free_reply(&r);
		r = ask("MakeRefund", KEYED "f\r\n", one, id);
		CHECK(r.status == cases[i].second, "case %zu: %d", i, r.status);
		free_reply(&r);
		CHECK(counted("reference=failed", "refunds_pending") == cases[i].refunds, "case %zu: %d refunds", i,
			  cases[i].refunds);
	}
	for (int keep = 0; keep < 2; keep++)
	{
		reset_server();
		id = paid_invoice("refused", "");
		account(keep ? "{\"idempotency_failed\":\"keep\"}" : "{}");
		r = ask("MakeRefund", KEYED "f\r\n", none, id);
		CHECK(r.status == 400, "refused: %s", r.body);
		free_reply(&r);
		r = ask("MakeRefund", KEYED "f\r\n", one, id);
		CHECK(r.status == (keep ? 400 : 200), "a refusal is %skept: %s", keep ? "" : "not ", r.body);
		free_reply(&r);
	}
}

/*
 * test_calls_at_once
 *		Two calls with one key, the second before the first was answered.
 */
static void
test_calls_at_once(void)
{
	const struct
	{
		const char *settings;
		int second;
		int refunds;
	} cases[] = {{"{\"idempotency_concurrent\":\"replay\"}", 200, 1},
				 {"{\"idempotency_concurrent\":\"refuse\"}", 409, 1},
				 {"{\"idempotency_concurrent\":\"double\"}", 200, 2}};
	char body[128];
	size_t len;
	char *text;
	double id;
	Reply r;

	for (int i = 0; i < 6; i++)
	{
		int fd = dial();

		reset_server();
		id = paid_invoice("at once", "");
		account(cases[i / 2].settings);
		arm(i % 2 == 0 ? "{\"path\":\"MakeRefund\",\"delay_before_ms\":300}"
					   : "{\"path\":\"MakeRefund\",\"delay_ms\":300}");
		snprintf(body, sizeof(body), "{\"Key\":\"%.0f\",\"KeyType\":\"InvoiceId\",\"Amount\":1}", id);
		text = compose("POST", "/v2/MakeRefund", KEYED "c\r\n", body, strlen(body), &len);
		send_all(fd, text, len);
		free(text);
		r = control("GET", "wait?path=MakeRefund&count=1", "");
		free_reply(&r);
		r = call("POST", "/v2/MakeRefund", KEYED "c\r\n", body);
		CHECK(r.status == cases[i / 2].second, "case %d: %d", i, r.status);
		free_reply(&r);
		r = read_reply(fd, 10000);
		CHECK(r.status == 200, "case %d: the first is answered: %d", i, r.status);
		free_reply(&r);
		close(fd);
		CHECK(counted("", "refunds_pending") == cases[i / 2].refunds, "case %d: %d refunds", i,
			  cases[i / 2].refunds);
	}
}

/*
 * test_idempotency
 *		All of it.
 */
void
test_idempotency(void)
{
	receiver_start();
	test_replay();
	test_key_window();
	test_failed_first_call();
	test_calls_at_once();
	reset_server();
	receiver_stop();
}
