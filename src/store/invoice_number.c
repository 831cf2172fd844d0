/*
 * invoice_number.c
 *	  SQL of mf_invoice_number: which row has which InvoiceId.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/invoice_number.c
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/failpoint.h"
#include "database/sql_array.h"
#include "store/invoice_number.h"
#include "store/queue.h"
#include "store/table_rows.h"

/* Attribute numbers of mf_invoice_number, as in the install script */
#define NUMBER_INVOICE_ID 1
#define NUMBER_INVOICE 2
#define NUMBER_COLUMNS 2

/* invoice_id, invoice */
static const Oid number_types[] = {InvalidOid, INT8OID, INT8OID};

/* a row may have had the same number before */
static MfStatement add_statement = {
	"WITH n AS MATERIALIZED (SELECT DISTINCT u.invoice_id, u.invoice FROM unnest($1, $2) AS u(invoice_id, invoice)), "
	"w AS (INSERT INTO @mf_invoice_number (invoice_id, invoice) SELECT n.invoice_id, n.invoice FROM n "
	"  ORDER BY n.invoice_id, n.invoice ON CONFLICT DO NOTHING RETURNING 1) "
	"SELECT (SELECT count(*) FROM n WHERE NOT EXISTS (SELECT FROM @mf_invoice_number k "
	"  WHERE k.invoice_id = n.invoice_id AND k.invoice = n.invoice)) - (SELECT count(*) FROM w)",
	2, {INT8ARRAYOID, INT8ARRAYOID}, NULL
};

/* those whose number another row has, or has had */
static MfStatement shared_statement = {
	"SELECT i.id::int8, i.invoice_id::text, i.account::text FROM @mf_invoice i WHERE i.id = ANY ($1) AND EXISTS ("
	"  SELECT FROM @mf_invoice_number k WHERE k.invoice_id = i.invoice_id AND k.invoice <> i.id)",
	1, {INT8ARRAYOID}, NULL
};

static MfStatement holder_statement = {
	"SELECT i.id::int8 FROM " MF_HAVING_NUMBER("$1::int8") " AND i.id <> $2 AND @mf_shares_numbers(i.account, i.taken_over_from, $3) "
	"ORDER BY i.id + 0 LIMIT 1",
	3, {TEXTOID, INT8OID, TEXTOID}, NULL
};

static MfStatement restore_statement = {
	"INSERT INTO @mf_invoice_number (invoice_id, invoice) SELECT n.invoice_id, n.id FROM new_rows n "
	"WHERE n.invoice_id IS NOT NULL ORDER BY n.invoice_id, n.id ON CONFLICT DO NOTHING",
	0, {0}, NULL
};

static MfStatement not_restored_statement = {
	"SELECT FROM new_rows n WHERE n.invoice_id IS NOT NULL AND NOT " MF_IS_NUMBERED("n") " LIMIT 1",
	0, {0}, NULL
};

static MfStatement repair_statement = {
	"WITH r AS (INSERT INTO @mf_invoice_number (invoice_id, invoice) SELECT i.invoice_id, i.id FROM @mf_invoice i "
	"  WHERE i.invoice_id IS NOT NULL AND NOT " MF_IS_NUMBERED("i") " ON CONFLICT DO NOTHING RETURNING invoice), "
	MF_ROLES_BY_NAME
	"SELECT 'number', count(*) FROM r HAVING count(*) > 0",
	0, {0}, NULL
};

static int	insert_new(const MfSqlScope *scope, const MfSentInvoice *sent, int count);

bool
mf_number_lock(Oid schema, const char *invoice_id, bool wait)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, RelationRelationId, get_relname_relid("mf_invoice_number", schema),
					   (uint16) hash_bytes((const unsigned char *) invoice_id, strlen(invoice_id)));
	return LockAcquire(&tag, ExclusiveLock, false, !wait) != LOCKACQUIRE_NOT_AVAIL;
}

void
mf_number_add(const MfSqlScope *scope, const MfSentInvoice *sent, int count)
{
	int			i = insert_new(scope, sent, count);
	MfArray    *columns;

	if (i == count)
		return;
	columns = mf_columns_start(&add_statement, count - i);
	for (; i < count; i++)
	{
		if (sent[i].invoice_id == 0)
			continue;
		mf_array_add(&columns[0], Int64GetDatum(sent[i].invoice_id));
		mf_array_add(&columns[1], Int64GetDatum(sent[i].invoice));
	}
	mf_columns_change(scope, &add_statement, columns);
}

/*
 * The first part of what add_statement does, without SQL: nearly always all of
 * it.  Returns how many there were before the first one that may be left.
 */
static int
insert_new(const MfSqlScope *scope, const MfSentInvoice *sent, int count)
{
	MfTable    *table = mf_table_open(scope->schema, "mf_invoice_number", NULL, number_types, NUMBER_COLUMNS, true);
	Datum		values[NUMBER_COLUMNS];
	bool		isnull[NUMBER_COLUMNS] = {false};
	int			done = 0;
	int			i;

	if (table == NULL)
		return 0;
	mf_table_begin(table);
	for (i = 0; i < count; i++)
	{
		int			waiting;

		if (sent[i].invoice_id != 0)
		{
			MF_FAILPOINT_ROW("row of mf_invoice_number", sent[i].invoice);
			values[NUMBER_INVOICE_ID - 1] = Int64GetDatum(sent[i].invoice_id);
			values[NUMBER_INVOICE - 1] = Int64GetDatum(sent[i].invoice);
			mf_table_add(table, values, isnull, NULL);
		}
		waiting = table->waiting;
		if (waiting < MF_TABLE_BATCH && i < count - 1)
			continue;
		if (mf_table_insert(table, true) < waiting)
			break;
		done = i + 1;
	}
	mf_table_close(table);
	CommandCounterIncrement();
	return done;
}

void
mf_number_flag_shared(const MfSqlScope *scope, const MfSentInvoice *sent, int count)
{
	Datum		value = mf_ids_of(sent, sizeof(MfSentInvoice), count);
	int			shared = (int) mf_sql_execute(scope, &shared_statement, &value, NULL);
	MfFollowUp *flags = (MfFollowUp *) palloc0(Max(shared, 1) * sizeof(MfFollowUp));
	const char **numbers = (const char **) palloc(Max(shared, 1) * sizeof(char *));
	const char **accounts = (const char **) palloc(Max(shared, 1) * sizeof(char *));
	int			flagged = 0;
	int			i;

	for (i = 0; i < shared; i++)
	{
		flags[i].invoice = mf_result_int8(i, 1);
		numbers[i] = mf_result_text(i, 2);
		accounts[i] = mf_result_text(i, 3);
	}
	for (i = 0; i < shared; i++)
	{
		Datum		values[] = {
			CStringGetTextDatum(numbers[i]), Int64GetDatum(flags[i].invoice), CStringGetTextDatum(accounts[i])
		};

		if (mf_sql_execute(scope, &holder_statement, values, NULL) == 0)
			continue;
		flags[flagged].invoice = flags[i].invoice;
		flags[flagged].next = MF_JOB_REVIEW;
		flags[flagged].due = DT_NOEND;
		flags[flagged].duplicate = true;
		flags[flagged++].error = psprintf("MyFatoorah answered with invoice %s, which is that of invoice " INT64_FORMAT
										  " already; so the link may be that of another customer", numbers[i], mf_result_int8(0, 1));
	}
	if (flagged > 0)
		mf_queue_follow_up(scope, flags, flagged);
}

void
mf_number_restore(const MfSqlScope *scope)
{
	(void) mf_sql_execute(scope, &restore_statement, NULL, NULL);
	if (mf_sql_execute(scope, &not_restored_statement, NULL, NULL) > 0)
		mf_change_suppressed();
}

uint64
mf_number_repair(const MfSqlScope *scope)
{
	return mf_sql_execute(scope, &repair_statement, NULL, NULL);
}
