/*
 * file_descriptors.c
 *	  File descriptors for the connections of a background worker.
 *
 * PostgreSQL opens up to max_safe_fds files.  Connections use what the limit of the
 * process allows beyond that; the limit is raised as far as it may be.  If that is
 * not enough, connections use a part of max_safe_fds, which PostgreSQL is informed
 * of.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/process/file_descriptors.c
 */
#include "postgres.h"

#include <sys/resource.h>

#include "storage/fd.h"

#include "base/compat.h"
#include "process/file_descriptors.h"

/* Not counted otherwise: standard streams, epoll, name look-ups, certificates */
#define SPARE_DESCRIPTORS 64

/*
 * Connections use at most this part of max_safe_fds.  PostgreSQL allows a third of it
 * for external files, of which so many are left for wait event sets and code of users,
 * such as postgres_fdw.
 */
#define MAX_SHARE 4
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
	return Max(Min(max_safe_fds / MAX_SHARE, max_safe_fds / 3 - LEFT_TO_OTHERS), 1);
}

WaitEventSet *
mf_descriptors_event_set(int events)
{
	if (!AcquireExternalFD())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not create a wait event set: too many open files"),
				 errdetail("Only a third of the %d files that a process may open can be external files.", max_safe_fds),
				 errhint("Raise max_files_per_process.")));
	ReleaseExternalFD();
	return mf_create_wait_event_set(events);
}

/* Raises the limit to "needed" if allowed; returns the limit, at most "needed". */
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
