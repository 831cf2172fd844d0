/*
 * on_change_call.c
 *	  Calls a function that mf_on_change() has registered.
 *
 * The session of this process is a superuser's, and it calls functions of several
 * roles.  So a function has only the rights of its owner and cannot get others; it
 * leaves no setting, session lock or deferred trigger behind; and its time is
 * limited.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/on_change/on_change_call.c
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timeout.h"
#include "utils/varlena.h"

#include "base/compat.h"
#include "base/settings.h"
#include "database/sql.h"
#include "on_change/on_change_call.h"
#include "process/process.h"
#include "store/invoice_lookup.h"

/* A function that ignores its cancel ends the process after this time. */
#define KILL_MS(timeout_ms) (2 * (timeout_ms) + 1000)

/* Maximum length of an error that is stored, in characters */
#define MAX_FAILURE 1000

/* The current call */
typedef struct Run
{
	const MfReactionCall *call;
	Oid			role;
	bool		timed_out;
} Run;

static TimeoutId timeout = MAX_TIMEOUTS;
static TimeoutId kill_timeout = MAX_TIMEOUTS;

static void run_function(void *argument);
static void apply_settings(void);
static void invoke_function(const Run *run);
static void cancel_function(void);
static void end_process(void);
static bool stop_timeouts(void);

/* Reads the catalogs directly, so that neither the search path nor the rights of the current role matter. */
Oid
mf_reaction_find(Oid schema, const char *function)
{
	List	   *names = textToQualifiedNameList(cstring_to_text(function));
	Oid			row = get_rel_type_id(get_relname_relid("mf_invoice", schema));
	Oid			types[2] = {row, row};
	Oid			found;

	if (list_length(names) != 2)
		return InvalidOid;
	found = get_namespace_oid(strVal(linitial(names)), true);
	if (!OidIsValid(found))
		return InvalidOid;
	return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(strVal(lsecond(names))),
						   PointerGetDatum(buildoidvector(types, lengthof(types))), ObjectIdGetDatum(found));
}

char *
mf_reaction_refusal(Oid schema, const char *function, const char *owner, Oid *role)
{
	Oid			found = mf_reaction_find(schema, function);
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(found));
	Form_pg_proc proc;
	Oid			current_owner;
	bool		plain;

	if (!HeapTupleIsValid(tuple))
		return pstrdup("the function does not exist any more");
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	current_owner = proc->proowner;
	plain = proc->prokind == PROKIND_FUNCTION && !proc->proretset;
	ReleaseSysCache(tuple);

	*role = get_role_oid(owner, true);
	if (current_owner != *role)
		return psprintf("it belongs to role \"%s\" now, and belonged to \"%s\" when it was registered",
						GetUserNameFromId(current_owner, true), owner);
	if (!plain)
		return pstrdup("it is no function that returns a single value any more");
	if (pg_class_aclcheck(get_relname_relid("mf_invoice", schema), *role, ACL_SELECT) != ACLCHECK_OK)
		return psprintf("role \"%s\", which owns it, may not read mf_invoice", owner);
	return NULL;
}

/*
 * mf_sql_try() passes a cancel on, after it has rolled the subtransaction back; here it
 * becomes a failure if our time-out was the cause.
 */
const char *
mf_reaction_call(const MfReactionCall *call)
{
	MemoryContext context = CurrentMemoryContext;
	Run			run = {call, InvalidOid, false};
	const char *volatile failure = mf_reaction_refusal(call->schema, call->function, call->owner, &run.role);

	if (failure != NULL)
		return failure;
	if (timeout == MAX_TIMEOUTS)
	{
		timeout = RegisterTimeout(USER_TIMEOUT, cancel_function);
		kill_timeout = RegisterTimeout(USER_TIMEOUT, end_process);
	}
	PG_TRY();
	{
		ErrorData  *error = mf_sql_try(run_function, &run);

		if (error != NULL)
		{
			failure = mf_error_text(error);
			failure = pnstrdup(failure, pg_mbcharcliplen(failure, strlen(failure), MAX_FAILURE));
		}
	}
	PG_CATCH();
	{
		if (!run.timed_out)
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		FlushErrorState();
		failure = psprintf("it took longer than myfatoorah.on_change_timeout (%d ms)", mf_on_change_timeout);
	}
	PG_END_TRY();
	return failure;
}

/* In the subtransaction, whose rollback restores role and settings, too. */
static void
run_function(void *argument)
{
	Run		   *run = (Run *) argument;
	Oid			userid;
	int			security_context;
	int			guc_level;

	GetUserIdAndSecContext(&userid, &security_context);
	SetUserIdAndSecContext(run->role,
						   security_context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	guc_level = NewGUCNestLevel();
	apply_settings();

	PG_TRY();
	{
		enable_timeout_after(timeout, mf_on_change_timeout);
		enable_timeout_after(kill_timeout, KILL_MS(mf_on_change_timeout));
		mf_process_expendable = true;
		invoke_function(run);
	}
	PG_FINALLY();
	{
		mf_process_expendable = false;
		run->timed_out = stop_timeouts();
	}
	PG_END_TRY();
	/* the function may have caught the cancel */
	if (run->timed_out)
		ereport(ERROR,
				(errcode(ERRCODE_QUERY_CANCELED),
				 errmsg("canceling statement due to myfatoorah.on_change_timeout")));

	AtEOXact_GUC(false, guc_level);
	SetUserIdAndSecContext(userid, security_context);
}

/* The same settings for every function, whatever earlier ones have set. */
static void
apply_settings(void)
{
	static const char *const settings[][2] = {
		{"search_path", MF_SAFE_PATH},
		{"row_security", "on"},
		{"lock_timeout", "0"},
		{"TimeZone", "UTC"},
		{"standard_conforming_strings", "on"},
		{"transform_null_equals", "off"},
		/* functions of users must not fill the log of the server */
		{"log_min_messages", "fatal"},
	};
	int			i;

	for (i = 0; i < (int) lengthof(settings); i++)
	{
		const char *value = GetConfigOption(settings[i][0], true, false);

		if (value != NULL && strcmp(value, settings[i][1]) != 0)
			(void) set_config_option(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE,
									 true, 0, false);
	}
}

/* Does not call the function if row-level security hides the invoice from its owner. */
static void
invoke_function(const Run *run)
{
	const MfReactionCall *call = run->call;
	FmgrInfo	function;

	LOCAL_FCINFO(fcinfo, 2);

	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (check_enable_rls(get_relname_relid("mf_invoice", call->schema), InvalidOid, true) != RLS_ENABLED ||
		mf_queue_is_visible(call->schema, call->invoice))
	{
		fmgr_info(mf_reaction_find(call->schema, call->function), &function);
		InitFunctionCallInfoData(*fcinfo, &function, 2, InvalidOid, NULL, NULL);
		fcinfo->args[0].value = call->before;
		fcinfo->args[0].isnull = false;
		fcinfo->args[1].value = call->after;
		fcinfo->args[1].isnull = false;
		(void) FunctionCallInvoke(fcinfo);
	}
	PopActiveSnapshot();
}

/* Time-out handler */
static void
cancel_function(void)
{
	InterruptPending = true;
	QueryCancelPending = true;
}

/* Time-out handler: the function did not end by the cancel. */
static void
end_process(void)
{
	InterruptPending = true;
	ProcDiePending = true;
}

/*
 * Whether the function has timed out; false if something else was cancelled, too.  A
 * cancel that arrived after the function had ended is discarded.
 */
static bool
stop_timeouts(void)
{
	disable_timeout(kill_timeout, false);
	disable_timeout(timeout, true);
	if (!get_timeout_indicator(timeout, true) || mf_process_cancelled())
		return false;
	QueryCancelPending = false;
	return true;
}
