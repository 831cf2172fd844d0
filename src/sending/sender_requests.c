/*
 * sender_requests.c
 *	  Requests in flight: posts them, reads their answers, learns from them.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/sending/sender_requests.c
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "account/account_target.h"
#include "base/compat.h"
#include "base/failpoint.h"
#include "base/log_event.h"
#include "flight/account_turns.h"
#include "flight/claim_account.h"
#include "flow/request_slots.h"
#include "process/metrics.h"
#include "sending/sender_internal.h"

MfSenderState mf_sender_state = {
	.claimed = DLIST_STATIC_INIT(mf_sender_state.claimed),
	.in_flight = DLIST_STATIC_INIT(mf_sender_state.in_flight),
	.landed = DLIST_STATIC_INIT(mf_sender_state.landed),
	.answered = DLIST_STATIC_INIT(mf_sender_state.answered),
	.operated = DLIST_STATIC_INIT(mf_sender_state.operated),
	.recorded = DLIST_STATIC_INIT(mf_sender_state.recorded)
};

static void land_flight(MfFlight *flight);
static void learn_from(MfFlight *flight);
static void report_outage(MfFlight *flight, MfOutcome outcome);
static int64 item_of(const MfFlight *flight);
static bool refuses_own_key(const MfFlight *flight);

void
mf_sender_start(void)
{
	char		error[MF_HTTP_ERROR_SIZE];

	mf_sender_state.http = mf_http_create(error, sizeof(error));
	if (mf_sender_state.http == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not start the HTTP transport"),
				 errdetail_internal("%s", error)));
	if (!mf_http_start_thread(mf_sender_state.http, error, sizeof(error)))
		ereport(LOG,
				(mf_log_event("thread_unavailable", "requests are sent by the worker itself, which is slower"),
				 errdetail_internal("%s", error)));
	mf_sender_state.memory = AllocSetContextCreate(TopMemoryContext, "myfatoorah flights", ALLOCSET_DEFAULT_SIZES);
}

void
mf_sender_stop(void)
{
	if (mf_sender_state.http != NULL)
		mf_http_stop_thread(mf_sender_state.http);
}

MfHttp *
mf_sender_http(void)
{
	return mf_sender_state.http;
}

int
mf_sender_in_flight(void)
{
	return mf_sender_state.in_flight_count;
}

uint64
mf_sender_requests(void)
{
	return mf_sender_state.request_count;
}

void
mf_sender_post_flight(MfFlight *flight)
{
	const MfEndpoint *endpoint = mf_flight_endpoint(flight);
	MfHttpRequest request = {
		.verb = endpoint->verb,
		.path = endpoint->path,
		.body = flight->body,
		.body_len = flight->body_len,
		.idempotency_key = flight->idempotency_key,
		.large_response = endpoint->large,
		.send_by = flight->send_by_clock,
		.tag = flight
	};
	char		error[MF_HTTP_ERROR_SIZE];

	flight->body = NULL;
	mf_slots_start(flight->throttle, &flight->in_flight, mf_flight_is_inquiry(flight), GetCurrentTimestamp());
	mf_sender_state.request_count++;
	flight->exchange = mf_http_send(mf_sender_state.http, flight->target, &request, error, sizeof(error));
	if (flight->exchange != NULL)
	{
		dlist_push_tail(&mf_sender_state.in_flight, &flight->node);
		mf_sender_state.in_flight_count++;
	}
	else
	{
		mf_flight_fail(flight, false, error);
		flight->starved = true;
		land_flight(flight);
	}
}

MfFlight *
mf_sender_next_answer(void)
{
	MfHttpExchange *exchange = mf_http_next_done(mf_sender_state.http);
	MfFlight   *flight;

	if (exchange == NULL)
		return NULL;
	flight = (MfFlight *) exchange->tag;
	MF_FAILPOINT("answer_received");
	mf_flight_read(flight, exchange);
	mf_count_exchange(mf_flight_request_kind(flight), exchange);
	flight->exchange = NULL;
	mf_http_exchange_free(exchange);
	dlist_delete(&flight->node);
	mf_sender_state.in_flight_count--;
	land_flight(flight);
	return flight;
}

void
mf_sender_fail_unsent(MfFlight *flight, const char *error)
{
	mf_flight_fail(flight, false, error);
	dlist_push_tail(mf_sender_outcomes(flight), &flight->node);
	mf_sender_state.landed_count++;
}

void
mf_sender_fail_in_flight(const char *error)
{
	while (!dlist_is_empty(&mf_sender_state.in_flight))
	{
		MfFlight   *flight = dlist_container(MfFlight, node, dlist_pop_head_node(&mf_sender_state.in_flight));
		bool		started = flight->exchange->gate_passed;

		mf_http_abort(mf_sender_state.http, flight->exchange);
		flight->exchange = NULL;
		mf_slots_end(flight->throttle, &flight->in_flight);
		mf_flight_fail(flight, started, error);
		mf_sender_state.in_flight_count--;
		dlist_push_tail(mf_sender_outcomes(flight), &flight->node);
	}
}

/* Ends a flight that was posted and has an outcome, which frees its slot. */
static void
land_flight(MfFlight *flight)
{
	/* first of all: what follows may fail */
	dlist_push_tail(mf_sender_outcomes(flight), &flight->node);
	mf_sender_state.landed_count++;

	learn_from(flight);
	if (flight->throttle->claim.has_more)
		mf_turns_due(flight->throttle);
}

/* Frees the slot of a flight, and has its account, key and throttle learn from the outcome. */
static void
learn_from(MfFlight *flight)
{
	MfThrottle *throttle = flight->throttle;
	TimestampTz now = GetCurrentTimestamp();
	MfOutcome	outcome = mf_flight_outcome(flight);
	int			failures = mf_flight_failures(flight);
	int			retry_after = mf_flight_retry_after(flight);
	bool		is_failure = outcome != MF_OUTCOME_ACCEPTED && outcome != MF_OUTCOME_REJECTED;

	if (outcome == MF_OUTCOME_NOT_SENT && flight->starved)
	{
		/* this process is at fault, and not the account */
		mf_slots_starved(mf_flight_error_utf8(flight), now);
		mf_slots_end(throttle, &flight->in_flight);
		return;
	}
	mf_slots_end(throttle, &flight->in_flight);
	/* only what reads there is held back, by its own plan */
	if (mf_flight_stands_alone(flight) && is_failure && outcome != MF_OUTCOME_NOT_SENT)
		return;
	if (outcome == MF_OUTCOME_UNKNOWN && mf_throttle_item_failed(throttle, item_of(flight), failures))
		flight->item_at_fault = mf_flight_is_lookup(flight);
	if (outcome == MF_OUTCOME_ACCOUNT_PROBLEM && refuses_own_key(flight))
		return;
	if (outcome == MF_OUTCOME_THROTTLED && mf_account_key_throttled(flight->target, flight->in_flight.is_inquiry, retry_after))
		return;

	mf_throttle_learn(throttle, &flight->in_flight, outcome, retry_after, flight->item_at_fault, now);
	report_outage(flight, outcome);
}

/* Pauses an account whose key is refused, and logs that an account is waiting. */
static void
report_outage(MfFlight *flight, MfOutcome outcome)
{
	MfThrottle *throttle = flight->throttle;
	bool		is_inquiry = mf_flight_is_inquiry(flight);
	bool		refused = outcome == MF_OUTCOME_ACCOUNT_PROBLEM;
	bool		waits = outcome == MF_OUTCOME_NOT_SENT || (outcome == MF_OUTCOME_THROTTLED && !is_inquiry);
	char	   *error;

	if (!refused && (!waits || throttle->reported))
		return;
	error = mf_flight_details(flight);
	if (refused)
		mf_pause_account(throttle, is_inquiry ? "status reader" : "sender", error);
	else
		mf_throttle_report(throttle, MF_OUTAGE_WAITING, error);
	if (error != NULL)
		pfree(error);
}

/* The item that a request is about, as mf_throttle_item_failed() tells items apart */
static int64
item_of(const MfFlight *flight)
{
	switch (flight->kind)
	{
		case MF_JOB_PAYMENT_ID:
			return -flight->inquiry->event;
		default:
			return flight->invoice;
	}
}

/* Whether an account problem is that of the key of a role's own mapping, not of the address; it stops that key only. */
static bool
refuses_own_key(const MfFlight *flight)
{
	const char *error = mf_flight_error_utf8(flight);

	return flight->http_status / 100 == 4 && flight->http_status != 404 &&
		mf_account_key_refused(flight->target, error ? error : "");
}
