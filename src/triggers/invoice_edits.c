/*
 * invoice_edits.c
 *	  Changes that users make to rows of mf_invoice, as text for the history.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/triggers/invoice_edits.c
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/datum.h"
#include "utils/json.h"
#include "utils/lsyscache.h"

#include "base/compat.h"
#include "request/request.h"
#include "triggers/invoice_private.h"

static void add_value(StringInfo json, Form_pg_attribute attribute, const MfInvoiceRow *row);
static bool is_url(int column);
static char *without_secrets(char *url);

bool
mf_same_column(TupleDesc desc, const MfInvoiceRow *a, const MfInvoiceRow *b, int column)
{
	Form_pg_attribute attribute = TupleDescAttr(desc, column - 1);

	if (a->isnull[column] || b->isnull[column])
		return a->isnull[column] == b->isnull[column];
	return datum_image_eq(a->values[column], b->values[column], attribute->attbyval, attribute->attlen);
}

char *
mf_edit_text(TupleDesc desc, const MfInvoiceRow *before, const MfInvoiceRow *after)
{
	StringInfoData json;
	int			column;

	initStringInfo(&json);
	for (column = MF_IC_ACCOUNT; column < MF_IC_END; column++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, column - 1);

		/* none of these is worth a line: the role is shown by created_by, and metadata is the user's own */
		if (column == MF_IC_CREATED_BY_ID)
			break;
		if (mf_same_column(desc, before, after, column))
			continue;
		appendStringInfoString(&json, json.len == 0 ? "{" : ", ");
		escape_json(&json, NameStr(attribute->attname));
		appendStringInfoString(&json, ": {\"old\": ");
		add_value(&json, attribute, before);
		appendStringInfoString(&json, ", \"new\": ");
		add_value(&json, attribute, after);
		appendStringInfoChar(&json, '}');
	}
	if (json.len == 0)
		return NULL;
	appendStringInfoChar(&json, '}');
	return json.data;
}

/* Appends a value as JSON; types without a JSON counterpart become strings. */
static void
add_value(StringInfo json, Form_pg_attribute attribute, const MfInvoiceRow *row)
{
	int			column = attribute->attnum;
	Oid			output;
	bool		varlena;
	char	   *text;

	if (row->isnull[column])
	{
		appendStringInfoString(json, "null");
		return;
	}
	if (attribute->atttypid == TIMESTAMPTZOID)
	{
		char		buffer[MAXDATELEN + 1];

		escape_json(json, JsonEncodeDateTime(buffer, row->values[column], TIMESTAMPTZOID, NULL));
		return;
	}
	if (attribute->atttypid == BOOLOID)
	{
		appendStringInfoString(json, DatumGetBool(row->values[column]) ? "true" : "false");
		return;
	}
	getTypeOutputInfo(attribute->atttypid, &output, &varlena);
	text = OidOutputFunctionCall(output, row->values[column]);
	if (attribute->atttypid == JSONBOID || attribute->atttypid == NUMERICOID || attribute->atttypid == INT2OID)
		appendStringInfoString(json, text);
	else
		escape_json(json, is_url(column) ? without_secrets(text) : text);
}

static bool
is_url(int column)
{
	return column == MF_IC_CUSTOMER_NAME + MF_SP_CALL_BACK_URL || column == MF_IC_CUSTOMER_NAME + MF_SP_ERROR_URL ||
		column == MF_IC_CUSTOMER_NAME + MF_SP_WEBHOOK_URL;
}

/*
 * Removes user name, password and query from a URL, in place.  They may be secret, and
 * the history may be kept for longer than the row.
 */
static char *
without_secrets(char *url)
{
	char	   *host = strstr(url, "//");
	char	   *query = strchr(url, '?');
	char	   *at;

	if (query != NULL)
		strcpy(query, "?");
	if (host == NULL)
		return url;
	host += 2;
	at = strchr(host, '@');
	if (at != NULL && at < host + strcspn(host, "/#"))
		memmove(host, at, strlen(at) + 1);
	return url;
}
