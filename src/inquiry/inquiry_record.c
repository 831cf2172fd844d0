/*
 * inquiry_record.c
 *	  Records what answers about payments and events tell, a batch in each round.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inquiry/inquiry_record.c
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "account/account.h"
#include "base/compat.h"
#include "base/failpoint.h"
#include "base/settings.h"
#include "flow/inquiry_alarm.h"
#include "flow/round_items.h"
#include "inquiry/inquiry_internal.h"
#include "inquiry/missed_webhooks.h"
#include "process/wait.h"
#include "process/worker_slots.h"

/* Answers recorded in one round */
#define RECORD_LIMIT 100

/* An answer whose invoice somebody has locked is tried again after this, so often. */
#define LOCKED_RETRY_MS 200
#define LOCKED_RETRIES 50

static void collect(MfInquiryBatch *batch, dlist_head *landed, TimestampTz now, TimestampTz *again);
static List *lock_rows(const MfSqlScope *scope, MfInquiryBatch *batch);
static int64 invoice_of(const MfInquiryBatch *batch, int number);
static bool record_flight(const MfSqlScope *scope, MfInquiryBatch *batch, int number, List *rows);
static void write_batch(const MfSqlScope *scope, MfInquiryBatch *batch);
static MfEventNext *find_twins(const MfSqlScope *scope, MfFlight *const *flights, int count);
static void take_payment_id(MfInquiryBatch *batch, const MfFlight *flight, const MfEventNext *answer, const MfPaymentRow *row);

void
mf_inquiry_record(const MfSqlScope *scope, dlist_head *landed, dlist_head *recorded,
				  TimestampTz now, TimestampTz *again)
{
	MfInquiryBatch batch;
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
			*again = mf_earlier(*again, flight->retry_at);
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
collect(MfInquiryBatch *batch, dlist_head *landed, TimestampTz now, TimestampTz *again)
{
	int 		limit = mf_items_room(RECORD_LIMIT);
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
			*again = mf_earlier(*again, flight->retry_at);
			continue;
		}
		if (count == limit)
			break;
		batch->flights[count++] = flight;
		tries += flight->payment.try_count;
		mf_flight_take(flight);
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

/*
 * Locks the events and rows that the answers are about.  List of MfPaymentRow,
 * without those that somebody else has locked; such events are noted.
 */
static List *
lock_rows(const MfSqlScope *scope, MfInquiryBatch *batch)
{
	int64	   *invoices = (int64 *) palloc(batch->flight_count * sizeof(int64));
	int64	   *events = (int64 *) palloc(batch->flight_count * sizeof(int64));
	int			event_count = 0;
	int			count = 0;
	int			i;

	for (i = 0; i < batch->flight_count; i++)
	{
		if (batch->flights[i]->kind == MF_JOB_PAYMENT_ID)
			events[event_count++] = batch->flights[i]->inquiry->event;
	}
	batch->held_events = (int64 *) palloc(batch->flight_count * sizeof(int64));
	if (event_count > 0)
		batch->held_count = (int) mf_events_lock(scope, events, event_count, batch->held_events);

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
invoice_of(const MfInquiryBatch *batch, int number)
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
record_flight(const MfSqlScope *scope, MfInquiryBatch *batch, int number, List *rows)
{
	MfFlight   *flight = batch->flights[number];
	int64		invoice = invoice_of(batch, number);
	const MfPaymentRow *row = NULL;
	ListCell   *lc;
	bool		held = false;
	int			i;

	foreach(lc, rows)
	{
		if (((MfPaymentRow *) lfirst(lc))->invoice == invoice)
			row = (MfPaymentRow *) lfirst(lc);
	}
	for (i = 0; i < batch->held_count; i++)
		held |= flight->kind == MF_JOB_PAYMENT_ID && batch->held_events[i] == flight->inquiry->event;
	if (held || (invoice != 0 && row == NULL))
	{
		/* one that is gone, or locked for long, is asked about again when its lease is over */
		return flight->step++ >= LOCKED_RETRIES;
	}
	switch (flight->kind)
	{
		case MF_JOB_WEBHOOK_LOG:
			mf_missed_webhooks_record(scope, flight);
			break;
		case MF_JOB_PAYMENT_ID:
			take_payment_id(batch, flight, &batch->about_events[number], row);
			break;
		default:
			mf_inquiry_take_answer(scope, batch, flight, row);
			break;
	}
	return true;
}

/* Writes what the answers come to. */
static void
write_batch(const MfSqlScope *scope, MfInquiryBatch *batch)
{
	int64	   *tried = (int64 *) palloc((batch->try_count + 1) * sizeof(int64));
	int			tried_count = 0;
	int			i;

	if (batch->change_count > 0)
		mf_inquiry_settle(scope, batch);
	if (batch->try_count > 0)
		tried_count = mf_payment_store_tries(scope, batch->tries, batch->try_count, tried);
	if (batch->answered_count > 0)
		mf_events_set_answered(scope, batch->answered, batch->answered_count);
	if (batch->twin_count > 0)
		mf_queue_follow_up(scope, batch->twins, batch->twin_count);
	if (batch->event_count > 0)
		mf_events_resolve(scope, batch->events, batch->event_count);
	for (i = 0; i < batch->next_count; i++)
		mf_inquiry_plan(batch, i, tried, tried_count);
	if (batch->next_count > 0)
		mf_inquiries_reschedule(scope, batch->next, batch->next_count);
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

		if (flights[i]->kind != MF_JOB_PAYMENT_ID || flights[i]->found.lookup != MF_LOOKUP_FOUND)
			continue;
		answers[i].event = flights[i]->inquiry->event;
		answers[i].invoice_id = values[MF_PS_INVOICE_ID];
		answers[i].reference = mf_inquiry_text(values[MF_PS_CUSTOMER_REFERENCE]);
		found = true;
	}
	if (found)
		mf_events_find_twins(scope, answers, count);
	return answers;
}

/*
 * Whose PaymentId or InvoiceId it is; the row's own invoice is asked about then.
 * With a row: it is of another invoice that has the row's reference, so a person
 * is to decide which of the two counts.
 */
static void
take_payment_id(MfInquiryBatch *batch, const MfFlight *flight, const MfEventNext *answer, const MfPaymentRow *row)
{
	const MfInquiryJob *job = flight->inquiry;
	MfEventNext *next = &batch->events[batch->event_count++];

	next->event = job->event;
	next->tries = job->tries;
	next->failures = mf_inquiry_count_failures(flight);
	switch (flight->found.lookup)
	{
		case MF_LOOKUP_FOUND:
			next->invoice_id = answer->invoice_id;
			next->twin = answer->twin;
			break;
		case MF_LOOKUP_NOT_FOUND:
		case MF_LOOKUP_REFUSED:
		case MF_LOOKUP_SENSELESS:
			next->tries++;
			if (job->tries < MF_QUICK_TRIES)
				next->due = mf_inquiry_quick_time(batch->now, job->tries);
			break;
		default:
			next->due = mf_inquiry_retry_time(batch, flight);
			break;
	}
	if (row != NULL)
	{
		MfFollowUp *twin = &batch->twins[batch->twin_count++];

		twin->invoice = row->invoice;
		twin->next = MF_JOB_REVIEW;
		twin->due = DT_NOEND;
		twin->duplicate = true;
		twin->error = mf_twin_error(answer->invoice_id, mf_inquiry_text(flight->found.values[MF_PS_INVOICE_STATUS]),
									row->invoice_id);
		ereport(LOG,
				(errmsg("invoice %lld may exist twice", (long long) row->invoice),
				 errdetail_internal("%s", twin->error),
				 errhint("SELECT * FROM mf_review tells more.")));
	}
}
