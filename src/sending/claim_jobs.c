/*
 * claim_jobs.c
 *	  Decides what is done for claimed jobs: attempts, look-ups, or a later time.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/sending/claim_jobs.c
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "account/account.h"
#include "account/account_option.h"
#include "base/compat.h"
#include "base/log_event.h"
#include "database/digest.h"
#include "flow/round_items.h"
#include "process/wait.h"
#include "sending/claim_internal.h"
#include "store/inquiries_open.h"

/* The delay if a request for the row is under way */
#define UNDER_WAY_DELAY_MS 5000

/*
 * The delay if the key cannot be used, doubled each time, and of rows that are to be
 * verified, this many times as long.  A new key makes them due.
 */
#define NO_KEY_DELAY_MS 60000
#define NO_KEY_DOUBLINGS 6
#define NO_KEY_VERIFY_FACTOR 8

/* An invoice that has waited for longer may replace one that was paid meanwhile; and when to see what is answered */
#define ASK_AGAIN_MS 900000
#define ASKED_DELAY_MS 2000

/* A job that is sent */
typedef struct Start
{
	const MfJob *job;
	MfFlight   *flight;
} Start;

/* The decisions about the jobs of a claim */
typedef struct Decisions
{
	const MfSqlScope *scope;
	const MfClaim *claim;
	TimestampTz now;
	List	   *targets;		/* of MfClaimTarget */
	Start	   *starts;
	int			start_count;
	MfTransition *transitions;
	int			transition_count;
	MfFollowUp *follow_ups;
	int			follow_up_count;
	List	   *leases;			/* of MfJob */
} Decisions;

static void decide_job(Decisions *decisions, const MfJob *job);
static void decide_request(Decisions *decisions, const MfJob *job);
static void put_off_without_key(Decisions *decisions, const MfJob *job, const char *error);
static void put_off_throttled(Decisions *decisions, const MfJob *job, const MfClaimTarget *target);
static TimestampTz due_time(const MfJob *job, TimestampTz now);
static void put_off_early(Decisions *decisions, const MfJob *job, TimestampTz due);
static bool must_ask(const Decisions *decisions, const MfJob *job);
static void put_off_asking(Decisions *decisions, const MfJob *job);
static void check_attempts(Decisions *decisions, const MfJob *job, const MfClaimTarget *target);
static void start_send(Decisions *decisions, const MfJob *job, const List *references, const MfClaimTarget *target);
static void start_look_up(Decisions *decisions, const MfJob *job, const List *references,
						  const MfClaimTarget *target);
static void start_replay(Decisions *decisions, const MfJob *job, const List *references, const MfClaimTarget *target);
static void add_start(Decisions *decisions, const MfJob *job, MfFlight *flight);
static void put_off_until(Decisions *decisions, const MfJob *job, TimestampTz due);
static MfFollowUp *add_follow_up(Decisions *decisions, const MfJob *job);
static MfTransition *add_transition(Decisions *decisions, const MfJob *job, MfStatus to, const char *error);
static void record_starts(const MfSqlScope *scope, const MfClaim *claim, const Start *starts, int count);
static bool needs_request(const MfJob *job);
static char *expiry_error(const MfJob *job, TimestampTz now);

void
mf_claim_jobs(const MfSqlScope *scope, const MfClaim *claim, List *jobs, TimestampTz now)
{
	int			limit = list_length(jobs);
	Decisions	decisions;
	ListCell   *lc;

	memset(&decisions, 0, sizeof(decisions));
	decisions.scope = scope;
	decisions.claim = claim;
	decisions.now = now;
	decisions.starts = (Start *) palloc(limit * sizeof(Start));
	decisions.transitions = (MfTransition *) palloc0(limit * sizeof(MfTransition));
	decisions.follow_ups = (MfFollowUp *) palloc0(limit * sizeof(MfFollowUp));
	foreach(lc, jobs)
		decide_job(&decisions, (MfJob *) lfirst(lc));

	if (decisions.start_count > 0)
		record_starts(scope, claim, decisions.starts, decisions.start_count);
	if (decisions.transition_count > 0)
		mf_queue_apply(scope, decisions.transitions, decisions.transition_count);
	if (decisions.follow_up_count > 0)
		mf_queue_follow_up(scope, decisions.follow_ups, decisions.follow_up_count);
	if (decisions.leases != NIL)
		mf_claim_settle_leases(scope, decisions.leases, now);
}

static void
decide_job(Decisions *decisions, const MfJob *job)
{
	if (mf_flight_under_way(job->invoice, false))
		put_off_until(decisions, job, TimestampTzPlusMilliseconds(decisions->now, UNDER_WAY_DELAY_MS));
	else if (job->kind == MF_JOB_SENDING)
		decisions->leases = lappend(decisions->leases, unconstify(MfJob *, job));
	else if (needs_request(job))
		decide_request(decisions, job);
	else
	{
		ereport(LOG,
				(mf_log_event("entry_corrected", "the agenda entry of invoice %lld does not fit its status \"%s\"",
						(long long) job->invoice, mf_status_name(job->status))));
		mf_claim_fit_entry(job, decisions->now, add_follow_up(decisions, job));
	}
}

/* Decides about a job that is done by a request: checks the key, the role, and the time. */
static void
decide_request(Decisions *decisions, const MfJob *job)
{
	const MfClaimTarget *target;
	const char *refusal;
	TimestampTz due;

	if (job->kind == MF_JOB_SEND && job->cancel_requested)
	{
		MfTransition *transition = add_transition(decisions, job, MF_STATUS_CANCELLED, NULL);

		transition->reason = "cancelled as requested: no invoice was made";
		return;
	}
	target = mf_claim_target(decisions->claim->http, job->account, job->owner, false, &decisions->targets);
	if (target->target == NULL && target->until != 0)
		put_off_throttled(decisions, job, target);
	else if (target->target == NULL)
		put_off_without_key(decisions, job, target->error);
	else if (job->kind == MF_JOB_SEND && (refusal = mf_claim_refusal(decisions->scope, job)) != NULL)
		put_off_without_key(decisions, job, refusal);
	else if (job->kind == MF_JOB_SEND && (due = due_time(job, decisions->now)) > decisions->now)
		put_off_early(decisions, job, due);
	else if (job->kind == MF_JOB_SEND && must_ask(decisions, job))
		put_off_asking(decisions, job);
	else
		check_attempts(decisions, job, target);
}

/* When an invoice is to be sent, by its row and the present options of its account */
static TimestampTz
due_time(const MfJob *job, TimestampTz now)
{
	Datum		option = job->request.values[MF_SP_NOTIFICATION_OPTION];
	bool		notifies = !job->request.isnull[MF_SP_NOTIFICATION_OPTION] && !mf_text_is(option, "LNK");

	return mf_send_due(mf_account_get(job->account), job->send_at, notifies, now);
}

static void
put_off_early(Decisions *decisions, const MfJob *job, TimestampTz due)
{
	MfFollowUp *follow_up = add_follow_up(decisions, job);

	follow_up->due = due;
	if (due != job->send_at)
		follow_up->lookups = MF_LOOKUPS_TIMED;
}

/*
 * What was made long ago, as before an outage, is not sent in place of another before MyFatoorah has told of that.
 * Nor is what another clock has made, which may be long ago, too.
 */
static bool
must_ask(const Decisions *decisions, const MfJob *job)
{
	TimestampTz before = TimestampTzPlusMilliseconds(decisions->now, -ASK_AGAIN_MS);
	TimestampTz after = TimestampTzPlusMilliseconds(decisions->now, ASK_AGAIN_MS);

	return (job->created_at < before || job->created_at > after) &&
		mf_inquiries_ask_replaced(decisions->scope, job->invoice, job->asked_at > before);
}

static void
put_off_asking(Decisions *decisions, const MfJob *job)
{
	MfFollowUp *follow_up = add_follow_up(decisions, job);

	follow_up->due = TimestampTzPlusMilliseconds(decisions->now, ASKED_DELAY_MS);
	follow_up->lookups = MF_LOOKUPS_ASKED;
	follow_up->wait = true;
}

/*
 * Compares a row with its attempts, then starts its request.  Somebody may have
 * changed mf_invoice.attempts without the triggers of mf_invoice, or have used the id
 * of a deleted row again: what mf_attempt contains counts.  To be fast, a row without
 * attempts is believed, unless a round has just failed.
 */
static void
check_attempts(Decisions *decisions, const MfJob *job, const MfClaimTarget *target)
{
	bool		believed = job->kind == MF_JOB_SEND && job->attempts == 0 &&
		!mf_items_is_suspect(MF_ITEM_INVOICE, job->invoice);
	List	   *references = believed ? NIL : mf_queue_references(decisions->scope, job->invoice);
	int			latest = references == NIL ? 0 : ((MfReference *) linitial(references))->latest;
	MfJob		known = *job;

	if (latest > job->attempts)
	{
		ereport(LOG,
				(mf_log_event("attempts_corrected",
							  "column \"attempts\" of invoice %lld is %d, but mf_attempt has attempt %d",
						(long long) job->invoice, job->attempts, latest)));
		mf_queue_set_attempts(decisions->scope, job->invoice, latest);
		known.attempts = latest;
	}
	if (job->kind == MF_JOB_REPLAY)
		start_replay(decisions, job, latest > job->attempts ? NIL : references, target);
	else if (job->kind != MF_JOB_SEND)
		start_look_up(decisions, &known, references, target);
	else if (latest > job->attempts)
		mf_claim_fit_entry(job, decisions->now, add_follow_up(decisions, job));
	else
		start_send(decisions, job, references, target);
}

/*
 * Puts off a job whose key cannot be used.  The row waits, and not its account, because
 * other roles have keys of their own.  If the role is gone, no look-up is possible any
 * more, so a person decides.
 */
static void
put_off_without_key(Decisions *decisions, const MfJob *job, const char *error)
{
	if ((job->status == MF_STATUS_UNKNOWN || job->cancel_requested) && mf_account_owner_is_gone(job->owner))
	{
		MfTransition *transition = add_transition(decisions, job, MF_STATUS_REVIEW,
												  psprintf("%s, and it cannot be looked up: %s",
														   job->status == MF_STATUS_UNKNOWN ? "outcome unknown" :
														   "it is to be cancelled and may exist", error));

		transition->next = MF_JOB_REVIEW;
		transition->due = DT_NOEND;
		transition->actor = "reconciler";
	}
	else
	{
		MfFollowUp *follow_up = add_follow_up(decisions, job);
		int64		delay = (int64) NO_KEY_DELAY_MS << Min(job->lookups, NO_KEY_DOUBLINGS);

		/* of other jobs it counts look-ups */
		if (job->kind == MF_JOB_SEND)
			follow_up->lookups = Min(job->lookups + 1, NO_KEY_DOUBLINGS);
		else
			follow_up->put_off = true;
		if (job->kind == MF_JOB_VERIFY)
			delay = (int64) NO_KEY_DELAY_MS * NO_KEY_VERIFY_FACTOR;
		follow_up->due = TimestampTzPlusMilliseconds(decisions->now, delay);
		follow_up->error = error;
	}
}

/* Puts off a job whose key MyFatoorah throttles. */
static void
put_off_throttled(Decisions *decisions, const MfJob *job, const MfClaimTarget *target)
{
	MfFollowUp *follow_up = add_follow_up(decisions, job);

	/* if it is not 0, a new key or mf_resume() makes the entry due; of other jobs it counts look-ups */
	if (job->kind == MF_JOB_SEND)
		follow_up->lookups = Min(job->lookups + 1, NO_KEY_DOUBLINGS);
	follow_up->due = target->until;
	follow_up->wait = true;
	follow_up->error = target->error;
}

static void
start_send(Decisions *decisions, const MfJob *job, const List *references, const MfClaimTarget *target)
{
	const char *error = expiry_error(job, decisions->now);

	if (error != NULL)
		(void) add_transition(decisions, job, MF_STATUS_REJECTED, error);
	else
		add_start(decisions, job, mf_claim_create_flight(decisions->claim, job, references, target->target,
														 mf_claim_proof(decisions->scope, target)));
}

/* Repeats the request of an invoice that was found; if that may not be, it is looked up again, and adopted as it is. */
static void
start_replay(Decisions *decisions, const MfJob *job, const List *references, const MfClaimTarget *target)
{
	MfFlight   *flight = mf_claim_create_replay(decisions->scope, decisions->claim, job, references, target->target,
												mf_claim_proof(decisions->scope, target));

	if (flight != NULL)
		add_start(decisions, job, flight);
	else
		put_off_until(decisions, job, decisions->now);
}

static void
add_start(Decisions *decisions, const MfJob *job, MfFlight *flight)
{
	Start	   *start = &decisions->starts[decisions->start_count++];

	start->job = job;
	start->flight = flight;
}

/* Starts a look-up.  Its entry stays on the agenda, so that a crash only repeats it. */
static void
start_look_up(Decisions *decisions, const MfJob *job, const List *references, const MfClaimTarget *target)
{
	MfProof		proof = mf_claim_proof(decisions->scope, target);
	MfFlight   *flight = mf_claim_create_flight(decisions->claim, job, references, target->target, proof);

	if (flight != NULL && job->kind == MF_JOB_RECONCILE)
		flight->may_replay = mf_claim_may_replay(decisions->scope, job, references, target->target, proof,
												 &flight->replay);
	if (flight != NULL && job->kind == MF_JOB_VERIFY && !job->cancel_requested)
		flight->send_due = due_time(job, decisions->now);
	if (flight != NULL)
		put_off_until(decisions, job, TimestampTzPlusMilliseconds(flight->answer_by, MF_LEASE_MARGIN_MS));
	else
		mf_claim_fit_entry(job, decisions->now, add_follow_up(decisions, job));
}

static void
put_off_until(Decisions *decisions, const MfJob *job, TimestampTz due)
{
	MfFollowUp *follow_up = add_follow_up(decisions, job);

	follow_up->due = due;
	follow_up->wait = true;
}

/* Adds a follow-up that leaves the kind of the entry as it is.  The caller sets when it is due. */
static MfFollowUp *
add_follow_up(Decisions *decisions, const MfJob *job)
{
	MfFollowUp *follow_up = &decisions->follow_ups[decisions->follow_up_count++];

	follow_up->invoice = job->invoice;
	/* what was found has to be found again before its request is repeated */
	follow_up->next = job->kind == MF_JOB_REPLAY ? MF_JOB_RECONCILE : job->kind;
	follow_up->lookups = job->lookups;
	return follow_up;
}

/* Adds a change of status after which nothing is left to do.  The caller may change that. */
static MfTransition *
add_transition(Decisions *decisions, const MfJob *job, MfStatus to, const char *error)
{
	MfTransition *transition = &decisions->transitions[decisions->transition_count++];

	mf_transition_begin(transition, job->invoice, job->status, job->attempts, decisions->now, "sender");
	transition->to = to;
	transition->error = error;
	return transition;
}

/* Records attempts, leases and the status "sending". */
static void
record_starts(const MfSqlScope *scope, const MfClaim *claim, const Start *starts, int count)
{
	MfAttempt  *attempts = (MfAttempt *) palloc(count * sizeof(MfAttempt));
	MfTransition *transitions = (MfTransition *) palloc0(count * sizeof(MfTransition));
	MfAttemptRows *recorder = claim->recorder;
	int			left = 0;
	int			i;

	if (recorder != NULL)
		mf_attempt_rows_begin(recorder);
	for (i = 0; i < count; i++)
	{
		MfFlight   *flight = starts[i].flight;
		MfAttempt  *attempt = &attempts[left];
		MfTransition *transition = &transitions[left];

		attempt->invoice = transition->invoice = flight->invoice;
		attempt->attempt = transition->attempt = flight->attempt;
		attempt->reference = flight->reference;
		attempt->send_by = flight->send_by;
		attempt->sent_to = mf_http_target_checksum(flight->target);
		attempt->v3 = flight->v3;
		attempt->boot = attempt->boot_clock = 0;
		if (flight->v3)
			(void) mf_boot_clock(&attempt->boot, &attempt->boot_clock);
		attempt->repeats = flight->repeats;
		mf_digest(flight->body, flight->body_len, attempt->body_sha256);

		transition->from = starts[i].job->status;
		transition->to = MF_STATUS_SENDING;
		transition->next = MF_JOB_SENDING;
		transition->due = TimestampTzPlusMilliseconds(flight->answer_by, MF_LEASE_MARGIN_MS);
		transition->actor = "sender";
		transition->reason = "claimed";
		if (recorder == NULL || !mf_attempt_rows_start(recorder, starts[i].job, attempt, transition->due, flight))
			left++;
	}
	if (recorder != NULL)
		mf_attempt_rows_end(recorder);
	if (left > 0)
	{
		mf_queue_begin_attempts(scope, attempts, left);
		mf_queue_apply(scope, transitions, left);
	}
}

/* Whether a job is done by a request, and fits the invoice's status. */
static bool
needs_request(const MfJob *job)
{
	return (job->kind == MF_JOB_SEND && job->status == MF_STATUS_QUEUED) ||
		((job->kind == MF_JOB_RECONCILE || job->kind == MF_JOB_REPLAY) && job->status == MF_STATUS_UNKNOWN) ||
		(job->kind == MF_JOB_VERIFY && job->status == MF_STATUS_QUEUED) ||
		(job->kind == MF_JOB_WATCH && job->status == MF_STATUS_SENT);
}

/*
 * The error of an invoice that would have expired by the time that its request may
 * leave; NULL if it would not.  The account must be usable.
 */
static char *
expiry_error(const MfJob *job, TimestampTz now)
{
	int			latest = mf_account_get(job->account)->connect_timeout_ms + MF_SEND_MARGIN_MS;
	TimestampTz expiry;

	if (job->request.isnull[MF_SP_EXPIRY_DATE])
		return NULL;
	expiry = DatumGetTimestampTz(job->request.values[MF_SP_EXPIRY_DATE]);
	if (expiry > TimestampTzPlusMilliseconds(now, latest))
		return NULL;
	return psprintf("not sent, because expiry_date %s is over or less than %d s away; give a later one, or none, and call mf_retry(" INT64_FORMAT ")",
					timestamptz_to_str(expiry), latest / 1000 + 1, job->invoice);
}

void
mf_claim_fit_entry(const MfJob *job, TimestampTz now, MfFollowUp *follow_up)
{
	follow_up->lookups = 0;
	follow_up->due = now;
	switch (job->status)
	{
		case MF_STATUS_QUEUED:
			follow_up->next = MF_JOB_VERIFY;
			follow_up->due = mf_claim_has_twin(job) ? mf_verify_due(job->send_at, now) : Max(now, job->send_at);
			break;
		case MF_STATUS_SENDING:
			follow_up->next = MF_JOB_SENDING;
			break;
		case MF_STATUS_UNKNOWN:
			follow_up->next = MF_JOB_RECONCILE;
			break;
		default:
			follow_up->next = job->status == MF_STATUS_REVIEW || job->duplicate_suspected ? MF_JOB_REVIEW : MF_JOB_NONE;
			follow_up->due = DT_NOEND;
			break;
	}
}
