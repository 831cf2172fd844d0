/*
 * replace.c
 *	  mf_new_invoice(), mf_insert_as(), mf_replace(): invoices inserted with the rights of another
 *	  role, and invoices that others take the place of.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/replace.c
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "base/settings.h"
#include "database/sql_array.h"
#include "functions/invoice_actions.h"
#include "store/events.h"
#include "store/queue_internal.h"
#include "store/row_rights.h"

/* What users may give, but for the four that have a default and no null */
#define GIVEN_COLUMNS(name, separator) \
	name(customer_name) separator name(invoice_value) separator name(customer_email) separator \
	name(customer_mobile) separator name(mobile_country_code) separator name(display_currency_iso) separator \
	name(language) separator name(customer_reference) separator name(customer_civil_id) separator \
	name(user_defined_field) separator name(call_back_url) separator name(error_url) separator name(webhook_url) \
	separator name(expiry_date) separator name(customer_address) separator name(invoice_items) separator \
	name(shipping_method) separator name(shipping_consignee) separator name(suppliers) separator \
	name(processing_details) separator name(invoice_payment_methods) separator name(source_info) separator \
	name(payment_method_id) separator name(recurring_type) separator name(interval_days) separator name(iteration) \
	separator name(retry_count) separator \
	name(idempotency_key) separator name(callbacks) separator name(metadata)
#define TEXT(name) #name
#define COMMA ,
#define GIVEN GIVEN_COLUMNS(TEXT, ", ")

static const char *const members[] = {
	"account", "notification_option", "send_at", "priority", GIVEN_COLUMNS(TEXT, COMMA)
};

/* Run with the rights of the role; the rows are inserted in the order of the array.  The second one gives them their ids. */
#define INSERT_STATEMENT(prefix, column, overriding, value) \
	prefix "INSERT INTO @mf_invoice (" column "account, notification_option, send_at, priority, " GIVEN ") " overriding \
	"SELECT " value "coalesce(r.account, '" MF_DEFAULT_ACCOUNT "'), coalesce(r.notification_option, 'LNK'), coalesce(r.send_at, now()), coalesce(r.priority, 0::int2), " GIVEN " " \
	"FROM unnest($1) WITH ORDINALITY r ORDER BY r.ordinality RETURNING id::int8"

static MfStatement insert_statements[] = {
	{INSERT_STATEMENT("", "", "", ""), 1, {InvalidOid}, NULL},	/* mf_invoice[] */
	{INSERT_STATEMENT(MF_WITH_ID, "id, ", "OVERRIDING SYSTEM VALUE ", "$2[r.ordinality::int4], "), 2, {InvalidOid, INT8ARRAYOID}, NULL}
};

#define WAS_PAID "(i.payment_status IN ('paid', 'partly_refunded', 'refunded', 'disputed') OR i.received_value <> 0)"

/* A try that MyFatoorah has left in progress for longer was given up by the customer. */
#define IS_BEING_PAID \
	"(i.payment_status = 'authorized' OR EXISTS (SELECT FROM @mf_transaction t WHERE t.invoice = i.id " \
	"  AND t.transaction_status = 'InProgress' AND t.changed_at > clock_timestamp() - interval '10 min'))"

/* A recurring payment that has not ended, or may have begun: both links would begin one, and the customer be charged by two. */
#define HAS_PLAN \
	"(i.recurring_type IS NOT NULL AND (i.status IN ('sending', 'unknown', 'review') OR " MF_PLAN_GOES_ON("i") "))"

/* The first of locked invoices that may not be replaced; $2: nor may those that are being paid, or begin a recurring payment */
static MfStatement refused_statement = {
	"SELECT i.id::int8, i.payment_status::text, " WAS_PAID ", CASE WHEN i.replaced_by IS NOT NULL AND " MF_REPLACEMENT_LIVES("i")
	"  THEN i.replaced_by ELSE 0 END::int8, " HAS_PLAN " FROM @mf_invoice i WHERE i.id = ANY ($1) AND (" WAS_PAID
	"  OR (i.replaced_by IS NOT NULL AND " MF_REPLACEMENT_LIVES("i") ") OR ($2 AND (" IS_BEING_PAID " OR " HAS_PLAN "))) "
	"ORDER BY i.id + 0 LIMIT 1",
	2, {INT8ARRAYOID, BOOLOID}, NULL
};

/*
 * Invoices that are replaced together with locked ones: those that they have replaced, the one that has replaced
 * them and does not live, and what else that one has replaced.  So replaced_by always names the last of a row of
 * invoices, and a dead one in it cannot be sent after all.
 */
static MfStatement family_statement = {
	"SELECT DISTINCT m.id::int8, p.new::int8 FROM unnest($1, $2) AS p(old, new) "
	"JOIN @mf_invoice i ON i.id = p.old AND i.id = ANY ($1) CROSS JOIN LATERAL ("
	"  SELECT a.id FROM @mf_invoice a WHERE a.replaced_by = i.id UNION ALL "
	"  SELECT a.id FROM @mf_invoice a WHERE a.replaced_by = i.replaced_by UNION ALL "
	"  SELECT a.id FROM @mf_invoice a WHERE a.id = i.replaced_by) m WHERE m.id <> ALL ($1) ORDER BY 1",
	2, {INT8ARRAYOID, INT8ARRAYOID}, NULL
};

/* The first result is for mf_change().  The history has a line of those that were named: $5. */
static MfStatement retire_statement = {
	"WITH p AS MATERIALIZED (SELECT * FROM unnest($1, $2) AS p(old, new)), "
	"n AS MATERIALIZED (SELECT i.id, i.status, i.attempts FROM @mf_invoice i WHERE i.id = ANY ($5)), "
	"changed AS (UPDATE @mf_invoice i SET replaced_by = p.new FROM p WHERE i.id = ANY ($1) AND i.id = p.old RETURNING 1), "
	"history AS (INSERT INTO @mf_transition (invoice, changed_at, actor, from_status, to_status, attempt, reason) "
	"  SELECT n.id, clock_timestamp(), $3, n.status, n.status, n.attempts, 'replaced by invoice ' || p.new || coalesce(': ' || $4, '') "
	"  FROM n JOIN p ON p.old = n.id ORDER BY n.id RETURNING 1) "
	"SELECT cardinality($1) + (SELECT count(*) FROM n) - (SELECT count(*) FROM changed) - (SELECT count(*) FROM history)",
	5, {INT8ARRAYOID, INT8ARRAYOID, TEXTOID, TEXTOID, INT8ARRAYOID}, NULL
};

/* With the rights of the current role.  What must be new is left out: the key, the time to send, and the end of the link. */
static MfStatement copy_statement = {
	"SELECT i.created_by_id, ARRAY[jsonb_populate_record(i, '{\"idempotency_key\": null, \"send_at\": null, \"expiry_date\": null}'::jsonb "
	/* the amount stays one of its currency, if the account has another one now */
	"  || CASE WHEN i.display_currency_iso IS NULL AND i.currency <> (@mf_account_facts(coalesce($2->>'account', i.account))).currency "
	"    THEN jsonb_build_object('display_currency_iso', i.currency) ELSE '{}' END || $2)] "
	"FROM @mf_invoice i WHERE i.id = $1",
	2, {INT8OID, JSONBOID}, NULL
};

static int64 *insert_as(Oid schema, Oid role, Datum invoices, Datum ids, int *count);
static void check_id_right(Oid schema);
static void check_role(Oid schema, Oid role);
static bool is_restricted(Oid role);
static void check_changes(Jsonb *changes);
static bool is_member(const char *name, int length);
static void retire(Oid schema, const int64 *old, const int64 *new, int count, bool by_person, const char *reason);
static void check_old(Oid schema, Datum olds, bool by_person);
pg_noreturn static void refuse_old(int64 invoice, const char *payment_status, bool paid, int64 replaced_by, bool has_plan);
static void add_family(Oid schema, const MfCommand *command, MfArray *olds, MfArray *news);
static void stop_sending(const MfCommand *command, MfNamed *named, int count);
static int64 *ids_argument(FunctionCallInfo fcinfo, int argument, const char *name, int expected);

PG_FUNCTION_INFO_V1(mf_new_invoice);
PG_FUNCTION_INFO_V1(mf_insert_as);
PG_FUNCTION_INFO_V1(mf_replace);

/*
 * Arguments are the columns of mf_invoice that users give, in their order.  Columns that a
 * user has added are null.  In C, because an SQL function with a parsed body would depend
 * on the row type, and nobody could add a column to mf_invoice or change one.
 */
Datum
mf_new_invoice(PG_FUNCTION_ARGS)
{
	TupleDesc	desc = lookup_rowtype_tupdesc(get_func_rettype(fcinfo->flinfo->fn_oid), -1);
	Datum	   *values = (Datum *) palloc0(desc->natts * sizeof(Datum));
	bool	   *isnull = (bool *) palloc(desc->natts * sizeof(bool));
	HeapTuple	tuple;
	int			i;

	mf_invoice_check_columns(desc);
	memset(isnull, true, desc->natts * sizeof(bool));
	for (i = 0; i < PG_NARGS(); i++)
	{
		MfInvoiceColumn column = i < PG_NARGS() - 1 ? MF_IC_ACCOUNT + i : MF_IC_METADATA;

		values[column - 1] = fcinfo->args[i].value;
		isnull[column - 1] = fcinfo->args[i].isnull;
	}
	tuple = heap_form_tuple(desc, values, isnull);
	ReleaseTupleDesc(desc);
	PG_RETURN_DATUM(HeapTupleGetDatum(tuple));
}

Datum
mf_insert_as(PG_FUNCTION_ARGS)
{
	Oid			schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	MfArray		ids;
	int64	   *given;
	int64	   *inserted;
	int64	   *replaced;
	int			count;
	int			i;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", PG_ARGISNULL(0) ? "role" : "invoices")));
	if (!PG_ARGISNULL(3))
		check_id_right(schema);
	inserted = insert_as(schema, PG_GETARG_OID(0), PG_GETARG_DATUM(1), PG_ARGISNULL(3) ? (Datum) 0 : PG_GETARG_DATUM(3), &count);
	given = ids_argument(fcinfo, 3, "ids", count);
	if (given != NULL && memcmp(given, inserted, count * sizeof(int64)) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
				 errmsg("a trigger of mf_invoice has changed an id")));
	replaced = ids_argument(fcinfo, 2, "replaces", count);
	if (replaced != NULL)
		retire(schema, replaced, inserted, count, false, NULL);
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
	check_changes(PG_GETARG_JSONB_P(1));
	named.invoice = PG_GETARG_INT64(0);
	mf_queue_find_refused(schema, &named, 1);
	mf_queue_lock_named(schema, &named, 1);
	mf_check_named(&named, get_relname_relid("mf_invoice", schema));
	creator = named.job->owner.role;
	check_old(schema, mf_int8_array(&named.invoice, 1), true);

	values[0] = Int64GetDatum(named.invoice);
	values[1] = PG_GETARG_DATUM(1);
	mf_sql_begin_as_caller(&scope, schema);
	if (mf_sql_execute(&scope, &copy_statement, values, NULL) != 1)
		mf_refuse_missing(&named);
	copy = datumCopy(mf_result(0, 2, NULL), false, -1);
	mf_sql_end(&scope);

	inserted = insert_as(schema, creator, copy, (Datum) 0, &count);
	retire(schema, &named.invoice, inserted, 1, true, reason);
	PG_RETURN_INT64(inserted[0]);
}

/* Raises an error unless "changes" is an object with columns that can be inserted. */
static void
check_changes(Jsonb *changes)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	name;

	if (!JB_ROOT_IS_OBJECT(changes))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be an object", "changes")));
	iterator = JsonbIteratorInit(&changes->root);
	while ((token = JsonbIteratorNext(&iterator, &name, true)) != WJB_DONE)
	{
		if (token == WJB_KEY && !is_member(name.val.string.val, name.val.string.len))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("%s must not contain \"%s\"", "changes",
							pnstrdup(name.val.string.val, name.val.string.len)),
					 errhint("Members are the columns of mf_invoice that can be inserted.")));
	}
}

static bool
is_member(const char *name, int length)
{
	int			i;

	for (i = 0; i < (int) lengthof(members); i++)
	{
		if (strncmp(members[i], name, length) == 0 && members[i][length] == '\0')
			return true;
	}
	return false;
}

/* Raises an error unless the current role may choose ids of invoices. */
static void
check_id_right(Oid schema)
{
	Oid			table = get_relname_relid("mf_invoice", schema);

	if (pg_class_aclcheck(table, GetUserId(), ACL_INSERT) != ACLCHECK_OK &&
		pg_attribute_aclcheck(table, MF_IC_ID, GetUserId(), ACL_INSERT) != ACLCHECK_OK)
		aclcheck_error_col(ACLCHECK_NO_PRIV, OBJECT_COLUMN, "mf_invoice", "id");
}

/* Inserts the invoices, with ids if that is an array; returns their ids, palloc'd, in the order of the array. */
static int64 *
insert_as(Oid schema, Oid role, Datum invoices, Datum ids, int *count)
{
	MfStatement *statement = &insert_statements[ids != (Datum) 0];
	Datum		values[] = {invoices, ids};
	Oid			rows = get_array_type(get_rel_type_id(get_relname_relid("mf_invoice", schema)));
	MfSqlScope	scope;
	Oid			userid;
	int			security_context;
	int64	   *inserted;

	/* the extension was made anew */
	if (statement->plan != NULL && statement->types[0] != rows)
	{
		mf_sql_retire(statement->plan);
		statement->plan = NULL;
	}
	statement->types[0] = rows;
	check_role(schema, role);
	GetUserIdAndSecContext(&userid, &security_context);
	SetUserIdAndSecContext(role, security_context | SECURITY_LOCAL_USERID_CHANGE |
						   (is_restricted(role) ? SECURITY_RESTRICTED_OPERATION : 0));
	mf_sql_begin_as_caller(&scope, schema);
	*count = (int) mf_sql_execute(&scope, statement, values, NULL);
	inserted = (int64 *) palloc(Max(*count, 1) * sizeof(int64));
	(void) mf_result_ids(inserted);
	mf_sql_end(&scope);
	SetUserIdAndSecContext(userid, security_context);
	return inserted;
}

static void
check_role(Oid schema, Oid role)
{
	if (role != GetOuterUserId() && !mf_roles_are_known(schema))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("no invoice can be inserted for another role"),
				 errdetail("The rows here may be another database's, and roles are not told apart before mf_resume('*')."),
				 errhint("Make sure that the other database sends nothing any more, then call mf_resume('*').")));
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

/* The ids in that argument, one for each invoice that was inserted; NULL if it is null. */
static int64 *
ids_argument(FunctionCallInfo fcinfo, int argument, const char *name, int expected)
{
	Datum	   *values;
	bool	   *nulls;
	int64	   *ids;
	int			count;
	int			i;

	if (PG_ARGISNULL(argument))
		return NULL;
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(argument), INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &values, &nulls, &count);
	if (count != expected)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must have one element for each invoice", name),
				 errdetail("It has %d, and %d invoices were inserted.", count, expected),
				 argument == 2 ? errhint("An element is null where an invoice replaces none.") : 0));
	ids = (int64 *) palloc(Max(count, 1) * sizeof(int64));
	for (i = 0; i < count; i++)
		ids[i] = nulls[i] ? 0 : DatumGetInt64(values[i]);
	return ids;
}

/* Has each old invoice not sent any more, and records which new one is to be paid in its place; old 0 = none. */
static void
retire(Oid schema, const int64 *old, const int64 *new, int count, bool by_person, const char *reason)
{
	MfNamed    *named = (MfNamed *) palloc0(Max(count, 1) * sizeof(MfNamed));
	MfArray		olds;
	MfArray		news;
	MfCommand	command;
	Datum		values[5];
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
	for (i = 1; i < used; i++)
	{
		if (named[i].invoice == named[i - 1].invoice)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("replaces has invoice %lld twice", (long long) named[i].invoice)));
	}
	for (i = 0; i < used; i += MF_ACTION_BATCH)
		stop_sending(&command, &named[i], Min(MF_ACTION_BATCH, used - i));
	values[4] = mf_array_datum(&olds, INT8OID);
	check_old(schema, values[4], by_person);
	add_family(schema, &command, &olds, &news);

	values[0] = mf_array_datum(&olds, INT8OID);
	values[1] = mf_array_datum(&news, INT8OID);
	values[2] = CStringGetTextDatum(command.actor);
	values[3] = reason ? CStringGetTextDatum(reason) : (Datum) 0;
	(void) mf_change_alone(schema, &retire_statement, values, reason ? NULL : "   n ");
}

/* Raises an error if one of the locked invoices was paid, has a replacement that lives, or begins a recurring payment. */
static void
check_old(Oid schema, Datum olds, bool by_person)
{
	MfSqlScope	scope;
	Datum		values[] = {olds, BoolGetDatum(by_person)};

	mf_sql_begin(&scope, schema);
	if (mf_sql_execute(&scope, &refused_statement, values, NULL) > 0)
		refuse_old(mf_result_int8(0, 1), mf_result_text(0, 2), mf_result_bool(0, 3), mf_result_int8(0, 4), mf_result_bool(0, 5));
	mf_sql_end(&scope);
}

static void
refuse_old(int64 invoice, const char *payment_status, bool paid, int64 replaced_by, bool has_plan)
{
	if (replaced_by != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("invoice %lld was replaced already", (long long) invoice),
				 errhint("Replace invoice %lld, which is to be paid in its place.", (long long) replaced_by)));
	if (has_plan && !paid)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("invoice %lld cannot be replaced", (long long) invoice),
				 errdetail("The recurring payment that it begins has not ended."),
				 errhint("Once it has a recurring_id, end it first: SELECT mf_cancel_recurring(recurring_id, account) FROM mf_invoice WHERE id = %lld. If it has ended already, SELECT mf_refresh(%lld) has that read.",
						 (long long) invoice, (long long) invoice)));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 paid ? errmsg("invoice %lld cannot be replaced, because it was paid", (long long) invoice) :
			 errmsg("invoice %lld cannot be replaced, because a payment is under way", (long long) invoice),
			 errdetail("Its payment_status is \"%s\".", payment_status),
			 paid ? errhint("What is still to be paid is an invoice of its own: insert one.") :
			 errhint("Wait for its outcome; mf_refresh(%lld) asks for it.", (long long) invoice)));
}

/* Lets an array take so many elements more. */
static void
make_room(MfArray *array, int count)
{
	array->values = (Datum *) repalloc(array->values, (array->count + count) * sizeof(Datum));
	array->nulls = (bool *) repalloc(array->nulls, (array->count + count) * sizeof(bool));
}

/* Adds what is replaced together with the old invoices, and has it not sent any more. */
static void
add_family(Oid schema, const MfCommand *command, MfArray *olds, MfArray *news)
{
	Datum		values[] = {mf_array_datum(olds, INT8OID), mf_array_datum(news, INT8OID)};
	MfSqlScope	scope;
	MfNamed    *named;
	int			count;
	int			i;

	mf_sql_begin(&scope, schema);
	count = (int) mf_sql_execute(&scope, &family_statement, values, NULL);
	named = (MfNamed *) palloc0(Max(count, 1) * sizeof(MfNamed));
	make_room(olds, count);
	make_room(news, count);
	for (i = 0; i < count; i++)
	{
		named[i].invoice = mf_result_int8(i, 1);
		mf_array_add(olds, Int64GetDatum(named[i].invoice));
		mf_array_add(news, Int64GetDatum(mf_result_int8(i, 2)));
	}
	mf_sql_end(&scope);
	for (i = 0; i < count; i += MF_ACTION_BATCH)
		stop_sending(command, &named[i], Min(MF_ACTION_BATCH, count - i));
}

/* Cancels what was not sent; what may exist is not sent again. */
static void
stop_sending(const MfCommand *command, MfNamed *named, int count)
{
	const char **results = (const char **) palloc0(count * sizeof(char *));
	int			i;

	mf_action_cancel(command, named, results, count);
	for (i = 0; i < count; i++)
		mf_check_named(&named[i], command->table);
}
