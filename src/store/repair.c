/*
 * repair.c
 *	  What does not fit together: invoices without their work, work without its
 *	  account.
 *
 * The triggers of mf_invoice keep row and work together.  Whoever loads rows
 * without triggers (session_replication_role, pg_restore --disable-triggers)
 * leaves them without any, whoever changes rows or work without them leaves work
 * that does not fit its row, and whoever renames or drops a server leaves rows
 * that name an account which is not there.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/repair.c
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "account/account.h"
#include "account/send_time.h"
#include "base/compat.h"
#include "base/settings.h"
#include "database/function_args.h"
#include "database/sql_array.h"
#include "process/worker_slots.h"
#include "store/inquiries.h"
#include "store/invoice_number.h"
#include "store/queue_internal.h"
#include "store/queue_pause.h"
#include "store/repair.h"

#define UNFINISHED \
	"(i.status IN ('queued', 'sending', 'unknown', 'review') OR i.duplicate_suspected) " \
	"  AND NOT EXISTS (SELECT FROM @mf_queue q WHERE q.invoice = i.id)"
#define UNSENT MF_UNPAID("i") " AND i.invoice_id IS NULL"

/* What is open and not found by its InvoiceId, or, with polling, not asked about */
#define UNKNOWN(polling) \
	MF_OPEN("i") " AND (NOT " MF_IS_NUMBERED("i") \
	" OR (" polling " AND NOT EXISTS (SELECT FROM @mf_inquiry q WHERE q.invoice = i.id)))"

#define ASTRAY "q.account <> i.account"

/* What an entry of the agenda is by the row.  Nothing is sent before MyFatoorah was asked whether it has the invoice. */
#define KIND_BY_ROW "CASE i.status WHEN 'queued' THEN 'verify' WHEN 'sending' THEN 'sending' " \
	"WHEN 'unknown' THEN 'reconcile' ELSE 'review' END"
#define DUE_BY_ROW(wait) "CASE WHEN i.status = 'queued' THEN " MF_VERIFY_DUE("i.send_at", wait) \
	" WHEN i.status IN ('sending', 'unknown') THEN clock_timestamp() ELSE 'infinity' END"

/* The worker mends that when the entry is due, which it may never be. */
#define MISFIT "CASE i.status WHEN 'queued' THEN q.kind NOT IN ('send', 'verify') " \
	"WHEN 'sending' THEN q.kind <> 'sending' WHEN 'unknown' THEN q.kind <> 'reconcile' " \
	"WHEN 'review' THEN q.kind <> 'review' ELSE false END"

/* what waits for a time of the day may do so until the next day's end */
#define TIMED_OR(otherwise) "CASE WHEN q.step = " CppAsString2(MF_TIMED_STEP) " THEN interval '2 days' ELSE " otherwise " END"

/* by any back-off an entry is put off for an hour at most, look-ups by any setting for less than three days */
#define LATE "CASE i.status WHEN 'queued' THEN q.error IS NULL " \
	"    AND greatest(q.due, q.rank) > " MF_NOW_OR_LATER_PLUS("i.send_at", TIMED_OR("interval '2 hours'")) " " \
	"  WHEN 'sending' THEN greatest(q.due, q.rank) > clock_timestamp() + interval '3 days' " \
	"  WHEN 'unknown' THEN greatest(q.due, q.rank) > clock_timestamp() + interval '3 days' ELSE false END"

/* as where a row is restored: its role by name, since the number may be another server's */
#define ROLES_BY_NAME \
	"k AS (UPDATE @mf_invoice i SET created_by_id = coalesce(a.oid, 0) " \
	"  FROM r JOIN @mf_invoice o ON o.id = r.invoice LEFT JOIN pg_roles a ON a.rolname = o.created_by " \
	"  WHERE i.id = r.invoice AND i.created_by_id <> coalesce(a.oid, 0)) "

/* each entry with its row: the other way round all invoices would be read */
#define ENTRIES "@mf_queue q CROSS JOIN LATERAL (SELECT * FROM @mf_invoice o WHERE o.id = q.invoice OFFSET 0) i"

/* two looks by small indexes: whatever status says, what was sent is finished but for a suspicion */
static MfStatement damage_statement = {
	"SELECT (SELECT count(*) FROM @mf_invoice i WHERE " UNSENT " AND " UNFINISHED ") "
	"  + (SELECT count(*) FROM @mf_invoice i WHERE i.duplicate_suspected AND i.invoice_id IS NOT NULL AND " UNFINISHED "), "
	"  (SELECT count(*) FROM @mf_invoice i WHERE " UNKNOWN("$1") "), "
	"  (SELECT count(*) FROM @mf_queue q WHERE NOT EXISTS (SELECT FROM @mf_invoice i WHERE i.id = q.invoice)), "
	"  (SELECT count(*) FROM " ENTRIES " WHERE " ASTRAY " OR " MISFIT " OR " LATE ") "
	"  + (SELECT count(*) FROM @mf_inquiry q JOIN @mf_invoice i ON i.id = q.invoice WHERE " ASTRAY "), "
	"  (SELECT string_agg(c.relname::text, ', ' ORDER BY c.relname) FROM pg_catalog.pg_class c "
	"    WHERE c.relnamespace = $2 AND left(c.relname::text, 3) = 'mf_' AND c.relkind = 'r' AND c.relpersistence <> 'p')",
	2, {BOOLOID, OIDOID}, NULL
};

static MfStatement exists_statement = {
	"SELECT EXISTS (SELECT FROM @mf_invoice i WHERE " UNSENT " AND " UNFINISHED ") "
	"  OR EXISTS (SELECT FROM @mf_invoice i WHERE i.duplicate_suspected AND " UNFINISHED ") "
	"  OR EXISTS (SELECT FROM " ENTRIES " WHERE " MISFIT " OR " LATE ") "
	"  OR EXISTS (SELECT FROM @mf_invoice i WHERE " UNKNOWN("$1") ")",
	1, {BOOLOID}, NULL
};

static MfStatement agenda_statement = {
	"WITH r AS (INSERT INTO @mf_queue (invoice, account, kind, due, rank, promote, priority) "
	"  SELECT i.id, i.account, " KIND_BY_ROW ", d.due, " MF_RANK("d.due", "i.priority") ", " MF_PROMOTE("d.due", "i.priority") ", i.priority "
	"  FROM @mf_invoice i, LATERAL (SELECT " DUE_BY_ROW("$1") " AS due) d "
	"  WHERE " UNFINISHED " ON CONFLICT (invoice) DO NOTHING RETURNING invoice, kind), "
	ROLES_BY_NAME
	"SELECT r.kind::text, count(*) FROM r GROUP BY r.kind ORDER BY r.kind",
	1, {INT4OID}, NULL
};

static MfStatement inquiries_statement = {
	"WITH r AS (INSERT INTO @mf_inquiry (invoice, account, due) "
	"  SELECT i.id, i.account, clock_timestamp() FROM @mf_invoice i WHERE " MF_UNASKED("i") " ORDER BY i.id "
	"  ON CONFLICT (invoice) DO NOTHING RETURNING invoice), "
	ROLES_BY_NAME
	"SELECT 'inquiry', count(*) FROM r HAVING count(*) > 0",
	0, {0}, NULL
};

static MfStatement gone_statement = {
	"WITH q AS (DELETE FROM @mf_queue q WHERE NOT EXISTS (SELECT FROM @mf_invoice i WHERE i.id = q.invoice) RETURNING 1), "
	"p AS (DELETE FROM @mf_inquiry q WHERE NOT EXISTS (SELECT FROM @mf_invoice i WHERE i.id = q.invoice) RETURNING 1) "
	"SELECT 'gone', count(*) FROM (SELECT FROM q UNION ALL SELECT FROM p) g HAVING count(*) > 0",
	0, {0}, NULL
};

static MfStatement astray_statement = {
	"WITH n AS MATERIALIZED (SELECT i.id, i.account, i.priority, b.misfit, "
	"    CASE WHEN b.misfit THEN " KIND_BY_ROW " ELSE q.kind END AS kind, "
	"    CASE WHEN b.misfit THEN " DUE_BY_ROW("$1") " WHEN b.late AND i.status = 'queued' THEN greatest(i.send_at, clock_timestamp()) "
	"      WHEN b.late THEN clock_timestamp() ELSE q.due END AS due "
	"  FROM @mf_queue q JOIN @mf_invoice i ON i.id = q.invoice, LATERAL (SELECT " MISFIT " AS misfit, " LATE " AS late) b "
	"  WHERE " ASTRAY " OR b.misfit OR b.late), "
	"q AS (UPDATE @mf_queue q SET account = n.account, kind = n.kind, due = n.due, " MF_SET_RANK("n.due", "n.priority") ", "
	"    step = CASE WHEN n.misfit THEN 0 ELSE q.step END, error = CASE WHEN n.misfit THEN NULL ELSE q.error END "
	"  FROM n WHERE q.invoice = n.id RETURNING 1), "
	"p AS (UPDATE @mf_inquiry q SET account = i.account FROM @mf_invoice i WHERE i.id = q.invoice AND " ASTRAY " RETURNING 1) "
	"SELECT 'astray', count(*) FROM (SELECT FROM q UNION ALL SELECT FROM p) a HAVING count(*) > 0",
	1, {INT4OID}, NULL
};

static MfStatement additions_statement = {
	"SELECT a.kind, a.relation::text, a.name::text FROM @mf_addition a LIMIT $1",
	1, {INT4OID}, NULL
};

/* loose index scans: as many steps as there are accounts */
#define ACCOUNTS_OF(name, source, condition) \
	name " AS ((SELECT q.account FROM " source " q WHERE " condition " ORDER BY q.account LIMIT 1) UNION ALL " \
	"  SELECT (SELECT q.account FROM " source " q WHERE " condition " AND q.account > f.account " \
	"    ORDER BY q.account LIMIT 1) FROM " name " f WHERE f.account IS NOT NULL)"

static MfStatement lost_accounts_statement = {
	MF_IN_ORDER "WITH RECURSIVE " ACCOUNTS_OF("a", "@mf_queue", "true") ", " ACCOUNTS_OF("u", "@mf_inquiry", "q.urgent") ", "
	ACCOUNTS_OF("p", "@mf_inquiry", "NOT q.urgent")
	" SELECT string_agg(quote_literal(n.account), ', ' ORDER BY n.account) "
	"FROM (SELECT account FROM a UNION SELECT account FROM u UNION SELECT account FROM p) n "
	"WHERE n.account IS NOT NULL AND NOT EXISTS (SELECT FROM pg_foreign_server s "
	"  JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw "
	"  WHERE s.srvname::text = n.account AND w.fdwname = 'myfatoorah')",
	0, {0}, NULL
};

static MfStatement has_invoices_statement = {
	"SELECT FROM @mf_invoice WHERE account = $1 LIMIT 1", 1, {TEXTOID}, NULL
};

static MfStatement tell_rows_statement = {
	MF_IN_ORDER "UPDATE @mf_invoice i SET last_error = $2 "
	"FROM (SELECT o.id FROM @mf_queue q JOIN @mf_invoice o ON o.id = q.invoice "
	"  WHERE q.account = $1 AND q.rank <= clock_timestamp() AND o.status IN ('queued', 'unknown') "
	"    AND o.last_error IS DISTINCT FROM $2 ORDER BY q.rank, q.invoice LIMIT 200 FOR NO KEY UPDATE OF o SKIP LOCKED) n "
	"WHERE i.id = n.id",
	2, {TEXTOID, TEXTOID}, NULL
};

static MfStatement other_currency_statement = {
	"SELECT i.base_currency::text FROM @mf_inquiry q JOIN @mf_invoice i ON i.id = q.invoice "
	"WHERE q.account = $1 AND i.base_currency <> $2 LIMIT 1",
	2, {TEXTOID, TEXTOID}, NULL
};

/* a key that the new account has already stays taken there, by an archived invoice perhaps */
#define KEY_TAKEN(table) "EXISTS (SELECT FROM @" table " o WHERE o.idempotency_key = i.idempotency_key AND o.account = $2)"
#define MOVE_INVOICES(table) \
	"UPDATE @" table " i SET account = $2, idempotency_key = CASE WHEN NOT " KEY_TAKEN("mf_invoice") \
	"  AND NOT " KEY_TAKEN("mf_archive_key") " THEN i.idempotency_key END WHERE i.account = $1"

static MfStatement move_invoices_statement = {
	MOVE_INVOICES("mf_invoice"), 2, {TEXTOID, TEXTOID}, NULL
};

/* those of months that were dropped are counted, too: their keys name the account */
static MfStatement move_archive_statement = {
	"WITH k AS (" MOVE_INVOICES("mf_archive_key") " RETURNING i.id, i.created_at, i.idempotency_key), "
	"a AS (UPDATE @mf_invoice_archive a SET account = $2, idempotency_key = k.idempotency_key FROM k "
	"  WHERE a.id = k.id AND a.created_at = k.created_at) "
	"SELECT FROM k",
	2, {TEXTOID, TEXTOID}, NULL
};

static MfStatement move_agenda_statement = {
	"UPDATE @mf_queue SET account = $2 WHERE account = $1", 2, {TEXTOID, TEXTOID}, NULL
};

static MfStatement move_inquiries_statement = {
	"UPDATE @mf_inquiry SET account = $2 WHERE account = $1", 2, {TEXTOID, TEXTOID}, NULL
};

static MfStatement move_money_statement = {
	"UPDATE @mf_money SET account = $2 WHERE account = $1", 2, {TEXTOID, TEXTOID}, NULL
};

/* what came in under either name is one event */
static MfStatement move_events_statement = {
	"UPDATE @mf_event e SET account = $2 WHERE e.account = $1 "
	"  AND NOT EXISTS (SELECT FROM @mf_event o WHERE o.account = $2 AND o.digest = e.digest)",
	2, {TEXTOID, TEXTOID}, NULL
};

/* what was paused stays so */
static MfStatement move_pause_statement = {
	"INSERT INTO @mf_account AS a (account, paused_at, paused_by, reason) "
	"SELECT $2, o.paused_at, o.paused_by, o.reason FROM @mf_account o WHERE o.account = $1 AND o.paused_at IS NOT NULL "
	"ON CONFLICT (account) DO UPDATE SET paused_at = EXCLUDED.paused_at, paused_by = EXCLUDED.paused_by, "
	"  reason = EXCLUDED.reason WHERE a.paused_at IS NULL",
	2, {TEXTOID, TEXTOID}, NULL
};

static MfStatement pause_lost_statement = {
	"SELECT FROM @mf_account o WHERE o.account = $1 AND o.paused_at IS NOT NULL "
	"  AND NOT EXISTS (SELECT FROM @mf_account a WHERE a.account = $2 AND a.paused_at IS NOT NULL)",
	2, {TEXTOID, TEXTOID}, NULL
};

static uint64 add_rows(ReturnSetInfo *rsinfo, uint64 count);
static bool work_is_missing(const MfSqlScope *scope);
static void tell_damage(void *argument);

PG_FUNCTION_INFO_V1(mf_repair);
PG_FUNCTION_INFO_V1(mf_move_account);

/* Gives invoices their work back, takes away work without an invoice, and puts work under the account of its invoice; how many of each kind. */
Datum
mf_repair(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum		wait = Int32GetDatum(mf_verify_wait());
	MfSqlScope	scope;
	uint64		written;
	int			idle = 0;
	bool		missing;

	mf_start_rows(fcinfo);
	mf_sql_begin(&scope, get_func_namespace(fcinfo->flinfo->fn_oid));

	/* again if more was loaded meanwhile; what is left when twice there was nothing to write was suppressed */
	do
	{
		written = add_rows(rsinfo, mf_sql_execute(&scope, &astray_statement, &wait, NULL));
		written += add_rows(rsinfo, mf_sql_execute(&scope, &agenda_statement, &wait, NULL));
		written += add_rows(rsinfo, mf_number_repair(&scope));
		if (mf_poll_rate_limit > 0)
			written += add_rows(rsinfo, mf_sql_execute(&scope, &inquiries_statement, NULL, NULL));
		idle = written > 0 ? 0 : idle + 1;
		missing = work_is_missing(&scope);
	} while (missing && idle < 2);
	if (missing)
		mf_change_suppressed();
	(void) add_rows(rsinfo, mf_sql_execute(&scope, &gone_statement, NULL, NULL));
	mf_sql_end(&scope);
	mf_wake_worker_at_commit();
	mf_wake_inquiries_at_commit();
	return (Datum) 0;
}

/* Whether there are invoices without their work, or with work that does not fit. */
static bool
work_is_missing(const MfSqlScope *scope)
{
	Datum		polling = BoolGetDatum(mf_poll_rate_limit > 0);

	(void) mf_sql_execute(scope, &exists_statement, &polling, NULL);
	return DatumGetBool(mf_result(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, NULL));
}

/* Passes on the rows (kind, number) of the latest statement, and returns how many these are. */
static uint64
add_rows(ReturnSetInfo *rsinfo, uint64 count)
{
	uint64		i;

	for (i = 0; i < count; i++)
	{
		Datum		values[2];
		bool		nulls[2];

		values[0] = mf_result(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &nulls[0]);
		values[1] = mf_result(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2, &nulls[1]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return count;
}

bool
mf_repair_has_invoices(Oid schema, const char *account)
{
	MfSqlScope	scope;
	Datum		value = CStringGetTextDatum(account);
	bool		found;

	mf_sql_begin(&scope, schema);
	scope.latest = true;
	found = mf_sql_execute(&scope, &has_invoices_statement, &value, NULL) > 0;
	mf_sql_end(&scope);
	return found;
}

/* All that names an account which is gone names another one from then on; the number of its invoices. */
Datum
mf_move_account(PG_FUNCTION_ARGS)
{
	char	   *old_name = mf_required_text(fcinfo, 0, "old_account");
	char	   *new_name = mf_required_text(fcinfo, 1, "new_account");
	const MfAccount *account = mf_account_get(new_name);
	MfSqlScope	scope;
	Datum		values[2];
	int64		moved;

	mf_account_check_name(old_name);
	if (mf_account_exists(old_name))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("account \"%s\" exists", old_name),
				 errdetail("Its invoices are at MyFatoorah under its key."),
				 errhint("Only the invoices of an account whose server was renamed or dropped can be given to another one.")));

	mf_sql_begin(&scope, get_func_namespace(fcinfo->flinfo->fn_oid));
	values[0] = PG_GETARG_DATUM(0);
	values[1] = CStringGetTextDatum(account->currency);
	if (mf_sql_execute(&scope, &other_currency_statement, values, NULL) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("account \"%s\" cannot have the invoices of \"%s\"", new_name, old_name),
				 errdetail("It reckons in %s, and they are in %s.", account->currency,
						   TextDatumGetCString(mf_result(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, NULL))),
				 errhint("Name the account that they were made with, by whatever name its server has now.")));
	values[1] = PG_GETARG_DATUM(1);
	moved = (int64) mf_sql_execute(&scope, &move_invoices_statement, values, NULL);
	(void) mf_sql_execute(&scope, &move_agenda_statement, values, NULL);
	(void) mf_sql_execute(&scope, &move_inquiries_statement, values, NULL);
	(void) mf_sql_execute(&scope, &move_money_statement, values, NULL);
	moved += (int64) mf_sql_execute(&scope, &move_archive_statement, values, NULL);
	(void) mf_sql_execute(&scope, &move_events_statement, values, NULL);
	(void) mf_sql_execute(&scope, &move_pause_statement, values, NULL);
	if (mf_sql_execute(&scope, &pause_lost_statement, values, NULL) > 0)
		mf_change_suppressed();
	mf_sql_end(&scope);

	mf_queue_retry_account(get_func_namespace(fcinfo->flinfo->fn_oid), new_name, InvalidOid);
	mf_try_now_at_commit(MF_TRY_LACKING);
	mf_wake_inquiries_at_commit();
	PG_RETURN_INT64(moved);
}

MfDamage
mf_repair_find_damage(Oid schema)
{
	MemoryContext context = CurrentMemoryContext;
	Datum		values[2] = {BoolGetDatum(mf_poll_rate_limit > 0), ObjectIdGetDatum(schema)};
	MfDamage	damage = {0};
	MfSqlScope	scope;
	HeapTuple	row;
	TupleDesc	desc;
	Datum		unlogged;
	bool		none;

	mf_sql_begin(&scope, schema);
	(void) mf_sql_execute(&scope, &damage_statement, values, NULL);
	row = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	damage.unfinished = DatumGetInt64(mf_result(row, desc, 1, NULL));
	damage.unasked = DatumGetInt64(mf_result(row, desc, 2, NULL));
	damage.gone = DatumGetInt64(mf_result(row, desc, 3, NULL));
	damage.astray = DatumGetInt64(mf_result(row, desc, 4, NULL));
	unlogged = mf_result(row, desc, 5, &none);
	if (!none)
		damage.unlogged = MemoryContextStrdup(context, TextDatumGetCString(unlogged));
	mf_sql_end(&scope);
	return damage;
}

char *
mf_repair_lost_accounts(Oid schema)
{
	MemoryContext context = CurrentMemoryContext;
	MfSqlScope	scope;
	char	   *names = NULL;
	Datum		value;
	bool		isnull;

	mf_sql_begin(&scope, schema);
	(void) mf_sql_execute(&scope, &lost_accounts_statement, NULL, NULL);
	value = mf_result(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (!isnull)
		names = MemoryContextStrdup(context, TextDatumGetCString(value));
	mf_sql_end(&scope);
	return names;
}

List *
mf_repair_additions(Oid schema, int limit)
{
	MemoryContext context = CurrentMemoryContext;
	Datum		value = Int32GetDatum(limit);
	List	   *additions = NIL;
	MfSqlScope	scope;
	uint64		rows;
	uint64		i;

	mf_sql_begin(&scope, schema);
	rows = mf_sql_execute(&scope, &additions_statement, &value, NULL);
	MemoryContextSwitchTo(context);
	for (i = 0; i < rows; i++)
	{
		MfAddition *addition = (MfAddition *) palloc(sizeof(MfAddition));

		addition->kind = TextDatumGetCString(mf_result(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, NULL));
		addition->relation = TextDatumGetCString(mf_result(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2, NULL));
		addition->name = TextDatumGetCString(mf_result(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 3, NULL));
		additions = lappend(additions, addition);
	}
	mf_sql_end(&scope);
	return additions;
}

/* See repair.h.  What keeps the look from being taken keeps nobody from sending. */
void
mf_repair_log_damage(Oid schema)
{
	ErrorData  *error = mf_sql_try(tell_damage, &schema);

	if (error != NULL)
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 errmsg("it cannot be seen whether invoices are left for which nothing will be done: %s", mf_error_text(error)),
				 errhint("Mend the cause; mf_check() looks again.")));
}

static void
tell_damage(void *argument)
{
	Oid			schema = *(const Oid *) argument;
	MfSqlScope	scope;
	bool		found;
	char	   *names;

	mf_sql_begin(&scope, schema);
	found = work_is_missing(&scope);
	mf_sql_end(&scope);
	if (found)
		ereport(LOG,
				(errmsg("there are invoices that nothing will be done for"),
				 errdetail("They were loaded or changed without the triggers of mf_invoice, or sent while myfatoorah.poll_rate_limit was 0."),
				 errhint("SELECT * FROM mf_repair() puts them on the agenda.")));
	names = mf_repair_lost_accounts(schema);
	if (names != NULL)
		ereport(LOG,
				(errmsg("there are invoices of accounts that do not exist: %s", names),
				 errhint("If the server was renamed: SELECT mf_move_account('old name', 'new name').")));
}

void
mf_repair_note_account_error(const char *account, const char *error)
{
	MfSqlScope	scope;
	Datum		values[2];

	values[0] = CStringGetTextDatum(account);
	values[1] = CStringGetTextDatum(error);
	mf_sql_begin(&scope, mf_extension_schema());
	(void) mf_sql_execute(&scope, &tell_rows_statement, values, NULL);
	mf_sql_end(&scope);
}
