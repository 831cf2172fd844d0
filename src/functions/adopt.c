/*
 * adopt.c
 *	  mf_adopt(): creates a row for an invoice that was made elsewhere.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/adopt.c
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "base/encoding.h"
#include "database/function_args.h"
#include "database/sql_array.h"
#include "functions/adopt.h"
#include "functions/direct_row.h"
#include "functions/direct_status.h"
#include "process/wakeup.h"
#include "store/column_types.h"
#include "store/inquiries_open.h"
#include "store/invoice_number.h"

static int64 find_holder(Oid schema, const char *account, const char *invoice_id, const char *reference, int64 taker);
static bool shares_invoice_ids(const char *account, const char *other);
static void wait_for_reference(Oid schema, Datum reference);
static void set_text(MfRequest *request, MfSendPaymentField field, const char *utf8);
static void read_request(const MfStatusResult *found, const MfAccount *account, MfRequest *request);

PG_FUNCTION_INFO_V1(mf_adopt);

Datum
mf_adopt(PG_FUNCTION_ARGS)
{
	Oid			schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	char	   *key = mf_required_text(fcinfo, 0, "invoice_id");
	const MfAccount *account;
	const MfStatusResult *found;
	MfDirectRow *row;
	MfRequest	request;
	const char *invoice_id;
	const char *reference;
	bool		too_often = false;

	mf_refuse_in_trigger("mf_adopt");
	found = mf_find_invoice(schema, "invoice_id", key, "InvoiceId", mf_required_text(fcinfo, 1, "account"), &account);
	invoice_id = found->values[MF_PS_INVOICE_ID];
	reference = found->values[MF_PS_CUSTOMER_REFERENCE];

	mf_check_number_free(schema, account->name, invoice_id, reference ? mf_from_utf8_lossy(reference) : NULL, 0);
	read_request(found, account, &request);
	row = mf_direct_insert(schema, &request, account->name);
	mf_direct_found(row, invoice_id);
	mf_inquiries_order(schema, GetUserId(), &row->invoice, &too_often, 1);
	mf_wake_inquiries_at_commit();
	PG_RETURN_INT64(row->invoice);
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

/* See adopt.h. */
void
mf_check_number_free(Oid schema, const char *account, const char *invoice_id, const char *reference, int64 taker)
{
	int64		holder = find_holder(schema, account, invoice_id, reference, taker);

	if (holder != 0)
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
		"SELECT i.id::int8, i.account::text FROM " MF_HAVING_NUMBER("$1::int8") " AND i.id <> $3 "
		"UNION ALL SELECT i.id::int8, i.account::text FROM @mf_archive_key i WHERE i.invoice_id = $1::int8 "
		"UNION ALL SELECT i.id::int8, NULL FROM @mf_invoice i WHERE i.reference = $2 "
		"UNION ALL SELECT i.id::int8, NULL FROM @mf_archive_key i WHERE i.reference = $2",
		3, {TEXTOID, TEXTOID, INT8OID}, NULL
	};
	MfSqlScope	scope;
	Datum		values[3] = {CStringGetTextDatum(invoice_id), (Datum) 0, Int64GetDatum(taker)};
	char		nulls[3] = {' ', 'n', ' '};
	SPITupleTable *rows;
	int64		holder = 0;
	uint64		count;
	uint64		i;

	if (reference != NULL)
	{
		int			stem;

		(void) mf_reference_number(reference, &stem);
		values[1] = PointerGetDatum(cstring_to_text_with_len(reference, stem));
		nulls[1] = ' ';
		wait_for_reference(schema, values[1]);
	}
	LockDatabaseObject(RelationRelationId, get_relname_relid("mf_invoice_number", schema),
					   (uint16) hash_bytes((const unsigned char *) invoice_id, strlen(invoice_id)), ExclusiveLock);

	mf_sql_begin(&scope, schema);
	scope.latest = true;
	count = mf_sql_execute(&scope, &statement, values, nulls);
	rows = SPI_tuptable;
	for (i = 0; i < count && holder == 0; i++)
	{
		bool		by_reference;
		Datum		name = mf_result(rows->vals[i], rows->tupdesc, 2, &by_reference);

		if (by_reference || shares_invoice_ids(account, TextDatumGetCString(name)))
			holder = DatumGetInt64(mf_result(rows->vals[i], rows->tupdesc, 1, NULL));
	}
	mf_sql_end(&scope);
	return holder;
}

/*
 * Whether an InvoiceId of the other account may mean the same invoice, because the
 * addresses of both are the same, or because one of them is not known any more.
 */
static bool
shares_invoice_ids(const char *account, const char *other)
{
	return strcmp(other, account) == 0 || !mf_account_exists(other) || !mf_account_exists(account) ||
		strcmp(mf_account_get(other)->base_url, mf_account_get(account)->base_url) == 0;
}

/* Waits for transactions that have inserted a row with that reference, as a unique index does. */
static void
wait_for_reference(Oid schema, Datum reference)
{
	Relation	relation = table_open(get_relname_relid("mf_invoice", schema), AccessShareLock);
	Oid			index = get_relname_relid("mf_invoice_reference_idx", schema);
	TransactionId inserter;

	mf_invoice_check_columns(RelationGetDescr(relation));
	do
	{
		SnapshotData dirty;
		ScanKeyData key;
		SysScanDesc scan;
		HeapTuple	tuple;
		ItemPointerData tid;

		ScanKeyInit(&key, MF_IC_REFERENCE, BTEqualStrategyNumber, F_TEXTEQ, reference);
		key.sk_collation = TupleDescAttr(RelationGetDescr(relation), MF_IC_REFERENCE - 1)->attcollation;
		InitDirtySnapshot(dirty);
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
