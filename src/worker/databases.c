/*
 * databases.c
 *	  Reads pg_database for the launcher, which is connected to no database.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/worker/databases.c
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "worker/databases.h"

static bool database_connectable(Form_pg_database database);

/* Whether a worker may connect. */
static bool
database_connectable(Form_pg_database database)
{
	/* a template with a connection cannot be copied */
	return database->datallowconn && !database->datistemplate && database->datconnlimit >= -1;
}

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

bool
mf_is_database(Oid database, bool connectable)
{
	List	   *found = mf_databases(connectable);
	bool		result = list_member_oid(found, database);

	list_free(found);
	return result;
}
