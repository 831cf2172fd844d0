/*
 * notify.c
 *	  Notifications on the channel mf_invoice that an invoice has changed.
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
#include "base/log_event.h"
#include "base/settings.h"
#include "process/notify.h"
#include "process/worker_slots.h"

/* An upper bound of the size of one of our notifications in the queue */
#define ENTRY_SIZE 64

/* After a commit that found no room, notifications are left out for this long. */
#define REFUSED_MS 10000

/* Notifications that are left out are logged at most once in this time. */
#define LOG_INTERVAL_MS 60000

typedef struct Pending
{
	int64		invoice;
	int			level;			/* nesting of the subtransaction */
} Pending;

static Pending *pending = NULL; /* in the transaction's memory */
static int	pending_count = 0;
static int	pending_room = 0;
static bool controls_all = false;	/* see mf_notify_control_all() */
static bool registered = false;
static TimestampTz left_out_until = 0;

static void register_callbacks(void);
static void at_transaction_end(XactEvent event, void *arg);
static void at_subtransaction_end(SubXactEvent event, SubTransactionId me, SubTransactionId parent, void *arg);
static void before_commit(void);
static bool has_room(void);
static void send_pending(void);
static void log_left_out(void);

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
mf_notify_control_all(void)
{
	controls_all = true;
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
			/* makes PREPARE TRANSACTION fail, as PostgreSQL does for every NOTIFY */
			send_pending();
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

/* Drops the notifications of a subtransaction that is rolled back. */
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

/* Runs after all deferred triggers, and before the server writes to its queue. */
static void
before_commit(void)
{
	bool		all = controls_all && TransactionIdIsValid(GetTopTransactionIdIfAny());

	if (pending_count == 0 && !all)
		return;
	if (has_room())
		send_pending();
	else
	{
		if (pending_count > 0)
			log_left_out();
		/* drops all notifications; this process listens on no channel, so nothing else is lost */
		if (all)
			AtAbort_Notify();
	}
}

static bool
has_room(void)
{
	if (left_out_until != 0)
	{
		if (GetCurrentTimestamp() < left_out_until)
			return false;
		left_out_until = 0;
	}
	return !mf_notify_is_full(mf_notify_usage() +
							  (double) pending_count * ENTRY_SIZE / BLCKSZ / mf_notify_queue_pages());
}

/* Every role may listen, so a notification contains only the id of the invoice. */
static void
send_pending(void)
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

/* At most once per interval by all processes together */
static void
log_left_out(void)
{
	static pg_atomic_uint64 own_logged_at;
	pg_atomic_uint64 *logged_at = mf_shared != NULL ? &mf_shared->notify_logged_at : &own_logged_at;
	uint64		logged = pg_atomic_read_u64(logged_at);
	TimestampTz now = GetCurrentTimestamp();

	if (mf_shared != NULL)
		pg_atomic_write_u64(&mf_shared->notify_left_out_at, (uint64) now);
	if (!TimestampDifferenceExceeds((TimestampTz) logged, now, LOG_INTERVAL_MS) ||
		!pg_atomic_compare_exchange_u64(logged_at, &logged, (uint64) now))
		return;
	ereport(LOG,
			(mf_log_event("notifications_left_out", "notifications on the channel \"%s\" are left out", MF_CHANNEL),
			 errdetail("The NOTIFY queue of the server is too full. The changes are committed."),
			 errhint("A session that listens and stays in a transaction keeps the queue full. See the oldest transactions in pg_stat_activity.")));
}

bool
mf_notify_refused(const ErrorData *error)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		first = left_out_until <= now;

	if (error->sqlerrcode != ERRCODE_PROGRAM_LIMIT_EXCEEDED || error->funcname == NULL ||
		strcmp(error->funcname, "PreCommit_Notify") != 0)
		return false;
	left_out_until = TimestampTzPlusMilliseconds(now, REFUSED_MS);
	return first;
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
