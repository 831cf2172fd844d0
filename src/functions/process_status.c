/*
 * process_status.c
 *	  The functions behind mf_worker_status and mf_listener_status.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/process_status.c
 */
#include "postgres.h"

#include "commands/dbcommands.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "base/settings.h"
#include "database/function_args.h"
#include "process/worker_slots.h"
#include "store/row_rights.h"

#define MAX_COLUMNS 15

static void return_processes(FunctionCallInfo fcinfo, bool listeners);
static MfSlot *copy_slots(bool listeners, int *count);
static int	fill_worker(const MfSlot *slot, Datum *values);
static int	fill_listener(const MfListenerState *state, Datum *values, bool *nulls);

PG_FUNCTION_INFO_V1(mf_worker_stat);
PG_FUNCTION_INFO_V1(mf_listener_stat);

Datum
mf_worker_stat(PG_FUNCTION_ARGS)
{
	return_processes(fcinfo, false);
	return (Datum) 0;
}

Datum
mf_listener_stat(PG_FUNCTION_ARGS)
{
	return_processes(fcinfo, true);
	return (Datum) 0;
}

/*
 * One row for each running process.  The name of the database comes first, the
 * last error last.  That may quote rows, so it is shown to those who may read all of
 * them, and that of another database to nobody.
 */
static void
return_processes(FunctionCallInfo fcinfo, bool listeners)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	bool		see_errors = mf_may_see_errors(get_func_namespace(fcinfo->flinfo->fn_oid));
	MfSlot	   *slots;
	int			count;
	int			i;

	mf_start_rows(fcinfo);
	if (mf_shared == NULL)
		return;
	slots = copy_slots(listeners, &count);
	for (i = 0; i < count; i++)
	{
		MfSlot	   *slot = &slots[i];
		const char *last_error = listeners ? slot->listener.last_error : slot->last_error;
		TimestampTz last_error_at = listeners ? slot->listener.last_error_at : slot->last_error_at;
		char	   *name = get_database_name(slot->database);
		Datum		values[MAX_COLUMNS];
		bool		nulls[MAX_COLUMNS];
		int			column;

		if (name == NULL)
			continue;
		memset(nulls, 0, sizeof(nulls));
		values[0] = DirectFunctionCall1(namein, CStringGetDatum(name));
		column = listeners ? fill_listener(&slot->listener, values, nulls) : fill_worker(slot, values);
		values[column] = CStringGetTextDatum(last_error);
		values[column + 1] = TimestampTzGetDatum(last_error_at);
		nulls[column + 1] = last_error_at == 0 || slot->database != MyDatabaseId;
		nulls[column] = nulls[column + 1] || !see_errors;
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
}

/* A copy, because no catalog can be read under the lock */
static MfSlot *
copy_slots(bool listeners, int *count)
{
	MfSlot	   *slots = (MfSlot *) palloc(mf_max_databases * sizeof(MfSlot));
	int			i;

	*count = 0;
	LWLockAcquire(mf_shared->lock, LW_SHARED);
	for (i = 0; i < mf_max_databases; i++)
	{
		const MfSlot *slot = &mf_shared->slots[i];

		if ((listeners ? slot->listener.pid : slot->pid) != 0)
			slots[(*count)++] = *slot;
	}
	LWLockRelease(mf_shared->lock);
	return slots;
}

/* Returns the index of the next column, as fill_listener() does. */
static int
fill_worker(const MfSlot *slot, Datum *values)
{
	values[1] = Int32GetDatum(slot->pid);
	values[2] = TimestampTzGetDatum(slot->started_at);
	values[3] = Int32GetDatum(slot->in_flight);
	values[4] = Int64GetDatum((int64) slot->wakeups);
	values[5] = Int64GetDatum((int64) slot->transactions);
	values[6] = Int64GetDatum((int64) slot->requests);
	return 7;
}

static int
fill_listener(const MfListenerState *state, Datum *values, bool *nulls)
{
	values[1] = Int32GetDatum(state->pid);
	values[2] = TimestampTzGetDatum(state->started_at);
	values[3] = CStringGetTextDatum(state->addresses);
	values[4] = Int32GetDatum(state->port);
	values[5] = BoolGetDatum(state->tls);
	nulls[3] = nulls[4] = nulls[5] = !state->listening;
	values[6] = Int32GetDatum(state->connections);
	values[7] = Int64GetDatum((int64) state->wakeups);
	values[8] = Int64GetDatum((int64) state->requests);
	values[9] = Int64GetDatum((int64) state->stored);
	values[10] = Int64GetDatum((int64) state->repeated);
	values[11] = Int64GetDatum((int64) state->callbacks);
	values[12] = Int64GetDatum((int64) state->refused);
	return 13;
}
