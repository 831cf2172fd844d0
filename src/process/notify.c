/*
 * notify.c
 *	  Telling listeners that an invoice has changed.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/process/notify.c
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/async.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/failpoint.h"
#include "base/settings.h"
#include "process/notify.h"
#include "process/worker_slots.h"

/* More than one of our notifications takes in the queue */
#define ENTRY_SIZE 64

/* After a commit that was refused, so long goes without. */
#define REFUSED_MS 10000

/* The log tells of it once in so long. */
#define TELL_MS 60000

typedef struct Pending
{
	int64		invoice;
	int			level;			/* nesting of the subtransaction */
} Pending;

static Pending *pending = NULL; /* in the transaction's memory */
static int	pending_count = 0;
static int	pending_room = 0;
static bool in_charge = false;
static bool registered = false;
static TimestampTz without_until = 0;

static void register_callbacks(void);
static void at_transaction_end(XactEvent event, void *arg);
static void at_subtransaction_end(SubXactEvent event, SubTransactionId me, SubTransactionId parent, void *arg);
static void before_commit(void);
static bool is_room(void);
static void hand_over(void);
static void tell_left_out(void);

void
mf_notify_at_commit(int64 invoice)
{
	register_callbacks();
	if (pending_count == pending_room)
	{
		MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);

		pending_room = Max(pending_room * 2, 64);
		pending = pending == NULL ? palloc(pending_room * sizeof(Pending)) :
			repalloc_huge(pending, pending_room * sizeof(Pending));
		MemoryContextSwitchTo(old);
	}
	pending[pending_count].invoice = invoice;
	pending[pending_count++].level = GetCurrentTransactionNestLevel();
}

void
mf_notify_take_charge(void)
{
	in_charge = true;
	register_callbacks();
}

/* Once per process, because callbacks are not de-duplicated. */
static void
register_callbacks(void)
{
	if (registered)
		return;
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
	registered = true;
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			before_commit();
			break;
		case XACT_EVENT_PRE_PREPARE:
			/* the server refuses to prepare what would notify */
			hand_over();
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			pending = NULL;
			pending_count = pending_room = 0;
			break;
		default:
			break;
	}
}

/* What was rolled back is not told. */
static void
at_subtransaction_end(SubXactEvent event, SubTransactionId me, SubTransactionId parent, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();
	int			i;

	if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		while (pending_count > 0 && pending[pending_count - 1].level >= level)
			pending_count--;
	}
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		for (i = pending_count - 1; i >= 0 && pending[i].level >= level; i--)
			pending[i].level = level - 1;
	}
}

/* After all deferred triggers, and before the server puts anything into its queue. */
static void
before_commit(void)
{
	bool		all = in_charge && TransactionIdIsValid(GetTopTransactionIdIfAny());

	if (pending_count == 0 && !all)
		return;
	if (is_room())
		hand_over();
	else
	{
		if (pending_count > 0)
			tell_left_out();
		/* also those of others: this lets go of nothing else, as nobody listens here */
		if (all)
			AtAbort_Notify();
	}
}

static bool
is_room(void)
{
	if (without_until != 0)
	{
		if (GetCurrentTimestamp() < without_until)
			return false;
		without_until = 0;
	}
	return !mf_notify_is_full(mf_notify_usage() +
							  (double) pending_count * ENTRY_SIZE / BLCKSZ / mf_notify_queue_pages());
}

/* Every role may listen, so a notification says no more than which row is to be read. */
static void
hand_over(void)
{
	int			i;

	for (i = 0; i < pending_count; i++)
	{
		char		payload[MAXINT8LEN + 16] = "{\"id\": ";
		int			length = strlen(payload);

		length += pg_lltoa(pending[i].invoice, payload + length);
		strcpy(payload + length, "}");
		Async_Notify(MF_CHANNEL, payload);
	}
}

/* One process of all tells the log. */
static void
tell_left_out(void)
{
	static pg_atomic_uint64 own_told_at;
	pg_atomic_uint64 *told_at = mf_shared != NULL ? &mf_shared->notify_told_at : &own_told_at;
	uint64		told = pg_atomic_read_u64(told_at);
	TimestampTz now = GetCurrentTimestamp();

	if (mf_shared != NULL)
		pg_atomic_write_u64(&mf_shared->notify_left_out_at, (uint64) now);
	if (!TimestampDifferenceExceeds((TimestampTz) told, now, TELL_MS) ||
		!pg_atomic_compare_exchange_u64(told_at, &told, (uint64) now))
		return;
	ereport(LOG,
			(errmsg("notifications on the channel \"%s\" are left out", MF_CHANNEL),
			 errdetail("The NOTIFY queue of the server has no room for them; the changes are written all the same."),
			 errhint("A session that listens and stays in a transaction keeps the queue full: pg_stat_activity shows the oldest transactions.")));
}

bool
mf_notify_refused(const ErrorData *error)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		news = without_until <= now;

	if (error->sqlerrcode != ERRCODE_PROGRAM_LIMIT_EXCEEDED || error->funcname == NULL ||
		strcmp(error->funcname, "PreCommit_Notify") != 0)
		return false;
	without_until = TimestampTzPlusMilliseconds(now, REFUSED_MS);
	return news;
}

double
mf_notify_usage(void)
{
	LOCAL_FCINFO(usage, 0);

	InitFunctionCallInfoData(*usage, NULL, 0, InvalidOid, NULL, NULL);
	return DatumGetFloat8(pg_notification_queue_usage(usage));
}

bool
mf_notify_is_full(double usage)
{
	return usage >= MF_NOTIFY_LIMIT;
}

TimestampTz
mf_notify_left_out_at(void)
{
	return mf_shared == NULL ? 0 : (TimestampTz) pg_atomic_read_u64(&mf_shared->notify_left_out_at);
}
