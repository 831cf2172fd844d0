/*
 * user_code.c
 *	  Code of users that runs inside of what we do, and leaves nothing behind.
 *
 * A trigger on a table of ours runs in the session of whoever calls a function of
 * ours, or of the worker; a function of mf_on_change() in the worker.  What such a
 * guest left there would act later, with the rights of that session: a cursor
 * WITH HOLD, a temporary view, a prepared statement.
 *
 * The server has a guard against that, the security-restricted operation.  But
 * while one is on, no deferred trigger and no deferred constraint can be
 * queued, which users rely on.  So each command of a guest is one by itself,
 * and the queries between them are none.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/database/user_code.c
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

#include "database/sql.h"
#include "database/user_code.h"
#include "process/process.h"

static bool is_guest(void);

/* Whose code it is tells the current role.  One that has all rights of the session's role is no guest. */
static bool
is_guest(void)
{
	return (mf_process_is_ours || mf_sql_is_active()) && !has_privs_of_role(GetUserId(), GetOuterUserId());
}

/* See user_code.h.  Commands that run queries are none: the commands in them are seen by themselves. */
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
	if (!is_guest())
		return false;
	/* it would run what others have deferred, as the guest */
	if (command == T_ConstraintsSetStmt)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot set constraints inside of a change of myfatoorah"),
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

/* See user_code.h.  No command and no right says what these functions do. */
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
	if (is_guest())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot call %s() inside of a change of myfatoorah", get_func_name(function)),
				 errdetail("Such a lock is the session's, which is another role's."),
				 errhint("Use a lock that ends with the transaction, such as pg_advisory_xact_lock().")));
}
