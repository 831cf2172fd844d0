/*
 * recurring.c
 *	  SQL of recurring payments.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/recurring.c
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/encoding.h"
#include "base/log_event.h"
#include "core/text/json.h"
#include "core/text/text.h"
#include "database/sql_array.h"
#include "flow/round_items.h"
#include "flow/throttle.h"
#include "process/wait.h"
#include "request/request.h"
#include "store/inquiries.h"
#include "store/inquiries_open.h"
#include "store/invoice_number.h"
#include "store/recurring.h"

/* A row whose payment has begun a plan; it is of the account, which no index serves */
#define BEGINS_PLAN(row) row ".recurring_type IS NOT NULL AND " row ".account || '' = $1"

/*
 * An answer that had the RecurringId may have been lost.  Then a webhook tells which plan
 * began with which invoice, in signed members; or a repetition has the reference of the row.
 * A repetition that a person has taken over is known as one by its number in the list.
 */
static MfStatement tie_statement = {
	"WITH c AS MATERIALIZED (SELECT DISTINCT ON (c.id) c.id, c.recurring_id FROM ("
	"    SELECT i.id, n.recurring_id FROM unnest($2, $3) AS n(recurring_id, reference) JOIN @mf_invoice i "
	"      ON i.reference IS NOT NULL AND i.reference = n.reference WHERE " BEGINS_PLAN("i") " AND i.recurring_id IS NULL "
	"    UNION ALL SELECT i.id, e.data->'Recurring'->>'Id' FROM @mf_event e JOIN @mf_invoice i ON i.id = e.invoice "
	"      AND i.invoice_id = e.invoice_id WHERE e.account = $1 AND e.source IN ('webhook', 'log') AND e.due IS NOT NULL "
	"      AND e.event_code = 5 AND e.data->'Recurring'->>'Id' = ANY ($4) "
	"      AND " BEGINS_PLAN("i") " AND i.recurring_id IS NULL "
	"    UNION ALL SELECT r.id, n.recurring_id FROM unnest($2, $5) AS n(recurring_id, invoice_id) CROSS JOIN LATERAL ("
	"      SELECT i.id FROM " MF_HAVING_NUMBER("n.invoice_id::int8") " AND @mf_shares_numbers(i.account, i.taken_over_from, $1) "
	"        AND i.attempts = 0 AND i.recurring_id IS NULL AND i.recurring_type IS NULL) r) c ORDER BY c.id), "
	"l AS MATERIALIZED (SELECT i.id FROM @mf_invoice i WHERE i.id = ANY (ARRAY(SELECT c.id FROM c)) AND i.status = 'sent' "
	"  FOR NO KEY UPDATE SKIP LOCKED), "
	"u AS (UPDATE @mf_invoice i SET recurring_id = c.recurring_id FROM c JOIN l ON l.id = c.id "
	"  WHERE i.id = ANY (ARRAY(SELECT l.id FROM l)) AND i.id = c.id RETURNING 1) "
	"SELECT (SELECT count(*) FROM l) - (SELECT count(*) FROM u)",
	5, {TEXTOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID}, NULL
};

/* Repetitions that get a row in one round */
#define ROWS_MAX 500

/* When the list is read again for a repetition that a session is taking over */
#define TAKEN_MS 5000

/* those of plans that rows have begun, without a row, which may be archived, or of another account of the same address */
static MfStatement missing_statement = {
	"SELECT DISTINCT ON (n.invoice_id) n.recurring_id::text, n.invoice_id::text, n.listed::text, n.invoice_id::int8 = ANY ($5) "
	"FROM unnest($2, $3, $4) AS n(recurring_id, invoice_id, listed) "
	"WHERE EXISTS (SELECT FROM @mf_invoice i WHERE i.recurring_id IS NOT NULL AND i.recurring_id = n.recurring_id "
	"    AND " BEGINS_PLAN("i") ") "
	"  AND NOT EXISTS (SELECT FROM " MF_HAVING_NUMBER("n.invoice_id::int8") " AND @mf_shares_numbers(i.account, i.taken_over_from, $1)) "
	"  AND NOT EXISTS (SELECT FROM @mf_archive_key k WHERE k.invoice_id = n.invoice_id::int8 AND @mf_shares_numbers(k.account, k.taken_over_from, $1)) "
	"ORDER BY n.invoice_id",
	5, {TEXTOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, INT8ARRAYOID}, NULL
};

/* what a repetition has in common with the row that began the plan; who may see and change it, too */
#define COMMON(row) \
	row "account, " row "customer_name, " row "invoice_value, " row "customer_email, " row "customer_mobile, " \
	row "mobile_country_code, " row "display_currency_iso, " row "language, " row "customer_reference, " \
	row "customer_civil_id, " row "user_defined_field, " row "created_by, " row "created_by_id, " row "own_key, " \
	row "could_login, " row "could_insert, " row "currency, " row "recurring_id, " row "erased_at, " row "metadata"

/*
 * MyFatoorah is asked about each at once, and what comes in about it finds the row by its
 * InvoiceId.  A CustomerReference of its own in the list, which no source excludes, is the
 * row's reference, by which answers about it are known.  If repetitions share one, or have that
 * of the row which began the plan, their own reference begins with it: they are known by it even
 * when the row that has it is gone.
 */
static MfStatement insert_statement = {
	"WITH m AS MATERIALIZED (SELECT n.invoice_id::int8 AS invoice_id, f.id AS first, "
	"    CASE WHEN length(n.listed) BETWEEN 1 AND 100 AND row_number() OVER (PARTITION BY n.listed ORDER BY n.invoice_id) = 1 "
	"      AND NOT EXISTS (SELECT FROM @mf_invoice r WHERE r.reference IS NOT NULL AND r.reference = n.listed) "
	"      AND NOT EXISTS (SELECT FROM @mf_archive_key k WHERE k.reference = n.listed) THEN n.listed "
	"      ELSE concat(CASE WHEN length(n.listed) BETWEEN 1 AND 100 THEN n.listed ELSE f.reference END, '.', n.reference) END AS reference "
	"  FROM unnest($2, $3, $4, $5) AS n(recurring_id, invoice_id, reference, listed) CROSS JOIN LATERAL (SELECT i.id, i.reference FROM @mf_invoice i "
	"    WHERE i.recurring_id IS NOT NULL AND i.recurring_id = n.recurring_id AND " BEGINS_PLAN("i") " "
	"    ORDER BY i.id + 0 LIMIT 1) f), "
	"i AS (INSERT INTO @mf_invoice (" COMMON("") ", reference, invoice_id, status, sent_at, last_error, taken_over_from) "
	"  SELECT " COMMON("f.") ", m.reference, m.invoice_id, 'sent', clock_timestamp(), "
	"    'MyFatoorah charges the card by itself: there is no link', $6 "
	"  FROM m JOIN @mf_invoice f ON f.id = m.first AND f.id = ANY (ARRAY(SELECT m.first FROM m)) ORDER BY m.invoice_id "
	"  RETURNING id, account, invoice_id, recurring_id), "
	"h AS (INSERT INTO @mf_transition (invoice, changed_at, actor, from_status, to_status, attempt, reason) "
	"  SELECT i.id, clock_timestamp(), 'status reader', 'queued', 'sent', 0, 'a repetition of ' || i.recurring_id FROM i), "
	"q AS (INSERT INTO @mf_inquiry (invoice, account, due, urgent) SELECT i.id, i.account, clock_timestamp(), true FROM i "
	"  ORDER BY i.id) "
	"SELECT i.id::int8, m.invoice_id::int8 FROM m LEFT JOIN i ON i.invoice_id = m.invoice_id",
	6, {TEXTOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTOID}, NULL
};

/*
 * MyFatoorah's answers may lag some seconds behind its events.  So what asks for a change that
 * is not in the list yet asks again after about 1, 3, 10, 35 and 120 seconds.
 */
#define AGAIN(event) \
	"CASE WHEN clock_timestamp() - " event ".last_received_at BETWEEN interval '0' AND interval '2 min' THEN " \
	"  clock_timestamp() + greatest(interval '1.2 s', 2.4 * (clock_timestamp() - " event ".last_received_at)) END"

/* the plan of an event */
#define PLAN_OF(event) "coalesce(" event ".data->'Recurring'->>'Id', " event ".data->>'RecurringId')"

/*
 * An event has its answer once the repetition that it names is listed.  A plan asks again
 * when its next payment should be there, in case no webhook tells; each day until the payer
 * has begun it; and no more once it has ended, and no event of it waits for its repetition.
 * If one of $6 has a repetition without a row, all wait for that until $7.
 */
static MfStatement settle_statement = {
	"WITH p AS MATERIALIZED (SELECT DISTINCT ON (p.recurring_id) * FROM unnest($2, $3, $4) AS p(recurring_id, status, next_pay)), "
	"l AS MATERIALIZED (SELECT e.* FROM @mf_event e WHERE e.account = $1 AND e.source IN ('webhook', 'log', 'plan') "
	"  AND e.due IS NOT NULL AND e.event_code = 5 FOR NO KEY UPDATE SKIP LOCKED), "
	"w AS MATERIALIZED (SELECT l.id, " PLAN_OF("l") " AS plan, "
	"    CASE WHEN " PLAN_OF("l") " = ANY ($6) THEN $7 WHEN " MF_REPETITION_OF("l") " = ANY ($5) THEN NULL ELSE " AGAIN("l") " END AS due FROM l WHERE l.source <> 'plan'), "
	"d AS MATERIALIZED (SELECT w.id, w.due FROM w UNION ALL SELECT l.id, CASE "
	"    WHEN i.recurring_id = ANY ($6) THEN $7 WHEN i.id IS NULL THEN NULL "
	"    WHEN lower(p.status) IN ('completed', 'canceled') THEN (SELECT min(w.due) FROM w WHERE w.plan = i.recurring_id) "
	"    ELSE least(CASE WHEN l.deliveries > 1 THEN " AGAIN("l") " END, "
	"      CASE WHEN lower(p.status) = 'active' THEN greatest(p.next_pay, clock_timestamp()) + interval '12 h' "
	"        WHEN lower(p.status) = 'uncompleted' THEN clock_timestamp() + interval '7 days' "
	"        WHEN i.payment_status NOT IN ('expired', 'remote_cancelled') THEN clock_timestamp() + interval '1 day' END) END "
	"  FROM l LEFT JOIN @mf_invoice i ON i.id = l.invoice AND i.id = ANY (ARRAY(SELECT l.invoice FROM l WHERE l.source = 'plan')) "
	"    LEFT JOIN p ON p.recurring_id = i.recurring_id WHERE l.source = 'plan'), "
	"u AS (UPDATE @mf_event e SET due = d.due, answered_at = clock_timestamp(), lookups = 0, "
	/* mf_resume() has tried again at once what has a failure */
	"    failures = CASE WHEN d.due = $7 THEN 1 ELSE 0 END FROM d WHERE e.id = d.id RETURNING 1) "
	"SELECT (SELECT count(*) FROM d) - (SELECT count(*) FROM u)",
	7, {TEXTOID, TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZOID}, NULL
};

/* What a list names */
typedef struct Named
{
	MfArray		plans;			/* texts */
	MfArray		statuses;
	MfArray		next_pays;
	MfArray		repeated;		/* of each repetition: its plan, */
	MfArray		invoice_ids;	/* InvoiceId, */
	MfArray		references;		/* and CustomerReference */
} Named;

/* Repetitions that get a row in this round */
typedef struct NewRows
{
	MfArray		plans;
	MfArray		invoice_ids;
	MfArray		references;
	MfArray		listed;			/* CustomerReference in the list */
	bool		more;			/* there are others, for the next round */
	MfArray		waiting;		/* plans with others that cannot get one yet, */
	TimestampTz retry_at;		/* until then */
	Datum		left_out;		/* InvoiceIds of those that could not be written, an int8[] */
} NewRows;

static void read_plans(const MfAccount *account, const MfListResult *plans, Named *named);
static int	count_objects(const MfListResult *plans);
static void read_repetitions(const char *plan, const char *json, Named *named);
static void tie_plans(const MfSqlScope *scope, Datum account, Named *named);
static void find_missing(const MfSqlScope *scope, Datum account, MfArray *plans, MfArray *invoice_ids, MfArray *listed,
						 bool chosen, NewRows *rows);
static bool add_item(int64 invoice_id, int count);
static void settle(const MfSqlScope *scope, Datum account, Named *named, NewRows *rows);
static void insert_rows(const MfSqlScope *scope, const MfAccount *account, const char *base_url, NewRows *rows);

bool
mf_recurring_apply(const MfSqlScope *scope, const MfAccount *account, const char *base_url, const MfListResult *plans)
{
	Named		named;
	NewRows		rows;
	Datum		name = CStringGetTextDatum(account->name);

	read_plans(account, plans, &named);
	tie_plans(scope, name, &named);

	memset(&rows, 0, sizeof(rows));
	rows.left_out = mf_items_left_out(MF_ITEM_REPETITION, GetCurrentTimestamp(), &rows.retry_at);
	find_missing(scope, name, &named.repeated, &named.invoice_ids, &named.references, false, &rows);
	if (rows.plans.count > 0)
	{
		/* but for what was taken over before the locks */
		find_missing(scope, name, &rows.plans, &rows.invoice_ids, &rows.listed, true, &rows);
		insert_rows(scope, account, base_url, &rows);
	}
	if (!rows.more)
	{
		/* a session may have taken one over since, which is not missing then */
		tie_plans(scope, name, &named);
		settle(scope, name, &named, &rows);
	}
	return !rows.more;
}

/* Ties plans to the rows that have begun them, and repetitions that were taken over to their plans. */
static void
tie_plans(const MfSqlScope *scope, Datum account, Named *named)
{
	Datum		values[] = {
		account, mf_array_datum(&named->repeated, TEXTOID), mf_array_datum(&named->references, TEXTOID),
		mf_array_datum(&named->plans, TEXTOID), mf_array_datum(&named->invoice_ids, TEXTOID)
	};

	(void) mf_change(scope, &tie_statement, values, NULL);
}

/* Plans when the list is read next. */
static void
settle(const MfSqlScope *scope, Datum account, Named *named, NewRows *rows)
{
	Datum		values[] = {
		account, mf_array_datum(&named->plans, TEXTOID), mf_array_datum(&named->statuses, TEXTOID),
		mf_array_datum(&named->next_pays, TIMESTAMPTZOID), mf_array_datum(&named->invoice_ids, TEXTOID),
		mf_array_datum(&rows->waiting, TEXTOID), TimestampTzGetDatum(rows->retry_at)
	};

	(void) mf_change(scope, &settle_statement, values, rows->waiting.count > 0 ? NULL : "      n");
}

void
mf_recurring_put_off(const MfSqlScope *scope, const char *account, const MfEventNext *next)
{
	static MfStatement statement = {
		"WITH l AS MATERIALIZED (SELECT e.id FROM @mf_event e WHERE e.account = $1 AND e.event_code = 5 AND e.due < $3 "
		"  AND e.id <> $2 ORDER BY e.id FOR NO KEY UPDATE SKIP LOCKED), "
		"u AS (UPDATE @mf_event e SET due = $3, lookups = $4, failures = $5 FROM l WHERE e.id = l.id RETURNING 1) "
		"SELECT (SELECT count(*) FROM l) - (SELECT count(*) FROM u)",
		5, {TEXTOID, INT8OID, TIMESTAMPTZOID, INT4OID, INT4OID}, NULL
	};
	Datum		values[] = {
		CStringGetTextDatum(account), Int64GetDatum(next->event), TimestampTzGetDatum(next->due),
		Int32GetDatum(next->lookups), Int32GetDatum(next->failures)
	};

	(void) mf_change(scope, &statement, values, NULL);
}

int64
mf_recurring_unended(Oid schema, int64 invoice)
{
	static MfStatement statement = {
		"SELECT count(*) FROM @mf_event e WHERE e.invoice BETWEEN $1 AND $2 AND e.source = 'plan' AND e.due IS NOT NULL",
		2, {INT8OID, INT8OID}, NULL
	};
	Datum		values[] = {
		Int64GetDatum(invoice != 0 ? invoice : PG_INT64_MIN), Int64GetDatum(invoice != 0 ? invoice : PG_INT64_MAX)
	};

	return mf_count_alone(schema, &statement, values);
}

void
mf_recurring_read_soon(Oid schema, const char *account, const char *plan)
{
	static MfStatement statement = {
		"WITH l AS MATERIALIZED (SELECT e.id FROM @mf_event e WHERE e.source = 'plan' AND e.due IS NOT NULL "
		"    AND e.invoice = ANY (ARRAY(SELECT i.id FROM @mf_invoice i WHERE i.recurring_id IS NOT NULL AND i.recurring_id = $1 "
		"      AND i.recurring_type IS NOT NULL AND @mf_shares_numbers(i.account, NULL, $2))) FOR NO KEY UPDATE SKIP LOCKED), "
		"u AS (UPDATE @mf_event e SET due = clock_timestamp(), last_received_at = clock_timestamp(), deliveries = e.deliveries + 1 FROM l WHERE e.id = l.id RETURNING 1) "
		"SELECT (SELECT count(*) FROM l) - (SELECT count(*) FROM u)",
		2, {TEXTOID, TEXTOID}, NULL
	};
	Datum		values[] = {CStringGetTextDatum(plan), CStringGetTextDatum(account)};

	(void) mf_change_alone(schema, &statement, values, NULL);
}

/* Reads what the list names into arrays, palloc'd. */
static void
read_plans(const MfAccount *account, const MfListResult *plans, Named *named)
{
	int			objects = count_objects(plans);
	int			i;

	mf_array_init(&named->plans, Max(plans->row_count, 1));
	mf_array_init(&named->statuses, Max(plans->row_count, 1));
	mf_array_init(&named->next_pays, Max(plans->row_count, 1));
	mf_array_init(&named->repeated, objects);
	mf_array_init(&named->invoice_ids, objects);
	mf_array_init(&named->references, objects);
	for (i = 0; i < plans->row_count; i++)
	{
		char	   *const *values = mf_list_row(plans, i);
		const char *plan = mf_from_utf8_lossy(values[MF_RP_RECURRING_ID]);
		const char *next = values[MF_RP_NEXT_PAY_DATE];

		mf_array_add_text(&named->plans, plan);
		mf_array_add_text(&named->statuses, mf_from_utf8_lossy(values[MF_RP_RECURRING_STATUS]));
		mf_array_add_timestamp(&named->next_pays, next != NULL ? mf_account_timestamp(account, next) : 0);
		if (values[MF_RP_RECURRING_INVOICES] != NULL)
			read_repetitions(plan, values[MF_RP_RECURRING_INVOICES], named);
	}
}

/* At least as many as there are repetitions, and at least 1 */
static int
count_objects(const MfListResult *plans)
{
	int			count = 1;
	int			i;
	const char *p;

	for (i = 0; i < plans->row_count; i++)
	{
		for (p = mf_list_row(plans, i)[MF_RP_RECURRING_INVOICES]; p != NULL; p = strchr(p + 1, '{'))
			count++;
	}
	return count;
}

/* One without a number is left out: the others are no less true. */
static void
read_repetitions(const char *plan, const char *json, Named *named)
{
	cJSON	   *list = mf_json_parse(json, strlen(json), NULL, NULL);
	const cJSON *invoice;

	cJSON_ArrayForEach(invoice, list)
	{
		const char *number = mf_json_text(invoice, "InvoiceId");

		if (number == NULL || !mf_invoice_id_valid(number))
			continue;
		mf_array_add_text(&named->repeated, plan);
		mf_array_add_text(&named->invoice_ids, number);
		mf_array_add_text(&named->references, mf_from_utf8_lossy(mf_json_string(invoice, "CustomerReference")));
	}
	cJSON_Delete(list);
}

/*
 * Finds which of these repetitions have no row, and chooses those that get one in this
 * round, which are locked.  "chosen": those that it is given are.
 */
static void
find_missing(const MfSqlScope *scope, Datum account, MfArray *plans, MfArray *invoice_ids, MfArray *listed,
			 bool chosen, NewRows *rows)
{
	Datum		values[] = {
		account, mf_array_datum(plans, TEXTOID), mf_array_datum(invoice_ids, TEXTOID), mf_array_datum(listed, TEXTOID),
		rows->left_out
	};
	int			count = (int) mf_sql_execute(scope, &missing_statement, values, NULL);
	int			i;

	mf_array_init(&rows->plans, Max(count, 1));
	mf_array_init(&rows->invoice_ids, Max(count, 1));
	mf_array_init(&rows->references, Max(count, 1));
	mf_array_init(&rows->listed, Max(count, 1));
	if (!chosen)
		mf_array_init(&rows->waiting, Max(count, 1));
	for (i = 0; i < count; i++)
	{
		const char *plan = mf_result_text(i, 1);
		const char *number = mf_result_text(i, 2);
		bool		put_off = mf_result_bool(i, 4);

		/* sessions that take such an invoice over by mf_adopt() go first */
		if (put_off || !mf_number_lock(scope->schema, number, false))
		{
			mf_array_add_text(&rows->waiting, plan);
			if (!put_off)
				rows->retry_at = mf_earlier(rows->retry_at, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), TAKEN_MS));
			continue;
		}
		if (!chosen && !add_item(strtoll(number, NULL, 10), rows->plans.count))
		{
			rows->more = true;
			break;
		}
		mf_array_add_text(&rows->plans, plan);
		mf_array_add_text(&rows->invoice_ids, number);
		mf_array_add_text(&rows->listed, mf_result_text(i, 3));
		mf_array_add(&rows->references, PointerGetDatum(mf_new_reference(NULL, 0)));
	}
}

/*
 * Adds a repetition to the items of the round, which has "count" already.  False if there is
 * no room.  If the list is the only item, the repetition takes its place: a round of one item
 * finds out which repetition cannot be written, and that one is put off, not the list.
 */
static bool
add_item(int64 invoice_id, int count)
{
	if (mf_items_room(1) == 0 && mf_items_count() == 1 && count == 0)
		mf_items_remove_last();
	if (mf_items_room(1) == 0 || count == ROWS_MAX)
		return false;
	mf_items_add(MF_ITEM_REPETITION, invoice_id);
	return true;
}

/* Inserts a row for each, about which MyFatoorah is asked at once. */
static void
insert_rows(const MfSqlScope *scope, const MfAccount *account, const char *base_url, NewRows *rows)
{
	Datum		values[] = {
		CStringGetTextDatum(account->name), mf_array_datum(&rows->plans, TEXTOID),
		mf_array_datum(&rows->invoice_ids, TEXTOID), mf_array_datum(&rows->references, TEXTOID),
		mf_array_datum(&rows->listed, TEXTOID), CStringGetTextDatum(base_url)
	};
	int			count = (int) mf_sql_execute(scope, &insert_statement, values, NULL);
	MfSentInvoice *sent = (MfSentInvoice *) palloc0(Max(count, 1) * sizeof(MfSentInvoice));
	int			i;

	for (i = 0; i < count; i++)
	{
		bool		suppressed;

		(void) mf_result(i, 1, &suppressed);
		if (suppressed)
			mf_change_suppressed();
		sent[i].invoice = mf_result_int8(i, 1);
		sent[i].invoice_id = mf_result_int8(i, 2);
		sent[i].account = account->name;
	}
	if (count == 0)
		return;
	(void) mf_inquiries_open(scope, sent, count, GetCurrentTimestamp());
	ereport(LOG,
			(mf_log_event("repetitions_found",
						  "repetitions of recurring payments of account \"%s\" were found: %d", account->name, count)));
}
