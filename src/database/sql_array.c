/*
 * sql_array.c
 *	  Array parameters and single values of results.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/database/sql_array.c
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "database/sql_array.h"

static void check_missing(int column);

void
mf_array_init(MfArray *builder, int capacity)
{
	builder->values = (Datum *) palloc(Max(capacity, 1) * sizeof(Datum));
	builder->nulls = (bool *) palloc(Max(capacity, 1) * sizeof(bool));
	builder->count = 0;
}

void
mf_array_add(MfArray *builder, Datum value)
{
	builder->nulls[builder->count] = false;
	builder->values[builder->count++] = value;
}

void
mf_array_add_text(MfArray *builder, const char *text)
{
	builder->nulls[builder->count] = text == NULL;
	builder->values[builder->count++] = text ? CStringGetTextDatum(text) : (Datum) 0;
}

void
mf_array_add_timestamp(MfArray *builder, TimestampTz value)
{
	builder->nulls[builder->count] = value == 0;
	builder->values[builder->count++] = TimestampTzGetDatum(value);
}

Datum
mf_array_datum(MfArray *builder, Oid element)
{
	int			lower_bound = 1;
	int16		length;
	bool		by_value;
	char		align;

	get_typlenbyvalalign(element, &length, &by_value, &align);
	return PointerGetDatum(construct_md_array(builder->values, builder->nulls, 1, &builder->count, &lower_bound,
											  element, length, by_value, align));
}

Datum
mf_int8_array(const int64 *values, int count)
{
	MfArray builder;
	int			i;

	mf_array_init(&builder, count);
	for (i = 0; i < count; i++)
		mf_array_add(&builder, Int64GetDatum(values[i]));
	return mf_array_datum(&builder, INT8OID);
}

Datum
mf_result(HeapTuple tuple, TupleDesc desc, int number, bool *isnull)
{
	bool		dummy;

	return heap_getattr(tuple, number, desc, isnull ? isnull : &dummy);
}

char *
mf_result_text(HeapTuple tuple, TupleDesc desc, int number)
{
	bool		isnull;
	Datum		value = mf_result(tuple, desc, number, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

TimestampTz
mf_result_timestamp(HeapTuple tuple, TupleDesc desc, int number)
{
	bool		isnull;
	Datum		value = mf_result(tuple, desc, number, &isnull);

	return isnull ? 0 : DatumGetTimestampTz(value);
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
	check_missing(1);
}

int64
mf_change(const MfSqlScope *scope, MfStatement *statement, Datum *values, const char *nulls)
{
	(void) mf_sql_execute(scope, statement, values, nulls);
	check_missing(1);
	return SPI_tuptable->tupdesc->natts < 2 ? 0 :
		DatumGetInt64(mf_result(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, NULL));
}

/* An error if the first row of the latest result counts anything there. */
static void
check_missing(int column)
{
	if (DatumGetInt64(mf_result(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, NULL)) != 0)
		mf_change_suppressed();
}

void
mf_change_suppressed(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
			 errmsg("a trigger or rule of somebody has suppressed a change of a table of myfatoorah"),
			 errhint("A BEFORE trigger on a table of this extension must return the row.")));
}
