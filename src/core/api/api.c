/*
 * api.c
 *	  MyFatoorah's endpoints: builds request bodies and parses answers.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/api/api.c
 */
#include "core/api/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text/ascii.h"
#include "core/text/json.h"
#include "core/text/text.h"

/* Longest amount read; far beyond any amount of money, and numeric can store it */
#define DECIMAL_SIZE 256
#define MAX_INTEGER_DIGITS 18

const MfField mf_send_payment_fields[MF_SP_COUNT] = {
	[MF_SP_CUSTOMER_NAME] = {"CustomerName", "customer_name", MF_TEXT, false},
	[MF_SP_INVOICE_VALUE] = {"InvoiceValue", "invoice_value", MF_DECIMAL, false},
	[MF_SP_NOTIFICATION_OPTION] = {"NotificationOption", "notification_option", MF_TEXT, false},
	[MF_SP_CUSTOMER_EMAIL] = {"CustomerEmail", "customer_email", MF_TEXT, false},
	[MF_SP_CUSTOMER_MOBILE] = {"CustomerMobile", "customer_mobile", MF_TEXT, false},
	[MF_SP_MOBILE_COUNTRY_CODE] = {"MobileCountryCode", "mobile_country_code", MF_TEXT, false},
	[MF_SP_DISPLAY_CURRENCY_ISO] = {"DisplayCurrencyIso", "display_currency_iso", MF_TEXT, false},
	[MF_SP_LANGUAGE] = {"Language", "language", MF_TEXT, false},
	[MF_SP_CUSTOMER_REFERENCE] = {"CustomerReference", "customer_reference", MF_TEXT, false},
	[MF_SP_CUSTOMER_CIVIL_ID] = {"CustomerCivilId", "customer_civil_id", MF_TEXT, false},
	[MF_SP_USER_DEFINED_FIELD] = {"UserDefinedField", "user_defined_field", MF_TEXT, false},
	[MF_SP_CALL_BACK_URL] = {"CallBackUrl", "call_back_url", MF_TEXT, false},
	[MF_SP_ERROR_URL] = {"ErrorUrl", "error_url", MF_TEXT, false},
	[MF_SP_WEBHOOK_URL] = {"WebhookUrl", "webhook_url", MF_TEXT, false},
	[MF_SP_EXPIRY_DATE] = {"ExpiryDate", "expiry_date", MF_LOCAL_TIME, false},
	[MF_SP_CUSTOMER_ADDRESS] = {"CustomerAddress", "customer_address", MF_JSON, false},
	[MF_SP_INVOICE_ITEMS] = {"InvoiceItems", "invoice_items", MF_JSON, false},
	[MF_SP_SHIPPING_METHOD] = {"ShippingMethod", "shipping_method", MF_INTEGER, false},
	[MF_SP_SHIPPING_CONSIGNEE] = {"ShippingConsignee", "shipping_consignee", MF_JSON, false},
	[MF_SP_SUPPLIERS] = {"Suppliers", "suppliers", MF_JSON, false},
	[MF_SP_PROCESSING_DETAILS] = {"ProcessingDetails", "processing_details", MF_JSON, false},
	[MF_SP_INVOICE_PAYMENT_METHODS] = {"InvoicePaymentMethods", "invoice_payment_methods", MF_JSON, false},
	[MF_SP_SOURCE_INFO] = {"SourceInfo", "source_info", MF_TEXT, false},
	[MF_SP_PAYMENT_METHOD_ID] = {"PaymentMethodId", "payment_method_id", MF_INTEGER, false},
	[MF_SP_RECURRING_TYPE] = {"RecurringModel.RecurringType", "recurring_type", MF_TEXT, false},
	[MF_SP_INTERVAL_DAYS] = {"RecurringModel.IntervalDays", "interval_days", MF_INTEGER, false},
	[MF_SP_ITERATION] = {"RecurringModel.Iteration", "iteration", MF_INTEGER, false},
	[MF_SP_RETRY_COUNT] = {"RecurringModel.RetryCount", "retry_count", MF_INTEGER, false},
};

const MfField mf_payment_status_fields[MF_PS_COUNT] = {
	[MF_PS_INVOICE_ID] = {"InvoiceId", "invoice_id", MF_INTEGER, true},
	[MF_PS_INVOICE_STATUS] = {"InvoiceStatus", "invoice_status", MF_TEXT, true},
	[MF_PS_INVOICE_REFERENCE] = {"InvoiceReference", "invoice_reference", MF_TEXT, false},
	[MF_PS_CUSTOMER_REFERENCE] = {"CustomerReference", "customer_reference", MF_TEXT, true},
	[MF_PS_CREATED_DATE] = {"CreatedDate", "created_date", MF_LOCAL_TIME, false},
	[MF_PS_EXPIRY_DATE] = {"ExpiryDate", "expiry_date", MF_LOCAL_TIME, false},
	[MF_PS_INVOICE_VALUE] = {"InvoiceValue", "invoice_value", MF_DECIMAL, true},
	[MF_PS_COMMENTS] = {"Comments", "comments", MF_TEXT, false},
	[MF_PS_CUSTOMER_NAME] = {"CustomerName", "customer_name", MF_TEXT, false},
	[MF_PS_CUSTOMER_MOBILE] = {"CustomerMobile", "customer_mobile", MF_TEXT, false},
	[MF_PS_CUSTOMER_EMAIL] = {"CustomerEmail", "customer_email", MF_TEXT, false},
	[MF_PS_USER_DEFINED_FIELD] = {"UserDefinedField", "user_defined_field", MF_TEXT, false},
	[MF_PS_INVOICE_DISPLAY_VALUE] = {"InvoiceDisplayValue", "invoice_display_value", MF_DECIMAL, false},
	[MF_PS_DISPLAY_CURRENCY] = {"InvoiceDisplayValue", "display_currency", MF_CURRENCY, false},
	[MF_PS_DUE_DEPOSIT] = {"DueDeposit", "due_deposit", MF_DECIMAL, false},
	[MF_PS_DEPOSIT_STATUS] = {"DepositStatus", "deposit_status", MF_TEXT, false},
	[MF_PS_INVOICE_ITEMS] = {"InvoiceItems", "invoice_items", MF_JSON, false},
	[MF_PS_INVOICE_TRANSACTIONS] = {"InvoiceTransactions", "invoice_transactions", MF_JSON, false},
	[MF_PS_SUPPLIERS] = {"Suppliers", "suppliers", MF_JSON, false},
};

const MfField mf_transaction_fields[MF_TX_COUNT] = {
	[MF_TX_TRANSACTION_DATE] = {"TransactionDate", "transaction_date", MF_LOCAL_TIME, false},
	[MF_TX_PAYMENT_GATEWAY] = {"PaymentGateway", "payment_gateway", MF_TEXT, false},
	[MF_TX_REFERENCE_ID] = {"ReferenceId", "reference_id", MF_TEXT, false},
	[MF_TX_TRACK_ID] = {"TrackId", "track_id", MF_TEXT, false},
	[MF_TX_TRANSACTION_ID] = {"TransactionId", "transaction_id", MF_TEXT, false},
	[MF_TX_PAYMENT_ID] = {"PaymentId", "payment_id", MF_TEXT, true},
	[MF_TX_AUTHORIZATION_ID] = {"AuthorizationId", "authorization_id", MF_TEXT, false},
	[MF_TX_TRANSACTION_STATUS] = {"TransactionStatus", "transaction_status", MF_TEXT, true},
	[MF_TX_TRANSATION_VALUE] = {"TransationValue", "transaction_value", MF_DECIMAL, false},
	[MF_TX_CUSTOMER_SERVICE_CHARGE] = {"CustomerServiceCharge", "customer_service_charge", MF_DECIMAL, false},
	[MF_TX_TOTAL_SERVICE_CHARGE] = {"TotalServiceCharge", "total_service_charge", MF_DECIMAL, false},
	[MF_TX_DUE_VALUE] = {"DueValue", "due_value", MF_DECIMAL, false},
	[MF_TX_PAID_CURRENCY] = {"PaidCurrency", "paid_currency", MF_CURRENCY, false},
	[MF_TX_PAID_CURRENCY_VALUE] = {"PaidCurrencyValue", "paid_currency_value", MF_DECIMAL, false},
	[MF_TX_VAT_AMOUNT] = {"VatAmount", "vat_amount", MF_DECIMAL, false},
	[MF_TX_IP_ADDRESS] = {"IpAddress", "ip_address", MF_TEXT, false},
	[MF_TX_COUNTRY] = {"Country", "country", MF_TEXT, false},
	[MF_TX_CURRENCY] = {"Currency", "currency", MF_CURRENCY, false},
	[MF_TX_ERROR] = {"Error", "error", MF_TEXT, false},
	[MF_TX_CARD_NUMBER] = {"CardNumber", "card_number", MF_TEXT, false},
	[MF_TX_ERROR_CODE] = {"ErrorCode", "error_code", MF_TEXT, false},
	[MF_TX_ECI] = {"ECI", "eci", MF_TEXT, false},
	[MF_TX_CARD] = {"Card", "card", MF_JSON, false},
};

typedef enum ReadResult
{
	READ_OK,
	READ_BAD,
	READ_OUT_OF_MEMORY
} ReadResult;

/* ----------
 * Requests
 * ----------
 */

/* Digits with an optional minus, few enough for eight bytes */
static bool
is_integer(const char *literal)
{
	size_t		len;

	if (*literal == '-')
		literal++;
	len = strspn(literal, "0123456789");
	return len > 0 && len <= MAX_INTEGER_DIGITS && literal[len] == '\0';
}

/*
 * Adds a node, which may be NULL for lack of memory, to the object.  Does not
 * copy "name".
 */
static bool
add_node(cJSON *object, const char *name, cJSON *node)
{
	if (node != NULL && cJSON_AddItemToObjectCS(object, name, node))
		return true;
	cJSON_Delete(node);
	return false;
}

static bool
add_text(cJSON *object, const char *name, const char *value)
{
	return mf_utf8_valid(value, strlen(value)) && add_node(object, name, cJSON_CreateString(value));
}

/*
 * Adds JSON text as a parsed tree, so that it is exactly one value and cannot
 * end the object around it.
 */
static bool
add_json(cJSON *object, const char *name, const char *value, bool number)
{
	cJSON	   *node = mf_json_parse(value, strlen(value), NULL, NULL);

	if (number && node != NULL && !mf_json_is_number(node))
	{
		cJSON_Delete(node);
		return false;
	}
	return add_node(object, name, node);
}

static bool
add_time(cJSON *object, const char *name, const char *value)
{
	char		time[64];

	if (!mf_timestamp_plain(value, time, sizeof(time)) || strchr(time, 'Z') != NULL)
		return false;
	time[10] = 'T';
	time[19] = '\0';			/* MyFatoorah's samples have no fractions */
	return add_node(object, name, cJSON_CreateString(time));
}

/*
 * The object that a member belongs to: of "Object.Member" one in the root, added if it
 * is not there yet.  *name becomes the member's own name.  NULL when out of memory.
 */
static cJSON *
object_of(cJSON *root, const char **name)
{
	const char *dot;

	while (root != NULL && (dot = strchr(*name, '.')) != NULL)
	{
		char		object[32];
		cJSON	   *found;

		snprintf(object, sizeof(object), "%.*s", (int) (dot - *name), *name);
		*name = dot + 1;
		found = cJSON_GetObjectItemCaseSensitive(root, object);
		root = found != NULL ? found : cJSON_AddObjectToObject(root, object);
	}
	return root;
}

static bool
add_value(cJSON *root, const MfField *field, const char *value)
{
	const char *name = field->name;
	cJSON	   *object = object_of(root, &name);

	if (object == NULL)
		return false;
	switch (field->kind)
	{
		case MF_TEXT:
		case MF_CURRENCY:
		case MF_LINK:
			return add_text(object, name, value);
		case MF_DECIMAL:
			return add_json(object, name, value, true);
		case MF_INTEGER:
			return is_integer(value) && add_json(object, name, value, true);
		case MF_JSON:
		case MF_BOOLEAN:
			return add_json(object, name, value, false);
		case MF_LOCAL_TIME:
			return add_time(object, name, value);
	}
	return false;
}

/* Prints and deletes the tree of a body; NULL if it is not complete. */
static char *
finish_body(cJSON *root, bool complete, size_t *len)
{
	char	   *body = complete ? mf_json_print(root) : NULL;

	cJSON_Delete(root);
	*len = (body != NULL) ? strlen(body) : 0;
	return body;
}

char *
mf_fields_body(const MfField *fields, int count, const char *const *values, size_t *len)
{
	cJSON	   *root = cJSON_CreateObject();
	bool		complete = (root != NULL);
	int			i;

	for (i = 0; i < count && complete; i++)
	{
		if (values[i] != NULL)
			complete = add_value(root, &fields[i], values[i]);
	}
	return finish_body(root, complete, len);
}

char *
mf_key_body(const char *key, const char *key_type, size_t *len)
{
	static const MfField fields[] = {
		{"Key", "key", MF_TEXT, false},
		{"KeyType", "key_type", MF_TEXT, false},
	};
	const char *values[] = {key, key_type};

	return mf_fields_body(fields, 2, values, len);
}

/* ----------
 * Answers
 * ----------
 */

static ReadResult
copy_text(const char *text, char **value)
{
	*value = strdup(text);
	return *value != NULL ? READ_OK : READ_OUT_OF_MEMORY;
}

static ReadResult
read_decimal(const cJSON *node, char **value)
{
	char		plain[DECIMAL_SIZE];

	if (mf_json_is_number(node))
	{
		if (!mf_number_plain(node->valuestring, plain, sizeof(plain)))
			return READ_BAD;
	}
	else if (!cJSON_IsString(node) ||
			 !mf_decimal_plain(node->valuestring, plain, sizeof(plain)))
		return READ_BAD;
	return copy_text(plain, value);
}

/* A time with a zone would not be local time of the account: not read. */
static ReadResult
read_time(const cJSON *node, char **value)
{
	char		plain[64];

	if (!cJSON_IsString(node) ||
		!mf_timestamp_plain(node->valuestring, plain, sizeof(plain)) ||
		strchr(plain, 'Z') != NULL)
		return READ_BAD;
	return copy_text(plain, value);
}

static ReadResult
read_boolean(const cJSON *node, char **value)
{
	bool		is_text = cJSON_IsString(node);

	if (cJSON_IsTrue(node) || (is_text && mf_ascii_compare(node->valuestring, "true") == 0))
		return copy_text("true", value);
	if (cJSON_IsFalse(node) || (is_text && mf_ascii_compare(node->valuestring, "false") == 0))
		return copy_text("false", value);
	return READ_BAD;
}

/* Reads one member. *value stays NULL for a null, absent or empty one. */
static ReadResult
read_value(const cJSON *node, MfFieldKind kind, char **value)
{
	char		iso[MF_CURRENCY_SIZE];

	if (node == NULL || cJSON_IsNull(node))
		return READ_OK;
	if (kind != MF_TEXT && cJSON_IsString(node) && node->valuestring[0] == '\0')
		return READ_OK;
	switch (kind)
	{
		case MF_TEXT:
			if (!cJSON_IsString(node) && !mf_json_is_number(node))
				return READ_BAD;
			return copy_text(node->valuestring, value);
		case MF_DECIMAL:
			return read_decimal(node, value);
		case MF_INTEGER:
			if ((!cJSON_IsString(node) && !mf_json_is_number(node)) ||
				!is_integer(node->valuestring))
				return READ_BAD;
			return copy_text(node->valuestring, value);
		case MF_JSON:
			*value = mf_json_print(node);
			return *value != NULL ? READ_OK : READ_OUT_OF_MEMORY;
		case MF_BOOLEAN:
			return read_boolean(node, value);
		case MF_CURRENCY:
			if (!cJSON_IsString(node) || !mf_currency_iso(node->valuestring, iso))
				return READ_BAD;
			return copy_text(iso, value);
		case MF_LINK:
			return cJSON_IsString(node) && mf_link_valid(node->valuestring) ? copy_text(node->valuestring, value) : READ_BAD;
		case MF_LOCAL_TIME:
			return read_time(node, value);
	}
	return READ_BAD;
}

/* One half of "12,345.000 KD" */
static ReadResult
read_display_value(const cJSON *node, bool want_currency, char **value)
{
	char		amount[DECIMAL_SIZE];
	char		currency[8];

	if (!cJSON_IsString(node) || node->valuestring[0] == '\0')
		return (node == NULL || cJSON_IsNull(node) || cJSON_IsString(node)) ? READ_OK : READ_BAD;
	if (!mf_display_value_split(node->valuestring, amount, sizeof(amount),
								currency, sizeof(currency)))
		return READ_BAD;
	return copy_text(want_currency ? currency : amount, value);
}

/* A date without a readable time would be wrong by up to a day: not read. */
static ReadResult
read_expiry(const cJSON *date, const cJSON *time, char **value)
{
	char		plain[64];
	const char *clock = NULL;

	if (date == NULL || cJSON_IsNull(date))
		return READ_OK;
	if (!cJSON_IsString(date))
		return READ_BAD;
	if (date->valuestring[0] == '\0')
		return READ_OK;
	if (cJSON_IsString(time) && time->valuestring[0] != '\0')
		clock = time->valuestring;
	else if (time != NULL && !cJSON_IsNull(time) && !cJSON_IsString(time))
		return READ_BAD;
	if (!mf_expiry_plain(date->valuestring, clock, plain, sizeof(plain)))
		return READ_BAD;
	return copy_text(plain, value);
}

/* Whether reading goes on after a member. If not, frees all values. */
static bool
read_succeeded(ReadResult result, const MfField *field, char *values[], int count, const char **bad)
{
	if (result == READ_OK || (result == READ_BAD && !field->essential))
		return true;
	mf_values_free(values, count);
	*bad = (result == READ_BAD) ? field->name : NULL;
	return false;
}

bool
mf_payment_status_read(const cJSON *data, char *values[MF_PS_COUNT], const char **bad)
{
	int			i;

	memset(values, 0, MF_PS_COUNT * sizeof(char *));
	*bad = NULL;
	if (!cJSON_IsObject(data))
	{
		*bad = "Data";
		return false;
	}
	for (i = 0; i < MF_PS_COUNT; i++)
	{
		const MfField *field = &mf_payment_status_fields[i];
		const cJSON *node = mf_json_get(data, field->name);
		ReadResult	result;

		if (i == MF_PS_EXPIRY_DATE)
			result = read_expiry(node, mf_json_get(data, "ExpiryTime"), &values[i]);
		else if (i == MF_PS_INVOICE_DISPLAY_VALUE || i == MF_PS_DISPLAY_CURRENCY)
			result = read_display_value(node, i == MF_PS_DISPLAY_CURRENCY, &values[i]);
		else
			result = read_value(node, field->kind, &values[i]);
		if (!read_succeeded(result, field, values, MF_PS_COUNT, bad))
			return false;
	}
	return true;
}

bool
mf_fields_read(const cJSON *object, const MfField *fields, int count, char **values, const char **bad)
{
	int			i;

	memset(values, 0, (size_t) count * sizeof(char *));
	*bad = NULL;
	for (i = 0; i < count; i++)
	{
		ReadResult	result = read_value(mf_json_get(object, fields[i].name), fields[i].kind, &values[i]);

		if (!read_succeeded(result, &fields[i], values, count, bad))
			return false;
	}
	return true;
}

bool
mf_transaction_read(const cJSON *transaction, char *values[MF_TX_COUNT], const char **bad)
{
	if (!cJSON_IsObject(transaction))
	{
		memset(values, 0, MF_TX_COUNT * sizeof(char *));
		*bad = "InvoiceTransactions";
		return false;
	}
	return mf_fields_read(transaction, mf_transaction_fields, MF_TX_COUNT, values, bad);
}

void
mf_values_free(char *values[], int count)
{
	int			i;

	for (i = 0; i < count; i++)
	{
		free(values[i]);
		values[i] = NULL;
	}
}

void
mf_values_drop_empty(char *values[], int count)
{
	int			i;

	for (i = 0; i < count; i++)
	{
		if (values[i] != NULL && values[i][0] == '\0')
			mf_values_free(&values[i], 1);
	}
}
