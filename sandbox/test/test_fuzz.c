/*
 * test_fuzz.c
 *	  Requests nobody would send: published bodies with bytes changed, to every
 *	  call, to the control path, and as raw bytes. The server must answer, in
 *	  JSON, and keep its books in order. FUZZ_SEED and FUZZ_ROUNDS choose others.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hooks.h"

#define ROUNDS 6000
#define RAW_ROUNDS 400
#define MAX_BODY 16384

static uint64_t state;

/* What to call; ID becomes that of an invoice, PAYMENT that of a payment. */
static const struct
{
	const char *method;
	const char *path;
} calls[] = {
	{"POST", "/v2/SendPayment"},
	{"POST", "/v2/GetPaymentStatus"},
	{"POST", "/v2/UpdatePaymentStatus"},
	{"POST", "/v2/MakeRefund"},
	{"POST", "/v2/MakeSupplierRefund"},
	{"POST", "/v2/GetRefundStatus"},
	{"POST", "/v2/GetDepositedInvoices"},
	{"POST", "/v2/GetWebhooks"},
	{"POST", "/v2/InitiatePayment"},
	{"POST", "/v2/ExecutePayment"},
	{"GET", "/v2/GetRecurringPayment"},
	{"POST", "/v2/CancelRecurringPayment?recurringId=RECUR1"},
	{"POST", "/v2/ResumeRecurringPayment?recurringId=%52ECUR%zz"},
	{"GET", "/v2/GetSuppliers"},
	{"GET", "/v2/GetSupplierDashboard?SupplierCode=7"},
	{"GET", "/v2/GetCurrenciesExchangeList"},
	{"POST", "/v2/TransferBalance"},
	{"POST", "/v3/payments"},
	{"GET", "/v3/payments/PAYMENT"},
	{"PUT", "/v3/payments/PAYMENT"},
	{"GET", "/v3/invoices/ID"},
	{"GET", "/v3/invoices/externalIdentifier/fuzz"},
	{"GET", "/v3/invoices/externalIdentifier/%00%ff%"},
};

/* Published bodies to start from */
static const char *const fixtures[] = {
	"send-payment.request.all.json",			"send-payment.request.suppliers.json",
	"send-payment.request.php-library-wire.json", "get-deposited-invoices.request.vendor.json",
	"get-webhooks.request.json",				"initiate-payment.request.json",
	"execute-payment.request.complete.json",	"execute-payment.request.recurring.json",
	"transfer-balance.request.json",			"v3-create-payment.request.invoice-all.json",
	"v3-create-payment.request.suppliers.json", "v3-create-payment.request.token.json",
	"v3-update-payment.request.capture.json",
};

/* Bodies about an invoice, whose id is put in */
static const char *const keyed[] = {
	"{\"Key\":\"%s\",\"KeyType\":\"InvoiceId\"}",
	"{\"Key\":%s,\"KeyType\":\"InvoiceId\",\"Amount\":1.5,\"ExternalIdentifier\":\"fuzz\",\"Comment\":\"c\"}",
	"{\"Key\":\"%s\",\"KeyType\":\"invoiceid\",\"Amount\":40,\"ServiceChargeOnCustomer\":true,"
	"\"AmountDeductedFromSupplier\":1}",
	"{\"Key\":\"%s\",\"KeyType\":\"InvoiceId\",\"VendorDeductAmount\":1,\"Suppliers\":[{\"SupplierCode\":1,"
	"\"SupplierDeductedAmount\":2.5}]}",
	"{\"Operation\":\"capture\",\"Amount\":2,\"Key\":\"%s\",\"KeyType\":\"Invoiceid\"}",
	"{\"Operation\":\"Release\",\"Key\":\"%s\",\"KeyType\":\"InvoiceId\"}",
};

/* What is put in somewhere. */
static const char *const tokens[] = {
	"null", "\"\"", "[]", "{}", "-1", "0", "1e999", "999999999999999999", "0.000000001", "true", "[[[[[[[[",
	"\"\\u0000\"", "\"\\ud800\"", "\xFF\xFE", "{\"Key\":", "\"Suppliers\":[{\"SupplierCode\":1,\"SupplierDeductedAmount\":1}]",
	"9223372036854775808", "\"2147483648\"", ",", "\\",
};

#define FIXTURES (sizeof(fixtures) / sizeof(fixtures[0]))
#define KEYED (sizeof(keyed) / sizeof(keyed[0]))
#define POOL 60

static char *bodies[FIXTURES];
static char ids[POOL][24];
static char payments[POOL][64];

/*
 * next_number
 *		The next number of the seeded generator (splitmix64).
 */
static uint64_t
next_number(uint64_t below)
{
	uint64_t z = (state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return (z ^ (z >> 31)) % below;
}

/*
 * fill_pool
 *		Invoices to ask about: paid, authorised, open.
 */
static void
fill_pool(void)
{
	static const char *const actions[] = {"pay", "authorize", "authorize"};

	for (int i = 0; i < POOL; i++)
	{
		Reply r = api("SendPayment", "{\"CustomerName\":\"F\",\"InvoiceValue\":100,\"NotificationOption\":\"LNK\","
									 "\"CustomerReference\":\"fuzz\",\"Suppliers\":[{\"SupplierCode\":1,"
									 "\"InvoiceShare\":100,\"ProposedShare\":50}]}");

		snprintf(ids[i], sizeof(ids[i]), "%.0f", number_at(r.json, "Data.InvoiceId"));
		free_reply(&r);
		r = act(atof(ids[i]), actions[i % 3], "");
		snprintf(payments[i], sizeof(payments[i]), "%s", text_at(r.json, "transactions.0.payment_id"));
		free_reply(&r);
	}
}

/*
 * start_body
 *		A body to start from; its length.
 */
static size_t
start_body(char *text)
{
	size_t i = next_number(FIXTURES + 3 * KEYED);

	if (i < FIXTURES)
	{
		strcpy(text, bodies[i]);
		return strlen(text);
	}
	i = (i - FIXTURES) % KEYED;
	{
		const char *at_id = strstr(keyed[i], "%s");

		return (size_t) sprintf(text, "%.*s%s%s", (int) (at_id - keyed[i]), keyed[i], ids[next_number(POOL)], at_id + 2);
	}
}

/*
 * put_path
 *		The path of a call with an id in it.
 */
static void
put_path(size_t c, char *path, size_t size)
{
	const char *at_id = strstr(calls[c].path, "ID");
	size_t i = next_number(POOL);
	bool payment = strstr(calls[c].path, "PAYMENT") != NULL;

	if (payment)
		at_id = strstr(calls[c].path, "PAYMENT");
	if (at_id == NULL)
		snprintf(path, size, "%s", calls[c].path);
	else
		snprintf(path, size, "%.*s%s", (int) (at_id - calls[c].path), calls[c].path, payment ? payments[i] : ids[i]);
}

/*
 * mutate
 *		Change some bytes of a text; its new length.
 */
static size_t
mutate(char *text, size_t len, size_t room)
{
	for (uint64_t n = next_number(4); n > 0; n--)
	{
		size_t at = next_number(len + 1);
		size_t count = next_number(12);
		const char *token = tokens[next_number(sizeof(tokens) / sizeof(tokens[0]))];
		size_t token_len = strlen(token);

		switch (next_number(4))
		{
			case 0:
				if (at < len)
					text[at] ^= (char) (1 << next_number(8));
				break;
			case 1: /* take out */
				if (at + count > len)
					count = len - at;
				memmove(text + at, text + at + count, len - at - count);
				len -= count;
				break;
			case 2: /* put in */
				if (len + token_len > room)
					break;
				memmove(text + at + token_len, text + at, len - at);
				memcpy(text + at, token, token_len);
				len += token_len;
				break;
			default: /* in place of a value: what follows a colon */
			{
				char *colon = at < len ? memchr(text + at, ':', len - at) : NULL;
				size_t from = colon != NULL ? (size_t) (colon - text) + 1 : len;
				size_t to = from;

				while (to < len && text[to] != ',' && text[to] != '}')
					to++;
				if (colon == NULL || len - (to - from) + token_len > room)
					break;
				memmove(text + from + token_len, text + to, len - to);
				memcpy(text + from, token, token_len);
				len = len - (to - from) + token_len;
			}
		}
	}
	return len;
}

/*
 * one_call
 *		A changed body to some call, on a connection that is kept.
 */
static void
one_call(int *fd)
{
	size_t c = next_number(sizeof(calls) / sizeof(calls[0]));
	char text[MAX_BODY];
	char path[256];
	char headers[96] = "";
	char *request;
	size_t len = mutate(text, start_body(text), sizeof(text));
	Reply r;

	put_path(c, path, sizeof(path));
	if (next_number(3) == 0)
		snprintf(headers, sizeof(headers), "Idempotency-Key: key-%d\r\n", (int) next_number(20));
	request = compose(calls[c].method, path, headers, text, len, &len);
	if (*fd < 0)
		*fd = dial();
	send_all(*fd, request, len);
	r = read_reply(*fd, 10000);
	CHECK(r.status >= 200 && r.status < 500, "%s %s with %.*s: %d %s", calls[c].method, path, (int) len, request, r.status,
		  r.raw);
	CHECK(r.status != 200 || r.json != NULL, "%s %s: no JSON: %s", calls[c].method, path, r.raw);
	if (r.ending != STILL_OPEN || strstr(r.raw, "Connection: close") != NULL)
	{
		close(*fd);
		*fd = -1;
	}
	free_reply(&r);
	free(request);
}

/*
 * one_control
 *		A changed body to the control path.
 */
static void
one_control(void)
{
	static const struct
	{
		const char *path;
		const char *body;
	} controls[] = {
		{"account", "{\"country\":\"KWT\",\"refund_fee\":\"1.5\",\"balance\":null,\"auto_refund\":true}"},
		{"deposits", "{\"country\":\"KWT\",\"invoices\":[1,2,3],\"fees\":\"1.5\",\"webhook\":false}"},
		{"deposits", "{\"supplier\":1,\"refunds\":false}"},
		{"keys", "{\"key_index\":5,\"state\":\"expired\"}"},
		{"recurring/RECUR121800000/charge", "{\"fail\":true}"},
		{"faults", "{\"path\":\"/v9/none\",\"times\":1,\"status\":500}"},
		{"webhooks/event", "{\"code\":3}"},
	};
	size_t c = next_number(sizeof(controls) / sizeof(controls[0]));
	char text[1024];
	size_t len = strlen(controls[c].body);
	Reply r;

	memcpy(text, controls[c].body, len);
	len = mutate(text, len, sizeof(text) - 1);
	text[len] = '\0';
	/* No rule that a change made by chance may spoil the rest. */
	if (strcmp(controls[c].path, "faults") == 0 && strstr(text, "/v9/none") == NULL)
		return;
	r = control("POST", controls[c].path, text);
	CHECK(r.status >= 200 && r.status < 500 && r.json != NULL, "%s with %s: %s", controls[c].path, text, r.raw);
	free_reply(&r);
	if (strcmp(controls[c].path, "keys") == 0)
	{
		/* The key of these requests may have been meant. */
		r = control("POST", "keys", "{\"key_index\":0,\"state\":\"ok\"}");
		free_reply(&r);
	}
}

/*
 * one_raw
 *		A whole request, head and all, with bytes changed.
 */
static void
one_raw(void)
{
	char text[MAX_BODY];
	size_t len = start_body(text);
	char *request = compose("POST", calls[next_number(10)].path, "Idempotency-Key: raw\r\n", text, len, &len);
	int fd = dial();

	memcpy(text, request, len);
	len = mutate(text, len, sizeof(text));
	send_all(fd, text, len);
	if (next_number(2) == 0)
	{
		Reply r = read_reply(fd, 5);

		free_reply(&r);
	}
	close(fd);
	free(request);
}

/*
 * books_are_in_order
 *		Whatever was asked: no invoice gave back more than it took, and the
 *		counts agree with the list of refunds.
 */
static void
books_are_in_order(void)
{
	Reply invoices = control("GET", "invoices", "");
	Reply refunds = control("GET", "refunds", "");
	Reply counts = control("GET", "counts", "");
	const cJSON *inv;
	const cJSON *t;

	cJSON_ArrayForEach (inv, at(invoices.json, "invoices"))
	{
		double paid = 0;

		cJSON_ArrayForEach (t, at(inv, "transactions"))
			if (strcmp(text_at(t, "status"), "Succss") == 0)
				paid += atof(text_at(t, "value"));
		CHECK(atof(text_at(inv, "refunded")) <= paid + 0.0005, "invoice %.0f: %s of %f given back", number_at(inv, "id"),
			  text_at(inv, "refunded"), paid);
	}
	CHECK(cJSON_GetArraySize(at(refunds.json, "refunds")) ==
			  (int) (number_at(counts.json, "refunds_pending") + number_at(counts.json, "refunds_refunded") +
					 number_at(counts.json, "refunds_canceled")),
		  "%s", counts.body);
	CHECK(number_at(counts.json, "refunds_pending") + number_at(counts.json, "refunds_refunded") > 0 &&
			  number_at(counts.json, "captures") > 0 && number_at(counts.json, "v3") > 0,
		  "something came of it: %s", counts.body);
	free_reply(&invoices);
	free_reply(&refunds);
	free_reply(&counts);
}

/*
 * test_fuzz
 *		All of it.
 */
void
test_fuzz(void)
{
	const char *seed = getenv("FUZZ_SEED");
	const char *rounds = getenv("FUZZ_ROUNDS");
	int n = rounds != NULL ? atoi(rounds) : ROUNDS;
	int fd = -1;
	Reply r;

	state = seed != NULL ? strtoull(seed, NULL, 10) : 1;
	reset_server();
	for (size_t i = 0; i < FIXTURES; i++)
		bodies[i] = fixture_text(fixtures[i]);
	fill_pool();
	for (int i = 0; i < n; i++)
	{
		one_call(&fd);
		if (i % 20 == 0)
			one_control();
	}
	if (fd >= 0)
		close(fd);
	for (int i = 0; i < RAW_ROUNDS; i++)
		one_raw();
	books_are_in_order();
	r = control("GET", "health", "");
	CHECK(r.status == 200, "it is well: %s", r.body);
	free_reply(&r);
	for (size_t i = 0; i < FIXTURES; i++)
		free(bodies[i]);
	reset_server();
}
