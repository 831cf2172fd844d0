/*
 * webhook_other.c
 *	  Webhooks about deposits, suppliers and recurring payments. Members and
 *	  formats are MyFatoorah's; values are made up where the stand-in keeps
 *	  nothing of the kind.
 */
#include "delivery.h"

#include <ctype.h>

/*
 * put_deposit
 *		Event 3: money went to a bank; values are made up unless there was a
 *		deposit.
 */
static void
put_deposit(Message *m, const Deposit *d)
{
	Buf *b = &m->body;
	Buf reference = {0};
	Buf amount = {0};
	int count = d != NULL ? d->count : 511;
	Ticks at = d != NULL ? d->at : m->at;

	buf_put_decimal(&amount, d != NULL ? d->announced : (Decimal){15968333, 3});
	if (d != NULL)
		buf_put_deposit_reference(&reference, d);
	else
		buf_puts(&reference, "\"2026000006\"");
	if (m->version == 1)
	{
		buf_printf(b,
				   "\"DepositReference\":%s,\"DepositedAmount\":\"%s\",\"NumberOfTransactions\":\"%d\","
				   "\"DepositFor\":\"%s\",\"SupplierCode\":",
				   reference.data, amount.data, count, d != NULL && d->supplier != 0 ? "SUPPLIER" : "VENDOR");
		if (d != NULL && d->supplier != 0)
			buf_put_int(b, d->supplier);
		else
			buf_puts(b, "\"\"");
	}
	else
	{
		buf_printf(b,
				   "\"Deposit\":{\"Reference\":%s,\"BaseCurrency\":\"%s\",\"ValueInBaseCurrency\":\"%s\","
				   "\"NumberOfTransactions\":\"%d\",\"DepositDate\":\"",
				   reference.data, m->account->currency_iso, amount.data, count);
		buf_put_utc(b, at / TICKS_PER_SECOND * TICKS_PER_SECOND, 7, false);
		buf_puts(b, "\"},\"Supplier\":");
		if (d != NULL && d->supplier != 0)
			buf_printf(b, "{\"Code\":%lld,\"Name\":\"Supplier %lld\"}", (long long) d->supplier,
					   (long long) d->supplier);
		else
			buf_puts(b, "null");
		buf_puts(b, ",\"Bank\":{\"Name\":\"Test Bank\",\"IBAN\":\"SA2405000068200013262001\","
					"\"AccountNumber\":\"12345678\"}");
	}
	buf_free(&reference);
	buf_free(&amount);
}

/*
 * put_supplier
 *		Event 4: a supplier was approved or rejected.
 */
static void
put_supplier(Message *m, Str status)
{
	Buf *b = &m->body;

	if (m->version == 1)
	{
		buf_puts(b, "\"SupplierCode\":11,\"SupplierName\":\"Test Supplier\",\"SupplierMobile\":\"12345678\","
					"\"SupplierEmail\":\"supplier@example.com\",\"SupplierStatus\":");
		buf_put_json(b, status);
		buf_puts(b, ",\"KycFeedback\":{\"Comments\":\"missing documents\",\"RejectReasons\":\"1,5,15\"}");
		return;
	}
	buf_puts(b, "\"Supplier\":{\"Code\":11,\"Name\":\"Test Supplier\",\"Mobile\":\"12345678\","
				"\"Email\":\"supplier@example.com\"},\"KycDecision\":{\"Status\":");
	buf_put_json(b, status);
	buf_puts(b, ",\"Comments\":\"\",\"RejectionReason\":[]},"
				"\"BusinessCategory\":{\"Code\":\"5814\",\"Name\":\"Cafes\"}");
}

/*
 * put_recurring
 *		Event 5: a deduction of a recurring payment, of a plan or, without one,
 *		made up for an invoice.
 */
static void
put_recurring(Message *m, Str status, const Invoice *inv, const Recurring *plan)
{
	Buf *b = &m->body;
	const PaymentTry *t = inv->last_try;
	int year = local_time(inv->created).year;
	Ticks next = plan != NULL ? plan->next_pay : m->at + (Ticks) 30 * 86400 * TICKS_PER_SECOND;
	const char *id = plan != NULL ? plan->id : "RECUR31144164";
	long long first = plan != NULL ? plan->first->id : inv->id;

	if (m->version == 1)
	{
		buf_printf(b, "\"RecurringId\":\"%s\",\"RecurringStatus\":", id);
		buf_put_json(b, status);
		buf_puts(b, ",\"NextPayDate\":\"");
		buf_put_compact_time(b, next);
		buf_printf(b, "\",\"InvoiceId\":%lld,\"InvoiceReference\":\"%d%06lld\",\"CreatedDate\":\"",
				   (long long) inv->id, year, (long long) inv->number);
		buf_put_compact_time(b, inv->created);
		buf_printf(b,
				   "\",\"TransactionStatus\":\"%s\",\"ReferenceId\":\"%s\",\"TrackId\":\"%s\","
				   "\"PaymentId\":\"%s\",\"AuthorizationId\":\"%s\",\"InvoiceValueInBaseCurrency\":\"",
				   try_status_upper(t->status), t->reference_id, t->track_id, t->payment_id,
				   t->authorization_id);
		buf_put_plain(b, t->value);
		buf_printf(b, "\",\"BaseCurrency\":\"%s\"", m->account->currency_iso);
		return;
	}
	buf_printf(b, "\"Recurring\":{\"Id\":\"%s\",\"NextPayDate\":\"", id);
	buf_put_utc(b, next / TICKS_PER_SECOND * TICKS_PER_SECOND, 7, false);
	buf_puts(b, "\",\"Status\":");
	buf_put_json(b, status);
	buf_printf(b,
			   ",\"InitialInvoiceId\":\"%lld\"},\"Payment\":{\"Invoice\":{\"Id\":\"%lld\",\"Status\":\"%s\"",
			   first, (long long) inv->id, store_is_paid(inv) ? "PAID" : "PENDING");
	buf_printf(b, ",\"Reference\":\"%d%06lld\",\"CreationDate\":\"", year, (long long) inv->number);
	buf_put_utc(b, inv->created, 7, false);
	buf_puts(b, "\",\"ExpirationDate\":\"");
	buf_put_utc(b, inv->expiry, 7, false);
	buf_puts(b, "\",\"UserDefinedField\":");
	buf_put_json(b, inv->data.user_defined);
	buf_printf(b,
			   "},\"Transaction\":{\"Id\":\"%s\",\"Status\":\"%s\",\"PaymentMethod\":\"VISA/MASTER\","
			   "\"PaymentId\":\"%s\",\"ReferenceId\":\"%s\",\"TrackId\":\"%s\",\"AuthorizationId\":\"%s\","
			   "\"TransactionDate\":\"",
			   t->transaction_id, try_status_upper(t->status), t->payment_id, t->reference_id, t->track_id,
			   t->authorization_id);
	buf_put_utc(b, t->at, 7, false);
	buf_puts(b, "\"}}");
}

/*
 * put_supplier_update
 *		Event 7: a change a supplier asked for was decided.
 */
static void
put_supplier_update(Message *m, Str status)
{
	Buf *b = &m->body;

	if (m->version == 1)
	{
		buf_puts(b, "\"RequestStatus\":");
		buf_put_json(b, status);
		buf_puts(b, ",\"Comments\":\"\",\"ActionDate\":\"");
		buf_put_compact_time(b, m->at);
		buf_puts(b, "\",\"SupplierCode\":330,\"SupplierName\":\"Test Supplier\","
					"\"SupplierMobile\":\"12345678\",\"SupplierEmail\":\"supplier@example.com\","
					"\"SupplierStatus\":\"APPROVED\"");
		return;
	}
	buf_puts(b, "\"Supplier\":{\"Code\":330,\"Name\":\"Test Supplier\",\"Mobile\":\"12345678\","
				"\"Email\":\"supplier@example.com\",\"Status\":\"APPROVED\"},\"RequestStatus\":{\"Status\":");
	buf_put_json(b, status);
	buf_puts(b, ",\"Comments\":\"Test comment\",\"ActionDate\":\"");
	buf_put_utc(b, m->at, 7, false);
	buf_puts(b, "\"}");
}

/*
 * body_deposit
 *		Event 3 about a deposit there was.
 */
void
body_deposit(Message *m, const Deposit *d)
{
	body_open(m);
	put_deposit(m, d);
	body_close(m);
}

/*
 * body_recurring
 *		Event 5 about a repetition of a plan.
 */
void
body_recurring(Message *m, const Recurring *plan, const Invoice *inv)
{
	Buf word = {0};

	for (const char *w = recurring_status_word(plan->status); *w != '\0'; w++)
		buf_putc(&word, (char) toupper((unsigned char) *w));
	body_open(m);
	put_recurring(m, (Str){word.data, word.len}, inv, plan);
	body_close(m);
	buf_free(&word);
}

/*
 * body_other
 *		One of the events 3, 4, 5 and 7; event 5 needs an invoice with a try.
 *		*entity becomes the EventEntityId (static text), unless that is the
 *		invoice's.
 */
void
body_other(Message *m, Str status, const Invoice *inv, const char **entity)
{
	body_open(m);
	switch (m->code)
	{
		case 3:
			put_deposit(m, NULL);
			*entity = "2026000006";
			break;
		case 4:
			put_supplier(m, status.len > 0 ? status : STR_LIT("APPROVED"));
			*entity = "11";
			break;
		case 5:
			put_recurring(m, status.len > 0 ? status : STR_LIT("ACTIVE"), inv, NULL);
			break;
		default:
			put_supplier_update(m, status.len > 0 ? status : STR_LIT("APPROVED"));
			*entity = "330";
			break;
	}
	body_close(m);
}
