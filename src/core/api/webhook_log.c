/*
 * webhook_log.c
 *	  GetWebhooks: MyFatoorah's log of webhook deliveries.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/api/webhook_log.c
 */
#include "core/api/webhook_log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/api/redact.h"
#include "core/text/json.h"

/* Pages are counted in an int. */
#define MAX_PAGE_DIGITS 9

typedef enum ItemField
{
	ITEM_EVENT_CODE,
	ITEM_EVENT_NAME,
	ITEM_EVENT_ENTITY_ID,
	ITEM_WEBHOOK_REFERENCE,
	ITEM_STATUS,
	ITEM_DATA,
	ITEM_COUNT
} ItemField;

static const MfField request_fields[] = {
	{"Start", "start", MF_TEXT, false},
	{"End", "end", MF_TEXT, false},
	{"Page", "page", MF_INTEGER, false},
	{"Status", "status", MF_TEXT, false},
};

static const MfField item_fields[ITEM_COUNT] = {
	[ITEM_EVENT_CODE] = {"EventCode", "event_code", MF_INTEGER, false},
	[ITEM_EVENT_NAME] = {"EventName", "event_name", MF_TEXT, false},
	[ITEM_EVENT_ENTITY_ID] = {"EventEntityId", "event_entity_id", MF_TEXT, false},
	[ITEM_WEBHOOK_REFERENCE] = {"WebhookReference", "webhook_reference", MF_TEXT, false},
	[ITEM_STATUS] = {"Status", "status", MF_TEXT, false},
	[ITEM_DATA] = {"Data", "data", MF_JSON, false},
};

char *
mf_webhook_log_body(const char *start, const char *end, const char *status, int page, size_t *len)
{
	char		number[16];
	const char *values[] = {start, end, number, status};

	*len = 0;
	if (page < 1)
		return NULL;
	snprintf(number, sizeof(number), "%d", page);
	return mf_fields_body(request_fields, 4, values, len);
}

static void
free_items(MfWebhookLogResult *result)
{
	int			i;

	for (i = 0; i < result->count; i++)
	{
		free(result->items[i].event_name);
		free(result->items[i].event_entity_id);
		free(result->items[i].webhook_reference);
		free(result->items[i].status);
		free(result->items[i].data);
	}
	free(result->items);
	result->items = NULL;
	result->count = 0;
	result->page = 0;
	result->pages = 0;
}

/* On failure nothing stays allocated; *bad as of mf_fields_read(). */
static bool
read_item(cJSON *node, MfWebhookLogItem *item, const char **bad)
{
	cJSON	   *data = cJSON_GetObjectItemCaseSensitive(node, "Data");
	char	   *values[ITEM_COUNT];
	const char *code;

	*bad = "Items";
	if (!cJSON_IsObject(node))
		return false;
	if (!cJSON_IsObject(data))
		cJSON_DeleteItemFromObjectCaseSensitive(node, "Data");
	else
		mf_redact(data);
	if (!mf_fields_read(node, item_fields, ITEM_COUNT, values, bad))
		return false;
	code = values[ITEM_EVENT_CODE];
	item->event_code = (code != NULL && code[1] == '\0' && code[0] >= '1' && code[0] <= '7') ? code[0] - '0' : 0;
	item->event_name = mf_value_take(values, ITEM_EVENT_NAME);
	item->event_entity_id = mf_value_take(values, ITEM_EVENT_ENTITY_ID);
	item->webhook_reference = mf_value_take(values, ITEM_WEBHOOK_REFERENCE);
	item->status = mf_value_take(values, ITEM_STATUS);
	item->data = mf_value_take(values, ITEM_DATA);
	mf_values_free(values, ITEM_COUNT);
	return true;
}

/* The number of a page, or how many there are */
static bool
read_page(const cJSON *pagination, const char *name, int *page)
{
	const char *text = mf_json_text(pagination, name);
	size_t		len;

	if (text == NULL)
		return false;
	len = strspn(text, "0123456789");
	if (len == 0 || len > MAX_PAGE_DIGITS || text[len] != '\0')
		return false;
	*page = atoi(text);
	return true;
}

/* On failure free_items() frees what was read. */
static bool
read_items(const cJSON *data, MfWebhookLogResult *result, const char **bad)
{
	const cJSON *pagination = mf_json_get(data, "Pagination");
	const cJSON *list = mf_json_get(data, "Items");
	cJSON	   *node;
	bool		paged;

	*bad = "Items";
	if (!cJSON_IsArray(list) && !cJSON_IsNull(list))
		return false;
	paged = read_page(pagination, "PageNumber", &result->page) &&
		read_page(pagination, "PagesCount", &result->pages);
	if (!paged)
		result->page = result->pages = 0;
	if (list->child == NULL)
		return true;
	*bad = "Pagination";
	if (!paged || result->page < 1 || result->pages < 1)
		return false;

	*bad = NULL;
	result->items = calloc((size_t) cJSON_GetArraySize(list), sizeof(MfWebhookLogItem));
	if (result->items == NULL)
		return false;
	cJSON_ArrayForEach(node, list)
	{
		if (!read_item(node, &result->items[result->count], bad))
			return false;
		result->count++;
	}
	return true;
}

void
mf_webhook_log_result_read(const MfHttpExchange *exchange, MfWebhookLogResult *result)
{
	MfEnvelope	envelope;
	const char *bad;

	memset(result, 0, sizeof(*result));
	result->lookup = mf_lookup_read(&mf_endpoints[MF_GET_WEBHOOKS], exchange, &envelope,
									&result->not_sent, &result->error, &result->retry_after);
	if (result->lookup == MF_LOOKUP_NOT_FOUND)
	{
		result->lookup = MF_LOOKUP_FOUND;
		free(result->error);
		result->error = NULL;
	}
	else if (result->lookup == MF_LOOKUP_FOUND && !read_items(envelope.data, result, &bad))
	{
		free_items(result);
		result->lookup = mf_lookup_unreadable(exchange, bad, &result->error);
	}
	mf_envelope_free(&envelope);
}

void
mf_webhook_log_result_free(MfWebhookLogResult *result)
{
	free_items(result);
	free(result->error);
	memset(result, 0, sizeof(*result));
	result->lookup = MF_LOOKUP_FAILED;
}
