/*
 * test_refunds.c
 *	  Refunds, captures, releases, and answers that lag behind.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hooks.h"

/*
 * decide
 *		Approve or reject a refund.
 */
static Reply
decide(double refund, const char *decision)
{
	char path[64];

	snprintf(path, sizeof(path), "refunds/%.0f/%s", refund, decision);
	return control("POST", path, "");
}

/*
 * test_refund
 *		A request is pending until decided; answers as published; never more
 *		than was paid.
 */
static void
test_refund(void)
{
	static const char *const bad[] = {
		"{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\",\"Amount\":300}",
		"{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\",\"Amount\":0}",
		"{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\"}",
		"{\"Key\":\"ID\",\"KeyType\":\"CustomerReference\",\"Amount\":1}",
		"{\"Key\":\"ID\",\"KeyType\":\"PaymentId\",\"Amount\":1}",
		"{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\",\"Amount\":\"x\"}",
	};
	double id, refund, other;
	char reference[32];
	char body[128];
	Reply r;

	fresh_start("v2", ",\"connections\":1");
	id = new_invoice("refund", "");
	r = ask("MakeRefund", "", "{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\",\"Amount\":1}", id);
	CHECK(r.status == 400, "not paid yet: %s", r.body);
	free_reply(&r);
	r = ask("GetRefundStatus", "", "{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\"}", id);
	CHECK(r.status == 400 && strcmp(text_at(r.json, "Message"), "No data match the provided values") == 0,
		  "no refunds: %s", r.body);
	free_reply(&r);
	r = act(id, "pay", "");
	free_reply(&r);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		r = ask("MakeRefund", "", bad[i], id);
		CHECK(r.status == 400 && cJSON_IsFalse(at(r.json, "IsSuccess")), "%s: %s", bad[i], r.body);
		free_reply(&r);
	}
	r = ask(
		"MakeRefund", "",
		"{\"Key\":\"ID\",\"KeyType\":\"invoiceid\",\"ServiceChargeOnCustomer\":false,"
		"\"ExternalIdentifier\":\"MF-222\",\"Amount\":1,\"Comment\":\"c\",\"AmountDeductedFromSupplier\":0}",
		id);
	message_like(r.json, "make-refund.response.json");
	CHECK(strstr(r.body, "\"Amount\":1.0,") != NULL, "one decimal: %s", r.body);
	refund = number_at(r.json, "Data.RefundId");
	snprintf(reference, sizeof(reference), "%s", text_at(r.json, "Data.RefundReference"));
	free_reply(&r);
	r = ask("MakeRefund", "", "{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\",\"Amount\":249.1}", id);
	CHECK(r.status == 200, "the rest: %s", r.body);
	other = number_at(r.json, "Data.RefundId");
	free_reply(&r);
	r = ask("MakeRefund", "", "{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\",\"Amount\":0.001}", id);
	CHECK(r.status == 400, "and no more: %s", r.body);
	free_reply(&r);
	r = ask("GetRefundStatus", "", "{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\"}", id);
	message_like(r.json, "get-refund-status.response.json");
	CHECK(cJSON_GetArraySize(at(r.json, "Data.RefundStatusResult")) == 2 &&
			  strcmp(text_at(r.json, "Data.RefundStatusResult.0.RefundStatus"), "Pending") == 0 &&
			  cJSON_IsNull(at(r.json, "Data.RefundStatusResult.0.RRN")) &&
			  strstr(r.body, "\"Amount\":1.000,") != NULL,
		  "both are pending: %s", r.body);
	free_reply(&r);
	wait_finished(1);
	CHECK(receiver_count() == 1, "nobody is told yet");

	r = decide(refund, "approve");
	CHECK(r.status == 200 && strcmp(text_at(r.json, "status"), "Refunded") == 0, "%s", r.body);
	free_reply(&r);
	r = decide(other, "reject");
	CHECK(r.status == 200, "%s", r.body);
	free_reply(&r);
	r = decide(other, "approve");
	CHECK(r.status == 409, "once: %s", r.body);
	free_reply(&r);
	CHECK(strcmp(text_at(next_hook(1)->json, "Data.Refund.Status"), "REFUNDED") == 0, "%s",
		  receiver_hook(1)->body);
	CHECK(strcmp(text_at(next_hook(2)->json, "Data.Refund.Status"), "CANCELED") == 0, "%s",
		  receiver_hook(2)->body);
	CHECK(strcmp(text_at(receiver_hook(2)->json, "Data.ReferencedInvoice.RemainingValueInBaseCurrency"),
				 "249.1") == 0,
		  "what was refused is left: %s", receiver_hook(2)->body);
	snprintf(body, sizeof(body), "{\"Key\":\"%s\",\"KeyType\":\"RefundReference\"}", reference);
	r = api("GetRefundStatus", body);
	CHECK(cJSON_GetArraySize(at(r.json, "Data.RefundStatusResult")) == 1 &&
			  strcmp(text_at(r.json, "Data.RefundStatusResult.0.RefundStatus"), "Refunded") == 0 &&
			  strlen(text_at(r.json, "Data.RefundStatusResult.0.RRN")) == 12,
		  "by reference: %s", r.body);
	free_reply(&r);
	r = ask("GetRefundStatus", "", "{\"Key\":\"ID\",\"KeyType\":\"RefundId\"}", other);
	CHECK(strcmp(text_at(r.json, "Data.RefundStatusResult.0.RefundStatus"), "Canceled") == 0, "by id: %s",
		  r.body);
	free_reply(&r);
	r = control("GET", "refunds", "");
	CHECK(cJSON_GetArraySize(at(r.json, "refunds")) == 2 && number_at(r.json, "refunds.0.id") == refund,
		  "the oracle's list: %s", r.body);
	free_reply(&r);
	snprintf(body, sizeof(body), "{\"Key\":\"%.0f\",\"KeyType\":\"RefundId\"}", refund);
	r = call("POST", "/v2/GetRefundStatus", "Authorization: Bearer SK_SAU_demo\r\n", body);
	CHECK(r.status == 400, "not for another account: %s", r.body);
	free_reply(&r);
	r = decide(1, "approve");
	CHECK(r.status == 404, "no such refund");
	free_reply(&r);
	r = act(id, "pay", "{\"duplicate\":true}");
	free_reply(&r);
	r = act(id, "refund", "{\"amount\":\"499.200\"}");
	CHECK(r.status == 200, "of two payments, both: %s", r.body);
	free_reply(&r);
	r = act(id, "refund", "{\"amount\":\"0.001\"}");
	CHECK(r.status == 409, "and no more: %s", r.body);
	free_reply(&r);
}

/*
 * test_capture
 *		Part of what was authorised is taken; the invoice is worth that.
 */
static void
test_capture(void)
{
	double id;
	Reply r;

	reset_server();
	id = new_invoice("capture", ",\"ProcessingDetails\":{\"AutoCapture\":false}");
	r = ask("UpdatePaymentStatus", "",
			"{\"Operation\":\"capture\",\"Amount\":2,\"Key\":\"ID\",\"KeyType\":\"Invoiceid\"}", id);
	CHECK(r.status == 400, "nothing to capture: %s", r.body);
	free_reply(&r);
	r = act(id, "pay", "{\"gateway\":\"CARD\"}");
	CHECK(strcmp(text_at(r.json, "status"), "Pending") == 0, "authorised");
	free_reply(&r);
	r = ask("UpdatePaymentStatus", "", "{\"Operation\":\"capture\",\"Key\":\"ID\",\"KeyType\":\"InvoiceId\"}",
			id);
	CHECK(r.status == 400, "how much? %s", r.body);
	free_reply(&r);
	r = ask("UpdatePaymentStatus", "",
			"{\"Operation\":\"capture\",\"Amount\":251,\"Key\":\"ID\",\"KeyType\":\"InvoiceId\"}", id);
	CHECK(r.status == 400, "too much: %s", r.body);
	free_reply(&r);
	r = ask("UpdatePaymentStatus", "",
			"{\"Operation\":\"capture\",\"Amount\":2.000,\"Key\":\"ID\",\"KeyType\":\"Invoiceid\"}", id);
	CHECK(r.status == 200 && strcmp(text_at(r.json, "Data.InvoiceStatus"), "Paid") == 0 &&
			  strstr(r.body, "\"InvoiceValue\":2.000,") != NULL,
		  "captured: %s", r.body);
	CHECK(strcmp(text_at(r.json, "Data.InvoiceTransactions.0.TransactionStatus"), "Authorize") == 0 &&
			  strcmp(text_at(r.json, "Data.InvoiceTransactions.1.TransactionStatus"), "Succss") == 0 &&
			  strcmp(text_at(r.json, "Data.InvoiceTransactions.0.TransationValue"), "250.100") == 0 &&
			  strcmp(text_at(r.json, "Data.InvoiceTransactions.1.TransationValue"), "2.000") == 0,
		  "two tries: %s", r.body);
	CHECK(strcmp(text_at(r.json, "Data.InvoiceTransactions.0.ReferenceId"),
				 text_at(r.json, "Data.InvoiceTransactions.1.ReferenceId")) == 0 &&
			  strcmp(text_at(r.json, "Data.InvoiceTransactions.0.PaymentId"),
					 text_at(r.json, "Data.InvoiceTransactions.1.PaymentId")) != 0 &&
			  cJSON_IsNull(at(r.json, "Data.InvoiceTransactions.1.IpAddress")),
		  "their ids as published: %s", r.body);
	free_reply(&r);
	r = ask("UpdatePaymentStatus", "", "{\"Operation\":\"Release\",\"Key\":\"ID\",\"KeyType\":\"InvoiceId\"}",
			id);
	CHECK(r.status == 400, "one operation, ever: %s", r.body);
	free_reply(&r);
}

/*
 * test_release
 *		What was authorised is let go.
 */
static void
test_release(void)
{
	double id;
	Reply r;

	reset_server();
	id = new_invoice("release", "");
	r = act(id, "authorize", "");
	free_reply(&r);
	r = ask("UpdatePaymentStatus", "", "{\"Operation\":\"drop\",\"Key\":\"ID\",\"KeyType\":\"InvoiceId\"}",
			id);
	CHECK(r.status == 400, "no such operation: %s", r.body);
	free_reply(&r);
	r = ask("UpdatePaymentStatus", "", "{\"Operation\":\"Release\",\"Key\":\"ID\",\"KeyType\":\"InvoiceId\"}",
			id);
	CHECK(r.status == 200 && strcmp(text_at(r.json, "Data.InvoiceStatus"), "Pending") == 0 &&
			  strcmp(text_at(r.json, "Data.InvoiceTransactions.1.TransactionStatus"), "Canceled") == 0 &&
			  strcmp(text_at(r.json, "Data.InvoiceTransactions.1.Error"), "Transaction Released") == 0,
		  "released: %s", r.body);
	free_reply(&r);
	r = act(id, "capture", "");
	CHECK(r.status == 409, "nothing left to capture");
	free_reply(&r);
	r = ask("UpdatePaymentStatus", "", "{\"Operation\":\"Release\",\"Key\":\"ID\",\"KeyType\":\"InvoiceId\"}",
			1);
	CHECK(r.status == 400 && strcmp(text_at(r.json, "Message"), "No data match the provided values") == 0,
		  "no such invoice: %s", r.body);
	free_reply(&r);
}

/*
 * test_lag
 *		The webhook says paid while GetPaymentStatus does not see it yet.
 */
static void
test_lag(void)
{
	const char *request = "{\"Key\":\"lag\",\"KeyType\":\"CustomerReference\"}";
	char payment[64];
	char body[128];
	Reply r;

	fresh_start("v2", ",\"connections\":1");
	r = control("POST", "lag", "{\"reads\":2}");
	CHECK(r.status == 200 && number_at(r.json, "reads") == 2, "%s", r.body);
	free_reply(&r);
	r = act(new_invoice("lag", ""), "pay", "");
	CHECK(strcmp(text_at(r.json, "status"), "Paid") == 0, "the oracle knows");
	snprintf(payment, sizeof(payment), "%s", text_at(r.json, "transactions.0.payment_id"));
	free_reply(&r);
	CHECK(strcmp(text_at(next_hook(0)->json, "Data.Invoice.Status"), "PAID") == 0, "the webhook too");
	r = api("GetPaymentStatus", request);
	CHECK(strcmp(text_at(r.json, "Data.InvoiceStatus"), "Pending") == 0 &&
			  strcmp(text_at(r.json, "Data.InvoiceTransactions.0.TransactionStatus"), "InProgress") == 0,
		  "not yet: %s", r.body);
	free_reply(&r);
	snprintf(body, sizeof(body), "{\"Key\":\"%s\",\"KeyType\":\"PaymentId\"}", payment);
	r = api("GetPaymentStatus", body);
	CHECK(strcmp(text_at(r.json, "Data.InvoiceStatus"), "Pending") == 0, "nor by PaymentId: %s", r.body);
	free_reply(&r);
	r = api("GetPaymentStatus", request);
	CHECK(strcmp(text_at(r.json, "Data.InvoiceStatus"), "Paid") == 0 &&
			  strcmp(text_at(r.json, "Data.InvoiceTransactions.0.TransactionStatus"), "Succss") == 0,
		  "now: %s", r.body);
	free_reply(&r);

	r = control("POST", "lag", "{\"ms\":250}");
	free_reply(&r);
	r = act(new_invoice("lag", ""), "pay", "");
	free_reply(&r);
	r = api("GetPaymentStatus", request);
	CHECK(strcmp(text_at(r.json, "Data.InvoiceStatus"), "Pending") == 0, "for a while: %s", r.body);
	free_reply(&r);
	for (int i = 0; i < 10000; i++)
	{
		bool paid;

		r = api("GetPaymentStatus", request);
		paid = strcmp(text_at(r.json, "Data.InvoiceStatus"), "Paid") == 0;
		free_reply(&r);
		if (paid)
			break;
		CHECK(i < 9999, "at last");
	}
	r = control("POST", "lag", "{\"reads\":-1}");
	CHECK(r.status == 400, "no such thing");
	free_reply(&r);
	r = control("DELETE", "lag", "");
	CHECK(number_at(r.json, "reads") == 0 && number_at(r.json, "ms") == 0, "no more: %s", r.body);
	free_reply(&r);
}

/*
 * test_expiry
 *		Expired is no status: it reads Pending, with a date in the past.
 */
static void
test_expiry(void)
{
	double id;
	Reply r;

	reset_server();
	id = new_invoice("expired", ",\"ExpiryDate\":\"2021-03-04T21:16:15\"");
	r = ask("GetPaymentStatus", "", "{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\"}", id);
	CHECK(strcmp(text_at(r.json, "Data.InvoiceStatus"), "Pending") == 0 &&
			  strcmp(text_at(r.json, "Data.ExpiryDate"), "March 4, 2021") == 0 &&
			  strcmp(text_at(r.json, "Data.ExpiryTime"), "21:16:15") == 0,
		  "in the account's zone: %s", r.body);
	free_reply(&r);
	r = act(id, "pay", "");
	CHECK(r.status == 409, "not payable");
	free_reply(&r);
	id = new_invoice("expires", "");
	r = act(id, "expire", "");
	CHECK(cJSON_IsTrue(at(r.json, "expired")) && strcmp(text_at(r.json, "status"), "Pending") == 0, "%s",
		  r.body);
	free_reply(&r);
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
	r = ask("UpdatePaymentStatus", "",
			"{\"Key\":\"ID\",\"KeyType\":\"InvoiceId\",\"Operation\":\"release\",\"Amount\":2}", id);
	CHECK(r.status == 400, "the whole or nothing: %s", r.body);
	free_reply(&r);
	r = api(
		"UpdatePaymentStatus",
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
 * test_refunds
 *		All of it.
 */
void
test_refunds(void)
{
	receiver_start();
	test_refund();
	test_capture();
	test_release();
	test_lag();
	test_expiry();
	test_operations();
	reset_server();
	receiver_stop();
}
