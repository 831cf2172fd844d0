/*
 * flight.c
 *	  One request of the worker, from its claim to its recorded outcome.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/flight.c
 */
#include "postgres.h"

#include <time.h>

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "flight.h"
#include "myfatoorah.h"
#include "public_url.h"
#include "request.h"

/* Times of look-ups after the first, in multiples of myfatoorah.reconcile_delay */
static const int reconcile_factors[] = {1, 5, 15, 60};
static const int watch_factors[] = {60, 360, 1440, 4320};

/* Invoices that have a flight under way */
typedef struct UnderWayKey
{
	int64		invoice;
	int64		inquiry;		/* bool */
} UnderWayKey;

typedef struct UnderWay
{
	UnderWayKey key;
	int			count;
} UnderWay;

static HTAB *flights_under_way = NULL;

static bool send_verdict(const MfFlight *flight, TimestampTz now, MfTransition *transition);
static bool reconcile_verdict(const MfFlight *flight, TimestampTz now, MfTransition *transition, MfFollowUp *follow_up);
static bool verify_verdict(const MfFlight *flight, TimestampTz now, MfTransition *transition, MfFollowUp *follow_up);
static void watch_verdict(const MfFlight *flight, TimestampTz now, MfFollowUp *follow_up);
static void ask_person(MfTransition *transition);
static void ask_again(const MfFlight *flight, TimestampTz now, MfFollowUp *follow_up);
static char *difference(const MfFlight *flight);
static bool same_amount(const char *a, const char *b);
static TimestampTz next_lookup(const int *factors, int count, int step, TimestampTz now);

/* See flight.h. */
bool
mf_flight_is_lookup(const MfFlight *flight)
{
	return flight->kind != MF_JOB_SEND;
}

/* See flight.h. */
MfStatus
mf_flight_expected_status(const MfFlight *flight)
{
	switch (flight->kind)
	{
		case MF_JOB_SEND:
			return MF_SENDING;
		case MF_JOB_RECONCILE:
			return MF_STATUS_UNKNOWN;
		case MF_JOB_VERIFY:
			return MF_QUEUED;
		default:
			return MF_SENT;
	}
}

/* See flight.h. */
MfFlight *
mf_flight_create(MemoryContext context, const MfJob *job, const MfAccount *account,
				 MfHttpTarget *target, List *old_references)
{
	bool		is_lookup = job->kind != MF_JOB_SEND;
	const char *reference = job->reference;
	int			window = account->connect_timeout_ms + MF_SEND_MARGIN_MS;
	MfRequest	filled = job->request;
	const MfRequest *request = &filled;
	size_t		body_len;
	char	   *body;
	MemoryContext old;
	MfFlight   *flight;

	if (job->kind == MF_JOB_WATCH)
		reference = (const char *) list_nth(old_references, job->step % list_length(old_references));
	if (!is_lookup)
		mf_fill_urls(&filled, account, job->invoice, job->reference);
	body = is_lookup ? mf_payment_status_body(mf_to_utf8(reference), "CustomerReference", &body_len) :
		mf_request_body(request, account, job->reference, &body_len);
	if (body == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not build the request for reference \"%s\"", job->reference)));

	/* from here on only memory can run out */
	old = MemoryContextSwitchTo(context);
	flight = (MfFlight *) palloc0(sizeof(MfFlight));
	flight->kind = job->kind;
	flight->invoice = job->invoice;
	flight->attempt = is_lookup ? job->attempts : job->attempts + 1;
	flight->reference = pstrdup(reference);
	flight->sent_reference = pstrdup(mf_to_utf8(reference));
	flight->circuit = mf_circuit_get(job->account);

	/* the clock that the gate obeys first: if we are frozen in between, it must be the earlier one */
	flight->send_by_clock = mf_http_clock() + (int64) window * 1000000;
	flight->send_by = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), window);
	flight->answer_by = TimestampTzPlusMilliseconds(flight->send_by, account->timeout_ms);
	flight->target = target;
	flight->body = body;
	flight->body_len = body_len;
	if (is_lookup)
	{
		flight->invoice_value =
			DatumGetCString(DirectFunctionCall1(numeric_out, request->values[MF_SP_INVOICE_VALUE]));
		flight->currency = request->isnull[MF_SP_DISPLAY_CURRENCY_ISO] ? pstrdup(account->currency) :
			TextDatumGetCString(request->values[MF_SP_DISPLAY_CURRENCY_ISO]);
		flight->notification_option = TextDatumGetCString(request->values[MF_SP_NOTIFICATION_OPTION]);
		flight->step = job->step;
		if (!request->isnull[MF_SP_EXPIRY_DATE])
			flight->expires_at = DatumGetTimestampTz(request->values[MF_SP_EXPIRY_DATE]);
	}
	flight->given_up = list_length(old_references);
	MemoryContextSwitchTo(old);
	return flight;
}

/* See flight.h. */
bool
mf_flight_is_inquiry(const MfFlight *flight)
{
	return flight->kind > MF_JOB_NONE;
}

/* See flight.h. */
void
mf_flight_set_under_way(MfFlight *flight, bool under_way)
{
	UnderWayKey key;
	UnderWay   *entry;
	bool		found;

	if (flight->invoice == 0 || flight->under_way == under_way)
		return;
	if (flights_under_way == NULL)
	{
		HASHCTL		control = {0};

		control.keysize = sizeof(UnderWayKey);
		control.entrysize = sizeof(UnderWay);
		flights_under_way = hash_create("myfatoorah flights under way", 256, &control, HASH_ELEM | HASH_BLOBS);
	}
	memset(&key, 0, sizeof(key));
	key.invoice = flight->invoice;
	key.inquiry = mf_flight_is_inquiry(flight);
	entry = (UnderWay *) hash_search(flights_under_way, &key, HASH_ENTER, &found);
	if (!found)
		entry->count = 0;
	entry->count += under_way ? 1 : -1;
	if (entry->count == 0)
		(void) hash_search(flights_under_way, &key, HASH_REMOVE, NULL);
	flight->under_way = under_way;
}

/* See flight.h. */
bool
mf_flight_under_way(int64 invoice, bool inquiry)
{
	UnderWayKey key;

	if (flights_under_way == NULL)
		return false;
	memset(&key, 0, sizeof(key));
	key.invoice = invoice;
	key.inquiry = inquiry;
	return hash_search(flights_under_way, &key, HASH_FIND, NULL) != NULL;
}

/* See flight.h. */
MfFlight *
mf_flight_create_inquiry(MemoryContext context, MfJobKind kind, const MfInquiryJob *job,
						 const MfAccount *account, MfHttpTarget *target, char *body, size_t body_len)
{
	int			window = account->connect_timeout_ms + MF_SEND_MARGIN_MS;
	MemoryContext old;
	MfFlight   *flight;

	if (body == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not build an inquiry of account \"%s\"", account->name)));
	old = MemoryContextSwitchTo(context);
	flight = (MfFlight *) palloc0(sizeof(MfFlight));
	flight->kind = kind;
	flight->circuit = mf_circuit_get(account->name);
	if (job != NULL)
	{
		flight->invoice = job->invoice;
		flight->inquiry = (MfInquiryJob *) palloc(sizeof(MfInquiryJob));
		*flight->inquiry = *job;
		flight->inquiry->account = flight->circuit->account;
		flight->inquiry->created_by = NULL;
		flight->inquiry->key = pstrdup(job->key);
	}
	flight->send_by_clock = mf_http_clock() + (int64) window * 1000000;
	flight->send_by = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), window);
	flight->answer_by = TimestampTzPlusMilliseconds(flight->send_by, account->timeout_ms);
	flight->target = target;
	flight->body = body;
	flight->body_len = body_len;
	MemoryContextSwitchTo(old);
	return flight;
}

/* See flight.h. */
void
mf_flight_free(MfFlight *flight)
{
	mf_flight_set_under_way(flight, false);
	free(flight->body);
	mf_send_result_free(&flight->sent);
	mf_payment_free(&flight->payment);
	mf_status_result_free(&flight->found);
	mf_refund_result_free(&flight->refunds);
	mf_webhook_log_result_free(&flight->log);
	if (flight->inquiry != NULL)
	{
		pfree(flight->inquiry->key);
		pfree(flight->inquiry);
	}
	if (flight->invoice_value != NULL)
	{
		pfree(flight->invoice_value);
		pfree(flight->currency);
		pfree(flight->notification_option);
	}
	if (flight->reference != NULL)
	{
		pfree(flight->reference);
		pfree(flight->sent_reference);
	}
	pfree(flight);
}

/* See flight.h. */
const char *
mf_flight_path(const MfFlight *flight)
{
	switch (flight->kind)
	{
		case MF_JOB_SEND:
			return MF_PATH_SEND_PAYMENT;
		case MF_JOB_REFUNDS:
			return MF_PATH_GET_REFUND_STATUS;
		case MF_JOB_WEBHOOK_LOG:
			return MF_PATH_GET_WEBHOOKS;
		default:
			return MF_PATH_GET_PAYMENT_STATUS;
	}
}

/* See flight.h. */
void
mf_flight_read(MfFlight *flight, const MfHttpExchange *exchange)
{
	int64		now = (int64) time(NULL);

	flight->http_status = (int) exchange->http_status;
	switch (flight->kind)
	{
		case MF_JOB_SEND:
			mf_send_result_read(exchange, flight->sent_reference, now, &flight->sent);
			break;
		case MF_JOB_REFUNDS:
			mf_refund_result_read(exchange, now, &flight->refunds);
			break;
		case MF_JOB_WEBHOOK_LOG:
			mf_webhook_log_result_read(exchange, now, &flight->log);
			break;
		default:
			mf_status_result_read(exchange, now, &flight->found);
			if (flight->kind == MF_JOB_INQUIRY && flight->found.lookup == MF_FOUND &&
				!mf_payment_read(&flight->found, &flight->payment))
				flight->found.lookup = MF_LOOKUP_FAILED;
			break;
	}
}

/* See flight.h. */
void
mf_flight_fail(MfFlight *flight, bool started, const char *error)
{
	switch (flight->kind)
	{
		case MF_JOB_SEND:
			flight->sent.outcome = started ? MF_UNKNOWN : MF_NOT_SENT;
			flight->sent.error = strdup(error);
			flight->sent.retry_after = -1;
			break;
		case MF_JOB_REFUNDS:
			flight->refunds.lookup = MF_LOOKUP_FAILED;
			flight->refunds.not_sent = !started;
			flight->refunds.error = strdup(error);
			flight->refunds.retry_after = -1;
			break;
		case MF_JOB_WEBHOOK_LOG:
			flight->log.lookup = MF_LOOKUP_FAILED;
			flight->log.not_sent = !started;
			flight->log.error = strdup(error);
			flight->log.retry_after = -1;
			break;
		default:
			flight->found.lookup = MF_LOOKUP_FAILED;
			flight->found.not_sent = !started;
			flight->found.error = strdup(error);
			flight->found.retry_after = -1;
			break;
	}
}

/* See flight.h. */
MfLookup
mf_flight_lookup(const MfFlight *flight)
{
	switch (flight->kind)
	{
		case MF_JOB_REFUNDS:
			return flight->refunds.lookup;
		case MF_JOB_WEBHOOK_LOG:
			return flight->log.lookup;
		default:
			return flight->found.lookup;
	}
}

/* See flight.h. */
MfOutcome
mf_flight_outcome(const MfFlight *flight)
{
	if (!mf_flight_is_lookup(flight))
		return flight->sent.outcome;

	switch (mf_flight_lookup(flight))
	{
		case MF_FOUND:
		case MF_NOT_FOUND:
			return MF_ACCEPTED;
		case MF_LOOKUP_REFUSED:
			return MF_REJECTED;
		case MF_LOOKUP_THROTTLED:
			return MF_THROTTLED;
		case MF_LOOKUP_ACCOUNT_PROBLEM:
			return MF_ACCOUNT_PROBLEM;
		case MF_LOOKUP_FAILED:
			break;
	}
	return flight->found.not_sent || flight->refunds.not_sent || flight->log.not_sent ? MF_NOT_SENT : MF_UNKNOWN;
}

/* See flight.h. */
int
mf_flight_retry_after(const MfFlight *flight)
{
	switch (flight->kind)
	{
		case MF_JOB_SEND:
			return flight->sent.retry_after;
		case MF_JOB_REFUNDS:
			return flight->refunds.retry_after;
		case MF_JOB_WEBHOOK_LOG:
			return flight->log.retry_after;
		default:
			return flight->found.retry_after;
	}
}

/* See flight.h. */
char *
mf_flight_error(const MfFlight *flight)
{
	const char *utf8;

	switch (flight->kind)
	{
		case MF_JOB_SEND:
			utf8 = flight->sent.error;
			break;
		case MF_JOB_REFUNDS:
			utf8 = flight->refunds.error;
			break;
		case MF_JOB_WEBHOOK_LOG:
			utf8 = flight->log.error;
			break;
		default:
			utf8 = flight->found.error;
			break;
	}
	return utf8 ? mf_from_utf8_lossy(utf8) : NULL;
}

/* See flight.h. */
bool
mf_flight_verdict(const MfFlight *flight, TimestampTz now, MfTransition *transition, MfFollowUp *follow_up)
{
	memset(transition, 0, sizeof(*transition));
	transition->invoice = flight->invoice;
	transition->attempt = flight->attempt;
	transition->next = MF_JOB_NONE;
	transition->due = now;

	memset(follow_up, 0, sizeof(*follow_up));
	follow_up->invoice = flight->invoice;
	follow_up->next = flight->kind;
	follow_up->step = flight->step;

	switch (flight->kind)
	{
		case MF_JOB_SEND:
			return send_verdict(flight, now, transition);
		case MF_JOB_RECONCILE:
			return reconcile_verdict(flight, now, transition, follow_up);
		case MF_JOB_VERIFY:
			return verify_verdict(flight, now, transition, follow_up);
		case MF_JOB_WATCH:
			watch_verdict(flight, now, follow_up);
			return false;
		default:
			break;
	}
	elog(ERROR, "unknown kind of flight");
	return false;
}

/* Every end of an attempt is a transition. */
static bool
send_verdict(const MfFlight *flight, TimestampTz now, MfTransition *transition)
{
	MfAttemptEnd end;

	memset(&end, 0, sizeof(end));
	end.invoice = flight->invoice;
	end.attempt = flight->attempt;
	end.outcome = flight->sent.outcome;
	end.invoice_id = flight->sent.invoice_id;
	end.invoice_url = flight->sent.invoice_url ? mf_from_utf8_lossy(flight->sent.invoice_url) : NULL;
	end.error = mf_flight_error(flight);
	mf_attempt_transition(&end, now, flight->answer_by, transition);

	/* an earlier reference may still turn up */
	if (transition->to == MF_SENT && flight->given_up > 0)
	{
		transition->next = MF_JOB_WATCH;
		transition->due = next_lookup(watch_factors, lengthof(watch_factors), 0, now);
	}
	return true;
}

/* See flight.h. */
void
mf_attempt_transition(const MfAttemptEnd *end, TimestampTz now, TimestampTz answer_by, MfTransition *transition)
{
	memset(transition, 0, sizeof(*transition));
	transition->invoice = end->invoice;
	transition->from = MF_SENDING;
	transition->attempt = end->attempt;
	transition->next = MF_JOB_NONE;
	transition->due = now;
	transition->error = end->error;
	transition->actor = "sender";

	switch (end->outcome)
	{
		case MF_ACCEPTED:
			transition->to = MF_SENT;
			transition->invoice_id = end->invoice_id;
			transition->invoice_url = end->invoice_url;
			transition->error = NULL;
			transition->reason = "accepted";
			break;
		case MF_REJECTED:
			transition->to = MF_STATUS_REJECTED;
			break;
		case MF_NOT_SENT:
		case MF_THROTTLED:
		case MF_ACCOUNT_PROBLEM:
			transition->to = MF_QUEUED;
			transition->next = MF_JOB_SEND;
			break;
		case MF_UNKNOWN:
			transition->to = MF_STATUS_UNKNOWN;
			transition->next = MF_JOB_RECONCILE;
			transition->due = TimestampTzPlusMilliseconds(answer_by, mf_reconcile_delay);
			break;
	}
}

/*
 * Found with what we sent: adopted.  Found with anything else, or found by
 * nobody to the end where the customer may have been told: a person decides.
 * A failed look-up is no answer and counts for nothing.
 */
static bool
reconcile_verdict(const MfFlight *flight, TimestampTz now, MfTransition *transition, MfFollowUp *follow_up)
{
	bool		link_only = strcmp(flight->notification_option, "LNK") == 0;
	char	   *what;

	transition->from = MF_STATUS_UNKNOWN;
	transition->actor = "reconciler";

	if (flight->found.lookup == MF_FOUND)
	{
		what = difference(flight);
		if (what != NULL)
		{
			ask_person(transition);
			transition->error = what;
			return true;
		}
		transition->to = MF_SENT;
		transition->invoice_id = flight->found.values[MF_PS_INVOICE_ID];
		transition->reason = "found by look-up";
		if (link_only)
			transition->error = "the invoice exists, but its link was lost with the answer; the MyFatoorah portal shows it";
		if (flight->given_up > 0)
		{
			transition->next = MF_JOB_WATCH;
			transition->due = next_lookup(watch_factors, lengthof(watch_factors), 0, now);
		}
		return true;
	}

	if (flight->found.lookup != MF_NOT_FOUND)
	{
		ask_again(flight, now, follow_up);
		follow_up->error = psprintf("outcome unknown; the look-up failed: %s", mf_flight_error(flight));
		return false;
	}

	if (flight->step + 1 < MF_LOOKUP_STEPS)
	{
		follow_up->step = flight->step + 1;
		follow_up->due = next_lookup(reconcile_factors, lengthof(reconcile_factors), flight->step, now);
		follow_up->error = psprintf("outcome unknown; look-up %d of %d found no invoice", flight->step + 1, MF_LOOKUP_STEPS);
		return false;
	}

	if (!(mf_resend == MF_RESEND_ALL || (mf_resend == MF_RESEND_LINK && link_only)))
	{
		ask_person(transition);
		transition->error = psprintf("no invoice was found under reference \"%s\" in %d look-ups; the customer may have been told nonetheless",
									 flight->reference, MF_LOOKUP_STEPS);
	}
	else if (flight->given_up >= mf_max_resends)
	{
		ask_person(transition);
		transition->error = psprintf("no invoice was found under reference \"%s\" in %d look-ups, after %d resends",
									 flight->reference, MF_LOOKUP_STEPS, flight->given_up);
	}
	else
	{
		transition->to = MF_QUEUED;
		transition->next = MF_JOB_SEND;
		transition->reference = mf_next_reference(flight->reference);
		transition->reason = "not found by look-up: sent again under a new reference";
	}
	return true;
}

/*
 * Before the first send of a row that another server may have sent: not found
 * means send it; found means that its outcome is to be reconciled.
 */
static bool
verify_verdict(const MfFlight *flight, TimestampTz now, MfTransition *transition, MfFollowUp *follow_up)
{
	if (flight->found.lookup == MF_FOUND)
	{
		transition->from = MF_QUEUED;
		transition->to = MF_STATUS_UNKNOWN;
		transition->actor = "reconciler";
		transition->next = MF_JOB_RECONCILE;
		transition->reason = "found by look-up before its first send: another server has sent it";
		return true;
	}
	if (flight->found.lookup == MF_NOT_FOUND)
	{
		follow_up->next = MF_JOB_SEND;
		follow_up->due = now;
		follow_up->step = 0;
	}
	else
	{
		ask_again(flight, now, follow_up);
		follow_up->error = psprintf("the look-up before sending failed: %s", mf_flight_error(flight));
	}
	return false;
}

/* A reference that was given up: an invoice under it would be a second one. */
static void
watch_verdict(const MfFlight *flight, TimestampTz now, MfFollowUp *follow_up)
{
	if (flight->found.lookup == MF_FOUND)
	{
		follow_up->next = MF_JOB_REVIEW;
		follow_up->due = DT_NOEND;
		follow_up->duplicate = true;
		follow_up->error = psprintf("invoice %s has turned up under the earlier reference \"%s\"",
									flight->found.values[MF_PS_INVOICE_ID], flight->reference);
		ereport(LOG,
				(errmsg("invoice " INT64_FORMAT " may exist twice", flight->invoice),
				 errdetail_internal("%s", follow_up->error),
				 errhint("SELECT * FROM mf_review tells more.")));
	}
	else if (flight->found.lookup != MF_NOT_FOUND)
		ask_again(flight, now, follow_up);
	else if (flight->step + 1 >= MF_WATCH_ROUNDS * flight->given_up && flight->expires_at <= now)
		follow_up->next = MF_JOB_NONE;
	else
	{
		follow_up->step = Min(flight->step + 1, PG_INT16_MAX - 1);
		follow_up->due = next_lookup(watch_factors, lengthof(watch_factors), follow_up->step / flight->given_up, now);
	}
}

/* The entry stays on the agenda, never due, for mf_review to find. */
static void
ask_person(MfTransition *transition)
{
	transition->to = MF_REVIEW;
	transition->next = MF_JOB_REVIEW;
	transition->due = DT_NOEND;
}

/* A look-up that failed uses up no step. */
static void
ask_again(const MfFlight *flight, TimestampTz now, MfFollowUp *follow_up)
{
	int			retry_after = mf_flight_retry_after(flight);

	follow_up->due = TimestampTzPlusMilliseconds(now, retry_after >= 0 ? (int64) retry_after * 1000 : mf_reconcile_delay);
}

/* See flight.h. */
bool
mf_flight_late_verdict(const MfFlight *flight, const MfLockedInvoice *invoice, TimestampTz now,
					   MfTransition *transition, bool *is_transition, MfFollowUp *follow_up)
{
	char	   *url = flight->sent.invoice_url ? mf_from_utf8_lossy(flight->sent.invoice_url) : NULL;

	/* only proof of an invoice changes what we believe */
	if (mf_flight_is_lookup(flight) || flight->sent.outcome != MF_ACCEPTED)
		return false;

	memset(transition, 0, sizeof(*transition));
	transition->invoice = flight->invoice;
	transition->from = invoice->status;
	transition->attempt = invoice->attempts;
	transition->next = MF_JOB_NONE;
	transition->due = now;
	transition->actor = "sender";
	*is_transition = true;

	if (invoice->status == MF_STATUS_UNKNOWN && invoice->attempts == flight->attempt)
	{
		transition->to = MF_SENT;
		transition->invoice_id = flight->sent.invoice_id;
		transition->invoice_url = url;
		transition->reason = "accepted; the answer came late";
		return true;
	}

	if (invoice->status == MF_QUEUED || invoice->status == MF_STATUS_UNKNOWN)
	{
		ask_person(transition);
		transition->duplicate = 1;
		transition->error = psprintf("attempt %d was accepted late, as invoice %s",
									 flight->attempt, flight->sent.invoice_id);
		return true;
	}

	*is_transition = false;
	memset(follow_up, 0, sizeof(*follow_up));
	follow_up->invoice = flight->invoice;
	follow_up->next = invoice->status == MF_SENDING ? MF_JOB_SENDING : MF_JOB_REVIEW;
	follow_up->due = invoice->status == MF_SENDING ? TimestampTzPlusMilliseconds(now, MF_LEASE_MARGIN_MS) : DT_NOEND;
	follow_up->duplicate = true;
	follow_up->error = psprintf("attempt %d was accepted late, as invoice %s",
								flight->attempt, flight->sent.invoice_id);
	return true;
}

/* How the invoice found differs from the one sent, palloc'd; NULL if it does not. */
static char *
difference(const MfFlight *flight)
{
	char	   *const *values = flight->found.values;
	const char *amount = values[MF_PS_INVOICE_DISPLAY_VALUE];
	const char *currency = values[MF_PS_DISPLAY_CURRENCY];
	const char *reference = values[MF_PS_CUSTOMER_REFERENCE];

	if (reference == NULL || strcmp(reference, flight->sent_reference) != 0)
		return psprintf("look-up by reference \"%s\" found invoice %s with another reference",
						flight->reference, values[MF_PS_INVOICE_ID]);

	/* the display value is in the currency that we asked for */
	if (amount == NULL || currency == NULL)
		return psprintf("look-up by reference \"%s\" found invoice %s without a readable amount",
						flight->reference, values[MF_PS_INVOICE_ID]);
	if (strcmp(currency, flight->currency) != 0 || !same_amount(amount, flight->invoice_value))
		return psprintf("look-up by reference \"%s\" found invoice %s of %s %s instead of %s %s",
						flight->reference, values[MF_PS_INVOICE_ID], amount, currency,
						flight->invoice_value, flight->currency);
	return NULL;
}

/* Whether two plain decimals are the same number. */
static bool
same_amount(const char *a, const char *b)
{
	Datum		left = DirectFunctionCall3(numeric_in, CStringGetDatum(a), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	Datum		right = DirectFunctionCall3(numeric_in, CStringGetDatum(b), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));

	return DatumGetBool(DirectFunctionCall2(numeric_eq, left, right));
}

/* A multiple of the delay, give or take a tenth. */
static TimestampTz
next_lookup(const int *factors, int count, int step, TimestampTz now)
{
	double		delay = (double) mf_reconcile_delay * factors[Min(step, count - 1)];

	delay *= 0.9 + 0.2 * mf_random_fraction();
	return now + (TimestampTz) (delay * 1000.0);
}
