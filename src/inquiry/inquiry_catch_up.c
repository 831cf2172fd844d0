/*
 * inquiry_catch_up.c
 *	  Questions about what was sent while there was no polling.
 *
 * While myfatoorah.poll_rate_limit is 0 no question is planned, and none after an
 * answer.  When a worker sees it raised, it plans them, in batches between its
 * rounds.  At its start it plans none: rows that were loaded without the triggers
 * of mf_invoice look the same, and those are for mf_repair().
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inquiry/inquiry_catch_up.c
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/settings.h"
#include "flow/inquiry_alarm.h"
#include "inquiry/inquiry.h"
#include "inquiry/inquiry_catch_up.h"
#include "process/wait.h"
#include "store/inquiries_open.h"

static int	limit_before = -1;	/* not known yet */
static bool planning = false;
static MfUnpaidPosition place;

static bool plan(const MfSqlScope *scope, void *argument);

void
mf_inquiry_catch_up_settings(void)
{
	if (limit_before == 0 && mf_poll_rate_limit > 0)
	{
		planning = true;
		memset(&place, 0, sizeof(place));
	}
	if (limit_before != mf_poll_rate_limit)
		mf_inquiry_wake();
	limit_before = mf_poll_rate_limit;
}

void
mf_inquiry_catch_up_attend(MfRunTransaction run_apart, TimestampTz *again)
{
	uint64		planned = 0;
	char	   *error;

	if (!planning)
		return;
	if (!run_apart(plan, &planned, &error) && error != NULL)
		ereport(LOG,
				(errmsg("questions about what was sent while myfatoorah.poll_rate_limit was 0 could not be planned"),
				 errdetail_internal("%s", error),
				 errhint("Mend the cause, then: SELECT * FROM mf_repair().")));
	planning = planned > 0;
	if (planning)
	{
		mf_inquiry_wake();
		*again = mf_earlier(*again, GetCurrentTimestamp());
	}
}

static bool
plan(const MfSqlScope *scope, void *argument)
{
	*(uint64 *) argument = mf_inquiries_open_batch(scope, &place);
	return true;
}
