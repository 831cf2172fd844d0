/*
 * extension_functions.c
 *	  Functions of other extensions that add to one of ours: those of a name.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/database/extension_functions.c
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "base/compat.h"
#include "database/extension_functions.h"

static char *argument_types(const MfExtensionCall *call);

static MfStatement functions_statement = {
	"SELECT format('%I.%I', n.nspname, p.proname) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace "
	"WHERE p.pronamespace = $1 AND starts_with(p.proname, $2) AND p.proretset AND p.proargtypes = $3::oidvector "
	"  AND has_function_privilege(p.oid, 'EXECUTE') "
	"  AND EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e') "
	"ORDER BY p.proname",
	3, {OIDOID, TEXTOID, TEXTOID}, NULL
};

void
mf_extension_functions_call(const MfSqlScope *scope, const MfExtensionCall *call)
{
	Datum		values[] = {
		ObjectIdGetDatum(scope->schema), CStringGetTextDatum(call->prefix), CStringGetTextDatum(argument_types(call))
	};
	Oid			types[MF_EXTENSION_CALL_ARGS];
	Datum		given[MF_EXTENSION_CALL_ARGS];
	uint64		count = mf_sql_execute(scope, &functions_statement, values, NULL);
	char	  **names = (char **) palloc(count * sizeof(char *));
	uint64		i;

	memcpy(types, call->types, sizeof(types));
	memcpy(given, call->values, sizeof(given));
	for (i = 0; i < count; i++)
		names[i] = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
	for (i = 0; i < count; i++)
	{
		const char *arguments = call->nargs == 1 ? "$1" : "$1, $2";

		if (SPI_execute_with_args(psprintf("SELECT %s FROM %s(%s)", call->columns, names[i], arguments),
								  call->nargs, types, given, call->nulls, call->read_only, 0) != SPI_OK_SELECT)
			elog(ERROR, "could not call %s()", names[i]);
		call->take(call->argument);
	}
}

/* As the text of an oidvector */
static char *
argument_types(const MfExtensionCall *call)
{
	StringInfoData text;
	int			i;

	initStringInfo(&text);
	for (i = 0; i < call->nargs; i++)
		appendStringInfo(&text, i == 0 ? "%u" : " %u", call->types[i]);
	return text.data;
}
