/*
 * on_change_queue.h
 *	  The changes that functions of mf_on_change() are to be told again, or later.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/on_change_queue.h
 */
#ifndef MF_ON_CHANGE_QUEUE_H
#define MF_ON_CHANGE_QUEUE_H

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

#include "history.h"

/* Whether any function is registered; no statement is run for it. */
extern bool mf_reactions_any(Oid schema);

/* In the worker: tells all registered functions of a change.  Notes it for those that have to be told later, and in other sessions for all. */
extern void mf_reactions_tell(Oid schema, int64 invoice, Datum before, Datum after);

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

/* Once, in the worker: it is the one that tells what waits. */
extern void mf_reactions_start(Oid schema);

/* Tells what waits and is due, in the worker, each in a transaction of its own; for a moment at most. */
extern void mf_reactions_attend(MfRunApart run_apart);

/* When that is needed next; 0 = not before something fails. */
extern TimestampTz mf_reactions_alarm(void);

/* Something is to be told that waits for no time. */
extern void mf_reactions_wake(void);

/* Nothing of it waits for its time any more. */
extern void mf_reactions_try_now(const MfSqlScope *scope);

#endif							/* MF_ON_CHANGE_QUEUE_H */
