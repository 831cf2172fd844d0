/*
 * unarchive.c
 *	  Archived invoices move back to mf_invoice.
 *
 * So that what comes in about them late can be booked: all that reads and writes
 * invoices knows those of mf_invoice only.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/unarchive.c
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "database/function_args.h"
#include "database/sql_array.h"
#include "process/metrics.h"
#include "process/wakeup.h"
#include "store/events.h"
#include "store/archive.h"
#include "store/inquiries_open.h"

/* one after the other, and in one order: nobody waits in a circle */
static MfStatement lock_statement = {
	"SELECT k.id::int8 FROM @mf_archive_key k WHERE k.id = ANY ($1) ORDER BY k.id FOR UPDATE",
	1, {INT8ARRAYOID}, NULL
};

static MfStatement lacking_statement = {
	"SELECT u.id::int8, k.id IS NOT NULL FROM unnest($1) u(id) LEFT JOIN @mf_archive_key k ON k.id = u.id "
	"WHERE NOT EXISTS (SELECT FROM @mf_invoice_archive a WHERE a.id = k.id AND a.created_at = k.created_at) ORDER BY u.id LIMIT 1",
	1, {INT8ARRAYOID}, NULL
};

/* the lines of a list, with the number of the invoice again; they are as many as come back */
#define LINES(list, table, more) \
	" FROM a, jsonb_array_elements(a.detail->'" list "') l, " \
	"  jsonb_populate_record(NULL::@" table ", l || jsonb_build_object('invoice', a.id" more ")) r"
#define GIVE(name, list, table) \
	name "_lines AS MATERIALIZED (SELECT r.*" LINES(list, table, "") "), " \
	name " AS (INSERT INTO @" table " OVERRIDING SYSTEM VALUE SELECT * FROM " name "_lines RETURNING *)"
#define GIVEN(name, table) "('" table "', " MF_NOT_WRITTEN(name "_lines", name) ")"

/*
 * An event that has come again since is one with the first; it is there, and asks.  One that has moved with its account
 * has the name of that.  What is written is compared with what was to be written; columns of users are theirs.
 */
#define MOVE \
	"WITH k AS (DELETE FROM @mf_archive_key k WHERE k.id = ANY ($1) RETURNING k.id, k.created_at), " \
	"a AS (DELETE FROM @mf_invoice_archive o USING k WHERE o.id = k.id AND o.created_at = k.created_at RETURNING o.*), " \
	"i AS (INSERT INTO @mf_invoice (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM a RETURNING %s), " \
	"f AS (INSERT INTO @mf_invoice_number (invoice_id, invoice) SELECT a.invoice_id, a.id FROM a WHERE a.invoice_id IS NOT NULL " \
	"  ON CONFLICT (invoice_id, invoice) DO UPDATE SET invoice = EXCLUDED.invoice RETURNING invoice_id, invoice), " \
	GIVE("t", "attempts", "mf_attempt") ", " GIVE("h", "transitions", "mf_transition") ", " \
	GIVE("p", "transactions", "mf_transaction") ", " GIVE("d", "disputes", "mf_dispute_state") ", " \
	"e_lines AS MATERIALIZED (SELECT DISTINCT ON (r.account, r.digest) r.*" LINES("events", "mf_event", ", 'account', a.account") \
	"  ORDER BY r.account, r.digest, r.id), " \
	"e AS (INSERT INTO @mf_event AS o OVERRIDING SYSTEM VALUE SELECT * FROM e_lines ORDER BY digest " \
	"  ON CONFLICT (account, digest) DO UPDATE SET received_at = least(o.received_at, EXCLUDED.received_at), " \
	"    last_received_at = greatest(o.last_received_at, EXCLUDED.last_received_at), " \
	"    event_reference = CASE WHEN o.event_code = 6 AND upper(o.event_status) = 'LOST' AND " MF_EVENT_NUMBER("o") " > " MF_EVENT_NUMBER("EXCLUDED") \
	"      THEN o.event_reference ELSE EXCLUDED.event_reference END, " \
	"    deliveries = o.deliveries + EXCLUDED.deliveries RETURNING account, digest) " \
	"SELECT w.name FROM (VALUES ('mf_archive_key', cardinality($1) - (SELECT count(*) FROM k)), " \
	"  ('mf_invoice_archive', cardinality($1) - (SELECT count(*) FROM a)), " \
	"  ('mf_invoice', " MF_NOT_WRITTEN("(SELECT %s FROM a)", "i") "), " \
	"  ('mf_invoice_number', " MF_NOT_WRITTEN("(SELECT invoice_id, id FROM a WHERE invoice_id IS NOT NULL)", "f") "), " \
	GIVEN("t", "mf_attempt") ", " GIVEN("h", "mf_transition") ", " GIVEN("p", "mf_transaction") ", " GIVEN("d", "mf_dispute_state") ", " \
	"  ('mf_event', " MF_NOT_WRITTEN("(SELECT account, digest FROM e_lines)", "e") ")) w(name, lines) WHERE w.lines <> 0"

static MfStatement move_statement = {NULL, 1, {INT8ARRAYOID}, NULL};

static void check_archived(const MfSqlScope *scope, Datum ids);
static void ask(const MfSqlScope *scope, const int64 *ids, int count);

PG_FUNCTION_INFO_V1(mf_unarchive);

/* Moves archived invoices back, all that are named or none; how many. */
Datum
mf_unarchive(PG_FUNCTION_ARGS)
{
	MfSqlScope	scope;
	int64	   *ids;
	Datum		named = PG_GETARG_DATUM(0);
	const char *columns;
	const char *ours;
	int			count;

	mf_require_argument(fcinfo, 0, "ids");
	if (array_contains_nulls(DatumGetArrayTypeP(named)))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not have a null element", "ids")));
	mf_require_read_committed("mf_unarchive()");
	mf_sql_begin(&scope, get_func_namespace(fcinfo->flinfo->fn_oid));
	count = (int) mf_sql_execute(&scope, &lock_statement, &named, NULL);
	ids = (int64 *) palloc(Max(count, 1) * sizeof(int64));
	(void) mf_result_ids(ids);
	check_archived(&scope, named);
	mf_progress_report(MF_PROGRESS_UNARCHIVE, 0, count);
	columns = mf_archive_columns(&scope, "mf_invoice", false);
	ours = mf_archive_columns(&scope, "mf_invoice", true);
	mf_archive_set_text(&move_statement, psprintf(MOVE, columns, columns, ours, ours));
	mf_archive_move(&scope, &move_statement, mf_int8_array(ids, count));
	mf_progress_report(MF_PROGRESS_UNARCHIVE, count, count);
	ask(&scope, ids, count);
	mf_sql_end(&scope);
	mf_progress_end(MF_PROGRESS_UNARCHIVE);
	PG_RETURN_INT64(count);
}

static void
check_archived(const MfSqlScope *scope, Datum ids)
{
	int64		invoice;

	if (mf_sql_execute(scope, &lacking_statement, &ids, NULL) == 0)
		return;
	invoice = mf_result_int8(0, 1);
	if (mf_result_bool(0, 2))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("invoice %lld cannot be moved back", (long long) invoice),
				 errdetail("It was archived, and its row is not in mf_invoice_archive any more."),
				 errhint("If its month was dropped, it is in the MyFatoorah portal and in backups only. If it was detached, attach its table again or, where the month was made anew, INSERT INTO mf_invoice_archive SELECT * FROM it.")));
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("invoice %lld is not archived", (long long) invoice),
			 errhint("Find it with: SELECT id, archived_at FROM mf_invoice_all WHERE id = %lld", (long long) invoice)));
}

/* What has come in about them is theirs now, and MyFatoorah is asked what there is to it, as by mf_refresh(). */
static void
ask(const MfSqlScope *scope, const int64 *ids, int count)
{
	MfSentInvoice *sent = (MfSentInvoice *) palloc0(count * sizeof(MfSentInvoice));
	int			i;

	for (i = 0; i < count; i++)
	{
		sent[i].invoice = ids[i];
		mf_refresh_at_commit(scope->schema, scope->userid, ids[i], false);
	}
	(void) mf_inquiries_open(scope, sent, count, DT_NOEND);
	mf_news_at_commit(MF_NEWS_INQUIRIES);
}
