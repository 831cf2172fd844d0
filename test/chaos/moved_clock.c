/*
 * moved_clock.c
 *	  Preloaded into programs, it moves the time of day that they see.
 *
 * The file that MF_MOVED_CLOCK names is shared between all of them and the test: a
 * number of eight bytes, how many microseconds their clock is ahead.  Clocks that
 * only measure durations are left alone.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/chaos/moved_clock.c
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define US_PER_SECOND 1000000

static const volatile int64_t *ahead = NULL;
static int	(*real_clock_gettime) (clockid_t clock, struct timespec *now) = NULL;

__attribute__((constructor)) static void
attach(void)
{
	const char *path = getenv("MF_MOVED_CLOCK");
	int			fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void	   *map;

	real_clock_gettime = (int (*) (clockid_t, struct timespec *)) dlsym(RTLD_NEXT, "clock_gettime");
	if (fd < 0)
		return;
	map = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (map != MAP_FAILED)
		ahead = (const volatile int64_t *) map;
}

int
clock_gettime(clockid_t clock, struct timespec *now)
{
	int			result;
	int64_t		ns;

	if (real_clock_gettime == NULL)
		attach();
	result = real_clock_gettime(clock, now);
	if (result != 0 || ahead == NULL || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE))
		return result;
	ns = now->tv_nsec + (*ahead % US_PER_SECOND) * 1000;
	now->tv_sec += (time_t) (*ahead / US_PER_SECOND + ns / 1000000000);
	now->tv_nsec = (long) (ns % 1000000000);
	return 0;
}

int
gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec time;

	(void) zone;
	if (clock_gettime(CLOCK_REALTIME, &time) != 0)
		return -1;
	now->tv_sec = time.tv_sec;
	now->tv_usec = time.tv_nsec / 1000;
	return 0;
}

time_t
time(time_t *seconds)
{
	struct timespec now;

	if (clock_gettime(CLOCK_REALTIME, &now) != 0)
		return (time_t) -1;
	if (seconds != NULL)
		*seconds = now.tv_sec;
	return now.tv_sec;
}
