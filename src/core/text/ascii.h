/*
 * ascii.h
 *	  Characters of the vendor's spellings, whatever the locale.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/text/ascii.h
 */
#ifndef MF_ASCII_H
#define MF_ASCII_H

#include <stdbool.h>
#include <stddef.h>

static inline bool
mf_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline char
mf_lower(char c)
{
	return (c >= 'A' && c <= 'Z') ? (char) (c - 'A' + 'a') : c;
}

/* The length of "word" if "text" begins with it, without regard to case, else 0 */
static inline size_t
mf_word_length(const char *text, const char *word)
{
	size_t		i;

	for (i = 0; word[i] != '\0'; i++)
	{
		if (mf_lower(text[i]) != mf_lower(word[i]))
			return 0;
	}
	return i;
}

/* What an output holds when there is nothing to give */
static inline void
mf_clear(char *out, size_t size)
{
	if (size > 0)
		out[0] = '\0';
}

#endif							/* MF_ASCII_H */
