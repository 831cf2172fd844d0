/*
 * sender_outcomes.c
 *	  Records the outcomes of attempts and look-ups.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/sending/sender_outcomes.c
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/failpoint.h"
#include "base/log_event.h"
#include "database/sql_array.h"
#include "flight/account_turns.h"
#include "flight/claim_account.h"
#include "flow/round_items.h"
#include "process/process.h"
#include "process/wait.h"
#include "sending/claim.h"
#include "sending/sender_internal.h"
#include "store/api_proof.h"
#include "store/events.h"
#include "store/queue.h"

/* The delay until an outcome is tried again whose invoice is locked */
#define LOCKED_RETRY_MS 200

/* Outcomes recorded in one round */
#define RECORD_LIMIT 200

/* What a round records by SQL */
typedef struct Batch
{
	MfFlight  **flights;
	int64	   *invoices;
	int			count;
	MfAttemptEnd *ends;
	int			end_count;
	MfTransition *transitions;
	int			transition_count;
	MfFollowUp *follow_ups;
	int			follow_up_count;
	List	   *refuted;		/* of MfFlight: repeated requests that have made another invoice */
} Batch;

static void collect_outcomes(Batch *batch, dlist_head *landed, int limit, TimestampTz now, TimestampTz *next_round);
static void note_told(const MfSqlScope *scope, Batch *batch, const List *locked);
static void add_outcome(Batch *batch, MfFlight *flight, const MfLockedInvoice *invoice, TimestampTz now);
static void postpone_locked(const MfSqlScope *scope, MfFlight **flights, int count, dlist_head *recorded,
							TimestampTz now, TimestampTz *next_round);
static int	record_accepted(const MfSqlScope *scope, MfAttemptRows *recorder, dlist_head *landed, dlist_head *recorded,
							TimestampTz now);
static void refute(const MfSqlScope *scope, const List *flights);
static void keep_in_review(const MfLockedInvoice *invoice, MfTransition *transition);
static void report_late(const MfFlight *flight, const MfLockedInvoice *invoice);
static void move_to_recorded(MfFlight *flight, dlist_head *recorded);

void
mf_sender_save_outcomes(const MfSqlScope *scope, MfAttemptRows *recorder, dlist_head *landed, dlist_head *recorded,
						TimestampTz now, TimestampTz *next_round)
{
	Batch		batch;
	List	   *locked;
	int			limit = mf_items_room(RECORD_LIMIT);
	int			left = 0;
	int			i;

	if (recorder != NULL && !dlist_is_empty(landed))
		limit = record_accepted(scope, recorder, landed, recorded, now);
	collect_outcomes(&batch, landed, limit, now, next_round);
	if (batch.count == 0)
		return;

	if (batch.end_count > 0)
		mf_queue_end_attempts(scope, batch.ends, batch.end_count, false);

	locked = mf_queue_lock_invoices(scope, batch.invoices, batch.count);
	note_told(scope, &batch, locked);
	for (i = 0; i < batch.count; i++)
	{
		MfFlight   *flight = batch.flights[i];
		const MfLockedInvoice *invoice = mf_find_id(locked, flight->invoice);

		flight->attempt_in_round = true;
		if (invoice == NULL)
		{
			batch.flights[left++] = flight;
			continue;
		}
		add_outcome(&batch, flight, invoice, now);
		move_to_recorded(flight, recorded);
	}
	if (left > 0)
		postpone_locked(scope, batch.flights, left, recorded, now, next_round);

	if (batch.transition_count > 0)
		mf_queue_apply(scope, batch.transitions, batch.transition_count);
	if (batch.follow_up_count > 0)
		mf_queue_follow_up(scope, batch.follow_ups, batch.follow_up_count);
	refute(scope, batch.refuted);
	MF_FAILPOINT("outcome_recorded");
}

/*
 * MyFatoorah does not keep its Idempotency-Keys: from now on no request is repeated with
 * that key at that address.
 */
static void
refute(const MfSqlScope *scope, const List *flights)
{
	ListCell   *lc;

	foreach(lc, flights)
	{
		const MfFlight *flight = (const MfFlight *) lfirst(lc);
		const char *no_account;
		const MfAccount *account = mf_account_or_null(flight->throttle->account, &no_account);
		char	   *detail = psprintf("reference \"%s\": the same request with the same Idempotency-Key made invoice %s besides invoice %s",
									  flight->reference, flight->sent.invoice_id,
									  flight->answered_id ? flight->answered_id : "found before");

		/* a session may have probed, and not committed */
		mf_process_limit_lock_waits();
		if (account != NULL)
			mf_api_proof_set(scope, account, mf_http_target_checksum(flight->target), false, detail);
		ereport(LOG,
				(mf_log_event("replay_made_another",
							  "a repeated request of account \"%s\" has made another invoice", flight->throttle->account),
				 errdetail_internal("%s", detail),
				 errhint("Nobody has the link of the former; cancel it in the MyFatoorah portal. Rows go by SendPayment from now on.")));
	}
}

/* Collects the first outcomes that can be recorded now, at most so many, and allocates the batch. */
static void
collect_outcomes(Batch *batch, dlist_head *landed, int limit, TimestampTz now, TimestampTz *next_round)
{
	int			i;

	memset(batch, 0, sizeof(*batch));
	batch->flights = (MfFlight **) palloc(limit * sizeof(MfFlight *));
	batch->invoices = (int64 *) palloc(limit * sizeof(int64));
	batch->ends = (MfAttemptEnd *) palloc(limit * sizeof(MfAttemptEnd));
	batch->transitions = (MfTransition *) palloc(limit * sizeof(MfTransition));
	batch->follow_ups = (MfFollowUp *) palloc(limit * sizeof(MfFollowUp));
	batch->count = mf_flight_collect(landed, batch->flights, limit, now, next_round);
	for (i = 0; i < batch->count; i++)
	{
		const MfFlight *flight = batch->flights[i];

		batch->invoices[i] = flight->invoice;
		if (!mf_flight_is_lookup(flight) && !flight->attempt_recorded)
			mf_flight_end(flight, &batch->ends[batch->end_count++]);
	}
}

/*
 * Notes for look-ups that found nothing what webhooks have told of their invoices: then these exist.
 * Whoever has locked an invoice may have locked its entry, too, and is not waited for.
 */
static void
note_told(const MfSqlScope *scope, Batch *batch, const List *locked)
{
	int64	   *invoices = (int64 *) palloc(batch->count * sizeof(int64));
	int			count = 0;
	List	   *told;
	int			i;

	for (i = 0; i < batch->count; i++)
	{
		const MfFlight *flight = batch->flights[i];

		if ((flight->kind == MF_JOB_VERIFY || flight->kind == MF_JOB_RECONCILE) &&
			mf_flight_lookup(flight) == MF_LOOKUP_NOT_FOUND && mf_find_id(locked, flight->invoice) != NULL)
			invoices[count++] = flight->invoice;
	}
	told = count > 0 ? mf_events_told(scope, invoices, count) : NIL;
	for (i = 0; told != NIL && i < batch->count; i++)
	{
		const MfToldInvoice *item = mf_find_id(told, batch->flights[i]->invoice);

		batch->flights[i]->told_id = item ? MemoryContextStrdup(batch->flights[i]->memory, item->invoice_id) : NULL;
	}
}

/* Adds what an outcome means for its invoice, which is locked. */
static void
add_outcome(Batch *batch, MfFlight *flight, const MfLockedInvoice *invoice, TimestampTz now)
{
	MfTransition *transition = &batch->transitions[batch->transition_count];
	MfFollowUp *follow_up = &batch->follow_ups[batch->follow_up_count];
	bool		has_effect = true;
	bool		is_transition = false;

	if (invoice->status == mf_flight_expected_status(flight) && invoice->attempts == flight->attempt)
		is_transition = mf_flight_verdict(flight, now, transition, follow_up);
	else
	{
		report_late(flight, invoice);
		has_effect = mf_flight_late_verdict(flight, invoice, now, transition, &is_transition, follow_up);
	}
	if (mf_flight_made_second(flight))
		batch->refuted = lappend(batch->refuted, flight);
	if (has_effect && is_transition)
	{
		keep_in_review(invoice, transition);
		batch->transition_count++;
	}
	else if (has_effect)
		batch->follow_up_count++;
}

/*
 * Postpones outcomes whose invoices are locked.  If the invoice is gone, which the
 * triggers of mf_invoice prevent, logs the outcome.
 */
static void
postpone_locked(const MfSqlScope *scope, MfFlight **flights, int count, dlist_head *recorded, TimestampTz now,
				TimestampTz *next_round)
{
	int64	   *invoices = (int64 *) palloc(2 * count * sizeof(int64));
	int64	   *lost = invoices + count;
	int			lost_count;
	int			i;

	for (i = 0; i < count; i++)
		invoices[i] = flights[i]->invoice;
	lost_count = (int) mf_queue_lost_invoices(scope, invoices, count, lost);
	for (i = 0; i < count; i++)
	{
		MfFlight   *flight = flights[i];

		if (mf_has_id(lost, lost_count, flight->invoice))
		{
			ereport(LOG,
					(mf_log_event("row_gone",
								  "the row of invoice %lld is gone, and an answer about it has come",
								  (long long) flight->invoice),
					 errdetail("Reference \"%s\", outcome \"%s\", InvoiceId %s.", flight->reference,
							   mf_outcome_name(mf_flight_outcome(flight)),
							   flight->sent.invoice_id ? flight->sent.invoice_id : "none")));
			move_to_recorded(flight, recorded);
			continue;
		}
		flight->retry_at = TimestampTzPlusMilliseconds(now, LOCKED_RETRY_MS);
		*next_round = mf_earlier(*next_round, flight->retry_at);
	}
}

void
mf_sender_keep_answer(const MfSqlScope *scope, const MfFlight *flight)
{
	MfAttemptEnd end;

	mf_flight_end(flight, &end);
	mf_queue_end_attempts(scope, &end, 1, false);
}

/*
 * Records accepted attempts row by row, and leaves all others, and those about which
 * anything is unusual, to be recorded by SQL.  Returns how many it has left of those that
 * the round takes; what lies behind them waits for the next round, and costs no SQL there.
 */
static int
record_accepted(const MfSqlScope *scope, MfAttemptRows *recorder, dlist_head *landed, dlist_head *recorded,
				TimestampTz now)
{
	MfSentInvoice sent[RECORD_LIMIT];
	int			limit = mf_items_room(RECORD_LIMIT);
	int			count = 0;
	int			left = 0;
	dlist_mutable_iter iter;

	mf_attempt_rows_begin(recorder);
	dlist_foreach_modify(iter, landed)
	{
		MfFlight   *flight = dlist_container(MfFlight, node, iter.cur);

		if (count + left == limit)
			break;
		if (flight->retry_at > now)
			continue;
		mf_flight_add_item(flight);
		if (mf_attempt_rows_accept(recorder, flight, &sent[count]))
		{
			count++;
			move_to_recorded(flight, recorded);
		}
		else
		{
			mf_items_remove_last();
			left++;
		}
	}
	mf_attempt_rows_end(recorder);
	if (count > 0)
	{
		mf_inquiries_open_sent(scope, sent, count);
		MF_FAILPOINT("outcome_recorded");
	}
	return left;
}

static void
move_to_recorded(MfFlight *flight, dlist_head *recorded)
{
	dlist_delete(&flight->node);
	dlist_push_tail(recorded, &flight->node);
	mf_flight_set_under_way(flight, false);
	mf_turns_due(flight->throttle);
}

/* Keeps a sent invoice that may exist twice on the agenda, for mf_review. */
static void
keep_in_review(const MfLockedInvoice *invoice, MfTransition *transition)
{
	if (invoice->duplicate_suspected && transition->to == MF_STATUS_SENT && transition->next == MF_JOB_NONE)
	{
		transition->next = MF_JOB_REVIEW;
		transition->due = DT_NOEND;
	}
}

/* Logs an answer to an attempt whose invoice has another status meanwhile. */
static void
report_late(const MfFlight *flight, const MfLockedInvoice *invoice)
{
	if (mf_flight_is_lookup(flight))
		return;
	ereport(LOG,
			(mf_log_event("answer_late", "the answer to attempt %d of invoice %lld came too late",
					flight->attempt, (long long) flight->invoice),
			 errdetail("The invoice is \"%s\"; the outcome \"%s\" is kept in mf_attempt.",
					   mf_status_name(invoice->status), mf_outcome_name(mf_flight_outcome(flight)))));
}
