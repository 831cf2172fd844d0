/*
 * deposits.c
 *	  SQL of deposits: asked for, claimed, read.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/deposits.c
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "account/account.h"
#include "base/compat.h"
#include "base/encoding.h"
#include "core/api/webhook.h"
#include "core/text/json.h"
#include "database/function_args.h"
#include "database/sql_array.h"
#include "flow/round_items.h"
#include "process/process.h"
#include "process/wakeup.h"
#include "store/deposits.h"
#include "store/events.h"
#include "store/inquiries.h"

/*
 * Accounts of one merchant, who has one address for webhooks and one deposit for all of them: at the same
 * address of MyFatoorah, with the same secret.
 */
#define OF_ONE_MERCHANT(account, other) \
	"(" account " = " other " OR (@mf_shares_numbers(" account ", NULL, " other ") AND @mf_shares_webhooks(" account ", " other ")))"
#define OF_MERCHANT(account) \
	"(SELECT s.srvname::text COLLATE \"C\" AS name FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw " \
	"  WHERE w.fdwname = 'myfatoorah' AND " OF_ONE_MERCHANT("s.srvname::text", account) " " \
	"  AND NOT EXISTS (SELECT FROM @mf_account a WHERE a.account = s.srvname::text AND a.paused_at IS NOT NULL))"

/*
 * A deposit that is asked for again keeps its items until the next answer.  An
 * announcement without an amount does not take away an earlier one, also of the same batch; nor does one of MyFatoorah's
 * log, which may be older than a webhook that came in.  A merchant's deposit is one row, whatever the account under
 * which it is asked for: a new one is that of the first by name.
 */
#define LATEST(column) "(array_agg(n." column " ORDER BY n.position DESC) FILTER (WHERE n." column " IS NOT NULL))[1] AS " column
#define NEWER(column) "coalesce(CASE WHEN NOT ($7)[1] THEN EXCLUDED." column " END, d." column ", EXCLUDED." column ")"
static MfStatement request_statement = {
	"WITH n AS MATERIALIZED (SELECT n.account, n.reference, n.supplier, " LATEST("value") ", " LATEST("count") ", "
	"    bool_or(n.announced) AS announced "
	"  FROM (SELECT coalesce((SELECT o.account FROM @mf_deposit_state o WHERE o.deposit_reference = n.reference "
	"        AND o.supplier_code = n.supplier AND " OF_ONE_MERCHANT("o.account", "n.account") " ORDER BY o.id LIMIT 1), "
	"      (SELECT min(m.name) FROM " OF_MERCHANT("n.account") " m), n.account) AS account, "
	"      n.reference, n.supplier, n.value, n.count, n.announced, n.position "
	"    FROM unnest($1, $2, $3, $4, $5, $6) WITH ORDINALITY "
	"    AS n(account, reference, supplier, value, count, announced, position)) n "
	"  GROUP BY n.account, n.reference, n.supplier), "
	"d AS (INSERT INTO @mf_deposit_state AS d (account, deposit_reference, supplier_code, announced_value, announced_count, "
	"    announced_at) "
	"  SELECT n.account, n.reference, n.supplier, n.value::numeric, n.count, CASE WHEN n.announced THEN clock_timestamp() END "
	"  FROM n ORDER BY n.account, n.reference, n.supplier "
	"  ON CONFLICT (account, deposit_reference, supplier_code) DO UPDATE SET status = 'queued', "
	"    announced_value = " NEWER("announced_value") ", announced_count = " NEWER("announced_count") ", "
	"    announced_at = coalesce(d.announced_at, EXCLUDED.announced_at), requested_at = clock_timestamp(), "
	"    times_requested = d.times_requested + 1, due = clock_timestamp(), lookups = 0, failures = 0, error = NULL "
	"  RETURNING d.id, d.account) "
	"SELECT (SELECT min(d.id) FROM d)::int8, (SELECT count(*) FROM n) - (SELECT count(*) FROM d), a.account::text "
	"FROM (SELECT DISTINCT d.account FROM d) a",
	7, {TEXTARRAYOID, TEXTARRAYOID, INT8ARRAYOID, TEXTARRAYOID, INT4ARRAYOID, BOOLARRAYOID, BOOLARRAYOID}, NULL
};

/* with the key of an open invoice of the account, as for events */
static MfStatement claim_statement = {
	MF_IN_ORDER "WITH c AS MATERIALIZED (SELECT d.id FROM @mf_deposit_state d WHERE d.account = $1 AND d.due <= $2 "
	"    AND d.id <> ALL ($4) ORDER BY d.due LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED), "
	"u AS (UPDATE @mf_deposit_state d SET due = $3 FROM c WHERE d.id = c.id "
	"  RETURNING d.id, d.account, d.deposit_reference, d.supplier_code, d.times_requested, d.lookups, d.failures) "
	"SELECT u.id::int8, u.deposit_reference::text, nullif(u.supplier_code, 0)::text, coalesce(k.created_by_id::oid, 0), "
	"  coalesce(k.own_key::bool, false), u.times_requested::int4, u.lookups::int4, u.failures::int4 "
	"FROM u LEFT JOIN LATERAL (" MF_OPEN_OF_ACCOUNT("u.account") ") k ON true",
	4, {TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8ARRAYOID}, NULL
};

static MfStatement lock_statement = {
	"SELECT greatest(d.announced_count, d.item_count, (d.announced_value > 0)::int4, 0)::int4 "
	"FROM @mf_deposit_state d WHERE d.id = $1 FOR NO KEY UPDATE SKIP LOCKED",
	1, {INT8OID}, NULL
};

static MfStatement delete_items_statement = {
	"DELETE FROM @mf_deposit_row r WHERE r.deposit = $1", 1, {INT8OID}, NULL
};

static MfStatement store_items_statement = {
	"INSERT INTO @mf_deposit_row (deposit, item, invoice_id, payment_id, payment_gateway, invoice_reference, "
	"  reference, created_date, paid_date, invoice_value, due_value, paid_currency, paid_currency_value, "
	"  total_service_charge, due_deposit) "
	"SELECT n.deposit, n.item, n.invoice_id::int8, n.payment_id, n.payment_gateway, n.invoice_reference, "
	"  n.reference, n.created_date, n.paid_date, n.invoice_value::numeric, n.due_value::numeric, n.paid_currency, "
	"  n.paid_currency_value::numeric, n.total_service_charge::numeric, n.due_deposit::numeric "
	"FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) "
	"  AS n(deposit, item, invoice_id, payment_id, payment_gateway, invoice_reference, reference, created_date, "
	"    paid_date, invoice_value, due_value, paid_currency, paid_currency_value, total_service_charge, due_deposit)",
	15, {INT8ARRAYOID, INT4ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
		TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
		TEXTARRAYOID}, NULL
};

/* the sums are of the rows as they are stored */
static MfStatement read_statement = {
	"WITH s AS (SELECT count(*) AS items, coalesce(sum(coalesce(r.due_value, r.invoice_value)), 0) AS gross, "
	"    coalesce(sum(r.total_service_charge), 0) AS charge, coalesce(sum(r.due_deposit), 0) AS itemised "
	"  FROM @mf_deposit_row r WHERE r.deposit = $1), "
	"u AS (UPDATE @mf_deposit_state d SET status = CASE WHEN d.times_requested = $2 THEN 'read' ELSE 'queued' END, "
	"    due = CASE WHEN d.times_requested <> $2 THEN clock_timestamp() END, "
	"    item_count = s.items, gross_value = s.gross, service_charge = s.charge, itemised_value = s.itemised, "
	"    currency = $3, deposit_date = $4, read_at = clock_timestamp(), lookups = 0, failures = 0, error = NULL "
	"  FROM s WHERE d.id = $1 RETURNING s.items) "
	"SELECT $5 - coalesce((SELECT u.items FROM u), -1)",
	5, {INT8OID, INT4OID, TEXTOID, TIMESTAMPTZOID, INT8OID}, NULL
};

/* another key of the merchant may read what this one may not */
static MfStatement next_statement = {
	"WITH u AS (UPDATE @mf_deposit_state d SET account = CASE WHEN $8 THEN coalesce((SELECT m.name FROM " OF_MERCHANT("d.account") " m "
	"      WHERE NOT EXISTS (SELECT FROM @mf_deposit_state o WHERE o.deposit_reference = d.deposit_reference "
	"        AND o.supplier_code = d.supplier_code AND o.account = m.name AND o.id <> d.id) "
	"      ORDER BY m.name <= d.account, m.name LIMIT 1), d.account) ELSE d.account END, "
	"    status = CASE WHEN d.times_requested = $2 AND $3 THEN 'failed' ELSE 'queued' END, "
	"    due = CASE WHEN d.times_requested = $2 THEN $4 ELSE clock_timestamp() END, "
	"    lookups = CASE WHEN d.times_requested = $2 THEN $5 ELSE 0 END, failures = $6, error = $7 "
	"  WHERE d.id = $1 RETURNING d.account) "
	"SELECT 1 - count(*), max(u.account)::text FROM u",
	8, {INT8OID, INT4OID, BOOLOID, TIMESTAMPTZOID, INT4OID, INT4OID, TEXTOID, BOOLOID}, NULL
};

static bool read_news(const MfEvent *event, MfDepositNews *news);
static void add_item(MfArray *columns, const MfDepositJob *job, int number, const MfAccount *account,
					 char *const *values);
static TimestampTz item_time(const MfAccount *account, const char *local);

PG_FUNCTION_INFO_V1(mf_read_deposit);

/* Adds what is to be asked for to the parameters of request_statement. */
static void
add_request(MfArray *columns, const char *account, const char *reference, int64 supplier_code,
			const MfDepositNews *news, bool from_log)
{
	mf_array_add_text(&columns[0], account);
	mf_array_add_text(&columns[1], reference);
	mf_array_add(&columns[2], Int64GetDatum(supplier_code));
	mf_array_add_text(&columns[3], news != NULL && news->value[0] != '\0' ? news->value : NULL);
	mf_array_add_nullable(&columns[4], Int32GetDatum(news != NULL ? news->count : 0), news == NULL || news->count < 0);
	mf_array_add(&columns[5], BoolGetDatum(news != NULL));
	mf_array_add(&columns[6], BoolGetDatum(from_log));
}

/* Returns the id, of several the first. */
static int64
request(const MfSqlScope *scope, MfArray *columns)
{
	uint64		rows = mf_columns_execute(scope, &request_statement, columns);
	uint64		row;

	if (rows == 0 || mf_result_int8(0, 2) != 0)
		mf_change_suppressed();
	for (row = 0; row < rows; row++)
		mf_account_hold_if_any(mf_result_text(row, 3));
	mf_news_at_commit(MF_NEWS_INQUIRIES);
	return mf_result_int8(0, 1);
}

void
mf_deposits_announce(const MfSqlScope *scope, const MfEvent *events, int count)
{
	MfArray    *columns = NULL;
	int			i;

	for (i = 0; i < count; i++)
	{
		MfDepositNews news;

		if (events[i].event_code != MF_EVENT_BALANCE_TRANSFERRED || events[i].repeated || !read_news(&events[i], &news))
			continue;
		if (columns == NULL)
			columns = mf_columns_start(&request_statement, count);
		add_request(columns, events[i].account, news.reference,
					news.supplier_code[0] != '\0' ? strtoll(news.supplier_code, NULL, 10) : 0, &news,
					strcmp(events[i].source, "log") == 0);
	}
	if (columns != NULL)
		(void) request(scope, columns);
}

/* What an event announces; its members are signed, or come from MyFatoorah itself. */
static bool
read_news(const MfEvent *event, MfDepositNews *news)
{
	const char *utf8 = event->data != NULL ? mf_to_utf8(event->data) : NULL;
	cJSON	   *data = utf8 != NULL ? mf_json_parse(utf8, strlen(utf8), NULL, NULL) : NULL;
	bool		found = data != NULL && mf_deposit_news_read(data, news);

	cJSON_Delete(data);
	return found;
}

MfDepositJob *
mf_deposits_claim(const MfSqlScope *scope, const char *account, TimestampTz now, TimestampTz lease)
{
	TimestampTz retry_at = 0;
	Datum		values[] = {
		CStringGetTextDatum(account), TimestampTzGetDatum(now), TimestampTzGetDatum(lease),
		mf_items_left_out(MF_ITEM_DEPOSIT, now, &retry_at)
	};
	MfDepositJob *job;

	if (mf_sql_execute(scope, &claim_statement, values, NULL) == 0)
		return NULL;
	job = (MfDepositJob *) palloc0(sizeof(MfDepositJob));
	job->id = mf_result_int8(0, 1);
	job->reference = mf_result_text(0, 2);
	job->supplier_code = mf_result_text(0, 3);
	job->owner.role = mf_result_oid(0, 4);
	job->owner.own = mf_result_bool(0, 5);
	job->times_requested = mf_result_int4(0, 6);
	job->lookups = mf_result_int4(0, 7);
	job->failures = mf_result_int4(0, 8);
	mf_items_add(MF_ITEM_DEPOSIT, job->id);
	return job;
}

bool
mf_deposits_lock(const MfSqlScope *scope, int64 id, int *expected)
{
	Datum		value = Int64GetDatum(id);

	if (mf_sql_execute(scope, &lock_statement, &value, NULL) == 0)
		return false;
	*expected = mf_result_int4(0, 1);
	return true;
}

void
mf_deposits_store(const MfSqlScope *scope, const MfDepositJob *job, const MfAccount *account,
				  const MfListResult *result)
{
	MfArray    *columns = mf_columns_start(&store_items_statement, Max(result->row_count, 1));
	TimestampTz date = result->row_count > 0 ? item_time(account, mf_list_row(result, 0)[MF_DI_DEPOSIT_DATE]) : 0;
	Datum		id = Int64GetDatum(job->id);
	Datum		values[] = {
		id, Int32GetDatum(job->times_requested), CStringGetTextDatum(account->currency), TimestampTzGetDatum(date),
		Int64GetDatum(result->row_count)
	};
	const char	nulls[] = {' ', ' ', ' ', date != 0 ? ' ' : 'n', ' '};
	int			i;

	(void) mf_sql_execute(scope, &delete_items_statement, &id, NULL);
	for (i = 0; i < result->row_count; i++)
		add_item(columns, job, i + 1, account, mf_list_row(result, i));
	if (result->row_count > 0)
		(void) mf_columns_execute(scope, &store_items_statement, columns);

	/* fewer or more rows than items: a trigger or rule of a user */
	(void) mf_sql_execute(scope, &read_statement, values, nulls);
	if (mf_result_int8(0, 1) != 0)
		mf_change_suppressed();
}

/* A time of an item; 0 if it has none */
static TimestampTz
item_time(const MfAccount *account, const char *local)
{
	return local != NULL ? mf_account_timestamp(account, local) : 0;
}

/* Adds an item to the parameters of store_items_statement. */
static void
add_item(MfArray *columns, const MfDepositJob *job, int number, const MfAccount *account, char *const *values)
{
	static const MfDepositField order[] = {
		MF_DI_INVOICE_ID, MF_DI_PAYMENT_ID, MF_DI_PAYMENT_GATEWAY, MF_DI_INVOICE_REFERENCE, MF_DI_CUSTOMER_REFERENCE,
		MF_DI_CREATED_DATE, MF_DI_PAID_DATE, MF_DI_INVOICE_VALUE, MF_DI_DUE_VALUE, MF_DI_PAID_CURRENCY,
		MF_DI_PAID_CURRENCY_VALUE, MF_DI_TOTAL_SERVICE_CHARGE, MF_DI_DUE_DEPOSIT
	};
	int			i;

	mf_array_add(&columns[0], Int64GetDatum(job->id));
	mf_array_add(&columns[1], Int32GetDatum(number));
	for (i = 0; i < (int) lengthof(order); i++)
	{
		const char *value = values[order[i]];

		if (mf_deposit_fields[order[i]].kind == MF_LOCAL_TIME)
			mf_array_add_timestamp(&columns[2 + i], item_time(account, value));
		else
			mf_array_add_text(&columns[2 + i], value != NULL ? mf_from_utf8_lossy(value) : NULL);
	}
}

void
mf_deposits_set_next(const MfSqlScope *scope, const MfDepositNext *next)
{
	Datum		values[] = {
		Int64GetDatum(next->id), Int32GetDatum(next->times_requested), BoolGetDatum(next->failed),
		TimestampTzGetDatum(next->due), Int32GetDatum(next->lookups), Int32GetDatum(Min(next->failures, PG_INT16_MAX)),
		next->error != NULL ? CStringGetTextDatum(next->error) : (Datum) 0, BoolGetDatum(next->elsewhere)
	};
	const char	nulls[] = {' ', ' ', ' ', next->due != 0 ? ' ' : 'n', ' ', ' ', next->error != NULL ? ' ' : 'n', ' '};

	(void) mf_sql_execute(scope, &next_statement, values, nulls);
	if (mf_result_int8(0, 1) != 0)
		mf_change_suppressed();
	if (next->elsewhere)
	{
		mf_process_limit_lock_waits();
		mf_account_hold_if_any(mf_result_text(0, 2));
	}
}

/* Has the worker read a deposit; returns its id. */
Datum
mf_read_deposit(PG_FUNCTION_ARGS)
{
	char	   *reference = mf_required_text(fcinfo, 0, "deposit_reference");
	const MfAccount *account = mf_account_hold(mf_required_text(fcinfo, 1, "account"));
	int64		supplier_code = PG_ARGISNULL(2) ? 0 : PG_GETARG_INT64(2);
	MfArray    *columns = mf_columns_start(&request_statement, 1);
	MfSqlScope	scope;
	int64		id;

	if (!mf_deposit_reference_valid(reference))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("deposit_reference is not the reference of a deposit"),
				 errdetail("It must have 1 to %d characters, without blanks, all of them ASCII.", MF_DEPOSIT_REFERENCE_MAX),
				 errhint("The portal shows it under Deposits, such as 2025000006.")));
	if (!PG_ARGISNULL(2) && supplier_code < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("supplier_code must be greater than zero"),
				 errhint("Leave it out for a deposit of the account itself.")));
	add_request(columns, account->name, reference, supplier_code, NULL, false);
	mf_sql_begin(&scope, get_func_namespace(fcinfo->flinfo->fn_oid));
	id = request(&scope, columns);
	mf_sql_end(&scope);
	PG_RETURN_INT64(id);
}
