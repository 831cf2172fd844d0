/*
 * row_check.c
 *	  Validation of rows of mf_invoice, before they are stored.
 *
 * INSERT, UPDATE and mf_validate() make the same checks here.  Those of the
 * fields that are sent are in request_check.c.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/row_check.c
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "account/account_key.h"
#include "account/send_time.h"
#include "base/compat.h"
#include "base/settings.h"
#include "database/sql.h"
#include "request/request.h"
#include "store/row_check.h"

/* One check of one row */
typedef struct RowCheck
{
	MfInvoiceRow *row;
	Relation	table;
	const MfAccount *account;	/* NULL = there is none */
	int			column;
} RowCheck;

/* What a column that only we write holds in a row that does not give it */
typedef enum Untouched
{
	ANYTHING,					/* it is overwritten */
	A_NULL,
	ZERO,						/* integer */
	NOTHING,					/* numeric */
	A_FALSE,
	QUEUED,
	UNPAID
} Untouched;

static const Untouched untouched[MF_IC_END] = {
	[MF_IC_REFERENCE] = A_NULL,[MF_IC_STATUS] = QUEUED,[MF_IC_PAYMENT_STATUS] = UNPAID,
	[MF_IC_INVOICE_ID] = A_NULL,[MF_IC_INVOICE_URL] = A_NULL,[MF_IC_SENT_AT] = A_NULL,[MF_IC_PAID_AT] = A_NULL,
	[MF_IC_LAST_ERROR] = A_NULL,[MF_IC_ATTEMPTS] = ZERO,[MF_IC_CANCEL_REQUESTED] = A_FALSE,
	[MF_IC_DUPLICATE_SUSPECTED] = A_FALSE,[MF_IC_INVOICE_STATUS] = A_NULL,[MF_IC_PAYMENT_ERROR] = A_NULL,
	[MF_IC_DUPLICATE_ERROR] = A_NULL,[MF_IC_PAYMENT_ID] = A_NULL,[MF_IC_BASE_CURRENCY] = A_NULL,
	[MF_IC_BASE_VALUE] = A_NULL,[MF_IC_DISPLAY_CURRENCY] = A_NULL,[MF_IC_DISPLAY_VALUE] = A_NULL,
	[MF_IC_PAY_CURRENCY] = A_NULL,[MF_IC_PAY_VALUE] = A_NULL,[MF_IC_REFUNDED_VALUE] = NOTHING,
	[MF_IC_OVERPAID] = A_FALSE,[MF_IC_PAID_LATE] = A_FALSE,[MF_IC_CURRENCY] = A_NULL,
	[MF_IC_RECEIVED_VALUE] = NOTHING,[MF_IC_NET_VALUE] = NOTHING,[MF_IC_DISPUTED_AT] = A_NULL,
	[MF_IC_EXPIRES_AT] = A_NULL,[MF_IC_PAYMENT_DOUBT] = A_NULL,[MF_IC_ERASED_AT] = A_NULL
};

static void run(RowCheck *check, void (*function) (void *), int column, MfFieldErrors *complaints);
static void check_account(void *argument);
static void name_account(void *argument);
static void check_send_at(void *argument);
static void check_expiry_date(void *argument);
static void check_priority(void *argument);
static void check_idempotency_key(void *argument);
static void check_metadata(void *argument);
static void check_result(void *argument);
static bool is_untouched(const MfInvoiceRow *row, int column);

const MfAccount *
mf_row_check(MfInvoiceRow *row, Relation table, MfFieldErrors *complaints)
{
	RowCheck	check = {row, table, NULL, 0};
	MfRequest	request;

	run(&check, check_account, MF_IC_ACCOUNT, complaints);

	request.table = table;
	memcpy(request.values, &row->values[MF_IC_CUSTOMER_NAME], sizeof(request.values));
	memcpy(request.isnull, &row->isnull[MF_IC_CUSTOMER_NAME], sizeof(request.isnull));
	mf_request_check(&request, check.account, complaints);
	memcpy(&row->values[MF_IC_CUSTOMER_NAME], request.values, sizeof(request.values));
	memcpy(&row->isnull[MF_IC_CUSTOMER_NAME], request.isnull, sizeof(request.isnull));

	run(&check, check_send_at, MF_IC_SEND_AT, complaints);
	run(&check, check_expiry_date, MF_IC_CUSTOMER_NAME + MF_SP_EXPIRY_DATE, complaints);
	run(&check, check_priority, MF_IC_PRIORITY, complaints);
	run(&check, check_idempotency_key, MF_IC_IDEMPOTENCY_KEY, complaints);
	run(&check, check_metadata, MF_IC_METADATA, complaints);
	return check.account;
}

void
mf_row_check_metadata(MfInvoiceRow *row, Relation table)
{
	RowCheck	check = {row, table, NULL, 0};

	run(&check, check_metadata, MF_IC_METADATA, NULL);
}

void
mf_row_check_results(const MfInvoiceRow *row, Relation table, MfFieldErrors *complaints)
{
	RowCheck	check = {unconstify(MfInvoiceRow *, row), table, NULL, 0};
	int			column;

	for (column = MF_IC_REFERENCE; column < MF_IC_END; column++)
	{
		if (!is_untouched(row, column))
			run(&check, check_result, column, complaints);
	}
}

/* Makes one check, or, of a column that is complained of already, none. */
static void
run(RowCheck *check, void (*function) (void *), int column, MfFieldErrors *complaints)
{
	const char *name = NameStr(TupleDescAttr(RelationGetDescr(check->table), column - 1)->attname);

	check->column = column;
	if (complaints == NULL)
		function(check);
	else if (!mf_has_field_error(complaints, name))
		mf_collect_field_errors(complaints, name, function, check);
}

static void
check_account(void *argument)
{
	RowCheck   *check = (RowCheck *) argument;
	ErrorContextCallback context;

	if (check->row->isnull[MF_IC_ACCOUNT])
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errtablecolname(check->table, "account"),
				 errmsg("account must not be null"),
				 errhint("Leave it out for the account \"%s\".", MF_DEFAULT_ACCOUNT)));
	context.callback = name_account;
	context.arg = check->table;
	context.previous = error_context_stack;
	error_context_stack = &context;
	check->account = mf_account_get(TextDatumGetCString(check->row->values[MF_IC_ACCOUNT]));
	error_context_stack = context.previous;
}

void
mf_row_check_usage(Relation table, const MfAccount *account)
{
	ErrorContextCallback context;

	context.callback = name_account;
	context.arg = table;
	context.previous = error_context_stack;
	error_context_stack = &context;
	mf_account_check_usage(account, GetUserId());
	mf_account_check_mapping(account, GetUserId());
	error_context_stack = context.previous;
}

/* Says that an error about an account is about that column. */
static void
name_account(void *argument)
{
	errtablecolname((Relation) argument, "account");
}

static void
check_send_at(void *argument)
{
	RowCheck   *check = (RowCheck *) argument;
	MfInvoiceRow *row = check->row;
	TimestampTz send_at;

	if (row->isnull[MF_IC_SEND_AT])
	{
		row->values[MF_IC_SEND_AT] = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
		row->isnull[MF_IC_SEND_AT] = false;
	}
	send_at = DatumGetTimestampTz(row->values[MF_IC_SEND_AT]);
	if (TIMESTAMP_NOT_FINITE(send_at))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errtablecolname(check->table, "send_at"),
				 errmsg("send_at must be finite"),
				 errhint("Leave it out to send at once; use mf_cancel() for an invoice that is not to be sent.")));
	if (send_at < MF_TIME_MIN || send_at >= MF_TIME_END)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errtablecolname(check->table, "send_at"),
				 errmsg("send_at is out of range"),
				 errhint("Give a time from the year 1970 to the year 9999, or leave it out to send at once.")));
}

/* That it can be sent is checked with the request. */
static void
check_expiry_date(void *argument)
{
	RowCheck   *check = (RowCheck *) argument;
	int			column = MF_IC_CUSTOMER_NAME + MF_SP_EXPIRY_DATE;
	const MfInvoiceRow *row = check->row;
	const int	notification = MF_IC_CUSTOMER_NAME + MF_SP_NOTIFICATION_OPTION;
	TimestampTz now = GetCurrentTransactionStartTimestamp();
	TimestampTz send_at;
	TimestampTz expiry;
	TimestampTz due;

	if (row->isnull[column])
		return;
	expiry = DatumGetTimestampTz(row->values[column]);
	send_at = DatumGetTimestampTz(row->values[MF_IC_SEND_AT]);
	if (expiry <= send_at || expiry <= now)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errtablecolname(check->table, "expiry_date"),
				 errmsg("expiry_date must be later than send_at and now"),
				 errhint("Give the customer time to pay, or leave it out for the default of the portal.")));
	if (check->account == NULL || row->isnull[notification])
		return;
	due = mf_send_due(check->account, send_at, !mf_text_is(row->values[notification], "LNK"), now);
	if (expiry <= due)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errtablecolname(check->table, "expiry_date"),
				 errmsg("expiry_date must be later than the time at which the invoice is sent"),
				 errdetail("By the options send_time and quiet_hours of account \"%s\" that is %s.", check->account->name,
						   timestamptz_to_str(due)),
				 errhint("Give the customer time to pay, or leave it out for the default of the portal.")));
}

static void
check_priority(void *argument)
{
	RowCheck   *check = (RowCheck *) argument;
	MfInvoiceRow *row = check->row;
	int			priority;

	if (row->isnull[MF_IC_PRIORITY])
	{
		row->values[MF_IC_PRIORITY] = Int16GetDatum(0);
		row->isnull[MF_IC_PRIORITY] = false;
	}
	priority = DatumGetInt16(row->values[MF_IC_PRIORITY]);
	if (priority < 0 || priority > MF_PRIORITY_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errtablecolname(check->table, "priority"),
				 errmsg("invalid value for priority: %d", priority),
				 errhint("Give a number from 0 to %d; each step puts the invoice ten minutes ahead.",
						 MF_PRIORITY_MAX)));
}

/* A key is the user's: nothing of it is changed, and one that says nothing would be taken for none. */
static void
check_idempotency_key(void *argument)
{
	RowCheck   *check = (RowCheck *) argument;
	Datum		key = check->row->values[MF_IC_IDEMPOTENCY_KEY];

	if (check->row->isnull[MF_IC_IDEMPOTENCY_KEY])
		return;
	if (toast_raw_datum_size(key) > VARHDRSZ + MF_IDEMPOTENCY_KEY_MAX * MAX_MULTIBYTE_CHAR_LEN ||
		pg_mbstrlen(TextDatumGetCString(key)) > MF_IDEMPOTENCY_KEY_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errtablecolname(check->table, "idempotency_key"),
				 errmsg("idempotency_key is too long"),
				 errdetail("The limit is %d characters.", MF_IDEMPOTENCY_KEY_MAX),
				 errhint("Shorten it, or take a digest of it.")));
	if (mf_clean_text(TextDatumGetCString(key), MF_CLEAN_TEXT)[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errtablecolname(check->table, "idempotency_key"),
				 errmsg("idempotency_key must not be blank"),
				 errhint("Give what no other invoice of the account has, such as 'rent 2026-01, flat 12', or leave it out.")));
}

/* What is in it is the user's business; how much there is concerns every change of the row. */
static void
check_metadata(void *argument)
{
	RowCheck   *check = (RowCheck *) argument;
	Size		size;

	if (check->row->isnull[MF_IC_METADATA])
		return;
	size = toast_raw_datum_size(check->row->values[MF_IC_METADATA]) - VARHDRSZ;
	if (size > MF_METADATA_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errtablecolname(check->table, "metadata"),
				 errmsg("metadata is too large"),
				 errdetail("It has %zu bytes as jsonb; the limit is %d.", size, MF_METADATA_MAX),
				 errhint("Keep what is larger in a table of your own that has the id of the invoice.")));
}

static void
check_result(void *argument)
{
	const RowCheck *check = (const RowCheck *) argument;

	mf_row_refuse_result(check->table, check->column);
}

static bool
is_untouched(const MfInvoiceRow *row, int column)
{
	Datum		value = row->values[column];

	if (row->isnull[column])
		return untouched[column] == A_NULL || untouched[column] == ANYTHING;
	switch (untouched[column])
	{
		case ANYTHING:
			return true;
		case A_NULL:
			return false;
		case ZERO:
			return DatumGetInt32(value) == 0;
		case NOTHING:
			return DatumGetBool(DirectFunctionCall2(numeric_eq, value, DirectFunctionCall1(int8_numeric, Int64GetDatum(0))));
		case A_FALSE:
			return !DatumGetBool(value);
		case QUEUED:
			return mf_text_is(value, mf_status_name(MF_STATUS_QUEUED));
		case UNPAID:
			return mf_text_is(value, "unpaid");
	}
	return false;				/* keep compiler quiet */
}

void
mf_row_refuse_result(Relation table, int column)
{
	const char *name = NameStr(TupleDescAttr(RelationGetDescr(table), column - 1)->attname);

	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errtablecolname(table, name),
			 errmsg("column \"%s\" of mf_invoice is written by myfatoorah only", name),
			 errhint("Leave it out; use mf_cancel(), mf_retry(), mf_resolve(), mf_pause() or mf_resume() to steer sending.")));
}
