/*
 * sql_version.c
 *	  Whether the SQL objects of this database are of a version that this library works with.
 *
 * Library and SQL objects are upgraded apart: the library is a file that a process
 * loads once, the objects change by ALTER EXTENSION UPDATE, in each database at a time
 * of its own.  The library works with the objects of MF_SQL_SINCE to MF_VERSION.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/database/sql_version.c
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "base/settings.h"
#include "database/sql_version.h"
#include "process/worker_slots.h"

static bool checked = false;	/* in this transaction */

static void at_transaction_end(XactEvent event, void *arg);
static char *installed_version(void);
static int	compare_versions(const char *left, const char *right);

void
mf_sql_require_version(void)
{
	static bool registered = false;
	char	   *version;
	bool		older;

	if (checked || creating_extension)
		return;
	if (!registered)
		RegisterXactCallback(at_transaction_end, NULL);
	registered = true;

	version = installed_version();
	older = version != NULL && compare_versions(version, MF_SQL_SINCE) < 0;
	if (older || (version != NULL && compare_versions(version, MF_VERSION) > 0))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the SQL objects of the extension \"%s\" are of version %s, which its library of version %s does not work with",
						MF_EXTENSION, version, MF_VERSION),
				 older ?
				 errhint("Run ALTER EXTENSION %s UPDATE in this database.", MF_EXTENSION) :
				 mf_shared != NULL ?
				 errhint("Install the library of version %s, and restart the server, which loads it then.", version) :
				 errhint("Install the library of version %s, and begin a new session, which loads it.", version)));
	if (version != NULL)
		pfree(version);
	checked = true;
}

void
mf_sql_version_changed(void)
{
	checked = false;
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	checked = false;
}

/* palloc'd; NULL if there is no extension */
static char *
installed_version(void)
{
	Relation	relation = table_open(ExtensionRelationId, AccessShareLock);
	char	   *version = NULL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ, CStringGetDatum(MF_EXTENSION));
	scan = systable_beginscan(relation, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;
		Datum		value = heap_getattr(tuple, Anum_pg_extension_extversion, RelationGetDescr(relation), &isnull);

		if (!isnull)
			version = TextDatumGetCString(value);
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return version;
}

/* Number by number: 1.10.0 is after 1.9.2. */
static int
compare_versions(const char *left, const char *right)
{
	while (*left != '\0' || *right != '\0')
	{
		char	   *left_end;
		char	   *right_end;
		unsigned long left_number = strtoul(left, &left_end, 10);
		unsigned long right_number = strtoul(right, &right_end, 10);

		if (left_number != right_number)
			return left_number < right_number ? -1 : 1;
		/* something else than numbers and points */
		if ((*left_end != '.' && *left_end != '\0') || (*right_end != '.' && *right_end != '\0'))
			return strcmp(left, right);
		left = left_end + (*left_end == '.' ? 1 : 0);
		right = right_end + (*right_end == '.' ? 1 : 0);
	}
	return 0;
}
