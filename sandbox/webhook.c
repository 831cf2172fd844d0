/*
 * webhook.c
 *	  What makes webhooks: settings, events, and the way from an event to
 *	  deliveries, mischief included.
 */
#include "webhook.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "mischief.h"
#include "signature.h"

#define MAX_RETRIES 100
#define MAX_DELAY_MS 600000
#define DEFAULT_TIMEOUT_MS 100000
#define DEFAULT_CONNECTIONS 32
#define MAX_SENDER_CONNECTIONS 256

static struct
{
	char *url;
	int version;
	char *secret;
} initial = {.version = 2};

static int64_t next_reference;
static int64_t next_dispute;

/*
 * webhook_init
 *		Take the settings of the command line; false if they make no sense.
 */
bool
webhook_init(const char *url, const char *version, const char *secret)
{
	if (version != NULL && strcasecmp(version, "v1") != 0 && strcasecmp(version, "v2") != 0)
		return false;
	if (url != NULL && !url_is_loopback(url))
		return false;
	initial.version = version != NULL && strcasecmp(version, "v1") == 0 ? 1 : 2;
	initial.url = url != NULL ? xstrdup(url) : NULL;
	initial.secret = xstrdup(secret != NULL ? secret : "");
	return true;
}

/*
 * webhook_reset
 *		Forget deliveries and mischief; settings are the command line's again.
 */
void
webhook_reset(void)
{
	WebhookSettings *s = &webhook_settings;

	mischief_clear(false);
	sender_forget_all();
	webhook_log_reset(sender_forget);
	free(s->url);
	free(s->secret);
	*s = (WebhookSettings){
		.enabled = initial.url != NULL,
		.version = initial.version,
		.url = initial.url != NULL ? xstrdup(initial.url) : NULL,
		.secret = xstrdup(initial.secret != NULL ? initial.secret : ""),
		.retries = -1,
		.retry_delay_ms = -1,
		.timeout_ms = DEFAULT_TIMEOUT_MS,
		.connections = DEFAULT_CONNECTIONS,
	};
}

/*
 * webhook_start_ids
 *		Start the ids that belong to a seed.
 */
void
webhook_start_ids(uint64_t seed)
{
	next_reference = 20000 + (int64_t) (hash_int(seed + 2) % 600000);
	next_dispute = 100 + (int64_t) (hash_int(seed + 3) % 900);
}

/*
 * webhook_end
 *		Free the settings.
 */
void
webhook_end(void)
{
	free(webhook_settings.url);
	free(webhook_settings.secret);
	free(initial.url);
	free(initial.secret);
}

/*
 * take_number
 *		A whole number within bounds.
 */
static bool
take_number(const cJSON *m, int64_t minimum, int64_t maximum, int64_t *to, Buf *error)
{
	if (!cJSON_IsNumber(m) || m->valuedouble < (double) minimum || m->valuedouble > (double) maximum ||
		m->valuedouble != (double) (int64_t) m->valuedouble)
	{
		buf_printf(error, "%s must be a whole number from %lld to %lld", m->string, (long long) minimum,
				   (long long) maximum);
		return false;
	}
	*to = (int64_t) m->valuedouble;
	return true;
}

/*
 * webhook_configure
 *		Change the settings named; all of them or, with the error noted, none.
 *		Webhooks are on afterwards unless "enabled" says otherwise.
 */
bool
webhook_configure(const cJSON *object, Buf *error)
{
	WebhookSettings s = webhook_settings;
	const char *url = NULL;
	const char *secret = NULL;
	const cJSON *m;

	if (!cJSON_IsObject(object))
		buf_puts(error, "the settings must be an object");
	s.enabled = true;
	cJSON_ArrayForEach (m, object)
	{
		if (strcmp(m->string, "url") == 0)
		{
			if (!cJSON_IsString(m) || !url_is_loopback(m->valuestring))
				buf_puts(error, "url must be http:// to an address of this machine");
			else
				url = m->valuestring;
		}
		else if (strcmp(m->string, "version") == 0)
		{
			if (!cJSON_IsString(m) ||
				(strcasecmp(m->valuestring, "v1") != 0 && strcasecmp(m->valuestring, "v2") != 0))
				buf_puts(error, "version must be v1 or v2");
			else
				s.version = m->valuestring[1] - '0';
		}
		else if (strcmp(m->string, "secret") == 0)
		{
			if (!cJSON_IsString(m))
				buf_puts(error, "secret must be a string");
			else
				secret = m->valuestring;
		}
		else if (strcmp(m->string, "enabled") == 0)
		{
			if (!cJSON_IsBool(m))
				buf_puts(error, "enabled must be true or false");
			else
				s.enabled = cJSON_IsTrue(m);
		}
		else if (strcmp(m->string, "retries") == 0)
			take_number(m, -1, MAX_RETRIES, &s.retries, error);
		else if (strcmp(m->string, "retry_delay_ms") == 0)
			take_number(m, -1, MAX_DELAY_MS, &s.retry_delay_ms, error);
		else if (strcmp(m->string, "timeout_ms") == 0)
			take_number(m, 1, MAX_DELAY_MS, &s.timeout_ms, error);
		else if (strcmp(m->string, "connections") == 0)
			take_number(m, 1, MAX_SENDER_CONNECTIONS, &s.connections, error);
		else
			buf_printf(error, "unknown member \"%s\"", m->string);
		if (error->len > 0)
			break;
	}
	if (error->len > 0)
		return false;
	if (url != NULL)
	{
		free(s.url);
		s.url = xstrdup(url);
	}
	if (secret != NULL)
	{
		free(s.secret);
		s.secret = xstrdup(secret);
	}
	webhook_settings = s;
	return true;
}

/*
 * webhook_put_settings
 *		Append the settings as JSON; of the secret only whether there is one.
 */
void
webhook_put_settings(Buf *b)
{
	const WebhookSettings *s = &webhook_settings;

	buf_printf(b, "{\"enabled\":%s,\"version\":\"v%d\",\"url\":", s->enabled ? "true" : "false", s->version);
	buf_put_json_or_null(b, str_of(s->url));
	buf_printf(b,
			   ",\"secret_set\":%s,\"retries\":%lld,\"retry_delay_ms\":%lld,\"timeout_ms\":%lld,"
			   "\"connections\":%lld}",
			   s->secret[0] != '\0' ? "true" : "false",
			   (long long) (s->retries >= 0   ? s->retries
							: s->version == 1 ? 3
											  : 5),
			   (long long) (s->retry_delay_ms >= 0 ? s->retry_delay_ms
							: s->version == 1      ? 10000
												   : 180000),
			   (long long) s->timeout_ms, (long long) s->connections);
}

/*
 * new_delivery
 *		A delivery with the tries the settings allow; the caller fills in what
 *		it is about and hands it to webhook_take().
 */
static Delivery *
new_delivery(int version, int code, const char *endpoint)
{
	Delivery *d = xcalloc(1, sizeof(Delivery));

	d->version = version;
	d->code = code;
	d->endpoint = xstrdup(endpoint);
	d->created = clock_now();
	d->queued_us = monotonic_us();
	d->attempts_left = webhook_settings.retries >= 0 ? (int) webhook_settings.retries
					   : version == 1                ? 3
					   : version == 2                ? 5
													 : 0;
	return d;
}

/*
 * endpoint_of
 *		Where events about an invoice go: its own address, else the portal's.
 */
static const char *
endpoint_of(const Invoice *inv)
{
	return inv != NULL && inv->data.webhook_url.len > 0 ? inv->data.webhook_url.data : webhook_settings.url;
}

/*
 * open_message
 *		Prepare a message about an event; false if nobody wants any.
 */
static bool
open_message(Message *m, const Account *account, const Invoice *inv, int code)
{
	if (!webhook_settings.enabled || endpoint_of(inv) == NULL)
		return false;
	*m = (Message){.version = webhook_settings.version, .code = code, .account = account, .at = clock_now()};
	m->reference_number = ++next_reference;
	return true;
}

/*
 * send_message
 *		Sign a message and send it off, as honestly as mischief lets us. Frees
 *		the message.
 */
static void
send_message(Message *m, const Invoice *inv, const char *word, const char *entity)
{
	const MischiefSubject subject = {m->code, m->version, inv != NULL ? inv->id : 0,
									 inv != NULL ? inv->data.reference : STR_NONE, word};
	Mischief *rule = mischief_pick(&subject);
	const char *secret = rule != NULL && rule->secret != NULL ? rule->secret : webhook_settings.secret;
	Buf signature = {0};
	int copies = rule != NULL ? (int) rule->copies : 1;

	if (rule != NULL && rule->drop == DROP_SILENTLY)
	{
		buf_free(&m->body);
		return;
	}
	if (secret[0] != '\0' && (rule == NULL || !rule->without_signature))
	{
		JsonDoc doc;
		Buf text = {0};

		if (!json_parse(&doc, (Str){m->body.data, m->body.len}) ||
			!signature_text(doc.root, m->version, m->code, &text))
			abort();
		signature_of((Str){text.data, text.len}, str_of(secret), &signature);
		buf_free(&text);
		json_free(&doc);
	}
	if (rule != NULL)
		mischief_forge(rule, m, &signature);
	for (int i = 0; i < copies; i++)
	{
		Delivery *d = new_delivery(m->version, m->code, endpoint_of(inv));

		d->reference_number = m->reference_number;
		d->account = m->account;
		d->created = m->at;
		d->invoice_id = subject.invoice_id;
		d->reference =
			subject.reference.data != NULL ? xstrndup(subject.reference.data, subject.reference.len) : NULL;
		d->word = word;
		if (entity != NULL)
			d->entity = xstrdup(entity);
		else
		{
			Buf id = {0};

			buf_put_int(&id, subject.invoice_id);
			d->entity = id.data;
		}
		d->signature = signature.len > 0 ? xstrdup(signature.data) : NULL;
		buf_put(&d->body, m->body.data, m->body.len);
		d->data_at = m->data_at;
		d->data_len = m->data_len;
		if (rule != NULL)
			mischief_label(rule, d->mischief, sizeof(d->mischief));
		webhook_log_add(d);
		if (rule != NULL && rule->drop == DROP_AS_FAILED)
		{
			d->status = DELIVERY_FAILED;
			d->attempts_left = 0;
			webhook_log_note(d, PHASE_FINISHED);
		}
		else if (rule != NULL && rule->reorder > 0)
			mischief_hold(rule, d);
		else
			webhook_take(d, rule != NULL ? rule->delay_ms : 0);
	}
	buf_free(&signature);
	buf_free(&m->body);
}

/*
 * webhook_payment
 *		A try on an invoice has ended, or has not: nobody is told of that.
 */
void
webhook_payment(const Invoice *inv, const PaymentTry *t)
{
	Message m;

	if (t->status == TRY_IN_PROGRESS || !open_message(&m, inv->account, inv, 1))
		return;
	body_payment(&m, inv, t);
	send_message(&m, inv, try_status_upper(t->status), NULL);
}

/*
 * webhook_decide_refund
 *		Approve or reject a refund and send the event; false if that was done
 *		before.
 */
bool
webhook_decide_refund(Refund *refund, bool approve)
{
	Message m;
	char entity[24];

	if (!refund_decide(refund, approve))
		return false;
	if (!open_message(&m, refund->invoice->account, refund->invoice, 2))
		return true;
	body_refund(&m, refund);
	snprintf(entity, sizeof(entity), "%lld", (long long) refund->id);
	send_message(&m, refund->invoice, refund->status == REFUND_DONE ? "REFUNDED" : "CANCELED", entity);
	return true;
}

/*
 * webhook_deposit
 *		Money went to a bank.
 */
void
webhook_deposit(const Deposit *d)
{
	Message m;
	char entity[24];

	if (!open_message(&m, d->account, NULL, 3))
		return;
	body_deposit(&m, d);
	snprintf(entity, sizeof(entity), "%d%06lld", local_time(d->at).year, (long long) d->number);
	send_message(&m, NULL, NULL, entity);
}

/*
 * webhook_recurring
 *		A repetition of a plan was paid, or was not.
 */
void
webhook_recurring(const Recurring *plan, const Invoice *inv)
{
	Message m;

	if (!open_message(&m, plan->account, inv, 5))
		return;
	body_recurring(&m, plan, inv);
	send_message(&m, inv, NULL, NULL);
}

/*
 * webhook_dispute
 *		The payer objects to a payment of an invoice, the last one unless
 *		payment_id names another; false if there was none. The other details, all
 *		optional: type, status, reason, charge_back_type, and id for news of a
 *		dispute that was there before.
 */
bool
webhook_dispute(const Invoice *inv, const cJSON *details)
{
	static const char *const words[] = {"PENDING", "RESOLVED", "LOST"};
	const struct
	{
		const char *name;
		const char *otherwise;
	} members[] = {{"type", "CHARGEBACK"},
				   {"status", words[0]},
				   {"charge_back_type", "Trading"},
				   {"reason", "MerchandiseServiceNotReceived"}};
	Str texts[4];
	const cJSON *payment_id = cJSON_GetObjectItemCaseSensitive(details, "payment_id");
	const cJSON *id = cJSON_GetObjectItemCaseSensitive(details, "id");
	const PaymentTry *paid = NULL;
	const char *word = NULL;
	Dispute dispute;
	Message m;

	for (const PaymentTry *t = inv->tries; t != NULL; t = t->next)
		if (t->status == TRY_SUCCESS &&
			(!cJSON_IsString(payment_id) || strcmp(t->payment_id, payment_id->valuestring) == 0))
			paid = t;
	if (paid == NULL)
		return false;
	for (int i = 0; i < 4; i++)
	{
		const cJSON *text = cJSON_GetObjectItemCaseSensitive(details, members[i].name);

		texts[i] = str_of(cJSON_IsString(text) ? text->valuestring : members[i].otherwise);
	}
	if (!open_message(&m, inv->account, inv, 6))
		return true;
	for (int i = 0; i < 3; i++)
		if (str_is_nocase(texts[1], words[i]))
			word = words[i];
	dispute = (Dispute){cJSON_IsNumber(id) ? (int64_t) id->valuedouble : ++next_dispute, texts[0], texts[1],
						texts[2], texts[3]};
	body_dispute(&m, inv, paid, &dispute);
	send_message(&m, inv, word, NULL);
	return true;
}

/*
 * webhook_event
 *		An event of the kinds 3, 4, 5, 7 for an account: {"code":N}, optionally
 *		with "status", and for 5 with "invoice", which must have a try. False
 *		with the error noted.
 */
bool
webhook_event(const cJSON *object, const Account *account, Buf *error)
{
	const cJSON *code = cJSON_GetObjectItemCaseSensitive(object, "code");
	const cJSON *status = cJSON_GetObjectItemCaseSensitive(object, "status");
	const cJSON *id = cJSON_GetObjectItemCaseSensitive(object, "invoice");
	const Invoice *inv = cJSON_IsNumber(id) ? store_invoice((int64_t) id->valuedouble) : NULL;
	const char *entity = NULL;
	int n = cJSON_IsNumber(code) ? code->valueint : 0;
	Message m;

	if (n != 3 && n != 4 && n != 5 && n != 7)
		buf_puts(error, "code must be 3, 4, 5 or 7; others come of what happens to invoices");
	else if (n == 5 && (inv == NULL || inv->last_try == NULL))
		buf_puts(error, "event 5 needs an invoice somebody tried to pay");
	else if (!open_message(&m, account, n == 5 ? inv : NULL, n))
		buf_puts(error, "webhooks are off, or go nowhere");
	if (error->len > 0)
		return false;
	body_other(&m, cJSON_IsString(status) ? str_of(status->valuestring) : STR_NONE, inv, &entity);
	send_message(&m, n == 5 ? inv : NULL, NULL, entity);
	return true;
}

/*
 * webhook_replay
 *		Send a delivery once more, byte for byte, to the same address or to
 *		another; a delivery of its own in the log.
 */
Delivery *
webhook_replay(const Delivery *d, const char *url)
{
	Delivery *copy = new_delivery(d->version, d->code, url != NULL ? url : d->endpoint);

	copy->reference_number = d->reference_number;
	copy->account = d->account;
	copy->invoice_id = d->invoice_id;
	copy->entity = d->entity != NULL ? xstrdup(d->entity) : NULL;
	copy->reference = d->reference != NULL ? xstrdup(d->reference) : NULL;
	copy->word = d->word;
	copy->signature = d->signature != NULL ? xstrdup(d->signature) : NULL;
	if (d->headers != NULL)
	{
		Buf b = {0};

		for (const char *h = d->headers; *h != '\0'; h += strlen(h) + 1)
			buf_put(&b, h, strlen(h) + 1);
		buf_putc(&b, '\0');
		copy->headers = b.data;
	}
	buf_put(&copy->body, d->body.data, d->body.len);
	copy->data_at = d->data_at;
	copy->data_len = d->data_len;
	copy->replay_of = d->number;
	webhook_log_add(copy);
	webhook_take(copy, 0);
	return copy;
}

/*
 * webhook_raw
 *		Send any bytes with any headers: {"url", "headers", "body" or
 *		"body_base64"}; without a url to the portal's. NULL with the error
 *		noted.
 */
Delivery *
webhook_raw(const cJSON *object, Buf *error)
{
	const cJSON *url = cJSON_GetObjectItemCaseSensitive(object, "url");
	const cJSON *headers = cJSON_GetObjectItemCaseSensitive(object, "headers");
	const cJSON *body = cJSON_GetObjectItemCaseSensitive(object, "body");
	const cJSON *base64 = cJSON_GetObjectItemCaseSensitive(object, "body_base64");
	const char *to = cJSON_IsString(url) ? url->valuestring : webhook_settings.url;
	const cJSON *h;
	Buf bytes = {0};
	Buf lines = {0};
	Delivery *d;

	buf_put(&bytes, "", 0);
	if (cJSON_IsString(body))
		buf_puts(&bytes, body->valuestring);
	else if (cJSON_IsString(base64) && !base64_decode(str_of(base64->valuestring), &bytes))
		buf_puts(error, "body_base64 is not Base64");
	if (to == NULL || !url_is_loopback(to))
		buf_puts(error, "url must be http:// to an address of this machine");
	cJSON_ArrayForEach (h, headers)
	{
		if (!cJSON_IsString(h) || strpbrk(h->valuestring, "\r\n") != NULL)
			buf_puts(error, "headers must be texts");
		else
		{
			/* libcurl sends "Name;" as a header without a value. */
			buf_puts(&lines, h->string);
			buf_puts(&lines, h->valuestring[0] != '\0' ? ": " : ";");
			buf_puts(&lines, h->valuestring);
			buf_putc(&lines, '\0');
		}
	}
	if (error->len > 0)
	{
		buf_free(&bytes);
		buf_free(&lines);
		return NULL;
	}
	d = new_delivery(0, 0, to);
	buf_putc(&lines, '\0');
	d->headers = lines.data;
	d->body = bytes;
	webhook_log_add(d);
	webhook_take(d, 0);
	return d;
}
