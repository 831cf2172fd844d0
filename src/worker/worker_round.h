/*
 * worker_round.h
 *	  The rounds of a worker: one transaction each, and what follows a failure.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/worker/worker_round.h
 */
#ifndef MF_WORKER_ROUND_H
#define MF_WORKER_ROUND_H

#include "process/worker_slots.h"
#include "process/wakeup.h"

/* Once, before the first round: whose rounds they are. */
extern void mf_round_start(MfSlot *slot, Oid extension, Oid schema);

/*
 * One round in one transaction, and what it claimed posted after its commit.
 * False if the extension is gone.  *again is when the next one is needed without
 * being woken, 0 = never.
 */
extern bool mf_round_run(TimestampTz *again);

/* The latest round has failed, and not because of a single item: nothing but *again counts. */
extern bool mf_round_failing(void);

/*
 * Somebody has mended something: bits of MfTryNow tell what.  Where it was an
 * operator, nothing is put off any more.
 */
extern void mf_round_try_now(uint32 what);

/*
 * The last rounds: they record every outcome and answer that there is, and
 * nothing cancels them.  Nobody's lock keeps them waiting for long.
 */
extern void mf_round_finish(void);

#endif							/* MF_WORKER_ROUND_H */
