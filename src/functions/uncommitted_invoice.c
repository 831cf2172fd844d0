/*
 * uncommitted_invoice.c
 *	  Invoices at MyFatoorah whose rows are not committed yet.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/uncommitted_invoice.c
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/trigger.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "database/sql.h"
#include "functions/uncommitted_invoice.h"
#include "store/inquiries_open.h"

/* In TopTransactionContext */
typedef struct UncommittedInvoice
{
	SubTransactionId subtransaction;
	struct UncommittedInvoice *next;
	Oid			schema;
	int64		invoice;
	char	   *account;
	char		invoice_id[FLEXIBLE_ARRAY_MEMBER];
} UncommittedInvoice;

static UncommittedInvoice *uncommitted = NULL;
static bool callbacks_registered = false;

static void end_transaction(XactEvent event, void *argument);
static void end_subtransaction(SubXactEvent event, SubTransactionId subtransaction, SubTransactionId parent, void *argument);
static void match_events(void);
static void warn_of_lost(SubTransactionId subtransaction);

void
mf_note_uncommitted(Oid schema, int64 invoice, const char *account, const char *invoice_id)
{
	size_t		size = offsetof(UncommittedInvoice, invoice_id) + strlen(invoice_id) + 1;
	UncommittedInvoice *entry = (UncommittedInvoice *) MemoryContextAlloc(TopTransactionContext, size);

	if (!callbacks_registered)
	{
		RegisterXactCallback(end_transaction, NULL);
		RegisterSubXactCallback(end_subtransaction, NULL);
		callbacks_registered = true;
	}
	entry->schema = schema;
	entry->invoice = invoice;
	entry->account = MemoryContextStrdup(TopTransactionContext, account);
	strcpy(entry->invoice_id, invoice_id);
	entry->subtransaction = GetCurrentSubTransactionId();
	entry->next = uncommitted;
	uncommitted = entry;
}

static void
end_transaction(XactEvent event, void *argument)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			if (uncommitted != NULL)
				match_events();
			break;
		case XACT_EVENT_ABORT:
			warn_of_lost(InvalidSubTransactionId);
			uncommitted = NULL;
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PREPARE:
			uncommitted = NULL;
			break;
		default:
			break;
	}
}

/* Matches the rows with events that came in while other transactions could not see these rows. */
static void
match_events(void)
{
	MfSentInvoice *sent;
	MfSqlScope	scope;
	UncommittedInvoice *entry;
	int			count = 0;

	for (entry = uncommitted; entry != NULL; entry = entry->next)
		count++;
	PushActiveSnapshot(GetTransactionSnapshot());
	mf_sql_begin(&scope, uncommitted->schema);
	sent = (MfSentInvoice *) palloc0(count * sizeof(MfSentInvoice));
	for (count = 0, entry = uncommitted; entry != NULL; entry = entry->next)
		sent[count++].invoice = entry->invoice;
	(void) mf_inquiries_open(&scope, sent, count, DT_NOEND);
	mf_sql_end(&scope);
	/* deferred triggers of users */
	AfterTriggerFireDeferred();
	PopActiveSnapshot();
}

/* A committed subtransaction passes its invoices to its parent. */
static void
end_subtransaction(SubXactEvent event, SubTransactionId subtransaction, SubTransactionId parent, void *argument)
{
	UncommittedInvoice *entry;

	if (event == SUBXACT_EVENT_ABORT_SUB)
		warn_of_lost(subtransaction);
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		for (entry = uncommitted; entry != NULL; entry = entry->next)
		{
			if (entry->subtransaction == subtransaction)
				entry->subtransaction = parent;
		}
	}
}

/* Warns of the invoices of a subtransaction, or of all with InvalidSubTransactionId, and forgets them. */
static void
warn_of_lost(SubTransactionId subtransaction)
{
	UncommittedInvoice	  **link = &uncommitted;

	while (*link != NULL)
	{
		UncommittedInvoice *entry = *link;

		if (subtransaction != InvalidSubTransactionId && entry->subtransaction != subtransaction)
		{
			link = &entry->next;
			continue;
		}
		*link = entry->next;
		ereport(WARNING,
				(errmsg("MyFatoorah has invoice %s of account \"%s\", whose row was rolled back", entry->invoice_id, entry->account),
				 errhint("Cancel it in the MyFatoorah portal, or take it over with: SELECT mf_adopt('%s', '%s')",
						 entry->invoice_id, entry->account)));
	}
}
