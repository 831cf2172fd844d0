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

/* So many roles can use up the limit of an account for callbacks by their quotas. */
#define ROLES_PER_ACCOUNT_LIMIT 2

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
		quota->inquiries = rate * QUOTA_SECONDS;
	else if (now > quota->filled_at)
		quota->inquiries += (now - quota->filled_at) * rate / 1000000.0;
	quota->inquiries = Min(quota->inquiries, Max(rate * QUOTA_SECONDS, 1.0));
	quota->filled_at = now;
	taken = quota->inquiries >= 1.0;
	if (taken)
		quota->inquiries -= 1.0;
	LWLockRelease(mf_shared->lock);
	return taken;
}

/*
 * "turn" advances by an interval with each callback, and lags behind now by what the
 * role has saved.  So a callback beyond the quota gets a time, while an inquiry is only
 * counted.
 */
TimestampTz
mf_quota_take_callback(Oid role)
{
	int64		interval_us = (int64) (ROLES_PER_ACCOUNT_LIMIT * 60 * USECS_PER_SEC / mf_callback_rate_limit);
	int64		saved_us = QUOTA_SECONDS * USECS_PER_SEC;
	TimestampTz now = GetCurrentTimestamp();
	MfQuota    *quota = lock_quota(role, now);
	TimestampTz turn;

	if (quota == NULL)
		return 0;
	turn = Max(quota->turn, now - saved_us);
	quota->turn = turn + interval_us;
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
