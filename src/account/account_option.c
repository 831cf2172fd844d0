/*
 * account_option.c
 *	  Validates and parses the options of servers and user mappings.
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

typedef struct AccountOption
{
	const char *name;
	Oid			catalog;		/* of the objects that have it */
	bool		superuser_only;
	void		(*check) (const char *name, const char *value);
} AccountOption;

static const AccountOption *find_option(const char *name, Oid catalog);
static char *valid_options(Oid catalog);
static void check_option(const AccountOption *option, const char *value, bool by_superuser);
static void check_country(const char *name, const char *value);
static void check_environment(const char *name, const char *value);
static void check_url(const char *name, const char *value);
static void check_in_flight(const char *name, const char *value);
static void check_rate(const char *name, const char *value);
static void check_timeout(const char *name, const char *value);
static void check_path(const char *name, const char *value);
static void check_time_zone(const char *name, const char *value);
static void check_clock(const char *name, const char *value);
static void check_hours(const char *name, const char *value);
static void check_switch(const char *name, const char *value);
static void check_secret(const char *name, const char *value);
static int	read_clock(const char **text);

/* Secrets are options of user mappings, because everybody can read those of servers. */
static const AccountOption account_options[] = {
	{"country", ForeignServerRelationId, false, check_country},
	{"environment", ForeignServerRelationId, false, check_environment},
	{"base_url", ForeignServerRelationId, false, check_url},
	{"max_in_flight", ForeignServerRelationId, false, check_in_flight},
	{"rate_limit", ForeignServerRelationId, false, check_rate},
	{"timeout", ForeignServerRelationId, false, check_timeout},
	{"connect_timeout", ForeignServerRelationId, false, check_timeout},
	{"ca_file", ForeignServerRelationId, true, check_path},
	{"time_zone", ForeignServerRelationId, false, check_time_zone},
	{"own_mappings", ForeignServerRelationId, false, check_switch},
	{"send_time", ForeignServerRelationId, false, check_clock},
	{"quiet_hours", ForeignServerRelationId, false, check_hours},
	{"callbacks", ForeignServerRelationId, false, check_switch},
	{"api_key", UserMappingRelationId, false, check_secret},
	{"api_key_file", UserMappingRelationId, true, check_path},
	{"webhook_secret", UserMappingRelationId, false, check_secret},
	{"webhook_secret_file", UserMappingRelationId, true, check_path},
	{"webhook_secret_previous", UserMappingRelationId, false, check_secret},
	{"webhook_secret_previous_file", UserMappingRelationId, true, check_path},
	{NULL, InvalidOid, false, NULL}
};

/* With MyFatoorah's live hosts; the test host serves all countries, in KWD. */
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

PG_FUNCTION_INFO_V1(mf_account_validator);

/* Validates the options of a server, a user mapping or the wrapper, which has none. */
Datum
mf_account_validator(PG_FUNCTION_ARGS)
{
	Oid			catalog = PG_GETARG_OID(1);
	bool		by_superuser = superuser();
	bool		has_key = false;
	ListCell   *lc;

	foreach(lc, untransformRelOptions(PG_GETARG_DATUM(0)))
	{
		DefElem    *def = (DefElem *) lfirst(lc);
		const AccountOption *option = find_option(def->defname, catalog);

		check_option(option, defGetString(def), by_superuser);
		if (strcmp(option->name, "api_key") == 0 || strcmp(option->name, "api_key_file") == 0)
		{
			if (has_key)
				ereport(ERROR,
						(errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
						 errmsg("options \"api_key\" and \"api_key_file\" cannot be used together"),
						 errhint("Keep \"api_key_file\" and drop \"api_key\", so that the key is not stored in the database.")));
			has_key = true;
		}
	}

	PG_RETURN_VOID();
}

/* The option of that name; raises an error if objects of the catalog do not have it. */
static const AccountOption *
find_option(const char *name, Oid catalog)
{
	const AccountOption *option;
	char	   *valid;

	for (option = account_options; option->name != NULL; option++)
	{
		if (option->catalog == catalog && strcmp(option->name, name) == 0)
			return option;
	}
	valid = valid_options(catalog);
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
			 errmsg("invalid option \"%s\"", name),
			 valid[0] ? errhint("Valid options in this context are: %s", valid) :
			 errhint("There are no valid options in this context.")));
	return NULL;				/* keep compiler quiet */
}

/* Names of the options of a catalog's objects, comma-separated; palloc'd. */
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

/* Raises an error that names the option if its value is not valid. */
static void
check_option(const AccountOption *option, const char *value, bool by_superuser)
{
	if (option->superuser_only && !by_superuser)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to set option \"%s\"", option->name),
				 errdetail("Only superusers may name files of the server."),
				 errhint("Ask a superuser to set it, or use the form of the option that takes the value itself.")));
	option->check(option->name, value);
}

static void
check_country(const char *name, const char *value)
{
	if (mf_find_country(value) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"%s\": \"%s\"", name, value),
				 errhint("Valid countries are: %s.", MF_COUNTRY_LIST)));
}

static void
check_environment(const char *name, const char *value)
{
	if (strcmp(value, "test") != 0 && strcmp(value, "live") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"%s\": \"%s\"", name, value),
				 errhint("Valid environments are: test, live.")));
}

/* The value may hold a password, so it is not in the error. */
static void
check_url(const char *name, const char *value)
{
	char		error[MF_HTTP_ERROR_SIZE];

	if (!mf_http_base_url_valid(value, error, sizeof(error)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"%s\"", name),
				 errdetail_internal("%s", error),
				 errhint("Give https://host[:port]; http is only allowed for this machine.")));
}

static void
check_in_flight(const char *name, const char *value)
{
	(void) mf_parse_in_flight(value);
}

static void
check_rate(const char *name, const char *value)
{
	(void) mf_parse_rate(value);
}

static void
check_timeout(const char *name, const char *value)
{
	(void) mf_parse_timeout(name, value);
}

static void
check_path(const char *name, const char *value)
{
	if (value[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"%s\" must not be empty", name)));
}

static void
check_time_zone(const char *name, const char *value)
{
	pg_tz	   *zone = pg_tzset(value);

	if (zone == NULL || !pg_tz_acceptable(zone))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"%s\": \"%s\"", name, value),
				 errhint("Give a name of pg_timezone_names, such as \"Asia/Kuwait\".")));
}

static void
check_clock(const char *name, const char *value)
{
	(void) mf_parse_clock(name, value);
}

static void
check_hours(const char *name, const char *value)
{
	int			from;
	int			to;

	mf_parse_hours(name, value, &from, &to);
}

static void
check_switch(const char *name, const char *value)
{
	(void) mf_parse_switch(name, value);
}

/* The value must not be in any message. */
static void
check_secret(const char *name, const char *value)
{
	if (strcmp(name, "api_key") == 0 && value[0] != '\0' && strlen(value) < MF_KEY_MIN)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"%s\"", name),
				 errdetail("It has fewer than %d characters.", MF_KEY_MIN),
				 errhint("Copy the whole API key from the portal.")));
	if (value[0] == '\0' || strlen(value) > MF_SECRET_MAX || strpbrk(value, " \t\r\n") != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"%s\"", name),
				 errdetail("It is empty, too long, or contains white space."),
				 errhint("Copy it from the portal again, without spaces or line breaks.")));
}

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

/* Reads a time of the day, "9:00" or "21:30", as seconds, and advances *text behind it; -1 if there is none. */
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
