/*
 * launcher.c
 *	  Starts one worker per database that has the extension.
 *
 * The launcher is connected to no database, so it cannot see where the
 * extension is.  At server start it tries each connectable database once: a
 * worker that finds no extension, or finds itself switched off, says so and
 * leaves.  Later only the databases that ask are tried: CREATE EXTENSION, a
 * changed setting, a new database, or the end of a hold.  No list is kept
 * anywhere, so none can be wrong.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/launcher.c
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "launcher.h"
#include "myfatoorah.h"
#include "wait.h"
#include "wake.h"

/* Databases tried at the same time, so that others find a free worker slot. */
#define MAX_STARTING 2

#define CRASH_DELAY_MS 1000		/* doubled with every crash in a row */
#define CRASH_DELAY_MAX_MS 60000

/* A worker that ran this long was no crash at start. */
#define SETTLED_MS 60000

typedef struct DatabaseEntry
{
	struct DatabaseEntry *next;
	Oid			database;
	BackgroundWorkerHandle *handle; /* NULL = not started */
	TimestampTz started_at;
	TimestampTz start_after;	/* not before */
	int			crashes;		/* in a row */
	bool		again;			/* asked for while one was running or ending */
} DatabaseEntry;

static DatabaseEntry *entries = NULL;
static bool reported_no_slot = false;

static void attach_launcher(void);
static void detach_launcher(int code, Datum arg);
static bool add_entry(Oid database);
static void remove_entry(DatabaseEntry *entry);
static List *connectable_databases(void);
static void rescan_databases(void);
static bool still_connectable(Oid database);
static bool database_connectable(Form_pg_database database);
static void collect_wanted(void);
static void look_after(DatabaseEntry *entry);
static bool start_worker(DatabaseEntry *entry);
static int	milliseconds_to_next_start(void);

/* See launcher.h. */
void
mf_launcher_register(void)
{
	BackgroundWorker worker;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 1;
	snprintf(worker.bgw_library_name, BGW_MAXLEN, MF_EXTENSION);
	snprintf(worker.bgw_function_name, BGW_MAXLEN, "mf_launcher_main");
	snprintf(worker.bgw_name, BGW_MAXLEN, "myfatoorah launcher");
	snprintf(worker.bgw_type, BGW_MAXLEN, "myfatoorah launcher");
	RegisterBackgroundWorker(&worker);
}

/* Entry point of the launcher process. */
void
mf_launcher_main(Datum main_arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);

	attach_launcher();
	pg_atomic_write_u32(&mf_shared->rescan, 1);

	for (;;)
	{
		DatabaseEntry *entry;
		DatabaseEntry *next;

		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();

		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			pg_atomic_write_u32(&mf_shared->rescan, 1);
		}

		if (pg_atomic_exchange_u32(&mf_shared->rescan, 0) != 0)
			rescan_databases();
		collect_wanted();

		for (entry = entries; entry != NULL; entry = next)
		{
			next = entry->next;
			look_after(entry);
		}

		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | WL_TIMEOUT, milliseconds_to_next_start(),
						 PG_WAIT_EXTENSION);
	}
}

/* Makes this process the one that mf_wake_launcher() wakes. */
static void
attach_launcher(void)
{
	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	mf_shared->launcher = MF_MY_PROC_NUMBER;
	LWLockRelease(mf_shared->lock);
	before_shmem_exit(detach_launcher, (Datum) 0);
}

static void
detach_launcher(int code, Datum arg)
{
	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	mf_shared->launcher = MF_INVALID_PROC_NUMBER;
	LWLockRelease(mf_shared->lock);
}

/* Notes a database to be tried; false if it is noted already. */
static bool
add_entry(Oid database)
{
	DatabaseEntry *entry;

	for (entry = entries; entry != NULL; entry = entry->next)
	{
		if (entry->database == database)
			return false;
	}
	entry = (DatabaseEntry *) MemoryContextAllocZero(TopMemoryContext, sizeof(DatabaseEntry));
	entry->database = database;
	entry->next = entries;
	entries = entry;
	return true;
}

/* Forgets a database, and gives its slot back unless a session holds it. */
static void
remove_entry(DatabaseEntry *entry)
{
	DatabaseEntry **link;
	MfSlot	   *slot;

	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	slot = mf_find_slot(entry->database, false);
	if (slot != NULL && slot->holds == 0 && slot->pid == 0 && slot->listener.pid == 0 && !slot->wanted)
		slot->database = InvalidOid;
	LWLockRelease(mf_shared->lock);

	for (link = &entries; *link != entry; link = &(*link)->next)
		;
	*link = entry->next;
	if (entry->handle != NULL)
		pfree(entry->handle);
	pfree(entry);
}

/* Whether a worker could connect, and may without being in the way. */
static bool
database_connectable(Form_pg_database database)
{
	/* a worker in a template would keep others from copying it */
	return database->datallowconn && !database->datistemplate && database->datconnlimit >= -1;
}

/* The databases that a worker could serve, in the current memory context. */
static List *
connectable_databases(void)
{
	Relation	relation;
	TableScanDesc scan;
	HeapTuple	tuple;
	List	   *found = NIL;
	MemoryContext context = CurrentMemoryContext;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	relation = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(relation, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);

		if (database_connectable(database))
		{
			MemoryContext old = MemoryContextSwitchTo(context);

			found = lappend_oid(found, database->oid);
			MemoryContextSwitchTo(old);
		}
	}
	table_endscan(scan);
	table_close(relation, AccessShareLock);
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
	return found;
}

/* Notes every database that a worker could serve. */
static void
rescan_databases(void)
{
	List	   *found = connectable_databases();
	ListCell   *lc;

	foreach(lc, found)
		(void) add_entry(lfirst_oid(lc));
	list_free(found);
}

/* Notes the databases that asked for a worker. */
static void
collect_wanted(void)
{
	int			i;

	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	for (i = 0; i < mf_max_databases; i++)
	{
		MfSlot	   *slot = &mf_shared->slots[i];

		if (OidIsValid(slot->database) && slot->wanted && slot->pid == 0 && slot->holds == 0)
		{
			DatabaseEntry *entry;

			slot->wanted = false;
			(void) add_entry(slot->database);
			for (entry = entries; entry->database != slot->database; entry = entry->next)
				;

			/* the end of a worker that we started has its own rules */
			if (entry->handle != NULL)
				entry->again = true;
			else
				entry->start_after = slot->end == MF_END_CRASH && slot->started_at != 0 ?
					TimestampTzPlusMilliseconds(GetCurrentTimestamp(), CRASH_DELAY_MS) : 0;
		}
	}
	LWLockRelease(mf_shared->lock);
}

/* Starts the worker of an entry, or draws the consequence of its end. */
static void
look_after(DatabaseEntry *entry)
{
	BgwHandleStatus status;
	MfSlot	   *slot;
	MfWorkerEnd end = MF_END_CRASH;
	bool		held = false;
	bool		served = false;
	pid_t		pid;
	TimestampTz now = GetCurrentTimestamp();

	if (entry->handle != NULL)
	{
		int			delay = CRASH_DELAY_MS;
		int			i;

		status = GetBackgroundWorkerPid(entry->handle, &pid);
		if (status != BGWH_STOPPED)
			return;
		pfree(entry->handle);
		entry->handle = NULL;

		LWLockAcquire(mf_shared->lock, LW_SHARED);
		slot = mf_find_slot(entry->database, false);
		if (slot != NULL)
			end = slot->end;
		LWLockRelease(mf_shared->lock);

		switch (end)
		{
			case MF_END_NOT_WANTED:
				/* it may have looked just before it was wanted again */
				if (!entry->again)
				{
					remove_entry(entry);
					return;
				}
				entry->start_after = now;
				break;
			case MF_END_RESTART:
				entry->crashes = 0;
				entry->start_after = now;
				break;
			case MF_END_CRASH:
				if (TimestampDifferenceExceeds(entry->started_at, now, SETTLED_MS))
					entry->crashes = 0;
				for (i = 0; i < entry->crashes && delay < CRASH_DELAY_MAX_MS; i++)
					delay *= 2;
				entry->crashes++;
				entry->start_after = TimestampTzPlusMilliseconds(now, Min(delay, CRASH_DELAY_MAX_MS));
				break;
		}
	}

	entry->again = false;
	if (entry->start_after > now)
		return;

	LWLockAcquire(mf_shared->lock, LW_SHARED);
	slot = mf_find_slot(entry->database, false);
	held = slot != NULL && slot->holds > 0;
	served = slot != NULL && slot->pid != 0;
	LWLockRelease(mf_shared->lock);

	/*
	 * The end of the hold, or of the worker that a launcher before us started,
	 * asks again; a database that is gone never does.
	 */
	if (held || served || !still_connectable(entry->database))
		remove_entry(entry);
	else if (!start_worker(entry))
		entry->start_after = TimestampTzPlusMilliseconds(now, CRASH_DELAY_MS);
}

static bool
still_connectable(Oid database)
{
	List	   *found = connectable_databases();
	bool		result = list_member_oid(found, database);

	list_free(found);
	return result;
}

/* Starts a worker if few others are starting; false means: try again soon. */
static bool
start_worker(DatabaseEntry *entry)
{
	BackgroundWorker worker;
	DatabaseEntry *other;
	MemoryContext old;
	int			starting = 0;
	bool		ok;

	for (other = entries; other != NULL; other = other->next)
	{
		pid_t		pid;

		if (other->handle != NULL &&
			GetBackgroundWorkerPid(other->handle, &pid) == BGWH_NOT_YET_STARTED)
			starting++;
	}
	if (starting >= MAX_STARTING)
		return false;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	snprintf(worker.bgw_library_name, BGW_MAXLEN, MF_EXTENSION);
	snprintf(worker.bgw_function_name, BGW_MAXLEN, "mf_worker_main");
	snprintf(worker.bgw_name, BGW_MAXLEN, "myfatoorah worker for database %u", entry->database);
	snprintf(worker.bgw_type, BGW_MAXLEN, "myfatoorah worker");
	worker.bgw_main_arg = ObjectIdGetDatum(entry->database);
	worker.bgw_notify_pid = MyProcPid;

	old = MemoryContextSwitchTo(TopMemoryContext);
	ok = RegisterDynamicBackgroundWorker(&worker, &entry->handle);
	MemoryContextSwitchTo(old);

	if (!ok)
	{
		entry->handle = NULL;
		if (!reported_no_slot)
			ereport(LOG,
					(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					 errmsg("myfatoorah found no free background worker slot"),
					 errhint("Raise max_worker_processes; each database with the extension needs one.")));
		reported_no_slot = true;
		return false;
	}
	reported_no_slot = false;
	entry->started_at = GetCurrentTimestamp();
	return true;
}

/* How long to wait for the next start. */
static int
milliseconds_to_next_start(void)
{
	DatabaseEntry *entry;
	int			timeout = MF_WAIT_MAX_MS;

	for (entry = entries; entry != NULL; entry = entry->next)
	{
		if (entry->handle == NULL)
			timeout = entry->start_after == 0 ? 0 : mf_wait_ms(timeout, entry->start_after);
	}
	return timeout;
}
