/*
 * lists.c
 *	  Answers that are lists of rows.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/api/lists.c
 */
#include "core/api/lists.h"

#include <stdlib.h>
#include <string.h>

#include "core/text/json.h"

/* The rest of an MfList after "member", for a list without pages whose rows are taken as they are */
#define FIELDS(fields) fields, (int) (sizeof(fields) / sizeof((fields)[0])), false, NULL, NULL

/* Pages are counted in an int. */
#define MAX_PAGE_DIGITS 9

static const MfField payment_method_fields[] = {
	{"PaymentMethodId", "payment_method_id", MF_INTEGER, true},
	{"PaymentMethodCode", "payment_method_code", MF_TEXT, false},
	{"PaymentMethodEn", "payment_method_en", MF_TEXT, false},
	{"PaymentMethodAr", "payment_method_ar", MF_TEXT, false},
	{"IsDirectPayment", "is_direct_payment", MF_BOOLEAN, false},
	{"IsEmbeddedSupported", "is_embedded_supported", MF_BOOLEAN, false},
	{"ServiceCharge", "service_charge", MF_DECIMAL, false},
	{"TotalAmount", "total_amount", MF_DECIMAL, false},
	{"CurrencyIso", "currency", MF_CURRENCY, false},
	{"PaymentCurrencyIso", "payment_currency", MF_CURRENCY, false},
	{"ImageUrl", "image_url", MF_LINK, false},
};

static const MfField exchange_rate_fields[] = {
	{"Text", "currency", MF_CURRENCY, true},
	{"Value", "rate", MF_DECIMAL, true},
};

static const MfField supplier_fields[] = {
	{"SupplierCode", "supplier_code", MF_INTEGER, true},
	{"SupplierName", "supplier_name", MF_TEXT, false},
	{"SupplierStatus", "supplier_status", MF_TEXT, false},
	{"Comment", "comment", MF_TEXT, false},
	{"Mobile", "mobile", MF_TEXT, false},
	{"Email", "email", MF_TEXT, false},
	{"BusinessName", "business_name", MF_TEXT, false},
	{"CommissionValue", "commission_value", MF_DECIMAL, false},
	{"CommissionPercentage", "commission_percentage", MF_DECIMAL, false},
	{"IsPercentageOfNetValue", "is_percentage_of_net_value", MF_BOOLEAN, false},
	{"DepositTerms", "deposit_terms", MF_TEXT, false},
	{"DepositDay", "deposit_day", MF_TEXT, false},
	{"DisplaySupplierDetails", "display_supplier_details", MF_BOOLEAN, false},
	{"SupplierCommissions", "supplier_commissions", MF_JSON, false},
	{"BusinessCategory", "business_category", MF_JSON, false},
};

/* MF_RP_* are positions here. */
static const MfField recurring_fields[] = {
	{"RecurringId", "recurring_id", MF_TEXT, true},
	{"RecurringStatus", "recurring_status", MF_TEXT, true},
	{"CreationDate", "creation_date", MF_LOCAL_TIME, false},
	{"RecurringValue", "recurring_value", MF_DECIMAL, false},
	{"RecurringType", "recurring_type", MF_TEXT, false},
	{"IntervalDays", "interval_days", MF_INTEGER, false},
	{"ExecutedTimes", "executed_times", MF_INTEGER, false},
	{"LastPayDate", "last_pay_date", MF_LOCAL_TIME, false},
	{"NextPayDate", "next_pay_date", MF_LOCAL_TIME, false},
	{"IsActive", "is_active", MF_BOOLEAN, false},
	{"RecurringInvoices", "recurring_invoices", MF_JSON, false},
};

const MfList mf_payment_method_list = {MF_INITIATE_PAYMENT, "PaymentMethods", FIELDS(payment_method_fields)};
const MfList mf_exchange_rate_list = {MF_GET_EXCHANGE_RATES, NULL, FIELDS(exchange_rate_fields)};
const MfList mf_supplier_list = {MF_GET_SUPPLIERS, NULL, FIELDS(supplier_fields)};
const MfList mf_recurring_list = {MF_GET_RECURRING_PAYMENT, "RecurringPayment", FIELDS(recurring_fields)};

char *
mf_payment_methods_body(const char *value, const char *currency, size_t *len)
{
	static const MfField fields[] = {
		{"InvoiceAmount", "value", MF_DECIMAL, false},
		{"CurrencyIso", "currency", MF_CURRENCY, false},
	};
	const char *values[] = {value, currency};

	return mf_fields_body(fields, 2, values, len);
}

static void
free_rows(MfListResult *result)
{
	if (result->values != NULL)
		mf_values_free(result->values, result->row_count * result->list->field_count);
	free(result->values);
	result->values = NULL;
	result->row_count = result->page = result->pages = result->items = 0;
}

static bool
has_essential(const MfList *list, char *const *values, const char **bad)
{
	int			i;

	for (i = 0; i < list->field_count; i++)
	{
		*bad = list->fields[i].name;
		if (list->fields[i].essential && (values[i] == NULL || values[i][0] == '\0'))
			return false;
	}
	return true;
}

/* On failure nothing stays allocated; *bad as of mf_fields_read(). */
static bool
read_row(const MfList *list, cJSON *node, char **values, const char **bad)
{
	*bad = list->member != NULL ? list->member : "Data";
	if (!cJSON_IsObject(node))
		return false;
	if (list->prepare != NULL)
		list->prepare(node);
	if (!mf_fields_read(node, list->fields, list->field_count, values, bad))
		return false;
	if (list->check != NULL ? list->check(values, bad) : has_essential(list, values, bad))
		return true;
	mf_values_free(values, list->field_count);
	return false;
}

/* The number of a page, or how many there are, or how many items */
static bool
read_page(const cJSON *pagination, const char *name, int *page)
{
	const char *text = mf_json_text(pagination, name);
	size_t		len;

	if (text == NULL)
		return false;
	len = strspn(text, "0123456789");
	if (len == 0 || len > MAX_PAGE_DIGITS || text[len] != '\0')
		return false;
	*page = atoi(text);
	return true;
}

/* On failure free_rows() frees what was read. */
static bool
read_rows(const MfList *list, const cJSON *data, MfListResult *result, const char **bad)
{
	const cJSON *rows = list->member != NULL ? mf_json_get(data, list->member) : data;
	const cJSON *pagination = mf_json_get(data, "Pagination");
	cJSON	   *node;

	*bad = list->member != NULL ? list->member : "Data";
	if (!cJSON_IsArray(rows) && !cJSON_IsNull(rows))
		return false;			/* .NET writes an empty list as null, too */
	if (list->paged && !(read_page(pagination, "PageNumber", &result->page) &&
						 read_page(pagination, "PagesCount", &result->pages)))
		result->page = result->pages = 0;
	if (list->paged && !read_page(pagination, "ItemsCount", &result->items))
		result->items = 0;
	if (rows->child == NULL)
		return true;
	*bad = "Pagination";
	if (list->paged && (result->page < 1 || result->pages < 1))
		return false;
	*bad = NULL;
	result->values = calloc((size_t) cJSON_GetArraySize(rows) * (size_t) list->field_count, sizeof(char *));
	if (result->values == NULL)
		return false;
	cJSON_ArrayForEach(node, rows)
	{
		if (!read_row(list, node, result->values + (size_t) result->row_count * (size_t) list->field_count, bad))
			return false;
		result->row_count++;
	}
	return true;
}

void
mf_list_result_read(const MfList *list, const MfHttpExchange *exchange, MfListResult *result)
{
	MfEnvelope	envelope;
	const char *bad;

	memset(result, 0, sizeof(*result));
	result->list = list;
	if (mf_lookup_read(&mf_endpoints[list->endpoint], exchange, &envelope, &result->base))
	{
		if (!read_rows(list, envelope.data, result, &bad))
		{
			free_rows(result);
			mf_lookup_unreadable(exchange, bad, &result->base);
		}
	}
	else if (list->paged && result->base.lookup == MF_LOOKUP_NOT_FOUND)
	{
		mf_lookup_free(&result->base);
		result->base.lookup = MF_LOOKUP_FOUND;
	}
	mf_envelope_free(&envelope);
}

void
mf_list_result_free(MfListResult *result)
{
	free_rows(result);
	mf_lookup_free(&result->base);
}

char *const *
mf_list_row(const MfListResult *result, int row)
{
	return result->values + (size_t) row * (size_t) result->list->field_count;
}
