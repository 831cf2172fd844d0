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
 * Processes a batch of each table if it is time.  An idle worker is not woken for it,
 * but *next is moved forward while there may be more rows.  A failure is shown in the
 * slot and logged.
 */
extern void mf_retention_attend(MfSlot *slot, MfRunTransaction run_apart, TimestampTz *next);

#endif							/* MF_RETENTION_H */
