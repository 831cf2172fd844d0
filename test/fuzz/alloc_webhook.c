/*
 * alloc_webhook.c
 *	  Every allocation of src/core fails once: webhooks, their log, refunds.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/fuzz/alloc_webhook.c
 */
#include "alloc.h"

#include <string.h>

#include "core/api/refund.h"
#include "core/api/webhook.h"
#include "core/api/webhook_log.h"

#define SECRET "example-webhook-secret-1"
#define WEBHOOK \
	"{\"EventType\":1,\"Event\":\"TransactionsStatusChanged\",\"Data\":{\"InvoiceId\":7,\"CustomerName\":\"a\",\"PaymentId\":\"08\"," \
	"\"CustomerReference\":\"" REFERENCE "\",\"TransactionStatus\":\"SUCCESS\",\"x\":1e2}}"
/* openssl dgst -sha256 -hmac SECRET -binary | base64, of the line below */
#define WEBHOOK_TEXT "CustomerName=a,CustomerReference=" REFERENCE ",InvoiceId=7,PaymentId=08,TransactionStatus=SUCCESS,x=1e2"
#define WEBHOOK_SIGNATURE "xWjWbuFIKjtsVrFI62sJZpPxzZB3swC0TbcNkifxgOQ="
#define WEBHOOK_DATA \
	"{\"InvoiceId\":7,\"PaymentId\":\"08\",\"CustomerReference\":\"" REFERENCE "\",\"TransactionStatus\":\"SUCCESS\",\"x\":\"1e2\"}"
#define LOG \
	"{\"IsSuccess\":true,\"Data\":{\"Items\":[{\"EventCode\":1,\"EventName\":\"N\",\"EventEntityId\":\"7\"," \
	"\"WebhookReference\":\"WH-1\",\"Status\":\"Failed\",\"Data\":{\"Token\":1,\"a\":2}},{}]," \
	"\"Pagination\":{\"PageNumber\":1,\"PagesCount\":1}}}"
#define REFUNDS \
	"{\"IsSuccess\":true,\"Data\":{\"RefundStatusResult\":[{\"RefundId\":1,\"RefundStatus\":\"Refunded\",\"InvoiceId\":7,\"Amount\":\"1,000.500\"," \
	"\"RefundReference\":\"r\",\"ExternalIdentifier\":\"e\",\"RefundAmount\":1.000,\"RRN\":\"n\",\"BaseCurrency\":\"KD\"}]}}"

/* A signature that could not be computed proves nothing either way. */
void
task_webhook(void)
{
	static const char *const secrets[] = {"another", SECRET};
	static const MfWebhookVerdict rights[] = {MF_WEBHOOK_VALID, MF_WEBHOOK_FORGED};
	MfWebhook	webhook;
	size_t		i;

	for (i = 0; i < 2; i++)
	{
		MfWebhookVerdict verdict;

		begin();
		verdict = mf_webhook_read(WEBHOOK, strlen(WEBHOOK), WEBHOOK_SIGNATURE, NULL, secrets, i == 0 ? 2 : 1, &webhook);
		end();
		CHECK(verdict == rights[i] || (fired && verdict == MF_WEBHOOK_OUT_OF_MEMORY));
		if (verdict == MF_WEBHOOK_VALID)
		{
			CHECK(strcmp(webhook.signed_text, WEBHOOK_TEXT) == 0 && strcmp(webhook.data, WEBHOOK_DATA) == 0);
			CHECK(strcmp(webhook.invoice_id, "7") == 0 && strcmp(webhook.payment_id, "08") == 0);
			CHECK(strcmp(webhook.customer_reference, REFERENCE) == 0 && strcmp(webhook.event_status, "SUCCESS") == 0);
			CHECK(webhook.error == NULL);
		}
		else
			CHECK(webhook.data == NULL && webhook.invoice_id == NULL && (webhook.error != NULL || fired));
		mf_webhook_free(&webhook);
	}
}

void
task_webhook_log(void)
{
	MfHttpExchange exchange;
	MfListResult result;
	size_t		len;
	char	   *body;

	make_exchange(&exchange, 200, LOG);
	begin();
	mf_list_result_read(&mf_webhook_log, &exchange, &result);
	end();
	if (result.base.lookup == MF_LOOKUP_FOUND)
	{
		CHECK(result.row_count == 2 && result.page == 1 && result.pages == 1);
		CHECK(strcmp(mf_list_row(&result, 0)[MF_WL_EVENT_CODE], "1") == 0);
		CHECK(strcmp(mf_list_row(&result, 0)[MF_WL_EVENT_ENTITY_ID], "7") == 0);
		CHECK(strcmp(mf_list_row(&result, 0)[MF_WL_EVENT_NAME], "N") == 0);
		CHECK(strcmp(mf_list_row(&result, 0)[MF_WL_WEBHOOK_REFERENCE], "WH-1") == 0 && strcmp(mf_list_row(&result, 0)[MF_WL_DATA], "{\"a\":2}") == 0);
	}
	else
		CHECK(fired && result.base.lookup == MF_LOOKUP_FAILED && result.row_count == 0 && result.values == NULL);
	mf_list_result_free(&result);
	free(exchange.response);

	begin();
	body = mf_webhook_log_body("2025-02-12T12:42:16Z", "2025-02-13T12:42:16Z", "Failed", 2, &len);
	end();
	CHECK(body != NULL ? len == strlen(body) : fired && len == 0);
	free(body);
}

void
task_refunds(void)
{
	MfHttpExchange exchange;
	MfListResult result;

	make_exchange(&exchange, 200, REFUNDS);
	begin();
	mf_list_result_read(&mf_refund_list, &exchange, &result);
	end();
	if (result.base.lookup == MF_LOOKUP_FOUND)
	{
		CHECK(result.row_count == 1 && strcmp(mf_list_row(&result, 0)[MF_RF_REFUND_ID], "1") == 0);
		CHECK(strcmp(mf_list_row(&result, 0)[MF_RF_REFUND_STATUS], "Refunded") == 0 && strcmp(mf_list_row(&result, 0)[MF_RF_INVOICE_ID], "7") == 0);
		CHECK(strcmp(mf_list_row(&result, 0)[MF_RF_AMOUNT], "1000.500") == 0);
	}
	else
		CHECK(fired && result.base.lookup == MF_LOOKUP_FAILED && result.row_count == 0 && result.values == NULL);
	mf_list_result_free(&result);
	free(exchange.response);
}
