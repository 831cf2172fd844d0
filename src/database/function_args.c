/*
 * function_args.c
 *	  Arguments and results of SQL-callable functions, and where they may be called.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/database/function_args.c
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/trigger.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"

#include "base/compat.h"
#include "database/function_args.h"
#include "process/process.h"

/*
 * A trigger that is rolled back would leave an invoice at MyFatoorah, and while
 * MyFatoorah is slow the transaction would keep its locks.
 */
void
mf_refuse_in_trigger(const char *function)
{
	LOCAL_FCINFO(depth, 0);
	bool		in_trigger;

	InitFunctionCallInfoData(*depth, NULL, 0, InvalidOid, NULL, NULL);
	in_trigger = DatumGetInt32(pg_trigger_depth(depth)) > 0;
	if (in_trigger || mf_process_is_ours)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg(in_trigger ? "%s() cannot be called in a trigger" :
						"%s() cannot be called by a function of mf_on_change(), mf_on_time() or mf_on_request()", function),
				 errdetail("An invoice that was sent is not taken back when the transaction is rolled back."),
				 errhint("Insert into mf_invoice instead, or use the trigger function mf_enqueue(): the invoice is sent "
						 "after the commit.")));
}

void
mf_require_argument(FunctionCallInfo fcinfo, int number, const char *name)
{
	if (PG_ARGISNULL(number))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name)));
}

char *
mf_required_text(FunctionCallInfo fcinfo, int number, const char *name)
{
	mf_require_argument(fcinfo, number, name);
	return text_to_cstring(PG_GETARG_TEXT_PP(number));
}

void
mf_start_rows(FunctionCallInfo fcinfo)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	TupleDesc	desc;
	MemoryContext old;

	if (rsinfo == NULL || !IsA(rsinfo, ReturnSetInfo) || (rsinfo->allowedModes & SFRM_Materialize) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("set-valued function called in context that cannot accept a set"),
				 errhint("Call it in FROM.")));
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	old = MemoryContextSwitchTo(rsinfo->econtext->ecxt_per_query_memory);
	rsinfo->returnMode = SFRM_Materialize;
	rsinfo->setResult = tuplestore_begin_heap(true, false, work_mem);
	rsinfo->setDesc = CreateTupleDescCopy(desc);
	MemoryContextSwitchTo(old);
}

char *
mf_optional_text(FunctionCallInfo fcinfo, int number)
{
	return PG_ARGISNULL(number) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(number));
}

void
mf_require_read_committed(const char *function)
{
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s cannot see changes in a transaction of isolation level %s", function,
						GetConfigOption("transaction_isolation", false, false)),
				 errhint("Call it in a transaction of isolation level read committed.")));
}
