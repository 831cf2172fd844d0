/*
 * table_rows.h
 *	  Reads and writes rows of our own tables without SQL.
 *
 * It uses the functions of the executor that logical replication applies changes
 * with.  Constraints are checked, indexes maintained and row-level triggers fired
 * as by SQL.  Statement-level triggers and rules do not run, so mf_table_open()
 * refuses tables that have them.  Rights of the current role are not checked.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/table_rows.h
 */
#ifndef MF_TABLE_ROWS_H
#define MF_TABLE_ROWS_H

#include "executor/executor.h"

/* Whether a table of the schema has pages, without which it has no rows; cheaper than a query */
extern bool mf_table_has_pages(Oid schema, const char *name);

/* Most rows that are inserted at a time */
#define MF_TABLE_BATCH 200

typedef struct MfTable
{
	Relation	relation;
	EState	   *estate;
	EPQState	epq;
	ResultRelInfo *result;
	TupleTableSlot *found;		/* the row of mf_table_find() or mf_table_lock() */
	TupleTableSlot *written;	/* the row written last */
	BlockNumber blocks;			/* size of the table at mf_table_begin() */
	int			waiting;		/* rows of mf_table_add() that were not inserted yet */
	TupleTableSlot *rows[MF_TABLE_BATCH];
	ItemPointer tids[MF_TABLE_BATCH];	/* where their TIDs are to be stored; NULL = nowhere */
} MfTable;

/*
 * Opens a table of the schema, for updates of these columns (0-terminated; NULL for
 * none), in the current memory context.  Returns NULL if SQL must be used: if its
 * first columns do not have these types, if it has rules or statement-level triggers
 * for UPDATE, or, with "plain", if it has other columns, triggers or generated
 * columns.  Closed by mf_table_close(), or by an abort.
 */
extern MfTable *mf_table_open(Oid schema, const char *name, const AttrNumber *updated, const Oid *types, int columns,
							  bool plain);
extern void mf_table_close(MfTable *table);

/* Disables a trigger of the table for this MfTable only. */
extern void mf_table_without_trigger(MfTable *table, const char *name);

/*
 * Prepares reading and writing with the active snapshot, which must be a new one.
 * Unless the table is plain, the caller writes between AfterTriggerBeginQuery() and
 * AfterTriggerEndQuery().
 */
extern void mf_table_begin(MfTable *table);

/* Finds the row with that TID; false if the snapshot sees none. */
extern bool mf_table_find(MfTable *table, ItemPointer tid);

/*
 * Finds and locks it, as an UPDATE of other columns than keys does.  False also if
 * another transaction has locked it, or has changed it since.  Waits for nobody.
 */
extern bool mf_table_lock(MfTable *table, ItemPointer tid);

/*
 * Prunes the page of that TID if that is useful, so that the next version of the row
 * fits into it.  No row is found afterwards.
 */
extern void mf_table_make_room(MfTable *table, ItemPointer tid);

/* A column of the found row; valid until another one is found. */
extern Datum mf_table_value(MfTable *table, AttrNumber column, bool *isnull);

/*
 * Sets columns of the found row, which must be locked; *tid is that of its new
 * version.  False if a trigger has suppressed the update.
 */
typedef struct MfColumn
{
	AttrNumber	column;
	Datum		value;
	bool		isnull;
} MfColumn;

extern bool mf_table_update(MfTable *table, const MfColumn *columns, int count, ItemPointer tid);

/* Deletes the found row. */
extern void mf_table_delete(MfTable *table);

/*
 * Adds a row, with values of all columns, to those to be inserted into a plain table;
 * at most MF_TABLE_BATCH.  The values must stay valid until mf_table_insert(), which
 * stores the TID in "tid", unless that is NULL.
 */
extern void mf_table_add(MfTable *table, const Datum *values, const bool *isnull, ItemPointer tid);

/*
 * Inserts the rows that were added, with all constraints and indexes, and returns their
 * number.  "new_only": only those before the first one whose key exists, or is being
 * inserted by another transaction.  Waits for nobody then.
 */
extern int	mf_table_insert(MfTable *table, bool new_only);

#endif							/* MF_TABLE_ROWS_H */
