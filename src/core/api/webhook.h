/*
 * webhook.h
 *	  MyFatoorah's webhooks: reading one, and proving who sent it.
 *
 * The signature covers chosen members of "Data", not the raw body (fact sheet,
 * section 10): V1 every member in case-insensitive order, V2 a fixed list per
 * event.  What is not signed - amounts and times in V2, the event's number and
 * reference - can be anything, so a webhook is never more than a reason to ask
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

#define MF_WEBHOOK_MAX_BODY (256 * 1024)	/* bytes; ours */
#define MF_WEBHOOK_MAX_SIGNATURE 256	/* for who must bound the header; a
										 * signature has 44 characters */
#define MF_WEBHOOK_DIGEST_SIZE 32

/* The vendor's numbers of events, the same in both versions */
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
	MF_WEBHOOK_MALFORMED,		/* no message of MyFatoorah's, signed or not;
								 * nothing of it is to be believed */
	MF_WEBHOOK_UNSIGNED,		/* it carries no signature, or we have no
								 * secret */
	MF_WEBHOOK_FORGED,			/* its signature fits no secret */
	MF_WEBHOOK_OUT_OF_MEMORY	/* or libcrypto failed: nothing is known, it
								 * may be read again */
} MfWebhookVerdict;

typedef struct MfWebhook
{
	int			version;		/* 1 or 2 */
	MfWebhookEvent event_code;
	const char *event_name;		/* the vendor's, static */
	char	   *event_reference;	/* V2 "WH-24349", not signed; may be NULL,
									 * and is in V1 */
	char	   *signed_text;	/* "Invoice.Id=6409988,..."; in V1 it holds the
								 * customer's name, number and address */

	/*
	 * SHA-256 of "v2 1 " (version and code) and the signed text: the same for
	 * a repetition
	 */
	uint8_t		digest[MF_WEBHOOK_DIGEST_SIZE];

	/*
	 * Signed members that say what it is about; NULL where the event has none,
	 * or an empty one
	 */
	char	   *invoice_id;		/* positive, at most 18 digits; always there
								 * for events 1, 2, 5 and 6.  Of a refund the
								 * invoice refunded (V2), of a recurring
								 * payment the initial one (V2) */
	char	   *payment_id;		/* events 1 and 6, V1 also 5 */
	char	   *customer_reference; /* V1 CustomerReference, V2
									 * Invoice.ExternalIdentifier */
	char	   *event_status;	/* of what the event tells: transaction,
								 * refund, recurring, dispute, supplier,
								 * request */

	char	   *data;			/* "Data" as JSON by mf_redact(): without
								 * personal data, card and bank data; numbers
								 * that jsonb would not take are strings.
								 * Mostly not signed */
	char	   *error;			/* one line, for every verdict but VALID */
} MfWebhook;

/*
 * Reads a webhook and checks its signature against each of "secrets" (those
 * that are NULL or empty are passed over) in constant time.  "signature" is
 * the header MyFatoorah-Signature, "version" the header
 * MyFatoorah-Webhook-Version ("v1", "v2", any case); NULL or empty if it was
 * absent: without a version the shape of the body tells it, and a version
 * that contradicts the shape is refused.  White space around either is fine.
 *
 * Beyond what is no webhook at all, refused as malformed is every body whose
 * signed text would have to be guessed at, or could be that of another
 * message: duplicate members and such as differ only in case, signed members
 * that are neither text, number nor null, an unknown event, a name that does
 * not go with the event's number, and one without the member that says what it
 * is about (so that it cannot be that nothing at all is signed).
 *
 * A body of at most MF_WEBHOOK_MAX_BODY bytes is read.  The number and name of
 * the event are unsigned: in V2 a list of signed members goes with each number,
 * and in V1 a signed member must tell the same kind.
 *
 * With any verdict but MF_WEBHOOK_VALID only "error" is set (it may be NULL
 * when out of memory).  All strings but event_name are malloc'd; free with
 * mf_webhook_free().
 */
extern MfWebhookVerdict mf_webhook_read(const char *body, size_t len, const char *signature,
										const char *version, const char *const *secrets, int secret_count,
										MfWebhook *webhook);
extern void mf_webhook_free(MfWebhook *webhook);

#endif							/* MF_WEBHOOK_H */
