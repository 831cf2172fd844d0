/*
 * launcher.c
 *	  Starts a worker for each database that has the extension.
 *
 * The launcher is connected to no database, so it cannot see which of them have the
 * extension.  When the server starts, and when the configuration is reloaded, it
 * starts a database scan, which requests workers.  Other processes request one for a
 * single database: CREATE EXTENSION, a changed setting, a new database, or the end of
 * a hold.  A worker that finds no extension, or is switched off, reports that and
 * ends.  So no list of databases is stored, and none can be wrong.
 *
 * The extension grants a function to its role in each database.  pg_shdepend, which all
 * databases share, has a row for each of these grants, so the scan of any database finds
 * all of them.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/worker/launcher.c
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_shdepend.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/log_event.h"
#include "base/settings.h"
#include "process/metrics.h"
#include "process/process.h"
#include "process/wait.h"
#include "worker/worker.h"

#define CRASH_DELAY_MS 1000		/* doubled with each consecutive crash */
#define CRASH_DELAY_MAX_MS 60000

/* A crash after this long is not consecutive to earlier ones. */
#define SETTLED_MS 60000

/* The longest delay between attempts to get a background worker slot */
#define NO_SLOT_DELAY_MAX_MS 10000

/* A database that does not allow connections is checked again after this. */
#define CLOSED_DELAY_MS 60000

/* Scans because a slot became free are at least this far apart. */
#define FREED_DELAY_MS 5000

typedef struct DatabaseEntry
{
	struct DatabaseEntry *next;
	Oid			database;
	BackgroundWorkerHandle *handle; /* NULL = not running */
	TimestampTz started_at;
	TimestampTz start_after;
	int			crashes;		/* consecutive */
	bool		requested;		/* since it was started */
} DatabaseEntry;

static DatabaseEntry *entries = NULL;
static bool scan_wanted = false;
static BackgroundWorkerHandle *scan_handle = NULL;
static int	scans_before;		/* mf_shared->scans when it was started */
static int	scan_failures = 0;	/* consecutive */
static TimestampTz scan_after = 0;
static TimestampTz freed_at = 0;	/* the latest scan because a slot became free */
static bool reported_no_slot = false;
static int	no_slot_delay = CRASH_DELAY_MS;
static TimestampTz no_slot_until = 0;	/* no background worker is tried before */
static bool reported_left_out = false;

static List *find_databases(bool connectable);
static bool is_database(Oid database, bool connectable);
static void attach_launcher(void);
static void detach_launcher(int code, Datum arg);
static void free_slot(MfSlot *slot);
static void attend_scan(void);
static void start_scan(TimestampTz now);
static void report_left_out(void);
static void collect_wanted(void);
static void attend_worker(DatabaseEntry *entry);
static bool is_wanted_again(DatabaseEntry *entry, TimestampTz now);
static int	crash_delay_ms(int earlier_crashes);
static bool start_process(const char *function, const char *kind, Oid database, BackgroundWorkerHandle **handle);
static void forget_lack_of_slots(void);
static int	wait_until(int timeout, TimestampTz at);
static int	milliseconds_to_next_start(void);
static List *databases_of_role(Oid role);

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
			scan_wanted = true;
		if (mf_clock_set_back() > 0)
		{
			scan_after = no_slot_until = 0;
			for (entry = entries; entry != NULL; entry = entry->next)
				entry->start_after = 0;
		}
		attend_scan();
		collect_wanted();

		for (entry = entries; entry != NULL; entry = next)
		{
			next = entry->next;
			attend_worker(entry);
		}
		forget_lack_of_slots();

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
	/* free the slots that a former launcher had no time to free */
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

/* The entry of a database, created if there is none */
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

/* Frees a slot unless it is in use.  The caller holds the lock. */
static void
free_slot(MfSlot *slot)
{
	if (!OidIsValid(slot->database) || slot->holds > 0 || slot->pid != 0 || slot->listener.pid != 0 ||
		slot->reactions.pid != 0 || slot->routes.pid != 0 || slot->wanted)
		return;
	slot->database = slot->metrics->database = InvalidOid;
	if (mf_shared->left_out > 0 && !scan_wanted)
	{
		TimestampTz now = GetCurrentTimestamp();

		/* the worker that this scan starts may end and free its slot at once */
		scan_wanted = true;
		scan_after = Max(now, freed_at == 0 ? 0 : TimestampTzPlusMilliseconds(freed_at, FREED_DELAY_MS));
		freed_at = scan_after;
	}
}

/* Removes the entry of a database, and frees its slot unless it is in use. */
static void
remove_entry(DatabaseEntry *entry)
{
	DatabaseEntry **link;
	MfSlot	   *slot = mf_lock_slot(entry->database, LW_EXCLUSIVE);

	if (slot != NULL)
	{
		free_slot(slot);
		LWLockRelease(mf_shared->lock);
	}

	for (link = &entries; *link != entry; link = &(*link)->next)
		;
	*link = entry->next;
	if (entry->handle != NULL)
		pfree(entry->handle);
	pfree(entry);
}

/* Starts a scan if one is wanted.  A scan that failed is repeated from another database. */
static void
attend_scan(void)
{
	TimestampTz now = GetCurrentTimestamp();
	pid_t		pid;

	if (scan_handle != NULL)
	{
		if (GetBackgroundWorkerPid(scan_handle, &pid) != BGWH_STOPPED)
			return;
		pfree(scan_handle);
		scan_handle = NULL;
		no_slot_until = 0;
		if (mf_shared->scans != scans_before)
		{
			scan_failures = 0;
			report_left_out();
		}
		else
		{
			scan_wanted = true;
			scan_after = TimestampTzPlusMilliseconds(now, crash_delay_ms(scan_failures++));
		}
	}
	if (scan_wanted && scan_after <= now && no_slot_until <= now)
		start_scan(now);
}

static void
start_scan(TimestampTz now)
{
	List	   *databases = find_databases(true);

	if (databases == NIL)
	{
		scan_after = TimestampTzPlusMilliseconds(now, CRASH_DELAY_MAX_MS);
		return;
	}
	scans_before = mf_shared->scans;
	scan_wanted = !start_process("mf_database_scan_main", "database scan",
								 list_nth_oid(databases, scan_failures % list_length(databases)), &scan_handle);
	list_free(databases);
}

/* Logged once, not for each scan and each database */
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
				 mf_log_event("database_left_out",
							  "no slot for another database with the extension myfatoorah"),
				 errdetail_plural("%d database with the extension has no worker.",
								  "%d databases with the extension have no worker.", left_out, left_out),
				 errhint("Raise myfatoorah.max_databases, which is %d, and restart the server.", mf_max_databases)));
	reported_left_out = left_out > 0;
}

/* Creates entries for the databases that need a worker. */
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

			/* the end of our worker decides when the next one starts */
			if (entry->handle != NULL)
				entry->requested = true;
			else
				entry->start_after = slot->end == MF_END_CRASH && slot->started_at != 0 ?
					TimestampTzPlusMilliseconds(GetCurrentTimestamp(), CRASH_DELAY_MS) : 0;
		}
	}
	LWLockRelease(mf_shared->lock);
}

/* Starts the worker of an entry if it is time; removes an entry that needs none. */
static void
attend_worker(DatabaseEntry *entry)
{
	TimestampTz now = GetCurrentTimestamp();
	MfSlot	   *slot;
	bool		needless = false;
	pid_t		pid;

	if (entry->handle != NULL)
	{
		if (GetBackgroundWorkerPid(entry->handle, &pid) != BGWH_STOPPED)
			return;
		pfree(entry->handle);
		entry->handle = NULL;
		no_slot_until = 0;
		if (!is_wanted_again(entry, now))
		{
			remove_entry(entry);
			return;
		}
	}
	entry->requested = false;
	if (entry->start_after > now || no_slot_until > now)
		return;

	slot = mf_lock_slot(entry->database, LW_SHARED);
	if (slot != NULL)
	{
		needless = slot->holds > 0 || slot->pid != 0;
		LWLockRelease(mf_shared->lock);
	}

	/*
	 * The end of a hold, or of a worker of a former launcher, requests another one. Nobody reports that a database
	 * allows connections again, so it is checked.
	 */
	if (needless)
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

/* After the end of a worker: whether to start another one, and when. */
static bool
is_wanted_again(DatabaseEntry *entry, TimestampTz now)
{
	MfWorkerEnd end = MF_END_CRASH;
	MfSlot	   *slot = mf_lock_slot(entry->database, LW_SHARED);

	if (slot != NULL)
	{
		end = slot->end;
		LWLockRelease(mf_shared->lock);
	}

	switch (end)
	{
		case MF_END_NOT_WANTED:
			/* it may have decided that just before it was requested */
			if (!entry->requested)
				return false;
			entry->start_after = now;
			break;
		case MF_END_RESTART:
			entry->crashes = 0;
			entry->start_after = now;
			break;
		case MF_END_CRASH:
			if (TimestampDifferenceExceeds(entry->started_at, now, SETTLED_MS))
				entry->crashes = 0;
			entry->start_after = TimestampTzPlusMilliseconds(now, crash_delay_ms(entry->crashes++));
			break;
	}
	return true;
}

static int
crash_delay_ms(int earlier_crashes)
{
	return Min(CRASH_DELAY_MS << Min(earlier_crashes, 6), CRASH_DELAY_MAX_MS);
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

/* Once every process is running, a lack of slots is logged again. */
static void
forget_lack_of_slots(void)
{
	DatabaseEntry *entry;

	for (entry = entries; entry != NULL; entry = entry->next)
	{
		if (entry->handle == NULL)
			return;
	}
	if (scan_wanted && scan_handle == NULL)
		return;
	reported_no_slot = false;
	no_slot_delay = CRASH_DELAY_MS;
	no_slot_until = 0;
}

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
	if (scan_wanted && scan_handle == NULL)
		timeout = wait_until(timeout, Max(scan_after, no_slot_until));
	return timeout;
}

/* The shorter of a time-out and the time until "at" */
static int
wait_until(int timeout, TimestampTz at)
{
	return at == 0 ? 0 : mf_wait_ms(timeout, at);
}

/* The OIDs of all databases, or of those that a worker may connect to; in the current memory context */
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

		/* a template with a connection cannot be copied */
		if (!connectable || (database->datallowconn && !database->datistemplate && database->datconnlimit >= -1))
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

/* Whether a database exists, or a worker may connect to it */
static bool
is_database(Oid database, bool connectable)
{
	List	   *found = find_databases(connectable);
	bool		result = list_member_oid(found, database);

	list_free(found);
	return result;
}

void
mf_database_scan_main(Datum main_arg)
{
	List	   *databases = NIL;
	MemoryContext context = CurrentMemoryContext;
	Oid			role;
	int			left_out = 0;
	int			i;

	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(main_arg), InvalidOid, 0);

	StartTransactionCommand();
	role = get_role_oid(MF_WORKER_ROLE, true);
	if (OidIsValid(role))
	{
		MemoryContextSwitchTo(context);
		databases = databases_of_role(role);
	}
	CommitTransactionCommand();

	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	for (i = 0; i < list_length(databases); i++)
	{
		/* if slots are too few, each scan begins with another database */
		Oid			database = list_nth_oid(databases, (i + mf_shared->scans) % list_length(databases));
		MfSlot	   *slot = mf_find_slot(database, true);

		if (slot == NULL)
			left_out++;
		else if (slot->pid == 0)
			slot->wanted = true;
	}
	mf_shared->left_out = left_out;
	mf_shared->scans++;
	mf_set_latch_of(mf_shared->launcher);
	LWLockRelease(mf_shared->lock);
	proc_exit(0);
}

/* The databases in which a function depends on a role, in the current context. */
static List *
databases_of_role(Oid role)
{
	Relation	relation = table_open(SharedDependRelationId, AccessShareLock);
	List	   *databases = NIL;
	SysScanDesc scan;
	ScanKeyData keys[2];
	HeapTuple	tuple;

	ScanKeyInit(&keys[0], Anum_pg_shdepend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(AuthIdRelationId));
	ScanKeyInit(&keys[1], Anum_pg_shdepend_refobjid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(role));
	scan = systable_beginscan(relation, SharedDependReferenceIndexId, true, NULL, 2, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_shdepend row = (Form_pg_shdepend) GETSTRUCT(tuple);

		if (OidIsValid(row->dbid) && row->classid == ProcedureRelationId)
			databases = list_append_unique_oid(databases, row->dbid);
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return databases;
}
