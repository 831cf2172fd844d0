/*
 * worker_slots.h
 *	  Shared memory: which worker serves which database, and how to wake it.
 *
 * Nothing here is a pointer into a process: a worker is found by the number of
 * its PGPROC, whose latch lives in shared memory, under a lock.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/process/worker_slots.h
 */
#ifndef MF_WORKER_SLOTS_H
#define MF_WORKER_SLOTS_H

#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/lwlock.h"

#define MF_LAST_ERROR_SIZE 256

/* Accounts whose change is noted one by one; of more any may have changed. */
#define MF_CHANGED_ACCOUNTS 16
#define MF_LISTENER_ADDRESSES_SIZE 128

/* Why a worker ended; the launcher decides by it whether to start another. */
typedef enum MfWorkerEnd
{
	MF_END_CRASH,				/* the default, undone by an orderly end */
	MF_END_NOT_WANTED,			/* no extension here, or switched off */
	MF_END_RESTART				/* start a fresh one soon */
} MfWorkerEnd;

/* The listener of a database that has one; see listener.h */
typedef struct MfListenerState
{
	pid_t		pid;			/* 0 = not running */
	int			proc_number;
	pg_atomic_uint32 waiting;	/* customers who wait for a look-up */
	pg_atomic_uint32 reread;	/* set: payments have been looked up */
	bool		listening;
	bool		tls;
	int			port;
	char		addresses[MF_LISTENER_ADDRESSES_SIZE];
	TimestampTz started_at;
	int			connections;
	uint64		wakeups;		/* returns from waiting */
	uint64		transactions;
	uint64		requests;
	uint64		stored;			/* webhooks, the repeated ones included */
	uint64		repeated;
	uint64		refused;		/* requests of all kinds */
	uint64		callbacks;
	TimestampTz last_error_at;
	char		last_error[MF_LAST_ERROR_SIZE];
} MfListenerState;

/* Accounts that wait are told of one by one; of more it is told only how many. */
#define MF_SHOWN_ACCOUNTS 32

/* An account for which less is done than could be, because of failures */
typedef struct MfShownAccount
{
	NameData	account;
	TimestampTz until;			/* nothing is sent before; when it is past, one
								 * request at a time is tried */
} MfShownAccount;

/* So many roles have their budgets of questions at the same time. */
#define MF_QUOTAS 32

/* What is left of the budget of a role; see role_quota.c */
typedef struct MfQuota
{
	Oid			role;
	TimestampTz used_at;		/* 0 = never */
	double		questions;
	TimestampTz filled_at;		/* 0 = never used */
	TimestampTz turn;			/* of its next callback, had it none to spare */
} MfQuota;

/* What a session can tell of an account */
typedef enum MfShown
{
	MF_SHOWN_NOT_WAITING,
	MF_SHOWN_WAITING,
	MF_SHOWN_UNCERTAIN			/* more wait than could be told of */
} MfShown;

/* Which accounts the worker shall try at once that it has put off after failures */
typedef enum MfTryNow
{
	MF_TRY_LACKING = 1,			/* those that lacked something here, before any request was made */
	MF_TRY_ALL = 2,				/* all of them: an operator says so */
	MF_TRY_REACTIONS = 4		/* no account: functions of mf_on_change() are to be told something */
} MfTryNow;

/* The process that tells functions of mf_on_change() */
typedef struct MfReactionsState
{
	pid_t		pid;			/* 0 = not running */
	int			proc_number;
	int64		under_way;		/* what it tells just now: mf_reaction_queue.id, 0 = nothing */
} MfReactionsState;

/* One database that has, or is about to have, a worker */
typedef struct MfSlot
{
	Oid			database;		/* InvalidOid = free slot */
	int			proc_number;	/* of the running worker, or
								 * MF_INVALID_PROC_NUMBER */
	pid_t		pid;			/* 0 = not running */
	bool		wanted;			/* the launcher is asked to start one */
	int			holds;			/* sessions that need the worker away */
	pg_atomic_uint32 work;		/* set: the agenda has changed */
	int			changed_count;	/* for so many accounts; -1 = for any */
	NameData	changed[MF_CHANGED_ACCOUNTS];
	pg_atomic_uint32 inquiries; /* set: the agenda of inquiries has changed */
	pg_atomic_uint32 try_now;	/* bits of MfTryNow */
	pg_atomic_uint32 pause;		/* set: look who is paused before posting */
	pg_atomic_uint64 drain_until;	/* nothing new leaves before this time */
	bool		drained;		/* nor is anything under way */
	TimestampTz frozen_until;	/* nor before this one, because the process stood still */
	MfWorkerEnd end;			/* how the latest worker ended */
	TimestampTz started_at;
	int			in_flight;
	int			few_slots;		/* so many may be at most, for want of descriptors; 0 = as set */
	int			unsettled;		/* requests without a recorded outcome; while drained */
	uint64		wakeups;		/* returns from waiting */
	uint64		transactions;
	uint64		requests;
	TimestampTz last_error_at;
	char		last_error[MF_LAST_ERROR_SIZE];
	bool		failing;		/* the latest round has failed as a whole */
	int			unnoted;		/* items put off that no table tells of */
	char		history_error[MF_LAST_ERROR_SIZE];	/* "" = all is well */
	int			shown_count;
	int			not_shown;		/* accounts that wait, beyond these */
	MfShownAccount shown[MF_SHOWN_ACCOUNTS];
	MfQuota		quotas[MF_QUOTAS];
	MfListenerState listener;
	MfReactionsState reactions;
} MfSlot;

typedef struct MfShared
{
	LWLock	   *lock;			/* protects everything but the atomic ones */
	ConditionVariable changed;	/* a worker or a listener came or went */
	ConditionVariable invoices; /* somewhere an invoice has changed */
	int			launcher;		/* its PGPROC number, or
								 * MF_INVALID_PROC_NUMBER */
	int			probes;			/* that have ended well */
	int			left_out;		/* databases with the extension and without a
								 * slot, as the latest one has seen it */
	pg_atomic_uint32 rescan;	/* set: look for databases with the extension */
	pg_atomic_uint64 notify_left_out_at;	/* as in notify.h */
	pg_atomic_uint64 notify_told_at;	/* the log was told of that */
	MfSlot		slots[FLEXIBLE_ARRAY_MEMBER];
} MfShared;

/* NULL unless the library is in shared_preload_libraries. */
extern MfShared *mf_shared;

/* To be called from _PG_init() under shared_preload_libraries. */
extern void mf_wake_init(void);

/* After the commit of this transaction, wake the worker of this database: the agenda has changed. */
extern void mf_wake_worker_at_commit(void);

/* The same, where it has changed for that account only. */
extern void mf_wake_account_at_commit(const char *account);

/* Takes over which accounts have changed; how many, -1 = any may have. */
extern int	mf_wake_read_changes(MfSlot *slot, NameData *accounts);

/* The same, because there is something to ask about payments. */
extern void mf_wake_inquiries_at_commit(void);

/* After the commit of this transaction, wake those who wait for an invoice to change, also in the listener. */
extern void mf_wake_waiting_at_commit(void);

/* The same, and have it post nothing more before it has seen who is paused. */
extern void mf_pause_at_commit(void);

/* The same, and have it forget failures of before. */
extern void mf_try_now_at_commit(MfTryNow what);

/* After the commit of this transaction, have a worker started for a database. */
extern void mf_wake_launcher_at_commit(Oid database);

/* After the commit of this transaction, end the worker of a database and start a new one. */
extern void mf_restart_worker_at_commit(Oid database);

/* At once.  Without a valid database the launcher looks at all of them. */
extern void mf_wake_worker(Oid database);
extern void mf_wake_launcher(Oid database);

/* Payments have been looked up: has the listener read them again, if somebody waits there. */
extern void mf_wake_listener(Oid database);

/*
 * From now on nothing new leaves from a database; how many requests were without a
 * recorded outcome after that time.  It ends by itself or by mf_end_drain_at_commit().
 */
extern int	mf_drain_database(Oid database, long timeout_ms);
extern void mf_end_drain_at_commit(void);

/* Until when nothing new leaves, by a drain or because the process stood still; 0 = that is not so. */
extern TimestampTz mf_drained_until(Oid database);
extern TimestampTz mf_frozen_until(Oid database);

/*
 * The worker tells that an account waits, or waits no more (0).  "again": it was
 * told before that it does.
 */
extern void mf_show_waiting(const char *account, TimestampTz until, bool again);

/* Whether an account of a database waits, and until when. */
extern MfShown mf_shown_waiting(Oid database, const char *account, TimestampTz *until);

/* How many accounts of a database wait beside one; *example is one of them. */
extern int	mf_count_waiting(Oid database, const char *but, NameData *example);

/* Has the launcher look at the slots; under the lock. */
extern void mf_tell_launcher(void);

/* Whether a process waits for a synchronous standby to confirm its commit; under the lock. */
extern bool mf_waits_for_standby(int proc_number);

/* Sets the latch of a process, if it is one; under the lock. */
extern void mf_set_latch_of(int proc_number);

/* The slot of a database; with "create", a free one is taken if there is one. */
extern MfSlot *mf_find_slot(Oid database, bool create);

/*
 * Sends the worker of a database and its listener away and keeps them away
 * until the end of this transaction, however it ends.  Returns once they are
 * gone, or after two seconds.
 */
extern void mf_hold_database(Oid database);

#endif							/* MF_WORKER_SLOTS_H */
