/*
 * text.c
 *	  The vendor's spellings of amounts, currencies and times.
 *
 * Nothing here depends on the locale, on the time zone of the process or on
 * the clock, and nothing allocates.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/text.c
 */
#include "text.h"

#include <stdio.h>
#include <string.h>

/* A moment as written, checked to exist; fractions cut at microseconds */
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

static const char *const day_names[7] = {
	"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"
};

/* The vendor's abbreviations where they are no ISO 4217 codes */
static const struct
{
	const char *word;
	const char *iso;
}			abbreviations[] = {
	{"KD", "KWD"},
	{"SR", "SAR"},
	{"BD", "BHD"},
	{"LE", "EGP"},
	{"QR", "QAR"},
	{"OR", "OMR"},
	{"JD", "JOD"},
};

/* ISO 4217, active codes of money that people pay with */
static const char *const iso_codes[] = {
	"AED", "AFN", "ALL", "AMD", "ANG", "AOA", "ARS", "AUD", "AWG", "AZN",
	"BAM", "BBD", "BDT", "BGN", "BHD", "BIF", "BMD", "BND", "BOB", "BRL",
	"BSD", "BTN", "BWP", "BYN", "BZD", "CAD", "CDF", "CHF", "CLP", "CNY",
	"COP", "CRC", "CUP", "CVE", "CZK", "DJF", "DKK", "DOP", "DZD", "EGP",
	"ERN", "ETB", "EUR", "FJD", "FKP", "GBP", "GEL", "GHS", "GIP", "GMD",
	"GNF", "GTQ", "GYD", "HKD", "HNL", "HTG", "HUF", "IDR", "ILS", "INR",
	"IQD", "IRR", "ISK", "JMD", "JOD", "JPY", "KES", "KGS", "KHR", "KMF",
	"KPW", "KRW", "KWD", "KYD", "KZT", "LAK", "LBP", "LKR", "LRD", "LSL",
	"LYD", "MAD", "MDL", "MGA", "MKD", "MMK", "MNT", "MOP", "MRU", "MUR",
	"MVR", "MWK", "MXN", "MYR", "MZN", "NAD", "NGN", "NIO", "NOK", "NPR",
	"NZD", "OMR", "PAB", "PEN", "PGK", "PHP", "PKR", "PLN", "PYG", "QAR",
	"RON", "RSD", "RUB", "RWF", "SAR", "SBD", "SCR", "SDG", "SEK", "SGD",
	"SHP", "SLE", "SOS", "SRD", "SSP", "STN", "SVC", "SYP", "SZL", "THB",
	"TJS", "TMT", "TND", "TOP", "TRY", "TTD", "TWD", "TZS", "UAH", "UGX",
	"USD", "UYU", "UZS", "VES", "VND", "VUV", "WST", "XAF", "XCD", "XCG",
	"XOF", "XPF", "YER", "ZAR", "ZMW", "ZWG",
};

static bool is_digit(char c);
static char lower(char c);
static size_t word_length(const char *text, const char *word);
static bool same_word(const char *a, const char *b);
static void clear(char *out, size_t size);
static bool read_digits(const char **p, int count, int *value);
static bool skip_char(const char **p, char c);
static int	days_in_month(int year, int month);
static bool read_iso_date(const char **p, Moment *moment);
static bool read_word_date(const char **p, Moment *moment);
static bool read_clock(const char **p, Moment *moment);
static bool write_moment(const Moment *moment, const char *zone, char *out, size_t size);
static bool read_month_abbreviation(const char **p, int *month);
static bool read_http_clock(const char **p, Moment *moment);
static bool read_http_date(const char *text, int64_t now, int64_t *when);
static int64_t unix_time(const Moment *moment);

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* ASCII only: tolower() would ask the locale */
static char
lower(char c)
{
	return (c >= 'A' && c <= 'Z') ? (char) (c - 'A' + 'a') : c;
}

/* The length of "word" if "text" begins with it, without regard to case, else 0 */
static size_t
word_length(const char *text, const char *word)
{
	size_t		i;

	for (i = 0; word[i] != '\0'; i++)
	{
		if (lower(text[i]) != lower(word[i]))
			return 0;
	}
	return i;
}

static bool
same_word(const char *a, const char *b)
{
	return strlen(a) == strlen(b) && word_length(a, b) > 0;
}

static void
clear(char *out, size_t size)
{
	if (size > 0)
		out[0] = '\0';
}

/* Reads exactly "count" digits, at most nine, and moves past them. */
static bool
read_digits(const char **p, int count, int *value)
{
	int			i;

	*value = 0;
	for (i = 0; i < count; i++)
	{
		if (!is_digit((*p)[i]))
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

/* ----------
 * Amounts and currencies
 * ----------
 */

bool
mf_decimal_valid(const char *in)
{
	const char *p = in;

	if (*p == '-')
		p++;
	if (!is_digit(*p))
		return false;
	while (is_digit(*p))
		p++;
	if (*p == '.')
	{
		p++;
		if (!is_digit(*p))
			return false;
		while (is_digit(*p))
			p++;
	}
	return *p == '\0';
}

bool
mf_decimal_plain(const char *in, char *out, size_t size)
{
	const char *p = in;
	size_t		used = 0;
	int			group = 0;		/* digits since the start or last separator */
	bool		separated = false;

	clear(out, size);
	for (; *p != '\0' && *p != '.'; p++)
	{
		if (*p == ',')
		{
			if (group < 1 || group > 3 || (separated && group != 3))
				goto fail;
			separated = true;
			group = 0;
			continue;
		}
		if (is_digit(*p))
			group++;
		else if (*p != '-' || p != in)
			goto fail;
		if (used + 1 >= size)
			goto fail;
		out[used++] = *p;
	}
	if (separated && group != 3)
		goto fail;
	for (; *p != '\0'; p++)
	{
		if (used + 1 >= size)
			goto fail;
		out[used++] = *p;
	}
	if (used >= size)
		goto fail;
	out[used] = '\0';
	if (mf_decimal_valid(out))
		return true;

fail:
	clear(out, size);
	return false;
}

bool
mf_number_plain(const char *in, char *out, size_t size)
{
	const char *digits;			/* of the mantissa, with its point */
	const char *end;
	const char *p = in;
	long		exponent = 0;
	long		count = 0;		/* digits of the mantissa */
	long		point = -1;		/* digits before the point, in the result */
	long		i;
	size_t		used = 0;
	bool		significant = false;

	clear(out, size);
	if (*p == '-')
		p++;
	digits = p;
	for (; is_digit(*p) || *p == '.'; p++)
	{
		if (*p == '.')
		{
			if (point >= 0)
				return false;
			point = count;
		}
		else
			count++;
	}
	end = p;
	if (count == 0 || *digits == '.' || end[-1] == '.')
		return false;
	if (point < 0)
		point = count;
	if (*p == 'e' || *p == 'E')
	{
		bool		negative;

		p++;
		negative = (*p == '-');
		if (*p == '-' || *p == '+')
			p++;
		if (!is_digit(*p))
			return false;
		for (; is_digit(*p); p++)
		{
			/* beyond this it fits no buffer, and a zero is not worth it */
			if (exponent > 100000)
				return false;
			exponent = exponent * 10 + (*p - '0');
		}
		point += negative ? -exponent : exponent;
	}
	if (*p != '\0' || size == 0)
		return false;

	if (*in == '-')
	{
		if (used + 1 >= size)
			goto fail;
		out[used++] = '-';
	}
	p = digits;
	for (i = (point < 1) ? point - 1 : 0; i < count || i < point; i++)
	{
		char		c = '0';

		if (i >= 0 && i < count)
		{
			if (*p == '.')
				p++;
			c = *p++;
		}
		if (i == point)
		{
			if (used + 1 >= size)
				goto fail;
			out[used++] = '.';
		}
		/* of leading zeros only the one before the point is kept */
		if (c != '0' || i >= point - 1)
			significant = true;
		if (!significant)
			continue;
		if (used + 1 >= size)
			goto fail;
		out[used++] = c;
	}
	out[used] = '\0';
	return true;

fail:
	clear(out, size);
	return false;
}

bool
mf_display_value_split(const char *in, char *amount, size_t amount_size,
					   char *currency, size_t currency_size)
{
	char		number[64];
	const char *iso;
	const char *space = strchr(in, ' ');
	const char *word;
	size_t		len;

	clear(amount, amount_size);
	clear(currency, currency_size);
	if (space == NULL)
		return false;
	len = (size_t) (space - in);
	if (len >= sizeof(number))
		return false;
	memcpy(number, in, len);
	number[len] = '\0';
	for (word = space; *word == ' '; word++)
		;
	iso = mf_currency_iso(word);
	if (iso == NULL || strlen(iso) >= currency_size ||
		!mf_decimal_plain(number, amount, amount_size))
		return false;
	memcpy(currency, iso, strlen(iso) + 1);
	return true;
}

const char *
mf_currency_iso(const char *word)
{
	size_t		i;

	for (i = 0; i < sizeof(abbreviations) / sizeof(abbreviations[0]); i++)
	{
		if (same_word(word, abbreviations[i].word))
			return abbreviations[i].iso;
	}
	for (i = 0; i < sizeof(iso_codes) / sizeof(iso_codes[0]); i++)
	{
		if (same_word(word, iso_codes[i]))
			return iso_codes[i];
	}
	return NULL;
}

/* ----------
 * Times
 * ----------
 */

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
		len = word_length(*p, month_names[month]);
		if (len > 0)
			break;
	}
	if (len == 0)
		return false;
	*p += len;
	moment->month = month + 1;
	return skip_char(p, ' ') &&
		read_digits(p, is_digit((*p)[0]) && is_digit((*p)[1]) ? 2 : 1, &moment->day) &&
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
	if (!is_digit(**p))
		return false;
	for (scale = 100000; is_digit(**p); (*p)++, scale /= 10)
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
	clear(out, size);
	return false;
}

bool
mf_timestamp_plain(const char *in, char *out, size_t size)
{
	Moment		moment = {0};
	const char *zone = "";
	const char *p = in;

	clear(out, size);
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

	clear(out, size);
	if (is_digit(*p))
	{
		/* the time of a whole timestamp counts unless one is given apart */
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

/* "Nov" */
static bool
read_month_abbreviation(const char **p, int *month)
{
	int			i;
	int			k;

	for (i = 0; i < 12; i++)
	{
		for (k = 0; k < 3; k++)
		{
			if (lower((*p)[k]) != lower(month_names[i][k]))
				break;
		}
		if (k == 3)
		{
			*month = i + 1;
			*p += 3;
			return true;
		}
	}
	return false;
}

/* "08:49:37", a leap second included */
static bool
read_http_clock(const char **p, Moment *moment)
{
	return read_digits(p, 2, &moment->hour) && skip_char(p, ':') &&
		read_digits(p, 2, &moment->minute) && skip_char(p, ':') &&
		read_digits(p, 2, &moment->second) &&
		moment->hour <= 23 && moment->minute <= 59 && moment->second <= 60;
}

/* Days since 1970-01-01 by counting in years that begin in March, as seconds */
static int64_t
unix_time(const Moment *moment)
{
	int64_t		year = moment->year - (moment->month <= 2);
	int64_t		era = year / 400;
	int64_t		year_of_era = year - era * 400;
	int64_t		day_of_year = (153 * (moment->month + (moment->month > 2 ? -3 : 9)) + 2) / 5 + moment->day - 1;
	int64_t		day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
	int64_t		days = era * 146097 + day_of_era - 719468;

	return ((days * 24 + moment->hour) * 60 + moment->minute) * 60 + moment->second;
}

/*
 * The three forms of RFC 9110, section 5.6.7.  The name of the day is checked
 * for being one, not for being the right one.
 */
static bool
read_http_date(const char *text, int64_t now, int64_t *when)
{
	Moment		moment = {0};
	const char *p = text;
	size_t		len = 0;
	int			i;

	for (i = 0; i < 7 && len == 0; i++)
		len = word_length(p, day_names[i]);
	if (len > 0)
	{
		/* "Sunday, 06-Nov-94 08:49:37 GMT" */
		p += len;
		if (!skip_char(&p, ',') || !skip_char(&p, ' ') ||
			!read_digits(&p, 2, &moment.day) || !skip_char(&p, '-') ||
			!read_month_abbreviation(&p, &moment.month) || !skip_char(&p, '-') ||
			!read_digits(&p, 2, &moment.year) || !skip_char(&p, ' ') ||
			!read_http_clock(&p, &moment) || word_length(p, " GMT") == 0 || p[4] != '\0')
			return false;

		/* the year with these digits that is at most 50 years ahead */
		moment.year += (int) (1970 + now / 31556952) / 100 * 100 + 100;
		for (i = 0; i < 2; i++)
		{
			if (unix_time(&moment) > now + INT64_C(50) * 31556952)
				moment.year -= 100;
		}
	}
	else
	{
		for (i = 0; i < 7 && len == 0; i++)
		{
			if (lower(p[0]) == lower(day_names[i][0]) && lower(p[1]) == lower(day_names[i][1]) &&
				lower(p[2]) == lower(day_names[i][2]))
				len = 3;
		}
		if (len == 0)
			return false;
		p += len;
		if (skip_char(&p, ','))
		{
			/* "Sun, 06 Nov 1994 08:49:37 GMT" */
			if (!skip_char(&p, ' ') || !read_digits(&p, 2, &moment.day) ||
				!skip_char(&p, ' ') || !read_month_abbreviation(&p, &moment.month) ||
				!skip_char(&p, ' ') || !read_digits(&p, 4, &moment.year) ||
				!skip_char(&p, ' ') || !read_http_clock(&p, &moment) ||
				word_length(p, " GMT") == 0 || p[4] != '\0')
				return false;
		}
		else
		{
			/* "Sun Nov  6 08:49:37 1994" */
			if (!skip_char(&p, ' ') || !read_month_abbreviation(&p, &moment.month) ||
				!skip_char(&p, ' '))
				return false;
			if (!read_digits(&p, skip_char(&p, ' ') ? 1 : 2, &moment.day) ||
				!skip_char(&p, ' ') || !read_http_clock(&p, &moment) ||
				!skip_char(&p, ' ') || !read_digits(&p, 4, &moment.year) || *p != '\0')
				return false;
		}
	}
	if (!date_exists(&moment))
		return false;
	*when = unix_time(&moment);
	return true;
}

int
mf_retry_after(const char *header, int64_t now, int cap)
{
	char		value[64];
	const char *p = header;
	size_t		len;
	int64_t		seconds = 0;

	while (*p == ' ' || *p == '\t')
		p++;
	len = strlen(p);
	while (len > 0 && (p[len - 1] == ' ' || p[len - 1] == '\t'))
		len--;
	if (len == 0 || len >= sizeof(value))
		return -1;
	memcpy(value, p, len);
	value[len] = '\0';

	if (is_digit(value[0]))
	{
		for (p = value; is_digit(*p); p++)
		{
			/* stop counting early: it is capped anyway */
			if (seconds <= cap)
				seconds = seconds * 10 + (*p - '0');
		}
		if (*p != '\0')
			return -1;
	}
	else
	{
		if (!read_http_date(value, now, &seconds))
			return -1;
		seconds -= now;
	}
	if (seconds < 0)
		return 0;
	return seconds > cap ? cap : (int) seconds;
}

/* ----------
 * UTF-8
 * ----------
 */

size_t
mf_utf8_char(const char *text, size_t len, uint32_t *code)
{
	const unsigned char *p = (const unsigned char *) text;
	size_t		need;
	size_t		i;
	uint32_t	least;

	if (len == 0)
		return 0;
	if (p[0] < 0x80)
	{
		*code = p[0];
		return 1;
	}
	if (p[0] >= 0xC2 && p[0] <= 0xDF)
	{
		need = 2;
		least = 0x80;
		*code = p[0] & 0x1FU;
	}
	else if (p[0] >= 0xE0 && p[0] <= 0xEF)
	{
		need = 3;
		least = 0x800;
		*code = p[0] & 0x0FU;
	}
	else if (p[0] >= 0xF0 && p[0] <= 0xF4)
	{
		need = 4;
		least = 0x10000;
		*code = p[0] & 0x07U;
	}
	else
		return 0;
	if (len < need)
		return 0;
	for (i = 1; i < need; i++)
	{
		if ((p[i] & 0xC0) != 0x80)
			return 0;
		*code = (*code << 6) | (p[i] & 0x3FU);
	}
	if (*code < least || *code > 0x10FFFF || (*code >= 0xD800 && *code <= 0xDFFF))
		return 0;
	return need;
}

bool
mf_utf8_valid(const char *text, size_t len)
{
	uint32_t	code;

	while (len > 0)
	{
		size_t		step = mf_utf8_char(text, len, &code);

		if (step == 0)
			return false;
		text += step;
		len -= step;
	}
	return true;
}

void
mf_text_excerpt(const char *text, size_t len, char *out, size_t size)
{
	size_t		used = 0;
	size_t		cut = 0;		/* where "..." would fit after a character */

	if (size == 0)
		return;
	while (len > 0)
	{
		char		piece[4];
		uint32_t	code = 0;
		size_t		step = mf_utf8_char(text, len, &code);
		size_t		width = step;

		if (step == 0)
		{
			step = 1;
			width = 3;
			memcpy(piece, "\xEF\xBF\xBD", 3);
		}
		else if (code < 0x20 || (code >= 0x7F && code < 0xA0) ||
				 (code >= 0x2028 && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069))
		{
			/* also what breaks lines or turns the direction of writing */
			width = 1;
			piece[0] = ' ';
		}
		else
			memcpy(piece, text, step);

		if (used + width > size - 1)
		{
			if (size > 3)
			{
				memcpy(out + cut, "...", 3);
				used = cut + 3;
			}
			break;
		}
		memcpy(out + used, piece, width);
		used += width;
		if (used + 3 <= size - 1)
			cut = used;
		text += step;
		len -= step;
	}
	out[used] = '\0';
}
