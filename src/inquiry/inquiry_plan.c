/*
 * inquiry_plan.c
 *	  When MyFatoorah is asked again, by what it has answered.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inquiry/inquiry_plan.c
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "account/account.h"
#include "base/compat.h"
#include "base/settings.h"
#include "inquiry/inquiry_internal.h"
#include "process/wait.h"

/* An invoice that is for a person to look at, and that would not be asked about any more */
#define REVIEW_DELAY_MS (24 * 3600 * 1000)

/*
 * After an event, MyFatoorah's own reads may lag behind for some seconds: these
 * pass before the next question, until something has changed.
 */
static const int quick_delays_ms[MF_QUICK_TRIES] = {1200, 3000, 10000, 30000, 120000};

void
mf_inquiry_plan(MfInquiryBatch *batch, int number, const int64 *tried, int tried_count)
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
	doubtful = mf_flight_lookup(flight) != MF_LOOKUP_FOUND || change->error != NULL || flight->payment.unsettled;

	/* a try that goes on says nothing yet of what the event told */
	for (i = 0; i < flight->payment.try_count; i++)
		changed &= flight->payment.tries[i].status != MF_TRY_IN_PROGRESS || (moved && mf_payment_was_paid(change->to));

	/* a question about refunds that finds none is none of those that are planned */
	if (change->from != change->to)
		next->step = 0;
	else if (flight->kind == MF_JOB_INQUIRY)
		next->step++;

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

	if ((doubtful || (next->urgent && !changed && (next->refunds || !mf_payment_was_paid(change->to)))) &&
		next->tries < MF_QUICK_TRIES)
	{
		next->urgent = true;
		next->due = mf_inquiry_quick_time(batch->now, next->tries++);
		return;
	}
	next->urgent = false;
	if (!doubtful)
		next->tries = 0;
	next->done = !mf_inquiry_schedule(change->to, next->step, mf_inquiry_expiry(flight), batch->now, &next->due);
	if (next->done && next->error != NULL)
	{
		/* what a person is to look at stays on the agenda */
		next->done = false;
		next->due = TimestampTzPlusMilliseconds(batch->now, REVIEW_DELAY_MS);
	}
}

TimestampTz
mf_inquiry_retry_time(const MfInquiryBatch *batch, const MfFlight *flight)
{
	int64		delay = mf_retry_delay;

	if (flight->item_at_fault)
		delay = Min(delay << Min(flight->inquiry->failures, 20), MF_BACKOFF_CAP_MS);
	return Max(mf_flight_retry_time(flight, batch->now, delay), Max(flight->throttle->retry_at, flight->throttle->inquire_at));
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
mf_inquiry_quick_time(TimestampTz now, int tries)
{
	return TimestampTzPlusMilliseconds(now, quick_delays_ms[Min(tries, MF_QUICK_TRIES - 1)]);
}

TimestampTz
mf_inquiry_expiry(const MfFlight *flight)
{
	const char *local = flight->kind == MF_JOB_INQUIRY ? flight->found.values[MF_PS_EXPIRY_DATE] : NULL;
	TimestampTz told;

	if (local == NULL)
		return flight->inquiry->expires_at;
	told = mf_account_timestamp(mf_account_get(flight->throttle->account), local);

	/* what cannot be is not told */
	return told < MF_TIME_MIN || told >= MF_TIME_END ? flight->inquiry->expires_at : told;
}

bool
mf_inquiry_schedule(MfPaymentStatus status, int step, TimestampTz expires_at, TimestampTz now, TimestampTz *due)
{
	/* multiples of myfatoorah.poll_delay, after the first; 0 ends the list, or repeats what stands before it */
	static const int open_factors[] = {3, 12, 72, 288, 0};
	static const int paid_factors[] = {12, 0};	/* somebody may have paid twice */
	static const int expired_factors[] = {12, 288, 0};	/* a payment may have begun before */
	static const int cancelled_factors[] = {288, 0};
	bool		is_open = status == MF_UNPAID || status == MF_AUTHORIZED;
	const int  *factors = is_open ? open_factors : status == MF_PAID ? paid_factors :
		status == MF_EXPIRED ? expired_factors : status == MF_REMOTE_CANCELLED ? cancelled_factors : NULL;
	double		delay;
	int			i;

	if (factors == NULL || mf_poll_rate_limit == 0)
		return false;
	for (i = 0; i < step && factors[i + 1] != 0; i++)
		;
	if (!is_open && step > i)
		return false;

	delay = (double) mf_poll_delay * factors[i] * (0.9 + 0.2 * mf_random_fraction());
	if (is_open && expires_at > now)
	{
		double		left = (expires_at - now) / 1000.0;

		/* more often towards the end, and once just after it */
		if (left < 12.0 * mf_poll_delay)
			delay = Min(delay, 3.0 * mf_poll_delay);
		delay = Min(delay, left + mf_poll_delay);
	}
	*due = now + (TimestampTz) (delay * 1000.0);
	return true;
}
