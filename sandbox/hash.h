/*
 * hash.h
 *	  A growing hash table of nodes that live inside the things they index.
 */
#ifndef SANDBOX_HASH_H
#define SANDBOX_HASH_H

#include "text.h"

typedef struct HashNode
{
	struct HashNode *next;
	uint64_t hash;
} HashNode;

typedef struct HashTable
{
	HashNode **buckets;
	size_t size; /* a power of two, or 0 */
	size_t count;
} HashTable;

#define hash_entry(node, type, member) ((type *) ((char *) (node) -offsetof(type, member)))

extern uint64_t hash_bytes(const void *data, size_t len);
extern uint64_t hash_int(uint64_t v);
extern void hash_insert(HashTable *table, HashNode *node, uint64_t hash);
extern void hash_remove(HashTable *table, HashNode *node);
extern HashNode *hash_first(const HashTable *table, uint64_t hash);
extern HashNode *hash_next(const HashNode *node);
extern void hash_clear(HashTable *table);

#endif
