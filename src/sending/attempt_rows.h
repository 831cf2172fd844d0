/*
 * attempt_rows.h
 *	  Records the start of an attempt and its acceptance without SQL.
 *
 * Nearly every invoice goes through these two changes, so their speed is that of
 * sending.  They update the rows directly, see table_rows.h.  Where that is not
 * possible, the caller does the same by the SQL of queue.h and attempts.h.
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
 * Opens the tables, once a round and in the current memory context.  Returns NULL if
 * triggers, rules or columns of users require SQL.  An abort frees all.
 */
extern MfAttemptRows *mf_attempt_rows_open(const MfSqlScope *scope);
extern void mf_attempt_rows_close(MfAttemptRows *recorder);

/*
 * Begins and ends a batch of records, in which the caller runs no SQL.  The end inserts
 * the attempts that have started, and fires AFTER triggers.
 */
extern void mf_attempt_rows_begin(MfAttemptRows *recorder);
extern void mf_attempt_rows_end(MfAttemptRows *recorder);

/*
 * Records that an attempt of a claimed job starts: the attempt, the lease until "due",
 * and the status "sending".  Stores in the flight where the rows are.  Returns false,
 * and does nothing, if the rows are not where the claim has seen them.
 */
extern bool mf_attempt_rows_start(MfAttemptRows *recorder, const MfJob *job, const MfAttempt *attempt,
								  TimestampTz due, MfFlight *flight);

/*
 * Records that an attempt was accepted: the attempt, the status "sent", and the end of
 * the agenda entry.  The caller opens an inquiry for *sent_invoice.  Returns false, and
 * does nothing, if anything is unusual: if the invoice is locked, or has changed since
 * it was claimed, or if the answer lacks a link.
 */
extern bool mf_attempt_rows_accept(MfAttemptRows *recorder, const MfFlight *flight, MfSentInvoice *sent_invoice);

#endif							/* MF_ATTEMPT_ROWS_H */
