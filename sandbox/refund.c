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
 * free_refund
 *		Free a refund that is in no list any more.
 */
static void
free_refund(Refund *refund)
{
	free(refund->shares);
	free(refund->comment);
	free(refund->external);
	free(refund);
}

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

		free_refund(oldest);
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
 * is_pending
 *		Does a refund of the invoice wait for a decision?
 */
static bool
is_pending(const Invoice *inv)
{
	for (const Refund *r = inv->refunds; r != NULL; r = r->next_of_invoice)
		if (r->status == REFUND_PENDING)
			return true;
	return false;
}

/*
 * payer_fee
 *		What MyFatoorah keeps of a refund whose fee the payer bears: what the
 *		account is set to, else as much as of a payment.
 */
static Decimal
payer_fee(const Invoice *inv, const RefundOrder *order)
{
	const AccountSettings *s = account_settings(inv->account);
	Decimal fee = s->refund_fee.value;

	if (!order->charge_on_customer)
		return (Decimal){0, 0};
	if (!s->refund_fee.present &&
		!decimal_scale_by(order->amount, (Decimal){22425, 6}, (Decimal){1, 0}, 3, &fee))
		return (Decimal){0, 0};
	return decimal_compare(fee, order->amount) > 0 ? order->amount : fee;
}

/*
 * why_not_shared
 *		Why suppliers cannot bear what is asked of them (static text), or NULL.
 */
static const char *
why_not_shared(const Invoice *inv, const RefundOrder *order)
{
	for (int i = 0; i < order->share_count; i++)
	{
		const Supplier *supplier = NULL;

		if (decimal_sign(order->shares[i].amount) < 0)
			return "SupplierDeductedAmount must not be negative";
		for (int j = 0; j < inv->data.supplier_count; j++)
			if (inv->data.suppliers[j].code == order->shares[i].code)
				supplier = &inv->data.suppliers[j];
		if (supplier == NULL)
			return "The supplier has no share of the invoice";
		if (decimal_compare(order->shares[i].amount, supplier->invoice_share) > 0)
			return "SupplierDeductedAmount exceeds the share of the supplier";
	}
	return NULL;
}

/*
 * why_not
 *		Why a refund is not accepted, and the member to blame (static texts);
 *		or NULL.
 */
static const char *
why_not(const Invoice *inv, const RefundOrder *order, const char **member)
{
	const AccountSettings *s = account_settings(inv->account);
	Decimal by_vendor = order->amount;
	const char *refusal = why_not_shared(inv, order);

	for (int i = 0; i < order->share_count; i++)
		by_vendor = decimal_sub(by_vendor, order->shares[i].amount);
	*member = "Amount";
	if (store_success(inv) == NULL)
		return "The invoice is not paid";
	if (decimal_sign(order->amount) <= 0)
		return "Amount must be more than 0";
	if (s->one_refund_at_a_time && is_pending(inv))
	{
		*member = "Key";
		return "The transaction is already under processing!";
	}
	if (decimal_compare(order->amount, refund_remaining(inv)) > 0)
		return "Amount exceeds the remaining value of the invoice";
	if (s->balance.present && decimal_compare(by_vendor, s->balance.value) > 0)
		return "Insufficient balance for vendor";
	if (refusal != NULL)
		*member = "Suppliers";
	return refusal;
}

/*
 * refund_add
 *		File a request; it is pending. NULL with a refusal and the member to
 *		blame (static texts). Texts are copied.
 */
Refund *
refund_add(Invoice *inv, const RefundOrder *order, const char **member, const char **refusal)
{
	AccountSettings *s = account_settings(inv->account);
	Refund **end = &inv->refunds;
	Refund *refund;

	*refusal = why_not(inv, order, member);
	if (*refusal != NULL)
		return NULL;
	refund = xcalloc(1, sizeof(Refund));
	refund->invoice = inv;
	refund->paid = store_success(inv);
	refund->id = next_id;
	next_id += 2;
	refund->number = next_number++;
	refund->own_invoice_id = store_take_invoice_id();
	refund->amount = order->amount;
	refund->given_back = decimal_sub(order->amount, payer_fee(inv, order));
	refund->by_suppliers = order->by_suppliers;
	refund->share_count = order->share_count;
	if (order->share_count > 0)
	{
		refund->shares = xmalloc((size_t) order->share_count * sizeof(RefundShare));
		memcpy(refund->shares, order->shares, (size_t) order->share_count * sizeof(RefundShare));
	}
	refund->comment = order->comment.data != NULL ? xstrndup(order->comment.data, order->comment.len) : NULL;
	refund->external =
		order->external.data != NULL ? xstrndup(order->external.data, order->external.len) : NULL;
	refund->created = clock_now();
	refund->hidden_reads = s->refund_hidden_reads;
	refund->hidden_until_us = s->refund_hidden_ms > 0 ? monotonic_us() + s->refund_hidden_ms * 1000 : 0;
	inv->refunded = decimal_add(inv->refunded, order->amount);
	if (s->balance.present)
		s->balance.value = decimal_sub(s->balance.value, refund_by_vendor(refund));
	if (newest != NULL)
		newest->next = refund;
	else
		oldest = refund;
	newest = refund;
	while (*end != NULL)
		end = &(*end)->next_of_invoice;
	*end = refund;
	return refund;
}

/*
 * refund_forget
 *		Take the newest refund back, as if it had not been asked for.
 */
void
refund_forget(Refund *refund)
{
	Invoice *inv = refund->invoice;
	AccountSettings *s = account_settings(inv->account);
	Refund **link = &inv->refunds;
	Refund *before = NULL;

	for (Refund *r = oldest; r != refund; r = r->next)
		before = r;
	newest = before;
	if (before != NULL)
		before->next = NULL;
	else
		oldest = NULL;
	while (*link != refund)
		link = &(*link)->next_of_invoice;
	*link = NULL;
	inv->refunded = decimal_sub(inv->refunded, refund->amount);
	if (s->balance.present)
		s->balance.value = decimal_add(s->balance.value, refund_by_vendor(refund));
	free_refund(refund);
}

/*
 * refund_is_hidden
 *		Does GetRefundStatus not see the refund yet? Counts the read.
 */
bool
refund_is_hidden(Refund *refund)
{
	if (refund->hidden_reads > 0)
	{
		refund->hidden_reads--;
		return true;
	}
	return refund->hidden_until_us > 0 && monotonic_us() < refund->hidden_until_us;
}

/*
 * refund_by_vendor
 *		What of a refund no supplier bears.
 */
Decimal
refund_by_vendor(const Refund *refund)
{
	Decimal left = refund->amount;

	for (int i = 0; i < refund->share_count; i++)
		left = decimal_sub(left, refund->shares[i].amount);
	return left;
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
	{
		AccountSettings *s = account_settings(refund->invoice->account);

		refund->invoice->refunded = decimal_sub(refund->invoice->refunded, refund->amount);
		if (s->balance.present)
			s->balance.value = decimal_add(s->balance.value, refund_by_vendor(refund));
	}
	return true;
}

/*
 * refund_by_id, refund_by_reference, refund_first
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
refund_by_reference(Str reference)
{
	for (Refund *r = oldest; r != NULL; r = r->next)
	{
		Buf own = {0};
		bool match;

		buf_put_refund_reference(&own, r);
		match = str_equal(reference, (Str){own.data + 1, own.len - 2});
		buf_free(&own);
		if (match)
			return r;
	}
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
