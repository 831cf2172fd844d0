/*
 * settings.h
 *	  The configuration parameters of the extension, and the names of its
 *	  objects.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/base/settings.h
 */
#ifndef MF_SETTINGS_H
#define MF_SETTINGS_H

#include "base/text_domain.h"

#define MF_EXTENSION "myfatoorah"
#define MF_WORKER_ROLE "myfatoorah_worker"
#define MF_OPERATE_ROLE "myfatoorah_operate"
#define MF_SUBMIT_ROLE "myfatoorah_submit"
#define MF_READ_ROLE "myfatoorah_read"
#define MF_CHANNEL "mf_invoice"
#define MF_DEFAULT_ACCOUNT "myfatoorah"

/* The account name that stands for all accounts */
#define MF_ALL_ACCOUNTS "*"

#define MF_IN_FLIGHT_DEFAULT 1000
#define MF_IN_FLIGHT_MAX 10000

/* Which invoices are sent again when look-ups found none */
typedef enum MfResendPolicy
{
	MF_RESEND_NEVER,
	MF_RESEND_LINK,				/* notification_option LNK: MyFatoorah has notified nobody */
	MF_RESEND_ALL
} MfResendPolicy;

/* A delay or time-out is in milliseconds, a retention in minutes (0 = forever). */
extern bool mf_worker_enabled;	/* myfatoorah.worker_enabled */
extern int	mf_max_databases;	/* 0 unless the library is preloaded */
extern int	mf_max_in_flight;
extern int	mf_retry_delay;
extern int	mf_lookup_delay;
extern int	mf_shutdown_wait;
extern int	mf_resend_policy;	/* an MfResendPolicy */
extern int	mf_max_resends;
extern int	mf_history_retention;
extern int	mf_personal_data_retention;
extern int	mf_poll_delay;
extern int	mf_poll_rate_limit; /* per minute and account; 0 = no polling */
extern int	mf_callback_rate_limit; /* per minute and account */
extern int	mf_on_change_timeout;
extern char *mf_public_url;		/* without a slash at the end; "" = none */
extern bool mf_route_callbacks;
extern char *mf_listen_addresses;
extern int	mf_listen_port;		/* 0 = no listener */
extern char *mf_ssl_cert_file;	/* "" = none */
extern char *mf_ssl_key_file;	/* "" = none */

/*
 * Defines the parameters; from _PG_init().  "shared_memory": under
 * shared_preload_libraries, where those that size shared memory exist, too.
 */
extern void mf_settings_define(bool shared_memory);

#endif							/* MF_SETTINGS_H */
