/*
 * user_call.h
 *	  Calls a function of a user, with the rights of its owner, from a process of
 *	  the extension.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/database/user_call.h
 */
#ifndef MF_USER_CALL_H
#define MF_USER_CALL_H

#define MF_USER_CALL_ARGS 2

/* In statements: whether the registration "r" counts.  That of an extension that was dropped does not. */
#define MF_REGISTRATION_LIVE "(r.extension IS NULL OR EXISTS (SELECT FROM pg_catalog.pg_extension e WHERE e.extname = r.extension))"

/* Who needs the right to register for it; an extension does not. */
#define MF_REGISTRANT "CASE WHEN r.extension IS NULL THEN r.registered_by::text END"

/* A registered function, its arguments, and what comes of the call */
typedef struct MfUserCall
{
	const char *function;		/* schema and name, quoted where needed */
	const char *owner;			/* when it was registered */
	const char *registrant;		/* who has registered it; NULL = the script of an extension */
	Oid			registrar;		/* the function of ours that registers such */
	int			nargs;
	Oid			types[MF_USER_CALL_ARGS];
	Oid			returns;		/* InvalidOid = any single value, which is not kept */
	Datum		args[MF_USER_CALL_ARGS];

	/* called with the rights of the owner; the function is not, if this returns false.  May be NULL. */
	bool		(*is_wanted) (void *argument);
	void	   *argument;

	Datum		result;			/* in the context that was current when it was called */
	bool		isnull;			/* also if the function was not called */
} MfUserCall;

/* A function by its name and arguments; InvalidOid if there is none. */
extern Oid	mf_find_function(Oid schema, const char *name, const Oid *types, int nargs);

/*
 * The owner that counts: that by which it was registered; of a function that an
 * extension's script has registered, whoever owns it now, because roles get other names,
 * and only superusers make a function an extension's.
 */
extern const char *mf_user_call_owner(const MfUserCall *call);

/*
 * Why the function may not be called, palloc'd.  NULL if it may; then *role is its owner.
 * A registration ends with the right to register: of its owner and whoever has
 * registered it, one must have that still.
 */
extern char *mf_user_call_refusal(const MfUserCall *call, Oid *role);

/* In a transaction, before the first statement that is due to a function. */
extern void mf_user_call_prepare(void);

/*
 * Calls the function in a subtransaction, with the rights of its owner.  Returns NULL,
 * or why the call failed, palloc'd.  The function is cancelled after
 * myfatoorah.on_change_timeout; if it still runs after more than twice that time, the
 * process is ended.
 */
extern const char *mf_user_call(MfUserCall *call);

/*
 * The name that a function is registered by, without its arguments, palloc'd: they are
 * always the same, and may contain the name of our schema, which may be changed.
 */
extern char *mf_registered_name(Oid function);

/* What is said of a function that cannot be registered; translated by mf_user_function_check() */
typedef struct MfFunctionUse
{
	const char *needed;
	const char *declaration;
} MfFunctionUse;

/*
 * Raises an error unless the function is a plain one with the arguments and the result of
 * "call", is there for other sessions, too, and the current role may have it called with the
 * rights of its owner.
 */
extern void mf_user_function_check(Oid function, const MfUserCall *call, const MfFunctionUse *use);

/* The name of the role that owns the function, palloc'd. */
extern char *mf_function_owner(Oid function);

/* The extension whose script is running; NULL = none. */
extern char *mf_registering_extension(void);

#endif							/* MF_USER_CALL_H */
