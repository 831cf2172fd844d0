/*
 * test_pages.c
 *	  The invoice pages: what they show, what their buttons do.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

#define FORM "Content-Type: application/x-www-form-urlencoded\r\n"

/*
 * new_invoice
 *		The path of a new invoice's page; the caller frees.
 */
static char *
new_invoice(const char *members)
{
	char body[4096];
	Reply r;
	char *path;

	snprintf(body, sizeof(body),
			 "{\"CustomerName\":\"A\",\"InvoiceValue\":12345.5,"
			 "\"NotificationOption\":\"LNK\"%s%s}",
			 members[0] != '\0' ? "," : "", members);
	r = api("SendPayment", body);
	CHECK(r.status == 200, "%s: %s", members, r.body);
	path = strdup(strstr(text_at(r.json, "Data.InvoiceURL"), "/ie/") - 4);
	free_reply(&r);
	return path;
}

/*
 * press
 *		One of the buttons.
 */
static Reply
press(const char *page, const char *action, const char *form)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", page, action);
	return call("POST", path, FORM, form);
}

/*
 * status_of
 *		GetPaymentStatus by reference.
 */
static Reply
status_of(const char *reference)
{
	char body[256];

	snprintf(body, sizeof(body), "{\"Key\":\"%s\",\"KeyType\":\"CustomerReference\"}", reference);
	return api("GetPaymentStatus", body);
}

/*
 * location_is
 *		A redirect to prefix + paymentId=N&Id=N + suffix.
 */
static void
location_is(const Reply *r, const char *prefix, const char *suffix)
{
	const char *location = strstr(r->raw, "\r\nLocation: ");
	char line[1024] = "";
	char a[64] = "";
	char b[64] = "";
	const char *query;

	if (location != NULL)
		sscanf(location + 12, "%1023[^\r]", line);
	CHECK(r->status == 302 && strncmp(line, prefix, strlen(prefix)) == 0, "redirect to %s: %s", prefix, line);
	query = line + strlen(prefix);
	CHECK(sscanf(query, "paymentId=%63[0-9]&Id=%63[0-9]", a, b) == 2 && strcmp(a, b) == 0 &&
			  strlen(a) >= 14 && strlen(a) <= 22,
		  "both ids: %s", line);
	CHECK(strcmp(query + strlen("paymentId=&Id=") + 2 * strlen(a), suffix) == 0, "then %s: %s", suffix, line);
}

/*
 * test_content
 *		What a page shows, escaped; Arabic from right to left.
 */
static void
test_content(void)
{
	char *page =
		new_invoice("\"CustomerName\":\"<script>alert(1)</script> & \\\"co\\\" 'x'\","
					"\"CustomerReference\":\"<i>ref</i>\",\"CustomerEmail\":\"a@b.co\","
					"\"InvoiceItems\":[{\"ItemName\":\"<b>Rent</b>\",\"Quantity\":2,\"UnitPrice\":6000},"
					"{\"ItemName\":\"Water\",\"Quantity\":1,\"UnitPrice\":345.5}]");
	Reply r = call("GET", page, "", "");

	CHECK(r.status == 200 && strstr(r.raw, "Content-Type: text/html; charset=utf-8\r\n") != NULL, "a page");
	CHECK(strstr(r.body, "12,345.500 KWD") != NULL, "the amount");
	CHECK(strstr(r.body, "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;co&quot; &#39;x&#39;") != NULL,
		  "the customer");
	CHECK(strstr(r.body, "<script") == NULL && strstr(r.body, "<i>") == NULL && strstr(r.body, "<b>") == NULL,
		  "nothing sent becomes markup");
	CHECK(strstr(r.body, "&lt;b&gt;Rent&lt;/b&gt;") != NULL && strstr(r.body, "Water") != NULL, "the items");
	CHECK(strstr(r.body, "lang=\"en\" dir=\"ltr\"") != NULL, "English");
	CHECK(strstr(r.body, "MF001") != NULL && strstr(r.body, "MF020") != NULL, "the reasons to fail");
	CHECK(strstr(r.body, "http://") == NULL && strstr(r.body, "https://") == NULL, "no outside resource");
	CHECK(strstr(r.raw, "Content-Security-Policy: default-src 'none'") != NULL, "a strict policy");
	free_reply(&r);
	for (char *p = page; *p != '\0'; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char) (*p + 32);
	r = call("GET", page, "", "");
	CHECK(r.status == 200, "case does not matter");
	free_reply(&r);
	free(page);
	page = new_invoice("\"Language\":\"AR\",\"CustomerName\":\"\\u0623\\u062d\\u0645\\u062f\"");
	r = call("GET", page, "", "");
	CHECK(strstr(r.body, "lang=\"ar\" dir=\"rtl\"") != NULL && strstr(r.body, "أحمد") != NULL, "Arabic");
	free_reply(&r);
	free(page);
	r = call("GET", "/", "", "");
	CHECK(r.status == 200 && strstr(r.body, "&lt;i&gt;ref&lt;/i&gt;") != NULL &&
			  strstr(r.body, "KWT/ie/") != NULL,
		  "the list of invoices");
	free_reply(&r);
}

/*
 * test_life
 *		Failed tries leave it pending; a success pays it; once, unless asked.
 */
static void
test_life(void)
{
	char *page = new_invoice("\"CustomerReference\":\"life\"");
	Reply r = press(page, "fail", "error_code=MF004&gateway=CARD");
	const char *last;
	char previous[64] = "";

	CHECK(r.status == 200 && strstr(r.body, "Insufficient funds") != NULL, "no ErrorUrl: a page");
	free_reply(&r);
	r = press(page, "leave", "");
	CHECK(r.status == 200, "left");
	free_reply(&r);
	r = press(page, "fail", "error_code=nonsense");
	free_reply(&r);
	r = status_of("life");
	CHECK(strcmp(text_at(r.json, "Data.InvoiceStatus"), "Pending") == 0, "still pending");
	CHECK(strcmp(text_at(r.json, "Data.InvoiceTransactions.0.TransactionStatus"), "Failed") == 0, "Failed");
	CHECK(strcmp(text_at(r.json, "Data.InvoiceTransactions.0.ErrorCode"), "MF004") == 0, "its code");
	CHECK(strcmp(text_at(r.json, "Data.InvoiceTransactions.0.PaymentGateway"), "VISA/MASTER") == 0,
		  "its gateway");
	CHECK(strcmp(text_at(r.json, "Data.InvoiceTransactions.0.ReferenceId"),
				 text_at(r.json, "Data.InvoiceTransactions.0.PaymentId")) == 0,
		  "one id in several places");
	CHECK(strcmp(text_at(r.json, "Data.InvoiceTransactions.1.TransactionStatus"), "InProgress") == 0,
		  "InProgress");
	CHECK(strcmp(text_at(r.json, "Data.InvoiceTransactions.2.ErrorCode"), "MF020") == 0, "unspecified");
	CHECK(strstr(r.body, "\"DueDeposit\":0.0,") != NULL, "nothing due");
	free_reply(&r);
	r = press(page, "pay", "gateway=KNET");
	CHECK(r.status == 200, "paid");
	free_reply(&r);
	r = press(page, "pay", "gateway=KNET");
	CHECK(r.status == 409, "not twice");
	CHECK(strstr(r.body, "action=\"../0107") != NULL, "whose buttons still lead to the right place");
	free_reply(&r);
	r = press(page, "fail", "");
	CHECK(r.status == 409, "nor failed afterwards");
	free_reply(&r);
	r = status_of("life");
	CHECK(strcmp(text_at(r.json, "Data.InvoiceStatus"), "Paid") == 0, "Paid");
	CHECK(cJSON_GetArraySize(at(r.json, "Data.InvoiceTransactions")) == 4, "four tries");
	for (int i = 0; i < 4; i++)
	{
		char where[64];

		snprintf(where, sizeof(where), "Data.InvoiceTransactions.%d.TransactionDate", i);
		last = text_at(r.json, where);
		CHECK(strcmp(last, previous) > 0, "each later than the one before: %s %s", last, previous);
		snprintf(previous, sizeof(previous), "%s", last);
	}
	free_reply(&r);
	r = call("GET", page, "", "");
	CHECK(strstr(r.body, "duplicate") != NULL && strstr(r.body, "/fail") == NULL,
		  "only the duplicate is offered");
	free_reply(&r);
	r = press(page, "pay", "duplicate=1");
	CHECK(r.status == 200, "paid again");
	free_reply(&r);
	r = status_of("life");
	CHECK(strcmp(text_at(r.json, "Data.InvoiceTransactions.3.TransactionStatus"), "Succss") == 0 &&
			  strcmp(text_at(r.json, "Data.InvoiceTransactions.4.TransactionStatus"), "Succss") == 0,
		  "two successes");
	free_reply(&r);
	free(page);
}

/*
 * test_redirects
 *		CallBackUrl and ErrorUrl, with and without a query and a fragment.
 */
static void
test_redirects(void)
{
	char *page = new_invoice(
		"\"CallBackUrl\":\"https://shop.example.com/ok\",\"ErrorUrl\":\"https://shop.example.com/no?a=b\"");
	Reply r = press(page, "fail", "error_code=MF002");

	location_is(&r, "https://shop.example.com/no?a=b&", "");
	free_reply(&r);
	r = press(page, "leave", "");
	CHECK(r.status == 200, "who walks away is sent nowhere");
	free_reply(&r);
	r = press(page, "pay", "");
	location_is(&r, "https://shop.example.com/ok?", "");
	free_reply(&r);
	free(page);
	page = new_invoice("\"CallBackUrl\":\"https://shop.example.com/ok?x=1&#top\"");
	r = press(page, "fail", "");
	CHECK(r.status == 200, "no ErrorUrl");
	free_reply(&r);
	r = press(page, "pay", "");
	location_is(&r, "https://shop.example.com/ok?x=1&", "#top");
	free_reply(&r);
	free(page);
}

/*
 * test_closed
 *		Expired and canceled invoices take no money.
 */
static void
test_closed(void)
{
	char *page = new_invoice("\"CustomerReference\":\"old\",\"ExpiryDate\":\"2020-01-01T00:00:00\"");
	Reply r = press(page, "pay", "");

	CHECK(r.status == 409, "expired");
	free_reply(&r);
	r = call("GET", page, "", "");
	CHECK(strstr(r.body, "Expired") != NULL && strstr(r.body, "<form") == NULL, "nothing to press");
	free_reply(&r);
	r = status_of("old");
	CHECK(strcmp(text_at(r.json, "Data.InvoiceStatus"), "Pending") == 0, "Expired is no status");
	CHECK(strcmp(text_at(r.json, "Data.ExpiryDate"), "January 1, 2020") == 0, "the date");
	CHECK(strcmp(text_at(r.json, "Data.ExpiryTime"), "00:00:00") == 0, "the time");
	free_reply(&r);
	free(page);
}

/*
 * test_authorize
 *		Authorise only, then capture a part; or release.
 */
static void
test_authorize(void)
{
	char *page = new_invoice("\"CustomerReference\":\"auth\",\"ProcessingDetails\":{\"AutoCapture\":false}");
	Reply r = press(page, "pay", "gateway=CARD");
	char path[128];

	free_reply(&r);
	r = status_of("auth");
	CHECK(strcmp(text_at(r.json, "Data.InvoiceStatus"), "Pending") == 0 &&
			  strcmp(text_at(r.json, "Data.InvoiceTransactions.0.TransactionStatus"), "Authorize") == 0,
		  "authorised");
	snprintf(path, sizeof(path), "invoices/%.0f/capture", number_at(r.json, "Data.InvoiceId"));
	free_reply(&r);
	r = control("POST", path, "{\"amount\":\"20000\"}");
	CHECK(r.status == 409, "not more than authorised");
	free_reply(&r);
	r = control("POST", path, "{\"amount\":\"2.000\"}");
	CHECK(r.status == 200, "captured: %s", r.body);
	free_reply(&r);
	r = status_of("auth");
	CHECK(strcmp(text_at(r.json, "Data.InvoiceStatus"), "Paid") == 0 &&
			  strstr(r.body, "\"InvoiceValue\":2.000,") != NULL &&
			  strcmp(text_at(r.json, "Data.InvoiceDisplayValue"), "2.000 KD") == 0,
		  "the value is lowered: %s", r.body);
	free_reply(&r);
	free(page);
}

/*
 * test_odd_requests
 *		Pages that are not there and methods that do not fit.
 */
static void
test_odd_requests(void)
{
	static const char *const missing[] = {"/KWT/ie/01071000000112-00000000",
										  "/KWT/ie/",
										  "/KWT/ie/x",
										  "/KWT/ie/0107",
										  "/KWT/ie/0199123-1",
										  "/SAU/ie/01071000000112-00000000/pay"};
	char *page = new_invoice("");
	char path[256];
	Reply r;

	for (size_t i = 0; i < sizeof(missing) / sizeof(missing[0]); i++)
	{
		r = call("GET", missing[i], "", "");
		CHECK(r.status == 404, "%s: %d", missing[i], r.status);
		free_reply(&r);
	}
	snprintf(path, sizeof(path), "%s", page);
	path[strlen(path) - 1] ^= 1;
	r = call("GET", path, "", "");
	CHECK(r.status == 404, "the eight digits matter");
	free_reply(&r);
	snprintf(path, sizeof(path), "%s/refund", page);
	r = call("POST", path, "", "");
	CHECK(r.status == 404, "no such action");
	free_reply(&r);
	snprintf(path, sizeof(path), "%s/pay", page);
	r = call("GET", path, "", "");
	CHECK(r.status == 405, "following a link pays nothing");
	free_reply(&r);
	r = call("POST", page, FORM, "");
	CHECK(r.status == 405, "nothing can be posted to the page");
	free_reply(&r);
	free(page);
}

/*
 * test_pages
 *		All of it.
 */
void
test_pages(void)
{
	reset_server();
	test_content();
	test_life();
	test_redirects();
	test_closed();
	test_authorize();
	test_odd_requests();
}
