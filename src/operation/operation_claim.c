/*
 * operation_claim.c
 *	  Claims refunds, captures and releases that are due, account by account.
 *
 * They are few: the accounts that have some are read in each scan, and a scan is made
 * when a commit has changed one, or when the next one is due.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/operation/operation_claim.c
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "account/account.h"
#include "base/compat.h"
#include "base/failpoint.h"
#include "flow/request_slots.h"
#include "flow/round_items.h"
#include "operation/operation_internal.h"
#include "process/wait.h"
#include "store/queue_pause.h"

/* Rows of one account in one round */
#define CLAIM_LIMIT 50

/* What is due and locked, or without a slot, is tried again after these. */
#define LOCKED_DELAY_MS 1000
#define BUSY_DELAY_MS 100

static void scan(const MfSqlScope *scope, const MfClaim *claim, TimestampTz now);
static void claim_account(const MfSqlScope *scope, const MfClaim *claim, const char *name, bool paused, TimestampTz now);
static bool is_turn_of_sending(MfThrottle *throttle);
static void note_due(TimestampTz due);

void
mf_operation_wake(void)
{
	mf_operations.pending = true;
}

bool
mf_operation_has_work(void)
{
	return mf_operations.pending;
}

void
mf_operation_claim(const MfSqlScope *scope, const MfClaim *claim, TimestampTz now, TimestampTz *next_round)
{
	if (mf_operations.pending || (mf_operations.due != 0 && mf_operations.due <= now))
		scan(scope, claim, now);
	*next_round = mf_earlier(*next_round, mf_operations.due);
}

static void
scan(const MfSqlScope *scope, const MfClaim *claim, TimestampTz now)
{
	List	   *accounts;
	const char **names;
	List	   *paused;
	ListCell   *lc;

	mf_operations.pending = false;
	mf_operations.due = 0;
	accounts = mf_operations_accounts(scope);
	if (accounts == NIL)
		return;
	names = (const char **) palloc(list_length(accounts) * sizeof(char *));
	foreach(lc, accounts)
		names[foreach_current_index(lc)] = ((MfDueAccount *) lfirst(lc))->account;
	paused = mf_queue_paused_accounts(scope, names, list_length(accounts));
	foreach(lc, accounts)
	{
		const MfDueAccount *entry = (const MfDueAccount *) lfirst(lc);

		if (entry->due > now)
			note_due(entry->due);
		else
			claim_account(scope, claim, entry->account, claim->held || mf_queue_is_paused(paused, entry->account), now);
	}
}

/* Claims what is due for one account, or notes when to try again.  A pause ends with a wake-up. */
static void
claim_account(const MfSqlScope *scope, const MfClaim *claim, const char *name, bool paused, TimestampTz now)
{
	MfThrottle *throttle = mf_throttle_get(name);
	const MfAccount *account = mf_claim_account(scope, throttle, paused, now);
	TimestampTz slots_at;
	List	   *rows;
	int			slots;

	if (account == NULL)
	{
		if (!throttle->paused)
			note_due(Max(throttle->retry_at, TimestampTzPlusMilliseconds(now, BUSY_DELAY_MS)));
		return;
	}
	(void) mf_throttle_available(throttle, account->max_in_flight, account->rate_limit, now, &slots_at);
	slots = Min((mf_throttle_unclaimed(throttle) + 1) / 2, mf_slots_free(now) - mf_slots_ready_count());
	slots = mf_flight_room(throttle, mf_items_room(Min(slots, CLAIM_LIMIT)));
	if (slots <= 0 || (slots == 1 && is_turn_of_sending(throttle)))
	{
		note_due(slots_at > now ? slots_at : TimestampTzPlusMilliseconds(now, BUSY_DELAY_MS));
		return;
	}
	rows = mf_operations_claim(scope, name, slots, now);
	if (rows == NIL)
	{
		note_due(TimestampTzPlusMilliseconds(now, LOCKED_DELAY_MS));
		return;
	}
	MF_FAILPOINT("operation_claimed");
	mf_operation_decide(scope, claim, account, rows, now);
	MF_FAILPOINT("operation_intent_recorded");
	throttle->operated_last = true;
	/* there may be more behind what was claimed */
	mf_operations.pending = true;
}

/* With one slot, these and sends alternate.  Returns true, and counts the turn, if it is the turn of a send. */
static bool
is_turn_of_sending(MfThrottle *throttle)
{
	bool		yields = throttle->claim.has_sends && throttle->operated_last;

	throttle->operated_last = false;
	return yields;
}

static void
note_due(TimestampTz due)
{
	mf_operations.due = mf_earlier(mf_operations.due, due);
}
