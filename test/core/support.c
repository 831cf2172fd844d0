/*
 * support.c
 *	  Reads fixtures, compares JSON, and makes answers.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/core/support.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text/json.h"

char *
fixture(const char *name)
{
	char	   *path = text("%s/%s", MF_FIXTURES, name);
	FILE	   *file = fopen(path, "rb");
	char	   *content;
	size_t		len;

	if (file == NULL)
		fail_msg("cannot open %s", path);
	content = malloc(65536);
	assert_non_null(content);
	len = fread(content, 1, 65535, file);
	content[len] = '\0';
	fclose(file);
	free(path);
	return content;
}

MfHttpExchange
answered(long status, const char *body)
{
	MfHttpExchange exchange = {0};

	exchange.gate_reached = exchange.gate_passed = true;
	exchange.body_len = exchange.body_sent = 100;
	exchange.http_status = status;
	exchange.response = strdup(body);
	exchange.response_len = strlen(body);
	strcpy(exchange.host, "api.example");
	return exchange;
}

MfListResult
read_list(const MfList *list, long status, const char *body)
{
	MfHttpExchange exchange = answered(status, body);
	MfListResult result;

	memset(&result, 0xA5, sizeof(result));
	mf_list_result_read(list, &exchange, &result);
	free(exchange.response);
	return result;
}

/* cJSON_SortObject() would do, but is in another library */
static void
sort_members(cJSON *node)
{
	cJSON	   *sorted = NULL;
	cJSON	   *child;

	cJSON_ArrayForEach(child, node)
		sort_members(child);
	if (!cJSON_IsObject(node))
		return;
	sorted = cJSON_CreateObject();
	while (node->child != NULL)
	{
		cJSON	   *least = node->child;
		char	   *name;

		cJSON_ArrayForEach(child, node)
		{
			if (strcmp(child->string, least->string) < 0)
				least = child;
		}
		name = strdup(least->string);
		cJSON_AddItemToObject(sorted, name, cJSON_DetachItemViaPointer(node, least));
		free(name);
	}
	node->child = sorted->child;
	sorted->child = NULL;
	cJSON_Delete(sorted);
}

char *
canonical(const char *json)
{
	const char *error;
	size_t		offset;
	cJSON	   *root = mf_json_parse(json, strlen(json), &error, &offset);
	char	   *printed;

	if (root == NULL)
		fail_msg("not JSON: %s at %zu in %s", error, offset, json);
	sort_members(root);
	printed = mf_json_print(root);
	cJSON_Delete(root);
	assert_non_null(printed);
	return printed;
}

char *
text(const char *format,...)
{
	char	   *result;
	va_list		args;

	va_start(args, format);
	if (vasprintf(&result, format, args) < 0)
		abort();
	va_end(args);
	return result;
}

void
check_text(const char *actual, const char *expected)
{
	if (expected == NULL)
		assert_null(actual);
	else
	{
		assert_non_null(actual);
		assert_string_equal(actual, expected);
	}
}
