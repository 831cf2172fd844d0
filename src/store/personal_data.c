/*
 * personal_data.c
 *	  Erases personal data of customers: by age, and of one customer with mf_forget().
 *
 * Erased are names, addresses, telephone numbers and UserDefinedField, their copies
 * in edits and error messages, free text of refunds and disputes, and IP addresses of
 * payers.  Money, states and the numbers of MyFatoorah stay.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/personal_data.c
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "database/extension_functions.h"
#include "database/function_args.h"
#include "database/sql_array.h"
#include "store/inquiries.h"
#include "store/personal_data.h"
#include "store/row_rights.h"

#define EMPTY_COLUMNS \
	"customer_name = '', customer_email = NULL, customer_mobile = NULL, mobile_country_code = NULL, " \
	"  customer_civil_id = NULL, " \
	"user_defined_field = NULL, customer_address = NULL, shipping_consignee = NULL, last_error = NULL, " \
	"  payment_error = NULL, " \
	"erased_at = clock_timestamp()"

/* what people and MyFatoorah have written about refunds of the invoices "i" */
#define ERASE_OPERATIONS(i) \
	"p AS (UPDATE @mf_operation o SET comment = NULL, last_error = NULL FROM " i " WHERE o.invoice = i.id RETURNING o.id), " \
	"b AS (UPDATE @mf_operation_attempt o SET error = NULL FROM p WHERE o.operation = p.id AND o.error IS NOT NULL) "
#define ERASE_EVENTS(i) \
	"e AS (UPDATE @mf_event o SET data = " MF_EVENT_KEPT("o.data", "o.event_code") " FROM " i " WHERE o.invoice = i.id AND o.data IS NOT NULL)"
#define IS_OF_OPERATION "o.reason ~ '^(refund|capture|release) [0-9]'"

/* what other tables say of the invoices "i" */
#define ERASE_LINES(i) \
	"t AS (UPDATE @mf_transaction o SET ip_address = NULL FROM " i " WHERE o.invoice = i.id " \
	"  AND o.ip_address IS NOT NULL), " \
	"a AS (UPDATE @mf_attempt o SET error = NULL FROM " i " WHERE o.invoice = i.id AND o.error IS NOT NULL), " \
	/* who has edited the row when stays in the history, but not its values; which refund has become what, but not why */ \
	"h AS (UPDATE @mf_transition o SET changes = NULL, reason = CASE WHEN " IS_OF_OPERATION " THEN split_part(o.reason, ': ', 1) " \
	"  WHEN o.to_status <> 'rejected' THEN o.reason END " \
	"  FROM " i " WHERE o.invoice = ANY (ARRAY(SELECT i.id FROM " i ")) AND o.invoice = i.id AND (o.changes IS NOT NULL OR (o.to_status = 'rejected' " \
	"    AND o.reason IS NOT NULL) OR " IS_OF_OPERATION ")), " \
	ERASE_EVENTS(i) ", " \
	"d AS (UPDATE @mf_dispute_state o SET reason = NULL FROM " i " WHERE o.invoice = i.id AND o.reason IS NOT NULL), " \
	ERASE_OPERATIONS(i)

/* erases the locked invoices "i" */
#define ERASE(i) \
	"n AS (UPDATE @mf_invoice o SET " EMPTY_COLUMNS " FROM " i " WHERE o.id = i.id RETURNING o.id), " \
	"r AS (UPDATE @mf_reaction_queue o SET old_row = o.old_row - p.members, new_row = o.new_row - p.members " \
	"  FROM " i ", (SELECT ARRAY['customer_name', 'customer_email', 'customer_mobile', 'mobile_country_code', " \
	"    'customer_civil_id', 'user_defined_field', 'customer_address', 'shipping_consignee', 'last_error', " \
	"      'payment_error'] AS members) p " \
	"  WHERE o.invoice = i.id), " \
	ERASE_LINES(i)

/* an archived invoice has all its data in one row; members that are null are left out of it */
#define WITHOUT(list, less) \
	"'" list "', (SELECT jsonb_agg(e " less ") FROM jsonb_array_elements(o.detail->'" list "') e)"
#define ERASE_ARCHIVED(i) \
	"n AS (UPDATE @mf_invoice_archive o SET " EMPTY_COLUMNS ", " \
	"  detail = jsonb_strip_nulls(o.detail || jsonb_build_object(" \
	WITHOUT("attempts", "- 'error'") ", " WITHOUT("transitions", "- ARRAY['changes', 'reason']") ", " \
	WITHOUT("transactions", "- 'ip_address'") ", " \
	WITHOUT("disputes", "- 'reason'") ", " \
	WITHOUT("events", "|| jsonb_build_object('data', " MF_EVENT_KEPT("(e->'data')", "(e->>'event_code')::int") ")") ")) " \
	"  FROM " i " WHERE o.id = i.id AND o.created_at = i.created_at RETURNING o.id), " \
	ERASE_EVENTS(i) ", " ERASE_OPERATIONS(i)

/*
 * Invoices that were sent are found in the order of an index.  Those that were
 * cancelled are looked for among all unpaid ones, LOOKED_AT at a time; each batch
 * goes on where the one before ended.
 */
#define LOOKED_AT 10000
#define ERASED 500

static MfStatement purge_sent_statement = {
	MF_IN_ORDER "WITH i AS MATERIALIZED (SELECT i.id FROM @mf_invoice i WHERE i.erased_at IS NULL "
	"  AND i.payment_status NOT IN ('unpaid', 'authorized') AND i.created_at < $1 AND " MF_SETTLED("i") " "
	"  AND NOT EXISTS (SELECT FROM @mf_reaction_queue c WHERE c.invoice = i.id) "
	"  ORDER BY i.created_at LIMIT " CppAsString2(ERASED) " FOR NO KEY UPDATE SKIP LOCKED), " ERASE("i")
	"SELECT count(*) FROM i",
	1, {TIMESTAMPTZOID}, NULL
};

static MfStatement purge_cancelled_statement = {
	MF_IN_ORDER "WITH w AS MATERIALIZED (SELECT i.id, i.account FROM @mf_invoice i "
	"  WHERE " MF_UNPAID("i") " AND (" MF_UNPAID_KEY("i") ") > ($2, $3) "
	"    ORDER BY " MF_UNPAID_KEY("i") " LIMIT " CppAsString2(LOOKED_AT) "), "
	"i AS MATERIALIZED (SELECT i.id FROM @mf_invoice i WHERE i.id = ANY (ARRAY(SELECT w.id FROM w)) AND i.invoice_id IS NULL "
	"  AND i.erased_at IS NULL AND i.status = 'cancelled' AND i.created_at < $1 AND " MF_SETTLED("i") " "
	"  LIMIT " CppAsString2(ERASED) " FOR NO KEY UPDATE SKIP LOCKED), " ERASE("i")
	"SELECT w.account::text, w.id::int8 FROM w WHERE (SELECT count(*) FROM i) < " CppAsString2(ERASED) " "
	"  OR w.id IN (SELECT i.id FROM i) "
	"ORDER BY w.account COLLATE \"C\" DESC, w.id DESC LIMIT 1",
	3, {TIMESTAMPTZOID, TEXTOID, INT8OID}, NULL
};

static MfStatement purge_archived_statement = {
	MF_IN_ORDER "WITH i AS MATERIALIZED (SELECT i.id, i.created_at FROM @mf_invoice_archive i "
	"  WHERE i.erased_at IS NULL AND i.created_at < $1 "
	"  ORDER BY i.created_at LIMIT 500 FOR NO KEY UPDATE SKIP LOCKED), " ERASE_ARCHIVED("i")
	"SELECT count(*) FROM n",
	1, {TIMESTAMPTZOID}, NULL
};

/*
 * What no row has: events that matched none, and refunds of invoices whose month of the archive was dropped.  Each batch goes
 * on where the one before ended; what becomes so later is emptied with its row.  An event that was answered has a row, or
 * was emptied when it was deleted, so those are not read: there is an index of the others.
 */
#define NEXT(table, time, condition) \
	"WITH w AS MATERIALIZED (SELECT t.id, t." time " < $1 AS old FROM @" table " t WHERE " condition " AND t.id > $2 " \
	"  ORDER BY t.id LIMIT " CppAsString2(LOOKED_AT) "), "
#define NEXT_OLD(row) row ".id = ANY (ARRAY(SELECT w.id FROM w WHERE w.old)) AND NOT EXISTS (SELECT FROM @mf_invoice i WHERE i.id = " row ".invoice) "
#define IS_OUT_OF_REACH(k) "NOT EXISTS (SELECT FROM @mf_invoice_archive a WHERE a.id = " k ".id AND a.created_at = " k ".created_at)"
#define KEPT_OF_EVENT MF_EVENT_KEPT("o.data", "o.event_code")
#define SAYS_MORE "o.event_code IN (1, 2, 5, 6) AND o.data <> " KEPT_OF_EVENT

static MfStatement purge_rowless_statements[] = {
	{
		MF_IN_ORDER NEXT("mf_event", "received_at", "(t.invoice IS NULL OR t.answered_at IS NULL)")
		"e AS MATERIALIZED (SELECT o.id FROM @mf_event o WHERE " NEXT_OLD("o") "AND " SAYS_MORE " FOR NO KEY UPDATE SKIP LOCKED), "
		"u AS (UPDATE @mf_event o SET data = " KEPT_OF_EVENT " FROM e WHERE o.id = e.id) "
		"SELECT coalesce(max(w.id), 0)::int8 FROM w WHERE w.old",
		2, {TIMESTAMPTZOID, INT8OID}, NULL
	},
	{
		MF_IN_ORDER NEXT("mf_operation", "created_at", "true")
		"i AS MATERIALIZED (SELECT DISTINCT o.invoice AS id FROM @mf_operation o WHERE " NEXT_OLD("o")
		"  AND NOT EXISTS (SELECT FROM @mf_archive_key k WHERE k.id = o.invoice AND NOT " IS_OUT_OF_REACH("k") ")), "
		ERASE_OPERATIONS("i")
		"SELECT coalesce(max(w.id), 0)::int8 FROM w WHERE w.old",
		2, {TIMESTAMPTZOID, INT8OID}, NULL
	}
};

/*
 * A reference is the customer's, a dot and 20 letters, perhaps with the number of a resend.  An invoice that mf_adopt()
 * has taken over has it as its customer_reference.
 */
#define IS_REFERENCE_OF(reference, customer) \
	"left(" reference ", length(" customer ") + 1) = " customer " || '.' AND length(regexp_replace(" reference ", '~[0-9]+$', '')) = length(" customer ") + 21"
#define BEGINS_SO(reference, customer) reference " >= " customer " || '.' AND " reference " < " customer " || '/'"
#define OF_CUSTOMER(i) \
	"(" i ".customer_reference = $1 OR (" BEGINS_SO(i ".reference", "$1") " AND " i ".taken_over_from IS NOT NULL " \
	"  AND " IS_REFERENCE_OF(i ".customer_reference", "$1") ")) AND ($2 IS NULL OR " i ".account = $2) "

/* run as the caller, with policies and the right to update */
static MfStatement named_statement = {
	"SELECT i.id::int8 FROM @mf_invoice i WHERE " OF_CUSTOMER("i")
	"ORDER BY i.id FOR NO KEY UPDATE",
	2, {TEXTOID, TEXTOID}, NULL
};

/* what has come in about an erased row since is erased, too */
static MfStatement erase_statement = {
	"WITH l AS MATERIALIZED (SELECT i.id, i.status, i.payment_status, "
	"  i.erased_at IS NOT NULL AS erased, " MF_SETTLED("i") " AS settled, "
	"    i.duplicate_suspected OR i.payment_doubt IS NOT NULL OR i.disputed_at IS NOT NULL AS doubted, "
	"    " MF_PLAN_GOES_ON("i") " AS begins_plan "
	"  FROM @mf_invoice i WHERE i.id = ANY ($1)), "
	"i AS MATERIALIZED (SELECT l.id FROM l WHERE l.settled), " ERASE("i")
	"SELECT l.id::int8, CASE WHEN l.erased THEN 'forgotten_before' WHEN l.settled THEN CASE WHEN n.id IS NOT NULL "
	"  THEN 'forgotten' END "
	"  WHEN l.doubted THEN 'unfinished: a person has to decide' "
	"  WHEN l.begins_plan THEN 'unfinished: its recurring payment goes on' "
	"  ELSE 'unfinished: ' || CASE l.status WHEN 'sent' THEN l.payment_status ELSE l.status END END "
	"FROM l LEFT JOIN n ON n.id = l.id ORDER BY l.id",
	1, {INT8ARRAYOID}, NULL
};

static MfStatement erase_archived_statement = {
	"WITH l AS MATERIALIZED (SELECT i.id, i.created_at, i.erased_at IS NOT NULL AS erased FROM @mf_invoice_archive i "
	"  WHERE " OF_CUSTOMER("i") "), "
	"i AS MATERIALIZED (SELECT l.id, l.created_at FROM l), " ERASE_ARCHIVED("i")
	"SELECT l.id::int8, CASE WHEN l.erased THEN 'forgotten_before' WHEN n.id IS NOT NULL THEN 'forgotten' END "
	"FROM l LEFT JOIN n ON n.id = l.id ORDER BY l.id",
	2, {TEXTOID, TEXTOID}, NULL
};

/* a webhook about a refund, of version 2, names its invoice here */
#define NAMED_BY(e) "coalesce(" e ".customer_reference, " e ".data #>> '{ReferencedInvoice,ExternalIdentifier}')"

/* Archived rows whose month was dropped or detached; and events that matched no row are erased */
static MfStatement out_of_reach_statement = {
	"WITH i AS MATERIALIZED (SELECT k.id FROM @mf_archive_key k WHERE " BEGINS_SO("k.reference", "$1") " AND ($2 IS NULL OR k.account = $2) "
	"  AND " IS_REFERENCE_OF("k.reference", "$1") " AND " IS_OUT_OF_REACH("k") "), "
	"u AS (UPDATE @mf_event o SET data = " KEPT_OF_EVENT " WHERE o.invoice IS NULL AND ($2 IS NULL OR o.account = $2) "
	"  AND (" NAMED_BY("o") " = $1 OR " IS_REFERENCE_OF(NAMED_BY("o"), "$1") ") AND " SAYS_MORE "), "
	ERASE_EVENTS("i") ", " ERASE_OPERATIONS("i")
	"SELECT i.id::int8, 'out of reach: its month was dropped or detached' FROM i ORDER BY i.id",
	2, {TEXTOID, TEXTOID}, NULL
};

static MfStatement erase_lines_statement = {
	"WITH i AS MATERIALIZED (SELECT $1 AS id), " ERASE_LINES("i") "SELECT", 1, {INT8OID}, NULL
};

/* id of the latest cancelled invoice that was erased; 0 = begin again */
static MfUnpaidPosition cancelled_position;

/* ids of the latest event and operation that were looked at */
static int64 rowless_positions[lengthof(purge_rowless_statements)];

static bool purge_cancelled(const MfSqlScope *scope, TimestampTz before);
static bool purge_rowless(const MfSqlScope *scope, TimestampTz before);
static void forget_elsewhere(Oid schema, const Datum *values, const char *nulls, FunctionCallInfo fcinfo);
static void return_rows(void *argument);
static Datum lock_named_invoices(Oid schema, const Datum *values, const char *nulls);

PG_FUNCTION_INFO_V1(mf_forget);

uint64
mf_personal_data_purge(const MfSqlScope *scope, TimestampTz before)
{
	Datum		value = TimestampTzGetDatum(before);
	int64		sent;
	int64		archived;
	bool		more;

	(void) mf_sql_execute(scope, &purge_sent_statement, &value, NULL);
	sent = mf_result_int8(0, 1);
	more = purge_cancelled(scope, before);
	more = purge_rowless(scope, before) || more;
	(void) mf_sql_execute(scope, &purge_archived_statement, &value, NULL);
	archived = mf_result_int8(0, 1);
	return (uint64) (sent + archived + (more ? 1 : 0));
}

/* Erases a batch of cancelled invoices; false at the end of the walk. */
static bool
purge_cancelled(const MfSqlScope *scope, TimestampTz before)
{
	Datum		values[] = {
		TimestampTzGetDatum(before), CStringGetTextDatum(NameStr(cancelled_position.account)),
		Int64GetDatum(cancelled_position.invoice)
	};

	if (mf_sql_execute(scope, &purge_cancelled_statement, values, NULL) == 0)
	{
		memset(&cancelled_position, 0, sizeof(cancelled_position));
		return false;
	}
	namestrcpy(&cancelled_position.account, mf_result_text(0, 1));
	cancelled_position.invoice = mf_result_int8(0, 2);
	return true;
}

/* Erases in batches of events and operations; false at the end of both walks. */
static bool
purge_rowless(const MfSqlScope *scope, TimestampTz before)
{
	bool		more = false;
	int			i;

	for (i = 0; i < (int) lengthof(purge_rowless_statements); i++)
	{
		Datum		values[] = {TimestampTzGetDatum(before), Int64GetDatum(rowless_positions[i])};
		int64		position;

		(void) mf_sql_execute(scope, &purge_rowless_statements[i], values, NULL);
		position = mf_result_int8(0, 1);
		more = more || position > rowless_positions[i];
		rowless_positions[i] = Max(rowless_positions[i], position);
	}
	return more;
}

void
mf_personal_data_erase_lines(const MfSqlScope *scope, int64 invoice)
{
	Datum		value = Int64GetDatum(invoice);

	(void) mf_sql_execute(scope, &erase_lines_statement, &value, NULL);
}

/* Erases personal data of one customer in finished invoices; returns a row (id, result) for each invoice. */
Datum
mf_forget(PG_FUNCTION_ARGS)
{
	Oid			schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	Datum		named[2];
	char		nulls[2] = {' ', PG_ARGISNULL(1) ? 'n' : ' '};
	Datum		invoices;
	MfSqlScope	scope;

	named[0] = CStringGetTextDatum(mf_required_text(fcinfo, 0, "customer_reference"));
	named[1] = PG_ARGISNULL(1) ? (Datum) 0 : CStringGetTextDatum(mf_account_get(NameStr(*PG_GETARG_NAME(1)))->name);
	mf_start_rows(fcinfo);
	invoices = lock_named_invoices(schema, named, nulls);

	mf_sql_begin(&scope, schema);
	(void) mf_sql_execute(&scope, &erase_statement, &invoices, NULL);
	(void) mf_return_rows(fcinfo);
	mf_sql_end(&scope);
	/* roles that are under policies do not see archived rows */
	if (!mf_is_under_policies(schema))
	{
		mf_sql_begin(&scope, schema);
		(void) mf_sql_execute(&scope, &erase_archived_statement, named, nulls);
		(void) mf_return_rows(fcinfo);
		(void) mf_sql_execute(&scope, &out_of_reach_statement, named, nulls);
		(void) mf_return_rows(fcinfo);
		mf_sql_end(&scope);
	}
	forget_elsewhere(schema, named, nulls, fcinfo);
	return (Datum) 0;
}

/* What other extensions know of the customer, as the caller; after the invoices, which theirs may follow */
static void
forget_elsewhere(Oid schema, const Datum *values, const char *nulls, FunctionCallInfo fcinfo)
{
	MfExtensionCall call = {
		.prefix = "mf_forget_",
		.columns = "id::pg_catalog.int8, result::pg_catalog.text",
		.nargs = 2,
		.types = {TEXTOID, TEXTOID},
		.values = {values[0], values[1]},
		.nulls = {nulls[0], nulls[1]},
		.take = return_rows,
		.argument = fcinfo
	};
	MfSqlScope	scope;

	mf_sql_begin_as_caller(&scope, schema);
	mf_extension_functions_call(&scope, &call);
	mf_sql_end(&scope);
}

static void
return_rows(void *argument)
{
	(void) mf_return_rows((FunctionCallInfo) argument);
}

/*
 * Locks the invoices with that customer_reference, and of the account if one is
 * given, that the caller may update; an int8[].
 */
static Datum
lock_named_invoices(Oid schema, const Datum *values, const char *nulls)
{
	MfSqlScope	scope;
	Datum		invoices;

	mf_sql_begin_as_caller(&scope, schema);
	(void) mf_sql_execute(&scope, &named_statement, values, nulls);
	invoices = mf_result_int8_array();
	mf_sql_end(&scope);
	return invoices;
}
