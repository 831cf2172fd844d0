/*
 * on_change_process.h
 *	  The process that tells functions of mf_on_change(), as the worker sees it.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/on_change/on_change_process.h
 */
#ifndef MF_ON_CHANGE_PROCESS_H
#define MF_ON_CHANGE_PROCESS_H

#include "datatype/timestamp.h"

#include "database/sql.h"
#include "process/worker_slots.h"

/* Once, in the worker, in a transaction */
extern void mf_reactions_start(Oid schema);

/* Something is to be told now. */
extern void mf_reactions_wake(void);

/* Starts the process, or wakes it, if something is to be told. */
extern void mf_reactions_attend(const MfSlot *slot, MfRunTransaction run_in_worker);

/* When that is needed next; 0 = not before something changes. */
extern TimestampTz mf_reactions_alarm(void);

extern PGDLLEXPORT void mf_reactions_main(Datum main_arg);

#endif							/* MF_ON_CHANGE_PROCESS_H */
