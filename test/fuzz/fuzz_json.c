/*
 * fuzz_json.c
 *	  Parsing of JSON: exactly what the grammar allows, and printed back
 *	  unchanged.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/fuzz/fuzz_json.c
 */
#include "fuzz.h"

#include "core/text/json.h"

static const char *const limits[] = {
	"nested too deeply", "duplicate member name", "too many members in an object", "too many values",
};

/* Every member is found by its name, every text as its kind. */
static void
check_tree(const cJSON *node)
{
	const cJSON *child;

	if (cJSON_IsString(node))
		CHECK(judge_utf8(node->valuestring, strlen(node->valuestring)));
	else if (mf_json_is_number(node))
		CHECK(judge_json_number(node->valuestring));
	cJSON_ArrayForEach(child, node)
	{
		if (cJSON_IsObject(node))
		{
			CHECK(judge_utf8(child->string, strlen(child->string)));
			CHECK(mf_json_get(node, child->string) == child);
			CHECK((mf_json_string(node, child->string) != NULL) == (cJSON_IsString(child) != 0));
			CHECK((mf_json_number(node, child->string) != NULL) == mf_json_is_number(child));
		}
		check_tree(child);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Input		input = {data, size};
	size_t		len;
	char	   *text = take_rest(&input, &len);
	bool		valid = judge_json(text, len);
	const char *error = "nothing";
	size_t		offset = SIZE_MAX;
	cJSON	   *root = mf_json_parse(text, len, &error, &offset);

	CHECK((root == NULL) == (error != NULL));
	CHECK(offset <= len);
	if (root == NULL)
	{
		size_t		i;

		for (i = 0; i < sizeof(limits) / sizeof(limits[0]) && strcmp(error, limits[i]) != 0; i++)
			;
		CHECK(!valid || i < sizeof(limits) / sizeof(limits[0]));
	}
	else
	{
		char	   *printed = mf_json_print(root);
		char	   *again;
		cJSON	   *copy;

		CHECK(valid);
		CHECK(offset == len);
		check_tree(root);
		CHECK(printed != NULL);
		CHECK(judge_json(printed, strlen(printed)));
		copy = mf_json_parse(printed, strlen(printed), &error, &offset);
		CHECK(copy != NULL);
		CHECK(same_tree(root, copy));
		again = mf_json_print(copy);
		CHECK(again != NULL && strcmp(printed, again) == 0);
		free(again);
		free(printed);
		cJSON_Delete(copy);
	}
	cJSON_Delete(root);
	free(text);
	return 0;
}
