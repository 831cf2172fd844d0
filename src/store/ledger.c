/*
 * ledger.c
 *	  SQL of the ledger: money that came and went, and disputes.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/ledger.c
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "core/api/webhook.h"
#include "database/digest.h"
#include "database/sql_array.h"
#include "process/wakeup.h"
#include "store/events.h"
#include "store/ledger.h"

/*
 * An entry is the difference between the total that an answer reports and what was booked
 * before, so the same answer books nothing a second time.
 *
 * What was booked for a row that is gone since, by DELETE, goes to the row that mf_adopt()
 * made for the same invoice: a payment is in the books once, and news to that row.  What was
 * reported about its disputes goes with it, so that they are news to that row, too.  The
 * tables of rows are probed, never joined, for each line that has the same number.  A row
 * that is there, or archived, keeps its lines, and is named.
 */
static MfStatement book_statement = {
	"WITH w AS MATERIALIZED (SELECT DISTINCT ON (n.invoice, n.kind, n.source) n.invoice, n.kind, n.source, "
	"  n.currency, n.payment_id, n.position, "
	"    n.amount::numeric - coalesce((SELECT sum(m.amount) FROM @mf_money m "
	"      WHERE m.invoice = ANY ($1) AND m.invoice = n.invoice AND m.kind = n.kind AND m.source = n.source), "
	"        0) AS difference "
	"  FROM unnest($1, $2, $3, $4, $5, $6, $7) AS n(invoice, kind, source, amount, currency, payment_id, position) "
	"  ORDER BY n.invoice, n.kind, n.source, n.position), "
	"g AS MATERIALIZED (SELECT m.id, m.amount, m.invoice AS holder, w.invoice, w.kind, w.source, "
	"    (SELECT i.id FROM @mf_invoice i WHERE i.id = m.invoice) IS NULL "
	"    AND (SELECT k.id FROM @mf_archive_key k WHERE k.id = m.invoice) IS NULL AS gone "
	"  FROM w JOIN @mf_money m ON m.source = ANY ($3) AND m.source = w.source AND m.kind = w.kind "
	"  WHERE (w.difference <> 0 OR w.kind = 'chargeback') AND m.invoice <> w.invoice "
	"    AND @mf_shares_numbers(m.account, NULL, (SELECT i.account FROM @mf_invoice i WHERE i.id = w.invoice))), "
	"u AS (UPDATE @mf_money m SET invoice = g.invoice, account = i.account, customer_reference = i.customer_reference FROM g JOIN @mf_invoice i ON i.id = g.invoice AND i.id = ANY ($1) "
	"  WHERE m.id = g.id AND g.gone RETURNING 1), "
	"e AS (UPDATE @mf_event e SET invoice = g.invoice FROM g JOIN @mf_invoice i ON i.id = g.invoice AND i.id = ANY ($1) "
	"  WHERE g.gone AND g.kind = 'payment' AND e.invoice = g.holder AND e.event_code = 6 AND e.invoice_id = i.invoice_id), "
	"d AS (DELETE FROM @mf_dispute_state d USING g WHERE g.gone AND g.kind = 'payment' AND d.invoice = g.holder AND d.payment_id = g.source), "
	"n AS MATERIALIZED (SELECT w.*, nullif(min(w.invoice) OVER s, w.invoice) AS first, nullif(max(w.invoice) OVER s, w.invoice) AS last, w.difference - coalesce((SELECT sum(g.amount) FROM g WHERE g.gone "
	"    AND g.invoice = w.invoice AND g.kind = w.kind AND g.source = w.source), 0) AS unbooked "
	"  FROM w WINDOW s AS (PARTITION BY w.kind, w.source)), "
	"b AS (INSERT INTO @mf_money (invoice, account, customer_reference, kind, source, amount, currency, payment_id) "
	"  SELECT i.id, i.account, i.customer_reference, n.kind, n.source, n.unbooked, n.currency, n.payment_id "
	"  FROM n JOIN @mf_invoice i ON i.id = n.invoice AND i.id = ANY ($1) WHERE n.unbooked <> 0 ORDER BY n.position "
	"  RETURNING invoice, kind, source) "
	"SELECT n.position::int4, n.difference::text, (n.unbooked = 0 OR EXISTS (SELECT FROM b WHERE b.invoice = n.invoice "
	"  AND b.kind = n.kind AND b.source = n.source)) AND (SELECT count(*) FROM g WHERE g.gone) = (SELECT count(*) FROM u), "
	"  coalesce((SELECT min(g.holder) FROM g WHERE NOT g.gone AND g.invoice = n.invoice AND g.kind = n.kind "
	"    AND g.source = n.source), "
	"    (SELECT i.id FROM @mf_invoice i WHERE i.id = coalesce(n.first, n.last) AND i.id = ANY ($1) "
	"      AND @mf_shares_numbers(i.account, NULL, (SELECT o.account FROM @mf_invoice o WHERE o.id = n.invoice))), 0)::int8 "
	"FROM n WHERE n.difference <> 0",
	7, {INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, INT4ARRAYOID}, NULL
};

/*
 * Stores what signed webhooks and MyFatoorah's log of webhooks report about disputes,
 * and returns what has changed.  Webhooks may overtake each other, and the log begins with
 * the newest, so their numbers (WH-24349) tell which is the last; one without a number,
 * version 1, comes after those that were received before.  What the log has besides is overruled by such a one that
 * was LOST or RESOLVED: the number does not tell which of both is the last.  The number is not signed, so a webhook that
 * was RESOLVED once gives no money back a second time, whatever its number, nor under another account.
 * A dispute does not become pending again, nor anything that is unknown here.  What a person has decided is
 * an event, too, after all that have its number, such as those that the log has once more.
 * One that is LOST with several types is a chargeback if one of these says so, whichever came last.
 * One that is LOST although it was RESOLVED, or is said to be once more, is lost "again"; so is one whose end differs
 * from what an overruled item of the log says.  A dispute that was lost is returned once more when its payment has been
 * booked, because only then its amount is known.
 */
#define BOOKED(kind, number) "SELECT FROM @mf_money m WHERE m.invoice = ANY ($1) AND m.invoice = l.invoice " \
	"AND m.kind = '" kind "' AND m.source = l." number
#define MEMBER(v2, v1) "coalesce(e.data #>> '{" v2 "}', e.data ->> '" v1 "')"
#define DISPUTE_ID "left(coalesce(" MEMBER("Dispute,DisputeTransactionId", "DisputeTransactionId") ", 'event ' || e.id), 100)"

static MfStatement disputes_statement = {
	"WITH e AS MATERIALIZED (SELECT e.id, e.invoice, e.received_at, " MF_EVENT_NUMBER("e") " AS number, "
	"    e.answered_at IS NULL AS news, e.deliveries > 1 AS repeated, e.source = 'person' AS decided, e.source = 'log' AS logged, "
	"    " DISPUTE_ID " AS dispute_id, "
	"    upper(left(coalesce(CASE e.source WHEN 'webhook' "
	"      THEN e.event_status END, " MEMBER("Dispute,Status", "DisputeStatus") "), 100)) AS status, "
	"    upper(left(" MEMBER("Dispute,Type", "DisputeType") ", 100)) AS told_type, "
	"    left(" MEMBER("Dispute,ChargeBackType", "DisputeChargeBackType") ", 1000) AS charge_back_type, "
	"    left(" MEMBER("Dispute,Reason", "DisputeReason") ", 1000) AS reason, "
	"    coalesce(e.payment_id, left(" MEMBER("Transaction,PaymentId", "TransactionPaymentId") ", 100)) AS payment_id "
	"  FROM @mf_event e JOIN @mf_invoice i ON i.id = e.invoice AND i.id = ANY ($1) AND i.invoice_id = e.invoice_id "
	"  WHERE e.invoice = ANY ($1) AND e.event_code = 6 AND e.source IN ('webhook', 'log', 'person')), "
	"f AS MATERIALIZED (SELECT e.*, e.logged AND bool_or(e.number IS NULL AND NOT e.logged AND e.status IN ('LOST', 'RESOLVED')) "
	"      OVER (PARTITION BY e.invoice, e.dispute_id ORDER BY e.received_at, e.id) AS overruled FROM e WHERE e.status <> ''), "
	"t AS MATERIALIZED (SELECT e.*, coalesce(e.number, max(e.number) OVER (PARTITION BY e.invoice, e.dispute_id ORDER BY e.received_at, e.id)) AS place, "
	"    min(e.received_at) OVER (PARTITION BY e.invoice, e.dispute_id) AS opened_at, "
	"    CASE WHEN e.status = 'LOST' AND bool_or(e.told_type = 'CHARGEBACK') OVER (PARTITION BY e.invoice, e.dispute_id, e.status) "
	"      THEN 'CHARGEBACK' ELSE e.told_type END AS type, "
	"    e.status = 'RESOLVED' AND NOT e.decided AND row_number() OVER s > 1 AND coalesce(e.number <> first_value(e.number) OVER s, true) AS won_again "
	"  FROM f e WINDOW s AS (PARTITION BY e.invoice, e.dispute_id, e.status, e.overruled ORDER BY e.received_at, e.id)), "
	"l AS MATERIALIZED (SELECT DISTINCT ON (t.invoice, t.dispute_id) t.* FROM t WHERE NOT t.won_again AND NOT t.overruled "
	"  ORDER BY t.invoice, t.dispute_id, t.status NOT IN ('LOST', 'RESOLVED'), t.place DESC NULLS LAST, (t.number IS NULL OR t.decided) DESC, "
	"    t.received_at DESC, t.id DESC), "
	"n AS MATERIALIZED (SELECT l.*, w.again FROM l LEFT JOIN @mf_dispute_state d ON d.invoice = ANY ($1) "
	"  AND d.invoice = l.invoice AND d.dispute_id = l.dispute_id CROSS JOIN LATERAL (SELECT (l.status = 'LOST' AND d.status = 'RESOLVED' AND NOT l.decided) "
	"    OR EXISTS (SELECT FROM t WHERE t.invoice = l.invoice AND t.dispute_id = l.dispute_id AND t.news AND t.status <> l.status "
	"      AND t.status IN ('LOST', 'RESOLVED') AND (t.overruled "
	"      OR (l.status = 'LOST' AND d.status = 'LOST' AND (t.won_again OR t.repeated)))) AS again) w "
	"  WHERE d.invoice IS NULL OR (d.status <> l.status AND l.status IN ('LOST', 'RESOLVED')) OR w.again "
	"    OR (l.status = 'LOST' AND l.type = 'CHARGEBACK' AND d.status = 'LOST' "
	"      AND EXISTS (" BOOKED("payment", "payment_id") ") "
	"      AND NOT EXISTS (" BOOKED("chargeback", "dispute_id") "))), "
	"u AS (INSERT INTO @mf_dispute_state (invoice, dispute_id, payment_id, type, status, charge_back_type, reason, "
	"    opened_at, changed_at, event) "
	"  SELECT n.invoice, n.dispute_id, n.payment_id, n.type, n.status, n.charge_back_type, n.reason, n.opened_at, "
	"    n.received_at, n.id "
	"  FROM n ORDER BY n.invoice, n.dispute_id ON CONFLICT (invoice, dispute_id) DO UPDATE "
	"    SET status = EXCLUDED.status, "
	"    type = EXCLUDED.type, charge_back_type = EXCLUDED.charge_back_type, reason = EXCLUDED.reason, "
	"    payment_id = EXCLUDED.payment_id, changed_at = EXCLUDED.changed_at, event = EXCLUDED.event RETURNING 1) "
	"SELECT n.invoice::int8, n.dispute_id, n.payment_id, n.type, n.status, "
	"  CASE WHEN n.status = 'LOST' AND n.type = 'CHARGEBACK' THEN (SELECT -sum(m.amount) FROM @mf_money m "
	"    WHERE m.invoice = ANY ($1) AND m.invoice = n.invoice AND m.kind = 'payment' "
	"      AND m.source = n.payment_id)::text END, "
	"  (SELECT max(m.currency) FROM @mf_money m WHERE m.invoice = ANY ($1) AND m.invoice = n.invoice "
	"    AND m.kind = 'payment' AND m.source = n.payment_id), "
	"  (SELECT max(a.changed_at) FROM (SELECT o.received_at AS changed_at FROM n o WHERE o.invoice = n.invoice "
	"    AND o.status <> 'RESOLVED' "
	"    UNION ALL SELECT d.changed_at FROM @mf_dispute_state d WHERE d.invoice = ANY ($1) AND d.invoice = n.invoice "
	"      AND d.status <> 'RESOLVED' AND d.dispute_id NOT IN (SELECT o.dispute_id FROM n o "
	"        WHERE o.invoice = n.invoice)) a)::timestamptz, "
	"  (SELECT count(*) FROM n) - (SELECT count(*) FROM u), coalesce(n.again, false) "
	"FROM n ORDER BY n.id",
	1, {INT8ARRAYOID}, NULL
};

/* a dispute as it will be once its events were read, and the event that a person's decision becomes */
static MfStatement decide_statement = {
	"WITH d AS MATERIALIZED (SELECT d.*, i.account, i.invoice_id, i.payment_status, i.attempts, c.latest, c.earlier, "
	"    coalesce((SELECT upper(e.event_status) FROM @mf_event e WHERE e.id = c.waiting), d.status) AS now "
	"  FROM @mf_dispute_state d JOIN @mf_invoice i ON i.id = d.invoice CROSS JOIN LATERAL (SELECT max(" MF_EVENT_NUMBER("e") ") AS latest, "
	"    count(*) FILTER (WHERE e.source = 'person') AS earlier, max(e.id) FILTER (WHERE e.source = 'person' AND e.answered_at IS NULL) AS waiting "
	"    FROM @mf_event e WHERE e.invoice = $1 AND e.event_code = 6 AND " DISPUTE_ID " = $2) c "
	"  WHERE d.invoice = $1 AND d.dispute_id = $2), "
	"t AS (INSERT INTO @mf_transition (invoice, changed_at, actor, from_status, to_status, attempt, reason) "
	"  SELECT $1, clock_timestamp(), $4, d.payment_status, d.payment_status, d.attempts, format('dispute %s decided: %s, %s', $2, $3, $5) "
	"  FROM d WHERE d.now <> $3 RETURNING 1) "
	"SELECT d.now = $3, d.account::text, d.invoice_id::text, d.payment_id::text, 'WH-' || d.latest, "
	"  jsonb_strip_nulls(jsonb_build_object('Dispute', jsonb_build_object('DisputeTransactionId', d.dispute_id, 'Status', $3, 'Type', d.type, "
	"    'ChargeBackType', d.charge_back_type, 'Reason', $5), 'Transaction', jsonb_build_object('PaymentId', d.payment_id)))::text, "
	"  format('decision %s about dispute %s of invoice %s', d.earlier + 1, $2, $1), "
	"  (SELECT count(*) FROM d WHERE d.now <> $3) - (SELECT count(*) FROM t) FROM d",
	5, {INT8OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID}, NULL
};

static MfStatement dismiss_statement = {
	"WITH i AS (UPDATE @mf_invoice SET payment_doubt = NULL WHERE id = $1 AND payment_doubt IS NOT NULL "
	"    RETURNING id, payment_status, attempts), "
	"t AS (INSERT INTO @mf_transition (invoice, changed_at, actor, from_status, to_status, attempt, reason) "
	"  SELECT i.id, clock_timestamp(), $2, i.payment_status, i.payment_status, i.attempts, $3 FROM i RETURNING 1) "
	"SELECT (SELECT count(*) FROM @mf_invoice WHERE id = $1 AND payment_doubt IS NOT NULL) - (SELECT count(*) FROM t), "
	"  (SELECT count(*) FROM t)",
	3, {INT8OID, TEXTOID, TEXTOID}, NULL
};

static Datum numeric_from_text(const char *text);
static char *compute(PGFunction function, const char *a, const char *b);

static const char *const kind_names[] = {"payment", "refund", "chargeback", "fee"};

void
mf_ledger_book(const MfSqlScope *scope, MfMoney *const *money, int count)
{
	MfArray    *columns;
	uint64		rows;
	uint64		row;
	int			i;

	if (count == 0)
		return;
	columns = mf_columns_start(&book_statement, count);
	for (i = 0; i < count; i++)
	{
		mf_array_add(&columns[0], Int64GetDatum(money[i]->invoice));
		mf_array_add_text(&columns[1], kind_names[money[i]->kind]);
		mf_array_add_text(&columns[2], money[i]->source);
		mf_array_add_text(&columns[3], money[i]->amount);
		mf_array_add_text(&columns[4], money[i]->currency);
		mf_array_add_text(&columns[5], money[i]->payment_id);
		mf_array_add(&columns[6], Int32GetDatum(i));
	}
	rows = mf_columns_execute(scope, &book_statement, columns);
	for (row = 0; row < rows; row++)
	{
		if (!mf_result_bool(row, 3))
			mf_change_suppressed();
		money[mf_result_int4(row, 1)]->booked = mf_result_text(row, 2);
		money[mf_result_int4(row, 1)]->holder = mf_result_int8(row, 4);
	}
}

List *
mf_ledger_store_disputes(const MfSqlScope *scope, const int64 *invoices, int count)
{
	List	   *disputes = NIL;
	Datum		value = mf_int8_array(invoices, count);
	uint64		rows = mf_sql_execute(scope, &disputes_statement, &value, NULL);
	uint64		row;

	for (row = 0; row < rows; row++)
	{
		MfDispute  *dispute = (MfDispute *) palloc0(sizeof(MfDispute));

		if (mf_result_int8(row, 9) != 0)
			mf_change_suppressed();
		dispute->invoice = mf_result_int8(row, 1);
		dispute->dispute_id = mf_result_text(row, 2);
		dispute->payment_id = mf_result_text(row, 3);
		dispute->type = mf_result_text(row, 4);
		dispute->status = mf_result_text(row, 5);
		dispute->lost = mf_result_text(row, 6);
		dispute->currency = mf_result_text(row, 7);
		dispute->disputed_at = mf_result_timestamp(row, 8);
		dispute->again = mf_result_bool(row, 10);
		disputes = lappend(disputes, dispute);
	}
	return disputes;
}

bool
mf_ledger_decide_dispute(Oid schema, int64 invoice, const char *dispute_id, const char *status,
						 const char *actor, const char *reason)
{
	Datum		values[] = {
		Int64GetDatum(invoice), CStringGetTextDatum(dispute_id), CStringGetTextDatum(status), CStringGetTextDatum(actor),
		CStringGetTextDatum(reason)
	};
	MfSqlScope	scope;
	MfEvent		event;
	bool		found;

	memset(&event, 0, sizeof(event));
	mf_sql_begin(&scope, schema);
	found = mf_sql_execute(&scope, &decide_statement, values, NULL) > 0;
	if (found && !mf_result_bool(0, 1))
	{
		const char *identity = mf_result_text(0, 7);

		if (mf_result_int8(0, 8) != 0)
			mf_change_suppressed();
		event.account = mf_result_text(0, 2);
		event.source = "person";
		event.event_code = MF_EVENT_DISPUTE_STATUS;
		event.event_name = "decision";
		event.event_status = status;
		event.event_reference = mf_result_text(0, 5);
		event.invoice_id = mf_result_text(0, 3);
		event.payment_id = mf_result_text(0, 4);
		event.invoice = invoice;
		event.data = mf_result_text(0, 6);
		mf_digest(identity, strlen(identity), event.digest);
		mf_events_store(&scope, &event, 1);
		mf_news_at_commit(MF_NEWS_INQUIRIES);
	}
	mf_sql_end(&scope);
	return found;
}

bool
mf_ledger_dismiss_doubt(Oid schema, int64 invoice, const char *actor, const char *reason)
{
	Datum		values[] = {Int64GetDatum(invoice), CStringGetTextDatum(actor), CStringGetTextDatum(reason)};

	return mf_change_alone(schema, &dismiss_statement, values, NULL) > 0;
}

int
mf_amount_compare(const char *a, const char *b)
{
	return DatumGetInt32(DirectFunctionCall2(numeric_cmp, numeric_from_text(a), numeric_from_text(b)));
}

char *
mf_amount_add(const char *a, const char *b)
{
	return compute(numeric_add, a, b);
}

char *
mf_amount_subtract(const char *a, const char *b)
{
	return compute(numeric_sub, a, b);
}

static Datum
numeric_from_text(const char *text)
{
	return DirectFunctionCall3(numeric_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
}

/* A function of two numbers, as text */
static char *
compute(PGFunction function, const char *a, const char *b)
{
	Datum		result = DirectFunctionCall2(function, numeric_from_text(a), numeric_from_text(b));

	return DatumGetCString(DirectFunctionCall1(numeric_out, result));
}
