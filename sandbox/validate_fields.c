/*
 * validate_fields.c
 *	  Members of a request and what their texts must look like; errors are
 *	  collected.
 */
#include "validate_fields.h"

#include <ctype.h>

#define MAX_URL_CHARACTERS 254
#define MAX_SUPPLIERS 1000

/*
 * put_validation_error
 *		Append one element of a ValidationErrors array.
 */
void
put_validation_error(Buf *errors, const char *name, const char *error)
{
	if (errors->len > 0)
		buf_putc(errors, ',');
	buf_puts(errors, "{\"Name\":");
	buf_put_json(errors, str_of(name));
	buf_puts(errors, ",\"Error\":");
	buf_put_json(errors, str_of(error));
	buf_putc(errors, '}');
}

/*
 * type_error, rule_error
 *		Note that a member has a type that cannot be read, or breaks a rule.
 */
void
type_error(Checker *c, const char *name)
{
	char full[96];

	strcpy(full, c->prefix);
	strncat(full, name, sizeof(full) - strlen(full) - 1);
	put_validation_error(&c->type_errors, full, "");
}

void
rule_error(Checker *c, const char *name, const char *error)
{
	put_validation_error(&c->req->errors, name, error);
}

/*
 * json_text
 *		A member read as text: a string, or the literal of a number or a word;
 *		absent and null give the absent string. False for an object or array.
 */
bool
json_text(const JsonNode *object, const char *name, Str *result)
{
	const JsonNode *node = json_member(object, name);

	*result = STR_NONE;
	if (node == NULL || node->type == JSON_NULL)
		return true;
	switch (node->type)
	{
		case JSON_STRING:
		case JSON_NUMBER:
			*result = node->text;
			return true;
		case JSON_TRUE:
			*result = STR_LIT("true");
			return true;
		case JSON_FALSE:
			*result = STR_LIT("false");
			return true;
		default:
			return false;
	}
}

/*
 * text_member
 *		As json_text, noting a type error against the outermost member.
 */
Str
text_member(Checker *c, const JsonNode *object, const char *name, const char *top)
{
	Str text;

	if (!json_text(object, name, &text))
		type_error(c, top);
	return text;
}

/*
 * number_member
 *		A member read as an exact number, given as number or as string. False if
 *		it has a value that is none.
 */
bool
number_member(Checker *c, const JsonNode *object, const char *name, const char *top, OptionalDecimal *result)
{
	const JsonNode *node = json_member(object, name);

	result->present = false;
	if (node == NULL || node->type == JSON_NULL ||
		(node->type == JSON_STRING && str_trim(node->text).len == 0))
		return true;
	if ((node->type == JSON_NUMBER && decimal_parse(node->text, true, &result->value)) ||
		(node->type == JSON_STRING && decimal_parse(node->text, false, &result->value)))
	{
		result->present = true;
		return true;
	}
	type_error(c, top);
	return false;
}

/*
 * integer_member
 *		A member read as a whole number; false if it is missing or is none.
 */
bool
integer_member(Checker *c, const JsonNode *object, const char *name, const char *top, int64_t *result)
{
	OptionalDecimal d;

	if (!number_member(c, object, name, top, &d) || !d.present)
		return false;
	if (d.value.scale != 0 || d.value.units > INT32_MAX || d.value.units < INT32_MIN)
	{
		type_error(c, top);
		return false;
	}
	*result = d.value.units;
	return true;
}

/*
 * typed_member
 *		A member of that type; NULL if it is missing, null, an empty text, which
 *		MyFatoorah takes for null, or (then with a type error) something else.
 */
const JsonNode *
typed_member(Checker *c, const JsonNode *object, const char *name, JsonType type)
{
	const JsonNode *node = json_member(object, name);

	if (node == NULL || node->type == JSON_NULL || (node->type == JSON_STRING && node->text.len == 0))
		return NULL;
	if (node->type != type)
	{
		type_error(c, name);
		return NULL;
	}
	return node;
}

/*
 * is_email
 *		Something, an at sign, a domain with a dot inside; no blanks.
 */
bool
is_email(Str s)
{
	const char *at = s.len > 0 ? memchr(s.data, '@', s.len) : NULL;
	const char *end = s.data + s.len;
	bool dot = false;

	if (at == NULL || at == s.data || memchr(at + 1, '@', (size_t) (end - at - 1)) != NULL)
		return false;
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char) s.data[i] <= ' ' || s.data[i] == ',' || s.data[i] == ';' || s.data[i] == '<' ||
			s.data[i] == '>' || s.data[i] == '"')
			return false;
	if (s.data[0] == '.' || at[-1] == '.')
		return false;
	for (const char *p = at + 1; p < end; p++)
		if (*p == '.')
		{
			if (p == at + 1 || p == end - 1 || p[1] == '.')
				return false;
			dot = true;
		}
	return dot;
}

/*
 * is_mobile
 *		^(?:(\+)|(00)|(\*)|())[0-9]{3,14}((\#)|())$
 */
bool
is_mobile(Str s)
{
	size_t digits = 0;

	if (s.len > 0 && (s.data[0] == '+' || s.data[0] == '*'))
	{
		s.data++;
		s.len--;
	}
	if (s.len > 0 && s.data[s.len - 1] == '#')
		s.len--;
	for (; digits < s.len; digits++)
		if (!isdigit((unsigned char) s.data[digits]))
			return false;
	if (digits > 14 && s.data[0] == '0' && s.data[1] == '0')
		digits -= 2;
	return digits >= 3 && digits <= 14;
}

/*
 * is_dial_code
 *		^(?:(\+)|(00)|(\*)|())[0-9]{1,4}$
 */
bool
is_dial_code(Str s)
{
	if (s.len > 0 && (s.data[0] == '+' || s.data[0] == '*'))
	{
		s.data++;
		s.len--;
	}
	else if (s.len > 2 && s.data[0] == '0' && s.data[1] == '0')
	{
		s.data += 2;
		s.len -= 2;
	}
	for (size_t i = 0; i < s.len; i++)
		if (!isdigit((unsigned char) s.data[i]))
			return false;
	return s.len >= 1 && s.len <= 4;
}

/*
 * is_web_url
 *		http:// or https://, a host, no blanks. Tells apart the host
 *		"localhost", which MyFatoorah refuses.
 */
bool
is_web_url(Str s, bool *localhost)
{
	Str rest = s;
	Str host;
	const char *at;
	size_t n = 0;

	*localhost = false;
	if (s.len > 7 && strncasecmp(s.data, "http://", 7) == 0)
		n = 7;
	else if (s.len > 8 && strncasecmp(s.data, "https://", 8) == 0)
		n = 8;
	else
		return false;
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char) s.data[i] <= ' ' || (unsigned char) s.data[i] == 0x7F || s.data[i] == '"' ||
			s.data[i] == '<' || s.data[i] == '>' || s.data[i] == '\\')
			return false;
	rest.data += n;
	rest.len -= n;
	host = rest;
	for (host.len = 0; host.len < rest.len; host.len++)
		if (strchr("/?#", rest.data[host.len]) != NULL)
			break;
	at = host.len > 0 ? memchr(host.data, '@', host.len) : NULL;
	if (at != NULL)
	{
		host.len -= (size_t) (at + 1 - host.data);
		host.data = at + 1;
	}
	if (host.len > 0 && host.data[0] != '[')
	{
		const char *colon = memchr(host.data, ':', host.len);

		if (colon != NULL)
			host.len = (size_t) (colon - host.data);
	}
	if (host.len == 0)
		return false;
	*localhost = str_is_nocase(host, "localhost") || str_is_nocase(host, "localhost.") ||
				 (host.len > 10 && str_is_nocase((Str){host.data + host.len - 10, 10}, ".localhost"));
	return true;
}

/*
 * url_member
 *		A redirect or webhook address.
 */
void
url_member(Checker *c, const JsonNode *object, const char *name, const char *top, Str *to, bool limited)
{
	Str url = text_member(c, object, name, top);
	bool localhost;
	char text[128];

	*to = STR_NONE;
	if (url.len == 0)
		return;
	if (limited && str_characters(url) > MAX_URL_CHARACTERS)
	{
		strcpy(text, "The field ");
		strcat(text, name);
		strcat(text, " must be a string with a maximum length of 254.");
		rule_error(c, name, text);
	}
	else if (!is_web_url(url, &localhost) || localhost)
	{
		strcpy(text, "The field ");
		strcat(text, name);
		strcat(text, " must be a url. Example http://www.example.com");
		rule_error(c, name, text);
	}
	*to = url;
}

/*
 * check_over
 *		All is checked: errors of type hide all others. True if there is none.
 */
bool
check_over(Checker *c)
{
	if (c->type_errors.len > 0)
	{
		c->req->errors.len = 0;
		buf_put(&c->req->errors, c->type_errors.data, c->type_errors.len);
	}
	buf_free(&c->type_errors);
	return c->req->errors.len == 0;
}

/*
 * check_language
 *		English unless told otherwise.
 */
void
check_language(Checker *c)
{
	Str language = text_member(c, c->body, "Language", "Language");

	if (language.len == 0)
		return;
	c->req->data.arabic = str_is_nocase(language, "AR");
	if (!c->req->data.arabic && !str_is_nocase(language, "EN"))
		rule_error(c, "Language", "The field Language must be EN or AR.");
}

/*
 * check_suppliers
 *		The split: shares add up to the amount, and no supplier is promised more
 *		than its share, in the member of that name.
 */
void
check_suppliers(Checker *c, const char *proposed)
{
	const JsonNode *array = typed_member(c, c->body, "Suppliers", JSON_ARRAY);
	InvoiceData *d = &c->req->data;
	WideDecimal sum = wide_zero();
	size_t before = c->req->errors.len + c->type_errors.len;
	char full[64] = "Suppliers.";
	int count = 0;

	strncat(full, proposed, sizeof(full) - strlen(full) - 1);
	for (const JsonNode *n = array != NULL ? array->child : NULL; n != NULL; n = n->next)
		count++;
	if (count == 0)
		return;
	if (count > MAX_SUPPLIERS)
	{
		rule_error(c, "Suppliers", "Too many suppliers.");
		return;
	}
	d->suppliers = xcalloc((size_t) count, sizeof(Supplier));
	for (const JsonNode *n = array->child; n != NULL; n = n->next)
	{
		Supplier *s = &d->suppliers[d->supplier_count++];
		OptionalDecimal share;

		if (n->type != JSON_OBJECT)
		{
			type_error(c, "Suppliers");
			return;
		}
		if (!integer_member(c, n, "SupplierCode", "Suppliers", &s->code))
			rule_error(c, "Suppliers.SupplierCode", "The SupplierCode field is required.");
		if (!number_member(c, n, "InvoiceShare", "Suppliers", &share) || !share.present)
			rule_error(c, "Suppliers.InvoiceShare", "The InvoiceShare field is required.");
		else
		{
			s->invoice_share = share.value;
			wide_add_product(&sum, share.value, 1);
		}
		if (number_member(c, n, proposed, "Suppliers", &s->proposed_share) && s->proposed_share.present &&
			decimal_compare(s->proposed_share.value, s->invoice_share) > 0)
			rule_error(c, full, "The proposed share exceeds InvoiceShare");
	}
	if (c->req->errors.len + c->type_errors.len == before && decimal_sign(d->display_value) > 0 &&
		!wide_equals(sum, d->display_value))
		rule_error(c, "Suppliers", "The total of InvoiceShare must be the amount");
}
