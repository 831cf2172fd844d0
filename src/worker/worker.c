/*
 * worker.c
 *	  The worker of one database: its life and its loop.
 *
 * The loop waits for three things: its latch (a commit that changed the
 * agenda), the transport, and the time of the next entry.  When nothing is due
 * it wakes once a day, so an idle worker costs nothing.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/worker/worker.c
 */
#include "postgres.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "access/xact.h"
#include "access/xlog.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procsignal.h"
#include "storage/sinval.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "account/account.h"
#include "base/compat.h"
#include "base/settings.h"
#include "database/sql.h"
#include "flight/account_turns.h"
#include "flow/inquiry_alarm.h"
#include "flow/request_slots.h"
#include "inbound/listener_start.h"
#include "inquiry/inquiry.h"
#include "inquiry/inquiry_catch_up.h"
#include "on_change/on_change_start.h"
#include "process/file_descriptors.h"
#include "process/process.h"
#include "process/wait.h"
#include "process/wakeup.h"
#include "process/worker_slots.h"
#include "sending/claim.h"
#include "sending/copy_guard.h"
#include "sending/sender.h"
#include "store/repair.h"
#include "worker/launcher.h"
#include "worker/worker_round.h"

/* A session that needs the worker away does not wait for answers longer than this. */
#define HELD_DRAIN_MS 500

/* Freed memory that is kept for the next round, in bytes */
#define KEPT_MEMORY (8 * 1024 * 1024)

static MfSlot *my_slot = NULL;
static Oid	my_extension = InvalidOid;
static Oid	my_schema = InvalidOid;
static bool agenda_changed = false; /* since the latest round */
static TimestampTz round_again = 0; /* when the latest round wants another one; 0 = it does not */

static void keep_freed_memory(void);
static bool attach(Oid database);
static void detach(int code, Datum arg);
pg_noreturn static void leave(MfWorkerEnd end);
static void start_transaction(void);
static void find_service(void);
static void begin_service(void);
static bool attend_settings(void);
static void heed_settings(void);
static void serve(WaitEventSet *events);
static void take_requests(void);
static TimestampTz run_round(bool held);
static TimestampTz next_round(bool held);
static void read_changes(void);
static void wait_for_events(WaitEventSet *events, TimestampTz again);
static void tell_drained(void);
static void drain(WaitEventSet *events);

/*
 * What one round frees the next one allocates again.  By default the C library
 * gives it back to the kernel in between, and each round takes page faults for
 * all of its memory.
 */
static void
keep_freed_memory(void)
{
#ifdef __GLIBC__
	(void) mallopt(M_TRIM_THRESHOLD, KEPT_MEMORY);
	(void) mallopt(M_MMAP_THRESHOLD, KEPT_MEMORY);
#endif
}

/* Entry point of a worker; the argument is the database. */
void
mf_worker_main(Datum main_arg)
{
	Oid			database = DatumGetObjectId(main_arg);
	WaitEventSet *events;

	mf_process_signals();
	keep_freed_memory();

	/* before connecting, so that whoever needs the database sees us coming */
	if (!attach(database))
		proc_exit(0);

	mf_process_connect(database, "myfatoorah worker");

	if (!mf_worker_enabled || IsBinaryUpgrade)
		leave(MF_END_NOT_WANTED);
	begin_service();

	mf_round_start(my_slot, my_extension, my_schema);
	mf_sender_start();
	mf_inquiry_start();
	events = mf_descriptors_event_set(3);
	AddWaitEventToSet(events, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(events, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(events, WL_SOCKET_READABLE, mf_http_fd(mf_sender_http()), NULL, NULL);
	heed_settings();

	while (!ShutdownRequestPending && attend_settings())
		serve(events);

	mf_listener_end(my_slot, false);

	drain(events);
	leave(mf_worker_enabled ? MF_END_RESTART : MF_END_NOT_WANTED);
}

/* Reads the settings again if they have changed; false if no worker is wanted any more. */
static bool
attend_settings(void)
{
	if (!ConfigReloadPending)
		return true;
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	if (mf_worker_enabled)
	{
		heed_settings();
		mf_listener_reconsider();
	}
	return mf_worker_enabled;
}

/* What follows from the settings beyond what is read where it is used. */
static void
heed_settings(void)
{
	my_slot->few_slots = mf_slots_configure(mf_sender_http());
	mf_inquiry_catch_up_settings();
}

/*
 * One turn of the loop: takes in what others have asked for and what has been
 * answered, runs a round if one is due, and sleeps if there is nothing to do.
 */
static void
serve(WaitEventSet *events)
{
	TimestampTz listener_again = mf_listener_attend(my_slot);
	TimestampTz drain_until;
	TimestampTz gather;
	TimestampTz hold_end;

	take_requests();
	drain_until = (TimestampTz) pg_atomic_read_u64(&my_slot->drain_until);
	if (mf_sender_attend_holds(drain_until, &hold_end))
	{
		agenda_changed = true;
		mf_turns_all_changed();
		mf_inquiry_wake();
	}
	my_slot->frozen_until = mf_sender_frozen_until();
	gather = run_round(hold_end != 0);

	my_slot->in_flight = mf_sender_in_flight();
	my_slot->requests = mf_sender_requests();
	if (drain_until > GetCurrentTimestamp())
		tell_drained();
	/* a hold that has begun during the round is to be seen before we sleep */
	if (hold_end == 0 && mf_sender_claims_skipped())
		return;
	if (gather != 0 || !mf_sender_has_work() || mf_round_failing())
	{
		TimestampTz alarm = mf_earlier(mf_earlier(next_round(hold_end != 0), hold_end), listener_again);

		wait_for_events(events, mf_earlier(gather, alarm));
	}
}

/* Takes in what sessions have asked for, and answers. */
static void
take_requests(void)
{
	if (pg_atomic_exchange_u32(&my_slot->pause, 0) != 0)
		mf_sender_wait_for_round();
	(void) mf_sender_run();
	mf_round_try_now(pg_atomic_exchange_u32(&my_slot->try_now, 0));
	if (pg_atomic_exchange_u32(&my_slot->inquiries, 0) != 0)
		mf_inquiry_wake();
	if (pg_atomic_exchange_u32(&my_slot->work, 0) != 0)
	{
		agenda_changed = true;
		read_changes();
	}
}

/* Runs a round if there is something for it to do.  Returns until when answers are gathered first; 0 = they are not. */
static TimestampTz
run_round(bool held)
{
	TimestampTz alarm = next_round(held);
	bool		due = alarm != 0 && GetCurrentTimestamp() >= alarm;
	TimestampTz gather;

	if (!due && (held || !agenda_changed) && (mf_round_failing() || !mf_sender_has_work()))
		return 0;
	gather = mf_sender_gather_until();
	if (gather != 0)
		return gather;
	agenda_changed = false;
	if (!mf_round_run(&round_again))
	{
		/* a new one that is there already wants a fresh worker */
		mf_listener_end(my_slot, false);
		leave(MF_END_RESTART);
	}
	return 0;
}

/* Takes the slot of this database; false if a session wants us away. */
static bool
attach(Oid database)
{
	bool		wanted = false;

	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	my_slot = mf_find_slot(database, true);
	if (my_slot != NULL && my_slot->holds == 0 && my_slot->pid == 0)
	{
		my_slot->pid = MyProcPid;
		my_slot->proc_number = MF_MY_PROC_NUMBER;
		my_slot->end = MF_END_CRASH;
		my_slot->started_at = GetCurrentTimestamp();
		my_slot->in_flight = my_slot->unnoted = 0;
		my_slot->shown_count = my_slot->not_shown = 0;
		my_slot->frozen_until = 0;
		my_slot->failing = false;
		my_slot->history_error[0] = '\0';
		my_slot->wakeups = my_slot->transactions = my_slot->requests = 0;
		pg_atomic_write_u32(&my_slot->work, 1);
		wanted = true;
	}
	LWLockRelease(mf_shared->lock);

	if (wanted)
		before_shmem_exit(detach, (Datum) 0);
	return wanted;
}

/* Gives the slot back at exit. */
static void
detach(int code, Datum arg)
{
	mf_sender_stop();
	mf_listener_end(my_slot, false);
	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	my_slot->pid = 0;
	my_slot->proc_number = MF_INVALID_PROC_NUMBER;
	my_slot->in_flight = 0;

	/* whoever is launcher now need not be the one that started us */
	if (my_slot->end != MF_END_NOT_WANTED)
		my_slot->wanted = true;
	mf_set_latch_of(mf_shared->launcher);
	LWLockRelease(mf_shared->lock);
	ConditionVariableBroadcast(&mf_shared->changed);
}

/* Ends the process in good order; the launcher reads the reason. */
static void
leave(MfWorkerEnd end)
{
	mf_listener_end(my_slot, true);
	my_slot->end = end;
	proc_exit(0);
}

static void
start_transaction(void)
{
	mf_process_start_transaction();
	my_slot->transactions++;
}

/*
 * Finds the extension and takes on the role of the worker for good.  No standby
 * is waited for: the listener, which we start, must not be kept from storing
 * webhooks.  What is sent has a commit of its own, which waits for this one too.
 */
static void
find_service(void)
{
	bool		wanted;

	/* a lock that it waits for must not keep a shutdown waiting */
	mf_process_begin_statements();
	if (ShutdownRequestPending)
		leave(MF_END_RESTART);
	start_transaction();
	do
		my_extension = get_extension_oid(MF_EXTENSION, true);
	while (OidIsValid(my_extension) && !mf_process_lock_extension(my_extension));
	wanted = OidIsValid(my_extension);
	if (wanted)
	{
		my_schema = mf_extension_schema();
		mf_process_take_role(mf_worker_role());
		mf_copy_guard_start(my_schema);
		mf_repair_log_damage(my_schema);
		mf_reactions_start(my_schema);
	}
	(void) mf_process_commit_locally();
	mf_process_end_statements();
	if (!wanted)
		leave(MF_END_NOT_WANTED);
	mf_copy_guard_started();
}

/* Begins to serve; whoever ends us meanwhile is no error of ours. */
static void
begin_service(void)
{
	PG_TRY();
	{
		find_service();
	}
	PG_CATCH();
	{
		if (!ShutdownRequestPending || geterrcode() != ERRCODE_QUERY_CANCELED)
			PG_RE_THROW();
		FlushErrorState();
		AbortCurrentTransaction();
		leave(MF_END_RESTART);
	}
	PG_END_TRY();
}

/* Hands over which accounts commits have changed. */
static void
read_changes(void)
{
	NameData	accounts[MF_CHANGED_ACCOUNTS];
	int			count;
	int			i;

	count = mf_wake_read_changes(my_slot, accounts);
	if (count < 0)
		mf_turns_all_changed();
	for (i = 0; i < count; i++)
		mf_turns_changed(NameStr(accounts[i]));
}

/*
 * When a round is needed without being woken.  After an error nothing but the delay
 * counts, and while sending is held nothing but answers that could not be recorded yet.
 */
static TimestampTz
next_round(bool held)
{
	return mf_round_failing() || held ? round_again : mf_earlier(round_again, mf_sender_alarm());
}

/* Sleeps until there is something to do. */
static void
wait_for_events(WaitEventSet *events, TimestampTz again)
{
	WaitEvent	occurred[3];
	int			timeout = mf_wait_ms(mf_http_timeout(mf_sender_http()), again);
	int64		until;

	if (pg_atomic_read_u32(&my_slot->work) != 0 && !mf_round_failing())
		timeout = 0;

	/* what became due while we stood still may be another server's by now */
	until = mf_http_clock() + (int64) timeout * 1000000;
	(void) WaitEventSetWait(events, timeout, occurred, lengthof(occurred), PG_WAIT_EXTENSION);
	mf_http_report_late_wakeup(mf_sender_http(), mf_http_clock() - until);
	my_slot->wakeups++;
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	if (catchupInterruptPending)
		ProcessCatchupInterrupt();
}

/* Tells those who wait for it when nothing is under way any more. */
static void
tell_drained(void)
{
	bool		news;

	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	my_slot->unsettled = mf_sender_unsettled();
	news = my_slot->unsettled == 0 && !my_slot->drained;
	my_slot->drained = my_slot->unsettled == 0;
	LWLockRelease(mf_shared->lock);
	if (news)
		ConditionVariableBroadcast(&mf_shared->changed);
}

/*
 * Shutdown: nothing more goes out, answers are awaited for a moment, and what
 * is known then is recorded.
 */
static void
drain(WaitEventSet *events)
{
	int			wait = my_slot->holds > 0 ? Min(mf_shutdown_wait, HELD_DRAIN_MS) : mf_shutdown_wait;
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), wait);

	mf_sender_close_gate();
	while (mf_sender_in_flight() > 0 && GetCurrentTimestamp() < deadline)
	{
		WaitEvent	occurred[3];

		(void) WaitEventSetWait(events, mf_wait_ms(mf_http_timeout(mf_sender_http()), deadline), occurred,
								lengthof(occurred), PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		(void) mf_sender_run();
	}
	mf_sender_abort();

	mf_round_finish();
}
