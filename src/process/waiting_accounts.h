/*
 * waiting_accounts.h
 *	  The accounts on back-off after failures, as the worker shows them to
 *	  sessions.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/process/waiting_accounts.h
 */
#ifndef MF_WAITING_ACCOUNTS_H
#define MF_WAITING_ACCOUNTS_H

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

typedef enum MfWaiting
{
	MF_NOT_WAITING,
	MF_WAITING,
	MF_WAITING_UNKNOWN			/* more accounts wait than shared memory has room for */
} MfWaiting;

/*
 * In the worker: an account waits until a time, or waits no longer (0), which is called
 * only if it has waited.  "was_waiting": the latest call said that it waits.  Accounts
 * for which shared memory has no room are counted, without their names.
 */
extern void mf_waiting_account_set(const char *account, TimestampTz until, bool was_waiting);

/* Whether an account of a database waits; *until is set if it is known to. */
extern MfWaiting mf_waiting_account_find(Oid database, const char *account, TimestampTz *until);

/* Names of the accounts of a database that wait, palloc'd; *more is set to the number of those without names. */
extern List *mf_waiting_accounts(Oid database, int *more);

#endif							/* MF_WAITING_ACCOUNTS_H */
