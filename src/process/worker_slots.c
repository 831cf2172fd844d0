/*
 * worker_slots.c
 *	  Shared memory: one slot for each database that has a worker.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/process/worker_slots.c
 */
#include "postgres.h"

#include "replication/syncrep.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/shmem.h"

#include "base/compat.h"
#include "base/settings.h"
#include "process/metrics.h"
#include "process/worker_slots.h"

MfShared   *mf_shared = NULL;

static shmem_startup_hook_type previous_shmem_startup_hook = NULL;
static void (*previous_shmem_request) (void) = NULL;

static void request_shared_memory(void);
static void start_shared_memory(void);

void
mf_shared_memory_init(void)
{
	mf_request_shared_memory(request_shared_memory, &previous_shmem_request);
	previous_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = start_shared_memory;
}

/* Counters stand behind the slots, apart from them because these are copied now and then. */
static Size
metrics_offset(void)
{
	return MAXALIGN(add_size(offsetof(MfShared, slots), mul_size(sizeof(MfSlot), mf_max_databases)));
}

static Size
shared_size(void)
{
	return add_size(metrics_offset(), mul_size(sizeof(MfMetrics), mf_max_databases));
}

static void
request_shared_memory(void)
{
	if (previous_shmem_request)
		previous_shmem_request();
	RequestAddinShmemSpace(shared_size());
	RequestNamedLWLockTranche(MF_EXTENSION, 1);
}

static void
start_shared_memory(void)
{
	bool		found;

	if (previous_shmem_startup_hook)
		previous_shmem_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	mf_shared = (MfShared *) ShmemInitStruct(MF_EXTENSION, shared_size(), &found);
	if (!found)
	{
		int			i;

		memset(mf_shared, 0, shared_size());
		mf_shared->lock = &GetNamedLWLockTranche(MF_EXTENSION)->lock;
		ConditionVariableInit(&mf_shared->changed);
		ConditionVariableInit(&mf_shared->invoices);
		mf_shared->launcher = MF_INVALID_PROC_NUMBER;
		pg_atomic_init_u32(&mf_shared->rescan, 0);
		pg_atomic_init_u64(&mf_shared->notify_left_out_at, 0);
		pg_atomic_init_u64(&mf_shared->notify_logged_at, 0);
		for (i = 0; i < mf_max_databases; i++)
		{
			MfSlot	   *slot = &mf_shared->slots[i];

			slot->proc_number = slot->listener.proc_number = slot->reactions.proc_number =
				slot->routes.proc_number = MF_INVALID_PROC_NUMBER;
			slot->metrics = (MfMetrics *) ((char *) mf_shared + metrics_offset()) + i;
			mf_metrics_reset(slot->metrics, InvalidOid);
		}
	}
	LWLockRelease(AddinShmemInitLock);
}

MfSlot *
mf_find_slot(Oid database, bool create)
{
	MfSlot	   *unused = NULL;
	MfMetrics  *metrics;
	int			i;

	for (i = 0; i < mf_max_databases; i++)
	{
		MfSlot	   *slot = &mf_shared->slots[i];

		if (slot->database == database)
			return slot;
		if (!OidIsValid(slot->database) && unused == NULL)
			unused = slot;
	}

	if (!create || unused == NULL)
		return NULL;
	metrics = unused->metrics;
	memset(unused, 0, sizeof(MfSlot));
	unused->database = database;
	unused->metrics = metrics;
	mf_metrics_reset(metrics, database);
	unused->changed_count = -1;
	pg_atomic_init_u32(&unused->news, 0);
	pg_atomic_init_u64(&unused->drain_until, 0);
	pg_atomic_init_u32(&unused->listener.waiting, 0);
	pg_atomic_init_u32(&unused->listener.reread, 0);
	pg_atomic_init_u32(&unused->routes.changed, 0);
	unused->proc_number = unused->listener.proc_number = unused->reactions.proc_number = MF_INVALID_PROC_NUMBER;
	unused->routes.proc_number = MF_INVALID_PROC_NUMBER;
	return unused;
}

MfSlot *
mf_lock_slot(Oid database, LWLockMode mode)
{
	MfSlot	   *slot;

	if (mf_shared == NULL)
		return NULL;
	LWLockAcquire(mf_shared->lock, mode);
	slot = mf_find_slot(database, false);
	if (slot == NULL)
		LWLockRelease(mf_shared->lock);
	return slot;
}

void
mf_set_latch_of(int proc_number)
{
	if (proc_number != MF_INVALID_PROC_NUMBER)
		SetLatch(&ProcGlobal->allProcs[proc_number].procLatch);
}

bool
mf_waits_for_standby(int proc_number)
{
	return proc_number != MF_INVALID_PROC_NUMBER &&
		((volatile PGPROC *) &ProcGlobal->allProcs[proc_number])->syncRepState == SYNC_REP_WAITING;
}
