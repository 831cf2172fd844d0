/*
 * sender_record.c
 *	  Records what has become of attempts and look-ups.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/sender_record.c
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "claim.h"
#include "compat.h"
#include "failpoint.h"
#include "inquiry.h"
#include "myfatoorah.h"
#include "queue.h"
#include "request.h"
#include "sender_record.h"

/* An outcome whose invoice somebody has locked is tried again after this. */
#define LOCKED_RETRY_MS 200

/* Outcomes recorded in one round */
#define RECORD_LIMIT 200

static void record_accepted(const MfSqlScope *scope, MfRecorder *recorder, dlist_head *landed, dlist_head *recorded,
							TimestampTz now);
static void finish_with_person(const MfLockedInvoice *invoice, MfTransition *transition);
static void tell_too_late(const MfFlight *flight, const MfLockedInvoice *invoice);
static void move_to_recorded(MfFlight *flight, dlist_head *recorded);

/* See sender_record.h. */
void
mf_sender_record(const MfSqlScope *scope, MfRecorder *recorder, dlist_head *landed, dlist_head *recorded,
				 MfFlight **suspect, TimestampTz now, TimestampTz *again)
{
	int			limit = suspect != NULL ? 1 : RECORD_LIMIT;
	MfFlight	  **batch = (MfFlight **) palloc(limit * sizeof(MfFlight *));
	int64	   *invoices = (int64 *) palloc(limit * sizeof(int64));
	MfAttemptEnd *ends = (MfAttemptEnd *) palloc(limit * sizeof(MfAttemptEnd));
	MfTransition *transitions = (MfTransition *) palloc(limit * sizeof(MfTransition));
	MfFollowUp *follow_ups = (MfFollowUp *) palloc(limit * sizeof(MfFollowUp));
	int			count = 0;
	int			end_count = 0;
	int			transition_count = 0;
	int			follow_up_count = 0;
	int			i;
	List	   *locked;
	dlist_iter	iter;

	if (recorder != NULL && !dlist_is_empty(landed))
		record_accepted(scope, recorder, landed, recorded, now);
	dlist_foreach(iter, landed)
	{
		MfFlight	   *flight = dlist_container(MfFlight, node, iter.cur);

		if (flight->retry_at > now)
		{
			mf_come_back(again, flight->retry_at);
			continue;
		}
		if (count == limit)
			break;
		batch[count] = flight;
		invoices[count++] = flight->invoice;
		if (!mf_flight_is_lookup(flight) && !flight->attempt_recorded)
		{
			MfAttemptEnd *end = &ends[end_count++];

			mf_flight_end(flight, end);
		}
	}
	if (count == 0)
		return;
	if (suspect != NULL)
		*suspect = batch[0];

	if (end_count > 0)
		mf_queue_end_attempts(scope, ends, end_count);

	locked = mf_queue_lock_invoices(scope, invoices, count);
	for (i = 0; i < count; i++)
	{
		MfFlight	   *flight = batch[i];
		MfLockedInvoice *invoice = NULL;
		bool		tell = true;
		bool		is_transition = false;
		ListCell   *lc;

		foreach(lc, locked)
		{
			if (((MfLockedInvoice *) lfirst(lc))->invoice == flight->invoice)
				invoice = (MfLockedInvoice *) lfirst(lc);
		}

		flight->attempt_recorded = true;
		if (invoice == NULL)
		{
			flight->retry_at = TimestampTzPlusMilliseconds(now, LOCKED_RETRY_MS);
			mf_come_back(again, flight->retry_at);
			continue;
		}
		if (invoice->status == mf_flight_expected_status(flight) && invoice->attempts == flight->attempt)
			is_transition = mf_flight_verdict(flight, now, &transitions[transition_count], &follow_ups[follow_up_count]);
		else
		{
			tell_too_late(flight, invoice);
			tell = mf_flight_late_verdict(flight, invoice, now, &transitions[transition_count], &is_transition,
										  &follow_ups[follow_up_count]);
		}
		if (tell && is_transition)
			finish_with_person(invoice, &transitions[transition_count++]);
		else if (tell)
			follow_up_count++;

		if (mf_flight_outcome(flight) == MF_ACCOUNT_PROBLEM)
		{
			char	   *error = mf_flight_error(flight);

			mf_queue_pause(scope->schema, flight->circuit->account, "sender", error);
			mf_circuit_report(flight->circuit, "is paused", error);
		}
		move_to_recorded(flight, recorded);
	}

	if (transition_count > 0)
		mf_queue_apply(scope, transitions, transition_count);
	if (follow_up_count > 0)
		mf_queue_follow_up(scope, follow_ups, follow_up_count);
	MF_FAILPOINT("outcome_recorded");
	if (suspect != NULL)
		*suspect = NULL;
}

/*
 * Records the accepted ones of what has landed, as long as there is nothing
 * unusual about them: what is left is left to mf_sender_record().
 */
static void
record_accepted(const MfSqlScope *scope, MfRecorder *recorder, dlist_head *landed, dlist_head *recorded, TimestampTz now)
{
	MfSentInvoice sent[RECORD_LIMIT];
	int			count = 0;
	dlist_mutable_iter iter;

	mf_recorder_begin(recorder);
	dlist_foreach_modify(iter, landed)
	{
		MfFlight   *flight = dlist_container(MfFlight, node, iter.cur);

		if (count == RECORD_LIMIT)
			break;
		if (flight->retry_at <= now && mf_record_accepted(recorder, flight, &sent[count]))
		{
			count++;
			move_to_recorded(flight, recorded);
		}
	}
	mf_recorder_end(recorder);
	if (count > 0)
	{
		mf_inquiry_opened(scope, sent, count);
		MF_FAILPOINT("outcome_recorded");
	}
}

static void
move_to_recorded(MfFlight *flight, dlist_head *recorded)
{
	dlist_delete(&flight->node);
	dlist_push_tail(recorded, &flight->node);
	mf_flight_set_under_way(flight, false);
}

/* An invoice that may exist twice is not finished by being sent. */
static void
finish_with_person(const MfLockedInvoice *invoice, MfTransition *transition)
{
	if (invoice->duplicate_suspected && transition->to == MF_SENT && transition->next == MF_JOB_NONE)
	{
		transition->next = MF_JOB_REVIEW;
		transition->due = DT_NOEND;
	}
}

/* The invoice has moved on while this was under way. */
static void
tell_too_late(const MfFlight *flight, const MfLockedInvoice *invoice)
{
	if (mf_flight_is_lookup(flight))
		return;
	ereport(LOG,
			(errmsg("the answer to attempt %d of invoice " INT64_FORMAT " came too late",
					flight->attempt, flight->invoice),
			 errdetail("The invoice is \"%s\"; the outcome \"%s\" is kept in mf_attempt.",
					   mf_status_name(invoice->status), mf_outcome_name(mf_flight_outcome(flight)))));
}
