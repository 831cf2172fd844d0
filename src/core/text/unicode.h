/*
 * unicode.h
 *	  Characters in text that people paste: invisible ones, blanks, dashes,
 *	  and digits of any script.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/text/unicode.h
 */
#ifndef MF_UNICODE_H
#define MF_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How thoroughly to clean a text */
typedef enum MfCleaning
{
	MF_CLEAN_TEXT,				/* for people: removes blanks at both ends */
	MF_CLEAN_CODE,				/* for machines: also removes marks, which are
								 * invisible, such as direction marks */
	MF_CLEAN_NUMBER				/* also removes all blanks and dashes, and
								 * makes all digits ASCII */
} MfCleaning;

/*
 * Cleans UTF-8 in place.  Returns the new length, which is less than "len"
 * exactly if something was removed or replaced, and 0 if nothing visible is
 * left.
 */
extern size_t mf_text_clean(char *text, size_t len, MfCleaning cleaning);

/*
 * Finds the first character that nobody sees, a blank or a mark, and sets *code to
 * it; false if there is none, and then *code says nothing.
 */
extern bool mf_text_find_unseen(const char *text, size_t len, uint32_t *code);

#endif							/* MF_UNICODE_H */
