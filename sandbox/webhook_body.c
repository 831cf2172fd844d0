/*
 * webhook_body.c
 *	  What a webhook says of a payment, a refund or a dispute: members, their
 *	  order, their misspellings and formats are MyFatoorah's.
 */
#include "delivery.h"

#include "status.h"

static const char *const names[2][7] = {
	{"TransactionsStatusChanged", "RefundStatusChanged", "BalanceTransferred", "SupplierStatusChanged",
	 "RecurringStatusChanged", "DisputeStatusChanged", "SupplierUpdateRequestChanged"},
	{"PAYMENT_STATUS_CHANGED", "REFUND_STATUS_CHANGED", "BALANCE_TRANSFERRED", "SUPPLIER_STATUS_CHANGED",
	 "RECURRING_UPDATES", "DISPUTE_STATUS_CHANGED", "SUPPLIER_UPDATE_REQUEST_CHANGED"},
};

/*
 * event_name, event_code_of_name
 *		MyFatoorah's names of events 1 to 7; the code of a name of either
 *		version, 0 if there is none. MyFatoorah's guide misspells two.
 */
const char *
event_name(int version, int code)
{
	return names[version - 1][code - 1];
}

int
event_code_of_name(Str name)
{
	for (int version = 0; version < 2; version++)
		for (int i = 0; i < 7; i++)
			if (str_is_nocase(name, names[version][i]))
				return i + 1;
	if (str_is_nocase(name, "BALANCE_TRANSFERED"))
		return 3;
	return str_is_nocase(name, "SUPLIER_STATUS_CHANGED") ? 4 : 0;
}

/*
 * body_open, body_close
 *		Everything before the members of Data, and after them.
 */
void
body_open(Message *m)
{
	Buf *b = &m->body;

	buf_reserve(b, 2048);
	if (m->version == 1)
	{
		buf_printf(b, "{\"EventType\":%d,\"Event\":\"%s\",\"DateTime\":\"", m->code, event_name(1, m->code));
		buf_put_compact_time(b, m->at);
		buf_printf(b, "\",\"CountryIsoCode\":\"%s\"", m->account->iso3);
	}
	else
	{
		buf_printf(b, "{\"Event\":{\"Code\":%d,\"Name\":\"%s\",\"CountryIsoCode\":\"%s\",\"CreationDate\":\"",
				   m->code, event_name(2, m->code), m->account->iso3);
		buf_put_utc(b, m->at, 7, true);
		buf_printf(b, "\",\"Reference\":\"WH-%lld\"}", (long long) m->reference_number);
	}
	buf_puts(b, ",\"Data\":");
	m->data_at = b->len;
	buf_putc(b, '{');
}

void
body_close(Message *m)
{
	buf_putc(&m->body, '}');
	m->data_len = m->body.len - m->data_at;
	buf_putc(&m->body, '}');
}

/*
 * put_values_v1
 *		The six members that tell amounts in version 1.
 */
static void
put_values_v1(Buf *b, const Invoice *inv, const PaymentTry *t)
{
	Str base = str_of(inv->account->currency_iso);

	put_amount(b, "InvoiceValueInBaseCurrency", t->value);
	put_text(b, "BaseCurrency", base);
	put_amount(b, "InvoiceValueInDisplayCurreny", inv->data.display_value);
	put_text(b, "DisplayCurrency", str_of(inv->data.currency->iso));
	put_amount(b, "InvoiceValueInPayCurrency", t->due);
	put_text(b, "PayCurrency", base);
}

/*
 * body_payment
 *		Event 1: a try has ended.
 */
void
body_payment(Message *m, const Invoice *inv, const PaymentTry *t)
{
	Buf *b = &m->body;
	const InvoiceData *d = &inv->data;

	body_open(m);
	if (m->version == 2)
	{
		object_invoice(b, inv);
		object_transaction(b, t, "Transaction", false, true);
		object_customer(b, inv);
		object_amounts(b, inv, t);
		object_suppliers(b, inv);
		body_close(m);
		return;
	}
	put_member(b, "InvoiceId");
	buf_put_int(b, inv->id);
	put_member(b, "InvoiceReference");
	put_invoice_reference(b, inv);
	put_compact(b, "CreatedDate", inv->created);
	put_text_or_null(b, "CustomerReference", d->reference);
	put_text_or_null(b, "CustomerName", d->customer_name);
	put_text_or_null(b, "CustomerMobile", d->customer_mobile);
	put_text_or_null(b, "CustomerEmail", d->customer_email);
	put_text(b, "TransactionStatus", str_of(try_status_upper(t->status)));
	put_text(b, "PaymentMethod", str_of(gateway_name(t->gateway)));
	put_text_or_null(b, "UserDefinedField", d->user_defined);
	put_text(b, "ReferenceId", str_of(t->reference_id));
	put_text(b, "TrackId", str_of(t->track_id));
	put_text(b, "PaymentId", str_of(t->payment_id));
	put_text(b, "AuthorizationId", str_of(t->authorization_id));
	put_values_v1(b, inv, t);
	body_close(m);
}

/*
 * body_refund
 *		Event 2: a refund was made or refused.
 */
void
body_refund(Message *m, const Refund *refund)
{
	Buf *b = &m->body;
	const Invoice *inv = refund->invoice;
	const PaymentTry *paid = refund->paid;
	const char *status = refund_status_word(refund->status);

	body_open(m);
	if (m->version == 1)
	{
		put_member(b, "RefundId");
		buf_put_int(b, refund->id);
		put_member(b, "RefundReference");
		buf_put_refund_reference(b, refund);
		put_compact(b, "CreatedDate", refund->created);
		put_upper(b, "RefundStatus", status);
		put_amount(b, "Amount", refund->amount);
		put_text(b, "Comments", str_of(refund->comment));
		buf_printf(b, ",\"InvoiceId\":\"%lld\",\"GatewayReference\":{", (long long) inv->id);
		put_text(b, "AuthorizationId", str_of(paid->authorization_id));
		put_text(b, "PaymentId", str_of(paid->payment_id));
		put_text(b, "ReferenceId", str_of(paid->reference_id));
		put_amount(b, "RefundAmount", refund->given_back);
		put_text(b, "TransactionId", str_of(paid->transaction_id));
		put_text(b, "Currency", str_of(inv->account->currency_iso));
		put_text(b, "PaymentMethod", str_of(gateway_name(paid->gateway)));
		buf_putc(b, '}');
		body_close(m);
		return;
	}
	buf_printf(b, "\"Refund\":{\"Id\":\"%lld\",\"Reference\":", (long long) refund->id);
	buf_put_refund_reference(b, refund);
	put_upper(b, "Status", status);
	buf_printf(b, ",\"InvoiceId\":\"%lld\"", (long long) refund->own_invoice_id);
	put_utc(b, "CreationDate", refund->created, 3);
	put_utc(b, "RefundDate", refund->decided, 7);
	put_text(b, "RRN", str_of(refund->rrn));
	put_text(b, "Comment", str_of(refund->comment));
	put_text(b, "VendorComment", str_of(refund->by_suppliers ? "Supplier Refund" : ""));
	buf_puts(b, "},\"Amount\":{");
	put_text(b, "BaseCurrency", str_of(inv->account->currency_iso));
	put_amount(b, "ValueInBaseCurrency", refund->amount);
	buf_puts(b, ",\"Distribution\":{");
	put_amount(b, "Vendor", refund_by_vendor(refund));
	buf_puts(b, ",\"Suppliers\":[");
	for (int i = 0; i < refund->share_count; i++)
	{
		long long code = refund->shares[i].code;

		buf_printf(b, "%s{\"Code\":%lld,\"Name\":\"Supplier %lld\"", i > 0 ? "," : "", code, code);
		put_amount(b, "Amount", refund->shares[i].amount);
		buf_putc(b, '}');
	}
	buf_printf(b, "]}},\"ReferencedInvoice\":{\"Id\":\"%lld\",\"Reference\":", (long long) inv->id);
	put_invoice_reference(b, inv);
	put_text_or_null(b, "ExternalIdentifier", inv->data.reference);
	put_text(b, "PaymentMethod", str_of(gateway_name(paid->gateway)));
	put_text(b, "BaseCurrency", str_of(inv->account->currency_iso));
	put_amount(b, "ValueInBaseCurrency", inv->value);
	put_amount(b, "RemainingValueInBaseCurrency", refund_remaining(inv));
	buf_putc(b, '}');
	body_close(m);
}

/*
 * body_dispute
 *		Event 6: a payer objects to a payment.
 */
void
body_dispute(Message *m, const Invoice *inv, const PaymentTry *t, const Dispute *dispute)
{
	Buf *b = &m->body;
	const InvoiceData *d = &inv->data;
	const char *track = strrchr(t->track_id, '_');
	Str transaction = str_of(track != NULL ? track + 1 : t->track_id);

	body_open(m);
	if (m->version == 2)
	{
		buf_puts(b, "\"Dispute\":{");
		put_text(b, "Type", dispute->type);
		put_text(b, "Status", dispute->status);
		put_utc(b, "CreatedDate", m->at, 7);
		put_text(b, "ChargeBackType", dispute->charge_back_type);
		put_text(b, "Reason", dispute->reason);
		buf_printf(b, ",\"DisputeTransactionId\":%lld,\"InvoiceTransactionId\":", (long long) dispute->id);
		buf_put_str(b, transaction);
		buf_putc(b, '}');
		object_invoice(b, inv);
		object_transaction(b, t, "Transaction", false, true);
		object_customer(b, inv);
		object_amounts(b, inv, t);
		body_close(m);
		return;
	}
	put_member(b, "InvoiceId");
	buf_put_int(b, inv->id);
	put_member(b, "InvoiceReference");
	put_invoice_reference(b, inv);
	put_text_or_null(b, "CustomerReference", d->reference);
	put_text(b, "CustomerName", d->customer_name);
	put_text(b, "CustomerMobile", d->customer_mobile);
	put_text(b, "CustomerEmail", d->customer_email);
	put_text(b, "TransactionStatus", str_of(try_status_upper(t->status)));
	put_text(b, "UserDefinedField", d->user_defined);
	put_values_v1(b, inv, t);
	put_member(b, "DisputeTransactionId");
	buf_put_int(b, dispute->id);
	put_text(b, "DisputeType", dispute->type);
	put_text(b, "DisputeStatus", dispute->status);
	put_text(b, "DisputeChargeBackType", dispute->charge_back_type);
	put_text(b, "DisputeReason", dispute->reason);
	put_member(b, "InvoiceTransactionId");
	buf_put_str(b, transaction);
	put_compact(b, "DisputeCreatedDate", m->at);
	put_upper(b, "InvoiceStatus", store_is_paid(inv) ? "PAID" : inv->status);
	put_compact(b, "InvoiceCreationDate", inv->created);
	put_text_or_null(b, "InvoiceExternalIdentifier", d->reference);
	put_text(b, "TransactionId", str_of(t->transaction_id));
	put_text(b, "TransactionPaymentMethod", str_of(gateway_name(t->gateway)));
	put_text(b, "TransactionReferenceId", str_of(t->reference_id));
	put_text(b, "TransactionECI", str_of(t->gateway == GATEWAY_CARD ? "02" : ""));
	put_compact(b, "TransactionDate", t->at);
	put_text(b, "TransactionAuthorizationId", str_of(t->authorization_id));
	put_text(b, "TransactionTrackId", str_of(t->track_id));
	put_text(b, "TransactionPaymentId", str_of(t->payment_id));
	put_amount(b, "ServiceChargeVAT", t->vat);
	put_amount(b, "ServiceCharge", t->charge);
	put_amount(b, "ReceivableAmount", object_receivable(inv, t));
	body_close(m);
}
