/*
 * sql_array.h
 *	  Parameters and results of statements: arrays, and values of single columns.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/database/sql_array.h
 */
#ifndef MF_SQL_ARRAY_H
#define MF_SQL_ARRAY_H

#include "utils/timestamp.h"

#include "base/compat.h"
#include "database/sql.h"

/* An array parameter under construction, in the memory context of mf_array_init() */
typedef struct MfArray
{
	Datum	   *values;
	bool	   *nulls;
	int			count;
} MfArray;

/* Starts an array with room for "capacity" elements.  The functions that add do not check it. */
extern void mf_array_init(MfArray *array, int capacity);

extern void mf_array_add(MfArray *array, Datum value);

/* These add null for NULL, for 0, and if "isnull". */
extern void mf_array_add_text(MfArray *array, const char *text);
extern void mf_array_add_timestamp(MfArray *array, TimestampTz value);
extern void mf_array_add_nullable(MfArray *array, Datum value, bool isnull);

/* Adds bytes as a bytea. */
extern void mf_array_add_bytes(MfArray *array, const void *bytes, size_t len);

/* Returns the array as a Datum; "element" is the type of its elements. */
extern Datum mf_array_datum(MfArray *array, Oid element);

/*
 * The parameters of a statement that takes arrays only: one MfArray for each,
 * with room for "capacity" elements.  mf_columns_execute() runs the statement
 * with them and returns the number of rows, as mf_sql_execute() does.
 */
extern MfArray *mf_columns_start(const MfStatement *statement, int capacity);
extern uint64 mf_columns_execute(const MfSqlScope *scope, MfStatement *statement, MfArray *columns);

/*
 * Runs a statement that returns one row: how many of the rows it was to write it
 * has not written.  Raises mf_change_suppressed() unless that is 0.  So nobody
 * takes for written what a user's BEFORE trigger has suppressed by returning NULL.
 */
extern void mf_columns_change(const MfSqlScope *scope, MfStatement *statement, MfArray *columns);

/*
 * mf_columns_change() with parameters of any type.  Returns the second column of that
 * row, a count; 0 if it has only one.
 */
extern int64 mf_change(const MfSqlScope *scope, MfStatement *statement, const Datum *values, const char *nulls);

/*
 * These run a single statement in a scope of its own with the owner's rights (see
 * mf_sql_begin()), as mf_sql_execute() and mf_change() do.  The last one is for a
 * statement that returns one row: it returns its first column, a count.
 */
extern uint64 mf_execute_alone(Oid schema, MfStatement *statement, const Datum *values, const char *nulls);
extern int64 mf_change_alone(Oid schema, MfStatement *statement, const Datum *values, const char *nulls);
extern int64 mf_count_alone(Oid schema, MfStatement *statement, const Datum *values);

/* Raises 27000: a change of a table of ours was not written. */
pg_noreturn extern void mf_change_suppressed(void);

/*
 * Adds the rows of the latest result to those that a function returns, whose columns have the
 * same types; returns their number.  Raises mf_change_suppressed() for a null.
 */
extern uint64 mf_return_rows(FunctionCallInfo fcinfo);

/* Compares structs by the int64 that they begin with, for qsort() and bsearch(). */
extern int	mf_compare_ids(const void *a, const void *b);

/* The struct of a list that begins with that id; NULL if there is none.  Whether an array has the id. */
extern void *mf_find_id(const List *list, int64 id);
extern bool mf_has_id(const int64 *ids, int count, int64 id);

/* An int8[] of the ids that structs of that size begin with, and of numbers. */
extern Datum mf_ids_of(const void *structs, size_t size, int count);
extern Datum mf_int8_array(const int64 *values, int count);

/*
 * A column of the latest result; rows are counted from 0, columns from 1.  "isnull"
 * may be NULL.  The value is valid until the scope ends.
 */
extern Datum mf_result(uint64 row, int column, bool *isnull);

/* The same of that type; null is 0, false or NULL.  The text is palloc'd. */
extern int64 mf_result_int8(uint64 row, int column);
extern int32 mf_result_int4(uint64 row, int column);
extern bool mf_result_bool(uint64 row, int column);
extern Oid	mf_result_oid(uint64 row, int column);
extern TimestampTz mf_result_timestamp(uint64 row, int column);
extern char *mf_result_text(uint64 row, int column);

/* The first column of all rows, of type int8: as an int8[]; into "ids", and their number. */
extern Datum mf_result_int8_array(void);
extern uint64 mf_result_ids(int64 *ids);

#endif							/* MF_SQL_ARRAY_H */
