/*
 * inquiry.c
 *	  Scans the agenda of inquiries and claims what is due, account by account.
 *
 * While myfatoorah.poll_rate_limit is 0, no inquiry is planned.  When the worker
 * sees the setting raised, it plans inquiries about the invoices that were sent
 * meanwhile, in batches between its rounds.  At its start it does not: rows that were
 * loaded without the triggers of mf_invoice look the same, and mf_repair() is for those.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inquiry/inquiry.c
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/log_event.h"
#include "base/settings.h"
#include "flow/request_slots.h"
#include "flow/round_items.h"
#include "flow/time_share.h"
#include "inquiry/inquiry.h"
#include "inquiry/inquiry_internal.h"
#include "process/wait.h"
#include "store/inquiries_open.h"

/* A scan ends after so long, so that sending has its turn; the next one goes on from there. */
#define SCAN_NS INT64CONST(100000000)

/* The accounts of an owner, in the order of a scan */
typedef struct OwnerAccounts
{
	MfOwner    *owner;
	List	   *accounts;		/* of MfInquiryAccount */
	int			first;			/* the one that a scan begins with */
} OwnerAccounts;

static MfTimeShare scan_share;
static Oid	next_owner = InvalidOid;	/* the next scan begins with this one */

static int	limit_before = -1;	/* -1 = not known yet */
static bool planning = false;
static int64 planned_so_far = 0;
static MfUnpaidPosition planned_until;	/* after the batches so far */

static void scan_agenda(const MfSqlScope *scope, const MfClaim *claim, TimestampTz now);
static List *accounts_by_owner(const MfSqlScope *scope);
static bool claim_account(const MfSqlScope *scope, const MfClaim *claim, MfInquiryAccount *entry, TimestampTz now);
static bool find_account(MfInquiryClaim *inquiries);
static bool is_turn_of_sending(MfThrottle *throttle);
static int	claim_inquiries(MfInquiryClaim *inquiries, int slots, bool read_log);
static int	claim_invoices(MfInquiryClaim *inquiries, MfAsker asker, int limit);
static int	claim_events(MfInquiryClaim *inquiries, MfAsker asker, int limit);
static int	claim_callbacks(MfInquiryClaim *inquiries, int slots);
static int	claim_orders_and_polls(MfInquiryClaim *inquiries, int slots);
static int	claim_orders(MfInquiryClaim *inquiries, int slots);
static int	claim_orders_in_turn(MfInquiryClaim *inquiries, bool beyond_quota, int limit);
static bool is_due(TimestampTz due, TimestampTz now);
static bool has_due(const MfInquiryAccount *entry, TimestampTz now);
static void note_due(TimestampTz due, TimestampTz now);
static bool plan_batch(const MfSqlScope *scope, void *argument);

bool
mf_inquiry_has_work(void)
{
	return mf_inquiries.pending && !mf_inquiries.waiting && mf_time_share_allows(&scan_share);
}

TimestampTz
mf_inquiry_alarm(void)
{
	return mf_inquiries.pending && !mf_inquiries.waiting ? mf_time_share_time(&scan_share) : 0;
}

void
mf_inquiry_claim(const MfSqlScope *scope, const MfClaim *claim, TimestampTz now, TimestampTz *next_round)
{
	if (is_due(mf_inquiries.due, now))
	{
		mf_inquiries.pending = true;
		mf_inquiries.due = 0;
	}
	/* this round may have what the scan waits for; if not, the scan waits again */
	mf_inquiries.waiting = false;
	if (mf_inquiries.pending && mf_time_share_allows(&scan_share))
	{
		scan_agenda(scope, claim, now);
		(void) mf_items_left_out(MF_ITEM_INQUIRY, now, &mf_inquiries.due);
		(void) mf_items_left_out(MF_ITEM_EVENT, now, &mf_inquiries.due);
		(void) mf_items_left_out(MF_ITEM_DEPOSIT, now, &mf_inquiries.due);
	}
	*next_round = mf_earlier(*next_round, mf_inquiries.due);
}

/*
 * Claims what is due for all accounts, one of each owner in turn.  If slots or time run
 * out, the next scan goes on from there.
 */
static void
scan_agenda(const MfSqlScope *scope, const MfClaim *claim, TimestampTz now)
{
	List	   *owners;
	ListCell   *lc;
	int64		until;
	int			turn;
	bool		any = true;
	bool		had_slot;

	mf_inquiries.pending = false;
	mf_inquiries.due = 0;
	mf_time_share_begin(&scan_share);
	owners = accounts_by_owner(scope);
	mf_time_share_end(&scan_share);
	mf_slots_set_several_owners(list_length(owners) > 1);
	until = mf_http_clock() + SCAN_NS;
	for (turn = 0; any; turn++)
	{
		any = false;
		foreach(lc, owners)
		{
			OwnerAccounts *owned = (OwnerAccounts *) lfirst(lc);
			int			count = list_length(owned->accounts);
			int			position = owned->first + turn;
			MfInquiryAccount *account = (MfInquiryAccount *) list_nth(owned->accounts, position % count);

			if (turn >= count)
				continue;
			any = true;
			had_slot = claim_account(scope, claim, account, now);
			if (had_slot)
				account = (MfInquiryAccount *) list_nth(owned->accounts, (position + 1) % count);
			namestrcpy(&owned->owner->next_account, account->name);
			if (had_slot && (turn == 0 || mf_http_clock() < until))
				continue;

			/* without a slot, the rest waits for an answer */
			next_owner = owned->owner->role;
			mf_inquiries.pending = true;
			mf_inquiries.waiting = !had_slot;
			if (!had_slot)
				note_due(mf_slots_starved_until(), now);
			return;
		}
	}
}

/* Returns a List of OwnerAccounts, each to begin where the latest scan has ended. */
static List *
accounts_by_owner(const MfSqlScope *scope)
{
	List	   *accounts = mf_inquiries_accounts(scope);
	List	   *owners = NIL;
	OwnerAccounts *owned = NULL;
	ListCell   *lc;

	/* they are sorted by owner */
	foreach(lc, accounts)
	{
		MfInquiryAccount *account = (MfInquiryAccount *) lfirst(lc);

		if (owned == NULL || owned->owner->role != account->owner)
		{
			owned = (OwnerAccounts *) palloc0(sizeof(OwnerAccounts));
			owned->owner = mf_owner_get(account->owner);
			if (account->owner == next_owner)
				owners = lcons(owned, owners);
			else
				owners = lappend(owners, owned);
		}
		if (namestrcmp(&owned->owner->next_account, account->name) == 0)
			owned->first = list_length(owned->accounts);
		owned->accounts = lappend(owned->accounts, account);
	}
	return owners;
}

/*
 * Claims what is due for one account.  Returns false if the account may make an
 * inquiry and all accounts together have no slot left.
 */
static bool
claim_account(const MfSqlScope *scope, const MfClaim *claim, MfInquiryAccount *entry, TimestampTz now)
{
	MfInquiryClaim inquiries = {scope, claim, entry, NULL, NULL, now, 0};
	bool		read_log;
	MfThrottle *throttle;
	TimestampTz slots_at;
	int			slots;
	int			claimed;

	entry->paused |= claim->held;
	read_log = mf_missed_webhooks_wanted(entry, now, &mf_inquiries.due);
	if (entry->urgent_due == 0 && entry->poll_due == 0 && entry->event_due == 0 && entry->callback_due == 0 &&
		entry->order_due == 0 && entry->deposit_due == 0 && !read_log)
		return true;
	if (!find_account(&inquiries))
		return true;

	/* half of the slots are left to sending */
	throttle = inquiries.throttle;
	slots = mf_throttle_available(throttle, inquiries.account->max_in_flight, inquiries.account->rate_limit,
								  now, &slots_at);
	mf_inquiries.due = mf_earlier(mf_inquiries.due, slots_at);
	slots = (slots + 1) / 2;
	if (slots > 0 && mf_slots_inquiry_room(now) == 0 && (read_log || has_due(entry, now)))
		return false;
	mf_slots_set_owner(throttle, entry->owner);
	slots = mf_items_room(Min(slots, Min(mf_slots_inquiry_room(now), mf_slots_owner_room(throttle->owner, now))));
	if (slots == 1 && is_turn_of_sending(throttle))
	{
		mf_inquiries.pending = true;
		return true;
	}

	claimed = claim_inquiries(&inquiries, slots, read_log);
	note_due(mf_poll_rate_limit > 0 ? entry->poll_due : 0, now);
	note_due(entry->order_due, now);
	note_due(entry->urgent_due, now);
	note_due(entry->event_due, now);
	note_due(entry->callback_due, now);
	note_due(entry->deposit_due, now);

	/* there may be more behind what was claimed; without a free slot, an answer is awaited */
	throttle->inquiry.asked_last |= claimed > 0;
	if (claimed > 0)
		mf_inquiries.pending = true;
	else if (slots == 0 && slots_at == 0)
		mf_inquiries.pending = mf_inquiries.waiting = true;
	return true;
}

/* Finds the account and its throttle.  Returns false, and notes when to try again, if no inquiry can be made. */
static bool
find_account(MfInquiryClaim *inquiries)
{
	MfThrottle *throttle = mf_throttle_get(inquiries->entry->name);

	inquiries->throttle = throttle;
	inquiries->account = mf_claim_account(inquiries->scope, throttle, inquiries->entry->paused, inquiries->now);
	if (inquiries->account == NULL)
	{
		mf_inquiries.due = mf_earlier(mf_inquiries.due, throttle->paused ? 0 : throttle->retry_at);
		return false;
	}
	if (throttle->inquire_at > inquiries->now)
	{
		mf_inquiries.due = mf_earlier(mf_inquiries.due, throttle->inquire_at);
		return false;
	}
	if (mf_items_room(1) == 0)
	{
		mf_inquiries.pending = true;
		return false;
	}
	return true;
}

/*
 * With one slot, inquiries and sends alternate, so that failing inquiries cannot
 * starve sending.  Returns true, and counts the turn, if it is the turn of a send.
 */
static bool
is_turn_of_sending(MfThrottle *throttle)
{
	if (throttle->window == 1 && throttle->claim.has_sends && throttle->inquiry.asked_last)
	{
		throttle->inquiry.asked_last = false;
		return true;
	}
	return false;
}

/* Claims up to "slots" inquiries, the most urgent kinds first.  Returns how many. */
static int
claim_inquiries(MfInquiryClaim *inquiries, int slots, bool read_log)
{
	const MfInquiryAccount *entry = inquiries->entry;
	int			claimed = 0;

	if (slots > 0 && is_due(entry->urgent_due, inquiries->now))
		claimed += claim_invoices(inquiries, MF_ASKED_BY_PROOF, slots);
	if (claimed < slots && is_due(entry->event_due, inquiries->now))
		claimed += claim_events(inquiries, MF_ASKED_BY_PROOF, slots - claimed);
	if (claimed < slots && read_log)
		claimed += mf_missed_webhooks_ask(inquiries->scope, inquiries->claim, inquiries->account);
	if (claimed < slots && is_due(entry->callback_due, inquiries->now))
		claimed += claim_callbacks(inquiries, slots - claimed);
	if (claimed < slots)
		claimed += claim_orders_and_polls(inquiries, slots - claimed);
	if (claimed < slots && is_due(entry->deposit_due, inquiries->now))
		claimed += mf_deposit_ask(inquiries->scope, inquiries->claim, inquiries->account, inquiries->now);
	return claimed;
}

static int
claim_invoices(MfInquiryClaim *inquiries, MfAsker asker, int limit)
{
	List	   *jobs = mf_inquiries_claim(inquiries->scope, inquiries->entry->name, asker, limit, inquiries->now);

	return mf_inquiry_create_flights(inquiries, jobs);
}

static int
claim_events(MfInquiryClaim *inquiries, MfAsker asker, int limit)
{
	List	   *jobs = mf_inquiries_claim_events(inquiries->scope, inquiries->entry->name, asker, limit, inquiries->now);

	return mf_inquiry_create_flights(inquiries, jobs);
}

/* Claims inquiries that only callbacks ask for: about invoices first, whose addresses few people know. */
static int
claim_callbacks(MfInquiryClaim *inquiries, int slots)
{
	TimestampTz retry_at;
	int			limit = mf_throttle_budget(inquiries->throttle, MF_BUDGET_CALLBACKS, slots, inquiries->now, &retry_at);
	int			flights_before = inquiries->flight_count;
	int			claimed = 0;

	mf_inquiries.due = mf_earlier(mf_inquiries.due, retry_at);
	if (limit > 0)
		claimed = claim_invoices(inquiries, MF_ASKED_BY_CALLBACK, limit);
	if (claimed < limit)
		claimed += claim_events(inquiries, MF_ASKED_BY_CALLBACK, limit - claimed);
	mf_throttle_spend(inquiries->throttle, MF_BUDGET_CALLBACKS, inquiries->flight_count - flights_before);
	return claimed;
}

/* Claims orders of roles and planned inquiries, half of the slots each; single slots alternate. */
static int
claim_orders_and_polls(MfInquiryClaim *inquiries, int slots)
{
	MfThrottle *throttle = inquiries->throttle;
	TimestampTz now = inquiries->now;
	int			claimed = 0;
	int			polls = 0;
	int			flights_before;

	if (is_due(inquiries->entry->poll_due, now))
	{
		TimestampTz retry_at;

		polls = mf_throttle_budget(throttle, MF_BUDGET_POLLS, slots, now, &retry_at);
		mf_inquiries.due = mf_earlier(mf_inquiries.due, retry_at);
	}
	if (is_due(inquiries->entry->order_due, now))
	{
		int			share = polls == 0 ? slots : (slots + (throttle->inquiry.polled_last ? 1 : 0)) / 2;

		throttle->inquiry.polled_last = share == 0;
		mf_inquiries.pending |= share == 0;
		claimed = claim_orders(inquiries, share);
	}
	polls = Min(polls, slots - claimed);
	if (polls == 0)
		return claimed;
	flights_before = inquiries->flight_count;
	claimed += claim_invoices(inquiries, MF_ASKED_BY_POLLER, polls);
	/* inquiries without a usable key do not use up the budget */
	mf_throttle_spend(throttle, MF_BUDGET_POLLS, inquiries->flight_count - flights_before);
	return claimed;
}

/* Claims orders within the quotas of roles, then those beyond, within one budget for all roles. */
static int
claim_orders(MfInquiryClaim *inquiries, int slots)
{
	int			claimed = claim_orders_in_turn(inquiries, false, slots);
	int			flights_before = inquiries->flight_count;
	TimestampTz retry_at;
	int			limit;

	if (claimed == slots)
		return claimed;
	limit = mf_throttle_budget(inquiries->throttle, MF_BUDGET_ORDERS, slots - claimed, inquiries->now, &retry_at);
	mf_inquiries.due = mf_earlier(mf_inquiries.due, retry_at);
	if (limit > 0)
		claimed += claim_orders_in_turn(inquiries, true, limit);
	mf_throttle_spend(inquiries->throttle, MF_BUDGET_ORDERS, inquiries->flight_count - flights_before);
	return claimed;
}

/* Claims one order of each role in turn.  The next claim begins with the role that follows. */
static int
claim_orders_in_turn(MfInquiryClaim *inquiries, bool beyond_quota, int limit)
{
	Oid		   *ordered_by = &inquiries->throttle->inquiry.ordered_by;
	Oid			first = *ordered_by + 1;
	Oid			latest = first;
	List	   *jobs = mf_inquiries_claim_orders(inquiries->scope, inquiries->account->name, beyond_quota, *ordered_by,
												 limit, inquiries->now);
	ListCell   *lc;

	foreach(lc, jobs)
	{
		Oid			role = ((MfInquiryJob *) lfirst(lc))->ordered_by;

		/* unsigned: roles before the first come after the others */
		if (role - first > latest - first)
			latest = role;
	}
	if (jobs != NIL)
		*ordered_by = latest;
	return mf_inquiry_create_flights(inquiries, jobs);
}

static bool
is_due(TimestampTz due, TimestampTz now)
{
	return due != 0 && due <= now;
}

static bool
has_due(const MfInquiryAccount *entry, TimestampTz now)
{
	return is_due(entry->urgent_due, now) || is_due(entry->event_due, now) || is_due(entry->callback_due, now) ||
		is_due(entry->order_due, now) || is_due(entry->deposit_due, now) || (mf_poll_rate_limit > 0 && is_due(entry->poll_due, now));
}

/* Notes when something will be due; 0 or past = nothing to note */
static void
note_due(TimestampTz due, TimestampTz now)
{
	if (due > now)
		mf_inquiries.due = mf_earlier(mf_inquiries.due, due);
}

void
mf_inquiry_catch_up_settings(void)
{
	if (limit_before == 0 && mf_poll_rate_limit > 0)
	{
		planning = true;
		planned_so_far = 0;
		memset(&planned_until, 0, sizeof(planned_until));
	}
	if (limit_before != mf_poll_rate_limit)
		mf_inquiry_wake();
	limit_before = mf_poll_rate_limit;
}

void
mf_inquiry_catch_up_attend(MfRunTransaction run_apart, TimestampTz *next_round)
{
	uint64		planned = 0;
	char	   *error;

	if (!planning)
		return;
	if (!run_apart(plan_batch, &planned, &error) && error != NULL)
		ereport(LOG,
				(mf_log_event("catch_up_failed",
							  "could not plan inquiries about invoices that were sent "
							  "while myfatoorah.poll_rate_limit was 0"),
				 errdetail_internal("%s", error),
				 errhint("When the cause is removed, run SELECT * FROM mf_repair().")));
	planning = planned > 0;
	planned_so_far += (int64) planned;
	mf_progress_report(MF_PROGRESS_CATCH_UP, planned_so_far, -1);
	if (!planning)
		mf_progress_end(MF_PROGRESS_CATCH_UP);
	else
	{
		mf_inquiry_wake();
		*next_round = mf_earlier(*next_round, GetCurrentTimestamp());
	}
}

static bool
plan_batch(const MfSqlScope *scope, void *argument)
{
	*(uint64 *) argument = mf_inquiries_open_batch(scope, &planned_until);
	return true;
}
