/*
 * webhook.h
 *	  MyFatoorah's webhooks: parses one and checks its signature.
 *
 * The signature covers members of "Data", not the raw body: in V1 every member
 * in case-insensitive order, in V2 a fixed list per event.  What is not signed (amounts and times in V2, the number and
 * reference of the event) may be forged.  So a webhook is only a reason to ask
 * GetPaymentStatus.  All text is UTF-8.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/api/webhook.h
 */
#ifndef MF_WEBHOOK_H
#define MF_WEBHOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MF_WEBHOOK_MAX_BODY (256 * 1024)	/* bytes; our limit */
#define MF_WEBHOOK_DIGEST_SIZE 32

/* MyFatoorah's event numbers, the same in both versions */
typedef enum MfWebhookEvent
{
	MF_EVENT_PAYMENT_STATUS = 1,
	MF_EVENT_REFUND_STATUS,
	MF_EVENT_BALANCE_TRANSFERRED,
	MF_EVENT_SUPPLIER_STATUS,
	MF_EVENT_RECURRING,
	MF_EVENT_DISPUTE_STATUS,
	MF_EVENT_SUPPLIER_UPDATE
} MfWebhookEvent;

typedef enum MfWebhookVerdict
{
	MF_WEBHOOK_VALID,
	MF_WEBHOOK_MALFORMED,		/* not a valid message, signed or not; nothing
								 * of it can be trusted */
	MF_WEBHOOK_UNSIGNED,		/* it has no signature, or no secret is known */
	MF_WEBHOOK_FORGED,			/* its signature fits no secret */
	MF_WEBHOOK_OUT_OF_MEMORY	/* or libcrypto failed; it may be read again */
} MfWebhookVerdict;

typedef struct MfWebhook
{
	int			version;		/* 1 or 2 */
	MfWebhookEvent event_code;
	const char *event_name;		/* MyFatoorah's, static */
	char	   *event_reference;	/* V2 "WH-24349", not signed; may be NULL,
									 * and is in V1 */
	char	   *signed_text;	/* "Invoice.Id=6409988,..."; in V1 it contains
								 * the customer's name, number and address */

	/*
	 * SHA-256 of "v2 1 " (version and event number) and the signed text:
	 * equal for a repeated delivery
	 */
	uint8_t		digest[MF_WEBHOOK_DIGEST_SIZE];

	/* Signed members; NULL where the event has none or an empty one */
	char	   *invoice_id;		/* positive, at most 18 digits; always there
								 * for events 1, 2, 5 and 6. In V2 a refund
								 * names the refunded invoice, and a recurring
								 * payment the initial one */
	char	   *payment_id;		/* events 1 and 6, V1 also 5 */
	char	   *customer_reference; /* V1 CustomerReference, V2
									 * Invoice.ExternalIdentifier */
	char	   *event_status;	/* of what the event is about: transaction,
								 * refund, recurring payment, dispute,
								 * supplier or request */

	char	   *data;			/* "Data" as JSON by mf_redact(): without
								 * personal, card and bank data; numbers that
								 * jsonb would not take are strings.  Mostly
								 * not signed */
	char	   *error;			/* one line, for every verdict but
								 * MF_WEBHOOK_VALID */
} MfWebhook;

/*
 * Parses a webhook and checks its signature against each of "secrets" (NULL
 * and empty ones are skipped) in constant time.  "signature" is the header
 * MyFatoorah-Signature, "version" the header MyFatoorah-Webhook-Version
 * ("v1", "v2", any case); NULL or empty if absent.  Without a version the
 * shape of the body decides; a version that contradicts the shape is refused.
 * White space around either is ignored.
 *
 * MF_WEBHOOK_MALFORMED is returned for anything that is not a webhook, and
 * for a body whose signed text would be ambiguous or could be that of another
 * message: duplicate members and those that differ only in case, signed
 * members that are not text, number or null, an unknown event, an event name
 * that does not match the number, and a missing member that says what the
 * event is about (so something is always signed).
 *
 * Reads at most MF_WEBHOOK_MAX_BODY bytes.  The number and name of the event
 * are not signed.  In V2 each number has its own list of signed members; in
 * V1 a signed member must be of the same kind.
 *
 * With any verdict but MF_WEBHOOK_VALID only "error" is set; it may be NULL
 * when out of memory.  All strings but event_name are malloc'd; free with
 * mf_webhook_free().
 */
extern MfWebhookVerdict mf_webhook_read(const char *body, size_t len, const char *signature,
										const char *version, const char *const *secrets, int secret_count,
										MfWebhook *webhook);
extern void mf_webhook_free(MfWebhook *webhook);

#endif							/* MF_WEBHOOK_H */
