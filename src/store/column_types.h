/*
 * column_types.h
 *	  The types that the library takes the columns of our tables to have.
 *
 * Their owner can change them, and code that reads or writes values by attribute
 * number would take one type for another.  SQL converts, or says what is wrong.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/column_types.h
 */
#ifndef MF_COLUMN_TYPES_H
#define MF_COLUMN_TYPES_H

#include "access/tupdesc.h"

#include "store/invoice.h"

/* Types of the columns of a table, by attribute number; the first element is none */
extern const Oid mf_invoice_types[MF_IC_END];
extern const Oid mf_queue_types[];
extern const Oid mf_attempt_types[];
extern const Oid mf_inquiry_types[];
extern const Oid mf_number_types[];

/* Whether a column has exactly that type, without a limit of its length. */
extern bool mf_column_is(TupleDesc desc, AttrNumber column, Oid type);

/* Whether that holds for the first "count" columns. */
extern bool mf_columns_are(TupleDesc desc, const Oid *types, int count);

/*
 * Raises an error, which says what to do, unless values of all columns of
 * mf_invoice that the triggers read can be read, and those they write be written.
 */
extern void mf_invoice_check_columns(TupleDesc desc);

#endif							/* MF_COLUMN_TYPES_H */
