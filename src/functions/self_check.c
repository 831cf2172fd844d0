/*
 * self_check.c
 *	  mf_check(): reports what is wrong with the configuration, and what to do.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/self_check.c
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/compat.h"
#include "database/function_args.h"
#include "database/sql.h"
#include "functions/self_check.h"

static void check_database_and_account(void *argument);

PG_FUNCTION_INFO_V1(mf_check);

/* An error of a check becomes a row as well. */
Datum
mf_check(PG_FUNCTION_ARGS)
{
	MfCheck		check = {(ReturnSetInfo *) fcinfo->resultinfo, mf_required_text(fcinfo, 0, "account"),
	get_func_namespace(fcinfo->flinfo->fn_oid)};
	ErrorData  *error;

	mf_start_rows(fcinfo);
	if (!mf_check_server(&check))
		return (Datum) 0;

	error = mf_sql_try(check_database_and_account, &check);
	if (error != NULL)
		mf_check_report(&check, "account", false, mf_error_text(error),
						error->hint ? error->hint : "Further checks were skipped. Remove the cause, then call mf_check() again.");
	return (Datum) 0;
}

static void
check_database_and_account(void *argument)
{
	const MfCheck *check = (const MfCheck *) argument;

	mf_check_database(check);
	mf_check_account(check);
}

void
mf_check_report(const MfCheck *check, const char *item, bool ok, const char *detail, const char *hint)
{
	Datum		values[4];
	bool		nulls[4] = {false, false, false, false};

	values[0] = CStringGetTextDatum(item);
	values[1] = BoolGetDatum(ok);
	values[2] = CStringGetTextDatum(detail);
	values[3] = hint ? CStringGetTextDatum(hint) : (Datum) 0;
	nulls[3] = hint == NULL;
	tuplestore_putvalues(check->rsinfo->setResult, check->rsinfo->setDesc, values, nulls);
}
