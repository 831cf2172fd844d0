/*
 * answer_times.h
 *	  Predicts when the requests of an account will be answered.
 *
 * The prediction is the usual time of an answer, smoothed, less its usual
 * deviation.  It is early on purpose: a slot that is filled late is wasted,
 * while a claim that comes early only waits.  There is no prediction while no
 * answer has come yet, or while the oldest request is overdue.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/flow/answer_times.h
 */
#ifndef MF_ANSWER_TIMES_H
#define MF_ANSWER_TIMES_H

#include "datatype/timestamp.h"
#include "lib/ilist.h"

/* A request in flight.  Part of a MfFlight, and listed from start to end. */
typedef struct MfInFlight
{
	dlist_node	node;
	TimestampTz started_at;
	bool		is_inquiry;
} MfInFlight;

typedef struct MfAnswerTimes
{
	dlist_head	in_flight;		/* of MfInFlight, oldest first */
	double		usual_us;		/* smoothed; 0 = no answer yet */
	double		deviation_us;	/* smoothed */
} MfAnswerTimes;

/* Adds and removes a request.  A removal teaches nothing: see mf_answer_times_learn(). */
extern void mf_answer_times_start(MfAnswerTimes *times, MfInFlight *request, bool is_inquiry, TimestampTz now);
extern void mf_answer_times_end(MfInFlight *request);

/* Takes into account how long an answer took. */
extern void mf_answer_times_learn(MfAnswerTimes *times, int64 took_us);

/* How many answers are likely within "horizon_us", up to "limit" */
extern int	mf_answer_times_count(const MfAnswerTimes *times, int limit, int64 horizon_us, TimestampTz now);

/* When answer number "n" is likely, from 0 on; 0 = not known */
extern TimestampTz mf_answer_times_nth(const MfAnswerTimes *times, int n, TimestampTz now);

#endif							/* MF_ANSWER_TIMES_H */
