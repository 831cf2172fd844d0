/*
 * unicode.c
 *	  Characters in text that people paste: invisible ones, blanks, dashes,
 *	  and digits of any script.
 *
 * The table of character kinds is generated from Unicode's data.  Other
 * sources do not do: PostgreSQL has these kinds only since version 17. Its
 * widths before 16 count U+200E as a column.  Its normalization knows blanks,
 * but neither marks nor dashes.  The C library's classes depend on the locale
 * and do not count U+00A0 as a blank.  ICU is not in every build.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/text/unicode.c
 */
#include "core/text/unicode.h"

#include <string.h>

#include "core/text/text.h"
#include "core/text/unicode_table.h"

/* Sets *digit to the value of a digit. */
static MfCharKind
char_kind(uint32_t code, int *digit)
{
	size_t		low = 0;
	size_t		high = sizeof(unicode_ranges) / sizeof(unicode_ranges[0]);

	while (low < high)
	{
		size_t		middle = (low + high) / 2;

		if (code < unicode_ranges[middle].first)
			high = middle;
		else if (code > unicode_ranges[middle].last)
			low = middle + 1;
		else
		{
			/* the digits of each script are consecutive, from zero on */
			*digit = (int) ((code - unicode_ranges[middle].first) % 10);
			return unicode_ranges[middle].kind;
		}
	}
	return MF_CHAR_OTHER;
}

size_t
mf_text_clean(char *text, size_t len, MfCleaning cleaning)
{
	size_t		used = 0;
	size_t		end = 0;		/* after the last character that is not a blank */
	bool		seen = false;
	size_t		i;
	size_t		step;

	for (i = 0; i < len; i += step)
	{
		uint32_t	code = 0;
		int			digit = 0;
		MfCharKind	kind;
		bool		kept = true;

		step = mf_utf8_char(text + i, len - i, &code);
		kind = step > 0 ? char_kind(code, &digit) : MF_CHAR_OTHER;
		if (step == 0)
			step = 1;
		if (kind == MF_CHAR_BLANK)
			kept = cleaning != MF_CLEAN_NUMBER && used > 0;
		else if (kind == MF_CHAR_MARK)
			kept = cleaning == MF_CLEAN_TEXT;
		else if (kind == MF_CHAR_DASH)
			kept = cleaning != MF_CLEAN_NUMBER;
		if (!kept)
			continue;

		if (kind == MF_CHAR_DIGIT && cleaning == MF_CLEAN_NUMBER)
			text[used++] = (char) ('0' + digit);
		else
		{
			memmove(text + used, text + i, step);
			used += step;
		}
		if (kind != MF_CHAR_BLANK)
			end = used;
		seen = seen || (kind != MF_CHAR_BLANK && kind != MF_CHAR_MARK);
	}
	return seen ? end : 0;
}

bool
mf_text_find_unseen(const char *text, size_t len, uint32_t *code)
{
	while (len > 0)
	{
		int			digit;
		size_t		step;

		/* printable ASCII is not looked up */
		if (*text > ' ' && *text < 0x7f)
		{
			text++;
			len--;
			continue;
		}
		step = mf_utf8_char(text, len, code);
		if (step > 0)
		{
			MfCharKind	kind = char_kind(*code, &digit);

			if (kind == MF_CHAR_BLANK || kind == MF_CHAR_MARK)
				return true;
		}
		else
			step = 1;
		text += step;
		len -= step;
	}
	return false;
}
