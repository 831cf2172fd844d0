/*
 * test_plans.c
 *	  Methods, pages of one method, recurring payments, suppliers and lists.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hooks.h"

static const char *plan_status(const char *id);

/*
 * get, post_fixture
 *		A GET; a POST of a published body.
 */
static Reply
get(const char *path)
{
	return call("GET", path, "", "");
}

static Reply
post_fixture(const char *name, const char *fixture)
{
	char *text = fixture_text(fixture);
	Reply r = api(name, text);

	CHECK(r.status == 200, "%s: %s", fixture, r.body);
	free(text);
	return r;
}

/*
 * same_text
 *		An answer is a published one, value for value.
 */
static void
same_text(const Reply *r, const char *fixture)
{
	char *text = fixture_text(fixture);
	cJSON *json = cJSON_Parse(text);

	CHECK(cJSON_Compare(json, r->json, true), "%s: %s", fixture, r->body);
	cJSON_Delete(json);
	free(text);
}

/*
 * test_initiate
 *		The methods of the account.
 */
static void
test_initiate(void)
{
	Reply r = post_fixture("InitiatePayment", "initiate-payment.request.json");

	answer_like(&r, "initiate-payment.response.json");
	CHECK(number_at(r.json, "Data.PaymentMethods.1.PaymentMethodId") == 1 &&
			  strcmp(text_at(r.json, "Data.PaymentMethods.1.PaymentMethodAr"), "كي نت") == 0 &&
			  number_at(r.json, "Data.PaymentMethods.1.TotalAmount") == 100,
		  "KNET: %s", r.body);
	free_reply(&r);
	r = api("InitiatePayment", "{\"InvoiceAmount\":0,\"CurrencyIso\":\"KWD\"}");
	CHECK(r.status == 400, "%s", r.body);
	free_reply(&r);
	r = api("InitiatePayment", "{\"InvoiceAmount\":1}");
	CHECK(r.status == 400, "%s", r.body);
	free_reply(&r);
}

/*
 * test_execute
 *		A page of one method; published bodies; what is refused.
 */
static void
test_execute(void)
{
	char url[256];
	char *text;
	Reply r;

	reset_server();
	r = post_fixture("ExecutePayment", "execute-payment.request.complete.json");
	answer_like(&r, "execute-payment.response.json");
	CHECK(strcmp(text_at(r.json, "Data.CustomerReference"), "noshipping-nosupplier") == 0 &&
			  strcmp(text_at(r.json, "Data.RecurringId"), "") == 0,
		  "%s", r.body);
	snprintf(url, sizeof(url), "%s", strstr(text_at(r.json, "Data.PaymentURL"), "/Ar/KWT/PayInvoice/Checkout?"));
	free_reply(&r);
	r = get(url);
	CHECK(r.status == 302 && strstr(r.raw, "/KWT/ie/") != NULL, "the page: %s", r.raw);
	free_reply(&r);
	r = get("/En/KWT/PayInvoice/Checkout?invoiceKey=1");
	CHECK(r.status == 404, "no such page");
	free_reply(&r);
	r = api("ExecutePayment", "{\"InvoiceValue\":1,\"PaymentMethodId\":99}");
	text = fixture_text("error.execute-payment.method-not-available.json");
	CHECK(r.status == 400, "%s", r.body);
	same_text(&r, "error.execute-payment.method-not-available.json");
	free_reply(&r);
	free(text);
	r = api("ExecutePayment", "{\"InvoiceValue\":0,\"PaymentMethodId\":2}");
	CHECK(r.status == 400 && strcmp(text_at(r.json, "ValidationErrors.0.Error"), "Invoice value must be more than 0") == 0,
		  "%s", r.body);
	free_reply(&r);
	r = api("ExecutePayment", "{\"InvoiceValue\":1,\"SessionId\":\"6d493401\",\"CustomerReference\":\"session\"}");
	CHECK(r.status == 200, "no name, no method, but a session: %s", r.body);
	free_reply(&r);
	arm("{\"path\":\"ExecutePayment\",\"create\":false}");
	r = post_fixture("ExecutePayment", "execute-payment.request.recurring.json");
	CHECK(strncmp(text_at(r.json, "Data.RecurringId"), "RECUR", 5) == 0, "as if: %s", r.body);
	free_reply(&r);
	r = get("/v2/GetRecurringPayment");
	CHECK(cJSON_GetArraySize(at(r.json, "Data.RecurringPayment")) == 0, "nothing stays: %s", r.body);
	free_reply(&r);
	r = control("GET", "counts", "");
	CHECK(number_at(r.json, "execute_payment") == 2, "%s", r.body);
	free_reply(&r);
	CHECK(count_of("path=ExecutePayment&reference=session") == 1, "counted by reference");
}

/*
 * plan
 *		A recurring payment whose first invoice, which is returned, was paid.
 */
static double
plan(char *id, size_t size, const char *model)
{
	char body[256];
	double invoice;
	Reply r;

	snprintf(body, sizeof(body),
			 "{\"PaymentMethodId\":2,\"invoiceValue\":20,\"CustomerReference\":\"plan\",\"RecurringModel\":%s}", model);
	r = api("ExecutePayment", body);
	CHECK(r.status == 200, "%s: %s", model, r.body);
	message_like(r.json, "execute-payment.response.recurring.json");
	snprintf(id, size, "%s", text_at(r.json, "Data.RecurringId"));
	invoice = number_at(r.json, "Data.InvoiceId");
	free_reply(&r);
	CHECK(strcmp(plan_status(id), "Draft") == 0, "not before the first payment");
	r = act(invoice, "pay", "");
	free_reply(&r);
	CHECK(strcmp(plan_status(id), "Active") == 0, "begun");
	return invoice;
}

/*
 * charge
 *		Carry out a repetition.
 */
static void
charge(const char *id, const char *body, int status)
{
	char path[64];
	Reply r;

	snprintf(path, sizeof(path), "recurring/%s/charge", id);
	r = control("POST", path, body);
	CHECK(r.status == status, "%s: %s", path, r.body);
	free_reply(&r);
}

/*
 * plan_status
 *		What GetRecurringPayment says of a plan.
 */
static const char *
plan_status(const char *id)
{
	static char status[32];
	Reply r = get("/v2/GetRecurringPayment");
	const cJSON *row;

	status[0] = '\0';
	cJSON_ArrayForEach (row, at(r.json, "Data.RecurringPayment"))
		if (strcmp(text_at(row, "RecurringId"), id) == 0)
			snprintf(status, sizeof(status), "%s", text_at(row, "RecurringStatus"));
	free_reply(&r);
	return status;
}

/*
 * test_recurring
 *		From draft to completed, with an event for each repetition.
 */
static void
test_recurring(const char *version)
{
	bool v1 = strcmp(version, "v1") == 0;
	char id[32];
	char first[32];
	double invoice;
	Reply r;

	fresh_start(version, ",\"connections\":1");
	invoice = plan(id, sizeof(id), "{\"RecurringType\":\"Daily\",\"IntervalDays\":null,\"Iteration\":2,\"RetryCount\":5}");
	charge(id, "", 200);
	r = get("/v2/GetRecurringPayment");
	message_like(r.json, "get-recurring-payment.response.json");
	CHECK(number_at(r.json, "Data.RecurringPayment.0.ExecutedTimes") == 1 &&
			  cJSON_GetArraySize(at(r.json, "Data.RecurringPayment.0.RecurringInvoices")) == 1 &&
			  strcmp(text_at(r.json, "Data.RecurringPayment.0.RecurringInvoices.0.InvoiceStatus"), "Paid") == 0,
		  "%s", r.body);
	free_reply(&r);
	charge(id, "", 200);
	CHECK(strcmp(plan_status(id), "Completed") == 0, "two repetitions");
	charge(id, "", 409);
	/* The first payment, then two events for each repetition. */
	message_like(next_hook(2)->json,
				 v1 ? "webhook-v1.recurring.inprogress.body.json" : "webhook-v2.recurring.active.body.json");
	CHECK(strcmp(text_at(receiver_hook(2)->json, v1 ? "Data.RecurringId" : "Data.Recurring.Id"), id) == 0 &&
			  strcmp(text_at(receiver_hook(2)->json, v1 ? "Data.RecurringStatus" : "Data.Recurring.Status"), "ACTIVE") == 0 &&
			  signature_holds(receiver_hook(2), SECRET),
		  "%s", receiver_hook(2)->body);
	snprintf(first, sizeof(first), "%.0f", invoice);
	if (!v1)
		CHECK(strcmp(text_at(receiver_hook(2)->json, "Data.Recurring.InitialInvoiceId"), first) == 0 &&
				  strcmp(text_at(receiver_hook(2)->json, "Data.Payment.Invoice.Id"), first) != 0,
			  "%s", receiver_hook(2)->body);
	CHECK(strcmp(text_at(next_hook(4)->json, v1 ? "Data.RecurringStatus" : "Data.Recurring.Status"), "COMPLETED") == 0,
		  "%s", receiver_hook(4)->body);
}

/*
 * test_retries
 *		Retries are used up; resumed; canceled.
 */
static void
test_retries(void)
{
	char id[32];
	char path[96];
	Reply r;

	fresh_start("v2", "");
	plan(id, sizeof(id), "{\"RecurringType\":\"Custom\",\"IntervalDays\":180,\"RetryCount\":1}");
	snprintf(path, sizeof(path), "/v2/ResumeRecurringPayment?recurringId=%s", id);
	r = call("POST", path, "", "");
	CHECK(r.status == 400 && cJSON_IsFalse(at(r.json, "Data")) &&
			  strcmp(text_at(r.json, "ValidationErrors.0.Name"), "RecurringId") == 0,
		  "it is running: %s", r.body);
	free_reply(&r);
	charge(id, "{\"fail\":true}", 200);
	CHECK(strcmp(plan_status(id), "Active") == 0, "one retry");
	charge(id, "{\"fail\":true}", 200);
	CHECK(strcmp(plan_status(id), "Uncompleted") == 0, "used up");
	r = call("POST", path, "", "");
	CHECK(r.status == 200 && cJSON_IsTrue(at(r.json, "Data")), "resumed: %s", r.body);
	free_reply(&r);
	CHECK(strcmp(plan_status(id), "Active") == 0, "it goes on");
	snprintf(path, sizeof(path), "/v2/CancelRecurringPayment?recurringid=%s", id);
	arm("{\"path\":\"CancelRecurringPayment\",\"create\":false}");
	r = call("POST", path, "", "");
	CHECK(r.status == 200, "as if: %s", r.body);
	free_reply(&r);
	r = call("POST", path, "Authorization: Bearer SK_SAU_demo\r\n", "");
	CHECK(r.status == 400, "not for another account: %s", r.body);
	free_reply(&r);
	r = call("POST", path, "", "");
	answer_like(&r, "cancel-recurring-payment.response.json");
	same_text(&r, "cancel-recurring-payment.response.json");
	free_reply(&r);
	r = call("POST", path, "", "");
	CHECK(r.status == 400, "once: %s", r.body);
	free_reply(&r);
	CHECK(strcmp(plan_status(id), "Canceled") == 0, "canceled");
}

/*
 * test_recurring_rules
 *		What RecurringModel may not say.
 */
static void
test_recurring_rules(void)
{
	static const struct
	{
		const char *method;
		const char *model;
		const char *name;
	} bad[] = {
		{"2", "{\"RecurringType\":\"Yearly\"}", "RecurringModel.RecurringType"},
		{"2", "{\"RecurringType\":\"Custom\"}", "RecurringModel.IntervalDays"},
		{"2", "{\"RecurringType\":\"Custom\",\"IntervalDays\":181}", "RecurringModel.IntervalDays"},
		{"2", "{\"RecurringType\":\"Daily\",\"IntervalDays\":1}", "RecurringModel.IntervalDays"},
		{"2", "{\"RecurringType\":\"Daily\",\"RetryCount\":6}", "RecurringModel.RetryCount"},
		{"2", "{\"RecurringType\":\"Daily\",\"Iteration\":-1}", "RecurringModel.Iteration"},
		{"1", "{\"RecurringType\":\"Daily\"}", "PaymentMethodId"},
	};
	char body[256];
	Reply r;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		snprintf(body, sizeof(body), "{\"PaymentMethodId\":%s,\"InvoiceValue\":1,\"RecurringModel\":%s}", bad[i].method,
				 bad[i].model);
		r = api("ExecutePayment", body);
		CHECK(r.status == 400 && strcmp(text_at(r.json, "ValidationErrors.0.Name"), bad[i].name) == 0, "%s: %s", body,
			  r.body);
		if (i == 3)
			CHECK(strcmp(text_at(r.json, "ValidationErrors.0.Error"),
						 "Interval days can be set on custom recurring type only.") == 0,
				  "the text users have seen: %s", r.body);
		free_reply(&r);
	}
}

/*
 * test_suppliers
 *		Bare arrays and objects; balances that follow payments and deposits.
 */
static void
test_suppliers(void)
{
	Reply r;

	reset_server();
	r = act(new_invoice("supplied", ",\"Suppliers\":[{\"SupplierCode\":7,\"InvoiceShare\":250.100,\"ProposedShare\":90}]"),
			"pay", "");
	free_reply(&r);
	r = get("/v2/GetSuppliers");
	message_like(r.json, "get-suppliers.response.json");
	CHECK(cJSON_IsArray(r.json) && cJSON_GetArraySize(r.json) == 3 && number_at(r.json, "2.SupplierCode") == 7 &&
			  strcmp(text_at(r.json, "0.SupplierStatus"), "Rejected") == 0 &&
			  strcmp(text_at(r.json, "2.SupplierStatus"), "Active") == 0 &&
			  strcmp(text_at(r.json, "1.SupplierCommissions.0.IsPercentageOfNetValue"), "False") == 0,
		  "%s", r.body);
	free_reply(&r);
	r = get("/v2/GetSupplierDetails?SupplierCode=53");
	CHECK(number_at(r.json, "SupplierCode") == 53, "%s", r.body);
	free_reply(&r);
	r = get("/v2/GetSupplierDashboard?SupplierCode=7");
	answer_like(&r, "get-supplier-dashboard.response.json");
	CHECK(number_at(r.json, "TotalAwaitingBalance") == 90 && number_at(r.json, "TotalNumberOfTransactions") == 1, "%s",
		  r.body);
	free_reply(&r);
	r = control("POST", "deposits", "{\"supplier\":7}");
	free_reply(&r);
	r = get("/v2/GetSupplierDashboard?suppliercode=7");
	CHECK(number_at(r.json, "TotalAwaitingBalance") == 0 && number_at(r.json, "TotalDepositedAmount") == 90, "%s", r.body);
	free_reply(&r);
	r = get("/v2/GetSupplierDeposits?SupplierCode=7&start=0&length=10");
	CHECK(number_at(r.json, "Records") == 1 && cJSON_GetArraySize(at(r.json, "Data")) == 1, "%s", r.body);
	free_reply(&r);
	r = get("/v2/GetSupplierDocuments?SupplierCode=7");
	message_like(r.json, "get-supplier-documents.response.json");
	CHECK(cJSON_GetArraySize(r.json) == 14, "%s", r.body);
	free_reply(&r);
	r = get("/v2/GetSupplierDashboard?SupplierCode=99");
	CHECK(r.status == 404 && strcmp(text_at(r.json, "Message"), "Not Found") == 0, "%s", r.body);
	free_reply(&r);
	r = post_fixture("TransferBalance", "transfer-balance.request.json");
	answer_like(&r, "transfer-balance.response.json");
	free_reply(&r);
	r = api("TransferBalance", "{\"SupplierCode\":33,\"TransferAmount\":0,\"TransferType\":\"pull\"}");
	CHECK(r.status == 400 && strcmp(text_at(r.json, "FieldsErrors.0.Name"), "TransferAmount") == 0, "%s", r.body);
	free_reply(&r);
}

/*
 * test_lists
 *		Lists without an envelope, and small calls.
 */
static void
test_lists(void)
{
	Reply r = get("/v2/GetCurrenciesExchangeList");

	same_text(&r, "get-currencies-exchange-list.response.json");
	free_reply(&r);
	r = call("GET", "/v2/GetCurrenciesExchangeList", "Authorization: Bearer SK_SAU_demo\r\n", "");
	CHECK(strcmp(text_at(r.json, "0.Value"), "0.08096510") == 0 && strcmp(text_at(r.json, "1.Value"), "1.00000000") == 0,
		  "against the riyal: %s", r.body);
	free_reply(&r);
	r = get("/v2/GetBanks");
	CHECK(cJSON_IsArray(r.json) && strcmp(text_at(r.json, "0.Value"), "1") == 0, "%s", r.body);
	free_reply(&r);
	r = call("GET", "/v2/GetBanks", "Authorization: Bearer nobody\r\n", "");
	CHECK(r.status == 401, "not for everybody: %s", r.body);
	free_reply(&r);
	r = api("RegisterApplePayDomain", "{\"DomainName\":\"example.com\"}");
	same_text(&r, "register-apple-pay-domain.response.json");
	free_reply(&r);
	r = call("POST", "/v2/CancelToken?token=TKN-1", "", "");
	same_text(&r, "cancel-token.response.json");
	free_reply(&r);
	r = call("POST", "/v2/CancelToken", "", "");
	CHECK(r.status == 400, "which? %s", r.body);
	free_reply(&r);
}

/*
 * test_plans
 *		All of it.
 */
void
test_plans(void)
{
	receiver_start();
	test_initiate();
	test_execute();
	test_recurring("v1");
	test_recurring("v2");
	test_retries();
	test_recurring_rules();
	test_suppliers();
	test_lists();
	reset_server();
	receiver_stop();
}
