/*
 * operation_trigger.c
 *	  The trigger of mf_operation: validates refunds, and gives them references.
 *
 * The invoice is locked, so that sessions that refund the same invoice come one after
 * the other, and what is left of it is read whatever the snapshot.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/triggers/operation_trigger.c
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "base/settings.h"
#include "process/database_identity.h"
#include "process/wakeup.h"
#include "store/ledger.h"
#include "store/operations.h"
#include "store/queue_pause.h"
#include "store/row_rights.h"

/* Attribute numbers of mf_operation, as in the install script */
typedef enum OperationColumn
{
	OC_ID = 1,
	OC_INVOICE,
	OC_ACCOUNT,
	OC_KIND,
	OC_VALUE,
	OC_PAYMENT_ID,
	OC_CHARGE_ON_CUSTOMER,
	OC_COMMENT,
	OC_SUPPLIERS,
	OC_IDEMPOTENCY_KEY,
	OC_REFERENCE,
	OC_STATUS,
	OC_CURRENCY,
	OC_REFUND_ID,				/* the first of the results, up to OC_ATTEMPTS */
	OC_ATTEMPTS = 21,
	OC_CREATED_AT,
	OC_CREATED_BY,
	OC_CREATED_BY_ID,
	OC_COULD_LOGIN,
	OC_COULD_INSERT,
	OC_DUE,
	OC_LOOKUPS,
	OC_ASKED_AT,
	OC_ORIGIN,
	OC_END						/* one more than the last */
} OperationColumn;

static void set_error_column(void *argument);
static int	about_column(const char *name);
static void check_values(MfRow *row);
static void check_suppliers(MfRow *row, Oid schema);
static void check_invoice(MfRow *row, const TriggerData *trigger);
static void refuse_value(const char *left, int64 invoice);
static void set_new_row(MfRow *row, const TriggerData *trigger, const MfRefundedInvoice *invoice);
static void set_restored(MfRow *row, const TriggerData *trigger);

PG_FUNCTION_INFO_V1(mf_operation_guard);

/* BEFORE INSERT of mf_operation */
Datum
mf_operation_guard(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	MfRow		row;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ||
		strcmp(RelationGetRelationName(trigger->tg_relation), "mf_operation") != 0 ||
		RelationGetNamespace(trigger->tg_relation) != get_func_namespace(fcinfo->flinfo->fn_oid))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called as BEFORE trigger of mf_operation", "mf_operation_guard")));
	if (mf_sql_fired_trigger())
		return PointerGetDatum(trigger->tg_trigtuple);
	desc = RelationGetDescr(trigger->tg_relation);
	if (desc->natts < OC_END - 1)
		elog(ERROR, "table mf_operation is older than the library");
	mf_row_read(trigger->tg_trigtuple, desc, &row);
	/* what must not be null is refused after the triggers */
	if (row.isnull[OC_KIND] || row.isnull[OC_STATUS])
		return PointerGetDatum(trigger->tg_trigtuple);
	/* what has a result comes from a dump */
	if (!row.isnull[OC_REFERENCE] || !row.isnull[OC_REFUND_ID] || !mf_text_is(row.values[OC_STATUS], "queued"))
		set_restored(&row, trigger);
	else
	{
		check_values(&row);
		if (!row.isnull[OC_SUPPLIERS])
			check_suppliers(&row, RelationGetNamespace(trigger->tg_relation));
		check_invoice(&row, trigger);
		mf_news_at_commit(MF_NEWS_OPERATIONS);
	}
	return PointerGetDatum(mf_row_tuple(trigger->tg_trigtuple, desc, &row));
}

static void
clear(MfRow *row, OperationColumn column)
{
	row->values[column] = (Datum) 0;
	row->isnull[column] = true;
}

/* palloc'd; NULL if it is null */
static char *
text_of(const MfRow *row, OperationColumn column)
{
	return row->isnull[column] ? NULL : TextDatumGetCString(row->values[column]);
}

/*
 * Trims a text, or makes it null if nothing is left.  A key is stored as it was given, and must not be blank.
 * Either is refused if it is too long without blanks around it.
 */
static void
clean(MfRow *row, OperationColumn column, const char *name, int max)
{
	ErrorContextCallback context = {error_context_stack, set_error_column, unconstify(char *, name)};
	char	   *text = text_of(row, column);

	if (text == NULL)
		return;
	error_context_stack = &context;
	text = mf_clean_text(text, MF_CLEAN_TEXT);
	if (pg_mbstrlen(text) > max)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s is too long", name),
				 errdetail("It has %d characters; the limit is %d.", pg_mbstrlen(text), max)));
	if (text[0] == '\0' && column == OC_IDEMPOTENCY_KEY)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("idempotency_key must not be blank"),
				 errhint("Give a key that no other refund of the account has, or leave it out.")));
	error_context_stack = context.previous;
	if (text[0] == '\0')
		clear(row, column);
	else if (column != OC_IDEMPOTENCY_KEY)
		mf_row_set(row, column, CStringGetTextDatum(text));
}

/* Error context callback: an error is one of that column. */
static void
set_error_column(void *argument)
{
	(void) about_column((const char *) argument);
}

/* In ereport(): the error is one of that column. */
static int
about_column(const char *name)
{
	err_generic_string(PG_DIAG_TABLE_NAME, "mf_refund");
	return err_generic_string(PG_DIAG_COLUMN_NAME, name);
}

/* What can be said of the values without the invoice */
static void
check_values(MfRow *row)
{
	Numeric		value;

	if (!mf_text_is(row->values[OC_KIND], "refund"))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("only refunds can be inserted"),
				 errhint("Insert them into mf_refund.")));
	if (row->isnull[OC_INVOICE] || row->isnull[OC_VALUE])
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION),
				 about_column(row->isnull[OC_INVOICE] ? "invoice" : "value"),
				 errmsg("%s must not be null", row->isnull[OC_INVOICE] ? "invoice" : "value"),
				 errhint("SELECT mf_refundable(id) tells how much can be refunded of an invoice.")));
	value = DatumGetNumeric(row->values[OC_VALUE]);
	if (numeric_is_nan(value) || numeric_is_inf(value) ||
		DatumGetBool(DirectFunctionCall2(numeric_le, NumericGetDatum(value), DirectFunctionCall1(int4_numeric, Int32GetDatum(0)))))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 about_column("value"),
				 errmsg("value must be greater than zero")));
	if (DatumGetInt32(DirectFunctionCall1(numeric_min_scale, NumericGetDatum(value))) > MF_VALUE_SCALE_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 about_column("value"),
				 errmsg("value has more than %d decimals", MF_VALUE_SCALE_MAX),
				 errhint("Round it first.")));
	clean(row, OC_COMMENT, "comment", MF_TEXT_MAX);
	clean(row, OC_PAYMENT_ID, "payment_id", MF_TEXT_MAX);
	clean(row, OC_IDEMPOTENCY_KEY, "idempotency_key", MF_IDEMPOTENCY_KEY_MAX);
}

static void
check_suppliers(MfRow *row, Oid schema)
{
	Size		size = toast_raw_datum_size(row->values[OC_SUPPLIERS]) - VARHDRSZ;
	const char *value = DatumGetCString(DirectFunctionCall1(numeric_out, row->values[OC_VALUE]));
	const char *sum;

	if (size > MF_BODY_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 about_column("suppliers"),
				 errmsg("%s is too large", "suppliers"),
				 errdetail("It takes %zu bytes; the limit is %zu.", size, (size_t) MF_BODY_MAX),
				 errhint("Refund it in parts.")));
	sum = mf_operations_suppliers_sum(schema, row->values[OC_SUPPLIERS]);
	if (sum == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 about_column("suppliers"),
				 errmsg("suppliers is not what MyFatoorah expects"),
				 errhint("Give an array: [{\"SupplierCode\": 1, \"SupplierDeductedAmount\": 5}], with amounts of at most %d decimals, each supplier once.",
						 MF_VALUE_SCALE_MAX)));
	if (mf_amount_compare(sum, value) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 about_column("suppliers"),
				 errmsg("the suppliers bear %s, which is more than the refund of %s", sum, value)));
	if (!row->isnull[OC_CHARGE_ON_CUSTOMER] && DatumGetBool(row->values[OC_CHARGE_ON_CUSTOMER]))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 about_column("charge_on_customer"),
				 errmsg("charge_on_customer cannot be combined with suppliers"),
				 errdetail("MyFatoorah's MakeSupplierRefund has no such member.")));
}

/* Locks the invoice, and checks rights and what is left. */
static void
check_invoice(MfRow *row, const TriggerData *trigger)
{
	Oid			schema = RelationGetNamespace(trigger->tg_relation);
	int64		id = DatumGetInt64(row->values[OC_INVOICE]);
	const char *value = DatumGetCString(DirectFunctionCall1(numeric_out, row->values[OC_VALUE]));
	char	   *payment_id = text_of(row, OC_PAYMENT_ID);
	const MfRefundedInvoice *invoice = mf_operations_lock_invoice(schema, id, payment_id, text_of(row, OC_IDEMPOTENCY_KEY));

	set_new_row(row, trigger, invoice);
	/* the row is there already: the unique index says so, or ON CONFLICT takes that */
	if (invoice->key_taken)
		return;
	if (mf_amount_compare(invoice->left, "0") <= 0 || mf_amount_compare(value, invoice->left) > 0)
		refuse_value(invoice->left, id);
	if (payment_id != NULL && invoice->payment_left == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 about_column("payment_id"),
				 errmsg("invoice %lld has no payment with PaymentId %s", (long long) id, payment_id),
				 errhint("SELECT payment_id, amount FROM mf_ledger WHERE kind = 'payment' AND invoice = %lld shows its payments.",
						 (long long) id)));
	if (payment_id != NULL && mf_amount_compare(value, invoice->payment_left) > 0)
		refuse_value(invoice->payment_left, id);
	if (invoice->disputed != NULL)
		ereport(WARNING,
				(errmsg("a payment of invoice %lld is disputed", (long long) id),
				 errdetail("Dispute %s is pending. The payer's bank may take the payment back by itself, beside this refund.",
						   invoice->disputed),
				 errhint("SELECT * FROM mf_dispute WHERE invoice = %lld shows it. To wait for its end, roll back, or: SELECT mf_cancel_refund(%lld)",
						 (long long) id, (long long) DatumGetInt64(row->values[OC_ID]))));
}

static void
refuse_value(const char *left, int64 invoice)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 about_column("value"),
			 errmsg("invoice %lld has less than that to be refunded", (long long) invoice),
			 errdetail("What is left is %s: what was received, less refunds that are not refused or cancelled, and chargebacks.",
					   left),
			 errhint("SELECT * FROM mf_refund WHERE invoice = %lld shows its refunds.", (long long) invoice)));
}

/*
 * Sets the columns that are not for the caller to give: no results yet, and what comes from
 * the invoice, its account and the role.  Raises an error if the role may not use the account.
 */
static void
set_new_row(MfRow *row, const TriggerData *trigger, const MfRefundedInvoice *invoice)
{
	Oid			role = GetUserId();
	const MfAccount *account = mf_account_get(invoice->account);
	Oid			view = get_relname_relid("mf_refund", RelationGetNamespace(trigger->tg_relation));
	Name		name = (Name) palloc0(NAMEDATALEN);
	int			column;

	mf_account_check_usage(account, role);
	for (column = OC_REFUND_ID; column < OC_ATTEMPTS; column++)
		clear(row, column);
	mf_row_set(row, OC_ATTEMPTS, Int32GetDatum(0));
	clear(row, OC_ASKED_AT);
	mf_row_set(row, OC_ACCOUNT, CStringGetTextDatum(invoice->account));
	mf_row_set(row, OC_CURRENCY, CStringGetTextDatum(invoice->currency ? invoice->currency : account->currency));
	mf_row_set(row, OC_REFERENCE, PointerGetDatum(mf_new_reference(NULL, 0)));
	mf_row_set(row, OC_CREATED_AT, TimestampTzGetDatum(GetCurrentTimestamp()));
	namestrcpy(name, GetUserNameFromId(role, false));
	mf_row_set(row, OC_CREATED_BY, NameGetDatum(name));
	mf_row_set(row, OC_CREATED_BY_ID, ObjectIdGetDatum(role));
	mf_row_set(row, OC_COULD_LOGIN, BoolGetDatum(mf_role_can_login(role)));
	mf_row_set(row, OC_COULD_INSERT, BoolGetDatum(mf_role_can_insert(view, role)));
	mf_row_set(row, OC_DUE, TimestampTzGetDatum(GetCurrentTimestamp()));
	mf_row_set(row, OC_LOOKUPS, Int16GetDatum(0));
	mf_row_set(row, OC_ORIGIN, Int64GetDatum(mf_database_origin(RelationGetNamespace(trigger->tg_relation))));
}

/*
 * A row of a dump stays as it is, but nobody acts on it until a person has decided that
 * this database is the one that does: it may be carried out elsewhere, or was since.
 */
static void
set_restored(MfRow *row, const TriggerData *trigger)
{
	const char *status = text_of(row, OC_STATUS);

	if (!mf_owns_relation(RelationGetRelid(trigger->tg_relation), GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("results of a refund cannot be inserted")));
	if (row->isnull[OC_INVOICE] || row->isnull[OC_ACCOUNT])
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION),
				 about_column(row->isnull[OC_INVOICE] ? "invoice" : "account"),
				 errmsg("%s must not be null", row->isnull[OC_INVOICE] ? "invoice" : "account"),
				 errhint("A row with results is one of a dump, with all of its columns. To ask for a refund, leave status, reference and refund_id out.")));
	mf_row_set(row, OC_CREATED_BY_ID, ObjectIdGetDatum(row->isnull[OC_CREATED_BY] ? InvalidOid :
												get_role_oid(NameStr(*DatumGetName(row->values[OC_CREATED_BY])), true)));
	mf_row_set(row, OC_ORIGIN, Int64GetDatum(0));
	if (strcmp(status, "queued") == 0 || strcmp(status, "sending") == 0 || strcmp(status, "unknown") == 0)
		mf_queue_pause(RelationGetNamespace(trigger->tg_relation), MF_ALL_ACCOUNTS, MF_PAUSED_BY_RESTORE,
					   "refunds were restored; the server they come from may carry them out, too");
}
