/*
 * descriptors.c
 *	  File descriptors for the connections of a worker, beside PostgreSQL's own.
 *
 * PostgreSQL opens files until it has max_safe_fds of them.  Connections take
 * what the limit of the process allows beyond that, which is raised if it may
 * be.  If this is too little, they take a part of PostgreSQL's, which is told.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/descriptors.c
 */
#include "postgres.h"

#include <sys/resource.h>

#include "storage/fd.h"

#include "compat.h"
#include "descriptors.h"

/* For what neither counts: standard streams, epoll, name look-ups, certificates */
#define SPARE_DESCRIPTORS 64

/* Of its own, PostgreSQL gives up so much at most; it lets no more than a third be opened by others. */
#define SHARE_OF_POSTGRES 4

static int	reserved = 0;

static int	raise_limit(int needed);

/* See descriptors.h. */
int
mf_descriptors_for(int wanted)
{
	int			others = max_safe_fds + SPARE_DESCRIPTORS;
	int			beside = Max(raise_limit(others + wanted) - others, 0);
	int			taken = Min(Max(wanted - beside, 0), max_safe_fds / SHARE_OF_POSTGRES);

	for (; reserved < taken; reserved++)
		ReserveExternalFD();
	for (; reserved > taken; reserved--)
		ReleaseExternalFD();
	return Max(Min(beside + taken, wanted), 1);
}

/* Raises the limit to "needed" as far as it may be; returns what it is then, at most "needed". */
static int
raise_limit(int needed)
{
	struct rlimit files;
	rlim_t		before;

	if (getrlimit(RLIMIT_NOFILE, &files) != 0)
		return 0;
	before = files.rlim_cur;
	if (before < (rlim_t) needed && before < files.rlim_max)
	{
		files.rlim_cur = Min(files.rlim_max, (rlim_t) needed);
		if (setrlimit(RLIMIT_NOFILE, &files) != 0)
			files.rlim_cur = before;
	}
	return (int) Min(files.rlim_cur, (rlim_t) needed);
}
