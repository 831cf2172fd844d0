/*
 * claim.h
 *	  Claims due entries of the agenda, records attempts, and builds their requests.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/sending/claim.h
 */
#ifndef MF_CLAIM_H
#define MF_CLAIM_H

#include "flight/claim_account.h"
#include "flight/flight.h"
#include "store/inquiries_open.h"

/*
 * Claims due entries within the limits of each account, in the caller's transaction.
 * The new flights are to be posted once it has committed.  mf_turns_alarm() is when
 * to call it again.
 */
extern void mf_claim_due(const MfSqlScope *scope, const MfClaim *claim, TimestampTz now);

/*
 * Notes that rows created until that time may have a twin: another server has them
 * too, and may have sent them.
 */
extern void mf_claim_twins_before(TimestampTz since);

/*
 * Settles invoices after "after", by id, that are "sending" without a request under
 * way, as many as the round may take: their outcome is unknown.  Returns the last
 * invoice that was read, or "after" if there is none.
 */
extern int64 mf_claim_sweep(const MfSqlScope *scope, int64 after, TimestampTz now);

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

#endif							/* MF_CLAIM_H */
