/*
 * http_common.c
 *	  What every file of the HTTP client uses: clock, signal masks, event descriptors
 *	  and lists of requests.
 *
 * The lowest layer: calls no other file of the client.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/http/http_common.c
 */
#include "core/http/http_private.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

int64_t
mf_http_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (int64_t) now.tv_sec * 1000000000 + now.tv_nsec;
}

bool
mf_http_is_shortage(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

void
mf_http_block_signals(sigset_t *saved)
{
	sigset_t	all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, saved);
}

/* ----------
 * Event descriptors
 * ----------
 */

void
mf_http_event_set(int fd)
{
	uint64_t	one = 1;
	ssize_t		written = write(fd, &one, sizeof(one));

	(void) written;				/* fails only if it is readable already */
}

void
mf_http_event_clear(int fd)
{
	uint64_t	count;
	ssize_t		got = read(fd, &count, sizeof(count));

	(void) got;					/* fails only if it is not readable */
}

/* ----------
 * Lists
 * ----------
 */

void
mf_http_list_append(MfHttpList *list, MfHttpRecord *record)
{
	record->next = NULL;
	if (list->last != NULL)
		list->last->next = record;
	else
		list->first = record;
	list->last = record;
}

void
mf_http_list_move(MfHttpList *to, MfHttpList *from)
{
	if (from->first == NULL)
		return;
	if (to->last != NULL)
		to->last->next = from->first;
	else
		to->first = from->first;
	to->last = from->last;
	from->first = from->last = NULL;
}

MfHttpRecord *
mf_http_list_remove_first(MfHttpList *list)
{
	MfHttpRecord *record = list->first;

	if (record == NULL)
		return NULL;
	list->first = record->next;
	if (list->first == NULL)
		list->last = NULL;
	record->next = NULL;
	return record;
}

void
mf_http_list_remove(MfHttpList *list, const MfHttpRecord *record)
{
	MfHttpRecord *before = NULL;
	MfHttpRecord **link;

	for (link = &list->first; *link != NULL; link = &(*link)->next)
	{
		if (*link == record)
		{
			*link = record->next;
			if (list->last == record)
				list->last = before;
			return;
		}
		before = *link;
	}
}
