/*
 * queue_claim.c
 *	  What is due is found and locked, without SQL.
 *
 * It does what claim_entries_statement and claim_invoices_statement of queue.c
 * do, with which it is to be kept in step.  A row that somebody has changed since
 * our snapshot counts as locked by them: it comes again.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/queue_claim.c
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "invoice.h"
#include "queue_internal.h"
#include "table.h"

static const AttrNumber queue_order[] = {MF_QC_ACCOUNT, MF_QC_RANK, MF_QC_INVOICE, 0};
static const AttrNumber invoice_key[] = {MF_IC_ID, 0};

static void begin(MfTable *table);
static void end(void);
static int	lock_due(MfTable *queue, IndexScanDesc scan, TupleTableSlot *slot, const MfClaimLimit *limit,
					 TimestampTz now, MfFollowUp *entries, ItemPointer places);
static MfJob *lock_invoice(MfTable *invoices, IndexScanDesc scan, TupleTableSlot *slot, int64 invoice);
static MfJob *read_job(TupleTableSlot *slot);

/* See queue_internal.h. */
bool
mf_queue_claim_plain(const MfSqlScope *scope, MfTable *queue, MfTable *invoices, const MfClaimLimit *limits,
					 int count, TimestampTz now, List **result)
{
	Relation	order = mf_table_index(queue, queue_order);
	Relation	key = mf_table_index(invoices, invoice_key);
	IndexScanDesc scan;
	TupleTableSlot *slot;
	MfFollowUp *entries;
	ItemPointerData *places;
	MfJob	  **jobs;
	int			most = 0;
	int			found = 0;
	int			i;

	if (order == NULL || key == NULL)
		return false;

	for (i = 0; i < count; i++)
		most += limits[i].slots;
	entries = (MfFollowUp *) palloc0(most * sizeof(MfFollowUp));
	places = (ItemPointerData *) palloc(most * sizeof(ItemPointerData));
	jobs = (MfJob **) palloc0(most * sizeof(MfJob *));

	begin(queue);
	slot = table_slot_create(queue->relation, NULL);
	scan = mf_index_beginscan(queue->relation, order, queue->estate->es_snapshot, 3);
	for (i = 0; i < count; i++)
		found += lock_due(queue, scan, slot, &limits[i], now, entries + found, places + found);
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	end();

	/* they may have changed while the entries were being locked: by a snapshot of their own */
	begin(invoices);
	slot = table_slot_create(invoices->relation, NULL);
	scan = mf_index_beginscan(invoices->relation, key, invoices->estate->es_snapshot, 1);
	for (i = 0; i < found; i++)
		jobs[i] = lock_invoice(invoices, scan, slot, entries[i].invoice);
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	end();

	*result = mf_queue_claimed(scope, entries, places, jobs, found, now);
	return true;
}

/* What was written before is seen from here on. */
static void
begin(MfTable *table)
{
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	mf_table_begin(table);
}

static void
end(void)
{
	PopActiveSnapshot();
}

/*
 * Locks the first due entries of an account that nobody else has locked, and
 * tells how many.
 */
static int
lock_due(MfTable *queue, IndexScanDesc scan, TupleTableSlot *slot, const MfClaimLimit *limit, TimestampTz now,
		 MfFollowUp *entries, ItemPointer places)
{
	ScanKeyData keys[3];
	ScanKeyData mark[2];
	int			found = 0;

	/* account = ..., (rank, invoice) >= the mark, rank <= now */
	ScanKeyEntryInitialize(&keys[0], 0, 1, BTEqualStrategyNumber, InvalidOid, scan->indexRelation->rd_indcollation[0],
						   F_TEXTEQ, CStringGetTextDatum(limit->account));
	ScanKeyEntryInitialize(&mark[0], SK_ROW_MEMBER, 2, BTGreaterEqualStrategyNumber, InvalidOid, InvalidOid,
						   F_TIMESTAMPTZ_CMP, TimestampTzGetDatum(limit->mark));
	ScanKeyEntryInitialize(&mark[1], SK_ROW_MEMBER | SK_ROW_END, 3, BTGreaterEqualStrategyNumber, InvalidOid,
						   InvalidOid, F_BTINT8CMP, Int64GetDatum(limit->mark_invoice));
	memset(&keys[1], 0, sizeof(ScanKeyData));
	keys[1].sk_flags = SK_ROW_HEADER;
	keys[1].sk_attno = 2;
	keys[1].sk_strategy = BTGreaterEqualStrategyNumber;
	keys[1].sk_argument = PointerGetDatum(mark);
	ScanKeyEntryInitialize(&keys[2], 0, 2, BTLessEqualStrategyNumber, InvalidOid, InvalidOid, F_TIMESTAMPTZ_LE,
						   TimestampTzGetDatum(now));
	index_rescan(scan, keys, 3, NULL, 0);

	while (found < limit->slots && index_getnext_slot(scan, ForwardScanDirection, slot))
	{
		MfFollowUp *entry = &entries[found];

		slot_getallattrs(slot);
		if (DatumGetTimestampTz(slot->tts_values[MF_QC_DUE - 1]) > now ||
			!mf_table_lock_seen(queue, &slot->tts_tid, LockTupleExclusive))
			continue;
		entry->invoice = DatumGetInt64(slot->tts_values[MF_QC_INVOICE - 1]);
		entry->next = mf_job_kind(TextDatumGetCString(slot->tts_values[MF_QC_KIND - 1]));
		entry->due = DatumGetTimestampTz(slot->tts_values[MF_QC_RANK - 1]);
		entry->step = DatumGetInt16(slot->tts_values[MF_QC_STEP - 1]);
		places[found++] = slot->tts_tid;
	}
	return found;
}

/* Locks an invoice; NULL if somebody else has it locked, or it is gone. */
static MfJob *
lock_invoice(MfTable *invoices, IndexScanDesc scan, TupleTableSlot *slot, int64 invoice)
{
	ScanKeyData key;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(invoice));
	index_rescan(scan, &key, 1, NULL, 0);
	if (!index_getnext_slot(scan, ForwardScanDirection, slot) ||
		!mf_table_lock_seen(invoices, &slot->tts_tid, LockTupleNoKeyExclusive))
		return NULL;
	return read_job(slot);
}

/* What mf_queue_read_invoice() reads of a row of a statement. */
static MfJob *
read_job(TupleTableSlot *slot)
{
	MfJob	   *job = (MfJob *) palloc0(sizeof(MfJob));
	TupleDesc	desc = slot->tts_tupleDescriptor;
	HeapTuple	tuple = ExecCopySlotHeapTuple(slot);
	Datum	   *values = (Datum *) palloc(desc->natts * sizeof(Datum));
	bool	   *isnull = (bool *) palloc(desc->natts * sizeof(bool));

	heap_deform_tuple(tuple, desc, values, isnull);
	job->invoice = DatumGetInt64(values[MF_IC_ID - 1]);
	job->status = mf_status_of(values[MF_IC_STATUS - 1]);
	job->attempts = DatumGetInt32(values[MF_IC_ATTEMPTS - 1]);
	job->account = TextDatumGetCString(values[MF_IC_ACCOUNT - 1]);
	job->created_by = NameStr(*DatumGetName(values[MF_IC_CREATED_BY - 1]));
	job->reference = TextDatumGetCString(values[MF_IC_REFERENCE - 1]);
	job->cancel_requested = DatumGetBool(values[MF_IC_CANCEL_REQUESTED - 1]);
	job->duplicate_suspected = DatumGetBool(values[MF_IC_DUPLICATE_SUSPECTED - 1]);
	memcpy(job->request.values, &values[MF_IC_CUSTOMER_NAME - 1], sizeof(job->request.values));
	memcpy(job->request.isnull, &isnull[MF_IC_CUSTOMER_NAME - 1], sizeof(job->request.isnull));
	job->invoice_place = slot->tts_tid;
	pfree(values);
	pfree(isnull);
	return job;
}
