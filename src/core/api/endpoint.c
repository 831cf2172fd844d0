/*
 * endpoint.c
 *	  All endpoints of MyFatoorah that we call, in one table.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/api/endpoint.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE				/* asprintf() */
#endif
#include "core/api/endpoint.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/text/text.h"

#define POST_DATA MF_HTTP_POST, .shape = MF_SHAPE_DATA
#define GET_DATA MF_HTTP_GET, .shape = MF_SHAPE_DATA
#define REFUND_MEMBERS .id = "RefundId", .echo = "ExternalIdentifier", \
	.traces = {"RefundId", "RefundReference", "RefundInvoiceId"}

const MfEndpoint mf_endpoints[MF_ENDPOINT_COUNT] = {
	[MF_SEND_PAYMENT] = {"SendPayment", POST_DATA, .path = "/v2/SendPayment", .effect = MF_EFFECT_CREATES,
		.id = "InvoiceId", .url = "InvoiceURL", .echo = "CustomerReference",
	.traces = {"InvoiceId", "InvoiceURL", "InvoiceReference"}},
	[MF_EXECUTE_PAYMENT] = {"ExecutePayment", POST_DATA, .path = "/v2/ExecutePayment", .effect = MF_EFFECT_CREATES,
		.id = "InvoiceId", .url = "PaymentURL", .echo = "CustomerReference",
	.traces = {"InvoiceId", "PaymentURL", "InvoiceReference", "RecurringId"}},
	[MF_V3_CREATE_PAYMENT] = {"Create Payment", POST_DATA, .path = "/v3/payments", .effect = MF_EFFECT_CREATES,
		.idempotency_key = true, .id = "InvoiceId", .id_is_text = true, .url = "PaymentURL", .url_is_needed = true,
		.completed = "PaymentCompleted", .echo = "ExternalIdentifier", .echo_is_loose = true,
	.traces = {"InvoiceId", "PaymentId", "PaymentURL", "TransactionDetails"}},
	[MF_MAKE_REFUND] = {"MakeRefund", POST_DATA, .path = "/v2/MakeRefund", .effect = MF_EFFECT_CREATES,
	.idempotency_key = true, REFUND_MEMBERS},
	[MF_MAKE_SUPPLIER_REFUND] = {"MakeSupplierRefund", POST_DATA, .path = "/v2/MakeSupplierRefund",
	.effect = MF_EFFECT_CREATES, .idempotency_key = true, REFUND_MEMBERS},

	[MF_UPDATE_PAYMENT_STATUS] = {"UpdatePaymentStatus", POST_DATA, .path = "/v2/UpdatePaymentStatus",
		.effect = MF_EFFECT_CHANGES, .id = "InvoiceId",
	.traces = {"InvoiceStatus", "InvoiceTransactions"}},
	[MF_CANCEL_RECURRING_PAYMENT] = {"CancelRecurringPayment", MF_HTTP_POST, .shape = MF_SHAPE_BOOLEAN,
	.path = "/v2/CancelRecurringPayment?recurringId=", .effect = MF_EFFECT_CHANGES},
	[MF_RESUME_RECURRING_PAYMENT] = {"ResumeRecurringPayment", MF_HTTP_POST, .shape = MF_SHAPE_BOOLEAN,
	.path = "/v2/ResumeRecurringPayment?recurringId=", .effect = MF_EFFECT_CHANGES},

	[MF_GET_PAYMENT_STATUS] = {"GetPaymentStatus", POST_DATA, .path = "/v2/GetPaymentStatus"},
	[MF_GET_REFUND_STATUS] = {"GetRefundStatus", POST_DATA, .path = "/v2/GetRefundStatus"},
	[MF_GET_WEBHOOKS] = {"GetWebhooks", POST_DATA, .path = "/v2/GetWebhooks"},
	[MF_GET_DEPOSITED_INVOICES] = {"GetDepositedInvoices", POST_DATA, .path = "/v2/GetDepositedInvoices",
	.large = true},
	[MF_INITIATE_PAYMENT] = {"InitiatePayment", POST_DATA, .path = "/v2/InitiatePayment"},
	[MF_GET_EXCHANGE_RATES] = {"GetCurrenciesExchangeList", MF_HTTP_GET, .path = "/v2/GetCurrenciesExchangeList",
	.shape = MF_SHAPE_BARE_ARRAY},
	[MF_GET_RECURRING_PAYMENT] = {"GetRecurringPayment", GET_DATA, .path = "/v2/GetRecurringPayment",
	.large = true},
	[MF_GET_SUPPLIERS] = {"GetSuppliers", MF_HTTP_GET, .path = "/v2/GetSuppliers", .shape = MF_SHAPE_BARE_ARRAY},
};

char *
mf_endpoint_path(const MfEndpoint *endpoint, const char *value)
{
	char	   *encoded = mf_url_encode(value != NULL ? value : "");
	char	   *path = NULL;

	if (encoded != NULL && asprintf(&path, "%s%s", endpoint->path, encoded) < 0)
		path = NULL;
	free(encoded);
	return path;
}
