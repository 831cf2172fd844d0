/*
 * compat.h
 *	  Every difference between PostgreSQL 14 and 19 that concerns this library.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/base/compat.h
 */
#ifndef MF_COMPAT_H
#define MF_COMPAT_H

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_proc.h"
#include "commands/async.h"
#include "executor/executor.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "parser/parsetree.h"
#if PG_VERSION_NUM >= 160000
#include "parser/parse_relation.h"
#endif
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/syscache.h"

#include "base/text_domain.h"

#if PG_VERSION_NUM < 140000
#error "myfatoorah needs PostgreSQL 14 or newer"
#endif

/* 15: MarkGUCPrefixReserved() replaces EmitWarningsOnPlaceholders() */
#if PG_VERSION_NUM < 150000
#define MarkGUCPrefixReserved(prefix) EmitWarningsOnPlaceholders(prefix)
#endif

/* 15: shared memory is requested in a hook; before, while the library is loaded */
static inline void
mf_request_shared_memory(void (*request) (void), void (**previous) (void))
{
#if PG_VERSION_NUM >= 150000
	*previous = shmem_request_hook;
	shmem_request_hook = request;
#else
	*previous = NULL;
	request();
#endif
}

/* 16: object_aclcheck() and object_ownercheck() replace a function for each catalog */
static inline bool
mf_server_usable(Oid serverid, Oid roleid)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(ForeignServerRelationId, serverid, roleid, ACL_USAGE) == ACLCHECK_OK;
#else
	return pg_foreign_server_aclcheck(serverid, roleid, ACL_USAGE) == ACLCHECK_OK;
#endif
}

static inline bool
mf_function_usable(Oid function, Oid roleid)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(ProcedureRelationId, function, roleid, ACL_EXECUTE) == ACLCHECK_OK;
#else
	return pg_proc_aclcheck(function, roleid, ACL_EXECUTE) == ACLCHECK_OK;
#endif
}

static inline bool
mf_owns_relation(Oid relid, Oid roleid)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(RelationRelationId, relid, roleid);
#else
	return pg_class_ownercheck(relid, roleid);
#endif
}

static inline Oid
mf_relation_owner(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

static inline bool
mf_owns_database(Oid database, Oid roleid)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(DatabaseRelationId, database, roleid);
#else
	return pg_database_ownercheck(database, roleid);
#endif
}

/* 15: ThisTimeLineID was removed */
static inline TimeLineID
mf_current_timeline(void)
{
#if PG_VERSION_NUM >= 150000
	return GetWALInsertionTimeLine();
#else
	return RecoveryInProgress() ? 0 : ThisTimeLineID;
#endif
}

/* 17: MyProcNumber; wait event sets belong to a resource owner */
#if PG_VERSION_NUM >= 170000
#define MF_MY_PROC_NUMBER MyProcNumber
#define MF_INVALID_PROC_NUMBER INVALID_PROC_NUMBER
#define mf_create_wait_event_set(nevents) CreateWaitEventSet(NULL, nevents)
#else
#define MF_MY_PROC_NUMBER (MyProc->pgprocno)
#define MF_INVALID_PROC_NUMBER (-1)
#define mf_create_wait_event_set(nevents) CreateWaitEventSet(TopMemoryContext, nevents)
#endif

/* 17: the size of the NOTIFY queue is a parameter */
#if PG_VERSION_NUM >= 170000
#define mf_notify_queue_pages() max_notify_queue_pages
#else
#define mf_notify_queue_pages() (8.0 * 1024 * 1024 * 1024 / 8192)
#endif

/*
 * 18: a scan that is switched off costs no more than before, and what compares costs alone, as
 * the choice whether an EXISTS is hashed, takes it nevertheless.  So its pages have a price, too.
 */
#if PG_VERSION_NUM >= 180000
#define MF_SWITCHED_OFF_PAGE_COST(cost) 1.0e9
#else
#define MF_SWITCHED_OFF_PAGE_COST(cost) (cost)
#endif

/* 18: pg_noreturn precedes a declaration */
#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

/* 18: a module tells its name and version */
#if PG_VERSION_NUM >= 180000
#define MF_MODULE_MAGIC PG_MODULE_MAGIC_EXT(.name = "myfatoorah",.version = MF_VERSION)
#else
#define MF_MODULE_MAGIC PG_MODULE_MAGIC
#endif

/* 16: an argument for summarizing indexes; 19: flags */
#if PG_VERSION_NUM >= 190000
#define mf_insert_index_tuples(result, slot, estate) \
	ExecInsertIndexTuples(result, estate, 0, slot, NIL, NULL)
#define mf_insert_new_index_tuples(result, slot, estate, conflict) \
	ExecInsertIndexTuples(result, estate, EIIT_NO_DUPE_ERROR, slot, NIL, conflict)
#elif PG_VERSION_NUM >= 160000
#define mf_insert_index_tuples(result, slot, estate) \
	ExecInsertIndexTuples(result, slot, estate, false, false, NULL, NIL, false)
#define mf_insert_new_index_tuples(result, slot, estate, conflict) \
	ExecInsertIndexTuples(result, slot, estate, false, true, conflict, NIL, false)
#else
#define mf_insert_index_tuples(result, slot, estate) \
	ExecInsertIndexTuples(result, slot, estate, false, false, NULL, NIL)
#define mf_insert_new_index_tuples(result, slot, estate, conflict) \
	ExecInsertIndexTuples(result, slot, estate, false, true, conflict, NIL)
#endif

/* 16: varatt.h was split from postgres.h */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* 16: the rights on range table entries have a list of their own; 18: and so have relations that were not pruned */
static inline void
mf_init_range_table(EState *estate, RangeTblEntry *entry, Bitmapset *updated_columns)
{
#if PG_VERSION_NUM >= 160000
	List	   *permissions = NIL;

	addRTEPermissionInfo(&permissions, entry)->updatedCols = updated_columns;
#if PG_VERSION_NUM >= 180000
	ExecInitRangeTable(estate, list_make1(entry), permissions, bms_make_singleton(1));
#else
	ExecInitRangeTable(estate, list_make1(entry), permissions);
#endif
#else
	entry->updatedCols = updated_columns;
	ExecInitRangeTable(estate, list_make1(entry));
#endif
}

/* 16: an argument for result relations */
static inline void
mf_eval_plan_qual_init(EPQState *epq, EState *estate)
{
#if PG_VERSION_NUM >= 160000
	EvalPlanQualInit(epq, estate, NULL, NIL, -1, NIL);
#else
	EvalPlanQualInit(epq, estate, NULL, NIL, -1);
#endif
}

/* Has the rights on each table of a query checked as its owner.  16: they have a list of their own. */
static inline void
mf_check_as_owners(Query *query)
{
	ListCell   *lc;

#if PG_VERSION_NUM >= 160000
	foreach(lc, query->rteperminfos)
	{
		RTEPermissionInfo *permissions = lfirst_node(RTEPermissionInfo, lc);

		permissions->checkAsUser = mf_relation_owner(permissions->relid);
	}
#else
	foreach(lc, query->rtable)
	{
		RangeTblEntry *entry = lfirst_node(RangeTblEntry, lc);

		if (entry->rtekind == RTE_RELATION)
			entry->checkAsUser = mf_relation_owner(entry->relid);
	}
#endif
}

/* Has no right required on the first column of the table that an INSERT writes into.  16: as above. */
static inline void
mf_excuse_first_column(Query *query)
{
	RangeTblEntry *entry = rt_fetch(query->resultRelation, query->rtable);
#if PG_VERSION_NUM >= 160000
	Bitmapset **inserted = &getRTEPermissionInfo(query->rteperminfos, entry)->insertedCols;
#else
	Bitmapset **inserted = &entry->insertedCols;
#endif

	*inserted = bms_del_member(*inserted, 1 - FirstLowInvalidHeapAttributeNumber);
}

/* The columns that an INSERT or UPDATE writes */
typedef struct MfWrittenColumns
{
	Oid			table;			/* InvalidOid = the statement writes to no table */
	Oid			role;			/* whose rights are checked; InvalidOid = the current role */
	const Bitmapset *inserted;
	const Bitmapset *updated;
} MfWrittenColumns;

/* 16: the rights on range table entries have a list of their own; 19: result relations are a set */
static inline MfWrittenColumns
mf_written_columns(const PlannedStmt *statement)
{
	MfWrittenColumns written = {InvalidOid, InvalidOid, NULL, NULL};
	const RangeTblEntry *entry;

#if PG_VERSION_NUM >= 190000
	if (bms_is_empty(statement->resultRelationRelids))
		return written;
	entry = rt_fetch(bms_next_member(statement->resultRelationRelids, -1), statement->rtable);
#else
	if (statement->resultRelations == NIL)
		return written;
	entry = rt_fetch(linitial_int(statement->resultRelations), statement->rtable);
#endif
	written.table = entry->relid;
#if PG_VERSION_NUM >= 160000
	if (entry->perminfoindex == 0)
		written.table = InvalidOid;
	else
	{
		const RTEPermissionInfo *permissions = list_nth(statement->permInfos, entry->perminfoindex - 1);

		written.role = permissions->checkAsUser;
		written.inserted = permissions->insertedCols;
		written.updated = permissions->updatedCols;
	}
#else
	written.role = entry->checkAsUser;
	written.inserted = entry->insertedCols;
	written.updated = entry->updatedCols;
#endif
	return written;
}

/* 18: the argument execute_once was removed */
#if PG_VERSION_NUM >= 180000
#define MF_EXECUTOR_RUN_ARGUMENTS QueryDesc *query, ScanDirection direction, uint64 count
#define MF_EXECUTOR_RUN_VALUES query, direction, count
#else
#define MF_EXECUTOR_RUN_ARGUMENTS QueryDesc *query, ScanDirection direction, uint64 count, bool execute_once
#define MF_EXECUTOR_RUN_VALUES query, direction, count, execute_once
#endif

/* 19: an argument for EXPLAIN */
#if PG_VERSION_NUM >= 190000
struct ExplainState;
#define MF_PLANNER_ARGUMENTS \
	Query *query, const char *text, int cursor_options, ParamListInfo parameters, struct ExplainState *explain
#define MF_PLANNER_VALUES query, text, cursor_options, parameters, explain
#else
#define MF_PLANNER_ARGUMENTS Query *query, const char *text, int cursor_options, ParamListInfo parameters
#define MF_PLANNER_VALUES query, text, cursor_options, parameters
#endif

/* 19: the hook that sees what a plan knows of a table has another name, place and arguments */
#if PG_VERSION_NUM >= 190000
#define MF_RELATION_HOOK build_simple_rel_hook
#define MF_RELATION_HOOK_TYPE build_simple_rel_hook_type
#define MF_RELATION_ARGUMENTS PlannerInfo *root, RelOptInfo *rel, RangeTblEntry *entry
#define MF_RELATION_VALUES root, rel, entry
#else
#define MF_RELATION_HOOK get_relation_info_hook
#define MF_RELATION_HOOK_TYPE get_relation_info_hook_type
#define MF_RELATION_ARGUMENTS PlannerInfo *root, Oid table, bool inherited, RelOptInfo *rel
#define MF_RELATION_VALUES root, table, inherited, rel
#endif

/* 19: it is const */
#if PG_VERSION_NUM >= 190000
#define MF_JUMBLE_STATE const struct JumbleState
#else
#define MF_JUMBLE_STATE struct JumbleState
#endif

/* 19: flags of slots and scans; pruning may set a page all-visible */
#if PG_VERSION_NUM >= 190000
#define mf_alloc_table_slot(slots, desc, operations) ExecAllocTableSlot(slots, desc, operations, 0)
#define mf_table_beginscan(relation, snapshot) table_beginscan(relation, snapshot, 0, NULL, 0)
#define mf_prune_page(relation, buffer) \
	do { \
		Buffer		visibility_map = InvalidBuffer; \
		heap_page_prune_opt(relation, buffer, &visibility_map, false); \
		if (BufferIsValid(visibility_map)) \
			ReleaseBuffer(visibility_map); \
	} while (0)
#else
#define mf_alloc_table_slot(slots, desc, operations) ExecAllocTableSlot(slots, desc, operations)
#define mf_table_beginscan(relation, snapshot) table_beginscan(relation, snapshot, 0, NULL)
#define mf_prune_page(relation, buffer) heap_page_prune_opt(relation, buffer)
#endif

/* 19: the state of building a jsonb contains its result; initialize it with {0} */
#if PG_VERSION_NUM >= 190000
#define MfJsonbState JsonbInState
#define mf_push_jsonb_value(state, token, value) (pushJsonbValue(state, token, value), (state)->result)
#else
#define MfJsonbState JsonbParseState *
#define mf_push_jsonb_value(state, token, value) pushJsonbValue(state, token, value)
#endif

#endif							/* MF_COMPAT_H */
