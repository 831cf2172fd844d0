/*
 * test_deposit.c
 *	  GetDepositedInvoices: requests, answers, unreadable answers; what webhooks announce.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/core/test_deposit.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "support.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/api/deposit.h"
#include "core/text/json.h"

#define ANSWER(data) "{\"IsSuccess\":true,\"Message\":null,\"ValidationErrors\":null,\"Data\":" data "}"
#define ITEM(more) "{\"InvoiceId\":1,\"DueDeposit\":\"1,234.500\",\"DepositReference\":\"D1\"" more "}"

static MfListResult
read_deposit(const char *reference, long status, const char *body)
{
	MfHttpExchange exchange = answered(status, body);
	MfListResult result;

	memset(&result, 0xA5, sizeof(result));
	mf_deposit_result_read(&exchange, reference, &result);
	free(exchange.response);
	return result;
}

static void
test_requests(void **state)
{
	char	   *sample = fixture("get-deposited-invoices.request.vendor.json");
	char	   *expected = canonical(sample);
	size_t		len;
	char	   *body = mf_deposit_body("2023000011", NULL, &len);
	char	   *made = canonical(body);

	(void) state;
	assert_string_equal(made, expected);
	free(sample);
	free(expected);
	free(body);
	free(made);
	body = mf_deposit_body("2023000204", "27", &len);
	assert_string_equal(body, "{\"DepositReference\":\"2023000204\",\"Type\":\"Supplier\",\"SupplierCode\":27}");
	free(body);
}

static void
test_samples(void **state)
{
	char	   *sample = fixture("get-deposited-invoices.response.vendor.json");
	MfListResult result = read_deposit("2023000011", 200, sample);

	(void) state;
	assert_int_equal(result.base.lookup, MF_LOOKUP_FOUND);
	assert_int_equal(result.row_count, 2);
	assert_string_equal(result.values[MF_DI_COUNT + MF_DI_INVOICE_ID], "2608272");
	assert_string_equal(result.values[MF_DI_PAYMENT_ID], "07072608271167936573");
	assert_string_equal(result.values[MF_DI_PAYMENT_GATEWAY], "VISA/MASTER");
	assert_string_equal(result.values[MF_DI_INVOICE_REFERENCE], "2023004944");
	assert_null(result.values[MF_DI_CUSTOMER_REFERENCE]);
	assert_string_equal(result.values[MF_DI_CREATED_DATE], "2023-08-14 09:13:50.197000");
	assert_string_equal(result.values[MF_DI_PAID_DATE], "2023-08-14 09:13:52.103000");
	assert_string_equal(result.values[MF_DI_INVOICE_VALUE], "232.500");
	assert_string_equal(result.values[MF_DI_DUE_VALUE], "232.500");
	assert_string_equal(result.values[MF_DI_PAID_CURRENCY], "KWD");
	assert_string_equal(result.values[MF_DI_PAID_CURRENCY_VALUE], "232.500");
	assert_string_equal(result.values[MF_DI_TOTAL_SERVICE_CHARGE], "6.975");
	assert_string_equal(result.values[MF_DI_DUE_DEPOSIT], "224.479");
	assert_string_equal(result.values[MF_DI_DEPOSIT_DATE], "2023-08-14 09:26:02.237000");
	mf_list_result_free(&result);
	mf_list_result_free(&result);
	free(sample);

	sample = fixture("get-deposited-invoices.response.supplier.json");
	result = read_deposit("2023000204", 200, sample);
	assert_int_equal(result.base.lookup, MF_LOOKUP_FOUND);
	assert_int_equal(result.row_count, 3);
	assert_string_equal(result.values[MF_DI_DUE_DEPOSIT], "95.585");
	assert_string_equal(result.values[MF_DI_COUNT + MF_DI_DUE_DEPOSIT], "90.000");
	assert_string_equal(result.values[2 * MF_DI_COUNT + MF_DI_DUE_DEPOSIT], "40.000");
	assert_string_equal(result.values[MF_DI_DUE_VALUE], "100.000");
	assert_string_equal(result.values[MF_DI_TOTAL_SERVICE_CHARGE], "2.100");
	mf_list_result_free(&result);

	/* the answer about another deposit */
	result = read_deposit("2023000205", 200, sample);
	assert_int_equal(result.base.lookup, MF_LOOKUP_INCONCLUSIVE);
	assert_int_equal(result.row_count, 0);
	assert_non_null(strstr(result.base.error, "DepositReference"));
	mf_list_result_free(&result);
	free(sample);
}

static void
test_answers(void **state)
{
	static const struct
	{
		long		status;
		const char *body;
		MfLookup	lookup;
		int			count;
		const char *error;
	}			cases[] = {
		{200, ANSWER("[]"), MF_LOOKUP_FOUND, 0, NULL},
		{200, ANSWER("null"), MF_LOOKUP_FOUND, 0, NULL},
		{200, ANSWER("[" ITEM("") "," ITEM("") "]"), MF_LOOKUP_FOUND, 2, NULL},
		/* no member of an item that is not needed may hide the deposit */
		{200, ANSWER("[" ITEM(",\"PaidDate\":\"soon\",\"PaidCurrency\":7,\"InvoiceValue\":{},\"New\":[]") "]"), MF_LOOKUP_FOUND, 1, NULL},

		{200, "{\"IsSuccess\":true}", MF_LOOKUP_INCONCLUSIVE, 0, "Data"},
		{200, ANSWER("{}"), MF_LOOKUP_INCONCLUSIVE, 0, "Data"},
		{200, ANSWER("[1]"), MF_LOOKUP_INCONCLUSIVE, 0, "Data"},
		{200, ANSWER("[" ITEM("") ",{\"InvoiceId\":2,\"DepositReference\":\"D1\"}]"), MF_LOOKUP_INCONCLUSIVE, 0, "DueDeposit"},
		{200, ANSWER("[{\"InvoiceId\":2,\"DueDeposit\":\"much\",\"DepositReference\":\"D1\"}]"), MF_LOOKUP_INCONCLUSIVE, 0, "DueDeposit"},
		{200, ANSWER("[{\"InvoiceId\":0,\"DueDeposit\":\"1\",\"DepositReference\":\"D1\"}]"), MF_LOOKUP_INCONCLUSIVE, 0, "InvoiceId"},
		{200, ANSWER("[{\"DueDeposit\":\"1\",\"DepositReference\":\"D1\"}]"), MF_LOOKUP_INCONCLUSIVE, 0, "InvoiceId"},
		{200, ANSWER("[{\"InvoiceId\":2,\"DueDeposit\":\"1\"}]"), MF_LOOKUP_INCONCLUSIVE, 0, "DepositReference"},
		{200, ANSWER("[{\"InvoiceId\":2,\"DueDeposit\":\"1\",\"DepositReference\":\"d1\"}]"), MF_LOOKUP_INCONCLUSIVE, 0, "DepositReference"},
		{400, "{\"IsSuccess\":false,\"Message\":\"No data match the provided values\"}", MF_LOOKUP_NOT_FOUND, 0, "No data match"},
		{401, "{\"IsSuccess\":false,\"Message\":\"The token does not have the required permissions!\"}", MF_LOOKUP_ACCOUNT_PROBLEM, 0, "permissions"},
		{500, "oops", MF_LOOKUP_FAILED, 0, "oops"},
		{429, "{}", MF_LOOKUP_THROTTLED, 0, "429"},
	};
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(cases); i++)
	{
		MfListResult result = read_deposit("D1", cases[i].status, cases[i].body);

		if (result.base.lookup != cases[i].lookup || result.row_count != cases[i].count)
			fail_msg("%s: %d, %d items", cases[i].body, result.base.lookup, result.row_count);
		if (cases[i].error == NULL)
			assert_null(result.base.error);
		else if (strstr(result.base.error, cases[i].error) == NULL)
			fail_msg("%s: %s", cases[i].body, result.base.error);
		if (result.row_count > 0)
			assert_string_equal(result.values[MF_DI_DUE_DEPOSIT], "1234.500");
		mf_list_result_free(&result);
	}
}

/* 30,000 items are half a million values, which no other answer may have. */
static void
test_many_items(void **state)
{
	int			count = 30000;
	char	   *body = malloc((size_t) count * 500 + 100);
	char	   *end = body;
	MfListResult result;
	int			i;

	(void) state;
	end += sprintf(end, "{\"IsSuccess\":true,\"Data\":[");
	for (i = 0; i < count; i++)
		end += sprintf(end, "%s{\"InvoiceId\":%d,\"DueDeposit\":\"1.000\",\"DepositReference\":\"D1\",\"a\":1,\"b\":2,\"c\":3,"
					   "\"d\":4,\"e\":5,\"f\":6,\"g\":7,\"h\":8,\"i\":9,\"j\":10,\"k\":11,\"l\":12,\"m\":13}", i > 0 ? "," : "", i + 1);
	strcpy(end, "]}");
	result = read_deposit("D1", 200, body);
	assert_int_equal(result.base.lookup, MF_LOOKUP_FOUND);
	assert_int_equal(result.row_count, count);
	mf_list_result_free(&result);
	assert_null(mf_json_parse(body, strlen(body), NULL, NULL));
	free(body);
}

static void
test_news(void **state)
{
	static const struct
	{
		const char *data;
		const char *reference;	/* NULL = none */
		const char *supplier;
		const char *value;
		int			count;
	}			cases[] = {
		{"{\"DepositReference\":\"2021000002\",\"DepositedAmount\":\"6917.282\",\"NumberOfTransactions\":\"24\",\"DepositFor\":\"VENDOR\",\"SupplierCode\":\"\"}",
		"2021000002", "", "6917.282", 24},
		{"{\"DepositReference\":\"2021000002\",\"DepositedAmount\":\"6,917.282\",\"NumberOfTransactions\":24,\"DepositFor\":\"SUPPLIER\",\"SupplierCode\":27}",
		"2021000002", "27", "6917.282", 24},
		{"{\"DepositReference\":\"1\",\"SupplierCode\":null}", "1", "", "", -1},
		{"{\"Deposit\":{\"Reference\":\"2025000006\",\"ValueInBaseCurrency\":\"15968.333\",\"NumberOfTransactions\":\"511\"},\"Supplier\":null}",
		"2025000006", "", "15968.333", 511},
		{"{\"Deposit\":{\"Reference\":\"2025000006\",\"ValueInBaseCurrency\":\"-1.5\",\"NumberOfTransactions\":\"0\"},\"Supplier\":{\"Code\":\"9\"}}",
		"2025000006", "9", "-1.5", 0},
		{"{\"Deposit\":{\"Reference\":\"2025000006\",\"ValueInBaseCurrency\":\"NaN\",\"NumberOfTransactions\":\"9999999999\"}}",
		"2025000006", "", "", -1},
		/* nothing that could be asked about */
		{"{}", NULL, NULL, NULL, 0},
		{"[]", NULL, NULL, NULL, 0},
		{"{\"Deposit\":null,\"DepositReference\":\"1\"}", NULL, NULL, NULL, 0},
		{"{\"DepositReference\":\"\"}", NULL, NULL, NULL, 0},
		{"{\"DepositReference\":\"a b\"}", NULL, NULL, NULL, 0},
		{"{\"DepositReference\":{}}", NULL, NULL, NULL, 0},
		{"{\"DepositReference\":\"1\",\"DepositFor\":\"SUPPLIER\"}", NULL, NULL, NULL, 0},
		{"{\"DepositReference\":\"1\",\"DepositFor\":\"VENDOR\",\"SupplierCode\":3}", NULL, NULL, NULL, 0},
		{"{\"DepositReference\":\"1\",\"SupplierCode\":\"three\"}", NULL, NULL, NULL, 0},
		{"{\"DepositReference\":\"1234567890123456789012345678901234567890123456789012345678901234x\"}", NULL, NULL, NULL, 0},
	};
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(cases); i++)
	{
		cJSON	   *data = mf_json_parse(cases[i].data, strlen(cases[i].data), NULL, NULL);
		MfDepositNews news;
		bool		found = mf_deposit_news_read(data, &news);

		cJSON_Delete(data);
		if (found != (cases[i].reference != NULL))
			fail_msg("%s", cases[i].data);
		if (!found)
			continue;
		assert_string_equal(news.reference, cases[i].reference);
		assert_string_equal(news.supplier_code, cases[i].supplier);
		assert_string_equal(news.value, cases[i].value);
		assert_int_equal(news.count, cases[i].count);
	}
}

/* The samples of webhooks */
static void
test_news_samples(void **state)
{
	static const char *const cases[][3] = {
		{"webhook-v1.deposit.vendor.body.json", "2021000002", "6917.282"},
		{"webhook-v2.balance-transferred.vendor.body.json", "2025000006", "15968.333"},
	};
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(cases); i++)
	{
		char	   *sample = fixture(cases[i][0]);
		cJSON	   *root = mf_json_parse(sample, strlen(sample), NULL, NULL);
		MfDepositNews news;

		assert_true(mf_deposit_news_read(mf_json_get(root, "Data"), &news));
		assert_string_equal(news.reference, cases[i][1]);
		assert_string_equal(news.value, cases[i][2]);
		assert_string_equal(news.supplier_code, "");
		cJSON_Delete(root);
		free(sample);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_samples),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_many_items),
		cmocka_unit_test(test_news),
		cmocka_unit_test(test_news_samples),
	};

	return cmocka_run_group_tests_name("deposit", tests, NULL, NULL);
}
