/*
 * throttle.c
 *	  How fast one account may be sent to: window, rate, back-off.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/flow/throttle.c
 */
#include "postgres.h"

#include <math.h>

#include "common/hashfn.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/settings.h"
#include "flow/request_slots.h"
#include "flow/throttle.h"
#include "process/wait.h"
#include "process/worker_slots.h"

/* Between two log lines about questions that are too many */
#define ASK_TELL_MS 60000

/* While an answer is so much later than it should be, none can be foreseen. */
#define OVERDUE_US 20000

/* Slots are ready to be filled no earlier before the usual time of an answer. */
#define EARLY_MAX_US 20000

/* Circuits that were not asked for in so long are forgotten, looked for so often. */
#define UNUSED_MS 600000
#define FORGET_DELAY_MS 60000

/* Found by their names, which lie in the throttles themselves */
typedef struct CircuitEntry
{
	const char *account;
	MfThrottle *throttle;
} CircuitEntry;

static HTAB *throttles_by_name = NULL;
static HTAB *owners = NULL;
static MfThrottle *throttles = NULL;
static TimestampTz forget_at = 0;

static uint32 hash_name(const void *key, Size size);
static int	compare_names(const void *a, const void *b, Size size);
static bool is_waiting(const MfThrottle *throttle);
static void forget(MfThrottle *throttle);

static void back_off(MfThrottle *throttle, TimestampTz now);
static int	budget(double *tokens, TimestampTz *filled_at, int per_minute, int limit, TimestampTz now, TimestampTz *again);
static void show(MfThrottle *throttle, TimestampTz now);
static void learn(MfThrottle *throttle, double took_us);
static bool foreseeable(const MfThrottle *throttle, TimestampTz now);
static TimestampTz earliest_end(const MfThrottle *throttle, const MfAirborne *airborne);
static TimestampTz fill_bucket(double *tokens, TimestampTz *filled_at, double rate, double capacity,
							   TimestampTz now);

MfThrottle *
mf_throttle_get(const char *account)
{
	MfThrottle *throttle;
	CircuitEntry *entry;

	if (throttles_by_name == NULL)
	{
		HASHCTL		control = {0};

		control.keysize = sizeof(const char *);
		control.entrysize = sizeof(CircuitEntry);
		control.hash = hash_name;
		control.match = compare_names;
		control.hcxt = TopMemoryContext;
		throttles_by_name = hash_create("myfatoorah throttles", 64, &control,
										HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
	}
	entry = (CircuitEntry *) hash_search(throttles_by_name, &account, HASH_FIND, NULL);
	if (entry != NULL)
	{
		entry->throttle->used_at = GetCurrentTimestamp();
		return entry->throttle;
	}

	throttle = (MfThrottle *) MemoryContextAllocZero(TopMemoryContext, sizeof(MfThrottle));
	throttle->account = MemoryContextStrdup(TopMemoryContext, account);
	throttle->owner = mf_owner_get(InvalidOid);
	entry = (CircuitEntry *) hash_search(throttles_by_name, &throttle->account, HASH_ENTER, NULL);
	entry->throttle = throttle;
	throttle->used_at = GetCurrentTimestamp();
	throttle->mark = DT_NOBEGIN;
	dlist_init(&throttle->ready);
	dlist_init(&throttle->air);
	throttle->next = throttles;
	if (throttles != NULL)
		throttles->previous = throttle;
	throttles = throttle;
	return throttle;
}

/* The key is a pointer to the name. */
static uint32
hash_name(const void *key, Size size)
{
	const char *name = *(const char *const *) key;

	return DatumGetUInt32(hash_any((const unsigned char *) name, strlen(name)));
}

static int
compare_names(const void *a, const void *b, Size size)
{
	return strcmp(*(const char *const *) a, *(const char *const *) b);
}

MfOwner *
mf_owner_get(Oid role)
{
	MfOwner    *owner;
	bool		found;

	if (owners == NULL)
	{
		HASHCTL		control = {0};

		control.keysize = sizeof(Oid);
		control.entrysize = sizeof(MfOwner);
		control.hcxt = TopMemoryContext;
		owners = hash_create("myfatoorah owners", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	owner = (MfOwner *) hash_search(owners, &role, HASH_ENTER, &found);
	if (!found)
	{
		memset(owner, 0, sizeof(*owner));
		owner->role = role;
		dlist_init(&owner->line);
	}
	return owner;
}

void
mf_throttle_set_owner(MfThrottle *throttle, Oid role)
{
	int 		slots = throttle->in_flight + throttle->asked + throttle->ready_count;

	if (throttle->owner->role == role || throttle->in_line)
		return;
	throttle->owner->slots -= slots;
	throttle->owner = mf_owner_get(role);
	throttle->owner->slots += slots;
}

void
mf_throttle_hold(MfThrottle *throttle)
{
	throttle->flights++;
}

void
mf_throttle_let_go(MfThrottle *throttle)
{
	throttle->flights--;
}

void
mf_throttle_forget_unused(TimestampTz now)
{
	MfThrottle *throttle;
	MfThrottle *next;

	if (now < forget_at)
		return;
	forget_at = TimestampTzPlusMilliseconds(now, FORGET_DELAY_MS);
	for (throttle = throttles; throttle != NULL; throttle = next)
	{
		next = throttle->next;
		if (throttle->flights == 0 && throttle->failures == 0 && throttle->retry_at <= now && throttle->ask_at <= now && throttle->pause_by == NULL &&
			!is_waiting(throttle) && TimestampTzPlusMilliseconds(throttle->used_at, UNUSED_MS) < now)
			forget(throttle);
	}
}

/* Whether it stands in line for its turn, or will. */
static bool
is_waiting(const MfThrottle *throttle)
{
	return throttle->in_line || throttle->turn_taken || throttle->full || throttle->alarm != 0;
}

static void
forget(MfThrottle *throttle)
{
	(void) hash_search(throttles_by_name, &throttle->account, HASH_REMOVE, NULL);
	if (throttle->previous != NULL)
		throttle->previous->next = throttle->next;
	else
		throttles = throttle->next;
	if (throttle->next != NULL)
		throttle->next->previous = throttle->previous;
	pfree(throttle->account);
	pfree(throttle);
}

MfThrottle *
mf_throttle_first(void)
{
	return throttles;
}

int
mf_throttle_slots(MfThrottle *throttle, int max_in_flight, double rate_limit,
				  TimestampTz now, TimestampTz *again)
{
	int			slots;

	*again = 0;
	/* a new limit counts at once, unless the window is still growing after a failure */
	if ((throttle->failures == 0 && throttle->window >= throttle->limit) || throttle->window > max_in_flight)
		throttle->window = max_in_flight;
	throttle->limit = max_in_flight;
	if (throttle->retry_at > now)
	{
		*again = throttle->retry_at;
		return 0;
	}

	slots = Max(throttle->window - throttle->in_flight - throttle->asked, 0);
	if (rate_limit > 0)
	{
		TimestampTz next;

		/* a bucket that holds one second's worth */
		next = fill_bucket(&throttle->tokens, &throttle->tokens_at, rate_limit, rate_limit, now);
		if (slots > 0)
			*again = next;
		slots = Max(Min(slots, (int) throttle->tokens - throttle->asked), 0);
	}
	else
		throttle->tokens_at = 0;	/* what is sent without a limit is no debt under the next one */
	return slots;
}

int
mf_throttle_claims(MfThrottle *throttle, int max_in_flight, double rate_limit, int ahead, int64 horizon_us,
				   TimestampTz now, TimestampTz *again)
{
	int 		slots = mf_throttle_slots(throttle, max_in_flight, rate_limit, now, again);

	if (throttle->retry_at > now)
		return 0;
	slots = mf_throttle_unclaimed(throttle) +
		mf_throttle_ending(throttle, ahead + throttle->ready_count, horizon_us, now);
	if (rate_limit > 0)
		slots = Min(slots, (int) throttle->tokens - throttle->asked - throttle->ready_count);
	return Max(slots, 0);
}

int
mf_throttle_unclaimed(const MfThrottle *throttle)
{
	return Max(throttle->window - throttle->in_flight - throttle->asked, 0) - throttle->ready_count;
}

int
mf_throttle_ending(const MfThrottle *throttle, int most, int64 horizon_us, TimestampTz now)
{
	int			count = 0;
	dlist_iter	iter;

	if (!foreseeable(throttle, now))
		return 0;
	dlist_foreach(iter, unconstify(dlist_head *, &throttle->air))
	{
		if (count >= most ||
			earliest_end(throttle, dlist_container(MfAirborne, node, iter.cur)) > now + horizon_us)
			break;
		count++;
	}
	return count;
}

TimestampTz
mf_throttle_first_end(const MfThrottle *throttle, TimestampTz now)
{
	dlist_head *air = unconstify(dlist_head *, &throttle->air);

	return foreseeable(throttle, now) ? earliest_end(throttle, dlist_head_element(MfAirborne, node, air)) : 0;
}

TimestampTz
mf_throttle_next_slot(const MfThrottle *throttle, TimestampTz now)
{
	int 		uncovered = throttle->ready_count - Max(throttle->window - throttle->in_flight, 0);
	dlist_iter	iter;

	if (uncovered < 0)
		return DT_NOBEGIN;
	if (mf_slots_ready_count() >= MF_AHEAD_MAX || throttle->in_flight > throttle->window || !foreseeable(throttle, now))
		return 0;
	dlist_foreach(iter, unconstify(dlist_head *, &throttle->air))
	{
		if (uncovered-- == 0)
			return earliest_end(throttle, dlist_container(MfAirborne, node, iter.cur));
	}
	return 0;
}

/* Whether answers come as they did lately. */
static bool
foreseeable(const MfThrottle *throttle, TimestampTz now)
{
	dlist_head *air = unconstify(dlist_head *, &throttle->air);

	return throttle->failures == 0 && throttle->answer_us > 0 && !dlist_is_empty(air) &&
		dlist_head_element(MfAirborne, node, air)->since +
		(TimestampTz) (throttle->answer_us + 2.0 * throttle->answer_spread_us) > now - OVERDUE_US;
}

/* From when on its answer may come: a slot that is filled late is lost, a claim that waits costs nothing. */
static TimestampTz
earliest_end(const MfThrottle *throttle, const MfAirborne *airborne)
{
	return airborne->since + (TimestampTz) (throttle->answer_us - Min(2.0 * throttle->answer_spread_us, EARLY_MAX_US));
}

/* Smooths as TCP does its round-trip times. */
static void
learn(MfThrottle *throttle, double took_us)
{
	took_us = Max(took_us, 1.0);
	if (throttle->answer_us <= 0)
	{
		throttle->answer_us = took_us;
		throttle->answer_spread_us = took_us / 2.0;
		return;
	}
	throttle->answer_spread_us += (fabs(took_us - throttle->answer_us) - throttle->answer_spread_us) / 4.0;
	throttle->answer_us += (took_us - throttle->answer_us) / 8.0;
}

bool
mf_throttle_open(const MfThrottle *throttle, TimestampTz now)
{
	return throttle->in_flight < throttle->window && !throttle->paused && throttle->retry_at <= now && mf_slots_free(now) > 0;
}

/*
 * Fills a bucket of tokens by the time that has passed, up to a capacity of at
 * least one.  Returns when there will be one, 0 if there is.
 */
static TimestampTz
fill_bucket(double *tokens, TimestampTz *filled_at, double rate, double capacity, TimestampTz now)
{
	capacity = Max(capacity, 1.0);
	if (*filled_at == 0)
		*tokens = capacity;
	else if (now > *filled_at)
		*tokens += (now - *filled_at) * rate / 1000000.0;
	*tokens = Min(*tokens, capacity);
	*filled_at = now;
	if (*tokens >= 1.0)
		return 0;
	return now + (TimestampTz) ceil((1.0 - *tokens) * 1000000.0 / rate) + 1;
}

int
mf_throttle_polls(MfThrottle *throttle, int limit, TimestampTz now, TimestampTz *again)
{
	return budget(&throttle->poll_tokens, &throttle->poll_tokens_at, mf_poll_rate_limit, limit, now, again);
}

/* Of a bucket that holds ten seconds' worth */
static int
budget(double *tokens, TimestampTz *filled_at, int per_minute, int limit, TimestampTz now, TimestampTz *again)
{
	double		rate = per_minute / 60.0;

	*again = 0;
	if (per_minute == 0)
		return 0;
	*again = fill_bucket(tokens, filled_at, rate, rate * 10.0, now);
	return Min(limit, (int) *tokens);
}

int
mf_throttle_callbacks(MfThrottle *throttle, int limit, TimestampTz now, TimestampTz *again)
{
	return budget(&throttle->call_tokens, &throttle->call_tokens_at, mf_callback_rate_limit, limit, now, again);
}

void
mf_throttle_called_back(MfThrottle *throttle, int count)
{
	throttle->call_tokens -= count;
}

int
mf_throttle_orders(MfThrottle *throttle, int limit, TimestampTz now, TimestampTz *again)
{
	return budget(&throttle->order_tokens, &throttle->order_tokens_at, mf_callback_rate_limit, limit, now, again);
}

void
mf_throttle_ordered(MfThrottle *throttle, int count)
{
	throttle->order_tokens -= count;
}

void
mf_throttle_polled(MfThrottle *throttle, int count)
{
	throttle->poll_tokens -= count;
}

void
mf_throttle_started(MfThrottle *throttle, MfAirborne *airborne, bool question, TimestampTz now)
{
	mf_slots_started(throttle, question);
	airborne->since = now;
	airborne->question = question;
	dlist_push_tail(&throttle->air, &airborne->node);
	throttle->lacking = false;
	throttle->tokens -= 1.0;
}

void
mf_throttle_dropped(MfThrottle *throttle, MfAirborne *airborne)
{
	mf_slots_ended(throttle, airborne->question);
	dlist_delete(&airborne->node);
}

void
mf_throttle_ended(MfThrottle *throttle, MfAirborne *airborne, MfOutcome outcome, int retry_after, bool own_trouble,
				  TimestampTz now)
{
	mf_throttle_dropped(throttle, airborne);
	switch (outcome)
	{
		case MF_OUTCOME_ACCEPTED:
		case MF_OUTCOME_REJECTED:
			if (throttle->reported)
				ereport(LOG,
						(errmsg("account \"%s\" is sending again", throttle->account)));
			throttle->failures = 0;
			throttle->failed_item = 0;
			throttle->reported = false;
			throttle->retry_at = throttle->told_until;
			throttle->window = Min(throttle->window * 2, throttle->limit);
			show(throttle, now);
			learn(throttle, (double) (now - airborne->since));
			break;
		case MF_OUTCOME_THROTTLED:
			back_off(throttle, now);
			/* "now" or a time past does not make it sooner */
			throttle->told_until = Max(throttle->told_until, now + (TimestampTz) retry_after * USECS_PER_SEC);
			throttle->retry_at = Max(throttle->retry_at, throttle->told_until);
			show(throttle, now);
			break;
		case MF_OUTCOME_UNKNOWN:
			if (own_trouble)
				break;
			if (throttle->failures + 1 < MF_UNKNOWN_LIMIT)
				throttle->failures++;
			else
				back_off(throttle, now);
			break;
		case MF_OUTCOME_NOT_SENT:
		case MF_OUTCOME_ACCOUNT_PROBLEM:
			back_off(throttle, now);
			break;
	}
}

void
mf_throttle_question_ended(MfThrottle *throttle, MfAirborne *airborne, MfOutcome outcome, int retry_after, bool own_trouble,
						   TimestampTz now)
{
	if (outcome != MF_OUTCOME_THROTTLED)
	{
		if (outcome == MF_OUTCOME_ACCEPTED || outcome == MF_OUTCOME_REJECTED)
			throttle->ask_throttled = 0;
		mf_throttle_ended(throttle, airborne, outcome, retry_after, own_trouble, now);
		return;
	}

	mf_throttle_dropped(throttle, airborne);
	/* those of one salvo count once */
	if (throttle->ask_at <= now)
		throttle->ask_at = now + mf_back_off_us(throttle->ask_throttled++);
	throttle->ask_at = Max(throttle->ask_at, now + (TimestampTz) retry_after * USECS_PER_SEC);
	if (throttle->ask_told_at != 0 && !TimestampDifferenceExceeds(throttle->ask_told_at, now, ASK_TELL_MS))
		return;
	throttle->ask_told_at = now;
	ereport(LOG,
			(errmsg("account \"%s\" gets too many questions about payments, and is asked again later", throttle->account),
			 errdetail("Invoices are sent meanwhile.")));
}

bool
mf_throttle_item_failed(MfThrottle *throttle, int64 item, int failures)
{
	int64		other = throttle->failed_item;

	if (failures >= MF_ITEM_FAILURES)
		return true;
	throttle->failed_item = item;
	return other == 0 || other == item;
}

void
mf_throttle_failed(MfThrottle *throttle, TimestampTz now)
{
	/* in the time of a back-off after a request it does not count */
	if (throttle->retry_at <= now)
		throttle->lacking = throttle->in_flight == 0;
	back_off(throttle, now);
}

void
mf_throttle_reset(MfThrottle *throttle)
{
	throttle->failures = 0;
	throttle->failed_item = 0;
	throttle->reported = false;
	throttle->retry_at = throttle->told_until = throttle->ask_at = 0;
	throttle->ask_throttled = 0;
	throttle->mark = DT_NOBEGIN;
	show(throttle, 0);
}

void
mf_throttle_mended(MfThrottle *throttle)
{
	if (!throttle->lacking)
		return;
	throttle->lacking = false;
	throttle->retry_at = throttle->told_until;
	throttle->mark = DT_NOBEGIN;
	show(throttle, GetCurrentTimestamp());
}

void
mf_throttle_report(MfThrottle *throttle, const char *what, const char *error)
{
	if (throttle->reported)
		return;
	throttle->reported = true;
	ereport(LOG,
			(errmsg("account \"%s\" %s", throttle->account, what),
			 error ? errdetail_internal("%s", error) : 0,
			 errhint("SELECT * FROM mf_check(%s) tells more.", quote_literal_cstr(throttle->account))));
}

/* The failures of one salvo count once: they all met the same outage. */
static void
back_off(MfThrottle *throttle, TimestampTz now)
{
	throttle->window = 1;
	if (throttle->retry_at > now)
		return;

	throttle->retry_at = now + mf_back_off_us(throttle->failures++);
	show(throttle, now);
}

/* For mf_check(): whether it waits, or tries one request at a time. */
static void
show(MfThrottle *throttle, TimestampTz now)
{
	bool		waits = throttle->retry_at > now || (throttle->retry_at != 0 && throttle->failures > 0);

	if (!waits && !throttle->shown)
		return;
	mf_show_waiting(throttle->account, waits ? throttle->retry_at : 0, throttle->shown);
	throttle->shown = waits;
}
