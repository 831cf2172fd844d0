/*
 * payment.c
 *	  SQL of the worker about payments: inquiries, tries, results.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/payment.c
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/settings.h"
#include "database/sql_array.h"
#include "flow/round_items.h"
#include "process/notify.h"
#include "store/payment.h"

/* by probing indexes; signed events that are due are few */
static MfStatement accounts_statement = {
	MF_IN_ORDER "SELECT s.srvname::text, EXISTS (SELECT FROM @mf_account a "
	"    WHERE a.account IN (s.srvname::text, '*') AND a.paused_at IS NOT NULL), "
	"  (SELECT q.due::timestamptz FROM @mf_inquiry q WHERE q.account = s.srvname::text AND q.urgent AND q.ordered_by = 0 "
	"    AND NOT q.by_callback ORDER BY q.due LIMIT 1), "
	"  (SELECT q.due::timestamptz FROM @mf_inquiry q WHERE q.account = s.srvname::text AND NOT q.urgent ORDER BY q.due LIMIT 1), "
	"  (SELECT min(e.due)::timestamptz FROM @mf_event e WHERE e.account = s.srvname::text AND e.due IS NOT NULL "
	"    AND e.door IN ('webhook', 'log')), "
	"  least((SELECT q.due::timestamptz FROM @mf_inquiry q WHERE q.account = s.srvname::text AND q.urgent AND q.ordered_by = 0 "
	"      AND q.by_callback ORDER BY q.due LIMIT 1), "
	"    (SELECT e.due::timestamptz FROM @mf_event e WHERE e.account = s.srvname::text AND e.due IS NOT NULL "
	"      AND e.door = 'callback' ORDER BY e.due LIMIT 1)), "
	"  (SELECT q.due::timestamptz FROM @mf_inquiry q WHERE q.account = s.srvname::text AND q.urgent AND q.ordered_by <> 0 "
	"    ORDER BY q.due LIMIT 1), s.srvowner "
	"FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw "
	"WHERE w.fdwname = 'myfatoorah' AND left(s.srvname::text, 1) <> '" MF_ALL_ACCOUNTS "' "
	"ORDER BY s.srvowner, s.srvname",
	0, {0}, NULL
};

#define CLAIM_OF(entries) \
	"SELECT c.invoice::int8, 0::int8, c.account::text, coalesce(i.created_by_id::oid, 0), coalesce(i.own_key::bool, false), " \
	"  CASE WHEN i.status = 'sent' THEN i.invoice_id::text END, " \
	"  i.id IS NULL OR i.status IN ('rejected', 'cancelled'), c.urgent::bool, c.refunds::bool, c.requests::int4, " \
	"  c.tries::int2, c.step::int2, coalesce(i.expires_at, i.expiry_date)::timestamptz, " \
	"  coalesce(i.payment_status IN ('paid', 'partly_refunded', 'refunded', 'disputed'), false), false, c.failures::int2, c.by_callback::bool, " \
	"  c.ordered_by::oid " \
	"FROM (SELECT q.* FROM @mf_inquiry q WHERE " entries " FOR UPDATE SKIP LOCKED) c LEFT JOIN @mf_invoice i ON i.id = c.invoice"

#define CLAIM(condition) \
	CLAIM_OF("q.account = $1 AND " condition " AND q.due <= $3 AND q.invoice <> ALL ($4) ORDER BY q.due LIMIT $2")

static MfStatement claim_urgent_statement = {
	MF_IN_ORDER CLAIM("q.urgent AND q.ordered_by = 0 AND NOT q.by_callback"), 4, {TEXTOID, INT4OID, TIMESTAMPTZOID, INT8ARRAYOID}, NULL
};

static MfStatement claim_callbacks_statement = {
	MF_IN_ORDER CLAIM("q.urgent AND q.ordered_by = 0 AND q.by_callback"), 4, {TEXTOID, INT4OID, TIMESTAMPTZOID, INT8ARRAYOID}, NULL
};

static MfStatement claim_polls_statement = {
	MF_IN_ORDER CLAIM("NOT q.urgent"), 4, {TEXTOID, INT4OID, TIMESTAMPTZOID, INT8ARRAYOID}, NULL
};

#define ORDERED "q.account = $1 AND q.urgent AND q.ordered_by <> 0 AND q.by_callback = $5"

/* the roles first, from one to the next by the index, then what is due of each */
static MfStatement claim_orders_statement = {
	MF_IN_ORDER "WITH RECURSIVE r(role) AS ("
	"  (SELECT q.ordered_by FROM @mf_inquiry q WHERE " ORDERED " ORDER BY q.ordered_by LIMIT 1) "
	"  UNION ALL SELECT (SELECT q.ordered_by FROM @mf_inquiry q WHERE " ORDERED " AND q.ordered_by > r.role "
	"    ORDER BY q.ordered_by LIMIT 1) FROM r WHERE r.role IS NOT NULL), "
	"n AS MATERIALIZED (SELECT o.invoice FROM r CROSS JOIN LATERAL ("
	"    SELECT d.invoice, row_number() OVER (ORDER BY d.due) AS turn FROM (SELECT q.invoice, q.due FROM @mf_inquiry q "
	"      WHERE " ORDERED " AND q.ordered_by = r.role AND q.due <= $3 AND q.invoice <> ALL ($4) "
	"      ORDER BY q.due LIMIT $2) d) o ORDER BY o.turn, r.role <= $6, r.role LIMIT $2) "
	CLAIM_OF("q.invoice = ANY (ARRAY(SELECT n.invoice FROM n)) AND " ORDERED " AND q.due <= $3"),
	6, {TEXTOID, INT4OID, TIMESTAMPTZOID, INT8ARRAYOID, BOOLOID, OIDOID}, NULL
};

/* the key of whoever made the row, or else the newest invoice of the account that is not paid yet, by an index with its collation */
#define CLAIM_EVENTS(condition) \
	"SELECT 0::int8, e.id::int8, e.account::text, coalesce(m.created_by_id::oid, k.created_by_id::oid, 0), " \
	"  coalesce(m.own_key::bool, k.own_key::bool, false), " \
	"  coalesce(e.invoice_id::text, e.payment_id::text), false, true, false, 0, e.tries::int2, 0::int2, " \
	"  NULL::timestamptz, false, e.invoice_id IS NOT NULL, e.failures::int2, e.door = 'callback', " \
	"  '0'::oid " \
	"FROM @mf_event e LEFT JOIN @mf_invoice m ON m.id = e.invoice LEFT JOIN LATERAL (SELECT i.created_by_id, i.own_key " \
	"  FROM @mf_invoice i WHERE i.account = e.account COLLATE \"default\" AND " MF_OPEN("i") " ORDER BY i.sent_at DESC LIMIT 1) k ON true " \
	"WHERE e.account = $1 AND " condition " AND e.due <= $3 AND e.id <> ALL ($4) " \
	"ORDER BY e.due LIMIT $2 FOR UPDATE OF e SKIP LOCKED"

static MfStatement claim_events_statement = {
	MF_IN_ORDER CLAIM_EVENTS("e.door IN ('webhook', 'log')"), 4, {TEXTOID, INT4OID, TIMESTAMPTZOID, INT8ARRAYOID}, NULL
};

static MfStatement claim_callback_events_statement = {
	MF_IN_ORDER CLAIM_EVENTS("e.door = 'callback'"), 4, {TEXTOID, INT4OID, TIMESTAMPTZOID, INT8ARRAYOID}, NULL
};

/*
 * What was asked for since the question left is asked for again: at once, or,
 * if only callbacks have done so and had caused that question, too, in the course
 * of what goes on anyway or after a while.
 *
 * An entry that a session has in hand is left to it: it asks again, or, if it
 * is rolled back, the question is repeated when its lease is over.  So the worker
 * waits for no session, nor in a circle with one that asks about many.
 *
 * "= ANY ($1)" says in these what the joins say already: a plan that was made
 * while a table was small must not read all of it when it has grown.
 */
static MfStatement reschedule_statement = {
	"WITH n AS MATERIALIZED (SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) "
	"  AS n(invoice, requests, done, due, urgent, refunds, tries, step, error, wait, failures, by_callback)), "
	"l AS MATERIALIZED (SELECT q.invoice, q.requests FROM @mf_inquiry q WHERE q.invoice = ANY ($1) "
	"  FOR UPDATE SKIP LOCKED), "
	"gone AS (DELETE FROM @mf_inquiry q USING n, l WHERE q.invoice = ANY ($1) "
	"  AND q.invoice = n.invoice AND l.invoice = n.invoice AND n.done AND l.requests = n.requests RETURNING 1), "
	"kept AS (UPDATE @mf_inquiry q SET "
	"  due = CASE WHEN l.requests = n.requests THEN n.due "
	"    WHEN NOT (q.by_callback AND n.by_callback) THEN clock_timestamp() "
	"    ELSE least(CASE WHEN n.urgent THEN n.due END, clock_timestamp() + interval '" CppAsString2(MF_CALLBACK_FLOOR_S) " s') END, "
	"  urgent = n.urgent OR l.requests <> n.requests, "
	"  by_callback = CASE WHEN l.requests = n.requests THEN n.by_callback AND n.urgent "
	"    ELSE q.by_callback AND (n.by_callback OR NOT n.urgent) END, "
	"  ordered_by = CASE WHEN n.urgent OR l.requests <> n.requests THEN q.ordered_by ELSE 0 END, "
	"  refunds = n.refunds OR (q.refunds AND l.requests <> n.requests), "
	"  tries = CASE WHEN l.requests = n.requests OR (q.by_callback AND n.urgent) THEN n.tries ELSE q.tries END, step = n.step, failures = n.failures, "
	"  error = CASE WHEN n.wait THEN q.error ELSE n.error END "
	"FROM n, l WHERE q.invoice = ANY ($1) AND q.invoice = n.invoice AND l.invoice = n.invoice "
	"  AND NOT (n.done AND l.requests = n.requests) RETURNING 1) "
	"SELECT (SELECT count(*) FROM l) - (SELECT count(*) FROM gone) - (SELECT count(*) FROM kept)",
	12, {INT8ARRAYOID, INT4ARRAYOID, BOOLARRAYOID, TIMESTAMPTZARRAYOID, BOOLARRAYOID, BOOLARRAYOID, INT4ARRAYOID,
		INT4ARRAYOID, TEXTARRAYOID, BOOLARRAYOID, INT4ARRAYOID, BOOLARRAYOID}, NULL
};

static MfStatement put_off_statement = {
	"UPDATE @mf_inquiry q SET due = greatest(q.due, $2), error = $3 WHERE q.invoice = $1",
	3, {INT8OID, TIMESTAMPTZOID, TEXTOID}, NULL
};

/* what has failed is asked about again by mf_resume() */
static MfStatement put_off_event_statement = {
	"UPDATE @mf_event e SET due = greatest(e.due, $2), failures = greatest(e.failures, 1) WHERE e.id = $1 AND e.due IS NOT NULL",
	2, {INT8OID, TIMESTAMPTZOID}, NULL
};

static MfStatement try_now_statement = {
	"WITH e AS (UPDATE @mf_event e SET due = clock_timestamp() WHERE e.due IS NOT NULL AND e.failures > 0) "
	"UPDATE @mf_inquiry q SET due = clock_timestamp() WHERE (q.error IS NOT NULL OR q.failures > 0) AND q.invoice <> ALL ($1)",
	1, {INT8ARRAYOID}, NULL
};

/* rows of which an answer tells another invoice, under a reference of theirs */
static MfStatement twins_statement = {
	"SELECT n.event, (SELECT i.id::int8 FROM @mf_invoice i JOIN @mf_event e ON e.account = i.account "
	"    WHERE e.id = n.event AND i.reference IS NOT NULL AND i.status = 'sent' AND i.invoice_id <> n.invoice_id::int8 "
	"      AND i.reference = ANY (ARRAY[n.reference, n.stem, n.stem || '~2', n.stem || '~3', n.stem || '~4', n.stem || '~5']) "
	"    LIMIT 1) "
	"FROM (SELECT u.*, regexp_replace(u.reference, '~[0-9]+$', '') AS stem FROM unnest($1, $2, $3) "
	"  AS u(event, invoice_id, reference)) n",
	3, {INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID}, NULL
};

/* whoever comes back to the address of one invoice with the PaymentId of another is told of the first */
#define OF_ANOTHER "(e.door = 'callback' AND e.invoice <> n.invoice)"

/* only an answer that has found an invoice has that one asked about */
static MfStatement resolve_events_statement = {
	"WITH n AS MATERIALIZED (SELECT n.*, coalesce((SELECT i.id FROM @mf_invoice i JOIN @mf_event e ON e.account = i.account "
	"    WHERE e.id = n.event AND i.invoice_id = n.invoice_id::int8 ORDER BY i.id + 0 LIMIT 1), nullif(n.twin, 0)) AS invoice "
	"  FROM unnest($1, $2, $3, $4, $5, $6) AS n(event, invoice_id, due, tries, twin, failures)), "
	"e AS (UPDATE @mf_event e SET due = n.due, tries = n.tries, failures = n.failures, "
	"    invoice = CASE WHEN " OF_ANOTHER " THEN e.invoice ELSE coalesce(n.invoice, e.invoice) END, "
	"    invoice_id = coalesce(n.invoice_id::int8, e.invoice_id), "
	"    answered_at = CASE WHEN n.due IS NULL AND (n.invoice IS NULL OR " OF_ANOTHER ") THEN clock_timestamp() END "
	"  FROM n WHERE e.id = n.event RETURNING n.invoice, e.door), "
	"i AS MATERIALIZED (SELECT i.id, i.account, NOT EXISTS (SELECT FROM e WHERE e.invoice = i.id AND e.door <> 'callback') AS by_callback "
	"  FROM @mf_invoice i WHERE i.id IN (SELECT e.invoice FROM e)), "
	"k AS MATERIALIZED (SELECT q.invoice FROM @mf_inquiry q WHERE q.invoice = ANY (ARRAY(SELECT i.id FROM i)) FOR UPDATE SKIP LOCKED), "
	"m AS MATERIALIZED (SELECT * FROM i WHERE i.id IN (SELECT k.invoice FROM k) "
	"  OR NOT EXISTS (SELECT FROM @mf_inquiry q WHERE q.invoice = ANY (ARRAY(SELECT i.id FROM i)) AND q.invoice = i.id)), "
	"asked AS (INSERT INTO @mf_inquiry AS q (invoice, account, due, urgent, requests, by_callback) "
	"  SELECT m.id, m.account, clock_timestamp(), true, 1, m.by_callback FROM m "
	"  ORDER BY m.id ON CONFLICT (invoice) DO UPDATE SET due = clock_timestamp(), urgent = true, "
	"    requests = q.requests + 1, tries = 0, by_callback = EXCLUDED.by_callback AND (q.by_callback OR q.ordered_by <> 0 OR NOT q.urgent), "
	"    ordered_by = 0 RETURNING 1) "
	"SELECT (SELECT count(*) FROM n JOIN @mf_event e ON e.id = n.event) - (SELECT count(*) FROM e) "
	"  + (SELECT count(*) FROM m) - (SELECT count(*) FROM asked)",
	6, {INT8ARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID, INT4ARRAYOID, INT8ARRAYOID, INT4ARRAYOID}, NULL
};

#define UNANSWERED(event) event ".invoice = ANY ($1) AND " event ".answered_at IS NULL AND " event ".due IS NULL"

/* with the events that an answer would settle: the worker waits for nobody who has one of them, or the row, in hand */
static MfStatement lock_statement = {
	"WITH e AS MATERIALIZED (SELECT e.id FROM @mf_event e WHERE " UNANSWERED("e") " FOR NO KEY UPDATE SKIP LOCKED) "
	"SELECT i.id::int8, i.invoice_id::text, i.payment_status::text, i.attempts::int4, i.base_value::text, i.reference::text, "
	"  i.invoice_value::text, i.currency::text, i.received_value::text, i.refunded_value::text, i.payment_error::text, "
	"  i.customer_reference::text "
	"FROM @mf_invoice i "
	"WHERE i.id = ANY ($1) AND i.status = 'sent' AND NOT EXISTS (SELECT FROM @mf_event o WHERE " UNANSWERED("o") " "
	"  AND o.invoice = i.id AND o.id NOT IN (SELECT e.id FROM e)) FOR NO KEY UPDATE OF i SKIP LOCKED",
	1, {INT8ARRAYOID}, NULL
};

static MfStatement lock_events_statement = {
	"WITH l AS MATERIALIZED (SELECT e.id FROM @mf_event e WHERE e.id = ANY ($1) FOR NO KEY UPDATE SKIP LOCKED) "
	"SELECT e.id::int8 FROM @mf_event e WHERE e.id = ANY ($1) AND e.id NOT IN (SELECT l.id FROM l)",
	1, {INT8ARRAYOID}, NULL
};

/* a row that stays what it was is not written again */
static MfStatement apply_statement = {
	"UPDATE @mf_invoice i SET payment_status = n.payment_status, invoice_status = n.invoice_status, "
	"  payment_id = n.payment_id, base_currency = n.base_currency, base_value = n.base_value, "
	"  display_currency = n.display_currency, display_value = n.display_value, pay_currency = n.pay_currency, "
	"  pay_value = n.pay_value, paid_at = n.paid_at, received_value = n.received_value, refunded_value = n.refunded_value, "
	"  net_value = n.received_value - n.refunded_value, overpaid = n.overpaid, paid_late = n.paid_late, "
	"  disputed_at = n.disputed_at, expires_at = n.expires_at, payment_doubt = n.doubt, payment_error = n.error "
	"FROM (SELECT o.id, c.to_status AS payment_status, coalesce(c.invoice_status, o.invoice_status) AS invoice_status, "
	"    coalesce(c.payment_id, o.payment_id) AS payment_id, coalesce(c.base_currency, o.base_currency) AS base_currency, "
	"    coalesce(c.base_value, o.base_value) AS base_value, "
	"    coalesce(c.display_currency, o.display_currency) AS display_currency, "
	"    coalesce(c.display_value, o.display_value) AS display_value, "
	"    coalesce(c.pay_currency, o.pay_currency) AS pay_currency, coalesce(c.pay_value, o.pay_value) AS pay_value, "
	"    coalesce(o.paid_at, c.paid_at) AS paid_at, "
	"    coalesce(c.received_value, o.received_value) AS received_value, coalesce(c.refunded_value, o.refunded_value) AS refunded_value, "
	"    CASE WHEN c.has_dispute THEN c.disputed_at ELSE o.disputed_at END AS disputed_at, "
	"    coalesce(c.expires_at, o.expires_at) AS expires_at, coalesce(c.doubt, o.payment_doubt) AS doubt, "
	"    o.overpaid OR c.overpaid AS overpaid, o.paid_late OR c.paid_late AS paid_late, c.error "
	"  FROM (SELECT c.invoice, c.to_status, c.invoice_status, c.payment_id, c.base_currency, "
	"      c.base_value::numeric AS base_value, c.display_currency, c.display_value::numeric AS display_value, "
	"      c.pay_currency, c.pay_value::numeric AS pay_value, c.paid_at, c.refunded_value::numeric AS refunded_value, "
	"      c.overpaid, c.paid_late, c.error, c.received_value::numeric AS received_value, c.has_dispute, c.disputed_at, "
	"      c.expires_at, c.doubt "
	"    FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) "
	"    AS c(invoice, to_status, invoice_status, payment_id, base_currency, base_value, display_currency, "
	"      display_value, pay_currency, pay_value, paid_at, refunded_value, overpaid, paid_late, error, received_value, "
	"      has_dispute, disputed_at, expires_at, doubt)) c "
	"  JOIN @mf_invoice o ON o.id = c.invoice AND o.id = ANY ($1)) n "
	"WHERE i.id = ANY ($1) AND i.id = n.id "
	"  AND (i.payment_status, i.invoice_status, i.payment_id, i.base_currency, i.base_value, "
	"    i.display_currency, i.display_value, i.pay_currency, i.pay_value, i.paid_at, i.received_value, i.refunded_value, i.overpaid, "
	"    i.disputed_at, i.expires_at, i.payment_doubt, i.paid_late, i.payment_error) IS DISTINCT FROM (n.payment_status, n.invoice_status, n.payment_id, "
	"    n.base_currency, n.base_value, n.display_currency, n.display_value, n.pay_currency, n.pay_value, n.paid_at, "
	"    n.received_value, n.refunded_value, n.overpaid, n.disputed_at, n.expires_at, n.doubt, n.paid_late, n.error) "
	"RETURNING i.id",
	20, {INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
		TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID, TEXTARRAYOID, BOOLARRAYOID, BOOLARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
		BOOLARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, TEXTARRAYOID},
	NULL
};

static MfStatement history_statement = {
	"INSERT INTO @mf_transition (invoice, at, actor, from_status, to_status, attempt, reason) "
	"SELECT h.invoice, clock_timestamp(), 'status reader', h.from_status, h.to_status, h.attempt, h.reason "
	"FROM unnest($1, $2, $3, $4, $5) AS h(invoice, from_status, to_status, attempt, reason)",
	5, {INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, INT4ARRAYOID, TEXTARRAYOID}, NULL
};

/* columns of mf_transaction in the order of mf_transaction_fields[] but for the date, which comes second */
#define IS_SUCCESS(row) "lower(" row ".transaction_status) IN ('succss', 'success')"
#define TRY_VALUES(row) \
	"(" row ".transaction_status, " row ".transaction_date, " row ".payment_gateway, " row ".reference_id, " \
	row ".track_id, " row ".transaction_id, " row ".authorization_id, " row ".transaction_value, " \
	row ".customer_service_charge, " row ".total_service_charge, " row ".due_value, " row ".paid_currency, " \
	row ".paid_currency_value, " row ".vat_amount, " row ".ip_address, " row ".country, " row ".currency, " \
	row ".error, " row ".card_number, " row ".error_code, " row ".eci, " row ".card)"
#define TRY_COLUMNS \
	"(transaction_status, transaction_date, payment_gateway, reference_id, track_id, transaction_id, " \
	"authorization_id, transaction_value, customer_service_charge, total_service_charge, due_value, paid_currency, " \
	"paid_currency_value, vat_amount, ip_address, country, currency, error, card_number, error_code, eci, card"

/* money that a try has brought is not taken back by an older answer */
static MfStatement store_tries_statement = {
	"INSERT INTO @mf_transaction AS o " TRY_COLUMNS ", invoice, payment_id) "
	"SELECT n.transaction_status, n.transaction_date, n.payment_gateway, n.reference_id, n.track_id, n.transaction_id, "
	"  n.authorization_id, n.transaction_value::numeric, n.customer_service_charge::numeric, "
	"  n.total_service_charge::numeric, n.due_value::numeric, n.paid_currency, n.paid_currency_value::numeric, "
	"  n.vat_amount::numeric, CASE WHEN NOT EXISTS (SELECT FROM @mf_invoice i WHERE i.id = n.invoice AND i.erased_at IS NOT NULL) "
	"    THEN n.ip_address END, n.country, n.currency, n.error, n.card_number, n.error_code, n.eci, "
	"  n.card::jsonb, n.invoice, n.payment_id "
	"FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, "
	"  $23, $24) AS n(invoice, transaction_date, payment_gateway, reference_id, track_id, transaction_id, payment_id, "
	"  authorization_id, transaction_status, transaction_value, customer_service_charge, total_service_charge, "
	"  due_value, paid_currency, paid_currency_value, vat_amount, ip_address, country, currency, error, card_number, "
	"  error_code, eci, card) ORDER BY n.invoice, n.payment_id "
	"ON CONFLICT (invoice, payment_id) DO UPDATE SET " TRY_COLUMNS ", changed_at) = "
	"  (EXCLUDED.transaction_status, EXCLUDED.transaction_date, EXCLUDED.payment_gateway, EXCLUDED.reference_id, "
	"  EXCLUDED.track_id, EXCLUDED.transaction_id, EXCLUDED.authorization_id, EXCLUDED.transaction_value, "
	"  EXCLUDED.customer_service_charge, EXCLUDED.total_service_charge, EXCLUDED.due_value, EXCLUDED.paid_currency, "
	"  EXCLUDED.paid_currency_value, EXCLUDED.vat_amount, EXCLUDED.ip_address, EXCLUDED.country, EXCLUDED.currency, "
	"  EXCLUDED.error, EXCLUDED.card_number, EXCLUDED.error_code, EXCLUDED.eci, EXCLUDED.card, clock_timestamp()) "
	"WHERE " TRY_VALUES("o") " IS DISTINCT FROM " TRY_VALUES("EXCLUDED")
	"  AND (" IS_SUCCESS("EXCLUDED") " OR NOT coalesce(" IS_SUCCESS("o") ", false)) "
	"RETURNING o.invoice",
	24, {INT8ARRAYOID, TIMESTAMPTZARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
		TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
		TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
		TEXTARRAYOID}, NULL
};

/* an older answer leaves what is there, but something is there then */
static MfStatement lost_try_statement = {
	"SELECT FROM unnest($1, $2) AS n(invoice, payment_id) WHERE NOT EXISTS (SELECT FROM @mf_transaction o "
	"  WHERE o.invoice = ANY ($1) AND o.invoice = n.invoice AND o.payment_id = n.payment_id) LIMIT 1",
	2, {INT8ARRAYOID, TEXTARRAYOID}, NULL
};

/*
 * The events are locked already, but for those that have come in since.  A
 * callback's PaymentId that is none of the row's tries is asked about by itself,
 * once: it may be of another invoice under the row's reference.
 */
static MfStatement answered_statement = {
	"WITH l AS MATERIALIZED (SELECT e.id, e.door = 'callback' AND e.payment_id IS NOT NULL AND e.invoice_id IS NULL "
	"    AND e.tries < " CppAsString2(MF_QUICK_TRIES) " AND NOT EXISTS (SELECT FROM @mf_transaction t "
	"      WHERE t.invoice = e.invoice AND t.payment_id = e.payment_id) AS strange "
	"  FROM @mf_event e WHERE " UNANSWERED("e") " FOR NO KEY UPDATE SKIP LOCKED), "
	"told AS (UPDATE @mf_event e SET answered_at = CASE WHEN NOT l.strange THEN clock_timestamp() END, "
	"    due = CASE WHEN l.strange THEN clock_timestamp() END, "
	"    tries = CASE WHEN l.strange THEN " CppAsString2(MF_QUICK_TRIES) " ELSE e.tries END FROM l WHERE e.id = l.id RETURNING 1) "
	"SELECT (SELECT count(*) FROM l) - (SELECT count(*) FROM told)",
	1, {INT8ARRAYOID}, NULL
};

static List *claim(const MfSqlScope *scope, MfStatement *statement, MfItemKind kind, const char *account, int limit,
				   TimestampTz now);
static List *read_jobs(uint64 rows);
static char *text_or_null(HeapTuple tuple, TupleDesc desc, int number);
static TimestampTz timestamp_or_0(HeapTuple tuple, TupleDesc desc, int number);

List *
mf_inquiries_accounts(const MfSqlScope *scope)
{
	uint64		rows = mf_sql_execute(scope, &accounts_statement, NULL, NULL);
	List	   *accounts = NIL;
	uint64		i;

	for (i = 0; i < rows; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		MfInquiryAccount *account = (MfInquiryAccount *) palloc(sizeof(MfInquiryAccount));

		account->name = text_or_null(tuple, desc, 1);
		account->paused = DatumGetBool(mf_result(tuple, desc, 2, NULL));
		account->urgent_due = timestamp_or_0(tuple, desc, 3);
		account->poll_due = timestamp_or_0(tuple, desc, 4);
		account->event_due = timestamp_or_0(tuple, desc, 5);
		account->callback_due = timestamp_or_0(tuple, desc, 6);
		account->order_due = timestamp_or_0(tuple, desc, 7);
		account->owner = DatumGetObjectId(mf_result(tuple, desc, 8, NULL));
		accounts = lappend(accounts, account);
	}
	return accounts;
}

List *
mf_inquiries_claim(const MfSqlScope *scope, const char *account, MfAsker asker, int limit, TimestampTz now)
{
	MfStatement *statement = asker == MF_ASKED_BY_PROOF ? &claim_urgent_statement :
		asker == MF_ASKED_BY_CALLBACK ? &claim_callbacks_statement : &claim_polls_statement;

	return claim(scope, statement, MF_ITEM_INQUIRY, account, limit, now);
}

List *
mf_events_claim(const MfSqlScope *scope, const char *account, MfAsker asker, int limit, TimestampTz now)
{
	return claim(scope, asker == MF_ASKED_BY_CALLBACK ? &claim_callback_events_statement : &claim_events_statement,
				 MF_ITEM_EVENT, account, limit, now);
}

/* A claim of one kind. */
static List *
claim(const MfSqlScope *scope, MfStatement *statement, MfItemKind kind, const char *account, int limit, TimestampTz now)
{
	TimestampTz again = 0;
	Datum		values[4];

	values[0] = CStringGetTextDatum(account);
	values[1] = Int32GetDatum(limit);
	values[2] = TimestampTzGetDatum(now);
	values[3] = mf_items_left_out(kind, now, &again);
	return read_jobs(mf_sql_execute(scope, statement, values, NULL));
}

List *
mf_inquiries_claim_orders(const MfSqlScope *scope, const char *account, bool too_often, Oid last, int limit, TimestampTz now)
{
	TimestampTz again = 0;
	Datum		values[6];

	values[0] = CStringGetTextDatum(account);
	values[1] = Int32GetDatum(limit);
	values[2] = TimestampTzGetDatum(now);
	values[3] = mf_items_left_out(MF_ITEM_INQUIRY, now, &again);
	values[4] = BoolGetDatum(too_often);
	values[5] = ObjectIdGetDatum(last);
	return read_jobs(mf_sql_execute(scope, &claim_orders_statement, values, NULL));
}

/* The rows of a claim. */
static List *
read_jobs(uint64 rows)
{
	List	   *jobs = NIL;
	uint64		i;

	for (i = 0; i < rows; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		MfInquiryJob *job = (MfInquiryJob *) palloc0(sizeof(MfInquiryJob));
		job->invoice = DatumGetInt64(mf_result(tuple, desc, 1, NULL));
		job->event = DatumGetInt64(mf_result(tuple, desc, 2, NULL));
		mf_items_take(job->event != 0 ? MF_ITEM_EVENT : MF_ITEM_INQUIRY, job->event != 0 ? job->event : job->invoice);
		job->account = text_or_null(tuple, desc, 3);
		job->owner.role = DatumGetObjectId(mf_result(tuple, desc, 4, NULL));
		job->owner.own = DatumGetBool(mf_result(tuple, desc, 5, NULL));
		job->key = text_or_null(tuple, desc, 6);
		job->gone = DatumGetBool(mf_result(tuple, desc, 7, NULL));
		job->urgent = DatumGetBool(mf_result(tuple, desc, 8, NULL));
		job->refunds = DatumGetBool(mf_result(tuple, desc, 9, NULL));
		job->requests = DatumGetInt32(mf_result(tuple, desc, 10, NULL));
		job->tries = DatumGetInt16(mf_result(tuple, desc, 11, NULL));
		job->step = DatumGetInt16(mf_result(tuple, desc, 12, NULL));
		job->expires_at = timestamp_or_0(tuple, desc, 13);
		job->paid = DatumGetBool(mf_result(tuple, desc, 14, NULL));
		job->by_invoice = DatumGetBool(mf_result(tuple, desc, 15, NULL));
		job->failures = DatumGetInt16(mf_result(tuple, desc, 16, NULL));
		job->by_callback = DatumGetBool(mf_result(tuple, desc, 17, NULL));
		job->ordered_by = DatumGetObjectId(mf_result(tuple, desc, 18, NULL));
		jobs = lappend(jobs, job);
	}
	return jobs;
}

static char *
text_or_null(HeapTuple tuple, TupleDesc desc, int number)
{
	bool		isnull;
	Datum		value = mf_result(tuple, desc, number, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

static TimestampTz
timestamp_or_0(HeapTuple tuple, TupleDesc desc, int number)
{
	bool		isnull;
	Datum		value = mf_result(tuple, desc, number, &isnull);

	return isnull ? 0 : DatumGetTimestampTz(value);
}

void
mf_inquiries_reschedule(const MfSqlScope *scope, const MfInquiryNext *next, int count)
{
	MfArray    *columns = mf_columns_start(&reschedule_statement, count);
	int			i;

	for (i = 0; i < count; i++)
	{
		mf_array_add(&columns[0], Int64GetDatum(next[i].invoice));
		mf_array_add(&columns[1], Int32GetDatum(next[i].requests));
		mf_array_add(&columns[2], BoolGetDatum(next[i].done));
		mf_array_add(&columns[3], TimestampTzGetDatum(next[i].due));
		mf_array_add(&columns[4], BoolGetDatum(next[i].urgent));
		mf_array_add(&columns[5], BoolGetDatum(next[i].refunds));
		mf_array_add(&columns[6], Int32GetDatum(Min(next[i].tries, PG_INT16_MAX)));
		mf_array_add(&columns[7], Int32GetDatum(Min(next[i].step, PG_INT16_MAX)));
		mf_array_add_text(&columns[8], next[i].error);
		mf_array_add(&columns[9], BoolGetDatum(next[i].wait));
		mf_array_add(&columns[10], Int32GetDatum(Min(next[i].failures, PG_INT16_MAX)));
		mf_array_add(&columns[11], BoolGetDatum(next[i].by_callback));
	}
	mf_columns_change(scope, &reschedule_statement, columns);
}

bool
mf_inquiries_put_off(const MfSqlScope *scope, int64 invoice, int64 event, TimestampTz until, const char *error)
{
	Datum		values[3];

	values[0] = Int64GetDatum(event != 0 ? event : invoice);
	values[1] = TimestampTzGetDatum(until);
	values[2] = CStringGetTextDatum(error);
	return mf_sql_execute(scope, event != 0 ? &put_off_event_statement : &put_off_statement, values, NULL) > 0;
}

void
mf_inquiries_retry_put_off(const MfSqlScope *scope, Datum left_out)
{
	(void) mf_sql_execute(scope, &try_now_statement, &left_out, NULL);
}

void
mf_events_resolve(const MfSqlScope *scope, const MfEventNext *next, int count)
{
	MfArray    *columns = mf_columns_start(&resolve_events_statement, count);
	int			i;

	for (i = 0; i < count; i++)
	{
		mf_array_add(&columns[0], Int64GetDatum(next[i].event));
		mf_array_add_text(&columns[1], next[i].invoice_id);
		mf_array_add_timestamp(&columns[2], next[i].due);
		mf_array_add(&columns[3], Int32GetDatum(Min(next[i].tries, PG_INT16_MAX)));
		mf_array_add(&columns[4], Int64GetDatum(next[i].twin));
		mf_array_add(&columns[5], Int32GetDatum(Min(next[i].failures, PG_INT16_MAX)));
	}
	mf_columns_change(scope, &resolve_events_statement, columns);
}

void
mf_events_find_twins(const MfSqlScope *scope, MfEventNext *answers, int count)
{
	MfArray    *columns = mf_columns_start(&twins_statement, count);
	uint64		rows;
	uint64		row;
	int			i;

	for (i = 0; i < count; i++)
	{
		mf_array_add(&columns[0], Int64GetDatum(answers[i].event));
		mf_array_add_text(&columns[1], answers[i].invoice_id);
		mf_array_add_text(&columns[2], answers[i].reference);
	}
	rows = mf_columns_execute(scope, &twins_statement, columns);
	for (row = 0; row < rows; row++)
	{
		int64		event = DatumGetInt64(mf_result(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 1, NULL));
		bool		isnull;
		Datum		invoice = mf_result(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 2, &isnull);

		for (i = 0; i < count && !isnull; i++)
		{
			if (answers[i].event == event)
				answers[i].twin = DatumGetInt64(invoice);
		}
	}
}

List *
mf_payment_lock(const MfSqlScope *scope, const int64 *invoices, int count)
{
	Datum		value = mf_int8_array(invoices, count);
	uint64		rows = mf_sql_execute(scope, &lock_statement, &value, NULL);
	List	   *locked = NIL;
	uint64		i;

	for (i = 0; i < rows; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		MfPaymentRow *row = (MfPaymentRow *) palloc0(sizeof(MfPaymentRow));

		row->invoice = DatumGetInt64(mf_result(tuple, desc, 1, NULL));
		row->invoice_id = text_or_null(tuple, desc, 2);
		row->status = (MfPaymentStatus) mf_payment_status_from_name(TextDatumGetCString(mf_result(tuple, desc, 3, NULL)));
		row->attempts = DatumGetInt32(mf_result(tuple, desc, 4, NULL));
		row->base_value = text_or_null(tuple, desc, 5);
		row->reference = text_or_null(tuple, desc, 6);
		row->invoice_value = text_or_null(tuple, desc, 7);
		row->currency = text_or_null(tuple, desc, 8);
		row->received_value = text_or_null(tuple, desc, 9);
		row->refunded_value = text_or_null(tuple, desc, 10);
		row->payment_error = text_or_null(tuple, desc, 11);
		row->customer_reference = text_or_null(tuple, desc, 12);
		locked = lappend(locked, row);
	}
	return locked;
}

uint64
mf_events_lock(const MfSqlScope *scope, const int64 *events, int count, int64 *held)
{
	Datum		value = mf_int8_array(events, count);
	uint64		rows = mf_sql_execute(scope, &lock_events_statement, &value, NULL);
	uint64		i;

	for (i = 0; i < rows; i++)
		held[i] = DatumGetInt64(mf_result(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, NULL));
	return rows;
}

void
mf_payment_apply(const MfSqlScope *scope, MfPaymentChange *changes, int count)
{
	MfArray    *columns = mf_columns_start(&apply_statement, count);
	MfArray    *history = mf_columns_start(&history_statement, count);
	uint64		rows;
	uint64		row;
	int			i;

	for (i = 0; i < count; i++)
	{
		const MfPaymentChange *c = &changes[i];

		mf_array_add(&columns[0], Int64GetDatum(c->invoice));
		mf_array_add_text(&columns[1], mf_payment_status_name(c->to));
		mf_array_add_text(&columns[2], c->invoice_status);
		mf_array_add_text(&columns[3], c->payment_id);
		mf_array_add_text(&columns[4], c->base_currency);
		mf_array_add_text(&columns[5], c->base_value);
		mf_array_add_text(&columns[6], c->display_currency);
		mf_array_add_text(&columns[7], c->display_value);
		mf_array_add_text(&columns[8], c->pay_currency);
		mf_array_add_text(&columns[9], c->pay_value);
		mf_array_add_timestamp(&columns[10], c->paid_at);
		mf_array_add_text(&columns[11], c->refunded_value);
		mf_array_add(&columns[12], BoolGetDatum(c->overpaid));
		mf_array_add(&columns[13], BoolGetDatum(c->paid_late));
		mf_array_add_text(&columns[14], c->error);
		mf_array_add_text(&columns[15], c->received_value);
		mf_array_add(&columns[16], BoolGetDatum(c->has_dispute));
		mf_array_add_timestamp(&columns[17], c->disputed_at);
		mf_array_add_timestamp(&columns[18], c->expires_at);
		mf_array_add_text(&columns[19], c->doubt);
		if (c->from != c->to || c->step)
		{
			mf_array_add(&history[0], Int64GetDatum(c->invoice));
			mf_array_add_text(&history[1], mf_payment_status_name(c->from));
			mf_array_add_text(&history[2], mf_payment_status_name(c->to));
			mf_array_add(&history[3], Int32GetDatum(c->attempt));
			mf_array_add_text(&history[4], c->reason);
		}
	}
	rows = mf_columns_execute(scope, &apply_statement, columns);
	for (row = 0; row < rows; row++)
	{
		int64		invoice = DatumGetInt64(mf_result(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 1, NULL));

		for (i = 0; i < count; i++)
			changes[i].changed |= changes[i].invoice == invoice;
	}
	for (i = 0; i < count; i++)
	{
		if ((changes[i].from != changes[i].to || changes[i].money) && !changes[i].changed)
			mf_change_suppressed();

		/* a change of the state tells itself */
		if (changes[i].step && changes[i].from == changes[i].to)
			mf_notify_at_commit(changes[i].invoice);
	}
	if (history[0].count > 0 && mf_columns_execute(scope, &history_statement, history) != (uint64) history[0].count)
		mf_change_suppressed();
}

int
mf_payment_store_tries(const MfSqlScope *scope, const MfTryRow *tries, int count, int64 *changed)
{
	MfArray    *columns = mf_columns_start(&store_tries_statement, count);
	MfArray    *keys = mf_columns_start(&lost_try_statement, count);
	uint64		rows;
	int			i;

	for (i = 0; i < count; i++)
	{
		int			column = 2;
		int			field;

		mf_array_add(&keys[0], Int64GetDatum(tries[i].invoice));
		mf_array_add_text(&keys[1], tries[i].values[MF_TX_PAYMENT_ID]);
		mf_array_add(&columns[0], Int64GetDatum(tries[i].invoice));
		mf_array_add_timestamp(&columns[1], tries[i].transaction_date);
		for (field = 0; field < MF_TX_COUNT; field++)
		{
			if (field != MF_TX_TRANSACTION_DATE)
				mf_array_add_text(&columns[column++], tries[i].values[field]);
		}
	}
	rows = mf_columns_execute(scope, &store_tries_statement, columns);
	for (i = 0; i < (int) rows; i++)
		changed[i] = DatumGetInt64(mf_result(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, NULL));
	if (rows < (uint64) count && mf_columns_execute(scope, &lost_try_statement, keys) > 0)
		mf_change_suppressed();
	return (int) rows;
}

void
mf_events_set_answered(const MfSqlScope *scope, const int64 *invoices, int count)
{
	MfArray    *columns = mf_columns_start(&answered_statement, count);
	int			i;

	for (i = 0; i < count; i++)
		mf_array_add(&columns[0], Int64GetDatum(invoices[i]));
	mf_columns_change(scope, &answered_statement, columns);
}
