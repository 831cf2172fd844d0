/*
 * inquiry_answer.c
 *	  The one reader of payments: what an answer says becomes payment states and tries.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inquiry/inquiry_answer.c
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "account/account.h"
#include "base/compat.h"
#include "base/encoding.h"
#include "base/settings.h"
#include "inquiry/inquiry_internal.h"
#include "request/request.h"

/* A payment that is told to be later than now by more than this, whatever the time zone, has not been. */
#define FUTURE_MS (24 * 3600 * 1000)

static bool is_reference_of(const MfSqlScope *scope, const MfPaymentRow *row, const char *utf8);
static bool is_same_text(const char *utf8, const char *ours);
static char *another_reference(const MfFlight *flight, const MfPaymentRow *row);
static void take_payment(MfInquiryBatch *batch, MfFlight *flight, const MfPaymentRow *row, MfPaymentChange *change);
static void take_money(MfInquiryBatch *batch, const MfFlight *flight, const MfPaymentRow *row, MfPaymentChange *change,
					   const MfTryRow *tries);
static bool is_captured(const MfFlight *flight, const MfPaymentRow *row);
static char *contradiction(const MfFlight *flight, const MfPaymentRow *row, const MfPaymentChange *change);
static void take_refunds(MfInquiryBatch *batch, MfFlight *flight, const MfPaymentRow *row, MfPaymentChange *change);
static const MfTryRow *take_tries(MfInquiryBatch *batch, const MfFlight *flight, const MfAccount *account);
static const char *told_amount(MfPaymentChange *change, const char *name, const char *text);
static TimestampTz told_time(const MfInquiryBatch *batch, const MfAccount *account, const char *text);
static const char *sane_amount(const char *text);
static void note_error(MfPaymentChange *change, const char *error);

void
mf_inquiry_take_answer(const MfSqlScope *scope, MfInquiryBatch *batch, MfFlight *flight, const MfPaymentRow *row)
{
	const MfInquiryJob *job = flight->inquiry;
	int			number = batch->next_count++;
	MfInquiryNext *next = &batch->next[number];
	MfPaymentChange *change;
	MfLookup	lookup = mf_flight_lookup(flight);

	batch->next_flights[number] = flight;
	next->invoice = job->invoice;
	next->requests = job->requests;
	next->refunds = job->refunds;
	next->urgent = job->urgent;
	next->by_callback = job->by_callback;
	next->tries = job->tries;
	next->step = job->step;

	if (strcmp(job->key, row->invoice_id) != 0)
	{
		/* a person has meanwhile said that the row is about another invoice */
		next->due = batch->now;
		next->urgent = true;
		return;
	}
	next->failures = mf_inquiry_count_failures(flight);
	if (lookup == MF_LOOKUP_FAILED || lookup == MF_LOOKUP_THROTTLED || lookup == MF_LOOKUP_ACCOUNT_PROBLEM)
	{
		/* no answer */
		next->due = mf_inquiry_retry_time(batch, flight);
		if (!flight->item_at_fault || next->failures < MF_ITEM_FAILURES)
			return;
	}

	change = &batch->changes[batch->change_count++];
	change->invoice = flight->invoice;
	change->from = change->to = row->status;
	change->attempt = row->attempts;
	change->received_value = row->received_value;
	change->refunded_value = row->refunded_value;
	change->base_value_before = row->base_value;
	if (next->due != 0)
	{
		char	   *error = mf_flight_error(flight);

		change->error = psprintf("MyFatoorah gives no usable answer about invoice %s: %s", row->invoice_id,
								 error ? error : "out of memory");
		return;
	}
	if (lookup == MF_LOOKUP_SENSELESS)
	{
		change->error = psprintf("MyFatoorah's answer about invoice %s makes no sense: %s", row->invoice_id,
								 mf_flight_error(flight));
		return;
	}
	batch->answered[batch->answered_count++] = flight->invoice;

	if (flight->kind == MF_JOB_REFUNDS)
		take_refunds(batch, flight, row, change);
	else if (lookup != MF_LOOKUP_FOUND)
		change->error = psprintf("MyFatoorah does not find invoice %s: %s", row->invoice_id, mf_flight_error(flight));
	else if (strcmp(flight->found.values[MF_PS_INVOICE_ID], row->invoice_id) != 0)
		change->error = psprintf("asked for invoice %s, MyFatoorah answered with invoice %s", row->invoice_id,
								 flight->found.values[MF_PS_INVOICE_ID]);
	else if (!is_reference_of(scope, row, flight->found.values[MF_PS_CUSTOMER_REFERENCE]))
	{
		change->error = another_reference(flight, row);
		/* money is on its way to somebody: mf_review has it until an answer is about this row again */
		if (flight->payment.known && flight->payment.status == MF_PAID)
			next->error = change->error;
	}
	else
		take_payment(batch, flight, row, change);
}

/*
 * Whether an answer is about an invoice of this row.  Numbers repeat at other
 * hosts and in other environments; references are ours: those that were given
 * up, which have the same stem and a lower number, and those of its attempts,
 * whatever the row says now.
 */
static bool
is_reference_of(const MfSqlScope *scope, const MfPaymentRow *row, const char *utf8)
{
	const char *ours = mf_to_utf8(row->reference);
	int			our_stem;
	int			stem;

	/* one that was made elsewhere has a reference of ours in its row only */
	if (row->attempts == 0 && is_same_text(utf8, row->customer_reference))
		return true;
	if (utf8 == NULL)
		return false;
	if (mf_reference_number(utf8, &stem) <= mf_reference_number(ours, &our_stem) &&
		stem == our_stem && strncmp(utf8, ours, stem) == 0)
		return true;
	return mf_queue_has_attempt(scope, row->invoice, mf_from_utf8_lossy(utf8));
}

/* Whether a text of an answer, cleaned as in a row, is that one; nothing is the same as none. */
static bool
is_same_text(const char *utf8, const char *ours)
{
	return strcmp(utf8 ? mf_clean_text(mf_from_utf8_lossy(utf8), MF_CLEAN_TEXT) : "", ours ? ours : "") == 0;
}

/* Why such an answer counts for nothing */
static char *
another_reference(const MfFlight *flight, const MfPaymentRow *row)
{
	const char *reference = mf_inquiry_text(flight->found.values[MF_PS_CUSTOMER_REFERENCE]);

	return psprintf("MyFatoorah answered about invoice %s with %s%s%s, which is none of this row; the base_url, environment or key of account \"%s\" may be another than when it was sent",
					row->invoice_id, reference && *reference ? "CustomerReference \"" : "no CustomerReference",
					reference ? reference : "", reference && *reference ? "\"" : "", flight->throttle->account);
}

/* What GetPaymentStatus says. */
static void
take_payment(MfInquiryBatch *batch, MfFlight *flight, const MfPaymentRow *row, MfPaymentChange *change)
{
	const MfAccount *account = mf_account_get(flight->throttle->account);
	const MfPayment *payment = &flight->payment;
	char	   *const *values = flight->found.values;
	const char *word = mf_inquiry_text(values[MF_PS_INVOICE_STATUS]);
	MfPaymentStatus read = payment->status;
	TimestampTz expires_at = told_time(NULL, account, values[MF_PS_EXPIRY_DATE]);
	const MfTryRow *tries;

	if (values[MF_PS_EXPIRY_DATE] != NULL && expires_at == 0)
		note_error(change, psprintf("MyFatoorah says that invoice %s expires at %s, which cannot be", row->invoice_id,
									values[MF_PS_EXPIRY_DATE]));
	change->invoice_status = word;
	change->expires_at = expires_at;
	change->base_value = told_amount(change, "InvoiceValue", values[MF_PS_INVOICE_VALUE]);
	if (change->base_value == NULL || mf_amount_compare(change->base_value, "0") == 0)
	{
		change->base_value = NULL;
		note_error(change, psprintf("MyFatoorah names no InvoiceValue of invoice %s; payment_status was left as it was", row->invoice_id));
		return;
	}
	change->base_currency = account->currency;
	change->display_value = told_amount(change, "InvoiceDisplayValue", values[MF_PS_INVOICE_DISPLAY_VALUE]);
	change->display_currency = change->display_value ? mf_inquiry_text(values[MF_PS_DISPLAY_CURRENCY]) : NULL;
	tries = take_tries(batch, flight, account);

	if (!payment->known)
	{
		change->error = psprintf("MyFatoorah says InvoiceStatus \"%s\", a word that is not known; payment_status was left as it was",
								 word ? word : "");
		return;
	}
	change->read = true;

	/* expired is not a word of MyFatoorah's: it follows from the time */
	if (expires_at == 0)
		expires_at = mf_inquiry_expiry(flight);
	if (read == MF_UNPAID && !payment->unsettled && expires_at != 0 && expires_at <= batch->now)
		read = MF_EXPIRED;
	change->to = mf_payment_next(row->status, read);
	if (flight->inquiry->refunds && mf_payment_was_paid(change->to))
		mf_inquiry_confirm(flight->invoice);
	if (mf_payment_was_paid(row->status) && read != MF_PAID && !payment->unsettled)
		change->error = psprintf("MyFatoorah now says InvoiceStatus \"%s\" of an invoice that was paid", word);
	else if (read != MF_PAID && payment->successes > 0)
		note_error(change, psprintf("MyFatoorah says InvoiceStatus \"%s\" of invoice %s, and lists a payment", word, row->invoice_id));
	change->reason = psprintf("InvoiceStatus \"%s\"", word);
	if (mf_payment_was_paid(change->to))
		take_money(batch, flight, row, change, tries);
	if (read == MF_PAID)
	{
		change->overpaid = payment->successes > 1;
		change->paid_late = row->status == MF_EXPIRED || row->status == MF_REMOTE_CANCELLED;
		change->paid_at = batch->now;
		if (payment->paid_by >= 0)
		{
			char	   *const *attempt = payment->tries[payment->paid_by].values;

			change->payment_id = mf_inquiry_text(attempt[MF_TX_PAYMENT_ID]);
			change->pay_value = told_amount(change, "PaidCurrencyValue", attempt[MF_TX_PAID_CURRENCY_VALUE]);
			change->pay_currency = change->pay_value ? mf_inquiry_text(attempt[MF_TX_PAID_CURRENCY]) : NULL;
			if (tries[payment->paid_by].transaction_date != 0)
				change->paid_at = tries[payment->paid_by].transaction_date;
			else if (attempt[MF_TX_TRANSACTION_DATE] != NULL)
				note_error(change, psprintf("MyFatoorah says that invoice %s was paid at %s, which cannot be", row->invoice_id,
											attempt[MF_TX_TRANSACTION_DATE]));
		}
	}
}

/*
 * What the payments of an answer have brought, in the currency of the account, and
 * what MyFatoorah keeps of them.  A payment is one of the whole invoice: where its
 * value is not told in that currency, it is the invoice's.
 */
static void
take_money(MfInquiryBatch *batch, const MfFlight *flight, const MfPaymentRow *row, MfPaymentChange *change,
		   const MfTryRow *tries)
{
	const char *currency = change->base_currency;
	int			i;

	change->contradiction = contradiction(flight, row, change);
	for (i = 0; i < flight->payment.try_count; i++)
	{
		const char *id = tries[i].values[MF_TX_PAYMENT_ID];
		const char *in = tries[i].values[MF_TX_CURRENCY];
		const char *value = change->base_value;
		const char *charge = tries[i].values[MF_TX_TOTAL_SERVICE_CHARGE];
		const char *on_customer = tries[i].values[MF_TX_CUSTOMER_SERVICE_CHARGE];
		const char *tax = tries[i].values[MF_TX_VAT_AMOUNT];

		if (flight->payment.tries[i].status != MF_TRY_SUCCESS)
			continue;
		if (in != NULL && strcmp(in, currency) != 0)
			charge = NULL;
		else if (tries[i].values[MF_TX_TRANSATION_VALUE] != NULL)
			value = tries[i].values[MF_TX_TRANSATION_VALUE];
		mf_inquiry_tell_money(batch, row->invoice, MF_MONEY_PAYMENT, id, value, currency, id);
		if (mf_amount_compare(value, change->base_value) != 0 && change->contradiction == NULL && !is_captured(flight, row))
			change->contradiction = psprintf("PaymentId %s is one of %s %s, and the invoice of %s %s", id, value, currency,
											 change->base_value, currency);

		/* whether the part of a customer who bears it is in it, no source tells */
		if (charge != NULL && (on_customer == NULL || mf_amount_compare(on_customer, "0") == 0))
			mf_inquiry_tell_money(batch, row->invoice, MF_MONEY_FEE, id, tax ? mf_amount_add(charge, tax) : charge, currency, id);
	}
}

/* Of an amount that was held, a part may have been taken, which is the invoice's value then. */
static bool
is_captured(const MfFlight *flight, const MfPaymentRow *row)
{
	bool		captured = row->status == MF_AUTHORIZED;
	int			i;

	for (i = 0; i < flight->payment.try_count; i++)
		captured |= flight->payment.tries[i].status == MF_TRY_AUTHORIZED;
	return captured;
}

/* How the invoice of an answer differs from what the row asks for; NULL if it does not. */
static char *
contradiction(const MfFlight *flight, const MfPaymentRow *row, const MfPaymentChange *change)
{
	const char *value = change->display_currency ? change->display_value : change->base_value;
	const char *currency = change->display_currency ? change->display_currency : change->base_currency;
	int			difference;

	if (row->currency == NULL)
		return NULL;
	difference = mf_amount_compare(value, row->invoice_value);
	if (strcmp(currency, row->currency) == 0 && (difference == 0 || (difference < 0 && is_captured(flight, row))))
		return NULL;
	return psprintf("MyFatoorah has invoice %s with %s %s, and this row asks for %s %s", row->invoice_id, value, currency,
					row->invoice_value, row->currency);
}

/* What GetRefundStatus says: what was carried out. */
static void
take_refunds(MfInquiryBatch *batch, MfFlight *flight, const MfPaymentRow *row, MfPaymentChange *change)
{
	const MfAccount *account = mf_account_get(flight->throttle->account);
	int			i;

	change->reason = "GetRefundStatus";
	/* what is wrong with the answers of GetPaymentStatus stays so */
	change->error = row->payment_error;
	for (i = 0; i < flight->refunds.count; i++)
	{
		const MfRefund *refund = &flight->refunds.refunds[i];
		const char *amount;

		if (pg_strcasecmp(refund->refund_status, "Refunded") != 0 ||
			(refund->invoice_id != NULL && strcmp(refund->invoice_id, row->invoice_id) != 0))
			continue;
		amount = told_amount(change, "Amount", refund->amount);
		if (amount != NULL)
			mf_inquiry_tell_money(batch, row->invoice, MF_MONEY_REFUND, refund->refund_id, amount, account->currency, NULL);
	}
}

/* The tries of an answer, each under an id of its own; the first of them, in their order. */
static const MfTryRow *
take_tries(MfInquiryBatch *batch, const MfFlight *flight, const MfAccount *account)
{
	int			first = batch->try_count;
	int			i;

	for (i = 0; i < flight->payment.try_count; i++)
	{
		char	   *const *values = flight->payment.tries[i].values;
		MfTryRow   *row = &batch->tries[batch->try_count++];
		const char *id;
		int			same = 1;
		int			j;

		row->invoice = flight->invoice;
		for (j = 0; j < MF_TX_COUNT; j++)
			row->values[j] = mf_transaction_fields[j].kind == MF_DECIMAL ? sane_amount(values[j]) : mf_inquiry_text(values[j]);
		row->transaction_date = told_time(batch, account, values[MF_TX_TRANSACTION_DATE]);

		/* MyFatoorah gives each a PaymentId; should it not, nothing is lost */
		id = row->values[MF_TX_PAYMENT_ID];
		if (id == NULL || id[0] == '\0')
			id = row->values[MF_TX_TRANSACTION_ID] ? row->values[MF_TX_TRANSACTION_ID] : "";
		row->values[MF_TX_PAYMENT_ID] = id;
		for (j = first; j < batch->try_count - 1; j++)
		{
			if (strcmp(batch->tries[j].values[MF_TX_PAYMENT_ID], row->values[MF_TX_PAYMENT_ID]) == 0)
			{
				row->values[MF_TX_PAYMENT_ID] = psprintf("%s#%d", id, ++same);
				j = first - 1;
			}
		}
	}
	return &batch->tries[first];
}

/* An amount of an answer; NULL if it is not told, or cannot be, which is noted. */
static const char *
told_amount(MfPaymentChange *change, const char *name, const char *text)
{
	const char *amount = sane_amount(text);

	if (amount == NULL && text != NULL && text[0] != '\0')
		note_error(change, psprintf("MyFatoorah says %s %.40s, which cannot be", name, text));
	return amount;
}

/*
 * A time of an answer; 0 if it is not told, or cannot be.  With a batch: it cannot
 * be later than that.
 */
static TimestampTz
told_time(const MfInquiryBatch *batch, const MfAccount *account, const char *text)
{
	TimestampTz time = text != NULL ? mf_account_timestamp(account, text) : 0;

	return time < MF_TIME_MIN || time >= MF_TIME_END ||
		(batch != NULL && time > TimestampTzPlusMilliseconds(batch->now, FUTURE_MS)) ? 0 : time;
}

static const char *
sane_amount(const char *text)
{
	return text != NULL && mf_amount_is_sane(text) ? text : NULL;
}

/* The first thing that is wrong with an answer is told. */
static void
note_error(MfPaymentChange *change, const char *error)
{
	if (change->error == NULL)
		change->error = error;
}

const char *
mf_inquiry_text(const char *utf8)
{
	return utf8 ? mf_from_utf8_lossy(utf8) : NULL;
}
