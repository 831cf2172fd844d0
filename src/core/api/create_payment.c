/*
 * create_payment.c
 *	  POST /v3/payments: the request of an invoice, from the fields of SendPayment.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/api/create_payment.c
 */
#include "core/api/create_payment.h"

#include <stdlib.h>
#include <string.h>

#include "core/text/json.h"
#include "core/text/text.h"

/* V3's limits; V2 takes numbers of 3 digits and longer codes */
#define NUMBER_DIGITS_MIN 6
#define COUNTRY_CODE_MAX 4

/* Fields that V3 does not have, or has with another meaning */
static const MfSendPaymentField foreign_fields[] = {
	MF_SP_USER_DEFINED_FIELD,
	MF_SP_CUSTOMER_ADDRESS,
	MF_SP_INVOICE_ITEMS,
	MF_SP_SHIPPING_METHOD,
	MF_SP_SHIPPING_CONSIGNEE,
	MF_SP_PROCESSING_DETAILS,
	MF_SP_INVOICE_PAYMENT_METHODS,
	MF_SP_SOURCE_INFO,
	MF_SP_PAYMENT_METHOD_ID,
};

static const struct
{
	const char *v2;
	const char *v3;
}			options[] = {
	{"LNK", "LINK"},
	{"EML", "EMAIL"},
	{"SMS", "SMS"},
	{"ALL", "ALL"},
};

static const char *option_of(const char *v2);
static bool is_same_url(const char *one, const char *other);
static bool is_supplier_list(const char *text);
static const char *code_digits(const char *code);
static cJSON *add_object(cJSON *object, const char *name);
static bool add_text(cJSON *object, const char *name, const char *value);
static bool add_number(cJSON *object, const char *name, const char *value);
static bool add_customer(cJSON *root, const MfCreatePayment *payment);
static bool add_mobile(cJSON *customer, const MfCreatePayment *payment);
static bool add_urls(cJSON *root, const char *const *values);
static bool add_expiry(cJSON *root, const char *expiry);
static bool add_suppliers(cJSON *root, const char *text);

MfSendPaymentField
mf_create_payment_obstacle(const MfCreatePayment *payment)
{
	const char *const *values = payment->values;
	const char *currency = values[MF_SP_DISPLAY_CURRENCY_ISO];
	const char *mobile = values[MF_SP_CUSTOMER_MOBILE];
	size_t		i;

	for (i = 0; i < sizeof(foreign_fields) / sizeof(foreign_fields[0]); i++)
	{
		if (values[foreign_fields[i]] != NULL)
			return foreign_fields[i];
	}

	/*
	 * In MyFatoorah's example Order.Currency becomes the currency of the payment, and
	 * the display value has the amount of the one with the name of the other.
	 */
	if (currency != NULL && strcmp(currency, payment->currency) != 0)
		return MF_SP_DISPLAY_CURRENCY_ISO;
	if (mobile != NULL && strcspn(mobile, "#") - strspn(mobile, "+*") < NUMBER_DIGITS_MIN)
		return MF_SP_CUSTOMER_MOBILE;
	/* there is one address to which the customer returns, paid or not */
	if (!is_same_url(values[MF_SP_CALL_BACK_URL], values[MF_SP_ERROR_URL]))
		return values[MF_SP_ERROR_URL] != NULL ? MF_SP_ERROR_URL : MF_SP_CALL_BACK_URL;
	if (values[MF_SP_SUPPLIERS] != NULL && !is_supplier_list(values[MF_SP_SUPPLIERS]))
		return MF_SP_SUPPLIERS;
	if (values[MF_SP_NOTIFICATION_OPTION] != NULL && option_of(values[MF_SP_NOTIFICATION_OPTION]) == NULL)
		return MF_SP_NOTIFICATION_OPTION;
	return MF_SP_COUNT;
}

/* V3's word, NULL if there is none */
static const char *
option_of(const char *v2)
{
	size_t		i;

	for (i = 0; i < sizeof(options) / sizeof(options[0]); i++)
	{
		if (strcmp(options[i].v2, v2) == 0)
			return options[i].v3;
	}
	return NULL;
}

static bool
is_same_url(const char *one, const char *other)
{
	if (one == NULL || other == NULL)
		return one == other;
	return strcmp(one, other) == 0;
}

/* Whether all members of all suppliers have a name in V3. */
static bool
is_supplier_list(const char *text)
{
	cJSON	   *list = mf_json_parse(text, strlen(text), NULL, NULL);
	const cJSON *supplier;
	const cJSON *member;
	bool		known = cJSON_IsArray(list);

	cJSON_ArrayForEach(supplier, list)
	{
		known = known && cJSON_IsObject(supplier);
		cJSON_ArrayForEach(member, supplier)
			known = known && member->string != NULL && (strcmp(member->string, "SupplierCode") == 0 ||
														 strcmp(member->string, "InvoiceShare") == 0 ||
														 strcmp(member->string, "ProposedShare") == 0);
	}
	cJSON_Delete(list);
	return known;
}

char *
mf_create_payment_body(const MfCreatePayment *payment, size_t *len)
{
	const char *const *values = payment->values;
	const char *option = values[MF_SP_NOTIFICATION_OPTION];
	cJSON	   *root = cJSON_CreateObject();
	cJSON	   *order = add_object(root, "Order");
	bool		complete = order != NULL;
	char	   *body;

	complete = complete && add_number(order, "Amount", values[MF_SP_INVOICE_VALUE]);
	complete = complete && add_text(order, "Currency", values[MF_SP_DISPLAY_CURRENCY_ISO]);
	complete = complete && add_text(order, "ExternalIdentifier", values[MF_SP_CUSTOMER_REFERENCE]);
	complete = complete && add_customer(root, payment);
	complete = complete && add_urls(root, values);
	complete = complete && add_text(root, "NotificationOption", option != NULL ? option_of(option) : NULL);
	complete = complete && add_expiry(root, payment->expiry);
	complete = complete && add_text(root, "Language", values[MF_SP_LANGUAGE]);
	complete = complete && add_suppliers(root, values[MF_SP_SUPPLIERS]);
	body = complete ? mf_json_print(root) : NULL;
	cJSON_Delete(root);
	*len = body != NULL ? strlen(body) : 0;
	return body;
}

/* Adds an empty object; NULL when out of memory. */
static cJSON *
add_object(cJSON *object, const char *name)
{
	cJSON	   *node = cJSON_CreateObject();

	if (node != NULL && cJSON_AddItemToObjectCS(object, name, node))
		return node;
	cJSON_Delete(node);
	return NULL;
}

/* NULL leaves the member out. */
static bool
add_text(cJSON *object, const char *name, const char *value)
{
	cJSON	   *node;

	if (value == NULL)
		return true;
	node = mf_utf8_valid(value, strlen(value)) ? cJSON_CreateString(value) : NULL;
	if (node != NULL && cJSON_AddItemToObjectCS(object, name, node))
		return true;
	cJSON_Delete(node);
	return false;
}

/* A number as it is written */
static bool
add_number(cJSON *object, const char *name, const char *value)
{
	cJSON	   *node = value != NULL ? mf_json_parse(value, strlen(value), NULL, NULL) : NULL;

	if (mf_json_is_number(node) && cJSON_AddItemToObjectCS(object, name, node))
		return true;
	cJSON_Delete(node);
	return false;
}

static bool
add_customer(cJSON *root, const MfCreatePayment *payment)
{
	const char *const *values = payment->values;
	cJSON	   *customer;

	if (values[MF_SP_CUSTOMER_NAME] == NULL && values[MF_SP_CUSTOMER_MOBILE] == NULL &&
		values[MF_SP_CUSTOMER_EMAIL] == NULL && values[MF_SP_CUSTOMER_CIVIL_ID] == NULL)
		return true;
	customer = add_object(root, "Customer");
	return customer != NULL &&
		add_text(customer, "Name", values[MF_SP_CUSTOMER_NAME]) &&
		add_mobile(customer, payment) &&
		add_text(customer, "Email", values[MF_SP_CUSTOMER_EMAIL]) &&
		add_text(customer, "CivilId", values[MF_SP_CUSTOMER_CIVIL_ID]);
}

/* The number with its code: that of the account's country if none was given. */
static bool
add_mobile(cJSON *customer, const MfCreatePayment *payment)
{
	const char *number = payment->values[MF_SP_CUSTOMER_MOBILE];
	const char *code = payment->values[MF_SP_MOBILE_COUNTRY_CODE];
	cJSON	   *mobile;

	if (number == NULL)
		return true;
	if (code == NULL)
		code = payment->dial_code;
	else if (strlen(code) > COUNTRY_CODE_MAX)
		code = code_digits(code);
	mobile = add_object(customer, "Mobile");
	return mobile != NULL && add_text(mobile, "CountryCode", code) && add_text(mobile, "Number", number);
}

/* A country code without its prefix, because V3 takes no more than four characters */
static const char *
code_digits(const char *code)
{
	if (*code == '+')
		return code + 1;
	return strncmp(code, "00", 2) == 0 ? code + 2 : code;
}

static bool
add_urls(cJSON *root, const char *const *values)
{
	cJSON	   *urls;

	if (values[MF_SP_CALL_BACK_URL] == NULL && values[MF_SP_WEBHOOK_URL] == NULL)
		return true;
	urls = add_object(root, "IntegrationUrls");
	return urls != NULL &&
		add_text(urls, "Redirection", values[MF_SP_CALL_BACK_URL]) &&
		add_text(urls, "Webhook", values[MF_SP_WEBHOOK_URL]);
}

/* "YYYY-MM-DDThh:mm:ssZ", without fractions */
static bool
add_expiry(cJSON *root, const char *expiry)
{
	char		time[64];

	if (expiry == NULL)
		return true;
	if (!mf_timestamp_plain(expiry, time, sizeof(time)))
		return false;
	time[10] = 'T';
	time[19] = 'Z';
	time[20] = '\0';
	return add_text(root, "PaymentExpiry", time);
}

/* ProposedShare of V2 is ProposedDepositShare in V3. */
static bool
add_suppliers(cJSON *root, const char *text)
{
	static const char *const names[][2] = {
		{"SupplierCode", "SupplierCode"},
		{"ProposedShare", "ProposedDepositShare"},
		{"InvoiceShare", "InvoiceShare"},
	};
	cJSON	   *list;
	cJSON	   *result;
	const cJSON *supplier;
	bool		complete = true;
	size_t		i;

	if (text == NULL)
		return true;
	list = mf_json_parse(text, strlen(text), NULL, NULL);
	result = cJSON_CreateArray();
	complete = list != NULL && result != NULL && cJSON_AddItemToObjectCS(root, "Suppliers", result);
	if (!complete)
		cJSON_Delete(result);
	cJSON_ArrayForEach(supplier, list)
	{
		cJSON	   *copy = complete ? cJSON_CreateObject() : NULL;

		complete = complete && copy != NULL && cJSON_AddItemToArray(result, copy);
		for (i = 0; complete && i < sizeof(names) / sizeof(names[0]); i++)
		{
			const char *number = mf_json_number(supplier, names[i][0]);

			complete = number == NULL ? mf_json_get(supplier, names[i][0]) == NULL ||
				cJSON_IsNull(mf_json_get(supplier, names[i][0])) : add_number(copy, names[i][1], number);
		}
	}
	cJSON_Delete(list);
	return complete;
}
