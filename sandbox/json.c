/*
 * json.c
 *	  A strict JSON reader (RFC 8259) that keeps number literals as text.
 *
 * Lenient where MyFatoorah's reader is known to be: member names match without
 * regard to case and the last of several wins. Bytes that are not UTF-8 and
 * lone surrogates become U+FFFD.
 */
#include "json.h"

#include <ctype.h>
#include <stdlib.h>

#define JSON_MAX_DEPTH 64
#define JSON_BLOCK_SIZE 4000

struct JsonBlock
{
	JsonBlock *next;
	size_t used;
	size_t size;
	max_align_t data[];
};

typedef struct Reader
{
	JsonDoc *doc;
	const char *start;
	const char *p;
	const char *end;
	int depth;
} Reader;

static JsonNode *read_value(Reader *r);

/*
 * json_alloc
 *		Memory that lives as long as the document.
 */
static void *
json_alloc(JsonDoc *doc, size_t size)
{
	JsonBlock *block = doc->blocks;
	void *p;

	size = (size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
	if (block == NULL || block->size - block->used < size)
	{
		size_t space = size > JSON_BLOCK_SIZE ? size : JSON_BLOCK_SIZE;

		block = xmalloc(sizeof(JsonBlock) + space);
		block->used = 0;
		block->size = space;
		block->next = doc->blocks;
		doc->blocks = block;
	}
	p = (char *) block->data + block->used;
	block->used += size;
	return p;
}

/*
 * fail
 *		Note the first error and where it is; returns NULL.
 */
static JsonNode *
fail(Reader *r, const char *error)
{
	if (r->doc->error == NULL)
	{
		r->doc->error = error;
		r->doc->error_at = (size_t) (r->p - r->start);
	}
	return NULL;
}

/*
 * skip_space
 *		Pass the four characters JSON calls white space.
 */
static void
skip_space(Reader *r)
{
	while (r->p < r->end && (*r->p == ' ' || *r->p == '\t' || *r->p == '\n' || *r->p == '\r'))
		r->p++;
}

/*
 * read_hex4
 *		The four digits after \u.
 */
static bool
read_hex4(Reader *r, uint32_t *value)
{
	*value = 0;
	if (r->end - r->p < 4)
		return false;
	for (int i = 0; i < 4; i++)
	{
		unsigned char c = (unsigned char) r->p[i];

		if (!isxdigit(c))
			return false;
		*value = *value * 16 + (uint32_t) (isdigit(c) ? c - '0' : (c | 32) - 'a' + 10);
	}
	r->p += 4;
	return true;
}

/*
 * read_string
 *		The string at the opening quote, decoded.
 */
static bool
read_string(Reader *r, Str *result)
{
	const char *start = ++r->p;
	const char *q;
	bool plain = true;
	Buf out = {0};
	char *copy;

	for (q = start; q < r->end && *q != '"'; q++)
	{
		if ((unsigned char) *q < 0x20)
		{
			r->p = q;
			return fail(r, "a control character inside a string") != NULL;
		}
		if (*q == '\\')
		{
			plain = false;
			if (++q == r->end)
				break;
		}
	}
	if (q >= r->end)
	{
		r->p = r->end;
		return fail(r, "a string does not end") != NULL;
	}
	*result = (Str){start, (size_t) (q - start)};
	if (plain && str_is_utf8(*result))
	{
		r->p = q + 1;
		return true;
	}

	while (*r->p != '"')
	{
		uint32_t cp;
		uint32_t low;
		size_t n;

		if (*r->p != '\\')
		{
			n = utf8_length((const unsigned char *) r->p, (size_t) (q - r->p));
			if (n == 0)
				buf_put_utf8(&out, 0xFFFD);
			else
				buf_put(&out, r->p, n);
			r->p += n > 0 ? n : 1;
			continue;
		}
		r->p += 2;
		switch (r->p[-1])
		{
			case '"':
			case '\\':
			case '/':
				buf_putc(&out, r->p[-1]);
				break;
			case 'b':
				buf_putc(&out, '\b');
				break;
			case 'f':
				buf_putc(&out, '\f');
				break;
			case 'n':
				buf_putc(&out, '\n');
				break;
			case 'r':
				buf_putc(&out, '\r');
				break;
			case 't':
				buf_putc(&out, '\t');
				break;
			case 'u':
				if (!read_hex4(r, &cp))
				{
					buf_free(&out);
					return fail(r, "a broken \\u escape") != NULL;
				}
				if (cp >= 0xD800 && cp <= 0xDBFF && r->end - r->p >= 6 && r->p[0] == '\\' && r->p[1] == 'u')
				{
					const char *before = r->p;

					r->p += 2;
					if (read_hex4(r, &low) && low >= 0xDC00 && low <= 0xDFFF)
						cp = 0x10000 + ((cp - 0xD800) << 10) + (low - 0xDC00);
					else
						r->p = before;
				}
				buf_put_utf8(&out, cp);
				break;
			default:
				buf_free(&out);
				return fail(r, "an unknown escape") != NULL;
		}
	}
	r->p++;
	copy = json_alloc(r->doc, out.len + 1);
	if (out.len > 0)
		memcpy(copy, out.data, out.len);
	copy[out.len] = '\0';
	*result = (Str){copy, out.len};
	buf_free(&out);
	return true;
}

/*
 * read_number
 *		The literal of a number, checked against the grammar and kept as text.
 */
static bool
read_number(Reader *r, Str *result)
{
	const char *start = r->p;
	const char *digits;

	if (r->p < r->end && *r->p == '-')
		r->p++;
	digits = r->p;
	while (r->p < r->end && isdigit((unsigned char) *r->p))
		r->p++;
	if (r->p == digits || (*digits == '0' && r->p - digits > 1))
		return false;
	if (r->p < r->end && *r->p == '.')
	{
		digits = ++r->p;
		while (r->p < r->end && isdigit((unsigned char) *r->p))
			r->p++;
		if (r->p == digits)
			return false;
	}
	if (r->p < r->end && (*r->p == 'e' || *r->p == 'E'))
	{
		r->p++;
		if (r->p < r->end && (*r->p == '-' || *r->p == '+'))
			r->p++;
		digits = r->p;
		while (r->p < r->end && isdigit((unsigned char) *r->p))
			r->p++;
		if (r->p == digits)
			return false;
	}
	*result = (Str){start, (size_t) (r->p - start)};
	return true;
}

/*
 * read_word
 *		One of null, true, false.
 */
static JsonNode *
read_word(Reader *r, JsonNode *node, const char *word, JsonType type)
{
	size_t len = strlen(word);

	if ((size_t) (r->end - r->p) < len || memcmp(r->p, word, len) != 0)
		return fail(r, "an unknown word");
	r->p += len;
	node->type = type;
	return node;
}

/*
 * read_container
 *		The members of an object or the elements of an array.
 */
static JsonNode *
read_container(Reader *r, JsonNode *node, bool object)
{
	char close = object ? '}' : ']';
	JsonNode **tail = &node->child;

	node->type = object ? JSON_OBJECT : JSON_ARRAY;
	if (++r->depth > JSON_MAX_DEPTH)
		return fail(r, "nested too deeply");
	r->p++;
	skip_space(r);
	if (r->p < r->end && *r->p == close)
	{
		r->p++;
		r->depth--;
		return node;
	}
	for (;;)
	{
		Str name = STR_NONE;
		JsonNode *value;

		if (object)
		{
			skip_space(r);
			if (r->p >= r->end || *r->p != '"')
				return fail(r, "a member name is missing");
			if (!read_string(r, &name))
				return NULL;
			skip_space(r);
			if (r->p >= r->end || *r->p != ':')
				return fail(r, "a colon is missing");
			r->p++;
		}
		value = read_value(r);
		if (value == NULL)
			return NULL;
		value->name = name;
		*tail = value;
		tail = &value->next;
		skip_space(r);
		if (r->p < r->end && *r->p == ',')
		{
			r->p++;
			continue;
		}
		if (r->p < r->end && *r->p == close)
		{
			r->p++;
			r->depth--;
			return node;
		}
		return fail(r, "a comma or a closing bracket is missing");
	}
}

/*
 * read_value
 *		Any value; NULL with the error noted.
 */
static JsonNode *
read_value(Reader *r)
{
	JsonNode *node = json_alloc(r->doc, sizeof(JsonNode));

	memset(node, 0, sizeof(*node));
	skip_space(r);
	if (r->p >= r->end)
		return fail(r, "a value is missing");
	switch (*r->p)
	{
		case '{':
			return read_container(r, node, true);
		case '[':
			return read_container(r, node, false);
		case '"':
			node->type = JSON_STRING;
			return read_string(r, &node->text) ? node : NULL;
		case 'n':
			return read_word(r, node, "null", JSON_NULL);
		case 't':
			return read_word(r, node, "true", JSON_TRUE);
		case 'f':
			return read_word(r, node, "false", JSON_FALSE);
		default:
			node->type = JSON_NUMBER;
			return read_number(r, &node->text) ? node : fail(r, "a value is malformed");
	}
}

/*
 * json_parse
 *		Parse a whole text; false with doc->error set if it is malformed. The
 *		text must outlive the document; json_free() frees it either way.
 */
bool
json_parse(JsonDoc *doc, Str text)
{
	Reader r = {doc, text.data, text.data, text.data + text.len, 0};

	memset(doc, 0, sizeof(*doc));
	if (text.len == 0)
	{
		doc->error = "a value is missing";
		return false;
	}
	if (text.len >= 3 && memcmp(text.data, "\xEF\xBB\xBF", 3) == 0)
		r.p += 3;
	doc->root = read_value(&r);
	if (doc->root == NULL)
		return false;
	skip_space(&r);
	if (r.p != r.end)
	{
		fail(&r, "something follows the value");
		doc->root = NULL;
		return false;
	}
	return true;
}

/*
 * json_free
 *		Free a document; harmless on one that is all zeros.
 */
void
json_free(JsonDoc *doc)
{
	while (doc->blocks != NULL)
	{
		JsonBlock *next = doc->blocks->next;

		free(doc->blocks);
		doc->blocks = next;
	}
	doc->root = NULL;
}

/*
 * json_member
 *		The last member of that name, case ignored; NULL if there is none or the
 *		node is no object.
 */
const JsonNode *
json_member(const JsonNode *object, const char *name)
{
	const JsonNode *found = NULL;

	if (object == NULL || object->type != JSON_OBJECT)
		return NULL;
	for (const JsonNode *m = object->child; m != NULL; m = m->next)
		if (str_is_nocase(m->name, name))
			found = m;
	return found;
}

/*
 * json_path
 *		The node at a dotted path; NULL if there is none.
 */
const JsonNode *
json_path(const JsonNode *node, const char *path)
{
	while (node != NULL && *path != '\0')
	{
		char name[64];
		size_t len = strcspn(path, ".");

		if (len >= sizeof(name))
			return NULL;
		memcpy(name, path, len);
		name[len] = '\0';
		node = json_member(node, name);
		path += len + (path[len] == '.');
	}
	return node;
}
