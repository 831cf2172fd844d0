/*
 * invoice_enqueue.c
 *	  AFTER triggers of mf_invoice: put invoices on the agenda, and note changes.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/triggers/invoice_enqueue.c
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "account/account_option.h"
#include "base/settings.h"
#include "process/wakeup.h"
#include "store/archive.h"
#include "store/queue_operations.h"
#include "store/queue_pause.h"
#include "triggers/invoice_private.h"

static void enqueue_inserted(TriggerData *trigger, Oid schema);
static void warn_of_missing_worker(void);
static void follow_update(TriggerData *trigger, Oid schema);
static TimestampTz due_time(const MfRow *row);

PG_FUNCTION_INFO_V1(mf_invoice_enqueue);

/* Fires for each INSERT statement, with a transition table, and for each updated row that is on the agenda. */
Datum
mf_invoice_enqueue(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = mf_invoice_trigger_data(fcinfo, "mf_invoice_enqueue", false);
	Oid			schema = RelationGetNamespace(trigger->tg_relation);

	if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		enqueue_inserted(trigger, schema);
	else
		follow_update(trigger, schema);
	return PointerGetDatum(NULL);
}

/* Puts new invoices on the agenda.  If another server may send them, all sending is paused. */
static void
enqueue_inserted(TriggerData *trigger, Oid schema)
{
	bool		in_use = false;
	uint64		entries;

	mf_archive_check_insert(schema, trigger);
	entries = mf_queue_insert(schema, trigger, mf_invoices_restored() ? &in_use : NULL);
	if (in_use)
	{
		mf_queue_pause(schema, MF_ALL_ACCOUNTS, MF_PAUSED_BY_RESTORE,
					   "invoices were restored; the server they come from may send them and ask about them, too");
		ereport(WARNING,
				(errmsg("sending is paused because invoices were restored"),
				 errhint("Make sure that the server they come from does not send them, then call mf_resume('*').")));
	}
	if (entries > 0 && mf_shared == NULL)
		warn_of_missing_worker();
}

static void
warn_of_missing_worker(void)
{
	const char *libraries = GetConfigOption("shared_preload_libraries", true, false);

	ereport(WARNING,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("invoices are stored but will not be sent"),
			 errdetail("The library myfatoorah is not in shared_preload_libraries, so no worker is running."),
			 errhint("Add this line to postgresql.conf and restart the server: shared_preload_libraries = '%s%s%s'",
					 libraries ? libraries : "", libraries && libraries[0] ? "," : "", MF_EXTENSION)));
}

/* Writes a user's change of a row into the history, and moves its entry of the agenda if need be. */
static void
follow_update(TriggerData *trigger, Oid schema)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	MfRow		before;
	MfRow		after;
	bool		same_account;

	mf_row_read(trigger->tg_trigtuple, desc, &before);
	mf_row_read(trigger->tg_newtuple, desc, &after);
	same_account = mf_same_column(desc, &before, &after, MF_IC_ACCOUNT);
	if (!after.isnull[MF_IC_IDEMPOTENCY_KEY] &&
		!(same_account && mf_same_column(desc, &before, &after, MF_IC_IDEMPOTENCY_KEY)))
		mf_archive_check_key(schema, after.values[MF_IC_ACCOUNT], after.values[MF_IC_IDEMPOTENCY_KEY]);
	mf_queue_note_edit(schema, RelationGetRelid(trigger->tg_relation), heap_copy_tuple_as_datum(trigger->tg_trigtuple, desc),
					   heap_copy_tuple_as_datum(trigger->tg_newtuple, desc));
	if (same_account &&
		mf_same_column(desc, &before, &after, MF_IC_SEND_AT) &&
		mf_same_column(desc, &before, &after, MF_IC_PRIORITY) &&
		mf_same_column(desc, &before, &after, MF_IC_CUSTOMER_NAME + MF_SP_NOTIFICATION_OPTION))
		return;
	mf_queue_reschedule(schema, DatumGetInt64(after.values[MF_IC_ID]),
						TextDatumGetCString(after.values[MF_IC_ACCOUNT]),
						DatumGetTimestampTz(after.values[MF_IC_SEND_AT]), due_time(&after),
						DatumGetInt16(after.values[MF_IC_PRIORITY]),
						DatumGetTimestampTz(after.values[MF_IC_CREATED_AT]));
	mf_wake_account_at_commit(TextDatumGetCString(after.values[MF_IC_ACCOUNT]));
}

/* When the invoice is to be sent, by the options of its account. */
static TimestampTz
due_time(const MfRow *row)
{
	return mf_send_due(mf_account_get(TextDatumGetCString(row->values[MF_IC_ACCOUNT])),
					   DatumGetTimestampTz(row->values[MF_IC_SEND_AT]),
					   !mf_text_is(row->values[MF_IC_CUSTOMER_NAME + MF_SP_NOTIFICATION_OPTION], "LNK"),
					   GetCurrentTransactionStartTimestamp());
}

bool
mf_same_column(TupleDesc desc, const MfRow *a, const MfRow *b, int column)
{
	Form_pg_attribute attribute = TupleDescAttr(desc, column - 1);

	if (a->isnull[column] || b->isnull[column])
		return a->isnull[column] == b->isnull[column];
	return datum_image_eq(a->values[column], b->values[column], attribute->attbyval, attribute->attlen);
}
