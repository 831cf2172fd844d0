/*
 * account_option.h
 *	  Options of accounts: what may stand where, and what it means.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/account/account_option.h
 */
#ifndef MF_ACCOUNT_OPTION_H
#define MF_ACCOUNT_OPTION_H

/* The longest key we have heard of is some 500 characters. */
#define MF_SECRET_MAX 4096

/* An API key shorter than this was not copied whole, and could not be told from other text. */
#define MF_KEY_MIN 8

#define MF_COUNTRY_LIST "KWT, BHR, OMN, JOR, SAU, ARE, QAT, EGY"

/* What the vendor has in one country */
typedef struct MfCountry
{
	const char *iso;			/* ISO 3166 alpha-3 */
	const char *currency;
	int			decimals;		/* of the currency, by ISO 4217 */
	const char *dial_code;
	const char *base_url;		/* of the live environment */
	const char *time_zone;
} MfCountry;

/* The country of that code in any case; NULL if it is none of the eight. */
extern const MfCountry *mf_find_country(const char *iso);

/* How many decimals the currency of one of the eight has; the most, if it is none of theirs. */
extern int	mf_currency_decimals(const char *currency);

/* Option values; 22023 with the valid range in the hint if they make no sense. */
extern int	mf_parse_timeout(const char *name, const char *value);	/* milliseconds; bare
																	 * numbers are seconds */
extern double mf_parse_rate(const char *value); /* per second, 0 = no limit */
extern int	mf_parse_in_flight(const char *value);
extern int	mf_parse_clock(const char *name, const char *value);	/* seconds after midnight */
extern void mf_parse_hours(const char *name, const char *value, int *from, int *to);	/* likewise */
extern bool mf_parse_switch(const char *name, const char *value);	/* as settings are written: on, off, ... */

#endif							/* MF_ACCOUNT_OPTION_H */
