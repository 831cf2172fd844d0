/*
 * worker_slots.c
 *	  Shared memory: which worker serves which database, and how to wake it.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/process/worker_slots.c
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "replication/syncrep.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/settings.h"
#include "process/worker_slots.h"

#define HOLD_TIMEOUT_MS 2000

/* A drain whose switchover does not come ends by itself after this, behind its time-out. */
#define DRAIN_HOLD_MS (10 * 60 * 1000)

/* Databases that one transaction can hold; only ALTER DATABASE can need more than one. */
#define MAX_HOLDS 8

MfShared   *mf_shared = NULL;

static bool wake_worker_pending = false;
static int	changed_count = 0;		/* as in MfSlot */
static NameData changed[MF_CHANGED_ACCOUNTS];
static uint32 try_now_pending = 0;
static bool inquiries_pending = false;
static bool pause_pending = false;
static bool end_drain_pending = false;
static bool waiting_pending = false;
static Oid	launcher_pending = InvalidOid;	/* database to start a worker for */
static Oid	held_databases[MAX_HOLDS];
static int	held_count = 0;
static Oid	restart_pending = InvalidOid;
static bool xact_callback_registered = false;

/* A wake-up that waits for the end of the commit */
static struct
{
	bool		wanted;
	int			changes;
	uint32		try_now;
	bool		inquiries;
	bool		pause;
}			late_wake;

static shmem_startup_hook_type previous_shmem_startup_hook = NULL;
#if PG_VERSION_NUM >= 150000
static shmem_request_hook_type previous_shmem_request_hook = NULL;
#endif

static Size shared_size(void);
static void request_shared_memory(void);
static void start_shared_memory(void);
static void register_xact_callback(void);
static void at_transaction_end(XactEvent event, void *arg);
static void at_release(ResourceReleasePhase phase, bool is_commit, bool is_top_level, void *arg);
static void forget_pending(void);
static void release_holds(void);
static int	find_shown(const MfSlot *slot, const char *account);
static void note_change(int *count, NameData *accounts, const char *account);
static void wake_worker(Oid database, int changes, uint32 try_now, bool inquiries, bool pause);
static void restart_worker(Oid database);
static void end_drain_of(Oid database);

void
mf_wake_init(void)
{
#if PG_VERSION_NUM >= 150000
	previous_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_shared_memory;
#else
	request_shared_memory();
#endif
	previous_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = start_shared_memory;
}

static Size
shared_size(void)
{
	return add_size(offsetof(MfShared, slots), mul_size(sizeof(MfSlot), mf_max_databases));
}

static void
request_shared_memory(void)
{
#if PG_VERSION_NUM >= 150000
	if (previous_shmem_request_hook)
		previous_shmem_request_hook();
#endif
	RequestAddinShmemSpace(shared_size());
	RequestNamedLWLockTranche(MF_EXTENSION, 1);
}

static void
start_shared_memory(void)
{
	bool		found;

	if (previous_shmem_startup_hook)
		previous_shmem_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	mf_shared = (MfShared *) ShmemInitStruct(MF_EXTENSION, shared_size(), &found);
	if (!found)
	{
		int			i;

		memset(mf_shared, 0, shared_size());
		mf_shared->lock = &GetNamedLWLockTranche(MF_EXTENSION)->lock;
		ConditionVariableInit(&mf_shared->changed);
		ConditionVariableInit(&mf_shared->invoices);
		mf_shared->launcher = MF_INVALID_PROC_NUMBER;
		pg_atomic_init_u32(&mf_shared->rescan, 0);
		pg_atomic_init_u64(&mf_shared->notify_left_out_at, 0);
		pg_atomic_init_u64(&mf_shared->notify_told_at, 0);
		for (i = 0; i < mf_max_databases; i++)
			mf_shared->slots[i].proc_number = mf_shared->slots[i].listener.proc_number =
				mf_shared->slots[i].reactions.proc_number = MF_INVALID_PROC_NUMBER;
	}
	LWLockRelease(AddinShmemInitLock);
}

void
mf_wake_worker_at_commit(void)
{
	mf_wake_account_at_commit(NULL);
}

void
mf_wake_account_at_commit(const char *account)
{
	note_change(&changed_count, changed, account);
	wake_worker_pending = true;
	register_xact_callback();
}

/* Adds one to the list; NULL = any. */
static void
note_change(int *count, NameData *accounts, const char *account)
{
	int			i;

	for (i = 0; account != NULL && i < *count; i++)
	{
		if (strcmp(NameStr(accounts[i]), account) == 0)
			return;
	}
	if (account == NULL || *count < 0 || *count == MF_CHANGED_ACCOUNTS || strlen(account) >= NAMEDATALEN)
		*count = -1;
	else
		namestrcpy(&accounts[(*count)++], account);
}

int
mf_wake_read_changes(MfSlot *slot, NameData *accounts)
{
	int			count;

	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	count = slot->changed_count;
	if (count > 0)
		memcpy(accounts, slot->changed, count * sizeof(NameData));
	slot->changed_count = 0;
	LWLockRelease(mf_shared->lock);
	return count;
}

void
mf_try_now_at_commit(MfTryNow what)
{
	try_now_pending |= what;
	mf_wake_worker_at_commit();
}

void
mf_pause_at_commit(void)
{
	pause_pending = true;
	mf_wake_worker_at_commit();
}

void
mf_wake_inquiries_at_commit(void)
{
	inquiries_pending = wake_worker_pending = true;
	register_xact_callback();
}

void
mf_end_drain_at_commit(void)
{
	end_drain_pending = true;
	register_xact_callback();
}

void
mf_wake_waiting_at_commit(void)
{
	waiting_pending = true;
	register_xact_callback();
}

void
mf_wake_launcher_at_commit(Oid database)
{
	launcher_pending = database;
	register_xact_callback();
}

void
mf_restart_worker_at_commit(Oid database)
{
	restart_pending = database;
	register_xact_callback();
}

/*
 * Others learn that a catalog has changed only after the callbacks of the
 * commit: who is to find what he was lacking is woken after that.
 */
static void
at_release(ResourceReleasePhase phase, bool is_commit, bool is_top_level, void *arg)
{
	if (!late_wake.wanted || phase != RESOURCE_RELEASE_AFTER_LOCKS || !is_top_level)
		return;
	late_wake.wanted = false;
	wake_worker(MyDatabaseId, late_wake.changes, late_wake.try_now, late_wake.inquiries, late_wake.pause);
}

/* Once per backend, because callbacks are not de-duplicated. */
static void
register_xact_callback(void)
{
	if (!xact_callback_registered)
	{
		RegisterXactCallback(at_transaction_end, NULL);
		RegisterResourceReleaseCallback(at_release, NULL);
		xact_callback_registered = true;
	}
}

/*
 * Wakes after the commit is visible to others.  A prepared transaction is left
 * to the utility hook, which sees COMMIT PREPARED.
 */
static void
at_transaction_end(XactEvent event, void *arg)
{
	bool		worker = wake_worker_pending;
	int			changes = changed_count;
	uint32		try_now = try_now_pending;
	bool		inquiries = inquiries_pending;
	bool		pause = pause_pending;
	bool		waiting = waiting_pending;
	bool		end_drain = end_drain_pending;
	Oid			launcher = launcher_pending;
	Oid			restart = restart_pending;

	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PARALLEL_COMMIT:
			forget_pending();
			release_holds();
			if (end_drain)
				end_drain_of(MyDatabaseId);
			if (worker && try_now == 0)
				wake_worker(MyDatabaseId, changes, try_now, inquiries, pause);
			else if (worker)
			{
				late_wake.wanted = true;
				late_wake.changes = changes;
				late_wake.try_now = try_now;
				late_wake.inquiries = inquiries;
				late_wake.pause = pause;
			}
			if (waiting && mf_shared != NULL)
			{
				ConditionVariableBroadcast(&mf_shared->invoices);
				mf_wake_listener(MyDatabaseId);
			}
			if (OidIsValid(launcher))
				mf_wake_launcher(launcher);
			if (OidIsValid(restart))
				restart_worker(restart);
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PARALLEL_ABORT:
		case XACT_EVENT_PREPARE:
			forget_pending();
			release_holds();
			break;
		default:
			break;
	}
}

static void
forget_pending(void)
{
	wake_worker_pending = inquiries_pending = pause_pending = waiting_pending = end_drain_pending = false;
	changed_count = 0;
	try_now_pending = 0;
	launcher_pending = restart_pending = InvalidOid;
}

/* See worker_slots.h.  The caller holds the lock. */
void
mf_set_latch_of(int proc_number)
{
	if (proc_number != MF_INVALID_PROC_NUMBER)
		SetLatch(&ProcGlobal->allProcs[proc_number].procLatch);
}

int
mf_drain_database(Oid database, long timeout_ms)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), timeout_ms);
	MfSlot	   *slot;
	int			left = 0;

	/* a standby sends nothing, and shall not keep the hold when it is promoted */
	if (mf_shared == NULL || RecoveryInProgress())
		return 0;
	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	slot = mf_find_slot(database, true);
	if (slot != NULL)
	{
		/* a worker that starts later finds the hold, too */
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

		/* who is gone has nothing under way any more */
		LWLockAcquire(mf_shared->lock, LW_SHARED);
		left = slot->database != database || slot->pid == 0 || slot->drained ? 0 : Max(slot->unsettled, 1);
		LWLockRelease(mf_shared->lock);
		if (left == 0 || now >= deadline)
			break;
		ConditionVariableTimedSleep(&mf_shared->changed, TimestampDifferenceMilliseconds(now, deadline), PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
	return left;
}

/* From now on everything leaves as before. */
static void
end_drain_of(Oid database)
{
	MfSlot	   *slot;

	if (mf_shared == NULL)
		return;
	LWLockAcquire(mf_shared->lock, LW_SHARED);
	slot = mf_find_slot(database, false);
	if (slot != NULL)
		pg_atomic_write_u64(&slot->drain_until, 0);
	if (slot != NULL)
		mf_set_latch_of(slot->proc_number);
	LWLockRelease(mf_shared->lock);
}

TimestampTz
mf_drained_until(Oid database)
{
	MfSlot	   *slot;
	TimestampTz until = 0;

	if (mf_shared == NULL)
		return 0;
	LWLockAcquire(mf_shared->lock, LW_SHARED);
	slot = mf_find_slot(database, false);
	if (slot != NULL)
		until = (TimestampTz) pg_atomic_read_u64(&slot->drain_until);
	LWLockRelease(mf_shared->lock);
	return until > GetCurrentTimestamp() ? until : 0;
}

TimestampTz
mf_frozen_until(Oid database)
{
	MfSlot	   *slot;
	TimestampTz until = 0;

	if (mf_shared == NULL)
		return 0;
	LWLockAcquire(mf_shared->lock, LW_SHARED);
	slot = mf_find_slot(database, false);
	if (slot != NULL && slot->pid != 0)
		until = slot->frozen_until;
	LWLockRelease(mf_shared->lock);
	return until > GetCurrentTimestamp() ? until : 0;
}

bool
mf_waits_for_standby(int proc_number)
{
	return proc_number != MF_INVALID_PROC_NUMBER &&
		((volatile PGPROC *) &ProcGlobal->allProcs[proc_number])->syncRepState == SYNC_REP_WAITING;
}

/* Ends a worker, if there is one, and asks for a new one. */
static void
restart_worker(Oid database)
{
	MfSlot	   *slot;

	if (mf_shared == NULL)
		return;
	LWLockAcquire(mf_shared->lock, LW_SHARED);
	slot = mf_find_slot(database, false);
	if (slot != NULL && slot->pid != 0)
		kill(slot->pid, SIGTERM);
	LWLockRelease(mf_shared->lock);
	mf_wake_launcher(database);
}

void
mf_wake_worker(Oid database)
{
	wake_worker(database, -1, 0, true, true);
}

/* "changes": how many of "changed" the agenda has changed for. */
static void
wake_worker(Oid database, int changes, uint32 try_now, bool inquiries, bool pause)
{
	MfSlot	   *slot;
	int			i;

	if (mf_shared == NULL)
		return;
	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	slot = mf_find_slot(database, false);
	if (slot != NULL)
	{
		if (changes < 0)
			slot->changed_count = -1;
		for (i = 0; i < changes; i++)
			note_change(&slot->changed_count, slot->changed, NameStr(changed[i]));
		if (try_now != 0)
			pg_atomic_fetch_or_u32(&slot->try_now, try_now);
		if (inquiries)
			pg_atomic_write_u32(&slot->inquiries, 1);
		if (pause)
			pg_atomic_write_u32(&slot->pause, 1);
		pg_atomic_write_u32(&slot->work, 1);
		mf_set_latch_of(slot->proc_number);
	}
	LWLockRelease(mf_shared->lock);
}

void
mf_wake_listener(Oid database)
{
	MfSlot	   *slot;

	if (mf_shared == NULL)
		return;
	LWLockAcquire(mf_shared->lock, LW_SHARED);
	slot = mf_find_slot(database, false);
	if (slot != NULL && slot->listener.pid != 0)
	{
		/* it announces who waits before it looks at the flag */
		pg_atomic_write_u32(&slot->listener.reread, 1);
		pg_memory_barrier();
		if (pg_atomic_read_u32(&slot->listener.waiting) > 0)
			mf_set_latch_of(slot->listener.proc_number);
	}
	LWLockRelease(mf_shared->lock);
}

void
mf_wake_launcher(Oid database)
{
	MfSlot	   *slot = NULL;

	if (mf_shared == NULL)
		return;
	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	if (OidIsValid(database))
		slot = mf_find_slot(database, true);
	if (slot != NULL)
		slot->wanted = true;
	else
		pg_atomic_write_u32(&mf_shared->rescan, 1);
	mf_set_latch_of(mf_shared->launcher);
	LWLockRelease(mf_shared->lock);
}

/* See worker_slots.h.  The caller holds the lock. */
void
mf_tell_launcher(void)
{
	mf_set_latch_of(mf_shared->launcher);
}

void
mf_show_waiting(const char *account, TimestampTz until, bool again)
{
	MfSlot	   *slot;
	int			i;

	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	slot = mf_find_slot(MyDatabaseId, false);
	i = slot == NULL ? -1 : find_shown(slot, account);
	if (slot == NULL)
		;
	else if (i >= 0 && until != 0)
		slot->shown[i].until = until;
	else if (i >= 0)
		slot->shown[i] = slot->shown[--slot->shown_count];
	else if (until == 0)
		slot->not_shown--;
	else if (!again && slot->shown_count == MF_SHOWN_ACCOUNTS)
		slot->not_shown++;
	else if (!again)
	{
		namestrcpy(&slot->shown[slot->shown_count].account, account);
		slot->shown[slot->shown_count++].until = until;
	}
	LWLockRelease(mf_shared->lock);
}

int
mf_count_waiting(Oid database, const char *but, NameData *example)
{
	MfSlot	   *slot;
	int			count = 0;
	int			i;

	if (mf_shared == NULL)
		return 0;
	LWLockAcquire(mf_shared->lock, LW_SHARED);
	slot = mf_find_slot(database, false);
	if (slot != NULL && slot->pid != 0)
	{
		for (i = 0; i < slot->shown_count; i++)
		{
			if (namestrcmp(&slot->shown[i].account, but) == 0)
				continue;
			*example = slot->shown[i].account;
			count++;
		}
		count += slot->not_shown;
	}
	LWLockRelease(mf_shared->lock);
	return count;
}

MfShown
mf_shown_waiting(Oid database, const char *account, TimestampTz *until)
{
	MfShown		shown = MF_SHOWN_NOT_WAITING;
	MfSlot	   *slot;

	if (mf_shared == NULL)
		return shown;
	LWLockAcquire(mf_shared->lock, LW_SHARED);
	slot = mf_find_slot(database, false);
	if (slot != NULL && slot->pid != 0)
	{
		int			i = find_shown(slot, account);

		if (i >= 0)
		{
			shown = MF_SHOWN_WAITING;
			*until = slot->shown[i].until;
		}
		else if (slot->not_shown > 0)
			shown = MF_SHOWN_UNCERTAIN;
	}
	LWLockRelease(mf_shared->lock);
	return shown;
}

static int
find_shown(const MfSlot *slot, const char *account)
{
	int			i;

	for (i = slot->shown_count - 1; i >= 0; i--)
	{
		if (namestrcmp(unconstify(NameData *, &slot->shown[i].account), account) == 0)
			break;
	}
	return i;
}

/* See worker_slots.h.  The caller holds the lock, exclusively for "create". */
MfSlot *
mf_find_slot(Oid database, bool create)
{
	MfSlot	   *unused = NULL;
	int			i;

	for (i = 0; i < mf_max_databases; i++)
	{
		MfSlot	   *slot = &mf_shared->slots[i];

		if (slot->database == database)
			return slot;
		if (!OidIsValid(slot->database) && unused == NULL)
			unused = slot;
	}

	if (!create || unused == NULL)
		return NULL;
	memset(unused, 0, sizeof(MfSlot));
	unused->database = database;
	unused->changed_count = -1;
	pg_atomic_init_u32(&unused->work, 1);
	pg_atomic_init_u32(&unused->inquiries, 0);
	pg_atomic_init_u32(&unused->try_now, 0);
	pg_atomic_init_u32(&unused->pause, 0);
	pg_atomic_init_u64(&unused->drain_until, 0);
	pg_atomic_init_u32(&unused->listener.waiting, 0);
	pg_atomic_init_u32(&unused->listener.reread, 0);
	unused->proc_number = unused->listener.proc_number = unused->reactions.proc_number = MF_INVALID_PROC_NUMBER;
	return unused;
}

void
mf_hold_database(Oid database)
{
	TimestampTz start = GetCurrentTimestamp();
	MfSlot	   *slot;

	if (held_count == MAX_HOLDS)
		return;
	register_xact_callback();
	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	slot = mf_find_slot(database, true);
	if (slot != NULL)
		slot->holds++;
	LWLockRelease(mf_shared->lock);
	if (slot == NULL)
		return;
	held_databases[held_count++] = database;

	ConditionVariablePrepareToSleep(&mf_shared->changed);
	for (;;)
	{
		pid_t		pids[3];
		bool		any = false;
		int			i;

		LWLockAcquire(mf_shared->lock, LW_SHARED);
		pids[0] = slot->pid;
		pids[1] = slot->listener.pid;
		pids[2] = slot->reactions.pid;
		for (i = 0; i < (int) lengthof(pids); i++)
		{
			if (pids[i] == 0)
				continue;
			any = true;
			kill(pids[i], SIGTERM);
		}
		LWLockRelease(mf_shared->lock);

		if (!any ||
			TimestampDifferenceExceeds(start, GetCurrentTimestamp(), HOLD_TIMEOUT_MS))
			break;
		ConditionVariableTimedSleep(&mf_shared->changed, 100, PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
}

/* The transaction has ended: the workers that were sent away may come back. */
static void
release_holds(void)
{
	while (held_count > 0)
	{
		Oid			database = held_databases[--held_count];
		MfSlot	   *slot;

		LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
		slot = mf_find_slot(database, false);
		if (slot != NULL && slot->holds > 0)
			slot->holds--;
		LWLockRelease(mf_shared->lock);
		mf_wake_launcher(database);
	}
}
