/*
 * refund.h
 *	  GetRefundStatus: the refunds of an invoice.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/api/refund.h
 */
#ifndef MF_REFUND_H
#define MF_REFUND_H

#include "core/api/outcome.h"

/* One refund of an invoice */
typedef struct MfRefund
{
	char	   *refund_id;		/* decimal digits */
	char	   *refund_status;	/* "Refunded", "Pending", "Canceled" */
	char	   *invoice_id;		/* decimal digits; may be NULL */
	char	   *amount;			/* Amount, else RefundAmount, which is less if
								 * the payer bears the fee: plain decimal */

	/* NULL = not named, as for the next ones */
	char	   *refund_reference;
	char	   *external_identifier;	/* of whoever has asked for it */
	char	   *refund_amount;	/* what the payer gets */
	char	   *rrn;
	char	   *base_currency;	/* of the amounts */
} MfRefund;

typedef struct MfRefundResult
{
	MfLookup	lookup; 		/* MF_LOOKUP_FOUND, even if there is no refund */
	bool		not_sent;
	MfRefund   *refunds;		/* NULL if there are none */
	int			count;
	char	   *error;			/* one line, NULL only if found */
	int			retry_after;	/* seconds, 0 if the answer names none */
} MfRefundResult;

/*
 * Parses the answer as mf_status_result_read() does; free with
 * mf_refund_result_free(). A refund without a number, a status or an amount
 * makes the whole answer unreadable (MF_LOOKUP_FAILED).
 *
 * "No data match the provided values" is MF_LOOKUP_NOT_FOUND here, not "no
 * refund": the documentation does not say whether MyFatoorah answers so for
 * an invoice without refunds, or only for one that does not exist.  A caller
 * who knows that the invoice exists may take it for "no refund".
 */
extern void mf_refund_result_read(const MfHttpExchange *exchange, MfRefundResult *result);
extern void mf_refund_result_free(MfRefundResult *result);

#endif							/* MF_REFUND_H */
