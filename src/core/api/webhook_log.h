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

#include "core/api/outcome.h"

/* One delivery.  A string is NULL if it is null, absent or unreadable. */
typedef struct MfWebhookLogItem
{
	int			event_code;		/* 1 to 7, 0 = unknown */
	char	   *event_name;		/* of either version */
	char	   *event_entity_id;	/* for invoices the InvoiceId */
	char	   *webhook_reference;	/* "WH-24349" */
	char	   *status;			/* "Failed", ... */
	char	   *data;			/* an object, redacted as in MfWebhook */
} MfWebhookLogItem;

typedef struct MfWebhookLogResult
{
	MfLookup	lookup; 		/* MF_LOOKUP_FOUND, even for an empty page;
								 * never MF_LOOKUP_NOT_FOUND */
	bool		not_sent;
	MfWebhookLogItem *items;	/* NULL if there are none */
	int			count;
	int			page;			/* of the answer, from 1; 0 if there is none,
								 * and then no items */
	int			pages;			/* 0 if nothing was found */
	char	   *error;			/* one line, NULL only if found */
	int			retry_after;	/* seconds, 0 if the answer names none */
} MfWebhookLogResult;

/*
 * Builds the JSON body of a GetWebhooks request: deliveries of a status (NULL
 * = any) between two times, "2025-02-12T12:42:16Z" (NULL = no limit).
 * malloc'd; NULL when out of memory, if "page" is below 1, or if a text is
 * not UTF-8.
 */
extern char *mf_webhook_log_body(const char *start, const char *end, const char *status, int page, size_t *len);

/*
 * Parses the answer as mf_status_result_read() does; free with
 * mf_webhook_log_result_free(). "No data match the provided values" counts as
 * an empty page: the request names nothing that could fail to exist.  An item
 * that is not an object, or items without readable page numbers, make the
 * whole answer unreadable (MF_LOOKUP_FAILED): otherwise events would be lost
 * unnoticed.
 */
extern void mf_webhook_log_result_read(const MfHttpExchange *exchange, MfWebhookLogResult *result);
extern void mf_webhook_log_result_free(MfWebhookLogResult *result);

#endif							/* MF_WEBHOOK_LOG_H */
