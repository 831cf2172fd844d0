/*
 * user_call.c
 *	  Calls a function of a user, with the rights of its owner, from a process of
 *	  the extension.
 *
 * The session of such a process is a superuser's, and it calls functions of several
 * roles.  So a function has only the rights of its owner and cannot get others; it
 * leaves no setting, session lock or deferred trigger behind; and its time is
 * limited.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/database/user_call.c
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "commands/extension.h"
#include "commands/sequence.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timeout.h"
#include "utils/varlena.h"

#include "base/compat.h"
#include "base/settings.h"
#include "database/sql.h"
#include "database/user_call.h"
#include "process/process.h"

/* A function that ignores its cancel ends the process after this time. */
#define KILL_MS(timeout_ms) (2 * (timeout_ms) + 1000)

/* Maximum length of an error that is stored, in characters */
#define MAX_FAILURE 1000

/* The current call */
typedef struct Run
{
	MfUserCall *call;
	MemoryContext context;		/* for the result */
	Oid			role;
	bool		timed_out;
} Run;

static TimeoutId timeout = MAX_TIMEOUTS;
static TimeoutId kill_timeout = MAX_TIMEOUTS;

static bool may_register(const MfUserCall *call, Oid role);
static void run_function(void *argument);
static void apply_settings(void);
static void invoke_function(const Run *run);
static void cancel_function(void);
static void end_process(void);
static bool stop_timeouts(void);

/*
 * The function of that name with these arguments; InvalidOid if there is none.  Reads the catalogs
 * directly, so that neither the search path nor the rights of the current role matter.
 */
static Oid
user_function(const MfUserCall *call)
{
	List	   *names = textToQualifiedNameList(cstring_to_text(call->function));
	Oid			schema;

	if (list_length(names) != 2)
		return InvalidOid;
	schema = get_namespace_oid(strVal(linitial(names)), true);
	if (!OidIsValid(schema))
		return InvalidOid;
	return mf_find_function(schema, strVal(lsecond(names)), call->types, call->nargs);
}

Oid
mf_find_function(Oid schema, const char *name, const Oid *types, int nargs)
{
	return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(name),
						   PointerGetDatum(buildoidvector(types, nargs)), ObjectIdGetDatum(schema));
}

static bool
is_plain(Form_pg_proc proc, const MfUserCall *call)
{
	return proc->prokind == PROKIND_FUNCTION && !proc->proretset &&
		(!OidIsValid(call->returns) || proc->prorettype == call->returns);
}

char *
mf_user_call_refusal(const MfUserCall *call, Oid *role)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(user_function(call)));
	Form_pg_proc proc;
	Oid			current_owner;
	bool		plain;

	if (!HeapTupleIsValid(tuple))
		return pstrdup("the function does not exist any more");
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	current_owner = proc->proowner;
	plain = is_plain(proc, call);
	ReleaseSysCache(tuple);

	*role = get_role_oid(mf_user_call_owner(call), true);
	if (current_owner != *role)
		return psprintf("it belongs to role \"%s\" now, and belonged to \"%s\" when it was registered",
						GetUserNameFromId(current_owner, true), call->owner);
	if (!plain)
		return pstrdup("it is no function that returns a single value any more");
	if (call->registrant != NULL && !may_register(call, *role) && !may_register(call, get_role_oid(call->registrant, true)))
		return psprintf("neither role \"%s\", which owns it, nor role \"%s\", which has registered it, may call %s() any more",
						call->owner, call->registrant, get_func_name(call->registrar));
	return NULL;
}

static bool
may_register(const MfUserCall *call, Oid role)
{
	return OidIsValid(role) && mf_function_usable(call->registrar, role);
}

const char *
mf_user_call_owner(const MfUserCall *call)
{
	Oid			function = call->registrant == NULL ? user_function(call) : InvalidOid;

	if (OidIsValid(function) && OidIsValid(getExtensionOfObject(ProcedureRelationId, function)))
		return mf_function_owner(function);
	return call->owner;
}

char *
mf_registered_name(Oid function)
{
	bool		quote_all = quote_all_identifiers;
	char	   *name;

	/* one name, whoever asks */
	quote_all_identifiers = false;
	name = quote_qualified_identifier(get_namespace_name(get_func_namespace(function)), get_func_name(function));
	quote_all_identifiers = quote_all;
	return name;
}

void
mf_user_function_check(Oid function, const MfUserCall *call, const MfFunctionUse *use)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Form_pg_proc proc;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("function with OID %u does not exist", function)));
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	if (!is_plain(proc, call) || proc->pronargs != call->nargs ||
		memcmp(proc->proargtypes.values, call->types, call->nargs * sizeof(Oid)) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
				 errmsg("function %s cannot be registered", mf_registered_name(function)),
				 errdetail_internal("%s", dgettext(TEXTDOMAIN, use->needed)),
				 errhint("%s", dgettext(TEXTDOMAIN, use->declaration))));
	if (isAnyTempNamespace(proc->pronamespace))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
				 errmsg("function %s cannot be registered", mf_registered_name(function)),
				 errdetail("A temporary function is dropped at the end of its session.")));
	if (!has_privs_of_role(GetUserId(), proc->proowner))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_FUNCTION, NameStr(proc->proname));
	ReleaseSysCache(tuple);
}

char *
mf_function_owner(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
	ReleaseSysCache(tuple);
	return GetUserNameFromId(owner, false);
}

char *
mf_registering_extension(void)
{
	return creating_extension ? get_extension_name(CurrentExtensionObject) : NULL;
}

/*
 * Deferred constraints are checked during the call, so that their violation fails
 * the call, not the commit.  No function gets numbers of a sequence that another has cached.
 */
void
mf_user_call_prepare(void)
{
	ConstraintsSetStmt *statement = makeNode(ConstraintsSetStmt);

	AfterTriggerSetState(statement);
	ResetSequenceCaches();
}

/*
 * mf_sql_try() passes a cancel on, after it has rolled the subtransaction back; here it
 * becomes a failure if our time-out was the cause.
 */
const char *
mf_user_call(MfUserCall *call)
{
	MemoryContext context = CurrentMemoryContext;
	Run			run = {call, CurrentMemoryContext, InvalidOid, false};
	const char *volatile failure = mf_user_call_refusal(call, &run.role);

	call->result = (Datum) 0;
	call->isnull = true;
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

static void
invoke_function(const Run *run)
{
	MfUserCall *call = run->call;
	FmgrInfo	function;
	Datum		result;
	int			i;

	LOCAL_FCINFO(fcinfo, MF_USER_CALL_ARGS);

	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (call->is_wanted == NULL || call->is_wanted(call->argument))
	{
		fmgr_info(user_function(call), &function);
		InitFunctionCallInfoData(*fcinfo, &function, call->nargs, InvalidOid, NULL, NULL);
		for (i = 0; i < call->nargs; i++)
		{
			fcinfo->args[i].value = call->args[i];
			fcinfo->args[i].isnull = false;
		}
		result = FunctionCallInvoke(fcinfo);
		call->isnull = fcinfo->isnull || !OidIsValid(call->returns);
		if (!call->isnull)
		{
			MemoryContext old = MemoryContextSwitchTo(run->context);
			int16		length;
			bool		by_value;

			get_typlenbyval(call->returns, &length, &by_value);
			call->result = datumCopy(result, by_value, length);
			MemoryContextSwitchTo(old);
		}
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
