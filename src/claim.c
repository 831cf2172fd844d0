/*
 * claim.c
 *	  What is due becomes recorded attempts and flights ready to be posted.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/claim.c
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "account.h"
#include "agenda.h"
#include "claim.h"
#include "compat.h"
#include "failpoint.h"
#include "digest.h"
#include "hand.h"
#include "myfatoorah.h"
#include "promote.h"
#include "repair.h"

/* A row whose request is still under way is looked at again after this. */
#define UNDER_WAY_DELAY_MS 5000

/* Rows that committed late have an earlier rank than the mark. */
#define MARK_RESET_MS 30000

/* Leases of a worker that is gone, swept in one statement */
#define SWEEP_LIMIT 1000

/* Rows of one round, all accounts together */
#define ROUND_LIMIT 200

/* A row that cannot be sent for want of a key waits this long, then twice as long, ... */
#define NO_KEY_DELAY_MS 60000

/* Where more accounts wait than fit into a round, each claims so many rows in a turn. */
#define MIN_SHARE 5

/* A claimed job that is sent */
typedef struct Start
{
	const MfJob *job;
	MfFlight   *flight;
} Start;

/* An account that is looked up, and a target: both may fail alone */
typedef struct AccountLookup
{
	const char *name;
	const MfAccount *account;
} AccountLookup;

typedef struct TargetLookup
{
	MfHttp	   *http;
	MfClaimTarget *entry;
} TargetLookup;

static TimestampTz twins_before = DT_NOBEGIN;

static int	take_turns(const MfSqlScope *scope, const MfClaim *claim, MfClaimLimit *limits, int left, TimestampTz now);
static int	free_to_claim(const MfClaim *claim, MfCircuit *circuit, bool paused, TimestampTz now);
static int	count_claimed(const MfClaimLimit *limits, int count, List *jobs, bool cut);
static void settle_turns(MfClaimLimit *limits, int count, int reached, bool cut);
static bool has_name(List *names, const char *name);
static void take_jobs(const MfSqlScope *scope, const MfClaim *claim, List *jobs, TimestampTz now);
static void start_sending(const MfSqlScope *scope, const MfClaim *claim, const Start *starts, int count);
static MfFlight *claim_flight(const MfSqlScope *scope, const MfClaim *claim, const MfJob *job,
							  MfHttpTarget *target);
static void fit_entry(const MfJob *job, TimestampTz now, MfFollowUp *later);
static bool needs_request(const MfJob *job);
static char *expired(const MfJob *job, TimestampTz now);
static void back_off_without_key(List *targets, TimestampTz now);
static void settle_leases(const MfSqlScope *scope, List *jobs, TimestampTz now);
static void give_up(const MfJob *job, TimestampTz now, MfAttemptEnd *end, MfTransition *transition);
static const MfAccount *account_or_null(const char *name, const char **reason);
static void look_up_account(void *argument);
static void look_up_target(void *argument);

/* See claim.h. */
void
mf_claim_due(const MfSqlScope *scope, const MfClaim *claim, TimestampTz now)
{
	int			left = mf_hand_room(ROUND_LIMIT);
	MfClaimLimit *limits = (MfClaimLimit *) palloc(ROUND_LIMIT * sizeof(MfClaimLimit));
	int			count;
	int			reached;
	bool		cut;
	List	   *jobs;

	if (left == 0)
		return;
	mf_circuit_forget_unused(now);
	mf_agenda_refresh(scope, now);
	count = take_turns(scope, claim, limits, left, now);
	if (count == 0)
		return;

	mf_promote_due(scope, limits, count, now);
	jobs = mf_queue_claim(scope, limits, count, left, now, &cut);
	reached = count_claimed(limits, count, jobs, cut);
	settle_turns(limits, count, reached, cut);
	if (jobs != NIL)
	{
		MF_FAILPOINT("claimed");
		take_jobs(scope, claim, jobs, now);
		MF_FAILPOINT("intent_recorded");
	}
	mf_queue_next_due(scope, limits, reached, now);
}

/* See claim.h. */
void
mf_claim_twins_before(TimestampTz since)
{
	twins_before = since;
}

/*
 * The accounts whose turn it is and that may send, with what each may claim:
 * its share of the round, as often as it is its turn.
 */
static int
take_turns(const MfSqlScope *scope, const MfClaim *claim, MfClaimLimit *limits, int left, TimestampTz now)
{
	int			share = Max(left / Max(mf_agenda_length(), 1), MIN_SHARE);
	const char *names[ROUND_LIMIT];
	MfCircuit  *circuits[ROUND_LIMIT];
	List	   *paused;
	int			turns = 0;
	int			count = 0;
	int			i;

	while (turns < left && (circuits[turns] = mf_agenda_next()) != NULL)
	{
		names[turns] = circuits[turns]->account;
		turns++;
	}
	if (turns == 0)
		return 0;

	paused = mf_queue_paused(scope, names, turns);
	for (i = 0; i < turns; i++)
	{
		MfCircuit  *circuit = circuits[i];
		int			free_slots = free_to_claim(claim, circuit, claim->held || has_name(paused, MF_ALL_ACCOUNTS) ||
											   has_name(paused, circuit->account), now);

		if (free_slots == 0)
			continue;
		if (circuit->mark_until <= now)
			circuit->mark = DT_NOBEGIN;
		limits[count].account = circuit->account;
		limits[count].circuit = circuit;
		limits[count].slots = Min(free_slots, share);
		limits[count].shared = free_slots > share;
		limits[count].mark_invoice = circuit->mark == DT_NOBEGIN ? 0 : circuit->mark_invoice;
		limits[count++].mark = circuit->mark;
	}
	return count;
}

/*
 * How many rows an account may claim.  If none, it comes back when that changes:
 * at a time, or when an answer makes room.
 */
static int
free_to_claim(const MfClaim *claim, MfCircuit *circuit, bool paused, TimestampTz now)
{
	const MfAccount *account = mf_claim_account(circuit, paused, now);
	TimestampTz retry;
	int			slots;

	circuit->more = false;
	if (account == NULL)
	{
		if (!circuit->paused)
			mf_agenda_due_at(circuit, circuit->retry_at);
		return 0;
	}
	slots = mf_circuit_claims(circuit, account->max_in_flight, account->rate_limit, claim->horizon_us, now, &retry);
	if (slots > 0)
		return slots;
	mf_agenda_due_at(circuit, retry);
	if (circuit->in_flight + circuit->ready_count >= circuit->window)
	{
		circuit->more = true;
		if (account->rate_limit == 0)
			mf_agenda_full(circuit);
	}
	return 0;
}

/*
 * Counts what each account has got and moves the marks.  Returns how many of the
 * accounts were reached: once a round is full, those behind are not.
 */
static int
count_claimed(const MfClaimLimit *limits, int count, List *jobs, bool cut)
{
	MfCircuit  *last = NULL;
	ListCell   *lc;
	int			i;

	for (i = 0; i < count; i++)
		limits[i].circuit->got = 0;
	foreach(lc, jobs)
	{
		MfJob	   *job = (MfJob *) lfirst(lc);

		if (last == NULL || strcmp(last->account, job->account) != 0)
			last = mf_circuit_get(job->account);
		last->got++;
		if (job->rank > last->mark)
		{
			last->mark = job->rank;
			last->mark_invoice = job->invoice;
		}
		else if (job->rank == last->mark)
			last->mark_invoice = Max(last->mark_invoice, job->invoice);
	}
	if (!cut)
		return count;
	for (i = count; i > 0 && limits[i - 1].circuit != last; i--)
		;
	return i;
}

/* What comes of the turns: another one, a look at what is due later, or an answer is awaited. */
static void
settle_turns(MfClaimLimit *limits, int count, int reached, bool cut)
{
	int			i;

	for (i = count - 1; i >= reached; i--)
		mf_agenda_put_back(limits[i].circuit);
	for (i = 0; i < reached; i++)
	{
		MfCircuit  *circuit = limits[i].circuit;
		bool		all = circuit->got < limits[i].slots && !(cut && i == reached - 1);

		/* before resting, look once more at what committed late */
		circuit->has_sends = circuit->got > 0;
		circuit->more = !all || limits[i].mark != DT_NOBEGIN;
		if (all)
			circuit->mark = DT_NOBEGIN;
		else if (limits[i].mark == DT_NOBEGIN)
			circuit->mark_until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), MARK_RESET_MS);
		limits[i].look_later = !circuit->more;
		if (circuit->more && (limits[i].shared || circuit->got < limits[i].slots))
			mf_agenda_due(circuit);
		else if (circuit->more)
			mf_agenda_full(circuit);
	}
}

static bool
has_name(List *names, const char *name)
{
	ListCell   *lc;

	foreach(lc, names)
	{
		if (strcmp((const char *) lfirst(lc), name) == 0)
			return true;
	}
	return false;
}

/* See claim.h. */
const MfAccount *
mf_claim_account(MfCircuit *circuit, bool paused, TimestampTz now)
{
	const MfAccount *account;
	const char *error;

	paused |= circuit->pause_by != NULL;
	if (circuit->paused && !paused)
		mf_circuit_reset(circuit);
	circuit->paused = paused;
	if (paused || circuit->retry_at > now)
		return NULL;

	account = account_or_null(circuit->account, &error);
	if (account == NULL)
	{
		mf_circuit_failed(circuit, now);
		mf_circuit_report(circuit, "cannot be used", error);
		mf_repair_tell_rows(circuit->account, error);
	}
	return account;
}

/* The account, or NULL with the reason. */
static const MfAccount *
account_or_null(const char *name, const char **reason)
{
	AccountLookup lookup = {name, NULL};
	ErrorData  *error = mf_sql_try(look_up_account, &lookup);

	*reason = error == NULL ? NULL : mf_error_text(error);
	return lookup.account;
}

static void
look_up_account(void *argument)
{
	AccountLookup *lookup = (AccountLookup *) argument;

	lookup->account = mf_account_get(lookup->name);
}

/* Turns claimed jobs into recorded attempts, look-ups, or what else is due for them. */
static void
take_jobs(const MfSqlScope *scope, const MfClaim *claim, List *jobs, TimestampTz now)
{
	int			limit = list_length(jobs);
	MfTransition *transitions = (MfTransition *) palloc0(limit * sizeof(MfTransition));
	MfFollowUp *follow_ups = (MfFollowUp *) palloc0(limit * sizeof(MfFollowUp));
	Start	   *starts = (Start *) palloc(limit * sizeof(Start));
	List	   *targets = NIL;
	List	   *leases = NIL;
	int			start_count = 0;
	int			transition_count = 0;
	int			follow_up_count = 0;
	ListCell   *lc;

	foreach(lc, jobs)
	{
		MfJob	   *job = (MfJob *) lfirst(lc);
		MfTransition *transition = &transitions[transition_count];
		MfFollowUp *later = &follow_ups[follow_up_count];
		const MfClaimTarget *target = NULL;
		const char *error;
		MfFlight   *flight;

		transition->invoice = later->invoice = job->invoice;
		transition->from = job->status;
		transition->actor = "sender";
		later->next = job->kind;
		later->step = job->step;

		if (mf_flight_under_way(job->invoice, false))
		{
			later->due = TimestampTzPlusMilliseconds(now, UNDER_WAY_DELAY_MS);
			later->wait = true;
			follow_up_count++;
		}
		else if (job->kind == MF_JOB_SEND && job->status == MF_QUEUED && job->cancel_requested)
		{
			transition->to = MF_CANCELLED;
			transition->attempt = job->attempts;
			transition->next = MF_JOB_NONE;
			transition->due = now;
			transition->reason = "cancelled as requested while it was being sent";
			transition_count++;
		}
		else if (needs_request(job) && (target = mf_claim_target(claim->http, job->account, job->owner, &targets))->target == NULL &&
				 job->status == MF_STATUS_UNKNOWN && mf_account_owner_is_gone(job->owner))
		{
			/* no look-up will ever tell */
			transition->to = MF_REVIEW;
			transition->attempt = job->attempts;
			transition->next = MF_JOB_REVIEW;
			transition->due = DT_NOEND;
			transition->actor = "reconciler";
			transition->error = psprintf("outcome unknown, and it cannot be looked up: %s", target->error);
			transition_count++;
		}
		else if (target != NULL && target->target == NULL)
		{
			later->due = TimestampTzPlusMilliseconds(now, (int64) NO_KEY_DELAY_MS << Min(job->step, 6));
			later->error = target->error;
			if (job->kind == MF_JOB_SEND)
				later->step = job->step + 1;
			follow_up_count++;
		}
		else if (job->kind == MF_JOB_SEND && job->status == MF_QUEUED && (error = expired(job, now)) != NULL)
		{
			transition->to = MF_STATUS_REJECTED;
			transition->attempt = job->attempts;
			transition->next = MF_JOB_NONE;
			transition->due = now;
			transition->error = error;
			transition_count++;
		}
		else if (job->kind == MF_JOB_SEND && job->status == MF_QUEUED)
		{
			starts[start_count].job = job;
			starts[start_count++].flight = claim_flight(scope, claim, job, target->target);
		}
		else if (job->kind == MF_JOB_SENDING)
			leases = lappend(leases, job);
		else if (needs_request(job))
		{
			/* its entry stays, so that a crash only repeats the question */
			flight = claim_flight(scope, claim, job, target->target);
			if (flight != NULL)
			{
				later->due = TimestampTzPlusMilliseconds(flight->answer_by, MF_LEASE_MARGIN_MS);
				later->wait = true;
			}
			else
				fit_entry(job, now, later);
			follow_up_count++;
		}
		else
		{
			ereport(LOG,
					(errmsg("invoice " INT64_FORMAT " is \"%s\", which its entry on the agenda does not fit",
							job->invoice, mf_status_name(job->status))));
			fit_entry(job, now, later);
			follow_up_count++;
		}
	}

	back_off_without_key(targets, now);
	if (start_count > 0)
		start_sending(scope, claim, starts, start_count);
	if (transition_count > 0)
		mf_queue_apply(scope, transitions, transition_count);
	if (follow_up_count > 0)
		mf_queue_follow_up(scope, follow_ups, follow_up_count);
	if (leases != NIL)
		settle_leases(scope, leases, now);
}

/*
 * What the agenda must say by the status, whoever has changed one of them.  An
 * invoice that is not finished never leaves it; what is queued may have been sent.
 */
static void
fit_entry(const MfJob *job, TimestampTz now, MfFollowUp *later)
{
	later->step = 0;
	later->due = now;
	switch (job->status)
	{
		case MF_QUEUED:
			later->next = MF_JOB_VERIFY;
			later->due = Max(now, job->send_at);
			break;
		case MF_SENDING:
			later->next = MF_JOB_SENDING;
			break;
		case MF_STATUS_UNKNOWN:
			later->next = MF_JOB_RECONCILE;
			break;
		default:
			later->next = job->status == MF_REVIEW || job->duplicate_suspected ? MF_JOB_REVIEW : MF_JOB_NONE;
			later->due = DT_NOEND;
			break;
	}
}

/* Records attempts, leases and the status "sending". */
static void
start_sending(const MfSqlScope *scope, const MfClaim *claim, const Start *starts, int count)
{
	MfAttempt  *attempts = (MfAttempt *) palloc(count * sizeof(MfAttempt));
	MfTransition *transitions = (MfTransition *) palloc0(count * sizeof(MfTransition));
	MfRecorder *recorder = claim->recorder;
	int			left = 0;
	int			i;

	if (recorder != NULL)
		mf_recorder_begin(recorder);
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

		transition->from = MF_QUEUED;
		transition->to = MF_SENDING;
		transition->next = MF_JOB_SENDING;
		transition->due = TimestampTzPlusMilliseconds(flight->answer_by, MF_LEASE_MARGIN_MS);
		transition->actor = "sender";
		transition->reason = "claimed";
		if (recorder == NULL || !mf_record_start(recorder, starts[i].job, attempt, transition->due, flight))
			left++;
	}
	if (recorder != NULL)
		mf_recorder_end(recorder);
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
	return (job->kind == MF_JOB_SEND && job->status == MF_QUEUED) ||
		(job->kind == MF_JOB_RECONCILE && job->status == MF_STATUS_UNKNOWN) ||
		(job->kind == MF_JOB_VERIFY && job->status == MF_QUEUED) ||
		(job->kind == MF_JOB_WATCH && job->status == MF_SENT);
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

/*
 * An account of which no row in this round has a key is left alone for a
 * while; where other roles have one, they go on.
 */
static void
back_off_without_key(List *targets, TimestampTz now)
{
	const MfClaimTarget *failed = NULL;
	bool		one_works = false;
	int			i;

	/* those of an account stand together */
	for (i = 0; i < list_length(targets); i++)
	{
		const MfClaimTarget *target = (const MfClaimTarget *) list_nth(targets, i);
		const MfClaimTarget *next = i + 1 < list_length(targets) ? (const MfClaimTarget *) list_nth(targets, i + 1) : NULL;

		if (target->target == NULL)
			failed = target;
		else
			one_works = true;
		if (next != NULL && strcmp(next->account, target->account) == 0)
			continue;
		if (failed != NULL)
		{
			MfCircuit  *circuit = mf_circuit_get(failed->account);

			if (!one_works)
				mf_circuit_failed(circuit, now);
			mf_circuit_report(circuit, "has rows that cannot be sent", failed->error);
		}
		failed = NULL;
		one_works = false;
	}
}

/*
 * Nobody can still be sending it, and nobody reported an outcome: only the
 * remote knows.  It is asked once it can no longer be working on a request
 * that may have left as late as now, by a process that was frozen.
 */
static void
give_up(const MfJob *job, TimestampTz now, MfAttemptEnd *end, MfTransition *transition)
{
	const char *no_account;
	const MfAccount *account = account_or_null(job->account, &no_account);
	int			longest = account ? account->connect_timeout_ms + account->timeout_ms :
		MF_CONNECT_TIMEOUT_DEFAULT + MF_TIMEOUT_DEFAULT;

	memset(end, 0, sizeof(*end));
	end->invoice = job->invoice;
	end->attempt = job->attempts;
	end->outcome = MF_UNKNOWN;
	end->error = "no outcome was recorded: the worker was stopped while the request was under way";
	mf_attempt_transition(end, now, TimestampTzPlusMilliseconds(now, MF_SEND_MARGIN_MS + longest), transition);
}

/* See claim.h. */
int64
mf_claim_sweep(const MfSqlScope *scope, int64 after, TimestampTz now)
{
	int64		last = after;
	List	   *jobs = mf_queue_claim_leases(scope, after, mf_hand_room(SWEEP_LIMIT), now, &last);

	if (jobs != NIL)
		settle_leases(scope, jobs, now);
	return last;
}

/*
 * Invoices that are "sending" without a request under way.  Where the answer
 * was kept with the attempt (only the invoice was locked by somebody), it
 * counts; where none was, the outcome is unknown.
 */
static void
settle_leases(const MfSqlScope *scope, List *jobs, TimestampTz now)
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
		MfAttemptEnd *end = NULL;
		ListCell   *lc2;

		foreach(lc2, recorded)
		{
			if (((MfAttemptEnd *) lfirst(lc2))->invoice == job->invoice)
				end = (MfAttemptEnd *) lfirst(lc2);
		}

		if (job->status != MF_SENDING)
		{
			follow_ups[follow_up_count].invoice = job->invoice;
			fit_entry(job, now, &follow_ups[follow_up_count++]);
		}
		else if (end != NULL && end->outcome != MF_UNKNOWN)
			mf_attempt_transition(end, now, now, &transitions[transition_count++]);
		else
			give_up(job, now, &ends[lost_count++], &transitions[transition_count++]);
	}

	if (lost_count > 0)
		mf_queue_end_attempts(scope, ends, lost_count);
	if (transition_count > 0)
		mf_queue_apply(scope, transitions, transition_count);
	if (follow_up_count > 0)
		mf_queue_follow_up(scope, follow_ups, follow_up_count);
}

/* Builds the request of a job; NULL if it has nothing to ask after all. */
static MfFlight *
claim_flight(const MfSqlScope *scope, const MfClaim *claim, const MfJob *job, MfHttpTarget *target)
{
	List	   *old_references = NIL;
	bool		twin = job->created_at < twins_before;
	MfFlight   *flight;
	int			stem;

	if (mf_reference_number(job->reference, &stem) > 1)
		old_references = mf_queue_old_references(scope, job->invoice);
	if (job->kind == MF_JOB_WATCH && old_references == NIL && !twin)
		return NULL;
	flight = mf_flight_create(claim->memory, job, mf_account_get(job->account), target, old_references, twin);
	if (job->kind != MF_JOB_SEND && job->attempts > 0)
	{
		MfAttempted attempted = mf_queue_attempted(scope, job->invoice, flight->reference);

		if (attempted.answered_id != NULL)
			flight->answered_id = MemoryContextStrdup(claim->memory, attempted.answered_id);
		flight->elsewhere = attempted.sent && attempted.sent_to != mf_http_target_checksum(target);
	}
	dlist_push_tail(claim->claimed, &flight->node);
	return flight;
}

/* See claim.h. */
const MfClaimTarget *
mf_claim_target(MfHttp *http, const char *account, MfKeyOwner key_owner, List **targets)
{
	MfClaimTarget *entry;
	TargetLookup lookup;
	ErrorData  *error;
	int			i;

	/* rows of an account stand together */
	for (i = list_length(*targets) - 1; i >= 0; i--)
	{
		entry = (MfClaimTarget *) list_nth(*targets, i);
		if (strcmp(entry->account, account) != 0)
			break;
		if (entry->owner.role == key_owner.role && entry->owner.own == key_owner.own)
			return entry;
	}

	entry = (MfClaimTarget *) palloc0(sizeof(MfClaimTarget));
	entry->account = account;
	entry->owner = key_owner;
	*targets = lappend(*targets, entry);

	lookup.http = http;
	lookup.entry = entry;
	error = mf_sql_try(look_up_target, &lookup);
	if (error != NULL)
		entry->error = mf_error_text(error);
	return entry;
}

static void
look_up_target(void *argument)
{
	TargetLookup *lookup = (TargetLookup *) argument;
	MfClaimTarget *entry = lookup->entry;

	entry->target = mf_account_target(lookup->http, mf_account_get(entry->account), entry->owner);
}
