/*
 * account_key.c
 *	  User mappings of accounts: whose API key is used, reading it, and webhook secrets.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/account/account_key.c
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/reloptions.h"
#include "access/table.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "account/account_key.h"
#include "base/compat.h"
#include "base/log_event.h"
#include "database/sql.h"

/* One option of a user mapping */
typedef struct MappingOption
{
	Oid			role;			/* InvalidOid: PUBLIC */
	DefElem    *option;
} MappingOption;

static void check_key_file_allowed(const MfAccount *account);
static HeapTuple find_mapping(const MfAccount *account, Oid roleid);
static List *read_mapping(const MfAccount *account, MfKeyOwner owner, MfAccountKey *key);
static void report_no_key(const MfAccount *account, Oid roleid, bool own, bool has_mapping);
static void report_no_own_mapping(const MfAccount *account, Oid roleid);

const MfKeyOwner mf_public_key = {InvalidOid, false};

/* Secrets of one account that are used; any others are ignored */
#define MAX_WEBHOOK_SECRETS 64

/* Interval between two log messages about secrets that cannot be read */
#define UNREADABLE_LOG_MS 60000

/* Argument and result of read_secret(), which may fail */
typedef struct SecretLookup
{
	DefElem    *option;
	char	   *secret;
} SecretLookup;

static int	read_secrets(const MfAccount *account, char **secrets);
static List *secret_options(const MfAccount *account);
static void read_secret(void *argument);
static void log_unreadable(const MfAccount *account, const ErrorData *error);

PG_FUNCTION_INFO_V1(mf_shares_webhooks);

void
mf_account_read_key(const MfAccount *account, MfKeyOwner owner, MfAccountKey *key)
{
	List	   *options;
	ListCell   *lc;

	memset(key, 0, sizeof(*key));
	options = read_mapping(account, owner, key);
	foreach(lc, options)
	{
		DefElem    *def = (DefElem *) lfirst(lc);

		if (strcmp(def->defname, "api_key") == 0)
		{
			key->key = pstrdup(defGetString(def));
			return;
		}
		if (strcmp(def->defname, "api_key_file") == 0)
		{
			key->path = defGetString(def);
			check_key_file_allowed(account);
			key->key = mf_read_secret_file(def->defname, key->path, &key->file);
			return;
		}
	}
	report_no_key(account, owner.role, key->own, options != NIL);
}

/*
 * Only superusers name files.  So the key in a file goes to MyFatoorah, or to
 * where a superuser has said, and not to where the owner of the server likes.
 */
static void
check_key_file_allowed(const MfAccount *account)
{
	if (mf_account_is_redirected(account))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("the key file of account \"%s\" is not used with a base_url of its owner", account->name),
				 errdetail("The owner of the server is not a superuser, and a key that a superuser has put into a file goes to MyFatoorah only."),
				 errhint("Drop that option, give the server to a superuser, or put the key into option \"api_key\" of the user mapping.")));
}

/*
 * Returns the options of the user mapping that is used, and stores in *key which row
 * that is; NIL if there is none.  A role that was dropped has PUBLIC's.
 */
static List *
read_mapping(const MfAccount *account, MfKeyOwner owner, MfAccountKey *key)
{
	HeapTuple	tuple = OidIsValid(owner.role) ? find_mapping(account, owner.role) : NULL;
	List	   *options = NIL;
	Datum		value;
	bool		isnull;

	key->own = HeapTupleIsValid(tuple);
	if (!key->own && owner.own)
		report_no_own_mapping(account, owner.role);
	if (!HeapTupleIsValid(tuple))
		tuple = find_mapping(account, InvalidOid);
	if (!HeapTupleIsValid(tuple))
		return NIL;

	key->mapping_xmin = HeapTupleHeaderGetRawXmin(tuple->t_data);
	key->mapping_tid = tuple->t_self;
	value = SysCacheGetAttr(USERMAPPINGUSERSERVER, tuple, Anum_pg_user_mapping_umoptions, &isnull);
	if (!isnull)
		options = untransformRelOptions(value);
	ReleaseSysCache(tuple);
	return options;
}

/* The row of pg_user_mapping, to be released; InvalidOid is PUBLIC. */
static HeapTuple
find_mapping(const MfAccount *account, Oid roleid)
{
	return SearchSysCache2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(roleid), ObjectIdGetDatum(account->serverid));
}

static void
report_no_key(const MfAccount *account, Oid roleid, bool own, bool has_mapping)
{
	const char *role = OidIsValid(roleid) ? GetUserNameFromId(roleid, false) : "public";

	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("account \"%s\" has no API key for role \"%s\"", account->name, role),
			 !own && !has_mapping ?
			 errhint("Add it with: CREATE USER MAPPING FOR PUBLIC SERVER %s OPTIONS (api_key_file 'myfatoorah.key')",
					 quote_identifier(account->name)) :
			 errhint("Add it with: ALTER USER MAPPING FOR %s SERVER %s OPTIONS (ADD api_key_file 'myfatoorah.key')",
					 own ? quote_identifier(role) : "PUBLIC", quote_identifier(account->name))));
}

/* The invoice waits, because PUBLIC's key may belong to another merchant. */
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
mf_account_owner_is_gone(MfKeyOwner owner)
{
	return owner.own && !(OidIsValid(owner.role) && SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(owner.role)));
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

/* Options of all user mappings of a server: a List of MappingOption, palloc'd. */
static List *
mapping_options(Oid serverid)
{
	Relation	relation = table_open(UserMappingRelationId, AccessShareLock);
	List	   *found = NIL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	/* no index serves this, and user mappings are few */
	ScanKeyInit(&key, Anum_pg_user_mapping_umserver, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(serverid));
	scan = systable_beginscan(relation, InvalidOid, false, NULL, 1, &key);
	while ((tuple = systable_getnext(scan)) != NULL)
	{
		bool		isnull;
		Datum		options = heap_getattr(tuple, Anum_pg_user_mapping_umoptions, RelationGetDescr(relation), &isnull);
		ListCell   *lc;

		if (isnull)
			continue;
		foreach(lc, untransformRelOptions(options))
		{
			MappingOption *option = (MappingOption *) palloc(sizeof(MappingOption));

			option->role = ((Form_pg_user_mapping) GETSTRUCT(tuple))->umuser;
			option->option = (DefElem *) lfirst(lc);
			found = lappend(found, option);
		}
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return found;
}

bool
mf_account_has_key_file(Oid serverid)
{
	ListCell   *lc;

	foreach(lc, mapping_options(serverid))
	{
		if (strcmp(((MappingOption *) lfirst(lc))->option->defname, "api_key_file") == 0)
			return true;
	}
	return false;
}

bool
mf_account_has_webhook_secret(const MfAccount *account)
{
	return secret_options(account) != NIL;
}

/*
 * Whether one secret signs the webhooks of both accounts.  The numbers of all merchants are
 * different, but only the secret tells that one may speak of the invoices of the other.
 */
Datum
mf_shares_webhooks(PG_FUNCTION_ARGS)
{
	const char *reason;
	const MfAccount *account = mf_account_or_null(text_to_cstring(PG_GETARG_TEXT_PP(0)), &reason);
	const MfAccount *other = mf_account_or_null(text_to_cstring(PG_GETARG_TEXT_PP(1)), &reason);
	List	   *theirs = other ? secret_options(other) : NIL;
	ListCell   *lc;
	ListCell   *their;

	foreach(lc, account ? secret_options(account) : NIL)
	{
		DefElem    *option = (DefElem *) lfirst(lc);

		foreach(their, theirs)
		{
			DefElem    *same = (DefElem *) lfirst(their);

			if (strcmp(option->defname, same->defname) == 0 && strcmp(defGetString(option), defGetString(same)) == 0)
				PG_RETURN_BOOL(true);
		}
	}
	PG_RETURN_BOOL(false);
}

MfWebhookVerdict
mf_account_read_webhook(const MfAccount *account, const char *body, size_t len,
						const char *signature, const char *version, MfWebhook *webhook)
{
	char	   *secrets[MAX_WEBHOOK_SECRETS];
	int			count = read_secrets(account, secrets);
	MfWebhookVerdict verdict = mf_webhook_read(body, len, signature, version, (const char *const *) secrets, count,
											   webhook);

	while (count > 0)
		mf_wipe_string(secrets[--count]);
	return verdict;
}

/*
 * Reads the webhook secrets of an account, palloc'd; returns how many.  Those that
 * cannot be read are left out, and logged, unless there is no other.
 */
static int
read_secrets(const MfAccount *account, char **secrets)
{
	ErrorData  *error = NULL;
	int			count = 0;
	ListCell   *lc;

	foreach(lc, secret_options(account))
	{
		SecretLookup lookup = {(DefElem *) lfirst(lc), NULL};
		ErrorData  *failure = mf_sql_try(read_secret, &lookup);

		if (failure != NULL)
			error = failure;
		else if (count < MAX_WEBHOOK_SECRETS)
			secrets[count++] = lookup.secret;
	}
	if (error != NULL && count == 0)
		ReThrowError(error);
	if (error != NULL)
		log_unreadable(account, error);
	return count;
}

/* List of DefElem: the options with a webhook secret that count for the account. */
static List *
secret_options(const MfAccount *account)
{
	List	   *found = NIL;
	ListCell   *lc;

	foreach(lc, mapping_options(account->serverid))
	{
		const MappingOption *option = (const MappingOption *) lfirst(lc);

		if (strncmp(option->option->defname, "webhook_secret", strlen("webhook_secret")) == 0 &&
			(!OidIsValid(option->role) || has_privs_of_role(option->role, account->owner)))
			found = lappend(found, option->option);
	}
	return found;
}

static void
read_secret(void *argument)
{
	SecretLookup *lookup = (SecretLookup *) argument;
	const char *name = lookup->option->defname;
	char	   *value = defGetString(lookup->option);
	size_t		len = strlen(name);

	lookup->secret = strcmp(name + len - strlen("_file"), "_file") == 0 ?
		mf_read_secret_file(name, value, NULL) : pstrdup(value);
}

/* Webhooks signed with other secrets may come in all the time, so at most one message per interval is logged. */
static void
log_unreadable(const MfAccount *account, const ErrorData *error)
{
	static TimestampTz logged_at = 0;
	TimestampTz now = GetCurrentTimestamp();

	if (logged_at != 0 && !TimestampDifferenceExceeds(logged_at, now, UNREADABLE_LOG_MS))
		return;
	logged_at = now;
	ereport(LOG,
			(mf_log_event("webhook_secret_unreadable",
						  "could not read a webhook secret of account \"%s\"", account->name),
			 errdetail_internal("%s", error->message),
			 errhint("Webhooks that are signed with it are refused. Correct the file, or drop the option from the user mapping.")));
}
