/*
 * role_quota.c
 *	  How many questions about payments a role may have asked at once.
 *
 * In shared memory, so that a role has one budget in all its sessions.
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

/* Seconds' worth that a role may use at once */
#define QUOTA_SECONDS 10

/* What callbacks of all roles may cause is so many times what those of one may. */
#define CALLBACK_SHARE 2

static MfQuota *lock_quota(Oid role, TimestampTz now);

bool
mf_quota_take(Oid role)
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
mf_quota_turn(Oid role)
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
 * That of the role, in place of the one that was not used for longest if it has
 * none, with the lock held.  NULL, without it, if there is no worker: nobody asks.
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
