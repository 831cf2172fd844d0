/*
 * round_items.c
 *	  The items that a round has in hand, and those that are put off.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/flow/round_items.c
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "database/sql_array.h"
#include "flow/round_items.h"
#include "process/wait.h"

/* A round that may take so many takes what it likes. */
#define FULL_SIZE 512

/* An item is put off for so long, doubled each time; an answer that is here already costs little to try again. */
#define CLAIM_DELAY_MS 60000
#define ANSWER_DELAY_MS 5000
#define DELAY_MAX_MS 3600000

/* Likewise where the item need not be the cause; after so many failures it is. */
#define DOUBT_DELAY_MS 1000
#define DOUBT_DELAY_MAX_MS 8000
#define DOUBT_FAILURES 3

/* An item that has failed */
typedef struct Failing
{
	MfItem		key;			/* without the flight */
	int			failures;
	uint32		error;			/* digest of the message told last */
	TimestampTz until;			/* claims leave it out; 0 = they need not */
	bool		named;
	bool		by_answer;		/* its answer has failed, not its claim */
} Failing;

static int	size = FULL_SIZE;
static MfItem *taken = NULL;
static int	taken_count = 0;
static int	taken_room = 0;
static HTAB *failing = NULL;
static int	failing_count = 0;

static Failing *find(const MfItem *item, bool create);
static MfItem key_of(const MfItem *item);

void
mf_items_begin(void)
{
	taken_count = 0;
}

int
mf_items_room(int wanted)
{
	return size >= FULL_SIZE ? wanted : Min(wanted, Max(size - taken_count, 0));
}

int
mf_items_count(void)
{
	return taken_count;
}

int64
mf_items_account_id(const char *account)
{
	return (int64) hash_bytes((const unsigned char *) account, strlen(account));
}

void
mf_items_take(MfItemKind kind, int64 id)
{
	mf_items_take_answer(kind, id, false, NULL);
}

void
mf_items_take_answer(MfItemKind kind, int64 id, bool sends, struct MfFlight *flight)
{
	if (taken_count == taken_room)
	{
		taken_room = Max(taken_room * 2, FULL_SIZE);
		taken = taken == NULL ? MemoryContextAlloc(TopMemoryContext, taken_room * sizeof(MfItem)) :
			repalloc(taken, taken_room * sizeof(MfItem));
	}
	memset(&taken[taken_count], 0, sizeof(MfItem));
	taken[taken_count].kind = kind;
	taken[taken_count].id = id;
	taken[taken_count].sends = sends;
	taken[taken_count++].flight = flight;
}

void
mf_items_untake(void)
{
	taken_count--;
}

bool
mf_items_doubts(MfItemKind kind, int64 id)
{
	MfItem		item = {kind, id, NULL, false};

	return size < FULL_SIZE || (failing_count > 0 && find(&item, false) != NULL);
}

bool
mf_items_done(void)
{
	bool		any = taken_count > 0;
	int			i;

	for (i = 0; failing_count > 0 && i < taken_count; i++)
	{
		Failing    *entry = find(&taken[i], false);

		/* that it could be claimed says nothing yet of its answer */
		if (entry != NULL && (taken[i].flight != NULL || !entry->by_answer))
		{
			(void) hash_search(failing, &entry->key, HASH_REMOVE, NULL);
			failing_count--;
		}
	}
	taken_count = 0;
	if (any)
		size = Min(size * 2, FULL_SIZE);
	return any;
}

const MfItem *
mf_items_failed(bool *smaller)
{
	*smaller = taken_count > 1;
	if (taken_count > 1)
		size = taken_count / 2;
	return taken_count == 1 ? &taken[0] : NULL;
}

MfPutOff
mf_items_put_off(const MfItem *item, const char *error, bool own_fault, TimestampTz now)
{
	Failing    *entry = find(item, true);
	uint32		digest = hash_bytes((const unsigned char *) error, strlen(error));
	MfPutOff	result;
	int64		delay;

	entry->failures++;
	result.named = own_fault || entry->failures >= DOUBT_FAILURES;
	result.news = result.named && entry->error != digest;
	if (result.named)
		entry->error = digest;
	delay = !own_fault ? DOUBT_DELAY_MS :
		item->sends ? ANSWER_DELAY_MS : CLAIM_DELAY_MS;
	/* what may have struck anybody, such as a full disk, is not held against the item */
	delay = Min(delay << Min(entry->failures - 1, 12), own_fault ? DELAY_MAX_MS : DOUBT_DELAY_MAX_MS);
	result.until = TimestampTzPlusMilliseconds(now, delay);
	entry->until = result.until;
	entry->named = result.named;
	entry->by_answer = item->flight != NULL;
	return result;
}

void
mf_items_noted(const MfItem *item)
{
	Failing    *entry = find(item, false);

	if (entry != NULL)
	{
		entry->until = 0;
		entry->named = false;
	}
}

Datum
mf_items_left_out(MfItemKind kind, TimestampTz now, TimestampTz *again)
{
	int64	   *ids = (int64 *) palloc((failing_count + 1) * sizeof(int64));
	int			count = 0;

	if (failing_count > 0)
	{
		HASH_SEQ_STATUS status;
		Failing    *entry;

		hash_seq_init(&status, failing);
		while ((entry = (Failing *) hash_seq_search(&status)) != NULL)
		{
			if (entry->key.kind != kind || entry->until <= now)
				continue;
			ids[count++] = entry->key.id;
			*again = mf_earlier(*again, entry->until);
		}
	}
	return mf_int8_array(ids, count);
}

int
mf_items_unnoted(TimestampTz now)
{
	int			count = 0;

	if (failing_count > 0)
	{
		HASH_SEQ_STATUS status;
		Failing    *entry;

		hash_seq_init(&status, failing);
		while ((entry = (Failing *) hash_seq_search(&status)) != NULL)
		{
			/* one that has not come back by then is gone */
			if (entry->named && !TimestampDifferenceExceeds(entry->until, now, DELAY_MAX_MS))
				count++;
		}
	}
	return count;
}

void
mf_items_try_now(void)
{
	HASH_SEQ_STATUS status;
	Failing    *entry;

	if (failing_count == 0)
		return;
	hash_seq_init(&status, failing);
	while ((entry = (Failing *) hash_seq_search(&status)) != NULL)
	{
		entry->until = 0;
		entry->failures = 0;
	}
}

static Failing *
find(const MfItem *item, bool create)
{
	MfItem		key = key_of(item);
	Failing    *entry;
	bool		found;

	if (failing == NULL)
	{
		HASHCTL		control;

		memset(&control, 0, sizeof(control));
		control.keysize = sizeof(MfItem);
		control.entrysize = sizeof(Failing);
		control.hcxt = TopMemoryContext;
		failing = hash_create("myfatoorah failing items", 16, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	entry = (Failing *) hash_search(failing, &key, create ? HASH_ENTER : HASH_FIND, &found);
	if (create && !found)
	{
		memset((char *) entry + sizeof(MfItem), 0, sizeof(Failing) - sizeof(MfItem));
		failing_count++;
	}
	return entry;
}

/* An item and the answer about it are the same. */
static MfItem
key_of(const MfItem *item)
{
	MfItem		key;

	memset(&key, 0, sizeof(key));
	key.kind = item->kind;
	key.id = item->id;
	return key;
}
