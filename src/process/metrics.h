/*
 * metrics.h
 *	  What is counted for each database: requests, rounds, webhooks, calls of functions;
 *	  and how far work is that takes long.
 *
 * The counters are in shared memory, and are those of a database, whichever of its
 * processes adds.  They begin at 0 when the database gets its slot: at the start of
 * the server, and after its worker was switched off.  A worker that ends keeps them.
 * Counting takes no lock.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/process/metrics.h
 */
#ifndef MF_METRICS_H
#define MF_METRICS_H

#include "datatype/timestamp.h"
#include "port/atomics.h"

#include "core/api/outcome.h"

#define MF_OUTCOMES (MF_OUTCOME_UNKNOWN + 1)

/* Accounts counted one by one, those that were met first; element 0 counts the others together. */
#define MF_METRIC_ACCOUNTS 65
#define MF_METRIC_OTHERS 0

/* Kinds of refusals of the listener, see listener_log.h */
#define MF_METRIC_REFUSALS 9

typedef enum MfCounter
{
	MF_COUNTER_ROUNDS,
	MF_COUNTER_FAILED_ROUNDS,
	MF_COUNTER_WORKER_STARTS,
	MF_COUNTER_WORKER_CRASHES,	/* it ended without being asked to */
	MF_COUNTER_WEBHOOKS,		/* stored by the listener, repeated ones included */
	MF_COUNTER_REPEATED,
	MF_COUNTER_CALLBACKS,
	MF_COUNTER_REACTIONS,		/* calls of functions of mf_on_change() that succeeded */
	MF_COUNTER_FAILED_REACTIONS,
	MF_COUNTER_PAGES,			/* requests that functions of mf_on_request() have answered */
	MF_COUNTER_FAILED_PAGES,
	MF_COUNTER_REFUNDS_REFUSED, /* captures and releases, too; by an answer, not by a person */
	MF_COUNTER_REFUSALS,		/* the first of MF_METRIC_REFUSALS */
	MF_COUNTERS = MF_COUNTER_REFUSALS + MF_METRIC_REFUSALS
} MfCounter;

/* What a request is for */
typedef enum MfRequestKind
{
	MF_REQUEST_SEND,
	MF_REQUEST_LOOKUP,			/* does the invoice exist? */
	MF_REQUEST_INQUIRY,			/* was it paid? */
	MF_REQUEST_OPERATION,		/* refunds, captures and releases */
	MF_REQUEST_DIRECT,			/* of a session that waits; in no account's numbers */
	MF_REQUEST_KINDS
} MfRequestKind;

/* Histograms of times: the answers to each kind of request, and new connections */
#define MF_HISTOGRAM_CONNECT MF_REQUEST_KINDS
#define MF_HISTOGRAMS (MF_REQUEST_KINDS + 1)
#define MF_BUCKETS 13			/* the last has no limit */

typedef struct MfHistogram
{
	pg_atomic_uint64 buckets[MF_BUCKETS];	/* not cumulative */
	pg_atomic_uint64 sum_us;
} MfHistogram;

/*
 * How many entries of the agenda are done per second: of the present minute and of
 * the one before.  Written by the worker only.
 */
typedef struct MfRate
{
	TimestampTz began;			/* the present minute */
	int64		present;
	int64		before;
	bool		has_before;
} MfRate;

/* Kinds of entries that have a rate, in the order of MfJobKind */
#define MF_RATES 5

typedef struct MfAccountMetrics
{
	NameData	account;		/* "" = unused */
	pg_atomic_uint64 requests[MF_REQUEST_DIRECT][MF_OUTCOMES];
	pg_atomic_uint64 retries;	/* attempts but for each invoice's first */
	MfRate		rates[MF_RATES];
} MfAccountMetrics;

/* Work that takes long, and how far it is; see progress.h */
#define MF_PROGRESS_ENTRIES 8

typedef struct MfProgressEntry
{
	int			pid;			/* 0 = free */
	int			command;		/* MfProgressCommand */
	TimestampTz started_at;
	int64		done;
	int64		total;			/* -1 = unknown */
} MfProgressEntry;

typedef struct MfMetrics
{
	Oid			database;
	TimestampTz since;
	pg_atomic_uint64 counters[MF_COUNTERS];
	MfHistogram histograms[MF_HISTOGRAMS];
	MfAccountMetrics accounts[MF_METRIC_ACCOUNTS];
	MfProgressEntry progress[MF_PROGRESS_ENTRIES];	/* protected by MfShared.lock */
} MfMetrics;

/* Upper limits of the buckets but the last, in microseconds */
extern const int64 mf_bucket_limits[MF_BUCKETS - 1];

/* Begins at 0; from mf_find_slot(). */
extern void mf_metrics_reset(MfMetrics *metrics, Oid database);

/* Those of this database; NULL if it has no slot. */
extern MfMetrics *mf_metrics_here(void);

/* Adds to a counter of this database, if it has a slot. */
extern void mf_count(MfCounter counter, uint64 count);

/* The element of MfMetrics.accounts that counts for an account; of the worker. */
extern int	mf_metrics_account(const char *account);

/*
 * Counts the recorded outcome of a request of the worker.  "retried": it was not the
 * first attempt of its invoice.  "job": its kind of entry on the agenda, an element of
 * "rates" if an answer came; -1 = none.
 */
extern void mf_count_request(int account, MfRequestKind kind, MfOutcome outcome, bool retried, int job);

/* Counts the time that an answer has taken, and that of a new connection. */
extern void mf_count_exchange(MfRequestKind kind, const MfHttpExchange *exchange);

/* Entries done per second; 0 = none in the last minutes */
extern double mf_rate_per_second(const MfRate *rate, TimestampTz now);

typedef enum MfProgressCommand
{
	MF_PROGRESS_ARCHIVE,		/* invoices, up to max_invoices */
	MF_PROGRESS_UNARCHIVE,		/* invoices */
	MF_PROGRESS_REPAIR,			/* steps */
	MF_PROGRESS_WEBHOOK_LOG,	/* pages of the log of missed webhooks, all accounts together */
	MF_PROGRESS_CATCH_UP,		/* inquiries about invoices sent while polling was off */
	MF_PROGRESS_COMMANDS
} MfProgressCommand;

/* As in mf_progress.command, and what it counts */
extern const char *mf_progress_name(MfProgressCommand command);
extern const char *mf_progress_unit(MfProgressCommand command);

/*
 * Reports how much is done, of "total" (-1 = unknown), and makes the entry if there is none.
 * In a session it lasts until the end of the transaction, in our processes until mf_progress_end().
 */
extern void mf_progress_report(MfProgressCommand command, int64 done, int64 total);
extern void mf_progress_end(MfProgressCommand command);

#endif							/* MF_METRICS_H */
