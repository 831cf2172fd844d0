/*
 * claim_jobs.c
 *	  Turns claimed jobs into recorded attempts, look-ups, or what else is due.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/sending/claim_jobs.c
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "account/account.h"
#include "account/send_time.h"
#include "base/compat.h"
#include "base/settings.h"
#include "database/digest.h"
#include "flow/round_items.h"
#include "request/request.h"
#include "sending/claim_internal.h"

/* A row whose request is still under way is looked at again after this. */
#define UNDER_WAY_DELAY_MS 5000

/*
 * A row that cannot be sent for want of a key waits this long, then twice as long,
 * ...; one that is looked up first, so many times as long.  A key that comes makes
 * them due.
 */
#define NO_KEY_DELAY_MS 60000
#define NO_KEY_DOUBLINGS 6
#define NO_KEY_VERIFY_FACTOR 8

/* A claimed job that is sent */
typedef struct Start
{
	const MfJob *job;
	MfFlight   *flight;
} Start;

/* What the claimed jobs of a round become */
typedef struct Taken
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
} Taken;

static TimestampTz twins_before = DT_NOBEGIN;

static void take_job(Taken *taken, const MfJob *job);
static void take_request(Taken *taken, const MfJob *job);
static void take_without_key(Taken *taken, const MfJob *job, const char *error);
static void take_throttled(Taken *taken, const MfJob *job, const MfClaimTarget *target);
static TimestampTz due_time(const MfJob *job, TimestampTz now);
static void take_early(Taken *taken, const MfJob *job, TimestampTz due);
static void take_known(Taken *taken, const MfJob *job, MfHttpTarget *target);
static void take_send(Taken *taken, const MfJob *job, const List *references, MfHttpTarget *target);
static void take_look_up(Taken *taken, const MfJob *job, const List *references, MfHttpTarget *target);
static void come_back_at(Taken *taken, const MfJob *job, TimestampTz due);
static MfFollowUp *add_follow_up(Taken *taken, const MfJob *job);
static MfTransition *add_transition(Taken *taken, const MfJob *job, MfStatus to, const char *error);
static void start_sending(const MfSqlScope *scope, const MfClaim *claim, const Start *starts, int count);
static MfFlight *claim_flight(const MfClaim *claim, const MfJob *job, const List *references,
							  MfHttpTarget *target);
static List *references_to_ask(const MfJob *job, const List *references, bool twin);
static List *add_resends(List *asked, const char *reference);
static char *reference_names(const List *references);
static bool needs_request(const MfJob *job);
static char *expired(const MfJob *job, TimestampTz now);

void
mf_claim_twins_before(TimestampTz since)
{
	twins_before = since;
}

void
mf_claim_take(const MfSqlScope *scope, const MfClaim *claim, List *jobs, TimestampTz now)
{
	int			limit = list_length(jobs);
	Taken		taken;
	ListCell   *lc;

	memset(&taken, 0, sizeof(taken));
	taken.scope = scope;
	taken.claim = claim;
	taken.now = now;
	taken.starts = (Start *) palloc(limit * sizeof(Start));
	taken.transitions = (MfTransition *) palloc0(limit * sizeof(MfTransition));
	taken.follow_ups = (MfFollowUp *) palloc0(limit * sizeof(MfFollowUp));
	foreach(lc, jobs)
		take_job(&taken, (MfJob *) lfirst(lc));

	if (taken.start_count > 0)
		start_sending(scope, claim, taken.starts, taken.start_count);
	if (taken.transition_count > 0)
		mf_queue_apply(scope, taken.transitions, taken.transition_count);
	if (taken.follow_up_count > 0)
		mf_queue_follow_up(scope, taken.follow_ups, taken.follow_up_count);
	if (taken.leases != NIL)
		mf_claim_settle_leases(scope, taken.leases, now);
}

/* Decides what becomes of one claimed job. */
static void
take_job(Taken *taken, const MfJob *job)
{
	if (mf_flight_under_way(job->invoice, false))
		come_back_at(taken, job, TimestampTzPlusMilliseconds(taken->now, UNDER_WAY_DELAY_MS));
	else if (job->kind == MF_JOB_SENDING)
		taken->leases = lappend(taken->leases, unconstify(MfJob *, job));
	else if (needs_request(job))
		take_request(taken, job);
	else
	{
		ereport(LOG,
				(errmsg("invoice %lld is \"%s\", which its entry on the agenda does not fit",
						(long long) job->invoice, mf_status_name(job->status))));
		mf_claim_fit_entry(job, taken->now, add_follow_up(taken, job));
	}
}

/* Takes a job that is done by a request, which needs a key. */
static void
take_request(Taken *taken, const MfJob *job)
{
	const MfClaimTarget *target;
	const char *refusal;
	TimestampTz due;

	if (job->kind == MF_JOB_SEND && job->cancel_requested)
	{
		add_transition(taken, job, MF_STATUS_CANCELLED, NULL)->reason = "cancelled as requested: no invoice was made";
		return;
	}
	target = mf_claim_target(taken->claim->http, job->account, job->owner, false, &taken->targets);
	if (target->target == NULL && target->until != 0)
		take_throttled(taken, job, target);
	else if (target->target == NULL)
		take_without_key(taken, job, target->error);
	else if (job->kind == MF_JOB_SEND && (refusal = mf_claim_refusal(taken->scope, job)) != NULL)
		take_without_key(taken, job, refusal);
	else if (job->kind == MF_JOB_SEND && (due = due_time(job, taken->now)) > taken->now)
		take_early(taken, job, due);
	else
		take_known(taken, job, target->target);
}

/* When an invoice is to be sent, by its row and the options that its account has now. */
static TimestampTz
due_time(const MfJob *job, TimestampTz now)
{
	Datum		option = job->request.values[MF_SP_NOTIFICATION_OPTION];
	bool		notifies = !job->request.isnull[MF_SP_NOTIFICATION_OPTION] && !mf_text_is(option, "LNK");

	return mf_send_due(mf_account_get(job->account), job->send_at, notifies, now);
}

/* Puts off an invoice that is not to be sent yet. */
static void
take_early(Taken *taken, const MfJob *job, TimestampTz due)
{
	MfFollowUp *later = add_follow_up(taken, job);

	later->due = due;
	if (due != job->send_at)
		later->step = MF_TIMED_STEP;
}

/*
 * Takes a job whose row knows all its attempts.  Somebody may have changed
 * mf_invoice.attempts without the triggers of mf_invoice, or have used the id of a
 * deleted row again: what mf_attempt has counts.  A row that is sent for the first
 * time is believed, which costs nothing, unless a round has just failed.
 */
static void
take_known(Taken *taken, const MfJob *job, MfHttpTarget *target)
{
	bool		believed = job->kind == MF_JOB_SEND && job->attempts == 0 && !mf_items_is_suspect(MF_ITEM_INVOICE, job->invoice);
	List	   *references = believed ? NIL : mf_queue_references(taken->scope, job->invoice);
	int			latest = references == NIL ? 0 : ((MfReference *) linitial(references))->latest;
	MfJob		known = *job;

	if (latest > job->attempts)
	{
		ereport(LOG,
				(errmsg("column \"attempts\" of invoice %lld is %d, and mf_attempt has number %d of it",
						(long long) job->invoice, job->attempts, latest)));
		mf_queue_set_attempts(taken->scope, job->invoice, latest);
		known.attempts = latest;
	}
	if (job->kind != MF_JOB_SEND)
		take_look_up(taken, &known, references, target);
	else if (latest > job->attempts)
		mf_claim_fit_entry(job, taken->now, add_follow_up(taken, job));
	else
		take_send(taken, job, references, target);
}

/*
 * Puts off a job whose key cannot be used; a person gets it if no look-up will ever
 * tell.  It is the row that waits, and not its account, because others have keys
 * that can be.
 */
static void
take_without_key(Taken *taken, const MfJob *job, const char *error)
{
	if ((job->status == MF_STATUS_UNKNOWN || job->cancel_requested) && mf_account_owner_is_gone(job->owner))
	{
		MfTransition *transition = add_transition(taken, job, MF_STATUS_REVIEW,
												  psprintf("%s, and it cannot be looked up: %s",
														   job->status == MF_STATUS_UNKNOWN ? "outcome unknown" :
														   "it is to be cancelled and may exist", error));

		transition->next = MF_JOB_REVIEW;
		transition->due = DT_NOEND;
		transition->actor = "reconciler";
	}
	else
	{
		MfFollowUp *later = add_follow_up(taken, job);
		int64		delay = (int64) NO_KEY_DELAY_MS << Min(job->step, NO_KEY_DOUBLINGS);

		/* the step of the others counts the answers that they have had */
		if (job->kind == MF_JOB_SEND)
			later->step = Min(job->step + 1, NO_KEY_DOUBLINGS);
		else
			later->put_off = true;
		if (job->kind == MF_JOB_VERIFY)
			delay = (int64) NO_KEY_DELAY_MS * NO_KEY_VERIFY_FACTOR;
		later->due = TimestampTzPlusMilliseconds(taken->now, delay);
		later->error = error;
	}
}

/* Puts off a job whose key is left alone for a while.  Other keys of the account are not. */
static void
take_throttled(Taken *taken, const MfJob *job, const MfClaimTarget *target)
{
	MfFollowUp *later = add_follow_up(taken, job);

	/* so that a key that comes, or mf_resume(), makes it due; the step of the others counts their answers */
	if (job->kind == MF_JOB_SEND)
		later->step = Min(job->step + 1, NO_KEY_DOUBLINGS);
	later->due = target->until;
	later->wait = true;
	later->error = target->error;
}

/* Takes an invoice that is to be sent. */
static void
take_send(Taken *taken, const MfJob *job, const List *references, MfHttpTarget *target)
{
	const char *error = expired(job, taken->now);

	if (error != NULL)
		(void) add_transition(taken, job, MF_STATUS_REJECTED, error);
	else
	{
		taken->starts[taken->start_count].job = job;
		taken->starts[taken->start_count++].flight = claim_flight(taken->claim, job, references, target);
	}
}

/* Takes an invoice that is to be looked up.  Its entry stays, so that a crash only repeats the question. */
static void
take_look_up(Taken *taken, const MfJob *job, const List *references, MfHttpTarget *target)
{
	MfFlight   *flight = claim_flight(taken->claim, job, references, target);

	if (flight != NULL)
		come_back_at(taken, job, TimestampTzPlusMilliseconds(flight->answer_by, MF_LEASE_MARGIN_MS));
	else
		mf_claim_fit_entry(job, taken->now, add_follow_up(taken, job));
}

/* Leaves a job as it is for a while. */
static void
come_back_at(Taken *taken, const MfJob *job, TimestampTz due)
{
	MfFollowUp *later = add_follow_up(taken, job);

	later->due = due;
	later->wait = true;
}

/* A follow-up that leaves the entry as it is; the caller says when it is due. */
static MfFollowUp *
add_follow_up(Taken *taken, const MfJob *job)
{
	MfFollowUp *later = &taken->follow_ups[taken->follow_up_count++];

	later->invoice = job->invoice;
	later->next = job->kind;
	later->step = job->step;
	return later;
}

/* A change of status by the sender after which nothing is left to do, unless the caller says more. */
static MfTransition *
add_transition(Taken *taken, const MfJob *job, MfStatus to, const char *error)
{
	MfTransition *transition = &taken->transitions[taken->transition_count++];

	transition->invoice = job->invoice;
	transition->from = job->status;
	transition->to = to;
	transition->attempt = job->attempts;
	transition->next = MF_JOB_NONE;
	transition->due = taken->now;
	transition->actor = "sender";
	transition->error = error;
	return transition;
}

/* Records attempts, leases and the status "sending". */
static void
start_sending(const MfSqlScope *scope, const MfClaim *claim, const Start *starts, int count)
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
		mf_digest(flight->body, flight->body_len, attempt->body_sha256);

		transition->from = MF_STATUS_QUEUED;
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

/* Whether the job, which fits the invoice's status, is done by a request. */
static bool
needs_request(const MfJob *job)
{
	return (job->kind == MF_JOB_SEND && job->status == MF_STATUS_QUEUED) ||
		(job->kind == MF_JOB_RECONCILE && job->status == MF_STATUS_UNKNOWN) ||
		(job->kind == MF_JOB_VERIFY && job->status == MF_STATUS_QUEUED) ||
		(job->kind == MF_JOB_WATCH && job->status == MF_STATUS_SENT);
}

/*
 * Why an invoice is not worth sending: nobody could pay it by the time that its
 * request may leave.  NULL if it is; the account must be usable.
 */
static char *
expired(const MfJob *job, TimestampTz now)
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

/* Builds the request of a job; NULL if it has nothing to ask after all. */
static MfFlight *
claim_flight(const MfClaim *claim, const MfJob *job, const List *references, MfHttpTarget *target)
{
	bool		twin = job->created_at < twins_before;
	List	   *asked = references_to_ask(job, references, twin);
	int			step = job->kind == MF_JOB_WATCH ? job->step : job->step % MF_SENSELESS_STEP;
	const char *kept;
	MfFlight   *flight;
	ListCell   *lc;

	if (asked == NIL)
		return NULL;
	flight = mf_flight_create(claim->memory, job, mf_account_get(job->account), target,
							  (const char *) list_nth(asked, step % list_length(asked)));
	flight->asked = list_length(asked);
	flight->turn = step % flight->asked;
	flight->twin = twin;
	kept = job->kind == MF_JOB_WATCH ? job->reference : flight->reference;
	foreach(lc, references)
	{
		const MfReference *entry = (const MfReference *) lfirst(lc);
		bool		asked_now = strcmp(entry->reference, flight->reference) == 0;

		if (entry->unknown && strcmp(entry->reference, kept) != 0)
			flight->given_up++;
		if (entry->unknown && !entry->open && strcmp(entry->reference, job->reference) != 0)
			flight->resends++;
		flight->tried |= asked_now;
		if (asked_now && job->kind != MF_JOB_SEND)
			flight->elsewhere = entry->sent && entry->sent_to != mf_http_target_checksum(target);
		if (asked_now && entry->answered_id != NULL)
			flight->answered_id = MemoryContextStrdup(claim->memory, entry->answered_id);
		else if (entry->open && entry->answered_id != NULL && flight->answered_other == NULL)
			flight->answered_other = MemoryContextStrdup(claim->memory, entry->answered_id);
	}
	if (job->kind == MF_JOB_RECONCILE || job->kind == MF_JOB_VERIFY)
	{
		flight->asked_names = MemoryContextStrdup(claim->memory, reference_names(asked));
		flight->next_reference = MemoryContextStrdup(claim->memory, mf_queue_fresh_reference(references, job->reference));
	}
	dlist_push_tail(claim->claimed, &flight->node);
	return flight;
}

/*
 * The references that are looked up in turn, a List of char *.  Before a row is
 * sent, these are all under which it may have been sent, because its own may have
 * been changed since without the triggers of mf_invoice; and its own, under which
 * another server may have sent it.  That server may also have sent it again since,
 * under references that come next.  Afterwards those that may turn up yet.  What is
 * added comes last: the place of the others does not change while they are asked.
 */
static List *
references_to_ask(const MfJob *job, const List *references, bool twin)
{
	List	   *asked = NIL;
	bool		own = job->kind == MF_JOB_WATCH ? twin : true;
	ListCell   *lc;

	if (job->kind == MF_JOB_SEND)
		return list_make1(job->reference);
	foreach(lc, references)
	{
		const MfReference *entry = (const MfReference *) lfirst(lc);
		bool		is_own = strcmp(entry->reference, job->reference) == 0;

		if (job->kind == MF_JOB_WATCH ? entry->unknown && !is_own : entry->open)
		{
			asked = lappend(asked, entry->reference);
			own &= !is_own;
		}
	}
	if (own)
		asked = lappend(asked, job->reference);
	return job->kind == MF_JOB_VERIFY && twin ? add_resends(asked, job->reference) : asked;
}

/* Adds the references of resends that would follow one reference, no more than can be asked about. */
static List *
add_resends(List *asked, const char *reference)
{
	int			count = Min(mf_max_resends, MF_LOOKUP_REFERENCES - list_length(asked));

	while (count-- > 0)
	{
		reference = mf_next_reference(reference);
		asked = lappend(asked, unconstify(char *, reference));
	}
	return asked;
}

/* The references, for a message; palloc'd. */
static char *
reference_names(const List *references)
{
	StringInfoData names;
	ListCell   *lc;

	initStringInfo(&names);
	appendStringInfoString(&names, list_length(references) > 1 ? "references" : "reference");
	foreach(lc, references)
		appendStringInfo(&names, "%s \"%s\"", foreach_current_index(lc) > 0 ? "," : "", (const char *) lfirst(lc));
	return names.data;
}

void
mf_claim_verify(const MfJob *job, TimestampTz now, MfTransition *transition)
{
	transition->next = MF_JOB_VERIFY;
	transition->due = job->created_at < twins_before ? TimestampTzPlusMilliseconds(now, mf_verify_wait()) : now;
}

void
mf_claim_fit_entry(const MfJob *job, TimestampTz now, MfFollowUp *later)
{
	later->step = 0;
	later->due = now;
	switch (job->status)
	{
		case MF_STATUS_QUEUED:
			later->next = MF_JOB_VERIFY;
			later->due = Max(now, job->send_at);
			break;
		case MF_STATUS_SENDING:
			later->next = MF_JOB_SENDING;
			break;
		case MF_STATUS_UNKNOWN:
			later->next = MF_JOB_RECONCILE;
			break;
		default:
			later->next = job->status == MF_STATUS_REVIEW || job->duplicate_suspected ? MF_JOB_REVIEW : MF_JOB_NONE;
			later->due = DT_NOEND;
			break;
	}
}
