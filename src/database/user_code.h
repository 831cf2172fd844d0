/*
 * user_code.h
 *	  Restricts code of users that runs within our statements.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/database/user_code.h
 */
#ifndef MF_USER_CODE_H
#define MF_USER_CODE_H

#include "nodes/nodes.h"

/*
 * Before and after a utility command.  If code of a user runs it, the command is
 * run as a security-restricted operation: it cannot leave anything in the session.
 * mf_user_code_restrict() returns whether that is so; then mf_user_code_release()
 * must follow with the security context to restore.  Raises 42501 for SET
 * CONSTRAINTS, which would run deferred triggers of others.
 */
extern bool mf_user_code_restrict(NodeTag command, int *security_context);
extern void mf_user_code_release(int security_context);

/* Raises 42501 if code of a user is about to call a function that takes or releases locks of the session. */
extern void mf_user_code_check_function(Oid function);

#endif							/* MF_USER_CODE_H */
