/*
 * settings.c
 *	  The configuration parameters of the extension.
 *
 * docs/reference.md has each of them, with its limits and default.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/base/settings.c
 */
#include "postgres.h"

#include "utils/guc.h"

#include "base/compat.h"
#include "base/listen_address.h"
#include "base/settings.h"
#include "core/text/text.h"
#include "core/text/unicode.h"

/* Paths are appended to public_url, and MyFatoorah limits the length of the result. */
#define PUBLIC_URL_MAX 120

/*
 * Their values are the defaults below once mf_settings_define() has run.  An enum has
 * its default from the beginning: a server with assertions does not start otherwise.
 */
bool		mf_worker_enabled;
int			mf_max_databases;
int			mf_max_in_flight;
int			mf_retry_delay;
int			mf_lookup_delay;
int			mf_shutdown_wait;
int			mf_resend_policy = MF_RESEND_LINK;
int			mf_max_resends;
int			mf_history_retention;
int			mf_personal_data_retention;
int			mf_poll_delay;
int			mf_poll_rate_limit;
int			mf_callback_rate_limit;
int			mf_on_change_timeout;
char	   *mf_public_url;
bool		mf_route_callbacks;
char	   *mf_listen_addresses;
int			mf_listen_port;
char	   *mf_ssl_cert_file;
char	   *mf_ssl_key_file;

static const struct config_enum_entry resend_policies[] = {
	{"never", MF_RESEND_NEVER, false},
	{"link", MF_RESEND_LINK, false},
	{"all", MF_RESEND_ALL, false},
	{NULL, 0, false}
};

static void define_sending_settings(void);
static void define_retention_settings(void);
static void define_payment_settings(void);
static void define_listener_settings(void);
static bool check_public_url(char **newval, void **extra, GucSource source);
static bool check_listen_addresses(char **newval, void **extra, GucSource source);
static bool check_file_name(char **newval, void **extra, GucSource source);

void
mf_settings_define(bool shared_memory)
{
	if (shared_memory)
		DefineCustomIntVariable("myfatoorah.max_databases",
								"Sets the maximum number of databases that can have a worker.",
								NULL,
								&mf_max_databases, 16, 1, 1024, PGC_POSTMASTER, 0, NULL, NULL, NULL);
	define_sending_settings();
	define_retention_settings();
	define_payment_settings();
	define_listener_settings();
}

static void
define_sending_settings(void)
{
	DefineCustomBoolVariable("myfatoorah.worker_enabled",
							 "Runs a worker that sends the invoices of this database.",
							 "Meant to be set for a database: ALTER DATABASE ... SET myfatoorah.worker_enabled = off.",
							 &mf_worker_enabled, true, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("myfatoorah.max_in_flight",
							"Sets the maximum number of concurrent requests of a worker, all accounts together.",
							"Accounts take turns. Each account has a limit of its own, too.",
							&mf_max_in_flight, MF_IN_FLIGHT_DEFAULT, 10, MF_IN_FLIGHT_MAX,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("myfatoorah.retry_delay",
							"Sets the delay after the first failure to reach MyFatoorah.",
							"It is doubled after each consecutive failure, with jitter, up to one hour.",
							&mf_retry_delay, 5000, 1, 3600000, PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("myfatoorah.lookup_delay",
							"Sets the delay after which an invoice of unknown outcome is looked up.",
							"It starts when MyFatoorah can no longer be processing the request.",
							&mf_lookup_delay, 60000, 1, 3600000, PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("myfatoorah.shutdown_wait",
							"Sets the maximum time that a worker waits for outstanding answers when it ends.",
							"Requests without an answer by then have an unknown outcome and are looked up.",
							&mf_shutdown_wait, 5000, 0, 600000, PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomEnumVariable("myfatoorah.resend_policy",
							 "Selects the invoices that are sent again when look-ups have found no trace of them.",
							 "\"link\" means those with notification_option LNK, of which the customer cannot know.",
							 &mf_resend_policy, MF_RESEND_LINK, resend_policies, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("myfatoorah.max_resends",
							"Sets how often an invoice is sent again under a new reference before a person is asked.",
							NULL,
							&mf_max_resends, 3, 0, 100, PGC_SIGHUP, 0, NULL, NULL, NULL);
}

static void
define_retention_settings(void)
{
	DefineCustomIntVariable("myfatoorah.history_retention",
							"Sets the age at which attempts and transitions of finished invoices are deleted.",
							"0 keeps them forever.",
							&mf_history_retention, 0, 0, INT_MAX, PGC_SIGHUP, GUC_UNIT_MIN, NULL, NULL, NULL);
	DefineCustomIntVariable("myfatoorah.personal_data_retention",
							"Sets the age at which names, addresses and numbers of customers are removed from finished invoices.",
							"0 keeps them forever.",
							&mf_personal_data_retention, 0, 0, INT_MAX, PGC_SIGHUP, GUC_UNIT_MIN, NULL, NULL, NULL);
}

static void
define_payment_settings(void)
{
	DefineCustomIntVariable("myfatoorah.poll_delay",
							"Sets the delay before the payment of a new invoice is looked up.",
							"The later delays are growing multiples of it.",
							&mf_poll_delay, 300000, 1, 86400000, PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("myfatoorah.poll_rate_limit",
							"Sets the maximum number of look-ups per minute and account that polling makes.",
							"0 turns polling off. Payments are then noticed by webhooks and callbacks only.",
							&mf_poll_rate_limit, 60, 0, 60000, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("myfatoorah.callback_rate_limit",
							"Sets the maximum number of look-ups per minute that callbacks cause for an account, and mf_refresh() for a role.",
							"Callbacks are not authenticated. Look-ups beyond the limit are delayed.",
							&mf_callback_rate_limit, 600, 1, 60000, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("myfatoorah.on_change_timeout",
							"Sets the maximum duration of a function registered with mf_on_change().",
							"A function that takes longer has failed, and is called again later.",
							&mf_on_change_timeout, 1000, 1, 60000, PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
}

static void
define_listener_settings(void)
{
	DefineCustomStringVariable("myfatoorah.public_url",
							   "Sets the URL under which MyFatoorah and customers reach the listener.",
							   "It provides the CallBackUrl, ErrorUrl and WebhookUrl of invoices that have none.",
							   &mf_public_url, "", PGC_SUSET, 0, check_public_url, NULL, NULL);
	DefineCustomBoolVariable("myfatoorah.route_callbacks",
							 "Sends customers through the listener even if the invoice has a call_back_url or error_url.",
							 "The listener redirects them to it once it is known whether they have paid.",
							 &mf_route_callbacks, false, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("myfatoorah.listen_addresses",
							   "Sets the addresses that the listener of this database accepts connections at.",
							   "Numeric IPv4 or IPv6 addresses separated by commas, \"localhost\", or \"*\" for all.",
							   &mf_listen_addresses, "127.0.0.1", PGC_SUSET, 0,
							   check_listen_addresses, NULL, NULL);
	DefineCustomIntVariable("myfatoorah.listen_port",
							"Sets the TCP port of the listener that receives webhooks and callbacks for this database.",
							"0 runs no listener. Meant to be set for a database: ALTER DATABASE ... SET myfatoorah.listen_port = 8443.",
							&mf_listen_port, 0, 0, 65535, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("myfatoorah.ssl_cert_file",
							   "Sets the file with the PEM certificate chain of the listener.",
							   "If it is empty, the listener speaks plain HTTP, for a proxy on the same machine.",
							   &mf_ssl_cert_file, "", PGC_SUSET, 0, check_file_name, NULL, NULL);
	DefineCustomStringVariable("myfatoorah.ssl_key_file",
							   "Sets the file with the PEM private key of the listener.",
							   NULL,
							   &mf_ssl_key_file, "", PGC_SUSET, 0, check_file_name, NULL, NULL);
}

/*
 * Drops slashes at the end.  An address that only this machine can reach is
 * accepted, because the stand-in API uses one; mf_check() reports it.
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
		GUC_check_errdetail("It is not the URL of a web server.");
		GUC_check_errhint("Use a URL like https://pay.example.com or https://example.com/payments.");
		return false;
	}
	if (len > PUBLIC_URL_MAX)
	{
		GUC_check_errdetail("It has more than %d characters.", PUBLIC_URL_MAX);
		return false;
	}
	return true;
}

static bool
check_listen_addresses(char **newval, void **extra, GucSource source)
{
	MfListenAddress addresses[MF_LISTEN_MAX];
	char		error[128];

	if (mf_listen_parse_addresses(*newval, addresses, error, sizeof(error)) > 0)
		return true;
	GUC_check_errdetail("%s", error);
	GUC_check_errhint("Use numeric IPv4 or IPv6 addresses separated by commas, \"localhost\", or \"*\". Port 0 switches the listener off.");
	return false;
}

static bool
check_file_name(char **newval, void **extra, GucSource source)
{
	if (strlen(*newval) < MAXPGPATH / 2 && strpbrk(*newval, "\r\n") == NULL)
		return true;
	GUC_check_errdetail("It is not a file name.");
	return false;
}
