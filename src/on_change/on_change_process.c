/*
 * on_change_process.c
 *	  The process that tells functions of mf_on_change(): its life and its loop.
 *
 * Functions of users are slow, catch every error, and keep a process from ending.
 * So they are called in one that does nothing else: it can be ended at any moment,
 * and nobody waits for it.  The worker starts it when something is to be told, and
 * it ends a moment after there is nothing any more.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/on_change/on_change_process.c
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/settings.h"
#include "on_change/on_change_process.h"
#include "on_change/on_change_queue.h"
#include "process/background_worker.h"
#include "process/process.h"
#include "process/wait.h"
#include "process/wakeup.h"

/* It waits for more to tell for so long before it ends. */
#define LINGER_MS 5000

/* When what is to be told cannot be read or written, or there is no place for the process */
#define RETRY_MS 5000

/* One that ends at once is not started again at once. */
#define RESTART_MS 1000

/* In the worker */
static TimestampTz alarm_at = 0;
static TimestampTz start_after = 0;
static bool reported_no_slot = false;

/* In the process itself */
static MfSlot *my_slot = NULL;
static Oid	my_extension = InvalidOid;
static Oid	my_schema = InvalidOid;
static MemoryContext apart_context = NULL;
static bool gone = false;

static bool attach(Oid database);
static void detach(int code, Datum arg);
static bool find_extension(void);
static bool run_apart(MfTransactionWork work, void *argument, char **error);
static void wait_for(TimestampTz until);

void
mf_reactions_start(Oid schema)
{
	if (mf_reactions_any(schema))
		mf_reactions_wake();
}

TimestampTz
mf_reactions_alarm(void)
{
	return alarm_at;
}

void
mf_reactions_wake(void)
{
	alarm_at = 1;
}

void
mf_reactions_attend(const MfSlot *slot, MfRunTransaction run_in_worker)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next = 0;
	bool		running;

	if (alarm_at == 0 || now < alarm_at)
		return;
	LWLockAcquire(mf_shared->lock, LW_SHARED);
	running = slot->reactions.pid != 0;
	if (running)
		mf_set_latch_of(slot->reactions.proc_number);
	LWLockRelease(mf_shared->lock);

	/* its end wakes us */
	alarm_at = 0;
	if (running)
		return;
	alarm_at = TimestampTzPlusMilliseconds(now, RETRY_MS);
	if (!mf_reactions_next(run_in_worker, &next))
		return;
	if (next == 0 || next > now)
		alarm_at = next;
	else if (start_after > now)
		alarm_at = start_after;
	else
	{
		reported_no_slot = !mf_background_worker_start("mf_reactions_main", "reactions", slot->database, NULL,
													   !reported_no_slot);
		if (!reported_no_slot)
			start_after = TimestampTzPlusMilliseconds(now, RESTART_MS);
	}
}

/* Entry point of the process; the argument is the database. */
void
mf_reactions_main(Datum main_arg)
{
	Oid			database = DatumGetObjectId(main_arg);
	TimestampTz last_told;

	mf_process_signals();

	/* before connecting, so that whoever needs the database sees us coming */
	if (!attach(database))
		proc_exit(0);
	mf_process_connect(database, "myfatoorah reactions");
	apart_context = AllocSetContextCreate(TopMemoryContext, "myfatoorah reactions", ALLOCSET_DEFAULT_SIZES);
	if (!find_extension())
		proc_exit(0);

	/* the process before us did not survive a call */
	if (my_slot->reactions.under_way != 0 && mf_reaction_note_ended(run_apart, my_slot->reactions.under_way))
		my_slot->reactions.under_way = 0;
	last_told = GetCurrentTimestamp();
	while (!ShutdownRequestPending && !gone && my_slot->pid != 0)
	{
		TimestampTz next;
		TimestampTz end;

		if (ConfigReloadPending)
			mf_process_read_settings();
		if (mf_reactions_tell(run_apart, &my_slot->reactions.under_way, &next))
		{
			last_told = GetCurrentTimestamp();
			continue;
		}
		end = TimestampTzPlusMilliseconds(last_told, LINGER_MS);
		if (GetCurrentTimestamp() >= end)
			break;
		wait_for(next != 0 && next < end ? next : end);
	}
	proc_exit(0);
}

/* Takes its part of the slot of this database; false if there is one already, or nobody wants us any more. */
static bool
attach(Oid database)
{
	bool		wanted = false;

	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	my_slot = mf_find_slot(database, false);
	if (my_slot != NULL && my_slot->holds == 0 && my_slot->pid != 0 && my_slot->reactions.pid == 0)
	{
		my_slot->reactions.pid = MyProcPid;
		my_slot->reactions.proc_number = MF_MY_PROC_NUMBER;
		wanted = true;
	}
	LWLockRelease(mf_shared->lock);
	if (wanted)
		before_shmem_exit(detach, (Datum) 0);
	return wanted;
}

/* Gives it back at exit.  The worker looks when there will be something to tell again. */
static void
detach(int code, Datum arg)
{
	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	my_slot->reactions.pid = 0;
	my_slot->reactions.proc_number = MF_INVALID_PROC_NUMBER;
	pg_atomic_fetch_or_u32(&my_slot->try_now, MF_TRY_REACTIONS);
	if (my_slot->pid != 0)
		mf_set_latch_of(my_slot->proc_number);
	else
		mf_set_latch_of(mf_shared->launcher);
	LWLockRelease(mf_shared->lock);
	ConditionVariableBroadcast(&mf_shared->changed);
}

/* Finds the extension and takes on the role of the worker for good; false if it is not there. */
static bool
find_extension(void)
{
	mf_process_begin_statements();
	mf_process_start_transaction();
	my_extension = get_extension_oid(MF_EXTENSION, true);
	if (OidIsValid(my_extension))
	{
		my_schema = mf_extension_schema();
		mf_process_take_role(mf_worker_role());
	}
	mf_process_commit_unhurried();
	(void) mf_process_commit_transaction();
	mf_process_end_statements();
	return OidIsValid(my_schema);
}

/* Does something in a transaction of its own, as the worker does; the error lives until the next one. */
static bool
run_apart(MfTransactionWork work, void *argument, char **error)
{
	volatile bool done = false;

	*error = NULL;
	MemoryContextReset(apart_context);
	mf_process_begin_statements();
	PG_TRY();
	{
		mf_process_start_transaction();
		MemoryContextSwitchTo(apart_context);
		if (mf_process_lock_extension(my_extension))
		{
			MfSqlScope	scope;

			mf_sql_begin(&scope, my_schema);
			done = work(&scope, argument);
			mf_sql_end(&scope);
		}
		else
			gone = true;
		(void) mf_process_commit_transaction();
	}
	PG_CATCH();
	{
		ErrorData  *failure;

		MemoryContextSwitchTo(apart_context);
		failure = CopyErrorData();
		HOLD_INTERRUPTS();
		FlushErrorState();
		AbortCurrentTransaction();
		pgstat_report_activity(STATE_IDLE, NULL);
		RESUME_INTERRUPTS();
		done = false;
		*error = failure->message;
	}
	PG_END_TRY();
	mf_process_end_statements();
	MemoryContextSwitchTo(apart_context);
	return done;
}

static void
wait_for(TimestampTz until)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 mf_wait_ms(-1, until), PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}
