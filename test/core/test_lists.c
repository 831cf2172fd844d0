/*
 * test_lists.c
 *	  Answers that are lists of rows: samples, and what makes one unreadable.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/core/test_lists.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "support.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/api/lists.h"

/* "a|b||c" of a row */
static void
check_row(const MfListResult *result, int row, const char *expected)
{
	char		line[1000] = "";
	int			i;

	for (i = 0; i < result->list->field_count; i++)
	{
		const char *value = mf_list_row(result, row)[i];

		snprintf(line + strlen(line), sizeof(line) - strlen(line), "%s%s", i > 0 ? "|" : "", value != NULL ? value : "-");
	}
	assert_string_equal(line, expected);
}

static MfListResult
read_sample(const MfList *list, const char *name, int rows)
{
	char	   *sample = fixture(name);
	MfListResult result = read_list(list, 200, sample);

	free(sample);
	assert_int_equal(result.base.lookup, MF_LOOKUP_FOUND);
	assert_null(result.base.error);
	assert_int_equal(result.row_count, rows);
	return result;
}

static void
test_samples(void **state)
{
	MfListResult result = read_sample(&mf_payment_method_list, "initiate-payment.response.json", 3);

	(void) state;
	check_row(&result, 1, "1|kn|KNET|\xD9\x83\xD9\x8A \xD9\x86\xD8\xAA|false|false|0.02|100|KWD|KWD|"
			  "https://demo.myfatoorah.com/imgs/payment-methods/kn.png");
	mf_list_result_free(&result);
	mf_list_result_free(&result);

	result = read_sample(&mf_exchange_rate_list, "get-currencies-exchange-list.response.json", 10);
	check_row(&result, 1, "SAR|12.35100000");
	mf_list_result_free(&result);

	result = read_sample(&mf_supplier_list, "get-suppliers.response.json", 2);
	check_row(&result, 1, "53|dasd sads|Pending||0555555555|supplier53@example.com|-|1.00|1.000|false|Daily|-|false|"
			  "[{\"PaymentMethodName\":\"Apple Pay\",\"CommissionValue\":1.000,\"CommissionPercentage\":3.000,\"IsPercentageOfNetValue\":\"False\"}]|"
			  "{\"Code\":null,\"Name\":null}");
	mf_list_result_free(&result);

	result = read_sample(&mf_recurring_list, "get-recurring-payment.response.json", 3);
	check_row(&result, 0, "RECUR2136|Canceled|2021-04-13 11:57:51.733000|50|Custom|1|0|2021-04-13 11:57:51.733000|"
			  "2021-04-14 00:00:00.000000|false|-");
	mf_list_result_free(&result);
}

static void
test_request(void **state)
{
	char	   *sample = fixture("initiate-payment.request.json");
	char	   *expected = canonical(sample);
	size_t		len;
	char	   *body = mf_payment_methods_body("100", "KWD", &len);
	char	   *made = canonical(body);

	(void) state;
	assert_string_equal(made, expected);
	assert_int_equal(len, strlen(body));
	free(sample);
	free(expected);
	free(body);
	free(made);
}

static void
test_answers(void **state)
{
	static const struct
	{
		const MfList *list;
		long		status;
		const char *body;
		MfLookup	lookup;
		int			rows;
		const char *error;
	}			cases[] = {
		{&mf_exchange_rate_list, 200, "[]", MF_LOOKUP_FOUND, 0, NULL},
		{&mf_exchange_rate_list, 200, "[{\"Value\":1.5,\"Text\":\"kwd\",\"More\":1}]", MF_LOOKUP_FOUND, 1, NULL},
		{&mf_exchange_rate_list, 200, "[{\"Value\":\"1\",\"Text\":\"KWD\"},{\"Value\":null,\"Text\":\"SAR\"}]", MF_LOOKUP_INCONCLUSIVE, 0, "Value"},
		{&mf_exchange_rate_list, 200, "[{\"Value\":\"1\",\"Text\":\"\"}]", MF_LOOKUP_INCONCLUSIVE, 0, "Text"},
		{&mf_exchange_rate_list, 200, "[1]", MF_LOOKUP_INCONCLUSIVE, 0, "Data"},
		{&mf_exchange_rate_list, 200, "{\"IsSuccess\":false,\"Message\":\"no\"}", MF_LOOKUP_INCONCLUSIVE, 0, "no"},
		{&mf_exchange_rate_list, 404, "[]", MF_LOOKUP_INCONCLUSIVE, 0, "404"},
		{&mf_payment_method_list, 200, "{\"IsSuccess\":true,\"Data\":{\"PaymentMethods\":null}}", MF_LOOKUP_FOUND, 0, NULL},
		{&mf_payment_method_list, 200, "{\"IsSuccess\":true,\"Data\":{}}", MF_LOOKUP_INCONCLUSIVE, 0, "PaymentMethods"},
		{&mf_payment_method_list, 200, "{\"IsSuccess\":true,\"Data\":{\"PaymentMethods\":[{\"PaymentMethodId\":2,\"IsDirectPayment\":\"True\",\"ServiceCharge\":\"much\"}]}}",
		MF_LOOKUP_FOUND, 1, NULL},
		{&mf_payment_method_list, 200, "{\"IsSuccess\":true,\"Data\":{\"PaymentMethods\":[{\"PaymentMethodId\":2},{\"PaymentMethodCode\":\"kn\"}]}}",
		MF_LOOKUP_INCONCLUSIVE, 0, "PaymentMethodId"},
		{&mf_payment_method_list, 400, "{\"IsSuccess\":false,\"ValidationErrors\":[{\"Name\":\"CurrencyIso\",\"Error\":\"bad\"}]}", MF_LOOKUP_REFUSED, 0, "CurrencyIso: bad"},
		{&mf_supplier_list, 401, "{\"IsSuccess\":false,\"Message\":\"The token does not have the required permissions!\"}", MF_LOOKUP_ACCOUNT_PROBLEM, 0, "permissions"},
		{&mf_supplier_list, 500, "", MF_LOOKUP_FAILED, 0, "500"},
	};
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(cases); i++)
	{
		MfListResult result = read_list(cases[i].list, cases[i].status, cases[i].body);

		if (result.base.lookup != cases[i].lookup || result.row_count != cases[i].rows)
			fail_msg("%s: %d, %d rows", cases[i].body, result.base.lookup, result.row_count);
		if (cases[i].error == NULL)
			assert_null(result.base.error);
		else if (strstr(result.base.error, cases[i].error) == NULL)
			fail_msg("%s: %s", cases[i].body, result.base.error);
		mf_list_result_free(&result);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_samples),
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_answers),
	};

	return cmocka_run_group_tests_name("lists", tests, NULL, NULL);
}
