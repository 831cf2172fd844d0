/*
 * inbound.h
 *	  What comes in from outside: webhooks and callbacks, proven, stored, and
 *	  put on the agenda of look-ups.
 *
 * Nothing here changes a payment: an event is a reason to ask MyFatoorah.
 * Shared by the SQL functions and by the listener.  A failure that is the
 * sender's is a result, not an error; errors are the server's own troubles.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inbound/inbound.h
 */
#ifndef MF_INBOUND_H
#define MF_INBOUND_H

#include "datatype/timestamp.h"

typedef enum MfInboundKind
{
	MF_INBOUND_WEBHOOK,
	MF_INBOUND_CALLBACK,		/* the customer's browser came back */
	MF_INBOUND_PAYMENT_ID		/* somebody else's front end names a PaymentId */
} MfInboundKind;

typedef enum MfInboundResult
{
	MF_INBOUND_STORED,			/* new, or seen before: answer success */
	MF_INBOUND_MALFORMED,		/* no message of MyFatoorah's */
	MF_INBOUND_REFUSED,			/* unsigned, or signed by somebody else */
	MF_INBOUND_NOT_FOUND		/* no such account, or no such callback */
} MfInboundResult;

/* One message; text is in UTF-8 as it came, the caller's, not kept */
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
	TimestampTz turn;			/* of a PaymentId: not asked about before; 0 = at once */

	/* what became of it; strings are palloc'd in the caller's context */
	MfInboundResult result;
	bool		repeated;		/* the same had come before */
	int64		event;			/* mf_event.id; 0 unless stored */
	int64		invoice;		/* mf_invoice.id; 0 = none known */
	const char *error;			/* one line, unless stored */

	/* of a stored callback: where its customer goes, NULL = nowhere */
	const char *call_back_url;
	const char *error_url;
	bool		arabic;			/* the invoice's language */
	const char *payment_status; /* the row's, as far as known now */
	bool		settled;		/* it has been confirmed by a look-up since */
} MfInbound;

/*
 * Proves and stores messages in one statement, inside the caller's
 * transaction, and has the worker woken at its commit.  The caller's memory
 * context is short-lived.  Answer only after the commit.
 */
extern void mf_inbound_store(Oid schema, MfInbound *messages, int count);

/*
 * Reads again payment_status, settled of stored callbacks of which "invoice"
 * is set.
 */
extern void mf_inbound_reread(Oid schema, MfInbound *messages, int count);

/*
 * Whether a payment status means that the customer has paid: then the success
 * page is theirs.
 */
extern bool mf_inbound_is_paid(const char *payment_status);

#endif							/* MF_INBOUND_H */
