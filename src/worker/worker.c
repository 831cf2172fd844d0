/*
 * worker.c
 *	  The worker of a database: its main function and its loop.
 *
 * The loop waits for its latch, which is set by a commit that changed the agenda;
 * for the thread that does the HTTP requests; and for the time of the next agenda
 * entry.  If nothing is due, it wakes once a day.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/worker/worker.c
 */
#include "postgres.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <math.h>

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
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/log_event.h"
#include "base/settings.h"
#include "database/sql_version.h"
#include "flight/account_turns.h"
#include "flow/request_slots.h"
#include "inbound/listener_start.h"
#include "inquiry/inquiry.h"
#include "on_change/on_change_process.h"
#include "operation/operation.h"
#include "process/file_descriptors.h"
#include "process/process.h"
#include "process/wait.h"
#include "sending/copy_guard.h"
#include "sending/sender.h"
#include "store/repair.h"
#include "worker/worker.h"

/* How long answers are waited for at the end if a session needs the database without connections */
#define HELD_DRAIN_MS 500

/* Freed memory that the C library keeps, in bytes */
#define KEPT_MEMORY (8 * 1024 * 1024)

static MfSlot *my_slot = NULL;
static Oid	my_extension = InvalidOid;
static Oid	my_schema = InvalidOid;
static bool agenda_changed = false; /* since the latest round */
static TimestampTz next_round_at = 0;	/* what the latest round said; 0 = not needed */

static bool attach_to_slot(Oid database);
static void detach_from_slot(int code, Datum arg);
pg_noreturn static void exit_worker(MfWorkerEnd end);
static bool version_fits(void);
static void require_version(void *argument);
static void show_error(const char *error);
static void begin_service(void);
static WaitEventSet *create_event_set(void);
static bool reload_settings(void);
static void apply_settings(void);
static bool clock_set_back(void);
static void serve(WaitEventSet *events);
static void process_wakeup(void);
static TimestampTz run_round(bool held);
static TimestampTz next_round(bool held);
static void read_changed_accounts(void);
static void wait_for_events(WaitEventSet *events, TimestampTz until);
static void report_drain(void);
static void drain(WaitEventSet *events);

/*
 * Each round allocates as much memory as the one before has freed.  By default the C
 * library returns it to the kernel in between, so that every round takes page faults
 * for all of it.
 */
static void
keep_freed_memory(void)
{
#ifdef __GLIBC__
	(void) mallopt(M_TRIM_THRESHOLD, KEPT_MEMORY);
	(void) mallopt(M_MMAP_THRESHOLD, KEPT_MEMORY);
#endif
}

void
mf_worker_main(Datum main_arg)
{
	Oid			database = DatumGetObjectId(main_arg);
	WaitEventSet *events;

	mf_process_signals();
	keep_freed_memory();

	/* before connecting: whoever needs the database without connections waits for us */
	if (!attach_to_slot(database))
		proc_exit(0);

	mf_process_connect(database, "myfatoorah worker");

	if (!mf_worker_enabled || IsBinaryUpgrade)
		exit_worker(MF_END_NOT_WANTED);
	begin_service();

	mf_round_start(my_slot, my_extension, my_schema);
	mf_sender_start();
	mf_inquiry_wake();
	events = create_event_set();
	apply_settings();
	mf_round_begin();

	while (!ShutdownRequestPending && reload_settings() && !clock_set_back())
		serve(events);

	mf_listener_end(my_slot, false);

	drain(events);
	exit_worker(mf_worker_enabled ? MF_END_RESTART : MF_END_NOT_WANTED);
}

static WaitEventSet *
create_event_set(void)
{
	WaitEventSet *events = mf_descriptors_event_set(3);

	AddWaitEventToSet(events, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(events, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(events, WL_SOCKET_READABLE, mf_http_fd(mf_sender_http()), NULL, NULL);
	return events;
}

/* Reads the configuration if it has changed; false if the worker is switched off. */
static bool
reload_settings(void)
{
	int			poll_delay = mf_poll_delay;
	int			verify_wait = mf_verify_wait();

	if (!ConfigReloadPending)
		return true;
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	if (mf_worker_enabled)
	{
		/* what was put off by longer delays is due too late now */
		if (mf_poll_delay < poll_delay || mf_verify_wait() < verify_wait)
			pg_atomic_fetch_or_u32(&my_slot->news, MF_TRY_ALL);
		apply_settings();
		mf_listener_reconsider();
		if (mf_retention_changed())
			agenda_changed = true;
	}
	return mf_worker_enabled;
}

/* Most settings are read where they are used, and need nothing here. */
static void
apply_settings(void)
{
	my_slot->in_flight_limit = mf_slots_configure(mf_sender_http());
	mf_inquiry_catch_up_settings();
}

/* Then the worker starts anew: all times for which it waits are as far ahead as the clock was. */
static bool
clock_set_back(void)
{
	int64		back = mf_clock_set_back();

	if (back > 0)
		ereport(LOG,
				(mf_log_event("clock_set_back", "the clock was set back by %lld seconds", (long long) rint(back / 1e6)),
				 errdetail("The worker starts anew. What is due later than it can be now is due at once, but for times that users have given.")));
	return back > 0;
}

/*
 * One turn of the loop: processes requests of sessions and answers of MyFatoorah, runs
 * a round if one is due, and waits if there is nothing to do.
 */
static void
serve(WaitEventSet *events)
{
	TimestampTz listener_alarm = mf_listener_attend(my_slot);
	TimestampTz drain_until;
	TimestampTz gather;
	TimestampTz hold_end;

	process_wakeup();
	drain_until = (TimestampTz) pg_atomic_read_u64(&my_slot->drain_until);
	if (mf_sender_attend_holds(drain_until, &hold_end))
	{
		agenda_changed = true;
		mf_turns_all_changed();
		mf_inquiry_wake();
		mf_operation_wake();
	}
	my_slot->frozen_until = mf_sender_frozen_until();
	gather = run_round(hold_end != 0);

	my_slot->in_flight = mf_sender_in_flight();
	my_slot->requests = mf_sender_requests();
	if (drain_until > GetCurrentTimestamp())
		report_drain();
	/* a hold that began during the round is processed before we wait */
	if (hold_end == 0 && mf_sender_claims_skipped())
		return;
	if (gather != 0 || !mf_sender_has_work() || mf_round_failing())
	{
		TimestampTz alarm = mf_earlier(mf_earlier(next_round(hold_end != 0), hold_end), listener_alarm);

		wait_for_events(events, mf_earlier(gather, alarm));
	}
}

/* Processes requests of sessions, and answers. */
static void
process_wakeup(void)
{
	uint32		news = pg_atomic_exchange_u32(&my_slot->news, 0);

	if (news & MF_NEWS_PAUSE)
		mf_sender_wait_for_round();
	/* COMMIT PREPARED tells no more than the former */
	if (news & (MF_NEWS_PAUSE | MF_TRY_ALL))
		mf_copy_guard_decided();
	(void) mf_sender_run();
	mf_round_try_now(news & MF_TRY_ANY);
	if (news & MF_NEWS_INQUIRIES)
		mf_inquiry_wake();
	if (news & MF_NEWS_OPERATIONS)
		mf_operation_wake();
	if (news & MF_NEWS_AGENDA)
	{
		agenda_changed = true;
		read_changed_accounts();
	}
}

/*
 * Runs a round if there is work for it.  If more answers are waited for first, returns
 * until when; else 0.
 */
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
	if (!mf_round_run(&next_round_at))
	{
		/* the extension was dropped; if it was created again, it gets another worker */
		mf_listener_end(my_slot, false);
		exit_worker(MF_END_RESTART);
	}
	return 0;
}

/* False if another worker has the slot, or a session needs the database. */
static bool
attach_to_slot(Oid database)
{
	bool		attached = false;

	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	my_slot = mf_find_slot(database, true);
	if (my_slot != NULL && my_slot->holds == 0 && my_slot->pid == 0)
	{
		MfMetrics  *metrics = my_slot->metrics;

		if (pg_atomic_fetch_add_u64(&metrics->counters[MF_COUNTER_WORKER_STARTS], 1) > 0 && my_slot->end == MF_END_CRASH)
			pg_atomic_fetch_add_u64(&metrics->counters[MF_COUNTER_WORKER_CRASHES], 1);
		my_slot->pid = MyProcPid;
		my_slot->proc_number = MF_MY_PROC_NUMBER;
		my_slot->end = MF_END_CRASH;
		my_slot->started_at = GetCurrentTimestamp();
		my_slot->in_flight = my_slot->unrecorded = 0;
		my_slot->waiting_count = my_slot->waiting_more = 0;
		my_slot->frozen_until = 0;
		my_slot->failing = false;
		my_slot->history_error[0] = '\0';
		my_slot->wakeups = my_slot->transactions = my_slot->requests = 0;
		pg_atomic_fetch_or_u32(&my_slot->news, MF_NEWS_AGENDA);
		attached = true;
	}
	LWLockRelease(mf_shared->lock);

	if (attached)
		before_shmem_exit(detach_from_slot, (Datum) 0);
	return attached;
}

static void
detach_from_slot(int code, Datum arg)
{
	mf_sender_stop();
	mf_listener_end(my_slot, false);
	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	my_slot->pid = 0;
	my_slot->proc_number = MF_INVALID_PROC_NUMBER;
	my_slot->in_flight = 0;

	/* the launcher may have been restarted since, and not know us */
	if (my_slot->end != MF_END_NOT_WANTED)
		my_slot->wanted = true;
	mf_set_latch_of(mf_shared->launcher);
	LWLockRelease(mf_shared->lock);
	ConditionVariableBroadcast(&mf_shared->changed);
}

/* Ends the process in good order; the launcher reads the reason. */
static void
exit_worker(MfWorkerEnd end)
{
	mf_listener_end(my_slot, true);
	my_slot->end = end;
	proc_exit(0);
}

/*
 * Finds the extension, and takes on the role of the worker for good.  The commit
 * waits for no standby, because the listener, which we start later, is to store
 * webhooks in any case.  The commits before requests wait for the standby to confirm
 * this one, too.  False if the library does not work with the SQL objects.
 */
static bool
find_extension(void)
{
	bool		wanted;
	bool		fits;

	/* a shutdown cancels a wait for a lock */
	mf_process_begin_statements();
	if (ShutdownRequestPending)
		exit_worker(MF_END_RESTART);
	mf_process_start_transaction();
	my_slot->transactions++;
	do
		my_extension = get_extension_oid(MF_EXTENSION, true);
	while (OidIsValid(my_extension) && !mf_process_lock_extension(my_extension));
	wanted = OidIsValid(my_extension);
	fits = wanted && version_fits();
	if (fits)
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
		exit_worker(MF_END_NOT_WANTED);
	if (fits)
		mf_copy_guard_started();
	return fits;
}

/*
 * If the library does not work with the SQL objects, that is logged once, whichever
 * worker finds it, and shown in mf_worker_status for as long as it lasts.
 */
static bool
version_fits(void)
{
	ErrorData  *error = mf_sql_try(require_version, NULL);

	if (error != NULL && (!my_slot->outdated || strncmp(my_slot->last_error, error->message, MF_LAST_ERROR_SIZE - 1) != 0))
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 mf_log_event("version_mismatch", "nothing is sent: %s", error->message),
				 errhint("%s", error->hint)));
	if (error != NULL || my_slot->outdated)
		show_error(error != NULL ? error->message : NULL);
	my_slot->outdated = error != NULL;
	return error == NULL;
}

/* In mf_worker_status; NULL = no error any more */
static void
show_error(const char *error)
{
	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	strlcpy(my_slot->last_error, error != NULL ? error : "", sizeof(my_slot->last_error));
	my_slot->last_error_at = error != NULL ? GetCurrentTimestamp() : 0;
	LWLockRelease(mf_shared->lock);
}

static void
require_version(void *argument)
{
	mf_sql_require_version();
}

/*
 * Until something happens that may have changed the version.  ALTER EXTENSION sends this
 * process away, and the next one finds the new version.
 */
static void
wait_for_version(void)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, MF_WAIT_MAX_MS, PG_WAIT_EXTENSION);
	my_slot->wakeups++;
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	if (catchupInterruptPending)
		ProcessCatchupInterrupt();
	if (ConfigReloadPending)
		mf_process_read_settings();
	if (!mf_worker_enabled)
		exit_worker(MF_END_NOT_WANTED);
}

/* A shutdown meanwhile is not logged as an error.  Any other one ends the process, and mf_check() shows it. */
static void
begin_service(void)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		while (!find_extension())
			wait_for_version();
	}
	PG_CATCH();
	{
		if (!ShutdownRequestPending || geterrcode() != ERRCODE_QUERY_CANCELED)
		{
			MemoryContextSwitchTo(context);
			show_error(CopyErrorData()->message);
			PG_RE_THROW();
		}
		FlushErrorState();
		AbortCurrentTransaction();
		exit_worker(MF_END_RESTART);
	}
	PG_END_TRY();
}

/* Reads which accounts commits have changed. */
static void
read_changed_accounts(void)
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
 * When a round is needed without being woken.  After a round that failed, only its
 * delay counts; while sending is held, only answers that could not be recorded yet.
 */
static TimestampTz
next_round(bool held)
{
	return mf_round_failing() || held ? next_round_at : mf_earlier(next_round_at, mf_sender_alarm());
}

static void
wait_for_events(WaitEventSet *events, TimestampTz until)
{
	WaitEvent	occurred[3];
	int			timeout = mf_wait_ms(mf_http_timeout(mf_sender_http()), until);
	int64		end;

	if ((pg_atomic_read_u32(&my_slot->news) & MF_NEWS_AGENDA) != 0 && !mf_round_failing())
		timeout = 0;

	/* if this process was stopped meanwhile, another server may have taken over what became due */
	end = mf_http_clock() + (int64) timeout * 1000000;
	(void) WaitEventSetWait(events, timeout, occurred, lengthof(occurred), PG_WAIT_EXTENSION);
	mf_http_report_late_wakeup(mf_sender_http(), mf_http_clock() - end);
	my_slot->wakeups++;
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	if (catchupInterruptPending)
		ProcessCatchupInterrupt();
}

/* During a drain: wakes those who wait for it once nothing is in flight. */
static void
report_drain(void)
{
	bool		finished;

	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	my_slot->unsettled = mf_sender_unsettled();
	finished = my_slot->unsettled == 0 && !my_slot->drained;
	my_slot->drained = my_slot->unsettled == 0;
	LWLockRelease(mf_shared->lock);
	if (finished)
		ConditionVariableBroadcast(&mf_shared->changed);
}

/*
 * Shutdown: no new request leaves; waits for answers for a short time, and records
 * what is known then.
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
