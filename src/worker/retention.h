/*
 * retention.h
 *	  Deletes rows, and empties personal data, that are past their retention time.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/worker/retention.h
 */
#ifndef MF_RETENTION_H
#define MF_RETENTION_H

#include "database/sql.h"
#include "process/worker_slots.h"

/*
 * Processes a batch of each table for which it is time, by "run".  *next, when the worker
 * wakes up next, is moved forward while a table may have more rows; an idle worker is
 * not woken otherwise.  A failure is shown in the slot, and logged once in a row.
 */
extern void mf_retention_attend(MfSlot *slot, MfRunTransaction run, TimestampTz *next);

#endif							/* MF_RETENTION_H */
