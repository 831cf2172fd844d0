/*
 * sql_hooks.c
 *	  Hooks of the server that know our statements: rights, plans, triggers.
 *
 * A hook recognizes a statement of ours by the address of its text, and only while
 * we prepare or execute it.  Nobody can cause that by SQL.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/database/sql_hooks.c
 */
#include "postgres.h"

#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "commands/extension.h"
#include "jit/jit.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/plancat.h"
#include "optimizer/planner.h"
#include "parser/analyze.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"

#include "base/compat.h"
#include "base/settings.h"
#include "database/sql.h"
#include "database/sql_private.h"

/* What a plan takes a page to hold at least: rows of the widest tables, entries of an index */
#define ROWS_OF_PAGE 20
#define ENTRIES_OF_PAGE 100
/* and a table to have at least, as the server takes one that was never vacuumed */
#define PAGES_OF_TABLE 10

/* whether a plan of a statement of ours is being made */
static bool plans_ours = false;

/* whether a trigger that is called now was fired by us; see mf_sql_fired_trigger() */
static bool fires_triggers = false;

static post_parse_analyze_hook_type previous_analyze_hook = NULL;
static planner_hook_type previous_planner_hook = NULL;
static MF_RELATION_HOOK_TYPE previous_relation_hook = NULL;
static ExecutorRun_hook_type previous_run_hook = NULL;
static ExecutorFinish_hook_type previous_finish_hook = NULL;

static void analyze_hook(ParseState *pstate, Query *query, MF_JUMBLE_STATE *jumble);
static void check_relations(const MfActiveStatement *statement, Query *query);
static bool use_owner_rights(Node *node, void *context);
static PlannedStmt *plan_hook(MF_PLANNER_ARGUMENTS);
static void relation_hook(MF_RELATION_ARGUMENTS);
static void run_hook(MF_EXECUTOR_RUN_ARGUMENTS);
static void finish_hook(QueryDesc *query);
static bool is_own_query(const QueryDesc *query);

void
mf_sql_init(void)
{
	previous_analyze_hook = post_parse_analyze_hook;
	post_parse_analyze_hook = analyze_hook;
	previous_planner_hook = planner_hook;
	planner_hook = plan_hook;
	previous_relation_hook = MF_RELATION_HOOK;
	MF_RELATION_HOOK = relation_hook;
	previous_run_hook = ExecutorRun_hook;
	ExecutorRun_hook = run_hook;
	previous_finish_hook = ExecutorFinish_hook;
	ExecutorFinish_hook = finish_hook;
}

/* The active statement, if this is its text, by address; NULL otherwise. */
static const MfActiveStatement *
find_active_statement(const char *text)
{
	return mf_active_statement != NULL && mf_active_statement->text == text ? mf_active_statement : NULL;
}

static bool
begins_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

/*
 * Binds the catalog of our messages, once, in the encoding of the database, which is not
 * known when the library is preloaded.
 */
static void
bind_text_domain(void)
{
	static bool bound = false;

	if (bound || !OidIsValid(MyDatabaseId))
		return;
	bound = true;
	pg_bindtextdomain(TEXTDOMAIN);
}

/*
 * The names of a statement have just been looked up, and from here on it has its
 * tables by OID.  It was not planned or run yet.
 */
static void
analyze_hook(ParseState *pstate, Query *query, MF_JUMBLE_STATE *jumble)
{
	const MfActiveStatement *statement = find_active_statement(pstate->p_sourcetext);

	bind_text_domain();
	if (previous_analyze_hook)
		previous_analyze_hook(pstate, query, jumble);
	if (statement == NULL)
		return;
	check_relations(statement, query);
	if (statement->as_owner)
		(void) use_owner_rights((Node *) query, NULL);
	else if (begins_with(statement->text, MF_WITH_ID))
		mf_excuse_first_column(query);
}

/* Raises an error if a name has led to a table other than the one it is meant for. */
static void
check_relations(const MfActiveStatement *statement, Query *query)
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
			 getExtensionOfObject(RelationRelationId, found) == extension) ||
			found == mf_billing_table(statement->schema, get_rel_name(found)))
			continue;
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" of schema \"%s\" is not the one that myfatoorah needs",
						get_rel_name(found), get_namespace_name(schema)),
				 errdetail("A table or its schema was renamed, and another one has its name."),
				 errhint("Unless this was the case for a moment only, give the tables of the extension "
						 "their names back.")));
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
	&enable_mergejoin, &enable_indexscan, &enable_indexonlyscan, &jit_enabled};
	bool		before[lengthof(switches)];
	double		page_cost = seq_page_cost;
	bool		plans_ours_before = plans_ours;
	PlannedStmt *plan;
	size_t		i;

	plans_ours = find_active_statement(text) != NULL;
	if (!plans_ours && !plans_ours_before)
		return next(MF_PLANNER_VALUES);

	for (i = 0; i < lengthof(switches); i++)
		before[i] = *switches[i];
	if (plans_ours)
	{
		for (i = 0; i < lengthof(switches); i++)
			*switches[i] = false;
		enable_sort = !begins_with(text, MF_IN_ORDER);
		enable_bitmapscan = begins_with(text, MF_BY_AGE);
		enable_indexscan = enable_indexonlyscan = !enable_bitmapscan;
		seq_page_cost = MF_SWITCHED_OFF_PAGE_COST(page_cost);
	}
	PG_TRY();
	{
		plan = next(MF_PLANNER_VALUES);
	}
	PG_FINALLY();
	{
		for (i = 0; i < lengthof(switches); i++)
			*switches[i] = before[i];
		seq_page_cost = page_cost;
		plans_ours = plans_ours_before;
	}
	PG_END_TRY();
	return plan;
}

/*
 * Takes the pages of a table to be full.  Our tables are emptied and filled again, and the
 * server multiplies the pages of today by the rows in a page when it counted them last.  A
 * queue that was vacuumed while it was empty has no rows then, however long it is now, and
 * each order of joining it costs the same: one of them reads all of it once for each row.
 */
static void
relation_hook(MF_RELATION_ARGUMENTS)
{
	ListCell   *lc;

	if (previous_relation_hook)
		previous_relation_hook(MF_RELATION_VALUES);
	if (!plans_ours || rel->rtekind != RTE_RELATION)
		return;
	rel->pages = Max(rel->pages, PAGES_OF_TABLE);
	rel->tuples = Max(rel->tuples, (double) rel->pages * ROWS_OF_PAGE);
	foreach(lc, rel->indexlist)
	{
		IndexOptInfo *index = (IndexOptInfo *) lfirst(lc);
		double		entries = index->indpred == NIL ? rel->tuples : (double) index->pages * ENTRIES_OF_PAGE;

		index->tuples = Min(Max(index->tuples, entries), rel->tuples);
	}
}

/* Notes for the triggers of each query whether it is ours; there is nothing to note while none of ours runs. */
static void
run_hook(MF_EXECUTOR_RUN_ARGUMENTS)
{
	ExecutorRun_hook_type next = previous_run_hook ? previous_run_hook : standard_ExecutorRun;
	bool		was_firing;

	if (mf_active_statement == NULL && !fires_triggers)
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

	if (mf_active_statement == NULL && !fires_triggers)
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
	const MfActiveStatement *statement = find_active_statement(query->sourceText);

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
	const MfActiveStatement *statement;

	for (statement = mf_active_statement; statement != NULL; statement = statement->outer)
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
