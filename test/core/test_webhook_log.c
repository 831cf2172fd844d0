/*
 * test_webhook_log.c
 *	  GetWebhooks and GetRefundStatus: requests, answers, and unreadable
 *	  answers.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/core/test_webhook_log.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "support.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/api/refund.h"
#include "core/api/webhook_log.h"

#define ANSWER(data) "{\"IsSuccess\":true,\"Message\":\"\",\"ValidationErrors\":null,\"Data\":" data "}"
#define LOG(items, page, pages) \
	ANSWER("{\"Items\":" items ",\"Pagination\":{\"PageSize\":500,\"PageNumber\":" page ",\"PagesCount\":" pages ",\"ItemsCount\":1}}")
#define REFUNDS(list) ANSWER("{\"RefundStatusResult\":" list "}")
#define REFUND(more) "{\"RefundId\":1,\"RefundStatus\":\"Refunded\"" more "}"
#define NO_DATA "{\"IsSuccess\":false,\"Message\":\"No data match the provided values\",\"ValidationErrors\":null,\"Data\":null}"
#define REFUSED "{\"IsSuccess\":false,\"Message\":\"Invalid data\",\"ValidationErrors\":[{\"Name\":\"Key\",\"Error\":\"is bad\"}],\"Data\":null}"

/* ----------
 * Requests
 * ----------
 */

static void
test_log_body(void **state)
{
	size_t		len = 1;
	char	   *body = mf_webhook_log_body("2024-02-12T00:16:29.650Z", "2025-02-12T20:43:43.848Z", "Failed", 3, &len);

	(void) state;
	assert_string_equal(body, "{\"Start\":\"2024-02-12T00:16:29.650Z\",\"End\":\"2025-02-12T20:43:43.848Z\",\"Page\":3,\"Status\":\"Failed\"}");
	assert_int_equal(len, strlen(body));
	free(body);
	body = mf_webhook_log_body(NULL, "x\"y", NULL, 2147483647, &len);
	assert_string_equal(body, "{\"End\":\"x\\\"y\",\"Page\":2147483647}");
	free(body);
	assert_null(mf_webhook_log_body(NULL, NULL, NULL, 0, &len));
	assert_null(mf_webhook_log_body(NULL, NULL, NULL, -1, &len));
	assert_null(mf_webhook_log_body("\xFF", NULL, NULL, 1, &len));
	assert_int_equal(len, 0);
}

static void
test_refund_body(void **state)
{
	char	   *sample = fixture("get-refund-status.request.json");
	char	   *expected = canonical(sample);
	size_t		len;
	char	   *body = mf_key_body("6867014", "InvoiceId", &len);
	char	   *actual = canonical(body);

	(void) state;
	assert_string_equal(actual, expected);
	assert_int_equal(len, strlen(body));
	free(actual);
	free(body);
	free(expected);
	free(sample);
}

/* ----------
 * GetWebhooks
 * ----------
 */

static void
test_log_sample(void **state)
{
	static const struct
	{
		const char *entity;
		const char *reference;
		const char *data;
	}			expected[] = {
		{"5131277", "WH-24349",
			"{\"InvoiceId\":5131277,\"InvoiceReference\":\"2025000148\",\"CreatedDate\":\"12022025154151\","
			"\"CustomerReference\":\"rLVgyA7C6v19bHwpXEIDrA5wW\",\"TransactionStatus\":\"SUCCESS\",\"PaymentMethod\":\"VISA/MASTER\","
			"\"UserDefinedField\":\"rLVgyA7C6v19bHwpXEIDrA5wW\",\"ReferenceId\":\"504312229134\",\"TrackId\":\"12-02-2025_2485915\","
			"\"PaymentId\":\"07075131277248591573\",\"AuthorizationId\":\"229134\",\"InvoiceValueInBaseCurrency\":\"112.185\","
			"\"BaseCurrency\":\"KWD\",\"InvoiceValueInDisplayCurreny\":\"30.29\",\"DisplayCurrency\":\"USD\","
		"\"InvoiceValueInPayCurrency\":\"112.19\",\"PayCurrency\":\"SAR\"}"},
		{"5131253", "WH-24344",
			"{\"InvoiceId\":5131253,\"InvoiceReference\":\"2025000147\",\"CreatedDate\":\"12022025153902\","
			"\"CustomerReference\":\"rt3V3n4nBpSdkF5HQLsRs52NV\",\"TransactionStatus\":\"SUCCESS\",\"PaymentMethod\":\"VISA/MASTER\","
			"\"UserDefinedField\":\"rt3V3n4nBpSdkF5HQLsRs52NV\",\"ReferenceId\":\"504312227034\",\"TrackId\":\"12-02-2025_2485907\","
			"\"PaymentId\":\"07075131253248590772\",\"AuthorizationId\":\"227034\",\"InvoiceValueInBaseCurrency\":\"260.444\","
			"\"BaseCurrency\":\"KWD\",\"InvoiceValueInDisplayCurreny\":\"70.32\",\"DisplayCurrency\":\"USD\","
		"\"InvoiceValueInPayCurrency\":\"260.45\",\"PayCurrency\":\"SAR\"}"},
	};
	char	   *sample = fixture("get-webhooks.response.json");
	MfListResult result = read_list(&mf_webhook_log, 200, sample);
	int			i;

	(void) state;
	assert_null(result.base.error);
	assert_int_equal(result.base.lookup, MF_LOOKUP_FOUND);
	assert_false(result.base.not_sent);
	assert_int_equal(result.base.retry_after, 0);
	assert_int_equal(result.page, 1);
	assert_int_equal(result.pages, 1);
	assert_int_equal(result.items, 2);
	assert_int_equal(result.row_count, 2);
	for (i = 0; i < 2; i++)
	{
		check_text(mf_list_row(&result, i)[MF_WL_EVENT_CODE], "1");
		check_text(mf_list_row(&result, i)[MF_WL_EVENT_NAME], "TransactionsStatusChanged");
		check_text(mf_list_row(&result, i)[MF_WL_EVENT_ENTITY_ID], expected[i].entity);
		check_text(mf_list_row(&result, i)[MF_WL_WEBHOOK_REFERENCE], expected[i].reference);
		check_text(mf_list_row(&result, i)[MF_WL_DATA], expected[i].data);
	}
	mf_list_result_free(&result);
	mf_list_result_free(&result);
	free(sample);
}

/* What an item may lack, and spellings of its members */
static void
test_log_items(void **state)
{
	static const struct
	{
		const char *item;
		const char *code;
		const char *name;
		const char *entity;
		const char *data;
	}			cases[] = {
		{"{}", NULL, NULL, NULL, NULL},
		{"{\"EventCode\":null,\"EventName\":null,\"EventEntityId\":null,\"Data\":null}", NULL, NULL, NULL, NULL},
		{"{\"EventCode\":\"7\",\"EventName\":\"\",\"EventEntityId\":\"\",\"Data\":\"x\"}", "7", NULL, NULL, NULL},
		{"{\"EventCode\":2,\"EventName\":\"REFUND_STATUS_CHANGED\",\"EventEntityId\":5131277,\"Data\":{}}", "2",
		"REFUND_STATUS_CHANGED", "5131277", "{}"},
		{"{\"EventCode\":8,\"EventName\":\"NEW\",\"EventEntityId\":\"RECUR1\",\"Data\":[1]}", NULL, "NEW", "RECUR1", NULL},
		{"{\"EventCode\":0,\"EventName\":1,\"Data\":1}", NULL, "1", NULL, NULL},
		{"{\"EventCode\":-1,\"EventName\":[],\"EventEntityId\":{}}", NULL, NULL, NULL, NULL},
		{"{\"EventCode\":10}", NULL, NULL, NULL, NULL},
		{"{\"EventCode\":1.0,\"Data\":{\"a\":1e9,\"Token\":1}}", NULL, NULL, NULL, "{\"a\":\"1e9\"}"},
	};
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(cases); i++)
	{
		char	   *body = text(LOG("[{\"EventCode\":1},%s]", "\"2\"", "3"), cases[i].item);
		MfListResult result = read_list(&mf_webhook_log, 200, body);

		assert_null(result.base.error);
		assert_int_equal(result.base.lookup, MF_LOOKUP_FOUND);
		assert_int_equal(result.page, 2);
		assert_int_equal(result.pages, 3);
		assert_int_equal(result.row_count, 2);
		check_text(mf_list_row(&result, 0)[MF_WL_EVENT_CODE], "1");
		check_text(mf_list_row(&result, 1)[MF_WL_EVENT_CODE], cases[i].code);
		check_text(mf_list_row(&result, 1)[MF_WL_EVENT_NAME], cases[i].name);
		check_text(mf_list_row(&result, 1)[MF_WL_EVENT_ENTITY_ID], cases[i].entity);
		check_text(mf_list_row(&result, 1)[MF_WL_DATA], cases[i].data);
		assert_null(mf_list_row(&result, 1)[MF_WL_WEBHOOK_REFERENCE]);
		mf_list_result_free(&result);
		free(body);
	}
}

static void
test_log_pages(void **state)
{
	static const struct
	{
		long		status;
		const char *body;
		int			count;		/* -1: not to be read */
		int			page;
		int			pages;
	}			cases[] = {
		{200, LOG("[{}]", "1", "1"), 1, 1, 1},
		{200, LOG("[{},{},{}]", "3", "2"), 3, 3, 2},
		{200, LOG("[]", "1", "0"), 0, 1, 0},
		{200, LOG("[]", "9", "2"), 0, 9, 2},
		{200, LOG("null", "1", "0"), 0, 1, 0},
		{200, ANSWER("{\"Items\":[],\"Pagination\":null}"), 0, 0, 0},
		{200, ANSWER("{\"Items\":[]}"), 0, 0, 0},
		{200, LOG("[]", "1", "null"), 0, 0, 0},
		{400, NO_DATA, 0, 0, 0},
		/* events could be lost unseen */
		{200, ANSWER("{\"Items\":[{}]}"), -1, 0, 0},
		{200, LOG("[{}]", "0", "1"), -1, 0, 0},
		{200, LOG("[{}]", "1", "0"), -1, 0, 0},
		{200, LOG("[{}]", "-1", "1"), -1, 0, 0},
		{200, LOG("[{}]", "1", "\"\""), -1, 0, 0},
		{200, LOG("[{}]", "1.0", "1"), -1, 0, 0},
		{200, LOG("[{}]", "1", "9999999999"), -1, 0, 0},
		{200, LOG("[{},1]", "1", "1"), -1, 0, 0},
		{200, LOG("[{\"EventName\":\"x\",\"Data\":{}},null]", "1", "1"), -1, 0, 0},
		{200, LOG("{}", "1", "1"), -1, 0, 0},
		{200, LOG("1", "1", "1"), -1, 0, 0},
		{200, ANSWER("{\"Pagination\":{\"PageNumber\":1,\"PagesCount\":0}}"), -1, 0, 0},
		{200, ANSWER("[]"), -1, 0, 0},
		{200, ANSWER("null"), -1, 0, 0},
	};
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(cases); i++)
	{
		MfListResult result = read_list(&mf_webhook_log, cases[i].status, cases[i].body);

		if (result.base.lookup != (cases[i].count < 0 ? MF_LOOKUP_INCONCLUSIVE : MF_LOOKUP_FOUND))
			fail_msg("%s: %s", cases[i].body, result.base.error ? result.base.error : "read");
		assert_int_equal(result.base.error == NULL, cases[i].count >= 0);
		if (result.base.error != NULL)
			assert_non_null(strstr(result.base.error, "HTTP 200: the answer's "));
		assert_int_equal(result.row_count, cases[i].count < 0 ? 0 : cases[i].count);
		assert_int_equal(result.values != NULL, cases[i].count > 0);
		assert_int_equal(result.page, cases[i].page);
		assert_int_equal(result.pages, cases[i].pages);
		mf_list_result_free(&result);
	}
}

/* ----------
 * GetRefundStatus
 * ----------
 */

static void
test_refund_sample(void **state)
{
	char	   *sample = fixture("get-refund-status.response.json");
	MfListResult result = read_list(&mf_refund_list, 200, sample);

	(void) state;
	assert_null(result.base.error);
	assert_int_equal(result.base.lookup, MF_LOOKUP_FOUND);
	assert_false(result.base.not_sent);
	assert_int_equal(result.base.retry_after, 0);
	assert_int_equal(result.row_count, 2);
	check_text(mf_list_row(&result, 0)[MF_RF_REFUND_ID], "275988");
	check_text(mf_list_row(&result, 0)[MF_RF_REFUND_STATUS], "Refunded");
	check_text(mf_list_row(&result, 0)[MF_RF_INVOICE_ID], "6867014");
	check_text(mf_list_row(&result, 0)[MF_RF_AMOUNT], "1.000");
	check_text(mf_list_row(&result, 1)[MF_RF_REFUND_ID], "275990");
	check_text(mf_list_row(&result, 1)[MF_RF_REFUND_STATUS], "Pending");
	check_text(mf_list_row(&result, 1)[MF_RF_INVOICE_ID], "6867014");
	check_text(mf_list_row(&result, 1)[MF_RF_AMOUNT], "1.000");
	mf_list_result_free(&result);
	mf_list_result_free(&result);
	free(sample);
}

static void
test_refunds(void **state)
{
	static const struct
	{
		const char *body;
		int			count;		/* -1: not to be read */
		const char *amount;
	}			cases[] = {
		{REFUNDS("[]"), 0, NULL},
		{REFUNDS("null"), 0, NULL},
		{REFUNDS("[" REFUND(",\"RefundAmount\":1.64,\"Amount\":3,\"BaseCurrency\":\"KD\"") "]"), 1, "3"},
		{REFUNDS("[" REFUND(",\"RefundAmount\":2.500,\"Amount\":null") "]"), 1, "2.500"},
		{REFUNDS("[" REFUND(",\"RefundAmount\":2.500") "]"), 1, "2.500"},
		{REFUNDS("[" REFUND(",\"RefundAmount\":null,\"Amount\":1.10") "]"), 1, "1.10"},
		{REFUNDS("[" REFUND(",\"Amount\":\"1,234.500\",\"BaseCurrency\":\"Gold\"") "]"), 1, "1234.500"},
		{REFUNDS("[" REFUND(",\"RefundAmount\":\"\",\"Amount\":1e2") "]"), 1, "100"},
		{REFUNDS("[" REFUND(",\"RefundAmount\":5,\"Amount\":0,\"InvoiceId\":\"\",\"RRN\":\"\",\"RefundReference\":null") "]"), 1, "0"},
		/* refunds without a number, a status or an amount */
		{REFUNDS("[" REFUND("") "]"), -1, "Amount"},
		{REFUNDS("[" REFUND(",\"RefundAmount\":\"1,5\",\"Amount\":1") "]"), -1, "RefundAmount"},
		{REFUNDS("[" REFUND(",\"RefundAmount\":true,\"Amount\":1") "]"), -1, "RefundAmount"},
		{REFUNDS("[" REFUND(",\"RefundAmount\":1,\"Amount\":[]") "]"), -1, "Amount"},
		{REFUNDS("[" REFUND(",\"Amount\":1,\"InvoiceId\":-7") "]"), -1, "InvoiceId"},
		{REFUNDS("[" REFUND(",\"Amount\":1,\"InvoiceId\":\"x\"") "]"), -1, "InvoiceId"},
		{REFUNDS("[{\"RefundStatus\":\"Refunded\",\"Amount\":1}]"), -1, "RefundId"},
		{REFUNDS("[{\"RefundId\":null,\"RefundStatus\":\"Refunded\",\"Amount\":1}]"), -1, "RefundId"},
		{REFUNDS("[{\"RefundId\":-1,\"RefundStatus\":\"Refunded\",\"Amount\":1}]"), -1, "RefundId"},
		{REFUNDS("[{\"RefundId\":1.5,\"RefundStatus\":\"Refunded\",\"Amount\":1}]"), -1, "RefundId"},
		{REFUNDS("[{\"RefundId\":1234567890123456789,\"RefundStatus\":\"Refunded\",\"Amount\":1}]"), -1, "RefundId"},
		{REFUNDS("[{\"RefundId\":1,\"Amount\":1}]"), -1, "RefundStatus"},
		{REFUNDS("[{\"RefundId\":1,\"RefundStatus\":\"\",\"Amount\":1}]"), -1, "RefundStatus"},
		{REFUNDS("[{\"RefundId\":1,\"RefundStatus\":{},\"Amount\":1}]"), -1, "RefundStatus"},
		{REFUNDS("[" REFUND(",\"Amount\":1") ",1]"), -1, "RefundStatusResult"},
		{REFUNDS("{}"), -1, "RefundStatusResult"},
		{ANSWER("{}"), -1, "RefundStatusResult"},
		{ANSWER("[]"), -1, "RefundStatusResult"},
		{ANSWER("null"), -1, "RefundStatusResult"},
		{"{\"IsSuccess\":true}", -1, "RefundStatusResult"},
	};
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(cases); i++)
	{
		MfListResult result = read_list(&mf_refund_list, 200, cases[i].body);

		if (result.base.lookup != (cases[i].count < 0 ? MF_LOOKUP_INCONCLUSIVE : MF_LOOKUP_FOUND))
			fail_msg("%s: %s", cases[i].body, result.base.error ? result.base.error : "read");
		if (cases[i].count < 0)
		{
			char	   *expected = text("HTTP 200: the answer's %s cannot be read", cases[i].amount);

			assert_string_equal(result.base.error, expected);
			free(expected);
			assert_int_equal(result.row_count, 0);
			assert_null(result.values);
		}
		else
		{
			assert_null(result.base.error);
			assert_int_equal(result.row_count, cases[i].count);
		}
		if (cases[i].count > 0)
		{
			check_text(mf_list_row(&result, 0)[MF_RF_AMOUNT], cases[i].amount);
			check_text(mf_list_row(&result, 0)[MF_RF_INVOICE_ID], NULL);
		}
		mf_list_result_free(&result);
	}
}

/* ----------
 * Answers that are none
 * ----------
 */

static void
test_verdicts(void **state)
{
	static const struct
	{
		long		status;
		const char *body;
		MfLookup	log;
		MfLookup	refund;
		const char *error;
	}			cases[] = {
		{400, NO_DATA, MF_LOOKUP_FOUND, MF_LOOKUP_NOT_FOUND, "No data match the provided values"},
		{404, NO_DATA, MF_LOOKUP_FOUND, MF_LOOKUP_NOT_FOUND, "No data match the provided values"},
		{404, "", MF_LOOKUP_INCONCLUSIVE, MF_LOOKUP_INCONCLUSIVE, "HTTP 404: the answer is empty"},
		{200, NO_DATA, MF_LOOKUP_INCONCLUSIVE, MF_LOOKUP_INCONCLUSIVE, "HTTP 200: the answer does not confirm success: No data match the provided values"},
		{400, REFUSED, MF_LOOKUP_REFUSED, MF_LOOKUP_REFUSED, "Key: is bad"},
		{400, "", MF_LOOKUP_INCONCLUSIVE, MF_LOOKUP_INCONCLUSIVE, "HTTP 400: the answer is empty"},
		{401, "", MF_LOOKUP_ACCOUNT_PROBLEM, MF_LOOKUP_ACCOUNT_PROBLEM, "HTTP 401: the answer is empty"},
		{403, "<html>no", MF_LOOKUP_ACCOUNT_PROBLEM, MF_LOOKUP_ACCOUNT_PROBLEM, "HTTP 403: no"},
		{429, "", MF_LOOKUP_THROTTLED, MF_LOOKUP_THROTTLED, "HTTP 429: the answer is empty"},
		{503, "busy", MF_LOOKUP_FAILED, MF_LOOKUP_FAILED, "HTTP 503: busy"},
		{200, "{", MF_LOOKUP_INCONCLUSIVE, MF_LOOKUP_INCONCLUSIVE, "HTTP 200: the answer is not valid JSON: broken JSON, unexpected end"},
		{200, "[]", MF_LOOKUP_INCONCLUSIVE, MF_LOOKUP_INCONCLUSIVE, "HTTP 200: the answer does not confirm success: the answer gives no reason"},
	};
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(cases); i++)
	{
		MfListResult log = read_list(&mf_webhook_log, cases[i].status, cases[i].body);
		MfListResult refund = read_list(&mf_refund_list, cases[i].status, cases[i].body);

		assert_int_equal(log.base.lookup, cases[i].log);
		assert_int_equal(refund.base.lookup, cases[i].refund);
		check_text(log.base.error, cases[i].log == MF_LOOKUP_FOUND ? NULL : cases[i].error);
		check_text(refund.base.error, cases[i].error);
		assert_int_equal(log.row_count, 0);
		assert_int_equal(refund.row_count, 0);
		assert_null(log.values);
		assert_null(refund.values);
		mf_list_result_free(&log);
		mf_list_result_free(&refund);
	}
}

/* An incomplete answer is not parsed, however good it looks. */
static void
test_evidence(void **state)
{
	MfHttpExchange exchange = answered(200, LOG("[{}]", "1", "1"));
	MfListResult log;
	MfListResult refund;
	int			i;

	(void) state;
	exchange.retry_after = 7;
	for (i = 0; i < 3; i++)
	{
		exchange.truncated = (i == 0);
		exchange.curl_code = (i == 1) ? CURLE_PARTIAL_FILE : (i == 2) ? CURLE_COULDNT_CONNECT : CURLE_OK;
		exchange.gate_passed = (i != 2);
		exchange.http_status = (i == 2) ? 0 : 200;
		mf_list_result_read(&mf_webhook_log, &exchange, &log);
		mf_list_result_read(&mf_refund_list, &exchange, &refund);
		assert_int_equal(log.base.lookup, MF_LOOKUP_FAILED);
		assert_int_equal(refund.base.lookup, MF_LOOKUP_FAILED);
		assert_int_equal(log.base.not_sent, i == 2);
		assert_int_equal(refund.base.not_sent, i == 2);
		assert_int_equal(log.base.retry_after, 0);
		assert_int_equal(refund.base.retry_after, 0);
		assert_non_null(log.base.error);
		assert_non_null(refund.base.error);
		assert_int_equal(log.row_count, 0);
		mf_list_result_free(&log);
		mf_list_result_free(&refund);
	}
	exchange.curl_code = CURLE_OK;
	exchange.http_status = 429;
	mf_list_result_read(&mf_webhook_log, &exchange, &log);
	mf_list_result_read(&mf_refund_list, &exchange, &refund);
	assert_int_equal(log.base.retry_after, 7);
	assert_int_equal(refund.base.retry_after, 7);
	mf_list_result_free(&log);
	mf_list_result_free(&refund);
	free(exchange.response);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_log_body),
		cmocka_unit_test(test_refund_body),
		cmocka_unit_test(test_log_sample),
		cmocka_unit_test(test_log_items),
		cmocka_unit_test(test_log_pages),
		cmocka_unit_test(test_refund_sample),
		cmocka_unit_test(test_refunds),
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_evidence),
	};

	return cmocka_run_group_tests_name("webhook log", tests, NULL, NULL);
}
