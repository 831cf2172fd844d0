/*
 * mischief.h
 *	  Webhooks that get lost, doubled, late, out of order or forged on demand.
 *
 * All functions want the store's lock held.
 */
#ifndef SANDBOX_MISCHIEF_H
#define SANDBOX_MISCHIEF_H

#include "delivery.h"

typedef enum MischiefDrop
{
	DROP_NOT,
	DROP_AS_FAILED, /* never sent, in the log as Failed */
	DROP_SILENTLY /* never sent, never logged */
} MischiefDrop;

typedef enum MischiefForgery
{
	FORGE_NOT,
	FORGE_SIGNATURE, /* one character of it */
	FORGE_SIGNED, /* one byte of a signed value */
	FORGE_UNSIGNED /* one byte of a value that is not */
} MischiefForgery;

typedef struct Mischief
{
	struct Mischief *next;
	int64_t id;
	/* what it is for */
	int64_t code; /* 0: any */
	int64_t invoice_id; /* 0: any */
	char *reference;
	char *reference_prefix;
	char *status;
	int64_t times; /* left; -1: for ever */
	int64_t skip; /* left */
	int64_t hits;
	/* what it does */
	MischiefDrop drop;
	int64_t delay_ms;
	int64_t reorder; /* hold so many, then send the last first */
	int64_t copies;
	MischiefForgery forge;
	char *member; /* to change instead of the usual one */
	bool without_signature;
	char *secret; /* instead of the true one */
	Delivery **held;
	int64_t held_count;
	char *json; /* as it was posted */
} Mischief;

typedef struct MischiefSubject
{
	int code;
	int version;
	int64_t invoice_id;
	Str reference;
	const char *word; /* SUCCESS, REFUNDED, ...; NULL: none */
} MischiefSubject;

extern bool mischief_add(const cJSON *list, Buf *error);
extern void mischief_clear(bool release);
extern void mischief_put_json(Buf *b);
extern Mischief *mischief_pick(const MischiefSubject *subject);
extern void mischief_forge(const Mischief *rule, Message *m, Buf *signature);
extern void mischief_hold(Mischief *rule, Delivery *d);
extern void mischief_label(const Mischief *rule, char *label, size_t size);

#endif
