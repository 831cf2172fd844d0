/*
 * flight_lookup.c
 *	  Decides what the result of a look-up means for its invoice.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/flight/flight_lookup.c
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "account/account_option.h"
#include "base/compat.h"
#include "base/encoding.h"
#include "base/settings.h"
#include "flight/flight_internal.h"
#include "process/wait.h"
#include "store/ledger.h"

/* Delays between look-ups, in multiples of myfatoorah.lookup_delay; the last one repeats */
static const int reconcile_factors[] = {1, 5, 15, 60};
static const int watch_factors[] = {60, 360, 1440, 4320};
static const int twin_factors[] = {5};

/* The error of an invoice that was found, without a link for the customer */
#define LOST_LINK "the invoice exists, but its link was lost with the answer; the MyFatoorah portal shows it"

/* Why nothing found proves nothing: MyFatoorah finds an invoice only by the address and key that it was sent with. */
#define ELSEWHERE "MyFatoorah does not know it, but was asked with another address or key than it was sent with"

/* Likewise, of POST /v3/payments */
#define UNPROVED "MyFatoorah does not know it, but mf_probe_idempotency() has not shown that it finds invoices of POST /v3/payments"

static bool reconcile_verdict(const MfFlight *flight, TimestampTz now, MfTransition *transition, MfFollowUp *follow_up);
static bool is_replay_wanted(const MfFlight *flight);
static void adopt_found(const MfFlight *flight, TimestampTz now, MfTransition *transition);
static bool reconcile_not_found(const MfFlight *flight, TimestampTz now, MfTransition *transition,
								MfFollowUp *follow_up);
static bool count_not_found(const MfFlight *flight, const char *prefix, TimestampTz now, MfFollowUp *follow_up);
static bool contradicts_not_found(const MfFlight *flight, MfTransition *transition);
static bool verify_verdict(const MfFlight *flight, TimestampTz now, MfTransition *transition, MfFollowUp *follow_up);
static void watch_verdict(const MfFlight *flight, TimestampTz now, MfFollowUp *follow_up);
static bool is_watch_over(const MfFlight *flight, TimestampTz now);
static bool count_senseless(const MfFlight *flight, const char *prefix, TimestampTz now, MfTransition *transition,
							MfFollowUp *follow_up);
static bool is_no_proof(const MfFlight *flight);
static const char *no_proof_reason(const MfFlight *flight);
static bool is_about_reference(const MfFlight *flight);
static bool too_many_references(const MfFlight *flight, MfTransition *transition);
static void repeat_failed(const MfFlight *flight, TimestampTz now, MfFollowUp *follow_up);
static char *describe_difference(const MfFlight *flight);
static TimestampTz next_lookup(const int *factors, int count, int lookups, TimestampTz now);

bool
mf_lookup_verdict(const MfFlight *flight, TimestampTz now, MfTransition *transition, MfFollowUp *follow_up)
{
	switch (flight->kind)
	{
		case MF_JOB_RECONCILE:
			return reconcile_verdict(flight, now, transition, follow_up);
		case MF_JOB_VERIFY:
			return verify_verdict(flight, now, transition, follow_up);
		case MF_JOB_WATCH:
			watch_verdict(flight, now, follow_up);
			return false;
		default:
			elog(ERROR, "unexpected kind of look-up: %d", (int) flight->kind);
	}
	return false;
}

/*
 * Of an invoice whose outcome is unknown.  If it is found as it was sent, the row is
 * "sent".  If it is not found to the end, it is sent again.  A person decides if what
 * is found differs, if the customer may have been notified, or if the answers are
 * invalid.  A look-up that fails does not count.
 */
static bool
reconcile_verdict(const MfFlight *flight, TimestampTz now, MfTransition *transition, MfFollowUp *follow_up)
{
	MfLookup	lookup = flight->found.base.lookup;

	if (lookup == MF_LOOKUP_FOUND && is_replay_wanted(flight))
	{
		follow_up->next = MF_JOB_REPLAY;
		follow_up->due = now;
		follow_up->found_id = flight->found.values[MF_PS_INVOICE_ID];
		follow_up->error = psprintf("the invoice exists as %s; the request is repeated for its link", follow_up->found_id);
		return false;
	}
	if (lookup == MF_LOOKUP_FOUND)
	{
		adopt_found(flight, now, transition);
		return true;
	}
	if (lookup == MF_LOOKUP_REFUSED || lookup == MF_LOOKUP_INCONCLUSIVE || is_no_proof(flight))
		return count_senseless(flight, "outcome unknown; ", now, transition, follow_up);
	if (lookup != MF_LOOKUP_NOT_FOUND)
	{
		repeat_failed(flight, now, follow_up);
		follow_up->error = psprintf("outcome unknown; the look-up failed: %s", mf_flight_error(flight));
		return false;
	}
	return reconcile_not_found(flight, now, transition, follow_up);
}

/*
 * Whether the invoice that was found is what was sent, and its link can be had by
 * repeating the request.  The time that the answer tells stands for all that our own
 * clocks have not noticed.
 */
static bool
is_replay_wanted(const MfFlight *flight)
{
	const char *found_id = flight->found.values[MF_PS_INVOICE_ID];

	return flight->may_replay && flight->own_reference && describe_difference(flight) == NULL &&
		(flight->answered_id == NULL || strcmp(flight->answered_id, found_id) == 0) &&
		mf_replay_window_open(&flight->replay) && mf_replay_clock_agrees(flight->answer_date);
}

/*
 * Whether the invoice that was found may be a repetition of the row's recurring payment:
 * MyFatoorah finds the latest of a reference.  A repetition is made by charging the card, so
 * one about which no try to pay is known is none.
 */
static bool
may_be_repetition(const MfFlight *flight)
{
	const MfPayment *payment = &flight->payment;

	return flight->recurring &&
		(payment->try_count > 0 || payment->unsettled || !payment->known || payment->status != MF_UNPAID);
}

/* Takes the invoice that was found as the row's, or has a person decide if it is another one. */
static void
adopt_found(const MfFlight *flight, TimestampTz now, MfTransition *transition)
{
	const char *found_id = flight->found.values[MF_PS_INVOICE_ID];
	char	   *difference = describe_difference(flight);

	if (difference != NULL)
	{
		mf_transition_to_review(transition);
		transition->error = difference;
		return;
	}
	if ((flight->answered_id == NULL || strcmp(flight->answered_id, found_id) != 0) && may_be_repetition(flight))
	{
		mf_transition_to_review(transition);
		transition->error = psprintf("look-up by reference \"%s\" found invoice %s, which may be a repetition of the recurring payment; the portal shows which one began it",
									 flight->reference, found_id);
		return;
	}
	if (flight->answered_id != NULL && strcmp(flight->answered_id, found_id) != 0)
	{
		mf_transition_to_review(transition);
		transition->duplicate = 1;
		transition->error = psprintf("look-up by reference \"%s\" found invoice %s, but the answer named invoice %s",
									 flight->reference, found_id, flight->answered_id);
		return;
	}
	transition->to = MF_STATUS_SENT;
	transition->reference = flight->reference;
	transition->invoice_id = found_id;
	transition->reason = "found by look-up";
	transition->linkless = LOST_LINK;
	mf_lookup_watch(flight, now, transition);
}

/* Counts a look-up that found nothing; after the last one, decides whether the invoice is sent again. */
static bool
reconcile_not_found(const MfFlight *flight, TimestampTz now, MfTransition *transition, MfFollowUp *follow_up)
{
	bool		link_only = strcmp(flight->notification_option, "LNK") == 0;
	int			look_ups = MF_LOOKUP_STEPS * flight->reference_count;

	if (too_many_references(flight, transition))
		return true;
	if (count_not_found(flight, "outcome unknown; ", now, follow_up))
		return false;

	if (contradicts_not_found(flight, transition))
		return true;
	if (!(mf_resend_policy == MF_RESEND_ALL || (mf_resend_policy == MF_RESEND_LINK && link_only)))
	{
		mf_transition_to_review(transition);
		transition->error = psprintf("no invoice was found under %s in %d look-ups; the customer may have been notified nonetheless",
									 flight->reference_names, look_ups);
	}
	else if (flight->resends >= mf_max_resends)
	{
		mf_transition_to_review(transition);
		transition->error = psprintf("no invoice was found under %s in %d look-ups, after %d resends",
									 flight->reference_names, look_ups, flight->resends);
	}
	else
	{
		/* another server may have done the same, and have used the next reference: so it is looked up first */
		transition->to = MF_STATUS_QUEUED;
		transition->next = MF_JOB_VERIFY;
		if (flight->twin)
			transition->due = TimestampTzPlusMilliseconds(now, mf_verify_wait());
		transition->reference = flight->next_reference;
		transition->reason = "not found by look-up: queued again under a new reference";
	}
	return true;
}

/* Counts a look-up that found nothing.  Returns false after the last one. */
static bool
count_not_found(const MfFlight *flight, const char *prefix, TimestampTz now, MfFollowUp *follow_up)
{
	int			look_ups = MF_LOOKUP_STEPS * flight->reference_count;
	int			found_nothing = flight->lookups % MF_SENSELESS_LOOKUP + 1;

	if (found_nothing >= look_ups)
		return false;
	/* the other references of this round are looked up at once */
	follow_up->lookups = flight->lookups + 1;
	follow_up->due = flight->reference_number + 1 < flight->reference_count ? now :
		next_lookup(reconcile_factors, lengthof(reconcile_factors),
					(found_nothing - 1) / flight->reference_count, now);
	follow_up->error = psprintf("%slook-up %d of %d found no invoice", prefix, found_nothing, look_ups);
	return true;
}

/* Has a person decide if an answer or a webhook has named an invoice, although none was found. */
static bool
contradicts_not_found(const MfFlight *flight, MfTransition *transition)
{
	const char *answered = flight->answered_id != NULL ? flight->answered_id : flight->answered_id_other;

	if (answered == NULL && flight->told_id == NULL)
		return false;
	mf_transition_to_review(transition);
	transition->error = psprintf("no invoice was found under %s in %d look-ups, but %s invoice %s",
								 flight->reference_names, MF_LOOKUP_STEPS * flight->reference_count,
								 answered != NULL ? "the answer named" : "a webhook told of",
								 answered != NULL ? answered : flight->told_id);
	return true;
}

/*
 * Of a queued invoice, before it is sent: another server may have sent it, or an
 * earlier request may have made it in spite of an answer that looked like a refusal.
 * If it is found under none of its references, it is sent, unless a webhook has told of
 * it: MyFatoorah's answers may lag behind its webhooks.  If it is found, its outcome is
 * to be reconciled.
 */
static bool
verify_verdict(const MfFlight *flight, TimestampTz now, MfTransition *transition, MfFollowUp *follow_up)
{
	if (is_about_reference(flight))
	{
		transition->to = MF_STATUS_UNKNOWN;
		transition->next = MF_JOB_RECONCILE;
		transition->reference = flight->reference;
		transition->reason = flight->tried ? "found by look-up: an earlier request has made it after all" :
			"found by look-up before it was sent: another server has sent it";
		return true;
	}
	/* a person has probably just changed the key, and decides at once */
	if (is_no_proof(flight))
	{
		mf_transition_to_review(transition);
		transition->error = psprintf("the look-up by reference \"%s\" before sending again proved nothing: %s",
									 flight->reference, no_proof_reason(flight));
		return true;
	}
	switch (flight->found.base.lookup)
	{
		case MF_LOOKUP_NOT_FOUND:
			if (too_many_references(flight, transition))
				return true;
			if (flight->told_id != NULL)
				return !count_not_found(flight, "not sent yet; ", now, follow_up) &&
					contradicts_not_found(flight, transition);
			follow_up->due = now;
			if (flight->reference_number + 1 < flight->reference_count)
				follow_up->lookups = flight->lookups + 1;
			else if (flight->send_due > now && flight->send_due < MF_TIME_END)
			{
				/* another server sends it then, too: a look-up finds that only if it comes later */
				follow_up->lookups = MF_LOOKUPS_TIMED;
				follow_up->due = TimestampTzPlusMilliseconds(flight->send_due, mf_verify_wait());
			}
			else
			{
				follow_up->next = MF_JOB_SEND;
				follow_up->lookups = 0;
			}
			return false;
		case MF_LOOKUP_FOUND:
		case MF_LOOKUP_REFUSED:
		case MF_LOOKUP_INCONCLUSIVE:
			return count_senseless(flight, "not sent yet; ", now, transition, follow_up);
		default:
			repeat_failed(flight, now, follow_up);
			follow_up->error = psprintf("the look-up before sending failed: %s", mf_flight_error(flight));
			return false;
	}
}

/*
 * Counts a look-up whose answer proves nothing.  It is repeated as often as one that
 * found nothing, with the same delays; then a person decides.
 */
static bool
count_senseless(const MfFlight *flight, const char *prefix, TimestampTz now, MfTransition *transition,
				MfFollowUp *follow_up)
{
	int			senseless = flight->lookups / MF_SENSELESS_LOOKUP;
	bool		no_proof = is_no_proof(flight);
	const char *answer = no_proof ? no_proof_reason(flight) : flight->found.base.lookup == MF_LOOKUP_FOUND ?
		psprintf("it is about invoice %s with another reference", flight->found.values[MF_PS_INVOICE_ID]) :
		mf_flight_error(flight);

	if (senseless + 1 < MF_LOOKUP_STEPS)
	{
		follow_up->lookups = flight->lookups + MF_SENSELESS_LOOKUP;
		follow_up->due = next_lookup(reconcile_factors, lengthof(reconcile_factors), senseless, now);
		follow_up->error = psprintf("%sthe answer to the look-up %s (%d of %d): %s",
									prefix, no_proof ? "proves nothing" : "is invalid", senseless + 1,
									MF_LOOKUP_STEPS, answer);
		return false;
	}
	mf_transition_to_review(transition);
	transition->error = psprintf("%d look-ups by reference \"%s\" %s, the last one: %s",
								 MF_LOOKUP_STEPS, flight->reference,
								 no_proof ? "proved nothing" : "had invalid answers", answer);
	return true;
}

/* Whether nothing was found, where the invoice could not have been found, or need not have been. */
static bool
is_no_proof(const MfFlight *flight)
{
	return flight->found.base.lookup == MF_LOOKUP_NOT_FOUND && (flight->sent_elsewhere || flight->unproved);
}

static const char *
no_proof_reason(const MfFlight *flight)
{
	return flight->sent_elsewhere ? ELSEWHERE : UNPROVED;
}

/* Whether the invoice that was found has the reference that was looked up. */
static bool
is_about_reference(const MfFlight *flight)
{
	const char *reference = flight->found.values[MF_PS_CUSTOMER_REFERENCE];

	return flight->found.base.lookup == MF_LOOKUP_FOUND && reference != NULL &&
		strcmp(reference, flight->sent_reference) == 0;
}

void
mf_lookup_watch(const MfFlight *flight, TimestampTz now, MfTransition *transition)
{
	if (mf_flight_watched(flight) == 0)
		return;
	transition->next = MF_JOB_WATCH;
	transition->due = flight->given_up > 0 ? next_lookup(watch_factors, lengthof(watch_factors), 0, now) :
		next_lookup(twin_factors, lengthof(twin_factors), 0, now);
}

/*
 * Of a sent invoice.  An invoice under a reference that was given up is a second one,
 * as is one under the row's own reference with another InvoiceId.
 */
static void
watch_verdict(const MfFlight *flight, TimestampTz now, MfFollowUp *follow_up)
{
	MfLookup	lookup = flight->found.base.lookup;
	bool		is_about = is_about_reference(flight);
	bool		senseless = lookup == MF_LOOKUP_REFUSED || lookup == MF_LOOKUP_INCONCLUSIVE ||
		(lookup == MF_LOOKUP_FOUND && !is_about) || is_no_proof(flight);
	const char *other = is_about ? flight->found.values[MF_PS_INVOICE_ID] : NULL;
	const char *own = flight->own_reference ? flight->invoice_id : NULL;
	const char *status = other ? flight->found.values[MF_PS_INVOICE_STATUS] : NULL;

	if (other != NULL && own != NULL && (strcmp(other, own) == 0 || may_be_repetition(flight)))
		other = NULL;
	if (other != NULL)
	{
		follow_up->error = own != NULL ?
			mf_twin_error(other, status ? mf_from_utf8_lossy(status) : NULL, own) :
			psprintf("invoice %s has turned up under the earlier reference \"%s\"", other, flight->reference);
		mf_report_twin(flight->invoice, follow_up->error);
	}
	else if (lookup != MF_LOOKUP_NOT_FOUND && lookup != MF_LOOKUP_FOUND && !senseless)
	{
		repeat_failed(flight, now, follow_up);
		return;
	}
	else if (!is_watch_over(flight, now))
	{
		follow_up->lookups = Min(flight->lookups + 1, PG_INT16_MAX - 1);
		follow_up->due = next_lookup(watch_factors, lengthof(watch_factors),
									 follow_up->lookups / mf_flight_watched(flight), now);
		return;
	}
	else if (!senseless)
	{
		follow_up->next = MF_JOB_NONE;
		return;
	}
	else
		follow_up->error = psprintf("could not find out whether another invoice exists under reference \"%s\": %s",
									flight->reference, is_no_proof(flight) ? no_proof_reason(flight) :
									lookup == MF_LOOKUP_FOUND ? "the look-up was answered with another reference" :
									mf_flight_error(flight));
	follow_up->next = MF_JOB_REVIEW;
	follow_up->due = DT_NOEND;
	follow_up->duplicate = true;
}

/* Whether this was the last look-up of a watch that has found nothing */
static bool
is_watch_over(const MfFlight *flight, TimestampTz now)
{
	if (flight->given_up == 0)
		return flight->lookups + 1 >= MF_TWIN_ROUNDS;
	return flight->lookups + 1 >= MF_WATCH_ROUNDS * mf_flight_watched(flight) && flight->expires_at <= now;
}

/*
 * Whether a row was sent under more references than can be counted, such as by a
 * trigger that changes the reference each time.  Then a person decides.
 */
static bool
too_many_references(const MfFlight *flight, MfTransition *transition)
{
	if (flight->reference_count <= MF_LOOKUP_REFERENCES)
		return false;
	mf_transition_to_review(transition);
	transition->error = psprintf("it may have been sent under %d references, too many to look each of them up",
								 flight->reference_count);
	return true;
}

/* Repeats a look-up that failed, which is not counted. */
static void
repeat_failed(const MfFlight *flight, TimestampTz now, MfFollowUp *follow_up)
{
	follow_up->due = mf_flight_retry_time(flight, now, mf_lookup_delay);
}

/* Describes how the invoice that was found differs from the one sent; NULL if it does not. */
static char *
describe_difference(const MfFlight *flight)
{
	char	   *const *values = flight->found.values;
	const char *amount = values[MF_PS_INVOICE_DISPLAY_VALUE];
	const char *currency = values[MF_PS_DISPLAY_CURRENCY];

	if (!is_about_reference(flight))
		return psprintf("look-up by reference \"%s\" found invoice %s with another reference",
						flight->reference, values[MF_PS_INVOICE_ID]);

	/* the display value is in the currency of the request */
	if (amount == NULL || currency == NULL)
		return psprintf("look-up by reference \"%s\" found invoice %s without a readable amount",
						flight->reference, values[MF_PS_INVOICE_ID]);
	if (strcmp(currency, flight->currency) != 0 || mf_amount_compare(amount, flight->invoice_value) != 0)
		return psprintf("look-up by reference \"%s\" found invoice %s of %s %s instead of %s %s",
						flight->reference, values[MF_PS_INVOICE_ID], amount, currency,
						flight->invoice_value, flight->currency);
	return NULL;
}

TimestampTz
mf_lookup_time(int lookups, TimestampTz now)
{
	return next_lookup(reconcile_factors, lengthof(reconcile_factors), lookups, now);
}

/* When the next look-up comes, by the delays, each changed by up to a tenth at random */
static TimestampTz
next_lookup(const int *factors, int count, int lookups, TimestampTz now)
{
	double		delay = (double) mf_lookup_delay * factors[Min(lookups, count - 1)];

	delay *= 0.9 + 0.2 * mf_random_fraction();
	return now + (TimestampTz) (delay * 1000.0);
}
