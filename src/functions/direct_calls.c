/*
 * direct_calls.c
 *	  The direct calls: mf_send_payment() and the payment status functions.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/direct_calls.c
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "account/account.h"
#include "base/compat.h"
#include "base/encoding.h"
#include "base/settings.h"
#include "core/api/outcome.h"
#include "core/text/json.h"
#include "database/function_args.h"
#include "functions/backend_call.h"
#include "functions/direct_calls.h"
#include "functions/direct_row.h"
#include "process/process.h"
#include "request/public_url.h"
#include "request/request.h"
#include "store/invoice_lookup.h"
#include "store/payment.h"
#include "store/row_rights.h"

/* What is freed with a memory context although it was malloc'd */
typedef struct StatusOwner
{
	MemoryContextCallback callback;
	MfStatusResult result;
} StatusOwner;

typedef struct SendOwner
{
	MemoryContextCallback callback;
	MfSendResult result;
} SendOwner;

/* Columns of mf_send_payment_result */
#define RESULT_COLUMNS 4

static char *check_arguments(Oid schema, MfRequest *request, const MfAccount *account);
static const MfSendResult *send_now(const MfRequest *request, const MfAccount *account, char *reference,
									const MfDirectRow *row, int *http_status);
static Datum send_answer(TupleDesc desc, const MfSendResult *result);
static const char *shown_error(const MfHttpExchange *exchange, const MfAccount *account, bool sent, const char *error);
static void check_reference(Oid schema, const char *reference);
static void unknown_context(void *reference);
static void free_status(void *result);
static void free_send(void *result);
pg_noreturn static void report_send_failure(const MfHttpExchange *exchange, const MfSendResult *result,
											const MfAccount *account, const char *reference);
pg_noreturn static void report_lookup_failure(const MfStatusResult *result, MfLookup lookup, const MfAccount *account,
											  const char *key, const char *key_type, bool under_policies,
											  const char *error, const char *shown);
static const char *status_key_type(const char *key_type);
static bool is_hidden(Oid schema, const MfAccount *account, const MfStatusResult *result);
static Datum field_datum(const MfField *field, const char *value, Oid type, const MfAccount *account, bool *isnull);

PG_FUNCTION_INFO_V1(mf_send_payment);
PG_FUNCTION_INFO_V1(mf_payment_status);
PG_FUNCTION_INFO_V1(mf_payment_transactions);

/* One SendPayment, now.  Arguments are in the order of mf_send_payment_fields[], then account and record. */
Datum
mf_send_payment(PG_FUNCTION_ARGS)
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
	int			i;

	mf_refuse_in_trigger("mf_send_payment");

	if (PG_ARGISNULL(MF_SP_COUNT))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("account must not be null"),
				 errhint("Leave it out for the account \"%s\".", MF_DEFAULT_ACCOUNT)));
	if (PG_ARGISNULL(MF_SP_COUNT + 1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("record must not be null")));
	account = mf_account_get(text_to_cstring(PG_GETARG_TEXT_PP(MF_SP_COUNT)));
	mf_account_check_usage(account, GetUserId());
	mf_account_check_mapping(account, GetUserId());
	desc = lookup_rowtype_tupdesc(get_func_rettype(fcinfo->flinfo->fn_oid), -1);
	if (desc->natts != RESULT_COLUMNS)
		elog(ERROR, "the result of mf_send_payment() is not that of the library");

	request.table = NULL;
	for (i = 0; i < MF_SP_COUNT; i++)
	{
		request.isnull[i] = PG_ARGISNULL(i);
		request.values[i] = PG_ARGISNULL(i) ? (Datum) 0 : PG_GETARG_DATUM(i);
	}
	if (PG_GETARG_BOOL(MF_SP_COUNT + 1))
	{
		row = mf_direct_insert(schema, &request, account->name);
		request = row->request;
		reference = row->reference;
		mf_fill_urls(&request, account, row->invoice, reference, MF_CALLBACKS_BY_ACCOUNT);
	}
	else
		reference = check_arguments(schema, &request, account);

	result = send_now(&request, account, reference, row, &http_status);
	if (row != NULL)
	{
		/* whatever goes wrong from here on, the invoice stays at MyFatoorah */
		mf_direct_made(row, account->name, result->invoice_id);
		mf_direct_accepted(row, http_status, result);
	}
	answer = send_answer(desc, result);
	ReleaseTupleDesc(desc);
	PG_RETURN_DATUM(answer);
}

/* Checks a request that leaves no row; the reference that it is sent under. */
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

	/* without a reference an unknown outcome could not be looked up */
	if (request->isnull[MF_SP_CUSTOMER_REFERENCE])
		return text_to_cstring(mf_new_reference(NULL, 0));
	reference = TextDatumGetCString(request->values[MF_SP_CUSTOMER_REFERENCE]);
	check_reference(schema, reference);
	return reference;
}

/* Posts the request, after its row has noted that; raises an error unless it was accepted. */
static const MfSendResult *
send_now(const MfRequest *request, const MfAccount *account, char *reference, const MfDirectRow *row, int *http_status)
{
	SendOwner  *owner = (SendOwner *) palloc0(sizeof(SendOwner));
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
	context.callback = unknown_context;
	context.arg = reference;
	exchange = mf_call(account, GetUserId(), MF_PATH_SEND_PAYMENT, body, body_len, &context);
	*http_status = (int) exchange->http_status;

	mf_send_result_read(exchange, mf_to_utf8(reference), &owner->result);
	owner->callback.func = free_send;
	owner->callback.arg = &owner->result;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &owner->callback);

	if (owner->result.outcome != MF_OUTCOME_ACCEPTED)
		report_send_failure(exchange, &owner->result, account, reference);
	return &owner->result;
}

/* What is returned of an invoice that was made. */
static Datum
send_answer(TupleDesc desc, const MfSendResult *result)
{
	const char *texts[RESULT_COLUMNS] = {NULL, result->invoice_url, result->customer_reference, result->user_defined_field};
	Datum		values[RESULT_COLUMNS];
	bool		nulls[RESULT_COLUMNS];
	int			i;

	values[0] = DirectFunctionCall1(int8in, CStringGetDatum(result->invoice_id));
	nulls[0] = false;
	for (i = 1; i < RESULT_COLUMNS; i++)
	{
		nulls[i] = texts[i] == NULL;
		values[i] = texts[i] ? CStringGetTextDatum(mf_from_utf8_lossy(texts[i])) : (Datum) 0;
	}
	if (result->invoice_url == NULL)
		ereport(WARNING,
				(errmsg("MyFatoorah has made invoice %s and given no link", result->invoice_id),
				 errhint("The MyFatoorah portal shows it.")));
	return HeapTupleGetDatum(heap_form_tuple(desc, values, nulls));
}

/* An invoice under a row's reference is taken for that row's. */
static void
check_reference(Oid schema, const char *reference)
{
	Oid			creator;
	int64		invoice = mf_queue_find_by_reference(schema, reference, &creator);

	if (invoice != 0)
		mf_check_row_right(invoice, get_relname_relid("mf_invoice", schema), creator);
}

/* Context of an error, mostly a cancel, while a request is under way. */
static void
unknown_context(void *reference)
{
	errcontext("SendPayment with CustomerReference \"%s\"; if its request had left, only MyFatoorah knows whether the invoice exists",
			   (char *) reference);
}

static void
free_send(void *result)
{
	mf_send_result_free((MfSendResult *) result);
}

static void
free_status(void *result)
{
	mf_status_result_free((MfStatusResult *) result);
}

/* As much of an error as the caller may know. */
static const char *
shown_error(const MfHttpExchange *exchange, const MfAccount *account, bool sent, const char *error)
{
	return mf_is_answered(exchange) || mf_may_see_network(account) ? error : mf_network_error(sent);
}

/* Raises the error that tells exactly how much is known. */
static void
report_send_failure(const MfHttpExchange *exchange, const MfSendResult *result,
					const MfAccount *account, const char *reference)
{
	char	   *error = mf_from_utf8_lossy(result->error ? result->error : "out of memory");
	const char *shown = shown_error(exchange, account, result->outcome != MF_OUTCOME_NOT_SENT, error);
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
					 errhint("No invoice was made, as far as can be seen. %s tells what to mend. Call again once %s finds none.", check, look)));
			break;
		case MF_OUTCOME_NOT_SENT:
			ereport(ERROR,
					(errcode(ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION),
					 errmsg("could not reach MyFatoorah for account \"%s\"", account->name),
					 errdetail_internal("%s", shown),
					 errdetail_log("%s", error),
					 errhint("Nothing was sent; the call can be repeated. %s tells what to mend.", check)));
			break;
		case MF_OUTCOME_UNKNOWN:
		case MF_OUTCOME_ACCEPTED:
			break;
	}
	ereport(ERROR,
			(errcode(ERRCODE_TRANSACTION_RESOLUTION_UNKNOWN),
			 errmsg("it is unknown whether MyFatoorah made the invoice"),
			 errdetail_internal("%s", shown),
			 errdetail_log("%s", error),
			 errhint("Do not repeat the call yet. In a few minutes look it up with: %s", look)));
}

/* The vendor's spelling of a key type; any case is taken. */
static const char *
status_key_type(const char *key_type)
{
	static const char *const types[] = {"PaymentId", "InvoiceId", "CustomerReference"};
	size_t		i;

	for (i = 0; i < lengthof(types); i++)
	{
		if (pg_strcasecmp(key_type, types[i]) == 0)
			return types[i];
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for key_type: \"%.40s\"", key_type),
			 errhint("Valid values are: PaymentId, InvoiceId, CustomerReference.")));
	return NULL;				/* keep compiler quiet */
}

const MfStatusResult *
mf_ask_payment_status(const MfAccount *account, Oid roleid, const char *key, const char *key_type,
					  const char **error, const char **shown)
{
	StatusOwner *owner = (StatusOwner *) palloc0(sizeof(StatusOwner));
	MfHttpExchange *exchange;
	char	   *body;
	size_t		body_len;

	body = mf_payment_status_body(mf_to_utf8(key), key_type, &body_len);
	if (body == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not build the request")));

	exchange = mf_call(account, roleid, MF_PATH_GET_PAYMENT_STATUS, body, body_len, NULL);
	mf_status_result_read(exchange, &owner->result);
	owner->callback.func = free_status;
	owner->callback.arg = &owner->result;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &owner->callback);
	*error = mf_from_utf8_lossy(owner->result.error ? owner->result.error : "out of memory");
	*shown = shown_error(exchange, account, !owner->result.not_sent, *error);
	return &owner->result;
}

/* Whether policies hide from the current role what an answer is about. */
static bool
is_hidden(Oid schema, const MfAccount *account, const MfStatusResult *result)
{
	const char *invoice_id = result->values[MF_PS_INVOICE_ID];
	const char *reference = result->values[MF_PS_CUSTOMER_REFERENCE];

	return mf_payment_answer_is_hidden(schema, account->name, invoice_id, reference ? mf_from_utf8_lossy(reference) : NULL);
}

/* The invoice asked for by the three arguments. */
static const MfStatusResult *
find_invoice(FunctionCallInfo fcinfo, const MfAccount **account)
{
	char	   *key = mf_required_text(fcinfo, 0, "key");
	const char *key_type = status_key_type(mf_required_text(fcinfo, 1, "key_type"));

	return mf_find_invoice(get_func_namespace(fcinfo->flinfo->fn_oid), "key", key, key_type,
						   mf_required_text(fcinfo, 2, "account"), account);
}

const MfStatusResult *
mf_find_invoice(Oid schema, const char *name, const char *key, const char *key_type, const char *account_name,
				const MfAccount **account)
{
	const MfStatusResult *result;
	const char *error;
	const char *shown;
	bool		under_policies;
	MfLookup	lookup;

	key = mf_clean_text(key, MF_CLEAN_TEXT);
	if (key[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be empty", name),
				 errhint("Give the %s of an invoice.", key_type)));
	if (pg_mbstrlen(key) > MF_TEXT_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s is too long", name),
				 errdetail("It has %d characters; the limit is %d.", pg_mbstrlen(key), MF_TEXT_MAX),
				 errhint("Give the %s of an invoice.", key_type)));
	*account = mf_account_get(account_name);
	mf_account_check_usage(*account, GetUserId());

	/* whoever may not ask the policies learns that before there is an answer to tell from another */
	under_policies = mf_is_under_policies(schema);
	if (under_policies)
		mf_queue_find_named(schema, NULL, 0);

	result = mf_ask_payment_status(*account, GetUserId(), key, key_type, &error, &shown);
	lookup = result->lookup;
	if (lookup == MF_LOOKUP_FOUND && under_policies && is_hidden(schema, *account, result))
		lookup = MF_LOOKUP_NOT_FOUND;
	if (lookup == MF_LOOKUP_FOUND)
		return result;

	report_lookup_failure(result, lookup, *account, key, key_type, under_policies, error, shown);
	return NULL;				/* keep compiler quiet */
}

/* Raises the error of a question that has found no invoice. */
static void
report_lookup_failure(const MfStatusResult *result, MfLookup lookup, const MfAccount *account, const char *key,
					  const char *key_type, bool under_policies, const char *error, const char *shown)
{
	char	   *check = psprintf("SELECT * FROM mf_check(%s)", quote_literal_cstr(account->name));

	switch (lookup)
	{
		case MF_LOOKUP_NOT_FOUND:
			/* the same words of what policies hide as of what there is not, whatever MyFatoorah says then */
			ereport(ERROR,
					(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
					 errmsg("MyFatoorah knows no invoice with %s \"%s\"", key_type, key),
					 under_policies ? errdetail("Or row-level security hides its row of mf_invoice.") :
					 errdetail_internal("%s", error),
					 errhint("Check that the key is of that type and belongs to account \"%s\".", account->name)));
			break;
		case MF_LOOKUP_THROTTLED:
			ereport(ERROR,
					(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
					 errmsg("MyFatoorah is receiving too many requests from account \"%s\"", account->name),
					 errdetail_internal("%s", error),
					 errhint("Ask again later.")));
			break;
		case MF_LOOKUP_ACCOUNT_PROBLEM:
			ereport(ERROR,
					(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
					 errmsg("MyFatoorah does not accept account \"%s\"", account->name),
					 errdetail_internal("%s", error),
					 errhint("%s tells what to mend.", check)));
			break;
		case MF_LOOKUP_REFUSED:
			ereport(ERROR,
					(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
					 errmsg("MyFatoorah refused the question"),
					 errdetail_internal("%s", error),
					 errhint("Correct the key or its type.")));
			break;
		default:
			break;
	}
	ereport(ERROR,
			(errcode(result->not_sent ? ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION :
					 ERRCODE_CONNECTION_FAILURE),
			 errmsg("could not get an answer from MyFatoorah for account \"%s\"", account->name),
			 errdetail_internal("%s", shown),
			 errdetail_log("%s", error),
			 errhint("The question changes nothing and can be repeated. %s tells what to mend.", check)));
}

/* One invoice as MyFatoorah has it. */
Datum
mf_payment_status(PG_FUNCTION_ARGS)
{
	const MfAccount *account;
	const MfStatusResult *result = find_invoice(fcinfo, &account);
	TupleDesc	desc;
	Datum		values[MF_PS_COUNT];
	bool		nulls[MF_PS_COUNT];
	int			i;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE || desc->natts != MF_PS_COUNT)
		elog(ERROR, "return type must be a row type of %d columns", MF_PS_COUNT);

	for (i = 0; i < MF_PS_COUNT; i++)
		values[i] = field_datum(&mf_payment_status_fields[i], result->values[i],
								TupleDescAttr(desc, i)->atttypid, account, &nulls[i]);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

/* The tries to pay it, a row each. */
Datum
mf_payment_transactions(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	const MfAccount *account;
	const MfStatusResult *result = find_invoice(fcinfo, &account);
	const cJSON *transactions = mf_json_get(result->envelope.data, "InvoiceTransactions");
	const cJSON *transaction;

	if (transactions != NULL && !cJSON_IsNull(transactions) && !cJSON_IsArray(transactions))
		ereport(ERROR,
				(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
				 errmsg("could not read member \"InvoiceTransactions\" of the answer"),
				 errhint("mf_payment_status() gives the transactions as they came, as jsonb.")));

	mf_start_rows(fcinfo);
	if (rsinfo->setDesc->natts != MF_TX_COUNT)
		elog(ERROR, "return type must be a row type of %d columns", MF_TX_COUNT);

	cJSON_ArrayForEach(transaction, transactions)
	{
		char	   *texts[MF_TX_COUNT];
		const char *bad;
		Datum		values[MF_TX_COUNT];
		bool		nulls[MF_TX_COUNT];
		int			i;

		if (!mf_transaction_read(transaction, texts, &bad))
			ereport(ERROR,
					(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
					 errmsg("could not read member \"%s\" of a transaction", bad),
					 errhint("mf_payment_status() gives the transactions as they came, as jsonb.")));

		PG_TRY();
		{
			for (i = 0; i < MF_TX_COUNT; i++)
				values[i] = field_datum(&mf_transaction_fields[i], texts[i],
										TupleDescAttr(rsinfo->setDesc, i)->atttypid, account, &nulls[i]);
		}
		PG_FINALLY();
		{
			mf_values_free(texts, MF_TX_COUNT);
		}
		PG_END_TRY();
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* Text of an answer as a value of an SQL type, through that type's input function. */
static Datum
field_datum(const MfField *field, const char *value, Oid type, const MfAccount *account, bool *isnull)
{
	Oid			input;
	Oid			parameter;

	*isnull = value == NULL;
	if (value == NULL)
		return (Datum) 0;
	if (field->kind == MF_LOCAL_TIME)
		return TimestampTzGetDatum(mf_account_timestamp(account, value));

	getTypeInputInfo(type, &input, &parameter);
	return OidInputFunctionCall(input, mf_from_utf8_lossy(value), parameter, -1);
}
