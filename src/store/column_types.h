/*
 * column_types.h
 *	  Types of the columns of our tables, as the library reads and writes them.
 *
 * The owner of a table can change the type of a column.  Code that reads or writes
 * values by attribute number then must not run; SQL converts values, or raises an
 * error.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/column_types.h
 */
#ifndef MF_COLUMN_TYPES_H
#define MF_COLUMN_TYPES_H

#include "access/tupdesc.h"

#include "store/invoice.h"

/* Types of the columns of a table by attribute number; element 0 is not used */
extern const Oid mf_invoice_types[MF_IC_END];
extern const Oid mf_queue_types[];
extern const Oid mf_attempt_types[];
extern const Oid mf_inquiry_types[];
extern const Oid mf_number_types[];

/* Whether a column has exactly that type, without a type modifier, and is not dropped. */
extern bool mf_column_is(TupleDesc desc, AttrNumber column, Oid type);

/* Whether that is true of the first "count" columns. */
extern bool mf_columns_are(TupleDesc desc, const Oid *types, int count);

/* Raises 42804 unless the triggers can read and write all columns of mf_invoice that they use. */
extern void mf_invoice_check_columns(TupleDesc desc);

#endif							/* MF_COLUMN_TYPES_H */
