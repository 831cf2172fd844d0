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
#include "claim.h"
#include "compat.h"
#include "failpoint.h"
#include "digest.h"
#include "hand.h"
#include "myfatoorah.h"
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

/* Accounts new on the agenda are looked for at most this often while others are busy. */
#define AGENDA_REFRESH_MS 20

/* A claimed job that is sent */
typedef struct Start
{
	const MfJob *job;
	MfFlight   *flight;
} Start;

static TimestampTz mark_reset_at = 0;
static bool agenda_changed = true;
static TimestampTz agenda_refresh_at = 0;
static TimestampTz twins_before = DT_NOBEGIN;
static List *agenda_circuits = NIL; /* of the accounts on the agenda, as last looked for */

static List *agenda(const MfSqlScope *scope, TimestampTz now, TimestampTz *again);
static void rotate(MfClaimLimit *limits, int count);
static bool has_name(List *names, const char *name);
static void take_jobs(const MfSqlScope *scope, const MfClaim *claim, List *jobs, TimestampTz now);
static void start_sending(const MfSqlScope *scope, const MfClaim *claim, const Start *starts, int count);
static MfFlight *claim_flight(const MfSqlScope *scope, const MfClaim *claim, const MfJob *job,
							  MfHttpTarget *target);
static bool needs_request(const MfJob *job);
static char *expired(const MfJob *job, TimestampTz now);
static void back_off_without_key(List *targets, TimestampTz now);
static void settle_leases(const MfSqlScope *scope, List *jobs, TimestampTz now);
static void give_up(const MfJob *job, TimestampTz now, MfAttemptEnd *end, MfTransition *transition);
static const MfAccount *account_or_null(const char *name, const char **error);
static const char *end_failed_subtransaction(MemoryContext context, ResourceOwner owner);

/* See claim.h. */
void
mf_claim_due(const MfSqlScope *scope, const MfClaim *claim, TimestampTz now, TimestampTz *again)
{
	List	   *accounts = agenda(scope, now, again);
	List	   *paused = mf_queue_paused(scope);
	bool		all_paused = claim->held || has_name(paused, MF_ALL_ACCOUNTS);
	MfClaimLimit *limits = (MfClaimLimit *) palloc(Max(list_length(accounts), 1) * sizeof(MfClaimLimit));
	MfCircuit  *circuit;
	int			count = 0;
	int			left = ROUND_LIMIT;
	int			room = mf_hand_room(ROUND_LIMIT);
	List	   *jobs;
	ListCell   *lc;
	int			i;

	if (now >= mark_reset_at)
	{
		for (circuit = mf_circuit_first(); circuit != NULL; circuit = circuit->next)
			circuit->mark = DT_NOBEGIN;
		mark_reset_at = TimestampTzPlusMilliseconds(now, MARK_RESET_MS);
	}
	for (circuit = mf_circuit_first(); circuit != NULL; circuit = circuit->next)
	{
		circuit->had_more = circuit->more;
		circuit->more = false;
	}

	foreach(lc, accounts)
	{
		const MfAccount *account;
		TimestampTz retry;
		int			slots;

		circuit = (MfCircuit *) lfirst(lc);
		account = mf_claim_account(circuit, all_paused || has_name(paused, circuit->account), now);
		if (account == NULL)
		{
			mf_come_back(again, circuit->paused ? 0 : circuit->retry_at);
			continue;
		}
		slots = mf_circuit_claims(circuit, account->max_in_flight, account->rate_limit, claim->horizon_us, now,
								  &retry);
		mf_come_back(again, retry);

		/* every account gets its share of the round */
		slots = Min(slots, Max(1, ROUND_LIMIT / list_length(accounts)));
		slots = Min(slots, left);
		if (slots == 0)
		{
			/* all slots are taken: what is there still is */
			circuit->more = left == 0 || (circuit->had_more && account->rate_limit == 0 && circuit->in_flight >= circuit->window);
			continue;
		}
		left -= slots;
		limits[count].account = circuit->account;
		limits[count].slots = slots;
		limits[count].mark_invoice = circuit->mark == DT_NOBEGIN ? 0 : circuit->mark_invoice;
		limits[count++].mark = circuit->mark;
	}
	if (count == 0)
		return;

	/* of a round that may take little, each account is the first in its turn */
	if (room < ROUND_LIMIT)
		rotate(limits, count);
	jobs = mf_queue_claim(scope, limits, count, room, now);
	for (i = 0; i < count; i++)
	{
		int			got = 0;

		circuit = mf_circuit_get(limits[i].account);
		foreach(lc, jobs)
		{
			MfJob	   *job = (MfJob *) lfirst(lc);

			if (strcmp(job->account, circuit->account) == 0)
			{
				got++;
				if (job->rank > circuit->mark)
				{
					circuit->mark = job->rank;
					circuit->mark_invoice = job->invoice;
				}
				else if (job->rank == circuit->mark)
					circuit->mark_invoice = Max(circuit->mark_invoice, job->invoice);
			}
		}
		/* before resting, look once more at what committed late */
		circuit->has_sends = got > 0;
		circuit->more = got >= limits[i].slots || limits[i].mark != DT_NOBEGIN || mf_hand_room(1) == 0;
		if (got < limits[i].slots)
			circuit->mark = DT_NOBEGIN;
	}

	if (jobs != NIL)
	{
		MF_FAILPOINT("claimed");
		take_jobs(scope, claim, jobs, now);
		MF_FAILPOINT("intent_recorded");
	}

	for (i = 0; i < count; i++)
	{
		if (!mf_circuit_get(limits[i].account)->more)
			mf_come_back(again, mf_queue_next_due(scope, limits[i].account, now));
	}
}

/* Begins with another one each time. */
static void
rotate(MfClaimLimit *limits, int count)
{
	static unsigned int turn = 0;
	MfClaimLimit *copy = (MfClaimLimit *) palloc(count * sizeof(MfClaimLimit));
	int			i;

	memcpy(copy, limits, count * sizeof(MfClaimLimit));
	turn++;
	for (i = 0; i < count; i++)
		limits[i] = copy[(i + turn) % count];
}

/* See claim.h. */
void
mf_claim_twins_before(TimestampTz since)
{
	twins_before = since;
}

/* See claim.h. */
void
mf_claim_agenda_changed(void)
{
	agenda_changed = true;
}

/*
 * The circuits of the accounts that have something on the agenda.  To look for
 * them costs more than a claim, so that is done after commits that have changed
 * the agenda, and not after each of them while the worker is busy; *again makes
 * sure that it is done.
 */
static List *
agenda(const MfSqlScope *scope, TimestampTz now, TimestampTz *again)
{
	bool		busy = false;
	MemoryContext old;
	ListCell   *lc;

	if (!agenda_changed)
		return agenda_circuits;
	foreach(lc, agenda_circuits)
	{
		MfCircuit  *circuit = (MfCircuit *) lfirst(lc);

		busy |= circuit->more || circuit->in_flight > 0;
	}
	if (busy && now < agenda_refresh_at)
	{
		mf_come_back(again, agenda_refresh_at);
		return agenda_circuits;
	}

	old = MemoryContextSwitchTo(TopMemoryContext);
	list_free(agenda_circuits);
	agenda_circuits = NIL;
	MemoryContextSwitchTo(old);
	foreach(lc, mf_queue_accounts(scope))
	{
		MfCircuit  *circuit = mf_circuit_get((const char *) lfirst(lc));

		old = MemoryContextSwitchTo(TopMemoryContext);
		agenda_circuits = lappend(agenda_circuits, circuit);
		MemoryContextSwitchTo(old);
	}
	agenda_refresh_at = TimestampTzPlusMilliseconds(now, AGENDA_REFRESH_MS);
	agenda_changed = false;
	return agenda_circuits;
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

/* The account, or NULL and why there is none. */
static const MfAccount *
account_or_null(const char *name, const char **error)
{
	const MfAccount *volatile account = NULL;
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		account = mf_account_get(name);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		const char *message = end_failed_subtransaction(context, owner);

		if (error != NULL)
			*error = message;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return account;
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
		else if (needs_request(job) && (target = mf_claim_target(claim->http, job->account, job->owner, &targets))->target == NULL)
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
				later->next = MF_JOB_NONE;
			follow_up_count++;
		}
		else
		{
			ereport(LOG,
					(errmsg("invoice " INT64_FORMAT " is \"%s\" and has nothing to do on the agenda",
							job->invoice, mf_status_name(job->status))));
			later->next = MF_JOB_NONE;
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
	ListCell   *lc;

	foreach(lc, targets)
	{
		MfClaimTarget *failed = (MfClaimTarget *) lfirst(lc);
		MfCircuit  *circuit = mf_circuit_get(failed->account);
		bool		other_works = false;
		ListCell   *lc2;

		if (failed->target != NULL)
			continue;
		foreach(lc2, targets)
		{
			MfClaimTarget *other = (MfClaimTarget *) lfirst(lc2);

			if (other->target != NULL && strcmp(other->account, failed->account) == 0)
				other_works = true;
		}
		if (!other_works)
			mf_circuit_failed(circuit, now);
		mf_circuit_report(circuit, "has rows that cannot be sent", failed->error);
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
	const MfAccount *account = account_or_null(job->account, NULL);
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
			follow_ups[follow_up_count++].next = MF_JOB_NONE;
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
	if (job->kind == MF_JOB_RECONCILE)
	{
		char	   *answered = mf_queue_answered_invoice(scope, job->invoice, job->reference);

		flight->answered_id = answered ? MemoryContextStrdup(claim->memory, answered) : NULL;
	}
	dlist_push_tail(claim->claimed, &flight->node);
	return flight;
}

/* See claim.h. */
const MfClaimTarget *
mf_claim_target(MfHttp *http, const char *account, MfKeyOwner key_owner, List **targets)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	MfClaimTarget *volatile entry;
	ListCell   *lc;

	foreach(lc, *targets)
	{
		entry = (MfClaimTarget *) lfirst(lc);
		if (strcmp(entry->account, account) == 0 && entry->owner.role == key_owner.role && entry->owner.own == key_owner.own)
			return entry;
	}

	entry = (MfClaimTarget *) palloc0(sizeof(MfClaimTarget));
	entry->account = account;
	entry->owner = key_owner;
	*targets = lappend(*targets, entry);

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		entry->target = mf_account_target(http, mf_account_get(account), key_owner);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		entry->error = end_failed_subtransaction(context, owner);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return entry;
}

/*
 * In PG_CATCH(): undoes the subtransaction and gives the error's message.
 * Passes on what ends the statement or the process.
 */
static const char *
end_failed_subtransaction(MemoryContext context, ResourceOwner owner)
{
	ErrorData  *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED || error->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN)
		ReThrowError(error);
	return error->detail ? psprintf("%s: %s", error->message, error->detail) : error->message;
}
