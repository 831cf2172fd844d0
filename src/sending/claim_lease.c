/*
 * claim_lease.c
 *	  Settles invoices that are "sending" without a request under way.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/sending/claim_lease.c
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "account/account.h"
#include "account/account_option.h"
#include "base/compat.h"
#include "database/sql_array.h"
#include "flight/account_turns.h"
#include "flow/round_items.h"
#include "sending/claim_internal.h"
#include "store/row_rights.h"

/* Leases that a sweep settles in one round */
#define SWEEP_LIMIT 1000

/*
 * The lease is over without an outcome: marks the attempt unknown, and looks it up once
 * MyFatoorah cannot be processing it any more.  A process that was frozen may send it
 * as late as now.
 */
static void
set_unknown(const MfJob *job, TimestampTz now, MfAttemptEnd *end, MfTransition *transition)
{
	const char *no_account;
	const MfAccount *account = mf_account_or_null(job->account, &no_account);
	int			longest = account ? account->connect_timeout_ms + account->timeout_ms :
		MF_CONNECT_TIMEOUT_DEFAULT + MF_TIMEOUT_DEFAULT;

	memset(end, 0, sizeof(*end));
	end->invoice = job->invoice;
	end->attempt = job->attempts;
	end->outcome = MF_OUTCOME_UNKNOWN;
	end->error = "no outcome was recorded: the worker was stopped while the request was under way";
	mf_attempt_transition(end, now, TimestampTzPlusMilliseconds(now, MF_SEND_MARGIN_MS + longest), transition);
}

int64
mf_claim_sweep(const MfSqlScope *scope, int64 after, TimestampTz now)
{
	int64		last = after;
	bool		changed = false;
	List	   *claimed = mf_queue_claim_leases(scope, after, mf_items_room(SWEEP_LIMIT), now, &last, &changed);
	List	   *jobs = NIL;
	ListCell   *lc;

	foreach(lc, claimed)
	{
		if (!mf_flight_under_way(((MfJob *) lfirst(lc))->invoice, false))
			jobs = lappend(jobs, lfirst(lc));
	}
	if (jobs != NIL)
		mf_claim_settle_leases(scope, jobs, now);
	if (changed)
		mf_turns_all_changed();
	return last;
}

/*
 * If the outcome was recorded with the attempt, because the invoice was locked, it
 * counts.  If not, it is unknown.
 */
void
mf_claim_settle_leases(const MfSqlScope *scope, List *jobs, TimestampTz now)
{
	int			limit = list_length(jobs);
	MfAttemptEnd *ends = (MfAttemptEnd *) palloc0(limit * sizeof(MfAttemptEnd));
	MfTransition *transitions = (MfTransition *) palloc0(limit * sizeof(MfTransition));
	MfFollowUp *follow_ups = (MfFollowUp *) palloc0(limit * sizeof(MfFollowUp));
	int64	   *invoices = (int64 *) palloc(limit * sizeof(int64));
	List	   *recorded;
	int			lost_count = 0;
	int			transition_count = 0;
	int			follow_up_count = 0;
	ListCell   *lc;

	foreach(lc, jobs)
		invoices[foreach_current_index(lc)] = ((MfJob *) lfirst(lc))->invoice;
	recorded = mf_queue_recorded_ends(scope, invoices, limit);

	foreach(lc, jobs)
	{
		MfJob	   *job = (MfJob *) lfirst(lc);
		MfAttemptEnd *end = (MfAttemptEnd *) mf_find_id(recorded, job->invoice);

		if (job->status != MF_STATUS_SENDING)
		{
			follow_ups[follow_up_count].invoice = job->invoice;
			mf_claim_fit_entry(job, now, &follow_ups[follow_up_count++]);
		}
		else if (end != NULL && end->outcome != MF_OUTCOME_UNKNOWN)
		{
			MfTransition *transition = &transitions[transition_count++];

			if (end->outcome == MF_OUTCOME_NOT_SENT)
				end->error = pstrdup(mf_network_error(false));
			mf_attempt_transition(end, now, now, transition);
			/* if this is a copy, the original may have sent it again */
			if (transition->to == MF_STATUS_QUEUED)
				mf_claim_verify(job, now, transition);
		}
		else
			set_unknown(job, now, &ends[lost_count++], &transitions[transition_count++]);
	}

	if (lost_count > 0)
		mf_queue_end_attempts(scope, ends, lost_count, false);
	if (transition_count > 0)
		mf_queue_apply(scope, transitions, transition_count);
	if (follow_up_count > 0)
		mf_queue_follow_up(scope, follow_ups, follow_up_count);
}
