/*
 * deleted_invoices.c
 *	  Deletes what belongs to deleted invoices.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/deleted_invoices.c
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "database/sql.h"
#include "database/sql_array.h"
#include "store/deleted_invoices.h"

static MfStatement forget_statement = {
	"WITH q AS (DELETE FROM @mf_queue WHERE invoice = $1), "
	/* who has edited the row when stays in the history, but not its values */
	"t AS (UPDATE @mf_transition SET changes = NULL WHERE invoice = $1 AND changes IS NOT NULL), "
	"k AS (DELETE FROM @mf_invoice_number WHERE invoice_id = $2 AND invoice = $1), "
	"r AS (DELETE FROM @mf_reaction_queue WHERE invoice = $1) "
	"DELETE FROM @mf_inquiry WHERE invoice = $1",
	2, {INT8OID, INT8OID}, NULL
};

static MfStatement forget_all_statement = {
	"WITH a AS (DELETE FROM @mf_attempt), t AS (DELETE FROM @mf_transition), p AS (DELETE FROM @mf_transaction), "
	"q AS (DELETE FROM @mf_inquiry), r AS (DELETE FROM @mf_reaction_queue WHERE invoice IS NOT NULL), m AS (DELETE FROM @mf_money), "
	"d AS (DELETE FROM @mf_dispute_state), k AS (DELETE FROM @mf_invoice_number) "
	"UPDATE @mf_event SET invoice = NULL, due = NULL WHERE invoice IS NOT NULL",
	0, {0}, NULL
};

/*
 * What stayed would become the history of another invoice with the same id.  Rows
 * are not counted before, because the process that calls functions of mf_on_change()
 * may delete some at the same time.
 */
static MfStatement kept_statement = {
	"SELECT FROM (VALUES (1)) v WHERE EXISTS (SELECT FROM @mf_attempt) OR EXISTS (SELECT FROM @mf_transition) "
	"  OR EXISTS (SELECT FROM @mf_transaction) OR EXISTS (SELECT FROM @mf_inquiry) OR EXISTS (SELECT "
	"    FROM @mf_reaction_queue WHERE invoice IS NOT NULL) "
	"  OR EXISTS (SELECT FROM @mf_money) OR EXISTS (SELECT FROM @mf_dispute_state) OR EXISTS (SELECT "
	"    FROM @mf_invoice_number) "
	"  OR EXISTS (SELECT FROM @mf_event WHERE invoice IS NOT NULL)",
	0, {0}, NULL
};

void
mf_invoice_deleted(Oid schema, int64 invoice, int64 invoice_id)
{
	Datum		values[2] = {Int64GetDatum(invoice), Int64GetDatum(invoice_id)};

	(void) mf_execute_alone(schema, &forget_statement, values, NULL);
}

void
mf_invoices_truncated(Oid schema)
{
	MfSqlScope	scope;

	mf_sql_begin(&scope, schema);
	(void) mf_sql_execute(&scope, &forget_all_statement, NULL, NULL);
	if (mf_sql_execute(&scope, &kept_statement, NULL, NULL) > 0)
		mf_change_suppressed();
	mf_sql_end(&scope);
}
