/*
 * envelope.c
 *	  The envelope of an answer, and the error that it reports.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/api/envelope.c
 */
#include "core/api/api.h"

#include <stdlib.h>
#include <string.h>

#include "core/http/http.h"
#include "core/text/ascii.h"
#include "core/text/json.h"
#include "core/text/text.h"

/* Text being built; what does not fit is dropped, and cut later by mf_text_excerpt() */
typedef struct Line
{
	char		text[4096];
	size_t		len;
} Line;

static void
append(Line *line, const char *text, size_t len)
{
	if (len > sizeof(line->text) - line->len)
		len = sizeof(line->text) - line->len;
	memcpy(line->text + line->len, text, len);
	line->len += len;
}

static void
append_string(Line *line, const char *text)
{
	append(line, text, strlen(text));
}

/* Appends HTML without its tags, with white space collapsed. */
static void
append_markup(Line *line, const char *text, size_t len)
{
	const char *end = text + len;
	bool		space = false;

	while (text < end && line->len < sizeof(line->text))
	{
		if (*text == '<')
		{
			text = memchr(text, '>', (size_t) (end - text));
			if (text == NULL)
				return;
			space = true;
		}
		else if (mf_is_space(*text))
			space = true;
		else
		{
			if (space && line->len > 0)
				append(line, " ", 1);
			space = false;
			append(line, text, 1);
		}
		text++;
	}
}

/* Appends a body that is not JSON.  Of one that was meant to be, which may tell of a customer, it is the problem alone. */
static void
append_raw(Line *line, const char *body, size_t len, const char *problem)
{
	while (len > 0 && mf_is_space(*body))
	{
		body++;
		len--;
	}
	while (len > 0 && mf_is_space(body[len - 1]))
		len--;
	if (len > 0 && *body == '<')
		append_markup(line, body, len);
	else if (len > 0 && (*body == '{' || *body == '['))
	{
		append_string(line, "broken JSON, ");
		append_string(line, problem);
	}
	else
		append(line, body, len);
}

/*
 * Appends "Name: Error, Name: Error". Where MyFatoorah leaves every Error
 * empty, its message is appended before the names.  False if the array is empty of
 * text.
 */
static bool
append_field_errors(Line *line, const cJSON *errors, const char *message)
{
	const cJSON *item;
	size_t		start = line->len;
	bool		explained = false;

	if (!cJSON_IsArray(errors))
		return false;
	cJSON_ArrayForEach(item, errors)
	{
		const char *error = mf_json_text(item, "Error");

		if (error != NULL && *error != '\0')
			explained = true;
	}
	if (!explained && message != NULL && *message != '\0')
	{
		append_string(line, message);
		append_string(line, ": ");
		start = line->len;
	}
	cJSON_ArrayForEach(item, errors)
	{
		const char *name = mf_json_text(item, "Name");
		const char *error = mf_json_text(item, "Error");

		if (line->len > start && ((name != NULL && *name != '\0') || (error != NULL && *error != '\0')))
			append_string(line, ", ");
		if (name != NULL)
			append_string(line, name);
		if (error != NULL && *error != '\0')
		{
			if (name != NULL && *name != '\0')
				append_string(line, ": ");
			append_string(line, error);
		}
	}
	if (line->len > start)
		return true;
	line->len = 0;
	return false;
}

/*
 * Appends the error of an answer, looking for it in MyFatoorah's order (fact
 * sheet, section 4). Returns whether it comes from a list of errors or from
 * Data, which proves more than a message.
 */
static bool
append_error(Line *line, const cJSON *root)
{
	const char *message = mf_json_string(root, "Message");
	const char *text;

	if (cJSON_IsString(root))
	{
		append_string(line, root->valuestring);
		return false;
	}
	if (append_field_errors(line, mf_json_get(root, "ValidationErrors"), message) ||
		append_field_errors(line, mf_json_get(root, "FieldsErrors"), message))
		return true;
	text = mf_json_string(mf_json_get(root, "Data"), "ErrorMessage");
	if (text != NULL && *text != '\0')
	{
		append_string(line, text);
		return true;
	}
	text = message;
	if (text == NULL || *text == '\0')
		text = mf_json_string(root, "MessageDetail");
	if (text != NULL)
		append_string(line, text);
	return false;
}

static bool
has_value(const cJSON *node)
{
	if (cJSON_IsNull(node) || cJSON_IsFalse(node))
		return false;
	if (mf_json_is_number(node))
		return strpbrk(node->valuestring, "123456789") != NULL;
	return !cJSON_IsString(node) || node->valuestring[0] != '\0';
}

/* The recursion is bounded: the parser limits the depth. */
static const cJSON *
find_member(const cJSON *node, const char *name)
{
	const cJSON *child;

	if (!cJSON_IsObject(node) && !cJSON_IsArray(node))
		return NULL;
	cJSON_ArrayForEach(child, node)
	{
		const cJSON *member = child;

		if (child->string == NULL || mf_ascii_compare(child->string, name) != 0 || !has_value(child))
			member = find_member(child, name);
		if (member != NULL)
			return member;
	}
	return NULL;
}

const cJSON *
mf_envelope_find(const MfEnvelope *envelope, const char *name)
{
	const cJSON *member = mf_json_get(envelope->data, name);

	if (member == NULL || !has_value(member))
		member = find_member(envelope->data, name);
	return member != NULL ? member : find_member(envelope->root, name);
}

/* Whether an answer has a trace of something that its request has made */
static bool
names_made(const MfEndpoint *endpoint, const MfEnvelope *envelope, const char *body, size_t len)
{
	size_t		i;

	for (i = 0; i < MF_ENDPOINT_TRACES && endpoint->traces[i] != NULL; i++)
	{
		size_t		word = strlen(endpoint->traces[i]);
		size_t		at;

		if (envelope->root != NULL)
		{
			if (mf_envelope_find(envelope, endpoint->traces[i]) != NULL)
				return true;
			continue;
		}
		for (at = 0; at + word <= len; at++)
		{
			if (mf_word_length(body + at, endpoint->traces[i]) > 0)
				return true;
		}
	}
	return false;
}

/* Sets "is_success" and "data" by the shape of the answer. */
static void
read_shape(MfShape shape, MfEnvelope *envelope)
{
	const cJSON *root = envelope->root;
	const cJSON *success = mf_json_get(root, "IsSuccess");

	envelope->is_success = !cJSON_IsBool(success) ? -1 : cJSON_IsTrue(success) ? 1 : 0;
	envelope->data = mf_json_get(root, "Data");
	if (shape == MF_SHAPE_BOOLEAN && envelope->is_success == 1 && !cJSON_IsTrue(envelope->data))
		envelope->is_success = cJSON_IsFalse(envelope->data) ? 0 : -1;
	else if (shape == MF_SHAPE_BARE_ARRAY && cJSON_IsArray(root))
	{
		envelope->data = root;
		envelope->is_success = 1;
	}
}

static bool
is_blank(const char *text, size_t len)
{
	while (len > 0 && mf_is_space(text[len - 1]))
		len--;
	return len == 0;
}

bool
mf_envelope_read(const MfEndpoint *endpoint, const char *body, size_t len, const char *api_key, MfEnvelope *envelope)
{
	const char *problem = NULL;
	char		text[1001];
	Line		line;

	memset(envelope, 0, sizeof(*envelope));
	envelope->is_success = -1;
	envelope->root = mf_json_parse_limited(body, len, endpoint->large ? MF_JSON_LARGE_VALUES : MF_JSON_MAX_VALUES,
										   &problem, NULL);
	if (envelope->root == NULL && strcmp(problem, MF_JSON_OUT_OF_MEMORY) == 0)
		return false;
	read_shape(endpoint->shape, envelope);
	envelope->names_made = names_made(endpoint, envelope, body, len);
	if (envelope->is_success == 1)
		return true;

	line.len = 0;
	if (envelope->root != NULL)
		envelope->names_errors = append_error(&line, envelope->root);
	else
		append_raw(&line, body, len, problem);
	mf_http_hide_key(api_key, line.text, line.len);
	mf_text_excerpt(line.text, line.len, text, sizeof(text));
	if (is_blank(text, strlen(text)))
		strcpy(text, envelope->root != NULL ? "the answer gives no reason" :
			   is_blank(body, len) ? "the answer is empty" : "the answer is markup without text");
	envelope->error = strdup(text);
	if (envelope->error == NULL)
	{
		mf_envelope_free(envelope);
		return false;
	}
	return true;
}

void
mf_envelope_free(MfEnvelope *envelope)
{
	cJSON_Delete(envelope->root);
	free(envelope->error);
	memset(envelope, 0, sizeof(*envelope));
	envelope->is_success = -1;
}
