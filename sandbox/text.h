/*
 * text.h
 *	  Counted strings, growable buffers and the small text helpers that every
 *	  other file of the stand-in API uses.
 *
 * Strings are counted because a body may hold U+0000.
 */
#ifndef SANDBOX_TEXT_H
#define SANDBOX_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A view of bytes owned by somebody else; data is NULL when there is none. */
typedef struct Str
{
	const char *data;
	size_t len;
} Str;

/* Bytes we own; always NUL-terminated once anything was appended. */
typedef struct Buf
{
	char *data;
	size_t len;
	size_t cap;
} Buf;

#define STR_NONE ((Str){NULL, 0})
#define STR_LIT(s) ((Str){(s), sizeof(s) - 1})

extern void *xmalloc(size_t size);
extern void *xcalloc(size_t count, size_t size);
extern void *xrealloc(void *ptr, size_t size);
extern char *xstrdup(const char *s);
extern char *xstrndup(const char *s, size_t len);

extern Str str_of(const char *s);
extern Str str_copy_to(char **to, Str s);
extern bool str_equal(Str a, Str b);
extern bool str_is(Str a, const char *b);
extern bool str_is_nocase(Str a, const char *b);
extern bool str_has_prefix(Str a, Str prefix);
extern Str str_trim(Str s);
extern size_t str_characters(Str s);
extern bool str_is_utf8(Str s);
extern size_t utf8_length(const unsigned char *s, size_t avail);

extern void buf_reserve(Buf *b, size_t more);
extern void buf_free(Buf *b);
extern void buf_put(Buf *b, const void *data, size_t len);
extern void buf_puts(Buf *b, const char *s);
extern void buf_put_str(Buf *b, Str s);
extern void buf_putc(Buf *b, char c);
extern void buf_put_int(Buf *b, int64_t v);
extern void buf_printf(Buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
extern void buf_put_utf8(Buf *b, uint32_t cp);
extern void buf_put_json(Buf *b, Str s);
extern void buf_put_json_or_null(Buf *b, Str s);
extern void buf_put_html(Buf *b, Str s);
extern void buf_put_base64(Buf *b, Str s);
extern bool base64_decode(Str in, Buf *out);
extern void url_decode(Str in, Buf *out);
extern bool query_value(Str query, const char *name, Buf *value);

#endif
