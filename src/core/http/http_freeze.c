/*
 * http_freeze.c
 *	  Detects that the process stood still, and holds requests back for a while
 *	  then.
 *
 * The thread knows when it is to wake up next.  It does nothing but wait and serve
 * sockets, so if it wakes up much later, the process stood still.  The owner of the
 * client may wake up late because it was busy, so it reports only a wait that took
 * too long.
 *
 * The clock goes on while the machine is suspended.  That of a virtual machine that
 * is paused from outside may stop, and then a pause is not detected.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/http/http_freeze.c
 */
#include "core/http/http_private.h"

#define NS_PER_MS INT64_C(1000000)

static void start_hold(MfHttp *http, int64_t now);

void
mf_http_check_clock(MfHttp *http, int64_t now)
{
	if (http->clock_due == 0 || now - http->clock_due <= MF_FREEZE_MS * NS_PER_MS)
		return;
	start_hold(http, now);
	http->clock_due = now;
}

void
mf_http_report_late_wakeup(MfHttp *http, int64_t late)
{
	if (late > MF_FREEZE_MS * NS_PER_MS)
		start_hold(http, mf_http_clock());
}

/*
 * Requests posted before held_since are never sent, others not before held_until.
 * The thread and the owner call this, and read both without a lock.
 */
static void
start_hold(MfHttp *http, int64_t now)
{
	__atomic_store_n(&http->held_since, now, __ATOMIC_SEQ_CST);
	__atomic_store_n(&http->held_until, now + MF_FREEZE_HOLD_MS * NS_PER_MS, __ATOMIC_SEQ_CST);
}

int64_t
mf_http_hold_left(const MfHttp *http)
{
	int64_t		until = __atomic_load_n(&http->held_until, __ATOMIC_SEQ_CST);
	int64_t		left = until != 0 ? until - mf_http_clock() : 0;

	return left > 0 ? left : 0;
}

bool
mf_http_is_held(const MfHttpRecord *record, int64_t now)
{
	const MfHttp *http = record->target->http;

	return record->submitted < __atomic_load_n(&http->held_since, __ATOMIC_SEQ_CST) ||
		now < __atomic_load_n(&http->held_until, __ATOMIC_SEQ_CST);
}
