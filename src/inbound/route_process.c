/*
 * route_process.c
 *	  The process that calls functions of mf_on_request().
 *
 * A function of a user may be slow or wait for locks, and the listener must not.  So the
 * listener starts this process when the first page is asked for, and passes requests to
 * it one at a time, in shared memory.  It ends some time after the last one, and can be
 * ended at any moment.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inbound/route_process.c
 */
#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "database/run_transaction.h"
#include "inbound/route.h"
#include "process/process.h"

/* It waits so long for another request before it ends. */
#define LINGER_MS 60000

/* A request, and what comes of it */
typedef struct Visit
{
	uint32		call;
	char		prefix[MF_ROUTE_PREFIX_SIZE];
	char		path[MF_ROUTE_PATH_SIZE];
	MfRouteAnswer answer;
} Visit;

static MfSlot *my_slot = NULL;
static MfTransactionRunner runner;

static bool attach_to_slot(Oid database);
static void detach_from_slot(int code, Datum arg);
static bool take_request(Visit *visit);
static bool call_function(const MfSqlScope *scope, void *argument);
static void answer_request(const Visit *visit);

void
mf_routes_main(Datum main_arg)
{
	Oid			database = DatumGetObjectId(main_arg);
	TimestampTz last_call;
	Visit	   *visit;

	mf_process_signals();

	/* before connecting: whoever needs the database without connections waits for us */
	if (!attach_to_slot(database))
		proc_exit(0);
	mf_process_connect(database, "myfatoorah routes");
	runner.context = AllocSetContextCreate(TopMemoryContext, "myfatoorah routes", ALLOCSET_DEFAULT_SIZES);
	if (!mf_transaction_find_extension(&runner.extension, &runner.schema))
		proc_exit(0);

	visit = (Visit *) MemoryContextAlloc(TopMemoryContext, sizeof(Visit));
	last_call = GetCurrentTimestamp();
	while (!ShutdownRequestPending && !runner.extension_dropped && my_slot->listener.pid != 0)
	{
		TimestampTz end;

		if (ConfigReloadPending)
			mf_process_read_settings();
		if (take_request(visit))
		{
			char	   *error;

			MemoryContextReset(runner.context);
			visit->answer.owner = InvalidOid;
			if (!mf_transaction_run(&runner, call_function, visit, &error))
			{
				visit->answer.status = 0;
				strlcpy(visit->answer.error, error ? error : "", sizeof(visit->answer.error));
			}
			answer_request(visit);
			last_call = GetCurrentTimestamp();
			continue;
		}
		end = TimestampTzPlusMilliseconds(last_call, LINGER_MS);
		if (GetCurrentTimestamp() >= end)
			break;
		mf_process_wait(end);
	}
	proc_exit(0);
}

/* False if such a process is running, the listener is not, or a session needs the database. */
static bool
attach_to_slot(Oid database)
{
	bool		attached = false;

	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	my_slot = mf_find_slot(database, false);
	if (my_slot != NULL && my_slot->holds == 0 && my_slot->listener.pid != 0 && my_slot->routes.pid == 0)
	{
		my_slot->routes.pid = MyProcPid;
		my_slot->routes.proc_number = MF_MY_PROC_NUMBER;
		attached = true;
	}
	LWLockRelease(mf_shared->lock);
	if (attached)
		before_shmem_exit(detach_from_slot, (Datum) 0);
	return attached;
}

/* What was not answered is answered by the listener; if that is gone, the launcher may free the slot. */
static void
detach_from_slot(int code, Datum arg)
{
	MfRoutesState *state = &my_slot->routes;

	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	state->pid = 0;
	state->proc_number = MF_INVALID_PROC_NUMBER;
	if (state->phase == MF_ROUTE_ASKED && code != 0)
	{
		state->answer.status = 0;
		state->answer.owner = InvalidOid;
		strlcpy(state->answer.error, "the process that called it was ended", sizeof(state->answer.error));
		state->phase = MF_ROUTE_ANSWERED;
	}
	mf_set_latch_of(my_slot->listener.pid != 0 ? my_slot->listener.proc_number :
					my_slot->pid != 0 ? my_slot->proc_number : mf_shared->launcher);
	LWLockRelease(mf_shared->lock);
	ConditionVariableBroadcast(&mf_shared->changed);
}

static bool
take_request(Visit *visit)
{
	const MfRoutesState *state = &my_slot->routes;
	bool		asked;

	LWLockAcquire(mf_shared->lock, LW_SHARED);
	asked = state->phase == MF_ROUTE_ASKED;
	if (asked)
	{
		visit->call = state->call;
		strlcpy(visit->prefix, state->prefix, sizeof(visit->prefix));
		strlcpy(visit->path, state->path, sizeof(visit->path));
	}
	LWLockRelease(mf_shared->lock);
	return asked;
}

static bool
call_function(const MfSqlScope *scope, void *argument)
{
	Visit	   *visit = (Visit *) argument;

	mf_process_commit_unhurried();
	mf_route_answer(scope, visit->prefix, visit->path, &visit->answer);
	return true;
}

/* Unless the listener has given up waiting. */
static void
answer_request(const Visit *visit)
{
	MfRoutesState *state = &my_slot->routes;

	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	if (state->phase == MF_ROUTE_ASKED && state->call == visit->call)
	{
		memcpy(&state->answer, &visit->answer, offsetof(MfRouteAnswer, body));
		memcpy(state->answer.body, visit->answer.body, visit->answer.body_len);
		memcpy(state->answer.error, visit->answer.error, sizeof(state->answer.error));
		state->phase = MF_ROUTE_ANSWERED;
		mf_set_latch_of(my_slot->listener.proc_number);
	}
	LWLockRelease(mf_shared->lock);
}
