/*
 * waiting_accounts.c
 *	  The accounts on back-off after failures, as the worker shows them to
 *	  sessions.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/process/waiting_accounts.c
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"

#include "base/compat.h"
#include "process/waiting_accounts.h"
#include "process/worker_slots.h"

static int	find_entry(const MfSlot *slot, const char *account);

void
mf_waiting_account_set(const char *account, TimestampTz until, bool was_waiting)
{
	MfSlot	   *slot = mf_lock_slot(MyDatabaseId, LW_EXCLUSIVE);
	int			i;

	if (slot == NULL)
		return;
	i = find_entry(slot, account);
	if (i >= 0 && until != 0)
		slot->waiting[i].until = until;
	else if (i >= 0)
		slot->waiting[i] = slot->waiting[--slot->waiting_count];
	else if (until == 0)
		slot->waiting_more--;
	else if (!was_waiting && slot->waiting_count == MF_WAITING_ACCOUNTS)
		slot->waiting_more++;
	else if (!was_waiting)
	{
		namestrcpy(&slot->waiting[slot->waiting_count].account, account);
		slot->waiting[slot->waiting_count++].until = until;
	}
	LWLockRelease(mf_shared->lock);
}

List *
mf_waiting_accounts(Oid database, int *more)
{
	MfSlot	   *slot = mf_lock_slot(database, LW_SHARED);
	List	   *names = NIL;
	int			i;

	*more = 0;
	if (slot == NULL)
		return NIL;
	if (slot->pid != 0)
	{
		for (i = 0; i < slot->waiting_count; i++)
			names = lappend(names, pstrdup(NameStr(slot->waiting[i].account)));
		*more = slot->waiting_more;
	}
	LWLockRelease(mf_shared->lock);
	return names;
}

MfWaiting
mf_waiting_account_find(Oid database, const char *account, TimestampTz *until)
{
	MfSlot	   *slot = mf_lock_slot(database, LW_SHARED);
	MfWaiting	waiting = MF_NOT_WAITING;

	if (slot == NULL)
		return waiting;
	if (slot->pid != 0)
	{
		int			i = find_entry(slot, account);

		if (i >= 0)
		{
			waiting = MF_WAITING;
			*until = slot->waiting[i].until;
		}
		else if (slot->waiting_more > 0)
			waiting = MF_WAITING_UNKNOWN;
	}
	LWLockRelease(mf_shared->lock);
	return waiting;
}

static int
find_entry(const MfSlot *slot, const char *account)
{
	int			i;

	for (i = slot->waiting_count - 1; i >= 0; i--)
	{
		if (namestrcmp(unconstify(NameData *, &slot->waiting[i].account), account) == 0)
			break;
	}
	return i;
}
