/*
 * test_accounts.c
 *	  How an account is set up, keys that do not work, and what is forgiven.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hooks.h"

/*
 * test_settings
 *		All members or none; a reset forgets them; each country has its own.
 */
static void
test_settings(void)
{
	static const char *const bad[] = {
		"{\"auto_refund\":1}",          "{\"no_such\":true}",         "{\"balance\":5}",
		"{\"country\":\"DEU\"}",        "{\"refund_answers\":\"x\"}", "{\"idempotency_failed\":true}",
		"{\"idempotency_minutes\":-1}", "{\"idempotency\":\"yes\"}",
	};
	Reply r;

	reset_server();
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		r = control("POST", "account", bad[i]);
		CHECK(r.status == 400, "%s: %s", bad[i], r.body);
		free_reply(&r);
	}
	r = control("POST", "account", "{\"one_refund_at_a_time\":true,\"auto_refund\":\"x\"}");
	CHECK(r.status == 400, "one is wrong: %s", r.body);
	free_reply(&r);
	r = control("GET", "account", "");
	CHECK(cJSON_IsFalse(at(r.json, "one_refund_at_a_time")), "so none was taken: %s", r.body);
	free_reply(&r);
	account("{\"balance\":\"10.5\",\"country\":\"SAU\",\"idempotency_failed\":\"lose\"}");
	r = control("GET", "account?country=SAU", "");
	CHECK(strcmp(text_at(r.json, "balance"), "10.5") == 0 &&
			  strcmp(text_at(r.json, "idempotency_failed"), "lose") == 0,
		  "as set: %s", r.body);
	free_reply(&r);
	r = control("GET", "account", "");
	CHECK(cJSON_IsNull(at(r.json, "balance")), "not for Kuwait: %s", r.body);
	free_reply(&r);
	reset_server();
	r = control("GET", "account?country=SAU", "");
	CHECK(cJSON_IsNull(at(r.json, "balance")) && number_at(r.json, "idempotency_minutes") == 250,
		  "as usual: %s", r.body);
	free_reply(&r);
}

/*
 * test_keys
 *		Keys that have expired, are of another country, or may not.
 */
static void
test_keys(void)
{
	const struct
	{
		const char *state;
		int status;
		const char *body;
	} cases[] = {
		{"expired", 401,
		 "{\"IsSuccess\":false,\"Message\":\"The token is not valid or it is expired!\",\"ValidationErrors\":null,"
		 "\"Data\":null}"},
		{"foreign", 400, "\"Exception: You are not Authorized to use API.\""},
		{"forbidden", 401,
		 "{\"IsSuccess\":false,\"Message\":\"The token does not have the required permissions!\","
		 "\"ValidationErrors\":null,\"Data\":null}"},
	};
	const char *request = "{\"CustomerName\":\"A\",\"InvoiceValue\":1,\"NotificationOption\":\"LNK\"}";
	char body[96];
	Reply r;

	reset_server();
	for (int i = 0; i < 3; i++)
	{
		snprintf(body, sizeof(body), "{\"key_index\":0,\"state\":\"%s\"}", cases[i].state);
		r = control("POST", "keys", body);
		CHECK(r.status == 200, "%s", r.body);
		free_reply(&r);
		r = api("SendPayment", request);
		CHECK(r.status == cases[i].status && strcmp(r.body, cases[i].body) == 0, "%s: %s", cases[i].state,
			  r.body);
		free_reply(&r);
	}
	r = call("POST", "/v2/SendPayment", "Authorization: Bearer second-kwt-key\r\n", request);
	CHECK(r.status == 200, "another key of the account works: %s", r.body);
	free_reply(&r);
	CHECK(counted("", "send_payment") == 1, "nothing was made with the others");
	r = control("POST", "keys", "{\"key_index\":9,\"state\":\"ok\"}");
	CHECK(r.status == 400, "no such key");
	free_reply(&r);
	reset_server();
	r = api("SendPayment", request);
	CHECK(r.status == 200, "a reset mends it: %s", r.body);
	free_reply(&r);
}

/*
 * test_quirks
 *		What MyFatoorah forgives.
 */
static void
test_quirks(void)
{
	Reply r;

	reset_server();
	r = call(
		"POST", "//v2/SendPayment", "",
		"{\"customername\":\"A\",\"invoiceValue\":\"2.500\",\"NotificationOption\":\"Lnk\",\"ShippingConsignee\":\"\","
		"\"InvoiceItems\":\"\",\"Suppliers\":\"\",\"CustomerAddress\":\"\",\"ProcessingDetails\":\"\","
		"\"InvoicePaymentMethods\":\"\",\"CustomerReference\":\"quirks\"}");
	CHECK(r.status == 200, "a slash too many, empty texts for objects, names in any case: %s", r.body);
	free_reply(&r);
	CHECK(count_of("path=SendPayment&reference=quirks") == 1 && count_of("path=/v2/SendPayment") == 1,
		  "the ledger knows the path");
	r = call(
		"POST", "/v2/SendPayment", "",
		"{\"CustomerName\":\"A\",\"InvoiceValue\":1,\"NotificationOption\":\"LNK\",\"ShippingConsignee\":\"x\"}");
	CHECK(r.status == 400, "but no other text: %s", r.body);
	free_reply(&r);
}

/*
 * test_accounts
 *		All of it.
 */
void
test_accounts(void)
{
	receiver_start();
	test_settings();
	test_keys();
	test_quirks();
	reset_server();
	receiver_stop();
}
