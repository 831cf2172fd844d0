/*
 * ledger.h
 *	  What was asked of the server: counters for ever, entries in a ring.
 *
 * All functions want the store's lock held.
 */
#ifndef SANDBOX_LEDGER_H
#define SANDBOX_LEDGER_H

#include "store.h"

typedef struct PathCounts PathCounts;

/* Where a request stands in the ledger; outlives a reset harmlessly. */
typedef struct LedgerHandle
{
	int64_t seq; /* 0 = not in the ledger yet */
	uint64_t epoch;
	PathCounts *path;
	Reference *ref;
	int kind;
} LedgerHandle;

/* A request as it came in. Strings are copied. */
typedef struct LedgerNote
{
	int64_t connection;
	int64_t request_on_connection;
	int64_t accepted_us; /* monotonic */
	int64_t first_us;
	int64_t complete_us;
	int64_t wall_us;
	int kind;
	bool complete;
	bool key_elsewhere; /* an accepted key outside Authorization */
	const char *authorization; /* static text, or NULL */
	int key_index; /* -1: no accepted key */
	size_t header_bytes;
	Str method;
	Str target; /* path and query as sent */
	Str path; /* lower case, no query */
	Str headers; /* name NUL value NUL ... */
	Str body;
	Str reference;
} LedgerNote;

typedef struct LedgerFilter
{
	Str path; /* lower case, or absent */
	int kind; /* of the path */
	Str reference; /* or absent */
} LedgerFilter;

/* Somebody who waits for a count. The ledger keeps a list of these. */
typedef struct Waiter
{
	struct Waiter *next;
	LedgerFilter filter;
	int64_t target;
	bool answered;
	bool queued;
	void (*wake)(struct Waiter *waiter);
} Waiter;

extern void ledger_init(int64_t limit, int64_t byte_limit);
extern void ledger_reset(void);
extern LedgerHandle ledger_add(const LedgerNote *note);
extern void ledger_fault(const LedgerHandle *h, const char *fault);
extern void ledger_answered(const LedgerHandle *h, bool sent, int status, int64_t answer_bytes,
							int64_t invoice_id);
extern void ledger_ended(const LedgerHandle *h, const char *how, int64_t sent_bytes);
extern Counts ledger_counts(const LedgerFilter *filter);
extern int64_t ledger_last_seq(void);
extern void ledger_put_json(Buf *b, const LedgerFilter *filter, int64_t since, int64_t limit, bool bodies);
extern void ledger_put_stats(Buf *b);
extern void ledger_wait(Waiter *waiter);
extern void ledger_unwait(Waiter *waiter);

#endif
