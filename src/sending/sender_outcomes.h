/*
 * sender_outcomes.h
 *	  Records what has become of attempts and look-ups.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/sending/sender_outcomes.h
 */
#ifndef MF_SENDER_OUTCOMES_H
#define MF_SENDER_OUTCOMES_H

#include "flight/flight.h"
#include "sending/attempt_rows.h"

/*
 * Records landed flights, in the caller's transaction, and moves them from
 * "landed" to "recorded".  An invoice that somebody has locked does not hold up
 * the others: its answer goes to the attempt at once, and to the invoice later,
 * for which *again moves forward.
 */
extern void mf_sender_save_outcomes(const MfSqlScope *scope, MfAttemptRows *recorder, dlist_head *landed, dlist_head *recorded,
									TimestampTz now, TimestampTz *again);

/* Keeps the answer to an attempt with the attempt, whatever becomes of the invoice's row. */
extern void mf_sender_keep_answer(const MfSqlScope *scope, const MfFlight *flight);

#endif							/* MF_SENDER_OUTCOMES_H */
