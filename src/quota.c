/*
 * quota.c
 *	  How many questions about payments a role may have asked at once.
 *
 * In shared memory, so that a role has one budget in all its sessions.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/quota.c
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "myfatoorah.h"
#include "quota.h"
#include "wake.h"

/* Seconds' worth that a role may use at once */
#define QUOTA_SECONDS 10

static MfQuota *find_quota(MfSlot *slot, Oid role);

/* See quota.h. */
bool
mf_quota_take(Oid role)
{
	double		rate = mf_callback_limit / 60.0;
	TimestampTz now = GetCurrentTimestamp();
	bool		taken = true;
	MfSlot	   *slot;

	/* without a worker nobody asks */
	if (mf_shared == NULL)
		return true;
	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	slot = mf_find_slot(MyDatabaseId, false);
	if (slot != NULL)
	{
		MfQuota    *quota = find_quota(slot, role);

		if (quota->filled_at == 0)
			quota->questions = rate * QUOTA_SECONDS;
		else if (now > quota->filled_at)
			quota->questions += (now - quota->filled_at) * rate / 1000000.0;
		quota->questions = Min(quota->questions, Max(rate * QUOTA_SECONDS, 1.0));
		quota->filled_at = now;
		taken = quota->questions >= 1.0;
		if (taken)
			quota->questions -= 1.0;
	}
	LWLockRelease(mf_shared->lock);
	return taken;
}

/* That of the role, in place of the one that was not used for longest if it has none. */
static MfQuota *
find_quota(MfSlot *slot, Oid role)
{
	MfQuota    *oldest = &slot->quotas[0];
	int			i;

	for (i = 0; i < MF_QUOTAS; i++)
	{
		if (slot->quotas[i].role == role)
			return &slot->quotas[i];
		if (slot->quotas[i].filled_at < oldest->filled_at)
			oldest = &slot->quotas[i];
	}
	memset(oldest, 0, sizeof(*oldest));
	oldest->role = role;
	return oldest;
}
