/*
 * text.h
 *	  The vendor's spellings of amounts, currencies and times.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/text/text.h
 */
#ifndef MF_TEXT_H
#define MF_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Copies a decimal as the vendor prints it in strings ("12,345.000", "8.87",
 * "-1.5") to "out" without its thousands separators.  Separators must stand
 * in threes.  False, with *out empty, for anything else or if it does not fit.
 */
extern bool mf_decimal_plain(const char *in, char *out, size_t size);

/*
 * Whether "in" is a plain decimal: digits, at most one point between digits,
 * an optional minus.
 */
extern bool mf_decimal_valid(const char *in);

/*
 * Copies the literal of a JSON number to "out" as a plain decimal: the same
 * digits, an exponent written out.  False, with *out empty, for anything else
 * or if it does not fit.
 */
extern bool mf_number_plain(const char *in, char *out, size_t size);

/*
 * Whether it is the number of an invoice as the vendor writes it: a positive
 * integer that fits eight bytes.  NULL is none.
 */
extern bool mf_invoice_id_valid(const char *text);

/*
 * Splits "12,345.000 KD" into a plain amount and the currency as ISO 4217
 * code.  False, with both empty, if it is not of that form.
 */
extern bool mf_display_value_split(const char *in, char *amount, size_t amount_size,
								   char *currency, size_t currency_size);

/*
 * ISO 4217 code for the vendor's abbreviation (KD, SR, BD, LE, QR, OR, JD),
 * an ISO code unchanged; case does not matter.  NULL for an unknown word.
 */
extern const char *mf_currency_iso(const char *word);

/*
 * Turns "2026-01-10T00:15:07.2933333" into "2026-01-10 00:15:07.293333"
 * (microseconds, always six digits, rounded down).  A trailing "Z" is kept.
 * Checks that the date exists.  False, with *out empty, for anything else.
 */
extern bool mf_timestamp_plain(const char *in, char *out, size_t size);

/*
 * Joins "January 13, 2026" and "00:15:07.293" (or NULL for midnight) likewise.
 * An ISO date in place of the words is accepted too.
 */
extern bool mf_expiry_plain(const char *date, const char *time, char *out, size_t size);

/*
 * The length of the character that "len" bytes of UTF-8 begin with, its code
 * point in *code; 0 if they begin with none.
 */
extern size_t mf_utf8_char(const char *text, size_t len, uint32_t *code);

/* Whether "len" bytes are valid UTF-8 (no surrogates, no overlong forms). */
extern bool mf_utf8_valid(const char *text, size_t len);

/*
 * Copies text for a log line or error message: valid UTF-8, control characters
 * as spaces, at most size - 1 bytes, cut between characters with "..." at the
 * end.  Always terminated.
 */
extern void mf_text_excerpt(const char *text, size_t len, char *out, size_t size);

#endif							/* MF_TEXT_H */
