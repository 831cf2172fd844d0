/*
 * books.c
 *	  Keeps bills and receipts from being dropped unawares.
 *
 * Books are kept for years, and DROP EXTENSION asks nobody.  There are many ways to drop
 * an extension (its schema, its owner, what it requires), and all of them drop its tables one
 * by one.  So that is where it is refused.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * billing/src/books.c
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/dependency.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "commands/extension.h"
#include "executor/tuptable.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "books.h"

/* PostgreSQL 19: flags */
#if PG_VERSION_NUM >= 190000
#define begin_scan(relation, snapshot) table_beginscan(relation, snapshot, 0, NULL, 0)
#else
#define begin_scan(relation, snapshot) table_beginscan(relation, snapshot, 0, NULL)
#endif

static object_access_hook_type previous_hook = NULL;
static bool drop_books = false;

static void keep_books(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg);
static bool is_bills(Oid table);
static bool has_rows(Oid table);

void
mf_books_init(void)
{
	DefineCustomBoolVariable("myfatoorah_billing.drop_books",
							 "Lets the extension myfatoorah_billing be dropped with bills in it.",
							 NULL, &drop_books, false, PGC_SUSET, 0, NULL, NULL, NULL);
	previous_hook = object_access_hook;
	object_access_hook = keep_books;
}

/* No receipt is without a bill, so bills stand for all of it. */
static void
keep_books(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg)
{
	if (previous_hook)
		previous_hook(access, class_id, object_id, sub_id, arg);
	if (access != OAT_DROP || class_id != RelationRelationId || sub_id != 0 || drop_books ||
		!is_bills(object_id) || !has_rows(object_id))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			 errmsg("extension \"myfatoorah_billing\" has bills and is not dropped"),
			 errdetail("Bills, receipts and plans would be dropped with it."),
			 errhint("Dump them first. Then: SET myfatoorah_billing.drop_books = on")));
}

static bool
is_bills(Oid table)
{
	const char *name = get_rel_name(table);
	Oid			extension;

	if (name == NULL || strcmp(name, "mf_bill") != 0)
		return false;
	extension = get_extension_oid("myfatoorah_billing", true);
	return OidIsValid(extension) && getExtensionOfObject(RelationRelationId, table) == extension;
}

/* Indexes may be gone by now. */
static bool
has_rows(Oid table)
{
	Relation	relation = table_open(table, NoLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = begin_scan(relation, snapshot);
	TupleTableSlot *slot = table_slot_create(relation, NULL);
	bool		found = table_scan_getnextslot(scan, ForwardScanDirection, slot);

	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(relation, NoLock);
	return found;
}
