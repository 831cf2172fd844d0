/*
 * account_turns.c
 *	  Which accounts may have something due to be sent, and whose turn it is.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/flight/account_turns.c
 */
#include "postgres.h"

#include "lib/pairingheap.h"
#include "utils/memutils.h"

#include "account/account.h"
#include "flight/account_turns.h"
#include "flow/request_slots.h"
#include "flow/time_share.h"
#include "process/wait.h"
#include "store/queue.h"

static dlist_head line = DLIST_STATIC_INIT(line);	/* owners with accounts in line, by turn_node */
static int	line_length = 0;	/* of accounts */
static dlist_head taken = DLIST_STATIC_INIT(taken); /* accounts that had their turn in this round, by turn.node */
static dlist_head full = DLIST_STATIC_INIT(full);	/* accounts that wait for a slot, by turn.full_node */
static pairingheap *alarms = NULL;	/* of accounts, by turn.alarm_node */
static bool all_changed = true; /* the agenda of any account may have changed */
static MfTimeShare scan_share;

static int	compare_alarms(const pairingheap_node *a, const pairingheap_node *b, void *arg);
static void clear_alarm(MfThrottle *throttle);
static void join_line(MfThrottle *throttle, bool first);
static void find_owners(void);
static void scan_agenda(const MfSqlScope *scope, TimestampTz now);

void
mf_turns_changed(const char *account)
{
	mf_turns_due(mf_throttle_get(account));
}

void
mf_turns_all_changed(void)
{
	all_changed = true;
}

void
mf_turns_due(MfThrottle *throttle)
{
	if (throttle->turn.in_line)
		return;
	if (throttle->turn.taken)
		dlist_delete(&throttle->turn.node);
	throttle->turn.taken = false;
	join_line(throttle, false);
}

/* Puts an account at the head or tail of its owner's line, and its owner into the line of owners. */
static void
join_line(MfThrottle *throttle, bool first)
{
	MfOwner    *owner = throttle->owner;

	throttle->turn.in_line = true;
	line_length++;
	if (owner->line_length++ > 0 && first)
		dlist_delete(&owner->turn_node);
	if (first)
	{
		dlist_push_head(&owner->line, &throttle->turn.node);
		dlist_push_head(&line, &owner->turn_node);
		return;
	}
	dlist_push_tail(&owner->line, &throttle->turn.node);
	if (owner->line_length == 1)
		dlist_push_tail(&line, &owner->turn_node);
}

static void
leave_line(MfThrottle *throttle)
{
	dlist_delete(&throttle->turn.node);
	throttle->turn.in_line = false;
	line_length--;
	if (--throttle->owner->line_length == 0)
		dlist_delete(&throttle->owner->turn_node);
}

void
mf_turns_due_at(MfThrottle *throttle, TimestampTz at)
{
	if (at == 0 || throttle->turn.in_line || (throttle->turn.alarm != 0 && throttle->turn.alarm <= at))
		return;
	clear_alarm(throttle);
	if (alarms == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		alarms = pairingheap_allocate(compare_alarms, NULL);
		MemoryContextSwitchTo(old);
	}
	throttle->turn.alarm = at;
	pairingheap_add(alarms, &throttle->turn.alarm_node);
}

/* The heap has its greatest element on top, so the earliest must compare as the greatest. */
static int
compare_alarms(const pairingheap_node *a, const pairingheap_node *b, void *arg)
{
	TimestampTz first = pairingheap_const_container(MfThrottle, turn.alarm_node, a)->turn.alarm;
	TimestampTz second = pairingheap_const_container(MfThrottle, turn.alarm_node, b)->turn.alarm;

	return first < second ? 1 : first > second ? -1 : 0;
}

static void
clear_alarm(MfThrottle *throttle)
{
	if (throttle->turn.alarm != 0)
		pairingheap_remove(alarms, &throttle->turn.alarm_node);
	throttle->turn.alarm = 0;
}

void
mf_turns_full(MfThrottle *throttle)
{
	if (!throttle->turn.full)
		dlist_push_tail(&full, &throttle->turn.full_node);
	throttle->turn.full = true;
}

void
mf_turns_wait_for_slots(int64 lead_us, TimestampTz now)
{
	while (!dlist_is_empty(&full))
	{
		MfThrottle *throttle = dlist_container(MfThrottle, turn.full_node, dlist_pop_head_node(&full));
		TimestampTz at = mf_slots_next_free(throttle, now);

		throttle->turn.full = false;
		if (at == DT_NOBEGIN)
			mf_turns_due(throttle);
		else if (at != 0)
			mf_turns_due_at(throttle, at - lead_us);
	}
}

void
mf_turns_refresh(const MfSqlScope *scope, TimestampTz now)
{
	if (all_changed && mf_time_share_allows(&scan_share))
		scan_agenda(scope, now);
	while (alarms != NULL && !pairingheap_is_empty(alarms))
	{
		MfThrottle *throttle = pairingheap_container(MfThrottle, turn.alarm_node, pairingheap_first(alarms));

		if (throttle->turn.alarm > now)
			break;
		clear_alarm(throttle);
		mf_turns_due(throttle);
	}
	find_owners();
}

/* Moves accounts without a known owner to the lines of their owners. */
static void
find_owners(void)
{
	MfOwner    *unknown = mf_owner_get(InvalidOid);
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &unknown->line)
	{
		MfThrottle *throttle = dlist_container(MfThrottle, turn.node, iter.cur);
		Oid			role = mf_account_owner(throttle->account);

		if (!OidIsValid(role))
			continue;
		leave_line(throttle);
		mf_slots_set_owner(throttle, role);
		join_line(throttle, false);
	}
}

/* Puts accounts into the line, or sets their alarms, by the first entry of each. */
static void
scan_agenda(const MfSqlScope *scope, TimestampTz now)
{
	List	   *entries;
	ListCell   *lc;

	mf_time_share_begin(&scan_share);
	entries = mf_queue_accounts(scope);
	foreach(lc, entries)
	{
		MfDueAccount *entry = (MfDueAccount *) lfirst(lc);

		if (entry->due <= now)
			mf_turns_due(mf_throttle_get(entry->account));
		else if (!TIMESTAMP_NOT_FINITE(entry->due))
			mf_turns_due_at(mf_throttle_get(entry->account), entry->due);
	}
	all_changed = false;
	mf_time_share_end(&scan_share);
}

int
mf_turns_length(void)
{
	return line_length;
}

/* Returns the next owner in line who may have slots, and moves it to the tail; NULL = none. */
static MfOwner *
next_owner(TimestampTz now)
{
	dlist_iter	iter;

	dlist_foreach(iter, &line)
	{
		MfOwner    *owner = dlist_container(MfOwner, turn_node, iter.cur);

		if (mf_slots_owner_room(owner, now) == 0)
			continue;
		dlist_delete(&owner->turn_node);
		dlist_push_tail(&line, &owner->turn_node);
		return owner;
	}
	return NULL;
}

MfThrottle *
mf_turns_next(TimestampTz now)
{
	MfOwner    *owner = next_owner(now);
	MfThrottle *throttle;
	int			passed;

	if (owner == NULL)
		return NULL;

	/* accounts with more than their part of the slots let the others go first */
	throttle = dlist_head_element(MfThrottle, turn.node, &owner->line);
	for (passed = 1; passed < owner->line_length && mf_slots_over_share(throttle); passed++)
	{
		dlist_push_tail(&owner->line, dlist_pop_head_node(&owner->line));
		throttle = dlist_head_element(MfThrottle, turn.node, &owner->line);
	}
	leave_line(throttle);
	clear_alarm(throttle);
	throttle->turn.taken = true;
	dlist_push_tail(&taken, &throttle->turn.node);
	return throttle;
}

void
mf_turns_put_back(MfThrottle *throttle)
{
	if (throttle->turn.in_line)
		return;
	dlist_delete(&throttle->turn.node);
	throttle->turn.taken = false;
	join_line(throttle, true);
}

void
mf_turns_round_done(void)
{
	while (!dlist_is_empty(&taken))
		dlist_container(MfThrottle, turn.node, dlist_pop_head_node(&taken))->turn.taken = false;
}

void
mf_turns_round_failed(void)
{
	while (!dlist_is_empty(&taken))
		mf_turns_put_back(dlist_tail_element(MfThrottle, turn.node, &taken));
}

bool
mf_turns_has_work(TimestampTz now)
{
	TimestampTz alarm = mf_turns_alarm();
	dlist_iter	iter;

	if (alarm != 0 && alarm <= now)
		return true;
	dlist_foreach(iter, &line)
	{
		if (mf_slots_owner_room(dlist_container(MfOwner, turn_node, iter.cur), now) > 0)
			return true;
	}
	return false;
}

TimestampTz
mf_turns_alarm(void)
{
	TimestampTz alarm = 0;
	const MfThrottle *first;

	if (all_changed)
		alarm = mf_time_share_time(&scan_share);
	if (alarms != NULL && !pairingheap_is_empty(alarms))
	{
		first = pairingheap_container(MfThrottle, turn.alarm_node, pairingheap_first(alarms));
		alarm = mf_earlier(alarm, first->turn.alarm);
	}
	return alarm;
}
