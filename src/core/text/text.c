/*
 * text.c
 *	  MyFatoorah's spellings of amounts and currencies; UTF-8.
 *
 * Nothing here depends on the locale, and nothing allocates.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/text/text.c
 */
#include "core/text/text.h"

#include <stdlib.h>
#include <string.h>

#include "core/text/ascii.h"

#define DIGITS "0123456789"

/* Larger exponents fit no buffer; a zero with one is refused, too. */
#define MAX_EXPONENT 1000000

/* MyFatoorah's abbreviations that are not ISO 4217 codes */
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

/* The literal of a JSON number, taken apart */
typedef struct NumberLiteral
{
	bool		negative;
	const char *digits;			/* with the point, if any */
	long		count;			/* of digits */
	long		point;			/* digits before the point, once the exponent is
								 * written out; may be negative */
} NumberLiteral;

/* ----------
 * Amounts and currencies
 * ----------
 */

bool
mf_decimal_valid(const char *in)
{
	const char *p = in + (*in == '-' ? 1 : 0);
	size_t		count = strspn(p, DIGITS);

	if (count > 0 && p[count] == '.')
	{
		p += count + 1;
		count = strspn(p, DIGITS);
	}
	return count > 0 && p[count] == '\0';
}

bool
mf_decimal_plain(const char *in, char *out, size_t size)
{
	const char *p = in;
	size_t		used = 0;
	int			group = 0;		/* digits since the start or last separator */
	bool		separated = false;

	mf_clear(out, size);
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
		if (mf_is_digit(*p))
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
	mf_clear(out, size);
	return false;
}

static bool
read_number_literal(const char *in, NumberLiteral *number)
{
	const char *p = in + (*in == '-' ? 1 : 0);
	size_t		whole = strspn(p, DIGITS);
	size_t		fraction = p[whole] == '.' ? strspn(p + whole + 1, DIGITS) : 0;
	const char *e = p + whole + (fraction > 0 ? fraction + 1 : 0);
	long		exponent = 0;
	char	   *end;

	if (whole == 0)
		return false;
	if (*e == 'e' || *e == 'E')
	{
		if (!mf_is_digit(e[1]) && !((e[1] == '-' || e[1] == '+') && mf_is_digit(e[2])))
			return false;
		exponent = strtol(e + 1, &end, 10);
		if (exponent < -MAX_EXPONENT || exponent > MAX_EXPONENT)
			return false;
		e = end;
	}
	number->negative = (*in == '-');
	number->digits = p;
	number->count = (long) (whole + fraction);
	number->point = (long) whole + exponent;
	return *e == '\0';
}

/* False if it does not fit with the NUL behind it. */
static bool
append_char(char *out, size_t size, size_t *used, char c)
{
	if (*used + 1 >= size)
		return false;
	out[(*used)++] = c;
	out[*used] = '\0';
	return true;
}

/* Writes a literal without exponent and without leading zeros but the one before the point. */
static bool
write_plain(const NumberLiteral *number, char *out, size_t size)
{
	const char *p = number->digits;
	size_t		used = 0;
	bool		significant = false;
	long		i;

	if (number->negative && !append_char(out, size, &used, '-'))
		return false;
	for (i = (number->point < 1) ? number->point - 1 : 0; i < number->count || i < number->point; i++)
	{
		char		c = '0';

		if (i >= 0 && i < number->count)
		{
			if (*p == '.')
				p++;
			c = *p++;
		}
		if (i == number->point && !append_char(out, size, &used, '.'))
			return false;
		significant = significant || c != '0' || i >= number->point - 1;
		if (significant && !append_char(out, size, &used, c))
			return false;
	}
	return true;
}

bool
mf_number_plain(const char *in, char *out, size_t size)
{
	NumberLiteral number;

	mf_clear(out, size);
	if (!read_number_literal(in, &number))
		return false;
	if (write_plain(&number, out, size))
		return true;
	mf_clear(out, size);
	return false;
}

bool
mf_invoice_id_valid(const char *text)
{
	size_t		len;

	if (text == NULL)
		return false;
	len = strspn(text, DIGITS);
	return len > 0 && len <= 18 && text[len] == '\0' && text[0] != '0';
}

bool
mf_payment_id_valid(const char *text)
{
	size_t		len = strspn(text, DIGITS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");

	return len > 0 && len <= MF_PAYMENT_ID_MAX && text[len] == '\0';
}

bool
mf_display_value_split(const char *in, char *amount, size_t amount_size,
					   char *currency, size_t currency_size)
{
	char		number[64];
	char		iso[MF_CURRENCY_SIZE];
	const char *space = strchr(in, ' ');
	const char *word;
	size_t		len;

	mf_clear(amount, amount_size);
	mf_clear(currency, currency_size);
	if (space == NULL)
		return false;
	len = (size_t) (space - in);
	if (len >= sizeof(number))
		return false;
	memcpy(number, in, len);
	number[len] = '\0';
	for (word = space; *word == ' '; word++)
		;
	if (!mf_currency_iso(word, iso) || strlen(iso) >= currency_size ||
		!mf_decimal_plain(number, amount, amount_size))
		return false;
	memcpy(currency, iso, strlen(iso) + 1);
	return true;
}

bool
mf_currency_iso(const char *word, char *iso)
{
	size_t		i;

	for (i = 0; i < sizeof(abbreviations) / sizeof(abbreviations[0]); i++)
	{
		if (mf_ascii_compare(word, abbreviations[i].word) == 0)
		{
			memcpy(iso, abbreviations[i].iso, MF_CURRENCY_SIZE);
			return true;
		}
	}
	for (i = 0; i < MF_CURRENCY_SIZE - 1; i++)
	{
		char		c = mf_lower(word[i]);

		if (c < 'a' || c > 'z')
			return false;
		iso[i] = (char) (c - 'a' + 'A');
	}
	iso[i] = '\0';
	return word[i] == '\0';
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
			/* also characters that break lines or change the direction of writing */
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
