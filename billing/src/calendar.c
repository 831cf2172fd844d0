/*
 * calendar.c
 *	  Umm al-Qura, the calendar of Saudi Arabia, by ICU.
 *
 * Which day a month begins was announced, not computed, so the library's table is the
 * calendar.  It has the years 1300 to 1600; ICU goes on by a formula outside of them,
 * which we refuse.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * billing/src/calendar.c
 */
#include "postgres.h"

#include <string.h>

#include <unicode/ucal.h>

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/timestamp.h"

#define FIRST_YEAR 1300
#define LAST_YEAR 1600
#define MS_PER_DAY 86400000.0

PG_FUNCTION_INFO_V1(mf_hijri);
PG_FUNCTION_INFO_V1(mf_hijri_day);
PG_FUNCTION_INFO_V1(mf_hijri_add_months);

/* Raises an error unless ICU has done what was asked. */
static void
check_icu(UErrorCode status)
{
	if (U_FAILURE(status))
		ereport(ERROR,
				(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
				 errmsg("ICU cannot compute the Umm al-Qura calendar: %s", u_errorName(status))));
}

static void
out_of_range(const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
			 errmsg("%s is outside of the Umm al-Qura calendar", what),
			 errdetail("The calendar is known for the years %d to %d, from 1882-11-12 to 2174-11-25.", FIRST_YEAR, LAST_YEAR)));
}

/* The calendar, in UTC, so that its days are ours.  It lives as long as the process. */
static UCalendar *
umm_al_qura(void)
{
	static const UChar utc[] = {'U', 'T', 'C', 0};
	static UCalendar *calendar;
	UErrorCode	status = U_ZERO_ERROR;

	if (calendar == NULL)
	{
		UCalendar  *opened = ucal_open(utc, -1, "en@calendar=islamic-umalqura", UCAL_TRADITIONAL, &status);

		check_icu(status);
		if (strcmp(ucal_getType(opened, &status), "islamic-umalqura") != 0)
		{
			ucal_close(opened);
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("this ICU does not know the Umm al-Qura calendar"),
					 errhint("Install the data of ICU.")));
		}
		calendar = opened;
	}
	return calendar;
}

/* Sets the calendar to a day of PostgreSQL. */
static UCalendar *
calendar_at(DateADT day)
{
	UCalendar  *calendar = umm_al_qura();
	UErrorCode	status = U_ZERO_ERROR;
	int32_t		year;

	if (DATE_NOT_FINITE(day))
		out_of_range("day");
	ucal_setMillis(calendar, ((double) day + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE)) * MS_PER_DAY, &status);
	year = ucal_get(calendar, UCAL_YEAR, &status);
	check_icu(status);
	if (year < FIRST_YEAR || year > LAST_YEAR)
		out_of_range("day");
	return calendar;
}

/* The day that the calendar is set to */
static DateADT
calendar_day(UCalendar *calendar)
{
	UErrorCode	status = U_ZERO_ERROR;
	int32_t		year = ucal_get(calendar, UCAL_YEAR, &status);
	double		millis = ucal_getMillis(calendar, &status);

	check_icu(status);
	if (year < FIRST_YEAR || year > LAST_YEAR)
		out_of_range("result");
	return (DateADT) (millis / MS_PER_DAY) - (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE);
}

/* mf_hijri(day date): such as 1447-09-01 */
Datum
mf_hijri(PG_FUNCTION_ARGS)
{
	UCalendar  *calendar = calendar_at(PG_GETARG_DATEADT(0));
	UErrorCode	status = U_ZERO_ERROR;
	int32_t		year = ucal_get(calendar, UCAL_YEAR, &status);
	int32_t		month = ucal_get(calendar, UCAL_MONTH, &status) + 1;
	int32_t		day = ucal_get(calendar, UCAL_DATE, &status);

	check_icu(status);
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("%04d-%02d-%02d", (int) year, (int) month, (int) day)));
}

/* mf_hijri_day(year, month, day): the civil day of a Hijri date, which must exist */
Datum
mf_hijri_day(PG_FUNCTION_ARGS)
{
	int32		year = PG_GETARG_INT32(0);
	int32		month = PG_GETARG_INT32(1);
	int32		day = PG_GETARG_INT32(2);
	UCalendar  *calendar = umm_al_qura();
	UErrorCode	status = U_ZERO_ERROR;

	if (year < FIRST_YEAR || year > LAST_YEAR)
		out_of_range("year");
	if (month < 1 || month > 12 || day < 1 || day > 30)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_FIELD_OVERFLOW),
				 errmsg("%04d-%02d-%02d is no date of the Umm al-Qura calendar", year, month, day),
				 errhint("Months are 1 to 12, and days 1 to 29 or 30.")));
	ucal_clear(calendar);
	ucal_set(calendar, UCAL_YEAR, year);
	ucal_set(calendar, UCAL_MONTH, month - 1);
	ucal_set(calendar, UCAL_DATE, day);
	(void) ucal_getMillis(calendar, &status);
	check_icu(status);
	if (ucal_get(calendar, UCAL_DATE, &status) != day)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_FIELD_OVERFLOW),
				 errmsg("%04d-%02d-%02d is no date of the Umm al-Qura calendar", year, month, day),
				 errdetail("That month has 29 days.")));
	PG_RETURN_DATEADT(calendar_day(calendar));
}

/* mf_hijri_add_months(day date, months): the same day of another month, or its last one where it is shorter */
Datum
mf_hijri_add_months(PG_FUNCTION_ARGS)
{
	UCalendar  *calendar = calendar_at(PG_GETARG_DATEADT(0));
	int32		months = PG_GETARG_INT32(1);
	UErrorCode	status = U_ZERO_ERROR;

	if (months < -12 * LAST_YEAR || months > 12 * LAST_YEAR)
		out_of_range("result");
	ucal_add(calendar, UCAL_MONTH, months, &status);
	check_icu(status);
	PG_RETURN_DATEADT(calendar_day(calendar));
}
