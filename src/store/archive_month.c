/*
 * archive_month.c
 *	  Partitions of mf_invoice_archive.
 *
 * A partition is made as a table of its own and attached: that takes a lock on
 * mf_invoice_archive which conflicts with no query, as CREATE TABLE ... PARTITION
 * OF would.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/archive_month.c
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "commands/extension.h"
#include "commands/tablespace.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "base/settings.h"
#include "store/archive.h"

#define ARCHIVE "mf_invoice_archive"

/* What the partition of this month has is all that is older: rows that came in without our triggers may have any time. */
#define FIRST_MONTH (1969 * MONTHS_PER_YEAR + 11)

static void check_archive(Oid archive);
static bool has_partition(Oid archive, TimestampTz created_at);
static int	month_of(TimestampTz created_at);
static void make_partition(Oid schema, Oid archive, int month);
static char *beginning(int month);
static void revoke_rights(const char *name);
static void run(const char *command);

void
mf_archive_make_month(Oid schema, TimestampTz created_at)
{
	Oid			archive = get_relname_relid(ARCHIVE, schema);

	if (has_partition(archive, created_at))
		return;
	check_archive(archive);
	/* attaching takes it anyway; somebody who has had it may have made the partition */
	LockRelationOid(archive, ShareUpdateExclusiveLock);
	if (!has_partition(archive, created_at))
		make_partition(schema, archive, month_of(created_at));
}

/* It is that of the extension, and no other that has its name. */
static void
check_archive(Oid archive)
{
	if (!OidIsValid(archive) || get_rel_relkind(archive) != RELKIND_PARTITIONED_TABLE ||
		getExtensionOfObject(RelationRelationId, archive) != get_extension_oid(MF_EXTENSION, false))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is not the one that myfatoorah needs", ARCHIVE),
				 errhint("Give the extension's table its name back.")));
}

/* Whether a row of that time has a place. */
static bool
has_partition(Oid archive, TimestampTz created_at)
{
	Relation	relation;
	PartitionKey key;
	PartitionDesc partitions;
	Datum		value = TimestampTzGetDatum(created_at);
	bool		found = false;

	if (!OidIsValid(archive) || get_rel_relkind(archive) != RELKIND_PARTITIONED_TABLE)
		return false;
	relation = table_open(archive, AccessShareLock);
	key = RelationGetPartitionKey(relation);
	partitions = RelationGetPartitionDesc(relation, true);
	if (partitions->nparts > 0)
	{
		PartitionBoundInfo bounds = partitions->boundinfo;
		bool		equal;
		int			bound = partition_range_datum_bsearch(key->partsupfunc, key->partcollation, bounds, 1, &value, &equal);

		found = bounds->indexes[bound + 1] >= 0 || partition_bound_has_default(bounds);
	}
	table_close(relation, AccessShareLock);
	return found;
}

/* Months since the beginning of the first year */
static int
month_of(TimestampTz created_at)
{
	struct pg_tm tm;
	fsec_t		fsec;

	if (created_at < MF_TIME_MIN)
		return FIRST_MONTH;
	if (timestamp2tm(created_at, NULL, &tm, &fsec, NULL, NULL) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));
	return tm.tm_year * MONTHS_PER_YEAR + tm.tm_mon - 1;
}

/* The table is the owner's of mf_invoice_archive, and nobody else has a right to it. */
static void
make_partition(Oid schema, Oid archive, int month)
{
	char	   *named = psprintf(ARCHIVE "_%04d_%02d", month / MONTHS_PER_YEAR, month % MONTHS_PER_YEAR + 1);
	char	   *name = psprintf("%s.%s", quote_identifier(get_namespace_name(schema)), named);
	char	   *parent = psprintf("%s." ARCHIVE, quote_identifier(get_namespace_name(schema)));
	Oid			tablespace = get_rel_tablespace(archive);
	int			guc_level = NewGUCNestLevel();
	Oid			userid;
	int			security_context;

	if (OidIsValid(get_relname_relid(named, schema)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("invoices cannot be archived"),
				 errdetail("Table %s is there, and is no partition of %s.", named, ARCHIVE),
				 get_rel_relispartition(get_relname_relid(named, schema)) ?
				 errhint("If its detachment was interrupted, finish it, and rename the table: ALTER TABLE %s DETACH PARTITION %s FINALIZE",
						 ARCHIVE, named) :
				 errhint("Rename it, or attach it: ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%s) TO (%s)",
						 ARCHIVE, named, beginning(month), beginning(month + 1))));

	GetUserIdAndSecContext(&userid, &security_context);
	SetUserIdAndSecContext(mf_relation_owner(archive), security_context | SECURITY_LOCAL_USERID_CHANGE);
	(void) set_config_option("default_tablespace", OidIsValid(tablespace) ? get_tablespace_name(tablespace) : "",
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	run(psprintf("CREATE TABLE %s (LIKE %s INCLUDING CONSTRAINTS, PRIMARY KEY (id)) WITH (autovacuum_vacuum_insert_scale_factor = 0.1)", name, parent));
	run(psprintf("CREATE INDEX ON %s (invoice_id) WHERE invoice_id IS NOT NULL", name));
	run(psprintf("CREATE INDEX ON %s (customer_reference) WHERE customer_reference IS NOT NULL", name));
	run(psprintf("CREATE INDEX ON %s (created_at) WHERE erased_at IS NULL", name));
	run(psprintf("COMMENT ON TABLE %s IS 'archived invoices that were inserted in %04d-%02d, by UTC%s'", name,
				 month / MONTHS_PER_YEAR, month % MONTHS_PER_YEAR + 1, month == FIRST_MONTH ? ", or earlier" : ""));
	revoke_rights(name);
	run(psprintf("ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%s) TO (%s)", parent, name,
				 beginning(month), beginning(month + 1)));
	SetUserIdAndSecContext(userid, security_context);
	AtEOXact_GUC(true, guc_level);
}

/* As a bound of a partition */
static char *
beginning(int month)
{
	return month == FIRST_MONTH ? pstrdup("MINVALUE") :
		psprintf("'%04d-%02d-01 00:00:00+00'", month / MONTHS_PER_YEAR, month % MONTHS_PER_YEAR + 1);
}

/* Default privileges may have given some. */
static void
revoke_rights(const char *name)
{
	StringInfoData query;
	uint64		i;
	SPITupleTable *rows;

	initStringInfo(&query);
	appendStringInfo(&query,
					 "SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END "
					 "FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = %s::regclass AND a.grantee <> c.relowner",
					 quote_literal_cstr(name));
	if (SPI_execute(query.data, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the rights on %s", name);
	rows = SPI_tuptable;
	for (i = SPI_processed; i-- > 0;)
		run(psprintf("REVOKE ALL ON %s FROM %s", name, SPI_getvalue(rows->vals[i], rows->tupdesc, 1)));
}

static void
run(const char *command)
{
	int			result = SPI_execute(command, false, 0);

	if (result != SPI_OK_UTILITY)
		elog(ERROR, "could not run \"%s\": %s", command, SPI_result_code_string(result));
}
