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
static const char *country_code(const MfCreatePayment *payment);
static bool write_expiry(const char *expiry, char *out, size_t size);
static char *make_suppliers(const char *text);

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
	static const MfField fields[] = {
		{"Order.Amount", "invoice_value", MF_DECIMAL, false},
		{"Order.Currency", "display_currency_iso", MF_TEXT, false},
		{"Order.ExternalIdentifier", "customer_reference", MF_TEXT, false},
		{"Customer.Name", "customer_name", MF_TEXT, false},
		{"Customer.Mobile.CountryCode", "mobile_country_code", MF_TEXT, false},
		{"Customer.Mobile.Number", "customer_mobile", MF_TEXT, false},
		{"Customer.Email", "customer_email", MF_TEXT, false},
		{"Customer.CivilId", "customer_civil_id", MF_TEXT, false},
		{"IntegrationUrls.Redirection", "call_back_url", MF_TEXT, false},
		{"IntegrationUrls.Webhook", "webhook_url", MF_TEXT, false},
		{"NotificationOption", "notification_option", MF_TEXT, false},
		{"PaymentExpiry", "expiry_date", MF_TEXT, false},
		{"Language", "language", MF_TEXT, false},
		{"Suppliers", "suppliers", MF_JSON, false},
	};
	const char *const *values = payment->values;
	const char *option = values[MF_SP_NOTIFICATION_OPTION];
	char		expiry[64];
	char	   *suppliers = values[MF_SP_SUPPLIERS] != NULL ? make_suppliers(values[MF_SP_SUPPLIERS]) : NULL;
	char	   *body = NULL;
	const char *sent[] = {
		values[MF_SP_INVOICE_VALUE], values[MF_SP_DISPLAY_CURRENCY_ISO], values[MF_SP_CUSTOMER_REFERENCE],
		values[MF_SP_CUSTOMER_NAME], country_code(payment), values[MF_SP_CUSTOMER_MOBILE], values[MF_SP_CUSTOMER_EMAIL],
		values[MF_SP_CUSTOMER_CIVIL_ID], values[MF_SP_CALL_BACK_URL], values[MF_SP_WEBHOOK_URL],
		option != NULL ? option_of(option) : NULL, payment->expiry != NULL ? expiry : NULL, values[MF_SP_LANGUAGE], suppliers
	};

	*len = 0;
	if (values[MF_SP_INVOICE_VALUE] != NULL && (suppliers != NULL || values[MF_SP_SUPPLIERS] == NULL) &&
		(payment->expiry == NULL || write_expiry(payment->expiry, expiry, sizeof(expiry))))
		body = mf_fields_body(fields, sizeof(fields) / sizeof(fields[0]), sent, len);
	free(suppliers);
	return body;
}

/*
 * The code of the mobile number: that of the account's country if none was given; without
 * its prefix if it is long, because V3 takes no more than four characters.
 */
static const char *
country_code(const MfCreatePayment *payment)
{
	const char *code = payment->values[MF_SP_MOBILE_COUNTRY_CODE];

	if (payment->values[MF_SP_CUSTOMER_MOBILE] == NULL)
		return NULL;
	if (code == NULL)
		return payment->dial_code;
	if (strlen(code) <= COUNTRY_CODE_MAX)
		return code;
	return *code == '+' ? code + 1 : strncmp(code, "00", 2) == 0 ? code + 2 : code;
}

/* "YYYY-MM-DDThh:mm:ssZ", without fractions */
static bool
write_expiry(const char *expiry, char *out, size_t size)
{
	if (!mf_timestamp_plain(expiry, out, size))
		return false;
	out[10] = 'T';
	memcpy(out + 19, "Z", 2);
	return true;
}

/* The suppliers, malloc'd.  ProposedShare of V2 is ProposedDepositShare in V3. */
static char *
make_suppliers(const char *text)
{
	static const char *const names[] = {"SupplierCode", "ProposedShare", "InvoiceShare"};
	static const MfField fields[] = {
		{"SupplierCode", "supplier_code", MF_DECIMAL, false},
		{"ProposedDepositShare", "proposed_share", MF_DECIMAL, false},
		{"InvoiceShare", "invoice_share", MF_DECIMAL, false},
	};
	cJSON	   *list = mf_json_parse(text, strlen(text), NULL, NULL);
	cJSON	   *result = cJSON_CreateArray();
	const cJSON *supplier;
	bool		complete = list != NULL && result != NULL;
	char	   *made;

	cJSON_ArrayForEach(supplier, list)
	{
		const char *values[3];
		char	   *body;
		size_t		len;
		int			i;

		for (i = 0; i < 3; i++)
		{
			values[i] = mf_json_number(supplier, names[i]);
			complete = complete && (values[i] != NULL || mf_json_get(supplier, names[i]) == NULL ||
									cJSON_IsNull(mf_json_get(supplier, names[i])));
		}
		body = complete ? mf_fields_body(fields, 3, values, &len) : NULL;
		complete = body != NULL && cJSON_AddItemToArray(result, cJSON_CreateRaw(body));
		free(body);
	}
	made = complete ? mf_json_print(result) : NULL;
	cJSON_Delete(list);
	cJSON_Delete(result);
	return made;
}
