/*
 * forget.c
 *	  What goes with deleted invoices.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/forget.c
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "forget.h"
#include "sql.h"
#include "sql_array.h"

static MfStatement forget_statement = {
	"WITH q AS (DELETE FROM @mf_queue WHERE invoice = $1), "
	/* who has changed it when stays known; what it said is gone */
	"t AS (UPDATE @mf_transition SET changes = NULL WHERE invoice = $1 AND changes IS NOT NULL), "
	"r AS (DELETE FROM @mf_reaction_queue WHERE invoice = $1) "
	"DELETE FROM @mf_inquiry WHERE invoice = $1",
	1, {INT8OID}, NULL
};

/* counted, because what stays would be taken for the history of the next invoice with that id */
static MfStatement forget_all_statement = {
	"WITH a AS (DELETE FROM @mf_attempt RETURNING 1), t AS (DELETE FROM @mf_transition RETURNING 1), "
	"p AS (DELETE FROM @mf_transaction RETURNING 1), q AS (DELETE FROM @mf_inquiry RETURNING 1), "
	"r AS (DELETE FROM @mf_reaction_queue RETURNING 1), "
	"m AS (DELETE FROM @mf_money RETURNING 1), d AS (DELETE FROM @mf_dispute_state RETURNING 1), "
	"e AS (UPDATE @mf_event SET invoice = NULL, due = NULL WHERE invoice IS NOT NULL RETURNING 1) "
	"SELECT (SELECT count(*) FROM @mf_attempt) - (SELECT count(*) FROM a) "
	"  + (SELECT count(*) FROM @mf_transition) - (SELECT count(*) FROM t) "
	"  + (SELECT count(*) FROM @mf_transaction) - (SELECT count(*) FROM p) "
	"  + (SELECT count(*) FROM @mf_inquiry) - (SELECT count(*) FROM q) "
	"  + (SELECT count(*) FROM @mf_reaction_queue) - (SELECT count(*) FROM r) "
	"  + (SELECT count(*) FROM @mf_money) - (SELECT count(*) FROM m) "
	"  + (SELECT count(*) FROM @mf_dispute_state) - (SELECT count(*) FROM d) "
	"  + (SELECT count(*) FROM @mf_event WHERE invoice IS NOT NULL) - (SELECT count(*) FROM e)",
	0, {0}, NULL
};

/* See forget.h. */
void
mf_forget_invoice(Oid schema, int64 invoice)
{
	MfSqlScope	scope;
	Datum		value = Int64GetDatum(invoice);

	mf_sql_begin(&scope, schema);
	(void) mf_sql_execute(&scope, &forget_statement, &value, NULL);
	mf_sql_end(&scope);
}

/* See forget.h. */
void
mf_forget_all(Oid schema)
{
	MfSqlScope	scope;

	mf_sql_begin(&scope, schema);
	(void) mf_change(&scope, &forget_all_statement, NULL, NULL);
	mf_sql_end(&scope);
}
