/*
 * operator_functions.c
 *	  Functions for operators: resolve (also a dispute), pause, resume, drain.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/operator_functions.c
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "base/encoding.h"
#include "base/settings.h"
#include "core/text/text.h"
#include "database/function_args.h"
#include "functions/direct_row.h"
#include "functions/invoice_actions.h"
#include "process/database_hold.h"
#include "process/wakeup.h"
#include "sending/copy_guard.h"
#include "store/inquiries_open.h"
#include "store/ledger.h"
#include "store/queue_operations.h"
#include "store/queue_pause.h"

/* last_error of an invoice whose InvoiceId a person has given without a link */
#define NO_LINK_GIVEN "a person has named the invoice and given no link; the MyFatoorah portal shows it"

static MfJob *lock_named(FunctionCallInfo fcinfo, const char *argument);
static char *required_reason(FunctionCallInfo fcinfo, int number);
static bool resolve_sent(FunctionCallInfo fcinfo, Oid schema, const MfJob *job, const char *decision, const char *reason);
static void resolve_review(FunctionCallInfo fcinfo, Oid schema, MfJob *job, const char *decision, const char *reason);
static void adopt_twin(FunctionCallInfo fcinfo, const MfJob *job, const char *reason);
static void take_number_back(Oid schema, const MfJob *job, const char *reason);
static char *invoice_id_argument(FunctionCallInfo fcinfo, const MfJob *job);
static char *invoice_url_argument(FunctionCallInfo fcinfo);

PG_FUNCTION_INFO_V1(mf_resolve);
PG_FUNCTION_INFO_V1(mf_resolve_dispute);
PG_FUNCTION_INFO_V1(mf_pause);
PG_FUNCTION_INFO_V1(mf_resume);
PG_FUNCTION_INFO_V1(mf_drain);

/* Carries out what a person has decided about an invoice, for a reason; SQL-callable. */
Datum
mf_resolve(PG_FUNCTION_ARGS)
{
	Oid			schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	MfJob	   *job = lock_named(fcinfo, "id");
	char	   *decision = mf_required_text(fcinfo, 1, "decision");
	char	   *reason = psprintf("%s: %s", decision, required_reason(fcinfo, 2));

	if (strcmp(decision, "review") == 0)
		take_number_back(schema, job, reason);
	else if (job->status != MF_STATUS_SENT || !resolve_sent(fcinfo, schema, job, decision, reason))
		resolve_review(fcinfo, schema, job, decision, reason);
	PG_RETURN_VOID();
}

/* Books how a dispute has ended, as the portal shows it to a person; SQL-callable. */
Datum
mf_resolve_dispute(PG_FUNCTION_ARGS)
{
	MfJob	   *job = lock_named(fcinfo, "invoice");
	char	   *dispute_id = mf_required_text(fcinfo, 1, "dispute_id");
	char	   *status = mf_required_text(fcinfo, 2, "status");
	char	   *reason = required_reason(fcinfo, 3);

	if (strcmp(status, "RESOLVED") != 0 && strcmp(status, "LOST") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for status: \"%.40s\"", status),
				 errhint("Valid values are: RESOLVED, LOST.")));
	if (!mf_ledger_decide_dispute(get_func_namespace(fcinfo->flinfo->fn_oid), job->invoice, dispute_id, status,
								  mf_acting_role(), reason))
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("invoice %lld has no dispute \"%.100s\"", (long long) job->invoice, dispute_id),
				 errhint("SELECT dispute_id, status FROM mf_dispute WHERE invoice = %lld shows those that webhooks have told of.",
						 (long long) job->invoice)));
	PG_RETURN_VOID();
}

/* The invoice of the first argument, which the current role may change, locked. */
static MfJob *
lock_named(FunctionCallInfo fcinfo, const char *argument)
{
	Oid			schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	MfNamed    *invoice = (MfNamed *) palloc0(sizeof(MfNamed));

	mf_require_argument(fcinfo, 0, argument);
	invoice->invoice = PG_GETARG_INT64(0);
	mf_queue_lock_named(schema, invoice, 1);
	mf_check_named(invoice, get_relname_relid("mf_invoice", schema));
	return invoice->job;
}

static char *
required_reason(FunctionCallInfo fcinfo, int number)
{
	char	   *reason = mf_reason_argument(fcinfo, number);

	if (reason == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("reason must not be empty"),
				 errhint("Give the reason for the history, such as 'portal shows invoice 6893854, paid'.")));
	return reason;
}

/* Carries out a decision about a sent invoice; false if it is not one that this invoice waits for. */
static bool
resolve_sent(FunctionCallInfo fcinfo, Oid schema, const MfJob *job, const char *decision, const char *reason)
{
	const char *actor = mf_acting_role();

	if (strcmp(decision, "dismiss") == 0 && job->duplicate_suspected)
		mf_queue_dismiss_duplicate(schema, job, actor, reason);
	else if (strcmp(decision, "dismiss") == 0)
		return mf_ledger_dismiss_doubt(schema, job->invoice, actor, reason);
	else if (strcmp(decision, "adopt") == 0 && job->duplicate_suspected)
		adopt_twin(fcinfo, job, reason);
	else
		return false;
	return true;
}

/* Carries out a decision about an invoice in review; raises an error if it is not. */
static void
resolve_review(FunctionCallInfo fcinfo, Oid schema, MfJob *job, const char *decision, const char *reason)
{
	MfTransition transition;

	if (job->status != MF_STATUS_REVIEW)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("invoice %lld is not in review", (long long) job->invoice),
				 errdetail("Its status is \"%s\".", mf_status_name(job->status)),
				 errhint("SELECT * FROM mf_review shows what needs a decision.")));

	mf_transition_begin(&transition, job->invoice, MF_STATUS_REVIEW, job->attempts, 0, mf_acting_role());
	transition.reason = reason;
	transition.duplicate = -1;

	if (strcmp(decision, "adopt") == 0)
	{
		transition.to = MF_STATUS_SENT;
		transition.invoice_id = invoice_id_argument(fcinfo, job);
		transition.invoice_url = invoice_url_argument(fcinfo);
		transition.linkless = NO_LINK_GIVEN;
	}
	else if (strcmp(decision, "resend") == 0)
		mf_queue_resend(schema, &job, &transition, 1);
	else if (strcmp(decision, "abandon") == 0)
		transition.to = MF_STATUS_CANCELLED;
	else
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for decision: \"%.40s\"", decision),
				 errhint("Valid values are: adopt, resend, abandon; dismiss for a sent invoice that is suspected of a duplicate; review for one whose InvoiceId turned out to be another's.")));

	mf_queue_apply_by_person(schema, &transition, 1);
	mf_wake_worker_at_commit();
}

/* A sent row that may have two invoices gets the number of the other one. */
static void
adopt_twin(FunctionCallInfo fcinfo, const MfJob *job, const char *reason)
{
	Oid			schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	MfTransition adoption;
	bool		too_often = false;

	memset(&adoption, 0, sizeof(adoption));
	adoption.invoice = job->invoice;
	adoption.invoice_id = invoice_id_argument(fcinfo, job);
	adoption.invoice_url = invoice_url_argument(fcinfo);
	adoption.linkless = NO_LINK_GIVEN;
	adoption.actor = mf_acting_role();
	adoption.reason = reason;
	if (!mf_queue_adopt_twin(schema, &adoption))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("invoice %lld keeps its number", (long long) job->invoice),
				 errdetail("A payment for it has come in."),
				 errhint("Refund or cancel the other invoice in the MyFatoorah portal, then decide \"dismiss\".")));
	mf_inquiries_order(schema, GetUserId(), &job->invoice, &too_often, 1);
	mf_news_at_commit(MF_NEWS_INQUIRIES);
}

/* A row whose InvoiceId was given by mistake goes back to review, where it is decided anew. */
static void
take_number_back(Oid schema, const MfJob *job, const char *reason)
{
	if (job->status != MF_STATUS_SENT)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("invoice %lld has no number to take back", (long long) job->invoice),
				 errdetail("Its status is \"%s\".", mf_status_name(job->status))));
	if (!mf_queue_take_number_back(schema, job->invoice, mf_acting_role(), reason))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("invoice %lld keeps its number", (long long) job->invoice),
				 errdetail("An answer of MyFatoorah has confirmed that the number is that of this invoice."),
				 errhint("Only a number that no answer has confirmed can be taken back.")));
	mf_news_at_commit(MF_NEWS_INQUIRIES);
}

/* The InvoiceId in the fourth argument, which no other row has; palloc'd. */
static char *
invoice_id_argument(FunctionCallInfo fcinfo, const MfJob *job)
{
	char	   *invoice_id;

	mf_require_argument(fcinfo, 3, "invoice_id");
	if (PG_GETARG_INT64(3) <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invoice_id must be greater than zero"),
				 errhint("Give the InvoiceId that the MyFatoorah portal shows.")));
	invoice_id = psprintf(INT64_FORMAT, PG_GETARG_INT64(3));
	mf_check_number_free(get_func_namespace(fcinfo->flinfo->fn_oid), job->account, invoice_id, NULL, job->invoice);
	return invoice_id;
}

/* The link in the fifth argument; NULL = none */
static char *
invoice_url_argument(FunctionCallInfo fcinfo)
{
	char	   *url = mf_optional_text(fcinfo, 4);

	if (url != NULL && !mf_link_valid(mf_to_utf8(url)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be an http or https URL", "invoice_url"),
				 errhint("Copy the link that the MyFatoorah portal shows, or give none.")));
	return url;
}

/* From the commit on nothing more is claimed for the account. */
Datum
mf_pause(PG_FUNCTION_ARGS)
{
	char	   *account = mf_required_text(fcinfo, 0, "account");

	if (strcmp(account, MF_ALL_ACCOUNTS) != 0)
		(void) mf_account_hold(account);
	mf_queue_pause(get_func_namespace(fcinfo->flinfo->fn_oid), account, mf_acting_role(), mf_reason_argument(fcinfo, 1));
	PG_RETURN_VOID();
}

/* From the commit on the account is claimed for again, without waiting for a back-off, and a drain is over. */
Datum
mf_resume(PG_FUNCTION_ARGS)
{
	Oid			schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	char	   *account = mf_required_text(fcinfo, 0, "account");
	bool		drained = mf_drained_until(MyDatabaseId) != 0;

	if (strcmp(account, MF_ALL_ACCOUNTS) == 0)
		mf_copy_guard_adopt(schema);
	else
		mf_account_hold_if_any(account);
	if (!mf_queue_resume(schema, account) && !drained)
		ereport(NOTICE,
				(errmsg("account \"%s\" was not paused; what was put off after failures is tried at once", account)));
	mf_queue_retry_account(schema, strcmp(account, MF_ALL_ACCOUNTS) == 0 ? NULL : account, InvalidOid);
	mf_end_drain_at_commit();
	mf_news_at_commit(MF_TRY_ALL | MF_NEWS_INQUIRIES);

	/* those of a restored database came without mf_on_request() */
	mf_routes_changed_at_commit();
	PG_RETURN_VOID();
}

/* Stops sending, and returns how many requests have no recorded outcome yet at the timeout. */
Datum
mf_drain(PG_FUNCTION_ARGS)
{
	Interval   *timeout;
	double		ms;

	mf_require_argument(fcinfo, 0, "timeout");
	timeout = PG_GETARG_INTERVAL_P(0);
	ms = timeout->time / 1000.0 + (timeout->day + timeout->month * (double) DAYS_PER_MONTH) * SECS_PER_DAY * 1000.0;
	if (ms < 0 || ms > SECS_PER_DAY * 1000.0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("timeout must be between zero and one day")));
	PG_RETURN_INT32(mf_drain_database(MyDatabaseId, (long) ms));
}
