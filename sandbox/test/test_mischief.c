/*
 * test_mischief.c
 *	  Webhooks that get lost, doubled, late, out of order or forged; messages
 *	  nobody at MyFatoorah would send.
 */
#include <stdio.h>
#include <string.h>

#include "hooks.h"

/*
 * mischief
 *		Arm rules.
 */
static void
mischief(const char *rules)
{
	Reply r = control("POST", "webhooks/mischief", rules);

	CHECK(r.status == 200, "%s: %s", rules, r.body);
	free_reply(&r);
}

/*
 * pay_new
 *		A new invoice, paid.
 */
static double
pay_new(const char *reference)
{
	double id = new_invoice(reference, "");
	Reply r = act(id, "pay", "");

	CHECK(r.status == 200, "paid: %s", r.body);
	free_reply(&r);
	return id;
}

/*
 * test_drop
 *		Never sent: known to MyFatoorah's log, or to nobody.
 */
static void
test_drop(void)
{
	Reply r;

	fresh_start("v2", "");
	mischief("[{\"reference\":\"a\",\"drop\":\"failed\"},{\"reference\":\"b\",\"drop\":\"silent\"}]");
	pay_new("a");
	pay_new("b");
	pay_new("c");
	wait_finished(2);
	CHECK(receiver_count() == 1 &&
			  strcmp(text_at(receiver_hook(0)->json, "Data.Invoice.ExternalIdentifier"), "c") == 0,
		  "only one comes");
	r = api("GetWebhooks", "{\"Status\":\"Failed\"}");
	CHECK(number_at(r.json, "Data.Pagination.ItemsCount") == 1 &&
			  strcmp(text_at(r.json, "Data.Items.0.Data.Invoice.ExternalIdentifier"), "a") == 0,
		  "one is known as lost: %s", r.body);
	free_reply(&r);
	r = api("GetPaymentStatus", "{\"Key\":\"b\",\"KeyType\":\"CustomerReference\"}");
	CHECK(strcmp(text_at(r.json, "Data.InvoiceStatus"), "Paid") == 0, "all are paid");
	free_reply(&r);
}

/*
 * test_delay
 *		Late, while others pass; a reset forgets what waits.
 */
static void
test_delay(void)
{
	double start = seconds_now();

	fresh_start("v2", "");
	mischief("{\"delay_ms\":300}");
	pay_new("late");
	pay_new("early");
	CHECK(strcmp(text_at(next_hook(0)->json, "Data.Invoice.ExternalIdentifier"), "early") == 0, "overtaken");
	CHECK(strcmp(text_at(next_hook(1)->json, "Data.Invoice.ExternalIdentifier"), "late") == 0 &&
			  seconds_now() - start >= 0.3,
		  "late");
	mischief("{\"delay_ms\":60000}");
	pay_new("never");
	reset_server();
}

/*
 * test_order
 *		Held and sent backwards, one after another, even if one of them fails.
 */
static void
test_order(void)
{
	static const char *const names[] = {"1", "2", "3", "4", "5"};
	Reply r;

	fresh_start("v1", ",\"retry_delay_ms\":20000");
	receiver_plan("500");
	mischief("{\"reorder\":5}");
	for (int i = 0; i < 4; i++)
		pay_new(names[i]);
	r = control("GET", "webhooks/mischief", "");
	CHECK(number_at(r.json, "rules.0.held") == 4 && receiver_count() == 0, "held: %s", r.body);
	free_reply(&r);
	pay_new(names[4]);
	CHECK(receiver_wait(5, 5000), "all come");
	for (int i = 0; i < 5; i++)
		CHECK(strcmp(text_at(receiver_hook(i)->json, "Data.CustomerReference"), names[4 - i]) == 0,
			  "backwards: %s", receiver_hook(i)->body);
	pay_new("6");
	CHECK(receiver_wait(6, 5000), "the next is not held");

	/* What is held when the rules go is sent in order. */
	fresh_start("v1", "");
	mischief("{\"reorder\":5}");
	pay_new("1");
	pay_new("2");
	r = control("DELETE", "webhooks/mischief", "");
	free_reply(&r);
	CHECK(receiver_wait(2, 5000) &&
			  strcmp(text_at(receiver_hook(0)->json, "Data.CustomerReference"), "1") == 0,
		  "in order");
	mischief("{\"reorder\":3}");
	pay_new("3");
	reset_server();
}

/*
 * test_copies
 *		The same webhook several times.
 */
static void
test_copies(void)
{
	fresh_start("v2", "");
	mischief("{\"copies\":3}");
	pay_new("thrice");
	wait_finished(3);
	CHECK(receiver_count() == 3 && strcmp(receiver_hook(0)->body, receiver_hook(1)->body) == 0 &&
			  strcmp(receiver_hook(1)->body, receiver_hook(2)->body) == 0,
		  "byte for byte");
}

/*
 * test_forgery
 *		Each kind breaks what it should and nothing else.
 */
static void
test_forgery(void)
{
	static const struct
	{
		const char *rule;
		bool holds; /* the signature */
	} cases[] = {
		{"{\"forge\":\"signature\"}", false}, {"{\"forge\":\"signed\"}", false},
		{"{\"forge\":\"unsigned\"}", true},   {"{\"secret\":\"another\"}", false},
		{"{\"unsigned\":true}", false},
	};
	char text[1024];
	Reply r;

	for (int version = 1; version <= 2; version++)
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		{
			const Hook *h;

			fresh_start(version == 1 ? "v1" : "v2", "");
			mischief(cases[i].rule);
			pay_new("forged");
			h = next_hook(0);
			CHECK(h->json != NULL, "still JSON: %s", h->body);
			CHECK(signature_holds(h, SECRET) == cases[i].holds, "v%d %s: %s", version, cases[i].rule,
				  h->body);
			if (i == 3)
				CHECK(signature_holds(h, "another"), "with the other secret");
			if (i == 4)
				CHECK(strcmp(hook_header(h, "MyFatoorah-Signature"), "") == 0, "no signature");
			else
				CHECK(strlen(hook_header(h, "MyFatoorah-Signature")) == 44, "it looks like one");
			if (i == 1)
			{
				/* With the true id it would hold. */
				r = control("GET", "invoices?reference=forged", "");
				snprintf(text, sizeof(text), "%.0f", number_at(r.json, "invoices.0.id"));
				CHECK(strcmp(text_at(h->json, "Data.Invoice.Id"), text) != 0 &&
						  number_at(h->json, "Data.InvoiceId") != number_at(r.json, "invoices.0.id"),
					  "another id: %s", h->body);
				free_reply(&r);
			}
			if (i == 2 && version == 2)
				CHECK(strcmp(text_at(h->json, "Data.Amount.ValueInBaseCurrency"), "250.1") != 0,
					  "another amount: %s", h->body);
			if (i == 3)
			{
				r = control("GET", "webhooks/mischief", "");
				CHECK(strstr(r.body, "another") == NULL, "secrets are not shown: %s", r.body);
				free_reply(&r);
			}
			pay_new("honest");
			CHECK(signature_holds(next_hook(1), SECRET), "the next is honest");
		}
	fresh_start("v2", "");
	mischief("{\"forge\":\"unsigned\",\"member\":\"Event.Reference\"}");
	pay_new("forged");
	r = deliveries("");
	CHECK(strcmp(text_at(next_hook(0)->json, "Event.Reference"),
				 text_at(r.json, "deliveries.0.webhook_reference")) != 0 &&
			  signature_holds(receiver_hook(0), SECRET),
		  "a member of choice: %s", receiver_hook(0)->body);
	free_reply(&r);
}

/*
 * test_replay
 *		A stored delivery again, byte for byte.
 */
static void
test_replay(void)
{
	char body[128];
	Reply r;

	fresh_start("v2", "");
	pay_new("again");
	wait_finished(1);
	r = control("POST", "webhooks/replay", "{\"number\":1,\"times\":2}");
	CHECK(cJSON_GetArraySize(at(r.json, "numbers")) == 2, "two: %s", r.body);
	free_reply(&r);
	wait_finished(3);
	CHECK(strcmp(receiver_hook(0)->head, receiver_hook(2)->head) == 0 &&
			  strcmp(receiver_hook(0)->body, receiver_hook(2)->body) == 0,
		  "the same");
	r = deliveries("since=2");
	CHECK(number_at(r.json, "deliveries.0.replay_of") > 0, "the log knows: %s", r.body);
	snprintf(body, sizeof(body), "{\"webhook_reference\":\"%s\",\"url\":\"http://127.0.0.1:%d/else\"}",
			 text_at(r.json, "deliveries.0.webhook_reference"), receiver_port);
	free_reply(&r);
	r = control("POST", "webhooks/replay", body);
	free_reply(&r);
	CHECK(strncmp(next_hook(3)->head, "POST /else ", 11) == 0, "to another address: %s",
		  receiver_hook(3)->head);
	r = control("POST", "webhooks/replay", "{\"number\":99}");
	CHECK(r.status == 404, "no such delivery");
	free_reply(&r);
}

/*
 * test_raw
 *		Any bytes, any headers.
 */
static void
test_raw(void)
{
	const Hook *h;
	Reply r;

	fresh_start("v2", "");
	r = control("POST", "webhooks/send",
				"{\"body_base64\":\"AP8=\",\"headers\":{\"Content-Type\":\"text/x\",\"X-Empty\":\"\","
				"\"MyFatoorah-Signature\":\"nonsense\"}}");
	CHECK(r.status == 200 && number_at(r.json, "number") == 1, "%s", r.body);
	free_reply(&r);
	h = next_hook(0);
	CHECK(h->body_len == 2 && memcmp(h->body, "\0\xFF", 2) == 0, "its bytes");
	CHECK(strcmp(hook_header(h, "Content-Type"), "text/x") == 0 &&
			  strcmp(hook_header(h, "MyFatoorah-Signature"), "nonsense") == 0 &&
			  strstr(h->head, "X-Empty:") != NULL && strstr(h->head, "Webhook-Version") == NULL,
		  "its headers: %s", h->head);
	r = control("POST", "webhooks/send", "{\"body\":\"\"}");
	free_reply(&r);
	CHECK(next_hook(1)->body_len == 0, "nothing at all");
	r = control("POST", "webhooks/send", "{\"url\":\"http://192.0.2.1/\",\"body\":\"\"}");
	CHECK(r.status == 400, "not elsewhere");
	free_reply(&r);
	wait_finished(2);
	receiver_plan("500");
	r = control("POST", "webhooks/send", "{\"body\":\"x\"}");
	free_reply(&r);
	wait_finished(3);
	CHECK(receiver_count() == 3, "tried once");
	r = deliveries("since=2");
	CHECK(strcmp(text_at(r.json, "deliveries.0.status"), "Failed") == 0, "%s", r.body);
	free_reply(&r);
}

/*
 * test_matching
 *		By event, invoice, reference, status; times and skip.
 */
static void
test_matching(void)
{
	double id;
	char rule[128];
	Reply r;

	fresh_start("v2", "");
	mischief("{\"code\":2,\"drop\":\"failed\"}");
	id = pay_new("m-1");
	r = act(id, "refund", "{\"amount\":\"1\"}");
	free_reply(&r);
	wait_finished(2);
	r = deliveries("status=Failed");
	CHECK(cJSON_GetArraySize(at(r.json, "deliveries")) == 1 && number_at(r.json, "deliveries.0.code") == 2,
		  "the refund: %s", r.body);
	free_reply(&r);

	fresh_start("v2", "");
	id = new_invoice("m-2", "");
	snprintf(rule, sizeof(rule),
			 "{\"invoice\":%.0f,\"status\":\"failed\",\"skip\":1,\"times\":-1,\"drop\":\"failed\"}", id);
	mischief(rule);
	for (int i = 0; i < 3; i++)
	{
		r = act(id, "fail", "");
		free_reply(&r);
	}
	r = act(id, "pay", "");
	free_reply(&r);
	pay_new("m-3");
	wait_finished(5);
	r = deliveries("status=Failed");
	CHECK(cJSON_GetArraySize(at(r.json, "deliveries")) == 2 &&
			  number_at(r.json, "deliveries.0.number") == 2 && number_at(r.json, "deliveries.1.number") == 3,
		  "the second and the third failure: %s", r.body);
	free_reply(&r);
	r = control("GET", "webhooks/mischief", "");
	CHECK(number_at(r.json, "rules.0.hits") == 2 && number_at(r.json, "rules.0.skip_left") == 0,
		  "counted: %s", r.body);
	free_reply(&r);

	fresh_start("v2", "");
	mischief("{\"reference_prefix\":\"lost-\",\"times\":2,\"drop\":\"failed\"}");
	pay_new("lost-1");
	pay_new("found");
	pay_new("lost-2");
	pay_new("lost-3");
	wait_finished(4);
	r = deliveries("status=Failed");
	CHECK(cJSON_GetArraySize(at(r.json, "deliveries")) == 2, "two of them: %s", r.body);
	free_reply(&r);
}

/*
 * test_refusals
 *		Mistakes are told.
 */
static void
test_refusals(void)
{
	static const char *const bad[] = {"{\"drop\":\"never\"}",
									  "{\"copies\":0}",
									  "{\"reorder\":1}",
									  "{\"forge\":true}",
									  "{\"code\":8}",
									  "{\"drpo\":\"failed\"}",
									  "[{\"copies\":2},{\"x\":1}]",
									  "17",
									  "{\"unsigned\":1}",
									  "{\"reference\":1}"};
	Reply r;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		r = control("POST", "webhooks/mischief", bad[i]);
		CHECK(r.status == 400 && text_at(r.json, "error")[0] != '\0', "%s: %s", bad[i], r.body);
		free_reply(&r);
	}
	r = control("GET", "webhooks/mischief", "");
	CHECK(cJSON_GetArraySize(at(r.json, "rules")) == 0, "none was armed: %s", r.body);
	free_reply(&r);
	r = control("GET", "webhooks/send", "");
	CHECK(r.status == 405, "a GET sends nothing");
	free_reply(&r);
	r = control("GET", "webhooks/wait?phase=x", "");
	CHECK(r.status == 400, "no such phase");
	free_reply(&r);
	r = control("GET", "webhooks/log?status=x", "");
	CHECK(r.status == 400, "no such status");
	free_reply(&r);
}

/*
 * test_mischief
 *		All of it.
 */
void
test_mischief(void)
{
	receiver_start();
	test_drop();
	test_delay();
	test_order();
	test_copies();
	test_forgery();
	test_replay();
	test_raw();
	test_matching();
	reset_server();
	test_refusals();
	receiver_stop();
}
