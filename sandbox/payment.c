/*
 * payment.c
 *	  What may happen to an invoice, from its page or from the control path.
 */
#include "server.h"

static bool has_try(const Invoice *inv, TryStatus status);
static const char *why_not_payable(const Invoice *inv, const PaymentOrder *order);
static PaymentTry *capture(Invoice *inv, const PaymentOrder *order, const char **refusal);

/*
 * has_try
 *		Did a try end that way?
 */
static bool
has_try(const Invoice *inv, TryStatus status)
{
	for (const PaymentTry *t = inv->tries; t != NULL; t = t->next)
		if (t->status == status)
			return true;
	return false;
}

/*
 * why_not_payable
 *		The reason why the page takes no money now, or NULL.
 */
static const char *
why_not_payable(const Invoice *inv, const PaymentOrder *order)
{
	if (order->force)
		return NULL;
	if (strcmp(inv->status, "Canceled") == 0)
		return "the invoice is canceled";
	if (store_is_paid(inv) && !order->duplicate)
		return "the invoice is paid";
	if (store_is_expired(inv))
		return "the invoice is expired";
	return NULL;
}

/*
 * capture
 *		Take an authorised amount, or part of it, which becomes the invoice's
 *		value. Locked.
 */
static PaymentTry *
capture(Invoice *inv, const PaymentOrder *order, const char **refusal)
{
	Decimal amount = order->has_amount ? order->amount : inv->value;

	if (!has_try(inv, TRY_AUTHORIZED) || has_try(inv, TRY_CANCELED) || store_is_paid(inv))
	{
		*refusal = "there is nothing to capture";
		return NULL;
	}
	if (decimal_sign(amount) <= 0 || decimal_compare(amount, inv->value) > 0)
	{
		*refusal = "the amount must be above 0 and at most the invoice value";
		return NULL;
	}
	inv->value = amount;
	if (inv->data.currency == inv->account->currency)
		inv->data.display_value = amount;
	return store_add_try(inv, TRY_SUCCESS, order->gateway, NULL, &amount);
}

/*
 * payment_act
 *		Do one of pay, fail, leave, authorize, capture, release, cancel, expire.
 *		The new try, if there is one; NULL with a refusal (static text) if the
 *		action is not possible, NULL without one if it makes no try. Locked.
 */
PaymentTry *
payment_act(Invoice *inv, Str action, const PaymentOrder *order, const char **refusal)
{
	*refusal = NULL;
	if (str_is(action, "cancel"))
	{
		if (store_is_paid(inv) && !order->force)
			*refusal = "the invoice is paid";
		else
			strcpy(inv->status, "Canceled");
		return NULL;
	}
	if (str_is(action, "expire"))
	{
		inv->expiry = clock_now();
		return NULL;
	}
	if (str_is(action, "capture"))
		return capture(inv, order, refusal);
	if (str_is(action, "release"))
	{
		if (!has_try(inv, TRY_AUTHORIZED) || has_try(inv, TRY_CANCELED) || store_is_paid(inv))
		{
			*refusal = "there is nothing to release";
			return NULL;
		}
		return store_add_try(inv, TRY_CANCELED, order->gateway, NULL, NULL);
	}

	*refusal = why_not_payable(inv, order);
	if (*refusal != NULL)
		return NULL;
	if (str_is(action, "pay"))
		return store_add_try(inv, inv->data.authorize_only ? TRY_AUTHORIZED : TRY_SUCCESS, order->gateway,
							 NULL, NULL);
	if (str_is(action, "authorize"))
		return store_add_try(inv, TRY_AUTHORIZED, order->gateway, NULL, NULL);
	if (str_is(action, "fail"))
		return store_add_try(inv, TRY_FAILED, order->gateway, order->error_code, NULL);
	if (str_is(action, "leave"))
		return store_add_try(inv, TRY_IN_PROGRESS, order->gateway, NULL, NULL);
	*refusal = "unknown action";
	return NULL;
}
