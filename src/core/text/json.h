/*
 * json.h
 *	  Strict parsing of JSON into cJSON trees, with exact numbers.
 *
 * cJSON's own parser turns numbers into doubles, accepts duplicate members and
 * invalid UTF-8, and cuts strings at U+0000. mf_json_parse() therefore parses
 * the text itself and builds the tree by cJSON's functions.  A number keeps
 * the digits that were sent: its node has type cJSON_Raw and the literal in
 * valuestring, so that printing the tree gives the same digits back.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/text/json.h
 */
#ifndef MF_JSON_H
#define MF_JSON_H

#include <stdbool.h>
#include <stddef.h>

#include <cjson/cJSON.h>

#define MF_JSON_MAX_DEPTH 64
#define MF_JSON_MAX_MEMBERS 2048	/* of one object */
#define MF_JSON_MAX_VALUES 262144	/* of one text; a node takes some 100 bytes */
#define MF_JSON_LARGE_VALUES 1048576	/* of a text that is known to be long */

/* *error of mf_json_parse() when the text is not to blame */
#define MF_JSON_OUT_OF_MEMORY "out of memory"

/*
 * Parses one complete JSON text (RFC 8259, UTF-8, a leading byte order mark
 * is skipped, nothing but white space after it).  Refused: invalid UTF-8, raw
 * control characters in strings, nesting deeper than MF_JSON_MAX_DEPTH,
 * objects with duplicate names or too many members, too many values.  \u0000
 * and unpaired surrogates become U+FFFD.  Returns a tree for cJSON_Delete(),
 * or NULL with a static description in *error and the byte offset in *offset
 * (both may be NULL); for duplicate names that is the end of the object.
 */
extern cJSON *mf_json_parse(const char *text, size_t len, const char **error, size_t *offset);

/* The same with another limit for the number of values */
extern cJSON *mf_json_parse_limited(const char *text, size_t len, size_t max_values, const char **error,
									size_t *offset);

/* The member of that exact name, NULL if absent or "object" is no object. */
extern const cJSON *mf_json_get(const cJSON *object, const char *name);

/* Text of a string member; NULL if absent or anything else. Owned by the tree. */
extern const char *mf_json_string(const cJSON *object, const char *name);

/* Literal of a number member; NULL if absent or anything else. */
extern const char *mf_json_number(const cJSON *object, const char *name);

/* Text of a string or literal of a number member; NULL if absent or anything else. */
extern const char *mf_json_text(const cJSON *object, const char *name);

extern bool mf_json_is_number(const cJSON *node);

/* Unformatted text of a tree, malloc'd; NULL when out of memory. */
extern char *mf_json_print(const cJSON *node);

#endif							/* MF_JSON_H */
