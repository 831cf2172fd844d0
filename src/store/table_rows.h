/*
 * table_rows.h
 *	  Single rows of our own tables, by the functions of the executor that
 *	  logical replication applies changes with: no plan, no parameters.
 *
 * Constraints are checked, indexes kept and row-level triggers fired as by
 * SQL.  Statement-level triggers are not, nor rules: mf_table_open() tells.  The
 * caller's role is not asked for its rights on the table.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/table_rows.h
 */
#ifndef MF_TABLE_ROWS_H
#define MF_TABLE_ROWS_H

#include "executor/executor.h"

/* Rows that are inserted together */
#define MF_TABLE_BATCH 200

typedef struct MfTable
{
	Relation	relation;
	EState	   *estate;
	EPQState	epq;
	ResultRelInfo *result;
	TupleTableSlot *found;		/* the row of mf_table_find() or mf_table_lock() */
	TupleTableSlot *written;	/* the row written last */
	BlockNumber blocks;			/* no row found lies beyond */
	int			waiting;		/* rows of mf_table_add() */
	TupleTableSlot *rows[MF_TABLE_BATCH];
	ItemPointer places[MF_TABLE_BATCH]; /* where to tell the places of these */
} MfTable;

/*
 * Opens a table of the schema for updates of the columns (0-terminated, NULL for
 * none), in the current memory context.  Its first columns must have these types,
 * and if it must be "plain" it has no others.  NULL if that is not so, or if it
 * has rules or statement-level triggers for UPDATE: then only SQL will do.
 * Closed by mf_table_close(); an abort needs nothing.
 */
extern MfTable *mf_table_open(Oid schema, const char *name, const AttrNumber *updated, const Oid *types, int columns,
							  bool plain);
extern void mf_table_close(MfTable *table);

/* Without that trigger, which has nothing to do now. */
extern void mf_table_without_trigger(MfTable *table, const char *name);

/*
 * From here on rows are found by the active snapshot, which must be a fresh
 * one, and, unless the table is plain, written between AfterTriggerBeginQuery()
 * and AfterTriggerEndQuery().
 */
extern void mf_table_begin(MfTable *table);

/* Finds the row at that place; false if there is none that we can see. */
extern bool mf_table_find(MfTable *table, ItemPointer place);

/*
 * The same, and locks it as an UPDATE of other columns than keys does; false
 * also if somebody else has it locked or has changed it meanwhile.
 */
extern bool mf_table_lock(MfTable *table, ItemPointer place);

/*
 * Removes what nobody can see any more from the page of that place, if there is
 * reason to: so that an update of the row has room beside it.  Nothing there is
 * the row found any more.
 */
extern void mf_table_make_room(MfTable *table, ItemPointer place);

/* A column of the row found; it lives as long as that row is the one found. */
extern Datum mf_table_value(MfTable *table, AttrNumber column, bool *isnull);

/*
 * Sets columns of the row found, which must be locked; "place" is where it is
 * then.  False if a trigger has suppressed the change.
 */
typedef struct MfColumn
{
	AttrNumber	column;
	Datum		value;
	bool		isnull;
} MfColumn;

extern bool mf_table_update(MfTable *table, const MfColumn *columns, int count, ItemPointer place);

/* Deletes the row found. */
extern void mf_table_delete(MfTable *table);

/*
 * Adds a row to be inserted into a plain table; values of all columns, which must
 * live until mf_table_insert(), and so must "place", which is filled then.  When
 * as many as MF_TABLE_BATCH wait, they must be inserted first.
 */
extern void mf_table_add(MfTable *table, const Datum *values, const bool *isnull, ItemPointer place);

/* Inserts the rows that wait. */
extern void mf_table_insert(MfTable *table);

/*
 * The same up to the first one whose key exists, or is about to: it and those
 * after it are not inserted.  Waits for nobody.  Returns how many were.
 */
extern int	mf_table_insert_new(MfTable *table);

#endif							/* MF_TABLE_ROWS_H */
