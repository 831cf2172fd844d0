/*
 * queue_operations.h
 *	  SQL of what people do with invoices: cancel, retry, resolve, edit.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/queue_operations.h
 */
#ifndef MF_QUEUE_OPERATIONS_H
#define MF_QUEUE_OPERATIONS_H

#include "store/queue.h"

/* Adds a line to the history, of what the current role has changed in a row of mf_invoice, if anything. */
extern void mf_queue_note_edit(Oid schema, Oid table, Datum before, Datum after);

/*
 * As mf_queue_apply(), in a scope of its own, for transitions that people cause.
 * Makes an entry where there is none.
 */
extern void mf_queue_apply_by_person(Oid schema, const MfTransition *transitions, int count);

/*
 * Completes transitions, one for each job, that queue locked rows again under fresh
 * references, with a look-up before each is sent.  Jobs are in the order of ids.
 * Own scope.
 */
extern void mf_queue_resend(Oid schema, MfJob *const *jobs, MfTransition *transitions, int count);

/* Clears the suspicion of a second invoice, with a line in the history. Own scope. */
extern void mf_queue_dismiss_duplicate(Oid schema, const MfJob *job, const char *actor, const char *reason);

/*
 * Gives a sent row, of which MyFatoorah has two invoices, the other one, with a line
 * in the history.  False if its present invoice was paid. Own scope.
 */
extern bool mf_queue_adopt_twin(Oid schema, const MfTransition *adoption);

/*
 * Puts a sent row back into review without its number, which a person has given it by
 * mistake, with a line in the history.  False if an answer about the row has named
 * that number. Own scope.
 */
extern bool mf_queue_take_number_back(Oid schema, int64 invoice, const char *actor, const char *reason);

/*
 * Sets cancel_requested of locked invoices that MyFatoorah may have, with lines in
 * the history: they are not sent again.  Those that are queued are looked up soon.
 * Own scope.
 */
extern void mf_queue_request_cancel(Oid schema, MfJob *const *jobs, int count, const char *actor, const char *reason);

#endif							/* MF_QUEUE_OPERATIONS_H */
