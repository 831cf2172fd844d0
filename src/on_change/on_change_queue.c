/*
 * on_change_queue.c
 *	  The changes that functions of mf_on_change() are to be told.
 *
 * A change is noted in its own transaction, and told after the commit, in another
 * process and in a transaction of its own: nobody's session, and no change of an
 * invoice, is at the mercy of a function.  What an invoice is waiting with is told
 * in order, and functions take turns.
 *
 * Nobody who changes a row may wait for others because of that, so it is noted by
 * insertions; rows that are there are updated by that process only, and by those who
 * register.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/on_change/on_change_queue.c
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/settings.h"
#include "database/sql_array.h"
#include "on_change/on_change_call.h"
#include "on_change/on_change_process.h"
#include "on_change/on_change_queue.h"
#include "process/process.h"
#include "process/wakeup.h"

/* Back-off: doubled with each failure in a row, of a change and of a function */
#define BACKOFF_MS 1000
#define BACKOFF_MAX_MS 3600000
#define FUNCTION_BACKOFF_MAX_MS 60000

/* Functions of a role */
#define MAX_FUNCTIONS 8

/* When even a failure could not be noted */
#define RETRY_MS 5000

/* Of the invoices that wait, the first change of each */
#define IS_FIRST "NOT EXISTS (SELECT FROM @mf_reaction_queue o WHERE o.function = q.function AND o.invoice = q.invoice AND o.id < q.id)"

/* A copy does nothing before a person says so, nor does a subscriber. */
#define NOT_PAUSED "NOT EXISTS (SELECT FROM @mf_account a WHERE a.paused_at IS NOT NULL " \
	"AND a.account IN ('*', '* (subscriber ' || @mf_here() || ')'))"

static MfStatement note_statement = {
	"WITH r AS (SELECT function FROM @mf_reaction), "
	"q AS (INSERT INTO @mf_reaction_queue (function, invoice, old_row, new_row, failures, due) "
	"  SELECT function, $1, $2::jsonb, $3::jsonb, 0, clock_timestamp() FROM r RETURNING 1) "
	"SELECT (SELECT count(*) FROM r) - (SELECT count(*) FROM q), (SELECT count(*) FROM q)",
	3, {INT8OID, TEXTOID, TEXTOID}, NULL
};

/* the function after the one that was called last, in the order of their names */
static MfStatement next_statement = {
	MF_IN_ORDER "SELECT q.id::int8, r.function::text, r.owner::text, q.invoice::int8, q.failures::int4, r.failures::int4 "
	"FROM @mf_reaction r, LATERAL (SELECT q.id, q.invoice, q.failures, q.due FROM @mf_reaction_queue q "
	"  WHERE q.function = r.function AND q.due <= $1 AND " IS_FIRST " ORDER BY q.due LIMIT 1) q "
	"WHERE (r.retry_at IS NULL OR r.retry_at <= $1) AND " NOT_PAUSED " ORDER BY r.function <= $2, r.function LIMIT 1",
	2, {TIMESTAMPTZOID, TEXTOID}, NULL
};

static MfStatement alarm_statement = {
	MF_IN_ORDER "SELECT min(greatest(q.due, r.retry_at))::timestamptz "
	"FROM @mf_reaction r, LATERAL (SELECT q.due FROM @mf_reaction_queue q "
	"  WHERE q.function = r.function AND " IS_FIRST " ORDER BY q.due LIMIT 1) q WHERE " NOT_PAUSED,
	0, {0}, NULL
};

static MfStatement rows_statement = {
	"SELECT jsonb_populate_record(NULL::@mf_invoice, q.old_row), jsonb_populate_record(NULL::@mf_invoice, q.new_row) "
	"FROM @mf_reaction_queue q WHERE q.id = $1",
	1, {INT8OID}, NULL
};

/* whoever takes it away waits for the worker, or it for them */
static MfStatement lock_statement = {
	"SELECT FROM @mf_reaction_queue WHERE id = $1 FOR UPDATE", 1, {INT8OID}, NULL
};

static MfStatement told_statement = {
	"DELETE FROM @mf_reaction_queue WHERE id = $1", 1, {INT8OID}, NULL
};

static MfStatement mended_statement = {
	"UPDATE @mf_reaction SET failures = 0, retry_at = NULL WHERE function = $1", 1, {TEXTOID}, NULL
};

#define BACKOFF(failures, max) "clock_timestamp() + least(" CppAsString2(BACKOFF_MS) " * 2.0 ^ least(" failures ", 20), " \
	CppAsString2(max) ") * interval '1 ms'"

static MfStatement failed_statement = {
	"UPDATE @mf_reaction_queue SET failures = failures + 1, error = $2, "
	"  due = " BACKOFF("failures", BACKOFF_MAX_MS) " WHERE id = $1",
	2, {INT8OID, TEXTOID}, NULL
};

static MfStatement failing_statement = {
	"UPDATE @mf_reaction SET failures = failures + 1, retry_at = " BACKOFF("failures", FUNCTION_BACKOFF_MAX_MS)
	" WHERE function = (SELECT q.function FROM @mf_reaction_queue q WHERE q.id = $1)",
	1, {INT8OID}, NULL
};

static MfStatement register_statement = {
	"INSERT INTO @mf_reaction AS r (function, owner, registered_at, registered_by) VALUES ($1, $2, clock_timestamp(), $3) "
	"ON CONFLICT (function) DO UPDATE SET owner = EXCLUDED.owner, registered_at = EXCLUDED.registered_at, "
	"  registered_by = EXCLUDED.registered_by",
	3, {TEXTOID, TEXTOID, TEXTOID}, NULL
};

static MfStatement others_statement = {
	"SELECT count(*) FROM @mf_reaction WHERE owner = $1 AND function <> $2", 2, {TEXTOID, TEXTOID}, NULL
};

static MfStatement due_statement = {
	"UPDATE @mf_reaction_queue SET due = clock_timestamp() WHERE due > clock_timestamp() AND ($1 IS NULL OR function = $1)",
	1, {TEXTOID}, NULL
};

static MfStatement retry_statement = {
	"UPDATE @mf_reaction SET retry_at = NULL WHERE retry_at IS NOT NULL AND ($1 IS NULL OR function = $1)",
	1, {TEXTOID}, NULL
};

static MfStatement owner_statement = {
	"SELECT owner::text FROM @mf_reaction WHERE function = $1", 1, {TEXTOID}, NULL
};

/*
 * What is counted is locked first: the process that tells takes changes away at
 * the same time, and the row of the function after the change that it has locked.
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

/* What is told in one transaction; it lives a bit longer */
typedef struct Telling
{
	MemoryContext context;
	int64		id;				/* 0 = nothing is due */
	MfReactionCall call;
	bool		news;			/* neither the change nor the function is known to fail */
	bool		was_failing;	/* the function, so far */
	const char *failure;		/* of the function; NULL = it was told */
	bool		done;			/* it was told, but for the commit */
	TimestampTz next;			/* when something is due; 0 = never */
	int64	   *under_way;		/* what a call that does not come back leaves set */
} Telling;

static char last_function[4 * NAMEDATALEN + 8] = "";	/* two names, quoted */
static bool told = false;		/* the log tells that not even a failure could be noted */

static void check_number(const MfSqlScope *scope, const char *function, const char *owner);
static void tell_failure(const MfReactionCall *call, const char *failure);
static bool is_done(bool done, const char *error);
static bool find_alarm(const MfSqlScope *scope, void *argument);
static bool tell_next(const MfSqlScope *scope, void *argument);
static void find_next(const MfSqlScope *scope, Telling *telling);
static void read_rows(void *argument);
static bool note_failure(const MfSqlScope *scope, void *argument);
static bool note_ended(const MfSqlScope *scope, void *argument);
static void constraints_immediate(void);
static char *column_text(SPITupleTable *rows, uint64 row, int column);

/* See on_change_queue.h.  A table without pages has no rows. */
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

void
mf_reactions_note(Oid schema, int64 invoice, Datum before, Datum after)
{
	MfSqlScope	scope;
	Datum		values[3];

	values[0] = Int64GetDatum(invoice);
	values[1] = DirectFunctionCall1(row_to_json, before);
	values[2] = DirectFunctionCall1(row_to_json, after);
	mf_sql_begin(&scope, schema);
	(void) mf_change(&scope, &note_statement, values, NULL);
	mf_sql_end(&scope);
	if (mf_process_is_ours)
		mf_reactions_wake();
	else
		mf_try_now_at_commit(MF_TRY_REACTIONS);
}

static char *
column_text(SPITupleTable *rows, uint64 row, int column)
{
	bool		isnull;
	Datum		value = mf_result(rows->vals[row], rows->tupdesc, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/* In the server's log only: what the function does is nothing for whoever has changed the row. */
static void
tell_failure(const MfReactionCall *call, const char *failure)
{
	ereport(LOG_SERVER_ONLY,
			(errmsg("function %s could not be told of a change of invoice %lld", call->function, (long long) call->invoice),
			 errdetail_internal("%s", failure),
			 errhint("The change stands. It is tried again later and later, and at once after mf_resume(); mf_reaction_backlog shows it.")));
}

/* Each function costs those a line who change rows. */
static void
check_number(const MfSqlScope *scope, const char *function, const char *owner)
{
	Datum		values[2] = {CStringGetTextDatum(owner), CStringGetTextDatum(function)};

	(void) mf_sql_execute(scope, &others_statement, values, NULL);
	if (DatumGetInt64(mf_result(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, NULL)) >= MAX_FUNCTIONS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("role \"%s\" has %d functions that are called after changes, which is the maximum", owner, MAX_FUNCTIONS),
				 errhint("Have one of them call the others, or end a registration with mf_off_change().")));
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
	check_number(&scope, function, owner);
	if (mf_sql_execute(&scope, &register_statement, values, NULL) == 0)
		mf_change_suppressed();
	(void) mf_sql_execute(&scope, &retry_statement, values, NULL);
	(void) mf_sql_execute(&scope, &due_statement, values, NULL);
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
		owner = MemoryContextStrdup(context, column_text(SPI_tuptable, 0, 1));
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
		MfReactionState *state = (MfReactionState *) palloc(sizeof(MfReactionState));
		bool		isnull;

		state->function = column_text(SPI_tuptable, i, 1);
		state->owner = column_text(SPI_tuptable, i, 2);
		state->waiting = DatumGetInt64(mf_result(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 3, NULL));
		state->invoice = DatumGetInt64(mf_result(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 4, &isnull));
		if (isnull)
			state->invoice = 0;
		state->error = column_text(SPI_tuptable, i, 5);
		state->since = DatumGetTimestampTz(mf_result(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 6, &isnull));
		states = lappend(states, state);
	}
	mf_sql_end(&scope);
	return states;
}

void
mf_reactions_try_now(const MfSqlScope *scope)
{
	Datum		value = (Datum) 0;

	(void) mf_sql_execute(scope, &retry_statement, &value, "n");
	(void) mf_sql_execute(scope, &due_statement, &value, "n");
	mf_reactions_wake();
}

bool
mf_reactions_next(MfRunTransaction run_apart, TimestampTz *next)
{
	char	   *error;
	bool		done = run_apart(find_alarm, next, &error);

	return is_done(done, error);
}

/*
 * See on_change_queue.h.  A transaction that fails after the function has succeeded
 * has failed because of it; one that fails before says nothing of it.
 */
bool
mf_reactions_tell(MfRunTransaction run_apart, int64 *under_way, TimestampTz *next)
{
	Telling		telling;
	char	   *error;
	bool		done;

	memset(&telling, 0, sizeof(telling));
	telling.context = AllocSetContextCreate(TopMemoryContext, "myfatoorah reaction", ALLOCSET_SMALL_SIZES);
	telling.under_way = under_way;
	done = run_apart(tell_next, &telling, &error);
	if (!done && error != NULL && telling.done && !mf_process_cancelled())
	{
		telling.failure = MemoryContextStrdup(telling.context, error);
		done = run_apart(note_failure, &telling, &error);
	}
	*under_way = 0;
	if (!is_done(done, error))
		telling.next = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), RETRY_MS);
	if (telling.news && telling.failure != NULL)
		tell_failure(&telling.call, telling.failure);
	MemoryContextDelete(telling.context);
	*next = telling.next;
	return done && telling.id != 0;
}

bool
mf_reaction_note_ended(MfRunTransaction run_apart, int64 id)
{
	Telling		telling;
	char	   *error;
	bool		done;

	memset(&telling, 0, sizeof(telling));
	telling.id = id;
	telling.failure = "the process that called it was ended, or it went on after myfatoorah.on_change_timeout";
	done = run_apart(note_ended, &telling, &error);
	return is_done(done, error);
}

/* Says so in the log, the first time, if what is to be told cannot be read or written. */
static bool
is_done(bool done, const char *error)
{
	if (!done && !told && error != NULL && !ShutdownRequestPending)
		ereport(LOG,
				(errmsg("what functions of mf_on_change() are still to be told could not be read or written"),
				 errdetail_internal("%s", error),
				 errhint("It is tried again every few seconds. Sending goes on without it.")));
	told = !done;
	return done;
}

static bool
find_alarm(const MfSqlScope *scope, void *argument)
{
	TimestampTz *next = (TimestampTz *) argument;
	bool		isnull;
	Datum		value;

	(void) mf_sql_execute(scope, &alarm_statement, NULL, NULL);
	value = mf_result(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	*next = isnull ? 0 : DatumGetTimestampTz(value);
	return true;
}

/* Tells what is due first; or when something will be. */
static bool
tell_next(const MfSqlScope *scope, void *argument)
{
	Telling    *telling = (Telling *) argument;
	ErrorData  *error;
	const char *failure;
	Datum		id;

	find_next(scope, telling);
	id = Int64GetDatum(telling->id);
	if (telling->id == 0 || mf_sql_execute(scope, &lock_statement, &id, NULL) == 0)
		return telling->done = true;

	*telling->under_way = telling->id;
	mf_process_commit_unhurried();
	constraints_immediate();
	ResetSequenceCaches();
	error = mf_sql_try(read_rows, telling);
	failure = error ? mf_error_text(error) : mf_reaction_call(&telling->call);
	if (failure != NULL)
	{
		telling->failure = MemoryContextStrdup(telling->context, failure);
		return note_failure(scope, telling);
	}

	/* the function itself may have ended its registration, and so taken away what it was told */
	if (mf_sql_execute(scope, &told_statement, &id, NULL) == 0 && mf_sql_execute(scope, &lock_statement, &id, NULL) > 0)
		mf_change_suppressed();
	if (telling->was_failing)
	{
		Datum		function = CStringGetTextDatum(telling->call.function);

		(void) mf_sql_execute(scope, &mended_statement, &function, NULL);
	}
	return telling->done = true;
}

static void
find_next(const MfSqlScope *scope, Telling *telling)
{
	Datum		values[2] = {TimestampTzGetDatum(GetCurrentTimestamp()), CStringGetTextDatum(last_function)};

	if (mf_sql_execute(scope, &next_statement, values, NULL) == 0)
		(void) find_alarm(scope, &telling->next);
	else
	{
		HeapTuple	tuple = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;

		telling->id = DatumGetInt64(mf_result(tuple, desc, 1, NULL));
		telling->call.schema = scope->schema;
		telling->call.function = MemoryContextStrdup(telling->context, column_text(SPI_tuptable, 0, 2));
		strlcpy(last_function, telling->call.function, sizeof(last_function));
		telling->call.owner = MemoryContextStrdup(telling->context, column_text(SPI_tuptable, 0, 3));
		telling->call.invoice = DatumGetInt64(mf_result(tuple, desc, 4, NULL));
		telling->was_failing = DatumGetInt32(mf_result(tuple, desc, 6, NULL)) > 0;
		telling->news = !telling->was_failing && DatumGetInt32(mf_result(tuple, desc, 5, NULL)) == 0;
	}
}

/*
 * What was to be checked at the commit is checked at once, so that a failure is
 * the function's.  Nothing of anybody else is waiting: the transaction has just
 * begun.
 */
static void
constraints_immediate(void)
{
	ConstraintsSetStmt *statement = makeNode(ConstraintsSetStmt);

	AfterTriggerSetState(statement);
}

/* The rows of the change, as they were.  The table may have got other columns since. */
static void
read_rows(void *argument)
{
	Telling    *telling = (Telling *) argument;
	MfSqlScope	scope;
	MemoryContext context = CurrentMemoryContext;
	Datum		id = Int64GetDatum(telling->id);
	bool		isnull[2];
	Datum		rows[2];
	int			i;

	mf_sql_begin(&scope, telling->call.schema);
	if (mf_sql_execute(&scope, &rows_statement, &id, NULL) == 0)
		elog(ERROR, "the change is not there any more");
	MemoryContextSwitchTo(context);
	for (i = 0; i < 2; i++)
	{
		rows[i] = mf_result(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i + 1, &isnull[i]);
		if (isnull[i])
			elog(ERROR, "a row of the change is null");
		rows[i] = datumCopy(rows[i], false, -1);
	}
	telling->call.before = rows[0];
	telling->call.after = rows[1];
	mf_sql_end(&scope);
}

/* The change is tried again later, and so is the function with others. */
static bool
note_failure(const MfSqlScope *scope, void *argument)
{
	const Telling *telling = (const Telling *) argument;
	Datum		values[2];

	values[0] = Int64GetDatum(telling->id);
	values[1] = CStringGetTextDatum(telling->failure);
	if (mf_sql_execute(scope, &failed_statement, values, NULL) == 0)
		mf_change_suppressed();
	(void) mf_sql_execute(scope, &failing_statement, values, NULL);
	return true;
}

/* The same of a change that somebody may have taken away since */
static bool
note_ended(const MfSqlScope *scope, void *argument)
{
	const Telling *telling = (const Telling *) argument;
	Datum		id = Int64GetDatum(telling->id);

	return mf_sql_execute(scope, &lock_statement, &id, NULL) == 0 || note_failure(scope, argument);
}
