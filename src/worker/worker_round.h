/*
 * worker_round.h
 *	  The rounds of a worker: one transaction each, and what follows its failure.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/worker/worker_round.h
 */
#ifndef MF_WORKER_ROUND_H
#define MF_WORKER_ROUND_H

#include "process/worker_slots.h"
#include "process/wakeup.h"

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

#endif							/* MF_WORKER_ROUND_H */
