/*
 * operation_sums.h
 *	  SQL expressions: what can still be refunded of an invoice, or of a payment.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/operation_sums.h
 */
#ifndef MF_OPERATION_SUMS_H
#define MF_OPERATION_SUMS_H

#include "store/operations.h"

/*
 * What a refund "r" takes: what was asked for, or what is in the books under its
 * RefundId, if that is more.
 */
#define MF_REFUND_TAKES(r) \
	"greatest(" r ".value, (SELECT -sum(b.amount) FROM @mf_money b WHERE b.invoice = " r ".invoice AND b.kind = 'refund' " \
	"    AND b.source = " r ".refund_id::text))"

/*
 * Of the invoice "i": what was received, less chargebacks, refunds that live, and
 * refunds in the books that no row has; 0 if that is more.  "others" may leave out rows "r".
 */
#define MF_INVOICE_LEFT(i, others) \
	"greatest(" i ".received_value + coalesce((SELECT sum(m.amount) FROM @mf_money m WHERE m.invoice = " i ".id " \
	"    AND (m.kind = 'chargeback' OR (m.kind = 'refund' AND NOT EXISTS (SELECT FROM @mf_operation k " \
	"      WHERE k.invoice = m.invoice AND k.refund_id::text = m.source AND " MF_OPERATION_LIVES("k") ")))), 0) " \
	"  - coalesce((SELECT sum(" MF_REFUND_TAKES("r") ") FROM @mf_operation r WHERE r.invoice = " i ".id AND r.kind = 'refund' " \
	"    AND " MF_OPERATION_LIVES("r") " " others "), 0), 0)"

/* The same of one payment, by the rows that name it; null if there is no such payment */
#define MF_PAYMENT_LEFT(invoice, payment_id, others) \
	"(SELECT greatest(sum(m.amount) - coalesce((SELECT sum(" MF_REFUND_TAKES("r") ") FROM @mf_operation r " \
	"    WHERE r.invoice = " invoice " AND r.kind = 'refund' AND r.payment_id = " payment_id " " \
	"      AND " MF_OPERATION_LIVES("r") " " others "), 0), 0) " \
	"  FROM @mf_money m WHERE m.invoice = " invoice " AND m.payment_id = " payment_id " AND m.kind IN ('payment', 'chargeback') " \
	"  HAVING count(*) > 0)"

#endif							/* MF_OPERATION_SUMS_H */
