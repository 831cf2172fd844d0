/*
 * on_change_queue.h
 *	  The changes that functions of mf_on_change() are to be told.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/on_change/on_change_queue.h
 */
#ifndef MF_ON_CHANGE_QUEUE_H
#define MF_ON_CHANGE_QUEUE_H

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

#include "database/sql.h"

/* Whether any function is registered; no statement is run for it. */
extern bool mf_reactions_any(Oid schema);

/* Notes a change for all registered functions; they are told of it after the commit. */
extern void mf_reactions_note(Oid schema, int64 invoice, Datum before, Datum after);

/* Registers a function, anew if it is registered: what waits for it is tried at once. */
extern void mf_reaction_register(Oid schema, const char *function, const char *owner, const char *by);

/* The owner of a registered function, palloc'd; NULL if it is not registered. */
extern char *mf_reaction_owner(Oid schema, const char *function);

/* Ends a registration; how many changes it was still to be told of. */
extern int64 mf_reaction_unregister(Oid schema, const char *function);

/* A registered function, for mf_check() */
typedef struct MfReactionState
{
	char	   *function;
	char	   *owner;
	int64		waiting;		/* changes that it was not told of yet */
	TimestampTz since;			/* the oldest of these */
	int64		invoice;		/* the first one that has failed; 0 = none has */
	char	   *error;			/* why; NULL = none has */
} MfReactionState;

/* A list of MfReactionState */
extern List *mf_reaction_states(Oid schema);

/*
 * Tells a function of one change, or notes that it has failed.  False if nothing is
 * due; *next is when something will be, 0 = never.  *under_way, which outlives the
 * process, is not 0 while a function is called.
 */
extern bool mf_reactions_tell(MfRunTransaction run_apart, int64 *under_way, TimestampTz *next);

/* Notes that the call of *under_way did not come back; false if that could not be done. */
extern bool mf_reaction_note_ended(MfRunTransaction run_apart, int64 id);

/* When something is due, 0 = never; false if that could not be read. */
extern bool mf_reactions_next(MfRunTransaction run_apart, TimestampTz *next);

/* Nothing of it waits for its time any more. */
extern void mf_reactions_try_now(const MfSqlScope *scope);

#endif							/* MF_ON_CHANGE_QUEUE_H */
