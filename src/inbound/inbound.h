/*
 * inbound.h
 *	  Verifies and stores webhooks and callbacks, and queues inquiries for them.
 *
 * Used by the SQL functions and by the listener.  No payment is changed here: an
 * event is a reason for an inquiry.  An invalid message is a result, not an error.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inbound/inbound.h
 */
#ifndef MF_INBOUND_H
#define MF_INBOUND_H

#include "database/sql.h"

typedef enum MfInboundKind
{
	MF_INBOUND_WEBHOOK,
	MF_INBOUND_CALLBACK,		/* the browser of a customer who comes back */
	MF_INBOUND_PAYMENT_ID		/* the PaymentId of a callback to another web site */
} MfInboundKind;

typedef enum MfInboundResult
{
	MF_INBOUND_STORED,			/* now, or the same message before */
	MF_INBOUND_MALFORMED,		/* invalid MyFatoorah message */
	MF_INBOUND_REFUSED,			/* no valid signature */
	MF_INBOUND_NOT_FOUND		/* no such account, or no such callback */
} MfInboundResult;

/* One message.  Strings are UTF-8 unless it says otherwise, and belong to the caller. */
typedef struct MfInbound
{
	MfInboundKind kind;
	const char *account;		/* of a webhook or PaymentId; in the server's encoding */
	const char *body;			/* of a webhook */
	size_t		body_len;
	const char *signature;		/* header MyFatoorah-Signature, or NULL */
	const char *version;		/* header MyFatoorah-Webhook-Version, or NULL */
	const char *token;			/* of a callback: "42-abcd...", the last part of its path */
	const char *payment_id;		/* of a callback (may be NULL) or PaymentId */
	TimestampTz turn;			/* of a PaymentId: no inquiry before; 0 = at once */

	/* the result; strings are palloc'd in the caller's context, in the server's encoding */
	MfInboundResult result;
	bool		repeated;		/* the same message was stored before */
	int64		event;			/* mf_event.id; 0 unless stored */
	int64		invoice;		/* mf_invoice.id; 0 = none known */
	const char *error;			/* one line; NULL if stored */

	/* of a stored callback: the URLs of the invoice, NULL = none */
	const char *call_back_url;
	const char *error_url;
	bool		arabic;			/* the invoice's language */
	const char *payment_status; /* of mf_invoice; NULL = not read */
	bool		settled;		/* looked up since the callback */
	bool		archived;		/* it is not looked up, unless a person brings it back */
} MfInbound;

/*
 * Verifies and stores messages in the caller's transaction, whose commit wakes the
 * worker.  Allocates in the current memory context without freeing.  Messages may be
 * answered only after the commit.
 */
extern void mf_inbound_store(Oid schema, MfInbound *messages, int count);

/* Updates the payment status, "settled" and URLs of stored callbacks, whose "invoice" is set. */
extern void mf_inbound_reread(const MfSqlScope *scope, MfInbound *messages, int count);

/* Whether a payment status means that the customer has paid, and is sent to the success page. */
extern bool mf_inbound_is_paid(const char *payment_status);

#endif							/* MF_INBOUND_H */
