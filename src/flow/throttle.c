/*
 * throttle.c
 *	  How fast one account may be sent to: window, rate and back-off.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/flow/throttle.c
 */
#include "postgres.h"

#include <math.h>

#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/log_event.h"
#include "base/settings.h"
#include "flow/throttle.h"
#include "process/metrics.h"
#include "process/wait.h"
#include "process/waiting_accounts.h"

/* Least time between two log lines about throttled inquiries, and between two about an account that waits */
#define REPORT_INTERVAL_MS 60000

/* Throttles that were not asked for in so long are freed; how often that is tried */
#define UNUSED_MS 600000
#define FORGET_INTERVAL_MS 60000

dlist_head mf_throttles = DLIST_STATIC_INIT(mf_throttles);

static HTAB *throttles_by_name = NULL;
static TimestampTz forget_at = 0;

static HTAB *owners = NULL;

static MfThrottle *create_throttle(const char *account);
static bool is_unused(const MfThrottle *throttle, TimestampTz now);
static TimestampTz fill_bucket(MfTokenBucket *bucket, double rate, double capacity, TimestampTz now);
static void record_success(MfThrottle *throttle, TimestampTz started_at, TimestampTz now);
static int	outage_message(const MfThrottle *throttle, MfOutage outage);
static void back_off(MfThrottle *throttle, TimestampTz now);
static void back_off_inquiries(MfThrottle *throttle, int retry_after, TimestampTz now);
static void show_waiting(MfThrottle *throttle, TimestampTz now);

MfThrottle *
mf_throttle_get(const char *account)
{
	MfThrottle *throttle;

	if (throttles_by_name == NULL)
		throttles_by_name = hash_create("myfatoorah throttles", 64,
										&(HASHCTL) {.keysize = NAMEDATALEN, .entrysize = sizeof(MfThrottle)},
										HASH_ELEM | HASH_STRINGS);
	throttle = (MfThrottle *) hash_search(throttles_by_name, account, HASH_FIND, NULL);
	if (throttle == NULL)
		throttle = create_throttle(account);
	throttle->used_at = GetCurrentTimestamp();
	return throttle;
}

static MfThrottle *
create_throttle(const char *account)
{
	MfOwner    *unknown = mf_owner_get(InvalidOid);
	MfThrottle *throttle = (MfThrottle *) hash_search(throttles_by_name, account, HASH_ENTER, NULL);

	StaticAssertStmt(offsetof(MfThrottle, account) == 0, "the hash key comes first");
	memset((char *) throttle + NAMEDATALEN, 0, sizeof(MfThrottle) - NAMEDATALEN);
	throttle->metrics = mf_metrics_account(account);
	throttle->owner = unknown;
	throttle->claim.position_rank = DT_NOBEGIN;
	dlist_init(&throttle->ready.flights);
	dlist_init(&throttle->answers.in_flight);
	dlist_push_head(&mf_throttles, &throttle->node);
	return throttle;
}

void
mf_throttle_forget_unused(TimestampTz now)
{
	dlist_mutable_iter iter;

	if (now < forget_at)
		return;
	forget_at = TimestampTzPlusMilliseconds(now, FORGET_INTERVAL_MS);
	dlist_foreach_modify(iter, &mf_throttles)
	{
		MfThrottle *throttle = dlist_container(MfThrottle, node, iter.cur);

		if (!is_unused(throttle, now))
			continue;
		dlist_delete(&throttle->node);
		(void) hash_search(throttles_by_name, throttle->account, HASH_REMOVE, NULL);
	}
}

static bool
is_unused(const MfThrottle *throttle, TimestampTz now)
{
	const MfTurn *turn = &throttle->turn;

	if (turn->in_line || turn->taken || turn->full || turn->alarm != 0)
		return false;
	if (throttle->failures > 0 || throttle->retry_at > now || throttle->inquire_at > now || throttle->pause_by != NULL)
		return false;
	return throttle->flights == 0 && TimestampTzPlusMilliseconds(throttle->used_at, UNUSED_MS) < now;
}

int
mf_throttle_available(MfThrottle *throttle, int max_in_flight, double rate_limit, TimestampTz now,
					  TimestampTz *retry_at)
{
	int			available;
	TimestampTz next_token;

	*retry_at = 0;
	/* a new limit counts at once, unless the window is still growing after a failure */
	if ((throttle->failures == 0 && throttle->window >= throttle->limit) || throttle->window > max_in_flight)
		throttle->window = max_in_flight;
	throttle->limit = max_in_flight;
	if (throttle->retry_at > now)
	{
		*retry_at = throttle->retry_at;
		return 0;
	}

	available = Max(throttle->window - throttle->slots.in_flight - throttle->slots.inquiries, 0);
	if (rate_limit <= 0)
	{
		/* what is sent without a limit is no debt once there is one */
		throttle->rate.filled_at = 0;
		return available;
	}

	/* the bucket holds one second's worth */
	next_token = fill_bucket(&throttle->rate, rate_limit, rate_limit, now);
	if (available > 0)
		*retry_at = next_token;
	return Max(Min(available, (int) throttle->rate.tokens - throttle->slots.inquiries), 0);
}

int
mf_throttle_claimable(MfThrottle *throttle, int max_in_flight, double rate_limit, int ahead, int64 horizon_us,
					  TimestampTz now, TimestampTz *retry_at)
{
	int			claimable;

	(void) mf_throttle_available(throttle, max_in_flight, rate_limit, now, retry_at);
	if (throttle->retry_at > now)
		return 0;
	claimable = mf_throttle_unclaimed(throttle) +
		mf_throttle_expected_answers(throttle, ahead + throttle->slots.ready, horizon_us, now);
	if (rate_limit > 0)
		claimable = Min(claimable, (int) throttle->rate.tokens - throttle->slots.inquiries - throttle->slots.ready);
	return Max(claimable, 0);
}

int
mf_throttle_unclaimed(const MfThrottle *throttle)
{
	return Max(throttle->window - throttle->slots.in_flight - throttle->slots.inquiries, 0) - throttle->slots.ready;
}

int
mf_throttle_expected_answers(const MfThrottle *throttle, int limit, int64 horizon_us, TimestampTz now)
{
	return throttle->failures > 0 ? 0 : mf_answer_times_count(&throttle->answers, limit, horizon_us, now);
}

TimestampTz
mf_throttle_expected_answer(const MfThrottle *throttle, int n, TimestampTz now)
{
	return throttle->failures > 0 ? 0 : mf_answer_times_nth(&throttle->answers, n, now);
}

bool
mf_throttle_is_open(const MfThrottle *throttle, TimestampTz now)
{
	return throttle->slots.in_flight < throttle->window && !throttle->paused && throttle->retry_at <= now;
}

int
mf_throttle_budget(MfThrottle *throttle, MfBudget budget, int limit, TimestampTz now, TimestampTz *retry_at)
{
	int			per_minute = budget == MF_BUDGET_POLLS ? mf_poll_rate_limit : mf_callback_rate_limit;
	double		rate = per_minute / 60.0;
	MfTokenBucket *bucket = &throttle->budgets[budget];

	*retry_at = 0;
	if (per_minute == 0)
		return 0;
	*retry_at = fill_bucket(bucket, rate, rate * 10.0, now);
	return Min(limit, (int) bucket->tokens);
}

void
mf_throttle_spend(MfThrottle *throttle, MfBudget budget, int count)
{
	throttle->budgets[budget].tokens -= count;
}

void
mf_throttle_start(MfThrottle *throttle, MfInFlight *request, bool is_inquiry, TimestampTz now)
{
	mf_answer_times_start(&throttle->answers, request, is_inquiry, now);
	throttle->lacking = false;
	throttle->rate.tokens -= 1.0;
}

void
mf_throttle_learn(MfThrottle *throttle, const MfInFlight *request, MfOutcome outcome, int retry_after,
				  bool item_at_fault, TimestampTz now)
{
	switch (outcome)
	{
		case MF_OUTCOME_ACCEPTED:
		case MF_OUTCOME_REJECTED:
			if (request->is_inquiry)
				throttle->inquiries_throttled = 0;
			record_success(throttle, request->started_at, now);
			break;
		case MF_OUTCOME_THROTTLED:
			if (request->is_inquiry)
			{
				back_off_inquiries(throttle, retry_after, now);
				break;
			}
			back_off(throttle, now);
			/* a Retry-After of 0 does not shorten the back-off */
			throttle->retry_after = Max(throttle->retry_after, now + (TimestampTz) retry_after * USECS_PER_SEC);
			throttle->retry_at = Max(throttle->retry_at, throttle->retry_after);
			show_waiting(throttle, now);
			break;
		case MF_OUTCOME_UNKNOWN:
			if (item_at_fault)
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

/* Ends the back-off and doubles the window. */
static void
record_success(MfThrottle *throttle, TimestampTz started_at, TimestampTz now)
{
	if (throttle->reported)
		ereport(LOG,
				(mf_log_event("account_sending", "account \"%s\" is sending again", throttle->account)));
	throttle->failures = 0;
	throttle->failed_item = 0;
	throttle->reported = false;
	throttle->retry_at = throttle->retry_after;
	throttle->window = Min(throttle->window * 2, throttle->limit);
	show_waiting(throttle, now);
	mf_answer_times_learn(&throttle->answers, now - started_at);
}

/* Has inquiries back off, while sending goes on. */
static void
back_off_inquiries(MfThrottle *throttle, int retry_after, TimestampTz now)
{
	/* inquiries that were under way together count once */
	if (throttle->inquire_at <= now)
		throttle->inquire_at = now + mf_back_off_us(throttle->inquiries_throttled++);
	throttle->inquire_at = Max(throttle->inquire_at, now + (TimestampTz) retry_after * USECS_PER_SEC);
	if (throttle->inquiries_reported_at != 0 &&
		!TimestampDifferenceExceeds(throttle->inquiries_reported_at, now, REPORT_INTERVAL_MS))
		return;
	throttle->inquiries_reported_at = now;
	ereport(LOG,
			(mf_log_event("inquiries_throttled",
						  "MyFatoorah throttles inquiries about payments of account \"%s\"", throttle->account),
			 errdetail("They are repeated later. Invoices are sent meanwhile.")));
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
mf_throttle_account_unusable(MfThrottle *throttle, TimestampTz now)
{
	/* during a back-off after a request, that request is the cause */
	if (throttle->retry_at <= now)
		throttle->lacking = throttle->slots.in_flight == 0;
	back_off(throttle, now);
}

void
mf_throttle_account_changed(MfThrottle *throttle)
{
	if (!throttle->lacking)
		return;
	throttle->lacking = false;
	throttle->retry_at = throttle->retry_after;
	throttle->claim.position_rank = DT_NOBEGIN;
	show_waiting(throttle, GetCurrentTimestamp());
}

void
mf_throttle_reset(MfThrottle *throttle)
{
	throttle->failures = 0;
	throttle->failed_item = 0;
	throttle->reported = false;
	throttle->reported_at = 0;
	throttle->retry_at = throttle->retry_after = throttle->inquire_at = throttle->deposits_at = 0;
	throttle->inquiries_throttled = 0;
	throttle->claim.position_rank = DT_NOBEGIN;
	show_waiting(throttle, 0);
}

void
mf_throttle_report(MfThrottle *throttle, MfOutage outage, const char *error)
{
	TimestampTz now = GetCurrentTimestamp();

	if (throttle->reported)
		return;
	/* an account that keeps changing between the two is told of now and then */
	if (outage == MF_OUTAGE_WAITING && throttle->reported_at != 0 &&
		!TimestampDifferenceExceeds(throttle->reported_at, now, REPORT_INTERVAL_MS))
		return;
	throttle->reported = true;
	throttle->reported_at = now;
	ereport(LOG,
			(outage_message(throttle, outage),
			 error ? errdetail_internal("%s", error) : 0,
			 errhint("Run SELECT * FROM mf_check(%s) to find out why.", quote_literal_cstr(throttle->account))));
}

/* The message of mf_throttle_report() */
static int
outage_message(const MfThrottle *throttle, MfOutage outage)
{
	switch (outage)
	{
		case MF_OUTAGE_PAUSED:
			return mf_log_event("account_paused", "account \"%s\" is paused", throttle->account);
		case MF_OUTAGE_UNUSABLE:
			return mf_log_event("account_unusable", "account \"%s\" cannot be used", throttle->account);
		default:
			return mf_log_event("account_waiting", "account \"%s\" is waiting", throttle->account);
	}
}

/* Backs off.  Failures during a back-off have the same cause, and do not lengthen it. */
static void
back_off(MfThrottle *throttle, TimestampTz now)
{
	throttle->window = 1;
	if (throttle->retry_at > now)
		return;

	throttle->retry_at = now + mf_back_off_us(throttle->failures++);
	show_waiting(throttle, now);
}

/* Shows mf_check() whether the account backs off, or tries one request at a time. */
static void
show_waiting(MfThrottle *throttle, TimestampTz now)
{
	bool		waits = throttle->retry_at > now || (throttle->retry_at != 0 && throttle->failures > 0);

	if (!waits && !throttle->shown)
		return;
	mf_waiting_account_set(throttle->account, waits ? throttle->retry_at : 0, throttle->shown);
	throttle->shown = waits;
}

/*
 * Adds the tokens that have come since the last call, "rate" a second, up to
 * "capacity" or 1, whichever is more.  Returns when there will be a token, or 0
 * if there is one.
 */
static TimestampTz
fill_bucket(MfTokenBucket *bucket, double rate, double capacity, TimestampTz now)
{
	capacity = Max(capacity, 1.0);
	if (bucket->filled_at == 0)
		bucket->tokens = capacity;
	else if (now > bucket->filled_at)
		bucket->tokens += (now - bucket->filled_at) * rate / 1000000.0;
	bucket->tokens = Min(bucket->tokens, capacity);
	bucket->filled_at = now;
	if (bucket->tokens >= 1.0)
		return 0;
	return now + (TimestampTz) ceil((1.0 - bucket->tokens) * 1000000.0 / rate) + 1;
}

MfOwner *
mf_owner_get(Oid role)
{
	MfOwner    *owner;
	bool		found;

	if (owners == NULL)
		owners = hash_create("myfatoorah owners", 64,
							 &(HASHCTL) {.keysize = sizeof(Oid), .entrysize = sizeof(MfOwner)},
							 HASH_ELEM | HASH_BLOBS);
	owner = (MfOwner *) hash_search(owners, &role, HASH_ENTER, &found);
	if (!found)
	{
		memset(owner, 0, sizeof(*owner));
		owner->role = role;
		dlist_init(&owner->line);
	}
	return owner;
}
