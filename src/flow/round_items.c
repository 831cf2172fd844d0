/*
 * round_items.c
 *	  The items of a round, and how the one that makes a round fail is found.
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

/* After a failure, each round that succeeds doubles the limit of the next one; from this on, there is none. */
#define FULL_SIZE 512

/*
 * How long an item at fault is put off, doubled each time.  The answer to a request
 * that sends an invoice is tried again sooner, because no request is repeated for it.
 */
#define ITEM_DELAY_MS 60000
#define SEND_ANSWER_DELAY_MS 5000
#define DELAY_MAX_MS 3600000

/*
 * How long if the cause may lie elsewhere, doubled each time, too.  After so many
 * failures the item counts as at fault all the same.
 */
#define DOUBT_DELAY_MS 1000
#define DOUBT_DELAY_MAX_MS 8000
#define DOUBT_FAILURES 3

/* An item that has failed */
typedef struct FailedItem
{
	MfItem		key;			/* kind and id only */
	int			failures;
	uint32		error;			/* digest of the message logged last */
	TimestampTz until;			/* claims skip it until then; 0 = they need not */
	bool		at_fault;
	bool		by_answer;		/* writing its answer has failed, not claiming it */
} FailedItem;

static int	round_size = FULL_SIZE;
static MfItem *items = NULL;
static int	item_count = 0;
static int	items_allocated = 0;
static HTAB *failed_items = NULL;
static int	failed_item_count = 0;

static FailedItem *find_failed(const MfItem *item, bool create);
static MfItem key_of(const MfItem *item);

void
mf_items_begin(void)
{
	item_count = 0;
}

int
mf_items_room(int wanted)
{
	return round_size >= FULL_SIZE ? wanted : Min(wanted, Max(round_size - item_count, 0));
}

int
mf_items_count(void)
{
	return item_count;
}

int64
mf_items_account_id(const char *account)
{
	return (int64) hash_bytes((const unsigned char *) account, strlen(account));
}

void
mf_items_add(MfItemKind kind, int64 id)
{
	mf_items_add_answer(kind, id, false, NULL);
}

void
mf_items_add_answer(MfItemKind kind, int64 id, bool sends, struct MfFlight *flight)
{
	if (item_count == items_allocated)
	{
		items_allocated = Max(items_allocated * 2, FULL_SIZE);
		items = items == NULL ? MemoryContextAlloc(TopMemoryContext, items_allocated * sizeof(MfItem)) :
			repalloc(items, items_allocated * sizeof(MfItem));
	}
	memset(&items[item_count], 0, sizeof(MfItem));
	items[item_count].kind = kind;
	items[item_count].id = id;
	items[item_count].sends = sends;
	items[item_count++].flight = flight;
}

void
mf_items_remove_last(void)
{
	item_count--;
}

bool
mf_items_is_suspect(MfItemKind kind, int64 id)
{
	MfItem		item = {kind, id, NULL, false};

	return round_size < FULL_SIZE || (failed_item_count > 0 && find_failed(&item, false) != NULL);
}

bool
mf_items_done(void)
{
	bool		any = item_count > 0;
	int			i;

	for (i = 0; failed_item_count > 0 && i < item_count; i++)
	{
		FailedItem *entry = find_failed(&items[i], false);

		/* an item whose answer has failed stays until an answer succeeds */
		if (entry != NULL && (items[i].flight != NULL || !entry->by_answer))
		{
			(void) hash_search(failed_items, &entry->key, HASH_REMOVE, NULL);
			failed_item_count--;
		}
	}
	item_count = 0;
	if (any)
		round_size = Min(round_size * 2, FULL_SIZE);
	return any;
}

const MfItem *
mf_items_failed(bool *smaller)
{
	*smaller = item_count > 1;
	if (item_count > 1)
		round_size = item_count / 2;
	return item_count == 1 ? &items[0] : NULL;
}

MfPutOff
mf_items_put_off(const MfItem *item, const char *error, bool own_fault, TimestampTz now)
{
	FailedItem *entry = find_failed(item, true);
	uint32		digest = hash_bytes((const unsigned char *) error, strlen(error));
	MfPutOff	result;
	int64		delay;

	entry->failures++;
	result.at_fault = own_fault || entry->failures >= DOUBT_FAILURES;
	result.is_new_error = result.at_fault && entry->error != digest;
	if (result.at_fault)
		entry->error = digest;
	delay = !own_fault ? DOUBT_DELAY_MS :
		item->sends ? SEND_ANSWER_DELAY_MS : ITEM_DELAY_MS;
	delay = Min(delay << Min(entry->failures - 1, 12), own_fault ? DELAY_MAX_MS : DOUBT_DELAY_MAX_MS);
	result.until = TimestampTzPlusMilliseconds(now, delay);
	entry->until = result.until;
	entry->at_fault = result.at_fault;
	entry->by_answer = item->flight != NULL;
	return result;
}

void
mf_items_set_stored(const MfItem *item)
{
	FailedItem *entry = find_failed(item, false);

	if (entry != NULL)
	{
		entry->until = 0;
		entry->at_fault = false;
	}
}

Datum
mf_items_left_out(MfItemKind kind, TimestampTz now, TimestampTz *due)
{
	int64	   *ids = (int64 *) palloc((failed_item_count + 1) * sizeof(int64));
	int			count = 0;

	if (failed_item_count > 0)
	{
		HASH_SEQ_STATUS status;
		FailedItem *entry;

		hash_seq_init(&status, failed_items);
		while ((entry = (FailedItem *) hash_seq_search(&status)) != NULL)
		{
			if (entry->key.kind != kind || entry->until <= now)
				continue;
			ids[count++] = entry->key.id;
			*due = mf_earlier(*due, entry->until);
		}
	}
	return mf_int8_array(ids, count);
}

TimestampTz
mf_items_put_off_until(MfItemKind kind, int64 id)
{
	MfItem		item = {kind, id, NULL, false};
	FailedItem *entry = failed_item_count > 0 ? find_failed(&item, false) : NULL;

	return entry != NULL ? entry->until : 0;
}

int
mf_items_count_unstored(TimestampTz now)
{
	int			count = 0;

	if (failed_item_count > 0)
	{
		HASH_SEQ_STATUS status;
		FailedItem *entry;

		hash_seq_init(&status, failed_items);
		while ((entry = (FailedItem *) hash_seq_search(&status)) != NULL)
		{
			/* an item that has not failed again by then is gone */
			if (entry->at_fault && !TimestampDifferenceExceeds(entry->until, now, DELAY_MAX_MS))
				count++;
		}
	}
	return count;
}

void
mf_items_try_now(void)
{
	HASH_SEQ_STATUS status;
	FailedItem *entry;

	if (failed_item_count == 0)
		return;
	hash_seq_init(&status, failed_items);
	while ((entry = (FailedItem *) hash_seq_search(&status)) != NULL)
	{
		entry->until = 0;
		entry->failures = 0;
	}
}

static FailedItem *
find_failed(const MfItem *item, bool create)
{
	MfItem		key = key_of(item);
	FailedItem *entry;
	bool		found;

	if (failed_items == NULL)
		failed_items = hash_create("myfatoorah failing items", 16,
								   &(HASHCTL) {.keysize = sizeof(MfItem), .entrysize = sizeof(FailedItem)},
								   HASH_ELEM | HASH_BLOBS);
	entry = (FailedItem *) hash_search(failed_items, &key, create ? HASH_ENTER : HASH_FIND, &found);
	if (create && !found)
	{
		memset((char *) entry + sizeof(MfItem), 0, sizeof(FailedItem) - sizeof(MfItem));
		failed_item_count++;
	}
	return entry;
}

/* The hash key of an item and of the answers about it */
static MfItem
key_of(const MfItem *item)
{
	MfItem		key;

	memset(&key, 0, sizeof(key));
	key.kind = item->kind;
	key.id = item->id;
	return key;
}
