/*
 * inbound_functions.c
 *	  mf_webhook(), mf_callback() and mf_wait().
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/inbound_functions.c
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "base/encoding.h"
#include "base/settings.h"
#include "database/function_args.h"
#include "functions/invoice_actions.h"
#include "functions/role_quota.h"
#include "inbound/inbound.h"
#include "process/wait.h"
#include "process/worker_slots.h"
#include "store/payment.h"

/* The invoice is read at least this often, in case that no signal was sent for a change. */
#define WAIT_LOOK_MS 1000

/* What mf_wait() waits for; NULL = any */
typedef struct WaitedStates
{
	const char *status;
	const char *payment_status;
} WaitedStates;

static void report_refusal(const MfInbound *message);
static void read_wait_arguments(FunctionCallInfo fcinfo, WaitedStates *wanted);
static void read_waited(Oid schema, int64 id, MfWaitedInvoice *row);
static bool has_reached(const MfWaitedInvoice *row, const WaitedStates *wanted, const char *first);
static void sleep_for_change(long timeout);

PG_FUNCTION_INFO_V1(mf_webhook);
PG_FUNCTION_INFO_V1(mf_callback);
PG_FUNCTION_INFO_V1(mf_wait);

/* Stores a webhook and returns the id of its event. */
Datum
mf_webhook(PG_FUNCTION_ARGS)
{
	char	   *body = mf_to_utf8(mf_required_text(fcinfo, 0, "body"));
	char	   *signature = mf_optional_text(fcinfo, 1);
	char	   *version = mf_optional_text(fcinfo, 2);
	MfInbound	message;

	memset(&message, 0, sizeof(message));
	message.kind = MF_INBOUND_WEBHOOK;
	message.account = mf_required_text(fcinfo, 3, "account");
	message.body = body;
	message.body_len = strlen(body);
	message.signature = signature;
	message.version = version;
	mf_inbound_store(get_func_namespace(fcinfo->flinfo->fn_oid), &message, 1);
	report_refusal(&message);
	PG_RETURN_INT64(message.event);
}

/* Stores the PaymentId of a callback and returns the id of its event. */
Datum
mf_callback(PG_FUNCTION_ARGS)
{
	MfInbound	message;

	memset(&message, 0, sizeof(message));
	message.kind = MF_INBOUND_PAYMENT_ID;
	message.payment_id = mf_required_text(fcinfo, 0, "payment_id");
	message.account = mf_required_text(fcinfo, 1, "account");
	message.turn = mf_quota_take_callback(GetUserId());
	mf_inbound_store(get_func_namespace(fcinfo->flinfo->fn_oid), &message, 1);
	report_refusal(&message);
	PG_RETURN_INT64(message.event);
}

/* Raises an error unless the message was stored. */
static void
report_refusal(const MfInbound *message)
{
	switch (message->result)
	{
		case MF_INBOUND_STORED:
			break;
		case MF_INBOUND_MALFORMED:
			if (message->kind == MF_INBOUND_PAYMENT_ID)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("invalid value for payment_id: \"%.40s\"", message->payment_id),
						 errhint("Give the query parameter \"paymentId\" of the URL, such as 07072467186246912273.")));
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("invalid MyFatoorah message"),
					 errdetail_internal("%s", message->error),
					 errhint("Pass the body unchanged. Answer such a request with HTTP status 400.")));
			break;
		case MF_INBOUND_REFUSED:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
					 errmsg("invalid webhook signature for account \"%s\"", message->account),
					 errdetail_internal("%s", message->error),
					 errhint("Answer such a request with HTTP status 401. If the secret in the portal has changed: ALTER USER MAPPING ... OPTIONS (SET webhook_secret_file '...').")));
			break;
		case MF_INBOUND_NOT_FOUND:
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("%s", message->error),
					 errhint("Give the name of a foreign server of the wrapper \"%s\".", MF_EXTENSION)));
			break;
	}
}

/*
 * Sleeps until an invoice has the wanted states or, if none are given, until a state has
 * changed, or until the timeout.  Reads it with a new snapshot each time, with the rights of
 * the current role.
 */
Datum
mf_wait(PG_FUNCTION_ARGS)
{
	Oid			schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	WaitedStates wanted;
	MfWaitedInvoice row;
	char	   *first = NULL;
	bool		reached;
	TimestampTz deadline;
	TupleDesc	desc;
	Datum		values[3];
	bool		nulls[3] = {false, false, false};

	read_wait_arguments(fcinfo, &wanted);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	deadline = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
													   TimestampTzGetDatum(GetCurrentTimestamp()),
													   PG_GETARG_DATUM(1)));
	/* before the invoice is read: a change from then on wakes this process */
	if (mf_shared != NULL)
		ConditionVariablePrepareToSleep(&mf_shared->invoices);
	for (;;)
	{
		read_waited(schema, PG_GETARG_INT64(0), &row);
		if (first == NULL)
			first = psprintf("%s %s", row.status, row.payment_status);
		reached = has_reached(&row, &wanted, first);
		if (reached || GetCurrentTimestamp() >= deadline)
			break;
		CHECK_FOR_INTERRUPTS();
		sleep_for_change(mf_wait_ms(WAIT_LOOK_MS, deadline));
	}
	ConditionVariableCancelSleep();

	values[0] = BoolGetDatum(reached);
	values[1] = CStringGetTextDatum(row.status);
	values[2] = CStringGetTextDatum(row.payment_status);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

/* Checks the arguments of mf_wait(), and that it is called where it can see changes. */
static void
read_wait_arguments(FunctionCallInfo fcinfo, WaitedStates *wanted)
{
	wanted->status = mf_optional_text(fcinfo, 2);
	wanted->payment_status = mf_optional_text(fcinfo, 3);
	mf_require_argument(fcinfo, 0, "id");
	mf_require_argument(fcinfo, 1, "timeout");
	if (wanted->status != NULL && mf_status_from_name(wanted->status) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for %s: \"%.40s\"", "status", wanted->status),
				 errhint("Valid values are: %s.", "queued, sending, sent, rejected, unknown, review, cancelled")));
	if (wanted->payment_status != NULL && mf_payment_status_from_name(wanted->payment_status) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for %s: \"%.40s\"", "payment_status", wanted->payment_status),
				 errhint("Valid values are: %s.",
						 "unpaid, authorized, paid, expired, remote_cancelled, partly_refunded, refunded, disputed")));
	mf_require_read_committed("mf_wait()");
}

/* Reads the invoice; raises an error if it does not exist, or was changed in the current transaction. */
static void
read_waited(Oid schema, int64 id, MfWaitedInvoice *row)
{
	MfNamed		named = {.invoice = id};

	if (!mf_payment_read_waited(schema, id, row))
	{
		mf_queue_find_named(schema, &named, 1);
		mf_refuse_missing(&named);
	}
	if (TransactionIdIsCurrentTransactionId(row->xmin))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("mf_wait() cannot wait for a row of its own transaction"),
				 errhint("Commit first: an invoice is sent after the commit.")));
}

/* Whether the invoice has the wanted states or, if none are given, no longer has the first ones. */
static bool
has_reached(const MfWaitedInvoice *row, const WaitedStates *wanted, const char *first)
{
	if (wanted->status == NULL && wanted->payment_status == NULL)
		return strcmp(first, psprintf("%s %s", row->status, row->payment_status)) != 0;
	return (wanted->status == NULL || strcmp(row->status, wanted->status) == 0) &&
		(wanted->payment_status == NULL || strcmp(row->payment_status, wanted->payment_status) == 0);
}

static void
sleep_for_change(long timeout)
{
	if (mf_shared != NULL)
		(void) ConditionVariableTimedSleep(&mf_shared->invoices, timeout, PG_WAIT_EXTENSION);
	else
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, timeout, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}
