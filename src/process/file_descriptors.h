/*
 * file_descriptors.h
 *	  File descriptors for the connections of a worker, beside PostgreSQL's own.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/process/file_descriptors.h
 */
#ifndef MF_FILE_DESCRIPTORS_H
#define MF_FILE_DESCRIPTORS_H

#include "storage/latch.h"

/* Where there are fewer than myfatoorah.max_in_flight says */
#define MF_DESCRIPTORS_HINT \
	"Raise the limit of open files of the server (ulimit -Hn, or LimitNOFILE of its service), or lower myfatoorah.max_in_flight."

/*
 * Makes room for so many connections, as far as the limits of the process allow,
 * in place of what was made before.  Returns for how many there is, at least one.
 */
extern int	mf_descriptors_for(int wanted);

/* How many of PostgreSQL's a process of ours may take for connections: it finds some left for all else. */
extern int	mf_descriptors_share(void);

/* CreateWaitEventSet() that lives as long as the process, and an error that says which setting is too low. */
extern WaitEventSet *mf_descriptors_event_set(int events);

#endif							/* MF_FILE_DESCRIPTORS_H */
