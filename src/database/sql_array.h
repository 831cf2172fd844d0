/*
 * sql_array.h
 *	  Array parameters and single values of results.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/database/sql_array.h
 */
#ifndef MF_SQL_ARRAY_H
#define MF_SQL_ARRAY_H

#include "access/htup_details.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "database/sql.h"

/* An array parameter in the making, in the current memory context */
typedef struct MfArray
{
	Datum	   *values;
	bool	   *nulls;
	int			count;
} MfArray;

/* Room for "capacity" elements, of which none is there yet. */
extern void mf_array_init(MfArray *array, int capacity);

extern void mf_array_add(MfArray *array, Datum value);

/* NULL becomes null. */
extern void mf_array_add_text(MfArray *array, const char *text);

/* The array as a value of the array type of that element type. */
extern Datum mf_array_datum(MfArray *array, Oid element);

/* 0 becomes null. */
extern void mf_array_add_timestamp(MfArray *array, TimestampTz value);

/*
 * Parameters of a statement that takes arrays only: one MfArray for each, with
 * room for "capacity" elements; and running it with them.
 */
extern MfArray *mf_columns_start(const MfStatement *statement, int capacity);
extern uint64 mf_columns_execute(const MfSqlScope *scope, MfStatement *statement, MfArray *columns);

/*
 * Runs a statement whose result is how many of the rows that it was to write
 * it has not written.  That is an error of these rows: a user's BEFORE trigger
 * that returns NULL must not make anybody believe what is not written.
 */
extern void mf_columns_change(const MfSqlScope *scope, MfStatement *statement, MfArray *columns);

/* The same with parameters of any type.  Returns what the result has in a second column, a count; 0 if it has none. */
extern int64 mf_change(const MfSqlScope *scope, MfStatement *statement, Datum *values, const char *nulls);

/* Raises the error that fewer rows were written than were to be. */
pg_noreturn extern void mf_change_suppressed(void);

extern Datum mf_int8_array(const int64 *values, int count);

/* One column of a result row, counted from 1; "isnull" may be NULL. */
extern Datum mf_result(HeapTuple tuple, TupleDesc desc, int number, bool *isnull);

/* The same of a text column, palloc'd, and of a timestamptz column; NULL and 0 if the value is null. */
extern char *mf_result_text(HeapTuple tuple, TupleDesc desc, int number);
extern TimestampTz mf_result_timestamp(HeapTuple tuple, TupleDesc desc, int number);

#endif							/* MF_SQL_ARRAY_H */
