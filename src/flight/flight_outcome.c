/*
 * flight_outcome.c
 *	  Decides what the outcome of a flight means for its invoice.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/flight/flight_outcome.c
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/encoding.h"
#include "base/log_event.h"
#include "base/settings.h"
#include "flight/flight_internal.h"

/* The error of an invoice that was sent and has no link for the customer */
#define NO_LINK "MyFatoorah has made the invoice and given no link; the MyFatoorah portal shows it"

static bool send_verdict(const MfFlight *flight, TimestampTz now, MfTransition *transition);
static void repeated_transition(const MfAttemptEnd *end, TimestampTz answer_by, MfTransition *transition);
static bool is_second(const char *invoice_id, const char *found_id);
static void note_second(MfTransition *transition, const char *invoice_id, const char *found_id);

bool
mf_flight_verdict(const MfFlight *flight, TimestampTz now, MfTransition *transition, MfFollowUp *follow_up)
{
	mf_transition_begin(transition, flight->invoice, mf_flight_expected_status(flight), flight->attempt, now,
						"reconciler");

	memset(follow_up, 0, sizeof(*follow_up));
	follow_up->invoice = flight->invoice;
	follow_up->next = flight->kind;
	follow_up->lookups = flight->lookups;

	return flight->kind == MF_JOB_SEND ? send_verdict(flight, now, transition) :
		mf_lookup_verdict(flight, now, transition, follow_up);
}

/* The end of an attempt always changes the status. */
static bool
send_verdict(const MfFlight *flight, TimestampTz now, MfTransition *transition)
{
	MfAttemptEnd end;

	mf_flight_end(flight, &end);
	end.error = mf_flight_error(flight);
	mf_attempt_transition(&end, now, flight->answer_by, transition);

	if (transition->to == MF_STATUS_SENT && transition->duplicate == 0)
		mf_lookup_watch(flight, now, transition);
	return true;
}

void
mf_flight_end(const MfFlight *flight, MfAttemptEnd *end)
{
	const MfSendResult *sent = &flight->sent;

	memset(end, 0, sizeof(*end));
	end->invoice = flight->invoice;
	end->attempt = flight->attempt;
	end->reference = flight->reference;
	end->outcome = sent->outcome;
	/* a success that broke off is a lost answer */
	end->http_status = flight->unanswered && flight->http_status / 100 == 2 ? 0 : flight->http_status;
	end->invoice_id = sent->invoice_id;
	end->invoice_url = sent->invoice_url ? mf_from_utf8_lossy(sent->invoice_url) : NULL;
	if (sent->customer_reference != NULL && strcmp(sent->customer_reference, flight->sent_reference) != 0)
		end->answered_reference = mf_from_utf8_lossy(sent->customer_reference);
	end->recurring_id = mf_from_utf8_lossy(sent->recurring_id);
	end->error = mf_flight_details(flight);
	end->repeats = flight->repeats;
	if (flight->repeats > 0)
		end->found_id = flight->answered_id;
}

bool
mf_flight_made_second(const MfFlight *flight)
{
	return flight->repeats > 0 && flight->sent.outcome == MF_OUTCOME_ACCEPTED &&
		is_second(flight->sent.invoice_id, flight->answered_id);
}

void
mf_attempt_transition(const MfAttemptEnd *end, TimestampTz now, TimestampTz answer_by, MfTransition *transition)
{
	mf_transition_begin(transition, end->invoice, MF_STATUS_SENDING, end->attempt, now, "sender");
	transition->error = end->error;

	if (end->repeats > 0 && end->outcome != MF_OUTCOME_ACCEPTED)
	{
		repeated_transition(end, answer_by, transition);
		return;
	}
	switch (end->outcome)
	{
		case MF_OUTCOME_ACCEPTED:
			transition->to = MF_STATUS_SENT;
			transition->reference = end->reference;
			transition->invoice_id = end->invoice_id;
			transition->invoice_url = end->invoice_url;
			transition->error = NULL;
			transition->linkless = NO_LINK;
			transition->reason = end->repeats > 0 ? "the request was repeated, and gave the link" : "accepted";
			if (end->repeats > 0 && is_second(end->invoice_id, end->found_id))
				note_second(transition, end->invoice_id, end->found_id);
			break;
		case MF_OUTCOME_REJECTED:
			transition->to = MF_STATUS_REJECTED;
			break;
		case MF_OUTCOME_NOT_SENT:
			transition->to = MF_STATUS_QUEUED;
			transition->next = MF_JOB_SEND;
			break;
		case MF_OUTCOME_THROTTLED:
		case MF_OUTCOME_ACCOUNT_PROBLEM:
			/* it seems that no invoice was made; a look-up makes sure before it is sent again */
			transition->to = MF_STATUS_QUEUED;
			transition->next = MF_JOB_VERIFY;
			break;
		case MF_OUTCOME_UNKNOWN:
			transition->to = MF_STATUS_UNKNOWN;
			transition->next = MF_JOB_RECONCILE;
			transition->due = TimestampTzPlusMilliseconds(answer_by, mf_lookup_delay);
			break;
	}
}

/*
 * Of a request that was repeated for the link of an invoice that exists: whatever came of
 * it but the link, the invoice is looked up again, and nothing else is sent before.
 */
static void
repeated_transition(const MfAttemptEnd *end, TimestampTz answer_by, MfTransition *transition)
{
	transition->to = MF_STATUS_UNKNOWN;
	transition->next = MF_JOB_RECONCILE;
	if (end->outcome != MF_OUTCOME_NOT_SENT)
		transition->due = TimestampTzPlusMilliseconds(answer_by, mf_lookup_delay);
	transition->error = psprintf("the invoice exists, but the request for its link failed: %s",
								 end->error != NULL ? end->error : "no answer");
}

/* Whether the answer to a repeated request names another invoice than was found. */
static bool
is_second(const char *invoice_id, const char *found_id)
{
	return found_id == NULL || strcmp(invoice_id, found_id) != 0;
}

/* Only the invoice in the row has a link that somebody knows; a person cancels the other one. */
static void
note_second(MfTransition *transition, const char *invoice_id, const char *found_id)
{
	transition->duplicate = 1;
	transition->next = MF_JOB_REVIEW;
	transition->due = DT_NOEND;
	transition->error = mf_twin_error(found_id != NULL ? found_id : "found before", NULL, invoice_id);
	transition->reason = "the request was repeated, and made another invoice";
}

void
mf_transition_to_review(MfTransition *transition)
{
	transition->to = MF_STATUS_REVIEW;
	transition->next = MF_JOB_REVIEW;
	transition->due = DT_NOEND;
}

bool
mf_flight_late_verdict(const MfFlight *flight, const MfLockedInvoice *invoice, TimestampTz now,
					   MfTransition *transition, bool *is_transition, MfFollowUp *follow_up)
{
	char	   *url = flight->sent.invoice_url ? mf_from_utf8_lossy(flight->sent.invoice_url) : NULL;

	/* nothing but proof of an invoice changes what happens next */
	if (mf_flight_is_lookup(flight) || flight->sent.outcome != MF_OUTCOME_ACCEPTED)
		return false;

	mf_transition_begin(transition, flight->invoice, invoice->status, invoice->attempts, now, "sender");
	*is_transition = true;

	if (invoice->status == MF_STATUS_UNKNOWN && invoice->attempts == flight->attempt)
	{
		transition->to = MF_STATUS_SENT;
		transition->reference = flight->reference;
		transition->invoice_id = flight->sent.invoice_id;
		transition->invoice_url = url;
		transition->linkless = NO_LINK;
		transition->reason = "accepted; the answer came late";
		if (mf_flight_made_second(flight))
			note_second(transition, flight->sent.invoice_id, flight->answered_id);
		return true;
	}

	if (invoice->status == MF_STATUS_QUEUED || invoice->status == MF_STATUS_UNKNOWN)
	{
		mf_transition_to_review(transition);
		transition->duplicate = 1;
		transition->error = psprintf("attempt %d was accepted late, as invoice %s",
									 flight->attempt, flight->sent.invoice_id);
		return true;
	}

	*is_transition = false;
	memset(follow_up, 0, sizeof(*follow_up));
	follow_up->invoice = flight->invoice;
	follow_up->next = invoice->status == MF_STATUS_SENDING ? MF_JOB_SENDING : MF_JOB_REVIEW;
	follow_up->due = invoice->status == MF_STATUS_SENDING ? TimestampTzPlusMilliseconds(now, MF_LEASE_MARGIN_MS) :
		DT_NOEND;
	follow_up->duplicate = true;
	follow_up->error = psprintf("attempt %d was accepted late, as invoice %s",
								flight->attempt, flight->sent.invoice_id);
	return true;
}

char *
mf_twin_error(const char *other, const char *status, const char *own)
{
	if (status != NULL && pg_strcasecmp(status, "Paid") == 0)
		return psprintf("invoice %s with this row's reference was paid; invoice %s is the one in the row", other, own);
	return psprintf("invoice %s with this row's reference exists too%s%s; invoice %s is the one in the row",
					other, status ? ", InvoiceStatus " : "", status ? status : "", own);
}

void
mf_report_twin(int64 invoice, const char *error)
{
	ereport(LOG,
			(mf_log_event("possible_duplicate", "invoice %lld may exist twice", (long long) invoice),
			 errdetail_internal("%s", error),
			 errhint("Run SELECT * FROM mf_review to see what to decide.")));
}
