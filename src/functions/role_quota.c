/*
 * role_quota.c
 *	  Quotas of roles for inquiries about payments.
 *
 * They are in shared memory, so that all sessions of a role share one.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/role_quota.c
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/settings.h"
#include "functions/role_quota.h"
#include "process/worker_slots.h"

/* A role may use up the quota of this many seconds at once. */
#define QUOTA_SECONDS 10

/* The limit of an account for callbacks is this many times the quota of a role. */
#define CALLBACK_SHARE 2

static MfQuota *lock_quota(Oid role, TimestampTz now);

bool
mf_quota_take_inquiry(Oid role)
{
	double		rate = mf_callback_rate_limit / 60.0;
	TimestampTz now = GetCurrentTimestamp();
	MfQuota    *quota = lock_quota(role, now);
	bool		taken;

	if (quota == NULL)
		return true;
	if (quota->filled_at == 0)
		quota->questions = rate * QUOTA_SECONDS;
	else if (now > quota->filled_at)
		quota->questions += (now - quota->filled_at) * rate / 1000000.0;
	quota->questions = Min(quota->questions, Max(rate * QUOTA_SECONDS, 1.0));
	quota->filled_at = now;
	taken = quota->questions >= 1.0;
	if (taken)
		quota->questions -= 1.0;
	LWLockRelease(mf_shared->lock);
	return taken;
}

TimestampTz
mf_quota_take_callback(Oid role)
{
	int64		step = (int64) (CALLBACK_SHARE * 60 * USECS_PER_SEC / mf_callback_rate_limit);
	int64		spare = QUOTA_SECONDS * USECS_PER_SEC;
	TimestampTz now = GetCurrentTimestamp();
	MfQuota    *quota = lock_quota(role, now);
	TimestampTz turn;

	if (quota == NULL)
		return 0;
	turn = Max(quota->turn, now - spare);
	quota->turn = turn + step;
	LWLockRelease(mf_shared->lock);
	return turn > now ? turn : 0;
}

/*
 * Returns the quota of the role with the lock held.  A role without one gets that of the
 * role that has not used its quota for the longest time.  Returns NULL, without the lock, if
 * there is no worker: then no inquiries are made.
 */
static MfQuota *
lock_quota(Oid role, TimestampTz now)
{
	MfSlot	   *slot;
	MfQuota    *quota;
	int			i;

	if (mf_shared == NULL)
		return NULL;
	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	slot = mf_find_slot(MyDatabaseId, false);
	if (slot == NULL)
	{
		LWLockRelease(mf_shared->lock);
		return NULL;
	}
	quota = &slot->quotas[0];
	for (i = 0; i < MF_QUOTAS && quota->role != role; i++)
	{
		if (slot->quotas[i].role == role || slot->quotas[i].used_at < quota->used_at)
			quota = &slot->quotas[i];
	}
	if (quota->role != role)
	{
		memset(quota, 0, sizeof(*quota));
		quota->role = role;
	}
	quota->used_at = now;
	return quota;
}
