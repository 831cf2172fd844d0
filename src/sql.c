/*
 * sql.c
 *	  Prepared statements on our own tables, run as the role myfatoorah_worker.
 *
 * A statement is text, and text has names, which others can give to other
 * tables: whoever may rename our schema can make one of that name with tables
 * and triggers of his own.  So every statement of ours bears a mark with the
 * OIDs of what it is about, and whenever its names are looked up, which is when
 * it is analysed, what they have led to is compared with that.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/sql.c
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
#include "catalog/pg_namespace.h"
#include "commands/extension.h"
#include "jit/jit.h"
#include "miscadmin.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/planner.h"
#include "parser/analyze.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "compat.h"
#include "failpoint.h"
#include "myfatoorah.h"
#include "process.h"
#include "sql.h"

/* What a statement of ours begins with; then come schema and relation, see mf_sql_prepare() */
#define MARK "/* myfatoorah "

/* The plan of a statement */
typedef struct MfPlan
{
	SPIPlanPtr	plan;			/* NULL: none now */
	NameData	schema_name;	/* that its text has */
	uint64		schema_changes; /* when that was last compared */
} MfPlan;

static post_parse_analyze_hook_type previous_analyze_hook = NULL;
static planner_hook_type previous_planner_hook = NULL;

/* How often the name of a schema may have changed */
static uint64 schema_changes = 0;
static bool callback_registered = false;

static void begin_scope(MfSqlScope *scope, Oid schema, Oid role);
static void prepare(MfStatement *statement, Oid schema);
static void free_plan(void *plan);
static bool read_mark(const char *text, Oid *schema, Oid *relation);
static void analyze_hook(ParseState *pstate, Query *query, JumbleState *jumble);
static PlannedStmt *plan_hook(Query *query, const char *text, int cursor_options, ParamListInfo parameters);
static void count_schema_changes(Datum arg, int cacheid, uint32 hashvalue);

/* See sql.h. */
void
mf_sql_init(void)
{
	previous_analyze_hook = post_parse_analyze_hook;
	post_parse_analyze_hook = analyze_hook;
	previous_planner_hook = planner_hook;
	planner_hook = plan_hook;
}

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
	scope->in_query = false;
	GetUserIdAndSecContext(&scope->userid, &scope->security_context);
	SetUserIdAndSecContext(role, scope->security_context | SECURITY_LOCAL_USERID_CHANGE);

	/* our processes have set it for good, but functions of users set others */
	scope->guc_level = 0;
	if (strcmp(namespace_search_path, MF_SAFE_PATH) != 0)
	{
		scope->guc_level = NewGUCNestLevel();
		(void) set_config_option("search_path", MF_SAFE_PATH, PGC_USERSET, PGC_S_SESSION,
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

	MF_FAILPOINT_STATEMENT(statement, values, nulls);
	if (statement->plan == NULL || statement->plan->plan == NULL || statement->schema != scope->schema ||
		statement->plan->schema_changes != schema_changes)
		prepare(statement, scope->schema);

	result = SPI_execute_plan(statement->plan->plan, unconstify(Datum *, values), nulls, scope->in_query, 0);
	if (result < 0)
		elog(ERROR, "statement failed: %s", SPI_result_code_string(result));
	MemoryContextSwitchTo(context);
	return SPI_processed;
}

/* Makes and keeps the plan of a statement for a schema, unless the one at hand still names it. */
static void
prepare(MfStatement *statement, Oid schema)
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
	if (plan == NULL)
		plan = statement->plan = (MfPlan *) MemoryContextAllocZero(TopMemoryContext, sizeof(MfPlan));
	changes = schema_changes;
	name = get_namespace_name(schema);
	if (name == NULL)
		elog(ERROR, "cache lookup failed for schema %u", schema);
	if (plan->plan != NULL && statement->schema == schema && strcmp(NameStr(plan->schema_name), name) == 0)
	{
		plan->schema_changes = changes;
		return;
	}

	initStringInfo(&text);
	for (p = statement->text; *p != '\0'; p++)
	{
		if (*p == '@')
			appendStringInfo(&text, "%s.", quote_identifier(name));
		else
			appendStringInfoChar(&text, *p);
	}

	if (plan->plan != NULL)
	{
		mf_sql_retire(plan->plan);
		plan->plan = NULL;
	}
	plan->plan = mf_sql_prepare(schema, InvalidOid, text.data, statement->nargs, statement->types);
	statement->schema = schema;
	namestrcpy(&plan->schema_name, name);
	plan->schema_changes = changes;
	pfree(text.data);
	pfree(name);
}

/* See sql.h. */
SPIPlanPtr
mf_sql_prepare(Oid schema, Oid relation, const char *text, int nargs, const Oid *types)
{
	char	   *marked = psprintf(MARK "%u %u */ %s", schema, relation, text);
	SPIPlanPtr	plan = SPI_prepare_cursor(marked, nargs, unconstify(Oid *, types), CURSOR_OPT_GENERIC_PLAN);

	if (plan == NULL)
		elog(ERROR, "could not prepare statement: %s", SPI_result_code_string(SPI_result));
	if (SPI_keepplan(plan) != 0)
		elog(ERROR, "could not keep plan");
	pfree(marked);
	return plan;
}

/* See sql.h. */
void
mf_sql_retire(SPIPlanPtr plan)
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
	SPI_freeplan((SPIPlanPtr) plan);
}

/* Syscache callback: a schema was renamed, or made, or dropped. */
static void
count_schema_changes(Datum arg, int cacheid, uint32 hashvalue)
{
	schema_changes++;
}

/* Whether the text is a statement of ours; what it may be about. */
static bool
read_mark(const char *text, Oid *schema, Oid *relation)
{
	return text != NULL && strncmp(text, MARK, strlen(MARK)) == 0 &&
		sscanf(text + strlen(MARK), "%u %u", schema, relation) == 2;
}

/*
 * The names of a statement have just been looked up.  Nothing of it has been
 * planned or run yet, and from here on it knows its tables by OID.
 */
static void
analyze_hook(ParseState *pstate, Query *query, JumbleState *jumble)
{
	Oid			schema;
	Oid			relation;

	if (previous_analyze_hook)
		previous_analyze_hook(pstate, query, jumble);

	if (read_mark(pstate->p_sourcetext, &schema, &relation))
	{
		Oid			extension = get_extension_oid(MF_EXTENSION, true);
		List	   *relations;
		List	   *items;
		bool		row_security;
		ListCell   *lc;

		extract_query_dependencies((Node *) query, &relations, &items, &row_security);
		foreach(lc, relations)
		{
			Oid			found = lfirst_oid(lc);
			Oid			found_schema = get_rel_namespace(found);

			if (found == relation || found_schema == PG_CATALOG_NAMESPACE ||
				(found_schema == schema && OidIsValid(extension) &&
				 getExtensionOfObject(RelationRelationId, found) == extension))
				continue;
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("table \"%s\" of schema \"%s\" is not the one that myfatoorah needs",
							get_rel_name(found), get_namespace_name(found_schema)),
					 errdetail("A table or its schema was renamed, and another one has its name."),
					 errhint("If this is not over by itself at once, give the extension's tables their names back.")));
		}
	}
}

/*
 * Our statements find their rows by their indexes, in the order of these,
 * however large the tables have become since the plan was made; what triggers of users
 * do meanwhile is planned as everywhere.
 */
static PlannedStmt *
plan_hook(Query *query, const char *text, int cursor_options, ParamListInfo parameters)
{
	planner_hook_type next = previous_planner_hook ? previous_planner_hook : standard_planner;
	bool	   *const switched_off[] = {&enable_seqscan, &enable_bitmapscan, &enable_sort, &enable_hashjoin,
	&enable_mergejoin, &jit_enabled};
	bool		before[lengthof(switched_off)];
	Oid			schema;
	Oid			relation;
	PlannedStmt *plan;
	size_t		i;

	if (!read_mark(text, &schema, &relation))
		return next(query, text, cursor_options, parameters);

	for (i = 0; i < lengthof(switched_off); i++)
	{
		before[i] = *switched_off[i];
		*switched_off[i] = false;
	}
	PG_TRY();
	{
		plan = next(query, text, cursor_options, parameters);
	}
	PG_FINALLY();
	{
		for (i = 0; i < lengthof(switched_off); i++)
			*switched_off[i] = before[i];
	}
	PG_END_TRY();
	return plan;
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

/* See sql.h. */
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
	if (error != NULL &&
		(error->sqlerrcode == ERRCODE_QUERY_CANCELED || error->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN))
		ReThrowError(error);
	return error;
}

/* See sql.h. */
const char *
mf_error_text(const ErrorData *error)
{
	return error->detail ? psprintf("%s: %s", error->message, error->detail) : error->message;
}
