/*
 * agenda.c
 *	  Which accounts have something due, and whose turn it is.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/agenda.c
 */
#include "postgres.h"

#include "lib/pairingheap.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "agenda.h"
#include "claim.h"
#include "pace.h"
#include "queue.h"
#include "slots.h"

static dlist_head line = DLIST_STATIC_INIT(line);	/* by turn_node */
static int	line_length = 0;
static dlist_head taken = DLIST_STATIC_INIT(taken); /* turns of this round, by turn_node */
static dlist_head full = DLIST_STATIC_INIT(full);	/* by full_node */
static pairingheap *alarms = NULL;	/* by alarm_node */
static bool all_changed = true;
static MfPace scan_pace;

static int	compare_alarms(const pairingheap_node *a, const pairingheap_node *b, void *arg);
static void clear_alarm(MfCircuit *circuit);
static void scan(const MfSqlScope *scope, TimestampTz now);

/* See agenda.h. */
void
mf_agenda_changed(const char *account)
{
	mf_agenda_due(mf_circuit_get(account));
}

/* See agenda.h. */
void
mf_agenda_all_changed(void)
{
	all_changed = true;
}

/* See agenda.h. */
void
mf_agenda_due(MfCircuit *circuit)
{
	if (circuit->in_line)
		return;
	if (circuit->turn_taken)
		dlist_delete(&circuit->turn_node);
	circuit->turn_taken = false;
	circuit->in_line = true;
	dlist_push_tail(&line, &circuit->turn_node);
	line_length++;
}

/* See agenda.h. */
void
mf_agenda_due_at(MfCircuit *circuit, TimestampTz at)
{
	if (at == 0 || circuit->in_line || (circuit->alarm != 0 && circuit->alarm <= at))
		return;
	clear_alarm(circuit);
	if (alarms == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		alarms = pairingheap_allocate(compare_alarms, NULL);
		MemoryContextSwitchTo(old);
	}
	circuit->alarm = at;
	pairingheap_add(alarms, &circuit->alarm_node);
}

/* The heap has the greatest on top: that is the earliest. */
static int
compare_alarms(const pairingheap_node *a, const pairingheap_node *b, void *arg)
{
	TimestampTz first = pairingheap_const_container(MfCircuit, alarm_node, a)->alarm;
	TimestampTz second = pairingheap_const_container(MfCircuit, alarm_node, b)->alarm;

	return first < second ? 1 : first > second ? -1 : 0;
}

static void
clear_alarm(MfCircuit *circuit)
{
	if (circuit->alarm != 0)
		pairingheap_remove(alarms, &circuit->alarm_node);
	circuit->alarm = 0;
}

/* See agenda.h. */
void
mf_agenda_full(MfCircuit *circuit)
{
	if (!circuit->full)
		dlist_push_tail(&full, &circuit->full_node);
	circuit->full = true;
}

/* See agenda.h. */
void
mf_agenda_wait_for_slots(int64 lead_us, TimestampTz now)
{
	while (!dlist_is_empty(&full))
	{
		MfCircuit  *circuit = dlist_container(MfCircuit, full_node, dlist_pop_head_node(&full));
		TimestampTz at = mf_circuit_next_slot(circuit, now);

		circuit->full = false;
		if (at == DT_NOBEGIN)
			mf_agenda_due(circuit);
		else if (at != 0)
			mf_agenda_due_at(circuit, at - lead_us);
	}
}

/* See agenda.h. */
void
mf_agenda_refresh(const MfSqlScope *scope, TimestampTz now)
{
	if (all_changed && mf_pace_allows(&scan_pace))
		scan(scope, now);
	while (alarms != NULL && !pairingheap_is_empty(alarms))
	{
		MfCircuit  *circuit = pairingheap_container(MfCircuit, alarm_node, pairingheap_first(alarms));

		if (circuit->alarm > now)
			break;
		clear_alarm(circuit);
		mf_agenda_due(circuit);
	}
}

/* Looks at the first entry of each account. */
static void
scan(const MfSqlScope *scope, TimestampTz now)
{
	List	   *entries;
	ListCell   *lc;

	mf_pace_begin(&scan_pace);
	entries = mf_queue_accounts(scope);
	foreach(lc, entries)
	{
		MfFirstEntry *entry = (MfFirstEntry *) lfirst(lc);

		if (entry->rank <= now)
			mf_agenda_due(mf_circuit_get(entry->account));
		else if (!TIMESTAMP_NOT_FINITE(entry->rank))
			mf_agenda_due_at(mf_circuit_get(entry->account), entry->rank);
	}
	all_changed = false;
	mf_pace_end(&scan_pace);
}

/* See agenda.h. */
int
mf_agenda_length(void)
{
	return line_length;
}

/* See agenda.h. */
MfCircuit *
mf_agenda_next(void)
{
	MfCircuit  *circuit;

	int			passed;

	if (dlist_is_empty(&line))
		return NULL;

	/* who has more than its part of the slots lets the others go first */
	for (passed = 1; passed < line_length && mf_slots_over_share(dlist_head_element(MfCircuit, turn_node, &line)); passed++)
		dlist_push_tail(&line, dlist_pop_head_node(&line));
	circuit = dlist_container(MfCircuit, turn_node, dlist_pop_head_node(&line));
	line_length--;
	circuit->in_line = false;
	clear_alarm(circuit);
	circuit->turn_taken = true;
	dlist_push_tail(&taken, &circuit->turn_node);
	return circuit;
}

/* See agenda.h. */
void
mf_agenda_put_back(MfCircuit *circuit)
{
	if (circuit->in_line)
		return;
	dlist_delete(&circuit->turn_node);
	circuit->turn_taken = false;
	circuit->in_line = true;
	dlist_push_head(&line, &circuit->turn_node);
	line_length++;
}

/* See agenda.h. */
void
mf_agenda_round_done(void)
{
	while (!dlist_is_empty(&taken))
		dlist_container(MfCircuit, turn_node, dlist_pop_head_node(&taken))->turn_taken = false;
}

/* See agenda.h. */
void
mf_agenda_round_failed(void)
{
	while (!dlist_is_empty(&taken))
		mf_agenda_put_back(dlist_tail_element(MfCircuit, turn_node, &taken));
}

/* See agenda.h. */
bool
mf_agenda_has_work(TimestampTz now)
{
	TimestampTz alarm = mf_agenda_alarm();

	return line_length > 0 || (alarm != 0 && alarm <= now);
}

/* See agenda.h. */
TimestampTz
mf_agenda_alarm(void)
{
	TimestampTz alarm = 0;

	if (all_changed)
		alarm = mf_pace_time(&scan_pace);
	if (alarms != NULL && !pairingheap_is_empty(alarms))
		mf_come_back(&alarm, pairingheap_container(MfCircuit, alarm_node, pairingheap_first(alarms))->alarm);
	return alarm;
}

/* See agenda.h. */
bool
mf_agenda_knows(const MfCircuit *circuit)
{
	return circuit->in_line || circuit->turn_taken || circuit->full || circuit->alarm != 0;
}
