/*
 * replace.c
 *	  mf_insert_as(), mf_replace(): invoices inserted with the rights of another
 *	  role, and invoices that others take the place of.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/replace.c
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "base/settings.h"
#include "database/function_args.h"
#include "database/sql_array.h"
#include "functions/invoice_actions.h"
#include "functions/replace.h"
#include "store/row_rights.h"

/* What users may give, but for the four that have a default and no null */
#define GIVEN \
	"customer_name, invoice_value, customer_email, customer_mobile, mobile_country_code, display_currency_iso, language, " \
	"customer_reference, customer_civil_id, user_defined_field, call_back_url, error_url, webhook_url, expiry_date, " \
	"customer_address, invoice_items, shipping_method, shipping_consignee, suppliers, processing_details, " \
	"invoice_payment_methods, source_info, idempotency_key, callbacks, metadata"

/* Runs with the rights of the role; the rows are inserted in the order of the array. */
static MfStatement insert_statement = {
	"INSERT INTO @mf_invoice (account, notification_option, send_at, priority, " GIVEN ") "
	"SELECT coalesce(r.account, '" MF_DEFAULT_ACCOUNT "'), coalesce(r.notification_option, 'LNK'), coalesce(r.send_at, now()), coalesce(r.priority, 0::int2), " GIVEN " "
	"FROM jsonb_populate_recordset(NULL::@mf_invoice, $1) WITH ORDINALITY r ORDER BY r.ordinality RETURNING id::int8",
	1, {JSONBOID}, NULL
};

/* The first result is for mf_change(). */
static MfStatement retire_statement = {
	"WITH p AS MATERIALIZED (SELECT * FROM unnest($1, $2) AS p(old, new)), "
	"n AS MATERIALIZED (SELECT i.id, i.status, i.attempts FROM @mf_invoice i WHERE i.id = ANY ($1) AND i.replaced_by IS NULL), "
	"changed AS (UPDATE @mf_invoice i SET replaced_by = p.new FROM p WHERE i.id = ANY ($1) AND i.id = p.old AND i.replaced_by IS NULL RETURNING 1), "
	"history AS (INSERT INTO @mf_transition (invoice, changed_at, actor, from_status, to_status, attempt, reason) "
	"  SELECT n.id, clock_timestamp(), $3, n.status, n.status, n.attempts, 'replaced by invoice ' || p.new || coalesce(': ' || $4, '') "
	"  FROM n JOIN p ON p.old = n.id ORDER BY n.id RETURNING 1) "
	"SELECT (SELECT count(*) FROM n) * 2 - (SELECT count(*) FROM changed) - (SELECT count(*) FROM history), (SELECT count(*) FROM changed)",
	4, {INT8ARRAYOID, INT8ARRAYOID, TEXTOID, TEXTOID}, NULL
};

/* With the rights of the current role.  What must be new is left out: the key, the time to send, and the end of the link. */
static MfStatement copy_statement = {
	"SELECT i.created_by_id, jsonb_build_array(to_jsonb(i) - '{idempotency_key,send_at,expiry_date}'::text[] || $2) "
	"FROM @mf_invoice i WHERE i.id = $1",
	2, {INT8OID, JSONBOID}, NULL
};

static MfStatement replaced_statement = {
	"SELECT replaced_by::int8 FROM @mf_invoice WHERE id = $1 AND replaced_by IS NOT NULL", 1, {INT8OID}, NULL
};

static int64 *insert_as(Oid schema, Oid role, Datum invoices, int *count);
static void check_role(Oid role);
static bool is_restricted(Oid role);
static void retire(Oid schema, const int64 *old, const int64 *new, int count, const char *reason);
static void stop_sending(const MfCommand *command, MfNamed *named, int count);
static int64 *replaced_invoices(FunctionCallInfo fcinfo, int expected);

PG_FUNCTION_INFO_V1(mf_insert_as);
PG_FUNCTION_INFO_V1(mf_replace);

Datum
mf_insert_as(PG_FUNCTION_ARGS)
{
	Oid			schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	MfArray		ids;
	int64	   *inserted;
	int64	   *replaced;
	int			count;
	int			i;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", PG_ARGISNULL(0) ? "role" : "invoices")));
	inserted = insert_as(schema, PG_GETARG_OID(0), PG_GETARG_DATUM(1), &count);
	replaced = replaced_invoices(fcinfo, count);
	if (replaced != NULL)
		retire(schema, replaced, inserted, count, NULL);
	mf_array_init(&ids, Max(count, 1));
	for (i = 0; i < count; i++)
		mf_array_add(&ids, Int64GetDatum(inserted[i]));
	PG_RETURN_DATUM(mf_array_datum(&ids, INT8OID));
}

Datum
mf_replace(PG_FUNCTION_ARGS)
{
	Oid			schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	char	   *reason = mf_reason_argument(fcinfo, 2);
	MfNamed		named = {.invoice = 0};
	MfSqlScope	scope;
	Datum		values[2];
	Datum		copy;
	Oid			creator;
	int64	   *inserted;
	int			count;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", PG_ARGISNULL(0) ? "id" : "changes")));
	named.invoice = PG_GETARG_INT64(0);
	mf_queue_lock_named(schema, &named, 1);
	mf_check_named(&named, true);
	creator = named.job->owner.role;
	mf_check_row_right(named.invoice, get_relname_relid("mf_invoice", schema), creator);

	values[0] = Int64GetDatum(named.invoice);
	values[1] = PG_GETARG_DATUM(1);
	mf_sql_begin_as_caller(&scope, schema);
	if (mf_sql_execute(&scope, &copy_statement, values, NULL) != 1)
		mf_refuse_missing(&named);
	copy = datumCopy(mf_result(0, 2, NULL), false, -1);
	mf_sql_end(&scope);

	inserted = insert_as(schema, creator, copy, &count);
	retire(schema, &named.invoice, inserted, 1, reason);
	PG_RETURN_INT64(inserted[0]);
}

/* Inserts the invoices; returns their ids, palloc'd, in the order of the array. */
static int64 *
insert_as(Oid schema, Oid role, Datum invoices, int *count)
{
	MfSqlScope	scope;
	Oid			userid;
	int			security_context;
	int64	   *ids;

	check_role(role);
	GetUserIdAndSecContext(&userid, &security_context);
	SetUserIdAndSecContext(role, security_context | SECURITY_LOCAL_USERID_CHANGE |
						   (is_restricted(role) ? SECURITY_RESTRICTED_OPERATION : 0));
	mf_sql_begin_as_caller(&scope, schema);
	*count = (int) mf_sql_execute(&scope, &insert_statement, &invoices, NULL);
	ids = (int64 *) palloc(Max(*count, 1) * sizeof(int64));
	(void) mf_result_ids(ids);
	mf_sql_end(&scope);
	SetUserIdAndSecContext(userid, security_context);
	return ids;
}

static void
check_role(Oid role)
{
	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(role)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role with OID %u does not exist", role),
				 errdetail("Invoices are inserted with the rights of a role."),
				 errhint("A new role can take over by inserting them itself.")));
}

/*
 * Code of the role's, such as a trigger, may not leave anything behind that would run later with the rights of
 * the session, unless the session could take on that role anyway.
 */
static bool
is_restricted(Oid role)
{
	return !has_privs_of_role(GetOuterUserId(), role);
}

/* The invoices in the third argument, one for each that was inserted; NULL if it is null. */
static int64 *
replaced_invoices(FunctionCallInfo fcinfo, int expected)
{
	Datum	   *values;
	bool	   *nulls;
	int64	   *ids;
	int			count;
	int			i;

	if (PG_ARGISNULL(2))
		return NULL;
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(2), INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &values, &nulls, &count);
	if (count != expected)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("replaces must have one element for each invoice"),
				 errdetail("It has %d, and %d invoices were inserted.", count, expected),
				 errhint("An element is null where an invoice replaces none.")));
	ids = (int64 *) palloc(Max(count, 1) * sizeof(int64));
	for (i = 0; i < count; i++)
		ids[i] = nulls[i] ? 0 : DatumGetInt64(values[i]);
	return ids;
}

/* Has each old invoice not sent any more, and records which new one is to be paid in its place; old 0 = none. */
static void
retire(Oid schema, const int64 *old, const int64 *new, int count, const char *reason)
{
	MfNamed    *named = (MfNamed *) palloc0(Max(count, 1) * sizeof(MfNamed));
	MfArray		olds;
	MfArray		news;
	MfCommand	command;
	Datum		values[4];
	int			used = 0;
	int			i;

	mf_array_init(&olds, Max(count, 1));
	mf_array_init(&news, Max(count, 1));
	for (i = 0; i < count; i++)
	{
		if (old[i] == 0)
			continue;
		named[used++].invoice = old[i];
		mf_array_add(&olds, Int64GetDatum(old[i]));
		mf_array_add(&news, Int64GetDatum(new[i]));
	}
	if (used == 0)
		return;
	mf_command_init(&command, schema, reason ? reason : "replaced");
	qsort(named, used, sizeof(MfNamed), mf_compare_ids);
	for (i = 0; i < used; i += MF_ACTION_BATCH)
		stop_sending(&command, &named[i], Min(MF_ACTION_BATCH, used - i));

	values[0] = mf_array_datum(&olds, INT8OID);
	values[1] = mf_array_datum(&news, INT8OID);
	values[2] = CStringGetTextDatum(command.actor);
	values[3] = reason ? CStringGetTextDatum(reason) : (Datum) 0;
	if (mf_change_alone(schema, &retire_statement, values, reason ? NULL : "   n") != used)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 used == 1 ? errmsg("invoice %lld was replaced already", (long long) named[0].invoice) :
				 errmsg("an invoice was replaced already, or is named twice"),
				 errhint("Replace the one that its column replaced_by names.")));
}

/* Cancels what was not sent; what may exist is not sent again. */
static void
stop_sending(const MfCommand *command, MfNamed *named, int count)
{
	const char **results = (const char **) palloc0(count * sizeof(char *));
	int			i;

	mf_action_cancel(command, named, results, count);
	for (i = 0; i < count; i++)
	{
		mf_check_named(&named[i], true);
		mf_check_row_right(named[i].invoice, command->table, named[i].job->owner.role);
	}
}

void
mf_refuse_replaced(Oid schema, int64 invoice)
{
	MfSqlScope	scope;
	Datum		id = Int64GetDatum(invoice);

	mf_sql_begin(&scope, schema);
	if (mf_sql_execute(&scope, &replaced_statement, &id, NULL) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("invoice %lld was replaced by invoice %lld", (long long) invoice,
						(long long) mf_result_int8(0, 1)),
				 errdetail("If it were sent, the customer could pay both."),
				 errhint("Abandon it, or adopt the invoice that the MyFatoorah portal shows.")));
	mf_sql_end(&scope);
}
