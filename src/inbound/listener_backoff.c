/*
 * listener_backoff.c
 *	  Requests that are not stored for a while, because they have met locks.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inbound/listener_backoff.c
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "inbound/listener_backoff.h"

/* The back-off from the second time on, doubled each time */
#define BACKOFF_MS 250
#define BACKOFF_MAX_MS 60000

/* A new entry replaces the oldest one: requests with that key are stored at once again. */
#define MAX_ENTRIES 256

typedef struct BackoffEntry
{
	uint64		key;			/* 0 = free */
	TimestampTz until;
	int			delay_ms;		/* the latest; 0 = the request has met a lock once */
} BackoffEntry;

static BackoffEntry entries[MAX_ENTRIES];
static int	next_entry = 0;

static uint64 request_key(const MfHttpdRequest *request);
static BackoffEntry *find_entry(uint64 key);

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

	for (i = 0; key != 0 && i < MAX_ENTRIES; i++)
	{
		if (entries[i].key == key)
			return &entries[i];
	}
	return NULL;
}

bool
mf_listener_is_on_backoff(const MfHttpdRequest *request, TimestampTz now)
{
	const BackoffEntry *entry = find_entry(request_key(request));

	return entry != NULL && entry->until > now;
}

void
mf_listener_back_off(const MfHttpdRequest *request)
{
	uint64		key = request_key(request);
	BackoffEntry *entry = find_entry(key);
	TimestampTz now = GetCurrentTimestamp();

	if (key == 0)
		return;
	if (entry == NULL)
	{
		entry = &entries[next_entry++ % MAX_ENTRIES];
		entry->key = key;
		entry->delay_ms = 0;
	}
	else if (TimestampDifferenceExceeds(entry->until, now, BACKOFF_MAX_MS))
		entry->delay_ms = 0;	/* another lock, long after the former one */
	else
		entry->delay_ms = Min(Max(entry->delay_ms * 2, BACKOFF_MS), BACKOFF_MAX_MS);
	entry->until = TimestampTzPlusMilliseconds(now, entry->delay_ms);
}
