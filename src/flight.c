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
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "flight.h"
#include "myfatoorah.h"
#include "request.h"

static bool send_verdict(const MfFlight *flight, TimestampTz now, MfTransition *transition);
static bool lookup_verdict(const MfFlight *flight, TimestampTz now, MfTransition *transition, MfDelay *delay);
static char *difference(const MfFlight *flight);
static bool same_amount(const char *a, const char *b);
static TimestampTz next_lookup(int step, TimestampTz now);

/* See flight.h. */
MfFlight *
mf_flight_create(MemoryContext context, const MfJob *job, const MfAccount *account,
				 MfHttpTarget *target, TimestampTz now)
{
	bool		is_lookup = job->kind == MF_JOB_RECONCILE;
	int			window = account->connect_timeout_ms + MF_SEND_MARGIN_MS;
	const MfRequest *request = &job->request;
	size_t		body_len;
	char	   *body;
	MemoryContext old;
	MfFlight   *flight;

	body = is_lookup ? mf_payment_status_body(mf_to_utf8(job->reference), "CustomerReference", &body_len) :
		mf_request_body(request, account, job->reference, &body_len);
	if (body == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not build the request for reference \"%s\"", job->reference)));

	/* from here on only memory can run out */
	old = MemoryContextSwitchTo(context);
	flight = (MfFlight *) palloc0(sizeof(MfFlight));
	flight->is_lookup = is_lookup;
	flight->invoice = job->invoice;
	flight->attempt = is_lookup ? job->attempts : job->attempts + 1;
	flight->reference = pstrdup(job->reference);
	flight->circuit = mf_circuit_get(job->account);
	flight->send_by = TimestampTzPlusMilliseconds(now, window);
	flight->answer_by = TimestampTzPlusMilliseconds(flight->send_by, account->timeout_ms);
	flight->send_by_clock = mf_http_clock() + (int64) window * 1000000;
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
	}
	MemoryContextSwitchTo(old);
	return flight;
}

/* See flight.h. */
void
mf_flight_free(MfFlight *flight)
{
	free(flight->body);
	if (flight->is_lookup)
	{
		mf_status_result_free(&flight->found);
		pfree(flight->invoice_value);
		pfree(flight->currency);
		pfree(flight->notification_option);
	}
	else
		mf_send_result_free(&flight->sent);
	pfree(flight->reference);
	pfree(flight);
}

/* See flight.h. */
const char *
mf_flight_path(const MfFlight *flight)
{
	return flight->is_lookup ? MF_PATH_GET_PAYMENT_STATUS : MF_PATH_SEND_PAYMENT;
}

/* See flight.h. */
void
mf_flight_read(MfFlight *flight, const MfHttpExchange *exchange)
{
	int64		now = (int64) time(NULL);

	flight->http_status = (int) exchange->http_status;
	if (flight->is_lookup)
		mf_status_result_read(exchange, now, &flight->found);
	else
		mf_send_result_read(exchange, flight->reference, now, &flight->sent);
}

/* See flight.h. */
void
mf_flight_fail(MfFlight *flight, bool started, const char *error)
{
	if (flight->is_lookup)
	{
		flight->found.lookup = MF_LOOKUP_FAILED;
		flight->found.not_sent = !started;
		flight->found.error = strdup(error);
		flight->found.retry_after = -1;
	}
	else
	{
		flight->sent.outcome = started ? MF_UNKNOWN : MF_NOT_SENT;
		flight->sent.error = strdup(error);
		flight->sent.retry_after = -1;
	}
}

/* See flight.h. */
MfOutcome
mf_flight_outcome(const MfFlight *flight)
{
	if (!flight->is_lookup)
		return flight->sent.outcome;

	switch (flight->found.lookup)
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
	return flight->found.not_sent ? MF_NOT_SENT : MF_UNKNOWN;
}

/* See flight.h. */
int
mf_flight_retry_after(const MfFlight *flight)
{
	return flight->is_lookup ? flight->found.retry_after : flight->sent.retry_after;
}

/* See flight.h. */
char *
mf_flight_error(const MfFlight *flight)
{
	const char *utf8 = flight->is_lookup ? flight->found.error : flight->sent.error;

	return utf8 ? mf_from_utf8_lossy(utf8) : NULL;
}

/* See flight.h. */
bool
mf_flight_verdict(const MfFlight *flight, TimestampTz now, MfTransition *transition, MfDelay *delay)
{
	memset(transition, 0, sizeof(*transition));
	transition->invoice = flight->invoice;
	transition->attempt = flight->attempt;
	transition->next = MF_JOB_NONE;
	transition->due = now;

	return flight->is_lookup ? lookup_verdict(flight, now, transition, delay) :
		send_verdict(flight, now, transition);
}

/* Every end of an attempt is a transition. */
static bool
send_verdict(const MfFlight *flight, TimestampTz now, MfTransition *transition)
{
	transition->from = MF_SENDING;
	transition->error = mf_flight_error(flight);
	transition->actor = "sender";

	switch (flight->sent.outcome)
	{
		case MF_ACCEPTED:
			transition->to = MF_SENT;
			transition->invoice_id = flight->sent.invoice_id;
			transition->invoice_url = flight->sent.invoice_url ? mf_from_utf8_lossy(flight->sent.invoice_url) : NULL;
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
			transition->due = TimestampTzPlusMilliseconds(flight->answer_by, mf_reconcile_delay);
			break;
	}
	return true;
}

/*
 * Found with what we sent: adopted.  Found with anything else, or found by
 * nobody to the end where the customer may have been told: a person decides.
 * A failed look-up is no answer and counts for nothing.
 */
static bool
lookup_verdict(const MfFlight *flight, TimestampTz now, MfTransition *transition, MfDelay *delay)
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
			transition->to = MF_REVIEW;
			transition->error = what;
			return true;
		}
		transition->to = MF_SENT;
		transition->invoice_id = flight->found.values[MF_PS_INVOICE_ID];
		transition->reason = "found by look-up";
		if (link_only)
			transition->error = "the invoice exists, but its link was lost with the answer; the MyFatoorah portal shows it";
		return true;
	}

	if (flight->found.lookup == MF_NOT_FOUND && flight->step + 1 >= MF_LOOKUP_STEPS)
	{
		if (mf_resend == MF_RESEND_ALL || (mf_resend == MF_RESEND_LINK && link_only))
		{
			transition->to = MF_QUEUED;
			transition->next = MF_JOB_SEND;
			transition->reference = mf_next_reference(flight->reference);
			transition->reason = "not found by look-up: sent again under a new reference";
			return true;
		}
		transition->to = MF_REVIEW;
		transition->error = psprintf("no invoice was found under reference \"%s\" in %d look-ups; the customer may have been told nonetheless",
									 flight->reference, MF_LOOKUP_STEPS);
		return true;
	}

	memset(delay, 0, sizeof(*delay));
	delay->invoice = flight->invoice;
	if (flight->found.lookup == MF_NOT_FOUND)
	{
		delay->step = flight->step + 1;
		delay->due = next_lookup(flight->step, now);
		delay->error = psprintf("outcome unknown; look-up %d of %d found no invoice", flight->step + 1, MF_LOOKUP_STEPS);
	}
	else
	{
		delay->step = flight->step;
		delay->due = TimestampTzPlusMilliseconds(now, mf_reconcile_delay);
		delay->error = psprintf("outcome unknown; the look-up failed: %s", mf_flight_error(flight));
	}
	return false;
}

/* How the invoice found differs from the one sent, palloc'd; NULL if it does not. */
static char *
difference(const MfFlight *flight)
{
	char	   *const *values = flight->found.values;
	const char *amount = values[MF_PS_INVOICE_DISPLAY_VALUE];
	const char *currency = values[MF_PS_DISPLAY_CURRENCY];
	const char *reference = values[MF_PS_CUSTOMER_REFERENCE];

	if (reference == NULL || strcmp(reference, mf_to_utf8(flight->reference)) != 0)
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

/* 1, 5, 15 and 60 times the delay, give or take a tenth. */
static TimestampTz
next_lookup(int step, TimestampTz now)
{
	static const int factors[] = {1, 5, 15, 60};
	double		delay = (double) mf_reconcile_delay * factors[Min(step, (int) lengthof(factors) - 1)];

	delay *= 0.9 + 0.2 * mf_random_fraction();
	return now + (TimestampTz) (delay * 1000.0);
}
