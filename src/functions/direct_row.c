/*
 * direct_row.c
 *	  Rows of mf_invoice for invoices that the current session has made or found;
 *	  mf_adopt(): creates one for an invoice that was made elsewhere.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/direct_row.c
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/encoding.h"
#include "database/digest.h"
#include "database/function_args.h"
#include "database/sql_array.h"
#include "flight/flight.h"
#include "functions/direct_row.h"
#include "functions/direct_status.h"
#include "process/wakeup.h"
#include "store/inquiries_open.h"
#include "store/row_rights.h"

#define FIELDS \
	"customer_name, invoice_value, notification_option, customer_email, customer_mobile, mobile_country_code, " \
	"display_currency_iso, language, customer_reference, customer_civil_id, user_defined_field, call_back_url, " \
	"error_url, webhook_url, expiry_date, customer_address, invoice_items, shipping_method, shipping_consignee, " \
	"suppliers, processing_details, invoice_payment_methods, source_info, payment_method_id, recurring_type, " \
	"interval_days, iteration, retry_count"

/* In the order of mf_send_payment_fields[]; runs with the rights of the current role */
static MfStatement insert_statement = {
	"INSERT INTO @mf_invoice (" FIELDS ", account) "
	"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, "
	"$25, $26, $27, $28, $29) "
	"RETURNING id::int8, reference::text, " FIELDS,
	MF_SP_COUNT + 1,
	{TEXTOID, NUMERICOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,
		TEXTOID, TEXTOID, TIMESTAMPTZOID, JSONBOID, JSONBOID, INT2OID, JSONBOID, JSONBOID, JSONBOID, INT4ARRAYOID,
		TEXTOID, INT4OID, TEXTOID, INT4OID, INT4OID, INT4OID, TEXTOID}, NULL
};

static void refuse_number(const char *invoice_id, int64 holder);
static int64 find_holder(Oid schema, const char *account, const char *invoice_id, const char *reference, int64 taker);
static void wait_for_reference(Oid schema, Datum reference);
static void set_text(MfRequest *request, MfSendPaymentField field, const char *utf8);
static void read_request(const MfStatusResult *found, const MfAccount *account, MfRequest *request);

PG_FUNCTION_INFO_V1(mf_adopt);

MfDirectRow *
mf_direct_insert(Oid schema, const MfRequest *request, const char *account)
{
	MfDirectRow *row = (MfDirectRow *) palloc0(sizeof(MfDirectRow));
	Datum		values[MF_SP_COUNT + 1];
	char		nulls[MF_SP_COUNT + 1];
	MfSqlScope	scope;
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
	row->schema = schema;
	row->invoice = mf_result_int8(0, 1);
	row->reference = mf_result_text(0, 2);
	for (i = 0; i < MF_SP_COUNT; i++)
	{
		int16		length;
		bool		by_value;
		Datum		value = mf_result(0, 3 + i, &row->request.isnull[i]);

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

	mf_transition_begin(&transition, row->invoice, MF_STATUS_QUEUED, 1, attempt.send_by, NULL);
	transition.to = MF_STATUS_SENDING;
	transition.next = MF_JOB_SENDING;

	mf_sql_begin(&scope, row->schema);
	mf_queue_begin_attempts(&scope, &attempt, 1);
	mf_queue_apply(&scope, &transition, 1);
	mf_sql_end(&scope);
}

void
mf_direct_accepted(const MfDirectRow *row, int http_status, const MfSendResult *result, const char *function)
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
	end.invoice_url = mf_from_utf8_lossy(result->invoice_url);
	end.recurring_id = mf_from_utf8_lossy(result->recurring_id);
	if (result->customer_reference != NULL && strcmp(result->customer_reference, mf_to_utf8(row->reference)) != 0)
		end.answered_reference = mf_from_utf8_lossy(result->customer_reference);
	mf_attempt_transition(&end, now, now, &transition);
	transition.actor = mf_acting_role();
	transition.reason = psprintf("accepted by %s()", function);

	mf_sql_begin(&scope, row->schema);
	mf_queue_end_attempts(&scope, &end, 1, false);
	mf_queue_apply(&scope, &transition, 1);
	mf_sql_end(&scope);
}

/* Makes the row "sent" without an attempt, with the InvoiceId of an invoice that MyFatoorah has. */
static void
take_over(const MfDirectRow *row, const char *invoice_id, const MfAccount *account)
{
	static MfStatement statement = {
		"UPDATE @mf_invoice SET taken_over_from = $2 WHERE id = $1", 2, {INT8OID, TEXTOID}, NULL
	};
	Datum		values[] = {Int64GetDatum(row->invoice), CStringGetTextDatum(account->base_url)};
	MfTransition transition;
	MfSqlScope	scope;

	/* queued to sent is no allowed transition; a row that a look-up finds goes the same way */
	mf_transition_begin(&transition, row->invoice, MF_STATUS_QUEUED, 0, GetCurrentTimestamp(), mf_acting_role());
	transition.to = MF_STATUS_UNKNOWN;
	transition.next = MF_JOB_RECONCILE;
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
	if (mf_sql_execute(&scope, &statement, values, NULL) == 0)
		mf_change_suppressed();
	mf_sql_end(&scope);
}

/*
 * Lets the number of an invoice that was taken over count at the address of the account,
 * which is another now.  False if the row is no such one of the account.  Raises 55000 if
 * what MyFatoorah has there is not the invoice of the row.
 */
static bool
take_over_again(Oid schema, int64 invoice, const char *invoice_id, const MfAccount *account, const MfRequest *request)
{
#define TAKEN_OVER "i.id = $1 AND i.invoice_id = $2::int8 AND i.account = $3 AND i.taken_over_from <> $4"
	static MfStatement creator_statement = {
		"SELECT i.created_by_id::oid FROM @mf_invoice i WHERE " TAKEN_OVER, 4, {INT8OID, TEXTOID, TEXTOID, TEXTOID}, NULL
	};
	static MfStatement statement = {
		"WITH r AS MATERIALIZED (SELECT i.id, coalesce((i.customer_name = $5 OR i.erased_at IS NOT NULL) AND i.invoice_value = $6 "
		"    AND (i.recurring_id IS NOT NULL OR i.customer_reference IS NOT DISTINCT FROM $7), false) AS same FROM @mf_invoice i "
		"  WHERE " TAKEN_OVER " FOR NO KEY UPDATE), "
		"u AS (UPDATE @mf_invoice i SET taken_over_from = $4 FROM r WHERE i.id = r.id AND i.id = $1 AND r.same RETURNING 1) "
		"SELECT r.same, r.same AND NOT EXISTS (SELECT FROM u) FROM r",
		7, {INT8OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, NUMERICOID, TEXTOID}, NULL
	};
	Datum		values[] = {
		Int64GetDatum(invoice), CStringGetTextDatum(invoice_id), CStringGetTextDatum(account->name),
		CStringGetTextDatum(account->base_url), request->values[MF_SP_CUSTOMER_NAME],
		request->values[MF_SP_INVOICE_VALUE], request->values[MF_SP_CUSTOMER_REFERENCE]
	};
	char		nulls[] = "       ";
	MfSqlScope	scope;
	bool		taken_over;
	bool		same = false;
	Oid			creator = InvalidOid;

	nulls[4] = request->isnull[MF_SP_CUSTOMER_NAME] ? 'n' : ' ';
	nulls[5] = request->isnull[MF_SP_INVOICE_VALUE] ? 'n' : ' ';
	nulls[6] = request->isnull[MF_SP_CUSTOMER_REFERENCE] ? 'n' : ' ';
	mf_sql_begin(&scope, schema);
	scope.latest = true;
	taken_over = mf_sql_execute(&scope, &creator_statement, values, NULL) > 0;
	if (taken_over)
		creator = mf_result_oid(0, 1);
	mf_sql_end(&scope);
	if (!taken_over)
		return false;
	/* whoever may not change the row does not wait for its lock */
	mf_check_row_right(invoice, get_relname_relid("mf_invoice", schema), creator);
	mf_sql_begin(&scope, schema);
	scope.latest = true;
	taken_over = mf_sql_execute(&scope, &statement, values, nulls) > 0;
	if (taken_over)
	{
		same = mf_result_bool(0, 1);
		if (mf_result_bool(0, 2))
			mf_change_suppressed();
	}
	mf_sql_end(&scope);
	if (taken_over && !same)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("invoice %s at %s is not that of invoice %lld", invoice_id, account->base_url, (long long) invoice),
				 errdetail("Its CustomerName, value or CustomerReference differs."),
				 errhint("Give the account of this address a server of its own, and put base_url, country and environment of account \"%s\" back.",
						 account->name)));
	return taken_over;
}

Datum
mf_adopt(PG_FUNCTION_ARGS)
{
	Oid			schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	char	   *key = mf_required_text(fcinfo, 0, "invoice_id");
	const MfAccount *account;
	const MfStatusResult *found;
	MfRequest	request;
	int64		invoice;
	const char *invoice_id;
	const char *reference;
	bool		too_often = false;

	mf_refuse_in_trigger("mf_adopt");
	found = mf_find_invoice(schema, "invoice_id", key, "InvoiceId", mf_required_text(fcinfo, 1, "account"), &account);
	invoice_id = found->values[MF_PS_INVOICE_ID];
	reference = found->values[MF_PS_CUSTOMER_REFERENCE];

	invoice = find_holder(schema, account->name, invoice_id, mf_from_utf8_lossy(reference), 0);
	read_request(found, account, &request);
	if (invoice == 0)
	{
		MfDirectRow *row = mf_direct_insert(schema, &request, account->name);

		take_over(row, invoice_id, account);
		invoice = row->invoice;
	}
	else
	{
		int64		other = find_holder(schema, account->name, invoice_id, NULL, invoice);

		if (other != 0 || !take_over_again(schema, invoice, invoice_id, account, &request))
			refuse_number(invoice_id, other != 0 ? other : invoice);
	}
	mf_inquiries_order(schema, GetUserId(), &invoice, &too_often, 1);
	mf_news_at_commit(MF_NEWS_INQUIRIES);
	PG_RETURN_INT64(invoice);
}

/* Fills a request with the fields of an invoice that GetPaymentStatus returns. */
static void
read_request(const MfStatusResult *found, const MfAccount *account, MfRequest *request)
{
	char	   *const *values = found->values;
	const char *value = values[MF_PS_INVOICE_VALUE];
	const char *currency = values[MF_PS_DISPLAY_CURRENCY];

	request->table = NULL;
	memset(request->isnull, true, sizeof(request->isnull));
	set_text(request, MF_SP_CUSTOMER_NAME, values[MF_PS_CUSTOMER_NAME]);
	set_text(request, MF_SP_NOTIFICATION_OPTION, "LNK");
	set_text(request, MF_SP_CUSTOMER_REFERENCE, values[MF_PS_CUSTOMER_REFERENCE]);
	set_text(request, MF_SP_USER_DEFINED_FIELD, values[MF_PS_USER_DEFINED_FIELD]);
	if (currency != NULL && values[MF_PS_INVOICE_DISPLAY_VALUE] != NULL && strcmp(currency, account->currency) != 0)
	{
		set_text(request, MF_SP_DISPLAY_CURRENCY_ISO, currency);
		value = values[MF_PS_INVOICE_DISPLAY_VALUE];
	}
	if (value != NULL)
	{
		request->values[MF_SP_INVOICE_VALUE] =
			DirectFunctionCall3(numeric_in, CStringGetDatum(value), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
		request->isnull[MF_SP_INVOICE_VALUE] = false;
	}
}

/* Sets a field unless the text is NULL or empty. */
static void
set_text(MfRequest *request, MfSendPaymentField field, const char *utf8)
{
	if (utf8 == NULL || utf8[0] == '\0')
		return;
	request->values[field] = CStringGetTextDatum(mf_from_utf8_lossy(utf8));
	request->isnull[field] = false;
}

void
mf_check_number_free(Oid schema, const char *account, const char *invoice_id, const char *reference, int64 taker)
{
	int64		holder = find_holder(schema, account, invoice_id, reference, taker);

	if (holder != 0)
		refuse_number(invoice_id, holder);
}

static void
refuse_number(const char *invoice_id, int64 holder)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("invoice %s of MyFatoorah is that of invoice %lld already", invoice_id, (long long) holder),
			 errhint("SELECT * FROM mf_invoice_all WHERE id = %lld shows it, unless its month was dropped or detached.",
					 (long long) holder)));
}

/*
 * Returns the id of the row, other than the one that takes the invoice, that has
 * this invoice of MyFatoorah, or one under its reference; 0 if there is none.  The
 * row may be archived, or of another account with the same address.
 *
 * A row is inserted before its invoice is sent, so it is in the index of references
 * once the invoice can be found.  A transaction that has inserted it is waited for before
 * any lock is taken, so that the sender never waits for this one.  The lock then
 * keeps others from adopting the same invoice until the end of the transaction.
 */
static int64
find_holder(Oid schema, const char *account, const char *invoice_id, const char *reference, int64 taker)
{
	static MfStatement statement = {
		"SELECT i.id::int8 FROM " MF_HAVING_NUMBER("$1::int8") " AND i.id <> $3 "
		"  AND (i.account = $4 OR @mf_shares_numbers(i.account, i.taken_over_from, $4)) "
		"UNION ALL SELECT i.id::int8 FROM @mf_archive_key i WHERE i.invoice_id = $1::int8 AND @mf_shares_numbers(i.account, i.taken_over_from, $4) "
		"UNION ALL SELECT i.id::int8 FROM @mf_invoice i WHERE i.reference = $2 "
		/* a repetition of its recurring payment has its reference, too */
		"  AND ((i.recurring_type IS NULL AND i.recurring_id IS NULL) OR i.invoice_id IS NULL OR i.invoice_id = $1::int8) "
		"UNION ALL SELECT i.id::int8 FROM @mf_archive_key i WHERE i.reference = $2",
		4, {TEXTOID, TEXTOID, INT8OID, TEXTOID}, NULL
	};
	MfSqlScope	scope;
	Datum		values[] = {
		CStringGetTextDatum(invoice_id), (Datum) 0, Int64GetDatum(taker), CStringGetTextDatum(account)
	};
	char		nulls[] = {' ', 'n', ' ', ' '};
	int64		holder = 0;

	if (reference != NULL)
	{
		int			stem;

		(void) mf_reference_number(reference, &stem);
		values[1] = PointerGetDatum(cstring_to_text_with_len(reference, stem));
		nulls[1] = ' ';
		wait_for_reference(schema, values[1]);
	}
	(void) mf_number_lock(schema, invoice_id, true);

	mf_sql_begin(&scope, schema);
	scope.latest = true;
	if (mf_sql_execute(&scope, &statement, values, nulls) > 0)
		holder = mf_result_int8(0, 1);
	mf_sql_end(&scope);
	return holder;
}

/* Waits for transactions that have inserted a row with that reference, as a unique index does. */
static void
wait_for_reference(Oid schema, Datum reference)
{
	Relation	relation = table_open(get_relname_relid("mf_invoice", schema), AccessShareLock);
	TupleDesc	desc = RelationGetDescr(relation);
	Oid			index = get_relname_relid("mf_invoice_reference_idx", schema);
	TransactionId inserter;

	mf_invoice_check_columns(desc);

	do
	{
		SnapshotData dirty;
		ScanKeyData key;
		SysScanDesc scan;
		HeapTuple	tuple;
		ItemPointerData tid;

		InitDirtySnapshot(dirty);
		ScanKeyInit(&key, MF_IC_REFERENCE, BTEqualStrategyNumber, F_TEXTEQ, reference);
		key.sk_collation = TupleDescAttr(desc, MF_IC_REFERENCE - 1)->attcollation;
		scan = systable_beginscan(relation, index, OidIsValid(index), &dirty, 1, &key);
		inserter = InvalidTransactionId;
		while (!TransactionIdIsValid(inserter) && HeapTupleIsValid(tuple = systable_getnext(scan)))
		{
			inserter = dirty.xmin;
			tid = tuple->t_self;
		}
		systable_endscan(scan);
		if (TransactionIdIsValid(inserter))
			XactLockTableWait(inserter, relation, &tid, XLTW_InsertIndexUnique);
	} while (TransactionIdIsValid(inserter));
	table_close(relation, AccessShareLock);
}
