/*
 * account_target.c
 *	  HTTP targets of accounts: where requests go, and with which API key.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/account/account_target.c
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "account/account_target.h"
#include "base/compat.h"
#include "base/encoding.h"
#include "process/wait.h"

/* Hash key, without padding */
typedef struct TargetId
{
	MfHttp	   *http;
	Oid			serverid;
	Oid			roleid;
} TargetId;

/* Back-off of a role's own key that MyFatoorah has throttled */
typedef struct KeyThrottle
{
	TimestampTz until;			/* 0 = never throttled */
	int64		delay_us;		/* length of the latest back-off */
	int			failures;		/* in a row */
} KeyThrottle;

/* A target that is kept, with what it was created from */
typedef struct CachedTarget
{
	TargetId	id;
	MfAccountKey key;			/* without the key itself; "path" is in TopMemoryContext */
	uint64		mapping_changes;	/* as of when the key was last read */
	MfHttpTarget *target;
	char	   *refused;		/* MyFatoorah's error; NULL: not refused */
	KeyThrottle sending;
	KeyThrottle inquiries;
} CachedTarget;

/* Tags of targets */
#define PUBLIC_KEY 0
#define OWN_KEY 1

static HTAB *cached_targets = NULL;

/* How often a user mapping has changed */
static uint64 mapping_changes = 0;

static void start_target_cache(void);
static void count_mapping_changes(Datum arg, int cacheid, uint32 hashvalue);
static bool is_current(const CachedTarget *cached, const MfAccount *account, MfKeyOwner owner);
static bool has_same_key(const CachedTarget *cached, const MfAccount *account, const MfAccountKey *key);
static void confirm_key(CachedTarget *cached, const MfAccountKey *key, uint64 changes);
static MfHttpTarget *create_target(const TargetId *id, const MfAccount *account, const MfAccountKey *key,
								   uint64 changes);
static char *copy_text(const char *text);
static MfHttpTarget *usable_target(const CachedTarget *cached, const MfAccount *account);
static CachedTarget *find_cached(const MfHttpTarget *target);
static void back_off(KeyThrottle *throttle, int retry_after);
static void clear_refusal(CachedTarget *cached);
static void drop_target(CachedTarget *cached, bool at_once);
static void release_target(void *target);

MfHttpTarget *
mf_account_target(MfHttp *http, const MfAccount *account, MfKeyOwner owner)
{
	TargetId	id = {http, account->serverid, owner.role};
	CachedTarget *cached;
	MfAccountKey key;
	uint64		changes;

	if (cached_targets == NULL)
		start_target_cache();
	cached = (CachedTarget *) hash_search(cached_targets, &id, HASH_FIND, NULL);
	if (cached != NULL && is_current(cached, account, owner))
		return usable_target(cached, account);

	/* before the key is read: a change that comes up meanwhile has it read again */
	changes = mapping_changes;
	mf_account_read_key(account, owner, &key);
	if (cached != NULL && has_same_key(cached, account, &key))
	{
		confirm_key(cached, &key, changes);
		mf_wipe_string(key.key);
		return usable_target(cached, account);
	}
	if (cached != NULL)
		drop_target(cached, false);
	return create_target(&id, account, &key, changes);
}

static void
start_target_cache(void)
{
	HASHCTL		control;

	control.keysize = sizeof(TargetId);
	control.entrysize = sizeof(CachedTarget);
	cached_targets = hash_create("myfatoorah targets", 64, &control, HASH_ELEM | HASH_BLOBS);
	CacheRegisterSyscacheCallback(USERMAPPINGUSERSERVER, count_mapping_changes, (Datum) 0);
}

/* Syscache callback: a user mapping has changed. */
static void
count_mapping_changes(Datum arg, int cacheid, uint32 hashvalue)
{
	mapping_changes++;
}

/* What a target of an account is created from; "key" may be one without the key itself. */
static MfHttpTargetOptions
target_options(const MfAccount *account, const MfAccountKey *key)
{
	MfHttpTargetOptions options = {
		.base_url = account->base_url,
		.api_key = key->key,
		.ca_file = account->ca_file,
		.remote_only = mf_account_is_redirected(account),
		.timeout_ms = account->timeout_ms,
		.connect_timeout_ms = account->connect_timeout_ms,
		.tag = key->own ? OWN_KEY : PUBLIC_KEY
	};

	return options;
}

/* Whether a target can be used without reading its key again. */
static bool
is_current(const CachedTarget *cached, const MfAccount *account, MfKeyOwner owner)
{
	const MfAccountKey *key = &cached->key;
	MfHttpTargetOptions options = target_options(account, key);

	return cached->mapping_changes == mapping_changes && mf_http_target_matches(cached->target, &options) &&
		(key->own || !owner.own) && (key->path == NULL || mf_secret_file_unchanged(key->path, &key->file));
}

/* Whether a target was created with that key, from the same place, and with the account's options. */
static bool
has_same_key(const CachedTarget *cached, const MfAccount *account, const MfAccountKey *key)
{
	MfHttpTargetOptions options = target_options(account, key);
	const char *path = cached->key.path;

	return mf_http_target_matches(cached->target, &options) &&
		(path == NULL || key->path == NULL ? path == key->path : strcmp(path, key->path) == 0);
}

/* The key was read again and is the same.  One in a user mapping that was changed is no longer taken as refused. */
static void
confirm_key(CachedTarget *cached, const MfAccountKey *key, uint64 changes)
{
	ItemPointerData tid = key->mapping_tid;

	if (cached->key.mapping_xmin != key->mapping_xmin || !ItemPointerEquals(&cached->key.mapping_tid, &tid))
		clear_refusal(cached);
	cached->key.mapping_xmin = key->mapping_xmin;
	cached->key.mapping_tid = key->mapping_tid;
	cached->key.file = key->file;
	cached->mapping_changes = changes;
}

/* Creates a target and keeps it; wipes the key that was passed. */
static MfHttpTarget *
create_target(const TargetId *id, const MfAccount *account, const MfAccountKey *key, uint64 changes)
{
	MfHttpTargetOptions options = target_options(account, key);
	CachedTarget made;
	char		error[MF_HTTP_ERROR_SIZE];

	memset(&made, 0, sizeof(made));
	made.id = *id;
	made.mapping_changes = changes;
	made.target = mf_http_target_create(id->http, &options, error, sizeof(error));
	mf_wipe_string(key->key);
	if (made.target == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("account \"%s\" cannot be used", account->name),
				 errdetail_internal("%s", error),
				 errhint("Correct the options of the server or its user mapping; SELECT * FROM mf_check(%s) tests them.",
						 quote_literal_cstr(account->name))));
	made.key = *key;
	made.key.key = NULL;
	made.key.path = copy_text(key->path);
	*(CachedTarget *) hash_search(cached_targets, id, HASH_ENTER, NULL) = made;
	return made.target;
}

/* A copy that lives as long as the process; NULL for NULL. */
static char *
copy_text(const char *text)
{
	return text != NULL ? MemoryContextStrdup(TopMemoryContext, text) : NULL;
}

/* The target, or an error if its key was refused. */
static MfHttpTarget *
usable_target(const CachedTarget *cached, const MfAccount *account)
{
	const char *role;

	if (cached->refused == NULL)
		return cached->target;
	role = GetUserNameFromId(cached->id.roleid, false);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
			 errmsg("MyFatoorah refuses the API key of role \"%s\" for account \"%s\": %s", role, account->name,
					mf_from_utf8_lossy(cached->refused)),
			 errhint("Correct it with: ALTER USER MAPPING FOR %s SERVER %s OPTIONS (SET ...), or, if the key is good again: SELECT mf_resume(%s)",
					 quote_identifier(role), quote_identifier(account->name), quote_literal_cstr(account->name))));
	return NULL;				/* keep compiler quiet */
}

bool
mf_account_key_refused(const MfHttpTarget *target, const char *error)
{
	CachedTarget *cached;

	if (mf_http_target_tag(target) != OWN_KEY)
		return false;
	cached = find_cached(target);
	if (cached != NULL && cached->refused == NULL)
		cached->refused = copy_text(error);
	return true;
}

bool
mf_account_key_throttled(const MfHttpTarget *target, bool inquiry, int retry_after)
{
	CachedTarget *cached;

	if (mf_http_target_tag(target) != OWN_KEY)
		return false;
	cached = find_cached(target);
	if (cached != NULL)
		back_off(inquiry ? &cached->inquiries : &cached->sending, retry_after);
	return true;
}

/* The entry of a target; NULL if its key or user mapping was replaced meanwhile. */
static CachedTarget *
find_cached(const MfHttpTarget *target)
{
	HASH_SEQ_STATUS scan;
	CachedTarget *cached;

	hash_seq_init(&scan, cached_targets);
	while ((cached = (CachedTarget *) hash_seq_search(&scan)) != NULL)
	{
		if (cached->target == target)
		{
			hash_seq_term(&scan);
			break;
		}
	}
	return cached;
}

/*
 * Starts or extends a back-off.  Answers that come in during a back-off belong to
 * requests from before it, so they do not count as further failures.  If the
 * key was not throttled for as long as the latest back-off, the count starts anew.
 */
static void
back_off(KeyThrottle *throttle, int retry_after)
{
	TimestampTz now = GetCurrentTimestamp();

	if (throttle->until <= now)
	{
		throttle->failures = now - throttle->until < throttle->delay_us ? throttle->failures + 1 : 0;
		throttle->delay_us = mf_back_off_us(throttle->failures);
		throttle->until = now + throttle->delay_us;
	}
	throttle->until = Max(throttle->until, now + (TimestampTz) retry_after * USECS_PER_SEC);
}

TimestampTz
mf_account_throttled_until(MfHttp *http, const MfAccount *account, MfKeyOwner owner, bool inquiry)
{
	TargetId	id = {http, account->serverid, owner.role};
	CachedTarget *cached = (CachedTarget *) hash_search(cached_targets, &id, HASH_FIND, NULL);

	if (cached == NULL)
		return 0;
	return inquiry ? Max(cached->sending.until, cached->inquiries.until) : cached->sending.until;
}

void
mf_account_try_keys(void)
{
	HASH_SEQ_STATUS scan;
	CachedTarget *cached;

	if (cached_targets == NULL)
		return;
	hash_seq_init(&scan, cached_targets);
	while ((cached = (CachedTarget *) hash_seq_search(&scan)) != NULL)
	{
		clear_refusal(cached);
		memset(&cached->sending, 0, sizeof(KeyThrottle));
		memset(&cached->inquiries, 0, sizeof(KeyThrottle));
	}
}

static void
clear_refusal(CachedTarget *cached)
{
	if (cached->refused != NULL)
		pfree(cached->refused);
	cached->refused = NULL;
}

void
mf_account_forget_targets(MfHttp *http)
{
	HASH_SEQ_STATUS scan;
	CachedTarget *cached;

	if (cached_targets == NULL)
		return;
	hash_seq_init(&scan, cached_targets);
	while ((cached = (CachedTarget *) hash_seq_search(&scan)) != NULL)
	{
		if (cached->id.http == http)
			drop_target(cached, true);
	}
}

/*
 * Removes a target from the cache.  Unless "at_once", it is
 * released at the end of the transaction, because it may be in use until then.
 */
static void
drop_target(CachedTarget *cached, bool at_once)
{
	TargetId	id = cached->id;

	if (at_once)
		mf_http_target_release(cached->target);
	else
	{
		MemoryContextCallback *callback = (MemoryContextCallback *)
			MemoryContextAllocZero(TopTransactionContext, sizeof(MemoryContextCallback));

		callback->func = release_target;
		callback->arg = cached->target;
		MemoryContextRegisterResetCallback(TopTransactionContext, callback);
	}
	if (cached->key.path != NULL)
		pfree(cached->key.path);
	clear_refusal(cached);
	(void) hash_search(cached_targets, &id, HASH_REMOVE, NULL);
}

static void
release_target(void *target)
{
	mf_http_target_release((MfHttpTarget *) target);
}
