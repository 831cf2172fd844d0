/*
 * attempt_rows.h
 *	  Records the two changes that nearly every invoice goes through, and only
 *	  they: an attempt starts, and it is accepted.
 *
 * They decide how fast invoices are sent, so they go to the rows themselves
 * (table_rows.h).  The SQL of queue.h can do the same and everything else; it is
 * used where this says no.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/sending/attempt_rows.h
 */
#ifndef MF_ATTEMPT_ROWS_H
#define MF_ATTEMPT_ROWS_H

#include "flight/flight.h"
#include "store/inquiries_open.h"

typedef struct MfAttemptRows MfAttemptRows;

/*
 * Opened once a round, in its memory context; NULL if only SQL will do.  An abort
 * needs nothing.
 */
extern MfAttemptRows *mf_attempt_rows_open(const MfSqlScope *scope);
extern void mf_attempt_rows_close(MfAttemptRows *recorder);

/*
 * Around what is recorded together: no SQL of ours may run in between.  The end
 * writes the attempts that have started and fires the AFTER triggers.
 */
extern void mf_attempt_rows_begin(MfAttemptRows *recorder);
extern void mf_attempt_rows_end(MfAttemptRows *recorder);

/*
 * The attempt, the lease until "due" and the status "sending" of a job that was
 * just claimed.  Notes in the flight where the rows are.  False, and nothing is
 * done, if they are not where the claim has seen them.
 */
extern bool mf_attempt_rows_start(MfAttemptRows *recorder, const MfJob *job, const MfAttempt *attempt,
								  TimestampTz due, MfFlight *flight);

/*
 * The accepted answer of a flight whose invoice nobody has touched since it was
 * claimed: attempt, status "sent", agenda; the caller opens the inquiry for
 * *sent_invoice.  False, and nothing is done, if there is anything unusual about
 * it or somebody has the invoice locked.
 */
extern bool mf_attempt_rows_accept(MfAttemptRows *recorder, const MfFlight *flight, MfSentInvoice *sent_invoice);

#endif							/* MF_ATTEMPT_ROWS_H */
