/*
 * on_change_call.h
 *	  One call of a function that mf_on_change() has registered.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/on_change/on_change_call.h
 */
#ifndef MF_ON_CHANGE_CALL_H
#define MF_ON_CHANGE_CALL_H

/* What a function is told */
typedef struct MfReactionCall
{
	Oid			schema;			/* the extension's */
	const char *function;		/* schema and name, as in mf_reaction */
	const char *owner;			/* the role that had it when it was registered */
	int64		invoice;
	Datum		before;			/* the row, of type mf_invoice */
	Datum		after;
} MfReactionCall;

/* The function of that name that takes two rows of mf_invoice; InvalidOid if there is none. */
extern Oid	mf_reaction_find(Oid schema, const char *function);

/* Why it may not be called, palloc'd; NULL if it may.  Whose rights it has then is in *role. */
extern char *mf_reaction_refusal(Oid schema, const char *function, const char *owner, Oid *role);

/*
 * Calls it in a subtransaction, with the rights of its owner, and for no longer than
 * myfatoorah.on_change_timeout.  Returns NULL, or why it has failed, palloc'd.  Ends
 * the process if the function goes on for more than twice that time.
 */
extern const char *mf_reaction_call(const MfReactionCall *call);

#endif							/* MF_ON_CHANGE_CALL_H */
