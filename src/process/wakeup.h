/*
 * wakeup.h
 *	  Wakes the processes of the extension, at once or when a transaction
 *	  commits.
 *
 * A prepared transaction wakes nobody when it is prepared.  Its end is noticed by
 * worker/utility_hooks.c.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/process/wakeup.h
 */
#ifndef MF_WAKEUP_H
#define MF_WAKEUP_H

#include "process/worker_slots.h"

/* What the worker is to try at once although it was put off after failures */
typedef enum MfTryNow
{
	MF_TRY_LACKING = 1,			/* accounts that lacked something on this side, before any request was made */
	MF_TRY_ALL = 2,				/* all accounts: an operator says so */
	MF_TRY_REACTIONS = 4		/* no account: calls of functions of mf_on_change() */
} MfTryNow;

#define MF_TRY_ANY (MF_TRY_LACKING | MF_TRY_ALL | MF_TRY_REACTIONS)

/* What the worker is to look at */
typedef enum MfNews
{
	MF_NEWS_AGENDA = 8,			/* it has changed, perhaps for the accounts in the slot only */
	MF_NEWS_INQUIRIES = 16,		/* their agenda has changed */
	MF_NEWS_OPERATIONS = 32,	/* a refund, capture or release may be due */
	MF_NEWS_PAUSE = 64			/* which accounts are paused, before it posts more */
} MfNews;

/*
 * These functions act once the current transaction has committed, and not if it fails.
 *
 * The first three wake the worker of this database.  The agenda has changed, perhaps for
 * any account, or for one:
 */
extern void mf_wake_worker_at_commit(void);
extern void mf_wake_account_at_commit(const char *account);

/*
 * Bits of MfNews and MfTryNow.  Inquiries and operations wake the worker of a session that
 * fails, too: it may have passed over what the session had locked.
 */
extern void mf_news_at_commit(uint32 news);

/* Wakes those who wait for an invoice to change, also in the listener. */
extern void mf_wake_waiting_at_commit(void);

/* Has the listener read which paths functions answer. */
extern void mf_routes_changed_at_commit(void);

/* Has the launcher start the worker of a database. */
extern void mf_wake_launcher_at_commit(Oid database);

/* Ends the worker of a database, and has the launcher start a new one. */
extern void mf_restart_worker_at_commit(Oid database);

/*
 * These functions act at once.  The first wakes a worker, which assumes that anything may
 * have changed, as do the processes that call functions of users.
 */
extern void mf_wake_worker(Oid database);

/*
 * Has the launcher start the worker of a database; with InvalidOid, or if there is no free
 * slot, has it scan for databases with the extension.
 */
extern void mf_wake_launcher(Oid database);

/*
 * In the worker: moves the names of the changed accounts from its slot to
 * accounts[MF_CHANGED_ACCOUNTS].  Returns their number, -1 if any may have
 * changed.
 */
extern int	mf_wake_read_changes(MfSlot *slot, NameData *accounts);

#endif							/* MF_WAKEUP_H */
