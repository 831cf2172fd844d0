/*
 * test_api.c
 *	  Request bodies and answers, compared byte by byte, and error messages.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/core/test_api.c
 */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/api/api.h"
#include "core/text/json.h"
#include "core/text/text.h"

/* ----------
 * Requests
 * ----------
 */

/* Builds a body and checks that it equals the expected JSON. */
static void
check_body(const char *const values[MF_SP_COUNT], const char *expected_json)
{
	size_t		len = 0;
	char	   *body = mf_fields_body(mf_send_payment_fields, MF_SP_COUNT, values, &len);
	char	   *mine;
	char	   *expected;

	assert_non_null(body);
	assert_int_equal(len, strlen(body));
	mine = canonical(body);
	expected = canonical(expected_json);
	assert_string_equal(mine, expected);
	free(mine);
	free(expected);
	free(body);
}

static void
test_request_minimal(void **state)
{
	const char *values[MF_SP_COUNT] = {NULL};
	char	   *sample = fixture("send-payment.request.minimal-lnk.json");
	size_t		len;
	char	   *body;

	(void) state;
	values[MF_SP_CUSTOMER_NAME] = "John Doe";
	values[MF_SP_NOTIFICATION_OPTION] = "LNK";
	values[MF_SP_INVOICE_VALUE] = "100";
	check_body(values, sample);
	body = mf_fields_body(mf_send_payment_fields, MF_SP_COUNT, values, &len);
	assert_string_equal(body, "{\"CustomerName\":\"John Doe\",\"InvoiceValue\":100,\"NotificationOption\":\"LNK\"}");
	free(body);
	free(sample);
}

/*
 * MyFatoorah's sample spells ExpiryDate "ExpireDate" (empty there), for which
 * there is no field, and sends CustomerCivilId as a number, where the
 * reference says string, which is what is sent.  Everything else must be
 * equal.
 */
static void
test_request_all(void **state)
{
	const char *values[MF_SP_COUNT] = {NULL};
	char	   *sample = fixture("send-payment.request.all.json");
	cJSON	   *root = mf_json_parse(sample, strlen(sample), NULL, NULL);
	char	   *adapted;

	(void) state;
	assert_non_null(root);
	assert_string_equal(mf_json_string(root, "ExpireDate"), "");
	assert_string_equal(mf_json_number(root, "CustomerCivilId"), "12345678");
	cJSON_DeleteItemFromObjectCaseSensitive(root, "ExpireDate");
	cJSON_ReplaceItemInObjectCaseSensitive(root, "CustomerCivilId", cJSON_CreateString("12345678"));
	adapted = mf_json_print(root);

	values[MF_SP_NOTIFICATION_OPTION] = "ALL";
	values[MF_SP_CUSTOMER_NAME] = "Ahmed";
	values[MF_SP_DISPLAY_CURRENCY_ISO] = "KWD";
	values[MF_SP_MOBILE_COUNTRY_CODE] = "+965";
	values[MF_SP_CUSTOMER_MOBILE] = "12345678";
	values[MF_SP_CUSTOMER_EMAIL] = "xx@yy.com";
	values[MF_SP_INVOICE_VALUE] = "100";
	values[MF_SP_CALL_BACK_URL] = "https://google.com";
	values[MF_SP_ERROR_URL] = "https://google.com";
	values[MF_SP_LANGUAGE] = "en";
	values[MF_SP_CUSTOMER_REFERENCE] = "ref 1";
	values[MF_SP_CUSTOMER_CIVIL_ID] = "12345678";
	values[MF_SP_USER_DEFINED_FIELD] = "Custom field";
	values[MF_SP_CUSTOMER_ADDRESS] =
		"{\"Block\": \"\", \"Street\": \"\", \"HouseBuildingNo\": \"\", \"Address\": \"\", \"AddressInstructions\": \"\"}";
	values[MF_SP_INVOICE_ITEMS] = "[{\"ItemName\": \"Product 01\", \"Quantity\": 1, \"UnitPrice\": 100}]";
	check_body(values, adapted);
	free(adapted);
	cJSON_Delete(root);
	free(sample);
}

static void
test_request_suppliers(void **state)
{
	const char *values[MF_SP_COUNT] = {NULL};
	char	   *sample = fixture("send-payment.request.suppliers.json");

	(void) state;
	values[MF_SP_CUSTOMER_NAME] = "Customer Name";
	values[MF_SP_NOTIFICATION_OPTION] = "LNK";
	values[MF_SP_INVOICE_VALUE] = "100";
	values[MF_SP_DISPLAY_CURRENCY_ISO] = "KWD";
	values[MF_SP_MOBILE_COUNTRY_CODE] = "965";
	values[MF_SP_CUSTOMER_MOBILE] = "12345678";
	values[MF_SP_CUSTOMER_EMAIL] = "email@example.com";
	values[MF_SP_CALL_BACK_URL] = "https://example.com/callback";
	values[MF_SP_ERROR_URL] = "https://example.com/error";
	values[MF_SP_LANGUAGE] = "En";
	values[MF_SP_CUSTOMER_REFERENCE] = "";
	values[MF_SP_CUSTOMER_CIVIL_ID] = "";
	values[MF_SP_USER_DEFINED_FIELD] = "";
	values[MF_SP_EXPIRY_DATE] = "2027-11-22T10:00:00";
	values[MF_SP_SUPPLIERS] = "[{\"SupplierCode\":1,\"InvoiceShare\":100,\"ProposedShare\":70}]";
	check_body(values, sample);
	/* as the database writes times */
	values[MF_SP_EXPIRY_DATE] = "2027-11-22 10:00:00.000000";
	check_body(values, sample);
	free(sample);
}

/*
 * MyFatoorah's PHP library sends the amount as a string, a null, and a member
 * of its own (ExpiryMinutes); none of these is sent.  Everything else must be
 * equal, above all Arabic text.
 */
static void
test_request_php_library(void **state)
{
	const char *values[MF_SP_COUNT] = {NULL};
	char	   *sample = fixture("send-payment.request.php-library-wire.json");
	cJSON	   *root = mf_json_parse(sample, strlen(sample), NULL, NULL);
	char	   *adapted;
	size_t		len;
	char	   *body;

	(void) state;
	assert_non_null(root);
	assert_string_equal(mf_json_string(root, "InvoiceValue"), "2.500");
	assert_true(cJSON_IsNull(mf_json_get(root, "CustomerEmail")));
	cJSON_DeleteItemFromObjectCaseSensitive(root, "ExpiryMinutes");
	cJSON_DeleteItemFromObjectCaseSensitive(root, "CustomerEmail");
	cJSON_ReplaceItemInObjectCaseSensitive(root, "InvoiceValue", cJSON_CreateRaw("2.500"));
	adapted = mf_json_print(root);

	values[MF_SP_INVOICE_VALUE] = "2.500";
	values[MF_SP_CUSTOMER_NAME] = "\xD8\xB1\xD8\xB4\xD8\xA7  ONeil 2";
	values[MF_SP_CUSTOMER_REFERENCE] = "o1";
	values[MF_SP_NOTIFICATION_OPTION] = "Lnk";
	values[MF_SP_SOURCE_INFO] = "MyFatoorah PHP Library 2.2";
	values[MF_SP_EXPIRY_DATE] = "2026-11-22T09:58:04";
	check_body(values, adapted);
	body = mf_fields_body(mf_send_payment_fields, MF_SP_COUNT, values, &len);
	assert_non_null(strstr(body, "\"CustomerName\":\"\xD8\xB1\xD8\xB4\xD8\xA7  ONeil 2\",\"InvoiceValue\":2.500,"));
	free(body);
	free(adapted);
	cJSON_Delete(root);
	free(sample);
}

static void
test_request_execute(void **state)
{
	const char *values[MF_SP_COUNT] = {NULL};
	char	   *sample = fixture("execute-payment.request.complete.json");

	(void) state;
	values[MF_SP_PAYMENT_METHOD_ID] = "1";
	values[MF_SP_CUSTOMER_NAME] = "fname lname";
	values[MF_SP_DISPLAY_CURRENCY_ISO] = "KWD";
	values[MF_SP_MOBILE_COUNTRY_CODE] = "+965";
	values[MF_SP_CUSTOMER_MOBILE] = "12345678";
	values[MF_SP_CUSTOMER_EMAIL] = "mail@company.com";
	values[MF_SP_INVOICE_VALUE] = "10";
	values[MF_SP_CALL_BACK_URL] = "https://yoursite.com/success";
	values[MF_SP_ERROR_URL] = "https://yoursite.com/error";
	values[MF_SP_LANGUAGE] = "AR";
	values[MF_SP_CUSTOMER_REFERENCE] = "noshipping-nosupplier";
	values[MF_SP_CUSTOMER_ADDRESS] =
		"{\"Block\": \"string\", \"Street\": \"string\", \"HouseBuildingNo\": \"string\", \"AddressInstructions\": \"string\"}";
	values[MF_SP_INVOICE_ITEMS] =
		"[{\"ItemName\": \"item name\", \"Quantity\": 10, \"UnitPrice\": 1, \"Weight\": 2, \"Width\": 3, \"Height\": 4, \"Depth\": 5}]";
	check_body(values, sample);
	free(sample);
}

/*
 * MyFatoorah's sample begins InvoiceValue with a small letter once, and has a null for what
 * is left out here.
 */
static void
test_request_recurring(void **state)
{
	const char *values[MF_SP_COUNT] = {NULL};
	char	   *sample = fixture("execute-payment.request.recurring.json");
	char	   *name = strstr(sample, "\"invoiceValue\"");
	cJSON	   *root;
	char	   *adapted;

	(void) state;
	assert_non_null(name);
	name[1] = 'I';
	root = mf_json_parse(sample, strlen(sample), NULL, NULL);
	cJSON_DeleteItemFromObjectCaseSensitive(cJSON_GetObjectItemCaseSensitive(root, "RecurringModel"), "IntervalDays");
	adapted = mf_json_print(root);
	values[MF_SP_PAYMENT_METHOD_ID] = "2";
	values[MF_SP_INVOICE_VALUE] = "20";
	values[MF_SP_RECURRING_TYPE] = "Daily";
	values[MF_SP_ITERATION] = "1";
	values[MF_SP_RETRY_COUNT] = "5";
	check_body(values, adapted);
	free(adapted);
	cJSON_Delete(root);
	free(sample);
}

/* Every field, in the order of the table, with awkward values */
static void
test_request_every_field(void **state)
{
	const char *values[MF_SP_COUNT] = {NULL};
	size_t		len;
	char	   *body;
	cJSON	   *root;
	const cJSON *object;
	const cJSON *member;
	int			i;

	(void) state;
	for (i = 0; i < MF_SP_COUNT; i++)
	{
		switch (mf_send_payment_fields[i].kind)
		{
			case MF_DECIMAL:
				values[i] = "9007199254740993.100";
				break;
			case MF_INTEGER:
				values[i] = "2";
				break;
			case MF_JSON:
				values[i] = " [ {\"UnitPrice\": 0.100, \"Quantity\": 9007199254740993}, null, true, \"\\u0623\\\"\" ] ";
				break;
			case MF_LOCAL_TIME:
				values[i] = "2028-02-29 23:59:59.999";
				break;
			default:
				values[i] = "\"quoted\" \\ \n\t\x01 / \xD8\xB1\xF0\x9F\x98\x80 </script>";
				break;
		}
	}
	body = mf_fields_body(mf_send_payment_fields, MF_SP_COUNT, values, &len);
	assert_non_null(body);
	assert_null(strchr(body, '\n'));
	root = mf_json_parse(body, len, NULL, NULL);
	assert_non_null(root);
	object = root;
	member = root->child;
	for (i = 0; i < MF_SP_COUNT; i++, member = member->next)
	{
		const MfField *field = &mf_send_payment_fields[i];
		const char *dot = strchr(field->name, '.');
		const char *name = dot != NULL ? dot + 1 : field->name;
		char	   *printed;

		assert_non_null(member);
		if (dot != NULL && object == root)
		{
			assert_string_equal(member->string, "RecurringModel");
			assert_null(member->next);
			object = member;
			member = member->child;
		}
		assert_string_equal(member->string, name);
		if (field->kind == MF_TEXT)
			assert_string_equal(member->valuestring, values[i]);
		else if (field->kind == MF_DECIMAL)
			assert_string_equal(mf_json_number(object, name), "9007199254740993.100");
		else if (field->kind == MF_INTEGER)
			assert_string_equal(mf_json_number(object, name), "2");
		else if (field->kind == MF_LOCAL_TIME)
			assert_string_equal(mf_json_string(object, name), "2028-02-29T23:59:59");
		else
		{
			printed = mf_json_print(member);
			assert_string_equal(printed, "[{\"UnitPrice\":0.100,\"Quantity\":9007199254740993},null,true,\"\xD8\xA3\\\"\"]");
			free(printed);
		}
	}
	assert_null(member);
	cJSON_Delete(root);
	free(body);
}

static void
test_request_refused(void **state)
{
	static const struct
	{
		MfSendPaymentField field;
		const char *value;
	}			cases[] = {
		{MF_SP_INVOICE_VALUE, ""}, {MF_SP_INVOICE_VALUE, "abc"}, {MF_SP_INVOICE_VALUE, "1,\"x\":2"}, {MF_SP_INVOICE_VALUE, "NaN"},
		{MF_SP_INVOICE_VALUE, "Infinity"}, {MF_SP_INVOICE_VALUE, "\"1\""}, {MF_SP_INVOICE_VALUE, "null"}, {MF_SP_INVOICE_VALUE, "[1]"},
		{MF_SP_INVOICE_VALUE, "007"}, {MF_SP_INVOICE_VALUE, "1,000"},
		{MF_SP_SHIPPING_METHOD, "1.5"}, {MF_SP_SHIPPING_METHOD, "1e1"}, {MF_SP_SHIPPING_METHOD, ""}, {MF_SP_SHIPPING_METHOD, "x"},
		{MF_SP_SHIPPING_METHOD, "1234567890123456789"}, {MF_SP_SHIPPING_METHOD, "01"},
		{MF_SP_INVOICE_ITEMS, ""}, {MF_SP_INVOICE_ITEMS, "[1"}, {MF_SP_INVOICE_ITEMS, "[1]]"}, {MF_SP_INVOICE_ITEMS, "1},{\"a\":2"},
		{MF_SP_INVOICE_ITEMS, "{\"a\":1,\"a\":2}"}, {MF_SP_INVOICE_ITEMS, "'x'"},
		{MF_SP_EXPIRY_DATE, ""}, {MF_SP_EXPIRY_DATE, "infinity"}, {MF_SP_EXPIRY_DATE, "2026-02-30T00:00:00"}, {MF_SP_EXPIRY_DATE, "2026-01-01T00:00:00Z"},
		{MF_SP_EXPIRY_DATE, "January 1, 2026"}, {MF_SP_CUSTOMER_NAME, "\xFF"}, {MF_SP_CUSTOMER_NAME, "caf\xE9"},
	};
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(cases); i++)
	{
		const char *values[MF_SP_COUNT] = {NULL};
		size_t		len = 99;
		char	   *body;

		values[MF_SP_CUSTOMER_NAME] = "x";
		values[MF_SP_SOURCE_INFO] = "x";
		values[cases[i].field] = cases[i].value;
		body = mf_fields_body(mf_send_payment_fields, MF_SP_COUNT, values, &len);
		if (body != NULL)
			fail_msg("\"%s\" gave %s", cases[i].value, body);
		assert_int_equal(len, 0);
	}
}

static void
test_status_requests(void **state)
{
	static const char *const cases[][3] = {
		{"get-payment-status.request.by-customer-reference.json", "order_1", "CustomerReference"},
		{"get-payment-status.request.by-invoice-id.json", "6424733", "InvoiceId"},
		{"get-payment-status.request.by-payment-id.json", "07076424733325055272", "PaymentId"},
	};
	size_t		i;
	size_t		len;

	(void) state;
	for (i = 0; i < LENGTH(cases); i++)
	{
		char	   *sample = fixture(cases[i][0]);
		char	   *expected = canonical(sample);
		char	   *body = mf_key_body(cases[i][1], cases[i][2], &len);

		assert_non_null(body);
		assert_int_equal(len, strlen(body));
		assert_string_equal(body, expected);
		free(body);
		free(expected);
		free(sample);
	}
	assert_null(mf_key_body("\xFF", "InvoiceId", &len));
}

/* ----------
 * Answers
 * ----------
 */

static void
check_values(char *const *values, const char *const *expected, const MfField *fields, int count)
{
	int			i;

	for (i = 0; i < count; i++)
	{
		if ((values[i] == NULL) != (expected[i] == NULL) ||
			(values[i] != NULL && strcmp(values[i], expected[i]) != 0))
			fail_msg("%s: %s instead of %s", fields[i].column, values[i] ? values[i] : "NULL",
					 expected[i] ? expected[i] : "NULL");
	}
}

static void
test_answer_paid(void **state)
{
	static const char *const expected[MF_PS_COUNT] = {
		[MF_PS_INVOICE_ID] = "6424733",
		[MF_PS_INVOICE_STATUS] = "Paid",
		[MF_PS_INVOICE_REFERENCE] = "2026007518",
		[MF_PS_CUSTOMER_REFERENCE] = "noshipping-nosupplier",
		[MF_PS_CREATED_DATE] = "2026-01-10 00:15:07.293000",
		[MF_PS_EXPIRY_DATE] = "2026-01-13 00:15:07.293000",
		[MF_PS_INVOICE_VALUE] = "1",
		[MF_PS_CUSTOMER_NAME] = "Anonymous",
		[MF_PS_CUSTOMER_MOBILE] = "+965",
		[MF_PS_INVOICE_DISPLAY_VALUE] = "1.000",
		[MF_PS_DISPLAY_CURRENCY] = "KWD",
		[MF_PS_DUE_DEPOSIT] = "0.884",
		[MF_PS_DEPOSIT_STATUS] = "Not Deposited",
		[MF_PS_INVOICE_ITEMS] = "[]",
		[MF_PS_SUPPLIERS] = "[]",
	};
	static const char *const expected_transaction[MF_TX_COUNT] = {
		[MF_TX_TRANSACTION_DATE] = "2026-01-10 00:15:33.353333",
		[MF_TX_PAYMENT_GATEWAY] = "VISA/MASTER",
		[MF_TX_REFERENCE_ID] = "7679933321406829504805",
		[MF_TX_TRACK_ID] = "10-01-2026_3250552",
		[MF_TX_TRANSACTION_ID] = "7679933321406829504805",
		[MF_TX_PAYMENT_ID] = "07076424733325055272",
		[MF_TX_AUTHORIZATION_ID] = "831000",
		[MF_TX_TRANSACTION_STATUS] = "Succss",
		[MF_TX_TRANSATION_VALUE] = "1.000",
		[MF_TX_CUSTOMER_SERVICE_CHARGE] = "0.000",
		[MF_TX_TOTAL_SERVICE_CHARGE] = "0.101",
		[MF_TX_DUE_VALUE] = "1.000",
		[MF_TX_PAID_CURRENCY] = "KWD",
		[MF_TX_PAID_CURRENCY_VALUE] = "1.000",
		[MF_TX_VAT_AMOUNT] = "0.015",
		[MF_TX_IP_ADDRESS] = "203.0.113.10",
		[MF_TX_COUNTRY] = "Egypt",
		[MF_TX_CURRENCY] = "KWD",
		[MF_TX_CARD_NUMBER] = "512345xxxxxx0008",
		[MF_TX_ERROR_CODE] = "",
		[MF_TX_ECI] = "02",
		[MF_TX_CARD] = "{\"NameOnCard\":\"test test\",\"Number\":\"512345xxxxxx0008\",\"Token\":\"\","
		"\"PanHash\":\"b888aa5f23a817883d4d12c74044bab1ae6ee65dc8d6e11515394aba452b273b\",\"ExpiryMonth\":\"01\","
		"\"ExpiryYear\":\"39\",\"Brand\":\"Mastercard\",\"Issuer\":\"Test Bank\",\"IssuerCountry\":\"KWT\",\"FundingMethod\":\"credit\"}",
	};
	char	   *sample = fixture("get-payment-status.response.paid-single.json");
	MfEnvelope	envelope;
	char	   *values[MF_PS_COUNT];
	char	   *transaction[MF_TX_COUNT];
	const char *bad = "untouched";
	const cJSON *transactions;
	char	   *printed;

	(void) state;
	assert_true(mf_envelope_read(&mf_endpoints[MF_SEND_PAYMENT], sample, strlen(sample), NULL, &envelope));
	assert_int_equal(envelope.is_success, 1);
	assert_null(envelope.error);
	assert_non_null(envelope.data);
	assert_true(mf_payment_status_read(envelope.data, values, &bad));
	assert_null(bad);

	/* the transactions are kept whole */
	transactions = mf_json_get(envelope.data, "InvoiceTransactions");
	printed = mf_json_print(transactions);
	assert_string_equal(values[MF_PS_INVOICE_TRANSACTIONS], printed);
	free(printed);
	free(values[MF_PS_INVOICE_TRANSACTIONS]);
	values[MF_PS_INVOICE_TRANSACTIONS] = NULL;
	check_values(values, expected, mf_payment_status_fields, MF_PS_COUNT);
	mf_values_free(values, MF_PS_COUNT);
	assert_null(values[0]);

	assert_int_equal(cJSON_GetArraySize(transactions), 1);
	assert_true(mf_transaction_read(transactions->child, transaction, &bad));
	check_values(transaction, expected_transaction, mf_transaction_fields, MF_TX_COUNT);
	mf_values_free(transaction, MF_TX_COUNT);
	mf_envelope_free(&envelope);
	assert_null(envelope.root);
	free(sample);
}

static void
test_answer_pending(void **state)
{
	static const char *const expected[MF_PS_COUNT] = {
		[MF_PS_INVOICE_ID] = "7085810",
		[MF_PS_INVOICE_STATUS] = "Pending",
		[MF_PS_INVOICE_REFERENCE] = "2026189694",
		[MF_PS_CUSTOMER_REFERENCE] = "TI-PROBE-001",
		[MF_PS_CREATED_DATE] = "2026-08-18 22:47:54.317000",
		[MF_PS_EXPIRY_DATE] = "2026-08-21 22:47:54.317000",
		[MF_PS_INVOICE_VALUE] = "8.87",
		[MF_PS_CUSTOMER_NAME] = "Example Probe",
		[MF_PS_CUSTOMER_MOBILE] = "+965",
		[MF_PS_USER_DEFINED_FIELD] = "TI-PROBE-001",
		[MF_PS_INVOICE_DISPLAY_VALUE] = "8.870",
		[MF_PS_DISPLAY_CURRENCY] = "KWD",
		[MF_PS_DUE_DEPOSIT] = "0.0",
		[MF_PS_DEPOSIT_STATUS] = "Not Deposited",
		[MF_PS_INVOICE_ITEMS] = "[]",
		[MF_PS_INVOICE_TRANSACTIONS] = "[]",
		[MF_PS_SUPPLIERS] = "[]",
	};
	char	   *sample = fixture("get-payment-status.response.pending-no-attempt.json");
	MfEnvelope	envelope;
	char	   *values[MF_PS_COUNT];
	const char *bad;

	(void) state;
	assert_true(mf_envelope_read(&mf_endpoints[MF_SEND_PAYMENT], sample, strlen(sample), NULL, &envelope));
	assert_true(mf_payment_status_read(envelope.data, values, &bad));
	check_values(values, expected, mf_payment_status_fields, MF_PS_COUNT);
	mf_values_free(values, MF_PS_COUNT);
	mf_envelope_free(&envelope);
	free(sample);
}

/* One member at a time: its value, or NULL, or a failure of the whole read */
static void
test_status_members(void **state)
{
	static const struct
	{
		const char *json;
		MfPaymentStatusField field;
		const char *value;		/* NULL = not read */
		const char *bad;		/* the whole answer is lost */
	}			cases[] = {
		{"{\"InvoiceId\":1}", MF_PS_INVOICE_ID, "1", NULL}, {"{\"InvoiceId\":\"12\"}", MF_PS_INVOICE_ID, "12", NULL},
		{"{\"InvoiceId\":null}", MF_PS_INVOICE_ID, NULL, NULL}, {"{}", MF_PS_INVOICE_ID, NULL, NULL},
		{"{\"InvoiceId\":\"\"}", MF_PS_INVOICE_ID, NULL, NULL},
		{"{\"InvoiceId\":1.0}", MF_PS_INVOICE_ID, NULL, "InvoiceId"}, {"{\"InvoiceId\":1e3}", MF_PS_INVOICE_ID, NULL, "InvoiceId"},
		{"{\"InvoiceId\":true}", MF_PS_INVOICE_ID, NULL, "InvoiceId"}, {"{\"InvoiceId\":\"x\"}", MF_PS_INVOICE_ID, NULL, "InvoiceId"},
		{"{\"InvoiceId\":[1]}", MF_PS_INVOICE_ID, NULL, "InvoiceId"}, {"{\"InvoiceId\":1234567890123456789}", MF_PS_INVOICE_ID, NULL, "InvoiceId"},
		{"{\"InvoiceStatus\":\"DuplicatePayment\"}", MF_PS_INVOICE_STATUS, "DuplicatePayment", NULL},
		{"{\"InvoiceStatus\":\"\"}", MF_PS_INVOICE_STATUS, "", NULL},
		{"{\"InvoiceStatus\":4}", MF_PS_INVOICE_STATUS, "4", NULL},
		{"{\"InvoiceStatus\":{}}", MF_PS_INVOICE_STATUS, NULL, "InvoiceStatus"},
		{"{\"InvoiceStatus\":false}", MF_PS_INVOICE_STATUS, NULL, "InvoiceStatus"},
		{"{\"CustomerReference\":12}", MF_PS_CUSTOMER_REFERENCE, "12", NULL},
		{"{\"CustomerReference\":[]}", MF_PS_CUSTOMER_REFERENCE, NULL, "CustomerReference"},
		{"{\"InvoiceValue\":2.000}", MF_PS_INVOICE_VALUE, "2.000", NULL}, {"{\"InvoiceValue\":\"12,345.000\"}", MF_PS_INVOICE_VALUE, "12345.000", NULL},
		{"{\"InvoiceValue\":\"8.87\"}", MF_PS_INVOICE_VALUE, "8.87", NULL}, {"{\"InvoiceValue\":1E-05}", MF_PS_INVOICE_VALUE, "0.00001", NULL},
		{"{\"InvoiceValue\":9007199254740993.001}", MF_PS_INVOICE_VALUE, "9007199254740993.001", NULL},
		{"{\"InvoiceValue\":\"\"}", MF_PS_INVOICE_VALUE, NULL, NULL},
		{"{\"InvoiceValue\":1E400}", MF_PS_INVOICE_VALUE, NULL, "InvoiceValue"}, {"{\"InvoiceValue\":\"1 KD\"}", MF_PS_INVOICE_VALUE, NULL, "InvoiceValue"},
		{"{\"InvoiceValue\":true}", MF_PS_INVOICE_VALUE, NULL, "InvoiceValue"}, {"{\"InvoiceValue\":\"1,23\"}", MF_PS_INVOICE_VALUE, NULL, "InvoiceValue"},
		{"{\"InvoiceDisplayValue\":\"12,345.000 KD\"}", MF_PS_INVOICE_DISPLAY_VALUE, "12345.000", NULL},
		{"{\"InvoiceDisplayValue\":\"12,345.000 SR\"}", MF_PS_DISPLAY_CURRENCY, "SAR", NULL},
		{"{\"InvoiceDisplayValue\":\"KD 12\"}", MF_PS_DISPLAY_CURRENCY, NULL, NULL}, {"{\"InvoiceDisplayValue\":\"12 XY1\"}", MF_PS_INVOICE_DISPLAY_VALUE, NULL, NULL},
		{"{\"InvoiceDisplayValue\":12}", MF_PS_INVOICE_DISPLAY_VALUE, NULL, NULL}, {"{\"InvoiceDisplayValue\":\"\"}", MF_PS_DISPLAY_CURRENCY, NULL, NULL},
		{"{\"CreatedDate\":\"2026-01-10T00:15:07.2933333\"}", MF_PS_CREATED_DATE, "2026-01-10 00:15:07.293333", NULL},
		{"{\"CreatedDate\":\"2026-01-10T00:15:07Z\"}", MF_PS_CREATED_DATE, NULL, NULL}, {"{\"CreatedDate\":\"10/01/2026\"}", MF_PS_CREATED_DATE, NULL, NULL},
		{"{\"CreatedDate\":20260110}", MF_PS_CREATED_DATE, NULL, NULL}, {"{\"CreatedDate\":\"\"}", MF_PS_CREATED_DATE, NULL, NULL},
		{"{\"ExpiryDate\":\"January 13, 2026\",\"ExpiryTime\":\"01:02:03.5\"}", MF_PS_EXPIRY_DATE, "2026-01-13 01:02:03.500000", NULL},
		{"{\"ExpiryDate\":\"January 13, 2026\"}", MF_PS_EXPIRY_DATE, "2026-01-13 00:00:00.000000", NULL},
		{"{\"ExpiryDate\":\"January 13, 2026\",\"ExpiryTime\":null}", MF_PS_EXPIRY_DATE, "2026-01-13 00:00:00.000000", NULL},
		{"{\"ExpiryDate\":\"January 13, 2026\",\"ExpiryTime\":\"\"}", MF_PS_EXPIRY_DATE, "2026-01-13 00:00:00.000000", NULL},
		{"{\"ExpiryDate\":\"2026-01-13T00:00:00\",\"ExpiryTime\":\"01:02:03\"}", MF_PS_EXPIRY_DATE, "2026-01-13 01:02:03.000000", NULL},
		{"{\"ExpiryDate\":\"2026-01-13T04:05:06\"}", MF_PS_EXPIRY_DATE, "2026-01-13 04:05:06.000000", NULL},
		{"{\"ExpiryDate\":\"January 13, 2026\",\"ExpiryTime\":\"noon\"}", MF_PS_EXPIRY_DATE, NULL, NULL},
		{"{\"ExpiryDate\":\"January 13, 2026\",\"ExpiryTime\":5}", MF_PS_EXPIRY_DATE, NULL, NULL},
		{"{\"ExpiryDate\":\"\",\"ExpiryTime\":\"01:02:03\"}", MF_PS_EXPIRY_DATE, NULL, NULL}, {"{\"ExpiryTime\":\"01:02:03\"}", MF_PS_EXPIRY_DATE, NULL, NULL},
		{"{\"ExpiryDate\":5}", MF_PS_EXPIRY_DATE, NULL, NULL}, {"{\"ExpiryDate\":\"13. Januar 2026\"}", MF_PS_EXPIRY_DATE, NULL, NULL},
		{"{\"Comments\":\"\"}", MF_PS_COMMENTS, "", NULL}, {"{\"Comments\":null}", MF_PS_COMMENTS, NULL, NULL}, {"{\"Comments\":{}}", MF_PS_COMMENTS, NULL, NULL},
		{"{\"DueDeposit\":\"0.884\"}", MF_PS_DUE_DEPOSIT, "0.884", NULL}, {"{\"DueDeposit\":[]}", MF_PS_DUE_DEPOSIT, NULL, NULL},
		{"{\"InvoiceItems\":[{\"UnitPrice\":1.000}]}", MF_PS_INVOICE_ITEMS, "[{\"UnitPrice\":1.000}]", NULL},
		{"{\"InvoiceItems\":null}", MF_PS_INVOICE_ITEMS, NULL, NULL}, {"{\"InvoiceItems\":\"\"}", MF_PS_INVOICE_ITEMS, NULL, NULL},
		{"{\"Suppliers\":\"x\"}", MF_PS_SUPPLIERS, "\"x\"", NULL},
		/* names are exact, unknown ones do not matter */
		{"{\"invoiceid\":\"x\",\"Foo\":{\"InvoiceId\":5}}", MF_PS_INVOICE_ID, NULL, NULL},
		{"[]", MF_PS_INVOICE_ID, NULL, "Data"}, {"null", MF_PS_INVOICE_ID, NULL, "Data"}, {"true", MF_PS_INVOICE_ID, NULL, "Data"},
	};
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(cases); i++)
	{
		cJSON	   *root = mf_json_parse(cases[i].json, strlen(cases[i].json), NULL, NULL);
		char	   *values[MF_PS_COUNT];
		const char *bad = "untouched";
		bool		done;

		assert_non_null(root);
		done = mf_payment_status_read(root, values, &bad);
		if (done != (cases[i].bad == NULL))
			fail_msg("%s: %d, bad %s", cases[i].json, done, bad ? bad : "NULL");
		if (done)
		{
			const char *value = values[cases[i].field];

			assert_null(bad);
			if ((value == NULL) != (cases[i].value == NULL) || (value != NULL && strcmp(value, cases[i].value) != 0))
				fail_msg("%s gave %s", cases[i].json, value ? value : "NULL");
			mf_values_free(values, MF_PS_COUNT);
		}
		else
			assert_string_equal(bad, cases[i].bad);
		cJSON_Delete(root);
	}
}

static void
test_transaction_members(void **state)
{
	static const struct
	{
		const char *json;
		MfTransactionField field;
		const char *value;
		const char *bad;
	}			cases[] = {
		{"{\"PaymentId\":\"07076424733325055272\"}", MF_TX_PAYMENT_ID, "07076424733325055272", NULL},
		{"{\"PaymentId\":7076424733325055272}", MF_TX_PAYMENT_ID, "7076424733325055272", NULL},
		{"{\"PaymentId\":[]}", MF_TX_PAYMENT_ID, NULL, "PaymentId"}, {"{\"TransactionStatus\":true}", MF_TX_TRANSACTION_STATUS, NULL, "TransactionStatus"},
		{"{\"TransactionStatus\":\"Succss\"}", MF_TX_TRANSACTION_STATUS, "Succss", NULL},
		{"{\"TransationValue\":\"12,345.000\"}", MF_TX_TRANSATION_VALUE, "12345.000", NULL}, {"{\"TransationValue\":{}}", MF_TX_TRANSATION_VALUE, NULL, NULL},
		{"{\"VatAmount\":0.015}", MF_TX_VAT_AMOUNT, "0.015", NULL}, {"{\"VatAmount\":\"\"}", MF_TX_VAT_AMOUNT, NULL, NULL},
		{"{\"PaidCurrency\":\"LE\"}", MF_TX_PAID_CURRENCY, "EGP", NULL}, {"{\"PaidCurrency\":\"EUR\"}", MF_TX_PAID_CURRENCY, "EUR", NULL},
		{"{\"PaidCurrency\":\"??\"}", MF_TX_PAID_CURRENCY, NULL, NULL}, {"{\"Currency\":1}", MF_TX_CURRENCY, NULL, NULL},
		{"{\"Card\":{\"Number\":\"5\"}}", MF_TX_CARD, "{\"Number\":\"5\"}", NULL}, {"{\"Card\":null}", MF_TX_CARD, NULL, NULL},
		{"{\"ECI\":\"\"}", MF_TX_ECI, "", NULL}, {"{\"TransactionDate\":\"yesterday\"}", MF_TX_TRANSACTION_DATE, NULL, NULL},
		{"[]", MF_TX_ECI, NULL, "InvoiceTransactions"}, {"\"x\"", MF_TX_ECI, NULL, "InvoiceTransactions"},
	};
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(cases); i++)
	{
		cJSON	   *root = mf_json_parse(cases[i].json, strlen(cases[i].json), NULL, NULL);
		char	   *values[MF_TX_COUNT];
		const char *bad = "untouched";
		bool		done = mf_transaction_read(root, values, &bad);

		if (done != (cases[i].bad == NULL))
			fail_msg("%s: %d", cases[i].json, done);
		if (done)
		{
			const char *value = values[cases[i].field];

			if ((value == NULL) != (cases[i].value == NULL) || (value != NULL && strcmp(value, cases[i].value) != 0))
				fail_msg("%s gave %s", cases[i].json, value ? value : "NULL");
			mf_values_free(values, MF_TX_COUNT);
		}
		else
			assert_string_equal(bad, cases[i].bad);
		cJSON_Delete(root);
	}
}

/* A name per field, no two alike */
static void
test_tables(void **state)
{
	static const struct
	{
		const MfField *fields;
		int			count;
	}			tables[] = {
		{mf_send_payment_fields, MF_SP_COUNT}, {mf_payment_status_fields, MF_PS_COUNT}, {mf_transaction_fields, MF_TX_COUNT},
	};
	size_t		t;
	int			i;
	int			k;

	(void) state;
	for (t = 0; t < LENGTH(tables); t++)
	{
		for (i = 0; i < tables[t].count; i++)
		{
			assert_non_null(tables[t].fields[i].name);
			assert_non_null(tables[t].fields[i].column);
			for (k = 0; k < i; k++)
				assert_string_not_equal(tables[t].fields[i].column, tables[t].fields[k].column);
		}
	}
}

/* ----------
 * The envelope
 * ----------
 */

static void
test_envelope(void **state)
{
	static const struct
	{
		const char *body;
		int			is_success;
		bool		parsed;
		bool		data;
		const char *error;
	}			cases[] = {
		{"{\"IsSuccess\":true,\"Message\":\"fine\",\"Data\":{}}", 1, true, true, NULL},
		{"{\"IsSuccess\":true}", 1, true, false, NULL},
		{"{\"IsSuccess\":false,\"Message\":\"m\",\"ValidationErrors\":[{\"Name\":\"A\",\"Error\":\"x\"},{\"Name\":\"B\",\"Error\":\"y\"}],\"Data\":null}",
		0, true, true, "A: x, B: y"},
		{"{\"IsSuccess\":false,\"FieldsErrors\":[{\"Name\":\"A\",\"Error\":\"x\"}]}", 0, true, false, "A: x"},
		{"{\"IsSuccess\":false,\"ValidationErrors\":null,\"FieldsErrors\":[{\"Name\":\"A\",\"Error\":\"x\"}]}", 0, true, false, "A: x"},
		{"{\"IsSuccess\":false,\"ValidationErrors\":[],\"FieldsErrors\":[{\"Name\":\"A\",\"Error\":\"x\"}]}", 0, true, false, "A: x"},
		{"{\"IsSuccess\":false,\"ValidationErrors\":[{\"Name\":\"V\",\"Error\":\"v\"}],\"FieldsErrors\":[{\"Name\":\"F\",\"Error\":\"f\"}]}", 0, true, false, "V: v"},
		{"{\"IsSuccess\":false,\"Message\":\"Invalid data\",\"ValidationErrors\":[{\"Name\":\"invoiceCreate.InvoiceItems\",\"Error\":\"\"}]}",
		0, true, false, "Invalid data: invoiceCreate.InvoiceItems"},
		{"{\"IsSuccess\":false,\"Message\":\"m\",\"ValidationErrors\":[{\"Name\":\"A\",\"Error\":\"\"},{\"Name\":\"B\",\"Error\":null}]}", 0, true, false, "m: A, B"},
		{"{\"IsSuccess\":false,\"Message\":\"m\",\"ValidationErrors\":[{\"Name\":\"A\",\"Error\":\"\"},{\"Name\":\"B\",\"Error\":\"y\"}]}", 0, true, false, "A, B: y"},
		{"{\"IsSuccess\":false,\"Message\":\"m\",\"ValidationErrors\":[{\"Name\":\"\",\"Error\":\"x\"},{\"Error\":\"y\"}]}", 0, true, false, "x, y"},
		{"{\"IsSuccess\":false,\"Message\":\"m\",\"ValidationErrors\":[{},{\"Name\":null,\"Error\":\"\"},5,null]}", 0, true, false, "m"},
		{"{\"IsSuccess\":false,\"Message\":\"m\",\"ValidationErrors\":[]}", 0, true, false, "m"},
		{"{\"IsSuccess\":false,\"Message\":\"m\",\"ValidationErrors\":\"odd\"}", 0, true, false, "m"},
		{"{\"IsSuccess\":false,\"Message\":\"m\",\"Data\":{\"ErrorMessage\":\"deep\"}}", 0, true, true, "deep"},
		{"{\"IsSuccess\":false,\"Message\":\"m\",\"Data\":{\"ErrorMessage\":\"\"}}", 0, true, true, "m"},
		{"{\"IsSuccess\":false,\"Data\":false,\"ValidationErrors\":[{\"Name\":\"A\",\"Error\":\"x\"}]}", 0, true, true, "A: x"},
		{"{\"Message\":\"\",\"MessageDetail\":\"detail\"}", -1, true, false, "detail"},
		{"{\"Message\":\"m\",\"MessageDetail\":\"detail\"}", -1, true, false, "m"},
		{"{\"IsSuccess\":\"true\",\"Message\":\"m\"}", -1, true, false, "m"}, {"{\"IsSuccess\":1,\"Message\":\"m\"}", -1, true, false, "m"},
		{"{\"IsSuccess\":null}", -1, true, false, "the answer gives no reason"}, {"{\"issuccess\":true}", -1, true, false, "the answer gives no reason"},
		{"{}", -1, true, false, "the answer gives no reason"}, {"[]", -1, true, false, "the answer gives no reason"}, {"null", -1, true, false, "the answer gives no reason"},
		{"{\"IsSuccess\":false,\"Message\":\"  \\n \"}", 0, true, false, "the answer gives no reason"},
		{"\"just words\"", -1, true, false, "just words"}, {"\"\"", -1, true, false, "the answer gives no reason"},
		{"{\"IsSuccess\":false,\"Message\":\"two\\r\\nlines\\u0007\"}", 0, true, false, "two  lines "},
		{"", -1, false, false, "the answer is empty"}, {"  \r\n ", -1, false, false, "the answer is empty"},
		{"Service Unavailable\r\n", -1, false, false, "Service Unavailable"}, {"\n plain \n text \n", -1, false, false, "plain   text"},
		{"{\"IsSuccess\":true,\"Data\":{\"CustomerName\":\"Ahmad\"", -1, false, false, "broken JSON, unexpected end"},
		{" [{\"CustomerName\":\"Ahmad\"},]", -1, false, false, "broken JSON, value expected"},
		{"{\"IsSuccess\":true,\"IsSuccess\":true}", -1, false, false, "broken JSON, duplicate member name"},
		{"bad \xFF bytes", -1, false, false, "bad \xEF\xBF\xBD bytes"},
		{"<html><head><title>502 Bad Gateway</title></head>\r\n<body>  <h1>502</h1>\n\n nginx</body></html>", -1, false, false, "502 Bad Gateway 502 nginx"},
		{"<html", -1, false, false, "the answer is markup without text"}, {"<><><>", -1, false, false, "the answer is markup without text"},
	};
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(cases); i++)
	{
		MfEnvelope	envelope;

		assert_true(mf_envelope_read(&mf_endpoints[MF_SEND_PAYMENT], cases[i].body, strlen(cases[i].body), NULL, &envelope));
		if (envelope.is_success != cases[i].is_success || (envelope.root != NULL) != cases[i].parsed ||
			(envelope.data != NULL) != cases[i].data)
			fail_msg("%s: %d", cases[i].body, envelope.is_success);
		if ((envelope.error == NULL) != (cases[i].error == NULL) ||
			(envelope.error != NULL && strcmp(envelope.error, cases[i].error) != 0))
			fail_msg("%s: \"%s\"", cases[i].body, envelope.error ? envelope.error : "NULL");
		mf_envelope_free(&envelope);
		/* twice is harmless */
		mf_envelope_free(&envelope);
	}
}

static void
test_envelope_samples(void **state)
{
	static const char *const cases[][2] = {
		{"send-payment.response.validation-error.json", "InvoiceValue: Invoice value must be more than 0"},
		{"error.execute-payment.method-not-available.json", "PaymentMethodId: This payment method is not available"},
		{"error.http-403.html", "403 Forbidden 403 Forbidden Microsoft-Azure-Application-Gateway/v2"},
		{"error.route-not-found.json", "No HTTP resource was found that matches the request URI 'https://apitest.myfatoorah.com/v2/SendPayment222'."},
	};
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(cases); i++)
	{
		char	   *sample = fixture(cases[i][0]);
		MfEnvelope	envelope;

		assert_true(mf_envelope_read(&mf_endpoints[MF_SEND_PAYMENT], sample, strlen(sample), NULL, &envelope));
		assert_string_equal(envelope.error, cases[i][1]);
		mf_envelope_free(&envelope);
		free(sample);
	}
}

/* However long, wide or odd: one line, at most 1000 bytes, UTF-8 */
static void
test_envelope_bounds(void **state)
{
	static const char *const fillers[] = {"x", "\xD8\xB1", "\xF0\x9F\x98\x80", "\xC2\x85", "\xE2\x80\xA8", "\xFF", "<b>x</b>", "\\u0001", "x\n"};
	static const char *const frames[][2] = {
		{"", ""}, {"<html>", "</html>"}, {"\"", "\""}, {"{\"IsSuccess\":false,\"Message\":\"", "\"}"},
		{"{\"IsSuccess\":false,\"ValidationErrors\":[{\"Name\":\"n\",\"Error\":\"", "\"}]}"},
	};
	size_t		f;
	size_t		k;
	int			repeat;

	(void) state;
	for (f = 0; f < LENGTH(frames); f++)
	{
		for (k = 0; k < LENGTH(fillers); k++)
		{
			for (repeat = 300; repeat < 6000; repeat += 347)
			{
				char	   *body = malloc((size_t) repeat * strlen(fillers[k]) + 200);
				MfEnvelope	envelope;
				const unsigned char *c;
				char	   *end;
				int			i;

				strcpy(body, frames[f][0]);
				end = body + strlen(body);
				for (i = 0; i < repeat; i++)
					end = stpcpy(end, fillers[k]);
				strcpy(end, frames[f][1]);
				assert_true(mf_envelope_read(&mf_endpoints[MF_SEND_PAYMENT], body, strlen(body), NULL, &envelope));
				assert_non_null(envelope.error);
				assert_true(strlen(envelope.error) <= 1000);
				assert_true(mf_utf8_valid(envelope.error, strlen(envelope.error)));
				for (c = (const unsigned char *) envelope.error; *c != '\0'; c++)
					assert_true(*c >= 0x20 && *c != 0x7F);
				mf_envelope_free(&envelope);
				free(body);
			}
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request_minimal),
		cmocka_unit_test(test_request_all),
		cmocka_unit_test(test_request_suppliers),
		cmocka_unit_test(test_request_php_library),
		cmocka_unit_test(test_request_execute),
		cmocka_unit_test(test_request_recurring),
		cmocka_unit_test(test_request_every_field),
		cmocka_unit_test(test_request_refused),
		cmocka_unit_test(test_status_requests),
		cmocka_unit_test(test_answer_paid),
		cmocka_unit_test(test_answer_pending),
		cmocka_unit_test(test_status_members),
		cmocka_unit_test(test_transaction_members),
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_envelope),
		cmocka_unit_test(test_envelope_samples),
		cmocka_unit_test(test_envelope_bounds),
	};

	return cmocka_run_group_tests_name("api", tests, NULL, NULL);
}
