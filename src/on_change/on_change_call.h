/*
 * on_change_call.h
 *	  Calls a function that mf_on_change() has registered.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/on_change/on_change_call.h
 */
#ifndef MF_ON_CHANGE_CALL_H
#define MF_ON_CHANGE_CALL_H

/* A function, and the change that it is called for */
typedef struct MfReactionCall
{
	Oid			schema;			/* the extension's */
	const char *function;		/* schema and name, as in mf_reaction */
	const char *owner;			/* when it was registered */
	int64		invoice;
	Datum		before;			/* the row, of type mf_invoice */
	Datum		after;
} MfReactionCall;

/* The function of that name that takes two rows of mf_invoice; InvalidOid if there is none. */
extern Oid	mf_reaction_find(Oid schema, const char *function);

/*
 * Why the function may not be called, palloc'd.  NULL if it may; then *role is its
 * owner.
 */
extern char *mf_reaction_refusal(Oid schema, const char *function, const char *owner, Oid *role);

/*
 * Calls the function in a subtransaction, with the rights of its owner.  Returns NULL,
 * or why the call failed, palloc'd.  The function is cancelled after
 * myfatoorah.on_change_timeout; if it still runs after more than twice that time, the
 * process is ended.
 */
extern const char *mf_reaction_call(const MfReactionCall *call);

#endif							/* MF_ON_CHANGE_CALL_H */
