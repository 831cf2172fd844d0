/*
 * refund.h
 *	  GetRefundStatus: the refunds of an invoice.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/api/refund.h
 */
#ifndef MF_REFUND_H
#define MF_REFUND_H

#include "core/api/lists.h"

/* Members of a refund: positions in the fields of mf_refund_list */
typedef enum MfRefundField
{
	MF_RF_REFUND_ID,			/* decimal digits */
	MF_RF_REFUND_STATUS,		/* "Refunded", "Pending", "Canceled" */
	MF_RF_INVOICE_ID,			/* decimal digits; may be NULL */
	MF_RF_AMOUNT,				/* what was requested, and is deducted from the invoice; if it is not named,
								 * RefundAmount */

	/* NULL = not named, as for the next ones */
	MF_RF_REFUND_AMOUNT,		/* what the payer gets of it; less if the payer bears the fee */
	MF_RF_REFUND_REFERENCE,
	MF_RF_EXTERNAL_IDENTIFIER,	/* of whoever has asked for it */
	MF_RF_RRN,
	MF_RF_BASE_CURRENCY,		/* of the amounts */
	MF_RF_COUNT
} MfRefundField;

/*
 * The refunds of an invoice.  One without a number, a status or an amount makes the whole
 * answer unreadable.
 *
 * "No data match the provided values" is MF_LOOKUP_NOT_FOUND here, not "no
 * refund": the documentation does not say whether MyFatoorah answers so for
 * an invoice without refunds, or only for one that does not exist.  A caller
 * who knows that the invoice exists may take it for "no refund".
 */
extern const MfList mf_refund_list;

#endif							/* MF_REFUND_H */
