/*
 * fuzz_webhook_log.c
 *	  Parsing of GetWebhooks and GetRefundStatus: every value in its form, and
 *	  nothing left out.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/fuzz/fuzz_webhook_log.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "exchange.h"

#include "core/text/json.h"
#include "core/api/refund.h"
#include "core/api/webhook_log.h"

/* As every look-up */
static void
check_lookup(MfLookup lookup, const char *error, bool not_sent, int retry_after, const MfHttpExchange *exchange,
			 const cJSON *root, bool empty_for_no_data)
{
	const cJSON *success = mf_json_get(root, "IsSuccess");
	long		status = exchange->http_status;

	CHECK(retry_after >= 0 && retry_after <= MF_RETRY_AFTER_CAP);
	CHECK((error == NULL) == (lookup == MF_LOOKUP_FOUND));
	CHECK(error == NULL || judge_line(error, 1200));
	CHECK(!not_sent || (lookup == MF_LOOKUP_FAILED && !exchange->gate_passed && status == 0));
	CHECK(lookup == MF_LOOKUP_FAILED || came_whole(exchange));
	switch (lookup)
	{
		case MF_LOOKUP_FOUND:
			CHECK(success != NULL);
			CHECK((status >= 200 && status <= 299 && cJSON_IsTrue(success)) ||
				  (empty_for_no_data && status >= 400 && status <= 499 && cJSON_IsFalse(success)));
			break;
		case MF_LOOKUP_NOT_FOUND:
			CHECK(!empty_for_no_data && status >= 400 && status <= 499 && success != NULL && cJSON_IsFalse(success));
			CHECK(strcasestr(error, "No data match the provided values") != NULL);
			break;
		case MF_LOOKUP_REFUSED:
			CHECK(status >= 400 && status <= 499 && success != NULL && cJSON_IsFalse(success));
			break;
		case MF_LOOKUP_THROTTLED:
			CHECK(status == 429);
			break;
		case MF_LOOKUP_ACCOUNT_PROBLEM:
			CHECK(status == 401 || status == 403);
			break;
		case MF_LOOKUP_INCONCLUSIVE:
			CHECK(status >= 200 && status <= 499);
			break;
		case MF_LOOKUP_FAILED:
			break;
	}
}

/* The value is the text of the member, or NULL if that is empty or absent. */
static void
check_same(const char *value, const cJSON *object, const char *name)
{
	const cJSON *node = cJSON_GetObjectItemCaseSensitive(object, name);
	const char *right = (cJSON_IsString(node) || cJSON_IsRaw(node)) ? node->valuestring : NULL;

	if (right == NULL || right[0] == '\0')
		CHECK(value == NULL);
	else
		CHECK(value != NULL && strcmp(value, right) == 0);
}

static void
check_log(const MfHttpExchange *exchange, const cJSON *root)
{
	const cJSON *item = mf_json_get(mf_json_get(root, "Data"), "Items");
	MfListResult result;
	int			i;

	memset(&result, 0xA5, sizeof(result));
	mf_list_result_read(&mf_webhook_log, exchange, &result);
	check_lookup(result.base.lookup, result.base.error, result.base.not_sent, result.base.retry_after, exchange, root, true);
	CHECK((result.values != NULL) == (result.row_count > 0));
	CHECK(result.page >= 0 && result.pages >= 0);
	if (result.base.lookup != MF_LOOKUP_FOUND || exchange->http_status >= 400)
		CHECK(result.row_count == 0 && result.page == 0 && result.pages == 0);
	else
	{
		CHECK(result.row_count == cJSON_GetArraySize(item));
		CHECK(result.row_count == 0 || (result.page > 0 && result.pages > 0));
		item = item->child;
		for (i = 0; i < result.row_count; i++, item = item->next)
		{
			char *const *read = mf_list_row(&result, i);

			CHECK(read[MF_WL_EVENT_CODE] == NULL || (read[MF_WL_EVENT_CODE][0] >= '1' && read[MF_WL_EVENT_CODE][0] <= '7'));
			check_same(read[MF_WL_EVENT_NAME], item, "EventName");
			check_same(read[MF_WL_EVENT_ENTITY_ID], item, "EventEntityId");
			check_same(read[MF_WL_WEBHOOK_REFERENCE], item, "WebhookReference");
			CHECK((read[MF_WL_DATA] != NULL) == (cJSON_IsObject(mf_json_get(item, "Data")) != 0));
			CHECK(read[MF_WL_DATA] == NULL || (judge_json(read[MF_WL_DATA], strlen(read[MF_WL_DATA])) && read[MF_WL_DATA][0] == '{'));
		}
	}
	mf_list_result_free(&result);
	mf_list_result_free(&result);
}

static void
check_refunds(const MfHttpExchange *exchange, const cJSON *root)
{
	const cJSON *item = mf_json_get(mf_json_get(root, "Data"), "RefundStatusResult");
	MfListResult result;
	int			i;

	memset(&result, 0xA5, sizeof(result));
	mf_list_result_read(&mf_refund_list, exchange, &result);
	check_lookup(result.base.lookup, result.base.error, result.base.not_sent, result.base.retry_after, exchange, root, false);
	CHECK((result.values != NULL) == (result.row_count > 0));
	if (result.base.lookup != MF_LOOKUP_FOUND)
		CHECK(result.row_count == 0);
	else
	{
		CHECK(result.row_count == cJSON_GetArraySize(item));
		item = item->child;
		for (i = 0; i < result.row_count; i++, item = item->next)
		{
			char *const *read = mf_list_row(&result, i);
			const cJSON *amount = mf_json_get(item, "Amount");

			CHECK(judge_integer(read[MF_RF_REFUND_ID]) && read[MF_RF_REFUND_ID][0] != '-');
			check_same(read[MF_RF_REFUND_ID], item, "RefundId");
			CHECK(read[MF_RF_REFUND_STATUS] != NULL);
			check_same(read[MF_RF_REFUND_STATUS], item, "RefundStatus");
			check_same(read[MF_RF_INVOICE_ID], item, "InvoiceId");
			CHECK(judge_decimal(read[MF_RF_AMOUNT]));
			if (cJSON_IsRaw(amount))
				CHECK(judge_same_number(amount->valuestring, read[MF_RF_AMOUNT]));
		}
	}
	mf_list_result_free(&result);
	mf_list_result_free(&result);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Input		input = {data, size};
	MfHttpExchange exchange;
	cJSON	   *root;

	take_exchange(&input, &exchange);
	root = mf_json_parse(exchange.response, exchange.response_len, NULL, NULL);
	check_log(&exchange, root);
	check_refunds(&exchange, root);
	cJSON_Delete(root);
	free(exchange.response);
	return 0;
}
