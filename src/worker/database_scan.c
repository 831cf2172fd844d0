/*
 * database_scan.c
 *	  Finds the databases that have the extension.
 *
 * The extension gives its role the right to a function in each database that has
 * it, and PostgreSQL notes in pg_shdepend, which all databases share, in which
 * database a function depends on a role.  One short look from one database thus finds
 * them all, however many there are.  A database that was found without having
 * the extension costs a worker that leaves at once.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/worker/database_scan.c
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_authid.h"
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
#include "database/sql.h"
#include "process/worker_slots.h"
#include "worker/launcher.h"

static List *databases_of_role(Oid role);

/* Entry point of the probe; the argument is the database to look from. */
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
		/* where there are too few slots, another one is the first each time */
		Oid			database = list_nth_oid(databases, (i + mf_shared->probes) % list_length(databases));
		MfSlot	   *slot = mf_find_slot(database, true);

		if (slot == NULL)
			left_out++;
		else if (slot->pid == 0)
			slot->wanted = true;
	}
	mf_shared->left_out = left_out;
	mf_shared->probes++;
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
