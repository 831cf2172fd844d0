/*
 * inquiry_record.c
 *	  Records the answers to inquiries, a batch in each round.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inquiry/inquiry_record.c
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/encoding.h"
#include "base/failpoint.h"
#include "base/log_event.h"
#include "database/sql_array.h"
#include "flow/round_items.h"
#include "inquiry/inquiry_internal.h"
#include "process/wait.h"
#include "process/wakeup.h"
#include "store/recurring.h"

/* Answers recorded in one round */
#define RECORD_LIMIT 100

/* The list of recurring payments of an account is not read again before, the longer the later */
#define PLAN_LIST_MS 1000
#define PLAN_LIST_MS_PER_PLAN 10

/* When it is read again if MyFatoorah refuses to give it */
#define PLAN_REFUSED_MS (24 * 3600 * 1000)

/* The delay until an answer is tried again whose invoice is locked; how often it is tried */
#define LOCKED_RETRY_MS 200
#define LOCKED_RETRIES 50

static void collect_answers(MfInquiryBatch *batch, dlist_head *landed, TimestampTz now, TimestampTz *next_round);
static List *lock_rows(const MfSqlScope *scope, MfInquiryBatch *batch);
static void find_event_invoices(const MfSqlScope *scope, MfInquiryBatch *batch);
static int64 invoice_of(const MfInquiryBatch *batch, int number);
static bool add_flight(const MfSqlScope *scope, MfInquiryBatch *batch, int number, List *rows);
static void log_plans_refused(const MfFlight *flight);
static bool is_about_event(const MfFlight *flight);
static bool record_plans(const MfSqlScope *scope, MfInquiryBatch *batch, MfFlight *flight);
static void add_event_answer(MfInquiryBatch *batch, const MfFlight *flight, const MfEventNext *answer);
static void add_twin(MfInquiryBatch *batch, const MfFlight *flight, const MfEventNext *answer, const MfPaymentRow *row);
static void write_batch(const MfSqlScope *scope, MfInquiryBatch *batch);

void
mf_inquiry_record(const MfSqlScope *scope, dlist_head *landed, dlist_head *recorded,
				  TimestampTz now, TimestampTz *next_round)
{
	MfInquiryBatch batch;
	List	   *rows;
	int			i;

	collect_answers(&batch, landed, now, next_round);
	if (batch.flight_count == 0)
		return;

	rows = lock_rows(scope, &batch);
	for (i = 0; i < batch.flight_count; i++)
	{
		MfFlight   *flight = batch.flights[i];

		if (!add_flight(scope, &batch, i, rows))
		{
			flight->retry_at = TimestampTzPlusMilliseconds(now, LOCKED_RETRY_MS);
			*next_round = mf_earlier(*next_round, flight->retry_at);
			continue;
		}
		dlist_delete(&flight->node);
		dlist_push_tail(recorded, &flight->node);
		mf_flight_set_under_way(flight, false);
	}
	write_batch(scope, &batch);
	MF_FAILPOINT("payment_recorded");

	/* the answers may have made inquiries due, and sessions may wait for them */
	mf_inquiry_wake();
	mf_wake_waiting_at_commit();
}

/* Collects the answers that can be recorded now, as many as the round may take, and allocates the batch. */
static void
collect_answers(MfInquiryBatch *batch, dlist_head *landed, TimestampTz now, TimestampTz *next_round)
{
	int			limit = mf_items_room(RECORD_LIMIT);
	int			tries = 0;
	int			count;
	int			i;

	memset(batch, 0, sizeof(*batch));
	batch->now = now;
	batch->flights = (MfFlight **) palloc(limit * sizeof(MfFlight *));
	batch->flight_count = count = mf_flight_collect(landed, batch->flights, limit, now, next_round);
	if (count == 0)
		return;
	for (i = 0; i < count; i++)
		tries += batch->flights[i]->payment.try_count;
	batch->event_answers = (MfEventNext *) palloc0(count * sizeof(MfEventNext));
	batch->locked_events = (int64 *) palloc(count * sizeof(int64));
	batch->changes = (MfPaymentChange *) palloc0(count * sizeof(MfPaymentChange));
	batch->tries = (MfTryRow *) palloc0((tries + 1) * sizeof(MfTryRow));
	batch->next = (MfInquiryNext *) palloc0(count * sizeof(MfInquiryNext));
	batch->next_flights = (MfFlight **) palloc(count * sizeof(MfFlight *));
	batch->events = (MfEventNext *) palloc0(count * sizeof(MfEventNext));
	batch->twins = (MfFollowUp *) palloc0(count * sizeof(MfFollowUp));
	batch->answered = (int64 *) palloc(count * sizeof(int64));
}

/*
 * Locks the events and rows that the answers are about, without waiting.  Returns a
 * List of MfPaymentRow; notes events that are locked by others.
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
		if (is_about_event(batch->flights[i]))
			events[event_count++] = batch->flights[i]->inquiry->event;
	}
	if (event_count > 0)
		batch->locked_event_count = (int) mf_events_lock(scope, events, event_count, batch->locked_events);

	find_event_invoices(scope, batch);
	for (i = 0; i < batch->flight_count; i++)
	{
		int64		invoice = invoice_of(batch, i);

		if (invoice != 0)
			invoices[count++] = invoice;
	}
	return count > 0 ? mf_payment_lock(scope, invoices, count) : NIL;
}

/* Reads which invoices the events are about, and finds rows that have another invoice under its reference. */
static void
find_event_invoices(const MfSqlScope *scope, MfInquiryBatch *batch)
{
	bool		found = false;
	int			i;

	for (i = 0; i < batch->flight_count; i++)
	{
		const MfFlight *flight = batch->flights[i];
		char	   *const *values = flight->found.values;
		MfEventNext *answer = &batch->event_answers[i];

		if (flight->kind != MF_JOB_PAYMENT_ID || flight->found.base.lookup != MF_LOOKUP_FOUND)
			continue;
		answer->event = flight->inquiry->event;
		answer->invoice_id = values[MF_PS_INVOICE_ID];
		answer->reference = mf_from_utf8_lossy(values[MF_PS_CUSTOMER_REFERENCE]);
		found = true;
	}
	if (found)
		mf_events_find_twins(scope, batch->event_answers, batch->flight_count);
}

/* The row that an answer is about; 0 = none */
static int64
invoice_of(const MfInquiryBatch *batch, int number)
{
	switch (batch->flights[number]->kind)
	{
		case MF_JOB_WEBHOOK_LOG:
		case MF_JOB_DEPOSIT:
		case MF_JOB_RECURRING:
			return 0;
		case MF_JOB_PAYMENT_ID:
			return batch->event_answers[number].twin;
		default:
			return batch->flights[number]->invoice;
	}
}

/* Adds one answer to the batch.  Returns false if it must wait for a lock. */
static bool
add_flight(const MfSqlScope *scope, MfInquiryBatch *batch, int number, List *rows)
{
	MfFlight   *flight = batch->flights[number];
	int64		invoice = invoice_of(batch, number);
	const MfPaymentRow *row = mf_find_id(rows, invoice);
	bool		locked = is_about_event(flight) &&
		mf_has_id(batch->locked_events, batch->locked_event_count, flight->inquiry->event);

	if (locked || (invoice != 0 && row == NULL))
	{
		/* of a row that is gone, or locked for long, the answer is dropped: the lease repeats the inquiry */
		return flight->locked_retries++ >= LOCKED_RETRIES;
	}
	switch (flight->kind)
	{
		case MF_JOB_WEBHOOK_LOG:
			mf_missed_webhooks_record(scope, flight);
			break;
		case MF_JOB_DEPOSIT:
			return mf_deposit_record(scope, flight, batch->now) || flight->locked_retries++ >= LOCKED_RETRIES;
		case MF_JOB_RECURRING:
			return record_plans(scope, batch, flight) || flight->locked_retries++ >= LOCKED_RETRIES;
		case MF_JOB_PAYMENT_ID:
			add_event_answer(batch, flight, &batch->event_answers[number]);
			if (row != NULL)
				add_twin(batch, flight, &batch->event_answers[number], row);
			break;
		default:
			mf_inquiry_add_answer(scope, batch, flight, row);
			break;
	}
	return true;
}

/* Whether an inquiry was asked for in mf_event. */
static bool
is_about_event(const MfFlight *flight)
{
	return flight->kind == MF_JOB_PAYMENT_ID || flight->kind == MF_JOB_RECURRING;
}

/* Applies a list of recurring payments; false if there is more for the next round. */
static bool
record_plans(const MfSqlScope *scope, MfInquiryBatch *batch, MfFlight *flight)
{
	const char *reason;
	const MfAccount *account = mf_account_or_null(flight->throttle->account, &reason);

	/* of an account that is gone, whose time zone is not known any more, the answer is dropped */
	if (account == NULL)
		return true;
	if (flight->list.base.lookup != MF_LOOKUP_FOUND)
	{
		MfEventNext none = {0};

		add_event_answer(batch, flight, &none);
		mf_recurring_put_off(scope, account->name, &batch->events[batch->event_count - 1]);
		return true;
	}
	flight->throttle->plans_at = TimestampTzPlusMilliseconds(batch->now, PLAN_LIST_MS +
															 (int64) flight->list.row_count * PLAN_LIST_MS_PER_PLAN);
	return mf_recurring_apply(scope, account, mf_http_target_base_url(flight->target), &flight->list);
}

/*
 * Adds the invoice of an event's PaymentId or InvoiceId, about which an inquiry
 * follows; without one, plans the next try.
 */
static void
add_event_answer(MfInquiryBatch *batch, const MfFlight *flight, const MfEventNext *answer)
{
	const MfInquiryJob *job = flight->inquiry;
	MfEventNext *next = &batch->events[batch->event_count++];
	MfLookup	lookup = mf_flight_lookup(flight);

	next->event = job->event;
	next->lookups = job->unchanged_answers;
	next->failures = mf_inquiry_count_failures(flight);
	/* a key without the right to read plans may do all else, so nothing is paused that somebody would resume */
	if (lookup == MF_LOOKUP_ACCOUNT_PROBLEM && flight->kind == MF_JOB_RECURRING)
		lookup = MF_LOOKUP_REFUSED;
	switch (lookup)
	{
		case MF_LOOKUP_FOUND:
			next->invoice_id = answer->invoice_id;
			next->reference = answer->reference;
			next->row = answer->row;
			break;
		case MF_LOOKUP_NOT_FOUND:
		case MF_LOOKUP_REFUSED:
		case MF_LOOKUP_INCONCLUSIVE:
			next->lookups++;
			if (job->unchanged_answers < MF_QUICK_TRIES)
				next->due = mf_inquiry_quick_time(batch->now, job->unchanged_answers);
			else if (flight->kind == MF_JOB_RECURRING)
			{
				log_plans_refused(flight);
				next->due = TimestampTzPlusMilliseconds(batch->now, PLAN_REFUSED_MS);
			}
			break;
		default:
			next->due = mf_inquiry_retry_time(batch, flight);
			break;
	}
}

/* The key may lack the permission, which nothing else needs. */
static void
log_plans_refused(const MfFlight *flight)
{
	char	   *error = mf_flight_details(flight);

	ereport(LOG,
			(mf_log_event("plans_unreadable",
						  "could not read the recurring payments of account \"%s\"; they are asked for again in a day",
						  flight->throttle->account),
			 errdetail_internal("%s", error ? error : "")));
	if (error != NULL)
		pfree(error);
}

/* Adds that an event is about a second invoice with the reference of a row, for mf_review. */
static void
add_twin(MfInquiryBatch *batch, const MfFlight *flight, const MfEventNext *answer, const MfPaymentRow *row)
{
	MfFollowUp *twin = &batch->twins[batch->twin_count++];

	twin->invoice = row->invoice;
	twin->next = MF_JOB_REVIEW;
	twin->due = DT_NOEND;
	twin->duplicate = true;
	twin->error = mf_twin_error(answer->invoice_id, mf_from_utf8_lossy(flight->found.values[MF_PS_INVOICE_STATUS]),
								row->invoice_id);
	mf_report_twin(row->invoice, twin->error);
}

/* Writes the changes of a batch, and plans the next inquiries. */
static void
write_batch(const MfSqlScope *scope, MfInquiryBatch *batch)
{
	int64	   *tried = (int64 *) palloc((batch->try_count + 1) * sizeof(int64));
	int			tried_count = 0;
	int			i;

	if (batch->change_count > 0)
		mf_inquiry_write_changes(scope, batch);
	if (batch->refund_answers != NIL)
		mf_inquiry_settle_refunds(scope, batch);
	if (batch->hold_answers != NIL)
		mf_inquiry_settle_holds(scope, batch);
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
