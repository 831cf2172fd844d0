/*
 * file_descriptors.h
 *	  File descriptors for the connections of a background worker.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/process/file_descriptors.h
 */
#ifndef MF_FILE_DESCRIPTORS_H
#define MF_FILE_DESCRIPTORS_H

#include "storage/latch.h"

/* Hint if there are fewer than myfatoorah.max_in_flight */
#define MF_DESCRIPTORS_HINT \
	"Raise the limit of open files of the server (ulimit -Hn, or LimitNOFILE of its service), or lower myfatoorah.max_in_flight."

/*
 * Reserves file descriptors for so many connections, as far as the limits allow, in
 * place of an earlier reservation.  Returns for how many, at least one.
 */
extern int	mf_descriptors_for(int wanted);

/* How many of the files that PostgreSQL may open can be used for connections instead. */
extern int	mf_descriptors_share(void);

/* CreateWaitEventSet() for the life of the process; its error names the parameter that is too low. */
extern WaitEventSet *mf_descriptors_event_set(int events);

#endif							/* MF_FILE_DESCRIPTORS_H */
