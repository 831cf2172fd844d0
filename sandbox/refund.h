/*
 * refund.h
 *	  Refunds: requests that somebody at MyFatoorah decides.
 *
 * All functions want the store's lock held.
 */
#ifndef SANDBOX_REFUND_H
#define SANDBOX_REFUND_H

#include "store.h"

typedef enum RefundStatus
{
	REFUND_PENDING,
	REFUND_DONE,
	REFUND_REJECTED
} RefundStatus;

typedef struct Refund
{
	struct Refund *next; /* in order of creation */
	Invoice *invoice; /* the one refunded */
	PaymentTry *paid; /* its payment */
	int64_t id;
	int64_t number; /* digits of RefundReference after the year */
	int64_t own_invoice_id;
	RefundStatus status;
	Decimal amount;
	Decimal from_supplier;
	char *comment; /* NULL: none */
	char *external; /* NULL: none */
	Ticks created;
	Ticks decided;
	char rrn[16];
} Refund;

extern void refund_reset(void);
extern void refund_start_ids(uint64_t seed);
extern Refund *refund_add(Invoice *inv, Decimal amount, Str comment, Str external, Decimal from_supplier,
						  const char **refusal);
extern bool refund_decide(Refund *refund, bool approve);
extern Refund *refund_by_id(int64_t id);
extern Refund *refund_first(void);
extern Decimal refund_remaining(const Invoice *inv);
extern const char *refund_status_word(RefundStatus status);
extern void buf_put_refund_reference(Buf *b, const Refund *refund);

#endif
