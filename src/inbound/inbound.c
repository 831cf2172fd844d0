/*
 * inbound.c
 *	  What comes in from outside: webhooks and callbacks, proven, stored, and
 *	  put on the agenda of look-ups.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inbound/inbound.c
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "account/account.h"
#include "account/webhook_secret.h"
#include "base/compat.h"
#include "base/encoding.h"
#include "base/settings.h"
#include "core/text/text.h"
#include "database/digest.h"
#include "inbound/inbound.h"
#include "process/wakeup.h"
#include "request/public_url.h"
#include "store/events.h"
#include "store/payment.h"

/* PaymentIds have 18 to 22 digits; whatever they become, not more than this */
#define PAYMENT_ID_MAX 64

/* Between two log lines about webhooks that match nothing */
#define UNMATCHED_LOG_MS 60000

static bool take_webhook(MfInbound *message, MfEvent *event);
static bool take_payment_id(MfInbound *message, MfEvent *event);
static bool take_callback(MfInbound *message, List *rows, MfEvent *event);
static int64 token_invoice(const char *token);
static MfCallbackRow *find_row(List *rows, int64 invoice);
static void set_callback(MfInbound *message, const MfCallbackRow *row);
static bool refuse(MfInbound *message, MfInboundResult result, const char *error);
static void tell_unmatched(const MfEvent *event);
static bool payment_id_valid(const char *payment_id);

void
mf_inbound_store(Oid schema, MfInbound *messages, int count)
{
	MfEvent    *events = (MfEvent *) palloc0(Max(count, 1) * sizeof(MfEvent));
	MfInbound **owners = (MfInbound **) palloc(Max(count, 1) * sizeof(MfInbound *));
	int64	   *invoices = (int64 *) palloc(Max(count, 1) * sizeof(int64));
	MemoryContext context = CurrentMemoryContext;
	MfSqlScope	scope;
	List	   *rows = NIL;
	int			invoice_count = 0;
	int			event_count = 0;
	int			i;

	mf_sql_begin(&scope, schema);
	MemoryContextSwitchTo(context);
	for (i = 0; i < count; i++)
	{
		if (messages[i].kind == MF_INBOUND_CALLBACK && token_invoice(messages[i].token) != 0)
			invoices[invoice_count++] = token_invoice(messages[i].token);
	}
	if (invoice_count > 0)
		rows = mf_payment_callback_rows(&scope, invoices, invoice_count);

	for (i = 0; i < count; i++)
	{
		MfInbound  *message = &messages[i];
		MfEvent    *event = &events[event_count];
		bool		taken = false;

		memset(event, 0, sizeof(*event));
		message->event = message->invoice = 0;
		message->repeated = message->settled = false;
		message->error = NULL;
		switch (message->kind)
		{
			case MF_INBOUND_WEBHOOK:
				taken = take_webhook(message, event);
				break;
			case MF_INBOUND_CALLBACK:
				taken = take_callback(message, rows, event);
				break;
			case MF_INBOUND_PAYMENT_ID:
				taken = take_payment_id(message, event);
				break;
		}
		if (taken)
			owners[event_count++] = message;
	}

	if (event_count > 0)
	{
		mf_events_store(&scope, events, event_count);
		mf_wake_inquiries_at_commit();
	}
	for (i = 0; i < event_count; i++)
	{
		MfInbound  *message = owners[i];

		message->result = MF_INBOUND_STORED;
		message->event = events[i].id;
		message->invoice = events[i].invoice;
		message->repeated = events[i].repeated;
		if (message->kind == MF_INBOUND_WEBHOOK && message->invoice == 0 && !message->repeated &&
			events[i].invoice_id != NULL)
			tell_unmatched(&events[i]);
	}

	/* what was asked for just now is not settled any more */
	if (invoice_count > 0 && event_count > 0)
		rows = mf_payment_callback_rows(&scope, invoices, invoice_count);
	for (i = 0; i < event_count; i++)
	{
		MfCallbackRow *row = owners[i]->kind == MF_INBOUND_CALLBACK ? find_row(rows, owners[i]->invoice) : NULL;

		if (row != NULL)
			set_callback(owners[i], row);
	}
	mf_sql_end(&scope);
}

void
mf_inbound_reread(Oid schema, MfInbound *messages, int count)
{
	int64	   *invoices = (int64 *) palloc(Max(count, 1) * sizeof(int64));
	MemoryContext context = CurrentMemoryContext;
	MfSqlScope	scope;
	List	   *rows;
	int			i;

	for (i = 0; i < count; i++)
		invoices[i] = messages[i].invoice;
	mf_sql_begin(&scope, schema);
	MemoryContextSwitchTo(context);
	rows = mf_payment_callback_rows(&scope, invoices, count);
	for (i = 0; i < count; i++)
	{
		MfCallbackRow *row = find_row(rows, messages[i].invoice);

		/* deleted meanwhile: nothing more will come */
		if (row == NULL)
			messages[i].settled = true;
		else
			set_callback(&messages[i], row);
	}
	mf_sql_end(&scope);
}

bool
mf_inbound_is_paid(const char *payment_status)
{
	int			status = mf_payment_status_from_name(payment_status);

	return status == MF_PAID || status == MF_AUTHORIZED || status == MF_PARTLY_REFUNDED || status == MF_REFUNDED ||
		status == MF_DISPUTED;
}

/* Proves a webhook; true with the event filled, false with the message's result set. */
static bool
take_webhook(MfInbound *message, MfEvent *event)
{
	const MfAccount *account;
	MfWebhook	webhook;
	MfWebhookVerdict verdict;

	if (!mf_account_exists(message->account))
		return refuse(message, MF_INBOUND_NOT_FOUND, psprintf("account \"%s\" does not exist", message->account));
	account = mf_account_get(message->account);

	memset(&webhook, 0, sizeof(webhook));
	verdict = mf_account_read_webhook(account, message->body, message->body_len, message->signature, message->version,
									  &webhook);
	if (verdict == MF_WEBHOOK_OUT_OF_MEMORY)
	{
		mf_webhook_free(&webhook);
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	}
	PG_TRY();
	{
		if (verdict != MF_WEBHOOK_VALID)
			(void) refuse(message, verdict == MF_WEBHOOK_MALFORMED ? MF_INBOUND_MALFORMED : MF_INBOUND_REFUSED,
						  webhook.error ? mf_from_utf8_lossy(webhook.error) : "not valid");
		else
		{
			event->account = account->name;
			event->source = "webhook";
			event->version = webhook.version;
			event->event_code = (int) webhook.event_code;
			event->event_name = webhook.event_name;
			event->event_status = webhook.event_status ? pstrdup(mf_from_utf8_lossy(webhook.event_status)) : NULL;
			event->event_reference = webhook.event_reference ? pstrdup(mf_from_utf8_lossy(webhook.event_reference)) : NULL;
			event->invoice_id = webhook.invoice_id ? pstrdup(webhook.invoice_id) : NULL;
			event->payment_id = webhook.payment_id ? pstrdup(mf_from_utf8_lossy(webhook.payment_id)) : NULL;
			event->customer_reference = webhook.customer_reference ?
				pstrdup(mf_from_utf8_lossy(webhook.customer_reference)) : NULL;
			event->data = webhook.data ? pstrdup(mf_from_utf8_lossy(webhook.data)) : NULL;
			memcpy(event->digest, webhook.digest, MF_EVENT_DIGEST_SIZE);
		}
	}
	PG_FINALLY();
	{
		mf_webhook_free(&webhook);
	}
	PG_END_TRY();
	return verdict == MF_WEBHOOK_VALID;
}

/* A customer's browser that came back to the address of its row. */
static bool
take_callback(MfInbound *message, List *rows, MfEvent *event)
{
	MfCallbackRow *row = find_row(rows, token_invoice(message->token));
	const char *payment_id = message->payment_id;
	const char *dash;
	char	   *identity;

	/* ids can be guessed, the random part cannot */
	dash = strchr(message->token, '-');
	if (row == NULL || dash == NULL || strcmp(dash + 1, row->token) != 0)
		return refuse(message, MF_INBOUND_NOT_FOUND, "no such callback");
	if (payment_id != NULL && payment_id[0] != '\0' && !payment_id_valid(payment_id))
		return refuse(message, MF_INBOUND_MALFORMED, "paymentId is not the id of a payment");

	event->account = row->account;
	event->source = "callback";
	event->invoice = row->invoice;
	event->payment_id = payment_id && payment_id[0] ? pstrdup(payment_id) : NULL;
	/* whatever PaymentId it comes with, which anybody can invent */
	identity = psprintf("callback," INT64_FORMAT, row->invoice);
	mf_digest(identity, strlen(identity), event->digest);
	return true;
}

/* A PaymentId that somebody else's front end was called with. */
static bool
take_payment_id(MfInbound *message, MfEvent *event)
{
	char	   *identity;

	if (!mf_account_exists(message->account))
		return refuse(message, MF_INBOUND_NOT_FOUND, psprintf("account \"%s\" does not exist", message->account));
	if (message->payment_id == NULL || !payment_id_valid(message->payment_id))
		return refuse(message, MF_INBOUND_MALFORMED, "payment_id is not the id of a payment");
	event->account = message->account;
	event->source = "callback";
	event->payment_id = message->payment_id;
	event->resolve = true;
	event->turn = message->turn;
	identity = psprintf("payment,%s", message->payment_id);
	mf_digest(identity, strlen(identity), event->digest);
	return true;
}

/*
 * Of an invoice made elsewhere, or of one that exists twice: a person ought to
 * look.  One line a minute, as there may be many.
 */
static void
tell_unmatched(const MfEvent *event)
{
	static TimestampTz told_at = 0;
	TimestampTz now = GetCurrentTimestamp();

	if (told_at != 0 && !TimestampDifferenceExceeds(told_at, now, UNMATCHED_LOG_MS))
		return;
	told_at = now;
	ereport(LOG,
			(errmsg("a webhook about invoice %s of account \"%s\" matches no row of mf_invoice",
					event->invoice_id, event->account),
			 errdetail("CustomerReference \"%s\".", event->customer_reference ? event->customer_reference : ""),
			 errhint("SELECT * FROM mf_unmatched shows all of them.")));
}

/* Digits, leading zeros kept; letters in case the vendor begins to use them. */
static bool
payment_id_valid(const char *payment_id)
{
	size_t		len = strlen(payment_id);

	return len >= 1 && len <= PAYMENT_ID_MAX &&
		strspn(payment_id, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == len;
}

/* The number that a token begins with, 0 if it has none. */
static int64
token_invoice(const char *token)
{
	size_t		digits = strspn(token, "0123456789");

	if (digits == 0 || digits > 18 || token[digits] != '-' ||
		strlen(token + digits + 1) != MF_CALLBACK_TOKEN_LENGTH)
		return 0;
	return strtoll(token, NULL, 10);
}

static MfCallbackRow *
find_row(List *rows, int64 invoice)
{
	ListCell   *lc;

	foreach(lc, rows)
	{
		if (((MfCallbackRow *) lfirst(lc))->invoice == invoice)
			return (MfCallbackRow *) lfirst(lc);
	}
	return NULL;
}

/* Strings outlive the scope of the statement: the caller's context. */
static void
set_callback(MfInbound *message, const MfCallbackRow *row)
{
	message->payment_status = row->payment_status;
	message->settled = row->settled;
	message->arabic = row->arabic;
	message->call_back_url = row->call_back_url;
	message->error_url = row->error_url;
}

static bool
refuse(MfInbound *message, MfInboundResult result, const char *error)
{
	message->result = result;
	message->error = error;
	return false;
}
