/*
 * on_change_registry.c
 *	  The functions that mf_on_change() and mf_on_time() have registered: the table
 *	  mf_reaction.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/on_change/on_change_registry.c
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "database/sql_array.h"
#include "database/user_call.h"
#include "on_change/on_change_queue.h"
#include "on_change/on_change_registry.h"
#include "process/wakeup.h"
#include "store/invoice_lookup.h"
#include "store/row_rights.h"

/* Attribute number of mf_reaction.kind */
#define KIND_COLUMN 7

/* The most functions that a role may have: each adds a row to the queue whenever an invoice changes. */
#define MAX_FUNCTIONS 8

static MfStatement register_statement = {
	"INSERT INTO @mf_reaction AS r (function, owner, registered_at, registered_by, kind, extension) "
	"VALUES ($1, $2, clock_timestamp(), $3, $4, $5) "
	"ON CONFLICT (function) DO UPDATE SET owner = EXCLUDED.owner, registered_at = EXCLUDED.registered_at, "
	"  registered_by = EXCLUDED.registered_by, kind = EXCLUDED.kind, extension = EXCLUDED.extension",
	5, {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID}, NULL
};

/*
 * Deletes calls of an earlier registration.  A transaction that ended beside
 * mf_off_change(), or later, may have left them in the queue.
 */
static MfStatement forget_statement = {
	"DELETE FROM @mf_reaction_queue q WHERE q.function = $1 AND NOT EXISTS (SELECT FROM @mf_reaction r WHERE r.function = q.function)",
	1, {TEXTOID}, NULL
};

static MfStatement count_others_statement = {
	"SELECT count(*) FROM @mf_reaction WHERE owner = $1 AND function <> $2", 2, {TEXTOID, TEXTOID}, NULL
};

static MfStatement kind_statement = {
	"SELECT FROM @mf_reaction WHERE function = $1 AND (kind = 'time') <> ($2 = 'time')", 2, {TEXTOID, TEXTOID}, NULL
};

static MfStatement owner_statement = {
	"SELECT r.owner::text, r.kind = 'time', " MF_REGISTRANT " FROM @mf_reaction r WHERE r.function = $1", 1, {TEXTOID}, NULL
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
	"SELECT r.function::text, r.owner::text, r.kind = 'time', w.changes, f.invoice::int8, f.error::text, w.since::timestamptz, "
	"  " MF_REGISTRANT " "
	"FROM @mf_reaction r LEFT JOIN LATERAL (SELECT q.invoice, q.error FROM @mf_reaction_queue q "
	"  WHERE q.function = r.function AND q.error IS NOT NULL ORDER BY q.invoice, q.id LIMIT 1) f ON true, "
	"  LATERAL (SELECT count(*) AS changes, min(CASE r.kind WHEN 'time' THEN greatest(q.due, q.changed_at) ELSE q.changed_at END) AS since "
	"    FROM @mf_reaction_queue q WHERE q.function = r.function AND (r.kind <> 'time' OR q.failures > 0 OR q.due <= clock_timestamp())) w "
	"ORDER BY r.function",
	0, {0}, NULL
};

static bool is_in_scope(TupleTableSlot *slot, MfReactionScope scope);
static void check_kind(const MfSqlScope *scope, const char *function, const char *kind);
static const char *owner_now(const MfReactionCall *call);
static bool is_visible(void *argument);

/*
 * Mostly no function is registered, and then the table has no pages.  The latest
 * snapshot is used, so that also a transaction that began before a registration sees
 * it.
 */
bool
mf_reactions_any(Oid schema, MfReactionScope scope)
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

		while (!any && table_scan_getnextslot(scan, ForwardScanDirection, slot))
			any = is_in_scope(slot, scope);
		table_endscan(scan);
		ExecDropSingleTupleTableSlot(slot);
		UnregisterSnapshot(snapshot);
	}
	table_close(relation, AccessShareLock);
	return any;
}

static bool
is_in_scope(TupleTableSlot *slot, MfReactionScope scope)
{
	bool		isnull;
	Datum		datum = slot_getattr(slot, KIND_COLUMN, &isnull);
	const char *kind = isnull ? "change" : TextDatumGetCString(datum);

	return scope == MF_REACTIONS_ALL || strcmp(kind, "change") == 0 ||
		(scope == MF_REACTIONS_OF_PAYMENTS && strcmp(kind, "payment") == 0);
}

/* Raises an error if the owner has as many other functions as it may; this one may be registered already. */
static void
check_limit(const MfSqlScope *scope, const char *function, const char *owner)
{
	Datum		values[2] = {CStringGetTextDatum(owner), CStringGetTextDatum(function)};

	(void) mf_sql_execute(scope, &count_others_statement, values, NULL);
	if (mf_result_int8(0, 1) >= MAX_FUNCTIONS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("role \"%s\" has %d functions that are called after changes or at times, which is the maximum", owner, MAX_FUNCTIONS),
				 errhint("Call the others from one of them, or end a registration with mf_off_change().")));
}

void
mf_reaction_register(Oid schema, Oid function, const char *kind, TimestampTz first_at)
{
	MfSqlScope	scope;
	const char *name = mf_registered_name(function);
	const char *owner = mf_function_owner(function);
	const char *extension = mf_registering_extension();
	Datum		values[] = {
		CStringGetTextDatum(name), CStringGetTextDatum(owner),
		CStringGetTextDatum(GetUserNameFromId(GetUserId(), false)),
		CStringGetTextDatum(kind), extension ? CStringGetTextDatum(extension) : (Datum) 0
	};

	/* registrations are counted one after the other */
	LockDatabaseObject(RelationRelationId, get_relname_relid("mf_reaction", schema), 0, ExclusiveLock);
	mf_sql_begin(&scope, schema);
	scope.latest = true;
	check_limit(&scope, name, owner);
	check_kind(&scope, name, kind);
	(void) mf_sql_execute(&scope, &forget_statement, values, NULL);
	if (mf_sql_execute(&scope, &register_statement, values, extension ? NULL : "    n") == 0)
		mf_change_suppressed();
	mf_reaction_queue_retry(&scope, name);
	mf_sql_end(&scope);
	if (first_at != 0)
		mf_reaction_call_at(schema, name, first_at);
	mf_news_at_commit(MF_TRY_REACTIONS);
}

/* Raises an error if the name is registered for changes and is to be called at times, or the reverse. */
static void
check_kind(const MfSqlScope *scope, const char *function, const char *kind)
{
	Datum		values[2] = {CStringGetTextDatum(function), CStringGetTextDatum(kind)};

	if (mf_sql_execute(scope, &kind_statement, values, NULL) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("function %s is registered for another purpose already", function),
				 errhint("Give one of them another name, or end the registration with mf_off_change().")));
}

const char *
mf_reaction_owner(Oid schema, const char *function, bool *timed)
{
	MfSqlScope	scope;
	Datum		value = CStringGetTextDatum(function);
	const char *owner = NULL;

	mf_sql_begin(&scope, schema);
	if (mf_sql_execute(&scope, &owner_statement, &value, NULL) > 0)
	{
		MfReactionCall call = {
			.schema = schema,.function = function,.owner = mf_result_text(0, 1),
			.registrant = mf_result_text(0, 3),.timed = mf_result_bool(0, 2)
		};

		owner = owner_now(&call);
		*timed = call.timed;
	}
	mf_sql_end(&scope);
	return owner;
}

int64
mf_reaction_unregister(Oid schema, const char *function)
{
	Datum		value = CStringGetTextDatum(function);

	mf_reaction_forget_calls();
	return mf_change_alone(schema, &unregister_statement, &value, NULL);
}

List *
mf_reaction_states(Oid schema)
{
	MfSqlScope	scope;
	List	   *states = NIL;
	uint64		count;
	uint64		i;

	mf_sql_begin(&scope, schema);
	count = mf_sql_execute(&scope, &states_statement, NULL, NULL);
	for (i = 0; i < count; i++)
	{
		MfReactionState *state = (MfReactionState *) palloc(sizeof(MfReactionState));
		MfReactionCall call;

		state->function = mf_result_text(i, 1);
		state->owner = mf_result_text(i, 2);
		state->timed = mf_result_bool(i, 3);
		state->waiting = mf_result_int8(i, 4);
		state->invoice = mf_result_int8(i, 5);
		state->error = mf_result_text(i, 6);
		state->since = mf_result_timestamp(i, 7);
		state->registrant = mf_result_text(i, 8);
		call = (MfReactionCall) {
			.schema = schema,.function = state->function,.owner = state->owner,
			.registrant = state->registrant,.timed = state->timed
		};
		state->owner = owner_now(&call);
		states = lappend(states, state);
	}
	mf_sql_end(&scope);
	return states;
}

void
mf_reaction_describe(const MfReactionCall *call, MfUserCall *function)
{
	static const Oid change_types[] = {REGPROCEDUREOID, BOOLOID};
	static const Oid time_types[] = {REGPROCEDUREOID, TIMESTAMPTZOID};

	memset(function, 0, sizeof(MfUserCall));
	function->function = call->function;
	function->owner = call->owner;
	function->registrant = call->registrant;
	function->registrar = call->timed ? mf_find_function(call->schema, "mf_on_time", time_types, lengthof(time_types)) :
		mf_find_function(call->schema, "mf_on_change", change_types, lengthof(change_types));
	if (call->timed)
	{
		function->nargs = 1;
		function->types[0] = function->returns = TIMESTAMPTZOID;
	}
	else
	{
		function->nargs = 2;
		function->types[0] = function->types[1] = get_rel_type_id(get_relname_relid("mf_invoice", call->schema));
	}
}

/* The owner of the function as mf_user_call_owner() tells it, which may have changed since the registration. */
static const char *
owner_now(const MfReactionCall *call)
{
	MfUserCall	function;

	mf_reaction_describe(call, &function);
	return mf_user_call_owner(&function);
}

char *
mf_reaction_refusal(const MfReactionCall *call, Oid *role)
{
	MfUserCall	function;
	char	   *refusal;

	mf_reaction_describe(call, &function);
	refusal = mf_user_call_refusal(&function, role);
	if (refusal == NULL && !call->timed &&
		pg_class_aclcheck(get_relname_relid("mf_invoice", call->schema), *role, ACL_SELECT) != ACLCHECK_OK)
		return psprintf("role \"%s\", which owns it, may not read mf_invoice", call->owner);
	return refusal;
}

const char *
mf_reaction_call(MfReactionCall *call)
{
	MfUserCall	function;
	Oid			role;
	const char *failure = mf_reaction_refusal(call, &role);

	if (failure != NULL)
		return failure;
	mf_reaction_describe(call, &function);
	if (call->timed)
		function.args[0] = TimestampTzGetDatum(GetCurrentTimestamp());
	else
	{
		function.args[0] = call->before;
		function.args[1] = call->after;
		function.is_wanted = is_visible;
		function.argument = call;
	}
	failure = mf_user_call(&function);
	if (failure == NULL && !function.isnull)
		call->next = DatumGetTimestampTz(function.result);
	return failure;
}

/* False if row-level security hides the invoice from the owner of the function. */
static bool
is_visible(void *argument)
{
	const MfReactionCall *call = (const MfReactionCall *) argument;

	return !mf_is_under_policies(call->schema) || mf_queue_is_visible(call->schema, call->invoice);
}
