/*
 * time_share.c
 *	  Work whose cost grows with the number of accounts takes a part of the time only.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/flow/time_share.c
 */
#include "postgres.h"

#include <time.h>

#include "utils/timestamp.h"

#include "core/http/http.h"
#include "flow/time_share.h"

/* The part of the time */
#define PACE_SHARE 10

static int64 processor_time(void);

bool
mf_time_share_allows(const MfTimeShare *pace)
{
	return mf_http_clock() >= pace->next;
}

TimestampTz
mf_time_share_time(const MfTimeShare *pace)
{
	int64		left = pace->next - mf_http_clock();

	return GetCurrentTimestamp() + (left > 0 ? left / 1000 + 1 : 0);
}

void
mf_time_share_begin(MfTimeShare *pace)
{
	pace->begun = processor_time();
}

void
mf_time_share_end(MfTimeShare *pace)
{
	pace->next = mf_http_clock() + (processor_time() - pace->begun) * (PACE_SHARE - 1);
}

/* A process that had to wait has not worked. */
static int64
processor_time(void)
{
	struct timespec used;

	if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used) != 0)
		return 0;
	return (int64) used.tv_sec * INT64CONST(1000000000) + used.tv_nsec;
}
