/*
 * api.c
 *	  The calls of the API: SendPayment, GetPaymentStatus, UpdatePaymentStatus.
 */
#include "server.h"

#include <string.h>

#include "shapes.h"
#include "status.h"
#include "validate.h"

static bool call_is_allowed(Request *r);
static void answer_not_json(Request *r);
static void send_payment(Request *r, bool create);
static bool take_key(Request *r, Str *key, Str *type);
static void answer_invoice(Request *r, Invoice *inv);
static void get_payment_status(Request *r);
static void update_payment_status(Request *r);
static void keep_reference(Request *r, const Invoice *inv);
static void answer_no_route(Request *r);

/*
 * answer_no_route
 *		MyFatoorah's framework answers for a path it does not know: without the
 *		envelope.
 */
static void
answer_no_route(Request *r)
{
	Buf uri = {0};
	Answer *a = &r->answer;
	Buf text = {0};

	buf_puts(&uri, options.tls ? "https://" : "http://");
	buf_puts(&uri, r->host != NULL ? r->host : "127.0.0.1");
	buf_put(&uri, r->target.data, r->target.len);
	buf_puts(&text, "No HTTP resource was found that matches the request URI '");
	buf_put(&text, uri.data, uri.len);
	buf_puts(&text, "'.");
	buf_puts(&a->body, "{\"Message\":");
	buf_put_json(&a->body, (Str){text.data, text.len});
	text.len = 0;
	buf_puts(&text, "No route providing a controller name was found to match request URI '");
	buf_put(&text, uri.data, uri.len);
	buf_puts(&text, "'");
	buf_puts(&a->body, ",\"MessageDetail\":");
	buf_put_json(&a->body, (Str){text.data, text.len});
	buf_putc(&a->body, '}');
	answer_json(a, 404);
	buf_free(&uri);
	buf_free(&text);
}

/*
 * call_is_allowed
 *		Method, key, type and size of a call; false with the answer made.
 */
static bool
call_is_allowed(Request *r)
{
	Answer *a = &r->answer;
	Str type = str_of(r->content_type);
	const char *semicolon = type.len > 0 ? memchr(type.data, ';', type.len) : NULL;

	if (strcmp(r->method, "POST") != 0)
	{
		buf_printf(&a->body, "{\"Message\":\"The requested resource does not support http method '%s'.\"}",
				   r->method);
		a->header_names[a->header_count] = "Allow";
		a->header_values[a->header_count++] = "POST";
		answer_json(a, 405);
		return false;
	}
	if (r->account == NULL)
	{
		/* Shape 7: an empty body for a malformed or unknown key. */
		answer_json(a, 401);
		return false;
	}
	if (r->body_too_long)
	{
		answer_failure(a, 413, "The request is too large", STR_NONE);
		return false;
	}
	if (semicolon != NULL)
		type.len = (size_t) (semicolon - type.data);
	type = str_trim(type);
	if (!str_is_nocase(type, "application/json") && !str_is_nocase(type, "text/json"))
	{
		buf_puts(&a->body, "{\"Message\":");
		if (type.len == 0)
			buf_put_json(&a->body, STR_LIT("The request contains an entity body but no Content-Type header. "
										   "The inferred media type 'application/octet-stream' is not "
										   "supported for this resource."));
		else
		{
			Buf text = {0};

			buf_puts(&text, "The request entity's media type '");
			buf_put_str(&text, type);
			buf_puts(&text, "' is not supported for this resource.");
			buf_put_json(&a->body, (Str){text.data, text.len});
			buf_free(&text);
		}
		buf_putc(&a->body, '}');
		answer_json(a, 415);
		return false;
	}
	if (r->doc.root == NULL || r->doc.root->type != JSON_OBJECT)
	{
		answer_not_json(r);
		return false;
	}
	return true;
}

/*
 * answer_not_json
 *		Refuse a body that is no JSON object, saying where it breaks.
 */
static void
answer_not_json(Request *r)
{
	Buf text = {0};
	Buf errors = {0};

	if (r->doc.error != NULL)
		buf_printf(&text, "The request body is not valid JSON: %s (byte %zu).", r->doc.error,
				   r->doc.error_at);
	else
		buf_puts(&text, "The request body must be a JSON object.");
	put_validation_error(&errors, r->route == ROUTE_SEND_PAYMENT ? "invoiceCreate" : "request", text.data);
	answer_failure(&r->answer, 400, "Invalid data", (Str){errors.data, errors.len});
	buf_free(&text);
	buf_free(&errors);
}

/*
 * send_payment
 *		Create an invoice and hand out its address. Without create everything is
 *		as if, but the invoice is not kept. Locked.
 */
static void
send_payment(Request *r, bool create)
{
	SendPaymentRequest req;
	Answer *a = &r->answer;
	Invoice *inv;

	if (!validate_send_payment(r->doc.root, r->account, &req))
	{
		answer_failure(a, 400, "Invalid data", (Str){req.errors.data, req.errors.len});
		validate_free(&req);
		return;
	}
	if (store_is_full())
	{
		answer_failure(a, 503, "The sandbox is full: raise --invoice-limit", STR_NONE);
		validate_free(&req);
		return;
	}
	inv = store_create(r->account, &req.data, create);
	inv->ledger_seq = r->ledger.seq;
	buf_reserve(&a->body, 320);
	buf_puts(&a->body, "{\"IsSuccess\":true,\"Message\":\"Invoice Created Successfully!\","
					   "\"ValidationErrors\":null,\"Data\":{\"InvoiceId\":");
	buf_put_int(&a->body, inv->id);
	buf_puts(&a->body, ",\"InvoiceURL\":\"");
	buf_puts(&a->body, options.public_url);
	buf_puts(&a->body, inv->url_path);
	buf_puts(&a->body, "\",\"CustomerReference\":");
	buf_put_json_or_null(&a->body, inv->data.reference);
	buf_puts(&a->body, ",\"UserDefinedField\":");
	buf_put_json_or_null(&a->body, inv->data.user_defined);
	buf_puts(&a->body, "}}");
	answer_json(a, 200);
	if (create)
		a->invoice_id = inv->id;
	else
		store_free_invoice(inv);
	validate_free(&req);
}

/*
 * take_key
 *		Key and KeyType of a request; false with the answer made if one is
 *		missing.
 */
static bool
take_key(Request *r, Str *key, Str *type)
{
	Buf errors = {0};
	bool ok;

	if (!json_text(r->doc.root, "Key", key) || key->data == NULL)
		put_validation_error(&errors, "Key", "The Key field is required.");
	if (!json_text(r->doc.root, "KeyType", type) || type->len == 0)
		put_validation_error(&errors, "KeyType", "The KeyType field is required.");
	ok = errors.len == 0;
	if (!ok)
		answer_failure(&r->answer, 400, "Invalid data", (Str){errors.data, errors.len});
	buf_free(&errors);
	return ok;
}

/*
 * answer_invoice
 *		The whole invoice. While MyFatoorah's parts disagree its payment looks
 *		as if it were still going on. Locked.
 */
static void
answer_invoice(Request *r, Invoice *inv)
{
	Answer *a = &r->answer;

	buf_puts(&a->body, "{\"IsSuccess\":true,\"Message\":\"\",\"ValidationErrors\":null,\"Data\":");
	if (payment_is_stale(inv))
	{
		PaymentTry *last = inv->last_try;
		TryStatus status = last->status;
		char word[sizeof(inv->status)];

		memcpy(word, inv->status, sizeof(word));
		strcpy(inv->status, "Pending");
		last->status = TRY_IN_PROGRESS;
		status_put_data(&a->body, inv);
		last->status = status;
		memcpy(inv->status, word, sizeof(word));
	}
	else
		status_put_data(&a->body, inv);
	buf_putc(&a->body, '}');
	answer_json(a, 200);
	a->invoice_id = inv->id;
}

/*
 * get_payment_status
 *		The whole invoice, whichever key was used. Locked.
 */
static void
get_payment_status(Request *r)
{
	Str key, type;
	Invoice *inv;

	if (!take_key(r, &key, &type))
		return;
	inv = find_invoice(r->account, key, type);
	if (inv == NULL)
		answer_failure(&r->answer, 400, "No data match the provided values", STR_NONE);
	else
		answer_invoice(r, inv);
}

/*
 * update_payment_status
 *		Capture or release what was authorised, once. Locked.
 */
static void
update_payment_status(Request *r)
{
	PaymentOrder order = {0};
	Str key, type, operation, amount;
	Buf errors = {0};
	const char *member = "Operation";
	const char *refusal = NULL;
	Invoice *inv;
	bool capture;

	if (!take_key(r, &key, &type))
		return;
	if (!json_text(r->doc.root, "Operation", &operation) || !json_text(r->doc.root, "Amount", &amount))
		operation = amount = STR_NONE;
	capture = str_is_nocase(operation, "Capture");
	inv = find_invoice(r->account, key, type);
	if (inv == NULL)
	{
		answer_failure(&r->answer, 400, "No data match the provided values", STR_NONE);
		return;
	}
	if (amount.data != NULL && !decimal_parse(amount, false, &order.amount))
	{
		member = "Amount";
		refusal = "The Amount is not a number";
	}
	else if (amount.data == NULL && capture)
	{
		member = "Amount";
		refusal = "The Amount field is required.";
	}
	else if (!capture && !str_is_nocase(operation, "Release"))
		refusal = "The Operation must be Capture or Release";
	else
	{
		order.has_amount = capture;
		payment_act(inv, capture ? STR_LIT("capture") : STR_LIT("release"), &order, &refusal);
	}
	if (refusal == NULL)
		answer_invoice(r, inv);
	else
	{
		put_validation_error(&errors, member, refusal);
		answer_failure(&r->answer, 400, "Invalid data", (Str){errors.data, errors.len});
		buf_free(&errors);
	}
}

/*
 * keep_reference
 *		Note the reference of an invoice, if there is one, as the request's. It
 *		is copied: the invoice may be gone, by a reset, before the request is.
 */
static void
keep_reference(Request *r, const Invoice *inv)
{
	if (inv == NULL || inv->data.reference.data == NULL)
		return;
	r->kept_reference.len = 0;
	buf_put_str(&r->kept_reference, inv->data.reference);
	r->subject.reference = (Str){r->kept_reference.data, r->kept_reference.len};
}

/*
 * api_reference
 *		The CustomerReference a call is about: the one sent, or that of the
 *		invoice whose status is asked for; also fills what faults look at. The
 *		text lives as long as the request. Locked.
 */
Str
api_reference(Request *r)
{
	Str key, type;

	r->subject.reference = STR_NONE;
	if (r->route == ROUTE_PAGE)
		keep_reference(r, page_invoice(r));
	if (r->doc.root == NULL)
		return r->subject.reference;
	if (r->route == ROUTE_SEND_PAYMENT)
	{
		json_text(r->doc.root, "CustomerReference", &r->subject.reference);
		json_text(r->doc.root, "UserDefinedField", &r->subject.user_defined);
		json_text(r->doc.root, "CustomerName", &r->subject.customer_name);
	}
	else if (r->route != ROUTE_GET_WEBHOOKS && r->route != ROUTE_NONE &&
			 json_text(r->doc.root, "Key", &key) && json_text(r->doc.root, "KeyType", &type))
	{
		if (str_is_nocase(type, "CustomerReference"))
			r->subject.reference = key;
		else if (r->account != NULL && key.data != NULL)
			keep_reference(r, find_invoice(r->account, key, type));
	}
	return r->subject.reference;
}

/*
 * api_answer
 *		Make the true answer to a call; with create = false SendPayment answers
 *		for an invoice that is not kept. Locked.
 */
void
api_answer(Request *r, bool create)
{
	if (r->route == ROUTE_NONE)
	{
		answer_no_route(r);
		return;
	}
	if (!call_is_allowed(r))
		return;
	switch (r->route)
	{
		case ROUTE_SEND_PAYMENT:
			send_payment(r, create);
			break;
		case ROUTE_GET_PAYMENT_STATUS:
			get_payment_status(r);
			break;
		case ROUTE_UPDATE_PAYMENT_STATUS:
			update_payment_status(r);
			break;
		case ROUTE_MAKE_REFUND:
			make_refund(r);
			break;
		case ROUTE_GET_REFUND_STATUS:
			get_refund_status(r);
			break;
		default:
			get_webhooks(r);
			break;
	}
}
