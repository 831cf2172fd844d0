/*
 * operation_functions.c
 *	  What people have done to refunds: mf_refundable(), mf_cancel_refund(),
 *	  mf_retry_refund(), mf_resolve_refund().
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
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/settings.h"
#include "database/function_args.h"
#include "functions/invoice_actions.h"
#include "process/wakeup.h"
#include "store/invoice_lookup.h"
#include "store/ledger.h"
#include "store/operations.h"
#include "store/row_rights.h"

static MfOperation *locked_refund(FunctionCallInfo fcinfo);
static char *required_reason(FunctionCallInfo fcinfo, int number);
static void begin_change(MfOperationChange *change, const MfOperation *operation, const char *reason);
static void refuse(const MfOperation *operation, const char *hint);

PG_FUNCTION_INFO_V1(mf_refundable);
PG_FUNCTION_INFO_V1(mf_cancel_refund);
PG_FUNCTION_INFO_V1(mf_retry_refund);
PG_FUNCTION_INFO_V1(mf_resolve_refund);

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
	MfOperation *operation;
	int64		id;

	mf_require_argument(fcinfo, 0, "id");
	id = PG_GETARG_INT64(0);
	operation = mf_operation_lock(schema, id);
	if (operation == NULL || operation->kind != MF_OPERATION_REFUND ||
		(mf_is_under_policies(schema) && !mf_queue_is_visible(schema, operation->invoice)))
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("refund %lld does not exist", (long long) id),
				 errhint("Give the column \"id\" of mf_refund, not \"refund_id\".")));
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
	mf_operation_change_begin(change, operation, GetUserNameFromId(GetUserId(), false));
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
			 errhint("%s", hint)));
}

/* A refund that is queued is not asked for. */
Datum
mf_cancel_refund(PG_FUNCTION_ARGS)
{
	MfOperation *operation = locked_refund(fcinfo);
	MfOperationChange change;
	char	   *reason = mf_reason_argument(fcinfo, 1);

	if (operation->status != MF_OPERATION_QUEUED)
		refuse(operation, _("Only a refund that is queued can be cancelled. A filed one is cancelled in the MyFatoorah portal."));
	begin_change(&change, operation, reason ? reason : "cancelled");
	change.to = MF_OPERATION_CANCELLED;
	mf_operation_apply_alone(get_func_namespace(fcinfo->flinfo->fn_oid), &change);
	mf_wake_operations_at_commit();
	PG_RETURN_VOID();
}

/* A refund that was refused, or about which a person has decided, is asked for anew. */
Datum
mf_retry_refund(PG_FUNCTION_ARGS)
{
	Oid			schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	MfOperation *operation = locked_refund(fcinfo);
	MfOperationChange change;
	char	   *reason = required_reason(fcinfo, 1);
	MfRefundedInvoice *invoice;

	if (operation->status != MF_OPERATION_REFUSED && operation->status != MF_OPERATION_REVIEW)
		refuse(operation, _("Only a refund that was refused, or is in review, can be asked for again."));
	if (operation->reference == NULL || operation->refund_id != NULL)
		refuse(operation, _("MyFatoorah has this refund. Insert a new one."));
	invoice = mf_operations_lock_invoice(schema, operation->invoice, NULL, NULL);
	if (operation->status == MF_OPERATION_REFUSED && invoice != NULL && mf_amount_compare(operation->value, invoice->left) > 0)
		refuse(operation, psprintf(_("What is left to be refunded is %s."), invoice->left));
	begin_change(&change, operation, psprintf("retry: %s", reason));
	change.to = MF_OPERATION_QUEUED;
	if (operation->attempts > 0)
		change.reference = mf_next_reference(operation->reference);
	change.due = GetCurrentTimestamp();
	mf_operation_apply_alone(schema, &change);
	mf_wake_operations_at_commit();
	PG_RETURN_VOID();
}

/* A person decides about a refund in review; MyFatoorah is asked about one that it has. */
Datum
mf_resolve_refund(PG_FUNCTION_ARGS)
{
	MfOperation *operation = locked_refund(fcinfo);
	MfOperationChange change;
	char	   *outcome = mf_required_text(fcinfo, 1, "outcome");
	char	   *reason = required_reason(fcinfo, 2);

	if (operation->status != MF_OPERATION_REVIEW)
		refuse(operation, "SELECT * FROM mf_review");
	begin_change(&change, operation, psprintf("%s: %s", outcome, reason));
	if (strcmp(outcome, "filed") == 0)
	{
		mf_require_argument(fcinfo, 3, "refund_id");
		if (PG_GETARG_INT64(3) <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("refund_id must be greater than zero"),
					 errhint("Give the RefundId that the MyFatoorah portal shows.")));
		change.to = MF_OPERATION_FILED;
		change.refund_id = psprintf(INT64_FORMAT, PG_GETARG_INT64(3));
		change.due = GetCurrentTimestamp();
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
				 errhint("Valid values are: filed, refused.")));
	mf_operation_apply_alone(get_func_namespace(fcinfo->flinfo->fn_oid), &change);
	mf_wake_operations_at_commit();
	PG_RETURN_VOID();
}
