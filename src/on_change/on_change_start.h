/*
 * on_change_start.h
 *	  Starts the process that calls functions of mf_on_change(), for the worker.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/on_change/on_change_start.h
 */
#ifndef MF_ON_CHANGE_START_H
#define MF_ON_CHANGE_START_H

#include "database/sql.h"
#include "process/worker_slots.h"

/* Once, in a transaction: reads the queue soon if any function is registered. */
extern void mf_reactions_start(Oid schema);

/* If the alarm of the queue is over: starts or wakes the process if a change is due, and sets the alarm. */
extern void mf_reactions_attend(const MfSlot *slot, MfRunTransaction run);

#endif							/* MF_ON_CHANGE_START_H */
