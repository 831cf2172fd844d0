/*
 * enqueue_private.h
 *	  What the enqueue*.c files share.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/triggers/enqueue_private.h
 */
#ifndef MF_ENQUEUE_PRIVATE_H
#define MF_ENQUEUE_PRIVATE_H

#include "commands/trigger.h"

#include "core/api/api.h"
#include "database/sql.h"

/* Fields of mf_invoice that users set, beside those of a request */
#define MF_ROW_FIELDS "account", "send_at", "priority", "idempotency_key", "callbacks", "metadata"
#define MF_MAX_SOURCES (MF_SP_COUNT + 6)

/* UPDATE statements that are kept for each trigger, for different sets of columns */
#define MF_MAX_UPDATES 16

/*
 * The table that rows are made in: mf_invoice; with 'into=NAME' mf_NAME, which another
 * extension has made in our schema, with columns id, account, NAME_key (unique with
 * account), metadata and status.  'on_delete=WORD' calls its mf_WORD(id, reason)
 * unless the status is WORD.
 */
typedef struct MfTarget
{
	Oid			relation;
	const char *table;			/* name, quoted where needed */
	const char *key;			/* column */
	bool		is_invoice;
	const char *undo;			/* WORD; NULL = no on_delete */
	MfPlan	   *undo_plan;		/* of others than mf_invoice; $1 is the id, $2 the reason */
} MfTarget;

/* Where the value of a field of the target comes from */
typedef struct MfSource
{
	const char *field;			/* column of the target */
	const char *constant;		/* NULL: from "column" */
	int			column;			/* attribute number of the user's table */
} MfSource;

/* The UPDATE of the target for a set of sources */
typedef struct MfMappingUpdate
{
	uint32		sources;		/* bit for each; 0: unused */
	MfPlan	   *plan;
} MfMappingUpdate;

/* The parsed arguments of a trigger; kept per trigger and process */
typedef struct MfMapping
{
	Oid			trigger;
	Oid			relation;
	Oid			schema;			/* of the target */
	MfTarget	target;
	bool		stale;			/* to be read again */
	MemoryContext context;		/* that all of it is in */
	MfSource	sources[MF_MAX_SOURCES];
	int			source_count;
	int			id_column;		/* to write the id back to; 0 = none */
	bool		has_key;		/* the key of the target is among the fields */
	bool		sync;			/* the target's row follows changes of the user's */
	bool		cancel;			/* and is cancelled, or undone, with it */
	MfPlan	   *insert;
	MfPlan	   *write_back;		/* NULL without id_column */
	MfMappingUpdate updates[MF_MAX_UPDATES];
	int			next_update;	/* index of the one that is replaced next */
	struct MfMapping *next;
} MfMapping;

/*
 * The mapping of the trigger.  It is read at the first firing, and again after
 * changes; it stays valid until the end of the transaction.  Raises an error that
 * names the argument that is wrong.
 */
extern MfMapping *mf_mapping_get(TriggerData *trigger, Oid schema);

/* Prepares the statements of a mapping; enqueue_statements.c */
extern void mf_mapping_prepare(MfMapping *mapping, TriggerData *trigger);

/*
 * The statement that updates the fields of these sources, whose values are its
 * parameters from $2 on, in their order; $1 is the id.
 */
extern const MfPlan *mf_mapping_update(MfMapping *mapping, TupleDesc desc, uint32 sources);

/* Stores the id of the invoice of a user's row in *invoice; false if the row has none. */
extern bool mf_mapping_invoice(const MfMapping *mapping, HeapTuple row, TupleDesc desc, int64 *invoice);

/* Raises an error in a replica, where the triggers of mf_invoice do not fire. */
extern void mf_enqueue_refuse_replica(const TriggerData *trigger);

/* A row of the user's table was updated or deleted. */
extern void mf_follow_update(MfMapping *mapping, TriggerData *trigger);
extern void mf_follow_delete(MfMapping *mapping, TriggerData *trigger);

/* A row that has an invoice was inserted, perhaps because it was moved to another partition. */
extern void mf_follow_move(MfMapping *mapping, TriggerData *trigger, int64 invoice);

#endif							/* MF_ENQUEUE_PRIVATE_H */
