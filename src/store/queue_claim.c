/*
 * queue_claim.c
 *	  SQL of claims: accounts with entries, the priority of due entries, the entries, and
 *	  when the next ones are due.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/queue_claim.c
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/log_event.h"
#include "database/sql_array.h"
#include "flow/round_items.h"
#include "process/wait.h"
#include "store/queue.h"
#include "store/queue_internal.h"

/* An entry whose invoice does not exist is claimed again after this. */
#define ORPHAN_DELAY_MS 3600000

/* A locked agenda entry */
typedef struct Entry
{
	int64		invoice;
	MfJobKind	kind;
	TimestampTz rank;
	TimestampTz due;
	int			lookups;
	ItemPointerData tid;
	const char *account;		/* under which it was claimed; NULL = of any account */
	MfJob	   *job;			/* NULL = its invoice was not locked */
} Entry;

/* a loose index scan: as many steps as there are accounts */
static MfStatement accounts_statement = {
	MF_IN_ORDER "WITH RECURSIVE found AS ("
	"  (SELECT q.account, q.rank FROM @mf_queue q ORDER BY q.account, q.rank LIMIT 1) "
	"  UNION ALL "
	"  SELECT n.account, n.rank FROM found f CROSS JOIN LATERAL (SELECT q.account, q.rank FROM @mf_queue q "
	"    WHERE q.account > f.account ORDER BY q.account, q.rank LIMIT 1) n) "
	"SELECT f.account::text, f.rank::timestamptz FROM found f",
	0, {0}, NULL
};

/* entries for a person have an infinite rank; each EXISTS has an index */
static MfStatement names_statement = {
	MF_IN_ORDER "SELECT WHERE EXISTS (SELECT FROM @mf_queue q WHERE q.account = $1 AND q.rank < 'infinity') "
	"OR EXISTS (SELECT FROM @mf_operation o WHERE o.account = $1 AND o.due IS NOT NULL) "
	"OR EXISTS (SELECT FROM @mf_inquiry q WHERE q.account = $1 AND NOT q.urgent) "
	"OR EXISTS (SELECT FROM @mf_inquiry q WHERE q.account = $1 AND q.urgent AND q.ordered_by = 0) "
	"OR EXISTS (SELECT FROM @mf_inquiry q WHERE q.account = $1 AND q.urgent AND q.ordered_by <> 0) "
	"OR EXISTS (SELECT FROM @mf_event e WHERE e.account = $1 AND e.due IS NOT NULL) "
	"OR EXISTS (SELECT FROM @mf_deposit_state d WHERE d.account = $1 AND d.due IS NOT NULL)",
	1, {TEXTOID}, NULL
};

static MfStatement claim_entries_statement = {
	MF_IN_ORDER "SELECT e.invoice::int8, e.kind::text, e.rank::timestamptz, e.lookups::int4, e.ctid, l.n::int4, e.due::timestamptz "
	"FROM unnest($1, $2, $3, $5) WITH ORDINALITY AS l(account, slots, position_rank, position_invoice, n) "
	"CROSS JOIN LATERAL ("
	"  SELECT q.invoice, q.kind, q.rank, q.lookups, q.ctid, q.due FROM @mf_queue q "
	"  WHERE q.account = l.account AND (q.rank, q.invoice) >= (l.position_rank, l.position_invoice) AND q.rank <= $4 "
	"    AND q.due <= $4 AND q.origin = @mf_origin() AND q.invoice <> ALL ($6) "
	"  ORDER BY q.rank, q.invoice LIMIT l.slots FOR UPDATE SKIP LOCKED) e LIMIT $7",
	7, {TEXTARRAYOID, INT4ARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZOID, INT8ARRAYOID, INT8ARRAYOID, INT4OID},
	NULL
};

static MfStatement claim_leases_statement = {
	MF_IN_ORDER "SELECT q.invoice::int8, q.kind::text, q.rank::timestamptz, q.lookups::int4, q.ctid, 0, q.due::timestamptz "
	"  FROM @mf_queue q "
	"WHERE q.kind = 'sending' AND q.invoice > $1 AND q.origin = @mf_origin() "
	"ORDER BY q.invoice LIMIT $2 FOR UPDATE SKIP LOCKED",
	2, {INT8OID, INT4OID}, NULL
};

static MfStatement claim_invoices_statement = {
	"SELECT " MF_INVOICE_COLUMNS ", ctid FROM @mf_invoice WHERE id = ANY ($1) FOR NO KEY UPDATE SKIP LOCKED",
	1, {INT8ARRAYOID}, NULL
};

/* entries that are due but locked are claimed again in a second */
static MfStatement next_due_statement = {
	MF_IN_ORDER "SELECT least("
	"  (SELECT min(greatest(q.due, $2 + interval '1 s')) FROM @mf_queue q WHERE q.account = l.account AND q.rank <= $2 "
	"    AND q.origin = @mf_origin() AND q.invoice <> ALL ($3)), "
	"  (SELECT q.rank FROM @mf_queue q WHERE q.account = l.account AND q.rank > $2 AND q.origin = @mf_origin() "
	"    ORDER BY q.rank LIMIT 1)) "
	"FROM unnest($1) WITH ORDINALITY AS l(account, n) ORDER BY l.n",
	3, {TEXTARRAYOID, TIMESTAMPTZOID, INT8ARRAYOID}, NULL
};

static MfStatement orphans_statement = {
	"SELECT q.invoice::int8, q.error IS NOT NULL FROM @mf_queue q WHERE q.invoice = ANY ($1) "
	"  AND NOT EXISTS (SELECT FROM @mf_invoice i WHERE i.id = ANY ($1) AND i.id = q.invoice)",
	1, {INT8ARRAYOID}, NULL
};

static MfStatement move_entries_statement = {
	"UPDATE @mf_queue q SET account = i.account FROM @mf_invoice i WHERE q.invoice = ANY ($1) AND i.id = q.invoice",
	1, {INT8ARRAYOID}, NULL
};

#define PROMOTE_LIMIT 1000		/* entries promoted at a time, of all accounts together */
#define PROMOTE_FAILED_MS 60000	/* pause after a failure of that */

typedef struct Promotion
{
	const MfSqlScope *scope;
	Datum		invoices;
} Promotion;

/* due entries that are still ranked by their due time */
static MfStatement unpromoted_statement = {
	MF_IN_ORDER "SELECT e.invoice::int8 FROM unnest($1) AS l(account) CROSS JOIN LATERAL ("
	"  SELECT q.invoice FROM @mf_queue q WHERE q.account = l.account AND q.promote AND q.rank <= $2 "
	"    AND q.origin = @mf_origin() ORDER BY q.rank LIMIT $3 FOR UPDATE SKIP LOCKED) e LIMIT $3",
	3, {TEXTARRAYOID, TIMESTAMPTZOID, INT4OID}, NULL
};

static MfStatement promote_statement = {
	"UPDATE @mf_queue q SET rank = " MF_PROMOTED("q.rank", "q.priority") ", promote = false WHERE q.invoice = ANY ($1)",
	1, {INT8ARRAYOID}, NULL
};

static TimestampTz promote_at = 0;	/* end of the pause after a failure */

static List *lock_entries(const MfSqlScope *scope, int count, const MfClaimLimit *limits, TimestampTz now,
						  bool *changed);
static Entry *read_entries(int count, const MfClaimLimit *limits);
static void lock_invoices(const MfSqlScope *scope, Entry *entries, int count);
static bool put_off_busy(const MfSqlScope *scope, const List *entries, TimestampTz now);
static bool put_off_orphans(const MfSqlScope *scope, MfFollowUp *entries, int count, TimestampTz now);
static void move_entries(const MfSqlScope *scope, List *jobs);
static void promote_entries(void *argument);

List *
mf_queue_accounts(const MfSqlScope *scope)
{
	return mf_read_due_accounts(scope, &accounts_statement);
}

List *
mf_read_due_accounts(const MfSqlScope *scope, MfStatement *statement)
{
	List	   *result = NIL;
	uint64		rows = mf_sql_execute(scope, statement, NULL, NULL);
	uint64		i;

	for (i = 0; i < rows; i++)
	{
		MfDueAccount *entry = (MfDueAccount *) palloc(sizeof(MfDueAccount));

		entry->account = mf_result_text(i, 1);
		entry->due = mf_result_timestamp(i, 2);
		result = lappend(result, entry);
	}
	return result;
}

bool
mf_agenda_names(const MfSqlScope *scope, const char *account)
{
	Datum		value = CStringGetTextDatum(account);

	return mf_sql_execute(scope, &names_statement, &value, NULL) > 0;
}

List *
mf_queue_claim(const MfSqlScope *scope, const MfClaimLimit *limits, int count, int limit, TimestampTz now, bool *cut,
			   bool *changed)
{
	MfArray		accounts;
	MfArray		slots;
	MfArray		position_ranks;
	MfArray		position_invoices;
	TimestampTz retry_at = 0;
	Datum		values[7];
	int			i;

	mf_array_init(&accounts, count);
	mf_array_init(&slots, count);
	mf_array_init(&position_ranks, count);
	mf_array_init(&position_invoices, count);
	for (i = 0; i < count; i++)
	{
		mf_array_add_text(&accounts, limits[i].account);
		mf_array_add(&slots, Int32GetDatum(limits[i].slots));
		mf_array_add(&position_ranks, TimestampTzGetDatum(limits[i].position_rank));
		mf_array_add(&position_invoices, Int64GetDatum(limits[i].position_invoice));
	}
	values[0] = mf_array_datum(&accounts, TEXTOID);
	values[1] = mf_array_datum(&slots, INT4OID);
	values[2] = mf_array_datum(&position_ranks, TIMESTAMPTZOID);
	values[3] = TimestampTzGetDatum(now);
	values[4] = mf_array_datum(&position_invoices, INT8OID);
	values[5] = mf_items_left_out(MF_ITEM_INVOICE, now, &retry_at);
	values[6] = Int32GetDatum(limit);

	i = (int) mf_sql_execute(scope, &claim_entries_statement, values, NULL);
	*cut = i >= limit;
	return lock_entries(scope, i, limits, now, changed);
}

List *
mf_queue_claim_leases(const MfSqlScope *scope, int64 after, int limit, TimestampTz now, int64 *last, bool *changed)
{
	int			count;
	Datum		values[] = {Int64GetDatum(after), Int32GetDatum(limit)};

	count = (int) mf_sql_execute(scope, &claim_leases_statement, values, NULL);
	if (count > 0)
		*last = mf_result_int8(count - 1, 1);
	return lock_entries(scope, count, NULL, now, changed);
}

/*
 * Locks the invoices of the entries that the latest statement has locked, and
 * returns their jobs, in that order.  Entries of invoices that others have locked
 * are put off.  With limits, an entry of another account than its invoice is moved
 * to that account, since pause and throttle are those of the account.
 */
static List *
lock_entries(const MfSqlScope *scope, int count, const MfClaimLimit *limits, TimestampTz now, bool *changed)
{
	Entry	   *entries;
	List	   *result = NIL;
	List	   *moved = NIL;
	List	   *busy = NIL;
	int			i;

	if (count == 0)
		return NIL;

	entries = read_entries(count, limits);
	lock_invoices(scope, entries, count);
	for (i = 0; i < count; i++)
	{
		MfJob	   *job = entries[i].job;

		if (job == NULL)
			busy = lappend(busy, &entries[i]);
		else if (entries[i].account != NULL && strcmp(job->account, entries[i].account) != 0)
			moved = lappend(moved, job);
		else
			result = lappend(result, job);
	}
	if (busy != NIL)
		*changed |= put_off_busy(scope, busy, now);
	if (moved != NIL)
	{
		move_entries(scope, moved);
		*changed = true;
	}
	return result;
}

/* Reads the entries that the latest statement has locked. */
static Entry *
read_entries(int count, const MfClaimLimit *limits)
{
	Entry	   *entries = (Entry *) palloc(count * sizeof(Entry));
	int			i;

	for (i = 0; i < count; i++)
	{
		Entry	   *entry = &entries[i];

		entry->invoice = mf_result_int8(i, 1);
		mf_items_add(MF_ITEM_INVOICE, entry->invoice);
		entry->kind = mf_job_kind(mf_result_text(i, 2));
		entry->rank = mf_result_timestamp(i, 3);
		entry->lookups = mf_result_int4(i, 4);
		entry->due = mf_result_timestamp(i, 7);
		entry->tid = *(ItemPointer) DatumGetPointer(mf_result(i, 5, NULL));
		entry->account = limits == NULL ? NULL :
			limits[mf_result_int4(i, 6) - 1].account;
		entry->job = NULL;
	}
	return entries;
}

/* Locks the invoices of entries that nobody else has locked, and makes their jobs. */
static void
lock_invoices(const MfSqlScope *scope, Entry *entries, int count)
{
	Datum		value = mf_ids_of(entries, sizeof(Entry), count);
	uint64		rows = mf_sql_execute(scope, &claim_invoices_statement, &value, NULL);
	uint64		row;
	int			i;

	for (row = 0; row < rows; row++)
	{
		MfJob	   *job = mf_queue_read_invoice(SPI_tuptable->vals[row], SPI_tuptable->tupdesc);

		for (i = 0; entries[i].invoice != job->invoice; i++)
			;
		job->kind = entries[i].kind;
		job->rank = entries[i].rank;
		job->lookups = Max(entries[i].lookups, 0);	/* those below 0 are no steps of a back-off */
		job->asked_at = entries[i].lookups == MF_LOOKUPS_ASKED ? entries[i].due : 0;
		job->queue_tid = entries[i].tid;
		entries[i].job = job;
	}
}

/*
 * Puts off entries whose invoices could not be locked: for a moment if others have
 * locked them, for long if they do not exist.  Returns whether some do not.
 */
static bool
put_off_busy(const MfSqlScope *scope, const List *entries, TimestampTz now)
{
	int			count = list_length(entries);
	MfFollowUp *follow_ups = (MfFollowUp *) palloc0(count * sizeof(MfFollowUp));
	bool		orphans;
	int			i;

	for (i = 0; i < count; i++)
	{
		const Entry *entry = (const Entry *) list_nth(entries, i);

		follow_ups[i].invoice = entry->invoice;
		/* who holds the lock may do so for long, and then the invoice has to be found again first */
		follow_ups[i].next = entry->kind == MF_JOB_REPLAY ? MF_JOB_RECONCILE : entry->kind;
		follow_ups[i].due = TimestampTzPlusMilliseconds(now, MF_BUSY_DELAY_MS);
		follow_ups[i].lookups = entry->lookups;
		follow_ups[i].wait = true;
	}
	orphans = put_off_orphans(scope, follow_ups, count, now);
	mf_queue_follow_up(scope, follow_ups, count);
	return orphans;
}

/*
 * Gives entries whose invoices do not exist a later due time and an error; returns
 * whether there are any.  The triggers of mf_invoice prevent that.  The entry is kept
 * in case the row is being loaded without them.
 */
static bool
put_off_orphans(const MfSqlScope *scope, MfFollowUp *entries, int count, TimestampTz now)
{
	Datum		value = mf_ids_of(entries, sizeof(MfFollowUp), count);
	uint64		rows = mf_sql_execute(scope, &orphans_statement, &value, NULL);
	int64		example = 0;
	int			news = 0;
	uint64		row;
	int			i;

	for (row = 0; row < rows; row++)
	{
		int64		invoice = mf_result_int8(row, 1);

		for (i = 0; entries[i].invoice != invoice; i++)
			;
		entries[i].due = TimestampTzPlusMilliseconds(now, ORPHAN_DELAY_MS);
		entries[i].wait = false;
		entries[i].put_off = true;
		entries[i].error = "there is no such row of mf_invoice";
		if (mf_result_bool(row, 2))
			continue;
		example = invoice;
		news++;
	}
	if (news > 0)
		ereport(LOG,
				(mf_log_event("entries_without_invoice", "agenda entries have no invoice, such as %lld: %d of them",
							  (long long) example, news),
				 errdetail("Rows of mf_invoice were removed without its triggers. "
						   "The entries are tried again every hour."),
				 errhint("To delete the entries, run SELECT * FROM mf_repair().")));
	return rows > 0;
}

/*
 * Moves entries to the accounts of their invoices, which were changed without the
 * trigger of mf_invoice.  They are claimed in the turn of that account.
 */
static void
move_entries(const MfSqlScope *scope, List *jobs)
{
	int64	   *invoices = (int64 *) palloc(list_length(jobs) * sizeof(int64));
	Datum		value;
	ListCell   *lc;

	foreach(lc, jobs)
		invoices[foreach_current_index(lc)] = ((const MfJob *) lfirst(lc))->invoice;
	value = mf_int8_array(invoices, list_length(jobs));
	if (mf_sql_execute(scope, &move_entries_statement, &value, NULL) != (uint64) list_length(jobs))
		mf_change_suppressed();
}

void
mf_queue_next_due(const MfSqlScope *scope, MfClaimLimit *limits, int count, TimestampTz now)
{
	TimestampTz retry_at = 0;
	MfArray		accounts;
	Datum		values[3];
	int			row = 0;
	int			i;

	mf_array_init(&accounts, count);
	for (i = 0; i < count; i++)
	{
		limits[i].next_due = 0;
		if (limits[i].look_later)
			mf_array_add_text(&accounts, limits[i].account);
	}
	if (accounts.count == 0)
		return;
	values[0] = mf_array_datum(&accounts, TEXTOID);
	values[1] = TimestampTzGetDatum(now);
	values[2] = mf_items_left_out(MF_ITEM_INVOICE, now, &retry_at);
	(void) mf_sql_execute(scope, &next_due_statement, values, NULL);
	for (i = 0; i < count; i++)
	{
		TimestampTz due;

		if (!limits[i].look_later)
			continue;
		due = mf_result_timestamp(row++, 1);
		if (!TIMESTAMP_NOT_FINITE(due))
			limits[i].next_due = due;
		limits[i].next_due = mf_earlier(limits[i].next_due, retry_at);
	}
}

void
mf_promote_due(const MfSqlScope *scope, const MfClaimLimit *limits, int count, TimestampTz now)
{
	Promotion	promotion = {scope, (Datum) 0};
	MfArray		accounts;
	Datum		values[3];
	ErrorData  *error;
	int			i;

	if (now < promote_at)
		return;
	mf_array_init(&accounts, count);
	for (i = 0; i < count; i++)
	{
		if (limits[i].position_rank == DT_NOBEGIN)
			mf_array_add_text(&accounts, limits[i].account);
	}
	if (accounts.count == 0)
		return;
	values[0] = mf_array_datum(&accounts, TEXTOID);
	values[1] = TimestampTzGetDatum(now);
	values[2] = Int32GetDatum(PROMOTE_LIMIT);
	if (mf_sql_execute(scope, &unpromoted_statement, values, NULL) == 0)
		return;
	promotion.invoices = mf_result_int8_array();
	error = mf_sql_try(promote_entries, &promotion);
	if (error == NULL)
		return;
	promote_at = TimestampTzPlusMilliseconds(now, PROMOTE_FAILED_MS);
	ereport(LOG,
			(mf_log_event("priority_ignored", "could not order due invoices by priority"),
			 errdetail_internal("%s", mf_error_text(error)),
			 errhint("They are sent in the order in which they became due.")));
}

static void
promote_entries(void *argument)
{
	Promotion  *promotion = (Promotion *) argument;

	(void) mf_sql_execute(promotion->scope, &promote_statement, &promotion->invoices, NULL);
}
