/*
 * inquiry.c
 *	  The one reader of payments: what is due becomes questions.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inquiry/inquiry.c
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "account/account.h"
#include "base/compat.h"
#include "base/encoding.h"
#include "base/failpoint.h"
#include "base/settings.h"
#include "flow/inquiry_alarm.h"
#include "flow/request_slots.h"
#include "flow/round_items.h"
#include "flow/time_share.h"
#include "inquiry/inquiry.h"
#include "inquiry/missed_webhooks.h"
#include "process/process.h"
#include "process/wait.h"
#include "process/worker_slots.h"
#include "request/request.h"
#include "store/events.h"

/* An invoice that is not sent yet is looked at again after this, doubled each time; it is due once it is sent. */
#define NOT_SENT_DELAY_MS 1000
#define NOT_SENT_DOUBLINGS 12

/* One about which a question is under way, likewise. */
#define UNDER_WAY_DELAY_MS 5000

/* One whose key cannot be used; less often if it is the poller's.  A key that comes makes them due. */
#define NO_KEY_DELAY_MS 60000
#define NO_KEY_POLL_DELAY_MS 480000

/* the agenda is to be looked at; not before a request has landed; by itself at that time */

/*
 * A look is at all accounts, one of each owner in turn, from those on at which the
 * latest had no slot left, or took too long.
 */
#define LOOK_NS INT64CONST(100000000)

/* The accounts of an owner, in the order of a look */
typedef struct OwnerAccounts
{
	MfOwner    *owner;
	List	   *accounts;		/* of MfInquiryAccount */
	int			first;
} OwnerAccounts;

static MfTimeShare look_pace;
static Oid	look_from = InvalidOid;	/* the owner that is the first one */

/* Invoices whose refunds may be asked for next */
static HTAB *confirmed = NULL;

static bool take_confirmed(int64 invoice);
static void look(const MfSqlScope *scope, const MfClaim *claim, TimestampTz now);
static List *accounts_by_owner(const MfSqlScope *scope);
static bool look_at(const MfSqlScope *scope, const MfClaim *claim, MfInquiryAccount *account, TimestampTz now);
static bool claim_account(const MfSqlScope *scope, const MfClaim *claim, const MfInquiryAccount *entry,
						  TimestampTz now);
static int	take_jobs(const MfSqlScope *scope, const MfClaim *claim, const MfAccount *account, List *jobs,
					  TimestampTz now, int *asked);
static const MfClaimTarget *find_target(const MfClaim *claim, const MfInquiryJob *job, const char *account, List **targets);
static int	take_callbacks(const MfSqlScope *scope, const MfClaim *claim, const MfAccount *account, MfThrottle *throttle,
						   int slots, TimestampTz now, int *asked);
static int	take_orders_and_polls(const MfSqlScope *scope, const MfClaim *claim, const MfAccount *account, MfThrottle *throttle,
								  const MfInquiryAccount *entry, int slots, TimestampTz now, int *asked);
static int	take_orders(const MfSqlScope *scope, const MfClaim *claim, const MfAccount *account, MfThrottle *throttle,
						int slots, TimestampTz now, int *asked);
static int	take_ordered(const MfSqlScope *scope, const MfClaim *claim, const MfAccount *account, MfThrottle *throttle,
						 bool too_often, int limit, TimestampTz now, int *asked);
static bool is_due(const MfInquiryAccount *entry, TimestampTz now);
static void come_back_if_due(TimestampTz due, TimestampTz now);

void
mf_inquiry_start(void)
{
	mf_inquiries.pending = true;
	mf_missed_webhooks_start();
}

bool
mf_inquiry_pending(void)
{
	return mf_inquiries.pending;
}

bool
mf_inquiry_has_work(void)
{
	return mf_inquiries.pending && !mf_inquiries.waiting && mf_time_share_allows(&look_pace);
}

TimestampTz
mf_inquiry_alarm(void)
{
	return mf_inquiries.pending && !mf_inquiries.waiting ? mf_time_share_time(&look_pace) : 0;
}

void
mf_inquiry_claim(const MfSqlScope *scope, const MfClaim *claim, TimestampTz now, TimestampTz *again)
{
	if (mf_inquiries.due != 0 && now >= mf_inquiries.due)
	{
		mf_inquiries.pending = true;
		mf_inquiries.due = 0;
	}
	/* what it waited for may be this round: too early, it comes back by the alarm */
	mf_inquiries.waiting = false;
	if (mf_inquiries.pending && mf_time_share_allows(&look_pace))
	{
		look(scope, claim, now);
		(void) mf_items_left_out(MF_ITEM_INQUIRY, now, &mf_inquiries.due);
		(void) mf_items_left_out(MF_ITEM_EVENT, now, &mf_inquiries.due);
	}
	*again = mf_earlier(*again, mf_inquiries.due);
}

/*
 * Looks at all accounts and claims what is due for each.  A look that ends early is
 * gone on with by the next one: each owner's from the first account that had no turn.
 */
static void
look(const MfSqlScope *scope, const MfClaim *claim, TimestampTz now)
{
	List	   *owners;
	ListCell   *lc;
	int64		until;
	int			turn;
	bool		any = true;
	bool		looked;

	mf_inquiries.pending = false;
	mf_inquiries.due = 0;
	mf_time_share_begin(&look_pace);
	owners = accounts_by_owner(scope);
	mf_time_share_end(&look_pace);
	mf_slots_set_several_owners(list_length(owners) > 1);
	until = mf_http_clock() + LOOK_NS;
	for (turn = 0; any; turn++)
	{
		any = false;
		foreach(lc, owners)
		{
			OwnerAccounts *owned = (OwnerAccounts *) lfirst(lc);
			int			count = list_length(owned->accounts);
			MfInquiryAccount *account = (MfInquiryAccount *) list_nth(owned->accounts, (owned->first + turn) % count);

			if (turn >= count)
				continue;
			any = true;
			looked = look_at(scope, claim, account, now);
			if (looked)
				account = (MfInquiryAccount *) list_nth(owned->accounts, (owned->first + turn + 1) % count);
			namestrcpy(&owned->owner->next_account, account->name);
			if (looked && (turn == 0 || mf_http_clock() < until))
				continue;
			/* what is left waits for its time or, if there is no slot, for a landing */
			look_from = owned->owner->role;
			mf_inquiries.pending = true;
			mf_inquiries.waiting = !looked;
			return;
		}
	}
}

/* List of OwnerAccounts, each from where the latest look has stopped. */
static List *
accounts_by_owner(const MfSqlScope *scope)
{
	List	   *accounts = mf_inquiries_accounts(scope);
	List	   *owners = NIL;
	OwnerAccounts *owned = NULL;
	ListCell   *lc;

	/* they come by owner */
	foreach(lc, accounts)
	{
		MfInquiryAccount *account = (MfInquiryAccount *) lfirst(lc);

		if (owned == NULL || owned->owner->role != account->owner)
		{
			owned = (OwnerAccounts *) palloc0(sizeof(OwnerAccounts));
			owned->owner = mf_owner_get(account->owner);
			if (account->owner == look_from)
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

/* The account of an owner whose turn it is; false if all accounts together have no slot left for it. */
static bool
look_at(const MfSqlScope *scope, const MfClaim *claim, MfInquiryAccount *account, TimestampTz now)
{
	account->paused |= claim->held;
	if (claim_account(scope, claim, account, now))
		return true;

	come_back_if_due(mf_slots_starved_until(), now);
	return false;
}

/*
 * What is due for one account: the urgent, then events, then within their budgets
 * what callbacks ask for, what roles have ordered, and the poller.  False if the
 * account has a slot for it, and all accounts together have none left.
 */
static bool
claim_account(const MfSqlScope *scope, const MfClaim *claim, const MfInquiryAccount *entry,
			  TimestampTz now)
{
	bool		log = mf_missed_webhooks_wanted(entry, now, &mf_inquiries.due);
	MfThrottle *throttle;
	const MfAccount *account;
	TimestampTz retry;
	int			slots;
	int			claimed = 0;
	int			asked = 0;

	if (entry->urgent_due == 0 && entry->poll_due == 0 && entry->event_due == 0 && entry->callback_due == 0 &&
		entry->order_due == 0 && !log)
		return true;
	throttle = mf_throttle_get(entry->name);
	account = mf_claim_account(throttle, entry->paused, now);
	if (account == NULL)
	{
		mf_inquiries.due = mf_earlier(mf_inquiries.due, throttle->paused ? 0 : throttle->retry_at);
		return true;
	}
	if (throttle->inquire_at > now)
	{
		mf_inquiries.due = mf_earlier(mf_inquiries.due, throttle->inquire_at);
		return true;
	}

	if (mf_items_room(1) == 0)
	{
		mf_inquiries.pending = true;
		return true;
	}

	/* sending has its half */
	slots = mf_throttle_available(throttle, account->max_in_flight, account->rate_limit, now, &retry);
	mf_inquiries.due = mf_earlier(mf_inquiries.due, retry);
	slots = (slots + 1) / 2;
	if (slots > 0 && mf_slots_inquiry_room(now) == 0 && (log || is_due(entry, now)))
		return false;
	mf_slots_set_owner(throttle, entry->owner);
	slots = mf_items_room(Min(slots, Min(mf_slots_inquiry_room(now), mf_slots_owner_room(throttle->owner, now))));

	/* of a single slot, its turn: an account that only answers inquiries badly goes on sending */
	if (slots == 1 && throttle->window == 1 && throttle->claim.has_sends && throttle->inquiry.asked_last)
	{
		throttle->inquiry.asked_last = false;
		mf_inquiries.pending = true;
		return true;
	}

	if (slots > 0 && entry->urgent_due != 0 && entry->urgent_due <= now)
		claimed += take_jobs(scope, claim, account, mf_inquiries_claim(scope, entry->name, MF_ASKED_BY_PROOF, slots, now), now, &asked);
	if (claimed < slots && entry->event_due != 0 && entry->event_due <= now)
		claimed += take_jobs(scope, claim, account,
							 mf_inquiries_claim_events(scope, entry->name, MF_ASKED_BY_PROOF, slots - claimed, now), now, &asked);
	if (claimed < slots && log)
		claimed += mf_missed_webhooks_ask(scope, claim, account, now);
	if (claimed < slots && entry->callback_due != 0 && entry->callback_due <= now)
		claimed += take_callbacks(scope, claim, account, throttle, slots - claimed, now, &asked);
	if (claimed < slots)
		claimed += take_orders_and_polls(scope, claim, account, throttle, entry, slots - claimed, now, &asked);
	come_back_if_due(mf_poll_rate_limit > 0 ? entry->poll_due : 0, now);
	come_back_if_due(entry->order_due, now);
	come_back_if_due(entry->urgent_due, now);
	come_back_if_due(entry->event_due, now);
	come_back_if_due(entry->callback_due, now);

	throttle->inquiry.asked_last |= claimed > 0;

	/* there may be more behind what was taken; where no slot was free, a landing makes one */
	if (claimed > 0)
		mf_inquiries.pending = true;
	else if (slots == 0 && retry == 0)
		mf_inquiries.pending = mf_inquiries.waiting = true;
	return true;
}

/* What only callbacks ask for: of invoices first, whose addresses are known to few. */
static int
take_callbacks(const MfSqlScope *scope, const MfClaim *claim, const MfAccount *account, MfThrottle *throttle, int slots,
			   TimestampTz now, int *asked)
{
	TimestampTz retry;
	int 		limit = mf_throttle_budget(throttle, MF_BUDGET_CALLBACKS, slots, now, &retry);
	int			asked_before = *asked;
	int			claimed = 0;

	mf_inquiries.due = mf_earlier(mf_inquiries.due, retry);
	if (limit > 0)
		claimed = take_jobs(scope, claim, account,
							mf_inquiries_claim(scope, account->name, MF_ASKED_BY_CALLBACK, limit, now), now, asked);
	if (claimed < limit)
		claimed += take_jobs(scope, claim, account,
							 mf_inquiries_claim_events(scope, account->name, MF_ASKED_BY_CALLBACK, limit - claimed, now), now,
							 asked);
	mf_throttle_spend(throttle, MF_BUDGET_CALLBACKS, *asked - asked_before);
	return claimed;
}

/* What roles have ordered, then the poller, to which they leave half of the slots, and every other one of single ones. */
static int
take_orders_and_polls(const MfSqlScope *scope, const MfClaim *claim, const MfAccount *account, MfThrottle *throttle,
					  const MfInquiryAccount *entry, int slots, TimestampTz now, int *asked)
{
	int			claimed = 0;
	int			polls = 0;
	int			asked_before;

	if (entry->poll_due != 0 && entry->poll_due <= now)
	{
		TimestampTz retry;

		polls = mf_throttle_budget(throttle, MF_BUDGET_POLLS, slots, now, &retry);
		mf_inquiries.due = mf_earlier(mf_inquiries.due, retry);
	}
	if (entry->order_due != 0 && entry->order_due <= now)
	{
		int 		share = polls == 0 ? slots : (slots + (throttle->inquiry.polled_last ? 1 : 0)) / 2;

		throttle->inquiry.polled_last = share == 0;
		mf_inquiries.pending |= share == 0;
		claimed = take_orders(scope, claim, account, throttle, share, now, asked);
	}
	polls = Min(polls, slots - claimed);
	if (polls == 0)
		return claimed;
	asked_before = *asked;
	claimed += take_jobs(scope, claim, account, mf_inquiries_claim(scope, entry->name, MF_ASKED_BY_POLLER, polls, now), now, asked);
	/* those without a key cost the others nothing */
	mf_throttle_spend(throttle, MF_BUDGET_POLLS, *asked - asked_before);
	return claimed;
}

/* What roles have ordered within their own budgets, then what is beyond, within one for all of them. */
static int
take_orders(const MfSqlScope *scope, const MfClaim *claim, const MfAccount *account, MfThrottle *throttle, int slots,
			TimestampTz now, int *asked)
{
	int 		claimed = take_ordered(scope, claim, account, throttle, false, slots, now, asked);
	int			asked_before = *asked;
	TimestampTz retry;
	int			limit;

	if (claimed == slots)
		return claimed;
	limit = mf_throttle_budget(throttle, MF_BUDGET_ORDERS, slots - claimed, now, &retry);
	mf_inquiries.due = mf_earlier(mf_inquiries.due, retry);
	if (limit > 0)
		claimed += take_ordered(scope, claim, account, throttle, true, limit, now, asked);
	mf_throttle_spend(throttle, MF_BUDGET_ORDERS, *asked - asked_before);
	return claimed;
}

/* One of each role in turn, which goes on from there the next time. */
static int
take_ordered(const MfSqlScope *scope, const MfClaim *claim, const MfAccount *account, MfThrottle *throttle, bool too_often,
			 int limit, TimestampTz now, int *asked)
{
	Oid 		first = throttle->inquiry.ordered_by + 1;
	Oid			latest = first;
	List	   *jobs = mf_inquiries_claim_orders(scope, account->name, too_often, throttle->inquiry.ordered_by, limit, now);
	ListCell   *lc;

	foreach(lc, jobs)
	{
		Oid			role = ((MfInquiryJob *) lfirst(lc))->ordered_by;

		/* unsigned: those before the first come after the others */
		if (role - first > latest - first)
			latest = role;
	}
	if (jobs != NIL)
		throttle->inquiry.ordered_by = latest;
	return take_jobs(scope, claim, account, jobs, now, asked);
}

static bool
is_due(const MfInquiryAccount *entry, TimestampTz now)
{
	return (entry->urgent_due != 0 && entry->urgent_due <= now) ||
		(entry->event_due != 0 && entry->event_due <= now) ||
		(entry->callback_due != 0 && entry->callback_due <= now) ||
		(entry->order_due != 0 && entry->order_due <= now) ||
		(mf_poll_rate_limit > 0 && entry->poll_due != 0 && entry->poll_due <= now);
}

static void
come_back_if_due(TimestampTz due, TimestampTz now)
{
	if (due > now)
		mf_inquiries.due = mf_earlier(mf_inquiries.due, due);
}

/*
 * Turns claimed inquiries into flights, which are counted in *asked; how many were
 * dealt with.  Their entries stay, due again when no answer can come any more, so
 * that a crash only repeats the question.
 */
static int
take_jobs(const MfSqlScope *scope, const MfClaim *claim, const MfAccount *account, List *jobs, TimestampTz now,
		  int *asked)
{
	int			limit = list_length(jobs);
	MfInquiryNext *next = (MfInquiryNext *) palloc0(Max(limit, 1) * sizeof(MfInquiryNext));
	MfEventNext *events = (MfEventNext *) palloc0(Max(limit, 1) * sizeof(MfEventNext));
	TimestampTz lease = TimestampTzPlusMilliseconds(now, account->connect_timeout_ms + account->timeout_ms +
													MF_SEND_MARGIN_MS + MF_LEASE_MARGIN_MS);
	List	   *targets = NIL;
	int			next_count = 0;
	int			event_count = 0;
	ListCell   *lc;

	foreach(lc, jobs)
	{
		MfInquiryJob *job = (MfInquiryJob *) lfirst(lc);
		MfJobKind	kind = job->event != 0 ? MF_JOB_PAYMENT_ID :
			job->refunds && job->paid && take_confirmed(job->invoice) ? MF_JOB_REFUNDS : MF_JOB_INQUIRY;
		const MfClaimTarget *target = NULL;
		bool		leaves = false;
		TimestampTz due = lease;
		char	   *body;
		size_t		body_len;
		const char *error = NULL;
		MfFlight   *flight;

		if (job->gone)
			due = 0;
		else if (job->key == NULL)
			due = TimestampTzPlusMilliseconds(now, (int64) NOT_SENT_DELAY_MS << Min(job->tries++, NOT_SENT_DOUBLINGS));
		else if (job->event == 0 && mf_flight_under_way(job->invoice, true))
			due = TimestampTzPlusMilliseconds(now, UNDER_WAY_DELAY_MS);
		else if ((target = find_target(claim, job, account->name, &targets))->target == NULL)
		{
			due = target->until != 0 ? target->until :
				TimestampTzPlusMilliseconds(now, job->urgent ? NO_KEY_DELAY_MS : NO_KEY_POLL_DELAY_MS);
			error = target->until != 0 ? NULL : target->error;
		}
		else
		{
			const char *key = mf_to_utf8(job->key);

			body = kind == MF_JOB_REFUNDS ? mf_refund_status_body(key, "InvoiceId", &body_len) :
				mf_payment_status_body(key, kind == MF_JOB_PAYMENT_ID && !job->by_invoice ? "PaymentId" : "InvoiceId", &body_len);
			flight = mf_flight_create_inquiry(claim->memory, kind, job, account, target->target, body, body_len);
			dlist_push_tail(claim->claimed, &flight->node);
			mf_slots_count_inquiries(flight->throttle, 1);
			(*asked)++;
			leaves = true;
		}

		if (job->event != 0)
		{
			events[event_count].event = job->event;
			events[event_count].tries = job->tries;
			events[event_count].failures = job->failures;
			events[event_count++].due = due;
		}
		else
		{
			MfInquiryNext *entry = &next[next_count++];

			entry->invoice = job->invoice;
			entry->requests = job->requests;
			entry->done = job->gone;
			entry->due = due;
			entry->urgent = job->urgent;
			/* once the question has left, nobody has asked since */
			entry->by_callback = job->by_callback || leaves;
			entry->refunds = job->refunds;
			entry->tries = job->tries;
			entry->step = job->step;
			entry->failures = job->failures;
			entry->error = error;
			entry->wait = error == NULL;
		}
		mf_inquiries.due = mf_earlier(mf_inquiries.due, due);
	}
	if (next_count > 0)
		mf_inquiries_reschedule(scope, next, next_count);
	if (event_count > 0)
		mf_events_resolve(scope, events, event_count);
	return limit;
}

/*
 * The key that a question is asked with.  Whose PaymentId an event has is not a row's
 * affair: if the key of the row that it may be about cannot be used, PUBLIC's can.
 */
static const MfClaimTarget *
find_target(const MfClaim *claim, const MfInquiryJob *job, const char *account, List **targets)
{
	const MfClaimTarget *target = mf_claim_target(claim->http, account, job->owner, true, targets);

	if (target->target == NULL && job->event != 0)
		target = mf_claim_target(claim->http, account, mf_public_key, true, targets);
	return target;
}

void
mf_inquiry_confirm(int64 invoice)
{
	if (confirmed == NULL)
	{
		HASHCTL		control = {0};

		control.keysize = control.entrysize = sizeof(int64);
		confirmed = hash_create("myfatoorah confirmed invoices", 64, &control, HASH_ELEM | HASH_BLOBS);
	}
	(void) hash_search(confirmed, &invoice, HASH_ENTER, NULL);
}

bool
mf_inquiry_is_confirmed(int64 invoice)
{
	return confirmed != NULL && hash_search(confirmed, &invoice, HASH_FIND, NULL) != NULL;
}

/* Once only: later the account may be another. */
static bool
take_confirmed(int64 invoice)
{
	return confirmed != NULL && hash_search(confirmed, &invoice, HASH_REMOVE, NULL) != NULL;
}
