/*
 * request_slots.c
 *	  How many requests may be under way, all accounts of a worker together.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/flow/request_slots.c
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/settings.h"
#include "flow/request_slots.h"
#include "process/file_descriptors.h"

/* For so long nothing is posted for want of descriptors or memory, and so seldom the log tells of it. */
#define STARVED_MS 500
#define STARVED_TELL_MS 60000

/*
 * An owner has no more than so many times what is free: three quarters of all alone,
 * three sevenths beside another one that wants as many.
 */
#define OWNER_SHARE 3

static int	limit = MF_IN_FLIGHT_DEFAULT;
static int	fitting = MF_IN_FLIGHT_MAX; /* what there were descriptors and memory for, lately */
static int	in_flight = 0;
static int	questions = 0;		/* of these */
static int	asked = 0;
static int	ready = 0;
static bool several_owners = false;
static dlist_head busy = DLIST_STATIC_INIT(busy);	/* throttles with requests in flight */
static int	busy_count = 0;
static TimestampTz starved_until = 0;
static TimestampTz starved_told_at = 0;

static int	present_limit(void);

int
mf_slots_configure(MfHttp *http)
{
	int			connections = mf_descriptors_for(mf_max_in_flight);

	if (connections < mf_max_in_flight && connections != limit)
		ereport(LOG,
				(errmsg("no more than %d requests are under way at the same time, for want of file descriptors", connections),
				 errdetail("The setting myfatoorah.max_in_flight is %d.", mf_max_in_flight),
				 errhint(MF_DESCRIPTORS_HINT)));
	limit = Min(mf_max_in_flight, connections);
	mf_http_limit_connections(http, limit);
	return limit < mf_max_in_flight ? limit : 0;
}

static int
present_limit(void)
{
	return Min(limit, fitting);
}

void
mf_slots_started(MfThrottle *throttle, bool question)
{
	in_flight++;
	questions += question ? 1 : 0;
	throttle->owner->slots++;
	if (throttle->in_flight++ == 0)
	{
		dlist_push_tail(&busy, &throttle->busy_node);
		busy_count++;
	}
}

void
mf_slots_ended(MfThrottle *throttle, bool question)
{
	in_flight--;
	questions -= question ? 1 : 0;
	throttle->owner->slots--;
	if (fitting < MF_IN_FLIGHT_MAX)
		fitting++;
	if (--throttle->in_flight == 0)
	{
		dlist_delete(&throttle->busy_node);
		busy_count--;
	}
}

void
mf_slots_asked(MfThrottle *throttle, int count)
{
	throttle->asked += count;
	throttle->owner->slots += count;
	asked += count;
}

void
mf_slots_ready(MfThrottle *throttle, int count)
{
	throttle->ready_count += count;
	throttle->owner->slots += count;
	ready += count;
}

int
mf_slots_ready_count(void)
{
	return ready;
}

int
mf_slots_free(TimestampTz now)
{
	return starved_until > now ? 0 : Max(present_limit() - in_flight - asked, 0);
}

int
mf_slots_room(int wanted, int64 horizon_us, TimestampTz now)
{
	int			room = mf_slots_free(now) - ready;
	int			ahead = 0;
	dlist_iter	iter;

	if (starved_until > now)
		return 0;
	dlist_foreach(iter, &busy)
	{
		if (room + ahead >= wanted || ahead >= MF_AHEAD_MAX)
			break;
		ahead += mf_throttle_ending(dlist_container(MfThrottle, busy_node, iter.cur), MF_AHEAD_MAX - ahead, horizon_us, now);
	}
	return Max(Min(room + ahead, wanted), 0);
}

TimestampTz
mf_slots_room_at(int64 horizon_us, TimestampTz now)
{
	TimestampTz first = 0;
	dlist_iter	iter;

	if (starved_until > now)
		return starved_until;
	dlist_foreach(iter, &busy)
	{
		TimestampTz end = mf_throttle_first_end(dlist_container(MfThrottle, busy_node, iter.cur), now);

		/* what ends earlier is foreseen already */
		if (end > now + horizon_us && (first == 0 || end < first))
			first = end;
	}
	return first == 0 ? 0 : first - horizon_us;
}

void
mf_slots_set_owners(bool several)
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
mf_slots_questions(TimestampTz now)
{
	int			free_slots = mf_slots_free(now);

	return (free_slots + (questions + asked < (present_limit() + 1) / 2 ? 1 : 0)) / 2;
}

bool
mf_slots_over_share(const MfThrottle *throttle)
{
	return throttle->in_flight + throttle->ready_count > present_limit() / Max(busy_count, 1);
}

void
mf_slots_starved(const char *error, TimestampTz now)
{
	fitting = Max(Min(fitting, in_flight), 1);
	starved_until = TimestampTzPlusMilliseconds(now, STARVED_MS);
	if (starved_told_at != 0 && !TimestampDifferenceExceeds(starved_told_at, now, STARVED_TELL_MS))
		return;
	starved_told_at = now;
	ereport(LOG,
			(errmsg("requests wait, because this process lacks file descriptors or memory"),
			 error ? errdetail_internal("%s", error) : 0,
			 errhint("Raise the limits of the server, or lower myfatoorah.max_in_flight.")));
}

TimestampTz
mf_slots_starved_until(void)
{
	return starved_until;
}
