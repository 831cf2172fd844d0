/*
 * invoice_commands.c
 *	  What people do to invoices that they name: cancel, retry, refresh.
 *
 * One invoice or many go the same way.  Of one, what does not allow it is an error.
 * Of many it is the result of this one, and the others are done: they are taken in
 * batches, and a batch that fails is taken apart, down to the row that is to blame.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/invoice_commands.c
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "base/settings.h"
#include "database/function_args.h"
#include "functions/invoice_commands.h"
#include "functions/role_quota.h"
#include "process/worker_slots.h"
#include "request/request.h"
#include "store/invoice_lookup.h"
#include "store/queue_operations.h"
#include "store/refresh_requests.h"
#include "store/row_rights.h"

/* Few enough that each row may be looked for among all of them */
#define BATCH_SIZE 500

/* Results; docs/reference.md lists them */
#define CANCELLED "cancelled"
#define CANCEL_REQUESTED "cancel_requested"
#define QUEUED "queued"
#define ASKED "asked"
#define ASKED_LATER "asked_later"
#define NOT_SENT "not_sent"
#define NOT_FOUND "not_found"
#define NOT_PERMITTED "not_permitted"

typedef struct Steering Steering;

/* Does what is wanted to invoices, and tells the result of each */
typedef void (*Take) (const Steering *steering, MfNamed *named, const char **results, int count);

struct Steering
{
	Take		take;
	Oid			schema;
	Oid			table;			/* mf_invoice */
	const char *actor;
	const char *reason;			/* NULL = none */
};

/* A part of the invoices of one call */
typedef struct Batch
{
	const Steering *steering;
	MfNamed    *named;
	const char **results;
	int			count;
} Batch;

static void start_steering(Steering *steering, FunctionCallInfo fcinfo, Take take);
static void take_cancels(const Steering *steering, MfNamed *named, const char **results, int count);
static void take_retries(const Steering *steering, MfNamed *named, const char **results, int count);
static void take_refreshes(const Steering *steering, MfNamed *named, const char **results, int count);
static Datum cancel_one(FunctionCallInfo fcinfo, int64 invoice);
static Datum retry_one(FunctionCallInfo fcinfo, int64 invoice);
static Datum refresh_one(FunctionCallInfo fcinfo, int64 invoice);
static void take_deletions(const Steering *steering, MfNamed *named, const char **results, int count);
pg_noreturn static void refuse_deletion(const Steering *steering, const MfNamed *named);
static Datum steer_many(FunctionCallInfo fcinfo, Take take);
static void take_apart(Batch batch);
static void take_batch(void *argument);

PG_FUNCTION_INFO_V1(mf_cancel);
PG_FUNCTION_INFO_V1(mf_cancel_text);
PG_FUNCTION_INFO_V1(mf_cancel_many);
PG_FUNCTION_INFO_V1(mf_retry);
PG_FUNCTION_INFO_V1(mf_retry_text);
PG_FUNCTION_INFO_V1(mf_retry_many);
PG_FUNCTION_INFO_V1(mf_refresh);
PG_FUNCTION_INFO_V1(mf_refresh_text);
PG_FUNCTION_INFO_V1(mf_refresh_many);

static void
start_steering(Steering *steering, FunctionCallInfo fcinfo, Take take)
{
	steering->take = take;
	steering->schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	steering->table = get_relname_relid("mf_invoice", steering->schema);
	steering->actor = GetUserNameFromId(GetUserId(), false);
	steering->reason = PG_NARGS() > 1 ? mf_reason_argument(fcinfo, 1) : NULL;
}

/* What a status says to those who want another. */
static const char *
status_result(MfStatus status)
{
	switch (status)
	{
		case MF_STATUS_QUEUED:
			return "already_queued";
		case MF_STATUS_SENDING:
			return "being_sent";
		case MF_STATUS_SENT:
			return "already_sent";
		case MF_STATUS_REJECTED:
			return "rejected";
		case MF_STATUS_UNKNOWN:
			return "outcome_unknown";
		case MF_STATUS_REVIEW:
			return "in_review";
		case MF_STATUS_CANCELLED:
			return "already_cancelled";
		default:
			break;
	}
	elog(ERROR, "unknown status");
	return NULL;
}

/* Why an invoice that was to be locked cannot be steered by the current role, whatever its status; NULL if it can. */
static const char *
lacking_right(const Steering *steering, const MfNamed *named)
{
	if (!named->seen)
		return NOT_FOUND;
	return named->job != NULL && mf_has_row_right(steering->table, named->job->owner.role) ? NULL : NOT_PERMITTED;
}

/* A change of status by a person. */
static void
start_transition(const Steering *steering, const MfJob *job, const char *reason, MfTransition *transition)
{
	transition->invoice = job->invoice;
	transition->from = job->status;
	transition->attempt = job->attempts;
	transition->next = MF_JOB_NONE;
	transition->actor = steering->actor;
	transition->reason = steering->reason != NULL ? steering->reason : reason;
}

/*
 * Whether MyFatoorah may have an invoice that is not known to be sent: a request
 * may be under way, or nobody has looked yet what became of an earlier one, or of
 * another server's.
 */
static bool
may_exist(const MfJob *job)
{
	return job->status == MF_STATUS_SENDING || job->status == MF_STATUS_UNKNOWN ||
		(job->status == MF_STATUS_QUEUED && job->kind != MF_JOB_SEND);
}

/* Queued or rejected invoices are not sent any more; of those that may exist a look-up decides. */
static void
take_cancels(const Steering *steering, MfNamed *named, const char **results, int count)
{
	MfTransition *transitions = (MfTransition *) palloc0(count * sizeof(MfTransition));
	MfJob	  **requested = (MfJob **) palloc(count * sizeof(MfJob *));
	int			transition_count = 0;
	int			requested_count = 0;
	int			i;

	mf_queue_lock_named(steering->schema, named, count);
	for (i = 0; i < count; i++)
	{
		MfJob	   *job = named[i].job;

		results[i] = lacking_right(steering, &named[i]);
		if (results[i] != NULL)
			continue;
		if (may_exist(job))
		{
			results[i] = CANCEL_REQUESTED;
			if (!job->cancel_requested)
				requested[requested_count++] = job;
		}
		else if (job->status == MF_STATUS_QUEUED || job->status == MF_STATUS_REJECTED)
		{
			results[i] = CANCELLED;
			start_transition(steering, job, "cancelled", &transitions[transition_count]);
			transitions[transition_count++].to = MF_STATUS_CANCELLED;
		}
		else
			results[i] = status_result(job->status);
	}
	if (transition_count > 0)
		mf_queue_apply_by_person(steering->schema, transitions, transition_count);
	if (requested_count > 0)
		mf_queue_request_cancel(steering->schema, requested, requested_count, steering->actor,
								steering->reason == NULL ? "cancel requested" :
								psprintf("cancel requested: %s", steering->reason));
}

/* Rejected invoices are sent again, each under a reference of its own, unless an original of this copy has done so. */
static void
take_retries(const Steering *steering, MfNamed *named, const char **results, int count)
{
	MfTransition *transitions = (MfTransition *) palloc0(count * sizeof(MfTransition));
	MfJob	  **jobs = (MfJob **) palloc(count * sizeof(MfJob *));
	int			job_count = 0;
	int			i;

	mf_queue_lock_named(steering->schema, named, count);
	for (i = 0; i < count; i++)
	{
		MfJob	   *job = named[i].job;

		results[i] = lacking_right(steering, &named[i]);
		if (results[i] != NULL)
			continue;
		results[i] = job->status == MF_STATUS_REJECTED ? QUEUED : status_result(job->status);
		if (job->status != MF_STATUS_REJECTED)
			continue;
		start_transition(steering, job, "retry", &transitions[job_count]);
		jobs[job_count++] = job;
	}
	if (job_count == 0)
		return;
	mf_queue_resend(steering->schema, jobs, transitions, job_count);
	mf_queue_apply_by_person(steering->schema, transitions, job_count);
	mf_wake_worker_at_commit();
}

/* Has the worker ask about sent invoices now, or later if the current role has asked too much. */
static void
take_refreshes(const Steering *steering, MfNamed *named, const char **results, int count)
{
	int			i;

	PreventCommandIfReadOnly("mf_refresh()");
	mf_queue_find_named(steering->schema, named, count);
	for (i = 0; i < count; i++)
	{
		bool		too_often;

		results[i] = !named[i].seen ? NOT_FOUND : NOT_SENT;
		if (!named[i].sent)
			continue;
		too_often = !mf_quota_take(GetUserId());
		mf_refresh_at_commit(steering->schema, GetUserId(), named[i].invoice, too_often);
		results[i] = too_often ? ASKED_LATER : ASKED;
	}
	mf_wake_inquiries_at_commit();
}

/* The invoices of rows that were deleted: none is cancelled unless all can be. */
static void
take_deletions(const Steering *steering, MfNamed *named, const char **results, int count)
{
	MfTransition *transitions = (MfTransition *) palloc0(count * sizeof(MfTransition));
	int			transition_count = 0;
	int			i;

	mf_queue_lock_named(steering->schema, named, count);
	for (i = 0; i < count; i++)
	{
		MfJob	   *job = named[i].job;

		if (lacking_right(steering, &named[i]) != NULL || may_exist(job) || job->status == MF_STATUS_SENT || job->status == MF_STATUS_REVIEW)
		{
			MfExistence existence = mf_queue_existence(steering->schema, named[i].invoice);

			/* what is gone, or cannot be paid any more, needs not be cancelled */
			if (existence == MF_ROW_GONE || (existence == MF_LINK_DEAD && named[i].job != NULL))
				continue;
			if (existence == MF_ROW_ARCHIVED)
				mf_refuse_archived(named[i].invoice);
			refuse_deletion(steering, &named[i]);
		}
		if (job->status == MF_STATUS_CANCELLED)
			continue;
		start_transition(steering, job, NULL, &transitions[transition_count]);
		transitions[transition_count++].to = MF_STATUS_CANCELLED;
	}
	if (transition_count > 0)
		mf_queue_apply_by_person(steering->schema, transitions, transition_count);
}

void
mf_refuse_archived(int64 invoice)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("invoice " INT64_FORMAT " was paid, and is archived", invoice),
			 errdetail("Its row is not changed or deleted: what was paid and the row would differ."),
			 errhint("To go on without the invoice, empty the column that has its id first; mf_invoice_all keeps it.")));
}

/* A row is not deleted whose invoice may be paid, or is another's. */
static void
refuse_deletion(const Steering *steering, const MfNamed *named)
{
	const char *status;

	if (named->job == NULL)
		mf_check_named(&(MfNamed) {named->invoice, true, NULL, false}, true);
	mf_check_row_right(named->invoice, steering->table, named->job->owner.role);
	status = mf_status_name(named->job->status);
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("invoice " INT64_FORMAT " cannot be cancelled with its row", named->invoice),
			 may_exist(named->job) ? errdetail("Its status is \"%s\", and it may exist already.", status) :
			 errdetail("Its status is \"%s\".", status),
			 named->job->status == MF_STATUS_SENT ?
			 errhint("Cancel it in the MyFatoorah portal, and delete the row once payment_status says so; mf_refresh(" INT64_FORMAT ") asks. To keep the invoice, empty the column that has its id first.",
					 named->invoice) :
			 named->job->status == MF_STATUS_REVIEW ?
			 errhint("Decide about it first with mf_resolve(" INT64_FORMAT ", 'abandon', 'reason').", named->invoice) :
			 errhint("Call mf_cancel(" INT64_FORMAT "), and delete the row once the invoice is cancelled.", named->invoice)));
}

void
mf_cancel_deleted(Oid schema, MfNamed *named, int count, const char *reason)
{
	Steering	steering = {take_deletions, schema, get_relname_relid("mf_invoice", schema),
	GetUserNameFromId(GetUserId(), false), reason};
	int			i;

	for (i = 0; i < count; i += BATCH_SIZE)
	{
		Batch		batch = {&steering, &named[i], NULL, Min(BATCH_SIZE, count - i)};

		take_batch(&batch);
	}
}

void
mf_check_named(const MfNamed *named, bool locked)
{
	if (!named->seen)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("invoice " INT64_FORMAT " does not exist", named->invoice),
				 errhint("Give the column \"id\" of mf_invoice, not \"invoice_id\".")));
	if (locked && named->job == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for invoice " INT64_FORMAT, named->invoice),
				 errdetail("Row-level security does not let role \"%s\" update it.", GetUserNameFromId(GetUserId(), false))));
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

/*
 * The invoice of the first argument.  The forms with a text are there because
 * drivers send parameters without a type, for which PostgreSQL does not choose
 * between bigint and bigint[].
 */
static int64
id_argument(FunctionCallInfo fcinfo, bool is_text)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("id must not be null")));
	return is_text ? DatumGetInt64(DirectFunctionCall1(int8in, CStringGetDatum(text_to_cstring(PG_GETARG_TEXT_PP(0))))) :
		PG_GETARG_INT64(0);
}

Datum
mf_cancel(PG_FUNCTION_ARGS)
{
	return cancel_one(fcinfo, id_argument(fcinfo, false));
}

Datum
mf_cancel_text(PG_FUNCTION_ARGS)
{
	return cancel_one(fcinfo, id_argument(fcinfo, true));
}

Datum
mf_cancel_many(PG_FUNCTION_ARGS)
{
	return steer_many(fcinfo, take_cancels);
}

Datum
mf_retry(PG_FUNCTION_ARGS)
{
	return retry_one(fcinfo, id_argument(fcinfo, false));
}

Datum
mf_retry_text(PG_FUNCTION_ARGS)
{
	return retry_one(fcinfo, id_argument(fcinfo, true));
}

Datum
mf_retry_many(PG_FUNCTION_ARGS)
{
	return steer_many(fcinfo, take_retries);
}

Datum
mf_refresh(PG_FUNCTION_ARGS)
{
	return refresh_one(fcinfo, id_argument(fcinfo, false));
}

Datum
mf_refresh_text(PG_FUNCTION_ARGS)
{
	return refresh_one(fcinfo, id_argument(fcinfo, true));
}

Datum
mf_refresh_many(PG_FUNCTION_ARGS)
{
	return steer_many(fcinfo, take_refreshes);
}

static Datum
cancel_one(FunctionCallInfo fcinfo, int64 invoice)
{
	MfNamed		named = {invoice, false, NULL, false};
	const char *result;
	Steering	steering;

	start_steering(&steering, fcinfo, take_cancels);
	take_cancels(&steering, &named, &result, 1);
	mf_check_named(&named, true);
	mf_check_row_right(invoice, steering.table, named.job->owner.role);
	if (strcmp(result, CANCEL_REQUESTED) == 0)
		ereport(NOTICE,
				(errmsg("invoice " INT64_FORMAT " is \"%s\" and may exist already", invoice, mf_status_name(named.job->status)),
				 errdetail("If it turns out that it does not, it is cancelled instead of sent.")));
	else if (strcmp(result, CANCELLED) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("invoice " INT64_FORMAT " cannot be cancelled", invoice),
				 errdetail("Its status is \"%s\".", mf_status_name(named.job->status)),
				 errhint("A sent invoice is cancelled in the MyFatoorah portal; one in review is decided with mf_resolve().")));
	PG_RETURN_VOID();
}

static Datum
retry_one(FunctionCallInfo fcinfo, int64 invoice)
{
	MfNamed		named = {invoice, false, NULL, false};
	const char *result;
	Steering	steering;

	start_steering(&steering, fcinfo, take_retries);
	take_retries(&steering, &named, &result, 1);
	mf_check_named(&named, true);
	mf_check_row_right(invoice, steering.table, named.job->owner.role);
	if (strcmp(result, QUEUED) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("invoice " INT64_FORMAT " cannot be sent again", invoice),
				 errdetail("Its status is \"%s\".", mf_status_name(named.job->status)),
				 errhint("Only rejected invoices can; correct the row with UPDATE first.")));
	PG_RETURN_VOID();
}

static Datum
refresh_one(FunctionCallInfo fcinfo, int64 invoice)
{
	MfNamed		named = {invoice, false, NULL, false};
	const char *result;
	Steering	steering;

	start_steering(&steering, fcinfo, take_refreshes);
	take_refreshes(&steering, &named, &result, 1);
	mf_check_named(&named, false);
	if (strcmp(result, NOT_SENT) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("invoice " INT64_FORMAT " has not been sent", invoice),
				 errhint("Only an invoice whose status is \"sent\" can be asked about.")));
	PG_RETURN_VOID();
}

/* The invoices of the first argument, each once, in the order of their ids; whether it has a null. */
static MfNamed *
ids_argument(FunctionCallInfo fcinfo, int *count, bool *has_null)
{
	Datum	   *values;
	bool	   *nulls;
	MfNamed    *named;
	int16		length;
	bool		by_value;
	char		align;
	int			given;
	int			i;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("ids must not be null"),
				 errhint("ARRAY(SELECT id ...) is empty, not null, if there are no rows.")));
	get_typlenbyvalalign(INT8OID, &length, &by_value, &align);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), INT8OID, length, by_value, align, &values, &nulls, &given);
	named = (MfNamed *) palloc0(Max(given, 1) * sizeof(MfNamed));
	*has_null = false;
	*count = 0;
	for (i = 0; i < given; i++)
	{
		if (nulls[i])
			*has_null = true;
		else
			named[(*count)++].invoice = DatumGetInt64(values[i]);
	}
	qsort(named, *count, sizeof(MfNamed), mf_compare_named);
	given = *count;
	*count = 0;
	for (i = 0; i < given; i++)
	{
		if (i == 0 || named[i].invoice != named[*count - 1].invoice)
			named[(*count)++] = named[i];
	}
	return named;
}

/* Does it to all invoices of the first argument, and returns a row (id, result) for each. */
static Datum
steer_many(FunctionCallInfo fcinfo, Take take)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Steering	steering;
	bool		has_null;
	int			count;
	MfNamed    *named = ids_argument(fcinfo, &count, &has_null);
	const char **results = (const char **) palloc0(Max(count, 1) * sizeof(char *));
	int			i;

	start_steering(&steering, fcinfo, take);
	mf_start_rows(fcinfo);

	/* who may do it to none at all gets an error, not a result */
	take(&steering, named, results, 0);
	for (i = 0; i < count; i += BATCH_SIZE)
	{
		Batch		batch = {&steering, &named[i], &results[i], Min(BATCH_SIZE, count - i)};

		take_apart(batch);
	}
	for (i = 0; i < count + has_null; i++)
	{
		Datum		values[2];
		bool		nulls[2] = {i == count, false};

		values[0] = nulls[0] ? (Datum) 0 : Int64GetDatum(named[i].invoice);
		values[1] = CStringGetTextDatum(nulls[0] ? NOT_FOUND : results[i]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* Takes a batch, or, if that fails, its halves. */
static void
take_apart(Batch batch)
{
	Batch		half = batch;
	ErrorData  *error;

	CHECK_FOR_INTERRUPTS();
	error = mf_sql_try(take_batch, &batch);
	if (error == NULL)
		return;
	if (mf_error_is_systemic(error))
		ReThrowError(error);
	if (batch.count == 1)
	{
		batch.results[0] = psprintf("failed: %s", mf_error_text(error));
		return;
	}
	half.count = batch.count / 2;
	take_apart(half);
	half.named = &batch.named[half.count];
	half.results = &batch.results[half.count];
	half.count = batch.count - half.count;
	take_apart(half);
}

/* In memory of its own: the results are constants. */
static void
take_batch(void *argument)
{
	const Batch *batch = (const Batch *) argument;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "myfatoorah batch of invoices", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	int			i;

	/* of an earlier try, which was undone */
	for (i = 0; i < batch->count; i++)
	{
		batch->named[i].seen = batch->named[i].sent = false;
		batch->named[i].job = NULL;
	}
	batch->steering->take(batch->steering, batch->named, batch->results, batch->count);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}
