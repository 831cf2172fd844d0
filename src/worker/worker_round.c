/*
 * worker_round.c
 *	  The rounds of a worker: one transaction each, and what follows a failure.
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

#include "base/compat.h"
#include "base/failpoint.h"
#include "base/settings.h"
#include "flight/account_pause.h"
#include "flight/flight.h"
#include "flow/round_items.h"
#include "inquiry/inquiry_catch_up.h"
#include "on_change/on_change_process.h"
#include "on_change/on_change_queue.h"
#include "process/notify.h"
#include "process/process.h"
#include "process/wakeup.h"
#include "sending/sender.h"
#include "sending/sender_outcomes.h"
#include "store/queue.h"
#include "worker/retention.h"
#include "worker/worker_round.h"

/* Where waiting for somebody's lock would hold up more than it is worth */
#define SHORT_LOCK_TIMEOUT_MS 200

/* After an error the next round waits: doubled with each error in a row. */
#define ERROR_DELAY_MS 200
#define ERROR_DELAY_MAX_MS 30000

/* After so many items in a row that were to blame the cause may lie elsewhere: no hurry, and no more log lines. */
#define MANY_ITEMS 10
#define MANY_ITEMS_DELAY_MS 100

/* So many of the last rounds may fail in a row without telling of an item. */
#define LAST_FAILURES 10

/* What is written about an item that is put off */
typedef struct Note
{
	const MfItem *item;
	TimestampTz until;
	const char *error;
} Note;

static MfSlot *my_slot = NULL;
static Oid	my_extension = InvalidOid;
static Oid	my_schema = InvalidOid;
static MemoryContext round_context = NULL;
static int	lock_timeout_ms = 0;
static int	errors_in_a_row = 0;
static int	items_in_a_row = 0;

static bool gone(void);
static void round_failed(TimestampTz *again);
static ErrorData *end_failed_transaction(bool *own_fault, bool *unheard);
static void show_error(const char *error);
static void put_off(const MfItem *item, const char *error, bool own_fault);
static bool keep_answer(const MfSqlScope *scope, void *argument);
static bool note_item(const MfSqlScope *scope, void *argument);
static void tell_item(const MfItem *item, const char *error, const char *not_noted);
static bool try_now(const MfSqlScope *scope, void *argument);
static bool run_apart(MfTransactionWork work, void *argument, char **error);

void
mf_round_start(MfSlot *slot, Oid extension, Oid schema)
{
	my_slot = slot;
	my_extension = extension;
	my_schema = schema;
	round_context = AllocSetContextCreate(TopMemoryContext, "myfatoorah round", ALLOCSET_DEFAULT_SIZES);
}

bool
mf_round_failing(void)
{
	return errors_in_a_row > 0;
}

bool
mf_round_run(TimestampTz *again)
{
	volatile bool present = true;
	volatile bool failed = false;
	volatile bool confirmed = false;

	pgstat_report_activity(STATE_RUNNING, "myfatoorah: sending invoices");
	mf_pause_attend(run_apart);
	/* it may fail before it takes anything, and what the one before had in hand may be gone */
	mf_items_begin();
	mf_process_begin_statements();
	PG_TRY();
	{
		MemoryContextSwitchTo(round_context);
		mf_process_start_transaction();
		my_slot->transactions++;
		MemoryContextSwitchTo(round_context);

		if (!mf_process_lock_extension(my_extension))
			present = false;
		else
			mf_sender_round(my_schema, again);
		MF_FAILPOINT("round_done");
		confirmed = mf_process_commit_transaction();
	}
	PG_CATCH();
	{
		round_failed(again);
		failed = true;
	}
	PG_END_TRY();
	mf_process_end_statements();
	MemoryContextReset(round_context);
	if (!present)
		return gone();

	if (!failed)
	{
		errors_in_a_row = 0;
		my_slot->failing = false;
		if (mf_sender_post(confirmed))
		{
			items_in_a_row = 0;
			mf_process_forget_error();
		}
	}
	my_slot->unnoted = mf_items_unnoted(GetCurrentTimestamp());
	if (!ShutdownRequestPending)
	{
		mf_reactions_attend(my_slot, run_apart);
		mf_retention_attend(my_slot, run_apart, again);
		mf_inquiry_catch_up_attend(run_apart, again);
	}
	return true;
}

/* The extension was dropped: what is under way has no place any more. */
static bool
gone(void)
{
	mf_sender_abandon();
	return false;
}

/*
 * A round has failed: the next one takes less, or the only item that it had in
 * hand is put off, and the others go on.
 */
static void
round_failed(TimestampTz *again)
{
	bool		own_fault;
	bool		unheard;
	ErrorData  *error = end_failed_transaction(&own_fault, &unheard);
	bool		cancelled = mf_process_is_cancel(error);
	bool		smaller;
	const MfItem *item = mf_sender_round_failed(&smaller);
	int64		delay = 0;

	/* whoever ends us has not found out anything about the item */
	if (item != NULL && !unheard && !(cancelled && ShutdownRequestPending))
		put_off(item, error->message, own_fault);
	/* without notifications it can be done at once */
	if (unheard)
		delay = 0;
	else if (own_fault && item != NULL)
		delay = ++items_in_a_row > MANY_ITEMS ? MANY_ITEMS_DELAY_MS : 0;
	else if (!own_fault || !smaller)
	{
		delay = Min((int64) ERROR_DELAY_MS << Min(errors_in_a_row, 16), ERROR_DELAY_MAX_MS);
		if (!cancelled && !smaller)
		{
			errors_in_a_row++;
			my_slot->failing = true;
		}
	}
	*again = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), delay);
	pgstat_report_activity(STATE_IDLE, NULL);
}

/*
 * In PG_CATCH(): aborts the transaction, and gives the error, which lives as
 * long as the round.  "own_fault" may be NULL; then nobody is told of the error.
 * "unheard": it was the notifications that had no room.
 */
static ErrorData *
end_failed_transaction(bool *own_fault, bool *unheard)
{
	ErrorData  *error;

	MemoryContextSwitchTo(round_context);
	error = CopyErrorData();
	*unheard = mf_notify_refused(error);
	HOLD_INTERRUPTS();
	if (own_fault != NULL)
	{
		*own_fault = mf_process_is_row_error(error);
		/* else it is told once it is known which item it is about */
		if (!*own_fault || mf_items_count() == 0)
			mf_process_report_error(error);
	}
	FlushErrorState();
	AbortCurrentTransaction();
	/* whoever ends us is told nothing of a cancel */
	if (own_fault != NULL && !(mf_process_is_cancel(error) && ShutdownRequestPending))
		show_error(error->message);
	RESUME_INTERRUPTS();
	MemoryContextSwitchTo(round_context);
	return error;
}

/* For mf_worker_status. */
static void
show_error(const char *error)
{
	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	strlcpy(my_slot->last_error, error, sizeof(my_slot->last_error));
	my_slot->last_error_at = GetCurrentTimestamp();
	LWLockRelease(mf_shared->lock);
}

/* An item that cannot be written comes again later.  Each step of this may fail, too, and the others are still done. */
static void
put_off(const MfItem *item, const char *error, bool own_fault)
{
	MfPutOff	later = mf_items_put_off(item, error, own_fault, GetCurrentTimestamp());
	Note		note = {item, later.until, error};
	char	   *not_noted = NULL;

	if (later.named)
	{
		MfFlight   *flight = item->flight;

		if (flight != NULL && flight->kind == MF_JOB_SEND && !flight->attempt_recorded)
			flight->attempt_recorded = run_apart(keep_answer, &note, NULL);
		if (run_apart(note_item, &note, &not_noted))
			mf_items_noted(item);
		if (later.news && items_in_a_row < MANY_ITEMS)
			tell_item(item, error, not_noted);
	}
	mf_sender_put_off(item, later.until);
}

static bool
keep_answer(const MfSqlScope *scope, void *argument)
{
	mf_sender_keep_answer(scope, ((const Note *) argument)->item->flight);
	return true;
}

/* For mf_review.  False if that cannot show it: then mf_check() counts it. */
static bool
note_item(const MfSqlScope *scope, void *argument)
{
	const Note *note = (const Note *) argument;
	const MfItem *item = note->item;

	switch (item->kind)
	{
		case MF_ITEM_INVOICE:
			return mf_queue_put_off(scope, item->id, note->until, note->error);
		case MF_ITEM_INQUIRY:
			return mf_inquiries_put_off(scope, item->id, 0, note->until, note->error);
		case MF_ITEM_EVENT:
			(void) mf_inquiries_put_off(scope, 0, item->id, note->until, note->error);
			break;
		case MF_ITEM_LOG:
			break;
	}
	return false;
}

static void
tell_item(const MfItem *item, const char *error, const char *not_noted)
{
	const char *what = item->kind == MF_ITEM_EVENT ? psprintf("event " INT64_FORMAT, item->id) :
		item->kind == MF_ITEM_LOG ? psprintf("the log of webhooks of account \"%s\"", item->flight ?
											 item->flight->throttle->account : "?") :
		psprintf("invoice " INT64_FORMAT, item->id);

	ereport(LOG,
			(errmsg("%s is put off because %s cannot be written", what, item->flight ? "its answer" : "it"),
			 not_noted ? errdetail_internal("%s; mf_review cannot show this: %s", error, not_noted) :
			 errdetail_internal("%s", error),
			 errhint("Mend the cause, then call mf_resume(); without that it is tried again later and later.")));
}

void
mf_round_try_now(uint32 what)
{
	char	   *error;

	if (what == 0)
		return;
	if (what & MF_TRY_REACTIONS)
		mf_reactions_wake();
	if (what & (MF_TRY_LACKING | MF_TRY_ALL))
		mf_sender_try_now(what);
	if ((what & MF_TRY_ALL) && !run_apart(try_now, NULL, &error) && error != NULL)
		ereport(LOG,
				(errmsg("what was put off after failures could not be made due"),
				 errdetail_internal("%s", error)));
	MemoryContextReset(round_context);
}

static bool
try_now(const MfSqlScope *scope, void *argument)
{
	mf_sender_try_put_off(scope);
	mf_reactions_try_now(scope);
	return true;
}

/*
 * Does something in a transaction of its own.  False if it fails, or if it says
 * so, or if the extension is gone; *error is the message, in the round's memory,
 * or NULL.
 */
static bool
run_apart(MfTransactionWork work, void *argument, char **error)
{
	volatile bool done = false;

	if (error != NULL)
		*error = NULL;
	mf_process_begin_statements();
	PG_TRY();
	{
		mf_process_lock_timeout(SHORT_LOCK_TIMEOUT_MS);
		mf_process_start_transaction();
		my_slot->transactions++;
		MemoryContextSwitchTo(round_context);
		if (mf_process_lock_extension(my_extension))
		{
			MfSqlScope	scope;

			mf_sql_begin(&scope, my_schema);
			done = work(&scope, argument);
			mf_sql_end(&scope);
		}
		(void) mf_process_commit_transaction();
	}
	PG_CATCH();
	{
		bool		unheard;
		ErrorData  *failure = end_failed_transaction(NULL, &unheard);

		done = false;
		if (error != NULL)
			*error = failure->message;
		pgstat_report_activity(STATE_IDLE, NULL);
	}
	PG_END_TRY();
	mf_process_end_statements();
	mf_process_lock_timeout(lock_timeout_ms);
	MemoryContextSwitchTo(round_context);
	return done;
}

void
mf_round_finish(void)
{
	int			failures = 0;
	TimestampTz again;

	mf_process_last_commits();
	lock_timeout_ms = SHORT_LOCK_TIMEOUT_MS;
	mf_process_lock_timeout(lock_timeout_ms);
	while (mf_sender_has_outcomes() && failures < LAST_FAILURES)
	{
		TimestampTz before = my_slot->last_error_at;

		if (!mf_round_run(&again))
			break;
		/* an item that was put off is progress, too */
		failures = my_slot->last_error_at == before || items_in_a_row > 0 ? 0 : failures + 1;
	}
}
