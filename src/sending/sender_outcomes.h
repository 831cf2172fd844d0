/*
 * sender_outcomes.h
 *	  Records the outcomes of attempts and look-ups.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/sending/sender_outcomes.h
 */
#ifndef MF_SENDER_OUTCOMES_H
#define MF_SENDER_OUTCOMES_H

#include "flight/flight.h"
#include "sending/attempt_rows.h"

/*
 * Records the outcomes of flights in "landed", as many as the round may take, in the
 * caller's transaction, and moves these flights to "recorded".  If an invoice is
 * locked, its outcome is recorded with the attempt only, the flight stays, and
 * *next_round moves forward to when it is tried again.
 */
extern void mf_sender_save_outcomes(const MfSqlScope *scope, MfAttemptRows *recorder, dlist_head *landed,
									dlist_head *recorded, TimestampTz now, TimestampTz *next_round);

/* Records the outcome of an attempt with the attempt only. */
extern void mf_sender_keep_answer(const MfSqlScope *scope, const MfFlight *flight);

#endif							/* MF_SENDER_OUTCOMES_H */
