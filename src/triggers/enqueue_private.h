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

/* Where the value of a field of mf_invoice comes from */
typedef struct MfSource
{
	const char *field;			/* column of mf_invoice */
	const char *constant;		/* NULL: from "column" */
	int			column;			/* attribute number of the user's table */
} MfSource;

/* The UPDATE of mf_invoice for a set of sources */
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
	Oid			schema;			/* of mf_invoice */
	bool		stale;			/* to be read again */
	MemoryContext context;		/* that all of it is in */
	MfSource	sources[MF_MAX_SOURCES];
	int			source_count;
	int			id_column;		/* to write the id back to; 0 = none */
	bool		has_key;		/* idempotency_key is among the fields */
	bool		sync;			/* a queued invoice follows changes of the row */
	bool		cancel;			/* and is cancelled with the row */
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
