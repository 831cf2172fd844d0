/*
 * queue_promote.c
 *	  Gives due agenda entries the rank by their priority.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/queue_promote.c
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/log_event.h"
#include "database/sql_array.h"
#include "store/queue_internal.h"
#include "store/queue_promote.h"

#define PROMOTE_LIMIT 1000		/* entries at a time, of all accounts together */
#define FAILED_DELAY_MS 60000	/* pause after a failure */

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

static TimestampTz not_before = 0;	/* end of the pause after a failure */

static void promote_entries(void *argument);

void
mf_promote_due(const MfSqlScope *scope, const MfClaimLimit *limits, int count, TimestampTz now)
{
	Promotion	promotion = {scope, (Datum) 0};
	MfArray		accounts;
	Datum		values[3];
	ErrorData  *error;
	int			i;

	if (now < not_before)
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
	not_before = TimestampTzPlusMilliseconds(now, FAILED_DELAY_MS);
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
