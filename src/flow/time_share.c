/*
 * time_share.c
 *	  Limits work whose cost grows with the number of accounts to a tenth of the time.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/flow/time_share.c
 */
#include "postgres.h"

#include <time.h>

#include "utils/timestamp.h"

#include "core/http/http.h"
#include "flow/time_share.h"

/* The work takes one part in so many. */
#define SHARE 10

static int64 processor_time(void);

bool
mf_time_share_allows(const MfTimeShare *share)
{
	return mf_http_clock() >= share->next;
}

TimestampTz
mf_time_share_time(const MfTimeShare *share)
{
	int64		left = share->next - mf_http_clock();

	return GetCurrentTimestamp() + (left > 0 ? left / 1000 + 1 : 0);
}

void
mf_time_share_begin(MfTimeShare *share)
{
	share->begun = processor_time();
}

void
mf_time_share_end(MfTimeShare *share)
{
	share->next = mf_http_clock() + (processor_time() - share->begun) * (SHARE - 1);
}

/* Processor time, so that time for which the process waited does not count */
static int64
processor_time(void)
{
	struct timespec used;

	if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used) != 0)
		return 0;
	return (int64) used.tv_sec * INT64CONST(1000000000) + used.tv_nsec;
}
