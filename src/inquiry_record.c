/*
 * inquiry_record.c
 *	  The one reader of payments: answers become payment states and tries.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inquiry_record.c
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "account.h"
#include "compat.h"
#include "failpoint.h"
#include "hand.h"
#include "inquiry.h"
#include "inquiry_log.h"
#include "myfatoorah.h"
#include "request.h"
#include "wake.h"

/* Answers recorded in one round */
#define RECORD_LIMIT 100

/* An answer whose invoice somebody has locked is tried again after this, so often. */
#define LOCKED_RETRY_MS 200
#define LOCKED_RETRIES 50

/* Decimals with more characters than this are no amounts. */
#define DECIMAL_MAX 60

/*
 * After an event, MyFatoorah's own reads may lag behind for some seconds: these
 * pass before the next question, until something has changed.
 */
static const int quick_delays_ms[MF_QUICK_TRIES] = {1200, 3000, 10000, 30000, 120000};

/* What a batch of answers comes to */
typedef struct Batch
{
	TimestampTz now;
	MfFlight  **flights;
	int			flight_count;
	MfEventNext *about_events;	/* what the flights tell of events, if they do */
	MfPaymentChange *changes;
	int			change_count;
	MfTryRow   *tries;
	int			try_count;
	MfInquiryNext *next;
	MfFlight  **next_flights;	/* of its elements */
	int			next_count;
	MfEventNext *events;
	int			event_count;
	MfFollowUp *twins;
	int			twin_count;
	int64	   *answered;
	int			answered_count;
} Batch;

static void collect(Batch *batch, dlist_head *landed, TimestampTz now, TimestampTz *again);
static List *lock_rows(const MfSqlScope *scope, Batch *batch);
static int64 invoice_of(const Batch *batch, int number);
static bool record_flight(const MfSqlScope *scope, Batch *batch, int number, List *rows);
static void write_batch(const MfSqlScope *scope, Batch *batch);
static void take_answer(Batch *batch, MfFlight *flight, const MfPaymentRow *row);
static bool is_reference_of(const MfPaymentRow *row, const char *utf8);
static char *another_reference(const MfFlight *flight, const MfPaymentRow *row);
static void take_payment(Batch *batch, MfFlight *flight, const MfPaymentRow *row, MfPaymentChange *change);
static void take_refunds(MfFlight *flight, const MfPaymentRow *row, MfPaymentChange *change);
static void take_tries(Batch *batch, const MfFlight *flight, const MfAccount *account);
static MfEventNext *find_twins(const MfSqlScope *scope, MfFlight *const *flights, int count);
static void take_payment_id(Batch *batch, const MfFlight *flight, const MfEventNext *answer, const MfPaymentRow *row);
static void plan(Batch *batch, int number, const int64 *tried, int tried_count);
static TimestampTz retry_time(const Batch *batch, const MfFlight *flight);
static int	count_failures(const MfFlight *flight);
static TimestampTz quick_time(TimestampTz now, int tries);
static TimestampTz expiry(const MfFlight *flight);
static const char *plain_text(const char *utf8);
static const char *plain_decimal(const char *text);
static bool is_paid(MfPaymentStatus status);

/* See inquiry.h. */
void
mf_inquiry_record(const MfSqlScope *scope, dlist_head *landed, dlist_head *recorded,
				  TimestampTz now, TimestampTz *again)
{
	Batch		batch;
	List	   *rows;
	int			i;

	collect(&batch, landed, now, again);
	if (batch.flight_count == 0)
		return;

	rows = lock_rows(scope, &batch);
	for (i = 0; i < batch.flight_count; i++)
	{
		MfFlight   *flight = batch.flights[i];

		if (!record_flight(scope, &batch, i, rows))
		{
			flight->retry_at = TimestampTzPlusMilliseconds(now, LOCKED_RETRY_MS);
			mf_come_back(again, flight->retry_at);
			continue;
		}
		dlist_delete(&flight->node);
		dlist_push_tail(recorded, &flight->node);
		mf_flight_set_under_way(flight, false);
	}
	write_batch(scope, &batch);
	MF_FAILPOINT("payment_recorded");

	/* whoever asked meanwhile, or waits for this */
	mf_inquiry_wake();
	mf_wake_waiting_at_commit();
}

/* Takes what can be recorded now in hand, as much as the round may. */
static void
collect(Batch *batch, dlist_head *landed, TimestampTz now, TimestampTz *again)
{
	int			limit = mf_hand_room(RECORD_LIMIT);
	int			tries = 0;
	int			count = 0;
	dlist_iter	iter;

	memset(batch, 0, sizeof(*batch));
	batch->now = now;
	batch->flights = (MfFlight **) palloc(limit * sizeof(MfFlight *));
	dlist_foreach(iter, landed)
	{
		MfFlight   *flight = dlist_container(MfFlight, node, iter.cur);

		if (flight->retry_at > now)
		{
			mf_come_back(again, flight->retry_at);
			continue;
		}
		if (count == limit)
			break;
		batch->flights[count++] = flight;
		tries += flight->payment.try_count;
		mf_hand_take_answer(flight);
	}
	batch->flight_count = count;
	if (count == 0)
		return;
	batch->changes = (MfPaymentChange *) palloc0(count * sizeof(MfPaymentChange));
	batch->tries = (MfTryRow *) palloc0((tries + 1) * sizeof(MfTryRow));
	batch->next = (MfInquiryNext *) palloc0(count * sizeof(MfInquiryNext));
	batch->next_flights = (MfFlight **) palloc(count * sizeof(MfFlight *));
	batch->events = (MfEventNext *) palloc0(count * sizeof(MfEventNext));
	batch->twins = (MfFollowUp *) palloc0(count * sizeof(MfFollowUp));
	batch->answered = (int64 *) palloc(count * sizeof(int64));
}

/* Locks the rows that the answers are about. List of MfPaymentRow, without those that somebody else has locked. */
static List *
lock_rows(const MfSqlScope *scope, Batch *batch)
{
	int64	   *invoices = (int64 *) palloc(batch->flight_count * sizeof(int64));
	int			count = 0;
	int			i;

	batch->about_events = find_twins(scope, batch->flights, batch->flight_count);
	for (i = 0; i < batch->flight_count; i++)
	{
		int64		invoice = invoice_of(batch, i);

		if (invoice != 0)
			invoices[count++] = invoice;
	}
	return count > 0 ? mf_payment_lock(scope, invoices, count) : NIL;
}

/* The row that an answer is about; 0 = none. */
static int64
invoice_of(const Batch *batch, int number)
{
	switch (batch->flights[number]->kind)
	{
		case MF_JOB_WEBHOOK_LOG:
			return 0;
		case MF_JOB_PAYMENT_ID:
			return batch->about_events[number].twin;
		default:
			return batch->flights[number]->invoice;
	}
}

/* Takes one answer; false if it must wait for whoever has its row locked. */
static bool
record_flight(const MfSqlScope *scope, Batch *batch, int number, List *rows)
{
	MfFlight   *flight = batch->flights[number];
	int64		invoice = invoice_of(batch, number);
	const MfPaymentRow *row = NULL;
	ListCell   *lc;

	foreach(lc, rows)
	{
		if (((MfPaymentRow *) lfirst(lc))->invoice == invoice)
			row = (MfPaymentRow *) lfirst(lc);
	}
	if (invoice != 0 && row == NULL)
	{
		/* one that is gone, or locked for long, is asked about again when its lease is over */
		return flight->step++ >= LOCKED_RETRIES;
	}
	switch (flight->kind)
	{
		case MF_JOB_WEBHOOK_LOG:
			mf_inquiry_log_record(scope, flight);
			break;
		case MF_JOB_PAYMENT_ID:
			take_payment_id(batch, flight, &batch->about_events[number], row);
			break;
		default:
			take_answer(batch, flight, row);
			break;
	}
	return true;
}

/* Writes what the answers come to. */
static void
write_batch(const MfSqlScope *scope, Batch *batch)
{
	int64	   *tried = (int64 *) palloc((batch->try_count + 1) * sizeof(int64));
	int			tried_count = 0;
	int			i;

	if (batch->change_count > 0)
		mf_payment_apply(scope, batch->changes, batch->change_count);
	if (batch->try_count > 0)
		tried_count = mf_payment_store_tries(scope, batch->tries, batch->try_count, tried);
	if (batch->answered_count > 0)
		mf_payment_answered(scope, batch->answered, batch->answered_count);
	if (batch->twin_count > 0)
		mf_queue_follow_up(scope, batch->twins, batch->twin_count);
	if (batch->event_count > 0)
		mf_payment_resolve_events(scope, batch->events, batch->event_count);
	for (i = 0; i < batch->next_count; i++)
		plan(batch, i, tried, tried_count);
	if (batch->next_count > 0)
		mf_payment_reschedule(scope, batch->next, batch->next_count);
}

/* One answer about an invoice whose row is locked. */
static void
take_answer(Batch *batch, MfFlight *flight, const MfPaymentRow *row)
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
	next->tries = job->tries;
	next->step = job->step;

	if (strcmp(job->key, row->invoice_id) != 0)
	{
		/* a person has meanwhile said that the row is about another invoice */
		next->due = batch->now;
		next->urgent = true;
		return;
	}
	next->failures = count_failures(flight);
	if (lookup == MF_LOOKUP_FAILED || lookup == MF_LOOKUP_THROTTLED || lookup == MF_LOOKUP_ACCOUNT_PROBLEM)
	{
		/* no answer */
		next->due = retry_time(batch, flight);
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

		change->error = psprintf(MF_PAYMENT_ERROR "MyFatoorah gives no usable answer about invoice %s: %s", row->invoice_id,
								 error ? error : "out of memory");
		return;
	}
	if (lookup == MF_LOOKUP_SENSELESS)
	{
		change->error = psprintf(MF_PAYMENT_ERROR "MyFatoorah's answer about invoice %s makes no sense: %s", row->invoice_id,
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
	else if (!is_reference_of(row, flight->found.values[MF_PS_CUSTOMER_REFERENCE]))
		change->error = another_reference(flight, row);
	else
		take_payment(batch, flight, row, change);
}

/*
 * Whether an answer is about an invoice of this row.  Numbers repeat at other
 * hosts and in other environments; references are ours, and those that were
 * given up have the same stem and a lower number.
 */
static bool
is_reference_of(const MfPaymentRow *row, const char *utf8)
{
	const char *ours = mf_to_utf8(row->reference);
	int			our_stem;
	int			stem;

	if (utf8 == NULL)
		return false;
	return mf_reference_number(utf8, &stem) <= mf_reference_number(ours, &our_stem) &&
		stem == our_stem && strncmp(utf8, ours, stem) == 0;
}

/* Why such an answer counts for nothing */
static char *
another_reference(const MfFlight *flight, const MfPaymentRow *row)
{
	const char *reference = plain_text(flight->found.values[MF_PS_CUSTOMER_REFERENCE]);

	return psprintf(MF_PAYMENT_ERROR "MyFatoorah answered about invoice %s with %s%s%s, which is none of this row; the base_url, environment or key of account \"%s\" may be another than when it was sent",
					row->invoice_id, reference && *reference ? "CustomerReference \"" : "no CustomerReference",
					reference ? reference : "", reference && *reference ? "\"" : "", flight->circuit->account);
}

/* What GetPaymentStatus says. */
static void
take_payment(Batch *batch, MfFlight *flight, const MfPaymentRow *row, MfPaymentChange *change)
{
	const MfAccount *account = mf_account_get(flight->circuit->account);
	const MfPayment *payment = &flight->payment;
	char	   *const *values = flight->found.values;
	const char *word = plain_text(values[MF_PS_INVOICE_STATUS]);
	MfPaymentStatus read = payment->status;
	TimestampTz expires_at = expiry(flight);

	change->invoice_status = word;
	change->base_value = plain_decimal(values[MF_PS_INVOICE_VALUE]);
	change->base_currency = change->base_value ? account->currency : NULL;
	change->display_value = plain_decimal(values[MF_PS_INVOICE_DISPLAY_VALUE]);
	change->display_currency = change->display_value ? plain_text(values[MF_PS_DISPLAY_CURRENCY]) : NULL;
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
	if (flight->inquiry->refunds && is_paid(change->to))
		mf_inquiry_confirm(flight->invoice);
	if (is_paid(row->status) && read != MF_PAID && !payment->unsettled)
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

			change->payment_id = plain_text(attempt[MF_TX_PAYMENT_ID]);
			change->pay_value = plain_decimal(attempt[MF_TX_PAID_CURRENCY_VALUE]);
			change->pay_currency = change->pay_value ? plain_text(attempt[MF_TX_PAID_CURRENCY]) : NULL;
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
take_tries(Batch *batch, const MfFlight *flight, const MfAccount *account)
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
			row->values[j] = mf_transaction_fields[j].kind == MF_DECIMAL ? plain_decimal(values[j]) : plain_text(values[j]);
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

/*
 * What the answers about events tell, in the order of the flights, and which rows
 * have another invoice under the reference of one.
 */
static MfEventNext *
find_twins(const MfSqlScope *scope, MfFlight *const *flights, int count)
{
	MfEventNext *answers = (MfEventNext *) palloc0(count * sizeof(MfEventNext));
	bool		found = false;
	int			i;

	for (i = 0; i < count; i++)
	{
		char	   *const *values = flights[i]->found.values;

		if (flights[i]->kind != MF_JOB_PAYMENT_ID || flights[i]->found.lookup != MF_FOUND)
			continue;
		answers[i].event = flights[i]->inquiry->event;
		answers[i].invoice_id = values[MF_PS_INVOICE_ID];
		answers[i].reference = plain_text(values[MF_PS_CUSTOMER_REFERENCE]);
		found = true;
	}
	if (found)
		mf_payment_twins(scope, answers, count);
	return answers;
}

/*
 * Whose PaymentId or InvoiceId it is; the row's own invoice is asked about then.
 * With a row: it is of another invoice that has the row's reference, so a person
 * is to decide which of the two counts.
 */
static void
take_payment_id(Batch *batch, const MfFlight *flight, const MfEventNext *answer, const MfPaymentRow *row)
{
	const MfInquiryJob *job = flight->inquiry;
	MfEventNext *next = &batch->events[batch->event_count++];

	next->event = job->event;
	next->tries = job->tries;
	next->failures = count_failures(flight);
	switch (flight->found.lookup)
	{
		case MF_FOUND:
			next->invoice_id = answer->invoice_id;
			next->twin = answer->twin;
			break;
		case MF_NOT_FOUND:
		case MF_LOOKUP_REFUSED:
		case MF_LOOKUP_SENSELESS:
			next->tries++;
			if (job->tries < MF_QUICK_TRIES)
				next->due = quick_time(batch->now, job->tries);
			break;
		default:
			next->due = retry_time(batch, flight);
			break;
	}
	if (row != NULL)
	{
		MfFollowUp *twin = &batch->twins[batch->twin_count++];

		twin->invoice = row->invoice;
		twin->next = MF_JOB_REVIEW;
		twin->due = DT_NOEND;
		twin->duplicate = true;
		twin->error = mf_twin_error(answer->invoice_id, plain_text(flight->found.values[MF_PS_INVOICE_STATUS]),
									row->invoice_id);
		ereport(LOG,
				(errmsg("invoice " INT64_FORMAT " may exist twice", row->invoice),
				 errdetail_internal("%s", twin->error),
				 errhint("SELECT * FROM mf_review tells more.")));
	}
}

/* When the next question comes, by what this answer has changed. */
static void
plan(Batch *batch, int number, const int64 *tried, int tried_count)
{
	MfFlight   *flight = batch->next_flights[number];
	MfInquiryNext *next = &batch->next[number];
	const MfPaymentChange *change = NULL;
	bool		moved;
	bool		changed;
	bool		doubtful;
	int			i;

	for (i = 0; i < batch->change_count; i++)
	{
		if (batch->changes[i].invoice == next->invoice)
			change = &batch->changes[i];
	}
	if (change == NULL || next->due != 0)
		return;					/* no answer: planned already */

	/* amounts that are read for the first time are no news of a payment, nor is that its time is over */
	moved = change->from != change->to && change->to != MF_EXPIRED;
	changed = flight->kind == MF_JOB_REFUNDS ? change->changed : moved;
	for (i = 0; i < tried_count; i++)
		changed |= tried[i] == next->invoice;
	doubtful = mf_flight_lookup(flight) != MF_FOUND || change->error != NULL || flight->payment.unsettled;

	/* a try that goes on says nothing yet of what the event told */
	for (i = 0; i < flight->payment.try_count; i++)
		changed &= flight->payment.tries[i].status != MF_TRY_IN_PROGRESS || (moved && is_paid(change->to));

	next->step = change->from == change->to ? next->step + 1 : 0;

	/* who was told of a refund wants to see it */
	if (flight->kind == MF_JOB_INQUIRY && next->refunds && mf_inquiry_is_confirmed(next->invoice))
	{
		next->due = batch->now;
		next->urgent = true;
		return;
	}
	if (flight->kind == MF_JOB_REFUNDS)
	{
		doubtful = false;
		next->refunds = !changed && next->tries < MF_QUICK_TRIES;
	}

	if ((doubtful || (next->urgent && !changed && (next->refunds || !is_paid(change->to)))) &&
		next->tries < MF_QUICK_TRIES)
	{
		next->urgent = true;
		next->due = quick_time(batch->now, next->tries++);
		return;
	}
	next->urgent = false;
	if (!doubtful)
		next->tries = 0;
	next->done = !mf_inquiry_schedule(change->to, next->step, expiry(flight), batch->now, &next->due);
}

/*
 * A question that was not answered is asked again once the account can be reached,
 * or, where others are answered, less and less.
 */
static TimestampTz
retry_time(const Batch *batch, const MfFlight *flight)
{
	int64		delay = mf_retry_delay;

	if (flight->own_trouble)
		delay = Min(delay << Min(flight->inquiry->failures, 20), MF_BACKOFF_CAP_MS);
	return Max(mf_flight_retry_time(flight, batch->now, delay), flight->circuit->retry_at);
}

/* Questions in a row without a usable answer, this one included; what never arrived says nothing of the item. */
static int
count_failures(const MfFlight *flight)
{
	switch (mf_flight_outcome(flight))
	{
		case MF_UNKNOWN:
			return flight->inquiry->failures + 1;
		case MF_ACCEPTED:
		case MF_REJECTED:
			return 0;
		default:
			return flight->inquiry->failures;
	}
}

static TimestampTz
quick_time(TimestampTz now, int tries)
{
	return TimestampTzPlusMilliseconds(now, quick_delays_ms[Min(tries, MF_QUICK_TRIES - 1)]);
}

/* Until when the invoice can be paid, by the answer or else by the row; 0 = unknown. */
static TimestampTz
expiry(const MfFlight *flight)
{
	const char *local = flight->kind == MF_JOB_INQUIRY ? flight->found.values[MF_PS_EXPIRY_DATE] : NULL;

	if (local == NULL)
		return flight->inquiry->expires_at;
	return mf_account_timestamp(mf_account_get(flight->circuit->account), local);
}

/* Text in the server encoding; NULL stays NULL. */
static const char *
plain_text(const char *utf8)
{
	return utf8 ? mf_from_utf8_lossy(utf8) : NULL;
}

/* A decimal that numeric takes; NULL for what is none or too long to be an amount. */
static const char *
plain_decimal(const char *text)
{
	return text != NULL && text[0] != '\0' && strlen(text) <= DECIMAL_MAX ? text : NULL;
}

/* Money has come in, whatever became of it since. */
static bool
is_paid(MfPaymentStatus status)
{
	return status == MF_PAID || status == MF_PARTLY_REFUNDED || status == MF_REFUNDED || status == MF_DISPUTED;
}
