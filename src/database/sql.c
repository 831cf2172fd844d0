/*
 * sql.c
 *	  Prepared statements on our own tables.
 *
 * Statements run as the role myfatoorah_worker, which may do nothing, so that
 * what else runs inside of them, such as triggers of users, may do nothing
 * either.  A statement of ours has the rights of the owner of our tables, and
 * row-level security does not apply to it, as if it stood in a view of that owner.
 *
 * A statement is text, and text has names, which others can give to other
 * tables: whoever may rename our schema can make one of that name with tables
 * and triggers of his own.  So whenever the names of a statement are looked up,
 * which is when it is analysed, what they have led to is compared with what it
 * is about.
 *
 * The server's hooks know a statement of ours by the place of its text in
 * memory, and only while we have it prepared or executed: nobody can bring that
 * about by SQL.
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

/* A statement that we have prepared or executed, within another one perhaps */
typedef struct InHand
{
	const char *text;			/* as the server has it, at this very place */
	Oid			schema;			/* names may lead to tables of the extension in it, */
	Oid			relation;		/* and to this one */
	bool		as_owner;		/* with the rights of the tables' owner */
	struct InHand *outer;
} InHand;

struct MfPlan
{
	SPIPlanPtr	plan;
	InHand		statement;
	NameData	schema_name;	/* of an MfStatement: that its text has, */
	uint64		schema_changes; /* when that was last compared */
};

static InHand *in_hand = NULL;

/* Whether the trigger that is called next is fired by one of them. */
static bool ours = false;

static post_parse_analyze_hook_type previous_analyze_hook = NULL;
static planner_hook_type previous_planner_hook = NULL;
static ExecutorRun_hook_type previous_run_hook = NULL;
static ExecutorFinish_hook_type previous_finish_hook = NULL;

/* How often the name of a schema may have changed */
static uint64 schema_changes = 0;
static bool callback_registered = false;

static void begin_scope(MfSqlScope *scope, Oid schema, Oid role, int security_context);
static void prepare(MfStatement *statement, const MfSqlScope *scope);
static void free_plan(void *plan);
static const InHand *statement_of(const char *text);
static void analyze_hook(ParseState *pstate, Query *query, MF_JUMBLE_STATE *jumble);
static void check_relations(const InHand *statement, Query *query);
static bool give_rights(Node *node, void *context);
static PlannedStmt *plan_hook(MF_PLANNER_ARGUMENTS);
static void run_hook(MF_EXECUTOR_RUN_ARGUMENTS);
static void finish_hook(QueryDesc *query);
static bool is_ours(const QueryDesc *query);
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
	/* policies that the owner has forced upon itself are none of ours */
	begin_scope(scope, schema, mf_worker_role(), SECURITY_NOFORCE_RLS);
	scope->as_owner = true;
}

void
mf_sql_begin_as_caller(MfSqlScope *scope, Oid schema)
{
	begin_scope(scope, schema, GetUserId(), 0);
	scope->as_owner = false;
}

static void
begin_scope(MfSqlScope *scope, Oid schema, Oid role, int security_context)
{
	scope->schema = schema;
	scope->in_query = false;
	scope->latest = false;
	GetUserIdAndSecContext(&scope->userid, &scope->security_context);
	SetUserIdAndSecContext(role, scope->security_context | SECURITY_LOCAL_USERID_CHANGE | security_context);

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
	if (statement->plan == NULL || statement->plan->statement.schema != scope->schema ||
		statement->plan->statement.as_owner != scope->as_owner || statement->plan->schema_changes != schema_changes)
		prepare(statement, scope);

	result = mf_sql_run(statement->plan, values, nulls, scope->latest ? GetLatestSnapshot() : InvalidSnapshot, scope->in_query);
	if (result < 0)
		elog(ERROR, "statement failed: %s", SPI_result_code_string(result));
	MemoryContextSwitchTo(context);
	return SPI_processed;
}

/* Makes and keeps the plan of a statement, unless the one at hand still names the right schema. */
static void
prepare(MfStatement *statement, const MfSqlScope *scope)
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
	InHand		statement = {text, schema, relation, as_owner, in_hand};
	SPIPlanPtr volatile spi_plan = NULL;
	MfPlan	   *plan;

	in_hand = &statement;
	PG_TRY();
	{
		spi_plan = SPI_prepare_cursor(text, nargs, unconstify(Oid *, types), CURSOR_OPT_GENERIC_PLAN);
	}
	PG_FINALLY();
	{
		in_hand = statement.outer;
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

/* See sql.h.  What a trigger sets, even by a plain SET, is not for our next statement: a path would give it other operators. */
int
mf_sql_run(const MfPlan *plan, const Datum *values, const char *nulls, Snapshot snapshot, bool read_only)
{
	InHand		statement = plan->statement;
	int			guc_level = statement.as_owner ? NewGUCNestLevel() : 0;
	volatile int result = 0;

	statement.outer = in_hand;
	in_hand = &statement;
	PG_TRY();
	{
		result = SPI_execute_snapshot(plan->plan, unconstify(Datum *, values), nulls, snapshot, InvalidSnapshot, read_only, true, 0);
	}
	PG_FINALLY();
	{
		in_hand = statement.outer;
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

/* Syscache callback: a schema was renamed, or made, or dropped. */
static void
count_schema_changes(Datum arg, int cacheid, uint32 hashvalue)
{
	schema_changes++;
}

/* The statement of ours that has its text just there, and not only one like it; NULL if that is none. */
static const InHand *
statement_of(const char *text)
{
	return in_hand != NULL && in_hand->text == text ? in_hand : NULL;
}

/*
 * The names of a statement have just been looked up.  Nothing of it has been
 * planned or run yet, and from here on it knows its tables by OID.
 */
static void
analyze_hook(ParseState *pstate, Query *query, MF_JUMBLE_STATE *jumble)
{
	const InHand *statement = statement_of(pstate->p_sourcetext);

	if (previous_analyze_hook)
		previous_analyze_hook(pstate, query, jumble);
	if (statement == NULL)
		return;
	check_relations(statement, query);
	if (statement->as_owner)
		(void) give_rights((Node *) query, NULL);
}

/* Raises an error if a name leads to a table that it was not meant for. */
static void
check_relations(const InHand *statement, Query *query)
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
				 errhint("If this is not over by itself at once, give the extension's tables their names back.")));
	}
}

/* Has the rights to the tables of a query and of what it consists of checked as their owners', as a view does. */
static bool
give_rights(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		mf_check_as_owners((Query *) node);
		return query_tree_walker((Query *) node, give_rights, context, 0);
	}
	return expression_tree_walker(node, give_rights, context);
}

/*
 * Our statements find their rows by their indexes, however large the tables have
 * become since the plan was made; what triggers of users do meanwhile is planned as
 * everywhere.  Those that want few of many rows follow the order of an index.
 * For the others that would be the worst: all rows of a table, to save a sort.
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

	if (statement_of(text) == NULL)
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

/* Of each query it is known, while it runs, whether its triggers are fired by us; where none of ours runs nothing is noted. */
static void
run_hook(MF_EXECUTOR_RUN_ARGUMENTS)
{
	ExecutorRun_hook_type next = previous_run_hook ? previous_run_hook : standard_ExecutorRun;
	bool		was_ours;

	if (in_hand == NULL && !ours)
	{
		next(MF_EXECUTOR_RUN_VALUES);
		return;
	}
	was_ours = mf_sql_set_fires_triggers(is_ours(query));
	PG_TRY();
	{
		next(MF_EXECUTOR_RUN_VALUES);
	}
	PG_FINALLY();
	{
		ours = was_ours;
	}
	PG_END_TRY();
}

/* The same for what is left to do at its end. */
static void
finish_hook(QueryDesc *query)
{
	ExecutorFinish_hook_type next = previous_finish_hook ? previous_finish_hook : standard_ExecutorFinish;
	bool		was_ours;

	if (in_hand == NULL && !ours)
	{
		next(query);
		return;
	}
	was_ours = mf_sql_set_fires_triggers(is_ours(query));
	PG_TRY();
	{
		next(query);
	}
	PG_FINALLY();
	{
		ours = was_ours;
	}
	PG_END_TRY();
}

static bool
is_ours(const QueryDesc *query)
{
	const InHand *statement = statement_of(query->sourceText);

	return statement != NULL && statement->as_owner;
}

bool
mf_sql_fired_trigger(void)
{
	return ours;
}

bool
mf_sql_is_active(void)
{
	const InHand *statement;

	for (statement = in_hand; statement != NULL; statement = statement->outer)
	{
		if (statement->as_owner)
			return true;
	}
	return false;
}

bool
mf_sql_set_fires_triggers(bool is_ours)
{
	bool		was_ours = ours;

	ours = is_ours;
	return was_ours;
}

Oid
mf_worker_role(void)
{
	Oid			role = get_role_oid(MF_WORKER_ROLE, true);

	if (!OidIsValid(role))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role \"%s\" does not exist", MF_WORKER_ROLE),
				 errdetail("CREATE EXTENSION myfatoorah makes it under this name; somebody has renamed or dropped it."),
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
