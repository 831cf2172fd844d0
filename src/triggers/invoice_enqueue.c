/*
 * invoice_enqueue.c
 *	  AFTER triggers of mf_invoice: put invoices on the agenda, and note changes.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/triggers/invoice_enqueue.c
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "account/account_option.h"
#include "base/settings.h"
#include "process/wakeup.h"
#include "store/archive.h"
#include "store/queue_operations.h"
#include "store/queue_pause.h"
#include "triggers/invoice_private.h"

static void enqueue_inserted(TriggerData *trigger, Oid schema);
static void warn_of_missing_worker(void);
static void follow_update(TriggerData *trigger, Oid schema);
static void note_changes(TupleDesc desc, const MfRow *before, const MfRow *after, Oid schema);
static TimestampTz due_time(const MfRow *row);
static char *changes_as_json(TupleDesc desc, const MfRow *before, const MfRow *after);
static void add_value(StringInfo json, Form_pg_attribute attribute, const MfRow *row);
static bool is_url(int column);
static char *without_secrets(char *url);

PG_FUNCTION_INFO_V1(mf_invoice_enqueue);

/* Fires for each INSERT statement, with a transition table, and for each updated row that is on the agenda. */
Datum
mf_invoice_enqueue(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = mf_invoice_trigger_data(fcinfo, "mf_invoice_enqueue", false);
	Oid			schema = RelationGetNamespace(trigger->tg_relation);

	if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		enqueue_inserted(trigger, schema);
	else
		follow_update(trigger, schema);
	return PointerGetDatum(NULL);
}

/* Puts new invoices on the agenda.  If another server may send them, all sending is paused. */
static void
enqueue_inserted(TriggerData *trigger, Oid schema)
{
	bool		in_use = false;
	uint64		entries;

	mf_archive_check_insert(schema, trigger);
	entries = mf_queue_insert(schema, trigger, mf_invoices_restored() ? &in_use : NULL);
	if (in_use)
	{
		mf_queue_pause(schema, MF_ALL_ACCOUNTS, MF_PAUSED_BY_RESTORE,
					   "invoices were restored; the server they come from may send them and ask about them, too");
		ereport(WARNING,
				(errmsg("sending is paused because invoices were restored"),
				 errhint("Make sure that the server they come from does not send them, then call mf_resume('*').")));
	}
	if (entries > 0 && mf_shared == NULL)
		warn_of_missing_worker();
}

static void
warn_of_missing_worker(void)
{
	const char *libraries = GetConfigOption("shared_preload_libraries", true, false);

	ereport(WARNING,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("invoices are stored but will not be sent"),
			 errdetail("The library myfatoorah is not in shared_preload_libraries, so no worker is running."),
			 errhint("Add this line to postgresql.conf and restart the server: shared_preload_libraries = '%s%s%s'",
					 libraries ? libraries : "", libraries && libraries[0] ? "," : "", MF_EXTENSION)));
}

/* Writes a user's change of a row into the history, and moves its entry of the agenda if need be. */
static void
follow_update(TriggerData *trigger, Oid schema)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	MfRow		before;
	MfRow		after;
	bool		same_account;

	mf_row_read(trigger->tg_trigtuple, desc, &before);
	mf_row_read(trigger->tg_newtuple, desc, &after);
	same_account = mf_same_column(desc, &before, &after, MF_IC_ACCOUNT);
	if (!after.isnull[MF_IC_IDEMPOTENCY_KEY] &&
		!(same_account && mf_same_column(desc, &before, &after, MF_IC_IDEMPOTENCY_KEY)))
		mf_archive_check_key(schema, after.values[MF_IC_ACCOUNT], after.values[MF_IC_IDEMPOTENCY_KEY]);
	note_changes(desc, &before, &after, schema);
	if (same_account &&
		mf_same_column(desc, &before, &after, MF_IC_SEND_AT) &&
		mf_same_column(desc, &before, &after, MF_IC_PRIORITY) &&
		mf_same_column(desc, &before, &after, MF_IC_CUSTOMER_NAME + MF_SP_NOTIFICATION_OPTION))
		return;
	mf_queue_reschedule(schema, DatumGetInt64(after.values[MF_IC_ID]),
						TextDatumGetCString(after.values[MF_IC_ACCOUNT]),
						DatumGetTimestampTz(after.values[MF_IC_SEND_AT]), due_time(&after),
						DatumGetInt16(after.values[MF_IC_PRIORITY]),
						DatumGetTimestampTz(after.values[MF_IC_CREATED_AT]));
	mf_wake_account_at_commit(TextDatumGetCString(after.values[MF_IC_ACCOUNT]));
}

/* Writes the changed columns into the history. */
static void
note_changes(TupleDesc desc, const MfRow *before, const MfRow *after, Oid schema)
{
	char	   *changes = changes_as_json(desc, before, after);

	if (changes != NULL)
		mf_queue_note_edit(schema, DatumGetInt64(after->values[MF_IC_ID]),
						   mf_status_name(mf_status_of(after->values[MF_IC_STATUS])),
						   DatumGetInt32(after->values[MF_IC_ATTEMPTS]), changes);
}

/* When the invoice is to be sent, by the options of its account. */
static TimestampTz
due_time(const MfRow *row)
{
	return mf_send_due(mf_account_get(TextDatumGetCString(row->values[MF_IC_ACCOUNT])),
					   DatumGetTimestampTz(row->values[MF_IC_SEND_AT]),
					   !mf_text_is(row->values[MF_IC_CUSTOMER_NAME + MF_SP_NOTIFICATION_OPTION], "LNK"),
					   GetCurrentTransactionStartTimestamp());
}

bool
mf_same_column(TupleDesc desc, const MfRow *a, const MfRow *b, int column)
{
	Form_pg_attribute attribute = TupleDescAttr(desc, column - 1);

	if (a->isnull[column] || b->isnull[column])
		return a->isnull[column] == b->isnull[column];
	return datum_image_eq(a->values[column], b->values[column], attribute->attbyval, attribute->attlen);
}

/*
 * Returns a JSON object with the old and the new value of each changed column, palloc'd;
 * NULL if there is none.  URLs are without the parts that may be secret.
 */
static char *
changes_as_json(TupleDesc desc, const MfRow *before, const MfRow *after)
{
	StringInfoData json;
	int			column;

	initStringInfo(&json);
	for (column = MF_IC_ACCOUNT; column < MF_IC_END; column++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, column - 1);

		/* those from here on are not worth a line: the role is shown by created_by, and metadata is the user's own */
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
add_value(StringInfo json, Form_pg_attribute attribute, const MfRow *row)
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
