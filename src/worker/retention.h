/*
 * retention.h
 *	  Deletes or empties what is past its retention time, apart from sending.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/worker/retention.h
 */
#ifndef MF_RETENTION_H
#define MF_RETENTION_H

#include "database/sql.h"
#include "process/worker_slots.h"

/*
 * Deletes or empties a batch in passing if it is time: an idle worker is not woken
 * to look, but "again" is moved forward while there may be more.  If that fails,
 * nothing else does, and the slot says so.
 */
extern void mf_retention_attend(MfSlot *slot, MfRunTransaction run_apart, TimestampTz *again);

#endif							/* MF_RETENTION_H */
