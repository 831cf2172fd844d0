/*
 * wait.c
 *	  How long to wait.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/wait.c
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "wait.h"

/* See wait.h. */
int
mf_wait_ms(long timeout, TimestampTz until)
{
	TimestampTz now;

	if (timeout < 0 || timeout > MF_WAIT_MAX_MS)
		timeout = MF_WAIT_MAX_MS;
	if (until == 0 || timeout == 0)
		return (int) timeout;

	now = GetCurrentTimestamp();
	if (until <= now)
		return 1;
	/* in this order nothing overflows, whatever "until" is */
	if (until - (TimestampTz) MF_WAIT_MAX_MS * 1000 >= now)
		return (int) timeout;

	/* one millisecond more: the clock must have passed it */
	return (int) Min((TimestampTz) timeout, (until - now) / 1000 + 1);
}
