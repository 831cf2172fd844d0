/*
 * on_change_call.h
 *	  Calls a function that mf_on_change() or mf_on_time() has registered.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/on_change/on_change_call.h
 */
#ifndef MF_ON_CHANGE_CALL_H
#define MF_ON_CHANGE_CALL_H

#include "datatype/timestamp.h"

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

/* The owner that counts: see mf_user_call_owner() */
extern const char *mf_reaction_owner_now(const MfReactionCall *call);

/*
 * Why the function may not be called, palloc'd.  NULL if it may; then *role is its
 * owner.
 */
extern char *mf_reaction_refusal(const MfReactionCall *call, Oid *role);

/* Calls the function as mf_user_call() does.  Returns NULL, or why the call failed, palloc'd. */
extern const char *mf_reaction_call(MfReactionCall *call);

#endif							/* MF_ON_CHANGE_CALL_H */
