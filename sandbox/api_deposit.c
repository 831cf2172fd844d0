/*
 * api_deposit.c
 *	  GetDepositedInvoices.
 */
#include "server.h"

#include "deposit.h"
#include "status.h"
#include "validate.h"

/*
 * row_text, row_amount, row_time
 *		,"Name": and a value; amounts are texts.
 */
static void
row_text(Buf *b, const char *name, Str value)
{
	buf_printf(b, ",\"%s\":", name);
	buf_put_json_or_null(b, value);
}

static void
row_amount(Buf *b, const char *name, Decimal value)
{
	buf_printf(b, ",\"%s\":\"", name);
	buf_put_grouped(b, value);
	buf_putc(b, '"');
}

static void
row_time(Buf *b, const char *name, Ticks at, int digits)
{
	buf_printf(b, ",\"%s\":\"", name);
	buf_put_datetime(b, at, digits);
	buf_putc(b, '"');
}

/*
 * put_row
 *		One invoice of a deposit.
 */
static void
put_row(Buf *b, const Deposit *d, const Invoice *inv)
{
	const PaymentTry *paid = store_success(inv);

	buf_printf(b, "{\"InvoiceId\":%lld", (long long) inv->id);
	row_text(b, "PaymentGateway", str_of(gateway_name(paid->gateway)));
	row_text(b, "PaymentId", str_of(paid->payment_id));
	buf_printf(b, ",\"InvoiceReference\":\"%d%06lld\"", local_time(inv->created).year,
			   (long long) inv->number);
	row_text(b, "CustomerReference", inv->data.reference);
	row_time(b, "CreatedDate", inv->created, 3);
	row_amount(b, "InvoiceValue", inv->value);
	row_amount(b, "PaidCurrencyValue", paid->due);
	row_text(b, "PaidCurrency", str_of(inv->account->currency->abbreviation));
	row_amount(b, "InvoiceDisplayValue", inv->data.display_value);
	row_amount(b, "DueValue", paid->due);
	row_time(b, "PaidDate", paid->at, 3);
	row_amount(b, "TotalServiceCharge", paid->charge);
	row_amount(b, "DueDeposit", deposit_share(inv, d->supplier));
	buf_puts(b, ",\"DepositReference\":");
	buf_put_deposit_reference(b, d);
	row_time(b, "DepositDate", d->at, 3);
	buf_putc(b, '}');
}

/*
 * get_deposited_invoices
 *		The invoices of one deposit. Locked.
 */
void
get_deposited_invoices(Request *r)
{
	const JsonNode *body = r->doc.root;
	Str reference, type, code;
	int64_t supplier = 0;
	const Deposit *d;
	Buf data = {0};

	if (!json_text(body, "DepositReference", &reference) || reference.len == 0)
	{
		refuse(r, "DepositReference", "The DepositReference field is required.");
		return;
	}
	if (!json_text(body, "Type", &type))
		type = STR_NONE;
	if (str_is_nocase(type, "Supplier"))
	{
		if (!json_text(body, "SupplierCode", &code) || !parse_id(code, &supplier) || supplier == 0)
		{
			refuse(r, "SupplierCode", "The SupplierCode field is required.");
			return;
		}
	}
	else if (type.len > 0 && !str_is_nocase(type, "Vendor"))
	{
		refuse(r, "Type", "The Type must be Vendor or Supplier");
		return;
	}
	d = deposit_by_reference(reference);
	if (d == NULL || d->account != r->account || d->supplier != supplier)
	{
		answer_no_match(r);
		return;
	}
	buf_putc(&data, '[');
	for (int i = 0; i < d->count; i++)
	{
		if (i > 0)
			buf_putc(&data, ',');
		put_row(&data, d, d->invoices[i]);
	}
	buf_putc(&data, ']');
	answer_success(&r->answer, 200, NULL, (Str){data.data, data.len});
	buf_free(&data);
}
