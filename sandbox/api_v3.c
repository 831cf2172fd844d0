/*
 * api_v3.c
 *	  The calls of V3: /v3/payments and /v3/invoices.
 */
#include "server.h"

#include "objects.h"
#include "validate.h"

/*
 * put_payment
 *		Append a payment with its invoice, as reads and captures show it.
 *		Locked.
 */
static void
put_payment(Buf *b, const Invoice *inv, const PaymentTry *t, bool with_reference, bool with_token)
{
	buf_putc(b, '{');
	object_invoice_v3(b, inv);
	object_transaction(b, t, "Transaction", true, with_token);
	object_customer_v3(b, inv, with_reference);
	object_amounts(b, inv, t);
	object_suppliers(b, inv);
	buf_putc(b, '}');
}

/*
 * charge_card
 *		Pay an invoice with a saved card, there and then. Locked.
 */
static PaymentTry *
charge_card(Invoice *inv, const SendPaymentRequest *req, bool keep)
{
	const PaymentOrder order = {.gateway = GATEWAY_CARD, .undone = !keep, .token = req->token};
	const char *refusal;

	return payment_act(inv, STR_LIT("pay"), &order, &refusal);
}

/*
 * answer_created
 *		The answer to a creation: a page to pay on, or the payment. Locked.
 */
static void
answer_created(Request *r, const Invoice *inv, const PaymentTry *paid)
{
	bool as_idempotency = account_settings(r->account)->v3_answers == STYLE_IDEMPOTENCY;
	Buf data = {0};

	buf_printf(&data, "{\"InvoiceId\":\"%lld\",\"PaymentId\":", (long long) inv->id);
	buf_put_json_or_null(&data, paid != NULL ? str_of(paid->payment_id) : STR_NONE);
	buf_printf(&data, ",\"PaymentURL\":\"%s", options.public_url);
	if (paid != NULL)
		buf_printf(&data, "/En/%s/PayInvoice/Result?paymentId=%s", inv->account->iso3, paid->payment_id);
	else
		buf_puts(&data, inv->url_path);
	buf_printf(&data, "\",\"PaymentCompleted\":%s,\"TransactionDetails\":", paid != NULL ? "true" : "false");
	if (paid != NULL)
		put_payment(&data, inv, paid, !as_idempotency, true);
	else
		buf_puts(&data, "null");
	if (as_idempotency)
		buf_puts(&data, ",\"Card\":null");
	buf_putc(&data, '}');
	answer_success(&r->answer, 201, "", (Str){data.data, data.len});
	buf_free(&data);
	if (r->keep)
		r->answer.invoice_id = inv->id;
}

/*
 * v3_create_payment
 *		POST /v3/payments: an invoice with a page, or a charge of a saved card.
 *		Without keep nothing of it stays. Locked.
 */
void
v3_create_payment(Request *r)
{
	SendPaymentRequest req;
	PaymentTry *paid = NULL;
	Invoice *inv;

	if (!validate_v3_payment(r->doc.root, r->account, &req))
		answer_failure(&r->answer, 400, "Invalid data", (Str){req.errors.data, req.errors.len});
	else if (store_is_full())
		answer_failure(&r->answer, 503, "The sandbox is full: raise --invoice-limit", STR_NONE);
	else
	{
		inv = store_create(r->account, &req.data, r->keep);
		inv->made_by = MADE_BY_V3;
		inv->ledger_seq = r->ledger.seq;
		if (req.token.len > 0)
			paid = charge_card(inv, &req, r->keep);
		answer_created(r, inv, paid);
		if (!r->keep)
		{
			if (paid != NULL)
				store_drop_last_try(inv);
			store_free_invoice(inv);
		}
	}
	validate_free(&req);
}

/*
 * payment_of_path
 *		The payment that the path names; NULL with the answer made. Locked.
 */
static PaymentTry *
payment_of_path(Request *r)
{
	PaymentTry *t = store_try((Str){r->argument.data, r->argument.len});

	if (t != NULL && t->invoice->account == r->account)
		return t;
	answer_no_match(r);
	return NULL;
}

/*
 * v3_get_payment
 *		GET /v3/payments/{paymentId}. Locked.
 */
void
v3_get_payment(Request *r)
{
	const PaymentTry *t = payment_of_path(r);
	InvoiceState truth;
	Buf data = {0};
	bool hidden;

	if (t == NULL)
		return;
	hidden = payment_hide(t->invoice, &truth);
	put_payment(&data, t->invoice, t, true, true);
	if (hidden)
		payment_show(t->invoice, &truth);
	answer_success(&r->answer, 200, "", (Str){data.data, data.len});
	buf_free(&data);
	r->answer.invoice_id = t->invoice->id;
}

/*
 * v3_update_payment
 *		PUT /v3/payments/{paymentId}: capture or release, once. Locked.
 */
void
v3_update_payment(Request *r)
{
	PaymentTry *t = payment_of_path(r);
	PaymentOrder order = {.undone = !r->keep};
	InvoiceState before;
	Str operation, amount;
	const char *refusal;
	Buf data = {0};
	Invoice *inv;
	bool capture;

	if (t == NULL)
		return;
	inv = t->invoice;
	if (!json_text(r->doc.root, "OperationType", &operation))
		operation = STR_NONE;
	capture = str_is_nocase(operation, "CAPTURE");
	if (!capture && !str_is_nocase(operation, "RELEASE"))
		refuse(r, "OperationType", "The OperationType must be CAPTURE or RELEASE");
	else if (capture && (!json_text(r->doc.root, "Amount", &amount) || amount.len == 0))
		refuse(r, "Amount", "The Amount field is required.");
	else if (capture && !decimal_parse(amount, false, &order.amount))
		refuse(r, "Amount", "The Amount is not a number");
	else
	{
		order.has_amount = capture;
		payment_save(inv, &before);
		t = payment_act(inv, capture ? STR_LIT("capture") : STR_LIT("release"), &order, &refusal);
		if (t == NULL)
		{
			refuse(r, "OperationType", refusal);
			return;
		}
		put_payment(&data, inv, t, true, false);
		answer_success(&r->answer, 200, "", (Str){data.data, data.len});
		buf_free(&data);
		r->answer.invoice_id = inv->id;
		if (!r->keep)
			payment_undo(inv, &before);
	}
}

/*
 * answer_invoice
 *		An invoice with all tries. One that nobody has tried to pay is not seen.
 *		Locked.
 */
static void
answer_invoice(Request *r, Invoice *inv, const char *refusal)
{
	const PaymentTry *main_try;
	InvoiceState truth;
	Buf data = {0};
	bool hidden;

	if (inv == NULL || inv->tries == NULL)
	{
		answer_failure(&r->answer, 400, refusal, STR_NONE);
		return;
	}
	main_try = store_success(inv);
	if (main_try == NULL)
		main_try = inv->last_try;
	hidden = payment_hide(inv, &truth);
	buf_putc(&data, '{');
	object_invoice_v3(&data, inv);
	put_member(&data, "Transactions");
	buf_putc(&data, '[');
	for (const PaymentTry *t = inv->tries; t != NULL; t = t->next)
	{
		if (t != inv->tries)
			buf_putc(&data, ',');
		object_transaction(&data, t, NULL, true, true);
	}
	buf_putc(&data, ']');
	object_customer_v3(&data, inv, false);
	object_amounts(&data, inv, main_try);
	object_suppliers(&data, inv);
	buf_putc(&data, '}');
	if (hidden)
		payment_show(inv, &truth);
	answer_success(&r->answer, 200, "Invoice Retrieved Successfully", (Str){data.data, data.len});
	buf_free(&data);
	r->answer.invoice_id = inv->id;
}

/*
 * v3_get_invoice, v3_get_invoice_by_reference
 *		GET /v3/invoices/{InvoiceId} and .../externalIdentifier/{x}, the last
 *		one that has it. Locked.
 */
void
v3_get_invoice(Request *r)
{
	Str argument = {r->argument.data, r->argument.len};

	answer_invoice(r, find_invoice(r->account, argument, STR_LIT("InvoiceId")),
				   "No invoices match this InvoiceId");
}

void
v3_get_invoice_by_reference(Request *r)
{
	Str argument = {r->argument.data, r->argument.len};

	answer_invoice(r, find_invoice(r->account, argument, STR_LIT("CustomerReference")),
				   "No invoices match this External Identifier");
}
