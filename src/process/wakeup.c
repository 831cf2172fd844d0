/*
 * wakeup.c
 *	  Wakes the processes of the extension, at once or when a transaction
 *	  commits.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/process/wakeup.c
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "utils/builtins.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "process/wait.h"
#include "process/wakeup.h"

/* What a worker is woken for; all zero = nothing */
typedef struct WorkerWakeup
{
	int			changed_count;	/* as in MfSlot */
	NameData	changed[MF_CHANGED_ACCOUNTS];
	uint32		news;			/* bits of MfNews and MfTryNow; 0 = the worker is not to be woken */
	TimestampTz written_at;		/* what was made due at once is due by then */
} WorkerWakeup;

/* What is to be done at the commit of the current transaction */
typedef struct Pending
{
	WorkerWakeup worker;		/* of this database */
	bool		waiting;		/* wake those who wait for invoices */
	bool		routes;			/* the listener is to read its routes */
	Oid			launch;			/* database to start a worker for */
	Oid			restart;		/* database to restart the worker of */
} Pending;

static Pending pending;
static WorkerWakeup late_wakeup;	/* for at_release() */

static WorkerWakeup *wake_at_commit(uint32 news);
static void register_callbacks(void);
static void at_transaction_end(XactEvent event, void *arg);
static void at_release(ResourceReleasePhase phase, bool is_commit, bool is_top_level, void *arg);
static void note_prepared(void);
static void at_commit(const Pending *work);
static void add_account(int *count, NameData *accounts, const char *account);
static void wake_worker(Oid database, const WorkerWakeup *wakeup);
static void routes_changed(Oid database);
static void restart_worker(Oid database);
static void wake_listener(Oid database);

void
mf_wake_worker_at_commit(void)
{
	mf_wake_account_at_commit(NULL);
}

void
mf_wake_account_at_commit(const char *account)
{
	WorkerWakeup *wakeup = wake_at_commit(0);

	add_account(&wakeup->changed_count, wakeup->changed, account);
}

void
mf_news_at_commit(uint32 news)
{
	(void) wake_at_commit(news);
	/* what was put off, and who is paused, may be any account */
	if ((news & (MF_TRY_ANY | MF_NEWS_PAUSE)) != 0)
		mf_wake_worker_at_commit();
}

void
mf_wake_waiting_at_commit(void)
{
	register_callbacks();
	pending.waiting = true;
}

void
mf_routes_changed_at_commit(void)
{
	register_callbacks();
	pending.routes = true;
}

void
mf_wake_launcher_at_commit(Oid database)
{
	register_callbacks();
	pending.launch = database;
}

void
mf_restart_worker_at_commit(Oid database)
{
	register_callbacks();
	pending.restart = database;
}

static WorkerWakeup *
wake_at_commit(uint32 news)
{
	TimestampTz now = Max(GetCurrentTransactionStartTimestamp(), GetCurrentTimestamp());

	register_callbacks();
	pending.worker.news |= MF_NEWS_AGENDA | news;
	pending.worker.written_at = Max(pending.worker.written_at, now);
	return &pending.worker;
}

/* Once per backend, because callbacks are not de-duplicated. */
static void
register_callbacks(void)
{
	static bool registered = false;

	if (registered)
		return;
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterResourceReleaseCallback(at_release, NULL);
	registered = true;
}

/* The changes are visible to others when the callbacks of a commit run. */
static void
at_transaction_end(XactEvent event, void *arg)
{
	Pending		work;

	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PARALLEL_COMMIT:
			work = pending;
			memset(&pending, 0, sizeof(pending));
			at_commit(&work);
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PARALLEL_ABORT:
			/* claims may have passed over what this session had locked; rounds of the worker are repeated anyway */
			pending.worker.news &= MF_NEWS_INQUIRIES | MF_NEWS_OPERATIONS;
			if (pending.worker.news != 0 && MyBgworkerEntry == NULL)
				wake_worker(MyDatabaseId, &(WorkerWakeup) {.news = MF_NEWS_AGENDA | pending.worker.news});
			memset(&pending, 0, sizeof(pending));
			break;
		case XACT_EVENT_PREPARE:
			note_prepared();
			memset(&pending, 0, sizeof(pending));
			break;
		default:
			break;
	}
}

/* COMMIT PREPARED, in any session, finds in the slot by when the rows are due. */
static void
note_prepared(void)
{
	MfSlot	   *slot = pending.worker.news != 0 ? mf_lock_slot(MyDatabaseId, LW_EXCLUSIVE) : NULL;

	if (slot == NULL)
		return;
	slot->prepared_until = Max(slot->prepared_until, pending.worker.written_at);
	LWLockRelease(mf_shared->lock);
}

static void
at_commit(const Pending *work)
{
	if ((work->worker.news & MF_TRY_ANY) != 0)
		late_wakeup = work->worker;
	else if (work->worker.news != 0)
		wake_worker(MyDatabaseId, &work->worker);
	if (work->waiting && mf_shared != NULL)
	{
		ConditionVariableBroadcast(&mf_shared->invoices);
		wake_listener(MyDatabaseId);
	}
	if (work->routes)
		routes_changed(MyDatabaseId);
	if (OidIsValid(work->launch))
		mf_wake_launcher(work->launch);
	if (OidIsValid(work->restart))
		restart_worker(work->restart);
}

/*
 * A changed catalog is announced to other processes only after the callbacks of
 * the commit.  A worker that is to find a server or user mapping there is woken
 * after that.
 */
static void
at_release(ResourceReleasePhase phase, bool is_commit, bool is_top_level, void *arg)
{
	if (late_wakeup.news == 0 || phase != RESOURCE_RELEASE_AFTER_LOCKS || !is_top_level)
		return;
	wake_worker(MyDatabaseId, &late_wakeup);
	late_wakeup.news = 0;
}

/* Adds an account to a list unless it is there; NULL = any account. */
static void
add_account(int *count, NameData *accounts, const char *account)
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
mf_wake_worker(Oid database)
{
	WorkerWakeup wakeup;
	MfSlot	   *slot = mf_lock_slot(database, LW_SHARED);

	memset(&wakeup, 0, sizeof(wakeup));
	if (slot != NULL)
	{
		wakeup.written_at = slot->prepared_until;
		LWLockRelease(mf_shared->lock);
	}
	wakeup.changed_count = -1;
	wakeup.news = MF_NEWS_AGENDA | MF_NEWS_INQUIRIES | MF_NEWS_OPERATIONS | MF_NEWS_PAUSE | MF_TRY_REACTIONS;
	wake_worker(database, &wakeup);
	routes_changed(database);
}

static void
wake_worker(Oid database, const WorkerWakeup *wakeup)
{
	MfSlot	   *slot = mf_lock_slot(database, LW_EXCLUSIVE);
	bool		set_back;
	int			i;

	if (slot == NULL)
		return;

	/*
	 * If the clock was set back before the commit, what was made due at once is due in the future.  The
	 * worker may have looked for such rows before these could be seen.
	 */
	set_back = wakeup->written_at - GetCurrentTimestamp() >= MF_SET_BACK_MIN_US;
	if (wakeup->changed_count < 0 || set_back)
		slot->changed_count = -1;
	for (i = 0; i < wakeup->changed_count; i++)
		add_account(&slot->changed_count, slot->changed, NameStr(wakeup->changed[i]));
	pg_atomic_fetch_or_u32(&slot->news, wakeup->news | (set_back ? MF_TRY_ALL : 0));
	mf_set_latch_of(slot->proc_number);
	LWLockRelease(mf_shared->lock);
}

static void
routes_changed(Oid database)
{
	MfSlot	   *slot = mf_lock_slot(database, LW_SHARED);

	if (slot == NULL)
		return;
	pg_atomic_write_u32(&slot->routes.changed, 1);
	mf_set_latch_of(slot->listener.proc_number);
	LWLockRelease(mf_shared->lock);
}

static void
restart_worker(Oid database)
{
	MfSlot	   *slot = mf_lock_slot(database, LW_SHARED);

	if (slot != NULL)
	{
		if (slot->pid != 0)
			kill(slot->pid, SIGTERM);
		LWLockRelease(mf_shared->lock);
	}
	mf_wake_launcher(database);
}

/* Has the listener read payments again if a customer waits there. */
static void
wake_listener(Oid database)
{
	MfSlot	   *slot = mf_lock_slot(database, LW_SHARED);

	if (slot == NULL)
		return;
	if (slot->listener.pid != 0)
	{
		/* the listener sets "waiting" before it reads this flag */
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
