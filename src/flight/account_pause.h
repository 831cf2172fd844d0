/*
 * account_pause.h
 *	  Pauses that the worker makes: accounts whose key is refused.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/flight/account_pause.h
 */
#ifndef MF_ACCOUNT_PAUSE_H
#define MF_ACCOUNT_PAUSE_H

#include "database/sql.h"
#include "flow/throttle.h"

/*
 * The account sends nothing from now on, in this worker, and mf_account is to
 * say so: "by" is a constant, "reason" is copied and may be NULL.
 */
extern void mf_pause_want(MfThrottle *throttle, const char *by, const char *reason);

/*
 * Writes what is wanted, each in a transaction of its own: whoever holds a row
 * of mf_account keeps only this account waiting.
 */
extern void mf_pause_attend(MfRunTransaction run_apart);

/* When to try again what could not be written; 0 = nothing is left. */
extern TimestampTz mf_pause_alarm(void);

#endif							/* MF_ACCOUNT_PAUSE_H */
