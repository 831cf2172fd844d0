/*
 * inbound.c
 *	  Verifies and stores webhooks and callbacks, and queues inquiries for them.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inbound/inbound.c
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/encoding.h"
#include "base/log_event.h"
#include "core/text/text.h"
#include "database/digest.h"
#include "database/sql_array.h"
#include "inbound/inbound.h"
#include "process/wakeup.h"
#include "request/request.h"
#include "store/events.h"
#include "store/payment.h"

/* Between two log lines about webhooks of unknown invoices */
#define UNMATCHED_LOG_MS 60000

static const char *hold_account(const MfSqlScope *scope, const char *name);
static const char *current_account(const MfSqlScope *scope, const char *name);
static List *hold_callback_rows(const MfSqlScope *scope, const int64 *invoices, int count);
static bool read_message(MfInbound *message, List *rows, MfEvent *event);
static void set_result(MfInbound *message, const MfEvent *event);
static bool read_webhook(MfInbound *message, MfEvent *event);
static void fill_webhook_event(const MfWebhook *webhook, const MfAccount *account, MfEvent *event);
static bool read_payment_id(MfInbound *message, MfEvent *event);
static bool read_callback(MfInbound *message, List *rows, MfEvent *event);
static int	callback_invoices(const MfInbound *messages, int count, int64 *invoices);
static int64 token_invoice(const char *token);
static void set_payment(MfInbound *message, const MfCallbackRow *row);
static bool refuse(MfInbound *message, MfInboundResult result, const char *error);
static void log_unmatched(const MfEvent *event);

void
mf_inbound_store(Oid schema, MfInbound *messages, int count)
{
	MfEvent    *events = (MfEvent *) palloc0(Max(count, 1) * sizeof(MfEvent));
	MfInbound **owners = (MfInbound **) palloc(Max(count, 1) * sizeof(MfInbound *));
	int64	   *invoices = (int64 *) palloc(Max(count, 1) * sizeof(int64));
	int			invoice_count = callback_invoices(messages, count, invoices);
	MfSqlScope	scope;
	List	   *rows = NIL;
	int			event_count = 0;
	int			i;

	mf_sql_begin(&scope, schema);
	if (invoice_count > 0)
		rows = hold_callback_rows(&scope, invoices, invoice_count);
	for (i = 0; i < count; i++)
	{
		if (messages[i].account != NULL)
			messages[i].account = hold_account(&scope, messages[i].account);
		if (read_message(&messages[i], rows, &events[event_count]))
			owners[event_count++] = &messages[i];
	}
	if (event_count > 0)
	{
		mf_events_store(&scope, events, event_count);
		mf_news_at_commit(MF_NEWS_INQUIRIES);

		/* an inquiry that is queued now makes a payment not settled */
		if (invoice_count > 0)
			rows = mf_payment_callback_rows(&scope, invoices, invoice_count);
	}
	for (i = 0; i < event_count; i++)
	{
		MfInbound  *message = owners[i];
		MfCallbackRow *row;

		set_result(message, &events[i]);
		row = message->kind == MF_INBOUND_CALLBACK ? mf_find_id(rows, message->invoice) : NULL;
		if (row != NULL)
			set_payment(message, row);
	}
	mf_sql_end(&scope);
}

/* The account of a name that it has or had, which it keeps until the event is committed; the same name if there is none */
static const char *
hold_account(const MfSqlScope *scope, const char *name)
{
	const char *held = name;

	while (!mf_account_hold_name(held))
	{
		const char *current = current_account(scope, name);

		if (strcmp(current, held) == 0)
			break;
		held = current;
	}
	return held;
}

/* The rows of callbacks, whose accounts keep their names; those of a server that was dropped have none to keep. */
static List *
hold_callback_rows(const MfSqlScope *scope, const int64 *invoices, int count)
{
	List	   *rows = mf_payment_callback_rows(scope, invoices, count);
	bool		renamed = false;
	ListCell   *lc;

	foreach(lc, rows)
		renamed |= !mf_account_hold_name(((const MfCallbackRow *) lfirst(lc))->account);
	return renamed ? mf_payment_callback_rows(scope, invoices, count) : rows;
}

/* What an account is called now that had this name; the same name if none had. */
static const char *
current_account(const MfSqlScope *scope, const char *name)
{
	static MfStatement statement = {
		"SELECT renamed_to::text FROM @mf_account WHERE account = $1 AND renamed_to IS NOT NULL", 1, {TEXTOID}, NULL
	};
	Datum		value = CStringGetTextDatum(name);

	return mf_sql_execute(scope, &statement, &value, NULL) > 0 ? mf_result_text(0, 1) : name;
}

/* The invoices of callbacks; returns their number. */
static int
callback_invoices(const MfInbound *messages, int count, int64 *invoices)
{
	int			found = 0;
	int			i;

	for (i = 0; i < count; i++)
	{
		int64		invoice = messages[i].kind == MF_INBOUND_CALLBACK ? token_invoice(messages[i].token) : 0;

		if (invoice != 0)
			invoices[found++] = invoice;
	}
	return found;
}

/* Fills the event of a valid message; or returns false, and sets its result. */
static bool
read_message(MfInbound *message, List *rows, MfEvent *event)
{
	memset(event, 0, sizeof(*event));
	message->event = message->invoice = 0;
	message->repeated = message->settled = message->archived = false;
	message->error = NULL;
	switch (message->kind)
	{
		case MF_INBOUND_WEBHOOK:
			return read_webhook(message, event);
		case MF_INBOUND_CALLBACK:
			return read_callback(message, rows, event);
		case MF_INBOUND_PAYMENT_ID:
			return read_payment_id(message, event);
	}
	return false;
}

/* The result of a message whose event was stored */
static void
set_result(MfInbound *message, const MfEvent *event)
{
	message->result = MF_INBOUND_STORED;
	message->event = event->id;
	message->invoice = event->invoice;
	message->repeated = event->repeated;
	if (message->kind == MF_INBOUND_WEBHOOK && message->invoice == 0 && !message->repeated && event->invoice_id != NULL)
		log_unmatched(event);
}

void
mf_inbound_reread(const MfSqlScope *scope, MfInbound *messages, int count)
{
	int64	   *invoices = (int64 *) palloc(Max(count, 1) * sizeof(int64));
	List	   *rows;
	int			i;

	for (i = 0; i < count; i++)
		invoices[i] = messages[i].invoice;
	rows = mf_payment_callback_rows(scope, invoices, count);
	for (i = 0; i < count; i++)
	{
		MfCallbackRow *row = mf_find_id(rows, messages[i].invoice);

		/* whether the customer of a deleted row has paid is not known */
		if (row != NULL)
			set_payment(&messages[i], row);
	}
}

bool
mf_inbound_is_paid(const char *payment_status)
{
	int			status = mf_payment_status_from_name(payment_status);

	return status >= 0 && (status == MF_AUTHORIZED || mf_payment_was_paid((MfPaymentStatus) status));
}

/* Verifies a webhook.  Fills the event; or returns false, and sets the result of the message. */
static bool
read_webhook(MfInbound *message, MfEvent *event)
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
			fill_webhook_event(&webhook, account, event);
	}
	PG_FINALLY();
	{
		mf_webhook_free(&webhook);
	}
	PG_END_TRY();
	return verdict == MF_WEBHOOK_VALID;
}

static void
fill_webhook_event(const MfWebhook *webhook, const MfAccount *account, MfEvent *event)
{
	event->account = account->name;
	event->source = "webhook";
	event->version = webhook->version;
	event->event_code = (int) webhook->event_code;
	event->event_name = webhook->event_name;
	event->event_status = mf_from_utf8_lossy(webhook->event_status);
	event->event_reference = mf_from_utf8_lossy(webhook->event_reference);
	event->invoice_id = mf_from_utf8_lossy(webhook->invoice_id);
	event->payment_id = mf_from_utf8_lossy(webhook->payment_id);
	event->customer_reference = mf_from_utf8_lossy(webhook->customer_reference);
	event->data = mf_from_utf8_lossy(webhook->data);
	memcpy(event->digest, webhook->digest, MF_EVENT_DIGEST_SIZE);
}

/* The same for a callback.  Ids can be guessed; the random part of the token cannot. */
static bool
read_callback(MfInbound *message, List *rows, MfEvent *event)
{
	MfCallbackRow *row = mf_find_id(rows, token_invoice(message->token));
	const char *payment_id = message->payment_id;
	const char *dash;
	char	   *identity;

	dash = strchr(message->token, '-');
	if (row == NULL || dash == NULL || strcmp(dash + 1, row->token) != 0)
		return refuse(message, MF_INBOUND_NOT_FOUND, "no such callback");
	if (payment_id != NULL && payment_id[0] != '\0' && !mf_payment_id_valid(payment_id))
		return refuse(message, MF_INBOUND_MALFORMED, "paymentId is not the id of a payment");

	event->account = row->account;
	event->source = "callback";
	event->invoice = row->invoice;
	event->payment_id = payment_id && payment_id[0] ? pstrdup(payment_id) : NULL;
	/* not the PaymentId, which anybody can invent: all callbacks of an invoice are one event */
	identity = psprintf("callback," INT64_FORMAT, row->invoice);
	mf_digest(identity, strlen(identity), event->digest);
	return true;
}

/* The same for a PaymentId. */
static bool
read_payment_id(MfInbound *message, MfEvent *event)
{
	char	   *identity;

	if (!mf_account_exists(message->account))
		return refuse(message, MF_INBOUND_NOT_FOUND, psprintf("account \"%s\" does not exist", message->account));
	if (message->payment_id == NULL || !mf_payment_id_valid(message->payment_id))
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
 * A webhook of an invoice that was created elsewhere, or exists twice.  Logged once
 * a minute, because there may be many.
 */
static void
log_unmatched(const MfEvent *event)
{
	static TimestampTz logged_at = 0;
	TimestampTz now = GetCurrentTimestamp();

	if (logged_at != 0 && !TimestampDifferenceExceeds(logged_at, now, UNMATCHED_LOG_MS))
		return;
	logged_at = now;
	ereport(LOG,
			(mf_log_event("webhook_unmatched",
						  "a webhook about invoice %s of account \"%s\" matches no row of mf_invoice",
					event->invoice_id, event->account),
			 errdetail("CustomerReference \"%s\".", event->customer_reference ? event->customer_reference : ""),
			 errhint("SELECT * FROM mf_unmatched shows all of them.")));
}

/* The invoice id that a token begins with; 0 = invalid */
static int64
token_invoice(const char *token)
{
	size_t		digits = strspn(token, "0123456789");

	if (digits == 0 || digits > 18 || token[digits] != '-' ||
		strlen(token + digits + 1) != MF_CALLBACK_TOKEN_LENGTH)
		return 0;
	return strtoll(token, NULL, 10);
}

/* The strings of the row are in the caller's context. */
static void
set_payment(MfInbound *message, const MfCallbackRow *row)
{
	message->payment_status = row->payment_status;
	message->settled = row->settled;
	message->archived = row->archived;
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
