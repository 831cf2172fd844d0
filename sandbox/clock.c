/*
 * clock.c
 *	  Reading, parsing and printing time.
 */
#include "clock.h"

#include <ctype.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#define ZONE_SECONDS (3 * 3600)

static _Atomic int64_t offset_seconds;

/*
 * monotonic_us, wall_us
 *		Microseconds of the monotonic clock and since 1970, never shifted.
 */
int64_t
monotonic_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t
wall_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/*
 * clock_set_offset, clock_offset
 *		How far MyFatoorah's clock is from the machine's, in seconds.
 */
void
clock_set_offset(int64_t seconds)
{
	offset_seconds = seconds;
}

int64_t
clock_offset(void)
{
	return offset_seconds;
}

/*
 * clock_now
 *		MyFatoorah's present instant.
 */
Ticks
clock_now(void)
{
	return wall_us() * 3 / 10000 + offset_seconds * TICKS_PER_SECOND;
}

/*
 * days_from_civil
 *		Days from 1970-01-01 to a Gregorian date.
 */
static int64_t
days_from_civil(int year, int month, int day)
{
	int64_t y = year - (month <= 2);
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t yoe = y - era * 400;
	int64_t doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

/*
 * local_time
 *		The wall clock reading in MyFatoorah's zone.
 */
LocalTime
local_time(Ticks t)
{
	int64_t ticks = t + (int64_t) ZONE_SECONDS * TICKS_PER_SECOND;
	int64_t seconds = (ticks >= 0 ? ticks : ticks - (TICKS_PER_SECOND - 1)) / TICKS_PER_SECOND;
	int64_t days = (seconds >= 0 ? seconds : seconds - 86399) / 86400;
	int64_t rest = seconds - days * 86400;
	int64_t z = days + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;
	LocalTime lt;

	lt.day = (int) (doy - (153 * mp + 2) / 5 + 1);
	lt.month = (int) (mp < 10 ? mp + 3 : mp - 9);
	lt.year = (int) (yoe + era * 400 + (lt.month <= 2));
	lt.day_of_year = (int) (days - days_from_civil(lt.year, 1, 1) + 1);
	lt.hour = (int) (rest / 3600);
	lt.minute = (int) (rest / 60 % 60);
	lt.second = (int) (rest % 60);
	lt.tick = (int) (ticks - seconds * TICKS_PER_SECOND);
	return lt;
}

/*
 * take_digits, take_char
 *		Take exactly that many digits, or that character, off the front.
 */
static bool
take_digits(Str *s, int count, int *value)
{
	*value = 0;
	if (s->len < (size_t) count)
		return false;
	for (int i = 0; i < count; i++)
	{
		if (!isdigit((unsigned char) s->data[i]))
			return false;
		*value = *value * 10 + (s->data[i] - '0');
	}
	s->data += count;
	s->len -= (size_t) count;
	return true;
}

static bool
take_char(Str *s, char c)
{
	if (s->len == 0 || s->data[0] != c)
		return false;
	s->data++;
	s->len--;
	return true;
}

/*
 * parse_time
 *		Read 2026-01-13T00:15:07[.fraction][Z|+hh:mm], also with a blank for the
 *		T, or a bare date. Without a zone it is in the one given, in seconds.
 *		False if it is no such thing or no real date.
 */
static bool
parse_time(Str text, int zone, Ticks *result)
{
	static const int month_days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int year, month, day, hour = 0, minute = 0, second = 0, tick = 0;
	bool leap;

	if (!take_digits(&text, 4, &year) || !take_char(&text, '-') || !take_digits(&text, 2, &month) ||
		!take_char(&text, '-') || !take_digits(&text, 2, &day))
		return false;
	leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	if (year < 1 || month < 1 || month > 12 || day < 1 || day > month_days[month - 1] ||
		(month == 2 && day == 29 && !leap))
		return false;
	if (text.len > 0)
	{
		if ((!take_char(&text, 'T') && !take_char(&text, ' ')) || !take_digits(&text, 2, &hour) ||
			!take_char(&text, ':') || !take_digits(&text, 2, &minute))
			return false;
		if (take_char(&text, ':'))
		{
			if (!take_digits(&text, 2, &second))
				return false;
			if (take_char(&text, '.'))
			{
				int64_t num = 0;
				int64_t den = 1;
				int digit;

				if (!take_digits(&text, 1, &digit))
					return false;
				do
				{
					if (den < 10000000)
					{
						num = num * 10 + digit;
						den *= 10;
					}
				} while (take_digits(&text, 1, &digit));
				tick = (int) (num * TICKS_PER_SECOND / den);
			}
		}
		if (hour > 23 || minute > 59 || second > 59)
			return false;
		if (take_char(&text, 'Z'))
			zone = 0;
		else if (text.len > 0 && (text.data[0] == '+' || text.data[0] == '-'))
		{
			int sign = text.data[0] == '-' ? -1 : 1;
			int zh, zm;

			text.data++;
			text.len--;
			if (!take_digits(&text, 2, &zh) || !take_char(&text, ':') || !take_digits(&text, 2, &zm) ||
				zh > 14 || zm > 59)
				return false;
			zone = sign * (zh * 3600 + zm * 60);
		}
		if (text.len > 0)
			return false;
	}
	*result = (days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - zone) *
				  TICKS_PER_SECOND +
			  tick;
	return true;
}

/*
 * parse_local_time, parse_utc_time
 *		The same, where no zone means MyFatoorah's wall clock, or UTC.
 */
bool
parse_local_time(Str text, Ticks *result)
{
	return parse_time(text, ZONE_SECONDS, result);
}

bool
parse_utc_time(Str text, Ticks *result)
{
	return parse_time(text, 0, result);
}

/*
 * put_fraction
 *		Append the fraction of a second with up to that many digits; trailing
 *		zeros are dropped, a whole second gets none.
 */
static void
put_fraction(Buf *b, int tick, int digits)
{
	char text[16];
	int64_t den = 1;
	int n;

	for (int i = 0; i < digits; i++)
		den *= 10;
	n = snprintf(text, sizeof(text), ".%0*lld", digits,
				 (long long) ((tick * den + TICKS_PER_SECOND / 2) / TICKS_PER_SECOND));
	while (n > 0 && text[n - 1] == '0')
		n--;
	if (n > 1)
		buf_put(b, text, (size_t) n);
}

/*
 * buf_put_datetime
 *		Append 2026-01-10T00:15:07.293, with at most that many digits of
 *		fraction.
 */
void
buf_put_datetime(Buf *b, Ticks t, int digits)
{
	LocalTime lt = local_time(t);

	buf_printf(b, "%04d-%02d-%02dT", lt.year, lt.month, lt.day);
	buf_put_clock_time(b, t, digits);
}

/*
 * buf_put_clock_time
 *		Append 00:15:07.293.
 */
void
buf_put_clock_time(Buf *b, Ticks t, int digits)
{
	LocalTime lt = local_time(t);

	buf_printf(b, "%02d:%02d:%02d", lt.hour, lt.minute, lt.second);
	put_fraction(b, lt.tick, digits);
}

/*
 * buf_put_english_date
 *		Append "January 13, 2026".
 */
void
buf_put_english_date(Buf *b, Ticks t)
{
	static const char *const months[] = {"January",   "February", "March",    "April",
										 "May",       "June",     "July",     "August",
										 "September", "October",  "November", "December"};
	LocalTime lt = local_time(t);

	buf_printf(b, "%s %d, %d", months[lt.month - 1], lt.day, lt.year);
}

/*
 * buf_put_compact_time
 *		Append 04032021211615: day, month, year and time, as webhooks of version
 *		1 have it.
 */
void
buf_put_compact_time(Buf *b, Ticks t)
{
	LocalTime lt = local_time(t);

	buf_printf(b, "%02d%02d%04d%02d%02d%02d", lt.day, lt.month, lt.year, lt.hour, lt.minute, lt.second);
}

/*
 * buf_put_utc
 *		Append 2026-01-04T08:14:49.897Z in UTC, with at most that many digits of
 *		fraction; with pad three digits and zeros up to that many.
 */
void
buf_put_utc(Buf *b, Ticks t, int digits, bool pad)
{
	Ticks shifted = t - (Ticks) ZONE_SECONDS * TICKS_PER_SECOND;
	LocalTime lt = local_time(shifted);

	if (pad)
	{
		buf_put_datetime(b, shifted - lt.tick, 0);
		buf_printf(b, ".%03d%0*d", (lt.tick * 1000 + TICKS_PER_SECOND / 2) / TICKS_PER_SECOND, digits - 3, 0);
	}
	else
		buf_put_datetime(b, shifted, digits);
	buf_putc(b, 'Z');
}

/*
 * buf_put_utc_us
 *		Append 2025-02-12T12:42:16.1218556Z from microseconds since 1970, which
 *		leave the seventh digit 0.
 */
void
buf_put_utc_us(Buf *b, int64_t us)
{
	buf_put_datetime(b, (us / 1000000 - ZONE_SECONDS) * TICKS_PER_SECOND, 0);
	buf_printf(b, ".%06d0Z", (int) (us % 1000000));
}
