/*
 * invoice_commands.c
 *	  mf_cancel(), mf_retry(), mf_refresh(), for one invoice or many.
 *
 * For one invoice, a failure is an error.  For many, it is the result of that invoice,
 * and the others are processed: they are divided into batches, and a batch that
 * fails is halved until the failing invoice is found.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/invoice_commands.c
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "database/function_args.h"
#include "functions/invoice_actions.h"
#include "store/row_rights.h"

/* A part of the invoices of one call */
typedef struct Batch
{
	MfAction	action;
	const MfCommand *command;
	MfNamed    *named;
	const char **results;
	int			count;
} Batch;

static Datum run_for_many(FunctionCallInfo fcinfo, MfAction action);
static void run_or_halve(Batch batch);
static void run_batch(void *argument);

PG_FUNCTION_INFO_V1(mf_cancel);
PG_FUNCTION_INFO_V1(mf_cancel_many);
PG_FUNCTION_INFO_V1(mf_retry);
PG_FUNCTION_INFO_V1(mf_retry_many);
PG_FUNCTION_INFO_V1(mf_refresh);
PG_FUNCTION_INFO_V1(mf_refresh_many);

/* The command of a call, whose second argument, if any, is the reason. */
static void
start_command(MfCommand *command, FunctionCallInfo fcinfo)
{
	mf_command_init(command, get_func_namespace(fcinfo->flinfo->fn_oid),
					PG_NARGS() > 1 ? mf_reason_argument(fcinfo, 1) : NULL);
}

/*
 * Runs an action for the invoice in the first argument, which the current role may update
 * if "locked".  Returns the result, and what is known of the invoice.
 */
static const char *
run_for_one(FunctionCallInfo fcinfo, MfAction action, MfNamed *named, bool locked)
{
	const char *result;
	MfCommand	command;

	mf_require_argument(fcinfo, 0, "id");
	memset(named, 0, sizeof(*named));
	named->invoice = PG_GETARG_INT64(0);
	start_command(&command, fcinfo);
	action(&command, named, &result, 1);
	mf_check_named(named, locked ? command.table : InvalidOid);
	return result;
}

Datum
mf_cancel(PG_FUNCTION_ARGS)
{
	MfNamed		named;
	const char *result = run_for_one(fcinfo, mf_action_cancel, &named, true);

	if (strcmp(result, MF_RESULT_CANCEL_REQUESTED) == 0)
		ereport(NOTICE,
				(errmsg("invoice %lld is \"%s\" and may exist already", (long long) named.invoice, mf_status_name(named.job->status)),
				 errdetail("It will be looked up, and cancelled instead of sent if it does not exist.")));
	else if (strcmp(result, MF_RESULT_CANCELLED) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("invoice %lld cannot be cancelled", (long long) named.invoice),
				 errdetail("Its status is \"%s\".", mf_status_name(named.job->status)),
				 errhint("Cancel a sent invoice in the MyFatoorah portal. Decide about one in review with mf_resolve().")));
	PG_RETURN_VOID();
}

Datum
mf_retry(PG_FUNCTION_ARGS)
{
	MfNamed		named;
	const char *result = run_for_one(fcinfo, mf_action_retry, &named, true);

	if (strcmp(result, MF_RESULT_QUEUED) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("invoice %lld cannot be sent again", (long long) named.invoice),
				 errdetail("Its status is \"%s\".", mf_status_name(named.job->status)),
				 errhint("Only rejected invoices can be sent again. Correct the row with UPDATE first.")));
	PG_RETURN_VOID();
}

Datum
mf_refresh(PG_FUNCTION_ARGS)
{
	MfNamed		named;
	const char *result = run_for_one(fcinfo, mf_action_refresh, &named, false);

	if (strcmp(result, MF_RESULT_NOT_SENT) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("invoice %lld has not been sent", (long long) named.invoice),
				 errhint("Only an invoice whose status is \"sent\" can be asked about.")));
	PG_RETURN_VOID();
}

Datum
mf_cancel_many(PG_FUNCTION_ARGS)
{
	return run_for_many(fcinfo, mf_action_cancel);
}

Datum
mf_retry_many(PG_FUNCTION_ARGS)
{
	return run_for_many(fcinfo, mf_action_retry);
}

Datum
mf_refresh_many(PG_FUNCTION_ARGS)
{
	return run_for_many(fcinfo, mf_action_refresh);
}

/* The invoices in the array of the first argument, sorted and without duplicates; *has_null tells whether it has a null. */
static MfNamed *
ids_argument(FunctionCallInfo fcinfo, int *count, bool *has_null)
{
	Datum	   *values;
	bool	   *nulls;
	MfNamed    *named;
	int16		length;
	bool		by_value;
	char		align;
	int			given;
	int			i;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("ids must not be null"),
				 errhint("ARRAY(SELECT id ...) is empty, not null, if there are no rows.")));
	get_typlenbyvalalign(INT8OID, &length, &by_value, &align);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), INT8OID, length, by_value, align, &values, &nulls, &given);
	named = (MfNamed *) palloc0(Max(given, 1) * sizeof(MfNamed));
	*has_null = false;
	*count = 0;
	for (i = 0; i < given; i++)
	{
		if (nulls[i])
			*has_null = true;
		else
			named[(*count)++].invoice = DatumGetInt64(values[i]);
	}
	*count = mf_named_sort(named, *count);
	return named;
}

/* Runs an action for all invoices of the first argument, and returns a row (id, result) for each. */
static Datum
run_for_many(FunctionCallInfo fcinfo, MfAction action)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MfCommand	command;
	bool		has_null;
	int			count;
	MfNamed    *named = ids_argument(fcinfo, &count, &has_null);
	const char **results = (const char **) palloc0(Max(count, 1) * sizeof(char *));
	int			i;

	start_command(&command, fcinfo);
	mf_start_rows(fcinfo);

	/* a role without any right on the tables gets an error, not results */
	action(&command, named, results, 0);
	for (i = 0; i < count; i += MF_ACTION_BATCH)
	{
		Batch		batch = {action, &command, &named[i], &results[i], Min(MF_ACTION_BATCH, count - i)};

		run_or_halve(batch);
	}

	/* all nulls of the array are one row, the last */
	for (i = 0; i < count + (has_null ? 1 : 0); i++)
	{
		Datum		values[2];
		bool		nulls[2] = {i == count, false};

		values[0] = nulls[0] ? (Datum) 0 : Int64GetDatum(named[i].invoice);
		values[1] = CStringGetTextDatum(nulls[0] ? MF_RESULT_NOT_FOUND : results[i]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* Runs a batch or, if that fails, its halves. */
static void
run_or_halve(Batch batch)
{
	Batch		half = batch;
	ErrorData  *error;

	CHECK_FOR_INTERRUPTS();
	error = mf_sql_try(run_batch, &batch);
	if (error == NULL)
		return;
	if (mf_error_is_systemic(error))
		ReThrowError(error);
	if (batch.count == 1)
	{
		batch.results[0] = psprintf("failed: %s", mf_error_text(error));
		return;
	}
	half.count = batch.count / 2;
	run_or_halve(half);
	half.named = &batch.named[half.count];
	half.results = &batch.results[half.count];
	half.count = batch.count - half.count;
	run_or_halve(half);
}

static void
run_batch(void *argument)
{
	const Batch *batch = (const Batch *) argument;

	mf_action_run(batch->action, batch->command, batch->named, batch->results, batch->count);
}
