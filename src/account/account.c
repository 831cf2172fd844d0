/*
 * account.c
 *	  Accounts: foreign servers of the wrapper myfatoorah and their mappings.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/account/account.c
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/htup_details.h"
#include "access/reloptions.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "storage/fd.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

#include "account/account.h"
#include "account/account_option.h"
#include "account/account_secret.h"
#include "base/compat.h"
#include "base/encoding.h"
#include "base/settings.h"
#include "process/wait.h"

#define TEST_BASE_URL "https://apitest.myfatoorah.com"
#define TEST_CURRENCY "KWD"
#define TEST_TIME_ZONE "Asia/Kuwait"

/* Whose target it is; without padding */
typedef struct TargetId
{
	MfHttp	   *http;
	Oid			serverid;
	Oid			roleid;
} TargetId;

/* A role's own key that was used too often */
typedef struct Throttle
{
	TimestampTz until;			/* left alone until then; 0 = never throttled */
	int64		delay_us;		/* for so long */
	int			failures;		/* in a row */
} Throttle;

/* A target kept for reuse, so that its connections are. */
typedef struct CachedTarget
{
	TargetId	id;				/* hash key */
	/* what it was made from */
	bool		own;			/* the role's own mapping, not PUBLIC's */
	TransactionId mapping_xmin; /* which version of the mapping that was */
	ItemPointerData mapping_place;
	char	   *base_url;
	char	   *ca_file;		/* NULL = the system's */
	bool		remote_only;
	long		timeout_ms;
	long		connect_timeout_ms;
	char	   *key;
	char	   *key_file;		/* from which the key was read, else NULL */
	MfSecretFile file;			/* what that was */
	uint64		mappings;		/* value of mapping_changes when it was found there */
	MfHttpTarget *target;
	char	   *refused;		/* how MyFatoorah has refused the key; NULL = it has not */
	Throttle	sending;		/* when MyFatoorah has throttled a role's own key; */
	Throttle	asking;			/* that about payments */
} CachedTarget;

/* Tags of targets */
#define PUBLIC_KEY 0
#define OWN_KEY 1

static HTAB *cached_targets = NULL;

/* An account read from the catalogs */
typedef struct CachedAccount
{
	char		name[NAMEDATALEN];	/* hash key */
	MfAccount  *account;
} CachedAccount;

/* All of them, forgotten when a server changes; only copies are handed out */
static MemoryContext account_context = NULL;
static HTAB *cached_accounts = NULL;
static bool cached_accounts_stale = true;

/* How often a user mapping has changed */
static uint64 mapping_changes = 0;

static void start_account_cache(void);
static MfAccount *copy_account(const MfAccount *account);
static MfAccount *read_account(const char *name);
static void invalidate_accounts(Datum arg, int cacheid, uint32 hashvalue);
static void count_mapping_changes(Datum arg, int cacheid, uint32 hashvalue);
static MfHttpTarget *make_target(MfHttp *http, const MfAccount *account, CachedTarget *made);
static void read_api_key(const MfAccount *account, MfKeyOwner owner, CachedTarget *made);
static MfHttpTarget *usable_target(const CachedTarget *cached, const MfAccount *account);
static void throttle(Throttle *key, int retry_after);
static bool same_options(const CachedTarget *cached, const MfAccount *account);
static bool same_mapping(const CachedTarget *cached, const CachedTarget *read);
static void accept_again(CachedTarget *cached);
static bool same_text(const char *a, const char *b);
static void free_cached(CachedTarget *cached);
static bool leads_elsewhere(const MfAccount *account);
static void check_address(const MfAccount *account);
static List *mapping_options(const MfAccount *account, MfKeyOwner owner, CachedTarget *made);
static void report_no_own_mapping(const MfAccount *account, Oid roleid);
static void drop_target(CachedTarget *cached, bool at_once);
static void release_target(void *target);
static pg_tz *account_zone(const MfAccount *account);

const MfKeyOwner mf_public_key = {InvalidOid, false};

const MfAccount *
mf_account_get(const char *name)
{
	CachedAccount *cached;
	MfAccount  *account;
	MfAccount  *kept;
	MemoryContext old;

	/* no server has such a name, and the cache would cut it */
	if (strlen(name) >= NAMEDATALEN)
		return read_account(name);
	if (cached_accounts_stale)
		start_account_cache();

	cached = (CachedAccount *) hash_search(cached_accounts, name, HASH_FIND, NULL);
	if (cached != NULL)
		return copy_account(cached->account);

	/* its errors leave nothing in the cache */
	account = read_account(name);
	old = MemoryContextSwitchTo(account_context);
	kept = copy_account(account);
	MemoryContextSwitchTo(old);
	cached = (CachedAccount *) hash_search(cached_accounts, name, HASH_ENTER, NULL);
	cached->account = kept;
	return account;
}

/* Forgets all accounts; what was handed out are copies. */
static void
start_account_cache(void)
{
	HASHCTL		control = {0};

	if (account_context == NULL)
	{
		account_context = AllocSetContextCreate(TopMemoryContext, "myfatoorah accounts",
												ALLOCSET_SMALL_SIZES);
		CacheRegisterSyscacheCallback(FOREIGNSERVEROID, invalidate_accounts, (Datum) 0);
		CacheRegisterSyscacheCallback(FOREIGNDATAWRAPPEROID, invalidate_accounts, (Datum) 0);
		CacheRegisterSyscacheCallback(USERMAPPINGUSERSERVER, count_mapping_changes, (Datum) 0);
	}
	cached_accounts = NULL;
	MemoryContextReset(account_context);
	control.keysize = NAMEDATALEN;
	control.entrysize = sizeof(CachedAccount);
	control.hcxt = account_context;
	cached_accounts = hash_create("myfatoorah accounts", 64, &control, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	cached_accounts_stale = false;
}

/* In the current context. */
static MfAccount *
copy_account(const MfAccount *account)
{
	MfAccount  *copy = (MfAccount *) palloc(sizeof(MfAccount));

	*copy = *account;
	copy->name = pstrdup(account->name);
	copy->base_url = pstrdup(account->base_url);
	copy->time_zone = pstrdup(account->time_zone);
	copy->ca_file = account->ca_file ? pstrdup(account->ca_file) : NULL;
	return copy;
}

/* Syscache callback: a server or a wrapper has changed. */
static void
invalidate_accounts(Datum arg, int cacheid, uint32 hashvalue)
{
	cached_accounts_stale = true;
}

/* Syscache callback: a user mapping has changed. */
static void
count_mapping_changes(Datum arg, int cacheid, uint32 hashvalue)
{
	mapping_changes++;
}

void
mf_account_check_name(const char *name)
{
	if (name[0] == MF_ALL_ACCOUNTS[0])
		ereport(ERROR,
				(errcode(ERRCODE_RESERVED_NAME),
				 errmsg("account name \"%s\" is reserved", name),
				 errdetail("A name that begins with an asterisk stands for all accounts."),
				 errhint("Give another name.")));
}

/* Reads an account from the catalogs into the current context. */
static MfAccount *
read_account(const char *name)
{
	ForeignServer *server = GetForeignServerByName(name, true);
	ForeignDataWrapper *wrapper;
	MfAccount  *account;
	const MfCountry *country = NULL;
	bool		live = false;
	ListCell   *lc;

	if (server == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("account \"%s\" does not exist", name),
				 errhint("Make it with: CREATE SERVER %s FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT', environment 'test')",
						 quote_identifier(name))));
	mf_account_check_name(name);
	wrapper = GetForeignDataWrapper(server->fdwid);
	if (strcmp(wrapper->fdwname, MF_EXTENSION) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("server \"%s\" is not a MyFatoorah account", name),
				 errdetail("It belongs to the foreign-data wrapper \"%s\".", wrapper->fdwname),
				 errhint("Name a server of the foreign-data wrapper \"%s\".", MF_EXTENSION)));

	account = (MfAccount *) palloc0(sizeof(MfAccount));
	account->serverid = server->serverid;
	account->owner = server->owner;
	account->name = pstrdup(server->servername);
	account->callbacks = true;
	account->send_time = account->quiet_from = account->quiet_to = -1;
	account->max_in_flight = MF_MAX_IN_FLIGHT_DEFAULT;
	account->timeout_ms = MF_TIMEOUT_DEFAULT;
	account->connect_timeout_ms = MF_CONNECT_TIMEOUT_DEFAULT;

	foreach(lc, server->options)
	{
		DefElem    *def = (DefElem *) lfirst(lc);
		const char *value = defGetString(def);

		if (strcmp(def->defname, "country") == 0)
			country = mf_find_country(value);
		else if (strcmp(def->defname, "environment") == 0)
			live = strcmp(value, "live") == 0;
		else if (strcmp(def->defname, "base_url") == 0)
			account->base_url = pstrdup(value);
		else if (strcmp(def->defname, "max_in_flight") == 0)
			account->max_in_flight = mf_parse_in_flight(value);
		else if (strcmp(def->defname, "rate_limit") == 0)
			account->rate_limit = mf_parse_rate(value);
		else if (strcmp(def->defname, "timeout") == 0)
			account->timeout_ms = mf_parse_timeout("timeout", value);
		else if (strcmp(def->defname, "connect_timeout") == 0)
			account->connect_timeout_ms = mf_parse_timeout("connect_timeout", value);
		else if (strcmp(def->defname, "ca_file") == 0)
			account->ca_file = pstrdup(value);
		else if (strcmp(def->defname, "time_zone") == 0)
			account->time_zone = pstrdup(value);
		else if (strcmp(def->defname, "own_mappings") == 0)
			account->own_mappings = mf_parse_switch(def->defname, value);
		else if (strcmp(def->defname, "callbacks") == 0)
			account->callbacks = mf_parse_switch(def->defname, value);
		else if (strcmp(def->defname, "send_time") == 0)
			account->send_time = mf_parse_clock(def->defname, value);
		else if (strcmp(def->defname, "quiet_hours") == 0)
			mf_parse_hours(def->defname, value, &account->quiet_from, &account->quiet_to);
	}

	if (country == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
				 errmsg("account \"%s\" has no country", name),
				 errhint("Set it with: ALTER SERVER %s OPTIONS (ADD country 'KWT'). Valid countries are: %s.",
						 quote_identifier(name), MF_COUNTRY_LIST)));

	account->redirected = account->base_url != NULL;
	account->dial_code = country->dial_code;
	account->currency = live ? country->currency : TEST_CURRENCY;
	if (account->base_url == NULL)
		account->base_url = pstrdup(live ? country->base_url : TEST_BASE_URL);
	if (account->time_zone == NULL)
		account->time_zone = pstrdup(live ? country->time_zone : TEST_TIME_ZONE);
	if (account->connect_timeout_ms > account->timeout_ms)
		account->connect_timeout_ms = account->timeout_ms;

	return account;
}

bool
mf_account_exists(const char *name)
{
	ForeignServer *server = strlen(name) < NAMEDATALEN ? GetForeignServerByName(name, true) : NULL;

	/* a name that is reserved for all accounts can be given to a server, which is none of ours then */
	return server != NULL && name[0] != MF_ALL_ACCOUNTS[0] &&
		strcmp(GetForeignDataWrapper(server->fdwid)->fdwname, MF_EXTENSION) == 0;
}

Oid
mf_account_owner(const char *name)
{
	ForeignServer *server = strlen(name) < NAMEDATALEN ? GetForeignServerByName(name, true) : NULL;

	return server != NULL ? server->owner : InvalidOid;
}

void
mf_account_check_usage(const MfAccount *account, Oid roleid)
{
	if (!mf_server_usable(account->serverid, roleid))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for account \"%s\"", account->name),
				 errhint("Grant it with: GRANT USAGE ON FOREIGN SERVER %s TO %s",
						 quote_identifier(account->name),
						 quote_identifier(GetUserNameFromId(roleid, false)))));
}

MfHttpTarget *
mf_account_target(MfHttp *http, const MfAccount *account, MfKeyOwner owner)
{
	TargetId	id = {http, account->serverid, owner.role};
	CachedTarget made;
	CachedTarget *cached;
	uint64		mappings = mapping_changes;

	if (cached_targets == NULL)
	{
		HASHCTL		control;

		control.keysize = sizeof(TargetId);
		control.entrysize = sizeof(CachedTarget);
		cached_targets = hash_create("myfatoorah targets", 64, &control, HASH_ELEM | HASH_BLOBS);
	}
	cached = (CachedTarget *) hash_search(cached_targets, &id, HASH_FIND, NULL);
	if (cached != NULL && cached->mappings == mappings && same_options(cached, account) &&
		(cached->own || !owner.own) && (cached->key_file == NULL || mf_secret_file_unchanged(cached->key_file, &cached->file)))
		return usable_target(cached, account);

	memset(&made, 0, sizeof(made));
	made.id = id;
	made.mappings = mappings;
	read_api_key(account, owner, &made);
	if (cached != NULL && cached->own == made.own && strcmp(cached->key, made.key) == 0 &&
		same_text(cached->key_file, made.key_file) && same_options(cached, account))
	{
		mf_wipe_string(made.key);
		if (!same_mapping(cached, &made))
			accept_again(cached);
		cached->mapping_xmin = made.mapping_xmin;
		cached->mapping_place = made.mapping_place;
		cached->file = made.file;
		cached->mappings = mappings;
		return usable_target(cached, account);
	}
	if (cached != NULL)
		drop_target(cached, false);
	return make_target(http, account, &made);
}

/* Makes a target with the key that was read, and keeps it. */
static MfHttpTarget *
make_target(MfHttp *http, const MfAccount *account, CachedTarget *made)
{
	MfHttpTargetOptions options;
	CachedTarget *cached;
	char	   *key = made->key;
	char		error[MF_HTTP_ERROR_SIZE];

	made->base_url = MemoryContextStrdup(TopMemoryContext, account->base_url);
	made->ca_file = account->ca_file ? MemoryContextStrdup(TopMemoryContext, account->ca_file) : NULL;
	made->remote_only = leads_elsewhere(account);
	made->timeout_ms = account->timeout_ms;
	made->connect_timeout_ms = account->connect_timeout_ms;
	made->key_file = made->key_file ? MemoryContextStrdup(TopMemoryContext, made->key_file) : NULL;
	made->key = MemoryContextStrdup(TopMemoryContext, key);
	mf_wipe_string(key);

	options.base_url = made->base_url;
	options.api_key = made->key;
	options.ca_file = made->ca_file;
	options.remote_only = made->remote_only;
	options.timeout_ms = made->timeout_ms;
	options.connect_timeout_ms = made->connect_timeout_ms;
	options.tag = made->own ? OWN_KEY : PUBLIC_KEY;
	made->target = mf_http_target_create(http, &options, error, sizeof(error));
	if (made->target == NULL)
	{
		free_cached(made);
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("account \"%s\" cannot be used", account->name),
				 errdetail_internal("%s", error),
				 errhint("Correct the options of the server or its user mapping; SELECT * FROM mf_check(%s) tests them.",
						 quote_literal_cstr(account->name))));
	}
	cached = (CachedTarget *) hash_search(cached_targets, &made->id, HASH_ENTER, NULL);
	*cached = *made;
	return made->target;
}

/* The target, unless its key was refused. */
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
	HASH_SEQ_STATUS scan;
	CachedTarget *cached;

	if (mf_http_target_tag(target) != OWN_KEY)
		return false;
	if (error == NULL)
		return true;

	/* one that is not there any more had a key or a mapping that is not there, either */
	hash_seq_init(&scan, cached_targets);
	while ((cached = (CachedTarget *) hash_seq_search(&scan)) != NULL)
	{
		if (cached->target == target && cached->refused == NULL)
			cached->refused = MemoryContextStrdup(TopMemoryContext, error);
	}
	return true;
}

bool
mf_account_key_throttled(const MfHttpTarget *target, bool question, int retry_after)
{
	HASH_SEQ_STATUS scan;
	CachedTarget *cached;

	if (mf_http_target_tag(target) != OWN_KEY)
		return false;
	hash_seq_init(&scan, cached_targets);
	while ((cached = (CachedTarget *) hash_seq_search(&scan)) != NULL)
	{
		if (cached->target == target)
			throttle(question ? &cached->asking : &cached->sending, retry_after);
	}
	return true;
}

/*
 * The answers of one salvo count once.  A key that was not throttled again for as
 * long as it was left alone begins anew.
 */
static void
throttle(Throttle *key, int retry_after)
{
	TimestampTz now = GetCurrentTimestamp();

	if (key->until <= now)
	{
		key->failures = now - key->until < key->delay_us ? key->failures + 1 : 0;
		key->delay_us = mf_back_off_us(key->failures);
		key->until = now + key->delay_us;
	}
	key->until = Max(key->until, now + (TimestampTz) retry_after * USECS_PER_SEC);
}

TimestampTz
mf_account_throttled_until(MfHttp *http, const MfAccount *account, MfKeyOwner owner, bool question)
{
	TargetId	id = {http, account->serverid, owner.role};
	CachedTarget *cached = (CachedTarget *) hash_search(cached_targets, &id, HASH_FIND, NULL);

	if (cached == NULL)
		return 0;
	return question ? Max(cached->sending.until, cached->asking.until) : cached->sending.until;
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
		accept_again(cached);
		memset(&cached->sending, 0, sizeof(Throttle));
		memset(&cached->asking, 0, sizeof(Throttle));
	}
}

static void
accept_again(CachedTarget *cached)
{
	if (cached->refused != NULL)
		pfree(cached->refused);
	cached->refused = NULL;
}

/* Whether the user mapping that a key was read from is still the same row. */
static bool
same_mapping(const CachedTarget *cached, const CachedTarget *read)
{
	return cached->mapping_xmin == read->mapping_xmin &&
		ItemPointerEquals(unconstify(ItemPointerData *, &cached->mapping_place),
						  unconstify(ItemPointerData *, &read->mapping_place));
}

/* Whether the account's own options are still those that a target was made from. */
static bool
same_options(const CachedTarget *cached, const MfAccount *account)
{
	return cached->remote_only == leads_elsewhere(account) && cached->timeout_ms == account->timeout_ms &&
		cached->connect_timeout_ms == account->connect_timeout_ms &&
		strcmp(cached->base_url, account->base_url) == 0 && same_text(cached->ca_file, account->ca_file);
}

/* Whether two texts are the same, or both are NULL. */
static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
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
 * Takes a target out of the cache and wipes its key.  Whoever was given the
 * target in this transaction may still use it, unless all is over.
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
	free_cached(cached);
	(void) hash_search(cached_targets, &id, HASH_REMOVE, NULL);
}

static void
release_target(void *target)
{
	mf_http_target_release((MfHttpTarget *) target);
}

/* Frees what belongs to a cached target but the target, and wipes its key. */
static void
free_cached(CachedTarget *cached)
{
	mf_wipe_string(cached->key);
	pfree(cached->base_url);
	if (cached->ca_file != NULL)
		pfree(cached->ca_file);
	if (cached->key_file != NULL)
		pfree(cached->key_file);
	accept_again(cached);
}

/*
 * Whether a user who is no superuser says where requests go: then what only
 * superusers may reach (files, ports of this machine) is out of reach.
 */
static bool
leads_elsewhere(const MfAccount *account)
{
	return account->redirected && !superuser_arg(account->owner);
}

/*
 * A file is named by superusers only, so what it holds goes to MyFatoorah, or
 * where a superuser has said, and not to where the owner of the server likes.
 */
static void
check_address(const MfAccount *account)
{
	if (leads_elsewhere(account))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("the key file of account \"%s\" is not used with a base_url of its owner", account->name),
				 errdetail("The owner of the server is no superuser, and a key that a superuser has put into a file goes to MyFatoorah only."),
				 errhint("Drop that option, give the server to a superuser, or put the key into option \"api_key\" of the user mapping.")));
}

/*
 * Reads the key of the role's user mapping ("own"), else of PUBLIC's, and where it
 * stands; palloc'd, to be wiped by the caller.  "key_file" is NULL if it is an option.
 */
static void
read_api_key(const MfAccount *account, MfKeyOwner owner, CachedTarget *made)
{
	List	   *options = mapping_options(account, owner, made);
	ListCell   *lc;
	const char *mapped;

	foreach(lc, options)
	{
		DefElem    *def = (DefElem *) lfirst(lc);

		if (strcmp(def->defname, "api_key") == 0)
		{
			made->key = pstrdup(defGetString(def));
			return;
		}
		if (strcmp(def->defname, "api_key_file") == 0)
		{
			made->key_file = defGetString(def);
			check_address(account);
			made->key = mf_read_secret_file(def->defname, made->key_file, &made->file);
			return;
		}
	}

	mapped = made->own ? quote_identifier(GetUserNameFromId(owner.role, false)) : "PUBLIC";
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("account \"%s\" has no API key for role \"%s\"", account->name,
					OidIsValid(owner.role) ? GetUserNameFromId(owner.role, false) : "public"),
			 options == NIL && !made->own ?
			 errhint("Add it with: CREATE USER MAPPING FOR PUBLIC SERVER %s OPTIONS (api_key_file 'myfatoorah.key')",
					 quote_identifier(account->name)) :
			 errhint("Add it with: ALTER USER MAPPING FOR %s SERVER %s OPTIONS (ADD api_key_file 'myfatoorah.key')",
					 mapped, quote_identifier(account->name))));
}

/*
 * Options of the role's own user mapping ("own"), else of PUBLIC's, and which row
 * that is; NIL if there is neither.  A role that was dropped has PUBLIC's.
 */
static List *
mapping_options(const MfAccount *account, MfKeyOwner owner, CachedTarget *made)
{
	HeapTuple	tuple = NULL;
	List	   *options = NIL;
	Datum		value;
	bool		isnull;

	if (OidIsValid(owner.role))
		tuple = SearchSysCache2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(owner.role),
								ObjectIdGetDatum(account->serverid));
	made->own = HeapTupleIsValid(tuple);
	if (!made->own && owner.own)
		report_no_own_mapping(account, owner.role);
	if (!HeapTupleIsValid(tuple))
		tuple = SearchSysCache2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(InvalidOid),
								ObjectIdGetDatum(account->serverid));
	if (!HeapTupleIsValid(tuple))
		return NIL;

	made->mapping_xmin = HeapTupleHeaderGetRawXmin(tuple->t_data);
	made->mapping_place = tuple->t_self;
	value = SysCacheGetAttr(USERMAPPINGUSERSERVER, tuple, Anum_pg_user_mapping_umoptions, &isnull);
	if (!isnull)
		options = untransformRelOptions(value);
	ReleaseSysCache(tuple);
	return options;
}

bool
mf_account_owner_is_gone(MfKeyOwner owner)
{
	return owner.own && !(OidIsValid(owner.role) && SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(owner.role)));
}

/* A row waits rather than go with a key that is another merchant's. */
static void
report_no_own_mapping(const MfAccount *account, Oid roleid)
{
	char	   *role = OidIsValid(roleid) ? GetUserNameFromId(roleid, true) : NULL;

	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 role != NULL ?
			 errmsg("role \"%s\" has no user mapping of its own for account \"%s\" any more", role, account->name) :
			 OidIsValid(roleid) ?
			 errmsg("the role that had a user mapping of its own for account \"%s\" does not exist any more", account->name) :
			 errmsg("no role has the name of the one that had a user mapping of its own for account \"%s\"", account->name),
			 errdetail("It had one when it inserted the invoice, so the key of PUBLIC is not used in its place."),
			 role != NULL ?
			 errhint("CREATE USER MAPPING FOR %s SERVER %s OPTIONS (...), or cancel the invoice and insert it again as another role.",
					 quote_identifier(role), quote_identifier(account->name)) :
			 errhint("Cancel the invoice and insert it again as another role.")));
}

bool
mf_account_has_own_mapping(const MfAccount *account, Oid roleid)
{
	return OidIsValid(roleid) &&
		SearchSysCacheExists2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(roleid), ObjectIdGetDatum(account->serverid));
}

bool
mf_account_mapping_counts(const MfAccount *account, Oid roleid)
{
	return account->own_mappings || !mf_account_has_own_mapping(account, roleid) ||
		has_privs_of_role(roleid, account->owner);
}

void
mf_account_check_mapping(const MfAccount *account, Oid roleid)
{
	const char *role;
	const char *server = quote_identifier(account->name);

	if (mf_account_mapping_counts(account, roleid))
		return;
	role = GetUserNameFromId(roleid, false);
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("role \"%s\" may not send through account \"%s\" with a user mapping of its own", role, account->name),
			 errdetail("Its invoices would be paid to whom the key in that mapping belongs to. The owner of the server has not allowed that."),
			 errhint("DROP USER MAPPING FOR %s SERVER %s has them sent with the key of PUBLIC. To allow it, the owner of the server runs: ALTER SERVER %s OPTIONS (ADD own_mappings 'on')",
					 quote_identifier(role), server, server)));
}

/* The account's time zone; raises an error if the server no longer knows it. */
static pg_tz *
account_zone(const MfAccount *account)
{
	pg_tz	   *zone = pg_tzset(account->time_zone);

	if (zone == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("time zone \"%s\" of account \"%s\" is not known",
						account->time_zone, account->name),
				 errhint("Set the option \"time_zone\" of the server to a name of pg_timezone_names.")));
	return zone;
}

char *
mf_account_local_time(const MfAccount *account, TimestampTz at)
{
	struct pg_tm tm;
	fsec_t		fsec;
	int			tz;

	if (TIMESTAMP_NOT_FINITE(at) ||
		timestamp2tm(at, &tz, &tm, &fsec, NULL, account_zone(account)) != 0 ||
		tm.tm_year < 1 || tm.tm_year > 9999)
		return NULL;

	return psprintf("%04d-%02d-%02dT%02d:%02d:%02d", tm.tm_year, tm.tm_mon, tm.tm_mday,
					tm.tm_hour, tm.tm_min, tm.tm_sec);
}

TimestampTz
mf_account_timestamp(const MfAccount *account, const char *local)
{
	struct pg_tm tm;
	fsec_t		fsec;
	Timestamp	wall;
	TimestampTz result;
	int			tz;
	size_t		length = strlen(local);
	char	   *text = pstrdup(local);
	bool		utc = length > 0 && (local[length - 1] == 'Z' || local[length - 1] == 'z');

	if (utc)
		text[length - 1] = '\0';

	wall = DatumGetTimestamp(DirectFunctionCall3(timestamp_in, CStringGetDatum(text),
												 ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
	pfree(text);
	if (TIMESTAMP_NOT_FINITE(wall) || timestamp2tm(wall, NULL, &tm, &fsec, NULL, NULL) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range: \"%s\"", local)));

	tz = utc ? 0 : DetermineTimeZoneOffset(&tm, account_zone(account));
	if (tm2timestamp(&tm, fsec, &tz, &result) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range: \"%s\"", local)));
	return result;
}
