/*
 * api.c
 *	  From a request to the call it makes: keys, methods and bodies, and the
 *	  invoice it is about.
 */
#include "server.h"

#include "shapes.h"
#include "validate.h"

static void answer_not_json(Request *r);

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
 * key_is_good
 *		Does the key open this account? False with the answer made.
 */
static bool
key_is_good(Request *r)
{
	static const char *const texts[] = {NULL, "The token is not valid or it is expired!", NULL,
										"The token does not have the required permissions!"};
	KeyState state = key_state(r->key_index);

	if (r->account == NULL)
		/* Shape 7: an empty body for a malformed or unknown key. */
		answer_json(&r->answer, 401);
	else if (state == KEY_OF_ANOTHER_COUNTRY)
	{
		/* Shape 9: no envelope, a text alone. */
		buf_puts(&r->answer.body, failure_shape(9)->body);
		answer_json(&r->answer, failure_shape(9)->status);
	}
	else if (state != KEY_WORKS)
		answer_failure(&r->answer, 401, texts[state], STR_NONE);
	else
		return true;
	return false;
}

/*
 * body_is_good
 *		Type and size of a body that has to be a JSON object; false with the
 *		answer made.
 */
static bool
body_is_good(Request *r)
{
	Answer *a = &r->answer;
	Str type = str_of(r->content_type);
	const char *semicolon = type.len > 0 ? memchr(type.data, ';', type.len) : NULL;

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
	put_validation_error(&errors, r->call->about == ABOUT_NEW_INVOICE ? "invoiceCreate" : "request",
						 text.data);
	answer_failure(&r->answer, 400, "Invalid data", (Str){errors.data, errors.len});
	buf_free(&text);
	buf_free(&errors);
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
 *		invoice it names; also fills what faults look at. The text lives as long
 *		as the request. Locked.
 */
Str
api_reference(Request *r)
{
	const JsonNode *body = r->doc.root;
	CallSubject about = r->call != NULL ? r->call->about : ABOUT_NOTHING;
	Str argument = {r->argument.data, r->argument.len};
	Str key, type;

	r->subject.reference = STR_NONE;
	if (r->route == ROUTE_PAGE)
		keep_reference(r, page_invoice(r));
	else if (about == ABOUT_NEW_INVOICE)
	{
		json_text(body, "CustomerReference", &r->subject.reference);
		json_text(body, "UserDefinedField", &r->subject.user_defined);
		json_text(body, "CustomerName", &r->subject.customer_name);
	}
	else if (about == ABOUT_ORDER)
	{
		json_text(json_member(body, "Order"), "ExternalIdentifier", &r->subject.reference);
		json_text(json_member(body, "Customer"), "Name", &r->subject.customer_name);
	}
	else if (about == ABOUT_REFERENCE)
		r->subject.reference = argument;
	else if (about == ABOUT_KEY && json_text(body, "Key", &key) && json_text(body, "KeyType", &type))
	{
		if (str_is_nocase(type, "CustomerReference"))
			r->subject.reference = key;
		else if (r->account != NULL && key.data != NULL)
			keep_reference(r, find_invoice(r->account, key, type));
	}
	else if ((about == ABOUT_PAYMENT || about == ABOUT_INVOICE) && r->account != NULL)
		keep_reference(r, find_invoice(r->account, argument,
									   about == ABOUT_PAYMENT ? STR_LIT("PaymentId") : STR_LIT("InvoiceId")));
	return r->subject.reference;
}

/*
 * api_answer
 *		Make the true answer to a call; with create = false what it does is not
 *		kept. Locked.
 */
void
api_answer(Request *r, bool create)
{
	Answer *a = &r->answer;

	if (r->route == ROUTE_NONE)
		answer_no_route(r);
	else if (r->call == NULL)
	{
		buf_printf(&a->body, "{\"Message\":\"The requested resource does not support http method '%s'.\"}",
				   r->method);
		calls_put_methods(&a->allow, r->first_call);
		a->header_names[a->header_count] = "Allow";
		a->header_values[a->header_count++] = a->allow.data;
		answer_json(a, 405);
	}
	else if (key_is_good(r) && (!r->call->has_body || body_is_good(r)))
	{
		r->keep = create;
		if (idempotency_replays(r))
			return;
		r->call->run(r);
		idempotency_note(r);
	}
}
