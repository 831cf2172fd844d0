/*
 * fuzz_status_result.c
 *	  Reading of GetPaymentStatus: every value in the form of its kind, and
 *	  found only if the answer says so.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/fuzz/fuzz_status_result.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "exchange.h"

#include "core/text/json.h"
#include "core/api/outcome.h"
#include "core/text/text.h"

static void
check_values(const MfField *fields, char *const *values, int count)
{
	int			i;

	for (i = 0; i < count; i++)
	{
		const char *value = values[i];

		if (value == NULL)
			continue;
		CHECK(judge_utf8(value, strlen(value)));
		switch (fields[i].kind)
		{
			case MF_TEXT:
			case MF_LINK:
				break;
			case MF_DECIMAL:
				CHECK(judge_decimal(value));
				break;
			case MF_INTEGER:
				CHECK(judge_integer(value));
				break;
			case MF_JSON:
				CHECK(judge_json(value, strlen(value)));
				break;
			case MF_CURRENCY:
				CHECK(strlen(value) == 3 && strspn(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 3);
				break;
			case MF_LOCAL_TIME:
				CHECK(judge_moment(value, false));
				break;
			case MF_BOOLEAN:
				CHECK(strcmp(value, "true") == 0 || strcmp(value, "false") == 0);
				break;
		}
	}
}

/* Every try of an array of tries, whatever it is */
static void
check_transactions(const cJSON *transactions)
{
	const cJSON *transaction;

	cJSON_ArrayForEach(transaction, transactions)
	{
		char	   *values[MF_TX_COUNT];
		const char *bad = "nothing";
		int			i;

		if (mf_transaction_read(transaction, values, &bad))
		{
			CHECK(bad == NULL);
			CHECK(cJSON_IsObject(transaction));
			check_values(mf_transaction_fields, values, MF_TX_COUNT);
		}
		else
		{
			CHECK(bad != NULL);
			for (i = 0; i < MF_TX_COUNT; i++)
				CHECK(values[i] == NULL);
		}
		mf_values_free(values, MF_TX_COUNT);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Input		input = {data, size};
	MfHttpExchange exchange;
	MfStatusResult result;
	char	   *values[MF_PS_COUNT];
	const char *bad = "nothing";
	const cJSON *success;
	const cJSON *id;
	long		status;
	bool		whole;
	cJSON	   *root;
	int			i;

	take_exchange(&input, &exchange);
	status = exchange.http_status;
	whole = came_whole(&exchange);
	root = mf_json_parse(exchange.response, exchange.response_len, NULL, NULL);
	success = mf_json_get(root, "IsSuccess");

	memset(&result, 0xA5, sizeof(result));
	mf_status_result_read(&exchange, &result);
	CHECK(result.base.retry_after >= 0 && result.base.retry_after <= MF_RETRY_AFTER_CAP);
	CHECK((result.base.error == NULL) == (result.base.lookup == MF_LOOKUP_FOUND));
	if (result.base.error != NULL)
		CHECK(judge_line(result.base.error, 1200));
	if (result.base.not_sent)
		CHECK(result.base.lookup == MF_LOOKUP_FAILED && !exchange.gate_passed && status == 0);
	if (result.base.lookup != MF_LOOKUP_FOUND)
	{
		for (i = 0; i < MF_PS_COUNT; i++)
			CHECK(result.values[i] == NULL);
	}

	switch (result.base.lookup)
	{
		case MF_LOOKUP_FOUND:
			CHECK(whole && status >= 200 && status <= 299);
			CHECK(success != NULL && cJSON_IsTrue(success));
			CHECK(result.values[MF_PS_INVOICE_ID] != NULL && judge_invoice_id(result.values[MF_PS_INVOICE_ID]));
			CHECK(result.values[MF_PS_INVOICE_STATUS] != NULL && result.values[MF_PS_INVOICE_STATUS][0] != '\0');
			check_values(mf_payment_status_fields, result.values, MF_PS_COUNT);

			/* no number is changed on the way */
			id = mf_json_get(mf_json_get(root, "Data"), "InvoiceValue");
			if (mf_json_is_number(id))
				CHECK(judge_same_number(id->valuestring, result.values[MF_PS_INVOICE_VALUE]));
			break;
		case MF_LOOKUP_NOT_FOUND:
			CHECK(whole && status >= 400 && status <= 499 && status != 429);
			CHECK(success != NULL && cJSON_IsFalse(success));
			CHECK(strcasestr(result.base.error, "No data match the provided values") != NULL);
			break;
		case MF_LOOKUP_REFUSED:
			CHECK(whole && status >= 400 && status <= 499);
			CHECK(success != NULL && cJSON_IsFalse(success));
			break;
		case MF_LOOKUP_THROTTLED:
			CHECK(whole && status == 429);
			break;
		case MF_LOOKUP_ACCOUNT_PROBLEM:
			CHECK(whole && (status == 401 || status == 403));
			break;
		case MF_LOOKUP_INCONCLUSIVE:
			CHECK(whole && status >= 200 && status <= 499);
			break;
		case MF_LOOKUP_FAILED:
			break;
	}
	mf_status_result_free(&result);
	mf_status_result_free(&result);

	/* the readers alone, of anything */
	if (mf_payment_status_read(root, values, &bad))
	{
		CHECK(bad == NULL);
		check_values(mf_payment_status_fields, values, MF_PS_COUNT);
	}
	else
	{
		CHECK(bad != NULL);
		for (i = 0; i < MF_PS_COUNT; i++)
			CHECK(values[i] == NULL);
	}
	mf_values_free(values, MF_PS_COUNT);
	check_transactions(root);
	check_transactions(mf_json_get(mf_json_get(root, "Data"), "InvoiceTransactions"));

	cJSON_Delete(root);
	free(exchange.response);
	return 0;
}
