/*
 * invoice_triggers.c
 *	  Triggers of mf_invoice: validate, give a reference, guard the states.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/triggers/invoice_triggers.c
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "access/sysattr.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "account/send_time.h"
#include "base/compat.h"
#include "base/settings.h"
#include "database/sql.h"
#include "process/wakeup.h"
#include "process/worker_slots.h"
#include "store/archive.h"
#include "store/column_types.h"
#include "store/deleted_invoices.h"
#include "store/invoice.h"
#include "store/invoice_lookup.h"
#include "store/other_triggers.h"
#include "store/queue.h"
#include "store/queue_new_rows.h"
#include "store/queue_operations.h"
#include "store/queue_pause.h"
#include "store/queue_report.h"
#include "store/row_check.h"
#include "store/row_rights.h"
#include "triggers/invoice_edits.h"

/* What is known of a trigger for one statement */
typedef struct Firing
{
	Oid			relation;		/* is mf_invoice */
	bool		countable;		/* each row that is to be inserted comes here */
	int64		rows;			/* that have come */
} Firing;

/* Which of many rows an error is about */
typedef struct RowPlace
{
	const MfInvoiceRow *row;
	int64		number;			/* within the statement, 0 = not known */
} RowPlace;

/* The transaction in which rows came with their references, as from a dump */
static TransactionId restored_in = InvalidTransactionId;

static bool fired_by_mf_invoice(FunctionCallInfo fcinfo);
static int64 count_row(FunctionCallInfo fcinfo);
static const MfAccount *check_row(MfInvoiceRow *row, Relation table, int64 number);
static void row_context(void *argument);
static TimestampTz due_time(const MfInvoiceRow *row);
static HeapTuple guard_insert(TriggerData *trigger, int64 number);
static HeapTuple guard_update(TriggerData *trigger);
static void refuse_late_change(int64 invoice, MfStatus status);
static void refuse_to_move(int64 invoice);
static void guard_delete(TriggerData *trigger);
static void guard_truncate(TriggerData *trigger);
static void deform(HeapTuple tuple, TupleDesc desc, MfInvoiceRow *row);
static HeapTuple reform(HeapTuple tuple, TupleDesc desc, MfInvoiceRow *row);
static void set_reference(MfInvoiceRow *row);
static void set_currency(MfInvoiceRow *row, const MfAccount *account);
static void set_creator(MfInvoiceRow *row, Oid role);
static void set_sender(MfInvoiceRow *row, Oid table, const MfAccount *account);
static bool same_fields(TupleDesc desc, const MfInvoiceRow *before, const MfInvoiceRow *after);
static bool sets_account(TriggerData *trigger);
static bool takes_over(TriggerData *trigger, const MfInvoiceRow *row, const MfAccount *account);

PG_FUNCTION_INFO_V1(mf_invoice_proposed);
PG_FUNCTION_INFO_V1(mf_invoice_guard);
PG_FUNCTION_INFO_V1(mf_invoice_enqueue);

/* The first BEFORE UPDATE trigger of mf_invoice: notes what a statement of ours wants. */
Datum
mf_invoice_proposed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) || !fired_by_mf_invoice(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called as BEFORE trigger of mf_invoice", "mf_invoice_proposed")));
	if (mf_sql_fired_trigger())
		mf_note_proposed_row(trigger);
	return PointerGetDatum(trigger->tg_newtuple);
}

/*
 * The last BEFORE trigger of mf_invoice.  Only statements of ours change states and
 * results, whatever role they run as, and they only along the state machine.
 */
Datum
mf_invoice_guard(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) || !fired_by_mf_invoice(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called as BEFORE trigger of mf_invoice", "mf_invoice_guard")));

	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
	{
		guard_truncate(trigger);
		return PointerGetDatum(NULL);
	}
	if (RelationGetDescr(trigger->tg_relation)->natts < MF_IC_END - 1)
		elog(ERROR, "table mf_invoice is older than the library");

	if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		return PointerGetDatum(guard_insert(trigger, count_row(fcinfo)));
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		return PointerGetDatum(guard_update(trigger));
	guard_delete(trigger);
	return PointerGetDatum(trigger->tg_trigtuple);
}

/*
 * The attribute numbers of invoice.h hold for no other table, the types that we
 * take its columns to have must be theirs, and our triggers must stand around
 * those of others.  The answer is kept with the function's call information,
 * which lives as long as a statement.
 */
static bool
fired_by_mf_invoice(FunctionCallInfo fcinfo)
{
	Relation	relation = ((TriggerData *) fcinfo->context)->tg_relation;
	Firing	   *firing = (Firing *) fcinfo->flinfo->fn_extra;

	if (firing != NULL && firing->relation == RelationGetRelid(relation))
		return true;
	if (strcmp(RelationGetRelationName(relation), "mf_invoice") != 0 ||
		RelationGetNamespace(relation) != get_func_namespace(fcinfo->flinfo->fn_oid))
		return false;
	if (RelationGetDescr(relation)->natts >= MF_IC_END - 1)
		mf_invoice_check_columns(RelationGetDescr(relation));
	mf_check_trigger_order(relation);
	firing = (Firing *) MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(Firing));
	firing->relation = RelationGetRelid(relation);
	firing->countable = !mf_has_other_insert_triggers(relation);
	fcinfo->flinfo->fn_extra = firing;
	return true;
}

/* Which row of those that the statement inserts this is; 0 if triggers of others may have skipped some. */
static int64
count_row(FunctionCallInfo fcinfo)
{
	Firing	   *firing = (Firing *) fcinfo->flinfo->fn_extra;

	return firing->countable ? ++firing->rows : 0;
}

/*
 * A new row is validated and given its reference.  A row that brings its
 * reference along is one that a dump restores: the owner may insert it as it is.
 */
static HeapTuple
guard_insert(TriggerData *trigger, int64 number)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	MfInvoiceRow row;
	const MfAccount *account;

	/* it comes back from the archive, as it was */
	if (mf_sql_fired_trigger())
		return trigger->tg_trigtuple;

	deform(trigger->tg_trigtuple, desc, &row);

	if (!row.isnull[MF_IC_REFERENCE])
	{
		if (!mf_owns_relation(RelationGetRelid(trigger->tg_relation), GetUserId()))
			mf_row_refuse_result(trigger->tg_relation, MF_IC_REFERENCE);
		restored_in = GetTopTransactionId();
		/* where it comes from, that number may have been another role's */
		set_creator(&row, row.isnull[MF_IC_CREATED_BY] ? InvalidOid :
					get_role_oid(NameStr(*DatumGetName(row.values[MF_IC_CREATED_BY])), true));
		return reform(trigger->tg_trigtuple, desc, &row);
	}

	mf_row_check_results(&row, trigger->tg_relation, NULL);
	account = check_row(&row, trigger->tg_relation, number);
	mf_row_check_usage(trigger->tg_relation, account);

	row.values[MF_IC_CREATED_AT] = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
	row.isnull[MF_IC_CREATED_AT] = false;
	set_sender(&row, RelationGetRelid(trigger->tg_relation), account);
	set_currency(&row, account);

	set_reference(&row);

	return reform(trigger->tg_trigtuple, desc, &row);
}

/* Gives a row a reference that was never used before. */
static void
set_reference(MfInvoiceRow *row)
{
	int			column = MF_IC_CUSTOMER_NAME + MF_SP_CUSTOMER_REFERENCE;
	text	   *own = row->isnull[column] ? NULL : DatumGetTextPP(row->values[column]);
	text	   *reference = own == NULL ? mf_new_reference(NULL, 0) :
		mf_new_reference(VARDATA_ANY(own), VARSIZE_ANY_EXHDR(own));

	row->values[MF_IC_REFERENCE] = PointerGetDatum(reference);
	row->isnull[MF_IC_REFERENCE] = false;
}

/* That of invoice_value */
static void
set_currency(MfInvoiceRow *row, const MfAccount *account)
{
	int			column = MF_IC_CUSTOMER_NAME + MF_SP_DISPLAY_CURRENCY_ISO;

	row->values[MF_IC_CURRENCY] = row->isnull[column] ? CStringGetTextDatum(account->currency) : row->values[column];
	row->isnull[MF_IC_CURRENCY] = false;
}

/* The role goes by its OID, since its name may become another's. */
static void
set_creator(MfInvoiceRow *row, Oid role)
{
	row->values[MF_IC_CREATED_BY_ID] = ObjectIdGetDatum(role);
	row->isnull[MF_IC_CREATED_BY_ID] = false;
}

/*
 * The row goes with the key of the current role, and no other if that has one of
 * its own.  What the role may do now it must still may when the row is sent.
 */
static void
set_sender(MfInvoiceRow *row, Oid table, const MfAccount *account)
{
	Oid			role = GetUserId();
	Name		name = (Name) palloc0(NAMEDATALEN);

	namestrcpy(name, GetUserNameFromId(role, false));
	row->values[MF_IC_CREATED_BY] = NameGetDatum(name);
	row->isnull[MF_IC_CREATED_BY] = false;
	set_creator(row, role);
	row->values[MF_IC_OWN_KEY] = BoolGetDatum(mf_account_has_own_mapping(account, role));
	row->isnull[MF_IC_OWN_KEY] = false;
	row->values[MF_IC_COULD_LOGIN] = BoolGetDatum(mf_role_can_login(role));
	row->isnull[MF_IC_COULD_LOGIN] = false;
	row->values[MF_IC_COULD_INSERT] = BoolGetDatum(mf_role_can_insert(table, role));
	row->isnull[MF_IC_COULD_INSERT] = false;
}

/* Our own statements move the states; everybody else corrects what is not sent. */
static HeapTuple
guard_update(TriggerData *trigger)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	MfInvoiceRow before;
	MfInvoiceRow after;
	MfStatus	from;
	const MfAccount *account;
	bool		moved;
	bool		renamed;
	int			column;

	if (mf_sql_fired_trigger())
	{
		mf_check_proposed_row(trigger);
		mf_check_transition(trigger->tg_trigslot, trigger->tg_newslot);
		return trigger->tg_newtuple;
	}

	deform(trigger->tg_trigtuple, desc, &before);
	deform(trigger->tg_newtuple, desc, &after);
	from = mf_status_of(before.values[MF_IC_STATUS]);

	if (!mf_same_column(desc, &before, &after, MF_IC_ID))
		mf_row_refuse_result(trigger->tg_relation, MF_IC_ID);
	for (column = MF_IC_REFERENCE; column <= MF_IC_ERASED_AT; column++)
	{
		if (!mf_same_column(desc, &before, &after, column))
			mf_row_refuse_result(trigger->tg_relation, column);
	}

	mf_check_row_right(DatumGetInt64(before.values[MF_IC_ID]), RelationGetRelid(trigger->tg_relation),
					   DatumGetObjectId(before.values[MF_IC_CREATED_BY_ID]));

	if (!mf_same_column(desc, &before, &after, MF_IC_METADATA))
		mf_row_check_metadata(&after, trigger->tg_relation);

	/* as of ON CONFLICT DO UPDATE that only wants the row back; to set the account may mean to take it over */
	if (same_fields(desc, &before, &after) && !sets_account(trigger))
		return trigger->tg_newtuple;

	if (from != MF_STATUS_QUEUED && from != MF_STATUS_REJECTED)
		refuse_late_change(DatumGetInt64(before.values[MF_IC_ID]), from);

	account = check_row(&after, trigger->tg_relation, 0);
	set_currency(&after, account);
	moved = !mf_same_column(desc, &before, &after, MF_IC_ACCOUNT) || takes_over(trigger, &before, account);
	renamed = from == MF_STATUS_QUEUED && !mf_same_column(desc, &before, &after, MF_IC_CUSTOMER_NAME + MF_SP_CUSTOMER_REFERENCE);
	if (moved || renamed)
	{
		bool		may_exist = mf_queue_may_exist(RelationGetNamespace(trigger->tg_relation),
												   DatumGetInt64(before.values[MF_IC_ID]));

		if (may_exist && moved)
			refuse_to_move(DatumGetInt64(before.values[MF_IC_ID]));

		/* what was never sent may still follow the user's own reference */
		if (renamed && !may_exist && DatumGetInt32(after.values[MF_IC_ATTEMPTS]) == 0)
			set_reference(&after);
	}
	if (moved)
	{
		mf_row_check_usage(trigger->tg_relation, account);
		set_sender(&after, RelationGetRelid(trigger->tg_relation), account);
	}
	return reform(trigger->tg_newtuple, desc, &after);
}

/* What has left, or may have, is as the customer sees it: a second one beside it would be paid twice. */
static void
refuse_late_change(int64 invoice, MfStatus status)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("invoice %lld can no longer be changed", (long long) invoice),
			 errdetail("Its status is \"%s\".", mf_status_name(status)),
			 status == MF_STATUS_SENT ?
			 errhint("Its link can be paid. Cancel it in the MyFatoorah portal first, then insert a new one.") :
			 status == MF_STATUS_CANCELLED ?
			 errhint("It is not sent any more; insert a new one.") :
			 status == MF_STATUS_REVIEW ?
			 errhint("Decide about it first: SELECT next_step FROM mf_review WHERE id = %lld.", (long long) invoice) :
			 errhint("It may exist already. Wait for its outcome, or call mf_cancel(%lld), and insert a new one once it is cancelled.",
					 (long long) invoice)));
}

/* Whether no field that users set has changed. */
static bool
same_fields(TupleDesc desc, const MfInvoiceRow *before, const MfInvoiceRow *after)
{
	int			column = MF_IC_ACCOUNT;

	while (column < MF_IC_REFERENCE && mf_same_column(desc, before, after, column))
		column++;
	return column == MF_IC_REFERENCE;
}

static bool
sets_account(TriggerData *trigger)
{
	return bms_is_member(MF_IC_ACCOUNT - FirstLowInvalidHeapAttributeNumber, trigger->tg_updatedcols);
}

/*
 * Whether a row that waits because its role may not send it any more is sent by
 * the current one from now on, which has set the account, perhaps to the same.
 */
static bool
takes_over(TriggerData *trigger, const MfInvoiceRow *row, const MfAccount *account)
{
	MfSender	sender;

	sender.role = DatumGetObjectId(row->values[MF_IC_CREATED_BY_ID]);
	sender.could_login = DatumGetBool(row->values[MF_IC_COULD_LOGIN]);
	sender.could_insert = DatumGetBool(row->values[MF_IC_COULD_INSERT]);
	return sets_account(trigger) &&
		mf_sender_refusal(account, RelationGetRelid(trigger->tg_relation), &sender) != NULL;
}

/* Under another account a look-up would not find it, and a second one would be made. */
static void
refuse_to_move(int64 invoice)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("invoice %lld cannot be given to another account", (long long) invoice),
			 errdetail("It may have been made under this one already, by a request or by another server."),
			 errhint("Cancel it with mf_cancel(%lld), and insert a new one if the MyFatoorah portal does not show it.",
					 (long long) invoice)));
}

/* An unfinished invoice is not lost by mistake. */
static void
guard_delete(TriggerData *trigger)
{
	MfInvoiceRow row;
	MfStatus	status;

	/* it is archived, and what hangs on it, too */
	if (mf_sql_fired_trigger())
		return;
	deform(trigger->tg_trigtuple, RelationGetDescr(trigger->tg_relation), &row);
	status = mf_status_of(row.values[MF_IC_STATUS]);
	if (status != MF_STATUS_SENT && status != MF_STATUS_CANCELLED && status != MF_STATUS_REJECTED)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("invoice %lld cannot be deleted",
						(long long) DatumGetInt64(row.values[MF_IC_ID])),
				 errdetail("Its status is \"%s\".", mf_status_name(status)),
				 status == MF_STATUS_REVIEW ?
				 errhint("Decide about it first with mf_resolve(%lld, 'abandon', 'reason').",
						 (long long) DatumGetInt64(row.values[MF_IC_ID])) :
				 errhint("Cancel it first with mf_cancel(%lld), or wait until it is sent.",
						 (long long) DatumGetInt64(row.values[MF_IC_ID]))));
	mf_invoice_deleted(RelationGetNamespace(trigger->tg_relation), DatumGetInt64(row.values[MF_IC_ID]),
					   row.isnull[MF_IC_INVOICE_ID] ? 0 : DatumGetInt64(row.values[MF_IC_INVOICE_ID]));
}

static void
guard_truncate(TriggerData *trigger)
{
	Oid			schema = RelationGetNamespace(trigger->tg_relation);
	int64		unfinished;

	/* TRUNCATE takes away what the transaction does not see */
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("mf_invoice cannot be truncated in a transaction of isolation level %s",
						GetConfigOption("transaction_isolation", false, false)),
				 errhint("Truncate it in a transaction of isolation level read committed.")));
	unfinished = mf_queue_size(schema);
	if (unfinished > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("mf_invoice cannot be truncated"),
				 errdetail_plural("%lld invoice is not finished.", "%lld invoices are not finished.",
								  (unsigned long) unfinished, (long long) unfinished),
				 errhint("Cancel them with mf_cancel(id), or wait until they are sent.")));
	if (mf_archive_has_rows(schema))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("mf_invoice cannot be truncated"),
				 errdetail("Invoices of it are archived, and their ids are not to be given again."),
				 errhint("TRUNCATE mf_invoice_archive, mf_archive_key first, if they are not wanted any more.")));
	mf_invoices_truncated(schema);
}

/* Everything that can be known early about the user's own columns; the account. */
static const MfAccount *
check_row(MfInvoiceRow *row, Relation table, int64 number)
{
	RowPlace	place = {row, number};
	const MfAccount *account;
	ErrorContextCallback context;

	context.callback = row_context;
	context.arg = &place;
	context.previous = error_context_stack;
	error_context_stack = &context;
	account = mf_row_check(row, table, NULL);
	error_context_stack = context.previous;
	return account;
}

/* Which of many rows an error is about, by the name that the user has for it. */
static void
row_context(void *argument)
{
	const RowPlace *place = (const RowPlace *) argument;
	const MfInvoiceRow *row = place->row;
	int			column = MF_IC_CUSTOMER_NAME + MF_SP_CUSTOMER_REFERENCE;
	struct varlena *reference = (struct varlena *) DatumGetPointer(row->values[column]);

	/* nothing may fail here: what would have to be fetched first is not told */
	if (!row->isnull[column] && !VARATT_IS_EXTERNAL(reference) && !VARATT_IS_COMPRESSED(reference))
	{
		const char *text = VARDATA_ANY(reference);

		errcontext("invoice with customer_reference \"%.*s\"",
				   pg_mbcliplen(text, (int) VARSIZE_ANY_EXHDR(reference), MF_CUSTOMER_REFERENCE_MAX), text);
	}
	/* of one row alone it goes without saying */
	if (place->number > 1)
		errcontext("row %lld of those that the statement inserts into mf_invoice", (long long) place->number);
}

/* When a queued invoice is to be sent by the options of its account. */
static TimestampTz
due_time(const MfInvoiceRow *row)
{
	return mf_send_due(mf_account_get(TextDatumGetCString(row->values[MF_IC_ACCOUNT])),
					   DatumGetTimestampTz(row->values[MF_IC_SEND_AT]),
					   !mf_text_is(row->values[MF_IC_CUSTOMER_NAME + MF_SP_NOTIFICATION_OPTION], "LNK"),
					   GetCurrentTransactionStartTimestamp());
}

/* Takes a tuple apart. */
static void
deform(HeapTuple tuple, TupleDesc desc, MfInvoiceRow *row)
{
	Datum	   *values;
	bool	   *isnull;

	if (desc->natts == MF_IC_END - 1)
	{
		heap_deform_tuple(tuple, desc, &row->values[1], &row->isnull[1]);
		return;
	}
	values = (Datum *) palloc(desc->natts * sizeof(Datum));
	isnull = (bool *) palloc(desc->natts * sizeof(bool));
	heap_deform_tuple(tuple, desc, values, isnull);
	memcpy(&row->values[1], values, (MF_IC_END - 1) * sizeof(Datum));
	memcpy(&row->isnull[1], isnull, (MF_IC_END - 1) * sizeof(bool));
}

/* Puts a tuple together again, with columns that we do not know as they were. */
static HeapTuple
reform(HeapTuple tuple, TupleDesc desc, MfInvoiceRow *row)
{
	HeapTuple	result;
	int			columns[MF_IC_END];
	int			i;

	if (desc->natts == MF_IC_END - 1)
	{
		/* all columns are in our hands: it need not be taken apart once more */
		result = heap_form_tuple(desc, &row->values[1], &row->isnull[1]);
		result->t_data->t_ctid = tuple->t_data->t_ctid;
		result->t_self = tuple->t_self;
		result->t_tableOid = tuple->t_tableOid;
		return result;
	}
	for (i = 0; i < MF_IC_END - 1; i++)
		columns[i] = i + 1;
	return heap_modify_tuple_by_cols(tuple, desc, MF_IC_END - 1, columns, &row->values[1], &row->isnull[1]);
}

/*
 * AFTER trigger of mf_invoice: by statement and transition table for INSERT,
 * by row for UPDATE of what the agenda knows.
 */
Datum
mf_invoice_enqueue(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Oid			schema;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigger->tg_event) || !fired_by_mf_invoice(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called as AFTER trigger of mf_invoice", "mf_invoice_enqueue")));

	schema = RelationGetNamespace(trigger->tg_relation);
	if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
	{
		bool		restored = TransactionIdIsValid(restored_in) && restored_in == GetTopTransactionIdIfAny();
		bool		in_use = false;
		uint64		entries;

		mf_archive_check_insert(schema, trigger);
		entries = mf_queue_insert(schema, trigger, restored ? &in_use : NULL);
		if (in_use)
		{
			mf_queue_pause(schema, MF_ALL_ACCOUNTS, MF_PAUSED_BY_RESTORE,
						   "invoices were restored; the server they come from may send them and ask about them, too");
			ereport(WARNING,
					(errmsg("sending is paused because invoices were restored"),
					 errhint("Make sure that the server they come from does not send them, then call mf_resume('*').")));
		}
		if (entries > 0 && mf_shared == NULL)
		{
			const char *libraries = GetConfigOption("shared_preload_libraries", true, false);

			ereport(WARNING,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("invoices are stored but will not be sent"),
					 errdetail("The library myfatoorah is not in shared_preload_libraries, so no worker is running."),
					 errhint("Add this line to postgresql.conf and restart the server: shared_preload_libraries = '%s%s%s'",
							 libraries ? libraries : "", libraries && libraries[0] ? "," : "", MF_EXTENSION)));
		}
	}
	else
	{
		TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
		MfInvoiceRow before;
		MfInvoiceRow after;
		char	   *changes;

		deform(trigger->tg_trigtuple, desc, &before);
		deform(trigger->tg_newtuple, desc, &after);
		if (!after.isnull[MF_IC_IDEMPOTENCY_KEY] &&
			!(mf_same_column(desc, &before, &after, MF_IC_IDEMPOTENCY_KEY) && mf_same_column(desc, &before, &after, MF_IC_ACCOUNT)))
			mf_archive_check_key(schema, after.values[MF_IC_ACCOUNT], after.values[MF_IC_IDEMPOTENCY_KEY]);
		changes = mf_edit_text(desc, &before, &after);
		if (changes != NULL)
			mf_queue_note_edit(schema, DatumGetInt64(after.values[MF_IC_ID]),
							   mf_status_name(mf_status_of(after.values[MF_IC_STATUS])),
							   DatumGetInt32(after.values[MF_IC_ATTEMPTS]), changes);
		if (mf_same_column(desc, &before, &after, MF_IC_ACCOUNT) &&
			mf_same_column(desc, &before, &after, MF_IC_SEND_AT) &&
			mf_same_column(desc, &before, &after, MF_IC_PRIORITY) &&
			mf_same_column(desc, &before, &after, MF_IC_CUSTOMER_NAME + MF_SP_NOTIFICATION_OPTION))
			return PointerGetDatum(NULL);
		mf_queue_reschedule(schema, DatumGetInt64(after.values[MF_IC_ID]),
							TextDatumGetCString(after.values[MF_IC_ACCOUNT]),
							DatumGetTimestampTz(after.values[MF_IC_SEND_AT]), due_time(&after),
							DatumGetInt16(after.values[MF_IC_PRIORITY]),
							DatumGetTimestampTz(after.values[MF_IC_CREATED_AT]));
		mf_wake_account_at_commit(TextDatumGetCString(after.values[MF_IC_ACCOUNT]));
	}

	return PointerGetDatum(NULL);
}
