/*
 * user_code.c
 *	  Restricts code of users that runs within our statements.
 *
 * A user's trigger on a table of ours runs in the session of whoever calls a
 * function of ours, or in the worker; a function of mf_on_change() runs in a process
 * of ours.  Such code could leave something in the session that runs later, with the
 * rights of that session: a cursor WITH HOLD, a temporary view, a prepared statement.
 *
 * PostgreSQL prevents that in a security-restricted operation.  But within one no
 * deferred trigger or constraint can be queued, and users rely on these.  So each
 * utility command of such code is such an operation by itself, and the queries
 * between them are not.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/database/user_code.c
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

#include "base/text_domain.h"
#include "database/sql.h"
#include "process/process.h"

/*
 * Whether code of a user is running, by the current role.  A role that has all
 * rights of the session's role needs no restriction.
 */
static bool
runs_user_code(void)
{
	return (mf_process_is_ours || mf_sql_is_active()) && !has_privs_of_role(GetUserId(), GetOuterUserId());
}

/*
 * A command that runs other commands or queries is not restricted: its queries may
 * queue deferred triggers, and the utility commands among them come here themselves.
 */
bool
mf_user_code_restrict(NodeTag command, int *security_context)
{
	Oid			role;

	switch (command)
	{
		case T_CallStmt:
		case T_CopyStmt:
		case T_DoStmt:
		case T_ExecuteStmt:
		case T_ExplainStmt:
		case T_TransactionStmt:
			return false;
		default:
			break;
	}
	if (!runs_user_code())
		return false;
	/* it would run deferred triggers of others as the current role */
	if (command == T_ConstraintsSetStmt)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot set constraints within a change made by myfatoorah"),
				 errdetail("Constraints and triggers of others may be deferred in the same transaction.")));
	GetUserIdAndSecContext(&role, security_context);
	SetUserIdAndSecContext(role, *security_context | SECURITY_RESTRICTED_OPERATION);
	return true;
}

void
mf_user_code_release(int security_context)
{
	SetUserIdAndSecContext(GetUserId(), security_context);
}

/*
 * Locks of the session outlive the transaction.  They are taken by functions, which
 * everybody may call also in a security-restricted operation.
 */
void
mf_user_code_check_function(Oid function)
{
	switch (function)
	{
		case F_PG_ADVISORY_LOCK_INT8:
		case F_PG_ADVISORY_LOCK_INT4_INT4:
		case F_PG_ADVISORY_LOCK_SHARED_INT8:
		case F_PG_ADVISORY_LOCK_SHARED_INT4_INT4:
		case F_PG_TRY_ADVISORY_LOCK_INT8:
		case F_PG_TRY_ADVISORY_LOCK_INT4_INT4:
		case F_PG_TRY_ADVISORY_LOCK_SHARED_INT8:
		case F_PG_TRY_ADVISORY_LOCK_SHARED_INT4_INT4:
		case F_PG_ADVISORY_UNLOCK_INT8:
		case F_PG_ADVISORY_UNLOCK_INT4_INT4:
		case F_PG_ADVISORY_UNLOCK_SHARED_INT8:
		case F_PG_ADVISORY_UNLOCK_SHARED_INT4_INT4:
		case F_PG_ADVISORY_UNLOCK_ALL:
			break;
		default:
			return;
	}
	if (runs_user_code())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot call %s() within a change made by myfatoorah", get_func_name(function)),
				 errdetail("The lock would belong to the session, which is that of another role."),
				 errhint("Use a lock that ends with the transaction, such as pg_advisory_xact_lock().")));
}
