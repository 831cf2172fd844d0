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
#include "account/account_option.h"
#include "base/settings.h"
#include "database/sql.h"
#include "request/request.h"
#include "store/row_check.h"

/* One check of one row */
typedef struct RowCheck
{
	MfRow	   *row;
	Relation	table;
	const MfAccount *account;	/* NULL = there is none */
	int			column;
	bool		writes;			/* the row is written then; otherwise only errors are collected */
} RowCheck;

/* Value of a column that only we write in a new row that does not give it */
typedef enum DefaultValue
{
	NULL_VALUE,
	ANY_VALUE,					/* it is overwritten, or checked elsewhere */
	ZERO_INTEGER,
	ZERO_NUMERIC,
	FALSE_VALUE,
	STATUS_QUEUED,
	STATUS_UNPAID
} DefaultValue;

/* by column; those that are not listed are null */
static const DefaultValue default_values[MF_IC_END] = {
	[MF_IC_STATUS] = STATUS_QUEUED,
	[MF_IC_PAYMENT_STATUS] = STATUS_UNPAID,
	[MF_IC_ATTEMPTS] = ZERO_INTEGER,
	[MF_IC_CANCEL_REQUESTED] = FALSE_VALUE,
	[MF_IC_DUPLICATE_SUSPECTED] = FALSE_VALUE,
	[MF_IC_CREATED_AT] = ANY_VALUE,
	[MF_IC_CREATED_BY] = ANY_VALUE,
	[MF_IC_REFUNDED_VALUE] = ZERO_NUMERIC,
	[MF_IC_OVERPAID] = FALSE_VALUE,
	[MF_IC_PAID_LATE] = FALSE_VALUE,
	[MF_IC_CREATED_BY_ID] = ANY_VALUE,
	[MF_IC_OWN_KEY] = ANY_VALUE,
	[MF_IC_COULD_LOGIN] = ANY_VALUE,
	[MF_IC_COULD_INSERT] = ANY_VALUE,
	[MF_IC_RECEIVED_VALUE] = ZERO_NUMERIC,
	[MF_IC_NET_VALUE] = ZERO_NUMERIC,
	[MF_IC_METADATA] = ANY_VALUE
};

static void run_check(RowCheck *check, void (*function) (void *), int column, MfFieldErrors *errors);
static void check_account(void *argument);
static void set_account_column(void *argument);
static void check_send_at(void *argument);
static void check_expiry_date(void *argument);
static void check_priority(void *argument);
static void check_idempotency_key(void *argument);
static void check_metadata(void *argument);
static void check_result(void *argument);
static bool has_default(const MfRow *row, int column);

const MfAccount *
mf_row_check(MfRow *row, Relation table, MfFieldErrors *errors)
{
	RowCheck	check = {row, table, NULL, 0, errors == NULL};
	MfRequest	request;
	bool		kept = false;

	run_check(&check, check_account, MF_IC_ACCOUNT, errors);

	request.table = table;
	memcpy(request.values, &row->values[MF_IC_CUSTOMER_NAME], sizeof(request.values));
	memcpy(request.isnull, &row->isnull[MF_IC_CUSTOMER_NAME], sizeof(request.isnull));
	if (check.account != NULL && !row->isnull[MF_IC_CURRENCY])
		kept = mf_request_keep_currency(&request, row->values[MF_IC_CURRENCY], check.account);
	mf_request_check(&request, check.account, errors);
	if (kept)
		request.isnull[MF_SP_DISPLAY_CURRENCY_ISO] = true;
	memcpy(&row->values[MF_IC_CUSTOMER_NAME], request.values, sizeof(request.values));
	memcpy(&row->isnull[MF_IC_CUSTOMER_NAME], request.isnull, sizeof(request.isnull));

	run_check(&check, check_send_at, MF_IC_SEND_AT, errors);
	run_check(&check, check_expiry_date, MF_IC_CUSTOMER_NAME + MF_SP_EXPIRY_DATE, errors);
	run_check(&check, check_priority, MF_IC_PRIORITY, errors);
	run_check(&check, check_idempotency_key, MF_IC_IDEMPOTENCY_KEY, errors);
	run_check(&check, check_metadata, MF_IC_METADATA, errors);
	return check.account;
}

void
mf_row_check_metadata(MfRow *row, Relation table)
{
	RowCheck	check = {row, table, NULL, 0, true};

	run_check(&check, check_metadata, MF_IC_METADATA, NULL);
}

void
mf_row_check_results(const MfRow *row, Relation table, MfFieldErrors *errors)
{
	RowCheck	check = {unconstify(MfRow *, row), table, NULL, 0, true};
	int			column;

	for (column = MF_IC_REFERENCE; column < MF_IC_END; column++)
	{
		if (!has_default(row, column))
			run_check(&check, check_result, column, errors);
	}
}

/* Makes one check, unless an error of that column was collected before. */
static void
run_check(RowCheck *check, void (*function) (void *), int column, MfFieldErrors *errors)
{
	const char *name = NameStr(TupleDescAttr(RelationGetDescr(check->table), column - 1)->attname);

	check->column = column;
	if (errors == NULL)
		function(check);
	else if (!mf_has_field_error(errors, name))
		mf_collect_field_errors(errors, name, function, check);
}

static void
check_account(void *argument)
{
	RowCheck   *check = (RowCheck *) argument;
	ErrorContextCallback context;
	const char *name;

	if (check->row->isnull[MF_IC_ACCOUNT])
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errtablecolname(check->table, "account"),
				 errmsg("account must not be null"),
				 errhint("Leave it out for the account \"%s\".", MF_DEFAULT_ACCOUNT)));
	context.callback = set_account_column;
	context.arg = check->table;
	context.previous = error_context_stack;
	error_context_stack = &context;
	name = TextDatumGetCString(check->row->values[MF_IC_ACCOUNT]);
	check->account = check->writes ? mf_account_hold(name) : mf_account_get(name);
	error_context_stack = context.previous;
}

void
mf_row_check_usage(Relation table, const MfAccount *account)
{
	ErrorContextCallback context;

	context.callback = set_account_column;
	context.arg = table;
	context.previous = error_context_stack;
	error_context_stack = &context;
	mf_account_check_usage(account, GetUserId());
	mf_account_check_mapping(account, GetUserId());
	error_context_stack = context.previous;
}

/* Error context callback: an error about an account is one of that column. */
static void
set_account_column(void *argument)
{
	errtablecolname((Relation) argument, "account");
}

static void
check_send_at(void *argument)
{
	RowCheck   *check = (RowCheck *) argument;
	MfRow	   *row = check->row;
	TimestampTz send_at;

	/* At once: since created_at, by which it is told from a time that a user gave. */
	if (row->isnull[MF_IC_SEND_AT])
		mf_row_set(row, MF_IC_SEND_AT, row->isnull[MF_IC_CREATED_AT] ?
				   TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()) : row->values[MF_IC_CREATED_AT]);
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

/* Whether it can be converted is checked with the request. */
static void
check_expiry_date(void *argument)
{
	RowCheck   *check = (RowCheck *) argument;
	int			column = MF_IC_CUSTOMER_NAME + MF_SP_EXPIRY_DATE;
	const MfRow *row = check->row;
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
	MfRow	   *row = check->row;
	int			priority;

	if (row->isnull[MF_IC_PRIORITY])
	{
		mf_row_set(row, MF_IC_PRIORITY, Int16GetDatum(0));
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

/* The key is stored as it is, so a blank one, which the user cannot mean as a key, is refused. */
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
				 errhint("Give a key that no other invoice of the account has, such as 'rent 2026-01, flat 12', "
						 "or leave it out.")));
}

/* Only its size matters: each update of the row copies it. */
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
has_default(const MfRow *row, int column)
{
	Datum		value = row->values[column];

	if (row->isnull[column])
		return default_values[column] == NULL_VALUE || default_values[column] == ANY_VALUE;
	switch (default_values[column])
	{
		case ANY_VALUE:
			return true;
		case NULL_VALUE:
			return false;
		case ZERO_INTEGER:
			return DatumGetInt32(value) == 0;
		case ZERO_NUMERIC:
			return DatumGetBool(DirectFunctionCall2(numeric_eq, value,
													DirectFunctionCall1(int8_numeric, Int64GetDatum(0))));
		case FALSE_VALUE:
			return !DatumGetBool(value);
		case STATUS_QUEUED:
			return mf_text_is(value, mf_status_name(MF_STATUS_QUEUED));
		case STATUS_UNPAID:
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
			 errhint("Leave it out. To control sending, use mf_cancel(), mf_retry(), mf_resolve(), "
					 "mf_pause() or mf_resume().")));
}
