/*
 * role_quota.h
 *	  How many questions about payments a role may have asked at once.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/role_quota.h
 */
#ifndef MF_ROLE_QUOTA_H
#define MF_ROLE_QUOTA_H

#include "datatype/timestamp.h"

/*
 * Takes one from the budget of a role in this database; false if that is used up,
 * so that the question has to wait for its turn among those that anybody can cause.
 */
extern bool mf_quota_take(Oid role);

/*
 * Likewise of what a role hands in as callbacks, whose budget is half of what the
 * callbacks of an account have: 0 while it lasts, then the time of its turn.
 */
extern TimestampTz mf_quota_turn(Oid role);

#endif							/* MF_ROLE_QUOTA_H */
