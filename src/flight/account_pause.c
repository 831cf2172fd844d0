/*
 * account_pause.c
 *	  Pauses accounts whose key MyFatoorah refuses.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/flight/account_pause.c
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/log_event.h"
#include "flight/account_pause.h"
#include "store/queue_pause.h"

/* A pause that could not be written is tried again after this. */
#define RETRY_DELAY_MS 5000

static int	unwritten = 0;		/* pauses that are not in mf_account yet */
static TimestampTz retry_at = 0;
static bool reported = false;	/* the log has a line that one could not be written */

static bool write_pause(const MfSqlScope *scope, void *argument);

void
mf_pause_account(MfThrottle *throttle, const char *by, const char *reason)
{
	throttle->paused = true;
	mf_throttle_report(throttle, MF_OUTAGE_PAUSED, reason);
	if (throttle->pause_by != NULL)
		return;
	throttle->pause_reason = reason ? MemoryContextStrdup(TopMemoryContext, reason) : NULL;
	throttle->pause_by = by;
	unwritten++;
	retry_at = 0;
}

void
mf_pause_attend(MfRunTransaction run_apart)
{
	MfThrottle *throttle;
	bool		failed = false;

	if (unwritten == 0 || GetCurrentTimestamp() < retry_at)
		return;
	for (throttle = mf_throttle_first(); throttle != NULL; throttle = throttle->next)
	{
		char	   *error;

		if (throttle->pause_by == NULL)
			continue;
		if (!run_apart(write_pause, throttle, &error))
		{
			if (!reported && error != NULL)
				ereport(LOG,
						(mf_log_event("pause_not_written",
									  "could not write that account \"%s\" is paused", throttle->account),
						 errdetail_internal("%s", error),
						 errhint("The account sends nothing meanwhile. Writing the pause is retried every few seconds.")));
			failed = reported = true;
			continue;
		}
		if (throttle->pause_reason != NULL)
			pfree(throttle->pause_reason);
		throttle->pause_reason = NULL;
		throttle->pause_by = NULL;
		unwritten--;
	}
	reported = failed;
	retry_at = failed ? TimestampTzPlusMilliseconds(GetCurrentTimestamp(), RETRY_DELAY_MS) : 0;
}

static bool
write_pause(const MfSqlScope *scope, void *argument)
{
	const MfThrottle *throttle = (const MfThrottle *) argument;

	mf_queue_pause(scope->schema, throttle->account, throttle->pause_by, throttle->pause_reason);
	return true;
}

TimestampTz
mf_pause_alarm(void)
{
	return unwritten > 0 ? retry_at : 0;
}
