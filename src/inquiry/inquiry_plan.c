/*
 * inquiry_plan.c
 *	  When the next inquiry about an invoice comes, by the answer to the last one.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inquiry/inquiry_plan.c
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/settings.h"
#include "database/sql_array.h"
#include "inquiry/inquiry_internal.h"
#include "process/wait.h"

/* The delay for an invoice that mf_review shows, and about which no inquiry would be made any more */
#define REVIEW_DELAY_MS (24 * 3600 * 1000)

/*
 * Delays of the inquiries after an event, as long as their answers have not changed:
 * MyFatoorah's answers may lag some seconds behind its events.
 */
static const int quick_delays_ms[MF_QUICK_TRIES] = {1200, 3000, 10000, 30000, 120000};

static const MfPaymentChange *find_change(const MfInquiryBatch *batch, int64 invoice);
static bool has_changed(const MfFlight *flight, const MfPaymentChange *change, bool tried);
static bool schedule_poll(MfPaymentStatus status, int answers, TimestampTz expires_at, TimestampTz now, TimestampTz *due);
static const int *delay_factors(MfPaymentStatus status);

void
mf_inquiry_plan(MfInquiryBatch *batch, int number, const int64 *tried, int tried_count)
{
	MfFlight   *flight = batch->next_flights[number];
	MfInquiryNext *next = &batch->next[number];
	const MfPaymentChange *change = find_change(batch, next->invoice);
	bool		changed;
	bool		doubtful;

	/* without an answer, mf_inquiry_add_answer() has planned it */
	if (change == NULL || next->due != 0)
		return;

	changed = has_changed(flight, change, mf_has_id(tried, tried_count, next->invoice));
	doubtful = mf_flight_lookup(flight) != MF_LOOKUP_FOUND || change->error != NULL || flight->payment.unsettled;

	/* counts the steps of schedule_poll(), and inquiries about refunds are none */
	if (change->from != change->to)
		next->answers = 0;
	else if (flight->kind == MF_JOB_INQUIRY)
		next->answers++;

	/* after an event about a refund, the refunds are asked for next */
	if (flight->kind == MF_JOB_INQUIRY && next->refunds && change->read && mf_payment_was_paid(change->to))
	{
		next->due = batch->now;
		next->urgent = true;
		mf_inquiry_allow_refunds(next, flight);
		return;
	}
	if (flight->kind == MF_JOB_REFUNDS)
	{
		doubtful = false;
		next->refunds = !changed && next->unchanged_answers < MF_QUICK_TRIES;
	}

	if ((doubtful || (next->urgent && !changed && (next->refunds || !mf_payment_was_paid(change->to)))) &&
		next->unchanged_answers < MF_QUICK_TRIES)
	{
		next->urgent = true;
		next->due = mf_inquiry_quick_time(batch->now, next->unchanged_answers++);
		return;
	}
	next->urgent = false;
	if (!doubtful)
		next->unchanged_answers = 0;
	next->done = !schedule_poll(change->to, next->answers, mf_inquiry_expiry(flight), batch->now, &next->due);
	if (next->done && next->error != NULL)
	{
		/* mf_review shows its error while the entry exists */
		next->done = false;
		next->due = TimestampTzPlusMilliseconds(batch->now, REVIEW_DELAY_MS);
	}
}

static const MfPaymentChange *
find_change(const MfInquiryBatch *batch, int64 invoice)
{
	int			i;

	for (i = batch->change_count - 1; i >= 0; i--)
	{
		if (batch->changes[i].invoice == invoice)
			return &batch->changes[i];
	}
	return NULL;
}

/*
 * Whether an answer contains the change that an event was about.  "tried": it has
 * changed a try to pay.
 */
static bool
has_changed(const MfFlight *flight, const MfPaymentChange *change, bool tried)
{
	/* an invoice expires by the clock, not by an event */
	bool		status_changed = change->from != change->to && change->to != MF_EXPIRED;
	bool		changed = tried || (flight->kind == MF_JOB_REFUNDS ? change->changed : status_changed);
	int			i;

	/* while a try is in progress, its result is still to come */
	for (i = 0; i < flight->payment.try_count; i++)
		changed &= flight->payment.tries[i].status != MF_TRY_IN_PROGRESS ||
			(status_changed && mf_payment_was_paid(change->to));
	return changed;
}

/* Not before the account can be reached again.  The delay doubles while the inquiry itself is at fault. */
TimestampTz
mf_inquiry_retry_time(const MfInquiryBatch *batch, const MfFlight *flight)
{
	int64		delay = mf_retry_delay;

	if (flight->item_at_fault)
		delay = Min(delay << Min(flight->inquiry->failures, 20), MF_BACKOFF_CAP_MS);
	return Max(mf_flight_retry_time(flight, batch->now, delay),
			   Max(flight->throttle->retry_at, flight->throttle->inquire_at));
}

int
mf_inquiry_count_failures(const MfFlight *flight)
{
	switch (mf_flight_outcome(flight))
	{
		case MF_OUTCOME_UNKNOWN:
			return flight->inquiry->failures + 1;
		case MF_OUTCOME_ACCEPTED:
		case MF_OUTCOME_REJECTED:
			return 0;
		default:
			return flight->inquiry->failures;
	}
}

TimestampTz
mf_inquiry_quick_time(TimestampTz now, int unchanged_answers)
{
	return TimestampTzPlusMilliseconds(now, quick_delays_ms[Min(unchanged_answers, MF_QUICK_TRIES - 1)]);
}

TimestampTz
mf_inquiry_expiry(const MfFlight *flight)
{
	const char *local = flight->kind == MF_JOB_INQUIRY ? flight->found.values[MF_PS_EXPIRY_DATE] : NULL;
	TimestampTz expiry;

	if (local == NULL)
		return flight->inquiry->expires_at;
	expiry = mf_account_timestamp(mf_account_get(flight->throttle->account), local);

	/* an impossible time is ignored */
	return expiry < MF_TIME_MIN || expiry >= MF_TIME_END ? flight->inquiry->expires_at : expiry;
}

/*
 * Sets *due to the next planned inquiry about an invoice that has had "answers" answers
 * since its payment status last changed.  Returns false if there is none, because nothing
 * can change any more, or polling is off.  "expires_at" 0 = unknown.
 */
static bool
schedule_poll(MfPaymentStatus status, int answers, TimestampTz expires_at, TimestampTz now, TimestampTz *due)
{
	const int  *factors = delay_factors(status);
	bool		is_open = status == MF_UNPAID || status == MF_AUTHORIZED;
	double		delay_ms;
	int			i;

	if (factors == NULL || mf_poll_rate_limit == 0)
		return false;
	for (i = 0; i < answers && factors[i + 1] != 0; i++)
		;
	if (!is_open && answers > i)
		return false;

	delay_ms = (double) mf_poll_delay * factors[i] * (0.9 + 0.2 * mf_random_fraction());
	if (is_open && expires_at > now)
	{
		double		left_ms = (expires_at - now) / 1000.0;

		/* more often towards the expiry, and once just after it */
		if (left_ms < 12.0 * mf_poll_delay)
			delay_ms = Min(delay_ms, 3.0 * mf_poll_delay);
		delay_ms = Min(delay_ms, left_ms + mf_poll_delay);
	}
	*due = now + (TimestampTz) (delay_ms * 1000.0);
	return true;
}

/*
 * The delays after each answer, in multiples of myfatoorah.poll_delay; NULL = none.  At
 * the end of the list, which 0 marks, the last delay of an open invoice repeats.
 */
static const int *
delay_factors(MfPaymentStatus status)
{
	static const int open_factors[] = {3, 12, 72, 288, 0};
	static const int paid_factors[] = {12, 0};	/* it may be paid twice */
	static const int expired_factors[] = {12, 288, 0};	/* a payment may have begun before */
	static const int cancelled_factors[] = {288, 0};

	switch (status)
	{
		case MF_UNPAID:
		case MF_AUTHORIZED:
			return open_factors;
		case MF_PAID:
			return paid_factors;
		case MF_EXPIRED:
			return expired_factors;
		case MF_REMOTE_CANCELLED:
			return cancelled_factors;
		default:
			return NULL;
	}
}
