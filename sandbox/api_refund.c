/*
 * api_refund.c
 *	  The calls about refunds: MakeRefund, MakeSupplierRefund and
 *	  GetRefundStatus.
 */
#include "server.h"

#include "refund.h"
#include "validate.h"

/*
 * take_texts
 *		Comment, ExternalIdentifier and ServiceChargeOnCustomer; false with the
 *		answer made.
 */
static bool
take_texts(Request *r, RefundOrder *order)
{
	const JsonNode *body = r->doc.root;

	if (!json_text(body, "Comment", &order->comment))
		refuse(r, "Comment", "The Comment is not a text");
	else if (!json_text(body, "ExternalIdentifier", &order->external))
		refuse(r, "ExternalIdentifier", "The ExternalIdentifier is not a text");
	else if (!take_flag(body, "ServiceChargeOnCustomer", &order->charge_on_customer))
		refuse(r, "ServiceChargeOnCustomer", "The ServiceChargeOnCustomer must be true or false");
	else
		return true;
	return false;
}

/*
 * take_shares
 *		Suppliers and what each bears, added to the amount; false with the answer
 *		made.
 */
static bool
take_shares(Request *r, RefundOrder *order)
{
	const JsonNode *list = json_member(r->doc.root, "Suppliers");

	for (const JsonNode *n = list != NULL && list->type == JSON_ARRAY ? list->child : NULL; n != NULL;
		 n = n->next)
	{
		RefundShare *share = &order->shares[order->share_count];
		Str code;

		if (order->share_count == MAX_REFUND_SHARES || n->type != JSON_OBJECT ||
			!json_text(n, "SupplierCode", &code) || !parse_id(code, &share->code) ||
			!take_amount(n, "SupplierDeductedAmount", &share->amount))
		{
			refuse(r, "Suppliers", "The Suppliers are not valid");
			return false;
		}
		order->amount = decimal_add(order->amount, share->amount);
		order->share_count++;
	}
	return true;
}

/*
 * refunded_invoice
 *		The invoice a request names; NULL with the answer made.
 */
static Invoice *
refunded_invoice(Request *r, Str *key)
{
	Invoice *inv = NULL;
	Str type;

	if (!json_text(r->doc.root, "Key", key) || key->data == NULL)
		refuse(r, "Key", "The Key field is required.");
	else if (!json_text(r->doc.root, "KeyType", &type) ||
			 (!str_is_nocase(type, "InvoiceId") && !str_is_nocase(type, "PaymentId")))
		refuse(r, "KeyType", "The KeyType must be InvoiceId or PaymentId");
	else if ((inv = find_invoice(r->account, *key, type)) == NULL)
		answer_no_match(r);
	return inv;
}

/*
 * put_filed
 *		Data of an answer to a request that was filed. An amount has one decimal
 *		at least.
 */
static void
put_filed(Buf *b, const Refund *refund, Str key)
{
	bool as_text = account_settings(refund->invoice->account)->refund_answers == STYLE_REFERENCE;
	const char *quote = as_text ? "\"" : "";

	buf_puts(b, "{\"Key\":");
	buf_put_json(b, key);
	buf_printf(b, ",\"RefundId\":%lld,\"RefundReference\":", (long long) refund->id);
	buf_put_refund_reference(b, refund);
	buf_printf(b, ",\"RefundInvoiceId\":%s%lld%s,\"ExternalIdentifier\":", quote,
			   (long long) refund->own_invoice_id, quote);
	buf_put_json_or_null(b, str_of(refund->external));
	buf_puts(b, ",\"Amount\":");
	buf_put_decimal(b, refund->amount.scale == 0 ? decimal_round(refund->amount, 1) : refund->amount);
	buf_puts(b, ",\"Comment\":");
	buf_put_json_or_null(b, str_of(refund->comment));
	buf_putc(b, '}');
}

/*
 * file
 *		File a request and answer. Somebody decides it later, unless the account
 *		has Auto Refund. Locked.
 */
static void
file(Request *r, const RefundOrder *order, Invoice *inv, Str key)
{
	const AccountSettings *s = account_settings(r->account);
	const char *member;
	const char *refusal;
	Refund *refund = refund_add(inv, order, &member, &refusal);
	Buf data = {0};

	if (refund == NULL)
	{
		refuse(r, member, refusal);
		return;
	}
	put_filed(&data, refund, key);
	answer_success(&r->answer, 200,
				   s->refund_answers == STYLE_REFERENCE ? "Refund processed successfully"
														: "Refund Created Successfully!",
				   (Str){data.data, data.len});
	buf_free(&data);
	r->answer.invoice_id = inv->id;
	if (!r->keep)
		refund_forget(refund);
	else if (s->auto_refund)
		webhook_decide_refund(refund, true);
}

/*
 * make_refund
 *		Ask for a refund of an amount, part of which a supplier may bear.
 *		Locked.
 */
void
make_refund(Request *r)
{
	RefundOrder order = {0};
	Decimal from_supplier;
	Str key;
	Invoice *inv = refunded_invoice(r, &key);

	if (inv == NULL || !take_texts(r, &order))
		return;
	if (!take_amount(r->doc.root, "Amount", &order.amount))
		refuse(r, "Amount", "The Amount is not a number");
	else if (!take_amount(r->doc.root, "AmountDeductedFromSupplier", &from_supplier))
		refuse(r, "AmountDeductedFromSupplier", "The AmountDeductedFromSupplier is not a number");
	else if (decimal_sign(from_supplier) < 0 || decimal_compare(from_supplier, order.amount) > 0 ||
			 (decimal_sign(from_supplier) > 0 && inv->data.supplier_count == 0))
		refuse(r, "AmountDeductedFromSupplier", "AmountDeductedFromSupplier exceeds the amount");
	else
	{
		if (decimal_sign(from_supplier) > 0)
			order.shares[order.share_count++] = (RefundShare){inv->data.suppliers[0].code, from_supplier};
		file(r, &order, inv, key);
	}
}

/*
 * make_supplier_refund
 *		Ask for a refund that the vendor and suppliers bear: the amount is the
 *		sum. Locked.
 */
void
make_supplier_refund(Request *r)
{
	RefundOrder order = {.by_suppliers = true};
	Str key;
	Invoice *inv = refunded_invoice(r, &key);

	if (inv == NULL || !take_texts(r, &order))
		return;
	if (!take_amount(r->doc.root, "VendorDeductAmount", &order.amount) || decimal_sign(order.amount) < 0)
		refuse(r, "VendorDeductAmount", "The VendorDeductAmount is not valid");
	else if (take_shares(r, &order))
		file(r, &order, inv, key);
}

/*
 * put_status
 *		One element of RefundStatusResult.
 */
static void
put_status(Buf *b, const Refund *refund)
{
	bool old = account_settings(refund->invoice->account)->refund_answers == STYLE_OLD;
	void (*put)(Buf *, Decimal) = old ? buf_put_plain : buf_put_decimal;

	buf_printf(b, "{\"RefundId\":%lld,\"RefundStatus\":\"%s\",\"InvoiceId\":%lld,\"Amount\":",
			   (long long) refund->id, refund_status_word(refund->status), (long long) refund->invoice->id);
	put(b, decimal_round(refund->amount, 3));
	buf_puts(b, ",\"RefundReference\":");
	buf_put_refund_reference(b, refund);
	if (!old)
	{
		buf_puts(b, ",\"ExternalIdentifier\":");
		buf_put_json_or_null(b, str_of(refund->external));
	}
	buf_puts(b, ",\"RefundAmount\":");
	put(b, decimal_round(refund->given_back, 3));
	if (!old)
	{
		buf_puts(b, ",\"RRN\":");
		buf_put_json_or_null(b, refund->rrn[0] != '\0' ? str_of(refund->rrn) : STR_NONE);
		buf_printf(b, ",\"BaseCurrency\":\"%s\"", refund->invoice->account->currency_iso);
	}
	buf_putc(b, '}');
}

/*
 * get_refund_status
 *		All refunds of an invoice, or one by its id or reference. Locked.
 */
void
get_refund_status(Request *r)
{
	Buf data = {0};
	Str key, type;
	Refund *one = NULL;
	Invoice *inv = NULL;
	int64_t id;
	bool found = false;

	if (!take_key(r, &key, &type))
		return;
	if (str_is_nocase(type, "InvoiceId"))
		inv = find_invoice(r->account, key, type);
	else if (str_is_nocase(type, "RefundReference"))
		one = refund_by_reference(key);
	else if (!str_is_nocase(type, "RefundId"))
	{
		refuse(r, "KeyType", "The KeyType must be InvoiceId, RefundReference or RefundId");
		return;
	}
	else if (parse_id(key, &id))
		one = refund_by_id(id);
	buf_puts(&data, "{\"RefundStatusResult\":[");
	for (Refund *refund = inv != NULL ? inv->refunds : one; refund != NULL;
		 refund = inv != NULL ? refund->next_of_invoice : NULL)
	{
		if (refund->invoice->account != r->account || refund_is_hidden(refund))
			continue;
		if (found)
			buf_putc(&data, ',');
		put_status(&data, refund);
		found = true;
		r->answer.invoice_id = refund->invoice->id;
	}
	buf_puts(&data, "]}");
	if (found)
		answer_success(&r->answer, 200, "", (Str){data.data, data.len});
	else
		answer_no_match(r);
	buf_free(&data);
}
