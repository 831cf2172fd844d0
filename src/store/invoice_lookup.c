/*
 * invoice_lookup.c
 *	  Finds and locks invoices for functions that people call.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/invoice_lookup.c
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "database/sql_array.h"
#include "database/sql_version.h"
#include "store/archive.h"
#include "store/invoice_lookup.h"
#include "store/queue_internal.h"
#include "store/row_rights.h"

static MfStatement may_have_made_statement = {
	"SELECT FROM @mf_attempt a WHERE a.invoice = $1 AND " MF_MAY_HAVE_MADE("a") " LIMIT 1", 1, {INT8OID}, NULL
};

/* an entry that another database has made, and that is to be sent, may have been sent there */
static MfStatement lock_entries_statement = {
	"SELECT invoice::int8, CASE WHEN kind = 'send' AND origin <> @mf_origin() THEN 'verify' ELSE kind END::text "
	"FROM @mf_queue WHERE invoice = ANY ($1) ORDER BY invoice FOR UPDATE", 1, {INT8ARRAYOID}, NULL
};

static MfStatement lock_invoices_statement = {
	"SELECT " MF_INVOICE_COLUMNS " FROM @mf_invoice WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE",
	1, {INT8ARRAYOID}, NULL
};

static MfStatement sees_statement = {
	"SELECT FROM @mf_invoice WHERE id = $1", 1, {INT8OID}, NULL
};

static MfStatement visible_statement = {
	"SELECT id::int8, status = 'sent' FROM @mf_invoice WHERE id = ANY ($1)", 1, {INT8ARRAYOID}, NULL
};

static MfStatement creators_statement = {
	"SELECT id::int8, created_by_id::oid FROM @mf_invoice WHERE id = ANY ($1)", 1, {INT8ARRAYOID}, NULL
};

static MfStatement archived_statement = {
	"SELECT k.id::int8 FROM @mf_archive_key k WHERE k.id = ANY ($1)", 1, {INT8ARRAYOID}, NULL
};

/* requires the right to update, and applies the policies of updates */
static MfStatement lock_as_caller_statement = {
	"SELECT id::int8 FROM @mf_invoice WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE", 1, {INT8ARRAYOID}, NULL
};

static Datum named_ids(const MfNamed *named, int count, bool seen_only, bool refused_too);
static MfNamed *get_named(MfNamed *named, int count, int64 invoice);
static void find_archived(Oid schema, MfNamed *named, int count);
static int	find_as_caller(Oid schema, MfStatement *statement, MfNamed *named, int count);

int64
mf_queue_find_by_reference(Oid schema, const char *reference, Oid *creator)
{
	static MfStatement statement = {
		"SELECT i.id::int8, i.created_by_id::oid FROM @mf_invoice i WHERE i.reference IS NOT NULL AND i.reference = $1",
		1, {TEXTOID}, NULL
	};
	MfSqlScope	scope;
	Datum		stem;
	int64		invoice = 0;
	int			length;

	mf_sql_require_version();
	(void) mf_reference_number(reference, &length);
	if (!mf_reference_is_made(reference, length))
		return 0;				/* a look into the table takes longer than all other checks of a call */
	stem = PointerGetDatum(cstring_to_text_with_len(reference, length));
	mf_sql_begin(&scope, schema);
	scope.latest = true;
	if (mf_sql_execute(&scope, &statement, &stem, NULL) > 0)
	{
		invoice = mf_result_int8(0, 1);
		*creator = mf_result_oid(0, 2);
	}
	mf_sql_end(&scope);
	return invoice;
}

MfExistence
mf_queue_existence(Oid schema, int64 invoice)
{
#define LINK_IS_DEAD "i.status = 'sent' AND i.payment_status IN ('expired', 'remote_cancelled')"
	static MfStatement statement = {
		"SELECT false, " LINK_IS_DEAD " FROM @mf_invoice i WHERE i.id = $1 "
		"UNION ALL SELECT true, false FROM @mf_archive_key k WHERE k.id = $1 AND k.paid",
		1, {INT8OID}, NULL
	};
	MfSqlScope	scope;
	Datum		value = Int64GetDatum(invoice);
	MfExistence existence = MF_ROW_GONE;

	mf_sql_begin(&scope, schema);
	scope.latest = true;
	if (mf_sql_execute(&scope, &statement, &value, NULL) > 0)
		existence = mf_result_bool(0, 1) ? MF_ROW_ARCHIVED :
			mf_result_bool(0, 2) ? MF_LINK_DEAD :
			MF_ROW_THERE;
	mf_sql_end(&scope);
	return existence;
}

int64
mf_queue_lock_to_pay(Oid schema, int64 invoice)
{
	static MfStatement statement = {
		"SELECT coalesce((SELECT r.id FROM @mf_invoice r WHERE r.id = i.replaced_by), "
		"  (SELECT k.id FROM @mf_archive_key k WHERE k.id = i.replaced_by), i.id)::int8 "
		"FROM @mf_invoice i WHERE i.id = $1 FOR NO KEY UPDATE", 1, {INT8OID}, NULL
	};
	MfSqlScope	scope;
	Datum		value = Int64GetDatum(invoice);

	mf_sql_begin(&scope, schema);
	if (mf_sql_execute(&scope, &statement, &value, NULL) > 0)
		invoice = mf_result_int8(0, 1);
	mf_sql_end(&scope);
	return invoice;
}

bool
mf_queue_is_visible(Oid schema, int64 invoice)
{
	MfSqlScope	scope;
	Datum		value = Int64GetDatum(invoice);
	bool		found;

	mf_sql_begin_as_caller(&scope, schema);
	scope.in_query = true;
	found = mf_sql_execute(&scope, &sees_statement, &value, NULL) > 0;
	mf_sql_end(&scope);
	return found;
}

void
mf_queue_find_named(Oid schema, MfNamed *named, int count)
{
	if (find_as_caller(schema, &visible_statement, named, count) < count)
		find_archived(schema, named, count);
}

/* Sets "archived" of those that are.  Roles that are under policies do not see archived rows. */
static void
find_archived(Oid schema, MfNamed *named, int count)
{
	MfSqlScope	scope;
	Datum		value;
	uint64		rows;
	uint64		i;

	if (!mf_archive_any(schema) || mf_is_under_policies(schema))
		return;
	value = named_ids(named, count, false, true);
	mf_sql_begin(&scope, schema);
	rows = mf_sql_execute(&scope, &archived_statement, &value, NULL);
	for (i = 0; i < rows; i++)
	{
		int64		invoice = mf_result_int8(i, 1);

		get_named(named, count, invoice)->archived = true;
	}
	mf_sql_end(&scope);
}

/* Runs a statement as the current role, and sets "seen" and "sent" of what it finds; returns their number. */
static int
find_as_caller(Oid schema, MfStatement *statement, MfNamed *named, int count)
{
	MfSqlScope	scope;
	Datum		value = named_ids(named, count, false, statement != &lock_as_caller_statement);
	uint64		rows;
	uint64		i;

	mf_sql_begin_as_caller(&scope, schema);
	rows = mf_sql_execute(&scope, statement, &value, NULL);
	for (i = 0; i < rows; i++)
	{
		MfNamed    *found = get_named(named, count, mf_result_int8(i, 1));

		found->seen = true;
		found->sent = SPI_tuptable->tupdesc->natts > 1 && mf_result_bool(i, 2);
	}
	mf_sql_end(&scope);
	return (int) rows;
}

static Datum
named_ids(const MfNamed *named, int count, bool seen_only, bool refused_too)
{
	MfArray		invoices;
	int			i;

	mf_array_init(&invoices, count);
	for (i = 0; i < count; i++)
	{
		if ((named[i].seen || !seen_only) && (!named[i].refused || refused_too))
			mf_array_add(&invoices, Int64GetDatum(named[i].invoice));
	}
	return mf_array_datum(&invoices, INT8OID);
}

/* Finds the one with that id; raises an error if there is none. */
static MfNamed *
get_named(MfNamed *named, int count, int64 invoice)
{
	MfNamed		key = {.invoice = invoice};
	MfNamed    *found = (MfNamed *) bsearch(&key, named, count, sizeof(MfNamed), mf_compare_ids);

	if (found == NULL)
		elog(ERROR, "found invoice " INT64_FORMAT ", which was not asked for", invoice);
	return found;
}

bool
mf_queue_may_exist(Oid schema, int64 invoice)
{
	MfSqlScope	scope;
	Datum		value = Int64GetDatum(invoice);
	Datum		array = mf_int8_array(&invoice, 1);
	bool		may_exist = false;

	mf_sql_begin(&scope, schema);
	if (mf_sql_execute(&scope, &lock_entries_statement, &array, NULL) > 0)
		may_exist = mf_job_kind(mf_result_text(0, 2)) == MF_JOB_VERIFY;
	if (!may_exist)
		may_exist = mf_sql_execute(&scope, &may_have_made_statement, &value, NULL) > 0;
	mf_sql_end(&scope);
	return may_exist;
}

void
mf_queue_find_refused(Oid schema, MfNamed *named, int count)
{
	Oid			table = get_relname_relid("mf_invoice", schema);
	Oid			role = GetUserId();
	MfSqlScope	scope;
	Datum		value;
	uint64		rows;
	uint64		i;

	/* all rows are those of whoever owns the table, and of operators */
	if (mf_has_row_right(table, InvalidOid))
		return;
	value = named_ids(named, count, false, true);
	mf_sql_begin(&scope, schema);
	rows = mf_sql_execute(&scope, &creators_statement, &value, NULL);
	for (i = 0; i < rows; i++)
	{
		MfNamed    *found = get_named(named, count, mf_result_int8(i, 1));

		found->creator = mf_result_oid(i, 2);
		found->refused = !mf_role_has_row_right(table, found->creator, role);
	}
	mf_sql_end(&scope);
}

void
mf_queue_lock_named(Oid schema, MfNamed *named, int count)
{
	int			locked = find_as_caller(schema, &lock_as_caller_statement, named, count);
	MfSqlScope	scope;
	Datum		value;
	uint64		rows;
	uint64		i;

	/* invoices before entries, as an UPDATE and its trigger do, so that sessions do not deadlock */
	if (locked > 0)
	{
		value = named_ids(named, count, true, false);
		mf_sql_begin(&scope, schema);
		rows = mf_sql_execute(&scope, &lock_invoices_statement, &value, NULL);
		for (i = 0; i < rows; i++)
		{
			MfJob	   *job = mf_queue_read_invoice(SPI_tuptable->vals[i], SPI_tuptable->tupdesc);

			job->kind = MF_JOB_NONE;
			memset(&job->request, 0, sizeof(job->request));
			get_named(named, count, job->invoice)->job = job;
		}
		rows = mf_sql_execute(&scope, &lock_entries_statement, &value, NULL);
		for (i = 0; i < rows; i++)
		{
			MfNamed    *entry = get_named(named, count, mf_result_int8(i, 1));

			if (entry->job != NULL)
				entry->job->kind = mf_job_kind(mf_result_text(i, 2));
		}
		mf_sql_end(&scope);
	}
	if (locked < count)
		mf_queue_find_named(schema, named, count);
}
