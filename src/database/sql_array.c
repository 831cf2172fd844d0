/*
 * sql_array.c
 *	  Parameters and results of statements: arrays, and values of single columns.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/database/sql_array.c
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "nodes/execnodes.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/tuplestore.h"

#include "database/sql_array.h"

void
mf_array_init(MfArray *array, int capacity)
{
	array->values = (Datum *) palloc(Max(capacity, 1) * sizeof(Datum));
	array->nulls = (bool *) palloc(Max(capacity, 1) * sizeof(bool));
	array->count = 0;
}

void
mf_array_add(MfArray *array, Datum value)
{
	mf_array_add_nullable(array, value, false);
}

void
mf_array_add_text(MfArray *array, const char *text)
{
	mf_array_add_nullable(array, text ? CStringGetTextDatum(text) : (Datum) 0, text == NULL);
}

void
mf_array_add_timestamp(MfArray *array, TimestampTz value)
{
	mf_array_add_nullable(array, TimestampTzGetDatum(value), value == 0);
}

void
mf_array_add_nullable(MfArray *array, Datum value, bool isnull)
{
	array->nulls[array->count] = isnull;
	array->values[array->count++] = value;
}

void
mf_array_add_bytes(MfArray *array, const void *bytes, size_t len)
{
	bytea	   *value = (bytea *) palloc(VARHDRSZ + len);

	SET_VARSIZE(value, VARHDRSZ + len);
	memcpy(VARDATA(value), bytes, len);
	mf_array_add(array, PointerGetDatum(value));
}

Datum
mf_array_datum(MfArray *array, Oid element)
{
	int			lower_bound = 1;
	int16		length;
	bool		by_value;
	char		align;

	get_typlenbyvalalign(element, &length, &by_value, &align);
	return PointerGetDatum(construct_md_array(array->values, array->nulls, 1, &array->count, &lower_bound,
											  element, length, by_value, align));
}

int
mf_compare_ids(const void *a, const void *b)
{
	int64		left = *(const int64 *) a;
	int64		right = *(const int64 *) b;

	return left < right ? -1 : left > right;
}

void *
mf_find_id(const List *list, int64 id)
{
	ListCell   *lc;

	foreach(lc, list)
	{
		if (mf_compare_ids(lfirst(lc), &id) == 0)
			return lfirst(lc);
	}
	return NULL;
}

bool
mf_has_id(const int64 *ids, int count, int64 id)
{
	int			i;

	for (i = 0; i < count && ids[i] != id; i++)
		;
	return i < count;
}

Datum
mf_ids_of(const void *structs, size_t size, int count)
{
	MfArray		array;
	int			i;

	mf_array_init(&array, count);
	for (i = 0; i < count; i++)
		mf_array_add(&array, Int64GetDatum(*(const int64 *) ((const char *) structs + i * size)));
	return mf_array_datum(&array, INT8OID);
}

Datum
mf_int8_array(const int64 *values, int count)
{
	return mf_ids_of(values, sizeof(int64), count);
}

Datum
mf_result(uint64 row, int column, bool *isnull)
{
	bool		dummy;

	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, isnull ? isnull : &dummy);
}

int64
mf_result_int8(uint64 row, int column)
{
	return DatumGetInt64(mf_result(row, column, NULL));
}

int32
mf_result_int4(uint64 row, int column)
{
	return DatumGetInt32(mf_result(row, column, NULL));
}

bool
mf_result_bool(uint64 row, int column)
{
	return DatumGetBool(mf_result(row, column, NULL));
}

Oid
mf_result_oid(uint64 row, int column)
{
	return DatumGetObjectId(mf_result(row, column, NULL));
}

TimestampTz
mf_result_timestamp(uint64 row, int column)
{
	return DatumGetTimestampTz(mf_result(row, column, NULL));
}

char *
mf_result_text(uint64 row, int column)
{
	bool		isnull;
	Datum		value = mf_result(row, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

Datum
mf_result_int8_array(void)
{
	int64	   *ids = (int64 *) palloc(Max(SPI_processed, 1) * sizeof(int64));

	return mf_int8_array(ids, (int) mf_result_ids(ids));
}

uint64
mf_result_ids(int64 *ids)
{
	uint64		row;

	for (row = 0; row < SPI_processed; row++)
		ids[row] = mf_result_int8(row, 1);
	return SPI_processed;
}

uint64
mf_return_rows(FunctionCallInfo fcinfo)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	uint64		row;

	for (row = 0; row < SPI_processed; row++)
	{
		if (HeapTupleHasNulls(SPI_tuptable->vals[row]))
			mf_change_suppressed();
		tuplestore_puttuple(rsinfo->setResult, SPI_tuptable->vals[row]);
	}
	return SPI_processed;
}

MfArray *
mf_columns_start(const MfStatement *statement, int capacity)
{
	MfArray    *columns = (MfArray *) palloc(statement->nargs * sizeof(MfArray));
	int			i;

	for (i = 0; i < statement->nargs; i++)
		mf_array_init(&columns[i], capacity);
	return columns;
}

uint64
mf_columns_execute(const MfSqlScope *scope, MfStatement *statement, MfArray *columns)
{
	Datum		values[MF_SQL_MAX_ARGS];
	int			i;

	for (i = 0; i < statement->nargs; i++)
		values[i] = mf_array_datum(&columns[i], get_element_type(statement->types[i]));
	return mf_sql_execute(scope, statement, values, NULL);
}

void
mf_columns_change(const MfSqlScope *scope, MfStatement *statement, MfArray *columns)
{
	(void) mf_columns_execute(scope, statement, columns);
	if (mf_result_int8(0, 1) != 0)
		mf_change_suppressed();
}

int64
mf_change(const MfSqlScope *scope, MfStatement *statement, const Datum *values, const char *nulls)
{
	(void) mf_sql_execute(scope, statement, values, nulls);
	if (mf_result_int8(0, 1) != 0)
		mf_change_suppressed();
	return SPI_tuptable->tupdesc->natts < 2 ? 0 : mf_result_int8(0, 2);
}

uint64
mf_execute_alone(Oid schema, MfStatement *statement, const Datum *values, const char *nulls)
{
	MfSqlScope	scope;
	uint64		rows;

	mf_sql_begin(&scope, schema);
	rows = mf_sql_execute(&scope, statement, values, nulls);
	mf_sql_end(&scope);
	return rows;
}

int64
mf_change_alone(Oid schema, MfStatement *statement, const Datum *values, const char *nulls)
{
	MfSqlScope	scope;
	int64		count;

	mf_sql_begin(&scope, schema);
	count = mf_change(&scope, statement, values, nulls);
	mf_sql_end(&scope);
	return count;
}

int64
mf_count_alone(Oid schema, MfStatement *statement, const Datum *values)
{
	MfSqlScope	scope;
	int64		count;

	mf_sql_begin(&scope, schema);
	(void) mf_sql_execute(&scope, statement, values, NULL);
	count = mf_result_int8(0, 1);
	mf_sql_end(&scope);
	return count;
}

void
mf_change_suppressed(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
			 errmsg("a trigger or rule has suppressed a change of a table of myfatoorah"),
			 errhint("A BEFORE trigger on a table of this extension must return the row.")));
}
