/*
 * pages.c
 *	  The invoice pages: a person pays, fails or walks away, and is sent back.
 */
#include "server.h"

#include "page_html.h"

/*
 * page_action
 *		Split /KWT/ie/NUMBER/ACTION; the action is absent on the page itself.
 */
static Str
page_action(const Request *r, Str *page)
{
	Str path = {r->path.data, r->path.len};
	const char *slash = memchr(path.data + 8, '/', path.len - 8);

	*page = path;
	if (slash == NULL)
		return STR_NONE;
	page->len = (size_t) (slash - path.data);
	return (Str){slash + 1, path.len - page->len - 1};
}

/*
 * page_invoice
 *		The invoice whose page, or an action of it, is asked for; NULL if there
 *		is none. Locked.
 */
Invoice *
page_invoice(const Request *r)
{
	Str page;

	page_action(r, &page);
	return store_invoice_by_path(page);
}

/*
 * answer_html
 *		Finish an answer whose body is a page.
 */
static void
answer_html(Answer *a, int status)
{
	a->status = status;
	a->content_type = "text/html; charset=utf-8";
	a->header_names[a->header_count] = "Content-Security-Policy";
	a->header_values[a->header_count++] = "default-src 'none'; style-src 'unsafe-inline'";
	a->header_names[a->header_count] = "Cache-Control";
	a->header_values[a->header_count++] = "no-store";
}

/*
 * put_redirect
 *		The address with paymentId and Id in its query, before any fragment.
 */
static void
put_redirect(Buf *b, Str url, const char *payment_id)
{
	const char *hash = memchr(url.data, '#', url.len);
	Str base = {url.data, hash != NULL ? (size_t) (hash - url.data) : url.len};
	bool query = memchr(base.data, '?', base.len) != NULL;
	char last = base.data[base.len - 1];

	buf_put_str(b, base);
	if (!query)
		buf_putc(b, '?');
	else if (last != '?' && last != '&')
		buf_putc(b, '&');
	buf_printf(b, "paymentId=%s&Id=%s", payment_id, payment_id);
	buf_put(b, url.data + base.len, url.len - base.len);
}

/*
 * act
 *		Pay, fail or leave. Locked.
 */
static void
act(Request *r, Invoice *inv, Str action)
{
	Answer *a = &r->answer;
	Str form = {r->body.data, r->body.len};
	Buf value = {0};
	Buf code = {0};
	PaymentOrder order = {.gateway = inv->data.card_first ? GATEWAY_CARD : GATEWAY_KNET};
	const char *refusal;
	PaymentTry *t;
	Str url = STR_NONE;

	if (query_value(form, "gateway", &value))
		order.gateway = str_is_nocase((Str){value.data, value.len}, "KNET") ? GATEWAY_KNET : GATEWAY_CARD;
	if (query_value(form, "duplicate", &value))
		order.duplicate = str_is((Str){value.data, value.len}, "1");
	if (query_value(form, "error_code", &code))
		order.error_code = code.data;
	t = payment_act(inv, action, &order, &refusal);
	if (t == NULL)
	{
		html_invoice(&a->body, inv, "../", refusal);
		answer_html(a, 409);
	}
	else
	{
		if (t->status == TRY_SUCCESS || t->status == TRY_AUTHORIZED)
			url = inv->data.call_back_url;
		else if (t->status == TRY_FAILED)
			url = inv->data.error_url;
		a->invoice_id = inv->id;
		if (url.len > 0)
		{
			put_redirect(&a->location, url, t->payment_id);
			a->status = 302;
		}
		else
		{
			html_result(&a->body, inv, t);
			answer_html(a, 200);
		}
	}
	buf_free(&value);
	buf_free(&code);
}

/*
 * page_answer
 *		Answer a request to a page. Locked.
 */
void
page_answer(Request *r)
{
	Answer *a = &r->answer;
	Str page;
	Str action = page_action(r, &page);
	Invoice *inv = store_invoice_by_path(page);
	bool post = strcmp(r->method, "POST") == 0;

	if (inv == NULL || (action.data != NULL && !str_is(action, "pay") && !str_is(action, "fail") &&
						!str_is(action, "leave")))
	{
		html_not_found(&a->body);
		answer_html(a, 404);
	}
	else if (action.data != NULL && post)
		act(r, inv, action);
	else if (action.data != NULL || post)
	{
		a->header_names[a->header_count] = "Allow";
		a->header_values[a->header_count++] = post ? "GET" : "POST";
		html_invoice(&a->body, inv, action.data != NULL ? "../" : "",
					 post ? "Nothing can be posted here." : "Use the buttons of the invoice.");
		answer_html(a, 405);
	}
	else
	{
		html_invoice(&a->body, inv, "", NULL);
		answer_html(a, 200);
		a->invoice_id = inv->id;
	}
}

/*
 * home_answer
 *		The list of invoices. Locked.
 */
void
home_answer(Request *r)
{
	html_home(&r->answer.body, options.public_url, options.tls);
	answer_html(&r->answer, 200);
}

/*
 * checkout_answer
 *		The page of one method: on to the invoice's page. Locked.
 */
void
checkout_answer(Request *r)
{
	Buf path = {0};
	Buf key = {0};
	const Invoice *inv;

	buf_put(&path, r->path.data + 3, 4);
	buf_puts(&path, "/ie/");
	if (query_value(r->query, "invoiceKey", &key))
		buf_put(&path, key.data, key.len);
	inv = store_invoice_by_path((Str){path.data, path.len});
	r->answer.status = inv != NULL ? 302 : 404;
	if (inv != NULL)
	{
		buf_puts(&r->answer.location, options.public_url);
		buf_puts(&r->answer.location, inv->url_path);
	}
	buf_free(&path);
	buf_free(&key);
}
