/*
 * account_option.h
 *	  Validates and parses the options of servers and user mappings; the times of the day
 *	  at which an account sends.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/account/account_option.h
 */
#ifndef MF_ACCOUNT_OPTION_H
#define MF_ACCOUNT_OPTION_H

#include "nodes/pg_list.h"

#include "account/account.h"

/* Bytes of an API key or webhook secret; MyFatoorah's keys have about 500. */
#define MF_SECRET_MAX 4096

/*
 * An API key shorter than this was not copied whole.  It could also not be
 * redacted from texts without hitting other words.
 */
#define MF_KEY_MIN 8

#define MF_MAX_IN_FLIGHT_MIN 1
#define MF_MAX_IN_FLIGHT_DEFAULT 50
#define MF_MAX_IN_FLIGHT_MAX 1000
#define MF_RATE_LIMIT_MAX 10000
#define MF_TIMEOUT_MIN 100		/* milliseconds */
#define MF_TIMEOUT_DEFAULT 60000
#define MF_TIMEOUT_MAX 600000
#define MF_CONNECT_TIMEOUT_DEFAULT 10000

#define MF_COUNTRY_LIST "KWT, BHR, OMN, JOR, SAU, ARE, QAT, EGY"

/* A country in which MyFatoorah has accounts */
typedef struct MfCountry
{
	const char *iso;			/* ISO 3166 alpha-3 */
	const char *currency;
	int			decimals;		/* of the currency, by ISO 4217 */
	const char *dial_code;
	const char *base_url;		/* of the live environment */
	const char *time_zone;
	bool		idempotency_key;	/* MyFatoorah keeps an Idempotency-Key there */
} MfCountry;

/* Decimals of the currency of one of these countries; 3, the most that there are, for any other. */
extern int	mf_currency_decimals(const char *currency);

/*
 * Stores the options of a server; what is not set is left alone.  Raises 22023 if a
 * value is not valid any more.  An option that is not known is ignored.
 */
extern void mf_account_read_options(List *options, MfAccount *account);

/*
 * mf_queue.lookups of an entry that waits for such a time.  After ALTER SERVER or
 * mf_resume() the time is computed again.
 */
#define MF_LOOKUPS_TIMED (-1)

/*
 * Returns when an invoice is to be sent.  This is send_at, but a send_at of midnight
 * means the account's send_time on that day.  If the customer is notified, and the time
 * or "now" is within the account's quiet_hours, it is the end of these.
 */
extern TimestampTz mf_send_due(const MfAccount *account, TimestampTz send_at, bool notifies, TimestampTz now);

#endif							/* MF_ACCOUNT_OPTION_H */
