/*
 * sender_holds.c
 *	  Reasons for which nothing leaves: mf_drain(), a frozen process, a pause.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/sending/sender_holds.c
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/log_event.h"
#include "sending/sender_internal.h"

static bool gate_closed = false;
static bool draining = false;
static TimestampTz frozen_until = 0;	/* as of the latest mf_sender_attend_holds(); 0 = not frozen */
static bool claims_skipped = false;

void
mf_sender_close_gate(void)
{
	gate_closed = true;
	mf_http_close_gate(mf_sender_state.http, true);
}

void
mf_sender_wait_for_round(void)
{
	mf_sender_state.waits_for_round = true;
}

bool
mf_sender_attend_holds(TimestampTz drain_until, TimestampTz *end)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz thaw = now + mf_http_hold_left(mf_sender_state.http) / 1000;
	bool		was_held = draining || frozen_until != 0 || claims_skipped;

	if (thaw > now && frozen_until == 0)
		ereport(LOG,
				(mf_log_event("sending_held",
							  "sending is held for %d seconds, because this process stood still",
							  MF_FREEZE_HOLD_MS / 1000),
				 errdetail("It was stopped or suspended for more than %d seconds. Another server may have taken its place meanwhile; whoever decides that gets time to end this one.",
						   MF_FREEZE_MS / 1000)));
	frozen_until = thaw > now ? thaw : 0;
	draining = drain_until > now;
	*end = Max(frozen_until != 0 ? thaw + 1000 : 0, draining ? drain_until : 0);
	if (*end == 0)
		claims_skipped = false;
	return was_held && *end == 0;
}

TimestampTz
mf_sender_frozen_until(void)
{
	return frozen_until;
}

bool
mf_sender_claims_skipped(void)
{
	return claims_skipped;
}

/* Asks the transport, because the process may have stood still since mf_sender_attend_holds(). */
const char *
mf_sender_hold_reason(void)
{
	if (draining)
		return "sending is held by mf_drain()";
	return mf_http_hold_left(mf_sender_state.http) > 0 ? "sending is held, because the process stood still" : NULL;
}

bool
mf_sender_may_claim(void)
{
	return !gate_closed && mf_sender_hold_reason() == NULL;
}

bool
mf_sender_may_post(void)
{
	return !mf_sender_state.waits_for_round && mf_sender_may_claim();
}

bool
mf_sender_round_may_claim(void)
{
	if (mf_sender_hold_reason() != NULL)
	{
		claims_skipped = true;
		return false;
	}
	return !gate_closed;
}
