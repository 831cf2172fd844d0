/*
 * worker_slots.h
 *	  Shared memory: one slot for each database that has a worker.
 *
 * A process is found by the number of its PGPROC, whose latch is in shared
 * memory; no pointer into a process is kept.  Unless it says otherwise, a
 * member is protected by MfShared.lock.  Statistics are written by their own
 * process without it.
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
#define MF_LISTENER_ADDRESSES_SIZE 128

/* Accounts whose change is noted by name; after more, any account may have changed. */
#define MF_CHANGED_ACCOUNTS 16

/* Accounts on back-off that are shown by name; more are only counted. */
#define MF_WAITING_ACCOUNTS 32

/* Roles that can have a quota of inquiries at the same time */
#define MF_QUOTAS 32

/* Why a worker ended; the launcher decides by it whether to start another. */
typedef enum MfWorkerEnd
{
	MF_END_CRASH,				/* the value while it runs */
	MF_END_NOT_WANTED,			/* no extension here, or switched off */
	MF_END_RESTART				/* start another one at once */
} MfWorkerEnd;

/* The listener of a database */
typedef struct MfListenerState
{
	pid_t		pid;			/* 0 = not running */
	int			proc_number;
	pg_atomic_uint32 waiting;	/* customers who wait for a look-up */
	pg_atomic_uint32 reread;	/* flag: payments have been looked up */
	bool		listening;
	bool		tls;
	int			port;
	char		addresses[MF_LISTENER_ADDRESSES_SIZE];
	TimestampTz started_at;
	int			connections;
	uint64		wakeups;		/* returns from waiting */
	uint64		transactions;
	uint64		requests;
	uint64		stored;			/* webhooks, including repeated ones */
	uint64		repeated;
	uint64		refused;		/* requests of all kinds */
	uint64		callbacks;
	uint32		failing;		/* by MfHttpdRoute, a bit each: the latest requests were not stored */
	TimestampTz last_error_at;	/* 0 = never */
	char		last_error[MF_LAST_ERROR_SIZE];
} MfListenerState;

/* An account on back-off after failures */
typedef struct MfWaitingAccount
{
	NameData	account;
	TimestampTz until;			/* nothing is sent before; later, one request at a time */
} MfWaitingAccount;

/* What is left of the quotas of a role; see functions/role_quota.c */
typedef struct MfQuota
{
	Oid			role;
	TimestampTz used_at;		/* 0 = never */
	TimestampTz inquiry;		/* turn of its latest inquiry, 0 = none; behind the clock by what the role has saved */
	TimestampTz callback;		/* likewise of its latest callback */
} MfQuota;

/* The process that calls functions of mf_on_change() */
typedef struct MfReactionsState
{
	pid_t		pid;			/* 0 = not running */
	int			proc_number;
	int64		under_way;		/* mf_reaction_queue.id of the current call, 0 = none */
} MfReactionsState;

/* Room for what is exchanged with the process that answers pages */
#define MF_ROUTE_PREFIX_SIZE 40
#define MF_ROUTE_PATH_SIZE 256
#define MF_ROUTE_TYPE_SIZE 32
#define MF_ROUTE_LOCATION_SIZE 2048
#define MF_ROUTE_BODY_SIZE (32 * 1024)

/* The most prefixes: the listener looks through them for each request. */
#define MF_ROUTES_MAX 16

typedef enum MfRoutePhase
{
	MF_ROUTE_FREE,
	MF_ROUTE_ASKED,				/* the process is to answer */
	MF_ROUTE_ANSWERED			/* the listener is to pass the answer on */
} MfRoutePhase;

/* What a function of mf_on_request() has answered, in UTF-8 */
typedef struct MfRouteAnswer
{
	int			status;			/* of HTTP; 0 = there is none, because of an error */
	Oid			owner;			/* of the function, whose words the error may have; InvalidOid = none was called */
	char		content_type[MF_ROUTE_TYPE_SIZE];
	char		location[MF_ROUTE_LOCATION_SIZE];	/* "" = none */
	int			body_len;
	char		body[MF_ROUTE_BODY_SIZE];
	char		error[MF_LAST_ERROR_SIZE];
} MfRouteAnswer;

/* How requests below a prefix fared lately */
typedef struct MfRouteHealth
{
	char		prefix[MF_ROUTE_PREFIX_SIZE];	/* "" = unused */
	TimestampTz answered_at;	/* the latest that was answered; 0 = none */
	TimestampTz failed_at;		/* the latest that was not; 0 = none */
	Oid			owner;			/* as in MfRouteAnswer, of that one */
	char		error[MF_LAST_ERROR_SIZE];
} MfRouteHealth;

/* The process that calls functions of mf_on_request() for the listener, one at a time */
typedef struct MfRoutesState
{
	pid_t		pid;			/* 0 = not running */
	int			proc_number;
	pg_atomic_uint32 changed;	/* flag: the listener is to read the prefixes */
	MfRoutePhase phase;
	uint32		call;			/* number of the latest request */
	char		prefix[MF_ROUTE_PREFIX_SIZE];
	char		path[MF_ROUTE_PATH_SIZE];	/* behind the prefix, in UTF-8 */
	MfRouteAnswer answer;
	MfRouteHealth health[MF_ROUTES_MAX];
} MfRoutesState;

/* One database that has, or is about to have, a worker */
typedef struct MfSlot
{
	Oid			database;		/* InvalidOid = free slot */
	int			proc_number;	/* MF_INVALID_PROC_NUMBER = not running */
	pid_t		pid;			/* 0 = not running */
	bool		wanted;			/* the launcher is to start a worker */
	int			holds;			/* sessions that need the worker away */

	/* requests to the worker */
	pg_atomic_uint32 news;		/* bits of MfNews and MfTryNow */
	int			changed_count;	/* accounts in "changed"; -1 = any may have changed */
	NameData	changed[MF_CHANGED_ACCOUNTS];
	pg_atomic_uint64 drain_until;	/* no new request before; 0 = no drain */

	bool		drained;		/* during a drain: nothing is in flight */
	int			unsettled;		/* during a drain: requests without a recorded outcome */
	TimestampTz frozen_until;	/* no new request before, because the process was stopped */
	TimestampTz prepared_until; /* when a prepared transaction wrote last; 0 = none that would matter */

	/* state and statistics of the worker */
	MfWorkerEnd end;			/* how the latest worker ended */
	TimestampTz started_at;
	int			in_flight;
	int			in_flight_limit;	/* limit of requests in flight for want of file descriptors; 0 = as set */
	uint64		wakeups;		/* returns from waiting */
	uint64		transactions;
	uint64		requests;
	TimestampTz last_error_at;	/* 0 = never */
	char		last_error[MF_LAST_ERROR_SIZE];
	bool		failing;		/* the latest round failed as a whole */
	bool		outdated;		/* it waits for ALTER EXTENSION UPDATE, or for another library */
	int			unrecorded;		/* items put off that mf_review cannot show */
	char		history_error[MF_LAST_ERROR_SIZE];	/* of retention; "" = none */
	int			waiting_count;
	int			waiting_more;	/* more accounts on back-off */
	MfWaitingAccount waiting[MF_WAITING_ACCOUNTS];

	MfQuota		quotas[MF_QUOTAS];
	MfListenerState listener;
	MfReactionsState reactions;
	MfRoutesState routes;

	struct MfMetrics *metrics;	/* counters; there for as long as the server runs */
} MfSlot;

typedef struct MfShared
{
	LWLock	   *lock;
	ConditionVariable changed;	/* a process came or went, or a drain is done */
	ConditionVariable invoices; /* somewhere an invoice has changed */
	int			launcher;		/* its PGPROC number, or MF_INVALID_PROC_NUMBER */
	int			scans;			/* database scans that succeeded */
	int			left_out;		/* databases without a slot at the latest scan */
	pg_atomic_uint32 rescan;	/* flag: the launcher is to start a scan */
	pg_atomic_uint64 notify_left_out_at;	/* see notify.h */
	pg_atomic_uint64 notify_logged_at;	/* when that was last logged */
	MfSlot		slots[FLEXIBLE_ARRAY_MEMBER];	/* mf_max_databases */
} MfShared;

/* NULL unless the library is in shared_preload_libraries. */
extern MfShared *mf_shared;

/* Requests the shared memory; from _PG_init() under shared_preload_libraries. */
extern void mf_shared_memory_init(void);

/*
 * The slot of a database.  NULL if it has none; with "create", if no slot is
 * free.  The caller holds the lock, exclusively for "create".
 */
extern MfSlot *mf_find_slot(Oid database, bool create);

/*
 * Takes the lock, and returns the slot of a database.  Returns NULL, without the lock, if
 * it has none, or the library was not preloaded.
 */
extern MfSlot *mf_lock_slot(Oid database, LWLockMode mode);

/* Sets the latch of a process unless its number is MF_INVALID_PROC_NUMBER.  The caller holds the lock. */
extern void mf_set_latch_of(int proc_number);

/* Whether a process waits for a synchronous standby to confirm its commit.  The caller holds the lock. */
extern bool mf_waits_for_standby(int proc_number);

#endif							/* MF_WORKER_SLOTS_H */
