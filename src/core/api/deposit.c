/*
 * deposit.c
 *	  Deposits: GetDepositedInvoices, and what a webhook announces.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/api/deposit.c
 */
#include "core/api/deposit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text/ascii.h"
#include "core/text/json.h"
#include "core/text/text.h"

/* Longest number of transactions and code of a supplier that are read */
#define MAX_COUNT_DIGITS 9
#define MAX_CODE_DIGITS 18

const MfField mf_deposit_fields[MF_DI_COUNT] = {
	[MF_DI_INVOICE_ID] = {"InvoiceId", "invoice_id", MF_INTEGER, true},
	[MF_DI_PAYMENT_ID] = {"PaymentId", "payment_id", MF_TEXT, false},
	[MF_DI_PAYMENT_GATEWAY] = {"PaymentGateway", "payment_gateway", MF_TEXT, false},
	[MF_DI_INVOICE_REFERENCE] = {"InvoiceReference", "invoice_reference", MF_TEXT, false},
	[MF_DI_CUSTOMER_REFERENCE] = {"CustomerReference", "customer_reference", MF_TEXT, false},
	[MF_DI_CREATED_DATE] = {"CreatedDate", "created_date", MF_LOCAL_TIME, false},
	[MF_DI_PAID_DATE] = {"PaidDate", "paid_date", MF_LOCAL_TIME, false},
	[MF_DI_INVOICE_VALUE] = {"InvoiceValue", "invoice_value", MF_DECIMAL, false},
	[MF_DI_DUE_VALUE] = {"DueValue", "due_value", MF_DECIMAL, false},
	[MF_DI_PAID_CURRENCY] = {"PaidCurrency", "paid_currency", MF_CURRENCY, false},
	[MF_DI_PAID_CURRENCY_VALUE] = {"PaidCurrencyValue", "paid_currency_value", MF_DECIMAL, false},
	[MF_DI_TOTAL_SERVICE_CHARGE] = {"TotalServiceCharge", "total_service_charge", MF_DECIMAL, false},
	[MF_DI_DUE_DEPOSIT] = {"DueDeposit", "due_deposit", MF_DECIMAL, true},
	[MF_DI_DEPOSIT_REFERENCE] = {"DepositReference", "deposit_reference", MF_TEXT, true},
	[MF_DI_DEPOSIT_DATE] = {"DepositDate", "deposit_date", MF_LOCAL_TIME, false},
};

const MfList mf_deposit_list = {MF_GET_DEPOSITED_INVOICES, NULL, mf_deposit_fields, MF_DI_COUNT, false, NULL, NULL};

char *
mf_deposit_body(const char *reference, const char *supplier_code, size_t *len)
{
	static const MfField fields[] = {
		{"DepositReference", "deposit_reference", MF_TEXT, false},
		{"Type", "type", MF_TEXT, false},
		{"SupplierCode", "supplier_code", MF_INTEGER, false},
	};
	const char *values[] = {reference, supplier_code != NULL ? "Supplier" : "Vendor", supplier_code};

	return mf_fields_body(fields, 3, values, len);
}

void
mf_deposit_result_read(const MfHttpExchange *exchange, const char *reference, MfListResult *result)
{
	int			i;

	mf_list_result_read(&mf_deposit_list, exchange, result);
	for (i = 0; i < result->row_count; i++)
	{
		char	   *const *values = mf_list_row(result, i);
		const char *bad = !mf_invoice_id_valid(values[MF_DI_INVOICE_ID]) ? "InvoiceId" :
			strcmp(values[MF_DI_DEPOSIT_REFERENCE], reference) != 0 ? "DepositReference" : NULL;

		if (bad == NULL)
			continue;
		mf_list_result_free(result);
		mf_lookup_unreadable(exchange, bad, &result->base);
		return;
	}
}

bool
mf_deposit_reference_valid(const char *reference)
{
	size_t		len = strlen(reference);
	size_t		i;

	for (i = 0; i < len; i++)
	{
		if (reference[i] <= 0x20 || reference[i] >= 0x7F)
			return false;
	}
	return len > 0 && len <= MF_DEPOSIT_REFERENCE_MAX;
}

/* Copies a member of digits; an absent, null or empty one is an empty string. */
static bool
read_digits(const cJSON *object, const char *name, size_t max, char *out, size_t size)
{
	const char *text = mf_json_text(object, name);

	out[0] = '\0';
	if (text == NULL || text[0] == '\0')
		return true;
	if (strspn(text, "0123456789") != strlen(text) || strlen(text) > max)
		return false;
	snprintf(out, size, "%s", text);
	return true;
}

bool
mf_deposit_news_read(const cJSON *data, MfDepositNews *news)
{
	const cJSON *deposit = mf_json_get(data, "Deposit");
	bool		first_version = (deposit == NULL);
	const char *reference;
	const char *value;
	const char *kind = mf_json_string(data, "DepositFor");
	char		count[MAX_COUNT_DIGITS + 1];

	memset(news, 0, sizeof(*news));
	if (first_version)
		deposit = data;
	reference = mf_json_text(deposit, first_version ? "DepositReference" : "Reference");
	if (reference == NULL || !mf_deposit_reference_valid(reference))
		return false;
	snprintf(news->reference, sizeof(news->reference), "%s", reference);

	if (!read_digits(first_version ? data : mf_json_get(data, "Supplier"), first_version ? "SupplierCode" : "Code",
					 MAX_CODE_DIGITS, news->supplier_code, sizeof(news->supplier_code)))
		return false;
	if (kind != NULL && (mf_ascii_compare(kind, "SUPPLIER") == 0) != (news->supplier_code[0] != '\0'))
		return false;

	value = mf_json_text(deposit, first_version ? "DepositedAmount" : "ValueInBaseCurrency");
	if (value == NULL || !mf_decimal_plain(value, news->value, sizeof(news->value)))
		news->value[0] = '\0';
	news->count = -1;
	if (read_digits(deposit, "NumberOfTransactions", MAX_COUNT_DIGITS, count, sizeof(count)) && count[0] != '\0')
		news->count = atoi(count);
	return true;
}
