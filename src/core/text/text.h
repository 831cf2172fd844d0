/*
 * text.h
 *	  MyFatoorah's spellings of amounts, currencies and times; UTF-8.
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
 * Copies a decimal in the form of MyFatoorah's strings ("12,345.000", "8.87",
 * "-1.5") to "out" without its thousands separators, which must stand before
 * groups of three digits.  Returns false, with *out empty, for anything else
 * or if it does not fit.
 */
extern bool mf_decimal_plain(const char *in, char *out, size_t size);

/*
 * Whether "in" is a plain decimal: digits, at most one point between digits,
 * an optional minus.
 */
extern bool mf_decimal_valid(const char *in);

/*
 * Copies the literal of a JSON number to "out" as a plain decimal: the same
 * digits, with an exponent written out.  Returns false, with *out empty, for
 * anything else or if it does not fit.
 */
extern bool mf_number_plain(const char *in, char *out, size_t size);

/*
 * Whether "text" is an InvoiceId: a positive integer that fits eight bytes.
 * NULL is not.
 */
extern bool mf_invoice_id_valid(const char *text);

/* PaymentIds have 18 to 22 digits now; letters and more of them are allowed for. */
#define MF_PAYMENT_ID_MAX 64

/* Whether it may be a PaymentId. */
extern bool mf_payment_id_valid(const char *text);

/*
 * Splits "12,345.000 KD" into a plain amount and the ISO 4217 code of the
 * currency.  Returns false, with both empty, if it is not of that form.
 */
extern bool mf_display_value_split(const char *in, char *amount, size_t amount_size,
								   char *currency, size_t currency_size);

/* With the terminating zero byte */
#define MF_CURRENCY_SIZE 4

/*
 * Stores the ISO 4217 code of a currency in "iso", which has MF_CURRENCY_SIZE
 * bytes: for one of MyFatoorah's abbreviations (KD, SR, BD, LE, QR, OR, JD) or
 * for three letters, in any case.  False for any other word.
 */
extern bool mf_currency_iso(const char *word, char *iso);

/*
 * Turns "2026-01-10T00:15:07.2933333" into "2026-01-10 00:15:07.293333"
 * (microseconds, always six digits, rounded down). A trailing "Z" is kept.
 * Checks that the date exists.  Returns false, with *out empty, for anything
 * else.
 */
extern bool mf_timestamp_plain(const char *in, char *out, size_t size);

/*
 * Joins a date, "January 13, 2026" or "2026-01-13", and a time,
 * "00:15:07.293" or NULL for midnight, to the same form.
 */
extern bool mf_expiry_plain(const char *date, const char *time, char *out, size_t size);

/*
 * The length of the UTF-8 character that "text" begins with, and its code
 * point in *code; 0 if it is not valid UTF-8.
 */
extern size_t mf_utf8_char(const char *text, size_t len, uint32_t *code);

/* Whether "len" bytes are valid UTF-8 (no surrogates, no overlong forms). */
extern bool mf_utf8_valid(const char *text, size_t len);

/*
 * Copies text for a log line or error message: valid UTF-8, control
 * characters as spaces, at most size - 1 bytes, cut between characters with
 * "..." at the end.  The result always ends with a NUL.
 */
extern void mf_text_excerpt(const char *text, size_t len, char *out, size_t size);

typedef enum MfUrlVerdict
{
	MF_URL_GOOD,
	MF_URL_NO_WEB,				/* not http or https with a host, or out of
								 * memory */
	MF_URL_AMBIGUOUS,			/* browsers and other programs may find
								 * different hosts in it */
	MF_URL_LOCAL				/* leads to the machine of whoever opens it,
								 * and not by 127.x.x.x */
} MfUrlVerdict;

/* Returns the first problem of a URL, or MF_URL_GOOD. */
extern MfUrlVerdict mf_url_check(const char *url);

/* Links of MyFatoorah's are shorter, in bytes */
#define MF_LINK_SIZE 2000

/*
 * Whether a customer can be sent to a link of MyFatoorah's, in UTF-8: a URL of http or https
 * without blanks and invisible characters.  It may lead to this machine, where a stand-in of
 * MyFatoorah may be.
 */
extern bool mf_link_valid(const char *link);

/* UTF-8 as one segment of a path, or a value of a query; malloc'd, NULL when out of memory. */
extern char *mf_url_encode(const char *text);

#endif							/* MF_TEXT_H */
