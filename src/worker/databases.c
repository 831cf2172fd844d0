/*
 * databases.c
 *	  Which databases there are, for the launcher, which is connected to none; and the
 *	  scan for those that have the extension.
 *
 * The extension grants a function to its role in each database.  pg_shdepend, which
 * all databases share, has a row for each of these grants, so one scan of it from
 * any database finds all of them.  A database that is found but lacks the extension
 * gets a worker that ends at once.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/worker/databases.c
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
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "tcop/tcopprot.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "base/settings.h"
#include "process/worker_slots.h"
#include "worker/worker.h"

static List *databases_of_role(Oid role);

List *
mf_databases(bool connectable)
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

bool
mf_is_database(Oid database, bool connectable)
{
	List	   *found = mf_databases(connectable);
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
