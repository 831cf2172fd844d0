/*
 * claim_account.c
 *	  The accounts and keys for claimed invoices and inquiries; pauses of accounts whose
 *	  key MyFatoorah refuses.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/flight/claim_account.c
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "account/account.h"
#include "account/account_target.h"
#include "base/compat.h"
#include "base/log_event.h"
#include "flight/claim_account.h"
#include "flow/request_slots.h"
#include "process/process.h"
#include "store/queue.h"
#include "store/queue_pause.h"
#include "store/repair.h"
#include "store/row_rights.h"

/* Arguments and results of find_target(), which runs in a subtransaction, because it may raise errors */
typedef struct TargetSearch
{
	MfHttp	   *http;
	bool		inquiry;
	MfClaimTarget *entry;
} TargetSearch;

/* A key that cannot be used, and is in the log.  It is hashed, so it must have no padding. */
typedef struct ReportedKey
{
	char		account[NAMEDATALEN];
	Oid			role;
	uint32		own;			/* bool */
} ReportedKey;

static HTAB *reported_keys = NULL;

/* A pause that could not be written is tried again after this. */
#define PAUSE_RETRY_MS 5000

static int	unwritten_pauses = 0;	/* that are not in mf_account yet */
static TimestampTz write_pauses_at = 0;	/* not before; 0 = in the next round */
static bool pause_error_logged = false; /* that one could not be written */

static void find_target(void *argument);
static void report_key(const MfClaimTarget *target);
static bool write_pause(const MfSqlScope *scope, void *argument);

const MfAccount *
mf_claim_account(const MfSqlScope *scope, MfThrottle *throttle, bool paused, TimestampTz now)
{
	const MfAccount *account;
	const char *error;

	paused |= throttle->pause_by != NULL;
	if (throttle->paused && !paused)
		mf_throttle_reset(throttle);
	throttle->paused = paused;
	if (paused || throttle->retry_at > now)
		return NULL;

	account = mf_account_or_null(throttle->account, &error);
	if (account == NULL && !mf_agenda_names(scope, throttle->account))
		mf_throttle_reset(throttle);	/* its server was renamed, or its rows were moved or cancelled */
	else if (account == NULL)
	{
		mf_throttle_account_unusable(throttle, now);
		mf_throttle_report(throttle, MF_OUTAGE_UNUSABLE, error);
		mf_repair_note_account_error(throttle->account, error);
	}
	else
		mf_slots_set_owner(throttle, account->owner);
	return account;
}

const MfClaimTarget *
mf_claim_target(MfHttp *http, const char *account, MfKeyOwner key_owner, bool inquiry, List **targets)
{
	MfClaimTarget *entry;
	TargetSearch search;
	ErrorData  *error;
	int			i;

	/* the keys of this account, if any, are the last ones in the list */
	for (i = list_length(*targets) - 1; i >= 0; i--)
	{
		entry = (MfClaimTarget *) list_nth(*targets, i);
		if (strcmp(entry->account, account) != 0)
			break;
		if (entry->owner.role == key_owner.role && entry->owner.own == key_owner.own)
			return entry;
	}

	entry = (MfClaimTarget *) palloc0(sizeof(MfClaimTarget));
	entry->account = account;
	entry->owner = key_owner;
	*targets = lappend(*targets, entry);

	search.http = http;
	search.inquiry = inquiry;
	search.entry = entry;
	error = mf_sql_try(find_target, &search);
	if (error != NULL)
		entry->error = mf_error_text(error);
	report_key(entry);
	return entry;
}

MfProof
mf_claim_proof(const MfSqlScope *scope, const MfClaimTarget *target)
{
	MfClaimTarget *entry = unconstify(MfClaimTarget *, target);

	if (!entry->proof_known)
		entry->proof = mf_api_proof(scope, mf_account_get(entry->account), mf_http_target_checksum(entry->target));
	entry->proof_known = true;
	return entry->proof;
}

/* Raises an error if the key cannot be used; sets "until" if MyFatoorah throttles it. */
static void
find_target(void *argument)
{
	TargetSearch *search = (TargetSearch *) argument;
	MfClaimTarget *entry = search->entry;
	const MfAccount *account = mf_account_get(entry->account);
	MfHttpTarget *target = mf_account_target(search->http, account, entry->owner);
	TimestampTz until = mf_account_throttled_until(search->http, account, entry->owner, search->inquiry);

	if (until > GetCurrentTimestamp())
	{
		entry->until = until;
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("MyFatoorah throttles the API key of role \"%s\" for account \"%s\", which is tried again later",
						GetUserNameFromId(entry->owner.role, false), account->name)));
	}
	entry->target = target;
}

const char *
mf_claim_refusal(const MfSqlScope *scope, const MfJob *job)
{
	char	   *reason = mf_sender_refusal(mf_account_get(job->account), get_relname_relid("mf_invoice", scope->schema),
										   &job->sender);

	return reason == NULL ? NULL :
		psprintf("%s; mf_resume() tries it again, and whoever may send it takes it over by setting its account",
				 reason);
}

/*
 * Logs a key that cannot be used, once until it can be used again, because its rows
 * are claimed again and again.
 */
static void
report_key(const MfClaimTarget *target)
{
	ReportedKey key;
	bool		known;

	if (reported_keys == NULL)
		reported_keys = hash_create("myfatoorah keys that cannot be used", 64,
									&(HASHCTL) {.keysize = sizeof(ReportedKey), .entrysize = sizeof(ReportedKey)},
									HASH_ELEM | HASH_BLOBS);
	memset(&key, 0, sizeof(key));
	strlcpy(key.account, target->account, sizeof(key.account));
	key.role = target->owner.role;
	key.own = target->owner.own;
	(void) hash_search(reported_keys, &key, target->target != NULL ? HASH_REMOVE : HASH_ENTER, &known);
	if (target->target == NULL && !known)
		ereport(LOG,
				(mf_log_event("key_unusable",
							  "account \"%s\" has invoices whose key cannot be used", target->account),
				 errdetail_internal("%s", target->error),
				 errhint("Run SELECT * FROM mf_check(%s) to find out why.", quote_literal_cstr(target->account))));
}

void
mf_claim_retry_keys(void)
{
	mf_account_try_keys();
	if (reported_keys != NULL)
		hash_destroy(reported_keys);
	reported_keys = NULL;
}

void
mf_pause_account(MfThrottle *throttle, const char *by, const char *reason)
{
	throttle->paused = true;
	mf_throttle_report(throttle, MF_OUTAGE_PAUSED, reason);
	if (throttle->pause_by != NULL)
		return;
	throttle->pause_reason = reason ? MemoryContextStrdup(TopMemoryContext, reason) : NULL;
	throttle->pause_by = by;
	unwritten_pauses++;
	write_pauses_at = 0;
}

void
mf_pause_attend(MfRunTransaction run_apart)
{
	dlist_iter	iter;
	bool		failed = false;

	if (unwritten_pauses == 0 || GetCurrentTimestamp() < write_pauses_at)
		return;
	dlist_foreach(iter, &mf_throttles)
	{
		MfThrottle *throttle = dlist_container(MfThrottle, node, iter.cur);
		char	   *error;

		if (throttle->pause_by == NULL)
			continue;
		if (!run_apart(write_pause, throttle, &error))
		{
			if (!pause_error_logged && error != NULL)
				ereport(LOG,
						(mf_log_event("pause_not_written",
									  "could not write that account \"%s\" is paused", throttle->account),
						 errdetail_internal("%s", error),
						 errhint("The account sends nothing meanwhile. Writing the pause is retried every few seconds.")));
			failed = pause_error_logged = true;
			continue;
		}
		if (throttle->pause_reason != NULL)
			pfree(throttle->pause_reason);
		throttle->pause_reason = NULL;
		throttle->pause_by = NULL;
		unwritten_pauses--;
	}
	pause_error_logged = failed;
	write_pauses_at = failed ? TimestampTzPlusMilliseconds(GetCurrentTimestamp(), PAUSE_RETRY_MS) : 0;
}

static bool
write_pause(const MfSqlScope *scope, void *argument)
{
	const MfThrottle *throttle = (const MfThrottle *) argument;

	/* under its new name it is refused, and paused, again */
	mf_process_limit_lock_waits();
	if (mf_account_hold_name(throttle->account))
		mf_queue_pause(scope->schema, throttle->account, throttle->pause_by, throttle->pause_reason);
	return true;
}

TimestampTz
mf_pause_alarm(void)
{
	return unwritten_pauses > 0 ? write_pauses_at : 0;
}
