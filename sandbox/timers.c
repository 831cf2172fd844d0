/*
 * timers.c
 *	  Requests that sleep without keeping a thread: one heap, one thread.
 */
#include "timers.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "clock.h"
#include "text.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed;
static pthread_t thread;
static Timer **heap; /* from index 1 */
static int heap_count;
static int heap_size;
static int64_t releases;
static bool stopping;

/*
 * put_at
 *		Place a timer in the heap.
 */
static void
put_at(int position, Timer *timer)
{
	heap[position] = timer;
	timer->position = position;
}

/*
 * sift
 *		Restore the order around a position.
 */
static void
sift(int position)
{
	Timer *timer = heap[position];

	while (position > 1 && heap[position / 2]->due_us > timer->due_us)
	{
		put_at(position, heap[position / 2]);
		position /= 2;
	}
	for (;;)
	{
		int child = position * 2;

		if (child + 1 <= heap_count && heap[child + 1]->due_us < heap[child]->due_us)
			child++;
		if (child > heap_count || heap[child]->due_us >= timer->due_us)
			break;
		put_at(position, heap[child]);
		position = child;
	}
	put_at(position, timer);
}

/*
 * take_out
 *		Remove a timer from the heap.
 */
static void
take_out(Timer *timer)
{
	int position = timer->position;
	Timer *last = heap[heap_count--];

	timer->position = 0;
	if (last != timer)
	{
		put_at(position, last);
		sift(position);
	}
}

/*
 * timer_add
 *		Have timer->fire called from the timer thread after a while, or by
 *		timers_release() if the delay is negative. False, and no call, when
 *		stopping. The timer must not be pending.
 */
bool
timer_add(Timer *timer, int64_t delay_us)
{
	pthread_mutex_lock(&mutex);
	if (stopping)
	{
		pthread_mutex_unlock(&mutex);
		return false;
	}
	if (delay_us >= 0)
		timer->due_us = monotonic_us() + delay_us;
	else
		timer->due_us = timer->releases == releases ? INT64_MAX : 0;
	if (heap_count + 1 >= heap_size)
	{
		heap_size = heap_size > 0 ? heap_size * 2 : 64;
		heap = xrealloc(heap, (size_t) heap_size * sizeof(Timer *));
	}
	heap_count++;
	put_at(heap_count, timer);
	sift(heap_count);
	if (timer->position == 1)
		pthread_cond_signal(&changed);
	pthread_mutex_unlock(&mutex);
	return true;
}

/*
 * timer_cancel
 *		Take a timer back; false if it has fired (or is about to).
 */
bool
timer_cancel(Timer *timer)
{
	bool pending;

	pthread_mutex_lock(&mutex);
	pending = timer->position > 0;
	if (pending)
		take_out(timer);
	pthread_mutex_unlock(&mutex);
	return pending;
}

/*
 * timers_release, timers_releases
 *		Make due what waits for no time, and what is added later but was
 *		decided before; how often that was done.
 */
void
timers_release(void)
{
	pthread_mutex_lock(&mutex);
	releases++;
	for (int i = 1; i <= heap_count; i++)
	{
		if (heap[i]->due_us == INT64_MAX)
		{
			heap[i]->due_us = 0;
			sift(i);
		}
	}
	pthread_cond_signal(&changed);
	pthread_mutex_unlock(&mutex);
}

int64_t
timers_releases(void)
{
	int64_t result;

	pthread_mutex_lock(&mutex);
	result = releases;
	pthread_mutex_unlock(&mutex);
	return result;
}

/*
 * timer_thread
 *		Fire what is due, sleep until the next. When stopping, all are due.
 */
static void *
timer_thread(void *arg)
{
	(void) arg;
	pthread_mutex_lock(&mutex);
	while (!stopping || heap_count > 0)
	{
		if (heap_count == 0)
			pthread_cond_wait(&changed, &mutex);
		else if (stopping || heap[1]->due_us <= monotonic_us())
		{
			Timer *timer = heap[1];

			take_out(timer);
			pthread_mutex_unlock(&mutex);
			timer->fire(timer);
			pthread_mutex_lock(&mutex);
		}
		else
		{
			struct timespec ts = {.tv_sec = heap[1]->due_us / 1000000,
								  .tv_nsec = heap[1]->due_us % 1000000 * 1000};

			pthread_cond_timedwait(&changed, &mutex, &ts);
		}
	}
	pthread_mutex_unlock(&mutex);
	return NULL;
}

/*
 * timers_start, timers_stop
 *		Start the thread; fire everything that is pending and end it.
 */
void
timers_start(void)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&changed, &attr);
	pthread_condattr_destroy(&attr);
	if (pthread_create(&thread, NULL, timer_thread, NULL) != 0)
		abort();
}

void
timers_stop(void)
{
	pthread_mutex_lock(&mutex);
	stopping = true;
	pthread_cond_signal(&changed);
	pthread_mutex_unlock(&mutex);
	pthread_join(thread, NULL);
	free(heap);
	heap = NULL;
	heap_size = heap_count = 0;
}
