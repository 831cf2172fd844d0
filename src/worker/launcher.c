/*
 * launcher.c
 *	  Starts one worker per database that has the extension.
 *
 * The launcher is connected to no database, so it cannot see where the
 * extension is.  At server start, and when the configuration is read again, it
 * sends a probe that looks.  A worker that finds no extension after all, or finds
 * itself switched off, says so and leaves.  Later the databases that ask get a
 * worker: CREATE EXTENSION, a changed setting, a new database, or the end of a
 * hold.  No list is kept anywhere, so none can be wrong.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/worker/launcher.c
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

#include "base/compat.h"
#include "base/settings.h"
#include "process/background_worker.h"
#include "process/process.h"
#include "process/wait.h"
#include "process/wakeup.h"
#include "process/worker_slots.h"
#include "worker/launcher.h"

#define CRASH_DELAY_MS 1000		/* doubled with every crash in a row */
#define CRASH_DELAY_MAX_MS 60000

/* A worker that ran this long was no crash at start. */
#define SETTLED_MS 60000

/* While there is no free background worker slot it is looked for so often, at last. */
#define NO_SLOT_DELAY_MAX_MS 10000

/* A database that takes no connections is looked at again after this. */
#define CLOSED_DELAY_MS 60000

/* Slots that become free are offered to databases that are left out so often. */
#define FREED_DELAY_MS 5000

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
static bool probe_wanted = false;
static BackgroundWorkerHandle *probe = NULL;
static int	probes_before;		/* mf_shared->probes when it was started */
static int	probe_failures = 0; /* in a row */
static TimestampTz probe_after = 0;
static TimestampTz freed_at = 0;	/* when a probe was last sent for a slot that became free */
static bool reported_no_slot = false;
static int	no_slot_delay = CRASH_DELAY_MS;
static TimestampTz no_slot_until = 0;	/* no background worker can be started before */
static bool reported_left_out = false;

static void attach_launcher(void);
static void detach_launcher(int code, Datum arg);
static DatabaseEntry *get_entry(Oid database);
static void free_slot(MfSlot *slot);
static void remove_entry(DatabaseEntry *entry);
static List *find_databases(bool connectable);
static void look_after_probe(void);
static void start_probe(TimestampTz now);
static void report_left_out(void);
static bool is_database(Oid database, bool connectable);
static bool database_connectable(Form_pg_database database);
static void collect_wanted(void);
static void look_after(DatabaseEntry *entry);
static bool start_process(const char *function, const char *kind, Oid database, BackgroundWorkerHandle **handle);
static void settle_slots(void);
static int	wait_until(int timeout, TimestampTz at);
static int	milliseconds_to_next_start(void);

void
mf_launcher_register(void)
{
	mf_background_worker_register("mf_launcher_main", "launcher");
}

/* Entry point of the launcher process. */
void
mf_launcher_main(Datum main_arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	mf_process_read_settings();
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
			probe_wanted = true;
		look_after_probe();
		collect_wanted();

		for (entry = entries; entry != NULL; entry = next)
		{
			next = entry->next;
			look_after(entry);
		}
		settle_slots();

		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | WL_TIMEOUT, milliseconds_to_next_start(),
						 PG_WAIT_EXTENSION);
	}
}

/* Makes this process the one that mf_wake_launcher() wakes. */
static void
attach_launcher(void)
{
	int			i;

	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	mf_shared->launcher = MF_MY_PROC_NUMBER;
	/* what a launcher before us had in hand and nobody needs */
	for (i = 0; i < mf_max_databases; i++)
		free_slot(&mf_shared->slots[i]);
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

/* The entry of a database, made if need be. */
static DatabaseEntry *
get_entry(Oid database)
{
	DatabaseEntry *entry;

	for (entry = entries; entry != NULL; entry = entry->next)
	{
		if (entry->database == database)
			return entry;
	}
	entry = (DatabaseEntry *) MemoryContextAllocZero(TopMemoryContext, sizeof(DatabaseEntry));
	entry->database = database;
	entry->next = entries;
	entries = entry;
	return entry;
}

/* Gives a slot back unless somebody needs it; under the lock. */
static void
free_slot(MfSlot *slot)
{
	if (!OidIsValid(slot->database) || slot->holds > 0 || slot->pid != 0 || slot->listener.pid != 0 ||
		slot->reactions.pid != 0 || slot->wanted)
		return;
	slot->database = InvalidOid;
	if (mf_shared->left_out > 0 && !probe_wanted)
	{
		TimestampTz now = GetCurrentTimestamp();

		/* one that has come and gone in vain must not send the next probe at once */
		probe_wanted = true;
		probe_after = Max(now, freed_at == 0 ? 0 : TimestampTzPlusMilliseconds(freed_at, FREED_DELAY_MS));
		freed_at = probe_after;
	}
}

/* Forgets a database, and gives its slot back unless a session holds it. */
static void
remove_entry(DatabaseEntry *entry)
{
	DatabaseEntry **link;
	MfSlot	   *slot;

	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	slot = mf_find_slot(entry->database, false);
	if (slot != NULL)
		free_slot(slot);
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

/* All databases, or those that a worker could serve, in the current memory context. */
static List *
find_databases(bool connectable)
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

		if (!connectable || database_connectable(database))
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

/* Sends a probe that is wanted; one that did not come to an end is sent again, from another database. */
static void
look_after_probe(void)
{
	TimestampTz now = GetCurrentTimestamp();
	pid_t		pid;

	if (probe != NULL)
	{
		if (GetBackgroundWorkerPid(probe, &pid) != BGWH_STOPPED)
			return;
		pfree(probe);
		probe = NULL;
		no_slot_until = 0;
		if (mf_shared->probes != probes_before)
		{
			probe_failures = 0;
			report_left_out();
		}
		else
		{
			probe_wanted = true;
			probe_after = TimestampTzPlusMilliseconds(now, Min(CRASH_DELAY_MS << Min(probe_failures, 6),
															   CRASH_DELAY_MAX_MS));
			probe_failures++;
		}
	}
	if (probe_wanted && probe_after <= now && no_slot_until <= now)
		start_probe(now);
}

static void
start_probe(TimestampTz now)
{
	List	   *databases = find_databases(true);

	if (databases == NIL)
	{
		probe_after = TimestampTzPlusMilliseconds(now, CRASH_DELAY_MAX_MS);
		return;
	}
	probes_before = mf_shared->probes;
	probe_wanted = !start_process("mf_database_scan_main", "database scan",
								  list_nth_oid(databases, probe_failures % list_length(databases)), &probe);
	list_free(databases);
}

/* One line when some are left out, not one for each of them and each probe. */
static void
report_left_out(void)
{
	int			left_out;

	LWLockAcquire(mf_shared->lock, LW_SHARED);
	left_out = mf_shared->left_out;
	LWLockRelease(mf_shared->lock);
	if (left_out > 0 && !reported_left_out)
		ereport(LOG,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("myfatoorah cannot serve another database"),
				 errdetail_plural("%d database with the extension has no worker.",
								  "%d databases with the extension have no worker.", left_out, left_out),
				 errhint("Raise myfatoorah.max_databases, which is %d, and restart the server.", mf_max_databases)));
	reported_left_out = left_out > 0;
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
			entry = get_entry(slot->database);

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
		no_slot_until = 0;

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
	if (entry->start_after > now || no_slot_until > now)
		return;

	LWLockAcquire(mf_shared->lock, LW_SHARED);
	slot = mf_find_slot(entry->database, false);
	held = slot != NULL && slot->holds > 0;
	served = slot != NULL && slot->pid != 0;
	LWLockRelease(mf_shared->lock);

	/*
	 * The end of the hold, or of the worker that a launcher before us started, asks again; a database that is gone
	 * never does.  Of one that takes no connections for a while nobody else may tell that it does again.
	 */
	if (held || served)
		remove_entry(entry);
	else if (is_database(entry->database, true))
	{
		if (start_process("mf_worker_main", "worker", entry->database, &entry->handle))
			entry->started_at = GetCurrentTimestamp();
	}
	else if (is_database(entry->database, false))
		entry->start_after = TimestampTzPlusMilliseconds(now, CLOSED_DELAY_MS);
	else
		remove_entry(entry);
}

static bool
is_database(Oid database, bool connectable)
{
	List	   *found = find_databases(connectable);
	bool		result = list_member_oid(found, database);

	list_free(found);
	return result;
}

/* Starts a process; if no background worker slot is free, none is tried for a while. */
static bool
start_process(const char *function, const char *kind, Oid database, BackgroundWorkerHandle **handle)
{
	if (mf_background_worker_start(function, kind, database, handle, !reported_no_slot))
		return true;
	reported_no_slot = true;
	no_slot_until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), no_slot_delay);
	no_slot_delay = Min(no_slot_delay * 2, NO_SLOT_DELAY_MAX_MS);
	return false;
}

/* Once all have a slot, the want of one is news again. */
static void
settle_slots(void)
{
	DatabaseEntry *entry;

	for (entry = entries; entry != NULL; entry = entry->next)
	{
		if (entry->handle == NULL)
			return;
	}
	if (probe_wanted && probe == NULL)
		return;
	reported_no_slot = false;
	no_slot_delay = CRASH_DELAY_MS;
	no_slot_until = 0;
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
			timeout = wait_until(timeout, Max(entry->start_after, no_slot_until));
	}
	if (probe_wanted && probe == NULL)
		timeout = wait_until(timeout, Max(probe_after, no_slot_until));
	return timeout;
}

/* The shorter one; 0 = it was long ago. */
static int
wait_until(int timeout, TimestampTz at)
{
	return at == 0 ? 0 : mf_wait_ms(timeout, at);
}
