/*
 * test_accounts.c
 *	  How an account is set up: Auto Refund, one refund at a time, a balance,
 *	  keys that do not work; suppliers' refunds; deposits; Idempotency-Key.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hooks.h"

#define KEYED "Idempotency-Key: "

static Reply ask(const char *name, const char *headers, const char *format, double id);
static void account(const char *settings);
static double paid_invoice(const char *reference, const char *more);
static int64_t counted(const char *query, const char *member);
static void test_settings(void);
static void test_auto_refund(void);
static void test_refused_refunds(void);
static void test_refund_amounts(void);
static void test_hidden_refunds(void);
static void test_supplier_refund(void);
static void test_undone(void);
static void test_operations(void);
static void test_keys(void);
static void test_quirks(void);
static void test_deposit(const char *version);
static void test_supplier_deposit(void);
static void test_replay(void);
static void test_key_window(void);
static void test_failed_first_call(void);
static void test_calls_at_once(void);

/*
 * ask
 *		A call with an id put into its body in place of ID.
 */
static Reply
ask(const char *name, const char *headers, const char *format, double id)
{
	char body[512];
	char path[64];
	const char *at_id = strstr(format, "ID");

	snprintf(body, sizeof(body), "%.*s%.0f%s", (int) (at_id - format), format, id, at_id + 2);
	snprintf(path, sizeof(path), "/v2/%s", name);
	return call("POST", path, headers, body);
}

/*
 * account
 *		Set the account of Kuwait up.
 */
static void
account(const char *settings)
{
	Reply r = control("POST", "account", settings);

	CHECK(r.status == 200, "%s: %s", settings, r.body);
	free_reply(&r);
}

/*
 * paid_invoice
 *		An invoice of 250.100 that was paid.
 */
static double
paid_invoice(const char *reference, const char *more)
{
	double id = new_invoice(reference, more);
	Reply r = act(id, "pay", "{\"gateway\":\"CARD\"}");

	CHECK(r.status == 200, "paid: %s", r.body);
	free_reply(&r);
	return id;
}

/*
 * counted
 *		One of the oracle's counts.
 */
static int64_t
counted(const char *query, const char *member)
{
	char path[128];
	Reply r;
	int64_t n;

	snprintf(path, sizeof(path), "counts?%s", query);
	r = control("GET", path, "");
	n = (int64_t) number_at(r.json, member);
	free_reply(&r);
	return n;
}

/*
 * test_settings
 *		All members or none; a reset forgets them; each country has its own.
 */
static void
test_settings(void)
{
	static const char *const bad[] = {
		"{\"auto_refund\":1}",			 "{\"no_such\":true}",		  "{\"balance\":5}",
		"{\"country\":\"DEU\"}",		 "{\"refund_answers\":\"x\"}", "{\"idempotency_failed\":true}",
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
	CHECK(strcmp(text_at(r.json, "balance"), "10.5") == 0 && strcmp(text_at(r.json, "idempotency_failed"), "lose") == 0,
		  "as set: %s", r.body);
	free_reply(&r);
	r = control("GET", "account", "");
	CHECK(cJSON_IsNull(at(r.json, "balance")), "not for Kuwait: %s", r.body);
	free_reply(&r);
	reset_server();
	r = control("GET", "account?country=SAU", "");
	CHECK(cJSON_IsNull(at(r.json, "balance")) && number_at(r.json, "idempotency_minutes") == 250, "as usual: %s", r.body);
	free_reply(&r);
}

/*
 * test_auto_refund
 *		With Auto Refund nobody has to decide, and the webhook comes at once.
 */
static void
test_auto_refund(void)
{
	double id;
	Reply r;

	fresh_start("v2", "");
	account("{\"auto_refund\":true}");
	id = paid_invoice("auto", "");
	r = ask("MakeRefund", "", "{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\",\"Amount\":1,\"ExternalIdentifier\":\"A\",\"Comment\":\"c\"}", id);
	answer_like(&r, "make-refund.response.json");
	free_reply(&r);
	r = ask("GetRefundStatus", "", "{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\"}", id);
	CHECK(strcmp(text_at(r.json, "Data.RefundStatusResult.0.RefundStatus"), "Refunded") == 0 &&
			  strcmp(text_at(r.json, "Data.RefundStatusResult.0.ExternalIdentifier"), "A") == 0,
		  "at once: %s", r.body);
	free_reply(&r);
	CHECK(strcmp(text_at(next_hook(1)->json, "Data.Refund.Status"), "REFUNDED") == 0, "%s", receiver_hook(1)->body);
	CHECK(counted("reference=auto", "refunds_refunded") == 1 && counted("reference=auto", "refunds_pending") == 0,
		  "counted");
}

/*
 * test_refused_refunds
 *		MyFatoorah's texts where an account is so set up.
 */
static void
test_refused_refunds(void)
{
	const char *one = "{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\",\"Amount\":1}";
	double id, refund;
	char path[64];
	Reply r;

	reset_server();
	account("{\"one_refund_at_a_time\":true,\"balance\":\"2.5\"}");
	id = paid_invoice("refused", "");
	r = ask("MakeRefund", "", one, id);
	CHECK(r.status == 200, "the first: %s", r.body);
	refund = number_at(r.json, "Data.RefundId");
	free_reply(&r);
	r = ask("MakeRefund", "", one, id);
	CHECK(r.status == 400 &&
			  strcmp(r.body, "{\"IsSuccess\":false,\"Message\":\"Invalid data\",\"ValidationErrors\":[{\"Name\":\"Key\","
							 "\"Error\":\"The transaction is already under processing!\"}],\"Data\":null}") == 0,
		  "one at a time: %s", r.body);
	free_reply(&r);
	snprintf(path, sizeof(path), "refunds/%.0f/approve", refund);
	r = control("POST", path, "");
	free_reply(&r);
	r = ask("MakeRefund", "", "{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\",\"Amount\":1.6}", id);
	CHECK(strcmp(text_at(r.json, "ValidationErrors.0.Name"), "Amount") == 0 &&
			  strcmp(text_at(r.json, "ValidationErrors.0.Error"), "Insufficient balance for vendor") == 0,
		  "1.5 are left: %s", r.body);
	free_reply(&r);
	r = ask("MakeRefund", "", "{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\",\"Amount\":1.5}", id);
	CHECK(r.status == 200, "and no more: %s", r.body);
	snprintf(path, sizeof(path), "refunds/%.0f/reject", number_at(r.json, "Data.RefundId"));
	free_reply(&r);
	r = control("POST", path, "");
	free_reply(&r);
	r = control("GET", "account", "");
	CHECK(strcmp(text_at(r.json, "balance"), "1.5") == 0, "what was refused is back: %s", r.body);
	free_reply(&r);
	CHECK(counted("reference=refused", "refunds_refunded") == 1 && counted("reference=refused", "refunds_canceled") == 1,
		  "counted");
	CHECK(count_of("path=MakeRefund&reference=refused") == 4 && count_of("path=SendPayment&reference=refused") == 1 &&
			  count_of("path=GetRefundStatus&reference=refused") == 0,
		  "requests by call and reference");
}

/*
 * test_refund_amounts
 *		The fee may be the payer's; older pages show fewer members.
 */
static void
test_refund_amounts(void)
{
	double id;
	Reply r;

	reset_server();
	id = paid_invoice("amounts", "");
	account("{\"refund_fee\":\"1.36\",\"refund_answers\":\"old\"}");
	r = ask("MakeRefund", "", "{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\",\"Amount\":1}", id);
	free_reply(&r);
	r = ask("MakeRefund", "", "{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\",\"Amount\":3,\"ServiceChargeOnCustomer\":true}",
			id);
	free_reply(&r);
	r = ask("GetRefundStatus", "", "{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\"}", id);
	answer_like(&r, "get-refund-status.response.amount-differs.json");
	CHECK(strstr(r.body, "\"Amount\":3,\"") != NULL && strstr(r.body, "\"RefundAmount\":1.64}") != NULL,
		  "3 asked, 1.64 given back: %s", r.body);
	free_reply(&r);
	account("{\"refund_fee\":null,\"refund_answers\":\"reference\"}");
	r = ask("MakeRefund", "", "{\"Key\":ID,\"KeyType\":\"InvoiceId\",\"Amount\":\"100\",\"ServiceChargeOnCustomer\":true}",
			id);
	CHECK(strcmp(text_at(r.json, "Message"), "Refund processed successfully") == 0 &&
			  cJSON_IsString(at(r.json, "Data.RefundInvoiceId")) && cJSON_IsString(at(r.json, "Data.Key")),
		  "the reference page: %s", r.body);
	free_reply(&r);
	account("{\"refund_answers\":\"guide\"}");
	r = ask("GetRefundStatus", "", "{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\"}", id);
	CHECK(strstr(r.body, "\"RefundAmount\":97.757,") != NULL, "the fee of a payment: %s", r.body);
	free_reply(&r);
	r = ask("MakeRefund", "",
			"{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\",\"Amount\":1,\"ServiceChargeOnCustomer\":\"perhaps\"}", id);
	CHECK(r.status == 400, "no such flag: %s", r.body);
	free_reply(&r);
}

/*
 * test_hidden_refunds
 *		A new refund is not seen at once where an account is so set up.
 */
static void
test_hidden_refunds(void)
{
	const char *status = "{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\"}";
	double id;
	Reply r;

	reset_server();
	id = paid_invoice("hidden", "");
	r = ask("MakeRefund", "", "{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\",\"Amount\":1}", id);
	free_reply(&r);
	account("{\"refund_hidden_reads\":1}");
	r = ask("MakeRefund", "", "{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\",\"Amount\":2}", id);
	free_reply(&r);
	r = ask("GetRefundStatus", "", status, id);
	CHECK(cJSON_GetArraySize(at(r.json, "Data.RefundStatusResult")) == 1, "the old one: %s", r.body);
	free_reply(&r);
	r = ask("GetRefundStatus", "", status, id);
	CHECK(cJSON_GetArraySize(at(r.json, "Data.RefundStatusResult")) == 2, "both: %s", r.body);
	free_reply(&r);
}

/*
 * test_supplier_refund
 *		MakeSupplierRefund: no total, and each supplier bears its part.
 */
static void
test_supplier_refund(void)
{
	static const char *const bad[] = {
		"{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\"}",
		"{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\",\"Suppliers\":[{\"SupplierCode\":9,\"SupplierDeductedAmount\":1}]}",
		"{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\",\"Suppliers\":[{\"SupplierCode\":1,\"SupplierDeductedAmount\":101}]}",
		"{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\",\"Suppliers\":[{\"SupplierCode\":1,\"SupplierDeductedAmount\":-1}]}",
		"{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\",\"Suppliers\":[7]}",
		"{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\",\"VendorDeductAmount\":-1}",
		"{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\",\"VendorDeductAmount\":251}",
		"{\"Key\":\"ID\",\"KeyType\":\"CustomerReference\",\"VendorDeductAmount\":1}",
	};
	double id;
	Reply r;

	fresh_start("v2", "");
	account("{\"auto_refund\":true}");
	id = paid_invoice("supplier", ",\"Suppliers\":[{\"SupplierCode\":1,\"InvoiceShare\":100,\"ProposedShare\":90},"
								  "{\"SupplierCode\":2,\"InvoiceShare\":150.100}]");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		r = ask("MakeSupplierRefund", "", bad[i], id);
		CHECK(r.status == 400, "%s: %s", bad[i], r.body);
		free_reply(&r);
	}
	r = ask("MakeSupplierRefund", "",
			"{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\",\"VendorDeductAmount\":10,\"Comment\":\"c\","
			"\"ExternalIdentifier\":\"S-1\",\"Suppliers\":[{\"SupplierCode\":1,\"SupplierDeductedAmount\":20},"
			"{\"SupplierCode\":2,\"SupplierDeductedAmount\":0.5}]}",
			id);
	answer_like(&r, "make-supplier-refund.response.json");
	CHECK(strstr(r.body, "\"Amount\":30.5,") != NULL && strcmp(text_at(r.json, "Data.ExternalIdentifier"), "S-1") == 0,
		  "the sum: %s", r.body);
	free_reply(&r);
	message_like(next_hook(1)->json, "webhook-v2.refund.refunded.body.json");
	r = control("GET", "refunds?external=S-1", "");
	CHECK(cJSON_GetArraySize(at(r.json, "refunds")) == 1 && strcmp(text_at(r.json, "refunds.0.by_vendor"), "10.0") == 0,
		  "the oracle: %s", r.body);
	free_reply(&r);
	CHECK(strcmp(text_at(receiver_hook(1)->json, "Data.Amount.Distribution.Vendor"), "10") == 0 &&
			  strcmp(text_at(receiver_hook(1)->json, "Data.Amount.Distribution.Suppliers.1.Amount"), "0.5") == 0 &&
			  strcmp(text_at(receiver_hook(1)->json, "Data.Refund.VendorComment"), "Supplier Refund") == 0,
		  "who bears what: %s", receiver_hook(1)->body);
}

/*
 * test_undone
 *		A rule may have calls answered as usual and keep nothing.
 */
static void
test_undone(void)
{
	double id;
	Reply r;

	fresh_start("v2", "");
	id = paid_invoice("undone", "");
	arm("{\"path\":\"MakeRefund\",\"create\":false}");
	r = ask("MakeRefund", "", "{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\",\"Amount\":250.1}", id);
	CHECK(r.status == 200, "as if: %s", r.body);
	free_reply(&r);
	r = ask("GetRefundStatus", "", "{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\"}", id);
	CHECK(r.status == 400, "not filed: %s", r.body);
	free_reply(&r);
	arm("{\"path\":\"MakeRefund\",\"status\":502,\"create\":true,\"body\":\"<h1>Bad Gateway</h1>\"}");
	r = ask("MakeRefund", "", "{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\",\"Amount\":250.1}", id);
	CHECK(r.status == 502, "lost: %s", r.body);
	free_reply(&r);
	CHECK(counted("reference=undone", "refunds_pending") == 1, "and filed");

	id = new_invoice("undone-2", ",\"ProcessingDetails\":{\"AutoCapture\":false}");
	r = act(id, "pay", "{\"gateway\":\"CARD\"}");
	free_reply(&r);
	next_hook(1);
	arm("{\"path\":\"UpdatePaymentStatus\",\"create\":false}");
	r = ask("UpdatePaymentStatus", "", "{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\",\"Operation\":\"Capture\",\"Amount\":2}",
			id);
	CHECK(strcmp(text_at(r.json, "Data.InvoiceStatus"), "Paid") == 0, "as if: %s", r.body);
	free_reply(&r);
	r = ask("GetPaymentStatus", "", "{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\"}", id);
	CHECK(strcmp(text_at(r.json, "Data.InvoiceStatus"), "Pending") == 0 &&
			  cJSON_GetArraySize(at(r.json, "Data.InvoiceTransactions")) == 1 &&
			  strstr(r.body, "\"InvoiceValue\":250.100,") != NULL,
		  "not captured: %s", r.body);
	free_reply(&r);
	CHECK(counted("reference=undone-2", "captures") == 0, "not counted");
	r = ask("UpdatePaymentStatus", "", "{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\",\"Operation\":\"Release\"}", id);
	CHECK(r.status == 200, "still possible: %s", r.body);
	free_reply(&r);
	CHECK(counted("reference=undone-2", "releases") == 1, "counted");
	CHECK(strcmp(text_at(next_hook(2)->json, "Data.Transaction.Status"), "CANCELED") == 0,
		  "nobody was told of the capture: %s", receiver_hook(2)->body);
}

/*
 * test_operations
 *		Captures and releases as either page of the documentation shows them.
 */
static void
test_operations(void)
{
	char *capture = fixture_text("update-payment-status.request.capture.json");
	const char *more = ",\"ProcessingDetails\":{\"AutoCapture\":false}";
	char body[256];
	double id;
	Reply r;

	reset_server();
	id = new_invoice("guide", more);
	r = act(id, "pay", "{\"gateway\":\"CARD\"}");
	free_reply(&r);
	snprintf(body, sizeof(body), "%.*s%.0f%s", (int) (strstr(capture, "5822983") - capture), capture, id,
			 strstr(capture, "5822983") + 7);
	r = api("UpdatePaymentStatus", body);
	answer_like(&r, "update-payment-status.response.captured.json");
	free_reply(&r);
	account("{\"capture_answers\":\"reference\"}");
	id = new_invoice("reference", more);
	r = act(id, "pay", "{\"gateway\":\"CARD\"}");
	free_reply(&r);
	snprintf(body, sizeof(body), "%.*s%.0f%s", (int) (strstr(capture, "5822983") - capture), capture, id,
			 strstr(capture, "5822983") + 7);
	r = api("UpdatePaymentStatus", body);
	message_like(r.json, "update-payment-status.response.captured-reference-page.json");
	CHECK(strcmp(text_at(r.json, "Message"), "Payment captured successfully") == 0, "%s", r.body);
	free_reply(&r);
	account("{\"capture_answers\":\"guide\"}");
	id = new_invoice("release", more);
	r = act(id, "pay", "{\"gateway\":\"CARD\"}");
	free_reply(&r);
	r = ask("UpdatePaymentStatus", "", "{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\",\"Operation\":\"release\",\"Amount\":2}",
			id);
	CHECK(r.status == 400, "the whole or nothing: %s", r.body);
	free_reply(&r);
	r = api("UpdatePaymentStatus",
			"{\"Key\":\"release\",\"KeyType\":\"customerreference\",\"Operation\":\"release\",\"Amount\":\"250.1\"}");
	CHECK(strcmp(text_at(r.json, "Data.InvoiceTransactions.1.TransactionStatus"), "Canceled") == 0 &&
			  strcmp(text_at(r.json, "Data.InvoiceTransactions.1.ReferenceId"),
					 text_at(r.json, "Data.InvoiceTransactions.1.PaymentId")) == 0,
		  "released, all ids the same: %s", r.body);
	free_reply(&r);
	CHECK(counted("", "captures") == 2 && counted("", "releases") == 1, "counted");
	free(capture);
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
		CHECK(r.status == cases[i].status && strcmp(r.body, cases[i].body) == 0, "%s: %s", cases[i].state, r.body);
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
	r = call("POST", "//v2/SendPayment", "",
			 "{\"customername\":\"A\",\"invoiceValue\":\"2.500\",\"NotificationOption\":\"Lnk\",\"ShippingConsignee\":\"\","
			 "\"InvoiceItems\":\"\",\"Suppliers\":\"\",\"CustomerAddress\":\"\",\"ProcessingDetails\":\"\","
			 "\"InvoicePaymentMethods\":\"\",\"CustomerReference\":\"quirks\"}");
	CHECK(r.status == 200, "a slash too many, empty texts for objects, names in any case: %s", r.body);
	free_reply(&r);
	CHECK(count_of("path=SendPayment&reference=quirks") == 1 && count_of("path=/v2/SendPayment") == 1,
		  "the ledger knows the path");
	r = call("POST", "/v2/SendPayment", "",
			 "{\"CustomerName\":\"A\",\"InvoiceValue\":1,\"NotificationOption\":\"LNK\",\"ShippingConsignee\":\"x\"}");
	CHECK(r.status == 400, "but no other text: %s", r.body);
	free_reply(&r);
}

/*
 * test_deposit
 *		Paid invoices are paid out: the event, the list, the status; refunds and
 *		fees are taken off without being listed.
 */
static void
test_deposit(const char *version)
{
	char *request = fixture_text("get-deposited-invoices.request.vendor.json");
	bool v1 = strcmp(version, "v1") == 0;
	char body[256];
	char reference[32];
	double id, other;
	Reply r;

	fresh_start(version, ",\"connections\":1");
	r = control("POST", "deposits", "{}");
	CHECK(r.status == 409, "nothing is due: %s", r.body);
	free_reply(&r);
	id = paid_invoice("deposit", "");
	other = paid_invoice("deposit-2", "");
	new_invoice("open", "");
	r = act(id, "refund", "{\"amount\":\"10\"}");
	free_reply(&r);
	r = control("POST", "deposits", "{\"fees\":\"1.5\"}");
	CHECK(r.status == 200 && number_at(r.json, "count") == 2 && strcmp(text_at(r.json, "itemised"), "488.982") == 0 &&
			  strcmp(text_at(r.json, "announced"), "477.482") == 0,
		  "488.982 less 10 less 1.5: %s", r.body);
	snprintf(reference, sizeof(reference), "%s", text_at(r.json, "reference"));
	free_reply(&r);
	message_like(next_hook(3)->json,
				 v1 ? "webhook-v1.deposit.vendor.body.json" : "webhook-v2.balance-transferred.vendor.body.json");
	CHECK(strcmp(text_at(receiver_hook(3)->json, v1 ? "Data.DepositedAmount" : "Data.Deposit.ValueInBaseCurrency"),
				 "477.482") == 0 &&
			  strcmp(text_at(receiver_hook(3)->json, v1 ? "Data.DepositReference" : "Data.Deposit.Reference"), reference) ==
				  0 &&
			  strcmp(text_at(receiver_hook(3)->json,
							 v1 ? "Data.NumberOfTransactions" : "Data.Deposit.NumberOfTransactions"),
					 "2") == 0,
		  "the event: %s", receiver_hook(3)->body);
	CHECK(signature_holds(receiver_hook(3), SECRET), "signed");
	snprintf(body, sizeof(body), "%.*s%s%s", (int) (strstr(request, "2023000011") - request), request, reference,
			 strstr(request, "2023000011") + 10);
	r = api("GetDepositedInvoices", body);
	message_like(r.json, "get-deposited-invoices.response.vendor.json");
	CHECK(number_at(r.json, "Data.0.InvoiceId") == id && number_at(r.json, "Data.1.InvoiceId") == other &&
			  strcmp(text_at(r.json, "Data.0.DueDeposit"), "244.491") == 0 &&
			  strcmp(text_at(r.json, "Data.0.InvoiceValue"), "250.100") == 0 &&
			  strcmp(text_at(r.json, "Data.0.DepositReference"), reference) == 0,
		  "the list: %s", r.body);
	free_reply(&r);
	r = call("POST", "/v2/GetDepositedInvoices", "Authorization: Bearer SK_SAU_demo\r\n", body);
	CHECK(r.status == 400, "not for another account: %s", r.body);
	free_reply(&r);
	r = ask("GetPaymentStatus", "", "{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\"}", id);
	CHECK(strcmp(text_at(r.json, "Data.DepositStatus"), "Deposited") == 0, "%s", r.body);
	free_reply(&r);
	r = control("POST", "deposits", "{}");
	CHECK(r.status == 409, "once: %s", r.body);
	free_reply(&r);
	snprintf(body, sizeof(body), "{\"invoices\":[%.0f]}", id);
	r = control("POST", "deposits", body);
	CHECK(r.status == 409, "nor by name: %s", r.body);
	free_reply(&r);
	r = control("GET", "deposits", "");
	CHECK(cJSON_GetArraySize(at(r.json, "deposits")) == 1, "%s", r.body);
	free_reply(&r);
	r = api("GetDepositedInvoices", "{\"DepositReference\":\"1\"}");
	CHECK(r.status == 400, "no such deposit: %s", r.body);
	free_reply(&r);
	r = api("GetDepositedInvoices", "{}");
	CHECK(r.status == 400, "which? %s", r.body);
	free_reply(&r);
	free(request);
}

/*
 * test_supplier_deposit
 *		A supplier's deposit lists its shares.
 */
static void
test_supplier_deposit(void)
{
	char body[128];
	Reply r;

	fresh_start("v1", "");
	paid_invoice("supplier", ",\"Suppliers\":[{\"SupplierCode\":7,\"InvoiceShare\":250.100,\"ProposedShare\":90}]");
	paid_invoice("without", "");
	r = control("POST", "deposits", "{\"supplier\":7}");
	CHECK(r.status == 200 && number_at(r.json, "count") == 1, "%s", r.body);
	snprintf(body, sizeof(body), "{\"DepositReference\":\"%s\",\"Type\":\"Supplier\",\"SupplierCode\":7}",
			 text_at(r.json, "reference"));
	free_reply(&r);
	r = api("GetDepositedInvoices", body);
	message_like(r.json, "get-deposited-invoices.response.supplier.json");
	CHECK(strcmp(text_at(r.json, "Data.0.DueDeposit"), "90.000") == 0, "its share: %s", r.body);
	free_reply(&r);
	body[strlen(body) - 2] = '8';
	r = api("GetDepositedInvoices", body);
	CHECK(r.status == 400, "not another supplier's: %s", r.body);
	free_reply(&r);
	CHECK(strcmp(text_at(next_hook(2)->json, "Data.DepositFor"), "SUPPLIER") == 0 &&
			  number_at(receiver_hook(2)->json, "Data.SupplierCode") == 7 && signature_holds(receiver_hook(2), SECRET),
		  "the event: %s", receiver_hook(2)->body);
	r = control("POST", "deposits", "{\"webhook\":false}");
	CHECK(number_at(r.json, "count") == 2 && strcmp(text_at(r.json, "itemised"), "398.982") == 0,
		  "the vendor gets the rest: %s", r.body);
	free_reply(&r);
}

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
	CHECK(cJSON_GetArraySize(at(r.json, "keys")) == 2 && number_at(r.json, "keys.0.replays") == 1, "%s", r.body);
	free_reply(&r);
	account("{\"idempotency\":false}");
	r = ask("MakeRefund", KEYED "a\r\n", one, id);
	CHECK(r.status == 200 && strcmp(first, r.body) != 0, "switched off: %s", r.body);
	free_reply(&r);
	free(first);
	r = ask("UpdatePaymentStatus", KEYED "b\r\n", "{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\",\"Operation\":\"x\"}", id);
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
		{"{\"idempotency_failed\":\"forget\"}", false, 200, 1}, {"{\"idempotency_failed\":\"keep\"}", false, 500, 0},
		{"{\"idempotency_failed\":\"lose\"}", false, 200, 1},	{"{\"idempotency_failed\":\"forget\"}", true, 200, 1},
		{"{\"idempotency_failed\":\"keep\"}", true, 200, 1},	{"{\"idempotency_failed\":\"lose\"}", true, 200, 2},
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
		CHECK(counted("", "refunds_pending") == cases[i / 2].refunds, "case %d: %d refunds", i, cases[i / 2].refunds);
	}
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
	test_auto_refund();
	test_refused_refunds();
	test_refund_amounts();
	test_hidden_refunds();
	test_supplier_refund();
	test_undone();
	test_operations();
	test_keys();
	test_quirks();
	test_deposit("v1");
	test_deposit("v2");
	test_supplier_deposit();
	test_replay();
	test_key_window();
	test_failed_first_call();
	test_calls_at_once();
	reset_server();
	receiver_stop();
}
