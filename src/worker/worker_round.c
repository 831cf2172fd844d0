/*
 * worker_round.c
 *	  The rounds of a worker: one transaction each, and what follows its failure.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/worker/worker_round.c
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/failpoint.h"
#include "base/log_event.h"
#include "database/run_transaction.h"
#include "inquiry/inquiry.h"
#include "on_change/on_change_process.h"
#include "on_change/on_change_queue.h"
#include "operation/operation.h"
#include "process/notify.h"
#include "process/process.h"
#include "sending/sender.h"
#include "store/queue_pause.h"
#include "store/repair.h"
#include "worker/worker.h"

/* Lock time-out of transactions apart from the round, which are not urgent */
#define SHORT_LOCK_TIMEOUT_MS 200

/* Delay of the next round after an error; doubled with each consecutive error */
#define ERROR_DELAY_MS 200
#define ERROR_DELAY_MAX_MS 30000

/*
 * After so many consecutive items that failed, the cause may lie elsewhere: rounds
 * are delayed, and no more items are logged.
 */
#define MANY_ITEMS 10
#define MANY_ITEMS_DELAY_MS 100

/* At shutdown: consecutive rounds that may fail without an item to blame */
#define LAST_FAILURES 10

/* An item that is put off */
typedef struct PutOff
{
	const MfItem *item;
	TimestampTz until;
	const char *error;
} PutOff;

static MfSlot *my_slot = NULL;
static MfTransactionRunner runner;
static int	lock_timeout_ms = 0;	/* of rounds; 0 = none */
static int	consecutive_errors = 0;
static int	consecutive_items = 0;	/* that failed */

static bool run_round_transaction(TimestampTz *next, bool *extension_present, bool *confirmed);
static void handle_failure(TimestampTz *next);
static ErrorData *abort_round(void);
static void show_error(const char *error);
static void put_off_item(const MfItem *item, const char *error, bool row_error);
static bool record_attempt(const MfSqlScope *scope, void *argument);
static bool record_put_off(const MfSqlScope *scope, void *argument);
static void log_put_off(const PutOff *put_off, const char *record_error);
static int	put_off_message(const MfItem *item);
static bool make_due(const MfSqlScope *scope, void *argument);
static bool begin(const MfSqlScope *scope, void *argument);
static void note_prepared(const MfSqlScope *scope);
static void run_make_due(MfTransactionWork work);
static bool run_transaction(MfTransactionWork work, void *argument, char **error);

void
mf_round_start(MfSlot *slot, Oid extension, Oid schema)
{
	my_slot = slot;
	runner.extension = extension;
	runner.schema = schema;
	runner.count = &slot->transactions;
	runner.context = AllocSetContextCreate(TopMemoryContext, "myfatoorah round", ALLOCSET_DEFAULT_SIZES);
}

bool
mf_round_failing(void)
{
	return consecutive_errors > 0;
}

bool
mf_round_run(TimestampTz *next)
{
	bool		extension_present;
	bool		confirmed;

	pgstat_report_activity(STATE_RUNNING, "myfatoorah: sending invoices");
	mf_pause_attend(run_transaction);
	/* the items of the round before may be freed, and this one may fail before it has any */
	mf_items_begin();
	if (run_round_transaction(next, &extension_present, &confirmed))
	{
		mf_count(MF_COUNTER_ROUNDS, 1);
		if (!extension_present)
		{
			/* outcomes of requests have no table any more */
			mf_sender_abandon();
			return false;
		}
		consecutive_errors = 0;
		my_slot->failing = false;
		if (mf_sender_post(confirmed))
		{
			consecutive_items = 0;
			mf_process_forget_error();
		}
	}
	my_slot->unrecorded = mf_items_count_unstored(GetCurrentTimestamp());
	if (!ShutdownRequestPending)
	{
		mf_reactions_attend(my_slot, run_transaction);
		mf_retention_attend(my_slot, run_transaction, next);
		mf_inquiry_catch_up_attend(run_transaction, next);
	}
	return true;
}

/*
 * False if the transaction failed.  *confirmed is false if a synchronous standby
 * may lack the commit.
 */
static bool
run_round_transaction(TimestampTz *next, bool *extension_present, bool *confirmed)
{
	volatile bool failed = false;

	*extension_present = true;
	*confirmed = false;
	mf_process_begin_statements();
	PG_TRY();
	{
		MemoryContextSwitchTo(runner.context);
		mf_process_start_transaction();
		my_slot->transactions++;
		MemoryContextSwitchTo(runner.context);

		if (!mf_process_lock_extension(runner.extension))
			*extension_present = false;
		else
			mf_sender_round(runner.schema, next);
		MF_FAILPOINT("round_done");
		*confirmed = mf_process_commit_transaction();
	}
	PG_CATCH();
	{
		mf_count(MF_COUNTER_FAILED_ROUNDS, 1);
		handle_failure(next);
		failed = true;
	}
	PG_END_TRY();
	mf_process_end_statements();
	MemoryContextReset(runner.context);
	return !failed;
}

/*
 * In PG_CATCH().  A round with several items is repeated with fewer; a single
 * item that fails is put off, so that the others go on.
 */
static void
handle_failure(TimestampTz *next)
{
	ErrorData  *error = abort_round();
	bool		no_notify_room = mf_notify_refused(error);
	bool		row_error = mf_process_is_row_error(error);
	bool		cancelled = mf_process_is_cancel(error);
	bool		smaller;
	const MfItem *item = mf_sender_round_failed(&smaller);
	int64		delay;

	/* a shutdown is not the fault of an item, nor is a full NOTIFY queue */
	if (item != NULL && !no_notify_room && !(cancelled && ShutdownRequestPending))
		put_off_item(item, error->message, row_error);
	/* the next round leaves notifications out, or has fewer items, and can start at once */
	if (no_notify_room || (row_error && smaller))
		delay = 0;
	else if (row_error && item != NULL)
		delay = ++consecutive_items > MANY_ITEMS ? MANY_ITEMS_DELAY_MS : 0;
	else
	{
		delay = Min((int64) ERROR_DELAY_MS << Min(consecutive_errors, 16), ERROR_DELAY_MAX_MS);
		if (!cancelled && !smaller)
		{
			consecutive_errors++;
			my_slot->failing = true;
		}
	}
	*next = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), delay);
	pgstat_report_activity(STATE_IDLE, NULL);
}

/* Aborts the transaction; the error lives until the end of the round. */
static ErrorData *
abort_round(void)
{
	ErrorData  *error;

	MemoryContextSwitchTo(runner.context);
	error = CopyErrorData();
	HOLD_INTERRUPTS();
	/* an error of a row is logged once it is known of which item it is */
	if (!mf_process_is_row_error(error) || mf_items_count() == 0)
		mf_process_report_error(error);
	FlushErrorState();
	AbortCurrentTransaction();
	if (!(mf_process_is_cancel(error) && ShutdownRequestPending))
		show_error(error->message);
	RESUME_INTERRUPTS();
	MemoryContextSwitchTo(runner.context);
	return error;
}

/* Shows an error in mf_worker_status. */
static void
show_error(const char *error)
{
	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	strlcpy(my_slot->last_error, error, sizeof(my_slot->last_error));
	my_slot->last_error_at = GetCurrentTimestamp();
	LWLockRelease(mf_shared->lock);
}

/*
 * Puts off an item that cannot be written.  Each step is a transaction of its
 * own, and is done even if another one fails.
 */
static void
put_off_item(const MfItem *item, const char *error, bool row_error)
{
	MfPutOff	later = mf_items_put_off(item, error, row_error, GetCurrentTimestamp());
	PutOff		put_off = {item, later.until, error};
	char	   *record_error = NULL;

	if (later.at_fault)
	{
		MfFlight   *flight = item->flight;

		if (flight != NULL && mf_flight_sends(flight) && !flight->attempt_recorded)
			flight->attempt_recorded = run_transaction(record_attempt, &put_off, NULL);
		if (run_transaction(record_put_off, &put_off, &record_error))
			mf_items_set_stored(item);
		if (later.is_new_error && consecutive_items < MANY_ITEMS)
			log_put_off(&put_off, record_error);
	}
	mf_sender_put_off(item, later.until);
}

static bool
record_attempt(const MfSqlScope *scope, void *argument)
{
	const MfFlight *flight = ((const PutOff *) argument)->item->flight;

	if (flight->kind == MF_JOB_OPERATION)
		mf_operation_keep_answer(scope, flight);
	else
		mf_sender_keep_answer(scope, flight);
	return true;
}

/* For mf_review, or mf_deposit.  False if neither can show the item: then mf_check() counts it. */
static bool
record_put_off(const MfSqlScope *scope, void *argument)
{
	const PutOff *put_off = (const PutOff *) argument;

	return mf_queue_put_off(scope, put_off->item->kind, put_off->item->id, put_off->until, put_off->error);
}

/* "record_error" is why mf_review cannot show the item; NULL = it can, or never does. */
static void
log_put_off(const PutOff *put_off, const char *record_error)
{
	ereport(LOG,
			(put_off_message(put_off->item),
			 record_error ? errdetail_internal("%s; mf_review cannot show this: %s", put_off->error, record_error) :
			 errdetail_internal("%s", put_off->error),
			 errhint("Remove the cause, then call mf_resume(). Otherwise it is tried again with growing delays.")));
}

/* The errmsg() of log_put_off() */
static int
put_off_message(const MfItem *item)
{
	long long	id = (long long) item->id;
	bool		is_answer = item->flight != NULL;

	switch (item->kind)
	{
		case MF_ITEM_LOG:
			/* asking for it writes nothing */
			return mf_log_event("item_put_off",
								"the log of webhooks of account \"%s\" is put off because it cannot be written",
								item->flight->throttle->account);
		case MF_ITEM_DEPOSIT:
			return is_answer ? mf_log_event("item_put_off",
											"deposit %lld is put off because its answer cannot be written", id) :
				mf_log_event("item_put_off", "deposit %lld is put off because it cannot be written", id);
		case MF_ITEM_EVENT:
			return is_answer ? mf_log_event("item_put_off",
											"event %lld is put off because its answer cannot be written", id) :
				mf_log_event("item_put_off", "event %lld is put off because it cannot be written", id);
		case MF_ITEM_REPETITION:
			return mf_log_event("item_put_off",
								"a row for invoice %lld of MyFatoorah, a repetition of a recurring payment, is put off because it cannot be written", id);
		case MF_ITEM_OPERATION:
			return is_answer ? mf_log_event("item_put_off",
											"refund or capture %lld is put off because its answer cannot be written", id) :
				mf_log_event("item_put_off", "refund or capture %lld is put off because it cannot be written", id);
		default:
			return is_answer ? mf_log_event("item_put_off",
											"invoice %lld is put off because its answer cannot be written", id) :
				mf_log_event("item_put_off", "invoice %lld is put off because it cannot be written", id);
	}
}

void
mf_round_try_now(uint32 what)
{
	if (what == 0)
		return;
	if (what & MF_TRY_REACTIONS)
		mf_reaction_alarm = MF_REACTION_NOW;
	if (what & (MF_TRY_LACKING | MF_TRY_ALL))
		mf_sender_try_now(what);
	if (what & MF_TRY_ALL)
		run_make_due(make_due);
	MemoryContextReset(runner.context);
}

void
mf_round_begin(void)
{
	run_make_due(begin);
	MemoryContextReset(runner.context);
}

static void
run_make_due(MfTransactionWork work)
{
	char	   *error;

	if (!run_transaction(work, NULL, &error) && error != NULL)
		ereport(LOG,
				(mf_log_event("retry_failed", "could not make due what was put off, after failures or while the clock was ahead"),
				 errdetail_internal("%s", error)));
}

static bool
make_due(const MfSqlScope *scope, void *argument)
{
	mf_sender_try_put_off(scope);
	return begin(scope, argument);
}

static bool
begin(const MfSqlScope *scope, void *argument)
{
	if (mf_queue_awaits_decision(scope))
		return true;
	note_prepared(scope);
	MF_FAILPOINT("prepared_noted");
	mf_repair_late(scope);
	mf_reaction_queue_retry(scope, NULL);
	mf_reaction_call_timed(scope);
	mf_reaction_alarm = MF_REACTION_NOW;
	return true;
}

/*
 * What is prepared meanwhile raises the time by itself.  What is committed meanwhile is seen by whoever
 * looks for rows afterwards.
 */
static void
note_prepared(const MfSqlScope *scope)
{
	TimestampTz prepared;

	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	my_slot->prepared_until = 0;
	LWLockRelease(mf_shared->lock);
	prepared = mf_repair_prepared(scope);
	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	my_slot->prepared_until = Max(my_slot->prepared_until, prepared);
	LWLockRelease(mf_shared->lock);
}

/* mf_transaction_run(), but no lock is waited for long; *error lives until the end of the round. */
static bool
run_transaction(MfTransactionWork work, void *argument, char **error)
{
	bool		done;

	mf_process_lock_timeout(SHORT_LOCK_TIMEOUT_MS);
	done = mf_transaction_run(&runner, work, argument, error);
	mf_process_lock_timeout(lock_timeout_ms);
	return done;
}

void
mf_round_finish(void)
{
	int			failures = 0;
	TimestampTz next;

	mf_process_last_commits();
	lock_timeout_ms = SHORT_LOCK_TIMEOUT_MS;
	mf_process_lock_timeout(lock_timeout_ms);
	while (mf_sender_has_outcomes() && failures < LAST_FAILURES)
	{
		TimestampTz before = my_slot->last_error_at;

		if (!mf_round_run(&next))
			break;
		/* an item that was put off is progress, too */
		failures = my_slot->last_error_at == before || consecutive_items > 0 ? 0 : failures + 1;
	}
}
