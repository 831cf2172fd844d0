/*
 * unicode.h
 *	  What people paste: characters that nobody sees, blanks, dashes and digits
 *	  of any script.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/text/unicode.h
 */
#ifndef MF_UNICODE_H
#define MF_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum MfCharKind
{
	MF_CHAR_OTHER,
	MF_CHAR_BLANK,
	MF_CHAR_MARK,				/* not seen by itself: direction marks, joiners, variation selectors */
	MF_CHAR_DASH,
	MF_CHAR_DIGIT
} MfCharKind;

/* What is left of a text */
typedef enum MfCleaning
{
	MF_CLEAN_TEXT,				/* for people: no blanks at the ends */
	MF_CLEAN_CODE,				/* for machines: no marks, either */
	MF_CLEAN_NUMBER				/* nor blanks and dashes anywhere; all digits are ASCII */
} MfCleaning;

/* Of one character; of a digit, its value in *digit. */
extern MfCharKind mf_char_kind(uint32_t code, int *digit);

/*
 * Cleans UTF-8 in place; the new length.  It is less exactly if something has
 * changed, and 0 if nothing is left that can be seen.
 */
extern size_t mf_text_clean(char *text, size_t len, MfCleaning cleaning);

/* The first blank or mark of UTF-8; false if it has none. */
extern bool mf_text_find_unseen(const char *text, size_t len, uint32_t *code);

#endif							/* MF_UNICODE_H */
