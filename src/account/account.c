/*
 * account.c
 *	  Accounts: foreign servers of the wrapper myfatoorah.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/account/account.c
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_foreign_server.h"
#include "commands/defrem.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "account/account.h"
#include "account/account_option.h"
#include "base/compat.h"
#include "base/settings.h"
#include "database/sql_array.h"

#define TEST_BASE_URL "https://apitest.myfatoorah.com"
#define TEST_CURRENCY "KWD"
#define TEST_TIME_ZONE "Asia/Kuwait"

/* An account read from the catalogs */
typedef struct CachedAccount
{
	char		name[NAMEDATALEN];	/* hash key */
	MfAccount  *account;
} CachedAccount;

/* Argument and result of find_account() */
typedef struct AccountSearch
{
	const char *name;
	const MfAccount *account;
} AccountSearch;

/* All accounts that were read, forgotten when a server changes; callers get copies only */
static MemoryContext account_context = NULL;
static HTAB *cached_accounts = NULL;
static bool cached_accounts_stale = true;

static void start_account_cache(void);
static void find_account(void *argument);
static MfAccount *copy_account(const MfAccount *account);
static bool fits_into_url(const char *name);
static MfAccount *read_account(const char *name);
static void invalidate_accounts(Datum arg, int cacheid, uint32 hashvalue);

PG_FUNCTION_INFO_V1(mf_account_facts);
PG_FUNCTION_INFO_V1(mf_shares_numbers);

const MfAccount *
mf_account_get(const char *name)
{
	CachedAccount *cached;
	MfAccount  *account;
	MfAccount  *kept;
	MemoryContext old;

	/* no server has such a name, but the hash key would be truncated to that of one */
	if (strlen(name) >= NAMEDATALEN)
		return read_account(name);
	if (cached_accounts_stale)
		start_account_cache();

	cached = (CachedAccount *) hash_search(cached_accounts, name, HASH_FIND, NULL);
	if (cached != NULL)
		return copy_account(cached->account);

	/* before the entry is made: an error must not leave one */
	account = read_account(name);
	old = MemoryContextSwitchTo(account_context);
	kept = copy_account(account);
	MemoryContextSwitchTo(old);
	cached = (CachedAccount *) hash_search(cached_accounts, name, HASH_ENTER, NULL);
	cached->account = kept;
	return account;
}

bool
mf_account_hold_name(const char *name)
{
	Oid			server = get_foreign_server_oid(name, true);

	while (OidIsValid(server))
	{
		Oid			held = server;

		LockDatabaseObject(ForeignServerRelationId, held, 0, AccessShareLock);
		server = get_foreign_server_oid(name, true);
		if (server == held)
			return true;
		/* while we waited, the server has got another name, and perhaps another one this */
		UnlockDatabaseObject(ForeignServerRelationId, held, 0, AccessShareLock);
	}
	return false;
}

void
mf_account_hold_if_any(const char *name)
{
	if (mf_account_exists(name) && !mf_account_hold_name(name))
		(void) mf_account_get(name);
}

const MfAccount *
mf_account_hold(const char *name)
{
	(void) mf_account_hold_name(name);
	return mf_account_get(name);
}

const MfAccount *
mf_account_or_null(const char *name, const char **reason)
{
	AccountSearch search = {name, NULL};
	ErrorData  *error = mf_sql_try(find_account, &search);

	*reason = error == NULL ? NULL : mf_error_text(error);
	return search.account;
}

static void
find_account(void *argument)
{
	AccountSearch *search = (AccountSearch *) argument;

	search->account = mf_account_get(search->name);
}

/* Empties the cache; callers have copies. */
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
	}
	cached_accounts = NULL;
	MemoryContextReset(account_context);
	control.keysize = NAMEDATALEN;
	control.entrysize = sizeof(CachedAccount);
	control.hcxt = account_context;
	cached_accounts = hash_create("myfatoorah accounts", 64, &control, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	cached_accounts_stale = false;
}

/* A copy in the current context. */
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

void
mf_account_check_name(const char *name)
{
	if (name[0] == MF_ALL_ACCOUNTS[0])
		ereport(ERROR,
				(errcode(ERRCODE_RESERVED_NAME),
				 errmsg("account name \"%s\" is reserved", name),
				 errdetail("A name that begins with an asterisk stands for all accounts."),
				 errhint("Give another name.")));
	if (!fits_into_url(name))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("account name \"%s\" is not valid", name),
				 errdetail("It is a part of the address of the account's webhooks, and so has no control characters, and is not \".\" or \"..\"."),
				 errhint("Give another name.")));
}

/* Whether the address of its webhooks reaches us: clients and proxies resolve ".", and control characters are refused. */
static bool
fits_into_url(const char *name)
{
	const char *c;

	for (c = name; *c != '\0'; c++)
	{
		if ((unsigned char) *c < ' ' || *c == 127)
			return false;
	}
	return strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

/* Reads an account from the catalogs into the current context. */
static MfAccount *
read_account(const char *name)
{
	ForeignServer *server = GetForeignServerByName(name, true);
	ForeignDataWrapper *wrapper;
	MfAccount  *account;
	size_t		url_len;

	if (server == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("account \"%s\" does not exist", name),
				 errhint("Create it with: CREATE SERVER %s FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT', environment 'test')",
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
	account->send_time = account->quiet.from = -1;
	account->max_in_flight = MF_MAX_IN_FLIGHT_DEFAULT;
	account->timeout_ms = MF_TIMEOUT_DEFAULT;
	account->connect_timeout_ms = MF_CONNECT_TIMEOUT_DEFAULT;

	mf_account_read_options(server->options, account);
	if (account->country == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
				 errmsg("account \"%s\" has no country", name),
				 errhint("Set it with: ALTER SERVER %s OPTIONS (ADD country 'KWT'). Valid countries are: %s.",
						 quote_identifier(name), MF_COUNTRY_LIST)));

	account->has_base_url = account->base_url != NULL;
	account->currency = account->live ? account->country->currency : TEST_CURRENCY;
	if (account->base_url == NULL)
		account->base_url = pstrdup(account->live ? account->country->base_url : TEST_BASE_URL);
	/* equal addresses are equal strings, as mf_http_target_base_url() */
	url_len = strlen(account->base_url);
	if (url_len > 0 && account->base_url[url_len - 1] == '/')
		account->base_url[url_len - 1] = '\0';
	if (account->time_zone == NULL)
		account->time_zone = pstrdup(account->live ? account->country->time_zone : TEST_TIME_ZONE);
	if (account->connect_timeout_ms > account->timeout_ms)
		account->connect_timeout_ms = account->timeout_ms;

	return account;
}

ForeignServer *
mf_account_server(const char *name)
{
	ForeignServer *server = strlen(name) < NAMEDATALEN ? GetForeignServerByName(name, true) : NULL;

	if (server != NULL && strcmp(GetForeignDataWrapper(server->fdwid)->fdwname, MF_EXTENSION) != 0)
		return NULL;
	return server;
}

bool
mf_account_exists(const char *name)
{
	/* a server with the reserved name of all accounts cannot be used as an account */
	return name[0] != MF_ALL_ACCOUNTS[0] && mf_account_server(name) != NULL;
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

bool
mf_account_is_redirected(const MfAccount *account)
{
	return account->has_base_url && !superuser_arg(account->owner);
}

/* The account's time zone; raises an error if PostgreSQL does not have it any more. */
static pg_tz *
account_zone(const MfAccount *account)
{
	pg_tz	   *zone = pg_tzset(account->time_zone);

	if (zone == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("time zone \"%s\" of account \"%s\" does not exist",
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

Datum
mf_account_facts(PG_FUNCTION_ARGS)
{
	const MfAccount *account = mf_account_get(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	TupleDesc	desc;
	Datum		values[2];
	bool		nulls[2] = {false, false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = CStringGetTextDatum(account->currency);
	values[1] = CStringGetTextDatum(account->time_zone);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* Whether a number of one account may mean the same in the other; so it is if one of them is gone or cannot be used. */
Datum
mf_shares_numbers(PG_FUNCTION_ARGS)
{
	const char *reason;
	const char *address = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
	const MfAccount *account = PG_ARGISNULL(0) ? NULL : mf_account_or_null(text_to_cstring(PG_GETARG_TEXT_PP(0)), &reason);
	const MfAccount *other = PG_ARGISNULL(2) ? NULL : mf_account_or_null(text_to_cstring(PG_GETARG_TEXT_PP(2)), &reason);

	if (address == NULL && account != NULL)
		address = account->base_url;
	PG_RETURN_BOOL(address == NULL || other == NULL || strcmp(address, other->base_url) == 0);
}
