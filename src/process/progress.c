/*
 * progress.c
 *	  How far work is that takes long, for mf_progress.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/process/progress.c
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/timestamp.h"

#include "process/metrics.h"
#include "process/process.h"
#include "process/progress.h"
#include "process/worker_slots.h"

/* Of this process; NULL = none */
static MfProgressEntry *entries[MF_PROGRESS_COMMANDS];

static MfProgressEntry *take_entry(MfProgressCommand command);
static void end_all(void);
static void at_transaction_end(XactEvent event, void *argument);
static void at_exit(int code, Datum argument);

const char *
mf_progress_name(MfProgressCommand command)
{
	static const char *const names[] = {"archive", "unarchive", "repair", "webhook log", "catch up"};

	return names[command];
}

const char *
mf_progress_unit(MfProgressCommand command)
{
	static const char *const units[] = {"invoices", "invoices", "steps", "pages", "invoices"};

	return units[command];
}

void
mf_progress_report(MfProgressCommand command, int64 done, int64 total)
{
	if (entries[command] == NULL)
		entries[command] = take_entry(command);
	if (entries[command] == NULL)
		return;
	entries[command]->done = done;
	entries[command]->total = total;
}

static MfProgressEntry *
take_entry(MfProgressCommand command)
{
	static bool registered = false;
	MfMetrics  *metrics = mf_metrics_here();
	MfProgressEntry *entry = NULL;
	int			i;

	if (metrics == NULL)
		return NULL;
	if (!registered)
	{
		RegisterXactCallback(at_transaction_end, NULL);
		before_shmem_exit(at_exit, (Datum) 0);
		registered = true;
	}
	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	for (i = 0; i < MF_PROGRESS_ENTRIES && entry == NULL; i++)
	{
		if (metrics->progress[i].pid == 0)
			entry = &metrics->progress[i];
	}
	if (entry != NULL)
	{
		entry->pid = MyProcPid;
		entry->command = command;
		entry->started_at = GetCurrentTimestamp();
		entry->done = 0;
		entry->total = -1;
	}
	LWLockRelease(mf_shared->lock);
	return entry;
}

void
mf_progress_end(MfProgressCommand command)
{
	MfProgressEntry *entry = entries[command];

	if (entry == NULL)
		return;
	entries[command] = NULL;
	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	/* the slot of the database may have been given to another one since */
	if (entry->pid == MyProcPid)
		entry->pid = 0;
	LWLockRelease(mf_shared->lock);
}

static void
end_all(void)
{
	int			i;

	for (i = 0; i < MF_PROGRESS_COMMANDS; i++)
		mf_progress_end((MfProgressCommand) i);
}

/* Ends what a session has begun, whether it succeeded or failed. */
static void
at_transaction_end(XactEvent event, void *argument)
{
	if (!mf_process_is_ours && (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE))
		end_all();
}

static void
at_exit(int code, Datum argument)
{
	end_all();
}
