/*
 * api_refund.c
 *	  The calls about refunds: MakeRefund and GetRefundStatus.
 */
#include "server.h"

#include <stdlib.h>

#include "refund.h"
#include "validate.h"

static void refuse(Request *r, const char *member, const char *text);
static bool take_amount(const JsonNode *body, const char *name, Decimal *amount);
static void put_short_decimal(Buf *b, Decimal d);
static void put_status(Buf *b, const Refund *refund);

/*
 * refuse
 *		An answer with one validation error.
 */
static void
refuse(Request *r, const char *member, const char *text)
{
	Buf errors = {0};

	put_validation_error(&errors, member, text);
	answer_failure(&r->answer, 400, "Invalid data", (Str){errors.data, errors.len});
	buf_free(&errors);
}

/*
 * take_amount
 *		An amount, as number or as text; nothing is 0. False if it is neither.
 */
static bool
take_amount(const JsonNode *body, const char *name, Decimal *amount)
{
	Str text;

	*amount = (Decimal){0, 0};
	return json_text(body, name, &text) && (text.data == NULL || decimal_parse(text, false, amount));
}

/*
 * put_short_decimal
 *		As MakeRefund prints an amount: with one decimal at least.
 */
static void
put_short_decimal(Buf *b, Decimal d)
{
	buf_put_decimal(b, d.scale == 0 ? decimal_round(d, 1) : d);
}

/*
 * make_refund
 *		File a request. Whether money moves is decided later. Locked.
 */
void
make_refund(Request *r)
{
	const JsonNode *body = r->doc.root;
	Buf *b = &r->answer.body;
	Str key, type, comment, external;
	Decimal amount, from_supplier;
	const char *refusal;
	Refund *refund;
	Invoice *inv = NULL;

	if (!json_text(body, "Key", &key) || key.data == NULL)
		refuse(r, "Key", "The Key field is required.");
	else if (!json_text(body, "KeyType", &type) || type.len == 0 ||
			 (!str_is_nocase(type, "InvoiceId") && !str_is_nocase(type, "PaymentId")))
		refuse(r, "KeyType", "The KeyType must be InvoiceId or PaymentId");
	else if (!take_amount(body, "Amount", &amount))
		refuse(r, "Amount", "The Amount is not a number");
	else if (!take_amount(body, "AmountDeductedFromSupplier", &from_supplier))
		refuse(r, "AmountDeductedFromSupplier", "The AmountDeductedFromSupplier is not a number");
	else if (!json_text(body, "Comment", &comment) || !json_text(body, "ExternalIdentifier", &external))
		refuse(r, "Comment", "The Comment is not a text");
	else if ((inv = find_invoice(r->account, key, type)) == NULL)
		answer_failure(&r->answer, 400, "No data match the provided values", STR_NONE);
	if (inv == NULL)
		return;
	refund = refund_add(inv, amount, comment, external, from_supplier, &refusal);
	if (refund == NULL)
	{
		refuse(r, "Amount", refusal);
		return;
	}
	buf_puts(b, "{\"IsSuccess\":true,\"Message\":\"Refund Created Successfully!\","
				"\"ValidationErrors\":null,\"Data\":{\"Key\":");
	buf_put_json(b, key);
	buf_printf(b, ",\"RefundId\":%lld,\"RefundReference\":", (long long) refund->id);
	buf_put_refund_reference(b, refund);
	buf_printf(b, ",\"RefundInvoiceId\":%lld,\"ExternalIdentifier\":", (long long) refund->own_invoice_id);
	buf_put_json_or_null(b, external);
	buf_puts(b, ",\"Amount\":");
	put_short_decimal(b, amount);
	buf_puts(b, ",\"Comment\":");
	buf_put_json_or_null(b, comment);
	buf_puts(b, "}}");
	answer_json(&r->answer, 200);
	r->answer.invoice_id = inv->id;
}

/*
 * put_status
 *		One element of RefundStatusResult.
 */
static void
put_status(Buf *b, const Refund *refund)
{
	Decimal amount = decimal_round(refund->amount, 3);

	buf_printf(b, "{\"RefundId\":%lld,\"RefundStatus\":\"%s\",\"InvoiceId\":%lld,\"Amount\":",
			   (long long) refund->id, refund_status_word(refund->status), (long long) refund->invoice->id);
	buf_put_decimal(b, amount);
	buf_puts(b, ",\"RefundReference\":");
	buf_put_refund_reference(b, refund);
	buf_puts(b, ",\"ExternalIdentifier\":");
	buf_put_json_or_null(b, str_of(refund->external));
	buf_puts(b, ",\"RefundAmount\":");
	buf_put_decimal(b, amount);
	buf_puts(b, ",\"RRN\":");
	buf_put_json_or_null(b, refund->rrn[0] != '\0' ? str_of(refund->rrn) : STR_NONE);
	buf_printf(b, ",\"BaseCurrency\":\"%s\"}", refund->invoice->account->currency_iso);
}

/*
 * get_refund_status
 *		All refunds of an invoice, or one by its id or reference. Locked.
 */
void
get_refund_status(Request *r)
{
	Buf *b = &r->answer.body;
	Str key, type;
	bool by_invoice, by_reference;
	bool found = false;

	if (!json_text(r->doc.root, "Key", &key) || key.data == NULL)
	{
		refuse(r, "Key", "The Key field is required.");
		return;
	}
	if (!json_text(r->doc.root, "KeyType", &type))
		type = STR_NONE;
	by_invoice = str_is_nocase(type, "InvoiceId");
	by_reference = str_is_nocase(type, "RefundReference");
	if (!by_invoice && !by_reference && !str_is_nocase(type, "RefundId"))
	{
		refuse(r, "KeyType", "The KeyType must be InvoiceId, RefundReference or RefundId");
		return;
	}
	buf_puts(b, "{\"IsSuccess\":true,\"Message\":\"\",\"ValidationErrors\":null,"
				"\"Data\":{\"RefundStatusResult\":[");
	for (const Refund *refund = refund_first(); refund != NULL; refund = refund->next)
	{
		Buf text = {0};
		bool match;

		if (by_reference)
			buf_put_refund_reference(&text, refund);
		else
			buf_put_int(&text, by_invoice ? refund->invoice->id : refund->id);
		match = by_reference ? key.len + 2 == text.len && memcmp(text.data + 1, key.data, key.len) == 0
							 : str_is(key, text.data);
		buf_free(&text);
		if (!match || refund->invoice->account != r->account)
			continue;
		if (found)
			buf_putc(b, ',');
		put_status(b, refund);
		found = true;
		r->answer.invoice_id = refund->invoice->id;
	}
	buf_puts(b, "]}}");
	answer_json(&r->answer, 200);
	if (!found)
	{
		b->len = 0;
		answer_failure(&r->answer, 400, "No data match the provided values", STR_NONE);
	}
}
