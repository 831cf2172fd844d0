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
 * The hooks recognize a statement of ours by the address of its text, and only
 * while we prepare or execute it.  Nobody can cause that by SQL.
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
#include "catalog/pg_namespace.h"
#include "commands/extension.h"
#include "jit/jit.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
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
#include "utils/plancache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "base/failpoint.h"
#include "base/settings.h"
#include "database/sql.h"
#include "process/process.h"

/* A statement that is being prepared or executed, perhaps within another one */
typedef struct ActiveStatement
{
	const char *text;			/* recognized by this address */
	Oid			schema;			/* its names may mean tables of the extension in it, */
	Oid			relation;		/* and this table */
	bool		as_owner;		/* has the rights of the tables' owner */
	struct ActiveStatement *outer;
} ActiveStatement;

struct MfPlan
{
	SPIPlanPtr	plan;
	ActiveStatement statement;
	NameData	schema_name;	/* of an MfStatement: name of the schema in its text, */
	uint64		schema_changes; /* and the counter when that was compared last */
};

static ActiveStatement *active_statement = NULL;

/* whether a trigger that is called now was fired by us; see mf_sql_fired_trigger() */
static bool fires_triggers = false;

static post_parse_analyze_hook_type previous_analyze_hook = NULL;
static planner_hook_type previous_planner_hook = NULL;
static ExecutorRun_hook_type previous_run_hook = NULL;
static ExecutorFinish_hook_type previous_finish_hook = NULL;

/* counts invalidations of schemas, whose names may have changed */
static uint64 schema_changes = 0;
static bool callback_registered = false;

static void open_scope(MfSqlScope *scope, Oid schema, Oid role, int security_context);
static void prepare_statement(MfStatement *statement, const MfSqlScope *scope);
static void free_plan(void *plan);
static const ActiveStatement *find_active_statement(const char *text);
static void analyze_hook(ParseState *pstate, Query *query, MF_JUMBLE_STATE *jumble);
static void check_relations(const ActiveStatement *statement, Query *query);
static bool use_owner_rights(Node *node, void *context);
static PlannedStmt *plan_hook(MF_PLANNER_ARGUMENTS);
static void run_hook(MF_EXECUTOR_RUN_ARGUMENTS);
static void finish_hook(QueryDesc *query);
static bool is_own_query(const QueryDesc *query);
static void count_schema_changes(Datum arg, int cacheid, uint32 hashvalue);

void
mf_sql_init(void)
{
	previous_analyze_hook = post_parse_analyze_hook;
	post_parse_analyze_hook = analyze_hook;
	previous_planner_hook = planner_hook;
	planner_hook = plan_hook;
	previous_run_hook = ExecutorRun_hook;
	ExecutorRun_hook = run_hook;
	previous_finish_hook = ExecutorFinish_hook;
	ExecutorFinish_hook = finish_hook;
}

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

/*
 * SPI leaves its own memory context as the current one, and that ends with the
 * scope.  What callers read from the result is to live longer.
 */
uint64
mf_sql_execute(const MfSqlScope *scope, MfStatement *statement, const Datum *values, const char *nulls)
{
	MemoryContext context = CurrentMemoryContext;
	int			result;

	MF_FAILPOINT_STATEMENT(statement, values, nulls);
	if (statement->plan == NULL || statement->plan->statement.schema != scope->schema ||
		statement->plan->statement.as_owner != scope->as_owner || statement->plan->schema_changes != schema_changes)
		prepare_statement(statement, scope);

	result = mf_sql_run(statement->plan, values, nulls, scope->latest ? GetLatestSnapshot() : InvalidSnapshot, scope->in_query);
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
	ActiveStatement statement = {text, schema, relation, as_owner, active_statement};
	SPIPlanPtr volatile spi_plan = NULL;
	MfPlan	   *plan;

	active_statement = &statement;
	PG_TRY();
	{
		spi_plan = SPI_prepare_cursor(text, nargs, unconstify(Oid *, types), CURSOR_OPT_GENERIC_PLAN);
	}
	PG_FINALLY();
	{
		active_statement = statement.outer;
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
	ActiveStatement statement = plan->statement;
	int			guc_level = statement.as_owner ? NewGUCNestLevel() : 0;
	volatile int result = 0;

	statement.outer = active_statement;
	active_statement = &statement;
	PG_TRY();
	{
		result = SPI_execute_snapshot(plan->plan, unconstify(Datum *, values), nulls, snapshot, InvalidSnapshot, read_only, true, 0);
	}
	PG_FINALLY();
	{
		active_statement = statement.outer;
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

/* The active statement, if this is its text, by address; NULL otherwise. */
static const ActiveStatement *
find_active_statement(const char *text)
{
	return active_statement != NULL && active_statement->text == text ? active_statement : NULL;
}

/*
 * The names of a statement have just been looked up, and from here on it has its
 * tables by OID.  It was not planned or run yet.
 */
static void
analyze_hook(ParseState *pstate, Query *query, MF_JUMBLE_STATE *jumble)
{
	const ActiveStatement *statement = find_active_statement(pstate->p_sourcetext);

	if (previous_analyze_hook)
		previous_analyze_hook(pstate, query, jumble);
	if (statement == NULL)
		return;
	check_relations(statement, query);
	if (statement->as_owner)
		(void) use_owner_rights((Node *) query, NULL);
}

/* Raises an error if a name has led to a table other than the one it is meant for. */
static void
check_relations(const ActiveStatement *statement, Query *query)
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
		Oid			schema = get_rel_namespace(found);

		if (found == statement->relation || schema == PG_CATALOG_NAMESPACE ||
			(schema == statement->schema && OidIsValid(extension) &&
			 getExtensionOfObject(RelationRelationId, found) == extension))
			continue;
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" of schema \"%s\" is not the one that myfatoorah needs",
						get_rel_name(found), get_namespace_name(schema)),
				 errdetail("A table or its schema was renamed, and another one has its name."),
				 errhint("Unless this was the case for a moment only, give the tables of the extension their names back.")));
	}
}

/* Has rights on the tables of a query and its subqueries checked for the tables' owners, as in a view. */
static bool
use_owner_rights(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		mf_check_as_owners((Query *) node);
		return query_tree_walker((Query *) node, use_owner_rights, context, 0);
	}
	return expression_tree_walker(node, use_owner_rights, context);
}

/*
 * Plans our statements so that they find rows by indexes, however much the tables
 * grow afterwards.  Queries of users' triggers are planned as ever.  Statements with
 * MF_IN_ORDER read an index in its order; the others may sort, lest all rows of a
 * table are read to save a sort.
 */
static PlannedStmt *
plan_hook(MF_PLANNER_ARGUMENTS)
{
	planner_hook_type next = previous_planner_hook ? previous_planner_hook : standard_planner;
	bool	   *const switches[] = {&enable_sort, &enable_seqscan, &enable_bitmapscan, &enable_hashjoin,
	&enable_mergejoin, &jit_enabled};
	bool		before[lengthof(switches)];
	PlannedStmt *plan;
	size_t		i;

	if (find_active_statement(text) == NULL)
		return next(MF_PLANNER_VALUES);

	for (i = 0; i < lengthof(switches); i++)
	{
		before[i] = *switches[i];
		*switches[i] = false;
	}
	enable_sort = strncmp(text, MF_IN_ORDER, strlen(MF_IN_ORDER)) != 0;
	PG_TRY();
	{
		plan = next(MF_PLANNER_VALUES);
	}
	PG_FINALLY();
	{
		for (i = 0; i < lengthof(switches); i++)
			*switches[i] = before[i];
	}
	PG_END_TRY();
	return plan;
}

/* Notes for the triggers of each query whether it is ours; there is nothing to note while none of ours runs. */
static void
run_hook(MF_EXECUTOR_RUN_ARGUMENTS)
{
	ExecutorRun_hook_type next = previous_run_hook ? previous_run_hook : standard_ExecutorRun;
	bool		was_firing;

	if (active_statement == NULL && !fires_triggers)
	{
		next(MF_EXECUTOR_RUN_VALUES);
		return;
	}
	was_firing = mf_sql_set_fires_triggers(is_own_query(query));
	PG_TRY();
	{
		next(MF_EXECUTOR_RUN_VALUES);
	}
	PG_FINALLY();
	{
		fires_triggers = was_firing;
	}
	PG_END_TRY();
}

/* The same for what is left to do at its end. */
static void
finish_hook(QueryDesc *query)
{
	ExecutorFinish_hook_type next = previous_finish_hook ? previous_finish_hook : standard_ExecutorFinish;
	bool		was_firing;

	if (active_statement == NULL && !fires_triggers)
	{
		next(query);
		return;
	}
	was_firing = mf_sql_set_fires_triggers(is_own_query(query));
	PG_TRY();
	{
		next(query);
	}
	PG_FINALLY();
	{
		fires_triggers = was_firing;
	}
	PG_END_TRY();
}

static bool
is_own_query(const QueryDesc *query)
{
	const ActiveStatement *statement = find_active_statement(query->sourceText);

	return statement != NULL && statement->as_owner;
}

bool
mf_sql_fired_trigger(void)
{
	return fires_triggers;
}

bool
mf_sql_is_active(void)
{
	const ActiveStatement *statement;

	for (statement = active_statement; statement != NULL; statement = statement->outer)
	{
		if (statement->as_owner)
			return true;
	}
	return false;
}

bool
mf_sql_set_fires_triggers(bool fires)
{
	bool		was_firing = fires_triggers;

	fires_triggers = fires;
	return was_firing;
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
				 errhint("If it was renamed, rename it back: ALTER ROLE ... RENAME TO %s. If it was dropped, the invoices are still there: CREATE ROLE %s NOLOGIN; GRANT USAGE ON SCHEMA ... TO %s; GRANT EXECUTE ON FUNCTION mf_here(), mf_origin() TO %s.",
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
