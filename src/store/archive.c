/*
 * archive.c
 *	  Settled invoices of old move to mf_invoice_archive; no id is given again.
 *
 * A row moves as it is, and what hangs on it with it, in one column.  Lines of
 * mf_money stay: the books are one, and have all that a report needs.
 *
 * The archive has a partition for each month, and so no unique index over all.
 * What must stay unique is in mf_archive_key, too, which outlives them.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/archive.c
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "account/account.h"
#include "database/function_args.h"
#include "database/sql_array.h"
#include "process/metrics.h"
#include "store/archive.h"
#include "store/invoice.h"
#include "store/personal_data.h"
#include "store/table_rows.h"

/* At once in one statement */
#define BATCH_SIZE 1000

/* null is left out, but where it is a value: in what was changed, and in what came in */
#define LINES(table, order) \
	"(SELECT jsonb_strip_nulls(jsonb_agg(to_jsonb(l) - 'invoice' ORDER BY " order ")) FROM @" table " l WHERE l.invoice = o.id)"
#define LINES_WITH(column, table, order) \
	"(SELECT jsonb_agg(CASE WHEN l." column " IS NULL THEN jsonb_strip_nulls(to_jsonb(l) - 'invoice') " \
	"  ELSE jsonb_strip_nulls(to_jsonb(l) - '{invoice," column "}'::text[]) || jsonb_build_object('" column "', l." column ") END " \
	"  ORDER BY " order ") FROM @" table " l WHERE l.invoice = o.id)"
#define TAKE(name, table) name " AS (DELETE FROM @" table " l WHERE l.invoice = ANY ($1))"

#define ARCHIVABLE(row) MF_SETTLED(row) \
	"AND NOT EXISTS (SELECT FROM @mf_inquiry q WHERE q.invoice = " row ".id) " \
	"AND NOT EXISTS (SELECT FROM @mf_reaction_queue q WHERE q.invoice = " row ".id) "

/* along the primary key: rows that were inserted early stand first there */
static MfStatement lock_statement = {
	MF_IN_ORDER "SELECT i.id::int8 FROM @mf_invoice i WHERE i.id > $2 AND i.created_at < $1 AND " ARCHIVABLE("i")
	"ORDER BY i.id LIMIT $3 FOR UPDATE SKIP LOCKED",
	3, {TIMESTAMPTZOID, INT8OID, INT4OID}, NULL
};

/* once more: what does not change the row, such as a refund, may have come before it was locked */
static MfStatement archivable_statement = {
	"SELECT i.id::int8, i.created_at::timestamptz FROM @mf_invoice i WHERE i.id = ANY ($1) AND " ARCHIVABLE("i"),
	1, {INT8ARRAYOID}, NULL
};

#define KEY_COLUMNS "id, created_at, account, reference, idempotency_key, invoice_id, paid, taken_over_from"

/*
 * With the columns that the two tables have; a statement of its own: it sees the rows as they are since they were locked.
 * What is written is compared with what was to be written.
 */
#define MOVE \
	"WITH m AS MATERIALIZED (SELECT %s, clock_timestamp() AS archived_at, " \
	"    (SELECT coalesce(jsonb_object_agg(d.name, d.list) FILTER (WHERE d.list IS NOT NULL), '{}') FROM (VALUES " \
	"      ('attempts', " LINES("mf_attempt", "l.attempt") "), ('transitions', " LINES_WITH("changes", "mf_transition", "l.id") "), " \
	"      ('transactions', " LINES("mf_transaction", "l.payment_id") "), ('disputes', " LINES("mf_dispute_state", "l.dispute_id") "), " \
	"      ('events', " LINES_WITH("data", "mf_event", "l.id") ")) d(name, list)) AS detail " \
	"  FROM @mf_invoice o WHERE o.id = ANY ($1)), " \
	"n AS (INSERT INTO @mf_invoice_archive (%s, archived_at, detail) SELECT * FROM m RETURNING %s, archived_at, detail), " \
	"c AS MATERIALIZED (SELECT o.id, o.created_at, o.account, o.reference, o.idempotency_key, o.invoice_id, " \
	"    o.status = 'sent' AND o.payment_status NOT IN ('expired', 'remote_cancelled') AS paid, o.taken_over_from " \
	"  FROM @mf_invoice o WHERE o.id = ANY ($1)), " \
	"k AS (INSERT INTO @mf_archive_key (" KEY_COLUMNS ") SELECT * FROM c RETURNING " KEY_COLUMNS "), " \
	TAKE("a", "mf_attempt") ", " TAKE("h", "mf_transition") ", " TAKE("t", "mf_transaction") ", " TAKE("d", "mf_dispute_state") ", " \
	TAKE("e", "mf_event") ", " \
	"f AS (DELETE FROM @mf_invoice_number l USING @mf_invoice o WHERE o.id = ANY ($1) AND l.invoice_id = o.invoice_id AND l.invoice = o.id), " \
	"i AS (DELETE FROM @mf_invoice o WHERE o.id = ANY ($1) RETURNING 1) " \
	"SELECT w.name FROM (VALUES ('mf_invoice_archive', " MF_NOT_WRITTEN("m", "n") "), ('mf_archive_key', " MF_NOT_WRITTEN("c", "k") "), " \
	"  ('mf_invoice', cardinality($1) - (SELECT count(*) FROM i))) w(name, lines) WHERE w.lines <> 0"

static MfStatement move_statement = {NULL, 1, {INT8ARRAYOID}, NULL};

/*
 * Lines that moved and are still there.  They are looked for afterwards: the number of lines deleted would not do, because
 * another session may delete old events meanwhile, and add new ones.
 */
#define STAYED(table, list, key) \
	"SELECT '" table "' WHERE EXISTS (SELECT FROM @" table " l WHERE l.invoice = ANY ($1) AND (SELECT " \
	"  a.detail->'" list "' @@> jsonb_build_array(jsonb_build_object('" key "', l." key ")) " \
	"  FROM @mf_invoice_archive a WHERE a.id = l.invoice))"

static MfStatement stayed_statement = {
	STAYED("mf_attempt", "attempts", "attempt") " UNION ALL " STAYED("mf_transition", "transitions", "id") " UNION ALL "
	STAYED("mf_transaction", "transactions", "payment_id") " UNION ALL "
	STAYED("mf_dispute_state", "disputes", "dispute_id") " UNION ALL " STAYED("mf_event", "events", "id") " UNION ALL "
	"SELECT 'mf_invoice_number' WHERE EXISTS (SELECT FROM @mf_archive_key k, @mf_invoice_number l WHERE k.id = ANY ($1) "
	"  AND l.invoice_id = k.invoice_id AND l.invoice = k.id)",
	1, {INT8ARRAYOID}, NULL
};

/* what a user has hung on rows of mf_invoice would go with them, or keep them there */
static MfStatement referring_statement = {
	"SELECT format('%I.%I', n.nspname, c.relname) FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid "
	"  JOIN pg_namespace n ON n.oid = c.relnamespace WHERE k.contype = 'f' AND k.confrelid = $1 ORDER BY 1 LIMIT 1",
	1, {OIDOID}, NULL
};

static MfStatement unknown_column_statement = {
	"SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped "
	"  AND NOT EXISTS (SELECT FROM pg_attribute o WHERE o.attrelid = $2 AND o.attname = a.attname AND NOT o.attisdropped) LIMIT 1",
	2, {OIDOID, OIDOID}, NULL
};

static MfStatement columns_statement = {
	"SELECT string_agg(replace(quote_ident(a.attname), '@@', '@@@@'), ', ' ORDER BY a.attnum) FROM pg_attribute a "
	"WHERE a.attrelid = $1 AND a.attnum > 0 AND a.attnum < $3 AND NOT a.attisdropped AND NOT EXISTS (SELECT FROM pg_attribute t "
	"  WHERE t.attrelid = $2 AND t.attname = a.attname AND t.attgenerated <> '')",
	3, {OIDOID, OIDOID, INT4OID}, NULL
};

static MfStatement taken_statement = {
	"SELECT a.id::int8, a.what FROM new_rows n, LATERAL ("
	"  SELECT o.id, format('id %s', o.id) AS what FROM @mf_archive_key o WHERE o.id = n.id "
	"  UNION ALL SELECT o.id, format('reference \"%s\"', o.reference) FROM @mf_archive_key o WHERE o.reference = n.reference "
	"  UNION ALL SELECT o.id, format('idempotency_key \"%s\"', o.idempotency_key) FROM @mf_archive_key o "
	"    WHERE o.idempotency_key = n.idempotency_key AND o.account = n.account) a LIMIT 1",
	0, {0}, NULL
};

/*
 * What a deleted invoice has left under an id that a new row has.  Disputes have events, and refunds have a payment.
 * All ids are looked for at once, by their range, so that a statement costs a few probes whatever the number of its
 * rows.  Rows that are restored or moved back have lines of their own, and were created earlier.  A trigger of a user
 * may have edited or cancelled the new row before, and so written lines of this transaction.
 */
#define LEFT_IN(table) "SELECT l.invoice FROM @" table " l WHERE l.invoice BETWEEN r.low AND r.high"
#define GIVEN_NOW "FROM new_rows n WHERE n.created_at = now()"

#define LEFT(tables) \
	"WITH r AS MATERIALIZED (SELECT min(n.id) AS low, max(n.id) AS high " GIVEN_NOW ") " \
	"SELECT k.invoice::int8 FROM r CROSS JOIN LATERAL (" tables ") k WHERE (k.invoice IN (SELECT n.id " GIVEN_NOW ")) IS TRUE LIMIT 1"

static MfStatement left_statement = {
	LEFT(LEFT_IN("mf_money") " UNION ALL " LEFT_IN("mf_attempt") " UNION ALL " LEFT_IN("mf_transaction") " UNION ALL "
		 LEFT_IN("mf_event") " UNION ALL " LEFT_IN("mf_transition") " AND l.changed_at < now()"),
	0, {0}, NULL
};

/* A bill keeps its links, also after a TRUNCATE, and books what they have received. */
static MfStatement link_statement = {
	LEFT(LEFT_IN("mf_link")), 0, {0}, NULL
};

#define HIGHEST(column, table) "(SELECT max(l." column ") FROM @" table " l)"

static MfStatement highest_id_statement = {
	"SELECT greatest(" HIGHEST("id", "mf_invoice") ", " HIGHEST("id", "mf_archive_key") ", " HIGHEST("invoice", "mf_money") ", "
	HIGHEST("invoice", "mf_attempt") ", " HIGHEST("invoice", "mf_transition") ", " HIGHEST("invoice", "mf_transaction") ", "
	HIGHEST("invoice", "mf_event") ")::int8",
	0, {0}, NULL
};

static MfStatement highest_link_statement = {
	"SELECT coalesce(" HIGHEST("invoice", "mf_link") ", 0)::int8", 0, {0}, NULL
};

static MfStatement key_taken_statement = {
	"SELECT o.id::int8, format('idempotency_key \"%s\"', o.idempotency_key) FROM @mf_archive_key o "
	"WHERE o.idempotency_key = $2 AND o.account = $1 LIMIT 1",
	2, {TEXTOID, TEXTOID}, NULL
};

/* by whichever invoice */
static MfStatement any_key_taken_statement = {
	"SELECT FROM @mf_invoice o WHERE o.idempotency_key = $2 AND o.account = $1 "
	"UNION ALL SELECT FROM @mf_archive_key o WHERE o.idempotency_key = $2 AND o.account = $1",
	2, {TEXTOID, TEXTOID}, NULL
};

static TimestampTz before_argument(FunctionCallInfo fcinfo);
static int64 most_argument(FunctionCallInfo fcinfo);
static void check_table(const MfSqlScope *scope, Oid schema);
static bool move_batch(const MfSqlScope *scope, TimestampTz before, int most, int64 *place, int64 *moved);
static void refuse_taken(void);
static bool has_links(Oid schema);
static void refuse_given_again(const MfSqlScope *scope, int64 invoice);

PG_FUNCTION_INFO_V1(mf_archive);

/* Moves invoices that were inserted before a day, as many as are given at most; how many it has moved. */
Datum
mf_archive(PG_FUNCTION_ARGS)
{
	Oid			schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	TimestampTz before = before_argument(fcinfo);
	int64		most = most_argument(fcinfo);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "myfatoorah archive", ALLOCSET_DEFAULT_SIZES);
	MfSqlScope	scope;
	const char *columns;
	int64		moved = 0;
	int64		place = PG_INT64_MIN;
	bool		more;

	mf_require_read_committed("mf_archive()");
	mf_progress_report(MF_PROGRESS_ARCHIVE, 0, most);
	mf_sql_begin(&scope, schema);
	check_table(&scope, schema);
	columns = mf_archive_columns(&scope, "mf_invoice_archive", false);
	mf_archive_set_text(&move_statement, psprintf(MOVE, columns, columns, columns));
	MemoryContextSwitchTo(context);
	do
	{
		CHECK_FOR_INTERRUPTS();
		more = move_batch(&scope, before, (int) Min(most - moved, BATCH_SIZE), &place, &moved);
		mf_progress_report(MF_PROGRESS_ARCHIVE, moved, most);
		MemoryContextReset(context);
	} while (more && moved < most);
	mf_sql_end(&scope);
	mf_progress_end(MF_PROGRESS_ARCHIVE);
	PG_RETURN_INT64(moved);
}

/* The beginning of a day in the time zone of the session, which must not be ahead. */
static TimestampTz
before_argument(FunctionCallInfo fcinfo)
{
	TimestampTz before;

	mf_require_argument(fcinfo, 0, "before");
	if (DATE_NOT_FINITE(PG_GETARG_DATEADT(0)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("before must be a finite date"),
				 errhint("Give the day before which the invoices were inserted, such as current_date - 400.")));
	before = DatumGetTimestampTz(DirectFunctionCall1(date_timestamptz, PG_GETARG_DATUM(0)));
	if (before > GetCurrentTransactionStartTimestamp())
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("before must not be in the future"),
				 errhint("Give the day before which the invoices were inserted, such as current_date - 400.")));
	return before;
}

static int64
most_argument(FunctionCallInfo fcinfo)
{
	mf_require_argument(fcinfo, 1, "max_invoices");
	if (PG_GETARG_INT32(1) <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_invoices must be more than 0")));
	return PG_GETARG_INT32(1);
}

/* Nothing of a user's goes with the rows, and no column of theirs is left behind. */
static void
check_table(const MfSqlScope *scope, Oid schema)
{
	Datum		tables[2];

	tables[0] = ObjectIdGetDatum(get_relname_relid("mf_invoice", schema));
	tables[1] = ObjectIdGetDatum(get_relname_relid("mf_invoice_archive", schema));
	if (mf_sql_execute(scope, &referring_statement, tables, NULL) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("invoices cannot be archived"),
				 errdetail("Table %s refers to mf_invoice by a foreign key.",
						   mf_result_text(0, 1)),
				 errhint("Drop the foreign key; mf_invoice_all has the invoice under the same id.")));
	if (mf_sql_execute(scope, &unknown_column_statement, tables, NULL) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("invoices cannot be archived"),
				 errdetail("The column \"%s\" of mf_invoice is not one of mf_invoice_archive.",
						   mf_result_text(0, 1)),
				 errhint("Move what is in it to the column metadata, which is archived, and drop it.")));
}

char *
mf_archive_columns(const MfSqlScope *scope, const char *written, bool ours)
{
	Datum		values[] = {
		ObjectIdGetDatum(get_relname_relid("mf_invoice", scope->schema)),
		ObjectIdGetDatum(get_relname_relid(written, scope->schema)),
		Int32GetDatum(ours ? MF_IC_END : PG_INT32_MAX)
	};

	(void) mf_sql_execute(scope, &columns_statement, values, NULL);
	return mf_result_text(0, 1);
}

void
mf_archive_set_text(MfStatement *statement, const char *text)
{
	if (statement->text != NULL && strcmp(statement->text, text) == 0)
		return;
	if (statement->plan != NULL)
		mf_sql_retire(statement->plan);
	statement->plan = NULL;
	statement->text = MemoryContextStrdup(TopMemoryContext, text);
}

/*
 * Moves the first ones after that place, and moves the place forward; adds how many it has
 * moved.  Returns whether there may be more behind.
 */
static bool
move_batch(const MfSqlScope *scope, TimestampTz before, int most, int64 *place, int64 *moved)
{
	Datum		values[3] = {TimestampTzGetDatum(before), Int64GetDatum(*place), Int32GetDatum(most)};
	int			locked = (int) mf_sql_execute(scope, &lock_statement, values, NULL);
	TimestampTz *created_at = (TimestampTz *) palloc(Max(locked, 1) * sizeof(TimestampTz));
	Datum		ids;
	int			count;
	int			i;

	if (locked == 0)
		return false;
	*place = mf_result_int8(locked - 1, 1);
	ids = mf_result_int8_array();
	count = (int) mf_sql_execute(scope, &archivable_statement, &ids, NULL);
	for (i = 0; i < count; i++)
		created_at[i] = mf_result_timestamp(i, 2);
	ids = mf_result_int8_array();
	for (i = 0; i < count; i++)
		mf_archive_make_month(scope->schema, created_at[i]);
	mf_archive_move(scope, &move_statement, ids);
	mf_archive_move(scope, &stayed_statement, ids);
	*moved += count;
	return locked == most;
}

void
mf_archive_move(const MfSqlScope *scope, MfStatement *statement, Datum ids)
{
	if (mf_sql_execute(scope, statement, &ids, NULL) == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
			 errmsg("a trigger or rule has changed or suppressed what moves, in table \"%s\"",
					mf_result_text(0, 1)),
			 errdetail("Invoices are moved as they are."),
			 errhint("A BEFORE trigger on a table of this extension must return the row as it is.")));
}

bool
mf_archive_any(Oid schema)
{
	return mf_table_has_pages(schema, "mf_archive_key");
}

bool
mf_archive_has_rows(Oid schema)
{
	static MfStatement statement = {"SELECT FROM @mf_archive_key LIMIT 1", 0, {0}, NULL};
	MfSqlScope	scope;
	bool		found;

	if (!mf_archive_any(schema))
		return false;
	mf_sql_begin(&scope, schema);
	scope.latest = true;
	found = mf_sql_execute(&scope, &statement, NULL, NULL) > 0;
	mf_sql_end(&scope);
	return found;
}

void
mf_archive_check_insert(Oid schema, TriggerData *trigger)
{
	MfSqlScope	scope;

	mf_sql_begin(&scope, schema);
	scope.latest = true;
	if (SPI_register_trigger_data(trigger) != SPI_OK_TD_REGISTER)
		elog(ERROR, "could not register the new rows");
	if (mf_archive_any(schema) && mf_sql_execute(&scope, &taken_statement, NULL, NULL) > 0)
		refuse_taken();
	if (mf_sql_execute(&scope, &left_statement, NULL, NULL) > 0 ||
		(has_links(schema) && mf_sql_execute(&scope, &link_statement, NULL, NULL) > 0))
		refuse_given_again(&scope, mf_result_int8(0, 1));
	mf_sql_end(&scope);
}

void
mf_archive_check_key(Oid schema, Datum account, Datum key)
{
	MfSqlScope	scope;
	Datum		values[2] = {account, key};

	if (!mf_archive_any(schema))
		return;
	mf_sql_begin(&scope, schema);
	scope.latest = true;
	if (mf_sql_execute(&scope, &key_taken_statement, values, NULL) > 0)
		refuse_taken();
	mf_sql_end(&scope);
}

PG_FUNCTION_INFO_V1(mf_key_taken);

/* Tells those who may insert for the account, whom an INSERT with the key would tell, too. */
Datum
mf_key_taken(PG_FUNCTION_ARGS)
{
	char	   *name = mf_required_text(fcinfo, 1, "account");
	MfSqlScope	scope;
	Datum		values[2];
	bool		taken;

	if (PG_ARGISNULL(0))
		PG_RETURN_BOOL(false);
	mf_account_check_usage(mf_account_get(name), GetUserId());
	values[0] = PG_GETARG_DATUM(1);
	values[1] = PG_GETARG_DATUM(0);
	mf_sql_begin(&scope, get_func_namespace(fcinfo->flinfo->fn_oid));
	scope.in_query = true;
	taken = mf_sql_execute(&scope, &any_key_taken_statement, values, NULL) > 0;
	mf_sql_end(&scope);
	PG_RETURN_BOOL(taken);
}

static void
refuse_taken(void)
{

	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 errmsg("an archived invoice has the same %s", mf_result_text(0, 2)),
			 errdetail("It is invoice %lld.", (long long) mf_result_int8(0, 1)),
			 errhint("What was invoiced is not to be invoiced again; mf_invoice_all shows it, unless its month was dropped or detached.")));
}

static bool
has_links(Oid schema)
{
	return OidIsValid(mf_billing_table(schema, "mf_link")) && mf_table_has_pages(schema, "mf_link");
}

/* What the other invoice has received would be shown as received for this one. */
static void
refuse_given_again(const MfSqlScope *scope, int64 invoice)
{
	const char *table = quote_literal_cstr(quote_qualified_identifier(get_namespace_name(scope->schema), "mf_invoice"));
	int64		highest;

	(void) mf_sql_execute(scope, &highest_id_statement, NULL, NULL);
	highest = mf_result_int8(0, 1);
	if (has_links(scope->schema))
	{
		(void) mf_sql_execute(scope, &highest_link_statement, NULL, NULL);
		highest = Max(highest, mf_result_int8(0, 1));
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 errmsg("id %lld was that of another invoice", (long long) invoice),
			 errdetail("That one was deleted, and what is known of it, such as payments or its bill, is kept under this id."),
			 errhint("Leave the column out of an INSERT. If its sequence went back, this moves it past all ids that are known: SELECT setval(s, greatest(nextval(s), %lld)) FROM (SELECT pg_get_serial_sequence(%s, 'id')::regclass AS s) q",
					 (long long) highest, table)));
}
