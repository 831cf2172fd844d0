/*
 * fuzz_time.c
 *	  Times: accepted exactly if they exist, and not changed.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/fuzz/fuzz_time.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "fuzz.h"

#include <strings.h>

#include "core/text/text.h"

static const char *const months[] = {
	"January", "February", "March", "April", "May", "June", "July",
	"August", "September", "October", "November", "December"
};

/* "dd" digits, anything else itself; the length of the form if the text begins with it */
static size_t
form_at(const char *text, const char *form)
{
	size_t		i;

	for (i = 0; form[i] != '\0'; i++)
	{
		if (form[i] == 'd' ? (text[i] < '0' || text[i] > '9') : text[i] != form[i])
			return 0;
	}
	return i;
}

/* A clock that begins here, as "hh:mm:ss.ffffff"; its length, 0 if there is none */
static size_t
clock_at(const char *text, char *out)
{
	size_t		len = form_at(text, "dd:dd:dd");
	size_t		digits;

	if (len == 0 || atoi(text) > 23 || atoi(text + 3) > 59 || atoi(text + 6) > 59)
		return 0;
	sprintf(out, "%.8s.000000", text);
	if (text[len] != '.')
		return len;
	digits = strspn(text + len + 1, "0123456789");
	if (digits == 0)
		return 0;
	memcpy(out + 9, text + len + 1, digits < 6 ? digits : 6);
	return len + 1 + digits;
}

/* "2026-01-13" there; 10 or 0 */
static size_t
iso_date_at(const char *text, char *out)
{
	if (form_at(text, "dddd-dd-dd") == 0 || !judge_date(atoi(text), atoi(text + 5), atoi(text + 8)))
		return 0;
	sprintf(out, "%.10s", text);
	return 10;
}

/* "January 13, 2026" there; its length or 0 */
static size_t
word_date_at(const char *text, char *out)
{
	size_t		len = strcspn(text, " ");
	size_t		day_len;
	int			month;

	for (month = 0; month < 12; month++)
	{
		if (strlen(months[month]) == len && strncasecmp(text, months[month], len) == 0)
			break;
	}
	if (month == 12 || text[len] != ' ')
		return 0;
	text += len + 1;
	day_len = (form_at(text, "dd, dddd") > 0) ? 2 : (form_at(text, "d, dddd") > 0) ? 1 : 0;
	if (day_len == 0 || !judge_date(atoi(text + day_len + 2), month + 1, atoi(text)))
		return 0;
	sprintf(out, "%.4s-%02d-%02d", text + day_len + 2, month + 1, atoi(text));
	return len + 1 + day_len + 6;
}

/* The expected result; "" for a refusal */
static void
expect_timestamp(const char *text, char *out)
{
	char		date[64];
	char		clock[64];
	size_t		used = iso_date_at(text, date);
	size_t		len;

	*out = '\0';
	if (used == 0 || (text[used] != 'T' && text[used] != ' '))
		return;
	len = clock_at(text + used + 1, clock);
	if (len == 0)
		return;
	used += 1 + len;
	if (text[used] != '\0' && strcmp(text + used, "Z") != 0)
		return;
	sprintf(out, "%s %s%s", date, clock, text + used);
}

static void
expect_expiry(const char *text, const char *time, char *out)
{
	char		date[64];
	char		clock[64] = "00:00:00.000000";
	size_t		used = iso_date_at(text, date);
	size_t		len;

	*out = '\0';
	if (used > 0)
	{
		if (text[used] == 'T')
		{
			len = clock_at(text + used + 1, clock);
			if (len == 0)
				return;
			used += 1 + len;
		}
	}
	else
		used = word_date_at(text, date);
	if (used == 0 || text[used] != '\0')
		return;
	if (time != NULL)
	{
		len = clock_at(time, clock);
		if (len == 0 || time[len] != '\0')
			return;
	}
	sprintf(out, "%s %s", date, clock);
}

/* The result in a buffer of a size, and whether it is the one expected */
static void
check(bool done, const char *out, size_t size, const char *expected)
{
	bool		fits = strlen(expected) < size;

	CHECK(done == (*expected != '\0' && fits));
	if (size > 0)
		CHECK(strcmp(out, done ? expected : "") == 0);
	if (done)
		CHECK(judge_moment(out, true));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Input		input = {data, size};
	uint8_t		choice = take_byte(&input);
	size_t		out_size = (choice & 0x80) ? (size_t) (choice & 0x7F) : 64;
	char	   *date = take_string(&input);
	char	   *time = (choice & 1) ? NULL : take_string(&input);
	char	   *out = malloc(out_size > 0 ? out_size : 1);
	char		expected[128];

	CHECK(out != NULL);
	expect_timestamp(date, expected);
	check(mf_timestamp_plain(date, out, out_size), out, out_size, expected);
	expect_expiry(date, time, expected);
	check(mf_expiry_plain(date, time, out, out_size), out, out_size, expected);
	free(out);
	free(time);
	free(date);
	return 0;
}
