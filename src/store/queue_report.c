/*
 * queue_report.c
 *	  SQL of what mf_check() reports of the agenda.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/queue_report.c
 */
#include "postgres.h"

#include "access/subtrans.h"
#include "catalog/pg_type.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/builtins.h"

#include "account/account_option.h"
#include "base/compat.h"
#include "database/sql_array.h"
#include "flow/throttle.h"
#include "process/wait.h"
#include "store/queue_report.h"

static MfStatement size_statement = {
	"SELECT count(*) FROM @mf_queue", 0, {0}, NULL
};

static MfStatement any_due_statement = {
	"SELECT FROM @mf_queue WHERE account = $1 AND rank <= now() + interval '" CppAsString2(MF_BACKOFF_CAP_MS) " ms' "
	"  LIMIT 1",
	1, {TEXTOID}, NULL
};

/*
 * Transactions that have locked or changed invoices with due entries, among the
 * first of both agendas.  Entries of locked invoices are put off for a moment again
 * and again, hence the 10 s.  A row that is less than a minute old is probably just
 * being inserted or changed.
 */
static MfStatement lockers_statement = {
	"SELECT i.xmax, count(*)::int8, min(i.id)::int8 FROM ("
	"  (SELECT q.invoice FROM @mf_queue q WHERE q.account = $1 AND q.rank <= now() + interval '10 s' "
	"    ORDER BY q.rank LIMIT 1000) "
	"  UNION (SELECT q.invoice FROM @mf_inquiry q WHERE q.account = $1 AND q.urgent "
	"    AND q.due <= now() + interval '10 s' "
	"    ORDER BY q.due LIMIT 1000)) d JOIN @mf_invoice i ON i.id = d.invoice "
	"WHERE i.xmax <> '0'::xid AND greatest(i.send_at, i.created_at) < now() - interval '1 min' GROUP BY i.xmax "
	"  ORDER BY 2 DESC",
	1, {TEXTOID}, NULL
};

static MfStatement put_off_errors_statement = {
	"SELECT count(*)::int8, min(p.invoice)::int8, p.error::text FROM ("
	"  SELECT q.invoice, coalesce(q.error, i.last_error, '') AS error FROM @mf_queue q "
	"    JOIN @mf_invoice i ON i.id = q.invoice "
	"  WHERE q.account = $1 AND (q.error IS NOT NULL OR (q.kind = 'send' AND q.lookups > 0)) "
	"  UNION ALL SELECT q.invoice, q.error FROM @mf_inquiry q WHERE q.account = $1 AND q.error IS NOT NULL) p "
	"GROUP BY p.error ORDER BY 2 LIMIT $2",
	2, {TEXTOID, INT4OID}, NULL
};

/* paused because MyFatoorah has refused the key or the address, not by a person */
static MfStatement refused_accounts_statement = {
	"SELECT count(*)::int8, min(account)::text FROM @mf_account "
	"WHERE paused_at IS NOT NULL AND paused_by IN ('sender', 'status reader') AND account <> $1",
	1, {TEXTOID}, NULL
};

/* entries for a person have an infinite due time */
static MfStatement reviews_statement = {
	"SELECT (SELECT count(*) FROM @mf_queue WHERE account = $1 AND rank = 'infinity' AND kind = 'review') "
	"  + (SELECT count(*) FROM @mf_invoice WHERE account = $1 AND payment_doubt IS NOT NULL) "
	"  + (SELECT count(*) FROM @mf_operation WHERE account = $1 AND status = 'review')",
	1, {TEXTOID}, NULL
};

static MfStatement unanswered_statement = {
	"SELECT count(*) OVER ()::int8, u.example, u.error::text FROM ("
	"  SELECT format('invoice %s', q.invoice) AS example, i.payment_error AS error, q.invoice AS number "
	"  FROM @mf_inquiry q JOIN @mf_invoice i ON i.id = q.invoice "
	"  WHERE q.account = $1 AND q.failures >= " CppAsString2(MF_ITEM_FAILURES) " "
	"  UNION ALL SELECT format('event %s', e.id), NULL, e.id FROM @mf_event e "
	"  WHERE e.account = $1 AND e.due IS NOT NULL AND e.failures >= " CppAsString2(MF_ITEM_FAILURES) " "
	"    AND e.event_code IS DISTINCT FROM 5) u "
	"ORDER BY u.error IS NULL, u.number LIMIT 1",
	1, {TEXTOID}, NULL
};

int64
mf_queue_count_timed(Oid schema, const char *account, TimestampTz *first)
{
	static MfStatement statement = {
		"SELECT count(*)::int8, min(due)::timestamptz FROM @mf_queue "
		"WHERE account = $1 AND kind = 'send' AND lookups = " CppAsString2(MF_LOOKUPS_TIMED),
		1, {TEXTOID}, NULL
	};
	MfSqlScope	scope;
	Datum		value = CStringGetTextDatum(account);
	int64		count;

	mf_sql_begin(&scope, schema);
	(void) mf_sql_execute(&scope, &statement, &value, NULL);
	count = mf_result_int8(0, 1);
	if (count > 0)
		*first = mf_result_timestamp(0, 2);
	mf_sql_end(&scope);
	return count;
}

int64
mf_queue_size(Oid schema)
{
	return mf_count_alone(schema, &size_statement, NULL);
}

bool
mf_queue_any_due(Oid schema, const char *account)
{
	Datum		value = CStringGetTextDatum(account);

	return mf_execute_alone(schema, &any_due_statement, &value, NULL) > 0;
}

List *
mf_queue_lockers(Oid schema, const char *account)
{
	MfSqlScope	scope;
	Datum		value = CStringGetTextDatum(account);
	List	   *lockers = NIL;
	uint64		rows;
	uint64		i;

	mf_sql_begin(&scope, schema);
	rows = mf_sql_execute(&scope, &lockers_statement, &value, NULL);
	for (i = 0; i < rows; i++)
	{
		TransactionId xid = DatumGetTransactionId(mf_result(i, 1, NULL));
		int			pid = TransactionIdIsInProgress(xid) ? BackendXidGetPid(SubTransGetTopmostTransaction(xid)) : 0;
		PGPROC	   *process = pid == 0 ? NULL : BackendPidGetProc(pid);
		MfLocker   *locker;

		/* a lock that several transactions share has the number of a multixact */
		if (process == NULL)
			continue;
		locker = (MfLocker *) palloc(sizeof(MfLocker));
		locker->pid = pid;
		locker->role = process->roleId;
		locker->count = mf_result_int8(i, 2);
		locker->invoice = mf_result_int8(i, 3);
		lockers = lappend(lockers, locker);
	}
	mf_sql_end(&scope);
	return lockers;
}

int64
mf_queue_count_refused_accounts(Oid schema, const char *but, char **example)
{
	MfSqlScope	scope;
	Datum		value = CStringGetTextDatum(but);
	int64		count;

	mf_sql_begin(&scope, schema);
	(void) mf_sql_execute(&scope, &refused_accounts_statement, &value, NULL);
	count = mf_result_int8(0, 1);
	if (count > 0)
		*example = mf_result_text(0, 2);
	mf_sql_end(&scope);
	return count;
}

int64
mf_queue_count_reviews(Oid schema, const char *account)
{
	Datum		value = CStringGetTextDatum(account);

	return mf_count_alone(schema, &reviews_statement, &value);
}

List *
mf_queue_put_off_errors(Oid schema, const char *account, int limit)
{
	MfSqlScope	scope;
	List	   *errors = NIL;
	uint64		rows;
	uint64		i;
	Datum		values[] = {CStringGetTextDatum(account), Int32GetDatum(limit)};

	mf_sql_begin(&scope, schema);
	rows = mf_sql_execute(&scope, &put_off_errors_statement, values, NULL);
	for (i = 0; i < rows; i++)
	{
		MfPutOffError *entry = (MfPutOffError *) palloc(sizeof(MfPutOffError));

		entry->count = mf_result_int8(i, 1);
		entry->invoice = mf_result_int8(i, 2);
		entry->error = mf_result_text(i, 3);
		errors = lappend(errors, entry);
	}
	mf_sql_end(&scope);
	return errors;
}

int64
mf_inquiries_unanswered(Oid schema, const char *account, char **example, char **error)
{
	MfSqlScope	scope;
	Datum		value = CStringGetTextDatum(account);
	int64		count = 0;

	mf_sql_begin(&scope, schema);
	if (mf_sql_execute(&scope, &unanswered_statement, &value, NULL) > 0)
	{
		count = mf_result_int8(0, 1);
		*example = mf_result_text(0, 2);
		*error = mf_result_text(0, 3);
	}
	mf_sql_end(&scope);
	return count;
}
