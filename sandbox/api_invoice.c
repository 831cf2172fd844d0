/*
 * api_invoice.c
 *	  SendPayment, GetPaymentStatus and UpdatePaymentStatus.
 */
#include "server.h"

#include "status.h"
#include "validate.h"

/*
 * send_payment
 *		Create an invoice and hand out its address. Without keep everything is
 *		as if, but the invoice is not kept. Locked.
 */
void
send_payment(Request *r)
{
	SendPaymentRequest req;
	Answer *a = &r->answer;
	Invoice *inv;

	if (!validate_send_payment(r->doc.root, r->account, &req))
	{
		answer_failure(a, 400, "Invalid data", (Str){req.errors.data, req.errors.len});
		validate_free(&req);
		return;
	}
	if (store_is_full())
	{
		answer_failure(a, 503, "The sandbox is full: raise --invoice-limit", STR_NONE);
		validate_free(&req);
		return;
	}
	inv = store_create(r->account, &req.data, r->keep);
	inv->ledger_seq = r->ledger.seq;
	buf_reserve(&a->body, 320);
	buf_puts(&a->body, "{\"IsSuccess\":true,\"Message\":\"Invoice Created Successfully!\","
					   "\"ValidationErrors\":null,\"Data\":{\"InvoiceId\":");
	buf_put_int(&a->body, inv->id);
	buf_puts(&a->body, ",\"InvoiceURL\":\"");
	buf_puts(&a->body, options.public_url);
	buf_puts(&a->body, inv->url_path);
	buf_puts(&a->body, "\",\"CustomerReference\":");
	buf_put_json_or_null(&a->body, inv->data.reference);
	buf_puts(&a->body, ",\"UserDefinedField\":");
	buf_put_json_or_null(&a->body, inv->data.user_defined);
	buf_puts(&a->body, "}}");
	answer_json(a, 200);
	if (r->keep)
		a->invoice_id = inv->id;
	else
		store_free_invoice(inv);
	validate_free(&req);
}

/*
 * put_invoice_answer
 *		The whole invoice. While MyFatoorah's parts disagree its payment looks
 *		as if it were still going on. Locked.
 */
void
put_invoice_answer(Request *r, Invoice *inv, bool with_token)
{
	Answer *a = &r->answer;
	InvoiceState truth;
	bool hidden;

	buf_puts(&a->body, "{\"IsSuccess\":true,\"Message\":\"\",\"ValidationErrors\":null,\"Data\":");
	hidden = payment_hide(inv, &truth);
	status_put_data(&a->body, inv, with_token);
	if (hidden)
		payment_show(inv, &truth);
	buf_putc(&a->body, '}');
	answer_json(a, 200);
	a->invoice_id = inv->id;
}

/*
 * get_payment_status
 *		The whole invoice, whichever key was used. Locked.
 */
void
get_payment_status(Request *r)
{
	Str key, type;
	Invoice *inv;

	if (!take_key(r, &key, &type))
		return;
	inv = find_invoice(r->account, key, type);
	if (inv == NULL)
		answer_no_match(r);
	else
		put_invoice_answer(r, inv, true);
}

/*
 * read_operation
 *		Operation and Amount; false with the answer made.
 */
static bool
read_operation(Request *r, const Invoice *inv, bool *capture, PaymentOrder *order)
{
	Str operation, amount;

	if (!json_text(r->doc.root, "Operation", &operation) || !json_text(r->doc.root, "Amount", &amount))
		operation = amount = STR_NONE;
	*capture = str_is_nocase(operation, "Capture");
	if (amount.data != NULL && !decimal_parse(amount, false, &order->amount))
		refuse(r, "Amount", "The Amount is not a number");
	else if (amount.data == NULL && *capture)
		refuse(r, "Amount", "The Amount field is required.");
	else if (!*capture && !str_is_nocase(operation, "Release"))
		refuse(r, "Operation", "The Operation must be Capture or Release");
	else if (!*capture && amount.data != NULL && decimal_compare(order->amount, inv->value) != 0)
		refuse(r, "Amount", "The Amount of a release must be the invoice value");
	else
	{
		order->has_amount = *capture;
		return true;
	}
	return false;
}

/*
 * put_reference_page_answer
 *		The invoice as the reference page of UpdatePaymentStatus shows it: the
 *		new transaction alone, ISO words, a message. Locked.
 */
static void
put_reference_page_answer(Request *r, const Invoice *inv, bool capture)
{
	Buf *b = &r->answer.body;

	buf_printf(
		b, "{\"IsSuccess\":true,\"Message\":\"Payment %s successfully\",\"ValidationErrors\":null,\"Data\":",
		capture ? "captured" : "released");
	status_put_operation(b, inv);
	buf_putc(b, '}');
	answer_json(&r->answer, 200);
	r->answer.invoice_id = inv->id;
}

/*
 * update_payment_status
 *		Capture or release what was authorised, once. Locked.
 */
void
update_payment_status(Request *r)
{
	PaymentOrder order = {.undone = !r->keep};
	InvoiceState before;
	Str key, type;
	const char *refusal;
	Invoice *inv;
	bool capture;

	if (!take_key(r, &key, &type))
		return;
	inv = find_invoice(r->account, key, type);
	if (inv == NULL)
	{
		answer_no_match(r);
		return;
	}
	if (!read_operation(r, inv, &capture, &order))
		return;
	payment_save(inv, &before);
	if (payment_act(inv, capture ? STR_LIT("capture") : STR_LIT("release"), &order, &refusal) == NULL)
	{
		refuse(r, "Operation", refusal);
		return;
	}
	if (account_settings(r->account)->capture_answers == STYLE_REFERENCE)
		put_reference_page_answer(r, inv, capture);
	else
		put_invoice_answer(r, inv, false);
	if (!r->keep)
		payment_undo(inv, &before);
}
