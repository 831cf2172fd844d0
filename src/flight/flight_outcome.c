/*
 * flight_outcome.c
 *	  What the end of a flight means for its invoice.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/flight/flight_outcome.c
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/encoding.h"
#include "base/settings.h"
#include "flight/flight.h"
#include "process/wait.h"
#include "request/request.h"

/* Times of look-ups after the first, in multiples of myfatoorah.lookup_delay */
static const int reconcile_factors[] = {1, 5, 15, 60};
static const int watch_factors[] = {60, 360, 1440, 4320};
static const int twin_factors[] = {5};

/* Errors of invoices that exist, but not for those who wait for their link */
#define NO_LINK "MyFatoorah has made the invoice and given no link; the MyFatoorah portal shows it"
#define LOST_LINK "the invoice exists, but its link was lost with the answer; the MyFatoorah portal shows it"

/* Why not to be found is no proof: an invoice is known where it was sent to, and to whose key it was sent with. */
#define ELSEWHERE "MyFatoorah does not know it, but was asked with another address or key than it was sent with"

static bool send_verdict(const MfFlight *flight, TimestampTz now, MfTransition *transition);
static bool reconcile_verdict(const MfFlight *flight, TimestampTz now, MfTransition *transition, MfFollowUp *follow_up);
static bool verify_verdict(const MfFlight *flight, TimestampTz now, MfTransition *transition, MfFollowUp *follow_up);
static void watch(const MfFlight *flight, TimestampTz now, MfTransition *transition);
static void watch_verdict(const MfFlight *flight, TimestampTz now, MfFollowUp *follow_up);
static bool count_senseless(const MfFlight *flight, const char *prefix, TimestampTz now, MfTransition *transition,
							MfFollowUp *follow_up);
static bool asked_elsewhere(const MfFlight *flight);
static bool is_about(const MfFlight *flight);
static bool too_many_references(const MfFlight *flight, MfTransition *transition);
static void ask_person(MfTransition *transition);
static void ask_again(const MfFlight *flight, TimestampTz now, MfFollowUp *follow_up);
static char *difference(const MfFlight *flight);
static bool same_amount(const char *a, const char *b);
static TimestampTz next_lookup(const int *factors, int count, int step, TimestampTz now);

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

	mf_flight_end(flight, &end);
	end.error = mf_flight_error(flight);
	mf_attempt_transition(&end, now, flight->answer_by, transition);

	if (transition->to == MF_STATUS_SENT)
		watch(flight, now, transition);
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
	end->http_status = flight->http_status;
	end->invoice_id = sent->invoice_id;
	end->invoice_url = sent->invoice_url ? mf_from_utf8_lossy(sent->invoice_url) : NULL;
	if (sent->customer_reference != NULL && strcmp(sent->customer_reference, flight->sent_reference) != 0)
		end->answered_reference = mf_from_utf8_lossy(sent->customer_reference);
	end->error = mf_flight_details(flight);
}

void
mf_attempt_transition(const MfAttemptEnd *end, TimestampTz now, TimestampTz answer_by, MfTransition *transition)
{
	memset(transition, 0, sizeof(*transition));
	transition->invoice = end->invoice;
	transition->from = MF_STATUS_SENDING;
	transition->attempt = end->attempt;
	transition->next = MF_JOB_NONE;
	transition->due = now;
	transition->error = end->error;
	transition->actor = "sender";

	switch (end->outcome)
	{
		case MF_OUTCOME_ACCEPTED:
			transition->to = MF_STATUS_SENT;
			transition->reference = end->reference;
			transition->invoice_id = end->invoice_id;
			transition->invoice_url = end->invoice_url;
			transition->error = NULL;
			transition->linkless = NO_LINK;
			transition->reason = "accepted";
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
			/* not applied as far as can be seen: that is looked at before it goes out again */
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
 * Found with what we sent: adopted, under the reference that it has.  Found with
 * anything else, or found by nobody to the end where the customer may have been
 * told, or with answers that make no sense: a person decides.  A failed look-up is
 * no answer and counts for nothing.  Where there are several references, each is
 * looked up as often as one.
 */
static bool
reconcile_verdict(const MfFlight *flight, TimestampTz now, MfTransition *transition, MfFollowUp *follow_up)
{
	bool		link_only = strcmp(flight->notification_option, "LNK") == 0;
	int			look_ups = MF_LOOKUP_STEPS * flight->asked;
	int			found_nothing = flight->step % MF_SENSELESS_STEP + 1;
	const char *answered = flight->answered_id != NULL ? flight->answered_id : flight->answered_other;
	char	   *what;

	transition->from = MF_STATUS_UNKNOWN;
	transition->actor = "reconciler";

	if (flight->found.lookup == MF_LOOKUP_FOUND)
	{
		what = difference(flight);
		if (what != NULL)
		{
			ask_person(transition);
			transition->error = what;
			return true;
		}
		if (flight->answered_id != NULL && strcmp(flight->answered_id, flight->found.values[MF_PS_INVOICE_ID]) != 0)
		{
			ask_person(transition);
			transition->duplicate = 1;
			transition->error = psprintf("look-up by reference \"%s\" found invoice %s, but the answer had spoken of invoice %s",
										 flight->reference, flight->found.values[MF_PS_INVOICE_ID], flight->answered_id);
			return true;
		}
		transition->to = MF_STATUS_SENT;
		transition->reference = flight->reference;
		transition->invoice_id = flight->found.values[MF_PS_INVOICE_ID];
		transition->reason = "found by look-up";
		transition->linkless = LOST_LINK;
		watch(flight, now, transition);
		return true;
	}

	if (flight->found.lookup == MF_LOOKUP_REFUSED || flight->found.lookup == MF_LOOKUP_SENSELESS || asked_elsewhere(flight))
		return count_senseless(flight, "outcome unknown; ", now, transition, follow_up);
	if (flight->found.lookup != MF_LOOKUP_NOT_FOUND)
	{
		ask_again(flight, now, follow_up);
		follow_up->error = psprintf("outcome unknown; the look-up failed: %s", mf_flight_error(flight));
		return false;
	}

	if (too_many_references(flight, transition))
		return true;
	if (found_nothing < look_ups)
	{
		/* the others of this round follow at once */
		follow_up->step = flight->step + 1;
		follow_up->due = flight->turn + 1 < flight->asked ? now :
			next_lookup(reconcile_factors, lengthof(reconcile_factors), (found_nothing - 1) / flight->asked, now);
		follow_up->error = psprintf("outcome unknown; look-up %d of %d found no invoice", found_nothing, look_ups);
		return false;
	}

	if (answered != NULL)
	{
		ask_person(transition);
		transition->error = psprintf("no invoice was found under %s in %d look-ups, but the answer had spoken of invoice %s",
									 flight->asked_names, look_ups, answered);
	}
	else if (!(mf_resend_policy == MF_RESEND_ALL || (mf_resend_policy == MF_RESEND_LINK && link_only)))
	{
		ask_person(transition);
		transition->error = psprintf("no invoice was found under %s in %d look-ups; the customer may have been told nonetheless",
									 flight->asked_names, look_ups);
	}
	else if (flight->resends >= mf_max_resends)
	{
		ask_person(transition);
		transition->error = psprintf("no invoice was found under %s in %d look-ups, after %d resends",
									 flight->asked_names, look_ups, flight->resends);
	}
	else
	{
		/* another server may have come to the same, and have used that reference */
		transition->to = MF_STATUS_QUEUED;
		transition->next = MF_JOB_VERIFY;
		if (flight->twin)
			transition->due = TimestampTzPlusMilliseconds(now, mf_verify_wait());
		transition->reference = flight->next_reference;
		transition->reason = "not found by look-up: queued again under a new reference";
	}
	return true;
}

/*
 * Before a row is sent that another server may have sent, or an earlier request
 * may have made although its answer looked like a refusal: not found, under none
 * of its references, means send it; found means that its outcome is to be
 * reconciled.  Whoever has changed the
 * key after a refusal is at work right now, so the question goes to a person at
 * once, and not after a schedule.
 */
static bool
verify_verdict(const MfFlight *flight, TimestampTz now, MfTransition *transition, MfFollowUp *follow_up)
{
	transition->from = MF_STATUS_QUEUED;
	transition->actor = "reconciler";

	if (is_about(flight))
	{
		transition->to = MF_STATUS_UNKNOWN;
		transition->next = MF_JOB_RECONCILE;
		transition->reference = flight->reference;
		transition->reason = flight->tried ? "found by look-up: an earlier request has made it after all" :
			"found by look-up before it was sent: another server has sent it";
		return true;
	}
	if (asked_elsewhere(flight))
	{
		ask_person(transition);
		transition->error = psprintf("the look-up by reference \"%s\" before sending again proved nothing: %s",
									 flight->reference, ELSEWHERE);
		return true;
	}
	switch (flight->found.lookup)
	{
		case MF_LOOKUP_NOT_FOUND:
			if (too_many_references(flight, transition))
				return true;
			follow_up->due = now;
			if (flight->turn + 1 < flight->asked)
				follow_up->step = flight->step + 1;
			else
			{
				follow_up->next = MF_JOB_SEND;
				follow_up->step = 0;
			}
			return false;
		case MF_LOOKUP_FOUND:
		case MF_LOOKUP_REFUSED:
		case MF_LOOKUP_SENSELESS:
			return count_senseless(flight, "not sent yet; ", now, transition, follow_up);
		default:
			ask_again(flight, now, follow_up);
			follow_up->error = psprintf("the look-up before sending failed: %s", mf_flight_error(flight));
			return false;
	}
}

/*
 * An answer to a look-up from which nothing follows: asked again as often and
 * as late as after one that found nothing, then a person decides.
 */
static bool
count_senseless(const MfFlight *flight, const char *prefix, TimestampTz now, MfTransition *transition, MfFollowUp *follow_up)
{
	int			senseless = flight->step / MF_SENSELESS_STEP;
	bool		elsewhere = asked_elsewhere(flight);
	const char *answer = elsewhere ? ELSEWHERE : flight->found.lookup == MF_LOOKUP_FOUND ?
		psprintf("it is about invoice %s with another reference", flight->found.values[MF_PS_INVOICE_ID]) :
		mf_flight_error(flight);

	if (senseless + 1 < MF_LOOKUP_STEPS)
	{
		follow_up->step = flight->step + MF_SENSELESS_STEP;
		follow_up->due = next_lookup(reconcile_factors, lengthof(reconcile_factors), senseless, now);
		follow_up->error = psprintf("%sthe answer to the look-up %s (%d of %d): %s",
									prefix, elsewhere ? "proves nothing" : "makes no sense", senseless + 1,
									MF_LOOKUP_STEPS, answer);
		return false;
	}
	ask_person(transition);
	transition->error = psprintf("%d look-ups by reference \"%s\" %s, the last so: %s",
								 MF_LOOKUP_STEPS, flight->reference,
								 elsewhere ? "proved nothing" : "were answered without sense", answer);
	return true;
}

/* Whether an invoice was not found, by a look-up that could not have found it. */
static bool
asked_elsewhere(const MfFlight *flight)
{
	return flight->found.lookup == MF_LOOKUP_NOT_FOUND && flight->elsewhere;
}

/* Whether an invoice was found that has the reference that was looked up. */
static bool
is_about(const MfFlight *flight)
{
	const char *reference = flight->found.values[MF_PS_CUSTOMER_REFERENCE];

	return flight->found.lookup == MF_LOOKUP_FOUND && reference != NULL && strcmp(reference, flight->sent_reference) == 0;
}

/* After it was sent: an earlier reference, or a twin of another server, may still turn up. */
static void
watch(const MfFlight *flight, TimestampTz now, MfTransition *transition)
{
	if (mf_flight_watched(flight) == 0)
		return;
	transition->next = MF_JOB_WATCH;
	transition->due = flight->given_up > 0 ? next_lookup(watch_factors, lengthof(watch_factors), 0, now) :
		next_lookup(twin_factors, lengthof(twin_factors), 0, now);
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
			(errmsg("invoice %lld may exist twice", (long long) invoice),
			 errdetail_internal("%s", error),
			 errhint("Run SELECT * FROM mf_review to see what to decide.")));
}

/*
 * A reference that was given up: an invoice under it would be a second one.  Under
 * the row's own, the latest invoice ought to be the row's.
 */
static void
watch_verdict(const MfFlight *flight, TimestampTz now, MfFollowUp *follow_up)
{
	bool		senseless = flight->found.lookup == MF_LOOKUP_REFUSED || flight->found.lookup == MF_LOOKUP_SENSELESS ||
		(flight->found.lookup == MF_LOOKUP_FOUND && !is_about(flight)) || asked_elsewhere(flight);
	const char *other = is_about(flight) ? flight->found.values[MF_PS_INVOICE_ID] : NULL;
	const char *own = flight->own_reference ? flight->invoice_id : NULL;
	const char *status = other ? flight->found.values[MF_PS_INVOICE_STATUS] : NULL;

	if (other != NULL && own != NULL && strcmp(other, own) == 0)
		other = NULL;
	if (other != NULL)
	{
		follow_up->error = own != NULL ?
			mf_twin_error(other, status ? mf_from_utf8_lossy(status) : NULL, own) :
			psprintf("invoice %s has turned up under the earlier reference \"%s\"", other, flight->reference);
		mf_report_twin(flight->invoice, follow_up->error);
	}
	else if (flight->found.lookup != MF_LOOKUP_NOT_FOUND && flight->found.lookup != MF_LOOKUP_FOUND && !senseless)
	{
		ask_again(flight, now, follow_up);
		return;
	}
	else if (flight->given_up == 0 ? flight->step + 1 >= MF_TWIN_ROUNDS :
			 flight->step + 1 >= MF_WATCH_ROUNDS * mf_flight_watched(flight) && flight->expires_at <= now)
	{
		follow_up->next = MF_JOB_NONE;
		if (!senseless)
			return;
		follow_up->error = psprintf("whether another invoice exists under the reference \"%s\" was not to be found out: %s",
									flight->reference, asked_elsewhere(flight) ? ELSEWHERE :
									flight->found.lookup == MF_LOOKUP_FOUND ? "the look-up was answered with another reference" :
									mf_flight_error(flight));
	}
	else
	{
		follow_up->step = Min(flight->step + 1, PG_INT16_MAX - 1);
		follow_up->due = next_lookup(watch_factors, lengthof(watch_factors),
									 follow_up->step / mf_flight_watched(flight), now);
		return;
	}
	follow_up->next = MF_JOB_REVIEW;
	follow_up->due = DT_NOEND;
	follow_up->duplicate = true;
}

/*
 * Whether a row was sent under more references than look-ups are counted of: some
 * trigger gives it a new one at each turn.
 */
static bool
too_many_references(const MfFlight *flight, MfTransition *transition)
{
	if (flight->asked <= MF_LOOKUP_REFERENCES)
		return false;
	ask_person(transition);
	transition->error = psprintf("it may have been sent under %d references, too many to look each of them up", flight->asked);
	return true;
}

/* The entry stays on the agenda, never due, for mf_review to find. */
static void
ask_person(MfTransition *transition)
{
	transition->to = MF_STATUS_REVIEW;
	transition->next = MF_JOB_REVIEW;
	transition->due = DT_NOEND;
}

/* A look-up that failed uses up no step. */
static void
ask_again(const MfFlight *flight, TimestampTz now, MfFollowUp *follow_up)
{
	follow_up->due = mf_flight_retry_time(flight, now, mf_lookup_delay);
}

bool
mf_flight_late_verdict(const MfFlight *flight, const MfLockedInvoice *invoice, TimestampTz now,
					   MfTransition *transition, bool *is_transition, MfFollowUp *follow_up)
{
	char	   *url = flight->sent.invoice_url ? mf_from_utf8_lossy(flight->sent.invoice_url) : NULL;

	/* only proof of an invoice changes what we believe */
	if (mf_flight_is_lookup(flight) || flight->sent.outcome != MF_OUTCOME_ACCEPTED)
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
		transition->to = MF_STATUS_SENT;
		transition->reference = flight->reference;
		transition->invoice_id = flight->sent.invoice_id;
		transition->invoice_url = url;
		transition->linkless = NO_LINK;
		transition->reason = "accepted; the answer came late";
		return true;
	}

	if (invoice->status == MF_STATUS_QUEUED || invoice->status == MF_STATUS_UNKNOWN)
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
	follow_up->next = invoice->status == MF_STATUS_SENDING ? MF_JOB_SENDING : MF_JOB_REVIEW;
	follow_up->due = invoice->status == MF_STATUS_SENDING ? TimestampTzPlusMilliseconds(now, MF_LEASE_MARGIN_MS) : DT_NOEND;
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

	if (!is_about(flight))
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
	double		delay = (double) mf_lookup_delay * factors[Min(step, count - 1)];

	delay *= 0.9 + 0.2 * mf_random_fraction();
	return now + (TimestampTz) (delay * 1000.0);
}
