/*
 * fuzz_body.c
 *	  Building of requests from any values: valid JSON that says what the
 *	  values say, or nothing.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/fuzz/fuzz_body.c
 */
#include "fuzz.h"

#include "core/api/api.h"
#include "core/text/json.h"
#include "core/text/text.h"

/* Texts with neither a limit nor a double name in sight are read. */
static bool
is_readable(const char *value)
{
	cJSON	   *node = mf_json_parse(value, strlen(value), NULL, NULL);
	bool		readable = (node != NULL);

	cJSON_Delete(node);
	return readable;
}

/* White space around a number is left out. */
static bool
is_number(const char *value)
{
	cJSON	   *node = mf_json_parse(value, strlen(value), NULL, NULL);
	bool		number = mf_json_is_number(node);

	cJSON_Delete(node);
	return number;
}

/* Whether a value may stand in that field */
static bool
may_stand(const MfField *field, const char *value)
{
	char		time[64];

	switch (field->kind)
	{
		case MF_TEXT:
		case MF_CURRENCY:
		case MF_LINK:
			return judge_utf8(value, strlen(value));
		case MF_DECIMAL:
			return is_number(value);
		case MF_INTEGER:
			return judge_integer(value) && judge_json_number(value);
		case MF_JSON:
			return is_readable(value);
		case MF_LOCAL_TIME:
			return mf_timestamp_plain(value, time, sizeof(time)) && strchr(time, 'Z') == NULL;
		case MF_BOOLEAN:
			return strcmp(value, "true") == 0 || strcmp(value, "false") == 0;
	}
	return false;
}

static void
check_member(const MfField *field, const char *value, const cJSON *node)
{
	cJSON	   *given;

	CHECK(node != NULL);
	switch (field->kind)
	{
		case MF_TEXT:
		case MF_CURRENCY:
		case MF_LINK:
			CHECK(cJSON_IsString(node) && strcmp(node->valuestring, value) == 0);
			break;
		case MF_DECIMAL:
		case MF_INTEGER:
			CHECK(mf_json_is_number(node) && strstr(value, node->valuestring) != NULL);
			CHECK(strlen(node->valuestring) == strcspn(strstr(value, node->valuestring), " \t\r\n"));
			break;
		case MF_JSON:
			given = mf_json_parse(value, strlen(value), NULL, NULL);
			CHECK(given != NULL);
			given->string = strdup(node->string);
			CHECK(same_tree(given, node));
			cJSON_Delete(given);
			break;
		case MF_LOCAL_TIME:
			CHECK(cJSON_IsString(node) && strlen(node->valuestring) == 19);
			CHECK(memcmp(node->valuestring, value, 10) == 0 && memcmp(node->valuestring + 11, value + 11, 8) == 0);
			break;
		case MF_BOOLEAN:
			CHECK(cJSON_IsBool(node) && cJSON_IsTrue(node) == (strcmp(value, "true") == 0));
			break;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Input		input = {data, size};
	char	   *values[MF_SP_COUNT] = {NULL};
	bool		right = true;
	size_t		len = SIZE_MAX;
	char	   *body;
	cJSON	   *root;
	int			members = 0;
	int			i;

	/* each value behind a byte that says which */
	while (input.size > 0)
	{
		size_t		which = take_below(&input, MF_SP_COUNT);

		free(values[which]);
		values[which] = take_string(&input);
	}
	for (i = 0; i < MF_SP_COUNT; i++)
	{
		if (values[i] != NULL)
		{
			members++;
			right = right && may_stand(&mf_send_payment_fields[i], values[i]);
		}
	}

	body = mf_fields_body(mf_send_payment_fields, MF_SP_COUNT, (const char *const *) values, &len);
	CHECK((body != NULL) == right);
	CHECK(len == (body != NULL ? strlen(body) : 0));
	if (body != NULL)
	{
		CHECK(judge_json(body, len));

		/* JSON in JSON lies one level deeper than it did */
		root = mf_json_parse(body, len, NULL, NULL);
		if (root != NULL)
		{
			const cJSON *model = mf_json_get(root, "RecurringModel");

			CHECK(cJSON_GetArraySize(root) + (model != NULL ? cJSON_GetArraySize(model) - 1 : 0) == members);
			for (i = 0; i < MF_SP_COUNT; i++)
			{
				if (values[i] != NULL)
					check_member(&mf_send_payment_fields[i], values[i],
								 i >= MF_SP_RECURRING_TYPE ? mf_json_get(model, strchr(mf_send_payment_fields[i].name, '.') + 1) :
								 mf_json_get(root, mf_send_payment_fields[i].name));
			}
			cJSON_Delete(root);
		}
		free(body);
	}

	if (values[0] != NULL && values[8] != NULL)
	{
		body = mf_key_body(values[0], values[8], &len);
		CHECK((body != NULL) == (judge_utf8(values[0], strlen(values[0])) && judge_utf8(values[8], strlen(values[8]))));
		if (body != NULL)
		{
			root = mf_json_parse(body, len, NULL, NULL);
			CHECK(root != NULL && cJSON_GetArraySize(root) == 2);
			CHECK(strcmp(mf_json_string(root, "Key"), values[0]) == 0);
			CHECK(strcmp(mf_json_string(root, "KeyType"), values[8]) == 0);
			cJSON_Delete(root);
			free(body);
		}
	}
	for (i = 0; i < MF_SP_COUNT; i++)
		free(values[i]);
	return 0;
}
