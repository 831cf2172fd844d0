/*
 * account_secret.c
 *	  Secrets of accounts, in files and in user mappings.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/account/account_secret.c
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "access/genam.h"
#include "access/reloptions.h"
#include "access/table.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "account/account.h"
#include "account/account_option.h"
#include "account/account_secret.h"
#include "base/compat.h"
#include "database/sql.h"
#include "process/process.h"

/* Secrets of one account, all user mappings together */
#define MAX_WEBHOOK_SECRETS 64

/*
 * Two changes of a file within one tick of its file system's clock look like
 * one: what has changed so recently, in seconds, is read again.
 */
#define COARSEST_CLOCK 3

/* Between two log lines about secrets that cannot be read */
#define UNREADABLE_LOG_MS 60000

/* A secret that is looked up, which may fail */
typedef struct SecretLookup
{
	const DefElem *option;
	char	   *secret;
} SecretLookup;

static const char *shown_path(const char *path);
static SysScanDesc scan_mappings(Relation relation, Oid serverid);
static List *options_of(Relation relation, HeapTuple tuple);
static bool file_state(int dir, const char *path, int flags, MfSecretFile *file);
static int	webhook_secrets(const MfAccount *account, char **secrets);
static List *webhook_secret_options(const MfAccount *account);
static void look_up_secret(void *argument);
static void tell_unreadable(const MfAccount *account, const ErrorData *error);

char *
mf_read_secret_file(const char *option, const char *path, MfSecretFile *file)
{
	char		full[MAXPGPATH];
	char		buffer[MF_SECRET_MAX + 2];
	struct stat st;
	ssize_t		length;
	char	   *end;
	char	   *secret;
	int			fd;

	if (is_absolute_path(path))
		strlcpy(full, path, sizeof(full));
	else
		snprintf(full, sizeof(full), "%s/%s", DataDir, path);

	fd = OpenTransientFile(full, O_RDONLY | O_NONBLOCK | PG_BINARY);
	if (fd < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open the file of option \"%s\"%s: %m", option, shown_path(full)),
				 errdetail_log("Its path is \"%s\".", full),
				 errhint("Create it with the key as its only line, owned by the operating-system user of the server, mode 0600.")));
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("the file of option \"%s\" is not a regular file%s", option, shown_path(full)),
				 errdetail_log("Its path is \"%s\".", full)));
	if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the file of option \"%s\" can be used by others%s", option, shown_path(full)),
				 errdetail_log("Its path is \"%s\".", full),
				 errhint("Its mode must be 0600; run chmod 0600 on it.")));
	if (file != NULL)
		file->known = file_state(fd, "", AT_EMPTY_PATH, file) &&
			file->changed / INT64CONST(1000000000) + COARSEST_CLOCK < (int64) time(NULL);

	length = read(fd, buffer, sizeof(buffer) - 1);
	if (length < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read the file of option \"%s\"%s: %m", option, shown_path(full)),
				 errdetail_log("Its path is \"%s\".", full)));
	CloseTransientFile(fd);

	/* a zero byte, as in a file in UTF-16, fails the check below */
	buffer[length] = '\0';
	end = buffer + length;
	while (end > buffer && strchr(" \t\r\n", end[-1]) != NULL)
		*--end = '\0';
	if (end == buffer || end - buffer > MF_SECRET_MAX ||
		strlen(buffer) != (size_t) (end - buffer) || strpbrk(buffer, " \t\r\n") != NULL)
	{
		explicit_bzero(buffer, sizeof(buffer));
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the file of option \"%s\" does not hold one secret%s", option, shown_path(full)),
				 errdetail("It is empty, too long, or contains white space."),
				 errhint("Write the secret from the portal into it as the only line.")));
	}
	if (strcmp(option, "api_key_file") == 0 && end - buffer < MF_KEY_MIN)
	{
		explicit_bzero(buffer, sizeof(buffer));
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the file of option \"%s\" does not hold an API key%s", option, shown_path(full)),
				 errdetail("It has fewer than %d characters.", MF_KEY_MIN),
				 errhint("Copy the whole API key from the portal into it.")));
	}
	secret = pstrdup(buffer);
	explicit_bzero(buffer, sizeof(buffer));
	return secret;
}

/*
 * Where the data directory is concerns superusers only.  What our processes
 * raise is written into tables that others read.
 */
static const char *
shown_path(const char *path)
{
	return superuser() && !mf_process_is_ours ? psprintf(": \"%s\"", path) : "";
}

bool
mf_secret_file_unchanged(const char *path, const MfSecretFile *file)
{
	MfSecretFile now;

	/* the server's processes stay in the data directory */
	return file->known && file_state(AT_FDCWD, path, 0, &now) &&
		now.device_major == file->device_major && now.device_minor == file->device_minor &&
		now.inode == file->inode && now.size == file->size && now.mode == file->mode &&
		now.modified == file->modified && now.changed == file->changed;
}

/* Asks the file system itself, without its caches; false if that is not possible. */
static bool
file_state(int dir, const char *path, int flags, MfSecretFile *file)
{
#ifdef AT_STATX_FORCE_SYNC
	struct statx st;

	if (statx(dir, path, flags | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &st) != 0 ||
		(st.stx_mask & STATX_BASIC_STATS) != STATX_BASIC_STATS)
		return false;
	file->device_major = st.stx_dev_major;
	file->device_minor = st.stx_dev_minor;
	file->inode = st.stx_ino;
	file->size = st.stx_size;
	file->mode = st.stx_mode;
	file->modified = st.stx_mtime.tv_sec * INT64CONST(1000000000) + st.stx_mtime.tv_nsec;
	file->changed = st.stx_ctime.tv_sec * INT64CONST(1000000000) + st.stx_ctime.tv_nsec;
	return true;
#else
	return false;
#endif
}

void
mf_wipe_string(char *string)
{
	explicit_bzero(string, strlen(string));
	pfree(string);
}

bool
mf_account_has_key_file(Oid serverid)
{
	Relation	relation = table_open(UserMappingRelationId, AccessShareLock);
	SysScanDesc scan = scan_mappings(relation, serverid);
	HeapTuple	tuple;
	bool		found = false;

	while (!found && (tuple = systable_getnext(scan)) != NULL)
	{
		ListCell   *lc;

		foreach(lc, options_of(relation, tuple))
			found |= strcmp(((DefElem *) lfirst(lc))->defname, "api_key_file") == 0;
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return found;
}

/* All user mappings of a server.  They are few: their table is read. */
static SysScanDesc
scan_mappings(Relation relation, Oid serverid)
{
	ScanKeyData key;

	ScanKeyInit(&key, Anum_pg_user_mapping_umserver, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(serverid));
	return systable_beginscan(relation, InvalidOid, false, NULL, 1, &key);
}

/* The options of one of them, a List of DefElem */
static List *
options_of(Relation relation, HeapTuple tuple)
{
	bool		isnull;
	Datum		options = heap_getattr(tuple, Anum_pg_user_mapping_umoptions, RelationGetDescr(relation), &isnull);

	return isnull ? NIL : untransformRelOptions(options);
}

bool
mf_account_has_webhook_secret(const MfAccount *account)
{
	return webhook_secret_options(account) != NIL;
}

MfWebhookVerdict
mf_account_read_webhook(const MfAccount *account, const char *body, size_t len,
						const char *signature, const char *version, MfWebhook *webhook)
{
	char	   *secrets[MAX_WEBHOOK_SECRETS];
	int			count = webhook_secrets(account, secrets);
	MfWebhookVerdict verdict = mf_webhook_read(body, len, signature, version, (const char *const *) secrets, count,
											   webhook);

	while (count > 0)
		mf_wipe_string(secrets[--count]);
	return verdict;
}

/*
 * The webhook secrets of an account, palloc'd.  What cannot be read is passed
 * over, and told of now and then, unless there is nothing else.
 */
static int
webhook_secrets(const MfAccount *account, char **secrets)
{
	List	   *options = webhook_secret_options(account);
	ErrorData  *error = NULL;
	int			count = 0;
	ListCell   *lc;

	foreach(lc, options)
	{
		SecretLookup lookup = {(const DefElem *) lfirst(lc), NULL};
		ErrorData  *failure = mf_sql_try(look_up_secret, &lookup);

		if (failure != NULL)
			error = failure;
		else if (count < MAX_WEBHOOK_SECRETS)
			secrets[count++] = lookup.secret;
	}
	if (error != NULL && count == 0)
		ReThrowError(error);
	if (error != NULL)
		tell_unreadable(account, error);
	return count;
}

/*
 * List of DefElem: the secrets that sign for the account.  Everybody may make a
 * mapping of his own, and what he writes there must not make him speak for
 * MyFatoorah: only the owner of the server makes PUBLIC's, and only he and those
 * who may act as he have one that counts as well.
 */
static List *
webhook_secret_options(const MfAccount *account)
{
	Relation	relation = table_open(UserMappingRelationId, AccessShareLock);
	SysScanDesc scan = scan_mappings(relation, account->serverid);
	List	   *found = NIL;
	HeapTuple	tuple;

	while ((tuple = systable_getnext(scan)) != NULL)
	{
		Oid			user = ((Form_pg_user_mapping) GETSTRUCT(tuple))->umuser;
		ListCell   *lc;

		if (OidIsValid(user) && !has_privs_of_role(user, account->owner))
			continue;
		foreach(lc, options_of(relation, tuple))
		{
			DefElem    *def = (DefElem *) lfirst(lc);

			if (strncmp(def->defname, "webhook_secret", strlen("webhook_secret")) == 0)
				found = lappend(found, def);
		}
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return found;
}

static void
look_up_secret(void *argument)
{
	SecretLookup *lookup = (SecretLookup *) argument;
	char	   *name = lookup->option->defname;
	char	   *value = defGetString(unconstify(DefElem *, lookup->option));
	size_t		len = strlen(name);

	lookup->secret = strcmp(name + len - strlen("_file"), "_file") == 0 ?
		mf_read_secret_file(name, value, NULL) : pstrdup(value);
}

/* Webhooks that are signed with another secret come in meanwhile, so it is one line a minute. */
static void
tell_unreadable(const MfAccount *account, const ErrorData *error)
{
	static TimestampTz told_at = 0;
	TimestampTz now = GetCurrentTimestamp();

	if (told_at != 0 && !TimestampDifferenceExceeds(told_at, now, UNREADABLE_LOG_MS))
		return;
	told_at = now;
	ereport(LOG,
			(errmsg("a webhook secret of account \"%s\" cannot be read", account->name),
			 errdetail_internal("%s", error->message),
			 errhint("Webhooks that are signed with it are refused. Mend the file, or drop the option from the user mapping.")));
}
