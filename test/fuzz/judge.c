/*
 * judge.c
 *	  Simple reference implementations that share no code with src/core.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/fuzz/judge.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "fuzz.h"

#include <time.h>

static bool skip_value(const char **p, const char *end);

/* ----------
 * Taking the input apart
 * ----------
 */

uint8_t
take_byte(Input *input)
{
	if (input->size == 0)
		return 0;
	input->size--;
	return *input->data++;
}

size_t
take_below(Input *input, size_t limit)
{
	return take_byte(input) % limit;
}

char *
take_string(Input *input)
{
	const uint8_t *end = (input->size > 0) ? memchr(input->data, 1, input->size) : NULL;
	size_t		len = (end != NULL) ? (size_t) (end - input->data) : input->size;
	char	   *taken = malloc(len + 1);

	CHECK(taken != NULL);
	if (len > 0)
		memcpy(taken, input->data, len);
	taken[len] = '\0';
	if (input->size > 0)
	{
		input->data += len + (end != NULL);
		input->size -= len + (end != NULL);
	}

	/* exactly as long as the string */
	len = strlen(taken);
	taken = realloc(taken, len + 1);
	CHECK(taken != NULL);
	return taken;
}

char *
take_rest(Input *input, size_t *len)
{
	char	   *taken = malloc(input->size > 0 ? input->size : 1);

	CHECK(taken != NULL);
	if (input->size > 0)
		memcpy(taken, input->data, input->size);
	*len = input->size;
	input->data += input->size;
	input->size = 0;
	return taken;
}

/* ----------
 * UTF-8
 * ----------
 */

/* By the table of RFC 3629, section 4 */
bool
judge_utf8(const char *text, size_t len)
{
	static const struct
	{
		uint8_t		first[2];
		uint8_t		second[2];
		int			more;		/* bytes behind the second */
	}			rows[] = {
		{{0xC2, 0xDF}, {0x80, 0xBF}, 0},
		{{0xE0, 0xE0}, {0xA0, 0xBF}, 1},
		{{0xE1, 0xEC}, {0x80, 0xBF}, 1},
		{{0xED, 0xED}, {0x80, 0x9F}, 1},
		{{0xEE, 0xEF}, {0x80, 0xBF}, 1},
		{{0xF0, 0xF0}, {0x90, 0xBF}, 2},
		{{0xF1, 0xF3}, {0x80, 0xBF}, 2},
		{{0xF4, 0xF4}, {0x80, 0x8F}, 2},
	};
	const uint8_t *p = (const uint8_t *) text;
	size_t		at = 0;

	while (at < len)
	{
		size_t		row;
		int			more;

		if (p[at] < 0x80)
		{
			at++;
			continue;
		}
		for (row = 0; row < sizeof(rows) / sizeof(rows[0]); row++)
		{
			if (p[at] >= rows[row].first[0] && p[at] <= rows[row].first[1])
				break;
		}
		if (row == sizeof(rows) / sizeof(rows[0]) || at + 1 >= len ||
			p[at + 1] < rows[row].second[0] || p[at + 1] > rows[row].second[1])
			return false;
		at += 2;
		for (more = rows[row].more; more > 0; more--, at++)
		{
			if (at >= len || p[at] < 0x80 || p[at] > 0xBF)
				return false;
		}
	}
	return true;
}

bool
judge_line(const char *text, size_t most)
{
	size_t		len = strlen(text);
	size_t		i;

	if (len == 0 || len > most || !judge_utf8(text, len))
		return false;
	for (i = 0; i < len; i++)
	{
		if ((uint8_t) text[i] < 0x20 || text[i] == 0x7F)
			return false;
		/* U+0080 to U+009F, U+2028 and U+2029 */
		if ((uint8_t) text[i] == 0xC2 && (uint8_t) text[i + 1] < 0xA0)
			return false;
		if (strncmp(text + i, "\xE2\x80\xA8", 3) == 0 || strncmp(text + i, "\xE2\x80\xA9", 3) == 0)
			return false;
	}
	return true;
}

/* ----------
 * JSON
 * ----------
 */

static void
skip_white(const char **p, const char *end)
{
	while (*p < end && (**p == ' ' || **p == '\t' || **p == '\n' || **p == '\r'))
		(*p)++;
}

static bool
skip_some_digits(const char **p, const char *end)
{
	const char *start = *p;

	while (*p < end && **p >= '0' && **p <= '9')
		(*p)++;
	return *p > start;
}

static bool
skip_number(const char **p, const char *end)
{
	if (*p < end && **p == '-')
		(*p)++;
	if (*p < end && **p == '0')
		(*p)++;
	else if (!skip_some_digits(p, end))
		return false;
	if (*p < end && **p == '.')
	{
		(*p)++;
		if (!skip_some_digits(p, end))
			return false;
	}
	if (*p < end && (**p == 'e' || **p == 'E'))
	{
		(*p)++;
		if (*p < end && (**p == '+' || **p == '-'))
			(*p)++;
		if (!skip_some_digits(p, end))
			return false;
	}
	return true;
}

/* UTF-8 is judged of the whole text. */
static bool
skip_string(const char **p, const char *end)
{
	if (*p >= end || **p != '"')
		return false;
	for ((*p)++; *p < end && **p != '"'; (*p)++)
	{
		int			i;

		if ((uint8_t) **p < 0x20)
			return false;
		if (**p != '\\')
			continue;
		(*p)++;
		if (*p >= end || **p == '\0' || strchr("\"\\/bfnrtu", **p) == NULL)
			return false;
		if (**p != 'u')
			continue;
		for (i = 0; i < 4; i++)
		{
			(*p)++;
			if (*p >= end || **p == '\0' || strchr("0123456789abcdefABCDEF", **p) == NULL)
				return false;
		}
	}
	if (*p >= end)
		return false;
	(*p)++;
	return true;
}

static bool
skip_container(const char **p, const char *end)
{
	bool		object = (**p == '{');
	char		close = object ? '}' : ']';

	(*p)++;
	skip_white(p, end);
	if (*p < end && **p == close)
	{
		(*p)++;
		return true;
	}
	for (;;)
	{
		skip_white(p, end);
		if (object)
		{
			if (!skip_string(p, end))
				return false;
			skip_white(p, end);
			if (*p >= end || **p != ':')
				return false;
			(*p)++;
			skip_white(p, end);
		}
		if (!skip_value(p, end))
			return false;
		skip_white(p, end);
		if (*p >= end)
			return false;
		if (**p == close)
		{
			(*p)++;
			return true;
		}
		if (**p != ',')
			return false;
		(*p)++;
	}
}

static bool
skip_value(const char **p, const char *end)
{
	static const char *const words[] = {"true", "false", "null"};
	size_t		i;

	if (*p >= end)
		return false;
	if (**p == '{' || **p == '[')
		return skip_container(p, end);
	if (**p == '"')
		return skip_string(p, end);
	for (i = 0; i < 3; i++)
	{
		size_t		len = strlen(words[i]);

		if ((size_t) (end - *p) >= len && memcmp(*p, words[i], len) == 0)
		{
			*p += len;
			return true;
		}
	}
	return skip_number(p, end);
}

bool
judge_json(const char *text, size_t len)
{
	const char *p = text;
	const char *end = text + len;

	if (!judge_utf8(text, len))
		return false;
	if (len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
		p += 3;
	skip_white(&p, end);
	if (!skip_value(&p, end))
		return false;
	skip_white(&p, end);
	return p == end;
}

bool
judge_json_number(const char *text)
{
	const char *p = text;
	const char *end = text + strlen(text);

	return skip_number(&p, end) && p == end;
}

bool
same_tree(const cJSON *a, const cJSON *b)
{
	const cJSON *x;
	const cJSON *y;

	if ((a->type & 0xFF) != (b->type & 0xFF) ||
		(a->string == NULL) != (b->string == NULL) ||
		(a->string != NULL && strcmp(a->string, b->string) != 0) ||
		(a->valuestring == NULL) != (b->valuestring == NULL) ||
		(a->valuestring != NULL && strcmp(a->valuestring, b->valuestring) != 0))
		return false;
	for (x = a->child, y = b->child; x != NULL && y != NULL; x = x->next, y = y->next)
	{
		if (!same_tree(x, y))
			return false;
	}
	return x == NULL && y == NULL;
}

/* ----------
 * Numbers
 * ----------
 */

bool
judge_decimal(const char *text)
{
	const char *end = text + strlen(text);

	if (*text == '-')
		text++;
	if (!skip_some_digits(&text, end))
		return false;
	if (*text == '.')
	{
		text++;
		if (!skip_some_digits(&text, end))
			return false;
	}
	return text == end;
}

bool
judge_integer(const char *text)
{
	const char *start;
	const char *end = text + strlen(text);

	if (*text == '-')
		text++;
	start = text;
	return skip_some_digits(&text, end) && text == end && text - start <= 18;
}

bool
judge_invoice_id(const char *text)
{
	return judge_integer(text) && *text >= '1' && *text <= '9';
}

/* A number as digits without zeros at either end, times ten to the power of *exponent */
static char *
reduced(const char *text, bool *negative, long *exponent)
{
	char	   *digits = malloc(strlen(text) + 1);
	size_t		count = 0;
	size_t		zeros;
	bool		fraction = false;

	CHECK(digits != NULL);
	*negative = (*text == '-');
	*exponent = 0;
	if (*negative)
		text++;
	for (; *text != '\0' && *text != 'e' && *text != 'E'; text++)
	{
		if (*text == '.')
			fraction = true;
		else
		{
			digits[count++] = *text;
			if (fraction)
				(*exponent)--;
		}
	}
	if (*text != '\0')
		*exponent += strtol(text + 1, NULL, 10);
	while (count > 0 && digits[count - 1] == '0')
	{
		count--;
		(*exponent)++;
	}
	for (zeros = 0; zeros < count && digits[zeros] == '0'; zeros++)
		;
	memmove(digits, digits + zeros, count - zeros);
	count -= zeros;
	digits[count] = '\0';
	if (count == 0)
	{
		*negative = false;
		*exponent = 0;
	}
	return digits;
}

bool
judge_same_number(const char *a, const char *b)
{
	bool		negative[2];
	long		exponent[2];
	char	   *digits[2];
	bool		same;

	digits[0] = reduced(a, &negative[0], &exponent[0]);
	digits[1] = reduced(b, &negative[1], &exponent[1]);
	same = negative[0] == negative[1] && exponent[0] == exponent[1] && strcmp(digits[0], digits[1]) == 0;
	free(digits[0]);
	free(digits[1]);
	return same;
}

/* ----------
 * Times
 * ----------
 */

bool
judge_date(int year, int month, int day)
{
	struct tm	given = {0};
	struct tm	back;
	time_t		seconds;

	if (year < 1 || month < 1 || month > 12 || day < 1 || day > 31)
		return false;
	given.tm_year = year - 1900;
	given.tm_mon = month - 1;
	given.tm_mday = day;
	seconds = timegm(&given);
	return gmtime_r(&seconds, &back) != NULL && back.tm_year == year - 1900 && back.tm_mon == month - 1 &&
		back.tm_mday == day;
}

bool
judge_moment(const char *text, bool zone)
{
	static const char form[] = "dddd-dd-dd dd:dd:dd.dddddd";
	size_t		i;

	for (i = 0; form[i] != '\0'; i++)
	{
		if (form[i] == 'd' ? (text[i] < '0' || text[i] > '9') : text[i] != form[i])
			return false;
	}
	if (strcmp(text + i, "") != 0 && !(zone && strcmp(text + i, "Z") == 0))
		return false;
	return judge_date(atoi(text), atoi(text + 5), atoi(text + 8)) &&
		atoi(text + 11) <= 23 && atoi(text + 14) <= 59 && atoi(text + 17) <= 59;
}
