/*
 * operation_functions.c
 *	  What people have done about paid invoices: refunds, captures and releases.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/operation_functions.c
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "database/function_args.h"
#include "functions/invoice_actions.h"
#include "process/wakeup.h"
#include "store/ledger.h"
#include "store/operations.h"
#include "store/row_rights.h"

static MfOperation *checked_refund(Oid schema, int64 id, bool lock);
static char *portal_refund_id(FunctionCallInfo fcinfo, const MfOperation *operation);
static Datum settle(FunctionCallInfo fcinfo, MfOperationKind kind, int reason);
static const char *capture_value(FunctionCallInfo fcinfo, int64 id, const MfRefundedInvoice *invoice);

PG_FUNCTION_INFO_V1(mf_refundable);
PG_FUNCTION_INFO_V1(mf_cancel_refund);
PG_FUNCTION_INFO_V1(mf_retry_refund);
PG_FUNCTION_INFO_V1(mf_resolve_refund);
PG_FUNCTION_INFO_V1(mf_capture);
PG_FUNCTION_INFO_V1(mf_release);
PG_FUNCTION_INFO_V1(mf_cancel_capture);

/* What can still be refunded of an invoice or a payment; null if there is none that the role sees. */
Datum
mf_refundable(PG_FUNCTION_ARGS)
{
	Oid			schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	int64		invoice;
	char	   *left;

	mf_require_argument(fcinfo, 0, "invoice");
	invoice = PG_GETARG_INT64(0);
	if (mf_is_under_policies(schema) && !mf_queue_is_visible(schema, invoice))
		PG_RETURN_NULL();
	left = mf_operations_refundable(schema, invoice, mf_optional_text(fcinfo, 1));
	if (left == NULL)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(DirectFunctionCall3(numeric_in, CStringGetDatum(left), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
}

/* The refund of the first argument, which the current role may change, locked. */
static MfOperation *
locked_refund(FunctionCallInfo fcinfo)
{
	Oid			schema = get_func_namespace(fcinfo->flinfo->fn_oid);

	mf_require_argument(fcinfo, 0, "id");
	/* whoever may not change it does not wait for its lock */
	(void) checked_refund(schema, PG_GETARG_INT64(0), false);
	return checked_refund(schema, PG_GETARG_INT64(0), true);
}

static MfOperation *
checked_refund(Oid schema, int64 id, bool lock)
{
	MfOperation *operation = mf_operation_read(schema, id, lock);

	if (operation == NULL || operation->kind != MF_OPERATION_REFUND ||
		(mf_is_under_policies(schema) && !mf_queue_is_visible(schema, operation->invoice)))
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("refund %lld does not exist", (long long) id),
				 errhint("Give the column \"id\" of mf_refund, not \"refund_id\". If its invoice is archived, mf_unarchive() brings that back.")));
	mf_check_row_right(operation->invoice, get_relname_relid("mf_invoice", schema), operation->owner.role);
	return operation;
}

static char *
required_reason(FunctionCallInfo fcinfo, int number)
{
	char	   *reason = mf_reason_argument(fcinfo, number);

	if (reason == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("reason must not be empty"),
				 errhint("Give the reason for the history, such as 'portal shows refund 275988'.")));
	return reason;
}

static void
begin_change(MfOperationChange *change, const MfOperation *operation, const char *reason)
{
	mf_operation_change_begin(change, operation, mf_acting_role());
	change->lookups = 0;
	change->error = NULL;
	change->reason = reason;
}

static void
refuse(const MfOperation *operation, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("this cannot be done to refund %lld", (long long) operation->id),
			 errdetail("Its status is \"%s\".", mf_operation_status_name(operation->status)),
			 errhint("%s", dgettext(TEXTDOMAIN, hint))));
}

/* A refund that is queued is not asked for. */
Datum
mf_cancel_refund(PG_FUNCTION_ARGS)
{
	MfOperation *operation = locked_refund(fcinfo);
	MfOperationChange change;
	char	   *reason = mf_reason_argument(fcinfo, 1);

	if (operation->status != MF_OPERATION_QUEUED)
		refuse(operation, gettext_noop("Only a refund that is queued can be cancelled. A filed one is cancelled in the MyFatoorah portal."));
	begin_change(&change, operation, reason ? reason : "cancelled");
	change.to = MF_OPERATION_CANCELLED;
	mf_operation_apply_alone(get_func_namespace(fcinfo->flinfo->fn_oid), &change);
	PG_RETURN_VOID();
}

/* A refund that was refused, or about which a person has decided, is asked for anew, once it was looked up. */
Datum
mf_retry_refund(PG_FUNCTION_ARGS)
{
	Oid			schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	MfOperation *operation = locked_refund(fcinfo);
	MfOperationChange change;
	char	   *reason = required_reason(fcinfo, 1);
	MfRefundedInvoice *invoice;

	if (operation->status != MF_OPERATION_REFUSED && operation->status != MF_OPERATION_REVIEW)
		refuse(operation, gettext_noop("Only a refund that was refused, or is in review, can be asked for again."));
	if (operation->reference == NULL || operation->refund_id != NULL)
		refuse(operation, gettext_noop("MyFatoorah has this refund. Insert a new one."));
	if (operation->possible_id != NULL)
		refuse(operation, psprintf(dgettext(TEXTDOMAIN, "MyFatoorah lists RefundId %s of the same amount, which may be this one. If it is not, insert a new refund."),
								   operation->possible_id));
	invoice = mf_operations_lock_invoice(schema, operation->invoice, NULL, NULL);
	if (operation->status == MF_OPERATION_REFUSED && mf_amount_compare(operation->value, invoice->left) > 0)
		refuse(operation, psprintf(dgettext(TEXTDOMAIN, "What is left to be refunded is %s."), invoice->left));
	begin_change(&change, operation, psprintf("retry: %s", reason));
	change.to = MF_OPERATION_QUEUED;
	change.reference = mf_next_reference(operation->reference);
	change.due = GetCurrentTimestamp();
	mf_operation_apply_alone(schema, &change);
	PG_RETURN_VOID();
}

/* Whether it has a RefundId by a person's decision, which nothing of MyFatoorah confirms. */
static bool
was_resolved(const MfOperation *operation)
{
	return operation->status == MF_OPERATION_FILED && operation->refund_id != NULL && operation->refund_reference == NULL &&
		(operation->answered_id == NULL || strcmp(operation->refund_id, operation->answered_id) != 0);
}

/* A person decides about a refund in review, or anew; MyFatoorah is asked about one that it has. */
Datum
mf_resolve_refund(PG_FUNCTION_ARGS)
{
	MfOperation *operation = locked_refund(fcinfo);
	MfOperationChange change;
	char	   *outcome = mf_required_text(fcinfo, 1, "outcome");
	char	   *reason = required_reason(fcinfo, 2);

	bool		undo = strcmp(outcome, "review") == 0;

	if (undo ? !was_resolved(operation) : operation->status != MF_OPERATION_REVIEW)
		refuse(operation, undo ? gettext_noop("Only a refund with a refund_id that mf_resolve_refund() has given it, and that no list of MyFatoorah has shown, is decided anew.") :
			   gettext_noop("mf_review shows what needs a decision."));
	begin_change(&change, operation, psprintf("%s: %s", outcome, reason));
	if (strcmp(outcome, "filed") == 0)
	{
		change.to = MF_OPERATION_FILED;
		change.refund_id = portal_refund_id(fcinfo, operation);
		change.due = GetCurrentTimestamp();
	}
	else if (!PG_ARGISNULL(3))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("refund_id cannot be given with outcome \"%.40s\"", outcome),
				 errhint("If the portal shows the refund, the outcome is filed.")));
	else if (undo)
	{
		change.to = MF_OPERATION_REVIEW;
		change.refund_id = "0";
		change.error = psprintf("its RefundId was %s by mistake: %s", operation->refund_id, reason);
	}
	else if (strcmp(outcome, "refused") == 0)
	{
		change.to = MF_OPERATION_REFUSED;
		change.error = reason;
	}
	else
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for outcome: \"%.40s\"", outcome),
				 errhint("Valid values are: filed, refused, review.")));
	mf_operation_apply_alone(get_func_namespace(fcinfo->flinfo->fn_oid), &change);
	PG_RETURN_VOID();
}

/* The RefundId in the fourth argument, which no other row has; rows of the portal come under the lock of the invoice, which is ours. */
static char *
portal_refund_id(FunctionCallInfo fcinfo, const MfOperation *operation)
{
	Oid			schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	int64		taken;

	mf_require_argument(fcinfo, 3, "refund_id");
	if (PG_GETARG_INT64(3) <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("refund_id must be greater than zero"),
				 errhint("Give the RefundId that the MyFatoorah portal shows.")));
	taken = mf_operations_find_refund(schema, operation->id, PG_GETARG_INT64(3));
	if (taken != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("refund %lld has RefundId %lld", (long long) taken, (long long) PG_GETARG_INT64(3)),
				 errhint("If the portal shows no other refund, this one was not carried out.")));
	return psprintf(INT64_FORMAT, PG_GETARG_INT64(3));
}

/* The invoice of the first argument, which the current role may have captured, locked. */
static MfRefundedInvoice *
locked_invoice(FunctionCallInfo fcinfo, int64 *id)
{
	mf_require_argument(fcinfo, 0, "invoice");
	*id = PG_GETARG_INT64(0);
	return mf_operations_lock_invoice(get_func_namespace(fcinfo->flinfo->fn_oid), *id, NULL, NULL);
}

Datum
mf_capture(PG_FUNCTION_ARGS)
{
	return settle(fcinfo, MF_OPERATION_CAPTURE, 2);
}

Datum
mf_release(PG_FUNCTION_ARGS)
{
	return settle(fcinfo, MF_OPERATION_RELEASE, 1);
}

/* Has the worker capture or release an authorized payment, once for ever; the id of the row. */
static Datum
settle(FunctionCallInfo fcinfo, MfOperationKind kind, int reason)
{
	Oid			schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	Oid			role = GetUserId();
	MfNewSettling settling;
	MfRefundedInvoice *invoice;
	const MfAccount *account;

	memset(&settling, 0, sizeof(settling));
	invoice = locked_invoice(fcinfo, &settling.invoice);
	account = mf_account_get(invoice->account);
	mf_account_check_usage(account, role);
	if (invoice->settling != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("invoice %lld is captured or released already", (long long) settling.invoice),
				 errdetail("It has: %s.", invoice->settling),
				 errhint("MyFatoorah allows one of them for each invoice. mf_cancel_capture() cancels one that is queued or in review. What is held after a release is captured or given back in the MyFatoorah portal.")));
	if (strcmp(invoice->payment_status, "authorized") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("invoice %lld is not authorized", (long long) settling.invoice),
				 errdetail("Its payment_status is \"%s\".", invoice->payment_status),
				 errhint("SELECT * FROM mf_hold shows what can be captured.")));
	settling.kind = kind;
	if (kind == MF_OPERATION_CAPTURE)
		settling.value = capture_value(fcinfo, settling.invoice, invoice);
	settling.currency = account->currency;
	settling.reference = text_to_cstring(mf_new_reference(NULL, 0));
	settling.reason = mf_reason_argument(fcinfo, reason);
	settling.created_by = GetUserNameFromId(role, false);
	settling.sender.role = role;
	settling.sender.could_login = mf_role_can_login(role);
	settling.sender.could_insert = mf_role_can_insert(get_relname_relid("mf_refund", schema), role);
	mf_news_at_commit(MF_NEWS_OPERATIONS);
	PG_RETURN_INT64(mf_operations_add(schema, &settling));
}

/* The amount in the second argument, or all that was authorized */
static const char *
capture_value(FunctionCallInfo fcinfo, int64 id, const MfRefundedInvoice *invoice)
{
	const char *value;

	if (invoice->base_value == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the value of invoice %lld in the currency of its account is not known yet", (long long) id),
				 errhint("SELECT mf_refresh(%lld) has MyFatoorah asked.", (long long) id)));
	if (PG_ARGISNULL(1))
		return invoice->base_value;
	value = DatumGetCString(DirectFunctionCall1(numeric_out, PG_GETARG_DATUM(1)));
	if (numeric_is_nan(PG_GETARG_NUMERIC(1)) || mf_amount_compare(value, "0") <= 0 ||
		mf_amount_compare(value, invoice->base_value) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("value must be greater than zero, and at most %s", invoice->base_value)));
	if (DatumGetInt32(DirectFunctionCall1(numeric_min_scale, PG_GETARG_DATUM(1))) > MF_VALUE_SCALE_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("value has more than %d decimals", MF_VALUE_SCALE_MAX),
				 errhint("Round it first.")));
	return value;
}

/* A capture or release that is queued, or that a person has looked up, is not asked for. */
Datum
mf_cancel_capture(PG_FUNCTION_ARGS)
{
	Oid			schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	MfOperation *operation = NULL;
	MfOperationChange change;
	char	   *reason = mf_reason_argument(fcinfo, 1);
	int64		invoice;
	int64		id;

	(void) locked_invoice(fcinfo, &invoice);
	id = mf_operations_find_settling(schema, invoice);
	if (id != 0)
		operation = mf_operation_read(schema, id, true);
	if (operation == NULL || (operation->status != MF_OPERATION_QUEUED && operation->status != MF_OPERATION_REVIEW))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("invoice %lld has no capture or release to cancel", (long long) invoice),
				 errhint("Only one that is queued or in review can be cancelled. Give the column \"id\" of mf_invoice, not what mf_capture() has returned.")));
	begin_change(&change, operation, reason ? reason : "cancelled");
	change.to = MF_OPERATION_CANCELLED;
	mf_operation_apply_alone(schema, &change);
	PG_RETURN_VOID();
}
