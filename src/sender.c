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

#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "claim.h"
#include "compat.h"
#include "failpoint.h"
#include "flight.h"
#include "guard.h"
#include "inquiry.h"
#include "myfatoorah.h"
#include "queue.h"
#include "record.h"
#include "request.h"
#include "sender.h"
#include "sender_record.h"
#include "wake.h"

/* After a failure this many rounds go one row at a time. */
#define CAREFUL_ROUNDS 20
#define BLAME_DELAY_MS 60000

/* Between two batches of old history, and when there was none */
#define PURGE_BATCH_DELAY_MS 1000
#define PURGE_IDLE_DELAY_MS 3600000

/* With so many requests in the air answers are gathered for so long. */
#define GATHER_MIN 8
#define GATHER_MS 1

/* Claims go ahead of the slots that become free while they are committed; no further than this. */
#define HORIZON_MAX_MS 50

/* What was claimed ahead and whose slot does not become free as foreseen is given back after this. */
#define READY_MS 500

static MfHttp *http = NULL;
static MemoryContext flight_context = NULL;
static dlist_head claimed = DLIST_STATIC_INIT(claimed);
static dlist_head flying = DLIST_STATIC_INIT(flying);
static dlist_head landed = DLIST_STATIC_INIT(landed);
static dlist_head answered = DLIST_STATIC_INIT(answered);	/* landed inquiries */
static dlist_head recorded = DLIST_STATIC_INIT(recorded);
static int	flying_count = 0;
static int	landed_count = 0;	/* since the latest round */
static TimestampTz gather_until = 0;
static TimestampTz round_began = 0;
static double round_us = 0;		/* from a round's begin to its commit, smoothed */
static uint64 request_count = 0;
static int	careful_rounds = 0;
static int64 suspect_invoice = 0;	/* the row that a failed round was at */
static MfFlight *suspect_flight = NULL;
static TimestampTz purge_at = 0;
static bool gate_closed = false;
static bool holding = false;

static void purge_history(const MfSqlScope *scope, TimestampTz now);
static bool ready(dlist_head *list, TimestampTz now);
static void take_in(void);
static void land(MfFlight *flight);
static void post_ready(MfCircuit *circuit);
static void post(MfFlight *flight);
static MfFlight *first_ready(const MfCircuit *circuit);
static MfFlight *take_ready(MfCircuit *circuit);
static void fail_ready(MfCircuit *circuit, const char *error);
static void give_back_ready(TimestampTz now);
static int64 horizon_us(void);
static bool wants_claim(const MfCircuit *circuit, TimestampTz now, TimestampTz *claim_at);

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
	if (!mf_http_start_thread(http, error, sizeof(error)))
		ereport(LOG,
				(errmsg("requests are sent by the worker itself, which is slower"),
				 errdetail_internal("%s", error)));
	flight_context = AllocSetContextCreate(TopMemoryContext, "myfatoorah flights", ALLOCSET_DEFAULT_SIZES);
}

/* See sender.h. */
void
mf_sender_stop(void)
{
	if (http != NULL)
		mf_http_stop_thread(http);
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

/* See sender.h. */
void
mf_sender_try_now(uint32 what)
{
	MfCircuit  *circuit;

	if (what == 0)
		return;
	for (circuit = mf_circuit_first(); circuit != NULL; circuit = circuit->next)
	{
		if (what & MF_TRY_ALL)
			mf_circuit_reset(circuit);
		else
			mf_circuit_mended(circuit);
	}
	mf_inquiry_wake();
}

void
mf_sender_hold(void)
{
	holding = true;
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
	TimestampTz claim_at;
	MfCircuit  *circuit;

	if (holding || ready(&landed, now) || ready(&answered, now) || mf_inquiry_has_work())
		return true;
	for (circuit = mf_circuit_first(); circuit != NULL; circuit = circuit->next)
	{
		if (wants_claim(circuit, now, &claim_at) && claim_at <= now)
			return true;
		if (circuit->ready_count > 0 && (circuit->retry_at > now || circuit->paused))
			return true;
	}
	return false;
}

/* See sender.h. */
TimestampTz
mf_sender_gather_until(void)
{
	if (holding || flying_count < GATHER_MIN || landed_count * 2 >= flying_count || GetCurrentTimestamp() >= gather_until)
		return 0;
	return gather_until;
}

/* See sender.h. */
TimestampTz
mf_sender_alarm(void)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz alarm = 0;
	TimestampTz claim_at;
	MfCircuit  *circuit;

	for (circuit = mf_circuit_first(); circuit != NULL; circuit = circuit->next)
	{
		if (circuit->ready_count > 0)
			mf_come_back(&alarm, first_ready(circuit)->ready_until);
		if (wants_claim(circuit, now, &claim_at))
			mf_come_back(&alarm, claim_at);
	}
	return alarm;
}

/* How far ahead claims go: what is recorded, claimed and committed takes two rounds at most. */
static int64
horizon_us(void)
{
	return (int64) Min(2.0 * round_us + GATHER_MS * 1000.0, HORIZON_MAX_MS * 1000.0);
}

/*
 * Whether there are rows to claim for a slot that is free, or will be when the
 * claim is committed; *claim_at is when.
 */
static bool
wants_claim(const MfCircuit *circuit, TimestampTz now, TimestampTz *claim_at)
{
	if (!circuit->more || circuit->retry_at > now)
		return false;
	*claim_at = mf_circuit_next_slot(circuit, now);
	if (*claim_at != DT_NOBEGIN && *claim_at != 0)
		*claim_at -= horizon_us() / 2;
	return *claim_at != 0;
}

/* Whether one of them can be recorded now. */
static bool
ready(dlist_head *list, TimestampTz now)
{
	dlist_iter	iter;

	dlist_foreach(iter, list)
	{
		if (dlist_container(MfFlight, node, iter.cur)->retry_at <= now)
			return true;
	}
	return false;
}

/* See sender.h. */
void
mf_sender_sweep(Oid schema)
{
	MfSqlScope	scope;

	mf_sql_begin(&scope, schema);
	mf_claim_sweep(&scope, GetCurrentTimestamp());
	mf_sql_end(&scope);
}

/* See sender.h. */
void
mf_sender_round(Oid schema, TimestampTz *again)
{
	TimestampTz now = GetCurrentTimestamp();
	MfRecorder *recorder;
	MfSqlScope	scope;
	bool		held;

	*again = 0;
	round_began = now;
	suspect_invoice = 0;
	suspect_flight = NULL;

	mf_sql_begin(&scope, schema);
	give_back_ready(now);
	mf_inquiry_record(&scope, &answered, &recorded, careful_rounds > 0, now, again);
	recorder = careful_rounds > 0 ? NULL : mf_recorder_open(&scope);
	mf_sender_record(&scope, recorder, &landed, &recorded, careful_rounds > 0 ? &suspect_flight : NULL, now, again);
	landed_count = 0;
	take_in();
	held = !mf_guard_look(schema);
	if (!gate_closed)
	{
		MfClaim		claim = {http, flight_context, &claimed, careful_rounds > 0, recorder, &suspect_invoice, horizon_us(), held};

		mf_inquiry_claim(&scope, &claim, now, again);
		mf_claim_due(&scope, &claim, now, again);
	}
	if (recorder != NULL)
		mf_recorder_close(recorder);
	purge_history(&scope, now);
	mf_sql_end(&scope);
	take_in();

	if (careful_rounds > 0)
		careful_rounds--;
}

/*
 * Deletes history past its retention time, a batch in passing: an idle worker
 * is not woken for it.
 */
static void
purge_history(const MfSqlScope *scope, TimestampTz now)
{
	TimestampTz before;

	if (mf_history_retention == 0 || now < purge_at)
		return;
	before = now - (TimestampTz) mf_history_retention * 60 * USECS_PER_SEC;
	if (mf_queue_purge(scope, before) + mf_payment_purge(scope, before) > 0)
		purge_at = TimestampTzPlusMilliseconds(now, PURGE_BATCH_DELAY_MS);
	else
		purge_at = TimestampTzPlusMilliseconds(now, PURGE_IDLE_DELAY_MS);
}

/* See sender.h. */
void
mf_sender_post(bool confirmed)
{
	uint64		before = request_count;
	MfCircuit  *circuit;

	holding = false;
	round_us += ((double) (GetCurrentTimestamp() - round_began) - round_us) / 4.0;
	if (!dlist_is_empty(&recorded))
		MF_FAILPOINT("outcome_committed");
	while (!dlist_is_empty(&recorded))
	{
		MfFlight	   *flight = dlist_container(MfFlight, node, dlist_pop_head_node(&recorded));

		mf_flight_free(flight);
	}

	if (!dlist_is_empty(&claimed))
		MF_FAILPOINT("intent_committed");
	while (!dlist_is_empty(&claimed))
	{
		MfFlight	   *flight = dlist_container(MfFlight, node, dlist_pop_head_node(&claimed));

		mf_flight_set_under_way(flight, true);
		if (!confirmed)
		{
			mf_flight_fail(flight, false, "its record was not confirmed by a standby");
			dlist_push_tail(mf_flight_is_inquiry(flight) ? &answered : &landed, &flight->node);
			landed_count++;
		}
		else if (flight->kind == MF_JOB_SEND)
		{
			flight->ready_until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), READY_MS);
			mf_http_target_hold(flight->target);
			dlist_push_tail(&flight->circuit->ready, &flight->node);
			flight->circuit->ready_count++;
		}
		else
			post(flight);
	}
	for (circuit = mf_circuit_first(); circuit != NULL; circuit = circuit->next)
		post_ready(circuit);
	gather_until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), GATHER_MS);
	if (request_count > before)
	{
		mf_http_perform(http);
		MF_FAILPOINT("posted");
	}
}

/* Posts flights that are ready while the account has free slots. */
static void
post_ready(MfCircuit *circuit)
{
	while (circuit->ready_count > 0 && !gate_closed && !holding && mf_circuit_open(circuit, GetCurrentTimestamp()))
	{
		MfFlight   *flight = take_ready(circuit);

		post(flight);
		mf_http_target_let_go(flight->target);
	}
}

/* There must be one. */
static MfFlight *
first_ready(const MfCircuit *circuit)
{
	return dlist_container(MfFlight, node, dlist_head_node(unconstify(dlist_head *, &circuit->ready)));
}

/* The first one, no longer in the list; its target is still held. */
static MfFlight *
take_ready(MfCircuit *circuit)
{
	circuit->ready_count--;
	return dlist_container(MfFlight, node, dlist_pop_head_node(&circuit->ready));
}

/* The first one ends without having left. */
static void
fail_ready(MfCircuit *circuit, const char *error)
{
	MfFlight   *flight = take_ready(circuit);

	mf_http_target_let_go(flight->target);
	mf_flight_fail(flight, false, error);
	dlist_push_tail(&landed, &flight->node);
}

/*
 * What was claimed ahead and cannot be posted soon has not been sent: the row
 * waits on the agenda, where people can see and change it.
 */
static void
give_back_ready(TimestampTz now)
{
	MfCircuit  *circuit;

	for (circuit = mf_circuit_first(); circuit != NULL; circuit = circuit->next)
	{
		while (circuit->ready_count > 0)
		{
			if (circuit->retry_at <= now && !circuit->paused && first_ready(circuit)->ready_until > now)
				break;
			fail_ready(circuit, "no slot became free for it in time");
		}
	}
}

/* Lets a flight leave. */
static void
post(MfFlight *flight)
{
	char	   *body = flight->body;
	char		error[MF_HTTP_ERROR_SIZE];

	flight->body = NULL;
	mf_circuit_started(flight->circuit, &flight->airborne, GetCurrentTimestamp());
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

/* See sender.h. */
bool
mf_sender_run(void)
{
	take_in();
	return !dlist_is_empty(&landed) || !dlist_is_empty(&answered);
}

/*
 * Reads the answers that have come and fills their slots with what is ready.
 * It touches no table, so it may happen in the middle of a round too.
 */
static void
take_in(void)
{
	MfHttpExchange *exchange;
	bool		posted = false;

	mf_http_perform(http);
	while ((exchange = mf_http_next_done(http)) != NULL)
	{
		MfFlight	   *flight = (MfFlight *) exchange->tag;

		MF_FAILPOINT("answer_received");
		mf_flight_read(flight, exchange);
		flight->exchange = NULL;
		mf_http_exchange_free(exchange);
		dlist_delete(&flight->node);
		flying_count--;
		land(flight);

		/* unless somebody wants to know something, whose turn it is first */
		if (!mf_inquiry_pending() && flight->circuit->ready_count > 0)
		{
			post_ready(flight->circuit);
			posted = true;
		}
	}
	/* what has filled a slot leaves before the outcomes are recorded */
	if (posted)
		mf_http_perform(http);
}

/* A flight has its outcome. */
static void
land(MfFlight *flight)
{
	MfOutcome	outcome = mf_flight_outcome(flight);

	/* first of all: what follows may fail */
	dlist_push_tail(mf_flight_is_inquiry(flight) ? &answered : &landed, &flight->node);
	landed_count++;
	mf_circuit_ended(flight->circuit, &flight->airborne, outcome, mf_flight_retry_after(flight), GetCurrentTimestamp());
	if (!flight->circuit->reported && (outcome == MF_NOT_SENT || outcome == MF_THROTTLED))
	{
		char	   *error = mf_flight_error(flight);

		mf_circuit_report(flight->circuit, "is waiting", error);
		if (error != NULL)
			pfree(error);
	}
}

/* See sender.h. */
void
mf_sender_round_failed(bool to_blame)
{
	dlist_mutable_iter iter;
	MfCircuit  *circuit;

	while (!dlist_is_empty(&claimed))
		mf_flight_free(dlist_container(MfFlight, node, dlist_pop_head_node(&claimed)));

	dlist_foreach_modify(iter, &recorded)
	{
		bool		inquiry = mf_flight_is_inquiry(dlist_container(MfFlight, node, iter.cur));

		mf_flight_set_under_way(dlist_container(MfFlight, node, iter.cur), true);
		dlist_delete(iter.cur);
		dlist_push_head(inquiry ? &answered : &landed, iter.cur);
	}

	/* an answer about a payment that cannot be recorded is asked for again when its lease is over */
	if (to_blame && careful_rounds > 0 && suspect_flight == NULL && suspect_invoice == 0 && !dlist_is_empty(&answered))
		mf_flight_free(dlist_container(MfFlight, node, dlist_pop_head_node(&answered)));
	mf_inquiry_wake();
	dlist_foreach_modify(iter, &landed)
		dlist_container(MfFlight, node, iter.cur)->attempt_recorded = false;

	/* one that cannot be recorded goes to the end of the line */
	if (to_blame && suspect_flight != NULL)
	{
		suspect_flight->retry_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), 5000);
		dlist_delete(&suspect_flight->node);
		dlist_push_tail(&landed, &suspect_flight->node);
	}
	suspect_flight = NULL;
	if (to_blame)
		careful_rounds = CAREFUL_ROUNDS;

	/* the marks went ahead of what was claimed */
	for (circuit = mf_circuit_first(); circuit != NULL; circuit = circuit->next)
		circuit->mark = DT_NOBEGIN;
}

/* See sender.h. */
void
mf_sender_blame(Oid schema, const char *error)
{
	TimestampTz now = GetCurrentTimestamp();
	MfSqlScope	scope;
	MfFollowUp	later;
	MfJob	   *job;

	if (suspect_invoice == 0)
		return;

	job = mf_queue_lock(schema, suspect_invoice);
	if (job != NULL && job->kind != MF_JOB_NONE)
	{
		mf_sql_begin(&scope, schema);
		memset(&later, 0, sizeof(later));
		later.invoice = suspect_invoice;
		later.next = job->kind;
		later.due = TimestampTzPlusMilliseconds(now, (int64) BLAME_DELAY_MS << Min(job->step, 6));
		later.step = job->kind == MF_JOB_SEND ? job->step + 1 : job->step;
		later.error = error;
		mf_queue_follow_up(&scope, &later, 1);
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
	MfCircuit  *circuit;

	mf_sender_stop();
	for (circuit = mf_circuit_first(); circuit != NULL; circuit = circuit->next)
	{
		while (circuit->ready_count > 0)
			fail_ready(circuit, "the worker was stopped before it was sent");
	}
	while (!dlist_is_empty(&flying))
	{
		MfFlight	   *flight = dlist_container(MfFlight, node, dlist_pop_head_node(&flying));
		bool		started = flight->exchange->body_started;

		mf_http_abort(http, flight->exchange);
		flight->exchange = NULL;
		mf_circuit_dropped(flight->circuit, &flight->airborne);
		mf_flight_fail(flight, started, "the worker was stopped before the answer came");
		flying_count--;
		dlist_push_tail(mf_flight_is_inquiry(flight) ? &answered : &landed, &flight->node);
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

		if (mf_flight_is_inquiry(flight))
			continue;
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
