/*
 * enqueue_internal.h
 *	  What the enqueue*.c files share.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/triggers/enqueue_internal.h
 */
#ifndef MF_ENQUEUE_INTERNAL_H
#define MF_ENQUEUE_INTERNAL_H

#include "commands/trigger.h"

#include "core/api/api.h"
#include "database/sql.h"

/* Fields that only rows of mf_invoice have, beside those of a request */
#define MF_ROW_FIELDS "account", "send_at", "priority", "idempotency_key", "callbacks", "metadata"
#define MF_MAX_SOURCES (MF_SP_COUNT + 6)

/* Statements that are kept for changes of different columns */
#define MF_MAX_UPDATES 16

/* Where the value of one column of mf_invoice comes from */
typedef struct MfSource
{
	const char *field;			/* column of mf_invoice */
	const char *constant;		/* NULL: from "column" */
	int			column;			/* attribute number */
} MfSource;

/* UPDATE of the columns that are fed by some sources */
typedef struct MfMfMappingUpdate
{
	uint32		sources;		/* by bit; 0: none yet */
	MfPlan	   *plan;
} MfMappingUpdate;

/* The arguments of one trigger, understood; one per trigger and backend */
typedef struct MfMapping
{
	Oid			trigger;
	Oid			relation;
	Oid			schema;			/* of mf_invoice */
	bool		stale;
	MemoryContext context;
	MfSource	sources[MF_MAX_SOURCES];
	int			source_count;
	int			id_column;		/* to write the id back to, 0 = none */
	bool		sync;			/* a queued invoice follows the row, */
	bool		cancel;			/* and goes with it */
	MfPlan	   *insert;
	MfPlan	   *write_back;
	MfMappingUpdate updates[MF_MAX_UPDATES];
	int			next_update;
	struct MfMapping *next;
} MfMapping;

/* The mapping of this trigger, understood at its first firing and after changes. */
extern MfMapping *mf_mapping_get(TriggerData *trigger, Oid schema);

/* The statement that changes the columns of those sources; $1 is the id. */
extern const MfPlan *mf_mapping_update(MfMapping *mapping, TupleDesc desc, uint32 sources);

/* The invoice that a row of the user's table has; false if it has none. */
extern bool mf_mapping_invoice(const MfMapping *mapping, HeapTuple row, TupleDesc desc, int64 *invoice);

/*
 * A row has been changed; it has been deleted; one that has its invoice has been
 * inserted, perhaps because it was moved to another partition.
 */
/* Raises an error where the triggers of mf_invoice do not fire: in replicas of the user's table, say. */
extern void mf_enqueue_refuse_replica(const TriggerData *trigger);

extern void mf_follow_update(MfMapping *mapping, TriggerData *trigger);
extern void mf_follow_delete(MfMapping *mapping, TriggerData *trigger);
extern void mf_follow_move(MfMapping *mapping, TriggerData *trigger, int64 invoice);

#endif							/* MF_ENQUEUE_INTERNAL_H */
