/*
 * deposit_reading.c
 *	  Reads deposits that webhooks have announced, or people have asked for.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inquiry/deposit_reading.c
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/log_event.h"
#include "base/settings.h"
#include "flow/request_slots.h"
#include "inquiry/inquiry_internal.h"
#include "process/wait.h"

/* Deposits read at the same time; an answer may take 16 MB, and some times of that while it is read */
#define MAX_UNDER_WAY 2

/* The delay if no key can be used.  A new key makes it due. */
#define NO_KEY_DELAY_MS 60000

/*
 * The delays after an answer by which the deposit cannot be read: it may not be there
 * yet, or the key may not be allowed to read it.
 */
static const int64 delays_ms[MF_DEPOSIT_TRIES - 1] = {10000, 120000, 1800000, 21600000};

static void plan_next(const MfFlight *flight, TimestampTz now, MfDepositNext *next);
static void log_read(const MfFlight *flight);
static void log_failed(const MfFlight *flight, const char *error);

int
mf_deposit_ask(const MfSqlScope *scope, const MfClaim *claim, const MfAccount *account, TimestampTz now)
{
	const MfClaimTarget *target;
	List	   *targets = NIL;
	MfDepositJob *job;
	MfDepositNext next = {0};
	MfFlight   *flight;

	/* once one is freed, mf_flight_free() has the next round scan again */
	if (mf_flight_deposits() >= MAX_UNDER_WAY)
		return 0;
	if (mf_throttle_get(account->name)->deposits_at > now)
	{
		mf_inquiries.due = mf_earlier(mf_inquiries.due, mf_throttle_get(account->name)->deposits_at);
		return 0;
	}

	/* after a crash it is due again when no answer can come any more */
	job = mf_deposits_claim(scope, account->name, now,
							TimestampTzPlusMilliseconds(now, account->connect_timeout_ms + account->timeout_ms +
														MF_SEND_MARGIN_MS + MF_LEASE_MARGIN_MS));
	if (job == NULL)
		return 0;
	target = mf_inquiry_any_target(claim, account, mf_public_key, job->owner, &targets);
	if (target->target != NULL)
	{
		flight = mf_flight_create_deposit(claim->memory, job, account, target->target);
		dlist_push_tail(claim->claimed, &flight->node);
		mf_slots_count_inquiries(flight->throttle, 1);
		return 1;
	}

	next.id = job->id;
	next.times_requested = job->times_requested;
	next.lookups = job->lookups;
	next.failures = job->failures;
	next.due = target->until != 0 ? target->until : TimestampTzPlusMilliseconds(now, NO_KEY_DELAY_MS);
	next.error = target->error;
	next.elsewhere = true;
	mf_deposits_set_next(scope, &next);
	mf_inquiries.due = mf_earlier(mf_inquiries.due, next.due);
	return 1;
}

bool
mf_deposit_record(const MfSqlScope *scope, MfFlight *flight, TimestampTz now)
{
	const MfDepositJob *job = flight->deposit;
	const char *reason;
	const MfAccount *account = mf_account_or_null(flight->throttle->account, &reason);
	MfDepositNext next = {0};
	int			expected;

	/* of an account that is gone, whose time zone is not known any more, the answer is dropped */
	if (account == NULL)
		return true;
	if (!mf_deposits_lock(scope, job->id, &expected))
		return false;
	if (flight->list.base.lookup == MF_LOOKUP_FOUND && (flight->list.row_count > 0 || expected == 0))
	{
		mf_deposits_store(scope, job, account, &flight->list);
		log_read(flight);
		return true;
	}
	plan_next(flight, now, &next);
	mf_deposits_set_next(scope, &next);
	mf_inquiries.due = mf_earlier(mf_inquiries.due, next.due);
	if (next.failed)
		log_failed(flight, next.error);
	return true;
}

/*
 * Without a usable answer it is asked again for ever, else MF_DEPOSIT_TRIES times in all.
 * A list without payments is no answer where there have to be some.
 */
static void
plan_next(const MfFlight *flight, TimestampTz now, MfDepositNext *next)
{
	const MfDepositJob *job = flight->deposit;

	next->id = job->id;
	next->times_requested = job->times_requested;
	next->lookups = job->lookups;
	next->failures = job->failures;
	next->error = flight->list.base.lookup == MF_LOOKUP_FOUND ? "the answer lists no payments, but the deposit has some" :
		mf_flight_error(flight);
	switch (flight->list.base.lookup)
	{
		case MF_LOOKUP_FAILED:
		case MF_LOOKUP_THROTTLED:
			if (!flight->list.base.not_sent)
				next->failures++;
			next->due = mf_flight_retry_time(flight, now, Min((int64) mf_retry_delay << Min(job->failures, 20),
															  MF_BACKOFF_CAP_MS));
			/* the other deposits meet the same limit */
			if (flight->list.base.lookup == MF_LOOKUP_THROTTLED)
				flight->throttle->deposits_at = next->due;
			next->due = Max(next->due, Max(flight->throttle->retry_at, flight->throttle->inquire_at));
			break;
		default:
			next->failed = ++next->lookups >= MF_DEPOSIT_TRIES;
			next->elsewhere = !next->failed;
			if (!next->failed)
				next->due = TimestampTzPlusMilliseconds(now, delays_ms[next->lookups - 1]);
			break;
	}
}

static void
log_read(const MfFlight *flight)
{
	ereport(LOG,
			(mf_log_event("deposit_read",
						  "deposit \"%s\" of account \"%s\" was read; payments in it: %d",
						  flight->deposit->reference, flight->throttle->account, flight->list.row_count)));
}

static void
log_failed(const MfFlight *flight, const char *error)
{
	ereport(LOG,
			(mf_log_event("deposit_unreadable",
						  "deposit \"%s\" of account \"%s\" could not be read",
						  flight->deposit->reference, flight->throttle->account),
			 errdetail_internal("%s", error ? error : ""),
			 errhint("When the cause is removed, call mf_read_deposit().")));
}
