/*
 * objects.c
 *	  The objects that webhooks of version 2 and the calls of V3 speak in:
 *	  members, their order and formats are MyFatoorah's.
 */
#include "objects.h"

#include <ctype.h>

#include "status.h"

/*
 * try_status_upper
 *		A try's status as webhooks spell it.
 */
const char *
try_status_upper(TryStatus status)
{
	static const char *const words[] = {"INPROGRESS", "SUCCESS", "FAILED", "CANCELED", "AUTHORIZE"};

	return words[status];
}

/*
 * put_member and its likes
 *		Append a member, after a comma unless it is the first of its object.
 */
void
put_member(Buf *b, const char *name)
{
	if (b->data[b->len - 1] != '{')
		buf_putc(b, ',');
	buf_putc(b, '"');
	buf_puts(b, name);
	buf_puts(b, "\":");
}

void
put_text(Buf *b, const char *name, Str value)
{
	put_member(b, name);
	buf_put_json(b, value);
}

void
put_text_or_null(Buf *b, const char *name, Str value)
{
	put_member(b, name);
	buf_put_json_or_null(b, value);
}

void
put_amount(Buf *b, const char *name, Decimal value)
{
	put_member(b, name);
	buf_putc(b, '"');
	buf_put_plain(b, value);
	buf_putc(b, '"');
}

void
put_upper(Buf *b, const char *name, const char *word)
{
	put_member(b, name);
	buf_putc(b, '"');
	for (; *word != '\0'; word++)
		buf_putc(b, (char) toupper((unsigned char) *word));
	buf_putc(b, '"');
}

void
put_compact(Buf *b, const char *name, Ticks t)
{
	put_member(b, name);
	buf_putc(b, '"');
	buf_put_compact_time(b, t);
	buf_putc(b, '"');
}

void
put_utc(Buf *b, const char *name, Ticks t, int digits)
{
	put_member(b, name);
	buf_putc(b, '"');
	buf_put_utc(b, t, digits, false);
	buf_putc(b, '"');
}

/*
 * put_invoice_reference
 *		The digits of InvoiceReference, in quotes.
 */
void
put_invoice_reference(Buf *b, const Invoice *inv)
{
	buf_printf(b, "\"%d%06lld\"", local_time(inv->created).year, (long long) inv->number);
}

/*
 * put_padded
 *		A time in UTC with seven digits of fraction.
 */
static void
put_padded(Buf *b, const char *name, Ticks t)
{
	put_member(b, name);
	buf_putc(b, '"');
	buf_put_utc(b, t, 7, true);
	buf_putc(b, '"');
}

/*
 * put_masked
 *		A text with stars for the characters from one position up to so many
 *		before its end.
 */
static void
put_masked(Buf *b, const char *name, Str value, size_t from, size_t to)
{
	Buf masked = {0};
	size_t count = str_characters(value);
	size_t n = 0;

	buf_put(&masked, "", 0);
	for (size_t i = 0; i < value.len; n++)
	{
		size_t len = utf8_length((const unsigned char *) value.data + i, value.len - i);

		len = len > 0 ? len : 1;
		if (n >= from && n + to < count && value.data[i] != ' ')
			buf_putc(&masked, '*');
		else
			buf_put(&masked, value.data + i, len);
		i += len;
	}
	put_text(b, name, (Str){masked.data, masked.len});
	buf_free(&masked);
}

/*
 * put_meta, open_invoice
 *		The end of an invoice, and its beginning.
 */
static void
put_meta(Buf *b, const Invoice *inv)
{
	put_member(b, "MetaData");
	buf_put_str(b, inv->data.meta.len > 0 ? inv->data.meta : STR_LIT("null"));
	buf_putc(b, '}');
}

static void
open_invoice(Buf *b, const Invoice *inv)
{
	put_member(b, "Invoice");
	buf_printf(b, "{\"Id\":\"%lld\"", (long long) inv->id);
	put_upper(b, "Status", store_is_paid(inv) ? "PAID" : inv->status);
	put_member(b, "Reference");
	put_invoice_reference(b, inv);
}

/*
 * object_invoice, object_invoice_v3
 *		An invoice, as webhooks have it and as calls do: another order, and
 *		padded times.
 */
void
object_invoice(Buf *b, const Invoice *inv)
{
	open_invoice(b, inv);
	put_utc(b, "CreationDate", inv->created, 3);
	put_utc(b, "ExpirationDate", inv->expiry, 3);
	put_text(b, "UserDefinedField", inv->data.user_defined);
	put_text_or_null(b, "ExternalIdentifier", inv->data.reference);
	put_meta(b, inv);
}

void
object_invoice_v3(Buf *b, const Invoice *inv)
{
	open_invoice(b, inv);
	put_padded(b, "CreationDate", inv->created);
	put_padded(b, "ExpirationDate", inv->expiry);
	put_text_or_null(b, "ExternalIdentifier", inv->data.reference);
	put_text(b, "UserDefinedField", inv->data.user_defined);
	put_meta(b, inv);
}

/*
 * object_transaction
 *		A try, under a name or, without one, as an element of a list.
 */
void
object_transaction(Buf *b, const PaymentTry *t, const char *name, bool v3, bool with_token)
{
	if (name != NULL)
		put_member(b, name);
	buf_putc(b, '{');
	put_text(b, "Id", str_of(t->transaction_id));
	put_text(b, "Status", str_of(try_status_upper(t->status)));
	put_text(b, "PaymentMethod", str_of(gateway_name(t->gateway)));
	put_text(b, "PaymentId", str_of(t->payment_id));
	put_text(b, "ReferenceId", str_of(t->reference_id));
	put_text(b, "TrackId", str_of(t->track_id));
	put_text(b, "AuthorizationId", str_of(t->authorization_id));
	if (v3)
		put_padded(b, "TransactionDate", t->at);
	else
		put_utc(b, "TransactionDate", t->at, 7);
	put_text(b, "ECI", str_of(t->gateway == GATEWAY_CARD && t->status != TRY_IN_PROGRESS ? "02" : ""));
	if (t->by_merchant)
		buf_puts(b, ",\"IP\":{\"Address\":\"\",\"Country\":\"\"}");
	else
		buf_puts(b, ",\"IP\":{\"Address\":\"127.0.0.1\",\"Country\":\"Kuwait\"}");
	buf_puts(b, ",\"Error\":{");
	put_text(b, "Code", str_of(t->error_code));
	put_text(b, "Message", str_of(t->error));
	buf_puts(b, "},\"Card\":");
	status_put_card(b, t, with_token);
	buf_putc(b, '}');
}

/*
 * object_customer, object_customer_v3
 *		The customer, masked in webhooks, whole in calls.
 */
void
object_customer(Buf *b, const Invoice *inv)
{
	Str email = inv->data.customer_email;
	const char *host = email.len > 0 ? memchr(email.data, '@', email.len) : NULL;
	size_t keep = host != NULL ? str_characters((Str){host, (size_t) (email.data + email.len - host)}) : 0;

	put_member(b, "Customer");
	buf_putc(b, '{');
	put_masked(b, "Name", inv->data.customer_name, 1, 0);
	put_masked(b, "Mobile", inv->data.customer_mobile, strlen(inv->account->dial_code), 2);
	put_masked(b, "Email", email, 1, keep);
	buf_putc(b, '}');
}

void
object_customer_v3(Buf *b, const Invoice *inv, bool with_reference)
{
	put_member(b, "Customer");
	buf_putc(b, '{');
	if (with_reference)
		put_text(b, "Reference", inv->data.customer_reference);
	put_text(b, "Name", inv->data.customer_name);
	put_text(b, "Mobile", inv->data.customer_mobile);
	put_text(b, "Email", inv->data.customer_email);
	buf_putc(b, '}');
}

/*
 * object_receivable
 *		What is left for the merchant of a payment, after fee and suppliers;
 *		nothing if there was none.
 */
Decimal
object_receivable(const Invoice *inv, const PaymentTry *t)
{
	Decimal left;

	if (t->status != TRY_SUCCESS && t->status != TRY_AUTHORIZED)
		return (Decimal){0, 0};
	left = decimal_sub(decimal_sub(t->value, t->charge), t->vat);
	for (int i = 0; i < inv->data.supplier_count; i++)
	{
		const Supplier *s = &inv->data.suppliers[i];

		left = decimal_sub(left, s->proposed_share.present ? s->proposed_share.value : s->invoice_share);
	}
	return left;
}

/*
 * object_amounts, object_suppliers
 *		The amounts of a try, and who shares in the invoice.
 */
void
object_amounts(Buf *b, const Invoice *inv, const PaymentTry *t)
{
	Str base = str_of(inv->account->currency_iso);

	put_member(b, "Amount");
	buf_putc(b, '{');
	put_text(b, "BaseCurrency", base);
	put_amount(b, "ValueInBaseCurrency", t->value);
	put_amount(b, "ServiceCharge", t->charge);
	put_amount(b, "ServiceChargeVAT", t->vat);
	put_amount(b, "ReceivableAmount", object_receivable(inv, t));
	put_text(b, "DisplayCurrency", str_of(inv->data.currency->iso));
	put_amount(b, "ValueInDisplayCurrency", inv->data.display_value);
	put_text(b, "PayCurrency", base);
	put_amount(b, "ValueInPayCurrency", t->due);
	buf_putc(b, '}');
}

void
object_suppliers(Buf *b, const Invoice *inv)
{
	put_member(b, "Suppliers");
	buf_putc(b, '[');
	for (int i = 0; i < inv->data.supplier_count; i++)
	{
		const Supplier *s = &inv->data.suppliers[i];

		buf_printf(b, "%s{\"Code\":%lld,\"Name\":\"Supplier %lld\"", i > 0 ? "," : "", (long long) s->code,
				   (long long) s->code);
		put_amount(b, "InvoiceShare", s->invoice_share);
		if (s->proposed_share.present)
			put_amount(b, "ProposedShare", s->proposed_share.value);
		else
			put_text(b, "ProposedShare", STR_NONE);
		put_amount(b, "DepositShare", s->proposed_share.present ? s->proposed_share.value : s->invoice_share);
		buf_putc(b, '}');
	}
	buf_putc(b, ']');
}
