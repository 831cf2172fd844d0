/*
 * account_option.h
 *	  Validates and parses the options of servers and user mappings.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/account/account_option.h
 */
#ifndef MF_ACCOUNT_OPTION_H
#define MF_ACCOUNT_OPTION_H

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
} MfCountry;

/* The country of that code, in any case; NULL if MyFatoorah has no accounts there. */
extern const MfCountry *mf_find_country(const char *iso);

/* Decimals of the currency of one of these countries; 3, the most that there are, for any other. */
extern int	mf_currency_decimals(const char *currency);

/*
 * Parse the value of an option.  Each raises 22023 with the valid range in the hint
 * if the value is not valid.
 */
extern int	mf_parse_timeout(const char *name, const char *value);	/* milliseconds; bare
																	 * numbers are seconds */
extern double mf_parse_rate(const char *value); /* per second, 0 = no limit */
extern int	mf_parse_in_flight(const char *value);
extern int	mf_parse_clock(const char *name, const char *value);	/* seconds after midnight */
extern void mf_parse_hours(const char *name, const char *value, int *from, int *to);	/* likewise */
extern bool mf_parse_switch(const char *name, const char *value);	/* boolean, as settings are written */

#endif							/* MF_ACCOUNT_OPTION_H */
