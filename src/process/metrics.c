/*
 * metrics.c
 *	  What is counted for each database: requests, rounds, webhooks, calls of functions;
 *	  and how far work is that takes long.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/process/metrics.c
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "process/metrics.h"
#include "process/process.h"
#include "process/worker_slots.h"

#define RATE_WINDOW USECS_PER_MINUTE

const int64 mf_bucket_limits[MF_BUCKETS - 1] = {
	10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000, 30000000, 60000000
};

static void advance_rate(MfRate *rate, TimestampTz now);
static void observe(MfHistogram *histogram, int64 us);

/* Of this process; NULL = none */
static MfProgressEntry *entries[MF_PROGRESS_COMMANDS];

static MfProgressEntry *take_entry(MfProgressCommand command);
static void at_transaction_end(XactEvent event, void *argument);
static void at_exit(int code, Datum argument);

void
mf_metrics_reset(MfMetrics *metrics, Oid database)
{
	int			i;
	int			j;

	memset(metrics, 0, sizeof(MfMetrics));
	for (i = 0; i < MF_COUNTERS; i++)
		pg_atomic_init_u64(&metrics->counters[i], 0);
	for (i = 0; i < MF_HISTOGRAMS; i++)
	{
		for (j = 0; j < MF_BUCKETS; j++)
			pg_atomic_init_u64(&metrics->histograms[i].buckets[j], 0);
		pg_atomic_init_u64(&metrics->histograms[i].sum_us, 0);
	}
	for (i = 0; i < MF_METRIC_ACCOUNTS; i++)
	{
		pg_atomic_uint64 *requests = &metrics->accounts[i].requests[0][0];

		for (j = 0; j < MF_REQUEST_DIRECT * MF_OUTCOMES; j++)
			pg_atomic_init_u64(&requests[j], 0);
		pg_atomic_init_u64(&metrics->accounts[i].retries, 0);
	}
	namestrcpy(&metrics->accounts[MF_METRIC_OTHERS].account, "*");
	metrics->database = database;
	metrics->since = GetCurrentTimestamp();
}

MfMetrics *
mf_metrics_here(void)
{
	static MfMetrics *here = NULL;
	MfSlot	   *slot;

	/* a slot that was given to another database is not ours any more */
	if (mf_shared == NULL || (here != NULL && here->database == MyDatabaseId))
		return here;
	LWLockAcquire(mf_shared->lock, LW_SHARED);
	slot = mf_find_slot(MyDatabaseId, false);
	here = slot == NULL ? NULL : slot->metrics;
	LWLockRelease(mf_shared->lock);
	return here;
}

void
mf_count(MfCounter counter, uint64 count)
{
	MfMetrics  *metrics = mf_metrics_here();

	if (metrics != NULL)
		pg_atomic_fetch_add_u64(&metrics->counters[counter], count);
}

int
mf_metrics_account(const char *account)
{
	MfMetrics  *metrics = mf_metrics_here();
	int			found = MF_METRIC_OTHERS;
	int			i;

	if (metrics == NULL)
		return found;
	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	for (i = MF_METRIC_OTHERS + 1; i < MF_METRIC_ACCOUNTS && found == MF_METRIC_OTHERS; i++)
	{
		Name		name = &metrics->accounts[i].account;

		if (NameStr(*name)[0] == '\0')
			namestrcpy(name, account);
		if (namestrcmp(name, account) == 0)
			found = i;
	}
	LWLockRelease(mf_shared->lock);
	return found;
}

void
mf_count_request(int account, MfRequestKind kind, MfOutcome outcome, bool retried, int job)
{
	MfMetrics  *metrics = mf_metrics_here();
	MfAccountMetrics *counted;

	if (metrics == NULL)
		return;
	counted = &metrics->accounts[account];
	pg_atomic_fetch_add_u64(&counted->requests[kind][outcome], 1);
	if (retried)
		pg_atomic_fetch_add_u64(&counted->retries, 1);
	if (job >= 0 && (outcome == MF_OUTCOME_ACCEPTED || outcome == MF_OUTCOME_REJECTED))
	{
		advance_rate(&counted->rates[job], GetCurrentTimestamp());
		counted->rates[job].present++;
	}
}

/* Begins another minute if it is time. */
static void
advance_rate(MfRate *rate, TimestampTz now)
{
	TimestampTz elapsed = now - rate->began;

	if (elapsed >= 0 && elapsed < RATE_WINDOW)
		return;
	rate->has_before = elapsed >= 0 && elapsed < 2 * RATE_WINDOW;
	rate->before = rate->has_before ? rate->present : 0;
	rate->began = rate->has_before ? rate->began + RATE_WINDOW : now;
	rate->present = 0;
}

double
mf_rate_per_second(const MfRate *rate, TimestampTz now)
{
	MfRate		copy = *rate;
	double		elapsed;

	if (copy.began == 0)
		return 0.0;
	advance_rate(&copy, now);
	elapsed = (double) (now - copy.began) / USECS_PER_SEC;
	if (!copy.has_before)
		return copy.present / Max(elapsed, 1.0);
	return (copy.present + copy.before * Max(1.0 - elapsed / SECS_PER_MINUTE, 0.0)) / SECS_PER_MINUTE;
}

void
mf_count_exchange(MfRequestKind kind, const MfHttpExchange *exchange)
{
	MfMetrics  *metrics = mf_metrics_here();
	int64		connected_us = Max(exchange->connect_us, exchange->tls_us);

	if (metrics == NULL)
		return;
	if (!exchange->connection_reused && exchange->gate_reached && connected_us > 0)
		observe(&metrics->histograms[MF_HISTOGRAM_CONNECT], connected_us);
	if (mf_is_answered(exchange))
		observe(&metrics->histograms[kind], exchange->total_us);
}

static void
observe(MfHistogram *histogram, int64 us)
{
	int			i = 0;

	while (i < MF_BUCKETS - 1 && us > mf_bucket_limits[i])
		i++;
	pg_atomic_fetch_add_u64(&histogram->buckets[i], 1);
	pg_atomic_fetch_add_u64(&histogram->sum_us, (uint64) us);
}

const char *
mf_progress_name(MfProgressCommand command)
{
	static const char *const names[] = {"archive", "unarchive", "repair", "webhook log", "catch up"};

	return names[command];
}

const char *
mf_progress_unit(MfProgressCommand command)
{
	static const char *const units[] = {"invoices", "invoices", "steps", "pages", "invoices"};

	return units[command];
}

void
mf_progress_report(MfProgressCommand command, int64 done, int64 total)
{
	if (entries[command] == NULL)
		entries[command] = take_entry(command);
	if (entries[command] == NULL)
		return;
	entries[command]->done = done;
	entries[command]->total = total;
}

static MfProgressEntry *
take_entry(MfProgressCommand command)
{
	static bool registered = false;
	MfMetrics  *metrics = mf_metrics_here();
	MfProgressEntry *entry = NULL;
	int			i;

	if (metrics == NULL)
		return NULL;
	if (!registered)
	{
		RegisterXactCallback(at_transaction_end, NULL);
		before_shmem_exit(at_exit, (Datum) 0);
		registered = true;
	}
	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	for (i = 0; i < MF_PROGRESS_ENTRIES && entry == NULL; i++)
	{
		if (metrics->progress[i].pid == 0)
			entry = &metrics->progress[i];
	}
	if (entry != NULL)
	{
		entry->pid = MyProcPid;
		entry->command = command;
		entry->started_at = GetCurrentTimestamp();
		entry->done = 0;
		entry->total = -1;
	}
	LWLockRelease(mf_shared->lock);
	return entry;
}

void
mf_progress_end(MfProgressCommand command)
{
	MfProgressEntry *entry = entries[command];

	if (entry == NULL)
		return;
	entries[command] = NULL;
	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	/* the slot of the database may have been given to another one since */
	if (entry->pid == MyProcPid)
		entry->pid = 0;
	LWLockRelease(mf_shared->lock);
}

static void
end_all(void)
{
	int			i;

	for (i = 0; i < MF_PROGRESS_COMMANDS; i++)
		mf_progress_end((MfProgressCommand) i);
}

/* Ends what a session has begun, whether it succeeded or failed. */
static void
at_transaction_end(XactEvent event, void *argument)
{
	if (!mf_process_is_ours && (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE))
		end_all();
}

static void
at_exit(int code, Datum argument)
{
	end_all();
}
