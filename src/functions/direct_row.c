/*
 * direct_row.c
 *	  Rows of mf_invoice for invoices that the current session has made or found.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/direct_row.c
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/encoding.h"
#include "database/digest.h"
#include "database/sql.h"
#include "database/sql_array.h"
#include "flight/flight.h"
#include "functions/direct_row.h"
#include "store/column_types.h"
#include "store/inquiries_open.h"
#include "store/queue.h"

#define FIELDS \
	"customer_name, invoice_value, notification_option, customer_email, customer_mobile, mobile_country_code, " \
	"display_currency_iso, language, customer_reference, customer_civil_id, user_defined_field, call_back_url, " \
	"error_url, webhook_url, expiry_date, customer_address, invoice_items, shipping_method, shipping_consignee, " \
	"suppliers, processing_details, invoice_payment_methods, source_info"

/* In the order of mf_send_payment_fields[]; runs with the rights of the current role */
static MfStatement insert_statement = {
	"INSERT INTO @mf_invoice (" FIELDS ", account) "
	"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24) "
	"RETURNING id::int8, reference::text, " FIELDS,
	MF_SP_COUNT + 1,
	{TEXTOID, NUMERICOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,
		TEXTOID, TEXTOID, TIMESTAMPTZOID, JSONBOID, JSONBOID, INT2OID, JSONBOID, JSONBOID, JSONBOID, INT4ARRAYOID,
		TEXTOID, TEXTOID}, NULL
};

MfDirectRow *
mf_direct_insert(Oid schema, const MfRequest *request, const char *account)
{
	MfDirectRow *row = (MfDirectRow *) palloc0(sizeof(MfDirectRow));
	MemoryContext context = CurrentMemoryContext;
	Datum		values[MF_SP_COUNT + 1];
	char		nulls[MF_SP_COUNT + 1];
	MfSqlScope	scope;
	HeapTuple	tuple;
	TupleDesc	desc;
	int			i;

	for (i = 0; i < MF_SP_COUNT; i++)
	{
		values[i] = request->values[i];
		nulls[i] = request->isnull[i] ? 'n' : ' ';
	}
	values[MF_SP_COUNT] = CStringGetTextDatum(account);
	nulls[MF_SP_COUNT] = ' ';

	mf_sql_begin_as_caller(&scope, schema);
	if (mf_sql_execute(&scope, &insert_statement, values, nulls) != 1)
		mf_change_suppressed();
	tuple = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	MemoryContextSwitchTo(context);
	row->schema = schema;
	row->invoice = DatumGetInt64(mf_result(tuple, desc, 1, NULL));
	row->reference = TextDatumGetCString(mf_result(tuple, desc, 2, NULL));
	for (i = 0; i < MF_SP_COUNT; i++)
	{
		int16		length;
		bool		by_value;
		Datum		value = mf_result(tuple, desc, 3 + i, &row->request.isnull[i]);

		get_typlenbyval(mf_request_type((MfSendPaymentField) i), &length, &by_value);
		if (!row->request.isnull[i])
			row->request.values[i] = datumCopy(value, by_value, length);
	}
	mf_sql_end(&scope);
	return row;
}

void
mf_direct_start(const MfDirectRow *row, const MfAccount *account, const void *body, size_t body_len)
{
	MfAttempt	attempt;
	MfTransition transition;
	MfSqlScope	scope;

	memset(&attempt, 0, sizeof(attempt));
	attempt.invoice = row->invoice;
	attempt.attempt = 1;
	attempt.reference = row->reference;
	attempt.send_by = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), account->timeout_ms);
	mf_digest(body, body_len, attempt.body_sha256);

	memset(&transition, 0, sizeof(transition));
	transition.invoice = row->invoice;
	transition.from = MF_STATUS_QUEUED;
	transition.to = MF_STATUS_SENDING;
	transition.attempt = 1;
	transition.next = MF_JOB_SENDING;
	transition.due = attempt.send_by;

	mf_sql_begin(&scope, row->schema);
	mf_queue_begin_attempts(&scope, &attempt, 1);
	mf_queue_apply(&scope, &transition, 1);
	mf_sql_end(&scope);
}

void
mf_direct_accepted(const MfDirectRow *row, int http_status, const MfSendResult *result)
{
	MfAttemptEnd end;
	MfTransition transition;
	MfSqlScope	scope;
	TimestampTz now = GetCurrentTimestamp();

	memset(&end, 0, sizeof(end));
	end.invoice = row->invoice;
	end.attempt = 1;
	end.reference = row->reference;
	end.outcome = MF_OUTCOME_ACCEPTED;
	end.http_status = http_status;
	end.invoice_id = result->invoice_id;
	end.invoice_url = result->invoice_url ? mf_from_utf8_lossy(result->invoice_url) : NULL;
	if (result->customer_reference != NULL && strcmp(result->customer_reference, mf_to_utf8(row->reference)) != 0)
		end.answered_reference = mf_from_utf8_lossy(result->customer_reference);
	mf_attempt_transition(&end, now, now, &transition);
	transition.actor = GetUserNameFromId(GetUserId(), false);
	transition.reason = "accepted by mf_send_payment()";

	mf_sql_begin(&scope, row->schema);
	mf_queue_end_attempts(&scope, &end, 1);
	mf_queue_apply(&scope, &transition, 1);
	mf_sql_end(&scope);
}

void
mf_direct_found(const MfDirectRow *row, const char *invoice_id)
{
	MfTransition transition;
	MfSqlScope	scope;

	/* queued to sent is no allowed transition; a row that a look-up finds goes the same way */
	memset(&transition, 0, sizeof(transition));
	transition.invoice = row->invoice;
	transition.from = MF_STATUS_QUEUED;
	transition.to = MF_STATUS_UNKNOWN;
	transition.next = MF_JOB_RECONCILE;
	transition.due = GetCurrentTimestamp();
	transition.actor = GetUserNameFromId(GetUserId(), false);
	transition.reason = "made elsewhere";
	mf_sql_begin(&scope, row->schema);
	mf_queue_apply(&scope, &transition, 1);

	transition.from = MF_STATUS_UNKNOWN;
	transition.to = MF_STATUS_SENT;
	transition.next = MF_JOB_NONE;
	transition.invoice_id = invoice_id;
	transition.linkless = "the invoice was made elsewhere; the MyFatoorah portal shows its link";
	transition.reason = "taken over by mf_adopt()";
	mf_queue_apply(&scope, &transition, 1);
	mf_sql_end(&scope);
}
