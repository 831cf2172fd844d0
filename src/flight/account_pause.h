/*
 * account_pause.h
 *	  Pauses accounts whose key MyFatoorah refuses.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/flight/account_pause.h
 */
#ifndef MF_ACCOUNT_PAUSE_H
#define MF_ACCOUNT_PAUSE_H

#include "database/sql.h"
#include "flow/throttle.h"

/*
 * Pauses an account in this worker at once, and in mf_account by the next
 * mf_pause_attend().  "by" is a constant; "reason" is copied and may be NULL.
 */
extern void mf_pause_account(MfThrottle *throttle, const char *by, const char *reason);

/*
 * Writes pauses to mf_account, each in a transaction of its own by "run_apart", so that
 * one that fails or meets a lock leaves the others alone.
 */
extern void mf_pause_attend(MfRunTransaction run_apart);

/* When mf_pause_attend() is to be called; 0 = all pauses are written */
extern TimestampTz mf_pause_alarm(void);

#endif							/* MF_ACCOUNT_PAUSE_H */
