/*
 * control_webhook.c
 *	  The control path to webhooks: settings, mischief, the log, and messages
 *	  that nobody at MyFatoorah would send.
 */
#include "control.h"

#include <stdlib.h>

#include "mischief.h"

#define DEFAULT_LOG_PAGE 1000

/*
 * read_filter
 *		What the query asks for; the texts live as long as the request. False
 *		with the answer made if it makes no sense.
 */
static bool
read_filter(Request *r, DeliveryFilter *filter)
{
	Buf value = {0};
	bool ok = true;

	*filter = (DeliveryFilter){.code = -1, .status = -1};
	if (query_value(r->query, "reference", &r->wait_reference))
		filter->reference = (Str){r->wait_reference.data, r->wait_reference.len};
	if (query_value(r->query, "webhook_reference", &r->wait_path))
		filter->webhook_reference = (Str){r->wait_path.data, r->wait_path.len};
	filter->invoice_id = query_integer(r, "invoice", 0);
	filter->code = (int) query_integer(r, "code", -1);
	if (query_value(r->query, "status", &value) && value.len > 0)
	{
		for (int i = 0; i < 4; i++)
			if (str_is_nocase((Str){value.data, value.len}, delivery_status_word((DeliveryStatus) i)))
				filter->status = i;
		ok = filter->status >= 0;
	}
	buf_free(&value);
	if (!ok)
		control_refused(&r->answer, 400, "status must be Waiting, Running, Succeeded or Failed");
	return ok;
}

/*
 * read_phase
 *		What to count; finished deliveries unless told otherwise.
 */
static bool
read_phase(Request *r, DeliveryPhase *phase)
{
	Buf value = {0};
	bool ok = true;

	*phase = PHASE_FINISHED;
	if (query_value(r->query, "phase", &value))
	{
		Str text = {value.data, value.len};

		if (str_is(text, "queued"))
			*phase = PHASE_QUEUED;
		else if (str_is(text, "attempted"))
			*phase = PHASE_ATTEMPTED;
		else
			ok = str_is(text, "finished");
	}
	buf_free(&value);
	if (!ok)
		control_refused(&r->answer, 400, "phase must be queued, attempted or finished");
	return ok;
}

/*
 * do_settings
 *		Read or change how webhooks are sent. Locked.
 */
static void
do_settings(Request *r)
{
	Buf error = {0};

	if (strcmp(r->method, "POST") == 0)
	{
		bool ok;
		cJSON *json = read_json(r, &ok);

		if (!ok)
			return;
		if (!webhook_configure(json, &error))
			control_refused(&r->answer, 400, error.data);
		cJSON_Delete(json);
	}
	if (error.len == 0)
	{
		webhook_put_settings(&r->answer.body);
		control_ok(&r->answer);
	}
	buf_free(&error);
}

/*
 * do_mischief
 *		Arm, list or disarm. Locked.
 */
static void
do_mischief(Request *r)
{
	Buf error = {0};

	if (strcmp(r->method, "DELETE") == 0)
		mischief_clear(true);
	else if (strcmp(r->method, "POST") == 0)
	{
		bool ok;
		cJSON *json = read_json(r, &ok);

		if (!ok)
			return;
		if (!mischief_add(json, &error))
			control_refused(&r->answer, 400, error.data);
		cJSON_Delete(json);
	}
	if (error.len == 0)
	{
		mischief_put_json(&r->answer.body);
		control_ok(&r->answer);
	}
	buf_free(&error);
}

/*
 * do_event
 *		Send an event about something the stand-in does not keep. Locked.
 */
static void
do_event(Request *r)
{
	bool ok;
	cJSON *json = read_json(r, &ok);
	const cJSON *country = cJSON_GetObjectItemCaseSensitive(json, "country");
	const Account *account;
	Buf error = {0};

	if (!ok)
		return;
	account = store_account_of(str_of(cJSON_IsString(country) ? country->valuestring : "KWT"));
	if (account == NULL)
		control_refused(&r->answer, 400, "no such country");
	else if (!webhook_event(json, account, &error))
		control_refused(&r->answer, 400, error.data);
	else
	{
		buf_printf(&r->answer.body, "{\"number\":%lld}", (long long) webhook_log_last());
		control_ok(&r->answer);
	}
	buf_free(&error);
	cJSON_Delete(json);
}

/*
 * do_replay
 *		Send a delivery of the log again, by number or by MyFatoorah's
 *		reference. Locked.
 */
static void
do_replay(Request *r)
{
	bool ok;
	cJSON *json = read_json(r, &ok);
	const cJSON *reference = cJSON_GetObjectItemCaseSensitive(json, "webhook_reference");
	const cJSON *url = cJSON_GetObjectItemCaseSensitive(json, "url");
	const Delivery *d = NULL;
	int64_t number = 0;
	int64_t times = 1;

	if (!ok)
		return;
	json_integer(json, "times", &times);
	if (json_integer(json, "number", &number))
		d = webhook_log_get(number);
	else if (cJSON_IsString(reference))
		d = webhook_log_by_reference(str_of(reference->valuestring));
	if (d == NULL)
		control_refused(&r->answer, 404, "no such delivery");
	else if (times < 1 || times > 1000)
		control_refused(&r->answer, 400, "times must be from 1 to 1000");
	else
	{
		buf_puts(&r->answer.body, "{\"numbers\":[");
		for (int64_t i = 0; i < times && d != NULL; i++)
		{
			d = webhook_replay(d, cJSON_IsString(url) ? url->valuestring : NULL);
			buf_printf(&r->answer.body, "%s%lld", i > 0 ? "," : "", (long long) d->number);
		}
		buf_puts(&r->answer.body, "]}");
		control_ok(&r->answer);
	}
	cJSON_Delete(json);
}

/*
 * do_send
 *		Send any bytes. Locked.
 */
static void
do_send(Request *r)
{
	bool ok;
	cJSON *json = read_json(r, &ok);
	Buf error = {0};
	const Delivery *d;

	if (!ok)
		return;
	d = webhook_raw(json, &error);
	if (d == NULL)
		control_refused(&r->answer, 400, error.data);
	else
	{
		buf_printf(&r->answer.body, "{\"number\":%lld}", (long long) d->number);
		control_ok(&r->answer);
	}
	buf_free(&error);
	cJSON_Delete(json);
}

/*
 * wake_waiter
 *		The count is reached: resume the long poll, unless its time is just up.
 */
static void
wake_waiter(DeliveryWaiter *waiter)
{
	Request *r = hash_entry(waiter, Request, delivery_waiter);

	if (timer_cancel(&r->timer))
		MHD_resume_connection(r->connection);
}

/*
 * do_wait
 *		Answer when so many deliveries are finished (queued, attempts made), or
 *		when the time is up. False while it waits. Locked.
 */
static bool
do_wait(Request *r)
{
	DeliveryWaiter *w = &r->delivery_waiter;

	if (r->stage != STAGE_WAIT)
	{
		int64_t ms = query_integer(r, "timeout_ms", DEFAULT_WAIT_MS);

		if (!read_filter(r, &w->filter) || !read_phase(r, &w->phase))
			return true;
		w->target = query_integer(r, "count", 1);
		w->wake = wake_waiter;
		w->count = webhook_log_count(&w->filter, w->phase);
		if (w->count < w->target && ms > 0)
		{
			webhook_log_wait(w);
			sleep_request(r, ms, STAGE_WAIT);
			return false;
		}
	}
	webhook_log_unwait(w);
	buf_printf(&r->answer.body, "{\"reached\":%s,\"count\":%lld}", w->count >= w->target ? "true" : "false",
			   (long long) w->count);
	control_ok(&r->answer);
	return true;
}

/*
 * control_webhook
 *		Answer a request below webhooks; false if it is none. *done is false if
 *		it went to sleep. Locked.
 */
bool
control_webhook(Request *r, Str path, bool *done)
{
	static const struct
	{
		const char *name;
		void (*run)(Request *r);
	} posts[] = {{"webhooks/event", do_event}, {"webhooks/replay", do_replay}, {"webhooks/send", do_send}};
	DeliveryFilter filter;

	if (str_is(path, "webhooks"))
		do_settings(r);
	else if (str_is(path, "webhooks/mischief"))
		do_mischief(r);
	else if (str_is(path, "webhooks/log"))
	{
		if (read_filter(r, &filter))
		{
			webhook_log_put_list(&r->answer.body, &filter, query_integer(r, "since", 0),
								 query_integer(r, "limit", DEFAULT_LOG_PAGE),
								 query_integer(r, "bodies", 1) != 0);
			control_ok(&r->answer);
		}
	}
	else if (str_is(path, "webhooks/wait"))
		*done = do_wait(r);
	else
	{
		for (size_t i = 0; i < sizeof(posts) / sizeof(posts[0]); i++)
			if (str_is(path, posts[i].name))
			{
				if (strcmp(r->method, "POST") == 0)
					posts[i].run(r);
				else
					control_refused(&r->answer, 405, "use POST");
				return true;
			}
		return false;
	}
	return true;
}
