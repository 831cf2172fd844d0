/*
 * json.c
 *	  Strict parsing of JSON into cJSON trees, with exact numbers.
 *
 * One pass without recursion, with a stack of open containers.  Strings are
 * decoded into a scratch buffer as large as the text.  cJSON uses its own
 * allocator: cJSON_InitHooks() is process-wide and belongs to nobody.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/text/json.c
 */
#include "core/text/json.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/text/ascii.h"
#include "core/text/text.h"

/* Before 1.7.13 appending to an array walks it: quadratic in the answer's size. */
#if CJSON_VERSION_MAJOR * 10000 + CJSON_VERSION_MINOR * 100 + CJSON_VERSION_PATCH < 10713
#error "cJSON 1.7.13 or newer is needed: older ones take quadratic time to append"
#endif

typedef struct Parser
{
	const char *text;
	size_t		len;
	size_t		pos;
	const char *error;			/* NULL while all is well */

	/*
	 * Decoded text: the name of the member being read, if any, and behind it
	 * its value.  Decoding never lengthens, so len + 2 bytes are enough.
	 */
	char	   *scratch;
	size_t		value_at;

	size_t		values;			/* nodes so far */
	size_t		max_values;
	int			depth;
	cJSON	   *open[MF_JSON_MAX_DEPTH];
	int			members[MF_JSON_MAX_DEPTH];
} Parser;

/* The first failure counts. */
static void
set_error(Parser *parser, const char *error)
{
	if (parser->error == NULL)
		parser->error = error;
}

/* The next byte, -1 at the end */
static int
peek(const Parser *parser)
{
	return parser->pos < parser->len ? (unsigned char) parser->text[parser->pos] : -1;
}

static void
skip_space(Parser *parser)
{
	while (parser->pos < parser->len && mf_is_space(parser->text[parser->pos]))
		parser->pos++;
}

static bool
read_hex4(Parser *parser, uint32_t *code)
{
	int			i;

	*code = 0;
	for (i = 0; i < 4; i++)
	{
		int			c = peek(parser);

		if (c >= '0' && c <= '9')
			c -= '0';
		else if (c >= 'a' && c <= 'f')
			c -= 'a' - 10;
		else if (c >= 'A' && c <= 'F')
			c -= 'A' - 10;
		else
		{
			set_error(parser, "invalid \\u escape");
			return false;
		}
		*code = *code * 16 + (uint32_t) c;
		parser->pos++;
	}
	return true;
}

static size_t
write_utf8(char *out, uint32_t code)
{
	if (code < 0x80)
	{
		out[0] = (char) code;
		return 1;
	}
	if (code < 0x800)
	{
		out[0] = (char) (0xC0 | (code >> 6));
		out[1] = (char) (0x80 | (code & 0x3F));
		return 2;
	}
	if (code < 0x10000)
	{
		out[0] = (char) (0xE0 | (code >> 12));
		out[1] = (char) (0x80 | ((code >> 6) & 0x3F));
		out[2] = (char) (0x80 | (code & 0x3F));
		return 3;
	}
	out[0] = (char) (0xF0 | (code >> 18));
	out[1] = (char) (0x80 | ((code >> 12) & 0x3F));
	out[2] = (char) (0x80 | ((code >> 6) & 0x3F));
	out[3] = (char) (0x80 | (code & 0x3F));
	return 4;
}

/*
 * The character that the escape after a backslash stands for.  What cannot
 * stand in a C string or in UTF-8 becomes U+FFFD.
 */
static uint32_t
read_escape(Parser *parser)
{
	uint32_t	code;
	uint32_t	low;
	size_t		before;
	int			c = peek(parser);

	if (c != -1)
		parser->pos++;
	switch (c)
	{
		case '"':
		case '\\':
		case '/':
			return (uint32_t) c;
		case 'b':
			return '\b';
		case 'f':
			return '\f';
		case 'n':
			return '\n';
		case 'r':
			return '\r';
		case 't':
			return '\t';
		case 'u':
			break;
		default:
			if (c != -1)
				parser->pos--;
			set_error(parser, "invalid escape in a string");
			return 0xFFFD;
	}
	if (!read_hex4(parser, &code))
		return 0xFFFD;
	if (code >= 0xD800 && code <= 0xDBFF)
	{
		before = parser->pos;
		if (parser->len - parser->pos >= 6 && parser->text[parser->pos] == '\\' &&
			parser->text[parser->pos + 1] == 'u')
		{
			parser->pos += 2;
			if (!read_hex4(parser, &low))
				return 0xFFFD;
			if (low >= 0xDC00 && low <= 0xDFFF)
				return 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
		}
		/* unpaired; what follows is a character of its own */
		parser->pos = before;
		return 0xFFFD;
	}
	if (code == 0 || (code >= 0xDC00 && code <= 0xDFFF))
		return 0xFFFD;
	return code;
}

/*
 * Decodes the string that begins here to scratch + at, with a NUL; returns its
 * length without that.
 */
static size_t
read_string(Parser *parser, size_t at)
{
	char	   *out = parser->scratch + at;
	size_t		used = 0;

	parser->pos++;				/* the opening quote */
	for (;;)
	{
		const char *here = parser->text + parser->pos;
		uint32_t	code;
		size_t		step;
		int			c = peek(parser);

		if (c == -1)
			set_error(parser, "unterminated string");
		else if (c == '"')
		{
			parser->pos++;
			break;
		}
		else if (c < 0x20)
			set_error(parser, "control character in a string");
		else if (c == '\\')
		{
			parser->pos++;
			code = read_escape(parser);
			if (parser->error == NULL)
				used += write_utf8(out + used, code);
		}
		else if (c < 0x80)
		{
			out[used++] = (char) c;
			parser->pos++;
		}
		else if ((step = mf_utf8_char(here, parser->len - parser->pos, &code)) > 0)
		{
			memcpy(out + used, here, step);
			used += step;
			parser->pos += step;
		}
		else
			set_error(parser, "invalid UTF-8");
		if (parser->error != NULL)
			break;
	}
	out[used] = '\0';
	return used;
}

static void
skip_digits(Parser *parser)
{
	size_t		start = parser->pos;

	while (parser->pos < parser->len && mf_is_digit(parser->text[parser->pos]))
		parser->pos++;
	if (parser->pos == start)
		set_error(parser, "invalid number");
}

/* A number becomes a raw node with its literal. */
static cJSON *
read_number(Parser *parser)
{
	char	   *out = parser->scratch + parser->value_at;
	size_t		start = parser->pos;

	if (peek(parser) == '-')
		parser->pos++;
	if (peek(parser) == '0')
		parser->pos++;
	else
		skip_digits(parser);
	if (peek(parser) == '.')
	{
		parser->pos++;
		skip_digits(parser);
	}
	if (peek(parser) == 'e' || peek(parser) == 'E')
	{
		parser->pos++;
		if (peek(parser) == '+' || peek(parser) == '-')
			parser->pos++;
		skip_digits(parser);
	}
	if (parser->error != NULL)
		return NULL;
	memcpy(out, parser->text + start, parser->pos - start);
	out[parser->pos - start] = '\0';
	return cJSON_CreateRaw(out);
}

static cJSON *
read_word(Parser *parser, const char *word, cJSON *(*create) (void))
{
	size_t		len = strlen(word);

	if (parser->len - parser->pos < len ||
		memcmp(parser->text + parser->pos, word, len) != 0)
	{
		set_error(parser, "unknown word");
		return NULL;
	}
	parser->pos += len;
	return create();
}

/* Any value that holds no other; NULL on failure, without parser->error when out of memory. */
static cJSON *
read_scalar(Parser *parser)
{
	int			c = peek(parser);

	if (c == '"')
	{
		read_string(parser, parser->value_at);
		return parser->error != NULL ? NULL : cJSON_CreateString(parser->scratch + parser->value_at);
	}
	if (c == '-' || (c >= '0' && c <= '9'))
		return read_number(parser);
	if (c == 't')
		return read_word(parser, "true", cJSON_CreateTrue);
	if (c == 'f')
		return read_word(parser, "false", cJSON_CreateFalse);
	if (c == 'n')
		return read_word(parser, "null", cJSON_CreateNull);
	set_error(parser, c == -1 ? "unexpected end" : "value expected");
	return NULL;
}

/* Reads "name": and leaves the name at the start of the scratch block. */
static void
read_name(Parser *parser)
{
	skip_space(parser);
	if (peek(parser) != '"')
	{
		set_error(parser, peek(parser) == -1 ? "unexpected end" : "name expected");
		return;
	}
	parser->value_at = read_string(parser, 0) + 1;
	if (parser->error != NULL)
		return;
	skip_space(parser);
	if (peek(parser) != ':')
		set_error(parser, peek(parser) == -1 ? "unexpected end" : "colon expected");
	else
		parser->pos++;
}

/* Makes "node" part of the innermost open container; deletes it on failure. */
static void
attach_node(Parser *parser, cJSON *node)
{
	cJSON	   *container = parser->open[parser->depth - 1];
	bool		done;

	if (cJSON_IsObject(container))
	{
		if (++parser->members[parser->depth - 1] > MF_JSON_MAX_MEMBERS)
		{
			set_error(parser, "too many members in an object");
			cJSON_Delete(node);
			return;
		}
		done = cJSON_AddItemToObject(container, parser->scratch, node);
	}
	else
		done = cJSON_AddItemToArray(container, node);
	if (!done)
	{
		set_error(parser, MF_JSON_OUT_OF_MEMORY);
		cJSON_Delete(node);
	}
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *) a, *(const char *const *) b);
}

/* Sorting keeps a hostile object from costing the square of its members. */
static void
check_duplicates(Parser *parser, const cJSON *object, int members)
{
	const char *names[MF_JSON_MAX_MEMBERS];
	const cJSON *member;
	int			n = 0;
	int			i;

	if (members < 2)
		return;
	cJSON_ArrayForEach(member, object)
		names[n++] = member->string;
	qsort(names, (size_t) n, sizeof(char *), compare_names);
	for (i = 1; i < n; i++)
	{
		if (strcmp(names[i - 1], names[i]) == 0)
		{
			set_error(parser, "duplicate member name");
			return;
		}
	}
}

/* Moves past the bracket that closes the innermost open container. */
static void
close_container(Parser *parser)
{
	parser->depth--;
	if (cJSON_IsObject(parser->open[parser->depth]))
		check_duplicates(parser, parser->open[parser->depth], parser->members[parser->depth]);
	if (parser->error == NULL)
		parser->pos++;
}

/* Skips the opening bracket; "node" is the innermost open container now. */
static void
open_container(Parser *parser, cJSON *node)
{
	parser->pos++;
	parser->open[parser->depth] = node;
	parser->members[parser->depth] = 0;
	parser->depth++;
	parser->value_at = 0;
}

/*
 * Reads one value: a scalar, or the opening bracket of a container.  Returns its
 * node, or NULL with parser->error set.
 */
static cJSON *
read_value(Parser *parser, cJSON **root)
{
	int			c = peek(parser);
	bool		container = (c == '{' || c == '[');
	cJSON	   *node = NULL;

	if (++parser->values > parser->max_values)
		set_error(parser, "too many values");
	else if (container && parser->depth >= MF_JSON_MAX_DEPTH)
		set_error(parser, "nested too deeply");
	else if (container)
		node = (c == '{') ? cJSON_CreateObject() : cJSON_CreateArray();
	else
		node = read_scalar(parser);
	if (node == NULL)
	{
		/* unless there was another failure */
		set_error(parser, MF_JSON_OUT_OF_MEMORY);
		return NULL;
	}

	if (parser->depth > 0)
		attach_node(parser, node);
	else
		*root = node;
	if (parser->error != NULL)
		return NULL;
	if (container)
		open_container(parser, node);
	return node;
}

/*
 * After a value: closes all containers that end here.  Returns whether another
 * value follows; then the comma, and the name in an object, have been read.
 */
static bool
next_value_follows(Parser *parser)
{
	while (parser->error == NULL)
	{
		int			c;
		bool		in_object;

		skip_space(parser);
		c = peek(parser);
		if (parser->depth == 0)
		{
			if (c != -1)
				set_error(parser, "text after the end");
			return false;
		}
		in_object = cJSON_IsObject(parser->open[parser->depth - 1]);
		if (c == (in_object ? '}' : ']'))
		{
			close_container(parser);
			continue;
		}
		if (c != ',')
		{
			set_error(parser, c == -1 ? "unexpected end" : "comma or end of container expected");
			return false;
		}
		parser->pos++;
		parser->value_at = 0;
		if (in_object)
			read_name(parser);
		return parser->error == NULL;
	}
	return false;
}

/* The whole text; on failure parser->error is set and the tree may be partial. */
static cJSON *
parse_text(Parser *parser)
{
	cJSON	   *root = NULL;

	if (parser->len >= 3 && memcmp(parser->text, "\xEF\xBB\xBF", 3) == 0)
		parser->pos = 3;
	do
	{
		cJSON	   *node;

		skip_space(parser);
		node = read_value(parser, &root);
		if (node == NULL)
			break;
		if (cJSON_IsObject(node) || cJSON_IsArray(node))
		{
			skip_space(parser);
			if (peek(parser) != (cJSON_IsObject(node) ? '}' : ']'))
			{
				/* not empty: its first value follows */
				if (cJSON_IsObject(node))
					read_name(parser);
				continue;
			}
			close_container(parser);
		}
		if (!next_value_follows(parser))
			break;
	} while (parser->error == NULL);
	return root;
}

cJSON *
mf_json_parse(const char *text, size_t len, const char **error, size_t *offset)
{
	return mf_json_parse_limited(text, len, MF_JSON_MAX_VALUES, error, offset);
}

cJSON *
mf_json_parse_limited(const char *text, size_t len, size_t max_values, const char **error, size_t *offset)
{
	Parser		parser = {0};
	cJSON	   *root = NULL;

	parser.text = text;
	parser.len = len;
	parser.max_values = max_values;
	parser.scratch = malloc(len + 2);
	if (parser.scratch == NULL)
		parser.error = MF_JSON_OUT_OF_MEMORY;
	else
		root = parse_text(&parser);
	free(parser.scratch);
	if (parser.error != NULL)
	{
		cJSON_Delete(root);
		root = NULL;
	}
	if (error != NULL)
		*error = parser.error;
	if (offset != NULL)
		*offset = parser.pos;
	return root;
}

const cJSON *
mf_json_get(const cJSON *object, const char *name)
{
	if (!cJSON_IsObject(object))
		return NULL;
	return cJSON_GetObjectItemCaseSensitive(object, name);
}

const char *
mf_json_string(const cJSON *object, const char *name)
{
	const cJSON *node = mf_json_get(object, name);

	return cJSON_IsString(node) ? node->valuestring : NULL;
}

const char *
mf_json_number(const cJSON *object, const char *name)
{
	const cJSON *node = mf_json_get(object, name);

	return mf_json_is_number(node) ? node->valuestring : NULL;
}

const char *
mf_json_text(const cJSON *object, const char *name)
{
	const cJSON *node = mf_json_get(object, name);

	return (cJSON_IsString(node) || mf_json_is_number(node)) ? node->valuestring : NULL;
}

/* The only raw nodes in trees of mf_json_parse() are numbers. */
bool
mf_json_is_number(const cJSON *node)
{
	return cJSON_IsRaw(node);
}

char *
mf_json_print(const cJSON *node)
{
	char	   *printed = cJSON_PrintUnformatted(node);
	char	   *copy;

	/* cJSON's block is for cJSON_free(): other code may have set its hooks */
	if (printed == NULL)
		return NULL;
	copy = strdup(printed);
	cJSON_free(printed);
	return copy;
}
