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

static const MfField request_fields[] = {
	{"Start", "start", MF_TEXT, false},
	{"End", "end", MF_TEXT, false},
	{"Page", "page", MF_INTEGER, false},
	{"Status", "status", MF_TEXT, false},
};

static const MfField item_fields[MF_WL_COUNT] = {
	[MF_WL_EVENT_CODE] = {"EventCode", "event_code", MF_INTEGER, false},
	[MF_WL_EVENT_NAME] = {"EventName", "event_name", MF_TEXT, false},
	[MF_WL_EVENT_ENTITY_ID] = {"EventEntityId", "event_entity_id", MF_TEXT, false},
	[MF_WL_WEBHOOK_REFERENCE] = {"WebhookReference", "webhook_reference", MF_TEXT, false},
	[MF_WL_DATA] = {"Data", "data", MF_JSON, false},
};

static void redact_item(cJSON *item);
static bool check_item(char **values, const char **bad);

const MfList mf_webhook_log = {MF_GET_WEBHOOKS, "Items", item_fields, MF_WL_COUNT, true, redact_item, check_item};

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

/* Only an object is kept of the message. */
static void
redact_item(cJSON *item)
{
	cJSON	   *data = cJSON_GetObjectItemCaseSensitive(item, "Data");

	if (cJSON_IsObject(data))
		mf_redact(data);
	else
		cJSON_DeleteItemFromObjectCaseSensitive(item, "Data");
}

static bool
check_item(char **values, const char **bad)
{
	const char *code = values[MF_WL_EVENT_CODE];

	(void) bad;
	if (code != NULL && (code[0] < '1' || code[0] > '7' || code[1] != '\0'))
		mf_values_free(&values[MF_WL_EVENT_CODE], 1);
	mf_values_drop_empty(values, MF_WL_COUNT);
	return true;
}
