/*
 * text.c
 *	  Counted strings, growable buffers, escaping and encoding.
 *
 * Out of memory ends the process: a test double that limps is worse than one
 * that is gone.
 */
#include "text.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

static void out_of_memory(void) __attribute__((noreturn));

/*
 * out_of_memory
 *		Report and end the process.
 */
static void
out_of_memory(void)
{
	fputs("mf-sandbox: out of memory\n", stderr);
	abort();
}

/*
 * xmalloc, xcalloc, xrealloc, xstrdup, xstrndup
 *		As their namesakes, but never return NULL. The caller frees.
 */
void *
xmalloc(size_t size)
{
	void *p = malloc(size > 0 ? size : 1);

	if (p == NULL)
		out_of_memory();
	return p;
}

void *
xcalloc(size_t count, size_t size)
{
	void *p = calloc(count > 0 ? count : 1, size > 0 ? size : 1);

	if (p == NULL)
		out_of_memory();
	return p;
}

void *
xrealloc(void *ptr, size_t size)
{
	void *p = realloc(ptr, size > 0 ? size : 1);

	if (p == NULL)
		out_of_memory();
	return p;
}

char *
xstrdup(const char *s)
{
	return xstrndup(s, strlen(s));
}

char *
xstrndup(const char *s, size_t len)
{
	char *p = xmalloc(len + 1);

	if (len > 0)
		memcpy(p, s, len);
	p[len] = '\0';
	return p;
}

/*
 * str_of
 *		View of a C string; NULL gives the absent string.
 */
Str
str_of(const char *s)
{
	return s == NULL ? STR_NONE : (Str){s, strlen(s)};
}

/*
 * str_equal, str_is, str_is_nocase, str_has_prefix
 *		Comparisons; only ASCII letters fold.
 */
bool
str_equal(Str a, Str b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

bool
str_is(Str a, const char *b)
{
	return a.data != NULL && str_equal(a, str_of(b));
}

bool
str_is_nocase(Str a, const char *b)
{
	size_t len = strlen(b);

	return a.data != NULL && a.len == len && strncasecmp(a.data, b, len) == 0;
}

bool
str_has_prefix(Str a, Str prefix)
{
	return a.len >= prefix.len && (prefix.len == 0 || memcmp(a.data, prefix.data, prefix.len) == 0);
}

/*
 * str_trim
 *		The same view without ASCII white space at either end.
 */
Str
str_trim(Str s)
{
	while (s.len > 0 && isspace((unsigned char) s.data[0]))
	{
		s.data++;
		s.len--;
	}
	while (s.len > 0 && isspace((unsigned char) s.data[s.len - 1]))
		s.len--;
	return s;
}

/*
 * utf8_length
 *		Length in bytes of the well-formed UTF-8 sequence at s, 0 if there is
 *		none. Overlong forms, surrogates and values past U+10FFFF are not
 *		well-formed.
 */
size_t
utf8_length(const unsigned char *s, size_t avail)
{
	unsigned char c;

	if (avail == 0)
		return 0;
	c = s[0];
	if (c < 0x80)
		return 1;
	if (c < 0xC2 || c > 0xF4)
		return 0;
	if (c < 0xE0)
		return avail >= 2 && (s[1] & 0xC0) == 0x80 ? 2 : 0;
	if (c < 0xF0)
	{
		if (avail < 3 || (s[1] & 0xC0) != 0x80 || (s[2] & 0xC0) != 0x80)
			return 0;
		if ((c == 0xE0 && s[1] < 0xA0) || (c == 0xED && s[1] > 0x9F))
			return 0;
		return 3;
	}
	if (avail < 4 || (s[1] & 0xC0) != 0x80 || (s[2] & 0xC0) != 0x80 || (s[3] & 0xC0) != 0x80)
		return 0;
	if ((c == 0xF0 && s[1] < 0x90) || (c == 0xF4 && s[1] > 0x8F))
		return 0;
	return 4;
}

/*
 * str_is_utf8
 *		Is the whole string well-formed UTF-8?
 */
bool
str_is_utf8(Str s)
{
	size_t i = 0;

	while (i < s.len)
	{
		size_t n = utf8_length((const unsigned char *) s.data + i, s.len - i);

		if (n == 0)
			return false;
		i += n;
	}
	return true;
}

/*
 * str_characters
 *		Number of characters (code points) of a UTF-8 string.
 */
size_t
str_characters(Str s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++)
		if (((unsigned char) s.data[i] & 0xC0) != 0x80)
			n++;
	return n;
}

/*
 * buf_reserve
 *		Make room for more bytes and a terminator.
 */
void
buf_reserve(Buf *b, size_t more)
{
	size_t need = b->len + more + 1;
	size_t cap = b->cap > 0 ? b->cap : 256;

	if (need <= b->cap)
		return;
	while (cap < need)
		cap *= 2;
	b->data = xrealloc(b->data, cap);
	b->cap = cap;
}

/*
 * buf_free
 *		Give the memory back and leave an empty buffer.
 */
void
buf_free(Buf *b)
{
	free(b->data);
	memset(b, 0, sizeof(*b));
}

/*
 * buf_put, buf_puts, buf_put_str, buf_putc, buf_put_int, buf_printf
 *		Append bytes, a C string, a view, one character, a decimal integer,
 *		formatted text.
 */
void
buf_put(Buf *b, const void *data, size_t len)
{
	buf_reserve(b, len);
	if (len > 0)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
}

void
buf_puts(Buf *b, const char *s)
{
	buf_put(b, s, strlen(s));
}

void
buf_put_str(Buf *b, Str s)
{
	buf_put(b, s.data, s.len);
}

void
buf_putc(Buf *b, char c)
{
	buf_put(b, &c, 1);
}

void
buf_put_int(Buf *b, int64_t v)
{
	char digits[24];
	int i = (int) sizeof(digits);
	uint64_t u = v < 0 ? 0 - (uint64_t) v : (uint64_t) v;

	do
	{
		digits[--i] = (char) ('0' + u % 10);
		u /= 10;
	} while (u > 0);
	if (v < 0)
		digits[--i] = '-';
	buf_put(b, digits + i, sizeof(digits) - (size_t) i);
}

void
buf_printf(Buf *b, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (n < 0)
		return;
	buf_reserve(b, (size_t) n);
	va_start(args, fmt);
	vsnprintf(b->data + b->len, (size_t) n + 1, fmt, args);
	va_end(args);
	b->len += (size_t) n;
}

/*
 * buf_put_utf8
 *		Append one code point as UTF-8; what is none becomes U+FFFD.
 */
void
buf_put_utf8(Buf *b, uint32_t cp)
{
	char s[4];
	size_t n;

	if (cp > 0x10FFFF || (cp >= 0xD800 && cp <= 0xDFFF))
		cp = 0xFFFD;
	if (cp < 0x80)
	{
		s[0] = (char) cp;
		n = 1;
	}
	else if (cp < 0x800)
	{
		s[0] = (char) (0xC0 | (cp >> 6));
		s[1] = (char) (0x80 | (cp & 0x3F));
		n = 2;
	}
	else if (cp < 0x10000)
	{
		s[0] = (char) (0xE0 | (cp >> 12));
		s[1] = (char) (0x80 | ((cp >> 6) & 0x3F));
		s[2] = (char) (0x80 | (cp & 0x3F));
		n = 3;
	}
	else
	{
		s[0] = (char) (0xF0 | (cp >> 18));
		s[1] = (char) (0x80 | ((cp >> 12) & 0x3F));
		s[2] = (char) (0x80 | ((cp >> 6) & 0x3F));
		s[3] = (char) (0x80 | (cp & 0x3F));
		n = 4;
	}
	buf_put(b, s, n);
}

/*
 * buf_put_json
 *		Append a JSON string literal. Text beyond ASCII stays as it is, as
 *		MyFatoorah sends it; bytes that are not UTF-8 become U+FFFD.
 */
void
buf_put_json(Buf *b, Str s)
{
	size_t i = 0;

	buf_reserve(b, s.len + 2);
	buf_putc(b, '"');
	while (i < s.len)
	{
		size_t start = i;

		while (i < s.len)
		{
			unsigned char c = (unsigned char) s.data[i];
			size_t n;

			if (c < 0x20 || c == '"' || c == '\\')
				break;
			n = utf8_length((const unsigned char *) s.data + i, s.len - i);
			if (n == 0)
				break;
			i += n;
		}
		buf_put(b, s.data + start, i - start);
		if (i < s.len)
		{
			unsigned char c = (unsigned char) s.data[i++];

			switch (c)
			{
				case '"':
					buf_puts(b, "\\\"");
					break;
				case '\\':
					buf_puts(b, "\\\\");
					break;
				case '\n':
					buf_puts(b, "\\n");
					break;
				case '\r':
					buf_puts(b, "\\r");
					break;
				case '\t':
					buf_puts(b, "\\t");
					break;
				case '\b':
					buf_puts(b, "\\b");
					break;
				case '\f':
					buf_puts(b, "\\f");
					break;
				default:
					if (c < 0x20)
						buf_printf(b, "\\u%04x", c);
					else
						buf_put_utf8(b, 0xFFFD);
			}
		}
	}
	buf_putc(b, '"');
}

/*
 * buf_put_json_or_null
 *		As buf_put_json; the absent string is written as null.
 */
void
buf_put_json_or_null(Buf *b, Str s)
{
	if (s.data == NULL)
		buf_puts(b, "null");
	else
		buf_put_json(b, s);
}

/*
 * buf_put_html
 *		Append text safe inside HTML elements and quoted attributes.
 */
void
buf_put_html(Buf *b, Str s)
{
	for (size_t i = 0; i < s.len;)
	{
		size_t n = utf8_length((const unsigned char *) s.data + i, s.len - i);
		char c = s.data[i];

		if (n == 0 || c == '\0')
		{
			buf_put_utf8(b, 0xFFFD);
			i++;
			continue;
		}
		switch (c)
		{
			case '&':
				buf_puts(b, "&amp;");
				break;
			case '<':
				buf_puts(b, "&lt;");
				break;
			case '>':
				buf_puts(b, "&gt;");
				break;
			case '"':
				buf_puts(b, "&quot;");
				break;
			case '\'':
				buf_puts(b, "&#39;");
				break;
			default:
				buf_put(b, s.data + i, n);
		}
		i += n;
	}
}

static const char base64_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/*
 * buf_put_base64
 *		Append standard Base64 with padding.
 */
void
buf_put_base64(Buf *b, Str s)
{
	for (size_t i = 0; i < s.len; i += 3)
	{
		uint32_t v = (uint32_t) (unsigned char) s.data[i] << 16;
		size_t left = s.len - i;
		char out[4];

		if (left > 1)
			v |= (uint32_t) (unsigned char) s.data[i + 1] << 8;
		if (left > 2)
			v |= (unsigned char) s.data[i + 2];
		out[0] = base64_alphabet[v >> 18];
		out[1] = base64_alphabet[(v >> 12) & 63];
		out[2] = left > 1 ? base64_alphabet[(v >> 6) & 63] : '=';
		out[3] = left > 2 ? base64_alphabet[v & 63] : '=';
		buf_put(b, out, 4);
	}
}

/*
 * base64_value
 *		Value of one Base64 digit, -1 if it is none.
 */
static int
base64_value(unsigned char c)
{
	const char *p = c == '\0' ? NULL : strchr(base64_alphabet, c);

	return p == NULL ? -1 : (int) (p - base64_alphabet);
}

/*
 * base64_decode
 *		Append the bytes that standard Base64 stands for; false if it is
 *		malformed (white space is skipped).
 */
bool
base64_decode(Str in, Buf *out)
{
	uint32_t v = 0;
	int bits = 0;
	int digits = 0;
	bool padded = false;

	for (size_t i = 0; i < in.len; i++)
	{
		unsigned char c = (unsigned char) in.data[i];
		int d;

		if (isspace(c))
			continue;
		if (c == '=')
		{
			padded = true;
			continue;
		}
		d = base64_value(c);
		if (d < 0 || padded)
			return false;
		digits++;
		v = (v << 6) | (uint32_t) d;
		bits += 6;
		if (bits >= 8)
		{
			bits -= 8;
			buf_putc(out, (char) ((v >> bits) & 0xFF));
		}
	}
	return digits % 4 != 1;
}

/*
 * url_decode
 *		Append the text of a form-encoded value: '+' is a space, %XX a byte; a
 *		broken escape is kept as it is.
 */
void
url_decode(Str in, Buf *out)
{
	for (size_t i = 0; i < in.len; i++)
	{
		char c = in.data[i];

		if (c == '+')
			c = ' ';
		else if (c == '%' && i + 2 < in.len && isxdigit((unsigned char) in.data[i + 1]) &&
				 isxdigit((unsigned char) in.data[i + 2]))
		{
			char hex[3] = {in.data[i + 1], in.data[i + 2], '\0'};

			c = (char) strtol(hex, NULL, 16);
			i += 2;
		}
		buf_putc(out, c);
	}
	buf_reserve(out, 0);
	out->data[out->len] = '\0';
}

/*
 * query_value
 *		The decoded value of a query or form parameter, put into value in place
 *		of what it held; false if there is none. Names are matched without
 *		regard to case.
 */
bool
query_value(Str query, const char *name, Buf *value)
{
	size_t name_len = strlen(name);

	while (query.len > 0)
	{
		const char *amp = memchr(query.data, '&', query.len);
		size_t len = amp != NULL ? (size_t) (amp - query.data) : query.len;

		if (len >= name_len && strncasecmp(query.data, name, name_len) == 0 &&
			(len == name_len || query.data[name_len] == '='))
		{
			Str raw = {query.data + name_len, len - name_len};

			if (raw.len > 0)
			{
				raw.data++;
				raw.len--;
			}
			value->len = 0;
			url_decode(raw, value);
			return true;
		}
		len += amp != NULL;
		query.data += len;
		query.len -= len;
	}
	return false;
}

/*
 * str_copy_to
 *		Copy a string into the space at *to and move on; absent stays absent.
 */
Str
str_copy_to(char **to, Str s)
{
	char *start = *to;

	if (s.data == NULL)
		return s;
	memcpy(start, s.data, s.len);
	start[s.len] = '\0';
	*to += s.len + 1;
	return (Str){start, s.len};
}
