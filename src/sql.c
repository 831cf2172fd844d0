/*
 * sql.c
 *	  Prepared statements on our own tables, run as the role myfatoorah_worker.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/sql.c
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "compat.h"
#include "myfatoorah.h"
#include "process.h"
#include "sql.h"

static void begin_scope(MfSqlScope *scope, Oid schema, Oid role);
static void prepare(MfStatement *statement, Oid schema);

/* See sql.h. */
void
mf_sql_begin(MfSqlScope *scope, Oid schema)
{
	begin_scope(scope, schema, mf_worker_role());
}

/* See sql.h. */
void
mf_sql_begin_as_caller(MfSqlScope *scope, Oid schema)
{
	begin_scope(scope, schema, GetUserId());
}

static void
begin_scope(MfSqlScope *scope, Oid schema, Oid role)
{
	scope->schema = schema;
	GetUserIdAndSecContext(&scope->userid, &scope->security_context);
	SetUserIdAndSecContext(role, scope->security_context | SECURITY_LOCAL_USERID_CHANGE);

	/* our processes have set it once and for all; the background workers of others run what users want, as sessions do */
	scope->guc_level = 0;
	if (!mf_process_is_ours)
	{
		scope->guc_level = NewGUCNestLevel();
		(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	}

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

/* See sql.h. */
void
mf_sql_end(MfSqlScope *scope)
{
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");
	if (scope->guc_level > 0)
		AtEOXact_GUC(true, scope->guc_level);
	SetUserIdAndSecContext(scope->userid, scope->security_context);
}

/*
 * See sql.h.  SPI leaves its own memory context behind, which ends with the
 * scope; what a caller reads from the result is wanted where it was before.
 */
uint64
mf_sql_execute(const MfSqlScope *scope, MfStatement *statement, const Datum *values, const char *nulls)
{
	MemoryContext context = CurrentMemoryContext;
	int			result;

	if (statement->plan == NULL || statement->schema != scope->schema)
		prepare(statement, scope->schema);

	result = SPI_execute_plan(statement->plan, unconstify(Datum *, values), nulls, false, 0);
	if (result < 0)
		elog(ERROR, "statement failed: %s", SPI_result_code_string(result));
	MemoryContextSwitchTo(context);
	return SPI_processed;
}

/* Makes and keeps the plan of a statement for a schema. */
static void
prepare(MfStatement *statement, Oid schema)
{
	char	   *name = get_namespace_name(schema);
	const char *p;
	StringInfoData text;
	SPIPlanPtr	plan;

	if (name == NULL)
		elog(ERROR, "cache lookup failed for schema %u", schema);

	initStringInfo(&text);
	for (p = statement->text; *p != '\0'; p++)
	{
		if (*p == '@')
			appendStringInfo(&text, "%s.", quote_identifier(name));
		else
			appendStringInfoChar(&text, *p);
	}

	if (statement->plan != NULL)
	{
		SPI_freeplan(statement->plan);
		statement->plan = NULL;
	}
	plan = SPI_prepare(text.data, statement->nargs, statement->types);
	if (plan == NULL)
		elog(ERROR, "could not prepare statement: %s", SPI_result_code_string(SPI_result));
	if (SPI_keepplan(plan) != 0)
		elog(ERROR, "could not keep plan");
	statement->plan = plan;
	statement->schema = schema;
	pfree(text.data);
}

/* See sql.h. */
Oid
mf_worker_role(void)
{
	Oid			role = get_role_oid(MF_WORKER_ROLE, true);

	if (!OidIsValid(role))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role \"%s\" does not exist", MF_WORKER_ROLE),
				 errdetail("CREATE EXTENSION myfatoorah makes it; somebody has dropped it."),
				 errhint("Drop and create the extension again, or restore the role and its rights from a dump.")));
	return role;
}

/* See sql.h. */
Oid
mf_extension_schema(void)
{
	Oid			extension = get_extension_oid(MF_EXTENSION, true);
	Oid			schema = InvalidOid;
	Relation	relation;
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;

	if (!OidIsValid(extension))
		return InvalidOid;

	relation = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_extension_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(extension));
	scan = systable_beginscan(relation, ExtensionOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		schema = ((Form_pg_extension) GETSTRUCT(tuple))->extnamespace;
	systable_endscan(scan);
	table_close(relation, AccessShareLock);

	return schema;
}
