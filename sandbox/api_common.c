/*
 * api_common.c
 *	  What the calls of the API share: answers in JSON, and the invoice that a
 *	  key names.
 */
#include "server.h"

#include <ctype.h>

#include "validate.h"

#define JSON_TYPE "application/json; charset=utf-8"

/*
 * answer_json
 *		Set the status and the type; the body is already there.
 */
void
answer_json(Answer *a, int status)
{
	a->status = status;
	a->content_type = JSON_TYPE;
}

/*
 * answer_failure
 *		An envelope that says no. errors holds the elements of ValidationErrors;
 *		without any the member is null.
 */
void
answer_failure(Answer *a, int status, const char *message, Str errors)
{
	buf_puts(&a->body, "{\"IsSuccess\":false,\"Message\":");
	buf_put_json(&a->body, str_of(message));
	if (errors.len > 0)
	{
		buf_puts(&a->body, ",\"ValidationErrors\":[");
		buf_put_str(&a->body, errors);
		buf_puts(&a->body, "],\"Data\":null}");
	}
	else
		buf_puts(&a->body, ",\"ValidationErrors\":null,\"Data\":null}");
	answer_json(a, status);
}

/*
 * answer_success
 *		An envelope that says yes, around Data as JSON.
 */
void
answer_success(Answer *a, int status, const char *message, Str data)
{
	buf_puts(&a->body, "{\"IsSuccess\":true,\"Message\":");
	buf_put_json_or_null(&a->body, str_of(message));
	buf_puts(&a->body, ",\"ValidationErrors\":null,\"Data\":");
	buf_put_str(&a->body, data);
	buf_putc(&a->body, '}');
	answer_json(a, status);
}

/*
 * refuse
 *		An answer with one validation error.
 */
void
refuse(Request *r, const char *member, const char *text)
{
	Buf errors = {0};

	put_validation_error(&errors, member, text);
	answer_failure(&r->answer, 400, "Invalid data", (Str){errors.data, errors.len});
	buf_free(&errors);
}

/*
 * answer_no_match
 *		MyFatoorah's answer to a key it does not know.
 */
void
answer_no_match(Request *r)
{
	answer_failure(&r->answer, 400, "No data match the provided values", STR_NONE);
}

/*
 * take_key
 *		Key and KeyType of a request; false with the answer made if one is
 *		missing.
 */
bool
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
 * take_amount
 *		An amount, as number or as text; nothing, or an empty text, is 0. False
 *		if it is neither.
 */
bool
take_amount(const JsonNode *body, const char *name, Decimal *amount)
{
	Str text;

	*amount = (Decimal){0, 0};
	return json_text(body, name, &text) && (text.len == 0 || decimal_parse(text, false, amount));
}

/*
 * take_flag
 *		True or false, also as text; nothing is false. False if it is neither.
 */
bool
take_flag(const JsonNode *body, const char *name, bool *flag)
{
	Str text;

	*flag = false;
	if (!json_text(body, name, &text))
		return false;
	*flag = str_is_nocase(text, "true");
	return *flag || text.len == 0 || str_is_nocase(text, "false");
}

/*
 * parse_id
 *		An id in digits, at most 18; false if it is none.
 */
bool
parse_id(Str text, int64_t *id)
{
	*id = 0;
	if (text.len == 0 || text.len > 18)
		return false;
	for (size_t i = 0; i < text.len; i++)
	{
		if (!isdigit((unsigned char) text.data[i]))
			return false;
		*id = *id * 10 + (text.data[i] - '0');
	}
	return true;
}

/*
 * find_invoice
 *		The invoice of the account that a key of that type means; NULL if there
 *		is none. By reference, the last created. Locked.
 */
Invoice *
find_invoice(const Account *account, Str key, Str type)
{
	Invoice *inv = NULL;

	if (str_is_nocase(type, "InvoiceId"))
	{
		int64_t id;

		if (!parse_id(key, &id))
			return NULL;
		inv = store_invoice(id);
	}
	else if (str_is_nocase(type, "PaymentId"))
	{
		PaymentTry *t = store_try(key);

		inv = t != NULL ? t->invoice : NULL;
	}
	else if (str_is_nocase(type, "CustomerReference"))
	{
		Reference *ref = key.len > 0 ? store_reference(key, false) : NULL;

		inv = ref != NULL ? ref->newest : NULL;
		while (inv != NULL && inv->account != account)
			inv = inv->older_same_reference;
	}
	return inv != NULL && inv->account == account ? inv : NULL;
}
