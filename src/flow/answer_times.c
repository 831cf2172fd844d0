/*
 * answer_times.c
 *	  Predicts when the requests of an account will be answered.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/flow/answer_times.c
 */
#include "postgres.h"

#include <math.h>

#include "flow/answer_times.h"

/* With the oldest request overdue by this, nothing is predicted. */
#define OVERDUE_US 20000

/* Answers are predicted no earlier than this before their usual time. */
#define EARLY_MAX_US 20000

static bool is_predictable(const MfAnswerTimes *times, TimestampTz now);
static TimestampTz earliest_answer(const MfAnswerTimes *times, const MfInFlight *request);

void
mf_answer_times_start(MfAnswerTimes *times, MfInFlight *request, bool is_inquiry, TimestampTz now)
{
	request->started_at = now;
	request->is_inquiry = is_inquiry;
	dlist_push_tail(&times->in_flight, &request->node);
}

void
mf_answer_times_end(MfInFlight *request)
{
	dlist_delete(&request->node);
}

/* With the weights that TCP uses for round-trip times */
void
mf_answer_times_learn(MfAnswerTimes *times, int64 took_us)
{
	double		took = Max((double) took_us, 1.0);

	if (times->usual_us <= 0)
	{
		times->usual_us = took;
		times->deviation_us = took / 2.0;
		return;
	}
	times->deviation_us += (fabs(took - times->usual_us) - times->deviation_us) / 4.0;
	times->usual_us += (took - times->usual_us) / 8.0;
}

int
mf_answer_times_count(const MfAnswerTimes *times, int limit, int64 horizon_us, TimestampTz now)
{
	int			count = 0;
	dlist_iter	iter;

	if (!is_predictable(times, now))
		return 0;
	dlist_foreach(iter, unconstify(dlist_head *, &times->in_flight))
	{
		if (count >= limit || earliest_answer(times, dlist_container(MfInFlight, node, iter.cur)) > now + horizon_us)
			break;
		count++;
	}
	return count;
}

TimestampTz
mf_answer_times_nth(const MfAnswerTimes *times, int n, TimestampTz now)
{
	dlist_iter	iter;

	if (!is_predictable(times, now))
		return 0;
	dlist_foreach(iter, unconstify(dlist_head *, &times->in_flight))
	{
		if (n-- == 0)
			return earliest_answer(times, dlist_container(MfInFlight, node, iter.cur));
	}
	return 0;
}

/* Whether answers come about as fast as they did lately */
static bool
is_predictable(const MfAnswerTimes *times, TimestampTz now)
{
	dlist_head *in_flight = unconstify(dlist_head *, &times->in_flight);

	return times->usual_us > 0 && !dlist_is_empty(in_flight) &&
		dlist_head_element(MfInFlight, node, in_flight)->started_at +
		(TimestampTz) (times->usual_us + 2.0 * times->deviation_us) > now - OVERDUE_US;
}

static TimestampTz
earliest_answer(const MfAnswerTimes *times, const MfInFlight *request)
{
	return request->started_at + (TimestampTz) (times->usual_us - Min(2.0 * times->deviation_us, EARLY_MAX_US));
}
