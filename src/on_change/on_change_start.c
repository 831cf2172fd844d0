/*
 * on_change_start.c
 *	  Starts the process that calls functions of mf_on_change(), for the worker.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/on_change/on_change_start.c
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/compat.h"
#include "on_change/on_change_queue.h"
#include "on_change/on_change_registry.h"
#include "on_change/on_change_start.h"
#include "process/background_worker.h"

/* Delay when the queue cannot be read, or no background worker slot is free */
#define RETRY_MS 5000

/* A process that ends at once is not started again at once. */
#define RESTART_MS 1000

static bool wake_process(const MfSlot *slot);

void
mf_reactions_start(Oid schema)
{
	if (mf_reactions_any(schema, false))
		mf_reaction_alarm_now();
}

void
mf_reactions_attend(const MfSlot *slot, MfRunTransaction run)
{
	static TimestampTz start_after = 0;
	static bool no_slot_logged = false;
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next = 0;

	if (mf_reaction_alarm() == 0 || now < mf_reaction_alarm())
		return;
	if (wake_process(slot))
	{
		/* the process reads the queue; its end wakes us */
		mf_reaction_alarm_set(0);
		return;
	}

	mf_reaction_alarm_set(TimestampTzPlusMilliseconds(now, RETRY_MS));
	if (!mf_reaction_queue_next(run, &next))
		return;
	if (next == 0 || next > now)
		mf_reaction_alarm_set(next);
	else if (start_after > now)
		mf_reaction_alarm_set(start_after);
	else
	{
		no_slot_logged = !mf_background_worker_start("mf_reactions_main", "reactions", slot->database, NULL,
													 !no_slot_logged);
		if (!no_slot_logged)
			start_after = TimestampTzPlusMilliseconds(now, RESTART_MS);
	}
}

/* False if the process is not running. */
static bool
wake_process(const MfSlot *slot)
{
	bool		running;

	LWLockAcquire(mf_shared->lock, LW_SHARED);
	running = slot->reactions.pid != 0;
	if (running)
		mf_set_latch_of(slot->reactions.proc_number);
	LWLockRelease(mf_shared->lock);
	return running;
}
