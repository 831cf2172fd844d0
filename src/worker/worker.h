/*
 * worker.h
 *	  The processes that work for a database, and what starts and stops them.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/worker/worker.h
 */
#ifndef MF_WORKER_H
#define MF_WORKER_H

#include "database/sql.h"
#include "process/wakeup.h"

/* Entry points of background workers; the argument is the database, of the launcher nothing. */
extern PGDLLEXPORT void mf_launcher_main(Datum main_arg);
extern PGDLLEXPORT void mf_database_scan_main(Datum main_arg);
extern PGDLLEXPORT void mf_worker_main(Datum main_arg);

/* Installs the hooks; from _PG_init() under shared_preload_libraries. */
extern void mf_hooks_init(void);

/* Before the first round.  The slot has its statistics and errors. */
extern void mf_round_start(MfSlot *slot, Oid extension, Oid schema);

/*
 * Runs one round, and posts after its commit the requests that it has built.
 * False if the extension was dropped.  *next is when the next round is needed
 * without being woken, 0 = never.  Raises no error: a round that fails is logged.
 */
extern bool mf_round_run(TimestampTz *next);

/*
 * The latest round failed, and not because of a single item: the next one has
 * to wait for *next.
 */
extern bool mf_round_failing(void);

/* Tries again what was put off after failures: "what" has bits of MfTryNow. */
extern void mf_round_try_now(uint32 what);

/*
 * Runs the last rounds: they record every outcome that is known, cannot be
 * cancelled, and wait for no lock for long.
 */
extern void mf_round_finish(void);

/* Before the first round: what was written by another clock is due, and extensions look at theirs. */
extern void mf_round_begin(void);

/*
 * Processes a batch of each table for which it is time, by "run".  *next, when the worker
 * wakes up next, becomes earlier while a table may have more rows, or after a failure; an
 * idle worker is not woken otherwise.  A failure is shown in the slot, and logged once in a row.
 */
extern void mf_retention_attend(MfSlot *slot, MfRunTransaction run, TimestampTz *next);

/* A retention time has been set to another one since mf_retention_attend(). */
extern bool mf_retention_changed(void);

#endif							/* MF_WORKER_H */
