/*
 * idempotency.c
 *	  Idempotency-Key: the second call with a key gets the first one's answer.
 *
 * MyFatoorah heeds it in Kuwait and Saudi Arabia, for 250 minutes from the
 * answer, and does not compare bodies. A key belongs to an account, whatever
 * call it was used for. What nobody knows is a setting of the account: whether
 * the answer of a first call that failed is kept, and what a second call gets
 * while the first is under way.
 */
#include "server.h"

#include <stdlib.h>

typedef struct KeyedCall
{
	HashNode node; /* by key, while it is in force */
	struct KeyedCall *next; /* in order of creation */
	const Account *account;
	Buf key;
	const Request *owner; /* who does it; never looked into */
	int users; /* requests in hand */
	bool in_force;
	bool has_answer;
	bool answered; /* its owner's answer is out */
	Ticks at; /* when it was */
	int status;
	Buf body;
	int64_t invoice_id;
	int64_t replays;
} KeyedCall;

static HashTable in_force;
static KeyedCall *oldest;
static KeyedCall *newest;

/*
 * end_force
 *		The key means nothing any more; who has the call in hand keeps it.
 */
static void
end_force(KeyedCall *k)
{
	if (k->in_force)
		hash_remove(&in_force, &k->node);
	k->in_force = false;
}

/*
 * has_run_out
 *		Are the account's minutes since the first answer over?
 */
static bool
has_run_out(const KeyedCall *k)
{
	return k->answered &&
		   clock_now() - k->at >= account_settings(k->account)->idempotency_minutes * 60 * TICKS_PER_SECOND;
}

/*
 * prune
 *		Free the oldest calls that are over.
 */
static void
prune(void)
{
	while (oldest != NULL && oldest->users == 0 && (!oldest->in_force || has_run_out(oldest)))
	{
		KeyedCall *next = oldest->next;

		end_force(oldest);
		buf_free(&oldest->key);
		buf_free(&oldest->body);
		free(oldest);
		oldest = next;
	}
	if (oldest == NULL)
		newest = NULL;
}

/*
 * find
 *		The call in force under a key, or NULL.
 */
static KeyedCall *
find(const Account *account, Str key)
{
	for (HashNode *node = hash_first(&in_force, hash_bytes(key.data, key.len)); node != NULL;
		 node = hash_next(node))
	{
		KeyedCall *k = hash_entry(node, KeyedCall, node);

		if (k->account != account || !str_equal(key, (Str){k->key.data, k->key.len}))
			continue;
		if (!has_run_out(k))
			return k;
		end_force(k);
		return NULL;
	}
	return NULL;
}

/*
 * start
 *		A request is the first with its key.
 */
static KeyedCall *
start(Request *r)
{
	KeyedCall *k = xcalloc(1, sizeof(KeyedCall));

	prune();
	k->account = r->account;
	buf_put(&k->key, r->idempotency_key.data, r->idempotency_key.len);
	k->owner = r;
	k->in_force = true;
	hash_insert(&in_force, &k->node, hash_bytes(k->key.data, k->key.len));
	if (newest != NULL)
		newest->next = k;
	else
		oldest = k;
	newest = k;
	return k;
}

/*
 * idempotency_begin
 *		The request is whole: find the call with its key, or make it one.
 *		Locked.
 */
void
idempotency_begin(Request *r)
{
	const AccountSettings *s = r->account != NULL ? account_settings(r->account) : NULL;

	if (r->call == NULL || !r->call->idempotent || r->idempotency_key.len == 0 || s == NULL ||
		!s->idempotency || (strcmp(r->account->iso3, "KWT") != 0 && strcmp(r->account->iso3, "SAU") != 0))
		return;
	r->keyed = find(r->account, (Str){r->idempotency_key.data, r->idempotency_key.len});
	if (r->keyed == NULL)
		r->keyed = start(r);
	r->keyed->users++;
}

/*
 * idempotency_replays
 *		Answer a request whose key was used before; false if it is the one to do
 *		what is asked. Locked.
 */
bool
idempotency_replays(Request *r)
{
	KeyedCall *k = r->keyed;
	ConcurrentCalls concurrent;

	if (k == NULL)
		return false;
	if (!k->in_force)
	{
		/* The first call came to nothing meanwhile. */
		k->users--;
		idempotency_begin(r);
		k = r->keyed;
	}
	concurrent = account_settings(r->account)->idempotency_concurrent;
	if (k == NULL || k->owner == r)
		return false;
	if (!k->answered && concurrent == CONCURRENT_REFUSED)
	{
		answer_failure(&r->answer, 409, "A request with this Idempotency-Key is being processed", STR_NONE);
		return true;
	}
	if (!k->answered && concurrent == CONCURRENT_DOUBLE)
	{
		k->users--;
		r->keyed = NULL;
		return false;
	}
	if (!k->has_answer)
	{
		k->owner = r;
		return false;
	}
	k->replays++;
	buf_put(&r->answer.body, k->body.data, k->body.len);
	answer_json(&r->answer, k->status);
	r->answer.invoice_id = k->invoice_id;
	return true;
}

/*
 * keep_answer
 *		What later calls get.
 */
static void
keep_answer(KeyedCall *k, const Answer *a)
{
	k->has_answer = true;
	k->status = a->status;
	k->body.len = 0;
	buf_put(&k->body, a->body.data, a->body.len);
	k->invoice_id = a->invoice_id;
}

/*
 * idempotency_note
 *		The true answer is made. Locked.
 */
void
idempotency_note(Request *r)
{
	if (r->keyed != NULL && r->keyed->owner == r)
		keep_answer(r->keyed, &r->answer);
}

/*
 * idempotency_keep
 *		Decide what the key means from now on; replaced: a fault took the place
 *		of the true answer. Locked.
 */
void
idempotency_keep(Request *r, bool replaced)
{
	KeyedCall *k = r->keyed;
	FailedCalls failed;

	if (k == NULL || k->owner != r)
		return;
	failed = account_settings(r->account)->idempotency_failed;
	if (!k->has_answer && replaced && failed == FAILED_KEPT)
		keep_answer(k, &r->answer);
	else if (!k->has_answer || !r->keep || (k->status >= 400 && failed != FAILED_KEPT) ||
			 (replaced && failed == FAILED_LOST))
		end_force(k);
}

/*
 * idempotency_answered
 *		A request is answered, or is over without: if it was the one that did
 *		what was asked, the minutes begin. Locked.
 */
void
idempotency_answered(Request *r)
{
	KeyedCall *k = r->keyed;

	if (k == NULL)
		return;
	r->keyed = NULL;
	k->users--;
	if (k->owner != r)
		return;
	k->owner = NULL;
	k->answered = true;
	k->at = clock_now();
	if (!k->has_answer)
		end_force(k);
}

/*
 * idempotency_reset
 *		Forget all keys; requests in hand keep their calls. Locked.
 */
void
idempotency_reset(void)
{
	for (KeyedCall *k = oldest; k != NULL; k = k->next)
		end_force(k);
	prune();
}

/*
 * idempotency_put
 *		Append the keys in force as JSON. Locked.
 */
void
idempotency_put(Buf *b)
{
	bool first = true;

	buf_puts(b, "{\"keys\":[");
	for (const KeyedCall *k = oldest; k != NULL; k = k->next)
	{
		if (!k->in_force || has_run_out(k))
			continue;
		buf_puts(b, first ? "{\"key\":" : ",{\"key\":");
		first = false;
		buf_put_json(b, (Str){k->key.data, k->key.len});
		buf_printf(b,
				   ",\"country\":\"%s\",\"answered\":%s,\"status\":%d,\"invoice_id\":%lld,\"replays\":%lld}",
				   k->account->iso3, k->answered ? "true" : "false", k->status, (long long) k->invoice_id,
				   (long long) k->replays);
	}
	buf_puts(b, "]}");
}
