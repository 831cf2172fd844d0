/*
 * claim_flights.c
 *	  Builds the requests of claimed jobs, and chooses the references to look up.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/sending/claim_flights.c
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "account/account.h"
#include "base/settings.h"
#include "request/request.h"
#include "sending/claim_internal.h"

/* Rows created until then may have been sent by another server too. */
static TimestampTz twins_before = DT_NOBEGIN;

static void add_attempts(MfFlight *flight, const MfJob *job, const List *references, MfProof proof);
static List *references_to_look_up(const MfJob *job, const List *references, bool twin);
static List *add_resends(List *references, const char *reference);
static char *reference_names(const List *references);

void
mf_claim_twins_before(TimestampTz since)
{
	twins_before = since;
}

bool
mf_claim_has_twin(const MfJob *job)
{
	return job->created_at <= twins_before;
}

void
mf_claim_verify(const MfJob *job, TimestampTz now, MfTransition *transition)
{
	transition->next = MF_JOB_VERIFY;
	transition->due = mf_claim_has_twin(job) ? TimestampTzPlusMilliseconds(now, mf_verify_wait()) : now;
}

MfFlight *
mf_claim_create_flight(const MfClaim *claim, const MfJob *job, const List *references, MfHttpTarget *target,
					   MfProof proof)
{
	const MfAccount *account = mf_account_get(job->account);
	bool		twin = mf_claim_has_twin(job);
	List	   *look_ups = references_to_look_up(job, references, twin);
	int			lookups = job->kind == MF_JOB_WATCH ? job->lookups : job->lookups % MF_SENSELESS_LOOKUP;
	int			number;
	MfFlight   *flight;

	if (look_ups == NIL)
		return NULL;
	number = lookups % list_length(look_ups);
	flight = mf_flight_create(claim->memory, job, account, target, (const char *) list_nth(look_ups, number),
							  mf_api_is_v3(account, proof));
	flight->reference_count = list_length(look_ups);
	flight->reference_number = number;
	flight->twin = twin;
	add_attempts(flight, job, references, proof);
	if (job->kind == MF_JOB_RECONCILE || job->kind == MF_JOB_VERIFY)
	{
		flight->reference_names = MemoryContextStrdup(flight->memory, reference_names(look_ups));
		flight->next_reference =
			MemoryContextStrdup(flight->memory, mf_queue_fresh_reference(references, job->reference));
	}
	dlist_push_tail(claim->claimed, &flight->node);
	return flight;
}

/* Sets what the attempts of a row, a List of MfReference, mean for its flight. */
static void
add_attempts(MfFlight *flight, const MfJob *job, const List *references, MfProof proof)
{
	const char *kept = job->kind == MF_JOB_WATCH ? job->reference : flight->reference;
	ListCell   *lc;

	foreach(lc, references)
	{
		const MfReference *entry = (const MfReference *) lfirst(lc);
		bool		is_looked_up = strcmp(entry->reference, flight->reference) == 0;

		if (entry->unknown && strcmp(entry->reference, kept) != 0)
			flight->given_up++;
		if (entry->unknown && !entry->open && strcmp(entry->reference, job->reference) != 0)
			flight->resends++;
		flight->tried |= is_looked_up;
		if (is_looked_up && job->kind != MF_JOB_SEND)
		{
			flight->sent_elsewhere = entry->sent && entry->sent_to != mf_http_target_checksum(flight->target);
			/* whether a look-up finds such invoices is not documented */
			flight->unproved = entry->v3 && proof != MF_PROOF_GIVEN;
		}
		if (is_looked_up && entry->answered_id != NULL)
			flight->answered_id = MemoryContextStrdup(flight->memory, entry->answered_id);
		else if (entry->open && entry->answered_id != NULL && flight->answered_id_other == NULL)
			flight->answered_id_other = MemoryContextStrdup(flight->memory, entry->answered_id);
	}
}

/*
 * Returns the references that are looked up in turn, a List of char *.
 *
 * Once the row is sent, these are the references under which a second invoice may turn
 * up.  Before, they are all references under which it may have been sent: of its
 * attempts; its own, which somebody may have changed since, and under which another
 * server may have sent it; and those that resends of that server would have.
 *
 * New references are appended, so that the position of the others stays the same
 * while they are looked up.
 */
static List *
references_to_look_up(const MfJob *job, const List *references, bool twin)
{
	List	   *look_ups = NIL;
	bool		own = job->kind == MF_JOB_WATCH ? twin : true;
	ListCell   *lc;

	if (job->kind == MF_JOB_SEND)
		return list_make1(job->reference);
	foreach(lc, references)
	{
		const MfReference *entry = (const MfReference *) lfirst(lc);
		bool		is_own = strcmp(entry->reference, job->reference) == 0;

		if (job->kind == MF_JOB_WATCH ? entry->unknown && !is_own : entry->open)
		{
			look_ups = lappend(look_ups, entry->reference);
			own &= !is_own;
		}
	}
	if (own)
		look_ups = lappend(look_ups, job->reference);
	return job->kind == MF_JOB_VERIFY && twin ? add_resends(look_ups, job->reference) : look_ups;
}

/* Appends the references of resends that would follow "reference", as far as they can be counted. */
static List *
add_resends(List *references, const char *reference)
{
	int			count = Min(mf_max_resends, MF_LOOKUP_REFERENCES - list_length(references));

	while (count-- > 0)
	{
		reference = mf_next_reference(reference);
		references = lappend(references, unconstify(char *, reference));
	}
	return references;
}

/* Names the references in an error. */
static char *
reference_names(const List *references)
{
	StringInfoData names;
	ListCell   *lc;

	initStringInfo(&names);
	appendStringInfoString(&names, list_length(references) > 1 ? "references" : "reference");
	foreach(lc, references)
		appendStringInfo(&names, "%s \"%s\"", foreach_current_index(lc) > 0 ? "," : "", (const char *) lfirst(lc));
	return names.data;
}
