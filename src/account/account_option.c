/*
 * account_option.c
 *	  Options of accounts: what may stand where, and what it means.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/account/account_option.c
 */
#include "postgres.h"

#include <math.h>

#include "access/reloptions.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "account/account_option.h"
#include "base/compat.h"
#include "core/http/http.h"

typedef enum OptionKind
{
	OPTION_COUNTRY,
	OPTION_ENVIRONMENT,
	OPTION_URL,
	OPTION_IN_FLIGHT,
	OPTION_RATE,
	OPTION_TIMEOUT,
	OPTION_PATH,
	OPTION_TIME_ZONE,
	OPTION_CLOCK,
	OPTION_HOURS,
	OPTION_SWITCH,
	OPTION_SECRET
} OptionKind;

typedef struct AccountOption
{
	const char *name;
	Oid			catalog;		/* where it may stand */
	bool		superuser_only;
	OptionKind	kind;
} AccountOption;

/* Secrets are options of the mapping, because server options are readable by all. */
static const AccountOption account_options[] = {
	{"country", ForeignServerRelationId, false, OPTION_COUNTRY},
	{"environment", ForeignServerRelationId, false, OPTION_ENVIRONMENT},
	{"base_url", ForeignServerRelationId, false, OPTION_URL},
	{"max_in_flight", ForeignServerRelationId, false, OPTION_IN_FLIGHT},
	{"rate_limit", ForeignServerRelationId, false, OPTION_RATE},
	{"timeout", ForeignServerRelationId, false, OPTION_TIMEOUT},
	{"connect_timeout", ForeignServerRelationId, false, OPTION_TIMEOUT},
	{"ca_file", ForeignServerRelationId, true, OPTION_PATH},
	{"time_zone", ForeignServerRelationId, false, OPTION_TIME_ZONE},
	{"own_mappings", ForeignServerRelationId, false, OPTION_SWITCH},
	{"send_time", ForeignServerRelationId, false, OPTION_CLOCK},
	{"quiet_hours", ForeignServerRelationId, false, OPTION_HOURS},
	{"callbacks", ForeignServerRelationId, false, OPTION_SWITCH},
	{"api_key", UserMappingRelationId, false, OPTION_SECRET},
	{"api_key_file", UserMappingRelationId, true, OPTION_PATH},
	{"webhook_secret", UserMappingRelationId, false, OPTION_SECRET},
	{"webhook_secret_file", UserMappingRelationId, true, OPTION_PATH},
	{"webhook_secret_previous", UserMappingRelationId, false, OPTION_SECRET},
	{"webhook_secret_previous_file", UserMappingRelationId, true, OPTION_PATH},
	{NULL, InvalidOid, false, OPTION_PATH}
};

/* The vendor's live hosts; the test host serves all countries in KWD. */
static const MfCountry countries[] = {
	{"KWT", "KWD", 3, "965", "https://api.myfatoorah.com", "Asia/Kuwait"},
	{"BHR", "BHD", 3, "973", "https://api.myfatoorah.com", "Asia/Kuwait"},
	{"OMN", "OMR", 3, "968", "https://api.myfatoorah.com", "Asia/Kuwait"},
	{"JOR", "JOD", 3, "962", "https://api.myfatoorah.com", "Asia/Kuwait"},
	{"SAU", "SAR", 2, "966", "https://api-sa.myfatoorah.com", "Asia/Riyadh"},
	{"ARE", "AED", 2, "971", "https://api-ae.myfatoorah.com", "Asia/Dubai"},
	{"QAT", "QAR", 2, "974", "https://api-qa.myfatoorah.com", "Asia/Qatar"},
	{"EGY", "EGP", 2, "20", "https://api-eg.myfatoorah.com", "Africa/Cairo"},
	{NULL, NULL, 0, NULL, NULL, NULL}
};

static char *valid_options(Oid catalog);
static void check_option(const AccountOption *option, const char *value, bool by_superuser);

PG_FUNCTION_INFO_V1(mf_account_validator);

/*
 * Checks the generic options given to CREATE or ALTER of a server, a user
 * mapping or the wrapper itself, which takes none.
 */
Datum
mf_account_validator(PG_FUNCTION_ARGS)
{
	List	   *options = untransformRelOptions(PG_GETARG_DATUM(0));
	Oid			catalog = PG_GETARG_OID(1);
	bool		by_superuser = superuser();
	const char *seen_key = NULL;
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *def = (DefElem *) lfirst(lc);
		const AccountOption *option;

		for (option = account_options; option->name != NULL; option++)
		{
			if (option->catalog == catalog && strcmp(option->name, def->defname) == 0)
				break;
		}

		if (option->name == NULL)
		{
			char	   *valid = valid_options(catalog);

			ereport(ERROR,
					(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
					 errmsg("invalid option \"%s\"", def->defname),
					 valid[0] ? errhint("Valid options in this context are: %s", valid) :
					 errhint("There are no valid options in this context.")));
		}

		check_option(option, defGetString(def), by_superuser);

		if (strcmp(option->name, "api_key") == 0 || strcmp(option->name, "api_key_file") == 0)
		{
			if (seen_key != NULL)
				ereport(ERROR,
						(errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
						 errmsg("options \"api_key\" and \"api_key_file\" exclude each other"),
						 errhint("Keep \"api_key_file\" and drop \"api_key\", so that the key is not stored in the database.")));
			seen_key = option->name;
		}
	}

	PG_RETURN_VOID();
}

/* Names of the options that may stand in a catalog, comma-separated; palloc'd. */
static char *
valid_options(Oid catalog)
{
	StringInfoData buf;
	const AccountOption *option;

	initStringInfo(&buf);
	for (option = account_options; option->name != NULL; option++)
	{
		if (option->catalog == catalog)
			appendStringInfo(&buf, "%s%s", buf.len > 0 ? ", " : "", option->name);
	}
	return buf.data;
}

/* Raises an error that names the option unless its value makes sense. */
static void
check_option(const AccountOption *option, const char *value, bool by_superuser)
{
	char		error[MF_HTTP_ERROR_SIZE];

	if (option->superuser_only && !by_superuser)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to set option \"%s\"", option->name),
				 errdetail("Only superusers may name files of the server."),
				 errhint("Ask a superuser to set it, or use the form of the option that takes the value itself.")));

	switch (option->kind)
	{
		case OPTION_COUNTRY:
			if (mf_find_country(value) == NULL)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("invalid value for option \"country\": \"%s\"", value),
						 errhint("Valid countries are: %s.", MF_COUNTRY_LIST)));
			break;
		case OPTION_ENVIRONMENT:
			if (strcmp(value, "test") != 0 && strcmp(value, "live") != 0)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("invalid value for option \"environment\": \"%s\"", value),
						 errhint("Valid environments are: test, live.")));
			break;
		case OPTION_URL:
			if (!mf_http_base_url_valid(value, error, sizeof(error)))
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("invalid value for option \"base_url\""),
						 errdetail_internal("%s", error),
						 errhint("Give https://host[:port]; http is allowed to this machine only.")));
			break;
		case OPTION_IN_FLIGHT:
			(void) mf_parse_in_flight(value);
			break;
		case OPTION_RATE:
			(void) mf_parse_rate(value);
			break;
		case OPTION_TIMEOUT:
			(void) mf_parse_timeout(option->name, value);
			break;
		case OPTION_PATH:
			if (value[0] == '\0')
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("option \"%s\" must not be empty", option->name)));
			break;
		case OPTION_TIME_ZONE:
			{
				pg_tz	   *zone = pg_tzset(value);

				if (zone == NULL || !pg_tz_acceptable(zone))
					ereport(ERROR,
							(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							 errmsg("invalid value for option \"time_zone\": \"%s\"", value),
							 errhint("Give a name of pg_timezone_names, such as \"Asia/Kuwait\".")));
			}
			break;
		case OPTION_CLOCK:
			(void) mf_parse_clock(option->name, value);
			break;
		case OPTION_HOURS:
			{
				int			from;
				int			to;

				mf_parse_hours(option->name, value, &from, &to);
			}
			break;
		case OPTION_SWITCH:
			(void) mf_parse_switch(option->name, value);
			break;
		case OPTION_SECRET:
			/* the value must not appear in any message */
			if (strcmp(option->name, "api_key") == 0 && value[0] != '\0' && strlen(value) < MF_KEY_MIN)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("invalid value for option \"%s\"", option->name),
						 errdetail("It has fewer than %d characters.", MF_KEY_MIN),
						 errhint("Copy the whole API key from the portal.")));
			if (value[0] == '\0' || strlen(value) > MF_SECRET_MAX ||
				strpbrk(value, " \t\r\n") != NULL)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("invalid value for option \"%s\"", option->name),
						 errdetail("It is empty, too long, or contains white space."),
						 errhint("Copy it from the portal again, without spaces or line breaks.")));
			break;
	}
}

/* The country of that ISO code, NULL if it is none of the eight. */
const MfCountry *
mf_find_country(const char *iso)
{
	const MfCountry *country;

	for (country = countries; country->iso != NULL; country++)
	{
		if (pg_strcasecmp(country->iso, iso) == 0)
			return country;
	}
	return NULL;
}

int
mf_currency_decimals(const char *currency)
{
	const MfCountry *country;

	for (country = countries; country->iso != NULL; country++)
	{
		if (strcmp(country->currency, currency) == 0)
			return country->decimals;
	}
	return 3;
}

/* Reads a time of the day, "9:00" or "21:30", and goes on behind it; -1 if it is none. */
static int
read_clock(const char **text)
{
	const char *p = *text;
	int			hour = 0;
	int			minute;
	int			digits = 0;

	for (; digits < 2 && *p >= '0' && *p <= '9'; digits++)
		hour = hour * 10 + *p++ - '0';
	if (digits == 0 || hour >= HOURS_PER_DAY || p[0] != ':' ||
		p[1] < '0' || p[1] > '5' || p[2] < '0' || p[2] > '9')
		return -1;
	minute = (p[1] - '0') * 10 + p[2] - '0';
	*text = p + 3;
	return (hour * MINS_PER_HOUR + minute) * SECS_PER_MINUTE;
}

/* A time of the day. */
int
mf_parse_clock(const char *name, const char *value)
{
	const char *p = value;
	int			seconds = read_clock(&p);

	if (seconds < 0 || *p != '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"%s\": \"%s\"", name, value),
				 errhint("Give a time of the day, from 00:00 to 23:59, such as 09:00.")));
	return seconds;
}

/* From one time of the day to another, perhaps of the next day. */
void
mf_parse_hours(const char *name, const char *value, int *from, int *to)
{
	const char *p = value;

	*from = read_clock(&p);
	*to = -1;
	if (*from >= 0 && *p == '-')
	{
		p++;
		*to = read_clock(&p);
	}
	if (*from < 0 || *to < 0 || *from == *to || *p != '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"%s\": \"%s\"", name, value),
				 errhint("Give two different times of the day, such as 22:00-08:00.")));
}

/* As settings are written. */
bool
mf_parse_switch(const char *name, const char *value)
{
	bool		on;

	if (!parse_bool(value, &on))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"%s\": \"%s\"", name, value),
				 errhint("Valid values are: on, off.")));
	return on;
}

/* Milliseconds; a number without a unit means seconds. */
int
mf_parse_timeout(const char *name, const char *value)
{
	double		milliseconds;
	const char *hint = NULL;
	bool		bare = value[0] != '\0' && strspn(value, "0123456789.") == strlen(value);

	if (!parse_real(value, &milliseconds, bare ? 0 : GUC_UNIT_MS, &hint) ||
		(bare ? milliseconds * 1000 : milliseconds) < MF_TIMEOUT_MIN ||
		(bare ? milliseconds * 1000 : milliseconds) > MF_TIMEOUT_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"%s\": \"%s\"", name, value),
				 errhint("Give a time between 100ms and 600s, such as \"30s\"; without a unit it is in seconds.")));

	return (int) rint(bare ? milliseconds * 1000 : milliseconds);
}

/* Requests per second, 0 for no limit. */
double
mf_parse_rate(const char *value)
{
	double		rate;

	if (!parse_real(value, &rate, 0, NULL) || rate < 0 || rate > MF_RATE_LIMIT_MAX ||
		(rate > 0 && rate < 0.001))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"rate_limit\": \"%s\"", value),
				 errhint("Give requests per second, from 0.001 to %d, or 0 for no limit.",
						 MF_RATE_LIMIT_MAX)));
	return rate;
}

int
mf_parse_in_flight(const char *value)
{
	int			number;

	if (!parse_int(value, &number, 0, NULL) ||
		number < MF_MAX_IN_FLIGHT_MIN || number > MF_MAX_IN_FLIGHT_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"max_in_flight\": \"%s\"", value),
				 errhint("Give a whole number from %d to %d.",
						 MF_MAX_IN_FLIGHT_MIN, MF_MAX_IN_FLIGHT_MAX)));
	return number;
}
