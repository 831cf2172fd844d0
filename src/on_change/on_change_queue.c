/*
 * on_change_queue.c
 *	  The changes and times for which registered functions are still to be called:
 *	  the table mf_reaction_queue.
 *
 * A change is queued in its own transaction.  Functions are called after its
 * commit, in another process and in a transaction of their own, so that they
 * can fail neither a session nor the change of an invoice.  The changes of an
 * invoice are processed in order, and functions take turns.
 *
 * A function of mf_on_time() has rows without an invoice, one for each time that
 * somebody has asked for.  A call stands for all that were there when it began,
 * because it sees what those who asked have committed; its result becomes a row.
 *
 * Whoever changes an invoice only inserts into the queue, and so never waits for
 * others.  Rows that are there are updated by that process only, and by those
 * who register or unregister a function.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/on_change/on_change_queue.c
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "postmaster/interrupt.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/failpoint.h"
#include "base/log_event.h"
#include "database/sql_array.h"
#include "database/user_call.h"
#include "on_change/on_change_queue.h"
#include "on_change/on_change_registry.h"
#include "process/metrics.h"
#include "process/process.h"
#include "process/wakeup.h"
#include "store/queue_pause.h"

/* Back-off: doubled with each consecutive failure, of a change and of a function */
#define BACKOFF_MS 1000
#define BACKOFF_MAX_MS 3600000
#define FUNCTION_BACKOFF_MAX_MS 60000

/* A function of mf_on_time() is not called more often. */
#define TIMED_PAUSE_MS 100

/* Delay after a failure that could not even be recorded */
#define RETRY_MS 5000

/* The changes of an invoice are processed in order. */
#define IS_FIRST "NOT EXISTS (SELECT FROM @mf_reaction_queue o WHERE o.function = q.function AND o.invoice = q.invoice AND o.id < q.id)"

static MfStatement add_statement = {
	"WITH r AS (SELECT r.function FROM @mf_reaction r WHERE (r.kind = 'change' OR (r.kind = 'payment' AND NOT $4)) AND " MF_REGISTRATION_LIVE "), "
	"q AS (INSERT INTO @mf_reaction_queue (function, invoice, old_row, new_row, failures, due) "
	"  SELECT function, $1, $2::jsonb, $3::jsonb, 0, clock_timestamp() FROM r RETURNING 1) "
	"SELECT (SELECT count(*) FROM r) - (SELECT count(*) FROM q), (SELECT count(*) FROM q)",
	4, {INT8OID, TEXTOID, TEXTOID, BOOLOID}, NULL
};

/* Begins with the function after the one that was called last, in the order of their names. */
static MfStatement next_statement = {
	MF_IN_ORDER "SELECT q.id::int8, r.function::text, r.owner::text, q.invoice::int8, q.failures::int4, r.failures::int4, r.kind = 'time', "
	"  " MF_REGISTRANT " "
	"FROM @mf_reaction r, LATERAL (SELECT q.id, q.invoice, q.failures, q.due FROM @mf_reaction_queue q "
	"  WHERE q.function = r.function AND q.due <= $1 AND " IS_FIRST " ORDER BY q.due LIMIT 1) q "
	"WHERE (r.retry_at IS NULL OR r.retry_at <= $1) AND " MF_REGISTRATION_LIVE " AND NOT " MF_CALLS_PAUSED " "
	"ORDER BY r.function <= $2, r.function LIMIT 1",
	2, {TIMESTAMPTZOID, TEXTOID}, NULL
};

static MfStatement alarm_statement = {
	MF_IN_ORDER "SELECT min(greatest(q.due, r.retry_at))::timestamptz "
	"FROM @mf_reaction r, LATERAL (SELECT q.due FROM @mf_reaction_queue q "
	"  WHERE q.function = r.function AND " IS_FIRST " ORDER BY q.due LIMIT 1) q WHERE " MF_REGISTRATION_LIVE " AND NOT " MF_CALLS_PAUSED,
	0, {0}, NULL
};

static MfStatement rows_statement = {
	"SELECT jsonb_populate_record(NULL::@mf_invoice, q.old_row), jsonb_populate_record(NULL::@mf_invoice, q.new_row) "
	"FROM @mf_reaction_queue q WHERE q.id = $1",
	1, {INT8OID}, NULL
};

/* Whoever deletes the change waits for its call, or this waits for them. */
static MfStatement lock_statement = {
	"SELECT FROM @mf_reaction_queue WHERE id = $1 FOR UPDATE", 1, {INT8OID}, NULL
};

static MfStatement delete_statement = {
	"DELETE FROM @mf_reaction_queue WHERE id = $1", 1, {INT8OID}, NULL
};

/*
 * Its id is random and negative.  Triggers make such rows while a dump is restored, and with
 * numbers of the sequence they would take those of the rows that come.
 */
static MfStatement call_at_statement = {
	"INSERT INTO @mf_reaction_queue (id, function, failures, due) OVERRIDING SYSTEM VALUE "
	"VALUES (-1 - floor(random() * 9e15)::int8, $1, 0, $2)", 2, {TEXTOID, TIMESTAMPTZOID}, NULL
};

static MfStatement call_timed_statement = {
	"INSERT INTO @mf_reaction_queue (id, function, failures, due) OVERRIDING SYSTEM VALUE "
	"SELECT -1 - floor(random() * 9e15)::int8, r.function, 0, clock_timestamp() FROM @mf_reaction r "
	"WHERE r.kind = 'time' AND r.extension IS NOT NULL AND " MF_REGISTRATION_LIVE, 0, {0}, NULL
};

/* What a call of mf_on_time() stands for.  It is locked, so that nobody deletes it meanwhile; a row that somebody locks is left. */
static MfStatement times_statement = {
	"WITH t AS MATERIALIZED (SELECT id FROM @mf_reaction_queue WHERE function = $1 AND invoice IS NULL ORDER BY id FOR UPDATE SKIP LOCKED) "
	"SELECT coalesce(array_agg(t.id), '{}')::int8[] FROM t",
	1, {TEXTOID}, NULL
};

static MfStatement delete_times_statement = {
	"DELETE FROM @mf_reaction_queue WHERE id = ANY ($1)", 1, {INT8ARRAYOID}, NULL
};

static MfStatement recovered_statement = {
	"UPDATE @mf_reaction SET failures = 0, retry_at = NULL WHERE function = $1", 1, {TEXTOID}, NULL
};

#define BACKOFF(failures, max) "clock_timestamp() + least(" CppAsString2(BACKOFF_MS) " * 2.0 ^ least(" failures ", 20), " \
	CppAsString2(max) ") * interval '1 ms'"

static MfStatement change_failed_statement = {
	"UPDATE @mf_reaction_queue SET failures = failures + 1, error = $2, "
	"  due = " BACKOFF("failures", BACKOFF_MAX_MS) " WHERE id = $1",
	2, {INT8OID, TEXTOID}, NULL
};

static MfStatement function_failed_statement = {
	"UPDATE @mf_reaction SET failures = failures + 1, retry_at = " BACKOFF("failures", FUNCTION_BACKOFF_MAX_MS)
	" WHERE function = (SELECT q.function FROM @mf_reaction_queue q WHERE q.id = $1)",
	1, {INT8OID}, NULL
};

static MfStatement due_statement = {
	"UPDATE @mf_reaction_queue SET due = clock_timestamp() WHERE due > clock_timestamp() AND ($1 IS NULL OR function = $1) "
	"AND (invoice IS NOT NULL OR error IS NOT NULL)",
	1, {TEXTOID}, NULL
};

/* Of functions that are not registered any more, nor those of an extension that was dropped */
static MfStatement purge_statement = {
	"DELETE FROM @mf_reaction_queue q WHERE q.id IN (SELECT o.id FROM @mf_reaction_queue o "
	"  WHERE NOT EXISTS (SELECT FROM @mf_reaction r WHERE r.function = o.function AND " MF_REGISTRATION_LIVE ") LIMIT 1000)",
	0, {0}, NULL
};

static MfStatement retry_statement = {
	"UPDATE @mf_reaction SET retry_at = NULL WHERE retry_at IS NOT NULL AND ($1 IS NULL OR function = $1)",
	1, {TEXTOID}, NULL
};

/* The call of a function for one change; lives longer than its transaction */
typedef struct Delivery
{
	MemoryContext context;
	int64		id;				/* 0 = nothing is due */
	MfReactionCall call;
	bool		first_failure;	/* neither the change nor the function has failed before */
	bool		was_failing;	/* the function's latest call failed */
	Datum		times;			/* of a timed call: ids of the rows that it stands for */
	const char *failure;		/* of the call; NULL = it succeeded */
	bool		tried;			/* its call has begun */
	bool		called;			/* all is done but the commit */
	TimestampTz next;			/* when something is due; 0 = never */
	int64	   *under_way;		/* in shared memory: stays set if the process ends during the call */
} Delivery;

TimestampTz mf_reaction_alarm = 0;

static char last_function[4 * NAMEDATALEN + 8] = "";	/* two names, quoted */

/* The latest call that this backend has asked for */
static struct
{
	TransactionId transaction;
	SubTransactionId subtransaction;
	TimestampTz at;
	char		function[sizeof(last_function)];
}			asked;

static bool error_logged = false;	/* since the latest success */

static bool is_asked_for(const char *function, TimestampTz at);
static bool log_queue_error(bool done, const char *error);
static bool find_next_due(const MfSqlScope *scope, void *argument);
static bool deliver_next(const MfSqlScope *scope, void *argument);
static void find_next_change(const MfSqlScope *scope, Delivery *delivery);
static const char *call_function(const MfSqlScope *scope, Delivery *delivery);
static void read_rows(void *argument);
static void read_times(const MfSqlScope *scope, Delivery *delivery);
static void end_delivery(const MfSqlScope *scope, Delivery *delivery);
static void call_again(const MfSqlScope *scope, const Delivery *delivery);
static bool record_failure(const MfSqlScope *scope, void *argument);
static bool record_ended(const MfSqlScope *scope, void *argument);
static void log_failure(const MfReactionCall *call, const char *failure);

void
mf_reaction_queue_add(Oid schema, int64 invoice, Datum before, Datum after, bool of_sending)
{
	Datum		values[] = {
		Int64GetDatum(invoice), DirectFunctionCall1(row_to_json, before),
		DirectFunctionCall1(row_to_json, after), BoolGetDatum(of_sending)
	};

	(void) mf_change_alone(schema, &add_statement, values, NULL);
	if (mf_process_is_ours)
		mf_reaction_alarm = MF_REACTION_NOW;
	else
		mf_news_at_commit(MF_TRY_REACTIONS);
}

void
mf_reaction_call_at(Oid schema, const char *function, TimestampTz at)
{
	Datum		values[2];

	/* a time of a user's may be any; a function that asks for itself pauses, too */
	if (mf_process_is_ours)
		at = Max(at, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), TIMED_PAUSE_MS));
	at = Min(Max(at, MF_TIME_MIN), MF_TIME_END - 1);
	if (is_asked_for(function, at))
		return;
	values[0] = CStringGetTextDatum(function);
	values[1] = TimestampTzGetDatum(at);
	if (mf_execute_alone(schema, &call_at_statement, values, NULL) == 0)
		mf_change_suppressed();
	mf_news_at_commit(MF_TRY_REACTIONS);
}

/*
 * Whether this subtransaction has asked for that call already, or for an earlier one, as
 * a trigger for each row does; notes it otherwise.
 */
static bool
is_asked_for(const char *function, TimestampTz at)
{
	if (asked.transaction == GetTopTransactionId() && asked.subtransaction == GetCurrentSubTransactionId() &&
		at >= asked.at && strcmp(function, asked.function) == 0)
		return true;
	asked.transaction = GetTopTransactionId();
	asked.subtransaction = GetCurrentSubTransactionId();
	asked.at = at;
	strlcpy(asked.function, function, sizeof(asked.function));
	return false;
}

void
mf_reaction_forget_calls(void)
{
	asked.transaction = InvalidTransactionId;
}

void
mf_reaction_queue_retry(const MfSqlScope *scope, const char *function)
{
	Datum		value = function ? CStringGetTextDatum(function) : (Datum) 0;
	const char *nulls = function ? NULL : "n";

	(void) mf_sql_execute(scope, &retry_statement, &value, nulls);
	(void) mf_sql_execute(scope, &due_statement, &value, nulls);
}

void
mf_reaction_call_timed(const MfSqlScope *scope)
{
	(void) mf_sql_execute(scope, &call_timed_statement, NULL, NULL);
}

uint64
mf_reaction_queue_purge(const MfSqlScope *scope, TimestampTz before)
{
	return mf_sql_execute(scope, &purge_statement, NULL, NULL);
}

bool
mf_reaction_queue_next(MfRunTransaction run, TimestampTz *next)
{
	char	   *error;
	bool		done = run(find_next_due, next, &error);

	return log_queue_error(done, error);
}

/*
 * A transaction that fails after the function has returned fails because of what
 * the function did.  A failure before the call is none of the function.
 */
bool
mf_reaction_call_next(MfRunTransaction run, int64 *under_way, TimestampTz *next)
{
	Delivery	delivery;
	char	   *error;
	bool		done;

	memset(&delivery, 0, sizeof(delivery));
	delivery.context = AllocSetContextCreate(TopMemoryContext, "myfatoorah reaction", ALLOCSET_SMALL_SIZES);
	delivery.under_way = under_way;
	done = run(deliver_next, &delivery, &error);
	if (!done && error != NULL && delivery.called && !mf_process_cancelled())
	{
		delivery.failure = MemoryContextStrdup(delivery.context, error);
		done = run(record_failure, &delivery, &error);
	}
	*under_way = 0;
	if (done && delivery.id != 0 && delivery.tried)
		mf_count(delivery.failure != NULL ? MF_COUNTER_FAILED_REACTIONS : MF_COUNTER_REACTIONS, 1);
	if (!log_queue_error(done, error))
		delivery.next = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), RETRY_MS);
	if (delivery.first_failure && delivery.failure != NULL)
		log_failure(&delivery.call, delivery.failure);
	MemoryContextDelete(delivery.context);
	*next = delivery.next;
	return done && delivery.id != 0;
}

bool
mf_reaction_record_ended(MfRunTransaction run, int64 id)
{
	Delivery	delivery;
	char	   *error;
	bool		done;

	memset(&delivery, 0, sizeof(delivery));
	delivery.id = id;
	delivery.failure = "the process that called it was ended, or it went on after myfatoorah.on_change_timeout";
	done = run(record_ended, &delivery, &error);
	if (done)
		mf_count(MF_COUNTER_FAILED_REACTIONS, 1);
	return log_queue_error(done, error);
}

/* Logs the first of consecutive failures to read or write the queue; returns "done". */
static bool
log_queue_error(bool done, const char *error)
{
	if (!done && !error_logged && error != NULL && !ShutdownRequestPending)
		ereport(LOG,
				(mf_log_event("reaction_queue_failed",
							  "could not read or write the queue of functions of mf_on_change()"),
				 errdetail_internal("%s", error),
				 errhint("It is tried again every few seconds. Sending goes on.")));
	error_logged = !done;
	return done;
}

static bool
find_next_due(const MfSqlScope *scope, void *argument)
{
	TimestampTz *next = (TimestampTz *) argument;

	mf_queue_pause_restored(scope->schema);
	(void) mf_sql_execute(scope, &alarm_statement, NULL, NULL);
	*next = mf_result_timestamp(0, 1);
	return true;
}

/* Calls the function for what is due first, or finds when something will be due. */
static bool
deliver_next(const MfSqlScope *scope, void *argument)
{
	Delivery   *delivery = (Delivery *) argument;
	const char *failure;
	Datum		id;

	find_next_change(scope, delivery);
	id = Int64GetDatum(delivery->id);
	if (delivery->id == 0 || mf_sql_execute(scope, &lock_statement, &id, NULL) == 0)
		return delivery->called = true;

	*delivery->under_way = delivery->id;
	delivery->tried = true;
	mf_process_commit_unhurried();
	mf_user_call_prepare();
	failure = call_function(scope, delivery);
	if (failure != NULL)
	{
		delivery->failure = MemoryContextStrdup(delivery->context, failure);
		return record_failure(scope, delivery);
	}
	end_delivery(scope, delivery);
	MF_FAILPOINT("function_called");
	return delivery->called = true;
}

/* Returns NULL, or why the call failed. */
static const char *
call_function(const MfSqlScope *scope, Delivery *delivery)
{
	ErrorData  *error = NULL;

	if (delivery->call.timed)
		read_times(scope, delivery);
	else
		error = mf_sql_try(read_rows, delivery);
	return error ? mf_error_text(error) : mf_reaction_call(&delivery->call);
}

/* The call has succeeded.  The function may have unregistered itself, which empties its queue. */
static void
end_delivery(const MfSqlScope *scope, Delivery *delivery)
{
	Datum		id = Int64GetDatum(delivery->id);
	Datum		function = CStringGetTextDatum(delivery->call.function);

	if (delivery->call.timed)
	{
		(void) mf_sql_execute(scope, &delete_times_statement, &delivery->times, NULL);
		call_again(scope, delivery);
	}
	else
		(void) mf_sql_execute(scope, &delete_statement, &id, NULL);
	if (mf_sql_execute(scope, &lock_statement, &id, NULL) > 0)
		mf_change_suppressed();
	if (delivery->was_failing)
		(void) mf_sql_execute(scope, &recovered_statement, &function, NULL);
}

/* The function gets the next time that it has asked for. */
static void
call_again(const MfSqlScope *scope, const Delivery *delivery)
{
	static MfStatement statement = {
		"INSERT INTO @mf_reaction_queue (function, failures, due) SELECT function, 0, $2 FROM @mf_reaction WHERE function = $1",
		2, {TEXTOID, TIMESTAMPTZOID}, NULL
	};
	TimestampTz earliest = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), TIMED_PAUSE_MS);
	Datum		values[2];

	if (delivery->call.next == 0 || TIMESTAMP_IS_NOEND(delivery->call.next))
		return;
	values[0] = CStringGetTextDatum(delivery->call.function);
	values[1] = TimestampTzGetDatum(Min(Max(delivery->call.next, earliest), MF_TIME_END - 1));
	(void) mf_sql_execute(scope, &statement, values, NULL);
}

/* Finds and locks what the call stands for, before the function looks at anything. */
static void
read_times(const MfSqlScope *scope, Delivery *delivery)
{
	Datum		function = CStringGetTextDatum(delivery->call.function);
	bool		isnull;
	Datum		times;
	MemoryContext old;

	(void) mf_sql_execute(scope, &times_statement, &function, NULL);
	times = mf_result(0, 1, &isnull);
	old = MemoryContextSwitchTo(delivery->context);
	delivery->times = datumCopy(times, false, -1);
	MemoryContextSwitchTo(old);
}

static void
find_next_change(const MfSqlScope *scope, Delivery *delivery)
{
	Datum		values[2] = {TimestampTzGetDatum(GetCurrentTimestamp()), CStringGetTextDatum(last_function)};

	if (mf_sql_execute(scope, &next_statement, values, NULL) == 0)
		(void) find_next_due(scope, &delivery->next);
	else
	{
		const char *registrant = mf_result_text(0, 8);

		delivery->id = mf_result_int8(0, 1);
		delivery->call.schema = scope->schema;
		delivery->call.function = MemoryContextStrdup(delivery->context, mf_result_text(0, 2));
		strlcpy(last_function, delivery->call.function, sizeof(last_function));
		delivery->call.owner = MemoryContextStrdup(delivery->context, mf_result_text(0, 3));
		delivery->call.timed = mf_result_bool(0, 7);
		delivery->call.registrant = registrant ? MemoryContextStrdup(delivery->context, registrant) : NULL;
		if (!delivery->call.timed)
			delivery->call.invoice = mf_result_int8(0, 4);
		delivery->was_failing = mf_result_int4(0, 6) > 0;
		delivery->first_failure = !delivery->was_failing && mf_result_int4(0, 5) == 0;
	}
}

/* Reads the rows before and after the change.  mf_invoice may have got other columns since. */
static void
read_rows(void *argument)
{
	Delivery   *delivery = (Delivery *) argument;
	MfSqlScope	scope;
	Datum		id = Int64GetDatum(delivery->id);
	bool		isnull[2];
	Datum		rows[2];
	int			i;

	mf_sql_begin(&scope, delivery->call.schema);
	if (mf_sql_execute(&scope, &rows_statement, &id, NULL) == 0)
		elog(ERROR, "change " INT64_FORMAT " is not in mf_reaction_queue", delivery->id);
	for (i = 0; i < 2; i++)
	{
		rows[i] = mf_result(0, i + 1, &isnull[i]);
		if (isnull[i])
			elog(ERROR, "change " INT64_FORMAT " has no row", delivery->id);
		rows[i] = datumCopy(rows[i], false, -1);
	}
	delivery->call.before = rows[0];
	delivery->call.after = rows[1];
	mf_sql_end(&scope);
}

/* Puts off the change, and all calls of the function for a shorter time. */
static bool
record_failure(const MfSqlScope *scope, void *argument)
{
	const Delivery *delivery = (const Delivery *) argument;
	Datum		values[] = {Int64GetDatum(delivery->id), CStringGetTextDatum(delivery->failure)};

	if (mf_sql_execute(scope, &change_failed_statement, values, NULL) == 0)
		mf_change_suppressed();
	(void) mf_sql_execute(scope, &function_failed_statement, values, NULL);
	return true;
}

/* The change may have been deleted since. */
static bool
record_ended(const MfSqlScope *scope, void *argument)
{
	const Delivery *delivery = (const Delivery *) argument;
	Datum		id = Int64GetDatum(delivery->id);

	return mf_sql_execute(scope, &lock_statement, &id, NULL) == 0 || record_failure(scope, argument);
}

/*
 * In the server's log only: the call is no concern of the session that changed
 * the invoice.
 */
static void
log_failure(const MfReactionCall *call, const char *failure)
{
	ereport(LOG_SERVER_ONLY,
			(call->timed ?
			 mf_log_event("reaction_failed",
						  "could not call function %s, which is due", call->function) :
			 mf_log_event("reaction_failed",
						  "could not call function %s for a change of invoice %lld",
						  call->function, (long long) call->invoice),
			 errdetail_internal("%s", failure),
			 call->timed ?
			 errhint("The call is repeated with growing delays, and at once after mf_resume(); see mf_reaction_backlog.") :
			 errhint("The change is committed. The call is repeated with growing delays, and at once after mf_resume(); see mf_reaction_backlog.")));
}
