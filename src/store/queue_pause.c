/*
 * queue_pause.c
 *	  SQL of pauses, of an account or of all; of what is put off; and of resuming: what
 *	  waited is made due.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/queue_pause.c
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/compat.h"
#include "base/log_event.h"
#include "base/settings.h"
#include "database/sql_array.h"
#include "process/wakeup.h"
#include "store/inquiries_open.h"
#include "store/queue_internal.h"
#include "store/queue_pause.h"

#define DUMP_REASON "rows of another database were brought here; that may call the same functions, and bill the same"

#define OF_COPY(paused_by) paused_by " IN ('" MF_PAUSED_BY_GUARD "', '" MF_PAUSED_BY_RESTORE "')"

/* one of a copy or a restore takes the place of a person's, because more has to be decided when it ends */
static MfStatement pause_statement = {
	"INSERT INTO @mf_account AS a (account, paused_at, paused_by, reason) VALUES ($1, clock_timestamp(), $2, $3) "
	"ON CONFLICT (account) DO UPDATE SET paused_at = EXCLUDED.paused_at, paused_by = EXCLUDED.paused_by, "
	"  reason = EXCLUDED.reason || CASE WHEN a.paused_at IS NULL THEN '' "
	"    ELSE format('; paused before by %s: %s', a.paused_by, coalesce(a.reason, 'no reason given')) END "
	"WHERE a.paused_at IS NULL OR (EXCLUDED." OF_COPY("paused_by") " AND NOT a." OF_COPY("paused_by") ")",
	3, {TEXTOID, TEXTOID, TEXTOID}, NULL
};

static MfStatement is_paused_statement = {
	"SELECT FROM @mf_account WHERE account = $1 AND paused_at IS NOT NULL", 1, {TEXTOID}, NULL
};

static MfStatement pause_reason_statement = {
	"SELECT account = '*', format('by %s since %s: %s', paused_by, date_trunc('second', paused_at), "
	"  coalesce(reason, 'no reason given')) "
	"FROM @mf_account WHERE account IN ($1, '*') AND paused_at IS NOT NULL ORDER BY account LIMIT 1",
	1, {TEXTOID}, NULL
};

static MfStatement resume_statement = {
	"WITH p AS MATERIALIZED (SELECT account, paused_by FROM @mf_account WHERE account = $1 "
	"  AND paused_at IS NOT NULL FOR UPDATE), "
	"u AS (UPDATE @mf_account a SET paused_at = NULL, paused_by = NULL, reason = NULL FROM p "
	"  WHERE a.account = p.account RETURNING 1) "
	"SELECT p.account = '*' AND p." OF_COPY("paused_by") " FROM p, u",
	1, {TEXTOID}, NULL
};

/*
 * If this database was paused as a copy, MyFatoorah may still be processing requests that
 * the original has sent just before it was stopped.  So no look-up of a copied entry
 * comes before those must be done, nor does one that RETRY_ENTRIES would make due.
 */
static MfStatement resume_verify_statement = {
	"UPDATE @mf_queue q SET " MF_SET_VERIFY("d.due", "q.priority") " "
	"FROM (SELECT " MF_VERIFY_DUE("'-infinity'::timestamptz", "$1") " AS due) d WHERE q.kind = 'verify' "
	"  AND (q.due < d.due OR q.lookups > 0 OR q.error IS NOT NULL)",
	1, {INT4OID}, NULL
};

/*
 * Entries of one role ($1), or of all roles if it is null.  Above 0, "lookups" of a "send" entry
 * counts how often it was put off for want of a key, of a "verify" entry what it has asked.  Below 0 it tells that
 * they wait for a time of the day: what is to be sent may be free of it now, a look-up is not.  Nor is a look-up
 * free of what another server may be doing: MF_SET_VERIFY() has left it neither "lookups" nor an error.  Skips locked
 * entries, which the worker is processing.
 */
#define RETRY_ENTRIES(account) \
	"UPDATE @mf_queue q SET due = now(), " MF_SET_RANK("now()", "q.priority") ", " \
	"  lookups = CASE WHEN q.kind = 'send' OR (q.kind = 'verify' AND $1 IS NULL) THEN 0 ELSE q.lookups END " \
	"FROM (SELECT o.invoice FROM @mf_queue o WHERE ((o.kind = 'send' AND o.lookups <> 0) " \
	"    OR ($1 IS NULL AND o.kind = 'verify' AND o.lookups > 0) " \
	"    OR (o.kind IN ('reconcile', 'watch', 'verify', 'replay') AND o.error IS NOT NULL)) AND " account \
	"  AND ($1 IS NULL OR EXISTS (SELECT FROM @mf_invoice i WHERE i.id = o.invoice AND i.created_by_id = $1)) " \
	"  FOR UPDATE SKIP LOCKED) l WHERE q.invoice = l.invoice"

static MfStatement retry_entries_statement = {RETRY_ENTRIES("o.account = $2"), 2, {OIDOID, TEXTOID}, NULL};
static MfStatement retry_all_entries_statement = {RETRY_ENTRIES("true"), 1, {OIDOID}, NULL};

/* Inquiries with an error wait for a key, or their answers could not be written. */
#define RETRY_INQUIRIES(account) \
	"UPDATE @mf_inquiry q SET due = now() FROM (SELECT o.invoice FROM @mf_inquiry o WHERE o.error IS NOT NULL " \
	"  AND " account \
	"  AND ($1 IS NULL OR EXISTS (SELECT FROM @mf_invoice i WHERE i.id = o.invoice AND i.created_by_id = $1)) " \
	"  FOR UPDATE SKIP LOCKED) l WHERE q.invoice = l.invoice"

static MfStatement retry_inquiries_statement = {RETRY_INQUIRIES("o.account = $2"), 2, {OIDOID, TEXTOID}, NULL};
static MfStatement retry_all_inquiries_statement = {RETRY_INQUIRIES("true"), 1, {OIDOID}, NULL};

static MfStatement retry_operations_statement = {
	"UPDATE @mf_operation o SET due = clock_timestamp() WHERE o.status = 'queued' AND o.due > clock_timestamp() "
	"  AND o.origin = @mf_origin() AND ($1 IS NULL OR o.account = $1)",
	1, {TEXTOID}, NULL
};

/* An event has no column for the error: its failures say that it was put off. */
#define PUT_OFF_ARGUMENTS 3, {INT8OID, TIMESTAMPTZOID, TEXTOID}, NULL
static MfStatement put_off_statements[MF_ITEM_KINDS] = {
	[MF_ITEM_INVOICE] = {
		"UPDATE @mf_queue q SET due = greatest(q.due, $2), " MF_SET_RANK("greatest(q.due, $2)", "q.priority") ", error = $3 "
		"WHERE q.invoice = $1", PUT_OFF_ARGUMENTS
	},
	[MF_ITEM_INQUIRY] = {
		"UPDATE @mf_inquiry q SET due = greatest(q.due, $2), error = $3 WHERE q.invoice = $1", PUT_OFF_ARGUMENTS
	},
	[MF_ITEM_EVENT] = {
		"UPDATE @mf_event e SET due = greatest(e.due, $2), failures = greatest(e.failures, 1) WHERE e.id = $1 "
		"  AND e.due IS NOT NULL", PUT_OFF_ARGUMENTS
	},
	[MF_ITEM_DEPOSIT] = {
		"UPDATE @mf_deposit_state d SET due = greatest(d.due, $2), failures = greatest(d.failures, 1), error = $3 "
		"WHERE d.id = $1 AND d.due IS NOT NULL", PUT_OFF_ARGUMENTS
	},
	[MF_ITEM_OPERATION] = {
		"UPDATE @mf_operation o SET due = greatest(o.due, $2), last_error = $3 WHERE o.id = $1 AND o.due IS NOT NULL",
		PUT_OFF_ARGUMENTS
	}
};

/* Events come with the inquiries. */
static MfStatement retry_put_off_statements[MF_ITEM_KINDS] = {
	[MF_ITEM_INVOICE] = {
		"UPDATE @mf_queue q SET due = now(), " MF_SET_RANK("now()", "q.priority") ", lookups = 0 "
		"WHERE q.error IS NOT NULL AND q.kind <> 'review' AND q.invoice <> ALL ($1)", 1, {INT8ARRAYOID}, NULL
	},
	[MF_ITEM_INQUIRY] = {
		"WITH e AS (UPDATE @mf_event e SET due = clock_timestamp() WHERE e.due IS NOT NULL "
		"  AND (e.failures > 0 OR (e.event_code = 5 AND e.lookups > 0))) "
		"UPDATE @mf_inquiry q SET due = clock_timestamp() WHERE (q.error IS NOT NULL OR q.failures > 0) "
		"  AND q.invoice <> ALL ($1)", 1, {INT8ARRAYOID}, NULL
	},
	[MF_ITEM_DEPOSIT] = {
		"UPDATE @mf_deposit_state d SET due = clock_timestamp() WHERE d.due IS NOT NULL AND d.error IS NOT NULL "
		"  AND d.id <> ALL ($1)", 1, {INT8ARRAYOID}, NULL
	}
};

static MfStatement paused_statement = {
	"SELECT a.account::text FROM @mf_account a WHERE a.account = ANY ($1) AND a.paused_at IS NOT NULL "
	"UNION ALL SELECT '*' FROM @mf_all_paused p WHERE p.account IS NULL",
	1, {TEXTARRAYOID}, NULL
};

static MfStatement awaits_decision_statement = {
	"SELECT FROM @mf_account a WHERE a.account IN ('*', $1) AND a.paused_at IS NOT NULL AND a." OF_COPY("paused_by"),
	1, {TEXTOID}, NULL
};

/* rows of another database, and no pause but a person's */
static MfStatement from_dump_statement = {
	"SELECT FROM @mf_all_paused p LEFT JOIN @mf_account a ON a.account = p.account "
	"HAVING bool_or(p.account IS NULL) AND bool_and(p.account IS NULL OR NOT a." OF_COPY("paused_by") ")",
	0, {0}, NULL
};

static MfStatement at_home_statement = {
	"WITH d AS (DELETE FROM @mf_home) INSERT INTO @mf_home DEFAULT VALUES", 0, {0}, NULL
};

static MfStatement no_promotion_statement = {
	"UPDATE @mf_identity SET promoted_at = NULL WHERE promoted_at IS NOT NULL", 0, {0}, NULL
};

bool
mf_queue_pause(Oid schema, const char *account, const char *by, const char *reason)
{
	MfSqlScope	scope;
	bool		paused;
	char		nulls[3] = {' ', ' ', ' '};
	Datum		values[] = {
		CStringGetTextDatum(account), CStringGetTextDatum(by), reason ? CStringGetTextDatum(reason) : (Datum) 0
	};

	nulls[2] = reason ? ' ' : 'n';

	mf_sql_begin(&scope, schema);
	paused = mf_sql_execute(&scope, &pause_statement, values, nulls) > 0;
	if (!paused && mf_sql_execute(&scope, &is_paused_statement, values, NULL) == 0)
		mf_change_suppressed();
	mf_sql_end(&scope);
	mf_news_at_commit(MF_NEWS_PAUSE);
	return paused;
}

void
mf_queue_pause_copy(Oid schema, const char *account, const char *by, const char *reason)
{
	if (mf_queue_pause(schema, account, by, reason))
		ereport(LOG,
				(mf_log_event("copy_paused", "sending is paused: %s", reason),
				 errhint("Make sure that no other server sends the same invoices, then call mf_resume('*').")));
}

void
mf_queue_pause_restored(Oid schema)
{
	if (mf_execute_alone(schema, &from_dump_statement, NULL, NULL) > 0)
		mf_queue_pause_copy(schema, MF_ALL_ACCOUNTS, MF_PAUSED_BY_RESTORE, DUMP_REASON);
}

char *
mf_queue_pause_reason(Oid schema, const char *account, bool *all_accounts)
{
	MfSqlScope	scope;
	Datum		value = CStringGetTextDatum(account);
	char	   *reason = NULL;

	mf_sql_begin(&scope, schema);
	if (mf_sql_execute(&scope, &pause_reason_statement, &value, NULL) > 0)
	{
		*all_accounts = mf_result_bool(0, 1);
		reason = mf_result_text(0, 2);
	}
	mf_sql_end(&scope);
	return reason;
}

bool
mf_queue_resume(Oid schema, const char *account)
{
	MfSqlScope	scope;
	Datum		value = CStringGetTextDatum(account);
	bool		resumed;
	bool		was_copy;

	mf_sql_begin(&scope, schema);
	if (strcmp(account, MF_ALL_ACCOUNTS) == 0)
	{
		/* of two callers at once each would leave a row: two are those of a dump */
		LockRelationOid(get_relname_relid("mf_home", schema), ShareRowExclusiveLock);
		(void) mf_sql_execute(&scope, &at_home_statement, NULL, NULL);
		(void) mf_sql_execute(&scope, &no_promotion_statement, NULL, NULL);
	}
	resumed = mf_sql_execute(&scope, &resume_statement, &value, NULL) > 0;
	if (resumed && strcmp(account, MF_ALL_ACCOUNTS) == 0)
	{
		Datum		wait = Int32GetDatum(mf_verify_wait());

		was_copy = mf_result_bool(0, 1);
		(void) mf_sql_execute(&scope, &resume_verify_statement, &wait, NULL);
		if (was_copy)
			mf_inquiries_open_settled(&scope);
	}
	mf_sql_end(&scope);
	return resumed;
}

List *
mf_queue_paused_accounts(const MfSqlScope *scope, const char **accounts, int count)
{
	List	   *result = NIL;
	MfArray		names;
	Datum		value;
	uint64		rows;
	uint64		i;

	mf_array_init(&names, count + 1);
	mf_array_add_text(&names, MF_ALL_ACCOUNTS);
	for (i = 0; i < (uint64) count; i++)
		mf_array_add_text(&names, accounts[i]);
	value = mf_array_datum(&names, TEXTOID);
	rows = mf_sql_execute(scope, &paused_statement, &value, NULL);
	for (i = 0; i < rows; i++)
		result = lappend(result, mf_result_text(i, 1));
	return result;
}

bool
mf_queue_is_paused(const List *paused, const char *account)
{
	ListCell   *lc;

	foreach(lc, paused)
	{
		const char *name = (const char *) lfirst(lc);

		if (strcmp(name, account) == 0 || strcmp(name, MF_ALL_ACCOUNTS) == 0)
			return true;
	}
	return false;
}

bool
mf_queue_awaits_decision(const MfSqlScope *scope)
{
	Datum		value = CStringGetTextDatum(MF_ALL_ACCOUNTS);

	return mf_sql_execute(scope, &awaits_decision_statement, &value, NULL) > 0;
}

bool
mf_queue_is_copy(Oid schema, const char *account)
{
	Datum		value = CStringGetTextDatum(account);

	return mf_execute_alone(schema, &awaits_decision_statement, &value, NULL) > 0;
}

void
mf_queue_retry_account(Oid schema, const char *account, Oid created_by)
{
	MfSqlScope	scope;
	Datum		values[2] = {ObjectIdGetDatum(created_by), (Datum) 0};
	char		nulls[2] = {OidIsValid(created_by) ? ' ' : 'n', ' '};

	if (account != NULL)
		values[1] = CStringGetTextDatum(account);
	mf_sql_begin(&scope, schema);
	(void) mf_sql_execute(&scope, account != NULL ? &retry_entries_statement : &retry_all_entries_statement,
						  values, nulls);
	(void) mf_sql_execute(&scope, &retry_operations_statement, &values[1], account != NULL ? NULL : "n");
	(void) mf_sql_execute(&scope, account != NULL ? &retry_inquiries_statement : &retry_all_inquiries_statement,
						  values, nulls);
	mf_sql_end(&scope);
}

bool
mf_queue_put_off(const MfSqlScope *scope, MfItemKind kind, int64 id, TimestampTz until, const char *error)
{
	MfStatement *statement = &put_off_statements[kind];
	Datum		values[] = {Int64GetDatum(id), TimestampTzGetDatum(until), CStringGetTextDatum(error)};

	return statement->text != NULL && mf_sql_execute(scope, statement, values, NULL) > 0 && kind != MF_ITEM_EVENT;
}

void
mf_queue_retry_put_off(const MfSqlScope *scope, const Datum left_out[MF_ITEM_KINDS])
{
	int			kind;

	for (kind = 0; kind < MF_ITEM_KINDS; kind++)
	{
		if (retry_put_off_statements[kind].text != NULL)
			(void) mf_sql_execute(scope, &retry_put_off_statements[kind], &left_out[kind], NULL);
	}
}
