/*
 * webhook_log.c
 *	  Every delivery of a webhook: what was sent, each attempt, what came of it.
 *
 * The oldest are forgotten when there are too many, but none that is still to
 * be sent.
 */
#include "delivery.h"

#include <stdio.h>
#include <stdlib.h>

static struct
{
	Delivery **items; /* items[i] has the number first + i */
	int64_t size;
	int64_t start; /* index of the oldest */
	int64_t count;
	int64_t first;
	int64_t limit;
	int64_t attempts;
	DeliveryWaiter *waiters;
} wlog = {.first = 1, .limit = 200000};

static bool matches(const Delivery *d, const DeliveryFilter *f);

/*
 * delivery_status_word
 *		MyFatoorah's words.
 */
const char *
delivery_status_word(DeliveryStatus status)
{
	static const char *const words[] = {"Waiting", "Running", "Succeeded", "Failed"};

	return words[status];
}

/*
 * delivery_free
 *		Free a delivery nobody has to do with any more.
 */
void
delivery_free(Delivery *d)
{
	free(d->entity);
	free(d->reference);
	free(d->endpoint);
	free(d->signature);
	free(d->headers);
	free(d->attempts);
	buf_free(&d->body);
	free(d);
}

/*
 * webhook_log_limit
 *		How many deliveries are kept.
 */
void
webhook_log_limit(int64_t limit)
{
	wlog.limit = limit;
}

/*
 * is_final
 *		Will nothing more be done about it?
 */
static bool
is_final(const Delivery *d)
{
	return d->status == DELIVERY_SUCCEEDED || d->status == DELIVERY_FAILED;
}

/*
 * webhook_log_add
 *		Enter a delivery, which is the log's from now on, and number it.
 */
void
webhook_log_add(Delivery *d)
{
	while (wlog.count >= wlog.limit && is_final(wlog.items[wlog.start]) && !wlog.items[wlog.start]->busy)
	{
		delivery_free(wlog.items[wlog.start++]);
		wlog.count--;
		wlog.first++;
	}
	if (wlog.start + wlog.count == wlog.size)
	{
		/* Half of it free: move down. Otherwise grow. */
		if (wlog.start > wlog.size / 2)
		{
			memmove(wlog.items, wlog.items + wlog.start, (size_t) wlog.count * sizeof(Delivery *));
			wlog.start = 0;
		}
		else
		{
			wlog.size = wlog.size > 0 ? wlog.size * 2 : 1024;
			wlog.items = xrealloc(wlog.items, (size_t) wlog.size * sizeof(Delivery *));
		}
	}
	d->number = wlog.first + wlog.count;
	wlog.items[wlog.start + wlog.count++] = d;
	webhook_log_note(d, PHASE_QUEUED);
}

/*
 * webhook_log_reset
 *		Forget everything: forget() frees each delivery, now or when its sending
 *		has ended. Whoever waits goes on waiting, from nothing.
 */
void
webhook_log_reset(void (*forget)(Delivery *d))
{
	for (int64_t i = 0; i < wlog.count; i++)
		forget(wlog.items[wlog.start + i]);
	free(wlog.items);
	wlog.items = NULL;
	wlog.size = wlog.start = wlog.count = 0;
	wlog.first = 1;
	wlog.attempts = 0;
	for (DeliveryWaiter *w = wlog.waiters; w != NULL; w = w->next)
		w->count = 0;
}

/*
 * webhook_log_get, webhook_log_by_reference, webhook_log_first,
 * webhook_log_last
 *		Look-ups; NULL if it is not (or no longer) there. By MyFatoorah's
 *		reference, "WH-24349", the latest.
 */
Delivery *
webhook_log_get(int64_t number)
{
	if (number < wlog.first || number >= wlog.first + wlog.count)
		return NULL;
	return wlog.items[wlog.start + number - wlog.first];
}

Delivery *
webhook_log_by_reference(Str reference)
{
	DeliveryFilter f = {.code = -1, .status = -1, .webhook_reference = reference};

	for (int64_t n = webhook_log_last(); n >= wlog.first; n--)
		if (matches(webhook_log_get(n), &f))
			return webhook_log_get(n);
	return NULL;
}

int64_t
webhook_log_first(void)
{
	return wlog.first;
}

int64_t
webhook_log_last(void)
{
	return wlog.first + wlog.count - 1;
}

/*
 * matches
 *		Does a delivery pass the filter?
 */
static bool
matches(const Delivery *d, const DeliveryFilter *f)
{
	if (f->invoice_id != 0 && d->invoice_id != f->invoice_id)
		return false;
	if (f->code >= 0 && d->code != f->code)
		return false;
	if (f->status >= 0 && (int) d->status != f->status)
		return false;
	if (f->reference.data != NULL && (d->reference == NULL || !str_is(f->reference, d->reference)))
		return false;
	if (f->webhook_reference.data != NULL)
	{
		char text[32];

		snprintf(text, sizeof(text), "WH-%lld", (long long) d->reference_number);
		return d->reference_number != 0 && str_is_nocase(f->webhook_reference, text);
	}
	return true;
}

/*
 * weight
 *		What a delivery adds to the count of a phase.
 */
static int64_t
weight(const Delivery *d, DeliveryPhase phase)
{
	if (phase == PHASE_QUEUED)
		return 1;
	return phase == PHASE_ATTEMPTED ? d->attempt_count : is_final(d);
}

/*
 * webhook_log_note
 *		Something happened to a delivery: count it and wake who waits for it.
 */
void
webhook_log_note(const Delivery *d, DeliveryPhase phase)
{
	DeliveryWaiter **p = &wlog.waiters;

	if (phase == PHASE_ATTEMPTED)
		wlog.attempts++;
	while (*p != NULL)
	{
		DeliveryWaiter *w = *p;

		if (w->phase != phase || !matches(d, &w->filter) || ++w->count < w->target)
		{
			p = &w->next;
			continue;
		}
		*p = w->next;
		w->queued = false;
		w->wake(w);
	}
}

/*
 * webhook_log_count
 *		How many deliveries (or attempts) the filter selects.
 */
int64_t
webhook_log_count(const DeliveryFilter *filter, DeliveryPhase phase)
{
	int64_t n = 0;

	for (int64_t i = 0; i < wlog.count; i++)
		if (matches(wlog.items[wlog.start + i], filter))
			n += weight(wlog.items[wlog.start + i], phase);
	return n;
}

/*
 * webhook_log_wait, webhook_log_unwait
 *		Have a waiter woken, once, when its count is reached; take it off the
 *		list again (harmless if it is not on it).
 */
void
webhook_log_wait(DeliveryWaiter *w)
{
	w->queued = true;
	w->next = wlog.waiters;
	wlog.waiters = w;
}

void
webhook_log_unwait(DeliveryWaiter *w)
{
	for (DeliveryWaiter **p = &wlog.waiters; w->queued && *p != NULL; p = &(*p)->next)
		if (*p == w)
		{
			*p = w->next;
			break;
		}
	w->queued = false;
}

/*
 * put_attempts
 *		Append the attempts as the control path shows them.
 */
static void
put_attempts(Buf *b, const Delivery *d)
{
	buf_puts(b, ",\"attempts\":[");
	for (int i = 0; i < d->attempt_count; i++)
	{
		const Attempt *a = &d->attempts[i];

		buf_printf(b, "%s{\"start_us\":%lld,\"end_us\":%lld,\"wall_us\":%lld,\"status\":%d,\"message\":",
				   i > 0 ? "," : "", (long long) a->start_us, (long long) a->end_us, (long long) a->wall_us,
				   a->status);
		buf_put_json(b, str_of(a->message));
		buf_puts(b, ",\"response\":");
		buf_put_json(b, str_of(a->response));
		buf_putc(b, '}');
	}
	buf_putc(b, ']');
}

/*
 * webhook_log_put
 *		Append a delivery as the control path shows it.
 */
void
webhook_log_put(Buf *b, const Delivery *d, bool body)
{
	Str bytes = {d->body.data, d->body.len};

	buf_printf(b, "{\"number\":%lld,\"webhook_reference\":", (long long) d->number);
	if (d->reference_number > 0)
		buf_printf(b, "\"WH-%lld\"", (long long) d->reference_number);
	else
		buf_puts(b, "null");
	if (d->version > 0)
		buf_printf(b, ",\"version\":\"v%d\",\"code\":%d,\"event\":\"%s\"", d->version, d->code,
				   event_name(d->version, d->code));
	else
		buf_puts(b, ",\"version\":null,\"code\":0,\"event\":null");
	buf_printf(b, ",\"invoice_id\":%lld,\"reference\":", (long long) d->invoice_id);
	buf_put_json_or_null(b, str_of(d->reference));
	buf_puts(b, ",\"event_status\":");
	buf_put_json_or_null(b, str_of(d->word));
	buf_puts(b, ",\"endpoint\":");
	buf_put_json(b, str_of(d->endpoint));
	buf_puts(b, ",\"signature\":");
	buf_put_json_or_null(b, str_of(d->signature));
	if (body && str_is_utf8(bytes))
	{
		buf_puts(b, ",\"body\":");
		buf_put_json(b, bytes);
	}
	else if (body)
	{
		buf_puts(b, ",\"body_base64\":\"");
		buf_put_base64(b, bytes);
		buf_putc(b, '"');
	}
	buf_printf(b, ",\"status\":\"%s\",\"attempts_left\":%d,\"queued_us\":%lld,\"mischief\":",
			   delivery_status_word(d->status), is_final(d) ? 0 : d->attempts_left, (long long) d->queued_us);
	buf_put_json_or_null(b, d->mischief[0] != '\0' ? str_of(d->mischief) : STR_NONE);
	buf_printf(b, ",\"replay_of\":%lld", (long long) d->replay_of);
	put_attempts(b, d);
	buf_putc(b, '}');
}

/*
 * webhook_log_put_list
 *		Append {"deliveries":[...],"next":N}: what the filter selects after a
 *		number, oldest first, at most limit.
 */
void
webhook_log_put_list(Buf *b, const DeliveryFilter *filter, int64_t since, int64_t limit, bool bodies)
{
	int64_t next = since;
	bool first = true;

	buf_puts(b, "{\"deliveries\":[");
	for (int64_t n = since < wlog.first ? wlog.first : since + 1; n <= webhook_log_last() && limit > 0; n++)
	{
		const Delivery *d = webhook_log_get(n);

		next = n;
		if (!matches(d, filter))
			continue;
		if (!first)
			buf_putc(b, ',');
		first = false;
		webhook_log_put(b, d, bodies);
		limit--;
	}
	buf_printf(b, "],\"next\":%lld,\"last\":%lld,\"oldest_held\":%lld}", (long long) next,
			   (long long) webhook_log_last(), (long long) wlog.first);
}

/*
 * webhook_log_put_stats
 *		Append a member of a JSON object that tells how much there is.
 */
void
webhook_log_put_stats(Buf *b)
{
	int64_t n[4] = {0};

	for (int64_t i = 0; i < wlog.count; i++)
		n[wlog.items[wlog.start + i]->status]++;
	buf_printf(
		b,
		"\"webhooks\":{\"held\":%lld,\"last\":%lld,\"attempts\":%lld,\"waiting\":%lld,\"running\":%lld,"
		"\"succeeded\":%lld,\"failed\":%lld}",
		(long long) wlog.count, (long long) webhook_log_last(), (long long) wlog.attempts, (long long) n[0],
		(long long) n[1], (long long) n[2], (long long) n[3]);
}
