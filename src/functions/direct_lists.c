/*
 * direct_lists.c
 *	  Lists from a session that waits for the answer: mf_payment_methods(),
 *	  mf_exchange_rates(), mf_suppliers(), mf_recurring().
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/direct_lists.c
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "base/compat.h"
#include "base/encoding.h"
#include "core/api/lists.h"
#include "core/text/text.h"
#include "database/function_args.h"
#include "functions/backend_call.h"
#include "functions/direct_status.h"

static void return_list(FunctionCallInfo fcinfo, const MfList *list, const MfAccount *account, char *body, size_t body_len);
static void add_row(ReturnSetInfo *rsinfo, const MfList *list, const MfAccount *account, char *const *texts);
static void free_list_result(void *result);
static const MfAccount *account_argument(FunctionCallInfo fcinfo, int number);

PG_FUNCTION_INFO_V1(mf_payment_methods);
PG_FUNCTION_INFO_V1(mf_exchange_rates);
PG_FUNCTION_INFO_V1(mf_suppliers);
PG_FUNCTION_INFO_V1(mf_recurring);

Datum
mf_payment_methods(PG_FUNCTION_ARGS)
{
	const MfAccount *account = account_argument(fcinfo, 2);
	char	   *value;
	char	   *given = mf_optional_text(fcinfo, 1);
	char		currency[MF_CURRENCY_SIZE];
	size_t		body_len;
	char	   *body;

	mf_require_argument(fcinfo, 0, "value");
	value = DatumGetCString(DirectFunctionCall1(numeric_out, PG_GETARG_DATUM(0)));
	if (!mf_decimal_valid(value) || value[0] == '-' || strpbrk(value, "123456789") == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("value must be greater than zero")));
	if (!mf_currency_iso(given != NULL ? given : account->currency, currency))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("currency \"%.40s\" is not a currency", given),
				 errhint("Give the three letters of ISO 4217, such as KWD.")));
	body = mf_payment_methods_body(value, currency, &body_len);
	if (body == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not build the request")));
	return_list(fcinfo, &mf_payment_method_list, account, body, body_len);
	return (Datum) 0;
}

Datum
mf_exchange_rates(PG_FUNCTION_ARGS)
{
	return_list(fcinfo, &mf_exchange_rate_list, account_argument(fcinfo, 0), NULL, 0);
	return (Datum) 0;
}

Datum
mf_suppliers(PG_FUNCTION_ARGS)
{
	return_list(fcinfo, &mf_supplier_list, account_argument(fcinfo, 0), NULL, 0);
	return (Datum) 0;
}

Datum
mf_recurring(PG_FUNCTION_ARGS)
{
	return_list(fcinfo, &mf_recurring_list, account_argument(fcinfo, 0), NULL, 0);
	return (Datum) 0;
}

/* The account that an argument names, which the current role may use. */
static const MfAccount *
account_argument(FunctionCallInfo fcinfo, int number)
{
	const MfAccount *account = mf_account_get(mf_required_text(fcinfo, number, "account"));

	mf_account_check_usage(account, GetUserId());
	return account;
}

/* Makes the request and returns a row for each of the answer.  Takes over "body", malloc'd or NULL. */
static void
return_list(FunctionCallInfo fcinfo, const MfList *list, const MfAccount *account, char *body, size_t body_len)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MfListResult *result = (MfListResult *) mf_result_alloc(sizeof(MfListResult), free_list_result);
	MfHttpExchange *exchange;
	const char *error;
	int			i;

	exchange = mf_backend_call(account, &mf_endpoints[list->endpoint], NULL, NULL, body, body_len, NULL, NULL);
	mf_list_result_read(list, exchange, result);
	error = mf_from_utf8_lossy(result->base.error != NULL ? result->base.error : "out of memory");
	mf_report_unanswered(result->base.lookup, result->base.not_sent, account, error,
						 mf_shown_error(exchange, account, !result->base.not_sent, error));

	mf_start_rows(fcinfo);
	if (rsinfo->setDesc->natts != list->field_count)
		elog(ERROR, "return type must be a row type of %d columns", list->field_count);
	for (i = 0; i < result->row_count; i++)
		add_row(rsinfo, list, account, mf_list_row(result, i));
}

static void
add_row(ReturnSetInfo *rsinfo, const MfList *list, const MfAccount *account, char *const *texts)
{
	Datum	   *values = (Datum *) palloc(list->field_count * sizeof(Datum));
	bool	   *nulls = (bool *) palloc(list->field_count * sizeof(bool));
	int			i;

	for (i = 0; i < list->field_count; i++)
		values[i] = mf_field_datum(&list->fields[i], texts[i], TupleDescAttr(rsinfo->setDesc, i)->atttypid, account,
								   &nulls[i]);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

static void
free_list_result(void *result)
{
	mf_list_result_free((MfListResult *) result);
}
