/*
 * metric_functions.c
 *	  The functions behind monitoring: mf_metrics(), mf_request_times(), mf_progress.
 *
 * They read shared memory only.  A number may change while they read the next one.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/metric_functions.c
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/timestamp.h"

#include "database/function_args.h"
#include "inbound/listener_log.h"
#include "process/metrics.h"
#include "store/queue.h"

static void add_counters(ReturnSetInfo *rsinfo);
static void add_worker(ReturnSetInfo *rsinfo);
static void add_account(ReturnSetInfo *rsinfo, const MfAccountMetrics *account, TimestampTz now);
static const char *request_name(int kind);
static const char *outcome_name(int kind, int outcome);
static void add_histogram(ReturnSetInfo *rsinfo, const char *kind, MfHistogram *histogram);

PG_FUNCTION_INFO_V1(mf_metrics);
PG_FUNCTION_INFO_V1(mf_request_times);
PG_FUNCTION_INFO_V1(mf_progress_stat);

/* The counters of this database, (name, account, kind, result, value, since).  Of accounts those that were met. */
Datum
mf_metrics(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MfMetrics  *metrics;
	TimestampTz now = GetCurrentTimestamp();
	int			i;

	mf_start_rows(fcinfo);
	if (mf_shared == NULL)
		return (Datum) 0;
	add_worker(rsinfo);
	metrics = mf_metrics_here();
	if (metrics == NULL)
		return (Datum) 0;
	add_counters(rsinfo);
	for (i = MF_METRIC_OTHERS + 1; i < MF_METRIC_ACCOUNTS && NameStr(metrics->accounts[i].account)[0] != '\0'; i++)
		add_account(rsinfo, &metrics->accounts[i], now);
	if (i == MF_METRIC_ACCOUNTS)
		add_account(rsinfo, &metrics->accounts[MF_METRIC_OTHERS], now);
	return (Datum) 0;
}

static void
add_metric(ReturnSetInfo *rsinfo, const char *name, const char *account, const char *kind, const char *result,
		   double value)
{
	MfMetrics  *metrics = mf_metrics_here();
	Datum		values[6];
	bool		nulls[6];

	values[0] = CStringGetTextDatum(name);
	values[1] = account ? CStringGetTextDatum(account) : (Datum) 0;
	values[2] = kind ? CStringGetTextDatum(kind) : (Datum) 0;
	values[3] = result ? CStringGetTextDatum(result) : (Datum) 0;
	values[4] = Float8GetDatum(value);
	values[5] = metrics ? TimestampTzGetDatum(metrics->since) : (Datum) 0;
	nulls[0] = nulls[4] = false;
	nulls[1] = account == NULL;
	nulls[2] = kind == NULL;
	nulls[3] = result == NULL;
	nulls[5] = metrics == NULL;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

static void
add_counter(ReturnSetInfo *rsinfo, MfCounter counter, const char *name, const char *result)
{
	add_metric(rsinfo, name, NULL, NULL, result,
			   (double) pg_atomic_read_u64(&mf_metrics_here()->counters[counter]));
}

static void
add_counters(ReturnSetInfo *rsinfo)
{
	int			i;

	add_counter(rsinfo, MF_COUNTER_ROUNDS, "rounds", "done");
	add_counter(rsinfo, MF_COUNTER_FAILED_ROUNDS, "rounds", "failed");
	add_counter(rsinfo, MF_COUNTER_WORKER_STARTS, "worker_starts", NULL);
	add_counter(rsinfo, MF_COUNTER_WORKER_CRASHES, "worker_crashes", NULL);
	add_counter(rsinfo, MF_COUNTER_WEBHOOKS, "webhooks", NULL);
	add_counter(rsinfo, MF_COUNTER_REPEATED, "webhooks_repeated", NULL);
	add_counter(rsinfo, MF_COUNTER_CALLBACKS, "callbacks", NULL);
	for (i = 0; i < MF_METRIC_REFUSALS; i++)
		add_counter(rsinfo, MF_COUNTER_REFUSALS + i, "refusals", mf_refusal_name(i));
	add_counter(rsinfo, MF_COUNTER_REACTIONS, "reactions", "done");
	add_counter(rsinfo, MF_COUNTER_FAILED_REACTIONS, "reactions", "failed");
	add_counter(rsinfo, MF_COUNTER_PAGES, "pages", "done");
	add_counter(rsinfo, MF_COUNTER_FAILED_PAGES, "pages", "failed");
	add_counter(rsinfo, MF_COUNTER_REFUNDS_REFUSED, "refunds_refused", NULL);
}

/* The state of the worker, and which accounts are on back-off */
static void
add_worker(ReturnSetInfo *rsinfo)
{
	MfWaitingAccount waiting[MF_WAITING_ACCOUNTS];
	TimestampTz now = GetCurrentTimestamp();
	int			count = 0;
	int			more = 0;
	int			in_flight = 0;
	bool		running = false;
	bool		failing = false;
	MfSlot	   *slot;
	int			i;

	LWLockAcquire(mf_shared->lock, LW_SHARED);
	slot = mf_find_slot(MyDatabaseId, false);
	if (slot != NULL && slot->pid != 0)
	{
		running = true;
		failing = slot->failing;
		in_flight = slot->in_flight;
		count = slot->waiting_count;
		more = slot->waiting_more;
		memcpy(waiting, slot->waiting, sizeof(waiting));
	}
	LWLockRelease(mf_shared->lock);

	add_metric(rsinfo, "worker_up", NULL, NULL, NULL, running ? 1.0 : 0.0);
	add_metric(rsinfo, "worker_failing", NULL, NULL, NULL, failing ? 1.0 : 0.0);
	add_metric(rsinfo, "in_flight", NULL, NULL, NULL, in_flight);
	add_metric(rsinfo, "accounts_waiting", NULL, NULL, NULL, count + more);
	for (i = 0; i < count; i++)
		add_metric(rsinfo, "account_waiting_seconds", NameStr(waiting[i].account), NULL, NULL,
				   Max(waiting[i].until - now, 0) / (double) USECS_PER_SEC);
}

static void
add_account(ReturnSetInfo *rsinfo, const MfAccountMetrics *account, TimestampTz now)
{
	static const char *const jobs[MF_RATES] = {"send", "sending", "reconcile", "verify", "watch"};
	uint64		retries;
	int			i;
	int			j;

	StaticAssertStmt(MF_JOB_SEND == 0 && MF_JOB_WATCH == MF_RATES - 1, "kinds of entries have rates");
	for (i = 0; i < MF_REQUEST_DIRECT; i++)
	{
		for (j = 0; j < MF_OUTCOMES; j++)
		{
			uint64		count = pg_atomic_read_u64(unconstify(pg_atomic_uint64 *, &account->requests[i][j]));

			/* the zeros of sending are there so that a monitor sees the first of each outcome as a change */
			if (count > 0 || i == MF_REQUEST_SEND)
				add_metric(rsinfo, "requests", NameStr(account->account), request_name(i), outcome_name(i, j),
						   (double) count);
		}
	}
	retries = pg_atomic_read_u64(unconstify(pg_atomic_uint64 *, &account->retries));
	if (retries > 0)
		add_metric(rsinfo, "retries", NameStr(account->account), NULL, NULL, (double) retries);
	for (i = 0; i < MF_RATES; i++)
	{
		double		rate = mf_rate_per_second(&account->rates[i], now);

		if (rate > 0.0)
			add_metric(rsinfo, "rate", NameStr(account->account), jobs[i], NULL, rate);
	}
}

static const char *
request_name(int kind)
{
	static const char *const names[] = {"send", "lookup", "inquiry", "operation", "direct", "connect"};

	return names[kind];
}

/* Of a question, MyFatoorah's answer is what counts, whatever it says. */
static const char *
outcome_name(int kind, int outcome)
{
	if (kind != MF_REQUEST_SEND && kind != MF_REQUEST_OPERATION && outcome == MF_OUTCOME_ACCEPTED)
		return "answered";
	return mf_outcome_name((MfOutcome) outcome);
}

/* How long answers and new connections have taken: (kind, le, requests, seconds), one row for each bucket. */
Datum
mf_request_times(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MfMetrics  *metrics;
	int			i;

	mf_start_rows(fcinfo);
	metrics = mf_metrics_here();
	if (metrics == NULL)
		return (Datum) 0;
	for (i = 0; i < MF_HISTOGRAMS; i++)
		add_histogram(rsinfo, request_name(i), &metrics->histograms[i]);
	return (Datum) 0;
}

static void
add_histogram(ReturnSetInfo *rsinfo, const char *kind, MfHistogram *histogram)
{
	double		seconds = (double) pg_atomic_read_u64(&histogram->sum_us) / USECS_PER_SEC;
	uint64		requests = 0;
	int			i;

	for (i = 0; i < MF_BUCKETS; i++)
	{
		Datum		values[4];
		bool		nulls[4] = {false};

		requests += pg_atomic_read_u64(&histogram->buckets[i]);
		values[0] = CStringGetTextDatum(kind);
		values[1] = Float8GetDatum(i == MF_BUCKETS - 1 ? get_float8_infinity() :
								   (double) mf_bucket_limits[i] / USECS_PER_SEC);
		values[2] = Int64GetDatum((int64) requests);
		values[3] = Float8GetDatum(seconds);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
}

/* What takes long in this database, (command, pid, unit, done, total, started_at) */
Datum
mf_progress_stat(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MfProgressEntry entries[MF_PROGRESS_ENTRIES];
	MfMetrics  *metrics;
	int			i;

	mf_start_rows(fcinfo);
	metrics = mf_metrics_here();
	if (metrics == NULL)
		return (Datum) 0;
	LWLockAcquire(mf_shared->lock, LW_SHARED);
	memcpy(entries, metrics->progress, sizeof(entries));
	LWLockRelease(mf_shared->lock);
	for (i = 0; i < MF_PROGRESS_ENTRIES; i++)
	{
		const MfProgressEntry *entry = &entries[i];
		Datum		values[6];
		bool		nulls[6] = {false};

		if (entry->pid == 0)
			continue;
		values[0] = CStringGetTextDatum(mf_progress_name((MfProgressCommand) entry->command));
		values[1] = Int32GetDatum(entry->pid);
		values[2] = CStringGetTextDatum(mf_progress_unit((MfProgressCommand) entry->command));
		values[3] = Int64GetDatum(entry->done);
		values[4] = Int64GetDatum(entry->total);
		nulls[4] = entry->total < 0;
		values[5] = TimestampTzGetDatum(entry->started_at);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
