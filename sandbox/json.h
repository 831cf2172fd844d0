/*
 * json.h
 *	  A strict JSON reader that keeps number literals as text.
 */
#ifndef SANDBOX_JSON_H
#define SANDBOX_JSON_H

#include "text.h"

typedef enum JsonType
{
	JSON_NULL,
	JSON_FALSE,
	JSON_TRUE,
	JSON_NUMBER,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT
} JsonType;

typedef struct JsonNode
{
	JsonType type;
	Str name; /* member name, when in an object */
	Str text; /* number literal, or decoded string */
	struct JsonNode *child;
	struct JsonNode *next;
} JsonNode;

typedef struct JsonBlock JsonBlock;

/* One parsed text. Strings without escapes point into the text itself. */
typedef struct JsonDoc
{
	JsonNode *root;
	const char *error; /* static text, NULL if well-formed */
	size_t error_at;
	JsonBlock *blocks;
} JsonDoc;

extern bool json_parse(JsonDoc *doc, Str text);
extern void json_free(JsonDoc *doc);
extern const JsonNode *json_member(const JsonNode *object, const char *name);
extern const JsonNode *json_path(const JsonNode *node, const char *path);

#endif
