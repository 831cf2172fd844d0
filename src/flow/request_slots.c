/*
 * request_slots.c
 *	  How many requests may be in flight, all accounts of a worker together.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/flow/request_slots.c
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/log_event.h"
#include "base/settings.h"
#include "flow/request_slots.h"
#include "process/file_descriptors.h"

/* How long nothing is posted for want of descriptors or memory; least time between two log lines about it */
#define STARVED_MS 500
#define REPORT_INTERVAL_MS 60000

/*
 * An owner may use this many times what is left free.  So one owner alone gets three
 * quarters of all slots, and of two that want as many each gets three sevenths.
 */
#define OWNER_SHARE 3

static int	limit = MF_IN_FLIGHT_DEFAULT;
static int	sustainable = MF_IN_FLIGHT_MAX; /* what descriptors and memory sufficed for lately */
static int	in_flight = 0;
static int	inquiries_in_flight = 0;
static int	inquiries_claimed = 0;
static int	ready = 0;
static bool several_owners = false;
static dlist_head busy = DLIST_STATIC_INIT(busy);	/* throttles with requests in flight */
static int	busy_count = 0;
static TimestampTz starved_until = 0;
static TimestampTz starved_reported_at = 0;

int
mf_slots_configure(MfHttp *http)
{
	int			connections = mf_descriptors_for(mf_max_in_flight);

	if (connections < mf_max_in_flight && connections != limit)
		ereport(LOG,
				(mf_log_event("file_descriptors_short",
							  "no more than %d requests are under way at the same time, for want of file descriptors",
							  connections),
				 errdetail("The setting myfatoorah.max_in_flight is %d.", mf_max_in_flight),
				 errhint(MF_DESCRIPTORS_HINT)));
	limit = Min(mf_max_in_flight, connections);
	mf_http_limit_connections(http, limit);
	return limit < mf_max_in_flight ? limit : 0;
}

static int
current_limit(void)
{
	return Min(limit, sustainable);
}

void
mf_slots_start(MfThrottle *throttle, MfInFlight *request, bool is_inquiry, TimestampTz now)
{
	in_flight++;
	inquiries_in_flight += is_inquiry ? 1 : 0;
	throttle->owner->slots++;
	if (throttle->slots.in_flight++ == 0)
	{
		dlist_push_tail(&busy, &throttle->slots.busy_node);
		busy_count++;
	}
	mf_throttle_start(throttle, request, is_inquiry, now);
}

void
mf_slots_end(MfThrottle *throttle, MfInFlight *request)
{
	in_flight--;
	inquiries_in_flight -= request->is_inquiry ? 1 : 0;
	throttle->owner->slots--;
	if (sustainable < MF_IN_FLIGHT_MAX)
		sustainable++;
	if (--throttle->slots.in_flight == 0)
	{
		dlist_delete(&throttle->slots.busy_node);
		busy_count--;
	}
	mf_answer_times_end(request);
}

void
mf_slots_count_inquiries(MfThrottle *throttle, int change)
{
	throttle->slots.inquiries += change;
	throttle->owner->slots += change;
	inquiries_claimed += change;
}

void
mf_slots_count_ready(MfThrottle *throttle, int change)
{
	throttle->slots.ready += change;
	throttle->owner->slots += change;
	ready += change;
}

int
mf_slots_ready_count(void)
{
	return ready;
}

void
mf_slots_set_owner(MfThrottle *throttle, Oid role)
{
	int			slots = throttle->slots.in_flight + throttle->slots.inquiries + throttle->slots.ready;

	if (throttle->owner->role == role || throttle->turn.in_line)
		return;
	throttle->owner->slots -= slots;
	throttle->owner = mf_owner_get(role);
	throttle->owner->slots += slots;
}

int
mf_slots_free(TimestampTz now)
{
	return starved_until > now ? 0 : Max(current_limit() - in_flight - inquiries_claimed, 0);
}

bool
mf_slots_can_post(const MfThrottle *throttle, TimestampTz now)
{
	return mf_throttle_is_open(throttle, now) && mf_slots_free(now) > 0;
}

int
mf_slots_claimable(int wanted, int64 horizon_us, TimestampTz now)
{
	int			unclaimed = mf_slots_free(now) - ready;
	int			ahead = 0;
	dlist_iter	iter;

	if (starved_until > now)
		return 0;
	dlist_foreach(iter, &busy)
	{
		if (unclaimed + ahead >= wanted || ahead >= MF_AHEAD_MAX)
			break;
		ahead += mf_throttle_expected_answers(dlist_container(MfThrottle, slots.busy_node, iter.cur),
											  MF_AHEAD_MAX - ahead, horizon_us, now);
	}
	return Max(Min(unclaimed + ahead, wanted), 0);
}

TimestampTz
mf_slots_claimable_at(int64 horizon_us, TimestampTz now)
{
	TimestampTz first = 0;
	dlist_iter	iter;

	if (starved_until > now)
		return starved_until;
	dlist_foreach(iter, &busy)
	{
		const MfThrottle *throttle = dlist_container(MfThrottle, slots.busy_node, iter.cur);
		TimestampTz answer = mf_throttle_expected_answer(throttle, 0, now);

		/* answers within the horizon are claimed for already */
		if (answer > now + horizon_us && (first == 0 || answer < first))
			first = answer;
	}
	return first == 0 ? 0 : first - horizon_us;
}

TimestampTz
mf_slots_next_free(const MfThrottle *throttle, TimestampTz now)
{
	const MfSlotUse *use = &throttle->slots;
	int			covered = use->ready - Max(throttle->window - use->in_flight, 0);

	if (covered < 0)
		return DT_NOBEGIN;
	if (ready >= MF_AHEAD_MAX || use->in_flight > throttle->window)
		return 0;
	return mf_throttle_expected_answer(throttle, covered, now);
}

void
mf_slots_set_several_owners(bool several)
{
	several_owners = several;
}

int
mf_slots_owner_room(const MfOwner *owner, TimestampTz now)
{
	int			left = mf_slots_free(now) - ready - owner->planned;

	if (!several_owners)
		return MF_IN_FLIGHT_MAX;
	return Max((OWNER_SHARE * left - owner->slots - owner->planned) / (OWNER_SHARE + 1), 0);
}

int
mf_slots_inquiry_room(TimestampTz now)
{
	int			free_slots = mf_slots_free(now);
	int			inquiries = inquiries_in_flight + inquiries_claimed;

	/* of an odd number they get the greater half, unless they have half of all slots */
	return (free_slots + (inquiries < (current_limit() + 1) / 2 ? 1 : 0)) / 2;
}

bool
mf_slots_over_share(const MfThrottle *throttle)
{
	return throttle->slots.in_flight + throttle->slots.ready > current_limit() / Max(busy_count, 1);
}

void
mf_slots_starved(const char *error, TimestampTz now)
{
	sustainable = Max(Min(sustainable, in_flight), 1);
	starved_until = TimestampTzPlusMilliseconds(now, STARVED_MS);
	if (starved_reported_at != 0 && !TimestampDifferenceExceeds(starved_reported_at, now, REPORT_INTERVAL_MS))
		return;
	starved_reported_at = now;
	ereport(LOG,
			(mf_log_event("requests_starved", "requests wait, because this process lacks file descriptors or memory"),
			 error ? errdetail_internal("%s", error) : 0,
			 errhint("Raise the limits of the server, or lower myfatoorah.max_in_flight.")));
}

TimestampTz
mf_slots_starved_until(void)
{
	return starved_until;
}
