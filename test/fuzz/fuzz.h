/*
 * fuzz.h
 *	  What every fuzz target includes: checks, and independent judges.
 *
 * A target is one function, LLVMFuzzerTestOneInput().  It is linked with
 * libFuzzer, or with replay.c to run kept inputs where clang is missing.  The
 * judges share no code with src/core: they are slow and plain, and say what
 * is right.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/fuzz/fuzz.h
 */
#ifndef MF_FUZZ_H
#define MF_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the process with a message if the condition does not hold. */
#define CHECK(condition) \
	do { \
		if (!(condition)) \
		{ \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
			abort(); \
		} \
	} while (0)

/* The input, taken apart from its start */
typedef struct Input
{
	const uint8_t *data;
	size_t		size;
} Input;

/* One byte, 0 at the end */
extern uint8_t take_byte(Input *input);

/* A number below "limit" */
extern size_t take_below(Input *input, size_t limit);

/* What stands before the next byte 0x01 (which is skipped), or the rest; malloc'd, NUL-terminated, cut at a NUL. */
extern char *take_string(Input *input);

/* All that is left, malloc'd to its exact size so that reading beyond it is seen; length in *len. */
extern char *take_rest(Input *input, size_t *len);

/*
 * Judges
 */

/* Whether it is one JSON text by the grammar of RFC 8259, in UTF-8, perhaps behind a byte order mark. */
extern bool judge_json(const char *text, size_t len);

/* Whether it is a number of that grammar, with nothing around it. */
extern bool judge_json_number(const char *text);

extern bool judge_utf8(const char *text, size_t len);

/* ^-?[0-9]+(\.[0-9]+)?$ */
extern bool judge_decimal(const char *text);

/* ^-?[0-9]{1,18}$ */
extern bool judge_integer(const char *text);

/* ^[1-9][0-9]{0,17}$ */
extern bool judge_invoice_id(const char *text);

/* Valid UTF-8 without control characters, not empty, of at most that many bytes */
extern bool judge_line(const char *text, size_t most);

/* "2026-01-10 00:15:07.293333", and a Z behind it if allowed; the date exists */
extern bool judge_moment(const char *text, bool zone);

/* Whether that day exists, by the C library's calendar */
extern bool judge_date(int year, int month, int day);

/*
 * The same number?  Both are JSON numbers or plain decimals, of any length.
 * Compares signs (but for zeros), digits without zeros at either end, and the
 * place of the point.
 */
extern bool judge_same_number(const char *a, const char *b);

/* The same tree, with the same literals in the same order? */
extern bool same_tree(const cJSON *a, const cJSON *b);

#endif							/* MF_FUZZ_H */
