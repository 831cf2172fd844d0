/*
 * replay.c
 *	  How long a request with an Idempotency-Key can be repeated without making another
 *	  invoice.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/flight/replay.c
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "core/http/http.h"
#include "flight/replay.h"
#include "process/wait.h"

/* The wall clock may be corrected by so much meanwhile. */
#define CORRECTION_MAX_US (60 * INT64CONST(1000000))

/*
 * Our clock may differ so much from MyFatoorah's.  If it was wrong by this in one
 * direction then, and in the other now, what is left of the 250 minutes is more than
 * the window takes.
 */
#define DATE_DIFFERENCE_MAX_S 240

MfReplayWindow
mf_replay_window(const MfReference *reference)
{
	MfReplayWindow window = {0, 0};
	int64		left = MF_REPLAY_WINDOW_MS * INT64CONST(1000);
	TimestampTz now;
	int64		boot;
	int64		clock;
	int64		elapsed;
	int64		elapsed_by_clock;

	if (!reference->v3 || !mf_boot_clock(&boot, &clock) || boot != reference->first_boot)
		return window;
	now = GetCurrentTimestamp();
	elapsed = now - reference->first_at;
	elapsed_by_clock = clock - reference->first_boot_clock;
	if (elapsed_by_clock < 0 || elapsed < elapsed_by_clock - CORRECTION_MAX_US ||
		elapsed > elapsed_by_clock + CORRECTION_MAX_US)
		return window;
	left -= Max(elapsed, elapsed_by_clock);
	if (left <= 0)
		return window;
	window.until = now + left;
	window.until_clock = mf_http_clock() + left * 1000;
	return window;
}

bool
mf_replay_window_open(const MfReplayWindow *window)
{
	return window->until > GetCurrentTimestamp() && window->until_clock > mf_http_clock();
}

bool
mf_replay_clock_agrees(int64 date)
{
	int64		now = (int64) timestamptz_to_time_t(GetCurrentTimestamp());

	return date != 0 && date >= now - DATE_DIFFERENCE_MAX_S && date <= now + DATE_DIFFERENCE_MAX_S;
}
