/*
 * myfatoorah.c
 *	  Loading of the library: settings, shared memory, hooks, launcher.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/myfatoorah.c
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/guc.h"

#include "base/compat.h"
#include "base/settings.h"
#include "core/text/unicode.h"
#include "core/text/url.h"
#include "database/sql.h"
#include "inbound/listener.h"
#include "process/failpoint.h"
#include "process/worker_slots.h"
#include "triggers/column_rights.h"
#include "triggers/enqueue.h"
#include "worker/launcher.h"
#include "worker/utility_hooks.h"

#if PG_VERSION_NUM >= 180000
PG_MODULE_MAGIC_EXT(.name = "myfatoorah",.version = MF_VERSION);
#else
PG_MODULE_MAGIC;
#endif

bool		mf_worker_enabled = true;
int			mf_max_databases = MF_MAX_DATABASES_DEFAULT;
int			mf_max_in_flight = MF_IN_FLIGHT_DEFAULT;
int			mf_retry_delay = MF_RETRY_DELAY_DEFAULT;
int			mf_lookup_delay = MF_LOOKUP_DELAY_DEFAULT;

int			mf_shutdown_wait = MF_SHUTDOWN_WAIT_DEFAULT;
int			mf_resend_policy = MF_RESEND_LINK;
int			mf_max_resends = MF_MAX_RESENDS_DEFAULT;
int			mf_history_retention = MF_HISTORY_RETENTION_DEFAULT;
int			mf_personal_data_retention = 0;
int			mf_poll_delay = MF_POLL_DELAY_DEFAULT;
int			mf_poll_rate_limit = MF_POLL_RATE_LIMIT_DEFAULT;
int			mf_callback_rate_limit = MF_CALLBACK_RATE_LIMIT_DEFAULT;
int			mf_on_change_timeout = MF_ON_CHANGE_TIMEOUT_DEFAULT;
char	   *mf_public_url = NULL;
bool		mf_route_callbacks = false;
char	   *mf_listen_addresses = NULL;
int			mf_listen_port = MF_LISTEN_PORT_DEFAULT;
char	   *mf_ssl_cert_file = NULL;
char	   *mf_ssl_key_file = NULL;

static const struct config_enum_entry resend_policies[] = {
	{"never", MF_RESEND_NEVER, false},
	{"link", MF_RESEND_LINK, false},
	{"all", MF_RESEND_ALL, false},
	{NULL, 0, false}
};

extern PGDLLEXPORT void _PG_init(void);

static bool check_public_url(char **newval, void **extra, GucSource source);

/*
 * Everything that needs shared memory only works under
 * shared_preload_libraries; without it the functions still do.
 */
void
_PG_init(void)
{
	DefineCustomBoolVariable("myfatoorah.worker_enabled",
							 "Runs a worker that sends the invoices of this database.",
							 "Meant to be set for a database: ALTER DATABASE ... SET myfatoorah.worker_enabled = off.",
							 &mf_worker_enabled, true, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("myfatoorah.max_in_flight",
							"Requests that a worker has under way at the same time, all accounts together.",
							"Accounts take turns; each has a limit of its own, too.",
							&mf_max_in_flight, MF_IN_FLIGHT_DEFAULT, MF_IN_FLIGHT_MIN, MF_IN_FLIGHT_MAX,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("myfatoorah.retry_delay",
							"First delay after a failure to reach MyFatoorah.",
							"Doubled with every failure in a row, with jitter, up to an hour.",
							&mf_retry_delay, MF_RETRY_DELAY_DEFAULT, MF_RETRY_DELAY_MIN, MF_RETRY_DELAY_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("myfatoorah.lookup_delay",
							"Delay after which an invoice of unknown outcome is looked up.",
							"Counted from the time when MyFatoorah can no longer be working on the request.",
							&mf_lookup_delay, MF_LOOKUP_DELAY_DEFAULT, MF_LOOKUP_DELAY_MIN,
							MF_LOOKUP_DELAY_MAX, PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);

	DefineCustomIntVariable("myfatoorah.shutdown_wait",
							"Longest time that the end of a worker waits for answers to what is under way.",
							"What is not answered by then is unknown and is looked up.",
							&mf_shutdown_wait, MF_SHUTDOWN_WAIT_DEFAULT, 0, MF_SHUTDOWN_WAIT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);

	DefineCustomEnumVariable("myfatoorah.resend_policy",
							 "Invoices that are sent again when look-ups have found no trace of them.",
							 "\"link\" means those with notification_option LNK, of which the customer cannot know.",
							 &mf_resend_policy, MF_RESEND_LINK, resend_policies, PGC_SIGHUP, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("myfatoorah.max_resends",
							"How often one invoice is sent again under a new reference before a person is asked.",
							NULL,
							&mf_max_resends, MF_MAX_RESENDS_DEFAULT, MF_MAX_RESENDS_MIN, MF_MAX_RESENDS_MAX,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("myfatoorah.history_retention",
							"Age at which attempts and transitions of finished invoices are deleted.",
							"0 keeps them for ever.",
							&mf_history_retention, MF_HISTORY_RETENTION_DEFAULT, 0, MF_HISTORY_RETENTION_MAX,
							PGC_SIGHUP, GUC_UNIT_MIN, NULL, NULL, NULL);

	DefineCustomIntVariable("myfatoorah.personal_data_retention",
							"Age at which names, addresses and numbers of customers are emptied in finished invoices.",
							"0 keeps them for ever.",
							&mf_personal_data_retention, 0, 0, MF_HISTORY_RETENTION_MAX,
							PGC_SIGHUP, GUC_UNIT_MIN, NULL, NULL, NULL);

	DefineCustomIntVariable("myfatoorah.poll_delay",
							"Delay before the payment of a new invoice is asked for.",
							"The later delays are growing multiples of it.",
							&mf_poll_delay, MF_POLL_DELAY_DEFAULT, MF_POLL_DELAY_MIN, MF_POLL_DELAY_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("myfatoorah.poll_rate_limit",
							"Look-ups per minute and account that polling may make.",
							"0 turns polling off; payments are then noticed by webhooks and callbacks only.",
							&mf_poll_rate_limit, MF_POLL_RATE_LIMIT_DEFAULT, 0, MF_POLL_RATE_LIMIT_MAX,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("myfatoorah.callback_rate_limit",
							"Look-ups per minute and account that callbacks may cause, and mf_refresh() by each role.",
							"Callbacks prove nothing; what they and people ask for beyond this is asked later.",
							&mf_callback_rate_limit, MF_CALLBACK_RATE_LIMIT_DEFAULT, 1, MF_POLL_RATE_LIMIT_MAX,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("myfatoorah.on_change_timeout",
							"Longest time that a function of mf_on_change() may take.",
							"One that takes longer has failed, and is called again later.",
							&mf_on_change_timeout, MF_ON_CHANGE_TIMEOUT_DEFAULT, 1, MF_ON_CHANGE_TIMEOUT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomStringVariable("myfatoorah.public_url",
							   "Address under which MyFatoorah and customers reach the listener.",
							   "Fills CallBackUrl, ErrorUrl and WebhookUrl of invoices that give none.",
							   &mf_public_url, "", PGC_SUSET, 0, check_public_url, NULL, NULL);
	DefineCustomBoolVariable("myfatoorah.route_callbacks",
							 "Sends customers through the listener also if the invoice gives a call_back_url or error_url.",
							 "The listener then sends them on to it, once it is known whether they have paid.",
							 &mf_route_callbacks, false, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("myfatoorah.listen_addresses",
							   "Addresses that the listener of this database accepts connections at.",
							   "Numeric IPv4 or IPv6 addresses, separated by commas, \"localhost\", or \"*\" for all.",
							   &mf_listen_addresses, MF_LISTEN_ADDRESSES_DEFAULT, PGC_SUSET, 0,
							   mf_check_listen_addresses, NULL, NULL);
	DefineCustomIntVariable("myfatoorah.listen_port",
							"TCP port of the listener that receives webhooks and callbacks for this database.",
							"0 runs none. Meant to be set for a database: ALTER DATABASE ... SET myfatoorah.listen_port = 8443.",
							&mf_listen_port, MF_LISTEN_PORT_DEFAULT, 0, MF_LISTEN_PORT_MAX,
							PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("myfatoorah.ssl_cert_file",
							   "File with the certificate of the listener, and of its issuers, in PEM.",
							   "Empty means plain HTTP, for a proxy on the same machine.",
							   &mf_ssl_cert_file, "", PGC_SUSET, 0, mf_check_file_name, NULL, NULL);
	DefineCustomStringVariable("myfatoorah.ssl_key_file",
							   "File with the private key of the listener's certificate, in PEM.",
							   NULL,
							   &mf_ssl_key_file, "", PGC_SUSET, 0, mf_check_file_name, NULL, NULL);

	if (process_shared_preload_libraries_in_progress)
	{
		DefineCustomIntVariable("myfatoorah.max_databases",
								"Databases that can have a worker.",
								NULL,
								&mf_max_databases, MF_MAX_DATABASES_DEFAULT, MF_MAX_DATABASES_MIN,
								MF_MAX_DATABASES_MAX, PGC_POSTMASTER, 0, NULL, NULL, NULL);
		mf_wake_init();
		mf_hooks_init();
		mf_launcher_register();
	}

	mf_sql_init();
	mf_follow_init();
	mf_column_rights_init();
	mf_failpoint_define();
	MarkGUCPrefixReserved("myfatoorah");
}

/*
 * The address of a web server that others reach; a slash at its end is
 * dropped.  That it is not this machine is for mf_check() to say: with the
 * stand-in API it is.
 */
static bool
check_public_url(char **newval, void **extra, GucSource source)
{
	char	   *url = *newval;
	size_t		len = strlen(url);
	uint32		unseen;
	MfUrlVerdict verdict;

	if (len == 0)
		return true;
	while (len > 0 && url[len - 1] == '/')
		url[--len] = '\0';
	verdict = mf_url_check(url);
	if (verdict == MF_URL_NO_WEB || verdict == MF_URL_AMBIGUOUS || strpbrk(url, "?#\"<>") != NULL ||
		mf_text_find_unseen(url, len, &unseen))
	{
		GUC_check_errdetail("It is not the address of a web server.");
		GUC_check_errhint("Give it like https://pay.example.com or https://example.com/payments.");
		return false;
	}
	if (len > MF_PUBLIC_URL_MAX)
	{
		GUC_check_errdetail("It has more than %d characters.", MF_PUBLIC_URL_MAX);
		return false;
	}
	return true;
}
