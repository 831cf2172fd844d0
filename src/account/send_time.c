/*
 * send_time.c
 *	  The times of the day at which an account sends.
 *
 * Times are local times of the account's time zone, with the offset of that very
 * time.  A day may not have 24 hours, and may not even begin at midnight, where clocks are
 * changed.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/account/send_time.c
 */
#include "postgres.h"

#include "pgtime.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "account/send_time.h"
#include "base/compat.h"
#include "database/sql.h"

static TimestampTz at_send_time(const MfAccount *account, TimestampTz send_at, pg_tz *zone);
static TimestampTz after_quiet_hours(const MfAccount *account, TimestampTz at, pg_tz *zone);
static bool wall_clock(TimestampTz at, pg_tz *zone, struct pg_tm *tm);
static TimestampTz local_timestamp(const struct pg_tm *day, int offset, int seconds, pg_tz *zone);

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
