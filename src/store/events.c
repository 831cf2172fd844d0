/*
 * events.c
 *	  SQL of events that come in: webhooks, callbacks, MyFatoorah's log of webhooks.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/events.c
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "account/account.h"
#include "base/encoding.h"
#include "core/text/json.h"
#include "database/sql_array.h"
#include "process/wakeup.h"
#include "store/deposits.h"
#include "store/events.h"
#include "store/inquiries.h"
#include "store/invoice_number.h"

/* least time between inquiries that only callbacks ask for */
#define CALLBACK_FLOOR "interval '" CppAsString2(MF_CALLBACK_FLOOR_S) " s'"

/* the stored event that a new one repeats */
#define EARLIER "FROM @mf_event p WHERE p.account = u.account AND p.digest = u.digest"

/*
 * Events are matched with invoices by reference (with or without the number of a
 * resend), by InvoiceId, and by a PaymentId of an earlier answer.  The reference
 * comes first, because a person may have given another row the InvoiceId.  Events of payments
 * (1), refunds (2), recurring payments (5) and disputes (6) are about an invoice.
 * An InvoiceId other than that of the row is inquired about by itself, too.
 *
 * A repetition of an event that had its answer asks for nothing: a captured webhook
 * that is sent again and again is only counted.  All callbacks of an invoice are one
 * event.  One with another PaymentId is news, unless that is of a try that has ended.
 */
#define ANOTHER \
	"(e.source = 'callback' AND coalesce(EXCLUDED.payment_id <> e.payment_id, EXCLUDED.payment_id IS NOT NULL))"

/*
 * A dispute may be LOST or RESOLVED once more, and only the number of the webhook tells that from a
 * repetition.  It is not signed, so it takes a payment away, and gives none back.
 */
#define ENDED_AGAIN "(e.event_code = 6 AND " MF_EVENT_NUMBER("EXCLUDED") " > " MF_EVENT_NUMBER("e") ")"
#define LOST_AGAIN "(" ENDED_AGAIN " AND upper(e.event_status) = 'LOST')"

/*
 * One that was lost as a fraud alert may be lost as a chargeback, too, whichever of the two comes in first; the type is
 * not signed either.
 */
#define IS_CHARGEBACK(event) "upper(" event ".data #>> '{Dispute,Type}') IS NOT DISTINCT FROM 'CHARGEBACK'"
#define LOST_AS_CHARGEBACK \
	"(e.event_code = 6 AND upper(e.event_status) = 'LOST' AND " IS_CHARGEBACK("EXCLUDED") " AND NOT " IS_CHARGEBACK("e") ")"

/* of several rows, that of the account goes first */
#define ACCOUNT_FIRST(account) "i.account || '' <> " account ", i.id + 0 LIMIT 1"

/* For comparing numbers that may be no numbers */
#define NUMBER(text) "(length(" text "), " text ")"

/* A repetition of a recurring payment has the reference of the invoice that has begun it, or of another: its InvoiceId tells which row is meant. */
#define NO_REPETITION(event) "((i.recurring_type IS NULL AND i.recurring_id IS NULL) OR i.invoice_id IS NULL OR i.invoice_id = " event ".invoice_id::int8)"

static MfStatement store_events_statement = {
	"WITH n AS MATERIALIZED (SELECT n.*, coalesce(n.known, "
	"    (SELECT i.id FROM @mf_invoice i WHERE i.reference IS NOT NULL AND " MF_EVENT_OF_ACCOUNT("n.account") " AND i.reference = ANY "
	"      (ARRAY[n.customer_reference, n.stem, n.stem || '~2', n.stem || '~3', n.stem || '~4', "
	"        n.stem || '~5']) AND " NO_REPETITION("n") " LIMIT 1), "
	"    (SELECT i.id FROM " MF_HAVING_NUMBER("n.invoice_id::int8") " AND " MF_EVENT_OF_ACCOUNT("n.account") " "
	"      ORDER BY " ACCOUNT_FIRST("n.account") "), "
	"    (SELECT i.id FROM @mf_transaction t JOIN @mf_invoice i ON i.id = t.invoice AND " MF_EVENT_OF_ACCOUNT("n.account") " "
	"      WHERE t.payment_id = n.payment_id ORDER BY " ACCOUNT_FIRST("n.account") ")) AS invoice "
	"  FROM (SELECT u.*, regexp_replace(u.customer_reference, '~[0-9]+$', '') AS stem, "
	"      CASE WHEN u.source = 'callback' THEN (SELECT coalesce(u.payment_id <> p.payment_id, "
	"        u.payment_id IS NOT NULL) "
	"        AND NOT EXISTS (SELECT FROM @mf_transaction t WHERE t.invoice = u.known AND t.payment_id = u.payment_id "
	"          AND lower(t.transaction_status) NOT IN ('inprogress', 'authorize')) " EARLIER ") END AS another, "
	"      greatest(clock_timestamp(), CASE WHEN u.source = 'callback' THEN "
	"        (SELECT coalesce(p.answered_at, clock_timestamp()) " EARLIER ") + " CALLBACK_FLOOR " END) AS ask_at "
	"    FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) "
	"    AS u(account, source, version, event_code, event_name, event_status, event_reference, invoice_id, payment_id, "
	"      customer_reference, known, digest, data, deliveries, resolve, turn)) n), "
	"s AS (INSERT INTO @mf_event AS e (account, source, version, event_code, event_name, event_status, "
	"    event_reference, invoice_id, payment_id, customer_reference, invoice, digest, data, deliveries, due, lookups) "
	"  SELECT n.account, n.source, nullif(n.version, 0), nullif(n.event_code, 0), n.event_name, n.event_status, "
	"    n.event_reference, n.invoice_id::int8, CASE WHEN n.another IS DISTINCT FROM false THEN n.payment_id END, "
	"    n.customer_reference, n.invoice, n.digest, "
	"    CASE WHEN " MF_IS_ERASED("n.invoice") " THEN " MF_EVENT_KEPT("n.data::jsonb", "nullif(n.event_code, 0)") " ELSE n.data::jsonb END, "
	"    n.deliveries, CASE WHEN (n.resolve AND n.invoice IS NULL) OR n.event_code = 5 OR EXISTS (SELECT FROM @mf_invoice i "
	"      WHERE i.id = n.invoice AND i.invoice_id <> n.invoice_id::int8) THEN greatest(n.turn, "
	"        clock_timestamp()) END, "
	"    CASE WHEN n.turn IS NULL THEN 0 ELSE " CppAsString2(MF_QUICK_TRIES) " END "
	"  FROM n ORDER BY n.account, n.digest "
	"  ON CONFLICT (account, digest) DO UPDATE SET deliveries = e.deliveries + EXCLUDED.deliveries, "
	"    last_received_at = clock_timestamp(), invoice = coalesce(e.invoice, EXCLUDED.invoice), "
	"    payment_id = CASE WHEN " ANOTHER " THEN EXCLUDED.payment_id ELSE e.payment_id END, "
	"    event_reference = CASE WHEN " LOST_AGAIN " THEN EXCLUDED.event_reference ELSE e.event_reference END, "
	"    answered_at = CASE WHEN NOT coalesce(" ANOTHER " OR " ENDED_AGAIN " OR " LOST_AS_CHARGEBACK ", false) THEN e.answered_at END, "
	/* of a recurring payment, what is signed is the same each time; the latest repetition is waited for */
	"    due = CASE WHEN e.event_code = 5 AND e.failures + e.lookups > 0 THEN coalesce(e.due, clock_timestamp()) "
	"      WHEN e.event_code = 5 THEN clock_timestamp() WHEN NOT " ANOTHER " THEN e.due END, "
	"    data = CASE WHEN e.event_code = 5 AND (e.due IS NULL OR " NUMBER(MF_REPETITION_OF("EXCLUDED")) " > "
	"      " NUMBER(MF_REPETITION_OF("e")) ") THEN " MF_EVENT_KEPT("EXCLUDED.data", "5") " "
	"      WHEN " LOST_AS_CHARGEBACK " THEN jsonb_set(e.data, '{Dispute,Type}', '\"CHARGEBACK\"') ELSE e.data END, "
	"    lookups = CASE WHEN " ANOTHER " THEN 0 ELSE e.lookups END "
	"  RETURNING e.id, e.digest, e.account, e.invoice, e.event_code, e.answered_at, e.customer_reference, "
	"    e.invoice_id, e.source, e.xmax <> '0'::xid AS repeated), "
	"w AS MATERIALIZED (SELECT i.id, i.account, bool_or(coalesce(s.event_code = 2, false)) AS refunds, "
	"    bool_and(s.source = 'callback') AS by_callback, min(n.ask_at) AS ask_at "
	"  FROM s JOIN n ON n.account = s.account AND n.digest = s.digest "
	"  JOIN @mf_invoice i ON i.id = s.invoice AND i.id = ANY (ARRAY(SELECT s.invoice FROM s)) "
	"  WHERE s.answered_at IS NULL AND coalesce(s.event_code, 1) IN (1, 2, 5, 6) "
	"    AND (s.source <> 'callback' OR NOT s.repeated OR n.another) AND i.status NOT IN ('rejected', 'cancelled') "
	"  GROUP BY i.id, i.account), "
	"asked AS (INSERT INTO @mf_inquiry AS q (invoice, account, due, urgent, refunds, times_requested, by_callback) "
	"  SELECT w.id, w.account, w.ask_at, true, w.refunds, 1, w.by_callback FROM w ORDER BY w.id "
	"  ON CONFLICT (invoice) DO UPDATE SET urgent = true, refunds = q.refunds OR EXCLUDED.refunds, "
	"    times_requested = q.times_requested + 1, "
	"    due = CASE WHEN EXCLUDED.by_callback AND q.urgent THEN least(q.due, EXCLUDED.due) ELSE EXCLUDED.due END, "
	"    unchanged_answers = CASE WHEN EXCLUDED.by_callback AND q.urgent AND q.ordered_by = 0 "
	"      THEN q.unchanged_answers ELSE 0 END, "
	"    by_callback = EXCLUDED.by_callback AND (q.by_callback OR q.ordered_by <> 0 OR NOT q.urgent), ordered_by = 0 "
	"      RETURNING q.invoice, q.account, q.xmax = '0'::xid AS new), "
	/* under a reference that was replaced an invoice exists after all; of a queued row, another server has sent it */
	"watch AS (UPDATE @mf_queue q SET kind = CASE q.kind WHEN 'send' THEN 'verify' ELSE q.kind END, "
	"    lookups = CASE q.kind WHEN 'watch' THEN q.lookups ELSE 0 END, due = clock_timestamp(), rank = clock_timestamp() "
	"  FROM s JOIN @mf_invoice i ON i.id = s.invoice AND i.id = ANY (ARRAY(SELECT s.invoice FROM s)) "
	"  WHERE q.invoice = s.invoice AND q.invoice = ANY (ARRAY(SELECT s.invoice FROM s)) "
	"    AND ((q.kind = 'watch' AND s.invoice_id <> i.invoice_id) "
	"      OR ((q.kind = 'send' OR (q.kind = 'verify' AND NOT s.repeated)) AND i.status = 'queued' AND s.invoice_id > 0))) "
	"SELECT s.digest::bytea, s.account::text, s.id::int8, coalesce(s.invoice::int8, 0), s.repeated, "
	"  (SELECT count(*) FROM w) - (SELECT count(*) FROM asked), "
	"  (SELECT a.account FROM asked a WHERE a.invoice = s.invoice AND a.new)::text FROM s",
	16, {TEXTARRAYOID, TEXTARRAYOID, INT4ARRAYOID, INT4ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
		TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, INT8ARRAYOID, BYTEAARRAYOID, TEXTARRAYOID, INT4ARRAYOID,
		BOOLARRAYOID, TIMESTAMPTZARRAYOID}, NULL
};

/* rows that have the reference of the answer, and whether they have another invoice */
static MfStatement twins_statement = {
	"SELECT n.event, i.id::int8, i.invoice_id <> n.invoice_id::int8 "
	"FROM (SELECT u.*, regexp_replace(u.reference, '~[0-9]+$', '') AS stem FROM unnest($1, $2, $3) "
	"  AS u(event, invoice_id, reference)) n "
	"  CROSS JOIN LATERAL (SELECT i.id, i.invoice_id FROM @mf_invoice i JOIN @mf_event e ON " MF_EVENT_OF_ACCOUNT("e.account") " "
	"    WHERE e.id = n.event AND i.reference IS NOT NULL AND i.status = 'sent' AND i.invoice_id IS NOT NULL "
	"      AND i.reference = ANY (ARRAY[n.reference, n.stem, n.stem || '~2', n.stem || '~3', n.stem || '~4', "
	"        n.stem || '~5']) AND " NO_REPETITION("n") " LIMIT 1) i",
	3, {INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID}, NULL
};

/* a callback of one invoice with the PaymentId of another: the event stays that of the first */
#define OF_ANOTHER "(e.source = 'callback' AND e.invoice <> n.invoice)"

/* opens an inquiry only about an invoice that the answer has found */
static MfStatement resolve_events_statement = {
	"WITH n AS MATERIALIZED (SELECT n.*, coalesce(nullif(n.ours, 0), (SELECT i.id "
	"  FROM @mf_event e, " MF_HAVING_NUMBER("n.invoice_id::int8")
	"    AND e.id = n.event AND " MF_EVENT_OF_ACCOUNT("e.account") " ORDER BY " ACCOUNT_FIRST("e.account") ")) AS invoice "
	"  FROM unnest($1, $2, $3, $4, $5, $6, $7) AS n(event, invoice_id, due, lookups, ours, failures, reference)), "
	"e AS (UPDATE @mf_event e SET due = n.due, lookups = n.lookups, failures = n.failures, "
	"    invoice = CASE WHEN " OF_ANOTHER " THEN e.invoice ELSE coalesce(n.invoice, e.invoice) END, "
	"    data = CASE WHEN " MF_IS_ERASED("coalesce(e.invoice, n.invoice)") " THEN " MF_EVENT_KEPT("e.data", "e.event_code") " ELSE e.data END, "
	"    invoice_id = coalesce(n.invoice_id::int8, e.invoice_id), "
	"    customer_reference = coalesce(e.customer_reference, nullif(n.reference, '')), "
	"    answered_at = CASE WHEN n.due IS NULL AND (n.invoice IS NULL OR " OF_ANOTHER ") THEN clock_timestamp() END "
	"  FROM n WHERE e.id = n.event RETURNING n.invoice, e.source), "
	"i AS MATERIALIZED (SELECT i.id, i.account, NOT EXISTS (SELECT FROM e WHERE e.invoice = i.id "
	"  AND e.source <> 'callback') AS by_callback "
	"  FROM @mf_invoice i WHERE i.id IN (SELECT e.invoice FROM e)), "
	"k AS MATERIALIZED (SELECT q.invoice FROM @mf_inquiry q WHERE q.invoice = ANY (ARRAY(SELECT i.id "
	"  FROM i)) FOR UPDATE SKIP LOCKED), "
	"m AS MATERIALIZED (SELECT * FROM i WHERE i.id IN (SELECT k.invoice FROM k) "
	"  OR NOT EXISTS (SELECT FROM @mf_inquiry q WHERE q.invoice = ANY (ARRAY(SELECT i.id FROM i)) "
	"    AND q.invoice = i.id)), "
	"asked AS (INSERT INTO @mf_inquiry AS q (invoice, account, due, urgent, times_requested, by_callback) "
	"  SELECT m.id, m.account, clock_timestamp(), true, 1, m.by_callback FROM m "
	"  ORDER BY m.id ON CONFLICT (invoice) DO UPDATE SET due = clock_timestamp(), urgent = true, "
	"    times_requested = q.times_requested + 1, unchanged_answers = 0, "
	"    by_callback = EXCLUDED.by_callback AND (q.by_callback OR q.ordered_by <> 0 OR NOT q.urgent), "
	"    ordered_by = 0 RETURNING 1) "
	"SELECT (SELECT count(*) FROM n JOIN @mf_event e ON e.id = n.event) - (SELECT count(*) FROM e) "
	"  + (SELECT count(*) FROM m) - (SELECT count(*) FROM asked)",
	7, {INT8ARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID, INT4ARRAYOID, INT8ARRAYOID, INT4ARRAYOID, TEXTARRAYOID}, NULL
};

static MfStatement lock_events_statement = {
	"WITH l AS MATERIALIZED (SELECT e.id FROM @mf_event e WHERE e.id = ANY ($1) FOR NO KEY UPDATE SKIP LOCKED) "
	"SELECT e.id::int8 FROM @mf_event e WHERE e.id = ANY ($1) AND e.id NOT IN (SELECT l.id FROM l)",
	1, {INT8ARRAYOID}, NULL
};

/*
 * Locks events that have come in since mf_payment_lock(), too.  A PaymentId of a
 * callback that is of none of the row's tries is inquired about by itself, once: it
 * may belong to another invoice under the row's reference.
 */
static MfStatement answered_statement = {
	"WITH l AS MATERIALIZED (SELECT e.id, e.source = 'callback' AND e.payment_id IS NOT NULL AND e.invoice_id IS NULL "
	"    AND e.lookups < " CppAsString2(MF_QUICK_TRIES) " AND NOT EXISTS (SELECT FROM @mf_transaction t "
	"      WHERE t.invoice = e.invoice AND t.payment_id = e.payment_id) AS strange "
	"  FROM @mf_event e WHERE " UNANSWERED("e") " FOR NO KEY UPDATE SKIP LOCKED), "
	"answered AS (UPDATE @mf_event e SET answered_at = CASE WHEN NOT l.strange THEN clock_timestamp() END, "
	"    due = CASE WHEN l.strange THEN clock_timestamp() END, "
	"    lookups = CASE WHEN l.strange THEN " CppAsString2(MF_QUICK_TRIES) " ELSE e.lookups END FROM l "
	"      WHERE e.id = l.id RETURNING 1) "
	"SELECT (SELECT count(*) FROM l) - (SELECT count(*) FROM answered)",
	1, {INT8ARRAYOID}, NULL
};

static MfStatement lock_entries_statement = {
	"SELECT FROM @mf_queue q WHERE q.invoice = ANY ($1) ORDER BY q.invoice FOR NO KEY UPDATE", 1, {INT8ARRAYOID}, NULL
};

/* a callback says nothing that is signed; and whoever has had a row sent again knew what had come in before */
static MfStatement told_statement = {
	"SELECT e.invoice::int8, min(e.invoice_id)::text FROM @mf_event e WHERE e.invoice = ANY ($1) AND e.invoice IS NOT NULL "
	"  AND e.invoice_id > 0 AND e.source <> 'callback' AND NOT EXISTS (SELECT FROM @mf_transition t "
	"    WHERE t.invoice = e.invoice AND t.from_status = 'review' AND t.to_status = 'queued' AND t.changed_at >= e.received_at) "
	"GROUP BY e.invoice",
	1, {INT8ARRAYOID}, NULL
};

/* of an open invoice or, where nothing is open, of that which the latest webhook about a row was about */
static MfStatement log_owner_statement = {
	MF_IN_ORDER "SELECT coalesce(k.created_by_id, 0)::oid, k.own_key::bool FROM ("
	"  (SELECT * FROM (" MF_OPEN_OF_ACCOUNT("$1") ") o) "
	"  UNION ALL (SELECT i.created_by_id, i.own_key FROM @mf_invoice i WHERE i.id = "
	"    (SELECT e.invoice FROM (SELECT * FROM @mf_event e WHERE e.account = $1 AND e.source = 'webhook' ORDER BY e.id DESC "
	"      LIMIT " MF_LOOKED_AT_FOR_KEY ") e WHERE e.invoice IS NOT NULL LIMIT 1))) k LIMIT 1",
	1, {TEXTOID}, NULL
};

static MfStatement known_statement = {
	"SELECT e.digest::bytea FROM @mf_event e WHERE e.account = $1 AND e.digest = ANY ($2)",
	2, {TEXTOID, BYTEAARRAYOID}, NULL
};

static MfStatement purge_statement = {
	MF_BY_AGE "DELETE FROM @mf_event e WHERE e.id IN (SELECT o.id FROM @mf_event o WHERE o.last_received_at < $1 "
	"  AND o.received_at < $1 AND o.due IS NULL AND NOT (o.invoice IS NOT NULL AND coalesce(o.event_code = 6, false)) "
	"  AND NOT EXISTS (SELECT FROM @mf_inquiry q WHERE q.invoice = o.invoice) LIMIT 1000)",
	1, {TIMESTAMPTZOID}, NULL
};

static int *merge_repetitions(MfEvent *events, int count);
static bool is_later(const char *number, const char *other);
static bool is_chargeback(const MfEvent *event);
static bool is_event(const MfEvent *event, const char *account, const uint8 *digest);
static void add_event(MfArray *columns, const MfEvent *event, int deliveries);

void
mf_events_store(const MfSqlScope *scope, MfEvent *events, int count)
{
	MfArray    *columns = mf_columns_start(&store_events_statement, count);
	int		   *deliveries = merge_repetitions(events, count);
	uint64		rows;
	uint64		row;
	int			i;

	for (i = 0; i < count; i++)
	{
		/* the event may make the look-up of an old reference due */
		mf_wake_account_at_commit(events[i].account);
		if (deliveries[i] > 0)
			add_event(columns, &events[i], deliveries[i]);
	}
	rows = mf_columns_execute(scope, &store_events_statement, columns);
	if (rows != (uint64) columns[0].count || mf_result_int8(0, 6) != 0)
		mf_change_suppressed();
	for (row = 0; row < rows; row++)
	{
		const bytea *digest = DatumGetByteaPP(mf_result(row, 1, NULL));
		const char *account = mf_result_text(row, 2);
		const char *asked = mf_result_text(row, 7);

		/* the invoice may be another account's; if that is renamed meanwhile, the event comes in again after the error */
		if (asked != NULL && strcmp(asked, account) != 0)
			mf_account_hold_if_any(asked);
		for (i = 0; i < count; i++)
		{
			if (!is_event(&events[i], account, (const uint8 *) VARDATA_ANY(digest)))
				continue;
			events[i].id = mf_result_int8(row, 3);
			events[i].invoice = mf_result_int8(row, 4);
			events[i].repeated = deliveries[i] == 0 || mf_result_bool(row, 5);
		}
	}
	mf_deposits_announce(scope, events, count);
}

/*
 * One statement cannot store the same event twice.  Returns for each event how many
 * of the list it stands for, 0 if an earlier one stands for it.
 */
static int *
merge_repetitions(MfEvent *events, int count)
{
	int		   *deliveries = (int *) palloc0(count * sizeof(int));
	int			i;
	int			j;

	for (i = 0; i < count; i++)
	{
		for (j = 0; j < i; j++)
		{
			if (is_event(&events[i], events[j].account, events[j].digest))
				break;
		}
		deliveries[j]++;
		/* of several callbacks of an invoice, the latest PaymentId counts; of webhooks, the highest number */
		if (events[i].payment_id != NULL)
			events[j].payment_id = events[i].payment_id;
		if (is_later(events[i].event_reference, events[j].event_reference))
			events[j].event_reference = events[i].event_reference;
		/* as LOST_AS_CHARGEBACK */
		if (i != j && events[j].event_code == 6 && is_chargeback(&events[i]))
			events[j].data = events[i].data;
	}
	return deliveries;
}

/* Whether a webhook's number, "WH-24349", is higher than another one's; NULL = none. */
static bool
is_later(const char *number, const char *other)
{
	int			longer = number != NULL && other != NULL ? (int) strlen(number) - (int) strlen(other) : 0;

	return number != NULL && (other == NULL || longer > 0 || (longer == 0 && strcmp(number, other) > 0));
}

/* Whether a webhook about a dispute says that it is one; only its version 2 does not sign that. */
static bool
is_chargeback(const MfEvent *event)
{
	const char *utf8 = event->data != NULL ? mf_to_utf8(event->data) : NULL;
	cJSON	   *data = utf8 != NULL ? mf_json_parse(utf8, strlen(utf8), NULL, NULL) : NULL;
	const char *type = mf_json_string(mf_json_get(data, "Dispute"), "Type");
	bool		found = type != NULL && pg_strcasecmp(type, "CHARGEBACK") == 0;

	cJSON_Delete(data);
	return found;
}

/* Whether an event has this key. */
static bool
is_event(const MfEvent *event, const char *account, const uint8 *digest)
{
	return memcmp(event->digest, digest, MF_EVENT_DIGEST_SIZE) == 0 && strcmp(event->account, account) == 0;
}

/* Adds an event to the parameters of store_events_statement. */
static void
add_event(MfArray *columns, const MfEvent *event, int deliveries)
{
	mf_array_add_text(&columns[0], event->account);
	mf_array_add_text(&columns[1], event->source);
	mf_array_add(&columns[2], Int32GetDatum(event->version));
	mf_array_add(&columns[3], Int32GetDatum(event->event_code));
	mf_array_add_text(&columns[4], event->event_name);
	mf_array_add_text(&columns[5], event->event_status);
	mf_array_add_text(&columns[6], event->event_reference);
	mf_array_add_text(&columns[7], event->invoice_id);
	mf_array_add_text(&columns[8], event->payment_id);
	mf_array_add_text(&columns[9], event->customer_reference);
	mf_array_add_nullable(&columns[10], Int64GetDatum(event->invoice), event->invoice == 0);
	mf_array_add_bytes(&columns[11], event->digest, MF_EVENT_DIGEST_SIZE);
	mf_array_add_text(&columns[12], event->data);
	mf_array_add(&columns[13], Int32GetDatum(deliveries));
	mf_array_add(&columns[14], BoolGetDatum(event->resolve));
	mf_array_add_timestamp(&columns[15], event->turn);
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
		mf_array_add(&columns[3], Int32GetDatum(Min(next[i].lookups, PG_INT16_MAX)));
		mf_array_add(&columns[4], Int64GetDatum(next[i].row));
		mf_array_add(&columns[5], Int32GetDatum(Min(next[i].failures, PG_INT16_MAX)));
		mf_array_add_text(&columns[6], next[i].reference);
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
		int64		event = mf_result_int8(row, 1);
		int64		invoice = mf_result_int8(row, 2);
		bool		is_twin = mf_result_bool(row, 3);

		for (i = 0; i < count; i++)
		{
			if (answers[i].event != event)
				continue;
			answers[i].row = invoice;
			answers[i].twin = is_twin ? invoice : 0;
		}
	}
}

uint64
mf_events_lock(const MfSqlScope *scope, const int64 *events, int count, int64 *held)
{
	Datum		value = mf_int8_array(events, count);

	(void) mf_sql_execute(scope, &lock_events_statement, &value, NULL);
	return mf_result_ids(held);
}

List *
mf_events_told(const MfSqlScope *scope, const int64 *invoices, int count)
{
	Datum		value = mf_int8_array(invoices, count);
	List	   *told = NIL;
	uint64		rows;
	uint64		row;

	(void) mf_sql_execute(scope, &lock_entries_statement, &value, NULL);
	rows = mf_sql_execute(scope, &told_statement, &value, NULL);
	for (row = 0; row < rows; row++)
	{
		MfToldInvoice *item = (MfToldInvoice *) palloc(sizeof(MfToldInvoice));

		item->invoice = mf_result_int8(row, 1);
		item->invoice_id = mf_result_text(row, 2);
		told = lappend(told, item);
	}
	return told;
}

void
mf_events_set_answered(const MfSqlScope *scope, const int64 *invoices, int count)
{
	Datum		value = mf_int8_array(invoices, count);

	(void) mf_change(scope, &answered_statement, &value, NULL);
}

MfKeyOwner
mf_events_log_owner(const MfSqlScope *scope, const char *account)
{
	Datum		value = CStringGetTextDatum(account);
	MfKeyOwner	owner = mf_public_key;

	if (mf_sql_execute(scope, &log_owner_statement, &value, NULL) > 0)
	{
		owner.role = mf_result_oid(0, 1);
		owner.own = mf_result_bool(0, 2);
	}
	return owner;
}

int
mf_events_drop_known(const MfSqlScope *scope, const char *account, MfEvent *events, int count)
{
	MfArray		digests;
	Datum		values[2];
	uint64		rows;
	uint64		row;
	int			kept = 0;
	int			i;

	mf_array_init(&digests, count);
	for (i = 0; i < count; i++)
		mf_array_add_bytes(&digests, events[i].digest, MF_EVENT_DIGEST_SIZE);
	values[0] = CStringGetTextDatum(account);
	values[1] = mf_array_datum(&digests, BYTEAOID);
	rows = mf_sql_execute(scope, &known_statement, values, NULL);
	for (i = 0; i < count; i++)
	{
		for (row = 0; row < rows; row++)
		{
			if (is_event(&events[i], account, (const uint8 *) VARDATA_ANY(DatumGetByteaPP(mf_result(row, 1, NULL)))))
				break;
		}
		if (row == rows)
			events[kept++] = events[i];
	}
	return kept;
}

uint64
mf_events_purge(const MfSqlScope *scope, TimestampTz before)
{
	Datum		value = TimestampTzGetDatum(before);

	return mf_sql_execute(scope, &purge_statement, &value, NULL);
}
