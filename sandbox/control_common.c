/*
 * control_common.c
 *	  What the parts of the control path share: answers, and reading of query
 *	  and body.
 */
#include "control.h"

#include <stdlib.h>

/*
 * control_ok, control_refused
 *		Finish an answer; a refusal says why.
 */
void
control_ok(Answer *a)
{
	a->status = 200;
	a->content_type = "application/json; charset=utf-8";
	buf_putc(&a->body, '\n');
}

void
control_refused(Answer *a, int status, const char *why)
{
	a->body.len = 0;
	buf_puts(&a->body, "{\"error\":");
	buf_put_json(&a->body, str_of(why));
	buf_putc(&a->body, '}');
	control_ok(a);
	a->status = status;
}

/*
 * query_integer
 *		A number from the query, or the default.
 */
int64_t
query_integer(Request *r, const char *name, int64_t otherwise)
{
	Buf value = {0};
	int64_t result = otherwise;

	if (query_value(r->query, name, &value) && value.len > 0)
		result = strtoll(value.data, NULL, 10);
	buf_free(&value);
	return result;
}

/*
 * read_json
 *		The body as JSON; NULL if there is none. Not ok, with the answer made,
 *		if it is malformed. The caller deletes it.
 */
cJSON *
read_json(Request *r, bool *ok)
{
	cJSON *json;

	*ok = true;
	if (r->body.len == 0)
		return NULL;
	json = cJSON_ParseWithLength(r->body.data, r->body.len);
	if (json == NULL)
	{
		*ok = false;
		control_refused(&r->answer, 400, "the body is not JSON");
	}
	return json;
}

/*
 * json_integer
 *		A whole number member; false if it is missing or none.
 */
bool
json_integer(const cJSON *object, const char *name, int64_t *to)
{
	const cJSON *m = cJSON_GetObjectItemCaseSensitive(object, name);

	if (!cJSON_IsNumber(m) || m->valuedouble != (double) (int64_t) m->valuedouble)
		return false;
	*to = (int64_t) m->valuedouble;
	return true;
}

/*
 * json_decimal
 *		An amount, which must be a text; false if it is missing or none.
 */
bool
json_decimal(const cJSON *object, const char *name, Decimal *to)
{
	const cJSON *m = cJSON_GetObjectItemCaseSensitive(object, name);

	return cJSON_IsString(m) && decimal_parse(str_of(m->valuestring), false, to);
}
