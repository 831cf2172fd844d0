/*
 * invoice_row.h
 *	  Tuples of mf_invoice as arrays of values, and back.
 *
 * Columns behind those of MfInvoiceColumn, which a user may have added, are left alone.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/invoice_row.h
 */
#ifndef MF_INVOICE_ROW_H
#define MF_INVOICE_ROW_H

#include "access/htup.h"
#include "access/tupdesc.h"

#include "store/invoice.h"

/* Reads a tuple; the values point into it. */
extern void mf_invoice_row_read(HeapTuple tuple, TupleDesc desc, MfInvoiceRow *row);

/* A copy of the tuple with the values of the row, palloc'd. */
extern HeapTuple mf_invoice_row_tuple(HeapTuple tuple, TupleDesc desc, MfInvoiceRow *row);

#endif							/* MF_INVOICE_ROW_H */
