/*
 * fuzz_retry_after.c
 *	  Retry-After: seconds, or one of three forms of a date.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/fuzz/fuzz_retry_after.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "fuzz.h"

#include <ctype.h>
#include <strings.h>
#include <time.h>

#include "text.h"

#define YEAR_SECONDS INT64_C(31556952)

static const char *const months[] = {
	"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"
};
static const char *const short_days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char *const long_days[] = {
	"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"
};

static int
index_of(const char *word, const char *const *words, int count)
{
	int			i;

	for (i = 0; i < count; i++)
	{
		if (strcasecmp(word, words[i]) == 0)
			return i;
	}
	return -1;
}

/* Whether the text has that form: 'd' a digit, 'a' a letter, 's' a space or a digit */
static bool
has_form(const char *text, const char *form)
{
	for (; *form != '\0'; text++, form++)
	{
		if (*form == 'd' ? !isdigit((unsigned char) *text) :
			*form == 'a' ? !isalpha((unsigned char) *text) :
			*form == 's' ? !(*text == ' ' || isdigit((unsigned char) *text)) :
			tolower((unsigned char) *text) != tolower((unsigned char) *form))
			return false;
	}
	return *text == '\0';
}

/* Seconds since 1970 of a date and a clock as they stand; false if they do not exist */
static bool
seconds_of(int year, int month, int day, const char *clock, int64_t *when)
{
	struct tm	tm = {0};

	tm.tm_hour = atoi(clock);
	tm.tm_min = atoi(clock + 3);
	tm.tm_sec = atoi(clock + 6);
	if (month < 0 || !judge_date(year, month + 1, day) || tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
		return false;
	tm.tm_year = year - 1900;
	tm.tm_mon = month;
	tm.tm_mday = day;
	*when = timegm(&tm);
	return true;
}

static int
month_at(const char *text)
{
	char		word[4];

	snprintf(word, sizeof(word), "%.3s", text);
	return index_of(word, months, 12);
}

/* The date of a header, in all the years that it may mean; the number of them */
static int
read_date(const char *text, int64_t *when)
{
	char		word[16];
	size_t		len = strcspn(text, ", ");
	int			count = 0;
	int			century;

	if (len >= sizeof(word))
		return 0;
	snprintf(word, sizeof(word), "%.*s", (int) len, text);
	if (index_of(word, short_days, 7) >= 0)
	{
		if (has_form(text + 3, ", dd aaa dddd dd:dd:dd gmt"))
			return seconds_of(atoi(text + 12), month_at(text + 8), atoi(text + 5), text + 17, when);
		if (has_form(text + 3, " aaa sd dd:dd:dd dddd"))
			return seconds_of(atoi(text + 20), month_at(text + 4), atoi(text + 8), text + 11, when);
	}
	else if (index_of(word, long_days, 7) >= 0 && has_form(text + len, ", dd-aaa-dd dd:dd:dd gmt"))
	{
		for (century = 0; century < 100; century++)
		{
			if (seconds_of(century * 100 + atoi(text + len + 9), month_at(text + len + 5), atoi(text + len + 2),
						   text + len + 12, &when[count]))
				count++;
		}
	}
	return count;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Input		input = {data, size};
	int64_t		dates[100];
	int64_t		now = 0;
	char	   *header;
	char	   *text;
	size_t		len;
	int			cap;
	int			result;
	int			i;
	int			count;

	/* any moment of the next millennia, any cap in use */
	for (i = 0; i < 4; i++)
		now = now * 256 + take_byte(&input);
	now *= 16;
	cap = (take_byte(&input) & 1) ? 3600 : (int) take_byte(&input) * 30;
	header = take_string(&input);
	result = mf_retry_after(header, now, cap);
	CHECK(result >= -1 && result <= cap);

	text = header + strspn(header, " \t");
	len = strlen(text);
	while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t'))
		text[--len] = '\0';
	if (len == 0 || len > 63)
		CHECK(result == -1);
	else if (strspn(text, "0123456789") == len)
	{
		long double seconds = strtold(text, NULL);

		CHECK(result == (seconds > cap ? cap : (int) seconds));
	}
	else
	{
		count = read_date(text, dates);
		if (count == 0)
			CHECK(result == -1);
		else if (count == 1)
			CHECK(result == (dates[0] <= now ? 0 : dates[0] - now > cap ? cap : (int) (dates[0] - now)));
		else
		{
			/* two digits of a year: the latest that is at most 50 years ahead */
			int64_t		best = INT64_MIN;

			for (i = 0; i < count; i++)
			{
				if (dates[i] <= now + 50 * YEAR_SECONDS && dates[i] > best)
					best = dates[i];
			}

			/* 29 February exists in some centuries only: no matter */
			if (best != INT64_MIN && result != -1)
				CHECK(result == (best <= now ? 0 : best - now > cap ? cap : (int) (best - now)));
		}
	}
	free(header);
	return 0;
}
