/*
 * repair.c
 *	  Finds and repairs invoices without agenda entries, and entries that do not fit.
 *
 * The triggers of mf_invoice keep invoices and their entries together.  Rows that
 * are loaded without triggers (session_replication_role, pg_restore
 * --disable-triggers) have no entries.  Rows that are changed without them have
 * entries that do not fit.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/repair.c
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

#include "account/account_option.h"
#include "base/log_event.h"
#include "base/settings.h"
#include "database/function_args.h"
#include "database/sql_array.h"
#include "process/metrics.h"
#include "process/wakeup.h"
#include "store/inquiries.h"
#include "store/invoice_number.h"
#include "store/operations.h"
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
	" OR (" polling " AND NOT EXISTS (SELECT FROM @mf_inquiry q WHERE q.invoice = i.id OFFSET 0)))"

#define ASTRAY "q.account <> i.account"

/* Kind and due time of a new entry, by the invoice.  Nothing is sent without a look-up. */
#define KIND_BY_ROW "CASE i.status WHEN 'queued' THEN 'verify' WHEN 'sending' THEN 'sending' " \
	"WHEN 'unknown' THEN 'reconcile' ELSE 'review' END"
#define DUE_BY_ROW(wait) "CASE WHEN i.status = 'queued' THEN " MF_VERIFY_DUE("i.send_at", wait) \
	" WHEN i.status IN ('sending', 'unknown') THEN clock_timestamp() ELSE 'infinity' END"

/* Whether the kind does not fit.  The worker corrects that when the entry is due, which may be never. */
#define MISFIT "CASE i.status WHEN 'queued' THEN q.kind NOT IN ('send', 'verify') " \
	"WHEN 'sending' THEN q.kind <> 'sending' WHEN 'unknown' THEN q.kind NOT IN ('reconcile', 'replay') " \
	"WHEN 'review' THEN q.kind <> 'review' ELSE false END"

/* each entry with its invoice; OFFSET 0 keeps the planner from reading all invoices */
#define WITH_INVOICE(table) table " q CROSS JOIN LATERAL (SELECT * FROM @mf_invoice o WHERE o.id = q.invoice OFFSET 0) i"
#define ENTRIES WITH_INVOICE("@mf_queue")

/*
 * What is due later than any rule makes it now: it was written while the clock was ahead, or
 * without the triggers of mf_invoice.  $1: now; $2: mf_verify_wait(); $3: the delay of polls.
 *
 * An entry waits for a send_at that its user gave.  Then what is to be sent is due, and a
 * look-up, which may have something sent again, after its first delay.  Nothing that waits
 * for the first time, and was written at a time that has not come, may be later.  What has waited may wait for the longest
 * delay of its kind; to judge that too short costs a question.
 */
#define LATE_ENTRIES \
	ENTRIES " CROSS JOIN LATERAL (SELECT greatest($1, " \
	"    CASE WHEN q.kind IN ('send', 'verify') AND i.send_at <> i.created_at THEN least(i.send_at, '" MF_TIME_END_TEXT "') END) " \
	"    + CASE q.kind WHEN 'send' THEN 0 ELSE $2 END * interval '1 ms' AS due) l " \
	"WHERE greatest(q.due, q.rank) > $1 AND q.kind <> 'review' AND i.status <> 'review' AND greatest(q.due, q.rank) > l.due " \
	"  + CASE WHEN i.created_at > $1 AND q.lookups = 0 AND q.error IS NULL AND q.kind <> 'watch' THEN interval '0' WHEN q.lookups = " CppAsString2(MF_LOOKUPS_TIMED) " THEN interval '2 days' " \
	"    ELSE CASE WHEN q.kind = 'watch' THEN 5200 WHEN q.lookups > 0 OR q.error IS NOT NULL THEN 72 WHEN q.kind = 'send' THEN 0 ELSE 12 END " \
	"      * $2 * interval '1 ms' END"

/*
 * What the clock that was ahead has called expired is asked about at once.  Most inquiries
 * are not late by the delays of open invoices, which are the shortest, so that few invoices are read.
 */
#define LATE_INQUIRIES \
	WITH_INVOICE("(SELECT * FROM @mf_inquiry WHERE due > $1 + interval '15 min' " \
	"    + CASE WHEN urgent THEN 0 ELSE ('{4,14,80,320}'::int4[])[least(answers, 3) + 1] END * $3 * interval '1 ms' " \
	"    + (failures + (error IS NOT NULL)::int4) * interval '1 h')") \
	" WHERE q.urgent OR i.payment_status IN ('unpaid', 'authorized') " \
	"  OR (i.payment_status = 'expired' AND coalesce(i.expires_at, i.expiry_date) > $1) " \
	"  OR q.due > $1 + interval '10 days' + (q.failures + (q.error IS NOT NULL)::int4) * interval '1 h'"

/* A recurring payment is asked about when its next one should be there. */
#define LATE_EVENTS \
	"@mf_event q WHERE q.due > $1 + CASE WHEN q.event_code = 5 THEN interval '1 year' ELSE interval '15 min' END + q.failures * interval '1 h'"
#define LATE_DEPOSITS "@mf_deposit_state q WHERE q.due > $1 + interval '7 h'"
#define LATE_OPERATIONS \
	"@mf_operation q WHERE q.due > $1 + CASE WHEN q.created_at > $1 THEN 2 * $2 * interval '1 ms' " \
	"  WHEN q.status = 'filed' THEN 14 * $3 * interval '1 ms' ELSE greatest(72 * $2 * interval '1 ms', interval '5 h') END " \
	"AND q.origin = @mf_origin()"

#define LATE_ARGUMENTS 3, {TIMESTAMPTZOID, INT8OID, INT8OID}, NULL
#define MAKE_DUE(table, key, due, late) \
	"(UPDATE " table " t SET due = " due " FROM (SELECT q." key " AS key FROM " late " FOR UPDATE OF q SKIP LOCKED) l " \
	"WHERE t." key " = l.key RETURNING 1)"

static MfStatement late_statement = {
	"WITH q AS (UPDATE @mf_queue t SET due = l.due, " MF_SET_RANK("l.due", "t.priority") " FROM (SELECT q.invoice, l.due "
	"  FROM " LATE_ENTRIES " FOR UPDATE OF q SKIP LOCKED) l WHERE t.invoice = l.invoice RETURNING 1), "
	"i AS " MAKE_DUE("@mf_inquiry", "invoice", "$1", LATE_INQUIRIES) ", "
	"e AS " MAKE_DUE("@mf_event", "id", "$1", LATE_EVENTS) ", "
	"d AS " MAKE_DUE("@mf_deposit_state", "id", "$1", LATE_DEPOSITS) ", "
	"o AS " MAKE_DUE("@mf_operation", "id", "$1 + $2 * interval '1 ms'", LATE_OPERATIONS) " "
	"SELECT 'late', count(*) FROM (SELECT FROM q UNION ALL SELECT FROM i UNION ALL SELECT FROM e UNION ALL SELECT FROM d "
	"  UNION ALL SELECT FROM o) l HAVING count(*) > 0",
	LATE_ARGUMENTS
};

static MfStatement count_late_statement = {
	"SELECT (SELECT count(*) FROM " LATE_ENTRIES ") + (SELECT count(*) FROM " LATE_INQUIRIES ") "
	"  + (SELECT count(*) FROM " LATE_EVENTS ") + (SELECT count(*) FROM " LATE_DEPOSITS ") + (SELECT count(*) FROM " LATE_OPERATIONS ")",
	LATE_ARGUMENTS
};

static MfStatement prepared_statement = {
	"SELECT max(prepared) FROM pg_prepared_xacts WHERE database = current_database()", 0, {0}, NULL
};

/* by two small indexes: an invoice with an InvoiceId is unfinished only if a duplicate is suspected */
static MfStatement damage_statement = {
	"SELECT (SELECT count(*) FROM @mf_invoice i WHERE " UNSENT " AND " UNFINISHED ") "
	"  + (SELECT count(*) FROM @mf_invoice i WHERE i.duplicate_suspected AND i.invoice_id IS NOT NULL "
	"    AND " UNFINISHED "), "
	"  (SELECT count(*) FROM @mf_invoice i WHERE " UNKNOWN("$1") "), "
	"  (SELECT count(*) FROM @mf_queue q WHERE NOT EXISTS (SELECT FROM @mf_invoice i WHERE i.id = q.invoice)), "
	"  (SELECT count(*) FROM " ENTRIES " WHERE " ASTRAY " OR " MISFIT ") "
	"  + (SELECT count(*) FROM @mf_inquiry q JOIN @mf_invoice i ON i.id = q.invoice WHERE " ASTRAY "), "
	"  (SELECT string_agg(c.relname::text, ', ' ORDER BY c.relname) FROM pg_catalog.pg_class c "
	"    WHERE c.relnamespace = $2 AND left(c.relname::text, 3) = 'mf_' AND c.relkind = 'r' "
	"      AND c.relpersistence <> 'p')",
	2, {BOOLOID, OIDOID}, NULL
};

/* $2: how many unpaid invoices are looked at, from the end of their index; NULL = all */
static MfStatement missing_statement = {
	MF_IN_ORDER "SELECT EXISTS (SELECT FROM @mf_invoice i WHERE i.duplicate_suspected AND " UNFINISHED ") "
	"  OR EXISTS (SELECT FROM " ENTRIES " WHERE " MISFIT ") "
	"  OR EXISTS (SELECT FROM (SELECT * FROM @mf_invoice o WHERE " MF_UNPAID("o") " "
	"    ORDER BY o.account COLLATE \"C\" DESC, o.id DESC LIMIT $2) i "
	"    WHERE (" UNSENT " AND " UNFINISHED ") OR (" UNKNOWN("$1") "))",
	2, {BOOLOID, INT8OID}, NULL
};

static MfStatement agenda_statement = {
	"WITH r AS (INSERT INTO @mf_queue (invoice, account, kind, due, rank, promote, priority) "
	"  SELECT i.id, i.account, " KIND_BY_ROW ", d.due, " MF_RANK("d.due", "i.priority") ", "
	"    " MF_PROMOTE("d.due", "i.priority") ", i.priority "
	"  FROM @mf_invoice i, LATERAL (SELECT " DUE_BY_ROW("$1") " AS due) d "
	"  WHERE " UNFINISHED " ON CONFLICT (invoice) DO NOTHING RETURNING invoice, kind), "
	MF_ROLES_BY_NAME
	"SELECT r.kind::text, count(*) FROM r GROUP BY r.kind ORDER BY r.kind",
	1, {INT4OID}, NULL
};

/* these may be rows of this database, sent without polling */
static MfStatement inquiries_statement = {
	"WITH r AS (INSERT INTO @mf_inquiry (invoice, account, due) "
	"  SELECT i.id, i.account, clock_timestamp() FROM @mf_invoice i WHERE " MF_UNASKED("i") " ORDER BY i.id "
	"  ON CONFLICT (invoice) DO NOTHING RETURNING 1) "
	"SELECT 'inquiry', count(*) FROM r HAVING count(*) > 0",
	0, {0}, NULL
};

static MfStatement gone_statement = {
	"WITH q AS (DELETE FROM @mf_queue q WHERE NOT EXISTS (SELECT FROM @mf_invoice i WHERE i.id = q.invoice) "
	"  RETURNING 1), "
	"p AS (DELETE FROM @mf_inquiry q WHERE NOT EXISTS (SELECT FROM @mf_invoice i WHERE i.id = q.invoice) RETURNING 1) "
	"SELECT 'gone', count(*) FROM (SELECT FROM q UNION ALL SELECT FROM p) g HAVING count(*) > 0",
	0, {0}, NULL
};

/*
 * The worker may be at work on these entries: what is read of an entry and its invoice is what
 * both are once they are locked, in the order in which users lock them.
 */
static MfStatement astray_statement = {
	"WITH n AS MATERIALIZED (SELECT i.id, i.account, i.priority, " MISFIT " AS misfit, "
	"    CASE WHEN " MISFIT " THEN " KIND_BY_ROW " ELSE q.kind END AS kind, "
	"    CASE WHEN " MISFIT " THEN " DUE_BY_ROW("$1") " ELSE q.due END AS due "
	"  FROM @mf_invoice i JOIN @mf_queue q ON q.invoice = i.id WHERE " ASTRAY " OR " MISFIT " ORDER BY i.id "
	"  FOR NO KEY UPDATE OF i FOR UPDATE OF q), "
	"q AS (UPDATE @mf_queue q SET account = n.account, kind = n.kind, "
	"  due = n.due, " MF_SET_RANK("n.due", "n.priority") ", "
	"    lookups = CASE WHEN n.misfit THEN 0 ELSE q.lookups END, error = CASE WHEN n.misfit THEN NULL ELSE q.error END "
	"  FROM n WHERE q.invoice = n.id RETURNING 1), "
	"p AS (UPDATE @mf_inquiry q SET account = i.account FROM @mf_invoice i WHERE i.id = q.invoice AND " ASTRAY " "
	"  RETURNING 1) "
	"SELECT 'astray', count(*) FROM (SELECT FROM q UNION ALL SELECT FROM p) a HAVING count(*) > 0",
	1, {INT4OID}, NULL
};

/* loose index scans: as many steps as there are accounts */
#define ACCOUNTS_OF(name, source, condition) \
	name " AS ((SELECT q.account FROM " source " q WHERE " condition " ORDER BY q.account LIMIT 1) UNION ALL " \
	"  SELECT (SELECT q.account FROM " source " q WHERE " condition " AND q.account > f.account " \
	"    ORDER BY q.account LIMIT 1) FROM " name " f WHERE f.account IS NOT NULL)"

static MfStatement lost_accounts_statement = {
	MF_IN_ORDER "WITH RECURSIVE " ACCOUNTS_OF("a", "@mf_queue", "true") ", " ACCOUNTS_OF("u", "@mf_inquiry", "q.urgent AND q.ordered_by = 0") ", "
	ACCOUNTS_OF("r", "@mf_inquiry", "q.urgent AND q.ordered_by <> 0") ", "
	ACCOUNTS_OF("p", "@mf_inquiry", "NOT q.urgent") ", " ACCOUNTS_OF("o", "@mf_operation", "q.due IS NOT NULL")
	" SELECT string_agg(quote_literal(n.account), ', ' ORDER BY n.account) "
	"FROM (SELECT account FROM a UNION SELECT account FROM u UNION SELECT account FROM r "
	"  UNION SELECT account FROM p UNION SELECT account FROM o) n "
	"WHERE n.account IS NOT NULL AND NOT EXISTS (SELECT FROM pg_foreign_server s "
	"  JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw "
	"  WHERE s.srvname::text = n.account AND w.fdwname = 'myfatoorah')",
	0, {0}, NULL
};

/* what came in under the name counts for the account that has it, and webhooks still come in under a former one */
static MfStatement is_named_statement = {
	"(SELECT FROM @mf_invoice WHERE account = $1 LIMIT 1) UNION ALL (SELECT FROM @mf_event WHERE account = $1 LIMIT 1) "
	"UNION ALL SELECT FROM @mf_account WHERE account = $1 AND renamed_to IS NOT NULL AND renamed_to IS DISTINCT FROM $2",
	2, {TEXTOID, TEXTOID}, NULL
};

/* webhooks about disputes count without a question, and whoever had the name before may have signed them */
static MfStatement forget_disputes_statement = {
	"DELETE FROM @mf_event WHERE account = $1 AND event_code = 6 AND invoice IS NULL", 1, {TEXTOID}, NULL
};

static MfStatement note_error_statement = {
	MF_IN_ORDER "UPDATE @mf_invoice i SET last_error = $2 "
	"FROM (SELECT o.id FROM @mf_queue q JOIN @mf_invoice o ON o.id = q.invoice "
	"  WHERE q.account = $1 AND q.rank <= clock_timestamp() AND o.status IN ('queued', 'unknown') "
	"    AND o.last_error IS DISTINCT FROM $2 ORDER BY q.rank, "
	"      q.invoice LIMIT 200 FOR NO KEY UPDATE OF o SKIP LOCKED) n "
	"WHERE i.id = n.id",
	2, {TEXTOID, TEXTOID}, NULL
};

/* Of mf_repair(), as mf_progress counts them */
#define STEPS 6

/* A start of the worker looks at this many unpaid invoices: of millions it would send nothing for minutes. */
#define LOOKED_AT_START 10000

static uint64 repair(const MfSqlScope *scope, FunctionCallInfo fcinfo);
static bool work_is_missing(const MfSqlScope *scope, int64 limit);
static void log_damage(void *argument);
static uint64 run_late(const MfSqlScope *scope, MfStatement *statement);

PG_FUNCTION_INFO_V1(mf_repair);

/*
 * Row types that everybody may use.  An installation leaves them to nobody but our roles:
 * whoever may use a row type may make a table with a column of it, which then keeps our
 * table from being changed.  No dump has these rights.  So pg_upgrade, which restores the
 * members of an extension one by one, loses them.
 */
#define OPEN_TYPES \
	"FROM pg_catalog.pg_type t JOIN pg_catalog.pg_class c ON c.oid = t.typrelid " \
	"JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e' " \
	"JOIN pg_catalog.pg_extension e ON d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.refobjid = e.oid " \
	"WHERE e.extname IN ('" MF_EXTENSION "', '" MF_EXTENSION "_billing') AND c.relkind IN ('r', 'p', 'v') AND EXISTS (SELECT FROM " \
	"  pg_catalog.aclexplode(coalesce(t.typacl, pg_catalog.acldefault('T', t.typowner))) a WHERE a.grantee = 0)"

static MfStatement count_statement = {
	"SELECT count(*) " OPEN_TYPES, 0, {0}, NULL
};

static MfStatement types_statement = {
	"SELECT format('REVOKE ALL ON TYPE %s.%I FROM PUBLIC', c.relnamespace::regnamespace, t.typname), t.typowner " OPEN_TYPES " ORDER BY t.typname",
	0, {0}, NULL
};

static MfStatement result_statement = {
	"SELECT $2, $1 WHERE $1 > 0", 2, {INT8OID, TEXTOID}, NULL
};

/*
 * Our columns with OIDs of roles.  Where there are rows of several databases or a subscription
 * brought them, each is set by the name beside it, or emptied if there is none.  A database
 * that was moved as a whole, as by pg_upgrade, has one home and its roles: there the OID is
 * right, and the name may be a former one.
 */
#define COLUMNS_OF_ROLES(columns) \
	"FROM pg_extension e JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e' " \
	"  AND d.classid = 'pg_class'::regclass JOIN pg_class c ON c.oid = d.objid AND c.relkind IN ('r', 'p') " \
	"  JOIN pg_namespace n ON n.oid = c.relnamespace " \
	"  JOIN pg_attribute a ON a.attrelid = c.oid AND a.atttypid = 'oid'::regtype AND a.attname IN (" columns ") " \
	"  LEFT JOIN pg_attribute b ON b.attrelid = c.oid AND b.attname = 'created_by' AND a.attname = 'created_by_id' " \
	"WHERE e.extname IN ('" MF_EXTENSION "', '" MF_EXTENSION "_billing') AND "
#define ROLES_OF_OTHERS \
	"((SELECT count(DISTINCT here) > 1 FROM @mf_home) OR EXISTS (SELECT FROM @mf_all_paused WHERE account <> '" MF_ALL_ACCOUNTS "'))"

static MfStatement roles_statement = {
	"SELECT format('UPDATE %1$s t SET %2$I = %3$s WHERE %2$I <> %3$s', format('%I.%I', n.nspname, c.relname), a.attname, "
	"  CASE WHEN b.attname IS NULL THEN '0' ELSE 'coalesce(pg_catalog.to_regrole(pg_catalog.quote_ident(t.created_by))::oid, 0)' END), c.relowner "
	COLUMNS_OF_ROLES("'created_by_id', 'ordered_by'") ROLES_OF_OTHERS " ORDER BY c.relname",
	0, {0}, NULL
};

/*
 * Rows that were loaded without triggers nor mf_home have the name only to tell whose they are.  mf_repair() has found the roles of
 * those with a place on the agenda or an InvoiceId.  Of the others those keep their name that have no history here.
 */
#define OF_HERE \
	"(t.invoice_id IS NOT NULL OR EXISTS (SELECT FROM %1$I.mf_queue q WHERE q.invoice = t.id) " \
	"OR EXISTS (SELECT FROM %1$I.mf_transition h WHERE h.invoice = t.id) OR EXISTS (SELECT FROM %1$I.mf_attempt h WHERE h.invoice = t.id))"
static MfStatement names_statement = {
	"SELECT format('UPDATE %1$I.%2$I t SET created_by = a.rolname FROM pg_catalog.pg_roles a WHERE a.oid = t.created_by_id AND a.rolname <> t.created_by' "
	"  || CASE c.relname WHEN 'mf_invoice' THEN ' AND " OF_HERE "' ELSE '' END, "
	"  n.nspname, c.relname), c.relowner " COLUMNS_OF_ROLES("'created_by_id'") "NOT " ROLES_OF_OTHERS " ORDER BY c.relname",
	0, {0}, NULL
};

static int64 count_open_types(const MfSqlScope *scope);
static void close_types(const MfSqlScope *scope);
static void name_roles(const MfSqlScope *scope);
static uint64 run_on_roles(const MfSqlScope *scope, MfStatement *statement);
static uint64 run_commands(const MfSqlScope *scope, MfStatement *statement, uint64 *rows);
static uint64 run(Oid owner, const char *command);

/*
 * Makes missing entries and inquiries, corrects those that do not fit, and deletes
 * those without an invoice; rights that pg_upgrade has lost, and former names of roles.
 * Returns rows (kind, number).
 */
Datum
mf_repair(PG_FUNCTION_ARGS)
{
	MfSqlScope	scope;
	int			idle = 0;
	bool		missing;

	mf_start_rows(fcinfo);
	mf_sql_begin(&scope, get_func_namespace(fcinfo->flinfo->fn_oid));
	mf_queue_pause_restored(scope.schema);

	/* repeated if more was loaded meanwhile; if nothing was written twice, a trigger suppresses what is left */
	do
	{
		idle = repair(&scope, fcinfo) > 0 ? 0 : idle + 1;
		mf_progress_report(MF_PROGRESS_REPAIR, 4, STEPS);
		missing = work_is_missing(&scope, 0);
	} while (missing && idle < 2);
	if (missing)
		mf_change_suppressed();
	mf_progress_report(MF_PROGRESS_REPAIR, 5, STEPS);
	(void) run_late(&scope, &late_statement);
	(void) mf_return_rows(fcinfo);
	(void) mf_sql_execute(&scope, &gone_statement, NULL, NULL);
	(void) mf_return_rows(fcinfo);
	mf_operations_repair(&scope);
	(void) mf_return_rows(fcinfo);
	close_types(&scope);
	(void) mf_return_rows(fcinfo);
	name_roles(&scope);
	(void) mf_return_rows(fcinfo);
	mf_sql_end(&scope);
	mf_progress_end(MF_PROGRESS_REPAIR);
	mf_wake_worker_at_commit();
	mf_news_at_commit(MF_NEWS_INQUIRIES);
	return (Datum) 0;
}

/* Repairs what is there now; returns the number of kinds that were found. */
static uint64
repair(const MfSqlScope *scope, FunctionCallInfo fcinfo)
{
	Datum		wait = Int32GetDatum(mf_verify_wait());
	uint64		written;

	mf_progress_report(MF_PROGRESS_REPAIR, 0, STEPS);
	(void) mf_sql_execute(scope, &astray_statement, &wait, NULL);
	written = mf_return_rows(fcinfo);
	mf_progress_report(MF_PROGRESS_REPAIR, 1, STEPS);
	(void) mf_sql_execute(scope, &agenda_statement, &wait, NULL);
	written += mf_return_rows(fcinfo);
	mf_progress_report(MF_PROGRESS_REPAIR, 2, STEPS);
	(void) mf_number_repair(scope);
	written += mf_return_rows(fcinfo);
	mf_progress_report(MF_PROGRESS_REPAIR, 3, STEPS);
	if (mf_poll_rate_limit > 0)
	{
		(void) mf_sql_execute(scope, &inquiries_statement, NULL, NULL);
		written += mf_return_rows(fcinfo);
	}
	return written;
}

/*
 * Whether there are invoices without an entry or inquiry, or with one that does not fit;
 * looks at so many unpaid ones, 0 = all.
 */
static bool
work_is_missing(const MfSqlScope *scope, int64 limit)
{
	Datum		values[] = {BoolGetDatum(mf_poll_rate_limit > 0), Int64GetDatum(limit)};

	(void) mf_sql_execute(scope, &missing_statement, values, limit > 0 ? NULL : " n");
	return mf_result_bool(0, 1);
}

static uint64
run_late(const MfSqlScope *scope, MfStatement *statement)
{
	Datum		values[] = {TimestampTzGetDatum(GetCurrentTimestamp()), Int64GetDatum(mf_verify_wait()), Int64GetDatum(mf_poll_delay)};

	return mf_sql_execute(scope, statement, values, NULL);
}

void
mf_repair_late(const MfSqlScope *scope)
{
	if (run_late(scope, &late_statement) > 0)
		ereport(LOG,
				(mf_log_event("late_made_due", "what was due later than it can be is due now: %lld", (long long) mf_result_int8(0, 2)),
				 errdetail("It was written while the clock was ahead, or without the triggers of mf_invoice.")));
}

TimestampTz
mf_repair_prepared(const MfSqlScope *scope)
{
	(void) mf_sql_execute(scope, &prepared_statement, NULL, NULL);
	return mf_result_timestamp(0, 1);
}

void
mf_repair_forget_disputes(Oid schema, const char *account)
{
	Datum		value = CStringGetTextDatum(account);

	(void) mf_execute_alone(schema, &forget_disputes_statement, &value, NULL);
}

bool
mf_repair_names_account(Oid schema, const char *account, const char *present)
{
	MfSqlScope	scope;
	Datum		values[] = {CStringGetTextDatum(account), present ? CStringGetTextDatum(present) : (Datum) 0};
	bool		found;

	mf_sql_begin(&scope, schema);
	scope.latest = true;
	found = mf_sql_execute(&scope, &is_named_statement, values, present ? NULL : " n") > 0;
	mf_sql_end(&scope);
	return found;
}

MfDamage
mf_repair_find_damage(Oid schema)
{
	Datum		values[2] = {BoolGetDatum(mf_poll_rate_limit > 0), ObjectIdGetDatum(schema)};
	MfDamage	damage;
	MfSqlScope	scope;

	mf_sql_begin(&scope, schema);
	(void) mf_sql_execute(&scope, &damage_statement, values, NULL);
	damage.unfinished = mf_result_int8(0, 1);
	damage.unasked = mf_result_int8(0, 2);
	damage.gone = mf_result_int8(0, 3);
	damage.astray = mf_result_int8(0, 4);
	damage.unlogged = mf_result_text(0, 5);
	damage.open_types = count_open_types(&scope);
	(void) run_late(&scope, &count_late_statement);
	damage.late = mf_result_int8(0, 1);
	mf_sql_end(&scope);
	damage.operations = mf_operations_misfits(schema);
	return damage;
}

char *
mf_repair_lost_accounts(Oid schema)
{
	MfSqlScope	scope;
	char	   *names;

	mf_sql_begin(&scope, schema);
	(void) mf_sql_execute(&scope, &lost_accounts_statement, NULL, NULL);
	names = mf_result_text(0, 1);
	mf_sql_end(&scope);
	return names;
}

/* A failure is logged, and does not keep the worker from sending. */
void
mf_repair_log_damage(Oid schema)
{
	ErrorData  *error = mf_sql_try(log_damage, &schema);

	if (error != NULL)
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 mf_log_event("agenda_not_checked",
							  "could not check whether invoices are missing on the agenda: %s", mf_error_text(error)),
				 errhint("Remove the cause. mf_check() repeats the check.")));
}

static void
log_damage(void *argument)
{
	Oid			schema = *(const Oid *) argument;
	MfSqlScope	scope;
	bool		found;
	char	   *names;

	mf_sql_begin(&scope, schema);
	found = work_is_missing(&scope, LOOKED_AT_START);
	mf_sql_end(&scope);
	if (found)
		ereport(LOG,
				(mf_log_event("agenda_incomplete", "there are invoices that are not on the agenda"),
				 errdetail("They were loaded or changed without the triggers of mf_invoice, or sent while "
						   "myfatoorah.poll_rate_limit was 0."),
				 errhint("To put them on the agenda, run SELECT * FROM mf_repair().")));
	names = mf_repair_lost_accounts(schema);
	if (names != NULL)
		ereport(LOG,
				(mf_log_event("account_missing", "there are invoices of accounts that do not exist: %s", names),
				 errhint("If the server was renamed, run SELECT mf_move_account('old name', 'new name').")));
}

void
mf_repair_note_account_error(const char *account, const char *error)
{
	Datum		values[] = {CStringGetTextDatum(account), CStringGetTextDatum(error)};

	(void) mf_execute_alone(mf_extension_schema(), &note_error_statement, values, NULL);
}

static int64
count_open_types(const MfSqlScope *scope)
{
	(void) mf_sql_execute(scope, &count_statement, NULL, NULL);
	return mf_result_int8(0, 1);
}

/*
 * Takes that from everybody, and gives our roles what an installation gives them.  The
 * result of the latest statement is a row (kind, number) for mf_return_rows(), or none.
 */
static void
close_types(const MfSqlScope *scope)
{
	uint64		rows = 0;
	uint64		count = run_commands(scope, &types_statement, &rows);
	Datum		values[] = {Int64GetDatum((int64) count), CStringGetTextDatum("type")};

	if (count > 0)
		(void) run(mf_relation_owner(get_relname_relid("mf_invoice", scope->schema)),
				   psprintf("GRANT USAGE ON TYPE %s TO %s, %s",
							quote_qualified_identifier(get_namespace_name(scope->schema), "mf_invoice"), MF_SUBMIT_ROLE, MF_READ_ROLE));
	(void) mf_sql_execute(scope, &result_statement, values, NULL);
}

/* A dump tells roles by their names only.  The result is as that of close_types(). */
static void
name_roles(const MfSqlScope *scope)
{
	Datum		values[] = {Int64GetDatum((int64) run_on_roles(scope, &names_statement)), CStringGetTextDatum("role")};

	(void) mf_sql_execute(scope, &result_statement, values, NULL);
}

void
mf_repair_roles(Oid schema)
{
	MfSqlScope	scope;

	mf_sql_begin(&scope, schema);
	(void) run_on_roles(&scope, &roles_statement);
	mf_sql_end(&scope);
}

/* Those rows have no triggers: nothing of them changes that anybody is told of.  Returns how many were changed. */
static uint64
run_on_roles(const MfSqlScope *scope, MfStatement *statement)
{
	int			level = NewGUCNestLevel();
	uint64		rows = 0;

	(void) set_config_option("session_replication_role", "replica", PGC_SUSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	(void) run_commands(scope, statement, &rows);
	AtEOXact_GUC(true, level);
	return rows;
}

/* Runs the commands that a statement returns, each as the owner that it returns; returns how many, and adds their rows. */
static uint64
run_commands(const MfSqlScope *scope, MfStatement *statement, uint64 *rows)
{
	uint64		count = mf_sql_execute(scope, statement, NULL, NULL);
	char	  **commands = (char **) palloc(Max(count, 1) * sizeof(char *));
	Oid		   *owners = (Oid *) palloc(Max(count, 1) * sizeof(Oid));
	uint64		i;

	for (i = 0; i < count; i++)
	{
		commands[i] = mf_result_text(i, 1);
		owners[i] = mf_result_oid(i, 2);
	}
	for (i = 0; i < count; i++)
		*rows += run(owners[i], commands[i]);
	return count;
}

/* As the owner of the type or table, who an operator is not; returns the number of rows. */
static uint64
run(Oid owner, const char *command)
{
	Oid			userid;
	int			security_context;

	GetUserIdAndSecContext(&userid, &security_context);
	SetUserIdAndSecContext(owner, security_context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION | SECURITY_NOFORCE_RLS);
	if (SPI_execute(command, false, 0) < 0)
		elog(ERROR, "could not run: %s", command);
	SetUserIdAndSecContext(userid, security_context);
	return SPI_processed;
}
