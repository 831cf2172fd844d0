/*
 * invoice_row.c
 *	  Tuples of mf_invoice as arrays of values, and back.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/invoice_row.c
 */
#include "postgres.h"

#include "access/htup_details.h"

#include "store/invoice_row.h"

void
mf_invoice_row_read(HeapTuple tuple, TupleDesc desc, MfInvoiceRow *row)
{
	Datum	   *values;
	bool	   *isnull;

	if (desc->natts == MF_IC_END - 1)
	{
		heap_deform_tuple(tuple, desc, &row->values[1], &row->isnull[1]);
		return;
	}
	values = (Datum *) palloc(desc->natts * sizeof(Datum));
	isnull = (bool *) palloc(desc->natts * sizeof(bool));
	heap_deform_tuple(tuple, desc, values, isnull);
	memcpy(&row->values[1], values, (MF_IC_END - 1) * sizeof(Datum));
	memcpy(&row->isnull[1], isnull, (MF_IC_END - 1) * sizeof(bool));
}

HeapTuple
mf_invoice_row_tuple(HeapTuple tuple, TupleDesc desc, MfInvoiceRow *row)
{
	HeapTuple	result;
	int			columns[MF_IC_END];
	int			i;

	if (desc->natts == MF_IC_END - 1)
	{
		/* there are no other columns, so the tuple need not be read again */
		result = heap_form_tuple(desc, &row->values[1], &row->isnull[1]);
		result->t_data->t_ctid = tuple->t_data->t_ctid;
		result->t_self = tuple->t_self;
		result->t_tableOid = tuple->t_tableOid;
		return result;
	}
	for (i = 0; i < MF_IC_END - 1; i++)
		columns[i] = i + 1;
	return heap_modify_tuple_by_cols(tuple, desc, MF_IC_END - 1, columns, &row->values[1], &row->isnull[1]);
}
