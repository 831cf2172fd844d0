/*
 * payment_event.c
 *	  SQL of events that come in, and of what opens an inquiry.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/payment_event.c
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/settings.h"
#include "database/sql_array.h"
#include "flow/inquiry_alarm.h"
#include "flow/throttle.h"
#include "process/failpoint.h"
#include "process/process.h"
#include "process/wait.h"
#include "process/worker_slots.h"
#include "store/column_types.h"
#include "store/payment.h"
#include "store/table_rows.h"

/* Callbacks do not have MyFatoorah asked about one invoice again sooner. */
#define CALLBACK_FLOOR "interval '" CppAsString2(MF_CALLBACK_FLOOR_S) " s'"

/* The event that an item of the list is a repetition of */
#define EARLIER "FROM @mf_event p WHERE p.account = u.account AND p.digest = u.digest"

/*
 * Matched by InvoiceId, by reference (also one that was given up since, which
 * a resend has numbered), by a PaymentId known from an earlier answer.  Events
 * of payments (1), refunds (2), recurring payments (5) and disputes (6) are
 * about an invoice.  MyFatoorah is asked about the InvoiceId of an event that is not
 * the row's, too.  A repetition of what was answered already asks nothing: a
 * captured webhook that is sent again and again costs nothing but its count.
 * All callbacks of an invoice are one event; one with another PaymentId, unless
 * that is of a try that has ended, is news.
 * "= ANY" keeps a plan that was made while a table was small from reading all
 * of it when it has grown, and "+ 0" from walking along its primary key to the
 * first match.
 */
#define ANOTHER "(e.door = 'callback' AND coalesce(EXCLUDED.payment_id <> e.payment_id, EXCLUDED.payment_id IS NOT NULL))"

static MfStatement store_events_statement = {
	"WITH n AS MATERIALIZED (SELECT n.*, coalesce(n.known, "
	"    (SELECT i.id FROM @mf_invoice i WHERE i.invoice_id = n.invoice_id::int8 AND i.account = n.account "
	"      ORDER BY i.id + 0 LIMIT 1), "
	"    (SELECT i.id FROM @mf_invoice i WHERE i.reference IS NOT NULL AND i.account = n.account AND i.reference = ANY "
	"      (ARRAY[n.customer_reference, n.stem, n.stem || '~2', n.stem || '~3', n.stem || '~4', n.stem || '~5']) LIMIT 1), "
	"    (SELECT i.id FROM @mf_transaction t JOIN @mf_invoice i ON i.id = t.invoice AND i.account = n.account "
	"      WHERE t.payment_id = n.payment_id ORDER BY i.id + 0 LIMIT 1)) AS invoice "
	"  FROM (SELECT u.*, regexp_replace(u.customer_reference, '~[0-9]+$', '') AS stem, "
	"      CASE WHEN u.door = 'callback' THEN (SELECT coalesce(u.payment_id <> p.payment_id, u.payment_id IS NOT NULL) "
	"        AND NOT EXISTS (SELECT FROM @mf_transaction t WHERE t.invoice = u.known AND t.payment_id = u.payment_id "
	"          AND lower(t.transaction_status) NOT IN ('inprogress', 'authorize')) " EARLIER ") END AS another, "
	"      greatest(clock_timestamp(), CASE WHEN u.door = 'callback' THEN "
	"        (SELECT coalesce(p.answered_at, clock_timestamp()) " EARLIER ") + " CALLBACK_FLOOR " END) AS ask_at "
	"    FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) "
	"    AS u(account, door, version, event_code, event_name, event_status, event_reference, invoice_id, payment_id, "
	"      customer_reference, known, digest, data, deliveries, resolve, turn)) n), "
	"s AS (INSERT INTO @mf_event AS e (account, door, version, event_code, event_name, event_status, "
	"    event_reference, invoice_id, payment_id, customer_reference, invoice, digest, data, deliveries, due, tries) "
	"  SELECT n.account, n.door, nullif(n.version, 0), nullif(n.event_code, 0), n.event_name, n.event_status, "
	"    n.event_reference, n.invoice_id::int8, CASE WHEN n.another IS DISTINCT FROM false THEN n.payment_id END, "
	"    n.customer_reference, n.invoice, n.digest, "
	"    n.data::jsonb, n.deliveries, CASE WHEN (n.resolve AND n.invoice IS NULL) OR EXISTS (SELECT FROM @mf_invoice i "
	"      WHERE i.id = n.invoice AND i.invoice_id <> n.invoice_id::int8) THEN greatest(n.turn, clock_timestamp()) END, "
	"    CASE WHEN n.turn IS NULL THEN 0 ELSE " CppAsString2(MF_QUICK_TRIES) " END "
	"  FROM n ORDER BY n.account, n.digest "
	"  ON CONFLICT (account, digest) DO UPDATE SET deliveries = e.deliveries + EXCLUDED.deliveries, "
	"    last_received_at = clock_timestamp(), invoice = coalesce(e.invoice, EXCLUDED.invoice), "
	"    payment_id = CASE WHEN " ANOTHER " THEN EXCLUDED.payment_id ELSE e.payment_id END, "
	"    answered_at = CASE WHEN NOT " ANOTHER " THEN e.answered_at END, due = CASE WHEN NOT " ANOTHER " THEN e.due END, "
	"    tries = CASE WHEN " ANOTHER " THEN 0 ELSE e.tries END "
	"  RETURNING e.id, e.digest, e.account, e.invoice, e.event_code, e.answered_at, e.customer_reference, e.invoice_id, "
	"    e.door, e.xmax <> '0'::xid AS repeated), "
	"w AS MATERIALIZED (SELECT i.id, i.account, bool_or(coalesce(s.event_code = 2, false)) AS refunds, "
	"    bool_and(s.door = 'callback') AS by_callback, min(n.ask_at) AS ask_at "
	"  FROM s JOIN n ON n.account = s.account AND n.digest = s.digest "
	"  JOIN @mf_invoice i ON i.id = s.invoice AND i.id = ANY (ARRAY(SELECT s.invoice FROM s)) "
	"  WHERE s.answered_at IS NULL AND coalesce(s.event_code, 1) IN (1, 2, 5, 6) "
	"    AND (s.door <> 'callback' OR NOT s.repeated OR n.another) "
	"    AND i.status NOT IN ('rejected', 'cancelled') "
	"  GROUP BY i.id, i.account), "
	"asked AS (INSERT INTO @mf_inquiry AS q (invoice, account, due, urgent, refunds, requests, by_callback) "
	"  SELECT w.id, w.account, w.ask_at, true, w.refunds, 1, w.by_callback FROM w ORDER BY w.id "
	"  ON CONFLICT (invoice) DO UPDATE SET urgent = true, refunds = q.refunds OR EXCLUDED.refunds, requests = q.requests + 1, "
	"    due = CASE WHEN EXCLUDED.by_callback AND q.urgent THEN least(q.due, EXCLUDED.due) ELSE EXCLUDED.due END, "
	"    tries = CASE WHEN EXCLUDED.by_callback AND q.urgent AND q.ordered_by = 0 THEN q.tries ELSE 0 END, "
	"    by_callback = EXCLUDED.by_callback AND (q.by_callback OR q.ordered_by <> 0 OR NOT q.urgent), ordered_by = 0 RETURNING 1), "
	/* of a reference that was given up: it exists after all, perhaps twice; of one not sent yet: somebody else has sent it */
	"watch AS (UPDATE @mf_queue q SET kind = CASE q.kind WHEN 'send' THEN 'verify' ELSE q.kind END, "
	"    due = clock_timestamp(), rank = clock_timestamp() "
	"  FROM s JOIN @mf_invoice i ON i.id = s.invoice AND i.id = ANY (ARRAY(SELECT s.invoice FROM s)) "
	"  WHERE q.invoice = s.invoice AND q.invoice = ANY (ARRAY(SELECT s.invoice FROM s)) "
	"    AND ((q.kind = 'watch' AND s.invoice_id <> i.invoice_id) "
	"      OR (q.kind IN ('send', 'verify') AND i.status = 'queued' AND s.invoice_id > 0))) "
	"SELECT s.digest::bytea, s.account::text, s.id::int8, coalesce(s.invoice::int8, 0), s.repeated, "
	"  (SELECT count(*) FROM w) - (SELECT count(*) FROM asked) FROM s",
	16, {TEXTARRAYOID, TEXTARRAYOID, INT4ARRAYOID, INT4ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
		TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, INT8ARRAYOID, BYTEAARRAYOID, TEXTARRAYOID, INT4ARRAYOID,
		BOOLARRAYOID, TIMESTAMPTZARRAYOID}, NULL
};

/* an event may have been faster than our own answer; whoever asked in vain so far gets an answer now */
static MfStatement open_statement = {
	"WITH i AS MATERIALIZED (SELECT i.id, i.account, i.invoice_id FROM @mf_invoice i "
	"  WHERE i.id = ANY ($1) AND i.status = 'sent'), "
	"e AS (UPDATE @mf_event e SET invoice = i.id FROM i "
	"  WHERE e.invoice IS NULL AND e.account = i.account AND e.invoice_id = i.invoice_id RETURNING i.id, e.event_code), "
	"m AS MATERIALIZED (SELECT i.id, i.account, CASE WHEN i.known THEN clock_timestamp() ELSE $2 END, i.known, i.refunds "
	"FROM (SELECT i.id, i.account, EXISTS (SELECT FROM e WHERE e.id = i.id) AS known, "
	"    EXISTS (SELECT FROM e WHERE e.id = i.id AND e.event_code = 2) AS refunds FROM i) i "
	"WHERE i.known OR $2 < 'infinity' OR EXISTS (SELECT FROM @mf_inquiry o WHERE o.invoice = i.id)), "
	"o AS (INSERT INTO @mf_inquiry AS q (invoice, account, due, urgent, refunds) SELECT * FROM m ORDER BY m.id "
	"ON CONFLICT (invoice) DO UPDATE SET due = clock_timestamp(), urgent = true, refunds = q.refunds OR EXCLUDED.refunds, "
	"  requests = q.requests + 1, tries = 0, by_callback = q.by_callback AND q.urgent AND NOT EXCLUDED.urgent, "
	"  ordered_by = CASE WHEN EXCLUDED.urgent THEN 0 ELSE q.ordered_by END "
	"WHERE q.urgent OR EXCLUDED.urgent RETURNING q.urgent) "
	"SELECT EXISTS (SELECT FROM o WHERE o.urgent), ARRAY(SELECT m.id::int8 FROM m)",
	2, {INT8ARRAYOID, TIMESTAMPTZOID}, NULL
};

static MfStatement unanswered_statement = {
	"SELECT count(*) OVER ()::int8, u.example, u.error::text FROM ("
	"  SELECT format('invoice %s', q.invoice) AS example, i.payment_error AS error, q.invoice AS number "
	"  FROM @mf_inquiry q JOIN @mf_invoice i ON i.id = q.invoice "
	"  WHERE q.account = $1 AND q.failures >= " CppAsString2(MF_ITEM_FAILURES) " "
	"  UNION ALL SELECT format('event %s', e.id), NULL, e.id FROM @mf_event e "
	"  WHERE e.account = $1 AND e.due IS NOT NULL AND e.failures >= " CppAsString2(MF_ITEM_FAILURES) ") u "
	"ORDER BY u.error IS NULL, u.number LIMIT 1",
	1, {TEXTOID}, NULL
};

/* what most of them come to, unless an event was faster, which this tells first */
static MfStatement early_event_statement = {
	"SELECT FROM @mf_event e WHERE e.invoice IS NULL AND e.account = ANY ($1) AND e.invoice_id >= $2 "
	"  AND e.invoice_id <= $3 LIMIT 1",
	3, {TEXTARRAYOID, INT8OID, INT8OID}, NULL
};

static MfStatement poll_statement = {
	"WITH o AS (INSERT INTO @mf_inquiry AS q (invoice, account, due) "
	"SELECT s.invoice, s.account, $3 FROM unnest($1, $2) AS s(invoice, account) "
	"ON CONFLICT (invoice) DO UPDATE SET due = clock_timestamp(), requests = q.requests + 1, tries = 0 WHERE q.urgent "
	"RETURNING q.urgent) SELECT EXISTS (SELECT FROM o WHERE o.urgent), $1",
	3, {INT8ARRAYOID, TEXTARRAYOID, TIMESTAMPTZOID}, NULL
};

static MfStatement unopened_statement = {
	"SELECT FROM unnest($1) AS m(invoice) WHERE NOT EXISTS (SELECT FROM @mf_inquiry q "
	"  WHERE q.invoice = ANY ($1) AND q.invoice = m.invoice) LIMIT 1",
	1, {INT8ARRAYOID}, NULL
};

/* along the index of open invoices: each batch goes on from the last row of the one before */
static MfStatement plan_statement = {
	MF_IN_ORDER "WITH n AS MATERIALIZED (SELECT i.id, i.account, i.sent_at FROM @mf_invoice i "
	"  WHERE " MF_UNASKED("i") " AND (i.account, i.sent_at) >= ($1, $2) ORDER BY i.account, i.sent_at LIMIT 500), "
	"r AS (INSERT INTO @mf_inquiry (invoice, account, due) SELECT n.id, n.account, clock_timestamp() FROM n ORDER BY n.id "
	"  ON CONFLICT (invoice) DO NOTHING RETURNING 1) "
	"SELECT n.account::text, n.sent_at::timestamptz, (SELECT count(*) FROM r) FROM n ORDER BY n.account DESC, n.sent_at DESC LIMIT 1",
	2, {TEXTOID, TIMESTAMPTZOID}, NULL
};

#define AWAITED "n.status = 'sent' AND n.payment_status IN ('unpaid', 'authorized')"

static MfStatement restore_statement = {
	"INSERT INTO @mf_inquiry (invoice, account, due) SELECT n.id, n.account, $1 FROM new_rows n "
	"WHERE " AWAITED " ORDER BY n.id ON CONFLICT (invoice) DO NOTHING",
	1, {TIMESTAMPTZOID}, NULL
};

/*
 * As the plan does after a payment: once, an hour later.  The younger, the sooner,
 * and one day's invoices in 2.4 hours, so that those that are open get their turn.
 */
#define SETTLED_AGE "interval '" CppAsString2(MF_ASK_AGAIN_DAYS) " days'"
static MfStatement ask_again_statement = {
	"INSERT INTO @mf_inquiry (invoice, account, due) "
	"SELECT i.id, i.account, clock_timestamp() + $1 * interval '12 ms' + (clock_timestamp() - l.settled_at) / 10 "
	"FROM @mf_invoice i, LATERAL (SELECT least(clock_timestamp(), greatest(i.sent_at, i.paid_at, i.expires_at)) AS settled_at) l "
	"WHERE i.status = 'sent' AND i.invoice_id IS NOT NULL AND i.payment_status IN ('paid', 'expired', 'remote_cancelled') "
	"  AND l.settled_at > clock_timestamp() - " SETTLED_AGE " ORDER BY i.id ON CONFLICT (invoice) DO NOTHING",
	1, {INT4OID}, NULL
};

static MfStatement not_restored_statement = {
	"SELECT FROM new_rows n WHERE " AWAITED " AND NOT EXISTS (SELECT FROM @mf_inquiry q WHERE q.invoice = n.id) LIMIT 1",
	0, {0}, NULL
};

/* what an event asks, too, stays the event's question */
static MfStatement refresh_statement = {
	"WITH m AS MATERIALIZED (SELECT i.id, i.account, clock_timestamp(), true, true, 1, $3, a.too_often, $4 "
	"  FROM unnest($1, $2) AS a(invoice, too_often) JOIN @mf_invoice i ON i.id = a.invoice AND i.id = ANY ($1) "
	"  WHERE i.status = 'sent'), "
	"o AS (INSERT INTO @mf_inquiry AS q (invoice, account, due, urgent, refunds, requests, tries, by_callback, ordered_by) "
	"SELECT * FROM m ORDER BY m.id ON CONFLICT (invoice) DO UPDATE SET urgent = true, "
	"  due = CASE WHEN q.urgent AND EXCLUDED.by_callback THEN least(q.due, EXCLUDED.due) ELSE EXCLUDED.due END, "
	"  by_callback = EXCLUDED.by_callback AND (q.by_callback OR NOT q.urgent), "
	"  ordered_by = CASE WHEN q.urgent AND (q.ordered_by = 0 OR NOT q.by_callback) THEN q.ordered_by ELSE EXCLUDED.ordered_by END, "
	"  refunds = q.refunds OR EXCLUDED.refunds, requests = q.requests + 1, "
	"  tries = CASE WHEN q.urgent THEN q.tries ELSE EXCLUDED.tries END RETURNING 1) "
	"SELECT (SELECT count(*) FROM m) - (SELECT count(*) FROM o)",
	4, {INT8ARRAYOID, BOOLARRAYOID, INT4OID, OIDOID}, NULL
};

/*
 * Of a row that may exist twice nothing is settled: whoever has paid the other
 * invoice is not told to pay.  No customer waits for what a role has ordered.  A PaymentId that MyFatoorah did not find when asked
 * once is waited for no longer.  The token is the random end of the reference,
 * whatever number a resend gave it.
 */
static MfStatement callbacks_statement = {
	"SELECT i.id::int8, i.account::text, right(regexp_replace(i.reference, '~[0-9]+$', ''), 20), i.payment_status::text, "
	"  NOT i.duplicate_suspected AND NOT EXISTS (SELECT FROM @mf_inquiry q WHERE q.invoice = i.id AND q.urgent "
	"      AND q.ordered_by = 0) "
	"    AND NOT EXISTS (SELECT FROM @mf_event e WHERE e.invoice = i.id AND e.answered_at IS NULL AND e.due IS NOT NULL "
	"      AND e.tries = 0), "
	"  coalesce(i.language = 'AR', false), i.call_back_url::text, i.error_url::text "
	"FROM @mf_invoice i WHERE i.id = ANY ($1)",
	1, {INT8ARRAYOID}, NULL
};

static MfStatement waited_statement = {
	"SELECT i.status::text, i.payment_status::text, i.xmin FROM @mf_invoice i WHERE i.id = $1",
	1, {INT8OID}, NULL
};

/* as events are matched; a reference is nobody else's, whatever account it is asked for with */
#define ROWS_OF_ANSWER(table) \
	"SELECT i.id FROM " table " i WHERE i.invoice_id = $2 AND i.account = $1 " \
	"UNION SELECT i.id FROM (SELECT $3, regexp_replace($3, '~[0-9]+$', '')) AS r(whole, stem) " \
	"  JOIN " table " i ON i.reference IS NOT NULL " \
	"    AND i.reference = ANY (ARRAY[r.whole, r.stem, r.stem || '~2', r.stem || '~3', r.stem || '~4', r.stem || '~5'])"

/* those that are archived are seen by nobody for whom policies hold */
static MfStatement rows_of_answer_statement = {
	ROWS_OF_ANSWER("@mf_invoice") " UNION " ROWS_OF_ANSWER("@mf_invoice_archive"), 3, {TEXTOID, INT8OID, TEXTOID}, NULL
};
static MfStatement seen_rows_of_answer_statement = {
	ROWS_OF_ANSWER("@mf_invoice"), 3, {TEXTOID, INT8OID, TEXTOID}, NULL
};

/* the last webhook that came in, or what the log has, if an invoice waits for one; with the key of the newest of these */
static MfStatement log_start_statement = {
	MF_IN_ORDER "SELECT greatest((SELECT greatest(e.received_at, '" MF_TIME_MIN_TEXT "') - interval '5 min' FROM @mf_event e "
	"    WHERE e.account = $1 AND e.door = 'webhook' ORDER BY e.id DESC LIMIT 1), "
	"  clock_timestamp() - interval '7 days')::timestamptz, i.created_by_id::oid, i.own_key::bool "
	"FROM @mf_invoice i WHERE i.account = $1 AND " MF_OPEN("i") " ORDER BY i.sent_at DESC LIMIT 1",
	1, {TEXTOID}, NULL
};

static MfStatement purge_statement = {
	"DELETE FROM @mf_event e WHERE e.id IN (SELECT o.id FROM @mf_event o WHERE o.last_received_at < $1 "
	"  AND o.received_at < $1 AND o.due IS NULL "
	"  AND NOT EXISTS (SELECT FROM @mf_inquiry q WHERE q.invoice = o.invoice) LIMIT 1000)",
	1, {TIMESTAMPTZOID}, NULL
};

/* Attribute numbers of mf_inquiry, as in the install script */
typedef enum InquiryColumn
{
	INQUIRY_INVOICE = 1,
	INQUIRY_ACCOUNT,
	INQUIRY_DUE,
	INQUIRY_URGENT,
	INQUIRY_REFUNDS,
	INQUIRY_REQUESTS,
	INQUIRY_TRIES,
	INQUIRY_STEP,
	INQUIRY_FAILURES,
	INQUIRY_ERROR,
	INQUIRY_BY_CALLBACK,
	INQUIRY_ORDERED_BY,
	INQUIRY_END					/* one more than the last */
} InquiryColumn;

static bool early_event(const MfSqlScope *scope, const MfSentInvoice *sent, int count);
static int	insert_new(const MfSqlScope *scope, const MfSentInvoice *sent, int count, TimestampTz due);
static bool open_by_sql(const MfSqlScope *scope, MfStatement *statement, Datum *values);

void
mf_events_store(const MfSqlScope *scope, MfEvent *events, int count)
{
	MfArray    *columns = mf_columns_start(&store_events_statement, count);
	int		   *deliveries = (int *) palloc0(count * sizeof(int));
	uint64		rows;
	uint64		row;
	int			i;
	int			j;

	/* one statement cannot store the same event twice */
	for (i = 0; i < count; i++)
	{
		for (j = 0; j < i; j++)
		{
			if (memcmp(events[i].digest, events[j].digest, MF_EVENT_DIGEST_SIZE) == 0 &&
				strcmp(events[i].account, events[j].account) == 0)
				break;
		}
		deliveries[j]++;
		/* of an invoice's callbacks the latest counts */
		if (events[i].payment_id != NULL)
			events[j].payment_id = events[i].payment_id;
	}

	for (i = 0; i < count; i++)
	{
		const MfEvent *e = &events[i];
		bytea	   *digest;

		/* it may put the look-up of an old reference forward */
		mf_wake_account_at_commit(e->account);
		if (deliveries[i] == 0)
			continue;
		digest = (bytea *) palloc(VARHDRSZ + MF_EVENT_DIGEST_SIZE);
		SET_VARSIZE(digest, VARHDRSZ + MF_EVENT_DIGEST_SIZE);
		memcpy(VARDATA(digest), e->digest, MF_EVENT_DIGEST_SIZE);

		mf_array_add_text(&columns[0], e->account);
		mf_array_add_text(&columns[1], e->door);
		mf_array_add(&columns[2], Int32GetDatum(e->version));
		mf_array_add(&columns[3], Int32GetDatum(e->event_code));
		mf_array_add_text(&columns[4], e->event_name);
		mf_array_add_text(&columns[5], e->event_status);
		mf_array_add_text(&columns[6], e->event_reference);
		mf_array_add_text(&columns[7], e->invoice_id);
		mf_array_add_text(&columns[8], e->payment_id);
		mf_array_add_text(&columns[9], e->customer_reference);
		mf_array_add(&columns[10], Int64GetDatum(e->invoice));
		columns[10].nulls[columns[10].count - 1] = e->invoice == 0;
		mf_array_add(&columns[11], PointerGetDatum(digest));
		mf_array_add_text(&columns[12], e->data);
		mf_array_add(&columns[13], Int32GetDatum(deliveries[i]));
		mf_array_add(&columns[14], BoolGetDatum(e->resolve));
		mf_array_add(&columns[15], TimestampTzGetDatum(e->turn));
		columns[15].nulls[columns[15].count - 1] = e->turn == 0;
	}

	rows = mf_columns_execute(scope, &store_events_statement, columns);
	if (rows != (uint64) columns[0].count ||
		DatumGetInt64(mf_result(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 6, NULL)) != 0)
		mf_change_suppressed();
	for (row = 0; row < rows; row++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[row];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bytea	   *digest = DatumGetByteaPP(mf_result(tuple, desc, 1, NULL));
		const char *account = TextDatumGetCString(mf_result(tuple, desc, 2, NULL));

		for (i = 0; i < count; i++)
		{
			if (memcmp(VARDATA_ANY(digest), events[i].digest, MF_EVENT_DIGEST_SIZE) != 0 ||
				strcmp(account, events[i].account) != 0)
				continue;
			events[i].id = DatumGetInt64(mf_result(tuple, desc, 3, NULL));
			events[i].invoice = DatumGetInt64(mf_result(tuple, desc, 4, NULL));
			events[i].repeated = deliveries[i] == 0 || DatumGetBool(mf_result(tuple, desc, 5, NULL));
		}
	}
}

static int
compare_sent(const void *a, const void *b)
{
	int64		left = ((const MfSentInvoice *) a)->invoice;
	int64		right = ((const MfSentInvoice *) b)->invoice;

	return left < right ? -1 : left > right;
}

bool
mf_inquiries_open(const MfSqlScope *scope, MfSentInvoice *sent, int count, TimestampTz due)
{
	Datum		values[3];
	MfArray		invoices;
	MfArray		accounts;
	bool		poll;
	int			i = 0;

	/* two that put invoices on the agenda must not meet halfway */
	qsort(sent, count, sizeof(MfSentInvoice), compare_sent);
	poll = !TIMESTAMP_NOT_FINITE(due) && !early_event(scope, sent, count);
	if (poll)
		i = insert_new(scope, sent, count, due);
	if (i == count)
		return false;

	mf_array_init(&invoices, count);
	mf_array_init(&accounts, count);
	for (; i < count; i++)
	{
		mf_array_add(&invoices, Int64GetDatum(sent[i].invoice));
		mf_array_add_text(&accounts, sent[i].account);
	}
	values[0] = mf_array_datum(&invoices, INT8OID);
	if (poll)
	{
		values[1] = mf_array_datum(&accounts, TEXTOID);
		values[2] = TimestampTzGetDatum(due);
		return open_by_sql(scope, &poll_statement, values);
	}
	values[1] = TimestampTzGetDatum(due);
	return open_by_sql(scope, &open_statement, values);
}

/*
 * Runs a statement whose result is whether anything is urgent, and which invoices
 * are asked about from now on.
 */
static bool
open_by_sql(const MfSqlScope *scope, MfStatement *statement, Datum *values)
{
	bool		urgent;
	Datum		invoices;

	(void) mf_sql_execute(scope, statement, values, NULL);
	urgent = DatumGetBool(mf_result(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, NULL));
	invoices = mf_result(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, NULL);
	if (mf_sql_execute(scope, &unopened_statement, &invoices, NULL) > 0)
		mf_change_suppressed();
	return urgent;
}

/*
 * The first part of what poll_statement does, without SQL: nearly always all of
 * it.  Returns how many there were before the first one that has an inquiry
 * already, or that somebody is opening right now.
 */
static int
insert_new(const MfSqlScope *scope, const MfSentInvoice *sent, int count, TimestampTz due)
{
	MfTable    *table = mf_table_open(scope->schema, "mf_inquiry", NULL, mf_inquiry_types, INQUIRY_END - 1, true);
	Datum		values[INQUIRY_END - 1];
	bool		isnull[INQUIRY_END - 1] = {false};
	int			done = 0;
	int			i;

	if (table == NULL)
		return 0;
	values[INQUIRY_DUE - 1] = TimestampTzGetDatum(due);
	values[INQUIRY_URGENT - 1] = values[INQUIRY_REFUNDS - 1] = values[INQUIRY_BY_CALLBACK - 1] = BoolGetDatum(false);
	values[INQUIRY_REQUESTS - 1] = Int32GetDatum(0);
	values[INQUIRY_TRIES - 1] = values[INQUIRY_STEP - 1] = values[INQUIRY_FAILURES - 1] = Int16GetDatum(0);
	values[INQUIRY_ORDERED_BY - 1] = ObjectIdGetDatum(InvalidOid);
	isnull[INQUIRY_ERROR - 1] = true;
	mf_table_begin(table);
	for (i = 0; i < count; i++)
	{
		MF_FAILPOINT_ROW("row of mf_inquiry, to open", sent[i].invoice);
		values[INQUIRY_INVOICE - 1] = Int64GetDatum(sent[i].invoice);
		values[INQUIRY_ACCOUNT - 1] = CStringGetTextDatum(sent[i].account);
		mf_table_add(table, values, isnull, NULL);
		if (table->waiting < MF_TABLE_BATCH && i < count - 1)
			continue;
		done += mf_table_insert_new(table);
		if (done <= i)
			break;
	}
	mf_table_close(table);
	CommandCounterIncrement();
	return done;
}

/* Whether an event may have come in that is about one of them and was not matched yet. */
static bool
early_event(const MfSqlScope *scope, const MfSentInvoice *sent, int count)
{
	MfArray		accounts;
	int64		first = PG_INT64_MAX;
	int64		last = PG_INT64_MIN;
	Datum		values[3];
	int			i;

	mf_array_init(&accounts, count);
	for (i = 0; i < count; i++)
	{
		if (sent[i].account == NULL)
			return true;
		first = Min(first, sent[i].invoice_id);
		last = Max(last, sent[i].invoice_id);
		if (i == 0 || strcmp(sent[i].account, sent[i - 1].account) != 0)
			mf_array_add_text(&accounts, sent[i].account);
	}
	values[0] = mf_array_datum(&accounts, TEXTOID);
	values[1] = Int64GetDatum(first);
	values[2] = Int64GetDatum(last);
	return mf_sql_execute(scope, &early_event_statement, values, NULL) > 0;
}

void
mf_inquiries_open_restored(const MfSqlScope *scope, TimestampTz due)
{
	Datum		value = TimestampTzGetDatum(due);

	(void) mf_sql_execute(scope, &restore_statement, &value, NULL);
	if (mf_sql_execute(scope, &not_restored_statement, NULL, NULL) > 0)
		mf_change_suppressed();
	mf_wake_inquiries_at_commit();
}

void
mf_inquiries_open_settled(const MfSqlScope *scope)
{
	Datum		value = Int32GetDatum(mf_poll_delay);

	if (mf_poll_limit == 0)
		return;
	(void) mf_sql_execute(scope, &ask_again_statement, &value, NULL);
	mf_wake_inquiries_at_commit();
}

List *
mf_payment_callback_rows(const MfSqlScope *scope, const int64 *invoices, int count)
{
	Datum		value = mf_int8_array(invoices, count);
	uint64		rows = mf_sql_execute(scope, &callbacks_statement, &value, NULL);
	List	   *found = NIL;
	uint64		i;

	for (i = 0; i < rows; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		MfCallbackRow *row = (MfCallbackRow *) palloc0(sizeof(MfCallbackRow));
		bool		isnull;

		row->invoice = DatumGetInt64(mf_result(tuple, desc, 1, NULL));
		row->account = TextDatumGetCString(mf_result(tuple, desc, 2, NULL));
		row->token = TextDatumGetCString(mf_result(tuple, desc, 3, NULL));
		row->payment_status = TextDatumGetCString(mf_result(tuple, desc, 4, NULL));
		row->settled = DatumGetBool(mf_result(tuple, desc, 5, NULL));
		row->arabic = DatumGetBool(mf_result(tuple, desc, 6, NULL));
		(void) mf_result(tuple, desc, 7, &isnull);
		row->call_back_url = isnull ? NULL : TextDatumGetCString(mf_result(tuple, desc, 7, NULL));
		(void) mf_result(tuple, desc, 8, &isnull);
		row->error_url = isnull ? NULL : TextDatumGetCString(mf_result(tuple, desc, 8, NULL));
		found = lappend(found, row);
	}
	return found;
}

void
mf_inquiries_order(Oid schema, Oid role, const int64 *invoices, const bool *too_often, int count)
{
	MfSqlScope	scope;
	MfArray		late;
	Datum		values[4];
	int			i;

	mf_array_init(&late, count);
	for (i = 0; i < count; i++)
		mf_array_add(&late, BoolGetDatum(too_often[i]));
	/* a person asks once, not again and again until something has changed */
	values[0] = mf_int8_array(invoices, count);
	values[1] = mf_array_datum(&late, BOOLOID);
	values[2] = Int32GetDatum(MF_QUICK_TRIES);
	values[3] = ObjectIdGetDatum(role);
	mf_sql_begin(&scope, schema);
	(void) mf_change(&scope, &refresh_statement, values, NULL);
	mf_sql_end(&scope);
}

bool
mf_payment_read_waited(Oid schema, int64 invoice, MfWaitedInvoice *row)
{
	MfSqlScope	scope;
	Datum		value = Int64GetDatum(invoice);
	bool		found;

	mf_sql_begin_as_caller(&scope, schema);
	found = mf_sql_execute(&scope, &waited_statement, &value, NULL) > 0;
	if (found)
	{
		HeapTuple	tuple = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;

		strlcpy(row->status, TextDatumGetCString(mf_result(tuple, desc, 1, NULL)), sizeof(row->status));
		strlcpy(row->payment_status, TextDatumGetCString(mf_result(tuple, desc, 2, NULL)), sizeof(row->payment_status));
		row->xmin = DatumGetTransactionId(mf_result(tuple, desc, 3, NULL));
	}
	mf_sql_end(&scope);
	return found;
}

bool
mf_payment_answer_is_hidden(Oid schema, const char *account, const char *invoice_id, const char *reference)
{
	MfSqlScope	scope;
	Datum		values[3];
	char		nulls[4] = "   ";
	uint64		rows;
	uint64		seen;

	nulls[1] = invoice_id == NULL ? 'n' : ' ';
	nulls[2] = reference == NULL ? 'n' : ' ';
	values[0] = CStringGetTextDatum(account);
	values[1] = invoice_id == NULL ? (Datum) 0 : DirectFunctionCall1(int8in, CStringGetDatum(invoice_id));
	values[2] = reference == NULL ? (Datum) 0 : CStringGetTextDatum(reference);
	mf_sql_begin_as_caller(&scope, schema);
	seen = mf_sql_execute(&scope, &seen_rows_of_answer_statement, values, nulls);
	mf_sql_end(&scope);
	mf_sql_begin(&scope, schema);
	rows = mf_sql_execute(&scope, &rows_of_answer_statement, values, nulls);
	mf_sql_end(&scope);
	return rows > seen;
}

int64
mf_inquiries_unanswered(Oid schema, const char *account, char **example, char **error)
{
	MfSqlScope	scope;
	Datum		value = CStringGetTextDatum(account);
	MemoryContext context = CurrentMemoryContext;
	int64		count = 0;

	mf_sql_begin(&scope, schema);
	if (mf_sql_execute(&scope, &unanswered_statement, &value, NULL) > 0)
	{
		HeapTuple	row = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;
		Datum		said = mf_result(row, desc, 3, &isnull);

		count = DatumGetInt64(mf_result(row, desc, 1, NULL));
		*error = isnull ? NULL : MemoryContextStrdup(context, TextDatumGetCString(said));
		*example = MemoryContextStrdup(context, TextDatumGetCString(mf_result(row, desc, 2, NULL)));
	}
	mf_sql_end(&scope);
	return count;
}

MfLogStart *
mf_events_log_start(const MfSqlScope *scope, const char *account)
{
	Datum		value = CStringGetTextDatum(account);
	MfLogStart *start;

	if (mf_sql_execute(scope, &log_start_statement, &value, NULL) == 0)
		return NULL;
	start = (MfLogStart *) palloc(sizeof(MfLogStart));
	start->since = DatumGetTimestampTz(mf_result(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, NULL));
	start->owner.role = DatumGetObjectId(mf_result(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, NULL));
	start->owner.own = DatumGetBool(mf_result(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3, NULL));
	return start;
}

uint64
mf_inquiries_open_batch(const MfSqlScope *scope, MfOpenPosition *place)
{
	Datum		values[2];
	HeapTuple	row;

	values[0] = CStringGetTextDatum(NameStr(place->account));
	values[1] = TimestampTzGetDatum(place->sent_at);
	if (mf_sql_execute(scope, &plan_statement, values, NULL) == 0)
		return 0;
	row = SPI_tuptable->vals[0];
	namestrcpy(&place->account, TextDatumGetCString(mf_result(row, SPI_tuptable->tupdesc, 1, NULL)));
	place->sent_at = DatumGetTimestampTz(mf_result(row, SPI_tuptable->tupdesc, 2, NULL));
	return DatumGetInt64(mf_result(row, SPI_tuptable->tupdesc, 3, NULL));
}

uint64
mf_events_purge(const MfSqlScope *scope, TimestampTz before)
{
	Datum		value = TimestampTzGetDatum(before);

	return mf_sql_execute(scope, &purge_statement, &value, NULL);
}

void
mf_inquiries_open_sent(const MfSqlScope *scope, MfSentInvoice *sent, int count)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz due = DT_NOEND;

	if (mf_poll_limit > 0)
	{
		due = TimestampTzPlusMilliseconds(now, mf_poll_delay);
		mf_inquiries.due = mf_earlier(mf_inquiries.due, due);
	}
	if (mf_inquiries_open(scope, sent, count, due))
		mf_inquiry_wake();
	if (!mf_process_is_ours)
		mf_wake_inquiries_at_commit();
}
