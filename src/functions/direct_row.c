/*
 * direct_row.c
 *	  Rows of mf_invoice for invoices that the caller's own session has made or found.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/direct_row.c
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
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
#include "store/invoice_number.h"
#include "store/queue.h"

#define FIELDS \
	"customer_name, invoice_value, notification_option, customer_email, customer_mobile, mobile_country_code, " \
	"display_currency_iso, language, customer_reference, customer_civil_id, user_defined_field, call_back_url, " \
	"error_url, webhook_url, expiry_date, customer_address, invoice_items, shipping_method, shipping_consignee, " \
	"suppliers, processing_details, invoice_payment_methods, source_info"

/* as the current role; in the order of mf_send_payment_fields[] */
static MfStatement insert_statement = {
	"INSERT INTO @mf_invoice (" FIELDS ", account) "
	"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24) "
	"RETURNING id::int8, reference::text, " FIELDS,
	MF_SP_COUNT + 1,
	{TEXTOID, NUMERICOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,
		TEXTOID, TEXTOID, TIMESTAMPTZOID, JSONBOID, JSONBOID, INT2OID, JSONBOID, JSONBOID, JSONBOID, INT4ARRAYOID,
		TEXTOID, TEXTOID}, NULL
};

/* An invoice whose row a rollback would take away */
typedef struct Made
{
	SubTransactionId subtransaction;
	struct Made *next;
	Oid			schema;
	int64		invoice;
	char	   *account;
	char		invoice_id[FLEXIBLE_ARRAY_MEMBER];
} Made;

static Made *made = NULL;
static bool callbacks_registered = false;

static bool has_same_numbers(const MfAccount *account, const char *name);
static void await_reference(Oid schema, Datum reference);
static void end_made(XactEvent event, void *argument);
static void match_events(void);
static void end_made_part(SubXactEvent event, SubTransactionId subtransaction, SubTransactionId parent, void *argument);
static void tell_unmade(SubTransactionId subtransaction);

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

	/* the way of a row that a look-up finds before it is sent */
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

/*
 * See direct_row.h.  Whoever sends for a row has inserted it before, so that the
 * index of references has it once an invoice can be found.  It is waited for
 * before anything is locked: the one who sends waits for nobody.
 */
int64
mf_direct_known(Oid schema, const MfAccount *account, const char *invoice_id, const char *reference)
{
	static MfStatement statement = {
		"SELECT i.id::int8, i.account::text FROM " MF_HAVING_NUMBER("$1::int8") " "
		"UNION ALL SELECT i.id::int8, i.account::text FROM @mf_archive_key i WHERE i.invoice_id = $1::int8 "
		"UNION ALL SELECT i.id::int8, NULL FROM @mf_invoice i WHERE i.reference = $2 "
		"UNION ALL SELECT i.id::int8, NULL FROM @mf_archive_key i WHERE i.reference = $2",
		2, {TEXTOID, TEXTOID}, NULL
	};
	MfSqlScope	scope;
	Datum		values[2] = {CStringGetTextDatum(invoice_id), (Datum) 0};
	char		nulls[2] = {' ', 'n'};
	SPITupleTable *rows;
	int64		known = 0;
	uint64		count;
	uint64		i;

	if (reference != NULL)
	{
		int			stem;

		(void) mf_reference_number(reference, &stem);
		values[1] = PointerGetDatum(cstring_to_text_with_len(reference, stem));
		nulls[1] = ' ';
		await_reference(schema, values[1]);
	}
	LockDatabaseObject(ForeignDataWrapperRelationId, GetForeignServer(account->serverid)->fdwid,
					   (uint16) hash_bytes((const unsigned char *) invoice_id, strlen(invoice_id)), ExclusiveLock);

	mf_sql_begin(&scope, schema);
	scope.latest = true;
	count = mf_sql_execute(&scope, &statement, values, nulls);
	rows = SPI_tuptable;
	for (i = 0; i < count && known == 0; i++)
	{
		bool		by_reference;
		Datum		name = mf_result(rows->vals[i], rows->tupdesc, 2, &by_reference);

		if (by_reference || has_same_numbers(account, TextDatumGetCString(name)))
			known = DatumGetInt64(mf_result(rows->vals[i], rows->tupdesc, 1, NULL));
	}
	mf_sql_end(&scope);
	return known;
}

/* Whether a number means the same invoice under an account of that name: at the same address, or at one that is not known any more. */
static bool
has_same_numbers(const MfAccount *account, const char *name)
{
	return strcmp(name, account->name) == 0 || !mf_account_exists(name) ||
		strcmp(mf_account_get(name)->base_url, account->base_url) == 0;
}

/* Waits until no other transaction has inserted a row with that reference and is still under way, as a unique index does. */
static void
await_reference(Oid schema, Datum reference)
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
		ItemPointerData place;

		ScanKeyInit(&key, MF_IC_REFERENCE, BTEqualStrategyNumber, F_TEXTEQ, reference);
		key.sk_collation = TupleDescAttr(RelationGetDescr(relation), MF_IC_REFERENCE - 1)->attcollation;
		InitDirtySnapshot(dirty);
		scan = systable_beginscan(relation, index, OidIsValid(index), &dirty, 1, &key);
		inserter = InvalidTransactionId;
		while (!TransactionIdIsValid(inserter) && HeapTupleIsValid(tuple = systable_getnext(scan)))
		{
			inserter = dirty.xmin;
			place = tuple->t_self;
		}
		systable_endscan(scan);
		if (TransactionIdIsValid(inserter))
			XactLockTableWait(inserter, relation, &place, XLTW_InsertIndexUnique);
	} while (TransactionIdIsValid(inserter));
	table_close(relation, AccessShareLock);
}

void
mf_direct_made(const MfDirectRow *row, const char *account, const char *invoice_id)
{
	Made	   *entry = (Made *) MemoryContextAlloc(TopTransactionContext,
												   offsetof(Made, invoice_id) + strlen(invoice_id) + 1);

	if (!callbacks_registered)
	{
		RegisterXactCallback(end_made, NULL);
		RegisterSubXactCallback(end_made_part, NULL);
		callbacks_registered = true;
	}
	entry->schema = row->schema;
	entry->invoice = row->invoice;
	entry->account = MemoryContextStrdup(TopTransactionContext, account);
	strcpy(entry->invoice_id, invoice_id);
	entry->subtransaction = GetCurrentSubTransactionId();
	entry->next = made;
	made = entry;
}

/* The transaction ends. */
static void
end_made(XactEvent event, void *argument)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			if (made != NULL)
				match_events();
			break;
		case XACT_EVENT_ABORT:
			tell_unmade(InvalidSubTransactionId);
			made = NULL;
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PREPARE:
			made = NULL;
			break;
		default:
			break;
	}
}

/* What has come about its invoices while nobody else could see their rows finds them now. */
static void
match_events(void)
{
	MfSentInvoice *sent;
	MfSqlScope	scope;
	Made	   *entry;
	int			count = 0;

	for (entry = made; entry != NULL; entry = entry->next)
		count++;
	PushActiveSnapshot(GetTransactionSnapshot());
	mf_sql_begin(&scope, made->schema);
	sent = (MfSentInvoice *) palloc0(count * sizeof(MfSentInvoice));
	for (count = 0, entry = made; entry != NULL; entry = entry->next)
		sent[count++].invoice = entry->invoice;
	(void) mf_inquiries_open(&scope, sent, count, DT_NOEND);
	mf_sql_end(&scope);
	/* triggers of users on what this has written */
	AfterTriggerFireDeferred();
	PopActiveSnapshot();
}

/* A part of it ends, and what it has made is its parent's, or nobody's. */
static void
end_made_part(SubXactEvent event, SubTransactionId subtransaction, SubTransactionId parent, void *argument)
{
	Made	   *entry;

	if (event == SUBXACT_EVENT_ABORT_SUB)
		tell_unmade(subtransaction);
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		for (entry = made; entry != NULL; entry = entry->next)
		{
			if (entry->subtransaction == subtransaction)
				entry->subtransaction = parent;
		}
	}
}

/* Tells of the invoices that a subtransaction has made, or all, and forgets them. */
static void
tell_unmade(SubTransactionId subtransaction)
{
	Made	  **link = &made;

	while (*link != NULL)
	{
		Made	   *entry = *link;

		if (subtransaction != InvalidSubTransactionId && entry->subtransaction != subtransaction)
		{
			link = &entry->next;
			continue;
		}
		*link = entry->next;
		ereport(WARNING,
				(errmsg("MyFatoorah has invoice %s of account \"%s\", whose row was rolled back", entry->invoice_id, entry->account),
				 errhint("Cancel it in the MyFatoorah portal, or take it over with: SELECT mf_adopt('%s', '%s')",
						 entry->invoice_id, entry->account)));
	}
}
