/*
 * database_hold.h
 *	  Sends the processes of a database away, or stops its requests, for a while.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/process/database_hold.h
 */
#ifndef MF_DATABASE_HOLD_H
#define MF_DATABASE_HOLD_H

#include "datatype/timestamp.h"

/*
 * Ends the worker, the listener and the other processes of a database, and keeps
 * them away until the end of this transaction, however it ends.  Returns when
 * they are gone, or after two seconds.  Does nothing if there is no slot for the database.
 * Needs our shared memory.
 */
extern void mf_hold_database(Oid database);

/*
 * Begins a drain: no new request leaves from a database.  Waits until the
 * outcome of all requests is recorded, or for the time-out; returns how many are
 * left.  The drain ends by mf_end_drain_at_commit() in a session of that database, or
 * by itself some minutes after the time-out.
 */
extern int	mf_drain_database(Oid database, long timeout_ms);
extern void mf_end_drain_at_commit(void);

/* Until when no new request leaves because of a drain; 0 = there is none. */
extern TimestampTz mf_drained_until(Oid database);

/* Until when no new request leaves because the worker process was stopped; 0 = it was not. */
extern TimestampTz mf_frozen_until(Oid database);

#endif							/* MF_DATABASE_HOLD_H */
