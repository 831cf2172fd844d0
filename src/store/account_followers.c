/*
 * account_followers.c
 *	  Tables of other extensions that name accounts.
 *
 * What names an account has to follow its server, or a new server of the old name
 * gets what was meant for another one, and what is made under the new name does not
 * know of what was made before.  Our own tables are known to move_account.  Of those of
 * other extensions only these know what is to be done where the new name has a row of
 * the same key already, so each has a function for it.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/account_followers.c
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "database/sql_array.h"
#include "store/account_followers.h"

/* functions of other extensions, because anybody who may create functions here could add others */
static MfStatement functions_statement = {
	"SELECT p.oid::int8 FROM pg_proc p WHERE p.pronamespace = $1 AND p.proname ~ '^mf_move_' "
	"  AND p.proargtypes = '25 25'::oidvector AND p.prorettype = 'int8'::regtype AND NOT p.proretset AND p.prosecdef "
	"  AND EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e') "
	"ORDER BY p.proname",
	1, {OIDOID}, NULL
};

static int64 call_followers(Oid schema, const char *account, const char *new_name);
static int64 call_function(Oid function, const char *account, const char *new_name);

void
mf_followers_move(Oid schema, const char *old_name, const char *new_name)
{
	(void) call_followers(schema, old_name, new_name);
}

bool
mf_followers_name(Oid schema, const char *account)
{
	return call_followers(schema, account, NULL) > 0;
}

static int64
call_followers(Oid schema, const char *account, const char *new_name)
{
	MfSqlScope	scope;
	Datum		value = ObjectIdGetDatum(schema);
	Oid		   *functions;
	uint64		count;
	uint64		i;
	int64		rows = 0;

	mf_sql_begin(&scope, schema);
	count = mf_sql_execute(&scope, &functions_statement, &value, NULL);
	functions = (Oid *) palloc(Max(count, 1) * sizeof(Oid));
	for (i = 0; i < count; i++)
		functions[i] = (Oid) mf_result_int8(i, 1);
	mf_sql_end(&scope);

	/* outside of the scope: they have their owner's rights, and none of our statements' */
	for (i = 0; i < count; i++)
		rows += call_function(functions[i], account, new_name);
	pfree(functions);
	return rows;
}

/* The function manager takes on the owner of a SECURITY DEFINER function, and asks for no right to execute it. */
static int64
call_function(Oid function, const char *account, const char *new_name)
{
	FmgrInfo	flinfo;
	Datum		result;

	LOCAL_FCINFO(fcinfo, 2);

	fmgr_info(function, &flinfo);
	InitFunctionCallInfoData(*fcinfo, &flinfo, 2, DEFAULT_COLLATION_OID, NULL, NULL);
	fcinfo->args[0].value = CStringGetTextDatum(account);
	fcinfo->args[0].isnull = false;
	fcinfo->args[1].value = new_name ? CStringGetTextDatum(new_name) : (Datum) 0;
	fcinfo->args[1].isnull = new_name == NULL;
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	result = FunctionCallInvoke(fcinfo);
	PopActiveSnapshot();
	return fcinfo->isnull ? 0 : DatumGetInt64(result);
}
