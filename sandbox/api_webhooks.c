/*
 * api_webhooks.c
 *	  GetWebhooks: MyFatoorah's log of deliveries.
 */
#include "server.h"

#include <stdio.h>
#include <stdlib.h>

#include "validate.h"

#define PAGE_SIZE 500

typedef enum KeyKind
{
	KEY_NONE,
	KEY_INVOICE,
	KEY_REFERENCE,
	KEY_WEBHOOK
} KeyKind;

typedef struct Query
{
	Ticks start;
	Ticks end;
	int code; /* 0: any */
	int status; /* -1: any */
	int64_t page;
	KeyKind kind;
	const JsonNode *keys;
} Query;

/*
 * take_time
 *		An end of the window; without one it is open.
 */
static bool
take_time(const JsonNode *body, const char *name, bool end, Ticks *t, Buf *errors)
{
	Str text;

	*t = end ? INT64_MAX : INT64_MIN;
	if (json_text(body, name, &text) && (text.len == 0 || parse_utc_time(text, t)))
		return true;
	put_validation_error(errors, name, "The value is not a valid date");
	return false;
}

/*
 * read_query
 *		What is asked for; mistakes are noted.
 */
static void
read_query(const JsonNode *body, Query *q, Buf *errors)
{
	Str text;

	*q = (Query){.status = -1, .page = 1};
	take_time(body, "Start", false, &q->start, errors);
	take_time(body, "End", true, &q->end, errors);
	if (!json_text(body, "Page", &text) ||
		(text.len > 0 &&
		 (text.len > 9 || sscanf(text.data, "%lld", (long long *) &q->page) != 1 || q->page < 1)))
		put_validation_error(errors, "Page", "The Page must be a number from 1");
	if (!json_text(body, "EventType", &text) || (text.len > 0 && (q->code = event_code_of_name(text)) == 0))
		put_validation_error(errors, "EventType", "The EventType is not valid");
	if (!json_text(body, "Status", &text))
		text = STR_LIT("?");
	for (int i = 0; i < 4 && text.len > 0; i++)
		if (str_is_nocase(text, delivery_status_word((DeliveryStatus) i)))
			q->status = i;
	if (text.len > 0 && q->status < 0)
		put_validation_error(errors, "Status", "The Status is not valid");
	if (!json_text(body, "KeyType", &text))
		text = STR_LIT("?");
	if (text.len > 0)
	{
		q->kind = str_is_nocase(text, "InvoiceId")           ? KEY_INVOICE
				  : str_is_nocase(text, "CustomerReference") ? KEY_REFERENCE
				  : str_is_nocase(text, "WebhookReference")  ? KEY_WEBHOOK
															 : KEY_NONE;
		q->keys = json_member(body, "Key");
		if (q->kind == KEY_NONE)
			put_validation_error(errors, "KeyType", "The KeyType is not valid");
		else if (q->keys == NULL || q->keys->type != JSON_ARRAY)
			put_validation_error(errors, "Key", "The Key must be an array of texts");
	}
}

/*
 * selects
 *		Is a delivery asked for? Those sent by hand are none of MyFatoorah's.
 */
static bool
selects(const Query *q, const Account *account, const Delivery *d)
{
	char text[32];

	if (d->version == 0 || d->account != account || d->created < q->start || d->created > q->end)
		return false;
	if ((q->code != 0 && d->code != q->code) || (q->status >= 0 && (int) d->status != q->status))
		return false;
	if (q->kind == KEY_NONE)
		return true;
	if (q->kind == KEY_INVOICE)
		snprintf(text, sizeof(text), "%lld", (long long) d->invoice_id);
	else
		snprintf(text, sizeof(text), "WH-%lld", (long long) d->reference_number);
	for (const JsonNode *key = q->keys->child; key != NULL; key = key->next)
		if (q->kind == KEY_REFERENCE ? d->reference != NULL && str_is(key->text, d->reference)
									 : str_is_nocase(key->text, text))
			return true;
	return false;
}

/*
 * put_item
 *		One element of Items.
 */
static void
put_item(Buf *b, const Delivery *d)
{
	buf_puts(b, "{\"EndPoint\":");
	buf_put_json(b, str_of(d->endpoint));
	buf_puts(b, ",\"Signature\":");
	buf_put_json_or_null(b, str_of(d->signature));
	buf_printf(b, ",\"EventCode\":%d,\"EventName\":\"%s\",\"EventEntityId\":", d->code,
			   event_name(d->version, d->code));
	buf_put_json_or_null(b, str_of(d->entity));
	buf_printf(b, ",\"WebhookReference\":\"WH-%lld\",\"Data\":", (long long) d->reference_number);
	buf_put(b, d->body.data + d->data_at, d->data_len);
	buf_printf(b, ",\"Status\":\"%s\",\"Attempts\":[", delivery_status_word(d->status));
	for (int i = 0; i < d->attempt_count; i++)
	{
		const Attempt *a = &d->attempts[i];
		int64_t ms = (a->end_us - a->start_us + 500) / 1000;

		buf_puts(b, i > 0 ? ",{\"Date\":\"" : "{\"Date\":\"");
		buf_put_utc_us(b, a->wall_us + clock_offset() * 1000000);
		buf_printf(b, "\",\"Status\":%d,\"ResponseMessage\":", a->status);
		buf_put_json(b, str_of(a->message));
		buf_printf(b, ",\"Duration\":\"%lld.%03d\"}", (long long) (ms / 1000), (int) (ms % 1000));
	}
	buf_puts(b, "]}");
}

/*
 * get_webhooks
 *		A page of the log, newest first. Locked.
 */
void
get_webhooks(Request *r)
{
	Buf *b = &r->answer.body;
	Buf errors = {0};
	int64_t count = 0;
	Query q;

	read_query(r->doc.root, &q, &errors);
	if (errors.len > 0)
	{
		answer_failure(&r->answer, 400, "Invalid data", (Str){errors.data, errors.len});
		buf_free(&errors);
		return;
	}
	buf_puts(b, "{\"IsSuccess\":true,\"Message\":\"\",\"ValidationErrors\":null,\"Data\":{\"Items\":[");
	for (int64_t n = webhook_log_last(); n >= webhook_log_first(); n--)
	{
		const Delivery *d = webhook_log_get(n);

		if (!selects(&q, r->account, d))
			continue;
		if (count / PAGE_SIZE + 1 == q.page)
		{
			if (count % PAGE_SIZE > 0)
				buf_putc(b, ',');
			put_item(b, d);
		}
		count++;
	}
	buf_printf(b,
			   "],\"Pagination\":{\"PageSize\":%d,\"PageNumber\":%lld,\"PagesCount\":%lld,"
			   "\"ItemsCount\":%lld}}}",
			   PAGE_SIZE, (long long) q.page, (long long) ((count + PAGE_SIZE - 1) / PAGE_SIZE),
			   (long long) count);
	answer_json(&r->answer, 200);
}
