/*
 * listener_start.c
 *	  The listener, seen from other processes: the worker starts and ends it,
 *	  and mf_listener_stat() shows it.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inbound/listener_start.c
 */
#include "postgres.h"

#include "commands/dbcommands.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/condition_variable.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/settings.h"
#include "database/function_args.h"
#include "inbound/listener.h"

/*
 * After a listener that ended by itself; doubled with every one in a row, but
 * customers and webhooks that come in vain do not wait for long.
 */
#define RESTART_DELAY_MS 1000
#define RESTART_DELAY_MAX_MS 5000

/* A listener that ran this long was no failure to start. */
#define SETTLED_MS 60000

/* How long a worker that ends waits for its listener */
#define END_TIMEOUT_MS 1000

#define STAT_COLUMNS 15

static BackgroundWorkerHandle *handle = NULL;
static bool told_to_end = false;
static TimestampTz started_at = 0;
static TimestampTz start_after = 0;
static int	failures = 0;
static bool reported_no_slot = false;

static bool start_listener(MfSlot *slot);

void
mf_listener_reconsider(void)
{
	start_after = 0;
	failures = 0;
}

TimestampTz
mf_listener_attend(MfSlot *slot)
{
	TimestampTz now;
	pid_t		pid;

	if (handle == NULL && mf_listen_port == 0)
		return 0;

	now = GetCurrentTimestamp();
	if (handle != NULL)
	{
		if (GetBackgroundWorkerPid(handle, &pid) != BGWH_STOPPED)
		{
			/* it reads the setting too, but perhaps has not got that far */
			if (mf_listen_port == 0)
				mf_listener_end(slot, false);
			return 0;
		}
		pfree(handle);
		handle = NULL;

		if (told_to_end)
			mf_listener_reconsider();
		else
		{
			if (TimestampDifferenceExceeds(started_at, now, SETTLED_MS))
				failures = 0;
			start_after = TimestampTzPlusMilliseconds(now, Min(RESTART_DELAY_MS << Min(failures, 16),
															   RESTART_DELAY_MAX_MS));
			failures++;
		}
	}

	/* the end of one that a worker before us had started wakes us */
	if (mf_listen_port == 0 || slot->listener.pid != 0)
		return 0;
	if (start_after > now)
		return start_after;
	if (start_listener(slot))
		return 0;
	start_after = TimestampTzPlusMilliseconds(now, RESTART_DELAY_MAX_MS);
	return start_after;
}

static bool
start_listener(MfSlot *slot)
{
	BackgroundWorker worker;
	MemoryContext old;
	bool		ok;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	snprintf(worker.bgw_library_name, BGW_MAXLEN, MF_EXTENSION);
	snprintf(worker.bgw_function_name, BGW_MAXLEN, "mf_listener_main");
	snprintf(worker.bgw_name, BGW_MAXLEN, "myfatoorah listener for database %u", slot->database);
	snprintf(worker.bgw_type, BGW_MAXLEN, "myfatoorah listener");
	worker.bgw_main_arg = ObjectIdGetDatum(slot->database);
	worker.bgw_notify_pid = MyProcPid;

	/* it is ours, and nobody's when we are gone */
	StaticAssertStmt(sizeof(MyProcPid) <= BGW_EXTRALEN, "a process id must fit");
	memcpy(worker.bgw_extra, &MyProcPid, sizeof(MyProcPid));

	old = MemoryContextSwitchTo(TopMemoryContext);
	ok = RegisterDynamicBackgroundWorker(&worker, &handle);
	MemoryContextSwitchTo(old);

	if (!ok)
	{
		handle = NULL;
		if (!reported_no_slot)
			ereport(LOG,
					(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					 errmsg("myfatoorah found no free background worker slot for its listener"),
					 errhint("Raise max_worker_processes; each database with a listener needs two.")));
		reported_no_slot = true;
		return false;
	}
	reported_no_slot = false;
	told_to_end = false;
	started_at = GetCurrentTimestamp();
	return true;
}

void
mf_listener_end(MfSlot *slot, bool wait)
{
	TimestampTz start;
	pid_t		pid;

	if (handle == NULL)
		return;
	if (!told_to_end)
		TerminateBackgroundWorker(handle);
	told_to_end = true;
	if (!wait)
		return;

	start = GetCurrentTimestamp();
	ConditionVariablePrepareToSleep(&mf_shared->changed);
	while ((slot->listener.pid != 0 || GetBackgroundWorkerPid(handle, &pid) == BGWH_STARTED) &&
		   !TimestampDifferenceExceeds(start, GetCurrentTimestamp(), END_TIMEOUT_MS))
		ConditionVariableTimedSleep(&mf_shared->changed, 20, PG_WAIT_EXTENSION);
	ConditionVariableCancelSleep();
}

void
mf_listener_show_error(MfListenerState *state, const char *error)
{
	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	strlcpy(state->last_error, error, sizeof(state->last_error));
	state->last_error_at = GetCurrentTimestamp();
	LWLockRelease(mf_shared->lock);
}

PG_FUNCTION_INFO_V1(mf_listener_stat);

/* The running listeners of all databases; what went wrong only for the own one. */
Datum
mf_listener_stat(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MfSlot	   *slots;
	int			count = 0;
	int			i;

	mf_start_rows(fcinfo);
	if (mf_shared == NULL)
		return (Datum) 0;

	/* no catalog access under the lock */
	slots = (MfSlot *) palloc(mf_max_databases * sizeof(MfSlot));
	LWLockAcquire(mf_shared->lock, LW_SHARED);
	for (i = 0; i < mf_max_databases; i++)
	{
		if (mf_shared->slots[i].listener.pid != 0)
			slots[count++] = mf_shared->slots[i];
	}
	LWLockRelease(mf_shared->lock);

	for (i = 0; i < count; i++)
	{
		MfListenerState *state = &slots[i].listener;
		Datum		values[STAT_COLUMNS];
		bool		nulls[STAT_COLUMNS];
		char	   *name = get_database_name(slots[i].database);
		bool		error = state->last_error_at != 0 && slots[i].database == MyDatabaseId;

		if (name == NULL)
			continue;
		memset(nulls, 0, sizeof(nulls));
		values[0] = DirectFunctionCall1(namein, CStringGetDatum(name));
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
		values[13] = CStringGetTextDatum(state->last_error);
		values[14] = TimestampTzGetDatum(state->last_error_at);
		nulls[13] = nulls[14] = !error;
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
