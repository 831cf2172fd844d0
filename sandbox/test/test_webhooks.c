/*
 * test_webhooks.c
 *	  Webhooks as MyFatoorah sends them: messages, signatures, retries.
 */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../signature.h"
#include "hooks.h"

/*
 * test_vectors
 *		Every published message gives the text and the signature beside it.
 */
static void
test_vectors(void)
{
	glob_t found;

	CHECK(glob("fixtures/webhook-*.signature.json", 0, NULL, &found) == 0 && found.gl_pathc >= 14, "vectors");
	for (size_t i = 0; i < found.gl_pathc; i++)
	{
		char path[256];
		size_t len;
		char *vector_text = read_text(found.gl_pathv[i], &len);
		cJSON *vector = cJSON_Parse(vector_text);
		size_t body_len;
		char *body;
		JsonDoc doc;
		Buf text = {0};
		Buf base64 = {0};
		int version = strcmp(text_at(vector, "webhook_version_header"), "v2") == 0 ? 2 : 1;
		cJSON *json;
		int code;

		snprintf(path, sizeof(path), "%.*sbody.json",
				 (int) (strlen(found.gl_pathv[i]) - strlen("signature.json")), found.gl_pathv[i]);
		body = read_text(path, &body_len);
		json = cJSON_Parse(body);
		code = (int) number_at(json, version == 1 ? "EventType" : "Event.Code");
		CHECK(json_parse(&doc, (Str){body, body_len}), "%s is JSON", path);
		CHECK(signature_text(doc.root, version, code, &text) &&
				  strcmp(text.data, text_at(vector, "signed_string")) == 0,
			  "%s: %s", path, text.data);
		signature_of((Str){text.data, text.len}, str_of(text_at(vector, "secret")), &base64);
		CHECK(strcmp(base64.data, text_at(vector, "signature")) == 0, "%s: %s", path, base64.data);
		buf_free(&text);
		buf_free(&base64);
		json_free(&doc);
		cJSON_Delete(json);
		cJSON_Delete(vector);
		free(body);
		free(vector_text);
	}
	globfree(&found);
}

/*
 * check_settings
 *		Settings are taken or refused.
 */
static void
check_settings(const char *settings, int status)
{
	Reply r = control("POST", "webhooks", settings);

	CHECK(r.status == status, "%s: %s", settings, r.body);
	free_reply(&r);
}

/*
 * test_settings
 *		Off by default; nothing but this machine; mistakes are told.
 */
static void
test_settings(void)
{
	Reply r;

	reset_server();
	r = control("GET", "webhooks", "");
	CHECK(cJSON_IsFalse(at(r.json, "enabled")) && cJSON_IsNull(at(r.json, "url")), "off: %s", r.body);
	free_reply(&r);
	r = act(new_invoice("off", ""), "pay", "");
	free_reply(&r);
	r = deliveries("");
	CHECK(cJSON_GetArraySize(at(r.json, "deliveries")) == 0, "nothing is sent");
	free_reply(&r);
	check_settings("{\"url\":\"http://example.com/\"}", 400);
	check_settings("{\"url\":\"https://127.0.0.1/\"}", 400);
	check_settings("{\"url\":\"http://127.0.0.1@example.com/\"}", 400);
	check_settings("{\"url\":\"http://127.example.com/\"}", 400);
	check_settings("{\"url\":\"http://localhost.example.com/\"}", 400);
	check_settings("{\"url\":\"http://10.0.0.1/\"}", 400);
	check_settings("{\"version\":\"v3\"}", 400);
	check_settings("{\"retries\":-2}", 400);
	check_settings("{\"connections\":0}", 400);
	check_settings("{\"nonsense\":1}", 400);
	check_settings("[]", 400);
	check_settings("{\"url\":\"http://localhost:1/x\"}", 200);
	check_settings("{\"url\":\"http://[::1]:1/x\"}", 200);
	check_settings("{\"url\":\"http://127.0.0.1:1\",\"version\":\"v1\"}", 200);
	r = control("GET", "webhooks", "");
	CHECK(cJSON_IsTrue(at(r.json, "enabled")) && number_at(r.json, "retries") == 3 &&
			  number_at(r.json, "retry_delay_ms") == 10000 && number_at(r.json, "timeout_ms") == 100000,
		  "version 1 tries four times, ten seconds apart: %s", r.body);
	free_reply(&r);
	check_settings("{\"version\":\"v2\"}", 200);
	r = control("GET", "webhooks", "");
	CHECK(number_at(r.json, "retries") == 5 && number_at(r.json, "retry_delay_ms") == 180000,
		  "version 2 tries again five times, three minutes apart: %s", r.body);
	free_reply(&r);
}

/*
 * test_payment_v1
 *		A payment in version 1, member for member.
 */
static void
test_payment_v1(void)
{
	double id;
	const Hook *h;
	Reply r;

	fresh_start("v1", "");
	id = new_invoice("rent-17", ",\"CustomerEmail\":\"a@example.com\",\"CustomerMobile\":\"12345678\"");
	r = act(id, "pay", "{\"gateway\":\"KNET\"}");
	free_reply(&r);
	h = next_hook(0);
	message_like(h->json, "webhook-v1.transaction.success.body.json");
	CHECK(strncmp(h->head, "POST /hook HTTP/1.1\r\n", 21) == 0, "a POST: %s", h->head);
	CHECK(strcmp(hook_header(h, "Content-Type"), "application/json") == 0, "JSON");
	CHECK(strcmp(hook_header(h, "MyFatoorah-Webhook-Version"), "v1") == 0, "its version");
	CHECK(signature_holds(h, SECRET) && !signature_holds(h, "other"), "signed: %s", h->body);
	CHECK(number_at(h->json, "EventType") == 1 && number_at(h->json, "Data.InvoiceId") == id, "about it");
	CHECK(strcmp(text_at(h->json, "CountryIsoCode"), "KWT") == 0, "the country");
	CHECK(strlen(text_at(h->json, "DateTime")) == 14 &&
			  strncmp(text_at(h->json, "DateTime") + 4, "20", 2) == 0,
		  "day, month, year, time: %s", text_at(h->json, "DateTime"));
	CHECK(strcmp(text_at(h->json, "Data.CustomerReference"), "rent-17") == 0, "the reference");
	CHECK(strcmp(text_at(h->json, "Data.TransactionStatus"), "SUCCESS") == 0, "SUCCESS");
	CHECK(strcmp(text_at(h->json, "Data.InvoiceValueInBaseCurrency"), "250.1") == 0, "no trailing zeros");
	CHECK(strcmp(text_at(h->json, "Data.BaseCurrency"), "KWD") == 0, "an ISO code");
	CHECK(strcmp(text_at(h->json, "Data.CustomerMobile"), "+96512345678") == 0, "nothing masked");
	CHECK(cJSON_IsNull(at(h->json, "Data.UserDefinedField")), "null without one");
	r = control("GET", "webhooks/log?bodies=0", "");
	CHECK(number_at(r.json, "deliveries.0.attempts.0.status") == 200 &&
			  number_at(r.json, "deliveries.0.attempts.0.start_us") >=
				  number_at(r.json, "deliveries.0.queued_us") &&
			  number_at(r.json, "deliveries.0.attempts.0.end_us") >
				  number_at(r.json, "deliveries.0.attempts.0.start_us") &&
			  strcmp(text_at(r.json, "deliveries.0.attempts.0.response"), "took") == 0,
		  "the log: %s", r.body);
	CHECK(at(r.json, "deliveries.0.body") == NULL, "bodies can be left out");
	free_reply(&r);
}

/*
 * test_payment_v2
 *		A payment in version 2, member for member.
 */
static void
test_payment_v2(void)
{
	double id;
	const Hook *h;
	const char *date;
	char expected[32];
	Reply r;

	fresh_start("v2", "");
	id = new_invoice("rent-18", ",\"CustomerEmail\":\"abc@example.com\",\"CustomerMobile\":\"12345678\","
								"\"UserDefinedField\":\"u\",\"Suppliers\":[{\"SupplierCode\":212,"
								"\"InvoiceShare\":250.1,\"ProposedShare\":null}]");
	r = act(id, "pay", "{\"gateway\":\"CARD\"}");
	free_reply(&r);
	h = next_hook(0);
	message_like(h->json, "webhook-v2.payment-status.paid.body.json");
	CHECK(strcmp(hook_header(h, "MyFatoorah-Webhook-Version"), "v2") == 0, "its version");
	CHECK(signature_holds(h, SECRET), "signed: %s", h->body);
	snprintf(expected, sizeof(expected), "%.0f", id);
	CHECK(strcmp(text_at(h->json, "Data.Invoice.Id"), expected) == 0, "the id is a text");
	CHECK(strcmp(text_at(h->json, "Data.Invoice.Status"), "PAID") == 0, "PAID");
	CHECK(strcmp(text_at(h->json, "Data.Invoice.ExternalIdentifier"), "rent-18") == 0, "the reference");
	CHECK(strcmp(text_at(h->json, "Data.Invoice.UserDefinedField"), "u") == 0, "the field");
	CHECK(strcmp(text_at(h->json, "Data.Customer.Name"), "A**** ***") == 0 &&
			  strcmp(text_at(h->json, "Data.Customer.Mobile"), "+965******78") == 0 &&
			  strcmp(text_at(h->json, "Data.Customer.Email"), "a**@example.com") == 0,
		  "masked: %s", h->body);
	CHECK(strcmp(text_at(h->json, "Data.Amount.ValueInBaseCurrency"), "250.1") == 0, "no trailing zeros");
	CHECK(strcmp(text_at(h->json, "Data.Suppliers.0.InvoiceShare"), "250.1") == 0 &&
			  strcmp(text_at(h->json, "Data.Suppliers.0.ProposedShare"), "") == 0,
		  "suppliers");
	date = text_at(h->json, "Event.CreationDate");
	CHECK(strlen(date) == 28 && date[10] == 'T' && date[19] == '.' && date[27] == 'Z', "a date: %s", date);
	CHECK(strncmp(text_at(h->json, "Event.Reference"), "WH-", 3) == 0, "its reference");
	r = api("GetPaymentStatus", "{\"Key\":\"rent-18\",\"KeyType\":\"CustomerReference\"}");
	CHECK(strcmp(text_at(r.json, "Data.InvoiceTransactions.0.PaymentId"),
				 text_at(h->json, "Data.Transaction.PaymentId")) == 0,
		  "and GetPaymentStatus agrees");
	free_reply(&r);
}

/*
 * test_events
 *		Whatever happens to an invoice is told, and nothing else.
 */
static void
test_events(void)
{
	static const struct
	{
		const char *action;
		const char *body;
		const char *status;
	} steps[] = {
		{"fail", "{\"error_code\":\"MF004\"}", "FAILED"},
		{"leave", "", NULL},
		{"abandon", "", "CANCELED"},
		{"authorize", "", "AUTHORIZE"},
		{"capture", "{\"amount\":\"2.000\"}", "SUCCESS"},
		{"release", "", NULL},
	};
	char payments[6][64];
	int n = 0;
	double id;
	Reply r;

	for (int version = 1; version <= 2; version++)
	{
		fresh_start(version == 1 ? "v1" : "v2", ",\"connections\":1");
		id = new_invoice("steps", "");
		n = 0;
		for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		{
			const Hook *h;
			const char *text;

			r = act(id, steps[i].action, steps[i].body);
			free_reply(&r);
			if (steps[i].status == NULL)
				continue;
			h = next_hook(n);
			text = text_at(h->json, version == 1 ? "Data.TransactionStatus" : "Data.Transaction.Status");
			CHECK(strcmp(text, steps[i].status) == 0, "%s is %s", steps[i].action, text);
			CHECK(signature_holds(h, SECRET), "signed");
			snprintf(payments[n], sizeof(payments[n]), "%s",
					 text_at(h->json, version == 1 ? "Data.PaymentId" : "Data.Transaction.PaymentId"));
			for (int j = 0; j < n; j++)
				CHECK(strcmp(payments[j], payments[n]) != 0, "every try has its own PaymentId");
			n++;
			if (version == 2)
				CHECK(strcmp(text_at(h->json, "Data.Invoice.Status"), i < 4 ? "PENDING" : "PAID") == 0,
					  "and the invoice's status");
			if (version == 2 && i == 0)
				CHECK(strcmp(text_at(h->json, "Data.Transaction.Error.Code"), "MF004") == 0,
					  "with the error");
			if (i == 4)
				CHECK(strcmp(text_at(h->json, version == 1 ? "Data.InvoiceValueInBaseCurrency"
														   : "Data.Amount.ValueInBaseCurrency"),
							 "2") == 0,
					  "what was captured");
		}
		wait_finished(n);
		CHECK(receiver_count() == n, "no more than that");
	}
	fresh_start("v2", "");
	id = new_invoice("released", "");
	r = act(id, "authorize", "");
	free_reply(&r);
	r = act(id, "release", "");
	free_reply(&r);
	wait_finished(2);
	CHECK(strcmp(text_at(receiver_hook(1)->json, "Data.Transaction.Error.Message"), "Transaction Released") ==
			  0,
		  "released: %s", receiver_hook(1)->body);
}

/*
 * test_other_events
 *		Refunds, disputes and what the stand-in does not keep, as published.
 */
static void
test_other_events(void)
{
	static const char *const fixtures[2][8] = {
		{NULL, NULL, "webhook-v1.refund.refunded.body.json", "webhook-v1.deposit.vendor.body.json",
		 "webhook-v1.supplier.rejected.body.json", "webhook-v1.recurring.inprogress.body.json",
		 "webhook-v1.dispute.pending.body.json", "webhook-v1.supplier-update.approved.body.json"},
		{NULL, NULL, "webhook-v2.refund.refunded.body.json",
		 "webhook-v2.balance-transferred.vendor.body.json", "webhook-v2.supplier.approved.body.json",
		 "webhook-v2.recurring.active.body.json", NULL, "webhook-v2.supplier-update.approved.body.json"},
	};
	Reply r;

	for (int version = 1; version <= 2; version++)
	{
		double id;
		int n = 0;

		fresh_start(version == 1 ? "v1" : "v2", ",\"connections\":1");
		id = new_invoice("others", "");
		r = act(id, "refund", "");
		CHECK(r.status == 409, "nothing to refund yet");
		free_reply(&r);
		r = act(id, "dispute", "");
		CHECK(r.status == 409, "nor to dispute");
		free_reply(&r);
		r = act(id, "pay", "");
		free_reply(&r);
		n++;
		for (int code = 2; code <= 7; code++)
		{
			const Hook *h;
			char event[128];

			snprintf(event, sizeof(event), "{\"code\":%d,\"invoice\":%.0f}", code, id);
			r = code == 2   ? act(id, "refund", "{\"amount\":\"1.000\"}")
				: code == 6 ? act(id, "dispute", "{\"status\":\"LOST\"}")
							: control("POST", "webhooks/event", event);
			CHECK(r.status == 200, "event %d: %s", code, r.body);
			free_reply(&r);
			h = next_hook(n++);
			CHECK(number_at(h->json, version == 1 ? "EventType" : "Event.Code") == code, "event %d: %s", code,
				  h->body);
			if (fixtures[version - 1][code] != NULL)
				message_like(h->json, fixtures[version - 1][code]);
			CHECK(signature_holds(h, SECRET), "event %d of version %d is signed", code, version);
		}
		r = act(id, "dispute", "{\"id\":77,\"status\":\"RESOLVED\"}");
		CHECK(r.status == 200, "news of a dispute: %s", r.body);
		free_reply(&r);
		CHECK(number_at(next_hook(n)->json, version == 1 ? "Data.DisputeTransactionId"
														 : "Data.Dispute.DisputeTransactionId") == 77,
			  "under its number: %s", receiver_hook(n)->body);
		r = act(id, "dispute", "{\"payment_id\":\"1\"}");
		CHECK(r.status == 409, "no such payment");
		free_reply(&r);
	}
	CHECK(strcmp(text_at(receiver_hook(1)->json, "Data.ReferencedInvoice.RemainingValueInBaseCurrency"),
				 "249.1") == 0,
		  "what is left: %s", receiver_hook(1)->body);
	CHECK(strcmp(text_at(receiver_hook(5)->json, "Data.Dispute.Status"), "LOST") == 0 &&
			  number_at(receiver_hook(5)->json, "Data.Dispute.DisputeTransactionId") > 0,
		  "a dispute: %s", receiver_hook(5)->body);
	r = control("POST", "webhooks/event", "{\"code\":1}");
	CHECK(r.status == 400, "payments come of paying");
	free_reply(&r);
	r = control("POST", "webhooks/event", "{\"code\":5}");
	CHECK(r.status == 400, "a recurring one needs an invoice");
	free_reply(&r);
}

/*
 * test_own_address
 *		An invoice's own address wins; one elsewhere is never connected to.
 */
static void
test_own_address(void)
{
	char more[128];
	Reply r;

	fresh_start("v2", "");
	snprintf(more, sizeof(more), ",\"WebhookUrl\":\"http://127.0.0.1:%d/own?x=1\"", receiver_port);
	r = act(new_invoice("own", more), "pay", "");
	free_reply(&r);
	CHECK(strncmp(next_hook(0)->head, "POST /own?x=1 HTTP/1.1\r\n", 24) == 0, "its own address: %s",
		  receiver_hook(0)->head);
	CHECK(signature_holds(receiver_hook(0), SECRET), "the same secret");
	r = act(new_invoice("away", ",\"WebhookUrl\":\"http://192.0.2.1/hook\""), "pay", "");
	free_reply(&r);
	wait_finished(2);
	r = deliveries("reference=away");
	CHECK(strcmp(text_at(r.json, "deliveries.0.status"), "Failed") == 0 &&
			  strstr(text_at(r.json, "deliveries.0.attempts.0.message"), "not sent") != NULL,
		  "not sent: %s", r.body);
	free_reply(&r);
}

/*
 * test_retries
 *		Anything but 200 is tried again, so many times; then it has failed.
 */
static void
test_retries(void)
{
	static const struct
	{
		const char *version;
		const char *more;
		const char *plan;
		const char *status;
		int attempts;
	} cases[] = {
		{"v1", ",\"retry_delay_ms\":1", "500 500 500 500", "Failed", 4},
		{"v2", ",\"retry_delay_ms\":1", "500 500 500 500 500 500", "Failed", 6},
		{"v1", ",\"retry_delay_ms\":1", "404 200", "Succeeded", 2},
		{"v2", ",\"retry_delay_ms\":1", "201 204 302 200", "Succeeded", 4},
		{"v2", ",\"retry_delay_ms\":1,\"timeout_ms\":100", "0 200", "Succeeded", 2},
		{"v2", ",\"retries\":0", "500", "Failed", 1},
	};
	Reply r;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		fresh_start(cases[i].version, cases[i].more);
		receiver_plan(cases[i].plan);
		r = act(new_invoice("again", ""), "pay", "");
		free_reply(&r);
		wait_finished(1);
		r = deliveries("bodies=0");
		CHECK(strcmp(text_at(r.json, "deliveries.0.status"), cases[i].status) == 0 &&
				  cJSON_GetArraySize(at(r.json, "deliveries.0.attempts")) == cases[i].attempts &&
				  receiver_count() == cases[i].attempts,
			  "%s: %s", cases[i].plan, r.body);
		if (i == 2)
			CHECK(number_at(r.json, "deliveries.0.attempts.0.status") == 404 &&
					  strcmp(text_at(r.json, "deliveries.0.attempts.0.message"), "Not Found") == 0,
				  "what came back: %s", r.body);
		free_reply(&r);
		for (int j = 1; j < receiver_count(); j++)
			CHECK(strcmp(receiver_hook(j)->body, receiver_hook(0)->body) == 0, "the same bytes again");
	}
	/* Nobody listens: tried again, and the API does not wait for it. */
	fresh_start("v1", ",\"retry_delay_ms\":50,\"url\":\"http://127.0.0.1:1/\"");
	r = act(new_invoice("nobody", ""), "pay", "");
	free_reply(&r);
	r = control("GET", "webhooks/wait?phase=attempted&count=2&timeout_ms=5000", "");
	CHECK(cJSON_IsTrue(at(r.json, "reached")), "two attempts");
	free_reply(&r);
	wait_finished(1);
	r = deliveries("status=Failed");
	CHECK(number_at(r.json, "deliveries.0.attempts.3.status") == 0 &&
			  text_at(r.json, "deliveries.0.attempts.3.message")[0] != '\0',
		  "refused: %s", r.body);
	free_reply(&r);
	/* A receiver that is silent holds up neither the API nor other deliveries, nor a reset. */
	fresh_start("v2", "");
	receiver_plan("0 0 0");
	for (int i = 0; i < 5; i++)
	{
		r = act(new_invoice("silent", ""), "pay", "");
		CHECK(r.status == 200, "paid");
		free_reply(&r);
	}
	CHECK(receiver_wait(5, 5000), "all five came");
	r = control("GET", "webhooks/wait?count=2&timeout_ms=5000", "");
	CHECK(cJSON_IsTrue(at(r.json, "reached")), "two are through");
	free_reply(&r);
	reset_server();
	r = control("GET", "health", "");
	CHECK(number_at(r.json, "webhooks.held") == 0, "forgotten while under way");
	free_reply(&r);
}

/*
 * test_load
 *		Thousands at once, over kept connections; how fast is only told.
 */
static void
test_load(void)
{
	const int n = 3000;
	double start;
	int connections = 0;
	Reply r;

	fresh_start("v2", "");
	for (int i = 0; i < n; i++)
		new_invoice("load", "");
	start = seconds_now();
	r = control("POST", "pay-many", "{\"count\":3000}");
	free_reply(&r);
	wait_finished(n);
	printf("%d webhooks in %.2f s, %.0f a second\n", n, seconds_now() - start, n / (seconds_now() - start));
	CHECK(receiver_count() == n, "each once");
	for (int i = 0; i < n; i++)
		if (receiver_hook(i)->connection > connections)
			connections = receiver_hook(i)->connection;
	for (int i = 0; i < n && receiver_hook(i)->connection < connections; i++)
		if (receiver_hook(i)->connection < connections - 64)
			connections = 0;
	CHECK(connections > 0, "few connections");
	r = control("GET", "webhooks/log?limit=1&bodies=0&status=Succeeded&since=2999", "");
	CHECK(number_at(r.json, "deliveries.0.number") == 3000, "the last of them: %s", r.body);
	free_reply(&r);
}

/*
 * test_log_limit
 *		Options of the command line, and a log that forgets the oldest.
 */
static void
test_log_limit(void)
{
	char url[64];
	const char *const extra[] = {"--webhook-url",
								 url,
								 "--webhook-version",
								 "v1",
								 "--webhook-secret",
								 SECRET,
								 "--webhook-limit",
								 "3",
								 NULL};
	int outer = port;
	int pid;
	Reply r;

	receiver_clear();
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/line", receiver_port);
	pid = start_server(extra, &port);
	for (int i = 0; i < 5; i++)
	{
		r = act(new_invoice("line", ""), "pay", "");
		free_reply(&r);
		next_hook(i);
		r = control("GET", "webhooks/wait?count=1&status=Running&timeout_ms=0", "");
		free_reply(&r);
	}
	CHECK(signature_holds(receiver_hook(4), SECRET) &&
			  strncmp(receiver_hook(4)->head, "POST /line ", 11) == 0,
		  "as the command line says: %s", receiver_hook(4)->head);
	r = control("GET", "webhooks/wait?count=3&timeout_ms=5000", "");
	free_reply(&r);
	r = act(new_invoice("line", ""), "pay", "");
	free_reply(&r);
	r = deliveries("");
	CHECK(cJSON_GetArraySize(at(r.json, "deliveries")) == 3 && number_at(r.json, "deliveries.2.number") == 6,
		  "the last three: %s", r.body);
	free_reply(&r);
	reset_server();
	r = control("GET", "webhooks", "");
	CHECK(strcmp(text_at(r.json, "url"), url) == 0, "a reset keeps them");
	free_reply(&r);
	CHECK(stop_server(pid, 15) == 0, "ends");
	port = outer;
}

/*
 * test_webhooks
 *		All of it.
 */
void
test_webhooks(void)
{
	test_vectors();
	test_settings();
	receiver_start();
	test_payment_v1();
	test_payment_v2();
	test_events();
	test_other_events();
	test_own_address();
	test_retries();
	test_load();
	test_log_limit();
	reset_server();
	receiver_stop();
}
