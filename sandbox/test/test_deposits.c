/*
 * test_deposits.c
 *	  GetDepositedInvoices: deposits of the vendor and of suppliers, and event 3.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hooks.h"

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
	CHECK(r.status == 200 && number_at(r.json, "count") == 2 &&
			  strcmp(text_at(r.json, "itemised"), "488.982") == 0 &&
			  strcmp(text_at(r.json, "announced"), "477.482") == 0,
		  "488.982 less 10 less 1.5: %s", r.body);
	snprintf(reference, sizeof(reference), "%s", text_at(r.json, "reference"));
	free_reply(&r);
	message_like(next_hook(3)->json, v1 ? "webhook-v1.deposit.vendor.body.json"
										: "webhook-v2.balance-transferred.vendor.body.json");
	CHECK(strcmp(text_at(receiver_hook(3)->json,
						 v1 ? "Data.DepositedAmount" : "Data.Deposit.ValueInBaseCurrency"),
				 "477.482") == 0 &&
			  strcmp(text_at(receiver_hook(3)->json, v1 ? "Data.DepositReference" : "Data.Deposit.Reference"),
					 reference) == 0 &&
			  strcmp(text_at(receiver_hook(3)->json,
							 v1 ? "Data.NumberOfTransactions" : "Data.Deposit.NumberOfTransactions"),
					 "2") == 0,
		  "the event: %s", receiver_hook(3)->body);
	CHECK(signature_holds(receiver_hook(3), SECRET), "signed");
	snprintf(body, sizeof(body), "%.*s%s%s", (int) (strstr(request, "2023000011") - request), request,
			 reference, strstr(request, "2023000011") + 10);
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

	fresh_start("v1", ",\"connections\":1");
	paid_invoice("supplier",
				 ",\"Suppliers\":[{\"SupplierCode\":7,\"InvoiceShare\":250.100,\"ProposedShare\":90}]");
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
			  number_at(receiver_hook(2)->json, "Data.SupplierCode") == 7 &&
			  signature_holds(receiver_hook(2), SECRET),
		  "the event: %s", receiver_hook(2)->body);
	r = control("POST", "deposits", "{\"webhook\":false}");
	CHECK(number_at(r.json, "count") == 2 && strcmp(text_at(r.json, "itemised"), "398.982") == 0,
		  "the vendor gets the rest: %s", r.body);
	free_reply(&r);
}

/*
 * test_deposits
 *		All of it.
 */
void
test_deposits(void)
{
	receiver_start();
	test_deposit("v1");
	test_deposit("v2");
	test_supplier_deposit();
	reset_server();
	receiver_stop();
}
