/*
 * replay.h
 *	  How long a request with an Idempotency-Key can be repeated without making another
 *	  invoice.
 *
 * MyFatoorah keeps such a key for 250 minutes.  What it has forgotten makes a second
 * invoice, so a request is repeated only while three clocks agree that it remembers: the
 * wall clock, the time since the machine was started, and the time that MyFatoorah itself
 * tells with the answer that has found the invoice.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/flight/replay.h
 */
#ifndef MF_REPLAY_H
#define MF_REPLAY_H

#include "store/attempts.h"

/* Since the first request with the key; ten minutes less than MyFatoorah promises */
#define MF_REPLAY_WINDOW_MS (240 * 60 * 1000)

/* Requests that repeat another one and have left; then the link is given up. */
#define MF_REPLAYS_MAX 3

/* The invoice must have been found so recently. */
#define MF_FOUND_FRESH_MS (10 * 60 * 1000)

/* Until when a repeated request may leave; all 0 = it may not */
typedef struct MfReplayWindow
{
	TimestampTz until;
	int64		until_clock;	/* mf_http_clock() */
} MfReplayWindow;

/*
 * The window of a key, by the attempts under that reference.  There is none if another
 * machine made them, if this one was started anew since, or if its clock was moved.
 */
extern MfReplayWindow mf_replay_window(const MfReference *reference);

extern bool mf_replay_window_open(const MfReplayWindow *window);

/*
 * Whether our clock is about that of MyFatoorah, in seconds since 1970, 0 = not known.  A
 * machine that was paused from outside notices nothing by its own clocks.
 */
extern bool mf_replay_clock_agrees(int64 date);

#endif							/* MF_REPLAY_H */
