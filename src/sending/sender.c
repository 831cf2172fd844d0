/*
 * sender.c
 *	  Sending: claim, record the attempt, post, record the outcome.
 *
 * A flight is one attempt from its claim to its recorded outcome.  It is
 * claimed and recorded as an attempt in one transaction, posted after that
 * has committed, and its outcome is recorded in a later transaction, which
 * also claims the next ones.  No transaction is open while it is in the air.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/sending/sender.c
 */
#include "postgres.h"

#include "replication/syncrep.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "account/account_target.h"
#include "base/compat.h"
#include "base/failpoint.h"
#include "base/settings.h"
#include "flight/account_pause.h"
#include "flight/account_turns.h"
#include "flight/flight.h"
#include "flow/inquiry_alarm.h"
#include "flow/request_slots.h"
#include "flow/round_items.h"
#include "inquiry/inquiry.h"
#include "inquiry/missed_webhooks.h"
#include "on_change/on_change_process.h"
#include "process/wait.h"
#include "process/worker_slots.h"
#include "sending/attempt_rows.h"
#include "sending/claim.h"
#include "sending/copy_guard.h"
#include "sending/sender.h"
#include "sending/sender_outcomes.h"
#include "store/queue.h"
#include "store/queue_pause.h"

/* With so many requests in the air answers are gathered for so long. */
#define GATHER_MIN 8
#define GATHER_MS 1

/*
 * Claims go ahead of the slots that become free while they are committed: so
 * far at least, because a round may take longer than usual, and no further.
 */
#define HORIZON_MIN_MS 40
#define HORIZON_MAX_MS 50

/* What was claimed ahead and whose slot does not become free as foreseen is given back after this. */
#define READY_MS 500

static MfHttp *http = NULL;
static MemoryContext flight_context = NULL;
static dlist_head claimed = DLIST_STATIC_INIT(claimed);
static dlist_head with_ready = DLIST_STATIC_INIT(with_ready);	/* throttles, by ready_node */
static int	with_ready_count = 0;
static dlist_head flying = DLIST_STATIC_INIT(flying);
static dlist_head landed = DLIST_STATIC_INIT(landed);
static dlist_head answered = DLIST_STATIC_INIT(answered);	/* landed inquiries */
static dlist_head recorded = DLIST_STATIC_INIT(recorded);
static int	flying_count = 0;
static int	landed_count = 0;	/* since the latest round */
static TimestampTz gather_until = 0;
static TimestampTz round_began = 0;
static double round_us = 0;		/* from a round's begin to its commit, smoothed */
static uint64 request_count = 0;
static bool gate_closed = false;
static bool ending = false;		/* what cannot be recorded now never will be */

/* The sweep at the start: up to which invoice, in the latest round too; in a copy once a person has decided about it */
static bool sweeping = false;
static bool sweep_later = false;
static int64 swept = PG_INT64_MIN;
static int64 swept_in_round;
static bool holding = false;
static bool draining = false;
static TimestampTz frozen_until = 0;	/* as last looked at: the process stood still, nothing leaves before; 0 = no */

/* By a round that met a hold, which may have begun in its middle */
static bool claims_skipped = false;

static void sweep(const MfSqlScope *scope, TimestampTz now);
static void work(const MfSqlScope *scope, TimestampTz now, TimestampTz *again);
static bool held(void);
static void take_back(dlist_head *list);
static MfFlight *take_claimed(void);
static void give_up_locked(dlist_head *list);
static bool ready(dlist_head *list, TimestampTz now);
static void take_in(void);
static int64 item_of(const MfFlight *flight);
static bool refuses_own_key(const MfFlight *flight);
static void land(MfFlight *flight);
static void note_outcome(MfFlight *flight);
static void report_outage(MfFlight *flight, MfOutcome outcome);
static void make_ready(MfFlight *flight);
static bool post_ready(MfThrottle *throttle);
static bool post_in_turns(void);
static void post(MfFlight *flight);
static MfFlight *first_ready(const MfThrottle *throttle);
static MfFlight *take_ready(MfThrottle *throttle);
static void fail_ready(MfThrottle *throttle, const char *error);
static void give_back_ready(TimestampTz now);
static int64 horizon_us(void);

void
mf_sender_start(void)
{
	char		error[MF_HTTP_ERROR_SIZE];

	http = mf_http_create(error, sizeof(error));
	if (http == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not start the HTTP transport"),
				 errdetail_internal("%s", error)));
	if (!mf_http_start_thread(http, error, sizeof(error)))
		ereport(LOG,
				(errmsg("requests are sent by the worker itself, which is slower"),
				 errdetail_internal("%s", error)));
	sweeping = true;
	flight_context = AllocSetContextCreate(TopMemoryContext, "myfatoorah flights", ALLOCSET_DEFAULT_SIZES);
}

void
mf_sender_stop(void)
{
	if (http != NULL)
		mf_http_stop_thread(http);
}

MfHttp *
mf_sender_http(void)
{
	return http;
}

int
mf_sender_in_flight(void)
{
	return flying_count;
}

uint64
mf_sender_requests(void)
{
	return request_count;
}

void
mf_sender_try_now(uint32 what)
{
	MfThrottle *throttle;

	if (what & MF_TRY_ALL)
	{
		mf_claim_try_keys();
		sweeping |= sweep_later;
	}
	for (throttle = mf_throttle_first(); throttle != NULL; throttle = throttle->next)
	{
		if (what & MF_TRY_ALL)
			mf_throttle_reset(throttle);
		else
			mf_throttle_account_changed(throttle);
	}
	mf_inquiry_wake();
}

void
mf_sender_try_put_off(const MfSqlScope *scope)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz again = 0;
	Datum		invoices = mf_items_left_out(MF_ITEM_INVOICE, now, &again);
	Datum		inquiries = mf_items_left_out(MF_ITEM_INQUIRY, now, &again);
	dlist_iter	iter;

	dlist_foreach(iter, &landed)
		dlist_container(MfFlight, node, iter.cur)->retry_at = 0;
	mf_items_try_now();
	mf_turns_all_changed();
	/* an entry that could not even be put off is left alone */
	mf_queue_retry_put_off(scope, invoices);
	mf_inquiries_retry_put_off(scope, inquiries);
}

void
mf_sender_wait_for_round(void)
{
	holding = true;
}

void
mf_sender_close_gate(void)
{
	gate_closed = true;
	mf_http_close_gate(http, true);
}

bool
mf_sender_attend_holds(TimestampTz drain_until, TimestampTz *end)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz thaw = now + mf_http_held(http) / 1000;
	bool		was_held = draining || frozen_until != 0 || claims_skipped;

	if (thaw > now && frozen_until == 0)
		ereport(LOG,
				(errmsg("sending is held for %d seconds, because this process stood still", MF_FREEZE_HOLD_MS / 1000),
				 errdetail("It was stopped or suspended for more than %d seconds. Another server may have taken its place meanwhile; whoever decides that gets time to end this one.",
						   MF_FREEZE_MS / 1000)));
	frozen_until = thaw > now ? thaw : 0;
	draining = drain_until > now;
	*end = Max(frozen_until != 0 ? thaw + 1000 : 0, draining ? drain_until : 0);
	if (*end == 0)
		claims_skipped = false;
	return was_held && *end == 0;
}

TimestampTz
mf_sender_frozen_until(void)
{
	return frozen_until;
}

bool
mf_sender_claims_skipped(void)
{
	return claims_skipped;
}

/* Whether nothing new may leave, nor be claimed. */
static bool
held(void)
{
	return draining || mf_http_held(http) > 0;
}

int
mf_sender_unsettled(void)
{
	dlist_iter	iter;
	int			count = flying_count + (sweeping ? 1 : 0);

	dlist_foreach(iter, &landed)
		count++;
	dlist_foreach(iter, &answered)
		count++;
	dlist_foreach(iter, &with_ready)
		count += dlist_container(MfThrottle, ready.node, iter.cur)->slots.ready;
	return count;
}

bool
mf_sender_has_work(void)
{
	TimestampTz now = GetCurrentTimestamp();
	dlist_iter	iter;

	if (holding || sweeping || ready(&landed, now) || ready(&answered, now))
		return true;
	if (!held() && mf_inquiry_has_work())
		return true;
	if (!held() && !gate_closed && mf_turns_has_work(now) && mf_slots_claimable(1, horizon_us(), now) > 0)
		return true;
	dlist_foreach(iter, &with_ready)
	{
		MfThrottle *throttle = dlist_container(MfThrottle, ready.node, iter.cur);

		if (held() || throttle->retry_at > now || throttle->paused)
			return true;
	}
	return false;
}

TimestampTz
mf_sender_gather_until(void)
{
	if (holding || flying_count < GATHER_MIN || landed_count * 2 >= flying_count || GetCurrentTimestamp() >= gather_until)
		return 0;
	return gather_until;
}

TimestampTz
mf_sender_alarm(void)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz alarm = mf_turns_alarm();
	dlist_iter	iter;

	/* those whose time has come wait for a slot */
	if (mf_turns_has_work(now) && mf_slots_claimable(1, horizon_us(), now) == 0)
		alarm = mf_slots_claimable_at(horizon_us(), now);
	if (mf_slots_starved_until() > now)
		alarm = mf_earlier(alarm, mf_slots_starved_until());
	alarm = mf_earlier(alarm, mf_pause_alarm());
	alarm = mf_earlier(alarm, mf_inquiry_alarm());
	alarm = mf_earlier(alarm, mf_reactions_alarm());
	dlist_foreach(iter, &with_ready)
		alarm = mf_earlier(alarm, first_ready(dlist_container(MfThrottle, ready.node, iter.cur))->ready_until);
	return alarm;
}

/* How far ahead claims go: what is recorded, claimed and committed takes two rounds at most. */
static int64
horizon_us(void)
{
	double		us = 2.0 * round_us + GATHER_MS * 1000.0;

	return (int64) Max(Min(us, HORIZON_MAX_MS * 1000.0), HORIZON_MIN_MS * 1000.0);
}

/* Whether one of them can be recorded now. */
static bool
ready(dlist_head *list, TimestampTz now)
{
	dlist_iter	iter;

	dlist_foreach(iter, list)
	{
		if (dlist_container(MfFlight, node, iter.cur)->retry_at <= now)
			return true;
	}
	return false;
}

bool
mf_sender_has_outcomes(void)
{
	TimestampTz now = GetCurrentTimestamp();

	return ready(&landed, now) || ready(&answered, now);
}

void
mf_sender_round(Oid schema, TimestampTz *again)
{
	TimestampTz now = GetCurrentTimestamp();
	MfSqlScope	scope;

	*again = 0;
	round_began = now;
	mf_http_watch_clock(http, true);
	mf_sql_begin(&scope, schema);
	if (sweeping)
		sweep(&scope, now);
	else
		work(&scope, now, again);
	mf_sql_end(&scope);
	take_in();
}

/*
 * What a worker that is gone has left "sending", in the order of the invoices.
 * Of a copy that was another server's worker, and more may still be coming in.
 */
static void
sweep(const MfSqlScope *scope, TimestampTz now)
{
	sweep_later = mf_queue_awaits_decision(scope);
	swept_in_round = sweep_later ? swept : mf_claim_sweep(scope, swept, now);
}

/* What a round does. */
static void
work(const MfSqlScope *scope, TimestampTz now, TimestampTz *again)
{
	MfAttemptRows *recorder = NULL;
	bool		paused;
	bool		is_held;

	give_back_ready(now);
	mf_inquiry_record(scope, &answered, &recorded, now, again);
	/* a single item goes by SQL, whose errors say more */
	if (mf_items_room(2) == 2)
		recorder = mf_attempt_rows_open(scope);
	mf_sender_save_outcomes(scope, recorder, &landed, &recorded, now, again);
	landed_count = 0;
	take_in();
	paused = !mf_copy_guard_look(scope->schema);
	is_held = held();
	claims_skipped |= is_held;
	if (!gate_closed && !is_held)
	{
		MfClaim		claim = {http, flight_context, &claimed, recorder, horizon_us(), paused};

		mf_inquiry_claim(scope, &claim, now, again);
		mf_claim_due(scope, &claim, now);
	}
	if (recorder != NULL)
		mf_attempt_rows_close(recorder);
}

bool
mf_sender_post(bool confirmed)
{
	bool		any = mf_items_done();
	uint64		before = request_count;
	dlist_iter	iter;

	holding = false;
	mf_turns_round_done();
	round_us += ((double) (GetCurrentTimestamp() - round_began) - round_us) / 4.0;
	if (!dlist_is_empty(&recorded))
		MF_FAILPOINT("outcome_committed");
	while (!dlist_is_empty(&recorded))
	{
		MfFlight   *flight = dlist_container(MfFlight, node, dlist_pop_head_node(&recorded));

		if (flight->kind == MF_JOB_WEBHOOK_LOG)
			mf_missed_webhooks_recorded(flight, GetCurrentTimestamp());
		mf_flight_free(flight);
	}
	dlist_foreach(iter, &landed)
	{
		MfFlight   *flight = dlist_container(MfFlight, node, iter.cur);

		flight->attempt_recorded |= flight->attempt_in_round;
		flight->attempt_in_round = false;
	}
	if (ending)
	{
		give_up_locked(&landed);
		give_up_locked(&answered);
	}
	if (sweeping)
	{
		sweeping = swept_in_round > swept;
		swept = swept_in_round;
		any |= sweeping;
	}

	if (!dlist_is_empty(&claimed))
		MF_FAILPOINT("intent_committed");
	while (!dlist_is_empty(&claimed))
	{
		MfFlight   *flight = take_claimed();

		mf_flight_set_under_way(flight, true);
		if (!confirmed)
		{
			mf_flight_fail(flight, false, SyncRepStandbyNames != NULL && SyncRepStandbyNames[0] != '\0' ?
						   "its record was not confirmed by a standby" : "sending was stopped before it left");
			dlist_push_tail(mf_flight_is_inquiry(flight) ? &answered : &landed, &flight->node);
			landed_count++;
		}
		else if (mf_flight_is_inquiry(flight))
			post(flight);
		else
			make_ready(flight);
	}
	(void) post_in_turns();
	mf_turns_wait_for_slots(horizon_us(), GetCurrentTimestamp());
	gather_until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), GATHER_MS);
	mf_http_watch_clock(http, flying_count > 0 || !dlist_is_empty(&with_ready));
	if (request_count > before)
	{
		mf_http_perform(http);
		MF_FAILPOINT("posted");
	}
	return any;
}

/* The first flight that the round has claimed; there must be one. */
static MfFlight *
take_claimed(void)
{
	MfFlight   *flight = dlist_container(MfFlight, node, dlist_pop_head_node(&claimed));

	if (mf_flight_is_inquiry(flight))
		mf_slots_count_inquiries(flight->throttle, -1);
	return flight;
}

/* What somebody has locked at the end is not waited for: its attempt has the answer. */
static void
give_up_locked(dlist_head *list)
{
	dlist_iter	iter;

	dlist_foreach(iter, list)
	{
		MfFlight   *flight = dlist_container(MfFlight, node, iter.cur);

		if (flight->retry_at != 0)
			flight->retry_at = DT_NOEND;
	}
}

/* A flight waits for a free slot; what is looked up loses nothing by that. */
static void
make_ready(MfFlight *flight)
{
	MfThrottle *throttle = flight->throttle;

	flight->ready_until = mf_flight_is_lookup(flight) ? flight->send_by :
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), READY_MS);
	mf_http_target_hold(flight->target);
	dlist_push_tail(&throttle->ready.flights, &flight->node);
	if (throttle->slots.ready == 0)
	{
		dlist_push_tail(&with_ready, &throttle->ready.node);
		with_ready_count++;
	}
	mf_slots_count_ready(throttle, 1);
}

/* Posts one flight that is ready, if there is a free slot for it. */
static bool
post_ready(MfThrottle *throttle)
{
	MfFlight   *flight;

	if (throttle->slots.ready == 0 || gate_closed || holding || held() || !mf_slots_can_post(throttle, GetCurrentTimestamp()))
		return false;
	flight = take_ready(throttle);
	post(flight);
	mf_http_target_let_go(flight->target);
	return true;
}

/* Posts flights that are ready, one of each account in turn, while there are free slots. */
static bool
post_in_turns(void)
{
	bool		posted = false;
	int			passed = 0;

	while (passed < with_ready_count && mf_slots_free(GetCurrentTimestamp()) > 0)
	{
		MfThrottle *throttle = dlist_container(MfThrottle, ready.node, dlist_pop_head_node(&with_ready));

		dlist_push_tail(&with_ready, &throttle->ready.node);
		if (post_ready(throttle))
		{
			posted = true;
			passed = 0;
		}
		else
			passed++;
	}
	return posted;
}

/* There must be one. */
static MfFlight *
first_ready(const MfThrottle *throttle)
{
	return dlist_container(MfFlight, node, dlist_head_node(unconstify(dlist_head *, &throttle->ready.flights)));
}

/* The first one, no longer in the list; its target is still held. */
static MfFlight *
take_ready(MfThrottle *throttle)
{
	mf_slots_count_ready(throttle, -1);
	if (throttle->slots.ready == 0)
	{
		dlist_delete(&throttle->ready.node);
		with_ready_count--;
	}
	return dlist_container(MfFlight, node, dlist_pop_head_node(&throttle->ready.flights));
}

/* The first one ends without having left. */
static void
fail_ready(MfThrottle *throttle, const char *error)
{
	MfFlight   *flight = take_ready(throttle);

	mf_http_target_let_go(flight->target);
	mf_flight_fail(flight, false, error);
	dlist_push_tail(&landed, &flight->node);
}

/*
 * What was claimed ahead and cannot be posted soon has not been sent: the row
 * waits on the agenda, where people can see and change it.
 */
static void
give_back_ready(TimestampTz now)
{
	dlist_mutable_iter iter;
	const char *error = draining ? "sending is held by mf_drain()" :
		held() ? "sending is held, because the process stood still" : NULL;

	dlist_foreach_modify(iter, &with_ready)
	{
		MfThrottle *throttle = dlist_container(MfThrottle, ready.node, iter.cur);

		while (throttle->slots.ready > 0)
		{
			if (error == NULL && throttle->retry_at <= now && !throttle->paused && first_ready(throttle)->ready_until > now)
				break;
			fail_ready(throttle, error ? error : throttle->paused ? "its account was paused before it was sent" :
					   throttle->retry_at > now ? "its account could not be reached when its turn came" :
					   "no slot became free for it in time");
		}
	}
}

/* Lets a flight leave. */
static void
post(MfFlight *flight)
{
	char	   *body = flight->body;
	char		error[MF_HTTP_ERROR_SIZE];

	flight->body = NULL;
	mf_slots_start(flight->throttle, &flight->in_flight, mf_flight_is_inquiry(flight), GetCurrentTimestamp());
	request_count++;
	flight->exchange = mf_http_post(http, flight->target, mf_flight_path(flight), body, flight->body_len,
									flight->send_by_clock, flight, error, sizeof(error));
	if (flight->exchange != NULL)
	{
		dlist_push_tail(&flying, &flight->node);
		flying_count++;
	}
	else
	{
		mf_flight_fail(flight, false, error);
		flight->starved = true;
		land(flight);
	}
}

bool
mf_sender_run(void)
{
	take_in();
	return !dlist_is_empty(&landed) || !dlist_is_empty(&answered);
}

/*
 * Reads the answers that have come and fills their slots with what is ready.
 * It touches no table, so it may happen in the middle of a round too.
 */
static void
take_in(void)
{
	MfHttpExchange *exchange;
	bool		posted = false;

	mf_http_perform(http);
	while ((exchange = mf_http_next_done(http)) != NULL)
	{
		MfFlight   *flight = (MfFlight *) exchange->tag;
		bool		scarce = mf_slots_free(GetCurrentTimestamp()) == 0;

		MF_FAILPOINT("answer_received");
		mf_flight_read(flight, exchange);
		flight->exchange = NULL;
		mf_http_exchange_free(exchange);
		dlist_delete(&flight->node);
		flying_count--;
		land(flight);

		/* unless somebody wants to know something, whose turn it is first */
		if (!mf_inquiry_pending())
			posted |= scarce ? post_in_turns() : post_ready(flight->throttle);
	}
	/* what has filled a slot leaves before the outcomes are recorded */
	if (posted)
		mf_http_perform(http);
}

/* What a request is about, as a throttle tells items apart */
static int64
item_of(const MfFlight *flight)
{
	switch (flight->kind)
	{
		case MF_JOB_PAYMENT_ID:
			return -flight->inquiry->event;
		case MF_JOB_WEBHOOK_LOG:
			return PG_INT64_MIN;
		default:
			return flight->invoice;
	}
}

/*
 * Whether an answer refuses the key of a role's own mapping.  That stops this key
 * only, but for the log of webhooks, which needs a permission of its own.
 */
static bool
refuses_own_key(const MfFlight *flight)
{
	const char *error = mf_flight_error_utf8(flight);

	return (flight->http_status == 401 || flight->http_status == 403) &&
		mf_account_key_refused(flight->target, flight->kind == MF_JOB_WEBHOOK_LOG ? NULL : error ? error : "");
}

/* A flight has its outcome, and its account a free slot. */
static void
land(MfFlight *flight)
{
	note_outcome(flight);
	if (flight->throttle->claim.has_more)
		mf_turns_due(flight->throttle);
}

/* Has the throttle, the account and its key learn from the outcome of a flight. */
static void
note_outcome(MfFlight *flight)
{
	MfThrottle *throttle = flight->throttle;
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz started_at = flight->in_flight.started_at;
	bool		is_inquiry = mf_flight_is_inquiry(flight);
	MfOutcome	outcome = mf_flight_outcome(flight);
	int			failures = flight->inquiry ? flight->inquiry->failures : 0;
	int			retry_after = mf_flight_retry_after(flight);

	/* first of all: what follows may fail */
	dlist_push_tail(is_inquiry ? &answered : &landed, &flight->node);
	landed_count++;
	if (outcome == MF_OUTCOME_NOT_SENT && flight->starved)
	{
		/* this process is at fault, and not the account */
		mf_slots_starved(mf_flight_error_utf8(flight), now);
		mf_slots_end(throttle, &flight->in_flight);
		return;
	}
	mf_slots_end(throttle, &flight->in_flight);
	if (outcome == MF_OUTCOME_UNKNOWN && mf_throttle_item_failed(throttle, item_of(flight), failures))
		flight->own_trouble = mf_flight_is_lookup(flight);
	if (outcome == MF_OUTCOME_ACCOUNT_PROBLEM && refuses_own_key(flight))
		return;
	if (outcome == MF_OUTCOME_THROTTLED && mf_account_key_throttled(flight->target, is_inquiry, retry_after))
		return;

	if (is_inquiry)
		mf_throttle_learn_inquiry(throttle, started_at, outcome, retry_after, flight->own_trouble, now);
	else
		mf_throttle_learn(throttle, started_at, outcome, retry_after, flight->own_trouble, now);
	report_outage(flight, outcome);
}

/* Pauses an account whose key is refused, and logs that an account is waiting. */
static void
report_outage(MfFlight *flight, MfOutcome outcome)
{
	MfThrottle *throttle = flight->throttle;
	bool		is_inquiry = mf_flight_is_inquiry(flight);
	bool		refused = outcome == MF_OUTCOME_ACCOUNT_PROBLEM && flight->kind != MF_JOB_WEBHOOK_LOG;
	bool		waits = outcome == MF_OUTCOME_NOT_SENT || (outcome == MF_OUTCOME_THROTTLED && !is_inquiry);
	char	   *error;

	if (!refused && (!waits || throttle->reported))
		return;
	error = mf_flight_details(flight);
	if (refused)
		mf_pause_want(throttle, is_inquiry ? "status reader" : "sender", error);
	else
		mf_throttle_report(throttle, MF_OUTAGE_WAITING, error);
	if (error != NULL)
		pfree(error);
}

const MfItem *
mf_sender_round_failed(bool *smaller)
{
	dlist_iter	iter;
	MfThrottle *throttle;

	while (!dlist_is_empty(&claimed))
	{
		MfFlight   *flight = take_claimed();

		if (flight->kind == MF_JOB_WEBHOOK_LOG)
			mf_missed_webhooks_put_off(flight, 0);
		mf_flight_free(flight);
	}
	take_back(&recorded);
	dlist_foreach(iter, &landed)
		dlist_container(MfFlight, node, iter.cur)->attempt_in_round = false;
	mf_inquiry_wake();

	mf_turns_round_failed();

	/* the marks went ahead of what was claimed */
	for (throttle = mf_throttle_first(); throttle != NULL; throttle = throttle->next)
		throttle->claim.mark = DT_NOBEGIN;
	return mf_items_failed(smaller);
}

/* What the round has not recorded after all waits again, first in line. */
static void
take_back(dlist_head *list)
{
	while (!dlist_is_empty(list))
	{
		MfFlight   *flight = dlist_tail_element(MfFlight, node, list);

		mf_flight_set_under_way(flight, true);
		dlist_delete(&flight->node);
		dlist_push_head(mf_flight_is_inquiry(flight) ? &answered : &landed, &flight->node);
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
	if (flight->kind == MF_JOB_SEND)
	{
		flight->retry_at = ending ? DT_NOEND : until;
		dlist_push_tail(&landed, &flight->node);
		return;
	}
	/* a question can be asked again */
	if (flight->kind == MF_JOB_WEBHOOK_LOG)
		mf_missed_webhooks_put_off(flight, until);
	mf_flight_free(flight);
}

void
mf_sender_abort(void)
{
	dlist_mutable_iter mutable;
	dlist_iter	iter;

	mf_sender_stop();
	take_in();
	ending = true;
	dlist_foreach_modify(mutable, &with_ready)
	{
		MfThrottle *throttle = dlist_container(MfThrottle, ready.node, mutable.cur);

		while (throttle->slots.ready > 0)
			fail_ready(throttle, "the worker was stopped before it was sent");
	}
	while (!dlist_is_empty(&flying))
	{
		MfFlight   *flight = dlist_container(MfFlight, node, dlist_pop_head_node(&flying));
		bool		started = flight->exchange->gate_passed;

		mf_http_abort(http, flight->exchange);
		flight->exchange = NULL;
		mf_slots_end(flight->throttle, &flight->in_flight);
		mf_flight_fail(flight, started, "the worker was stopped before the answer came");
		flying_count--;
		dlist_push_tail(mf_flight_is_inquiry(flight) ? &answered : &landed, &flight->node);
	}
	dlist_foreach(iter, &landed)
		dlist_container(MfFlight, node, iter.cur)->retry_at = 0;
}

void
mf_sender_abandon(void)
{
	dlist_iter	iter;

	dlist_foreach(iter, &flying)
	{
		MfFlight   *flight = dlist_container(MfFlight, node, iter.cur);

		if (mf_flight_is_inquiry(flight))
			continue;
		ereport(LOG,
				(errmsg("extension myfatoorah was dropped while an invoice was being sent"),
				 errdetail("The CustomerReference is \"%s\".", flight->reference),
				 errhint("Look it up in the MyFatoorah portal; it may exist there.")));
	}
	dlist_foreach(iter, &landed)
	{
		MfFlight   *flight = dlist_container(MfFlight, node, iter.cur);

		ereport(LOG,
				(errmsg("extension myfatoorah was dropped before an answer could be stored"),
				 errdetail("CustomerReference \"%s\": %s, InvoiceId %s.", flight->reference,
						   mf_outcome_name(mf_flight_outcome(flight)),
						   flight->sent.invoice_id ? flight->sent.invoice_id : "none")));
	}
}
