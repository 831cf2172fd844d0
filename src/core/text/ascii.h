/*
 * ascii.h
 *	  ASCII characters and words, independent of the locale.
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

static inline bool
mf_is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static inline char
mf_lower(char c)
{
	return (c >= 'A' && c <= 'Z') ? (char) (c - 'A' + 'a') : c;
}

/* The length of "word" if "text" begins with it, in any case, else 0. */
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

/* Whether a text has a phrase in it, in any case; NULL has none. */
static inline bool
mf_has_phrase(const char *text, const char *phrase)
{
	while (text != NULL && *text != '\0')
	{
		if (mf_word_length(text++, phrase) > 0)
			return true;
	}
	return false;
}

/* As strcasecmp() in the C locale */
static inline int
mf_ascii_compare(const char *a, const char *b)
{
	while (*a != '\0' && mf_lower(*a) == mf_lower(*b))
	{
		a++;
		b++;
	}
	return (int) (unsigned char) mf_lower(*a) - (int) (unsigned char) mf_lower(*b);
}

/* Makes an output buffer of any size an empty string. */
static inline void
mf_clear(char *out, size_t size)
{
	if (size > 0)
		out[0] = '\0';
}

#endif							/* MF_ASCII_H */
