/*
 * settings.h
 *	  What every part of the extension shares: settings and names.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/base/settings.h
 */
#ifndef MF_SETTINGS_H
#define MF_SETTINGS_H

#define MF_EXTENSION "myfatoorah"
#define MF_WORKER_ROLE "myfatoorah_worker"
#define MF_OPERATE_ROLE "myfatoorah_operate"
#define MF_READ_ROLE "myfatoorah_read"
#define MF_CHANNEL "mf_invoice"
#define MF_DEFAULT_ACCOUNT "myfatoorah"

/* Settings: name, unit, minimum, default and maximum also stand in README.md */
#define MF_MAX_DATABASES_MIN 1
#define MF_MAX_DATABASES_DEFAULT 16
#define MF_MAX_DATABASES_MAX 1024

#define MF_IN_FLIGHT_MIN 10	/* requests of all accounts of a worker */
#define MF_IN_FLIGHT_DEFAULT 1000
#define MF_IN_FLIGHT_MAX 10000

#define MF_RETRY_DELAY_MIN 1	/* milliseconds */
#define MF_RETRY_DELAY_DEFAULT 5000
#define MF_RETRY_DELAY_MAX 3600000

#define MF_LOOKUP_DELAY_MIN 1	/* milliseconds */
#define MF_LOOKUP_DELAY_DEFAULT 60000
#define MF_LOOKUP_DELAY_MAX 3600000

#define MF_SHUTDOWN_WAIT_DEFAULT 5000	/* milliseconds */
#define MF_SHUTDOWN_WAIT_MAX 600000

/* What may be sent again after look-ups found no invoice */
typedef enum MfResendPolicy
{
	MF_RESEND_NEVER,
	MF_RESEND_LINK,				/* notification_option LNK: nobody was told */
	MF_RESEND_ALL
} MfResendPolicy;

#define MF_MAX_RESENDS_MIN 0
#define MF_MAX_RESENDS_DEFAULT 3
#define MF_MAX_RESENDS_MAX 100

#define MF_HISTORY_RETENTION_DEFAULT 0	/* minutes; 0 = for ever */
#define MF_HISTORY_RETENTION_MAX INT_MAX

#define MF_POLL_DELAY_MIN 1		/* milliseconds */
#define MF_POLL_DELAY_DEFAULT 300000
#define MF_POLL_DELAY_MAX 86400000

#define MF_POLL_RATE_LIMIT_DEFAULT 60	/* per minute and account; 0 = no polling */
#define MF_POLL_RATE_LIMIT_MAX 60000
#define MF_CALLBACK_RATE_LIMIT_DEFAULT 600	/* per minute and account */

#define MF_ON_CHANGE_TIMEOUT_DEFAULT 1000	/* milliseconds */
#define MF_ON_CHANGE_TIMEOUT_MAX 60000

#define MF_PUBLIC_URL_MAX 120	/* so that paths below it fit into a URL of the vendor */

#define MF_LISTEN_ADDRESSES_DEFAULT "127.0.0.1"
#define MF_LISTEN_PORT_DEFAULT 0		/* no listener */
#define MF_LISTEN_PORT_MAX 65535

/* The account name that stands for all of them */
#define MF_ALL_ACCOUNTS "*"

extern bool mf_worker_enabled;	/* myfatoorah.worker_enabled */
extern int	mf_max_databases;	/* myfatoorah.max_databases */
extern int	mf_max_in_flight;	/* myfatoorah.max_in_flight */
extern int	mf_retry_delay;		/* myfatoorah.retry_delay, ms */
extern int	mf_lookup_delay;	/* myfatoorah.lookup_delay, ms */
extern int	mf_shutdown_wait;	/* myfatoorah.shutdown_wait, ms */
extern int	mf_resend_policy;	/* myfatoorah.resend_policy, an MfResendPolicy */
extern int	mf_max_resends;		/* myfatoorah.max_resends */
extern int	mf_history_retention;	/* myfatoorah.history_retention, minutes */
extern char *mf_listen_addresses;	/* myfatoorah.listen_addresses */
extern int	mf_listen_port; /* myfatoorah.listen_port */
extern char *mf_ssl_cert_file;	/* myfatoorah.ssl_cert_file */
extern char *mf_ssl_key_file;	/* myfatoorah.ssl_key_file */

extern int	mf_personal_data_retention; /* myfatoorah.personal_data_retention, minutes */
extern int	mf_poll_delay;		/* myfatoorah.poll_delay, ms */
extern int	mf_poll_rate_limit; /* myfatoorah.poll_rate_limit, per minute */
extern int	mf_callback_rate_limit;	/* myfatoorah.callback_rate_limit, per minute */
extern int	mf_on_change_timeout;	/* myfatoorah.on_change_timeout, ms */
extern char *mf_public_url;		/* myfatoorah.public_url, without a slash at the end; "" = none */
extern bool mf_route_callbacks; /* myfatoorah.route_callbacks */

#endif							/* MF_SETTINGS_H */
