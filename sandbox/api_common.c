/*
 * api_common.c
 *	  What the calls of the API share: answers in JSON, and the invoice that a
 *	  key names.
 */
#include "server.h"

#include <ctype.h>

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
		int64_t id = 0;

		if (key.len == 0 || key.len > 18)
			return NULL;
		for (size_t i = 0; i < key.len; i++)
		{
			if (!isdigit((unsigned char) key.data[i]))
				return NULL;
			id = id * 10 + (key.data[i] - '0');
		}
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
