/*
 * on_change_registry.h
 *	  The functions that mf_on_change() and mf_on_time() have registered: the table
 *	  mf_reaction.
 *
 * "Reaction" in names means such a function, and a call of it after a change or at a time.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/on_change/on_change_registry.h
 */
#ifndef MF_ON_CHANGE_REGISTRY_H
#define MF_ON_CHANGE_REGISTRY_H

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

/* A registered function, for mf_check() */
typedef struct MfReactionState
{
	char	   *function;
	const char *owner;
	char	   *registrant;		/* NULL = the script of an extension */
	bool		timed;			/* called at times, not for changes */
	int64		waiting;		/* changes in the queue, or times that have come */
	TimestampTz since;			/* the oldest of these */
	int64		invoice;		/* the first one whose call failed; 0 = none, or called at a time */
	char	   *error;			/* of that call; NULL = none */
} MfReactionState;

/* Which functions */
typedef enum MfReactionScope
{
	MF_REACTIONS_ALL,
	MF_REACTIONS_OF_PAYMENTS,	/* those that are called after a change of money, or a status at which sending ends */
	MF_REACTIONS_OF_SENDING		/* those that are called after the changes that each invoice goes through */
} MfReactionScope;

/* Whether any such function is registered; cheap, because it runs no statement. */
extern bool mf_reactions_any(Oid schema, MfReactionScope scope);

/*
 * Registers a function, or registers it again: then its queue is due at once.  "kind" is as in mf_reaction.  A
 * timed one is called at "first_at" if that is not 0.  Raises an error if its owner has too many functions.
 */
extern void mf_reaction_register(Oid schema, Oid function, const char *kind, TimestampTz first_at);

/* The owner of a registered function, palloc'd, and whether it is called at times; NULL if it is not registered. */
extern const char *mf_reaction_owner(Oid schema, const char *function, bool *timed);

/* Ends a registration; returns how many calls were in the queue. */
extern int64 mf_reaction_unregister(Oid schema, const char *function);

/* A list of MfReactionState */
extern List *mf_reaction_states(Oid schema);

/* The name of the trigger; without registered functions, changes may be made without it. */
#define MF_ON_CHANGE_TRIGGER "mf_invoice_on_change"

/* A function, and the change or the time that it is called for */
typedef struct MfReactionCall
{
	Oid			schema;			/* the extension's */
	const char *function;		/* schema and name, as in mf_reaction */
	const char *owner;			/* when it was registered */
	const char *registrant;		/* who has registered it; NULL = the script of an extension */
	bool		timed;			/* called at a time, not for a change */
	int64		invoice;
	Datum		before;			/* the row, of type mf_invoice */
	Datum		after;
	TimestampTz next;			/* result of a timed one: when it wants to be called again; 0 = not by itself */
} MfReactionCall;

struct MfUserCall;

/* Describes the function of a call; its arguments are left out. */
extern void mf_reaction_describe(const MfReactionCall *call, struct MfUserCall *function);

/*
 * Why the function may not be called, palloc'd.  NULL if it may; then *role is its
 * owner.
 */
extern char *mf_reaction_refusal(const MfReactionCall *call, Oid *role);

/* Calls the function as mf_user_call() does.  Returns NULL, or why the call failed, palloc'd. */
extern const char *mf_reaction_call(MfReactionCall *call);

#endif							/* MF_ON_CHANGE_REGISTRY_H */
