/*
 * column_types.c
 *	  Types of the columns of our tables, as the library reads and writes them.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/column_types.c
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/compat.h"
#include "store/column_types.h"

const Oid	mf_invoice_types[MF_IC_END] = {
	InvalidOid,
	INT8OID, TEXTOID,			/* id, account */
	TEXTOID, NUMERICOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,	/* customer_name .. language */
	TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,	/* customer_reference .. webhook_url */
	/* expiry_date .. source_info */
	TIMESTAMPTZOID, JSONBOID, JSONBOID, INT2OID, JSONBOID, JSONBOID, JSONBOID, INT4ARRAYOID, TEXTOID,
	TIMESTAMPTZOID, INT2OID, TEXTOID, BOOLOID, TEXTOID, TEXTOID, TEXTOID,	/* send_at .. payment_status */
	INT8OID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID,	/* invoice_id .. last_error */
	INT4OID, BOOLOID, BOOLOID, TIMESTAMPTZOID, NAMEOID, /* attempts .. created_by */
	TEXTOID, TEXTOID, TEXTOID,	/* invoice_status .. duplicate_error */
	TEXTOID, TEXTOID, NUMERICOID, TEXTOID, NUMERICOID, TEXTOID, NUMERICOID, /* payment_id .. pay_value */
	NUMERICOID, BOOLOID, BOOLOID, OIDOID, BOOLOID, BOOLOID, BOOLOID,	/* refunded_value .. could_insert */
	/* currency .. metadata */
	TEXTOID, NUMERICOID, NUMERICOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TIMESTAMPTZOID, INT8OID, JSONBOID
};

/* invoice, account, kind, due, rank, priority, lookups, origin, error, promote */
const Oid	mf_queue_types[] = {
	InvalidOid, INT8OID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT2OID, INT2OID,
	INT8OID, TEXTOID, BOOLOID
};

/* invoice .. send_by, finished_at .. outcome, http_status .. error, changed_to_sent .. sent_to */
const Oid	mf_attempt_types[] = {
	InvalidOid, INT8OID, INT4OID, TEXTOID, BYTEAOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID,
	INT4OID, INT8OID, TEXTOID, TEXTOID, BOOLOID, TEXTOID, INT4OID
};

/* invoice, account, due, urgent, refunds, times_requested, unchanged_answers, answers, failures .. ordered_by */
const Oid	mf_inquiry_types[] = {
	InvalidOid, INT8OID, TEXTOID, TIMESTAMPTZOID, BOOLOID, BOOLOID, INT4OID, INT2OID, INT2OID, INT2OID,
	TEXTOID, BOOLOID, OIDOID
};

/* invoice_id, invoice */
const Oid	mf_number_types[] = {InvalidOid, INT8OID, INT8OID};

bool
mf_columns_are(TupleDesc desc, const Oid *types, int count)
{
	AttrNumber	column;

	if (desc->natts < count)
		return false;
	for (column = 1; column <= count; column++)
	{
		if (!mf_column_is(desc, column, types[column]))
			return false;
	}
	return true;
}

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
			(column >= MF_IC_DISPUTED_AT && column <= MF_IC_REPLACED_BY))
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
