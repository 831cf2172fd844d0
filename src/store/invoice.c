/*
 * invoice.c
 *	  The table mf_invoice: its columns, its tuples, and allowed changes of states.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/invoice.c
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"

#include "base/compat.h"
#include "core/api/payment_status.h"
#include "process/notify.h"
#include "process/wakeup.h"
#include "store/invoice.h"

const Oid	mf_invoice_types[MF_IC_END] = {
	InvalidOid,
	INT8OID, TEXTOID,			/* id, account */
	TEXTOID, NUMERICOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,	/* customer_name .. language */
	TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,	/* customer_reference .. webhook_url */
	/* expiry_date .. retry_count */
	TIMESTAMPTZOID, JSONBOID, JSONBOID, INT2OID, JSONBOID, JSONBOID, JSONBOID, INT4ARRAYOID, TEXTOID,
	INT4OID, TEXTOID, INT4OID, INT4OID, INT4OID,
	TIMESTAMPTZOID, INT2OID, TEXTOID, BOOLOID, TEXTOID, TEXTOID, TEXTOID,	/* send_at .. payment_status */
	INT8OID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID,	/* invoice_id .. last_error */
	INT4OID, BOOLOID, BOOLOID, TIMESTAMPTZOID, NAMEOID, /* attempts .. created_by */
	TEXTOID, TEXTOID, TEXTOID,	/* invoice_status .. duplicate_error */
	TEXTOID, TEXTOID, NUMERICOID, TEXTOID, NUMERICOID, TEXTOID, NUMERICOID, /* payment_id .. pay_value */
	NUMERICOID, BOOLOID, BOOLOID, OIDOID, BOOLOID, BOOLOID, BOOLOID,	/* refunded_value .. could_insert */
	/* currency .. metadata */
	TEXTOID, NUMERICOID, NUMERICOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TIMESTAMPTZOID, INT8OID,
	TEXTOID, TEXTOID, JSONBOID
};

static void check_payment_transition(int64 invoice, MfStatus status, const char *from, const char *to);

bool
mf_column_is(TupleDesc desc, AttrNumber column, Oid type)
{
	Form_pg_attribute attribute = TupleDescAttr(desc, column - 1);

	return attribute->atttypid == type && attribute->atttypmod == -1 && !attribute->attisdropped;
}

void
mf_invoice_check_columns(TupleDesc desc)
{
	AttrNumber	column;

	for (column = 1; column < MF_IC_END; column++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, column - 1);
		Oid			type = mf_invoice_types[column];
		Oid			found;

		if (mf_column_is(desc, column, type))
			continue;
		/* of results the triggers read only whether they are null, and SQL writes them */
		if ((column >= MF_IC_INVOICE_ID && column <= MF_IC_LAST_ERROR) ||
			(column >= MF_IC_INVOICE_STATUS && column <= MF_IC_PAY_VALUE) ||
			(column >= MF_IC_DISPUTED_AT && column <= MF_IC_TAKEN_OVER_FROM))
			continue;
		found = attribute->attisdropped ? InvalidOid : getBaseType(attribute->atttypid);
		if (column != MF_IC_REFERENCE && column != MF_IC_CREATED_AT && column != MF_IC_CREATED_BY &&
			(column < MF_IC_CREATED_BY_ID || column == MF_IC_RECEIVED_VALUE || column == MF_IC_NET_VALUE) &&
			(found == type || (type == TEXTOID && found == VARCHAROID)))
			continue;
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 OidIsValid(found) ?
				 errmsg("column \"%s\" of mf_invoice has type %s instead of %s", NameStr(attribute->attname),
						format_type_with_typemod(attribute->atttypid, attribute->atttypmod), format_type_be(type)) :
				 errmsg("a column of mf_invoice was dropped"),
				 OidIsValid(found) ?
				 errhint("To restore the type, run ALTER TABLE mf_invoice ALTER COLUMN %s TYPE %s.",
						 quote_identifier(NameStr(attribute->attname)), format_type_be(type)) :
				 errhint("Drop only columns of your own. The values of this one are in earlier dumps only.")));
	}
}

void
mf_row_read(HeapTuple tuple, TupleDesc desc, MfRow *row)
{
	row->values = (Datum *) palloc((desc->natts + 1) * sizeof(Datum));
	row->isnull = (bool *) palloc((desc->natts + 1) * sizeof(bool));
	heap_deform_tuple(tuple, desc, &row->values[1], &row->isnull[1]);
}

HeapTuple
mf_row_tuple(HeapTuple tuple, TupleDesc desc, MfRow *row)
{
	HeapTuple	result = heap_form_tuple(desc, &row->values[1], &row->isnull[1]);

	result->t_data->t_ctid = tuple->t_data->t_ctid;
	result->t_self = tuple->t_self;
	result->t_tableOid = tuple->t_tableOid;
	return result;
}

int
mf_status_from_datum(Datum value)
{
	int			i;

	for (i = 0; i < MF_STATUS_COUNT; i++)
	{
		if (mf_text_is(value, mf_status_name((MfStatus) i)))
			return i;
	}
	return -1;
}

MfStatus
mf_status_of(Datum value)
{
	int			status = mf_status_from_datum(value);

	if (status < 0)
		elog(ERROR, "unknown status of invoice");
	return (MfStatus) status;
}

bool
mf_text_is(Datum value, const char *word)
{
	text	   *found = DatumGetTextPP(value);
	size_t		len = strlen(word);

	return VARSIZE_ANY_EXHDR(found) == len && memcmp(VARDATA_ANY(found), word, len) == 0;
}

/*
 * This runs twice for each invoice that is sent, so only the columns that are needed
 * are deformed, in the slots, which keep them for the triggers that follow.
 */
void
mf_check_transition(TupleTableSlot *before, TupleTableSlot *after)
{
	const int	status_index = MF_IC_STATUS - 1;
	const int	payment_index = MF_IC_PAYMENT_STATUS - 1;
	int64		invoice;
	MfStatus	from;
	MfStatus	to;
	bool		payment_moves;

	slot_getsomeattrs(before, MF_IC_PAYMENT_STATUS);
	slot_getsomeattrs(after, MF_IC_PAYMENT_STATUS);

	/* NOT NULL constraints refuse these */
	if (after->tts_isnull[status_index] || after->tts_isnull[payment_index])
		return;

	invoice = DatumGetInt64(before->tts_values[MF_IC_ID - 1]);
	from = mf_status_of(before->tts_values[status_index]);
	to = mf_status_of(after->tts_values[status_index]);
	if (from != to && !mf_transition_allowed(from, to))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("invoice %lld cannot go from %s to %s",
						(long long) invoice, mf_status_name(from), mf_status_name(to))));

	payment_moves = !datum_image_eq(before->tts_values[payment_index], after->tts_values[payment_index], false, -1);
	if (payment_moves)
		check_payment_transition(invoice, to, TextDatumGetCString(before->tts_values[payment_index]),
								 TextDatumGetCString(after->tts_values[payment_index]));
	if (from != to || payment_moves)
	{
		mf_notify_at_commit(DatumGetInt64(after->tts_values[MF_IC_ID - 1]));
		mf_wake_waiting_at_commit();
	}
}

/* Raises an error unless the invoice is sent and its payment may make this change. */
static void
check_payment_transition(int64 invoice, MfStatus status, const char *from, const char *to)
{
	int			from_status = mf_payment_status_from_name(from);
	int			to_status = mf_payment_status_from_name(to);

	if (from_status < 0 || to_status < 0 || status != MF_STATUS_SENT ||
		!mf_payment_allowed((MfPaymentStatus) from_status, (MfPaymentStatus) to_status))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("invoice %lld cannot go from %s to %s", (long long) invoice, from, to)));
}
