/*
 * inquiry_answer.c
 *	  The one reader of payments: what an answer says becomes payment states and tries.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inquiry_answer.c
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "account.h"
#include "compat.h"
#include "inquiry_internal.h"
#include "myfatoorah.h"
#include "request.h"

/* Decimals with more characters than this are no amounts. */
#define DECIMAL_MAX 60

static bool is_reference_of(const MfSqlScope *scope, const MfPaymentRow *row, const char *utf8);
static char *another_reference(const MfFlight *flight, const MfPaymentRow *row);
static void take_payment(MfInquiryBatch *batch, MfFlight *flight, const MfPaymentRow *row, MfPaymentChange *change);
static void take_refunds(MfFlight *flight, const MfPaymentRow *row, MfPaymentChange *change);
static void take_tries(MfInquiryBatch *batch, const MfFlight *flight, const MfAccount *account);
static const char *plain_decimal(const char *text);

/* See inquiry_internal.h. */
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
		if (!flight->own_trouble || next->failures < MF_ITEM_FAILURES)
			return;
	}

	change = &batch->changes[batch->change_count++];
	change->invoice = flight->invoice;
	change->from = change->to = row->status;
	change->attempt = row->attempts;
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
		take_refunds(flight, row, change);
	else if (lookup != MF_FOUND)
		change->error = psprintf("MyFatoorah does not find invoice %s: %s", row->invoice_id, mf_flight_error(flight));
	else if (strcmp(flight->found.values[MF_PS_INVOICE_ID], row->invoice_id) != 0)
		change->error = psprintf("asked for invoice %s, MyFatoorah answered with invoice %s", row->invoice_id,
								 flight->found.values[MF_PS_INVOICE_ID]);
	else if (!is_reference_of(scope, row, flight->found.values[MF_PS_CUSTOMER_REFERENCE]))
		change->error = another_reference(flight, row);
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

	if (utf8 == NULL)
		return false;
	if (mf_reference_number(utf8, &stem) <= mf_reference_number(ours, &our_stem) &&
		stem == our_stem && strncmp(utf8, ours, stem) == 0)
		return true;
	return mf_queue_was_tried(scope, row->invoice, mf_from_utf8_lossy(utf8));
}

/* Why such an answer counts for nothing */
static char *
another_reference(const MfFlight *flight, const MfPaymentRow *row)
{
	const char *reference = mf_inquiry_text(flight->found.values[MF_PS_CUSTOMER_REFERENCE]);

	return psprintf("MyFatoorah answered about invoice %s with %s%s%s, which is none of this row; the base_url, environment or key of account \"%s\" may be another than when it was sent",
					row->invoice_id, reference && *reference ? "CustomerReference \"" : "no CustomerReference",
					reference ? reference : "", reference && *reference ? "\"" : "", flight->circuit->account);
}

/* What GetPaymentStatus says. */
static void
take_payment(MfInquiryBatch *batch, MfFlight *flight, const MfPaymentRow *row, MfPaymentChange *change)
{
	const MfAccount *account = mf_account_get(flight->circuit->account);
	const MfPayment *payment = &flight->payment;
	char	   *const *values = flight->found.values;
	const char *word = mf_inquiry_text(values[MF_PS_INVOICE_STATUS]);
	MfPaymentStatus read = payment->status;
	TimestampTz expires_at = mf_inquiry_expiry(flight);

	change->invoice_status = word;
	change->base_value = plain_decimal(values[MF_PS_INVOICE_VALUE]);
	change->base_currency = change->base_value ? account->currency : NULL;
	change->display_value = plain_decimal(values[MF_PS_INVOICE_DISPLAY_VALUE]);
	change->display_currency = change->display_value ? mf_inquiry_text(values[MF_PS_DISPLAY_CURRENCY]) : NULL;
	take_tries(batch, flight, account);

	if (!payment->known)
	{
		change->error = psprintf("MyFatoorah says InvoiceStatus \"%s\", a word that is not known; payment_status was left as it was",
								 word ? word : "");
		return;
	}

	/* expired is not a word of MyFatoorah's: it follows from the time */
	if (read == MF_UNPAID && !payment->unsettled && expires_at != 0 && expires_at <= batch->now)
		read = MF_EXPIRED;
	change->to = mf_payment_next(row->status, read);
	if (flight->inquiry->refunds && mf_payment_was_paid(change->to))
		mf_inquiry_confirm(flight->invoice);
	if (mf_payment_was_paid(row->status) && read != MF_PAID && !payment->unsettled)
		change->error = psprintf("MyFatoorah now says InvoiceStatus \"%s\" of an invoice that was paid", word);
	change->reason = psprintf("InvoiceStatus \"%s\"", word);

	if (read == MF_PAID)
	{
		change->paid_at = batch->now;
		change->overpaid = payment->successes > 1;
		change->paid_late = row->status == MF_EXPIRED || row->status == MF_REMOTE_CANCELLED;
		if (payment->paid_by >= 0)
		{
			char	   *const *attempt = payment->tries[payment->paid_by].values;

			change->payment_id = mf_inquiry_text(attempt[MF_TX_PAYMENT_ID]);
			change->pay_value = plain_decimal(attempt[MF_TX_PAID_CURRENCY_VALUE]);
			change->pay_currency = change->pay_value ? mf_inquiry_text(attempt[MF_TX_PAID_CURRENCY]) : NULL;
			if (attempt[MF_TX_TRANSACTION_DATE] != NULL)
				change->paid_at = mf_account_timestamp(account, attempt[MF_TX_TRANSACTION_DATE]);
			if (change->payment_id != NULL)
				change->reason = psprintf("%s, PaymentId %s", change->reason, change->payment_id);
		}
	}
}

/* What GetRefundStatus says: the sum of what was carried out. */
static void
take_refunds(MfFlight *flight, const MfPaymentRow *row, MfPaymentChange *change)
{
	Datum		sum = DirectFunctionCall1(int8_numeric, Int64GetDatum(0));
	int			done = 0;
	int			i;

	/* what is wrong with the answers of GetPaymentStatus stays so */
	change->error = row->payment_error;
	for (i = 0; i < flight->refunds.count; i++)
	{
		const MfRefund *refund = &flight->refunds.refunds[i];
		const char *amount = plain_decimal(refund->refund_amount);

		if (pg_strcasecmp(refund->refund_status, "Refunded") != 0 || amount == NULL ||
			(refund->invoice_id != NULL && strcmp(refund->invoice_id, row->invoice_id) != 0))
			continue;
		done++;
		sum = DirectFunctionCall2(numeric_add, sum,
								  DirectFunctionCall3(numeric_in, CStringGetDatum(amount),
													  ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
	}
	if (done == 0)
		return;
	change->refunded_value = DatumGetCString(DirectFunctionCall1(numeric_out, sum));
	change->reason = psprintf("%d refunds, %s together", done, change->refunded_value);
	change->to = mf_payment_next(row->status, MF_PARTLY_REFUNDED);
	if (row->base_value != NULL &&
		DatumGetBool(DirectFunctionCall2(numeric_ge, sum,
										 DirectFunctionCall3(numeric_in, CStringGetDatum(row->base_value),
															 ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)))))
		change->to = mf_payment_next(row->status, MF_REFUNDED);
}

/* The tries of an answer, each under an id of its own. */
static void
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
			row->values[j] = mf_transaction_fields[j].kind == MF_DECIMAL ? plain_decimal(values[j]) : mf_inquiry_text(values[j]);
		if (values[MF_TX_TRANSACTION_DATE] != NULL)
			row->transaction_date = mf_account_timestamp(account, values[MF_TX_TRANSACTION_DATE]);

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
}

/* See inquiry_internal.h. */
const char *
mf_inquiry_text(const char *utf8)
{
	return utf8 ? mf_from_utf8_lossy(utf8) : NULL;
}

/* A decimal that numeric takes; NULL for what is none or too long to be an amount. */
static const char *
plain_decimal(const char *text)
{
	return text != NULL && text[0] != '\0' && strlen(text) <= DECIMAL_MAX ? text : NULL;
}
