/*
 * bulk.c
 *	  Paying many invoices at a steady rate, for load tests.
 */
#include "control.h"

#include <stdlib.h>

#define TICK_US 1000
#define MAX_PER_TICK 50

static struct
{
	int64_t *ids;
	int64_t total;
	int64_t next;
	int64_t paid;
	int64_t refused;
	int64_t rate; /* per second; 0: as fast as it goes */
	int64_t start_us;
	int64_t end_us;
	bool running;
	Timer timer;
} bulk;

/*
 * bulk_put_state
 *		Append how far it is. Locked.
 */
void
bulk_put_state(Buf *b)
{
	buf_printf(b,
			   "{\"running\":%s,\"total\":%lld,\"paid\":%lld,\"refused\":%lld,\"start_us\":%lld,"
			   "\"end_us\":%lld}",
			   bulk.running ? "true" : "false", (long long) bulk.total, (long long) bulk.paid,
			   (long long) bulk.refused, (long long) bulk.start_us, (long long) bulk.end_us);
}

/*
 * bulk_stop
 *		Pay no more. Locked.
 */
void
bulk_stop(void)
{
	/* If the timer is just about to fire, it finds nothing left to do. */
	timer_cancel(&bulk.timer);
	free(bulk.ids);
	bulk.ids = NULL;
	bulk.total = bulk.next = bulk.paid = bulk.refused = 0;
	bulk.start_us = bulk.end_us = 0;
	bulk.running = false;
}

/*
 * pay_some
 *		Pay what is due by now, a little at a time, and come again.
 */
static void
pay_some(Timer *timer)
{
	int64_t due = MAX_PER_TICK;
	bool again;

	store_lock();
	if (bulk.rate > 0)
	{
		due = (monotonic_us() - bulk.start_us) * bulk.rate / 1000000 + 1 - bulk.next;
		if (due > MAX_PER_TICK)
			due = MAX_PER_TICK;
	}
	for (; due > 0 && bulk.next < bulk.total; due--)
	{
		Invoice *inv = store_invoice(bulk.ids[bulk.next++]);
		PaymentOrder order = {0};
		const char *refusal;

		if (inv != NULL)
			order.gateway = inv->data.card_first ? GATEWAY_CARD : GATEWAY_KNET;
		if (inv != NULL && payment_act(inv, STR_LIT("pay"), &order, &refusal) != NULL)
			bulk.paid++;
		else
			bulk.refused++;
	}
	again = bulk.running && bulk.next < bulk.total;
	if (bulk.running && !again)
	{
		bulk.running = false;
		bulk.end_us = monotonic_us();
	}
	/* Unless a reset and a new order came in between: that one has it then. */
	if (again && timer->position == 0)
		timer_add(timer, bulk.rate > 0 ? TICK_US : 0);
	store_unlock();
}

/*
 * take_ids, take_open
 *		What to pay: those named (false if one is no id); or the oldest open
 *		ones.
 */
static bool
take_ids(const cJSON *list)
{
	const cJSON *id;

	bulk.ids = xcalloc((size_t) cJSON_GetArraySize(list) + 1, sizeof(int64_t));
	cJSON_ArrayForEach (id, list)
	{
		if (!cJSON_IsNumber(id))
			return false;
		bulk.ids[bulk.total++] = (int64_t) id->valuedouble;
	}
	return true;
}

static void
take_open(int64_t count)
{
	int64_t have = store_stats().invoices;

	bulk.ids = xcalloc((size_t) (count < have ? count : have) + 1, sizeof(int64_t));
	for (const Invoice *inv = store_oldest(); inv != NULL && bulk.total < count; inv = inv->newer)
		if (strcmp(inv->status, "Pending") == 0 && !store_is_expired(inv))
			bulk.ids[bulk.total++] = inv->id;
}

/*
 * bulk_pay
 *		Start, or tell how far it is. Locked.
 */
void
bulk_pay(Request *r)
{
	bool ok;
	cJSON *json;
	int64_t count = 0;
	int64_t rate = 0;
	const cJSON *ids;

	if (strcmp(r->method, "POST") == 0)
	{
		if (bulk.running)
		{
			control_refused(&r->answer, 409, "it is at it already");
			return;
		}
		json = read_json(r, &ok);
		if (!ok)
			return;
		ids = cJSON_GetObjectItemCaseSensitive(json, "ids");
		json_integer(json, "rate", &rate);
		bulk_stop();
		if (rate < 0 || (!cJSON_IsArray(ids) && (!json_integer(json, "count", &count) || count < 1)) ||
			(cJSON_IsArray(ids) && !take_ids(ids)))
		{
			bulk_stop();
			cJSON_Delete(json);
			control_refused(&r->answer, 400, "give a count or ids, and a rate of at least 0");
			return;
		}
		if (!cJSON_IsArray(ids))
			take_open(count);
		cJSON_Delete(json);
		bulk.rate = rate;
		bulk.start_us = monotonic_us();
		bulk.running = true;
		bulk.timer.fire = pay_some;
		timer_add(&bulk.timer, 0);
	}
	bulk_put_state(&r->answer.body);
	control_ok(&r->answer);
}
