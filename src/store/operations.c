/*
 * operations.c
 *	  SQL of refunds, captures and releases: claims, attempts, changes of status.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/operations.c
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "base/compat.h"
#include "database/sql_array.h"
#include "flow/round_items.h"
#include "process/notify.h"
#include "process/wait.h"
#include "process/wakeup.h"
#include "store/inquiries.h"
#include "store/operation_sums.h"
#include "store/operations.h"

static const char *const kind_names[] = {"refund", "capture", "release"};
static const char *const status_names[] = {
	"queued", "sending", "filed", "refunded", "captured", "released", "refused", "unknown", "review", "cancelled"
};

/* a loose index scan: as many steps as there are accounts; rows of other databases are never due here */
#define FIRST_DUE(condition) \
	"SELECT o.account, o.due FROM @mf_operation o WHERE o.due IS NOT NULL AND o.origin = @mf_origin() " condition \
	" ORDER BY o.account, o.due LIMIT 1"
static MfStatement accounts_statement = {
	MF_IN_ORDER "WITH RECURSIVE found AS ((" FIRST_DUE("") ") "
	"  UNION ALL SELECT n.account, n.due FROM found f CROSS JOIN LATERAL (" FIRST_DUE("AND o.account > f.account") ") n) "
	"SELECT f.account::text, f.due::timestamptz FROM found f",
	0, {0}, NULL
};

static MfStatement claim_statement = {
	MF_IN_ORDER "SELECT o.id::int8 FROM @mf_operation o JOIN @mf_invoice i ON i.id = o.invoice "
	"WHERE o.account = $1 AND o.due <= $2 AND o.origin = @mf_origin() AND o.id <> ALL ($4) ORDER BY o.due LIMIT $3 "
	"FOR NO KEY UPDATE OF i SKIP LOCKED FOR UPDATE OF o SKIP LOCKED",
	4, {TEXTOID, TIMESTAMPTZOID, INT4OID, INT8ARRAYOID}, NULL
};

static MfStatement lock_statement = {
	"SELECT o.id::int8 FROM @mf_operation o WHERE o.id = ANY ($1) FOR UPDATE SKIP LOCKED", 1, {INT8ARRAYOID}, NULL
};

/* none of an invoice that was archived or deleted, which the worker would never come to */
static MfStatement wait_statement = {
	"SELECT o.id::int8 FROM @mf_operation o JOIN @mf_invoice i ON i.id = o.invoice WHERE o.id = $1 "
	"FOR NO KEY UPDATE OF i FOR UPDATE OF o", 1, {INT8OID}, NULL
};

/*
 * A refund that was first listed after a row was asked for, without ExternalIdentifier and of the same amount, may be
 * that of the row.  mf_review has the same.
 */
#define POSSIBLE_REFUND \
	"(SELECT min(f.refund_id) FROM @mf_operation f WHERE f.invoice = o.invoice AND f.kind = o.kind AND f.value = o.value " \
	"  AND f.created_by IS NULL AND f.reference IS NULL AND o.refund_id IS NULL AND f.created_at >= coalesce((SELECT min(s.started_at) " \
	"    FROM @mf_operation_attempt s WHERE s.operation = o.id), o.created_at))"

/* a statement after those that lock: it sees what is committed since */
#define READ(condition) \
	"SELECT o.id::int8, o.invoice::int8, o.account::text, o.kind::text, o.status::text, o.attempts::int4, " \
	"  o.lookups::int4, o.value::text, o.currency::text, o.payment_id::text, o.charge_on_customer::bool, " \
	"  o.comment::text, o.suppliers::text, " \
	"  (SELECT o.value - coalesce(sum((e->>'SupplierDeductedAmount')::numeric), 0) FROM jsonb_array_elements(o.suppliers) e " \
	"    WHERE o.suppliers IS NOT NULL HAVING o.suppliers IS NOT NULL)::text, " \
	"  o.reference::text, o.refund_id::text, o.filed_at::timestamptz, o.asked_at::timestamptz, " \
	"  o.created_by_id::oid, o.could_login::bool, o.could_insert::bool, i.created_by_id::oid, i.own_key::bool, " \
	"  CASE WHEN i.status = 'sent' THEN i.invoice_id::text END, i.payment_status::text, " \
	"  EXISTS (SELECT FROM @mf_operation b WHERE b.invoice = o.invoice AND b.id <> o.id " \
	"    AND b.status IN ('sending', 'unknown')), l.left_over::text, o.value <= l.left_over, " \
	"  a.outcome::text, a.refund_id::text, a.error::text, o.last_error::text, o.refund_reference::text, " \
	"  o.attempts > 0 OR o.reference LIKE '%~%' OR (o.kind <> 'refund' AND EXISTS (SELECT FROM @mf_operation b " \
	"    WHERE b.invoice = o.invoice AND b.id <> o.id AND b.kind <> 'refund' AND b.attempts > 0)), " \
	"  coalesce(o.confirmed_from, 0)::int4, o.created_by IS NULL, " POSSIBLE_REFUND "::text, " \
	"  (SELECT min(b.id) FROM @mf_operation b WHERE b.invoice = o.invoice AND b.id <> o.id AND b.refund_id = a.refund_id " \
	"    AND b.created_by IS NOT NULL)::int8 " \
	"FROM @mf_operation o LEFT JOIN @mf_invoice i ON i.id = o.invoice " \
	"  LEFT JOIN @mf_operation_attempt a ON a.operation = o.id AND a.attempt = o.attempts " \
	"  LEFT JOIN LATERAL (SELECT least(" MF_INVOICE_LEFT("i", BEFORE_ME) ", CASE WHEN o.payment_id IS NOT NULL THEN " \
	"    coalesce(" MF_PAYMENT_LEFT("i.id", "o.payment_id", BEFORE_ME) ", 0) END) AS left_over) l ON true " \
	"WHERE " condition

/* of two that are queued, the older one comes first */
#define BEFORE_ME "AND r.id <> o.id AND (r.status <> 'queued' OR r.id < o.id)"

static MfStatement read_statement = {
	READ("o.id = ANY ($1) ORDER BY o.id + 0"), 1, {INT8ARRAYOID}, NULL
};

static MfStatement of_invoices_statement = {
	READ("o.invoice = ANY ($1) AND (o.kind = 'refund') = $2 ORDER BY o.id + 0"), 2, {INT8ARRAYOID, BOOLOID}, NULL
};

static MfStatement start_statement = {
	"WITH s AS MATERIALIZED (SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7) "
	"  AS s(id, attempt, reference, body_sha256, send_by, sent_to, due)), "
	"a AS (INSERT INTO @mf_operation_attempt (operation, attempt, reference, body_sha256, started_at, send_by, sent_to) "
	"  SELECT s.id, s.attempt, s.reference, s.body_sha256, clock_timestamp(), s.send_by, s.sent_to FROM s RETURNING 1), "
	"o AS (UPDATE @mf_operation o SET status = 'sending', attempts = s.attempt, due = s.due, asked_at = NULL FROM s "
	"  WHERE o.id = ANY ($1) AND o.id = s.id AND o.status = 'queued' RETURNING 1) "
	"SELECT 2 * (SELECT count(*) FROM s) - (SELECT count(*) FROM a) - (SELECT count(*) FROM o)",
	7, {INT8ARRAYOID, INT4ARRAYOID, TEXTARRAYOID, BYTEAARRAYOID, TIMESTAMPTZARRAYOID, INT4ARRAYOID, TIMESTAMPTZARRAYOID},
	NULL
};

/* one RefundId is one row: that of a request takes the place of one that an answer has made before */
static MfStatement unite_statement = {
	"DELETE FROM @mf_operation f USING unnest($1, $2) AS t(id, refund_id) JOIN @mf_operation o ON o.id = ANY ($1) AND o.id = t.id "
	"WHERE f.invoice = o.invoice AND f.refund_id = t.refund_id::int8 AND f.id <> o.id AND f.created_by IS NULL",
	2, {INT8ARRAYOID, TEXTARRAYOID}, NULL
};

static MfStatement apply_statement = {
	"WITH t AS MATERIALIZED (SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) "
	"  AS t(id, from_status, to_status, due, lookups, reference, refund_id, refund_reference, refunded_value, rrn, "
	"    error, actor, reason, confirmed_from)), "
	"c AS (UPDATE @mf_operation o SET status = t.to_status, due = t.due, lookups = t.lookups, "
	"    reference = coalesce(t.reference, o.reference), refund_id = nullif(coalesce(t.refund_id::int8, o.refund_id), 0), "
	"    refund_reference = coalesce(t.refund_reference, o.refund_reference), "
	"    refunded_value = coalesce(t.refunded_value::numeric, o.refunded_value), rrn = coalesce(t.rrn, o.rrn), "
	"    asked_at = NULL, confirmed_from = coalesce(nullif(t.confirmed_from, 0), o.confirmed_from), last_error = t.error, "
	"    filed_at = CASE WHEN t.to_status IN ('filed', 'refunded', 'captured', 'released') "
	"      THEN coalesce(o.filed_at, clock_timestamp()) ELSE o.filed_at END, "
	"    done_at = CASE WHEN t.to_status IN ('refunded', 'captured', 'released') "
	"      THEN coalesce(o.done_at, clock_timestamp()) END "
	"  FROM t WHERE o.id = ANY ($1) AND o.id = t.id AND o.status = t.from_status "
	"  RETURNING o.id, o.invoice, o.kind, o.value, o.currency, t.from_status, t.to_status, t.error, t.actor, t.reason), "
	/* those that have waited for it; one that a session has locked waits on, and keeps nobody waiting */
	"w AS (UPDATE @mf_operation q SET due = clock_timestamp() FROM (SELECT p.id FROM c JOIN @mf_operation p ON p.invoice = c.invoice "
	"    WHERE p.id <> ALL ($1) AND p.status = 'queued' AND p.due > clock_timestamp() AND p.origin = @mf_origin() "
	"      AND c.from_status <> c.to_status AND c.to_status <> 'unknown' FOR UPDATE OF p SKIP LOCKED) l "
	"  WHERE q.id = l.id RETURNING 1), "
	"h AS (INSERT INTO @mf_transition (invoice, changed_at, actor, from_status, to_status, attempt, reason) "
	"  SELECT i.id, clock_timestamp(), c.actor, i.payment_status, i.payment_status, i.attempts, "
	"    concat_ws(': ', concat_ws(' ', c.kind, c.id, c.value, c.currency, c.from_status, 'to', c.to_status), c.reason, "
	"      CASE WHEN c.reason IS NULL THEN c.error END) "
	"  FROM c JOIN @mf_invoice i ON i.id = c.invoice WHERE c.from_status <> c.to_status RETURNING 1) "
	"SELECT (SELECT count(*) FROM t) - (SELECT count(*) FROM c), (SELECT count(*) FROM w), "
	"  ARRAY(SELECT DISTINCT c.invoice::int8 FROM c WHERE c.from_status <> c.to_status)",
	14, {INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID, INT4ARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
		TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, INT4ARRAYOID}, NULL
};

/*
 * An inquiry that a session has locked is left to it: the session asks, too.  If it does
 * not after all, the row is due again soon.  What is filed may be carried out in a moment; all
 * else has its own times at which it is asked again.
 */
#define FIRST_TRY(urgent) \
	"CASE WHEN EXISTS (SELECT FROM @mf_operation o WHERE o.id = ANY ($3) AND o.invoice = q.invoice AND o.status = 'filed') THEN 0 " \
	"  " urgent "ELSE " CppAsString2(MF_QUICK_TRIES) " END"
static MfStatement ask_statement = {
	"WITH l AS MATERIALIZED (SELECT q.invoice FROM @mf_inquiry q WHERE q.invoice = ANY ($1) FOR UPDATE SKIP LOCKED), "
	"u AS (UPDATE @mf_inquiry q SET due = clock_timestamp(), urgent = true, refunds = q.refunds OR $2, "
	"    times_requested = q.times_requested + 1, unchanged_answers = " FIRST_TRY("WHEN q.urgent THEN q.unchanged_answers ") ", "
	"    by_callback = false, ordered_by = 0 "
	"  FROM l WHERE q.invoice = ANY ($1) AND q.invoice = l.invoice), "
	"n AS (INSERT INTO @mf_inquiry (invoice, account, due, urgent, refunds, times_requested, unchanged_answers) "
	"  SELECT q.invoice, q.account, clock_timestamp(), true, $2, 1, " FIRST_TRY("") " FROM (SELECT i.id AS invoice, i.account "
	"    FROM @mf_invoice i WHERE i.id = ANY ($1) AND i.status = 'sent' "
	"    AND NOT EXISTS (SELECT FROM @mf_inquiry q WHERE q.invoice = i.id)) q ORDER BY q.invoice ON CONFLICT (invoice) DO NOTHING) "
	"UPDATE @mf_operation o SET asked_at = clock_timestamp() WHERE o.id = ANY ($3)",
	3, {INT8ARRAYOID, BOOLOID, INT8ARRAYOID}, NULL
};

MfOperationAlarm mf_operations = {true, 0, 0};

static List *read_operations(uint64 rows);
static MfOperation *read_operation(uint64 row);
static void notify_changed(Datum invoices);

const char *
mf_operation_status_name(MfOperationStatus status)
{
	return status_names[status];
}

const char *
mf_operation_kind_name(MfOperationKind kind)
{
	return kind_names[kind];
}

static int
number_of(const char *const *names, int count, const char *name)
{
	int			i;

	for (i = 0; i < count; i++)
	{
		if (strcmp(names[i], name) == 0)
			return i;
	}
	elog(ERROR, "unknown word in mf_operation: \"%s\"", name);
	return 0;
}

List *
mf_operations_accounts(const MfSqlScope *scope)
{
	return mf_read_due_accounts(scope, &accounts_statement);
}

List *
mf_operations_claim(const MfSqlScope *scope, const char *account, int limit, TimestampTz now)
{
	TimestampTz retry_at = 0;
	Datum		values[] = {
		CStringGetTextDatum(account), TimestampTzGetDatum(now), Int32GetDatum(limit),
		mf_items_left_out(MF_ITEM_OPERATION, now, &retry_at)
	};
	uint64		rows = mf_sql_execute(scope, &claim_statement, values, NULL);
	Datum		ids;
	uint64		i;

	mf_operations.due = mf_earlier(mf_operations.due, retry_at);
	if (rows == 0)
		return NIL;
	for (i = 0; i < rows; i++)
		mf_items_add(MF_ITEM_OPERATION, mf_result_int8(i, 1));
	ids = mf_result_int8_array();
	return read_operations(mf_sql_execute(scope, &read_statement, &ids, NULL));
}

List *
mf_operations_lock(const MfSqlScope *scope, const int64 *ids, int count)
{
	Datum		value = mf_int8_array(ids, count);

	if (mf_sql_execute(scope, &lock_statement, &value, NULL) == 0)
		return NIL;
	value = mf_result_int8_array();
	return read_operations(mf_sql_execute(scope, &read_statement, &value, NULL));
}

MfOperation *
mf_operation_read(Oid schema, int64 id, bool lock)
{
	MfSqlScope	scope;
	MfOperation *operation = NULL;
	Datum		value = Int64GetDatum(id);

	mf_sql_begin(&scope, schema);
	if (!lock || mf_sql_execute(&scope, &wait_statement, &value, NULL) > 0)
	{
		value = mf_int8_array(&id, 1);
		if (mf_sql_execute(&scope, &read_statement, &value, NULL) > 0)
			operation = read_operation(0);
	}
	mf_sql_end(&scope);
	return operation;
}

List *
mf_operations_of_invoices(const MfSqlScope *scope, const int64 *invoices, int count, bool refunds)
{
	Datum		values[] = {mf_int8_array(invoices, count), BoolGetDatum(refunds)};

	return read_operations(mf_sql_execute(scope, &of_invoices_statement, values, NULL));
}

static List *
read_operations(uint64 rows)
{
	List	   *operations = NIL;
	uint64		i;

	for (i = 0; i < rows; i++)
		operations = lappend(operations, read_operation(i));
	return operations;
}

/* Reads a row of READ(). */
static MfOperation *
read_operation(uint64 row)
{
	MfOperation *operation = (MfOperation *) palloc0(sizeof(MfOperation));
	const char *outcome = mf_result_text(row, 29);

	operation->id = mf_result_int8(row, 1);
	operation->invoice = mf_result_int8(row, 2);
	operation->account = mf_result_text(row, 3);
	operation->kind = number_of(kind_names, lengthof(kind_names), mf_result_text(row, 4));
	operation->status = number_of(status_names, lengthof(status_names), mf_result_text(row, 5));
	operation->attempts = mf_result_int4(row, 6);
	operation->lookups = mf_result_int4(row, 7);
	operation->value = mf_result_text(row, 8);
	operation->currency = mf_result_text(row, 9);
	operation->payment_id = mf_result_text(row, 10);
	operation->charge_on_customer = mf_result_bool(row, 11);
	operation->comment = mf_result_text(row, 12);
	operation->suppliers = mf_result_text(row, 13);
	operation->vendor_value = mf_result_text(row, 14);
	operation->reference = mf_result_text(row, 15);
	operation->refund_id = mf_result_text(row, 16);
	operation->filed_at = mf_result_timestamp(row, 17);
	operation->asked_at = mf_result_timestamp(row, 18);
	operation->sender.role = mf_result_oid(row, 19);
	operation->sender.could_login = mf_result_bool(row, 20);
	operation->sender.could_insert = mf_result_bool(row, 21);
	operation->owner.role = mf_result_oid(row, 22);
	operation->owner.own = mf_result_bool(row, 23);
	operation->invoice_id = mf_result_text(row, 24);
	operation->payment_status = mf_result_text(row, 25);
	operation->blocked = mf_result_bool(row, 26);
	operation->left = mf_result_text(row, 27);
	operation->fits = mf_result_bool(row, 28);
	operation->ended = outcome != NULL;
	while (outcome != NULL && strcmp(mf_outcome_name(operation->outcome), outcome) != 0)
		operation->outcome++;
	operation->answered_id = mf_result_text(row, 30);
	operation->error = mf_result_text(row, 31);
	operation->last_error = mf_result_text(row, 32);
	operation->refund_reference = mf_result_text(row, 33);
	operation->may_exist = mf_result_bool(row, 34);
	operation->confirmed_from = mf_result_int4(row, 35);
	operation->is_foreign = mf_result_bool(row, 36);
	operation->possible_id = mf_result_text(row, 37);
	operation->answer_holder = mf_result_int8(row, 38);
	return operation;
}

void
mf_operations_start(const MfSqlScope *scope, const MfAttempt *attempts, const TimestampTz *leases, int count)
{
	MfArray    *columns = mf_columns_start(&start_statement, count);
	int			i;

	for (i = 0; i < count; i++)
	{
		mf_array_add(&columns[0], Int64GetDatum(attempts[i].invoice));
		mf_array_add(&columns[1], Int32GetDatum(attempts[i].attempt));
		mf_array_add_text(&columns[2], attempts[i].reference);
		mf_array_add_bytes(&columns[3], attempts[i].body_sha256, sizeof(attempts[i].body_sha256));
		mf_array_add(&columns[4], TimestampTzGetDatum(attempts[i].send_by));
		mf_array_add(&columns[5], Int32GetDatum(attempts[i].sent_to));
		mf_array_add(&columns[6], TimestampTzGetDatum(leases[i]));
	}
	mf_columns_change(scope, &start_statement, columns);
}

void
mf_operation_change_begin(MfOperationChange *change, const MfOperation *operation, const char *actor)
{
	memset(change, 0, sizeof(*change));
	change->id = operation->id;
	change->from = change->to = operation->status;
	change->lookups = operation->lookups;
	change->error = operation->last_error;
	change->actor = actor;
}

void
mf_operations_apply(const MfSqlScope *scope, const MfOperationChange *changes, int count)
{
	MfArray    *columns = mf_columns_start(&apply_statement, count);
	bool		named = false;
	int			i;

	for (i = 0; i < count; i++)
	{
		const MfOperationChange *c = &changes[i];

		mf_array_add(&columns[0], Int64GetDatum(c->id));
		mf_array_add_text(&columns[1], status_names[c->from]);
		mf_array_add_text(&columns[2], status_names[c->to]);
		mf_array_add_timestamp(&columns[3], c->due);
		mf_array_add(&columns[4], Int32GetDatum(Min(c->lookups, PG_INT16_MAX)));
		mf_array_add_text(&columns[5], c->reference);
		mf_array_add_text(&columns[6], c->refund_id);
		mf_array_add_text(&columns[7], c->refund_reference);
		mf_array_add_text(&columns[8], c->refunded_value);
		mf_array_add_text(&columns[9], c->rrn);
		mf_array_add_text(&columns[10], c->error);
		mf_array_add_text(&columns[11], c->actor);
		mf_array_add_text(&columns[12], c->reason);
		mf_array_add(&columns[13], Int32GetDatum(c->confirmed_from));
		mf_operations.due = mf_earlier(mf_operations.due, c->due);
		mf_operations.refused += c->to == MF_OPERATION_REFUSED && c->from != MF_OPERATION_REFUSED;
		named |= c->refund_id != NULL;
	}
	if (named)
	{
		Datum		values[] = {mf_array_datum(&columns[0], INT8OID), mf_array_datum(&columns[6], TEXTOID)};

		(void) mf_sql_execute(scope, &unite_statement, values, NULL);
	}
	(void) mf_columns_execute(scope, &apply_statement, columns);
	if (mf_result_int8(0, 1) != 0)
		mf_change_suppressed();
	mf_operations.pending |= mf_result_int8(0, 2) > 0;
	notify_changed(mf_result(0, 3, NULL));
}

/* Tells those who listen on the channel mf_invoice. */
static void
notify_changed(Datum invoices)
{
	ArrayType  *array = DatumGetArrayTypeP(invoices);
	const int64 *ids = (const int64 *) ARR_DATA_PTR(array);
	int			count = ARR_NDIM(array) == 0 ? 0 : ARR_DIMS(array)[0];
	int			i;

	for (i = 0; i < count; i++)
		mf_notify_at_commit(ids[i]);
}

void
mf_operation_apply_alone(Oid schema, const MfOperationChange *change)
{
	MfSqlScope	scope;

	mf_sql_begin(&scope, schema);
	mf_operations_apply(&scope, change, 1);
	mf_sql_end(&scope);
	mf_news_at_commit(MF_NEWS_OPERATIONS);
}

void
mf_operations_ask(const MfSqlScope *scope, const int64 *invoices, bool refunds, const int64 *ids, int count)
{
	Datum		values[] = {mf_int8_array(invoices, count), BoolGetDatum(refunds), mf_int8_array(ids, count)};

	if (mf_sql_execute(scope, &ask_statement, values, NULL) != (uint64) count)
		mf_change_suppressed();
	mf_inquiry_wake();
}
