/*
 * table.h
 *	  Single rows of our own tables, by the functions of the executor that
 *	  logical replication applies changes with: no plan, no parameters.
 *
 * Constraints are checked, indexes kept and row-level triggers fired as by
 * SQL.  Statement-level triggers are not: mf_table_open() tells.  The caller's
 * role is not asked for its rights on the table.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/table.h
 */
#ifndef MF_TABLE_H
#define MF_TABLE_H

#include "executor/executor.h"

/* The most columns that one update sets */
#define MF_TABLE_MAX_UPDATED 8

typedef struct MfTable
{
	Relation	relation;
	EState	   *estate;
	EPQState	epq;
	ResultRelInfo *result;
	TupleTableSlot *found;		/* the row of mf_table_find() or mf_table_lock() */
	TupleTableSlot *written;	/* the row written last */
	BlockNumber blocks;			/* no row found lies beyond */
} MfTable;

/*
 * Opens a table of the schema for updates of the columns (0-terminated), in the
 * current memory context.  NULL if it has statement-level triggers for UPDATE:
 * then only SQL will do.  Closed by mf_table_close(); an abort needs nothing.
 */
extern MfTable *mf_table_open(Oid schema, const char *name, const AttrNumber *updated);
extern void mf_table_close(MfTable *table);

/*
 * From here on rows are found by the active snapshot, which must be a fresh
 * one, and written between AfterTriggerBeginQuery() and AfterTriggerEndQuery().
 */
extern void mf_table_begin(MfTable *table);

/* Finds the row at that place; false if there is none that we can see. */
extern bool mf_table_find(MfTable *table, ItemPointer place);

/*
 * The same, and locks it as an UPDATE of other columns than keys does; false
 * also if somebody else has it locked or has changed it meanwhile.
 */
extern bool mf_table_lock(MfTable *table, ItemPointer place);

/* A column of the row found; it lives as long as that row is the one found. */
extern Datum mf_table_value(MfTable *table, AttrNumber column, bool *isnull);

/* Sets columns of the row found, which must be locked; "place" is where it is then. */
typedef struct MfColumn
{
	AttrNumber	column;
	Datum		value;
	bool		isnull;
} MfColumn;

extern void mf_table_update(MfTable *table, const MfColumn *columns, int count, ItemPointer place);

/* Deletes the row found. */
extern void mf_table_delete(MfTable *table);

/* Inserts a row; values of all columns. */
extern void mf_table_insert(MfTable *table, const Datum *values, const bool *isnull, ItemPointer place);

#endif							/* MF_TABLE_H */
