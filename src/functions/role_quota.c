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
#include "process/wait.h"
#include "process/worker_slots.h"

/* A role may use up the quota of this many seconds at once. */
#define QUOTA_SECONDS 10

/* So many roles can use up the limit of an account for callbacks by their quotas. */
#define ROLES_PER_ACCOUNT_LIMIT 2

static MfQuota *lock_quota(Oid role, TimestampTz now);
static TimestampTz turn_after(TimestampTz latest, int64 interval_us, TimestampTz now);

/* An inquiry beyond the quota takes no turn. */
bool
mf_quota_take_inquiry(Oid role)
{
	int64		interval_us = 60 * USECS_PER_SEC / mf_callback_rate_limit;
	TimestampTz now = GetCurrentTimestamp();
	MfQuota    *quota = lock_quota(role, now);
	TimestampTz turn;

	if (quota == NULL)
		return true;
	turn = turn_after(quota->inquiry, interval_us, now);
	if (turn <= now)
		quota->inquiry = turn;
	LWLockRelease(mf_shared->lock);
	return turn <= now;
}

/* A callback beyond the quota gets the next turn, which is ahead. */
TimestampTz
mf_quota_take_callback(Oid role)
{
	int64		interval_us = ROLES_PER_ACCOUNT_LIMIT * 60 * USECS_PER_SEC / mf_callback_rate_limit;
	TimestampTz now = GetCurrentTimestamp();
	MfQuota    *quota = lock_quota(role, now);
	TimestampTz turn;

	if (quota == NULL)
		return 0;
	turn = quota->callback = turn_after(quota->callback, interval_us, now);
	LWLockRelease(mf_shared->lock);
	return turn > now ? turn : 0;
}

/*
 * The turn that follows the latest one.  Turns are "interval_us" apart; those of the
 * latest seconds that the role has not used are behind now.
 */
static TimestampTz
turn_after(TimestampTz latest, int64 interval_us, TimestampTz now)
{
	return Max(latest, now - Max(QUOTA_SECONDS * USECS_PER_SEC, interval_us)) + interval_us;
}

/*
 * Returns the quota of the role with the lock held.  A role without one gets that of the
 * role that has not used its quota for the longest time.  Returns NULL, without the lock, if
 * there is no worker: then no inquiries are made.
 */
static MfQuota *
lock_quota(Oid role, TimestampTz now)
{
	MfSlot	   *slot = mf_lock_slot(MyDatabaseId, LW_EXCLUSIVE);
	MfQuota    *quota;
	int			i;

	if (slot == NULL)
		return NULL;
	quota = &slot->quotas[0];
	for (i = 0; i < MF_QUOTAS && quota->role != role; i++)
	{
		if (slot->quotas[i].role == role || slot->quotas[i].used_at < quota->used_at)
			quota = &slot->quotas[i];
	}
	/* after the clock was set back its turns would be far ahead */
	if (quota->role != role || quota->used_at - now >= MF_SET_BACK_MIN_US)
	{
		memset(quota, 0, sizeof(*quota));
		quota->role = role;
	}
	quota->used_at = now;
	return quota;
}
