/*
 * test_get_webhooks.c
 *	  GetWebhooks, MyFatoorah's log of deliveries.
 */
#include <stdio.h>
#include <string.h>

#include "hooks.h"

/*
 * test_log
 *		MyFatoorah's log: as published, with every filter.
 */
static void
test_log(void)
{
	static const struct
	{
		const char *request;
		int count;
	} cases[] = {
		{"{}", 5},
		{"{\"Status\":\"Failed\"}", 2},
		{"{\"Status\":\"Succeeded\",\"EventType\":\"PAYMENT_STATUS_CHANGED\"}", 2},
		{"{\"EventType\":\"TransactionsStatusChanged\"}", 4},
		{"{\"EventType\":\"REFUND_STATUS_CHANGED\"}", 1},
		{"{\"EventType\":\"BALANCE_TRANSFERED\"}", 0},
		{"{\"KeyType\":\"CustomerReference\",\"Key\":[\"lost-1\",\"fine\"]}", 4},
		{"{\"KeyType\":\"CustomerReference\",\"Key\":[\"nobody\"]}", 0},
		{"{\"KeyType\":\"InvoiceId\",\"Key\":[\"1\"]}", 0},
		{"{\"Start\":\"2020-01-01T00:00:00Z\",\"End\":\"2020-01-02T00:00:00Z\"}", 0},
		{"{\"Start\":\"2020-01-01T00:00:00.000Z\",\"End\":\"2090-01-02T00:00:00\"}", 5},
		{"{\"Page\":2}", 0},
	};
	static const char *const bad[] = {"{\"Status\":\"Lost\"}",
									  "{\"EventType\":\"X\"}",
									  "{\"Start\":\"yesterday\"}",
									  "{\"Page\":0}",
									  "{\"KeyType\":\"X\",\"Key\":[]}",
									  "{\"KeyType\":\"InvoiceId\",\"Key\":\"1\"}"};
	double id;
	char body[128];
	Reply r;
	Reply log;

	fresh_start("v1", ",\"retry_delay_ms\":1,\"connections\":1");
	receiver_plan("404 404 404 404 500 500 500 500");
	id = new_invoice("lost-1", "");
	r = act(id, "fail", "");
	free_reply(&r);
	wait_finished(1);
	r = act(new_invoice("lost-2", ""), "pay", "");
	free_reply(&r);
	wait_finished(2);
	r = api("GetWebhooks", "{\"Status\":\"Failed\"}");
	message_like(r.json, "get-webhooks.response.json");
	CHECK(number_at(r.json, "Data.Pagination.PageSize") == 500 &&
			  number_at(r.json, "Data.Pagination.PagesCount") == 1 &&
			  number_at(r.json, "Data.Pagination.ItemsCount") == 2,
		  "pages: %s", r.body);
	CHECK(strcmp(text_at(r.json, "Data.Items.0.Data.CustomerReference"), "lost-2") == 0, "newest first");
	CHECK(cJSON_GetArraySize(at(r.json, "Data.Items.1.Attempts")) == 4 &&
			  strcmp(text_at(r.json, "Data.Items.1.Attempts.0.ResponseMessage"), "Not Found") == 0 &&
			  number_at(r.json, "Data.Items.1.Attempts.0.Status") == 404 &&
			  strlen(text_at(r.json, "Data.Items.1.Attempts.0.Date")) == 28,
		  "attempts: %s", r.body);
	log = deliveries("reference=lost-1");
	CHECK(strcmp(text_at(log.json, "deliveries.0.signature"), text_at(r.json, "Data.Items.1.Signature")) ==
				  0 &&
			  strcmp(text_at(log.json, "deliveries.0.webhook_reference"),
					 text_at(r.json, "Data.Items.1.WebhookReference")) == 0,
		  "it agrees with the log");
	snprintf(body, sizeof(body), "{\"KeyType\":\"WebhookReference\",\"Key\":[\"%s\"]}",
			 text_at(log.json, "deliveries.0.webhook_reference"));
	free_reply(&log);
	free_reply(&r);
	r = api("GetWebhooks", body);
	CHECK(number_at(r.json, "Data.Pagination.ItemsCount") == 1, "%s: %s", body, r.body);
	free_reply(&r);
	snprintf(body, sizeof(body), "{\"KeyType\":\"InvoiceId\",\"Key\":[\"%.0f\"]}", id);
	r = api("GetWebhooks", body);
	CHECK(number_at(r.json, "Data.Pagination.ItemsCount") == 1, "%s: %s", body, r.body);
	snprintf(body, sizeof(body), "%.0f", id);
	CHECK(strcmp(text_at(r.json, "Data.Items.0.EventEntityId"), body) == 0, "EventEntityId");
	free_reply(&r);

	id = new_invoice("fine", "");
	r = act(id, "fail", "");
	free_reply(&r);
	r = act(id, "pay", "");
	free_reply(&r);
	r = act(id, "refund", "");
	free_reply(&r);
	wait_finished(5);
	r = control("POST", "webhooks/send", "{\"body\":\"{}\"}");
	free_reply(&r);
	wait_finished(6);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		int items = strstr(cases[i].request, "Page") != NULL ? 5 : cases[i].count;

		r = api("GetWebhooks", cases[i].request);
		CHECK(r.status == 200 && number_at(r.json, "Data.Pagination.ItemsCount") == items &&
				  cJSON_GetArraySize(at(r.json, "Data.Items")) == cases[i].count,
			  "%s: %s", cases[i].request, r.body);
		free_reply(&r);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		r = api("GetWebhooks", bad[i]);
		CHECK(r.status == 400 && cJSON_IsFalse(at(r.json, "IsSuccess")), "%s: %s", bad[i], r.body);
		free_reply(&r);
	}
	r = call("POST", "/v2/GetWebhooks", "Authorization: Bearer SK_SAU_demo\r\n", "{}");
	CHECK(r.status == 200 && number_at(r.json, "Data.Pagination.ItemsCount") == 0, "another account: %s",
		  r.body);
	free_reply(&r);
}

/*
 * test_paging
 *		More than a page, paid in bulk.
 */
static void
test_paging(void)
{
	Reply r;
	char last[64];

	fresh_start("v2", "");
	for (int i = 0; i < 503; i++)
		new_invoice("page", "");
	r = control("POST", "pay-many", "{\"count\":503,\"rate\":0}");
	CHECK(r.status == 200 && number_at(r.json, "total") == 503, "bulk: %s", r.body);
	free_reply(&r);
	wait_finished(503);
	r = api("GetWebhooks", "{}");
	CHECK(cJSON_GetArraySize(at(r.json, "Data.Items")) == 500 &&
			  number_at(r.json, "Data.Pagination.ItemsCount") == 503 &&
			  number_at(r.json, "Data.Pagination.PagesCount") == 2,
		  "the first page");
	snprintf(last, sizeof(last), "%s", text_at(r.json, "Data.Items.499.WebhookReference"));
	free_reply(&r);
	r = api("GetWebhooks", "{\"Page\":2}");
	CHECK(cJSON_GetArraySize(at(r.json, "Data.Items")) == 3 &&
			  number_at(r.json, "Data.Pagination.PageNumber") == 2 &&
			  strcmp(text_at(r.json, "Data.Items.0.WebhookReference"), last) < 0,
		  "the second goes on: %s", r.body);
	free_reply(&r);
	r = control("GET", "pay-many", "");
	CHECK(number_at(r.json, "paid") == 503 && cJSON_IsFalse(at(r.json, "running")), "done: %s", r.body);
	free_reply(&r);
	r = control("POST", "pay-many", "{\"rate\":5}");
	CHECK(r.status == 400, "no count");
	free_reply(&r);
}

/*
 * test_get_webhooks
 *		All of it.
 */
void
test_get_webhooks(void)
{
	receiver_start();
	test_log();
	test_paging();
	reset_server();
	receiver_stop();
}
