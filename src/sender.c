/*
 * sender.c
 *	  Sending: claim, record the attempt, post, record the outcome.
 *
 * A flight is one attempt from its claim to its recorded outcome.  It is
 * claimed and recorded as an attempt in one transaction, posted after that
 * has committed, and its outcome is recorded in a later transaction, which
 * also claims the next ones.  No transaction is open while it is in the air.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/sender.c
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/cryptohash.h"
#include "common/sha2.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "account.h"
#include "circuit.h"
#include "compat.h"
#include "flight.h"
#include "myfatoorah.h"
#include "queue.h"
#include "request.h"
#include "sender.h"

/* An outcome whose invoice somebody has locked is tried again after this. */
#define LOCKED_RETRY_MS 200

/* After a failure this many rounds go one row at a time. */
#define CAREFUL_ROUNDS 20
#define BLAME_DELAY_MS 60000

/* A row whose request is still under way is looked at again after this. */
#define UNDER_WAY_DELAY_MS 5000

/* Rows that committed late have an earlier rank than the mark. */
#define MARK_RESET_MS 30000

/* Rows of one round, all accounts together */
#define ROUND_LIMIT 200

/* The key of one role for one account, read once per round */
typedef struct RoundTarget
{
	const char *account;
	const char *created_by;
	MfHttpTarget *target;
} RoundTarget;

static MfHttp *http = NULL;
static MemoryContext flight_context = NULL;
static dlist_head claimed = DLIST_STATIC_INIT(claimed);
static dlist_head flying = DLIST_STATIC_INIT(flying);
static dlist_head landed = DLIST_STATIC_INIT(landed);
static dlist_head recorded = DLIST_STATIC_INIT(recorded);
static int	flying_count = 0;
static uint64 request_count = 0;
static int	careful_rounds = 0;
static int64 suspect_invoice = 0;	/* the row in hand, 0 = none */
static MfFlight *suspect_flight = NULL;
static TimestampTz mark_reset_at = 0;
static bool gate_closed = false;

static void record_outcomes(const MfSqlScope *scope, TimestampTz now, TimestampTz *again);
static void claim_due(const MfSqlScope *scope, TimestampTz now, TimestampTz *again);
static const MfAccount *usable_account(const char *name, MfCircuit *circuit, TimestampTz now);
static void take_jobs(const MfSqlScope *scope, List *jobs, TimestampTz now);
static MfFlight *claim_flight(const MfJob *job, List **targets, TimestampTz now);
static TimestampTz remote_done(const MfJob *job, TimestampTz now);
static MfHttpTarget *round_target(const MfAccount *account, const MfJob *job, List **targets);
static void digest_body(const char *body, size_t len, uint8 *digest);
static bool has_flight(int64 invoice);
static void land(MfFlight *flight);
static void report_account(MfCircuit *circuit, const char *what, const char *error);
static void come_back(TimestampTz *again, TimestampTz at);

/* See sender.h. */
void
mf_sender_start(void)
{
	char		error[MF_HTTP_ERROR_SIZE];

	http = mf_http_create(error, sizeof(error));
	if (http == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not start the HTTP transport"),
				 errdetail_internal("%s", error)));
	flight_context = AllocSetContextCreate(TopMemoryContext, "myfatoorah flights", ALLOCSET_DEFAULT_SIZES);
}

MfHttp *
mf_sender_http(void)
{
	return http;
}

int
mf_sender_in_flight(void)
{
	return flying_count;
}

uint64
mf_sender_requests(void)
{
	return request_count;
}

void
mf_sender_close_gate(void)
{
	gate_closed = true;
	mf_http_close_gate(http, true);
}

/* See sender.h. */
bool
mf_sender_has_work(void)
{
	TimestampTz now = GetCurrentTimestamp();
	MfCircuit  *circuit;
	dlist_iter	iter;

	dlist_foreach(iter, &landed)
	{
		if (dlist_container(MfFlight, node, iter.cur)->retry_at <= now)
			return true;
	}
	for (circuit = mf_circuit_first(); circuit != NULL; circuit = circuit->next)
	{
		if (circuit->more && circuit->in_flight < circuit->window && circuit->retry_at <= now)
			return true;
	}
	return false;
}

/* See sender.h. */
void
mf_sender_round(Oid schema, TimestampTz *again)
{
	TimestampTz now = GetCurrentTimestamp();
	MfSqlScope	scope;

	*again = 0;
	suspect_invoice = 0;
	suspect_flight = NULL;

	mf_sql_begin(&scope, schema);
	record_outcomes(&scope, now, again);
	if (!gate_closed)
		claim_due(&scope, now, again);
	mf_sql_end(&scope);

	if (careful_rounds > 0)
		careful_rounds--;
}

/* Moves an alarm forward, if it is set for later. */
static void
come_back(TimestampTz *again, TimestampTz at)
{
	if (at != 0 && (*again == 0 || at < *again))
		*again = at;
}

/*
 * Records what has landed.  An invoice that somebody has locked does not hold
 * up the others: its answer goes to the attempt at once, and to the invoice
 * later.
 */
static void
record_outcomes(const MfSqlScope *scope, TimestampTz now, TimestampTz *again)
{
	int			limit = careful_rounds > 0 ? 1 : ROUND_LIMIT;
	MfFlight	  **batch = (MfFlight **) palloc(limit * sizeof(MfFlight *));
	int64	   *invoices = (int64 *) palloc(limit * sizeof(int64));
	MfAttemptEnd *ends = (MfAttemptEnd *) palloc(limit * sizeof(MfAttemptEnd));
	MfTransition *transitions = (MfTransition *) palloc(limit * sizeof(MfTransition));
	MfDelay    *delays = (MfDelay *) palloc(limit * sizeof(MfDelay));
	int			count = 0;
	int			end_count = 0;
	int			transition_count = 0;
	int			delay_count = 0;
	int			i;
	List	   *locked;
	dlist_iter	iter;

	dlist_foreach(iter, &landed)
	{
		MfFlight	   *flight = dlist_container(MfFlight, node, iter.cur);

		if (flight->retry_at > now)
		{
			come_back(again, flight->retry_at);
			continue;
		}
		if (count == limit)
			break;
		batch[count] = flight;
		invoices[count++] = flight->invoice;
		if (!flight->is_lookup && !flight->attempt_recorded)
		{
			MfAttemptEnd *end = &ends[end_count++];
			const char *url = flight->sent.invoice_url;

			end->invoice = flight->invoice;
			end->attempt = flight->attempt;
			end->outcome = flight->sent.outcome;
			end->http_status = flight->http_status;
			end->invoice_id = flight->sent.invoice_id;
			end->invoice_url = url ? mf_from_utf8_lossy(url) : NULL;
			end->error = mf_flight_error(flight);
		}
	}
	if (count == 0)
		return;
	if (careful_rounds > 0)
		suspect_flight = batch[0];

	if (end_count > 0)
		mf_queue_end_attempts(scope, ends, end_count);

	locked = mf_queue_lock_invoices(scope, invoices, count);
	for (i = 0; i < count; i++)
	{
		MfFlight	   *flight = batch[i];
		MfLockedInvoice *invoice = NULL;
		ListCell   *lc;

		foreach(lc, locked)
		{
			if (((MfLockedInvoice *) lfirst(lc))->invoice == flight->invoice)
				invoice = (MfLockedInvoice *) lfirst(lc);
		}

		flight->attempt_recorded = true;
		if (invoice == NULL)
		{
			flight->retry_at = TimestampTzPlusMilliseconds(now, LOCKED_RETRY_MS);
			come_back(again, flight->retry_at);
			continue;
		}
		if (invoice->status == (flight->is_lookup ? MF_STATUS_UNKNOWN : MF_SENDING) &&
			invoice->attempts == flight->attempt)
		{
			if (mf_flight_verdict(flight, now, &transitions[transition_count], &delays[delay_count]))
				transition_count++;
			else
				delay_count++;
		}
		else
			ereport(LOG,
					(errmsg("the answer to attempt %d of invoice " INT64_FORMAT " came too late",
							flight->attempt, flight->invoice),
					 errdetail("The invoice is \"%s\"; the outcome \"%s\" is kept in mf_attempt.",
							   mf_status_name(invoice->status), mf_outcome_name(mf_flight_outcome(flight)))));
		if (mf_flight_outcome(flight) == MF_ACCOUNT_PROBLEM)
		{
			char	   *error = mf_flight_error(flight);

			mf_queue_pause(scope->schema, flight->circuit->account, "sender", error);
			report_account(flight->circuit, "is paused", error);
		}
		dlist_delete(&flight->node);
		dlist_push_tail(&recorded, &flight->node);
	}

	if (transition_count > 0)
		mf_queue_apply(scope, transitions, transition_count);
	if (delay_count > 0)
		mf_queue_delay(scope, delays, delay_count);
	suspect_flight = NULL;
}

/* Claims what is due, within the limits of each account, and records the attempts. */
static void
claim_due(const MfSqlScope *scope, TimestampTz now, TimestampTz *again)
{
	List	   *agenda = mf_queue_accounts(scope);
	MfClaimLimit *limits = (MfClaimLimit *) palloc(Max(list_length(agenda), 1) * sizeof(MfClaimLimit));
	MfCircuit  *circuit;
	int			count = 0;
	int			left = careful_rounds > 0 ? 1 : ROUND_LIMIT;
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
		circuit->more = false;

	foreach(lc, agenda)
	{
		MfAgendaAccount *entry = (MfAgendaAccount *) lfirst(lc);
		const MfAccount *account;
		TimestampTz retry;
		int			slots;

		circuit = mf_circuit_get(entry->name);
		if (entry->paused)
		{
			mf_circuit_reset(circuit);
			continue;
		}
		account = usable_account(entry->name, circuit, now);
		if (account == NULL)
		{
			come_back(again, circuit->retry_at);
			continue;
		}
		slots = mf_circuit_slots(circuit, account->max_in_flight, account->rate_limit, now, &retry);
		come_back(again, retry);

		/* every account gets its share of the round */
		slots = Min(slots, Max(1, ROUND_LIMIT / list_length(agenda)));
		slots = Min(slots, left);
		if (slots == 0)
		{
			circuit->more = left == 0;
			continue;
		}
		left -= slots;
		limits[count].account = circuit->account;
		limits[count].slots = slots;
		limits[count++].mark = circuit->mark;
	}
	if (count == 0)
		return;

	jobs = mf_queue_claim(scope, limits, count, now);
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
				circuit->mark = Max(circuit->mark, job->rank);
			}
		}
		/* before resting, look once more at what committed late */
		circuit->more = got > 0 || limits[i].mark != DT_NOBEGIN;
		if (got == 0)
			circuit->mark = DT_NOBEGIN;
	}

	if (jobs != NIL)
		take_jobs(scope, jobs, now);

	for (i = 0; i < count; i++)
	{
		if (!mf_circuit_get(limits[i].account)->more)
			come_back(again, mf_queue_next_due(scope, limits[i].account, now));
	}
}

/*
 * The account, NULL if it cannot be used; then its circuit backs off and the
 * log says why, once.
 */
static const MfAccount *
usable_account(const char *name, MfCircuit *circuit, TimestampTz now)
{
	const MfAccount *volatile account = NULL;
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	if (circuit->retry_at > now)
		return NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		account = mf_account_get(name);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		mf_circuit_failed(circuit, now);
		report_account(circuit, "cannot be used", error->message);
		FreeErrorData(error);
		account = NULL;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return account;
}

/* Turns claimed jobs into recorded attempts, look-ups, or what else is due for them. */
static void
take_jobs(const MfSqlScope *scope, List *jobs, TimestampTz now)
{
	int			limit = list_length(jobs);
	MfAttempt  *attempts = (MfAttempt *) palloc(limit * sizeof(MfAttempt));
	MfAttemptEnd *ends = (MfAttemptEnd *) palloc0(limit * sizeof(MfAttemptEnd));
	MfTransition *transitions = (MfTransition *) palloc0(limit * sizeof(MfTransition));
	MfDelay    *delays = (MfDelay *) palloc0(limit * sizeof(MfDelay));
	List	   *targets = NIL;
	int			attempt_count = 0;
	int			end_count = 0;
	int			transition_count = 0;
	int			delay_count = 0;
	ListCell   *lc;

	foreach(lc, jobs)
	{
		MfJob	   *job = (MfJob *) lfirst(lc);
		MfTransition *transition = &transitions[transition_count];
		MfDelay    *delay = &delays[delay_count];
		MfFlight   *flight;

		if (careful_rounds > 0)
			suspect_invoice = job->invoice;

		transition->invoice = delay->invoice = job->invoice;
		transition->from = job->status;
		transition->actor = "sender";
		delay->step = job->step;

		if (has_flight(job->invoice))
		{
			delay->due = TimestampTzPlusMilliseconds(now, UNDER_WAY_DELAY_MS);
			delay_count++;
		}
		else if (job->kind == MF_JOB_SEND && job->status == MF_QUEUED)
		{
			MfAttempt  *attempt = &attempts[attempt_count++];

			flight = claim_flight(job, &targets, now);
			attempt->invoice = flight->invoice;
			attempt->attempt = flight->attempt;
			attempt->reference = flight->reference;
			attempt->send_by = flight->send_by;
			digest_body(flight->body, flight->body_len, attempt->body_sha256);

			transition->to = MF_SENDING;
			transition->attempt = flight->attempt;
			transition->next = MF_JOB_SENDING;
			transition->due = TimestampTzPlusMilliseconds(flight->answer_by, MF_LEASE_MARGIN_MS);
			transition->reason = "claimed";
			transition_count++;
		}
		else if (job->kind == MF_JOB_SENDING && job->status == MF_SENDING)
		{
			/* nobody can still be sending it; only the remote knows */
			MfAttemptEnd *end = &ends[end_count++];

			end->invoice = job->invoice;
			end->attempt = job->attempts;
			end->outcome = MF_UNKNOWN;
			end->error = "no outcome was recorded: the worker was stopped while the request was under way";

			transition->to = MF_STATUS_UNKNOWN;
			transition->attempt = job->attempts;
			transition->next = MF_JOB_RECONCILE;
			transition->due = remote_done(job, now);
			transition->error = end->error;
			transition_count++;
		}
		else if (job->kind == MF_JOB_RECONCILE && job->status == MF_STATUS_UNKNOWN)
		{
			/* its entry stays, so that a crash only repeats the question */
			flight = claim_flight(job, &targets, now);
			delay->due = TimestampTzPlusMilliseconds(flight->answer_by, MF_LEASE_MARGIN_MS);
			delay_count++;
		}
		else
		{
			ereport(LOG,
					(errmsg("invoice " INT64_FORMAT " is \"%s\" and has nothing to do on the agenda",
							job->invoice, mf_status_name(job->status))));
			mf_queue_remove(scope, job->invoice);
		}
	}

	if (attempt_count > 0)
		mf_queue_begin_attempts(scope, attempts, attempt_count);
	if (end_count > 0)
		mf_queue_end_attempts(scope, ends, end_count);
	if (transition_count > 0)
		mf_queue_apply(scope, transitions, transition_count);
	if (delay_count > 0)
		mf_queue_delay(scope, delays, delay_count);
	suspect_invoice = 0;
}

/*
 * When the remote can no longer be working on a request whose sender is gone:
 * it may have left as late as now, by a process that was frozen.
 */
static TimestampTz
remote_done(const MfJob *job, TimestampTz now)
{
	const MfAccount *account = mf_account_get(job->account);

	return TimestampTzPlusMilliseconds(now, account->connect_timeout_ms + MF_SEND_MARGIN_MS +
									   account->timeout_ms + mf_reconcile_delay);
}

/* Builds the request of a job; the flight goes to the claimed ones. */
static MfFlight *
claim_flight(const MfJob *job, List **targets, TimestampTz now)
{
	const MfAccount *account = mf_account_get(job->account);
	MfHttpTarget *target = round_target(account, job, targets);
	MfFlight   *flight = mf_flight_create(flight_context, job, account, target, now);

	dlist_push_tail(&claimed, &flight->node);
	return flight;
}

/* The key of the row's own role, looked up once per round, account and role. */
static MfHttpTarget *
round_target(const MfAccount *account, const MfJob *job, List **targets)
{
	RoundTarget *entry;
	ListCell   *lc;

	foreach(lc, *targets)
	{
		entry = (RoundTarget *) lfirst(lc);
		if (strcmp(entry->account, job->account) == 0 && strcmp(entry->created_by, job->created_by) == 0)
			return entry->target;
	}

	entry = (RoundTarget *) palloc(sizeof(RoundTarget));
	entry->account = job->account;
	entry->created_by = job->created_by;

	/* a role that was dropped since has no mapping of its own: PUBLIC's */
	entry->target = mf_account_target(http, account, get_role_oid(job->created_by, true));
	*targets = lappend(*targets, entry);
	return entry->target;
}

static void
digest_body(const char *body, size_t len, uint8 *digest)
{
	pg_cryptohash_ctx *context = pg_cryptohash_create(PG_SHA256);

	if (context == NULL ||
		pg_cryptohash_init(context) < 0 ||
		pg_cryptohash_update(context, (const uint8 *) body, len) < 0 ||
		pg_cryptohash_final(context, digest, PG_SHA256_DIGEST_LENGTH) < 0)
		elog(ERROR, "could not compute the digest of a request");
	pg_cryptohash_free(context);
}

/* See sender.h. */
void
mf_sender_post(void)
{
	while (!dlist_is_empty(&recorded))
	{
		MfFlight	   *flight = dlist_container(MfFlight, node, dlist_pop_head_node(&recorded));

		mf_flight_free(flight);
	}

	while (!dlist_is_empty(&claimed))
	{
		MfFlight	   *flight = dlist_container(MfFlight, node, dlist_pop_head_node(&claimed));
		char	   *body = flight->body;
		char		error[MF_HTTP_ERROR_SIZE];

		flight->body = NULL;
		mf_circuit_started(flight->circuit);
		request_count++;
		flight->exchange = mf_http_post(http, flight->target, mf_flight_path(flight), body, flight->body_len,
										flight->send_by_clock, flight, error, sizeof(error));
		if (flight->exchange != NULL)
		{
			dlist_push_tail(&flying, &flight->node);
			flying_count++;
		}
		else
		{
			mf_flight_fail(flight, false, error);
			land(flight);
		}
	}
}

/* See sender.h. */
bool
mf_sender_run(void)
{
	MfHttpExchange *exchange;

	mf_http_perform(http);
	while ((exchange = mf_http_next_done(http)) != NULL)
	{
		MfFlight	   *flight = (MfFlight *) exchange->tag;

		mf_flight_read(flight, exchange);
		flight->exchange = NULL;
		mf_http_exchange_free(exchange);
		dlist_delete(&flight->node);
		flying_count--;
		land(flight);
	}
	return !dlist_is_empty(&landed);
}

/* A flight has its outcome. */
static void
land(MfFlight *flight)
{
	MfOutcome	outcome = mf_flight_outcome(flight);

	mf_circuit_ended(flight->circuit, outcome, mf_flight_retry_after(flight), GetCurrentTimestamp());
	if (!flight->circuit->reported && (outcome == MF_NOT_SENT || outcome == MF_THROTTLED))
	{
		char	   *error = mf_flight_error(flight);

		report_account(flight->circuit, "is waiting", error);
		pfree(error);
	}
	dlist_push_tail(&landed, &flight->node);
}

/* See sender.h. */
void
mf_sender_round_failed(void)
{
	dlist_mutable_iter iter;

	while (!dlist_is_empty(&claimed))
		mf_flight_free(dlist_container(MfFlight, node, dlist_pop_head_node(&claimed)));

	dlist_foreach_modify(iter, &recorded)
	{
		dlist_delete(iter.cur);
		dlist_push_head(&landed, iter.cur);
	}
	dlist_foreach_modify(iter, &landed)
		dlist_container(MfFlight, node, iter.cur)->attempt_recorded = false;

	/* one that cannot be recorded goes to the end of the line */
	if (suspect_flight != NULL)
	{
		suspect_flight->retry_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), 5000);
		dlist_delete(&suspect_flight->node);
		dlist_push_tail(&landed, &suspect_flight->node);
		suspect_flight = NULL;
	}
	careful_rounds = CAREFUL_ROUNDS;
}

/* See sender.h. */
void
mf_sender_blame(Oid schema, const char *error)
{
	TimestampTz now = GetCurrentTimestamp();
	MfSqlScope	scope;
	MfDelay		delay;
	MfJob	   *job;

	if (suspect_invoice == 0)
		return;

	job = mf_queue_lock(schema, suspect_invoice);
	if (job != NULL && job->kind != MF_JOB_NONE)
	{
		mf_sql_begin(&scope, schema);
		delay.invoice = suspect_invoice;
		delay.due = TimestampTzPlusMilliseconds(now, BLAME_DELAY_MS);
		delay.step = job->step;
		delay.error = error;
		mf_queue_delay(&scope, &delay, 1);
		mf_sql_end(&scope);
		mf_circuit_failed(mf_circuit_get(job->account), now);
		ereport(LOG,
				(errmsg("invoice " INT64_FORMAT " cannot be sent", suspect_invoice),
				 errdetail_internal("%s", error),
				 errhint("Mend the cause; the worker tries again in a minute.")));
	}
	suspect_invoice = 0;
}

/* See sender.h. */
void
mf_sender_abort(void)
{
	while (!dlist_is_empty(&flying))
	{
		MfFlight	   *flight = dlist_container(MfFlight, node, dlist_pop_head_node(&flying));
		bool		started = flight->exchange->body_started;

		mf_http_abort(http, flight->exchange);
		flight->exchange = NULL;
		mf_flight_fail(flight, started, "the worker was stopped before the answer came");
		flying_count--;
		dlist_push_tail(&landed, &flight->node);
	}
}

/* See sender.h. */
void
mf_sender_abandon(void)
{
	dlist_iter	iter;

	dlist_foreach(iter, &flying)
	{
		MfFlight	   *flight = dlist_container(MfFlight, node, iter.cur);

		ereport(LOG,
				(errmsg("extension myfatoorah was dropped while an invoice was being sent"),
				 errdetail("The CustomerReference is \"%s\".", flight->reference),
				 errhint("Look it up in the MyFatoorah portal; it may exist there.")));
	}
	dlist_foreach(iter, &landed)
	{
		MfFlight	   *flight = dlist_container(MfFlight, node, iter.cur);

		ereport(LOG,
				(errmsg("extension myfatoorah was dropped before an answer could be stored"),
				 errdetail("CustomerReference \"%s\": %s, InvoiceId %s.", flight->reference,
						   mf_outcome_name(mf_flight_outcome(flight)),
						   flight->sent.invoice_id ? flight->sent.invoice_id : "none")));
	}
}

/* Whether a request of that invoice is under way or not recorded yet. */
static bool
has_flight(int64 invoice)
{
	dlist_iter	iter;

	dlist_foreach(iter, &flying)
	{
		if (dlist_container(MfFlight, node, iter.cur)->invoice == invoice)
			return true;
	}
	dlist_foreach(iter, &landed)
	{
		if (dlist_container(MfFlight, node, iter.cur)->invoice == invoice)
			return true;
	}
	return false;
}

/* One log line per outage, not one per row. */
static void
report_account(MfCircuit *circuit, const char *what, const char *error)
{
	if (circuit->reported)
		return;
	circuit->reported = true;
	ereport(LOG,
			(errmsg("account \"%s\" %s", circuit->account, what),
			 error ? errdetail_internal("%s", error) : 0,
			 errhint("SELECT * FROM mf_check(%s) tells more.", quote_literal_cstr(circuit->account))));
}
