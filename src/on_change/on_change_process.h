/*
 * on_change_process.h
 *	  The process that calls functions of mf_on_change() and mf_on_time(): "reactions" in
 *	  names.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/on_change/on_change_process.h
 */
#ifndef MF_ON_CHANGE_PROCESS_H
#define MF_ON_CHANGE_PROCESS_H

#include "database/sql.h"
#include "process/worker_slots.h"

/* Entry point; the argument is the database. */
extern PGDLLEXPORT void mf_reactions_main(Datum main_arg);

/* Once, in a transaction: reads the queue soon if any function is registered. */
extern void mf_reactions_start(Oid schema);

/* If the alarm of the queue is over: starts or wakes the process if a change is due, and sets the alarm. */
extern void mf_reactions_attend(const MfSlot *slot, MfRunTransaction run);

#endif							/* MF_ON_CHANGE_PROCESS_H */
