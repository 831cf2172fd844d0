/*
 * payment.c
 *	  What may happen to an invoice, from its page or from the control path.
 */
#include "server.h"

/* How long GetPaymentStatus does not see a payment. */
static int64_t lag_reads;
static int64_t lag_ms;

/*
 * find_try
 *		The last try that ended that way, or NULL.
 */
static PaymentTry *
find_try(const Invoice *inv, TryStatus status)
{
	PaymentTry *found = NULL;

	for (PaymentTry *t = inv->tries; t != NULL; t = t->next)
		if (t->status == status)
			found = t;
	return found;
}

/*
 * payment_set_lag, payment_put_lag
 *		Have GetPaymentStatus read Pending so many times, or so long, after
 *		every payment from now on: {"reads":N,"ms":M}; without members, or NULL,
 *		not at all. False if it is no such thing. Locked.
 */
bool
payment_set_lag(const cJSON *json)
{
	const cJSON *reads = cJSON_GetObjectItemCaseSensitive(json, "reads");
	const cJSON *ms = cJSON_GetObjectItemCaseSensitive(json, "ms");

	if ((reads != NULL && (!cJSON_IsNumber(reads) || reads->valuedouble < 0)) ||
		(ms != NULL && (!cJSON_IsNumber(ms) || ms->valuedouble < 0)))
		return false;
	lag_reads = reads != NULL ? reads->valueint : 0;
	lag_ms = ms != NULL ? ms->valueint : 0;
	return true;
}

void
payment_put_lag(Buf *b)
{
	buf_printf(b, "{\"reads\":%lld,\"ms\":%lld}", (long long) lag_reads, (long long) lag_ms);
}

/*
 * is_stale
 *		Does this read not see the payment yet? Counts the read. Locked.
 */
static bool
is_stale(Invoice *inv)
{
	if (inv->last_try == NULL || inv->last_try->status != TRY_SUCCESS)
		return false;
	if (inv->stale_reads > 0)
	{
		inv->stale_reads--;
		return true;
	}
	return monotonic_us() < inv->stale_until_us;
}

/*
 * payment_hide, payment_show
 *		While MyFatoorah's parts disagree, the payment of an invoice looks as if
 *		it were still going on: false if they do not. The truth is put back
 *		after the read. Locked.
 */
bool
payment_hide(Invoice *inv, InvoiceState *truth)
{
	if (!is_stale(inv))
		return false;
	payment_save(inv, truth);
	truth->last_try = inv->last_try->status;
	strcpy(inv->status, "Pending");
	inv->last_try->status = TRY_IN_PROGRESS;
	return true;
}

void
payment_show(Invoice *inv, const InvoiceState *truth)
{
	inv->last_try->status = truth->last_try;
	memcpy(inv->status, truth->status, sizeof(inv->status));
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
 * operate
 *		Take an authorised amount, or part of it, which becomes the invoice's
 *		value; or let go of it. One or the other, once. Locked.
 */
static PaymentTry *
operate(Invoice *inv, bool capture, const PaymentOrder *order, const char **refusal)
{
	Decimal amount = order->has_amount ? order->amount : inv->value;
	const PaymentTry *authorized = find_try(inv, TRY_AUTHORIZED);
	PaymentTry *t;

	if (authorized == NULL || inv->operated || store_is_paid(inv))
	{
		*refusal = capture ? "there is nothing to capture" : "there is nothing to release";
		return NULL;
	}
	if (capture && (decimal_sign(amount) <= 0 || decimal_compare(amount, inv->value) > 0))
	{
		*refusal = "the amount must be above 0 and at most the invoice value";
		return NULL;
	}
	inv->operated = true;
	if (capture)
	{
		inv->value = amount;
		if (inv->data.currency == inv->account->currency)
			inv->data.display_value = amount;
	}
	t = store_add_try(inv, capture ? TRY_SUCCESS : TRY_CANCELED, authorized->gateway, NULL,
					  capture ? &amount : NULL);
	t->by_merchant = true;
	if (capture)
	{
		memcpy(t->reference_id, authorized->reference_id, sizeof(t->reference_id));
		memcpy(t->authorization_id, authorized->authorization_id, sizeof(t->authorization_id));
	}
	return t;
}

/*
 * try_to_pay
 *		What a payer may do on the page: pay, authorize, fail, leave, abandon.
 *		Locked.
 */
static PaymentTry *
try_to_pay(Invoice *inv, Str action, const PaymentOrder *order, const char **refusal)
{
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
	if (str_is(action, "abandon"))
		return store_add_try(inv, TRY_CANCELED, order->gateway, "MF006", NULL);
	if (str_is(action, "leave"))
		return store_add_try(inv, TRY_IN_PROGRESS, order->gateway, NULL, NULL);
	*refusal = "unknown action";
	return NULL;
}

/*
 * payment_act
 *		Do one of pay, fail, leave, abandon, authorize, capture, release,
 *		cancel, expire, and send the webhook it causes. The new try, if there is
 *		one; NULL with a refusal (static text) if the action is not possible,
 *		NULL without one if it makes no try. Locked.
 */
PaymentTry *
payment_act(Invoice *inv, Str action, const PaymentOrder *order, const char **refusal)
{
	PaymentTry *t;

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
	if (str_is(action, "capture") || str_is(action, "release"))
		t = operate(inv, action.data[0] == 'c', order, refusal);
	else
		t = try_to_pay(inv, action, order, refusal);
	if (t != NULL && order->token.len > 0)
		memcpy(t->token, order->token.data, order->token.len);
	if (t == NULL || order->undone)
		return t;
	if (t->status == TRY_SUCCESS)
	{
		recurring_paid(inv);
		inv->stale_reads = lag_reads;
		inv->stale_until_us = lag_ms > 0 ? monotonic_us() + lag_ms * 1000 : 0;
	}
	webhook_payment(inv, t);
	return t;
}

/*
 * payment_save, payment_undo
 *		What an invoice is, and to make it that again after the one try that an
 *		undone order made. Locked.
 */
void
payment_save(const Invoice *inv, InvoiceState *state)
{
	state->value = inv->value;
	state->display_value = inv->data.display_value;
	memcpy(state->status, inv->status, sizeof(state->status));
	state->operated = inv->operated;
}

void
payment_undo(Invoice *inv, const InvoiceState *state)
{
	store_drop_last_try(inv);
	inv->value = state->value;
	inv->data.display_value = state->display_value;
	memcpy(inv->status, state->status, sizeof(inv->status));
	inv->operated = state->operated;
}
