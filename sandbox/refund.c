/*
 * refund.c
 *	  Refunds: requests that somebody at MyFatoorah decides.
 */
#include "refund.h"

#include <stdio.h>
#include <stdlib.h>

static Refund *oldest;
static Refund *newest;
static int64_t next_id;
static int64_t next_number;

/*
 * refund_reset
 *		Forget all refunds.
 */
void
refund_reset(void)
{
	while (oldest != NULL)
	{
		Refund *next = oldest->next;

		free(oldest->comment);
		free(oldest->external);
		free(oldest);
		oldest = next;
	}
	newest = NULL;
}

/*
 * refund_start_ids
 *		Start the ids that belong to a seed.
 */
void
refund_start_ids(uint64_t seed)
{
	next_id = 200000 + (int64_t) (hash_int(seed + 4) % 100000);
	next_number = 10 + (int64_t) (hash_int(seed + 5) % 3000);
}

/*
 * refund_remaining
 *		What of an invoice may still be refunded: of all its payments, if there
 *		are several.
 */
Decimal
refund_remaining(const Invoice *inv)
{
	Decimal received = {0, inv->value.scale};

	for (const PaymentTry *t = inv->tries; t != NULL; t = t->next)
		if (t->status == TRY_SUCCESS)
			received = decimal_add(received, t->value);
	return decimal_sub(received, inv->refunded);
}

/*
 * refund_add
 *		File a request; it is pending. NULL with a refusal (static text): the
 *		invoice must be paid and the amount left. Texts are copied.
 */
Refund *
refund_add(Invoice *inv, Decimal amount, Str comment, Str external, Decimal from_supplier,
		   const char **refusal)
{
	PaymentTry *paid = NULL;
	Refund *refund;

	for (PaymentTry *t = inv->tries; t != NULL; t = t->next)
		if (t->status == TRY_SUCCESS)
			paid = t;
	*refusal = NULL;
	if (paid == NULL)
		*refusal = "The invoice is not paid";
	else if (decimal_sign(amount) <= 0)
		*refusal = "Amount must be more than 0";
	else if (decimal_compare(amount, refund_remaining(inv)) > 0)
		*refusal = "Amount exceeds the remaining value of the invoice";
	else if (decimal_sign(from_supplier) < 0 || decimal_compare(from_supplier, amount) > 0)
		*refusal = "AmountDeductedFromSupplier exceeds the amount";
	if (*refusal != NULL)
		return NULL;
	refund = xcalloc(1, sizeof(Refund));
	refund->invoice = inv;
	refund->paid = paid;
	refund->id = next_id;
	next_id += 2;
	refund->number = next_number++;
	refund->own_invoice_id = store_take_invoice_id();
	refund->amount = amount;
	refund->from_supplier = from_supplier;
	refund->comment = comment.data != NULL ? xstrndup(comment.data, comment.len) : NULL;
	refund->external = external.data != NULL ? xstrndup(external.data, external.len) : NULL;
	refund->created = clock_now();
	inv->refunded = decimal_add(inv->refunded, amount);
	if (newest != NULL)
		newest->next = refund;
	else
		oldest = refund;
	newest = refund;
	return refund;
}

/*
 * refund_decide
 *		Approve or reject a request; false if that was done before.
 */
bool
refund_decide(Refund *refund, bool approve)
{
	LocalTime lt;

	if (refund->status != REFUND_PENDING)
		return false;
	refund->decided = clock_now();
	refund->status = approve ? REFUND_DONE : REFUND_REJECTED;
	if (approve)
	{
		lt = local_time(refund->decided);
		snprintf(refund->rrn, sizeof(refund->rrn), "%d%03d%02d%06d", lt.year % 10, lt.day_of_year, lt.hour,
				 (int) (hash_int((uint64_t) refund->id) % 1000000));
	}
	else
		refund->invoice->refunded = decimal_sub(refund->invoice->refunded, refund->amount);
	return true;
}

/*
 * refund_by_id, refund_first
 *		Look-ups; NULL if there is none.
 */
Refund *
refund_by_id(int64_t id)
{
	for (Refund *r = oldest; r != NULL; r = r->next)
		if (r->id == id)
			return r;
	return NULL;
}

Refund *
refund_first(void)
{
	return oldest;
}

/*
 * refund_status_word
 *		MyFatoorah's words; Canceled is what it calls a rejected one.
 */
const char *
refund_status_word(RefundStatus status)
{
	static const char *const words[] = {"Pending", "Refunded", "Canceled"};

	return words[status];
}

/*
 * buf_put_refund_reference
 *		Append RefundReference, "2026000012", in quotes.
 */
void
buf_put_refund_reference(Buf *b, const Refund *refund)
{
	buf_printf(b, "\"%d%06lld\"", local_time(refund->created).year, (long long) refund->number);
}
