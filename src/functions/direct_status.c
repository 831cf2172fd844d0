/*
 * direct_status.c
 *	  mf_payment_status() and mf_payment_transactions(): an invoice as MyFatoorah has it.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/direct_status.c
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "base/encoding.h"
#include "core/text/json.h"
#include "database/function_args.h"
#include "functions/backend_call.h"
#include "functions/direct_status.h"
#include "store/invoice_lookup.h"
#include "store/payment.h"
#include "store/row_rights.h"

static void free_status_result(void *result);
static char *check_key(const char *name, const char *key, const char *key_type);
static void report_lookup_failure(const MfStatusResult *result, MfLookup lookup, const MfAccount *account,
											  const char *key, const char *key_type, bool under_policies,
											  const char *error, const char *shown);

PG_FUNCTION_INFO_V1(mf_payment_status);
PG_FUNCTION_INFO_V1(mf_payment_transactions);

const MfStatusResult *
mf_ask_payment_status(const MfAccount *account, const char *key, const char *key_type,
					  const char **error, const char **shown)
{
	MfStatusResult *result = (MfStatusResult *) mf_result_alloc(sizeof(MfStatusResult), free_status_result);
	MfHttpExchange *exchange;
	char	   *body;
	size_t		body_len;

	body = mf_key_body(mf_to_utf8(key), key_type, &body_len);
	if (body == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not build the request")));

	exchange = mf_backend_call(account, &mf_endpoints[MF_GET_PAYMENT_STATUS], NULL, NULL, body, body_len, NULL, NULL);
	mf_status_result_read(exchange, result);
	*error = mf_from_utf8_lossy(result->base.error ? result->base.error : "out of memory");
	*shown = mf_shown_error(exchange, account, !result->base.not_sent, *error);
	return result;
}

static void
free_status_result(void *result)
{
	mf_status_result_free((MfStatusResult *) result);
}

const char *
mf_shown_error(const MfHttpExchange *exchange, const MfAccount *account, bool sent, const char *error)
{
	return mf_is_answered(exchange) || mf_may_see_network(account) ? error : mf_network_error(sent);
}

/* A key type in MyFatoorah's spelling, from any case. */
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

/* The invoice that the three arguments of a call name. */
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

	key = check_key(name, key, key_type);
	*account = mf_account_get(account_name);
	mf_account_check_usage(*account, GetUserId());

	/* an error about rights must not depend on whether MyFatoorah has the invoice */
	under_policies = mf_is_under_policies(schema);
	if (under_policies)
		mf_queue_find_named(schema, NULL, 0);

	result = mf_ask_payment_status(*account, key, key_type, &error, &shown);
	lookup = result->base.lookup;
	if (lookup == MF_LOOKUP_FOUND && under_policies &&
		mf_payment_answer_is_hidden(schema, account_name, result->values[MF_PS_INVOICE_ID],
									mf_from_utf8_lossy(result->values[MF_PS_CUSTOMER_REFERENCE])))
		lookup = MF_LOOKUP_NOT_FOUND;
	if (lookup == MF_LOOKUP_FOUND)
		return result;

	report_lookup_failure(result, lookup, *account, key, key_type, under_policies, error, shown);
	return NULL;				/* keep compiler quiet */
}

/* A cleaned key; raises an error that names the argument "name" if it is empty or too long. */
static char *
check_key(const char *name, const char *key, const char *key_type)
{
	char	   *clean = mf_clean_text(key, MF_CLEAN_TEXT);

	if (clean[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be empty", name),
				 errhint("Give the %s of an invoice.", key_type)));
	if (pg_mbstrlen(clean) > MF_TEXT_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s is too long", name),
				 errdetail("It has %d characters; the limit is %d.", pg_mbstrlen(clean), MF_TEXT_MAX),
				 errhint("Give the %s of an invoice.", key_type)));
	return clean;
}

/* Raises the error for an inquiry that has found no invoice. */
static void
report_lookup_failure(const MfStatusResult *result, MfLookup lookup, const MfAccount *account, const char *key,
					  const char *key_type, bool under_policies, const char *error, const char *shown)
{
	switch (lookup)
	{
		case MF_LOOKUP_NOT_FOUND:
			/* an invoice that is hidden gets the same error as one that does not exist */
			ereport(ERROR,
					(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
					 errmsg("MyFatoorah has no invoice with %s \"%s\"", key_type, key),
					 under_policies ? errdetail("Or row-level security hides its row of mf_invoice.") :
					 errdetail_internal("%s", error),
					 errhint("Check that the key is of that type and belongs to account \"%s\".", account->name)));
			break;
		case MF_LOOKUP_REFUSED:
			ereport(ERROR,
					(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
					 errmsg("MyFatoorah refused the inquiry"),
					 errdetail_internal("%s", error),
					 errhint("Correct the key or its type.")));
			break;
		default:
			break;
	}
	mf_report_unanswered(lookup, result->base.not_sent, account, error, shown);
}

void
mf_report_unanswered(MfLookup lookup, bool not_sent, const MfAccount *account, const char *error, const char *shown)
{
	char	   *check = psprintf("SELECT * FROM mf_check(%s)", quote_literal_cstr(account->name));

	switch (lookup)
	{
		case MF_LOOKUP_FOUND:
			return;
		case MF_LOOKUP_THROTTLED:
			ereport(ERROR,
					(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
					 errmsg("MyFatoorah is receiving too many requests from account \"%s\"", account->name),
					 errdetail_internal("%s", error),
					 errhint("Call again later.")));
			break;
		case MF_LOOKUP_ACCOUNT_PROBLEM:
			ereport(ERROR,
					(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
					 errmsg("MyFatoorah does not accept account \"%s\"", account->name),
					 errdetail_internal("%s", error),
					 errhint("Run %s to find out why.", check)));
			break;
		case MF_LOOKUP_REFUSED:
		case MF_LOOKUP_NOT_FOUND:
			ereport(ERROR,
					(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
					 errmsg("MyFatoorah refused the inquiry"),
					 errdetail_internal("%s", error)));
			break;
		default:
			break;
	}
	ereport(ERROR,
			(errcode(not_sent ? ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION :
					 ERRCODE_CONNECTION_FAILURE),
			 errmsg("could not get an answer from MyFatoorah for account \"%s\"", account->name),
			 errdetail_internal("%s", shown),
			 errdetail_log("%s", error),
			 errhint("The call changes nothing and can be repeated. Run %s to find out why.", check)));
}

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
		values[i] = mf_field_datum(&mf_payment_status_fields[i], result->values[i],
								   TupleDescAttr(desc, i)->atttypid, account, &nulls[i]);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

/* One row for each attempt to pay. */
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
				 errhint("mf_payment_status() returns the transactions unread, as jsonb.")));

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
					 errhint("mf_payment_status() returns the transactions unread, as jsonb.")));

		PG_TRY();
		{
			for (i = 0; i < MF_TX_COUNT; i++)
				values[i] = mf_field_datum(&mf_transaction_fields[i], texts[i],
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

Datum
mf_field_datum(const MfField *field, const char *value, Oid type, const MfAccount *account, bool *isnull)
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
