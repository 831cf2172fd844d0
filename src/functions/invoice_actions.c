/*
 * invoice_actions.c
 *	  What people can have done to invoices: cancel, retry, refresh.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/invoice_actions.c
 */
#include "postgres.h"

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "base/settings.h"
#include "database/sql_array.h"
#include "functions/invoice_actions.h"
#include "functions/role_quota.h"
#include "process/wakeup.h"
#include "store/inquiries_open.h"
#include "store/queue_operations.h"
#include "store/row_rights.h"

/* The results for invoices whose status does not allow an action */
static const char *const status_results[MF_STATUS_COUNT] = {
	[MF_STATUS_QUEUED] = "already_queued",
	[MF_STATUS_SENDING] = "being_sent",
	[MF_STATUS_SENT] = "already_sent",
	[MF_STATUS_REJECTED] = "rejected",
	[MF_STATUS_UNKNOWN] = "outcome_unknown",
	[MF_STATUS_REVIEW] = "in_review",
	[MF_STATUS_CANCELLED] = "already_cancelled",
};

static bool must_be_cancelled(const MfCommand *command, const MfNamed *named);
pg_noreturn static void refuse_deletion(const MfCommand *command, const MfNamed *named);

void
mf_command_init(MfCommand *command, Oid schema, const char *reason)
{
	command->schema = schema;
	command->table = get_relname_relid("mf_invoice", schema);
	command->actor = mf_acting_role();
	command->reason = reason;
}

char *
mf_reason_argument(FunctionCallInfo fcinfo, int number)
{
	char	   *reason;

	if (PG_ARGISNULL(number))
		return NULL;
	reason = mf_clean_text(text_to_cstring(PG_GETARG_TEXT_PP(number)), MF_CLEAN_TEXT);
	if (reason[0] == '\0')
		return NULL;
	if (pg_mbstrlen(reason) > MF_TEXT_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("reason is too long"),
				 errdetail("It has %d characters; the limit is %d.", pg_mbstrlen(reason), MF_TEXT_MAX),
				 errhint("Shorten it.")));
	return reason;
}

void
mf_action_run(MfAction action, const MfCommand *command, MfNamed *named, const char **results, int count)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "myfatoorah batch of invoices", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	int			i;

	/* an earlier call may have failed */
	for (i = 0; i < count; i++)
	{
		named[i].seen = named[i].sent = named[i].archived = named[i].refused = false;
		named[i].job = NULL;
	}
	action(command, named, results, count);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/* The result if the current role may do nothing to an invoice that was to be locked; NULL if it may. */
static const char *
missing_right(const MfCommand *command, const MfNamed *named)
{
	if (!named->seen)
		return named->archived ? MF_RESULT_ARCHIVED : MF_RESULT_NOT_FOUND;
	return named->job != NULL && mf_has_row_right(command->table, named->job->owner.role) ? NULL : MF_RESULT_NOT_PERMITTED;
}

/* Fills a transition except for its new status.  "reason" is used if the person has given none. */
static void
init_transition(MfTransition *transition, const MfCommand *command, const MfJob *job, const char *reason)
{
	transition->invoice = job->invoice;
	transition->from = job->status;
	transition->attempt = job->attempts;
	transition->next = MF_JOB_NONE;
	transition->actor = command->actor;
	transition->reason = command->reason != NULL ? command->reason : reason;
}

/*
 * Whether MyFatoorah may have an invoice that is not known to be sent: a request
 * may be under way, or it was not yet looked up what became of an earlier one, or
 * of one of another server.
 */
static bool
may_exist(const MfJob *job)
{
	return job->status == MF_STATUS_SENDING || job->status == MF_STATUS_UNKNOWN ||
		(job->status == MF_STATUS_QUEUED && job->kind != MF_JOB_SEND);
}

/* Cancels queued and rejected invoices.  For those that may exist, a look-up decides later. */
void
mf_action_cancel(const MfCommand *command, MfNamed *named, const char **results, int count)
{
	MfTransition *transitions = (MfTransition *) palloc0(count * sizeof(MfTransition));
	MfJob	  **requested = (MfJob **) palloc(count * sizeof(MfJob *));
	int			transition_count = 0;
	int			requested_count = 0;
	int			i;

	mf_queue_find_refused(command->schema, named, count);
	mf_queue_lock_named(command->schema, named, count);
	for (i = 0; i < count; i++)
	{
		MfJob	   *job = named[i].job;

		results[i] = missing_right(command, &named[i]);
		if (results[i] != NULL)
			continue;
		if (may_exist(job))
		{
			results[i] = MF_RESULT_CANCEL_REQUESTED;
			if (!job->cancel_requested)
				requested[requested_count++] = job;
		}
		else if (job->status == MF_STATUS_QUEUED || job->status == MF_STATUS_REJECTED)
		{
			results[i] = MF_RESULT_CANCELLED;
			init_transition(&transitions[transition_count], command, job, "cancelled");
			transitions[transition_count++].to = MF_STATUS_CANCELLED;
		}
		else
			results[i] = status_results[job->status];
	}
	if (transition_count > 0)
		mf_queue_apply_by_person(command->schema, transitions, transition_count);
	if (requested_count > 0)
		mf_queue_request_cancel(command->schema, requested, requested_count, command->actor,
								command->reason == NULL ? "cancel requested" :
								psprintf("cancel requested: %s", command->reason));
}

/* Queues rejected invoices again, each under a new reference. */
void
mf_action_retry(const MfCommand *command, MfNamed *named, const char **results, int count)
{
	MfTransition *transitions = (MfTransition *) palloc0(count * sizeof(MfTransition));
	MfJob	  **jobs = (MfJob **) palloc(count * sizeof(MfJob *));
	int			job_count = 0;
	int			i;

	mf_queue_find_refused(command->schema, named, count);
	mf_queue_lock_named(command->schema, named, count);
	for (i = 0; i < count; i++)
	{
		MfJob	   *job = named[i].job;

		results[i] = missing_right(command, &named[i]);
		if (results[i] != NULL)
			continue;
		results[i] = job->status == MF_STATUS_REJECTED ? MF_RESULT_QUEUED : status_results[job->status];
		if (job->status != MF_STATUS_REJECTED)
			continue;
		init_transition(&transitions[job_count], command, job, "retry");
		jobs[job_count++] = job;
	}
	if (job_count == 0)
		return;
	mf_queue_resend(command->schema, jobs, transitions, job_count);
	mf_queue_apply_by_person(command->schema, transitions, job_count);
	mf_wake_worker_at_commit();
}

/* Requests inquiries about sent invoices, which are delayed if the quota of the current role is used up. */
void
mf_action_refresh(const MfCommand *command, MfNamed *named, const char **results, int count)
{
	int			i;

	PreventCommandIfReadOnly("mf_refresh()");
	mf_queue_find_named(command->schema, named, count);
	for (i = 0; i < count; i++)
	{
		bool		too_often;

		results[i] = named[i].seen ? MF_RESULT_NOT_SENT : named[i].archived ? MF_RESULT_ARCHIVED : MF_RESULT_NOT_FOUND;
		if (!named[i].sent)
			continue;
		too_often = !mf_quota_take_inquiry(GetUserId());
		mf_refresh_at_commit(command->schema, GetUserId(), named[i].invoice, too_often);
		results[i] = too_often ? MF_RESULT_ASKED_LATER : MF_RESULT_ASKED;
	}
	mf_news_at_commit(MF_NEWS_INQUIRIES);
}

/* Cancels the invoices of rows that were deleted, and what has replaced them; raises an error unless all can be. */
static void
cancel_with_rows(const MfCommand *command, MfNamed *named, const char **results, int count)
{
	MfTransition *transitions = (MfTransition *) palloc0(count * sizeof(MfTransition));
	MfNamed    *replacements = (MfNamed *) palloc0(count * sizeof(MfNamed));
	int			transition_count = 0;
	int			replacement_count = 0;
	int			i;

	mf_queue_lock_named(command->schema, named, count);
	for (i = 0; i < count; i++)
	{
		if (named[i].job != NULL && named[i].job->replaced_by != 0)
			replacements[replacement_count++].invoice = named[i].job->replaced_by;
		if (!must_be_cancelled(command, &named[i]))
			continue;
		init_transition(&transitions[transition_count], command, named[i].job, NULL);
		transitions[transition_count++].to = MF_STATUS_CANCELLED;
	}
	if (transition_count > 0)
		mf_queue_apply_by_person(command->schema, transitions, transition_count);
	/* two of them may have been replaced by the same one */
	if (replacement_count > 0)
		cancel_with_rows(command, replacements, NULL, mf_named_sort(replacements, replacement_count));
}

int
mf_named_sort(MfNamed *named, int count)
{
	int			left = 0;
	int			i;

	qsort(named, count, sizeof(MfNamed), mf_compare_ids);
	for (i = 0; i < count; i++)
	{
		if (i == 0 || named[i].invoice != named[left - 1].invoice)
			named[left++] = named[i];
	}
	return left;
}

/*
 * Returns false if the invoice of a deleted row need not be cancelled, because it does not
 * exist, cannot be paid any more or is cancelled.  Raises an error if it cannot be cancelled.
 */
static bool
must_be_cancelled(const MfCommand *command, const MfNamed *named)
{
	const MfJob *job = named->job;
	MfExistence existence;

	if (missing_right(command, named) == NULL && !may_exist(job) &&
		job->status != MF_STATUS_SENT && job->status != MF_STATUS_REVIEW)
		return job->status != MF_STATUS_CANCELLED;

	existence = mf_queue_existence(command->schema, named->invoice);
	if (existence == MF_ROW_GONE || (existence == MF_LINK_DEAD && job != NULL))
		return false;
	if (existence == MF_ROW_ARCHIVED)
		mf_refuse_archived(named->invoice);
	refuse_deletion(command, named);
}

void
mf_refuse_archived(int64 invoice)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("invoice %lld was paid, and is archived", (long long) invoice),
			 errdetail("Its row cannot be changed or deleted, because the row would then differ from what was paid."),
			 errhint("To go on without the invoice, empty the column that has its id first; mf_invoice_all keeps it.")));
}

/* Raises the error for a row whose invoice may be paid, or is not the current role's to cancel. */
static void
refuse_deletion(const MfCommand *command, const MfNamed *named)
{
	const char *status;

	if (named->job == NULL)
		mf_check_named(&(MfNamed) {.invoice = named->invoice, .seen = true}, command->table);
	mf_check_row_right(named->invoice, command->table, named->job->owner.role);
	status = mf_status_name(named->job->status);
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("invoice %lld cannot be cancelled with its row", (long long) named->invoice),
			 may_exist(named->job) ? errdetail("Its status is \"%s\", and it may exist already.", status) :
			 errdetail("Its status is \"%s\".", status),
			 named->job->status == MF_STATUS_SENT ?
			 errhint("Cancel it in the MyFatoorah portal, and delete the row once payment_status says so; mf_refresh(%lld) asks. To keep the invoice, empty the column that has its id first.",
					 (long long) named->invoice) :
			 named->job->status == MF_STATUS_REVIEW ?
			 errhint("Decide about it first with mf_resolve(%lld, 'abandon', 'reason').", (long long) named->invoice) :
			 errhint("Call mf_cancel(%lld), and delete the row once the invoice is cancelled.", (long long) named->invoice)));
}

void
mf_cancel_deleted(Oid schema, MfNamed *named, int count, const char *reason)
{
	MfCommand	command;
	int			i;

	mf_command_init(&command, schema, reason);
	for (i = 0; i < count; i += MF_ACTION_BATCH)
		mf_action_run(cancel_with_rows, &command, &named[i], NULL, Min(MF_ACTION_BATCH, count - i));
}

void
mf_refuse_missing(const MfNamed *named)
{
	if (named->archived)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("invoice %lld is archived", (long long) named->invoice),
				 errhint("A member of \"%s\" brings it back: SELECT mf_unarchive(ARRAY[%lld])", MF_OPERATE_ROLE,
						 (long long) named->invoice)));
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("invoice %lld does not exist", (long long) named->invoice),
			 errhint("Give the column \"id\" of mf_invoice, not \"invoice_id\".")));
}

void
mf_check_named(const MfNamed *named, Oid table)
{
	if (!named->seen)
		mf_refuse_missing(named);
	if (!OidIsValid(table))
		return;
	if (named->refused)
		mf_check_row_right(named->invoice, table, named->creator);
	if (named->job == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for invoice %lld", (long long) named->invoice),
				 errdetail("Row-level security does not let role \"%s\" update it.", GetUserNameFromId(GetUserId(), false))));
	mf_check_row_right(named->invoice, table, named->job->owner.role);
}
