/*
 * operation_outcome.c
 *	  Decides what the end of an attempt means for a refund, capture or release.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/operation/operation_outcome.c
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/settings.h"
#include "core/api/operation.h"
#include "operation/operation_internal.h"

/* The first delay after a refusal because another refund is pending; doubled with each attempt */
#define EARLY_DELAY_MS 60000
#define EARLY_DOUBLINGS 8

void
mf_operation_batch_init(MfOperationBatch *batch, int limit)
{
	int			i;

	memset(batch, 0, sizeof(*batch));
	batch->changes = (MfOperationChange *) palloc0(limit * sizeof(MfOperationChange));
	for (i = 0; i < 2; i++)
	{
		batch->questions[i].ids = (int64 *) palloc(2 * limit * sizeof(int64));
		batch->questions[i].invoices = batch->questions[i].ids + limit;
		batch->questions[i].refunds = i == 0;
	}
}

MfOperationChange *
mf_operation_batch_change(MfOperationBatch *batch, const MfOperation *operation, const char *actor)
{
	MfOperationChange *change = &batch->changes[batch->change_count++];

	mf_operation_change_begin(change, operation, actor);
	return change;
}

void
mf_operation_batch_ask(MfOperationBatch *batch, const MfOperation *operation)
{
	MfOperationQuestions *questions = &batch->questions[operation->kind == MF_OPERATION_REFUND ? 0 : 1];

	questions->ids[questions->count] = operation->id;
	questions->invoices[questions->count++] = operation->invoice;
}

void
mf_operation_batch_write(const MfSqlScope *scope, const MfOperationBatch *batch)
{
	int			i;

	if (batch->change_count > 0)
		mf_operations_apply(scope, batch->changes, batch->change_count);
	for (i = 0; i < 2; i++)
	{
		const MfOperationQuestions *questions = &batch->questions[i];

		if (questions->count > 0)
			mf_operations_ask(scope, questions->invoices, questions->refunds, questions->ids, questions->count);
	}
}

/*
 * A definite refusal ends it.  After a refusal of the account or the pace, nothing was
 * made, it seems: a look-up makes sure, as after an answer that was lost.
 */
void
mf_operation_ended(MfOperationBatch *batch, const MfOperation *operation, MfOutcome outcome, const char *refund_id,
				   const char *error, TimestampTz now, TimestampTz answer_by)
{
	MfOperationChange *change = mf_operation_batch_change(batch, operation, "sender");
	bool		early = outcome == MF_OUTCOME_REJECTED && operation->kind == MF_OPERATION_REFUND && mf_refund_is_early(error);

	change->error = error;
	change->lookups = 0;
	if (outcome == MF_OUTCOME_ACCEPTED && operation->answer_holder != 0)
	{
		outcome = MF_OUTCOME_UNKNOWN;
		change->error = psprintf("MyFatoorah answered with RefundId %s, which is that of refund %lld", refund_id,
								 (long long) operation->answer_holder);
	}
	switch (outcome)
	{
		case MF_OUTCOME_ACCEPTED:
			change->to = MF_OPERATION_FILED;
			change->refund_id = refund_id;
			change->error = NULL;
			change->reason = refund_id ? psprintf("RefundId %s", refund_id) : "accepted";
			change->due = TimestampTzPlusMilliseconds(now, (int64) mf_poll_delay * MF_FILED_POLLS);
			mf_operation_batch_ask(batch, operation);
			break;
		case MF_OUTCOME_REJECTED:
			change->to = early ? MF_OPERATION_QUEUED : MF_OPERATION_REFUSED;
			if (early)
				change->due = TimestampTzPlusMilliseconds(now, (int64) EARLY_DELAY_MS << Min(operation->attempts - 1, EARLY_DOUBLINGS));
			break;
		case MF_OUTCOME_NOT_SENT:
			change->to = MF_OPERATION_QUEUED;
			change->lookups = 1;	/* needs no other */
			change->due = now;
			break;
		case MF_OUTCOME_THROTTLED:
		case MF_OUTCOME_ACCOUNT_PROBLEM:
		case MF_OUTCOME_UNKNOWN:
			change->to = MF_OPERATION_UNKNOWN;
			change->due = TimestampTzPlusMilliseconds(answer_by, mf_lookup_delay);
			break;
	}
	/* a row that is unknown already is changed by proof only */
	if (operation->status != MF_OPERATION_SENDING && outcome != MF_OUTCOME_ACCEPTED)
		batch->change_count--;
}
