/*
 * operation_record.c
 *	  Records the outcomes of requests for refunds, captures and releases.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/operation/operation_record.c
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/failpoint.h"
#include "base/log_event.h"
#include "database/sql_array.h"
#include "flow/round_items.h"
#include "operation/operation_internal.h"
#include "process/wait.h"

/* Outcomes recorded in one round */
#define RECORD_LIMIT 100

/* The delay until an outcome is tried again whose row is locked; how often */
#define LOCKED_RETRY_MS 200
#define LOCKED_RETRIES 50

static void record_ends(const MfSqlScope *scope, MfFlight **flights, int count);
static void fill_end(const MfFlight *flight, MfAttemptEnd *end);
static void record_outcome(MfOperationBatch *batch, const MfFlight *flight, const MfOperation *operation, TimestampTz now);
static bool is_given_up(MfFlight *flight);

void
mf_operation_record(const MfSqlScope *scope, dlist_head *landed, dlist_head *recorded, TimestampTz now,
					TimestampTz *next_round)
{
	int			limit = mf_items_room(RECORD_LIMIT);
	MfFlight   *flights[RECORD_LIMIT];
	int64		ids[RECORD_LIMIT];
	int			count = mf_flight_collect(landed, flights, limit, now, next_round);
	MfOperationBatch batch;
	List	   *rows;
	int			i;

	if (count == 0)
		return;
	record_ends(scope, flights, count);
	for (i = 0; i < count; i++)
		ids[i] = flights[i]->operation;
	rows = mf_operations_lock(scope, ids, count);
	mf_operation_batch_init(&batch, count);
	for (i = 0; i < count; i++)
	{
		MfFlight   *flight = flights[i];
		const MfOperation *operation = (const MfOperation *) mf_find_id(rows, flight->operation);

		flight->attempt_in_round = true;
		if (operation == NULL && !is_given_up(flight))
		{
			flight->retry_at = TimestampTzPlusMilliseconds(now, LOCKED_RETRY_MS);
			*next_round = mf_earlier(*next_round, flight->retry_at);
			continue;
		}
		if (operation != NULL)
			record_outcome(&batch, flight, operation, now);
		dlist_delete(&flight->node);
		dlist_push_tail(recorded, &flight->node);
		mf_flight_set_under_way(flight, false);
	}
	mf_operation_batch_write(scope, &batch);
	MF_FAILPOINT("operation_recorded");
}

/* With the attempts first: whoever finds a lease that is over reads them. */
static void
record_ends(const MfSqlScope *scope, MfFlight **flights, int count)
{
	MfAttemptEnd *ends = (MfAttemptEnd *) palloc0(count * sizeof(MfAttemptEnd));
	int			end_count = 0;
	int			i;

	for (i = 0; i < count; i++)
	{
		if (!flights[i]->attempt_recorded)
			fill_end(flights[i], &ends[end_count++]);
	}
	if (end_count > 0)
		mf_queue_end_attempts(scope, ends, end_count, true);
}

static void
fill_end(const MfFlight *flight, MfAttemptEnd *end)
{
	mf_flight_end(flight, end);
	end->invoice = flight->operation;
}

void
mf_operation_keep_answer(const MfSqlScope *scope, const MfFlight *flight)
{
	MfAttemptEnd end;

	fill_end(flight, &end);
	mf_queue_end_attempts(scope, &end, 1, true);
}

/* The row must still be in the state that the attempt has made, or at least not know better. */
static void
record_outcome(MfOperationBatch *batch, const MfFlight *flight, const MfOperation *operation, TimestampTz now)
{
	bool		is_late = operation->status != MF_OPERATION_SENDING || operation->attempts != flight->attempt;

	if (is_late)
		ereport(LOG,
				(mf_log_event("answer_late", "the answer to attempt %d of refund or capture %lld came too late",
							  flight->attempt, (long long) operation->id),
				 errdetail("It is \"%s\"; the outcome \"%s\" is kept in mf_operation_attempt.",
						   mf_operation_status_name(operation->status), mf_outcome_name(flight->sent.outcome))));
	if (is_late && (operation->attempts != flight->attempt || operation->status != MF_OPERATION_UNKNOWN))
		return;
	mf_operation_ended(batch, operation, flight->sent.outcome, flight->sent.invoice_id, mf_flight_error(flight), now,
					   flight->answer_by);
}

/* Whether to give up a row that is locked for long, or was removed: when its lease is over, the outcome is found with the attempt. */
static bool
is_given_up(MfFlight *flight)
{
	return flight->locked_retries++ >= LOCKED_RETRIES && flight->attempt_recorded;
}
