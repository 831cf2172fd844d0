/*
 * ledger.c
 *	  What was asked of the server: counters for ever, entries in a ring.
 *
 * The ring is bounded by a number of entries and by bytes; counters are not
 * bounded in time, only in the number of distinct paths. The Authorization
 * header never gets here: the caller passes a description of it instead.
 */
#include "ledger.h"

#include <stdlib.h>

#define MAX_PATHS 1000

struct PathCounts
{
	HashNode node;
	Counts counts;
	uint32_t len;
	char text[];
};

typedef struct Entry
{
	int64_t seq;
	int64_t size;
	LedgerNote note; /* its strings point behind the entry */
	char fault[48];
	int status;
	int64_t answered_us;
	int64_t ended_us;
	int64_t answer_bytes; /* of the body */
	int64_t sent_bytes; /* of the whole raw answer; -1: all of it */
	int64_t invoice_id;
	const char *end; /* how it ended, if not as usual */
} Entry;

static struct
{
	Entry **ring;
	int64_t limit;
	int64_t byte_limit;
	int64_t bytes;
	int64_t first_seq; /* oldest entry held */
	int64_t last_seq;
	uint64_t epoch;
	HashTable paths;
	PathCounts *other; /* when there are too many paths */
	Counts total;
	Waiter *waiters;
} ledger;

static void notify_waiters(void);

/*
 * ledger_init
 *		Set the bounds; a limit of 0 keeps counters only.
 */
void
ledger_init(int64_t limit, int64_t byte_limit)
{
	ledger.limit = limit;
	ledger.byte_limit = byte_limit;
	ledger.ring = xcalloc((size_t) limit, sizeof(Entry *));
	ledger.first_seq = 1;
	ledger.epoch = 1;
}

/*
 * drop_oldest
 *		Free the oldest entry.
 */
static void
drop_oldest(void)
{
	Entry **slot = &ledger.ring[ledger.first_seq % ledger.limit];

	if (*slot != NULL)
	{
		ledger.bytes -= (*slot)->size;
		free(*slot);
		*slot = NULL;
	}
	ledger.first_seq++;
}

/*
 * ledger_reset
 *		Forget entries and counters; handles given out before lose their effect.
 *		Whoever waits goes on waiting, for a count that starts again at nothing.
 */
void
ledger_reset(void)
{
	while (ledger.limit > 0 && ledger.first_seq <= ledger.last_seq)
		drop_oldest();
	ledger.first_seq = 1;
	ledger.last_seq = 0;
	ledger.epoch++;
	for (size_t i = 0; i < ledger.paths.size; i++)
		for (HashNode *node = ledger.paths.buckets[i]; node != NULL;)
		{
			HashNode *next = node->next;

			free(hash_entry(node, PathCounts, node));
			node = next;
		}
	hash_clear(&ledger.paths);
	ledger.other = NULL;
	memset(&ledger.total, 0, sizeof(ledger.total));
}

/*
 * path_counts
 *		The counters of a path, made when it is new.
 */
static PathCounts *
path_counts(Str path)
{
	uint64_t hash = hash_bytes(path.data, path.len);
	PathCounts *p;

	for (HashNode *node = hash_first(&ledger.paths, hash); node != NULL; node = hash_next(node))
	{
		p = hash_entry(node, PathCounts, node);
		if (p->len == path.len && memcmp(p->text, path.data, path.len) == 0)
			return p;
	}
	if (ledger.paths.count >= MAX_PATHS)
	{
		if (ledger.other != NULL)
			return ledger.other;
		path = STR_LIT("(other)");
		hash = hash_bytes(path.data, path.len);
	}
	p = xcalloc(1, sizeof(PathCounts) + path.len + 1);
	p->len = (uint32_t) path.len;
	memcpy(p->text, path.data, path.len);
	hash_insert(&ledger.paths, &p->node, hash);
	if (ledger.paths.count > MAX_PATHS)
		ledger.other = p;
	return p;
}

/*
 * ledger_add
 *		Enter a request, whole or broken off, and wake who waits for it.
 */
LedgerHandle
ledger_add(const LedgerNote *note)
{
	LedgerHandle h = {++ledger.last_seq, ledger.epoch, path_counts(note->path),
					  store_reference(note->reference, note->complete), note->kind};

	if (note->complete)
	{
		ledger.total.received++;
		h.path->counts.received++;
		if (h.ref != NULL)
			h.ref->counts[h.kind].received++;
	}
	else
	{
		ledger.total.incomplete++;
		h.path->counts.incomplete++;
		if (h.ref != NULL)
			h.ref->counts[h.kind].incomplete++;
	}
	if (ledger.limit > 0)
	{
		size_t size = sizeof(Entry) + note->method.len + note->target.len + note->path.len +
					  note->headers.len + note->body.len + note->reference.len + 6;
		Entry *e = xmalloc(size);
		char *to = (char *) (e + 1);

		memset(e, 0, sizeof(*e));
		e->seq = h.seq;
		e->size = (int64_t) size;
		e->note = *note;
		e->note.method = str_copy_to(&to, note->method);
		e->note.target = str_copy_to(&to, note->target);
		e->note.path = str_copy_to(&to, note->path);
		e->note.headers = str_copy_to(&to, note->headers);
		e->note.body = str_copy_to(&to, note->body);
		e->note.reference = str_copy_to(&to, note->reference);
		e->sent_bytes = -1;
		while (ledger.first_seq < h.seq &&
			   (h.seq - ledger.first_seq >= ledger.limit || ledger.bytes + e->size > ledger.byte_limit))
			drop_oldest();
		ledger.ring[h.seq % ledger.limit] = e;
		ledger.bytes += e->size;
	}
	notify_waiters();
	return h;
}

/*
 * entry_at
 *		The entry of a handle, if it is still held.
 */
static Entry *
entry_at(const LedgerHandle *h)
{
	if (h->seq == 0 || h->epoch != ledger.epoch || ledger.limit == 0 || h->seq < ledger.first_seq)
		return NULL;
	return ledger.ring[h->seq % ledger.limit];
}

/*
 * ledger_fault
 *		Note which fault was applied to a request.
 */
void
ledger_fault(const LedgerHandle *h, const char *fault)
{
	Entry *e = entry_at(h);

	if (e != NULL)
	{
		strncpy(e->fault, fault, sizeof(e->fault) - 1);
		e->fault[sizeof(e->fault) - 1] = '\0';
	}
}

/*
 * ledger_answered
 *		Note what a request led to and, if sent, that an answer was handed to
 *		the connection.
 */
void
ledger_answered(const LedgerHandle *h, bool sent, int status, int64_t answer_bytes, int64_t invoice_id)
{
	Entry *e = entry_at(h);

	if (h->seq == 0 || h->epoch != ledger.epoch)
		return;
	if (e != NULL)
		e->invoice_id = invoice_id;
	if (!sent)
		return;
	ledger.total.answered++;
	h->path->counts.answered++;
	if (h->ref != NULL)
		h->ref->counts[h->kind].answered++;
	if (e != NULL)
	{
		e->answered_us = monotonic_us();
		e->status = status;
		e->answer_bytes = answer_bytes;
	}
	notify_waiters();
}

/*
 * ledger_ended
 *		Note an unusual end: how (static text) and how many bytes of the raw
 *		answer went out before it.
 */
void
ledger_ended(const LedgerHandle *h, const char *how, int64_t sent_bytes)
{
	Entry *e = entry_at(h);

	if (e != NULL)
	{
		e->ended_us = monotonic_us();
		e->end = how;
		e->sent_bytes = sent_bytes;
	}
}

/*
 * add_counts
 *		Add one set of counters to another.
 */
static void
add_counts(Counts *to, const Counts *from)
{
	to->received += from->received;
	to->incomplete += from->incomplete;
	to->answered += from->answered;
}

/*
 * ledger_counts
 *		Counters of what the filter selects, without walking entries. A path and
 *		a reference together tell the kinds of calls apart.
 */
Counts
ledger_counts(const LedgerFilter *filter)
{
	Counts result = {0};
	uint64_t hash;

	if (filter->reference.data != NULL)
	{
		Reference *ref = store_reference(filter->reference, false);

		for (int kind = 0; ref != NULL && kind < ROUTE_KINDS; kind++)
			if (filter->path.data == NULL || kind == filter->kind)
			{
				const SmallCounts *c = &ref->counts[kind];

				add_counts(&result, &(Counts){c->received, c->incomplete, c->answered});
			}
		return result;
	}
	if (filter->path.data == NULL)
		return ledger.total;
	hash = hash_bytes(filter->path.data, filter->path.len);
	for (HashNode *node = hash_first(&ledger.paths, hash); node != NULL; node = hash_next(node))
	{
		const PathCounts *p = hash_entry(node, PathCounts, node);

		if (str_equal((Str){p->text, p->len}, filter->path))
			return p->counts;
	}
	return result;
}

/*
 * ledger_last_seq
 *		The number of the newest request.
 */
int64_t
ledger_last_seq(void)
{
	return ledger.last_seq;
}

/*
 * ledger_wait, ledger_unwait
 *		Have a waiter woken, once, when its count is reached; take it off the
 *		list again (harmless if it is not on it).
 */
void
ledger_wait(Waiter *waiter)
{
	waiter->queued = true;
	waiter->next = ledger.waiters;
	ledger.waiters = waiter;
}

void
ledger_unwait(Waiter *waiter)
{
	for (Waiter **p = &ledger.waiters; waiter->queued && *p != NULL; p = &(*p)->next)
		if (*p == waiter)
		{
			*p = waiter->next;
			break;
		}
	waiter->queued = false;
}

/*
 * notify_waiters
 *		Wake every waiter whose count is reached.
 */
static void
notify_waiters(void)
{
	Waiter **p = &ledger.waiters;

	while (*p != NULL)
	{
		Waiter *w = *p;
		Counts c = ledger_counts(&w->filter);

		if ((w->answered ? c.answered : c.received) < w->target)
		{
			p = &w->next;
			continue;
		}
		*p = w->next;
		w->queued = false;
		w->wake(w);
	}
}

/*
 * matches
 *		Does an entry pass the filter?
 */
static bool
matches(const Entry *e, const LedgerFilter *filter)
{
	return (filter->path.data == NULL || str_equal(e->note.path, filter->path)) &&
		   (filter->reference.data == NULL ||
			(e->note.reference.data != NULL && str_equal(e->note.reference, filter->reference)));
}

/*
 * put_entry
 *		Append one entry as JSON.
 */
static void
put_entry(Buf *b, const Entry *e, bool bodies)
{
	const LedgerNote *n = &e->note;
	const char *p = n->headers.data;
	const char *end = n->headers.data + n->headers.len;

	buf_printf(b, "{\"seq\":%lld,\"connection\":%lld,\"request_on_connection\":%lld,\"method\":",
			   (long long) e->seq, (long long) n->connection, (long long) n->request_on_connection);
	buf_put_json(b, n->method);
	buf_puts(b, ",\"path\":");
	buf_put_json(b, n->path);
	buf_puts(b, ",\"target\":");
	buf_put_json(b, n->target);
	buf_puts(b, ",\"headers\":[");
	while (p < end)
	{
		Str name = str_of(p);
		Str value = str_of(p + name.len + 1);

		if (p != n->headers.data)
			buf_putc(b, ',');
		buf_putc(b, '[');
		buf_put_json(b, name);
		buf_putc(b, ',');
		buf_put_json(b, value);
		buf_putc(b, ']');
		p += name.len + value.len + 2;
	}
	buf_puts(b, "],\"authorization\":");
	buf_put_json_or_null(b, str_of(n->authorization));
	buf_printf(b,
			   ",\"key_index\":%d,\"key_elsewhere\":%s,\"complete\":%s,"
			   "\"header_bytes\":%zu,\"body_bytes\":%zu,\"reference\":",
			   n->key_index, n->key_elsewhere ? "true" : "false", n->complete ? "true" : "false",
			   n->header_bytes, n->body.len);
	buf_put_json_or_null(b, n->reference);
	if (bodies && str_is_utf8(n->body))
	{
		buf_puts(b, ",\"body\":");
		buf_put_json(b, n->body);
	}
	else if (bodies)
	{
		buf_puts(b, ",\"body_base64\":\"");
		buf_put_base64(b, n->body);
		buf_putc(b, '"');
	}
	buf_printf(b,
			   ",\"wall_us\":%lld,\"accepted_us\":%lld,\"first_us\":%lld,\"complete_us\":%lld,"
			   "\"answered_us\":%lld,\"ended_us\":%lld,\"status\":%d,\"answer_body_bytes\":%lld,"
			   "\"answer_sent_bytes\":%lld,\"invoice_id\":",
			   (long long) n->wall_us, (long long) n->accepted_us, (long long) n->first_us,
			   (long long) n->complete_us, (long long) e->answered_us, (long long) e->ended_us, e->status,
			   (long long) e->answer_bytes, (long long) e->sent_bytes);
	if (e->invoice_id > 0)
		buf_put_int(b, e->invoice_id);
	else
		buf_puts(b, "null");
	buf_puts(b, ",\"fault\":");
	buf_put_json_or_null(b, e->fault[0] != '\0' ? str_of(e->fault) : STR_NONE);
	buf_puts(b, ",\"end\":");
	buf_put_json_or_null(b, str_of(e->end));
	buf_putc(b, '}');
}

/*
 * ledger_put_json
 *		Append {"entries":[...],"next":N}: what the filter selects after a
 *		sequence number, oldest first, at most limit entries.
 */
void
ledger_put_json(Buf *b, const LedgerFilter *filter, int64_t since, int64_t limit, bool bodies)
{
	int64_t next = since;
	bool first = true;
	int64_t seq = since + 1;

	buf_puts(b, "{\"entries\":[");
	if (seq < ledger.first_seq)
		seq = ledger.first_seq;
	for (; ledger.limit > 0 && seq <= ledger.last_seq && limit > 0; seq++)
	{
		const Entry *e = ledger.ring[seq % ledger.limit];

		next = seq;
		if (!matches(e, filter))
			continue;
		if (!first)
			buf_putc(b, ',');
		first = false;
		put_entry(b, e, bodies);
		limit--;
	}
	buf_printf(b, "],\"next\":%lld,\"last\":%lld,\"oldest_held\":%lld}", (long long) next,
			   (long long) ledger.last_seq, (long long) ledger.first_seq);
}

/*
 * ledger_put_stats
 *		Append the members of a JSON object that tell how much is held.
 */
void
ledger_put_stats(Buf *b)
{
	buf_printf(b,
			   "\"requests\":{\"received\":%lld,\"incomplete\":%lld,\"answered\":%lld},"
			   "\"ledger\":{\"limit\":%lld,\"held\":%lld,\"bytes\":%lld,\"last\":%lld}",
			   (long long) ledger.total.received, (long long) ledger.total.incomplete,
			   (long long) ledger.total.answered, (long long) ledger.limit,
			   (long long) (ledger.limit > 0 ? ledger.last_seq - ledger.first_seq + 1 : 0),
			   (long long) ledger.bytes, (long long) ledger.last_seq);
}
