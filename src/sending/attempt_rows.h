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

typedef struct MfRecorder MfRecorder;

/*
 * Opened once a round, in its memory context; NULL if only SQL will do.  An abort
 * needs nothing.
 */
extern MfRecorder *mf_recorder_open(const MfSqlScope *scope);
extern void mf_recorder_close(MfRecorder *recorder);

/*
 * Around what is recorded together: no SQL of ours may run in between.  The end
 * writes the attempts that have started and fires the AFTER triggers.
 */
extern void mf_recorder_begin(MfRecorder *recorder);
extern void mf_recorder_end(MfRecorder *recorder);

/*
 * The attempt, the lease until "due" and the status "sending" of a job that was
 * just claimed.  Notes in the flight where the rows are.  False, and nothing is
 * done, if they are not where the claim has seen them.
 */
extern bool mf_record_start(MfRecorder *recorder, const MfJob *job, const MfAttempt *attempt,
							TimestampTz due, MfFlight *flight);

/*
 * The accepted answer of a flight whose invoice nobody has touched since it was
 * claimed: attempt, status "sent", agenda; the caller opens the inquiry for
 * *sent_invoice.  False, and nothing is done, if there is anything unusual about
 * it or somebody has the invoice locked.
 */
extern bool mf_record_accepted(MfRecorder *recorder, const MfFlight *flight, MfSentInvoice *sent_invoice);

#endif							/* MF_ATTEMPT_ROWS_H */
