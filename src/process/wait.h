/*
 * wait.h
 *	  How long to wait.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/process/wait.h
 */
#ifndef MF_WAIT_H
#define MF_WAIT_H

#include "datatype/timestamp.h"

#include "core/http/http.h"

/*
 * Milliseconds to wait: no more than "timeout" (negative for no limit), no
 * longer than until "until" (0 for never), a day at most.  Every wait of ours
 * gets its time from here, so it fits into an int, however far ahead something
 * is due, and is over at some time even if the clock or the machine stood still.
 */
extern int	mf_wait_ms(long timeout, TimestampTz until);

/* The earlier of two times, of which 0 means never */
static inline TimestampTz
mf_earlier(TimestampTz a, TimestampTz b)
{
	if (a == 0 || b == 0)
		return a == 0 ? b : a;
	return Min(a, b);
}

/* No back-off is longer. */
#define MF_BACKOFF_CAP_MS 3600000

/*
 * Microseconds to leave something alone after so many failures before this one:
 * exponential, with full jitter but never below a quarter of the step.
 */
extern int64 mf_back_off_us(int failures);

/* 0 <= x < 1, not in step with any other server */
extern double mf_random_fraction(void);

#endif							/* MF_WAIT_H */
