/*
 * inquiry_answer.c
 *	  Converts an answer about an invoice to changes of its row, tries and money.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inquiry/inquiry_answer.c
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/encoding.h"
#include "inquiry/inquiry_internal.h"

/* A time of payment this far in the future is impossible, whatever the time zone. */
#define FUTURE_MS (24 * 3600 * 1000)

static MfInquiryNext *add_next(MfInquiryBatch *batch, MfFlight *flight);
static MfPaymentChange *add_change(MfInquiryBatch *batch, const MfPaymentRow *row);
static bool is_of_row(const MfSqlScope *scope, const MfFlight *flight, const MfPaymentRow *row);
static bool is_same_or_earlier(const char *reference, const char *ours);
static bool is_same_text(const char *utf8, const char *ours);
static bool is_elsewhere(const MfFlight *flight, const MfPaymentRow *row);
static char *address_error(const MfFlight *flight, const MfPaymentRow *row);
static char *reference_error(const MfFlight *flight, const MfPaymentRow *row);
static void read_payment(MfInquiryBatch *batch, MfFlight *flight, const MfPaymentRow *row, MfPaymentChange *change);
static bool read_values(MfFlight *flight, const MfPaymentRow *row, MfPaymentChange *change);
static const char *base_currency(const MfPaymentRow *row, const MfPaymentChange *change, const MfAccount *account);
static void read_status(MfInquiryBatch *batch, MfFlight *flight, const MfPaymentRow *row, MfPaymentChange *change);
static void read_paid_try(MfInquiryBatch *batch, const MfFlight *flight, const MfPaymentRow *row,
						  MfPaymentChange *change, const MfTryRow *tries);
static void read_money(MfInquiryBatch *batch, const MfFlight *flight, const MfPaymentRow *row, MfPaymentChange *change,
					   const MfTryRow *tries);
static bool is_capture(const MfFlight *flight, const MfPaymentRow *row);
static char *find_contradiction(const MfFlight *flight, const MfPaymentRow *row, const MfPaymentChange *change);
static char *other_currency(const MfFlight *flight, const MfPaymentRow *row);
static const char *refund_currency(const MfFlight *flight, const MfPaymentRow *row);
static void read_refunds(MfInquiryBatch *batch, MfFlight *flight, const MfPaymentRow *row, MfPaymentChange *change);
static const MfTryRow *read_tries(MfInquiryBatch *batch, const MfFlight *flight, const MfAccount *account);
static const char *read_amount(MfPaymentChange *change, const char *name, const char *text);
static TimestampTz read_time(const MfAccount *account, const char *text, TimestampTz latest);
static const char *plausible_amount(const char *text);
static void set_error(MfPaymentChange *change, const char *error);

void
mf_inquiry_add_answer(const MfSqlScope *scope, MfInquiryBatch *batch, MfFlight *flight, const MfPaymentRow *row)
{
	MfLookup	lookup = mf_flight_lookup(flight);
	MfInquiryNext *next = add_next(batch, flight);
	MfPaymentChange *change;

	if (strcmp(flight->inquiry->key, row->invoice_id) != 0)
	{
		/* a person has given the row another InvoiceId meanwhile */
		next->due = batch->now;
		next->urgent = true;
		return;
	}
	next->failures = mf_inquiry_count_failures(flight);
	if (lookup == MF_LOOKUP_FAILED || lookup == MF_LOOKUP_THROTTLED || lookup == MF_LOOKUP_ACCOUNT_PROBLEM)
	{
		next->due = mf_inquiry_retry_time(batch, flight);
		if (flight->item_at_fault && next->failures >= MF_ITEM_FAILURES)
		{
			char	   *error = mf_flight_error(flight);

			add_change(batch, row)->error = psprintf("MyFatoorah gives no usable answer about invoice %s: %s",
													 row->invoice_id, error ? error : "out of memory");
		}
		return;
	}

	change = add_change(batch, row);
	if (lookup == MF_LOOKUP_INCONCLUSIVE)
	{
		change->error = psprintf("MyFatoorah's answer about invoice %s is invalid: %s", row->invoice_id,
								 mf_flight_error(flight));
		return;
	}
	batch->answered[batch->answered_count++] = row->invoice;

	if (flight->kind == MF_JOB_REFUNDS)
	{
		next->error = change->error = other_currency(flight, row);
		if (change->error == NULL)
			read_refunds(batch, flight, row, change);
		return;
	}
	if (lookup != MF_LOOKUP_FOUND)
		change->error = psprintf("MyFatoorah does not find invoice %s: %s", row->invoice_id, mf_flight_error(flight));
	else if (strcmp(flight->found.values[MF_PS_INVOICE_ID], row->invoice_id) != 0)
		change->error = psprintf("asked for invoice %s, MyFatoorah answered with invoice %s", row->invoice_id,
								 flight->found.values[MF_PS_INVOICE_ID]);
	else if (!is_of_row(scope, flight, row))
		change->error = is_elsewhere(flight, row) ? address_error(flight, row) : reference_error(flight, row);
	else
	{
		read_payment(batch, flight, row, change);
		return;
	}
	/* somebody has paid, or refunds wait: mf_review shows it until an answer is about this row again */
	if (mf_payment_was_paid(row->status) || row->status == MF_AUTHORIZED ||
		(flight->payment.known && flight->payment.status == MF_PAID))
		next->error = change->error;
}

/* Adds what comes next for an inquiry: nothing yet, and all else as it was. */
static MfInquiryNext *
add_next(MfInquiryBatch *batch, MfFlight *flight)
{
	const MfInquiryJob *job = flight->inquiry;
	MfInquiryNext *next = &batch->next[batch->next_count];

	batch->next_flights[batch->next_count++] = flight;
	next->invoice = job->invoice;
	next->times_requested = job->times_requested;
	next->refunds = job->refunds;
	next->urgent = job->urgent;
	next->by_callback = job->by_callback;
	next->unchanged_answers = job->unchanged_answers;
	next->answers = job->answers;
	return next;
}

/* Adds a change of a row that changes nothing yet. */
static MfPaymentChange *
add_change(MfInquiryBatch *batch, const MfPaymentRow *row)
{
	MfPaymentChange *change = &batch->changes[batch->change_count++];

	change->invoice = row->invoice;
	change->from = change->to = row->status;
	change->attempt = row->attempts;
	change->replaced_by = row->replaced_by;
	change->received_value = row->received_value;
	change->refunded_value = row->refunded_value;
	change->base_value_before = row->base_value;
	return change;
}

/*
 * Whether an answer is about an invoice of this row, by its CustomerReference: a
 * reference of one of its attempts, whatever the row contains now, or one that it had
 * before, which has the same stem and a lower number.  An InvoiceId alone proves
 * nothing, because other hosts and environments use the same numbers.  An invoice that was
 * taken over has the customer's reference only, or none, or, as a repetition of a recurring
 * payment, that with which its own begins, so it counts at its address only.
 */
static bool
is_of_row(const MfSqlScope *scope, const MfFlight *flight, const MfPaymentRow *row)
{
	const char *utf8 = flight->found.values[MF_PS_CUSTOMER_REFERENCE];
	const char *ours = mf_to_utf8(row->reference);
	const char *dot = strrchr(ours, '.');

	if (is_elsewhere(flight, row))
		return false;
	if (row->taken_over_from != NULL &&
		(is_same_text(utf8, row->customer_reference) ||
		 mf_queue_is_repetition_of(scope, row->invoice, utf8 != NULL ? mf_from_utf8_lossy(utf8) : "")))
		return true;
	if (utf8 == NULL)
		return false;
	if (is_same_or_earlier(utf8, ours) ||
		(row->taken_over_from != NULL && dot != NULL && mf_reference_is_made(ours, strlen(ours)) &&
		 is_same_or_earlier(utf8, pnstrdup(ours, dot - ours))))
		return true;
	return mf_queue_has_attempt(scope, row->invoice, mf_from_utf8_lossy(utf8));
}

/* Whether a reference is ours, or one that our row had before: of a lower number. */
static bool
is_same_or_earlier(const char *reference, const char *ours)
{
	int			our_stem;
	int			stem;

	return mf_reference_number(reference, &stem) <= mf_reference_number(ours, &our_stem) &&
		stem == our_stem && strncmp(reference, ours, stem) == 0;
}

/* Whether an invoice that was taken over was asked about at another address. */
static bool
is_elsewhere(const MfFlight *flight, const MfPaymentRow *row)
{
	return row->taken_over_from != NULL &&
		strcmp(row->taken_over_from, mf_http_target_base_url(flight->target)) != 0;
}

/* Whether a text of an answer, cleaned as in a row, is equal; NULL equals an empty text. */
static bool
is_same_text(const char *utf8, const char *ours)
{
	return strcmp(utf8 ? mf_clean_text(mf_from_utf8_lossy(utf8), MF_CLEAN_TEXT) : "", ours ? ours : "") == 0;
}

/* The error of an answer from another address than that of the invoice */
static char *
address_error(const MfFlight *flight, const MfPaymentRow *row)
{
	return psprintf("invoice %s was taken over from %s, and the answer of %s about this number is none of this row",
					row->invoice_id, row->taken_over_from, mf_http_target_base_url(flight->target));
}

/* The error of an answer with a reference of another row */
static char *
reference_error(const MfFlight *flight, const MfPaymentRow *row)
{
	const char *reference = mf_from_utf8_lossy(flight->found.values[MF_PS_CUSTOMER_REFERENCE]);
	const char *answered = reference != NULL && *reference ? psprintf("CustomerReference \"%s\"", reference) :
		"no CustomerReference";

	return psprintf("MyFatoorah answered about invoice %s with %s, which is none of this row; the base_url, environment or key of account \"%s\" may be another than when it was sent",
					row->invoice_id, answered, flight->throttle->account);
}

/* Reads an answer of GetPaymentStatus. */
static void
read_payment(MfInquiryBatch *batch, MfFlight *flight, const MfPaymentRow *row, MfPaymentChange *change)
{
	const MfTryRow *tries;

	if (!read_values(flight, row, change))
		return;
	tries = read_tries(batch, flight, mf_account_get(flight->throttle->account));
	if (!flight->payment.known)
	{
		change->error = psprintf("MyFatoorah says InvoiceStatus \"%s\", a word that is not known; payment_status was left as it was",
								 change->invoice_status ? change->invoice_status : "");
		return;
	}
	change->read = true;
	if (is_capture(flight, row))
		batch->hold_answers = lappend(batch->hold_answers, flight);
	read_status(batch, flight, row, change);
	if (mf_payment_was_paid(change->to))
		read_money(batch, flight, row, change, tries);
	if (flight->payment.status == MF_PAID)
		read_paid_try(batch, flight, row, change, tries);
}

/* Reads the invoice's own values.  Returns false, with an error, if the amount is missing. */
static bool
read_values(MfFlight *flight, const MfPaymentRow *row, MfPaymentChange *change)
{
	const MfAccount *account = mf_account_get(flight->throttle->account);
	char	   *const *values = flight->found.values;

	change->invoice_status = mf_from_utf8_lossy(values[MF_PS_INVOICE_STATUS]);
	change->expires_at = read_time(account, values[MF_PS_EXPIRY_DATE], 0);
	if (values[MF_PS_EXPIRY_DATE] != NULL && change->expires_at == 0)
		set_error(change, psprintf("MyFatoorah says that invoice %s expires at %s, which is impossible",
								   row->invoice_id, values[MF_PS_EXPIRY_DATE]));
	change->base_value = read_amount(change, "InvoiceValue", values[MF_PS_INVOICE_VALUE]);
	if (change->base_value == NULL || mf_amount_compare(change->base_value, "0") == 0)
	{
		change->base_value = NULL;
		set_error(change, psprintf("MyFatoorah names no InvoiceValue of invoice %s; payment_status was left as it was",
								   row->invoice_id));
		return false;
	}
	change->display_value = read_amount(change, "InvoiceDisplayValue", values[MF_PS_INVOICE_DISPLAY_VALUE]);
	change->display_currency = change->display_value ? mf_from_utf8_lossy(values[MF_PS_DISPLAY_CURRENCY]) : NULL;
	change->base_currency = base_currency(row, change, account);
	return true;
}

/*
 * The currency of InvoiceValue, which no answer names: that of what is booked already, or else that of
 * InvoiceDisplayValue if both are the same amount.  The account may have had another one when the invoice was sent.
 */
static const char *
base_currency(const MfPaymentRow *row, const MfPaymentChange *change, const MfAccount *account)
{
	if (mf_payment_was_paid(row->status) && row->base_currency != NULL)
		return row->base_currency;
	if (change->display_currency != NULL && mf_amount_compare(change->base_value, change->display_value) == 0)
		return change->display_currency;
	return account->currency;
}

/* Reads the payment status, and reports what contradicts the row or itself. */
static void
read_status(MfInquiryBatch *batch, MfFlight *flight, const MfPaymentRow *row, MfPaymentChange *change)
{
	const MfPayment *payment = &flight->payment;
	const char *word = change->invoice_status;
	MfPaymentStatus status = payment->status;
	TimestampTz expires_at = change->expires_at != 0 ? change->expires_at : mf_inquiry_expiry(flight);

	/* MyFatoorah has no word for an expired invoice */
	if (status == MF_UNPAID && !payment->unsettled && expires_at != 0 && expires_at <= batch->now)
		status = MF_EXPIRED;
	change->to = mf_payment_next(row->status, status);
	change->reason = psprintf("InvoiceStatus \"%s\"", word);
	if (mf_payment_was_paid(row->status) && status != MF_PAID && !payment->unsettled)
		change->error = psprintf("MyFatoorah now says InvoiceStatus \"%s\" of an invoice that was paid", word);
	else if (status != MF_PAID && payment->successes > 0)
		set_error(change, psprintf("MyFatoorah says InvoiceStatus \"%s\" of invoice %s, and lists a payment", word,
								   row->invoice_id));
}

/* Reads how and when a paid invoice was paid. */
static void
read_paid_try(MfInquiryBatch *batch, const MfFlight *flight, const MfPaymentRow *row, MfPaymentChange *change,
			  const MfTryRow *tries)
{
	const MfPayment *payment = &flight->payment;
	char	   *const *values;

	change->overpaid = payment->successes > 1;
	change->paid_late = row->status == MF_EXPIRED || row->status == MF_REMOTE_CANCELLED;
	change->paid_at = batch->now;
	if (payment->paid_by < 0)
		return;

	values = payment->tries[payment->paid_by].values;
	change->payment_id = mf_from_utf8_lossy(values[MF_TX_PAYMENT_ID]);
	change->pay_value = read_amount(change, "PaidCurrencyValue", values[MF_TX_PAID_CURRENCY_VALUE]);
	change->pay_currency = change->pay_value ? mf_from_utf8_lossy(values[MF_TX_PAID_CURRENCY]) : NULL;
	if (tries[payment->paid_by].transaction_date != 0)
		change->paid_at = tries[payment->paid_by].transaction_date;
	else if (values[MF_TX_TRANSACTION_DATE] != NULL)
		set_error(change, psprintf("MyFatoorah says that invoice %s was paid at %s, which is impossible",
								   row->invoice_id, values[MF_TX_TRANSACTION_DATE]));
}

/*
 * Reads what the payments of an invoice have brought, and the fees that MyFatoorah
 * keeps, in the currency of InvoiceValue.  A payment is of the whole invoice: where
 * its value is not given in that currency, the invoice's counts.
 */
static void
read_money(MfInquiryBatch *batch, const MfFlight *flight, const MfPaymentRow *row, MfPaymentChange *change,
		   const MfTryRow *tries)
{
	const char *currency = change->base_currency;
	int			i;

	change->contradiction = find_contradiction(flight, row, change);
	for (i = 0; i < flight->payment.try_count; i++)
	{
		const char *id = tries[i].values[MF_TX_PAYMENT_ID];
		const char *in = tries[i].values[MF_TX_CURRENCY];
		const char *value = change->base_value;
		const char *fee = tries[i].values[MF_TX_TOTAL_SERVICE_CHARGE];
		const char *on_customer = tries[i].values[MF_TX_CUSTOMER_SERVICE_CHARGE];
		const char *tax = tries[i].values[MF_TX_VAT_AMOUNT];

		if (flight->payment.tries[i].status != MF_TRY_SUCCESS)
			continue;
		if (in != NULL && strcmp(in, currency) != 0)
			fee = NULL;
		else if (tries[i].values[MF_TX_TRANSATION_VALUE] != NULL)
			value = tries[i].values[MF_TX_TRANSATION_VALUE];
		mf_inquiry_add_money(batch, row->invoice, MF_MONEY_PAYMENT, id, value, currency, id);
		if (mf_amount_compare(value, change->base_value) != 0 && change->contradiction == NULL &&
			!is_capture(flight, row))
			change->contradiction = psprintf("PaymentId %s is one of %s %s, and the invoice of %s %s", id, value,
											 currency, change->base_value, currency);

		/* if the customer bears a part, no source says whether the fee includes it */
		if (fee != NULL && (on_customer == NULL || mf_amount_compare(on_customer, "0") == 0))
			mf_inquiry_add_money(batch, row->invoice, MF_MONEY_FEE, id, tax ? mf_amount_add(fee, tax) : fee,
								 currency, id);
	}
}

/* Whether an authorized amount was captured: perhaps a part, to which the invoice's value is set then. */
static bool
is_capture(const MfFlight *flight, const MfPaymentRow *row)
{
	bool		authorized = row->status == MF_AUTHORIZED;
	int			i;

	for (i = 0; i < flight->payment.try_count; i++)
		authorized |= flight->payment.tries[i].status == MF_TRY_AUTHORIZED;
	return authorized;
}

/* Describes how the invoice of an answer differs from the row; NULL if it does not. */
static char *
find_contradiction(const MfFlight *flight, const MfPaymentRow *row, const MfPaymentChange *change)
{
	const char *value = change->display_currency ? change->display_value : change->base_value;
	const char *currency = change->display_currency ? change->display_currency : change->base_currency;
	const MfAccount *account = mf_account_get(flight->throttle->account);
	int			difference;

	if (row->currency == NULL)
		return NULL;
	difference = mf_amount_compare(value, row->invoice_value);
	if (strcmp(currency, change->base_currency) == 0 && mf_amount_compare(change->base_value, value) != 0 && !is_capture(flight, row))
		return psprintf("MyFatoorah has invoice %s with an InvoiceValue of %s and an InvoiceDisplayValue of %s %s: the account's country may not be that of its key",
						row->invoice_id, change->base_value, value, currency);
	if (strcmp(currency, row->currency) != 0 || difference > 0 || (difference < 0 && !is_capture(flight, row)))
		return psprintf("MyFatoorah has invoice %s with %s %s, and this row asks for %s %s", row->invoice_id, value,
						currency, row->invoice_value, row->currency);
	if (strcmp(change->base_currency, account->currency) != 0)
		return psprintf("MyFatoorah has invoice %s with an InvoiceValue of %s %s, and the currency of account \"%s\" is %s now",
						row->invoice_id, change->base_value, change->base_currency, account->name, account->currency);
	return NULL;
}

/* An answer in another currency than that of the invoice is one about another account: nothing of it counts.  NULL if it is not. */
static char *
other_currency(const MfFlight *flight, const MfPaymentRow *row)
{
	const char *currency = refund_currency(flight, row);
	int			i;

	for (i = 0; i < flight->list.row_count; i++)
	{
		char *const *refund = mf_list_row(&flight->list, i);

		if (refund[MF_RF_BASE_CURRENCY] != NULL && pg_strcasecmp(refund[MF_RF_BASE_CURRENCY], currency) != 0)
			return psprintf("MyFatoorah lists RefundId %s in %s, and the currency of the invoice is %s", refund[MF_RF_REFUND_ID],
							mf_from_utf8_lossy(refund[MF_RF_BASE_CURRENCY]), currency);
	}
	return NULL;
}

/* Refunds are in the currency of the invoice; in that of the account if the invoice was never read. */
static const char *
refund_currency(const MfFlight *flight, const MfPaymentRow *row)
{
	return row->base_currency != NULL ? row->base_currency : mf_account_get(flight->throttle->account)->currency;
}

/* Reads an answer of GetRefundStatus: the refunds that were carried out. */
static void
read_refunds(MfInquiryBatch *batch, MfFlight *flight, const MfPaymentRow *row, MfPaymentChange *change)
{
	const char *currency = refund_currency(flight, row);
	int			i;

	batch->refund_answers = lappend(batch->refund_answers, flight);
	change->reason = "GetRefundStatus";
	/* an error of GetPaymentStatus stays */
	change->error = row->payment_error;
	for (i = 0; i < flight->list.row_count; i++)
	{
		char *const *refund = mf_list_row(&flight->list, i);
		const char *amount = NULL;
		MfOperationStatus status;

		if (refund[MF_RF_INVOICE_ID] != NULL && strcmp(refund[MF_RF_INVOICE_ID], row->invoice_id) != 0)
			set_error(change, psprintf("asked for refunds of invoice %s, MyFatoorah lists RefundId %s of invoice %s", row->invoice_id,
									   refund[MF_RF_REFUND_ID], refund[MF_RF_INVOICE_ID]));
		else if (!mf_inquiry_refund_status(refund[MF_RF_REFUND_STATUS], &status))
			set_error(change, psprintf("MyFatoorah says RefundStatus \"%s\" of RefundId %s, a word that is not known; the refund was left as it was",
									   mf_from_utf8_lossy(refund[MF_RF_REFUND_STATUS]), refund[MF_RF_REFUND_ID]));
		else if (status == MF_OPERATION_REFUNDED)
			amount = read_amount(change, "Amount", refund[MF_RF_AMOUNT]);
		if (amount != NULL)
			mf_inquiry_add_money(batch, row->invoice, MF_MONEY_REFUND, refund[MF_RF_REFUND_ID], amount, currency, NULL);
	}
}

/* Adds the tries of an answer, with unique ids, to the batch.  Returns the first; the others follow in their order. */
static const MfTryRow *
read_tries(MfInquiryBatch *batch, const MfFlight *flight, const MfAccount *account)
{
	TimestampTz latest = TimestampTzPlusMilliseconds(batch->now, FUTURE_MS);
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
			row->values[j] = mf_transaction_fields[j].kind == MF_DECIMAL ? plausible_amount(values[j]) :
				mf_from_utf8_lossy(values[j]);
		row->transaction_date = read_time(account, values[MF_TX_TRANSACTION_DATE], latest);

		/* each ought to have a PaymentId of its own; without, it is stored nonetheless */
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

/* Reads an amount.  Returns NULL if it is missing, or impossible, which is an error. */
static const char *
read_amount(MfPaymentChange *change, const char *name, const char *text)
{
	const char *amount = plausible_amount(text);

	if (amount == NULL && text != NULL && text[0] != '\0')
		set_error(change, psprintf("MyFatoorah says %s %.40s, which is impossible", name, text));
	return amount;
}

/* Reads a time.  Returns 0 if it is missing, impossible, or later than "latest", unless that is 0. */
static TimestampTz
read_time(const MfAccount *account, const char *text, TimestampTz latest)
{
	TimestampTz time = text != NULL ? mf_account_timestamp(account, text) : 0;

	return time < MF_TIME_MIN || time >= MF_TIME_END || (latest != 0 && time > latest) ? 0 : time;
}

static const char *
plausible_amount(const char *text)
{
	return text != NULL && mf_amount_is_plausible(text) ? text : NULL;
}

/* Sets the error of an answer, unless it has one. */
static void
set_error(MfPaymentChange *change, const char *error)
{
	if (change->error == NULL)
		change->error = error;
}
