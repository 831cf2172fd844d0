/*
 * inquiry_catch_up.c
 *	  Plans inquiries about invoices that were sent while polling was off.
 *
 * While myfatoorah.poll_rate_limit is 0, no inquiry is planned.  When the worker
 * sees the setting raised, it plans inquiries about these invoices, in batches
 * between its rounds.  At its start it does not: rows that were loaded without the
 * triggers of mf_invoice look the same, and mf_repair() is for those.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inquiry/inquiry_catch_up.c
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/log_event.h"
#include "base/settings.h"
#include "flow/inquiry_alarm.h"
#include "inquiry/inquiry.h"
#include "inquiry/inquiry_catch_up.h"
#include "process/progress.h"
#include "process/wait.h"
#include "store/inquiries_open.h"

static int	limit_before = -1;	/* -1 = not known yet */
static bool planning = false;
static int64 planned_so_far = 0;
static MfUnpaidPosition position;	/* after the batches so far */

static bool plan_batch(const MfSqlScope *scope, void *argument);

void
mf_inquiry_catch_up_settings(void)
{
	if (limit_before == 0 && mf_poll_rate_limit > 0)
	{
		planning = true;
		planned_so_far = 0;
		memset(&position, 0, sizeof(position));
	}
	if (limit_before != mf_poll_rate_limit)
		mf_inquiry_wake();
	limit_before = mf_poll_rate_limit;
}

void
mf_inquiry_catch_up_attend(MfRunTransaction run_apart, TimestampTz *next_round)
{
	uint64		planned = 0;
	char	   *error;

	if (!planning)
		return;
	if (!run_apart(plan_batch, &planned, &error) && error != NULL)
		ereport(LOG,
				(mf_log_event("catch_up_failed",
							  "could not plan inquiries about invoices that were sent "
							  "while myfatoorah.poll_rate_limit was 0"),
				 errdetail_internal("%s", error),
				 errhint("When the cause is removed, run SELECT * FROM mf_repair().")));
	planning = planned > 0;
	planned_so_far += (int64) planned;
	mf_progress_report(MF_PROGRESS_CATCH_UP, planned_so_far, -1);
	if (!planning)
		mf_progress_end(MF_PROGRESS_CATCH_UP);
	else
	{
		mf_inquiry_wake();
		*next_round = mf_earlier(*next_round, GetCurrentTimestamp());
	}
}

static bool
plan_batch(const MfSqlScope *scope, void *argument)
{
	*(uint64 *) argument = mf_inquiries_open_batch(scope, &position);
	return true;
}
