/*
 * operation.c
 *	  Requests about invoices that were paid: MakeRefund, MakeSupplierRefund,
 *	  UpdatePaymentStatus.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/api/operation.c
 */
#include "core/api/operation.h"

#include "core/api/api.h"
#include "core/text/ascii.h"

/* What MakeRefund says while another refund of the payment is pending */
#define UNDER_PROCESSING "already under processing"

char *
mf_refund_body(const MfRefundRequest *request, size_t *len)
{
	static const MfField fields[] = {
		{"KeyType", "key_type", MF_TEXT, false},
		{"Key", "key", MF_TEXT, false},
		{"Amount", "amount", MF_DECIMAL, false},
		{"ServiceChargeOnCustomer", "charge_on_customer", MF_JSON, false},
		{"VendorDeductAmount", "vendor_amount", MF_DECIMAL, false},
		{"Suppliers", "suppliers", MF_JSON, false},
		{"Comment", "comment", MF_TEXT, false},
		{"ExternalIdentifier", "reference", MF_TEXT, false},
	};
	bool		shared = request->suppliers != NULL;
	const char *values[] = {
		request->key_type, request->key, shared ? NULL : request->amount,
		shared ? NULL : request->charge_on_customer ? "true" : "false",
		shared ? request->vendor_amount : NULL, request->suppliers, request->comment, request->reference
	};

	return mf_fields_body(fields, sizeof(fields) / sizeof(fields[0]), values, len);
}

char *
mf_update_payment_body(const char *operation, const char *invoice_id, const char *amount, size_t *len)
{
	static const MfField fields[] = {
		{"Operation", "operation", MF_TEXT, false},
		{"KeyType", "key_type", MF_TEXT, false},
		{"Key", "key", MF_TEXT, false},
		{"Amount", "amount", MF_DECIMAL, false},
	};
	const char *values[] = {operation, "InvoiceId", invoice_id, amount};

	return mf_fields_body(fields, sizeof(fields) / sizeof(fields[0]), values, len);
}

bool
mf_refund_is_early(const char *error)
{
	return mf_has_phrase(error, UNDER_PROCESSING);
}
