/*
 * queue_operations.h
 *	  SQL of what people do with invoices.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/queue_operations.h
 */
#ifndef MF_QUEUE_OPERATIONS_H
#define MF_QUEUE_OPERATIONS_H

#include "store/queue.h"

/* Writes into the history who has changed which columns of a row, a JSON text; see invoice_edits.h. */
extern void mf_queue_note_edit(Oid schema, int64 invoice, const char *status, int attempt, const char *changes);

/* As mf_queue_apply(), in a scope of its own; also puts back deleted entries. */
extern void mf_queue_apply_by_person(Oid schema, const MfTransition *transitions, int count);

/*
 * Has transitions queue locked rows, in the order of their ids, again, each under
 * a fresh reference that is looked up before it is sent.  Own scope.
 */
extern void mf_queue_resend(Oid schema, MfJob *const *jobs, MfTransition *transitions, int count);

/* Clears the suspicion of a duplicate, with a line in the history. Own scope. */
extern void mf_queue_dismiss_duplicate(Oid schema, const MfJob *job, const char *actor, const char *reason);

/*
 * A sent row that may exist twice is about the other invoice from now on, with a
 * line in the history; false if money has come in for the one that it has. Own scope.
 */
extern bool mf_queue_adopt_twin(Oid schema, const MfTransition *adoption);

/*
 * Notes that locked invoices that may exist are not to be sent again, with a line
 * in the history; those that are queued are looked up soon. Own scope.
 */
extern void mf_queue_request_cancel(Oid schema, MfJob *const *jobs, int count, const char *actor, const char *reason);

#endif							/* MF_QUEUE_OPERATIONS_H */
