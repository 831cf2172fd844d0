/*
 * listener_serve.c
 *	  Stores the requests that have come to the listener, and answers them.
 *
 * All requests that are complete at one time share one transaction.  They are
 * answered after its commit, never before.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inbound/listener_serve.c
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/encoding.h"
#include "base/failpoint.h"
#include "base/settings.h"
#include "inbound/listener_log.h"
#include "process/metrics.h"
#include "process/process.h"

/*
 * Lock time-outs: of a batch; of a single request after that; and of all single
 * requests of a batch together.  One locked row delays the others no longer.
 */
#define LOCK_TIMEOUT_MS 200
#define SINGLE_LOCK_TIMEOUT_MS 50
#define SINGLES_MS 400

/*
 * How long a commit waits for a synchronous standby: at first, and after it has
 * waited in vain, until a standby confirms again.
 */
#define STANDBY_WAIT_MS 2000
#define STANDBY_WAIT_AGAIN_MS 200

/* Why requests were not stored */
typedef enum StoreFailure
{
	FAILURE_OTHER,
	FAILURE_ROW,				/* one of the requests may be the cause */
	FAILURE_LOCK				/* a lock time-out */
} StoreFailure;

/* The back-off from the second time on, doubled each time */
#define BACKOFF_MS 250
#define BACKOFF_MAX_MS 60000

/* A new entry replaces the oldest one: requests with that key are stored at once again. */
#define BACKOFF_ENTRIES 256

/* Requests that are not stored for a while, because they have met a lock */
typedef struct BackoffEntry
{
	uint64		key;			/* 0 = free */
	TimestampTz until;
	int			delay_ms;		/* the latest; 0 = the request has met a lock once */
} BackoffEntry;

static BackoffEntry backoff_entries[BACKOFF_ENTRIES];
static int	next_entry = 0;

static void serve_pages(MfListener *listener, MfHttpdRequest *requests);
static int	select_route(MfHttpdRequest *requests, MfHttpdRoute route, MfHttpdRequest **batch);
static int	reject_on_backoff(MfHttpdRequest **requests, int count);
static void serve_batch(MfListener *listener, MfHttpdRequest **requests, int count);
static void serve_singly(MfListener *listener, MfHttpdRequest **requests, int count);
static bool store(MfListener *listener, MfHttpdRequest **requests, MfInbound *messages, int count,
				  StoreFailure *failure);
static bool store_in_transaction(MfListener *listener, MfHttpdRequest **requests, MfInbound *messages, int count,
								 StoreFailure *failure);
static void note_stored(MfListenerState *state, MfHttpdRoute route, bool stored);
static void store_messages(MfListener *listener, MfHttpdRequest **requests, MfInbound *messages, int count);
static bool commit_stored(MfListener *listener);
static StoreFailure failure_of(const ErrorData *error);
static void fill_message(const MfHttpdRequest *request, MfInbound *message);
static char *copy_as_utf8(const char *text);
static void answer(MfListener *listener, MfHttpdRequest *request, const MfInbound *message);
static void answer_not_stored(MfHttpdRequest *request);
static void refuse(MfListener *listener, MfHttpdRequest *request, MfRefusal kind, MfHttpdAnswer refusal);
static bool is_on_backoff(const MfHttpdRequest *request, TimestampTz now);
static void back_off(const MfHttpdRequest *request);

bool
mf_listener_serve(MfListener *listener, MfHttpdRequest *requests)
{
	/*
	 * Each route has a transaction of its own.  A health check must not share the failure of a commit, nor a webhook
	 * that of a callback, which anybody can send.
	 */
	static const MfHttpdRoute order[] = {MF_ROUTE_HEALTH, MF_ROUTE_WEBHOOK, MF_ROUTE_CALLBACK};
	MfHttpdRequest **batch;
	MfHttpdRequest *request;
	MemoryContext old;
	int			count = 0;
	int			i;

	if (requests == NULL)
		return false;
	old = MemoryContextSwitchTo(listener->runner.context);
	for (request = requests; request != NULL; request = request->next)
		count++;
	batch = (MfHttpdRequest **) palloc(count * sizeof(MfHttpdRequest *));
	serve_pages(listener, requests);
	for (i = 0; i < (int) lengthof(order); i++)
	{
		count = reject_on_backoff(batch, select_route(requests, order[i], batch));
		if (count > 0)
			serve_batch(listener, batch, count);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(listener->runner.context);
	return true;
}

/* They are answered by functions, whenever these are done. */
static void
serve_pages(MfListener *listener, MfHttpdRequest *requests)
{
	MfHttpdRequest *next;

	for (; requests != NULL; requests = next)
	{
		next = requests->next;
		if (requests->route == MF_ROUTE_PAGE)
			mf_routes_add(listener, requests);
	}
}

static int
select_route(MfHttpdRequest *requests, MfHttpdRoute route, MfHttpdRequest **batch)
{
	MfHttpdRequest *request;
	int			count = 0;

	for (request = requests; request != NULL; request = request->next)
	{
		if (request->route == route)
			batch[count++] = request;
	}
	return count;
}

/* Answers requests on back-off, and removes them; returns how many are left. */
static int
reject_on_backoff(MfHttpdRequest **requests, int count)
{
	TimestampTz now = GetCurrentTimestamp();
	int			left = 0;
	int			i;

	for (i = 0; i < count; i++)
	{
		if (is_on_backoff(requests[i], now))
			answer_not_stored(requests[i]);
		else
			requests[left++] = requests[i];
	}
	return left;
}

/* One transaction for all; one for each if that fails because of one of them. */
static void
serve_batch(MfListener *listener, MfHttpdRequest **requests, int count)
{
	MfInbound  *messages = (MfInbound *) palloc0(count * sizeof(MfInbound));
	StoreFailure failure = FAILURE_OTHER;
	int			i;

	mf_process_lock_timeout(LOCK_TIMEOUT_MS);
	if (store(listener, requests, messages, count, &failure))
	{
		for (i = 0; i < count; i++)
			answer(listener, requests[i], &messages[i]);
	}
	else if (failure != FAILURE_OTHER && count > 1)
		serve_singly(listener, requests, count);
	else
	{
		for (i = 0; i < count; i++)
		{
			if (failure == FAILURE_LOCK)
				back_off(requests[i]);
			answer_not_stored(requests[i]);
		}
	}
}

/* A transaction for each, until the time for locks is used up. */
static void
serve_singly(MfListener *listener, MfHttpdRequest **requests, int count)
{
	int			left_ms = SINGLES_MS;
	int			i;

	mf_process_lock_timeout(SINGLE_LOCK_TIMEOUT_MS);
	for (i = 0; i < count; i++)
	{
		MfInbound	message;
		StoreFailure failure = FAILURE_OTHER;

		memset(&message, 0, sizeof(message));
		if (left_ms > 0 && store(listener, &requests[i], &message, 1, &failure))
			answer(listener, requests[i], &message);
		else
		{
			if (failure == FAILURE_LOCK)
			{
				back_off(requests[i]);
				left_ms -= SINGLE_LOCK_TIMEOUT_MS;
			}
			answer_not_stored(requests[i]);
		}
	}
}

/* Stores messages and commits.  On failure the transaction is aborted, and *failure is set. */
static bool
store(MfListener *listener, MfHttpdRequest **requests, MfInbound *messages, int count, StoreFailure *failure)
{
	bool		stored;

	if (listener->runner.extension_dropped)
		return false;
	pgstat_report_activity(STATE_RUNNING, "myfatoorah: storing webhooks and callbacks");
	mf_process_begin_statements();
	stored = store_in_transaction(listener, requests, messages, count, failure);
	mf_process_end_statements();
	pgstat_report_activity(STATE_IDLE, NULL);
	return stored && !listener->runner.extension_dropped;
}

static bool
store_in_transaction(MfListener *listener, MfHttpdRequest **requests, MfInbound *messages, int count,
					 StoreFailure *failure)
{
	volatile bool stored = false;

	PG_TRY();
	{
		mf_process_start_transaction();
		listener->state->transactions++;
		MemoryContextSwitchTo(listener->runner.context);
		if (!mf_process_lock_extension(listener->runner.extension))
			listener->runner.extension_dropped = true;
		else
			store_messages(listener, requests, messages, count);
		MF_FAILPOINT("inbound_stored");
		stored = commit_stored(listener);
	}
	PG_CATCH();
	{
		*failure = failure_of(mf_transaction_abort(&listener->runner));
	}
	PG_END_TRY();
	MemoryContextSwitchTo(listener->runner.context);
	note_stored(listener->state, requests[0]->route, stored);
	return stored;
}

/* Notes for mf_check() whether the latest requests of this route were stored; a shutdown is no failure. */
static void
note_stored(MfListenerState *state, MfHttpdRoute route, bool stored)
{
	uint32		bit = (uint32) 1 << route;

	if (stored)
		state->failing &= ~bit;
	else if (!ShutdownRequestPending)
		state->failing |= bit;
}

/* Health checks have no message; their transaction shows that the database can commit. */
static void
store_messages(MfListener *listener, MfHttpdRequest **requests, MfInbound *messages, int count)
{
	MfInbound  *batch = (MfInbound *) palloc0(count * sizeof(MfInbound));
	int			used = 0;
	int			i;

	for (i = 0; i < count; i++)
	{
		if (requests[i]->route != MF_ROUTE_HEALTH)
			fill_message(requests[i], &batch[used++]);
	}
	if (used > 0)
		mf_inbound_store(listener->runner.schema, batch, used);
	used = 0;
	for (i = 0; i < count; i++)
	{
		if (requests[i]->route == MF_ROUTE_HEALTH)
			continue;
		messages[i] = batch[used++];
		messages[i].call_back_url = copy_as_utf8(messages[i].call_back_url);
		messages[i].error_url = copy_as_utf8(messages[i].error_url);
	}
}

/*
 * False if no synchronous standby has confirmed the commit.  The requests are here
 * then, but could be lost with this server, so they are not answered as stored.
 * When they are repeated they are recognized.
 */
static bool
commit_stored(MfListener *listener)
{
	static bool standby_away = false;

	if (mf_process_commit_within(standby_away || ShutdownRequestPending ? STANDBY_WAIT_AGAIN_MS : STANDBY_WAIT_MS))
	{
		standby_away = false;
		return true;
	}
	standby_away = true;
	/* a shutdown has cut the wait short, and is no error */
	if (!ShutdownRequestPending)
		mf_listener_show_error(listener->state, "stored, but no synchronous standby has confirmed it in time");
	return false;
}

static StoreFailure
failure_of(const ErrorData *error)
{
	if (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
		return FAILURE_LOCK;
	return mf_process_is_row_error(error) ? FAILURE_ROW : FAILURE_OTHER;
}

static void
fill_message(const MfHttpdRequest *request, MfInbound *message)
{
	switch (request->route)
	{
		case MF_ROUTE_WEBHOOK:
			message->kind = MF_INBOUND_WEBHOOK;
			message->account = request->name ? mf_from_utf8_lossy(request->name) : MF_DEFAULT_ACCOUNT;
			message->body = request->body ? request->body : "";
			message->body_len = request->body_len;
			message->signature = request->signature;
			message->version = request->version;
			break;
		case MF_ROUTE_CALLBACK:
			message->kind = MF_INBOUND_CALLBACK;
			message->token = request->name;
			message->payment_id = request->payment_id;
			break;
		case MF_ROUTE_HEALTH:
		case MF_ROUTE_PAGE:
			break;
	}
}

static char *
copy_as_utf8(const char *text)
{
	char	   *converted;

	if (text == NULL)
		return NULL;
	converted = pg_server_to_any(text, strlen(text), PG_UTF8);
	return converted == text ? pstrdup(text) : converted;
}

/* Answers a request whose message was processed and committed. */
static void
answer(MfListener *listener, MfHttpdRequest *request, const MfInbound *message)
{
	MfListenerState *state = listener->state;

	if (request->route == MF_ROUTE_HEALTH)
	{
		mf_httpd_answer(request, MF_ANSWER_OK);
		return;
	}
	switch (message->result)
	{
		case MF_INBOUND_STORED:
			if (request->route == MF_ROUTE_CALLBACK)
			{
				state->callbacks++;
				mf_count(MF_COUNTER_CALLBACKS, 1);
				mf_customer_answer(listener, request, message);
				return;
			}
			state->stored++;
			mf_count(MF_COUNTER_WEBHOOKS, 1);
			if (message->repeated)
			{
				state->repeated++;
				mf_count(MF_COUNTER_REPEATED, 1);
			}
			mf_httpd_answer(request, MF_ANSWER_OK);
			break;
		case MF_INBOUND_MALFORMED:
			refuse(listener, request, MF_REFUSAL_MALFORMED, MF_ANSWER_MALFORMED);
			break;
		case MF_INBOUND_REFUSED:
			refuse(listener, request, MF_REFUSAL_UNSIGNED, MF_ANSWER_REFUSED);
			break;
		case MF_INBOUND_NOT_FOUND:
			refuse(listener, request, MF_REFUSAL_NOT_FOUND, MF_ANSWER_NOT_FOUND);
			break;
	}
}

static void
refuse(MfListener *listener, MfHttpdRequest *request, MfRefusal kind, MfHttpdAnswer refusal)
{
	mf_listener_count_refusal(listener, kind, request->peer);
	mf_httpd_answer(request, refusal);
}

/* MyFatoorah repeats the request, and so does the page for the customer. */
static void
answer_not_stored(MfHttpdRequest *request)
{
	if (request->route == MF_ROUTE_CALLBACK)
		mf_httpd_page(request, MF_PAGE_NOT_CONFIRMED_YET, false, true);
	else
		mf_httpd_answer(request, MF_ANSWER_UNAVAILABLE);
}

/*
 * Requests with the same key may meet the same lock: the same webhook, or callbacks of
 * the same invoice.  0 = a request that is not put off.
 */
static uint64
request_key(const MfHttpdRequest *request)
{
	if (request->route == MF_ROUTE_WEBHOOK && request->body != NULL)
		return hash_bytes_extended((const unsigned char *) request->body, request->body_len, 1);
	if (request->route == MF_ROUTE_CALLBACK && request->name != NULL)
		return hash_bytes_extended((const unsigned char *) request->name, strlen(request->name), 1);
	return 0;
}

static BackoffEntry *
find_entry(uint64 key)
{
	int			i;

	for (i = 0; key != 0 && i < BACKOFF_ENTRIES; i++)
	{
		if (backoff_entries[i].key == key)
			return &backoff_entries[i];
	}
	return NULL;
}

/* Whether the request is not to be stored yet */
static bool
is_on_backoff(const MfHttpdRequest *request, TimestampTz now)
{
	const BackoffEntry *entry = find_entry(request_key(request));

	return entry != NULL && entry->until > now;
}

/*
 * A request could not be stored because of a lock.  From the second time on, the
 * same webhook, or callbacks of the same invoice, are on back-off, which grows.
 */
static void
back_off(const MfHttpdRequest *request)
{
	uint64		key = request_key(request);
	BackoffEntry *entry = find_entry(key);
	TimestampTz now = GetCurrentTimestamp();

	if (key == 0)
		return;
	if (entry == NULL)
	{
		entry = &backoff_entries[next_entry++ % BACKOFF_ENTRIES];
		entry->key = key;
		entry->delay_ms = 0;
	}
	else if (TimestampDifferenceExceeds(entry->until, now, BACKOFF_MAX_MS))
		entry->delay_ms = 0;	/* another lock, long after the former one */
	else
		entry->delay_ms = Min(Max(entry->delay_ms * 2, BACKOFF_MS), BACKOFF_MAX_MS);
	entry->until = TimestampTzPlusMilliseconds(now, entry->delay_ms);
}
