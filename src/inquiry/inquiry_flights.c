/*
 * inquiry_flights.c
 *	  Builds the requests of claimed inquiries, or puts them off.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inquiry/inquiry_flights.c
 */
#include "postgres.h"

#include "utils/hsearch.h"
#include "utils/timestamp.h"

#include "base/encoding.h"
#include "flow/request_slots.h"
#include "inquiry/inquiry_internal.h"
#include "process/wait.h"

/* An invoice that is not sent yet is due again after this, doubled each time.  Sending it makes it due. */
#define NOT_SENT_DELAY_MS 1000
#define NOT_SENT_DOUBLINGS 12

/* The delay if an inquiry about the same invoice is under way */
#define UNDER_WAY_DELAY_MS 5000

/* The same for the list of recurring payments of the account */
#define PLAN_LIST_DELAY_MS 1000

/* The delays if the key cannot be used, longer for planned inquiries.  A new key makes them due. */
#define NO_KEY_DELAY_MS 60000
#define NO_KEY_POLL_DELAY_MS 480000

/* What becomes of one inquiry */
typedef struct Decision
{
	TimestampTz due;			/* its entry is due again then; 0 = remove it */
	bool		posted;			/* a flight was created */
	const char *error;			/* why it was put off, for mf_inquiry */
} Decision;

/* An inquiry that may ask for refunds */
typedef struct RefundsAllowance
{
	int64		invoice;
	TimestampTz due;
	int			times_requested;
	int32		place;			/* mf_http_target_checksum() */
} RefundsAllowance;

/* By invoice.  An entry whose inquiry was changed or deleted since does nothing. */
static HTAB *refunds_allowed = NULL;

static Decision decide(MfInquiryClaim *inquiries, MfInquiryJob *job, TimestampTz lease, List **targets);
static void create_flight(MfInquiryClaim *inquiries, MfJobKind kind, const MfInquiryJob *job, MfHttpTarget *target);
static bool use_refunds_allowance(const MfInquiryJob *job, const MfHttpTarget *target);

int
mf_inquiry_create_flights(MfInquiryClaim *inquiries, List *jobs)
{
	int			count = list_length(jobs);
	const MfAccount *account = inquiries->account;
	MfInquiryNext *next = (MfInquiryNext *) palloc0(Max(count, 1) * sizeof(MfInquiryNext));
	MfEventNext *events = (MfEventNext *) palloc0(Max(count, 1) * sizeof(MfEventNext));

	/*
	 * The entry of an inquiry stays on the agenda, due when no answer can come any
	 * more.  So a crash only repeats the inquiry.
	 */
	TimestampTz lease = TimestampTzPlusMilliseconds(inquiries->now, account->connect_timeout_ms + account->timeout_ms +
													MF_SEND_MARGIN_MS + MF_LEASE_MARGIN_MS);
	List	   *targets = NIL;
	int			next_count = 0;
	int			event_count = 0;
	ListCell   *lc;

	foreach(lc, jobs)
	{
		MfInquiryJob *job = (MfInquiryJob *) lfirst(lc);
		Decision	decision = decide(inquiries, job, lease, &targets);

		if (job->event != 0)
		{
			MfEventNext *entry = &events[event_count++];

			entry->event = job->event;
			entry->lookups = job->unchanged_answers;
			entry->failures = job->failures;
			entry->due = decision.due;
		}
		else
		{
			MfInquiryNext *entry = &next[next_count++];

			entry->invoice = job->invoice;
			entry->times_requested = job->times_requested;
			entry->done = job->gone;
			entry->due = decision.due;
			entry->urgent = job->urgent;
			/* whoever else asks from now on changes it back */
			entry->by_callback = job->by_callback || decision.posted;
			entry->refunds = job->refunds;
			entry->unchanged_answers = job->unchanged_answers;
			entry->answers = job->answers;
			entry->failures = job->failures;
			entry->error = decision.error;
			entry->wait = decision.error == NULL;
		}
		mf_inquiries.due = mf_earlier(mf_inquiries.due, decision.due);
	}
	if (next_count > 0)
		mf_inquiries_reschedule(inquiries->scope, next, next_count);
	if (event_count > 0)
		mf_events_resolve(inquiries->scope, events, event_count);
	return count;
}

/* Creates the flight of one inquiry, or puts it off.  *targets keeps the keys that were looked up. */
static Decision
decide(MfInquiryClaim *inquiries, MfInquiryJob *job, TimestampTz lease, List **targets)
{
	Decision	decision = {0, false, NULL};
	const MfClaimTarget *target;
	int64		delay;

	if (job->gone)
		return decision;
	if (job->key == NULL)
	{
		delay = (int64) NOT_SENT_DELAY_MS << Min(job->unchanged_answers++, NOT_SENT_DOUBLINGS);
		decision.due = TimestampTzPlusMilliseconds(inquiries->now, delay);
		return decision;
	}
	if (job->event == 0 && mf_flight_under_way(job->invoice, true))
	{
		decision.due = TimestampTzPlusMilliseconds(inquiries->now, UNDER_WAY_DELAY_MS);
		return decision;
	}

	/* one answer is for all events; the longer it is, the less often it is asked for */
	if (job->recurring && (inquiries->throttle->plan_lists > 0 || inquiries->throttle->plans_at > inquiries->now))
	{
		decision.due = Max(inquiries->throttle->plans_at, TimestampTzPlusMilliseconds(inquiries->now, PLAN_LIST_DELAY_MS));
		return decision;
	}

	/* whose PaymentId an event has, any key finds out */
	target = job->event != 0 ?
		mf_inquiry_any_target(inquiries->claim, inquiries->account, job->owner, mf_public_key, targets) :
		mf_claim_target(inquiries->claim->http, inquiries->account->name, job->owner, true, targets);
	if (target->target != NULL)
	{
		create_flight(inquiries, job->recurring ? MF_JOB_RECURRING : job->event != 0 ? MF_JOB_PAYMENT_ID :
					  job->refunds && job->paid && use_refunds_allowance(job, target->target) ? MF_JOB_REFUNDS :
					  MF_JOB_INQUIRY, job, target->target);
		decision.due = lease;
		decision.posted = true;
	}
	else if (target->until != 0)
		decision.due = target->until;
	else
	{
		delay = job->urgent ? NO_KEY_DELAY_MS : NO_KEY_POLL_DELAY_MS;
		decision.due = TimestampTzPlusMilliseconds(inquiries->now, delay);
		decision.error = target->error;
	}
	return decision;
}

static void
create_flight(MfInquiryClaim *inquiries, MfJobKind kind, const MfInquiryJob *job, MfHttpTarget *target)
{
	const char *key = mf_to_utf8(job->key);
	const char *key_type = kind == MF_JOB_PAYMENT_ID && !job->by_invoice ? "PaymentId" : "InvoiceId";
	size_t		body_len = 0;
	char	   *body = kind != MF_JOB_RECURRING ? mf_key_body(key, key_type, &body_len) : NULL;
	MfFlight   *flight;

	flight = mf_flight_create_inquiry(inquiries->claim->memory, kind, job, inquiries->account, target, body, body_len);
	dlist_push_tail(inquiries->claim->claimed, &flight->node);
	mf_slots_count_inquiries(flight->throttle, 1);
	inquiries->flight_count++;
}

const MfClaimTarget *
mf_inquiry_any_target(const MfClaim *claim, const MfAccount *account, MfKeyOwner first, MfKeyOwner second,
					  List **targets)
{
	const MfClaimTarget *target = mf_claim_target(claim->http, account->name, first, true, targets);

	return target->target != NULL ? target : mf_claim_target(claim->http, account->name, second, true, targets);
}

void
mf_inquiry_allow_refunds(const MfInquiryNext *next, const MfFlight *flight)
{
	RefundsAllowance *allowance;

	if (refunds_allowed == NULL)
		refunds_allowed = hash_create("myfatoorah confirmed invoices", 64,
									  &(HASHCTL) {.keysize = sizeof(int64), .entrysize = sizeof(RefundsAllowance)},
									  HASH_ELEM | HASH_BLOBS);
	allowance = (RefundsAllowance *) hash_search(refunds_allowed, &next->invoice, HASH_ENTER, NULL);
	allowance->due = next->due;
	allowance->times_requested = next->times_requested;
	allowance->place = mf_http_target_checksum(flight->target);
}

/* Returns whether refunds may be asked for, once: later the row may have another account. */
static bool
use_refunds_allowance(const MfInquiryJob *job, const MfHttpTarget *target)
{
	const RefundsAllowance *allowance = refunds_allowed == NULL ? NULL :
		(const RefundsAllowance *) hash_search(refunds_allowed, &job->invoice, HASH_REMOVE, NULL);

	/* a removed entry can be read until the next one is entered */
	return allowance != NULL && allowance->due == job->due && allowance->times_requested == job->times_requested &&
		allowance->place == mf_http_target_checksum(target);
}
