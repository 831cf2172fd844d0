/*
 * route.c
 *	  The functions that mf_on_request() has registered: the table mf_route.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inbound/route.c
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/encoding.h"
#include "database/function_args.h"
#include "database/sql_array.h"
#include "database/user_call.h"
#include "inbound/route.h"
#include "process/wakeup.h"
#include "store/queue_pause.h"

/* Paths of the listener's own */
static const char *const own_prefixes[] = {"/webhook/", "/callback/", "/health/"};

/* What a page may be: no script, and nothing that a browser would run one in */
static const char *const content_types[] = {"text/html", "text/plain", "image/svg+xml"};

static const int valid_statuses[] = {200, 303, 404, 410, 429, 503};

/* Attribute numbers of mf_response */
enum
{
	RESPONSE_STATUS = 1,
	RESPONSE_CONTENT_TYPE,
	RESPONSE_LOCATION,
	RESPONSE_BODY
};

static MfStatement register_statement = {
	"INSERT INTO @mf_route AS r (prefix, function, owner, registered_at, registered_by, extension) VALUES ($1, $2, $3, clock_timestamp(), $4, $5) "
	"ON CONFLICT (prefix) DO UPDATE SET function = EXCLUDED.function, owner = EXCLUDED.owner, registered_at = EXCLUDED.registered_at, "
	"  registered_by = EXCLUDED.registered_by, extension = EXCLUDED.extension",
	5, {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID}, NULL
};

static MfStatement count_others_statement = {
	"SELECT count(*) FROM @mf_route WHERE prefix <> $1", 1, {TEXTOID}, NULL
};

static MfStatement unregister_statement = {
	"DELETE FROM @mf_route WHERE prefix = $1", 1, {TEXTOID}, NULL
};

static MfStatement prefixes_statement = {
	"SELECT r.prefix::text FROM @mf_route r WHERE " MF_REGISTRATION_LIVE " ORDER BY r.prefix LIMIT " CppAsString2(MF_ROUTES_MAX), 0, {0}, NULL
};

static MfStatement states_statement = {
	"SELECT r.prefix::text, r.function::text, r.owner::text, " MF_REGISTRANT " FROM @mf_route r ORDER BY r.prefix",
	0, {0}, NULL
};

/* A copy of a database calls nothing before an operator has decided, nor does a subscriber. */
static MfStatement find_statement = {
	"SELECT r.function::text, r.owner::text, " MF_REGISTRANT ", " MF_CALLS_PAUSED " FROM @mf_route r WHERE r.prefix = $1 AND " MF_REGISTRATION_LIVE,
	1, {TEXTOID}, NULL
};

static char *prefix_argument(FunctionCallInfo fcinfo);
static bool is_prefix(const char *prefix);
static void check_limit(const MfSqlScope *scope, Datum prefix);
static void read_response(HeapTupleHeader row, MfRouteAnswer *answer);
static bool store_text(HeapTupleHeader row, AttrNumber column, char *place, size_t size, int *length);
static bool is_valid(const MfRouteAnswer *answer);
static void fail(MfRouteAnswer *answer, const char *function, const char *failure);

PG_FUNCTION_INFO_V1(mf_on_request);
PG_FUNCTION_INFO_V1(mf_off_request);

/* The arguments and the result of a function that answers requests */
static void
describe(Oid schema, MfUserCall *call)
{
	static const Oid types[] = {TEXTOID, REGPROCEDUREOID};

	memset(call, 0, sizeof(MfUserCall));
	call->registrar = mf_find_function(schema, "mf_on_request", types, lengthof(types));
	call->nargs = 1;
	call->types[0] = TEXTOID;
	call->returns = get_rel_type_id(get_relname_relid("mf_response", schema));
}

/* SQL-callable */
Datum
mf_on_request(PG_FUNCTION_ARGS)
{
	static const MfFunctionUse use = {
		gettext_noop("It must be a function of one argument of type text that returns mf_response."),
		gettext_noop("Declare it as CREATE FUNCTION ... (path text) RETURNS mf_response.")
	};
	Oid			schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	char	   *prefix = prefix_argument(fcinfo);
	const char *extension = mf_registering_extension();
	Oid			function;
	MfUserCall	call;
	MfSqlScope	scope;
	Datum		values[5];

	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", "function")));
	function = PG_GETARG_OID(1);
	describe(schema, &call);
	mf_user_function_check(function, &call, &use);

	values[0] = CStringGetTextDatum(prefix);
	values[1] = CStringGetTextDatum(mf_registered_name(function));
	values[2] = CStringGetTextDatum(mf_function_owner(function));
	values[3] = CStringGetTextDatum(GetUserNameFromId(GetUserId(), false));
	values[4] = extension ? CStringGetTextDatum(extension) : (Datum) 0;
	/* registrations are counted one after the other */
	LockDatabaseObject(RelationRelationId, get_relname_relid("mf_route", schema), 0, ExclusiveLock);
	mf_sql_begin(&scope, schema);
	scope.latest = true;
	check_limit(&scope, values[0]);
	if (mf_sql_execute(&scope, &register_statement, values, extension ? NULL : "    n") == 0)
		mf_change_suppressed();
	mf_sql_end(&scope);
	mf_routes_changed_at_commit();
	PG_RETURN_VOID();
}

static char *
prefix_argument(FunctionCallInfo fcinfo)
{
	char	   *prefix = mf_required_text(fcinfo, 0, "prefix");

	if (!is_prefix(prefix))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for prefix: \"%.60s\"", prefix),
				 errdetail("A prefix is one word of a-z, 0-9, - and _ between slashes, at most %d characters; /webhook/, /callback/ and /health/ are the listener's own.",
						   MF_ROUTE_PREFIX_SIZE - 1),
				 errhint("Give one such as '/pay/'.")));
	return prefix;
}

static bool
is_prefix(const char *prefix)
{
	size_t		length = strlen(prefix);
	int			i;

	if (length < 3 || length >= MF_ROUTE_PREFIX_SIZE || prefix[0] != '/' || prefix[length - 1] != '/' ||
		strspn(prefix + 1, "abcdefghijklmnopqrstuvwxyz0123456789-_") != length - 2)
		return false;
	for (i = 0; i < (int) lengthof(own_prefixes); i++)
	{
		if (strcmp(prefix, own_prefixes[i]) == 0)
			return false;
	}
	return true;
}

static void
check_limit(const MfSqlScope *scope, Datum prefix)
{
	(void) mf_sql_execute(scope, &count_others_statement, &prefix, NULL);
	if (mf_result_int8(0, 1) >= MF_ROUTES_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("%d prefixes are registered, which is the maximum", MF_ROUTES_MAX),
				 errhint("Let one function answer several pages, or end a registration with mf_off_request().")));
}

/* SQL-callable */
Datum
mf_off_request(PG_FUNCTION_ARGS)
{
	Oid			schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	char	   *prefix = mf_required_text(fcinfo, 0, "prefix");
	Datum		value = CStringGetTextDatum(prefix);

	if (mf_execute_alone(schema, &unregister_statement, &value, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("prefix \"%.60s\" is not registered", prefix),
				 errhint("Use one of column \"prefix\" of mf_route.")));
	mf_routes_changed_at_commit();
	PG_RETURN_VOID();
}

List *
mf_route_prefixes(const MfSqlScope *scope)
{
	List	   *prefixes = NIL;
	uint64		count = mf_sql_execute(scope, &prefixes_statement, NULL, NULL);
	uint64		i;

	for (i = 0; i < count; i++)
		prefixes = lappend(prefixes, mf_result_text(i, 1));
	return prefixes;
}

List *
mf_route_states(Oid schema)
{
	MfSqlScope	scope;
	List	   *states = NIL;
	MfUserCall	call;
	uint64		count;
	uint64		i;

	describe(schema, &call);
	mf_sql_begin(&scope, schema);
	count = mf_sql_execute(&scope, &states_statement, NULL, NULL);
	for (i = 0; i < count; i++)
	{
		MfRouteState *state = (MfRouteState *) palloc(sizeof(MfRouteState));
		Oid			role;

		state->prefix = mf_result_text(i, 1);
		call.function = state->function = mf_result_text(i, 2);
		call.owner = mf_result_text(i, 3);
		call.registrant = mf_result_text(i, 4);
		state->owner = mf_user_call_owner(&call);
		state->refusal = mf_user_call_refusal(&call, &role);
		states = lappend(states, state);
	}
	mf_sql_end(&scope);
	return states;
}

MfRouteHealth *
mf_route_health(MfRouteHealth *health, const char *prefix)
{
	int			i;

	for (i = 0; i < MF_ROUTES_MAX; i++)
	{
		if (strcmp(health[i].prefix, prefix) == 0)
			return &health[i];
	}
	return NULL;
}

void
mf_route_answer(const MfSqlScope *scope, const char *prefix, const char *path, MfRouteAnswer *answer)
{
	Datum		value = CStringGetTextDatum(prefix);
	MfUserCall	call;
	const char *failure;

	memset(answer, 0, sizeof(MfRouteAnswer));
	if (mf_sql_execute(scope, &find_statement, &value, NULL) == 0)
	{
		answer->status = 404;
		strlcpy(answer->content_type, content_types[1], sizeof(answer->content_type));
		return;
	}
	describe(scope->schema, &call);
	call.function = mf_result_text(0, 1);
	call.owner = mf_result_text(0, 2);
	call.registrant = mf_result_text(0, 3);
	answer->owner = get_role_oid(mf_user_call_owner(&call), true);
	if (mf_result_bool(0, 4))
	{
		fail(answer, call.function, "all accounts are paused");
		return;
	}
	mf_user_call_prepare();
	call.args[0] = CStringGetTextDatum(mf_from_utf8_lossy(path));
	failure = mf_user_call(&call);
	if (failure != NULL)
		fail(answer, call.function, failure);
	else if (call.isnull)
	{
		answer->status = 404;
		strlcpy(answer->content_type, content_types[1], sizeof(answer->content_type));
	}
	else
	{
		read_response(DatumGetHeapTupleHeader(call.result), answer);
		if (!is_valid(answer))
			fail(answer, call.function, "its result is no valid answer, or too long");
	}
}

static void
fail(MfRouteAnswer *answer, const char *function, const char *failure)
{
	answer->status = 0;
	answer->location[0] = '\0';
	answer->body_len = 0;
	snprintf(answer->error, sizeof(answer->error), "function %s: %s", function, failure);
	answer->error[pg_mbcliplen(answer->error, strlen(answer->error), sizeof(answer->error) - 1)] = '\0';
}

/* Status 0 if it has none, or if something is too long. */
static void
read_response(HeapTupleHeader row, MfRouteAnswer *answer)
{
	bool		isnull;
	Datum		status = GetAttributeByNum(row, RESPONSE_STATUS, &isnull);
	int			length;

	if (isnull ||
		!store_text(row, RESPONSE_CONTENT_TYPE, answer->content_type, sizeof(answer->content_type), &length) ||
		!store_text(row, RESPONSE_LOCATION, answer->location, sizeof(answer->location), &length) ||
		!store_text(row, RESPONSE_BODY, answer->body, sizeof(answer->body), &answer->body_len))
		return;
	answer->status = DatumGetInt32(status);
	if (answer->content_type[0] == '\0')
		strlcpy(answer->content_type, content_types[0], sizeof(answer->content_type));
}

/* Stores a member as UTF-8, "" for null; false if it is too long. */
static bool
store_text(HeapTupleHeader row, AttrNumber column, char *place, size_t size, int *length)
{
	bool		isnull;
	Datum		value = GetAttributeByNum(row, column, &isnull);
	const char *given = isnull ? NULL : TextDatumGetCString(value);
	const char *utf8 = isnull ? "" : mf_to_utf8(given);

	*length = (int) strlen(utf8);
	return strlcpy(place, utf8, size) < size;
}

static bool
is_valid(const MfRouteAnswer *answer)
{
	bool		status_fits = false;
	bool		type_fits = false;
	int			i;

	for (i = 0; i < (int) lengthof(valid_statuses); i++)
		status_fits |= answer->status == valid_statuses[i];
	for (i = 0; i < (int) lengthof(content_types); i++)
		type_fits |= strcmp(answer->content_type, content_types[i]) == 0;
	return status_fits && type_fits && (answer->location[0] != '\0') == (answer->status == 303);
}
