/*
 * refund.c
 *	  GetRefundStatus: the refunds of an invoice.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/api/refund.c
 */
#include "core/api/refund.h"

#include <stdlib.h>
#include <string.h>

#include "core/text/json.h"

typedef enum RefundField
{
	REFUND_ID,
	REFUND_STATUS,
	REFUND_INVOICE_ID,
	REFUND_AMOUNT,				/* what was requested, and is deducted from
								 * the invoice */
	REFUND_REFUND_AMOUNT,		/* what the payer gets of it; less if the
								 * payer bears the fee */
	REFUND_REFERENCE,
	REFUND_EXTERNAL_IDENTIFIER,
	REFUND_RRN,
	REFUND_BASE_CURRENCY,
	REFUND_COUNT
} RefundField;

static const MfField fields[REFUND_COUNT] = {
	[REFUND_ID] = {"RefundId", "refund_id", MF_INTEGER, true},
	[REFUND_STATUS] = {"RefundStatus", "refund_status", MF_TEXT, true},
	[REFUND_INVOICE_ID] = {"InvoiceId", "invoice_id", MF_INTEGER, true},
	[REFUND_AMOUNT] = {"Amount", "amount", MF_DECIMAL, true},
	[REFUND_REFUND_AMOUNT] = {"RefundAmount", "refund_amount", MF_DECIMAL, true},
	[REFUND_REFERENCE] = {"RefundReference", "refund_reference", MF_TEXT, false},
	[REFUND_EXTERNAL_IDENTIFIER] = {"ExternalIdentifier", "external_identifier", MF_TEXT, false},
	[REFUND_RRN] = {"RRN", "rrn", MF_TEXT, false},
	[REFUND_BASE_CURRENCY] = {"BaseCurrency", "base_currency", MF_TEXT, false},
};

static void
free_refunds(MfRefundResult *result)
{
	int			i;

	for (i = 0; i < result->count; i++)
	{
		free(result->refunds[i].refund_id);
		free(result->refunds[i].refund_status);
		free(result->refunds[i].invoice_id);
		free(result->refunds[i].amount);
		free(result->refunds[i].refund_reference);
		free(result->refunds[i].external_identifier);
		free(result->refunds[i].refund_amount);
		free(result->refunds[i].rrn);
		free(result->refunds[i].base_currency);
	}
	free(result->refunds);
	result->refunds = NULL;
	result->count = 0;
}

/* On failure nothing stays allocated; *bad as of mf_fields_read(). */
static bool
read_refund(const cJSON *node, MfRefund *refund, const char **bad)
{
	char	   *values[REFUND_COUNT];

	memset(refund, 0, sizeof(*refund));
	if (!mf_fields_read(node, fields, REFUND_COUNT, values, bad))
		return false;

	/* every sample has Amount; without it, what the payer gets is the closest amount known */
	if (values[REFUND_AMOUNT] == NULL)
	{
		values[REFUND_AMOUNT] = values[REFUND_REFUND_AMOUNT];
		values[REFUND_REFUND_AMOUNT] = NULL;
	}
	if (values[REFUND_ID] == NULL || values[REFUND_ID][0] == '-')
		*bad = "RefundId";
	else if (values[REFUND_INVOICE_ID] != NULL && values[REFUND_INVOICE_ID][0] == '-')
		*bad = "InvoiceId";
	else if (values[REFUND_STATUS] == NULL || values[REFUND_STATUS][0] == '\0')
		*bad = "RefundStatus";
	else if (values[REFUND_AMOUNT] == NULL)
		*bad = "Amount";
	else
	{
		refund->refund_id = mf_value_take(values, REFUND_ID);
		refund->refund_status = mf_value_take(values, REFUND_STATUS);
		refund->invoice_id = mf_value_take(values, REFUND_INVOICE_ID);
		refund->amount = mf_value_take(values, REFUND_AMOUNT);
		refund->refund_reference = mf_value_take(values, REFUND_REFERENCE);
		refund->external_identifier = mf_value_take(values, REFUND_EXTERNAL_IDENTIFIER);
		refund->refund_amount = mf_value_take(values, REFUND_REFUND_AMOUNT);
		refund->rrn = mf_value_take(values, REFUND_RRN);
		refund->base_currency = mf_value_take(values, REFUND_BASE_CURRENCY);
	}
	mf_values_free(values, REFUND_COUNT);
	return refund->refund_id != NULL;
}

/* On failure free_refunds() frees what was read. */
static bool
read_refunds(const cJSON *data, MfRefundResult *result, const char **bad)
{
	const cJSON *list = mf_json_get(data, "RefundStatusResult");
	const cJSON *node;

	*bad = "RefundStatusResult";
	if (cJSON_IsNull(list))
		return true;			/* .NET writes an empty list as null, too */
	if (!cJSON_IsArray(list))
		return false;
	if (list->child == NULL)
		return true;
	*bad = NULL;
	result->refunds = calloc((size_t) cJSON_GetArraySize(list), sizeof(MfRefund));
	if (result->refunds == NULL)
		return false;
	cJSON_ArrayForEach(node, list)
	{
		if (!read_refund(node, &result->refunds[result->count], bad))
			return false;
		result->count++;
	}
	return true;
}

void
mf_refund_result_read(const MfHttpExchange *exchange, MfRefundResult *result)
{
	MfEnvelope	envelope;
	const char *bad;

	memset(result, 0, sizeof(*result));
	result->lookup = mf_lookup_read(&mf_endpoints[MF_GET_REFUND_STATUS], exchange, &envelope,
									&result->not_sent, &result->error, &result->retry_after);
	if (result->lookup == MF_LOOKUP_FOUND && !read_refunds(envelope.data, result, &bad))
	{
		free_refunds(result);
		result->lookup = mf_lookup_unreadable(exchange, bad, &result->error);
	}
	mf_envelope_free(&envelope);
}

void
mf_refund_result_free(MfRefundResult *result)
{
	free_refunds(result);
	free(result->error);
	memset(result, 0, sizeof(*result));
	result->lookup = MF_LOOKUP_FAILED;
}
