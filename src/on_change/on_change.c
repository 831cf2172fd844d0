/*
 * on_change.c
 *	  mf_on_change(), mf_on_time(), mf_call_at(), mf_off_change(), and the trigger
 *	  of mf_invoice.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/on_change/on_change.c
 */
#include "postgres.h"

#include "access/heaptoast.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/settings.h"
#include "database/function_args.h"
#include "database/user_call.h"
#include "on_change/on_change_queue.h"
#include "on_change/on_change_registry.h"
#include "store/row_rights.h"

/* Functions are called when one of these columns changes: money and state; status comes first. */
static const MfInvoiceColumn watched_columns[] = {
	MF_IC_STATUS, MF_IC_PAYMENT_STATUS, MF_IC_PAID_AT, MF_IC_PAYMENT_ID, MF_IC_BASE_VALUE, MF_IC_DISPLAY_VALUE,
	MF_IC_PAY_VALUE, MF_IC_RECEIVED_VALUE, MF_IC_REFUNDED_VALUE, MF_IC_NET_VALUE, MF_IC_OVERPAID, MF_IC_PAID_LATE,
	MF_IC_DISPUTED_AT, MF_IC_PAYMENT_DOUBT, MF_IC_DUPLICATE_SUSPECTED
};

static bool is_of_sending(TriggerData *trigger);
static bool is_changed(TriggerData *trigger, int first);
static Datum row_datum(TupleTableSlot *slot);
static Oid	function_argument(FunctionCallInfo fcinfo, Oid schema, bool timed, const MfFunctionUse *use);
static char *name_argument(FunctionCallInfo fcinfo);
static void check_owner_reads(Oid function, Oid table);
static char *check_registered(Oid schema, char *given, bool timed);
static void check_owner_or_operator(const char *function, const char *owner, Oid table);

PG_FUNCTION_INFO_V1(mf_invoice_on_change);
PG_FUNCTION_INFO_V1(mf_on_change);
PG_FUNCTION_INFO_V1(mf_on_time);
PG_FUNCTION_INFO_V1(mf_call_at);
PG_FUNCTION_INFO_V1(mf_off_change);

/* Row-level AFTER UPDATE trigger of mf_invoice: queues the change for all registered functions. */
Datum
mf_invoice_on_change(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Oid			schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	Relation	relation = CALLED_AS_TRIGGER(fcinfo) ? trigger->tg_relation : NULL;
	bool		isnull;

	if (relation == NULL || !TRIGGER_FIRED_AFTER(trigger->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		!TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ||
		RelationGetRelid(relation) != get_relname_relid("mf_invoice", schema))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called as AFTER UPDATE trigger of mf_invoice", "mf_invoice_on_change")));

	if (is_changed(trigger, 0))
	{
		bool		of_sending = is_of_sending(trigger);

		if (mf_reactions_any(schema, of_sending ? MF_REACTIONS_OF_SENDING : MF_REACTIONS_OF_PAYMENTS))
			mf_reaction_queue_add(schema, DatumGetInt64(slot_getattr(trigger->tg_newslot, MF_IC_ID, &isnull)),
								  row_datum(trigger->tg_trigslot), row_datum(trigger->tg_newslot), of_sending);
	}
	return PointerGetDatum(NULL);
}

/* One of the two changes that each invoice goes through: its status becomes sending, or sent, and nothing else changes. */
static bool
is_of_sending(TriggerData *trigger)
{
	bool		isnull;
	MfStatus	status = mf_status_of(slot_getattr(trigger->tg_newslot, MF_IC_STATUS, &isnull));

	return (status == MF_STATUS_SENDING || status == MF_STATUS_SENT) && !is_changed(trigger, 1);
}

/* Whether a watched column has changed, from the given one on. */
static bool
is_changed(TriggerData *trigger, int first)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	TupleTableSlot *before = trigger->tg_trigslot;
	TupleTableSlot *after = trigger->tg_newslot;
	int			i;

	for (i = first; i < (int) lengthof(watched_columns); i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, watched_columns[i] - 1);
		bool		was_null;
		bool		is_null;
		Datum		was = slot_getattr(before, watched_columns[i], &was_null);
		Datum		is = slot_getattr(after, watched_columns[i], &is_null);

		if (was_null != is_null ||
			(!is_null && !datum_image_eq(was, is, attribute->attbyval, attribute->attlen)))
			return true;
	}
	return false;
}

/* The row as a datum of its composite type */
static Datum
row_datum(TupleTableSlot *slot)
{
	slot_getallattrs(slot);
	return HeapTupleGetDatum(toast_build_flattened_tuple(slot->tts_tupleDescriptor, slot->tts_values,
														 slot->tts_isnull));
}

/* Registers a function for changes; SQL-callable. */
Datum
mf_on_change(PG_FUNCTION_ARGS)
{
	static const MfFunctionUse use = {
		gettext_noop("It must be a function of two arguments of type mf_invoice that returns a single value or void."),
		gettext_noop("Declare it as CREATE FUNCTION ... (old mf_invoice, new mf_invoice) RETURNS void.")
	};
	Oid			schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	Oid			function = function_argument(fcinfo, schema, false, &use);

	check_owner_reads(function, get_relname_relid("mf_invoice", schema));
	mf_reaction_register(schema, function, PG_ARGISNULL(1) || !PG_GETARG_BOOL(1) ? "change" : "payment", 0);
	PG_RETURN_VOID();
}

/* Registers a function for times; SQL-callable. */
Datum
mf_on_time(PG_FUNCTION_ARGS)
{
	static const MfFunctionUse use = {
		gettext_noop("It must be a function of one argument of type timestamptz that returns timestamptz."),
		gettext_noop("Declare it as CREATE FUNCTION ... (at timestamptz) RETURNS timestamptz.")
	};
	Oid			schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	Oid			function = function_argument(fcinfo, schema, true, &use);

	mf_reaction_register(schema, function, "time", PG_ARGISNULL(1) ? 0 : PG_GETARG_TIMESTAMPTZ(1));
	PG_RETURN_VOID();
}

/* Has a function called at a time or earlier; SQL-callable. */
Datum
mf_call_at(PG_FUNCTION_ARGS)
{
	Oid			schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	char	   *function = check_registered(schema, name_argument(fcinfo), true);

	mf_require_argument(fcinfo, 1, "at");
	mf_reaction_call_at(schema, function, PG_GETARG_TIMESTAMPTZ(1));
	PG_RETURN_VOID();
}

/* Unregisters a function, which may have been dropped; returns how many calls were queued for it.  SQL-callable. */
Datum
mf_off_change(PG_FUNCTION_ARGS)
{
	Oid			schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	char	   *function = check_registered(schema, name_argument(fcinfo), false);

	PG_RETURN_INT64(mf_reaction_unregister(schema, function));
}

/* The first argument, a function that can be called so */
static Oid
function_argument(FunctionCallInfo fcinfo, Oid schema, bool timed, const MfFunctionUse *use)
{
	MfReactionCall call = {.schema = schema,.timed = timed};
	MfUserCall	wanted;

	mf_require_argument(fcinfo, 0, "function");
	mf_reaction_describe(&call, &wanted);
	mf_user_function_check(PG_GETARG_OID(0), &wanted, use);
	return PG_GETARG_OID(0);
}

static char *
name_argument(FunctionCallInfo fcinfo)
{
	return mf_required_text(fcinfo, 0, "function");
}

/* A function for changes runs with the rights of its owner, and gets whole rows. */
static void
check_owner_reads(Oid function, Oid table)
{
	const char *owner = mf_function_owner(function);

	if (pg_class_aclcheck(table, get_role_oid(owner, false), ACL_SELECT) != ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("role \"%s\" may not read mf_invoice", owner),
				 errdetail("The role owns function %s, which is called with its rights and gets rows of mf_invoice.", mf_registered_name(function)),
				 errhint("Grant the role SELECT on mf_invoice, or a role that has it, such as \"%s\".", MF_READ_ROLE)));
}

/*
 * The name in mf_reaction that the caller means: as given, without the arguments, or
 * found by the search path.
 */
static char *
registered_name(Oid schema, char *given, bool timed)
{
	const char *arguments = strrchr(given, '(');
	char	   *name = arguments ? pnstrdup(given, arguments - given) : given;
	const char *row = format_type_be_qualified(get_rel_type_id(get_relname_relid("mf_invoice", schema)));
	Datum		found;
	bool		is_timed;

	LOCAL_FCINFO(fcinfo, 1);

	if (mf_reaction_owner(schema, given, &is_timed) != NULL)
		return given;
	if (mf_reaction_owner(schema, name, &is_timed) != NULL)
		return name;
	InitFunctionCallInfoData(*fcinfo, NULL, 1, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = CStringGetTextDatum(timed ? psprintf("%s(pg_catalog.timestamptz)", name) :
												psprintf("%s(%s,%s)", name, row, row));
	fcinfo->args[0].isnull = false;
	found = to_regprocedure(fcinfo);
	if (fcinfo->isnull)
		return timed ? given : registered_name(schema, given, true);
	return mf_registered_name(DatumGetObjectId(found));
}

/* The name in mf_reaction, if the current role may have the function called ("timed"), or end that. */
static char *
check_registered(Oid schema, char *given, bool timed)
{
	char	   *function = registered_name(schema, given, timed);
	bool		is_timed;
	const char *owner = mf_reaction_owner(schema, function, &is_timed);

	if (owner == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("function %s is not registered", function),
				 errhint("Use its name as in column \"function\" of mf_reaction.")));
	if (timed && !is_timed)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("function %s is called after changes of mf_invoice, not at times", function),
				 errhint("Register a function for times with mf_on_time().")));
	check_owner_or_operator(function, owner, get_relname_relid("mf_invoice", schema));
	return function;
}

/* Allowed for those who may register it, for operators, and for the owner of mf_invoice. */
static void
check_owner_or_operator(const char *function, const char *owner, Oid table)
{
	Oid			role = get_role_oid(owner, true);

	if (!(OidIsValid(role) && has_privs_of_role(GetUserId(), role)) && !mf_has_role(MF_OPERATE_ROLE) &&
		!mf_owns_relation(table, GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for function %s", function),
				 errdetail("Its owner was role \"%s\" when it was registered.", owner),
				 errhint("Only members of this role or of \"%s\" may have it called, or end its registration.", MF_OPERATE_ROLE)));
}
