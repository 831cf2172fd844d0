/*
 * webhook_log.h
 *	  GetWebhooks: MyFatoorah's log of webhook deliveries.
 *
 * The answer comes over TLS from MyFatoorah itself, so no signature is
 * checked.  For some items none could be, because an item has only the "Data"
 * of its message.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/api/webhook_log.h
 */
#ifndef MF_WEBHOOK_LOG_H
#define MF_WEBHOOK_LOG_H

#include "core/api/lists.h"

/* Members of a delivery: positions in the fields of mf_webhook_log; NULL if absent, empty or unreadable */
typedef enum MfWebhookLogField
{
	MF_WL_EVENT_CODE,			/* "1" to "7"; NULL = unknown */
	MF_WL_EVENT_NAME,			/* of either version */
	MF_WL_EVENT_ENTITY_ID,		/* for invoices the InvoiceId */
	MF_WL_WEBHOOK_REFERENCE,	/* "WH-24349" */
	MF_WL_DATA,					/* an object, redacted as in MfWebhook */
	MF_WL_COUNT
} MfWebhookLogField;

/*
 * "No data match the provided values" counts as an empty page: the request names nothing
 * that could fail to exist.  An item that is not an object, or items without readable page
 * numbers, make the whole answer unreadable: otherwise events would be lost unnoticed.
 */
extern const MfList mf_webhook_log;

/*
 * Builds the JSON body of a GetWebhooks request: deliveries of a status (NULL
 * = any) between two times, "2025-02-12T12:42:16Z" (NULL = no limit).
 * malloc'd; NULL when out of memory, if "page" is below 1, or if a text is
 * not UTF-8.
 */
extern char *mf_webhook_log_body(const char *start, const char *end, const char *status, int page, size_t *len);

#endif							/* MF_WEBHOOK_LOG_H */
