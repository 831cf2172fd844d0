/*
 * refresh_requests.c
 *	  Inquiries that sessions order, written at commit.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/refresh_requests.c
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/trigger.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/text_domain.h"
#include "store/inquiries_open.h"
#include "store/refresh_requests.h"

#define BATCH_SIZE 500			/* inquiries written by one statement */

typedef struct Refresh
{
	Oid			schema;
	Oid			role;
	int64		invoice;
	bool		too_often;
} Refresh;

static List *pending = NIL;		/* in TopTransactionContext */

static void at_transaction_end(XactEvent event, void *arg);
static void write_pending(void);

void
mf_refresh_at_commit(Oid schema, Oid role, int64 invoice, bool too_often)
{
	static bool registered = false;
	MemoryContext old;
	Refresh    *refresh;

	if (!registered)
		RegisterXactCallback(at_transaction_end, NULL);
	registered = true;

	old = MemoryContextSwitchTo(TopTransactionContext);
	refresh = (Refresh *) palloc(sizeof(Refresh));
	refresh->schema = schema;
	refresh->role = role;
	refresh->invoice = invoice;
	refresh->too_often = too_often;
	pending = lappend(pending, refresh);
	MemoryContextSwitchTo(old);
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	if (pending == NIL)
		return;
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			write_pending();
			break;
		case XACT_EVENT_PRE_PREPARE:
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot PREPARE a transaction that has called mf_refresh()")));
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
			pending = NIL;
			break;
		default:
			break;
	}
}

/*
 * By ids, so that two sessions do not deadlock.  Those of a subtransaction that was
 * rolled back are written, too, and do no harm.
 */
static int
compare_invoices(const ListCell *a, const ListCell *b)
{
	int64		left = ((const Refresh *) lfirst(a))->invoice;
	int64		right = ((const Refresh *) lfirst(b))->invoice;

	return left < right ? -1 : left > right;
}

static void
write_pending(void)
{
	int64		invoices[BATCH_SIZE];
	bool		too_often[BATCH_SIZE];
	int			count = 0;
	Oid			schema = InvalidOid;
	Oid			role = InvalidOid;
	ListCell   *lc;

	list_sort(pending, compare_invoices);
	PushActiveSnapshot(GetTransactionSnapshot());
	foreach(lc, pending)
	{
		const Refresh *refresh = (const Refresh *) lfirst(lc);

		/* of two roles in one transaction, either may be the one that has ordered it */
		if (count > 0 && refresh->invoice == invoices[count - 1])
		{
			too_often[count - 1] &= refresh->too_often;
			continue;
		}
		if (count == BATCH_SIZE || (count > 0 && (refresh->schema != schema || refresh->role != role)))
		{
			mf_inquiries_order(schema, role, invoices, too_often, count);
			count = 0;
		}
		schema = refresh->schema;
		role = refresh->role;
		invoices[count] = refresh->invoice;
		too_often[count++] = refresh->too_often;
	}
	mf_inquiries_order(schema, role, invoices, too_often, count);
	/* deferred triggers of users on what was written here */
	AfterTriggerFireDeferred();
	PopActiveSnapshot();
}
