/*
 * operation_rows.c
 *	  SQL of refunds, captures and releases: what an INSERT needs, refunds made in the
 *	  portal, and which database a row belongs to.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/operation_rows.c
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/compat.h"
#include "database/sql_array.h"
#include "process/wakeup.h"
#include "store/invoice_lookup.h"
#include "store/operation_sums.h"
#include "store/operations.h"
#include "store/row_rights.h"

static MfStatement lock_invoice_statement = {
	"SELECT FROM @mf_invoice i WHERE i.id = $1 FOR NO KEY UPDATE", 1, {INT8OID}, NULL
};

/* of what is committed, which the lock keeps from changing */
static MfStatement invoice_statement = {
	"SELECT i.account::text, i.status::text, i.payment_status::text, i.base_currency::text, i.created_by_id::oid, "
	"  EXISTS (SELECT FROM @mf_operation k WHERE k.idempotency_key = $3 AND k.account = i.account), "
	"  " MF_INVOICE_LEFT("i", "") "::text, " MF_PAYMENT_LEFT("i.id", "$2", "") "::text, i.base_value::text, "
	"  (SELECT format('%s, %s', s.kind, s.status) FROM @mf_operation s WHERE s.invoice = i.id AND s.kind <> 'refund' "
	"    AND " MF_OPERATION_LIVES("s") " LIMIT 1)::text, "
	"  (SELECT min(d.dispute_id) FROM @mf_dispute_state d WHERE d.invoice = i.id AND d.status = 'PENDING' "
	"    AND (d.payment_id = $2) IS NOT FALSE)::text "
	"FROM @mf_invoice i WHERE i.id = $1",
	3, {INT8OID, TEXTOID, TEXTOID}, NULL
};

static MfStatement refundable_statement = {
	"SELECT (CASE WHEN $2 IS NULL THEN " MF_INVOICE_LEFT("i", "") " "
	"  ELSE least(" MF_INVOICE_LEFT("i", "") ", " MF_PAYMENT_LEFT("i.id", "$2", "") ") END)::text, "
	"  $2 IS NULL OR EXISTS (SELECT FROM @mf_money m WHERE m.invoice = i.id AND m.kind = 'payment' AND m.payment_id = $2) "
	"FROM @mf_invoice i WHERE i.id = $1",
	2, {INT8OID, TEXTOID}, NULL
};

static MfStatement add_statement = {
	"INSERT INTO @mf_operation (invoice, account, kind, value, currency, reference, comment, created_by, created_by_id, "
	"  could_login, could_insert, due, origin) "
	"SELECT i.id, i.account, $2, $3::numeric, coalesce(i.base_currency, $4), $5, $6, $7::name, $8, $9, $10, clock_timestamp(), "
	"  @mf_origin() FROM @mf_invoice i WHERE i.id = $1 RETURNING id::int8",
	10, {INT8OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, OIDOID, BOOLOID, BOOLOID}, NULL
};

static MfStatement find_settling_statement = {
	"SELECT o.id::int8 FROM @mf_operation o WHERE o.invoice = $1 AND o.kind <> 'refund' AND o.status IN ('queued', 'review')",
	1, {INT8OID}, NULL
};

/* of any invoice where the number means the same, but for one of its own that nobody's identifier tells from it */
static MfStatement find_refund_statement = {
	"SELECT o.id::int8 FROM @mf_operation r JOIN @mf_operation o ON o.refund_id = $2 AND o.id <> r.id "
	"  AND @mf_shares_numbers(o.account, NULL, r.account) "
	"WHERE r.id = $1 AND (o.invoice <> r.invoice OR o.created_by IS NOT NULL OR o.reference IS NOT NULL) LIMIT 1",
	2, {INT8OID, INT8OID}, NULL
};

/* CASE, because otherwise the order of the tests is not certain */
#define SUPPLIER_IS_VALID(e) \
	"CASE WHEN jsonb_typeof(" e ") = 'object' THEN CASE WHEN jsonb_typeof(" e "->'SupplierCode') = 'number' " \
	"    AND jsonb_typeof(" e "->'SupplierDeductedAmount') = 'number' AND " e " - ARRAY['SupplierCode', 'SupplierDeductedAmount'] = '{}' " \
	"  THEN " e "->>'SupplierCode' ~ '^[0-9]{1,9}$' AND (" e "->>'SupplierDeductedAmount')::numeric >= 0 " \
	"    AND scale(trim_scale((" e "->>'SupplierDeductedAmount')::numeric)) <= 3 ELSE false END ELSE false END"
static MfStatement suppliers_statement = {
	"SELECT CASE WHEN jsonb_typeof($1) = 'array' THEN (SELECT CASE WHEN bool_and(v.valid) AND count(DISTINCT v.e->'SupplierCode') = count(*) THEN "
	"    sum(CASE WHEN v.valid THEN (v.e->>'SupplierDeductedAmount')::numeric END) END FROM (SELECT a.e, " SUPPLIER_IS_VALID("a.e") " AS valid "
	"    FROM jsonb_array_elements(CASE WHEN jsonb_typeof($1) = 'array' THEN $1 ELSE '[]' END) AS a(e)) v) END::text",
	1, {JSONBOID}, NULL
};

/*
 * The reference is ours if it was that of an attempt: of a row that was retried since.
 * What an invoice had that is gone since, by DELETE, goes to the one that mf_adopt() made
 * of it, as its entries of the ledger do.  It is not listed before what was asked for, by
 * whatever clock that was: by the times one without a reference is told from ours.
 */
#define SAME_REFUND(is_there) \
	"(SELECT g.id FROM @mf_operation g WHERE g.refund_id = n.refund_id::int8 AND g.invoice <> n.invoice::int8 " \
	"  AND coalesce((SELECT o.id FROM @mf_invoice o WHERE o.id = g.invoice), " \
	"    (SELECT k.id FROM @mf_archive_key k WHERE k.id = g.invoice)) " is_there \
	"  AND @mf_shares_numbers(g.account, NULL, i.account) ORDER BY g.id LIMIT 1)"
static MfStatement add_foreign_statement = {
	"WITH n AS MATERIALIZED (SELECT n.*, i.account, i.base_currency, (SELECT min(a.operation) FROM @mf_operation_attempt a "
	"    JOIN @mf_operation e ON e.id = a.operation WHERE a.reference = n.reference "
	"    AND e.refund_id IS DISTINCT FROM n.refund_id::int8) AS earlier, " SAME_REFUND("IS NULL") " AS gone, "
	"  " SAME_REFUND("IS NOT NULL") " AS other "
	"  FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9) AS n(invoice, status, value, refund_id, refund_reference, "
	"    refunded_value, rrn, currency, reference) JOIN @mf_invoice i ON i.id = n.invoice AND i.id = ANY ($1)), "
	"u AS (UPDATE @mf_operation o SET invoice = n.invoice, account = n.account FROM n WHERE o.id = n.gone RETURNING 1), "
	"p AS (INSERT INTO @mf_operation (invoice, account, kind, value, reference, status, currency, refund_id, "
	"    refund_reference, refunded_value, rrn, created_at, filed_at, done_at, last_error, due, origin) "
	"  SELECT n.invoice, n.account, 'refund', n.value::numeric, CASE WHEN NOT EXISTS (SELECT FROM @mf_operation k "
	"      WHERE k.reference = n.reference) THEN n.reference END, n.status, coalesce(n.base_currency, n.currency), n.refund_id::int8, "
	"    n.refund_reference, n.refunded_value::numeric, n.rrn, (SELECT greatest(now(), max(o.created_at), max(a.started_at)) "
	"      FROM @mf_operation o LEFT JOIN @mf_operation_attempt a ON a.operation = o.id WHERE o.invoice = n.invoice), clock_timestamp(), "
	"    CASE n.status WHEN 'refunded' THEN clock_timestamp() END, "
	"    nullif(concat_ws('; ', CASE WHEN EXISTS (SELECT FROM @mf_operation k WHERE k.id = n.earlier AND k.reference = n.reference) "
	"      THEN 'MyFatoorah lists refund ' || n.earlier || ' under another RefundId, too' "
	"      ELSE 'refund ' || n.earlier || ' was given up or asked for again, and MyFatoorah has carried out its earlier request' END, "
	"      'refund ' || n.other || ' of another invoice has this RefundId, too'), ''), "
	"    CASE n.status WHEN 'filed' THEN clock_timestamp() + interval '1 hour' END, @mf_origin() FROM n WHERE n.gone IS NULL "
	"  ON CONFLICT DO NOTHING RETURNING 1) "
	"SELECT (SELECT count(*) FROM n WHERE NOT EXISTS (SELECT FROM @mf_operation k WHERE k.invoice = n.invoice "
	"    AND k.refund_id = n.refund_id::int8)) - (SELECT count(*) FROM p) - (SELECT count(*) FROM u), "
	"  ARRAY(SELECT n.invoice::int8 FROM n WHERE coalesce(n.earlier, n.other) IS NOT NULL AND n.gone IS NULL)",
	9, {INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
		TEXTARRAYOID}, NULL
};

/*
 * What is queued may have been carried out by another database: the first of an
 * invoice is looked up, a person decides about the others.  Whether a person has to decide
 * about the first, too, the look-ups show.
 */
#define DOUBT_QUEUED(rows, set) \
	"UPDATE @mf_operation o SET " set "status = d.status, " \
	"  due = CASE d.status WHEN 'unknown' THEN clock_timestamp() + $1 * interval '1 ms' END, lookups = 0, asked_at = NULL, " \
	"  last_error = 'another database, or this one before it went back in time, may have asked for it' " \
	"FROM (SELECT q.id, CASE WHEN row_number() OVER (PARTITION BY q.invoice ORDER BY q.id) = 1 " \
	"    AND NOT EXISTS (SELECT FROM @mf_operation b WHERE b.invoice = q.invoice AND b.status IN ('sending', 'unknown')) " \
	"    THEN 'unknown' ELSE 'review' END AS status FROM @mf_operation q WHERE q.status = 'queued' AND " rows ") d " \
	"WHERE o.id = d.id"

static MfStatement doubt_queued_statement = {
	DOUBT_QUEUED("(NOT $2 OR q.origin <> @mf_origin())", ""), 2, {INT4OID, BOOLOID}, NULL
};

static MfStatement doubt_foreign_statement = {
	DOUBT_QUEUED("q.origin <> @mf_origin()", "origin = @mf_origin(), "), 1, {INT4OID}, NULL
};

static MfStatement take_over_statement = {
	"UPDATE @mf_operation o SET origin = @mf_origin(), due = CASE WHEN o.status IN ('sending', 'filed', 'unknown') "
	"  THEN clock_timestamp() + $1 * interval '1 ms' END WHERE o.origin <> @mf_origin() AND " MF_OPERATION_OPEN("o"),
	1, {INT4OID}, NULL
};

/* by a range, which an index serves, also where the plan is made for any invoices */
static MfStatement unfinished_statement = {
	"SELECT count(*) FROM @mf_operation o WHERE o.invoice BETWEEN $1 AND $2 AND " MF_OPERATION_OPEN("o"), 2, {INT8OID, INT8OID}, NULL
};

/*
 * What no rule makes of an unfinished row of this database: it has no due time, or another
 * account than its invoice.
 */
#define MISFITS \
	"@mf_invoice i WHERE i.id = o.invoice AND o.origin = @mf_origin() " \
	"  AND o.status IN ('queued', 'sending', 'filed', 'unknown') AND (o.due IS NULL OR o.account <> i.account)"

static MfStatement misfits_statement = {
	"SELECT count(*) FROM @mf_operation o, " MISFITS, 0, {0}, NULL
};

static MfStatement doubt_untimed_statement = {
	DOUBT_QUEUED("q.due IS NULL AND q.origin = @mf_origin()", ""), 1, {INT4OID}, NULL
};

static MfStatement repair_statement = {
	"WITH r AS (UPDATE @mf_operation o SET account = i.account, "
	"    due = coalesce(o.due, clock_timestamp()) FROM " MISFITS " RETURNING 1) "
	"SELECT 'operation', $1 + count(*) FROM r HAVING $1 + count(*) > 0",
	1, {INT8OID}, NULL
};

static MfStatement purge_statement = {
	MF_BY_AGE "DELETE FROM @mf_operation_attempt a WHERE a.ctid = ANY (ARRAY(SELECT t.ctid FROM @mf_operation_attempt t "
	"  WHERE t.started_at < $1 AND NOT EXISTS (SELECT FROM @mf_operation o WHERE o.id = t.operation "
	"    AND " MF_OPERATION_OPEN("o") ") LIMIT 1000))",
	1, {TIMESTAMPTZOID}, NULL
};

MfRefundedInvoice *
mf_operations_lock_invoice(Oid schema, int64 invoice, const char *payment_id, const char *key)
{
	MfSqlScope	scope;
	MfRefundedInvoice *found = NULL;
	Datum		values[] = {
		Int64GetDatum(invoice), payment_id ? CStringGetTextDatum(payment_id) : (Datum) 0,
		key ? CStringGetTextDatum(key) : (Datum) 0
	};
	const char	nulls[] = {' ', payment_id ? ' ' : 'n', key ? ' ' : 'n'};
	bool		visible = !mf_is_under_policies(schema) || mf_queue_is_visible(schema, invoice);
	Oid			table = get_relname_relid("mf_invoice", schema);
	MfNamed		named = {.invoice = invoice};

	if (visible)
		mf_queue_find_refused(schema, &named, 1);
	if (named.refused)
		mf_check_row_right(invoice, table, named.creator);
	mf_sql_begin(&scope, schema);
	if (visible && mf_sql_execute(&scope, &lock_invoice_statement, values, NULL) > 0)
	{
		scope.latest = true;
		if (mf_sql_execute(&scope, &invoice_statement, values, nulls) > 0)
		{
			found = (MfRefundedInvoice *) palloc0(sizeof(MfRefundedInvoice));
			found->account = mf_result_text(0, 1);
			found->status = mf_result_text(0, 2);
			found->payment_status = mf_result_text(0, 3);
			found->currency = mf_result_text(0, 4);
			found->creator = mf_result_oid(0, 5);
			found->key_taken = mf_result_bool(0, 6);
			found->left = mf_result_text(0, 7);
			found->payment_left = mf_result_text(0, 8);
			found->base_value = mf_result_text(0, 9);
			found->settling = mf_result_text(0, 10);
			found->disputed = mf_result_text(0, 11);
		}
	}
	mf_sql_end(&scope);
	if (found == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("invoice %lld does not exist", (long long) invoice),
				 errhint("Give the column \"id\" of mf_invoice, not \"invoice_id\". An archived one is brought back by mf_unarchive().")));
	mf_check_row_right(invoice, table, found->creator);
	return found;
}

int64
mf_operations_add(Oid schema, const MfNewSettling *settling)
{
	MfSqlScope	scope;
	int64		id;
	Datum		values[] = {
		Int64GetDatum(settling->invoice), CStringGetTextDatum(mf_operation_kind_name(settling->kind)),
		settling->value ? CStringGetTextDatum(settling->value) : (Datum) 0, CStringGetTextDatum(settling->currency),
		CStringGetTextDatum(settling->reference),
		settling->reason ? CStringGetTextDatum(settling->reason) : (Datum) 0, CStringGetTextDatum(settling->created_by),
		ObjectIdGetDatum(settling->sender.role), BoolGetDatum(settling->sender.could_login),
		BoolGetDatum(settling->sender.could_insert)
	};
	const char	nulls[] = {
		' ', ' ', settling->value ? ' ' : 'n', ' ', ' ', settling->reason ? ' ' : 'n', ' ', ' ', ' ', ' '
	};

	mf_sql_begin(&scope, schema);
	if (mf_sql_execute(&scope, &add_statement, values, nulls) != 1)
		mf_change_suppressed();
	id = mf_result_int8(0, 1);
	mf_sql_end(&scope);
	return id;
}

/* The number that a query gives, 0 = none, whatever the snapshot of the transaction. */
static int64
latest_number(Oid schema, MfStatement *statement, int64 first, int64 second)
{
	MfSqlScope	scope;
	int64		number = 0;
	Datum		values[] = {Int64GetDatum(first), Int64GetDatum(second)};

	mf_sql_begin(&scope, schema);
	scope.latest = true;
	if (mf_sql_execute(&scope, statement, values, NULL) > 0)
		number = mf_result_int8(0, 1);
	mf_sql_end(&scope);
	return number;
}

int64
mf_operations_find_settling(Oid schema, int64 invoice)
{
	return latest_number(schema, &find_settling_statement, invoice, 0);
}

int64
mf_operations_find_refund(Oid schema, int64 id, int64 refund_id)
{
	return latest_number(schema, &find_refund_statement, id, refund_id);
}

char *
mf_operations_suppliers_sum(Oid schema, Datum suppliers)
{
	MfSqlScope	scope;
	char	   *sum;

	mf_sql_begin(&scope, schema);
	(void) mf_sql_execute(&scope, &suppliers_statement, &suppliers, NULL);
	sum = mf_result_text(0, 1);
	mf_sql_end(&scope);
	return sum;
}

char *
mf_operations_refundable(Oid schema, int64 invoice, const char *payment_id)
{
	MfSqlScope	scope;
	char	   *left = NULL;
	Datum		values[] = {Int64GetDatum(invoice), payment_id ? CStringGetTextDatum(payment_id) : (Datum) 0};
	const char	nulls[] = {' ', payment_id ? ' ' : 'n'};

	mf_sql_begin(&scope, schema);
	scope.in_query = true;
	if (mf_sql_execute(&scope, &refundable_statement, values, nulls) > 0 && mf_result_bool(0, 2))
		left = mf_result_text(0, 1);
	mf_sql_end(&scope);
	return left;
}

Datum
mf_operations_add_foreign(const MfSqlScope *scope, const MfForeignRefund *refunds, int count)
{
	MfArray    *columns = mf_columns_start(&add_foreign_statement, count);
	int			i;

	for (i = 0; i < count; i++)
	{
		mf_array_add(&columns[0], Int64GetDatum(refunds[i].invoice));
		mf_array_add_text(&columns[1], mf_operation_status_name(refunds[i].status));
		mf_array_add_text(&columns[2], refunds[i].value);
		mf_array_add_text(&columns[3], refunds[i].refund_id);
		mf_array_add_text(&columns[4], refunds[i].refund_reference);
		mf_array_add_text(&columns[5], refunds[i].refunded_value);
		mf_array_add_text(&columns[6], refunds[i].rrn);
		mf_array_add_text(&columns[7], refunds[i].currency);
		mf_array_add_text(&columns[8], refunds[i].reference);
	}
	(void) mf_columns_execute(scope, &add_foreign_statement, columns);
	if (mf_result_int8(0, 1) != 0)
		mf_change_suppressed();
	return mf_result(0, 2, NULL);
}

void
mf_operations_take_over(Oid schema)
{
	Datum		value = Int32GetDatum(mf_verify_wait());

	(void) mf_execute_alone(schema, &doubt_foreign_statement, &value, NULL);
	(void) mf_execute_alone(schema, &take_over_statement, &value, NULL);
	mf_news_at_commit(MF_NEWS_OPERATIONS);
}

void
mf_operations_doubt_queued(Oid schema, bool promoted)
{
	Datum		values[] = {Int32GetDatum(mf_verify_wait()), BoolGetDatum(promoted)};

	(void) mf_execute_alone(schema, &doubt_queued_statement, values, NULL);
}

int64
mf_operations_unfinished(Oid schema, int64 invoice)
{
	return latest_number(schema, &unfinished_statement, invoice != 0 ? invoice : PG_INT64_MIN,
						 invoice != 0 ? invoice : PG_INT64_MAX);
}

int64
mf_operations_misfits(Oid schema)
{
	return mf_count_alone(schema, &misfits_statement, NULL);
}

void
mf_operations_repair(const MfSqlScope *scope)
{
	Datum		value = Int32GetDatum(mf_verify_wait());

	value = Int64GetDatum((int64) mf_sql_execute(scope, &doubt_untimed_statement, &value, NULL));
	(void) mf_sql_execute(scope, &repair_statement, &value, NULL);
	mf_news_at_commit(MF_NEWS_OPERATIONS);
}

uint64
mf_operations_purge_attempts(const MfSqlScope *scope, TimestampTz before)
{
	Datum		value = TimestampTzGetDatum(before);

	return mf_sql_execute(scope, &purge_statement, &value, NULL);
}
