/*
 * test_make_refund.c
 *	  MakeRefund and MakeSupplierRefund: Auto Refund, one refund at a time, a balance,
 *	  what is refused, hidden or lost.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hooks.h"

/*
 * test_auto_refund
 *		With Auto Refund nobody has to decide, and the webhook comes at once.
 */
static void
test_auto_refund(void)
{
	double id;
	Reply r;

	fresh_start("v2", ",\"connections\":1");
	account("{\"auto_refund\":true}");
	id = paid_invoice("auto", "");
	r = ask(
		"MakeRefund", "",
		"{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\",\"Amount\":1,\"ExternalIdentifier\":\"A\",\"Comment\":\"c\"}",
		id);
	answer_like(&r, "make-refund.response.json");
	free_reply(&r);
	r = ask("GetRefundStatus", "", "{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\"}", id);
	CHECK(strcmp(text_at(r.json, "Data.RefundStatusResult.0.RefundStatus"), "Refunded") == 0 &&
			  strcmp(text_at(r.json, "Data.RefundStatusResult.0.ExternalIdentifier"), "A") == 0,
		  "at once: %s", r.body);
	free_reply(&r);
	CHECK(strcmp(text_at(next_hook(1)->json, "Data.Refund.Status"), "REFUNDED") == 0, "%s",
		  receiver_hook(1)->body);
	CHECK(counted("reference=auto", "refunds_refunded") == 1 &&
			  counted("reference=auto", "refunds_pending") == 0,
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
			  strcmp(
				  r.body,
				  "{\"IsSuccess\":false,\"Message\":\"Invalid data\",\"ValidationErrors\":[{\"Name\":\"Key\","
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
	CHECK(counted("reference=refused", "refunds_refunded") == 1 &&
			  counted("reference=refused", "refunds_canceled") == 1,
		  "counted");
	CHECK(count_of("path=MakeRefund&reference=refused") == 4 &&
			  count_of("path=SendPayment&reference=refused") == 1 &&
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
	r = ask("MakeRefund", "",
			"{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\",\"Amount\":3,\"ServiceChargeOnCustomer\":true}", id);
	free_reply(&r);
	r = ask("GetRefundStatus", "", "{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\"}", id);
	answer_like(&r, "get-refund-status.response.amount-differs.json");
	CHECK(strstr(r.body, "\"Amount\":3,\"") != NULL && strstr(r.body, "\"RefundAmount\":1.64}") != NULL,
		  "3 asked, 1.64 given back: %s", r.body);
	free_reply(&r);
	account("{\"refund_fee\":null,\"refund_answers\":\"reference\"}");
	r = ask("MakeRefund", "",
			"{\"Key\":ID,\"KeyType\":\"InvoiceId\",\"Amount\":\"100\",\"ServiceChargeOnCustomer\":true}", id);
	CHECK(strcmp(text_at(r.json, "Message"), "Refund processed successfully") == 0 &&
			  cJSON_IsString(at(r.json, "Data.RefundInvoiceId")) && cJSON_IsString(at(r.json, "Data.Key")),
		  "the reference page: %s", r.body);
	free_reply(&r);
	account("{\"refund_answers\":\"guide\"}");
	r = ask("GetRefundStatus", "", "{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\"}", id);
	CHECK(strstr(r.body, "\"RefundAmount\":97.757,") != NULL, "the fee of a payment: %s", r.body);
	free_reply(&r);
	r = ask("MakeRefund", "",
			"{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\",\"Amount\":1,\"ServiceChargeOnCustomer\":\"perhaps\"}",
			id);
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

	fresh_start("v2", ",\"connections\":1");
	account("{\"auto_refund\":true}");
	id = paid_invoice("supplier",
					  ",\"Suppliers\":[{\"SupplierCode\":1,\"InvoiceShare\":100,\"ProposedShare\":90},"
					  "{\"SupplierCode\":2,\"InvoiceShare\":150.100}]");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		r = ask("MakeSupplierRefund", "", bad[i], id);
		CHECK(r.status == 400, "%s: %s", bad[i], r.body);
		free_reply(&r);
	}
	r = ask(
		"MakeSupplierRefund", "",
		"{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\",\"VendorDeductAmount\":10,\"Comment\":\"c\","
		"\"ExternalIdentifier\":\"S-1\",\"Suppliers\":[{\"SupplierCode\":1,\"SupplierDeductedAmount\":20},"
		"{\"SupplierCode\":2,\"SupplierDeductedAmount\":0.5}]}",
		id);
	answer_like(&r, "make-supplier-refund.response.json");
	CHECK(strstr(r.body, "\"Amount\":30.5,") != NULL &&
			  strcmp(text_at(r.json, "Data.ExternalIdentifier"), "S-1") == 0,
		  "the sum: %s", r.body);
	free_reply(&r);
	message_like(next_hook(1)->json, "webhook-v2.refund.refunded.body.json");
	r = control("GET", "refunds?external=S-1", "");
	CHECK(cJSON_GetArraySize(at(r.json, "refunds")) == 1 &&
			  strcmp(text_at(r.json, "refunds.0.by_vendor"), "10.0") == 0,
		  "the oracle: %s", r.body);
	free_reply(&r);
	CHECK(strcmp(text_at(receiver_hook(1)->json, "Data.Amount.Distribution.Vendor"), "10") == 0 &&
			  strcmp(text_at(receiver_hook(1)->json, "Data.Amount.Distribution.Suppliers.1.Amount"), "0.5") ==
				  0 &&
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

	fresh_start("v2", ",\"connections\":1");
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
	r = ask("UpdatePaymentStatus", "",
			"{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\",\"Operation\":\"Capture\",\"Amount\":2}", id);
	CHECK(strcmp(text_at(r.json, "Data.InvoiceStatus"), "Paid") == 0, "as if: %s", r.body);
	free_reply(&r);
	r = ask("GetPaymentStatus", "", "{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\"}", id);
	CHECK(strcmp(text_at(r.json, "Data.InvoiceStatus"), "Pending") == 0 &&
			  cJSON_GetArraySize(at(r.json, "Data.InvoiceTransactions")) == 1 &&
			  strstr(r.body, "\"InvoiceValue\":250.100,") != NULL,
		  "not captured: %s", r.body);
	free_reply(&r);
	CHECK(counted("reference=undone-2", "captures") == 0, "not counted");
	r = ask("UpdatePaymentStatus", "", "{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\",\"Operation\":\"Release\"}",
			id);
	CHECK(r.status == 200, "still possible: %s", r.body);
	free_reply(&r);
	CHECK(counted("reference=undone-2", "releases") == 1, "counted");
	CHECK(strcmp(text_at(next_hook(2)->json, "Data.Transaction.Status"), "CANCELED") == 0,
		  "nobody was told of the capture: %s", receiver_hook(2)->body);
}

/*
 * test_make_refund
 *		All of it.
 */
void
test_make_refund(void)
{
	receiver_start();
	test_auto_refund();
	test_refused_refunds();
	test_refund_amounts();
	test_hidden_refunds();
	test_supplier_refund();
	test_undone();
	reset_server();
	receiver_stop();
}
