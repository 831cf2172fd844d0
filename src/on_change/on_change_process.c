/*
 * on_change_process.c
 *	  The process that calls functions of mf_on_change() and mf_on_time().
 *
 * A function of a user may be slow, catch every error, and keep its process from
 * ending.  This process does nothing else, so it can be ended at any moment, and
 * nobody waits for it.  The worker starts it when a call is due.  It ends some
 * seconds after the last one.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/on_change/on_change_process.c
 */
#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "database/run_transaction.h"
#include "on_change/on_change_process.h"
#include "on_change/on_change_queue.h"
#include "on_change/on_change_registry.h"
#include "process/process.h"
#include "process/wakeup.h"

/* It waits so long for another change before it ends. */
#define LINGER_MS 5000

/* Delay when the queue cannot be read, or no background worker slot is free */
#define RETRY_MS 5000

/* A process that ends at once is not started again at once. */
#define RESTART_MS 1000

static MfSlot *my_slot = NULL;
static MfTransactionRunner runner;

static bool attach_to_slot(Oid database);
static void detach_from_slot(int code, Datum arg);
static bool run_transaction(MfTransactionWork work, void *argument, char **error);
static bool wake_process(const MfSlot *slot);

void
mf_reactions_main(Datum main_arg)
{
	Oid			database = DatumGetObjectId(main_arg);
	MfReactionsState *state;
	TimestampTz last_call;

	mf_process_signals();

	/* before connecting: whoever needs the database without connections waits for us */
	if (!attach_to_slot(database))
		proc_exit(0);
	mf_process_connect(database, "myfatoorah reactions");
	runner.context = AllocSetContextCreate(TopMemoryContext, "myfatoorah reactions", ALLOCSET_DEFAULT_SIZES);
	if (!mf_transaction_find_extension(&runner.extension, &runner.schema))
		proc_exit(0);

	/* the process before us ended during a call */
	state = &my_slot->reactions;
	if (state->under_way != 0 && mf_reaction_record_ended(run_transaction, state->under_way))
		state->under_way = 0;
	last_call = GetCurrentTimestamp();
	while (!ShutdownRequestPending && !runner.extension_dropped && my_slot->pid != 0)
	{
		TimestampTz next;
		TimestampTz end;

		if (ConfigReloadPending)
			mf_process_read_settings();
		if (mf_reaction_call_next(run_transaction, &state->under_way, &next))
		{
			last_call = GetCurrentTimestamp();
			continue;
		}
		end = TimestampTzPlusMilliseconds(last_call, LINGER_MS);
		if (GetCurrentTimestamp() >= end)
			break;
		mf_process_wait(next != 0 && next < end ? next : end);
	}
	proc_exit(0);
}

/* False if such a process is running, the worker is not, or a session needs the database. */
static bool
attach_to_slot(Oid database)
{
	bool		attached = false;

	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	my_slot = mf_find_slot(database, false);
	if (my_slot != NULL && my_slot->holds == 0 && my_slot->pid != 0 && my_slot->reactions.pid == 0)
	{
		my_slot->reactions.pid = MyProcPid;
		my_slot->reactions.proc_number = MF_MY_PROC_NUMBER;
		attached = true;
	}
	LWLockRelease(mf_shared->lock);
	if (attached)
		before_shmem_exit(detach_from_slot, (Datum) 0);
	return attached;
}

/* Has the worker read the queue, or the launcher free the slot if the worker is gone. */
static void
detach_from_slot(int code, Datum arg)
{
	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	my_slot->reactions.pid = 0;
	my_slot->reactions.proc_number = MF_INVALID_PROC_NUMBER;
	pg_atomic_fetch_or_u32(&my_slot->news, MF_TRY_REACTIONS);
	mf_set_latch_of(my_slot->pid != 0 ? my_slot->proc_number : mf_shared->launcher);
	LWLockRelease(mf_shared->lock);
	ConditionVariableBroadcast(&mf_shared->changed);
}

/* The error lives until the next transaction. */
static bool
run_transaction(MfTransactionWork work, void *argument, char **error)
{
	MemoryContextReset(runner.context);
	return mf_transaction_run(&runner, work, argument, error);
}

void
mf_reactions_start(Oid schema)
{
	if (mf_reactions_any(schema, MF_REACTIONS_ALL))
		mf_reaction_alarm = MF_REACTION_NOW;
}

void
mf_reactions_attend(const MfSlot *slot, MfRunTransaction run)
{
	static TimestampTz start_after = 0;
	static bool no_slot_logged = false;
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next = 0;

	if (mf_reaction_alarm == 0 || now < mf_reaction_alarm)
		return;
	if (wake_process(slot))
	{
		/* the process reads the queue; its end wakes us */
		mf_reaction_alarm = 0;
		return;
	}

	mf_reaction_alarm = TimestampTzPlusMilliseconds(now, RETRY_MS);
	if (!mf_reaction_queue_next(run, &next))
		return;
	if (next == 0 || next > now)
		mf_reaction_alarm = next;
	else if (start_after > now)
		mf_reaction_alarm = start_after;
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
