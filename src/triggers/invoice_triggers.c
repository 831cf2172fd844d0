/*
 * invoice_triggers.c
 *	  BEFORE triggers of mf_invoice: validate rows, give them references, guard the states.
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
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "database/sql_version.h"
#include "store/archive.h"
#include "store/invoice_lookup.h"
#include "store/operations.h"
#include "store/other_triggers.h"
#include "store/queue.h"
#include "store/recurring.h"
#include "store/row_check.h"
#include "store/row_rights.h"
#include "triggers/invoice_private.h"

/* State of a trigger during one statement */
typedef struct Firing
{
	Oid			relation;		/* mf_invoice */
	bool		countable;		/* the trigger sees every row that the
								 * statement inserts */
	int64		rows;			/* seen so far */
} Firing;

/* The row that an error is about */
typedef struct CheckedRow
{
	const MfRow *row;
	int64		number;			/* within the statement; 0 = not known */
} CheckedRow;

/* The transaction that has inserted rows with their references, as from a dump */
static TransactionId restored_in = InvalidTransactionId;

static void refuse_call(const char *function, bool before);
static bool is_fired_by_invoice(FunctionCallInfo fcinfo);
static int64 count_row(FunctionCallInfo fcinfo);
static const MfAccount *check_row(MfRow *row, Relation table, int64 number);
static void row_context(void *argument);
static HeapTuple guard_insert(TriggerData *trigger, int64 number);
static HeapTuple guard_update(TriggerData *trigger);
static void check_results_unchanged(TriggerData *trigger, TupleDesc desc, const MfRow *before,
									const MfRow *after);
static void refuse_late_change(int64 invoice, MfStatus status);
static void check_same_currency(Relation table, const MfRow *row, const MfAccount *account);
static void refuse_to_move(int64 invoice);
static void guard_delete(TriggerData *trigger);
static void refuse_to_lose_plan(const MfRow *row);
static void guard_truncate(TriggerData *trigger);
static void set_reference(MfRow *row);
static void set_currency(MfRow *row, const MfAccount *account);
static void set_creator(MfRow *row, Oid role);
static void set_sender(MfRow *row, Oid table, const MfAccount *account);
static bool same_fields(TupleDesc desc, const MfRow *before, const MfRow *after);
static bool sets_account(TriggerData *trigger);
static bool takes_over(TriggerData *trigger, const MfRow *row, const MfAccount *account);

PG_FUNCTION_INFO_V1(mf_invoice_proposed);
PG_FUNCTION_INFO_V1(mf_invoice_guard);

/* The first BEFORE UPDATE trigger of mf_invoice: notes the row that a statement of ours proposes. */
Datum
mf_invoice_proposed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = mf_invoice_trigger_data(fcinfo, "mf_invoice_proposed", true);

	if (!TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		refuse_call("mf_invoice_proposed", true);
	if (mf_sql_fired_trigger())
		mf_note_proposed_row(trigger);
	return PointerGetDatum(trigger->tg_newtuple);
}

/*
 * The last BEFORE trigger of mf_invoice.  Only statements of ours change states and
 * results, by transitions that are allowed, whatever role they run as.
 */
Datum
mf_invoice_guard(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = mf_invoice_trigger_data(fcinfo, "mf_invoice_guard", true);

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

TriggerData *
mf_invoice_trigger_data(FunctionCallInfo fcinfo, const char *function, bool before)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!(before ? TRIGGER_FIRED_BEFORE(trigger->tg_event) : TRIGGER_FIRED_AFTER(trigger->tg_event)) ||
		!is_fired_by_invoice(fcinfo))
		refuse_call(function, before);
	return trigger;
}

static void
refuse_call(const char *function, bool before)
{
	ereport(ERROR,
			(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
			 before ?
			 errmsg("function \"%s\" was not called as BEFORE trigger of mf_invoice", function) :
			 errmsg("function \"%s\" was not called as AFTER trigger of mf_invoice", function)));
}

/*
 * Whether the table of the trigger is mf_invoice.  Its columns and the order of its triggers
 * are checked once per statement: the result is kept with the call information of
 * the function.
 */
static bool
is_fired_by_invoice(FunctionCallInfo fcinfo)
{
	Relation	relation = ((TriggerData *) fcinfo->context)->tg_relation;
	Firing	   *firing = (Firing *) fcinfo->flinfo->fn_extra;

	if (firing != NULL && firing->relation == RelationGetRelid(relation))
		return true;
	if (strcmp(RelationGetRelationName(relation), "mf_invoice") != 0 ||
		RelationGetNamespace(relation) != get_func_namespace(fcinfo->flinfo->fn_oid))
		return false;
	mf_sql_require_version();
	if (RelationGetDescr(relation)->natts >= MF_IC_END - 1)
		mf_invoice_check_columns(RelationGetDescr(relation));
	mf_check_trigger_order(relation);
	firing = (Firing *) MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(Firing));
	firing->relation = RelationGetRelid(relation);
	firing->countable = !mf_has_other_triggers(relation, TRIGGER_TYPE_INSERT);
	fcinfo->flinfo->fn_extra = firing;
	return true;
}

/* Number of the row within the statement; 0 if triggers of users may have skipped rows. */
static int64
count_row(FunctionCallInfo fcinfo)
{
	Firing	   *firing = (Firing *) fcinfo->flinfo->fn_extra;

	return firing->countable ? ++firing->rows : 0;
}

bool
mf_invoices_restored(void)
{
	return TransactionIdIsValid(restored_in) && restored_in == GetTopTransactionIdIfAny();
}

/*
 * A new row is validated and gets its reference.  A row that has a reference comes from a
 * dump; the owner of the table may insert it as it is.
 */
static HeapTuple
guard_insert(TriggerData *trigger, int64 number)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	MfRow		row;
	const MfAccount *account;

	/* it comes back from the archive unchanged */
	if (mf_sql_fired_trigger())
		return trigger->tg_trigtuple;

	mf_row_read(trigger->tg_trigtuple, desc, &row);

	if (!row.isnull[MF_IC_REFERENCE])
	{
		if (!mf_owns_relation(RelationGetRelid(trigger->tg_relation), GetUserId()))
			mf_row_refuse_result(trigger->tg_relation, MF_IC_REFERENCE);
		restored_in = GetTopTransactionId();
		/* in the database of the dump, another role may have had that OID */
		set_creator(&row, row.isnull[MF_IC_CREATED_BY] ? InvalidOid :
					get_role_oid(NameStr(*DatumGetName(row.values[MF_IC_CREATED_BY])), true));
		return mf_row_tuple(trigger->tg_trigtuple, desc, &row);
	}

	mf_row_check_results(&row, trigger->tg_relation, NULL);
	mf_row_set(&row, MF_IC_CREATED_AT, TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()));
	account = check_row(&row, trigger->tg_relation, number);
	mf_row_check_usage(trigger->tg_relation, account);

	set_sender(&row, RelationGetRelid(trigger->tg_relation), account);
	set_currency(&row, account);

	set_reference(&row);

	return mf_row_tuple(trigger->tg_trigtuple, desc, &row);
}

/* Gives a row a new unique reference. */
static void
set_reference(MfRow *row)
{
	int			column = MF_IC_CUSTOMER_NAME + MF_SP_CUSTOMER_REFERENCE;
	text	   *own = row->isnull[column] ? NULL : DatumGetTextPP(row->values[column]);
	text	   *reference = own == NULL ? mf_new_reference(NULL, 0) :
		mf_new_reference(VARDATA_ANY(own), VARSIZE_ANY_EXHDR(own));

	mf_row_set(row, MF_IC_REFERENCE, PointerGetDatum(reference));
}

/* The column currency is that of invoice_value. */
static void
set_currency(MfRow *row, const MfAccount *account)
{
	int			column = MF_IC_CUSTOMER_NAME + MF_SP_DISPLAY_CURRENCY_ISO;

	mf_row_set(row, MF_IC_CURRENCY,
					   row->isnull[column] ? CStringGetTextDatum(account->currency) : row->values[column]);
}

/* The creator is known by its OID, because its name may be given to another role. */
static void
set_creator(MfRow *row, Oid role)
{
	mf_row_set(row, MF_IC_CREATED_BY_ID, ObjectIdGetDatum(role));
}

/*
 * The row is sent with the key of the current role, and only with that if the role has
 * a user mapping of its own.  The rights that the role has now are required
 * again when the row is sent.
 */
static void
set_sender(MfRow *row, Oid table, const MfAccount *account)
{
	Oid			role = GetUserId();
	Name		name = (Name) palloc0(NAMEDATALEN);

	namestrcpy(name, GetUserNameFromId(role, false));
	mf_row_set(row, MF_IC_CREATED_BY, NameGetDatum(name));
	set_creator(row, role);
	mf_row_set(row, MF_IC_OWN_KEY, BoolGetDatum(mf_account_has_own_mapping(account, role)));
	mf_row_set(row, MF_IC_COULD_LOGIN, BoolGetDatum(mf_role_can_login(role)));
	mf_row_set(row, MF_IC_COULD_INSERT, BoolGetDatum(mf_role_can_insert(table, role)));
}

/* Our own statements change states; others may only change what was not sent. */
static HeapTuple
guard_update(TriggerData *trigger)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	MfRow		before;
	MfRow		after;
	MfStatus	from;
	const MfAccount *account;
	bool		to_other;
	bool		new_currency;
	bool		moved;
	bool		renamed;

	if (mf_sql_fired_trigger())
	{
		mf_check_proposed_row(trigger);
		mf_check_transition(trigger->tg_trigslot, trigger->tg_newslot);
		return trigger->tg_newtuple;
	}

	mf_row_read(trigger->tg_trigtuple, desc, &before);
	mf_row_read(trigger->tg_newtuple, desc, &after);
	from = mf_status_of(before.values[MF_IC_STATUS]);

	check_results_unchanged(trigger, desc, &before, &after);
	mf_check_row_right(DatumGetInt64(before.values[MF_IC_ID]), RelationGetRelid(trigger->tg_relation),
					   DatumGetObjectId(before.values[MF_IC_CREATED_BY_ID]));

	if (!mf_same_column(desc, &before, &after, MF_IC_METADATA))
		mf_row_check_metadata(&after, trigger->tg_relation);

	/* such as ON CONFLICT DO UPDATE that only returns the row; but setting the same account may take the row over */
	if (same_fields(desc, &before, &after) && !sets_account(trigger))
		return trigger->tg_newtuple;

	if (from != MF_STATUS_QUEUED && from != MF_STATUS_REJECTED)
		refuse_late_change(DatumGetInt64(before.values[MF_IC_ID]), from);

	/* the amount stays one of its currency, even if the account has another one now */
	to_other = !mf_same_column(desc, &before, &after, MF_IC_ACCOUNT);
	new_currency = (to_other && before.isnull[MF_IC_CURRENCY]) ||
		!mf_same_column(desc, &before, &after, MF_IC_CUSTOMER_NAME + MF_SP_DISPLAY_CURRENCY_ISO);
	after.isnull[MF_IC_CURRENCY] |= new_currency;
	account = check_row(&after, trigger->tg_relation, 0);
	if (new_currency)
		set_currency(&after, account);
	else if (to_other)
		check_same_currency(trigger->tg_relation, &after, account);
	moved = to_other || takes_over(trigger, &before, account);
	renamed = from == MF_STATUS_QUEUED &&
		!mf_same_column(desc, &before, &after, MF_IC_CUSTOMER_NAME + MF_SP_CUSTOMER_REFERENCE);
	if (moved || renamed)
	{
		bool		may_exist = mf_queue_may_exist(RelationGetNamespace(trigger->tg_relation),
												   DatumGetInt64(before.values[MF_IC_ID]));

		if (may_exist && moved)
			refuse_to_move(DatumGetInt64(before.values[MF_IC_ID]));

		/* what was never sent gets a reference with the new customer_reference */
		if (renamed && !may_exist && DatumGetInt32(after.values[MF_IC_ATTEMPTS]) == 0)
			set_reference(&after);
	}
	if (moved)
	{
		mf_row_check_usage(trigger->tg_relation, account);
		set_sender(&after, RelationGetRelid(trigger->tg_relation), account);
	}
	return mf_row_tuple(trigger->tg_newtuple, desc, &after);
}

/* Refuses a change of a column that only we write. */
static void
check_results_unchanged(TriggerData *trigger, TupleDesc desc, const MfRow *before, const MfRow *after)
{
	int			column;

	if (!mf_same_column(desc, before, after, MF_IC_ID))
		mf_row_refuse_result(trigger->tg_relation, MF_IC_ID);
	for (column = MF_IC_REFERENCE; column <= MF_IC_TAKEN_OVER_FROM; column++)
	{
		if (!mf_same_column(desc, before, after, column))
			mf_row_refuse_result(trigger->tg_relation, column);
	}
}

/* The customer may have the invoice as it was, and a second one might be paid, too. */
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

/* Whether no field that users set, except metadata, has changed. */
static bool
same_fields(TupleDesc desc, const MfRow *before, const MfRow *after)
{
	int			column = MF_IC_ACCOUNT;

	while (column < MF_IC_REFERENCE && mf_same_column(desc, before, after, column))
		column++;
	return column == MF_IC_REFERENCE;
}

/* Whether the UPDATE names the column account. */
static bool
sets_account(TriggerData *trigger)
{
	return bms_is_member(MF_IC_ACCOUNT - FirstLowInvalidHeapAttributeNumber, trigger->tg_updatedcols);
}

/*
 * Whether the current role takes over a row that waits because its creator may not send
 * it any more, by setting the account, perhaps to the same one.
 */
static bool
takes_over(TriggerData *trigger, const MfRow *row, const MfAccount *account)
{
	MfSender	sender;

	sender.role = DatumGetObjectId(row->values[MF_IC_CREATED_BY_ID]);
	sender.could_login = DatumGetBool(row->values[MF_IC_COULD_LOGIN]);
	sender.could_insert = DatumGetBool(row->values[MF_IC_COULD_INSERT]);
	return sets_account(trigger) &&
		mf_sender_refusal(account, RelationGetRelid(trigger->tg_relation), &sender) != NULL;
}

/* Refuses to move an amount to an account of another currency, unless it is said which of both it is in. */
static void
check_same_currency(Relation table, const MfRow *row, const MfAccount *account)
{
	int			column = MF_IC_CUSTOMER_NAME + MF_SP_DISPLAY_CURRENCY_ISO;
	char	   *currency = TextDatumGetCString(row->values[MF_IC_CURRENCY]);

	if (!row->isnull[column] || strcmp(currency, account->currency) == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("invoice %lld cannot be moved to account \"%s\" as it is", (long long) DatumGetInt64(row->values[MF_IC_ID]), account->name),
			 errdetail("The currency of the account is %s, and that of invoice_value is %s.", account->currency, currency),
			 errhint("Say which one the amount is in, in the same UPDATE: display_currency_iso = '%s', or '%s'.", currency, account->currency),
			 errtablecolname(table, "display_currency_iso")));
}

/* A look-up under another account would not find the invoice, and a second one would be made. */
static void
refuse_to_move(int64 invoice)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("invoice %lld cannot be moved to another account", (long long) invoice),
			 errdetail("It may have been made under this one already, by a request or by another server."),
			 errhint("Cancel it with mf_cancel(%lld), and insert a new one if the MyFatoorah portal does not show it.",
					 (long long) invoice)));
}

/* Refuses to delete an unfinished invoice. */
static void
guard_delete(TriggerData *trigger)
{
	MfRow		row;
	MfStatus	status;

	/* it is being archived, with its rows in other tables */
	if (mf_sql_fired_trigger())
		return;
	mf_row_read(trigger->tg_trigtuple, RelationGetDescr(trigger->tg_relation), &row);
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
	if (mf_operations_unfinished(RelationGetNamespace(trigger->tg_relation), DatumGetInt64(row.values[MF_IC_ID])) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("invoice %lld cannot be deleted",
						(long long) DatumGetInt64(row.values[MF_IC_ID])),
				 errdetail("A refund of it is not finished."),
				 errhint("SELECT * FROM mf_refund WHERE invoice = %lld shows it.",
						 (long long) DatumGetInt64(row.values[MF_IC_ID]))));
	if (!row.isnull[MF_IC_CUSTOMER_NAME + MF_SP_RECURRING_TYPE] &&
		mf_recurring_unended(RelationGetNamespace(trigger->tg_relation), DatumGetInt64(row.values[MF_IC_ID])) > 0)
		refuse_to_lose_plan(&row);
	mf_invoice_deleted(RelationGetNamespace(trigger->tg_relation), DatumGetInt64(row.values[MF_IC_ID]),
					   row.isnull[MF_IC_INVOICE_ID] ? 0 : DatumGetInt64(row.values[MF_IC_INVOICE_ID]));
}

/* Its repetitions would be charged, and get no rows. */
static void
refuse_to_lose_plan(const MfRow *row)
{
	const char *account = quote_literal_cstr(TextDatumGetCString(row->values[MF_IC_ACCOUNT]));

	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("invoice %lld cannot be deleted", (long long) DatumGetInt64(row->values[MF_IC_ID])),
			 errdetail("The recurring payment that it begins has not ended."),
			 row->isnull[MF_IC_RECURRING_ID] ?
			 errhint("SELECT * FROM mf_recurring(%s) shows it, once the invoice is paid; mf_cancel_recurring() ends it.", account) :
			 errhint("End it with mf_cancel_recurring(%s, %s). The row can be deleted once the worker has read that it has ended. If it has ended already, SELECT mf_refresh(%lld) has that read.",
					 quote_literal_cstr(TextDatumGetCString(row->values[MF_IC_RECURRING_ID])), account,
					 (long long) DatumGetInt64(row->values[MF_IC_ID]))));
}

static void
guard_truncate(TriggerData *trigger)
{
	Oid			schema = RelationGetNamespace(trigger->tg_relation);
	int64		unfinished;

	/* TRUNCATE also removes rows that the snapshot does not show */
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("mf_invoice cannot be truncated in a transaction of isolation level %s",
						GetConfigOption("transaction_isolation", false, false)),
				 errhint("Truncate it in a transaction of isolation level read committed.")));
	unfinished = mf_queue_size(schema) + mf_operations_unfinished(schema, 0);
	if (unfinished > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("mf_invoice cannot be truncated"),
				 errdetail_plural("%lld invoice is not finished.", "%lld invoices are not finished.",
								  (unsigned long) unfinished, (long long) unfinished),
				 errhint("Cancel them with mf_cancel(id), or wait until they are sent.")));
	unfinished = mf_recurring_unended(schema, 0);
	if (unfinished > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("mf_invoice cannot be truncated"),
				 errdetail_plural("%lld recurring payment has not ended.", "%lld recurring payments have not ended.",
								  (unsigned long) unfinished, (long long) unfinished),
				 errhint("End them with mf_cancel_recurring(). Of those that have ended already, mf_refresh() has that read.")));
	if (mf_archive_has_rows(schema))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("mf_invoice cannot be truncated"),
				 errdetail("Invoices of it are archived, and their ids are not to be given again."),
				 errhint("TRUNCATE mf_invoice_archive, mf_archive_key first, if they are not wanted any more.")));
	mf_invoices_truncated(schema);
}

/* mf_row_check() with an error context that identifies the row; returns the account. */
static const MfAccount *
check_row(MfRow *row, Relation table, int64 number)
{
	CheckedRow	checked = {row, number};
	const MfAccount *account;
	ErrorContextCallback context;

	context.callback = row_context;
	context.arg = &checked;
	context.previous = error_context_stack;
	error_context_stack = &context;
	account = mf_row_check(row, table, NULL);
	error_context_stack = context.previous;
	return account;
}

/* Error context callback: identifies the row by the user's own reference and its number in the statement. */
static void
row_context(void *argument)
{
	const CheckedRow *checked = (const CheckedRow *) argument;
	const MfRow *row = checked->row;
	int			column = MF_IC_CUSTOMER_NAME + MF_SP_CUSTOMER_REFERENCE;
	struct varlena *reference = (struct varlena *) DatumGetPointer(row->values[column]);

	/* nothing may fail here, so a toasted value is left out */
	if (!row->isnull[column] && !VARATT_IS_EXTERNAL(reference) && !VARATT_IS_COMPRESSED(reference))
	{
		const char *text = VARDATA_ANY(reference);

		errcontext("invoice with customer_reference \"%.*s\"",
				   pg_mbcliplen(text, (int) VARSIZE_ANY_EXHDR(reference), MF_CUSTOMER_REFERENCE_MAX), text);
	}
	/* not for the only row of a statement */
	if (checked->number > 1)
		errcontext("row %lld of those that the statement inserts into mf_invoice", (long long) checked->number);
}
