/*
 * on_change_registry.c
 *	  The functions that mf_on_change() has registered: the table mf_reaction.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/on_change/on_change_registry.c
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "database/sql_array.h"
#include "on_change/on_change_queue.h"
#include "on_change/on_change_registry.h"
#include "process/wakeup.h"

/* The most functions that a role may have: each adds a row to the queue whenever an invoice changes. */
#define MAX_FUNCTIONS 8

static MfStatement register_statement = {
	"INSERT INTO @mf_reaction AS r (function, owner, registered_at, registered_by) VALUES ($1, $2, clock_timestamp(), $3) "
	"ON CONFLICT (function) DO UPDATE SET owner = EXCLUDED.owner, registered_at = EXCLUDED.registered_at, "
	"  registered_by = EXCLUDED.registered_by",
	3, {TEXTOID, TEXTOID, TEXTOID}, NULL
};

static MfStatement count_others_statement = {
	"SELECT count(*) FROM @mf_reaction WHERE owner = $1 AND function <> $2", 2, {TEXTOID, TEXTOID}, NULL
};

static MfStatement owner_statement = {
	"SELECT owner::text FROM @mf_reaction WHERE function = $1", 1, {TEXTOID}, NULL
};

/*
 * The process that calls functions may be deleting from the queue at the same time.
 * So rows are locked before they are counted, in the order in which it locks them:
 * changes first, then the function.  The first result is the number of rows whose
 * deletion a trigger has suppressed, for mf_change().
 */
static MfStatement unregister_statement = {
	"WITH l AS MATERIALIZED (SELECT id FROM @mf_reaction_queue WHERE function = $1 ORDER BY id FOR UPDATE), "
	"q AS (DELETE FROM @mf_reaction_queue q USING l WHERE q.id = l.id RETURNING 1), "
	"f AS MATERIALIZED (SELECT function FROM @mf_reaction WHERE function = $1 AND (SELECT count(*) FROM q) >= 0 FOR UPDATE), "
	"r AS (DELETE FROM @mf_reaction r USING f WHERE r.function = f.function RETURNING 1) "
	"SELECT (SELECT count(*) FROM f) - (SELECT count(*) FROM r) + (SELECT count(*) FROM l) - (SELECT count(*) FROM q), "
	"  (SELECT count(*) FROM q)",
	1, {TEXTOID}, NULL
};

static MfStatement states_statement = {
	"SELECT r.function::text, r.owner::text, (SELECT count(*) FROM @mf_reaction_queue q WHERE q.function = r.function), "
	"  f.invoice::int8, f.error::text, "
	"  (SELECT min(q.changed_at) FROM @mf_reaction_queue q WHERE q.function = r.function)::timestamptz "
	"FROM @mf_reaction r LEFT JOIN LATERAL (SELECT q.invoice, q.error FROM @mf_reaction_queue q "
	"  WHERE q.function = r.function AND q.error IS NOT NULL ORDER BY q.invoice, q.id LIMIT 1) f ON true "
	"ORDER BY r.function",
	0, {0}, NULL
};

static void check_limit(const MfSqlScope *scope, const char *function, const char *owner);

/*
 * Mostly no function is registered, and then the table has no pages.  The latest
 * snapshot is used, so that also a transaction that began before a registration sees
 * it.
 */
bool
mf_reactions_any(Oid schema)
{
	Oid			relid = get_relname_relid("mf_reaction", schema);
	Relation	relation;
	bool		any = false;

	if (!OidIsValid(relid))
		return false;
	relation = table_open(relid, AccessShareLock);
	if (RelationGetNumberOfBlocks(relation) > 0)
	{
		Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
		TupleTableSlot *slot = table_slot_create(relation, NULL);
		TableScanDesc scan = mf_table_beginscan(relation, snapshot);

		any = table_scan_getnextslot(scan, ForwardScanDirection, slot);
		table_endscan(scan);
		ExecDropSingleTupleTableSlot(slot);
		UnregisterSnapshot(snapshot);
	}
	table_close(relation, AccessShareLock);
	return any;
}

/* Raises an error if the owner has the most functions without this one, which may be registered again. */
static void
check_limit(const MfSqlScope *scope, const char *function, const char *owner)
{
	Datum		values[2] = {CStringGetTextDatum(owner), CStringGetTextDatum(function)};

	(void) mf_sql_execute(scope, &count_others_statement, values, NULL);
	if (DatumGetInt64(mf_result(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, NULL)) >= MAX_FUNCTIONS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("role \"%s\" has %d functions that are called after changes, which is the maximum", owner, MAX_FUNCTIONS),
				 errhint("Call the others from one of them, or end a registration with mf_off_change().")));
}

void
mf_reaction_register(Oid schema, const char *function, const char *owner, const char *by)
{
	MfSqlScope	scope;
	Datum		values[3];

	values[0] = CStringGetTextDatum(function);
	values[1] = CStringGetTextDatum(owner);
	values[2] = CStringGetTextDatum(by);
	mf_sql_begin(&scope, schema);
	check_limit(&scope, function, owner);
	if (mf_sql_execute(&scope, &register_statement, values, NULL) == 0)
		mf_change_suppressed();
	mf_reaction_queue_retry(&scope, function);
	mf_sql_end(&scope);
	mf_try_now_at_commit(MF_TRY_REACTIONS);
}

char *
mf_reaction_owner(Oid schema, const char *function)
{
	MfSqlScope	scope;
	MemoryContext context = CurrentMemoryContext;
	Datum		value = CStringGetTextDatum(function);
	char	   *owner = NULL;

	mf_sql_begin(&scope, schema);
	if (mf_sql_execute(&scope, &owner_statement, &value, NULL) > 0)
		owner = MemoryContextStrdup(context, mf_result_text(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
	mf_sql_end(&scope);
	return owner;
}

int64
mf_reaction_unregister(Oid schema, const char *function)
{
	MfSqlScope	scope;
	Datum		value = CStringGetTextDatum(function);
	int64		waiting;

	mf_sql_begin(&scope, schema);
	waiting = mf_change(&scope, &unregister_statement, &value, NULL);
	mf_sql_end(&scope);
	return waiting;
}

List *
mf_reaction_states(Oid schema)
{
	MfSqlScope	scope;
	MemoryContext context = CurrentMemoryContext;
	List	   *states = NIL;
	uint64		count;
	uint64		i;

	mf_sql_begin(&scope, schema);
	count = mf_sql_execute(&scope, &states_statement, NULL, NULL);
	MemoryContextSwitchTo(context);
	for (i = 0; i < count; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		MfReactionState *state = (MfReactionState *) palloc(sizeof(MfReactionState));
		bool		isnull;
		Datum		invoice = mf_result(tuple, desc, 4, &isnull);

		state->function = mf_result_text(tuple, desc, 1);
		state->owner = mf_result_text(tuple, desc, 2);
		state->waiting = DatumGetInt64(mf_result(tuple, desc, 3, NULL));
		state->invoice = isnull ? 0 : DatumGetInt64(invoice);
		state->error = mf_result_text(tuple, desc, 5);
		state->since = mf_result_timestamp(tuple, desc, 6);
		states = lappend(states, state);
	}
	mf_sql_end(&scope);
	return states;
}
