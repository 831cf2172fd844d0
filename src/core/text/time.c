/*
 * time.c
 *	  MyFatoorah's spellings of times.
 *
 * Nothing here depends on the locale, on the time zone of the process or on
 * the clock, and nothing allocates.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/text/time.c
 */
#include "core/text/text.h"

#include <stdio.h>
#include <string.h>

#include "core/text/ascii.h"

/* A date that exists, and a time of day; fractions are cut to microseconds */
typedef struct Moment
{
	int			year;
	int			month;
	int			day;
	int			hour;
	int			minute;
	int			second;
	int			microsecond;
} Moment;

static const char *const month_names[12] = {
	"January", "February", "March", "April", "May", "June", "July",
	"August", "September", "October", "November", "December"
};

/* Reads exactly "count" digits, at most nine, and moves past them. */
static bool
read_digits(const char **p, int count, int *value)
{
	int			i;

	*value = 0;
	for (i = 0; i < count; i++)
	{
		if (!mf_is_digit((*p)[i]))
			return false;
		*value = *value * 10 + ((*p)[i] - '0');
	}
	*p += count;
	return true;
}

static bool
skip_char(const char **p, char c)
{
	if (**p != c)
		return false;
	(*p)++;
	return true;
}

static int
days_in_month(int year, int month)
{
	static const int days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	if (month == 2 && (year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)))
		return 29;
	return days[month - 1];
}

static bool
date_exists(const Moment *moment)
{
	return moment->year >= 1 && moment->month >= 1 && moment->month <= 12 &&
		moment->day >= 1 && moment->day <= days_in_month(moment->year, moment->month);
}

/* "2026-01-13" */
static bool
read_iso_date(const char **p, Moment *moment)
{
	return read_digits(p, 4, &moment->year) && skip_char(p, '-') &&
		read_digits(p, 2, &moment->month) && skip_char(p, '-') &&
		read_digits(p, 2, &moment->day) && date_exists(moment);
}

/* "January 13, 2026" */
static bool
read_word_date(const char **p, Moment *moment)
{
	size_t		len = 0;
	int			month;

	for (month = 0; month < 12; month++)
	{
		len = mf_word_length(*p, month_names[month]);
		if (len > 0)
			break;
	}
	if (len == 0)
		return false;
	*p += len;
	moment->month = month + 1;
	return skip_char(p, ' ') &&
		read_digits(p, mf_is_digit((*p)[0]) && mf_is_digit((*p)[1]) ? 2 : 1, &moment->day) &&
		skip_char(p, ',') && skip_char(p, ' ') &&
		read_digits(p, 4, &moment->year) && date_exists(moment);
}

/* "00:15:07", "00:15:07.2933333" */
static bool
read_clock(const char **p, Moment *moment)
{
	int			scale;

	moment->microsecond = 0;
	if (!read_digits(p, 2, &moment->hour) || !skip_char(p, ':') ||
		!read_digits(p, 2, &moment->minute) || !skip_char(p, ':') ||
		!read_digits(p, 2, &moment->second))
		return false;
	if (moment->hour > 23 || moment->minute > 59 || moment->second > 59)
		return false;
	if (!skip_char(p, '.'))
		return true;
	if (!mf_is_digit(**p))
		return false;
	for (scale = 100000; mf_is_digit(**p); (*p)++, scale /= 10)
		moment->microsecond += (**p - '0') * scale;
	return true;
}

static bool
write_moment(const Moment *moment, const char *zone, char *out, size_t size)
{
	int			len;

	len = snprintf(out, size, "%04d-%02d-%02d %02d:%02d:%02d.%06d%s",
				   moment->year, moment->month, moment->day,
				   moment->hour, moment->minute, moment->second,
				   moment->microsecond, zone);
	if (len > 0 && (size_t) len < size)
		return true;
	mf_clear(out, size);
	return false;
}

bool
mf_timestamp_plain(const char *in, char *out, size_t size)
{
	Moment		moment = {0};
	const char *zone = "";
	const char *p = in;

	mf_clear(out, size);
	if (!read_iso_date(&p, &moment) ||
		(!skip_char(&p, 'T') && !skip_char(&p, ' ')) ||
		!read_clock(&p, &moment))
		return false;
	if (skip_char(&p, 'Z'))
		zone = "Z";
	if (*p != '\0')
		return false;
	return write_moment(&moment, zone, out, size);
}

bool
mf_expiry_plain(const char *date, const char *time, char *out, size_t size)
{
	Moment		moment = {0};
	const char *p = date;

	mf_clear(out, size);
	if (mf_is_digit(*p))
	{
		/* the time within "date" counts only if no other is given */
		if (!read_iso_date(&p, &moment))
			return false;
		if (skip_char(&p, 'T') && !read_clock(&p, &moment))
			return false;
	}
	else if (!read_word_date(&p, &moment))
		return false;
	if (*p != '\0')
		return false;
	if (time != NULL)
	{
		p = time;
		if (!read_clock(&p, &moment) || *p != '\0')
			return false;
	}
	return write_moment(&moment, "", out, size);
}
