/*
 * sql.c
 *	  Prepared statements on our own tables.
 *
 * Statements run as the role myfatoorah_worker, which has no rights, so that code
 * of users that runs within them, such as triggers, has no rights either.  The
 * statement itself has the rights of the owner of our tables, and row-level
 * security does not apply to it, as if it stood in a view of that owner.
 *
 * A statement names its tables, and others can give these names to other tables:
 * whoever may rename our schema can create one of that name with tables and
 * triggers of his own.  So whenever a statement is analyzed, the tables that were
 * found are compared with those of the extension.
 *
 * The hooks that do so are in sql_hooks.c.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/database/sql.c
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "base/failpoint.h"
#include "base/settings.h"
#include "database/sql.h"
#include "database/sql_private.h"
#include "database/sql_version.h"
#include "process/process.h"

struct MfPlan
{
	SPIPlanPtr	plan;
	MfActiveStatement statement;
	NameData	schema_name;	/* of an MfStatement: name of the schema in its text, */
	uint64		schema_changes; /* and the counter when that was compared last */
};

const MfActiveStatement *mf_active_statement = NULL;

/* counts invalidations of schemas, whose names may have changed */
static uint64 schema_changes = 0;
static bool callback_registered = false;

static void open_scope(MfSqlScope *scope, Oid schema, Oid role, int security_context);
static void prepare_statement(MfStatement *statement, const MfSqlScope *scope);
static void free_plan(void *plan);
static void count_schema_changes(Datum arg, int cacheid, uint32 hashvalue);

void
mf_sql_begin(MfSqlScope *scope, Oid schema)
{
	/* FORCE ROW LEVEL SECURITY of the owner is not meant for our statements */
	open_scope(scope, schema, mf_worker_role(), SECURITY_NOFORCE_RLS);
	scope->as_owner = true;
}

void
mf_sql_begin_as_caller(MfSqlScope *scope, Oid schema)
{
	open_scope(scope, schema, GetUserId(), 0);
	scope->as_owner = false;
}

static void
open_scope(MfSqlScope *scope, Oid schema, Oid role, int security_context)
{
	MemoryContext context = CurrentMemoryContext;

	mf_sql_require_version();
	scope->schema = schema;
	scope->in_query = false;
	scope->latest = false;
	GetUserIdAndSecContext(&scope->userid, &scope->security_context);
	SetUserIdAndSecContext(role, scope->security_context | SECURITY_LOCAL_USERID_CHANGE | security_context);

	/* our processes set it at their start, but functions of users may set another */
	scope->guc_level = 0;
	if (strcmp(namespace_search_path, MF_SAFE_PATH) != 0)
	{
		scope->guc_level = NewGUCNestLevel();
		(void) set_config_option("search_path", MF_SAFE_PATH, PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	}

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	MemoryContextSwitchTo(context);
}

void
mf_sql_end(MfSqlScope *scope)
{
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");
	if (scope->guc_level > 0)
		AtEOXact_GUC(true, scope->guc_level);
	SetUserIdAndSecContext(scope->userid, scope->security_context);
}

uint64
mf_sql_execute(const MfSqlScope *scope, MfStatement *statement, const Datum *values, const char *nulls)
{
	MemoryContext context = CurrentMemoryContext;
	int			result;

	MF_FAILPOINT_STATEMENT(statement, values, nulls);
	if (statement->plan == NULL || statement->plan->statement.schema != scope->schema ||
		statement->plan->statement.as_owner != scope->as_owner || statement->plan->schema_changes != schema_changes)
		prepare_statement(statement, scope);

	result = mf_sql_run(statement->plan, values, nulls, scope->latest ? GetLatestSnapshot() : InvalidSnapshot,
						scope->in_query);
	if (result < 0)
		elog(ERROR, "statement failed: %s", SPI_result_code_string(result));
	MemoryContextSwitchTo(context);
	return SPI_processed;
}

/* Prepares a statement, unless its saved plan still names the right schema. */
static void
prepare_statement(MfStatement *statement, const MfSqlScope *scope)
{
	MfPlan	   *plan = statement->plan;
	uint64		changes;
	char	   *name;
	const char *p;
	StringInfoData text;

	if (!callback_registered)
	{
		CacheRegisterSyscacheCallback(NAMESPACEOID, count_schema_changes, (Datum) 0);
		callback_registered = true;
	}
	changes = schema_changes;
	name = get_namespace_name(scope->schema);
	if (name == NULL)
		elog(ERROR, "cache lookup failed for schema %u", scope->schema);
	if (plan != NULL && plan->statement.schema == scope->schema && plan->statement.as_owner == scope->as_owner &&
		strcmp(NameStr(plan->schema_name), name) == 0)
	{
		plan->schema_changes = changes;
		return;
	}

	initStringInfo(&text);
	for (p = statement->text; *p != '\0'; p++)
	{
		if (*p == '@' && p[1] == '@')
			appendStringInfoChar(&text, *++p);
		else if (*p == '@')
			appendStringInfo(&text, "%s.", quote_identifier(name));
		else
			appendStringInfoChar(&text, *p);
	}

	statement->plan = NULL;
	if (plan != NULL)
		mf_sql_retire(plan);
	plan = mf_sql_prepare(scope->schema, InvalidOid, scope->as_owner, text.data, statement->nargs, statement->types);
	namestrcpy(&plan->schema_name, name);
	plan->schema_changes = changes;
	statement->plan = plan;
	pfree(text.data);
	pfree(name);
}

MfPlan *
mf_sql_prepare(Oid schema, Oid relation, bool as_owner, const char *text, int nargs, const Oid *types)
{
	MfActiveStatement statement = {text, schema, relation, as_owner, mf_active_statement};
	SPIPlanPtr volatile spi_plan = NULL;
	MfPlan	   *plan;

	mf_active_statement = &statement;
	PG_TRY();
	{
		spi_plan = SPI_prepare_cursor(text, nargs, unconstify(Oid *, types), CURSOR_OPT_GENERIC_PLAN);
	}
	PG_FINALLY();
	{
		mf_active_statement = statement.outer;
	}
	PG_END_TRY();

	if (spi_plan == NULL)
		elog(ERROR, "could not prepare statement: %s", SPI_result_code_string(SPI_result));
	plan = (MfPlan *) MemoryContextAllocZero(TopMemoryContext, sizeof(MfPlan));
	if (SPI_keepplan(spi_plan) != 0)
		elog(ERROR, "could not keep plan");
	plan->plan = spi_plan;
	plan->statement = statement;
	plan->statement.text = ((CachedPlanSource *) linitial(SPI_plan_get_plan_sources(spi_plan)))->query_string;
	return plan;
}

/*
 * What a trigger sets, even by a plain SET, ends with the statement that fired it:
 * with another search path our next statement would find other operators.
 */
int
mf_sql_run(const MfPlan *plan, const Datum *values, const char *nulls, Snapshot snapshot, bool read_only)
{
	MfActiveStatement statement = plan->statement;
	int			guc_level = statement.as_owner ? NewGUCNestLevel() : 0;
	volatile int result = 0;

	statement.outer = mf_active_statement;
	mf_active_statement = &statement;
	PG_TRY();
	{
		result = SPI_execute_snapshot(plan->plan, unconstify(Datum *, values), nulls, snapshot, InvalidSnapshot,
									  read_only, true, 0);
	}
	PG_FINALLY();
	{
		mf_active_statement = statement.outer;
	}
	PG_END_TRY();
	if (guc_level > 0)
		AtEOXact_GUC(false, guc_level);
	return result;
}

void
mf_sql_retire(MfPlan *plan)
{
	MemoryContextCallback *callback = (MemoryContextCallback *)
		MemoryContextAllocZero(TopTransactionContext, sizeof(MemoryContextCallback));

	callback->func = free_plan;
	callback->arg = plan;
	MemoryContextRegisterResetCallback(TopTransactionContext, callback);
}

static void
free_plan(void *plan)
{
	SPI_freeplan(((MfPlan *) plan)->plan);
	pfree(plan);
}

/* Syscache callback: a schema was renamed, created or dropped. */
static void
count_schema_changes(Datum arg, int cacheid, uint32 hashvalue)
{
	schema_changes++;
}

Oid
mf_worker_role(void)
{
	Oid			role = get_role_oid(MF_WORKER_ROLE, true);

	if (!OidIsValid(role))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role \"%s\" does not exist", MF_WORKER_ROLE),
				 errdetail("CREATE EXTENSION myfatoorah creates it; it was renamed or dropped since."),
				 errhint("If it was renamed, rename it back: ALTER ROLE ... RENAME TO %s. "
						 "If it was dropped, the invoices are still there: CREATE ROLE %s NOLOGIN; "
						 "GRANT USAGE ON SCHEMA ... TO %s; GRANT EXECUTE ON FUNCTION mf_here(), mf_origin() TO %s.",
						 MF_WORKER_ROLE, MF_WORKER_ROLE, MF_WORKER_ROLE, MF_WORKER_ROLE)));
	return role;
}

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

Oid
mf_billing_table(Oid schema, const char *name)
{
	Oid			table = get_relname_relid(name, schema);
	Oid			extension = OidIsValid(table) ? getExtensionOfObject(RelationRelationId, table) : InvalidOid;

	return OidIsValid(extension) && extension == get_extension_oid(MF_EXTENSION "_billing", true) ? table : InvalidOid;
}

ErrorData *
mf_sql_try(void (*function) (void *argument), void *argument)
{
	ErrorData  *volatile error = NULL;
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		function(argument);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (error != NULL && mf_process_is_cancel(error))
		ReThrowError(error);
	return error;
}

bool
mf_error_is_systemic(const ErrorData *error)
{
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_PROGRAM_LIMIT_EXCEEDED:
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_SYSTEM_ERROR:
		case ERRCODE_INTERNAL_ERROR:
			return true;
		default:
			return false;
	}
}

const char *
mf_error_text(const ErrorData *error)
{
	return error->detail ? psprintf("%s: %s", error->message, error->detail) : error->message;
}
