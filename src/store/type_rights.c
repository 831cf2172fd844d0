/*
 * type_rights.c
 *	  Rights on the row types of our tables and views.
 *
 * An installation leaves them to nobody but our roles: whoever may use a row type may
 * make a table with a column of it, which then keeps our table from being changed.  No dump has these rights.  So pg_upgrade, which
 * restores the members of an extension one by one, loses them.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/type_rights.c
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/compat.h"
#include "base/settings.h"
#include "database/sql_array.h"
#include "store/type_rights.h"

#define OPEN_TYPES \
	"FROM pg_catalog.pg_type t JOIN pg_catalog.pg_class c ON c.oid = t.typrelid " \
	"JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e' " \
	"JOIN pg_catalog.pg_extension e ON d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.refobjid = e.oid " \
	"WHERE e.extname IN ('" MF_EXTENSION "', '" MF_EXTENSION "_billing') AND c.relkind IN ('r', 'p', 'v') AND EXISTS (SELECT FROM " \
	"  pg_catalog.aclexplode(coalesce(t.typacl, pg_catalog.acldefault('T', t.typowner))) a WHERE a.grantee = 0)"

static MfStatement count_statement = {
	"SELECT count(*) " OPEN_TYPES, 0, {0}, NULL
};

static MfStatement types_statement = {
	"SELECT format('REVOKE ALL ON TYPE %s.%I FROM PUBLIC', c.relnamespace::regnamespace, t.typname), t.typowner " OPEN_TYPES " ORDER BY t.typname",
	0, {0}, NULL
};

static MfStatement result_statement = {
	"SELECT 'type', $1 WHERE $1 > 0", 1, {INT8OID}, NULL
};

static void run(Oid owner, const char *command);

int64
mf_type_rights_missing(const MfSqlScope *scope)
{
	(void) mf_sql_execute(scope, &count_statement, NULL, NULL);
	return mf_result_int8(0, 1);
}

void
mf_type_rights_repair(const MfSqlScope *scope)
{
	uint64		count = mf_sql_execute(scope, &types_statement, NULL, NULL);
	char	  **commands = (char **) palloc(Max(count, 1) * sizeof(char *));
	Oid		   *owners = (Oid *) palloc(Max(count, 1) * sizeof(Oid));
	Datum		number = Int64GetDatum((int64) count);
	uint64		i;

	for (i = 0; i < count; i++)
	{
		commands[i] = mf_result_text(i, 1);
		owners[i] = mf_result_oid(i, 2);
	}
	for (i = 0; i < count; i++)
		run(owners[i], commands[i]);
	if (count > 0)
		run(mf_relation_owner(get_relname_relid("mf_invoice", scope->schema)),
			psprintf("GRANT USAGE ON TYPE %s TO %s, %s",
					 quote_qualified_identifier(get_namespace_name(scope->schema), "mf_invoice"), MF_SUBMIT_ROLE, MF_READ_ROLE));
	(void) mf_sql_execute(scope, &result_statement, &number, NULL);
}

/* As the owner of the type, who an operator is not */
static void
run(Oid owner, const char *command)
{
	Oid			userid;
	int			security_context;

	GetUserIdAndSecContext(&userid, &security_context);
	SetUserIdAndSecContext(owner, security_context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	if (SPI_execute(command, false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not run: %s", command);
	SetUserIdAndSecContext(userid, security_context);
}
