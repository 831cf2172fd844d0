/*
 * fill.c
 *	  Bodies of faults that speak of the invoice they are about.
 *
 * Tests want answers that are wrong in one respect and right in all others: a
 * 409 with the number of the very invoice that was made, say. So a rule's body
 * may name what only the true answer knows.
 */
#include "fill.h"

#include <string.h>

#include "json.h"

#define NAMES 7

/*
 * put_member
 *		A member of the true answer as JSON; null where there is none, because
 *		the request was refused, say.
 */
static void
put_member(Buf *to, const JsonDoc *truth, const char *path)
{
	const JsonNode *node = truth->root != NULL ? json_path(truth->root, path) : NULL;

	if (node == NULL || (node->type != JSON_STRING && node->type != JSON_NUMBER))
		buf_puts(to, "null");
	else if (node->type == JSON_STRING)
		buf_put_json(to, node->text);
	else
		buf_put_str(to, node->text);
}

/*
 * fill_body
 *		The pattern with {{InvoiceId}}, {{InvoiceURL}} and so on, and
 *		{{CustomerReference}} replaced: by what the true answer says, and by the request's reference.
 */
void
fill_body(Buf *to, const Buf *pattern, const Buf *truth, Str reference)
{
	static const char *const names[NAMES] = {"InvoiceId", "InvoiceURL",      "PaymentURL",       "PaymentId",
											 "RefundId",  "RefundReference", "CustomerReference"};
	static const char *const paths[NAMES] = {"Data.InvoiceId",
											 "Data.InvoiceURL",
											 "Data.PaymentURL",
											 "Data.PaymentId",
											 "Data.RefundId",
											 "Data.RefundReference",
											 NULL};
	const char *at = pattern->data;
	const char *end = at + pattern->len;
	JsonDoc doc = {0};

	if (!json_parse(&doc, (Str){truth->data, truth->len}))
		doc.root = NULL;
	while (at < end)
	{
		size_t i, len = 0;

		for (i = 0; i < NAMES; i++)
		{
			len = strlen(names[i]) + 4;
			if ((size_t) (end - at) >= len && memcmp(at, "{{", 2) == 0 &&
				memcmp(at + 2, names[i], len - 4) == 0 && memcmp(at + len - 2, "}}", 2) == 0)
				break;
		}
		if (i == NAMES)
		{
			buf_putc(to, *at++);
			continue;
		}
		if (paths[i] != NULL)
			put_member(to, &doc, paths[i]);
		else
			buf_put_json_or_null(to, reference);
		at += len;
	}
	json_free(&doc);
}
