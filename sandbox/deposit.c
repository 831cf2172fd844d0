/*
 * deposit.c
 *	  Deposits: what MyFatoorah pays out to the vendor and to suppliers.
 *
 * A deposit lists invoices. Refunds and fees are taken off its amount without
 * being listed, so that the list need not add up to the amount.
 */
#include "deposit.h"

#include <stdlib.h>

#include "refund.h"

static Deposit *oldest;
static Deposit *newest;
static int64_t next_number;

/*
 * deposit_reset
 *		Forget all deposits.
 */
void
deposit_reset(void)
{
	while (oldest != NULL)
	{
		Deposit *next = oldest->next;

		free(oldest->invoices);
		free(oldest);
		oldest = next;
	}
	newest = NULL;
}

/*
 * deposit_start_ids
 *		Start the ids that belong to a seed.
 */
void
deposit_start_ids(uint64_t seed)
{
	next_number = 1 + (int64_t) (hash_int(seed + 6) % 900);
}

/*
 * supplier_of
 *		The supplier's part of an invoice, or NULL.
 */
static Supplier *
supplier_of(const Invoice *inv, int64_t code)
{
	for (int i = 0; i < inv->data.supplier_count; i++)
		if (inv->data.suppliers[i].code == code)
			return &inv->data.suppliers[i];
	return NULL;
}

/*
 * deposit_share
 *		What an invoice brings a supplier, its proposed share if there is one;
 *		or, of 0, what is left of it for the vendor after fee and suppliers.
 *		Nothing until it is paid.
 */
Decimal
deposit_share(const Invoice *inv, int64_t supplier)
{
	const PaymentTry *paid = store_success(inv);
	Decimal left;

	if (paid == NULL)
		return (Decimal){0, 1};
	if (supplier != 0)
	{
		const Supplier *s = supplier_of(inv, supplier);

		return s == NULL                   ? (Decimal){0, 1}
			   : s->proposed_share.present ? s->proposed_share.value
										   : s->invoice_share;
	}
	left = decimal_sub(decimal_sub(paid->value, paid->charge), paid->vat);
	for (int i = 0; i < inv->data.supplier_count; i++)
		left = decimal_sub(left, deposit_share(inv, inv->data.suppliers[i].code));
	return left;
}

/*
 * deposit_is_due
 *		Is there something of the invoice that was not paid out yet?
 */
bool
deposit_is_due(const Invoice *inv, const DepositOrder *order)
{
	const Supplier *s = order->supplier != 0 ? supplier_of(inv, order->supplier) : NULL;

	if (inv->account != order->account || store_success(inv) == NULL)
		return false;
	return order->supplier != 0 ? s != NULL && s->deposit == NULL : inv->deposit == NULL;
}

/*
 * take_refunds
 *		The sum of the refunds that no deposit has taken off yet; now one has.
 */
static Decimal
take_refunds(const DepositOrder *order)
{
	Decimal sum = {0, 3};

	if (!order->refunds || order->supplier != 0)
		return sum;
	for (Refund *r = refund_first(); r != NULL; r = r->next)
		if (r->invoice->account == order->account && r->status == REFUND_DONE && !r->deducted)
		{
			sum = decimal_add(sum, refund_by_vendor(r));
			r->deducted = true;
		}
	return sum;
}

/*
 * deposit_make
 *		Pay out invoices, all of them due. The list is taken over.
 */
Deposit *
deposit_make(const DepositOrder *order, Invoice **invoices, int count)
{
	Deposit *d = xcalloc(1, sizeof(Deposit));

	d->account = order->account;
	d->number = next_number++;
	d->supplier = order->supplier;
	d->at = clock_now();
	d->itemised = (Decimal){0, 3};
	d->fees = order->fees;
	d->refunds = take_refunds(order);
	d->count = count;
	d->invoices = invoices;
	for (int i = 0; i < count; i++)
	{
		d->itemised = decimal_add(d->itemised, deposit_share(invoices[i], d->supplier));
		if (d->supplier != 0)
			supplier_of(invoices[i], d->supplier)->deposit = d;
		else
			invoices[i]->deposit = d;
	}
	d->announced = decimal_sub(decimal_sub(d->itemised, d->refunds), d->fees);
	if (newest != NULL)
		newest->next = d;
	else
		oldest = d;
	newest = d;
	return d;
}

/*
 * deposit_first, deposit_by_reference
 *		Look-ups; NULL if there is none.
 */
Deposit *
deposit_first(void)
{
	return oldest;
}

Deposit *
deposit_by_reference(Str reference)
{
	for (Deposit *d = oldest; d != NULL; d = d->next)
	{
		Buf own = {0};
		bool match;

		buf_put_deposit_reference(&own, d);
		match = str_equal(reference, (Str){own.data + 1, own.len - 2});
		buf_free(&own);
		if (match)
			return d;
	}
	return NULL;
}

/*
 * buf_put_deposit_reference
 *		Append DepositReference, "2026000006", in quotes.
 */
void
buf_put_deposit_reference(Buf *b, const Deposit *deposit)
{
	buf_printf(b, "\"%d%06lld\"", local_time(deposit->at).year, (long long) deposit->number);
}
