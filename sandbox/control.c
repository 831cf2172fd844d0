/*
 * control.c
 *	  The control path, /_sandbox/: what tests and benchmarks steer and read.
 */
#include "control.h"

#include <ctype.h>
#include <stdlib.h>

#include "status.h"

#define DEFAULT_LEDGER_PAGE 1000

/*
 * read_filter
 *		The path and the reference of the query. A path may be short: SendPayment
 *		for /v2/SendPayment. The texts live as long as the request.
 */
static void
read_filter(Request *r, LedgerFilter *filter)
{
	Buf value = {0};
	const Call *call;
	size_t argument_at;

	memset(filter, 0, sizeof(*filter));
	r->wait_path.len = 0;
	if (query_value(r->query, "path", &value) && value.len > 0)
	{
		if (value.data[0] != '/')
			buf_puts(&r->wait_path, "/v2/");
		for (size_t i = 0; i < value.len; i++)
			buf_putc(&r->wait_path, (char) tolower((unsigned char) value.data[i]));
		filter->path = (Str){r->wait_path.data, r->wait_path.len};
		call = call_at(filter->path, &argument_at);
		filter->kind = call != NULL ? (int) call->kind : KIND_OTHER;
	}
	buf_free(&value);
	if (query_value(r->query, "reference", &r->wait_reference))
		filter->reference = (Str){r->wait_reference.data, r->wait_reference.len};
}

/*
 * put_counts
 *		Append the members of an object of counters.
 */
static void
put_counts(Buf *b, const Counts *c)
{
	buf_printf(b, "\"count\":%lld,\"received\":%lld,\"incomplete\":%lld,\"answered\":%lld",
			   (long long) c->received, (long long) c->received, (long long) c->incomplete,
			   (long long) c->answered);
}

/*
 * put_health
 *		How the server is. Locked.
 */
static void
put_health(Request *r)
{
	Buf *b = &r->answer.body;
	StoreStats s = store_stats();

	buf_printf(b,
			   "{\"status\":\"ok\",\"seed\":%llu,\"clock_offset_seconds\":%lld,"
			   "\"invoices\":%lld,\"references\":%lld,\"references_full\":%s,\"transactions\":%lld,",
			   (unsigned long long) store_seed(), (long long) clock_offset(), (long long) s.invoices,
			   (long long) s.references, s.references_full ? "true" : "false", (long long) s.tries);
	ledger_put_stats(b);
	buf_putc(b, ',');
	webhook_log_put_stats(b);
	buf_puts(b, ",\"pay_many\":");
	bulk_put_state(b);
	buf_putc(b, ',');
	connections_describe(b);
	buf_puts(b, ",\"public_url\":");
	buf_put_json(b, str_of(options.public_url));
	buf_putc(b, '}');
	control_ok(&r->answer);
}

/*
 * do_reset
 *		Forget everything. Ids go on, as MyFatoorah never gives one twice, unless a seed is given. Locked.
 */
static void
do_reset(Request *r)
{
	bool ok;
	cJSON *json = read_json(r, &ok);
	int64_t seed = query_integer(r, "seed", -1);

	if (!ok)
		return;
	if (json != NULL)
		json_integer(json, "seed", &seed);
	cJSON_Delete(json);
	faults_clear();
	ledger_reset();
	bulk_stop();
	webhook_reset();
	refund_reset();
	deposit_reset();
	recurring_reset();
	idempotency_reset();
	accounts_reset();
	store_reset();
	if (seed >= 0)
	{
		webhook_start_ids((uint64_t) seed);
		refund_start_ids((uint64_t) seed);
		deposit_start_ids((uint64_t) seed);
		recurring_start_ids((uint64_t) seed);
		store_start_ids((uint64_t) seed);
	}
	payment_set_lag(NULL);
	clock_set_offset(options.clock_offset);
	put_health(r);
}

/*
 * do_clock
 *		Shift MyFatoorah's clock. Locked.
 */
static void
do_clock(Request *r)
{
	bool ok;
	cJSON *json = read_json(r, &ok);
	int64_t seconds;

	if (!ok)
		return;
	if (!json_integer(json, "offset_seconds", &seconds) || llabs(seconds) > INT64_C(10000000000))
		control_refused(&r->answer, 400, "offset_seconds must be a whole number");
	else
	{
		clock_set_offset(seconds);
		put_health(r);
	}
	cJSON_Delete(json);
}

/*
 * do_faults
 *		Arm, list or disarm. Locked.
 */
static void
do_faults(Request *r)
{
	bool ok;
	cJSON *json;
	Buf error = {0};

	if (strcmp(r->method, "DELETE") == 0)
		faults_clear();
	else if (strcmp(r->method, "POST") == 0)
	{
		json = read_json(r, &ok);
		if (!ok)
			return;
		ok = faults_add(json, options.tls, &error);
		cJSON_Delete(json);
		if (!ok)
		{
			control_refused(&r->answer, 400, error.data);
			buf_free(&error);
			return;
		}
	}
	faults_put_json(&r->answer.body);
	control_ok(&r->answer);
}

/*
 * list_invoices
 *		All invoices, or those of one reference, oldest first. Locked.
 */
static void
list_invoices(Request *r)
{
	LedgerFilter filter;
	Buf *b = &r->answer.body;
	int64_t limit = query_integer(r, "limit", INT64_MAX);
	int64_t after = query_integer(r, "after", 0);
	bool first = true;

	read_filter(r, &filter);
	buf_puts(b, "{\"invoices\":[");
	if (filter.reference.data != NULL)
	{
		Reference *ref = store_reference(filter.reference, false);
		Invoice *inv = ref != NULL ? ref->newest : NULL;
		Invoice *list[1000];
		int n = 0;

		/* At most the newest thousand of one reference. */
		for (; inv != NULL && n < 1000; inv = inv->older_same_reference)
			list[n++] = inv;
		while (n > 0)
		{
			if (!first)
				buf_putc(b, ',');
			first = false;
			status_put_invoice_summary(b, list[--n], options.public_url);
		}
	}
	else
		for (const Invoice *inv = store_oldest(); inv != NULL && limit > 0; inv = inv->newer)
		{
			if (inv->id <= after)
				continue;
			if (!first)
				buf_putc(b, ',');
			first = false;
			status_put_invoice_summary(b, inv, options.public_url);
			limit--;
		}
	buf_puts(b, "]}");
	control_ok(&r->answer);
}

/*
 * act_on_invoice
 *		Something a payer or the merchant does to it. Locked.
 */
static void
act_on_invoice(Invoice *inv, Str action, const cJSON *json, const char **refusal)
{
	PaymentOrder order = {0};
	const cJSON *m = cJSON_GetObjectItemCaseSensitive(json, "gateway");

	order.gateway = inv->data.card_first ? GATEWAY_CARD : GATEWAY_KNET;
	if (cJSON_IsString(m))
		order.gateway = str_is_nocase(str_of(m->valuestring), "KNET") ? GATEWAY_KNET : GATEWAY_CARD;
	m = cJSON_GetObjectItemCaseSensitive(json, "error_code");
	if (cJSON_IsString(m))
		order.error_code = m->valuestring;
	order.duplicate = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "duplicate"));
	order.force = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "force"));
	order.has_amount = json_decimal(json, "amount", &order.amount);
	if (!order.has_amount && cJSON_GetObjectItemCaseSensitive(json, "amount") != NULL)
		*refusal = "amount must be a decimal in a string";
	else
		payment_act(inv, action, &order, refusal);
}

/*
 * refund_at_once
 *		What a person does in the portal: file a refund, which is approved at
 *		once unless it is to be pending. Locked.
 */
static void
refund_at_once(Invoice *inv, const cJSON *json, const char **refusal)
{
	const cJSON *comment = cJSON_GetObjectItemCaseSensitive(json, "comment");
	const cJSON *pending = cJSON_GetObjectItemCaseSensitive(json, "pending");
	RefundOrder order = {.amount = refund_remaining(inv)};
	const char *member;
	Refund *refund;

	if (cJSON_GetObjectItemCaseSensitive(json, "amount") != NULL &&
		!json_decimal(json, "amount", &order.amount))
	{
		*refusal = "amount must be a decimal in a string";
		return;
	}
	if (cJSON_IsString(comment))
		order.comment = str_of(comment->valuestring);
	refund = refund_add(inv, &order, &member, refusal);
	if (refund != NULL && !cJSON_IsTrue(pending))
		webhook_decide_refund(refund, true);
}

/*
 * do_lag
 *		How long GetPaymentStatus does not see a payment. Locked.
 */
static void
do_lag(Request *r)
{
	bool ok = true;
	cJSON *json = strcmp(r->method, "POST") == 0 ? read_json(r, &ok) : NULL;

	if (!ok)
		return;
	if (strcmp(r->method, "GET") != 0 && !payment_set_lag(json))
		control_refused(&r->answer, 400, "reads and ms must be whole numbers, at least 0");
	else
	{
		payment_put_lag(&r->answer.body);
		control_ok(&r->answer);
	}
	cJSON_Delete(json);
}

/*
 * do_invoice
 *		ID/ACTION, or just ID to read it. Locked.
 */
static void
do_invoice(Request *r, Str rest)
{
	Invoice *inv = NULL;
	const char *slash = memchr(rest.data, '/', rest.len);
	Str id = rest;
	Str action = STR_NONE;
	const char *refusal = NULL;
	cJSON *json;
	const cJSON *m;
	bool ok;

	if (slash != NULL)
	{
		id.len = (size_t) (slash - rest.data);
		action = (Str){slash + 1, rest.len - id.len - 1};
	}
	if (id.len > 0 && id.len < 18)
		inv = store_invoice(strtoll(id.data, NULL, 10));
	if (inv == NULL)
	{
		control_refused(&r->answer, 404, "no such invoice");
		return;
	}
	if (action.data != NULL)
	{
		if (strcmp(r->method, "POST") != 0)
		{
			control_refused(&r->answer, 405, "use POST");
			return;
		}
		json = read_json(r, &ok);
		if (!ok)
			return;
		if (str_is(action, "dispute"))
		{
			if (!webhook_dispute(inv, json))
				refusal = "the invoice is not paid";
		}
		else if (str_is(action, "refund"))
			refund_at_once(inv, json, &refusal);
		else
			act_on_invoice(inv, action, json, &refusal);
		m = cJSON_GetObjectItemCaseSensitive(json, "invoice_status");
		if (refusal == NULL && cJSON_IsString(m))
		{
			strncpy(inv->status, m->valuestring, sizeof(inv->status) - 1);
			inv->status[sizeof(inv->status) - 1] = '\0';
		}
		cJSON_Delete(json);
		if (refusal != NULL)
		{
			control_refused(&r->answer, 409, refusal);
			return;
		}
	}
	status_put_invoice_summary(&r->answer.body, inv, options.public_url);
	control_ok(&r->answer);
}

/*
 * wake_waiter
 *		The count is reached: resume the long poll, unless its time is just up.
 */
static void
wake_waiter(Waiter *waiter)
{
	Request *r = hash_entry(waiter, Request, waiter);

	if (timer_cancel(&r->timer))
		MHD_resume_connection(r->connection);
}

/*
 * do_wait
 *		Answer when so many requests have come in (or been answered), or when
 *		the time is up. False while it waits. Locked.
 */
static bool
do_wait(Request *r)
{
	Waiter *w = &r->waiter;
	Counts counts;
	Buf phase = {0};
	bool reached;

	if (r->stage != STAGE_WAIT)
	{
		read_filter(r, &w->filter);
		w->target = query_integer(r, "count", 1);
		w->answered =
			query_value(r->query, "phase", &phase) && str_is((Str){phase.data, phase.len}, "answered");
		buf_free(&phase);
		w->wake = wake_waiter;
	}
	counts = ledger_counts(&w->filter);
	reached = (w->answered ? counts.answered : counts.received) >= w->target;
	if (!reached && r->stage != STAGE_WAIT)
	{
		int64_t ms = query_integer(r, "timeout_ms", DEFAULT_WAIT_MS);

		if (ms > 0)
		{
			ledger_wait(w);
			sleep_request(r, ms, STAGE_WAIT);
			return false;
		}
	}
	ledger_unwait(w);
	buf_printf(&r->answer.body, "{\"reached\":%s,", reached ? "true" : "false");
	put_counts(&r->answer.body, &counts);
	buf_putc(&r->answer.body, '}');
	control_ok(&r->answer);
	return true;
}

/*
 * control_answer
 *		Answer a request to the control path; false if it went to sleep.
 */
bool
control_answer(Request *r)
{
	Str path = {r->path.data + strlen("/_sandbox/"), r->path.len - strlen("/_sandbox/")};
	Answer *a = &r->answer;
	LedgerFilter filter;
	Counts counts;
	bool done = true;
	bool post = strcmp(r->method, "POST") == 0;

	store_lock();
	if (r->body_too_long)
		control_refused(a, 413, "the body is too large");
	else if (str_is(path, "health"))
		put_health(r);
	else if (str_is(path, "wait"))
		done = do_wait(r);
	else if (str_is(path, "ledger/count"))
	{
		read_filter(r, &filter);
		counts = ledger_counts(&filter);
		buf_putc(&a->body, '{');
		put_counts(&a->body, &counts);
		buf_putc(&a->body, '}');
		control_ok(a);
	}
	else if (str_is(path, "ledger"))
	{
		read_filter(r, &filter);
		ledger_put_json(&a->body, &filter, query_integer(r, "since", 0),
						query_integer(r, "limit", DEFAULT_LEDGER_PAGE), query_integer(r, "bodies", 1) != 0);
		control_ok(a);
	}
	else if (str_is(path, "faults"))
		do_faults(r);
	else if (str_is(path, "invoices"))
		list_invoices(r);
	else if (str_has_prefix(path, STR_LIT("invoices/")))
		do_invoice(r, (Str){path.data + 9, path.len - 9});
	else if (control_account(r, path))
		;
	else if (str_is(path, "lag"))
		do_lag(r);
	else if (str_is(path, "pay-many"))
		bulk_pay(r);
	else if (control_webhook(r, path, &done))
		;
	else if (str_is(path, "reset") || str_is(path, "clock"))
	{
		if (!post)
			control_refused(a, 405, "use POST");
		else if (path.data[0] == 'r')
			do_reset(r);
		else
			do_clock(r);
	}
	else
		control_refused(a, 404, "no such control; see sandbox/README.md");
	store_unlock();
	return done;
}
