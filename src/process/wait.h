/*
 * wait.h
 *	  Durations of waits and back-offs; a clock that nobody moves.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/process/wait.h
 */
#ifndef MF_WAIT_H
#define MF_WAIT_H

#include "datatype/timestamp.h"

#include "core/http/http.h"

/*
 * Milliseconds to wait: at most "timeout" (negative = no limit), until "until" at the
 * latest (0 = never), and never more than one day, or ten minutes if there is an "until".
 * Every wait uses it: so it fits into an int however far ahead something is due, and
 * what is due is noticed ten minutes after the clock was set, at the latest.
 */
extern int	mf_wait_ms(long timeout, TimestampTz until);

/* The earlier of two times; 0 = never */
static inline TimestampTz
mf_earlier(TimestampTz a, TimestampTz b)
{
	if (a == 0 || b == 0)
		return a == 0 ? b : a;
	return Min(a, b);
}

/* The longest back-off */
#define MF_BACKOFF_CAP_MS 3600000

/*
 * The back-off in microseconds after a failure that follows so many consecutive
 * others: myfatoorah.retry_delay, doubled for each of them, times a random factor
 * from 0.25 to 1.
 */
extern int64 mf_back_off_us(int failures);

/* 0 <= x < 1; different on each server */
extern double mf_random_fraction(void);

/*
 * Which start of which machine this is, and the microseconds since then, suspended times
 * included.  Readings with the same number can be compared, whatever was done to the wall
 * clock meanwhile.  False if the machine does not tell which start it is.
 */
extern bool mf_boot_clock(int64 *boot, int64 *microseconds);

/* A clock that was set back by less is taken as it is: a leap second, or the time that two readings take. */
#define MF_SET_BACK_MIN_US (2 * USECS_PER_SEC)

/*
 * By how many microseconds the wall clock was set back since the call before, as the time
 * since the machine was started tells; 0 if that is less than two seconds.
 */
extern int64 mf_clock_set_back(void);

#endif							/* MF_WAIT_H */
