/*
 * refund.h
 *	  Refunds: requests that somebody at MyFatoorah decides.
 *
 * All functions want the store's lock held.
 */
#ifndef SANDBOX_REFUND_H
#define SANDBOX_REFUND_H

#include "store.h"

#define MAX_REFUND_SHARES 100

typedef enum RefundStatus
{
	REFUND_PENDING,
	REFUND_DONE,
	REFUND_REJECTED
} RefundStatus;

/* What a supplier bears of a refund */
typedef struct RefundShare
{
	int64_t code;
	Decimal amount;
} RefundShare;

/* What a request asks for. */
typedef struct RefundOrder
{
	Decimal amount; /* all of it */
	Str comment;
	Str external;
	bool charge_on_customer;
	bool by_suppliers; /* asked for by MakeSupplierRefund */
	int share_count;
	RefundShare shares[MAX_REFUND_SHARES];
} RefundOrder;

typedef struct Refund
{
	struct Refund *next; /* in order of creation */
	struct Refund *next_of_invoice;
	Invoice *invoice; /* the one refunded */
	PaymentTry *paid; /* its payment */
	int64_t id;
	int64_t number; /* digits of RefundReference after the year */
	int64_t own_invoice_id;
	RefundStatus status;
	Decimal amount;
	Decimal given_back; /* to the payer */
	bool by_suppliers;
	int share_count;
	RefundShare *shares;
	char *comment; /* NULL: none */
	char *external; /* NULL: none */
	Ticks created;
	Ticks decided;
	char rrn[16];
	bool deducted; /* from a deposit */
	int64_t hidden_reads; /* GetRefundStatus does not see it yet */
	int64_t hidden_until_us;
} Refund;

extern void refund_reset(void);
extern void refund_start_ids(uint64_t seed);
extern Refund *refund_add(Invoice *inv, const RefundOrder *order, const char **member, const char **refusal);
extern void refund_forget(Refund *refund);
extern bool refund_decide(Refund *refund, bool approve);
extern bool refund_is_hidden(Refund *refund);
extern Refund *refund_by_id(int64_t id);
extern Refund *refund_by_reference(Str reference);
extern Refund *refund_first(void);
extern Decimal refund_remaining(const Invoice *inv);
extern Decimal refund_by_vendor(const Refund *refund);
extern const char *refund_status_word(RefundStatus status);
extern void buf_put_refund_reference(Buf *b, const Refund *refund);

#endif
