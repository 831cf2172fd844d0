/*
 * sender.c
 *	  The rounds of the worker: record outcomes, claim what is due, post it.
 *
 * A flight is claimed and recorded as an attempt in one transaction and posted
 * after the commit.  Its outcome is recorded in a later transaction, which also
 * claims the next flights.  No transaction is open while it is in flight.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/sending/sender.c
 */
#include "postgres.h"

#include "replication/syncrep.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/failpoint.h"
#include "base/log_event.h"
#include "flight/account_turns.h"
#include "flight/claim_account.h"
#include "flow/request_slots.h"
#include "flow/round_items.h"
#include "inquiry/inquiry.h"
#include "on_change/on_change_queue.h"
#include "operation/operation.h"
#include "process/metrics.h"
#include "process/wait.h"
#include "process/wakeup.h"
#include "sending/claim.h"
#include "sending/copy_guard.h"
#include "sending/sender_internal.h"
#include "store/inquiries.h"
#include "store/queue.h"
#include "store/queue_pause.h"

/* With this many requests in flight, answers are gathered for this long. */
#define GATHER_MIN 8
#define GATHER_MS 1

/*
 * Claims go ahead of the slots that become free while they are committed: at least
 * so far, because a round may take longer than usual, and no further than that.
 */
#define HORIZON_MIN_MS 40
#define HORIZON_MAX_MS 50

static TimestampTz gather_until = 0;
static TimestampTz round_began = 0;
static double round_us = 0;		/* from a round's begin to its commit, smoothed */
static bool ending = false;		/* the worker ends: an outcome that cannot be recorded now is lost */

/*
 * The sweep at the start goes through the invoices that the previous worker has left
 * "sending", by id.  In a copy it waits until a person has decided that it sends.
 */
static bool sweeping = true;
static bool sweep_waits = false;
static int64 swept = PG_INT64_MIN;	/* up to this invoice */
static int64 swept_in_round;	/* likewise, once the present round has committed */

static void sweep(const MfSqlScope *scope, TimestampTz now);
static void record_and_claim(const MfSqlScope *scope, TimestampTz now, TimestampTz *next_round);
static bool has_recordable(dlist_head *list, TimestampTz now);
static void receive_answers(void);
static void free_recorded(void);
static void confirm_recorded_attempts(dlist_head *list);
static void post_claimed(bool confirmed);
static MfFlight *remove_claimed(void);
static void stop_retries(dlist_head *list);
static void restore_recorded(void);
static int64 horizon_us(void);

void
mf_sender_try_now(uint32 what)
{
	dlist_iter	iter;

	if (what & MF_TRY_ALL)
	{
		mf_claim_retry_keys();
		sweeping |= sweep_waits;
	}
	dlist_foreach(iter, &mf_throttles)
	{
		MfThrottle *throttle = dlist_container(MfThrottle, node, iter.cur);

		if (what & MF_TRY_ALL)
			mf_throttle_reset(throttle);
		else
			mf_throttle_account_changed(throttle);
	}
	mf_missed_webhooks_try_now();
	mf_inquiry_wake();
	mf_operation_wake();
}

void
mf_sender_try_put_off(const MfSqlScope *scope)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz unused = 0;
	Datum		left_out[MF_ITEM_KINDS];
	int			kind;
	dlist_iter	iter;

	for (kind = 0; kind < MF_ITEM_KINDS; kind++)
		left_out[kind] = mf_items_left_out((MfItemKind) kind, now, &unused);
	dlist_foreach(iter, &mf_sender_state.landed)
		dlist_container(MfFlight, node, iter.cur)->retry_at = 0;
	dlist_foreach(iter, &mf_sender_state.operated)
		dlist_container(MfFlight, node, iter.cur)->retry_at = 0;
	mf_items_try_now();
	mf_turns_all_changed();
	/* entries that the round leaves out fail when they are written, so this does not write them */
	mf_queue_retry_put_off(scope, left_out);
}

int
mf_sender_unsettled(void)
{
	int			count = mf_sender_state.in_flight_count + mf_slots_ready_count() + (sweeping ? 1 : 0);
	dlist_iter	iter;

	dlist_foreach(iter, &mf_sender_state.landed)
		count++;
	dlist_foreach(iter, &mf_sender_state.answered)
		count++;
	dlist_foreach(iter, &mf_sender_state.operated)
		count++;
	return count;
}

bool
mf_sender_has_work(void)
{
	TimestampTz now = GetCurrentTimestamp();

	if (mf_sender_state.waits_for_round || sweeping || mf_sender_has_outcomes())
		return true;
	if (mf_sender_may_claim() &&
		(mf_inquiry_has_work() || mf_operation_has_work() ||
		 (mf_turns_has_work(now) && mf_slots_claimable(1, horizon_us(), now) > 0)))
		return true;
	return mf_sender_must_return_ready(now);
}

TimestampTz
mf_sender_gather_until(void)
{
	if (mf_sender_state.waits_for_round || mf_sender_state.in_flight_count < GATHER_MIN ||
		mf_sender_state.landed_count * 2 >= mf_sender_state.in_flight_count || GetCurrentTimestamp() >= gather_until)
		return 0;
	return gather_until;
}

TimestampTz
mf_sender_alarm(void)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz alarm = mf_turns_alarm();

	/* accounts that are due already wait for a slot */
	if (mf_turns_has_work(now) && mf_slots_claimable(1, horizon_us(), now) == 0)
		alarm = mf_slots_claimable_at(horizon_us(), now);
	if (mf_slots_starved_until() > now)
		alarm = mf_earlier(alarm, mf_slots_starved_until());
	alarm = mf_earlier(alarm, mf_pause_alarm());
	alarm = mf_earlier(alarm, mf_inquiry_alarm());
	alarm = mf_earlier(alarm, mf_reaction_alarm);
	return mf_earlier(alarm, mf_sender_ready_alarm());
}

/* How far ahead claims go: it takes two rounds at most until a claim has committed. */
static int64
horizon_us(void)
{
	double		us = 2.0 * round_us + GATHER_MS * 1000.0;

	return (int64) Max(Min(us, HORIZON_MAX_MS * 1000.0), HORIZON_MIN_MS * 1000.0);
}

bool
mf_sender_has_outcomes(void)
{
	TimestampTz now = GetCurrentTimestamp();

	return has_recordable(&mf_sender_state.landed, now) || has_recordable(&mf_sender_state.answered, now) ||
		has_recordable(&mf_sender_state.operated, now);
}

/* Whether the outcome of one of these flights can be recorded now. */
static bool
has_recordable(dlist_head *list, TimestampTz now)
{
	dlist_iter	iter;

	dlist_foreach(iter, list)
	{
		if (dlist_container(MfFlight, node, iter.cur)->retry_at <= now)
			return true;
	}
	return false;
}

void
mf_sender_round(Oid schema, TimestampTz *next_round)
{
	TimestampTz now = GetCurrentTimestamp();
	MfSqlScope	scope;

	*next_round = 0;
	round_began = now;
	mf_operations.refused = 0;
	mf_http_watch_clock(mf_sender_state.http, true);
	mf_sql_begin(&scope, schema);
	if (sweeping)
		sweep(&scope, now);
	else
		record_and_claim(&scope, now, next_round);
	mf_sql_end(&scope);
	receive_answers();
}

/*
 * Sweeps the next invoices.  In a copy, the previous worker was another server's,
 * and replication may still bring more invoices.
 */
static void
sweep(const MfSqlScope *scope, TimestampTz now)
{
	sweep_waits = mf_queue_awaits_decision(scope);
	swept_in_round = sweep_waits ? swept : mf_claim_sweep(scope, swept, now);
}

/* A round after the sweep */
static void
record_and_claim(const MfSqlScope *scope, TimestampTz now, TimestampTz *next_round)
{
	MfSenderState *state = &mf_sender_state;
	MfAttemptRows *recorder = NULL;
	bool		paused;

	mf_sender_return_ready(now);
	mf_inquiry_record(scope, &state->answered, &state->recorded, now, next_round);
	mf_operation_record(scope, &state->operated, &state->recorded, now, next_round);
	/* a single item goes by SQL, whose errors say more */
	if (mf_items_room(2) == 2)
		recorder = mf_attempt_rows_open(scope);
	mf_sender_save_outcomes(scope, recorder, &state->landed, &state->recorded, now, next_round);
	state->landed_count = 0;
	receive_answers();
	paused = !mf_copy_guard_may_claim(scope->schema);
	if (mf_sender_round_may_claim())
	{
		MfClaim		claim = {state->http, state->memory, &state->claimed, recorder, horizon_us(), paused};

		mf_inquiry_claim(scope, &claim, now, next_round);
		mf_operation_claim(scope, &claim, now, next_round);
		mf_claim_due(scope, &claim, now);
	}
	if (recorder != NULL)
		mf_attempt_rows_close(recorder);
}

bool
mf_sender_run(void)
{
	receive_answers();
	return !dlist_is_empty(&mf_sender_state.landed) || !dlist_is_empty(&mf_sender_state.answered) ||
		!dlist_is_empty(&mf_sender_state.operated);
}

/*
 * Reads the answers that have come and fills their slots with ready flights.
 * Touches no table, so it may be called within a round.
 */
static void
receive_answers(void)
{
	bool		posted = false;
	bool		scarce;
	MfFlight   *flight;

	mf_http_perform(mf_sender_state.http);
	for (;;)
	{
		scarce = mf_slots_free(GetCurrentTimestamp()) == 0;
		flight = mf_sender_next_answer();
		if (flight == NULL)
			break;

		/* inquiries that wait for a slot come first */
		if (!mf_inquiries.pending)
			posted |= scarce ? mf_sender_post_ready_in_turns() : mf_sender_post_ready(flight->throttle);
	}
	/* requests leave before the outcomes are recorded */
	if (posted)
		mf_http_perform(mf_sender_state.http);
}

bool
mf_sender_post(bool confirmed)
{
	bool		any = mf_items_done();
	uint64		posted_before = mf_sender_state.request_count;

	mf_sender_state.waits_for_round = false;
	mf_turns_round_done();
	round_us += ((double) (GetCurrentTimestamp() - round_began) - round_us) / 4.0;
	free_recorded();
	confirm_recorded_attempts(&mf_sender_state.landed);
	confirm_recorded_attempts(&mf_sender_state.operated);
	if (ending)
	{
		stop_retries(&mf_sender_state.landed);
		stop_retries(&mf_sender_state.answered);
		stop_retries(&mf_sender_state.operated);
	}
	if (sweeping)
	{
		sweeping = swept_in_round > swept;
		swept = swept_in_round;
		any |= sweeping;
	}

	post_claimed(confirmed);
	(void) mf_sender_post_ready_in_turns();
	mf_turns_wait_for_slots(horizon_us(), GetCurrentTimestamp());
	gather_until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), GATHER_MS);
	mf_http_watch_clock(mf_sender_state.http, mf_sender_state.in_flight_count > 0 || mf_slots_ready_count() > 0);
	if (mf_sender_state.request_count > posted_before)
	{
		mf_http_perform(mf_sender_state.http);
		MF_FAILPOINT("posted");
	}
	return any;
}

/* Counts what the round has recorded, and frees its flights. */
static void
free_recorded(void)
{
	mf_count(MF_COUNTER_REFUNDS_REFUSED, mf_operations.refused);
	mf_operations.refused = 0;
	if (!dlist_is_empty(&mf_sender_state.recorded))
		MF_FAILPOINT("outcome_committed");
	while (!dlist_is_empty(&mf_sender_state.recorded))
	{
		MfFlight   *flight = dlist_container(MfFlight, node, dlist_pop_head_node(&mf_sender_state.recorded));

		if (flight->kind == MF_JOB_WEBHOOK_LOG)
			mf_missed_webhooks_recorded(flight, GetCurrentTimestamp());
		mf_count_request(flight->throttle->metrics, mf_flight_request_kind(flight), mf_flight_outcome(flight),
						 mf_flight_sends(flight) && flight->attempt > 1,
						 flight->kind < MF_RATES ? (int) flight->kind : -1);
		mf_flight_free(flight);
	}
}

/* Of flights whose invoice was locked, the round has recorded the outcome with the attempt only. */
static void
confirm_recorded_attempts(dlist_head *list)
{
	dlist_iter	iter;

	dlist_foreach(iter, list)
	{
		MfFlight   *flight = dlist_container(MfFlight, node, iter.cur);

		flight->attempt_recorded |= flight->attempt_in_round;
		flight->attempt_in_round = false;
	}
}

/* Posts the inquiries that the round has claimed, and has its other flights wait for slots. */
static void
post_claimed(bool confirmed)
{
	if (!dlist_is_empty(&mf_sender_state.claimed))
		MF_FAILPOINT("intent_committed");
	while (!dlist_is_empty(&mf_sender_state.claimed))
	{
		MfFlight   *flight = remove_claimed();

		mf_flight_set_under_way(flight, true);
		if (!confirmed)
			mf_sender_fail_unsent(flight, SyncRepStandbyNames != NULL && SyncRepStandbyNames[0] != '\0' ?
								  "its record was not confirmed by a standby" : "sending was stopped before it left");
		else if (mf_flight_is_inquiry(flight))
			mf_sender_post_flight(flight);
		else
			mf_sender_add_ready(flight);
	}
}

/* The first flight that the round has claimed.  There must be one. */
static MfFlight *
remove_claimed(void)
{
	MfFlight   *flight = dlist_container(MfFlight, node, dlist_pop_head_node(&mf_sender_state.claimed));

	if (mf_flight_is_inquiry(flight))
		mf_slots_count_inquiries(flight->throttle, -1);
	return flight;
}

/* The worker ends and does not wait for locks: the answers are with the attempts. */
static void
stop_retries(dlist_head *list)
{
	dlist_iter	iter;

	dlist_foreach(iter, list)
	{
		MfFlight   *flight = dlist_container(MfFlight, node, iter.cur);

		if (flight->retry_at != 0)
			flight->retry_at = DT_NOEND;
	}
}

const MfItem *
mf_sender_round_failed(bool *smaller)
{
	dlist_iter	iter;

	while (!dlist_is_empty(&mf_sender_state.claimed))
	{
		MfFlight   *flight = remove_claimed();

		if (flight->kind == MF_JOB_WEBHOOK_LOG)
			mf_missed_webhooks_dropped(flight);
		mf_flight_free(flight);
	}
	restore_recorded();
	dlist_foreach(iter, &mf_sender_state.landed)
		dlist_container(MfFlight, node, iter.cur)->attempt_in_round = false;
	dlist_foreach(iter, &mf_sender_state.operated)
		dlist_container(MfFlight, node, iter.cur)->attempt_in_round = false;
	mf_inquiry_wake();
	mf_operation_wake();

	mf_turns_round_failed();

	/* the positions are past entries whose claim was rolled back */
	dlist_foreach(iter, &mf_throttles)
		dlist_container(MfThrottle, node, iter.cur)->claim.position_rank = DT_NOBEGIN;
	return mf_items_failed(smaller);
}

/* Has the outcomes that the failed round had recorded wait again, before the others. */
static void
restore_recorded(void)
{
	while (!dlist_is_empty(&mf_sender_state.recorded))
	{
		MfFlight   *flight = dlist_tail_element(MfFlight, node, &mf_sender_state.recorded);

		mf_flight_set_under_way(flight, true);
		dlist_delete(&flight->node);
		dlist_push_head(mf_sender_outcomes(flight), &flight->node);
	}
}

void
mf_sender_put_off(const MfItem *item, TimestampTz until)
{
	MfFlight   *flight = item->flight;

	if (sweeping)
		swept = Max(swept, item->id);
	if (flight == NULL)
		return;
	dlist_delete(&flight->node);
	if (mf_flight_sends(flight))
	{
		flight->retry_at = ending ? DT_NOEND : until;
		dlist_push_tail(mf_sender_outcomes(flight), &flight->node);
		return;
	}
	/* its entry stays on the agenda, so the inquiry or look-up is repeated */
	if (flight->kind == MF_JOB_WEBHOOK_LOG)
		mf_missed_webhooks_dropped(flight);
	mf_flight_free(flight);
}

void
mf_sender_abort(void)
{
	dlist_iter	iter;

	mf_sender_stop();
	receive_answers();
	ending = true;
	mf_sender_fail_ready("the worker was stopped before it was sent");
	mf_sender_fail_in_flight("the worker was stopped before the answer came");
	dlist_foreach(iter, &mf_sender_state.landed)
		dlist_container(MfFlight, node, iter.cur)->retry_at = 0;
	dlist_foreach(iter, &mf_sender_state.operated)
		dlist_container(MfFlight, node, iter.cur)->retry_at = 0;
}

void
mf_sender_abandon(void)
{
	dlist_iter	iter;

	dlist_foreach(iter, &mf_sender_state.in_flight)
	{
		MfFlight   *flight = dlist_container(MfFlight, node, iter.cur);

		if (mf_flight_is_inquiry(flight))
			continue;
		ereport(LOG,
				(mf_log_event("dropped_while_sending",
							  "extension myfatoorah was dropped while an invoice was being sent"),
				 errdetail("The CustomerReference is \"%s\".", flight->reference),
				 errhint("Look it up in the MyFatoorah portal; it may exist there.")));
	}
	dlist_foreach(iter, &mf_sender_state.landed)
	{
		MfFlight   *flight = dlist_container(MfFlight, node, iter.cur);

		ereport(LOG,
				(mf_log_event("dropped_before_answer",
							  "extension myfatoorah was dropped before an answer could be stored"),
				 errdetail("CustomerReference \"%s\": %s, InvoiceId %s.", flight->reference,
						   mf_outcome_name(mf_flight_outcome(flight)),
						   flight->sent.invoice_id ? flight->sent.invoice_id : "none")));
	}
}
