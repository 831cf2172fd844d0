/*
 * webhook_log.h
 *	  GetWebhooks, the vendor's log of deliveries, and GetRefundStatus.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/webhook_log.h
 */
#ifndef MF_WEBHOOK_LOG_H
#define MF_WEBHOOK_LOG_H

#include "outcome.h"

#define MF_PATH_GET_WEBHOOKS "/v2/GetWebhooks"
#define MF_PATH_GET_REFUND_STATUS "/v2/GetRefundStatus"

#define MF_WEBHOOK_LOG_PAGE 500 /* items per page, fixed by the vendor */

/* One delivery of the log */
typedef struct MfWebhookLogItem
{
	int			event_code;		/* 1 to 7, 0 = unknown */
	char	   *event_name;
	char	   *event_entity_id;	/* for invoices the InvoiceId; may be NULL */
	char	   *webhook_reference;	/* "WH-24349"; may be NULL */
	char	   *status;			/* "Failed", ... */
	char	   *data;			/* redacted as in MfWebhook; may be NULL */
} MfWebhookLogItem;

typedef struct MfWebhookLogResult
{
	MfLookup	lookup;			/* MF_FOUND, also for an empty page */
	bool		not_sent;
	MfWebhookLogItem *items;
	int			count;
	int			page;			/* of the answer, from 1 */
	int			pages;			/* 0 if nothing was found at all */
	char	   *error;			/* one line, NULL only if found */
	int			retry_after;	/* seconds, -1 if the remote named none */
} MfWebhookLogResult;

/*
 * The JSON body of a GetWebhooks request: deliveries of a status (NULL = any)
 * between two times, "2025-02-12T12:42:16Z".  malloc'd, NULL when out of
 * memory.
 */
extern char *mf_webhook_log_body(const char *start, const char *end, const char *status, int page, size_t *len);

/* Reads the answer, as mf_status_result_read() does; free with the other. */
extern void mf_webhook_log_result_read(const MfHttpExchange *exchange, int64_t now, MfWebhookLogResult *result);
extern void mf_webhook_log_result_free(MfWebhookLogResult *result);

/* One refund of an invoice */
typedef struct MfRefund
{
	char	   *refund_id;		/* decimal digits */
	char	   *refund_status;	/* "Refunded", "Pending", "Canceled" */
	char	   *refund_reference;	/* may be NULL */
	char	   *external_identifier;	/* may be NULL */
	char	   *refund_amount;	/* RefundAmount, else Amount: plain decimal */
	char	   *base_currency;	/* ISO code; may be NULL */
	char	   *rrn;			/* may be NULL */
} MfRefund;

typedef struct MfRefundResult
{
	MfLookup	lookup;			/* MF_FOUND, also if there is no refund */
	bool		not_sent;
	MfRefund   *refunds;
	int			count;
	char	   *error;
	int			retry_after;
} MfRefundResult;

/* key_type: InvoiceId, RefundReference or RefundId */
extern char *mf_refund_status_body(const char *key, const char *key_type, size_t *len);
extern void mf_refund_result_read(const MfHttpExchange *exchange, int64_t now, MfRefundResult *result);
extern void mf_refund_result_free(MfRefundResult *result);

#endif							/* MF_WEBHOOK_LOG_H */
