/*
 * webhook_secret.c
 *	  Webhook secrets of accounts.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/account/webhook_secret.c
 */
#include "postgres.h"

#include "commands/defrem.h"
#include "utils/acl.h"
#include "utils/timestamp.h"

#include "account/account_key.h"
#include "account/webhook_secret.h"
#include "base/compat.h"
#include "base/log_event.h"
#include "database/sql.h"

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

bool
mf_account_has_webhook_secret(const MfAccount *account)
{
	return secret_options(account) != NIL;
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

	foreach(lc, mf_account_mapping_options(account->serverid))
	{
		const MfMappingOption *option = (const MfMappingOption *) lfirst(lc);

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
