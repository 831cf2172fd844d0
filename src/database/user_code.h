/*
 * user_code.h
 *	  Code of users that runs inside of what we do, and leaves nothing behind.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/database/user_code.h
 */
#ifndef MF_USER_CODE_H
#define MF_USER_CODE_H

#include "nodes/nodes.h"

/*
 * Before and after a command: one that a guest runs cannot leave anything in the
 * session.  Raises an error if it is one that would run what others have deferred.
 */
extern bool mf_user_code_restrict(NodeTag command, int *security_context);
extern void mf_user_code_release(int security_context);

/* Before a function is called: raises an error if it locks or unlocks for the session, and a guest calls it. */
extern void mf_user_code_check_function(Oid function);

#endif							/* MF_USER_CODE_H */
