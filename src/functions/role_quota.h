/*
 * role_quota.h
 *	  Quotas of roles for inquiries about payments.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/role_quota.h
 */
#ifndef MF_ROLE_QUOTA_H
#define MF_ROLE_QUOTA_H

#include "datatype/timestamp.h"

/*
 * Takes one inquiry from the quota of a role in this database.  Returns false if that is
 * used up: then the inquiry gets the low priority of those that anybody can cause.
 */
extern bool mf_quota_take_inquiry(Oid role);

/*
 * Takes one callback from the quota of a role, which is half of what all callbacks of an
 * account may cause.  Returns 0 or, if the quota is used up, when the inquiry of this
 * callback may be made.
 */
extern TimestampTz mf_quota_take_callback(Oid role);

#endif							/* MF_ROLE_QUOTA_H */
