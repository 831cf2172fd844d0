/*
 * file_descriptors.c
 *	  File descriptors for the connections of a worker, beside PostgreSQL's own.
 *
 * PostgreSQL opens files until it has max_safe_fds of them.  Connections take
 * what the limit of the process allows beyond that, which is raised if it may
 * be.  If this is too little, they take a part of PostgreSQL's, which is told.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/process/file_descriptors.c
 */
#include "postgres.h"

#include <sys/resource.h>

#include "storage/fd.h"

#include "base/compat.h"
#include "process/file_descriptors.h"

/* For what neither counts: standard streams, epoll, name look-ups, certificates */
#define SPARE_DESCRIPTORS 64

/*
 * Of its own, PostgreSQL gives up so much at most.  It lets no more than a third be
 * opened by others, of which so many are left: for what it waits by, and for code of
 * users, such as postgres_fdw.
 */
#define SHARE_OF_POSTGRES 4
#define LEFT_TO_OTHERS 8

static int	reserved = 0;

static int	raise_limit(int needed);

int
mf_descriptors_for(int wanted)
{
	int			others = max_safe_fds + SPARE_DESCRIPTORS;
	int			beside = Max(raise_limit(others + wanted) - others, 0);
	int			taken = Min(Max(wanted - beside, 0), mf_descriptors_share());

	for (; reserved < taken; reserved++)
		ReserveExternalFD();
	for (; reserved > taken; reserved--)
		ReleaseExternalFD();
	return Max(Min(beside + taken, wanted), 1);
}

int
mf_descriptors_share(void)
{
	return Max(Min(max_safe_fds / SHARE_OF_POSTGRES, max_safe_fds / 3 - LEFT_TO_OTHERS), 1);
}

WaitEventSet *
mf_descriptors_event_set(int events)
{
	if (!AcquireExternalFD())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("cannot wait for events: too many open files"),
				 errdetail("Of the %d files that PostgreSQL lets a process open, a third may be others than its own.", max_safe_fds),
				 errhint("Raise max_files_per_process.")));
	ReleaseExternalFD();
	return mf_create_wait_event_set(events);
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
