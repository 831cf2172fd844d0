/*
 * status.c
 *	  An invoice as GetPaymentStatus shows it: members, their order, their
 *	  misspellings and number formats are MyFatoorah's.
 */
#include "status.h"

#include "deposit.h"

/*
 * try_status_word, gateway_name
 *		MyFatoorah's words.
 */
const char *
try_status_word(TryStatus status)
{
	static const char *const words[] = {"InProgress", "Succss", "Failed", "Canceled", "Authorize"};

	return words[status];
}

const char *
gateway_name(Gateway gateway)
{
	return gateway == GATEWAY_KNET ? "KNET" : "VISA/MASTER";
}

/*
 * put_text_member
 *		,"Name":"value" or ,"Name":null.
 */
static void
put_text_member(Buf *b, const char *name, Str value)
{
	buf_puts(b, ",\"");
	buf_puts(b, name);
	buf_puts(b, "\":");
	buf_put_json_or_null(b, value);
}

/*
 * put_amount_member
 *		,"Name":"12,345.000".
 */
static void
put_amount_member(Buf *b, const char *name, Decimal value)
{
	buf_puts(b, ",\"");
	buf_puts(b, name);
	buf_puts(b, "\":\"");
	buf_put_grouped(b, value);
	buf_putc(b, '"');
}

/*
 * put_optional
 *		,"Name":1.5 or ,"Name":null.
 */
static void
put_optional(Buf *b, const char *name, const OptionalDecimal *d)
{
	buf_puts(b, ",\"");
	buf_puts(b, name);
	buf_puts(b, "\":");
	if (d->present)
		buf_put_decimal(b, d->value);
	else
		buf_puts(b, "null");
}

/*
 * put_due_deposit
 *		What MyFatoorah will pay out: nothing until paid, then the value less
 *		the service charge, its tax and what suppliers get.
 */
static void
put_due_deposit(Buf *b, const Invoice *inv)
{
	buf_put_decimal(b, deposit_share(inv, 0));
}

/*
 * status_put_card
 *		The card of a try: empty texts when unknown; of a capture or release the
 *		number alone. MyFatoorah leaves the token out where it answers to one.
 */
void
status_put_card(Buf *b, const PaymentTry *t, bool with_token)
{
	bool card = t->gateway == GATEWAY_CARD && t->status != TRY_IN_PROGRESS;
	bool known = card && !t->by_merchant;

	buf_printf(b, "{\"NameOnCard\":\"%s\",\"Number\":\"%s\"", known ? "test test" : "",
			   card ? "512345xxxxxx0008" : "");
	if (with_token)
		buf_printf(b, ",\"Token\":\"%s\"", t->token);
	buf_puts(b, known ? ",\"PanHash\":\"b888aa5f23a817883d4d12c74044bab1ae6ee65dc8d6e11515394aba452b273b\","
						"\"ExpiryMonth\":\"01\",\"ExpiryYear\":\"39\",\"Brand\":\"Mastercard\","
						"\"Issuer\":\"Test Bank\",\"IssuerCountry\":\"KWT\",\"FundingMethod\":\"credit\"}"
					  : ",\"PanHash\":\"\",\"ExpiryMonth\":\"\",\"ExpiryYear\":\"\",\"Brand\":\"\","
						"\"Issuer\":\"\",\"IssuerCountry\":\"\",\"FundingMethod\":\"\"}");
}

/*
 * put_numbers
 *		Of an element of InvoiceTransactions, what both shapes of it have.
 */
static void
put_numbers(Buf *b, const PaymentTry *t)
{
	put_text_member(b, "ReferenceId", str_of(t->reference_id));
	put_text_member(b, "TrackId", str_of(t->track_id));
	put_text_member(b, "TransactionId", str_of(t->transaction_id));
	put_text_member(b, "PaymentId", str_of(t->payment_id));
	put_text_member(b, "AuthorizationId", str_of(t->authorization_id));
	put_text_member(b, "TransactionStatus", str_of(try_status_word(t->status)));
	put_amount_member(b, "TransationValue", t->value);
	put_amount_member(b, "CustomerServiceCharge", (Decimal){0, 3});
	put_amount_member(b, "TotalServiceCharge", t->charge);
}

/*
 * put_try
 *		One element of InvoiceTransactions.
 */
static void
put_try(Buf *b, const Invoice *inv, const PaymentTry *t, bool with_token)
{
	bool card = t->gateway == GATEWAY_CARD && t->status != TRY_IN_PROGRESS;
	Str currency = str_of(inv->account->currency->abbreviation);

	buf_puts(b, "{\"TransactionDate\":\"");
	buf_put_datetime(b, t->at, 7);
	buf_putc(b, '"');
	put_text_member(b, "PaymentGateway", str_of(gateway_name(t->gateway)));
	put_numbers(b, t);
	put_amount_member(b, "DueValue", t->due);
	put_text_member(b, "PaidCurrency", currency);
	put_amount_member(b, "PaidCurrencyValue", t->due);
	put_amount_member(b, "VatAmount", t->vat);
	put_text_member(b, "IpAddress", t->by_merchant ? STR_NONE : STR_LIT("127.0.0.1"));
	put_text_member(b, "Country", t->by_merchant ? STR_NONE : STR_LIT("Kuwait"));
	put_text_member(b, "Currency", currency);
	put_text_member(b, "Error", str_of(t->error));
	put_text_member(b, "CardNumber", card ? STR_LIT("512345xxxxxx0008") : STR_NONE);
	put_text_member(b, "ErrorCode", str_of(t->error_code));
	put_text_member(b, "ECI", card ? STR_LIT("02") : STR_LIT(""));
	buf_puts(b, ",\"Card\":");
	status_put_card(b, t, with_token);
	buf_putc(b, '}');
}

/*
 * put_items
 *		The elements of InvoiceItems.
 */
static void
put_items(Buf *b, const Invoice *inv)
{
	for (int i = 0; i < inv->data.item_count; i++)
	{
		const Item *item = &inv->data.items[i];

		buf_puts(b, i > 0 ? ",{\"ItemName\":" : "{\"ItemName\":");
		buf_put_json(b, item->name);
		buf_puts(b, ",\"Quantity\":");
		buf_put_int(b, item->quantity);
		buf_puts(b, ",\"UnitPrice\":");
		buf_put_decimal(b, item->unit_price);
		put_optional(b, "Weight", &item->weight);
		put_optional(b, "Width", &item->width);
		put_optional(b, "Height", &item->height);
		put_optional(b, "Depth", &item->depth);
		buf_putc(b, '}');
	}
}

/*
 * put_suppliers
 *		The elements of Suppliers.
 */
static void
put_suppliers(Buf *b, const Invoice *inv)
{
	for (int i = 0; i < inv->data.supplier_count; i++)
	{
		const Supplier *s = &inv->data.suppliers[i];

		buf_printf(b, "%s{\"SupplierCode\":%lld,\"SupplierName\":\"Supplier %lld\",\"InvoiceShare\":",
				   i > 0 ? "," : "", (long long) s->code, (long long) s->code);
		buf_put_decimal(b, s->invoice_share);
		put_optional(b, "ProposedShare", &s->proposed_share);
		buf_puts(b, ",\"DepositShare\":");
		buf_put_decimal(b, s->proposed_share.present ? s->proposed_share.value : s->invoice_share);
		buf_putc(b, '}');
	}
}

/*
 * status_put_data
 *		Append the Data object of a GetPaymentStatus answer. Locked.
 */
void
status_put_data(Buf *b, const Invoice *inv, bool with_token)
{
	const InvoiceData *d = &inv->data;

	buf_reserve(b, 1024 + (size_t) inv->try_count * 1200);
	buf_puts(b, "{\"InvoiceId\":");
	buf_put_int(b, inv->id);
	put_text_member(b, "InvoiceStatus", str_of(inv->status));
	buf_printf(b, ",\"InvoiceReference\":\"%d%06lld\"", local_time(inv->created).year,
			   (long long) inv->number);
	put_text_member(b, "CustomerReference", d->reference);
	buf_puts(b, ",\"CreatedDate\":\"");
	buf_put_datetime(b, inv->created, 3);
	buf_puts(b, "\",\"ExpiryDate\":\"");
	buf_put_english_date(b, inv->expiry);
	buf_puts(b, "\",\"ExpiryTime\":\"");
	buf_put_clock_time(b, inv->expiry, 3);
	buf_puts(b, "\",\"InvoiceValue\":");
	buf_put_decimal(b, inv->value);
	buf_puts(b, ",\"Comments\":null");
	put_text_member(b, "CustomerName", d->customer_name);
	put_text_member(b, "CustomerMobile", d->customer_mobile);
	put_text_member(b, "CustomerEmail", d->customer_email);
	put_text_member(b, "UserDefinedField", d->user_defined);
	buf_puts(b, ",\"InvoiceDisplayValue\":\"");
	buf_put_grouped(b, d->display_value);
	buf_putc(b, ' ');
	buf_puts(b, d->currency->abbreviation);
	buf_puts(b, "\",\"DueDeposit\":");
	put_due_deposit(b, inv);
	buf_printf(b, ",\"DepositStatus\":\"%s\",\"InvoiceItems\":[",
			   inv->deposit != NULL ? "Deposited" : "Not Deposited");
	put_items(b, inv);
	buf_puts(b, "],\"InvoiceTransactions\":[");
	for (const PaymentTry *t = inv->tries; t != NULL; t = t->next)
	{
		if (t != inv->tries)
			buf_putc(b, ',');
		put_try(b, inv, t, with_token);
	}
	buf_puts(b, "],\"Suppliers\":[");
	put_suppliers(b, inv);
	buf_puts(b, "]}");
}

/*
 * status_put_operation
 *		Append the Data object that the reference page of UpdatePaymentStatus
 *		shows: the last try alone, ISO words, fewer members. Locked.
 */
void
status_put_operation(Buf *b, const Invoice *inv)
{
	const InvoiceData *d = &inv->data;
	const PaymentTry *t = inv->last_try;
	Str iso = str_of(inv->account->currency_iso);

	buf_printf(b, "{\"InvoiceId\":%lld", (long long) inv->id);
	put_text_member(b, "InvoiceStatus", str_of(inv->status));
	buf_printf(b, ",\"InvoiceReference\":\"INV-%05lld\"", (long long) inv->number);
	put_text_member(b, "CustomerReference", d->reference);
	buf_puts(b, ",\"CreatedDate\":\"");
	buf_put_datetime(b, inv->created, 0);
	buf_puts(b, "\",\"ExpiryDate\":\"");
	buf_put_datetime(b, inv->expiry, 0);
	buf_puts(b, "\",\"InvoiceValue\":");
	buf_put_plain(b, inv->value);
	buf_puts(b, ",\"Comments\":\"\"");
	put_text_member(b, "CustomerName", d->customer_name);
	put_text_member(b, "CustomerMobile", d->customer_mobile);
	put_text_member(b, "CustomerEmail", d->customer_email);
	put_text_member(b, "UserDefinedField", d->user_defined.data != NULL ? d->user_defined : STR_LIT(""));
	buf_puts(b, ",\"InvoiceDisplayValue\":\"");
	buf_put_grouped(b, d->display_value);
	buf_printf(b, " %s\",\"DueDeposit\":", d->currency->iso);
	put_due_deposit(b, inv);
	buf_puts(b, ",\"DepositStatus\":\"Not Deposited\",\"InvoiceItems\":[],\"InvoiceTransactions\":"
				"[{\"TransactionDate\":\"");
	buf_put_datetime(b, t->at, 0);
	buf_puts(b, "\"");
	put_text_member(b, "PaymentGateway", STR_LIT("Visa/Master Card"));
	put_numbers(b, t);
	put_amount_member(b, "DueValue", decimal_sub(t->value, t->charge));
	put_text_member(b, "PaidCurrency", iso);
	put_amount_member(b, "PaidCurrencyValue", t->due);
	buf_puts(b, ",\"VatAmount\":\"");
	buf_put_plain(b, t->vat);
	buf_puts(b, "\"");
	put_text_member(b, "Currency", iso);
	put_text_member(b, "Error", t->error != NULL ? str_of(t->error) : STR_LIT(""));
	put_text_member(b, "ErrorCode", str_of(t->error_code));
	put_text_member(b, "ECI", STR_LIT("05"));
	buf_puts(b, "}]}");
}

/*
 * status_put_invoice_summary
 *		Append an invoice as the control path shows it: exact values, ISO
 *		currency, UTC microseconds. Locked.
 */
void
status_put_invoice_summary(Buf *b, const Invoice *inv, const char *public_url)
{
	static const char *const made_by[] = {"SendPayment", "V3", "ExecutePayment", "Recurring"};

	buf_puts(b, "{\"id\":");
	buf_put_int(b, inv->id);
	put_text_member(b, "reference", inv->data.reference);
	put_text_member(b, "user_defined", inv->data.user_defined);
	put_text_member(b, "country", str_of(inv->account->iso3));
	buf_puts(b, ",\"value\":\"");
	buf_put_decimal(b, inv->value);
	buf_putc(b, '"');
	put_text_member(b, "currency", str_of(inv->account->currency->iso));
	buf_puts(b, ",\"display_value\":\"");
	buf_put_decimal(b, inv->data.display_value);
	buf_putc(b, '"');
	put_text_member(b, "display_currency", str_of(inv->data.currency->iso));
	put_text_member(b, "status", str_of(inv->status));
	put_text_member(b, "notification", str_of(inv->data.notification));
	put_text_member(b, "customer_name", inv->data.customer_name);
	put_text_member(b, "customer_email", inv->data.customer_email);
	put_text_member(b, "customer_mobile", inv->data.customer_mobile);
	put_text_member(b, "call_back_url", inv->data.call_back_url);
	put_text_member(b, "error_url", inv->data.error_url);
	put_text_member(b, "webhook_url", inv->data.webhook_url);
	buf_printf(b, ",\"created_us\":%lld,\"expiry_us\":%lld,\"expired\":%s,\"ledger_seq\":%lld",
			   (long long) inv->created * 10000 / 3, (long long) inv->expiry * 10000 / 3,
			   store_is_expired(inv) ? "true" : "false", (long long) inv->ledger_seq);
	buf_printf(b, ",\"made_by\":\"%s\",\"refunded\":\"", made_by[inv->made_by]);
	buf_put_decimal(b, inv->refunded);
	buf_puts(b, "\",\"deposit\":");
	if (inv->deposit != NULL)
		buf_put_deposit_reference(b, inv->deposit);
	else
		buf_puts(b, "null");
	buf_puts(b, ",\"url\":");
	{
		Buf url = {0};

		buf_puts(&url, public_url);
		buf_puts(&url, inv->url_path);
		buf_put_json(b, (Str){url.data, url.len});
		buf_free(&url);
	}
	buf_puts(b, ",\"transactions\":[");
	for (const PaymentTry *t = inv->tries; t != NULL; t = t->next)
	{
		buf_puts(b, t == inv->tries ? "{\"payment_id\":" : ",{\"payment_id\":");
		buf_put_json(b, str_of(t->payment_id));
		put_text_member(b, "status", str_of(try_status_word(t->status)));
		put_text_member(b, "gateway", str_of(gateway_name(t->gateway)));
		buf_puts(b, ",\"value\":\"");
		buf_put_decimal(b, t->value);
		buf_putc(b, '"');
		put_text_member(b, "error_code", str_of(t->error_code));
		put_text_member(b, "error", str_of(t->error));
		buf_printf(b, ",\"by_merchant\":%s,\"at_us\":%lld}", t->by_merchant ? "true" : "false",
				   (long long) t->at * 10000 / 3);
	}
	buf_puts(b, "]}");
}
