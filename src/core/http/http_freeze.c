/*
 * http_freeze.c
 *	  Notices that the process stood still, and lets nothing leave for a while then.
 *
 * The thread does nothing but wait and serve sockets, so that it is late tells of
 * a freeze; that its owner takes long for something does not.  The clock is one
 * that goes on during suspend.  That of a virtual machine which was paused from
 * outside may stand still with it: then nobody here can know.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/http/http_freeze.c
 */
#include "core/http/http_private.h"

#define NS_PER_MS INT64_C(1000000)

static void hold(MfHttp *http, int64_t now);

void
mf_http_look(MfHttp *http, int64_t now)
{
	if (http->look_by == 0 || now - http->look_by <= MF_FREEZE_MS * NS_PER_MS)
		return;
	hold(http, now);
	http->look_by = now;
}

void
mf_http_stood_still(MfHttp *http, int64_t late)
{
	if (late > MF_FREEZE_MS * NS_PER_MS)
		hold(http, mf_http_clock());
}

static void
hold(MfHttp *http, int64_t now)
{
	__atomic_store_n(&http->held_since, now, __ATOMIC_SEQ_CST);
	__atomic_store_n(&http->held_until, now + MF_FREEZE_HOLD_MS * NS_PER_MS, __ATOMIC_SEQ_CST);
}

int64_t
mf_http_held(const MfHttp *http)
{
	int64_t		until = __atomic_load_n(&http->held_until, __ATOMIC_SEQ_CST);
	int64_t		left = until != 0 ? until - mf_http_clock() : 0;

	return left > 0 ? left : 0;
}

/* Whether this request may not leave, now or ever. */
bool
mf_http_is_held(const MfHttpRecord *record, int64_t now)
{
	const MfHttp *http = record->target->http;

	return record->submitted < __atomic_load_n(&http->held_since, __ATOMIC_SEQ_CST) ||
		now < __atomic_load_n(&http->held_until, __ATOMIC_SEQ_CST);
}
