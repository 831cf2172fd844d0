/*
 * test_api.c
 *	  SendPayment and GetPaymentStatus: shapes, look-ups, keys, routes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

/*
 * test_samples
 *		Every published request is accepted, and answered as published.
 */
static void
test_samples(void)
{
	static const char *const good[] = {"send-payment.request.all.json",
									   "send-payment.request.minimal-lnk.json",
									   "send-payment.request.php-library-wire.json",
									   "send-payment.request.suppliers.json"};
	char path[256];
	size_t len;
	char *text;
	Reply r;

	for (size_t i = 0; i < 4; i++)
	{
		snprintf(path, sizeof(path), "fixtures/%s", good[i]);
		text = read_text(path, &len);
		r = api("SendPayment", text);
		CHECK(r.status == 200 && cJSON_IsTrue(at(r.json, "IsSuccess")), "%s: %s", good[i], r.body);
		if (i == 1)
			answer_like(&r, "send-payment.response.lnk.json");
		free_reply(&r);
		free(text);
	}
	r = api("SendPayment", "{\"CustomerName\":\"A\",\"InvoiceValue\":0,\"NotificationOption\":\"LNK\"}");
	CHECK(r.status == 400, "value 0 is refused");
	answer_like(&r, "send-payment.response.validation-error.json");
	CHECK(
		strcmp(
			r.body,
			"{\"IsSuccess\":false,\"Message\":\"Invalid data\",\"ValidationErrors\":"
			"[{\"Name\":\"InvoiceValue\",\"Error\":\"Invoice value must be more than 0\"}],\"Data\":null}") ==
			0,
		"the published refusal: %s", r.body);
	free_reply(&r);
}

/*
 * test_pending
 *		An invoice nobody has tried to pay, member for member.
 */
static void
test_pending(void)
{
	Reply r = api("SendPayment", "{\"CustomerName\":\"Example Probe\",\"InvoiceValue\":8.87,"
								 "\"NotificationOption\":\"LNK\",\"CustomerReference\":\"TI-PROBE-001\","
								 "\"UserDefinedField\":\"TI-PROBE-001\"}");
	char expected[160];
	const char *url = text_at(r.json, "Data.InvoiceURL");

	snprintf(expected, sizeof(expected), "http://127.0.0.1:%d/KWT/ie/0107", port);
	CHECK(strncmp(url, expected, strlen(expected)) == 0, "the address: %s", url);
	CHECK(strlen(strrchr(url, '/') + 1) == 14 + 1 + 8 && strrchr(url, '-') - strrchr(url, '/') == 15,
		  "14 digits, a dash, 8 hexadecimal digits: %s", url);
	CHECK(strcmp(text_at(r.json, "Data.CustomerReference"), "TI-PROBE-001") == 0, "reference echoed");
	CHECK(strcmp(text_at(r.json, "Data.UserDefinedField"), "TI-PROBE-001") == 0, "field echoed");
	free_reply(&r);
	r = api("GetPaymentStatus", "{\"Key\":\"TI-PROBE-001\",\"KeyType\":\"CustomerReference\"}");
	answer_like(&r, "get-payment-status.response.pending-no-attempt.json");
	CHECK(strstr(r.body, "\"InvoiceValue\":8.87,") != NULL, "the literal is kept: %s", r.body);
	CHECK(strstr(r.body, "\"DueDeposit\":0.0,") != NULL, "nothing due");
	CHECK(strcmp(text_at(r.json, "Data.InvoiceDisplayValue"), "8.870 KD") == 0, "display value");
	CHECK(strcmp(text_at(r.json, "Data.InvoiceStatus"), "Pending") == 0, "Pending");
	CHECK(strcmp(text_at(r.json, "Data.CustomerMobile"), "+965") == 0, "just the dial code");
	CHECK(strstr(r.body, "\"InvoiceTransactions\":[]") != NULL, "no tries");
	CHECK(strchr(text_at(r.json, "Data.ExpiryDate"), ',') != NULL, "a date in words");
	CHECK(strstr(r.raw, "Content-Type: application/json; charset=utf-8\r\n") != NULL, "the type");
	free_reply(&r);
}

/*
 * test_paid
 *		A card payment, member for member, and what its words look like.
 */
static void
test_paid(void)
{
	Reply r = api("SendPayment", "{\"CustomerName\":\"Anonymous\",\"InvoiceValue\":12345,"
								 "\"NotificationOption\":\"LNK\",\"CustomerReference\":\"paid-1\"}");
	char path[128];
	char body[128];
	char payment_id[64];

	snprintf(path, sizeof(path), "invoices/%.0f/pay", number_at(r.json, "Data.InvoiceId"));
	free_reply(&r);
	r = control("POST", path, "{\"gateway\":\"CARD\"}");
	snprintf(payment_id, sizeof(payment_id), "%s", text_at(r.json, "transactions.0.payment_id"));
	CHECK(strlen(payment_id) >= 14 && strlen(payment_id) <= 22 && payment_id[0] == '0',
		  "a long id with a leading zero: %s", payment_id);
	free_reply(&r);
	snprintf(body, sizeof(body), "{\"Key\":\"%s\",\"KeyType\":\"paymentid\"}", payment_id);
	r = api("getpaymentstatus", body);
	answer_like(&r, "get-payment-status.response.paid-single.json");
	CHECK(strcmp(text_at(r.json, "Data.InvoiceStatus"), "Paid") == 0, "Paid");
	CHECK(strcmp(text_at(r.json, "Data.InvoiceDisplayValue"), "12,345.000 KD") == 0, "separators");
	CHECK(strcmp(text_at(r.json, "Data.InvoiceTransactions.0.TransactionStatus"), "Succss") == 0, "Succss");
	CHECK(strcmp(text_at(r.json, "Data.InvoiceTransactions.0.TransationValue"), "12,345.000") == 0, "value");
	CHECK(strcmp(text_at(r.json, "Data.InvoiceTransactions.0.TotalServiceCharge"), "240.728") == 0,
		  "1.95 %%: %s", text_at(r.json, "Data.InvoiceTransactions.0.TotalServiceCharge"));
	CHECK(strcmp(text_at(r.json, "Data.InvoiceTransactions.0.PaidCurrency"), "KD") == 0, "KD");
	CHECK(strcmp(text_at(r.json, "Data.InvoiceTransactions.0.PaymentId"), payment_id) == 0, "its id");
	CHECK(strstr(r.body, "\"DueDeposit\":12068.163,") != NULL, "value less charge less tax: %s", r.body);
	free_reply(&r);
}

/*
 * test_lookups
 *		By each key; the last of several; nothing found; another account's.
 */
static void
test_lookups(void)
{
	const char *send = "{\"CustomerName\":\"A\",\"InvoiceValue\":1,\"NotificationOption\":\"LNK\","
					   "\"CustomerReference\":\"twice\"}";
	static const char *const missing[] = {"{\"Key\":\"never\",\"KeyType\":\"CustomerReference\"}",
										  "{\"Key\":\"0\",\"KeyType\":\"InvoiceId\"}",
										  "{\"Key\":\"99999999999999999999999\",\"KeyType\":\"InvoiceId\"}",
										  "{\"Key\":\"abc\",\"KeyType\":\"InvoiceId\"}",
										  "{\"Key\":\"\",\"KeyType\":\"CustomerReference\"}",
										  "{\"Key\":\"1\",\"KeyType\":\"Nonsense\"}",
										  "{\"Key\":\"TWICE\",\"KeyType\":\"CustomerReference\"}"};
	Reply r = api("SendPayment", send);
	double first = number_at(r.json, "Data.InvoiceId");
	double second;
	char body[256];

	free_reply(&r);
	r = api("SendPayment", send);
	second = number_at(r.json, "Data.InvoiceId");
	CHECK(second > first, "two invoices, no guard");
	free_reply(&r);
	r = api("GetPaymentStatus", "{\"key\":\"twice\",\"KEYTYPE\":\"customerreference\"}");
	CHECK(number_at(r.json, "Data.InvoiceId") == second, "only the last created");
	free_reply(&r);
	snprintf(body, sizeof(body), "{\"Key\":%.0f,\"KeyType\":\"InvoiceId\"}", first);
	r = api("GetPaymentStatus", body);
	CHECK(number_at(r.json, "Data.InvoiceId") == first, "a number as key is tolerated");
	free_reply(&r);
	snprintf(body, sizeof(body), "{\"Key\":\"%.0f\",\"KeyType\":\"PaymentId\"}", first);
	r = api("GetPaymentStatus", body);
	CHECK(r.status == 400, "an invoice id is no payment id");
	free_reply(&r);
	for (size_t i = 0; i < sizeof(missing) / sizeof(missing[0]); i++)
	{
		r = api("GetPaymentStatus", missing[i]);
		CHECK(r.status == 400 &&
				  strcmp(r.body, "{\"IsSuccess\":false,\"Message\":\"No data match the provided "
								 "values\",\"ValidationErrors\":null,\"Data\":null}") == 0,
			  "%s: %s", missing[i], r.body);
		free_reply(&r);
	}
	r = api("GetPaymentStatus", "{\"Key\":\"x\"}");
	CHECK(r.status == 400 && strcmp(text_at(r.json, "ValidationErrors.0.Name"), "KeyType") == 0,
		  "KeyType missing");
	free_reply(&r);
	snprintf(body, sizeof(body), "{\"Key\":\"%.0f\",\"KeyType\":\"InvoiceId\"}", first);
	r = call("POST", "/v2/GetPaymentStatus", "Authorization: Bearer SK_SAU_demo\r\n", body);
	CHECK(r.status == 400, "another account does not see it: %s", r.body);
	free_reply(&r);
	r = call("POST", "/v2/GetPaymentStatus", "Authorization: Bearer second-kwt-key\r\n", body);
	CHECK(r.status == 200, "another key of the same account does");
	free_reply(&r);
}

/*
 * test_currencies
 *		The key decides the base currency; other display currencies convert.
 */
static void
test_currencies(void)
{
	Reply r = call("POST", "/v2/SendPayment", "Authorization: Bearer SK_SAU_demo\r\n",
				   "{\"CustomerName\":\"A\",\"InvoiceValue\":154622.43,\"NotificationOption\":\"LNK\","
				   "\"CustomerReference\":\"sar\",\"ProcessingDetails\":{\"AutoCapture\":true}}");
	char path[128];

	CHECK(strstr(text_at(r.json, "Data.InvoiceURL"), "/SAU/ie/") != NULL, "the country in the address");
	free_reply(&r);
	r = call("POST", "/v2/GetPaymentStatus", "Authorization: Bearer SK_SAU_demo\r\n",
			 "{\"Key\":\"sar\",\"KeyType\":\"CustomerReference\"}");
	CHECK(strcmp(text_at(r.json, "Data.InvoiceDisplayValue"), "154,622.430 SR") == 0,
		  "three decimals in SAR");
	CHECK(strcmp(text_at(r.json, "Data.CustomerMobile"), "+966") == 0, "Saudi dial code");
	free_reply(&r);
	r = api("SendPayment", "{\"CustomerName\":\"A\",\"InvoiceValue\":10,\"NotificationOption\":\"LNK\","
						   "\"CustomerReference\":\"usd\",\"DisplayCurrencyIso\":\"USD\"}");
	snprintf(path, sizeof(path), "invoices/%.0f/pay", number_at(r.json, "Data.InvoiceId"));
	free_reply(&r);
	r = control("POST", path, "");
	free_reply(&r);
	r = api("GetPaymentStatus", "{\"Key\":\"usd\",\"KeyType\":\"CustomerReference\"}");
	CHECK(strstr(r.body, "\"InvoiceValue\":3.086,") != NULL, "10 USD at 3.24 in KWD: %s", r.body);
	CHECK(strcmp(text_at(r.json, "Data.InvoiceDisplayValue"), "10.000 USD") == 0, "shown in USD");
	CHECK(strcmp(text_at(r.json, "Data.InvoiceTransactions.0.DueValue"), "3.090") == 0, "rounded up");
	CHECK(strcmp(text_at(r.json, "Data.InvoiceTransactions.0.TransationValue"), "3.086") == 0, "value");
	free_reply(&r);
}

/*
 * test_keys_and_routes
 *		Wrong keys, odd paths and methods.
 */
static void
test_keys_and_routes(void)
{
	static const char *const bad_keys[] = {"Authorization: Bearer wrong\r\n", "Authorization: Bearer\r\n",
										   "Authorization: " KEY "\r\n", "Authorization: Basic abc\r\n",
										   "X-No-Authorization: 1\r\n"};
	const char *send = "{\"CustomerName\":\"A\",\"InvoiceValue\":1,\"NotificationOption\":\"LNK\"}";
	Reply r;

	for (size_t i = 0; i < sizeof(bad_keys) / sizeof(bad_keys[0]); i++)
	{
		r = call("POST", "/v2/SendPayment", bad_keys[i], send);
		CHECK(r.status == 401 && r.body_len == 0, "%s: %d", bad_keys[i], r.status);
		free_reply(&r);
	}
	r = call("POST", "/V2/sendpayment", "Authorization: bearer " KEY "\r\n", send);
	CHECK(r.status == 200, "case matters in neither path nor scheme");
	free_reply(&r);
	r = api("SendPayment222", send);
	CHECK(r.status == 404, "unknown route");
	answer_like(&r, "error.route-not-found.json");
	CHECK(strstr(r.body, "/v2/SendPayment222'") != NULL, "names the address: %s", r.body);
	free_reply(&r);
	r = call("GET", "/v2/SendPayment", "", "");
	CHECK(r.status == 405 && strstr(r.raw, "Allow: POST") != NULL, "GET is refused");
	free_reply(&r);
	r = call("POST", "/v2/SendPayment", "Content-Type: application/x-www-form-urlencoded\r\n", send);
	CHECK(r.status == 415, "a form is refused");
	free_reply(&r);
	r = call("POST", "/v2/SendPayment", "Content-Type: application/json; charset=utf-8\r\n", send);
	CHECK(r.status == 200, "a charset is fine");
	free_reply(&r);
}

/*
 * test_bodies
 *		Bodies that are no JSON object, chunked ones, and large ones.
 */
static void
test_bodies(void)
{
	static const char *const bad[] =
		{"x", "{", "[]", "\"text\"", "12", "null", "{\"CustomerName\":\"A\",}", "<html></html>"};
	size_t size = 2 * 1024 * 1024;
	char *large = malloc(size + 1);
	Reply r;
	int fd;
	static const char *const chunks[] = {"{\"CustomerName\":\"Ch\",\"",
										 "InvoiceValue\":\"1.5\",\"NotificationOption\":\"lnk\",\"x\":[1]",
										 "}"};
	char chunked[1024];
	int n;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		r = api("SendPayment", bad[i]);
		CHECK(r.status == 400 && cJSON_IsFalse(at(r.json, "IsSuccess")) &&
				  strcmp(text_at(r.json, "Message"), "Invalid data") == 0,
			  "%s: %s", bad[i], r.body);
		free_reply(&r);
	}
	r = api("SendPayment", "");
	CHECK(r.status == 415 || r.status == 400, "no body: %d", r.status);
	free_reply(&r);
	memset(large, ' ', size);
	large[size] = '\0';
	r = api("SendPayment", large);
	CHECK(r.status == 413, "two megabytes are too many: %d", r.status);
	free_reply(&r);
	free(large);
	n = sprintf(chunked, "POST /v2/SendPayment HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " KEY "\r\n"
						 "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
	for (size_t i = 0; i < 3; i++)
		n += sprintf(chunked + n, "%zx\r\n%s\r\n", strlen(chunks[i]), chunks[i]);
	n += sprintf(chunked + n, "0\r\n\r\n");
	fd = dial();
	send_all(fd, chunked, (size_t) n);
	r = read_reply(fd, 5000);
	CHECK(r.status == 200, "a chunked body: %s", r.raw);
	free_reply(&r);
	close(fd);
}

/*
 * test_ids_go_on
 *		A reset without a seed gives no id twice.
 */
static void
test_ids_go_on(void)
{
	double ids[2];

	for (int round = 0; round < 2; round++)
	{
		Reply r = control("POST", "reset", "");

		free_reply(&r);
		r = api("SendPayment", "{\"CustomerName\":\"A\",\"InvoiceValue\":1,\"NotificationOption\":\"LNK\"}");
		ids[round] = number_at(r.json, "Data.InvoiceId");
		free_reply(&r);
	}
	CHECK(ids[1] > ids[0], "after a reset: %.0f, then %.0f", ids[0], ids[1]);
}

/*
 * test_determinism
 *		The same seed and the same requests give the same ids.
 */
static void
test_determinism(void)
{
	char urls[2][3][128];
	char payments[3][64];
	Reply r;

	for (int round = 0; round < 3; round++)
	{
		r = control("POST", "reset", round < 2 ? "{\"seed\":77}" : "{\"seed\":78}");
		CHECK(number_at(r.json, "seed") == (round < 2 ? 77 : 78), "the seed is taken");
		free_reply(&r);
		for (int i = 0; i < 3; i++)
		{
			char path[64];

			r = api("SendPayment",
					"{\"CustomerName\":\"A\",\"InvoiceValue\":1,\"NotificationOption\":\"LNK\"}");
			if (round < 2)
				snprintf(urls[round][i], sizeof(urls[round][i]), "%s", text_at(r.json, "Data.InvoiceURL"));
			else
				CHECK(strcmp(urls[0][i], text_at(r.json, "Data.InvoiceURL")) != 0, "another seed, other ids");
			snprintf(path, sizeof(path), "invoices/%.0f/pay", number_at(r.json, "Data.InvoiceId"));
			free_reply(&r);
			if (i == 1)
			{
				r = control("POST", path, "");
				snprintf(payments[round], sizeof(payments[round]), "%s",
						 text_at(r.json, "transactions.0.payment_id"));
				free_reply(&r);
			}
		}
	}
	for (int i = 0; i < 3; i++)
		CHECK(strcmp(urls[0][i], urls[1][i]) == 0, "same seed: %s %s", urls[0][i], urls[1][i]);
	CHECK(strcmp(payments[0], payments[1]) == 0 && strcmp(payments[0], payments[2]) != 0, "payment ids too");
	test_ids_go_on();
	reset_server();
}

/*
 * test_keep_alive
 *		Several requests on a connection, also sent ahead of the answers.
 */
static void
test_keep_alive(void)
{
	const char *send = "{\"CustomerName\":\"A\",\"InvoiceValue\":1,\"NotificationOption\":\"LNK\"}";
	size_t len;
	char *text = compose("POST", "/v2/SendPayment", "", send, strlen(send), &len);
	int fd = dial();
	Reply r;

	for (int i = 0; i < 50; i++)
	{
		send_all(fd, text, len);
		r = read_reply(fd, 5000);
		if (r.status != 200)
			CHECK(false, "request %d on one connection", i);
		free_reply(&r);
	}
	r = control("GET", "ledger?limit=100&bodies=0", "");
	CHECK(number_at(r.json, "entries.49.request_on_connection") == 50 &&
			  number_at(r.json, "entries.49.connection") == number_at(r.json, "entries.0.connection"),
		  "the ledger knows the connection");
	CHECK(number_at(r.json, "entries.0.header_bytes") == (double) (len - strlen(send)),
		  "and the size of the head");
	CHECK(at(r.json, "entries.0.body") == NULL, "bodies can be left out");
	free_reply(&r);
	close(fd);
	free(text);
}

/*
 * test_api
 *		All of it.
 */
void
test_api(void)
{
	reset_server();
	test_keep_alive();
	test_samples();
	test_pending();
	test_paid();
	test_lookups();
	test_currencies();
	test_keys_and_routes();
	test_bodies();
	test_determinism();
}
