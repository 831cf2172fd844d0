/*
 * listener_start.c
 *	  Starts and ends the listener of a database, for its worker.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inbound/listener_start.c
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/condition_variable.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/settings.h"
#include "inbound/listener_start.h"
#include "process/process.h"

/* Delay after a listener that ended by itself; doubled each time, but short, because customers wait for it */
#define RESTART_DELAY_MS 1000
#define RESTART_DELAY_MAX_MS 5000

/* A listener that ran this long has not failed to start. */
#define SETTLED_MS 60000

/* How long a worker that ends waits for its listener, and how often it looks: not each end is announced. */
#define END_TIMEOUT_MS 1000
#define END_CHECK_MS 20

static BackgroundWorkerHandle *handle = NULL;	/* of the listener that this worker has started */
static bool end_requested = false;
static TimestampTz started_at = 0;
static TimestampTz start_after = 0; /* not before */
static int	failures = 0;		/* listeners in a row that ended by themselves soon */
static bool no_slot_logged = false; /* that the server had no slot for one */

static bool start_listener(Oid database);

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
			/* it may not have read the setting yet */
			if (mf_listen_port == 0)
				mf_listener_end(slot, false);
			return 0;
		}
		pfree(handle);
		handle = NULL;

		if (end_requested)
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

	/* one that a former worker has started may still be there; its end wakes us */
	if (mf_listen_port == 0 || slot->listener.pid != 0)
		return 0;
	if (start_after > now)
		return start_after;
	if (start_listener(slot->database))
		return 0;
	start_after = TimestampTzPlusMilliseconds(now, RESTART_DELAY_MAX_MS);
	return start_after;
}

static bool
start_listener(Oid database)
{
	no_slot_logged = !mf_background_worker_start("mf_listener_main", "listener", database, &handle, !no_slot_logged);
	if (no_slot_logged)
		return false;
	end_requested = false;
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
	if (!end_requested)
		TerminateBackgroundWorker(handle);
	end_requested = true;
	if (!wait)
		return;

	start = GetCurrentTimestamp();
	ConditionVariablePrepareToSleep(&mf_shared->changed);
	while ((slot->listener.pid != 0 || GetBackgroundWorkerPid(handle, &pid) == BGWH_STARTED) &&
		   !TimestampDifferenceExceeds(start, GetCurrentTimestamp(), END_TIMEOUT_MS))
		ConditionVariableTimedSleep(&mf_shared->changed, END_CHECK_MS, PG_WAIT_EXTENSION);
	ConditionVariableCancelSleep();
}
