/*
 * operation.h
 *	  Requests about invoices that were paid: MakeRefund, MakeSupplierRefund,
 *	  UpdatePaymentStatus.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/api/operation.h
 */
#ifndef MF_OPERATION_API_H
#define MF_OPERATION_API_H

#include <stdbool.h>
#include <stddef.h>

/* A refund; text is UTF-8, amounts are decimal text */
typedef struct MfRefundRequest
{
	const char *key;
	const char *key_type;		/* "InvoiceId", "PaymentId" */
	const char *amount;
	bool		charge_on_customer;
	const char *comment;		/* NULL = none */
	const char *reference;		/* ExternalIdentifier */
	const char *suppliers;		/* JSON; NULL = MakeRefund */
	const char *vendor_amount;	/* with suppliers: what they do not bear */
} MfRefundRequest;

/* Builds the body, malloc'd; NULL when out of memory or when a value is not valid. */
extern char *mf_refund_body(const MfRefundRequest *request, size_t *len);

/*
 * Likewise the body of UpdatePaymentStatus about an invoice: "Capture" with an amount, "Release" with NULL.
 */
extern char *mf_update_payment_body(const char *operation, const char *invoice_id, const char *amount, size_t *len);

/*
 * Whether a refusal says that another refund of the payment is being processed: nothing
 * was filed, and the same request may succeed later.
 */
extern bool mf_refund_is_early(const char *error);

#endif							/* MF_OPERATION_API_H */
