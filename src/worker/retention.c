/*
 * retention.c
 *	  Deletes rows, and empties personal data, that are past their retention time.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/worker/retention.c
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/log_event.h"
#include "base/settings.h"
#include "on_change/on_change_queue.h"
#include "process/wait.h"
#include "store/events.h"
#include "store/operations.h"
#include "store/personal_data.h"
#include "store/queue_pause.h"
#include "worker/worker.h"

/* Delay after a batch with rows, without rows, and after a failure */
#define BATCH_DELAY_MS 1000
#define IDLE_DELAY_MS 3600000
#define FAILED_DELAY_MS 60000

/* The work on one table; each batch is a transaction of its own */
typedef struct Task
{
	const char *table;
	const int  *retention;		/* minutes; 0 keeps all */
	uint64		(*purge) (const MfSqlScope *scope, TimestampTz before);
	int			known_retention;	/* the value of *retention at the latest call */
	TimestampTz next_at;		/* when the next batch is processed */
	TimestampTz before;			/* the latest batch was of rows older than this */
	uint64		rows;			/* of the latest batch */
	bool		failed;
} Task;

/* Of calls that nobody wants any more: their age does not matter, but 0 would keep them */
static const int any_age = 1;

static Task tasks[] = {
	{"mf_attempt", &mf_history_retention, mf_queue_purge_attempts, 0, 0, 0, 0, false},
	{"mf_operation_attempt", &mf_history_retention, mf_operations_purge_attempts, 0, 0, 0, 0, false},
	{"mf_transition", &mf_history_retention, mf_queue_purge_transitions, 0, 0, 0, 0, false},
	{"mf_event", &mf_history_retention, mf_events_purge, 0, 0, 0, 0, false},
	{"mf_invoice", &mf_personal_data_retention, mf_personal_data_purge, 0, 0, 0, 0, false},
	{"mf_reaction_queue", &any_age, mf_reaction_queue_purge, 0, 0, 0, 0, false}
};

static bool purge_batch(const MfSqlScope *scope, void *argument);
static void run_batch(Task *task, MfSlot *slot, MfRunTransaction run, TimestampTz now);

bool
mf_retention_changed(void)
{
	int			i;

	for (i = 0; i < (int) lengthof(tasks); i++)
		if (tasks[i].known_retention != *tasks[i].retention)
			return true;
	return false;
}

void
mf_retention_attend(MfSlot *slot, MfRunTransaction run, TimestampTz *next)
{
	TimestampTz now = GetCurrentTimestamp();
	int			i;

	for (i = 0; i < (int) lengthof(tasks); i++)
	{
		Task	   *task = &tasks[i];

		if (task->known_retention != *task->retention)
			task->next_at = now;
		task->known_retention = *task->retention;
		if (task->known_retention == 0)
			continue;
		if (now >= task->next_at)
			run_batch(task, slot, run, now);
		if (task->rows > 0 || task->failed)
			*next = mf_earlier(*next, task->next_at);
	}
}

static void
run_batch(Task *task, MfSlot *slot, MfRunTransaction run, TimestampTz now)
{
	char	   *error;
	bool		was_failed = task->failed;

	task->before = now - (TimestampTz) *task->retention * 60 * USECS_PER_SEC;
	task->failed = !run(purge_batch, task, &error);
	task->next_at = TimestampTzPlusMilliseconds(now, task->failed ? FAILED_DELAY_MS :
										   task->rows > 0 ? BATCH_DELAY_MS : IDLE_DELAY_MS);
	if (!task->failed && !was_failed)
		return;

	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	if (!task->failed)
		slot->history_error[0] = '\0';	/* another table sets it again with its next failure */
	else if (error != NULL)
		snprintf(slot->history_error, sizeof(slot->history_error), "%s: %s", task->table, error);
	LWLockRelease(mf_shared->lock);
	if (task->failed && !was_failed && error != NULL)
		ereport(LOG,
				(task->retention == &mf_personal_data_retention ?
				 mf_log_event("retention_failed", "could not empty old rows of table \"%s\"", task->table) :
				 mf_log_event("retention_failed", "could not delete old rows of table \"%s\"", task->table),
				 errdetail_internal("%s", error)));
}

static bool
purge_batch(const MfSqlScope *scope, void *argument)
{
	Task	   *task = (Task *) argument;

	/* while a dump is being restored table by table, rows that prevent a deletion may be missing */
	task->rows = mf_queue_awaits_decision(scope) ? 0 : task->purge(scope, task->before);
	return true;
}
