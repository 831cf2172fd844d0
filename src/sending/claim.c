/*
 * claim.c
 *	  Claims due entries of the agenda, account by account.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/sending/claim.c
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/failpoint.h"
#include "flight/account_turns.h"
#include "flow/request_slots.h"
#include "flow/round_items.h"
#include "sending/claim_internal.h"
#include "store/queue.h"
#include "store/queue_pause.h"

/* How long a position counts: rows that committed late may have a lower rank. */
#define POSITION_RESET_MS 30000

/* Rows claimed in a round, all accounts together */
#define ROUND_LIMIT 200

/* Rows that each account may claim in a round, however many accounts there are */
#define MIN_SHARE 5

/* A round reads accounts for so long at most, and goes on with those that it has read. */
#define TURNS_NS INT64CONST(100000000)

static int	limit_accounts(const MfSqlScope *scope, const MfClaim *claim, MfClaimLimit *limits, int left,
						   TimestampTz now);
static bool limit_account(MfThrottle *throttle, int slots, int left, MfClaimLimit *limit, TimestampTz now);
static int	claimable_rows(const MfSqlScope *scope, const MfClaim *claim, MfThrottle *throttle, bool paused, int ahead,
						   TimestampTz now);
static int	advance_positions(const MfClaimLimit *limits, int count, List *jobs, bool cut);
static void end_turns(MfClaimLimit *limits, int count, int reached, bool cut);
static void look_later(const MfSqlScope *scope, const MfClaimLimit *limit);

void
mf_claim_due(const MfSqlScope *scope, const MfClaim *claim, TimestampTz now)
{
	int			left = mf_items_room(mf_slots_claimable(ROUND_LIMIT, claim->horizon_us, now));
	MfClaimLimit *limits = (MfClaimLimit *) palloc(ROUND_LIMIT * sizeof(MfClaimLimit));
	int			count;
	int			reached;
	bool		cut;
	bool		changed = false;
	List	   *jobs;
	int			i;

	if (left == 0)
		return;
	mf_throttle_forget_unused(now);
	mf_turns_refresh(scope, now);
	count = limit_accounts(scope, claim, limits, left, now);
	if (count == 0)
		return;

	/*
	 * The claim sees rows that were inserted since the round began.  By the present
	 * time they are due, so that their priority counts.
	 */
	now = GetCurrentTimestamp();
	mf_promote_due(scope, limits, count, now);
	jobs = mf_queue_claim(scope, limits, count, left, now, &cut, &changed);
	reached = advance_positions(limits, count, jobs, cut);
	end_turns(limits, count, reached, cut);
	if (jobs != NIL)
	{
		MF_FAILPOINT("claimed");
		mf_claim_jobs(scope, claim, jobs, now);
		MF_FAILPOINT("intent_recorded");
	}
	mf_queue_next_due(scope, limits, reached, now);
	for (i = 0; i < reached; i++)
	{
		if (limits[i].look_later)
			look_later(scope, &limits[i]);
	}
	if (changed)
		mf_turns_all_changed();
}

/*
 * Sets the limits of the accounts whose turn it is and that may send.  Each gets its
 * share of the round.  Returns how many accounts.
 */
static int
limit_accounts(const MfSqlScope *scope, const MfClaim *claim, MfClaimLimit *limits, int left, TimestampTz now)
{
	int			share = Max(left / Max(mf_turns_length(), 1), MIN_SHARE);
	int			ahead = Max(MF_AHEAD_MAX - mf_slots_ready_count(), 0);
	const char *names[ROUND_LIMIT];
	MfThrottle *throttles[ROUND_LIMIT];
	List	   *paused;
	int64		until = mf_http_clock() + TURNS_NS;
	int			turns = 0;
	int			count = 0;
	int			i;

	while (turns < left && (throttles[turns] = mf_turns_next(now)) != NULL)
	{
		names[turns] = throttles[turns]->account;
		turns++;
	}
	if (turns == 0)
		return 0;

	paused = mf_queue_paused_accounts(scope, names, turns);
	for (i = 0; i < turns && (i == 0 || mf_http_clock() < until); i++)
	{
		MfThrottle *throttle = throttles[i];
		bool		is_paused = claim->held || mf_queue_is_paused(paused, throttle->account);
		int			free_slots = claimable_rows(scope, claim, throttle, is_paused, ahead, now);

		if (free_slots == 0)
			continue;
		if (limit_account(throttle, Min(free_slots, share), left, &limits[count], now))
		{
			ahead = Max(ahead - Max(limits[count].slots - Max(mf_throttle_unclaimed(throttle), 0), 0), 0);
			limits[count++].shared |= free_slots > share;
		}
	}
	while (turns > i)
		mf_turns_put_back(throttles[--turns]);
	while (i > 0)
		throttles[--i]->owner->planned = 0;
	return count;
}

/*
 * Sets the limit of an account to so many slots, or to what is left to its owner.
 * "left" is what the round may claim in all.  Returns false if the owner has no slot.
 */
static bool
limit_account(MfThrottle *throttle, int slots, int left, MfClaimLimit *limit, TimestampTz now)
{
	int			room = mf_slots_owner_room(throttle->owner, now);

	if (room == 0)
	{
		mf_turns_due(throttle);
		return false;
	}
	if (throttle->claim.position_until <= now)
		throttle->claim.position_rank = DT_NOBEGIN;
	limit->account = throttle->account;
	limit->throttle = throttle;
	limit->slots = Min(slots, room);
	limit->shared = slots > room;
	limit->position_invoice = throttle->claim.position_rank == DT_NOBEGIN ? 0 : throttle->claim.position_invoice;
	limit->position_rank = throttle->claim.position_rank;
	throttle->owner->planned = Min(throttle->owner->planned + limit->slots, left);
	return true;
}

/*
 * How many rows an account may claim.  If none, has it join the line when that
 * changes, by time or by an answer.
 */
static int
claimable_rows(const MfSqlScope *scope, const MfClaim *claim, MfThrottle *throttle, bool paused, int ahead,
			   TimestampTz now)
{
	const MfAccount *account = mf_claim_account(scope, throttle, paused, now);
	TimestampTz retry;
	int			slots;

	throttle->claim.has_more = false;
	if (account == NULL)
	{
		if (!throttle->paused)
			mf_turns_due_at(throttle, throttle->retry_at);
		return 0;
	}
	slots = mf_throttle_claimable(throttle, account->max_in_flight, account->rate_limit, ahead, claim->horizon_us, now,
								  &retry);
	if (slots > 0)
	{
		slots = mf_flight_room(throttle, slots);
		/* answers release the memory of requests */
		throttle->claim.has_more = slots == 0;
		return slots;
	}
	mf_turns_due_at(throttle, retry);

	/* an inquiry has the slot; the next one may be a send's, see is_turn_of_sending() in inquiry.c */
	if (throttle->slots.inquiries > 0)
		throttle->claim.has_sends = true;
	if (throttle->slots.inquiries > 0 || throttle->slots.in_flight + throttle->slots.ready >= throttle->window)
	{
		throttle->claim.has_more = true;
		if (account->rate_limit == 0)
			mf_turns_full(throttle);
	}
	return 0;
}

/*
 * Counts the rows claimed for each account and moves its position to the last of them.
 * Returns how many accounts the claim has reached.  "cut": it was full, and has not
 * reached those after the last row's.
 */
static int
advance_positions(const MfClaimLimit *limits, int count, List *jobs, bool cut)
{
	MfThrottle *last = NULL;
	ListCell   *lc;
	int			i;

	for (i = 0; i < count; i++)
		limits[i].throttle->claim.claimed = 0;
	foreach(lc, jobs)
	{
		MfJob	   *job = (MfJob *) lfirst(lc);

		if (last == NULL || strcmp(last->account, job->account) != 0)
			last = mf_throttle_get(job->account);
		last->claim.claimed++;
		if (job->rank > last->claim.position_rank)
		{
			last->claim.position_rank = job->rank;
			last->claim.position_invoice = job->invoice;
		}
		else if (job->rank == last->claim.position_rank)
			last->claim.position_invoice = Max(last->claim.position_invoice, job->invoice);
	}
	if (!cut)
		return count;
	for (i = count; i > 0 && limits[i - 1].throttle != last; i--)
		;
	return i;
}

/*
 * Ends the turns of the accounts: each has another one, waits for an answer, or has its
 * next due entry looked up.
 */
static void
end_turns(MfClaimLimit *limits, int count, int reached, bool cut)
{
	int			i;

	for (i = count - 1; i >= reached; i--)
		mf_turns_put_back(limits[i].throttle);
	for (i = 0; i < reached; i++)
	{
		MfThrottle *throttle = limits[i].throttle;
		bool		all = throttle->claim.claimed < limits[i].slots && !(cut && i == reached - 1);

		throttle->claim.has_sends = throttle->claim.claimed > 0;

		/* only a claim without a position has read all entries: some may have committed before the position */
		throttle->claim.has_more = !all || limits[i].position_rank != DT_NOBEGIN;
		if (all)
			throttle->claim.position_rank = DT_NOBEGIN;
		else if (limits[i].position_rank == DT_NOBEGIN)
			throttle->claim.position_until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), POSITION_RESET_MS);
		limits[i].look_later = !throttle->claim.has_more;
		if (throttle->claim.has_more && (limits[i].shared || throttle->claim.claimed < limits[i].slots))
			mf_turns_due(throttle);
		else if (throttle->claim.has_more)
			mf_turns_full(throttle);
	}
}

/* Has an account join the line when its next entry is due.  Without any, no request can end a back-off. */
static void
look_later(const MfSqlScope *scope, const MfClaimLimit *limit)
{
	mf_turns_due_at(limit->throttle, limit->next_due);
	if (limit->next_due == 0 && limit->throttle->failures > 0 && !mf_agenda_names(scope, limit->account))
		mf_throttle_reset(limit->throttle);
}
