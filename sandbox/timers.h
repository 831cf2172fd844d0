/*
 * timers.h
 *	  Requests that sleep without keeping a thread.
 */
#ifndef SANDBOX_TIMERS_H
#define SANDBOX_TIMERS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Timer
{
	int64_t due_us; /* monotonic, or INT64_MAX: at timers_release() */
	int64_t releases; /* timers_releases() when it was decided to wait for the next; the caller's */
	int position; /* in the heap, from 1; 0: not in it */
	void (*fire)(struct Timer *timer);
} Timer;

extern void timers_start(void);
extern void timers_stop(void);
extern bool timer_add(Timer *timer, int64_t delay_us);
extern bool timer_cancel(Timer *timer);
extern void timers_release(void);
extern int64_t timers_releases(void);

#endif
