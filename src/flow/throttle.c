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

/* Found by their names, which lie in the circuits themselves */
typedef struct CircuitEntry
{
	const char *account;
	MfCircuit  *circuit;
} CircuitEntry;

static HTAB *circuits_by_name = NULL;
static HTAB *owners = NULL;
static MfCircuit *circuits = NULL;
static TimestampTz forget_at = 0;

static uint32 hash_name(const void *key, Size size);
static int	compare_names(const void *a, const void *b, Size size);
static bool is_waiting(const MfCircuit *circuit);
static void forget(MfCircuit *circuit);

static void back_off(MfCircuit *circuit, TimestampTz now);
static int	budget(double *tokens, TimestampTz *filled_at, int per_minute, int limit, TimestampTz now, TimestampTz *again);
static void show(MfCircuit *circuit, TimestampTz now);
static void learn(MfCircuit *circuit, double took_us);
static bool foreseeable(const MfCircuit *circuit, TimestampTz now);
static TimestampTz earliest_end(const MfCircuit *circuit, const MfAirborne *airborne);
static TimestampTz fill_bucket(double *tokens, TimestampTz *filled_at, double rate, double capacity,
							   TimestampTz now);

/* See throttle.h. */
MfCircuit *
mf_circuit_get(const char *account)
{
	MfCircuit  *circuit;
	CircuitEntry *entry;

	if (circuits_by_name == NULL)
	{
		HASHCTL		control = {0};

		control.keysize = sizeof(const char *);
		control.entrysize = sizeof(CircuitEntry);
		control.hash = hash_name;
		control.match = compare_names;
		control.hcxt = TopMemoryContext;
		circuits_by_name = hash_create("myfatoorah circuits", 64, &control,
									   HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
	}
	entry = (CircuitEntry *) hash_search(circuits_by_name, &account, HASH_FIND, NULL);
	if (entry != NULL)
	{
		entry->circuit->used_at = GetCurrentTimestamp();
		return entry->circuit;
	}

	circuit = (MfCircuit *) MemoryContextAllocZero(TopMemoryContext, sizeof(MfCircuit));
	circuit->account = MemoryContextStrdup(TopMemoryContext, account);
	circuit->owner = mf_owner_get(InvalidOid);
	entry = (CircuitEntry *) hash_search(circuits_by_name, &circuit->account, HASH_ENTER, NULL);
	entry->circuit = circuit;
	circuit->used_at = GetCurrentTimestamp();
	circuit->mark = DT_NOBEGIN;
	dlist_init(&circuit->ready);
	dlist_init(&circuit->air);
	circuit->next = circuits;
	if (circuits != NULL)
		circuits->previous = circuit;
	circuits = circuit;
	return circuit;
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

/* See throttle.h. */
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

/* See throttle.h. */
void
mf_circuit_set_owner(MfCircuit *circuit, Oid role)
{
	int			slots = circuit->in_flight + circuit->asked + circuit->ready_count;

	if (circuit->owner->role == role || circuit->in_line)
		return;
	circuit->owner->slots -= slots;
	circuit->owner = mf_owner_get(role);
	circuit->owner->slots += slots;
}

/* See throttle.h. */
void
mf_circuit_hold(MfCircuit *circuit)
{
	circuit->flights++;
}

/* See throttle.h. */
void
mf_circuit_let_go(MfCircuit *circuit)
{
	circuit->flights--;
}

/* See throttle.h. */
void
mf_circuit_forget_unused(TimestampTz now)
{
	MfCircuit  *circuit;
	MfCircuit  *next;

	if (now < forget_at)
		return;
	forget_at = TimestampTzPlusMilliseconds(now, FORGET_DELAY_MS);
	for (circuit = circuits; circuit != NULL; circuit = next)
	{
		next = circuit->next;
		if (circuit->flights == 0 && circuit->failures == 0 && circuit->retry_at <= now && circuit->ask_at <= now && circuit->pause_by == NULL &&
			!is_waiting(circuit) && TimestampTzPlusMilliseconds(circuit->used_at, UNUSED_MS) < now)
			forget(circuit);
	}
}

/* Whether it stands in line for its turn, or will. */
static bool
is_waiting(const MfCircuit *circuit)
{
	return circuit->in_line || circuit->turn_taken || circuit->full || circuit->alarm != 0;
}

static void
forget(MfCircuit *circuit)
{
	(void) hash_search(circuits_by_name, &circuit->account, HASH_REMOVE, NULL);
	if (circuit->previous != NULL)
		circuit->previous->next = circuit->next;
	else
		circuits = circuit->next;
	if (circuit->next != NULL)
		circuit->next->previous = circuit->previous;
	pfree(circuit->account);
	pfree(circuit);
}

/* See throttle.h. */
MfCircuit *
mf_circuit_first(void)
{
	return circuits;
}

/* See throttle.h. */
int
mf_circuit_slots(MfCircuit *circuit, int max_in_flight, double rate_limit,
				 TimestampTz now, TimestampTz *again)
{
	int			slots;

	*again = 0;
	/* a new limit counts at once, unless the window is still growing after a failure */
	if ((circuit->failures == 0 && circuit->window >= circuit->limit) || circuit->window > max_in_flight)
		circuit->window = max_in_flight;
	circuit->limit = max_in_flight;
	if (circuit->retry_at > now)
	{
		*again = circuit->retry_at;
		return 0;
	}

	slots = Max(circuit->window - circuit->in_flight - circuit->asked, 0);
	if (rate_limit > 0)
	{
		TimestampTz next;

		/* a bucket that holds one second's worth */
		next = fill_bucket(&circuit->tokens, &circuit->tokens_at, rate_limit, rate_limit, now);
		if (slots > 0)
			*again = next;
		slots = Max(Min(slots, (int) circuit->tokens - circuit->asked), 0);
	}
	else
		circuit->tokens_at = 0;	/* what is sent without a limit is no debt under the next one */
	return slots;
}

/* See throttle.h. */
int
mf_circuit_claims(MfCircuit *circuit, int max_in_flight, double rate_limit, int ahead, int64 horizon_us,
				  TimestampTz now, TimestampTz *again)
{
	int			slots = mf_circuit_slots(circuit, max_in_flight, rate_limit, now, again);

	if (circuit->retry_at > now)
		return 0;
	slots = mf_circuit_unclaimed(circuit) +
		mf_circuit_ending(circuit, ahead + circuit->ready_count, horizon_us, now);
	if (rate_limit > 0)
		slots = Min(slots, (int) circuit->tokens - circuit->asked - circuit->ready_count);
	return Max(slots, 0);
}

/* See throttle.h. */
int
mf_circuit_unclaimed(const MfCircuit *circuit)
{
	return Max(circuit->window - circuit->in_flight - circuit->asked, 0) - circuit->ready_count;
}

/* See throttle.h. */
int
mf_circuit_ending(const MfCircuit *circuit, int most, int64 horizon_us, TimestampTz now)
{
	int			count = 0;
	dlist_iter	iter;

	if (!foreseeable(circuit, now))
		return 0;
	dlist_foreach(iter, unconstify(dlist_head *, &circuit->air))
	{
		if (count >= most ||
			earliest_end(circuit, dlist_container(MfAirborne, node, iter.cur)) > now + horizon_us)
			break;
		count++;
	}
	return count;
}

/* See throttle.h. */
TimestampTz
mf_circuit_first_end(const MfCircuit *circuit, TimestampTz now)
{
	dlist_head *air = unconstify(dlist_head *, &circuit->air);

	return foreseeable(circuit, now) ? earliest_end(circuit, dlist_head_element(MfAirborne, node, air)) : 0;
}

/* See throttle.h. */
TimestampTz
mf_circuit_next_slot(const MfCircuit *circuit, TimestampTz now)
{
	int			uncovered = circuit->ready_count - Max(circuit->window - circuit->in_flight, 0);
	dlist_iter	iter;

	if (uncovered < 0)
		return DT_NOBEGIN;
	if (mf_slots_ready_count() >= MF_AHEAD_MAX || circuit->in_flight > circuit->window || !foreseeable(circuit, now))
		return 0;
	dlist_foreach(iter, unconstify(dlist_head *, &circuit->air))
	{
		if (uncovered-- == 0)
			return earliest_end(circuit, dlist_container(MfAirborne, node, iter.cur));
	}
	return 0;
}

/* Whether answers come as they did lately. */
static bool
foreseeable(const MfCircuit *circuit, TimestampTz now)
{
	dlist_head *air = unconstify(dlist_head *, &circuit->air);

	return circuit->failures == 0 && circuit->answer_us > 0 && !dlist_is_empty(air) &&
		dlist_head_element(MfAirborne, node, air)->since +
		(TimestampTz) (circuit->answer_us + 2.0 * circuit->answer_spread_us) > now - OVERDUE_US;
}

/* From when on its answer may come: a slot that is filled late is lost, a claim that waits costs nothing. */
static TimestampTz
earliest_end(const MfCircuit *circuit, const MfAirborne *airborne)
{
	return airborne->since + (TimestampTz) (circuit->answer_us - Min(2.0 * circuit->answer_spread_us, EARLY_MAX_US));
}

/* Smooths as TCP does its round-trip times. */
static void
learn(MfCircuit *circuit, double took_us)
{
	took_us = Max(took_us, 1.0);
	if (circuit->answer_us <= 0)
	{
		circuit->answer_us = took_us;
		circuit->answer_spread_us = took_us / 2.0;
		return;
	}
	circuit->answer_spread_us += (fabs(took_us - circuit->answer_us) - circuit->answer_spread_us) / 4.0;
	circuit->answer_us += (took_us - circuit->answer_us) / 8.0;
}

/* See throttle.h. */
bool
mf_circuit_open(const MfCircuit *circuit, TimestampTz now)
{
	return circuit->in_flight < circuit->window && !circuit->paused && circuit->retry_at <= now && mf_slots_free(now) > 0;
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

/* See throttle.h. */
int
mf_circuit_polls(MfCircuit *circuit, int limit, TimestampTz now, TimestampTz *again)
{
	return budget(&circuit->poll_tokens, &circuit->poll_tokens_at, mf_poll_limit, limit, now, again);
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

/* See throttle.h. */
int
mf_circuit_callbacks(MfCircuit *circuit, int limit, TimestampTz now, TimestampTz *again)
{
	return budget(&circuit->call_tokens, &circuit->call_tokens_at, mf_callback_limit, limit, now, again);
}

/* See throttle.h. */
void
mf_circuit_called_back(MfCircuit *circuit, int count)
{
	circuit->call_tokens -= count;
}

/* See throttle.h. */
int
mf_circuit_orders(MfCircuit *circuit, int limit, TimestampTz now, TimestampTz *again)
{
	return budget(&circuit->order_tokens, &circuit->order_tokens_at, mf_callback_limit, limit, now, again);
}

/* See throttle.h. */
void
mf_circuit_ordered(MfCircuit *circuit, int count)
{
	circuit->order_tokens -= count;
}

/* See throttle.h. */
void
mf_circuit_polled(MfCircuit *circuit, int count)
{
	circuit->poll_tokens -= count;
}

/* See throttle.h. */
void
mf_circuit_started(MfCircuit *circuit, MfAirborne *airborne, bool question, TimestampTz now)
{
	mf_slots_started(circuit, question);
	airborne->since = now;
	airborne->question = question;
	dlist_push_tail(&circuit->air, &airborne->node);
	circuit->lacking = false;
	circuit->tokens -= 1.0;
}

/* See throttle.h. */
void
mf_circuit_dropped(MfCircuit *circuit, MfAirborne *airborne)
{
	mf_slots_ended(circuit, airborne->question);
	dlist_delete(&airborne->node);
}

/* See throttle.h. */
void
mf_circuit_ended(MfCircuit *circuit, MfAirborne *airborne, MfOutcome outcome, int retry_after, bool own_trouble,
				 TimestampTz now)
{
	mf_circuit_dropped(circuit, airborne);
	switch (outcome)
	{
		case MF_ACCEPTED:
		case MF_REJECTED:
			if (circuit->reported)
				ereport(LOG,
						(errmsg("account \"%s\" is sending again", circuit->account)));
			circuit->failures = 0;
			circuit->failed_item = 0;
			circuit->reported = false;
			circuit->retry_at = circuit->told_until;
			circuit->window = Min(circuit->window * 2, circuit->limit);
			show(circuit, now);
			learn(circuit, (double) (now - airborne->since));
			break;
		case MF_THROTTLED:
			back_off(circuit, now);
			/* "now" or a time past does not make it sooner */
			circuit->told_until = Max(circuit->told_until, now + (TimestampTz) retry_after * USECS_PER_SEC);
			circuit->retry_at = Max(circuit->retry_at, circuit->told_until);
			show(circuit, now);
			break;
		case MF_UNKNOWN:
			if (own_trouble)
				break;
			if (circuit->failures + 1 < MF_UNKNOWN_LIMIT)
				circuit->failures++;
			else
				back_off(circuit, now);
			break;
		case MF_NOT_SENT:
		case MF_ACCOUNT_PROBLEM:
			back_off(circuit, now);
			break;
	}
}

/* See throttle.h. */
void
mf_circuit_question_ended(MfCircuit *circuit, MfAirborne *airborne, MfOutcome outcome, int retry_after, bool own_trouble,
						  TimestampTz now)
{
	if (outcome != MF_THROTTLED)
	{
		if (outcome == MF_ACCEPTED || outcome == MF_REJECTED)
			circuit->ask_throttled = 0;
		mf_circuit_ended(circuit, airborne, outcome, retry_after, own_trouble, now);
		return;
	}

	mf_circuit_dropped(circuit, airborne);
	/* those of one salvo count once */
	if (circuit->ask_at <= now)
		circuit->ask_at = now + mf_back_off_us(circuit->ask_throttled++);
	circuit->ask_at = Max(circuit->ask_at, now + (TimestampTz) retry_after * USECS_PER_SEC);
	if (circuit->ask_told_at != 0 && !TimestampDifferenceExceeds(circuit->ask_told_at, now, ASK_TELL_MS))
		return;
	circuit->ask_told_at = now;
	ereport(LOG,
			(errmsg("account \"%s\" gets too many questions about payments, and is asked again later", circuit->account),
			 errdetail("Invoices are sent meanwhile.")));
}

/* See throttle.h. */
bool
mf_circuit_item_failed(MfCircuit *circuit, int64 item, int failures)
{
	int64		other = circuit->failed_item;

	if (failures >= MF_ITEM_FAILURES)
		return true;
	circuit->failed_item = item;
	return other == 0 || other == item;
}

/* See throttle.h. */
void
mf_circuit_failed(MfCircuit *circuit, TimestampTz now)
{
	/* in the time of a back-off after a request it does not count */
	if (circuit->retry_at <= now)
		circuit->lacking = circuit->in_flight == 0;
	back_off(circuit, now);
}

/* See throttle.h. */
void
mf_circuit_reset(MfCircuit *circuit)
{
	circuit->failures = 0;
	circuit->failed_item = 0;
	circuit->reported = false;
	circuit->retry_at = circuit->told_until = circuit->ask_at = 0;
	circuit->ask_throttled = 0;
	circuit->mark = DT_NOBEGIN;
	show(circuit, 0);
}

/* See throttle.h. */
void
mf_circuit_mended(MfCircuit *circuit)
{
	if (!circuit->lacking)
		return;
	circuit->lacking = false;
	circuit->retry_at = circuit->told_until;
	circuit->mark = DT_NOBEGIN;
	show(circuit, GetCurrentTimestamp());
}

/* See throttle.h. */
void
mf_circuit_report(MfCircuit *circuit, const char *what, const char *error)
{
	if (circuit->reported)
		return;
	circuit->reported = true;
	ereport(LOG,
			(errmsg("account \"%s\" %s", circuit->account, what),
			 error ? errdetail_internal("%s", error) : 0,
			 errhint("SELECT * FROM mf_check(%s) tells more.", quote_literal_cstr(circuit->account))));
}

/* The failures of one salvo count once: they all met the same outage. */
static void
back_off(MfCircuit *circuit, TimestampTz now)
{
	circuit->window = 1;
	if (circuit->retry_at > now)
		return;

	circuit->retry_at = now + mf_back_off_us(circuit->failures++);
	show(circuit, now);
}

/* For mf_check(): whether it waits, or tries one request at a time. */
static void
show(MfCircuit *circuit, TimestampTz now)
{
	bool		waits = circuit->retry_at > now || (circuit->retry_at != 0 && circuit->failures > 0);

	if (!waits && !circuit->shown)
		return;
	mf_show_waiting(circuit->account, waits ? circuit->retry_at : 0, circuit->shown);
	circuit->shown = waits;
}
