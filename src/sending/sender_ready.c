/*
 * sender_ready.c
 *	  Flights claimed ahead of the slots that become free.
 *
 * Their claim has committed, so each is posted as soon as a slot is free.  One
 * that waits too long is returned as not sent: its row waits on the agenda, where
 * people can see and change it.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/sending/sender_ready.c
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/compat.h"
#include "flow/request_slots.h"
#include "process/wait.h"
#include "sending/sender_internal.h"

/* A flight with an invoice is returned if no slot has become free for it after so long. */
#define MAX_READY_MS 500

static dlist_head throttles = DLIST_STATIC_INIT(throttles); /* those with ready flights, by ready.node */
static int	throttle_count = 0;

static MfFlight *remove_first_ready(MfThrottle *throttle);

void
mf_sender_add_ready(MfFlight *flight)
{
	MfThrottle *throttle = flight->throttle;

	/* a look-up loses nothing by waiting for as long as it may leave */
	flight->ready_until = mf_flight_is_lookup(flight) ? flight->send_by :
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), MAX_READY_MS);
	mf_http_target_hold(flight->target);
	dlist_push_tail(&throttle->ready.flights, &flight->node);
	if (throttle->slots.ready == 0)
	{
		dlist_push_tail(&throttles, &throttle->ready.node);
		throttle_count++;
	}
	mf_slots_count_ready(throttle, 1);
}

bool
mf_sender_post_ready(MfThrottle *throttle)
{
	MfFlight   *flight;

	if (throttle->slots.ready == 0 || !mf_sender_may_post() || !mf_slots_can_post(throttle, GetCurrentTimestamp()))
		return false;
	flight = remove_first_ready(throttle);
	mf_sender_post_flight(flight);
	mf_http_target_let_go(flight->target);
	return true;
}

bool
mf_sender_post_ready_in_turns(void)
{
	bool		posted = false;
	int			passed = 0;

	while (passed < throttle_count && mf_slots_free(GetCurrentTimestamp()) > 0)
	{
		MfThrottle *throttle = dlist_container(MfThrottle, ready.node, dlist_pop_head_node(&throttles));

		dlist_push_tail(&throttles, &throttle->ready.node);
		if (mf_sender_post_ready(throttle))
		{
			posted = true;
			passed = 0;
		}
		else
			passed++;
	}
	return posted;
}

/* The throttle must have a ready flight. */
static MfFlight *
first_ready(const MfThrottle *throttle)
{
	return dlist_container(MfFlight, node, dlist_head_node(unconstify(dlist_head *, &throttle->ready.flights)));
}

/* Likewise takes it out.  The caller lets go of the target once it has no more use for it. */
static MfFlight *
remove_first_ready(MfThrottle *throttle)
{
	mf_slots_count_ready(throttle, -1);
	if (throttle->slots.ready == 0)
	{
		dlist_delete(&throttle->ready.node);
		throttle_count--;
	}
	return dlist_container(MfFlight, node, dlist_pop_head_node(&throttle->ready.flights));
}

void
mf_sender_return_ready(TimestampTz now)
{
	const char *hold_reason = mf_sender_hold_reason();
	dlist_mutable_iter iter;

	if (hold_reason != NULL)
	{
		mf_sender_fail_ready(hold_reason);
		return;
	}
	dlist_foreach_modify(iter, &throttles)
	{
		MfThrottle *throttle = dlist_container(MfThrottle, ready.node, iter.cur);
		const char *reason = throttle->paused ? "its account was paused before it was sent" :
			throttle->retry_at > now ? "its account could not be reached when its turn came" : NULL;

		while (throttle->slots.ready > 0 && (reason != NULL || first_ready(throttle)->ready_until <= now))
		{
			MfFlight   *flight = remove_first_ready(throttle);

			mf_http_target_let_go(flight->target);
			mf_sender_fail_unsent(flight, reason != NULL ? reason : "no slot became free for it in time");
		}
	}
}

void
mf_sender_fail_ready(const char *error)
{
	while (!dlist_is_empty(&throttles))
	{
		MfFlight   *flight = remove_first_ready(dlist_container(MfThrottle, ready.node, dlist_head_node(&throttles)));

		mf_http_target_let_go(flight->target);
		mf_sender_fail_unsent(flight, error);
	}
}

bool
mf_sender_must_return_ready(TimestampTz now)
{
	bool		is_held = mf_sender_hold_reason() != NULL;
	dlist_iter	iter;

	dlist_foreach(iter, &throttles)
	{
		MfThrottle *throttle = dlist_container(MfThrottle, ready.node, iter.cur);

		if (is_held || throttle->retry_at > now || throttle->paused)
			return true;
	}
	return false;
}

TimestampTz
mf_sender_ready_alarm(void)
{
	TimestampTz alarm = 0;
	dlist_iter	iter;

	dlist_foreach(iter, &throttles)
		alarm = mf_earlier(alarm, first_ready(dlist_container(MfThrottle, ready.node, iter.cur))->ready_until);
	return alarm;
}
