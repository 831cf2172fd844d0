/*
 * listener_internal.h
 *	  What the parts of the listener process share.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inbound/listener_internal.h
 */
#ifndef MF_LISTENER_INTERNAL_H
#define MF_LISTENER_INTERNAL_H

#include "process/worker_slots.h"

/* Room for a line that says why the listener cannot listen */
#define MF_LISTENER_ERROR_SIZE 256

typedef struct MfListener
{
	Oid			schema;
	Oid			extension;
	MfSlot	   *slot;			/* in shared memory */
	MfListenerState *state;		/* likewise */
	MemoryContext context;		/* of a batch of requests; reset after it */
	bool		extension_dropped;
	int			max_waiting;	/* customers who may wait for a look-up */
} MfListener;

#endif							/* MF_LISTENER_INTERNAL_H */
