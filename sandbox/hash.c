/*
 * hash.c
 *	  A growing hash table of nodes that live inside the things they index.
 */
#include "hash.h"

#include <stdlib.h>

/*
 * hash_int
 *		Spread an integer over 64 bits (the finalizer of splitmix64).
 */
uint64_t
hash_int(uint64_t v)
{
	v ^= v >> 30;
	v *= UINT64_C(0xbf58476d1ce4e5b9);
	v ^= v >> 27;
	v *= UINT64_C(0x94d049bb133111eb);
	return v ^ (v >> 31);
}

/*
 * hash_bytes
 *		FNV-1a, then spread.
 */
uint64_t
hash_bytes(const void *data, size_t len)
{
	const unsigned char *p = data;
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * UINT64_C(0x100000001b3);
	return hash_int(h);
}

/*
 * hash_grow
 *		Double the number of buckets.
 */
static void
hash_grow(HashTable *table)
{
	size_t size = table->size > 0 ? table->size * 2 : 1024;
	HashNode **buckets = xcalloc(size, sizeof(HashNode *));

	for (size_t i = 0; i < table->size; i++)
	{
		HashNode *node = table->buckets[i];

		while (node != NULL)
		{
			HashNode *next = node->next;

			node->next = buckets[node->hash & (size - 1)];
			buckets[node->hash & (size - 1)] = node;
			node = next;
		}
	}
	free(table->buckets);
	table->buckets = buckets;
	table->size = size;
}

/*
 * hash_insert
 *		Add a node; the caller keeps owning its memory.
 */
void
hash_insert(HashTable *table, HashNode *node, uint64_t hash)
{
	if (table->count >= table->size)
		hash_grow(table);
	node->hash = hash;
	node->next = table->buckets[hash & (table->size - 1)];
	table->buckets[hash & (table->size - 1)] = node;
	table->count++;
}

/*
 * hash_remove
 *		Take a node out that is in the table.
 */
void
hash_remove(HashTable *table, HashNode *node)
{
	HashNode **p = &table->buckets[node->hash & (table->size - 1)];

	while (*p != node)
		p = &(*p)->next;
	*p = node->next;
	table->count--;
}

/*
 * hash_first, hash_next
 *		Nodes with exactly that hash; the caller compares the keys.
 */
HashNode *
hash_first(const HashTable *table, uint64_t hash)
{
	HashNode *node;

	if (table->size == 0)
		return NULL;
	node = table->buckets[hash & (table->size - 1)];
	while (node != NULL && node->hash != hash)
		node = node->next;
	return node;
}

HashNode *
hash_next(const HashNode *node)
{
	uint64_t hash = node->hash;

	do
		node = node->next;
	while (node != NULL && node->hash != hash);
	return (HashNode *) node;
}

/*
 * hash_clear
 *		Forget all nodes and free the buckets.
 */
void
hash_clear(HashTable *table)
{
	free(table->buckets);
	memset(table, 0, sizeof(*table));
}
