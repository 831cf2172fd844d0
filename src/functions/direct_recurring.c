/*
 * direct_recurring.c
 *	  mf_cancel_recurring(), mf_resume_recurring(): what people have done to MyFatoorah's
 *	  recurring payments, in a session that waits for the answer.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/direct_recurring.c
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/compat.h"
#include "base/encoding.h"
#include "core/api/outcome.h"
#include "database/function_args.h"
#include "functions/backend_call.h"
#include "functions/direct_status.h"
#include "process/wakeup.h"
#include "store/recurring.h"

static void change_plan(FunctionCallInfo fcinfo, MfEndpointNumber endpoint, const char *function);
static void add_plan_context(void *plan);
static void report_failure(const MfSendResult *result, const MfHttpExchange *exchange, const MfAccount *account,
						   const char *plan, const char *done);

PG_FUNCTION_INFO_V1(mf_cancel_recurring);
PG_FUNCTION_INFO_V1(mf_resume_recurring);

Datum
mf_cancel_recurring(PG_FUNCTION_ARGS)
{
	change_plan(fcinfo, MF_CANCEL_RECURRING_PAYMENT, "mf_cancel_recurring");
	PG_RETURN_VOID();
}

Datum
mf_resume_recurring(PG_FUNCTION_ARGS)
{
	change_plan(fcinfo, MF_RESUME_RECURRING_PAYMENT, "mf_resume_recurring");
	PG_RETURN_VOID();
}

/* Makes the request; raises an error unless MyFatoorah says that it was done. */
static void
change_plan(FunctionCallInfo fcinfo, MfEndpointNumber endpoint, const char *function)
{
	char	   *plan = mf_required_text(fcinfo, 0, "recurring_id");
	const MfAccount *account = mf_account_get(mf_required_text(fcinfo, 1, "account"));
	MfSendResult *result = mf_send_result_alloc();
	ErrorContextCallback context = {NULL, add_plan_context, plan};
	MfHttpExchange *exchange;

	mf_refuse_in_trigger(function);
	mf_account_check_usage(account, GetUserId());
	if (plan[0] == '\0' || strlen(plan) > NAMEDATALEN)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for recurring_id: \"%.40s\"", plan),
				 errhint("Find it with: SELECT recurring_id FROM mf_recurring(%s)", quote_literal_cstr(account->name))));
	/* before the call: after it, nothing may fail */
	if (!XactReadOnly)
	{
		mf_recurring_read_soon(get_func_namespace(fcinfo->flinfo->fn_oid), account->name, plan);
		mf_news_at_commit(MF_NEWS_INQUIRIES);
	}
	exchange = mf_backend_call(account, &mf_endpoints[endpoint], mf_to_utf8(plan), NULL, strdup(""), 0, &context, NULL);
	mf_send_result_read(&mf_endpoints[endpoint], exchange, NULL, result);
	if (result->outcome != MF_OUTCOME_ACCEPTED)
		report_failure(result, exchange, account, plan, endpoint == MF_CANCEL_RECURRING_PAYMENT ? "Canceled" : "Active");
}

/* Error context callback while a request is under way, when errors are mostly cancels. */
static void
add_plan_context(void *plan)
{
	errcontext("recurring payment \"%s\"; if the request had left, only MyFatoorah knows whether it was done", (char *) plan);
}

/* Raises an error that says whether it may have been done: then the status of the plan is "done". */
static void
report_failure(const MfSendResult *result, const MfHttpExchange *exchange, const MfAccount *account, const char *plan,
			   const char *done)
{
	char	   *error = mf_from_utf8_lossy(result->error ? result->error : "out of memory");
	const char *shown = mf_shown_error(exchange, account, result->outcome != MF_OUTCOME_NOT_SENT, error);
	char	   *look = psprintf("SELECT recurring_status FROM mf_recurring(%s) WHERE recurring_id = %s",
								quote_literal_cstr(account->name), quote_literal_cstr(plan));

	switch (result->outcome)
	{
		case MF_OUTCOME_NOT_SENT:
			ereport(ERROR,
					(errcode(ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION),
					 errmsg("could not reach MyFatoorah for account \"%s\"", account->name),
					 errdetail_internal("%s", shown),
					 errdetail_log("%s", error),
					 errhint("Nothing was sent; the call can be repeated.")));
			break;
		case MF_OUTCOME_REJECTED:
		case MF_OUTCOME_THROTTLED:
		case MF_OUTCOME_ACCOUNT_PROBLEM:
			ereport(ERROR,
					(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
					 errmsg("MyFatoorah refused the request"),
					 errdetail_internal("%s", error),
					 errhint("%s tells: if it is \"%s\", it was done before. mf_refresh() of the row that begins it has the worker read that.", look, done)));
			break;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_TRANSACTION_RESOLUTION_UNKNOWN),
					 errmsg("it is unknown whether MyFatoorah has done it"),
					 errdetail_internal("%s", shown),
					 errdetail_log("%s", error),
					 errhint("%s tells: if it is \"%s\", it was done, and would be refused a second time: mf_refresh() of the row that begins it has the worker read that. If not, repeat the call.", look, done)));
	}
}
