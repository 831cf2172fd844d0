/*
 * claim_replay.c
 *	  Whether the request of an invoice that was found may be repeated to get its link,
 *	  and the flight that does it.
 *
 * A repeated request makes a second invoice once MyFatoorah has forgotten its key.  So it
 * is for links only, of invoices that a look-up has just found; what is not found goes
 * the way of any unknown outcome.  The customer of a row that is mailed or texted has the
 * link already, and would be notified of a second invoice, so those are never repeated.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/sending/claim_replay.c
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "account/account.h"
#include "base/compat.h"
#include "database/digest.h"
#include "flight/claim_account.h"
#include "sending/claim_internal.h"

static const MfReference *find_reference(const List *references, const char *reference);
static bool wants_link(const MfJob *job);
static bool is_fresh(const MfReference *reference);
static bool is_request_unchanged(const MfJob *job, const MfReference *reference);

bool
mf_claim_may_replay(const MfSqlScope *scope, const MfJob *job, const List *references, MfHttpTarget *target,
					MfProof proof, MfReplayWindow *window)
{
	const MfReference *reference = find_reference(references, job->reference);

	memset(window, 0, sizeof(*window));
	/* what is found may be of SendPayment, and then the key would make a second invoice */
	if (reference == NULL || !reference->v3 || reference->v2)
		return false;
	/* MyFatoorah may keep no key of a request that it has answered with an error, and what it has made all the same */
	if (reference->answered || reference->has_url || reference->repeated >= MF_REPLAYS_MAX)
		return false;
	if (!wants_link(job) || mf_claim_has_twin(job))
		return false;
	if (!reference->sent || reference->sent_to != mf_http_target_checksum(target) ||
		!mf_api_is_v3(mf_account_get(job->account), proof) || mf_claim_refusal(scope, job) != NULL)
		return false;
	if (!is_request_unchanged(job, reference))
		return false;
	*window = mf_replay_window(reference);
	return mf_replay_window_open(window);
}

MfFlight *
mf_claim_create_replay(const MfSqlScope *scope, const MfClaim *claim, const MfJob *job, const List *references,
					   MfHttpTarget *target, MfProof proof)
{
	const MfReference *reference = find_reference(references, job->reference);
	MfJob		again = *job;
	MfReplayWindow window;
	MfFlight   *flight;

	if (!mf_claim_may_replay(scope, job, references, target, proof, &window) || !is_fresh(reference) ||
		reference->answered_id == NULL)
		return NULL;
	again.kind = MF_JOB_SEND;
	flight = mf_claim_create_flight(claim, &again, references, target, proof);
	flight->repeats = job->attempts;
	flight->send_by = Min(flight->send_by, window.until);
	flight->send_by_clock = Min(flight->send_by_clock, window.until_clock);
	return flight;
}

/* NULL if no attempt was made under it */
static const MfReference *
find_reference(const List *references, const char *reference)
{
	ListCell   *lc;

	foreach(lc, references)
	{
		const MfReference *entry = (const MfReference *) lfirst(lc);

		if (strcmp(entry->reference, reference) == 0)
			return entry;
	}
	return NULL;
}

/* Whether the link is what the row is for, and nobody has called it off. */
static bool
wants_link(const MfJob *job)
{
	return !job->cancel_requested && !job->request.isnull[MF_SP_NOTIFICATION_OPTION] &&
		mf_text_is(job->request.values[MF_SP_NOTIFICATION_OPTION], "LNK");
}

/* Whether a look-up has found the invoice just now, by MyFatoorah's own clock. */
static bool
is_fresh(const MfReference *reference)
{
	TimestampTz now = GetCurrentTimestamp();

	return reference->found_at <= now && reference->found_at >= TimestampTzPlusMilliseconds(now, -MF_FOUND_FRESH_MS);
}

/* Whether the row and the settings still make the request that was committed, byte for byte. */
static bool
is_request_unchanged(const MfJob *job, const MfReference *reference)
{
	uint8		digest[32];
	char		digits[2 * sizeof(digest) + 1];
	size_t		len;
	char	   *body = mf_flight_v3_body(job, mf_account_get(job->account), &len);
	size_t		i;

	if (body == NULL || reference->digest == NULL)
	{
		free(body);
		return false;
	}
	mf_digest(body, len, digest);
	free(body);
	for (i = 0; i < sizeof(digest); i++)
		sprintf(digits + 2 * i, "%02x", digest[i]);
	return strcmp(digits, reference->digest) == 0;
}
