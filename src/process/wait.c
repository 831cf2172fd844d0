/*
 * wait.c
 *	  Durations of waits and back-offs; a clock that nobody moves.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/process/wait.c
 */
#include "postgres.h"

#include <fcntl.h>
#include <math.h>
#include <unistd.h>

#include "common/hashfn.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/settings.h"
#include "process/wait.h"

/* A random UUID that the kernel makes when it starts */
#define BOOT_ID_FILE "/proc/sys/kernel/random/boot_id"

/* The longest wait for a time: then the clock is looked at again */
#define WAIT_UNTIL_MAX_MS 600000

static int64 read_boot(void);

int
mf_wait_ms(long timeout, TimestampTz until)
{
	TimestampTz now;

	if (timeout < 0 || timeout > MF_WAIT_MAX_MS)
		timeout = MF_WAIT_MAX_MS;
	if (until == 0 || timeout == 0)
		return (int) timeout;

	/* no timer notices that the clock is set ahead meanwhile, or that the machine is suspended */
	timeout = Min(timeout, WAIT_UNTIL_MAX_MS);
	now = GetCurrentTimestamp();
	if (until <= now)
		return 1;
	/* this order avoids an overflow for any "until" */
	if (until - (TimestampTz) WAIT_UNTIL_MAX_MS * 1000 >= now)
		return (int) timeout;

	/* rounded up, so that the time has passed afterwards */
	return (int) Min((TimestampTz) timeout, (until - now) / 1000 + 1);
}

int64
mf_back_off_us(int failures)
{
	double		delay = mf_retry_delay * pow(2.0, Min(failures, 20));

	delay = Min(delay, MF_BACKOFF_CAP_MS);
	delay *= 0.25 + 0.75 * mf_random_fraction();
	return (int64) (delay * 1000.0);
}

double
mf_random_fraction(void)
{
	uint32		bits;

	if (!pg_strong_random(&bits, sizeof(bits)))
		bits = (uint32) GetCurrentTimestamp();
	return bits / 4294967296.0;
}

bool
mf_boot_clock(int64 *boot, int64 *microseconds)
{
	static int64 number = 0;

	if (number == 0)
		number = read_boot();
	*boot = number;
	*microseconds = mf_http_clock() / 1000;
	return number != 0;
}

int64
mf_clock_set_back(void)
{
	static int64 ahead = PG_INT64_MIN;	/* the wall clock, of the time since the machine was started */
	int64		now = GetCurrentTimestamp() - mf_http_clock() / 1000;
	int64		back = ahead == PG_INT64_MIN ? 0 : ahead - now;

	ahead = now;
	return back >= MF_SET_BACK_MIN_US ? back : 0;
}

/* 0 if it cannot be read */
static int64
read_boot(void)
{
	unsigned char text[64];
	int			file = open(BOOT_ID_FILE, O_RDONLY | O_CLOEXEC);
	ssize_t		len = file >= 0 ? read(file, text, sizeof(text)) : -1;

	if (file >= 0)
		close(file);
	return len > 0 ? (int64) hash_bytes_extended(text, (int) len, 0) : 0;
}
