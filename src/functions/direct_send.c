/*
 * direct_send.c
 *	  mf_send_payment(), mf_execute_payment(): sends an invoice and waits for the answer;
 *	  warns if its row is rolled back.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/direct_send.c
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "base/encoding.h"
#include "base/settings.h"
#include "database/function_args.h"
#include "functions/backend_call.h"
#include "functions/direct_row.h"
#include "functions/direct_status.h"
#include "store/inquiries_open.h"
#include "store/invoice_lookup.h"
#include "store/row_rights.h"

/* A call: its fields in the order of its arguments, behind which come account and record */
typedef struct DirectCall
{
	const char *function;
	MfEndpointNumber endpoint;
	int			result_columns;
	int			field_count;
	MfSendPaymentField fields[MF_SP_COUNT];
} DirectCall;

#define ARG_ACCOUNT(call) ((call)->field_count)
#define ARG_RECORD(call) ((call)->field_count + 1)

#define COMMON_FIELDS \
	MF_SP_CUSTOMER_EMAIL, MF_SP_CUSTOMER_MOBILE, MF_SP_MOBILE_COUNTRY_CODE, MF_SP_DISPLAY_CURRENCY_ISO, MF_SP_LANGUAGE, \
	MF_SP_CUSTOMER_REFERENCE, MF_SP_CUSTOMER_CIVIL_ID, MF_SP_USER_DEFINED_FIELD, MF_SP_CALL_BACK_URL, MF_SP_ERROR_URL, \
	MF_SP_WEBHOOK_URL, MF_SP_EXPIRY_DATE, MF_SP_CUSTOMER_ADDRESS, MF_SP_INVOICE_ITEMS, MF_SP_SHIPPING_METHOD, \
	MF_SP_SHIPPING_CONSIGNEE, MF_SP_SUPPLIERS, MF_SP_PROCESSING_DETAILS

static const DirectCall send_call = {
	"mf_send_payment", MF_SEND_PAYMENT, 4, 23,
	{MF_SP_CUSTOMER_NAME, MF_SP_INVOICE_VALUE, MF_SP_NOTIFICATION_OPTION, COMMON_FIELDS, MF_SP_INVOICE_PAYMENT_METHODS,
	MF_SP_SOURCE_INFO}
};

static const DirectCall execute_call = {
	"mf_execute_payment", MF_EXECUTE_PAYMENT, 5, 26,
	{MF_SP_CUSTOMER_NAME, MF_SP_INVOICE_VALUE, MF_SP_PAYMENT_METHOD_ID, COMMON_FIELDS, MF_SP_SOURCE_INFO,
	MF_SP_RECURRING_TYPE, MF_SP_INTERVAL_DAYS, MF_SP_ITERATION, MF_SP_RETRY_COUNT}
};

/* What an error context is told while a request is under way */
typedef struct UnderWay
{
	const DirectCall *call;
	char	   *reference;
} UnderWay;

/* An invoice at MyFatoorah whose row is not committed yet; in TopTransactionContext */
typedef struct UncommittedInvoice
{
	SubTransactionId subtransaction;
	struct UncommittedInvoice *next;
	Oid			schema;
	int64		invoice;
	char	   *account;
	char	   *recurring_id;	/* NULL = its payment begins no plan */
	char		invoice_id[FLEXIBLE_ARRAY_MEMBER];
} UncommittedInvoice;

static UncommittedInvoice *uncommitted = NULL;
static bool callbacks_registered = false;

static Datum call_now(FunctionCallInfo fcinfo, const DirectCall *call);
static void fill_request(FunctionCallInfo fcinfo, const DirectCall *call, MfRequest *request);
static const MfAccount *usable_account(FunctionCallInfo fcinfo, int argument);
static char *check_arguments(Oid schema, MfRequest *request, const MfAccount *account);
static void check_reference(Oid schema, const char *reference);
static const MfSendResult *send_now(const DirectCall *call, const MfRequest *request, const MfAccount *account,
									char *reference, const MfDirectRow *row, int *http_status);
static void add_reference_context(void *argument);
static void note_uncommitted(Oid schema, int64 invoice, const char *account, const MfSendResult *result);
static void end_transaction(XactEvent event, void *argument);
static void end_subtransaction(SubXactEvent event, SubTransactionId subtransaction, SubTransactionId parent, void *argument);
static void match_events(void);
static void warn_of_lost(SubTransactionId subtransaction);
static Datum send_answer(TupleDesc desc, const MfSendResult *result);
pg_noreturn static void report_send_failure(const MfHttpExchange *exchange, const MfSendResult *result,
											const MfAccount *account, const char *reference);

PG_FUNCTION_INFO_V1(mf_send_payment);
PG_FUNCTION_INFO_V1(mf_execute_payment);

Datum
mf_send_payment(PG_FUNCTION_ARGS)
{
	return call_now(fcinfo, &send_call);
}

Datum
mf_execute_payment(PG_FUNCTION_ARGS)
{
	mf_require_argument(fcinfo, 2, "payment_method_id");
	return call_now(fcinfo, &execute_call);
}

static Datum
call_now(FunctionCallInfo fcinfo, const DirectCall *call)
{
	Oid			schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	MfDirectRow *row = NULL;
	MfRequest	request;
	const MfAccount *account;
	TupleDesc	desc;
	const MfSendResult *result;
	int			http_status;
	char	   *reference;
	Datum		answer;

	mf_refuse_in_trigger(call->function);

	account = usable_account(fcinfo, ARG_ACCOUNT(call));
	mf_require_argument(fcinfo, ARG_RECORD(call), "record");
	desc = lookup_rowtype_tupdesc(get_func_rettype(fcinfo->flinfo->fn_oid), -1);
	if (desc->natts != call->result_columns)
		elog(ERROR, "the result of %s() does not have %d columns", call->function, call->result_columns);

	fill_request(fcinfo, call, &request);
	if (PG_GETARG_BOOL(ARG_RECORD(call)))
	{
		row = mf_direct_insert(schema, &request, account->name);
		request = row->request;
		reference = row->reference;
		mf_fill_urls(&request, account, row->invoice, reference, MF_CALLBACKS_BY_ACCOUNT);
	}
	else
		reference = check_arguments(schema, &request, account);

	result = send_now(call, &request, account, reference, row, &http_status);
	if (row != NULL)
	{
		/* from here on an error leaves an invoice at MyFatoorah without a row */
		note_uncommitted(schema, row->invoice, account->name, result);
		mf_direct_accepted(row, http_status, result, call->function);
	}
	answer = send_answer(desc, result);
	ReleaseTupleDesc(desc);
	PG_RETURN_DATUM(answer);
}

/* The request that the arguments describe; what is no argument is null, or has its default. */
static void
fill_request(FunctionCallInfo fcinfo, const DirectCall *call, MfRequest *request)
{
	int			i;

	memset(request, 0, sizeof(*request));
	memset(request->isnull, true, sizeof(request->isnull));
	request->values[MF_SP_NOTIFICATION_OPTION] = CStringGetTextDatum("LNK");
	request->isnull[MF_SP_NOTIFICATION_OPTION] = false;
	for (i = 0; i < call->field_count; i++)
	{
		request->isnull[call->fields[i]] = PG_ARGISNULL(i);
		request->values[call->fields[i]] = PG_ARGISNULL(i) ? (Datum) 0 : PG_GETARG_DATUM(i);
	}
}

/* The account of the call, which the current role may send through. */
static const MfAccount *
usable_account(FunctionCallInfo fcinfo, int argument)
{
	const MfAccount *account;

	if (PG_ARGISNULL(argument))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("account must not be null"),
				 errhint("Leave it out for the account \"%s\".", MF_DEFAULT_ACCOUNT)));
	account = mf_account_get(text_to_cstring(PG_GETARG_TEXT_PP(argument)));
	mf_account_check_usage(account, GetUserId());
	mf_account_check_mapping(account, GetUserId());
	return account;
}

/* Checks a request without a row; returns the reference for it. */
static char *
check_arguments(Oid schema, MfRequest *request, const MfAccount *account)
{
	char	   *reference;

	mf_request_check(request, account, NULL);
	if (!request->isnull[MF_SP_EXPIRY_DATE] &&
		DatumGetTimestampTz(request->values[MF_SP_EXPIRY_DATE]) <= GetCurrentTimestamp())
		ereport(ERROR,
				(mf_err_field(request, MF_SP_EXPIRY_DATE),
				 errmsg("expiry_date must be later than now"),
				 errhint("Give the customer time to pay, or leave it out for the default of the portal.")));

	/* an unknown outcome is looked up by the reference */
	if (request->isnull[MF_SP_CUSTOMER_REFERENCE])
		return text_to_cstring(mf_new_reference(NULL, 0));
	reference = TextDatumGetCString(request->values[MF_SP_CUSTOMER_REFERENCE]);
	check_reference(schema, reference);
	return reference;
}

/* Records the attempt, if there is a row, and posts the request; raises an error unless it is accepted. */
static const MfSendResult *
send_now(const DirectCall *call, const MfRequest *request, const MfAccount *account, char *reference,
		 const MfDirectRow *row, int *http_status)
{
	const MfEndpoint *endpoint = &mf_endpoints[call->endpoint];
	UnderWay	under_way = {call, reference};
	MfSendResult *result = mf_send_result_alloc();
	ErrorContextCallback context;
	MfHttpExchange *exchange;
	size_t		body_len;
	char	   *body = mf_request_body(request, account, reference, &body_len);

	if (row != NULL)
	{
		PG_TRY();
		{
			mf_direct_start(row, account, body, body_len);
		}
		PG_CATCH();
		{
			free(body);
			PG_RE_THROW();
		}
		PG_END_TRY();
	}
	context.callback = add_reference_context;
	context.arg = &under_way;
	exchange = mf_backend_call(account, endpoint, NULL, NULL, body, body_len, &context, NULL);
	*http_status = (int) exchange->http_status;

	mf_send_result_read(endpoint, exchange, mf_to_utf8(reference), result);

	if (result->outcome != MF_OUTCOME_ACCEPTED)
		report_send_failure(exchange, result, account, reference);
	return result;
}

/* The row that is returned. */
static Datum
send_answer(TupleDesc desc, const MfSendResult *result)
{
	const char *texts[] = {NULL, result->invoice_url, result->customer_reference, result->user_defined_field, result->recurring_id};
	Datum		values[lengthof(texts)];
	bool		nulls[lengthof(texts)];
	int			i;

	values[0] = DirectFunctionCall1(int8in, CStringGetDatum(result->invoice_id));
	nulls[0] = false;
	for (i = 1; i < desc->natts; i++)
	{
		nulls[i] = texts[i] == NULL;
		values[i] = texts[i] ? CStringGetTextDatum(mf_from_utf8_lossy(texts[i])) : (Datum) 0;
	}
	if (result->invoice_url == NULL)
		ereport(WARNING,
				(errmsg("MyFatoorah has made invoice %s but returned no link", result->invoice_id),
				 errhint("The MyFatoorah portal shows it.")));
	return HeapTupleGetDatum(heap_form_tuple(desc, values, nulls));
}

/* An invoice sent under the reference of a row would be taken for that of the row. */
static void
check_reference(Oid schema, const char *reference)
{
	Oid			creator;
	int64		invoice = mf_queue_find_by_reference(schema, reference, &creator);

	if (invoice != 0)
		mf_check_row_right(invoice, get_relname_relid("mf_invoice", schema), creator);
}

/* Error context callback while a request is under way, when errors are mostly cancels. */
static void
add_reference_context(void *argument)
{
	const UnderWay *under_way = (const UnderWay *) argument;

	errcontext("%s with CustomerReference \"%s\"; if its request had left, only MyFatoorah knows whether the invoice exists",
			   mf_endpoints[under_way->call->endpoint].name, under_way->reference);
}

/* Raises an error that says whether the invoice may exist. */
static void
report_send_failure(const MfHttpExchange *exchange, const MfSendResult *result,
					const MfAccount *account, const char *reference)
{
	char	   *error = mf_from_utf8_lossy(result->error ? result->error : "out of memory");
	const char *shown = mf_shown_error(exchange, account, result->outcome != MF_OUTCOME_NOT_SENT, error);
	char	   *check = psprintf("SELECT * FROM mf_check(%s)", quote_literal_cstr(account->name));
	char	   *look = psprintf("SELECT * FROM mf_payment_status(%s, 'CustomerReference', %s)",
								quote_literal_cstr(reference), quote_literal_cstr(account->name));

	switch (result->outcome)
	{
		case MF_OUTCOME_REJECTED:
			ereport(ERROR,
					(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
					 errmsg("MyFatoorah refused the invoice"),
					 errdetail_internal("%s", error),
					 errhint("Correct the fields that the detail names and call again.")));
			break;
		case MF_OUTCOME_THROTTLED:
			ereport(ERROR,
					(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
					 errmsg("MyFatoorah is receiving too many requests from account \"%s\"", account->name),
					 errdetail_internal("%s", error),
					 result->retry_after > 0 ?
					 errhint("No invoice was made, as far as can be seen. Wait %d s and call again, once %s finds none.", result->retry_after, look) :
					 errhint("No invoice was made, as far as can be seen. Call again later, once %s finds none.", look)));
			break;
		case MF_OUTCOME_ACCOUNT_PROBLEM:
			ereport(ERROR,
					(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
					 errmsg("MyFatoorah does not accept account \"%s\"", account->name),
					 errdetail_internal("%s", error),
					 errhint("No invoice was made, as far as can be seen. Run %s to find out why. Call again once %s finds none.", check, look)));
			break;
		case MF_OUTCOME_NOT_SENT:
			ereport(ERROR,
					(errcode(ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION),
					 errmsg("could not reach MyFatoorah for account \"%s\"", account->name),
					 errdetail_internal("%s", shown),
					 errdetail_log("%s", error),
					 errhint("Nothing was sent; the call can be repeated. Run %s to find out why.", check)));
			break;
		case MF_OUTCOME_UNKNOWN:
		case MF_OUTCOME_ACCEPTED:
			break;
	}
	ereport(ERROR,
			(errcode(ERRCODE_TRANSACTION_RESOLUTION_UNKNOWN),
			 errmsg("it is unknown whether MyFatoorah has made the invoice"),
			 errdetail_internal("%s", shown),
			 errdetail_log("%s", error),
			 errhint("Do not repeat the call yet. Look the invoice up in a few minutes: %s", look)));
}

/*
 * Notes that MyFatoorah has made an invoice for a row of the current transaction.  At
 * its commit, events of the invoice that came in earlier are matched with the row.  If the
 * row is rolled back, a warning says that MyFatoorah has an invoice without a row.
 */
static void
note_uncommitted(Oid schema, int64 invoice, const char *account, const MfSendResult *result)
{
	size_t		size = offsetof(UncommittedInvoice, invoice_id) + strlen(result->invoice_id) + 1;
	UncommittedInvoice *entry = (UncommittedInvoice *) MemoryContextAlloc(TopTransactionContext, size);

	if (!callbacks_registered)
	{
		RegisterXactCallback(end_transaction, NULL);
		RegisterSubXactCallback(end_subtransaction, NULL);
	}
	callbacks_registered = true;
	entry->schema = schema;
	entry->invoice = invoice;
	entry->account = MemoryContextStrdup(TopTransactionContext, account);
	entry->recurring_id = result->recurring_id == NULL ? NULL :
		MemoryContextStrdup(TopTransactionContext, mf_from_utf8_lossy(result->recurring_id));
	strcpy(entry->invoice_id, result->invoice_id);
	entry->subtransaction = GetCurrentSubTransactionId();
	entry->next = uncommitted;
	uncommitted = entry;
}

static void
end_transaction(XactEvent event, void *argument)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			if (uncommitted != NULL)
				match_events();
			break;
		case XACT_EVENT_ABORT:
			warn_of_lost(InvalidSubTransactionId);
			uncommitted = NULL;
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PREPARE:
			uncommitted = NULL;
			break;
		default:
			break;
	}
}

/* Matches the rows with events that came in while other transactions could not see these rows. */
static void
match_events(void)
{
	MfSentInvoice *sent;
	MfSqlScope	scope;
	UncommittedInvoice *entry;
	int			count = 0;

	for (entry = uncommitted; entry != NULL; entry = entry->next)
		count++;
	PushActiveSnapshot(GetTransactionSnapshot());
	mf_sql_begin(&scope, uncommitted->schema);
	sent = (MfSentInvoice *) palloc0(count * sizeof(MfSentInvoice));
	for (count = 0, entry = uncommitted; entry != NULL; entry = entry->next)
		sent[count++].invoice = entry->invoice;
	(void) mf_inquiries_open(&scope, sent, count, DT_NOEND);
	mf_sql_end(&scope);
	/* deferred triggers of users */
	AfterTriggerFireDeferred();
	PopActiveSnapshot();
}

/* A committed subtransaction passes its invoices to its parent. */
static void
end_subtransaction(SubXactEvent event, SubTransactionId subtransaction, SubTransactionId parent, void *argument)
{
	UncommittedInvoice *entry;

	if (event == SUBXACT_EVENT_ABORT_SUB)
		warn_of_lost(subtransaction);
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		for (entry = uncommitted; entry != NULL; entry = entry->next)
		{
			if (entry->subtransaction == subtransaction)
				entry->subtransaction = parent;
		}
	}
}

/* Warns of the invoices of a subtransaction, or of all with InvalidSubTransactionId, and forgets them. */
static void
warn_of_lost(SubTransactionId subtransaction)
{
	UncommittedInvoice **link = &uncommitted;

	while (*link != NULL)
	{
		UncommittedInvoice *entry = *link;

		if (subtransaction != InvalidSubTransactionId && entry->subtransaction != subtransaction)
		{
			link = &entry->next;
			continue;
		}
		*link = entry->next;
		ereport(WARNING,
				(errmsg("MyFatoorah has invoice %s of account \"%s\", whose row was rolled back", entry->invoice_id, entry->account),
				 entry->recurring_id == NULL ? 0 :
				 errdetail("Its payment begins recurring payment %s, whose repetitions would get no rows. SELECT mf_cancel_recurring('%s', '%s') ends it.",
						   entry->recurring_id, entry->recurring_id, entry->account),
				 errhint("Cancel it in the MyFatoorah portal, or take it over with: SELECT mf_adopt('%s', '%s')",
						 entry->invoice_id, entry->account)));
	}
}
