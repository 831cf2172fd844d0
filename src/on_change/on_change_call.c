/*
 * on_change_call.c
 *	  Calls a function that mf_on_change() or mf_on_time() has registered.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/on_change/on_change_call.c
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "database/user_call.h"
#include "on_change/on_change_call.h"
#include "store/invoice_lookup.h"

static bool is_visible(void *argument);

void
mf_reaction_describe(const MfReactionCall *call, MfUserCall *function)
{
	static const Oid change_types[] = {REGPROCEDUREOID, BOOLOID};
	static const Oid time_types[] = {REGPROCEDUREOID, TIMESTAMPTZOID};

	memset(function, 0, sizeof(MfUserCall));
	function->function = call->function;
	function->owner = call->owner;
	function->registrant = call->registrant;
	function->registrar = call->timed ? mf_find_function(call->schema, "mf_on_time", time_types, lengthof(time_types)) :
		mf_find_function(call->schema, "mf_on_change", change_types, lengthof(change_types));
	if (call->timed)
	{
		function->nargs = 1;
		function->types[0] = function->returns = TIMESTAMPTZOID;
	}
	else
	{
		function->nargs = 2;
		function->types[0] = function->types[1] = get_rel_type_id(get_relname_relid("mf_invoice", call->schema));
	}
}

const char *
mf_reaction_owner_now(const MfReactionCall *call)
{
	MfUserCall	function;

	mf_reaction_describe(call, &function);
	return mf_user_call_owner(&function);
}

char *
mf_reaction_refusal(const MfReactionCall *call, Oid *role)
{
	MfUserCall	function;
	char	   *refusal;

	mf_reaction_describe(call, &function);
	refusal = mf_user_call_refusal(&function, role);
	if (refusal == NULL && !call->timed &&
		pg_class_aclcheck(get_relname_relid("mf_invoice", call->schema), *role, ACL_SELECT) != ACLCHECK_OK)
		return psprintf("role \"%s\", which owns it, may not read mf_invoice", call->owner);
	return refusal;
}

const char *
mf_reaction_call(MfReactionCall *call)
{
	MfUserCall	function;
	Oid			role;
	const char *failure = mf_reaction_refusal(call, &role);

	if (failure != NULL)
		return failure;
	mf_reaction_describe(call, &function);
	if (call->timed)
		function.args[0] = TimestampTzGetDatum(GetCurrentTimestamp());
	else
	{
		function.args[0] = call->before;
		function.args[1] = call->after;
		function.is_wanted = is_visible;
		function.argument = call;
	}
	failure = mf_user_call(&function);
	if (failure == NULL && !function.isnull)
		call->next = DatumGetTimestampTz(function.result);
	return failure;
}

/* False if row-level security hides the invoice from the owner of the function. */
static bool
is_visible(void *argument)
{
	const MfReactionCall *call = (const MfReactionCall *) argument;

	return check_enable_rls(get_relname_relid("mf_invoice", call->schema), InvalidOid, true) != RLS_ENABLED ||
		mf_queue_is_visible(call->schema, call->invoice);
}
