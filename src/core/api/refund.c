/*
 * refund.c
 *	  GetRefundStatus: the refunds of an invoice.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/api/refund.c
 */
#include "core/api/refund.h"

static bool check(char **values, const char **bad);

static const MfField fields[MF_RF_COUNT] = {
	[MF_RF_REFUND_ID] = {"RefundId", "refund_id", MF_INTEGER, true},
	[MF_RF_REFUND_STATUS] = {"RefundStatus", "refund_status", MF_TEXT, true},
	[MF_RF_INVOICE_ID] = {"InvoiceId", "invoice_id", MF_INTEGER, true},
	[MF_RF_AMOUNT] = {"Amount", "amount", MF_DECIMAL, true},
	[MF_RF_REFUND_AMOUNT] = {"RefundAmount", "refund_amount", MF_DECIMAL, true},
	[MF_RF_REFUND_REFERENCE] = {"RefundReference", "refund_reference", MF_TEXT, false},
	[MF_RF_EXTERNAL_IDENTIFIER] = {"ExternalIdentifier", "external_identifier", MF_TEXT, false},
	[MF_RF_RRN] = {"RRN", "rrn", MF_TEXT, false},
	[MF_RF_BASE_CURRENCY] = {"BaseCurrency", "base_currency", MF_TEXT, false},
};

const MfList mf_refund_list = {MF_GET_REFUND_STATUS, "RefundStatusResult", fields, MF_RF_COUNT, false, NULL, check};

static bool
check(char **values, const char **bad)
{
	mf_values_drop_empty(values, MF_RF_COUNT);

	/* every sample has Amount; without it, what the payer gets is the closest amount known */
	if (values[MF_RF_AMOUNT] == NULL)
	{
		values[MF_RF_AMOUNT] = values[MF_RF_REFUND_AMOUNT];
		values[MF_RF_REFUND_AMOUNT] = NULL;
	}
	*bad = values[MF_RF_REFUND_ID] == NULL || values[MF_RF_REFUND_ID][0] == '-' ? "RefundId" :
		values[MF_RF_INVOICE_ID] != NULL && values[MF_RF_INVOICE_ID][0] == '-' ? "InvoiceId" :
		values[MF_RF_REFUND_STATUS] == NULL ? "RefundStatus" :
		values[MF_RF_AMOUNT] == NULL ? "Amount" : NULL;
	return *bad == NULL;
}
