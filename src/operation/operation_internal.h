/*
 * operation_internal.h
 *	  What the operation_*.c files share.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/operation/operation_internal.h
 */
#ifndef MF_OPERATION_INTERNAL_H
#define MF_OPERATION_INTERNAL_H

#include "operation/operation.h"
#include "store/operations.h"

/* Rows that MyFatoorah is to be asked about, with their invoices */
typedef struct MfOperationQuestions
{
	int64	   *ids;
	int64	   *invoices;
	int			count;
	bool		refunds;
} MfOperationQuestions;

/* Changes of a round */
typedef struct MfOperationBatch
{
	MfOperationChange *changes;
	int			change_count;
	MfOperationQuestions questions[2];	/* of refunds, and of others */
} MfOperationBatch;

/*
 * Starts a batch with room for "limit" rows, each with one change and one question at
 * most.  The functions that add do not check it.
 */
extern void mf_operation_batch_init(MfOperationBatch *batch, int limit);

/* Adds a change that leaves the row as it is, with nothing left to do; the caller says what it changes. */
extern MfOperationChange *mf_operation_batch_change(MfOperationBatch *batch, const MfOperation *operation, const char *actor);

/* Has MyFatoorah asked about the row's invoice or, of a refund, about its refunds, once the batch is written. */
extern void mf_operation_batch_ask(MfOperationBatch *batch, const MfOperation *operation);

/* Writes the changes, and orders the questions. */
extern void mf_operation_batch_write(const MfSqlScope *scope, const MfOperationBatch *batch);

/*
 * What the end of an attempt means for its row, which is "sending", or "unknown" if
 * the answer has come late.  No answer can come after "answer_by".
 */
extern void mf_operation_ended(MfOperationBatch *batch, const MfOperation *operation, MfOutcome outcome,
							   const char *refund_id, const char *error, TimestampTz now, TimestampTz answer_by);

/* Records attempts and builds requests for claimed rows, a List of MfOperation, or decides what else becomes of them. */
extern void mf_operation_decide(const MfSqlScope *scope, const MfClaim *claim, const MfAccount *account, List *rows,
								TimestampTz now);

#endif							/* MF_OPERATION_INTERNAL_H */
