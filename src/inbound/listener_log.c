/*
 * listener_log.c
 *	  What the listener logs, and shows in mf_listener_status.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inbound/listener_log.c
 */
#include "postgres.h"

#include "postmaster/interrupt.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/log_event.h"
#include "inbound/listener_log.h"
#include "process/metrics.h"
#include "process/process.h"
#include "process/wait.h"

#define LOG_INTERVAL_MS 60000

/* Different errors that are logged in that time */
#define LOGGED_ERRORS 8

static const char *const refusals[MF_REFUSAL_KINDS] = {
	"connections that did not speak HTTP",
	"requests for unknown paths",
	"requests that were too large",
	"requests that took too long",
	"connections beyond the limit",
	"requests because bodies took too much memory",
	"webhooks without a valid signature of the account",
	"invalid MyFatoorah messages",
	"messages for an unknown account or invoice"
};

static const char *const refusal_names[MF_REFUSAL_KINDS] = {
	"not_http", "unknown_path", "too_large", "too_slow", "too_many_connections", "out_of_memory", "unsigned", "malformed",
	"not_found"
};

StaticAssertDecl(MF_REFUSAL_KINDS == MF_METRIC_REFUSALS, "all kinds of refusals are counted");

static MfHttpdAbuseNote refused[MF_REFUSAL_KINDS];	/* not logged yet */
static TimestampTz logged_at[MF_REFUSAL_KINDS];

static void log_error(const ErrorData *error);

const char *
mf_refusal_name(int kind)
{
	return refusal_names[kind];
}

void
mf_listener_count_refusal(MfListener *listener, MfRefusal kind, const char *peer)
{
	listener->state->refused++;
	mf_count(MF_COUNTER_REFUSALS + kind, 1);
	refused[kind].count++;
	strlcpy(refused[kind].peer, peer, sizeof(refused[kind].peer));
}

/* Moves the counters of the HTTP server to ours. */
static void
count_abuse(MfListener *listener, MfHttpdAbuseNote *abuse)
{
	int			i;

	for (i = 0; i < MF_ABUSE_KINDS; i++)
	{
		if (abuse[i].count == 0)
			continue;
		listener->state->refused += abuse[i].count;
		mf_count(MF_COUNTER_REFUSALS + i, abuse[i].count);
		refused[i].count += abuse[i].count;
		memcpy(refused[i].peer, abuse[i].peer, sizeof(refused[i].peer));
		abuse[i].count = 0;
	}
}

TimestampTz
mf_listener_log_refusals(MfListener *listener, MfHttpd *httpd)
{
	TimestampTz now = 0;
	TimestampTz next = 0;
	int			i;

	if (httpd != NULL)
		count_abuse(listener, mf_httpd_abuse(httpd));
	for (i = 0; i < MF_REFUSAL_KINDS; i++)
	{
		TimestampTz due;

		if (refused[i].count == 0)
			continue;
		if (now == 0)
			now = GetCurrentTimestamp();
		due = logged_at[i] == 0 ? now : TimestampTzPlusMilliseconds(logged_at[i], LOG_INTERVAL_MS);
		if (due > now)
		{
			next = mf_earlier(next, due);
			continue;
		}
		ereport(LOG,
				(mf_log_event("listener_refused", "listener refused %s", refusals[i]),
				 errdetail_plural("%llu was refused, from %s.", "%llu were refused, the latest from %s.",
								  (unsigned long) refused[i].count, (unsigned long long) refused[i].count,
								  refused[i].peer),
				 errhint("mf_listener_status counts all of them. They are logged once a minute.")));
		refused[i].count = 0;
		logged_at[i] = now;
	}
	return next;
}

void
mf_listener_failed(MfListenerState *state, const ErrorData *error)
{
	log_error(error);
	/* a cancel because of our shutdown is no error */
	if (!mf_process_is_cancel(error) || !ShutdownRequestPending)
		mf_listener_show_error(state, error->message);
}

/* Of many different errors the one that was logged longest ago makes room. */
static void
log_error(const ErrorData *error)
{
	static struct
	{
		char		message[256];
		TimestampTz at;
	}			logged[LOGGED_ERRORS];
	TimestampTz now = GetCurrentTimestamp();
	char		message[sizeof(logged[0].message)];
	int			entry = 0;
	int			i;

	strlcpy(message, error->message, sizeof(message));
	for (i = 0; i < LOGGED_ERRORS; i++)
	{
		if (logged[i].at < logged[entry].at)
			entry = i;
		if (strcmp(logged[i].message, message) == 0)
		{
			entry = i;
			break;
		}
	}
	if (ShutdownRequestPending ||
		(logged[entry].at != 0 && !TimestampDifferenceExceeds(logged[entry].at, now, LOG_INTERVAL_MS)))
		return;
	strlcpy(logged[entry].message, message, sizeof(message));
	logged[entry].at = now;
	mf_log_error_event("listener_failed", error);
	EmitErrorReport();
}

void
mf_listener_show_error(MfListenerState *state, const char *error)
{
	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	strlcpy(state->last_error, error, sizeof(state->last_error));
	state->last_error_at = GetCurrentTimestamp();
	LWLockRelease(mf_shared->lock);
}
