/*
 * account_option.c
 *	  Validates and parses the options of servers and user mappings; the times of the day
 *	  at which an account sends.
 *
 * These times are local times of the account's time zone, with the offset of that very
 * time.  A day may not have 24 hours, and may not even begin at midnight, where clocks are
 * changed.
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
#include "utils/datetime.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "account/account_option.h"
#include "base/compat.h"
#include "core/http/http.h"
#include "database/sql.h"

typedef struct AccountOption
{
	const char *name;
	Oid			catalog;		/* of the objects that have it */
	bool		superuser_only;
	bool		is_text;		/* checked when it is set only, and kept as it is */
	bool		(*parse) (const char *name, const char *value, void *result);	/* false = invalid */
	const char *hint;			/* about an invalid value; NULL = the function reports it itself */
	size_t		place;			/* of the result, in MfAccount; of options of servers */
} AccountOption;

static const AccountOption *find_option(const char *name, Oid catalog);
pg_noreturn static void report_unknown(const char *name, Oid catalog);
static void parse_option(const AccountOption *option, const char *value, MfAccount *account);
static bool parse_country(const char *name, const char *value, void *result);
static bool parse_environment(const char *name, const char *value, void *result);
static bool check_url(const char *name, const char *value, void *result);
static bool parse_in_flight(const char *name, const char *value, void *result);
static bool parse_rate(const char *name, const char *value, void *result);
static bool parse_timeout(const char *name, const char *value, void *result);
static bool check_path(const char *name, const char *value, void *result);
static bool check_time_zone(const char *name, const char *value, void *result);
static bool parse_clock(const char *name, const char *value, void *result);
static bool parse_hours(const char *name, const char *value, void *result);
static bool parse_switch(const char *name, const char *value, void *result);
static bool parse_api(const char *name, const char *value, void *result);
static bool check_secret(const char *name, const char *value, void *result);
static int	read_clock(const char **text);

#define SERVER_VALUE(parse, member, hint) \
	ForeignServerRelationId, false, false, parse, hint, offsetof(MfAccount, member)
#define SERVER_TEXT(superuser_only, check, member, hint) \
	ForeignServerRelationId, superuser_only, true, check, hint, offsetof(MfAccount, member)
#define MAPPING_TEXT(superuser_only, check) UserMappingRelationId, superuser_only, true, check, NULL, 0

#define TIMEOUT_HINT \
	gettext_noop("Give a time between 100ms and 600s, such as \"30s\"; without a unit it is in seconds.")
#define SWITCH_HINT gettext_noop("Valid values are: on, off.")

/* Secrets are options of user mappings, because everybody can read those of servers. */
static const AccountOption account_options[] = {
	{"country", SERVER_VALUE(parse_country, country, "Valid countries are: " MF_COUNTRY_LIST ".")},
	{"environment", SERVER_VALUE(parse_environment, live, gettext_noop("Valid environments are: test, live."))},
	{"base_url", SERVER_TEXT(false, check_url, base_url, NULL)},
	{"max_in_flight", SERVER_VALUE(parse_in_flight, max_in_flight,
								   gettext_noop("Give a whole number from 1 to 1000."))},
	{"rate_limit", SERVER_VALUE(parse_rate, rate_limit,
								gettext_noop("Give requests per second, from 0.001 to 10000, or 0 for no limit."))},
	{"timeout", SERVER_VALUE(parse_timeout, timeout_ms, TIMEOUT_HINT)},
	{"connect_timeout", SERVER_VALUE(parse_timeout, connect_timeout_ms, TIMEOUT_HINT)},
	{"ca_file", SERVER_TEXT(true, check_path, ca_file, NULL)},
	{"time_zone", SERVER_TEXT(false, check_time_zone, time_zone,
							  gettext_noop("Give a name of pg_timezone_names, such as \"Asia/Kuwait\"."))},
	{"own_mappings", SERVER_VALUE(parse_switch, own_mappings, SWITCH_HINT)},
	{"send_time", SERVER_VALUE(parse_clock, send_time,
							   gettext_noop("Give a time of the day, from 00:00 to 23:59, such as 09:00."))},
	{"quiet_hours", SERVER_VALUE(parse_hours, quiet,
								 gettext_noop("Give two different times of the day, such as 22:00-08:00."))},
	{"callbacks", SERVER_VALUE(parse_switch, callbacks, SWITCH_HINT)},
	{"api", SERVER_VALUE(parse_api, api, gettext_noop("Valid values are: auto, v2, v3."))},
	{"api_key", MAPPING_TEXT(false, check_secret)},
	{"api_key_file", MAPPING_TEXT(true, check_path)},
	{"webhook_secret", MAPPING_TEXT(false, check_secret)},
	{"webhook_secret_file", MAPPING_TEXT(true, check_path)},
	{"webhook_secret_previous", MAPPING_TEXT(false, check_secret)},
	{"webhook_secret_previous_file", MAPPING_TEXT(true, check_path)},
	{NULL, InvalidOid, false, false, NULL, NULL, 0}
};

/* With MyFatoorah's live hosts; the test host serves all countries, in KWD. */
static const MfCountry countries[] = {
	{"KWT", "KWD", 3, "965", "https://api.myfatoorah.com", "Asia/Kuwait", true},
	{"BHR", "BHD", 3, "973", "https://api.myfatoorah.com", "Asia/Kuwait", false},
	{"OMN", "OMR", 3, "968", "https://api.myfatoorah.com", "Asia/Kuwait", false},
	{"JOR", "JOD", 3, "962", "https://api.myfatoorah.com", "Asia/Kuwait", false},
	{"SAU", "SAR", 2, "966", "https://api-sa.myfatoorah.com", "Asia/Riyadh", true},
	{"ARE", "AED", 2, "971", "https://api-ae.myfatoorah.com", "Asia/Dubai", false},
	{"QAT", "QAR", 2, "974", "https://api-qa.myfatoorah.com", "Asia/Qatar", false},
	{"EGY", "EGP", 2, "20", "https://api-eg.myfatoorah.com", "Africa/Cairo", false},
	{NULL, NULL, 0, NULL, NULL, NULL, false}
};

PG_FUNCTION_INFO_V1(mf_account_validator);

static TimestampTz at_send_time(const MfAccount *account, TimestampTz send_at, pg_tz *zone);
static TimestampTz after_quiet_hours(const MfAccount *account, TimestampTz at, pg_tz *zone);
static bool wall_clock(TimestampTz at, pg_tz *zone, struct pg_tm *tm);
static TimestampTz local_timestamp(const struct pg_tm *day, int offset, int seconds, pg_tz *zone);

/* Validates the options of a server, a user mapping or the wrapper, which has none. */
Datum
mf_account_validator(PG_FUNCTION_ARGS)
{
	Oid			catalog = PG_GETARG_OID(1);
	bool		has_key = false;
	MfAccount	account;
	ListCell   *lc;

	foreach(lc, untransformRelOptions(PG_GETARG_DATUM(0)))
	{
		DefElem    *def = (DefElem *) lfirst(lc);
		const AccountOption *option = find_option(def->defname, catalog);

		if (option == NULL)
			report_unknown(def->defname, catalog);
		if (option->superuser_only && !superuser())
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied to set option \"%s\"", option->name),
					 errdetail("Only superusers may name files of the server."),
					 errhint("Ask a superuser to set it, or use the form of the option that takes the value itself.")));
		parse_option(option, defGetString(def), &account);
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

void
mf_account_read_options(List *options, MfAccount *account)
{
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *def = (DefElem *) lfirst(lc);
		const AccountOption *option = find_option(def->defname, ForeignServerRelationId);

		if (option != NULL && option->is_text)
			*(char **) ((char *) account + option->place) = pstrdup(defGetString(def));
		else if (option != NULL)
			parse_option(option, defGetString(def), account);
	}
}

/* The option of that name; NULL if objects of the catalog do not have it. */
static const AccountOption *
find_option(const char *name, Oid catalog)
{
	const AccountOption *option;

	for (option = account_options; option->name != NULL; option++)
	{
		if (option->catalog == catalog && strcmp(option->name, name) == 0)
			return option;
	}
	return NULL;
}

static void
report_unknown(const char *name, Oid catalog)
{
	StringInfoData valid;
	const AccountOption *option;

	initStringInfo(&valid);
	for (option = account_options; option->name != NULL; option++)
	{
		if (option->catalog == catalog)
			appendStringInfo(&valid, "%s%s", valid.len > 0 ? ", " : "", option->name);
	}
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
			 errmsg("invalid option \"%s\"", name),
			 valid.len > 0 ? errhint("Valid options in this context are: %s", valid.data) :
			 errhint("There are no valid options in this context.")));
}

static void
parse_option(const AccountOption *option, const char *value, MfAccount *account)
{
	if (!option->parse(option->name, value, (char *) account + option->place))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"%s\": \"%s\"", option->name, value),
				 errhint("%s", dgettext(TEXTDOMAIN, option->hint))));
}

static bool
parse_country(const char *name, const char *value, void *result)
{
	const MfCountry *country;

	for (country = countries; country->iso != NULL; country++)
	{
		if (pg_strcasecmp(country->iso, value) == 0)
		{
			*(const MfCountry **) result = country;
			return true;
		}
	}
	return false;
}

static bool
parse_environment(const char *name, const char *value, void *result)
{
	bool		live = strcmp(value, "live") == 0;

	*(bool *) result = live;
	return live || strcmp(value, "test") == 0;
}

/* The value may hold a password, so it is not in the error. */
static bool
check_url(const char *name, const char *value, void *result)
{
	char		error[MF_HTTP_ERROR_SIZE];

	if (!mf_http_base_url_valid(value, error, sizeof(error)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"%s\"", name),
				 errdetail_internal("%s", error),
				 errhint("Give https://host[:port]; http is only allowed for this machine.")));
	return true;
}

static bool
parse_in_flight(const char *name, const char *value, void *result)
{
	int		   *number = (int *) result;

	return parse_int(value, number, 0, NULL) && *number >= MF_MAX_IN_FLIGHT_MIN && *number <= MF_MAX_IN_FLIGHT_MAX;
}

static bool
parse_rate(const char *name, const char *value, void *result)
{
	double	   *rate = (double *) result;

	return parse_real(value, rate, 0, NULL) && (*rate == 0 || (*rate >= 0.001 && *rate <= MF_RATE_LIMIT_MAX));
}

/* Milliseconds; a number without a unit is in seconds. */
static bool
parse_timeout(const char *name, const char *value, void *result)
{
	double		milliseconds;
	bool		bare = value[0] != '\0' && strspn(value, "0123456789.") == strlen(value);

	if (!parse_real(value, &milliseconds, bare ? 0 : GUC_UNIT_MS, NULL))
		return false;
	if (bare)
		milliseconds *= 1000;
	if (milliseconds < MF_TIMEOUT_MIN || milliseconds > MF_TIMEOUT_MAX)
		return false;
	*(int *) result = (int) rint(milliseconds);
	return true;
}

static bool
check_path(const char *name, const char *value, void *result)
{
	if (value[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"%s\" must not be empty", name)));
	return true;
}

static bool
check_time_zone(const char *name, const char *value, void *result)
{
	pg_tz	   *zone = pg_tzset(value);

	return zone != NULL && pg_tz_acceptable(zone);
}

/* Seconds after midnight */
static bool
parse_clock(const char *name, const char *value, void *result)
{
	const char *p = value;

	*(int *) result = read_clock(&p);
	return *(int *) result >= 0 && *p == '\0';
}

static bool
parse_hours(const char *name, const char *value, void *result)
{
	MfHours    *hours = (MfHours *) result;
	const char *p = value;

	hours->from = read_clock(&p);
	if (hours->from < 0 || *p++ != '-')
		return false;
	hours->to = read_clock(&p);
	return hours->to >= 0 && hours->from != hours->to && *p == '\0';
}

static bool
parse_switch(const char *name, const char *value, void *result)
{
	return parse_bool(value, (bool *) result);
}

static bool
parse_api(const char *name, const char *value, void *result)
{
	static const char *const words[] = {[MF_API_AUTO] = "auto", [MF_API_V2] = "v2", [MF_API_V3] = "v3"};
	size_t		i;

	for (i = 0; i < lengthof(words); i++)
	{
		if (strcmp(words[i], value) == 0)
		{
			*(MfAccountApi *) result = (MfAccountApi) i;
			return true;
		}
	}
	return false;
}

/* The value must not be in any message. */
static bool
check_secret(const char *name, const char *value, void *result)
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
	return true;
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

TimestampTz
mf_send_due(const MfAccount *account, TimestampTz send_at, bool notifies, TimestampTz now)
{
	bool		has_quiet_hours = notifies && account->quiet.from >= 0;
	TimestampTz due = send_at;
	pg_tz	   *zone;

	/* rows that were inserted without our triggers may have any time */
	if ((account->send_time < 0 && !has_quiet_hours) || send_at < MF_TIME_MIN || send_at >= MF_TIME_END)
		return send_at;
	zone = pg_tzset(account->time_zone);
	if (zone == NULL)
		return send_at;
	if (account->send_time >= 0)
		due = at_send_time(account, send_at, zone);
	if (has_quiet_hours)
	{
		TimestampTz earliest = Max(due, now);
		TimestampTz end = after_quiet_hours(account, earliest, zone);

		if (end > earliest)
			due = end;
	}
	return due < MF_TIME_END ? due : send_at;
}

/* send_time of the same day, if send_at is the beginning of that day, as of a date cast to timestamptz. */
static TimestampTz
at_send_time(const MfAccount *account, TimestampTz send_at, pg_tz *zone)
{
	struct pg_tm tm;

	if (!wall_clock(send_at, zone, &tm) || local_timestamp(&tm, 0, 0, zone) != send_at)
		return send_at;
	return Max(local_timestamp(&tm, 0, account->send_time, zone), send_at);
}

/* The end of the quiet hours that include the time; the time itself if none do. */
static TimestampTz
after_quiet_hours(const MfAccount *account, TimestampTz at, pg_tz *zone)
{
	bool		over_midnight = account->quiet.from > account->quiet.to;
	struct pg_tm tm;
	int			second;
	bool		late;
	bool		early;

	if (!wall_clock(at, zone, &tm))
		return at;
	second = (tm.tm_hour * MINS_PER_HOUR + tm.tm_min) * SECS_PER_MINUTE + tm.tm_sec;
	late = second >= account->quiet.from;
	early = second < account->quiet.to;
	if (over_midnight ? !late && !early : !late || !early)
		return at;
	return local_timestamp(&tm, over_midnight && late ? 1 : 0, account->quiet.to, zone);
}

/* The local time; false if it is out of range. */
static bool
wall_clock(TimestampTz at, pg_tz *zone, struct pg_tm *tm)
{
	fsec_t		fsec;
	int			tz;

	return timestamp2tm(at, &tz, tm, &fsec, NULL, zone) == 0;
}

/* The moment "offset" days after a day, at that second of its wall clock */
static TimestampTz
local_timestamp(const struct pg_tm *day, int offset, int seconds, pg_tz *zone)
{
	struct pg_tm tm = *day;
	TimestampTz result;
	int			tz;

	j2date(date2j(day->tm_year, day->tm_mon, day->tm_mday) + offset, &tm.tm_year, &tm.tm_mon, &tm.tm_mday);
	tm.tm_hour = seconds / SECS_PER_HOUR;
	tm.tm_min = seconds / SECS_PER_MINUTE % MINS_PER_HOUR;
	tm.tm_sec = seconds % SECS_PER_MINUTE;
	tz = DetermineTimeZoneOffset(&tm, zone);
	if (tm2timestamp(&tm, 0, &tz, &result) != 0)
		return DT_NOBEGIN;
	return result;
}
