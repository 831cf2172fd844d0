/*
 * request_check.c
 *	  Validation of a SendPayment request, before anything is stored or sent.
 *
 * What MyFatoorah is known to refuse is refused here, with the name of the field
 * and a hint.  What it accepts is accepted.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/request/request_check.c
 */
#include "postgres.h"

#include "access/detoast.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "base/compat.h"
#include "base/encoding.h"
#include "request/request_private.h"

/*
 * A stored byte takes at most six bytes of the request's body, as a control character
 * does (\u0001).  The rest is room for the names of the fields and for what the account
 * adds.
 */
#define MAX_BODY_GROWTH 8

/* The checks of one request, and the check that is being made */
typedef struct CheckRun
{
	MfRequest  *request;
	const MfAccount *account;
	MfFieldErrors *errors;		/* NULL: errors are raised */
	void		(*check) (const struct CheckRun *run);
	MfSendPaymentField field;
	const MfFieldCheck *field_check;
} CheckRun;

static void run_for_all_fields(CheckRun *run, void (*check) (const CheckRun *run));
static void run_check(CheckRun *run);
static void call_check(void *argument);
static void add_field_to_error(void *argument);
static int	err_column(const MfRequest *request, MfSendPaymentField field);
static void check_size(const CheckRun *run);
static void check_field(const CheckRun *run);
static void check_encoding(const CheckRun *run);
static void check_body(const CheckRun *run);

void
mf_request_check(MfRequest *request, const MfAccount *account, MfFieldErrors *errors)
{
	CheckRun	run = {request, account, errors, NULL, MF_SP_CUSTOMER_NAME, NULL};
	ErrorContextCallback context;

	context.callback = add_field_to_error;
	context.arg = &run;
	context.previous = error_context_stack;
	error_context_stack = &context;

	run_for_all_fields(&run, check_size);
	run.check = check_field;
	for (run.field_check = mf_field_checks; run.field_check->field != MF_SP_COUNT; run.field_check++)
	{
		run.field = run.field_check->field;
		if (account != NULL || !run.field_check->needs_account)
			run_check(&run);
	}
	if (GetDatabaseEncoding() != PG_UTF8)
		run_for_all_fields(&run, check_encoding);
	run.check = check_body;
	if (errors == NULL || (account != NULL && errors->count == 0))
		run_check(&run);

	error_context_stack = context.previous;
}

static void
run_for_all_fields(CheckRun *run, void (*check) (const CheckRun *run))
{
	int			i;

	run->check = check;
	for (i = 0; i < MF_SP_COUNT; i++)
	{
		run->field = (MfSendPaymentField) i;
		run_check(run);
	}
}

/* Makes a check.  If errors are collected, a field that has one already is not checked any further. */
static void
run_check(CheckRun *run)
{
	const char *name = mf_field_name(run->field);

	if (run->errors == NULL)
		run->check(run);
	else if (!mf_has_field_error(run->errors, name))
		mf_collect_field_errors(run->errors, name, call_check, run);
}

static void
call_check(void *argument)
{
	const CheckRun *run = (const CheckRun *) argument;

	run->check(run);
}

/*
 * Error context callback: adds the column to data exceptions of the server, such as
 * for a text that has no UTF-8 form.  Our own errors have it already.
 */
static void
add_field_to_error(void *argument)
{
	const CheckRun *run = (const CheckRun *) argument;

	if (ERRCODE_TO_CATEGORY(geterrcode()) == ERRCODE_DATA_EXCEPTION && geterrcode() != ERRCODE_INVALID_PARAMETER_VALUE)
		err_column(run->request, run->field);
}

int
mf_err_field(const MfRequest *request, MfSendPaymentField field)
{
	errcode(ERRCODE_INVALID_PARAMETER_VALUE);
	return err_column(request, field);
}

static int
err_column(const MfRequest *request, MfSendPaymentField field)
{
	if (request->table != NULL)
		return errtablecolname(request->table, mf_field_name(field));
	return err_generic_string(PG_DIAG_COLUMN_NAME, mf_field_name(field));
}

const char *
mf_field_name(MfSendPaymentField field)
{
	return mf_send_payment_fields[field].column;
}

/* Bytes of a field's value, decompressed; 0 for types that are always small. */
static size_t
stored_size(const MfRequest *request, MfSendPaymentField field)
{
	Oid			type = mf_request_type(field);

	if (request->isnull[field] || type == TIMESTAMPTZOID || type == INT2OID || type == INT4OID)
		return 0;
	return toast_raw_datum_size(request->values[field]) - VARHDRSZ;
}

static MfSendPaymentField
largest_field(const MfRequest *request)
{
	MfSendPaymentField largest = MF_SP_CUSTOMER_NAME;
	int			i;

	for (i = 0; i < MF_SP_COUNT; i++)
	{
		if (stored_size(request, (MfSendPaymentField) i) > stored_size(request, largest))
			largest = (MfSendPaymentField) i;
	}
	return largest;
}

/*
 * Refuses a value that is far too large before any other check reads it.  A text of
 * 100 MB may take 1 MB on disk, but several times its size in memory.
 */
static void
check_size(const CheckRun *run)
{
	size_t		size = stored_size(run->request, run->field);
	size_t		limit = mf_request_type(run->field) == JSONBOID ? MF_JSONB_MAX : MF_BODY_MAX;

	if (size > limit)
		ereport(ERROR,
				(mf_err_field(run->request, run->field),
				 errmsg("%s is too large", mf_field_name(run->field)),
				 errdetail("It takes %zu bytes; the limit is %zu.", size, limit),
				 errhint("Shorten it.")));
}

static void
check_field(const CheckRun *run)
{
	mf_check_field(run->field_check, run->request, run->account);
}

/* Raises the server's error for a text that has no UTF-8 form, in which it would be sent. */
static void
check_encoding(const CheckRun *run)
{
	Datum		value = run->request->values[run->field];
	Oid			type = mf_request_type(run->field);

	if (run->request->isnull[run->field])
		return;
	if (type == TEXTOID)
		(void) mf_to_utf8(TextDatumGetCString(value));
	else if (type == JSONBOID)
	{
		Jsonb	   *jsonb = DatumGetJsonbP(value);

		(void) mf_to_utf8(JsonbToCString(NULL, &jsonb->root, VARSIZE(jsonb)));
	}
}

/* Refuses a request whose body is too large.  The body is built only if it may be too large. */
static void
check_body(const CheckRun *run)
{
	MfSendPaymentField largest;
	size_t		sum = 0;
	size_t		len;
	int			i;

	for (i = 0; i < MF_SP_COUNT; i++)
		sum += stored_size(run->request, (MfSendPaymentField) i);
	if (sum < MF_BODY_MAX / MAX_BODY_GROWTH)
		return;
	free(mf_request_body(run->request, run->account, "", &len));
	largest = largest_field(run->request);
	if (len > MF_BODY_MAX)
		ereport(ERROR,
				(mf_err_field(run->request, largest),
				 errmsg("the invoice is too large to be sent"),
				 errdetail("Its request would have %zu bytes; the limit is %d. The largest part is %s.",
						   len, MF_BODY_MAX, mf_field_name(largest)),
				 errhint("Shorten %s, or split the invoice.", mf_field_name(largest))));
}
