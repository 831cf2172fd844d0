/*
 * database_hold.c
 *	  Sends the processes of a database away, or stops its requests, for a while.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/process/database_hold.c
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "process/database_hold.h"
#include "process/wakeup.h"

#define HOLD_TIMEOUT_MS 2000

/* A drain whose switchover does not come ends by itself this long after its time-out. */
#define DRAIN_HOLD_MS (10 * 60 * 1000)

/* By this transaction, once for each hold; in TopMemoryContext */
static List *held_databases = NIL;
static bool end_drain_pending = false;

static void at_transaction_end(XactEvent event, void *arg);
static bool terminate_processes(const MfSlot *slot);
static void release_holds(void);
static void end_drain(void);

/* Once per backend, because callbacks are not de-duplicated. */
static void
register_callback(void)
{
	static bool registered = false;

	if (!registered)
		RegisterXactCallback(at_transaction_end, NULL);
	registered = true;
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	bool		commit = event == XACT_EVENT_COMMIT || event == XACT_EVENT_PARALLEL_COMMIT;

	if (!commit && event != XACT_EVENT_ABORT && event != XACT_EVENT_PARALLEL_ABORT && event != XACT_EVENT_PREPARE)
		return;
	release_holds();
	if (commit && end_drain_pending)
		end_drain();
	end_drain_pending = false;
}

void
mf_hold_database(Oid database)
{
	TimestampTz start = GetCurrentTimestamp();
	MemoryContext old_context;
	MfSlot	   *slot;

	/* nothing may fail between this and the hold */
	register_callback();
	old_context = MemoryContextSwitchTo(TopMemoryContext);
	held_databases = lappend_oid(held_databases, database);
	MemoryContextSwitchTo(old_context);
	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	slot = mf_find_slot(database, true);
	if (slot != NULL)
		slot->holds++;
	LWLockRelease(mf_shared->lock);
	if (slot == NULL)
	{
		held_databases = list_delete_last(held_databases);
		return;
	}

	ConditionVariablePrepareToSleep(&mf_shared->changed);
	while (terminate_processes(slot) && !TimestampDifferenceExceeds(start, GetCurrentTimestamp(), HOLD_TIMEOUT_MS))
		ConditionVariableTimedSleep(&mf_shared->changed, 100, PG_WAIT_EXTENSION);
	ConditionVariableCancelSleep();
}

/* Whether any process was there to be terminated */
static bool
terminate_processes(const MfSlot *slot)
{
	pid_t		pids[4];
	bool		any = false;
	int			i;

	LWLockAcquire(mf_shared->lock, LW_SHARED);
	pids[0] = slot->pid;
	pids[1] = slot->listener.pid;
	pids[2] = slot->reactions.pid;
	pids[3] = slot->routes.pid;
	for (i = 0; i < (int) lengthof(pids); i++)
	{
		if (pids[i] == 0)
			continue;
		any = true;
		kill(pids[i], SIGTERM);
	}
	LWLockRelease(mf_shared->lock);
	return any;
}

/* Lets the workers that this transaction has sent away come back. */
static void
release_holds(void)
{
	while (held_databases != NIL)
	{
		Oid			database = llast_oid(held_databases);
		MfSlot	   *slot = mf_lock_slot(database, LW_EXCLUSIVE);

		if (slot != NULL)
		{
			slot->holds = Max(slot->holds - 1, 0);
			LWLockRelease(mf_shared->lock);
		}
		held_databases = list_delete_last(held_databases);
		mf_wake_launcher(database);
	}
}

int
mf_drain_database(Oid database, long timeout_ms)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), timeout_ms);
	MfSlot	   *slot;
	int			left = 0;

	/* a standby sends nothing, and must not be in a drain when it is promoted */
	if (mf_shared == NULL || RecoveryInProgress())
		return 0;
	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	slot = mf_find_slot(database, true);
	if (slot != NULL)
	{
		/* a worker that starts later reads it, too */
		slot->drained = false;
		pg_atomic_write_u64(&slot->drain_until, (uint64) TimestampTzPlusMilliseconds(deadline, DRAIN_HOLD_MS));
		mf_set_latch_of(slot->proc_number);
	}
	LWLockRelease(mf_shared->lock);
	if (slot == NULL)
		return 0;

	ConditionVariablePrepareToSleep(&mf_shared->changed);
	for (;;)
	{
		TimestampTz now = GetCurrentTimestamp();

		/* a worker that has ended has nothing in flight */
		LWLockAcquire(mf_shared->lock, LW_SHARED);
		left = slot->database != database || slot->pid == 0 || slot->drained ? 0 : Max(slot->unsettled, 1);
		LWLockRelease(mf_shared->lock);
		if (left == 0 || now >= deadline)
			break;
		ConditionVariableTimedSleep(&mf_shared->changed, TimestampDifferenceMilliseconds(now, deadline),
									PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
	return left;
}

void
mf_end_drain_at_commit(void)
{
	end_drain_pending = true;
	register_callback();
}

static void
end_drain(void)
{
	MfSlot	   *slot = mf_lock_slot(MyDatabaseId, LW_SHARED);

	if (slot == NULL)
		return;
	pg_atomic_write_u64(&slot->drain_until, 0);
	mf_set_latch_of(slot->proc_number);
	LWLockRelease(mf_shared->lock);
}

TimestampTz
mf_drained_until(Oid database)
{
	MfSlot	   *slot = mf_lock_slot(database, LW_SHARED);
	TimestampTz until;

	if (slot == NULL)
		return 0;
	until = (TimestampTz) pg_atomic_read_u64(&slot->drain_until);
	LWLockRelease(mf_shared->lock);
	return until > GetCurrentTimestamp() ? until : 0;
}

TimestampTz
mf_frozen_until(Oid database)
{
	MfSlot	   *slot = mf_lock_slot(database, LW_SHARED);
	TimestampTz until;

	if (slot == NULL)
		return 0;
	until = slot->pid != 0 ? slot->frozen_until : 0;
	LWLockRelease(mf_shared->lock);
	return until > GetCurrentTimestamp() ? until : 0;
}
