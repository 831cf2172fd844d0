/*
 * test_v3.c
 *	  /v3/payments and /v3/invoices, with Idempotency-Key.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hooks.h"

#define KEYED "Idempotency-Key: "
#define PAGE "{\"Order\":{\"Amount\":20,\"ExternalIdentifier\":\"%s\"}}"

/*
 * create, create_fixture
 *		POST /v3/payments with a body of ours or a published one.
 */
static Reply
create(const char *headers, const char *body)
{
	return call("POST", "/v3/payments", headers, body);
}

static Reply
create_fixture(const char *name)
{
	char *text = fixture_text(name);
	Reply r = create("", text);

	CHECK(r.status == 201, "%s: %s", name, r.body);
	free(text);
	return r;
}

/*
 * created
 *		The id of a new invoice of 20.
 */
static double
created(const char *reference, const char *more)
{
	char body[512];
	double id;
	Reply r;

	snprintf(body, sizeof(body), "{\"Order\":{\"Amount\":20,\"ExternalIdentifier\":\"%s\"}%s}", reference, more);
	r = create("", body);
	CHECK(r.status == 201, "%s", r.body);
	id = atof(text_at(r.json, "Data.InvoiceId"));
	free_reply(&r);
	return id;
}

/*
 * read_payment
 *		GET /v3/payments/{paymentId}.
 */
static void
read_payment(const char *payment, const char *headers, Reply *r)
{
	char path[128];

	snprintf(path, sizeof(path), "/v3/payments/%s", payment);
	*r = call("GET", path, headers, "");
}

/*
 * test_samples
 *		Published requests are answered as published.
 */
static void
test_samples(void)
{
	char url[64];
	Reply r;

	fresh_start("v2", "");
	r = create_fixture("v3-create-payment.request.invoice-all.json");
	answer_like(&r, "v3-create-payment.response.link.json");
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/KWT/ie/", port);
	CHECK(strncmp(text_at(r.json, "Data.PaymentURL"), url, strlen(url)) == 0, "a page: %s", r.body);
	free_reply(&r);
	r = create_fixture("v3-create-payment.request.suppliers.json");
	answer_like(&r, "v3-create-payment.response.suppliers.json");
	free_reply(&r);
	r = create_fixture("v3-create-payment.request.token.json");
	answer_like(&r, "v3-create-payment.response.completed.json");
	CHECK(strcmp(text_at(r.json, "Data.TransactionDetails.Transaction.Card.Token"),
				 "TKN-00000000-0000-4000-8000-000000000002") == 0 &&
			  strcmp(text_at(r.json, "Data.TransactionDetails.Invoice.Status"), "PAID") == 0 &&
			  strstr(text_at(r.json, "Data.PaymentURL"), text_at(r.json, "Data.PaymentId")) != NULL,
		  "charged: %s", r.body);
	CHECK(strcmp(text_at(next_hook(0)->json, "Data.Invoice.Id"), text_at(r.json, "Data.InvoiceId")) == 0,
		  "and told: %s", receiver_hook(0)->body);
	free_reply(&r);
}

/*
 * test_rules
 *		What is refused, and the member that is named.
 */
static void
test_rules(void)
{
	static const struct
	{
		const char *body;
		const char *name;
	} bad[] = {
		{"{}", "Order.Amount"},
		{"{\"Order\":{\"Amount\":0}}", "Order.Amount"},
		{"{\"Order\":{\"Amount\":\"x\"}}", "Order"},
		{"{\"Order\":7}", "Order"},
		{"{\"Order\":{\"Amount\":1,\"Currency\":\"XTS\"}}", "Order.Currency"},
		{"{\"Order\":{\"Amount\":1},\"NotificationOption\":\"LNK\"}", "NotificationOption"},
		{"{\"Order\":{\"Amount\":1},\"NotificationOption\":\"EMAIL\"}", "Customer.Email"},
		{"{\"Order\":{\"Amount\":1},\"NotificationOption\":\"SMS\"}", "Customer.Mobile"},
		{"{\"Order\":{\"Amount\":1},\"Customer\":{\"Email\":\"x\"}}", "Customer.Email"},
		{"{\"Order\":{\"Amount\":1},\"Customer\":{\"Mobile\":{\"CountryCode\":\"+1234\",\"Number\":\"123456\"}}}",
		 "Customer.Mobile.CountryCode"},
		{"{\"Order\":{\"Amount\":1},\"Customer\":{\"Mobile\":{\"CountryCode\":\"965\",\"Number\":\"12345\"}}}",
		 "Customer.Mobile.Number"},
		{"{\"Order\":{\"Amount\":1},\"Customer\":{\"Mobile\":{\"CountryCode\":\"965\",\"Number\":\"123456789012\"}}}",
		 "Customer.Mobile.Number"},
		{"{\"Order\":{\"Amount\":1},\"Customer\":{\"Mobile\":\"x\"}}", "Customer"},
		{"{\"Order\":{\"Amount\":1},\"Language\":\"FR\"}", "Language"},
		{"{\"Order\":{\"Amount\":1},\"IntegrationUrls\":{\"Redirection\":\"app://x\"}}", "Redirection"},
		{"{\"Order\":{\"Amount\":1},\"PaymentExpiry\":\"tomorrow\"}", "PaymentExpiry"},
		{"{\"Order\":{\"Amount\":1},\"OperationType\":\"VERIFY\"}", "OperationType"},
		{"{\"Order\":{\"Amount\":1},\"PaymentMethod\":\"a b\"}", "PaymentMethod"},
		{"{\"Order\":{\"Amount\":1},\"SourceOfFund\":{\"Token\":\"x\"}}", "SourceOfFund.Token"},
		{"{\"Order\":{\"Amount\":1},\"Suppliers\":[{\"SupplierCode\":1,\"InvoiceShare\":2}]}", "Suppliers"},
		{"{\"Order\":{\"Amount\":1},\"Suppliers\":[{\"SupplierCode\":1,\"InvoiceShare\":1,\"ProposedDepositShare\":2}]}",
		 "Suppliers.ProposedDepositShare"},
		{"{\"Order\":{\"Amount\":1},\"Suppliers\":[1]}", "Suppliers"},
		{"{\"Order\":{\"Amount\":1},\"MetaData\":{\"UDF1\":[]}}", "MetaData"},
	};
	Reply r;

	reset_server();
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		r = create("", bad[i].body);
		CHECK(r.status == 400 && strcmp(text_at(r.json, "ValidationErrors.0.Name"), bad[i].name) == 0, "%s: %s",
			  bad[i].body, r.body);
		free_reply(&r);
	}
	r = control("GET", "counts", "");
	CHECK(number_at(r.json, "v3") == 0, "nothing was made: %s", r.body);
	free_reply(&r);
	r = create("", "{\"order\":{\"amount\":\"1.250\"},\"Customer\":\"\",\"Suppliers\":\"\",\"MetaData\":null,"
				   "\"NotificationOption\":\"link\"}");
	CHECK(r.status == 201, "forgiven: %s", r.body);
	free_reply(&r);
}

/*
 * test_echoes
 *		What is sent comes back in V2's status, V3's reads and webhooks.
 */
static void
test_echoes(void)
{
	double id;
	Reply r;

	fresh_start("v2", "");
	id = created("echo 1", ",\"PaymentMethod\":\"CARD\",\"PaymentExpiry\":\"2030-01-02T03:04:05Z\",\"Customer\":{\"Name\":"
						   "\"Ahmad\",\"Reference\":\"c-7\",\"Email\":\"a@example.com\",\"Mobile\":{\"CountryCode\":\"965\","
						   "\"Number\":\"12345678\"}},\"MetaData\":{\"UDF1\":\"one\",\"UDF5\":5}");
	r = api("GetPaymentStatus", "{\"Key\":\"echo 1\",\"KeyType\":\"CustomerReference\"}");
	CHECK(number_at(r.json, "Data.InvoiceId") == id && strcmp(text_at(r.json, "Data.ExpiryTime"), "06:04:05") == 0 &&
			  strcmp(text_at(r.json, "Data.CustomerMobile"), "+96512345678") == 0,
		  "the status call sees it, the time is Kuwait's: %s", r.body);
	free_reply(&r);
	r = act(id, "pay", "");
	CHECK(strcmp(text_at(r.json, "made_by"), "V3") == 0 && strcmp(text_at(r.json, "transactions.0.gateway"), "VISA/MASTER") == 0,
		  "%s", r.body);
	free_reply(&r);
	CHECK(strcmp(text_at(next_hook(0)->json, "Data.Invoice.ExternalIdentifier"), "echo 1") == 0 &&
			  strcmp(text_at(receiver_hook(0)->json, "Data.Invoice.MetaData.UDF1"), "one") == 0,
		  "%s", receiver_hook(0)->body);
	r = call("GET", "/v3/invoices/externalIdentifier/echo%201", "", "");
	CHECK(strcmp(text_at(r.json, "Data.Invoice.ExternalIdentifier"), "echo 1") == 0 &&
			  strcmp(text_at(r.json, "Data.Invoice.MetaData.UDF5"), "5") == 0 &&
			  cJSON_IsNull(at(r.json, "Data.Invoice.MetaData.UDF2")) &&
			  strcmp(text_at(r.json, "Data.Invoice.ExpirationDate"), "2030-01-02T03:04:05.0000000Z") == 0 &&
			  strcmp(text_at(r.json, "Data.Customer.Name"), "Ahmad") == 0,
		  "%s", r.body);
	free_reply(&r);
	CHECK(count_of("path=/v3/payments&reference=echo%201") == 1 &&
			  count_of("path=/v3/invoices/externalIdentifier/") == 1,
		  "the ledger knows the reference and the path");
}

/*
 * test_reads
 *		GET /v3/payments/{paymentId}.
 */
static void
test_reads(void)
{
	char payment[64];
	char *text = fixture_text("v3-create-payment.request.token.json");
	Reply r;

	reset_server();
	r = create("", text);
	snprintf(payment, sizeof(payment), "%s", text_at(r.json, "Data.PaymentId"));
	free_reply(&r);
	free(text);
	read_payment(payment, "", &r);
	answer_like(&r, "v3-get-payment.response.paid.json");
	free_reply(&r);
	read_payment(payment, "Authorization: Bearer SK_SAU_demo\r\n", &r);
	CHECK(r.status == 400 && strcmp(text_at(r.json, "Message"), "No data match the provided values") == 0,
		  "not for another account: %s", r.body);
	free_reply(&r);
	read_payment("07", "", &r);
	CHECK(r.status == 400, "no such payment: %s", r.body);
	free_reply(&r);

	r = act(created("split", ",\"Suppliers\":[{\"SupplierCode\":1,\"InvoiceShare\":10,\"ProposedDepositShare\":7},"
							 "{\"SupplierCode\":2,\"InvoiceShare\":10,\"ProposedDepositShare\":8}]"),
			"pay", "{\"gateway\":\"CARD\"}");
	snprintf(payment, sizeof(payment), "%s", text_at(r.json, "transactions.0.payment_id"));
	free_reply(&r);
	read_payment(payment, "", &r);
	message_like(r.json, "v3-get-payment.response.paid-with-suppliers.json");
	CHECK(strcmp(text_at(r.json, "Data.Amount.ReceivableAmount"), "4.551") == 0, "20 less 0.449 less 15: %s", r.body);
	free_reply(&r);

	r = control("POST", "lag", "{\"reads\":1}");
	free_reply(&r);
	r = act(created("lag", ""), "pay", "");
	snprintf(payment, sizeof(payment), "%s", text_at(r.json, "transactions.0.payment_id"));
	free_reply(&r);
	read_payment(payment, "", &r);
	CHECK(strcmp(text_at(r.json, "Data.Transaction.Status"), "INPROGRESS") == 0, "not seen yet: %s", r.body);
	free_reply(&r);
	read_payment(payment, "", &r);
	CHECK(strcmp(text_at(r.json, "Data.Invoice.Status"), "PAID") == 0, "now: %s", r.body);
	free_reply(&r);
}

/*
 * test_invoices
 *		GET /v3/invoices/...: nothing before somebody tried to pay; the last of
 *		several.
 */
static void
test_invoices(void)
{
	char path[64];
	double id, second;
	Reply r;

	reset_server();
	id = created("seen", "");
	snprintf(path, sizeof(path), "/v3/invoices/%.0f", id);
	r = call("GET", path, "", "");
	CHECK(r.status == 400 && strcmp(text_at(r.json, "Message"), "No invoices match this InvoiceId") == 0,
		  "nobody tried: %s", r.body);
	free_reply(&r);
	r = call("GET", "/v3/invoices/externalidentifier/seen", "", "");
	CHECK(strcmp(text_at(r.json, "Message"), "No invoices match this External Identifier") == 0, "nor so: %s", r.body);
	free_reply(&r);
	r = act(id, "fail", "{\"gateway\":\"CARD\"}");
	free_reply(&r);
	r = act(id, "pay", "{\"gateway\":\"CARD\"}");
	free_reply(&r);
	r = call("GET", path, "", "");
	message_like(r.json, "v3-get-invoice.response.by-invoice-id.json");
	CHECK(cJSON_GetArraySize(at(r.json, "Data.Transactions")) == 2 &&
			  strcmp(text_at(r.json, "Data.Transactions.0.Status"), "FAILED") == 0 &&
			  strcmp(text_at(r.json, "Data.Transactions.1.Status"), "SUCCESS") == 0,
		  "both tries: %s", r.body);
	free_reply(&r);
	second = created("seen", "");
	r = call("GET", "/v3/invoices/externalIdentifier/seen", "", "");
	CHECK(r.status == 400, "the last one was not tried: %s", r.body);
	free_reply(&r);
	r = act(second, "fail", "");
	free_reply(&r);
	r = call("GET", "/v3/invoices/externalIdentifier/seen", "", "");
	CHECK(atof(text_at(r.json, "Data.Invoice.Id")) == second, "the last one: %s", r.body);
	free_reply(&r);
}

/*
 * test_update
 *		PUT /v3/payments/{paymentId}: capture or release, once.
 */
static void
test_update(void)
{
	static const char *const bad[] = {"{\"OperationType\":\"CAPTURE\"}", "{\"OperationType\":\"CAPTURE\",\"Amount\":21}",
									  "{\"OperationType\":\"CAPTURE\",\"Amount\":\"x\"}", "{\"OperationType\":\"VOID\"}",
									  "{}"};
	char *capture = fixture_text("v3-update-payment.request.capture.json");
	char path[128];
	double id;
	Reply r;

	reset_server();
	id = created("capture", ",\"OperationType\":\"AUTHORIZE\"");
	r = act(id, "pay", "{\"gateway\":\"CARD\"}");
	snprintf(path, sizeof(path), "/v3/payments/%s", text_at(r.json, "transactions.0.payment_id"));
	free_reply(&r);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		r = call("PUT", path, "", bad[i]);
		CHECK(r.status == 400, "%s: %s", bad[i], r.body);
		free_reply(&r);
	}
	arm("{\"path\":\"/v3/payments/\",\"method\":\"PUT\",\"create\":false}");
	r = call("PUT", path, "", capture);
	CHECK(r.status == 200, "as if: %s", r.body);
	free_reply(&r);
	r = call("PUT", path, KEYED "p\r\n", capture);
	message_like(r.json, "v3-update-payment.response.captured.json");
	CHECK(strcmp(text_at(r.json, "Data.Amount.ValueInBaseCurrency"), "10") == 0 &&
			  strstr(path, text_at(r.json, "Data.Transaction.PaymentId")) == NULL,
		  "another payment, of 10: %s", r.body);
	free_reply(&r);
	r = call("PUT", path, KEYED "p\r\n", capture);
	CHECK(r.status == 200, "the same answer again: %s", r.body);
	free_reply(&r);
	r = call("PUT", path, "", capture);
	CHECK(r.status == 400, "but not the same again: %s", r.body);
	free_reply(&r);
	id = created("release", ",\"OperationType\":\"AUTHORIZE\"");
	r = act(id, "pay", "{\"gateway\":\"CARD\"}");
	snprintf(path, sizeof(path), "/v3/payments/%s", text_at(r.json, "transactions.0.payment_id"));
	free_reply(&r);
	r = call("PUT", path, "", "{\"OperationType\":\"RELEASE\"}");
	CHECK(strcmp(text_at(r.json, "Data.Invoice.Status"), "PENDING") == 0 &&
			  strcmp(text_at(r.json, "Data.Transaction.Status"), "CANCELED") == 0 &&
			  strcmp(text_at(r.json, "Data.Transaction.Error.Message"), "Transaction Released") == 0 &&
			  strcmp(text_at(r.json, "Data.Transaction.Id"), text_at(r.json, "Data.Transaction.ReferenceId")) == 0,
		  "released: %s", r.body);
	free_reply(&r);
	free(capture);
}

/*
 * test_published_replay
 *		The published example: another amount, the first answer.
 */
static void
test_published_replay(void)
{
	char *text = fixture_text("v3-create-payment.idempotency-replay.json");
	cJSON *fixture = cJSON_Parse(text);
	char *first = cJSON_PrintUnformatted(at(fixture, "first_request"));
	char *second = cJSON_PrintUnformatted(at(fixture, "second_request"));
	char *expected = cJSON_PrintUnformatted(at(fixture, "response_to_both"));
	char headers[128];
	Reply r, again;

	reset_server();
	r = control("POST", "account", "{\"v3_answers\":\"idempotency\"}");
	free_reply(&r);
	snprintf(headers, sizeof(headers), KEYED "%s\r\n", text_at(fixture, "header.Idempotency-Key"));
	r = create(headers, first);
	text_like(&r, expected, "v3-create-payment.idempotency-replay.json");
	again = create(headers, second);
	CHECK(again.status == 201 && again.body_len == r.body_len && memcmp(r.body, again.body, r.body_len) == 0,
		  "word for word: %s", again.body);
	free_reply(&again);
	free_reply(&r);
	free(first);
	free(second);
	free(expected);
	cJSON_Delete(fixture);
	free(text);
}

/*
 * test_lost_links
 *		A link whose answer was lost comes back with the same key; past the
 *		window another invoice is made.
 */
static void
test_lost_links(void)
{
	char body[128];
	char headers[64];
	char url[128];
	Reply r;

	reset_server();
	for (int i = 0; i < 20; i++)
	{
		snprintf(body, sizeof(body), PAGE, "lost");
		snprintf(headers, sizeof(headers), KEYED "lost-%d\r\n", i);
		arm("{\"path\":\"/v3/payments\",\"cut_answer_at\":0}");
		r = create(headers, body);
		CHECK(r.len == 0, "lost");
		free_reply(&r);
		r = create(headers, body);
		CHECK(r.status == 201, "found: %s", r.body);
		snprintf(url, sizeof(url), "%s", text_at(r.json, "Data.PaymentURL"));
		free_reply(&r);
		r = create(headers, body);
		CHECK(strcmp(url, text_at(r.json, "Data.PaymentURL")) == 0, "again: %s", r.body);
		free_reply(&r);
	}
	r = control("GET", "counts?reference=lost", "");
	CHECK(number_at(r.json, "v3") == 20, "20 invoices: %s", r.body);
	free_reply(&r);
	r = control("POST", "clock", "{\"offset_seconds\":15001}");
	free_reply(&r);
	r = create(headers, body);
	CHECK(strcmp(url, text_at(r.json, "Data.PaymentURL")) != 0, "too late: %s", r.body);
	free_reply(&r);
}

/*
 * test_countries
 *		Saudi Arabia too, with keys of its own; not Bahrain.
 */
static void
test_countries(void)
{
	static const char *const keys[] = {"Authorization: Bearer " KEY "\r\n" KEYED "x\r\n",
									   "Authorization: Bearer SK_SAU_demo\r\n" KEYED "x\r\n",
									   "Authorization: Bearer SK_BHR_demo\r\n" KEYED "x\r\n"};
	Reply r;

	reset_server();
	for (int i = 0; i < 3; i++)
		for (int j = 0; j < 2; j++)
		{
			r = create(keys[i], "{\"Order\":{\"Amount\":1,\"ExternalIdentifier\":\"country\"}}");
			CHECK(r.status == 201, "%s", r.body);
			free_reply(&r);
		}
	r = control("GET", "counts?reference=country", "");
	CHECK(number_at(r.json, "v3") == 4, "one, one, two: %s", r.body);
	free_reply(&r);
}

/*
 * test_v3_faults
 *		Rules see reference, method and path of these calls, too.
 */
static void
test_v3_faults(void)
{
	Reply r;

	reset_server();
	arm("{\"path\":\"/v3/payments\",\"reference\":\"b\",\"status\":503,\"create\":true,\"fill\":true,"
		"\"body\":\"{{InvoiceId}} {{PaymentURL}}\"}");
	r = create("", "{\"Order\":{\"Amount\":1,\"ExternalIdentifier\":\"a\"}}");
	CHECK(r.status == 201, "not this one: %s", r.body);
	free_reply(&r);
	r = create("", "{\"Order\":{\"Amount\":1,\"ExternalIdentifier\":\"b\"}}");
	CHECK(r.status == 503 && strstr(r.body, "/KWT/ie/") != NULL, "this: %s", r.body);
	free_reply(&r);
	arm("{\"path\":\"/v3/payments\",\"create\":false}");
	r = create("", "{\"Order\":{\"Amount\":1,\"ExternalIdentifier\":\"c\"},\"SourceOfFund\":{\"Token\":\"TKN-1\"}}");
	CHECK(r.status == 201, "as if: %s", r.body);
	free_reply(&r);
	r = control("GET", "counts", "");
	CHECK(number_at(r.json, "v3") == 2 && number_at(r.json, "payments") == 0, "%s", r.body);
	free_reply(&r);
	arm("{\"path\":\"/v3/invoices/\",\"method\":\"GET\",\"cut_answer_at\":10}");
	r = call("GET", "/v3/invoices/7", "", "");
	CHECK(r.len == 10, "cut");
	free_reply(&r);
}

/*
 * test_methods
 *		405 names the methods there are; an unknown path is no call.
 */
static void
test_methods(void)
{
	Reply r = call("POST", "/v3/payments/7", "", "{}");

	CHECK(r.status == 405 && strstr(r.raw, "Allow: GET, PUT\r\n") != NULL, "%s", r.raw);
	free_reply(&r);
	r = call("GET", "/v3/payments", "", "");
	CHECK(r.status == 405 && strstr(r.raw, "Allow: POST\r\n") != NULL, "%s", r.raw);
	free_reply(&r);
	r = call("GET", "/v3/payments/", "", "");
	CHECK(r.status == 404, "%s", r.raw);
	free_reply(&r);
	r = call("GET", "/v3/payments/7/8", "", "");
	CHECK(r.status == 404, "%s", r.raw);
	free_reply(&r);
	r = call("GET", "/v3/payments/7", "Authorization: Bearer nobody\r\n", "");
	CHECK(r.status == 401 && r.body_len == 0, "%s", r.raw);
	free_reply(&r);
}

/*
 * test_v3
 *		All of it.
 */
void
test_v3(void)
{
	receiver_start();
	test_samples();
	test_rules();
	test_echoes();
	test_reads();
	test_invoices();
	test_update();
	test_published_replay();
	test_lost_links();
	test_countries();
	test_v3_faults();
	test_methods();
	reset_server();
	receiver_stop();
}
